/* SPDX-License-Identifier: Apache-2.0 */

/* Tasks and their runs: what they hold, how far they are, what they have saved, how they end. */

#include <string.h>

#include "base/mem.h"
#include "world_priv.h"

enum { FORGET_MIN = 4096 };

/* ---- slots ---- */

void weir_world_task_add(struct weir_sim_world *w, const struct task *task)
{
    uint32_t slot = 0;
    uint32_t turn = 0;
    if (w->free_tasks.n > 0) {
        slot = w->free_tasks.p[--w->free_tasks.n];
        turn = w->tasks.p[slot].turn;
    } else {
        WEIR_ASSERT(w->tasks.n < UINT32_MAX);
        slot = (uint32_t)w->tasks.n;
        weir_vec_push(&w->tasks, (struct task){0});
    }
    w->tasks.p[slot] = *task;
    w->tasks.p[slot].turn = turn;
    WEIR_ASSERT(task->job == w->oldest_job + w->slot_of.n);
    weir_vec_push(&w->slot_of, slot);
    w->n_live++;
}

struct task *weir_world_task_of(struct weir_sim_world *w, uint64_t job, uint32_t *ret_slot)
{
    uint64_t i = job - w->oldest_job; /* of an older one: beyond all */
    if (i >= w->slot_of.n || w->slot_of.p[i] == UINT32_MAX) {
        return NULL;
    }
    *ret_slot = w->slot_of.p[i];
    return &w->tasks.p[*ret_slot];
}

/* It is over, and holds nothing. */
static void forget(struct weir_sim_world *w, uint32_t slot)
{
    struct task *t = &w->tasks.p[slot];
    w->slot_of.p[t->job - w->oldest_job] = UINT32_MAX;
    t->job = 0;
    t->turn++;
    weir_vec_push(&w->free_tasks, slot);
    while (w->n_over < w->slot_of.n && w->slot_of.p[w->n_over] == UINT32_MAX) {
        w->n_over++;
    }
    if (w->n_over >= FORGET_MIN && w->n_over > w->slot_of.n / 2) {
        w->slot_of.n -= w->n_over;
        memmove(w->slot_of.p, w->slot_of.p + w->n_over, w->slot_of.n * sizeof *w->slot_of.p);
        w->oldest_job += w->n_over;
        w->n_over = 0;
    }
}

static void tell_end(struct weir_sim_world *w, struct task *t, enum weir_task_state state)
{
    t->over = true;
    w->n_live--;
    w->moved_us = w->now_us;
    if (w->watch.ended != NULL) {
        w->watch.ended(w->watch.user, t->tag, (struct weir_wall){w->now_us}, state);
    }
}

/* ---- what a run holds ---- */

/* How many GPUs of those that a rank was given the task makes use of. */
static uint32_t gpus_of_rank(const struct task *t, uint32_t each, uint32_t rank)
{
    uint32_t before = each * rank;
    return before >= t->gpus ? 0 : t->gpus - before < each ? t->gpus - before : each;
}

static void begin_attempt(struct weir_sim_world *w, struct task *t, uint32_t attempt)
{
    t->attempt = attempt;
    t->told = 0;
    t->from_us = w->now_us;
    t->work_from_us = INT64_MAX;
    t->saved_us = 0;
    t->throughput = UINT32_MAX;
    t->stop_reason = WEIR_REASON_NONE;
    t->rented = false;
    t->fails = false;
    w->n_running++;
    w->moved_us = w->now_us;
}

void weir_world_run_segment_open(struct weir_sim_world *w, const struct weir_effect *e)
{
    uint32_t slot = 0;
    struct task *t = weir_world_task_of(w, e->run.task.job.v, &slot);
    WEIR_ASSERT(t != NULL);
    if (t->open == 0) {
        begin_attempt(w, t, e->run.attempt);
    }
    t->open++;
    struct machine *m = weir_world_machine_of(w, e->node, e->lease);
    weir_vec_push(&m->tenants, (struct tenant){slot, e->rank});
}

static void leave(struct machine *m, uint32_t slot, uint32_t rank)
{
    for (size_t i = 0; i < m->tenants.n; i++) {
        if (m->tenants.p[i].slot == slot && m->tenants.p[i].rank == rank) {
            m->tenants.p[i] = m->tenants.p[--m->tenants.n];
            return;
        }
    }
    WEIR_UNREACHABLE();
}

/* The attempt is over: what it saved need not be done again. */
static void end_attempt(struct weir_sim_world *w, struct task *t)
{
    if (t->saved_us > t->work_from_us) {
        int64_t done = t->saved_us - t->work_from_us;
        if (t->reference != 0) {
            done = weir_mul_div_sat(done, t->throughput, t->reference);
        }
        t->work_us = t->work_us > done ? t->work_us - done : 0;
        t->again = true;
    }
    t->turn++;
    w->n_running--;
    w->moved_us = w->now_us;
}

void weir_world_run_segment_close(struct weir_sim_world *w, const struct weir_effect *e)
{
    uint32_t slot = 0;
    struct task *t = weir_world_task_of(w, e->run.task.job.v, &slot);
    WEIR_ASSERT(t != NULL && t->open > 0);
    struct machine *m = weir_world_machine_of(w, e->node, e->lease);
    leave(m, slot, e->rank);
    if (w->watch.piece != NULL) {
        enum weir_outcome outcome = (enum weir_outcome)e->u.segment.outcome;
        uint32_t gpus = gpus_of_rank(t, e->u.segment.gpus, e->rank);
        const struct rental *rented = e->lease.v == 0 ? NULL : weir_world_rental_of(w, e->lease.v);
        struct weir_sim_piece piece = {
            .tag = t->tag,
            .attempt = t->attempt,
            .rank = e->rank,
            .pool = m->pool,
            .node = e->lease.v != 0 ? e->lease.v : e->node.v - 1,
            .rented = e->lease.v != 0,
            .gpus = gpus,
            .from = {t->from_us},
            .to = e->at,
            .outcome = outcome == WEIR_OUTCOME_PENDING ? WEIR_OUTCOME_USED : outcome, /* ranks succeed and fail together here */
            .kept_until = e->u.segment.kept_until,
            .cost = rented == NULL ? 0 : weir_world_market_cost(w, rented, gpus, t->from_us, e->at.us),
            .offer = rented == NULL ? NULL : &rented->offer,
        };
        w->watch.piece(w->watch.user, &piece);
    }
    if (--t->open == 0) {
        end_attempt(w, t);
    }
}

/* ---- beginning ---- */

static struct weir_event run_event(const struct weir_sim_world *w, const struct task *t, enum weir_event_kind kind)
{
    struct weir_event ev = {.kind = kind};
    ev.u.run.run = (struct weir_run_id){{{t->job}, 0}, t->attempt};
    ev.u.run.all_ranks = kind == WEIR_EVENT_RUN_STARTED;
    ev.u.run.at.us = w->now_us;
    return ev;
}

/* The work begins now. */
static void begin_work(struct weir_sim_world *w, uint32_t slot)
{
    struct task *t = &w->tasks.p[slot];
    t->work_from_us = weir_i64_add_sat(w->now_us, t->again ? w->faults.restart.us : 0);
    int64_t work = t->work_us;
    if (t->reference != 0 && t->reference != t->throughput) {
        work = weir_mul_div_sat(work, t->reference, t->throughput == 0 ? 1 : t->throughput);
    }
    int64_t end = weir_i64_add_sat(t->work_from_us, work);
    if (w->faults.task_failures_per_hour > 0) {
        double after = weir_world_exponential(w, DRAW_TASK_FAILURE, t->tag, t->attempt);
        int64_t fails = weir_i64_add_sat(w->now_us, weir_world_until(w->faults.task_failures_per_hour, after));
        t->fails = fails < end;
        end = t->fails ? fails : end;
    }
    weir_world_schedule(w, end, HAPPENS_END, t->job, slot, t->turn);
}

void weir_world_run_start(struct weir_sim_world *w, const struct weir_effect *e)
{
    uint32_t slot = 0;
    struct task *t = weir_world_task_of(w, e->run.task.job.v, &slot);
    const struct machine *m = weir_world_machine_of(w, e->node, e->lease);
    t->throughput = m->throughput < t->throughput ? m->throughput : t->throughput;
    t->rented = t->rented || e->lease.v != 0;
    int64_t lead_us = 0;
    if (t->stage_bytes > 0 && e->lease.v != 0) {
        lead_us = weir_mul_div_sat((int64_t)t->stage_bytes, WEIR_US_PER_S, (int64_t)w->faults.link_bytes_per_s);
    }
    if (w->watch.started != NULL) {
        w->watch.started(w->watch.user, t->tag, (struct weir_wall){weir_i64_add_sat(w->now_us, lead_us)},
                         e->lease.v == 0 ? (int64_t)e->node.v - 1 : -1,
                         gpus_of_rank(t, (uint32_t)__builtin_popcount(e->u.run_start.gpu_mask), e->rank));
    }
    if (++t->told < t->nodes) {
        return;
    }
    if (t->stage_bytes > 0) {
        weir_world_schedule(w, weir_i64_add_sat(w->now_us, lead_us), HAPPENS_STARTED, t->job, slot, t->turn);
    } else {
        weir_world_run_began(w, slot);
    }
}

void weir_world_run_began(struct weir_sim_world *w, uint32_t slot)
{
    struct weir_event ev = run_event(w, &w->tasks.p[slot], WEIR_EVENT_RUN_STARTED);
    weir_world_report(w, &ev);
    begin_work(w, slot);
}

/* ---- saving ---- */

/* The last checkpoint before then is reported: the last that was due, or (whole) one of all that was done. */
static void save(struct weir_sim_world *w, uint32_t slot, int64_t until_us, bool whole)
{
    struct task *t = &w->tasks.p[slot];
    if (t->checkpoint_every_us <= 0 || t->work_from_us >= until_us) {
        return;
    }
    int64_t done = until_us - t->work_from_us;
    int64_t at = t->work_from_us + (whole ? done : done / t->checkpoint_every_us * t->checkpoint_every_us);
    if (at <= t->work_from_us || at <= t->saved_us) {
        return;
    }
    t->saved_us = at;
    struct weir_event ev = run_event(w, t, WEIR_EVENT_RUN_CHECKPOINTED);
    ev.u.run.at.us = at;
    weir_world_step(w, &ev);
}

void weir_world_run_save_all(struct weir_sim_world *w, const struct machine *m)
{
    for (size_t i = 0; i < m->tenants.n; i++) {
        uint32_t slot = m->tenants.p[i].slot;
        if (w->tasks.p[slot].stop_reason == WEIR_REASON_NONE) {
            save(w, slot, w->now_us, false);
        }
    }
}

/* ---- ending ---- */

static struct weir_event end_event(const struct weir_sim_world *w, const struct task *t, enum weir_reason reason)
{
    struct weir_event ev = {.kind = WEIR_EVENT_RUN_ENDED};
    ev.u.run_ended.run = (struct weir_run_id){{{t->job}, 0}, t->attempt};
    ev.u.run_ended.at.us = w->now_us;
    ev.u.run_ended.reason = (uint8_t)reason;
    return ev;
}

static void end_all_ranks(struct weir_sim_world *w, uint32_t slot, enum weir_reason reason, int32_t code)
{
    struct weir_event ev = end_event(w, &w->tasks.p[slot], reason);
    ev.u.run_ended.all_ranks = true;
    ev.u.run_ended.exit_code = code;
    weir_world_step(w, &ev);
}

void weir_world_run_end(struct weir_sim_world *w, uint32_t slot)
{
    struct task *t = &w->tasks.p[slot];
    if (t->open < t->nodes) {
        return; /* a rank of the gang was lost, and the others have been told to stop */
    }
    if (t->fails) {
        save(w, slot, w->now_us, false);
        end_all_ranks(w, slot, WEIR_REASON_EXIT, 1);
        return;
    }
    end_all_ranks(w, slot, WEIR_REASON_EXIT, 0);
    WEIR_ASSERT(t->open == 0);
    tell_end(w, t, WEIR_TASK_SUCCEEDED);
    forget(w, slot);
}

/* What is told to stop saves first, where it can and there is time. */
void weir_world_run_stop(struct weir_sim_world *w, const struct weir_effect *e)
{
    uint32_t slot = 0;
    struct task *t = weir_world_task_of(w, e->run.task.job.v, &slot);
    if (t == NULL || t->attempt != e->run.attempt || t->stop_reason != WEIR_REASON_NONE) {
        return;
    }
    int64_t need = t->checkpoint_every_us > 0 ? t->checkpoint_grace_us : 0;
    int64_t has = e->u.run_stop.grace.us;
    t->stop_reason = e->u.run_stop.reason;
    t->stopped_us = w->now_us;
    t->saves = need <= has;
    weir_world_schedule(w, weir_i64_add_sat(w->now_us, need < has ? need : has), HAPPENS_STOPPED, t->job, slot, t->turn);
}

void weir_world_run_stopped(struct weir_sim_world *w, uint32_t slot)
{
    const struct task *t = &w->tasks.p[slot];
    save(w, slot, t->stopped_us, t->saves);
    end_all_ranks(w, slot, (enum weir_reason)t->stop_reason, 0);
}

void weir_world_run_lose_all(struct weir_sim_world *w, struct machine *m)
{
    while (m->tenants.n > 0) {
        size_t before = m->tenants.n;
        struct tenant x = m->tenants.p[0];
        struct weir_event ev = end_event(w, &w->tasks.p[x.slot], WEIR_REASON_NODE_LOST);
        ev.u.run_ended.rank = x.rank;
        weir_world_step(w, &ev);
        WEIR_ASSERT(m->tenants.n < before);
    }
}

void weir_world_run_look(struct weir_sim_world *w, struct weir_task_id id)
{
    uint32_t slot = 0;
    struct weir_task_view v;
    struct task *t = weir_world_task_of(w, id.job.v, &slot);
    if (t == NULL || t->over || !weir_core_task(w->core, id, &v) || !weir_task_state_is_final(v.state)) {
        return;
    }
    WEIR_ASSERT(t->open == 0);
    tell_end(w, t, v.state);
    forget(w, slot);
}
