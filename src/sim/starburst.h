/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The suite starburst: jobs that run on an owned cluster or, at once and without limit, in the cloud. Shared by the
 * suite's files only.
 *
 * Published policies count in hours since the first submission, in doubles, and ties at one instant hang on the rounding;
 * so times of an outcome are such hours. The policies of weir work in whole microseconds and are turned into hours at
 * the end.
 */

#include "replay_params.h"
#include "schedule.h"
#include "sim.h"

enum { WEIR_STARBURST_PIECES_MAX = 64 }; /* nodes that one job may span */

struct weir_starburst_job {
    int64_t submit_us; /* Unix time */
    int64_t duration_us;
    uint32_t gpus;
    uint32_t group; /* who sent it, as a number; 0 where the file does not say */
};

struct weir_starburst_jobs {
    struct weir_starburst_job *job; /* by submission; those of one moment as in the file */
    size_t n;
};

struct weir_starburst_site {
    uint32_t nodes;
    uint32_t gpus_per_node;
};

/* What became of a job. */
struct weir_starburst_outcome {
    double start_h;
    double trial_h; /* start of a trial in the cloud before; negative: none */
    bool cloud;
};

/* One policy's run on one site. */
struct weir_starburst_run {
    const struct weir_starburst_jobs *jobs;
    struct weir_starburst_site site;
    struct weir_starburst_outcome *outcome; /* one a job, to be filled */
    struct weir_sim_schedule *schedule; /* may be NULL */
    struct weir_sim_meter *meter; /* counts jobs as they are submitted; may be NULL */
};

/* What a person, a sweep or a tuner can turn; all of it is read by weir's policies only. */
enum weir_starburst_param {
    WEIR_STARBURST_DELAY_VALUE,
    WEIR_STARBURST_ESTIMATES,
    WEIR_STARBURST_RESERVATIONS,
    WEIR_STARBURST_YIELD,
    WEIR_STARBURST_AGE,
    WEIR_STARBURST_REVIEW_S,
    WEIR_STARBURST_PARAMS,
};

extern const struct weir_sim_param weir_starburst_params[WEIR_STARBURST_PARAMS];

/* Hours since the first submission; of whole seconds to the bit as the published simulator computes them. */
static inline double weir_starburst_submit_h(const struct weir_starburst_jobs *jobs, size_t i)
{
    return (double)(jobs->job[i].submit_us - jobs->job[0].submit_us) / 3.6e9;
}

static inline double weir_starburst_duration_h(const struct weir_starburst_jobs *jobs, size_t i)
{
    return (double)jobs->job[i].duration_us / 3.6e9;
}

/* Notes a span in the schedule: node < 0 is the cloud. */
void weir_starburst_note(const struct weir_starburst_run *run, size_t job, double start_h, double hours, int64_t node, uint32_t gpus);

/* What the trial of Starburst without time estimates takes, in hours. */
#define WEIR_STARBURST_TRIAL_H 0.25

/* True where there is such a published policy. */
bool weir_starburst_is_baseline(const char *policy);
void weir_starburst_baseline(const char *policy, const struct weir_starburst_run *run);

/*
 * The same jobs under the decision core, by the parameters v. With estimates the core is told each job's true duration, else
 * nothing of it.
 */
void weir_starburst_weir(const struct weir_starburst_run *run, const double v[static WEIR_STARBURST_PARAMS]);
