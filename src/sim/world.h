/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A world around the decision core: a virtual clock, owned nodes, a cloud, and tasks that take as long as they take. The
 * core is the one that the broker drives, unchanged: the world feeds it events, does what its effects say, and
 * reports back. Nothing here decides.
 *
 * The cloud starts machines at once and without limit, bills by the second at one price per GPU-hour, and has a machine for each
 * number of GPUs that a node may have. Nothing fails.
 */

#include "core/core.h"

struct weir_sim_world;

/* A task as it is, and what the core is told of it. */
struct weir_sim_task {
    uint32_t gpus;
    struct weir_dur duration;
    struct weir_dur expected;     /* 0: the core is told nothing */
    struct weir_dur max_duration; /* > 0 */
};

/* A piece of a run began: on an owned node (0, 1, ...), or (node < 0) in the cloud. task is the number that submit gave. */
typedef void weir_sim_started_fn(void *user, size_t task, struct weir_wall at, int64_t node, uint32_t gpus);
/* A task has ended. */
typedef void weir_sim_ended_fn(void *user, size_t task, struct weir_wall at);

struct weir_sim_world_conf {
    struct weir_core_conf core; /* gpus is set by the world */
    uint32_t nodes;
    uint32_t gpus_per_node;
    int64_t cloud_micro_per_gpu_hour;
    struct weir_wall begin; /* > 0 */
    weir_sim_started_fn *started;
    weir_sim_ended_fn *ended;
    void *user;
};

/* Never NULL. */
struct weir_sim_world *weir_sim_world_new(const struct weir_sim_world_conf *conf);
void weir_sim_world_free(struct weir_sim_world *w);
void weir_sim_world_freep(struct weir_sim_world **w);

/* How many GPUs of how many nodes a task of that many GPUs takes: each node the same. */
void weir_sim_world_gang(uint32_t gpus, uint32_t gpus_per_node, uint32_t *ret_nodes, uint32_t *ret_gpus_each);

/* Lets time pass up to then: ends and wake-ups due until that instant, this included, happen. */
void weir_sim_world_advance(struct weir_sim_world *w, struct weir_wall to);
/* Submits a task at the world's now; the return is its number, from 0. */
size_t weir_sim_world_submit(struct weir_sim_world *w, const struct weir_sim_task *task);
/* Lets time pass until nothing waits or runs any more. */
void weir_sim_world_finish(struct weir_sim_world *w);
