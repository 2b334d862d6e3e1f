/* SPDX-License-Identifier: Apache-2.0 */
/* Prices and carbon intensities of the grid over time. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/str.h"
#include "cloud/grid.h"

static char path[] = "/tmp/weir-test-grid-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static int read_text(struct weir_grid **ret, const char *text, struct weir_err *err)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    return weir_grid_read(ret, path, err);
}

static struct weir_wall hour(int64_t n)
{
    return (struct weir_wall){n * WEIR_US_PER_HOUR};
}

static void a_value_holds_until_the_next_may_come(void **state)
{
    (void)state;
    struct weir_grid *g = NULL;
    struct weir_err err;
    /* three values in a day and a half, of which the first day repeats */
    assert_int_equal(read_text(&g, "utc,price\n1970-01-02T00:00:00Z,1\n1970-01-02T06:00:00Z,2\n1970-01-03T00:00:00Z,3\n1970-01-03T06:00:00Z,4\n", &err), 0);
    static const struct {
        int64_t at;
        int64_t next; /* hours since 1970 */
    } rows[] = {{0, 6}, {6, 24}, {24, 30}, {29, 30}, {30, 48}, {48, 54}, {54, 60}, {60, 72}, {71, 72}, {72, 78}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(weir_grid_next(g, hour(rows[i].at)).us / WEIR_US_PER_HOUR, rows[i].next);
    }
    for (int64_t at = 0; at < 200 * 4; at++) { /* by the quarter of an hour: no change is missed */
        struct weir_wall from = {at * WEIR_US_PER_HOUR / 4};
        struct weir_wall next = weir_grid_next(g, from);
        assert_true(next.us > from.us);
        assert_int_equal(weir_grid_at(g, from), weir_grid_at(g, (struct weir_wall){next.us - 1}));
    }
    weir_grid_free(g);
}

static void values_are_taken_from_the_column_that_is_meant(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want; /* in hour 1 */
        enum weir_grid_kind kind;
        const char *currency;
    } rows[] = {
        {"utc,gco2_kwh_direct,gco2_kwh_lca,low_carbon_pct\n1970-01-01 00:00:00,1,2,3\n1970-01-01 01:00:00,4,5.25,6\n", 5250000, WEIR_GRID_CARBON},
        {"timestamp,price\n1970-01-01T00:00:00Z,0.1\n1970-01-01T01:00:00Z,-0.25\n", -250000, WEIR_GRID_PRICE},
        {"price_eur_mwh,time\n80,1970-01-01T00:00:00Z\n85.5,1970-01-01T02:00:00+01:00\n", 85500, WEIR_GRID_PRICE, "EUR"},
        {"time,Price_GBP_MWh\n0,80\n3600,90\n", 90000, WEIR_GRID_PRICE, "GBP"},
        {"time,jpy_kwh\n0,31\n", 31000000, WEIR_GRID_PRICE, "JPY"},
        {"time,xyz_mwh\n0,31\n", 31000, WEIR_GRID_UNKNOWN},
        {"time,eur_per_mwh\n0,31\n", 31000, WEIR_GRID_UNKNOWN},
        {"Country,ISO3 Code,Datetime (UTC),Datetime (Local),Price (EUR/MWhe)\nSpain,ESP,1970-01-01 00:00:00,1970-01-01 01:00:00,42.5\n", 42500,
         WEIR_GRID_PRICE, "EUR"},
        {"Datetime (UTC),Zone id,Carbon intensity gCO\xe2\x82\x82" "eq/kWh (direct),Carbon intensity gCO\xe2\x82\x82" "eq/kWh (Life cycle)\n"
         "1970-01-01 00:00:00,ES,1,2\n1970-01-01 01:00:00,ES,3,4.5\n", 4500000, WEIR_GRID_CARBON},
        {"Datetime (UTC),Carbon Intensity gCO\xe2\x82\x82" "eq/kWh (direct),Carbon Intensity gCO\xe2\x82\x82" "eq/kWh (LCA)\n"
         "1970-01-01 00:00:00,1,2\n", 2000000, WEIR_GRID_CARBON},
        {"datetime,zone_price\n0,0.1\n3600,0.2\n", 200000, WEIR_GRID_UNKNOWN},
        {"time,price\n0,0.1\n3600,\n", 100000, WEIR_GRID_PRICE},
        {"time,price\n0,0.3\n", 300000, WEIR_GRID_PRICE},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        WEIR_CLEANUP(weir_grid_freep) struct weir_grid *g = NULL;
        struct weir_err err = {0};
        assert_int_equal(read_text(&g, rows[i].text, &err), 0);
        assert_int_equal(weir_grid_at(g, hour(1)), rows[i].want);
        assert_int_equal(weir_grid_kind(g), rows[i].kind);
        assert_string_equal(weir_grid_currency(g), rows[i].currency == NULL ? "" : rows[i].currency);
    }
}

static void sums_are_exact_and_rounded_once(void **state)
{
    (void)state;
    WEIR_CLEANUP(weir_grid_freep) struct weir_grid *g = NULL;
    assert_int_equal(read_text(&g, "time,price\n0,1\n3600,3\n7200,-2\n", NULL), 0);
    /* a kilowatt: half an hour at 1, an hour at 3, half an hour at -2 */
    struct weir_wall from = {WEIR_US_PER_HOUR / 2};
    struct weir_wall to = {WEIR_US_PER_HOUR * 5 / 2};
    assert_int_equal(weir_grid_energy(g, from, to, 1000000), 2500000);
    assert_true(weir_grid_integral(g, from, to) == (weir_i128)2500000 * WEIR_US_PER_HOUR);
    assert_true(weir_grid_integral(g, to, from) == -(weir_i128)2500000 * WEIR_US_PER_HOUR);
    assert_int_equal(weir_grid_energy(g, from, from, 1000000), 0);
    /* a millionth and a half of it, and minus that */
    assert_int_equal(weir_grid_energy(g, hour(0), hour(1), 1), 1);
    assert_int_equal(weir_grid_energy(g, hour(0), (struct weir_wall){WEIR_US_PER_HOUR / 2}, 3), 2);
    assert_int_equal(weir_grid_energy(g, hour(2), (struct weir_wall){WEIR_US_PER_HOUR * 9 / 4}, 3), -1);
}

static void it_repeats_by_whole_weeks_or_days_outside_of_the_record(void **state)
{
    (void)state;
    static const struct {
        int64_t hours;
        int64_t period;
    } rows[] = {{5, 5}, {24, 24}, {30, 24}, {167, 144}, {168, 168}, {400, 336}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(65536);
        WEIR_CLEANUP(weir_grid_freep) struct weir_grid *g = NULL;
        weir_str_adds(&text, "time,price\n");
        for (int64_t h = 0; h < rows[i].hours; h++) {
            weir_str_addf(&text, "%lld,%lld\n", (long long)(1000 + h) * 3600, (long long)h);
        }
        assert_int_equal(read_text(&g, weir_str_cstr(&text), NULL), 0);
        weir_i128 sum = 0;
        for (int64_t h = -1000; h < 2000; h++) {
            bool inside = h >= 0 && h < rows[i].hours;
            int64_t want = inside ? h : (h + rows[i].period * 1000) % rows[i].period;
            assert_int_equal(weir_grid_at(g, hour(1000 + h)), want * 1000000);
            sum += (weir_i128)want * 1000000 * WEIR_US_PER_HOUR;
            assert_true(weir_grid_integral(g, hour(0), hour(1001 + h)) == sum);
        }
    }
}

static void the_integral_is_that_of_the_seconds(void **state)
{
    (void)state;
    struct weir_prng rng = weir_prng_seed(7);
    WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(65536);
    WEIR_CLEANUP(weir_grid_freep) struct weir_grid *g = NULL;
    int64_t at_s = 100;
    weir_str_adds(&text, "time,price\n");
    for (int i = 0; i < 50; i++) {
        weir_str_addf(&text, "%lld,%lld\n", (long long)at_s, (long long)weir_prng_below(&rng, 100) - 30);
        at_s += 1 + (int64_t)weir_prng_below(&rng, 90);
    }
    assert_int_equal(read_text(&g, weir_str_cstr(&text), NULL), 0);
    for (int i = 0; i < 200; i++) {
        int64_t from_s = (int64_t)weir_prng_below(&rng, 9000);
        int64_t to_s = from_s + (int64_t)weir_prng_below(&rng, 500);
        weir_i128 sum = 0;
        for (int64_t s = from_s; s < to_s; s++) {
            sum += (weir_i128)weir_grid_at(g, (struct weir_wall){s * WEIR_US_PER_S}) * WEIR_US_PER_S;
        }
        assert_true(weir_grid_integral(g, (struct weir_wall){from_s * WEIR_US_PER_S}, (struct weir_wall){to_s * WEIR_US_PER_S}) == sum);
    }
}

static void bad_files_are_refused_by_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"", " is empty"},
        {"time,price\n", " has no values"},
        {"when,price\n0,1\n", ":1: a column utc, time, timestamp or datetime and one with values are expected"},
        {"time\n0\n", ":1: a column utc, time, timestamp or datetime and one with values are expected"},
        {"time,price\nnow,1\n", ":2: column 'time': 'now' is not a time"},
        {"time,price\n0,1\n0,2\n", ":3: column 'time': not later than on the line before: are these times UTC, and in order?"},
        {"time,price\n0,\n", ":2: column 'price': '' is not a number"},
        {"time,price\n0,x\n", ":2: column 'price': 'x' is not a number"},
        {"time,price\n0,1e9\n", ":2: column 'price': 1e9 is not between -1e+06 and 1e+06"},
        {"time,load\n0,1\n3600,x\n", ":3: column 2: 'x' is not a number"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_grid *g = NULL;
        struct weir_err err = {0};
        assert_true(read_text(&g, rows[i].text, &err) < 0);
        assert_null(g);
        assert_memory_equal(err.text, path, strlen(path));
        if (strncmp(err.text + strlen(path), rows[i].want, strlen(rows[i].want)) != 0) {
            assert_string_equal(err.text + strlen(path), rows[i].want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_holds_until_the_next_may_come),
        cmocka_unit_test(values_are_taken_from_the_column_that_is_meant),
        cmocka_unit_test(sums_are_exact_and_rounded_once),
        cmocka_unit_test(it_repeats_by_whole_weeks_or_days_outside_of_the_record),
        cmocka_unit_test(the_integral_is_that_of_the_seconds),
        cmocka_unit_test(bad_files_are_refused_by_line_and_column),
    };
    return cmocka_run_group_tests_name("sim_grid", tests, make_file, remove_file);
}
