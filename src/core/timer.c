/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens because time passes. A heap of looks to take; an entry is only a hint: when it is due the
 * object says what is to be done, or when to look again, so entries need not be taken back.
 */

#include <stdlib.h>

#include "core/core_priv.h"

/* Puts t where i is, or above. Only the time counts: what is due together is sorted when it is taken out. */
static void rise(struct weir_core *c, size_t i, struct timer t)
{
    while (i > 0 && t.at_us < c->timers.p[(i - 1) / 2].at_us) {
        c->timers.p[i] = c->timers.p[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    c->timers.p[i] = t;
}

/* Moves the gap at the top down to the bottom, and tells where it is then. Which of two is earlier nobody can foretell: it takes no branch. */
static size_t sink(struct weir_core *c)
{
    struct timer *p = c->timers.p;
    size_t n = c->timers.n;
    size_t i = 0;
    for (size_t k = 2 * i + 1; k < n; k = 2 * i + 1) {
        k += (size_t)(k + 1 < n && p[k + 1].at_us < p[k].at_us);
        p[i] = p[k];
        i = k;
    }
    return i;
}

/* The last fills the gap: it came from the bottom, and mostly stays there. */
static void timer_pop(struct weir_core *c)
{
    struct timer last = c->timers.p[--c->timers.n];
    if (c->timers.n > 0) {
        rise(c, sink(c), last);
    }
}

/* An object that is gone has no more to do. */
static bool is_stale(const struct weir_core *c, const struct timer *t)
{
    if (t->kind == TIMER_RUN) {
        const struct run *r = run_find(c, (struct weir_run_id){{{t->id}, t->ordinal}, t->attempt});
        return r == NULL || (r->stop_us != 0 && quota_run_due_us(c, r) == US_NEVER);
    }
    if (t->kind == TIMER_NODE) {
        const struct node *n = node_find(c, t->id);
        return n == NULL || n->state != WEIR_NODE_LOST;
    }
    if (t->kind == TIMER_BUDGET) {
        const struct budget *b = budget_find(c, (uint32_t)t->id);
        return b == NULL || budget_due_us(c, b) == US_NEVER;
    }
    if (t->kind == TIMER_QUOTA) {
        const struct quota *q = quota_find(c, (uint32_t)t->id);
        return q == NULL || quota_due_us(c, q) == US_NEVER;
    }
    const struct lease *l = lease_find(c, t->id);
    return l == NULL || l->node == NULL || lease_due_us(c, l) == US_NEVER;
}

/* The limits of runs that have ended lie far ahead: they are thrown out when they may be most of what is there. */
static void timers_purge(struct weir_core *c)
{
    enum { PURGE_MIN = 1024 };
    if (c->timers.n < 2 * c->timers_kept + PURGE_MIN) {
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < c->timers.n; i++) {
        if (!is_stale(c, &c->timers.p[i])) {
            c->timers.p[kept++] = c->timers.p[i];
        }
    }
    c->timers.n = kept;
    c->timers_kept = kept;
    for (size_t i = 1; i < kept; i++) {
        rise(c, i, c->timers.p[i]);
    }
}

void timer_add(struct weir_core *c, struct timer t)
{
    if (t.at_us == US_NEVER) {
        return;
    }
    timers_purge(c);
    weir_vec_push(&c->timers, t);
    rise(c, c->timers.n - 1, t);
}

void timer_for_run(struct weir_core *c, struct run *r)
{
    int64_t due = quota_run_due_us(c, r);
    if (r->stop_us == 0) {
        due = min_i64(due, min_i64(run_limit_us(r), r->rank[0].told ? run_cost_limit_us(r) : US_NEVER));
    }
    if (r->stop_us == 0 && r->end_us > c->now_us) { /* else the prediction is at its longest and moves no more */
        due = min_i64(due, r->end_us);
    }
    if (due != r->timer_us) { /* else it stands there already */
        r->timer_us = due;
        timer_add(c, (struct timer){due, r->job->id, r->ordinal, r->attempt, TIMER_RUN});
    }
}

static int64_t node_due_us(const struct weir_core *c, const struct node *n)
{
    bool acts = n->runs.n > 0 || n->lease != NULL;
    return n->state == WEIR_NODE_LOST && acts
               ? weir_i64_add_sat(n->since_us, c->conf.lost_grace.us)
               : US_NEVER;
}

void timer_for_node(struct weir_core *c, struct node *n)
{
    timer_add(c, (struct timer){node_due_us(c, n), n->spec.id.v, 0, 0, TIMER_NODE});
}

void timer_for_lease(struct weir_core *c, struct lease *l)
{
    if (l != NULL && l->node != NULL) {
        timer_add(c, (struct timer){lease_due_us(c, l), l->id, 0, 0, TIMER_LEASE});
    }
}

static void run_look(struct weir_core *c, struct run *r)
{
    int64_t grace = r->job->class->shape->req.checkpoint_grace.us;
    if (r->stop_us == 0 && c->now_us >= run_limit_us(r)) {
        run_stop(c, r, WEIR_REASON_TIMEOUT, grace);
        return;
    }
    if (r->stop_us == 0 && r->rank[0].told && c->now_us >= run_cost_limit_us(r)) {
        run_stop(c, r, WEIR_REASON_MAX_COST, grace);
        return;
    }
    if (c->now_us >= quota_run_due_us(c, r) && !quota_renew_run(c, r)) {
        (void)run_halt(c, r, WEIR_REASON_QUOTA);
        return;
    }
    run_predict(c, r);
    r->timer_us = 0; /* it was this one, maybe */
    timer_for_run(c, r);
}

static void node_look(struct weir_core *c, struct node *n)
{
    if (n->state != WEIR_NODE_LOST || c->now_us < node_due_us(c, n)) {
        return;
    }
    while (n->runs.n > 0) {
        struct run *r = n->runs.p[0].run;
        uint32_t rank = n->runs.p[0].rank;
        /* when the node is heard of again, it is told that nobody waits for the run any more */
        if (r->rank[rank].told) {
            struct weir_effect *e = effect_add(c, WEIR_EFFECT_RUN_STOP);
            e->node = n->spec.id;
            e->lease = n->spec.lease;
            e->run = run_id(r);
            e->rank = rank;
            e->u.run_stop.reason = WEIR_REASON_NODE_LOST;
        }
        if (!r->rank[rank].told || r->n_ranks == 1) {
            run_lose(c, r, WEIR_REASON_NODE_LOST, c->now_us);
        } else {
            run_rank_end(c, r, rank, WEIR_REASON_NODE_LOST, 0, 0, c->now_us);
        }
    }
    if (n->lease != NULL) { /* a machine that cannot be reached only costs */
        lease_terminate(c, n->lease);
    }
}

static void timer_look(struct weir_core *c, const struct timer *t)
{
    if (t->kind == TIMER_RUN) {
        struct run *r = run_find(c, (struct weir_run_id){{{t->id}, t->ordinal}, t->attempt});
        if (r != NULL) {
            run_look(c, r);
        }
    } else if (t->kind == TIMER_NODE) {
        struct node *n = node_find(c, t->id);
        if (n != NULL) {
            node_look(c, n);
        }
    } else if (t->kind == TIMER_BUDGET) {
        struct budget *b = budget_find(c, (uint32_t)t->id);
        if (b != NULL) {
            budget_look(c, b);
        }
    } else if (t->kind == TIMER_QUOTA) {
        struct quota *q = quota_find(c, (uint32_t)t->id);
        if (q != NULL) {
            quota_look(c, q);
        }
    } else {
        struct lease *l = lease_find(c, t->id);
        if (l == NULL || l->node == NULL) {
            return;
        }
        if (lease_due_us(c, l) <= c->now_us) {
            lease_look(c, l);
        } else {
            timer_for_lease(c, l);
        }
    }
}

static int by_object(const void *a, const void *b)
{
    const struct timer *x = a;
    const struct timer *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->id != y->id) {
        return x->id < y->id ? -1 : 1;
    }
    if (x->ordinal != y->ordinal) {
        return x->ordinal < y->ordinal ? -1 : 1;
    }
    return (x->attempt > y->attempt) - (x->attempt < y->attempt);
}

/* A lease's hint whose time has come, though not its own: it gets another. */
static bool is_too_early(struct weir_core *c, const struct timer *t)
{
    struct lease *l = t->kind == TIMER_LEASE ? lease_find(c, t->id) : NULL;
    if (l == NULL || l->node == NULL || lease_due_us(c, l) <= c->now_us) {
        return false;
    }
    timer_for_lease(c, l);
    return true;
}

/* What is due together is taken in order of object: when a hint was made must not show. So what gets due only by what is
 * done in a round is taken in the next one, be there an old hint of it or not. */
void timers_run(struct weir_core *c)
{
    enum { ROUNDS_MAX = 8 };
    for (int round = 0; round < ROUNDS_MAX; round++) {
        weir_vec_clear(&c->timers_due);
        while (c->timers.n > 0 && c->timers.p[0].at_us <= c->now_us) {
            struct timer t = c->timers.p[0];
            timer_pop(c);
            if (!is_too_early(c, &t)) {
                weir_vec_push(&c->timers_due, t);
            }
        }
        if (c->timers_due.n == 0) {
            return;
        }
        qsort(c->timers_due.p, c->timers_due.n, sizeof *c->timers_due.p, by_object);
        for (size_t i = 0; i < c->timers_due.n; i++) {
            if (i == 0 || by_object(&c->timers_due.p[i - 1], &c->timers_due.p[i]) != 0) {
                timer_look(c, &c->timers_due.p[i]);
            }
        }
    }
}

int64_t timers_next_us(struct weir_core *c)
{
    while (c->timers.n > 0 && is_stale(c, &c->timers.p[0])) {
        timer_pop(c);
    }
    return c->timers.n == 0 ? US_NEVER : c->timers.p[0].at_us;
}
