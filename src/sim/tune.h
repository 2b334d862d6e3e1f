/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The tuner: turns the parameters of weir's policy until the suite's cost is least while what else is asked for holds, each
 * case being judged against its own figures with the defaults.
 *
 * The search is the same each time. Around the best point so far one parameter after the other is tried at five places across its range and
 * then, by golden section, between the neighbours of the best of these; each round looks at a quarter of the range
 * of the one before. A setting that breaks a condition is worse than any that keeps all; of two that do, the one that
 * breaks it less is better. Values have three digits.
 */

#include "params.h"

enum {
    WEIR_SIM_CONDITIONS_MAX = 4,
    WEIR_SIM_TUNE_RUNS = 60, /* where nobody says */
    WEIR_SIM_TUNE_RUNS_MAX = 1000,
};

/* "avg_completion_hours<=+2%": what must hold in every case. */
struct weir_sim_condition {
    char metric[WEIR_SIM_NAME_SIZE];
    bool at_least; /* else at most */
    bool relative; /* the limit is that much above the default's figure, else it is one itself */
    double v;      /* 0.02, or the limit */
};

/* What came out. */
struct weir_sim_tuned {
    const char *cost; /* the metric made least */
    char policy[WEIR_SIM_TEXT_SIZE];
    char conditions[128]; /* as given */
    size_t runs;
    bool kept; /* a setting was found that keeps all conditions; else the chosen one is the nearest */
    char missed[160]; /* what the nearest misses most: "avg_wait_hours 0.31 where at most 0.1 is asked for"; "" where all are kept */
    size_t n;
    struct weir_sim_tuned_param {
        const struct weir_sim_param *param;
        double otherwise;
        double chosen;
    } param[WEIR_SIM_AXES_MAX];
    double cost_ratio; /* the chosen setting's cost by the default's, mean over the cases */
};

/* One to WEIR_SIM_CONDITIONS_MAX conditions separated by commas. Errors: -WEIR_EINVAL, -WEIR_EOVERFLOW, -WEIR_ELIMIT. */
int weir_sim_conditions_parse(const char *text, struct weir_sim_condition *ret, size_t *n, struct weir_err *err);

/*
 * Tunes. Of the policies asked for, all but one must read nothing that is turned; "weir" is tuned where none is named. *result has the rows
 * of the others once and those of each setting tried, the first with the defaults; "kept" and "chosen" say of each what became of it.
 * What was found stands in result->tuned. *result is to be released whatever happens. Errors: those of weir_sim_run_suite; -WEIR_EINVAL where the suite has nothing to turn or a metric is unknown.
 */
int weir_sim_run_tune(const char *suite, const struct weir_sim_options *o, const char *conditions, size_t runs_max,
                      struct weir_sim_result *result, struct weir_err *err);

/* Where nothing that was tried keeps the conditions: -WEIR_EIMPOSSIBLE, naming the nearest setting; else 0. */
int weir_sim_tuned_verdict(const struct weir_sim_tuned *t, struct weir_err *err);
/* What was found, and the lines for weir.yaml. */
void weir_sim_tuned_text(const struct weir_sim_tuned *t, struct weir_str *out);
/* {"minimised": "..", "conditions": "..", "policy": "..", "runs": n, "kept": .., "missed": ".." (where not kept), "cost_ratio": .., "default": {..}, "chosen": {..}} */
void weir_sim_tuned_json(const struct weir_sim_tuned *t, struct weir_json *j);
