/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the suites cant-be-late and multizone have in common: running a policy over scenarios, and telling what came of it. */

#include "forecast/spot.h"
#include "sim.h"
#include "spot_world.h"

/* Published prices of the V100 machine that all scenarios are billed by. */
enum {
    WEIR_SIM_SPOT_RATE = 973100, /* micro-USD an hour */
    WEIR_SIM_ON_DEMAND_RATE = 3060000,
};

enum weir_sim_spot_player {
    WEIR_SIM_SPOT_BY_RULE,    /* a published one */
    WEIR_SIM_SPOT_BY_OPTIMUM, /* knows the trace */
    WEIR_SIM_SPOT_BY_WEIR,
};

struct weir_sim_spot_policy {
    const char *name;
    enum weir_sim_spot_player player;
    weir_sim_spot_decide_fn *decide; /* of a rule */
};

/* What the scenarios of one case cost under one policy. */
struct weir_sim_spot_sum {
    double cost_usd;
    int64_t misses;
    int64_t scenarios;
    int64_t unknown; /* scenarios for which the optimum is out of reach */
};

struct weir_sim_spot_optimum;

/* Runs one policy over scenarios of one shape at a time; what it sets up for a shape is kept for the next scenario. */
struct weir_sim_spot_runner {
    const struct weir_sim_spot_policy *policy;
    struct weir_sim_spot_task task; /* that the two below are for */
    size_t n_zones;
    bool ready;
    struct weir_sim_spot_optimum *optimum;
    struct weir_spot_rule *rule;
    struct weir_spot_market market;
    struct weir_sim_spot_run run; /* the last scenario's */
};

void weir_sim_spot_runner_release(struct weir_sim_spot_runner *r);

struct weir_sim_schedule;

/* A scenario as a schedule tells it. */
struct weir_sim_spot_scenario {
    uint64_t number;
    int64_t origin_us;       /* of the window's first tick, in the trace's time */
    const char *const *zone; /* names */
};

/* Runs one scenario, adds to the sum and the hash, and writes its spans. schedule may be NULL. */
void weir_sim_spot_runner_play(struct weir_sim_spot_runner *r, const struct weir_sim_spot_task *task,
                               const struct weir_sim_spot_trace *trace, const struct weir_sim_spot_scenario *scenario,
                               struct weir_sim_spot_sum *sum, struct weir_sim_result *result, struct weir_sim_schedule *schedule);

void weir_sim_spot_sum_add(struct weir_sim_spot_sum *to, const struct weir_sim_spot_sum *sum);
/* Adds the metrics of a row. bound_usd: the optimum's mean; NAN where it was not run. */
void weir_sim_spot_metrics(struct weir_sim_row *row, const struct weir_sim_spot_sum *sum, double mean_usd, double bound_usd);
/* NAN where nothing was run, or not all could be. */
double weir_sim_spot_mean_usd(const struct weir_sim_spot_sum *sum);
