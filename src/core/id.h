/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Identifiers. One-field structs, so that the compiler catches swapped arguments. 0 is "none". Ids
 * are given out in increasing order and never used again.
 */

#include <stdbool.h>
#include <stdint.h>

struct weir_job_id {
    uint64_t v;
};
struct weir_node_id {
    uint64_t v;
};
struct weir_lease_id {
    uint64_t v;
};
struct weir_hold_id {
    uint64_t v;
};
/* Numbers of names; the broker keeps the names (project, user, pool tables of the store). */
struct weir_project_id {
    uint32_t v;
};
struct weir_user_id {
    uint32_t v;
};
struct weir_pool_id {
    uint32_t v;
};

/* A task is the ordinal-th (0, 1, ...) of its job; the array index that a person wrote is the
 * spec's business (spec/spec.h: weir_array_index). */
struct weir_task_id {
    struct weir_job_id job;
    uint32_t ordinal;
};

/* One attempt to run a task. This triple is the idempotency token towards the agent: a run is
 * started at most once, ever. attempt counts from 1. */
struct weir_run_id {
    struct weir_task_id task;
    uint32_t attempt;
};

static inline bool weir_task_id_eq(struct weir_task_id a, struct weir_task_id b)
{
    return a.job.v == b.job.v && a.ordinal == b.ordinal;
}

static inline bool weir_run_id_eq(struct weir_run_id a, struct weir_run_id b)
{
    return weir_task_id_eq(a.task, b.task) && a.attempt == b.attempt;
}
