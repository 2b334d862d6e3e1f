/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The recorded spot market of a replay's clouds: which of their machines a series is of. A cloud of which nothing is recorded is as it was;
 * of any other only those spot machines are offered that all that is given has a record of.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/vec.h"
#include "replay.h"

enum { LETTERS_MAX = 2 }; /* of a zone behind its region: us-east-1a, us-west1-b */

struct offers {
    struct weir_offer *p;
    size_t n;
    size_t size;
};

/* ---- what a series is of ---- */

/* Does the offer name no zone, and may be in this one? */
static bool may_be_in(const struct weir_offer *o, const char *zone)
{
    size_t n = strlen(o->region);
    return o->zone[0] == '\0' && strncmp(o->region, zone, n) == 0 && (n == 0 || strlen(zone) - n <= LETTERS_MAX);
}

/* The same kind of machine, wherever it is? */
static bool is_kind(const struct weir_replay_site *site, const struct weir_sim_market *m, const struct weir_sim_market_series *s,
                    const struct weir_offer *o)
{
    if (m == &site->prices) {
        return weir_streq(s->kind, o->instance_type);
    }
    return s->gpus == 0 || (s->gpus == o->gpus && weir_gpu_table_find(site->gpus, weir_sv_of(s->kind)) == o->gpu_model);
}

static const struct weir_sim_market_series *series_of(const struct weir_replay_site *site, const struct weir_sim_market *m,
                                                      const struct weir_offer *o)
{
    for (size_t i = 0; i < m->n && o->market == WEIR_OFFER_SPOT; i++) {
        if (weir_streq(m->p[i].zone, o->zone) && is_kind(site, m, &m->p[i], o)) {
            return &m->p[i];
        }
    }
    return NULL;
}

/* ---- the machines that were recorded ---- */

static bool has_spot(const struct weir_replay_site *site, const struct weir_sim_market *m, const struct weir_sim_market_series *s,
                     const struct offers *all)
{
    for (size_t i = 0; i < all->n; i++) {
        if (all->p[i].market == WEIR_OFFER_SPOT && weir_streq(all->p[i].zone, s->zone) && is_kind(site, m, s, &all->p[i])) {
            return true;
        }
    }
    return false;
}

/* A spot machine of that kind in the zone for each that the cloud has there, or in the region, by its list. */
static void make_spot(const struct weir_replay_site *site, const struct weir_sim_market *m, const struct weir_sim_market_series *s,
                      struct offers *all, size_t listed, enum weir_market from)
{
    double share = m == &site->prices || from == WEIR_OFFER_SPOT ? 1 : site->param[WEIR_REPLAY_SPOT_PRICE];
    for (size_t i = 0; i < listed && share > 0; i++) {
        struct weir_offer o = all->p[i];
        bool there = weir_streq(o.zone, s->zone) || may_be_in(&o, s->zone);
        if (o.market != from || !there || !is_kind(site, m, s, &o) || strlen(s->zone) >= sizeof o.zone) {
            continue;
        }
        memset(o.zone, 0, sizeof o.zone);
        snprintf(o.zone, sizeof o.zone, "%s", s->zone);
        o.price_micro_per_hour = (int64_t)llround((double)o.price_micro_per_hour * share);
        weir_replay_site_spot(site, &o);
        o.id = weir_offer_id(&o);
        weir_vec_push(all, o);
    }
}

/* Is anything of it recorded? Then the machines are there. */
static bool add_recorded(const struct weir_replay_site *site, const struct weir_sim_market *m, struct offers *all, size_t listed)
{
    bool any = false;
    for (size_t i = 0; i < m->n; i++) {
        const struct weir_sim_market_series *s = &m->p[i];
        if (!has_spot(site, m, s, all)) {
            make_spot(site, m, s, all, listed, WEIR_OFFER_SPOT);
        }
        if (!has_spot(site, m, s, all)) {
            make_spot(site, m, s, all, listed, WEIR_OFFER_ON_DEMAND);
        }
        any = any || has_spot(site, m, s, all);
    }
    return any;
}

/* What provider k offers from now on. price and stock say whether there are such series of it. */
static void take_recorded(struct weir_replay_site *site, size_t k, struct offers *all, bool price, bool stock)
{
    size_t n = 0;
    site->offer_price[k] = price ? weir_calloc(all->n, sizeof *site->offer_price[k]) : NULL;
    site->offer_stock[k] = stock ? weir_calloc(all->n, sizeof *site->offer_stock[k]) : NULL;
    for (size_t i = 0; i < all->n; i++) {
        const struct weir_sim_market_series *p = price ? series_of(site, &site->prices, &all->p[i]) : NULL;
        const struct weir_sim_market_series *s = stock ? series_of(site, &site->stock, &all->p[i]) : NULL;
        if (all->p[i].market == WEIR_OFFER_SPOT && ((price && p == NULL) || (stock && s == NULL))) {
            continue;
        }
        if (p != NULL) {
            site->offer_price[k][n] = &p->steps;
        }
        if (s != NULL) {
            site->offer_stock[k][n] = &s->steps;
        }
        all->p[n++] = all->p[i];
    }
    site->offer[k] = all->p;
    site->provider[k].offer = all->p;
    site->provider[k].n = n;
    site->provider[k].price = site->offer_price[k];
    site->provider[k].stock = site->offer_stock[k];
}

/* ---- all ---- */

/* "FILE" or "NAME=FILE". */
static int read_file(const struct weir_replay_site *site, const char *text, const char *option,
                     int (*read)(struct weir_sim_market *ret, const char *path, struct weir_err *err), struct weir_sim_market *ret,
                     struct weir_sv *ret_name, struct weir_err *err)
{
    if (text == NULL) {
        return 0;
    }
    const char *path = strchr(text, '=');
    int r = 0;
    if (path != NULL) {
        bool known = false;
        *ret_name = (struct weir_sv){text, (size_t)(path - text)};
        for (size_t k = 0; k < site->n_providers; k++) {
            known = known || weir_sv_eq(*ret_name, weir_sv_of(site->provider[k].name));
        }
        r = known ? 0 : weir_fail(err, -WEIR_ENOTFOUND, "there is no cloud '%.*s': --catalogue names them", WEIR_SV_ARG(*ret_name));
    } else if (site->n_providers == 0) {
        r = weir_fail(err, -WEIR_EINVAL, "there is no cloud whose machines these could be: --catalogue NAME=FILE, or --cloud-price");
    }
    path = path == NULL ? text : path + 1;
    if (r == 0 && weir_streq(path, "-")) {
        r = weir_fail(err, -WEIR_EINVAL, "a file is needed, not the standard input");
    }
    r = r < 0 ? r : read(ret, path, err);
    return r < 0 ? weir_fail_prefix(err, r, "--%s", option) : 0;
}

int weir_replay_market_read(struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_err *err)
{
    struct weir_sv price_name = {0};
    struct weir_sv stock_name = {0};
    int r = read_file(site, o->prices, "prices", weir_sim_market_read_prices, &site->prices, &price_name, err);
    r = r < 0 ? r : read_file(site, o->traces, "traces", weir_sim_market_read_stock, &site->stock, &stock_name, err);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < site->prices.n; i++) {
        for (size_t k = 0; k < site->prices.p[i].steps.n; k++) {
            int64_t *v = &site->prices.p[i].steps.p[k].value;
            *v = (int64_t)fmax(1, round((double)*v * site->param[WEIR_REPLAY_PRICE_FACTOR]));
        }
    }
    bool any_price = site->prices.n == 0;
    bool any_stock = site->stock.n == 0;
    for (size_t k = 0; k < site->n_providers && (site->prices.n > 0 || site->stock.n > 0); k++) {
        struct weir_sv name = weir_sv_of(site->provider[k].name);
        size_t listed = site->provider[k].n;
        struct offers all = {.p = WEIR_TAKE(site->offer[k]), .n = listed, .size = listed};
        bool price = (price_name.p == NULL || weir_sv_eq(price_name, name)) && add_recorded(site, &site->prices, &all, listed);
        bool stock = (stock_name.p == NULL || weir_sv_eq(stock_name, name)) && add_recorded(site, &site->stock, &all, listed);
        take_recorded(site, k, &all, price, stock);
        any_price = any_price || price;
        any_stock = any_stock || stock;
    }
    if (!any_price) {
        return weir_fail(err, -WEIR_EINVAL, "--prices %s: no cloud has a machine of any of these types in any of these zones", o->prices);
    }
    if (!any_stock) {
        return weir_fail(err, -WEIR_EINVAL, "--traces %s: no cloud has a spot machine of any of these kinds in any of these zones%s", o->traces,
                         site->param[WEIR_REPLAY_SPOT_PRICE] > 0 ? "" : "; --set spot_price=0.3 gives those on demand a price on spot");
    }
    return 0;
}

void weir_replay_market_release(struct weir_replay_site *site)
{
    for (size_t k = 0; k < site->n_providers; k++) {
        free(site->offer_price[k]);
        free(site->offer_stock[k]);
    }
    weir_sim_market_release(&site->prices);
    weir_sim_market_release(&site->stock);
}

static struct weir_sim_record moved(const struct weir_replay_site *site, struct weir_sim_record r, struct weir_wall begin, int64_t shift_us)
{
    r.shift_us = (int64_t)llround(site->param[WEIR_REPLAY_MARKET_SHIFT_HOURS] * (double)WEIR_US_PER_HOUR) - shift_us;
    if (site->param[WEIR_REPLAY_MARKET_ALIGN] > 0) {
        r.shift_us += r.begin_us - begin.us;
    }
    if (site->param[WEIR_REPLAY_MARKET_REPEAT] <= 0) {
        r.period_us = 0;
    }
    return r;
}

struct weir_sim_market_times weir_replay_market_times(const struct weir_replay_site *site, struct weir_wall begin, int64_t shift_us)
{
    return (struct weir_sim_market_times){
        .price = moved(site, site->prices.record, begin, shift_us),
        .stock = moved(site, site->stock.record, begin, shift_us),
        .look.us = (int64_t)llround(site->param[WEIR_REPLAY_MARKET_LOOK_S] * 1e6),
    };
}
