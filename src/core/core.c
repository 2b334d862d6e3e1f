/* SPDX-License-Identifier: Apache-2.0 */
#include "core/core.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/decide_priv.h"

struct weir_core_conf weir_core_conf_default(void)
{
    return (struct weir_core_conf){
        .fair_half_life = {7 * WEIR_US_PER_DAY},
        .delay_cost_micro_per_hour = 100000,
        .age_points_per_hour = 1000,
        .yield_per_mille = 250,
        .review_period = {10 * WEIR_US_PER_S},
        .leases_max = 64,
        .learn_offers = true,
        .lease_term = {WEIR_US_PER_HOUR},
        .boot_limit = {15 * WEIR_US_PER_MIN},
        .lost_grace = {2 * WEIR_US_PER_MIN},
        .capacity_memory = {10 * WEIR_US_PER_MIN},
        .stage_bytes_per_s = 100 << 20,
        .retries_lost_max = 100,
        .preempt_priority_gap = 100,
        .reservations_max = 64,
        .spill = true,
    };
}

struct weir_core *weir_core_new(const struct weir_core_conf *conf)
{
    WEIR_ASSERT(conf->gpus != NULL);
    struct weir_core *c = weir_alloc(sizeof *c);
    c->conf = *conf;
    c->next_job = 1;
    c->next_node = 1;
    c->next_lease = 1;
    c->next_hold = 1;
    c->budgets_version = 1;
    c->version = 1;
    c->world = 1;
    c->offers_version = 1;
    c->offer_gpu_price_min = INT64_MAX;
    return c;
}

static void free_runs(struct weir_core *c)
{
    for (size_t i = 0; i < c->nodes.n; i++) {
        struct node *n = c->nodes.p[i];
        while (n->runs.n > 0) { /* a gang's run stands on several nodes: the lowest live rank frees it */
            struct run *r = n->runs.p[--n->runs.n].run;
            uint32_t rank = n->runs.p[n->runs.n].rank;
            r->rank[rank].node = NULL;
            bool last = true;
            for (uint32_t k = 0; k < r->n_ranks; k++) {
                last = last && r->rank[k].node == NULL;
            }
            if (last) {
                run_free(c, r);
            }
        }
    }
}

static void free_jobs(struct weir_core *c)
{
    while (c->pages != NULL) {
        struct job_page *p = c->pages;
        uint32_t i = 0;
        while (p->job[i] == NULL) {
            i++;
        }
        struct job *j = p->job[i];
        if (j->queued) {
            j->queued = false;
            j->class->first = NULL; /* the lanes go as a whole */
        }
        job_free(c, j);
    }
}

static void free_machines(struct weir_core *c)
{
    for (size_t i = 0; i < c->nodes.n; i++) {
        weir_vec_release(&c->nodes.p[i]->runs);
        weir_vec_release(&c->nodes.p[i]->claims);
        free(c->nodes.p[i]);
    }
    weir_vec_release(&c->nodes);
    for (size_t i = 0; i < c->types.n; i++) {
        struct node_type *t = c->types.p[i];
        for (uint32_t k = 0; k <= t->gpus; k++) {
            free(t->free[k].w);
            free(t->tree[k]);
        }
        weir_vec_release(&t->node);
        weir_vec_release(&t->moved);
        free(t->left);
        free(t);
    }
    weir_vec_release(&c->types);
    for (size_t i = 0; i < c->leases.n; i++) {
        free(c->leases.p[i]);
    }
    weir_vec_release(&c->leases);
}

void weir_core_free(struct weir_core *c)
{
    if (c == NULL) {
        return;
    }
    claims_drop(c);
    free_runs(c);
    free_jobs(c);
    queue_release(c);
    free_machines(c);
    budgets_release(c);
    policies_free(c);
    quotas_release(c);
    while (c->hold_list != NULL) {
        struct hold *h = c->hold_list;
        c->hold_list = h->next;
        free(h);
    }
    for (size_t i = 0; i < c->shapes.n; i++) {
        if (c->shapes.p[i] != NULL && --c->shapes.p[i]->want->n_refs == 0) {
            want_free(c->shapes.p[i]->want);
        }
        shape_free(c->shapes.p[i]);
    }
    for (size_t i = 0; i < c->projects.n; i++) {
        free(c->projects.p[i]);
    }
    weir_vec_release(&c->shapes);
    weir_vec_release(&c->projects);
    weir_map_release(&c->shape_by_hash);
    weir_map_release(&c->job_pages);
    weir_map_release(&c->class_by_hash);
    weir_map_release(&c->want_by_hash);
    weir_vec_release(&c->hot);
    weir_vec_release(&c->demand);
    offers_release(c);
    learned_release(c);
    weir_vec_release(&c->grown);
    weir_vec_release(&c->fresh);
    weir_vec_release(&c->active);
    weir_vec_release(&c->order);
    weir_vec_release(&c->due);
    for (size_t g = 0; g < TYPE_BITS; g++) {
        weir_vec_release(&c->claims[g].claim);
    }
    weir_vec_release(&c->touched);
    weir_vec_release(&c->timers);
    weir_vec_release(&c->timers_due);
    weir_vec_release(&c->effects);
    weir_vec_release(&c->explains);
    weir_vec_release(&c->ch_jobs);
    weir_vec_release(&c->ch_tasks);
    weir_vec_release(&c->ch_nodes);
    weir_vec_release(&c->ch_leases);
    weir_vec_release(&c->ch_holds);
    weir_vec_release(&c->holds_changed);
    weir_vec_release(&c->ch_projects);
    weir_vec_release(&c->ch_shapes);
    weir_spares_release(&c->spare_jobs);
    weir_spares_release(&c->spare_runs);
    weir_spares_release(&c->spare_holds);
    weir_spares_release(&c->spare_classes);
    free(c);
}

static void hand_out(struct weir_core *c, struct weir_effects *ret)
{
    *ret = (struct weir_effects){
        .seq = c->seq,
        .effect = c->effects.p,
        .n_effects = c->effects.n,
        .explain = c->explains.p,
        .n_explains = c->explains.n,
        .job = c->ch_jobs.p,
        .n_jobs = c->ch_jobs.n,
        .task = c->ch_tasks.p,
        .n_tasks = c->ch_tasks.n,
        .node = c->ch_nodes.p,
        .n_nodes = c->ch_nodes.n,
        .lease = c->ch_leases.p,
        .n_leases = c->ch_leases.n,
        .hold = c->ch_holds.p,
        .n_holds = c->ch_holds.n,
        .project = c->ch_projects.p,
        .n_projects = c->ch_projects.n,
        .budget = c->ch_budgets.p,
        .n_budgets = c->ch_budgets.n,
        .quota = c->ch_quotas.p,
        .n_quotas = c->ch_quotas.n,
        .shape = c->ch_shapes.p,
        .n_shapes = c->ch_shapes.n,
        .wake_at = {plan_wake_us(c)},
    };
}

int weir_core_step(struct weir_core *c, const struct weir_event *ev, struct weir_effects *ret, struct weir_err *err)
{
    if (c->stepped && ev->seq <= c->seq) {
        return weir_fail(err, -WEIR_EINVAL, "event %" PRIu64 ": the last one was %" PRIu64, ev->seq,
                         c->seq);
    }
    if (ev->now.us < c->now_us || ev->now.us <= 0) {
        return weir_fail(err, -WEIR_EINVAL,
                         "event %" PRIu64 ": its time %" PRId64 " is before that of the last, %" PRId64,
                         ev->seq, ev->now.us, c->now_us);
    }
    int r = event_check(c, ev, err);
    if (r < 0) {
        return r;
    }
    step_clear(c);
    c->moment++;
    c->stepped = true;
    c->seq = ev->seq;
    c->now_us = ev->now.us;
    update(c, ev);
    timers_run(c);
    learned_update(c);
    plan(c);
    jobs_settle(c);
    hand_out(c, ret);
    return 0;
}

struct weir_job_id weir_core_take_job_id(struct weir_core *c)
{
    return (struct weir_job_id){c->next_job++};
}

struct weir_node_id weir_core_take_node_id(struct weir_core *c)
{
    return (struct weir_node_id){c->next_node++};
}
