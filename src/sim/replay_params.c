/* SPDX-License-Identifier: Apache-2.0 */

#include "replay_params.h"

#include "params.h"

const struct weir_sim_param weir_replay_params[WEIR_REPLAY_PARAMS] = {
    [WEIR_REPLAY_DELAY_VALUE] = {"delay_value", "what an hour's waiting of a task is worth", 0, 1e6, 0.1},
    [WEIR_REPLAY_RESERVATIONS] = {"reservations", "waiting tasks that hold a reserved start", 0, 100000, 64},
    [WEIR_REPLAY_YIELD] = {"yield_per_mille", "a task counts as so much of its run time younger, in thousandths", 0, 10000, 250},
    [WEIR_REPLAY_REVIEW_S] = {"review_s", "seconds after which all that waits is weighed anew", 1, 86400, 600},
    [WEIR_REPLAY_LEASES_MAX] = {"leases_max", "rented machines at once", 0, 1e6, 1e6},
    [WEIR_REPLAY_WAIT_HOURS] = {"wait_hours", "how long constant-wait waits", 0, 8760, 1},
    [WEIR_REPLAY_WAIT_PER_GPU_HOUR] = {"wait_per_gpu_hour", "hours that starburst waits for each GPU-hour of a task", 0, 1000, 0.076},
    [WEIR_REPLAY_ESTIMATE_ERROR] = {"estimate_error", "factor by which estimates of run time are off, as one standard deviation; 1: exact", 1, 100, 1},
    [WEIR_REPLAY_DEADLINE_FACTOR] = {"deadline_factor", "deadline of each task, in run times from its submission; 0: none", 0, 1e6, 0},
    [WEIR_REPLAY_CHECKPOINT_S] = {"checkpoint_s", "seconds between checkpoints; 0: tasks make none", 0, 1e7, 0},
    [WEIR_REPLAY_CHECKPOINT_GRACE_S] = {"checkpoint_grace_s", "seconds that a checkpoint takes when a machine is called back", 0, 3600, 60},
    [WEIR_REPLAY_CORES_PER_GPU] = {"cores_per_gpu", "cores of a node for each of its GPUs, for tasks without GPUs", 1, 1000, 16},
    [WEIR_REPLAY_MATCH_GPU] = {"match_gpu", "1: a task runs only on the GPU models that it names; 0: on any", 0, 1, 0},
    [WEIR_REPLAY_RESTART_S] = {"restart_s", "seconds that a task which goes on from a checkpoint needs first", 0, 86400, 0},
    [WEIR_REPLAY_INPUT_GIB] = {"input_gib", "data of a task of which the work says none, moved to a rented machine before it starts", 0, 1e6, 0},
    [WEIR_REPLAY_LINK_MIB_PER_S] = {"link_mib_per_s", "speed at which data is moved", 1, 1e6, 100},
    [WEIR_REPLAY_EGRESS_PER_GIB] = {"egress_per_gib", "price of moving data to the cloud: weighed in decisions, and told beside the ledger", 0, 1000, 0},
    [WEIR_REPLAY_TASK_FAILURES_PER_HOUR] = {"task_failures_per_hour", "failures of a running task of its own making", 0, 100, 0},
    [WEIR_REPLAY_RETRIES] = {"retries", "attempts after such failures", 0, 100, 3},
    [WEIR_REPLAY_NODE_FAILURES_PER_YEAR] = {"node_failures_per_year", "failures of an owned node", 0, 10000, 0},
    [WEIR_REPLAY_NODE_REPAIR_HOURS] = {"node_repair_hours", "mean time to its repair", 0, 10000, 4},
    [WEIR_REPLAY_BOOT_S] = {"boot_s", "median time from launch to a machine's readiness", 0, 3600, 120},
    [WEIR_REPLAY_BOOT_FACTOR] = {"boot_factor", "machines really take so many times as long to get ready", 0, 100, 1},
    [WEIR_REPLAY_BOOT_SPREAD] = {"boot_spread", "factor of one standard deviation of boot times; 1: all alike", 1, 10, 1},
    [WEIR_REPLAY_BOOT_FAILURE] = {"boot_failure", "share of launches whose machine never gets ready", 0, 0.9, 0},
    [WEIR_REPLAY_CLOUD_GPUS] = {"cloud_gpus", "GPUs that a provider has at most; 0: no limit", 0, 1e9, 0},
    [WEIR_REPLAY_STOCKOUTS_PER_DAY] = {"stockouts_per_day", "how often an offer runs out of stock", 0, 1000, 0},
    [WEIR_REPLAY_STOCKOUT_HOURS] = {"stockout_hours", "mean time until it is there again", 0.001, 10000, 1},
    [WEIR_REPLAY_PRICE_FACTOR] = {"price_factor", "all prices of the cloud times this", 0.001, 1000, 1},
    [WEIR_REPLAY_SPOT_PRICE] = {"spot_price", "price of spot as a share of on-demand, with --cloud-price; 0: no spot", 0, 1, 0},
    [WEIR_REPLAY_SPOT_RECLAIMS_PER_HOUR] = {"spot_reclaims_per_hour", "how often a spot machine is taken back", 0, 60, 0.05},
    [WEIR_REPLAY_SPOT_RECLAIMS_FACTOR] = {"spot_reclaims_factor", "spot machines are really taken back so many times as often", 0.001, 1000, 1},
    [WEIR_REPLAY_SPOT_NOTICE_S] = {"spot_notice_s", "notice before it is; 0: none", 0, 3600, 120},
    [WEIR_REPLAY_MARKET_ALIGN] = {"market_align", "1: --prices and --traces begin with the work; 0: at their own times", 0, 1, 0},
    [WEIR_REPLAY_MARKET_SHIFT_HOURS] = {"market_shift_hours", "the market is that of so many hours later in --prices and --traces", -1e6, 1e6, 0},
    [WEIR_REPLAY_MARKET_REPEAT] = {"market_repeat", "1: outside of their record --prices and --traces repeat by whole weeks; 0: first and last hold", 0, 1, 1},
    [WEIR_REPLAY_MARKET_LOOK_S] = {"market_look_s", "seconds between looks at the prices of the clouds", 1, 1e6, 600},
    [WEIR_REPLAY_RESERVED_COUNT] = {"reserved_count", "machines of each line of --reserved; -1: as many as it says", -1, 1e6, -1},
    [WEIR_REPLAY_GPU_PURCHASE] = {"gpu_purchase", "price of an owned node for each of its GPUs", 0, 1e6, 15000},
    [WEIR_REPLAY_LIFE_YEARS] = {"life_years", "years over which that is written off", 0.1, 50, 5},
    [WEIR_REPLAY_UPKEEP_PER_GPU_YEAR] = {"upkeep_per_gpu_year", "housing, service and staff for each owned GPU", 0, 1e6, 1500},
    [WEIR_REPLAY_TARIFF] = {"tariff", "price of a kWh", 0, 100, 0.15},
    [WEIR_REPLAY_CARBON_PRICE] = {"carbon_price", "what a kilogram of CO2 is worth to weir-shift", 0, 1000, 0.1},
    [WEIR_REPLAY_LIMIT_HOURS] = {"limit_hours", "limit of a task's run of which the work says none; 0: 24 with budgets, else 1440", 0, 100000, 0},
    [WEIR_REPLAY_BUDGET_FACTOR] = {"budget_factor", "all amounts of budgets times this", 0, 1e6, 1},
    [WEIR_REPLAY_PUE] = {"pue", "power drawn in all for each watt of the nodes", 1, 10, 1.4},
};

int weir_replay_params_read(const char *text, double v[static WEIR_REPLAY_PARAMS], struct weir_err *err)
{
    for (size_t i = 0; i < WEIR_REPLAY_PARAMS; i++) {
        v[i] = weir_replay_params[i].otherwise;
    }
    return weir_sim_params_read(weir_replay_params, WEIR_REPLAY_PARAMS, text, v, err);
}
