/* SPDX-License-Identifier: Apache-2.0 */

/* The suite starburst: reads the jobs, runs each policy on each size of cluster, and counts. */

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "params.h"
#include "sim_priv.h"
#include "starburst.h"
#include "starburst_bound.h"
#include "workload.h"

enum {
    JOBS_MAX = 20000000,
    NODES_MAX = 100000,
    SUBMIT_S_MAX = 0x7fffffff, /* as Unix time: 2038 */
    DURATION_S_MAX = 0x7fffffff,
    GPUS_MAX = 4096,
    TRIM_DEFAULT = 2000,
    GPUS_PER_NODE_DEFAULT = 8,
};

/* ---- input ---- */

struct sorted_job {
    struct weir_starburst_job job;
    size_t line;
};

static int by_submission(const void *va, const void *vb)
{
    const struct sorted_job *a = va;
    const struct sorted_job *b = vb;
    if (a->job.submit_us != b->job.submit_us) {
        return a->job.submit_us < b->job.submit_us ? -1 : 1;
    }
    return a->line < b->line ? -1 : 1;
}

/* Files come sorted by submission; one that is not is put in order, jobs of one moment as they stand. */
static void sort_jobs(struct weir_starburst_jobs *jobs)
{
    bool sorted = true;
    for (size_t i = 1; i < jobs->n && sorted; i++) {
        sorted = jobs->job[i - 1].submit_us <= jobs->job[i].submit_us;
    }
    if (sorted) {
        return;
    }
    struct sorted_job *v = weir_calloc(jobs->n, sizeof *v);
    for (size_t i = 0; i < jobs->n; i++) {
        v[i] = (struct sorted_job){jobs->job[i], i};
    }
    qsort(v, jobs->n, sizeof *v, by_submission);
    for (size_t i = 0; i < jobs->n; i++) {
        jobs->job[i] = v[i].job;
    }
    free(v);
}

static int take_job(const struct weir_sim_workload *w, const struct weir_sim_job *job, uint32_t per_node,
                    struct weir_starburst_job *ret, struct weir_err *err)
{
    if (job->submit.us > SUBMIT_S_MAX * WEIR_US_PER_S) {
        weir_fail(err, -WEIR_EOVERFLOW, "over %lld s", (long long)SUBMIT_S_MAX);
        return weir_sim_workload_fail_field(w, job, WEIR_SIM_JOB_SUBMIT, -WEIR_EOVERFLOW, err);
    }
    if (job->duration.us > DURATION_S_MAX * WEIR_US_PER_S) {
        weir_fail(err, -WEIR_EOVERFLOW, "over %lld s", (long long)DURATION_S_MAX);
        return weir_sim_workload_fail_field(w, job, WEIR_SIM_JOB_DURATION, -WEIR_EOVERFLOW, err);
    }
    if (job->gpus < 1 || job->gpus > GPUS_MAX) {
        weir_fail(err, -WEIR_EOVERFLOW, "%u is not between 1 and %d", job->gpus, GPUS_MAX);
        return weir_sim_workload_fail_field(w, job, WEIR_SIM_JOB_GPUS, -WEIR_EOVERFLOW, err);
    }
    if (job->gpus > per_node * (uint32_t)WEIR_STARBURST_PIECES_MAX) {
        weir_fail(err, -WEIR_EINVAL, "a job of %u GPUs spans more than %d nodes: is --gpus-per-node %u right?", job->gpus,
                  WEIR_STARBURST_PIECES_MAX, per_node);
        return weir_sim_workload_fail_field(w, job, WEIR_SIM_JOB_GPUS, -WEIR_EINVAL, err);
    }
    *ret = (struct weir_starburst_job){
        .submit_us = job->submit.us,
        .duration_us = job->duration.us,
        .gpus = job->gpus,
        .group = job->project,
    };
    return 0;
}

static int read_jobs(const struct weir_sim_options *o, uint32_t per_node, struct weir_starburst_jobs *ret, struct weir_sim_result *result,
                     struct weir_err *err)
{
    static const struct weir_sim_workload_options options = {.as_it_stands = true};
    WEIR_CLEANUP(weir_freep) char *path = NULL;
    WEIR_CLEANUP(weir_sim_workload_freep) struct weir_sim_workload *w = NULL;
    int r = weir_sim_path(&path, o, o->jobs, "jobs", WEIR_SIM_PHILLY_JOBS, err);
    r = r < 0 ? r : weir_sim_workload_open(&w, path, NULL, &options, err);
    if (r < 0) {
        return r;
    }
    WEIR_VEC(struct weir_starburst_job) v = {0};
    struct weir_sim_job job;
    uint64_t without = 0; /* GPUs: histories have such, and the suite has no use for them */
    while ((r = weir_sim_workload_next(w, &job, err)) > 0) {
        struct weir_starburst_job j;
        if (job.gpus == 0) {
            without++;
            continue;
        }
        r = take_job(w, &job, per_node, &j, err);
        if (r == 0 && v.n == JOBS_MAX) {
            weir_fail(err, -WEIR_ELIMIT, "more than %d jobs", JOBS_MAX);
            r = weir_sim_workload_fail(w, &job, -WEIR_ELIMIT, err);
        }
        if (r < 0) {
            break;
        }
        weir_vec_push(&v, j);
        if (v.n % 65536 == 0) {
            weir_sim_progress(o, "reading jobs", weir_sim_workload_permille(w), 1000);
        }
    }
    *ret = (struct weir_starburst_jobs){v.p, v.n};
    if (r == 0 && v.n == 0 && without > 0) {
        r = weir_fail(err, -WEIR_EINVAL, "%s has no job that asks for a GPU, and this suite counts GPUs: 'weir sim --jobs FILE' replays work without", path);
    } else if (r == 0 && v.n == 0) {
        r = weir_fail(err, -WEIR_EINVAL, "%s has no jobs: nothing follows its first line", path);
    }
    if (r == 0) {
        weir_sim_note_work(result, w);
        if (without > 0) {
            weir_sim_note(result, "%llu jobs ask for no GPU, and are left out", (unsigned long long)without);
        }
        sort_jobs(ret);
    }
    return r;
}

/* ---- figures ---- */

void weir_starburst_note(const struct weir_starburst_run *run, size_t job, double start_h, double hours, int64_t node, uint32_t gpus)
{
    if (run->schedule == NULL) {
        return;
    }
    const struct weir_starburst_job *j = &run->jobs->job[job];
    double zero = (double)run->jobs->job[0].submit_us / 1e6;
    struct weir_sim_span span = {
        .task = job + 1,
        .submit = (double)j->submit_us / 1e6,
        .start = zero + start_h * 3600,
        .end = zero + (start_h + hours) * 3600,
        .place = node < 0 ? "cloud" : "local",
        .node = node,
        .gpus = gpus,
        .cost = node < 0 ? gpus * hours : 0,
    };
    weir_sim_schedule_add(run->schedule, &span);
}

struct figures {
    double cloud_gpu_h;
    double waits_h; /* in sum */
    double wait_h;
    double completion_h;
    double utilisation;
};

/* Averages are shown without the dust of summing: to the billionth. */
static double dusted(double v)
{
    return round(v * 1e9) / 1e9 + 0.0;
}

/* Of those that count: trim is the first. */
static size_t last_counted(const struct weir_starburst_jobs *jobs, size_t trim)
{
    return jobs->n - trim < jobs->n ? jobs->n - trim : jobs->n - 1;
}

/*
 * As published: of n jobs those numbered trim to n - trim count, the latter included. The owned GPUs' use is that by all jobs
 * between the submissions of these two. A trial in the cloud counts only where the job ended on owned GPUs after all.
 */
static struct figures count(const struct weir_starburst_run *run, size_t trim)
{
    const struct weir_starburst_jobs *jobs = run->jobs;
    size_t last = last_counted(jobs, trim);
    double from_h = weir_starburst_submit_h(jobs, trim);
    double to_h = weir_starburst_submit_h(jobs, last);
    struct figures f = {0};
    double used = 0;
    for (size_t i = 0; i < jobs->n; i++) {
        const struct weir_starburst_outcome *o = &run->outcome[i];
        double run_h = weir_starburst_duration_h(jobs, i);
        double gpus = jobs->job[i].gpus;
        double inside = fmin(o->start_h + run_h, to_h) - fmax(o->start_h, from_h);
        if (!o->cloud && inside > 0) {
            used += gpus * inside;
        }
        if (i < trim || i > last) {
            continue;
        }
        double wait_h = o->start_h - weir_starburst_submit_h(jobs, i);
        f.wait_h += wait_h;
        f.completion_h += wait_h + run_h;
        if (o->cloud) {
            f.cloud_gpu_h += gpus * run_h;
        } else if (o->trial_h >= 0) {
            f.cloud_gpu_h += gpus * WEIR_STARBURST_TRIAL_H;
        }
    }
    double n = (double)(last - trim + 1);
    f.waits_h = f.wait_h;
    f.wait_h = dusted(f.wait_h / n);
    f.completion_h = dusted(f.completion_h / n);
    f.utilisation = used / ((double)run->site.nodes * run->site.gpus_per_node * (to_h - from_h));
    return f;
}

static void hash_outcomes(struct weir_sim_result *result, const struct weir_starburst_run *run)
{
    for (size_t i = 0; i < run->jobs->n; i++) {
        uint64_t start = 0;
        memcpy(&start, &run->outcome[i].start_h, sizeof start);
        weir_sim_hash_u64(result, start);
        weir_sim_hash_u64(result, run->outcome[i].cloud);
    }
}

/* The published figures of the one file that they were published for. */
struct reference {
    uint32_t nodes;
    const char *policy;
    double cloud_gpu_h;
    double wait_h;
};

enum { REFERENCE_JOBS = 52849 };

#define REFERENCE_HASH UINT64_C(0xc83b5deb0f7d1ce3)

static const struct reference references[] = {
    {48, "no-wait", 236015, 0},
    {48, "constant-wait", 231827, 0.602},
    {48, "starburst", 175132, 0.259},
    {64, "no-wait", 175644.86, 0},
    {64, "constant-wait", 166319, 0.427},
    {64, "starburst", 94601.08, 0.190},
    {64, "starburst-no-estimates", 133047, 0.240},
    {80, "no-wait", 105941, 0},
    {80, "constant-wait", 91802, 0.281},
    {80, "starburst", 39719, 0.095},
    {80, "starburst-no-estimates", 55593, 0.149},
    {100, "no-wait", 28954, 0},
    {100, "constant-wait", 25458, 0.099},
    {100, "starburst", 6341, 0.013},
};

static bool is_reference(const struct weir_starburst_run *run, size_t trim)
{
    const struct weir_starburst_jobs *jobs = run->jobs;
    if (jobs->n != REFERENCE_JOBS || trim != TRIM_DEFAULT || run->site.gpus_per_node != GPUS_PER_NODE_DEFAULT) {
        return false;
    }
    uint64_t hash = 0;
    for (size_t i = 0; i < jobs->n; i++) {
        const struct weir_starburst_job *j = &jobs->job[i];
        if (j->submit_us % WEIR_US_PER_S != 0 || j->duration_us % WEIR_US_PER_S != 0) {
            return false; /* the published jobs are of whole seconds */
        }
        uint64_t words[] = {hash, (uint64_t)(j->submit_us / WEIR_US_PER_S), (uint64_t)(j->duration_us / WEIR_US_PER_S), j->gpus};
        hash = weir_hash_bytes(words, sizeof words);
    }
    return hash == REFERENCE_HASH;
}

static void add_reference(struct weir_sim_row *row, const struct weir_starburst_run *run, const char *policy, size_t trim)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(references); i++) {
        const struct reference *r = &references[i];
        if (r->nodes == run->site.nodes && weir_streq(r->policy, policy) && is_reference(run, trim)) {
            weir_sim_metric(row, "reference_cloud_gpu_hours", r->cloud_gpu_h);
            weir_sim_metric(row, "reference_avg_wait_hours", r->wait_h);
        }
    }
}

/* How much more is spent in the cloud than any schedule that waits as long must. Null where that may be nothing at all. */
static double gap_percent(double cloud_gpu_h, double least_gpu_h)
{
    if (cloud_gpu_h <= least_gpu_h) {
        return 0; /* nothing, in the cloud; else equal but for rounding */
    }
    return least_gpu_h > 0 ? (cloud_gpu_h / least_gpu_h - 1) * 100 : NAN;
}

/* delay_value < 0: the policy has no such parameter. */
static void add_row(struct weir_sim_result *result, const struct weir_starburst_run *run, const struct weir_starburst_bound *bound,
                    const char *policy, double delay_value, size_t trim)
{
    struct figures f = count(run, trim);
    struct weir_sim_row *row = weir_sim_row(result, policy);
    weir_sim_case_count(row, "nodes", run->site.nodes);
    if (delay_value >= 0) {
        weir_sim_case_real(row, "delay_value", delay_value);
    }
    weir_sim_metric(row, "cloud_gpu_hours", f.cloud_gpu_h);
    weir_sim_metric(row, "avg_wait_hours", f.wait_h);
    weir_sim_metric(row, "avg_completion_hours", f.completion_h);
    weir_sim_metric(row, "local_utilisation", f.utilisation);
    double least_gpu_h = weir_starburst_bound_cloud_gpu_h(bound, f.waits_h);
    weir_sim_metric(row, "gap_to_bound_percent", gap_percent(f.cloud_gpu_h, least_gpu_h));
    weir_sim_metric(row, "bound_cloud_gpu_hours", least_gpu_h);
    add_reference(row, run, policy, trim);
    hash_outcomes(result, run);
}

/* ---- the suite ---- */

struct suite {
    const struct weir_sim_options *o;
    struct weir_sim_result *result;
    struct weir_starburst_jobs jobs;
    struct weir_starburst_outcome *outcome;
    uint32_t per_node;
    size_t trim;
    int64_t nodes[WEIR_SIM_LIST_MAX];
    size_t n_nodes;
    struct weir_sim_meter meter;
    double param[WEIR_STARBURST_PARAMS]; /* the value of waiting: negative where none is set */
};

/* The values of waiting that are run where none is set. The same for all files and sizes: from almost never in the cloud to
 * almost no waiting. */
static const double delay_values[] = {2, 5, 10, 15, 20, 30, 45, 70, 100, 200};

static int run_one(struct suite *s, const struct weir_starburst_bound *bound, const char *policy, uint32_t nodes, double delay_value,
                   struct weir_err *err)
{
    char name[96];
    bool baseline = weir_starburst_is_baseline(policy);
    snprintf(name, sizeof name, "starburst-%s-%" PRIu32, policy, nodes);
    if (!baseline) {
        snprintf(name, sizeof name, "starburst-%s-%" PRIu32 "-%g", policy, nodes, delay_value);
    }
    struct weir_starburst_run run = {.jobs = &s->jobs, .site = {nodes, s->per_node}, .outcome = s->outcome, .meter = &s->meter};
    int r = weir_sim_schedule_open(&run.schedule, s->o->schedule, name, err);
    if (r < 0) {
        return r;
    }
    if (baseline) {
        weir_starburst_baseline(policy, &run);
    } else {
        double v[WEIR_STARBURST_PARAMS];
        memcpy(v, s->param, sizeof v);
        v[WEIR_STARBURST_DELAY_VALUE] = delay_value;
        if (!weir_streq(policy, "weir")) {
            v[WEIR_STARBURST_ESTIMATES] = 0;
        }
        weir_starburst_weir(&run, v);
    }
    add_row(s->result, &run, bound, policy, baseline ? -1 : delay_value, s->trim);
    return weir_sim_schedule_close(run.schedule, err);
}

/* How many runs a policy has on one size of the cluster. */
static size_t points_of(const struct suite *s, const char *policy, size_t n_values)
{
    return !weir_sim_wants(s->o, policy) ? 0 : weir_starburst_is_baseline(policy) ? 1 : n_values;
}

static int run_all(struct suite *s, struct weir_err *err)
{
    static const char *const policy[] = {"no-wait", "constant-wait", "starburst", "starburst-no-estimates", "weir", "weir-no-estimates"};
    const double *set = &s->param[WEIR_STARBURST_DELAY_VALUE];
    const double *values = *set >= 0 ? set : delay_values;
    size_t n_values = *set >= 0 ? 1 : WEIR_ARRAY_LEN(delay_values);
    size_t runs = 0;
    for (size_t k = 0; k < WEIR_ARRAY_LEN(policy); k++) {
        runs += s->n_nodes * points_of(s, policy[k], n_values);
    }
    s->meter = (struct weir_sim_meter){.o = s->o, .unit = "jobs", .total = (uint64_t)runs * s->jobs.n};
    int r = 0;
    for (size_t i = 0; i < s->n_nodes; i++) {
        struct weir_starburst_site site = {(uint32_t)s->nodes[i], s->per_node};
        WEIR_CLEANUP(weir_starburst_bound_freep) struct weir_starburst_bound *bound =
            weir_starburst_bound_new(&s->jobs, site, s->trim, last_counted(&s->jobs, s->trim));
        for (size_t k = 0; k < WEIR_ARRAY_LEN(policy); k++) {
            for (size_t d = 0; d < points_of(s, policy[k], n_values) && r == 0; d++) {
                r = run_one(s, bound, policy[k], (uint32_t)s->nodes[i], values[d], err);
            }
        }
    }
    return r;
}

static int read_options(struct suite *s, struct weir_err *err)
{
    const char *nodes = s->o->nodes == NULL ? "48,64,80,100" : s->o->nodes;
    int64_t per_node = GPUS_PER_NODE_DEFAULT;
    int64_t trim = TRIM_DEFAULT;
    int r = weir_sim_list_i64(nodes, "nodes", 1, NODES_MAX, s->nodes, &s->n_nodes, err);
    if (r == 0 && s->o->gpus_per_node != NULL) {
        r = weir_sim_number(s->o->gpus_per_node, "gpus-per-node", 1, WEIR_SIM_GPUS_PER_NODE_MAX, &per_node, err);
    }
    if (r == 0 && s->o->trim != NULL) {
        r = weir_sim_number(s->o->trim, "trim", 0, JOBS_MAX, &trim, err);
    }
    s->per_node = (uint32_t)per_node;
    s->trim = (size_t)trim;
    for (size_t i = 0; i < WEIR_STARBURST_PARAMS; i++) {
        s->param[i] = weir_starburst_params[i].otherwise;
    }
    s->param[WEIR_STARBURST_DELAY_VALUE] = -1;
    return r < 0 ? r : weir_sim_params_read(weir_starburst_params, WEIR_STARBURST_PARAMS, s->o->set, s->param, err);
}

int weir_sim_suite_starburst(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    struct suite s = {.o = o, .result = result};
    int r = read_options(&s, err);
    r = r < 0 ? r : read_jobs(o, s.per_node, &s.jobs, result, err);
    if (r == 0 && s.jobs.n <= 2 * s.trim) {
        r = weir_fail(err, -WEIR_EINVAL, "--trim %zu leaves none of %zu jobs: name a smaller number", s.trim, s.jobs.n);
    }
    if (r == 0) {
        s.outcome = weir_calloc(s.jobs.n, sizeof *s.outcome);
        r = run_all(&s, err);
    }
    free(s.outcome);
    free(s.jobs.job);
    return r;
}
