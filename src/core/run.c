/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one attempt: room taken, agents told, started, stopped, ended, and what follows from it. */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

static bool task_is_consistent(const void *object)
{
    const struct task *t = object;
    return (t->run != NULL) == weir_sm_is(&weir_sm_task, t->state, WEIR_SM_HOLDS_ROOM);
}

static bool is_active(uint32_t state)
{
    return weir_sm_is(&weir_sm_task, state, WEIR_SM_HOLDS_ROOM);
}

uint32_t job_tasks_left(const struct job *j)
{
    return j->n_tasks - j->count[WEIR_TASK_SUCCEEDED] - j->count[WEIR_TASK_FAILED] - j->count[WEIR_TASK_CANCELLED];
}

static void job_settle(struct weir_core *c, struct job *j)
{
    if (job_tasks_left(j) > 0) {
        return;
    }
    enum weir_job_state to = WEIR_JOB_SUCCEEDED;
    if (j->count[WEIR_TASK_FAILED] > 0) {
        to = WEIR_JOB_FAILED;
    } else if (j->count[WEIR_TASK_CANCELLED] > 0) {
        to = WEIR_JOB_CANCELLED;
    }
    weir_sm_move(&weir_sm_job, &j->state, to, NULL, j);
    j->ended_us = c->now_us;
}

void jobs_settle(struct weir_core *c)
{
    for (size_t i = 0; i < c->ch_jobs.n; i++) {
        struct job *j = job_find(c, c->ch_jobs.p[i].v);
        bool runs = j->count[WEIR_TASK_RUNNING] + j->count[WEIR_TASK_STOPPING] > 0 || j->told_seq == c->seq;
        if (j->state == WEIR_JOB_RUNNING && !runs) {
            weir_sm_move(&weir_sm_job, &j->state, WEIR_JOB_WAITING, NULL, j);
        }
    }
}

void run_count(struct weir_core *c, int32_t priority, bool in)
{
    uint32_t p = (uint32_t)priority;
    c->running_by_priority[p] += in ? 1u : UINT32_MAX;
    c->running_from = p < c->running_from ? p : c->running_from;
}

/* The run pointer must already fit the new state. */
void task_move(struct weir_core *c, struct job *j, uint32_t ordinal, enum weir_task_state to)
{
    struct task *t = &j->task[ordinal];
    uint32_t from = t->state;
    struct project *p = j->class->project;
    WEIR_ASSERT(j->count[from] > 0);
    weir_sm_move(&weir_sm_task, &t->state, to, task_is_consistent, t);
    j->count[from]--;
    j->count[to]++;
    if (is_active(from) != is_active(to)) {
        c->n_running += is_active(to) ? 1 : (uint64_t)-1;
        p->running += is_active(to) ? 1u : UINT32_MAX;
        run_count(c, j->class->priority, is_active(to));
        project_changed(c, p);
    }
    if (from == WEIR_TASK_WAITING) {
        queue_remove(c, j, ordinal);
    }
    if (to == WEIR_TASK_WAITING) {
        queue_add(c, j, ordinal);
    }
    queue_update(c, j);
    if (weir_task_state_is_final(to)) {
        demand_change(c, j->class->want, -1);
        job_settle(c, j);
    }
    task_changed(c, j, ordinal);
    job_changed(c, j);
}

/* ---- prediction ---- */

int64_t run_limit_us(const struct run *r)
{
    if (r->started_us == 0) {
        return US_NEVER;
    }
    return weir_i64_add_sat(r->started_us,
                            weir_i64_add_sat(r->job->class->shape->req.max_duration.us,
                                             RUN_MARGIN_S * WEIR_US_PER_S));
}

int64_t max_cost_left(const struct job *j, uint32_t ordinal)
{
    int64_t most = j->class->shape->req.max_cost_micro;
    return most <= 0 ? INT64_MAX : max_i64(most - j->task[ordinal].spent_micro, 0);
}

int64_t run_cost_limit_us(const struct run *r)
{
    int64_t left = max_cost_left(r->job, r->ordinal);
    if (left == INT64_MAX || r->rate_micro <= 0) {
        return US_NEVER;
    }
    return weir_i64_add_sat(r->placed_us, weir_mul_div_sat(left, WEIR_US_PER_HOUR, r->rate_micro));
}

/*
 * The predicted end depends on the state and the time only. A run that outlives its prediction is
 * given half as much again, and so on up to its limit.
 */
void run_predict(struct weir_core *c, struct run *r)
{
    int64_t most = r->job->class->shape->req.max_duration.us;
    int64_t from = r->started_us;
    int64_t end = 0;
    if (r->stop_us != 0) {
        end = r->placed_us; /* any moment */
    } else {
        if (from == 0) {
            from = r->placed_us;
            for (uint32_t i = 0; i < r->n_ranks; i++) {
                if (r->rank[i].node != NULL) {
                    from = max_i64(from, node_ready_us(r->rank[i].node));
                }
            }
        }
        int64_t span = r->expected_us;
        while (weir_i64_add_sat(from, span) <= c->now_us && span < most) {
            span = min_i64(most, weir_i64_add_sat(span, max_i64(span / 2, WEIR_US_PER_S)));
        }
        end = weir_i64_add_sat(from, span);
    }
    if (end == r->end_us) {
        return;
    }
    r->end_us = end;
    c->has_endless = c->has_endless || end == US_NEVER;
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        struct node *n = r->rank[i].node;
        if (n != NULL) {
            node_index(c, n);
            weir_vec_push(&c->touched, n);
        }
    }
}

/* ---- metering ---- */

static void segment_effect(struct weir_core *c, struct run *r, uint32_t rank, int64_t at_us, enum weir_effect_kind kind)
{
    const struct rank *k = &r->rank[rank];
    struct weir_effect *e = effect_add(c, kind);
    e->node.v = k->node_id;
    if (k->node != NULL && k->node->lease != NULL) {
        e->lease.v = k->node->lease->id;
    }
    e->run = run_id(r);
    e->rank = rank;
    e->at.us = at_us;
    e->u.segment.gpus = popcount32(k->mask);
    e->u.segment.cpu_milli = k->cpu_milli;
}

/* Of the effect that was just made. */
static void effect_outcome(struct weir_core *c, const struct run *r, int64_t at_us, enum weir_outcome outcome)
{
    struct weir_effect *e = &c->effects.p[c->effects.n - 1];
    e->u.segment.outcome = (uint8_t)outcome;
    if (outcome == WEIR_OUTCOME_LOST) {
        int64_t kept = r->job->task[r->ordinal].checkpointed_us;
        e->u.segment.kept_until.us = min_i64(max_i64(kept, r->placed_us), at_us);
    }
}

void segment_open(struct weir_core *c, struct run *r, uint32_t rank, int64_t at_us)
{
    WEIR_ASSERT(!r->rank[rank].segment);
    r->rank[rank].segment = true;
    segment_effect(c, r, rank, at_us, WEIR_EFFECT_SEGMENT_OPEN);
}

void segment_close(struct weir_core *c, struct run *r, uint32_t rank, int64_t at_us, enum weir_outcome outcome)
{
    if (!r->rank[rank].segment) {
        return;
    }
    r->rank[rank].segment = false;
    r->rank[rank].pending = outcome == WEIR_OUTCOME_PENDING;
    segment_effect(c, r, rank, at_us, WEIR_EFFECT_SEGMENT_CLOSE);
    effect_outcome(c, r, at_us, outcome);
}

/* The run is over: what was pending has the outcome that it has. */
static void segment_verdicts(struct weir_core *c, struct run *r, int64_t at_us, enum weir_outcome outcome)
{
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        if (r->rank[i].pending) {
            r->rank[i].pending = false;
            segment_effect(c, r, i, at_us, WEIR_EFFECT_SEGMENT_VERDICT);
            effect_outcome(c, r, at_us, outcome);
        }
    }
}

/* ---- beginning ---- */

static void gang_view(struct run *r)
{
    _Static_assert(WEIR_REASON_MAX <= 1 << (8 - GANG_REASON_SHIFT), "a reason fits into the upper bits");
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        r->gang_node[i].v = r->rank[i].node_id;
        r->gang_mask[i] = r->rank[i].mask;
        uint32_t s = r->rank[i].started ? WEIR_RANK_STARTED : 0;
        s |= r->rank[i].ended ? WEIR_RANK_ENDED : 0;
        s |= r->rank[i].failed ? WEIR_RANK_FAILED : 0;
        s |= r->rank[i].pending ? WEIR_RANK_PENDING : 0;
        if (r->n_ended > 0 && i == r->end_rank) {
            s |= (uint32_t)r->end_reason << GANG_REASON_SHIFT;
        }
        r->gang_state[i] = (uint8_t)s;
    }
}

void run_settle_gang_view(struct run *r)
{
    gang_view(r);
}

static int64_t rank_rate(const struct rank *k)
{
    const struct node_type *t = k->node->type;
    return share_of(t->full_micro_per_hour, t, popcount32(k->mask), k->cpu_milli);
}

/* What the nodes of the ranks that have not ended, as they are now, make of its rate and run time. */
void run_rate(struct run *r)
{
    r->rate_micro = 0;
    r->expected_us = 0;
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        const struct rank *k = &r->rank[i];
        if (k->node != NULL) {
            r->rate_micro = weir_i64_add_sat(r->rate_micro, rank_rate(k));
            r->expected_us = max_i64(r->expected_us, run_time_on(r->job->class->shape, k->node->type->throughput));
        }
    }
    r->charged_micro = weir_mul_div_sat(r->rate_micro, r->expected_us, WEIR_US_PER_HOUR);
}

void run_rerate(struct weir_core *c, struct run *r)
{
    int64_t was = r->charged_micro;
    run_rate(r);
    if (r->charged_micro != was) {
        project_spend(c, r->job->class->project, r->charged_micro - was);
    }
    run_predict(c, r);
    timer_for_run(c, r);
}

/* Does it wait for a machine that is booting? */
static bool run_boots(const struct run *r)
{
    bool boots = false;
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        boots = boots || !r->rank[i].node->joined;
    }
    return boots;
}

struct run *run_place(struct weir_core *c, struct job *j, uint32_t ordinal, const struct spot *spot, uint32_t n)
{
    struct task *t = &j->task[ordinal];
    struct shape *s = j->class->shape;
    WEIR_ASSERT(t->state == WEIR_TASK_WAITING);
    WEIR_ASSERT(n == s->req.nodes);
    struct run *r = run_new(c, j, ordinal, n);
    r->attempt = ++t->attempt;
    r->placed_us = c->now_us;
    for (uint32_t i = 0; i < n; i++) {
        struct rank *k = &r->rank[i];
        k->mask = node_pick_gpus(spot[i].node, spot[i].gpus);
        k->cpu_milli = s->req.cpu_milli;
        k->mem_mib = s->req.mem_mib;
        k->node = spot[i].node;
    }
    run_rate(r);
    run_predict(c, r);
    for (uint32_t i = 0; i < n; i++) {
        node_take(c, spot[i].node, r, i);
        timer_for_lease(c, spot[i].node->lease);
    }
    gang_view(r);
    t->run = r;
    t->node = spot[0].node->spec.id.v;
    t->placed_us = c->now_us;
    t->started_us = 0;
    t->ended_us = 0;
    t->exit_code = 0;
    t->signal = 0;
    /* a run that reaches max_cost is stopped: more than that need not be held */
    int64_t worst = weir_mul_div_sat(r->rate_micro, s->req.max_duration.us, WEIR_US_PER_HOUR);
    r->hold = hold_new(c, r, min_i64(worst, max_cost_left(j, ordinal)));
    r->hold->until_us = quota_run_until_us(c, s, run_boots(r));
    limits_take(c, r);
    quotas_count_run(c, r);
    task_move(c, j, ordinal, WEIR_TASK_STARTING);
    project_spend(c, j->class->project, r->charged_micro);
    run_tell(c, r);
    timer_for_run(c, r); /* what was told may cost up to its limit, started or not */
    return r;
}

void run_tell(struct weir_core *c, struct run *r)
{
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        if (r->rank[i].node == NULL || !r->rank[i].node->joined || r->rank[i].told) {
            return; /* all at once, when the last is there */
        }
    }
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        struct rank *k = &r->rank[i];
        k->told = true;
        segment_open(c, r, i, c->now_us);
        struct weir_effect *e = effect_add(c, WEIR_EFFECT_RUN_START);
        e->node = k->node->spec.id;
        e->lease.v = k->node->lease == NULL ? 0 : k->node->lease->id;
        e->run = run_id(r);
        e->rank = i;
        e->u.run_start.gpu_mask = k->mask;
        e->u.run_start.nodes = r->n_ranks;
    }
    r->job->told_seq = c->seq;
    task_changed(c, r->job, r->ordinal);
}

/* ---- stopping ---- */

static void send_stops(struct weir_core *c, struct run *r, enum weir_reason reason, int64_t grace_us)
{
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        const struct rank *k = &r->rank[i];
        if (!k->told || k->ended) {
            continue;
        }
        struct weir_effect *e = effect_add(c, WEIR_EFFECT_RUN_STOP);
        e->node.v = k->node_id;
        e->lease.v = k->node == NULL || k->node->lease == NULL ? 0 : k->node->lease->id;
        e->run = run_id(r);
        e->rank = i;
        e->u.run_stop.reason = (uint8_t)reason;
        e->u.run_stop.grace.us = grace_us;
    }
}

void run_stop(struct weir_core *c, struct run *r, enum weir_reason reason, int64_t grace_us)
{
    struct task *t = &r->job->task[r->ordinal];
    if (!r->rank[0].told) { /* only bound: nobody knows of it */
        WEIR_ASSERT(reason == WEIR_REASON_CANCEL);
        run_unplace(c, r);
        t->reason = (uint8_t)reason;
        t->ended_us = c->now_us;
        task_move(c, r->job, r->ordinal, WEIR_TASK_CANCELLED);
        run_free(c, r);
        return;
    }
    if (t->state == WEIR_TASK_STOPPING) {
        if (reason == WEIR_REASON_CANCEL && r->stop_reason != WEIR_REASON_CANCEL) {
            r->stop_reason = (uint8_t)reason; /* it will not run again */
            t->reason = (uint8_t)reason;
            task_changed(c, r->job, r->ordinal);
        }
        return;
    }
    r->stop_reason = (uint8_t)reason;
    quotas_uncount_run(c, r);
    r->stop_us = c->now_us;
    quotas_count_run(c, r);
    t->reason = (uint8_t)reason;
    task_move(c, r->job, r->ordinal, WEIR_TASK_STOPPING);
    send_stops(c, r, reason, grace_us);
    run_predict(c, r);
    timer_for_run(c, r);
}

/* ---- ending ---- */

static bool is_own_failure(enum weir_reason reason, int32_t exit_code)
{
    switch (reason) {
    case WEIR_REASON_EXIT:
        return exit_code != 0;
    case WEIR_REASON_SIGNAL:
    case WEIR_REASON_OOM:
    case WEIR_REASON_TIMEOUT:
    case WEIR_REASON_START_FAILED:
    case WEIR_REASON_SETUP_FAILED:
        return true;
    case WEIR_REASON_NONE:
    case WEIR_REASON_CANCEL:
    case WEIR_REASON_PREEMPT:
    case WEIR_REASON_RECLAIM:
    case WEIR_REASON_NODE_LOST:
    case WEIR_REASON_MAX_COST:
    case WEIR_REASON_IMPOSSIBLE:
    case WEIR_REASON_BUDGET:
    case WEIR_REASON_QUOTA:
    case WEIR_REASON_MAX:
        return false;
    }
    return false;
}

static bool is_success(enum weir_reason reason, int32_t exit_code)
{
    return reason == WEIR_REASON_EXIT && exit_code == 0;
}

/* What an end means, given the stop that may have caused it. */
static enum weir_reason true_reason(const struct run *r, enum weir_reason reason, int32_t exit_code)
{
    if (is_success(reason, exit_code) || r->stop_reason == WEIR_REASON_NONE) {
        return reason;
    }
    /* a lost machine is a lost machine, unless somebody wanted the end anyway */
    if (reason == WEIR_REASON_NODE_LOST && r->stop_reason != WEIR_REASON_CANCEL &&
        r->stop_reason != WEIR_REASON_MAX_COST && r->stop_reason != WEIR_REASON_TIMEOUT) {
        return reason;
    }
    return (enum weir_reason)r->stop_reason;
}

static enum weir_outcome outcome_of(enum weir_reason reason, int32_t exit_code)
{
    if (is_own_failure(reason, exit_code)) {
        return WEIR_OUTCOME_FAILED;
    }
    if (reason == WEIR_REASON_PREEMPT || reason == WEIR_REASON_RECLAIM || reason == WEIR_REASON_BUDGET ||
        reason == WEIR_REASON_QUOTA || reason == WEIR_REASON_NODE_LOST) {
        return WEIR_OUTCOME_LOST;
    }
    return WEIR_OUTCOME_USED;
}

static void explain_retry(struct weir_core *c, const struct run *r, enum weir_reason reason)
{
    struct weir_explain *x = explain_add(c, WEIR_DECISION_RETRY);
    x->task = run_id(r).task;
    x->attempt = r->attempt;
    x->reason = (uint8_t)reason;
    x->node.v = r->rank[0].node_id;
}

/* Books the attempt on the task and gives the state that follows. */
static enum weir_task_state verdict(struct weir_core *c, struct run *r, enum weir_reason reason, int32_t exit_code, int64_t at_us)
{
    struct task *t = &r->job->task[r->ordinal];
    const struct weir_request *req = &r->job->class->shape->req;
    if (is_success(reason, exit_code)) {
        return WEIR_TASK_SUCCEEDED;
    }
    if (reason == WEIR_REASON_CANCEL || (r->job->cancelled && reason != WEIR_REASON_MAX_COST)) {
        return WEIR_TASK_CANCELLED;
    }
    bool again = false;
    if (is_own_failure(reason, exit_code)) {
        t->failures = (uint16_t)(t->failures + (t->failures < UINT16_MAX));
        again = t->failures <= req->retries && t->failures < UINT16_MAX;
    } else if (reason == WEIR_REASON_PREEMPT || reason == WEIR_REASON_BUDGET || reason == WEIR_REASON_QUOTA) {
        again = true;
    } else if ((reason == WEIR_REASON_RECLAIM || reason == WEIR_REASON_NODE_LOST) && r->n_started == 0 && at_us <= r->placed_us) {
        again = true; /* there was no machine any more when it was placed on it */
    } else if (reason == WEIR_REASON_RECLAIM || reason == WEIR_REASON_NODE_LOST) {
        t->losses = (uint16_t)(t->losses + (t->losses < UINT16_MAX));
        again = t->losses <= c->conf.retries_lost_max && t->losses < UINT16_MAX;
    }
    if (again && max_cost_left(r->job, r->ordinal) == 0) {
        t->reason = WEIR_REASON_MAX_COST; /* nothing is left for another attempt */
        again = false;
    }
    if (again) {
        explain_retry(c, r, reason);
    }
    return again ? WEIR_TASK_WAITING : WEIR_TASK_FAILED;
}

/* Why the run ended, as a whole. */
static enum weir_reason run_reason(const struct run *r)
{
    enum weir_reason reason = (enum weir_reason)r->end_reason;
    if (r->stop_reason == WEIR_REASON_CANCEL && !is_success(reason, r->exit_code)) {
        reason = WEIR_REASON_CANCEL; /* asked for while the gang was ending for another reason */
    }
    return reason;
}

/* What the work of a rank that ended now was worth: alone it is worth nothing. */
static enum weir_outcome rank_outcome(const struct run *r, enum weir_reason reason, int32_t exit_code)
{
    if (r->failed) { /* what the others did has failed with it, however they were ended */
        return WEIR_OUTCOME_FAILED;
    }
    if (!is_success(reason, exit_code)) {
        return outcome_of(reason, exit_code);
    }
    return r->n_ended < r->n_ranks ? WEIR_OUTCOME_PENDING : outcome_of(run_reason(r), r->exit_code);
}

static void run_finish(struct weir_core *c, struct run *r, int64_t at_us)
{
    struct job *j = r->job;
    struct task *t = &j->task[r->ordinal];
    enum weir_reason reason = run_reason(r);
    segment_verdicts(c, r, at_us, r->failed ? WEIR_OUTCOME_FAILED : outcome_of(reason, r->exit_code));
    limits_give(c, r);
    hold_release(c, r->hold);
    t->run = NULL;
    t->reason = (uint8_t)reason;
    t->exit_code = r->exit_code;
    t->signal = (uint8_t)r->signal;
    enum weir_task_state to = verdict(c, r, reason, r->exit_code, at_us);
    if (to == WEIR_TASK_CANCELLED) {
        t->reason = WEIR_REASON_CANCEL;
    }
    if (to == WEIR_TASK_WAITING) {
        t->queued_us = c->now_us;
    } else {
        t->ended_us = at_us;
    }
    task_move(c, j, r->ordinal, to);
    run_free(c, r);
}

/* Gives the rank's room back and books what it cost: its node may be no more when the last of the gang ends. */
static void rank_book(struct weir_core *c, struct run *r, uint32_t rank, int64_t at_us)
{
    struct task *t = &r->job->task[r->ordinal];
    int64_t used = weir_mul_div_sat(rank_rate(&r->rank[rank]), max_i64(at_us - r->placed_us, 0), WEIR_US_PER_HOUR);
    t->spent_micro = weir_i64_add_sat(t->spent_micro, used);
    quotas_uncount_run(c, r);
    quotas_use(c, r, rank, at_us);
    node_give(c, r, rank);
    if (r->n_ended == r->n_ranks) {
        project_spend(c, r->job->class->project, used - r->charged_micro);
        return;
    }
    quotas_count_run(c, r);
    project_spend(c, r->job->class->project, used);
    run_rerate(c, r);
    run_pays(c, r);
}

void run_rank_end(struct weir_core *c,
                  struct run *r,
                  uint32_t rank,
                  enum weir_reason reason,
                  int32_t exit_code,
                  int32_t signal,
                  int64_t at_us)
{
    struct rank *k = &r->rank[rank];
    WEIR_ASSERT(!k->ended);
    k->ended = true;
    r->n_ended++;
    reason = true_reason(r, reason, exit_code);
    bool good = is_success(reason, exit_code);
    bool first_bad = !good && (r->end_reason == WEIR_REASON_NONE || r->end_reason == WEIR_REASON_EXIT) &&
                     r->exit_code == 0;
    if (first_bad || r->n_ended == 1) {
        r->end_reason = (uint8_t)reason;
        r->end_rank = rank;
        r->exit_code = exit_code;
        r->signal = signal;
    }
    k->failed = is_own_failure(reason, exit_code);
    r->failed = r->failed || k->failed;
    segment_close(c, r, rank, at_us, rank_outcome(r, reason, exit_code));
    rank_book(c, r, rank, at_us);
    gang_view(r);
    task_changed(c, r->job, r->ordinal);
    if (r->n_ended == r->n_ranks) {
        run_finish(c, r, at_us);
        return;
    }
    if (!good && r->job->task[r->ordinal].state != WEIR_TASK_STOPPING) {
        /* the rest of the gang is of no use alone; its end counts as this rank's */
        uint8_t was = r->end_reason;
        run_stop(c, r, reason, r->job->class->shape->req.checkpoint_grace.us);
        r->end_reason = was;
    }
}

void run_lose(struct weir_core *c, struct run *r, enum weir_reason reason, int64_t at_us)
{
    if (!r->rank[0].told) {
        struct job *j = r->job;
        uint32_t ordinal = r->ordinal;
        run_unplace(c, r);
        explain_retry(c, r, WEIR_REASON_NONE); /* it never began: nothing happened to it */
        task_move(c, j, ordinal, WEIR_TASK_WAITING);
        run_free(c, r);
        return;
    }
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        if (!r->rank[i].ended) {
            bool last = r->n_ended + 1 == r->n_ranks;
            run_rank_end(c, r, i, reason, 0, 0, max_i64(at_us, r->placed_us));
            if (last) {
                return; /* it is freed */
            }
        }
    }
}

bool run_halt(struct weir_core *c, struct run *r, enum weir_reason reason)
{
    if (r->rank[0].told) {
        run_stop(c, r, reason, r->job->class->shape->req.checkpoint_grace.us);
        return true;
    }
    run_lose(c, r, reason, c->now_us);
    return false;
}

/* The caller moves the task on and frees the run. */
void run_unplace(struct weir_core *c, struct run *r)
{
    struct task *t = &r->job->task[r->ordinal];
    c->eased = true;
    quotas_uncount_run(c, r);
    for (uint32_t i = 0; i < r->n_ranks; i++) {
        WEIR_ASSERT(!r->rank[i].told);
        if (r->rank[i].node != NULL) {
            node_give(c, r, i);
        }
    }
    limits_give(c, r);
    hold_release(c, r->hold);
    project_spend(c, r->job->class->project, -r->charged_micro);
    t->run = NULL;
    t->node = 0;
    t->placed_us = 0;
}
