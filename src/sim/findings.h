/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a result says, in sentences: only what its rows support, good news or bad. Comparisons at equal waiting or equal cost are read off
 * the front of weir's rows by linear interpolation, and only where the other policy lies within it.
 */

#include "result.h"

enum { WEIR_SIM_FINDINGS_MAX = 6 };

struct weir_sim_finding {
    char figure[96]; /* the figure in short: "−24.1 %" */
    char text[900];
    bool good; /* for weir */
};

/* The most telling first; the return is how many. */
size_t weir_sim_findings(const struct weir_sim_result *r, struct weir_sim_finding *ret);

/* How a row's case is called: "Nodes 64", "Deadline 52 h, start-up 0.02 h"; "" where it has none. */
void weir_sim_case_words(const struct weir_sim_result *r, const struct weir_sim_row *row, char *ret, size_t size);
/* The parameters in the row's case: "value of waiting 20"; "" where it has none. */
void weir_sim_setting_words(const struct weir_sim_result *r, const struct weir_sim_row *row, char *ret, size_t size);
/* Is the row one to be spoken of? Those with an empty case sum up the others where there are such; else all are. */
bool weir_sim_row_sums_up(const struct weir_sim_result *r, const struct weir_sim_row *row);
/* The wait for a start, where rows have it, even where the suite weighs completions: people feel the wait. */
const char *weir_sim_felt_wait(const struct weir_sim_result *r, const char *otherwise);
/* The label of a metric or a field, made from its name where nothing is known of it. */
void weir_sim_label(const char *name, char *ret, size_t size);

/*
 * The row that stands for a policy in the case of a row: its only one, or the chosen one; of several the cheapest that lets people wait no longer than the
 * policy it is measured against does, and where none waits as little, the one that waits least. Where that policy was not run, the row nearest to both
 * the least cost and the least waiting. Only rows that rank; NULL where there is none.
 */
const struct weir_sim_row *weir_sim_row_meant(const struct weir_sim_result *r, const struct weir_sim_row *of, const char *policy);
/* What the budget under which most was not spent has done, as weir keeps it; false where no row had budgets. */
bool weir_sim_finding_of_budgets(const struct weir_sim_result *r, struct weir_sim_finding *ret);
/* The same row of the same policy without budgets in force; NULL where there is none. */
const struct weir_sim_row *weir_sim_row_without_budgets(const struct weir_sim_result *r, const struct weir_sim_row *row);
/* Of weir's rows that are meant, over all cases but those under budgets, the cheapest; NULL where there is none. */
const struct weir_sim_row *weir_sim_row_headline(const struct weir_sim_result *r);
