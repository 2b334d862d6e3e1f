/* SPDX-License-Identifier: Apache-2.0 */
/* Time series, sums by name and quantiles of a run. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/wtime.h"
#include "sim/quantile.h"
#include "sim/result.h"
#include "sim/series.h"

enum { BEGIN_S = 1000000 };

static int64_t at(int64_t s)
{
    return (BEGIN_S + s) * WEIR_US_PER_S;
}

static double sum(const struct weir_sim_series *s, size_t line)
{
    double v = 0;
    for (size_t i = 0; i < s->n; i++) {
        v += s->line[line].v[i];
    }
    return v;
}

static void an_amount_is_spread_by_time(void **state)
{
    (void)state;
    WEIR_CLEANUP(weir_freep) struct weir_sim_series *s = weir_sim_series_new(at(0));
    size_t line = weir_sim_series_add_line(s, "gpus");
    /* 30 s of the first minute, all of the second, 30 s of the third */
    weir_sim_series_spread(s, line, at(30), at(150), 240);
    assert_int_equal(s->n, 3);
    assert_true(fabs(s->line[line].v[0] - 60) < 1e-9);
    assert_true(fabs(s->line[line].v[1] - 120) < 1e-9);
    assert_true(fabs(s->line[line].v[2] - 60) < 1e-9);
    weir_sim_series_spread(s, line, at(70), at(70), 5);
    assert_true(fabs(s->line[line].v[1] - 125) < 1e-9);
    weir_sim_series_per(s, line, 1);
    assert_true(fabs(s->line[line].v[0] - 1) < 1e-9);
    assert_ptr_equal(weir_sim_series_line(s, "gpus"), &s->line[line]);
    assert_null(weir_sim_series_line(s, "gpu"));
}

static void points_are_joined_where_they_run_out_and_nothing_is_lost(void **state)
{
    (void)state;
    WEIR_CLEANUP(weir_freep) struct weir_sim_series *s = weir_sim_series_new(at(0));
    size_t a = weir_sim_series_add_line(s, "a");
    size_t b = weir_sim_series_add_line(s, "b");
    double put = 0;
    for (int64_t i = 0; i < 3000; i++) {
        weir_sim_series_spread(s, a, at(i * 300), at(i * 300 + 777), (double)i);
        weir_sim_series_spread(s, b, at(i * 300), at(i * 300), 1);
        put += (double)i;
    }
    assert_true(s->n <= WEIR_SIM_POINTS_MAX);
    assert_true(s->n > WEIR_SIM_POINTS_MAX / 4);
    assert_true(s->step_s * (double)s->n >= 2999 * 300 + 777);
    assert_true(fabs(sum(s, a) - put) < 1e-6 * put);
    assert_true(fabs(sum(s, b) - 3000) < 1e-6);
    /* flat but for the last point, which is not full */
    for (size_t i = 0; i + 1 < s->n; i++) {
        assert_true(fabs(s->line[b].v[i] - s->step_s / 300) <= 1);
    }
}

static void sums_stand_by_size_and_too_many_names_are_joined(void **state)
{
    (void)state;
    WEIR_CLEANUP(weir_freep) struct weir_sim_series *s = weir_sim_series_new(at(0));
    double put = 0;
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i % 50);
        weir_sim_series_sum(s, "cost_by_project", name, i);
        put += i;
    }
    weir_sim_series_finish(s);
    const struct weir_sim_breakdown *b = weir_sim_series_breakdown(s, "cost_by_project");
    assert_non_null(b);
    assert_int_equal(b->n, WEIR_SIM_PARTS_MAX);
    assert_string_equal(b->part[0].name, "p30");
    assert_string_equal(b->part[b->n - 1].name, "others");
    double got = 0;
    for (size_t i = 0; i < b->n; i++) {
        got += b->part[i].v;
    }
    assert_true(fabs(got - put) < 1e-9);
    assert_null(weir_sim_series_breakdown(s, "cost_by_pool"));
}

static void a_row_shows_its_series(void **state)
{
    (void)state;
    struct weir_sim_result r;
    weir_sim_result_init(&r, "t");
    struct weir_sim_row *row = weir_sim_row(&r, "p");
    row->series = weir_sim_series_new(at(0));
    size_t line = weir_sim_series_add_line(row->series, "queue");
    weir_sim_series_spread(row->series, line, at(60), at(60), 2.5);
    weir_sim_series_sum(row->series, "by_pool", "local", 1);
    WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(4096);
    weir_sim_result_json(&r, &out);
    assert_non_null(strstr(weir_str_cstr(&out),
                           "\"series\":{\"begin_s\":1000000,\"step_s\":60,\"lines\":{\"queue\":[0,2.5]},"
                           "\"breakdowns\":{\"by_pool\":{\"local\":1}}}"));
    weir_sim_result_release(&r);
}

static void a_quantile_is_right_to_a_512th(void **state)
{
    (void)state;
    struct weir_sim_quantiles q = {0};
    assert_int_equal(weir_sim_quantile(&q, 950), 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        weir_sim_quantiles_add(&q, i * 1000003);
    }
    for (unsigned per_mille = 1; per_mille <= 1000; per_mille += 37) {
        uint64_t want = per_mille * UINT64_C(1000003);
        uint64_t got = weir_sim_quantile(&q, per_mille);
        assert_in_range(got, want - want / 512, want);
    }
    weir_sim_quantiles_add(&q, UINT64_MAX);
    assert_in_range(weir_sim_quantile(&q, 1000), UINT64_MAX - UINT64_MAX / 512, UINT64_MAX);
    weir_sim_quantiles_release(&q);
    for (uint64_t i = 0; i < 500; i++) { /* small values are kept exactly */
        weir_sim_quantiles_add(&q, i);
    }
    assert_int_equal(weir_sim_quantile(&q, 500), 249);
    weir_sim_quantiles_release(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_amount_is_spread_by_time),
        cmocka_unit_test(points_are_joined_where_they_run_out_and_nothing_is_lost),
        cmocka_unit_test(sums_stand_by_size_and_too_many_names_are_joined),
        cmocka_unit_test(a_row_shows_its_series),
        cmocka_unit_test(a_quantile_is_right_to_a_512th),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
