/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

void world_init(struct world *w, const struct weir_core_conf *conf)
{
    memset(w, 0, sizeof *w);
    w->conf = *conf;
    w->core = weir_core_new(conf);
    w->now_us = INT64_C(1795374000) * WEIR_US_PER_S;
}

void world_release(struct world *w)
{
    weir_core_free(w->core);
    for (size_t i = 0; i < WORLD_JOBS_MAX; i++) {
        free(w->job[i].task);
        free(w->job[i].stored);
        free(w->job[i].gang_node);
        free(w->job[i].gang_mask);
        free(w->job[i].gang_state);
    }
    free(w->hold);
}

/* ---- what the world does with effects ---- */

static struct world_run *run_of(struct world *w, const struct weir_effect *e)
{
    for (size_t i = 0; i < w->n_runs; i++) {
        if (weir_run_id_eq(w->run[i].run, e->run) && w->run[i].rank == e->rank) {
            return &w->run[i];
        }
    }
    return NULL;
}

static void segment(struct world *w, const struct weir_effect *e)
{
    struct world_run *r = run_of(w, e);
    if (e->kind == WEIR_EFFECT_SEGMENT_OPEN) {
        assert_true(w->meter[e->node.v]);
        if (r == NULL) {
            assert_true(w->n_runs < WORLD_RUNS_MAX);
            r = &w->run[w->n_runs++];
            *r = (struct world_run){.run = e->run, .rank = e->rank};
        }
        assert_false(r->segment);
        r->segment = true;
        r->node = e->node.v;
        r->gpus = e->u.segment.gpus;
        w->busy[e->node.v] += r->gpus;
        return;
    }
    assert_non_null(r);
    assert_true(r->segment);
    assert_int_equal(r->node, e->node.v);
    r->segment = false;
    r->pending = e->u.segment.outcome == WEIR_OUTCOME_PENDING;
    w->busy[e->node.v] -= r->gpus;
}

static void verdict(struct world *w, const struct weir_effect *e)
{
    struct world_run *r = run_of(w, e);
    assert_non_null(r);
    assert_true(r->pending);
    assert_int_equal(r->node, e->node.v);
    assert_int_not_equal(e->u.segment.outcome, WEIR_OUTCOME_PENDING);
    r->pending = false;
}

static void take_effect(struct world *w, const struct weir_effect *e)
{
    switch (e->kind) {
    case WEIR_EFFECT_RUN_START: {
        struct world_run *r = run_of(w, e);
        assert_non_null(r); /* its segment was opened first */
        assert_false(r->told);
        r->told = true;
        break;
    }
    case WEIR_EFFECT_RUN_STOP: {
        struct world_run *r = run_of(w, e);
        assert_non_null(r);
        assert_true(r->told);
        r->stop_us = r->stop_asked ? r->stop_us : w->now_us;
        r->stop_asked = true;
        r->stop_reason = e->u.run_stop.reason;
        break;
    }
    case WEIR_EFFECT_METER_OPEN:
        assert_true(!w->meter[e->node.v] || e->lease.v != 0);
        w->meter[e->node.v] = true;
        break;
    case WEIR_EFFECT_METER_READY:
    case WEIR_EFFECT_METER_RATES:
        assert_true(w->meter[e->node.v]);
        break;
    case WEIR_EFFECT_METER_CLOSE:
        assert_true(w->meter[e->node.v]);
        assert_int_equal(w->busy[e->node.v], 0);
        w->meter[e->node.v] = false;
        break;
    case WEIR_EFFECT_SEGMENT_OPEN:
    case WEIR_EFFECT_SEGMENT_CLOSE:
        segment(w, e);
        break;
    case WEIR_EFFECT_SEGMENT_VERDICT:
        verdict(w, e);
        break;
    case WEIR_EFFECT_LEASE_LAUNCH:
    case WEIR_EFFECT_LEASE_TERMINATE:
    case WEIR_EFFECT_LEASE_EXTEND:
    case WEIR_EFFECT_MAX:
        break;
    }
}

/* ---- copies of views ---- */

static void copy_task(struct world *w, struct weir_task_id id)
{
    struct world_job *j = &w->job[id.job.v];
    struct weir_task_view v;
    assert_true(weir_core_task(w->core, id, &v));
    if (v.gang_node != NULL) {
        size_t at = (size_t)id.ordinal * j->gang;
        assert_int_equal(v.n_nodes, j->gang);
        memcpy(j->gang_node + at, v.gang_node, j->gang * sizeof v.gang_node[0]);
        memcpy(j->gang_mask + at, v.gang_mask, j->gang * sizeof v.gang_mask[0]);
        memcpy(j->gang_state + at, v.gang_state, j->gang);
        v.gang_node = j->gang_node + at;
        v.gang_mask = j->gang_mask + at;
        v.gang_state = j->gang_state + at;
    }
    for (size_t i = 0; i < w->n_runs; i++) { /* whatever was pending has its verdict by the end */
        if (w->run[i].pending && weir_task_id_eq(w->run[i].run.task, id)) {
            assert_int_equal(w->run[i].run.attempt, v.attempt);
            assert_true(v.state != WEIR_TASK_WAITING && !weir_task_state_is_final(v.state));
        }
    }
    j->task[id.ordinal] = v;
    j->stored[id.ordinal] = true;
}

static void copy_job(struct world *w, struct weir_job_id id)
{
    assert_true(id.v < WORLD_JOBS_MAX);
    struct world_job *j = &w->job[id.v];
    assert_true(weir_core_job(w->core, id, &j->view));
    if (j->task == NULL) {
        j->gang = weir_core_shape(w->core, j->view.shape)->nodes;
        j->task = weir_calloc(j->view.n_tasks, sizeof *j->task);
        j->stored = weir_calloc(j->view.n_tasks, sizeof *j->stored);
        j->gang_node = weir_calloc((size_t)j->view.n_tasks * j->gang, sizeof *j->gang_node);
        j->gang_mask = weir_calloc((size_t)j->view.n_tasks * j->gang, sizeof *j->gang_mask);
        j->gang_state = weir_calloc((size_t)j->view.n_tasks * j->gang, 1);
    }
    if (id.v > w->jobs) {
        w->jobs = id.v;
    }
}

static void copy_hold(struct world *w, struct weir_hold_id id)
{
    if (id.v >= w->holds) {
        size_t n = id.v * 2 + 16;
        w->hold = weir_realloc(w->hold, n, sizeof *w->hold);
        memset(w->hold + w->holds, 0, (n - w->holds) * sizeof *w->hold);
        w->holds = n;
    }
    assert_true(weir_core_hold(w->core, id, &w->hold[id.v]));
}

static void take_changes(struct world *w, const struct weir_effects *x)
{
    for (size_t i = 0; i < x->n_jobs; i++) {
        copy_job(w, x->job[i]);
    }
    for (size_t i = 0; i < x->n_tasks; i++) {
        copy_task(w, x->task[i]);
    }
    for (size_t i = 0; i < x->n_nodes; i++) {
        assert_true(x->node[i].v < WORLD_NODES_MAX);
        assert_true(weir_core_node(w->core, x->node[i], &w->node[x->node[i].v]));
        w->node_known[x->node[i].v] = true;
    }
    for (size_t i = 0; i < x->n_leases; i++) {
        assert_true(x->lease[i].v < WORLD_NODES_MAX);
        assert_true(weir_core_lease(w->core, x->lease[i], &w->lease[x->lease[i].v]));
        if (x->lease[i].v > w->leases) {
            w->leases = x->lease[i].v;
        }
    }
    for (size_t i = 0; i < x->n_holds; i++) {
        copy_hold(w, x->hold[i]);
    }
    for (size_t i = 0; i < x->n_projects; i++) {
        assert_true(x->project[i].v < 8);
        assert_true(weir_core_project(w->core, x->project[i], &w->project[x->project[i].v]));
    }
    for (size_t i = 0; i < x->n_budgets; i++) {
        struct weir_budget_view *b = &w->budget[x->budget[i].v];
        assert_true(x->budget[i].v < WORLD_BUDGETS_MAX);
        if (!weir_core_budget(w->core, x->budget[i], b)) {
            b->id.v = 0;
        }
    }
    for (size_t i = 0; i < x->n_quotas; i++) {
        struct weir_quota_view *q = &w->quota[x->quota[i].v];
        assert_true(x->quota[i].v < WORLD_BUDGETS_MAX);
        if (!weir_core_quota(w->core, x->quota[i], q)) {
            q->id.v = 0;
        }
    }
}

void world_step(struct world *w, struct weir_event *ev)
{
    struct weir_err err = {""};
    ev->seq = ++w->seq;
    ev->now.us = w->now_us;
    int r = weir_core_step(w->core, ev, &w->effects, &err);
    if (r < 0) {
        fail_msg("step: %s", err.text);
    }
    for (size_t i = 0; i < w->effects.n_effects; i++) {
        assert_int_equal(w->effects.effect[i].number, i);
        take_effect(w, &w->effects.effect[i]);
    }
    take_changes(w, &w->effects);
    size_t kept = 0;
    for (size_t i = 0; i < w->n_runs; i++) {
        if (w->run[i].segment || w->run[i].pending) {
            assert_true(w->busy[w->run[i].node] <= w->node[w->run[i].node].spec.gpus);
            w->run[kept++] = w->run[i];
        }
    }
    w->n_runs = kept;
}

/* ---- restore ---- */

#define RESTORE(call)                                                                              \
    do {                                                                                           \
        struct weir_err err_ = {""};                                                               \
        if ((call) < 0) {                                                                          \
            fail_msg("restore: %s", err_.text);                                                    \
        }                                                                                          \
    } while (0)

static void restore_machines(struct world *w, struct weir_core *c)
{
    for (uint64_t i = 0; i < WORLD_NODES_MAX; i++) {
        if (w->node_known[i] && w->node[i].state != WEIR_NODE_GONE) {
            RESTORE(weir_core_restore_node(c, &w->node[i], &err_));
        }
    }
    for (uint64_t i = 1; i <= w->leases; i++) {
        RESTORE(weir_core_restore_lease(c, &w->lease[i], &err_)); /* ended ones too: see offers */
    }
}

/* Objects that are over are not restored, but their ids are never given again. */
static void restore_ids(const struct world *w, struct weir_core *c)
{
    uint64_t node = 0;
    uint64_t hold = 0;
    for (uint64_t i = 1; i < WORLD_NODES_MAX; i++) {
        node = w->node_known[i] ? i : node;
    }
    for (size_t i = 1; i < w->holds; i++) {
        hold = w->hold[i].id.v != 0 ? i : hold;
    }
    weir_core_restore_ids(c, w->jobs + 1, node + 1, w->leases + 1, hold + 1);
}

struct weir_core *world_restore(struct world *w)
{
    struct weir_core *c = weir_core_new(&w->conf);
    restore_ids(w, c);
    for (uint32_t i = 1; i <= weir_core_policies(w->core); i++) {
        size_t n;
        const struct weir_policy_rule *rule = weir_core_policy(w->core, i, &n);
        RESTORE(weir_core_restore_policy(c, i, rule, n, &err_));
    }
    for (uint32_t i = 0; weir_core_shape(w->core, i) != NULL; i++) {
        RESTORE(weir_core_restore_shape(c, i, weir_core_shape(w->core, i), &err_));
    }
    for (uint32_t i = 1; i < 8; i++) {
        if (w->project[i].id.v != 0) {
            RESTORE(weir_core_restore_project(c, &w->project[i], &err_));
        }
    }
    struct weir_payer_view payer;
    for (uint32_t i = 1; weir_core_payer(w->core, (struct weir_payer_id){i}, &payer); i++) {
        RESTORE(weir_core_restore_payer(c, &payer, &err_));
    }
    for (uint32_t i = 1; i < WORLD_BUDGETS_MAX; i++) {
        if (w->budget[i].id.v != 0) {
            RESTORE(weir_core_restore_budget(c, &w->budget[i], &err_));
        }
    }
    for (uint64_t i = 1; i < WORLD_BUDGETS_MAX; i++) {
        if (w->quota[i].id.v != 0) {
            RESTORE(weir_core_restore_quota(c, &w->quota[i], &err_));
        }
    }
    for (uint64_t i = 1; i <= w->jobs; i++) {
        if (w->job[i].task != NULL && !weir_job_state_is_final(w->job[i].view.state)) {
            RESTORE(weir_core_restore_job(c, &w->job[i].view, &err_));
        }
    }
    c = (restore_machines(w, c), c);
    for (uint64_t i = 1; i <= w->jobs; i++) {
        struct world_job *j = &w->job[i];
        if (j->task == NULL || weir_job_state_is_final(j->view.state)) {
            continue;
        }
        for (uint32_t k = 0; k < j->view.n_tasks; k++) {
            if (j->stored[k]) {
                RESTORE(weir_core_restore_task(c, &j->task[k], &err_));
            }
        }
    }
    for (size_t i = 1; i < w->holds; i++) {
        if (w->hold[i].id.v != 0) {
            RESTORE(weir_core_restore_hold(c, &w->hold[i], &err_));
        }
    }
    RESTORE(weir_core_restore_done(c, w->seq, (struct weir_wall){w->now_us}, &err_));
    return c;
}
