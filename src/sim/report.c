/* SPDX-License-Identifier: Apache-2.0 */

/* The page: what is said first, what follows, and what was asked. */

#include "report.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "findings.h"
#include "measure.h"
#include "report_priv.h"
#include "rules.h"
#include "svg.h"
#include "tune.h"

static void element(struct weir_str *out, const char *tag, const char *text)
{
    weir_str_addf(out, "<%s>", tag);
    weir_html_text(out, text);
    weir_str_addf(out, "</%s>\n", tag);
}

/* ---- the view ---- */

size_t weir_sim_report_policy(const struct weir_sim_report_view *v, const char *policy)
{
    size_t i = 0;
    while (i < v->n_policies && !weir_streq(v->policy[i], policy)) {
        i++;
    }
    return i;
}

void weir_sim_report_name(const struct weir_sim_report_view *v, const struct weir_sim_row *row, char *ret, size_t size)
{
    char setting[160];
    weir_sim_setting_words(v->result, row, setting, sizeof setting);
    snprintf(ret, size, "%s%s%s", row->policy, setting[0] == '\0' ? "" : ", ", setting);
}

/* weir's policies have styles of their own, bounds the last one; the others share the rest, that to be measured against first. */
static void give_styles(struct weir_sim_report_view *v)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(v->result->suite);
    const char *rival = g == NULL || g->rival == NULL ? "" : g->rival;
    unsigned next = rival[0] == '\0' ? 2 : 3;
    for (size_t i = 0; i < v->n_policies; i++) {
        const char *policy = v->policy[i];
        if (weir_sim_policy_is_ours(policy)) {
            v->style[i] = weir_streq(policy, "weir") ? 0 : 1;
        } else if (weir_sim_policy_is_bound(policy)) {
            v->style[i] = WEIR_SVG_BOUND;
        } else if (weir_streq(policy, rival)) {
            v->style[i] = 2;
        } else {
            v->style[i] = next;
            next = next + 1 < WEIR_SVG_BOUND ? next + 1 : next;
        }
    }
}

static void view_init(struct weir_sim_report_view *v, const struct weir_sim_result *r)
{
    *v = (struct weir_sim_report_view){.result = r};
    v->case_of = weir_calloc(r->n_rows + 1, sizeof *v->case_of);
    v->first = weir_calloc(r->n_rows + 1, sizeof *v->first);
    v->compared = weir_calloc(r->n_rows + 1, sizeof *v->compared);
    for (size_t i = 0; i < r->n_rows; i++) {
        size_t c = 0;
        while (c < v->n_cases && !weir_sim_same_case(r->suite, &r->row[v->first[c]], &r->row[i])) {
            c++;
        }
        if (c == v->n_cases) {
            v->first[v->n_cases++] = i;
        }
        v->case_of[i] = c;
        v->compared[c] = v->compared[c] || !weir_streq(r->row[v->first[c]].policy, r->row[i].policy);
        if (weir_sim_report_policy(v, r->row[i].policy) == v->n_policies && !weir_sim_policy_is_variant(r->row[i].policy) && v->n_policies < WEIR_SIM_REPORT_POLICIES_MAX) {
            v->policy[v->n_policies++] = r->row[i].policy;
        }
    }
    give_styles(v);
}

static void view_release(struct weir_sim_report_view *v)
{
    free(v->case_of);
    free(v->first);
    free(v->compared);
}

/* ---- what is said in words ---- */

static void write_findings(const struct weir_sim_result *r, struct weir_str *out)
{
    struct weir_sim_finding finding[WEIR_SIM_FINDINGS_MAX];
    size_t n = weir_sim_findings(r, finding);
    if (n == 0) {
        return;
    }
    weir_str_addf(out, "<section class=\"cards%s\">\n", n == 2 || n == 4 ? " even" : "");
    for (size_t i = 0; i < n; i++) {
        weir_str_addf(out, "<div class=\"card%s\"><strong>", finding[i].good ? " good" : "");
        weir_html_text(out, finding[i].figure);
        weir_str_adds(out, "</strong><span>");
        weir_html_text(out, finding[i].text);
        weir_str_adds(out, "</span></div>\n");
    }
    weir_str_adds(out, "</section>\n");
}

static void write_tuned(const struct weir_sim_result *r, struct weir_str *out)
{
    if (r->tuned == NULL) {
        return;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(8192);
    weir_sim_tuned_text(r->tuned, &text);
    struct weir_sv rest = weir_str_sv(&text);
    weir_str_adds(out, "<section>\n<h2>The setting found</h2>\n<pre>");
    while (rest.p != NULL) {
        char line[512];
        struct weir_sv piece = weir_sv_cut(&rest, '\n');
        snprintf(line, sizeof line, "%.*s", WEIR_SV_ARG(piece));
        weir_html_text(out, line);
        weir_str_addc(out, '\n');
    }
    weir_str_adds(out, "</pre>\n</section>\n");
}

static void write_policies(const struct weir_sim_report_view *v, struct weir_str *out)
{
    weir_str_adds(out, "<section>\n<h2>The policies</h2>\n<table><tbody>\n");
    for (size_t i = 0; i < v->n_policies; i++) {
        const char *words = weir_sim_policy_words(v->result->suite, v->policy[i]);
        weir_str_addf(out, "<tr%s><td class=\"l\">", weir_sim_policy_is_ours(v->policy[i]) ? " class=\"own\"" : "");
        weir_html_text(out, v->policy[i]);
        weir_str_adds(out, "</td><td class=\"w\">");
        weir_html_text(out, words == NULL ? "" : words);
        weir_str_adds(out, "</td></tr>\n");
    }
    weir_str_adds(out, "</tbody></table>\n</section>\n");
}

static void write_asked(const struct weir_sim_report *r, struct weir_str *out)
{
    weir_str_adds(out, "<section>\n<h2>What was asked</h2>\n<pre>");
    weir_html_text(out, r->command);
    weir_str_adds(out, "</pre>\n<dl>\n");
    weir_str_adds(out, "<dt>Suite</dt><dd>");
    weir_html_text(out, r->result->suite);
    weir_str_adds(out, "</dd>\n<dt>Seed</dt><dd>");
    weir_html_text(out, r->seed == NULL ? "none given" : r->seed);
    weir_str_addf(out, "</dd>\n<dt>Trace hash</dt><dd><code>%016llx</code>: the same command on the same files gives the same hash, which stands for every decision</dd>\n",
                  (unsigned long long)r->result->hash);
    for (size_t i = 0; i < r->n_inputs; i++) {
        char bytes[40];
        weir_sim_figure_text(bytes, sizeof bytes, (double)r->input[i].bytes, 0);
        weir_str_adds(out, "<dt>Input</dt><dd>");
        weir_html_text(out, r->input[i].path);
        weir_str_addf(out, ", %s bytes<br><code>SHA-256 %s</code></dd>\n", bytes, r->input[i].sha256);
    }
    weir_str_addf(out, "<dt>Program</dt><dd>weir %s</dd>\n</dl>\n</section>\n", WEIR_VERSION);
}

void weir_sim_report_html(const struct weir_sim_report *r, struct weir_str *out)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(r->result->suite);
    const char *title = g == NULL ? r->result->suite : r->result->owns_only ? g->owned_title : g->title;
    struct weir_sim_report_view v;
    view_init(&v, r->result);
    weir_str_adds(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    element(out, "title", title);
    weir_str_adds(out, "<style>\n");
    for (const char *const *line = weir_sim_report_style; *line != NULL; line++) {
        weir_str_addf(out, "%s\n", *line);
    }
    weir_str_adds(out, "</style>\n</head>\n<body>\n<main>\n<header>\n");
    weir_str_adds(out, "<p class=\"mark\"><b>weir</b> · simulation report · ");
    weir_html_text(out, r->result->suite);
    weir_str_adds(out, "</p>\n");
    element(out, "h1", title);
    if (g != NULL) {
        weir_str_adds(out, "<p class=\"lead\">");
        weir_html_text(out, g->question);
        weir_str_adds(out, "</p>\n");
    }
    weir_str_adds(out, "</header>\n");
    write_findings(r->result, out);
    weir_sim_report_notes(r->result, out);
    write_tuned(r->result, out);
    if (!r->result->owns_only) { /* else there is one way only */
        weir_sim_report_ways(&v, out);
    }
    weir_sim_report_budgets(&v, out);
    weir_sim_report_fronts(&v, out);
    weir_sim_report_overview(&v, out);
    weir_sim_report_bars(&v, out);
    weir_sim_report_rules(&v, out);
    weir_sim_report_over_time(&v, out);
    weir_sim_report_breakdowns(&v, out);
    weir_sim_report_assumptions(r->result, out);
    weir_sim_report_tables(&v, out);
    write_policies(&v, out);
    write_asked(r, out);
    weir_str_adds(out, "<footer>Made by <code>weir sim</code>. Figures rest on recorded work and on the policies as rebuilt here; pointing at a "
                       "figure shows it in full.</footer>\n</main>\n</body>\n</html>\n");
    view_release(&v);
}
