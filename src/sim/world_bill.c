/* SPDX-License-Identifier: Apache-2.0 */

/* The bill, fed and proven as in the broker. */

#include <string.h>

#include "world_priv.h"

enum { UNSETTLED_MAX = 4096 };

#define SETTLE_US WEIR_US_PER_HOUR

static void open_node(struct weir_sim_world *w, const struct weir_effect *e)
{
    struct weir_err err;
    struct weir_bill_node n = {.node = e->node, .lease = e->lease, .task = e->u.meter.task};
    if (e->lease.v == 0) {
        const struct machine *m = &w->node[e->node.v - 1];
        const struct weir_sim_pool *p = &w->pool[m->pool];
        n.pool.v = m->pool + 1;
        n.gpus = p->gpus;
        n.cpu_milli = p->cpu_milli;
        n.owned = true;
        n.cost = p->cost;
        n.cost.life.us = p->cost.life.us > 0 ? p->cost.life.us : 1;
        n.cost.pue_milli = p->cost.pue_milli < 1000 ? 1000 : p->cost.pue_milli;
    } else {
        const struct rental *r = weir_world_rental_of(w, e->lease.v);
        WEIR_ASSERT(r != NULL);
        n.pool.v = r->machine.pool + 1;
        n.gpus = r->offer.gpus;
        n.cpu_milli = r->offer.cpu_milli;
        n.price_micro_per_hour = r->offer.price_micro_per_hour;
        if (r->offer.market != WEIR_OFFER_RESERVED) { /* those go on costing afterwards: no time is paid for twice */
            n.quantum = r->offer.bill_quantum;
            n.minimum = r->offer.bill_minimum;
        }
        weir_world_reserved_take(w, &r->offer, e->at);
        struct weir_lease_view lease;
        if (w->payers && weir_core_lease(w->core, e->lease, &lease)) {
            n.payer = lease.payer;
        }
        uint32_t slot = 0;
        const struct task *t = weir_world_task_of(w, n.task.job.v, &slot);
        if (t != NULL) {
            n.project.v = t->project;
            n.user.v = t->user;
        }
    }
    int r = weir_bill_node_open(w->bill, &n, e->at, &err);
    WEIR_ASSERT(r == 0);
}

/* What a pool costs does not change: it is rented. */
static void price_node(struct weir_sim_world *w, const struct weir_effect *e)
{
    struct weir_lease_view v;
    bool known = weir_core_lease(w->core, e->lease, &v);
    WEIR_ASSERT(known);
    (void)weir_bill_node_price(w->bill, e->node, e->at, v.price_micro_per_hour);
}

static void open_segment(struct weir_sim_world *w, const struct weir_effect *e)
{
    struct weir_err err;
    uint32_t slot = 0;
    const struct task *t = weir_world_task_of(w, e->run.task.job.v, &slot);
    WEIR_ASSERT(t != NULL);
    struct weir_bill_segment s = {.node = e->node,
                                  .run = e->run,
                                  .rank = e->rank,
                                  .project = {t->project},
                                  .user = {t->user},
                                  .gpus = e->u.segment.gpus,
                                  .cpu_milli = e->u.segment.cpu_milli,
                                  .from = e->at};
    struct weir_job_view job;
    if (w->payers && weir_core_job(w->core, e->run.task.job, &job)) {
        s.payer = job.payer;
    }
    int r = weir_bill_segment_open(w->bill, &s, &err);
    WEIR_ASSERT(r == 0);
}

/* Hands on what was posted, and proves it. */
static void take(struct weir_sim_world *w)
{
    const struct weir_posting *posting = NULL;
    const struct weir_meter *meter = NULL;
    size_t n = 0;
    size_t n_meters = 0;
    weir_bill_take(w->bill, &posting, &n, &meter, &n_meters);
    for (size_t i = 0; i < n; i++) {
        struct weir_err err;
        struct weir_charged k;
        int r = weir_bill_check_add(w->check, &posting[i], &err);
        WEIR_ASSERT(r == 0);
        if (w->n_budgets > 0 && weir_core_is_budgeted(w->core, posting[i].payer) && weir_posting_charges(&posting[i], &k)) {
            weir_vec_push(&w->charges, k);
        }
    }
    if (w->watch.posted != NULL && n > 0) {
        w->watch.posted(w->watch.user, posting, n);
    }
}

void weir_world_bill_effect(struct weir_sim_world *w, const struct weir_effect *e)
{
    switch (e->kind) {
    case WEIR_EFFECT_METER_OPEN:
        open_node(w, e);
        break;
    case WEIR_EFFECT_METER_READY:
        weir_bill_node_ready(w->bill, e->node, e->at);
        break;
    case WEIR_EFFECT_METER_CLOSE:
        weir_bill_node_close(w->bill, e->node, e->at);
        if (e->lease.v != 0) {
            weir_world_reserved_give(w, &weir_world_rental_of(w, e->lease.v)->offer, e->at);
        }
        w->unsettled += w->payers; /* what it held is released with its charges */
        break;
    case WEIR_EFFECT_METER_RATES:
        price_node(w, e);
        break;
    case WEIR_EFFECT_SEGMENT_OPEN:
        open_segment(w, e);
        break;
    case WEIR_EFFECT_SEGMENT_CLOSE:
        weir_bill_segment_close(w->bill, e->node, e->run, e->rank, e->at, (enum weir_outcome)e->u.segment.outcome,
                                e->u.segment.kept_until);
        w->unsettled++;
        break;
    case WEIR_EFFECT_SEGMENT_VERDICT:
        weir_bill_segment_verdict(w->bill, e->node, e->run, e->rank, e->at, (enum weir_outcome)e->u.segment.outcome,
                                  e->u.segment.kept_until);
        break;
    case WEIR_EFFECT_RUN_START:
    case WEIR_EFFECT_RUN_STOP:
    case WEIR_EFFECT_LEASE_LAUNCH:
    case WEIR_EFFECT_LEASE_TERMINATE:
    case WEIR_EFFECT_LEASE_EXTEND:
    case WEIR_EFFECT_MAX:
        break;
    }
}

/* Rarer than in the broker, where somebody may look at any time: what is split by time is the same whenever it is split. Not so where
 * budgets count it. */
void weir_world_bill_settle(struct weir_sim_world *w, bool all)
{
    bool soon = w->payers || w->unsettled >= UNSETTLED_MAX || w->now_us - w->settled_us >= SETTLE_US;
    if (!all && (w->unsettled == 0 || !soon)) {
        return;
    }
    weir_bill_settle(w->bill, (struct weir_wall){w->now_us}, all);
    take(w);
    weir_bill_check_forget(w->check, (struct weir_job_id){w->oldest_job}); /* what was over is posted now */
    w->unsettled = 0;
    w->settled_us = w->now_us;
}

void weir_world_bill_close(struct weir_sim_world *w)
{
    for (size_t i = 0; i < w->n_nodes; i++) {
        weir_bill_node_close(w->bill, (struct weir_node_id){i + 1}, (struct weir_wall){w->now_us});
    }
    weir_world_reserved_close(w);
    take(w);
    struct weir_err err;
    int r = weir_bill_check_end(w->check, &w->books, &err);
    WEIR_ASSERT(r == 0); /* both sides are equal, or the program is wrong */
}
