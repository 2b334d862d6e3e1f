/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "forecast/runtime.h"

#define MIN WEIR_US_PER_MIN
#define H WEIR_US_PER_HOUR

static struct weir_runtime_forecast ask(const struct weir_runtime_history *h, int64_t estimate, int64_t max)
{
    const struct weir_runtime_history *const kinds[WEIR_RUNTIME_KINDS] = {h};
    return weir_runtime_forecast(kinds, (struct weir_dur){estimate}, (struct weir_dur){max});
}

static void kinds_fold_digits(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool same;
    } rows[] = {
        {"train-17", "train-18", true}, {"train-9", "train-10", true}, {"a1b2", "a33b44", true},
        {"train", "trains", false},     {"train-1", "train-", false},  {"", "1", false},
        {"x", "x", true},               {"1x", "x1", false},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        uint64_t a = weir_runtime_key(1, 2, weir_sv_of(rows[i].a));
        uint64_t b = weir_runtime_key(1, 2, weir_sv_of(rows[i].b));
        assert_int_equal(a == b, rows[i].same);
    }
    assert_true(weir_runtime_key(1, 2, WEIR_SV("x")) != weir_runtime_key(2, 1, WEIR_SV("x")));
    char longer[201];
    memset(longer, 'y', 200);
    longer[200] = '\0';
    uint64_t whole = weir_runtime_key(1, 2, weir_sv_of(longer));
    longer[199] = 'z';
    assert_true(whole != weir_runtime_key(1, 2, weir_sv_of(longer)));
}

static void without_history_the_estimate_stands(void **state)
{
    (void)state;
    struct weir_runtime_forecast f = ask(NULL, H, 12 * H);
    assert_int_equal(f.expected.us, H); /* 3,600 s has two digits */
    assert_int_equal(f.upper.us, 90 * MIN);
    assert_int_equal(f.based_on, 0);
    f = ask(NULL, 0, 12 * H);
    assert_int_equal(f.expected.us, 22000 * WEIR_US_PER_S); /* half, 21,600 s, in two digits */
    assert_int_equal(f.upper.us, 12 * H);
    f = ask(NULL, 20 * H, 12 * H);
    assert_int_equal(f.expected.us, 12 * H);
    assert_int_equal(f.upper.us, 12 * H);
}

static void history_takes_over_as_it_grows(void **state)
{
    (void)state;
    struct weir_runtime_history h = {0};
    weir_runtime_observe(&h, (struct weir_dur){-1}); /* ignored */
    assert_int_equal(h.n, 0);
    weir_runtime_observe(&h, (struct weir_dur){10 * WEIR_US_PER_S});
    /* one of 10 s against an estimate of 100 s that counts twice */
    struct weir_runtime_forecast f = ask(&h, 100 * WEIR_US_PER_S, H);
    assert_int_equal(f.expected.us, 100 * WEIR_US_PER_S);
    assert_int_equal(f.based_on, 1);
    for (int i = 0; i < 7; i++) {
        weir_runtime_observe(&h, (struct weir_dur){10 * WEIR_US_PER_S});
    }
    f = ask(&h, 100 * WEIR_US_PER_S, H);
    assert_int_equal(f.expected.us, 10 * WEIR_US_PER_S);
    assert_int_equal(f.upper.us, 10 * WEIR_US_PER_S);
    assert_int_equal(f.based_on, 8);
}

static void old_run_times_are_forgotten(void **state)
{
    (void)state;
    struct weir_runtime_history h = {0};
    for (int i = 0; i < 100; i++) {
        weir_runtime_observe(&h, (struct weir_dur){(i < 84 ? 1000 : 20) * WEIR_US_PER_S});
    }
    assert_int_equal(h.n, 100);
    assert_int_equal(h.filled, WEIR_RUNTIME_KEEP);
    struct weir_runtime_forecast f = ask(&h, 0, H);
    assert_int_equal(f.expected.us, 20 * WEIR_US_PER_S);
    assert_int_equal(f.based_on, WEIR_RUNTIME_KEEP);
}

static void the_upper_bound_is_a_high_quantile(void **state)
{
    (void)state;
    struct weir_runtime_history h = {0};
    for (int i = 1; i <= 16; i++) {
        weir_runtime_observe(&h, (struct weir_dur){i * 10 * WEIR_US_PER_S});
    }
    struct weir_runtime_forecast f = ask(&h, 0, H);
    assert_int_equal(f.expected.us, 85 * WEIR_US_PER_S);
    assert_int_equal(f.upper.us, 150 * WEIR_US_PER_S); /* 145 s, two digits up */
}

static struct weir_runtime_history runs_of(const int64_t *s, size_t n)
{
    struct weir_runtime_history h = {0};
    for (size_t i = 0; i < n; i++) {
        weir_runtime_observe(&h, (struct weir_dur){s[i] * WEIR_US_PER_S});
    }
    return h;
}

static void a_wider_kind_tells_what_the_own_one_does_not(void **state)
{
    (void)state;
    static const int64_t alike[] = {10, 10, 10};
    static const int64_t scattered[] = {10, 10, 2000};
    static const int64_t others[] = {1000, 3000};
    struct weir_runtime_history same = runs_of(alike, 3);
    struct weir_runtime_history wild = runs_of(scattered, 3);
    struct weir_runtime_history one = runs_of(alike, 1);
    struct weir_runtime_history wide = runs_of(others, 2);
    const struct {
        const char *name;
        const struct weir_runtime_history *kind[WEIR_RUNTIME_KINDS];
        int64_t estimate_s;
        int64_t want_s;
    } rows[] = {
        {"nothing is known: half of the limit", {NULL, NULL, NULL}, 0, 10 * 3600},
        {"the mean of all", {NULL, NULL, &wide}, 0, 2000},
        {"the mean of as many GPUs", {NULL, &wide, NULL}, 0, 2000},
        {"the narrower kind outweighs the wider", {NULL, &same, &wide}, 0, 10},
        {"one run and three of the wider kind's mean", {&one, NULL, &wide}, 0, 1600},
        {"runs alike need no other's word", {&same, NULL, &wide}, 0, 10},
        {"three runs that scatter count half, midway between median and mean", {&wild, NULL, &wide}, 0, 1200},
        {"midway, where no other kind is known", {&wild, NULL, NULL}, 0, 350},
        {"an estimate is not swayed by one run that was long", {&wild, &wide, &wide}, 10, 10},
        {"an estimate goes before other kinds", {NULL, &wide, &wide}, 60, 60},
        {"with the own runs, too", {&one, &wide, &wide}, 60, 60},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_runtime_forecast f = weir_runtime_forecast(rows[i].kind, (struct weir_dur){rows[i].estimate_s * WEIR_US_PER_S},
                                                               (struct weir_dur){20 * H});
        if (f.expected.us != rows[i].want_s * WEIR_US_PER_S) {
            fail_msg("%s: %lld s", rows[i].name, (long long)(f.expected.us / WEIR_US_PER_S));
        }
    }
}

static void keys_of_kinds_differ(void **state)
{
    (void)state;
    uint64_t a[WEIR_RUNTIME_KINDS] = {weir_runtime_key(1, 8, WEIR_SV("gpus"))};
    uint64_t b[WEIR_RUNTIME_KINDS] = {a[0]};
    weir_runtime_wider_keys(8, a);
    weir_runtime_wider_keys(4, b);
    assert_true(a[0] == b[0] && a[1] != b[1] && a[2] == b[2]);
    assert_true(a[0] != a[1] && a[0] != a[2] && a[1] != a[2]);
}

static void forecasts_are_bounded_and_have_two_digits(void **state)
{
    (void)state;
    struct weir_prng rng = weir_prng_seed(1);
    for (int i = 0; i < 20000; i++) {
        struct weir_runtime_history h = {0};
        uint64_t n = weir_prng_below(&rng, 20);
        for (uint64_t k = 0; k < n; k++) {
            weir_runtime_observe(&h, (struct weir_dur){(int64_t)(weir_prng_u64(&rng) >> (1 + weir_prng_below(&rng, 63)))});
        }
        int64_t max = 1 + (int64_t)(weir_prng_u64(&rng) >> (1 + weir_prng_below(&rng, 63)));
        int64_t estimate = (int64_t)(weir_prng_u64(&rng) >> (1 + weir_prng_below(&rng, 63)));
        struct weir_runtime_history like = {0};
        weir_runtime_observe(&like, (struct weir_dur){(int64_t)(weir_prng_u64(&rng) >> (1 + weir_prng_below(&rng, 63)))});
        const struct weir_runtime_history *const kinds[WEIR_RUNTIME_KINDS] = {&h, weir_prng_below(&rng, 2) ? &like : NULL, &like};
        estimate = weir_prng_below(&rng, 2) ? estimate : 0;
        struct weir_runtime_forecast f = weir_runtime_forecast(kinds, (struct weir_dur){estimate}, (struct weir_dur){max < 1 ? 1 : max});
        assert_true(f.expected.us >= 1 && f.expected.us <= f.upper.us);
        assert_true(f.upper.us <= (max < 1 ? 1 : max));
        int64_t digits = f.expected.us;
        while (digits >= 100 && digits % 10 == 0) {
            digits /= 10;
        }
        assert_true(digits < 100 || f.expected.us == max || f.expected.us == INT64_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_fold_digits),
        cmocka_unit_test(without_history_the_estimate_stands),
        cmocka_unit_test(history_takes_over_as_it_grows),
        cmocka_unit_test(old_run_times_are_forgotten),
        cmocka_unit_test(the_upper_bound_is_a_high_quantile),
        cmocka_unit_test(a_wider_kind_tells_what_the_own_one_does_not),
        cmocka_unit_test(keys_of_kinds_differ),
        cmocka_unit_test(forecasts_are_bounded_and_have_two_digits),
    };
    return cmocka_run_group_tests_name("forecast", tests, NULL, NULL);
}
