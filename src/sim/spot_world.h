/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The world of the spot suites: one task with a deadline, zones whose spot machines come and go by a trace, and an
 * on-demand machine that can always be had. Time runs in ticks. At each tick the past tick is billed and credited (a
 * tick held is billed whole; a launch first burns the overhead), then it is seen which zones have spot, a spot machine
 * that went is lost, and the policy says what to hold in the next tick. A launch, or a switch of kind or zone, burns the
 * overhead anew. Whatever a policy says, the deadline is guarded: where only on-demand, launched now, is still certain to
 * end in time, a productive spot machine is kept, and else on-demand is held.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum weir_sim_spot_kind {
    WEIR_SIM_SPOT_NONE,
    WEIR_SIM_SPOT_SPOT,
    WEIR_SIM_SPOT_ON_DEMAND,
    _WEIR_SIM_SPOT_KIND_MAX,
};

enum { WEIR_SIM_SPOT_ZONES_MAX = 64 };

/* What the task is and what machines cost. */
struct weir_sim_spot_task {
    int64_t gap_us; /* of a tick */
    int64_t work_us;
    int64_t deadline_us;
    int64_t overhead_us;
    int64_t rate[_WEIR_SIM_SPOT_KIND_MAX]; /* micro-USD an hour */
};

/* Spot by zone and tick: '1' where a machine could be had. Borrowed. */
struct weir_sim_spot_trace {
    const char *up[WEIR_SIM_SPOT_ZONES_MAX];
    size_t n_zones;
    size_t n_ticks; /* of each; at least the deadline's */
};

struct weir_sim_spot_hold {
    enum weir_sim_spot_kind kind;
    uint32_t zone; /* where; for on-demand it makes no difference but that a move is a switch */
};

/* What a policy may know: the past and now, never the rest of the trace. */
struct weir_sim_spot_view {
    const struct weir_sim_spot_task *task;
    int64_t tick;
    int64_t left_us;    /* work that is not done */
    int64_t pending_us; /* overhead that what is held must still burn */
    struct weir_sim_spot_hold held; /* after a loss: none, in the zone where it was lost */
    const struct weir_sim_spot_trace *trace; /* to be read through weir_sim_spot_up */
};

/* Has the zone spot now? */
static inline bool weir_sim_spot_up(const struct weir_sim_spot_view *v, size_t zone)
{
    return v->trace->up[zone][v->tick] == '1';
}

/* Ticks to the deadline, floored; and those that on-demand needs with so many overheads, ceiled. */
int64_t weir_sim_spot_ticks_left(const struct weir_sim_spot_view *v);
int64_t weir_sim_spot_ticks_needed(const struct weir_sim_spot_view *v, int64_t overheads);

/* state is the policy's own, kept over one scenario. */
typedef struct weir_sim_spot_hold weir_sim_spot_decide_fn(void *state, const struct weir_sim_spot_view *v);

/* A stretch of one machine held: ticks from..to, to excluded. */
struct weir_sim_spot_span {
    int64_t from;
    int64_t to;
    struct weir_sim_spot_hold hold;
};

struct weir_sim_spot_run {
    int64_t ticks[_WEIR_SIM_SPOT_KIND_MAX]; /* held */
    bool missed; /* not finished at the deadline; the task is then left there */
    struct weir_sim_spot_span *span; /* what was held, in order, each begun by a launch */
    size_t n_spans;
    size_t spans_size;
};

void weir_sim_spot_run_clear(struct weir_sim_spot_run *r); /* keeps the memory */
/* A machine is launched at tick, and held for n ticks. */
void weir_sim_spot_run_launch(struct weir_sim_spot_run *r, int64_t tick, struct weir_sim_spot_hold hold, int64_t n);
/* The machine launched last is held for n ticks more. */
void weir_sim_spot_run_keep(struct weir_sim_spot_run *r, int64_t n);
void weir_sim_spot_run_release(struct weir_sim_spot_run *r);

/* Runs one scenario. r may have been used before. */
void weir_sim_spot_simulate(const struct weir_sim_spot_task *task, const struct weir_sim_spot_trace *trace,
                            weir_sim_spot_decide_fn *decide, void *state, struct weir_sim_spot_run *r);

/* What was paid, in USD. */
double weir_sim_spot_cost_usd(const struct weir_sim_spot_task *task, const struct weir_sim_spot_run *r);
