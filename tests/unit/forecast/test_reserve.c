/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reservation rules against what is written of them, word by word, and the promises that hold for any demand. With an argument, so
 * many random demands are tried instead of a few thousand: test_reserve 1000000.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/prng.h"
#include "forecast/reserve.h"
#include "sim/reserve_optimum.h"

enum { HOURS_MAX = 120, U = 1000000 };

static uint64_t demands = 5000;

/* Terms and demand of many kinds: flat, bursts, a day's rhythm, noise, and starts that punish early buyers. */
static size_t draw(struct weir_prng *r, struct weir_reserve_terms *t, int64_t *demand)
{
    t->hours = 1 + (int64_t)weir_prng_below(r, 40);
    t->on_demand_micro = U;
    t->used_micro = (int64_t)weir_prng_below(r, 10) * U / 10;
    t->fee_micro = 1 + (int64_t)weir_prng_below(r, (uint64_t)t->hours * U);
    size_t n = 1 + weir_prng_below(r, HOURS_MAX);
    uint64_t kind = weir_prng_below(r, 5);
    int64_t most = 1 + (int64_t)weir_prng_below(r, weir_prng_below(r, 2) == 0 ? 3 : 30);
    int64_t level = (int64_t)weir_prng_below(r, (uint64_t)most + 1);
    size_t stop = weir_prng_below(r, n + 1);
    for (size_t i = 0; i < n; i++) {
        int64_t noise = (int64_t)weir_prng_below(r, (uint64_t)most + 1);
        bool change = weir_prng_below(r, 12) == 0;
        level = kind == 1 && change ? noise : level;
        demand[i] = kind == 0 ? noise : kind == 1 ? level : kind == 2 ? (i % 24 < 9 ? most : noise / 4) : kind == 3 ? (i < stop ? most : 0)
                                                                                           : (i / 7 % 2 == 0 ? most : 0);
    }
    return n;
}

/* The rule as published: at hour t, while the hours of the last term whose demand exceeds the count of reservations, real
 * and phantom, are more than the threshold, buy one; it counts from t for a term for real and before t for a term as a phantom. */
static int64_t naive_step(const struct weir_reserve_terms *t, int64_t threshold, const int64_t *demand, int64_t *cover, int64_t now)
{
    int64_t bought = 0;
    for (;;) {
        int64_t above = 0;
        for (int64_t h = now - t->hours + 1 < 0 ? 0 : now - t->hours + 1; h <= now; h++) {
            above += demand[h] > cover[h];
        }
        if (above <= threshold) {
            return bought;
        }
        bought++;
        for (int64_t h = now - t->hours + 1 < 0 ? 0 : now - t->hours + 1; h < now + t->hours; h++) {
            cover[h]++;
        }
    }
}

static int64_t cost_of(const struct weir_reserve_terms *t, const int64_t *demand, const int64_t *bought, size_t n)
{
    int64_t held = 0;
    int64_t cost = 0;
    for (size_t i = 0; i < n; i++) {
        held += bought[i] - (i >= (size_t)t->hours ? bought[i - (size_t)t->hours] : 0);
        int64_t served = held < demand[i] ? held : demand[i];
        cost += bought[i] * t->fee_micro + served * t->used_micro + (demand[i] - served) * t->on_demand_micro;
    }
    return cost;
}

static void the_break_even_rule_buys_as_published(void **state)
{
    (void)state;
    struct weir_prng r = weir_prng_seed(11);
    for (int k = 0; k < 500; k++) {
        struct weir_reserve_terms t;
        int64_t demand[HOURS_MAX];
        int64_t bought[HOURS_MAX];
        int64_t cover[HOURS_MAX + 64] = {0};
        size_t n = draw(&r, &t, demand);
        int64_t threshold = (int64_t)weir_prng_below(&r, (uint64_t)weir_reserve_break_even_hours(&t) + 1);
        struct weir_break_even *b = weir_break_even_new(&t, threshold);
        for (size_t i = 0; i < n; i++) {
            bought[i] = weir_break_even_step(b, demand[i]);
            assert_int_equal(bought[i], naive_step(&t, threshold, demand, cover, (int64_t)i));
        }
        assert_int_equal(weir_break_even_course(b)->cost_micro, cost_of(&t, demand, bought, n));
        weir_break_even_free(b);
    }
}

/* The least cost over all plans that hold at most two GPUs, by trying everything: what each GPU's reservation still runs. */
static int64_t try_all(const struct weir_reserve_terms *t, const int64_t *demand, size_t n, size_t i, int64_t left_a, int64_t left_b)
{
    if (i == n) {
        return 0;
    }
    int64_t best = INT64_MAX;
    for (int buy_a = 0; buy_a <= (left_a == 0); buy_a++) {
        for (int buy_b = 0; buy_b <= (left_b == 0); buy_b++) {
            int64_t a = buy_a ? t->hours : left_a;
            int64_t b = buy_b ? t->hours : left_b;
            int64_t held = (a > 0) + (b > 0);
            int64_t served = held < demand[i] ? held : demand[i];
            int64_t cost = (buy_a + buy_b) * t->fee_micro + served * t->used_micro + (demand[i] - served) * t->on_demand_micro +
                           try_all(t, demand, n, i + 1, a > 0 ? a - 1 : 0, b > 0 ? b - 1 : 0);
            best = cost < best ? cost : best;
        }
    }
    return best;
}

static void the_optimum_is_that_of_trying_everything(void **state)
{
    (void)state;
    struct weir_prng r = weir_prng_seed(12);
    for (int k = 0; k < 300; k++) {
        struct weir_reserve_terms t;
        int64_t demand[HOURS_MAX];
        int64_t bought[HOURS_MAX];
        size_t n = draw(&r, &t, demand);
        n = n > 9 ? 9 : n;
        t.hours = 1 + t.hours % 4;
        t.fee_micro = 1 + t.fee_micro % (t.hours * U);
        for (size_t i = 0; i < n; i++) {
            demand[i] %= 3;
        }
        int64_t cost = weir_sim_reserve_optimum(&t, demand, n, bought);
        assert_int_equal(cost, try_all(&t, demand, n, 0, 0, 0));
        assert_int_equal(cost, cost_of(&t, demand, bought, n));
    }
}


static void assert_at_most(int64_t cost, int64_t limit, double factor)
{
    assert_true((double)cost <= (double)limit * factor * (1 + 1e-12));
}

static void bounds_hold_for_any_demand(void **state)
{
    (void)state;
    struct weir_prng r = weir_prng_seed(13);
    for (uint64_t k = 0; k < demands; k++) {
        struct weir_reserve_terms t;
        int64_t demand[HOURS_MAX];
        int64_t bought[HOURS_MAX];
        size_t n = draw(&r, &t, demand);
        struct weir_reserve *w = weir_reserve_new(&t);
        struct weir_break_even *b = weir_break_even_new(&t, weir_reserve_break_even_hours(&t));
        for (size_t i = 0; i < n; i++) {
            bought[i] = weir_reserve_step(w, demand[i]);
            assert_true(bought[i] >= 0);
            (void)weir_break_even_step(b, demand[i]);
            assert_at_most(weir_reserve_course(w)->cost_micro, weir_break_even_course(b)->cost_micro,
                           WEIR_RESERVE_GUARD_PERCENT / 100.0);
        }
        assert_int_equal(weir_reserve_course(w)->cost_micro, cost_of(&t, demand, bought, n));
        int64_t optimum = weir_sim_reserve_optimum(&t, demand, n, bought);
        double ratio = 2 - (double)t.used_micro / (double)t.on_demand_micro;
        assert_at_most(weir_break_even_course(b)->cost_micro, optimum, ratio);
        assert_at_most(weir_reserve_course(w)->cost_micro, optimum, ratio * WEIR_RESERVE_GUARD_PERCENT / 100);
        assert_true(weir_reserve_course(w)->cost_micro >= optimum);
        weir_reserve_free(w);
        weir_break_even_free(b);
    }
}

static void a_lasting_demand_is_reserved_and_a_burst_is_not(void **state)
{
    (void)state;
    const struct weir_reserve_terms t = {168, 60 * U, U, 300000};
    struct weir_reserve *w = weir_reserve_new(&t);
    for (int i = 0; i < 24; i++) {
        (void)weir_reserve_step(w, i == 3 ? 1 : 0);
    }
    assert_int_equal(weir_reserve_course(w)->bought_all, 0);
    for (int i = 0; i < 1000; i++) {
        (void)weir_reserve_step(w, 100);
    }
    assert_in_range(weir_reserve_course(w)->held, 75, 100);
    for (int i = 0; i < 168; i++) {
        assert_int_equal(weir_reserve_step(w, 0), 0);
    }
    assert_int_equal(weir_reserve_course(w)->held, 0);
    weir_reserve_free(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_break_even_rule_buys_as_published),
        cmocka_unit_test(the_optimum_is_that_of_trying_everything),
        cmocka_unit_test(bounds_hold_for_any_demand),
        cmocka_unit_test(a_lasting_demand_is_reserved_and_a_burst_is_not),
    };
    if (argc > 1 && weir_parse_u64(weir_sv_of(argv[1]), 1, UINT64_MAX, &demands, NULL) < 0) {
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
