/* SPDX-License-Identifier: Apache-2.0 */

#include "spot_world.h"

#include <stdlib.h>

#include "base/mem.h"

#define US_PER_HOUR INT64_C(3600000000)

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a <= 0 ? 0 : (a - 1) / b + 1;
}

int64_t weir_sim_spot_ticks_left(const struct weir_sim_spot_view *v)
{
    int64_t left_us = v->task->deadline_us - v->tick * v->task->gap_us;
    return left_us <= 0 ? 0 : left_us / v->task->gap_us;
}

int64_t weir_sim_spot_ticks_needed(const struct weir_sim_spot_view *v, int64_t overheads)
{
    return ceil_div(v->left_us + overheads * v->task->overhead_us, v->task->gap_us);
}

void weir_sim_spot_run_release(struct weir_sim_spot_run *r)
{
    free(r->span);
    *r = (struct weir_sim_spot_run){0};
}

void weir_sim_spot_run_clear(struct weir_sim_spot_run *r)
{
    struct weir_sim_spot_span *span = r->span;
    size_t size = r->spans_size;
    *r = (struct weir_sim_spot_run){.span = span, .spans_size = size};
}

void weir_sim_spot_run_launch(struct weir_sim_spot_run *r, int64_t tick, struct weir_sim_spot_hold hold, int64_t n)
{
    if (r->n_spans == r->spans_size) {
        r->spans_size = r->spans_size == 0 ? 64 : r->spans_size * 2;
        r->span = weir_realloc(r->span, r->spans_size, sizeof *r->span);
    }
    r->span[r->n_spans++] = (struct weir_sim_spot_span){tick, tick, hold};
    weir_sim_spot_run_keep(r, n);
}

void weir_sim_spot_run_keep(struct weir_sim_spot_run *r, int64_t n)
{
    struct weir_sim_spot_span *last = &r->span[r->n_spans - 1];
    last->to += n;
    r->ticks[last->hold.kind] += n;
}

/* The deadline's guard, on what is held now: what went a moment ago counts as gone. */
static struct weir_sim_spot_hold guard(const struct weir_sim_spot_view *v, struct weir_sim_spot_hold wanted)
{
    if (weir_sim_spot_ticks_needed(v, 1) < weir_sim_spot_ticks_left(v)) {
        return wanted;
    }
    if (v->held.kind == WEIR_SIM_SPOT_SPOT && v->pending_us == 0) {
        return v->held;
    }
    return v->held.kind == WEIR_SIM_SPOT_ON_DEMAND ? v->held
                                                   : (struct weir_sim_spot_hold){WEIR_SIM_SPOT_ON_DEMAND, v->held.zone};
}

/* Credits the tick that has passed. */
static void credit(struct weir_sim_spot_view *v)
{
    if (v->held.kind == WEIR_SIM_SPOT_NONE) {
        return;
    }
    int64_t worked_us = v->pending_us < v->task->gap_us ? v->task->gap_us - v->pending_us : 0;
    v->pending_us -= v->task->gap_us - worked_us;
    v->left_us -= worked_us < v->left_us ? worked_us : v->left_us;
}

void weir_sim_spot_simulate(const struct weir_sim_spot_task *task, const struct weir_sim_spot_trace *trace,
                            weir_sim_spot_decide_fn *decide, void *state, struct weir_sim_spot_run *r)
{
    weir_sim_spot_run_clear(r);
    struct weir_sim_spot_view v = {.task = task, .left_us = task->work_us, .trace = trace};
    for (;; v.tick++) {
        credit(&v);
        if (v.left_us == 0) {
            return;
        }
        if (weir_sim_spot_ticks_left(&v) == 0 || (size_t)v.tick >= trace->n_ticks) {
            r->missed = true;
            return;
        }
        if (v.held.kind == WEIR_SIM_SPOT_SPOT && !weir_sim_spot_up(&v, v.held.zone)) {
            v.held.kind = WEIR_SIM_SPOT_NONE;
            v.pending_us = 0;
        }
        struct weir_sim_spot_hold hold = guard(&v, decide(state, &v));
        if (hold.kind == WEIR_SIM_SPOT_SPOT && !weir_sim_spot_up(&v, hold.zone)) {
            hold.kind = WEIR_SIM_SPOT_NONE;
        }
        if (hold.kind == WEIR_SIM_SPOT_NONE) {
            v.pending_us = 0;
        } else if (hold.kind != v.held.kind || hold.zone != v.held.zone) {
            v.pending_us = task->overhead_us;
            weir_sim_spot_run_launch(r, v.tick, hold, 1);
        } else {
            weir_sim_spot_run_keep(r, 1);
        }
        v.held = hold;
    }
}

double weir_sim_spot_cost_usd(const struct weir_sim_spot_task *task, const struct weir_sim_spot_run *r)
{
    double rates = 0;
    for (int k = 0; k < _WEIR_SIM_SPOT_KIND_MAX; k++) {
        rates += (double)r->ticks[k] * (double)task->rate[k];
    }
    return rates * ((double)task->gap_us / (double)US_PER_HOUR) / 1e6;
}
