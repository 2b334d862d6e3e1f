/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/order.h"

static void what_is_left_counts_gpus_and_the_start_of_those_that_wait(void **state)
{
    (void)state;
    const struct weir_dur left = {100};
    const struct weir_dur start = {7};
    assert_int_equal(weir_order_remaining(left, start, true, 4), 400);
    assert_int_equal(weir_order_remaining(left, start, false, 4), 428);
    assert_int_equal(weir_order_remaining((struct weir_dur){INT64_MAX - 1}, start, false, 8), INT64_MAX);
}

static void levels_grow_by_eight_from_a_minute_and_the_last_has_no_end(void **state)
{
    (void)state;
    assert_int_equal(weir_order_level_end_s(0), 60);
    for (unsigned i = 1; i + 1 < WEIR_ORDER_LEVELS; i++) {
        assert_int_equal(weir_order_level_end_s(i), weir_order_level_end_s(i - 1) * 8);
    }
    assert_int_equal(weir_order_level_end_s(WEIR_ORDER_LEVELS - 1), INT64_MAX);
    assert_int_equal(weir_order_level_end_s(WEIR_ORDER_LEVELS + 50), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_counts_gpus_and_the_start_of_those_that_wait),
        cmocka_unit_test(levels_grow_by_eight_from_a_minute_and_the_last_has_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
