/* SPDX-License-Identifier: Apache-2.0 */

#include "muri.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "core/order.h"

enum { QUEUES = WEIR_ORDER_LEVELS, NO_NODE = -1 };

struct piece {
    uint32_t node;
    uint32_t gpus;
};

struct job {
    const struct weir_muri_job *spec;
    double left_iterations;
    double left_s; /* without overhead */
    double since_s; /* up to where the above is right */
    double attained_s;
    double start_left_s; /* exact mode: of the overhead under way */
    double end_s; /* of the current plan, where running */
    size_t group; /* of ends that count as one */
    bool ends;    /* at the next end */
    bool running;
    bool chosen;
    uint8_t queue;
    struct piece *at; /* room for the most pieces that it can have */
    uint32_t n_at;
    struct piece *was; /* the placement before this event, for what is written down */
    uint32_t n_was;
    double placed_s; /* since when at holds */
};

struct list {
    uint32_t *p; /* numbers of jobs */
    size_t n;
    size_t size;
};

struct sim {
    struct weir_muri_cluster cluster;
    enum weir_muri_policy policy;
    bool published;
    struct weir_sim_schedule *schedule;
    struct job *job;
    size_t n;
    size_t n_arrived;
    struct list live; /* arrived and not ended: in the policy's order, with queues by arrival */
    struct list queue[QUEUES];
    struct list line; /* the order in which jobs are placed */
    uint32_t *free;   /* GPUs, by node */
    uint32_t free_total;
    uint64_t starts;
    struct {
        double *p; /* when each group of ends ends */
        size_t n;
        size_t size;
    } group;
};

double weir_muri_overhead_s(const char *model, uint32_t gpus)
{
    /* Measured by Muri's authors (Rivendile/Muri, simulator/run_sim.py) on 1, 2, 4, 8, 16 and 32 GPUs. */
    static const struct {
        const char *model;
        double s[6];
    } known[] = {
        {"vgg16", {7, 7, 8, 9, 9, 10}},          {"vgg19", {7, 7, 8, 9, 10, 10}},
        {"resnet18", {4, 5, 5, 7, 7, 7}},        {"shufflenet_v2_x1_0", {4, 4, 5, 5, 7, 8}},
        {"bert", {10, 10, 10, 10, 10, 10}},      {"gpt2", {10, 10, 10, 10, 10, 10}},
        {"a2c", {38, 39, 39, 46, 46, 46}},       {"dqn", {5, 5, 6, 6, 8, 8}},
    };
    static const double otherwise = 10;
    size_t k = 0;
    while (k + 1 < WEIR_ARRAY_LEN(known[0].s) && (UINT32_C(1) << k) < gpus) {
        k++;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(known); i++) {
        if (weir_streq(known[i].model, model)) {
            return known[i].s[k];
        }
    }
    return otherwise;
}

static void list_remove(struct list *l, uint32_t job)
{
    size_t i = 0;
    while (i < l->n && l->p[i] != job) {
        i++;
    }
    WEIR_ASSERT(i < l->n);
    memmove(l->p + i, l->p + i + 1, (l->n - i - 1) * sizeof *l->p);
    l->n--;
}

static bool has_queues(const struct sim *s)
{
    return s->policy == WEIR_MURI_TIRESIAS_L || s->policy == WEIR_MURI_WEIR_NO_ESTIMATES;
}

/* GPU-seconds after which a job leaves the queue for the next; infinite for the last. */
static double queue_limit(const struct sim *s, unsigned queue)
{
    static const double tiresias[] = {3250, 7200};
    if (s->policy == WEIR_MURI_TIRESIAS_L) {
        return queue < WEIR_ARRAY_LEN(tiresias) ? tiresias[queue] : INFINITY;
    }
    int64_t end_s = weir_order_level_end_s(queue);
    return end_s == INT64_MAX ? INFINITY : (double)end_s;
}

static double key_of(const struct sim *s, const struct job *j)
{
    switch (s->policy) {
    case WEIR_MURI_SRTF:
        return j->left_s;
    case WEIR_MURI_SRSF:
        return j->left_s * j->spec->gpus;
    case WEIR_MURI_WEIR:
        return (double)weir_order_remaining((struct weir_dur){(int64_t)(j->left_s * 1e6)},
                                            (struct weir_dur){(int64_t)(j->spec->overhead_s * 1e6)}, j->running, j->spec->gpus);
    case WEIR_MURI_FIFO:
    case WEIR_MURI_TIRESIAS_L:
    case WEIR_MURI_WEIR_NO_ESTIMATES:
        return j->spec->submit_s;
    case _WEIR_MURI_POLICY_MAX:
        break;
    }
    WEIR_UNREACHABLE();
}

/* Stable, and quick on what is nearly sorted: between two events only the running jobs' keys have moved. */
static void sort_live(struct sim *s)
{
    for (size_t i = 1; i < s->live.n; i++) {
        uint32_t k = s->live.p[i];
        double key = key_of(s, &s->job[k]);
        size_t at = i;
        while (at > 0 && key_of(s, &s->job[s->live.p[at - 1]]) > key) {
            s->live.p[at] = s->live.p[at - 1];
            at--;
        }
        s->live.p[at] = k;
    }
}

/* ---- placing ---- */

static void empty_cluster(struct sim *s)
{
    for (uint32_t i = 0; i < s->cluster.nodes; i++) {
        s->free[i] = s->cluster.gpus_per_node;
    }
    s->free_total = s->cluster.nodes * s->cluster.gpus_per_node;
}

static void take(struct sim *s, struct job *j, uint32_t node, uint32_t gpus)
{
    s->free[node] -= gpus;
    s->free_total -= gpus;
    j->at[j->n_at++] = (struct piece){node, gpus};
}

/* First fit on one node; a larger job takes the first empty nodes, and the rest of it the first other node. */
static bool place(struct sim *s, struct job *j)
{
    uint32_t per_node = s->cluster.gpus_per_node;
    uint32_t whole = j->spec->gpus <= per_node ? 0 : j->spec->gpus / per_node;
    uint32_t rest = j->spec->gpus - whole * per_node;
    if (j->spec->gpus > s->free_total) {
        return false;
    }
    j->n_at = 0;
    uint32_t found = 0;
    uint32_t rest_node = UINT32_MAX;
    uint32_t left = whole;
    for (uint32_t i = 0; i < s->cluster.nodes && left > 0; i++) {
        left -= s->free[i] == per_node;
    }
    if (left > 0) {
        return false;
    }
    for (uint32_t i = 0; i < s->cluster.nodes && (found < whole || (rest > 0 && rest_node == UINT32_MAX)); i++) {
        if (s->free[i] == per_node && found < whole) {
            found++;
        } else if (rest > 0 && rest_node == UINT32_MAX && s->free[i] >= rest) {
            rest_node = i;
        }
    }
    if (rest > 0 && rest_node == UINT32_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < s->cluster.nodes && whole > 0; i++) {
        if (s->free[i] == per_node) {
            take(s, j, i, per_node);
            whole--;
        }
    }
    if (rest > 0) {
        take(s, j, rest_node, rest);
    }
    return true;
}

static bool place_again(struct sim *s, struct job *j)
{
    for (uint32_t i = 0; i < j->n_was; i++) {
        if (s->free[j->was[i].node] < j->was[i].gpus) {
            return false;
        }
    }
    j->n_at = 0;
    for (uint32_t i = 0; i < j->n_was; i++) {
        take(s, j, j->was[i].node, j->was[i].gpus);
    }
    return true;
}

static bool count_only(struct sim *s, struct job *j)
{
    if (j->spec->gpus > s->free_total) {
        return false;
    }
    s->free_total -= j->spec->gpus;
    j->n_at = 1;
    j->at[0] = (struct piece){UINT32_MAX, j->spec->gpus};
    return true;
}

/* Chooses along the line what runs from now on, in an emptied cluster. */
static void choose(struct sim *s)
{
    bool by_count = s->published && s->policy == WEIR_MURI_TIRESIAS_L;
    empty_cluster(s);
    bool blocked = false;
    for (size_t i = 0; i < s->line.n; i++) {
        struct job *j = &s->job[s->line.p[i]];
        j->chosen = !blocked && s->free_total > 0 && (by_count ? count_only(s, j) : place(s, j));
        blocked = blocked || (s->policy == WEIR_MURI_FIFO && !j->chosen);
    }
}

/* Lets the chosen ones that ran stay where they were, if the others then still fit; else the choice stands as it is. */
static void settle(struct sim *s)
{
    empty_cluster(s);
    for (size_t i = 0; i < s->line.n; i++) {
        struct job *j = &s->job[s->line.p[i]];
        if (j->chosen && j->running) {
            bool same = place_again(s, j);
            WEIR_ASSERT(same);
        }
    }
    bool all = true;
    for (size_t i = 0; i < s->line.n && all; i++) {
        struct job *j = &s->job[s->line.p[i]];
        if (j->chosen && !j->running) {
            all = place(s, j);
        }
    }
    if (!all) {
        choose(s);
    }
}

static bool same_pieces(const struct job *j)
{
    bool same = j->n_at == j->n_was;
    for (uint32_t i = 0; i < j->n_at && same; i++) {
        same = j->at[i].node == j->was[i].node && j->at[i].gpus == j->was[i].gpus;
    }
    return same;
}

static void write_spans(struct sim *s, const struct job *j, const struct piece *piece, uint32_t n, double end_s)
{
    for (uint32_t i = 0; i < n; i++) {
        weir_sim_schedule_add(s->schedule, &(struct weir_sim_span){
                                               .task = (uint64_t)j->spec->id,
                                               .submit = j->spec->submit_s,
                                               .start = j->placed_s,
                                               .end = end_s,
                                               .place = "local",
                                               .node = piece[i].node == UINT32_MAX ? NO_NODE : (int64_t)piece[i].node,
                                               .gpus = piece[i].gpus,
                                           });
    }
}

/* Turns the choice into what runs; a job that started or moved has its overhead before it. */
static void apply(struct sim *s, double now_s)
{
    for (size_t i = 0; i < s->line.n; i++) {
        struct job *j = &s->job[s->line.p[i]];
        bool stays = j->running && j->chosen && same_pieces(j);
        if (j->running && !stays) {
            write_spans(s, j, j->was, j->n_was, now_s);
        }
        if (j->chosen && !stays) {
            j->placed_s = now_s;
            j->start_left_s = j->spec->overhead_s;
            s->starts += !s->published || !j->running;
        }
        j->running = j->chosen;
        memcpy(j->was, j->at, j->n_at * sizeof *j->at);
        j->n_was = j->n_at;
        j->end_s = now_s + j->left_s + (s->published ? 0 : j->start_left_s);
    }
}

/* ---- time ---- */

static void progress(const struct sim *s, struct job *j, double now_s)
{
    double was_s = j->since_s;
    double span_s = now_s - was_s;
    j->since_s = now_s;
    if (!j->running) {
        return;
    }
    double lost_s = s->published ? j->spec->overhead_s : fmin(j->start_left_s, span_s);
    j->start_left_s -= s->published ? 0 : lost_s;
    j->left_iterations -= fmax(span_s - lost_s, 0) / j->spec->iteration_s;
    j->left_s = j->left_iterations * j->spec->iteration_s;
    j->attained_s = j->attained_s + now_s - was_s;
}

/* When the job will have attained what its queue allows; whole seconds, as the published simulator rounds them. */
static double jump_of(const struct sim *s, const struct job *j, double now_s)
{
    return ceil(queue_limit(s, j->queue) / j->spec->gpus) - j->attained_s + now_s;
}

static void demote(struct sim *s, uint32_t k, double now_s)
{
    struct job *j = &s->job[k];
    /* The second condition: what rounding leaves of the wait is too small to move the clock. */
    if (j->running && (j->attained_s * j->spec->gpus >= queue_limit(s, j->queue) || jump_of(s, j, now_s) <= now_s)) {
        list_remove(&s->queue[j->queue], k);
        j->queue++;
        weir_vec_push(&s->queue[j->queue], k);
    }
}

static void arrive(struct sim *s)
{
    uint32_t k = (uint32_t)s->n_arrived++;
    struct job *j = &s->job[k];
    j->since_s = j->spec->submit_s;
    weir_vec_push(&s->live, k);
    if (has_queues(s)) {
        weir_vec_push(&s->queue[0], k);
    }
}

static void end(struct sim *s, uint32_t k, double now_s)
{
    struct job *j = &s->job[k];
    write_spans(s, j, j->was, j->n_was, now_s);
    j->running = false;
    j->end_s = now_s;
    list_remove(&s->live, k);
    if (has_queues(s)) {
        list_remove(&s->queue[j->queue], k);
    }
}

/* The queues one behind the other; within each, what does not run stands behind what does. */
static void line_up(struct sim *s)
{
    weir_vec_clear(&s->line);
    if (!has_queues(s)) {
        for (size_t i = 0; i < s->live.n; i++) {
            weir_vec_push(&s->line, s->live.p[i]);
        }
        return;
    }
    for (int q = 0; q < QUEUES; q++) {
        for (size_t i = 0; i < s->queue[q].n; i++) {
            weir_vec_push(&s->line, s->queue[q].p[i]);
        }
    }
}

static void put_running_first(struct sim *s, struct list *queue)
{
    size_t n = 0;
    for (size_t i = 0; i < queue->n; i++) {
        if (s->job[queue->p[i]].running) {
            s->line.p[n++] = queue->p[i];
        }
    }
    for (size_t i = 0; i < queue->n; i++) {
        if (!s->job[queue->p[i]].running) {
            s->line.p[n++] = queue->p[i];
        }
    }
    if (n > 0) {
        memcpy(queue->p, s->line.p, n * sizeof *queue->p);
    }
}

struct next {
    double arrival_s;
    double end_s;
    double jump_s;
};

static bool is_close(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

/*
 * Marks the jobs that end next; returns when, or infinity. For SRTF, SRSF and what is like them the published simulator makes one end of
 * those that are nearly equal: a job joins the first in order that it is close to, and ends at that one's time.
 */
static double mark_ends(struct sim *s)
{
    double least_s = INFINITY;
    for (size_t i = 0; i < s->live.n; i++) {
        const struct job *j = &s->job[s->live.p[i]];
        least_s = j->running ? fmin(least_s, j->end_s) : least_s;
    }
    bool near = s->published && !has_queues(s);
    /* Those that are further off than this are in no group with the first. */
    double last_s = near ? least_s + fabs(least_s) * 4e-9 : least_s;
    size_t best = SIZE_MAX;
    weir_vec_clear(&s->group);
    for (size_t i = 0; i < s->live.n; i++) {
        struct job *j = &s->job[s->live.p[i]];
        j->group = SIZE_MAX;
        if (!j->running || j->end_s > last_s) {
            continue;
        }
        size_t g = 0;
        while (g < s->group.n && !is_close(s->group.p[g], j->end_s)) {
            g++;
        }
        if (g == s->group.n) {
            weir_vec_push(&s->group, j->end_s);
            best = best == SIZE_MAX || j->end_s < s->group.p[best] ? g : best;
        }
        j->group = g;
    }
    for (size_t i = 0; i < s->live.n; i++) {
        struct job *j = &s->job[s->live.p[i]];
        j->ends = j->group != SIZE_MAX && j->group == best;
    }
    return best == SIZE_MAX ? INFINITY : s->group.p[best];
}

static struct next next_of(struct sim *s, double now_s)
{
    struct next next = {.arrival_s = INFINITY, .end_s = mark_ends(s), .jump_s = INFINITY};
    if (s->n_arrived < s->n) {
        next.arrival_s = s->job[s->n_arrived].spec->submit_s;
    }
    for (size_t i = 0; i < s->live.n; i++) {
        const struct job *j = &s->job[s->live.p[i]];
        if (j->running && has_queues(s)) {
            next.jump_s = fmin(next.jump_s, jump_of(s, j, now_s));
        }
    }
    return next;
}

static void step(struct sim *s, struct next next, double now_s)
{
    if (next.end_s == now_s) {
        for (size_t i = s->live.n; i-- > 0;) {
            if (s->job[s->live.p[i]].ends) {
                end(s, s->live.p[i], now_s);
            }
        }
    }
    while (next.arrival_s == now_s && s->n_arrived < s->n && s->job[s->n_arrived].spec->submit_s == now_s) {
        arrive(s);
    }
    for (size_t i = 0; i < s->live.n; i++) {
        progress(s, &s->job[s->live.p[i]], now_s);
        if (has_queues(s)) {
            demote(s, s->live.p[i], now_s);
        }
    }
    if (!has_queues(s)) {
        sort_live(s);
    }
    line_up(s);
    choose(s);
    if (!s->published) {
        settle(s);
    }
    apply(s, now_s);
    for (int q = 0; q < QUEUES; q++) {
        put_running_first(s, &s->queue[q]);
    }
}

static int cmp_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sum_up(const struct sim *s, struct weir_sim_result *result, struct weir_muri_outcome *ret)
{
    double *jct = weir_calloc(s->n, sizeof *jct);
    *ret = (struct weir_muri_outcome){.starts = s->starts};
    for (size_t i = 0; i < s->n; i++) {
        const struct job *j = &s->job[i];
        jct[i] = j->end_s - j->spec->submit_s;
        ret->avg_jct_s += jct[i];
        ret->makespan_s = fmax(ret->makespan_s, j->end_s);
        weir_sim_hash_u64(result, (uint64_t)j->spec->id);
        weir_sim_hash_u64(result, (uint64_t)(int64_t)(j->end_s * 1e6));
    }
    qsort(jct, s->n, sizeof *jct, cmp_double);
    ret->avg_jct_s /= (double)s->n;
    ret->p99_jct_s = jct[(size_t)(0.99 * (double)s->n)];
    free(jct);
}

/* ---- the bound ---- */

/* A job on the one machine that has all GPUs. */
struct load {
    double key;      /* the least goes first */
    double left_s;   /* on that machine */
    double length_s; /* there, in all */
};

struct heap {
    struct load *p;
    size_t n;
};

static void heap_push(struct heap *h, struct load v)
{
    size_t i = h->n++;
    while (i > 0 && h->p[(i - 1) / 2].key > v.key) {
        h->p[i] = h->p[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->p[i] = v;
}

static void heap_pop(struct heap *h)
{
    struct load v = h->p[--h->n];
    size_t i = 0;
    for (size_t k = 1; k < h->n; k = 2 * i + 1) {
        k += k + 1 < h->n && h->p[k + 1].key < h->p[k].key;
        if (h->p[k].key >= v.key) {
            break;
        }
        h->p[i] = h->p[k];
        i = k;
    }
    h->p[i] = v;
}

/*
 * The one machine's schedule. By what is left: the sum of the times from submission to end, which that order makes least. By
 * length: the sum of the times from submission to the middle of the work, averaged over it, which this order makes least
 * (Goemans' mean busy times).
 */
static double one_machine_s(const struct weir_muri_job *job, size_t n, struct weir_muri_cluster cluster, bool by_left)
{
    double gpus = (double)cluster.nodes * cluster.gpus_per_node;
    struct heap h = {.p = weir_calloc(n + 1, sizeof *h.p)};
    double now_s = 0;
    double sum_s = 0;
    size_t next = 0;
    while (next < n || h.n > 0) {
        if (h.n == 0) {
            now_s = fmax(now_s, job[next].submit_s);
        }
        while (next < n && job[next].submit_s <= now_s) {
            double length_s = job[next].iterations * job[next].iteration_s * job[next].gpus / gpus;
            heap_push(&h, (struct load){length_s, length_s, length_s});
            sum_s -= job[next].submit_s;
            next++;
        }
        struct load *first = &h.p[0];
        double end_s = now_s + first->left_s;
        bool ends = next == n || end_s <= job[next].submit_s;
        double until_s = ends ? end_s : job[next].submit_s;
        if (by_left) {
            sum_s += ends ? end_s : 0;
            first->key -= until_s - now_s; /* still the least: it only got less */
        } else {
            sum_s += (now_s + until_s) / 2 * ((until_s - now_s) / first->length_s);
        }
        first->left_s -= until_s - now_s;
        if (ends) {
            heap_pop(&h);
        }
        now_s = until_s;
    }
    free(h.p);
    return sum_s;
}

double weir_muri_bound_s(const struct weir_muri_job *job, size_t n, struct weir_muri_cluster cluster)
{
    double halves_s = 0;
    for (size_t i = 0; i < n; i++) {
        halves_s += job[i].iterations * job[i].iteration_s / 2;
    }
    /* A job that holds its GPUs while it works ends half its length after the middle of its work at the earliest. */
    return fmax(one_machine_s(job, n, cluster, true), one_machine_s(job, n, cluster, false) + halves_s) / (double)n;
}

void weir_muri_run(const struct weir_muri_run *run, struct weir_sim_result *result, struct weir_muri_outcome *ret)
{
    const struct weir_muri_job *job = run->job;
    struct weir_muri_cluster cluster = run->cluster;
    size_t n = run->n;
    struct sim s = {.cluster = cluster, .policy = run->policy, .published = run->published, .schedule = run->schedule, .n = n};
    s.job = weir_calloc(n, sizeof *s.job);
    s.free = weir_calloc(cluster.nodes, sizeof *s.free);
    size_t pieces = 0;
    for (size_t i = 0; i < n; i++) {
        pieces += job[i].gpus / cluster.gpus_per_node + 1;
    }
    struct piece *piece = weir_calloc(pieces * 2, sizeof *piece);
    struct piece *room = piece;
    for (size_t i = 0; i < n; i++) {
        size_t most = job[i].gpus / cluster.gpus_per_node + 1;
        s.job[i] = (struct job){.spec = &job[i], .left_iterations = job[i].iterations, .at = room, .was = room + most};
        s.job[i].left_s = job[i].iterations * job[i].iteration_s;
        room += most * 2;
    }
    double now_s = 0;
    while (s.n_arrived < n || s.live.n > 0) {
        struct next next = next_of(&s, now_s);
        now_s = fmin(fmin(next.arrival_s, next.end_s), next.jump_s);
        WEIR_ASSERT(isfinite(now_s)); /* every job fits the empty cluster */
        size_t over = s.n_arrived - s.live.n;
        step(&s, next, now_s);
        weir_sim_meter_add(run->meter, s.n_arrived - s.live.n - over);
    }
    sum_up(&s, result, ret);
    weir_vec_release(&s.live);
    weir_vec_release(&s.line);
    weir_vec_release(&s.group);
    for (int q = 0; q < QUEUES; q++) {
        weir_vec_release(&s.queue[q]);
    }
    free(s.free);
    free(piece);
    free(s.job);
}
