/* SPDX-License-Identifier: Apache-2.0 */

/* The suite starburst on job tables small enough to be worked by hand, and on ones that are no job tables. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sim/sim.h"

#include "temp_files.h"

static int run(struct weir_sim_result *result, const char *policies, const char *nodes, const char *per_node, struct weir_err *err)
{
    struct weir_sim_options o = {.jobs = path, .nodes = nodes, .gpus_per_node = per_node, .trim = "0", .policies = policies};
    return weir_sim_run_suite("starburst", &o, result, err);
}

static double metric(const struct weir_sim_row *row, const char *name)
{
    const struct weir_sim_field *f = weir_sim_row_field(row, name);
    assert_non_null(f);
    assert_int_equal(f->kind, WEIR_SIM_REAL);
    return f->u.real;
}

static void near(double got, double want)
{
    if (got < want - 1e-6 || got > want + 1e-6) {
        fail_msg("%.9f instead of %.9f", got, want);
    }
}

/* A full node for an hour; a job of ten hours comes ten minutes after that began. */
static const char two_jobs[] = "submit_unix,duration_s,gpus\n1000000,3600,2\n1000600,36000,1\n";

static void each_published_policy_follows_its_rule(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        double cloud;
        double wait_s; /* of the second job; the first does not wait */
    } rows[] = {
        {"no-wait", 10, 0},
        {"constant-wait", 0, 3000},
        {"starburst", 10, 0.076 * 10 * 3600},
        {"starburst-no-estimates", 0.25, 3000}, /* a quarter of an hour in the cloud, then again in the queue */
    };
    put(two_jobs);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_sim_result result;
        struct weir_err err = {""};
        assert_int_equal(run(&result, rows[i].policy, "1", "2", &err), 0);
        assert_int_equal(result.n_rows, 1);
        near(metric(&result.row[0], "cloud_gpu_hours"), rows[i].cloud);
        near(metric(&result.row[0], "avg_wait_hours"), rows[i].wait_s / 3600 / 2);
        near(metric(&result.row[0], "avg_completion_hours"), (rows[i].wait_s / 3600 + 11) / 2);
        weir_sim_result_release(&result);
    }
}

static void weir_waits_while_waiting_is_cheaper_than_the_cloud(void **state)
{
    (void)state;
    struct weir_sim_result result;
    struct weir_err err = {""};
    put(two_jobs);
    assert_int_equal(run(&result, "weir", "1", "2", &err), 0);
    assert_true(result.n_rows > 4);
    for (size_t i = 0; i < result.n_rows; i++) {
        const struct weir_sim_field *v = weir_sim_row_field(&result.row[i], "delay_value");
        assert_non_null(v);
        bool waits = v->u.real * 3000 / 3600 < 10;
        near(metric(&result.row[i], "cloud_gpu_hours"), waits ? 0 : 10);
        near(metric(&result.row[i], "avg_wait_hours"), waits ? 3000.0 / 3600 / 2 : 0);
    }
    weir_sim_result_release(&result);
}

static void jobs_are_taken_by_submission_however_the_file_stands(void **state)
{
    (void)state;
    struct weir_sim_result sorted;
    struct weir_sim_result mixed;
    struct weir_err err = {""};
    put(two_jobs);
    assert_int_equal(run(&sorted, NULL, "1", "2", &err), 0);
    put("gpus,vc,submit_unix,duration_s\n1,,1000600,36000\n2,,1000000,3600\n");
    assert_int_equal(run(&mixed, NULL, "1", "2", &err), 0);
    assert_int_equal(sorted.n_rows, mixed.n_rows);
    assert_true(sorted.hash == mixed.hash);
    weir_sim_result_release(&sorted);
    weir_sim_result_release(&mixed);
}

/* Longer than any limit, shorter than a second, larger than the cluster. */
static void an_option_of_one_number_takes_no_list(void **state)
{
    (void)state;
    struct weir_err err;
    struct weir_sim_result result;
    put(two_jobs);
    assert_int_equal(run(&result, "no-wait", "1", "8,16", &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "--gpus-per-node: "));
    weir_sim_result_release(&result);
    struct weir_sim_options o = {.jobs = path, .trim = "0,1", .policies = "no-wait"};
    assert_int_equal(weir_sim_run_suite("starburst", &o, &result, &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "--trim: "));
    weir_sim_result_release(&result);
}

static void odd_jobs_run_to_their_end(void **state)
{
    (void)state;
    struct weir_sim_result result;
    struct weir_err err = {""};
    put("submit_unix,duration_s,gpus\n0,0,1\n0,8640000,2\n5,8640000,3\n5,0,9\n6,1,64\n7,100,1\n");
    assert_int_equal(run(&result, NULL, "1,3", "2", &err), 0);
    for (size_t i = 0; i < result.n_rows; i++) {
        assert_true(metric(&result.row[i], "cloud_gpu_hours") >= 64.0 / 3600 - 1e-6);
    }
    weir_sim_result_release(&result);
}

static void a_bad_table_is_refused_by_file_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } rows[] = {
        {"", "is empty"},
        {"submit_unix,duration_s\n1,2\n", ":1: there is no column 'gpus'"},
        {"submit_unix,duration_s,gpus\n", " has no jobs: nothing follows its first line"},
        {"submit_unix,duration_s,gpus\n1,2,1\nx,2,1\n", ":3: column 'submit_unix'"},
        {"submit_unix,duration_s,gpus\n1,2,1\n1,-2,1\n", ":3: column 'duration_s'"},
        {"submit_unix,duration_s,gpus\n1,2,0\n", " has no job that asks for a GPU"},
        {"submit_unix,duration_s,gpus\n1,2,1.5\n", ":2: column 'gpus'"},
        {"submit_unix,duration_s,gpus\n1,2\n", ":2: "},
        {"submit_unix,duration_s,gpus\n1,2,200\n", ":2: column 'gpus': a job of 200 GPUs spans more than 64 nodes"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_sim_result result;
        struct weir_err err = {""};
        put(rows[i].text);
        assert_true(run(&result, "no-wait", "1", "2", &err) < 0);
        if (strstr(err.text, rows[i].says) == NULL) {
            fail_msg("row %zu: '%s' does not say '%s'", i, err.text, rows[i].says);
        }
        weir_sim_result_release(&result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_published_policy_follows_its_rule),
        cmocka_unit_test(weir_waits_while_waiting_is_cheaper_than_the_cloud),
        cmocka_unit_test(jobs_are_taken_by_submission_however_the_file_stands),
        cmocka_unit_test(an_option_of_one_number_takes_no_list),
        cmocka_unit_test(odd_jobs_run_to_their_end),
        cmocka_unit_test(a_bad_table_is_refused_by_file_line_and_column),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
