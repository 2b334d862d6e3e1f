/* SPDX-License-Identifier: Apache-2.0 */

/* What was recorded of a spot market: the prices that the core is told of now and then, and when machines are to be had. */

#include "world_priv.h"

static int64_t price_at(const struct weir_sim_world *w, const struct weir_sim_steps *price)
{
    return weir_sim_steps_at(price, &w->market.price, (struct weir_wall){w->now_us});
}

int64_t weir_world_market_price(const struct weir_sim_world *w, const struct stock *s, const struct weir_offer *o)
{
    return s->price == NULL ? o->price_micro_per_hour : price_at(w, s->price);
}

int64_t weir_world_market_end(const struct weir_sim_world *w, const struct stock *s)
{
    return s->recorded == NULL ? INT64_MAX : weir_sim_steps_until(s->recorded, &w->market.stock, (struct weir_wall){w->now_us}, 0).us;
}

void weir_world_market_look(struct weir_sim_world *w, uint32_t number)
{
    struct provider *p = &w->provider[number];
    bool changed = !p->told;
    for (size_t i = 0; i < p->n_offers; i++) {
        struct weir_offer *o = &p->offer[i];
        int64_t price = weir_world_market_price(w, &w->stock.p[p->first + i], o);
        changed = changed || price != o->price_micro_per_hour;
        if (w->stock.p[p->first + i].price != NULL) {
            o->price_micro_per_hour = price;
            o->as_of.us = w->now_us;
        }
    }
    p->told = true;
    if (changed) {
        weir_world_cloud_tell(w, p->name, p->offer, p->n_offers);
    }
}

void weir_world_market_reprice(struct weir_sim_world *w, uint32_t slot)
{
    struct rental *r = &w->rentals.p[slot];
    const struct weir_sim_steps *price = r->price;
    int64_t next = weir_sim_steps_next(price, &w->market.price, (struct weir_wall){w->now_us}).us;
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_RATES};
    ev.u.node_rates.node.v = r->node;
    ev.u.node_rates.rates.full_micro_per_hour = price_at(w, price);
    if (next != INT64_MAX) {
        weir_world_schedule(w, next, HAPPENS_PRICE, r->lease, slot, r->turn);
    }
    weir_world_step(w, &ev);
}

static int64_t price_of(const struct weir_offer *o, int64_t price, uint32_t gpus)
{
    return o->gpus == 0 ? price : weir_mul_div_sat(price, gpus, o->gpus);
}

double weir_world_market_cost(const struct weir_sim_world *w, const struct rental *r, uint32_t gpus, int64_t from_us, int64_t to_us)
{
    double sum = 0;
    while (from_us < to_us) {
        struct weir_wall at = {from_us};
        int64_t price = r->price == NULL ? r->offer.price_micro_per_hour : weir_sim_steps_at(r->price, &w->market.price, at);
        int64_t until = r->price == NULL ? to_us : weir_sim_steps_next(r->price, &w->market.price, at).us;
        until = until < to_us ? until : to_us;
        sum += (double)price_of(&r->offer, price, gpus) / 1e6 * (double)(until - from_us) / (double)WEIR_US_PER_HOUR;
        from_us = until;
    }
    return sum;
}

void weir_world_market_schedule(struct weir_sim_world *w, uint32_t number)
{
    const struct provider *p = &w->provider[number];
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < p->n_offers; i++) {
        const struct weir_sim_steps *price = w->stock.p[p->first + i].price;
        if (price != NULL) {
            int64_t change = weir_sim_steps_next(price, &w->market.price, (struct weir_wall){w->now_us}).us;
            next = change < next ? change : next;
        }
    }
    if (next == INT64_MAX) {
        return;
    }
    int64_t looks = (next - w->begin_us + w->market.look.us - 1) / w->market.look.us; /* since the begin */
    weir_world_schedule(w, weir_i64_add_sat(w->begin_us, looks * w->market.look.us), HAPPENS_LOOK, number, number, 0);
}
