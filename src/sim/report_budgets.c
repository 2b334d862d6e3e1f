/* SPDX-License-Identifier: Apache-2.0 */

/* What the report says of budgets: what each held back, and what was not spent for it. */

#include <stdio.h>

#include "base/mem.h"
#include "findings.h"
#include "measure.h"
#include "report_priv.h"
#include "svg.h"

#define NBSP "\xc2\xa0"
#define MINUS "\xe2\x88\x92"
#define DASH "\xe2\x80\x93"

enum { TEXT = 160, BARS_MAX = 16, MONTHS = 12 };

static void figure(char *ret, size_t size, double v, int places)
{
    char text[64];
    weir_sim_figure_text(text, sizeof text, v < 0 ? -v : v, places);
    snprintf(ret, size, "%s%s", v < 0 && strspn(text, "0.,") < strlen(text) ? MINUS : "", text);
}

static void money_words(char *ret, size_t size, int64_t micro)
{
    double units = (double)micro / 1e6;
    figure(ret, size, units, micro != 0 && units < 100 && units > -100 ? 2 : 0);
}

static void day_words(struct weir_wall at, char *ret, size_t size)
{
    char text[WEIR_RFC3339_SIZE];
    snprintf(ret, size, "%.10s", weir_wall_format(at, text));
}

/* "October 2026", "2026-10-01 to 2026-12-31", "all the time". */
static void span_words(const struct weir_sim_budget_span *s, char *ret, size_t size)
{
    static const char *const month[MONTHS] = {"January", "February", "March",     "April",   "May",      "June",
                                              "July",    "August",   "September", "October", "November", "December"};
    char from[16];
    char last[16];
    struct weir_date d = weir_wall_to_date(s->from);
    struct weir_date next = {.year = d.year + d.month / MONTHS, .month = d.month % MONTHS + 1, .day = 1};
    day_words(s->from, from, sizeof from);
    day_words((struct weir_wall){s->until.us - 1}, last, sizeof last);
    if (s->until.us == 0) {
        snprintf(ret, size, "all the time");
    } else if (s->from.us != 0 && d.day == 1 && weir_wall_from_date(next).us == s->until.us) {
        snprintf(ret, size, "%s" NBSP "%d", month[d.month - 1], d.year);
    } else {
        snprintf(ret, size, "%s to %s", s->from.us == 0 ? "the begin" : from, last);
    }
}

const struct weir_sim_row *weir_sim_row_without_budgets(const struct weir_sim_result *r, const struct weir_sim_row *row)
{
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_row *other = &r->row[i];
        bool same = other->budgets == NULL && weir_streq(other->policy, row->policy);
        for (size_t k = 0; k < row->n_fields && same; k++) {
            const struct weir_sim_field *f = &row->field[k];
            const struct weir_sim_field *x = f->metric || weir_streq(f->name, "budgets") ? NULL : weir_sim_row_field(other, f->name);
            same = f->metric || weir_streq(f->name, "budgets") || (x != NULL && weir_sim_same_value(f, x));
        }
        if (same) {
            return other;
        }
    }
    return NULL;
}

/* weir's row under budgets that has the setting that is meant without any. */
static bool is_meant(const struct weir_sim_result *r, const struct weir_sim_row *row)
{
    const struct weir_sim_row *without = row->budgets == NULL || !weir_streq(row->policy, "weir") ? NULL : weir_sim_row_without_budgets(r, row);
    return without != NULL && weir_sim_row_meant(r, without, "weir") == without;
}

/* The row of a case that is spoken of: weir's that is meant, else its first that had budgets in force; NULL where none had. */
static const struct weir_sim_row *row_of_case(const struct weir_sim_report_view *v, size_t c)
{
    const struct weir_sim_result *r = v->result;
    const struct weir_sim_row *row = NULL;
    for (size_t i = v->first[c]; i < r->n_rows; i++) {
        const struct weir_sim_row *x = &r->row[i];
        bool told = v->case_of[i] == c && x->budgets != NULL && x->budgets->n > 0;
        row = told && (row == NULL || (is_meant(r, x) && !is_meant(r, row))) ? x : row;
    }
    return row;
}

/* "530 of 600 tasks waited for a budget, 38,947 h in all, and 12 of them never began. The average wait is 65.0 h; without budgets it is 2.4 h." */
static void say_what_waited(const struct weir_sim_result *r, const struct weir_sim_row *row, struct weir_str *out)
{
    const struct weir_sim_row *without = weir_sim_row_without_budgets(r, row);
    double held = 0;
    double tasks = 0;
    double hours = 0;
    double never = 0;
    double wait[2] = {0};
    char text[5][40];
    (void)(weir_sim_row_real(row, "held_back", &held) && weir_sim_row_real(row, "tasks", &tasks) && weir_sim_row_real(row, "budget_wait_hours", &hours) &&
           weir_sim_row_real(row, "never_started", &never));
    figure(text[0], sizeof text[0], held, 0);
    figure(text[1], sizeof text[1], tasks, 0);
    figure(text[2], sizeof text[2], hours, hours < 100 ? 1 : 0);
    figure(text[3], sizeof text[3], never, 0);
    weir_str_addf(out, "%s of %s tasks waited for a budget, %s hours in all", text[0], text[1], text[2]);
    weir_str_addf(out, never > 0 ? ", and %s of them never began: no span had room for them." : ".", text[3]);
    if (without != NULL && weir_sim_row_real(row, "avg_wait_hours", &wait[0]) && weir_sim_row_real(without, "avg_wait_hours", &wait[1])) {
        figure(text[0], sizeof text[0], wait[0], 1);
        figure(text[1], sizeof text[1], wait[1], 1);
        weir_str_addf(out, " What ran waited %s hours on average; without budgets %s.", text[0], text[1]);
    }
}

static void add_money(int64_t micro, struct weir_str *out)
{
    char text[64];
    money_words(text, sizeof text, micro);
    weir_str_addf(out, "<td>%s</td>", text);
}

static void add_count(uint64_t n, struct weir_str *out)
{
    char text[40];
    figure(text, sizeof text, (double)n, 0);
    weir_str_addf(out, "<td>%s</td>", text);
}

static void span_row(const struct weir_sim_budget_span *s, struct weir_str *out)
{
    char span[TEXT];
    char hours[40];
    span_words(s, span, sizeof span);
    figure(hours, sizeof hours, s->waited_h, s->waited_h < 100 ? 1 : 0);
    weir_str_adds(out, "<tr><td class=\"l\"><b>");
    weir_html_text(out, s->name);
    weir_str_adds(out, "</b><small>");
    weir_html_text(out, s->scope);
    weir_str_adds(out, s->cloud_only ? ", rented machines only</small></td><td class=\"l\">" : "</small></td><td class=\"l\">");
    weir_html_text(out, span);
    weir_str_adds(out, "</td>");
    add_money(s->amount_micro, out);
    add_money(s->spent_micro, out);
    if (s->without_micro < 0) {
        weir_str_adds(out, "<td>" DASH "</td><td>" DASH "</td>");
    } else {
        add_money(s->without_micro, out);
        add_money(weir_sim_budget_span_saved(s), out);
    }
    add_count(s->held_back, out);
    weir_str_addf(out, "<td>%s</td>", hours);
    add_count(s->waiting, out);
    add_count(s->never, out);
    weir_str_adds(out, "</tr>\n");
}

/* Of each span: what was spent, and what was not. */
static void span_bars(const struct weir_sim_result *r, const struct weir_sim_budget_spans *all, struct weir_str *out)
{
    static const char *const part[] = {"Spent", "Not spent"};
    struct weir_svg_stack stack[BARS_MAX];
    double value[BARS_MAX][2];
    char label[BARS_MAX][TEXT];
    char text[BARS_MAX][TEXT];
    char title[TEXT];
    size_t n = 0;
    for (size_t i = 0; i < all->n && n < BARS_MAX; i++) {
        const struct weir_sim_budget_span *s = &all->span[i];
        char span[TEXT / 2];
        char spent[40];
        char amount[40];
        span_words(s, span, sizeof span);
        money_words(spent, sizeof spent, s->spent_micro);
        money_words(amount, sizeof amount, s->amount_micro);
        value[n][0] = (double)s->spent_micro / 1e6;
        value[n][1] = (double)weir_sim_budget_span_saved(s) / 1e6;
        snprintf(label[n], sizeof label[n], "%s, %s", s->name, span);
        snprintf(text[n], sizeof text[n], "%s of %s", spent, amount);
        stack[n] = (struct weir_svg_stack){label[n], value[n], text[n]};
        n++;
    }
    snprintf(title, sizeof title, "Spent of each budget, and what was not spent for it (%s)", weir_sim_unit_of(r, "cost"));
    weir_str_adds(out, "<figure class=\"wide\">\n<figcaption>");
    weir_html_text(out, title);
    weir_str_adds(out, "</figcaption>\n");
    weir_svg_stacks(out, title, "", part, WEIR_ARRAY_LEN(part), stack, n);
    weir_str_adds(out, "</figure>\n");
}

static void reached_words(const struct weir_sim_budget_spans *all, struct weir_str *out)
{
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++) {
        const struct weir_sim_budget_span *s = &all->span[i];
        for (size_t k = 0; k < s->n_reached; k++) {
            char day[16];
            day_words(s->reached[k].at, day, sizeof day);
            struct weir_sv action = weir_sv_of(s->reached[k].threshold);
            struct weir_sv percent = weir_sv_cut(&action, ':');
            weir_str_adds(out, n++ == 0 ? "<p class=\"note\">Thresholds reached: " : "; ");
            weir_html_text(out, s->name);
            weir_str_addf(out, " %.*s" NBSP "%% on %s (%.*s)", WEIR_SV_ARG(percent), day, WEIR_SV_ARG(action));
        }
    }
    weir_str_adds(out, n > 0 ? ".</p>\n" : "");
}

static void write_set(const struct weir_sim_report_view *v, const struct weir_sim_row *row, struct weir_str *out)
{
    static const char *const head[] = {"Amount", "Spent", "Without budgets", "Not spent"};
    static const char *const counts[][2] = {{"Held back", "tasks"}, {"Waited", "h in all"}, {"Waiting at its end", "tasks"}, {"Never began", "tasks"}};
    const struct weir_sim_result *r = v->result;
    char where[TEXT];
    char name[TEXT];
    weir_sim_case_words(r, row, where, sizeof where);
    weir_sim_report_name(v, row, name, sizeof name);
    weir_str_adds(out, "<h3>");
    weir_html_text(out, where);
    weir_str_adds(out, " (");
    weir_html_text(out, name);
    weir_str_adds(out, ")</h3>\n<p>");
    say_what_waited(r, row, out);
    weir_str_adds(out, "</p>\n");
    span_bars(r, row->budgets, out);
    weir_str_adds(out, "<div class=\"scroll\"><table>\n<thead><tr><th class=\"l\">Budget</th><th class=\"l\">Span</th>");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(head); i++) {
        weir_str_addf(out, "<th>%s<small>%s</small></th>", head[i], weir_sim_unit_of(r, "cost"));
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(counts); i++) {
        weir_str_addf(out, "<th>%s<small>%s</small></th>", counts[i][0], counts[i][1]);
    }
    weir_str_adds(out, "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < row->budgets->n; i++) {
        span_row(&row->budgets->span[i], out);
    }
    weir_str_adds(out, "</tbody></table></div>\n");
    reached_words(row->budgets, out);
}

void weir_sim_report_budgets(const struct weir_sim_report_view *v, struct weir_str *out)
{
    size_t n = 0;
    for (size_t c = 0; c < v->n_cases; c++) {
        const struct weir_sim_row *row = row_of_case(v, c);
        if (row == NULL) {
            continue;
        }
        if (n++ == 0) {
            weir_str_adds(out, "<section>\n<h2>What budgets would have done</h2>\n<p>All of the same work under budgets, beside the same without any. What a task may cost at worst is held "
                               "before it starts, so that no budget is ever passed; a task that finds no room waits. It may run in a later span, which then spends more for it: "
                               "that is less than nothing not spent. Spending counts what tasks were charged, not the idle time of owned nodes.</p>\n");
        }
        write_set(v, row, out);
    }
    weir_str_adds(out, n > 0 ? "</section>\n" : "");
}

bool weir_sim_finding_of_budgets(const struct weir_sim_result *r, struct weir_sim_finding *ret)
{
    const struct weir_sim_row *row = NULL;
    const struct weir_sim_budget_span *most = NULL;
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_row *x = &r->row[i];
        bool better = x->budgets != NULL && (row == NULL || is_meant(r, x) >= is_meant(r, row));
        bool anew = better && row != NULL && is_meant(r, x) > is_meant(r, row);
        for (size_t k = 0; better && k < x->budgets->n; k++) {
            const struct weir_sim_budget_span *s = &x->budgets->span[k];
            if (most == NULL || (anew && k == 0) || weir_sim_budget_span_saved(s) > weir_sim_budget_span_saved(most)) {
                row = x;
                most = s;
            }
        }
    }
    if (most == NULL) {
        return false;
    }
    char text[3][64];
    char span[TEXT];
    char where[TEXT];
    WEIR_CLEANUP(weir_str_release) struct weir_str words = WEIR_STR_INIT(sizeof ret->text);
    money_words(text[0], sizeof text[0], weir_sim_budget_span_saved(most));
    money_words(text[1], sizeof text[1], most->spent_micro);
    money_words(text[2], sizeof text[2], most->without_micro < 0 ? 0 : most->without_micro);
    span_words(most, span, sizeof span);
    weir_sim_case_words(r, row, where, sizeof where);
    snprintf(ret->figure, sizeof ret->figure, "%s" NBSP "%s", text[0], weir_sim_unit_of(r, "cost"));
    weir_str_addf(&words, "not spent, %s, where budget %s counts (%s, %s %s without): ", span, most->name, text[1], text[2], weir_sim_unit_of(r, "cost"));
    weir_str_addf(&words, "%s. ", where);
    say_what_waited(r, row, &words);
    snprintf(ret->text, sizeof ret->text, "%s", weir_str_cstr(&words));
    ret->good = false;
    return true;
}
