/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of budgets and quotas that count the same tasks, what is left in them, and whether a task may start at a place. What
 * runs and machines hold: hold.c. In which ways a class of tasks could run: ways.c. Who waits for room: park.c.
 */

#include <stdlib.h>
#include <string.h>

#include "core/limits_priv.h"

/* ---- sets of budgets ---- */

bool are_budgets(const struct limits *l, const budget_vec *set)
{
    return l->budget.n == set->n && (set->n == 0 || memcmp(l->budget.p, set->p, set->n * sizeof *set->p) == 0);
}

static void find_timed(struct limits *l)
{
    l->ebbs = false;
    l->timed = false;
    l->shares = false;
    for (size_t i = 0; i < l->quota.n; i++) {
        enum weir_quota_counts k = (enum weir_quota_counts)l->quota.p[i]->def.counts;
        l->ebbs = l->ebbs || k == WEIR_QUOTA_RUN_MINUTES;
        l->timed = l->timed || weir_quota_is_timed(k);
        l->shares = l->shares || l->quota.p[i]->def.shares;
    }
}

struct limits *limits_intern(struct weir_core *c, const budget_vec *budgets, const quota_vec *quotas)
{
    if (budgets->n + quotas->n == 0) {
        return NULL;
    }
    for (size_t i = 0; i < c->limits.n; i++) {
        struct limits *x = c->limits.p[i];
        if (are_budgets(x, budgets) && x->quota.n == quotas->n &&
            (quotas->n == 0 || memcmp(x->quota.p, quotas->p, quotas->n * sizeof *quotas->p) == 0)) {
            return x;
        }
    }
    struct limits *l = weir_alloc(sizeof *l);
    l->number = ++c->limits_made;
    for (size_t i = 0; i < budgets->n; i++) {
        weir_vec_push(&l->budget, budgets->p[i]);
    }
    for (size_t i = 0; i < quotas->n; i++) {
        weir_vec_push(&l->quota, quotas->p[i]);
        weir_vec_push(&l->gate, (struct gate){.shut_least = US_NEVER, .own_least = US_NEVER, .parked_least = US_NEVER});
    }
    find_timed(l);
    l->shut_owned = l->shut_rented = US_NEVER;
    l->parked.columns = 2 + l->quota.n;
    for (size_t i = 0; i < l->parked.columns; i++) {
        weir_vec_push(&l->row, 0);
        weir_vec_push(&l->left, 0);
    }
    weir_vec_push(&c->limits, l);
    return l;
}

static void limits_free(struct limits *l)
{
    weir_vec_release(&l->budget);
    weir_vec_release(&l->quota);
    weir_vec_release(&l->gate);
    weir_vec_release(&l->class);
    weir_vec_release(&l->row);
    weir_vec_release(&l->left);
    parked_release(&l->parked);
    free(l);
}

void limits_release(struct weir_core *c)
{
    for (size_t i = 0; i < c->limits.n; i++) {
        limits_free(c->limits.p[i]);
    }
    weir_vec_release(&c->limits);
}

bool limits_count(const struct limits *l, const struct budget *b)
{
    for (size_t i = 0; l != NULL && i < l->budget.n; i++) {
        if (l->budget.p[i] == b) {
            return true;
        }
    }
    return false;
}

bool limits_have(const struct limits *l, const struct quota *q)
{
    for (size_t i = 0; l != NULL && i < l->quota.n; i++) {
        if (l->quota.p[i] == q) {
            return true;
        }
    }
    return false;
}

/* The set's budgets without the one, for what is held there still. */
static struct limits *without(struct weir_core *c, struct limits *l, const struct budget *b)
{
    budget_vec set = {0};
    for (size_t i = 0; i < l->budget.n; i++) {
        if (l->budget.p[i] != b) {
            weir_vec_push(&set, l->budget.p[i]);
        }
    }
    struct limits *r = limits_intern(c, &set, &(quota_vec){0});
    weir_vec_release(&set);
    return r;
}

void limits_forget(struct weir_core *c, const struct budget *b, const struct quota *q)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->unsettled.n; i++) {
        struct unsettled u = c->unsettled.p[i];
        u.limits = limits_count(u.limits, b) || limits_have(u.limits, q) ? without(c, u.limits, b) : u.limits;
        if (u.limits != NULL) {
            c->unsettled.p[kept++] = u;
        }
    }
    c->unsettled.n = kept;
    kept = 0;
    for (size_t i = 0; i < c->limits.n; i++) {
        struct limits *l = c->limits.p[i];
        if (limits_count(l, b) || limits_have(l, q)) {
            WEIR_ASSERT(l->class.n == 0 && l->parked.n == 0);
            limits_free(l);
        } else {
            c->limits.p[kept++] = l;
        }
    }
    c->limits.n = kept;
}

/* ---- what is left ---- */

int64_t budget_left(const struct weir_core *c, const struct budget *b)
{
    if (!budget_is_active(c, b)) {
        return US_NEVER;
    }
    return weir_i64_sub_sat(weir_i64_sub_sat(b->def.amount_micro, b->charged_micro), b->held_micro);
}

/* What the thresholds that it has reached forbid. */
bool budget_forbids(const struct weir_core *c, const struct budget *b, bool rented)
{
    bool forbids = false;
    for (uint32_t i = 0; i < b->def.n_thresholds && budget_is_active(c, b); i++) {
        enum weir_budget_action a = (enum weir_budget_action)b->def.threshold[i].action;
        if ((b->reached >> i & 1u) != 0 && a != WEIR_BUDGET_WARN) {
            forbids = forbids || rented || (a != WEIR_BUDGET_LOCAL_ONLY && !b->def.cloud_only);
        }
    }
    return forbids;
}

void limits_hold(struct weir_core *c, const struct limits *l, int64_t micro)
{
    for (size_t i = 0; micro != 0 && i < l->budget.n; i++) {
        struct budget *b = l->budget.p[i];
        b->held_micro = weir_i64_add_sat(b->held_micro, micro);
        budget_changed(c, b);
    }
}

static bool is_less(const struct shortage *a, const struct shortage *b)
{
    return weir_i64_sub_sat(a->need, a->left) < weir_i64_sub_sat(b->need, b->left);
}

static bool compares(const struct shortage *a, const struct shortage *b)
{
    return (a->budget != NULL) == (b->budget != NULL) && a->quota == b->quota;
}

void keep_lesser(struct shortage *kept, const struct shortage *s)
{
    if (is_short(s) && (!is_short(kept) || (compares(kept, s) && is_less(s, kept)))) {
        *kept = *s;
    }
}

/* Lets the worse of two shortages stand. */
void keep_worse(struct shortage *s, const struct budget *b, int64_t need, int64_t left)
{
    const struct shortage x = {.budget = b, .need = need, .left = left};
    if (need > left && (!is_short(s) || (compares(s, &x) && is_less(s, &x)))) {
        *s = x;
    }
}

/* A task counts so much in the quota. */
void ask_quota(struct shortage *s, const struct quota *q, int64_t need, int64_t left)
{
    if (need > 0 && need > left && !is_short(s)) {
        *s = (struct shortage){.quota = q, .need = need, .left = max_i64(left, 0)};
    }
}

/* So much is to be held in the budget. */
void ask_budget(const struct weir_core *c, struct shortage *s, const struct budget *b, int64_t need, bool rented)
{
    if (budget_forbids(c, b, rented)) {
        keep_worse(s, b, max_i64(need, 1), 0);
    } else if (need > 0) {
        keep_worse(s, b, need, max_i64(budget_left(c, b), 0));
    }
}

/* ---- may it start there? ---- */

/* What the machines would have to hold more for it. */
static int64_t extension(const struct weir_core *c, const struct limits *own, const struct spot *spot, uint32_t n, int64_t run_us, struct shortage *s)
{
    int64_t more = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct lease *l = spot[i].node->lease;
        if (l == NULL || !has_budgets(l->payer->limits)) {
            continue;
        }
        int64_t extra = max_i64(weir_i64_sub_sat(lease_worst(c, l, run_us), l->held_micro), 0);
        if (own != NULL && are_budgets(own, &l->payer->limits->budget)) {
            more = weir_i64_add_sat(more, extra);
        } else if (extra > 0) { /* others do not pay for it */
            keep_worse(s, l->payer->limits->budget.p[0], extra, 0);
        }
    }
    return more;
}

static bool spots_cover(const struct spot *spot, uint32_t n, const struct budget *b)
{
    for (uint32_t i = 0; i < n; i++) {
        if (spot[i].node->lease == NULL || !limits_count(spot[i].node->lease->payer->limits, b)) {
            return false;
        }
    }
    return true;
}

/* What it counts for there; the machines are there already. */
static int64_t spots_need(const struct weir_core *c, const struct quota *q, const struct shape *shape, const struct spot *spot, uint32_t n)
{
    int64_t gpus = 0;
    bool boots = false;
    for (uint32_t i = 0; i < n; i++) {
        gpus += spot[i].gpus;
        boots = boots || !spot[i].node->joined;
    }
    return quota_need(c, q, shape, spot[0].node->spec.gpu_model, gpus, 0, boots);
}

static struct shortage weigh_place(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct spot *spot, uint32_t n, bool own_share)
{
    struct shortage s = {0};
    const struct shape *shape = j->class->shape;
    const struct limits *own = j->class->limits;
    int64_t rate = 0;
    bool rented = false;
    for (uint32_t i = 0; i < n; i++) {
        const struct node_type *t = spot[i].node->type;
        rate = weir_i64_add_sat(rate, share_of(t->full_micro_per_hour, t, spot[i].gpus, shape->req.cpu_milli));
        rented = rented || spot[i].node->lease != NULL;
    }
    int64_t run_us = run_span_us(c, shape, max_cost_left(j, ordinal), rate);
    int64_t worst = weir_mul_div_sat(rate, run_us, WEIR_US_PER_HOUR);
    int64_t more = rented ? extension(c, own, spot, n, run_us, &s) : 0;
    for (size_t i = 0; own != NULL && i < own->budget.n; i++) {
        const struct budget *b = own->budget.p[i];
        bool counts = (rented || !b->def.cloud_only) && !spots_cover(spot, n, b);
        ask_budget(c, &s, b, weir_i64_add_sat(more, counts ? worst : 0), rented);
    }
    for (size_t i = 0; own != NULL && i < own->quota.n; i++) {
        const struct quota *q = own->quota.p[i];
        ask_quota(&s, q, spots_need(c, q, shape, spot, n), own_share ? quota_left_own(c, q) : quota_left_now(c, q));
    }
    return s;
}

struct shortage limits_weigh_place(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct spot *spot, uint32_t n)
{
    return weigh_place(c, j, ordinal, spot, n, false);
}

struct shortage limits_weigh_own(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct spot *spot)
{
    return weigh_place(c, j, ordinal, spot, 1, true);
}

struct shortage limits_weigh_offer(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct weir_offer *o, const struct ranked_offer *r)
{
    int64_t rate = r->rate_micro;
    struct shortage s = {0};
    const struct shape *shape = j->class->shape;
    const struct limits *own = j->class->limits;
    int64_t run_us = run_span_us(c, shape, max_cost_left(j, ordinal), rate);
    int64_t need = machine_worst(o, weir_i64_add_sat(c->conf.boot_limit.us, run_us));
    need = weir_mul_div_sat(need, shape->req.nodes, 1);
    for (size_t i = 0; own != NULL && i < own->budget.n; i++) {
        ask_budget(c, &s, own->budget.p[i], need, true);
    }
    int64_t gpus = shape->req.alternatives == 0 ? 0 : (int64_t)shape->req.alternative[r->alternative].count * shape->req.nodes;
    for (size_t i = 0; own != NULL && i < own->quota.n; i++) {
        const struct quota *q = own->quota.p[i];
        ask_quota(&s, q, quota_need(c, q, shape, o->gpu_model, gpus, shape->req.nodes, true), quota_left_now(c, q));
    }
    return s;
}

uint64_t limits_room(const struct weir_core *c, const struct job *j, const struct node_type *t, uint32_t gpus)
{
    const struct shape *shape = j->class->shape;
    const struct limits *own = j->class->limits;
    int64_t rate = weir_mul_div_sat(share_of(t->full_micro_per_hour, t, gpus, shape->req.cpu_milli), shape->req.nodes, 1);
    int64_t worst = weir_mul_div_sat(rate, run_span_us(c, shape, max_cost_left(j, 0), rate), WEIR_US_PER_HOUR);
    int64_t room = INT64_MAX;
    for (size_t i = 0; own != NULL && i < own->budget.n; i++) {
        const struct budget *b = own->budget.p[i];
        if (budget_forbids(c, b, t->rented)) {
            return 0;
        }
        if (worst > 0 && !t->rented && !b->def.cloud_only) { /* what is rented is held for its machine */
            room = min_i64(room, max_i64(budget_left(c, b), 0) / worst);
        }
    }
    for (size_t i = 0; own != NULL && i < own->quota.n; i++) {
        int64_t need = quota_need(c, own->quota.p[i], shape, t->gpu_model, (int64_t)gpus * shape->req.nodes, 0, false);
        room = need > 0 ? min_i64(room, max_i64(quota_left_now(c, own->quota.p[i]), 0) / need) : room;
    }
    return (uint64_t)room;
}

/* ---- what is told ---- */

enum weir_verdict short_verdict(const struct shortage *s)
{
    return s->quota != NULL ? WEIR_VERDICT_OVER_QUOTA : WEIR_VERDICT_BUDGET;
}

void shortage_tell(const struct shortage *s, struct weir_explain *ret)
{
    if (s->quota != NULL) {
        ret->quota.v = s->quota->id;
        ret->quota_need = s->need;
        ret->quota_left = s->left;
    } else if (s->budget != NULL) {
        ret->limit.v = s->budget->id;
        ret->limit_need_micro = s->need;
        ret->limit_left_micro = s->left;
    }
}

void limits_explain(const struct job *j, uint32_t ordinal, const struct shortage *s, struct weir_explain *ret)
{
    ret->task = (struct weir_task_id){{j->id}, ordinal};
    ret->attempt = j->task[ordinal].attempt;
    ret->n_considered = 1;
    ret->rejected[short_verdict(s)] = 1;
    shortage_tell(s, ret);
}

/* ---- all of it anew ---- */

void limits_recount(struct weir_core *c)
{
    quotas_recount(c);
    for (size_t i = 0; i < c->budgets.n; i++) {
        c->budgets.p[i]->held_micro = 0;
        budget_changed(c, c->budgets.p[i]);
    }
    for (size_t i = 0; i < c->limits.n; i++) {
        c->limits.p[i]->n_leases = 0;
        c->limits.p[i]->settled_world = 0; /* what was parked may have been by other figures */
        find_timed(c->limits.p[i]);
    }
    for (size_t i = 0; i < c->unsettled.n; i++) {
        limits_hold(c, c->unsettled.p[i].limits, c->unsettled.p[i].micro);
    }
    for (size_t i = 0; i < c->leases.n; i++) {
        struct lease *l = c->leases.p[i];
        if (l->node != NULL && l->payer->limits != NULL) {
            l->payer->limits->n_leases++;
            limits_hold(c, l->payer->limits, lease_held(l));
        }
    }
    for (size_t i = 0; i < c->nodes.n; i++) {
        for (size_t k = 0; k < c->nodes.p[i]->runs.n; k++) {
            c->nodes.p[i]->runs.p[k].run->pays = NULL;
        }
    }
    for (size_t i = 0; i < c->nodes.n; i++) {
        for (size_t k = 0; k < c->nodes.p[i]->runs.n; k++) {
            run_pays(c, c->nodes.p[i]->runs.p[k].run); /* of a gang once: the second look changes nothing */
        }
    }
}



uint32_t weir_core_payer_set(const struct weir_core *c, struct weir_payer_id payer)
{
    const struct payer *p = payer_find(c, payer.v);
    return p == NULL || p->limits == NULL ? 0 : p->limits->number;
}
