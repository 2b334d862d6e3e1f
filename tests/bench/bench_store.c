/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the SQLite store is: durable submissions in group commits, postings, the scan of a restart over a
 * million waiting jobs, and a bill over a million postings. Prints one line each with its bar.
 *
 *     bench_store [DIRECTORY [JOBS]]
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "store/store.h"

#define T0 INT64_C(1767225600000000)

enum { GROUP = 256 }; /* rows of one commit, as under load */

static struct weir_err err;

static void must(int r)
{
    if (r < 0) {
        (void)fprintf(stderr, "bench_store: %s\n", err.text);
        exit(1);
    }
}

static double clock_s(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct lap {
    double wall;
    double cpu;
};

static struct lap lap_begin(void)
{
    return (struct lap){clock_s(CLOCK_MONOTONIC), clock_s(CLOCK_PROCESS_CPUTIME_ID)};
}

static void lap_end(struct lap l, const char *what, uint64_t n, const char *bar)
{
    double wall = clock_s(CLOCK_MONOTONIC) - l.wall;
    double cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID) - l.cpu;
    (void)printf("%-34s %9" PRIu64 " in %6.2f s, %8.0f/s, %6.2f us each (CPU %6.2f us)  bar: %s\n", what, n, wall,
                 (double)n / wall, wall * 1e6 / (double)n, cpu * 1e6 / (double)n, bar);
    (void)fflush(stdout);
}

static void put_names(struct weir_store *s)
{
    char name[32];
    must(s->ops->begin(s, &err));
    for (uint32_t i = 1; i <= 8; i++) {
        (void)snprintf(name, sizeof name, "name-%" PRIu32, i);
        must(s->ops->put_project(s, &(struct weir_project_row){.view = {.id = {i}, .weight = 100}, .name = name}, &err));
        must(s->ops->put_user(s, &(struct weir_name_row){i, name, "{}"}, &err));
        must(s->ops->put_pool(s, &(struct weir_name_row){i, name, "{}"}, &err));
        must(s->ops->put_node(s,
                              &(struct weir_node_row){.view = {.spec = {.id = {i}, .pool = {i}, .gpus = 8}},
                                                      .gpu_model = "A100",
                                                      .name = name},
                              &err));
    }
    must(s->ops->commit(s, &err));
}

static void put_jobs(struct weir_store *s, uint64_t first, uint64_t n, uint64_t group, bool events)
{
    char name[48];
    for (uint64_t i = 0; i < n; i++) {
        uint64_t id = first + i;
        if (i % group == 0) {
            must(s->ops->begin(s, &err));
        }
        (void)snprintf(name, sizeof name, "train-%" PRIu64, id % 1000);
        struct weir_job_row j = {.view = {.id = {id},
                                          .project = {1 + (uint32_t)(id % 8)},
                                          .user = {1 + (uint32_t)(id * 7 % 8)},
                                          .shape = (uint32_t)(id % 100),
                                          .n_tasks = 1,
                                          .count = {1},
                                          .submitted = {T0 + (int64_t)id * 50}},
                                 .name = name,
                                 .tags_json = "{\"team\":\"perception\"}",
                                 .spec_json = "{\"name\":\"train\",\"resources\":{\"accelerators\":{\"A100\":1},\"cpus\":4,"
                                              "\"memory\":16},\"envs\":{\"LR\":\"0.1\"},\"max_duration\":43200,"
                                              "\"run\":\"python train.py --epochs 10 --data /data\"}"};
        must(s->ops->put_job(s, &j, &err));
        if (events) {
            struct weir_event_row e = {.id = id,
                                       .at = j.view.submitted,
                                       .kind = "job.submitted",
                                       .job = {id},
                                       .ordinal = UINT32_MAX,
                                       .text = "submitted by name-1"};
            must(s->ops->put_event(s, &e, &err));
        }
        if ((i + 1) % group == 0 || i + 1 == n) {
            must(s->ops->commit(s, &err));
        }
    }
}

static void put_postings(struct weir_store *s, uint64_t n, uint64_t jobs)
{
    for (uint64_t i = 0; i < n; i++) {
        if (i % GROUP == 0) {
            must(s->ops->begin(s, &err));
        }
        int64_t from = T0 + (int64_t)i * 2000000;
        struct weir_posting p = {.id = i + 1,
                                 .at = {from + 60 * WEIR_US_PER_S},
                                 .from = {from},
                                 .to = {from + 60 * WEIR_US_PER_S},
                                 .node = {1 + i % 8},
                                 .pool = {1 + (uint32_t)(i % 8)},
                                 .debit = i % 3 == 0 ? WEIR_ACCOUNT_IDLE : WEIR_ACCOUNT_JOB,
                                 .credit = WEIR_ACCOUNT_NODE,
                                 .amount_micro = 1000 + (int64_t)(i % 777),
                                 .gpu_us = i % 3 == 0 ? 0 : 60000000};
        if (i % 3 != 0) {
            p.project.v = 1 + (uint32_t)(i % 8);
            p.user.v = p.project.v;
            /* a job has a few postings, near to each other */
            p.run = (struct weir_run_id){{{1 + i / 16 * 5 % jobs}, 0}, 1};
        }
        must(s->ops->put_posting(s, &p, &err));
        if ((i + 1) % GROUP == 0 || i + 1 == n) {
            must(s->ops->commit(s, &err));
        }
    }
}

static int on_job(void *ctx, const struct weir_job_row *r)
{
    (void)r;
    ++*(uint64_t *)ctx;
    return 0;
}

static int on_task(void *ctx, const struct weir_task_row *r)
{
    (void)r;
    ++*(uint64_t *)ctx;
    return 0;
}

static int on_posting(void *ctx, const struct weir_posting *p)
{
    return weir_bill_check_add(ctx, p, NULL) < 0 ? 0 : 0;
}

static int on_total(void *ctx, const struct weir_total_row *r)
{
    (void)r;
    ++*(uint64_t *)ctx;
    return 0;
}

static int on_bill(void *ctx, const struct weir_bill_row *r)
{
    (void)r;
    ++*(uint64_t *)ctx;
    return 0;
}

static void bench_reads(struct weir_store *s, uint64_t jobs, uint64_t postings)
{
    uint64_t n = 0;
    struct lap l = lap_begin();
    must(s->ops->each_live_job(s, on_job, &n, &err));
    lap_end(l, "restart: live jobs", n, "2 s per million");
    uint64_t tasks = 0;
    l = lap_begin();
    must(s->ops->each_live_task(s, on_task, &tasks, &err));
    lap_end(l, "restart: their task rows", jobs, "-");
    struct weir_bill_check *check = weir_bill_check_new();
    l = lap_begin();
    must(s->ops->each_posting(s, 0, on_posting, check, &err));
    lap_end(l, "ledger: scan", postings, "-");
    weir_bill_check_free(check);
    static const struct {
        enum weir_bill_by by;
        const char *tag;
        const char *what;
    } bills[] = {{WEIR_BILL_BY_PROJECT, NULL, "bill by project"},
                 {WEIR_BILL_BY_DAY, NULL, "bill by day"},
                 {WEIR_BILL_BY_TAG, "team", "bill by tag"},
                 {WEIR_BILL_BY_JOB, NULL, "bill by job"}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bills); i++) {
        uint64_t rows = 0;
        struct weir_bill_filter f = {.from = {T0 + 1}, .to = {INT64_MAX}};
        l = lap_begin();
        must(s->ops->bill(s, &f, &bills[i].by, &bills[i].tag, 1, on_bill, &rows, &err));
        lap_end(l, bills[i].what, postings, "2 s per million");
    }
    uint64_t totals = 0;
    l = lap_begin();
    must(s->ops->each_total(s, on_total, &totals, &err));
    lap_end(l, "totals, as /metrics reads them", postings, "1 ms, whatever the ledger's length");
    static const struct {
        const char *what;
        struct weir_job_filter f;
    } lists[] = {
        {"list: newest", {.limit = 100}},
        {"list: project", {.project = "name-3", .limit = 100}},
        {"list: failed (none)", {.states = 1U << WEIR_JOB_FAILED, .limit = 100}},
        {"list: waiting of a user", {.user = "name-3", .states = 1U << WEIR_JOB_WAITING, .limit = 100}},
        {"list: name", {.name = "train-7", .limit = 100}},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(lists); i++) {
        uint64_t rows = 0;
        l = lap_begin();
        for (int k = 0; k < 100; k++) {
            must(s->ops->list_jobs(s, &lists[i].f, on_job, &rows, &err));
        }
        lap_end(l, lists[i].what, 100, "-");
    }
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "/tmp";
    uint64_t jobs = 1000000;
    if (argc > 2) {
        must(weir_parse_u64(weir_sv_of(argv[2]), 1, UINT64_C(100000000), &jobs, &err));
    }
    char path[512];
    (void)snprintf(path, sizeof path, "%s/weir-bench-%ld.db", dir, (long)getpid());
    struct weir_store *s = NULL;
    must(weir_store_sqlite_open(&s, &(struct weir_store_conf){.path = path, .durable = true}, &err));
    put_names(s);
    uint64_t part = jobs / 5 > 0 ? jobs / 5 : 1;
    struct lap l = lap_begin();
    put_jobs(s, 1, part, GROUP, true);
    lap_end(l, "durable job + event, 256 a commit", part, "20000/s");
    l = lap_begin();
    put_jobs(s, part + 1, part, 64, true);
    lap_end(l, "durable job + event, 64 a commit", part, "20000/s");
    l = lap_begin();
    put_jobs(s, 2 * part + 1, jobs - 2 * part, 4096, false);
    lap_end(l, "durable job, 4096 a commit", jobs - 2 * part, "-");
    l = lap_begin();
    put_postings(s, jobs, jobs);
    lap_end(l, "postings, 256 a commit", jobs, "-");
    weir_store_close(s);
    l = lap_begin();
    must(weir_store_sqlite_open(&s, &(struct weir_store_conf){.path = path, .durable = true}, &err));
    lap_end(l, "open", 1, "-");
    bench_reads(s, jobs, jobs);
    weir_store_close(s);
    static const char *const suffix[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suffix); i++) {
        char name[600];
        (void)snprintf(name, sizeof name, "%s%s", path, suffix[i]);
        (void)unlink(name);
    }
    return 0;
}
