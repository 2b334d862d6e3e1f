/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule without estimates learns: from the own kind, from as many GPUs, from all. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/learned.h"

static const struct weir_dur day = {WEIR_US_PER_DAY};

static int64_t expect_s(const struct weir_sim_learned *l, uint64_t key, uint32_t gpus, int64_t estimate_s)
{
    return weir_sim_learned_expect(l, key, gpus, weir_dur_s(estimate_s), day).us / WEIR_US_PER_S;
}

static void with_nothing_learned_the_estimate_or_half_of_the_limit_stands(void **state)
{
    (void)state;
    struct weir_sim_learned l = {0};
    assert_int_equal(expect_s(&l, 1, 8, 0), 44000); /* of 43,200 s, to two digits */
    assert_int_equal(expect_s(&l, 1, 8, 600), 600);
    weir_sim_learned_release(&l);
}

static void the_own_kind_tells_most_then_as_many_gpus_then_all(void **state)
{
    (void)state;
    struct weir_sim_learned l = {0};
    for (int i = 0; i < 20; i++) {
        weir_sim_learned_observe(&l, 1, 8, weir_dur_s(100));
        weir_sim_learned_observe(&l, 2, 8, weir_dur_s(5000));
        weir_sim_learned_observe(&l, 3, 1, weir_dur_s(20000));
    }
    assert_int_equal(expect_s(&l, 1, 8, 0), 100);
    assert_int_equal(expect_s(&l, 2, 8, 0), 5000);
    int64_t by_gpus = expect_s(&l, 4, 8, 0);
    int64_t by_all = expect_s(&l, 4, 2, 0);
    assert_in_range(by_gpus, 101, 4999);
    assert_in_range(by_all, by_gpus + 1, 19999);
    assert_int_equal(expect_s(&l, 4, 1, 0), 20000);
    /* one key, other numbers of GPUs: the own kind is the caller's word */
    assert_int_equal(expect_s(&l, 1, 1, 0), 100);
    weir_sim_learned_release(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_nothing_learned_the_estimate_or_half_of_the_limit_stands),
        cmocka_unit_test(the_own_kind_tells_most_then_as_many_gpus_then_all),
    };
    return cmocka_run_group_tests_name("learned", tests, NULL, NULL);
}
