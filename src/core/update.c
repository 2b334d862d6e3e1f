/* SPDX-License-Identifier: Apache-2.0 */
/* Folding events into the state: jobs, nodes and runs. Leases and offers: update_lease.c. */

#include <string.h>

#include "core/core_priv.h"

static void project_set(struct weir_core *c, const struct weir_event *ev)
{
    struct project *p = project_get(c, ev->u.project_set.project.v);
    p->weight = ev->u.project_set.weight == 0 ? 1 : ev->u.project_set.weight;
    p->delay_cost = ev->u.project_set.delay_cost_micro_per_hour;
    p->set = true;
    p->share_us = INT64_MIN;
    project_changed(c, p);
}

/* ---- jobs ---- */

int request_check(const struct weir_core *c, const struct weir_request *r, struct weir_err *err)
{
    if (r->policy > c->policies.n) {
        return weir_fail(err, -WEIR_EINVAL, "request: policy %u is not known", (unsigned)r->policy);
    }
    if (r->alternatives > WEIR_ALTERNATIVES_MAX || r->clouds > WEIR_PLACEMENT_NAMES_MAX ||
        r->regions > WEIR_PLACEMENT_NAMES_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "request: a list is longer than allowed");
    }
    if (r->nodes == 0 || r->nodes > WEIR_GANG_NODES_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "request: nodes is %u, not 1..%d", r->nodes,
                         WEIR_GANG_NODES_MAX);
    }
    if (r->max_duration.us <= 0 || r->expected.us < 0 || r->checkpoint_every.us < 0 ||
        r->checkpoint_grace.us < 0) {
        return weir_fail(err, -WEIR_EINVAL, "request: a duration is not positive");
    }
    for (uint32_t i = 0; i < r->alternatives; i++) {
        if (r->alternative[i].count == 0) {
            return weir_fail(err, -WEIR_EINVAL, "request: alternative %u wants no GPU", i);
        }
        if (r->alternative[i].model != WEIR_GPU_MODEL_ANY &&
            r->alternative[i].model >= weir_gpu_table_count(c->conf.gpus)) {
            return weir_fail(err, -WEIR_EINVAL, "request: GPU model %u is not in the table",
                             r->alternative[i].model);
        }
    }
    return 0;
}

static int job_check(const struct weir_core *c, const struct weir_event *ev, struct weir_err *err)
{
    uint64_t id = ev->u.job_submit.job.v;
    uint32_t n = ev->u.job_submit.n_tasks;
    const struct weir_request *req = ev->u.job_submit.request;
    if (id == 0 || id > UINT64_MAX / 2 || job_find(c, id) != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "job %llu: the id is in use, or not one", (unsigned long long)id);
    }
    if (n == 0 || n > WEIR_ARRAY_TASKS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "job %llu: %u tasks, not 1..%d",
                         (unsigned long long)id, n, WEIR_ARRAY_TASKS_MAX);
    }
    if (ev->u.job_submit.priority < 0 || ev->u.job_submit.priority > 1000) {
        return weir_fail(err, -WEIR_EINVAL, "job %llu: priority %d is not 0..1000",
                         (unsigned long long)id, ev->u.job_submit.priority);
    }
    if (req == NULL || request_check(c, req, err) < 0) {
        return req != NULL ? -WEIR_EINVAL : weir_fail(err, -WEIR_EINVAL, "job: no request");
    }
    return 0;
}

struct job *job_of(struct weir_core *c, const struct weir_event *ev)
{
    uint32_t n = ev->u.job_submit.n_tasks;
    struct job *j = job_new(c, ev->u.job_submit.job.v, n);
    const char *tags = ev->u.job_submit.tags == NULL ? "{}" : ev->u.job_submit.tags;
    j->payer = payer_get(c, ev->u.job_submit.project.v, ev->u.job_submit.user.v, tags);
    j->class = class_get(c, shape_intern(c, ev->u.job_submit.request), project_get(c, ev->u.job_submit.project.v), j->payer->limits,
                         ev->u.job_submit.priority, c->now_us, ev->u.job_submit.deadline.us);
    j->submitted_us = c->now_us;
    j->user = ev->u.job_submit.user.v;
    j->n_tasks = n;
    j->parallel_max = ev->u.job_submit.parallel_max;
    j->count[WEIR_TASK_WAITING] = n;
    queue_add_all(c, j);
    queue_update(c, j);
    demand_change(c, j->class->want, n);
    return j;
}

static void job_submit(struct weir_core *c, const struct weir_event *ev)
{
    struct job *j = job_of(c, ev);
    job_changed(c, j);
    if (j->id >= c->next_job) {
        c->next_job = j->id + 1;
    }
}

static void task_cancel(struct weir_core *c, struct job *j, uint32_t ordinal)
{
    struct task *t = &j->task[ordinal];
    enum weir_task_state s = (enum weir_task_state)t->state;
    if (weir_task_state_is_final(s)) {
        return;
    }
    if (s == WEIR_TASK_WAITING) {
        t->reason = WEIR_REASON_CANCEL;
        t->ended_us = c->now_us;
        task_move(c, j, ordinal, WEIR_TASK_CANCELLED);
        return;
    }
    run_stop(c, t->run, WEIR_REASON_CANCEL, j->class->shape->req.checkpoint_grace.us);
}

static void job_cancel(struct weir_core *c, const struct weir_event *ev)
{
    struct job *j = job_find(c, ev->u.job_cancel.job.v);
    if (j == NULL || weir_job_state_is_final((enum weir_job_state)j->state)) {
        return;
    }
    if (ev->u.job_cancel.ordinal != WEIR_ORDINAL_ALL) {
        if (ev->u.job_cancel.ordinal < j->n_tasks) {
            task_cancel(c, j, ev->u.job_cancel.ordinal);
        }
        return;
    }
    j->cancelled = true;
    job_changed(c, j);
    for (uint32_t i = 0; i < j->n_tasks; i++) {
        task_cancel(c, j, i);
    }
}

static void job_expect(struct weir_core *c, const struct weir_event *ev)
{
    struct job *j = job_find(c, ev->u.job_expect.job.v);
    int64_t expected = ev->u.job_expect.expected.us;
    if (j == NULL || weir_job_state_is_final((enum weir_job_state)j->state) || expected <= 0 || expected == j->class->shape->req.expected.us) {
        return;
    }
    struct weir_request r;
    memcpy(&r, &j->class->shape->req, sizeof r); /* the padding too: it is compared */
    bool shorter = expected < r.expected.us;
    r.expected.us = expected;
    queue_move(c, j, class_get(c, shape_intern(c, &r), j->class->project, j->class->limits, j->class->priority, j->submitted_us, j->class->deadline_us));
    uint32_t left = j->count[WEIR_TASK_STARTING] + j->count[WEIR_TASK_RUNNING] + j->count[WEIR_TASK_STOPPING];
    for (uint32_t i = 0; left > 0; i++) {
        struct run *run = j->task[i].run;
        left -= run != NULL;
        if (run != NULL && shorter && !run->rank[0].told) {
            run_lose(c, run, WEIR_REASON_NONE, c->now_us); /* a machine that boots for it may not be worth it any more */
        } else if (run != NULL) {
            run_rerate(c, run);
        }
    }
    job_changed(c, j);
}

/* What runs goes on; what was bound to a machine that boots for it, and may not use it any more, is queued again. */
static void job_policy(struct weir_core *c, const struct weir_event *ev)
{
    struct job *j = job_find(c, ev->u.job_policy.job.v);
    uint32_t policy = ev->u.job_policy.policy;
    if (j == NULL || weir_job_state_is_final((enum weir_job_state)j->state) || policy > c->policies.n || policy == j->class->shape->req.policy) {
        return;
    }
    struct weir_request r;
    memcpy(&r, &j->class->shape->req, sizeof r); /* the padding too: it is compared */
    r.policy = policy;
    queue_move(c, j, class_get(c, shape_intern(c, &r), j->class->project, j->class->limits, j->class->priority, j->submitted_us, j->class->deadline_us));
    uint32_t left = j->count[WEIR_TASK_STARTING] + j->count[WEIR_TASK_RUNNING] + j->count[WEIR_TASK_STOPPING];
    for (uint32_t i = 0; left > 0; i++) {
        struct run *run = j->task[i].run;
        left -= run != NULL;
        if (run != NULL && !run->rank[0].told) {
            run_lose(c, run, WEIR_REASON_NONE, c->now_us);
        }
    }
    job_changed(c, j);
}

/* ---- nodes ---- */

static void runs_lose(struct weir_core *c, struct node *n, enum weir_reason reason, int64_t at_us)
{
    while (n->runs.n > 0) {
        struct run *r = n->runs.p[0].run;
        uint32_t rank = n->runs.p[0].rank;
        if (!r->rank[0].told || r->n_ranks == 1) {
            run_lose(c, r, reason, at_us);
            continue;
        }
        /* one rank of a gang: the others are told to stop by its end */
        run_rank_end(c, r, rank, reason, 0, 0, max_i64(at_us, r->placed_us));
    }
}

void node_meter_open(struct weir_core *c, struct node *n, int64_t at_us)
{
    if (n->metered) {
        return;
    }
    n->metered = true;
    struct weir_effect *e = effect_add(c, WEIR_EFFECT_METER_OPEN);
    e->node = n->spec.id;
    e->at.us = at_us;
    if (n->lease != NULL) {
        e->lease.v = n->lease->id;
        e->u.meter.task = n->lease->task;
    }
}

void node_gone(struct weir_core *c, struct node *n, enum weir_reason reason, int64_t at_us)
{
    if (n->state == WEIR_NODE_GONE) {
        return;
    }
    weir_sm_move(&weir_sm_node, &n->state, WEIR_NODE_GONE, NULL, n);
    n->since_us = c->now_us;
    node_index(c, n);
    runs_lose(c, n, reason, at_us);
    if (n->metered) {
        n->metered = false;
        struct weir_effect *e = effect_add(c, WEIR_EFFECT_METER_CLOSE);
        e->node = n->spec.id;
        e->at.us = at_us;
        if (n->lease != NULL) {
            e->lease.v = n->lease->id;
            e->u.meter.task = n->lease->task;
        }
    }
    node_changed(c, n);
}

bool spec_is_sane(const struct weir_core *c, const struct weir_node_spec *s)
{
    if (s->gpus > 0 && s->gpu_model >= weir_gpu_table_count(c->conf.gpus)) {
        return false;
    }
    return s->id.v != 0 && s->id.v <= UINT64_MAX / 2 && s->gpus <= WEIR_NODE_GPUS_MAX && s->cpu_milli > 0 &&
           memchr(s->region, 0, sizeof s->region) != NULL &&
           memchr(s->provider, 0, sizeof s->provider) != NULL;
}

/* Other devices, or less of anything. */
static bool hardware_differs(const struct weir_node_spec *a, const struct weir_node_spec *b)
{
    return a->gpu_model != b->gpu_model || a->gpus != b->gpus ||
           a->gpu_mem_mib != b->gpu_mem_mib || a->cpu_milli != b->cpu_milli ||
           a->mem_mib != b->mem_mib;
}

static bool need_is_met(const struct weir_node_spec *s, const struct node *n)
{
    uint32_t all = n->spec.gpus >= 32 ? UINT32_MAX : (1u << n->spec.gpus) - 1;
    uint32_t has = s->gpus >= 32 ? UINT32_MAX : (1u << s->gpus) - 1;
    uint32_t used = all & ~n->free_mask;
    return (used & ~has) == 0 && n->spec.cpu_milli - n->cpu_free <= s->cpu_milli &&
           n->spec.mem_mib - n->mem_free <= s->mem_mib && n->spec.gpu_model == s->gpu_model;
}

/* A rented machine arrives as what it is, which may be other than the offer said; what is bound stays
 * where it fits. */
static void node_arrive(struct weir_core *c, struct node *n, const struct weir_node_spec *spec)
{
    struct weir_lease_id lease = n->spec.lease;
    if (!need_is_met(spec, n)) {
        runs_lose(c, n, WEIR_REASON_NODE_LOST, c->now_us);
    }
    if (spec->gpus != n->spec.gpus) {
        claims_drop(c); /* while the node is still what the trees of its type have room for */
    }
    uint32_t all = n->spec.gpus >= 32 ? UINT32_MAX : (1u << n->spec.gpus) - 1;
    uint32_t has = spec->gpus >= 32 ? UINT32_MAX : (1u << spec->gpus) - 1;
    uint32_t used = all & ~n->free_mask;
    n->cpu_free = spec->cpu_milli - (n->spec.cpu_milli - n->cpu_free);
    n->mem_free = spec->mem_mib - (n->spec.mem_mib - n->mem_free);
    n->free_mask = has & ~used;
    n->spec = *spec;
    n->spec.lease = lease;
    node_set_type(c, n);
    for (size_t i = 0; i < n->runs.n; i++) {
        run_rerate(c, n->runs.p[i].run);
    }
}

/* The hardware is not what it was: what no longer fits is lost, the rest is metered anew from here. A rented node's meter goes on, as its provider's does. */
static void node_respec(struct weir_core *c, struct node *n, const struct weir_node_spec *spec)
{
    if (!need_is_met(spec, n)) {
        runs_lose(c, n, WEIR_REASON_NODE_LOST, c->now_us);
    }
    bool was_metered = n->metered;
    for (size_t i = 0; i < n->runs.n; i++) {
        segment_close(c, n->runs.p[i].run, n->runs.p[i].rank, c->now_us, WEIR_OUTCOME_USED);
    }
    if (was_metered && n->lease == NULL) {
        struct weir_effect *e = effect_add(c, WEIR_EFFECT_METER_CLOSE);
        e->node = n->spec.id;
        e->lease = n->spec.lease;
    }
    n->metered = false;
    node_arrive(c, n, spec);
    if (!was_metered) {
        return;
    }
    node_meter_open(c, n, c->now_us);
    if (n->lease != NULL && n->joined) {
        struct weir_effect *e = effect_add(c, WEIR_EFFECT_METER_READY);
        e->node = n->spec.id;
        e->lease = n->spec.lease;
        e->u.meter.task = n->lease->task;
    }
    for (size_t i = 0; i < n->runs.n; i++) {
        const struct node_run *nr = &n->runs.p[i];
        if (nr->run->rank[nr->rank].told) {
            segment_open(c, nr->run, nr->rank, c->now_us);
        }
    }
}

/* What is metered goes on, at the new rates since then. */
static void node_rerate(struct weir_core *c, struct node *n, const struct weir_node_rates *rates, int64_t at_us)
{
    n->spec.rates = *rates;
    node_set_type(c, n);
    for (size_t i = 0; i < n->runs.n; i++) {
        run_rerate(c, n->runs.p[i].run);
    }
    if (n->metered) {
        struct weir_effect *e = effect_add(c, WEIR_EFFECT_METER_RATES);
        e->node = n->spec.id;
        e->lease = n->spec.lease;
        e->at.us = at_us;
    }
}

static void owned_set_rates(struct weir_core *c, struct node *n, const struct weir_node_rates *rates)
{
    const struct weir_node_rates *was = &n->spec.rates;
    if (was->full_micro_per_hour != rates->full_micro_per_hour || was->marginal_busy_micro_per_hour != rates->marginal_busy_micro_per_hour ||
        was->marginal_idle_micro_per_hour != rates->marginal_idle_micro_per_hour) {
        node_rerate(c, n, rates, c->now_us);
    }
}

/* Only what its provider charges counts, and that begins with its confirmation, at the quote. */
static void rented_set_price(struct weir_core *c, struct node *n, int64_t price, int64_t at_us)
{
    struct lease *l = n->lease;
    if (n->metered && price > 0 && price != l->price_micro_per_hour && l->offer.market != WEIR_OFFER_RESERVED) {
        at_us = at_us == 0 ? c->now_us : max_i64(min_i64(at_us, c->now_us), max_i64(l->priced_us, l->confirmed_us));
        lease_reprice(c, l, price, at_us);
        node_rerate(c, n, &(struct weir_node_rates){price, lease_marginal(l), 0}, at_us);
    }
}

static void rented_ready(struct weir_core *c, struct node *n, const struct weir_node_spec *spec)
{
    struct lease *l = n->lease;
    if (l->state != WEIR_LEASE_INTENT && l->state != WEIR_LEASE_BOOTING) {
        return; /* it is on its way out */
    }
    if (lease_fell_short(c, l, spec)) {
        return;
    }
    node_arrive(c, n, spec);
    if (l->confirmed_us == 0) { /* the answer of the provider was lost; the machine is here */
        lease_confirm(c, l, c->now_us);
    }
    node_meter_open(c, n, l->confirmed_us);
    n->joined = true;
    l->ready_us = c->now_us;
    if (l->offer.gpus > 0) {
        c->providers.p[l->provider].good_us = c->now_us;
        c->paces_known = false;
    }
    weir_sm_move(&weir_sm_lease, &l->state, WEIR_LEASE_READY, NULL, l);
    c->leases_booting--;
    struct weir_effect *e = effect_add(c, WEIR_EFFECT_METER_READY);
    e->node = n->spec.id;
    e->lease.v = l->id;
    e->u.meter.task = l->task;
    if (n->runs.n == 0) {
        n->idle_since_us = c->now_us;
    }
    node_grew(c, n);
    for (size_t i = 0; i < n->runs.n; i++) {
        run_tell(c, n->runs.p[i].run);
        run_predict(c, n->runs.p[i].run);
        timer_for_run(c, n->runs.p[i].run);
    }
    lease_changed(c, l);
    timer_for_lease(c, l);
}

static void node_join(struct weir_core *c, const struct weir_event *ev)
{
    const struct weir_node_spec *spec = ev->u.node_join.spec;
    if (spec == NULL || !spec_is_sane(c, spec)) {
        return;
    }
    struct node *n = node_find(c, spec->id.v);
    if (n == NULL) {
        if (spec->lease.v != 0) {
            return; /* a machine of a lease that is over: the sweep of the provider ends it */
        }
        n = node_new(c, spec, NULL);
        n->joined = true;
        n->idle_since_us = c->now_us;
        node_meter_open(c, n, c->now_us);
        node_grew(c, n);
        node_changed(c, n);
        return;
    }
    if (n->state == WEIR_NODE_GONE || n->spec.lease.v != spec->lease.v) {
        return;
    }
    if (n->lease != NULL && !n->joined) {
        rented_ready(c, n, spec);
    } else if (hardware_differs(&n->spec, spec)) {
        node_respec(c, n, spec);
        if (n->lease != NULL && !weir_offer_is_kept(c->conf.gpus, &n->lease->offer, spec)) {
            lease_release(c, n->lease); /* it was good for a time: what fits still runs to its end */
        }
    } else {
        struct weir_lease_id lease = n->spec.lease;
        struct weir_node_rates rates = n->spec.rates;
        n->spec = *spec;
        n->spec.lease = lease;
        n->spec.rates = rates;
        node_set_type(c, n);
        if (n->lease == NULL) {
            owned_set_rates(c, n, &spec->rates);
        }
    }
    if (n->state == WEIR_NODE_LOST) {
        weir_sm_move(&weir_sm_node, &n->state, WEIR_NODE_UP, NULL, n);
        n->since_us = c->now_us;
    }
    node_grew(c, n);
    node_changed(c, n);
}

static void node_rates(struct weir_core *c, const struct weir_event *ev)
{
    struct node *n = node_find(c, ev->u.node_rates.node.v);
    if (n != NULL && n->state != WEIR_NODE_GONE) {
        if (n->lease == NULL) {
            owned_set_rates(c, n, &ev->u.node_rates.rates);
        } else {
            rented_set_price(c, n, ev->u.node_rates.rates.full_micro_per_hour, ev->u.node_rates.at.us);
        }
        node_grew(c, n); /* in what it is worth */
        node_changed(c, n);
    }
}

static void node_event(struct weir_core *c, const struct weir_event *ev)
{
    struct node *n = node_find(c, ev->u.node.node.v);
    if (n == NULL || n->state == WEIR_NODE_GONE) {
        return;
    }
    enum weir_node_state to = (enum weir_node_state)n->state;
    if (ev->kind == WEIR_EVENT_NODE_LOST && n->joined) {
        to = WEIR_NODE_LOST;
    } else if (ev->kind == WEIR_EVENT_NODE_BACK && n->state == WEIR_NODE_LOST) {
        to = WEIR_NODE_UP;
    } else if (ev->kind == WEIR_EVENT_NODE_DRAIN && n->state == WEIR_NODE_UP) {
        to = WEIR_NODE_DRAINING;
    } else if (ev->kind == WEIR_EVENT_NODE_RESUME && n->state == WEIR_NODE_DRAINING) {
        to = WEIR_NODE_UP;
    } else if (ev->kind == WEIR_EVENT_NODE_GONE) {
        struct lease *l = n->lease;
        if (l != NULL) { /* the machine may still cost: the lease's end says when it ceased to */
            runs_lose(c, n, WEIR_REASON_NODE_LOST, c->now_us);
            lease_terminate(c, l);
            return;
        }
        node_gone(c, n, WEIR_REASON_NODE_LOST, c->now_us);
        return;
    }
    if ((uint32_t)to == n->state) {
        return;
    }
    weir_sm_move(&weir_sm_node, &n->state, to, NULL, n);
    n->since_us = c->now_us;
    node_grew(c, n);
    node_changed(c, n);
    timer_for_node(c, n);
    timer_for_lease(c, n->lease);
}

/* ---- runs ---- */

static int64_t clamp_at(const struct weir_core *c, const struct run *r, int64_t at_us)
{
    return min_i64(max_i64(at_us, r->placed_us), c->now_us);
}

static void rank_started(struct weir_core *c, struct run *r, uint32_t rank, int64_t at_us)
{
    if (!r->rank[rank].told || r->rank[rank].started || r->rank[rank].ended) {
        return;
    }
    r->rank[rank].started = true;
    r->n_started++;
    run_settle_gang_view(r);
    struct job *j = r->job;
    struct task *t = &j->task[r->ordinal];
    task_changed(c, j, r->ordinal);
    if (r->n_started < r->n_ranks || t->state != WEIR_TASK_STARTING) {
        return;
    }
    r->started_us = clamp_at(c, r, at_us);
    t->started_us = r->started_us;
    if (t->first_started_us == 0) {
        t->first_started_us = r->started_us;
    }
    if (j->started_us == 0) {
        j->started_us = r->started_us;
    }
    task_move(c, j, r->ordinal, WEIR_TASK_RUNNING);
    quota_run_started(c, r);
    if (j->state == WEIR_JOB_WAITING) {
        weir_sm_move(&weir_sm_job, &j->state, WEIR_JOB_RUNNING, NULL, j);
    }
    run_predict(c, r);
    timer_for_run(c, r);
}

static void run_started(struct weir_core *c, const struct weir_event *ev)
{
    struct run *r = run_find(c, ev->u.run.run);
    for (uint32_t i = 0; r != NULL && i < r->n_ranks; i++) {
        if (ev->u.run.all_ranks || i == ev->u.run.rank) {
            rank_started(c, r, i, ev->u.run.at.us);
        }
    }
}

/* Of one that has not ended. */
static void rank_ended(struct weir_core *c, struct run *r, uint32_t rank, const struct weir_event *ev)
{
    uint8_t reason = ev->u.run_ended.reason;
    if (reason == WEIR_REASON_NONE || reason >= WEIR_REASON_MAX) {
        reason = WEIR_REASON_EXIT;
    }
    int32_t code = ev->u.run_ended.exit_code;
    int32_t signal = ev->u.run_ended.signal < 0 || ev->u.run_ended.signal > 127
                         ? 0
                         : ev->u.run_ended.signal;
    if (reason == WEIR_REASON_CANCEL && r->stop_reason == WEIR_REASON_NONE) {
        reason = WEIR_REASON_NODE_LOST; /* nobody here asked: the host's doing */
    }
    if (reason == WEIR_REASON_PREEMPT && r->stop_reason != WEIR_REASON_PREEMPT) {
        reason = WEIR_REASON_NODE_LOST;
    }
    const struct node *n = r->rank[rank].node;
    if (reason == WEIR_REASON_RECLAIM && r->stop_reason == WEIR_REASON_NONE && n->lease != NULL &&
        n->lease->state == WEIR_LEASE_READY) {
        lease_terminate(c, n->lease); /* nobody here asked: the machine is going, by its agent's word */
    }
    run_rank_end(c, r, rank, (enum weir_reason)reason, code, signal,
                 clamp_at(c, r, ev->u.run_ended.at.us));
}

static void run_ended(struct weir_core *c, const struct weir_event *ev)
{
    struct run *r = run_find(c, ev->u.run_ended.run);
    uint32_t rank = ev->u.run_ended.rank;
    if (r == NULL || !r->rank[0].told) {
        return;
    }
    if (!ev->u.run_ended.all_ranks) {
        if (rank < r->n_ranks && !r->rank[rank].ended) {
            rank_ended(c, r, rank, ev);
        }
        return;
    }
    uint32_t left = r->n_ranks - r->n_ended; /* with the last of them it is freed */
    for (uint32_t i = 0; left > 0; i++) {
        if (!r->rank[i].ended) {
            left--;
            rank_ended(c, r, i, ev);
        }
    }
}

static void run_checkpointed(struct weir_core *c, const struct weir_event *ev)
{
    struct run *r = run_find(c, ev->u.run.run);
    if (r == NULL || ev->u.run.rank >= r->n_ranks) {
        return;
    }
    struct task *t = &r->job->task[r->ordinal];
    int64_t at = clamp_at(c, r, ev->u.run.at.us);
    if (at > t->checkpointed_us) {
        t->checkpointed_us = at;
        task_changed(c, r->job, r->ordinal);
    }
}

int event_check(const struct weir_core *c, const struct weir_event *ev, struct weir_err *err)
{
    if ((uint32_t)ev->kind >= WEIR_EVENT_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "event kind %d is not known", (int)ev->kind);
    }
    if (ev->kind == WEIR_EVENT_QUOTA_SET) {
        return quota_check(c, ev->u.quota_set.quota, err);
    }
    if (ev->kind == WEIR_EVENT_BUDGET_SET) {
        return budget_check(c, ev->u.budget_set.budget, err);
    }
    if (ev->kind == WEIR_EVENT_POLICY_DEFINE) {
        return policy_check(c, ev->u.policy_define.number, ev->u.policy_define.rule, ev->u.policy_define.n, err);
    }
    return ev->kind == WEIR_EVENT_JOB_SUBMIT ? job_check(c, ev, err) : 0;
}

void update(struct weir_core *c, const struct weir_event *ev)
{
    switch (ev->kind) {
    case WEIR_EVENT_TICK:
        return;
    case WEIR_EVENT_PROJECT_SET:
        project_set(c, ev);
        return;
    case WEIR_EVENT_JOB_SUBMIT:
        job_submit(c, ev);
        return;
    case WEIR_EVENT_JOB_CANCEL:
        job_cancel(c, ev);
        return;
    case WEIR_EVENT_JOB_EXPECT:
        job_expect(c, ev);
        return;
    case WEIR_EVENT_POLICY_DEFINE:
        policy_define(c, ev->u.policy_define.rule, ev->u.policy_define.n);
        return;
    case WEIR_EVENT_JOB_POLICY:
        job_policy(c, ev);
        return;
    case WEIR_EVENT_NODE_JOIN:
        node_join(c, ev);
        return;
    case WEIR_EVENT_NODE_LOST:
    case WEIR_EVENT_NODE_BACK:
    case WEIR_EVENT_NODE_DRAIN:
    case WEIR_EVENT_NODE_RESUME:
    case WEIR_EVENT_NODE_GONE:
        node_event(c, ev);
        return;
    case WEIR_EVENT_NODE_RATES:
        node_rates(c, ev);
        return;
    case WEIR_EVENT_RUN_STARTED:
        run_started(c, ev);
        return;
    case WEIR_EVENT_RUN_ENDED:
        run_ended(c, ev);
        return;
    case WEIR_EVENT_RUN_CHECKPOINTED:
        run_checkpointed(c, ev);
        return;
    case WEIR_EVENT_LEASE_CONFIRMED:
    case WEIR_EVENT_LEASE_REFUSED:
    case WEIR_EVENT_LEASE_NOTICE:
    case WEIR_EVENT_LEASE_ENDED:
    case WEIR_EVENT_LEASE_RELEASE:
    case WEIR_EVENT_OFFERS_SET:
        update_lease_event(c, ev);
        return;
    case WEIR_EVENT_PROVIDER_QUOTAS_SET:
        provider_quotas_set(c, ev->u.provider_quotas_set.provider, ev->u.provider_quotas_set.quota, ev->u.provider_quotas_set.n,
                            ev->u.provider_quotas_set.as_of.us);
        return;
    case WEIR_EVENT_BUDGET_SET:
        budget_set(c, ev);
        return;
    case WEIR_EVENT_BUDGET_REMOVE:
        budget_remove(c, ev->u.budget_remove.name);
        return;
    case WEIR_EVENT_QUOTA_SET:
        quota_set(c, ev->u.quota_set.quota);
        return;
    case WEIR_EVENT_QUOTA_REMOVE:
        quota_remove(c, ev->u.quota_remove.name);
        return;
    case WEIR_EVENT_CHARGED:
        budgets_charged(c, ev->u.charged.charge, ev->u.charged.n);
        return;
    case WEIR_EVENT_MAX:
        break;
    }
    WEIR_UNREACHABLE();
}
