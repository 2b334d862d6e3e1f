/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The published policies: No-Wait, Constant-Wait, and Starburst with and without time estimates (Luo et al., "Starburst: A
 * Cost-aware Scheduler for Hybrid Cloud", USENIX ATC 2024), by the rules that its simulator follows.
 *
 * At one instant: completions, time-outs to the cloud, arrivals, placement in the order of the queue, queue cap. Nodes
 * are taken first-fit by number; a job of more GPUs than a node has takes whole nodes and the rest on another one.
 * Times are hours in doubles, and a job's time-out is (arrival + wait + run) - run: what counts as one instant hangs on
 * its rounding, and the published figures hang on that.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/vec.h"
#include "starburst.h"

struct policy {
    const char *name;
    bool in_order; /* who comes first blocks those behind */
    double wait_h;
    double wait_h_per_gpu;
    double wait_h_per_gpu_h;
    size_t queue_max; /* the newest beyond go to the cloud */
    bool trial;       /* who cannot start runs for a while in the cloud; who does not end there waits trial_wait times as long */
    double trial_wait;
};

static const struct policy policies[] = {
    {"no-wait", .in_order = true, .queue_max = SIZE_MAX},
    {"constant-wait", .in_order = true, .wait_h = 1, .queue_max = SIZE_MAX},
    {"starburst", .wait_h_per_gpu_h = 0.076, .queue_max = 30},
    {"starburst-no-estimates", .wait_h_per_gpu = 0.77, .queue_max = 30, .trial = true, .trial_wait = 3},
};

struct due {
    double at_h;
    size_t job;
};

/* Times at which something ends: a heap, the earliest first. */
struct agenda {
    WEIR_VEC(struct due) due;
};

struct state {
    const struct policy *policy;
    const struct weir_starburst_run *run;
    uint32_t *room; /* free GPUs by node */
    uint64_t room_all;
    struct agenda running;
    struct agenda trials;
    WEIR_VEC(size_t) queue; /* in the order in which they are tried */
    double *timeout_h;      /* by job */
    uint32_t *node;         /* of the pieces of jobs; a job's begin at first_piece */
    size_t *first_piece;
    size_t next;
};

static bool is_before(struct due a, struct due b)
{
    return a.at_h < b.at_h || (a.at_h <= b.at_h && a.job < b.job);
}

static void agenda_push(struct agenda *a, struct due d)
{
    weir_vec_push(&a->due, d);
    size_t i = a->due.n - 1;
    while (i > 0 && is_before(d, a->due.p[(i - 1) / 2])) {
        a->due.p[i] = a->due.p[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    a->due.p[i] = d;
}

static size_t agenda_pop(struct agenda *a)
{
    size_t job = a->due.p[0].job;
    struct due last = a->due.p[--a->due.n];
    size_t i = 0;
    for (size_t k = 1; k < a->due.n; k = 2 * i + 1) {
        if (k + 1 < a->due.n && is_before(a->due.p[k + 1], a->due.p[k])) {
            k++;
        }
        if (!is_before(a->due.p[k], last)) {
            break;
        }
        a->due.p[i] = a->due.p[k];
        i = k;
    }
    if (a->due.n > 0) {
        a->due.p[i] = last;
    }
    return job;
}

static double agenda_next(const struct agenda *a)
{
    return a->due.n == 0 ? INFINITY : a->due.p[0].at_h;
}

/* ---- room ---- */

static uint32_t pieces_of(uint32_t gpus, uint32_t per_node)
{
    return gpus / per_node + (gpus % per_node != 0);
}

static uint32_t piece_gpus(uint32_t gpus, uint32_t per_node, uint32_t piece)
{
    uint32_t before = piece * per_node;
    return gpus - before < per_node ? gpus - before : per_node;
}

static bool find_node(const struct state *s, uint32_t gpus, const uint32_t *taken, uint32_t n_taken, uint32_t *ret)
{
    for (uint32_t i = 0; i < s->run->site.nodes; i++) {
        bool used = s->room[i] < gpus;
        for (uint32_t k = 0; k < n_taken && !used; k++) {
            used = taken[k] == i;
        }
        if (!used) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool start_local(struct state *s, size_t job, double now_h)
{
    const struct weir_starburst_job *j = &s->run->jobs->job[job];
    uint32_t per_node = s->run->site.gpus_per_node;
    uint32_t n = pieces_of(j->gpus, per_node);
    uint32_t *node = s->node + s->first_piece[job];
    if (j->gpus > s->room_all || n > s->run->site.nodes) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!find_node(s, piece_gpus(j->gpus, per_node, i), node, i, &node[i])) {
            return false;
        }
    }
    double hours = weir_starburst_duration_h(s->run->jobs, job);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t gpus = piece_gpus(j->gpus, per_node, i);
        s->room[node[i]] -= gpus;
        weir_starburst_note(s->run, job, now_h, hours, node[i], gpus);
    }
    s->room_all -= j->gpus;
    s->run->outcome[job].start_h = now_h;
    agenda_push(&s->running, (struct due){now_h + hours, job});
    return true;
}

static void end_local(struct state *s, size_t job)
{
    const struct weir_starburst_job *j = &s->run->jobs->job[job];
    uint32_t per_node = s->run->site.gpus_per_node;
    const uint32_t *node = s->node + s->first_piece[job];
    for (uint32_t i = 0; i < pieces_of(j->gpus, per_node); i++) {
        s->room[node[i]] += piece_gpus(j->gpus, per_node, i);
    }
    s->room_all += j->gpus;
}

static void start_cloud(struct state *s, size_t job, double start_h)
{
    s->run->outcome[job].start_h = start_h;
    s->run->outcome[job].cloud = true;
    weir_starburst_note(s->run, job, start_h, weir_starburst_duration_h(s->run->jobs, job), -1, s->run->jobs->job[job].gpus);
}

/* ---- one instant ---- */

static void time_out(struct state *s, size_t job)
{
    struct weir_starburst_outcome *o = &s->run->outcome[job];
    double at_h = s->timeout_h[job];
    if (s->policy->trial && o->trial_h < 0 && weir_starburst_duration_h(s->run->jobs, job) > WEIR_STARBURST_TRIAL_H) {
        o->trial_h = at_h;
        weir_starburst_note(s->run, job, at_h, WEIR_STARBURST_TRIAL_H, -1, s->run->jobs->job[job].gpus);
        agenda_push(&s->trials, (struct due){at_h + WEIR_STARBURST_TRIAL_H, job});
        return;
    }
    start_cloud(s, job, at_h);
}

static void time_outs(struct state *s, double now_h)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->queue.n; i++) {
        if (s->timeout_h[s->queue.p[i]] <= now_h) {
            time_out(s, s->queue.p[i]);
        } else {
            s->queue.p[kept++] = s->queue.p[i];
        }
    }
    s->queue.n = kept;
}

/* The time-out as a job's deadline less its run: what is lost in the two roundings is part of the rules. */
static double timeout_of(double from_h, double wait_h, double run_h)
{
    return (from_h + wait_h + run_h) - run_h;
}

static void arrive(struct state *s, size_t job)
{
    const struct policy *p = s->policy;
    double at_h = weir_starburst_submit_h(s->run->jobs, job);
    double run_h = weir_starburst_duration_h(s->run->jobs, job);
    double gpus = s->run->jobs->job[job].gpus;
    double wait_h = p->wait_h + p->wait_h_per_gpu_h * (gpus * run_h);
    if (p->trial) { /* the first wait is none, as rounded */
        wait_h = fmax(0, (at_h + run_h) - run_h - at_h);
    }
    s->timeout_h[job] = timeout_of(at_h, wait_h, run_h);
    weir_vec_push(&s->queue, job);
}

/* Back from the cloud, not done: the wait counts from the arrival, what it took so far is taken off, the rest is stretched. */
static void come_back(struct state *s, size_t job)
{
    const struct policy *p = s->policy;
    double at_h = s->run->outcome[job].trial_h + WEIR_STARBURST_TRIAL_H;
    double run_h = weir_starburst_duration_h(s->run->jobs, job);
    double gpus = s->run->jobs->job[job].gpus;
    double deadline_h = weir_starburst_submit_h(s->run->jobs, job) + p->wait_h_per_gpu * gpus + run_h;
    double wait_h = p->trial_wait * fmax(0, deadline_h - run_h - at_h);
    wait_h = fmax(0, (at_h + run_h + wait_h) - run_h - at_h);
    s->timeout_h[job] = (at_h + run_h + wait_h) - run_h;
    weir_vec_push(&s->queue, job);
}

static void place(struct state *s, double now_h)
{
    size_t kept = 0;
    bool blocked = false;
    for (size_t i = 0; i < s->queue.n; i++) {
        size_t job = s->queue.p[i];
        if (blocked || !start_local(s, job, now_h)) {
            blocked = s->policy->in_order;
            s->queue.p[kept++] = job;
        }
    }
    s->queue.n = kept;
}

static double next_instant(const struct state *s)
{
    double t = fmin(agenda_next(&s->running), agenda_next(&s->trials));
    if (s->next < s->run->jobs->n) {
        t = fmin(t, weir_starburst_submit_h(s->run->jobs, s->next));
    }
    for (size_t i = 0; i < s->queue.n; i++) {
        t = fmin(t, s->timeout_h[s->queue.p[i]]);
    }
    return t;
}

static void instant(struct state *s, double now_h)
{
    while (agenda_next(&s->running) <= now_h) {
        end_local(s, agenda_pop(&s->running));
    }
    time_outs(s, now_h);
    while (s->next < s->run->jobs->n && weir_starburst_submit_h(s->run->jobs, s->next) <= now_h) {
        arrive(s, s->next++);
        weir_sim_meter_add(s->run->meter, 1);
    }
    while (agenda_next(&s->trials) <= now_h) {
        come_back(s, agenda_pop(&s->trials));
    }
    place(s, now_h);
    while (s->queue.n > s->policy->queue_max) {
        start_cloud(s, s->queue.p[--s->queue.n], now_h);
    }
}

static const struct policy *find_policy(const char *name)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(policies); i++) {
        if (weir_streq(policies[i].name, name)) {
            return &policies[i];
        }
    }
    return NULL;
}

bool weir_starburst_is_baseline(const char *policy)
{
    return find_policy(policy) != NULL;
}

void weir_starburst_baseline(const char *policy, const struct weir_starburst_run *run)
{
    struct state s = {.policy = find_policy(policy), .run = run};
    WEIR_ASSERT(s.policy != NULL);
    size_t n = run->jobs->n;
    size_t pieces = 0;
    s.first_piece = weir_calloc(n, sizeof *s.first_piece);
    for (size_t i = 0; i < n; i++) {
        s.first_piece[i] = pieces;
        pieces += pieces_of(run->jobs->job[i].gpus, run->site.gpus_per_node);
        run->outcome[i] = (struct weir_starburst_outcome){.trial_h = -1};
    }
    s.node = weir_calloc(pieces, sizeof *s.node);
    s.timeout_h = weir_calloc(n, sizeof *s.timeout_h);
    s.room = weir_calloc(run->site.nodes, sizeof *s.room);
    for (uint32_t i = 0; i < run->site.nodes; i++) {
        s.room[i] = run->site.gpus_per_node;
    }
    s.room_all = (uint64_t)run->site.nodes * run->site.gpus_per_node;
    for (double t = next_instant(&s); isfinite(t); t = next_instant(&s)) {
        instant(&s, t);
    }
    weir_vec_release(&s.running.due);
    weir_vec_release(&s.trials.due);
    weir_vec_release(&s.queue);
    free(s.first_piece);
    free(s.node);
    free(s.timeout_h);
    free(s.room);
}
