/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What suites and their metrics mean, as data: for people (labels, units) and for comparisons (which metric is the
 * cost, which the waiting, and whether less is better).
 */

#include "result.h"

enum weir_sim_better {
    WEIR_SIM_NEITHER, /* says how much there was, not how good it is */
    WEIR_SIM_LESS,
    WEIR_SIM_MORE,
};

struct weir_sim_measure {
    const char *metric;
    const char *label; /* "average wait" */
    const char *unit;  /* "h"; "" where it has none; for people by weir_sim_unit_of */
    enum weir_sim_better better;
    bool share; /* 0..1, shown to people in percent */
};

/* What is known of a metric, or of a field of a case; an unknown one has no label. Names of the form reference_X are as X. */
struct weir_sim_measure weir_sim_measure_of(const char *metric);
/* Its unit in the result; amounts are in the result's currency. Never NULL. */
const char *weir_sim_unit_of(const struct weir_sim_result *r, const char *metric);

/* What a suite is about. */
struct weir_sim_goal {
    const char *suite;
    const char *title;
    const char *owned_title; /* where nothing can be rented; NULL: of a suite in which something always can */
    const char *question; /* in plain words */
    const char *cost;     /* the metric that a policy is judged by first */
    const char *wait;     /* what it is weighed against; NULL: nothing */
    const char *rival;    /* the policy to be measured against; NULL: the best of the others */
    const char *blind;    /* the same for weir without estimates of run times; NULL: none */
    const char *plain;    /* the policy of taking no thought; NULL: none */
    bool ways;            /* its rows tell what is spent on owned nodes and what in the cloud: own, rent, or both? */
};

/* NULL for a suite of which nothing is said. */
const struct weir_sim_goal *weir_sim_goal_of(const char *suite);

/* What a policy does, in plain words; NULL where nothing is said. */
const char *weir_sim_policy_words(const char *suite, const char *policy);
/* A policy's name in a sentence: "Starburst", "FGD". */
const char *weir_sim_policy_name(const char *policy);
/* Policies that know the future, or more than the others: they bound, and are no rivals. */
bool weir_sim_policy_is_bound(const char *policy);
/* weir's own policies. */
bool weir_sim_policy_is_ours(const char *policy);

/* A number as people read it: thousands by commas, so many decimal places. */
void weir_sim_figure_text(char *ret, size_t size, double v, int places);

/* The names of cases' fields, or of metrics, in the order in which rows have them first; at most max, which are borrowed from the rows. */
size_t weir_sim_columns(const struct weir_sim_result *r, bool metric, const char **name, size_t max);
/* Decimal places that a column of real figures needs for people: five digits of the largest, none that are zero everywhere. */
int weir_sim_places(const struct weir_sim_result *r, const char *name);

/* The value of a metric as a real number; false where the row has none. */
bool weir_sim_row_real(const struct weir_sim_row *row, const char *metric, double *ret);
bool weir_sim_same_value(const struct weir_sim_field *a, const struct weir_sim_field *b);
/* Are the two rows of one case, parameters of policies left aside (weir_sim_is_choice)? */
bool weir_sim_same_case(const char *suite, const struct weir_sim_row *a, const struct weir_sim_row *b);
/* The same with parameters of policies, those that both rows' policies read. */
bool weir_sim_same_setting(const char *suite, const struct weir_sim_row *a, const struct weir_sim_row *b);
/* May it be ranked? Not where tasks found no place: what did less work was not cheaper. */
bool weir_sim_row_ranks(const struct weir_sim_row *row);
/* Does no other row of its case do as well in both of the suite's metrics, and better in one? Rows that know the future or do without one of weir's rules are
 * no rivals, nor are those that may not be ranked. False where the suite has not two metrics, or the row lacks one or may not be ranked. */
bool weir_sim_is_pareto(const struct weir_sim_result *r, const struct weir_sim_row *row);
