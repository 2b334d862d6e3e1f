/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Deep-learning jobs on one cluster under preemptive orders, as Muri (SIGCOMM'22) compares them. Every arrival and every
 * end is an event; at each the waiting and the running jobs are put in the policy's order and placed all-or-nothing,
 * first fit, until the GPUs are used up.
 *
 * Two modes. Published: as the simulator that gave the published table does it. All placements are emptied at every
 * event; a running job loses its start's overhead in every span between two events, but none is foreseen for
 * its end, so that a job which no event disturbs pays nothing; Tiresias-L counts free GPUs and knows no nodes. Exact: a job pays
 * the overhead once for each start and each move, and stays where it is while that lets all chosen jobs fit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "result.h"
#include "schedule.h"
#include "sim.h"

enum weir_muri_policy {
    WEIR_MURI_FIFO,       /* by submission; nobody overtakes */
    WEIR_MURI_SRTF,       /* least remaining time */
    WEIR_MURI_SRSF,       /* least remaining time x GPUs */
    WEIR_MURI_TIRESIAS_L, /* three queues by attained GPU time, by submission within each */
    WEIR_MURI_WEIR, /* core/order.h, with the true remaining time */
    WEIR_MURI_WEIR_NO_ESTIMATES, /* core/order.h, by attained GPU time only */
    _WEIR_MURI_POLICY_MAX
};

struct weir_muri_job {
    int64_t id;
    uint32_t gpus;
    double submit_s;
    double iterations;
    double iteration_s;
    double overhead_s; /* of a start */
};

struct weir_muri_cluster {
    uint32_t nodes;
    uint32_t gpus_per_node;
};

struct weir_muri_outcome {
    double avg_jct_s;
    double makespan_s;
    double p99_jct_s;
    uint64_t starts; /* of jobs, moves included in the exact mode */
};

/* Seconds that a start of the model takes on so many GPUs. */
double weir_muri_overhead_s(const char *model, uint32_t gpus);

/*
 * What no order can go below for the mean time from submission to end, even without any overhead: the greater of two bounds by a
 * cluster that is one machine, whose GPUs all work on one job at a time. The jobs are sorted by submission.
 */
double weir_muri_bound_s(const struct weir_muri_job *job, size_t n, struct weir_muri_cluster cluster);

struct weir_muri_run {
    const struct weir_muri_job *job; /* sorted by submission; each fits the empty cluster */
    size_t n;
    struct weir_muri_cluster cluster;
    enum weir_muri_policy policy;
    bool published;                     /* with the published simulator's quirks */
    struct weir_sim_schedule *schedule; /* may be NULL */
    struct weir_sim_meter *meter;       /* counts jobs as they end; may be NULL */
};

/* Runs the jobs. Takes every end into the result's hash. */
void weir_muri_run(const struct weir_muri_run *run, struct weir_sim_result *result, struct weir_muri_outcome *ret);
