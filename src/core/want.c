/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What requests ask of a node. Shapes that differ in run time or money only ask the same: they fit the same node types, and
 * where one finds no room none does. Wants of shapes that wait are hot: what gains room is compared with them.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

/* ---- what fits what ---- */

static bool any_glob(const char *pattern, size_t stride, uint32_t n, const char *text)
{
    for (uint32_t i = 0; i < n; i++) {
        if (weir_glob_match(weir_sv_of(pattern + i * stride), weir_sv_of(text))) {
            return true;
        }
    }
    return false;
}

static enum weir_verdict fit_place(const struct weir_request *r, const struct node_type *t)
{
    if (t->rented ? r->local == WEIR_LOCAL_ONLY : r->local == WEIR_LOCAL_NEVER) {
        return WEIR_VERDICT_PLACEMENT;
    }
    if (t->rented && r->clouds > 0 &&
        !any_glob(&r->cloud[0][0], sizeof r->cloud[0], r->clouds, t->provider)) {
        return WEIR_VERDICT_PLACEMENT;
    }
    /* an owned node whose region nobody named is held to be in the right one */
    if (r->regions > 0 && (t->rented || t->region[0] != '\0') &&
        !any_glob(&r->region[0][0], sizeof r->region[0], r->regions, t->region)) {
        return WEIR_VERDICT_PLACEMENT;
    }
    if (t->rented && wants_one_zone(r) && t->zone[0] == '\0') {
        return WEIR_VERDICT_ZONE;
    }
    if (t->rented && ((r->market == WEIR_MARKET_ON_DEMAND && t->market == WEIR_OFFER_SPOT) ||
                      (r->market == WEIR_MARKET_SPOT && t->market != WEIR_OFFER_SPOT))) {
        return WEIR_VERDICT_MARKET;
    }
    return WEIR_VERDICT_CHOSEN;
}

struct type_fit request_fit(const struct weir_core *c, const struct weir_request *r, const struct node_type *t)
{
    struct type_fit f = {.verdict = (uint8_t)fit_place(r, t)};
    if (f.verdict != WEIR_VERDICT_CHOSEN) {
        return f;
    }
    bool model = r->alternatives == 0;
    bool memory = model;
    bool count = model;
    for (uint32_t i = 0; i < r->alternatives && !count; i++) {
        const struct weir_gpu_wish *w = &r->alternative[i];
        if (t->gpus == 0 || !weir_gpu_table_match(c->conf.gpus, w->model, t->gpu_model)) {
            continue;
        }
        model = true;
        if (t->gpu_mem_mib < r->gpu_mem_mib_min) {
            continue;
        }
        memory = true;
        if (w->count <= t->gpus) {
            count = true;
            f.alternative = (uint8_t)i;
            f.gpus = w->count;
        }
    }
    if (!model) {
        f.verdict = WEIR_VERDICT_WRONG_GPU;
    } else if (!memory) {
        f.verdict = WEIR_VERDICT_GPU_MEMORY;
    } else if (!count || r->cpu_milli > t->cpu_milli || r->mem_mib > t->mem_mib) {
        f.verdict = WEIR_VERDICT_TOO_SMALL;
    } else if (!policy_allows_type(c, r, t)) {
        f.verdict = WEIR_VERDICT_POLICY; /* so it is said of what would do otherwise only */
    }
    return f;
}

/* There are only ever more node types. */
void want_fit(struct weir_core *c, struct want *w)
{
    while (w->fit.n < c->types.n) {
        const struct node_type *t = c->types.p[w->fit.n];
        struct type_fit f = request_fit(c, w->asks, t);
        weir_vec_push(&w->fit, f);
        if (f.verdict == WEIR_VERDICT_CHOSEN) {
            w->fits |= UINT64_C(1) << type_bit(t);
        }
    }
}

struct type_fit shape_fit(struct weir_core *c, struct shape *s, const struct node_type *t)
{
    if (s->want->fit.n <= t->id) {
        want_fit(c, s->want);
    }
    return s->want->fit.p[t->id];
}

bool want_fits_on(const struct want *w, const struct node *n)
{
    if (!node_fits(n, w->gpus_min, w->cpu_milli, w->mem_mib) || !node_takes_work(n) || w->fit.n <= n->type->id) {
        return false;
    }
    struct type_fit f = w->fit.p[n->type->id];
    return f.verdict == WEIR_VERDICT_CHOSEN && popcount32(n->free_mask) >= f.gpus;
}

/* ---- making and forgetting ---- */

/* The parts of a request that request_fit reads, and the number of nodes. */
static uint64_t asks_hash(const struct weir_request *r)
{
    uint64_t key[9 + WEIR_ALTERNATIVES_MAX] = {r->alternatives, r->market, r->local, (uint64_t)r->same_zone << 16 | (uint64_t)r->clouds << 8 | r->regions,
                                               r->gpu_mem_mib_min, r->cpu_milli, r->mem_mib, r->nodes, r->policy};
    for (uint32_t i = 0; i < r->alternatives; i++) {
        key[9 + i] = (uint64_t)r->alternative[i].model << 16 | r->alternative[i].count;
    }
    return words_hash(key, WEIR_ARRAY_LEN(key));
}

static bool asks_same(const struct weir_request *a, const struct weir_request *b)
{
    if (a->alternatives != b->alternatives || a->market != b->market || a->local != b->local || a->clouds != b->clouds ||
        a->regions != b->regions || a->gpu_mem_mib_min != b->gpu_mem_mib_min || a->cpu_milli != b->cpu_milli ||
        a->mem_mib != b->mem_mib || a->nodes != b->nodes || a->policy != b->policy ||
        a->same_zone != b->same_zone) {
        return false;
    }
    for (uint32_t i = 0; i < a->alternatives; i++) {
        if (a->alternative[i].model != b->alternative[i].model || a->alternative[i].count != b->alternative[i].count) {
            return false;
        }
    }
    return memcmp(a->cloud, b->cloud, a->clouds * sizeof a->cloud[0]) == 0 &&
           memcmp(a->region, b->region, a->regions * sizeof a->region[0]) == 0;
}

struct want *want_ref(struct weir_core *c, const struct weir_request *r, uint32_t gpus_min)
{
    uint64_t hash = asks_hash(r);
    uint64_t head = 0;
    (void)weir_map_get(&c->want_by_hash, hash, &head);
    struct want *first = (struct want *)(uintptr_t)head;
    for (struct want *w = first; w != NULL; w = w->hash_next) {
        if (asks_same(w->asks, r)) {
            w->n_refs++;
            return w;
        }
    }
    struct want *w = weir_alloc(sizeof *w);
    *w = (struct want){.gpus_min = gpus_min,
                       .cpu_milli = r->cpu_milli,
                       .mem_mib = r->mem_mib,
                       .asks = r,
                       .n_refs = 1,
                       .hot = SIZE_MAX,
                       .hash = hash,
                       .hash_next = first};
    weir_map_put(&c->want_by_hash, hash, (uint64_t)(uintptr_t)w);
    return w;
}

void want_unref(struct weir_core *c, struct want *w, const struct weir_request *r)
{
    if (--w->n_refs > 0) {
        WEIR_ASSERT(w->asks != r); /* the newest shape is the only one that is ever dropped */
        return;
    }
    uint64_t head = 0;
    (void)weir_map_get(&c->want_by_hash, w->hash, &head);
    WEIR_ASSERT((struct want *)(uintptr_t)head == w && w->lanes == NULL);
    if (w->hash_next != NULL) {
        weir_map_put(&c->want_by_hash, w->hash, (uint64_t)(uintptr_t)w->hash_next);
    } else {
        (void)weir_map_remove(&c->want_by_hash, w->hash);
    }
    want_free(w);
}

void want_free(struct want *w)
{
    weir_vec_release(&w->fit);
    weir_vec_release(&w->offer);
    free(w);
}

/* ---- the hot ones ---- */

/* Has it a choice between groups? */
static bool joins_groups(const struct weir_core *c, const struct want *w)
{
    for (uint64_t m = w->fits; m != 0; m &= m - 1) {
        if (c->group[__builtin_ctzll(m)] != c->group[__builtin_ctzll(w->fits)]) {
            return true;
        }
    }
    return false;
}

static uint32_t hot_gpus(const struct want *w)
{
    return w->gpus_min <= WEIR_NODE_GPUS_MAX ? w->gpus_min : WEIR_NODE_GPUS_MAX + 1;
}

void want_heat(struct weir_core *c, struct want *w)
{
    w->hot = c->hot.n;
    c->hot_by_gpus[hot_gpus(w)]++;
    weir_vec_push(&c->hot, w);
    want_fit(c, w);
    if (joins_groups(c, w)) {
        claims_regroup(c);
    }
}

void want_cool(struct weir_core *c, struct want *w)
{
    c->hot_by_gpus[hot_gpus(w)]--;
    c->hot.p[w->hot] = c->hot.p[--c->hot.n];
    c->hot.p[w->hot]->hot = w->hot;
    w->hot = SIZE_MAX;
}

void wants_update(struct weir_core *c)
{
    bool joined = false;
    for (size_t k = 0; c->hot_types < c->types.n && k < c->hot.n; k++) {
        want_fit(c, c->hot.p[k]);
        joined = joined || joins_groups(c, c->hot.p[k]);
    }
    c->hot_types = c->types.n;
    if (joined) {
        claims_regroup(c);
    }
}
