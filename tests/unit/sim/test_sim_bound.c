/* SPDX-License-Identifier: Apache-2.0 */

/* The bound of the suite starburst: below every schedule there is, and not needlessly far below. */

#include "sim/starburst_bound.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"

enum { JOBS_MAX = 5, TIME_MAX = 24 };

static double least(const struct weir_starburst_job *job, size_t n, struct weir_starburst_site site, double wait_h)
{
    struct weir_starburst_job copy[64];
    assert_true(n <= 64);
    memcpy(copy, job, n * sizeof *job);
    struct weir_starburst_jobs jobs = {copy, n};
    WEIR_CLEANUP(weir_starburst_bound_freep) struct weir_starburst_bound *b = weir_starburst_bound_new(&jobs, site, 0, n - 1);
    return weir_starburst_bound_cloud_gpu_h(b, wait_h);
}

/* All schedules of a handful of jobs that begin at whole hours: where all times are whole, the best is one of them. */
struct all {
    const struct weir_starburst_bound *bound;
    struct weir_starburst_job job[JOBS_MAX];
    size_t n;
    uint32_t owned;
    uint32_t used[TIME_MAX];
    size_t schedules;
    double closest; /* to the bound, of all that are not on the owned GPUs alone */
};

static void check_schedule(struct all *a, double cloud, double wait)
{
    double bound = weir_starburst_bound_cloud_gpu_h(a->bound, wait);
    a->schedules++;
    if (cloud < bound - 1e-6) {
        fail_msg("%g GPU-hours with %g h of waiting are less than the bound, %g", cloud, wait, bound);
    }
    a->closest = fmin(a->closest, cloud - bound);
}

static bool take(struct all *a, const struct weir_starburst_job *j, int64_t at)
{
    for (int64_t t = at; t < at + j->duration_us / WEIR_US_PER_HOUR; t++) {
        if (a->used[t] + j->gpus > a->owned) {
            return false;
        }
    }
    for (int64_t t = at; t < at + j->duration_us / WEIR_US_PER_HOUR; t++) {
        a->used[t] += j->gpus;
    }
    return true;
}

static void give_back(struct all *a, const struct weir_starburst_job *j, int64_t at)
{
    for (int64_t t = at; t < at + j->duration_us / WEIR_US_PER_HOUR; t++) {
        a->used[t] -= j->gpus;
    }
}

static void try_all(struct all *a, size_t i, double cloud, double wait) /* as deep as there are jobs */
{
    if (i == a->n || i == JOBS_MAX) {
        check_schedule(a, cloud, wait);
        return;
    }
    const struct weir_starburst_job *j = &a->job[i];
    int64_t hours = j->duration_us / WEIR_US_PER_HOUR;
    try_all(a, i + 1, cloud + (double)j->gpus * (double)hours, wait);
    for (int64_t at = j->submit_us / WEIR_US_PER_HOUR; at + hours <= TIME_MAX && at <= j->submit_us / WEIR_US_PER_HOUR + 6; at++) {
        if (take(a, j, at)) {
            try_all(a, i + 1, cloud, wait + (double)(at - j->submit_us / WEIR_US_PER_HOUR));
            give_back(a, j, at);
        }
    }
}

static int by_submission(const void *va, const void *vb)
{
    const struct weir_starburst_job *a = va;
    const struct weir_starburst_job *b = vb;
    return (a->submit_us > b->submit_us) - (a->submit_us < b->submit_us);
}

static void no_schedule_is_below_the_bound(void **state)
{
    (void)state;
    struct weir_prng rng = weir_prng_seed(11);
    size_t schedules = 0;
    size_t near = 0;
    enum { CASES = 40 };
    for (int k = 0; k < CASES; k++) {
        struct all a = {.n = 2 + weir_prng_below(&rng, JOBS_MAX - 1), .closest = INFINITY};
        struct weir_starburst_site site = {1 + (uint32_t)weir_prng_below(&rng, 2), 1 + (uint32_t)weir_prng_below(&rng, 3)};
        a.owned = site.nodes * site.gpus_per_node;
        for (size_t i = 0; i < a.n; i++) {
            a.job[i] = (struct weir_starburst_job){.submit_us = WEIR_US_PER_HOUR * (int64_t)weir_prng_below(&rng, 6),
                                                   .duration_us = WEIR_US_PER_HOUR * (1 + (int64_t)weir_prng_below(&rng, 8)),
                                                   .gpus = 1 + (uint32_t)weir_prng_below(&rng, 4)};
        }
        qsort(a.job, a.n, sizeof a.job[0], by_submission);
        struct weir_starburst_jobs jobs = {a.job, a.n};
        WEIR_CLEANUP(weir_starburst_bound_freep) struct weir_starburst_bound *b = weir_starburst_bound_new(&jobs, site, 0, a.n - 1);
        a.bound = b;
        try_all(&a, 0, 0, 0);
        schedules += a.schedules;
        near += a.closest < 0.5;
    }
    assert_true(schedules > 10000);
    assert_true(near >= CASES / 3); /* a bound of 0 would do otherwise */
}

#define H WEIR_US_PER_HOUR

static void known_cases_are_met(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct weir_starburst_job job[3];
        size_t n;
        struct weir_starburst_site site;
        double wait_h;
        double want;
    } rows[] = {
        {"all fits", {{0, H, 1, 0}, {0, H, 1, 0}}, 2, {1, 2}, 0, 0},
        {"one of two must go", {{0, H, 1, 0}, {0, H, 1, 0}}, 2, {1, 1}, 0, 1},
        {"half an hour's patience: half of it, by the relaxation", {{0, H, 1, 0}, {0, H, 1, 0}}, 2, {1, 1}, 0.5, 0.5},
        {"an hour's patience", {{0, H, 1, 0}, {0, H, 1, 0}}, 2, {1, 1}, 1, 0},
        {"the long one stays", {{0, 10 * H, 1, 0}, {0, H, 1, 0}}, 2, {1, 1}, 0, 1},
        {"no owned GPUs to speak of", {{0, 10 * H, 8, 0}}, 1, {1, 1}, 0, 70}, /* it may use the one */
        {"jobs of no length", {{0, 0, 1, 0}, {0, 0, 1, 0}, {5 * WEIR_US_PER_S, 0, 1, 0}}, 3, {1, 1}, 0, 0},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        double got = least(rows[i].job, rows[i].n, rows[i].site, rows[i].wait_h);
        if (got > rows[i].want + 1e-6 || got < rows[i].want * 0.97 - 1e-6) {
            fail_msg("%s: %g, want %g", rows[i].name, got, rows[i].want);
        }
    }
}

/* More jobs than the search looks at: the bound is of all of them. */
static void a_sampled_search_still_bounds_all_jobs(void **state)
{
    (void)state;
    enum { JOBS = 200001 };
    struct weir_starburst_jobs jobs = {weir_calloc(JOBS, sizeof *jobs.job), JOBS};
    for (size_t i = 0; i < JOBS; i++) {
        jobs.job[i] = (struct weir_starburst_job){.submit_us = (int64_t)i * WEIR_US_PER_S, .duration_us = 1000 * WEIR_US_PER_S, .gpus = 1};
    }
    /* 1000 at a time on 500 GPUs: half must go, less what the ends of the trace spare */
    WEIR_CLEANUP(weir_starburst_bound_freep) struct weir_starburst_bound *b =
        weir_starburst_bound_new(&jobs, (struct weir_starburst_site){125, 4}, 0, JOBS - 1);
    double all = JOBS * 1000.0 / 3600;
    double got = weir_starburst_bound_cloud_gpu_h(b, 0);
    assert_true(got < all * 0.5 && got > all * 0.45);
    free(jobs.job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_schedule_is_below_the_bound),
        cmocka_unit_test(known_cases_are_met),
        cmocka_unit_test(a_sampled_search_still_bounds_all_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
