/* SPDX-License-Identifier: Apache-2.0 */

/* The clock and the agenda: what happens when, and telling the core. */

#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "world_priv.h"

enum { HAPPENING_SHIFT = 56 };

#define ID_MASK ((UINT64_C(1) << HAPPENING_SHIFT) - 1)

/* What waits for so long while nothing else happens waits for ever. */
#define BLOCKED_US (30 * WEIR_US_PER_DAY)

/* ---- the agenda ---- */

/* As one number: nobody can foretell how two compare, and this takes no branch. */
static bool is_before(const struct entry *a, const struct entry *b)
{
    return ((weir_i128)a->at_us << 64 | a->order) < ((weir_i128)b->at_us << 64 | b->order);
}

/* Puts e where i is, or above. */
static void rise(struct weir_sim_world *w, size_t i, struct entry e)
{
    while (i > 0 && is_before(&e, &w->agenda.p[(i - 1) / 2])) {
        w->agenda.p[i] = w->agenda.p[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->agenda.p[i] = e;
}

void weir_world_schedule(struct weir_sim_world *w, int64_t at_us, enum happening what, uint64_t id, uint32_t slot, uint32_t turn)
{
    if (at_us == INT64_MAX) {
        return;
    }
    struct entry e = {.at_us = at_us, .order = (uint64_t)what << HAPPENING_SHIFT | id, .slot = slot, .turn = turn};
    weir_vec_push(&w->agenda, e);
    rise(w, w->agenda.n - 1, e);
}

/* The gap sinks to the bottom and is filled by the last, which came from there: it is not compared on the way down. */
static struct entry agenda_pop(struct weir_sim_world *w)
{
    struct entry *p = w->agenda.p;
    struct entry first = p[0];
    size_t n = --w->agenda.n;
    size_t i = 0;
    for (size_t k = 2; k <= n; k = 2 * i + 2) {
        k -= (size_t)(k == n || is_before(&p[k - 1], &p[k]));
        p[i] = p[k];
        i = k;
    }
    if (n > 0) {
        rise(w, i, p[n]);
    }
    return first;
}

/* ---- telling the core, and what it wants done ---- */

void weir_world_report(struct weir_sim_world *w, const struct weir_event *ev)
{
    weir_vec_push(&w->reports, *ev);
}

static void do_effect(struct weir_sim_world *w, const struct weir_effect *e)
{
    switch (e->kind) {
    case WEIR_EFFECT_RUN_START:
        weir_world_run_start(w, e);
        break;
    case WEIR_EFFECT_RUN_STOP:
        weir_world_run_stop(w, e);
        break;
    case WEIR_EFFECT_LEASE_LAUNCH:
        weir_world_cloud_launch(w, e);
        break;
    case WEIR_EFFECT_LEASE_TERMINATE:
        weir_world_cloud_terminate(w, e);
        break;
    case WEIR_EFFECT_SEGMENT_OPEN:
        weir_world_power_change(w, e);
        weir_world_run_segment_open(w, e);
        break;
    case WEIR_EFFECT_SEGMENT_CLOSE:
        weir_world_power_change(w, e);
        weir_world_run_segment_close(w, e);
        break;
    case WEIR_EFFECT_LEASE_EXTEND:
    case WEIR_EFFECT_METER_OPEN:
    case WEIR_EFFECT_METER_READY:
    case WEIR_EFFECT_METER_CLOSE:
    case WEIR_EFFECT_METER_RATES:
    case WEIR_EFFECT_SEGMENT_VERDICT:
    case WEIR_EFFECT_MAX:
        break;
    }
}

/* May the event end tasks by other ways than the success of a run? */
static bool may_end_tasks(const struct weir_event *ev)
{
    switch (ev->kind) {
    case WEIR_EVENT_RUN_ENDED:
        return ev->u.run_ended.exit_code != 0 || ev->u.run_ended.reason != WEIR_REASON_EXIT;
    case WEIR_EVENT_JOB_SUBMIT:
    case WEIR_EVENT_JOB_EXPECT:
    case WEIR_EVENT_RUN_STARTED:
    case WEIR_EVENT_RUN_CHECKPOINTED:
    case WEIR_EVENT_NODE_JOIN:
    case WEIR_EVENT_NODE_RATES:
    case WEIR_EVENT_PROJECT_SET:
    case WEIR_EVENT_OFFERS_SET:
    case WEIR_EVENT_PROVIDER_QUOTAS_SET:
        return false;
    case WEIR_EVENT_TICK:
    case WEIR_EVENT_JOB_CANCEL:
    case WEIR_EVENT_NODE_LOST:
    case WEIR_EVENT_NODE_BACK:
    case WEIR_EVENT_NODE_DRAIN:
    case WEIR_EVENT_NODE_RESUME:
    case WEIR_EVENT_NODE_GONE:
    case WEIR_EVENT_LEASE_CONFIRMED:
    case WEIR_EVENT_LEASE_REFUSED:
    case WEIR_EVENT_LEASE_NOTICE:
    case WEIR_EVENT_LEASE_ENDED:
    case WEIR_EVENT_LEASE_RELEASE:
    case WEIR_EVENT_BUDGET_SET:
    case WEIR_EVENT_BUDGET_REMOVE:
    case WEIR_EVENT_POLICY_DEFINE:
    case WEIR_EVENT_JOB_POLICY:
    case WEIR_EVENT_QUOTA_SET:
    case WEIR_EVENT_QUOTA_REMOVE:
    case WEIR_EVENT_CHARGED:
    case WEIR_EVENT_MAX:
        break;
    }
    return true;
}

void weir_world_step(struct weir_sim_world *w, struct weir_event *ev)
{
    struct weir_effects effects;
    struct weir_err err;
    ev->seq = ++w->seq;
    ev->now.us = w->now_us;
    int r = weir_core_step(w->core, ev, &effects, &err);
    WEIR_ASSERT(r == 0);
    w->wake_us = effects.wake_at.us;
    for (size_t i = 0; i < effects.n_effects; i++) {
        if (w->bill != NULL) {
            weir_world_bill_effect(w, &effects.effect[i]);
        }
        do_effect(w, &effects.effect[i]);
    }
    for (size_t i = 0; i < effects.n_tasks && may_end_tasks(ev); i++) {
        weir_world_run_look(w, effects.task[i]);
    }
    if (ev->kind == WEIR_EVENT_LEASE_ENDED) {
        weir_world_cloud_forget(w, ev->u.lease.lease);
    }
}

/* What the world has to say, and what the core wants to do by itself. */
static void deliver(struct weir_sim_world *w)
{
    for (;;) {
        if (w->reported < w->reports.n) {
            struct weir_event ev = w->reports.p[w->reported++];
            if (ev.kind == WEIR_EVENT_NODE_JOIN) {
                const struct weir_node_spec spec = w->specs.p[w->joined++];
                ev.u.node_join.spec = &spec;
                weir_world_step(w, &ev);
            } else {
                weir_world_step(w, &ev);
            }
        } else if (w->wake_us <= w->now_us) {
            weir_world_step(w, &(struct weir_event){.kind = WEIR_EVENT_TICK});
        } else {
            break;
        }
    }
    weir_vec_clear(&w->reports);
    weir_vec_clear(&w->specs);
    w->reported = 0;
    w->joined = 0;
}

void weir_world_settle(struct weir_sim_world *w)
{
    do {
        deliver(w);
        if (w->bill != NULL) {
            weir_world_bill_settle(w, false);
        }
    } while (weir_world_budgets_charge(w));
}

/* ---- owned nodes ---- */

static struct weir_node_id id_of(size_t number)
{
    return (struct weir_node_id){number + 1}; /* they joined first */
}

static void schedule_failure(struct weir_sim_world *w, size_t number)
{
    struct machine *m = &w->node[number];
    double after = weir_world_exponential(w, DRAW_NODE, number, 2 * (uint64_t)m->failures);
    int64_t until = weir_world_until(w->faults.node_failures_per_hour, after);
    weir_world_schedule(w, weir_i64_add_sat(w->now_us, until), HAPPENS_NODE_FAILURE, number, (uint32_t)number, 0);
}

static void node_fails(struct weir_sim_world *w, size_t number)
{
    struct machine *m = &w->node[number];
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_LOST};
    ev.u.node.node = id_of(number);
    weir_world_run_save_all(w, m);
    weir_world_step(w, &ev);
    weir_world_run_lose_all(w, m);
    double after = weir_world_exponential(w, DRAW_NODE, number, 2 * (uint64_t)m->failures + 1);
    m->failures++;
    int64_t us = (int64_t)(after * (double)w->faults.node_repair.us);
    weir_world_schedule(w, weir_i64_add_sat(w->now_us, us), HAPPENS_NODE_REPAIR, number, (uint32_t)number, 0);
}

static void node_is_back(struct weir_sim_world *w, size_t number)
{
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_BACK};
    ev.u.node.node = id_of(number);
    weir_world_step(w, &ev);
    schedule_failure(w, number);
}

static void join_pool(struct weir_sim_world *w, size_t pool)
{
    const struct weir_sim_pool *p = &w->pool[pool];
    for (uint32_t i = 0; i < p->nodes; i++) {
        size_t number = w->n_nodes++;
        w->node[number] = (struct machine){
            .pool = (uint32_t)pool,
            .gpus = p->gpus,
            .throughput = p->gpus == 0 ? 0 : weir_gpu_table_get(w->gpus, p->gpu_model)->throughput_milli,
            .held_since_us = w->now_us,
        };
        struct weir_node_spec spec = {.id = weir_core_take_node_id(w->core),
                                      .pool = {(uint32_t)pool + 1},
                                      .gpu_model = p->gpu_model,
                                      .gpus = (uint16_t)p->gpus,
                                      .cpu_milli = p->cpu_milli,
                                      .mem_mib = p->mem_mib};
        WEIR_ASSERT(spec.id.v == id_of(number).v);
        if (p->cost.life.us > 0) {
            spec.rates = weir_owned_rates(&p->cost);
        }
        struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
        ev.u.node_join.spec = &spec;
        weir_world_step(w, &ev);
        weir_world_settle(w);
        schedule_failure(w, number);
    }
}

/* ---- the world ---- */

struct weir_sim_world *weir_sim_world_new(const struct weir_sim_world_conf *conf)
{
    struct weir_sim_world *w = weir_alloc(sizeof *w);
    w->gpus = conf->core.gpus;
    w->core = weir_core_new(&conf->core);
    w->watch = conf->watch;
    w->faults = conf->faults;
    w->market = conf->market;
    w->now_us = conf->begin.us;
    w->begin_us = conf->begin.us;
    w->moved_us = conf->begin.us;
    w->oldest_job = 1;
    w->payers = conf->payers || conf->n_budgets > 0;
    w->patience_us = BLOCKED_US;
    w->n_pools = conf->n_pools;
    w->pool = weir_calloc(conf->n_pools, sizeof *w->pool);
    size_t nodes = 0;
    for (size_t i = 0; i < conf->n_pools; i++) {
        w->pool[i] = conf->pool[i];
        nodes += conf->pool[i].nodes;
    }
    w->node = weir_calloc(nodes, sizeof *w->node);
    if (conf->billed) {
        w->bill = weir_bill_new(1, conf->begin);
        w->check = weir_bill_check_new();
        w->settled_us = w->now_us;
    }
    weir_world_budgets_set(w, conf);
    for (size_t i = 0; i < conf->n_pools; i++) {
        join_pool(w, i);
    }
    w->provider = weir_calloc(conf->n_providers, sizeof *w->provider);
    for (size_t i = 0; i < conf->n_providers; i++) {
        weir_world_cloud_offer(w, &conf->provider[i]);
    }
    return w;
}

void weir_sim_world_free(struct weir_sim_world *w)
{
    if (w == NULL) {
        return;
    }
    weir_core_free(w->core);
    weir_bill_free(w->bill);
    weir_bill_check_free(w->check);
    for (size_t i = 0; i < w->n_nodes; i++) {
        weir_vec_release(&w->node[i].tenants);
    }
    free(w->node);
    free(w->pool);
    for (size_t i = 0; i < w->n_providers; i++) {
        free(w->provider[i].offer);
    }
    free(w->provider);
    for (size_t i = 0; i < w->rentals.n; i++) {
        weir_vec_release(&w->rentals.p[i].machine.tenants);
    }
    weir_vec_release(&w->rentals);
    weir_vec_release(&w->free_rentals);
    weir_vec_release(&w->stock);
    weir_world_reserved_release(w);
    weir_vec_release(&w->tasks);
    weir_vec_release(&w->free_tasks);
    weir_vec_release(&w->agenda);
    weir_vec_release(&w->reports);
    weir_vec_release(&w->specs);
    weir_vec_release(&w->charges);
    weir_vec_release(&w->slot_of);
    weir_map_release(&w->rental_of);
    weir_map_release(&w->stock_of);
    free(w);
}

uint64_t weir_sim_world_live(const struct weir_sim_world *w)
{
    return w->n_live;
}

struct weir_wall weir_sim_world_now(const struct weir_sim_world *w)
{
    return (struct weir_wall){w->now_us};
}

struct weir_bill_check_result weir_sim_world_books(const struct weir_sim_world *w)
{
    return w->books;
}

/* ---- time ---- */

/* Is it of a run or a machine that is no more? */
static bool is_stale(const struct weir_sim_world *w, enum happening what, const struct entry *e)
{
    switch (what) {
    case HAPPENS_END:
    case HAPPENS_STOPPED:
    case HAPPENS_STARTED:
        return w->tasks.p[e->slot].turn != e->turn;
    case HAPPENS_JOIN:
    case HAPPENS_NOTICE:
    case HAPPENS_RECLAIM:
    case HAPPENS_PRICE:
        return w->rentals.p[e->slot].turn != e->turn;
    case HAPPENS_NODE_FAILURE:
    case HAPPENS_NODE_REPAIR:
    case HAPPENS_LOOK:
    case HAPPENS_SETTLE:
    case HAPPENS_ALARM:
        break;
    }
    return false;
}

static void happen(struct weir_sim_world *w, const struct entry *e)
{
    enum happening what = (enum happening)(e->order >> HAPPENING_SHIFT);
    if (is_stale(w, what, e)) {
        return;
    }
    switch (what) {
    case HAPPENS_END:
        weir_world_run_end(w, e->slot);
        break;
    case HAPPENS_STOPPED:
        weir_world_run_stopped(w, e->slot);
        break;
    case HAPPENS_STARTED:
        weir_world_run_began(w, e->slot);
        break;
    case HAPPENS_JOIN:
        weir_world_cloud_join(w, e->slot);
        break;
    case HAPPENS_NOTICE:
        weir_world_cloud_notice(w, e->slot);
        break;
    case HAPPENS_RECLAIM:
        weir_world_cloud_reclaim(w, e->slot);
        break;
    case HAPPENS_PRICE:
        weir_world_market_reprice(w, e->slot);
        break;
    case HAPPENS_NODE_FAILURE:
        node_fails(w, e->slot);
        break;
    case HAPPENS_NODE_REPAIR:
        node_is_back(w, e->slot);
        break;
    case HAPPENS_LOOK:
        weir_world_market_look(w, e->slot);
        weir_world_market_schedule(w, e->slot);
        break;
    case HAPPENS_SETTLE:
        weir_world_budgets_settle(w);
        break;
    case HAPPENS_ALARM:
        w->watch.alarm(w->watch.user, e->order & ID_MASK);
        break;
    }
    weir_world_settle(w);
}

/* The runs that end next: by then what is known of them should be at hand. Thousands run, and of each dozens of places in memory are read. */
static void fetch_next(const struct weir_sim_world *w)
{
    enum { NEXT = 3 }; /* the first, and the two that may be the second */
    for (size_t i = 0; i < w->agenda.n && i < NEXT; i++) {
        const struct entry *e = &w->agenda.p[i];
        const struct weir_job_id job = {e->order & ID_MASK};
        if (e->order >> HAPPENING_SHIFT != HAPPENS_END) {
            continue;
        }
        if (i == 0) {
            weir_core_fetch(w->core, job, true);
        } else {
            weir_fetch(&w->tasks.p[e->slot], sizeof w->tasks.p[0]);
            weir_core_fetch(w->core, job, false);
        }
    }
}

/* The next thing that happens, if it does by then. */
static bool advance_one(struct weir_sim_world *w, int64_t to_us)
{
    int64_t next_us = w->agenda.n == 0 ? INT64_MAX : w->agenda.p[0].at_us;
    int64_t at_us = next_us < w->wake_us ? next_us : w->wake_us;
    if (at_us > to_us || at_us == INT64_MAX) {
        return false;
    }
    w->now_us = at_us > w->now_us ? at_us : w->now_us;
    if (next_us <= w->now_us) {
        struct entry e = agenda_pop(w);
        fetch_next(w);
        happen(w, &e);
    } else {
        weir_world_settle(w);
    }
    return true;
}

void weir_sim_world_advance(struct weir_sim_world *w, struct weir_wall to)
{
    while (advance_one(w, to.us)) {
    }
    if (to.us > w->now_us) {
        w->now_us = to.us;
    }
}

static void cancel_what_waits(struct weir_sim_world *w)
{
    for (size_t i = 0; i < w->tasks.n; i++) {
        const struct task *t = &w->tasks.p[i];
        if (t->job != 0 && !t->over && t->open == 0) {
            weir_sim_world_cancel(w, (struct weir_job_id){t->job});
        }
    }
    w->moved_us = w->now_us;
}

/* Nothing runs: will nothing ever? */
static bool waits_in_vain(struct weir_sim_world *w)
{
    if (w->now_us - w->moved_us > w->patience_us && w->now_us > w->patient_until_us) {
        return true;
    }
    if (w->n_budgets + w->n_quotas == 0 || w->n_rented > 0 || w->now_us - w->moved_us < WEIR_US_PER_HOUR || w->now_us - w->asked_us < WEIR_US_PER_HOUR) {
        return false;
    }
    w->asked_us = w->now_us;
    return weir_world_budgets_are_final(w);
}

void weir_sim_world_finish(struct weir_sim_world *w)
{
    while (w->n_live > 0 || w->n_rented > 0) {
        if (!advance_one(w, WEIR_WALL_MAX.us)) {
            break;
        }
        if (w->n_running == 0 && w->n_live > 0 && waits_in_vain(w)) {
            cancel_what_waits(w);
        }
    }
    if (w->n_live > 0) {
        cancel_what_waits(w);
    }
    WEIR_ASSERT(w->n_live == 0 && w->n_running == 0 && w->n_rented == 0);
    weir_world_power_close(w);
    if (w->bill != NULL) {
        weir_world_bill_close(w);
    }
}

/* ---- tasks ---- */

void weir_sim_world_gang(uint32_t gpus, uint32_t gpus_per_node, uint32_t *ret_nodes, uint32_t *ret_gpus_each)
{
    *ret_nodes = gpus == 0 ? 1 : gpus / gpus_per_node + (gpus % gpus_per_node != 0);
    *ret_gpus_each = gpus / *ret_nodes + (gpus % *ret_nodes != 0);
}

bool weir_sim_world_possible(struct weir_sim_world *w, const struct weir_request *request)
{
    struct weir_explain x;
    bool has_nearest = false;
    return weir_core_possible(w->core, request, (struct weir_wall){w->now_us}, &x, NULL, &has_nearest);
}

void weir_sim_world_cancel(struct weir_sim_world *w, struct weir_job_id job)
{
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_CANCEL};
    ev.u.job_cancel.job = job;
    ev.u.job_cancel.ordinal = WEIR_ORDINAL_ALL;
    weir_world_step(w, &ev);
    weir_world_settle(w);
}

void weir_sim_world_alarm(struct weir_sim_world *w, struct weir_wall at, uint64_t tag)
{
    weir_world_schedule(w, at.us, HAPPENS_ALARM, tag, 0, 0);
}

bool weir_sim_world_waits(const struct weir_sim_world *w, struct weir_job_id job)
{
    struct weir_task_view v;
    return weir_core_task(w->core, (struct weir_task_id){job, 0}, &v) && v.state == WEIR_TASK_WAITING;
}

/* Speed in which the work of such a task is measured: that of the GPU named first, of a V100 where any will do; 0: any machine is as fast. */
static uint32_t reference_of(const struct weir_sim_world *w, const struct weir_request *r)
{
    if (r->alternatives == 0) {
        return 0;
    }
    uint16_t model = r->alternative[0].model;
    return model == WEIR_GPU_MODEL_ANY ? 1000 : weir_gpu_table_get(w->gpus, model)->throughput_milli;
}

struct weir_job_id weir_sim_world_submit(struct weir_sim_world *w, const struct weir_sim_task *task)
{
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    ev.u.job_submit.job = weir_core_take_job_id(w->core);
    ev.u.job_submit.project = task->project;
    ev.u.job_submit.user = task->user;
    ev.u.job_submit.priority = task->priority;
    ev.u.job_submit.n_tasks = 1;
    ev.u.job_submit.deadline = task->deadline;
    ev.u.job_submit.request = task->request;
    ev.u.job_submit.tags = task->tags;
    struct task t = {
        .tag = task->tag,
        .job = ev.u.job_submit.job.v,
        .work_us = task->duration.us,
        .checkpoint_every_us = task->request->checkpoint_every.us,
        .checkpoint_grace_us = task->request->checkpoint_grace.us,
        .stage_bytes = w->faults.link_bytes_per_s == 0 ? 0 : task->stage_bytes > 0 ? task->stage_bytes : task->request->stage_bytes,
        .reference = reference_of(w, task->request),
        .gpus = task->gpus,
        .project = task->project.v,
        .user = task->user.v,
        .nodes = (uint16_t)task->request->nodes,
    };
    weir_world_task_add(w, &t);
    weir_world_step(w, &ev);
    weir_world_settle(w);
    return ev.u.job_submit.job;
}
