/* SPDX-License-Identifier: Apache-2.0 */

#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/vec.h"

#define CLOUD "cloud"

enum { CORES_PER_NODE_MILLI = 1000000, TASK_CORES_MILLI = 1 };

struct task {
    uint64_t duration_us;
    uint32_t gpus;
    uint16_t nodes;
    uint16_t told; /* ranks that were to be started */
};

struct end {
    int64_t at_us;
    size_t task;
    uint32_t attempt;
};

struct weir_sim_world {
    struct weir_sim_world_conf conf;
    struct weir_gpu_table *gpus;
    uint16_t model;
    struct weir_core *core;
    uint64_t seq;
    int64_t now_us;
    int64_t wake_us;
    uint64_t first_job;
    WEIR_VEC(struct task) tasks;
    WEIR_VEC(struct end) ends;             /* a heap, the earliest first */
    WEIR_VEC(struct weir_event) reports;   /* what the world has to say at this instant, in order */
    WEIR_VEC(struct weir_node_spec) specs; /* of machines that join at this instant */
    size_t reported;
};

/* ---- the agenda ---- */

static bool is_before(const struct end *a, const struct end *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->task < b->task;
}

static void ends_push(struct weir_sim_world *w, struct end e)
{
    weir_vec_push(&w->ends, e);
    size_t i = w->ends.n - 1;
    while (i > 0 && is_before(&e, &w->ends.p[(i - 1) / 2])) {
        w->ends.p[i] = w->ends.p[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->ends.p[i] = e;
}

static struct end ends_pop(struct weir_sim_world *w)
{
    struct end first = w->ends.p[0];
    struct end last = w->ends.p[--w->ends.n];
    size_t i = 0;
    for (size_t k = 1; k < w->ends.n; k = 2 * i + 1) {
        if (k + 1 < w->ends.n && is_before(&w->ends.p[k + 1], &w->ends.p[k])) {
            k++;
        }
        if (!is_before(&w->ends.p[k], &last)) {
            break;
        }
        w->ends.p[i] = w->ends.p[k];
        i = k;
    }
    if (w->ends.n > 0) {
        w->ends.p[i] = last;
    }
    return first;
}

/* ---- what the core wants done ---- */

static size_t task_of(const struct weir_sim_world *w, struct weir_run_id run)
{
    return (size_t)(run.task.job.v - w->first_job);
}

static void report(struct weir_sim_world *w, const struct weir_event *ev)
{
    weir_vec_push(&w->reports, *ev);
}

static void do_start(struct weir_sim_world *w, const struct weir_effect *e)
{
    size_t number = task_of(w, e->run);
    struct task *t = &w->tasks.p[number];
    struct weir_event ev = {.kind = WEIR_EVENT_RUN_STARTED};
    ev.u.run.run = e->run;
    ev.u.run.rank = e->rank;
    ev.u.run.at.us = w->now_us;
    report(w, &ev);
    uint32_t each = (uint32_t)__builtin_popcount(e->u.run_start.gpu_mask);
    uint32_t before = each * t->told;
    uint32_t gpus = before >= t->gpus ? 0 : t->gpus - before < each ? t->gpus - before : each;
    w->conf.started(w->conf.user, number, (struct weir_wall){w->now_us},
                    e->lease.v == 0 ? (int64_t)e->node.v - 1 : -1, gpus);
    if (++t->told == t->nodes) {
        t->told = 0;
        ends_push(w, (struct end){weir_i64_add_sat(w->now_us, (int64_t)t->duration_us), number, e->run.attempt});
    }
}

static void do_launch(struct weir_sim_world *w, const struct weir_effect *e)
{
    const struct weir_offer *o = e->u.lease_launch.offer;
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_CONFIRMED};
    ev.u.lease.lease = e->lease;
    ev.u.lease.at.us = w->now_us;
    report(w, &ev);
    struct weir_node_spec spec = {.id = e->node,
                                  .lease = e->lease,
                                  .gpu_model = o->gpu_model,
                                  .gpus = o->gpus,
                                  .gpu_mem_mib = o->gpu_mem_mib,
                                  .cpu_milli = o->cpu_milli,
                                  .mem_mib = o->mem_mib};
    snprintf(spec.provider, sizeof spec.provider, "%s", CLOUD);
    spec.rates.full_micro_per_hour = o->price_micro_per_hour;
    spec.rates.marginal_busy_micro_per_hour = o->price_micro_per_hour;
    weir_vec_push(&w->specs, spec);
    report(w, &(struct weir_event){.kind = WEIR_EVENT_NODE_JOIN}); /* the specs are joined in this order */
}

static void do_terminate(struct weir_sim_world *w, const struct weir_effect *e)
{
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_ENDED};
    ev.u.lease.lease = e->lease;
    ev.u.lease.at.us = w->now_us;
    report(w, &ev);
}

static void do_effect(struct weir_sim_world *w, const struct weir_effect *e)
{
    switch (e->kind) {
    case WEIR_EFFECT_RUN_START:
        do_start(w, e);
        break;
    case WEIR_EFFECT_LEASE_LAUNCH:
        do_launch(w, e);
        break;
    case WEIR_EFFECT_LEASE_TERMINATE:
        do_terminate(w, e);
        break;
    case WEIR_EFFECT_RUN_STOP: /* nothing is preempted, cancelled or outlives its limit here */
        WEIR_UNREACHABLE();
    case WEIR_EFFECT_LEASE_EXTEND:
    case WEIR_EFFECT_METER_OPEN:
    case WEIR_EFFECT_METER_READY:
    case WEIR_EFFECT_METER_CLOSE:
    case WEIR_EFFECT_SEGMENT_OPEN:
    case WEIR_EFFECT_SEGMENT_CLOSE:
    case WEIR_EFFECT_SEGMENT_VERDICT:
    case WEIR_EFFECT_MAX:
        break;
    }
}

static void step(struct weir_sim_world *w, struct weir_event *ev)
{
    struct weir_effects effects;
    struct weir_err err;
    ev->seq = ++w->seq;
    ev->now.us = w->now_us;
    int r = weir_core_step(w->core, ev, &effects, &err);
    WEIR_ASSERT(r == 0);
    w->wake_us = effects.wake_at.us;
    for (size_t i = 0; i < effects.n_effects; i++) {
        do_effect(w, &effects.effect[i]);
    }
}

/* Tells the core what follows at this instant, and what follows from that, until nothing does. */
static void settle(struct weir_sim_world *w)
{
    size_t joined = 0;
    for (;;) {
        if (w->reported < w->reports.n) {
            struct weir_event ev = w->reports.p[w->reported++];
            if (ev.kind == WEIR_EVENT_NODE_JOIN) {
                const struct weir_node_spec spec = w->specs.p[joined++];
                ev.u.node_join.spec = &spec;
                step(w, &ev);
            } else {
                step(w, &ev);
            }
        } else if (w->wake_us <= w->now_us) {
            step(w, &(struct weir_event){.kind = WEIR_EVENT_TICK});
        } else {
            break;
        }
    }
    weir_vec_clear(&w->reports);
    weir_vec_clear(&w->specs);
    w->reported = 0;
}

/* ---- the cloud and the owned nodes ---- */

static void set_offers(struct weir_sim_world *w)
{
    uint32_t n = w->conf.gpus_per_node;
    struct weir_offer *offer = weir_calloc(n, sizeof *offer);
    for (uint32_t i = 0; i < n; i++) {
        struct weir_offer *o = &offer[i];
        o->id = i + 1;
        snprintf(o->provider, sizeof o->provider, "%s", CLOUD);
        snprintf(o->instance_type, sizeof o->instance_type, "gpus-%u", i + 1);
        snprintf(o->source, sizeof o->source, "suite");
        o->gpu_model = w->model;
        o->gpus = (uint16_t)(i + 1);
        o->cpu_milli = CORES_PER_NODE_MILLI;
        o->price_micro_per_hour = w->conf.cloud_micro_per_gpu_hour * (int64_t)(i + 1);
        o->as_of.us = w->now_us;
        o->expires = WEIR_WALL_MAX;
        o->bill_quantum.us = WEIR_US_PER_S;
        o->launchable = true;
    }
    struct weir_event ev = {.kind = WEIR_EVENT_OFFERS_SET};
    ev.u.offers_set.provider = CLOUD;
    ev.u.offers_set.offer = offer;
    ev.u.offers_set.n = n;
    step(w, &ev);
    settle(w);
    free(offer);
}

static void join_nodes(struct weir_sim_world *w)
{
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        struct weir_node_spec spec = {.id = weir_core_take_node_id(w->core),
                                      .gpu_model = w->model,
                                      .gpus = (uint16_t)w->conf.gpus_per_node,
                                      .cpu_milli = CORES_PER_NODE_MILLI};
        struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
        ev.u.node_join.spec = &spec;
        step(w, &ev);
        settle(w);
    }
}

struct weir_sim_world *weir_sim_world_new(const struct weir_sim_world_conf *conf)
{
    struct weir_sim_world *w = weir_alloc(sizeof *w);
    w->conf = *conf;
    w->gpus = weir_gpu_table_new();
    w->model = weir_gpu_table_find(w->gpus, WEIR_SV("V100"));
    w->conf.core.gpus = w->gpus;
    w->core = weir_core_new(&w->conf.core);
    w->now_us = conf->begin.us;
    w->first_job = 1;
    join_nodes(w);
    set_offers(w);
    return w;
}

void weir_sim_world_free(struct weir_sim_world *w)
{
    if (w == NULL) {
        return;
    }
    weir_core_free(w->core);
    weir_gpu_table_free(w->gpus);
    weir_vec_release(&w->tasks);
    weir_vec_release(&w->ends);
    weir_vec_release(&w->reports);
    weir_vec_release(&w->specs);
    free(w);
}

void weir_sim_world_freep(struct weir_sim_world **w)
{
    weir_sim_world_free(*w);
}

/* ---- time and tasks ---- */

void weir_sim_world_gang(uint32_t gpus, uint32_t gpus_per_node, uint32_t *ret_nodes, uint32_t *ret_gpus_each)
{
    *ret_nodes = gpus / gpus_per_node + (gpus % gpus_per_node != 0);
    *ret_gpus_each = gpus / *ret_nodes + (gpus % *ret_nodes != 0);
}

size_t weir_sim_world_submit(struct weir_sim_world *w, const struct weir_sim_task *task)
{
    uint32_t nodes = 0;
    uint32_t each = 0;
    weir_sim_world_gang(task->gpus, w->conf.gpus_per_node, &nodes, &each);
    weir_vec_push(&w->tasks,
                  (struct task){.duration_us = (uint64_t)task->duration.us, .gpus = task->gpus, .nodes = (uint16_t)nodes});
    struct weir_request request;
    memset(&request, 0, sizeof request);
    request.alternatives = 1;
    request.alternative[0] = (struct weir_gpu_wish){w->model, (uint16_t)each};
    request.nodes = nodes;
    request.cpu_milli = TASK_CORES_MILLI;
    request.expected = task->expected;
    request.max_duration = task->max_duration;
    request.delay_cost_micro_per_hour = -1;
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    ev.u.job_submit.job = weir_core_take_job_id(w->core);
    ev.u.job_submit.project.v = 1;
    ev.u.job_submit.priority = 50;
    ev.u.job_submit.n_tasks = 1;
    ev.u.job_submit.request = &request;
    WEIR_ASSERT(ev.u.job_submit.job.v == w->first_job + w->tasks.n - 1);
    step(w, &ev);
    settle(w);
    return w->tasks.n - 1;
}

static void end_one(struct weir_sim_world *w)
{
    struct end e = ends_pop(w);
    w->conf.ended(w->conf.user, e.task, (struct weir_wall){e.at_us});
    for (uint32_t rank = 0; rank < w->tasks.p[e.task].nodes; rank++) {
        struct weir_event ev = {.kind = WEIR_EVENT_RUN_ENDED};
        ev.u.run_ended.run = (struct weir_run_id){{{w->first_job + e.task}, 0}, e.attempt};
        ev.u.run_ended.rank = rank;
        ev.u.run_ended.at.us = w->now_us;
        ev.u.run_ended.reason = WEIR_REASON_EXIT;
        step(w, &ev);
    }
    settle(w);
}

void weir_sim_world_advance(struct weir_sim_world *w, struct weir_wall to)
{
    for (;;) {
        int64_t end_us = w->ends.n == 0 ? INT64_MAX : w->ends.p[0].at_us;
        int64_t at_us = end_us < w->wake_us ? end_us : w->wake_us;
        if (at_us > to.us || at_us == INT64_MAX) {
            break;
        }
        w->now_us = at_us > w->now_us ? at_us : w->now_us;
        if (end_us <= w->now_us) {
            end_one(w);
        } else {
            settle(w);
        }
    }
    if (to.us != INT64_MAX && to.us > w->now_us) {
        w->now_us = to.us;
    }
}

void weir_sim_world_finish(struct weir_sim_world *w)
{
    weir_sim_world_advance(w, WEIR_WALL_MAX);
    WEIR_ASSERT(w->ends.n == 0);
}
