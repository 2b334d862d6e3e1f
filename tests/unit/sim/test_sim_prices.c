/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sim/sim.h"
#include "sim/spot_prices.h"

static char path[] = "/tmp/weir-test-XXXXXX";

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

static int run_on(const char *text, const char *policies, const char *overheads, struct weir_sim_result *result, struct weir_err *err)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    struct weir_sim_options o = {.prices = path, .policies = policies, .overheads = overheads};
    return weir_sim_run_suite("prices", &o, result, err);
}

#define HEAD "zone,instance,utc,spot_usd_h\n"
#define DAY "2020-01-01T"

static int64_t count_of(const struct weir_sim_result *result, size_t row, const char *name)
{
    const struct weir_sim_field *f = weir_sim_row_field(&result->row[row], name);
    assert_non_null(f);
    assert_int_equal(f->kind, WEIR_SIM_COUNT);
    return f->u.count;
}

static void integrals_are_the_sums_by_seconds(void **state)
{
    (void)state;
    struct weir_sim_result result;
    struct weir_err err = {0};
    /* Out of order, and two prices at one second: the dearer counts. */
    int r = run_on(HEAD "a,m," DAY "00:30:01Z,0.9000\na,m," DAY "00:00:00Z,0.3333\na,m," DAY "00:30:01Z,0.5000\nb,m," DAY
                        "01:00:00Z,2\n",
                   "hold", NULL, &result, &err);
    assert_int_equal(r, 0);
    assert_int_equal(result.n_rows, 2);
    /* 1,801 s at 0.3333, 1,799 s at 0.9: 616,492.59 millionths */
    assert_int_equal(count_of(&result, 0, "cost_micro_usd"), 616493);
    assert_int_equal(count_of(&result, 0, "naive_micro_usd"), 616493);
    assert_int_equal(count_of(&result, 1, "cost_micro_usd"), 0);
    weir_sim_result_release(&result);
}

static void machines_move_when_it_pays(void **state)
{
    (void)state;
    struct weir_sim_result result;
    struct weir_err err = {0};
    /* Zone a costs 1, then 4; zone b 2 always. A move costs half an hour. Ten hours: four in a, six in b. */
    int r = run_on(HEAD "a,m," DAY "00:00:00Z,1\nb,m," DAY "00:00:00Z,2\na,m," DAY "04:00:00Z,4\nb,m," DAY "10:00:00Z,2\n",
                   "fixed-zone,cheapest-at-start,weir,optimum", "0.5", &result, &err);
    assert_int_equal(r, 0);
    assert_int_equal(result.n_rows, 4);
    assert_int_equal(count_of(&result, 0, "cost_micro_usd"), (28 + 20) * 500000);
    assert_int_equal(count_of(&result, 1, "cost_micro_usd"), 28000000);
    assert_int_equal(count_of(&result, 3, "cost_micro_usd"), (4 + 1 + 12) * 1000000);
    assert_int_equal(count_of(&result, 3, "moves"), 1);
    assert_int_equal(count_of(&result, 2, "moves"), 1);
    /* It moves when staying has cost as much as two moves, within one look at the prices. */
    assert_in_range(count_of(&result, 2, "cost_micro_usd"), 19000000, 19200000);
    weir_sim_result_release(&result);
}

static void series_are_found_and_summed_over_any_span(void **state)
{
    (void)state;
    WEIR_CLEANUP(weir_spot_prices_release) struct weir_spot_prices s = {0};
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs("zone,instance,utc,spot_usd_h\nb,x,1970-01-01T00:00:30Z,2\na,x,1970-01-01T00:00:20Z,1\nb,x,1970-01-01T00:00:10Z,3\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(weir_spot_prices_read(&s, path, NULL, NULL, NULL), 0);
    const struct weir_spot_series *b = weir_spot_prices_find(&s, "x", "b");
    assert_non_null(b);
    assert_null(weir_spot_prices_find(&s, "x", "c"));
    assert_null(weir_spot_prices_find(&s, "b", "x"));
    static const struct {
        int64_t from_s;
        int64_t to_s;
        int64_t want; /* USD an hour x seconds */
    } rows[] = {{0, 10, 0}, {0, 11, 3}, {10, 30, 60}, {12, 14, 6}, {29, 31, 5}, {30, 40, 20}, {1000, 1001, 2}, {20, 20, 0}, {30, 20, 0}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(weir_spot_series_integral(b, rows[i].from_s, rows[i].to_s), rows[i].want * 1000000);
    }
}

static void bad_prices_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *overheads;
        const char *want;
    } rows[] = {
        {HEAD, NULL, "has no price in it"},
        {"zone,instance,utc\n", NULL, "there is no column 'spot_usd_h'"},
        {HEAD ",m," DAY "00:00:00Z,1\n", NULL, ":2: column 'zone'"},
        {HEAD "a,,2020-01-01,1\n", NULL, ":2: column 'instance'"},
        {HEAD "a,m,yesterday,1\n", NULL, ":2: column 'utc'"},
        {HEAD "a,m," DAY "00:00:00.5Z,1\n", NULL, "in whole seconds"},
        {HEAD "a,m," DAY "00:00:00Z,0\n", NULL, ":2: column 'spot_usd_h': a price is more than 0"},
        {HEAD "a,m," DAY "00:00:00Z,2000\n", NULL, "at most 1000 USD an hour"},
        {HEAD "a,m,1999-01-01,1\na,m,2020-01-01,1\n", NULL, "more than ten years"},
        {HEAD "a,m,2020-01-01,1\n", "1,2", "--overheads: this suite takes one number"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_sim_result result;
        struct weir_err err = {0};
        int r = run_on(rows[i].text, NULL, rows[i].overheads, &result, &err);
        weir_sim_result_release(&result);
        if (r >= 0 || strstr(err.text, rows[i].want) == NULL) {
            print_error("row %zu: %d: %s\n", i, r, err.text);
            fail();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integrals_are_the_sums_by_seconds),
        cmocka_unit_test(machines_move_when_it_pays),
        cmocka_unit_test(series_are_found_and_summed_over_any_span),
        cmocka_unit_test(bad_prices_name_the_place),
    };
    return cmocka_run_group_tests_name("sim prices", tests, make_file, remove_file);
}
