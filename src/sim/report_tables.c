/* SPDX-License-Identifier: Apache-2.0 */

/* All figures of a result, in tables narrow enough for a sheet of paper. */

#include <stdio.h>

#include "base/mem.h"
#include "findings.h"
#include "measure.h"
#include "params.h"
#include "report_priv.h"
#include "svg.h"

enum { COLUMNS_MAX = 2 * WEIR_SIM_FIELDS_MAX, TABLE_COLUMNS = 7, TEXT = 128 };

static void head_cell(const struct weir_sim_result *r, const char *name, struct weir_str *out)
{
    char label[TEXT];
    const char *unit = weir_sim_unit_of(r, name);
    bool published = strncmp(name, "reference_", 10) == 0;
    weir_sim_label(name, label, sizeof label);
    weir_str_adds(out, "<th>");
    weir_html_text(out, label);
    if (unit[0] != '\0' || published) {
        weir_str_addf(out, "<small>%s%s", published ? "as published" : "", published && unit[0] != '\0' ? ", " : "");
        weir_html_text(out, unit);
        weir_str_adds(out, "</small>");
    }
    weir_str_adds(out, "</th>");
}

static void cell(const struct weir_sim_result *r, const struct weir_sim_field *f, struct weir_str *out)
{
    char text[64];
    char exact[64];
    if (f == NULL) {
        weir_str_adds(out, "<td></td>");
        return;
    }
    switch (f->kind) {
    case WEIR_SIM_NONE:
        weir_str_adds(out, "<td>–</td>");
        return;
    case WEIR_SIM_BOOL:
        weir_str_addf(out, "<td>%s</td>", f->u.yes ? "yes" : "no");
        return;
    case WEIR_SIM_TEXT:
        weir_str_adds(out, "<td>");
        weir_html_text(out, f->u.text);
        weir_str_adds(out, "</td>");
        return;
    case WEIR_SIM_COUNT:
        weir_sim_figure_text(text, sizeof text, (double)f->u.count, 0);
        weir_str_addf(out, "<td title=\"%lld\">%s</td>", (long long)f->u.count, text);
        return;
    case WEIR_SIM_REAL:
        break;
    }
    weir_sim_real_text(exact, sizeof exact, f->u.real);
    if (f->metric) {
        bool share = weir_sim_measure_of(f->name).share;
        int places = weir_sim_places(r, f->name);
        weir_sim_figure_text(text, sizeof text, share ? f->u.real * 100 : f->u.real, share && places > 2 ? places - 2 : places);
    } else {
        snprintf(text, sizeof text, "%s", exact);
    }
    weir_str_addf(out, "<td title=\"%s\">%s</td>", exact, text);
}

static const char *row_class(const struct weir_sim_row *row)
{
    const struct weir_sim_field *chosen = weir_sim_row_field(row, "chosen");
    const struct weir_sim_field *pareto = weir_sim_row_field(row, "pareto");
    if (chosen != NULL && chosen->u.yes) {
        return " class=\"own chosen\"";
    }
    if (pareto != NULL && !pareto->u.yes) {
        return " class=\"off\"";
    }
    return weir_sim_policy_is_ours(row->policy) ? " class=\"own\"" : "";
}

static void table(const struct weir_sim_report_view *v, const char *const *param, size_t n_params, const char *const *metric, size_t n,
                  struct weir_str *out)
{
    const struct weir_sim_result *r = v->result;
    weir_str_adds(out, "<div class=\"scroll\"><table>\n<thead><tr><th class=\"l\">Policy</th>");
    for (size_t k = 0; k < n_params + n; k++) {
        head_cell(r, k < n_params ? param[k] : metric[k - n_params], out);
    }
    weir_str_adds(out, "</tr></thead>\n");
    for (size_t c = 0; c < v->n_cases; c++) {
        char words[TEXT];
        weir_sim_case_words(r, &r->row[v->first[c]], words, sizeof words);
        weir_str_adds(out, "<tbody>\n");
        if (v->n_cases > 1 || words[0] != '\0') {
            weir_str_addf(out, "<tr class=\"case\"><th colspan=\"%zu\">", 1 + n_params + n);
            weir_html_text(out, words[0] == '\0' ? "All cases together" : words);
            weir_str_adds(out, "</th></tr>\n");
        }
        for (size_t i = v->first[c]; i < r->n_rows; i++) {
            if (v->case_of[i] != c) {
                continue;
            }
            weir_str_addf(out, "<tr%s><td class=\"l\">", row_class(&r->row[i]));
            weir_html_text(out, r->row[i].policy);
            weir_str_adds(out, "</td>");
            for (size_t k = 0; k < n_params + n; k++) {
                cell(r, weir_sim_row_field(&r->row[i], k < n_params ? param[k] : metric[k - n_params]), out);
            }
            weir_str_adds(out, "</tr>\n");
        }
        weir_str_adds(out, "</tbody>\n");
    }
    weir_str_adds(out, "</table></div>\n");
}

void weir_sim_report_tables(const struct weir_sim_report_view *v, struct weir_str *out)
{
    const struct weir_sim_result *r = v->result;
    const char *field[COLUMNS_MAX];
    const char *metric[COLUMNS_MAX];
    const char *param[COLUMNS_MAX];
    size_t n_fields = weir_sim_columns(r, false, field, COLUMNS_MAX);
    size_t n = weir_sim_columns(r, true, metric, COLUMNS_MAX);
    size_t n_params = 0;
    for (size_t k = 0; k < n_fields; k++) {
        if (weir_sim_is_choice(r->suite, field[k])) {
            param[n_params++] = field[k];
        }
    }
    weir_str_adds(out, "<section>\n<h2>All figures</h2>\n");
    for (size_t k = 0; k < n; k++) {
        if (weir_streq(metric[k], "pareto")) {
            weir_str_adds(out, "<p class=\"note\">On the front: no other row of the same case costs no more and waits no longer. Rows in grey are not on it.</p>\n");
        }
    }
    /* As even as can be, so that the last table is no stump. */
    size_t room = n_params + 1 < TABLE_COLUMNS ? TABLE_COLUMNS - n_params : 2;
    size_t tables = (n + room - 1) / room;
    for (size_t i = 0, at = 0; i < tables; i++) {
        size_t each = (n - at + (tables - i) - 1) / (tables - i);
        table(v, param, n_params, metric + at, each, out);
        at += each;
    }
    weir_str_adds(out, "</section>\n");
}
