/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Suite cant-be-late: one task with a deadline and one zone of spot; windows of recorded availability, by deadlines and
 * overheads. The published suite is 1,080 scenarios.
 */

#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "schedule.h"
#include "sim_priv.h"
#include "spot_input.h"
#include "spot_policies.h"
#include "spot_suite.h"

#define US_PER_MICROHOUR 3600
enum { HOURS_MAX = 10000, CASES_MAX = 256 };
#define MICROHOURS_MAX ((int64_t)HOURS_MAX * 1000000)

static const struct weir_sim_spot_policy policies[] = {
    {"on-demand", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_on_demand},
    {"greedy", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_greedy},
    {"time-sliced", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_time_sliced},
    {"uniform-progress", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_uniform_progress},
    {"uniform-progress-no-hysteresis", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_uniform_progress_eager},
    {"slack", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_slack_rule},
    {"weir", WEIR_SIM_SPOT_BY_WEIR, NULL},
    {"optimum", WEIR_SIM_SPOT_BY_OPTIMUM, NULL},
};

enum { POLICIES = WEIR_ARRAY_LEN(policies), OPTIMUM = POLICIES - 1 };

struct scenario_case {
    int64_t deadline; /* microhours */
    int64_t overhead;
};

/* Published mean costs in USD, overall and for the cases of the suite in its order; 0: none was published. They hold for the
 * published files alone. */
static const struct {
    const char *policy;
    double overall;
    double by_case[6];
} references[] = {
    {"on-demand", 147.39, {0}},
    {"greedy", 119.03, {0}},
    {"time-sliced", 109.72, {0}},
    {"uniform-progress", 101.68, {107.48, 113.46, 120.14, 86.61, 89.08, 93.34}},
    {"uniform-progress-no-hysteresis", 97.24, {0}},
    {"slack", 95.07, {0}},
    {"optimum", 92.16, {97.61, 100.10, 103.93, 81.24, 83.31, 86.78}},
};

#define PUBLISHED_DIGEST UINT64_C(0x473f9ead4529f50f)
static const struct scenario_case published_cases[] = {{52000000, 20000}, {52000000, 50000}, {52000000, 100000},
                                                       {70000000, 20000}, {70000000, 50000}, {70000000, 100000}};
enum { PUBLISHED_WORK = 48000000 };

struct inputs {
    struct weir_sim_spot_zones zones;
    struct weir_sim_spot_windows windows;
    int64_t work; /* microhours */
    struct scenario_case kase[CASES_MAX];
    size_t n_cases;
    bool published; /* the published files, work and cases */
};

static void release_inputs(struct inputs *in)
{
    weir_sim_spot_windows_release(&in->windows);
    weir_sim_spot_zones_release(&in->zones);
}

static int read_cases(struct inputs *in, const struct weir_sim_options *o, struct weir_err *err)
{
    int64_t deadline[WEIR_SIM_LIST_MAX];
    int64_t overhead[WEIR_SIM_LIST_MAX];
    int64_t work[WEIR_SIM_LIST_MAX];
    size_t n_deadlines = 0;
    size_t n_overheads = 0;
    size_t n_work = 0;
    int r = weir_sim_list_micro(o->deadlines == NULL ? "52,70" : o->deadlines, "deadlines", 1, MICROHOURS_MAX, deadline, &n_deadlines,
                                err);
    r = r < 0 ? r
              : weir_sim_list_micro(o->overheads == NULL ? "0.02,0.05,0.10" : o->overheads, "overheads", 0, MICROHOURS_MAX, overhead,
                                    &n_overheads, err);
    r = r < 0 ? r : weir_sim_list_micro(o->work == NULL ? "48" : o->work, "work", 1, MICROHOURS_MAX, work, &n_work, err);
    if (r < 0) {
        return r;
    }
    if (n_work != 1) {
        return weir_fail(err, -WEIR_EINVAL, "--work: one number of hours is expected");
    }
    if (n_deadlines * n_overheads > CASES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "--deadlines times --overheads: more than %d cases", CASES_MAX);
    }
    in->work = work[0];
    for (size_t d = 0; d < n_deadlines; d++) {
        for (size_t h = 0; h < n_overheads; h++) {
            in->kase[in->n_cases++] = (struct scenario_case){deadline[d], overhead[h]};
        }
    }
    return 0;
}

static struct weir_sim_spot_task task_of(const struct inputs *in, const struct scenario_case *c, const struct weir_sim_spot_window *w)
{
    return (struct weir_sim_spot_task){
        .gap_us = in->zones.p[w->zone].gap_us,
        .work_us = in->work * US_PER_MICROHOUR,
        .deadline_us = c->deadline * US_PER_MICROHOUR,
        .overhead_us = c->overhead * US_PER_MICROHOUR,
        .rate = {0, WEIR_SIM_SPOT_RATE, WEIR_SIM_ON_DEMAND_RATE},
    };
}

/* Every window must reach to every deadline, and leave the time to work, one launch and the rounding to ticks. */
static int check_windows(const struct inputs *in, struct weir_err *err)
{
    for (size_t i = 0; i < in->windows.n; i++) {
        const struct weir_sim_spot_window *w = &in->windows.p[i];
        const struct weir_sim_spot_zone *z = &in->zones.p[w->zone];
        for (size_t k = 0; k < in->n_cases; k++) {
            struct weir_sim_spot_task t = task_of(in, &in->kase[k], w);
            double hours = (double)t.deadline_us / 3.6e9;
            if (t.deadline_us / t.gap_us > (int64_t)w->ticks) {
                return weir_fail(err, -WEIR_EINVAL,
                                 "the window of %s at tick %lld has %zu ticks, %.4g h: too short for a deadline of %.4g h", z->name,
                                 (long long)(z->first_tick + (int64_t)w->first), w->ticks,
                                 (double)w->ticks * (double)z->gap_us / 3.6e9, hours);
            }
            if ((t.work_us + t.overhead_us - 1) / t.gap_us + 1 > t.deadline_us / t.gap_us) {
                return weir_fail(err, -WEIR_EINVAL, "a deadline of %.4g h cannot be met: work %.4g h and one overhead of %.4g h in ticks of %.4g s",
                                 hours, (double)t.work_us / 3.6e9, (double)t.overhead_us / 3.6e9, (double)t.gap_us / 1e6);
            }
        }
    }
    return 0;
}

static int read_inputs(struct inputs *in, const struct weir_sim_options *o, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *traces = NULL;
    WEIR_CLEANUP(weir_freep) char *windows = NULL;
    int r = read_cases(in, o, err);
    r = r < 0 ? r : weir_sim_path(&traces, o, o->traces, "traces", "spot-availability/cbl_2022-10-26.csv", err);
    r = r < 0 ? r : weir_sim_path(&windows, o, o->windows, "windows", "spot-availability/cbl_windows.csv", err);
    r = r < 0 ? r : weir_sim_spot_read_traces(&in->zones, traces, err);
    r = r < 0 ? r : weir_sim_spot_read_windows(&in->windows, windows, &in->zones, err);
    r = r < 0 ? r : check_windows(in, err);
    in->published = r == 0 && weir_sim_spot_digest(&in->zones, &in->windows) == PUBLISHED_DIGEST && in->work == PUBLISHED_WORK &&
                    in->n_cases == WEIR_ARRAY_LEN(published_cases) &&
                    memcmp(in->kase, published_cases, sizeof published_cases) == 0;
    return r;
}

/* All windows of one case under one policy. */
static int run_case(const struct inputs *in, size_t k, struct weir_sim_spot_runner *runner, struct weir_sim_spot_sum *sum,
                    const struct weir_sim_options *o, struct weir_sim_meter *meter, struct weir_sim_result *result, struct weir_err *err)
{
    const struct scenario_case *c = &in->kase[k];
    struct weir_sim_schedule *schedule = NULL;
    WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(256);
    weir_str_addf(&text, "cant-be-late-%s-%gh-%gh", runner->policy->name, (double)c->deadline / 1e6, (double)c->overhead / 1e6);
    int r = weir_sim_schedule_open(&schedule, o->schedule, weir_str_cstr(&text), err);
    if (r < 0) {
        return r;
    }
    weir_sim_hash_text(result, weir_str_cstr(&text));
    for (size_t i = 0; i < in->windows.n; i++) {
        const struct weir_sim_spot_window *w = &in->windows.p[i];
        const struct weir_sim_spot_zone *z = &in->zones.p[w->zone];
        struct weir_sim_spot_task task = task_of(in, c, w);
        struct weir_sim_spot_trace trace = {.up = {z->bits + w->first}, .n_zones = 1, .n_ticks = w->ticks};
        const char *names[] = {z->name};
        struct weir_sim_spot_scenario scenario = {i, (z->first_tick + (int64_t)w->first) * z->gap_us, names};
        weir_sim_spot_runner_play(runner, &task, &trace, &scenario, sum, result, schedule);
        weir_sim_meter_add(meter, 1);
    }
    return weir_sim_schedule_close(schedule, err);
}

static int run_policy(const struct inputs *in, const struct weir_sim_spot_policy *policy, struct weir_sim_spot_sum *sum,
                      const struct weir_sim_options *o, struct weir_sim_meter *meter, struct weir_sim_result *result, struct weir_err *err)
{
    WEIR_CLEANUP(weir_sim_spot_runner_release) struct weir_sim_spot_runner runner = {.policy = policy};
    int r = 0;
    for (size_t k = 0; k < in->n_cases && r == 0; k++) {
        r = run_case(in, k, &runner, &sum[k], o, meter, result, err);
    }
    return r;
}

static struct weir_sim_spot_sum total_of(const struct weir_sim_spot_sum *sum, size_t n)
{
    struct weir_sim_spot_sum total = {0};
    for (size_t k = 0; k < n; k++) {
        weir_sim_spot_sum_add(&total, &sum[k]);
    }
    return total;
}

/* kase: number of the case; in->n_cases: overall. */
static void add_reference(struct weir_sim_row *row, const struct inputs *in, const char *policy, size_t kase)
{
    for (size_t i = 0; in->published && i < WEIR_ARRAY_LEN(references); i++) {
        double usd = kase == in->n_cases ? references[i].overall : references[i].by_case[kase];
        if (weir_streq(references[i].policy, policy) && usd > 0) {
            weir_sim_metric(row, "reference_mean_cost_usd", usd);
        }
    }
}

static void add_rows(struct weir_sim_result *result, const struct inputs *in, const char *policy, const struct weir_sim_spot_sum *sum,
                     const struct weir_sim_spot_sum *bound)
{
    struct weir_sim_spot_sum total = total_of(sum, in->n_cases);
    struct weir_sim_spot_sum least = total_of(bound, in->n_cases);
    struct weir_sim_row *overall = weir_sim_row(result, policy);
    weir_sim_spot_metrics(overall, &total, weir_sim_spot_mean_usd(&total), weir_sim_spot_mean_usd(&least));
    add_reference(overall, in, policy, in->n_cases);
    for (size_t k = 0; k < in->n_cases; k++) {
        struct weir_sim_row *row = weir_sim_row(result, policy);
        weir_sim_case_real(row, "deadline", (double)in->kase[k].deadline / 1e6);
        weir_sim_case_real(row, "overhead", (double)in->kase[k].overhead / 1e6);
        weir_sim_spot_metrics(row, &sum[k], weir_sim_spot_mean_usd(&sum[k]), weir_sim_spot_mean_usd(&bound[k]));
        add_reference(row, in, policy, k);
    }
}

int weir_sim_suite_cant_be_late(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    WEIR_CLEANUP(release_inputs) struct inputs in = {0};
    int r = read_inputs(&in, o, err);
    if (r < 0) {
        return r;
    }
    WEIR_CLEANUP(weir_freep) struct weir_sim_spot_sum *sum = weir_calloc(POLICIES * in.n_cases, sizeof *sum);
    struct weir_sim_meter meter = {.o = o, .unit = "scenarios"};
    for (size_t p = 0; p < POLICIES; p++) {
        meter.total += weir_sim_wants(o, policies[p].name) ? in.n_cases * in.windows.n : 0;
    }
    for (size_t p = 0; p < POLICIES && r == 0; p++) {
        if (weir_sim_wants(o, policies[p].name)) {
            r = run_policy(&in, &policies[p], sum + p * in.n_cases, o, &meter, result, err);
        }
    }
    for (size_t p = 0; p < POLICIES && r == 0; p++) {
        if (weir_sim_wants(o, policies[p].name)) {
            add_rows(result, &in, policies[p].name, sum + p * in.n_cases, sum + OPTIMUM * in.n_cases);
        }
    }
    return r;
}
