/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Run-time forecast from what earlier tasks of the same kind took. Kind: project, user and job name with
 * its digits folded ("train-17" and "train-18" are one). Pure; integers at the border.
 *
 * What a person says counts too: with few observations the estimate given with the job is blended in. Where nothing is said, wider
 * kinds tell the more the less is known of the own one and the more its run times scatter: what took as many GPUs, and all
 * there is. With none of them either, a fraction of max_duration is assumed.
 */

#include "base/str.h"
#include "base/wtime.h"

enum {
    WEIR_RUNTIME_KEEP = 16,
    WEIR_RUNTIME_KINDS = 3, /* that a task is of: its own, that of its number of GPUs, and that of all tasks */
};

/* What is remembered of a kind; stored as it is. */
struct weir_runtime_history {
    uint32_t n;                               /* tasks seen in all */
    uint32_t filled;                          /* entries in us */
    int64_t us[WEIR_RUNTIME_KEEP];            /* the last run times, ring by n */
};

/* A stable key of the own kind; no project has the number 0. */
uint64_t weir_runtime_key(uint32_t project, uint32_t user, struct weir_sv job_name);
/* The keys of the wider kinds into ret[1..], the narrowest first; ret[0] is left as it is. */
void weir_runtime_wider_keys(uint32_t gpus, uint64_t ret[WEIR_RUNTIME_KINDS]);
void weir_runtime_observe(struct weir_runtime_history *h, struct weir_dur took);

struct weir_runtime_forecast {
    struct weir_dur expected; /* between median and mean; where an estimate was given, near the median */
    struct weir_dur upper;    /* about nine in ten are shorter */
    uint32_t based_on;        /* observations of the own kind */
};
/* h: by kind, the own one first; each may be NULL. estimate 0: none given; max_duration > 0 bounds both. The result is rounded to
 * two significant digits so that near-equal forecasts share a shape. */
struct weir_runtime_forecast weir_runtime_forecast(const struct weir_runtime_history *const h[WEIR_RUNTIME_KINDS],
                                                   struct weir_dur estimate,
                                                   struct weir_dur max_duration);
