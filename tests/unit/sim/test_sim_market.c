/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded values at times within their record and outside of it, and the files that they come from. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sim/market.h"

#include "temp_files.h"

#define HOUR WEIR_US_PER_HOUR
#define DAY WEIR_US_PER_DAY

static struct weir_wall at_h(int64_t hours)
{
    return (struct weir_wall){hours * HOUR};
}

static void a_record_repeats_by_weeks_days_or_all_of_it(void **state)
{
    (void)state;
    static const struct {
        int64_t span;
        int64_t period;
    } want[] = {{HOUR, HOUR}, {DAY, DAY}, {2 * DAY + HOUR, 2 * DAY}, {7 * DAY, 7 * DAY}, {15 * DAY, 14 * DAY}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(want); i++) {
        assert_int_equal(weir_sim_record_of(5, 5 + want[i].span).period_us, want[i].period);
    }
}

/* Two days and two hours from hour 100 on: 1 until hour 110, then 2, from hour 150 on 3. */
static void values_outside_of_a_record_are_those_of_another_lap(void **state)
{
    (void)state;
    struct weir_sim_step step[] = {{100 * HOUR, 1}, {110 * HOUR, 2}, {150 * HOUR, 3}};
    const struct weir_sim_steps s = {.p = step, .n = 3};
    struct weir_sim_record r = weir_sim_record_of(100 * HOUR, 152 * HOUR);
    static const struct {
        int64_t at_h;
        int64_t value;
        int64_t next_h;
    } want[] = {{100, 1, 110}, {109, 1, 110}, {110, 2, 150}, {151, 3, 152}, {152, 1, 158}, {158, 2, 196}, {196, 1, 206},
                {99, 2, 100},  {52, 1, 62},   {51, 2, 52},   {-1000, 1, -994}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(want); i++) {
        assert_int_equal(weir_sim_steps_at(&s, &r, at_h(want[i].at_h)), want[i].value);
        assert_int_equal(weir_sim_steps_next(&s, &r, at_h(want[i].at_h)).us, want[i].next_h * HOUR);
    }
    assert_int_equal(weir_sim_steps_until(&s, &r, at_h(100), 3).us, 150 * HOUR);
    assert_int_equal(weir_sim_steps_until(&s, &r, at_h(151), 2).us, 158 * HOUR);
    assert_int_equal(weir_sim_steps_until(&s, &r, at_h(100), 4).us, INT64_MAX);
    r.shift_us = 10 * HOUR; /* what is asked about is ten hours earlier */
    assert_int_equal(weir_sim_steps_at(&s, &r, at_h(100)), 2);
    assert_int_equal(weir_sim_steps_next(&s, &r, at_h(100)).us, 140 * HOUR);
    r.period_us = 0;
    assert_int_equal(weir_sim_steps_at(&s, &r, at_h(-1000)), 1);
    assert_int_equal(weir_sim_steps_at(&s, &r, at_h(1000)), 3);
    assert_int_equal(weir_sim_steps_next(&s, &r, at_h(1000)).us, INT64_MAX);
    assert_int_equal(weir_sim_steps_until(&s, &r, at_h(1000), 1).us, INT64_MAX);
}

static void prices_become_series_of_one_record(void **state)
{
    (void)state;
    struct weir_sim_market m;
    struct weir_err err;
    put("zone,instance,utc,spot_usd_h\nb,big,1970-01-02T00:00:00Z,2\na,big,1970-01-01T10:00:00Z,1\na,big,1970-01-01T12:00:00Z,1\n"
        "a,big,1970-01-01T13:00:00Z,1.5\n");
    assert_int_equal(weir_sim_market_read_prices(&m, path, &err), 0);
    assert_int_equal(m.n, 2);
    assert_string_equal(m.p[0].zone, "a");
    assert_string_equal(m.p[0].kind, "big");
    assert_int_equal(m.p[0].steps.n, 2); /* one that changes nothing is no step */
    assert_int_equal(m.p[0].steps.p[1].value, 1500000);
    assert_int_equal(m.record.begin_us, 10 * HOUR);
    assert_int_equal(m.record.end_us, 25 * HOUR);
    weir_sim_market_release(&m);
}

static void recordings_of_one_name_are_joined_by_time(void **state)
{
    (void)state;
    struct weir_sim_market m;
    struct weir_err err;
    put("window,start_utc,zone,gap_s,bits\n1,1970-01-01T02:00:00Z,z_v100_8,3600,01\n0,1970-01-01T00:00:00Z,z_v100_8,3600,10111\n"
        "1,1970-01-01T02:00:00Z,plain_zone,3600,11\n");
    assert_int_equal(weir_sim_market_read_stock(&m, path, &err), 0);
    assert_int_equal(m.n, 2);
    assert_string_equal(m.p[0].zone, "plain_zone");
    assert_string_equal(m.p[0].kind, "");
    assert_int_equal(m.p[0].gpus, 0);
    assert_string_equal(m.p[1].zone, "z");
    assert_string_equal(m.p[1].kind, "v100");
    assert_int_equal(m.p[1].gpus, 8);
    static const struct weir_sim_step want[] = {{0, 1}, {HOUR, 0}, {3 * HOUR, 1}};
    assert_int_equal(m.p[1].steps.n, WEIR_ARRAY_LEN(want));
    for (size_t i = 0; i < WEIR_ARRAY_LEN(want); i++) {
        assert_int_equal(m.p[1].steps.p[i].at_us, want[i].at_us);
        assert_int_equal(m.p[1].steps.p[i].value, want[i].value);
    }
    assert_int_equal(m.record.end_us, 5 * HOUR);
    weir_sim_market_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_repeats_by_weeks_days_or_all_of_it),
        cmocka_unit_test(values_outside_of_a_record_are_those_of_another_lap),
        cmocka_unit_test(prices_become_series_of_one_record),
        cmocka_unit_test(recordings_of_one_name_are_joined_by_time),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
