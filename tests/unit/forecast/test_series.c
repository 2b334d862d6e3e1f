/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/mem.h"
#include "base/prng.h"
#include "forecast/series.h"

enum { DAY = 24 };

static double noise(struct weir_prng *r)
{
    return (double)weir_prng_below(r, 2001) / 1000 - 1;
}

static double flat(struct weir_prng *r, int i)
{
    (void)i;
    return 100 + 10 * noise(r);
}

static double walk(struct weir_prng *r, int i)
{
    static double at;
    at = i == 0 ? 0 : at + noise(r);
    return at;
}

static double rhythm(struct weir_prng *r, int i)
{
    return (i % DAY >= 9 && i % DAY < 18 ? 100 : 10) + noise(r);
}

static double drift(struct weir_prng *r, int i)
{
    return 0.5 * i + (i > 1500 ? 20 : 5) * noise(r);
}

typedef double series_fn(struct weir_prng *r, int i);

struct score {
    double error;
    double persistence;
    double day_ago;
    double covered;
};

static struct score score_of(series_fn *fn, size_t horizon, int from, int n)
{
    struct weir_prng r = weir_prng_seed(7);
    struct weir_series *s = weir_series_new(DAY, horizon);
    WEIR_CLEANUP(weir_freep) double *y = weir_calloc((size_t)n, sizeof *y);
    WEIR_CLEANUP(weir_freep) struct weir_series_forecast *f = weir_calloc((size_t)n, sizeof *f);
    struct score c = {0};
    for (int i = 0; i < n; i++) {
        y[i] = fn(&r, i);
        weir_series_observe(s, y[i]);
        f[i] = weir_series_forecast(s);
        assert_true(f[i].upper >= f[i].expected);
        int at = i - (int)horizon;
        if (i >= from) {
            c.error += fabs(y[i] - f[at].expected);
            c.persistence += fabs(y[i] - y[at]);
            c.day_ago += fabs(y[i] - y[i - DAY]);
            c.covered += y[i] <= f[at].upper ? 1.0 / (n - from) : 0;
        }
    }
    weir_series_free(s);
    return c;
}

static void it_is_not_worse_than_the_simple_ones_and_covers_nine_in_ten(void **state)
{
    (void)state;
    static series_fn *const kinds[] = {flat, walk, rhythm, drift};
    static const size_t horizons[] = {1, 3, DAY};
    for (size_t k = 0; k < WEIR_ARRAY_LEN(kinds); k++) {
        for (size_t h = 0; h < WEIR_ARRAY_LEN(horizons); h++) {
            struct score c = score_of(kinds[k], horizons[h], 1000, 3000);
            assert_true(c.error <= 1.02 * c.persistence);
            assert_true(c.error <= 1.02 * c.day_ago);
            assert_true(c.covered > 0.85 && c.covered < 0.95);
        }
    }
}

static void a_daily_rhythm_is_found(void **state)
{
    (void)state;
    struct score c = score_of(rhythm, 3, 1000, 3000);
    assert_true(c.error < 0.2 * c.persistence);
}

static void it_starts_with_the_last_value(void **state)
{
    (void)state;
    struct weir_series *s = weir_series_new(DAY, 3);
    assert_true(weir_series_forecast(s).expected == 0);
    weir_series_observe(s, 7);
    assert_true(weir_series_forecast(s).expected == 7);
    assert_string_equal(weir_series_forecast(s).by, "persistence");
    weir_series_free(s);
    /* The shortest day and the longest horizon. */
    s = weir_series_new(1, WEIR_SERIES_HORIZON_DAYS_MAX);
    for (int i = 0; i < 200; i++) {
        weir_series_observe(s, i);
        assert_true(isfinite(weir_series_forecast(s).upper));
    }
    weir_series_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_not_worse_than_the_simple_ones_and_covers_nine_in_ten),
        cmocka_unit_test(a_daily_rhythm_is_found),
        cmocka_unit_test(it_starts_with_the_last_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
