/* SPDX-License-Identifier: Apache-2.0 */

/* What the report answers in so many words: own, rent or both; what each rule is worth; what all of it rests on. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "findings.h"
#include "measure.h"
#include "report_priv.h"
#include "rules.h"
#include "svg.h"

#define NBSP "\xc2\xa0"
#define MINUS "\xe2\x88\x92"

enum { WAYS_MAX = 3 * WEIR_SIM_REPORT_CASES_MAX, TEXT = 160 };

/* ---- notes ---- */

void weir_sim_report_notes(const struct weir_sim_result *r, struct weir_str *out)
{
    for (size_t i = 0; i < r->n_notes; i++) {
        weir_str_adds(out, "<p class=\"note warn\">");
        weir_html_text(out, r->note[i]);
        weir_str_adds(out, "</p>\n");
    }
}

void weir_sim_report_unranked(const struct weir_sim_report_view *v, struct weir_str *out)
{
    size_t n = 0;
    for (size_t i = 0; i < v->result->n_rows; i++) {
        const struct weir_sim_row *row = &v->result->row[i];
        double tasks = 0;
        double unplaced = 0;
        if (weir_sim_row_ranks(row) || !weir_sim_row_real(row, "unplaced", &unplaced) || !weir_sim_row_real(row, "tasks", &tasks)) {
            continue;
        }
        char name[TEXT];
        char where[TEXT];
        char part[40];
        char whole[40];
        weir_sim_report_name(v, row, name, sizeof name);
        weir_sim_case_words(v->result, row, where, sizeof where);
        weir_sim_figure_text(part, sizeof part, unplaced, 0);
        weir_sim_figure_text(whole, sizeof whole, tasks, 0);
        weir_str_adds(out, n++ == 0 ? "<p class=\"note\">Not ranked, since they left work undone: " : "; ");
        weir_html_text(out, name);
        if (v->n_cases > 1 && where[0] != '\0') {
            weir_str_adds(out, " (");
            weir_html_text(out, where);
            weir_str_adds(out, ")");
        }
        weir_str_addf(out, ", where %s of %s tasks found no place", part, whole);
    }
    weir_str_adds(out, n > 0 ? ".</p>\n" : "");
}

void weir_sim_report_meant(const struct weir_sim_report_view *v, struct weir_str *out)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(v->result->suite);
    weir_str_adds(out, "<p class=\"note\">A policy with several settings is spoken of by one: the cheapest that lets people wait no longer than ");
    weir_html_text(out, g == NULL || g->rival == NULL ? "the policy it is measured against" : weir_sim_policy_name(g->rival));
    weir_str_adds(out, " does, or, where none waits as little, the one that waits least; where that policy was not run, the one nearest to both the least "
                       "cost and the least waiting. Tables and pointing at a mark name the setting.</p>\n");
}

/* ---- own, rent, or both ---- */

/* A way to get the work done. */
struct way {
    const struct weir_sim_row *row;
    char name[TEXT];
    double nodes;
    double own;
    double cloud;
    bool ranks;
};

static void add_way(struct way *way, size_t *n, const struct weir_sim_row *row, const char *name, bool owns)
{
    struct way w = {.row = row};
    if (row == NULL || *n == WAYS_MAX || !weir_sim_row_real(row, "cloud_cost", &w.cloud) || !weir_sim_row_real(row, "cost", &w.own)) {
        return;
    }
    w.own = owns ? w.own - w.cloud : 0;
    w.ranks = weir_sim_row_ranks(row);
    (void)(owns && weir_sim_row_real(row, "nodes", &w.nodes));
    snprintf(w.name, sizeof w.name, "%s", name);
    way[(*n)++] = w;
}

static const struct weir_sim_row *row_of(const struct weir_sim_report_view *v, size_t c, const char *policy)
{
    const struct weir_sim_result *r = v->result;
    const struct weir_sim_row *meant = weir_sim_row_meant(r, &r->row[v->first[c]], policy);
    for (size_t i = v->first[c]; i < r->n_rows && meant == NULL; i++) {
        meant = v->case_of[i] == c && weir_streq(r->row[i].policy, policy) ? &r->row[i] : NULL;
    }
    return meant;
}

/* The cloud alone (once where only the nodes differ: it needs none), weir in each case, owned nodes alone in each. */
static size_t ways_of(const struct weir_sim_report_view *v, struct way *way)
{
    size_t n = 0;
    bool clouds = false;
    for (size_t c = 0; c < v->n_cases && c < WEIR_SIM_REPORT_CASES_MAX; c++) {
        char where[TEXT / 2];
        char name[TEXT];
        double nodes = 1;
        if (v->result->row[v->first[c]].budgets != NULL) {
            continue; /* it did less, or later */
        }
        weir_sim_case_words(v->result, &v->result->row[v->first[c]], where, sizeof where);
        (void)weir_sim_row_real(&v->result->row[v->first[c]], "nodes", &nodes);
        bool alone = weir_streq(where, "0" NBSP "nodes") || strchr(where, ',') == NULL;
        if (!clouds || !alone) {
            snprintf(name, sizeof name, alone ? "Cloud alone, at once" : "Cloud alone, at once: %s", where);
            add_way(way, &n, row_of(v, c, "cloud-only"), name, false);
            clouds = n > 0;
        }
        if (nodes > 0) {
            snprintf(name, sizeof name, "%s alone", where);
            add_way(way, &n, row_of(v, c, "local-only"), name, true);
        }
        snprintf(name, sizeof name, nodes > 0 ? "%s and cloud" : "Cloud alone, by weir (%s)", where);
        add_way(way, &n, row_of(v, c, "weir"), name, true);
    }
    return n;
}

static void figure_cell(const struct weir_sim_result *r, const char *metric, double x, bool known, struct weir_str *out)
{
    char text[64];
    bool share = weir_sim_measure_of(metric).share;
    int places = weir_sim_places(r, metric);
    weir_sim_figure_text(text, sizeof text, share ? x * 100 : x, share ? 1 : places);
    weir_str_addf(out, known ? "<td>%s</td>" : "<td>–</td>", text);
}

static void metric_cell(const struct weir_sim_result *r, const struct weir_sim_row *row, const char *metric, struct weir_str *out)
{
    double x = 0;
    bool known = weir_sim_row_real(row, metric, &x);
    figure_cell(r, metric, x, known, out);
}

static void head(const struct weir_sim_result *r, const char *label, const char *metric, struct weir_str *out)
{
    const char *unit = weir_sim_unit_of(r, metric);
    char known[80];
    weir_sim_label(metric, known, sizeof known);
    weir_str_adds(out, "<th>");
    weir_html_text(out, label == NULL ? known : label);
    if (unit[0] != '\0') {
        weir_str_adds(out, "<small>");
        weir_html_text(out, unit);
        weir_str_adds(out, "</small>");
    }
    weir_str_adds(out, "</th>");
}

/* Do two rows own nodes of the same kind? */
static bool same_kind(const struct weir_sim_row *a, const struct weir_sim_row *b)
{
    const struct weir_sim_field *x = weir_sim_row_field(a, "pools");
    const struct weir_sim_field *y = weir_sim_row_field(b, "pools");
    return x == NULL || y == NULL ? x == y : weir_sim_same_value(x, y);
}

static void ways_table(const struct weir_sim_report_view *v, const struct way *way, size_t n, const struct weir_sim_row *best, struct weir_str *out)
{
    const struct weir_sim_result *r = v->result;
    const struct way *before = NULL; /* with fewer nodes, by weir */
    weir_str_adds(out, "<div class=\"scroll\"><table>\n<thead><tr><th class=\"l\">Way</th>");
    head(r, NULL, "cost", out);
    head(r, NULL, "own_cost", out);
    head(r, NULL, "cloud_cost", out);
    head(r, NULL, "avg_wait_hours", out);
    head(r, NULL, "p95_wait_hours", out);
    head(r, NULL, "local_utilisation", out);
    head(r, "Each further node saves", "cost", out);
    weir_str_adds(out, "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < n; i++) {
        const struct way *w = &way[i];
        bool ours = weir_streq(w->row->policy, "weir");
        weir_str_addf(out, "<tr%s><td class=\"l\">", w->row == best ? " class=\"own chosen\"" : ours ? " class=\"own\"" : w->ranks ? "" : " class=\"off\"");
        weir_html_text(out, w->name);
        weir_str_adds(out, w->ranks ? "</td>" : " (not all done)</td>");
        figure_cell(r, "cost", w->own + w->cloud, true, out);
        figure_cell(r, "cost", w->own, true, out);
        figure_cell(r, "cost", w->cloud, true, out);
        metric_cell(r, w->row, "avg_wait_hours", out);
        metric_cell(r, w->row, "p95_wait_hours", out);
        metric_cell(r, w->nodes > 0 ? w->row : &(struct weir_sim_row){0}, "local_utilisation", out);
        bool more = ours && before != NULL && same_kind(w->row, before->row) && w->nodes > before->nodes && w->ranks && before->ranks;
        figure_cell(r, "cost", more ? (before->own + before->cloud - w->own - w->cloud) / (w->nodes - before->nodes) : 0, more, out);
        before = ours ? w : before;
        weir_str_adds(out, "</tr>\n");
    }
    weir_str_adds(out, "</tbody></table></div>\n");
}

void weir_sim_report_ways(const struct weir_sim_report_view *v, struct weir_str *out)
{
    static const char *const part[] = {"Owned nodes", "Cloud"};
    const struct weir_sim_goal *g = weir_sim_goal_of(v->result->suite);
    if (g == NULL || !g->ways || v->result->tuned != NULL) {
        return;
    }
    struct way *way = weir_calloc(WAYS_MAX, sizeof *way);
    struct weir_svg_stack stack[WAYS_MAX];
    double value[WAYS_MAX][2];
    char text[WAYS_MAX][TEXT];
    size_t n = ways_of(v, way);
    size_t bars = 0;
    for (size_t i = 0; i < n; i++) {
        double wait = 0;
        char cost[40];
        char hours[40];
        if (!way[i].ranks || !weir_sim_row_real(way[i].row, "avg_wait_hours", &wait)) {
            continue;
        }
        weir_sim_figure_text(cost, sizeof cost, way[i].own + way[i].cloud, 0);
        bool minutes = wait < 1;
        weir_sim_figure_text(hours, sizeof hours, minutes ? wait * 60 : wait, 1);
        snprintf(text[bars], sizeof text[bars], "%s, wait %s" NBSP "%s", cost, hours, minutes ? "min" : "h");
        value[bars][0] = way[i].own;
        value[bars][1] = way[i].cloud;
        stack[bars] = (struct weir_svg_stack){way[i].name, value[bars], text[bars]};
        bars++;
    }
    if (bars > 1) {
        const struct weir_sim_row *best = weir_sim_row_headline(v->result);
        char title[TEXT];
        snprintf(title, sizeof title, "Cost of all the work (%s), and average wait", weir_sim_unit_of(v->result, "cost"));
        weir_str_adds(out, "<section>\n<h2>Own, rent, or both</h2>\n<p>All of the same work, done in each way; both is done by weir. In the cloud alone nothing "
                           "is owned, and nothing is paid for owned nodes. Owned nodes cost what they cost whether they are used or not, for as long as the "
                           "work takes. The framed row is the cheapest that weir reaches.</p>\n");
        weir_sim_report_meant(v, out);
        weir_str_adds(out, "<figure class=\"wide\">\n<figcaption>");
        weir_html_text(out, title);
        weir_str_adds(out, "</figcaption>\n");
        weir_svg_stacks(out, title, "", part, 2, stack, bars);
        weir_str_adds(out, "</figure>\n");
        ways_table(v, way, n, best, out);
        weir_str_adds(out, "</section>\n");
    }
    free(way);
}

/* ---- what each rule is worth ---- */

/* The row with the rule that is like the row without it in all else; NULL where it was not run. */
static const struct weir_sim_row *with_rule(const struct weir_sim_result *r, const struct weir_sim_rule *rule, const struct weir_sim_row *without)
{
    for (size_t i = 0; i < r->n_rows; i++) {
        if (weir_streq(r->row[i].policy, rule->against) && weir_sim_same_setting(r->suite, without, &r->row[i])) {
            return &r->row[i];
        }
    }
    return NULL;
}

static void signed_cell(const struct weir_sim_result *r, const char *metric, double x, struct weir_str *out)
{
    char text[64];
    weir_sim_figure_text(text, sizeof text, fabs(x), weir_sim_places(r, metric));
    bool zero = strspn(text, "0.,") == strlen(text);
    weir_str_addf(out, "<td>%s%s</td>", zero ? "" : x < 0 ? MINUS : "+", text);
}

static void rule_row(const struct weir_sim_result *r, const struct weir_sim_rule *rule, const struct weir_sim_row *without, struct weir_str *out)
{
    const struct weir_sim_row *with = with_rule(r, rule, without);
    double cost[2] = {0};
    double wait[2] = {0};
    bool known = with != NULL && weir_sim_row_real(without, "cost", &cost[0]) && weir_sim_row_real(with, "cost", &cost[1]) &&
                 weir_sim_row_real(without, "avg_wait_hours", &wait[0]) && weir_sim_row_real(with, "avg_wait_hours", &wait[1]);
    if (!known) {
        return;
    }
    weir_str_adds(out, "<tr><td class=\"w\"><b>");
    weir_html_text(out, rule->name);
    weir_str_adds(out, "</b><small>without: ");
    weir_html_text(out, rule->text);
    weir_str_addf(out, "%s</small></td>", weir_streq(rule->against, "weir") ? "" : "; run times are not told here");
    signed_cell(r, "cost", cost[0] - cost[1], out);
    char percent[40];
    weir_sim_figure_text(percent, sizeof percent, cost[1] > 0 ? (cost[0] / cost[1] - 1) * 100 : 0, 1);
    weir_str_addf(out, "<td>%s" NBSP "%%</td>", percent);
    signed_cell(r, "avg_wait_hours", wait[0] - wait[1], out);
    metric_cell(r, without, "cost", out);
    metric_cell(r, without, "avg_wait_hours", out);
    weir_str_adds(out, "</tr>\n");
}

void weir_sim_report_rules(const struct weir_sim_report_view *v, struct weir_str *out)
{
    const struct weir_sim_result *r = v->result;
    size_t told = SIZE_MAX; /* the case that is being told */
    for (size_t c = 0; c < v->n_cases; c++) {
        for (size_t i = v->first[c]; i < r->n_rows; i++) {
            const struct weir_sim_rule *rule = weir_sim_rules;
            while (rule->policy != NULL && !weir_streq(rule->policy, r->row[i].policy)) {
                rule++;
            }
            if (v->case_of[i] != c || rule->policy == NULL) {
                continue;
            }
            if (told == SIZE_MAX) {
                weir_str_adds(out, "<section>\n<h2>What each rule is worth</h2>\n<p>All the work run again without one of weir’s rules at a time: what the rule saves is "
                                   "what the run without it costs more, at the wait that it has. That rented machines are used again and how long idle "
                                   "ones are kept cannot be left out one by one, and is not told here.</p>\n");
                weir_str_adds(out, "<div class=\"scroll\"><table>\n<thead><tr><th class=\"l\">Rule</th>");
                head(r, "Saves", "cost", out);
                weir_str_adds(out, "<th>in percent</th>");
                head(r, "Wait spared", "avg_wait_hours", out);
                head(r, "Cost without it", "cost", out);
                head(r, "Average wait without it", "avg_wait_hours", out);
                weir_str_adds(out, "</tr></thead>\n<tbody>\n");
            }
            if (told != c) {
                char where[TEXT];
                char setting[TEXT];
                weir_sim_case_words(r, &r->row[i], where, sizeof where);
                weir_sim_setting_words(r, &r->row[i], setting, sizeof setting);
                weir_str_adds(out, "<tr class=\"case\"><th colspan=\"6\">");
                weir_html_text(out, where);
                weir_html_text(out, setting[0] == '\0' ? "" : ", ");
                weir_html_text(out, setting);
                weir_str_adds(out, "</th></tr>\n");
                told = c;
            }
            rule_row(r, rule, &r->row[i], out);
        }
    }
    weir_str_adds(out, told == SIZE_MAX ? "" : "</tbody></table></div>\n</section>\n");
}

/* ---- what all of it rests on ---- */

void weir_sim_report_assumptions(const struct weir_sim_result *r, struct weir_str *out)
{
    for (size_t i = 0; i < r->n_assumptions; i++) {
        const struct weir_sim_assumption *a = &r->assumption[i];
        bool begins = i == 0 || !weir_streq(a->topic, r->assumption[i - 1].topic);
        weir_str_adds(out, i == 0 ? "<section>\n<h2>What was assumed</h2>\n" : begins ? "</dl>\n" : "");
        if (begins) {
            weir_str_adds(out, "<h3>");
            weir_html_text(out, a->topic);
            weir_str_adds(out, "</h3>\n<dl>\n");
        }
        weir_str_adds(out, "<dt>");
        weir_html_text(out, a->name);
        weir_str_adds(out, "</dt><dd>");
        weir_html_text(out, a->text);
        weir_str_adds(out, "</dd>\n");
    }
    weir_str_adds(out, r->n_assumptions > 0 ? "</dl>\n</section>\n" : "");
}
