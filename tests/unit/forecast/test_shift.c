/* SPDX-License-Identifier: Apache-2.0 */
/* When to begin while energy changes its price: by hand-worked cases. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "forecast/shift.h"

static void work_begins_where_energy_and_waiting_are_cheapest(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct weir_shift s;
        size_t want;
    } rows[] = {
        {"flat: at once", {{2, 2, 2, 2}, 4, 1, 1, 0, 99}, 0},
        {"the cheap hour", {{4, 3, 1, 2}, 4, 1, 1, 0.1, 99}, 2},
        {"two hours want a cheap pair", {{4, 1, 9, 2, 2}, 5, 2, 1, 0.1, 99}, 3},
        {"half an hour counts half", {{4, 3, 1, 2}, 4, 0.5, 1, 1.4, 99}, 0},
        {"waiting is worth more", {{4, 3, 1, 2}, 4, 1, 1, 1.6, 99}, 0},
        {"more power, more to gain", {{4, 3, 1, 2}, 4, 1, 2, 1.6, 99}, 2},
        {"it may not wait so long", {{4, 3, 1, 2}, 4, 1, 1, 0.1, 1}, 1},
        {"nor at all", {{4, 3, 1, 2}, 4, 1, 1, 0.1, 0}, 0},
        {"beyond what is known it is the mean: nothing to gain at the end", {{2, 2, 2, 2}, 4, 100, 1, 0, 99}, 0},
        {"prices below nothing", {{1, -5, 1}, 3, 1, 1, 0.1, 99}, 1},
        {"one hour is known", {{7}, 1, 1, 1, 0, 99}, 0},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        size_t got = weir_shift_hours(&rows[i].s);
        if (got != rows[i].want) {
            fail_msg("%s: %zu hours, not %zu", rows[i].name, got, rows[i].want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_begins_where_energy_and_waiting_are_cheapest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
