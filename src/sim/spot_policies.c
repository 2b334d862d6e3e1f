/* SPDX-License-Identifier: Apache-2.0 */

#include "spot_policies.h"

typedef struct weir_sim_spot_hold hold_t;

static hold_t hold(enum weir_sim_spot_kind kind, const struct weir_sim_spot_view *v)
{
    return (hold_t){kind, v->held.zone};
}

static hold_t spot_or(enum weir_sim_spot_kind otherwise, const struct weir_sim_spot_view *v)
{
    return hold(weir_sim_spot_up(v, v->held.zone) ? WEIR_SIM_SPOT_SPOT : otherwise, v);
}

/* The published rules keep room for two launches: with less, a task that holds no spot machine goes on on-demand. */
static hold_t two_starts(const struct weir_sim_spot_view *v, hold_t wanted)
{
    if (v->held.kind != WEIR_SIM_SPOT_SPOT && weir_sim_spot_ticks_needed(v, 2) >= weir_sim_spot_ticks_left(v)) {
        wanted.kind = WEIR_SIM_SPOT_ON_DEMAND;
    }
    return wanted;
}

struct weir_sim_spot_hold weir_sim_spot_on_demand(void *state, const struct weir_sim_spot_view *v)
{
    (void)state;
    return hold(WEIR_SIM_SPOT_ON_DEMAND, v);
}

struct weir_sim_spot_hold weir_sim_spot_greedy(void *state, const struct weir_sim_spot_view *v)
{
    (void)state;
    return two_starts(v, spot_or(WEIR_SIM_SPOT_NONE, v));
}

/* Is the work that should be done by at_us more than what is done? In 128 bits: both factors are microseconds. */
static bool is_behind(const struct weir_sim_spot_view *v, int64_t at_us, bool or_even)
{
    __extension__ __int128 due = (__int128)at_us * v->task->work_us;
    __extension__ __int128 done = (__int128)(v->task->work_us - v->left_us) * v->task->deadline_us;
    return due > done || (or_even && due == done);
}

static hold_t uniform_progress(const struct weir_sim_spot_view *v, int64_t margin_overheads)
{
    int64_t now_us = v->tick * v->task->gap_us;
    bool up = weir_sim_spot_up(v, v->held.zone);
    hold_t wanted = spot_or(is_behind(v, now_us, false) ? WEIR_SIM_SPOT_ON_DEMAND : WEIR_SIM_SPOT_NONE, v);
    if (v->held.kind == WEIR_SIM_SPOT_ON_DEMAND &&
        (!up || (margin_overheads > 0 && is_behind(v, now_us + margin_overheads * v->task->overhead_us, true)))) {
        wanted.kind = WEIR_SIM_SPOT_ON_DEMAND;
    }
    return two_starts(v, wanted);
}

struct weir_sim_spot_hold weir_sim_spot_uniform_progress(void *state, const struct weir_sim_spot_view *v)
{
    (void)state;
    return uniform_progress(v, 2);
}

struct weir_sim_spot_hold weir_sim_spot_uniform_progress_eager(void *state, const struct weir_sim_spot_view *v)
{
    (void)state;
    return uniform_progress(v, 0);
}

struct weir_sim_spot_hold weir_sim_spot_slack_rule(void *state, const struct weir_sim_spot_view *v)
{
    (void)state;
    int64_t gap_us = v->task->gap_us;
    int64_t slack_us = v->task->deadline_us - v->tick * gap_us - v->left_us - v->task->overhead_us;
    if (slack_us <= gap_us) {
        /* No room for a launch that fails: what is held is kept. */
        return v->held.kind == WEIR_SIM_SPOT_SPOT ? v->held : hold(WEIR_SIM_SPOT_ON_DEMAND, v);
    }
    bool wait = v->held.kind != WEIR_SIM_SPOT_ON_DEMAND && slack_us > 2 * gap_us + v->left_us / 10;
    return spot_or(wait ? WEIR_SIM_SPOT_NONE : WEIR_SIM_SPOT_ON_DEMAND, v);
}

struct weir_sim_spot_hold weir_sim_spot_time_sliced(void *state, const struct weir_sim_spot_view *v)
{
    (void)state;
    const struct weir_sim_spot_task *t = v->task;
    int64_t per_slice = INT64_C(3600000000) / t->gap_us; /* ticks */
    per_slice = per_slice == 0 ? 1 : per_slice;
    /* The line's point at the slice's end: what earlier slices are ahead of it may be spent. */
    int64_t end_us = (v->tick / per_slice + 1) * per_slice * t->gap_us;
    end_us = end_us > t->deadline_us ? t->deadline_us : end_us;
    __extension__ __int128 due_us = (__int128)t->work_us * end_us / t->deadline_us;
    int64_t needed_us = (int64_t)due_us - (t->work_us - v->left_us) + t->overhead_us;
    int64_t need = needed_us <= 0 ? 0 : (needed_us - 1) / t->gap_us + 1;
    int64_t have = (end_us - v->tick * t->gap_us) / t->gap_us;
    hold_t wanted = spot_or(WEIR_SIM_SPOT_NONE, v);
    if (need >= have) {
        wanted = v->held.kind == WEIR_SIM_SPOT_SPOT && v->pending_us == 0 ? v->held : hold(WEIR_SIM_SPOT_ON_DEMAND, v);
    }
    return two_starts(v, wanted);
}

struct weir_sim_spot_hold weir_sim_spot_round_robin(void *state, const struct weir_sim_spot_view *v)
{
    (void)state;
    if (weir_sim_spot_up(v, v->held.zone)) {
        return hold(WEIR_SIM_SPOT_SPOT, v);
    }
    if (is_behind(v, v->tick * v->task->gap_us, false)) {
        return hold(WEIR_SIM_SPOT_ON_DEMAND, v);
    }
    return (hold_t){WEIR_SIM_SPOT_NONE, (uint32_t)((v->held.zone + 1) % v->trace->n_zones)};
}

struct weir_sim_spot_hold weir_sim_spot_slack_any_zone(void *state, const struct weir_sim_spot_view *v)
{
    (void)state;
    const struct weir_sim_spot_task *t = v->task;
    int64_t now_us = v->tick * t->gap_us;
    int64_t time_us = t->deadline_us - now_us;
    bool pressed = time_us * 20 <= (v->left_us + t->overhead_us) * 21;
    for (size_t i = 0; i < v->trace->n_zones; i++) {
        /* The zone that is held comes first, then in their order; where time presses, no other is looked at. */
        size_t zone = i == 0 ? v->held.zone : i - (i <= v->held.zone ? 1 : 0);
        if (weir_sim_spot_up(v, zone) && (i == 0 || !pressed)) {
            return (hold_t){WEIR_SIM_SPOT_SPOT, (uint32_t)zone};
        }
    }
    int64_t slack_us = time_us - v->left_us;
    int64_t least_us = t->deadline_us / 20 > INT64_C(3600000000) ? t->deadline_us / 20 : INT64_C(3600000000);
    if (pressed || is_behind(v, now_us, false) || slack_us <= least_us) {
        return hold(WEIR_SIM_SPOT_ON_DEMAND, v);
    }
    hold_t none = hold(WEIR_SIM_SPOT_NONE, v);
    none.zone = v->tick % 10 == 0 ? (uint32_t)((none.zone + 1) % v->trace->n_zones) : none.zone;
    return none;
}
