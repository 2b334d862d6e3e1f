/* SPDX-License-Identifier: Apache-2.0 */

/* The report's charts. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "findings.h"
#include "measure.h"
#include "report_priv.h"
#include "svg.h"

#define NBSP "\xc2\xa0"

enum { LINES_MAX = 8, PARTS_MAX = 8, STACKS_MAX = 12, OVERVIEW_POLICIES_MAX = 10, TEXT = 128 };

static void axis_label(const struct weir_sim_result *r, const char *metric, char *ret, size_t size)
{
    char label[80];
    const char *unit = weir_sim_unit_of(r, metric);
    weir_sim_label(metric, label, sizeof label);
    snprintf(ret, size, unit[0] == '\0' ? "%s" : "%s (%s)", label, unit);
}

/* What the chart of a case is called: the case, or otherwise where there is only one. */
static void caption(const struct weir_sim_report_view *v, size_t c, const char *otherwise, char *ret, size_t size)
{
    weir_sim_case_words(v->result, &v->result->row[v->first[c]], ret, size);
    if (ret[0] == '\0') {
        snprintf(ret, size, "%s", v->n_cases > 1 ? "All cases together" : otherwise);
    }
}

static void open_figure(struct weir_str *out, const char *class_, const char *text)
{
    weir_str_addf(out, "<figure%s%s%s>\n<figcaption>", class_[0] == '\0' ? "" : " class=\"", class_, class_[0] == '\0' ? "" : "\"");
    weir_html_text(out, text);
    weir_str_adds(out, "</figcaption>\n");
}

/* How a figure of a metric is shown: a share in percent, with as many places as its column needs. */
static void shown(const struct weir_sim_result *r, const char *metric, double v, char *ret, size_t size)
{
    bool share = weir_sim_measure_of(metric).share;
    int places = weir_sim_places(r, metric);
    weir_sim_figure_text(ret, size, share ? v * 100 : v, share && places > 2 ? places - 2 : places);
}

/* ---- cost against waiting ---- */

/* Rows that may be ranked, and wait no longer than limit. */
static size_t policy_points(const struct weir_sim_report_view *v, const struct weir_sim_goal *g, size_t c, size_t policy, double limit,
                            struct weir_svg_point *ret)
{
    const struct weir_sim_result *r = v->result;
    size_t n = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_row *row = &r->row[i];
        struct weir_svg_point *p = &ret[n];
        char x[40];
        char y[40];
        char name[TEXT];
        if (v->case_of[i] != c || !weir_streq(row->policy, v->policy[policy]) || !weir_sim_row_ranks(row) ||
            !weir_sim_row_real(row, g->wait, &p->x) || !weir_sim_row_real(row, g->cost, &p->y) || p->x > limit) {
            continue;
        }
        shown(r, g->wait, p->x, x, sizeof x);
        shown(r, g->cost, p->y, y, sizeof y);
        weir_sim_report_name(v, row, name, sizeof name);
        snprintf(p->hint, sizeof p->hint, "%s: %s %s, %s %s", name, y, weir_sim_unit_of(r, g->cost), x, weir_sim_unit_of(r, g->wait));
        n++;
    }
    return n;
}

static int by_wait(const void *va, const void *vb)
{
    const struct weir_svg_point *a = va;
    const struct weir_svg_point *b = vb;
    if (a->x < b->x || b->x < a->x) {
        return a->x < b->x ? -1 : 1;
    }
    return a->y < b->y ? -1 : a->y > b->y;
}

/* Keeps the points that no other of them dominates, in order of waiting; the return is how many. */
static size_t keep_front(struct weir_svg_point *p, size_t n)
{
    qsort(p, n, sizeof *p, by_wait);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || p[i].y < p[kept - 1].y) {
            p[kept++] = p[i];
        }
    }
    return kept;
}

static int by_value(const void *va, const void *vb)
{
    const double *a = va;
    const double *b = vb;
    return *a < *b ? -1 : *a > *b;
}

/* The wait beyond which a few rows stand so far out that all others would lie on one spot; infinite where none do. */
static double far_off(const struct weir_sim_report_view *v, const struct weir_sim_goal *g, size_t c)
{
    enum { TIMES = 4, NEAR_MIN = 3 };
    double *wait = weir_calloc(v->result->n_rows + 1, sizeof *wait);
    double limit = INFINITY;
    size_t n = 0;
    for (size_t i = 0; i < v->result->n_rows; i++) {
        const struct weir_sim_row *row = &v->result->row[i];
        bool shown = v->case_of[i] == c && weir_sim_row_ranks(row) && weir_sim_report_policy(v, row->policy) < v->n_policies;
        n += shown && weir_sim_row_real(row, g->wait, &wait[n]);
    }
    qsort(wait, n, sizeof *wait, by_value);
    if (n > NEAR_MIN) {
        double middle = wait[n / 2];
        size_t near = 0;
        while (near < n && wait[near] <= middle * TIMES) {
            near++;
        }
        limit = near >= NEAR_MIN && near < n && wait[n - 1] > 2 * wait[near - 1] ? wait[near - 1] : INFINITY;
    }
    free(wait);
    return limit;
}

/* limit: longer waits are left out. */
static void front_chart(const struct weir_sim_report_view *v, const struct weir_sim_goal *g, size_t c, double limit, bool wide,
                        struct weir_str *out)
{
    struct weir_svg_point *point = weir_calloc(2 * v->result->n_rows + 1, sizeof *point);
    struct weir_svg_series series[2 * WEIR_SIM_REPORT_POLICIES_MAX];
    size_t n = 0;
    size_t used = 0;
    for (size_t k = 0; k < v->n_policies; k++) {
        struct weir_svg_point *p = point + used;
        size_t points = policy_points(v, g, c, k, limit, p);
        if (points == 0) {
            continue;
        }
        used += points;
        if (points > 1) { /* the line of its best, under all of its points */
            struct weir_svg_point *front = point + used;
            memcpy(front, p, points * sizeof *p);
            size_t kept = keep_front(front, points);
            for (size_t i = 0; i < kept; i++) {
                front[i].label[0] = '\0';
            }
            snprintf(front[kept - 1].label, sizeof front[kept - 1].label, "%s", v->policy[k]);
            used += kept;
            series[n++] = (struct weir_svg_series){v->policy[k], v->style[k], true, front, kept};
        } else {
            snprintf(p->label, sizeof p->label, "%s", v->policy[k]);
        }
        series[n++] = (struct weir_svg_series){v->policy[k], v->style[k], false, p, points};
    }
    char x[TEXT];
    char y[TEXT];
    char text[TEXT];
    axis_label(v->result, g->wait, x, sizeof x);
    axis_label(v->result, g->cost, y, sizeof y);
    caption(v, c, "All policies", text, sizeof text);
    if (limit < INFINITY) {
        char most[40];
        size_t length = strlen(text);
        shown(v->result, g->wait, limit, most, sizeof most);
        snprintf(text + length, sizeof text - length, ", up to %s" NBSP "%s", most, weir_sim_unit_of(v->result, g->wait));
    }
    open_figure(out, "", text);
    weir_svg_points(out, "Cost against waiting", x, y, series, n, wide);
    weir_str_adds(out, "</figure>\n");
    free(point);
}

/* Rows of the case that have both metrics. */
static size_t weighed(const struct weir_sim_report_view *v, const struct weir_sim_goal *g, size_t c)
{
    size_t n = 0;
    double x = 0;
    for (size_t i = 0; i < v->result->n_rows; i++) {
        const struct weir_sim_row *row = &v->result->row[i];
        n += v->case_of[i] == c && weir_sim_row_ranks(row) && weir_sim_row_real(row, g->cost, &x) && weir_sim_row_real(row, g->wait, &x);
    }
    return n;
}

void weir_sim_report_fronts(const struct weir_sim_report_view *v, struct weir_str *out)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(v->result->suite);
    WEIR_CLEANUP(weir_str_release) struct weir_str charts = WEIR_STR_INIT(WEIR_SIM_REPORT_BYTES_MAX);
    bool wide = false;
    for (size_t c = 0; g != NULL && g->wait != NULL && c < v->n_cases && c < WEIR_SIM_REPORT_CASES_MAX; c++) {
        if (weighed(v, g, c) < 2) {
            continue;
        }
        double far = far_off(v, g, c);
        wide = v->n_cases == 1 && !(far < INFINITY);
        front_chart(v, g, c, INFINITY, wide, &charts);
        if (far < INFINITY) {
            front_chart(v, g, c, far, false, &charts);
        }
    }
    if (charts.n == 0) {
        return;
    }
    weir_str_adds(out, "<section>\n<h2>Cost against waiting</h2>\n<p>Each mark is one run of all the work under one policy. A policy with a "
                       "parameter has a mark for each of its values, and the line joins the best of these: whoever is left of and below "
                       "another policy’s mark costs less and waits less.</p>\n");
    weir_sim_report_unranked(v, out);
    weir_str_addf(out, "<div%s>\n", wide ? "" : " class=\"grid\"");
    weir_str_add(out, charts.p, charts.n);
    weir_str_adds(out, "</div>\n</section>\n");
}

/* ---- bars by policy ---- */

/* Where it is asked what to own, only one of many cases is drawn in full: that of the headline. */
static bool is_drawn(const struct weir_sim_report_view *v, size_t c)
{
    enum { FULL_MAX = 2 };
    const struct weir_sim_goal *g = weir_sim_goal_of(v->result->suite);
    const struct weir_sim_row *row = g != NULL && g->ways && v->n_cases > FULL_MAX ? weir_sim_row_headline(v->result) : NULL;
    return c < WEIR_SIM_REPORT_CASES_MAX && (row == NULL || v->case_of[row - v->result->row] == c);
}

/* The row that stands for a policy in a case: the one that is meant, or, where none ranks, any. */
static const struct weir_sim_row *row_for(const struct weir_sim_report_view *v, size_t c, const char *policy)
{
    const struct weir_sim_result *r = v->result;
    const struct weir_sim_row *any = NULL;
    for (size_t i = 0; i < r->n_rows && any == NULL; i++) {
        any = v->case_of[i] == c && weir_streq(r->row[i].policy, policy) ? &r->row[i] : NULL;
    }
    const struct weir_sim_row *meant = any == NULL ? NULL : weir_sim_row_meant(r, any, policy);
    return meant != NULL ? meant : any;
}

/* Where next to nothing is proved to be needed a policy is thousands of percent above that, which says nothing and hides the others. */
#define GAP_DRAWN_MAX 1000.0

static bool bar_chart(const struct weir_sim_report_view *v, size_t c, const char *metric, const char *text, struct weir_str *out)
{
    struct weir_svg_bar bar[WEIR_SIM_REPORT_POLICIES_MAX];
    char label[WEIR_SIM_REPORT_POLICIES_MAX][TEXT];
    char value[WEIR_SIM_REPORT_POLICIES_MAX][TEXT];
    char hint[WEIR_SIM_REPORT_POLICIES_MAX][TEXT * 2];
    const bool gap = weir_streq(metric, "gap_to_bound_percent");
    bool beyond = false;
    size_t n = 0;
    for (size_t k = 0; k < v->n_policies; k++) {
        const struct weir_sim_row *row = row_for(v, c, v->policy[k]);
        double x = 0;
        if (row == NULL || !weir_sim_row_real(row, metric, &x)) {
            continue;
        }
        if (gap && x > GAP_DRAWN_MAX) {
            beyond = true;
            continue;
        }
        char name[TEXT];
        weir_sim_report_name(v, row, name, sizeof name);
        shown(v->result, metric, x, value[n], sizeof value[n]);
        if (!weir_sim_row_ranks(row)) {
            size_t length = strlen(value[n]);
            snprintf(value[n] + length, sizeof value[n] - length, ", not all done");
        }
        snprintf(label[n], sizeof label[n], "%s", v->policy[k]);
        snprintf(hint[n], sizeof hint[n], "%s: %s", name, value[n]);
        bar[n] = (struct weir_svg_bar){label[n], x, value[n], hint[n], v->style[k]};
        n++;
    }
    if (n < 2) {
        return false;
    }
    char axis[TEXT];
    axis_label(v->result, metric, axis, sizeof axis);
    if (beyond) {
        size_t length = strlen(axis);
        snprintf(axis + length, sizeof axis - length, "; above 1,000" NBSP "%%, where the bound says little, not drawn");
    }
    open_figure(out, "", text);
    weir_svg_bars(out, text, axis, bar, n);
    weir_str_adds(out, "</figure>\n");
    return true;
}

/* What each policy costs less than that of taking no thought. */
static void saved_chart(const struct weir_sim_report_view *v, const struct weir_sim_goal *g, size_t c, struct weir_str *out)
{
    struct weir_svg_bar bar[WEIR_SIM_REPORT_POLICIES_MAX];
    char value[WEIR_SIM_REPORT_POLICIES_MAX][TEXT];
    const struct weir_sim_row *plain = g->plain == NULL ? NULL : row_for(v, c, g->plain);
    double from = 0;
    size_t n = 0;
    if (plain == NULL || !weir_sim_row_ranks(plain) || !weir_sim_row_real(plain, g->cost, &from)) {
        return;
    }
    for (size_t k = 0; k < v->n_policies; k++) {
        const struct weir_sim_row *row = row_for(v, c, v->policy[k]);
        double x = 0;
        /* Who owns nodes and uses none of them is no measure of anything. */
        bool idle = g->ways && weir_streq(v->policy[k], "cloud-only");
        if (row == NULL || row == plain || idle || !weir_sim_row_ranks(row) || !weir_sim_row_real(row, g->cost, &x)) {
            continue;
        }
        char percent[40];
        weir_sim_figure_text(value[n], sizeof value[n], from - x, fabs(from) >= 1000 ? 0 : 2);
        weir_sim_figure_text(percent, sizeof percent, from > 0 ? (from - x) / from * 100 : 0, 0);
        size_t length = strlen(value[n]);
        snprintf(value[n] + length, sizeof value[n] - length, " (%s" NBSP "%%)", percent);
        bar[n] = (struct weir_svg_bar){v->policy[k], from - x, value[n], value[n], v->style[k]};
        n++;
    }
    if (n == 0) {
        return;
    }
    char axis[TEXT * 2];
    snprintf(axis, sizeof axis, "Saved against %s (%s)", g->plain, weir_sim_unit_of(v->result, g->cost));
    char text[TEXT];
    caption(v, c, "By policy", text, sizeof text);
    open_figure(out, "", text);
    weir_svg_bars(out, axis, axis, bar, n);
    weir_str_adds(out, "</figure>\n");
}

/* Does a policy of a case have several rows? Then one of them stands for it in the bars. */
static bool has_points(const struct weir_sim_report_view *v)
{
    for (size_t i = 0; i < v->result->n_rows; i++) {
        for (size_t k = i + 1; k < v->result->n_rows; k++) {
            if (v->case_of[i] == v->case_of[k] && weir_streq(v->result->row[i].policy, v->result->row[k].policy)) {
                return true;
            }
        }
    }
    return false;
}

void weir_sim_report_bars(const struct weir_sim_report_view *v, struct weir_str *out)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(v->result->suite);
    if (g == NULL) {
        return;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str charts = WEIR_STR_INIT(WEIR_SIM_REPORT_BYTES_MAX);
    bool any = false;
    size_t drawn = 0;
    for (size_t c = 0; c < v->n_cases && drawn < WEIR_SIM_REPORT_CASES_MAX; c++) {
        char text[TEXT];
        if (!v->compared[c] || !weir_sim_row_sums_up(v->result, &v->result->row[v->first[c]]) || !is_drawn(v, c)) {
            continue;
        }
        drawn++;
        caption(v, c, "By policy", text, sizeof text);
        any = bar_chart(v, c, g->cost, text, &charts) || any;
        if (g->wait != NULL) {
            (void)bar_chart(v, c, weir_sim_felt_wait(v->result, g->wait), text, &charts);
            saved_chart(v, g, c, &charts);
        }
        (void)bar_chart(v, c, "gap_to_bound_percent", text, &charts);
    }
    if (!any) {
        return;
    }
    weir_str_adds(out, g->wait == NULL ? "<section>\n<h2>By policy</h2>\n" : "<section>\n<h2>Cost and wait by policy</h2>\n");
    if (g->wait != NULL && has_points(v)) {
        weir_sim_report_meant(v, out);
    }
    weir_str_adds(out, "<div class=\"grid\">\n");
    weir_str_add(out, charts.p, charts.n);
    weir_str_adds(out, "</div>\n</section>\n");
}

/* ---- many cases at a glance ---- */

static void overview_cell(const struct weir_sim_report_view *v, const char *metric, const struct weir_sim_row *row, double best, struct weir_str *out)
{
    double x = 0;
    if (row == NULL || !weir_sim_row_real(row, metric, &x)) {
        weir_str_adds(out, "<td></td>");
        return;
    }
    char text[64];
    char percent[64];
    bool more = weir_sim_measure_of(metric).better == WEIR_SIM_MORE;
    double worse = best > 0 ? (more ? best - x : x - best) / best : 0;
    shown(v->result, metric, x, text, sizeof text);
    if (weir_sim_policy_is_bound(row->policy)) {
        weir_str_addf(out, "<td class=\"hb\">%s</td>", text);
        return;
    }
    int tint = worse < 0.0005 ? 0 : worse < 0.02 ? 1 : worse < 0.10 ? 2 : worse < 0.30 ? 3 : 4;
    weir_sim_figure_text(percent, sizeof percent, worse * 100, 1);
    weir_str_addf(out, "<td class=\"h%d\">%s<small>%s%s%s</small></td>", tint, text, worse < 0.0005 ? "best" : more ? "\xe2\x88\x92" : "+",
                  worse < 0.0005 ? "" : percent, worse < 0.0005 ? "" : NBSP "%");
}

static double best_of_case(const struct weir_sim_report_view *v, const char *metric, size_t c)
{
    bool more = weir_sim_measure_of(metric).better == WEIR_SIM_MORE;
    double best = NAN;
    for (size_t i = 0; i < v->result->n_rows; i++) {
        double x = 0;
        if (v->case_of[i] == c && !weir_sim_policy_is_bound(v->result->row[i].policy) && weir_sim_row_ranks(&v->result->row[i]) && weir_sim_row_real(&v->result->row[i], metric, &x) &&
            (isnan(best) || (more ? x > best : x < best))) {
            best = x;
        }
    }
    return best;
}

void weir_sim_report_overview(const struct weir_sim_report_view *v, struct weir_str *out)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(v->result->suite);
    size_t compared = 0;
    size_t column[WEIR_SIM_REPORT_POLICIES_MAX]; /* the policies of those cases */
    size_t n = 0;
    for (size_t c = 0; c < v->n_cases; c++) {
        compared += v->compared[c];
    }
    for (size_t k = 0; k < v->n_policies; k++) {
        bool used = false;
        for (size_t c = 0; c < v->n_cases && !used; c++) {
            used = v->compared[c] && row_for(v, c, v->policy[k]) != NULL;
        }
        column[n] = k;
        n += used;
    }
    if (g == NULL || g->wait != NULL || compared < 2 || n > OVERVIEW_POLICIES_MAX) {
        return;
    }
    char label[TEXT];
    axis_label(v->result, g->cost, label, sizeof label);
    weir_str_adds(out, "<section>\n<h2>At a glance</h2>\n<p class=\"note\">");
    weir_html_text(out, label);
    weir_str_adds(out, ". The small figure is the distance to the best of the policies that do not know the future; blue is best, orange "
                       "farthest off.</p>\n<div class=\"scroll\"><table>\n<thead><tr><th class=\"l\">Case</th>");
    for (size_t k = 0; k < n; k++) {
        weir_str_adds(out, "<th>");
        weir_html_text(out, v->policy[column[k]]);
        weir_str_adds(out, "</th>");
    }
    weir_str_adds(out, "</tr></thead>\n<tbody>\n");
    for (size_t c = 0; c < v->n_cases; c++) {
        if (!v->compared[c]) {
            continue;
        }
        char text[TEXT];
        caption(v, c, "", text, sizeof text);
        weir_str_adds(out, "<tr><td class=\"l\">");
        weir_html_text(out, text);
        weir_str_adds(out, "</td>");
        for (size_t k = 0; k < n; k++) {
            overview_cell(v, g->cost, row_for(v, c, v->policy[column[k]]), best_of_case(v, g->cost, c), out);
        }
        weir_str_adds(out, "</tr>\n");
    }
    weir_str_adds(out, "</tbody></table></div>\n</section>\n");
}

/* ---- over time ---- */

/* The rows of a case whose series are drawn, one a policy; the return is how many. */
static size_t rows_with_series(const struct weir_sim_report_view *v, size_t c, const struct weir_sim_row **ret, unsigned *style)
{
    size_t n = 0;
    for (size_t k = 0; k < v->n_policies && n < LINES_MAX; k++) {
        const struct weir_sim_row *row = row_for(v, c, v->policy[k]);
        if (row != NULL && row->series != NULL && row->series->n > 0) {
            style[n] = v->style[k];
            ret[n++] = row;
        }
    }
    return n;
}

/* Which case the charts that follow are of, where there are several. */
static void case_heading(const struct weir_sim_report_view *v, size_t c, struct weir_str *out)
{
    char text[TEXT];
    caption(v, c, "", text, sizeof text);
    if (v->n_cases > 1) {
        weir_str_adds(out, "<h3>");
        weir_html_text(out, text);
        weir_str_adds(out, "</h3>\n");
    }
}

/* One line a row; n > 0. */
static void time_chart(const struct weir_sim_report_view *v, const char *name, const struct weir_sim_row *const *row, const unsigned *style,
                       size_t n, struct weir_str *out)
{
    struct weir_svg_line line[LINES_MAX];
    char names[LINES_MAX][TEXT];
    size_t n_lines = 0;
    const struct weir_sim_series *coarse = row[0]->series;
    for (size_t i = 1; i < n; i++) {
        coarse = row[i]->series->step_s > coarse->step_s ? row[i]->series : coarse;
    }
    /* All in the widest step: the others' are halves of it, and all begin at the same instant. The last point is not full. */
    double *value = weir_calloc(n * WEIR_SIM_POINTS_MAX, sizeof *value);
    for (size_t i = 0; i < n; i++) {
        const struct weir_sim_series *s = row[i]->series;
        const struct weir_sim_line *l = weir_sim_series_line(s, name);
        if (l == NULL) {
            continue;
        }
        size_t each = (size_t)llround(coarse->step_s / s->step_s);
        size_t points = s->n / each > 1 ? s->n / each - (each == 1) : 1;
        double *to = value + i * WEIR_SIM_POINTS_MAX;
        for (size_t k = 0; k < points; k++) {
            for (size_t m = k * each; m < (k + 1) * each && m < s->n; m++) {
                to[k] += l->v[m] / (double)each;
            }
        }
        weir_sim_report_name(v, row[i], names[n_lines], sizeof names[n_lines]);
        line[n_lines] = (struct weir_svg_line){names[n_lines], style[i], to, points};
        n_lines++;
    }
    char label[TEXT];
    axis_label(v->result, name, label, sizeof label);
    open_figure(out, "wide", label);
    weir_svg_lines(out, label, coarse->begin_s, coarse->step_s, line, n_lines);
    weir_str_adds(out, "</figure>\n");
    free(value);
}

void weir_sim_report_over_time(const struct weir_sim_report_view *v, struct weir_str *out)
{
    bool begun = false;
    for (size_t c = 0; c < v->n_cases; c++) {
        const struct weir_sim_row *row[LINES_MAX];
        unsigned style[LINES_MAX];
        size_t n = is_drawn(v, c) ? rows_with_series(v, c, row, style) : 0;
        if (n == 0) {
            continue;
        }
        weir_str_adds(out, begun ? "" : "<section>\n<h2>Over time</h2>\n");
        begun = true;
        case_heading(v, c, out);
        for (size_t k = 0; k < row[0]->series->n_lines; k++) {
            time_chart(v, row[0]->series->line[k].name, row, style, n, out);
        }
    }
    weir_str_adds(out, begun ? "</section>\n" : "");
}

/* ---- sums by name ---- */

/* The parts that are shown, by the sum over all rows: the largest, and the rest together. */
struct parts {
    const char *name[PARTS_MAX];
    double sum[PARTS_MAX];
    size_t n;
    bool others;
};

static double part_of(const struct weir_sim_breakdown *b, const char *name)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        if (weir_streq(b->part[i].name, name)) {
            return b->part[i].v;
        }
    }
    return 0;
}

/* Is there anything of that name in any of the rows? */
static bool is_spent(const char *breakdown, const char *name, const struct weir_sim_row *const *row, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n && !any; i++) {
        any = part_of(weir_sim_series_breakdown(row[i]->series, breakdown), name) != 0;
    }
    return any;
}

/* Names stand by size in each breakdown: the first of each row, taken in turn, are the largest ones. What is nothing everywhere is left out. */
static void choose_parts(struct parts *p, const char *breakdown, const struct weir_sim_row *const *row, size_t n)
{
    *p = (struct parts){0};
    for (size_t k = 0; k < WEIR_SIM_PARTS_MAX; k++) {
        for (size_t i = 0; i < n; i++) {
            const struct weir_sim_breakdown *b = weir_sim_series_breakdown(row[i]->series, breakdown);
            bool known = b == NULL || k >= b->n;
            for (size_t m = 0; m < p->n && !known; m++) {
                known = weir_streq(p->name[m], b->part[k].name);
            }
            known = known || !is_spent(breakdown, b->part[k].name, row, n);
            if (!known && p->n < PARTS_MAX - 1) {
                p->name[p->n++] = b->part[k].name;
            } else if (!known) {
                p->others = true;
            }
        }
    }
    if (p->others) {
        p->name[p->n++] = "all others";
    }
}

/* A long name by its begin and its end, which is where names of one house differ. */
static void shorten(const char *name, char *ret, size_t size)
{
    enum { BEGIN = 26, END = 12 };
    size_t n = strlen(name);
    if (n <= BEGIN + END + 2) {
        snprintf(ret, size, "%s", name);
        return;
    }
    size_t begin = BEGIN;
    size_t end = n - END;
    while (begin > 0 && (name[begin] & 0xc0) == 0x80) { /* not inside of a character */
        begin--;
    }
    while (end < n && (name[end] & 0xc0) == 0x80) {
        end++;
    }
    snprintf(ret, size, "%.*s…%s", (int)begin, name, name + end);
}

static void breakdown_chart(const struct weir_sim_report_view *v, const char *breakdown, const struct weir_sim_row *const *row, size_t n,
                            struct weir_str *out)
{
    struct parts p;
    double value[STACKS_MAX][PARTS_MAX] = {{0}};
    char name[STACKS_MAX][TEXT];
    char text[STACKS_MAX][TEXT];
    struct weir_svg_stack stack[STACKS_MAX];
    choose_parts(&p, breakdown, row, n);
    if (p.n == 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct weir_sim_breakdown *b = weir_sim_series_breakdown(row[i]->series, breakdown);
        double sum = 0;
        double named = 0;
        for (size_t k = 0; b != NULL && k < b->n; k++) {
            sum += b->part[k].v;
        }
        for (size_t k = 0; k < p.n - p.others; k++) {
            value[i][k] = part_of(b, p.name[k]);
            named += value[i][k];
        }
        if (p.others) {
            value[i][p.n - 1] = sum - named;
        }
        weir_sim_report_name(v, row[i], name[i], sizeof name[i]);
        weir_sim_figure_text(text[i], sizeof text[i], sum, fabs(sum) >= 1000 ? 0 : 2);
        stack[i] = (struct weir_svg_stack){name[i], value[i], text[i]};
    }
    char label[TEXT];
    char part[PARTS_MAX][80];
    const char *part_name[PARTS_MAX];
    for (size_t k = 0; k < p.n; k++) { /* projects and pools are called as they are; what it was spent on has words */
        part_name[k] = part[k];
        if (weir_streq(breakdown, "cost_by_use")) {
            weir_sim_label(p.name[k], part[k], sizeof part[k]);
        } else {
            shorten(p.name[k], part[k], sizeof part[k]);
        }
    }
    axis_label(v->result, breakdown, label, sizeof label);
    open_figure(out, "wide", label);
    weir_svg_stacks(out, label, "", part_name, p.n, stack, n);
    weir_str_adds(out, "<div class=\"scroll\"><table>\n<thead><tr><th class=\"l\">Policy</th>");
    for (size_t k = 0; k < p.n; k++) {
        weir_str_adds(out, "<th");
        if (!weir_streq(breakdown, "cost_by_use") && !weir_streq(part_name[k], p.name[k])) {
            weir_str_adds(out, " title=\"");
            weir_html_text(out, p.name[k]);
            weir_str_adds(out, "\"");
        }
        weir_str_adds(out, ">");
        weir_html_text(out, part_name[k]);
        weir_str_adds(out, "</th>");
    }
    weir_str_adds(out, "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < n; i++) {
        weir_str_addf(out, "<tr%s><td class=\"l\">", weir_sim_policy_is_ours(row[i]->policy) ? " class=\"own\"" : "");
        weir_html_text(out, name[i]);
        weir_str_adds(out, "</td>");
        for (size_t k = 0; k < p.n; k++) {
            char figure[64];
            weir_sim_figure_text(figure, sizeof figure, value[i][k], fabs(value[i][k]) >= 1000 ? 0 : 2);
            weir_str_addf(out, "<td title=\"%.9g\">%s</td>", value[i][k], figure);
        }
        weir_str_adds(out, "</tr>\n");
    }
    weir_str_adds(out, "</tbody></table></div>\n</figure>\n");
}

void weir_sim_report_breakdowns(const struct weir_sim_report_view *v, struct weir_str *out)
{
    bool begun = false;
    for (size_t c = 0; c < v->n_cases; c++) {
        const struct weir_sim_row *row[LINES_MAX];
        unsigned style[LINES_MAX];
        size_t n = is_drawn(v, c) ? rows_with_series(v, c, row, style) : 0;
        for (size_t k = 0; n > 0 && k < row[0]->series->n_breakdowns; k++) {
            weir_str_adds(out, begun ? "" : "<section>\n<h2>Where the money went</h2>\n");
            begun = true;
            if (k == 0) {
                case_heading(v, c, out);
            }
            breakdown_chart(v, row[0]->series->breakdown[k].name, row, n, out);
        }
    }
    weir_str_adds(out, begun ? "</section>\n" : "");
}
