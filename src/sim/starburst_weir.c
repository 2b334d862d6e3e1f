/* SPDX-License-Identifier: Apache-2.0 */

/* The benchmark as driven by the decision core; see world.h. */

#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "forecast/runtime.h"
#include "starburst.h"
#include "world.h"

enum {
    RESERVATIONS_MAX = 1000,
    LIMIT_DAYS = 60, /* of a job of which nothing is said: what its queue allows at most */
};

struct replay {
    const struct weir_starburst_run *run;
    WEIR_VEC(struct weir_runtime_history) history; /* by kind */
    struct weir_map kind_of;                       /* key -> number */
};

static struct weir_runtime_history *history_of(struct replay *p, uint64_t key)
{
    uint64_t kind = 0;
    if (!weir_map_get(&p->kind_of, key, &kind)) {
        kind = p->history.n;
        weir_map_put(&p->kind_of, key, kind);
        weir_vec_push(&p->history, (struct weir_runtime_history){0});
    }
    return &p->history.p[kind];
}

/* Jobs of one group that ask for as many GPUs are of one kind: more is not known of them. */
static void keys_of(const struct weir_starburst_job *j, uint64_t ret[WEIR_RUNTIME_KINDS])
{
    ret[0] = weir_runtime_key(j->group, j->gpus, WEIR_SV(""));
    weir_runtime_wider_keys(j->gpus, ret);
}

/* From what has ended so far. */
static struct weir_dur expected_of(struct replay *p, const struct weir_starburst_job *j, struct weir_dur limit)
{
    uint64_t key[WEIR_RUNTIME_KINDS];
    struct weir_runtime_history history[WEIR_RUNTIME_KINDS];
    const struct weir_runtime_history *h[WEIR_RUNTIME_KINDS];
    keys_of(j, key);
    for (size_t i = 0; i < WEIR_RUNTIME_KINDS; i++) {
        history[i] = *history_of(p, key[i]); /* a copy: the next one may be new, and move all */
        h[i] = &history[i];
    }
    return weir_runtime_forecast(h, (struct weir_dur){0}, limit).expected;
}

/* The world's time of a second of the trace: a day later, since 0 is no time to the core. */
static struct weir_wall world_time(int64_t trace_s)
{
    return weir_wall_add((struct weir_wall){WEIR_US_PER_DAY}, weir_dur_s(trace_s));
}

static double hours_of(const struct replay *p, struct weir_wall at)
{
    return (double)(at.us - world_time(p->run->jobs->job[0].submit_s).us) / 3.6e9;
}

static void on_started(void *user, size_t task, struct weir_wall at, int64_t node, uint32_t gpus)
{
    struct replay *p = user;
    struct weir_starburst_outcome *o = &p->run->outcome[task];
    o->start_h = hours_of(p, at);
    o->cloud = node < 0;
    if (gpus > 0) {
        weir_starburst_note(p->run, task, o->start_h, weir_starburst_duration_h(p->run->jobs, task), node, gpus);
    }
}

static void on_ended(void *user, size_t task, struct weir_wall at)
{
    struct replay *p = user;
    (void)at;
    uint64_t key[WEIR_RUNTIME_KINDS];
    keys_of(&p->run->jobs->job[task], key);
    for (size_t i = 0; i < WEIR_RUNTIME_KINDS; i++) {
        weir_runtime_observe(history_of(p, key[i]), weir_dur_s(p->run->jobs->job[task].duration_s));
    }
}

void weir_starburst_weir(const struct weir_starburst_run *run, int64_t delay_micro_per_hour, bool estimates)
{
    const struct weir_starburst_jobs *jobs = run->jobs;
    struct replay p = {.run = run};
    struct weir_sim_world_conf conf = {
        .core = weir_core_conf_default(),
        .nodes = run->site.nodes,
        .gpus_per_node = run->site.gpus_per_node,
        .cloud_micro_per_gpu_hour = 1000000,
        .begin = world_time(jobs->job[0].submit_s),
        .started = on_started,
        .ended = on_ended,
        .user = &p,
    };
    conf.core.delay_cost_micro_per_hour = delay_micro_per_hour;
    conf.core.age_points_per_hour = 3600000;
    conf.core.review_period.us = 10 * WEIR_US_PER_MIN;
    conf.core.leases_max = UINT32_MAX / 2;
    conf.core.lease_term.us = 365 * WEIR_US_PER_DAY;
    conf.core.preempt_priority_gap = 0;
    conf.core.reservations_max = RESERVATIONS_MAX;
    WEIR_CLEANUP(weir_sim_world_freep) struct weir_sim_world *w = weir_sim_world_new(&conf);
    for (size_t i = 0; i < jobs->n; i++) {
        const struct weir_starburst_job *j = &jobs->job[i];
        run->outcome[i] = (struct weir_starburst_outcome){.trial_h = -1};
        struct weir_dur took = weir_dur_s(j->duration_s);
        struct weir_dur limit = weir_dur_s(j->duration_s == 0 ? 1 : j->duration_s);
        if (!estimates && limit.us < LIMIT_DAYS * WEIR_US_PER_DAY) { /* longer ones were allowed to run, too */
            limit.us = LIMIT_DAYS * WEIR_US_PER_DAY;
        }
        struct weir_sim_task t = {.gpus = j->gpus, .duration = took, .expected = limit, .max_duration = limit};
        if (!estimates) {
            t.expected = expected_of(&p, j, limit);
        }
        weir_sim_world_advance(w, world_time(j->submit_s));
        weir_sim_world_submit(w, &t);
        weir_sim_meter_add(run->meter, 1);
    }
    weir_sim_world_finish(w);
    weir_vec_release(&p.history);
    weir_map_release(&p.kind_of);
}
