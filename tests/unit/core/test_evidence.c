/* SPDX-License-Identifier: Apache-2.0 */
/* What evidence says of offers: figures worked out by hand. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/vec.h"
#include "base/wtime.h"
#include "core/evidence.h"

#define HOUR WEIR_US_PER_HOUR
#define MIN WEIR_US_PER_MIN
#define MILLION INT64_C(1000000)

static void evidence_fades_by_half_each_week(void **state)
{
    static const struct {
        int64_t days;
        int64_t ppm;
    } row[] = {{-3, 1000000}, {0, 1000000}, {1, 905724}, {7, 500000}, {8, 452862}, {14, 250000}, {55, 4312}, {56, 0}, {1000, 0}};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        assert_int_equal(weir_evidence_weight_ppm(row[i].days), row[i].ppm);
    }
}

/* 2 of 10 launches failed, a quarter of an hour each, and the 8 others came up a minute late. */
static void a_week_old_counts_half(void **state)
{
    const struct weir_evidence seen = {.boots = 8, .failures = 2, .late_us = 8 * MIN, .lost_us = 30 * MIN, .paid_us = 29 * MIN,
                                       .reclaims = 3, .expected_ppm = 2 * MILLION, .lived_us = 40 * HOUR};
    struct weir_evidence sum = {.boots = MILLION};
    (void)state;
    weir_evidence_weigh(&sum, &seen, 7);
    assert_int_equal(sum.boots, 5 * MILLION);
    assert_int_equal(sum.failures, MILLION);
    assert_int_equal(sum.late_us, 4 * MIN);
    assert_int_equal(sum.lost_us, 15 * MIN);
    assert_int_equal(sum.paid_us, 14 * MIN + MIN / 2);
    assert_int_equal(sum.reclaims, 1500000);
    assert_int_equal(sum.expected_ppm, MILLION);
    assert_int_equal(sum.lived_us, 20 * HOUR);
}

static void estimates_lie_between_belief_and_what_was_seen(void **state)
{
    static const struct {
        const char *what;
        struct weir_estimate wider;
        struct weir_evidence weighed;
        int64_t times;
        struct weir_estimate want;
    } row[] = {
        {"nothing seen", {.late_us = 3 * MIN, .lost_us = MIN, .paid_us = 7, .reclaim_ppm = 2500000}, {0}, 1,
         {.late_us = 3 * MIN, .lost_us = MIN, .paid_us = 7, .reclaim_ppm = 2500000}},
        {"one boot, 14 minutes late: two of those", {.reclaim_ppm = MILLION}, {.boots = MILLION, .late_us = 14 * MIN}, 1,
         {.late_us = 2 * MIN, .reclaim_ppm = MILLION}},
        {"six boots: half way", {.late_us = 4 * MIN, .reclaim_ppm = MILLION}, {.boots = 6 * MILLION, .late_us = -36 * MIN}, 1,
         {.late_us = -MIN, .reclaim_ppm = MILLION}},
        {"one failure of 15 minutes", {.reclaim_ppm = MILLION}, {.failures = MILLION, .lost_us = 15 * MIN, .paid_us = 12 * MIN}, 1,
         {.lost_us = 150 * WEIR_US_PER_S, .paid_us = 2 * MIN, .reclaim_ppm = MILLION}},
        {"the same of what is less alike", {.reclaim_ppm = MILLION}, {.failures = MILLION, .lost_us = 16 * MIN, .paid_us = 12 * MIN}, 4,
         {.lost_us = 40 * WEIR_US_PER_S, .paid_us = 30 * WEIR_US_PER_S, .reclaim_ppm = MILLION}},
        {"one reclaim at once: a quarter more", {.reclaim_ppm = MILLION}, {.reclaims = MILLION}, 1, {.reclaim_ppm = 1250000}},
        {"none where four were to be expected: half", {.reclaim_ppm = MILLION}, {.expected_ppm = 4 * MILLION}, 1, {.reclaim_ppm = 500000}},
        {"forty where four were: 44 of 8", {.reclaim_ppm = MILLION}, {.reclaims = 40 * MILLION, .expected_ppm = 4 * MILLION}, 1,
         {.reclaim_ppm = 5500000}},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        struct weir_estimate e = weir_estimate_of(&row[i].wider, &row[i].weighed, row[i].times);
        if (e.late_us != row[i].want.late_us || e.lost_us != row[i].want.lost_us || e.paid_us != row[i].want.paid_us ||
            e.reclaim_ppm != row[i].want.reclaim_ppm) {
            fail_msg("%s: late %lld lost %lld paid %lld reclaims %lld", row[i].what, (long long)e.late_us, (long long)e.lost_us,
                     (long long)e.paid_us, (long long)e.reclaim_ppm);
        }
    }
}

static void rates_follow_the_estimate(void **state)
{
    static const struct {
        int64_t factor;
        uint32_t listed;
        uint32_t want;
    } row[] = {
        {1000000, 0, 0},        /* nothing was seen: as it says */
        {1000000, 50000, 50000},
        {2500000, 50000, 125000},
        {500000, 50000, 25000},
        {4000000, 0, 3000},     /* said never to be taken back, and was: what the least that is expected grew by */
        {1016000, 200, 216},    /* a little more than expected is a little more */
        {900000, 0, 0},
        {900000, 500, 450},
        {0, 50000, 0},
        {INT64_MAX, 4000000000u, UINT32_MAX},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        const struct weir_estimate e = {.reclaim_ppm = row[i].factor};
        assert_int_equal(weir_estimate_reclaim_ppm(&e, row[i].listed), row[i].want);
    }
    assert_int_equal(weir_evidence_expected_ppm(50000, 10 * HOUR), 500000);
    assert_int_equal(weir_evidence_expected_ppm(0, 10 * HOUR), 10000);
    assert_int_equal(weir_evidence_expected_ppm(50000, -HOUR), 0);
}

static void what_a_narrower_group_holds_is_taken_out(void **state)
{
    struct weir_evidence all = {.boots = 10, .failures = 2, .late_us = -5, .lost_us = 7, .reclaims = 1, .expected_ppm = 9};
    const struct weir_evidence own = {.boots = 4, .failures = 2, .late_us = 6, .lost_us = 8, .reclaims = 1, .expected_ppm = 4};
    (void)state;
    weir_evidence_take(&all, &own);
    assert_int_equal(all.boots, 6);
    assert_int_equal(all.failures, 0);
    assert_int_equal(all.late_us, -11);
    assert_int_equal(all.lost_us, 0); /* by rounding one may hold a millionth more than both */
    assert_int_equal(all.reclaims, 0);
    assert_int_equal(all.expected_ppm, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_fades_by_half_each_week),
        cmocka_unit_test(a_week_old_counts_half),
        cmocka_unit_test(estimates_lie_between_belief_and_what_was_seen),
        cmocka_unit_test(rates_follow_the_estimate),
        cmocka_unit_test(what_a_narrower_group_holds_is_taken_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
