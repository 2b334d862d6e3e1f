/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The parameters of suite replay: what a person, a sweep or a tuner can turn. Plain numbers by name, each with its unit in the
 * name, its bounds and its default; weir_sim_options.set holds those that were set, as "NAME=VALUE,NAME=VALUE".
 */

#include "base/err.h"

enum weir_replay_param {
    WEIR_REPLAY_DELAY_VALUE,
    WEIR_REPLAY_RESERVATIONS,
    WEIR_REPLAY_YIELD,
    WEIR_REPLAY_REVIEW_S,
    WEIR_REPLAY_LEASES_MAX,
    WEIR_REPLAY_WAIT_HOURS,
    WEIR_REPLAY_WAIT_PER_GPU_HOUR,
    WEIR_REPLAY_ESTIMATE_ERROR,
    WEIR_REPLAY_DEADLINE_FACTOR,
    WEIR_REPLAY_CHECKPOINT_S,
    WEIR_REPLAY_CHECKPOINT_GRACE_S,
    WEIR_REPLAY_CORES_PER_GPU,
    WEIR_REPLAY_MATCH_GPU,
    WEIR_REPLAY_RESTART_S,
    WEIR_REPLAY_INPUT_GIB,
    WEIR_REPLAY_LINK_MIB_PER_S,
    WEIR_REPLAY_EGRESS_PER_GIB,
    WEIR_REPLAY_TASK_FAILURES_PER_HOUR,
    WEIR_REPLAY_RETRIES,
    WEIR_REPLAY_NODE_FAILURES_PER_YEAR,
    WEIR_REPLAY_NODE_REPAIR_HOURS,
    WEIR_REPLAY_BOOT_S,
    WEIR_REPLAY_BOOT_FACTOR,
    WEIR_REPLAY_BOOT_SPREAD,
    WEIR_REPLAY_BOOT_FAILURE,
    WEIR_REPLAY_CLOUD_GPUS,
    WEIR_REPLAY_STOCKOUTS_PER_DAY,
    WEIR_REPLAY_STOCKOUT_HOURS,
    WEIR_REPLAY_PRICE_FACTOR,
    WEIR_REPLAY_SPOT_PRICE,
    WEIR_REPLAY_SPOT_RECLAIMS_PER_HOUR,
    WEIR_REPLAY_SPOT_RECLAIMS_FACTOR,
    WEIR_REPLAY_SPOT_NOTICE_S,
    WEIR_REPLAY_MARKET_ALIGN,
    WEIR_REPLAY_MARKET_SHIFT_HOURS,
    WEIR_REPLAY_MARKET_REPEAT,
    WEIR_REPLAY_MARKET_LOOK_S,
    WEIR_REPLAY_RESERVED_COUNT,
    WEIR_REPLAY_GPU_PURCHASE,
    WEIR_REPLAY_LIFE_YEARS,
    WEIR_REPLAY_UPKEEP_PER_GPU_YEAR,
    WEIR_REPLAY_TARIFF,
    WEIR_REPLAY_PUE,
    WEIR_REPLAY_CARBON_PRICE,
    WEIR_REPLAY_LIMIT_HOURS,
    WEIR_REPLAY_BUDGET_FACTOR,
    WEIR_REPLAY_PARAMS,
};

struct weir_sim_param {
    const char *name;
    const char *help; /* one line, with the unit */
    double min;
    double max;
    double otherwise; /* the default */
};

extern const struct weir_sim_param weir_replay_params[WEIR_REPLAY_PARAMS];

/* Fills v with the defaults and what text sets; text may be NULL. Errors: -WEIR_ENOTFOUND, -WEIR_EINVAL, -WEIR_EOVERFLOW, naming
 * the parameter. */
int weir_replay_params_read(const char *text, double v[static WEIR_REPLAY_PARAMS], struct weir_err *err);
