/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The report's pieces, for its own files only. */

#include "report.h"

extern const char *const weir_sim_report_style[]; /* lines; ends with NULL */

enum {
    WEIR_SIM_REPORT_POLICIES_MAX = 24,
    WEIR_SIM_REPORT_CASES_MAX = 24, /* that get charts of their own */
};

/* The rows by case and by policy: numbers in the order in which rows name them first. */
struct weir_sim_report_view {
    const struct weir_sim_result *result;
    size_t *case_of;    /* of each row */
    size_t *first;      /* each case's first row */
    bool *compared;     /* has the case several policies? */
    size_t n_cases;
    const char *policy[WEIR_SIM_REPORT_POLICIES_MAX];
    unsigned style[WEIR_SIM_REPORT_POLICIES_MAX]; /* of charts, one a policy */
    size_t n_policies;
};

/* The policy's number; n_policies where it has none, as those have that do without one of weir's rules. */
size_t weir_sim_report_policy(const struct weir_sim_report_view *v, const char *policy);
/* The row's policy with its setting: "weir, value of waiting 20". */
void weir_sim_report_name(const struct weir_sim_report_view *v, const struct weir_sim_row *row, char *ret, size_t size);

/* Sections; each writes nothing where the rows have nothing for it. */
void weir_sim_report_fronts(const struct weir_sim_report_view *v, struct weir_str *out);
void weir_sim_report_bars(const struct weir_sim_report_view *v, struct weir_str *out);
void weir_sim_report_overview(const struct weir_sim_report_view *v, struct weir_str *out);
void weir_sim_report_over_time(const struct weir_sim_report_view *v, struct weir_str *out);
void weir_sim_report_breakdowns(const struct weir_sim_report_view *v, struct weir_str *out);
void weir_sim_report_ways(const struct weir_sim_report_view *v, struct weir_str *out);
void weir_sim_report_budgets(const struct weir_sim_report_view *v, struct weir_str *out);
void weir_sim_report_rules(const struct weir_sim_report_view *v, struct weir_str *out);
void weir_sim_report_assumptions(const struct weir_sim_result *r, struct weir_str *out);
/* A paragraph each: what should be known of the run; which policies left work undone; which row stands for a policy of several. */
void weir_sim_report_notes(const struct weir_sim_result *r, struct weir_str *out);
void weir_sim_report_unranked(const struct weir_sim_report_view *v, struct weir_str *out);
void weir_sim_report_meant(const struct weir_sim_report_view *v, struct weir_str *out);
void weir_sim_report_tables(const struct weir_sim_report_view *v, struct weir_str *out);
