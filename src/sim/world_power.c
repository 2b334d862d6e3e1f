/* SPDX-License-Identifier: Apache-2.0 */

/* What owned nodes draw, by the model of the bill: idle watts, and busy watts by the share of the node that is held. */

#include "world_priv.h"

static uint64_t at_least_one(uint32_t n)
{
    return n == 0 ? 1 : n;
}

/* The larger of the shares of GPUs and of cores, of GPUs x cores. */
static uint64_t part_of(const struct weir_sim_pool *p, const struct weir_effect *e)
{
    uint64_t by_gpu = p->gpus == 0 ? 0 : e->u.segment.gpus * at_least_one(p->cpu_milli);
    uint64_t by_cpu = p->cpu_milli == 0 ? 0 : e->u.segment.cpu_milli * at_least_one(p->gpus);
    return by_gpu > by_cpu ? by_gpu : by_cpu;
}

/* Tells of the span since the last change. */
static void tell(struct weir_sim_world *w, struct machine *m, int64_t to_us)
{
    if (to_us <= m->held_since_us) {
        return;
    }
    const struct weir_sim_pool *p = &w->pool[m->pool];
    const struct weir_owned_cost *c = &p->cost;
    uint64_t whole = at_least_one(p->gpus) * at_least_one(p->cpu_milli);
    uint64_t held = m->held < whole ? m->held : whole; /* of GPUs and cores, more than the node may be held together */
    weir_i128 watts = (weir_i128)c->idle_watts * (whole - held) + (weir_i128)c->busy_watts * held;
    struct weir_sim_power power = {.pool = m->pool,
                                   .node = (uint64_t)(m - w->node),
                                   .from = {m->held_since_us},
                                   .to = {to_us},
                                   .milliwatts = (int64_t)(watts * (c->pue_milli < 1000 ? 1000 : c->pue_milli) / whole)};
    w->watch.power(w->watch.user, &power);
    m->held_since_us = to_us;
}

void weir_world_power_change(struct weir_sim_world *w, const struct weir_effect *e)
{
    if (w->watch.power == NULL || e->lease.v != 0) {
        return;
    }
    struct machine *m = &w->node[e->node.v - 1];
    tell(w, m, e->at.us);
    uint64_t part = part_of(&w->pool[m->pool], e);
    if (e->kind == WEIR_EFFECT_SEGMENT_OPEN) {
        m->held += part;
    } else {
        WEIR_ASSERT(m->held >= part);
        m->held -= part;
    }
}

void weir_world_power_close(struct weir_sim_world *w)
{
    for (size_t i = 0; i < w->n_nodes && w->watch.power != NULL; i++) {
        tell(w, &w->node[i], w->now_us);
    }
}
