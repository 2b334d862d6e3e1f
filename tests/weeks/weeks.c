/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weeks of rented machines under the worst weather: spot machines taken back, stock-outs, lost calls and answers, machines that never boot,
 * and a broker that is killed at any instant and started again on what its store holds. Core, bill, engine, store (in memory) and
 * broker/leases.c are the broker's own; clock, clouds and agents are of this program. Each week has its own seed, drawn from the one given,
 * and ends in fair weather: then nothing may be left, nothing may have been made twice, no machine may have cost for an instant without a
 * lease that owns it, the ledger must balance, and be to the micro-unit what the cloud that tells when a machine ended has in its own books.
 *
 *     weeks [WEEKS [SEED [FIRST]]]     one line of TAP per week that fails, and one for all
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/proof.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/money.h"
#include "base/parse.h"
#include "broker/broker_priv.h"
#include "cloud.h"

static const int64_t T0_US = INT64_C(1795376546) * WEIR_US_PER_S;

enum {
    WEEK_DAYS = 7,
    DRAIN_DAYS = 4,
    JOBS_PER_DAY = 8,
    TICK_MS_MIN = 1000,
    TICK_MS_MAX = 30000, /* a broker that has much else to do */
    JOIN_MS_MAX = 20000,
    NEWS_MIN = 5,
    POSTINGS_PER_STEP = 500,
};

/* ---- what leases.c asks of the rest of a broker ---- */

static int64_t now_us;

uint64_t broker_ms(const struct broker *b)
{
    (void)b;
    return (uint64_t)((now_us - T0_US) / WEIR_US_PER_MS) + 1;
}

void broker_wake(struct broker *b)
{
    (void)b; /* it turns after whatever happens */
}

void tokens_make(struct broker *b, const char *name, const char *role, const char *user, struct weir_lease_id lease, char *ret, size_t size)
{
    struct weir_token_row row = {.name = name, .role = role, .user = user, .lease = lease};
    (void)snprintf(row.hash, sizeof row.hash, "%064" PRIu64, lease.v);
    (void)snprintf(ret, size, "secret-%" PRIu64, lease.v);
    weir_engine_put_token(b->engine, &row);
}

const char *tls_authority(const struct broker *b)
{
    (void)b;
    return NULL;
}

uint64_t alerts_sweep(struct broker *b)
{
    (void)b;
    return 0;
}

static uint64_t orphans;

int link_init(struct broker *b, struct weir_err *err)
{
    (void)b;
    (void)err;
    return 0;
}

void link_changed(struct broker *b)
{
    (void)b;
}

void link_tick(struct broker *b)
{
    (void)b;
}

enum link_verdict link_admits(struct broker *b, const struct lease_watch *w)
{
    (void)b;
    (void)w;
    return LINK_READY;
}

bool link_reaches(const struct broker *b, const struct provider *p, struct weir_check *c)
{
    (void)b;
    (void)p;
    (void)c;
    return true;
}

void link_launch(struct broker *b, const struct lease_watch *w, struct weir_launch *l, struct link_end *ret)
{
    (void)b;
    (void)w;
    (void)l;
    *ret = (struct link_end){.routes = WEIR_STR_INIT(1)};
}

void link_end_release(struct link_end *e)
{
    weir_str_release(&e->routes);
}

void alerts_orphan(struct broker *b, const char *provider, const char *instance)
{
    (void)b;
    (void)provider;
    (void)instance;
    orphans++;
}

void alerts_unwatched(struct broker *b, const char *provider, struct weir_lease_id lease, const char *instance)
{
    (void)b;
    (void)fprintf(stderr, "weeks: lease %" PRIu64 " of %s, machine %s: its provider is gone\n", lease.v, provider, instance);
    abort(); /* all are configured, always */
}

void alerts_swept(struct broker *b, const char *provider, uint64_t round)
{
    (void)b;
    (void)provider;
    (void)round;
}

void feeds_begin(struct provider *p)
{
    p->feed.wanted = false; /* these clouds tell what is true at each asking */
}

void feeds_note(struct broker *b, struct provider *p, const struct weir_provider_result *r)
{
    (void)b;
    (void)p;
    (void)r;
}

static struct weir_wall wall_now(void *ctx)
{
    (void)ctx;
    return (struct weir_wall){now_us};
}

static struct weir_mono mono_now(void *ctx)
{
    (void)ctx;
    return (struct weir_mono){now_us - T0_US + WEIR_US_PER_HOUR};
}

static const struct weir_clock the_clock = {wall_now, mono_now, NULL};

/* ---- the week ---- */

struct week {
    uint64_t seed;
    struct weather weather;
    struct cloud cloud[CLOUDS];
    struct weir_gpu_table *gpus;
    struct weir_store *store;
    struct broker *b; /* NULL: it is dead */
    int64_t up_us;    /* when it comes back */
    int64_t crash_us;
    bool blinks; /* it is back in a moment */
    int64_t submit_us;
    int64_t tick_us;
    int64_t seen_us; /* last look for what nobody owns */
    int64_t leaked_us;
    struct weir_project_id speech; /* it has a budget */
    int64_t budget_micro;
    int64_t freed_us; /* it ends: what waits for money may run then */
    uint64_t jobs, tasks, crashes, turns;
    char why[512]; /* what is wrong; "": nothing */
};

struct totals {
    uint64_t weeks, failed, jobs, tasks, crashes, turns, calls, lost, refused, launches, boots_failed, reclaims, expiries, repeats, orphans, leases;
    uint64_t late, too_late, moves, fallen, used_up, passed, proven;
    int64_t passed_micro;
    int64_t fallen_micro; /* more than the books, posted before the news of a fall came */
    int64_t too_late_micro; /* more than the books, for runs that were placed on machines that had ended */
    int64_t machine_us, leaked_us, ledger_micro, clouds_micro;
    int64_t exact_micro;   /* of the cloud that tells when a machine ended */
    int64_t guessed_micro; /* beyond the books of the one that does not */
    int64_t late_micro;    /* less than the books, for agents that came before their provider's word */
};

__attribute__((format(printf, 2, 3))) static void wrong(struct week *w, const char *fmt, ...)
{
    if (w->why[0] == '\0') {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(w->why, sizeof w->why, fmt, ap);
        va_end(ap);
    }
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void feed(struct week *w, struct weir_event ev)
{
    struct weir_err err = {""};
    if (weir_engine_event(w->b->engine, &ev, &err) != 0) {
        wrong(w, "%s: %s", weir_event_name(ev.kind), err.text);
    }
}

/* ---- the broker's life ---- */

static void start_broker(struct week *w)
{
    struct weir_err err = {""};
    struct broker *b = weir_alloc(sizeof *b);
    struct weir_engine_conf conf = {.store = w->store, .core = weir_core_conf_default(), .clock = &the_clock, .proof = true};
    conf.core.gpus = w->gpus;
    b->store = w->store;
    b->gpus = w->gpus;
    (void)snprintf(b->owner, sizeof b->owner, "weeks");
    b->provider_env.clock = &the_clock;
    w->b = b;
    if (weir_engine_open(&b->engine, &conf, &err) != 0) {
        wrong(w, "the store cannot be opened again: %s", err.text);
        return;
    }
    b->n_providers = CLOUDS;
    for (uint32_t i = 0; i < CLOUDS; i++) {
        b->provider[i].ops = &w->cloud[i].ops;
        b->provider[i].p = cloud_handle(i);
        for (size_t k = 0; k < w->cloud[i].machine.n; k++) {
            struct machine *m = &w->cloud[i].machine.p[k];
            m->joined = false;
            m->join_us = m->ended_us == 0 ? now_us + span(&w->weather, 100, JOIN_MS_MAX) : INT64_MAX;
            m->run.told_start = m->run.told_end = false;
        }
    }
    leases_restore(b);
    (void)weir_engine_flush(b->engine, false, &err);
    w->tick_us = now_us;
}

static void kill_broker(struct week *w)
{
    leases_free(w->b);
    weir_engine_free(w->b->engine); /* what was not flushed is gone */
    free(w->b);
    w->b = NULL;
}

/* ---- agents ---- */

/* The machine whose agent has joined as that node, gone or not; NULL: none has. */
static struct machine *machine_of(struct week *w, struct weir_node_id node)
{
    for (uint32_t i = 0; i < CLOUDS; i++) {
        for (size_t k = w->cloud[i].machine.n; k-- > 0;) {
            if (w->cloud[i].machine.p[k].node == node.v) {
                return &w->cloud[i].machine.p[k];
            }
        }
    }
    return NULL;
}

static void end_run(struct machine *m, int64_t at_us, enum weir_reason reason)
{
    if (m->run.is_there && at_us < m->run.end_us) {
        m->run.end_us = at_us;
        m->run.reason = reason;
    }
}

static void order_agent(struct week *w, const struct weir_order *o)
{
    struct machine *m = machine_of(w, o->effect.node);
    if (m != NULL && m->ended_us != 0 && o->effect.kind == WEIR_EFFECT_RUN_START) {
        m->too_late = true; /* the broker does not know of its end yet */
    }
    if (m == NULL || !m->joined) {
        return; /* it is told when it joins */
    }
    if (o->effect.kind == WEIR_EFFECT_LEASE_EXTEND) {
        m->expires_us = o->effect.u.lease_extend.expires.us;
    } else if (o->effect.kind == WEIR_EFFECT_RUN_STOP) {
        end_run(m, now_us + span(&w->weather, 100, 1000 + o->effect.u.run_stop.grace.us / 2000), (enum weir_reason)o->effect.u.run_stop.reason);
    } else if (!m->run.is_there) {
        m->run = (struct held_run){.run = o->effect.run, .rank = o->effect.rank, .is_there = true, .owes_start = true, .reason = WEIR_REASON_EXIT,
                                    .begun_us = now_us, .end_us = now_us + span(&w->weather, 600000, 4 * 3600000)};
    }
}

static void report_run(struct week *w, enum weir_event_kind kind, const struct held_run *r, enum weir_reason reason)
{
    struct weir_event ev = {.kind = kind};
    if (kind == WEIR_EVENT_RUN_ENDED) {
        ev.u.run_ended.run = r->run;
        ev.u.run_ended.rank = r->rank;
        ev.u.run_ended.at.us = least(r->end_us, now_us);
        ev.u.run_ended.reason = (uint8_t)reason;
    } else {
        ev.u.run.run = r->run;
        ev.u.run.rank = r->rank;
        ev.u.run.at.us = r->begun_us;
    }
    feed(w, ev);
}

struct joining {
    struct week *w;
    struct machine *m;
    struct weir_node_id node;
};

/* What the broker has on the node, and the agent does not: it was never told, or the start was lost with the broker. */
static int reconcile(void *ctx, const struct weir_task_row *row)
{
    struct joining *j = ctx;
    const struct weir_task_view *v = &row->view;
    uint32_t ranks = v->n_nodes > 1 ? v->n_nodes : 1;
    for (uint32_t rank = 0; rank < ranks && !weir_task_state_is_final(v->state) && v->state != WEIR_TASK_WAITING; rank++) {
        struct weir_node_id node = v->gang_node != NULL ? v->gang_node[rank] : v->node;
        struct held_run *r = &j->m->run;
        struct weir_run_id run = {v->id, v->attempt};
        if (node.v != j->node.v || v->lease.v != 0) {
            continue; /* elsewhere, or it still waits for its machine */
        }
        if (r->is_there && weir_run_id_eq(r->run, run)) {
            continue;
        }
        if (v->state == WEIR_TASK_STARTING && !r->is_there) {
            *r = (struct held_run){.run = run, .rank = rank, .is_there = true, .owes_start = true, .reason = WEIR_REASON_EXIT, .begun_us = now_us,
                                    .end_us = now_us + span(&j->w->weather, 600000, 4 * 3600000)};
        } else {
            const struct held_run lost = {.run = run, .rank = rank, .end_us = now_us};
            report_run(j->w, WEIR_EVENT_RUN_ENDED, &lost, WEIR_REASON_NODE_LOST);
        }
    }
    return 0;
}

static void join(struct week *w, struct machine *m)
{
    struct weir_lease_view lease;
    struct weir_node_view node;
    struct weir_err err = {""};
    m->join_us = INT64_MAX;
    if (!weir_core_lease(weir_engine_core(w->b->engine), (struct weir_lease_id){m->lease}, &lease) ||
        !weir_core_node(weir_engine_core(w->b->engine), lease.node, &node) || node.state == WEIR_NODE_GONE) {
        return; /* refused: it ends with its lease */
    }
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
    struct weir_node_spec spec = node.spec;
    bool again = node.joined;
    spec.pool = weir_engine_pool(w->b->engine, weir_sv_of(lease.offer.provider), "{}");
    ev.u.node_join.spec = &spec;
    feed(w, ev);
    m->joined = true;
    m->node = lease.node.v;
    m->expires_us = lease.expires.us;
    if (m->run.is_there && m->run.end_us > now_us) {
        m->run.owes_start = true;
    }
    if (again) { /* by what is stored: the tasks of the turn under way have orders of their own */
        struct joining j = {w, m, lease.node};
        if (w->store->ops->each_live_task(w->store, reconcile, &j, &err) != 0) {
            wrong(w, "tasks: %s", err.text);
        }
    }
}

static void report(struct week *w, struct machine *m)
{
    struct held_run *r = &m->run;
    if (r->is_there && !r->owes_end && r->end_us <= now_us) {
        r->owes_end = true;
    }
    if (r->is_there && r->owes_start && !r->told_start) {
        report_run(w, WEIR_EVENT_RUN_STARTED, r, WEIR_REASON_NONE);
        r->told_start = true;
    }
    if (r->is_there && r->owes_end && !r->told_end) {
        report_run(w, WEIR_EVENT_RUN_ENDED, r, r->reason);
        r->told_end = true;
    }
    if (m->notice_us <= now_us && !m->noticed) {
        struct weir_event ev = {.kind = WEIR_EVENT_LEASE_NOTICE};
        ev.u.lease.lease.v = m->lease;
        ev.u.lease.at.us = m->reclaim_us;
        ev.u.lease.reclaimed = true;
        feed(w, ev);
        m->noticed = true;
    }
}

static void each_machine(struct week *w, void (*fn)(struct week *w, struct machine *m))
{
    for (uint32_t i = 0; i < CLOUDS; i++) {
        for (size_t k = w->cloud[i].first; k < w->cloud[i].machine.n; k++) {
            if (w->cloud[i].machine.p[k].ended_us == 0) {
                fn(w, &w->cloud[i].machine.p[k]);
            }
        }
    }
}

static void live(struct week *w, struct machine *m)
{
    if (m->ready_us <= now_us && m->join_us == INT64_MAX && !m->joined && m->lease != 0 && m->ready_us != INT64_MIN) {
        m->join_us = now_us;
        m->ready_us = INT64_MIN; /* from now on it only comes back */
    }
    if (m->ready_us == INT64_MIN && m->join_us <= now_us) {
        join(w, m);
    }
    if (m->joined) {
        report(w, m);
    }
}

/* What was told is committed: the agent need not say it again. */
static void forget(struct week *w, struct machine *m)
{
    (void)w;
    struct held_run *r = &m->run;
    r->owes_start = r->owes_start && !r->told_start;
    if (r->told_end) {
        *r = (struct held_run){0};
    }
    r->told_start = false;
}

/* ---- the loop ---- */

static void submit(struct week *w)
{
    struct weir_prng *p = &w->weather.prng;
    struct weir_err err = {""};
    struct weir_job_id id;
    struct weir_engine_submit s = {.name = "job", .spec_json = WEIR_SV("{}"), .tags_json = WEIR_SV("{}"), .priority = 50, .n_tasks = 1 + (uint32_t)weir_prng_below(p, 3)};
    s.project = weir_engine_project(w->b->engine, weir_prng_below(p, 3) == 0 ? WEIR_SV("speech") : WEIR_SV("vision"));
    s.user = weir_engine_user(w->b->engine, WEIR_SV("ada"));
    s.request.alternatives = 1;
    s.request.alternative[0] = (struct weir_gpu_wish){weir_gpu_table_find(w->gpus, WEIR_SV("A100")), 1};
    s.request.nodes = weir_prng_below(p, 8) == 0 ? 2 + (uint32_t)weir_prng_below(p, 2) : 1;
    s.request.market = WEIR_MARKET_AUTO;
    s.request.max_duration = weir_dur_s(5 * 3600);
    s.request.checkpoint_every = weir_prng_below(p, 2) == 0 ? weir_dur_s(900) : (struct weir_dur){0};
    s.request.checkpoint_grace = weir_dur_s(20);
    s.request.delay_cost_micro_per_hour = 50 * WEIR_MICRO_PER_UNIT;
    s.request.retries = 1;
    if (weir_engine_submit(w->b->engine, &s, &id, &err) != 0) {
        wrong(w, "submit: %s", err.text);
    }
    w->jobs++;
    w->tasks += s.n_tasks;
}

/* Of one of the two projects; one that most weeks use up. */
static void set_budget(struct week *w, int64_t micro)
{
    struct weir_budget budget = {.name = "speech", .scope = WEIR_BUDGET_PROJECT, .span = WEIR_BUDGET_FOREVER, .amount_micro = micro};
    struct weir_event ev = {.kind = WEIR_EVENT_BUDGET_SET, .u.budget_set.budget = &budget};
    struct weir_err err = {""};
    budget.project = w->speech = weir_engine_project(w->b->engine, WEIR_SV("speech"));
    feed(w, ev);
    if (weir_engine_flush(w->b->engine, false, &err) != 0) {
        wrong(w, "flush: %s", err.text);
    }
    w->budget_micro = micro;
}

static void give_out_orders(struct week *w)
{
    size_t n;
    const struct weir_order *o = weir_engine_take_orders(w->b->engine, &n);
    for (size_t i = 0; i < n; i++) {
        if (o[i].effect.kind == WEIR_EFFECT_LEASE_LAUNCH || o[i].effect.kind == WEIR_EFFECT_LEASE_TERMINATE) {
            leases_order(w->b, &o[i]);
        } else {
            order_agent(w, &o[i]);
        }
    }
    (void)weir_engine_take_ended(w->b->engine, &n);
}

/* Time in which a machine cost, and no lease that the broker looks after owned it. */
static void look_for_leaks(struct week *w)
{
    for (uint32_t i = 0; i < CLOUDS; i++) {
        for (size_t k = w->cloud[i].first; k < w->cloud[i].machine.n; k++) {
            const struct machine *m = &w->cloud[i].machine.p[k];
            if (m->ended_us == 0 && leases_owner(w->b, m->token) == NULL) {
                w->leaked_us += now_us - (m->launched_us > w->seen_us ? m->launched_us : w->seen_us);
                wrong(w, "machine %s of lease %" PRIu64 " runs, and nobody looks after it", m->id, m->lease);
            }
        }
    }
    w->seen_us = now_us;
}

/* Is the broker killed here? Of a turn's four gaps one is drawn. The worst time to die is while a machine is being made or ended: that is
 * drawn far more often than it would come by itself. */
static bool dies(struct week *w, unsigned gap)
{
    if (gap == 0 && w->crash_us != INT64_MAX && (cloud_is_asked(&w->cloud[0]) || cloud_is_asked(&w->cloud[1])) && chance(&w->weather, 20)) {
        w->crash_us = now_us;
        w->blinks = true;
    }
    if (now_us < w->crash_us || weir_prng_below(&w->weather.prng, 4) > gap) {
        return false;
    }
    kill_broker(w);
    w->crashes++;
    w->up_us = now_us + (!w->blinks && chance(&w->weather, 100) ? span(&w->weather, 3600000, 5 * 3600000) : span(&w->weather, 100, w->blinks ? 5000 : 120000));
    w->blinks = false;
    w->crash_us = w->up_us + span(&w->weather, 1000, 24 * 3600000);
    return true;
}

/* As the broker's own: see broker.c. */
static void turn(struct week *w)
{
    struct weir_err err = {""};
    w->turns++;
    if (weir_engine_wake_at(w->b->engine).us <= now_us) {
        feed(w, (struct weir_event){.kind = WEIR_EVENT_TICK});
    }
    if (dies(w, 0)) {
        return;
    }
    if (weir_engine_flush(w->b->engine, false, &err) != 0) {
        wrong(w, "flush: %s", err.text);
    }
    each_machine(w, forget);
    if (dies(w, 1)) {
        return;
    }
    give_out_orders(w);
    if (dies(w, 2)) {
        return;
    }
    leases_tick(w->b);
    look_for_leaks(w);
    (void)dies(w, 3);
}

static bool is_over(struct week *w)
{
    bool alive = w->b->leases.n > 0 || weir_engine_jobs(w->b->engine, WEIR_JOB_WAITING) > 0 || weir_engine_jobs(w->b->engine, WEIR_JOB_RUNNING) > 0;
    for (uint32_t i = 0; i < CLOUDS && !alive; i++) {
        for (size_t k = w->cloud[i].first; k < w->cloud[i].machine.n; k++) {
            alive = alive || w->cloud[i].machine.p[k].ended_us == 0;
        }
    }
    return !alive;
}

static int64_t next_us(struct week *w)
{
    int64_t next = w->b == NULL ? w->up_us : least(w->tick_us, w->weather.is_fair ? INT64_MAX : w->submit_us);
    for (uint32_t i = 0; i < CLOUDS; i++) {
        next = least(next, cloud_next(&w->cloud[i]));
    }
    return next > now_us ? next : now_us + 1000;
}

static void step(struct week *w)
{
    now_us = next_us(w);
    for (uint32_t i = 0; i < CLOUDS; i++) {
        cloud_advance(&w->cloud[i], now_us);
    }
    if (w->b == NULL) {
        if (now_us >= w->up_us) {
            start_broker(w);
        }
        return;
    }
    each_machine(w, live);
    if (now_us >= w->submit_us && !w->weather.is_fair) {
        submit(w);
        w->submit_us = now_us + span(&w->weather, 1000, 2 * 24 * 3600000 / JOBS_PER_DAY);
    }
    turn(w);
    if (w->b != NULL && now_us >= w->tick_us) {
        w->tick_us = now_us + span(&w->weather, TICK_MS_MIN, TICK_MS_MAX);
    }
}

/* ---- the proof ---- */

struct books {
    struct week *w;
    struct weir_map of_lease; /* micro-units */
    struct weir_map speech;   /* what it was charged on each while its budget was there */
    struct weir_map idle;     /* what of each was idle then */
    int64_t speech_micro;     /* of all that */
    int64_t dearer_micro;     /* of it at most for rises of prices */
};

/* What the posting's use side charged while there was a budget. */
static int64_t spent_of(const struct week *w, const struct weir_posting *p)
{
    int64_t micro = p->from.us < w->freed_us ? weir_posting_slice(p, p->amount_micro, p->from.us, least(p->to.us, w->freed_us)) : 0;
    return (weir_account_is_use(p->debit) ? micro : 0) - (weir_account_is_use(p->credit) ? micro : 0);
}

static void add_to(struct weir_map *m, uint64_t key, int64_t micro)
{
    uint64_t sum = 0;
    (void)weir_map_get(m, key, &sum);
    weir_map_put(m, key, sum + (uint64_t)micro);
}

static int on_posting(void *ctx, const struct weir_posting *p)
{
    struct books *k = ctx;
    if (p->credit == WEIR_ACCOUNT_PROVIDER) {
        add_to(&k->of_lease, p->lease.v, p->amount_micro);
    }
    if (p->project.v == k->w->speech.v || p->debit == WEIR_ACCOUNT_IDLE) {
        add_to(p->debit == WEIR_ACCOUNT_IDLE ? &k->idle : &k->speech, p->lease.v, spent_of(k->w, p));
    }
    return 0;
}

struct lease_proof {
    struct books *k;
    struct totals *t;
};

/*
 * The provider's own charge: each microsecond at the price of its time, whole seconds of them, what the last lacks at the price of the
 * end; rounded once.
 */
static int64_t charge_of(int64_t from_us, int64_t to_us, const struct cloud *c, uint32_t offer)
{
    const struct cost_step *step = c->price[offer].p;
    size_t n = c->price[offer].n;
    weir_i128 sum = 0;
    int64_t us = to_us - from_us;
    int64_t whole_us = us % WEIR_US_PER_S == 0 ? us : us + WEIR_US_PER_S - us % WEIR_US_PER_S;
    for (size_t i = 0; i < n && step[i].since_us <= to_us; i++) {
        bool is_last = i + 1 == n || step[i + 1].since_us > to_us;
        int64_t begin = step[i].since_us > from_us ? step[i].since_us : from_us;
        int64_t end = is_last ? from_us + whole_us : step[i + 1].since_us;
        sum += end > begin ? (weir_i128)step[i].micro_per_hour * (end - begin) : 0;
    }
    return (int64_t)((sum + WEIR_US_PER_HOUR / 2) / WEIR_US_PER_HOUR);
}

/*
 * The most that can have been posted beyond that by the end: what was posted before the news of a fall came stands. News is minutes old at
 * most, as the cloud is asked each minute; the dearest price of the last minutes is charged for all of them.
 */
static int64_t excess_of(int64_t from_us, int64_t to_us, const struct cloud *c, uint32_t offer)
{
    const struct cost_step *step = c->price[offer].p;
    size_t n = c->price[offer].n;
    int64_t tail_us = from_us > to_us - NEWS_MIN * WEIR_US_PER_MIN ? from_us : to_us - NEWS_MIN * WEIR_US_PER_MIN;
    int64_t dearest = 0;
    for (size_t i = 0; i < n && step[i].since_us <= to_us; i++) {
        bool is_over = i + 1 < n && step[i + 1].since_us <= tail_us;
        dearest = !is_over && step[i].micro_per_hour > dearest ? step[i].micro_per_hour : dearest;
    }
    return weir_mul_div_sat(dearest, to_us - tail_us, WEIR_US_PER_HOUR) - charge_of(tail_us, to_us, c, offer);
}

/* What the machine cost more than at the lowest price that it had by then: nobody could have held that before it came. */
static int64_t rises_of(int64_t quote, int64_t from_us, int64_t to_us, const struct cloud *c, uint32_t offer)
{
    const struct cost_step *step = c->price[offer].p;
    size_t n = c->price[offer].n;
    int64_t lowest = quote;
    int64_t sum = 0;
    for (size_t i = 0; i < n && step[i].since_us < to_us; i++) {
        int64_t begin = step[i].since_us > from_us ? step[i].since_us : from_us;
        int64_t end = i + 1 == n || step[i + 1].since_us > to_us ? to_us : step[i + 1].since_us;
        if (end > begin) {
            lowest = least(lowest, step[i].micro_per_hour);
            sum += weir_mul_div_sat(step[i].micro_per_hour - lowest, end - begin, WEIR_US_PER_HOUR) + 1;
        }
    }
    return sum;
}

/* A budget may be passed by what a provider raised its prices by after the quote, and by nothing else. */
static void prove_budget(struct week *w, const struct books *k, struct totals *t)
{
    if (k->speech_micro > w->budget_micro + k->dearer_micro) {
        wrong(w, "%" PRId64 " were spent of a budget of %" PRId64 ", and rises of prices explain %" PRId64, k->speech_micro, w->budget_micro, k->dearer_micro);
    }
    t->used_up += k->speech_micro > w->budget_micro / 10 * 9;
    t->passed += k->speech_micro > w->budget_micro;
    t->passed_micro += k->speech_micro > w->budget_micro ? k->speech_micro - w->budget_micro : 0;
}

/* What its budget was charged for the lease: its work there; what was idle of a machine that was rented for it. */
static int64_t speech_on(const struct books *k, const struct weir_lease_view *v)
{
    struct weir_payer_view payer;
    uint64_t work = 0;
    uint64_t idle = 0;
    (void)weir_map_get(&k->speech, v->id.v, &work);
    if (weir_core_payer(weir_engine_core(k->w->b->engine), v->payer, &payer) && payer.project.v == k->w->speech.v) {
        (void)weir_map_get(&k->idle, v->id.v, &idle);
    }
    return (int64_t)work + (int64_t)idle;
}

static int on_lease(void *ctx, const struct weir_lease_row *row)
{
    struct lease_proof *p = ctx;
    struct week *w = p->k->w;
    uint64_t booked = 0;
    int64_t speech = speech_on(p->k, &row->view);
    p->k->speech_micro += speech;
    (void)weir_map_get(&p->k->of_lease, row->view.id.v, &booked);
    p->t->leases++;
    p->t->ledger_micro += (int64_t)booked;
    if (row->view.state != WEIR_LEASE_ENDED && row->view.state != WEIR_LEASE_FAILED) {
        wrong(w, "lease %" PRIu64 " is not over", row->view.id.v);
    }
    for (uint32_t i = 0; i < CLOUDS; i++) {
        for (size_t k = 0; k < w->cloud[i].machine.n; k++) {
            const struct machine *m = &w->cloud[i].machine.p[k];
            if (m->lease != row->view.id.v) {
                continue;
            }
            int64_t owed = charge_of(m->launched_us, m->ended_us, &w->cloud[i], m->offer);
            p->t->clouds_micro += owed;
            if (speech != 0) {
                p->k->dearer_micro += rises_of(row->view.offer.price_micro_per_hour, m->launched_us, row->view.ended_at.us, &w->cloud[i], m->offer);
            }
            if (w->cloud[i].forgets) { /* who shows what is gone no more leaves its end to be guessed: later than it was, never sooner */
                p->t->guessed_micro += (int64_t)booked - owed;
                return 0;
            }
            p->t->exact_micro += (int64_t)booked;
            /* an agent may come before its provider's word, when the answer to the launch was lost: then it costs from its coming on */
            bool late = row->view.confirmed_at.us > m->launched_us && row->view.confirmed_at.us == row->view.ready_at.us;
            int64_t from_us = late ? row->view.confirmed_at.us : m->launched_us;
            int64_t off = (int64_t)booked - charge_of(from_us, m->ended_us, &w->cloud[i], m->offer);
            if (m->too_late && off > 0) { /* the run's segment takes its node to the time of its placing */
                p->t->too_late++;
                p->t->too_late_micro += off;
                return 0;
            }
            if (off > 1 && off <= 1 + excess_of(from_us, m->ended_us, &w->cloud[i], m->offer)) {
                p->t->fallen++;
                p->t->fallen_micro += off;
                return 0;
            }
            p->t->late += late;
            p->t->late_micro += late ? owed - (int64_t)booked : 0;
            if (off > 1 || off < -1) {
                wrong(w, "lease %" PRIu64 ": the ledger has %" PRIu64 " micro-units, %s wants %" PRId64 "; it says %" PRId64 " to %" PRId64 " us, the cloud %" PRId64 " to %" PRId64,
                      row->view.id.v, booked, w->cloud[i].name, owed, row->view.confirmed_at.us - T0_US, row->view.ended_at.us - T0_US, m->launched_us - T0_US,
                      m->ended_us - T0_US);
            }
            return 0;
        }
    }
    if (booked != 0) {
        wrong(w, "lease %" PRIu64 " never had a machine, and cost %" PRIu64, row->view.id.v, booked);
    }
    return 0;
}

static void prove(struct week *w, struct totals *t)
{
    struct weir_err err = {""};
    struct books k = {.w = w};
    struct lease_proof p = {&k, t};
    struct weir_proof *proof = NULL;
    struct weir_proof_result proven;
    int r = weir_proof_new(&proof, w->store, &err);
    while (r >= 0 && (r = weir_proof_step(proof, w->store, POSTINGS_PER_STEP, &err)) > 0) {
    }
    if (r < 0 || w->store->ops->each_posting(w->store, 0, on_posting, &k, &err) != 0) {
        wrong(w, "ledger: %s", err.text);
    } else {
        weir_proof_end(proof, &proven);
        if (proven.error.text[0] != '\0') {
            wrong(w, "ledger: %s", proven.error.text);
        }
        t->proven += proven.sum.leases;
    }
    weir_proof_free(proof);
    if (w->store->ops->each_lease(w->store, true, on_lease, &p, &err) != 0) {
        wrong(w, "leases: %s", err.text);
    }
    if (w->weather.doubles > 0) {
        wrong(w, "%" PRIu64 " launches were made twice", w->weather.doubles);
    }
    prove_budget(w, &k, t);
    weir_map_release(&k.of_lease);
    weir_map_release(&k.speech);
    weir_map_release(&k.idle);
    for (uint32_t i = 0; i < CLOUDS; i++) {
        for (size_t m = 0; m < w->cloud[i].machine.n; m++) {
            t->machine_us += w->cloud[i].machine.p[m].ended_us - w->cloud[i].machine.p[m].launched_us;
        }
    }
}

static bool run_week(uint64_t seed, uint64_t number, struct totals *t)
{
    struct week w = {.seed = seed, .weather = {.prng = weir_prng_seed(seed)}};
    struct weir_err err = {""};
    now_us = T0_US;
    orphans = 0;
    w.gpus = weir_gpu_table_new();
    if (weir_store_mem_open(&w.store, &err) != 0) {
        (void)printf("not ok %" PRIu64 " - %s\n", number, err.text);
        return false;
    }
    for (uint32_t i = 0; i < CLOUDS; i++) {
        cloud_open(&w.cloud[i], i, &w.weather, w.gpus, now_us);
    }
    w.crash_us = now_us + span(&w.weather, 1000, 24 * 3600000);
    w.seen_us = now_us;
    start_broker(&w);
    set_budget(&w, (4 + (int64_t)weir_prng_below(&w.weather.prng, 40)) * WEIR_MICRO_PER_UNIT);
    w.freed_us = INT64_MAX;
    int64_t fair_us = now_us + WEEK_DAYS * WEIR_US_PER_DAY;
    int64_t end_us = fair_us + DRAIN_DAYS * WEIR_US_PER_DAY;
    while (w.why[0] == '\0' && !(w.weather.is_fair && w.b != NULL && is_over(&w))) {
        step(&w);
        if (now_us >= fair_us && !w.weather.is_fair) {
            w.weather.is_fair = true;
            w.crash_us = INT64_MAX;
        }
        if (w.weather.is_fair && w.freed_us == INT64_MAX && w.b != NULL) {
            w.freed_us = now_us;
            struct weir_event ev = {.kind = WEIR_EVENT_BUDGET_REMOVE, .u.budget_remove.name = "speech"};
            feed(&w, ev);
        }
        if (now_us >= end_us) {
            wrong(&w, "not all is over four days after the last job came");
        }
    }
    if (w.why[0] == '\0') {
        prove(&w, t);
    }
    t->weeks++;
    t->failed += w.why[0] != '\0';
    t->jobs += w.jobs, t->tasks += w.tasks, t->crashes += w.crashes, t->turns += w.turns, t->leaked_us += w.leaked_us, t->orphans += orphans;
    t->calls += w.weather.calls, t->lost += w.weather.lost, t->refused += w.weather.refused, t->launches += w.weather.launches;
    t->boots_failed += w.weather.boots_failed, t->reclaims += w.weather.reclaims, t->expiries += w.weather.expiries, t->repeats += w.weather.repeats,
        t->moves += w.weather.moves;
    if (w.why[0] != '\0') {
        (void)printf("# week %" PRIu64 " (seed %" PRIu64 "), %" PRId64 " s after its begin: %s\n", number, seed, (now_us - T0_US) / WEIR_US_PER_S, w.why);
    }
    if (w.b != NULL) {
        kill_broker(&w);
    }
    for (uint32_t i = 0; i < CLOUDS; i++) {
        cloud_close(&w.cloud[i]);
    }
    weir_store_close(w.store);
    weir_gpu_table_free(w.gpus);
    return w.why[0] == '\0';
}

static void print_micro(const char *what, int64_t micro)
{
    (void)printf("# %s: %" PRId64 ".%06" PRId64 "\n", what, micro / WEIR_MICRO_PER_UNIT, micro % WEIR_MICRO_PER_UNIT);
}

static void print(const struct totals *t)
{
    (void)printf("# %" PRIu64 " weeks, %" PRIu64 " turns of the broker, killed %" PRIu64 " times; %" PRIu64 " jobs, %" PRIu64 " tasks\n", t->weeks, t->turns, t->crashes,
                 t->jobs, t->tasks);
    (void)printf("# %" PRIu64 " calls to clouds: %" PRIu64 " lost on the way or back, %" PRIu64 " refused; %" PRIu64 " launches repeated and told so\n", t->calls, t->lost,
                 t->refused, t->repeats);
    (void)printf("# %" PRIu64 " leases, %" PRIu64 " machines, %" PRId64 " machine-hours: %" PRIu64 " never joined, %" PRIu64 " taken back, %" PRIu64
                 " ended themselves, %" PRIu64 " ended by a sweep\n",
                 t->leases, t->launches, t->machine_us / WEIR_US_PER_HOUR, t->boots_failed, t->reclaims, t->expiries, t->orphans);
    (void)printf("# %" PRIu64 " times a price moved; %" PRIu64 " machines ended before it had made up for a fall that was told late:\n", t->moves, t->fallen);
    print_micro("more than the books for those", t->fallen_micro);
    (void)printf("# %" PRIu64 " budgets used up, %" PRIu64 " passed by rises of prices:\n", t->used_up, t->passed);
    print_micro("beyond those", t->passed_micro);
    (void)printf("# leaked: %" PRId64 ".%06" PRId64 " machine-seconds\n", t->leaked_us / WEIR_US_PER_S, t->leaked_us % WEIR_US_PER_S);
    (void)printf("# %" PRIu64 " leases were charged what their prices make\n", t->proven);
    print_micro("ledger", t->ledger_micro);
    print_micro("clouds' own books", t->clouds_micro);
    print_micro("of which to the micro-unit, as the cloud tells when a machine ended", t->exact_micro);
    print_micro("beyond the books of the cloud that does not tell", t->guessed_micro);
    (void)printf("# %" PRIu64 " machines were given a run after their end, before it was known:\n", t->too_late);
    print_micro("more than the books for those", t->too_late_micro);
    (void)printf("# %" PRIu64 " agents came before their provider's word:\n", t->late);
    print_micro("less than the books for those", t->late_micro);
}

static uint64_t argument(int argc, char **argv, int i, uint64_t otherwise)
{
    uint64_t v = otherwise;
    if (i < argc && weir_parse_u64(weir_sv_of(argv[i]), 1, UINT32_MAX, &v, NULL) != 0) {
        (void)fprintf(stderr, "weeks: '%s' is not a number; weeks [WEEKS [SEED [FIRST]]]\n", argv[i]);
        exit(2);
    }
    return v;
}

int main(int argc, char **argv)
{
    uint64_t weeks = argument(argc, argv, 1, 20);
    uint64_t seed = argument(argc, argv, 2, 1);
    uint64_t first = argument(argc, argv, 3, 1);
    struct totals t = {0};
    weir_log_setup("weeks", WEIR_LOG_ERROR);
    for (uint64_t i = first; i < first + weeks; i++) {
        uint64_t state = seed * UINT64_C(1000003) + i;
        (void)run_week(weir_splitmix64(&state), i, &t);
    }
    print(&t);
    (void)printf("1..1\n%s 1 - %" PRIu64 " weeks leak nothing, make nothing twice, and balance (seed %" PRIu64 ")\n", t.failed == 0 ? "ok" : "not ok", weeks, seed);
    return t.failed == 0 ? 0 : 1;
}
