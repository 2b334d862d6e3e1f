/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A world around the decision core: a virtual clock, pools of owned nodes, providers of rented ones, and tasks that
 * take as long as they take. The core is the one that the broker drives, unchanged: the world feeds it events, does what
 * its effects say, and reports back; with a bill it feeds that too, as the broker does. Nothing here decides.
 *
 * Everything that goes wrong is drawn from one seed, each draw from what it is for (this boot, that attempt of a task), so that
 * two policies meet the same world wherever they do the same. A spot machine is reclaimed as often as its offer says, times a factor. At one instant come, in this order: ends of runs,
 * starts, machines that are ready, notices, reclaims, failures and repairs of nodes, looks at the prices of a cloud, postings for budgets, alarms, what
 * the core does by itself; each with all that follows from it at that instant.
 */

#include "bill/bill.h"
#include "core/core.h"
#include "steps.h"

struct weir_sim_world;

/* Owned nodes of one kind. */
struct weir_sim_pool {
    const char *name; /* borrowed for the life of the world */
    uint32_t nodes;
    uint16_t gpu_model;
    uint32_t gpus; /* of a node */
    uint32_t cpu_milli;
    uint64_t mem_mib; /* 0: not limited */
    struct weir_owned_cost cost; /* life 0: it costs nothing */
};

struct weir_sim_provider {
    const char *name;
    const struct weir_offer *offer; /* copied; their provider is this one. Reserved ones are paid for from the begin to finish */
    size_t n;
    uint32_t gpus_max; /* that it has at once; 0: no limit */
    /* What was recorded of each offer, NULL: of none; borrowed for the life of the world. A machine costs until its end what the record says
     * at its launch; where it says that there are none (0) what runs is taken back, and from the notice of that on launches are refused. */
    const struct weir_sim_steps *const *price;
    const struct weir_sim_steps *const *stock;
    const struct weir_dur *term; /* of each reserved offer: it is paid for by whole terms from the begin on; NULL or 0: until finish */
};

/* When the providers' records are from, and how often the core is told of prices. */
struct weir_sim_market_times {
    struct weir_sim_record price;
    struct weir_sim_record stock;
    struct weir_dur look; /* > 0 where there are prices */
};

/* What the world does to those in it. All zero: machines start at once, and nothing fails. */
struct weir_sim_faults {
    uint64_t seed;
    struct weir_dur boot_median;
    double boot_sigma;   /* of the logarithm of boot times */
    double reclaim_factor; /* spot machines are taken back so many times as often as their offers say; 0: as often */
    double boot_failure; /* share of launches whose machine never joins */
    double stockouts_per_hour;    /* of each offer */
    struct weir_dur stockout;     /* mean length */
    double task_failures_per_hour; /* of each running task */
    double node_failures_per_hour; /* of each owned node */
    struct weir_dur node_repair;   /* mean */
    uint64_t link_bytes_per_s;     /* at which a task's data comes to a rented machine; 0: at once */
    struct weir_dur restart;       /* that a task needs before it goes on from a checkpoint */
};

/* A task as it is, and what the core is told of it. */
struct weir_sim_task {
    uint64_t tag;           /* the caller's; callbacks name it */
    uint32_t gpus;          /* in all; the last node of a gang may have fewer in use than it was given */
    struct weir_dur duration; /* true, on the GPU that the request names first; on a V100 where any will do */
    const struct weir_request *request; /* as the core is told; copied */
    struct weir_project_id project;
    struct weir_user_id user;
    int32_t priority;
    uint64_t stage_bytes; /* that are moved to a rented machine; 0: as many as the request says */
    struct weir_wall deadline; /* 0: none */
    const char *tags; /* as canonical JSON, for budgets; copied; NULL: none */
};

/* A span in which a task held GPUs of one node. */
struct weir_sim_piece {
    uint64_t tag;
    uint32_t attempt;
    uint32_t rank;
    uint32_t pool;  /* number of the pool, or of pools + number of the provider */
    uint64_t node;  /* owned: number of the node, from 0, over all pools; rented: number of the lease */
    bool rented;
    uint32_t gpus;
    struct weir_wall from;
    struct weir_wall to;
    enum weir_outcome outcome;
    struct weir_wall kept_until; /* of a lost one: what came before was saved */
    double cost; /* rented: of these GPUs in that time, at the prices of the time; in units of money */
    const struct weir_offer *offer; /* rented: the machine's, for the call; else NULL */
};

/* A rented machine's life. */
struct weir_sim_rental {
    uint32_t provider;
    uint32_t gpus;
    struct weir_wall from;
    struct weir_wall ready; /* 0: never was */
    struct weir_wall to;
    bool reclaimed;
};

/* A span in which the draw of an owned node did not change. */
struct weir_sim_power {
    uint32_t pool;
    uint64_t node; /* as in a piece */
    struct weir_wall from;
    struct weir_wall to;
    int64_t milliwatts; /* by the model of the bill and with the pool's PUE, rounded down */
};

/* What the caller is told; each may be NULL. */
struct weir_sim_watch {
    /* A rank of a run has its place on an owned node (0, 1, ...), or (node < 0) on a rented one; the run begins at that time, when the
     * task's data is there. */
    void (*started)(void *user, uint64_t tag, struct weir_wall at, int64_t node, uint32_t gpus);
    /* A task is over: SUCCEEDED, FAILED or CANCELLED. */
    void (*ended)(void *user, uint64_t tag, struct weir_wall at, enum weir_task_state state);
    void (*piece)(void *user, const struct weir_sim_piece *piece);
    /* What weir_sim_world_alarm asked for; tasks may be submitted and cancelled here, and only here. */
    void (*alarm)(void *user, uint64_t tag);
    void (*rental)(void *user, const struct weir_sim_rental *rental);
    /* Postings of the bill, in order; pool is a number as in a piece, plus one. */
    void (*posted)(void *user, const struct weir_posting *posting, size_t n);
    /* Of each owned node, one span after the other from the begin to what is now at finish; one that waits for its repair idles. */
    void (*power)(void *user, const struct weir_sim_power *power);
    void *user;
};

struct weir_sim_world_conf {
    struct weir_core_conf core; /* with its table of GPUs */
    const struct weir_sim_pool *pool;
    size_t n_pools;
    const struct weir_sim_provider *provider;
    size_t n_providers;
    struct weir_sim_market_times market;
    struct weir_sim_faults faults;
    bool billed; /* keep a ledger */
    bool payers; /* its postings name who pays; so they do where there are budgets, which need a ledger */
    const struct weir_budget *budget; /* in force from the begin on; copied. Numbered from 1 in this order */
    const int64_t *budget_spent; /* of each, in its first span before the begin */
    size_t n_budgets;
    const struct weir_quota *quota; /* the same; copied */
    size_t n_quotas;
    struct weir_wall begin; /* > 0 */
    struct weir_sim_watch watch;
};

/* Never NULL. What the pools and providers point to may go afterwards, but for their names. */
struct weir_sim_world *weir_sim_world_new(const struct weir_sim_world_conf *conf);
void weir_sim_world_free(struct weir_sim_world *w);

/* How many GPUs of how many nodes a task of that many GPUs takes: each node the same. */
void weir_sim_world_gang(uint32_t gpus, uint32_t gpus_per_node, uint32_t *ret_nodes, uint32_t *ret_gpus_each);

/* Lets time pass up to then: what is due until that instant, this included, happens. */
void weir_sim_world_advance(struct weir_sim_world *w, struct weir_wall to);
/* Submits a task at the world's now; returns its job. */
struct weir_job_id weir_sim_world_submit(struct weir_sim_world *w, const struct weir_sim_task *task);
/* Could the request run on what there is, busy or not? */
bool weir_sim_world_possible(struct weir_sim_world *w, const struct weir_request *request);
/* Is it in the queue: neither running, nor placed, nor over? */
bool weir_sim_world_waits(const struct weir_sim_world *w, struct weir_job_id job);
/* The budget or the quota that has no room for a task, by number; both 0: it waits for none, or does not wait. */
struct weir_sim_limit {
    size_t budget;
    size_t quota;
};
struct weir_sim_limit weir_sim_world_waits_for(struct weir_sim_world *w, struct weir_job_id job);
/* How the budget of that number, from 1, stands. */
struct weir_budget_view weir_sim_world_budget(const struct weir_sim_world *w, size_t number);
/* How the quota of that number stands. */
struct weir_quota_view weir_sim_world_quota(const struct weir_sim_world *w, size_t number);
/* Who pays for a posting. False where nobody does. */
bool weir_sim_world_payer(const struct weir_sim_world *w, struct weir_payer_id id, struct weir_payer_view *ret);
/* The watch is told of the tag when it is that time, after all else of that instant but what the core does by itself. */
void weir_sim_world_alarm(struct weir_sim_world *w, struct weir_wall at, uint64_t tag);
/* Takes a task back: the watch is told of its end. */
void weir_sim_world_cancel(struct weir_sim_world *w, struct weir_job_id job);
/* Lets time pass until nothing waits or runs any more and nothing is rented; what waits for a month while nothing else happens, or for a
 * budget that will never have room for it, is cancelled. With a bill, both of its sides are closed and proven equal. */
void weir_sim_world_finish(struct weir_sim_world *w);

/* Does the node of a posting stand for a reserved machine while it is not leased? Its lease is of the same number. */
bool weir_sim_world_is_unused(struct weir_node_id node);
/* Tasks that have not ended. */
uint64_t weir_sim_world_live(const struct weir_sim_world *w);
struct weir_wall weir_sim_world_now(const struct weir_sim_world *w);
/* What the ledger says after finish; zero without a bill. */
struct weir_bill_check_result weir_sim_world_books(const struct weir_sim_world *w);
