/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring the state from views, before the first step. What is not in the views (queues, indexes,
 * predictions, claims) follows from them. Every object is checked: a store may be damaged.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

void weir_core_restore_ids(struct weir_core *c, uint64_t next_job, uint64_t next_node, uint64_t next_lease, uint64_t next_hold)
{
    c->next_job = next_job > c->next_job ? next_job : c->next_job;
    c->next_node = next_node > c->next_node ? next_node : c->next_node;
    c->next_lease = next_lease > c->next_lease ? next_lease : c->next_lease;
    c->next_hold = next_hold > c->next_hold ? next_hold : c->next_hold;
}

static void raise(uint64_t *next, uint64_t seen)
{
    if (seen >= *next) {
        *next = seen + 1;
    }
}

int weir_core_restore_shape(struct weir_core *c, uint32_t shape, const struct weir_request *r, struct weir_err *err)
{
    enum { SHAPES_MAX = 1 << 24 };
    if (shape >= SHAPES_MAX || (shape < c->shapes.n && c->shapes.p[shape] != NULL)) {
        return weir_fail(err, -WEIR_ECORRUPT, "shape %u: stored twice, or not a number of one",
                         shape);
    }
    if (request_check(c, r, err) < 0) {
        return weir_fail_prefix(err, -WEIR_ECORRUPT, "shape %u", shape);
    }
    (void)shape_new(c, shape, r);
    return 0;
}

int weir_core_restore_project(struct weir_core *c, const struct weir_project_view *v, struct weir_err *err)
{
    if (project_find(c, v->id.v) != NULL) {
        return weir_fail(err, -WEIR_ECORRUPT, "project %u: stored twice", v->id.v);
    }
    if (v->spent_decayed_micro < 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "project %u: spent less than nothing", v->id.v);
    }
    struct project *p = project_get(c, v->id.v);
    p->weight = v->weight == 0 ? 1 : v->weight;
    p->delay_cost = v->delay_cost_micro_per_hour;
    p->spent_micro = v->spent_decayed_micro;
    p->spent_us = v->spent_at.us;
    p->set = true;
    return 0;
}

/* None was stored by a version that did not know of payers. */
static struct payer *payer_restored(struct weir_core *c, struct weir_payer_id id, struct weir_project_id project, struct weir_user_id user)
{
    return id.v == 0 ? payer_get(c, project.v, user.v, "{}") : payer_find(c, id.v);
}

int weir_core_restore_job(struct weir_core *c, const struct weir_job_view *v, struct weir_err *err)
{
    unsigned long long id = v->id.v;
    if (id == 0 || id > UINT64_MAX / 2 || job_find(c, id) != NULL) {
        return weir_fail(err, -WEIR_ECORRUPT, "job %llu: stored twice, or not an id", id);
    }
    if (v->shape >= c->shapes.n || c->shapes.p[v->shape] == NULL) {
        return weir_fail(err, -WEIR_ECORRUPT, "job %llu: its shape %u is not stored", id, v->shape);
    }
    if (v->n_tasks == 0 || v->n_tasks > WEIR_ARRAY_TASKS_MAX || v->priority < 0 ||
        v->priority > 1000 || v->submitted.us <= 0 || (uint32_t)v->state >= WEIR_JOB_STATE_MAX ||
        weir_job_state_is_final(v->state)) {
        return weir_fail(err, -WEIR_ECORRUPT,
                         "job %llu: state, priority, number of tasks or time of submission", id);
    }
    struct payer *payer = payer_restored(c, v->payer, v->project, v->user);
    if (payer == NULL) {
        return weir_fail(err, -WEIR_ECORRUPT, "job %llu: its payer %u is not stored", id, v->payer.v);
    }
    struct job *j = job_new(c, id, v->n_tasks);
    j->payer = payer;
    j->class = class_get(c, c->shapes.p[v->shape], project_get(c, v->project.v), j->payer->limits, v->priority,
                         v->submitted.us, v->deadline.us);
    j->user = v->user.v;
    j->parallel_max = v->parallel_max;
    j->submitted_us = v->submitted.us;
    j->started_us = v->started.us;
    j->state = (uint8_t)v->state;
    j->cancelled = v->cancelled;
    j->count[WEIR_TASK_WAITING] = v->n_tasks;
    queue_add_all(c, j);
    queue_update(c, j);
    raise(&c->next_job, id);
    return 0;
}

int weir_core_restore_node(struct weir_core *c, const struct weir_node_view *v, struct weir_err *err)
{
    unsigned long long id = v->spec.id.v;
    if (!spec_is_sane(c, &v->spec) || node_find(c, id) != NULL ||
        (uint32_t)v->state >= WEIR_NODE_STATE_MAX || v->state == WEIR_NODE_GONE) {
        return weir_fail(err, -WEIR_ECORRUPT, "node %llu: stored twice, gone, or not well formed",
                         id);
    }
    struct node *n = node_new(c, &v->spec, NULL);
    n->state = (uint8_t)v->state;
    n->joined = v->joined;
    n->since_us = v->since.us;
    n->idle_since_us = v->idle_since.us;
    n->metered = v->joined; /* of a rented node: as its lease says */
    return 0;
}

/* What a lease leaves behind: that it was refused, or that it took room while others were. */
static void remember_lease(struct weir_core *c, const struct weir_lease_view *v)
{
    if (v->state == WEIR_LEASE_FAILED && v->ending_at.us != 0) {
        offer_remember(c, &v->offer, &(struct refused){v->id.v, v->task, v->refusal, v->intent_at.us, v->ended_at.us, v->ending_at.us});
    } else if (v->state != WEIR_LEASE_FAILED && weir_refusal_is_given_up(v->refusal)) {
        offer_remember_given_up(c, &v->offer,
                                (struct refused){.lease = v->id.v, .task = v->task, .refusal = v->refusal, .intent_us = v->intent_at.us, .at_us = v->ending_at.us});
    }
    if (v->state == WEIR_LEASE_ENDED && v->confirmed_at.us != 0 && !v->reclaimed) {
        const struct lease_past was = {place_of(c, &v->offer), v->task, v->intent_at.us, v->ended_at.us};
        weir_vec_push(&c->past, was);
    }
    uint32_t provider = provider_get(c, v->offer.provider);
    c->providers.p[provider].made_us = max_i64(c->providers.p[provider].made_us, v->confirmed_at.us);
    if (v->offer.gpus > 0) {
        c->providers.p[provider].good_us = max_i64(c->providers.p[provider].good_us, v->ready_at.us);
    }
}

int weir_core_restore_past_lease(struct weir_core *c, const struct weir_lease_view *v, struct weir_err *err)
{
    unsigned long long id = v->id.v;
    if (id == 0 || id > UINT64_MAX / 2 || (uint32_t)v->state >= WEIR_LEASE_STATE_MAX ||
        !weir_sm_is(&weir_sm_lease, v->state, WEIR_SM_FINAL) || !offer_is_sane(c, &v->offer)) {
        return weir_fail(err, -WEIR_ECORRUPT, "lease %llu: not over, or not well formed", id);
    }
    raise(&c->next_lease, id);
    (void)provider_get(c, v->offer.provider);
    learned_restore(c, v);
    return 0;
}

int weir_core_restore_lease(struct weir_core *c, const struct weir_lease_view *v, struct weir_err *err)
{
    unsigned long long id = v->id.v;
    if (id == 0 || id > UINT64_MAX / 2 || lease_find(c, id) != NULL ||
        (uint32_t)v->state >= WEIR_LEASE_STATE_MAX || !offer_is_sane(c, &v->offer)) {
        return weir_fail(err, -WEIR_ECORRUPT, "lease %llu: stored twice, or not well formed", id);
    }
    raise(&c->next_lease, id);
    remember_lease(c, v);
    if (weir_sm_is(&weir_sm_lease, v->state, WEIR_SM_FINAL)) {
        learned_restore(c, v);
        return 0; /* only what is remembered of it counts */
    }
    struct node *n = node_find(c, v->node.v);
    if (n == NULL || n->lease != NULL || n->spec.lease.v != id) {
        return weir_fail(err, -WEIR_ECORRUPT, "lease %llu: its node %llu is not stored, or not its own",
                         id, (unsigned long long)v->node.v);
    }
    if (v->state == WEIR_LEASE_READY && v->ready_at.us == 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "lease %llu: ready at no time", id);
    }
    struct job *tenant = job_find(c, v->task.job.v);
    struct payer *payer = v->payer.v == 0 && tenant != NULL ? tenant->payer
                                                            : payer_restored(c, v->payer, (struct weir_project_id){0}, (struct weir_user_id){0});
    if (v->price_micro_per_hour < 0 || v->priced_micro < 0 || v->priced.us < 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "lease %llu: it costs less than nothing", id);
    }
    if (payer == NULL || v->held_micro < 0 || v->charged_micro < 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "lease %llu: its payer %u is not stored, or it holds less than nothing", id, v->payer.v);
    }
    struct lease *l = weir_alloc(sizeof *l);
    *l = (struct lease){.id = id,
                        .node = n,
                        .node_id = v->node.v,
                        .state = (uint8_t)v->state,
                        .refusal = v->refusal,
                        .reclaimed = v->reclaimed,
                        .offer = v->offer,
                        .price_micro_per_hour = v->price_micro_per_hour > 0 ? v->price_micro_per_hour : v->offer.price_micro_per_hour,
                        .priced_us = v->priced.us,
                        .priced_micro = v->priced_micro,
                        .provider = provider_get(c, v->offer.provider),
                        .task = v->task,
                        .payer = payer,
                        .held_micro = v->held_micro,
                        .charged_micro = v->charged_micro,
                        .intent_us = v->intent_at.us,
                        .confirmed_us = v->confirmed_at.us,
                        .ready_us = v->ready_at.us,
                        .reclaim_us = v->reclaim_at.us,
                        .ending_us = v->ending_at.us,
                        .expires_us = v->expires.us,
                        .boot_us = v->offer.boot_expected.us,
                        .reclaim_ppm = v->offer.reclaim_ppm_per_hour};
    size_t at = c->leases.n;
    while (at > 0 && c->leases.p[at - 1]->id > id) {
        at--;
    }
    weir_vec_push(&c->leases, l);
    memmove(&c->leases.p[at + 1], &c->leases.p[at], (c->leases.n - 1 - at) * sizeof *c->leases.p);
    c->leases.p[at] = l;
    c->leases_live++;
    c->leases_micro_per_hour += lease_marginal(l);
    c->leases_booting += lease_boots(l);
    lease_count(c, l, true);
    n->lease = l;
    n->metered = l->confirmed_us != 0;
    node_set_type(c, n);
    return 0;
}

/* ---- tasks ---- */

static int rank_restore(struct weir_core *c, struct run *r, uint32_t i, const struct weir_task_view *v, struct weir_err *err)
{
    const struct weir_request *req = &r->job->class->shape->req;
    bool gang = r->n_ranks > 1;
    struct rank *k = &r->rank[i];
    k->node_id = gang ? v->gang_node[i].v : v->node.v;
    k->mask = gang ? v->gang_mask[i] : v->gpu_mask;
    k->cpu_milli = req->cpu_milli;
    k->mem_mib = req->mem_mib;
    uint8_t state = gang ? v->gang_state[i]
                         : (uint8_t)((v->ranks_started > 0 ? WEIR_RANK_STARTED : 0) | (v->ranks_ended > 0 ? WEIR_RANK_ENDED : 0));
    k->started = (state & WEIR_RANK_STARTED) != 0;
    k->ended = (state & WEIR_RANK_ENDED) != 0;
    k->failed = (state & WEIR_RANK_FAILED) != 0;
    k->pending = (state & WEIR_RANK_PENDING) != 0;
    if (state >> GANG_REASON_SHIFT >= WEIR_REASON_MAX) {
        return weir_fail(err, -WEIR_ECORRUPT, "rank %u: its state %u is not one", i, state);
    }
    if (k->ended && state >> GANG_REASON_SHIFT != WEIR_REASON_NONE) {
        r->end_reason = state >> GANG_REASON_SHIFT;
        r->end_rank = i;
    }
    r->failed = r->failed || k->failed;
    k->told = v->lease.v == 0;
    r->n_started += k->started;
    r->n_ended += k->ended;
    struct node *n = node_find(c, k->node_id);
    if (n == NULL) {
        return k->ended ? 0
                        : weir_fail(err, -WEIR_ECORRUPT, "rank %u: its node %llu is not stored", i,
                                    (unsigned long long)k->node_id);
    }
    if (k->ended) {
        return 0;
    }
    if ((n->free_mask & k->mask) != k->mask || n->cpu_free < k->cpu_milli ||
        n->mem_free < k->mem_mib) {
        return weir_fail(err, -WEIR_ECORRUPT, "rank %u: node %llu has no room for it", i,
                         (unsigned long long)k->node_id);
    }
    k->node = n;
    return 0;
}

static int run_restore(struct weir_core *c, struct job *j, const struct weir_task_view *v, struct weir_err *err)
{
    uint32_t n = v->n_nodes;
    if (n != j->class->shape->req.nodes ||
        (n > 1 && (v->gang_node == NULL || v->gang_mask == NULL || v->gang_state == NULL)) ||
        v->hold.v == 0 || v->attempt == 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "it is placed, but not fully described");
    }
    struct run *r = run_new(c, j, v->id.ordinal, n);
    r->attempt = v->attempt;
    r->placed_us = v->placed.us;
    r->started_us = v->state == WEIR_TASK_STARTING ? 0 : v->started.us;
    for (uint32_t i = 0; i < n; i++) {
        if (rank_restore(c, r, i, v, err) < 0) {
            run_free(c, r);
            return -WEIR_ECORRUPT;
        }
    }
    if (v->state == WEIR_TASK_STOPPING) {
        r->stop_reason = (uint8_t)v->reason;
        r->stop_us = v->placed.us; /* that there was one is all that counts */
    }
    if (r->n_ended > 0) {
        if (r->end_reason == WEIR_REASON_NONE) { /* stored by a version that did not keep it */
            r->end_reason = (uint8_t)(v->state == WEIR_TASK_STOPPING ? v->reason : WEIR_REASON_EXIT);
        }
        r->exit_code = v->exit_code;
        r->signal = v->signal;
    }
    run_rate(r);
    for (uint32_t i = 0; i < n; i++) {
        struct node *node = r->rank[i].node;
        if (node == NULL) {
            continue;
        }
        node_take(c, node, r, i);
        r->rank[i].segment = r->rank[i].told;
    }
    run_settle_gang_view(r);
    j->task[v->id.ordinal].run = r;
    return 0;
}

int weir_core_restore_task(struct weir_core *c, const struct weir_task_view *v, struct weir_err *err)
{
    unsigned long long id = v->id.job.v;
    struct job *j = job_find(c, id);
    if (j == NULL || v->id.ordinal >= j->n_tasks || (uint32_t)v->state >= WEIR_TASK_STATE_MAX ||
        (uint32_t)v->reason >= WEIR_REASON_MAX) {
        return weir_fail(err, -WEIR_ECORRUPT, "task %llu.%u: its job is not stored, or has fewer",
                         id, v->id.ordinal);
    }
    struct task *t = &j->task[v->id.ordinal];
    if (t->state != WEIR_TASK_WAITING || t->attempt != 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "task %llu.%u: stored twice", id, v->id.ordinal);
    }
    bool active = weir_sm_is(&weir_sm_task, v->state, WEIR_SM_HOLDS_ROOM);
    if (active && run_restore(c, j, v, err) < 0) {
        return weir_fail_prefix(err, -WEIR_ECORRUPT, "task %llu.%u", id, v->id.ordinal);
    }
    t->queued_us = v->queued.us == j->submitted_us ? 0 : v->queued.us;
    t->placed_us = v->placed.us;
    t->started_us = v->started.us;
    t->first_started_us = v->first_started.us;
    t->ended_us = v->ended.us;
    t->checkpointed_us = v->checkpointed.us;
    t->spent_micro = v->spent_micro;
    t->node = v->node.v;
    t->attempt = v->attempt;
    t->failures = (uint16_t)(v->failures < UINT16_MAX ? v->failures : UINT16_MAX);
    t->losses = (uint16_t)(v->losses < UINT16_MAX ? v->losses : UINT16_MAX);
    t->exit_code = v->exit_code;
    t->signal = (uint8_t)v->signal;
    t->reason = (uint8_t)v->reason;
    if (v->state == WEIR_TASK_WAITING) {
        return 0;
    }
    t->state = (uint8_t)v->state;
    j->count[WEIR_TASK_WAITING]--;
    j->count[v->state]++;
    queue_remove(c, j, v->id.ordinal);
    queue_update(c, j);
    if (active) {
        c->n_running++;
        j->class->project->running++;
        run_count(c, j->class->priority, true);
    }
    return 0;
}

int weir_core_restore_hold(struct weir_core *c, const struct weir_hold_view *v, struct weir_err *err)
{
    unsigned long long id = v->id.v;
    raise(&c->next_hold, id);
    if (v->state == WEIR_HOLD_RELEASED) {
        return 0;
    }
    struct run *r = run_find(c, (struct weir_run_id){v->task, v->attempt});
    if (id == 0 || id > UINT64_MAX / 2 || hold_find(c, id) != NULL || r == NULL || r->hold != NULL) {
        return weir_fail(err, -WEIR_ECORRUPT, "hold %llu: stored twice, or its run is not", id);
    }
    struct hold *h = weir_spares_alloc(&c->spare_holds, sizeof *h);
    *h = (struct hold){.id = id,
                       .task = v->task,
                       .attempt = v->attempt,
                       .project = v->project.v,
                       .amount_micro = v->amount_micro,
                       .charged_micro = v->charged_micro,
                       .until_us = v->until.us,
                       .state = (uint8_t)v->state};
    hold_list_add(c, h);
    r->hold = h;
    return 0;
}

/* ---- what follows from the objects ---- */

static int check_holds(const struct node *n, struct weir_err *err)
{
    for (size_t i = 0; i < n->runs.n; i++) {
        const struct run *r = n->runs.p[i].run;
        if (r->hold == NULL) {
            return weir_fail(err, -WEIR_ECORRUPT, "task %" PRIu64 ".%u: it holds room, but no money",
                             r->job->id, r->ordinal);
        }
    }
    return 0;
}

static void settle_node(struct weir_core *c, struct node *n)
{
    for (size_t i = 0; i < n->runs.n; i++) {
        run_predict(c, n->runs.p[i].run);
        if (n->runs.p[i].rank == 0 || n->runs.p[i].run->rank[0].ended) {
            timer_for_run(c, n->runs.p[i].run);
        }
    }
    node_index(c, n);
    timer_for_node(c, n);
    if (n->lease != NULL) {
        timer_for_lease(c, n->lease);
    }
}

/* It may have been stored before jobs were said to wait again. */
static void job_settle_restored(struct job *j)
{
    if (j->state == WEIR_JOB_RUNNING && j->count[WEIR_TASK_WAITING] == job_tasks_left(j)) {
        weir_sm_move(&weir_sm_job, &j->state, WEIR_JOB_WAITING, NULL, j);
    }
}

int weir_core_restore_done(struct weir_core *c, uint64_t seq, struct weir_wall now, struct weir_err *err)
{
    for (size_t i = 0; i < c->nodes.n; i++) {
        if (check_holds(c->nodes.p[i], err) < 0) {
            return -WEIR_ECORRUPT;
        }
        if (c->nodes.p[i]->spec.lease.v != 0 && c->nodes.p[i]->lease == NULL) {
            return weir_fail(err, -WEIR_ECORRUPT, "node %" PRIu64 ": its lease is not stored",
                             c->nodes.p[i]->spec.id.v);
        }
    }
    c->seq = seq;
    c->now_us = now.us;
    c->reviewed_us = now.us;
    c->stepped = true;
    for (size_t i = 0; i < c->past.n; i++) {
        (void)offers_forget(c, &c->past.p[i]);
    }
    weir_vec_release(&c->past);
    for (size_t i = 0; i < c->nodes.n; i++) {
        settle_node(c, c->nodes.p[i]);
    }
    learned_update(c);
    for (const struct job_page *p = c->pages; p != NULL; p = p->next) {
        for (uint32_t i = 0; i < 1u << JOB_PAGE_BITS; i++) {
            if (p->job[i] != NULL) {
                demand_change(c, p->job[i]->class->want, job_tasks_left(p->job[i]));
                job_settle_restored(p->job[i]);
            }
        }
    }
    limits_settle_restored(c);
    claims_regroup(c);
    step_clear(c); /* nothing changed: it was so before */
    for (size_t i = 0; i < c->grown.n; i++) {
        c->grown.p[i]->grown = false;
    }
    weir_vec_clear(&c->grown);
    weir_vec_clear(&c->fresh);
    weir_vec_clear(&c->touched);
    c->claims_moved = true; /* what claims hold back is looked at in the first step */
    return 0;
}
