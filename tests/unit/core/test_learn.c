/* SPDX-License-Identifier: Apache-2.0 */
/* What the core learns of offers from leases, and that a restored one has learned the same. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

#define BEGIN (INT64_C(20000) * WEIR_US_PER_DAY)

static struct weir_offer offer_of(uint64_t id, const char *region, const char *type, uint8_t market)
{
    struct weir_offer o = {.id = id,
                           .provider = "cloud",
                           .market = market,
                           .cpu_milli = 8000,
                           .mem_mib = 32768,
                           .price_micro_per_hour = 1000000,
                           .expires = WEIR_WALL_MAX,
                           .boot_expected = weir_dur_s(300),
                           .reclaim_ppm_per_hour = market == WEIR_OFFER_SPOT ? 20000 : 0,
                           .launchable = true};
    memcpy(o.region, region, strlen(region));
    memcpy(o.instance_type, type, strlen(type));
    return o;
}

/* A lease that is over: launched at a minute since BEGIN, ready after boot_min (0: refused at once), gone after lived_min more. */
static struct weir_lease_view lease_of(uint64_t id, const struct weir_offer *o, int64_t launched_min, int64_t boot_min, int64_t lived_min, bool reclaimed)
{
    int64_t at = BEGIN + launched_min * WEIR_US_PER_MIN;
    struct weir_lease_view v = {.id = {id}, .offer = *o, .intent_at = {at}, .reclaimed = reclaimed};
    if (boot_min == 0) {
        v.state = WEIR_LEASE_FAILED;
        v.refusal = WEIR_REFUSAL_NO_CAPACITY;
        v.ended_at.us = at;
        v.ending_at.us = at + 10 * WEIR_US_PER_MIN;
        return v;
    }
    v.state = WEIR_LEASE_ENDED;
    v.confirmed_at.us = at;
    v.ready_at.us = at + boot_min * WEIR_US_PER_MIN;
    v.ended_at.us = v.ready_at.us + lived_min * WEIR_US_PER_MIN;
    v.ending_at.us = reclaimed ? 0 : v.ended_at.us;
    return v;
}

static struct weir_core *core_at(struct weir_gpu_table *gpus, const struct weir_lease_view *v, size_t n, bool past, int64_t minutes)
{
    struct weir_core_conf conf = weir_core_conf_default();
    struct weir_err err;
    conf.gpus = gpus;
    struct weir_core *c = weir_core_new(&conf);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(past ? weir_core_restore_past_lease(c, &v[i], &err) : weir_core_restore_lease(c, &v[i], &err), 0);
    }
    assert_int_equal(weir_core_restore_done(c, 1, (struct weir_wall){BEGIN + minutes * WEIR_US_PER_MIN}, &err), 0);
    assert_true(weir_core_check(c, &err));
    return c;
}

static void offers_of_a_kind_learn_from_each_other(void **state)
{
    const struct weir_offer own = offer_of(1, "us", "big", WEIR_OFFER_SPOT);
    const struct weir_offer near = offer_of(2, "us", "big", WEIR_OFFER_SPOT);
    const struct weir_offer region = offer_of(3, "us", "small", WEIR_OFFER_SPOT);
    const struct weir_offer market = offer_of(4, "eu", "big", WEIR_OFFER_SPOT);
    const struct weir_offer other = offer_of(5, "us", "big", WEIR_OFFER_ON_DEMAND);
    /* 6 boots of 11 minutes instead of 5; 300 hours in all, in which 6 reclaims were to be expected and came */
    struct weir_lease_view v[6];
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_learned l;
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        v[i] = lease_of(i + 1, &own, 0, 11, 50 * 60, true);
    }
    struct weir_core *c = core_at(gpus, v, 6, false, 51 * 60 + 9);
    assert_true(weir_core_learned(c, &own, &l));
    assert_int_equal(l.launches, 6);
    assert_int_equal(l.failures, 0);
    assert_int_equal(l.reclaims, 6);
    assert_int_equal(l.lived.us, 300 * WEIR_US_PER_HOUR);
    assert_int_equal(l.launches_of_market, 6);
    assert_int_equal(l.boot.us, 484 * WEIR_US_PER_S); /* 36 minutes over 6 boots and 6 that are believed: 180 s, to five binary digits */
    assert_int_equal(l.reclaim_ppm_per_hour, 20000);  /* as many as expected */
    const struct weir_offer *wider[] = {&near, &region, &market};
    static const int64_t late_s[] = {184, 120, 72}; /* of 6 + 6, 6 + 12, 6 + 24: the less alike, the less it counts */
    for (size_t i = 0; i < 3; i++) {
        assert_true(weir_core_learned(c, wider[i], &l));
        assert_int_equal(l.launches, 0);
        assert_int_equal(l.launches_of_market, 6);
        assert_int_equal(l.boot.us, (300 + late_s[i]) * WEIR_US_PER_S);
    }
    assert_false(weir_core_learned(c, &other, &l));
    assert_int_equal(l.boot.us, 300 * WEIR_US_PER_S);
    weir_core_free(c);
    weir_gpu_table_free(gpus);
}

static void evidence_counts_from_the_next_full_ten_minutes_and_for_eight_weeks(void **state)
{
    const struct weir_offer o = offer_of(1, "us", "big", WEIR_OFFER_SPOT);
    const struct weir_lease_view v[] = {lease_of(1, &o, 0, 2, 63, true), lease_of(2, &o, 1, 0, 0, false)};
    static const struct {
        int64_t minutes;
        int64_t launches;
        int64_t reclaims;
    } row[] = {{0, 0, 0}, {9, 0, 0}, {10, 2, 0}, {65, 2, 0}, {69, 2, 0}, {70, 2, 1}, {55 * 24 * 60, 2, 1}, {56 * 24 * 60, 0, 0}};
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        for (int past = 0; past < 2; past++) { /* only what it tells, or all that it leaves behind: the same is learned */
            struct weir_learned l;
            struct weir_core *c = core_at(gpus, v, 2, past == 1, row[i].minutes);
            assert_int_equal(weir_core_learned(c, &o, &l), row[i].launches > 0);
            assert_int_equal(l.launches, row[i].launches);
            assert_int_equal(l.reclaims, row[i].reclaims);
            weir_core_free(c);
        }
    }
    weir_gpu_table_free(gpus);
}

static void a_lease_that_lives_is_none_of_the_past(void **state)
{
    const struct weir_offer o = offer_of(1, "us", "big", WEIR_OFFER_SPOT);
    struct weir_lease_view v = lease_of(1, &o, 0, 2, 63, true);
    struct weir_core_conf conf = weir_core_conf_default();
    struct weir_err err;
    (void)state;
    conf.gpus = weir_gpu_table_new();
    struct weir_core *c = weir_core_new(&conf);
    v.state = WEIR_LEASE_READY;
    assert_int_equal(weir_core_restore_past_lease(c, &v, &err), -WEIR_ECORRUPT);
    v = lease_of(0, &o, 0, 2, 63, true);
    assert_int_equal(weir_core_restore_past_lease(c, &v, &err), -WEIR_ECORRUPT);
    weir_core_free(c);
    weir_gpu_table_free(conf.gpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_of_a_kind_learn_from_each_other),
        cmocka_unit_test(evidence_counts_from_the_next_full_ten_minutes_and_for_eight_weeks),
        cmocka_unit_test(a_lease_that_lives_is_none_of_the_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
