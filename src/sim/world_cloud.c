/* SPDX-License-Identifier: Apache-2.0 */

/* Providers: launches that work or do not, boots, stock, machines that are taken back. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "world_priv.h"

/* ---- offers ---- */

void weir_world_cloud_tell(struct weir_sim_world *w, const char *provider, const struct weir_offer *offer, size_t n)
{
    struct weir_event ev = {.kind = WEIR_EVENT_OFFERS_SET};
    ev.u.offers_set.provider = provider;
    ev.u.offers_set.offer = offer;
    ev.u.offers_set.n = n;
    weir_world_step(w, &ev);
}

void weir_world_cloud_offer(struct weir_sim_world *w, const struct weir_sim_provider *p)
{
    struct provider *to = &w->provider[w->n_providers];
    *to = (struct provider){.name = p->name, .gpus_max = p->gpus_max, .n_offers = p->n, .first = w->stock.n};
    for (size_t i = 0; i < p->n; i++) {
        struct stock s = {.offer = p->offer[i].id,
                          .price = p->price == NULL ? NULL : p->price[i],
                          .recorded = p->stock == NULL ? NULL : p->stock[i],
                          .until_us = INT64_MAX};
        if (w->faults.stockouts_per_hour > 0 && p->offer[i].market != WEIR_OFFER_RESERVED) {
            double after = weir_world_exponential(w, DRAW_STOCK, s.offer, 0);
            s.until_us = weir_i64_add_sat(w->now_us, weir_world_until(w->faults.stockouts_per_hour, after));
        }
        weir_map_put(&w->stock_of, s.offer, w->stock.n);
        weir_vec_push(&w->stock, s);
        weir_world_reserved_add(w, (uint32_t)w->n_providers, &p->offer[i], p->term == NULL ? (struct weir_dur){0} : p->term[i]);
    }
    uint32_t number = (uint32_t)w->n_providers++;
    if (p->price == NULL) {
        weir_world_cloud_tell(w, p->name, p->offer, p->n);
    } else {
        to->offer = weir_calloc(p->n, sizeof *to->offer);
        memcpy(to->offer, p->offer, p->n * sizeof *to->offer);
        weir_world_market_look(w, number);
        weir_world_market_schedule(w, number);
    }
    weir_world_settle(w);
}

static struct stock *stock_of(struct weir_sim_world *w, uint64_t offer)
{
    uint64_t number = 0;
    bool known = weir_map_get(&w->stock_of, offer, &number);
    WEIR_ASSERT(known);
    return &w->stock.p[number];
}

/* Stock comes and goes by itself; it is looked at when somebody asks. No machine is given out that would have notice at once. */
static bool is_out_of_stock(struct weir_sim_world *w, struct stock *s, const struct weir_offer *o)
{
    while (s->until_us <= w->now_us) {
        s->out = !s->out;
        s->changes++;
        double after = weir_world_exponential(w, DRAW_STOCK, s->offer, s->changes);
        int64_t lasts = s->out ? (int64_t)(after * (double)w->faults.stockout.us)
                               : weir_world_until(w->faults.stockouts_per_hour, after);
        s->until_us = weir_i64_add_sat(s->until_us, lasts > 0 ? lasts : 1);
    }
    int64_t notice = o->market == WEIR_OFFER_SPOT ? o->reclaim_notice.us : 0;
    return s->out || weir_i64_sub_sat(weir_world_market_end(w, s), notice) <= w->now_us;
}

static uint32_t provider_of(const struct weir_sim_world *w, const struct weir_offer *o)
{
    for (uint32_t i = 0; i < w->n_providers; i++) {
        if (weir_streq(w->provider[i].name, o->provider)) {
            return i;
        }
    }
    WEIR_UNREACHABLE();
}

/* ---- machines ---- */

struct rental *weir_world_rental_of(struct weir_sim_world *w, uint64_t lease)
{
    uint64_t slot = 0;
    return weir_map_get(&w->rental_of, lease, &slot) ? &w->rentals.p[slot] : NULL;
}

struct machine *weir_world_machine_of(struct weir_sim_world *w, struct weir_node_id node, struct weir_lease_id lease)
{
    if (lease.v == 0) {
        WEIR_ASSERT(node.v >= 1 && node.v <= w->n_nodes);
        return &w->node[node.v - 1];
    }
    struct rental *r = weir_world_rental_of(w, lease.v);
    WEIR_ASSERT(r != NULL);
    return &r->machine;
}

static uint32_t rental_slot(struct weir_sim_world *w)
{
    if (w->free_rentals.n > 0) {
        return w->free_rentals.p[--w->free_rentals.n];
    }
    WEIR_ASSERT(w->rentals.n < UINT32_MAX);
    weir_vec_push(&w->rentals, (struct rental){0});
    return (uint32_t)(w->rentals.n - 1);
}

static void report_lease(struct weir_sim_world *w, enum weir_event_kind kind, struct weir_lease_id lease)
{
    struct weir_event ev = {.kind = kind};
    ev.u.lease.lease = lease;
    ev.u.lease.at.us = w->now_us;
    weir_world_report(w, &ev);
}

static void refuse(struct weir_sim_world *w, struct weir_lease_id lease)
{
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_REFUSED};
    ev.u.lease_refused.lease = lease;
    ev.u.lease_refused.refusal = WEIR_REFUSAL_NO_CAPACITY;
    weir_world_report(w, &ev);
}

static void report_join(struct weir_sim_world *w, const struct rental *r)
{
    struct weir_node_view v;
    bool known = weir_core_node(w->core, (struct weir_node_id){r->node}, &v); /* since the launch */
    WEIR_ASSERT(known);
    v.spec.pool.v = r->machine.pool + 1;
    weir_vec_push(&w->specs, v.spec);
    weir_world_report(w, &(struct weir_event){.kind = WEIR_EVENT_NODE_JOIN}); /* the specs are joined in this order */
}

static int64_t boot_us(const struct weir_sim_world *w, uint64_t lease)
{
    double sigma = w->faults.boot_sigma;
    double factor = sigma > 0 ? exp(sigma * weir_world_normal(w, DRAW_BOOT, lease, 0)) : 1;
    double us = (double)w->faults.boot_median.us * factor;
    return us < (double)WEIR_US_PER_DAY ? (int64_t)us : WEIR_US_PER_DAY;
}

/* Where it is recorded when there are none left, then; else by chance. */
static void schedule_reclaim(struct weir_sim_world *w, const struct stock *s, struct rental *r, uint32_t slot)
{
    const struct weir_offer *o = &r->offer;
    r->reclaim_us = INT64_MAX;
    if (o->market != WEIR_OFFER_SPOT) {
        return;
    }
    if (s->recorded != NULL) {
        r->reclaim_us = weir_world_market_end(w, s);
    } else {
        double after = weir_world_exponential(w, DRAW_RECLAIM, r->lease, 0);
        double factor = w->faults.reclaim_factor > 0 ? w->faults.reclaim_factor : 1;
        r->reclaim_us = weir_i64_add_sat(w->now_us, weir_world_until(factor * o->reclaim_ppm_per_hour / 1e6, after));
    }
    weir_world_schedule(w, r->reclaim_us, HAPPENS_RECLAIM, r->lease, slot, r->turn);
    if (o->reclaim_notice.us > 0 && r->reclaim_us != INT64_MAX) {
        int64_t notice = r->reclaim_us - o->reclaim_notice.us;
        weir_world_schedule(w, notice > w->now_us ? notice : w->now_us, HAPPENS_NOTICE, r->lease, slot, r->turn);
    }
}

void weir_world_cloud_launch(struct weir_sim_world *w, const struct weir_effect *e)
{
    const struct weir_offer *o = e->u.lease_launch.offer;
    uint32_t number = provider_of(w, o);
    struct provider *p = &w->provider[number];
    struct stock *s = stock_of(w, o->id);
    if ((p->gpus_max > 0 && p->gpus_used + o->gpus > p->gpus_max) || is_out_of_stock(w, s, o)) {
        refuse(w, e->lease);
        return;
    }
    p->gpus_used += o->gpus;
    uint32_t slot = rental_slot(w);
    struct rental *r = &w->rentals.p[slot];
    *r = (struct rental){
        .machine = {.pool = (uint32_t)w->n_pools + number,
                    .gpus = o->gpus,
                    .throughput = o->gpus == 0 ? 0 : weir_gpu_table_get(w->gpus, o->gpu_model)->throughput_milli,
                    .tenants = r->machine.tenants},
        .offer = *o,
        .price = s->price,
        .lease = e->lease.v,
        .node = e->node.v,
        .turn = r->turn,
        .from_us = w->now_us,
    };
    r->offer.price_micro_per_hour = weir_world_market_price(w, s, o);
    weir_map_put(&w->rental_of, r->lease, slot);
    w->n_rented++;
    report_lease(w, WEIR_EVENT_LEASE_CONFIRMED, e->lease);
    schedule_reclaim(w, s, r, slot);
    if (r->price != NULL) { /* at once: it may be another than was quoted */
        weir_world_schedule(w, w->now_us, HAPPENS_PRICE, r->lease, slot, r->turn);
    }
    if (w->faults.boot_failure > 0 && weir_world_uniform(w, DRAW_BOOT_FAILURE, r->lease, 0) < w->faults.boot_failure) {
        return; /* the core will give it up */
    }
    int64_t boot = boot_us(w, r->lease);
    if (boot == 0) {
        r->ready_us = w->now_us;
        report_join(w, r);
    } else {
        weir_world_schedule(w, w->now_us + boot, HAPPENS_JOIN, r->lease, slot, r->turn);
    }
}

void weir_world_cloud_terminate(struct weir_sim_world *w, const struct weir_effect *e)
{
    struct rental *r = weir_world_rental_of(w, e->lease.v);
    if (r != NULL) {
        r->turn++; /* whatever was to become of it */
        report_lease(w, WEIR_EVENT_LEASE_ENDED, e->lease);
    }
}

void weir_world_cloud_join(struct weir_sim_world *w, uint32_t slot)
{
    struct rental *r = &w->rentals.p[slot];
    r->ready_us = w->now_us;
    report_join(w, r);
}

void weir_world_cloud_notice(struct weir_sim_world *w, uint32_t slot)
{
    const struct rental *r = &w->rentals.p[slot];
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_NOTICE};
    ev.u.lease.lease.v = r->lease;
    ev.u.lease.at.us = r->reclaim_us;
    weir_world_step(w, &ev);
}

void weir_world_cloud_reclaim(struct weir_sim_world *w, uint32_t slot)
{
    struct rental *r = &w->rentals.p[slot];
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_ENDED};
    ev.u.lease.lease.v = r->lease;
    ev.u.lease.at.us = w->now_us;
    ev.u.lease.reclaimed = true;
    r->reclaimed = true;
    r->turn++;
    weir_world_run_save_all(w, &r->machine);
    weir_world_step(w, &ev);
}

void weir_world_cloud_forget(struct weir_sim_world *w, struct weir_lease_id lease)
{
    uint64_t slot = 0;
    if (!weir_map_get(&w->rental_of, lease.v, &slot)) {
        return;
    }
    struct rental *r = &w->rentals.p[slot];
    WEIR_ASSERT(r->machine.tenants.n == 0);
    uint32_t number = r->machine.pool - (uint32_t)w->n_pools;
    w->provider[number].gpus_used -= r->machine.gpus;
    if (w->watch.rental != NULL) {
        struct weir_sim_rental told = {.provider = number,
                                       .gpus = r->machine.gpus,
                                       .from = {r->from_us},
                                       .ready = {r->ready_us},
                                       .to = {w->now_us},
                                       .reclaimed = r->reclaimed};
        w->watch.rental(w->watch.user, &told);
    }
    r->lease = 0;
    r->turn++;
    w->n_rented--;
    weir_map_remove(&w->rental_of, lease.v);
    weir_vec_push(&w->free_rentals, (uint32_t)slot);
}
