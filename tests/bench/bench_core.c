/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the decision core against its bars: a cold plan, one event with a million tasks waiting, and
 * memory per waiting task. Prints each figure beside its bar; judges nothing.
 */

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/prng.h"
#include "core/core.h"

enum { NODES = 10000, OFFERS = 5000, SHAPES = 2000, MODELS = 5, EVENTS = 20000 };

static struct weir_gpu_table *gpus;
static const char *const names[MODELS] = {"A100", "A100-80GB", "H100", "T4", "V100"};
static uint16_t models[MODELS];

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static void row(const char *what, double figure, const char *unit, const char *bar)
{
    printf("%-58s %12.2f %-6s bar %s\n", what, figure, unit, bar);
}

/* ---- the world ---- */

static struct weir_request shape(uint32_t i)
{
    struct weir_request r;
    memset(&r, 0, sizeof r);
    r.alternatives = 1;
    r.alternative[0].model = models[i % MODELS];
    r.alternative[0].count = (uint16_t)(1u << i / MODELS % 4);
    r.cpu_milli = 1000 * r.alternative[0].count;
    r.mem_mib = 4096;
    r.nodes = 1;
    r.max_duration = weir_dur_s(3600 + (int64_t)i * 7);
    r.expected = weir_dur_s(1800 + (int64_t)i * 3);
    r.delay_cost_micro_per_hour = -1;
    return r;
}

static struct weir_node_spec node_spec(uint64_t i)
{
    struct weir_node_spec s;
    memset(&s, 0, sizeof s);
    s.id.v = i + 1;
    s.gpu_model = models[i % MODELS];
    s.gpus = 8;
    s.gpu_mem_mib = 40960;
    s.cpu_milli = 64000;
    s.mem_mib = 512 * 1024;
    for (int k = 0; k < 8; k++) {
        s.link_group[k] = (uint8_t)(1 + k / 4);
    }
    s.rates = (struct weir_node_rates){8000000, 0, 700000};
    return s;
}

static void make_offers(struct weir_offer *o)
{
    for (uint32_t i = 0; i < OFFERS; i++) {
        memset(&o[i], 0, sizeof o[i]);
        o[i].id = i + 1;
        (void)snprintf(o[i].provider, sizeof o[i].provider, "cloud");
        (void)snprintf(o[i].region, sizeof o[i].region, "r%u", i % 40);
        (void)snprintf(o[i].instance_type, sizeof o[i].instance_type, "type%u", i);
        o[i].market = (uint8_t)(i % 2);
        o[i].gpu_model = models[i % MODELS];
        o[i].gpus = (uint16_t)(1u << i / MODELS % 4);
        o[i].gpu_mem_mib = 40960;
        o[i].cpu_milli = 96000;
        o[i].mem_mib = 512 * 1024;
        o[i].price_micro_per_hour = (int64_t)o[i].gpus * (2000000 + i * 100);
        o[i].expires = WEIR_WALL_MAX;
        o[i].bill_quantum = weir_dur_s(1);
        o[i].bill_minimum = weir_dur_s(60);
        o[i].boot_expected = weir_dur_s(120);
        o[i].launchable = true;
    }
}

enum { LIVE_MAX = 200000 };

struct bench {
    struct weir_core *core;
    struct weir_run_id *live; /* started and not ended; NULL: not kept */
    size_t n_live;
    uint64_t seq;
    int64_t now_us;
    struct weir_effects effects;
};

static void step(struct bench *b, struct weir_event *ev)
{
    struct weir_err err;
    ev->seq = ++b->seq;
    ev->now.us = b->now_us;
    if (weir_core_step(b->core, ev, &b->effects, &err) < 0) {
        (void)fprintf(stderr, "bench_core: %s\n", err.text);
        exit(1);
    }
    for (size_t i = 0; b->live != NULL && i < b->effects.n_effects; i++) {
        if (b->effects.effect[i].kind == WEIR_EFFECT_RUN_START && b->n_live < LIVE_MAX) {
            b->live[b->n_live++] = b->effects.effect[i].run;
        }
    }
}

static void submit(struct bench *b, const struct weir_request *r, uint32_t project, uint32_t n)
{
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    ev.u.job_submit.job = weir_core_take_job_id(b->core);
    ev.u.job_submit.project.v = project;
    ev.u.job_submit.priority = 50;
    ev.u.job_submit.n_tasks = n;
    ev.u.job_submit.request = r;
    step(b, &ev);
}

static void finish_plan(struct bench *b)
{
    while (b->effects.wake_at.us <= b->now_us) {
        struct weir_event ev = {.kind = WEIR_EVENT_TICK};
        step(b, &ev);
    }
}

static void check(int r, const struct weir_err *err)
{
    if (r < 0) {
        (void)fprintf(stderr, "bench_core: %s\n", err->text);
        exit(1);
    }
}

/* A core that is restored has planned nothing: the first step plans all. */
static struct bench restored(uint32_t jobs, uint32_t tasks_each, bool distinct)
{
    struct weir_core_conf conf = weir_core_conf_default();
    struct weir_err err;
    conf.gpus = gpus;
    struct bench b = {.core = weir_core_new(&conf), .now_us = INT64_C(1795374000000000)};
    for (uint32_t i = 0; i < SHAPES; i++) {
        struct weir_request r = shape(i);
        check(weir_core_restore_shape(b.core, i, &r, &err), &err);
    }
    for (uint32_t i = 0; i < jobs; i++) {
        struct weir_job_view v = {.id = {i + 1},
                                  .project = {1 + i % 20},
                                  .shape = (distinct ? i / 7 : i) % SHAPES,
                                  .priority = 50,
                                  .n_tasks = tasks_each,
                                  .submitted = {b.now_us - 1000}};
        check(weir_core_restore_job(b.core, &v, &err), &err);
    }
    return b;
}

static void restore_nodes(struct bench *b)
{
    struct weir_err err;
    for (uint64_t i = 0; i < NODES; i++) {
        struct weir_node_view v = {.spec = node_spec(i), .joined = true, .since = {1}};
        check(weir_core_restore_node(b->core, &v, &err), &err);
    }
}

static void done(struct bench *b)
{
    struct weir_err err;
    check(weir_core_restore_done(b->core, 0, (struct weir_wall){b->now_us}, &err), &err);
}

static void set_offers(struct bench *b, const struct weir_offer *o)
{
    struct weir_event ev = {.kind = WEIR_EVENT_OFFERS_SET};
    ev.u.offers_set.provider = "cloud";
    ev.u.offers_set.offer = o;
    ev.u.offers_set.n = OFFERS;
    step(b, &ev);
}

static void cold_plan(const struct weir_offer *o)
{
    struct bench b = restored(SHAPES, 50, false);
    restore_nodes(&b);
    done(&b);
    int64_t from = now_ns();
    int64_t cpu_from = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t started = 0;
    uint64_t steps = 1;
    int64_t longest = 0;
    set_offers(&b, o);
    for (;;) {
        for (size_t i = 0; i < b.effects.n_effects; i++) {
            started += b.effects.effect[i].kind == WEIR_EFFECT_RUN_START;
        }
        if (b.effects.wake_at.us > b.now_us) {
            break;
        }
        struct weir_event ev = {.kind = WEIR_EVENT_TICK};
        int64_t t = now_ns();
        step(&b, &ev);
        t = now_ns() - t;
        longest = t > longest ? t : longest;
        steps++;
    }
    row("cold plan, 100,000 tasks, 10,000 nodes, 5,000 offers", (double)(now_ns() - from) / 1e6,
        "ms", "250");
    printf("    %.2f ms of CPU time; %" PRIu64 " tasks started in %" PRIu64 " steps, the longest %.2f ms\n",
           (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_from) / 1e6, started, steps, (double)longest / 1e6);
    weir_core_free(b.core);
}

/* ---- one event ---- */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void percentiles_of(const char *of, const char *what, int64_t *t, size_t n)
{
    char name[96];
    if (n == 0) {
        return;
    }
    qsort(t, n, sizeof *t, by_value);
    (void)snprintf(name, sizeof name, "%s: %s, median", of, what);
    row(name, (double)t[n / 2] / 1e3, "us", "20");
    (void)snprintf(name, sizeof name, "%s: %s, p99", of, what);
    row(name, (double)t[n * 99 / 100] / 1e3, "us", "1000");
}

static void percentiles(const char *what, int64_t *t, size_t n)
{
    percentiles_of("one event, 1,000,000 tasks waiting", what, t, n);
}

static void events(struct bench *b, const char *with)
{
    struct weir_core_stats s = weir_core_stats(b->core);
    printf("    %s: %" PRIu64 " tasks wait, %" PRIu64 " run\n", with, s.tasks_waiting,
           s.tasks_running);
    static int64_t took[3][EVENTS];
    static int64_t all[EVENTS];
    size_t n[3] = {0};
    struct weir_prng prng = weir_prng_seed(1);
    for (size_t i = 0; i < EVENTS; i++) {
        uint64_t kind = weir_prng_below(&prng, 4);
        struct weir_event ev = {.kind = WEIR_EVENT_RUN_ENDED};
        struct weir_request r = shape((uint32_t)weir_prng_below(&prng, SHAPES));
        b->now_us += 100;
        if (kind < 2 && b->n_live > 0) {
            size_t at = weir_prng_below(&prng, b->n_live);
            ev.u.run_ended.run = b->live[at];
            ev.u.run_ended.at.us = b->now_us;
            ev.u.run_ended.reason = WEIR_REASON_EXIT;
            b->live[at] = b->live[--b->n_live];
            kind = 0;
        } else if (kind <= 2) {
            ev.kind = WEIR_EVENT_JOB_SUBMIT;
            ev.u.job_submit.job = weir_core_take_job_id(b->core);
            ev.u.job_submit.project.v = 1 + (uint32_t)weir_prng_below(&prng, 20);
            ev.u.job_submit.priority = 50;
            ev.u.job_submit.n_tasks = 1;
            ev.u.job_submit.request = &r;
            kind = 1;
        } else {
            ev.kind = WEIR_EVENT_JOB_CANCEL;
            ev.u.job_cancel.job.v = 1 + weir_prng_below(&prng, 900000);
            kind = 2;
        }
        int64_t t = now_ns();
        step(b, &ev);
        t = now_ns() - t;
        took[kind][n[kind]++] = t;
        all[i] = t;
    }
    percentiles("a run ended, the next starts", took[0], n[0]);
    percentiles("a job submitted", took[1], n[1]);
    percentiles("a job cancelled", took[2], n[2]);
    percentiles("mixed", all, EVENTS);
}

static void one_event(const struct weir_offer *o)
{
    struct bench b = restored(1080000, 1, true);
    struct weir_core_stats s = weir_core_stats(b.core);
    row("memory per waiting task, 1,000,000 jobs of one task", (double)s.bytes / (double)s.tasks_waiting,
        "bytes", "256");
    struct mallinfo2 m = mallinfo2();
    row("  the same, as the allocator has it", (double)(m.uordblks + m.hblkhd) / (double)s.tasks_waiting,
        "bytes", "256");
    b.live = weir_calloc(LIVE_MAX, sizeof *b.live);
    restore_nodes(&b);
    done(&b);
    for (uint64_t i = 0; i < NODES; i++) {
        struct weir_node_spec spec = node_spec(i);
        struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
        ev.u.node_join.spec = &spec;
        step(&b, &ev);
        if (i == 0) {
            finish_plan(&b);
        }
    }
    events(&b, "no cloud");
    set_offers(&b, o);
    finish_plan(&b);
    events(&b, "with offers");
    free(b.live);
    weir_core_free(b.core);
}

/* A million tasks wait for a quota, or for a budget, that is used up: runs end, each time somebody else may start. */
static void parked(const char *by, const struct weir_quota *quota, const struct weir_budget *budget)
{
    struct bench b = restored(1000000, 1, true);
    b.live = weir_calloc(LIVE_MAX, sizeof *b.live);
    restore_nodes(&b);
    done(&b);
    struct weir_event set = {.kind = WEIR_EVENT_QUOTA_SET, .u.quota_set.quota = quota};
    if (budget != NULL) {
        set = (struct weir_event){.kind = WEIR_EVENT_BUDGET_SET, .u.budget_set.budget = budget};
    }
    step(&b, &set);
    finish_plan(&b);
    struct weir_core_stats s = weir_core_stats(b.core);
    printf("    %s: %" PRIu64 " tasks wait, %" PRIu64 " run\n", by, s.tasks_waiting, s.tasks_running);
    enum { ENDS = 2000 };
    static int64_t took[ENDS];
    struct weir_prng prng = weir_prng_seed(1);
    size_t n = 0;
    while (n < ENDS && b.n_live > 0) {
        struct weir_event ev = {.kind = WEIR_EVENT_RUN_ENDED};
        size_t at = weir_prng_below(&prng, b.n_live);
        b.now_us += 100;
        ev.u.run_ended.run = b.live[at];
        ev.u.run_ended.at.us = b.now_us;
        ev.u.run_ended.reason = WEIR_REASON_EXIT;
        b.live[at] = b.live[--b.n_live];
        int64_t t = now_ns();
        step(&b, &ev);
        if (budget != NULL) {
            struct weir_event charged = {.kind = WEIR_EVENT_CHARGED};
            step(&b, &charged);
        }
        took[n++] = now_ns() - t;
    }
    percentiles_of("a run ended, 1,000,000 tasks parked", by, took, n);
    free(b.live);
    weir_core_free(b.core);
}

static void all_parked(void)
{
    struct weir_quota q = {.name = "all", .scope = WEIR_BUDGET_ORGANISATION, .counts = WEIR_QUOTA_GPUS, .span = WEIR_BUDGET_FOREVER, .gpu_model = WEIR_GPU_MODEL_ANY, .limit = 8000};
    struct weir_budget m = {.name = "all", .scope = WEIR_BUDGET_ORGANISATION, .span = WEIR_BUDGET_FOREVER, .amount_micro = INT64_C(10000000000)};
    parked("by GPUs in use", &q, NULL);
    parked("by a budget", NULL, &m);
}

static void arrays(void)
{
    struct mallinfo2 before = mallinfo2();
    struct bench b = restored(10, 100000, false);
    struct weir_core_stats s = weir_core_stats(b.core);
    struct mallinfo2 m = mallinfo2();
    size_t used = m.uordblks + m.hblkhd - before.uordblks - before.hblkhd;
    row("memory per waiting task, 10 arrays of 100,000", (double)used / (double)s.tasks_waiting,
        "bytes", "256");
    done(&b);
    struct weir_request r = shape(0);
    int64_t t = now_ns();
    submit(&b, &r, 1, 1000000);
    row("submission of one array of 1,000,000 tasks", (double)(now_ns() - t) / 1e3, "us", "-");
    weir_core_free(b.core);
}

int main(void)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    struct weir_offer *o = weir_calloc(OFFERS, sizeof *o);
    gpus = weir_gpu_table_new();
    for (int i = 0; i < MODELS; i++) {
        models[i] = weir_gpu_table_intern(gpus, weir_sv_of(names[i]));
    }
    make_offers(o);
    cold_plan(o);
    arrays();
    one_event(o);
    all_parked();
    weir_gpu_table_free(gpus);
    free(o);
    return 0;
}
