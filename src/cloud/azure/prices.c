/* SPDX-License-Identifier: Apache-2.0 */
/* The Retail Prices API, region by region: what a size has comes from the catalogue, what it costs from the feed, where it can be had from skus.c. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cloud/azure/azure_priv.h"

enum { SKIP_MAX = 50000 };

void azure_prices(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    struct azure *a = p->own;
    if (page[0] == '\0') { /* from the start; what a page is follows from what came before */
        a->prices_network = 0;
        a->prices_skip = 0;
        a->skus_network = 0;
        a->asks_sizes = a->n_networks > 0;
        weir_vec_clear(&a->places);
        for (size_t i = 0; i < a->n_networks; i++) {
            a->network[i].knows_sizes = false;
        }
    }
    if (a->asks_sizes) {
        azure_skus(p, strncmp(page, "http", 4) == 0 ? page : "", q);
        return;
    }
    q->what = "list prices";
    q->method = "GET";
    q->open = true;
    weir_str_addf(&q->url,
                  "%s/api/retail/prices?currencyCode=%s&$filter=serviceName%%20eq%%20%%27Virtual%%20Machines%%27%%20and%%20priceType%%20eq%%20"
                  "%%27Consumption%%27%%20and%%20armRegionName%%20eq%%20%%27%s%%27%%20and%%20contains%%28armSkuName%%2C%%20%%27Standard_N%%27%%29",
                  a->prices_endpoint, a->currency, a->network[a->prices_network].region);
    if (a->prices_skip > 0) {
        weir_str_addf(&q->url, "&$skip=%" PRIu64, a->prices_skip);
    }
}

/* Only what runs by the hour, for everybody, on Linux. */
static bool is_wanted(const struct azure *a, const json_t *o)
{
    return weir_streq(weir_rest_text(o, "type"), "Consumption") && weir_streq(weir_rest_text(o, "unitOfMeasure"), "1 Hour") &&
           weir_streq(weir_rest_text(o, "currencyCode"), a->currency) && strstr(weir_rest_text(o, "productName"), "Windows") == NULL &&
           strstr(weir_rest_text(o, "productName"), "Dedicated") == NULL && strstr(weir_rest_text(o, "meterName"), "Low Priority") == NULL;
}

static void add_price(struct weir_provider *p, const json_t *o, struct weir_rest_offers *l)
{
    const struct azure *a = p->own;
    const char *region = weir_rest_text(o, "armRegionName");
    bool spot = strstr(weir_rest_text(o, "meterName"), "Spot") != NULL;
    uint8_t market = spot ? WEIR_OFFER_SPOT : WEIR_OFFER_ON_DEMAND;
    const struct weir_offer *row = is_wanted(a, o) && (a->spot || !spot) ? weir_rest_catalogue_type(p, weir_rest_text(o, "armSkuName"), market) : NULL;
    int64_t price = weir_rest_price(o, "retailPrice");
    if (row == NULL || price <= 0 || strlen(region) >= sizeof row->region) {
        return; /* also a size that weir cannot compare, and what is not sold yet */
    }
    struct weir_offer offer = *row;
    offer.market = market;
    offer.price_micro_per_hour = price;
    offer.price_since = weir_rest_time(o, "effectiveStartDate");
    memcpy(offer.currency, a->currency, sizeof offer.currency);
    offer.original_micro_per_hour = 0;
    offer.rate_nano = 0;
    offer.egress_micro_per_gib = 0; /* the price list's own, which is in the ledger's currency, is filled in again */
    offer.as_of = (struct weir_wall){0}; /* now, not the list's */
    offer.zone[0] = '\0';
    (void)snprintf(offer.region, sizeof offer.region, "%s", region);
    (void)snprintf(offer.source, sizeof offer.source, "Azure Retail Prices (live)");
    bool known;
    const struct azure_place *place = azure_place_of(a, region, offer.instance_type, &known);
    if (!known || (place != NULL && place->n_zones == 0)) {
        weir_rest_offers_add(l, &offer);
    }
    for (size_t i = 0; place != NULL && i < place->n_zones; i++) {
        (void)snprintf(offer.zone, sizeof offer.zone, "%s", place->zone[i]);
        weir_rest_offers_add(l, &offer);
    }
}

int azure_on_prices(struct weir_provider *p, const json_t *body, struct weir_rest_offers *l, struct weir_err *err)
{
    struct azure *a = p->own;
    if (a->asks_sizes) {
        return azure_on_skus(p, body, l, err);
    }
    const json_t *items = json_object_get(body, "Items");
    size_t n = json_array_size(items);
    if (!json_is_array(items)) {
        return weir_fail(err, -WEIR_EIO, "a list of prices without 'Items'");
    }
    for (size_t i = 0; i < n; i++) {
        add_price(p, json_array_get(items, i), l);
    }
    /* The link's own address is not followed: only that there is more counts. */
    bool more = weir_rest_text(body, "NextPageLink")[0] != '\0' && n > 0;
    a->prices_skip = more ? a->prices_skip + n : 0;
    a->prices_network += more ? 0 : 1;
    if (a->prices_skip > SKIP_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "more than %d prices in %s", SKIP_MAX, a->network[a->prices_network].region);
    }
    if (a->prices_network < a->n_networks) {
        char page[64];
        (void)snprintf(page, sizeof page, "%zu %" PRIu64, a->prices_network, a->prices_skip);
        weir_rest_offers_next(l, page);
    }
    return 0;
}
