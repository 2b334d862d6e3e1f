/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Retail Prices API, page by page and region by region, and the offers that are made of it: what a size has comes from the catalogue,
 * what it costs from the feed. A fetch counts only when all of it is there; until then, and where it fails, the last one counts
 * while it is young enough, then the catalogue's prices.
 */

#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "cloud/azure/azure_priv.h"
#include "cloud/catalogue.h"

enum { PRICES_MAX = 20000, RETRY_S = 300, PLAUSIBLE_FACTOR = 8, OLD_FACTOR = 24 };

static const char first_path[] = "/api/retail/prices";

void azure_prices_path(const struct azure_region *r, char *ret, size_t size)
{
    (void)snprintf(ret, size,
                   "%s?currencyCode=USD&$filter=serviceName%%20eq%%20%%27Virtual%%20Machines%%27%%20and%%20priceType%%20eq%%20%%27Consumption%%27"
                   "%%20and%%20armRegionName%%20eq%%20%%27%s%%27%%20and%%20contains%%28armSkuName%%2C%%20%%27Standard_N%%27%%29",
                   first_path, r->name);
}

static const char *text_at(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s == NULL ? "" : s;
}

/* A price as it was written; 0 where it is none. */
static int64_t micro_of(const json_t *v)
{
    char text[64];
    int64_t micro = 0;
    if (json_is_integer(v)) {
        (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
    } else if (json_is_real(v)) {
        (void)snprintf(text, sizeof text, "%.6f", json_real_value(v));
    } else {
        return 0;
    }
    return weir_parse_money(weir_sv_of(text), &micro, NULL) < 0 || micro < 0 ? 0 : micro;
}

static void read_price(struct weir_provider *p, const json_t *o)
{
    struct azure_price row = {.micro_per_hour = micro_of(json_object_get(o, "retailPrice")), .spot = strstr(text_at(o, "meterName"), "Spot") != NULL};
    const char *size = text_at(o, "armSkuName");
    const char *region = text_at(o, "armRegionName");
    bool wanted = row.micro_per_hour > 0 && weir_streq(text_at(o, "type"), "Consumption") && weir_streq(text_at(o, "unitOfMeasure"), "1 Hour") &&
                  weir_streq(text_at(o, "currencyCode"), "USD") && strstr(text_at(o, "productName"), "Windows") == NULL &&
                  strstr(text_at(o, "productName"), "Dedicated") == NULL && strstr(text_at(o, "meterName"), "Low Priority") == NULL;
    if (wanted && size[0] != '\0' && strlen(size) < sizeof row.size && strlen(region) < sizeof row.region && p->prices.next.n < PRICES_MAX) {
        memcpy(row.size, size, strlen(size) + 1);
        memcpy(row.region, region, strlen(region) + 1);
        weir_vec_push(&p->prices.next, row);
    }
}

bool azure_prices_read(struct weir_provider *p, struct weir_sv body, char *ret_next, size_t size)
{
    json_t *page = json_loadb(body.p, body.n, 0, NULL);
    const json_t *items = json_object_get(page, "Items");
    const char *next = text_at(page, "NextPageLink");
    bool fine = json_is_array(items);
    for (size_t i = 0; i < json_array_size(items); i++) {
        read_price(p, json_array_get(items, i));
    }
    /* Only the path is taken: where it is asked is ours to say. A space in it is written as it may stand in a URL. */
    const char *path = strstr(next, first_path);
    ret_next[0] = '\0';
    if (next[0] != '\0' && (path == NULL || strlen(path) * 3 >= size)) {
        fine = false;
    }
    size_t at = 0;
    for (const char *c = path; fine && c != NULL && *c != '\0' && at + 4 < size; c++) {
        bool plain = *c > ' ' && *c < 0x7f && strchr("\"<>\\^`{|}'", *c) == NULL;
        at += (size_t)snprintf(ret_next + at, size - at, plain ? "%c" : "%%%02X", (unsigned char)*c);
    }
    json_decref(page);
    return fine;
}

bool azure_prices_are_old(const struct weir_provider *p)
{
    const struct azure_prices *s = &p->prices;
    struct weir_wall now = weir_clock_wall(p->env->clock);
    bool tried_lately = s->tried.us != 0 && weir_wall_sub(now, s->tried).us < RETRY_S * WEIR_US_PER_S;
    return !s->busy && !tried_lately && (s->fetched.us == 0 || weir_wall_sub(now, s->fetched).us >= p->conf.prices_age.us);
}

void azure_prices_begin(struct weir_provider *p)
{
    struct azure_prices *s = &p->prices;
    weir_vec_clear(&s->next);
    s->tried = weir_clock_wall(p->env->clock);
    s->region = 0;
    s->pages = 0;
    s->busy = true;
}

void azure_prices_take(struct weir_provider *p)
{
    struct azure_prices *s = &p->prices;
    weir_vec_clear(&s->row);
    for (size_t i = 0; i < s->next.n; i++) {
        weir_vec_push(&s->row, s->next.p[i]);
    }
    weir_vec_clear(&s->next);
    s->fetched = s->tried;
}

void azure_prices_release(struct azure_prices *s)
{
    weir_vec_release(&s->row);
    weir_vec_release(&s->next);
    weir_vec_release(&s->offers);
}

/* ---- offers ---- */

static const struct azure_price *find_price(const struct azure_prices *s, const char *region, const char *size, bool spot)
{
    for (size_t i = 0; i < s->row.n; i++) {
        const struct azure_price *r = &s->row.p[i];
        if (r->spot == spot && weir_streq(r->size, size) && weir_streq(r->region, region)) {
            return r;
        }
    }
    return NULL;
}

/* A feed that is wrong by a factor of ten must not send work there, nor away. */
static bool is_plausible(int64_t price, int64_t listed, bool spot)
{
    return price <= listed * PLAUSIBLE_FACTOR && (spot || price >= listed / PLAUSIBLE_FACTOR) && price >= listed / 100;
}

static void add_offer(struct weir_provider *p, struct weir_offer o, const char *region, bool is_listed)
{
    struct azure_prices *s = &p->prices;
    bool spot = o.market == WEIR_OFFER_SPOT;
    struct weir_wall now = weir_clock_wall(p->env->clock);
    bool young = s->fetched.us != 0 && weir_wall_sub(now, s->fetched).us < p->conf.prices_age.us * OLD_FACTOR;
    const struct azure_price *live = young ? find_price(s, region, o.instance_type, spot) : NULL;
    if (live != NULL && is_plausible(live->micro_per_hour, o.price_micro_per_hour, spot)) {
        o.price_micro_per_hour = live->micro_per_hour;
        o.as_of = s->fetched;
        o.expires = weir_wall_add(s->fetched, (struct weir_dur){p->conf.prices_age.us * OLD_FACTOR});
        (void)snprintf(o.source, sizeof o.source, "Azure Retail Prices");
    } else if (live != NULL || young || !is_listed) {
        return; /* not plausible, or not on sale there */
    }
    (void)snprintf(o.region, sizeof o.region, "%s", region);
    o.launchable = true;
    o.id = weir_offer_id(&o);
    weir_vec_push(&s->offers, o);
}

/* Is it the first row of its size and market? A region's own row, where there is one, is taken in place of it. */
static const struct weir_offer *row_for(const struct weir_offer *all, size_t n, const struct weir_offer *o, const char *region)
{
    const struct weir_offer *found = NULL;
    for (size_t i = 0; i < n; i++) {
        bool same = weir_streq(all[i].instance_type, o->instance_type) && all[i].market == o->market;
        if (same && weir_streq(all[i].region, region)) {
            return &all[i];
        }
        found = same && found == NULL ? &all[i] : found;
    }
    return found;
}

void azure_offers_make(struct weir_provider *p)
{
    size_t n = 0;
    const struct weir_offer *all = p->env->catalogue == NULL ? NULL : p->env->catalogue(p->env->catalogue_ctx, "azure", &n);
    weir_vec_clear(&p->prices.offers);
    for (size_t i = 0; i < n; i++) {
        const struct weir_offer *o = &all[i];
        bool first = row_for(all, i, o, "") == NULL;
        if (!first || o->market == WEIR_OFFER_RESERVED || (o->market == WEIR_OFFER_SPOT && !p->conf.spot)) {
            continue;
        }
        for (size_t k = 0; k < p->conf.n_regions; k++) {
            const struct weir_offer *row = row_for(all, n, o, p->conf.region[k].name);
            add_offer(p, *row, p->conf.region[k].name, weir_streq(row->region, p->conf.region[k].name));
        }
    }
}
