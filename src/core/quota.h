/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Quotas: how much may be used at once, or in a span of time, and by whom. A task counts against every quota whose scope it
 * falls in, from when it is placed until its room is given back, and starts only where each has room for it.
 */

#include "core/budget.h"

enum { WEIR_QUOTAS_MAX = 4096 };

/* Numbers, 0 is none; one may be given again once the quota was removed. */
struct weir_quota_id {
    uint32_t v;
};

/* What is counted; GPU time is in GPU-milliseconds. */
enum weir_quota_counts {
    WEIR_QUOTA_GPUS,        /* that tasks have at once */
    WEIR_QUOTA_GPU_HOURS,   /* how long they have them, in the span; what runs is counted as if it took its max_duration */
    WEIR_QUOTA_RUN_MINUTES, /* what of max_duration is left to what runs, times its GPUs */
    WEIR_QUOTA_MACHINES,    /* rented ones, by whom they were rented for */
    WEIR_QUOTA_TASKS,       /* that run at once */
    WEIR_QUOTA_COUNTS_MAX,
};

/* What a person sets. */
struct weir_quota {
    char name[WEIR_BUDGET_NAME_SIZE];
    uint8_t scope;  /* enum weir_budget_scope */
    uint8_t counts; /* enum weir_quota_counts */
    uint8_t span;   /* enum weir_budget_span; of GPU_HOURS, else FOREVER */
    uint16_t gpu_model; /* only GPUs of this model, and machines with such; WEIR_GPU_MODEL_ANY: all; of TASKS always */
    struct weir_project_id project;
    struct weir_user_id user;
    char tag[WEIR_BUDGET_TAG_SIZE];
    int64_t limit; /* of those that share: the share that is its own */
    bool shares;   /* GPUS: what is left of its share others may borrow, and it may borrow of theirs; see docs/design/0011-quotas.md */
    int64_t borrow_max; /* so much beyond limit, where it shares; INT64_MAX: all that there is */
    struct weir_wall from;  /* FIXED */
    struct weir_wall until; /* FIXED */
};

struct weir_quota_view {
    struct weir_quota_id id;
    struct weir_quota def;
    struct weir_wall span_from; /* as of budgets */
    struct weir_wall span_until;
    int64_t used_ms;       /* GPU_HOURS: by what has ended, in the span */
    int64_t n;             /* GPUs, machines or tasks that count now */
    int64_t held_ms;       /* GPU_HOURS: of what runs, at worst, in all; RUN_MINUTES: what is left of it */
    int64_t begun_ms;      /* GPU_HOURS: the part of held_ms that is used already */
    struct weir_wall as_of; /* of the last two: both change by n as time goes */
};

const char *weir_quota_counts_name(enum weir_quota_counts k);
/* Is it GPU time that is counted? */
bool weir_quota_is_timed(enum weir_quota_counts k);
