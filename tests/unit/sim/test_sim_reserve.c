/* SPDX-License-Identifier: Apache-2.0 */
/* Suites commitments and forecast on small files worked by hand, and on bad ones. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim/demand.h"
#include "sim/sim.h"

#include "temp_files.h"

#define HEAD "submit_unix,duration_s,gpus\n"

static void demand_is_the_mean_of_minutes_rounded_half_to_even(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        int64_t gpus[4];
    } rows[] = {
        /* One hour on the dot, and a job that only marks the last submission. */
        {HEAD "3600,3600,4\n10800,0,0\n", 3, {4, 0, 0}},
        /* From the minute of 3659 s to the end of that of 7201 s: all of hour 1, one minute of hour 2. */
        {HEAD "3659,3542,60\n7200,0,1\n", 2, {60, 1}},
        /* Thirty minutes of 1, 3 and 5 GPUs: 0.5, 1.5, 2.5. */
        {HEAD "0,1800,1\n3600,1800,3\n7200,1800,5\n", 3, {0, 2, 2}},
        /* In any order; over whole hours; cut at the last submission's hour. */
        {HEAD "14400,60,0\n1800,100000,2\n", 5, {1, 2, 2, 2}},
        /* A blank fraction of a second belongs to the minute that it lies in. */
        {HEAD "59.5,0.6,60\n", 1, {2}},
        /* A job without end. */
        {HEAD "0,10000000000,1\n3600,0,0\n", 2, {1, 1}},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_sim_demand d;
        put(rows[i].text);
        assert_int_equal(weir_sim_demand_read(&d, path, NULL, NULL), 0);
        assert_int_equal(d.n, rows[i].n);
        for (size_t k = 0; k < d.n && k < 4; k++) {
            assert_int_equal(d.gpus[k], rows[i].gpus[k]);
        }
        weir_sim_demand_release(&d);
    }
}

static int run(const char *suite, struct weir_sim_options o, struct weir_sim_result *result, struct weir_err *err)
{
    *err = (struct weir_err){0};
    return weir_sim_run_suite(suite, &o, result, err);
}

static double metric(const struct weir_sim_result *r, size_t row, const char *name)
{
    const struct weir_sim_field *f = weir_sim_row_field(&r->row[row], name);
    assert_non_null(f);
    return f->kind == WEIR_SIM_REAL ? f->u.real : f->kind == WEIR_SIM_COUNT ? (double)f->u.count : NAN;
}

static void two_terms_of_two_gpus_costs_what_is_worked_out_by_hand(void **state)
{
    (void)state;
    struct weir_sim_result r;
    struct weir_err err;
    /* Two GPUs for 336 hours: twice the term of the first setting. */
    put(HEAD "0,1209600,2\n1209599,0,0\n");
    assert_int_equal(run("commitments", (struct weir_sim_options){.jobs = path}, &r, &err), 0);
    assert_int_equal(r.n_rows, 18);
    static const char *const policies[] = {"on-demand", "deterministic", "randomised", "constant-hindsight", "optimum", "weir"};
    for (size_t i = 0; i < 18; i++) {
        assert_string_equal(r.row[i].policy, policies[i % 6]);
        assert_null(weir_sim_row_field(&r.row[i], "reference_cost"));
    }
    /* Each GPU: 60 + 168 * 0.3 for each term, or 1 an hour. */
    assert_true(metric(&r, 0, "cost") == 672);
    assert_true(metric(&r, 4, "cost") == 4 * (60 + 168 * 0.3));
    assert_true(metric(&r, 3, "cost") == metric(&r, 4, "cost"));
    assert_int_equal(metric(&r, 4, "reservations"), 4);
    /* The rule buys in the 86th hour (85 without, that one with), and again 85 hours after the term is over. */
    assert_true(fabs(metric(&r, 1, "cost") - 2 * (85 + 60 + 168 * 0.3 + 83)) < 1e-9);
    for (size_t i = 0; i < 18; i++) {
        assert_true(metric(&r, i, "ratio") >= 1);
        assert_true(fabs(metric(&r, i, "gap_to_bound_percent") - (metric(&r, i, "ratio") - 1) * 100) < 1e-9);
        if (isfinite(metric(&r, i, "ratio_bound"))) {
            assert_true(metric(&r, i, "ratio") <= metric(&r, i, "ratio_bound"));
        }
    }
    uint64_t hash = r.hash;
    weir_sim_result_release(&r);
    assert_int_equal(run("commitments", (struct weir_sim_options){.jobs = path}, &r, &err), 0);
    assert_true(r.hash == hash);
    weir_sim_result_release(&r);
}

/* Hourly values over ten days; the row that is given stands in place of number at. */
static void put_series(const char *head, size_t at, const char *row)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(head, f);
    for (unsigned i = 0; i < 240; i++) {
        if (i == at) {
            fputs(row, f);
        } else {
            fprintf(f, "2026-01-%02u %02u:00:00,%u,%u\n", 1 + i / 24, i % 24, i % 24 < 12 ? 10 : 20, 7U);
        }
    }
    assert_int_equal(fclose(f), 0);
}

static void a_rhythm_of_a_day_is_forecast_from_yesterday(void **state)
{
    (void)state;
    struct weir_sim_result r;
    struct weir_err err;
    put_series("time,load,other\n", 50, "2026-01-03 02:00:00,,7\n");
    assert_int_equal(run("forecast", (struct weir_sim_options){.series = path}, &r, &err), 0);
    assert_int_equal(r.n_rows, 15);
    /* Five days are scored; the last value errs by 10 twice a day, the day before never. */
    assert_int_equal(metric(&r, 0, "values"), 120);
    assert_true(fabs(metric(&r, 0, "mae") - 10 * 2 / 24.0) < 1e-9);
    assert_true(fabs(metric(&r, 0, "rmse") - sqrt(100 * 2 / 24.0)) < 1e-9);
    assert_true(metric(&r, 1, "mae") == 0 && metric(&r, 1, "coverage") == 1);
    assert_true(metric(&r, 4, "mae") < 0.05);
    weir_sim_result_release(&r);
    put_series("time,other,active_max\n", 1000, "");
    assert_int_equal(run("forecast", (struct weir_sim_options){.series = path}, &r, &err), 0);
    assert_true(metric(&r, 0, "mae") == 0); /* the column active_max goes before the first one */
    weir_sim_result_release(&r);
}

static void bad_files_are_told_with_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } jobs[] = {
        {HEAD, "/input has no job"},
        {"submit_unix,gpus\n", "/input:1: there is no column 'duration_s'; the columns are: submit_unix, gpus"},
        {HEAD "1,2,x\n", "/input:2: column 'gpus': 'x' is not a whole number"},
        {HEAD "1,2,1\n1,-2,1\n", "/input:3: column 'duration_s': -2 is not between 0 and 1e+10"},
        {HEAD "1,2,1\n99999999999,2,1\n", "/input:3: column 'submit_unix': 99999999999 is over 219600 hours away"},
        {HEAD "0,3600,1000000\n0,3600,1000000\n", "/input asks for 2000000 GPUs at once"},
    };
    struct weir_sim_result r;
    struct weir_err err;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(jobs); i++) {
        put(jobs[i].text);
        assert_true(run("commitments", (struct weir_sim_options){.jobs = path}, &r, &err) < 0);
        assert_non_null(strstr(err.text, jobs[i].want));
        weir_sim_result_release(&r);
    }
    static const struct {
        const char *head;
        const char *row; /* the hundredth record */
        const char *want;
    } series[] = {
        {"time,load,other\n", "2026-01-05 04:30:00,1,1\n", "/input:102: column 'time': the steps are not even"},
        {"time,load,other\n", "2026-01-05,x,1\n", "/input:102: column 'time': the steps are not even"},
        {"time,load,other\n", "2026-01-05 04:00:00,x,1\n", "/input:102: column 2: 'x' is not a number"},
        {"time,load,active_max\n", "2026-01-05 04:00:00,1,x\n", "/input:102: column 'active_max': 'x' is not a number"},
        {"time,load,other\n", "yesterday,1,1\n", "/input:102: column 'time': 'yesterday' is not"},
        {"when,load,other\n", "", "/input:1: there is no column 'time'; the columns are: when, load, other"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(series); i++) {
        put_series(series[i].head, 100, series[i].row);
        assert_true(run("forecast", (struct weir_sim_options){.series = path}, &r, &err) < 0);
        assert_non_null(strstr(err.text, series[i].want));
        weir_sim_result_release(&r);
    }
    put("time,load\n2026-01-01,1\n2026-01-01 01:00,2\n");
    assert_true(run("forecast", (struct weir_sim_options){.series = path}, &r, &err) < 0);
    assert_non_null(strstr(err.text, "spans 0 days: at least 4 are needed"));
    put("time\n2026-01-01\n");
    assert_true(run("forecast", (struct weir_sim_options){.series = path}, &r, &err) < 0);
    assert_non_null(strstr(err.text, "there is no column beside 'time'"));
    weir_sim_result_release(&r);
}

static void what_is_asked_must_be_known(void **state)
{
    (void)state;
    static const struct {
        const char *suite;
        struct weir_sim_options o;
        int code;
        const char *want;
    } rows[] = {
        {"comitments", {0}, -WEIR_EINVAL, "there is no suite 'comitments'; did you mean 'commitments'?; the suites are: "},
        {"qqq", {0}, -WEIR_EINVAL, "there is no suite 'qqq'; the suites are: "},
        {"commitments", {.policies = "weir,best"}, -WEIR_EINVAL,
         "--policies: suite commitments has no policy 'best'; it has on-demand,deterministic,"},
        {"commitments", {.policies = ""}, -WEIR_EINVAL, "--policies: suite commitments has no policy ''"},
        {"commitments", {.series = "x"}, -WEIR_EINVAL, "--series means nothing to suite commitments; it reads --jobs, --schedule"},
        {"forecast", {.schedule = "x"}, -WEIR_EINVAL, "--schedule means nothing to suite forecast: it forecasts demand"},
        {"forecast", {0}, -WEIR_EINVAL, "say where the input is: --series FILE"},
    };
    struct weir_sim_result r;
    struct weir_err err;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(run(rows[i].suite, rows[i].o, &r, &err), rows[i].code);
        assert_non_null(strstr(err.text, rows[i].want));
        weir_sim_result_release(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demand_is_the_mean_of_minutes_rounded_half_to_even),
        cmocka_unit_test(two_terms_of_two_gpus_costs_what_is_worked_out_by_hand),
        cmocka_unit_test(a_rhythm_of_a_day_is_forecast_from_yesterday),
        cmocka_unit_test(bad_files_are_told_with_line_and_column),
        cmocka_unit_test(what_is_asked_must_be_known),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
