/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Prices of machines that run, where these move: what a provider tells of its offers is compared with what its spot machines are charged. A
 * price that differs is kept until the machine is known to have been there when that price began; then core and ledger learn of it in one
 * event, so that every second before is charged at the old price and every one from then on at the new. Nothing of this need survive a
 * restart: the price in force is stored with the lease, and the provider is asked anew; one that keeps a history tells of all that was
 * missed. Such a provider is also asked once more when a machine has ended, before its books are closed.
 */

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "broker_priv.h"

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
static int64_t price_of(const struct weir_offer *o, int64_t told_micro, const struct weir_offer *quote)
{
    int64_t price = told_micro;
    if (!weir_streq(o->currency, quote->currency)) {
        return 0;
    }
    return o->currency[0] == '\0' || weir_money_exchange_up(told_micro, quote->rate_nano, &price) ? price : 0;
}

/* Its price in force holds since then; 0: it has not begun to cost. */
static struct weir_wall in_force_since(const struct weir_lease_view *v)
{
    return v->priced.us != 0 ? v->priced : v->confirmed_at;
}

static void add_price(struct price_step *list, size_t *n, struct weir_wall since, int64_t micro)
{
    if (micro > 0 && since.us != 0 && (*n == 0 || list[*n - 1].since.us < since.us)) {
        list[(*n)++] = (struct price_step){since, micro};
    }
}

/*
 * Puts what was told behind what was told before and is older. Of those that hold since before the price in force only the last counts: the
 * provider's later word on it.
 */
static void keep(struct broker *b, struct lease_watch *w, const struct weir_lease_view *v, const struct weir_offer *o, const struct weir_price_step *step, size_t n_steps)
{
    struct price_step *list = weir_calloc(w->n_prices + n_steps + 1, sizeof *list);
    struct weir_wall first = weir_engine_inside(b->engine, n_steps > 0 ? step[0].since : o->price_since);
    size_t n = 0;
    for (size_t i = 0; i < w->n_prices && w->price[i].since.us < first.us; i++) {
        list[n++] = w->price[i];
    }
    for (size_t i = 0; i < n_steps; i++) {
        add_price(list, &n, weir_engine_inside(b->engine, step[i].since), price_of(o, step[i].price_micro_per_hour, &v->offer));
    }
    int64_t now_micro = o->currency[0] == '\0' ? o->price_micro_per_hour : o->original_micro_per_hour;
    add_price(list, &n, weir_engine_inside(b->engine, o->price_since), price_of(o, now_micro, &v->offer));
    size_t past = 0;
    while (past + 1 < n && list[past + 1].since.us <= in_force_since(v).us) {
        past++;
    }
    past += past + 1 == n && list[past].micro_per_hour == v->price_micro_per_hour; /* nothing new */
    prices_forget(w);
    w->n_prices = n - past;
    if (w->n_prices > 0) {
        memmove(list, list + past, w->n_prices * sizeof *list);
        w->price = list;
    } else {
        free(list);
    }
}

/* The steps of the offer; NULL: none was told. */
static const struct weir_price_step *steps_of(const struct weir_map *first, const struct weir_provider_result *r, uint64_t offer, size_t *ret_n)
{
    uint64_t at;
    size_t n = 0;
    bool told = weir_map_get(first, offer, &at);
    while (told && at + n < r->n_steps && r->step[at + n].offer == offer) {
        n++;
    }
    *ret_n = n;
    return told ? &r->step[at] : NULL;
}

void prices_begin(struct broker *b, struct provider *p)
{
    struct weir_lease_view v;
    struct weir_wall from = WEIR_WALL_MAX;
    if (p->prices_known || p->ops->prices_from == NULL) {
        return;
    }
    for (size_t i = 0; i < b->leases.n; i++) {
        const struct lease_watch *w = &b->leases.p[i];
        if (w->provider == p && weir_core_lease(weir_engine_core(b->engine), w->lease, &v) && moves(w, &v)) {
            struct weir_wall since = v.confirmed_at.us != 0 ? in_force_since(&v) : v.intent_at;
            from = since.us < from.us ? since : from;
        }
    }
    if (from.us != INT64_MAX) {
        p->ops->prices_from(p->p, weir_engine_outside(b->engine, from));
    }
}

void prices_told(struct broker *b, struct provider *p, const struct weir_provider_result *r)
{
    struct weir_core *core = weir_engine_core(b->engine);
    struct weir_map wanted = {0}; /* offers that machines were rented by */
    struct weir_map first = {0};  /* step of each of them */
    struct weir_lease_view v;
    for (size_t i = 0; i < b->leases.n; i++) {
        const struct lease_watch *w = &b->leases.p[i];
        if (w->provider == p && weir_core_lease(core, w->lease, &v) && moves(w, &v)) {
            weir_map_put(&wanted, v.offer.id, SIZE_MAX);
        }
    }
    uint64_t at;
    struct weir_wall now = weir_clock_wall(b->provider_env.clock);
    for (size_t i = 0; i < r->n_offers; i++) {
        p->prices_move = p->prices_move || r->offer[i].price_since.us != 0;
        if (wanted.n > 0 && weir_map_get(&wanted, r->offer[i].id, &at) && is_usable(&r->offer[i], now)) {
            weir_map_put(&wanted, r->offer[i].id, i);
        }
    }
    for (size_t i = r->n_steps; i-- > 0 && wanted.n > 0;) {
        if (weir_map_get(&wanted, r->step[i].offer, &at)) {
            weir_map_put(&first, r->step[i].offer, i);
        }
    }
    for (size_t i = 0; i < b->leases.n && wanted.n > 0; i++) {
        struct lease_watch *w = &b->leases.p[i];
        if (w->provider == p && weir_core_lease(core, w->lease, &v) && moves(w, &v) && weir_map_get(&wanted, v.offer.id, &at) && at != SIZE_MAX) {
            size_t n;
            const struct weir_price_step *step = steps_of(&first, r, v.offer.id, &n);
            keep(b, w, &v, &r->offer[at], step, n);
        }
    }
    p->prices_known = p->prices_known || !r->is_old;
    weir_map_release(&wanted);
    weir_map_release(&first);
}

/* From its beginning on; never from before the machine began to cost. */
static void put_in_force(struct broker *b, const struct weir_lease_view *v, const struct price_step *s)
{
    struct weir_err err;
    weir_engine_proven(b->engine, v->id, s->since);
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_RATES};
    ev.u.node_rates.node = v->node;
    ev.u.node_rates.rates.full_micro_per_hour = s->micro_per_hour;
    ev.u.node_rates.at = s->since;
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "lease.price", "lease=%" PRIu64 " text=\"%s\"", v->id.v, err.text);
    }
    broker_wake(b);
}

void prices_seen(struct broker *b, struct weir_lease_id lease, struct weir_wall seen)
{
    struct weir_lease_view v;
    struct lease_watch *w = leases_watch(b, lease);
    size_t i = 0;
    for (; w != NULL && i < w->n_prices && w->price[i].since.us <= seen.us; i++) {
        if (!weir_core_lease(weir_engine_core(b->engine), lease, &v) || v.confirmed_at.us == 0) {
            return;
        }
        bool is_past = i + 1 < w->n_prices && w->price[i + 1].since.us <= in_force_since(&v).us;
        if (!is_past && w->price[i].micro_per_hour != v.price_micro_per_hour) {
            put_in_force(b, &v, &w->price[i]);
        }
    }
    if (i > 0) {
        w->n_prices -= i;
        memmove(w->price, w->price + i, w->n_prices * sizeof *w->price);
    }
}

bool prices_are_open(struct broker *b, const struct lease_watch *w)
{
    struct weir_lease_view v;
    const struct provider *p = w->provider;
    bool may_move = p->prices_move || !p->prices_known; /* nothing was told since the broker's start */
    return may_move && p->ops->prices_from != NULL && weir_core_lease(weir_engine_core(b->engine), w->lease, &v) && moves(w, &v);
}

void prices_forget(struct lease_watch *w)
{
    free(w->price);
    w->price = NULL;
    w->n_prices = 0;
}
