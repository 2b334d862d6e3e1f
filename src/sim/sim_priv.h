/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The suites, each in a file of its own. */

#include "sim.h"

/* What several suites read where no option names a file. */
#define WEIR_SIM_PHILLY_JOBS "philly-jobs/philly_jobs_2017-09-04_2017-10-31.csv"

typedef int weir_sim_suite_fn(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err);

weir_sim_suite_fn weir_sim_suite_muri;
weir_sim_suite_fn weir_sim_suite_openb;
weir_sim_suite_fn weir_sim_suite_cant_be_late;
weir_sim_suite_fn weir_sim_suite_multizone;
weir_sim_suite_fn weir_sim_suite_prices;
weir_sim_suite_fn weir_sim_suite_commitments;
weir_sim_suite_fn weir_sim_suite_forecast;
weir_sim_suite_fn weir_sim_suite_starburst;
weir_sim_suite_fn weir_sim_suite_replay;
