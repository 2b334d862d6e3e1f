/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reserved machines cost whether they are used or not. While one is leased the lease is billed; while it is not, a node of the bill that nobody
 * ever uses stands for it, at the same rate: at any instant there is exactly one of the two, and what is unused comes to idle.
 */

#include "world_priv.h"

/* Far beyond the numbers of nodes and leases that the core gives. */
#define FIRST_UNUSED (UINT64_C(1) << 48)

static void open_unused(struct weir_sim_world *w, struct reserved *r, struct weir_wall at)
{
    struct weir_err err;
    uint64_t id = FIRST_UNUSED + w->unused_ever++;
    struct weir_bill_node n = {.node = {id},
                               .lease = {id},
                               .pool = {(uint32_t)w->n_pools + r->provider + 1},
                               .gpus = r->gpus,
                               .cpu_milli = r->cpu_milli,
                               .price_micro_per_hour = r->price_micro_per_hour};
    int x = weir_bill_node_open(w->bill, &n, at, &err);
    WEIR_ASSERT(x == 0);
    weir_bill_node_ready(w->bill, n.node, at);
    weir_vec_push(&r->unused, id);
}

static struct reserved *reserved_of(struct weir_sim_world *w, uint64_t offer)
{
    for (size_t i = 0; i < w->reserved.n; i++) {
        if (w->reserved.p[i].offer == offer) {
            return &w->reserved.p[i];
        }
    }
    WEIR_UNREACHABLE();
}

void weir_world_reserved_add(struct weir_sim_world *w, uint32_t provider, const struct weir_offer *o, struct weir_dur term)
{
    if (o->market != WEIR_OFFER_RESERVED || w->bill == NULL) {
        return;
    }
    struct reserved r = {.offer = o->id,
                         .provider = provider,
                         .gpus = o->gpus,
                         .cpu_milli = o->cpu_milli,
                         .price_micro_per_hour = o->price_micro_per_hour,
                         .term_us = term.us};
    for (uint32_t i = 0; i < o->machines_max; i++) {
        open_unused(w, &r, (struct weir_wall){w->now_us});
    }
    weir_vec_push(&w->reserved, r);
}

void weir_world_reserved_take(struct weir_sim_world *w, const struct weir_offer *o, struct weir_wall at)
{
    if (o->market == WEIR_OFFER_RESERVED) {
        struct reserved *r = reserved_of(w, o->id);
        WEIR_ASSERT(r->unused.n > 0); /* the core leases no more than there are */
        weir_bill_node_close(w->bill, (struct weir_node_id){r->unused.p[--r->unused.n]}, at);
    }
}

void weir_world_reserved_give(struct weir_sim_world *w, const struct weir_offer *o, struct weir_wall at)
{
    if (o->market == WEIR_OFFER_RESERVED) {
        open_unused(w, reserved_of(w, o->id), at);
    }
}

void weir_world_reserved_close(struct weir_sim_world *w)
{
    for (size_t i = 0; i < w->reserved.n; i++) {
        struct reserved *r = &w->reserved.p[i];
        int64_t term = r->term_us > 0 ? r->term_us : 1;
        int64_t terms = (w->now_us - w->begin_us + term - 1) / term;
        struct weir_wall end = {weir_i64_add_sat(w->begin_us, terms * term)};
        while (r->unused.n > 0) {
            weir_bill_node_close(w->bill, (struct weir_node_id){r->unused.p[--r->unused.n]}, end);
        }
    }
}

bool weir_sim_world_is_unused(struct weir_node_id node)
{
    return node.v >= FIRST_UNUSED;
}

void weir_world_reserved_release(struct weir_sim_world *w)
{
    for (size_t i = 0; i < w->reserved.n; i++) {
        weir_vec_release(&w->reserved.p[i].unused);
    }
    weir_vec_release(&w->reserved);
}
