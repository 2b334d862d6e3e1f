/* SPDX-License-Identifier: Apache-2.0 */
/* The bound of a replay, in cases worked by hand; that no policy is below it is tried in tests/sim/test_bound.py. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/mem.h"
#include "sim/replay_bound.h"

struct task {
    double at_h;
    double run_h;
    uint32_t gpus; /* 0: the row has no such task */
    bool fails;
};

static void cases_worked_by_hand(void **state)
{
    static const double never = (double)INFINITY;
    static const struct {
        double per_hour, fixed, busy, rented, fastest;
        struct task task[2];
        double want; /* in units */
    } row[] = {
        {2, 10, 1, 5, 1, {{0, 2, 2, false}}, 24},                       /* all on owned GPUs, which are there for two hours */
        {1, 10, 1, 5, 1, {{0, 2, 2, false}}, 32},                       /* half of it is rented: two hours more of owned nodes cost more */
        {1, 1, 1, 5, 1, {{0, 2, 2, false}}, 8},                         /* four hours of owned nodes, and nothing rented */
        {1, 10, 1, never, 1, {{0, 2, 2, false}}, 44},                   /* nothing is to be rented */
        {1, 10, 1, 5, 2, {{0, 2, 2, false}}, 26},                       /* rented GPUs are twice as fast: done after an hour, 1 of 4 on owned ones */
        {2, 1, 1, 5, 1, {{0, 1, 1, false}, {10, 1, 4, false}}, 17},     /* what idled before the second came is of no use to it */
        {2, 1, 1, 5, 1, {{0, 1, 1, false}, {10, 1, 4, true}}, 2},       /* what fails need not be done */
        {2, 1, 9, 5, 1, {{0, 2, 2, false}}, 22},                        /* owned GPUs draw more than rented ones cost */
        {0, 0, 0, 5, 1, {{0, 2, 2, false}}, 20},                        /* nothing is owned */
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        struct weir_replay_bound b = {.known = true, .per_hour = row[i].per_hour, .fixed = row[i].fixed * 1e6, .busy = row[i].busy * 1e6,
                                      .rented = row[i].rented * 1e6, .fastest = row[i].fastest};
        for (size_t k = 0; k < WEIR_ARRAY_LEN(row[i].task); k++) {
            const struct task *t = &row[i].task[k];
            if (t->gpus > 0) {
                weir_replay_bound_arrive(&b, t->at_h, t->run_h * t->gpus);
            }
        }
        for (size_t k = 0; k < WEIR_ARRAY_LEN(row[i].task); k++) {
            const struct task *t = &row[i].task[k];
            if (t->gpus > 0 && !t->fails) {
                weir_replay_bound_done(&b, t->at_h, t->run_h, t->gpus);
            }
        }
        double got = weir_replay_bound_micro(&b) / 1e6;
        assert_true(got <= row[i].want && got > row[i].want * (1 - 1e-5));
    }
}

static void nothing_is_claimed_where_nothing_is_proved(void **state)
{
    (void)state;
    struct weir_replay_bound b = {.known = false, .per_hour = 1, .fixed = 1, .rented = 1, .fastest = 1};
    weir_replay_bound_arrive(&b, 0, 1);
    weir_replay_bound_done(&b, 0, 1, 1);
    assert_true(isnan(weir_replay_bound_micro(&b)));
    b = (struct weir_replay_bound){.known = true, .rented = (double)INFINITY};
    weir_replay_bound_arrive(&b, 0, 1);
    weir_replay_bound_done(&b, 0, 1, 1);
    assert_true(isnan(weir_replay_bound_micro(&b))); /* neither owned nor rented, and done all the same: not in this world */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_worked_by_hand),
        cmocka_unit_test(nothing_is_claimed_where_nothing_is_proved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
