/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A small world around the core for tests: it keeps a copy of every view that was reported as changed
 * (as a store would), checks that metering effects pair, and can build a second core from the copies.
 */

#include "core/core.h"

enum {
    WORLD_JOBS_MAX = 4096,
    WORLD_NODES_MAX = 2048,
    WORLD_RUNS_MAX = 4096,
    WORLD_OFFERS_MAX = 16,
    WORLD_BUDGETS_MAX = 256,
};

struct world_run { /* an agent's side of a rank */
    struct weir_run_id run;
    uint32_t rank;
    uint64_t node;
    uint32_t gpus;
    bool segment;
    bool pending; /* its segment was closed so, and has no verdict */
    bool told;
    bool started;
    bool stop_asked;
    uint8_t stop_reason;
    int64_t stop_us; /* when it was asked to */
};

struct world_job {
    struct weir_job_view view;
    struct weir_task_view *task; /* n_tasks; attempt 0 and WAITING: not stored */
    bool *stored;
    struct weir_node_id *gang_node; /* copies behind the views, n_tasks x gang size */
    uint32_t *gang_mask;
    uint8_t *gang_state;
    uint32_t gang;
};

struct world {
    struct weir_core_conf conf;
    struct weir_core *core;
    uint64_t seq;
    int64_t now_us;
    struct world_job job[WORLD_JOBS_MAX];
    uint64_t jobs; /* highest id */
    struct weir_node_view node[WORLD_NODES_MAX];
    bool node_known[WORLD_NODES_MAX];
    bool meter[WORLD_NODES_MAX];
    uint32_t busy[WORLD_NODES_MAX]; /* GPUs in open segments */
    struct weir_lease_view lease[WORLD_NODES_MAX];
    uint64_t leases;
    struct weir_hold_view *hold;
    size_t holds;
    struct weir_project_view project[8];
    struct weir_budget_view budget[WORLD_BUDGETS_MAX]; /* by id; id 0: none, or removed */
    struct weir_quota_view quota[WORLD_BUDGETS_MAX];   /* the same */
    struct world_run run[WORLD_RUNS_MAX];
    size_t n_runs;
    struct weir_offer offer[WORLD_OFFERS_MAX];
    size_t n_offers;
    struct weir_effects effects; /* of the last step */
};

void world_init(struct world *w, const struct weir_core_conf *conf);
void world_release(struct world *w);
/* Steps and takes over what changed; ev->seq and ev->now are filled in. Fails the test on any error. */
void world_step(struct world *w, struct weir_event *ev);
/* A core made from the copies. */
struct weir_core *world_restore(struct world *w);
