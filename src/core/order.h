/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * In which order tasks should hold the GPUs where one may take them from another, so that the mean time from submission to
 * end is short. Where it is known what a task still needs, the least GPU time first. Where it is not, by what it has
 * had: most work is short and a little of it very long, so that a task which has run for long will run for longer still. Levels
 * that grow by eight each bound how often a task is set aside: once in its life for each.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/wtime.h"

enum { WEIR_ORDER_LEVELS = 16 };

/* What the task still takes, in GPU-microseconds; one that does not run has its start before it. Lower goes first. */
int64_t weir_order_remaining(struct weir_dur left, struct weir_dur start, bool running, uint32_t gpus);

/* At how many GPU-seconds a level ends, and the task goes to the next; the last one has no end: INT64_MAX. Lower levels go
 * first, and within one the running tasks, then the earlier ones. */
int64_t weir_order_level_end_s(unsigned level);
