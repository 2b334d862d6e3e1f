/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and their types: what a long life leaves behind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/core_priv.h"

static void step(struct weir_core *c, struct weir_event ev)
{
    static uint64_t seq;
    struct weir_effects fx;
    struct weir_err err = {""};
    ev.seq = ++seq;
    ev.now.us = INT64_C(1795376546) * WEIR_US_PER_S + (int64_t)seq * WEIR_US_PER_S;
    if (weir_core_step(c, &ev, &fx, &err) != 0 || !weir_core_check(c, &err)) {
        fail_msg("%s", err.text);
    }
}

/* Prices change without end; what is kept for each must not. */
static void types_that_nobody_is_of_serve_again(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_core_conf conf = weir_core_conf_default();
    conf.gpus = gpus;
    struct weir_core *c = weir_core_new(&conf);
    struct weir_node_spec spec;
    memset(&spec, 0, sizeof spec);
    spec.gpu_model = weir_gpu_table_intern(gpus, WEIR_SV("A100"));
    spec.gpus = 4;
    spec.cpu_milli = 64000;
    spec.mem_mib = 1 << 18;
    for (uint64_t id = 1; id <= 3; id++) {
        spec.id.v = id;
        spec.rates = (struct weir_node_rates){2000000, 0, 300000};
        struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
        ev.u.node_join.spec = &spec;
        step(c, ev);
    }
    assert_int_equal(c->types.n, 1);
    for (int64_t hour = 1; hour <= 200; hour++) {
        for (uint64_t id = 1; id <= 3; id++) {
            struct weir_event ev = {.kind = WEIR_EVENT_NODE_RATES};
            ev.u.node_rates.node.v = id;
            ev.u.node_rates.rates = (struct weir_node_rates){2000000 + hour, 0, 300000 + hour};
            step(c, ev);
        }
        assert_int_equal(node_find(c, 2)->type->busy_micro_per_hour, 300000 + hour);
        assert_true(node_find(c, 2)->type->cores_micro_per_hour < 300000 + hour);
    }
    assert_int_equal(c->types.n, 2);
    weir_core_free(c);
    weir_gpu_table_free(gpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_that_nobody_is_of_serve_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
