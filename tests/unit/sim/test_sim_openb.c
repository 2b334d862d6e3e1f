/* SPDX-License-Identifier: Apache-2.0 */
/* Suite openb: cases that can be followed by hand, and what its readers refuse. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/openb.h"
#include "sim/sim.h"

#include "temp_files.h"

#define NODES "sn,cpu_milli,memory_mib,gpu,model\n"
#define PODS "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"

static int run(const char *node_text, const char *pod_text, const char *policies, const char *seeds,
               struct weir_sim_result *result, struct weir_err *err)
{
    char pods[128];
    snprintf(pods, sizeof pods, "%s-pods", path);
    put(node_text);
    put_bytes(pods, pod_text, strlen(pod_text));
    return weir_sim_run_suite(
        "openb", &(struct weir_sim_options){.node_list = path, .pods = pods, .policies = policies, .seeds = seeds}, result, err);
}

static double metric(const struct weir_sim_row *row, const char *name)
{
    const struct weir_sim_field *f = weir_sim_row_field(row, name);
    assert_non_null(f);
    return f->u.real;
}

static void close_to(double got, double want)
{
    if (got < want - 1e-9 || got > want + 1e-9) {
        fail_msg("%.9g instead of %.9g", got, want);
    }
}

static void each_policy_fills_what_each_task_can_use(void **state)
{
    (void)state;
    static const struct {
        const char *nodes;
        const char *pods;
        double allocated;
        double fragmentation; /* of what is left */
    } rows[] = {
        /* Plenty of everything. */
        {NODES "a,8000,1000,2,T4\nb,8000,1000,1,T4\n", PODS "p,1000,10,1,1000,\n", 100, 0},
        /* CPU for one on each node. */
        {NODES "a,1900,1000,2,T4\nb,1900,1000,1,T4\n", PODS "p,1000,10,1,1000,\n", 200.0 / 3, 100},
        /* Memory likewise, which counts for placing, but not as fragmentation. */
        {NODES "a,8000,19,2,T4\nb,8000,19,1,T4\n", PODS "p,1000,10,1,1000,\n", 200.0 / 3, 0},
        /* One model only. */
        {NODES "a,8000,1000,2,T4\nb,8000,1000,2,P100\n", PODS "p,1000,10,1,1000,P100|V100\n", 50, 100},
        {NODES "a,8000,1000,2,T4\nb,8000,1000,2,P100\n", PODS "p,1000,10,1,1000,P100|T4\n", 100, 0},
        /* Shares: a GPU holds one of 600. */
        {NODES "a,8000,1000,2,T4\nb,8000,1000,2,T4\n", PODS "p,100,10,1,600,\n", 60, 100},
        /* Pairs need both GPUs of one node. */
        {NODES "a,8000,1000,3,T4\nb,8000,1000,3,T4\n", PODS "p,100,10,2,1000,\n", 200.0 / 3, 100},
        /* A gang larger than a node is passed over; tasks without GPUs take none. */
        {NODES "a,8000,1000,2,T4\nb,8000,1000,2,T4\n", PODS "p,100,10,4,1000,\nq,100,10,0,0,\n", 0, 100},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_err err = {0};
        struct weir_sim_result result;
        int r = run(rows[i].nodes, rows[i].pods, NULL, "1-3", &result, &err);
        if (r < 0) {
            fail_msg("%s", err.text);
        }
        assert_int_equal(result.n_rows, 7);
        for (size_t k = 0; k < result.n_rows; k++) {
            close_to(metric(&result.row[k], "allocated_percent"), rows[i].allocated);
            close_to(metric(&result.row[k], "allocated_percent_min"), rows[i].allocated);
            close_to(metric(&result.row[k], "fragmentation_percent"), rows[i].fragmentation);
        }
        weir_sim_result_release(&result);
    }
}

/* One GPU is cut by a small share already wherever it went; the next goes beside it, but for chance. */
static void shares_are_put_together(void **state)
{
    (void)state;
    const struct weir_frag_room node[] = {
        {.cpu_milli = 64000, .mem_mib = 64000, .gpus = 4, .left_milli = {1000, 1000, 1000, 1000}},
        {.cpu_milli = 64000, .mem_mib = 64000, .gpus = 4, .left_milli = {1000, 1000, 1000, 1000}},
    };
    /* Half of the tasks are gangs of four, so that a node that stays whole counts. */
    const struct weir_frag_ask ask[] = {
        {.cpu_milli = 1000, .mem_mib = 10, .gpus = 1, .gpu_milli = 100},
        {.cpu_milli = 4000, .mem_mib = 40, .gpus = 4, .gpu_milli = 1000},
    };
    const uint32_t count[] = {8, 1};
    const uint32_t plain[] = {0, 1};
    const uint32_t task[] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    const struct weir_openb_input in = {node, 2, ask, count, plain, 2, task, 9};
    static const enum weir_openb_policy packs[] = {WEIR_OPENB_PACKING, WEIR_OPENB_BEST_FIT, WEIR_OPENB_WEIR};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(packs); i++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct weir_sim_result result;
            struct weir_openb_outcome out;
            weir_sim_result_init(&result, "openb");
            weir_openb_run(&in, packs[i], seed, NULL, &result, &out);
            /* Eight shares at least are 0.8 of 8 GPUs, the gang 4. */
            assert_true(out.allocated_percent >= 60 - 1e-9);
            assert_true(out.placed <= out.arrived && out.arrived >= 9);
            weir_sim_result_release(&result);
        }
    }
}

static void a_list_that_asks_for_too_much_is_cut(void **state)
{
    (void)state;
    const struct weir_frag_room node[] = {{.cpu_milli = 64000, .mem_mib = 64000, .gpus = 10, .left_milli = {1000}}};
    struct weir_frag_room full = node[0];
    for (uint32_t i = 0; i < full.gpus; i++) {
        full.left_milli[i] = 1000;
    }
    const struct weir_frag_ask ask[] = {{.cpu_milli = 100, .gpus = 1, .gpu_milli = 1000}};
    const uint32_t count[] = {40};
    const uint32_t plain[] = {0};
    const uint32_t task[40] = {0};
    struct weir_sim_result result;
    struct weir_openb_outcome out;
    weir_sim_result_init(&result, "openb");
    weir_openb_run(&(struct weir_openb_input){&full, 1, ask, count, plain, 1, task, 40}, WEIR_OPENB_FGD, 42, NULL, &result, &out);
    assert_int_equal(out.arrived, 13);
    assert_int_equal(out.placed, 10);
    /* And one that asks for less is drawn from until it asks for as much. */
    weir_openb_run(&(struct weir_openb_input){&full, 1, ask, count, plain, 1, task, 2}, WEIR_OPENB_FGD, 42, NULL, &result, &out);
    assert_int_equal(out.arrived, 13);
    weir_sim_result_release(&result);
}

static void the_seed_decides_all(void **state)
{
    (void)state;
    static const char *const node_text = NODES "a,8000,1000,2,T4\nb,9000,1000,4,P100\nc,16000,2000,8,T4\n";
    static const char *const pod_text = PODS "p,1000,10,1,400,\nq,500,10,1,700,\nr,2000,100,2,1000,T4\ns,1000,0,0,0,\n";
    struct weir_err err = {0};
    struct weir_sim_result a;
    struct weir_sim_result b;
    for (int same = 0; same < 2; same++) {
        assert_int_equal(run(node_text, pod_text, "random,weir", "5", &a, &err), 0);
        assert_int_equal(run(node_text, pod_text, "random,weir", same ? "5" : "6", &b, &err), 0);
        assert_int_equal(a.hash == b.hash, same);
        weir_sim_result_release(&a);
        weir_sim_result_release(&b);
    }
}

static void bad_files_are_refused_with_line_and_column(void **state)
{
    (void)state;
    static const char *const good_nodes = NODES "a,8000,1000,2,T4\n";
    static const char *const good_pods = PODS "p,1000,10,1,400,\n";
    static const struct {
        const char *nodes; /* NULL: good ones */
        const char *pods;
        const char *says;
    } rows[] = {
        {"sn,cpu_milli\na,1\n", NULL, "/input:1: there is no column 'memory_mib'"},
        {NODES "a,8000,1000,33,T4\n", NULL, "/input:2: column 'gpu': 33 is not between 0 and 32"},
        {NODES "a,8000,1000,2,T4\na,-1,1000,2,T4\n", NULL, "/input:3: column 'cpu_milli': -1 is not between"},
        {NODES "a,8000,1000,0,\n", NULL, "/input has no GPUs"},
        {NODES, NULL, "/input has no GPUs"},
        {NULL, "name,cpu_milli,memory_mib,num_gpu\n", "/input-pods:1: there is no column 'gpu_milli'"},
        {NULL, PODS "p,1000,10,1,1001,\n", "/input-pods:2: column 'gpu_milli': 1001 is not between 1 and 1000"},
        {NULL, PODS "p,1000,10,1,0,\n", "/input-pods:2: column 'gpu_milli': 0 is not between 1 and 1000"},
        {NULL, PODS "p,1000,10,2,500,\n", "/input-pods:2: a share (gpu_milli 500) of several GPUs (num_gpu 2)"},
        {NULL, PODS "p,many,10,2,500,\n", "/input-pods:2: column 'cpu_milli': 'many' is not a whole number"},
        {NULL, PODS "p,1000,10,0,0,\n", "/input-pods has no task that wants a GPU"},
        {NULL, PODS, "/input-pods has no task that wants a GPU"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_err err = {0};
        struct weir_sim_result result;
        int r = run(rows[i].nodes == NULL ? good_nodes : rows[i].nodes, rows[i].pods == NULL ? good_pods : rows[i].pods, NULL, NULL,
                    &result, &err);
        assert_true(r < 0);
        if (strstr(err.text, rows[i].says) == NULL) {
            fail_msg("'%s' does not say '%s'", err.text, rows[i].says);
        }
        weir_sim_result_release(&result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_policy_fills_what_each_task_can_use),
        cmocka_unit_test(shares_are_put_together),
        cmocka_unit_test(a_list_that_asks_for_too_much_is_cut),
        cmocka_unit_test(the_seed_decides_all),
        cmocka_unit_test(bad_files_are_refused_with_line_and_column),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
