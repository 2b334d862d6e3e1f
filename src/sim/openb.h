/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Placement of tasks that share GPUs, as Weng et al. (ATC'23) compare it: tasks come one by one and stay, what does not fit
 * is passed over, and what counts is how many of the GPUs are in use in the end. The tasks of the list are shuffled by
 * the seed, and drawn again, or cut, at random until they ask for 130 % of the GPUs.
 */

#include "core/frag.h"
#include "result.h"
#include "schedule.h"

enum { WEIR_OPENB_DEMAND_PERCENT = 130 }; /* of the GPUs, that the arriving tasks ask for */

enum weir_openb_policy {
    WEIR_OPENB_RANDOM,
    WEIR_OPENB_DOT_PRODUCT,
    WEIR_OPENB_CLUSTERING,
    WEIR_OPENB_PACKING,
    WEIR_OPENB_BEST_FIT,
    WEIR_OPENB_FGD,
    WEIR_OPENB_WEIR,
    _WEIR_OPENB_POLICY_MAX
};

/* What is placed where. Tasks are numbers of distinct requests. */
struct weir_openb_input {
    const struct weir_frag_room *node; /* empty */
    size_t n_nodes;
    const struct weir_frag_ask *ask; /* distinct */
    const uint32_t *count;           /* of each in the list */
    const uint32_t *plain;           /* the first request that differs from this one in memory at most */
    size_t n_asks;
    const uint32_t *task; /* the list */
    size_t n_tasks;
};

struct weir_openb_outcome {
    double allocated_percent;     /* GPUs in use, of all */
    double fragmentation_percent; /* of the free ones, by the list's most frequent requests */
    uint64_t arrived;
    uint64_t placed;
};

/* The nodes must have GPUs and the list ask for some. Takes every placement into the hash. */
void weir_openb_run(const struct weir_openb_input *in, enum weir_openb_policy policy, uint64_t seed,
                    struct weir_sim_schedule *schedule, struct weir_sim_result *result, struct weir_openb_outcome *ret);
