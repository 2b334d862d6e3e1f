/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classes of tasks whose every way to run has no room are parked: they stand in no lane, so that no event looks at them.
 * A class is parked exactly while limits_block says so; it is found out when what a budget or quota has left passes what
 * some class needs, so that most events need no look at all.
 */

#include "core/limits_priv.h"

/* Of a quota that is in one of these ways, how much must be left before it is not. */
static int64_t least_more(const struct weir_core *c, const struct quota *q, const struct shape *s, const struct ways *ways, bool anew)
{
    int64_t left = quota_left(c, q);
    int64_t least = US_NEVER;
    for (uint32_t k = 0; k < ways->n && k < WAYS_MAX; k++) {
        int64_t need = way_need(c, q, s, &ways->p[k], anew);
        least = need > left ? min_i64(least, need) : least;
    }
    return least;
}

/* Of a quota that has room for some of the ways, the most that one of them needs. */
static int64_t most_less(const struct weir_core *c, const struct quota *q, const struct shape *s, const struct ways *ways, bool anew)
{
    int64_t left = quota_left(c, q);
    int64_t most = 0;
    for (uint32_t k = 0; k < ways->n && k < WAYS_MAX; k++) {
        int64_t need = way_need(c, q, s, &ways->p[k], anew);
        most = need <= left ? max_i64(most, need) : most;
    }
    return most;
}

/* What it takes to know whether a class must be looked at again: what would open a way that is shut, or shut one that is open. */
static void note(const struct weir_core *c, struct limits *l, const struct class *cl, const struct purse *p, const struct verge *v)
{
    const struct shape *s = cl->shape;
    for (size_t i = 0; i < l->quota.n; i++) {
        const struct quota *q = l->quota.p[i];
        struct gate *g = &l->gate.p[i];
        g->parked_least = min_i64(g->parked_least, least_more(c, q, s, &s->here, false));
        g->open_most = max_i64(g->open_most, most_less(c, q, s, &s->here, false));
        if (verge_is_shut(v) || v->anew) {
            g->parked_least = min_i64(g->parked_least, least_more(c, q, s, &s->anew, true));
            g->open_most = max_i64(g->open_most, most_less(c, q, s, &s->anew, true));
        }
    }
    if (verge_is_shut(v)) {
        l->parked_owned = min_i64(l->parked_owned, p->owned_need);
        l->parked_rented = min_i64(l->parked_rented, p->rented_need);
    }
    l->open_owned = v->owned ? max_i64(l->open_owned, p->owned_need) : l->open_owned;
    l->open_rented = v->rented ? max_i64(l->open_rented, p->rented_need) : l->open_rented;
}

/* Is it to be parked? */
static bool weigh_class(struct weir_core *c, struct limits *l, struct class *cl)
{
    shape_least(c, cl->shape);
    struct purse p = purse_of(c, l, cl->shape);
    struct verge v = verge_of(c, l, cl->shape, &p);
    note(c, l, cl, &p, &v);
    bool narrow = shape_is_narrow(c, l, cl->shape);
    c->claims_moved = c->claims_moved || narrow != cl->narrow;
    cl->narrow = narrow;
    return verge_is_shut(&v);
}

void limits_enter(struct weir_core *c, struct class *cl)
{
    struct limits *l = cl->limits;
    cl->limits_at = l->class.n;
    weir_vec_push(&l->class, cl);
    cl->parked = weigh_class(c, l, cl);
}

void limits_leave(struct class *cl)
{
    struct limits *l = cl->limits;
    struct class *last = l->class.p[--l->class.n];
    WEIR_ASSERT(l->class.p[cl->limits_at] == cl || last == cl);
    l->class.p[cl->limits_at] = last;
    last->limits_at = cl->limits_at;
    cl->parked = false;
}

/* What may be held, at most, on what is owned and on rented machines; less than nothing where that is forbidden. */
static void figure(const struct weir_core *c, const struct limits *l, int64_t *owned, int64_t *rented)
{
    *owned = US_NEVER;
    *rented = US_NEVER;
    for (size_t i = 0; i < l->budget.n; i++) {
        const struct budget *b = l->budget.p[i];
        int64_t left = max_i64(budget_left(c, b), 0);
        *owned = budget_forbids(c, b, false) ? -1 : b->def.cloud_only ? *owned : min_i64(*owned, left);
        *rented = budget_forbids(c, b, true) ? -1 : min_i64(*rented, left);
    }
}

/* Does some quota have enough for one that is parked, or too little for one that is not? */
static bool quotas_moved(const struct weir_core *c, const struct limits *l)
{
    bool moved = false;
    for (size_t i = 0; i < l->quota.n; i++) {
        int64_t left = quota_left(c, l->quota.p[i]);
        moved = moved || left >= l->gate.p[i].parked_least || left < l->gate.p[i].open_most;
    }
    return moved;
}

/* May a class be parked that must not be, or the other way round? */
static bool is_unsettled(const struct weir_core *c, struct limits *l)
{
    if (l->settled == c->budgets_version && l->settled_world == c->world && (!l->ebbs || l->settled_us == c->now_us)) {
        return false;
    }
    int64_t owned = 0;
    int64_t rented = 0;
    figure(c, l, &owned, &rented);
    bool rides = l->n_leases > 0;
    bool same = l->settled_world == c->world && l->rides == rides && (l->owned < 0) == (owned < 0) && (l->rented < 0) == (rented < 0);
    bool money = l->budget.n > 0 && (l->parked_owned <= owned || l->parked_rented <= rented || l->open_owned > owned || l->open_rented > rented);
    l->settled = c->budgets_version;
    l->settled_world = c->world;
    l->settled_us = c->now_us;
    l->rides = rides;
    l->owned = owned;
    l->rented = rented;
    return !same || money || quotas_moved(c, l);
}

void limits_say(struct weir_core *c, struct class *cl)
{
    struct shortage s = limits_block(c, cl);
    const uint64_t key[] = {s.budget == NULL ? 0 : s.budget->id, s.quota == NULL ? 0 : s.quota->id, 1};
    uint64_t said = words_hash(key, WEIR_ARRAY_LEN(key));
    if (!is_short(&s) || cl->shape->said == said) {
        return;
    }
    cl->shape->said = said;
    struct weir_explain *x = explain_add(c, WEIR_DECISION_BLOCKED);
    limits_explain(cl->first, job_first_waiting(cl->first), &s, x);
}


static bool settle(struct weir_core *c, struct limits *l)
{
    bool moved = false;
    l->parked_owned = US_NEVER;
    l->parked_rented = US_NEVER;
    l->open_owned = 0;
    l->open_rented = 0;
    for (size_t i = 0; i < l->gate.n; i++) {
        l->gate.p[i] = (struct gate){US_NEVER, 0};
    }
    for (size_t i = 0; i < l->class.n; i++) {
        struct class *cl = l->class.p[i];
        bool shut = weigh_class(c, l, cl);
        if (shut && !cl->parked) {
            class_park(c, cl);
            limits_say(c, cl);
            moved = true;
        } else if (!shut && cl->parked) {
            class_unpark(c, cl);
            moved = true;
        }
    }
    return moved;
}

bool limits_settle(struct weir_core *c)
{
    bool moved = false;
    for (size_t i = 0; i < c->limits.n; i++) {
        struct limits *l = c->limits.p[i];
        moved = (l->class.n > 0 && is_unsettled(c, l) && settle(c, l)) || moved;
    }
    return moved;
}

int64_t limits_wake_us(const struct weir_core *c)
{
    int64_t at = US_NEVER;
    for (size_t i = 0; i < c->limits.n; i++) {
        const struct limits *l = c->limits.p[i];
        for (size_t k = 0; l->ebbs && k < l->quota.n; k++) {
            const struct quota *q = l->quota.p[k];
            int64_t least = l->gate.p[k].parked_least;
            if (q->def.counts == WEIR_QUOTA_RUN_MINUTES && least != US_NEVER && q->n > 0) {
                int64_t lacks_ms = weir_i64_sub_sat(least, quota_left(c, q));
                at = min_i64(at, weir_i64_add_sat(c->now_us, weir_mul_div_sat(lacks_ms / q->n + 1, 1000, 1)));
            }
        }
    }
    return at;
}

/* ---- who is parked ---- */

size_t weir_core_parked(struct weir_core *c, struct weir_parked *ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < c->limits.n; i++) {
        const struct limits *l = c->limits.p[i];
        for (size_t k = 0; k < l->class.n && n < max; k++) {
            struct shortage s = l->class.p[k]->parked ? limits_block(c, l->class.p[k]) : (struct shortage){0};
            if (is_short(&s)) {
                ret[n++] = (struct weir_parked){.shape = l->class.p[k]->shape->id,
                                                .set = l->number,
                                                .budget = {s.budget == NULL ? 0 : s.budget->id},
                                                .quota = {s.quota == NULL ? 0 : s.quota->id}};
            }
        }
    }
    return n;
}
