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
    if (j->input_bytes != 0) {
        weir_str_addf(out, " input=%llu", (unsigned long long)j->input_bytes);
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

static void published_traces_with_rules_of_their_own_are_read(void **state)
{
    (void)state;
    check("name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
          "a,12000,16384,1,460,,LS,Running,10,50,20\n"
          "b,1000,1,2,1000,V100M16|V100M32,LS,Succeeded,20,60,20\n"
          "c,1000,1,0,0,,LS,Failed,21,22,21\n"
          "d,1000,1,1,1000,,LS,Pending,22,,\n",
          "openb: 1@10000+30000 start=20000 1x1*460 cpu=12000 mem=16384; "
          "2@20000+40000 start=20000 1x2:V100M16|V100M32 cpu=1000 mem=1; 3@21000+1000 start=21000 1x0 cpu=1000 mem=1; skipped 1");
    check("name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,12000,16384,1,460\n",
          "E :1: there is no column 'creation_time': it says what was asked for, but not when it ran");
    check("job_id,num_gpu,submit_time,iterations,model_name,batch_size,duration,interval,iteration_time\n"
          "7,4,1500,100,bert,4,1,1,190.5\n",
          "muri: 7@1500+19050 0x4; ");
}

static void the_standard_workload_format_is_read(void **state)
{
    (void)state;
    static const char log[] = "; Version: 2.2\n;  UnixStartTime: 1000 \n; Note: caf\xe9\n;\n"
                              "  1 0 10 31405 30 31405 512 40 37980 -1 1 3 2 -1 -1 1 -1 -1\n"
                              "\n"
                              "2 8.5 -1 20 -1 -1 -1 4 -1 2048 0 -1 -1 -1 -1 1 -1 -1\n"
                              "3 9 5 -1 8 240379 -1 8 345600 -1 -1 5 1 -1 -1 1 -1 -1\n"
                              "4 9 5 0 8 0 -1 8 345600 -1 5 5 1 -1 -1 1 -1 -1\n"
                              "5 9 5 7 8 0 -1 8 10 -1 5 3 2 -1 -1 1 -1 -1\n"
                              "5 9 5 3 8 0 -1 8 10 -1 2 3 2 -1 -1 1 -1 -1\n";
    check(log, "swf: 1@1000000+31405000 start=1010000 expected=37980000 max=37980000 0x0 cpu=30000 mem=15 2/3; "
               "2@1008500+20000 0x0 cpu=4000 mem=8 failed; "
               "5@1009000+7000 start=1014000 expected=10000 max=10000 0x0 cpu=8000 mem=0 2/3 cancelled; skipped 2");
    check("1 0 10 31405 30 31405 512 40 37980 -1 1 3 2 -1 -1 1 -1 -1\n",
          "swf: 1@0+31405000 start=10000 expected=37980000 max=37980000 0x0 cpu=30000 mem=15 2/3; ");
}

static void accounting_dumps_of_slurm_are_read(void **state)
{
    (void)state;
    check("JobID|User|Account|Partition|State|Submit|Start|End|ElapsedRaw|Timelimit|AllocTRES|ReqTRES\n"
          "12|ann|lab|gpu|COMPLETED|2026-11-01T00:00:10|2026-11-01T00:01:00|2026-11-01T01:01:00|3600|1-02:00:00|"
          "billing=8,cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=64G,node=1|cpu=8\n"
          "12.batch||lab||COMPLETED|2026-11-01T00:01:00|2026-11-01T00:01:00|2026-11-01T01:01:00|3600|||\n"
          "12.0||lab||COMPLETED|2026-11-01T00:01:00|2026-11-01T00:01:00|2026-11-01T01:01:00|3600|||\n"
          "13_7|bob|lab|gpu|CANCELLED by 1000|2026-11-01T00:00:11|2026-11-01T00:01:00|2026-11-01T00:01:05|5|UNLIMITED||"
          "billing=1,cpu=2,gres/gpu=4,mem=500M,node=2\n"
          "13_[8-9%1]|bob|lab|gpu|PENDING|2026-11-01T00:00:12|Unknown|Unknown|0|Partition_Limit||\n"
          "14+1|bob|lab|gpu|TIMEOUT|2026-11-01T00:00:12|2026-11-01T00:00:12|2026-11-01T00:00:13|1|||\n"
          "15|bob|lab|gpu|CANCELLED by 0|2026-11-01T00:00:13|None|2026-11-01T00:00:14|0|||\n"
          "16|bob|lab|gpu|RUNNING|2026-11-01T00:00:13|2026-11-01T00:00:14|Unknown|100|||\n",
          "sacct: 12@1793491210000+3600000 start=1793491260000 max=93600000 1x2:a100 cpu=8000 mem=65536 lab/ann; "
          "13000007@1793491211000+5000 start=1793491260000 2x4 cpu=2000 mem=500 lab/bob cancelled; "
          "14000001@1793491212000+1000 start=1793491212000 0x0 lab/bob failed; skipped 3");
    /* Another order, seconds since 1970, the older names, a head that comes twice, a separator behind every field. */
    check("End|Start|Submit|JobIDRaw|JobID|AllocGRES|ReqGRES|TimelimitRaw|NNodes|NCPUS|Partition|\n"
          "220|120|100|77|70_1|gpu:tesla:3,gpu:1||90|3|48|long|\n"
          "End|Start|Submit|JobIDRaw|JobID|AllocGRES|ReqGRES|TimelimitRaw|NNodes|NCPUS|Partition|\n"
          "221|120|101|78|78||gres:gpu:2||1|1|long|\n"
          "Unknown|120|101|79|79|||||1|long|\n",
          "sacct: 77@100000+100000 start=120000 max=5400000 3x3:tesla cpu=48000 mem=0 long/; "
          "78@101000+101000 start=120000 1x2 cpu=1000 mem=0 long/; skipped 1");
    check("JobID|Submit|Elapsed\n1|2026-11-01|1-00:00:01\n2|2026-11-01|00:05.250\n3|2026-11-01|00:00:00\n",
          "sacct: 1@1793491200000+86401000 0x0; 2@1793491200000+5000 0x0; skipped 1");
}

static void an_export_of_weir_is_read(void **state)
{
    (void)state;
    check("task,state,submit,start,end,duration_s,expected_s,max_duration_s,nodes,gpus,gpu_model,cpus,memory_mib,priority,project,"
          "user,pool,node,attempts,cost_micro\n"
          "12,succeeded,2026-11-01T00:00:10.5Z,2026-11-01T00:01:00Z,2026-11-01T00:01:30Z,30.000001,20,86400,2,16,A100|H100,1.5,2048,"
          "50,lab,ann,local,n1,1,123\n"
          "13_4,failed,2026-11-01T00:00:11Z,2026-11-01T00:01:00Z,2026-11-01T00:01:30Z,2,,,1,0,,,,50,\"a, b\",ann,local,n1,1,\n"
          "13_5,waiting,2026-11-01T00:00:11Z,,,,,,1,0,,,,50,lab,ann,,,0,0\n",
          "weir: 12@1793491210500+30000 start=1793491260000 expected=20000 max=86400000 2x16:A100|H100 cpu=1500 mem=2048 lab/ann "
          "priority=50 cost=123; 13000004@1793491211000+2000 start=1793491260000 1x0 a, b/ann priority=50 failed; skipped 1");
    check("task,submit,duration_s,gpus,input_gib\n1,2026-11-01T00:00:11Z,2,1,1.5\n2,2026-11-01T00:00:11Z,2,1,\n",
          "weir: 1@1793491211000+2000 0x1 input=1610612736; 2@1793491211000+2000 0x1; ");
}

#define PHILLY "submit_unix,duration_s,gpus,vc\n"
#define PAI "submit_h,duration_h,units\n"
#define PODS "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time,scheduled_time\n"
#define SACCT "JobID|Submit|ElapsedRaw|State|AllocTRES|Timelimit\n"
#define EXPORT "task,submit,duration_s,gpus,state,cpus\n"

static void bad_files_are_refused_by_name_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"", "E  is empty"},
        {"# nothing\n\n", "E  is empty"},
        {"a,b\n1,2\n", "E : the first line is that of no known form: weir (task,submit,duration_s,gpus); sacct (JobID|Submit, with "
                       "ElapsedRaw, Elapsed, or Start and End); swf (18 numbers a line, or a ';'); philly (submit_unix,duration_s,"
                       "gpus); pai (submit_h,duration_h,units"},
        {"submit_unix,duration_s\n", "E :1: there is no column 'gpus'; the columns are: submit_unix, duration_s"},
        {"duration_s,gpus,vc\n", "E :1: there is no column 'submit_unix'; the columns are: duration_s, gpus, vc"},
        {"submit_unix,duration_s,gpus,vc\n1,2,1,a,,\n1,2,1,a,b\n",
         "philly: E :3: 5 fields where the first line has 4: a value with a comma in it is put in quotes"},
        {"submit_unix,duration_s,gpus\n1,2,1.0\n1,2,8.5\n", "philly: E :3: column 'gpus': '8.5' is not a whole number"},
        {"submit_unix,duration_s,gpus\n1,2,.0\n", "philly: E :2: column 'gpus': '.0' is not a whole number"},
        {PHILLY "1,x,1,a\n", "philly: E :2: column 'duration_s': 'x' is not a number"},
        {PHILLY "-1,1,1,a\n", "philly: E :2: column 'submit_unix': -1 is not between 0 and 2.53402e+11"},
        {PHILLY "1,1,1.5,a\n", "philly: E :2: column 'gpus': '1.5' is not a whole number"},
        {PHILLY "1,1\n", "philly: E :2: column 'gpus': '' is not a whole number"},
        {PHILLY "1,nan,1,a\n", "philly: E :2: column 'duration_s': 'nan' is not a number"},
        {PHILLY "1,1,1,a\n1,1,1,\"a\n", "philly: E :3: a quoted field is not closed"},
        {PHILLY "1,1,1,\xff\n", "philly: E :2: field 4 is not UTF-8 text"},
        {"task,submit,duration_s,gpus,input_gib\n1,2026-11-01T00:00:11Z,2,1,-1\n",
         "weir: E :2: column 'input_gib': -1 is not between 0 and 1e+06"},
        {PAI "1,1e9,1\n", "pai: E :2: column 'duration_h': 1e9 is not between 0 and 2.77778e+06"},
        {PAI "1,1,1000001\n", "pai: E :2: column 'units': 1000001 is not between 0 and 1000000"},
        {PODS "a,1,1,2,500,,1,2,1\n", "openb: E :2: a share (gpu_milli 500) of several GPUs (num_gpu 2): only one GPU can be shared"},
        {PODS "a,1,1,1,500,,1,2,3\n", "openb: E :2: column 'deletion_time': before scheduled_time"},
        {PODS "a,1,1,1,500,,x,2,3\n", "openb: E :2: column 'creation_time': 'x' is not a number"},
        {"job_id,num_gpu,submit_time,iterations,model_name,iteration_time\n1,1,0,4503599627370496,m,1000\n",
         "muri: E :2: 1 GPUs for 4.5036e+15 s: more than 1000000 GPUs or 10000000000 s are not understood"},
        {"1 2 3\n", "swf: E :1: 3 fields: a job has 18"},
        {"; UnixStartTime: soon\n", "E :1: UnixStartTime: 'soon' is not a whole number"},
        {"1 x 10 31405 30 31405 512 40 37980 -1 1 3 2 -1 -1 1 -1 -1\n", "E : the first line is that of no known form"},
        {";\n1 x 10 31405 30 31405 512 40 37980 -1 1 3 2 -1 -1 1 -1 -1\n", "swf: E :2: field 2: 'x' is not a number"},
        {";\n1 0 10 31405 30 31405 512 40 37980 -1 9 3 2 -1 -1 1 -1 -1\n", "swf: E :2: field 11: 9 is not between -1 and 5"},
        {"JobID|Submit|State\n", "E :1: how long jobs ran is not said: ask sacct for ElapsedRaw, Elapsed, or Start and End"},
        {"JobID|Start|End\n", "E :1: there is no column 'Submit'; the columns are: JobID, Start, End"},
        {SACCT "x|1|1|COMPLETED||\n", "sacct: E :2: column 'JobID': 'x' is no id such as 12 or 12_3"},
        {SACCT "1_|1|1|COMPLETED||\n", "sacct: E :2: column 'JobID': '1_' is no id such as 12 or 12_3"},
        {SACCT "1|yesterday|1|COMPLETED||\n", "sacct: E :2: column 'Submit': 'yesterday' is not"},
        {SACCT "1|Unknown|1|COMPLETED||\n", "sacct: E :2: column 'Submit': a time is expected"},
        {SACCT "1|1|1|DONE||\n", "sacct: E :2: column 'State': 'DONE' is no state of a job"},
        {SACCT "1|1|1|COMPLETED|gres/gpu=x|\n", "sacct: E :2: column 'AllocTRES': 'x' is not a whole number"},
        {SACCT "1|1|1|COMPLETED|gres/gpu=900000,gres/gpu=900000|\n", "sacct: E :2: 1800000 GPUs: more than 1000000 are not understood"},
        {SACCT "1|1|1|COMPLETED||soon\n", "sacct: E :2: column 'Timelimit': 'soon' is not"},
        {SACCT "1|1|1|a|b|COMPLETED||\n",
         "sacct: E :2: 8 fields where the first line has 6: is there a '|' inside of a name? Leave that column out"},
        {EXPORT "1,2026,1,1,failed,1\n", "weir: E :2: column 'submit': '2026' is not"},
        {EXPORT "1,2026-11-01,1,1,dead,1\n", "weir: E :2: column 'state': 'dead' is no state of a task"},
        {EXPORT "1.5,2026-11-01,1,1,failed,1\n", "weir: E :2: column 'task': '1.5' is no id such as 12 or 12_3"},
        {EXPORT "1,2026-11-01,1,,failed,1\n", "weir: E :2: column 'gpus': '' is not a whole number"},
        {EXPORT "1,2026-11-01,1,1,failed,-1\n", "weir: E :2: column 'cpus': -1 is not between 0 and 1e+08"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        WEIR_CLEANUP(weir_str_release) struct weir_str got = WEIR_STR_INIT(65536);
        put_text(rows[i].text);
        read_all(&got, NULL, NULL);
        if (strncmp(weir_str_cstr(&got), rows[i].want, strlen(rows[i].want)) != 0) {
            assert_string_equal(weir_str_cstr(&got), rows[i].want);
        }
    }
}

static void a_form_can_be_named_and_gzip_is_read(void **state)
{
    (void)state;
    WEIR_CLEANUP(weir_str_release) struct weir_str got = WEIR_STR_INIT(65536);
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    assert_true(gzputs(f, "submit_h,duration_h,units\n1,1,1\n") > 0);
    assert_int_equal(gzclose(f), Z_OK);
    read_all(&got, NULL, NULL);
    read_all(&got, "pai", NULL);
    read_all(&got, "philly", NULL);
    read_all(&got, "csv", NULL);
    assert_string_equal(weir_str_cstr(&got),
                        "pai: 1@3600000+3600000 0x1; pai: 1@3600000+3600000 0x1; E :1: there is no column 'submit_unix'; the columns "
                        "are: submit_h, duration_h, unitsE there is no form 'csv'; the forms are: weir, sacct, swf, philly, pai, "
                        "openb, muri");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_tables_are_read),
        cmocka_unit_test(published_traces_with_rules_of_their_own_are_read),
        cmocka_unit_test(the_standard_workload_format_is_read),
        cmocka_unit_test(accounting_dumps_of_slurm_are_read),
        cmocka_unit_test(an_export_of_weir_is_read),
        cmocka_unit_test(a_file_need_not_be_sorted_within_the_window),
        cmocka_unit_test(bad_files_are_refused_by_name_line_and_column),
        cmocka_unit_test(a_form_can_be_named_and_gzip_is_read),
    };
    return cmocka_run_group_tests_name("sim_workload", tests, make_dir, remove_dir);
}
