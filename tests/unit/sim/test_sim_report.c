/* SPDX-License-Identifier: Apache-2.0 */
/* What a result says in words and draws: findings, axes, figures, and texts that must not become tags. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "sim/findings.h"
#include "sim/measure.h"
#include "sim/params.h"
#include "sim/report.h"
#include "sim/svg.h"

#define NBSP "\xc2\xa0"
#define MINUS "\xe2\x88\x92"

static void figures_have_thousands_and_a_true_minus(void **state)
{
    static const struct {
        double v;
        int places;
        const char *want;
    } row[] = {{0, 0, "0"},        {999.4, 0, "999"},           {1000, 0, "1,000"}, {1234567.891, 2, "1,234,567.89"},
               {-0.0001, 2, "0.00"}, {-1234.5, 1, MINUS "1,234.5"}, {12, 3, "12.000"}};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        char text[64];
        weir_sim_figure_text(text, sizeof text, row[i].v, row[i].places);
        assert_string_equal(text, row[i].want);
    }
}

static void axes_have_round_steps_around_the_values(void **state)
{
    static const struct {
        double low, high, from, to, step;
        int places;
    } row[] = {{0, 97, 0, 100, 20, 0},   {3.02, 3.31, 3, 3.4, 0.1, 1}, {0, 1e6, 0, 1e6, 2e5, 0},
               {-3, 12, -5, 15, 5, 0},   {0, 0.004, 0, 0.004, 0.001, 3}, {7, 7, 6.2, 7.8, 0.4, 1}};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        struct weir_svg_axis a = weir_svg_axis(row[i].low, row[i].high, 5, 0, 100);
        assert_true(a.from <= row[i].low && a.to >= row[i].high && a.step > 0);
        assert_true((a.to - a.from) / a.step < 12);
        if (row[i].high > row[i].low) {
            assert_true(fabs(a.from - row[i].from) < 1e-9 && fabs(a.to - row[i].to) < 1e-9 && fabs(a.step - row[i].step) < 1e-9);
            assert_int_equal(a.places, row[i].places);
        }
    }
}

static void add(struct weir_sim_result *r, const char *policy, double delay_value, double cloud, double wait, double completion)
{
    struct weir_sim_row *row = weir_sim_row(r, policy);
    weir_sim_case_count(row, "nodes", 8);
    if (delay_value >= 0) {
        weir_sim_case_real(row, "delay_value", delay_value);
    }
    weir_sim_metric(row, "cloud_gpu_hours", cloud);
    weir_sim_metric(row, "avg_wait_hours", wait);
    weir_sim_metric(row, "avg_completion_hours", completion);
}

static void a_front_is_read_off_at_the_rivals_figures(void **state)
{
    (void)state;
    struct weir_sim_result r;
    struct weir_sim_finding f[WEIR_SIM_FINDINGS_MAX];
    weir_sim_result_init(&r, "starburst");
    add(&r, "starburst", -1, 1000, 0.5, 2.5);
    add(&r, "weir", 1, 600, 1, 3);
    add(&r, "weir", 10, 900, 0, 2); /* at a completion of 2.5 h: 750 */
    add(&r, "weir", 20, 1100, 0, 1.9);
    assert_int_equal(weir_sim_findings(&r, f), 2);
    assert_string_equal(f[0].figure, MINUS "25.0" NBSP "%");
    assert_string_equal(f[1].figure, MINUS "100.0" NBSP "%"); /* at 1000 GPU-hours weir does not wait at all */
    weir_sim_result_release(&r);
}

static void a_finding_is_good_news_or_bad(void **state)
{
    static const struct {
        double at_rival; /* weir's GPU-hours where it completes as the rival */
        const char *figure;
        const char *says;
        bool good;
    } row[] = {
        {760, MINUS "24.0" NBSP "%", "weir: 24.0" NBSP "% fewer cloud GPU-hours than Starburst at the same average completion time (760.0 instead of 1,000" NBSP "GPU-h at 2.50" NBSP "h).", true},
        {1100, "+10.0" NBSP "%", "weir: 10.0" NBSP "% more cloud GPU-hours than Starburst", false},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        struct weir_sim_result r;
        struct weir_sim_finding f[WEIR_SIM_FINDINGS_MAX];
        weir_sim_result_init(&r, "starburst");
        add(&r, "starburst", -1, 1000, 0.5, 2.5);
        add(&r, "weir", 1, row[i].at_rival - 100, 1, 3);
        add(&r, "weir", 10, row[i].at_rival + 100, 0.4, 2);
        assert_true(weir_sim_findings(&r, f) >= 1);
        assert_string_equal(f[0].figure, row[i].figure);
        assert_non_null(strstr(f[0].text, row[i].says));
        assert_int_equal(f[0].good, row[i].good);
        weir_sim_result_release(&r);
    }
}

static void nothing_is_said_beyond_the_front(void **state)
{
    (void)state;
    struct weir_sim_result r;
    struct weir_sim_finding f[WEIR_SIM_FINDINGS_MAX];
    weir_sim_result_init(&r, "starburst");
    add(&r, "starburst", -1, 1000, 0.5, 9);
    add(&r, "weir", 1, 500, 1, 3);
    add(&r, "weir", 10, 700, 0.4, 2);
    assert_int_equal(weir_sim_findings(&r, f), 0);
    weir_sim_result_release(&r);
    weir_sim_result_init(&r, "no-such-suite");
    add(&r, "weir", 1, 500, 1, 3);
    assert_int_equal(weir_sim_findings(&r, f), 0);
    weir_sim_result_release(&r);
}

static void one_metric_is_weighed_against_rivals_and_bounds(void **state)
{
    static const struct {
        const char *policy;
        double cost;
    } row[] = {{"on-demand", 150}, {"slack", 100}, {"weir", 96}, {"optimum", 92}};
    (void)state;
    struct weir_sim_result r;
    struct weir_sim_finding f[WEIR_SIM_FINDINGS_MAX];
    weir_sim_result_init(&r, "cant-be-late");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        struct weir_sim_row *w = weir_sim_row(&r, row[i].policy);
        weir_sim_metric(w, "mean_cost_usd", row[i].cost);
        weir_sim_metric_count(w, "misses", 0);
        weir_sim_metric_count(w, "scenarios", 1080);
    }
    assert_int_equal(weir_sim_findings(&r, f), 4);
    assert_string_equal(f[0].text, "weir: average cost of a task 96.00" NBSP "USD, 4.0" NBSP "% less than the slack rule (100.0).");
    assert_string_equal(f[1].figure, MINUS "36.0" NBSP "%");
    assert_string_equal(f[2].figure, "+4.3" NBSP "%");
    assert_false(f[2].good);
    assert_non_null(strstr(f[2].text, "knowledge of the future"));
    assert_string_equal(f[3].text, "deadlines missed by weir in 1,080 scenarios.");
    weir_sim_result_release(&r);
}

/* A row of a replay. */
static struct weir_sim_row *replayed(struct weir_sim_result *r, const char *policy, int64_t nodes, double delay_value, double own, double cloud,
                                     double wait, int64_t unplaced)
{
    struct weir_sim_row *row = weir_sim_row(r, policy);
    weir_sim_case_count(row, "nodes", nodes);
    if (delay_value >= 0) {
        weir_sim_case_real(row, "delay_value", delay_value);
    }
    weir_sim_metric(row, "cost", own + cloud);
    weir_sim_metric(row, "own_cost", own);
    weir_sim_metric(row, "cloud_cost", cloud);
    weir_sim_metric(row, "avg_wait_hours", wait);
    weir_sim_metric_count(row, "tasks", 100);
    weir_sim_metric_count(row, "unplaced", unplaced);
    return row;
}

static void a_row_stands_for_its_policy(void **state)
{
    static const struct {
        double rivals_wait; /* < 0: the rival was not run */
        double want;        /* delay_value of the row that is meant */
    } row[] = {
        {2, 3},     /* the cheapest of those that wait no longer */
        {9, 1},     /* all wait no longer */
        {0.01, 10}, /* none: the one that waits least */
        {-1, 3},    /* nobody to be measured against: nearest to least cost and least waiting */
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        struct weir_sim_result r;
        weir_sim_result_init(&r, "replay");
        (void)replayed(&r, "weir", 4, 1, 50, 50, 8, 0);
        (void)replayed(&r, "weir", 4, 3, 50, 70, 1, 0);
        (void)replayed(&r, "weir", 4, 10, 50, 250, 0.1, 0);
        (void)replayed(&r, "weir", 4, 0.1, 50, 1, 9, 7); /* cheaper than all, with work left undone */
        if (row[i].rivals_wait >= 0) {
            (void)replayed(&r, "starburst", 4, -1, 50, 100, row[i].rivals_wait, 0);
        }
        const struct weir_sim_row *meant = weir_sim_row_meant(&r, &r.row[0], "weir");
        assert_non_null(meant);
        assert_true(fabs(weir_sim_row_field(meant, "delay_value")->u.real - row[i].want) < 1e-9);
        weir_sim_result_release(&r);
    }
}

static void what_left_work_undone_is_named_not_ranked(void **state)
{
    (void)state;
    struct weir_sim_result r;
    struct weir_sim_finding f[WEIR_SIM_FINDINGS_MAX];
    weir_sim_result_init(&r, "replay");
    (void)replayed(&r, "weir", 4, -1, 50, 70, 1, 0);
    (void)replayed(&r, "local-only", 4, -1, 40, 0, 0.5, 12);
    (void)replayed(&r, "starburst", 4, -1, 50, 30, 0.5, 3);
    weir_sim_mark_pareto(&r);
    assert_true(weir_sim_row_field(&r.row[0], "pareto")->u.yes);
    assert_false(weir_sim_row_field(&r.row[1], "pareto")->u.yes);
    assert_false(weir_sim_row_ranks(&r.row[1]));
    size_t n = weir_sim_findings(&r, f);
    assert_int_equal(n, 1);
    assert_null(strstr(f[0].text, "owned nodes alone"));
    const struct weir_sim_report report = {.result = &r, .command = "weir sim"};
    WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(WEIR_SIM_REPORT_BYTES_MAX);
    (void)replayed(&r, "cloud-only", 4, -1, 40, 200, 0.1, 0);
    weir_sim_report_html(&report, &out);
    assert_non_null(strstr(weir_str_cstr(&out), "local-only, where 12 of 100 tasks found no place; starburst, where 3 of 100"));
    weir_sim_result_release(&r);
}

static void headlines_tell_cost_and_wait(void **state)
{
    (void)state;
    struct weir_sim_result r;
    struct weir_sim_finding f[WEIR_SIM_FINDINGS_MAX];
    weir_sim_result_init(&r, "replay");
    weir_sim_result_set_currency(&r, "EUR");
    for (int64_t nodes = 4; nodes <= 8; nodes += 4) {
        (void)replayed(&r, "weir", nodes, -1, 10 * (double)nodes, nodes == 4 ? 70 : 10, 2, 0);
        (void)replayed(&r, "starburst", nodes, -1, 10 * (double)nodes, 100, 0.5, 0);
        (void)replayed(&r, "no-wait", nodes, -1, 10 * (double)nodes, 120, 0, 0);
        (void)replayed(&r, "cloud-only", nodes, -1, 10 * (double)nodes, 300, 0, 0);
        (void)replayed(&r, "local-only", nodes, -1, 10 * (double)nodes, 0, 70, nodes == 4 ? 5 : 0);
    }
    assert_int_equal(weir_sim_findings(&r, f), 3);
    assert_string_equal(f[0].figure, "90.00" NBSP "EUR"); /* eight nodes: four cost 110 */
    assert_string_equal(f[0].text, "with weir, 8" NBSP "nodes: tasks wait 2.00" NBSP "h on average. In the cloud alone: 300.0" NBSP
                                   "EUR, wait 0.0" NBSP "min. On the same owned nodes alone: 80.00" NBSP "EUR, wait 70.0" NBSP "h.");
    assert_string_equal(f[1].text, "weir: 50.0" NBSP "% less cost than Starburst (8" NBSP "nodes: 90.00 instead of 180.0" NBSP "EUR, wait 2.00" NBSP
                                   "h instead of 30.0" NBSP "min).");
    assert_false(f[1].good); /* cheaper, but people wait longer */
    weir_sim_result_release(&r);
}

static void mixed_news_are_told(void **state)
{
    (void)state;
    struct weir_sim_result r;
    struct weir_sim_finding f[WEIR_SIM_FINDINGS_MAX];
    weir_sim_result_init(&r, "starburst");
    for (int64_t nodes = 8; nodes <= 16; nodes += 8) {
        static const double at[][3] = {{-1, 1000, 2.5}, {1, 600, 3}, {10, 900, 2}};
        for (size_t i = 0; i < WEIR_ARRAY_LEN(at); i++) {
            struct weir_sim_row *row = weir_sim_row(&r, i == 0 ? "starburst" : "weir");
            weir_sim_case_count(row, "nodes", nodes);
            if (i > 0) {
                weir_sim_case_real(row, "delay_value", at[i][0]);
            }
            weir_sim_metric(row, "cloud_gpu_hours", i > 0 && nodes == 16 ? 2 * at[i][1] : at[i][1]);
            weir_sim_metric(row, "avg_completion_hours", at[i][2]);
        }
    }
    assert_true(weir_sim_findings(&r, f) >= 1);
    assert_string_equal(f[0].figure, MINUS "25.0" NBSP "% to +50.0" NBSP "%");
    assert_false(f[0].good);
    weir_sim_result_release(&r);
}

static void assumptions_and_notes_are_told_once(void **state)
{
    (void)state;
    struct weir_sim_result r;
    weir_sim_result_init(&r, "replay");
    weir_sim_result_set_currency(&r, "EUR");
    for (int i = 0; i < 2; i++) {
        weir_sim_assume(&r, "Cloud", "Spot", "there is none");
        weir_sim_assume(&r, "Cloud", "Price factor", "%d", i);
        weir_sim_note(&r, "%d records", 5);
    }
    assert_int_equal(r.n_assumptions, 2);
    assert_int_equal(r.n_notes, 1);
    WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(WEIR_SIM_REPORT_BYTES_MAX);
    weir_sim_result_json(&r, &out);
    assert_non_null(strstr(weir_str_cstr(&out), "\"currency\":\"EUR\""));
    assert_non_null(strstr(weir_str_cstr(&out), "\"text\":\"differs: see the rows\""));
    assert_non_null(strstr(weir_str_cstr(&out), "\"notes\":[\"5 records\"]"));
    assert_string_equal(weir_sim_unit_of(&r, "own_cost"), "EUR");
    assert_string_equal(weir_sim_unit_of(&r, "cloud_cost_per_hour"), "EUR/h");
    assert_string_equal(weir_sim_unit_of(&r, "mean_cost_usd"), "USD");
    weir_sim_result_release(&r);
}

static size_t count(const char *text, const char *piece)
{
    size_t n = 0;
    for (const char *p = strstr(text, piece); p != NULL; p = strstr(p + 1, piece)) {
        n++;
    }
    return n;
}

static void texts_never_become_tags(void **state)
{
    static const char evil[] = "<script>&\"'";
    (void)state;
    struct weir_sim_result r;
    weir_sim_result_init(&r, "starburst");
    for (int i = 0; i < 3; i++) {
        struct weir_sim_row *row = weir_sim_row(&r, evil);
        weir_sim_case_text(row, "trace", evil);
        weir_sim_case_real(row, "delay_value", i);
        weir_sim_metric(row, "cloud_gpu_hours", 10 * i);
        weir_sim_metric(row, "avg_completion_hours", 5 - i);
        weir_sim_metric(row, evil, 1);
        row->series = weir_sim_series_new(0);
        size_t line = weir_sim_series_add_line(row->series, evil);
        weir_sim_series_spread(row->series, line, 0, 600000000, 5);
        weir_sim_series_sum(row->series, evil, evil, 1);
    }
    const struct weir_sim_report_input input = {.path = evil, .bytes = 1, .sha256 = "0"};
    const struct weir_sim_report report = {.result = &r, .command = evil, .seed = evil, .input = &input, .n_inputs = 1};
    WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(WEIR_SIM_REPORT_BYTES_MAX);
    weir_sim_report_html(&report, &out);
    assert_false(out.overflowed);
    const char *page = weir_str_cstr(&out);
    assert_int_equal(count(page, "<script"), 0);
    assert_true(count(page, "&lt;script&gt;&amp;&quot;&#39;") > 10);
    assert_int_equal(count(page, "nan"), 0);
    assert_int_equal(count(page, "<svg"), count(page, "</svg>"));
    weir_sim_result_release(&r);
}

static void a_report_of_nothing_is_a_page(void **state)
{
    (void)state;
    struct weir_sim_result r;
    weir_sim_result_init(&r, "starburst");
    const struct weir_sim_report report = {.result = &r, .command = "weir sim"};
    WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(WEIR_SIM_REPORT_BYTES_MAX);
    weir_sim_report_html(&report, &out);
    assert_non_null(strstr(weir_str_cstr(&out), "</html>"));
    weir_sim_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_have_thousands_and_a_true_minus),
        cmocka_unit_test(axes_have_round_steps_around_the_values),
        cmocka_unit_test(a_front_is_read_off_at_the_rivals_figures),
        cmocka_unit_test(a_finding_is_good_news_or_bad),
        cmocka_unit_test(nothing_is_said_beyond_the_front),
        cmocka_unit_test(one_metric_is_weighed_against_rivals_and_bounds),
        cmocka_unit_test(a_row_stands_for_its_policy),
        cmocka_unit_test(what_left_work_undone_is_named_not_ranked),
        cmocka_unit_test(headlines_tell_cost_and_wait),
        cmocka_unit_test(mixed_news_are_told),
        cmocka_unit_test(assumptions_and_notes_are_told_once),
        cmocka_unit_test(texts_never_become_tags),
        cmocka_unit_test(a_report_of_nothing_is_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
