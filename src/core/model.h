/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The model that all parts share: what a task asks for, what a node is, what an offer says, and the
 * states that jobs, tasks, nodes, leases and holds go through. Plain data; the state of the running
 * system is the core's (core.h).
 */

#include "base/money.h"
#include "base/wtime.h"
#include "core/gpu.h"
#include "core/id.h"

enum {
    WEIR_NODE_GPUS_MAX = 32,     /* one bit each in a mask */
    WEIR_GANG_NODES_MAX = 256,   /* nodes of one gang task */
    WEIR_ALTERNATIVES_MAX = 8,   /* "any of these GPUs" */
    WEIR_PLACEMENT_NAMES_MAX = 8,
    WEIR_ARRAY_TASKS_MAX = 1000000,
    WEIR_REGION_SIZE = 32,
    WEIR_PROVIDER_SIZE = 24,
    WEIR_INSTANCE_TYPE_SIZE = 48,
};

/* ---- what a task asks for ---- */

enum weir_market_wish {
    WEIR_MARKET_AUTO,      /* spot where its expected cost is lower */
    WEIR_MARKET_ON_DEMAND, /* never spot */
    WEIR_MARKET_SPOT,      /* only spot when rented */
};

enum weir_local_wish {
    WEIR_LOCAL_PREFER, /* owned and rented compete by expected cost */
    WEIR_LOCAL_ONLY,   /* never rent */
    WEIR_LOCAL_NEVER,  /* only rented */
};

struct weir_gpu_wish {
    uint16_t model; /* of the table that the core was made with, or WEIR_GPU_MODEL_ANY */
    uint16_t count; /* per node, >= 1 */
};

/*
 * A request is the shape of a task: everything that placement depends on, nothing else. Equal
 * requests (byte for byte: zero the struct first) share one shape in the core.
 */
struct weir_request {
    uint32_t alternatives; /* 0: no GPU is wanted */
    struct weir_gpu_wish alternative[WEIR_ALTERNATIVES_MAX];
    bool alternatives_ordered; /* earlier ones are preferred whatever they cost */
    bool same_zone;            /* a gang's nodes stand in one zone: of a provider, or of one pool and region where they are owned */
    uint8_t market;            /* enum weir_market_wish */
    uint8_t local;             /* enum weir_local_wish */
    uint8_t clouds;            /* patterns in cloud[]; 0: any */
    uint8_t regions;           /* patterns in region[]; 0: any */
    uint32_t gpu_mem_mib_min;
    uint32_t cpu_milli;  /* per node; 1000 is one core */
    uint32_t retries;    /* after failures of the task's own making */
    uint64_t mem_mib;    /* per node; 0: not limited, not counted */
    uint32_t nodes;      /* gang size, >= 1 */
    uint32_t policy;     /* number of a list of rules: policy.h; 0: everything is allowed */
    struct weir_dur max_duration;  /* per attempt, > 0: a default is filled in before */
    struct weir_dur expected;      /* run time by estimate or forecast; 0: unknown */
    struct weir_dur checkpoint_every; /* 0: does not checkpoint, all work is lost on reclaim */
    struct weir_dur checkpoint_grace; /* from signal to kill */
    int64_t delay_cost_micro_per_hour; /* value of waiting; < 0: the project's default */
    int64_t max_cost_micro;            /* per task, all attempts; 0: no limit */
    uint64_t stage_bytes;              /* input that must be moved to a rented node */
    /* most of the struct, and mostly empty: last, so that what every decision reads stands together */
    char cloud[WEIR_PLACEMENT_NAMES_MAX][WEIR_PROVIDER_SIZE]; /* globs on the provider's name */
    char region[WEIR_PLACEMENT_NAMES_MAX][WEIR_REGION_SIZE];  /* globs on the region */
};

/* ---- states; the tables with the allowed moves are in sm.c ---- */

enum weir_task_state {
    WEIR_TASK_WAITING,
    WEIR_TASK_STARTING, /* placed; the agent was told, or its lease is booting */
    WEIR_TASK_RUNNING,
    WEIR_TASK_STOPPING, /* a stop was sent; the agent has not confirmed yet */
    WEIR_TASK_SUCCEEDED,
    WEIR_TASK_FAILED,
    WEIR_TASK_CANCELLED,
    WEIR_TASK_STATE_MAX,
};

/* Why a task's attempt (and at the end the task) is what it is. */
enum weir_reason {
    WEIR_REASON_NONE,
    WEIR_REASON_EXIT,       /* ended by itself; exit code says how */
    WEIR_REASON_SIGNAL,     /* killed by a signal that weir did not send */
    WEIR_REASON_OOM,        /* killed for memory */
    WEIR_REASON_TIMEOUT,    /* max_duration was over */
    WEIR_REASON_CANCEL,     /* a person asked */
    WEIR_REASON_PREEMPT,    /* gave way to a higher priority; will run again */
    WEIR_REASON_RECLAIM,    /* the provider took the machine; will run again */
    WEIR_REASON_NODE_LOST,  /* the node or its agent is gone; will run again */
    WEIR_REASON_START_FAILED, /* the agent could not start it (image, directory, user, ...) */
    WEIR_REASON_SETUP_FAILED, /* the job's setup command failed */
    WEIR_REASON_MAX_COST,   /* the task's own cost limit */
    WEIR_REASON_IMPOSSIBLE, /* nothing that exists or can be rented fits */
    WEIR_REASON_BUDGET,     /* a budget is used up; will run again once there is room */
    WEIR_REASON_QUOTA,      /* a quota is; as before */
    WEIR_REASON_MAX,
};

enum weir_job_state {
    WEIR_JOB_WAITING, /* no task runs: none has yet, or what ran was preempted, taken back or lost, or is to be tried again */
    WEIR_JOB_RUNNING, /* some task runs, or is about to right after another ended */
    WEIR_JOB_SUCCEEDED,
    WEIR_JOB_FAILED, /* all ended, at least one failed */
    WEIR_JOB_CANCELLED,
    WEIR_JOB_STATE_MAX,
};

enum weir_node_state {
    WEIR_NODE_UP,
    WEIR_NODE_DRAINING, /* finishes what runs, takes nothing new */
    WEIR_NODE_LOST,     /* no word from its agent for too long; may come back */
    WEIR_NODE_GONE,     /* never comes back */
    WEIR_NODE_STATE_MAX,
};

enum weir_lease_state {
    WEIR_LEASE_INTENT,    /* stored; nothing was sent yet, or it is not known whether it arrived */
    WEIR_LEASE_BOOTING,   /* the provider confirmed; costs money from here */
    WEIR_LEASE_READY,     /* its agent joined */
    WEIR_LEASE_RECLAIMED, /* the provider gave notice; it will end by itself */
    WEIR_LEASE_ENDING,    /* terminate was asked; the end is not yet proven */
    WEIR_LEASE_ENDED,     /* proven: the provider no longer has it */
    WEIR_LEASE_FAILED,    /* never came to be; costs nothing */
    WEIR_LEASE_STATE_MAX,
};

enum weir_hold_state {
    WEIR_HOLD_ACTIVE,
    WEIR_HOLD_RELEASED, /* the end of the run; charges took its place */
    WEIR_HOLD_STATE_MAX,
};

/* ---- offers ---- */

enum weir_market {
    WEIR_OFFER_ON_DEMAND,
    WEIR_OFFER_SPOT,
    WEIR_OFFER_RESERVED, /* paid for whether it is used or not: decided on as free, billed at its price */
    WEIR_OFFER_MARKET_MAX,
};

enum { WEIR_RESERVATION_SIZE = 320 }; /* how a provider calls what is reserved; Azure's are paths */

/* A way to get a node, with its price. Strings are terminated. */
struct weir_offer {
    uint64_t id; /* stable hash of provider, region, zone, instance type and market */
    char provider[WEIR_PROVIDER_SIZE];
    char region[WEIR_REGION_SIZE];
    char zone[WEIR_REGION_SIZE]; /* "" where the provider picks; of a lease, the zone that it was asked for in */
    char instance_type[WEIR_INSTANCE_TYPE_SIZE];
    uint8_t market; /* enum weir_market */
    uint16_t gpu_model; /* WEIR_GPU_MODEL_ANY with gpus == 0: no GPU */
    uint16_t gpus;
    uint32_t gpu_mem_mib; /* each */
    uint32_t cpu_milli;
    uint64_t mem_mib;
    int64_t price_micro_per_hour; /* of the whole instance, ledger currency */
    struct weir_wall as_of;       /* when the price was true, by its source */
    struct weir_wall expires;     /* not to be trusted after; WEIR_WALL_MAX for lists */
    char source[64];              /* where the price comes from */
    struct weir_dur bill_quantum;  /* billing granularity: 1 s, 60 s, 3600 s */
    struct weir_dur bill_minimum;  /* shortest span billed */
    struct weir_dur boot_expected; /* launch to agent joined */
    uint32_t reclaim_ppm_per_hour; /* chance of losing it, millionths per hour; spot only */
    struct weir_dur reclaim_notice;
    int64_t egress_micro_per_gib;
    uint32_t machines_max; /* reserved: how many there are; unused for others */
    struct weir_wall ends; /* reserved: its machines are taken back then; 0: they are not */
    uint64_t plan;         /* reserved: offers of one plan share its money; 0: of none */
    int64_t plan_micro_per_hour; /* that money: what the prices of its machines may add up to. Not stored with a lease */
    /* What it is priced in, where that is not the ledger's currency; "": it is. The price above is that one at the rate, rounded up. */
    char currency[4];
    int64_t original_micro_per_hour;
    int64_t rate_nano; /* what a unit of it is in the ledger's, in billionths; 0: none is in force, and there is no price */
    bool launchable; /* a configured driver can rent it; others are for information */
    struct weir_wall price_since; /* since when its provider says it asks that price; 0: it does not say. Not stored with a lease */
};

/* What is believed of an offer by what machines did that were rented before, and what of it was seen in the last eight weeks. */
struct weir_learned {
    uint64_t offer; /* its id */
    struct weir_dur boot;          /* launch to agent joined */
    uint32_t reclaim_ppm_per_hour;
    struct weir_dur lost;          /* on launches that fail, for each that comes up */
    int64_t launches;              /* of this very offer: that came up or failed */
    int64_t failures;
    int64_t reclaims;
    struct weir_dur lived;         /* while they could be taken back */
    int64_t launches_of_market;    /* the same of all that its provider has of the market: they count for it too, less */
};

/* ---- nodes ---- */

/* What a node costs while it exists; see bill/bill.h for the owned kind. Rates are for the whole
 * node. Decisions use marginal, bills use full. */
struct weir_node_rates {
    int64_t full_micro_per_hour;          /* amortised, everything included */
    int64_t marginal_idle_micro_per_hour; /* what it costs idle anyway: 0 for owned */
    int64_t marginal_busy_micro_per_hour; /* extra with all devices busy: energy */
};

/* A node as its agent described it. */
struct weir_node_spec {
    struct weir_node_id id;
    struct weir_pool_id pool;
    struct weir_lease_id lease; /* 0: owned */
    uint16_t gpu_model;         /* all devices of a node are of one model */
    uint16_t gpus;
    uint32_t gpu_mem_mib;
    uint32_t cpu_milli;
    uint64_t mem_mib;
    /* Devices that share a fast link (NVLink) have the same group number; 0: not known. */
    uint8_t link_group[WEIR_NODE_GPUS_MAX];
    uint32_t fabric; /* nodes with the same non-zero number share a fast network */
    char region[WEIR_REGION_SIZE];
    char provider[WEIR_PROVIDER_SIZE]; /* "" for owned */
    struct weir_node_rates rates;
};

/* Texts for people and machines: lower case words, never NULL. */
const char *weir_task_state_name(enum weir_task_state s);
const char *weir_job_state_name(enum weir_job_state s);
const char *weir_node_state_name(enum weir_node_state s);
const char *weir_lease_state_name(enum weir_lease_state s);
const char *weir_hold_state_name(enum weir_hold_state s);
const char *weir_reason_name(enum weir_reason r);
const char *weir_market_name(enum weir_market m);

static inline bool weir_task_state_is_final(enum weir_task_state s)
{
    return s == WEIR_TASK_SUCCEEDED || s == WEIR_TASK_FAILED || s == WEIR_TASK_CANCELLED;
}

static inline bool weir_job_state_is_final(enum weir_job_state s)
{
    return s == WEIR_JOB_SUCCEEDED || s == WEIR_JOB_FAILED || s == WEIR_JOB_CANCELLED;
}
