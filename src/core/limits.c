/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is held against budgets, and who waits for it.
 *
 * A rented machine holds what all of it may cost until its end, by the budgets of the task that it was rented for: boot and
 * idle time are that payer's. So a run on it holds nothing more in a budget that counts the machine, whoever's run it is, and its worst
 * case in its other budgets. A run that needs the machine for longer than is held makes the machine hold more; only one
 * of the same budgets may.
 *
 * What a run holds is raised when it comes near it (a slow start, more power than was thought); where there is no room
 * for that it is stopped, early enough that the stop is covered.
 *
 * Classes of tasks whose cheapest way to run has no room are parked: they stand in no lane, so that no event looks at them.
 * A class is parked exactly while limits_block says so; it is found out when what a budget has left passes what
 * some class needs, so that most events need no look at all.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

enum { END_ALLOWANCE_S = 300 }; /* from the order to end a machine to its end */

/* ---- sets of budgets ---- */

static bool are_budgets(const struct limits *l, const budget_vec *set)
{
    return l->budget.n == set->n && (set->n == 0 || memcmp(l->budget.p, set->p, set->n * sizeof *set->p) == 0);
}

static void find_timed(struct limits *l)
{
    l->ebbs = false;
    l->timed = false;
    for (size_t i = 0; i < l->quota.n; i++) {
        enum weir_quota_counts k = (enum weir_quota_counts)l->quota.p[i]->def.counts;
        l->ebbs = l->ebbs || k == WEIR_QUOTA_RUN_MINUTES;
        l->timed = l->timed || weir_quota_is_timed(k);
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
        weir_vec_push(&l->gate, (struct gate){US_NEVER, 0});
    }
    find_timed(l);
    l->parked_owned = US_NEVER;
    l->parked_rented = US_NEVER;
    weir_vec_push(&c->limits, l);
    return l;
}

static void limits_free(struct limits *l)
{
    weir_vec_release(&l->budget);
    weir_vec_release(&l->quota);
    weir_vec_release(&l->gate);
    weir_vec_release(&l->class);
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
            WEIR_ASSERT(l->class.n == 0);
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
static bool budget_forbids(const struct weir_core *c, const struct budget *b, bool rented)
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
static void worse(struct shortage *s, const struct budget *b, int64_t need, int64_t left)
{
    const struct shortage x = {.budget = b, .need = need, .left = left};
    if (need > left && (!is_short(s) || (compares(s, &x) && is_less(s, &x)))) {
        *s = x;
    }
}

/* A task counts so much in the quota. */
static void ask_quota(const struct weir_core *c, struct shortage *s, const struct quota *q, int64_t need)
{
    int64_t left = need > 0 && !is_short(s) ? quota_left(c, q) : US_NEVER;
    if (need > left) {
        *s = (struct shortage){.quota = q, .need = need, .left = max_i64(left, 0)};
    }
}

/* So much is to be held in the budget. */
static void ask(const struct weir_core *c, struct shortage *s, const struct budget *b, int64_t need, bool rented)
{
    if (budget_forbids(c, b, rented)) {
        worse(s, b, max_i64(need, 1), 0);
    } else if (need > 0) {
        worse(s, b, need, max_i64(budget_left(c, b), 0));
    }
}

/* ---- worst cases ---- */

/* How long an attempt may be billed at such a rate. */
static int64_t span_us(const struct weir_core *c, const struct shape *s, int64_t max_cost_left, int64_t rate)
{
    int64_t span = s->req.max_duration.us;
    if (max_cost_left != INT64_MAX && rate > 0) {
        span = min_i64(span, weir_mul_div_sat(max_cost_left, WEIR_US_PER_HOUR, rate));
    }
    return weir_i64_add_sat(span, weir_i64_add_sat(run_stop_span_us(c, s), START_ALLOWANCE_S * WEIR_US_PER_S));
}

int64_t run_worst(const struct weir_core *c, const struct shape *s, int64_t max_cost_left, int64_t rate)
{
    return weir_mul_div_sat(rate, span_us(c, s, max_cost_left, rate), WEIR_US_PER_HOUR);
}

/* All that a machine is billed that is needed for so long, and then stands idle until it is given back. */
static int64_t machine_worst(const struct weir_offer *o, int64_t needed_us)
{
    int64_t quantum = max_i64(o->bill_quantum.us, 1);
    int64_t span = weir_i64_add_sat(needed_us, END_ALLOWANCE_S * WEIR_US_PER_S);
    span = weir_i64_add_sat(span, max_i64(o->boot_expected.us, quantum)); /* idle, see lease_idle_end_us */
    span = max_i64(span, o->bill_minimum.us);
    span = weir_i64_add_sat(span, quantum - 1) / quantum * quantum;
    return weir_mul_div_sat(o->price_micro_per_hour, span, WEIR_US_PER_HOUR);
}

static int64_t lease_worst(const struct weir_core *c, const struct lease *l, int64_t run_us)
{
    int64_t before = c->conf.boot_limit.us;
    if (l->state != WEIR_LEASE_INTENT && l->state != WEIR_LEASE_BOOTING) {
        before = c->now_us - l->confirmed_us;
    }
    return machine_worst(&l->offer, weir_i64_add_sat(before, run_us));
}

/* ---- what runs and machines hold ---- */

int64_t run_held(const struct run *r)
{
    return max_i64(weir_i64_sub_sat(r->hold->amount_micro, r->hold->charged_micro), 0);
}

int64_t lease_held(const struct lease *l)
{
    return max_i64(weir_i64_sub_sat(l->held_micro, l->charged_micro), 0);
}

/* Does the hold of each of its machines count in the budget? */
static bool is_covered(const struct run *r, const struct budget *b)
{
    bool any = false;
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        const struct node *n = r->rank[i].node;
        if (n == NULL) {
            continue;
        }
        if (n->lease == NULL || !limits_count(n->lease->payer->limits, b)) {
            return false;
        }
        any = true;
    }
    return any;
}

static bool run_is_rented(const struct run *r)
{
    bool rented = false;
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        rented = rented || (r->rank[i].node != NULL && r->rank[i].node->lease != NULL);
    }
    return rented;
}

static struct limits *pays_of(struct weir_core *c, const struct run *r)
{
    struct limits *all = r->job->payer->limits;
    budget_vec set = {0};
    bool rented = run_is_rented(r);
    for (size_t i = 0; all != NULL && i < all->budget.n; i++) {
        struct budget *b = all->budget.p[i];
        if ((rented || !b->def.cloud_only) && !is_covered(r, b)) {
            weir_vec_push(&set, b);
        }
    }
    struct limits *l = set.n == 0 ? NULL : set.n == all->budget.n ? all : limits_intern(c, &set, &(quota_vec){0});
    weir_vec_release(&set);
    return l;
}

void run_pays(struct weir_core *c, struct run *r)
{
    if (c->budgets.n == 0) {
        return;
    }
    struct limits *now = pays_of(c, r);
    if (now == r->pays) {
        return;
    }
    if (r->pays != NULL) {
        limits_hold(c, r->pays, -run_held(r));
    }
    r->pays = now;
    if (now != NULL) {
        limits_hold(c, now, run_held(r));
    }
}

static void lease_cover(struct weir_core *c, struct lease *l, const struct run *r)
{
    struct limits *all = l->payer->limits;
    if (!has_budgets(all)) {
        return;
    }
    const struct shape *s = r->job->class->shape;
    int64_t worst = lease_worst(c, l, span_us(c, s, max_cost_left(r->job, r->ordinal), r->rate_micro));
    if (worst > l->held_micro) {
        int64_t was = lease_held(l);
        l->held_micro = worst;
        limits_hold(c, all, lease_held(l) - was);
        lease_changed(c, l);
    }
}

void limits_take(struct weir_core *c, struct run *r)
{
    if (c->budgets.n == 0) {
        return;
    }
    if (has_budgets(r->job->payer->limits)) {
        r->hold->amount_micro = run_worst(c, r->job->class->shape, max_cost_left(r->job, r->ordinal), r->rate_micro);
    }
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        if (r->rank[i].node->lease != NULL) {
            lease_cover(c, r->rank[i].node->lease, r);
        }
    }
    run_pays(c, r);
}

static void settle_later(struct weir_core *c, struct limits *l, int64_t micro)
{
    if (micro > 0) {
        weir_vec_push(&c->unsettled, (struct unsettled){l, micro});
    }
}

void limits_give(struct weir_core *c, struct run *r)
{
    if (r->pays != NULL) {
        settle_later(c, r->pays, run_held(r));
        r->pays = NULL;
    }
}

void limits_lease_new(struct weir_core *c, struct lease *l)
{
    if (l->payer->limits != NULL) {
        l->payer->limits->n_leases++;
        c->budgets_version++;
        quotas_lease(c, l, 1);
    }
}

void limits_lease_over(struct weir_core *c, struct lease *l)
{
    if (l->payer->limits != NULL) {
        settle_later(c, l->payer->limits, lease_held(l));
        l->payer->limits->n_leases--;
        quotas_lease(c, l, -1);
        c->budgets_version++;
    }
}

/* ---- renewal ---- */

static bool has_room(const struct weir_core *c, const struct limits *l, int64_t micro)
{
    bool room = true;
    for (size_t i = 0; i < l->budget.n; i++) {
        room = room && budget_left(c, l->budget.p[i]) >= micro;
    }
    return room;
}

void limits_renew_run(struct weir_core *c, struct run *r)
{
    const struct shape *s = r->job->class->shape;
    if (r->pays == NULL || r->stop_us != 0 || run_held(r) > weir_mul_div_sat(r->rate_micro, run_stop_span_us(c, s), WEIR_US_PER_HOUR)) {
        return;
    }
    int64_t more = weir_mul_div_sat(r->rate_micro, RENEWAL_S * WEIR_US_PER_S, WEIR_US_PER_HOUR);
    if (!has_room(c, r->pays, more)) {
        run_stop(c, r, WEIR_REASON_BUDGET, s->req.checkpoint_grace.us);
        return;
    }
    int64_t was = run_held(r);
    r->hold->amount_micro = weir_i64_add_sat(r->hold->amount_micro, more);
    limits_hold(c, r->pays, run_held(r) - was);
    hold_changed(c, r->hold);
}

/* All that runs there saves and stops, and the machine is given back. */
static void empty(struct weir_core *c, struct lease *l)
{
    struct node *n = l->node;
    for (size_t i = 0; i < n->runs.n;) {
        i = run_halt(c, n->runs.p[i].run, WEIR_REASON_BUDGET) ? i + 1 : 0;
    }
    if (n->state == WEIR_NODE_UP) {
        weir_sm_move(&weir_sm_node, &n->state, WEIR_NODE_DRAINING, NULL, n);
        n->since_us = c->now_us;
        node_index(c, n);
        node_changed(c, n);
    }
    timer_for_lease(c, l);
}

void limits_renew_lease(struct weir_core *c, struct lease *l)
{
    struct limits *all = l->payer->limits;
    if (!has_budgets(all) || l->state != WEIR_LEASE_READY) {
        return;
    }
    int64_t grace = 0;
    for (size_t i = 0; i < l->node->runs.n; i++) {
        grace = max_i64(grace, run_stop_span_us(c, l->node->runs.p[i].run->job->class->shape));
    }
    const struct weir_offer *o = &l->offer;
    int64_t end = weir_i64_add_sat(weir_i64_add_sat(grace, END_ALLOWANCE_S * WEIR_US_PER_S), o->bill_quantum.us);
    if (lease_held(l) > weir_mul_div_sat(o->price_micro_per_hour, end, WEIR_US_PER_HOUR)) {
        return;
    }
    int64_t span = max_i64(RENEWAL_S * WEIR_US_PER_S, o->bill_quantum.us);
    int64_t more = weir_mul_div_sat(o->price_micro_per_hour, span, WEIR_US_PER_HOUR);
    if (l->node->runs.n == 0 || l->node->state != WEIR_NODE_UP || !has_room(c, all, more)) {
        empty(c, l);
        return;
    }
    int64_t was = lease_held(l);
    l->held_micro = weir_i64_add_sat(l->held_micro, more);
    limits_hold(c, all, lease_held(l) - was);
    lease_changed(c, l);
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
            worse(s, l->payer->limits->budget.p[0], extra, 0);
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

struct shortage limits_weigh_place(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct spot *spot, uint32_t n)
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
    int64_t run_us = span_us(c, shape, max_cost_left(j, ordinal), rate);
    int64_t worst = weir_mul_div_sat(rate, run_us, WEIR_US_PER_HOUR);
    int64_t more = rented ? extension(c, own, spot, n, run_us, &s) : 0;
    for (size_t i = 0; own != NULL && i < own->budget.n; i++) {
        const struct budget *b = own->budget.p[i];
        bool counts = (rented || !b->def.cloud_only) && !spots_cover(spot, n, b);
        ask(c, &s, b, weir_i64_add_sat(more, counts ? worst : 0), rented);
    }
    for (size_t i = 0; own != NULL && i < own->quota.n; i++) {
        ask_quota(c, &s, own->quota.p[i], spots_need(c, own->quota.p[i], shape, spot, n));
    }
    return s;
}

struct shortage limits_weigh_offer(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct weir_offer *o, const struct ranked_offer *r)
{
    int64_t rate = r->rate_micro;
    struct shortage s = {0};
    const struct shape *shape = j->class->shape;
    const struct limits *own = j->class->limits;
    int64_t run_us = span_us(c, shape, max_cost_left(j, ordinal), rate);
    int64_t need = machine_worst(o, weir_i64_add_sat(c->conf.boot_limit.us, run_us));
    need = weir_mul_div_sat(need, shape->req.nodes, 1);
    for (size_t i = 0; own != NULL && i < own->budget.n; i++) {
        ask(c, &s, own->budget.p[i], need, true);
    }
    int64_t gpus = shape->req.alternatives == 0 ? 0 : (int64_t)shape->req.alternative[r->alternative].count * shape->req.nodes;
    for (size_t i = 0; own != NULL && i < own->quota.n; i++) {
        ask_quota(c, &s, own->quota.p[i], quota_need(c, own->quota.p[i], shape, o->gpu_model, gpus, shape->req.nodes, true));
    }
    return s;
}

/* ---- parking ---- */

/* One more way in which tasks of a shape could run. */
static void add_way(struct ways *ways, uint16_t gpu_model, uint16_t gpus, bool owned)
{
    uint32_t i = 0;
    while (i < ways->n && i < WAYS_MAX && (ways->p[i].gpu_model != gpu_model || ways->p[i].gpus != gpus)) {
        i++;
    }
    if (i == WAYS_MAX) {
        ways->n = WAYS_MAX + 1;
        return;
    }
    struct way *w = &ways->p[i];
    if (i == ways->n) {
        ways->n++;
        *w = (struct way){.gpu_model = gpu_model, .gpus = gpus};
    }
    w->owned = w->owned || owned;
    w->rented = w->rented || !owned;
}

static void least_of_types(struct weir_core *c, struct shape *s, int64_t most)
{
    s->least_owned = US_NEVER;
    s->fits_rented = false;
    s->here.n = 0;
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, s, t);
        if (f.verdict != WEIR_VERDICT_CHOSEN || t->n_nodes == 0) {
            continue;
        }
        int64_t rate = share_of(t->full_micro_per_hour, t, f.gpus, s->req.cpu_milli);
        bool owned = !t->rented && s->req.local != WEIR_LOCAL_NEVER;
        s->fits_rented = s->fits_rented || t->rented;
        if (owned) {
            rate = weir_mul_div_sat(rate, s->req.nodes, 1);
            s->least_owned = min_i64(s->least_owned, run_worst(c, s, most, rate));
        }
        if (owned || t->rented) {
            add_way(&s->here, t->gpu_model, f.gpus, owned);
        }
    }
}

static void least_of_offers(struct weir_core *c, struct shape *s, int64_t most)
{
    s->least_rented = US_NEVER;
    s->anew.n = 0;
    if (s->req.local == WEIR_LOCAL_ONLY || !c->conf.spill) {
        return;
    }
    (void)offers_rank(c, s, 1, false); /* brings the want's offers up to date */
    for (size_t i = 0; i < s->want->offer.n; i++) {
        const struct fitting_offer *f = &s->want->offer.p[i];
        const struct weir_offer *o = &c->offers.p[f->offer].o;
        int64_t run_us = span_us(c, s, most, o->price_micro_per_hour); /* a share of the machine may run longer: a bound from below */
        int64_t need = machine_worst(o, weir_i64_add_sat(c->conf.boot_limit.us, run_us));
        s->least_rented = min_i64(s->least_rented, weir_mul_div_sat(need, s->req.nodes, 1));
        add_way(&s->anew, o->gpu_model, f->gpus, false);
    }
}

/* The least worst case on what is owned, and on what can be rented; a bound from below for any place. */
static void shape_least(struct weir_core *c, struct shape *s)
{
    int64_t most = s->req.max_cost_micro <= 0 ? INT64_MAX : s->req.max_cost_micro;
    if (s->least_world != c->world) {
        s->least_world = c->world;
        least_of_types(c, s, most);
    }
    if (s->least_offers != c->offers_version) {
        s->least_offers = c->offers_version;
        least_of_offers(c, s, most);
    }
}

/* What stands in the way of what is owned, and of what is or would be rented. */
struct purse {
    bool has_owned;
    bool has_rented;
    struct shortage owned;
    struct shortage rented;
    int64_t owned_need;
    int64_t rented_need;
};

static struct purse purse_of(const struct weir_core *c, const struct limits *l, const struct shape *s)
{
    struct purse p = {.has_owned = s->least_owned != US_NEVER, .owned_need = s->least_owned};
    bool rides = l->n_leases > 0 && s->fits_rented; /* on a machine that holds enough already, maybe */
    p.rented_need = rides ? 0 : s->least_rented;
    p.has_rented = p.rented_need != US_NEVER;
    for (size_t i = 0; i < l->budget.n; i++) {
        const struct budget *b = l->budget.p[i];
        if (p.has_owned) {
            ask(c, &p.owned, b, b->def.cloud_only ? 0 : p.owned_need, false);
        }
        if (p.has_rented) {
            ask(c, &p.rented, b, p.rented_need, true);
        }
    }
    return p;
}

static int64_t way_need(const struct weir_core *c, const struct quota *q, const struct shape *s, const struct way *w, bool anew)
{
    return quota_need(c, q, s, w->gpu_model, (int64_t)w->gpus * s->req.nodes, anew ? s->req.nodes : 0, anew);
}

static struct shortage quotas_weigh(const struct weir_core *c, const struct limits *l, const struct shape *s, const struct way *w, bool anew)
{
    struct shortage q = {0};
    for (size_t i = 0; i < l->quota.n; i++) {
        ask_quota(c, &q, l->quota.p[i], way_need(c, l->quota.p[i], s, w, anew));
    }
    return q;
}

/* One way, of money and of quotas: true where neither is in the way; else what lacks least stays in *kept. */
static bool is_open(struct shortage *kept, const struct shortage *money, const struct shortage *quota)
{
    keep_lesser(kept, money);
    keep_lesser(kept, quota);
    return !is_short(money) && !is_short(quota);
}

/* By which way the class may start; none: it is to be parked, unless it fits nowhere. */
struct verge {
    bool nowhere;
    const struct way *way; /* NULL: none, or none need be told apart */
    bool anew;
    bool owned;
    bool rented;
    struct shortage lacks; /* where none is */
};

static bool try_ways(const struct weir_core *c, const struct limits *l, const struct shape *s, const struct ways *ways, const struct purse *p, bool anew, struct verge *v)
{
    for (uint32_t i = 0; i < ways->n; i++) {
        const struct way *w = &ways->p[i];
        struct shortage q = quotas_weigh(c, l, s, w, anew);
        v->owned = w->owned && is_open(&v->lacks, &p->owned, &q);
        v->rented = !v->owned && w->rented && p->has_rented && is_open(&v->lacks, &p->rented, &q);
        if (v->owned || v->rented) {
            v->way = w;
            v->anew = anew;
            return true;
        }
    }
    return false;
}

static struct verge verge_of(const struct weir_core *c, const struct limits *l, const struct shape *s, const struct purse *p)
{
    struct verge v = {.nowhere = !p->has_owned && !p->has_rented};
    if (!v.nowhere && l->quota.n > 0 && s->here.n <= WAYS_MAX && s->anew.n <= WAYS_MAX) {
        (void)(try_ways(c, l, s, &s->here, p, false, &v) || try_ways(c, l, s, &s->anew, p, true, &v));
    } else if (!v.nowhere) {
        const struct shortage none = {0};
        v.owned = p->has_owned && is_open(&v.lacks, &p->owned, &none);
        v.rented = !v.owned && p->has_rented && is_open(&v.lacks, &p->rented, &none);
    }
    return v;
}

static bool is_shut(const struct verge *v)
{
    return !v->nowhere && !v->owned && !v->rented;
}

struct shortage limits_block(struct weir_core *c, const struct class *cl)
{
    if (cl->limits == NULL) {
        return (struct shortage){0};
    }
    shape_least(c, cl->shape);
    struct purse p = purse_of(c, cl->limits, cl->shape);
    struct verge v = verge_of(c, cl->limits, cl->shape, &p);
    return is_shut(&v) ? v.lacks : (struct shortage){0};
}

bool limits_is_blocked(struct weir_core *c, const struct class *cl)
{
    struct shortage s = limits_block(c, cl);
    return is_short(&s);
}

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
        if (is_shut(v) || v->anew) {
            g->parked_least = min_i64(g->parked_least, least_more(c, q, s, &s->anew, true));
            g->open_most = max_i64(g->open_most, most_less(c, q, s, &s->anew, true));
        }
    }
    if (is_shut(v)) {
        l->parked_owned = min_i64(l->parked_owned, p->owned_need);
        l->parked_rented = min_i64(l->parked_rented, p->rented_need);
    }
    l->open_owned = v->owned ? max_i64(l->open_owned, p->owned_need) : l->open_owned;
    l->open_rented = v->rented ? max_i64(l->open_rented, p->rented_need) : l->open_rented;
}

/* Is some node that the class fits shut to it, and another not? */
static bool is_narrow(const struct weir_core *c, const struct limits *l, const struct shape *s)
{
    uint32_t n_shut = 0;
    for (uint32_t i = 0; l->quota.n > 0 && i < s->here.n && i < WAYS_MAX; i++) {
        struct shortage q = quotas_weigh(c, l, s, &s->here.p[i], false);
        n_shut += is_short(&q);
    }
    return n_shut > 0 && n_shut < s->here.n;
}

bool limits_is_narrow(struct weir_core *c, const struct class *cl)
{
    shape_least(c, cl->shape);
    return is_narrow(c, cl->limits, cl->shape);
}

struct shortage limits_weigh_type(const struct weir_core *c, const struct class *cl, const struct node_type *t, uint16_t gpus)
{
    const struct way w = {.gpu_model = t->gpu_model, .gpus = gpus};
    return quotas_weigh(c, cl->limits, cl->shape, &w, false);
}

/* Is it to be parked? */
static bool weigh_class(struct weir_core *c, struct limits *l, struct class *cl)
{
    shape_least(c, cl->shape);
    struct purse p = purse_of(c, l, cl->shape);
    struct verge v = verge_of(c, l, cl->shape, &p);
    note(c, l, cl, &p, &v);
    bool narrow = is_narrow(c, l, cl->shape);
    c->claims_moved = c->claims_moved || narrow != cl->narrow;
    cl->narrow = narrow;
    return is_shut(&v);
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

void limits_settle_restored(struct weir_core *c)
{
    budgets_settle_restored(c);
    quotas_settle_restored(c);
    limits_recount(c);
    while (limits_settle(c)) {
    }
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

uint32_t weir_core_payer_set(const struct weir_core *c, struct weir_payer_id payer)
{
    const struct payer *p = payer_find(c, payer.v);
    return p == NULL || p->limits == NULL ? 0 : p->limits->number;
}
