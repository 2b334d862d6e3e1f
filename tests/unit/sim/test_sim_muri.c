/* SPDX-License-Identifier: Apache-2.0 */
/* Suite muri: cases that can be followed by hand, and what its reader refuses. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/str.h"
#include "sim/muri.h"
#include "sim/sim.h"

#include "temp_files.h"

static struct weir_muri_outcome run(const struct weir_muri_job *job, size_t n, struct weir_muri_cluster cluster,
                                    enum weir_muri_policy policy, bool published)
{
    struct weir_sim_result result;
    struct weir_muri_outcome out;
    weir_sim_result_init(&result, "muri");
    const struct weir_muri_run run = {.job = job, .n = n, .cluster = cluster, .policy = policy, .published = published};
    weir_muri_run(&run, &result, &out);
    weir_sim_result_release(&result);
    return out;
}

static void close_to(double got, double want)
{
    if (got < want - 1e-6 || got > want + 1e-6) {
        fail_msg("%.9g instead of %.9g", got, want);
    }
}

/* A wants one of two GPUs for 100 s; B, 10 s later, both for 20 s or 60 s. Each start takes 10 s. */
static void orders_differ_as_they_say(void **state)
{
    (void)state;
    static const struct {
        enum weir_muri_policy policy;
        bool published;
        double work_of_b_s;
        double avg_s;
        double makespan_s;
    } rows[] = {
        /* At 10 A has done nothing but start; B runs 10..30 undisturbed, A 30..130. */
        {WEIR_MURI_SRTF, true, 20, (130 + 20) / 2.0, 130},
        {WEIR_MURI_SRSF, true, 20, (130 + 20) / 2.0, 130},
        /* Both pay for each start: B 10..40, A 40..150. */
        {WEIR_MURI_SRTF, false, 20, (150 + 30) / 2.0, 150},
        {WEIR_MURI_WEIR, false, 20, (150 + 30) / 2.0, 150},
        /* A starts again at 10, as every event makes it, and ends at 110; B 110..130. */
        {WEIR_MURI_FIFO, true, 20, (110 + 120) / 2.0, 130},
        /* A is left alone: 0..110; B 110..140. */
        {WEIR_MURI_FIFO, false, 20, (110 + 130) / 2.0, 140},
        /* By time B goes first, by GPU time A does. */
        {WEIR_MURI_SRTF, true, 60, (170 + 60) / 2.0, 170},
        {WEIR_MURI_SRSF, true, 60, (110 + 160) / 2.0, 170},
        {WEIR_MURI_WEIR, true, 60, (110 + 160) / 2.0, 170},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const struct weir_muri_job job[] = {
            {.id = 0, .gpus = 1, .submit_s = 0, .iterations = 100, .iteration_s = 1, .overhead_s = 10},
            {.id = 1, .gpus = 2, .submit_s = 10, .iterations = rows[i].work_of_b_s, .iteration_s = 1, .overhead_s = 10},
        };
        struct weir_muri_outcome out = run(job, 2, (struct weir_muri_cluster){1, 2}, rows[i].policy, rows[i].published);
        close_to(out.avg_jct_s, rows[i].avg_s);
        close_to(out.makespan_s, rows[i].makespan_s);
    }
}

/* A works 5,000 s on the only GPU; B comes at 100 s with 50 s of work. */
static void queues_set_aside_what_has_had_its_share(void **state)
{
    (void)state;
    const struct weir_muri_job job[] = {
        {.id = 0, .gpus = 1, .submit_s = 0, .iterations = 5000, .iteration_s = 1},
        {.id = 1, .gpus = 1, .submit_s = 100, .iterations = 50, .iteration_s = 1},
    };
    for (int published = 0; published < 2; published++) {
        struct weir_muri_outcome out = run(job, 2, (struct weir_muri_cluster){1, 1}, WEIR_MURI_TIRESIAS_L, published);
        close_to(out.avg_jct_s, (5050 + 3200) / 2.0); /* A leaves the first queue at 3,250 */
        out = run(job, 2, (struct weir_muri_cluster){1, 1}, WEIR_MURI_WEIR_NO_ESTIMATES, published);
        close_to(out.avg_jct_s, (5050 + 50) / 2.0); /* A left the first level at 60 */
        close_to(out.makespan_s, 5050);
    }
}

/* Nodes of four: C needs two empty ones and a half; D fits beside it. */
static void large_jobs_take_whole_nodes_and_one_more(void **state)
{
    (void)state;
    const struct weir_muri_job job[] = {
        {.id = 0, .gpus = 10, .submit_s = 0, .iterations = 10, .iteration_s = 1},
        {.id = 1, .gpus = 2, .submit_s = 0, .iterations = 10, .iteration_s = 1},
        {.id = 2, .gpus = 1, .submit_s = 0, .iterations = 10, .iteration_s = 1},
    };
    struct weir_muri_outcome out = run(job, 3, (struct weir_muri_cluster){3, 4}, WEIR_MURI_FIFO, true);
    close_to(out.avg_jct_s, (10 + 10 + 20) / 3.0);
}

static void a_job_that_may_stay_is_not_moved(void **state)
{
    (void)state;
    /* The first ends; first fit would move the second onto its node. */
    const struct weir_muri_job job[] = {
        {.id = 0, .gpus = 2, .submit_s = 0, .iterations = 10, .iteration_s = 1, .overhead_s = 5},
        {.id = 1, .gpus = 2, .submit_s = 0, .iterations = 100, .iteration_s = 1, .overhead_s = 5},
    };
    struct weir_muri_outcome out = run(job, 2, (struct weir_muri_cluster){2, 2}, WEIR_MURI_SRTF, false);
    assert_int_equal(out.starts, 2);
    close_to(out.makespan_s, 105);
    /* The published simulator places anew at every event, and the job pays for it. */
    close_to(run(job, 2, (struct weir_muri_cluster){2, 2}, WEIR_MURI_SRTF, true).makespan_s, 105);
}

static void the_bound_is_what_one_machine_of_all_gpus_does(void **state)
{
    (void)state;
    const struct weir_muri_cluster four = {1, 4};
    const struct weir_muri_job job[] = {
        {.gpus = 4, .submit_s = 0, .iterations = 10, .iteration_s = 1},
        {.gpus = 4, .submit_s = 5, .iterations = 2, .iteration_s = 1},
        {.gpus = 1, .submit_s = 100, .iterations = 10, .iteration_s = 1},
    };
    /* A has 5 s left when B comes with 2; B ends at 7, A at 12. */
    close_to(weir_muri_bound_s(job, 2, four), (12 + 2) / 2.0);
    /* C's work would be done in 2.5 s there, its middle is at 1.25; on its one GPU half of it, 5 s, comes after that. */
    close_to(weir_muri_bound_s(job + 2, 1, four), 1.25 + 5);
}

/* Every order on random jobs stays above it. */
static void no_order_goes_below_the_bound(void **state)
{
    (void)state;
    struct weir_prng r = weir_prng_seed(3);
    for (int round = 0; round < 60; round++) {
        struct weir_muri_job job[40];
        double at_s = 0;
        for (size_t i = 0; i < 40; i++) {
            at_s += (double)weir_prng_below(&r, 60);
            job[i] = (struct weir_muri_job){.id = (int64_t)i,
                                            .gpus = 1 + (uint32_t)weir_prng_below(&r, 8),
                                            .submit_s = at_s,
                                            .iterations = 1 + (double)weir_prng_below(&r, weir_prng_below(&r, 4) == 0 ? 5000 : 100),
                                            .iteration_s = 1};
        }
        double bound_s = weir_muri_bound_s(job, 40, (struct weir_muri_cluster){2, 4});
        for (int policy = 0; policy < _WEIR_MURI_POLICY_MAX; policy++) {
            for (int published = 0; published < 2; published++) {
                struct weir_muri_outcome out = run(job, 40, (struct weir_muri_cluster){2, 4}, (enum weir_muri_policy)policy, published);
                assert_true(out.avg_jct_s >= bound_s - 1e-6);
            }
        }
    }
}

static void starts_take_what_was_measured(void **state)
{
    (void)state;
    assert_true(weir_muri_overhead_s("a2c", 1) == 38);
    assert_true(weir_muri_overhead_s("a2c", 3) == 39);
    assert_true(weir_muri_overhead_s("a2c", 8) == 46);
    assert_true(weir_muri_overhead_s("vgg19", 64) == 10);
    assert_true(weir_muri_overhead_s("resnet18", 2) == 5);
    assert_true(weir_muri_overhead_s("unheard-of", 1) == 10);
}

static int run_suite(const char *text, const char *nodes, struct weir_err *err, struct weir_sim_result *result)
{
    put(text);
    return weir_sim_run_suite("muri", &(struct weir_sim_options){.jobs = path, .nodes = nodes}, result, err);
}

#define HEADER "job_id,num_gpu,submit_time,iterations,model_name,iteration_time\n"

static void bad_files_are_refused_with_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } rows[] = {
        {"job_id,num_gpu\n1,1\n", ":1: there is no column 'submit_time'"},
        {HEADER, " has no jobs"},
        {HEADER "0,1,0,100,bert,190\n1,0,0,100,bert,190\n", ":3: column 'num_gpu': 0 is not between 1"},
        {HEADER "0,x,0,100,bert,190\n", ":2: column 'num_gpu': 'x' is not a whole number"},
        {HEADER "0,65,0,100,bert,190\n", ":2: column 'num_gpu': 65 GPUs are more than the cluster's 64: say --nodes or --gpus-per-node"},
        {HEADER "0,1,-5,100,bert,190\n", ":2: column 'submit_time': -5 is not between"},
        {HEADER "0,1,0,0,bert,190\n", ":2: column 'iterations': 0 is not between"},
        {HEADER "0,1,0,100,bert,nan\n", ":2: column 'iteration_time': 'nan' is not a number"},
        {HEADER "0,1,0,100,bert,0\n", ":2: column 'iteration_time': 0 is not between"},
        {HEADER "0,1,0\n", ":2: column 'iterations': ''"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_err err = {0};
        struct weir_sim_result result;
        assert_true(run_suite(rows[i].text, NULL, &err, &result) < 0);
        if (strstr(err.text, rows[i].says) == NULL) {
            fail_msg("'%s' does not say '%s'", err.text, rows[i].says);
        }
        weir_sim_result_release(&result);
    }
}

static void rows_name_trace_mode_and_policy_and_do_not_change(void **state)
{
    (void)state;
    static const char *const text = HEADER "7,4,5000,1000,bert,190\n3,1,0,100000,dqn,490\n8,64,6000,1000,gpt2,437\n";
    struct weir_err err = {0};
    struct weir_sim_result first;
    struct weir_sim_result again;
    assert_int_equal(run_suite(text, NULL, &err, &first), 0);
    assert_int_equal(first.n_rows, 12);
    assert_string_equal(weir_sim_row_field(&first.row[0], "trace")->u.text, "input");
    assert_string_equal(weir_sim_row_field(&first.row[0], "mode")->u.text, "published");
    assert_string_equal(weir_sim_row_field(&first.row[11], "mode")->u.text, "exact");
    assert_string_equal(first.row[1].policy, "srtf");
    assert_null(weir_sim_row_field(&first.row[1], "reference_avg_jct_seconds"));
    assert_int_equal(run_suite(text, NULL, &err, &again), 0);
    assert_true(first.hash == again.hash);
    weir_sim_result_release(&first);
    weir_sim_result_release(&again);
    assert_int_equal(run_suite(text, "0", &err, &again), -WEIR_EOVERFLOW);
    assert_non_null(strstr(err.text, "--nodes: 0 is not between 1 and"));
    weir_sim_result_release(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_differ_as_they_say),
        cmocka_unit_test(queues_set_aside_what_has_had_its_share),
        cmocka_unit_test(large_jobs_take_whole_nodes_and_one_more),
        cmocka_unit_test(a_job_that_may_stay_is_not_moved),
        cmocka_unit_test(the_bound_is_what_one_machine_of_all_gpus_does),
        cmocka_unit_test(no_order_goes_below_the_bound),
        cmocka_unit_test(starts_take_what_was_measured),
        cmocka_unit_test(bad_files_are_refused_with_line_and_column),
        cmocka_unit_test(rows_name_trace_mode_and_policy_and_do_not_change),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
