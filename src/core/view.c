/* SPDX-License-Identifier: Apache-2.0 */
/* Views: plain copies of the objects, as they are stored and shown. */

#include <string.h>

#include "core/core_priv.h"

bool weir_core_job(const struct weir_core *c, struct weir_job_id id, struct weir_job_view *ret)
{
    const struct job *j = job_find(c, id.v);
    if (j == NULL) {
        return false;
    }
    *ret = (struct weir_job_view){
        .id = id,
        .project = {j->class->project->id},
        .user = {j->user},
        .payer = {j->payer->id},
        .shape = j->class->shape->id,
        .priority = j->class->priority,
        .n_tasks = j->n_tasks,
        .parallel_max = j->parallel_max,
        .state = (enum weir_job_state)j->state,
        .submitted = {j->submitted_us},
        .started = {j->started_us},
        .ended = {j->ended_us},
        .deadline = {j->class->deadline_us},
        .cancelled = j->cancelled,
    };
    memcpy(ret->count, j->count, sizeof ret->count);
    return true;
}

/* Pages stand in descending order, as ids are given out in ascending order. */
size_t weir_core_jobs_before(const struct weir_core *c, struct weir_job_id before, struct weir_job_id *ret, size_t max)
{
    size_t n = 0;
    for (const struct job_page *p = c->pages; p != NULL && n < max; p = p->next) {
        for (uint64_t i = p->number << JOB_PAGE_BITS >= before.v ? 0 : 1u << JOB_PAGE_BITS; i > 0 && n < max; i--) {
            const struct job *j = p->job[i - 1];
            if (j != NULL && j->id < before.v && !weir_job_state_is_final((enum weir_job_state)j->state)) {
                ret[n++] = (struct weir_job_id){j->id};
            }
        }
    }
    return n;
}

bool weir_core_task(const struct weir_core *c, struct weir_task_id id, struct weir_task_view *ret)
{
    const struct job *j = job_find(c, id.job.v);
    if (j == NULL || id.ordinal >= j->n_tasks) {
        return false;
    }
    const struct task *t = &j->task[id.ordinal];
    const struct run *r = t->run;
    *ret = (struct weir_task_view){
        .id = id,
        .state = (enum weir_task_state)t->state,
        .reason = (enum weir_reason)t->reason,
        .attempt = t->attempt,
        .failures = t->failures,
        .losses = t->losses,
        .node = {t->state == WEIR_TASK_WAITING ? 0 : t->node},
        .n_nodes = t->node == 0 || t->state == WEIR_TASK_WAITING ? 0 : 1,
        .queued = {t->queued_us != 0 ? t->queued_us : j->submitted_us},
        .placed = {t->placed_us},
        .started = {t->started_us},
        .first_started = {t->first_started_us},
        .ended = {t->ended_us},
        .checkpointed = {t->checkpointed_us},
        .spent_micro = t->spent_micro,
        .exit_code = t->exit_code,
        .signal = t->signal,
    };
    if (r == NULL) {
        return true;
    }
    ret->gpu_mask = r->rank[0].mask;
    ret->n_nodes = r->n_ranks;
    if (r->n_ranks > 1) {
        ret->gang_node = r->gang_node;
        ret->gang_mask = r->gang_mask;
        ret->gang_state = r->gang_state;
    }
    if (!r->rank[0].told && r->rank[0].node != NULL && r->rank[0].node->lease != NULL) {
        ret->lease.v = r->rank[0].node->lease->id;
    }
    if (r->n_ended > 0) {
        ret->exit_code = r->exit_code;
        ret->signal = r->signal;
    }
    ret->hold.v = r->hold->id;
    ret->ranks_started = r->n_started;
    ret->ranks_ended = r->n_ended;
    return true;
}

bool weir_core_node(const struct weir_core *c, struct weir_node_id id, struct weir_node_view *ret)
{
    const struct node *n = node_find(c, id.v);
    if (n == NULL) {
        return false;
    }
    *ret = (struct weir_node_view){
        .spec = n->spec,
        .state = (enum weir_node_state)n->state,
        .joined = n->joined,
        .since = {n->since_us},
        .idle_since = {n->runs.n == 0 ? n->idle_since_us : 0},
        .gpu_free_mask = n->free_mask,
        .cpu_free_milli = n->cpu_free,
        .mem_free_mib = n->mem_free,
        .n_runs = (uint32_t)n->runs.n,
    };
    return true;
}

bool weir_core_lease(const struct weir_core *c, struct weir_lease_id id, struct weir_lease_view *ret)
{
    const struct lease *l = lease_find(c, id.v);
    if (l == NULL) {
        return false;
    }
    *ret = (struct weir_lease_view){
        .id = id,
        .node = {l->node_id},
        .state = (enum weir_lease_state)l->state,
        .offer = l->offer,
        .price_micro_per_hour = l->price_micro_per_hour,
        .priced = {l->priced_us},
        .priced_micro = l->priced_micro,
        .task = l->task,
        .payer = {l->payer->id},
        .held_micro = l->held_micro,
        .charged_micro = l->charged_micro,
        .intent_at = {l->intent_us},
        .confirmed_at = {l->confirmed_us},
        .ready_at = {l->ready_us},
        .reclaim_at = {l->reclaim_us},
        .ending_at = {l->ending_us},
        .ended_at = {l->ended_us},
        .expires = {l->expires_us},
        .refusal = l->refusal,
        .reclaimed = l->reclaimed,
    };
    return true;
}

bool weir_core_hold(const struct weir_core *c, struct weir_hold_id id, struct weir_hold_view *ret)
{
    const struct hold *h = hold_find(c, id.v);
    if (h == NULL) {
        return false;
    }
    *ret = (struct weir_hold_view){
        .id = id,
        .task = h->task,
        .attempt = h->attempt,
        .project = {h->project},
        .amount_micro = h->amount_micro,
        .charged_micro = h->charged_micro,
        .until = {h->until_us},
        .state = (enum weir_hold_state)h->state,
    };
    return true;
}

bool weir_core_project(const struct weir_core *c, struct weir_project_id id, struct weir_project_view *ret)
{
    const struct project *p = project_find(c, id.v);
    if (p == NULL) {
        return false;
    }
    *ret = (struct weir_project_view){
        .id = id,
        .weight = p->weight,
        .delay_cost_micro_per_hour = p->delay_cost,
        .spent_decayed_micro = p->spent_micro,
        .spent_at = {p->spent_us},
        .waiting = p->waiting,
        .running = p->running,
    };
    return true;
}

const struct weir_request *weir_core_shape(const struct weir_core *c, uint32_t shape)
{
    return shape < c->shapes.n && c->shapes.p[shape] != NULL ? &c->shapes.p[shape]->req : NULL;
}

bool weir_core_is_impossible(const struct weir_core *c, uint32_t shape)
{
    return shape < c->shapes.n && c->shapes.p[shape] != NULL && c->shapes.p[shape]->told == TOLD_IMPOSSIBLE;
}

size_t weir_core_nodes(const struct weir_core *c, struct weir_node_id *ret, size_t max)
{
    for (size_t i = 0; i < c->nodes.n && i < max; i++) {
        ret[i] = c->nodes.p[i]->spec.id;
    }
    return c->nodes.n;
}

size_t weir_core_leases(const struct weir_core *c, struct weir_lease_id *ret, size_t max)
{
    for (size_t i = 0; i < c->leases.n && i < max; i++) {
        ret[i].v = c->leases.p[i]->id;
    }
    return c->leases.n;
}

struct weir_core_stats weir_core_stats(const struct weir_core *c)
{
    struct weir_core_stats s = {
        .jobs = c->n_jobs,
        .tasks_waiting = c->n_waiting,
        .tasks_running = c->n_running,
    };
    uint64_t bytes = sizeof *c + c->bytes_jobs;
    for (size_t i = 0; i < c->shapes.n; i++) {
        const struct shape *x = c->shapes.p[i];
        if (x == NULL) {
            continue;
        }
        s.shapes++;
        bytes += sizeof *x;
        for (int k = 0; k < RANKINGS; k++) {
            bytes += x->ranking[k].n * sizeof *x->ranking[k].p;
        }
    }
    bytes += c->want_by_hash.n * (sizeof(struct want) + c->types.n * sizeof(struct type_fit) + 48);
    bytes += c->class_by_hash.n * (sizeof(struct class) + 48);
    bytes += c->nodes.n * (sizeof(struct node) + 128);
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        bytes += sizeof *t + (t->gpus + 1u) * (t->tree_size * sizeof(int64_t) + t->words * 8);
    }
    bytes += c->leases.n * sizeof(struct lease) + c->offers.size * sizeof *c->offers.p;
    bytes += c->n_holds * (sizeof(struct hold) + 16);
    bytes += c->n_running * (sizeof(struct run) + sizeof(struct rank) + 32);
    bytes += c->timers.size * sizeof *c->timers.p;
    bytes += c->effects.size * sizeof *c->effects.p + c->explains.size * sizeof *c->explains.p;
    s.bytes = bytes;
    return s;
}
