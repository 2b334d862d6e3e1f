/* SPDX-License-Identifier: Apache-2.0 */

#include "params.h"
#include "starburst.h"

const struct weir_sim_param weir_starburst_params[WEIR_STARBURST_PARAMS] = {
    [WEIR_STARBURST_DELAY_VALUE] = {"delay_value", "what an hour's waiting of one job is worth, in GPU-hours in the cloud: for USD, times the price of one", 0, 1e6, 20},
    [WEIR_STARBURST_ESTIMATES] = {"estimates", "whether weir is told each job's run time: on or off", 0, 1, 1},
    [WEIR_STARBURST_RESERVATIONS] = {"reservations", "waiting jobs that hold a reserved start", 0, 100000, 1000},
    [WEIR_STARBURST_YIELD] = {"yield_per_mille", "a job counts as so much of its run time younger, in thousandths", 0, 10000, 250},
    [WEIR_STARBURST_AGE] = {"age_points_per_hour", "priority gained in an hour of waiting, in thousandths of a point", 0, 1e8, 3600000},
    [WEIR_STARBURST_REVIEW_S] = {"review_s", "seconds after which all that waits is weighed anew", 1, 86400, 600},
};
