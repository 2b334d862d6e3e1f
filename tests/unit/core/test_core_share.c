/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares that are lent and given back, over random histories on owned nodes: who stays within their own share waits for those who borrow no
 * longer than these have to stop, nobody is stopped without need, and stopping comes to an end, also where what is told to
 * stop ends at the same instant.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "world.h"

enum { PROJECTS = 3, NODES = 4, GPUS = 8, GRACE_S = 30, STOPS_MAX = 400 };

static struct weir_gpu_table *gpus;
/* Together all GPUs that there are. */
static const int64_t share[PROJECTS] = {16, 8, 8};

struct play {
    struct world w;
    struct weir_prng prng;
    struct weir_request request[4];
    uint32_t n_requests;
    int64_t owed_before;
    int64_t stopping_before;
    uint32_t n_vain; /* stops asked for while nobody was owed anything */
    uint32_t n_stopped;
};

static uint64_t below(struct play *p, uint64_t n)
{
    return weir_prng_below(&p->prng, n);
}

static void step(struct play *p, struct weir_event *ev)
{
    struct weir_err err = {""};
    world_step(&p->w, ev);
    if (!weir_core_check(p->w.core, &err)) {
        fail_msg("step %llu (%s): %s", (unsigned long long)ev->seq, weir_event_name(ev->kind), err.text);
    }
    while (p->w.effects.wake_at.us <= p->w.now_us) {
        struct weir_event tick = {.kind = WEIR_EVENT_TICK};
        world_step(&p->w, &tick);
    }
}

static struct play *play_new(uint64_t seed, bool borrow, uint16_t gap)
{
    struct weir_core_conf conf = weir_core_conf_default();
    struct play *p = weir_alloc(sizeof *p);
    conf.gpus = gpus;
    conf.spill = false;
    conf.preempt_priority_gap = gap;
    p->prng = weir_prng_seed(seed);
    world_init(&p->w, &conf);
    uint16_t model = weir_gpu_table_intern(gpus, weir_sv_of("A100"));
    for (uint32_t i = 0; i < NODES; i++) {
        struct weir_node_spec spec = {.id = weir_core_take_node_id(p->w.core), .gpus = GPUS, .gpu_model = model, .gpu_mem_mib = 40960, .cpu_milli = 64000, .mem_mib = 65536};
        struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN, .u.node_join.spec = &spec};
        step(p, &ev);
    }
    for (uint32_t i = 0; i < PROJECTS && borrow; i++) {
        struct weir_quota q = {.scope = WEIR_BUDGET_PROJECT, .counts = WEIR_QUOTA_GPUS, .span = WEIR_BUDGET_FOREVER, .gpu_model = WEIR_GPU_MODEL_ANY,
                               .project = {i + 1}, .limit = share[i], .shares = true, .borrow_max = INT64_MAX};
        (void)snprintf(q.name, sizeof q.name, "q%u", i);
        struct weir_event ev = {.kind = WEIR_EVENT_QUOTA_SET, .u.quota_set.quota = &q};
        step(p, &ev);
    }
    p->n_requests = 4;
    for (uint32_t i = 0; i < p->n_requests; i++) {
        p->request[i] = (struct weir_request){.alternatives = 1, .alternative = {{model, 1}}, .local = WEIR_LOCAL_ONLY, .cpu_milli = 500, .nodes = 1,
                                              .max_duration = weir_dur_s(1800 + 1800 * (int64_t)i), .checkpoint_grace = weir_dur_s(GRACE_S),
                                              .checkpoint_every = weir_dur_s(i % 2 == 0 ? 300 : 0), .delay_cost_micro_per_hour = -1};
    }
    return p;
}

static void play_free(struct play *p)
{
    world_release(&p->w);
    free(p);
}

static void submit(struct play *p)
{
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    ev.u.job_submit.job = weir_core_take_job_id(p->w.core);
    ev.u.job_submit.project.v = 1 + (uint32_t)below(p, PROJECTS);
    ev.u.job_submit.user.v = 1;
    ev.u.job_submit.priority = (int32_t)below(p, 300);
    ev.u.job_submit.n_tasks = 1 + (uint32_t)below(p, below(p, 4) == 0 ? 24 : 4);
    ev.u.job_submit.request = &p->request[below(p, p->n_requests)];
    step(p, &ev);
}

static void end_run(struct play *p, struct world_run r)
{
    struct weir_event ev = {.kind = WEIR_EVENT_RUN_ENDED};
    ev.u.run_ended.run = r.run;
    ev.u.run_ended.rank = r.rank;
    ev.u.run_ended.at.us = p->w.now_us;
    ev.u.run_ended.reason = r.stop_asked ? r.stop_reason : WEIR_REASON_EXIT;
    step(p, &ev);
}

/* Those told to stop end after so long. */
static void obey(struct play *p, int64_t grace_us)
{
    uint32_t n = 0;
    for (size_t i = 0; i < p->w.n_runs;) {
        struct world_run r = p->w.run[i];
        if (r.segment && r.stop_asked && p->w.now_us >= r.stop_us + grace_us) {
            p->n_stopped++;
            end_run(p, r);
            if (++n > STOPS_MAX) {
                fail_msg("at one instant %u runs were stopped, and it goes on", n);
            }
            i = 0; /* others may stand in its place */
        } else {
            i++;
        }
    }
}

/*
 * Tasks of one GPU that fit anywhere: only shares that are lent out can be in the way of those who have less than theirs. For each such task a GPU is
 * free, or somebody was told to stop: then it waits for that stop and no longer.
 */
static void owners_wait_for_stops_only(struct play *p)
{
    int64_t use[PROJECTS] = {0};
    int64_t waiting[PROJECTS] = {0};
    int64_t stopping = 0;
    int64_t spare = NODES * GPUS;
    for (uint64_t i = 1; i <= p->w.jobs; i++) {
        const struct weir_job_view *j = &p->w.job[i].view;
        int64_t active = j->count[WEIR_TASK_STARTING] + j->count[WEIR_TASK_RUNNING] + j->count[WEIR_TASK_STOPPING];
        use[j->project.v - 1] += active;
        waiting[j->project.v - 1] += j->count[WEIR_TASK_WAITING];
        stopping += j->count[WEIR_TASK_STOPPING];
        spare -= active;
    }
    assert_true(spare >= 0);
    int64_t owed = 0;
    for (uint32_t i = 0; i < PROJECTS; i++) {
        int64_t own = share[i] > use[i] ? share[i] - use[i] : 0;
        owed += waiting[i] < own ? waiting[i] : own;
    }
    if (owed > spare + stopping) {
        fail_msg("%lld tasks wait within their own share, %lld GPUs are free and %lld runs were told to stop", (long long)owed, (long long)spare, (long long)stopping);
    }
    if (stopping > 0 && owed == 0 && p->owed_before == 0) {
        p->n_vain += stopping > p->stopping_before;
    }
    p->owed_before = owed;
    p->stopping_before = stopping;
}

static void who_stays_within_their_share_waits_no_longer_than_a_stop(void **state)
{
    (void)state;
    uint32_t stopped = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct play *p = play_new(seed, true, 0);
        for (int i = 0; i < 1500; i++) {
            p->w.now_us += (int64_t)below(p, 8) * WEIR_US_PER_S;
            obey(p, GRACE_S * WEIR_US_PER_S);
            uint64_t what = below(p, 10);
            if (what < 1) {
                submit(p);
            } else if (what < 4 && p->w.n_runs > 0) {
                struct world_run r = p->w.run[below(p, p->w.n_runs)];
                if (r.segment && !r.stop_asked) {
                    end_run(p, r);
                }
            } else {
                struct weir_event ev = {.kind = WEIR_EVENT_TICK};
                step(p, &ev);
            }
            obey(p, GRACE_S * WEIR_US_PER_S);
            owners_wait_for_stops_only(p);
            assert_int_equal(p->n_vain, 0);
        }
        stopped += p->n_stopped;
        play_free(p);
    }
    assert_true(stopped > 100); /* there was something to see */
}

/* Of all sizes, gangs too; what is told to stop ends at once. */
static void many_sizes(struct play *p)
{
    static const uint16_t counts[] = {1, 2, 4, 8};
    for (uint32_t i = 0; i < p->n_requests; i++) {
        p->request[i].alternative[0].count = counts[i];
        p->request[i].nodes = i == 1 && below(p, 2) == 0 ? 2 : 1;
        p->request[i].max_duration = weir_dur_s(600 + (int64_t)below(p, 20000));
    }
}

static void play_to_the_end(uint64_t seed, bool borrow, uint16_t gap)
{
    struct play *p = play_new(seed, borrow, gap);
    many_sizes(p);
    for (int i = 0; i < 500; i++) {
        p->w.now_us += (int64_t)below(p, 60) * WEIR_US_PER_S;
        if (below(p, 4) == 0) {
            submit(p);
        } else if (p->w.n_runs > 0) {
            struct world_run r = p->w.run[below(p, p->w.n_runs)];
            if (r.segment && !r.stop_asked) {
                end_run(p, r);
            }
        }
        obey(p, 0);
    }
    play_free(p);
}

static void stopping_ends_where_stops_take_no_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        play_to_the_end(seed, true, 0);
    }
}

static void stopping_by_priority_ends_where_stops_take_no_time(void **state)
{
    (void)state;
    for (uint64_t seed = 101; seed <= 112; seed++) {
        play_to_the_end(seed, false, 100);
    }
}

static void stopping_for_both_ends_where_stops_take_no_time(void **state)
{
    (void)state;
    for (uint64_t seed = 201; seed <= 212; seed++) {
        play_to_the_end(seed, true, 100);
    }
}

int main(void)
{
    gpus = weir_gpu_table_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_stays_within_their_share_waits_no_longer_than_a_stop),
        cmocka_unit_test(stopping_ends_where_stops_take_no_time),
        cmocka_unit_test(stopping_by_priority_ends_where_stops_take_no_time),
        cmocka_unit_test(stopping_for_both_ends_where_stops_take_no_time),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    weir_gpu_table_free(gpus);
    return r;
}
