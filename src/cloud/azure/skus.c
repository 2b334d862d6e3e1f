/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In which availability zones of its region each size can be had, by the Resource SKUs API: what is restricted for the subscription is left out.
 * Zones are numbered for each subscription by itself. A size that is in none is placed by Azure in the region.
 */

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "cloud/azure/azure_priv.h"

enum { PLACES_MAX = 4000 };

void azure_skus(const struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    const struct azure *a = p->own;
    q->what = "list sizes";
    q->method = "GET";
    if (page[0] != '\0') {
        weir_str_adds(&q->url, page);
        return;
    }
    weir_str_addf(&q->url, "%s/subscriptions/%s/providers/Microsoft.Compute/skus?api-version=" AZURE_SKUS_VERSION "&$filter=location%%20eq%%20%%27%s%%27", p->conf.endpoint,
                  a->subscription, a->network[a->skus_network].region);
}

static const char *text_at(const json_t *list, size_t i)
{
    const char *text = json_string_value(json_array_get(list, i));
    return text == NULL ? "" : text;
}

static bool has_text(const json_t *list, const char *text)
{
    bool found = false;
    for (size_t i = 0; i < json_array_size(list) && !found; i++) {
        found = strcasecmp(text_at(list, i), text) == 0;
    }
    return found;
}

/* May the subscription have it there: in that zone; zone NULL: at all? */
static bool is_open(const json_t *sku, const char *region, const char *zone)
{
    const json_t *restrictions = json_object_get(sku, "restrictions");
    for (size_t i = 0; i < json_array_size(restrictions); i++) {
        const json_t *r = json_array_get(restrictions, i);
        const json_t *info = json_object_get(r, "restrictionInfo");
        bool is_here = has_text(json_object_get(info, "locations"), region) || has_text(json_object_get(r, "values"), region);
        const char *type = weir_rest_text(r, "type");
        if (is_here && (zone == NULL ? strcasecmp(type, "Location") == 0 : strcasecmp(type, "Zone") == 0 && has_text(json_object_get(info, "zones"), zone))) {
            return false;
        }
    }
    return true;
}

static void take(struct azure *a, const json_t *sku)
{
    const char *region = a->network[a->skus_network].region;
    const char *name = weir_rest_text(sku, "name");
    const json_t *infos = json_object_get(sku, "locationInfo");
    struct azure_place place = {.network = a->skus_network};
    if (strcasecmp(weir_rest_text(sku, "resourceType"), "virtualMachines") != 0 || strncasecmp(name, "Standard_N", 10) != 0 || strlen(name) >= sizeof place.size ||
        a->places.n == PLACES_MAX || !is_open(sku, region, NULL)) {
        return;
    }
    (void)snprintf(place.size, sizeof place.size, "%s", name);
    bool is_there = false;
    size_t n_closed = 0;
    for (size_t i = 0; i < json_array_size(infos); i++) {
        const json_t *info = json_array_get(infos, i);
        const json_t *zones = json_object_get(info, "zones");
        bool is_here = strcasecmp(weir_rest_text(info, "location"), region) == 0;
        is_there = is_there || is_here;
        for (size_t k = 0; k < json_array_size(zones) && is_here && place.n_zones < AZURE_ZONES_MAX; k++) {
            const char *zone = text_at(zones, k);
            bool is_good = zone[0] != '\0' && strlen(zone) < sizeof place.zone[0] && is_open(sku, region, zone);
            n_closed += !is_good;
            if (is_good) {
                (void)snprintf(place.zone[place.n_zones++], sizeof place.zone[0], "%s", zone);
            }
        }
    }
    if (is_there && (place.n_zones > 0 || n_closed == 0)) { /* one whose zones are all closed is not to be had */
        weir_vec_push(&a->places, place);
    }
}

int azure_on_skus(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err)
{
    struct azure *a = p->own;
    const json_t *value = json_object_get(body, "value");
    const char *next = weir_rest_text(body, "nextLink");
    size_t n = strlen(p->conf.endpoint);
    if (!json_is_array(value)) {
        return weir_fail(err, -WEIR_EIO, "a list of sizes without 'value'");
    }
    if (next[0] != '\0' && (strncmp(next, p->conf.endpoint, n) != 0 || next[n] != '/' || strlen(next) >= WEIR_REST_URL_SIZE)) {
        return weir_fail(err, -WEIR_EIO, "the next page of the sizes is not at %s", p->conf.endpoint);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        take(a, json_array_get(value, i));
    }
    if (next[0] == '\0') {
        a->network[a->skus_network].knows_sizes = true;
        azure_skus_next(p, l);
    } else {
        weir_rest_offers_next(l, next);
    }
    return 0;
}

void azure_skus_next(struct weir_provider *p, struct weir_rest_offers *l)
{
    struct azure *a = p->own;
    a->skus_network++;
    a->asks_sizes = a->skus_network < a->n_networks;
    weir_rest_offers_next(l, a->asks_sizes ? AZURE_SIZES_PAGE : AZURE_PRICES_PAGE);
}

bool azure_skus_failed(struct weir_provider *p, struct weir_rest_offers *l)
{
    struct azure *a = p->own;
    if (!a->asks_sizes) {
        return false;
    }
    azure_skus_next(p, l);
    return true;
}

const struct azure_place *azure_place_of(const struct azure *a, const char *region, const char *size, bool *ret_known)
{
    const struct azure_place *found = NULL;
    *ret_known = false;
    for (size_t i = 0; i < a->n_networks; i++) {
        *ret_known = *ret_known || (a->network[i].knows_sizes && strcasecmp(a->network[i].region, region) == 0);
    }
    for (size_t i = 0; i < a->places.n && *ret_known && found == NULL; i++) {
        const struct azure_place *at = &a->places.p[i];
        found = strcasecmp(at->size, size) == 0 && strcasecmp(a->network[at->network].region, region) == 0 ? at : NULL;
    }
    return found;
}
