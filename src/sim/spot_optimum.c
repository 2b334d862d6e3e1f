/* SPDX-License-Identifier: Apache-2.0 */

#include "spot_optimum.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    IDLE = 0,      /* modes: nothing held, on-demand, then spot by zone */
    ON_DEMAND = 1,
    SPOT = 2,
    MODES_MAX = SPOT + WEIR_SIM_SPOT_ZONES_MAX,
    VALUES_MAX = 1 << 21,
    FAR = INT32_MAX / 2,
};

#define STATES_MAX ((size_t)1 << 26) /* bytes that the way back takes */

struct weir_sim_spot_optimum {
    struct weir_sim_spot_task task;
    size_t n_modes;
    int64_t n_ticks;     /* to the deadline */
    int64_t launch_ticks; /* that a launch takes at least: an interrupted one gains nothing */
    int32_t rate[MODES_MAX]; /* of a tick, in the largest unit in which all are whole */
    size_t n_values;
    int64_t *lost_us;    /* time not worked on, ascending; at most what the deadline leaves */
    int32_t *after_idle; /* index of lost_us + a tick; -1: too much */
    int32_t *after_launch;
    int32_t *cost;       /* ring of layers: [tick % layers][mode][value] */
    int32_t *best;       /* [tick % layers][value]: the least over the modes, and which */
    uint8_t *best_mode;  /* [tick][value] */
    uint8_t *launched;   /* [tick][mode][value]: 1 where the state was reached by a launch */
};

static int compare_i64(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* All sums of idle ticks and overheads up to slack_us; 0: too many. */
static size_t list_values(int64_t slack_us, int64_t gap_us, int64_t overhead_us, int64_t **ret)
{
    size_t n = 0;
    for (int64_t idle = 0; idle <= slack_us; idle += gap_us) {
        n += overhead_us == 0 ? 1 : (size_t)((slack_us - idle) / overhead_us) + 1;
        if (n > VALUES_MAX) {
            return 0;
        }
    }
    int64_t *v = weir_calloc(n, sizeof *v);
    n = 0;
    for (int64_t idle = 0; idle <= slack_us; idle += gap_us) {
        int64_t launches = overhead_us == 0 ? 0 : (slack_us - idle) / overhead_us;
        for (int64_t k = 0; k <= launches; k++) {
            v[n++] = idle + k * overhead_us;
        }
    }
    qsort(v, n, sizeof *v, compare_i64);
    size_t unique = 0;
    for (size_t i = 0; i < n; i++) {
        if (unique == 0 || v[unique - 1] != v[i]) {
            v[unique++] = v[i];
        }
    }
    *ret = v;
    return unique;
}

/* For each value the index of that value and add_us more. */
static int32_t *list_after(const int64_t *value, size_t n, int64_t add_us)
{
    int32_t *after = weir_calloc(n, sizeof *after);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        while (k < n && value[k] < value[i] + add_us) {
            k++;
        }
        after[i] = k < n ? (int32_t)k : -1;
    }
    return after;
}

void weir_sim_spot_optimum_freep(struct weir_sim_spot_optimum **o)
{
    if (*o != NULL) {
        free((*o)->lost_us);
        free((*o)->after_idle);
        free((*o)->after_launch);
        free((*o)->cost);
        free((*o)->best);
        free((*o)->best_mode);
        free((*o)->launched);
        free(*o);
        *o = NULL;
    }
}

struct weir_sim_spot_optimum *weir_sim_spot_optimum_new(const struct weir_sim_spot_task *task, size_t n_zones)
{
    WEIR_ASSERT(n_zones <= WEIR_SIM_SPOT_ZONES_MAX);
    WEIR_ASSERT(task->rate[WEIR_SIM_SPOT_SPOT] <= task->rate[WEIR_SIM_SPOT_ON_DEMAND]);
    WEIR_CLEANUP(weir_sim_spot_optimum_freep) struct weir_sim_spot_optimum *o = weir_alloc(sizeof *o);
    o->task = *task;
    o->n_modes = SPOT + n_zones;
    o->n_ticks = task->deadline_us / task->gap_us;
    o->launch_ticks = task->overhead_us == 0 ? 1 : (task->overhead_us - 1) / task->gap_us + 1;
    int64_t unit = gcd(task->rate[WEIR_SIM_SPOT_SPOT], task->rate[WEIR_SIM_SPOT_ON_DEMAND]);
    unit = unit == 0 ? 1 : unit;
    int64_t slack_us = o->n_ticks * task->gap_us - task->work_us;
    if (task->rate[WEIR_SIM_SPOT_ON_DEMAND] / unit >= FAR / (o->n_ticks + o->launch_ticks + 1)) {
        return NULL;
    }
    for (size_t m = 0; m < o->n_modes; m++) {
        int64_t rate = m == IDLE        ? 0
                       : m == ON_DEMAND ? task->rate[WEIR_SIM_SPOT_ON_DEMAND]
                                        : task->rate[WEIR_SIM_SPOT_SPOT];
        o->rate[m] = (int32_t)(rate / unit);
    }
    if (slack_us >= 0) {
        o->n_values = list_values(slack_us, task->gap_us, task->overhead_us, &o->lost_us);
        size_t states = o->n_values * o->n_modes;
        if (o->n_values == 0 || states > STATES_MAX / (size_t)(o->n_ticks + 1)) {
            return NULL;
        }
        size_t layers = (size_t)o->launch_ticks + 1;
        o->after_idle = list_after(o->lost_us, o->n_values, task->gap_us);
        o->after_launch = list_after(o->lost_us, o->n_values, task->overhead_us);
        o->cost = weir_calloc(layers * states, sizeof *o->cost);
        o->best = weir_calloc(o->n_values, sizeof *o->best);
        o->best_mode = weir_calloc((size_t)(o->n_ticks + 1) * o->n_values, 1);
        o->launched = weir_calloc((size_t)(o->n_ticks + 1) * states, 1);
    }
    return WEIR_TAKE(o);
}

static int32_t *layer(struct weir_sim_spot_optimum *o, int64_t tick, size_t mode)
{
    size_t at = (size_t)(tick % (o->launch_ticks + 1));
    return o->cost + (at * o->n_modes + mode) * o->n_values;
}

static uint8_t *launched(struct weir_sim_spot_optimum *o, int64_t tick, size_t mode)
{
    return o->launched + ((size_t)tick * o->n_modes + mode) * o->n_values;
}

static void clear_layer(struct weir_sim_spot_optimum *o, int64_t tick)
{
    int32_t *cost = layer(o, tick, 0);
    for (size_t i = 0; i < o->n_modes * o->n_values; i++) {
        cost[i] = FAR;
    }
}

/* The least over the modes at this tick, for the n lowest values. */
static void find_best(struct weir_sim_spot_optimum *o, int64_t tick, size_t n)
{
    uint8_t *mode = o->best_mode + (size_t)tick * o->n_values;
    memcpy(o->best, layer(o, tick, IDLE), n * sizeof *o->best);
    memset(mode, IDLE, n);
    for (size_t m = 1; m < o->n_modes; m++) {
        const int32_t *cost = layer(o, tick, m);
        for (size_t i = 0; i < n; i++) {
            bool less = cost[i] < o->best[i];
            o->best[i] = less ? cost[i] : o->best[i];
            mode[i] = less ? (uint8_t)m : mode[i];
        }
    }
}

static bool is_up(const struct weir_sim_spot_trace *trace, size_t mode, int64_t from, int64_t to)
{
    for (int64_t t = from; t < to && mode >= SPOT; t++) {
        if (trace->up[mode - SPOT][t] != '1') {
            return false;
        }
    }
    return true;
}

/* From the states of a tick to those that follow. */
static void expand(struct weir_sim_spot_optimum *o, const struct weir_sim_spot_trace *trace, int64_t tick, size_t n)
{
    int32_t *idle = layer(o, tick + 1, IDLE);
    for (size_t i = 0; i < n && o->after_idle[i] >= 0; i++) {
        idle[o->after_idle[i]] = o->best[i];
    }
    for (size_t m = ON_DEMAND; m < o->n_modes; m++) {
        if (is_up(trace, m, tick, tick + 1)) {
            const int32_t *from = layer(o, tick, m);
            int32_t *to = layer(o, tick + 1, m);
            uint8_t *flag = launched(o, tick + 1, m);
            for (size_t i = 0; i < n; i++) {
                int32_t cost = from[i] + o->rate[m];
                bool less = cost < to[i];
                to[i] = less ? cost : to[i];
                flag[i] = less ? 0 : flag[i];
            }
        }
        int64_t end = tick + o->launch_ticks;
        if (end > o->n_ticks || !is_up(trace, m, tick, end)) {
            continue;
        }
        int32_t rate = o->rate[m] * (int32_t)o->launch_ticks;
        int32_t *to = layer(o, end, m);
        uint8_t *flag = launched(o, end, m);
        for (size_t i = 0; i < n && o->after_launch[i] >= 0; i++) {
            int32_t cost = o->best[i] + rate;
            size_t k = (size_t)o->after_launch[i];
            if (cost < to[k]) {
                to[k] = cost;
                flag[k] = 1;
            }
        }
    }
}

/* Walks back from the cheapest end and writes the spans, last first, then turns them round. */
static void trace_back(struct weir_sim_spot_optimum *o, int64_t tick, size_t mode, size_t value, struct weir_sim_spot_run *r)
{
    int64_t held = 0;
    while (tick > 0) {
        if (mode == IDLE) {
            tick--;
            /* The state before is the one whose idle tick led here. */
            const int64_t want_us = o->lost_us[value] - o->task.gap_us;
            const int64_t *at = bsearch(&want_us, o->lost_us, o->n_values, sizeof *at, compare_i64);
            value = (size_t)(at - o->lost_us);
            mode = o->best_mode[(size_t)tick * o->n_values + value];
        } else if (launched(o, tick, mode)[value] == 0) {
            tick--;
            held++;
        } else {
            tick -= o->launch_ticks;
            struct weir_sim_spot_hold hold = {mode == ON_DEMAND ? WEIR_SIM_SPOT_ON_DEMAND : WEIR_SIM_SPOT_SPOT,
                                              mode == ON_DEMAND ? 0 : (uint32_t)(mode - SPOT)};
            weir_sim_spot_run_launch(r, tick, hold, held + o->launch_ticks);
            held = 0;
            const int64_t want_us = o->lost_us[value] - o->task.overhead_us;
            const int64_t *at = bsearch(&want_us, o->lost_us, o->n_values, sizeof *at, compare_i64);
            value = (size_t)(at - o->lost_us);
            mode = o->best_mode[(size_t)tick * o->n_values + value];
        }
    }
    for (size_t i = 0, k = r->n_spans; i + 1 < k; i++) {
        struct weir_sim_spot_span swap = r->span[i];
        r->span[i] = r->span[--k];
        r->span[k] = swap;
    }
}

void weir_sim_spot_optimum_solve(struct weir_sim_spot_optimum *o, const struct weir_sim_spot_trace *trace,
                                 struct weir_sim_spot_run *r)
{
    weir_sim_spot_run_clear(r);
    r->missed = true;
    if (o->n_values == 0) {
        return;
    }
    memset(o->launched, 0, (size_t)(o->n_ticks + 1) * o->n_modes * o->n_values);
    for (int64_t t = 0; t <= o->launch_ticks; t++) {
        clear_layer(o, t);
    }
    layer(o, 0, IDLE)[0] = 0;
    int32_t least = FAR;
    int64_t end_tick = 0;
    size_t end_value = 0;
    size_t n = 0;
    for (int64_t tick = 0; tick <= o->n_ticks; tick++) {
        /* No more time can have been lost than has passed. */
        while (n < o->n_values && o->lost_us[n] <= tick * o->task.gap_us) {
            n++;
        }
        find_best(o, tick, n);
        /* Ends: all work done. Later states only add to the time lost at no less cost. */
        for (size_t i = 0; i < n && tick * o->task.gap_us - o->lost_us[i] >= o->task.work_us; i++) {
            if (o->best[i] < least) {
                least = o->best[i];
                end_tick = tick;
                end_value = i;
            }
        }
        if (tick < o->n_ticks) {
            expand(o, trace, tick, n);
        }
        clear_layer(o, tick);
    }
    if (least < FAR) {
        r->missed = false;
        trace_back(o, end_tick, o->best_mode[(size_t)end_tick * o->n_values + end_value], end_value, r);
    }
}
