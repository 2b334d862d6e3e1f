/* SPDX-License-Identifier: Apache-2.0 */

/* Suite muri: Philly-derived traces of Muri (SIGCOMM'22), its own table beside what is rebuilt here; see muri.h. */

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "muri.h"
#include "records.h"
#include "schedule.h"
#include "sim_priv.h"

enum { JOBS_MAX = 1000000, NODES_MAX = 4096 };

/* Muri's authors found that every iteration takes so much longer with their executor in place. */
static const double executor_factor = 1.015;

struct trace {
    WEIR_VEC(struct weir_muri_job) job;
    uint64_t digest; /* of what the file says, whatever its layout */
    double bound_s;  /* of the mean time to end */
};

static int read_job(const struct weir_input *in, struct weir_muri_cluster cluster, struct trace *t, struct weir_err *err)
{
    struct weir_muri_record said = {0};
    int r = weir_muri_record_read(in, &said, err);
    if (r < 0) {
        return r;
    }
    uint32_t whole = cluster.nodes * cluster.gpus_per_node;
    if (said.gpus > whole) {
        weir_fail(err, -WEIR_EINVAL, "%u GPUs are more than the cluster's %u: say --nodes or --gpus-per-node", said.gpus, whole);
        return weir_muri_record_fail_gpus(in, -WEIR_EINVAL, err);
    }
    if (t->job.n == JOBS_MAX) {
        weir_fail(err, -WEIR_ELIMIT, "more than %d jobs", JOBS_MAX);
        return weir_input_fail(in, -WEIR_ELIMIT, err);
    }
    struct weir_muri_job job = {
        .id = said.id,
        .gpus = said.gpus,
        .submit_s = said.submit_ms / 1000,
        .iterations = (double)said.iterations,
        .iteration_s = said.iteration_ms * executor_factor / 1000,
        .overhead_s = weir_muri_overhead_s(said.model, said.gpus),
    };
    weir_vec_push(&t->job, job);
    const double figures[] = {(double)said.id,         (double)said.gpus, said.submit_ms, (double)said.iterations,
                              said.iteration_ms, job.overhead_s};
    t->digest = weir_hash_bytes(figures, sizeof figures) ^ (t->digest << 7 | t->digest >> 57);
    return 0;
}

static int cmp_submit(const void *a, const void *b)
{
    const struct weir_muri_job *x = a;
    const struct weir_muri_job *y = b;
    if (x->submit_s != y->submit_s) {
        return x->submit_s < y->submit_s ? -1 : 1;
    }
    return (x->id > y->id) - (x->id < y->id);
}

static int read_trace(const char *path, struct weir_muri_cluster cluster, struct trace *t, struct weir_err *err)
{
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    int r = weir_input_table(&in, path, weir_muri_columns, WEIR_MURI_COLUMNS, err);
    while (r >= 0 && (r = weir_input_next(in, err)) > 0) {
        r = read_job(in, cluster, t, err);
    }
    if (r < 0) {
        return r;
    }
    if (t->job.n == 0) {
        return weir_fail(err, -WEIR_EINVAL, "%s has no jobs", path);
    }
    qsort(t->job.p, t->job.n, sizeof *t->job.p, cmp_submit);
    t->bound_s = weir_muri_bound_s(t->job.p, t->job.n, cluster);
    return 0;
}

static const struct {
    const char *name;
    enum weir_muri_policy policy;
} policies[] = {
    {"fifo", WEIR_MURI_FIFO},
    {"srtf", WEIR_MURI_SRTF},
    {"srsf", WEIR_MURI_SRSF},
    {"tiresias-l", WEIR_MURI_TIRESIAS_L},
    {"weir", WEIR_MURI_WEIR},
    {"weir-no-estimates", WEIR_MURI_WEIR_NO_ESTIMATES},
};

/* What Muri's authors print for 8 nodes x 8 GPUs (draw_fig9-10.py in their repository); the latter nine are of the same traces with all
 * jobs submitted at once. */
static const struct {
    uint64_t digest;
    size_t jobs;
    enum weir_muri_policy policy;
    double avg_jct_s;
    double makespan_s;
    double p99_jct_s;
} references[] = {
    {UINT64_C(0xe54f2de12596607d), 1494, WEIR_MURI_SRTF, 1370603.198, 26045465.532945, 16647148.09074},
    {UINT64_C(0xcfa408c7859a73b6), 992, WEIR_MURI_SRTF, 193081.796, 8174135.28, 4538890.607},
    {UINT64_C(0xe2fa303cae7476a1), 2638, WEIR_MURI_SRTF, 581982.9002, 14787990.59235, 7768533.005},
    {UINT64_C(0xe54f2de12596607d), 1494, WEIR_MURI_SRSF, 980140.5699, 26065759.044845, 15529913.227905},
    {UINT64_C(0xcfa408c7859a73b6), 992, WEIR_MURI_SRSF, 185021.8802, 8174135.28, 4189699.177},
    {UINT64_C(0xe2fa303cae7476a1), 2638, WEIR_MURI_SRSF, 487167.1688, 14887908.86639, 7372568.184},
    {UINT64_C(0xe54f2de12596607d), 1494, WEIR_MURI_TIRESIAS_L, 3330371.307, 23556410.217355, 14739851.5052},
    {UINT64_C(0xcfa408c7859a73b6), 992, WEIR_MURI_TIRESIAS_L, 347213.2481, 8174226.28, 4983397.254},
    {UINT64_C(0xe2fa303cae7476a1), 2638, WEIR_MURI_TIRESIAS_L, 1319382.936, 13073838.61827, 8663311.856},
    {UINT64_C(0x2e8ad3ae4319c04c), 1494, WEIR_MURI_SRTF, 2303543.816, 24513543.937825, 19871388.29092},
    {UINT64_C(0x2e8ad3ae4319c04c), 1494, WEIR_MURI_SRSF, 1801859.995, 24272529.59311, 18267307.81118},
    {UINT64_C(0x2e8ad3ae4319c04c), 1494, WEIR_MURI_TIRESIAS_L, 6921682.793, 21990477.824095, 21765400.784095},
    {UINT64_C(0x6a6fda8c8abc5a94), 992, WEIR_MURI_SRTF, 844394.78, 7261795.828, 6363099.549},
    {UINT64_C(0x6a6fda8c8abc5a94), 992, WEIR_MURI_SRSF, 798057.6829, 6907790.403, 6228160.594},
    {UINT64_C(0x6a6fda8c8abc5a94), 992, WEIR_MURI_TIRESIAS_L, 2213110.128, 6761641.42, 6739568.999},
    {UINT64_C(0xddc8eac4b0b1c5c1), 2638, WEIR_MURI_SRTF, 1430856.446, 14272665.007687, 9443500.203},
    {UINT64_C(0xddc8eac4b0b1c5c1), 2638, WEIR_MURI_SRSF, 1218501.968, 14426755.371188, 9227908.326},
    {UINT64_C(0xddc8eac4b0b1c5c1), 2638, WEIR_MURI_TIRESIAS_L, 2674022.636, 12584603.56365, 11219877.952119},
};

static void add_reference(struct weir_sim_row *row, const struct trace *t, struct weir_muri_cluster cluster,
                          enum weir_muri_policy policy)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(references); i++) {
        if (references[i].digest == t->digest && references[i].jobs == t->job.n && references[i].policy == policy &&
            cluster.nodes == 8 && cluster.gpus_per_node == 8) {
            weir_sim_metric(row, "reference_avg_jct_seconds", references[i].avg_jct_s);
            weir_sim_metric(row, "reference_makespan_seconds", references[i].makespan_s);
            weir_sim_metric(row, "reference_p99_jct_seconds", references[i].p99_jct_s);
        }
    }
}

static int run_one(const struct weir_sim_options *o, const struct trace *t, struct weir_muri_cluster cluster, const char *name,
                   size_t policy, bool published, struct weir_sim_meter *meter, struct weir_sim_result *result, struct weir_err *err)
{
    const char *mode = published ? "published" : "exact";
    char file[160];
    snprintf(file, sizeof file, "muri-%s-%s-%s", name, mode, policies[policy].name);
    struct weir_sim_schedule *schedule = NULL;
    int r = weir_sim_schedule_open(&schedule, o->schedule, file, err);
    if (r < 0) {
        return r;
    }
    struct weir_muri_outcome out;
    const struct weir_muri_run run = {
        .job = t->job.p,
        .n = t->job.n,
        .cluster = cluster,
        .policy = policies[policy].policy,
        .published = published,
        .schedule = schedule,
        .meter = meter,
    };
    weir_muri_run(&run, result, &out);
    struct weir_sim_row *row = weir_sim_row(result, policies[policy].name);
    weir_sim_case_text(row, "trace", name);
    weir_sim_case_text(row, "mode", mode);
    weir_sim_metric(row, "avg_jct_seconds", out.avg_jct_s);
    weir_sim_metric(row, "makespan_seconds", out.makespan_s);
    weir_sim_metric(row, "p99_jct_seconds", out.p99_jct_s);
    weir_sim_metric(row, "gap_to_bound_percent", (out.avg_jct_s / t->bound_s - 1) * 100);
    weir_sim_metric_count(row, "starts", (int64_t)out.starts);
    if (published) {
        add_reference(row, t, cluster, policies[policy].policy);
    }
    return weir_sim_schedule_close(schedule, err);
}

static int run_trace(const struct weir_sim_options *o, const char *path, struct weir_muri_cluster cluster,
                     struct weir_sim_result *result, struct weir_err *err)
{
    struct trace t = {0};
    char name[WEIR_SIM_TEXT_SIZE];
    weir_sim_name(path, name, sizeof name);
    int r = read_trace(path, cluster, &t, err);
    struct weir_sim_meter meter = {.o = o, .unit = "jobs"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(policies); i++) {
        meter.total += weir_sim_wants(o, policies[i].name) ? 2 * t.job.n : 0;
    }
    for (int published = 1; published >= 0 && r == 0; published--) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(policies) && r == 0; i++) {
            if (weir_sim_wants(o, policies[i].name)) {
                r = run_one(o, &t, cluster, name, i, published, &meter, result, err);
            }
        }
    }
    weir_vec_release(&t.job);
    return r;
}

static int read_size(const char *text, const char *option, int64_t max, uint32_t *ret, struct weir_err *err)
{
    int64_t v = *ret;
    int r = text == NULL ? 0 : weir_sim_number(text, option, 1, max, &v, err);
    *ret = (uint32_t)v;
    return r;
}

int weir_sim_suite_muri(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    static const char *const published[] = {"muri-philly/trace1.csv", "muri-philly/trace3.csv", "muri-philly/trace4.csv"};
    struct weir_muri_cluster cluster = {.nodes = 8, .gpus_per_node = 8};
    int r = read_size(o->nodes, "nodes", NODES_MAX, &cluster.nodes, err);
    r = r < 0 ? r : read_size(o->gpus_per_node, "gpus-per-node", WEIR_SIM_GPUS_PER_NODE_MAX, &cluster.gpus_per_node, err);
    for (size_t i = 0; i < (o->jobs != NULL ? 1 : WEIR_ARRAY_LEN(published)) && r == 0; i++) {
        WEIR_CLEANUP(weir_freep) char *path = NULL;
        r = weir_sim_path(&path, o, o->jobs, "jobs", published[i], err);
        r = r < 0 ? r : run_trace(o, path, cluster, result, err);
    }
    return r;
}
