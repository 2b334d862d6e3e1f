/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "core/gpu.h"
#include "core/model.h"
#include "core/sm.h"

static void names_of_drivers_and_catalogues_fold_to_one_model(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
    } rows[] = {
        {"A100", "A100"},
        {"a100-80gb", "A100-80GB"},
        {"NVIDIA A100-SXM4-80GB", "A100-80GB"},
        {"NVIDIA A100 80GB PCIe", "A100-80GB"},
        {"NVIDIA A100-SXM4-40GB", "A100"},
        {"A100-PCIE-40GB", "A100"},
        {"Tesla T4", "T4"},
        {"Tesla V100-SXM2-16GB", "V100"},
        {"Tesla V100-SXM2-32GB", "V100-32GB"},
        {"Tesla P100-PCIE-16GB", "P100"},
        {"NVIDIA H100 80GB HBM3", "H100"},
        {"NVIDIA H100 PCIe", "H100-PCIE"},
        {"NVIDIA H100 NVL", "H100-NVL"},
        {"NVIDIA H200", "H200"},
        {"NVIDIA GH200 480GB", "GH200"},
        {"NVIDIA L40S", "L40S"},
        {"NVIDIA RTX A6000", "A6000"},
        {"Quadro RTX 6000", "RTX6000"},
        {"NVIDIA RTX 6000 Ada Generation", "RTX6000-Ada"},
        {"NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTXPRO6000"},
        {"NVIDIA GeForce RTX 4090", "RTX4090"},
        {"rtx_4090", "RTX4090"},
        {"AMD Instinct MI300X", "MI300X"},
        {" L4 ", "L4"},
    };
    struct weir_gpu_table *t = weir_gpu_table_new();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        uint16_t m = weir_gpu_table_find(t, weir_sv_of(rows[i].text));
        assert_int_not_equal(m, WEIR_GPU_MODEL_ANY);
        assert_string_equal(weir_gpu_table_get(t, m)->name, rows[i].name);
        assert_int_equal(weir_gpu_table_intern(t, weir_sv_of(rows[i].text)), m);
    }
    weir_gpu_table_free(t);
}

static void every_built_in_model_is_found_and_plausible(void **state)
{
    (void)state;
    struct weir_gpu_table *t = weir_gpu_table_new();
    const char *const *names = weir_gpu_table_names(t);
    size_t n = weir_gpu_table_count(t);
    assert_true(n > 50);
    for (size_t i = 0; i < n; i++) {
        const struct weir_gpu_model *m = weir_gpu_table_get(t, (uint16_t)i);
        assert_string_equal(names[i], m->name);
        assert_int_equal(weir_gpu_table_find(t, weir_sv_of(m->name)), i);
        assert_int_not_equal(weir_gpu_table_find(t, weir_sv_of(m->family)), WEIR_GPU_MODEL_ANY);
        assert_in_range(m->mem_mib, 4096, 512 * 1024);
        assert_in_range(m->watts, 30, 2000);
        assert_in_range(m->idle_watts, 5, m->watts / 4);
        assert_in_range(m->throughput_milli, 50, 20000);
    }
    assert_null(names[n]);
    weir_gpu_table_free(t);
}

static void a_family_name_stands_for_its_larger_members(void **state)
{
    (void)state;
    static const struct {
        const char *want;
        const char *have;
        bool match;
    } rows[] = {
        {"A100", "A100", true},       {"A100", "A100-80GB", true},
        {"A100-80GB", "A100", false}, {"V100", "V100-32GB", true},
        {"V100-32GB", "V100", false}, {"H100", "H100-NVL", true},
        {"H100-NVL", "H100", false},  {"RTX6000", "RTX8000", true},
        {"A100", "H100", false},      {"RTX6000", "RTX6000-Ada", false},
    };
    struct weir_gpu_table *t = weir_gpu_table_new();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        uint16_t want = weir_gpu_table_find(t, weir_sv_of(rows[i].want));
        uint16_t have = weir_gpu_table_find(t, weir_sv_of(rows[i].have));
        assert_int_equal(weir_gpu_table_match(t, want, have), rows[i].match);
        assert_true(weir_gpu_table_match(t, WEIR_GPU_MODEL_ANY, have));
        assert_false(weir_gpu_table_match(t, want, WEIR_GPU_MODEL_ANY));
    }
    weir_gpu_table_free(t);
}

static void unknown_names_are_added_once_up_to_the_limit(void **state)
{
    (void)state;
    struct weir_gpu_table *t = weir_gpu_table_new();
    size_t n = weir_gpu_table_count(t);
    assert_int_equal(weir_gpu_table_find(t, WEIR_SV("Nova-9")), WEIR_GPU_MODEL_ANY);
    uint16_t m = weir_gpu_table_intern(t, WEIR_SV("Nova-9"));
    assert_int_equal(m, n);
    assert_int_equal(weir_gpu_table_intern(t, WEIR_SV("NVIDIA NOVA 9")), n);
    assert_string_equal(weir_gpu_table_get(t, m)->name, "Nova-9");
    assert_int_equal(weir_gpu_table_get(t, m)->mem_mib, 0);
    char name[16];
    while (weir_gpu_table_count(t) < WEIR_GPU_MODELS_MAX) {
        int len = snprintf(name, sizeof name, "X%zu", weir_gpu_table_count(t));
        assert_int_not_equal(weir_gpu_table_intern(t, (struct weir_sv){name, (size_t)len}),
                             WEIR_GPU_MODEL_ANY);
    }
    assert_int_equal(weir_gpu_table_intern(t, WEIR_SV("one-more")), WEIR_GPU_MODEL_ANY);
    assert_string_equal(weir_gpu_table_names(t)[n], "Nova-9");
    weir_gpu_table_free(t);
}

static void what_is_no_name_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "   ",
                                       "A\tB",
                                       "A\nB",
                                       "\xff",
                                       "a\x01",
                                       "1234567890123456789012345678901234567890123456789"};
    struct weir_gpu_table *t = weir_gpu_table_new();
    size_t n = weir_gpu_table_count(t);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(weir_gpu_table_intern(t, weir_sv_of(rows[i])), WEIR_GPU_MODEL_ANY);
    }
    assert_int_equal(weir_gpu_table_count(t), n);
    /* Made of marketing words only, and still a name. */
    assert_int_equal(weir_gpu_table_intern(t, WEIR_SV("NVIDIA")), n);
    assert_int_equal(weir_gpu_table_intern(t, WEIR_SV("nvidia")), n);
    weir_gpu_table_free(t);
}

static void every_state_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < WEIR_TASK_STATE_MAX; i++) {
        assert_string_not_equal(weir_task_state_name((enum weir_task_state)i), "unknown");
    }
    for (int i = 0; i < WEIR_JOB_STATE_MAX; i++) {
        assert_string_not_equal(weir_job_state_name((enum weir_job_state)i), "unknown");
    }
    for (int i = 0; i < WEIR_NODE_STATE_MAX; i++) {
        assert_string_not_equal(weir_node_state_name((enum weir_node_state)i), "unknown");
    }
    for (int i = 0; i < WEIR_LEASE_STATE_MAX; i++) {
        assert_string_not_equal(weir_lease_state_name((enum weir_lease_state)i), "unknown");
    }
    for (int i = 0; i < WEIR_HOLD_STATE_MAX; i++) {
        assert_string_not_equal(weir_hold_state_name((enum weir_hold_state)i), "unknown");
    }
    for (int i = 0; i < WEIR_REASON_MAX; i++) {
        assert_string_not_equal(weir_reason_name((enum weir_reason)i), "unknown");
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(weir_reason_name((enum weir_reason)i),
                                    weir_reason_name((enum weir_reason)k));
        }
    }
    for (int i = 0; i < WEIR_OFFER_MARKET_MAX; i++) {
        assert_string_not_equal(weir_market_name((enum weir_market)i), "unknown");
    }
    assert_string_equal(weir_reason_name(WEIR_REASON_MAX), "unknown");
}

static void a_machine_draws_each_of_its_states(void **state)
{
    (void)state;
    const struct weir_sm *const machine[] = {&weir_sm_task, &weir_sm_job, &weir_sm_node, &weir_sm_lease, &weir_sm_hold};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(machine); i++) {
        struct weir_str out = WEIR_STR_INIT(64 * 1024);
        weir_sm_diagram(machine[i], &out);
        assert_false(out.overflowed);
        assert_non_null(strstr(weir_str_cstr(&out), "stateDiagram-v2\n    [*] --> "));
        for (uint32_t k = 0; k < machine[i]->n; k++) {
            assert_non_null(strstr(weir_str_cstr(&out), machine[i]->state[k].name));
        }
        weir_str_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_drivers_and_catalogues_fold_to_one_model),
        cmocka_unit_test(every_built_in_model_is_found_and_plausible),
        cmocka_unit_test(a_family_name_stands_for_its_larger_members),
        cmocka_unit_test(unknown_names_are_added_once_up_to_the_limit),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(every_state_has_a_name_of_its_own),
        cmocka_unit_test(a_machine_draws_each_of_its_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
