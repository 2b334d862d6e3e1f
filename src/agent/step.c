/* SPDX-License-Identifier: Apache-2.0 */
#include "step.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"

/* A broker that restarts is found again quickly; one that is gone costs a call every ten seconds. */
#define RETRY_FIRST_US (100 * WEIR_US_PER_MS)
#define RETRY_LAST_US (10 * WEIR_US_PER_S)
/* A session that lasts longer than this is an ordinary one. */
#define REJOIN_AT_ONCE_US (5 * WEIR_US_PER_S)
/* The end of a run is reported after its log, but does not wait for it longer than this. */
#define HOLD_END_US (2 * WEIR_US_PER_S)
#define POWER_OFF_GRACE_US (10 * WEIR_US_PER_S)
#define POWER_OFF_PATIENCE_US (30 * WEIR_US_PER_S)
/* Who stops an agent waits for it; a broker that does not answer notices by the silence. */
#define LEAVE_PATIENCE_US (2 * WEIR_US_PER_S)
/* The wall clock may jump: the lease's expiry is looked at no less often than this. */
#define LEASE_LOOK_US (30 * WEIR_US_PER_S)

/* ---- runs ---- */

static uint64_t run_key(struct weir_run_id id)
{
    const uint64_t v[3] = {id.task.job.v, id.task.ordinal, id.attempt};
    return weir_hash_bytes(v, sizeof v);
}

struct weir_agent_run *weir_agent_find(const struct weir_agent_state *s, struct weir_run_id id)
{
    uint64_t at;
    if (!weir_map_get(&s->by_id, run_key(id), &at)) {
        return NULL;
    }
    struct weir_agent_run *r = s->run[at];
    return weir_run_id_eq(r->id, id) ? r : NULL;
}

/* NULL where there is no room (or, once in an age, two ids have one hash). */
static struct weir_agent_run *run_add(struct weir_agent_state *s, struct weir_run_id id)
{
    if (s->n_runs >= WEIR_AGENT_RUNS_MAX || weir_map_get(&s->by_id, run_key(id), NULL)) {
        return NULL;
    }
    if (s->n_runs == s->size_runs) {
        s->size_runs = s->size_runs == 0 ? 16 : 2 * s->size_runs;
        s->run = weir_realloc(s->run, s->size_runs, sizeof *s->run);
    }
    struct weir_agent_run *r = weir_alloc(sizeof *r);
    r->id = id;
    weir_map_put(&s->by_id, run_key(id), s->n_runs);
    s->run[s->n_runs++] = r;
    return r;
}

static void run_free(struct weir_agent_run *r)
{
    free(r->end);
    free(r);
}

static void run_remove(struct weir_agent_state *s, struct weir_agent_run *r)
{
    uint64_t at = 0;
    WEIR_ASSERT(weir_map_get(&s->by_id, run_key(r->id), &at));
    (void)weir_map_remove(&s->by_id, run_key(r->id));
    struct weir_agent_run *last = s->run[--s->n_runs];
    if (last != r) {
        s->run[at] = last;
        weir_map_put(&s->by_id, run_key(last->id), at);
    }
    run_free(r);
}

void weir_agent_state_init(struct weir_agent_state *s, uint64_t seed, struct weir_wall lease_expires)
{
    *s = (struct weir_agent_state){.lease_expires = lease_expires,
                                   .random = weir_prng_seed(seed),
                                   .report_max = WEIR_AGENT_REPORTS_MAX,
                                   .report_every = weir_dur_s(10)};
}

void weir_agent_state_release(struct weir_agent_state *s)
{
    for (size_t i = 0; i < s->n_runs; i++) {
        run_free(s->run[i]);
    }
    free(s->run);
    weir_map_release(&s->by_id);
    weir_vec_release(&s->dirty);
    weir_vec_release(&s->flying);
    weir_vec_release(&s->logs);
    weir_vec_release(&s->held);
    weir_vec_release(&s->effect);
    *s = (struct weir_agent_state){0};
}

/* ---- effects ---- */

static struct weir_agent_effect *effect_add(struct weir_agent_state *s, enum weir_agent_effect_type type)
{
    weir_vec_push(&s->effect, (struct weir_agent_effect){.type = type});
    return &s->effect.p[s->effect.n - 1];
}

__attribute__((format(printf, 2, 3))) static void say(struct weir_agent_state *s, const char *fmt, ...)
{
    struct weir_agent_effect *f = effect_add(s, WEIR_AGENT_DO_SAY);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
}

static void go(struct weir_agent_state *s, int code, const char *text)
{
    struct weir_agent_effect *f = effect_add(s, WEIR_AGENT_DO_EXIT);
    f->power_off = s->power_off;
    f->code = code;
    (void)snprintf(f->text, sizeof f->text, "%s", text);
    s->phase = WEIR_AGENT_DONE;
}

/* ---- what is owed ---- */

static bool log_is_done(const struct weir_agent_run *r)
{
    return r->log_refused || r->log_stored >= r->log_size;
}

static void owe(struct weir_agent_state *s, struct weir_agent_run *r, uint8_t what)
{
    r->owes |= what;
    if (!r->dirty_queued) {
        r->dirty_queued = true;
        weir_vec_push(&s->dirty, r->id);
    }
}

static void queue_log(struct weir_agent_state *s, struct weir_agent_run *r)
{
    if (!r->log_queued && !r->log_in_flight && !log_is_done(r)) {
        r->log_queued = true;
        weir_vec_push(&s->logs, r->id);
    }
}

/* The end is reported once the log is there, so that who waits for the end finds a whole log. */
static void owe_end(struct weir_agent_state *s, struct weir_agent_run *r)
{
    if (log_is_done(r)) {
        owe(s, r, WEIR_AGENT_OWES_ENDED);
    } else {
        weir_vec_push(&s->held, r->id);
        queue_log(s, r);
    }
}

/* When the end of a run is reported whether or not its log is there. */
static int64_t held_until(const struct weir_agent_state *s, const struct weir_agent_run *r)
{
    int64_t from = r->end_seen.us > s->joined_at.us ? r->end_seen.us : s->joined_at.us;
    return weir_i64_add_sat(from, HOLD_END_US);
}

static void release_held(struct weir_agent_state *s, struct weir_mono now)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->held.n; i++) {
        struct weir_agent_run *r = weir_agent_find(s, s->held.p[i]);
        if (r == NULL || r->forgotten) {
            continue;
        }
        if (log_is_done(r) || now.us >= held_until(s, r)) {
            owe(s, r, WEIR_AGENT_OWES_ENDED);
        } else {
            s->held.p[kept++] = r->id;
        }
    }
    s->held.n = kept;
}

static void set_end(struct weir_agent_state *s,
                    struct weir_agent_run *r,
                    const struct weir_agent_end *end,
                    struct weir_mono now)
{
    if (r->ended) {
        return;
    }
    r->ended = true;
    r->end_seen = now;
    r->end = weir_alloc(sizeof *r->end);
    *r->end = *end;
    if (end->log_bytes > r->log_size) {
        r->log_size = end->log_bytes;
    }
    owe_end(s, r);
}

static void delete_if_done(struct weir_agent_state *s, struct weir_agent_run *r)
{
    if (!r->forgotten || r->log_in_flight || !log_is_done(r)) {
        return;
    }
    effect_add(s, WEIR_AGENT_DO_DELETE)->run = r->id;
    run_remove(s, r);
}

static void refuse(struct weir_agent_state *s, uint64_t seq, const char *text)
{
    if (s->n_refusals < WEIR_AGENT_REFUSALS_MAX) {
        struct weir_agent_refusal *f = &s->refusal[s->n_refusals++];
        f->seq = seq;
        (void)snprintf(f->text, sizeof f->text, "%s", text);
    }
}

/* ---- calls and their answers ---- */

static void back_off(struct weir_agent_state *s, struct weir_mono now)
{
    int64_t wait = RETRY_FIRST_US;
    for (unsigned i = 0; i < s->failures && wait < RETRY_LAST_US; i++) {
        wait *= 2;
    }
    if (wait > RETRY_LAST_US) {
        wait = RETRY_LAST_US;
    }
    if (s->failures < 1000) {
        s->failures++;
    }
    /* half to whole, so that a hundred agents do not come back in step */
    wait = wait / 2 + (int64_t)weir_prng_below(&s->random, (uint64_t)(wait / 2) + 1);
    struct weir_mono at = {weir_i64_add_sat(now.us, wait)};
    if (at.us > s->retry_at.us) {
        s->retry_at = at;
    }
}

static void reached(struct weir_agent_state *s)
{
    s->failures = 0;
    s->retry_at.us = 0;
    s->refusal_said = 0;
}

static void part(struct weir_agent_state *s, const struct weir_agent_event *e)
{
    if (s->phase != WEIR_AGENT_TOGETHER || e->generation != s->generation) {
        return;
    }
    s->phase = WEIR_AGENT_APART;
    if (s->sync_in_flight) {
        (void)effect_add(s, WEIR_AGENT_DO_CANCEL_SYNC);
        s->sync_in_flight = false;
    }
    /* It did answer, so it is there. But sessions that end again and again mean that somebody else
     * joins with our id: then slower and slower. */
    bool soon = weir_i64_sub_sat(e->now.us, s->joined_at.us) < REJOIN_AT_ONCE_US;
    s->rejoins = soon ? s->rejoins + 1 : 0;
    s->failures = s->rejoins;
    if (s->rejoins > 1) {
        back_off(s, e->now);
    }
    say(s, "session ended by the broker (%s); joining again", e->text == NULL ? "" : e->text);
}

/* Common to all answers that are not OK. */
static void unanswered(struct weir_agent_state *s, const struct weir_agent_event *e, const char *what)
{
    uint64_t why;
    switch (e->answer) {
    case WEIR_AGENT_OK:
        break;
    case WEIR_AGENT_AWAY:
        if (s->failures == 0) {
            say(s, "%s: %s; tasks go on, retrying", what, e->text == NULL ? "broker away" : e->text);
        }
        back_off(s, e->now);
        break;
    case WEIR_AGENT_REJOIN:
        part(s, e);
        break;
    case WEIR_AGENT_REFUSED:
        why = weir_hash_bytes(e->text == NULL ? "" : e->text, e->text == NULL ? 0 : strlen(e->text));
        if (why != s->refusal_said) { /* it is asked again for as long as it takes, but said once */
            say(s, "%s refused: %s; asking again", what, e->text == NULL ? "" : e->text);
        }
        s->refusal_said = why;
        if (s->failures < 5) {
            s->failures = 5;
        }
        back_off(s, e->now);
        break;
    case WEIR_AGENT_VERSION:
        go(s, -WEIR_EVERSION, e->text == NULL ? "the broker speaks another protocol" : e->text);
        break;
    }
}

static void note_lease(struct weir_agent_state *s, struct weir_wall expires)
{
    if (expires.us > 0) {
        s->lease_expires = expires;
    }
}

static void on_joined(struct weir_agent_state *s, const struct weir_agent_event *e)
{
    s->join_in_flight = false;
    if (e->answer != WEIR_AGENT_OK) {
        /* a join has no session to lose: "rejoin" is a refusal here */
        struct weir_agent_event again = *e;
        if (again.answer == WEIR_AGENT_REJOIN) {
            again.answer = WEIR_AGENT_REFUSED;
        }
        unanswered(s, &again, "join");
        return;
    }
    reached(s);
    s->phase = WEIR_AGENT_TOGETHER;
    s->generation++;
    s->node = e->node;
    s->ack = 0;
    s->joined_at = e->now;
    (void)snprintf(s->session, sizeof s->session, "%s", e->session);
    if (e->report_every.us > 0) {
        s->report_every = e->report_every;
    }
    note_lease(s, e->lease_expires);
    for (size_t i = 0; i < s->n_runs; i++) {
        struct weir_agent_run *r = s->run[i];
        if (r->forgotten) {
            queue_log(s, r);
        } else if (r->ended) {
            owe_end(s, r);
        } else {
            owe(s, r, WEIR_AGENT_OWES_STARTED);
            queue_log(s, r);
        }
    }
    if (s->notice.us != 0) {
        s->owes_notice = true;
    }
    say(s, "joined as node %llu with %zu runs", (unsigned long long)s->node, s->n_runs);
}

static void do_start(struct weir_agent_state *s, const struct weir_agent_command *c, struct weir_mono now)
{
    struct weir_agent_run *r = weir_agent_find(s, c->run);
    if (r != NULL) {
        if (r->ended && !r->forgotten) {
            owe(s, r, WEIR_AGENT_OWES_ENDED);
        } else if (!r->ended) {
            owe(s, r, WEIR_AGENT_OWES_STARTED);
        }
        return;
    }
    r = run_add(s, c->run);
    if (r == NULL) {
        refuse(s, c->seq, "the agent holds too many runs that were not forgotten");
        return;
    }
    r->rank = c->rank;
    memcpy(r->ticket, c->ticket, sizeof r->ticket);
    if (s->power_off) {
        set_end(s, r, &(struct weir_agent_end){.reason = WEIR_REASON_RECLAIM, .text = "the machine is going"}, now);
        return;
    }
    struct weir_agent_effect *f = effect_add(s, WEIR_AGENT_DO_START);
    f->run = c->run;
    f->command = c;
}

static void do_stop(struct weir_agent_state *s, const struct weir_agent_command *c, const struct weir_agent_event *e)
{
    struct weir_agent_run *r = weir_agent_find(s, c->run);
    if (r == NULL) {
        r = run_add(s, c->run);
        if (r == NULL) {
            refuse(s, c->seq, "the run is not known here");
            return;
        }
        const struct weir_agent_end end = {
            .reason = WEIR_REASON_NODE_LOST, .ended = e->wall, .text = "the agent has no record of this run"};
        set_end(s, r, &end, e->now);
        return;
    }
    if (r->ended) {
        if (!r->forgotten) {
            owe(s, r, WEIR_AGENT_OWES_ENDED);
        }
        return;
    }
    struct weir_agent_effect *f = effect_add(s, WEIR_AGENT_DO_STOP);
    f->run = c->run;
    f->signal = c->signal > 0 ? c->signal : SIGTERM;
    f->grace = c->grace;
    f->reason = c->reason;
}

static void do_forget(struct weir_agent_state *s, const struct weir_agent_command *c)
{
    struct weir_agent_run *r = weir_agent_find(s, c->run);
    if (r == NULL) {
        return;
    }
    if (!r->ended) {
        refuse(s, c->seq, "the run has not ended");
        return;
    }
    r->forgotten = true;
    r->owes = 0;
    queue_log(s, r);
    delete_if_done(s, r);
}

static void power_off(struct weir_agent_state *s, const struct weir_agent_event *e, const char *why)
{
    if (s->power_off) {
        return;
    }
    s->power_off = true;
    s->power_off_at.us = weir_i64_add_sat(e->now.us, POWER_OFF_PATIENCE_US);
    say(s, "powering off: %s", why);
    for (size_t i = 0; i < s->n_runs; i++) {
        if (!s->run[i]->ended) {
            struct weir_agent_effect *f = effect_add(s, WEIR_AGENT_DO_STOP);
            f->run = s->run[i]->id;
            f->signal = SIGTERM;
            f->grace.us = POWER_OFF_GRACE_US;
            f->reason = WEIR_REASON_RECLAIM;
        }
    }
}

static void on_synced(struct weir_agent_state *s, const struct weir_agent_event *e)
{
    if (e->generation != s->generation || s->phase != WEIR_AGENT_TOGETHER || s->leaving) {
        return; /* of a session that is over, or as good as over */
    }
    s->sync_in_flight = false;
    if (e->answer != WEIR_AGENT_OK) {
        unanswered(s, e, "sync");
        return;
    }
    reached(s);
    note_lease(s, e->lease_expires);
    for (size_t i = 0; i < e->n_commands; i++) {
        const struct weir_agent_command *c = &e->command[i];
        if (c->seq <= s->ack) {
            continue;
        }
        s->ack = c->seq;
        switch (c->type) {
        case WEIR_AGENT_START:
            do_start(s, c, e->now);
            break;
        case WEIR_AGENT_STOP:
            do_stop(s, c, e);
            break;
        case WEIR_AGENT_FORGET:
            do_forget(s, c);
            break;
        case WEIR_AGENT_POWER_OFF:
            power_off(s, e, "ordered by the broker");
            break;
        case WEIR_AGENT_UNKNOWN:
            refuse(s, c->seq, c->text);
            break;
        }
    }
}

static void drop_one_report(struct weir_agent_state *s, struct weir_agent_run *r)
{
    say(s,
        "the broker refuses the report about run %llu.%u.%u; dropped",
        (unsigned long long)r->id.task.job.v,
        r->id.task.ordinal,
        r->id.attempt);
    r->in_flight = 0;
}

static void on_reported(struct weir_agent_state *s, const struct weir_agent_event *e)
{
    s->report_in_flight = false;
    bool ok = e->answer == WEIR_AGENT_OK;
    bool refused = e->answer == WEIR_AGENT_REFUSED;
    /* A refused report is repeated in halves until the one entry at fault stands alone. */
    bool alone = refused && s->flying.n <= 1;
    for (size_t i = 0; i < s->flying.n; i++) {
        struct weir_agent_run *r = weir_agent_find(s, s->flying.p[i]);
        if (r == NULL) {
            continue;
        }
        if (alone) {
            drop_one_report(s, r);
        } else if (!ok && r->in_flight != 0 && !r->forgotten) {
            owe(s, r, r->in_flight);
        }
        r->in_flight = 0;
    }
    weir_vec_clear(&s->flying);
    if (ok || alone) {
        memmove(s->refusal, s->refusal + s->refusals_in_flight, (s->n_refusals - s->refusals_in_flight) * sizeof s->refusal[0]);
        s->n_refusals -= s->refusals_in_flight;
    } else {
        s->owes_notice |= s->notice_in_flight;
        s->owes_energy |= s->energy_in_flight;
    }
    s->refusals_in_flight = 0;
    s->notice_in_flight = false;
    s->energy_in_flight = false;
    if (s->leaving_in_flight && (ok || e->answer == WEIR_AGENT_AWAY)) {
        go(s, 0, ok ? "asked to end; the broker knows" : "asked to end; the broker is away");
        return;
    }
    s->leaving_in_flight = false;
    if (ok) {
        reached(s);
        s->report_max = s->report_max * 2 > WEIR_AGENT_REPORTS_MAX ? WEIR_AGENT_REPORTS_MAX : s->report_max * 2;
        return;
    }
    if (refused) {
        s->report_max = s->report_max > 1 ? s->report_max / 2 : 1;
        say(s, "report refused: %s", e->text == NULL ? "" : e->text);
        return;
    }
    unanswered(s, e, "report");
}

static void on_logged(struct weir_agent_state *s, const struct weir_agent_event *e)
{
    WEIR_ASSERT(s->logs_in_flight > 0);
    s->logs_in_flight--;
    struct weir_agent_run *r = weir_agent_find(s, e->run);
    if (r == NULL) {
        return;
    }
    r->log_in_flight = false;
    if (e->has_size) {
        reached(s);
        /* a broker that has more than was ever written cannot be sent anything useful */
        r->log_stored = e->size > r->log_size && r->ended ? r->log_size : e->size;
    } else if (e->answer == WEIR_AGENT_REFUSED) {
        r->log_refused = true;
        say(s,
            "log of run %llu.%u.%u refused: %s",
            (unsigned long long)r->id.task.job.v,
            r->id.task.ordinal,
            r->id.attempt,
            e->text == NULL ? "" : e->text);
    } else {
        unanswered(s, e, "log");
    }
    queue_log(s, r);
    delete_if_done(s, r);
}

/* ---- what happens on the host ---- */

static void on_found(struct weir_agent_state *s, const struct weir_agent_event *e)
{
    struct weir_agent_run *r = weir_agent_find(s, e->run) != NULL ? NULL : run_add(s, e->run);
    if (r == NULL) {
        say(s, "a record of run %llu.%u.%u cannot be taken over", (unsigned long long)e->run.task.job.v,
            e->run.task.ordinal, e->run.attempt);
        return;
    }
    r->rank = e->rank;
    (void)snprintf(r->ticket, sizeof r->ticket, "%s", e->ticket == NULL ? "" : e->ticket);
    r->started = e->at;
    r->pid = e->pid;
    r->log_size = e->size;
    if (e->ended) {
        WEIR_ASSERT(e->end != NULL);
        set_end(s, r, e->end, e->now);
    }
}

static void on_run_event(struct weir_agent_state *s, const struct weir_agent_event *e)
{
    struct weir_agent_run *r = weir_agent_find(s, e->run);
    if (r == NULL) {
        return;
    }
    if (e->type == WEIR_AGENT_EV_RUN_STARTED) {
        r->started = e->at;
        r->pid = e->pid;
        owe(s, r, WEIR_AGENT_OWES_STARTED);
    } else if (e->type == WEIR_AGENT_EV_RUN_ENDED) {
        WEIR_ASSERT(e->end != NULL);
        set_end(s, r, e->end, e->now);
    } else if (e->type == WEIR_AGENT_EV_LOG_GREW) {
        if (e->size > r->log_size) {
            r->log_size = e->size;
            queue_log(s, r);
        }
    } else {
        r->checkpointed = e->at;
        owe(s, r, WEIR_AGENT_OWES_CHECKPOINT);
    }
}

/* ---- what follows ---- */

static void send_report(struct weir_agent_state *s)
{
    size_t n = s->dirty.n < s->report_max ? s->dirty.n : s->report_max;
    weir_vec_clear(&s->flying);
    for (size_t i = 0; i < n; i++) {
        struct weir_agent_run *r = weir_agent_find(s, s->dirty.p[i]);
        if (r == NULL) {
            continue;
        }
        r->dirty_queued = false;
        if (r->owes != 0) {
            r->in_flight = r->owes;
            r->owes = 0;
            weir_vec_push(&s->flying, r->id);
        }
    }
    if (n > 0) {
        memmove(s->dirty.p, s->dirty.p + n, (s->dirty.n - n) * sizeof s->dirty.p[0]);
        s->dirty.n -= n;
    }
    s->refusals_in_flight = s->n_refusals;
    s->notice_in_flight = s->owes_notice;
    s->energy_in_flight = s->owes_energy;
    s->owes_notice = false;
    s->owes_energy = false;
    s->leaving_in_flight = s->leaving && s->dirty.n == 0; /* the last word */
    if (!s->leaving_in_flight && s->flying.n == 0 && s->refusals_in_flight == 0 && !s->notice_in_flight && !s->energy_in_flight) {
        return;
    }
    s->report_in_flight = true;
    (void)effect_add(s, WEIR_AGENT_DO_REPORT);
}

static void send_logs(struct weir_agent_state *s)
{
    size_t taken = 0;
    while (taken < s->logs.n && s->logs_in_flight < WEIR_AGENT_LOGS_IN_FLIGHT_MAX) {
        struct weir_agent_run *r = weir_agent_find(s, s->logs.p[taken++]);
        if (r == NULL) {
            continue;
        }
        r->log_queued = false;
        if (log_is_done(r) || r->log_in_flight) {
            continue;
        }
        r->log_in_flight = true;
        s->logs_in_flight++;
        struct weir_agent_effect *f = effect_add(s, WEIR_AGENT_DO_LOG);
        f->run = r->id;
        f->rank = r->rank;
        memcpy(f->ticket, r->ticket, sizeof f->ticket);
        f->offset = r->log_stored;
    }
    if (taken > 0) {
        memmove(s->logs.p, s->logs.p + taken, (s->logs.n - taken) * sizeof s->logs.p[0]);
        s->logs.n -= taken;
    }
}

static bool all_ended(const struct weir_agent_state *s)
{
    for (size_t i = 0; i < s->n_runs; i++) {
        if (!s->run[i]->ended) {
            return false;
        }
    }
    return true;
}

static void send_what_is_owed(struct weir_agent_state *s, struct weir_mono now)
{
    if (now.us < s->retry_at.us) {
        return;
    }
    if (s->phase == WEIR_AGENT_APART) {
        if (!s->join_in_flight) {
            s->join_in_flight = true;
            (void)effect_add(s, WEIR_AGENT_DO_JOIN);
        }
        return;
    }
    release_held(s, now);
    if (!s->report_in_flight) {
        send_report(s);
    }
    if (s->leaving) {
        return; /* the next agent sends the rest of the logs */
    }
    send_logs(s);
    if (!s->sync_in_flight) {
        s->sync_in_flight = true;
        struct weir_agent_effect *f = effect_add(s, WEIR_AGENT_DO_SYNC);
        f->ack = s->ack;
        f->wait_ms = WEIR_AGENT_SYNC_WAIT_MS;
    }
}

/*
 * Tasks go on under their supervisors. The broker is told which runs there are: what it has placed here and is not
 * among them was never begun, and never will be, so no command is taken any more.
 */
static void quit(struct weir_agent_state *s, struct weir_mono now)
{
    if (s->leaving) {
        go(s, 0, "asked to end twice");
        return;
    }
    s->leaving = true;
    s->leaving_until.us = weir_i64_add_sat(now.us, LEAVE_PATIENCE_US);
    s->retry_at.us = 0;
    if (s->sync_in_flight) {
        s->sync_in_flight = false;
        (void)effect_add(s, WEIR_AGENT_DO_CANCEL_SYNC);
    }
}

static void earlier(struct weir_mono *at, int64_t us)
{
    if (at->us == 0 || us < at->us) {
        at->us = us < 1 ? 1 : us;
    }
}

static void ask_wake(struct weir_agent_state *s, const struct weir_agent_event *e)
{
    struct weir_mono at = {0};
    if (e->now.us < s->retry_at.us) {
        earlier(&at, s->retry_at.us);
    }
    if (s->phase == WEIR_AGENT_TOGETHER) {
        for (size_t i = 0; i < s->held.n; i++) {
            const struct weir_agent_run *r = weir_agent_find(s, s->held.p[i]);
            if (r != NULL) {
                earlier(&at, held_until(s, r));
                break; /* held in order of their ends */
            }
        }
    }
    if (s->leaving) {
        earlier(&at, s->leaving_until.us);
    }
    if (s->power_off) {
        earlier(&at, s->power_off_at.us);
    } else if (s->lease_expires.us != 0) {
        int64_t left = weir_wall_sub(s->lease_expires, e->wall).us;
        earlier(&at, weir_i64_add_sat(e->now.us, left > LEASE_LOOK_US ? LEASE_LOOK_US : left));
    }
    if (at.us != 0 && at.us <= e->now.us) {
        at.us = e->now.us + WEIR_US_PER_MS;
    }
    if (at.us != 0 && at.us != s->wake_at.us) {
        s->wake_at = at;
        effect_add(s, WEIR_AGENT_DO_WAKE)->at = at;
    }
}

static void plan(struct weir_agent_state *s, const struct weir_agent_event *e)
{
    if (s->phase == WEIR_AGENT_DONE) {
        return;
    }
    if (!s->power_off && s->lease_expires.us != 0 && e->wall.us >= s->lease_expires.us) {
        s->power_off_lease = true;
        power_off(s, e, "the lease has expired");
    }
    if (s->leaving && (s->phase == WEIR_AGENT_APART || e->now.us >= s->leaving_until.us)) {
        go(s, 0, "asked to end; the broker could not be told");
        return;
    }
    send_what_is_owed(s, e->now);
    if (s->power_off) {
        bool told = s->dirty.n == 0 && s->held.n == 0 && !s->report_in_flight;
        if (e->now.us >= s->power_off_at.us || (all_ended(s) && told)) {
            go(s, 0, "power off");
            return;
        }
    }
    ask_wake(s, e);
}

struct weir_agent_effects weir_agent_step(struct weir_agent_state *s, const struct weir_agent_event *e)
{
    weir_vec_clear(&s->effect);
    if (s->phase == WEIR_AGENT_DONE) {
        return (struct weir_agent_effects){NULL, 0};
    }
    switch (e->type) {
    case WEIR_AGENT_EV_TICK:
        s->wake_at.us = 0;
        break;
    case WEIR_AGENT_EV_JOINED:
        on_joined(s, e);
        break;
    case WEIR_AGENT_EV_SYNCED:
        on_synced(s, e);
        break;
    case WEIR_AGENT_EV_REPORTED:
        on_reported(s, e);
        break;
    case WEIR_AGENT_EV_LOGGED:
        on_logged(s, e);
        break;
    case WEIR_AGENT_EV_RUN_FOUND:
        on_found(s, e);
        return (struct weir_agent_effects){s->effect.p, s->effect.n};
    case WEIR_AGENT_EV_RUN_STARTED:
    case WEIR_AGENT_EV_RUN_ENDED:
    case WEIR_AGENT_EV_LOG_GREW:
    case WEIR_AGENT_EV_CHECKPOINTED:
        on_run_event(s, e);
        break;
    case WEIR_AGENT_EV_NOTICE:
        s->notice = e->deadline;
        s->owes_notice = true;
        break;
    case WEIR_AGENT_EV_ENERGY:
        s->energy = *e->energy;
        s->owes_energy = true;
        break;
    case WEIR_AGENT_EV_QUIT:
        quit(s, e->now);
        break;
    }
    plan(s, e);
    return (struct weir_agent_effects){s->effect.p, s->effect.n};
}
