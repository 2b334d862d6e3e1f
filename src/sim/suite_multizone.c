/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Suite multizone: one task with a deadline and several zones of spot, recorded side by side. Six sets of zones are the
 * published suite; the figure is the mean of the sets' means. A file whose zones have other names is run with sets of its own:
 * each zone alone, and all together.
 */

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "schedule.h"
#include "sim_priv.h"
#include "spot_input.h"
#include "spot_policies.h"
#include "spot_suite.h"

#define US_PER_HOUR INT64_C(3600000000)

enum {
    WORK_H = 48,
    DEADLINE_H = 52,
    OVERHEAD_MIN = 12,
    SETS_MAX = WEIR_SIM_SPOT_ZONES_MAX + 1,
    SET_ZONES_PUBLISHED = 9,
};

static const struct weir_sim_spot_policy policies[] = {
    {"on-demand", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_on_demand},
    {"round-robin", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_round_robin},
    {"slack", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_slack_any_zone},
    {"weir", WEIR_SIM_SPOT_BY_WEIR, NULL},
    {"optimum", WEIR_SIM_SPOT_BY_OPTIMUM, NULL},
};

enum { POLICIES = WEIR_ARRAY_LEN(policies), OPTIMUM = POLICIES - 1 };

/* The published sets; windows are numbered from 0. */
static const struct {
    const char *name;
    const char *zone[SET_ZONES_PUBLISHED + 1];
    size_t windows;
} published[] = {
    {"2-zones-same-region", {"us-east-1a_v100_1", "us-east-1c_v100_1"}, 8},
    {"2-regions-east-west", {"us-east-2a_v100_1", "us-west-2a_v100_1"}, 8},
    {"3-regions-diverse", {"us-east-1a_v100_1", "us-east-2b_v100_1", "us-west-2c_v100_1"}, 6},
    {"3-zones-same-region", {"us-east-1a_v100_1", "us-east-1c_v100_1", "us-east-1d_v100_1"}, 6},
    {"5-regions-high-diversity",
     {"us-east-1a_v100_1", "us-east-1f_v100_1", "us-west-2a_v100_1", "us-west-2b_v100_1", "us-east-2b_v100_1"},
     4},
    {"all-9-regions",
     {"us-east-2a_v100_1", "us-west-2c_v100_1", "us-east-1d_v100_1", "us-east-2b_v100_1", "us-west-2a_v100_1", "us-east-1f_v100_1",
      "us-east-1a_v100_1", "us-west-2b_v100_1", "us-east-1c_v100_1"},
     2},
};

/* Published means; they hold for the published file alone. The publisher's zones have prices of their own, which the file has not. */
static const struct {
    const char *policy;
    double usd;
} references[] = {{"round-robin", 88.38}, {"slack", 74.41}};

#define PUBLISHED_DIGEST UINT64_C(0x79fcdf59539f5372)

/* A set of zones in one window. */
struct scenario {
    size_t set;
    int64_t window;
    const struct weir_sim_spot_zone *zone[WEIR_SIM_SPOT_ZONES_MAX];
    size_t n_zones;
};

struct zone_set {
    char name[WEIR_SIM_TEXT_SIZE];
};

struct inputs {
    struct weir_sim_spot_zones zones;
    struct zone_set set[SETS_MAX];
    size_t n_sets;
    struct scenario *p;
    size_t n;
    size_t size;
    bool published;
};

static void release_inputs(struct inputs *in)
{
    weir_sim_spot_zones_release(&in->zones);
    free(in->p);
}

static void add_scenario(struct inputs *in, const struct scenario *s)
{
    if (in->n == in->size) {
        in->size = in->size == 0 ? 64 : in->size * 2;
        in->p = weir_realloc(in->p, in->size, sizeof *in->p);
    }
    in->p[in->n++] = *s;
}

static size_t add_set(struct inputs *in, const char *name)
{
    snprintf(in->set[in->n_sets].name, sizeof in->set[in->n_sets].name, "%s", name);
    return in->n_sets++;
}

/* The set's zones in a window; false where one is missing there. */
static bool find_set(const struct inputs *in, const char *const *zone, int64_t window, struct scenario *ret)
{
    ret->window = window;
    ret->n_zones = 0;
    for (; *zone != NULL; zone++) {
        const struct weir_sim_spot_zone *z = weir_sim_spot_find(&in->zones, weir_sv_of(*zone), window);
        if (z == NULL) {
            return false;
        }
        ret->zone[ret->n_zones++] = z;
    }
    return true;
}

/* The published sets, as far as the file has their zones. In the windows of the published suite where the file has them, else
 * in all of its windows. */
static void add_published_sets(struct inputs *in)
{
    for (size_t k = 0; k < WEIR_ARRAY_LEN(published); k++) {
        struct scenario s = {0};
        bool as_published = true;
        for (size_t w = 0; w < published[k].windows; w++) {
            as_published = as_published && find_set(in, published[k].zone, (int64_t)w, &s);
        }
        bool added = false;
        for (size_t i = 0; i < in->zones.n; i++) {
            int64_t window = in->zones.p[i].window;
            if ((as_published && window >= (int64_t)published[k].windows) || !in->zones.p[i].begins_window ||
                !find_set(in, published[k].zone, window, &s)) {
                continue;
            }
            s.set = added ? in->n_sets - 1 : add_set(in, published[k].name);
            added = true;
            add_scenario(in, &s);
        }
    }
}

/* For zones of other names: of each window the first two, three and five zones in the file's order, and all. */
static void add_own_sets(struct inputs *in)
{
    static const struct {
        const char *name;
        size_t zones;
    } own[] = {{"first-2-zones", 2}, {"first-3-zones", 3}, {"first-5-zones", 5}, {"all-zones", WEIR_SIM_SPOT_ZONES_MAX}};
    for (size_t k = 0; k < WEIR_ARRAY_LEN(own); k++) {
        bool added = false;
        for (size_t i = 0; i < in->zones.n; i++) {
            if (!in->zones.p[i].begins_window) {
                continue;
            }
            struct scenario s = {.window = in->zones.p[i].window};
            for (size_t z = i; z < in->zones.n && s.n_zones < own[k].zones; z++) {
                if (in->zones.p[z].window == s.window) {
                    s.zone[s.n_zones++] = &in->zones.p[z];
                }
            }
            if (s.n_zones < own[k].zones && own[k].zones < WEIR_SIM_SPOT_ZONES_MAX) {
                continue;
            }
            s.set = added ? in->n_sets - 1 : add_set(in, own[k].name);
            added = true;
            add_scenario(in, &s);
        }
    }
}

static struct weir_sim_spot_task task_of(const struct scenario *s)
{
    return (struct weir_sim_spot_task){
        .gap_us = s->zone[0]->gap_us,
        .work_us = WORK_H * US_PER_HOUR,
        .deadline_us = DEADLINE_H * US_PER_HOUR,
        .overhead_us = OVERHEAD_MIN * US_PER_HOUR / 60,
        .rate = {0, WEIR_SIM_SPOT_RATE, WEIR_SIM_ON_DEMAND_RATE},
    };
}

static int read_inputs(struct inputs *in, const struct weir_sim_options *o, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *traces = NULL;
    int r = weir_sim_path(&traces, o, o->traces, "traces", "spot-availability/multizone_2023-02.csv", err);
    r = r < 0 ? r : weir_sim_spot_read_multizone(&in->zones, traces, err);
    if (r < 0) {
        return r;
    }
    in->published = weir_sim_spot_digest(&in->zones, NULL) == PUBLISHED_DIGEST;
    add_published_sets(in);
    if (in->n == 0) {
        add_own_sets(in);
    }
    for (size_t i = 0; i < in->n; i++) {
        struct weir_sim_spot_task t = task_of(&in->p[i]);
        const struct weir_sim_spot_zone *z = in->p[i].zone[0];
        if (t.deadline_us / t.gap_us > (int64_t)z->n_bits) {
            return weir_fail(err, -WEIR_EINVAL, "%s: window %lld has %zu ticks, %.4g h: too short for a deadline of %d h", traces,
                             (long long)in->p[i].window, z->n_bits, (double)z->n_bits * (double)z->gap_us / 3.6e9, DEADLINE_H);
        }
        if ((t.work_us + t.overhead_us - 1) / t.gap_us + 1 > t.deadline_us / t.gap_us) {
            return weir_fail(err, -WEIR_EINVAL, "%s: a tick of %.4g s is too coarse for a deadline of %d h", traces,
                             (double)t.gap_us / 1e6, DEADLINE_H);
        }
    }
    return 0;
}

/* All windows of one set under one policy. */
static int run_set(const struct inputs *in, size_t set, struct weir_sim_spot_runner *runner, struct weir_sim_spot_sum *sum,
                   const struct weir_sim_options *o, struct weir_sim_meter *meter, struct weir_sim_result *result, struct weir_err *err)
{
    struct weir_sim_schedule *schedule = NULL;
    char name[2 * WEIR_SIM_TEXT_SIZE];
    snprintf(name, sizeof name, "multizone-%s-%s", runner->policy->name, in->set[set].name);
    int r = weir_sim_schedule_open(&schedule, o->schedule, name, err);
    if (r < 0) {
        return r;
    }
    weir_sim_hash_text(result, name);
    for (size_t i = 0; i < in->n; i++) {
        const struct scenario *s = &in->p[i];
        if (s->set != set) {
            continue;
        }
        struct weir_sim_spot_task task = task_of(s);
        struct weir_sim_spot_trace trace = {.n_zones = s->n_zones, .n_ticks = s->zone[0]->n_bits};
        const char *names[WEIR_SIM_SPOT_ZONES_MAX];
        for (size_t z = 0; z < s->n_zones; z++) {
            trace.up[z] = s->zone[z]->bits;
            names[z] = s->zone[z]->name;
        }
        struct weir_sim_spot_scenario scenario = {(uint64_t)s->window, 0, names};
        weir_sim_spot_runner_play(runner, &task, &trace, &scenario, sum, result, schedule);
        weir_sim_meter_add(meter, 1);
    }
    return weir_sim_schedule_close(schedule, err);
}

/* Not of all scenarios: the published sets are of different size, and count the same. */
static double mean_of_means(const struct weir_sim_spot_sum *sum, size_t n)
{
    double means = 0;
    for (size_t k = 0; k < n; k++) {
        means += weir_sim_spot_mean_usd(&sum[k]);
    }
    return means / (double)n;
}

static void add_rows(struct weir_sim_result *result, const struct inputs *in, const char *policy, const struct weir_sim_spot_sum *sum,
                     const struct weir_sim_spot_sum *bound)
{
    struct weir_sim_spot_sum total = {0};
    for (size_t k = 0; k < in->n_sets; k++) {
        weir_sim_spot_sum_add(&total, &sum[k]);
    }
    struct weir_sim_row *overall = weir_sim_row(result, policy);
    weir_sim_spot_metrics(overall, &total, mean_of_means(sum, in->n_sets), mean_of_means(bound, in->n_sets));
    for (size_t i = 0; in->published && i < WEIR_ARRAY_LEN(references); i++) {
        if (weir_streq(references[i].policy, policy)) {
            weir_sim_metric(overall, "reference_mean_cost_usd", references[i].usd);
        }
    }
    for (size_t k = 0; k < in->n_sets; k++) {
        struct weir_sim_row *row = weir_sim_row(result, policy);
        weir_sim_case_text(row, "zones", in->set[k].name);
        weir_sim_spot_metrics(row, &sum[k], weir_sim_spot_mean_usd(&sum[k]), weir_sim_spot_mean_usd(&bound[k]));
    }
}

int weir_sim_suite_multizone(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    WEIR_CLEANUP(release_inputs) struct inputs in = {0};
    int r = read_inputs(&in, o, err);
    if (r < 0) {
        return r;
    }
    WEIR_CLEANUP(weir_freep) struct weir_sim_spot_sum *sum = weir_calloc(POLICIES * in.n_sets, sizeof *sum);
    struct weir_sim_meter meter = {.o = o, .unit = "scenarios"};
    for (size_t p = 0; p < POLICIES; p++) {
        meter.total += weir_sim_wants(o, policies[p].name) ? in.n : 0;
    }
    for (size_t p = 0; p < POLICIES && r == 0; p++) {
        if (!weir_sim_wants(o, policies[p].name)) {
            continue;
        }
        WEIR_CLEANUP(weir_sim_spot_runner_release) struct weir_sim_spot_runner runner = {.policy = &policies[p]};
        for (size_t k = 0; k < in.n_sets && r == 0; k++) {
            r = run_set(&in, k, &runner, &sum[p * in.n_sets + k], o, &meter, result, err);
        }
    }
    for (size_t p = 0; p < POLICIES && r == 0; p++) {
        if (weir_sim_wants(o, policies[p].name)) {
            add_rows(result, &in, policies[p].name, sum + p * in.n_sets, sum + OPTIMUM * in.n_sets);
        }
    }
    return r;
}
