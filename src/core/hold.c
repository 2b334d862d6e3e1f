/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is held against budgets.
 *
 * A rented machine holds what all of it may cost until its end, by the budgets of the task that it was rented for: boot and
 * idle time are that payer's. So a run on it holds nothing more in a budget that counts the machine, whoever's run it is, and its worst
 * case in its other budgets. A run that needs the machine for longer than is held makes the machine hold more; only one
 * of the same budgets may.
 *
 * What a run holds is raised when it comes near it (a slow start, more power than was thought); where there is no room
 * for that it is stopped, early enough that the stop is covered.
 */

#include "core/limits_priv.h"

enum {
    END_ALLOWANCE_S = 300, /* from the order to end a machine to its end */
    OFF_ALLOWANCE_S = 60,  /* from its expiry to the end of one that ends itself */
};

/* ---- worst cases ---- */

/* How long an attempt may be billed at such a rate. */
int64_t run_span_us(const struct weir_core *c, const struct shape *s, int64_t max_cost_left, int64_t rate)
{
    int64_t span = s->req.max_duration.us;
    if (max_cost_left != INT64_MAX && rate > 0) {
        span = min_i64(span, weir_mul_div_sat(max_cost_left, WEIR_US_PER_HOUR, rate));
    }
    return weir_i64_add_sat(span, weir_i64_add_sat(run_stop_span_us(c, s), START_ALLOWANCE_S * WEIR_US_PER_S));
}

int64_t run_worst(const struct weir_core *c, const struct shape *s, int64_t max_cost_left, int64_t rate)
{
    return weir_mul_div_sat(rate, run_span_us(c, s, max_cost_left, rate), WEIR_US_PER_HOUR);
}

/* So long is a machine billed that is needed for so long, and then stands idle until it is given back. */
static int64_t machine_span_us(const struct weir_offer *o, int64_t needed_us)
{
    int64_t quantum = max_i64(o->bill_quantum.us, 1);
    int64_t span = weir_i64_add_sat(needed_us, END_ALLOWANCE_S * WEIR_US_PER_S);
    span = weir_i64_add_sat(span, max_i64(o->boot_expected.us, quantum)); /* idle, see lease_idle_end_us */
    span = max_i64(span, o->bill_minimum.us);
    return weir_i64_add_sat(span, quantum - 1) / quantum * quantum;
}

int64_t machine_worst(const struct weir_offer *o, int64_t needed_us)
{
    return weir_mul_div_sat(o->price_micro_per_hour, machine_span_us(o, needed_us), WEIR_US_PER_HOUR);
}

/* What a machine costs that is there for so long: as it has, and at its price of now. */
static int64_t lease_cost(const struct lease *l, int64_t span_us)
{
    int64_t before = l->priced_us == 0 ? 0 : l->priced_us - l->confirmed_us;
    int64_t since = weir_mul_div_sat(l->price_micro_per_hour, max_i64(span_us - before, 0), WEIR_US_PER_HOUR);
    return weir_i64_add_sat(l->priced_micro, since);
}

/* It is billed from then on, at the earliest. */
static int64_t lease_from_us(const struct lease *l)
{
    return l->confirmed_us != 0 ? l->confirmed_us : l->intent_us;
}

int64_t lease_worst(const struct weir_core *c, const struct lease *l, int64_t run_us)
{
    int64_t before = c->conf.boot_limit.us;
    if (l->state != WEIR_LEASE_INTENT && l->state != WEIR_LEASE_BOOTING) {
        before = c->now_us - lease_from_us(l);
    }
    return lease_cost(l, machine_span_us(&l->offer, weir_i64_add_sat(before, run_us)));
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

int64_t lease_paid_until_us(const struct lease *l)
{
    int64_t price = l->price_micro_per_hour;
    int64_t ends = l->offer.ends.us != 0 ? l->offer.ends.us : US_NEVER; /* what is reserved is paid for no longer */
    if (!has_budgets(l->payer->limits) || l->held_micro == 0 || price <= 0) {
        return ends;
    }
    int64_t from = l->priced_us != 0 ? l->priced_us : lease_from_us(l);
    int64_t left = max_i64(weir_i64_sub_sat(l->held_micro, l->priced_micro), 0);
    int64_t span = weir_mul_div_sat(left, WEIR_US_PER_HOUR, price);
    return min_i64(weir_i64_add_sat(from, span - OFF_ALLOWANCE_S * WEIR_US_PER_S), ends);
}

/* What it costs until its expiry, of which it was told, and which it may keep to by itself; rounded up: see lease_paid_until_us. */
static int64_t lease_told_micro(const struct lease *l)
{
    int64_t told_us = weir_i64_add_sat(l->expires_us - lease_from_us(l), OFF_ALLOWANCE_S * WEIR_US_PER_S);
    return weir_i64_add_sat(lease_cost(l, told_us), 1);
}

/* Dearer than it was: what it may cost counts, though it may pass what a budget has. */
static void hold_told(struct weir_core *c, struct lease *l)
{
    int64_t told = lease_told_micro(l);
    if (has_budgets(l->payer->limits) && l->held_micro != 0 && told > l->held_micro) {
        int64_t was = lease_held(l);
        l->held_micro = told;
        limits_hold(c, l->payer->limits, lease_held(l) - was);
    }
}

void lease_reprice(struct weir_core *c, struct lease *l, int64_t price_micro_per_hour, int64_t at_us)
{
    l->priced_micro = lease_cost(l, at_us - l->confirmed_us);
    l->priced_us = at_us;
    bool counts = weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_COUNTS);
    c->leases_micro_per_hour -= counts ? lease_marginal(l) : 0;
    l->price_micro_per_hour = price_micro_per_hour;
    c->leases_micro_per_hour += counts ? lease_marginal(l) : 0;
    c->review = c->review || c->conf.spend_micro_per_hour_max > 0;
    c->budgets_version += has_budgets(l->payer->limits); /* what a run would make it hold more */
    hold_told(c, l);
    lease_changed(c, l);
    timer_for_lease(c, l);
}

static void lease_cover(struct weir_core *c, struct lease *l, const struct run *r)
{
    struct limits *all = l->payer->limits;
    if (!has_budgets(all)) {
        return;
    }
    const struct shape *s = r->job->class->shape;
    int64_t worst = lease_worst(c, l, run_span_us(c, s, max_cost_left(r->job, r->ordinal), r->rate_micro));
    if (worst > l->held_micro) {
        int64_t was = lease_held(l);
        l->held_micro = worst;
        limits_hold(c, all, lease_held(l) - was);
        lease_changed(c, l);
        lease_cap(c, l);
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
    c->eased = true;
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

/* ---- budgets that come later ---- */

/* How long the attempt may yet be billed; what the ledger has not posted of it is covered by the time for its start. */
static int64_t run_rest_us(const struct weir_core *c, const struct run *r)
{
    const struct shape *s = r->job->class->shape;
    int64_t until = min_i64(run_limit_us(r), r->rank[0].told ? run_cost_limit_us(r) : US_NEVER);
    int64_t rest = r->stop_us != 0 ? 0 : min_i64(s->req.max_duration.us, max_i64(weir_i64_sub_sat(until, c->now_us), 0));
    return weir_i64_add_sat(rest, weir_i64_add_sat(run_stop_span_us(c, s), START_ALLOWANCE_S * WEIR_US_PER_S));
}

static void run_adopt(struct weir_core *c, struct run *r)
{
    int64_t rest = weir_mul_div_sat(r->rate_micro, run_rest_us(c, r), WEIR_US_PER_HOUR);
    r->hold->amount_micro = weir_i64_add_sat(r->hold->charged_micro, rest);
    hold_changed(c, r->hold);
}

/*
 * Nobody counted what it was charged, but that follows from its price. It holds what whoever is on it may need, and no less than it costs
 * until its expiry: of that the machine was told.
 */
static void lease_adopt(struct weir_core *c, struct lease *l)
{
    int64_t run_us = START_ALLOWANCE_S * WEIR_US_PER_S;
    if (l->price_micro_per_hour <= 0) {
        return;
    }
    for (size_t i = 0; i < l->node->runs.n; i++) {
        run_us = max_i64(run_us, run_rest_us(c, l->node->runs.p[i].run));
    }
    int64_t billed_us = l->confirmed_us == 0 ? 0 : c->now_us - l->confirmed_us;
    l->charged_micro = lease_cost(l, billed_us);
    l->held_micro = max_i64(lease_worst(c, l, run_us), lease_told_micro(l));
    lease_changed(c, l);
}

void limits_adopt(struct weir_core *c)
{
    for (size_t i = 0; i < c->leases.n; i++) {
        struct lease *l = c->leases.p[i];
        if (l->node == NULL) {
            continue;
        }
        if (!has_budgets(l->payer->limits) && l->held_micro != 0) {
            l->held_micro = 0;
            l->charged_micro = 0;
            lease_changed(c, l);
        } else if (l->payer->anew) {
            lease_adopt(c, l);
        }
    }
    for (size_t i = 0; i < c->nodes.n; i++) {
        const struct node *n = c->nodes.p[i];
        for (size_t k = 0; k < n->runs.n; k++) { /* a gang more than once: to the same effect */
            if (n->runs.p[k].run->job->payer->anew) {
                run_adopt(c, n->runs.p[k].run);
            }
        }
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
    if (lease_held(l) > weir_mul_div_sat(l->price_micro_per_hour, end, WEIR_US_PER_HOUR)) {
        return;
    }
    int64_t span = max_i64(RENEWAL_S * WEIR_US_PER_S, o->bill_quantum.us);
    int64_t more = weir_mul_div_sat(l->price_micro_per_hour, span, WEIR_US_PER_HOUR);
    if (l->node->runs.n == 0 || l->node->state != WEIR_NODE_UP || !has_room(c, all, more)) {
        empty(c, l);
        return;
    }
    int64_t was = lease_held(l);
    l->held_micro = weir_i64_add_sat(l->held_micro, more);
    limits_hold(c, all, lease_held(l) - was);
    lease_changed(c, l);
    lease_cap(c, l);
}
