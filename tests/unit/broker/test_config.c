/* SPDX-License-Identifier: Apache-2.0 */
/* What an owned node costs, by what of it is configured. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "broker/config.h"

static struct weir_owned_cost cost_with(const char *keys, const struct weir_gpu_table *gpus)
{
    char text[256];
    struct weir_err err = {""};
    struct weir_config *c;
    const struct weir_node_spec node = {.cpu_milli = 10000, .gpu_model = WEIR_GPU_MODEL_ANY};
    (void)snprintf(text, sizeof text, "pools: {local: {cost: {%s}}}\n", keys);
    if (weir_config_parse(&c, weir_sv_of(text), "test.yaml", &err) != 0) {
        fail_msg("%s", err.text);
    }
    struct weir_owned_cost cost = weir_config_owned_cost(c, "local", &node, gpus, 0);
    weir_config_free(c);
    return cost;
}

static void each_part_of_a_cost_that_is_given_counts(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        int64_t purchase;
        int64_t residual;
        int64_t upkeep;
        uint32_t idle_watts;
        uint32_t busy_watts;
    } rows[] = {
        /* 3,000 for the host, a tenth of it left, a twentieth a year; 60 W and 8 W a core */
        {"pue: 1.2", 3000, 300, 150, 60, 140},
        {"purchase: 9000", 9000, 0, 0, 60, 140},
        {"purchase: 9000, residual: 900, upkeep_per_year: 70", 9000, 900, 70, 60, 140},
        {"upkeep_per_year: 70", 3000, 300, 70, 60, 140},
        {"upkeep_per_year: 0", 3000, 300, 0, 60, 140},
        {"idle_watts: 100", 3000, 300, 150, 100, 140},
        {"idle_watts: 500", 3000, 300, 150, 500, 500},
        {"busy_watts: 900", 3000, 300, 150, 60, 900},
        {"busy_watts: 20", 3000, 300, 150, 20, 20},
        {"idle_watts: 0, busy_watts: 0", 3000, 300, 150, 0, 0},
    };
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_owned_cost c = cost_with(rows[i].keys, gpus);
        assert_int_equal(c.purchase_micro, rows[i].purchase * WEIR_MICRO_PER_UNIT);
        assert_int_equal(c.residual_micro, rows[i].residual * WEIR_MICRO_PER_UNIT);
        assert_int_equal(c.upkeep_micro_per_year, rows[i].upkeep * WEIR_MICRO_PER_UNIT);
        assert_int_equal(c.idle_watts, rows[i].idle_watts);
        assert_int_equal(c.busy_watts, rows[i].busy_watts);
    }
    weir_gpu_table_free(gpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_of_a_cost_that_is_given_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
