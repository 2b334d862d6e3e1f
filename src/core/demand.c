/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tasks want of GPUs, and what of a node they could not use. The demand is all tasks that have not ended, waiting or
 * running, by what they want of a node: a function of the objects, so that a restored core places as the other did. Wants
 * are kept in order of demand as tasks come and end; the foremost are the mix by which fragmentation is measured, see frag.h.
 */

#include <string.h>

#include "core/core_priv.h"

enum { MIX_MAX = 16 };

/* To three binary digits: the mix, and what was worked out for it, stays while the demand changes a little. */
static uint32_t weight_of(uint64_t n_tasks)
{
    enum { DIGITS_MAX = 30 };
    uint32_t n = n_tasks >> DIGITS_MAX == 0 ? (uint32_t)n_tasks : 1u << DIGITS_MAX;
    uint32_t cut = 0;
    while (n >> cut > 7) {
        cut++;
    }
    return n >> cut << cut;
}

/* By falling weight; what was there first must not show. */
static bool comes_before(const struct want *a, const struct want *b)
{
    if (a->weight != b->weight) {
        return a->weight > b->weight;
    }
    if (a->gpus_min != b->gpus_min) {
        return a->gpus_min < b->gpus_min;
    }
    if (a->cpu_milli != b->cpu_milli) {
        return a->cpu_milli < b->cpu_milli;
    }
    return a->mem_mib != b->mem_mib ? a->mem_mib < b->mem_mib : a->hash < b->hash;
}

static size_t demand_place(const struct weir_core *c, const struct want *w)
{
    size_t lo = 0;
    size_t hi = c->demand.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (comes_before(c->demand.p[mid], w)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

void demand_change(struct weir_core *c, struct want *w, int64_t n_tasks)
{
    w->n_tasks = (uint64_t)((int64_t)w->n_tasks + n_tasks);
    uint32_t weight = weight_of(w->n_tasks);
    if (w->gpus_min == 0 || weight == w->weight) {
        return;
    }
    size_t from = c->demand.n;
    if (w->weight > 0) {
        from = demand_place(c, w);
        while (c->demand.p[from] != w) { /* two that differ in nothing but what is not compared */
            from++;
        }
        memmove(&c->demand.p[from], &c->demand.p[from + 1], (c->demand.n - from - 1) * sizeof *c->demand.p);
        c->demand.n--;
    }
    w->weight = weight;
    size_t to = demand_place(c, w);
    if (weight > 0) {
        weir_vec_push(&c->demand, w);
        memmove(&c->demand.p[to + 1], &c->demand.p[to], (c->demand.n - 1 - to) * sizeof *c->demand.p);
        c->demand.p[to] = w;
    }
    c->mix_stale = c->mix_stale || from < MIX_MAX || to < MIX_MAX;
}

static uint32_t clamp_u32(uint64_t v)
{
    return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

/* To the measure a node type is what a model is: a task uses it or not. */
static void mix_build(struct weir_core *c)
{
    struct weir_frag_ask ask[MIX_MAX];
    uint32_t count[MIX_MAX];
    size_t n = c->demand.n < MIX_MAX ? c->demand.n : MIX_MAX;
    uint64_t types = 0; /* that have nodes: one that has none any more, a restored core does not know */
    for (size_t i = 0; i < c->types.n; i++) {
        types |= (uint64_t)(c->types.p[i]->n_nodes > 0) << type_bit(c->types.p[i]);
    }
    for (size_t i = 0; i < n; i++) {
        struct want *w = c->demand.p[i];
        want_fit(c, w);
        ask[i] = (struct weir_frag_ask){.models = w->fits & types,
                                        .cpu_milli = w->cpu_milli,
                                        .mem_mib = clamp_u32(w->mem_mib),
                                        .gpus = (uint16_t)w->gpus_min,
                                        .gpu_milli = WEIR_FRAG_GPU};
        count[i] = (w->fits & types) == 0 ? 0 : w->weight; /* what fits nowhere is no reason to keep anything whole */
    }
    weir_frag_mix_build(&c->mix, ask, count, n, MIX_MAX, 100);
    c->mix_stale = false;
    c->mix_number++;
}

/*
 * What of the node's free GPUs the mix could not use for want of cores or memory, were so much left of it. What it could not
 * use for want of GPUs is left out: whole GPUs alone are packed better by the fewest free ones.
 */
static int64_t stranded(const struct weir_core *c, const struct node_type *t, uint32_t gpus, uint32_t cpu_milli, uint64_t mem_mib)
{
    struct weir_frag_room room = {.model = UINT64_C(1) << type_bit(t), .cpu_milli = cpu_milli, .mem_mib = clamp_u32(mem_mib), .gpus = gpus};
    for (uint32_t i = 0; i < gpus; i++) {
        room.left_milli[i] = WEIR_FRAG_GPU;
    }
    int64_t all = weir_frag_stranded(&c->mix, &room);
    room.cpu_milli = UINT32_MAX;
    room.mem_mib = UINT32_MAX;
    return all - weir_frag_stranded(&c->mix, &room);
}

static bool is_for(const struct score *s, const struct score *key)
{
    return s->mix_number == key->mix_number && s->gpus == key->gpus && s->cpu_milli == key->cpu_milli && s->mem_mib == key->mem_mib &&
           s->mem_free == key->mem_free;
}

int64_t demand_score(struct weir_core *c, const struct node *n, const struct want *w, uint32_t gpus)
{
    if (c->mix_stale) {
        mix_build(c);
    }
    const uint32_t type = n->type->id;
    const uint32_t gpus_free = popcount32(n->free_mask);
    const struct score key = {.mix_number = c->mix_number,
                              .gpus = (uint64_t)type << 32 | gpus << 16 | gpus_free,
                              .cpu_milli = (uint64_t)w->cpu_milli << 32 | n->cpu_free,
                              .mem_mib = w->mem_mib,
                              .mem_free = n->mem_free};
    /* rooms are alike more often than not, so that most are known */
    uint64_t at = (w->hash ^ (uint64_t)type << 40 ^ (uint64_t)gpus_free << 34 ^ n->cpu_free) * UINT64_C(0x9e3779b97f4a7c15);
    struct score *s = &c->scores[(at ^ n->mem_free * UINT64_C(0xbf58476d1ce4e5b9)) >> (64 - SCORE_BITS)];
    if (!is_for(s, &key)) {
        int64_t before = stranded(c, n->type, gpus_free, n->cpu_free, n->mem_free);
        int64_t after = stranded(c, n->type, gpus_free - gpus, n->cpu_free - w->cpu_milli, n->mem_free - w->mem_mib);
        *s = key;
        s->value = weir_frag_score(&c->mix, before, after);
    }
    return s->value;
}
