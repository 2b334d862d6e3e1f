/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Hourly demand of a trace of jobs as if each had started at once: the GPUs held at each minute, averaged over the hour's sixty
 * and rounded to whole ones (halves to even). A job holds its GPUs from the minute in which it was submitted until the end of the
 * minute in which it ends. Hours are the calendar's, from that of the first submission to that of the last.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "result.h"

struct weir_sim_demand {
    int64_t *gpus; /* by hour */
    size_t n;
    int64_t peak;
    int64_t first_hour; /* since 1970 */
    uint64_t jobs;
    uint64_t hash; /* over the jobs, to tell a published file by */
};

/* Reads a file of any form of work; result, which may be NULL, is told what was left out. Release whatever is returned. Errors: those of the reader; -WEIR_EINVAL
 * (no job), -WEIR_ELIMIT (years between submissions, or a demand beyond what can be reserved). */
int weir_sim_demand_read(struct weir_sim_demand *ret, const char *path, struct weir_sim_result *result, struct weir_err *err);
void weir_sim_demand_release(struct weir_sim_demand *d);
