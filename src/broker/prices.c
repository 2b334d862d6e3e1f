/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Prices of machines that run, where these move: what a provider tells of its offers is compared with what its spot machines are charged. A
 * price that differs is kept until the machine is known to have been there when that price began; then core and ledger learn of it in one
 * event, so that every second before is charged at the old price and every one from then on at the new. Nothing of this need survive a
 * restart: the price in force is stored with the lease, and the provider is asked anew, for all that came between where it keeps that.
 */

#include <inttypes.h>

#include "base/log.h"
#include "base/map.h"
#include "broker_priv.h"

enum { HISTORY_TRIES = 5 };

static bool moves(const struct lease_watch *w, const struct weir_lease_view *v)
{
    return w->step != LEASE_STEP_DONE && w->provider != NULL && (w->provider->ops->caps & WEIR_PROVIDER_SPOT_MOVES) != 0 &&
           v->offer.market == WEIR_OFFER_SPOT;
}

/*
 * A price is as good as one that a machine would be rented at: the driver has refused what cannot be. One whose beginning is not told, or
 * that is not to be trusted any more, says nothing of what runs.
 */
static bool is_usable(const struct weir_offer *o, struct weir_wall now)
{
    return o->price_micro_per_hour > 0 && o->price_since.us != 0 && o->expires.us > now.us;
}

/* What the offer asks, in the ledger's currency: at the rate of the quote where it is told in another, as all of the machine is charged. 0: not known. */
static int64_t price_of(const struct weir_offer *o, const struct weir_offer *quote)
{
    int64_t price = o->price_micro_per_hour;
    if (!weir_streq(o->currency, quote->currency)) {
        return 0;
    }
    return o->currency[0] == '\0' || weir_money_exchange_up(o->original_micro_per_hour, quote->rate_nano, &price) ? price : 0;
}

/* What it asks as the one change; none where that is what the machine costs. */
static void take_one(struct broker *b, struct lease_watch *w, const struct weir_lease_view *v, const struct weir_offer *o)
{
    int64_t price = price_of(o, &v->offer);
    weir_vec_clear(&w->prices);
    w->prices_early = v->confirmed_at.us == 0 && w->provider->ops->price_history != NULL;
    if (price > 0 && price != v->price_micro_per_hour) {
        weir_vec_push(&w->prices, (struct price_change){price, weir_engine_inside(b->engine, o->price_since)});
    }
}

/* The price that is charged began then; 0: none is yet. */
static struct weir_wall charged_since(const struct weir_lease_view *v)
{
    return v->priced.us > v->confirmed_at.us ? v->priced : v->confirmed_at;
}

bool prices_have_history(struct broker *b, const struct lease_watch *w)
{
    struct weir_lease_view v;
    return weir_core_lease(weir_engine_core(b->engine), w->lease, &v) && moves(w, &v) && w->provider->ops->price_history != NULL &&
           v.confirmed_at.us != 0;
}

void prices_ask(struct broker *b, struct lease_watch *w)
{
    struct weir_lease_view v;
    if (weir_core_lease(weir_engine_core(b->engine), w->lease, &v)) {
        w->prices_busy = leases_ask_prices(b, w, &v.offer, weir_engine_outside(b->engine, charged_since(&v)));
    }
}

/*
 * A price that began after the one that is charged need not have followed on it: where the provider keeps its history that is asked for first. One
 * that does not come is asked for again with the next answer of the feed, a few times.
 */
static void compare(struct broker *b, struct lease_watch *w, const struct weir_lease_view *v, const struct weir_offer *o)
{
    struct weir_wall last = charged_since(v);
    struct weir_wall since = weir_engine_inside(b->engine, o->price_since);
    if (w->provider->ops->price_history == NULL || v->confirmed_at.us == 0 || since.us <= last.us) {
        take_one(b, w, v, o);
    } else if (w->prices_failed >= HISTORY_TRIES) {
        take_one(b, w, v, o);
        w->prices_failed = 0;
        w->prices_until = since;
    } else if (!w->prices_busy && since.us != w->prices_until.us) {
        prices_ask(b, w);
    }
}

void prices_history(struct broker *b, struct lease_watch *w, const struct weir_provider_result *r)
{
    struct weir_lease_view v;
    w->prices_busy = false;
    if (!weir_core_lease(weir_engine_core(b->engine), w->lease, &v)) {
        return;
    }
    if (r->class != WEIR_PROVIDER_OK || r->n_offers == 0) {
        w->prices_failed++;
        weir_log(WEIR_LOG_WARNING, "lease.price", "lease=%" PRIu64 " text=\"how its price went is not known: %s\"", w->lease.v,
                 r->text[0] == '\0' ? "the provider tells of no price" : r->text);
        return;
    }
    w->prices_failed = 0;
    w->prices_early = false;
    weir_vec_clear(&w->prices);
    for (size_t i = 0; i < r->n_offers; i++) {
        int64_t price = is_usable(&r->offer[i], weir_clock_wall(b->provider_env.clock)) ? price_of(&r->offer[i], &v.offer) : 0;
        if (price > 0) {
            w->prices_until = weir_engine_inside(b->engine, r->offer[i].price_since);
            weir_vec_push(&w->prices, (struct price_change){price, w->prices_until});
        }
    }
}

void prices_told(struct broker *b, const struct provider *p, const struct weir_offer *o, size_t n)
{
    struct weir_core *core = weir_engine_core(b->engine);
    struct weir_map wanted = {0}; /* offers that machines were rented by */
    struct weir_lease_view v;
    for (size_t i = 0; i < b->leases.n; i++) {
        const struct lease_watch *w = &b->leases.p[i];
        if (w->provider == p && weir_core_lease(core, w->lease, &v) && moves(w, &v)) {
            weir_map_put(&wanted, v.offer.id, SIZE_MAX);
        }
    }
    uint64_t at;
    for (size_t i = 0; i < n && wanted.n > 0; i++) {
        if (weir_map_get(&wanted, o[i].id, &at) && is_usable(&o[i], weir_clock_wall(b->provider_env.clock))) {
            weir_map_put(&wanted, o[i].id, i);
        }
    }
    for (size_t i = 0; i < b->leases.n && wanted.n > 0; i++) {
        struct lease_watch *w = &b->leases.p[i];
        if (w->provider == p && weir_core_lease(core, w->lease, &v) && moves(w, &v) && weir_map_get(&wanted, v.offer.id, &at) && at != SIZE_MAX) {
            compare(b, w, &v, &o[at]);
        }
    }
    weir_map_release(&wanted);
}

static void charge(struct broker *b, const struct weir_lease_view *v, const struct price_change *c)
{
    struct weir_err err;
    weir_engine_proven(b->engine, v->id, c->since);
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_RATES};
    ev.u.node_rates.node = v->node;
    ev.u.node_rates.rates.full_micro_per_hour = c->micro_per_hour;
    ev.u.node_rates.at = c->since;
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "lease.price", "lease=%" PRIu64 " text=\"%s\"", v->id.v, err.text);
    }
    broker_wake(b);
}

void prices_seen(struct broker *b, struct weir_lease_id lease, struct weir_wall seen)
{
    struct weir_lease_view v;
    struct lease_watch *w = leases_watch(b, lease);
    size_t taken = 0;
    bool may_ask = w != NULL && w->step != LEASE_STEP_PRICES; /* else the books close with what is known */
    if (may_ask && w->prices_early && weir_core_lease(weir_engine_core(b->engine), lease, &v) && v.confirmed_at.us != 0) {
        w->prices_early = false;
        if (w->prices.n > 0 && w->prices.p[0].since.us > v.confirmed_at.us) { /* what it cost first is not known by that */
            weir_vec_clear(&w->prices);
            if (!w->prices_busy) {
                prices_ask(b, w);
            }
            return;
        }
    }
    while (w != NULL && taken < w->prices.n && w->prices.p[taken].since.us <= seen.us && weir_core_lease(weir_engine_core(b->engine), lease, &v) &&
           v.confirmed_at.us != 0) {
        const struct price_change c = w->prices.p[taken++];
        if (c.micro_per_hour != v.price_micro_per_hour) {
            charge(b, &v, &c);
            w = leases_watch(b, lease);
        }
    }
    if (taken > 0 && w != NULL) {
        w->prices.n -= taken;
        memmove(w->prices.p, w->prices.p + taken, w->prices.n * sizeof *w->prices.p);
    }
}
