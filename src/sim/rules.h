/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What weir's rules are worth, each by itself: a replay without it. Each is a policy of suite replay that is run only where it is named or
 * rules are asked about. Rules that the core has no switch for (that an idle rented machine is taken again, and for how long it is kept)
 * are not here: nothing is switched off by guessing.
 */

#include "sim.h"

struct weir_sim_rule {
    const char *policy;  /* weir without it */
    const char *against; /* the policy that has it, and is like it in all else */
    const char *name;    /* for people: "Waiting where that is cheaper" */
    const char *text;    /* what happens without it */
};

/* Ends with a row without a policy. */
extern const struct weir_sim_rule weir_sim_rules[];

bool weir_sim_policy_is_variant(const char *policy);

/*
 * Adds to a result of suite replay the rows without each rule: in every case, at the setting that is meant there (weir_sim_row_meant).
 * Errors: -WEIR_EINVAL where the suite has no such rules or no row of weir's; those of weir_sim_run_suite.
 */
int weir_sim_run_rules(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err);
