/* SPDX-License-Identifier: Apache-2.0 */
/* Reading work: each form, in what order jobs come, and what is said about a bad file. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim/workload.h"

static char dir[] = "/tmp/weir-test-workload-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/input", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

static void put_text(const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void say_job(struct weir_str *out, const struct weir_sim_workload *w, const struct weir_sim_job *j)
{
    weir_str_addf(out, "%llu@%lld+%lld", (unsigned long long)j->id, (long long)j->submit.us / 1000, (long long)j->duration.us / 1000);
    if (j->start.us != 0) {
        weir_str_addf(out, " start=%lld", (long long)j->start.us / 1000);
    }
    if (j->expected.us != 0) {
        weir_str_addf(out, " expected=%lld", (long long)j->expected.us / 1000);
    }
    if (j->max_duration.us != 0) {
        weir_str_addf(out, " max=%lld", (long long)j->max_duration.us / 1000);
    }
    weir_str_addf(out, " %ux%u", j->nodes, j->gpus);
    if (j->gpu_milli != WEIR_SIM_WHOLE_GPU) {
        weir_str_addf(out, "*%u", j->gpu_milli);
    }
    if (j->gpu_model != NULL) {
        weir_str_addf(out, ":%s", j->gpu_model);
    }
    if (j->cpu_milli != 0 || j->mem_mib != 0) {
        weir_str_addf(out, " cpu=%llu mem=%llu", (unsigned long long)j->cpu_milli, (unsigned long long)j->mem_mib);
    }
    if (j->project != 0 || j->user != 0) {
        weir_str_addf(out, " %s/%s", weir_sim_workload_project(w, j->project), weir_sim_workload_user(w, j->user));
    }
    if (j->priority != 0) {
        weir_str_addf(out, " priority=%d", j->priority);
    }
    if (j->cost_micro >= 0) {
        weir_str_addf(out, " cost=%lld", (long long)j->cost_micro);
    }
    weir_str_addf(out, "%s; ", j->end == WEIR_SIM_JOB_DONE ? "" : j->end == WEIR_SIM_JOB_FAILED ? " failed" : " cancelled");
}

/* The form and all jobs; where something is wrong, that, with the path cut off the front. Times are in milliseconds. */
static void read_all(struct weir_str *out, const char *form, const struct weir_sim_workload_options *options)
{
    WEIR_CLEANUP(weir_sim_workload_freep) struct weir_sim_workload *w = NULL;
    struct weir_err err = {0};
    int r = weir_sim_workload_open(&w, path, form, options, &err);
    if (r == 0) {
        struct weir_sim_job j;
        weir_str_addf(out, "%s: ", weir_sim_workload_form(w));
        while ((r = weir_sim_workload_next(w, &j, &err)) == 1) {
            say_job(out, w, &j);
            assert_true(weir_sim_workload_permille(w) <= 1000);
        }
        if (r == 0 && weir_sim_workload_skipped(w) > 0) {
            weir_str_addf(out, "skipped %llu", (unsigned long long)weir_sim_workload_skipped(w));
        }
    }
    if (r < 0) {
        size_t n = strlen(path);
        weir_str_addf(out, "E %s", strncmp(err.text, path, n) == 0 ? err.text + n : err.text);
    }
}

static void check(const char *text, const char *want)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str got = WEIR_STR_INIT(65536);
    put_text(text);
    read_all(&got, NULL, NULL);
    assert_string_equal(weir_str_cstr(&got), want);
}

static void published_tables_are_read(void **state)
{
    (void)state;
    check("submit_unix,duration_s,gpus,vc\n10,5,8,a\n12,0.25,1,b\n12,3,0,a\n",
          "philly: 1@10000+5000 0x8 a/; 2@12000+250 0x1 b/; 3@12000+3000 0x0 a/; ");
    check("gpus,duration_s,submit_unix\n4,60,1.5\n", "philly: 1@1500+60000 0x4; ");
    check("submit_h,duration_h,units\n0.0,25.408056,1\n0.576944,0.5,400\n", "pai: 1@0+91469001 0x1; 2@2076998+1800000 0x400; ");
}

static void a_file_need_not_be_sorted_within_the_window(void **state)
{
    (void)state;
    static const char text[] = "submit_unix,duration_s,gpus\n3,1,1\n1,1,2\n2,1,3\n2,1,4\n1,1,5\n";
    static const struct {
        struct weir_sim_workload_options options;
        const char *want;
    } rows[] = {
        {{0}, "philly: 2@1000+1000 0x2; 5@1000+1000 0x5; 3@2000+1000 0x3; 4@2000+1000 0x4; 1@3000+1000 0x1; "},
        {{.as_it_stands = true}, "philly: 1@3000+1000 0x1; 2@1000+1000 0x2; 3@2000+1000 0x3; 4@2000+1000 0x4; 5@1000+1000 0x5; "},
        {{.window = 4},
         "philly: 2@1000+1000 0x2; 5@1000+1000 0x5; 3@2000+1000 0x3; 4@2000+1000 0x4; 1@3000+1000 0x1; "},
        {{.window = 2},
         "philly: 2@1000+1000 0x2; 3@2000+1000 0x3; 4@2000+1000 0x4; E :6: this job was submitted before one that stands over 2 "
         "records above it: sort the file by submission"},
    };
    put_text(text);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        WEIR_CLEANUP(weir_str_release) struct weir_str got = WEIR_STR_INIT(65536);
        read_all(&got, NULL, &rows[i].options);
        assert_string_equal(weir_str_cstr(&got), rows[i].want);
    }
}

static void bad_files_are_refused_by_name_line_and_column(void **state)
{
    (void)state;
    check("", "E  is empty");
    check("submit_unix,duration_s,gpus\n1,x,1\n", "philly: E :2: column 'duration_s': 'x' is not a number");
    check("submit_unix,duration_s,gpus\n-1,1,1\n", "philly: E :2: column 'submit_unix': -1 is not between 0 and 2.53402e+11");
    check("submit_unix,duration_s,gpus\n1,1,1.5\n", "philly: E :2: column 'gpus': '1.5' is not a whole number");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_tables_are_read),
        cmocka_unit_test(a_file_need_not_be_sorted_within_the_window),
        cmocka_unit_test(bad_files_are_refused_by_name_line_and_column),
    };
    return cmocka_run_group_tests_name("sim_workload", tests, make_dir, remove_dir);
}
