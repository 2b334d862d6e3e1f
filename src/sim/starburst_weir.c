/* SPDX-License-Identifier: Apache-2.0 */

/* The benchmark as driven by the decision core; see world.h. */

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "learned.h"
#include "starburst.h"
#include "world.h"

#define CLOUD "cloud"

enum {
    CORES_PER_NODE_MILLI = 1000000,
    TASK_CORES_MILLI = 1,
    PRIORITY = 50,
    LIMIT_DAYS = 60, /* of a job of which nothing is said: what its queue allows at most */
};

struct replay {
    const struct weir_starburst_run *run;
    struct weir_sim_learned learned; /* from what has ended so far */
};

/* Jobs of one group that ask for as many GPUs are of one kind: more is not known of them. */
static uint64_t kind_of(const struct weir_starburst_job *j)
{
    return weir_runtime_key(j->group, j->gpus, WEIR_SV(""));
}

/* The world's time of a moment of the trace: a day later, since 0 is no time to the core. */
static struct weir_wall world_time(int64_t trace_us)
{
    return (struct weir_wall){WEIR_US_PER_DAY + trace_us};
}

static double hours_of(const struct replay *p, struct weir_wall at)
{
    return (double)(at.us - world_time(p->run->jobs->job[0].submit_us).us) / 3.6e9;
}

static void on_started(void *user, uint64_t task, struct weir_wall at, int64_t node, uint32_t gpus)
{
    struct replay *p = user;
    struct weir_starburst_outcome *o = &p->run->outcome[task];
    o->start_h = hours_of(p, at);
    o->cloud = node < 0;
    if (gpus > 0) {
        weir_starburst_note(p->run, task, o->start_h, weir_starburst_duration_h(p->run->jobs, task), node, gpus);
    }
}

static void on_ended(void *user, uint64_t task, struct weir_wall at, enum weir_task_state state)
{
    struct replay *p = user;
    (void)at;
    WEIR_ASSERT(state == WEIR_TASK_SUCCEEDED); /* nothing fails here */
    const struct weir_starburst_job *j = &p->run->jobs->job[task];
    weir_sim_learned_observe(&p->learned, kind_of(j), j->gpus, (struct weir_dur){j->duration_us});
}

/* The cloud has a machine for each number of GPUs that a node may have, at one price per GPU-hour. Caller frees. */
static struct weir_offer *offers_of(const struct weir_starburst_site *site, uint16_t model)
{
    struct weir_offer *offer = weir_calloc(site->gpus_per_node, sizeof *offer);
    for (uint32_t i = 0; i < site->gpus_per_node; i++) {
        struct weir_offer *o = &offer[i];
        o->id = i + 1;
        snprintf(o->provider, sizeof o->provider, "%s", CLOUD);
        snprintf(o->instance_type, sizeof o->instance_type, "gpus-%u", i + 1);
        snprintf(o->source, sizeof o->source, "suite");
        o->gpu_model = model;
        o->gpus = (uint16_t)(i + 1);
        o->cpu_milli = CORES_PER_NODE_MILLI;
        o->price_micro_per_hour = WEIR_MICRO_PER_UNIT * (int64_t)(i + 1);
        o->as_of.us = 1;
        o->expires = WEIR_WALL_MAX;
        o->bill_quantum.us = WEIR_US_PER_S;
        o->launchable = true;
    }
    return offer;
}

static struct weir_sim_world *world_of(struct replay *p, struct weir_gpu_table *gpus, const double *v)
{
    const struct weir_starburst_site *site = &p->run->site;
    const uint16_t model = weir_gpu_table_find(gpus, WEIR_SV("V100"));
    const struct weir_sim_pool pool = {.name = "local",
                                       .nodes = site->nodes,
                                       .gpu_model = model,
                                       .gpus = site->gpus_per_node,
                                       .cpu_milli = CORES_PER_NODE_MILLI};
    WEIR_CLEANUP(weir_freep) struct weir_offer *offer = offers_of(site, model);
    const struct weir_sim_provider cloud = {.name = CLOUD, .offer = offer, .n = site->gpus_per_node};
    struct weir_sim_world_conf conf = {
        .core = weir_core_conf_default(),
        .pool = &pool,
        .n_pools = 1,
        .provider = &cloud,
        .n_providers = 1,
        .begin = world_time(p->run->jobs->job[0].submit_us),
        .watch = {.started = on_started, .ended = on_ended, .user = p},
    };
    conf.core.gpus = gpus;
    conf.core.delay_cost_micro_per_hour = llround(v[WEIR_STARBURST_DELAY_VALUE] * 1e6);
    conf.core.age_points_per_hour = (uint32_t)v[WEIR_STARBURST_AGE];
    conf.core.yield_per_mille = (uint32_t)v[WEIR_STARBURST_YIELD];
    conf.core.review_period.us = llround(v[WEIR_STARBURST_REVIEW_S] * WEIR_US_PER_S);
    conf.core.leases_max = UINT32_MAX / 2;
    conf.core.lease_term.us = 365 * WEIR_US_PER_DAY;
    conf.core.preempt_priority_gap = 0;
    conf.core.reservations_max = (uint32_t)v[WEIR_STARBURST_RESERVATIONS];
    return weir_sim_world_new(&conf);
}

static void submit(struct weir_sim_world *w, struct replay *p, size_t job, uint16_t model, bool estimates)
{
    const struct weir_starburst_job *j = &p->run->jobs->job[job];
    struct weir_dur limit = {j->duration_us == 0 ? WEIR_US_PER_S : j->duration_us};
    if (!estimates && limit.us < LIMIT_DAYS * WEIR_US_PER_DAY) { /* longer ones were allowed to run, too */
        limit.us = LIMIT_DAYS * WEIR_US_PER_DAY;
    }
    uint32_t nodes = 0;
    uint32_t each = 0;
    weir_sim_world_gang(j->gpus, p->run->site.gpus_per_node, &nodes, &each);
    struct weir_request request;
    memset(&request, 0, sizeof request);
    request.alternatives = 1;
    request.alternative[0] = (struct weir_gpu_wish){model, (uint16_t)each};
    request.nodes = nodes;
    request.cpu_milli = TASK_CORES_MILLI;
    request.expected = limit;
    request.max_duration = limit;
    request.delay_cost_micro_per_hour = -1;
    if (!estimates) {
        request.expected = weir_sim_learned_expect(&p->learned, kind_of(j), j->gpus, (struct weir_dur){0}, limit);
    }
    struct weir_sim_task t = {.tag = job,
                              .gpus = j->gpus,
                              .duration = {j->duration_us},
                              .request = &request,
                              .project = {1},
                              .priority = PRIORITY};
    weir_sim_world_advance(w, world_time(j->submit_us));
    weir_sim_world_submit(w, &t);
}

void weir_starburst_weir(const struct weir_starburst_run *run, const double v[static WEIR_STARBURST_PARAMS])
{
    bool estimates = v[WEIR_STARBURST_ESTIMATES] >= 0.5;
    struct replay p = {.run = run};
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    const uint16_t model = weir_gpu_table_find(gpus, WEIR_SV("V100"));
    struct weir_sim_world *w = world_of(&p, gpus, v);
    for (size_t i = 0; i < run->jobs->n; i++) {
        run->outcome[i] = (struct weir_starburst_outcome){.trial_h = -1};
        submit(w, &p, i, model, estimates);
        weir_sim_meter_add(run->meter, 1);
    }
    weir_sim_world_finish(w);
    weir_sim_world_free(w);
    weir_gpu_table_free(gpus);
    weir_sim_learned_release(&p.learned);
}
