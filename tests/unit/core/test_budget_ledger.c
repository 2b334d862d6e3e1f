/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Budgets, quotas and prices against the ledger: the core with a bill, owned hosts and a provider, random tasks under random
 * budgets, quotas and rules of prices; offers that get dearer, machines that do while they run, a provider that bills more than it had quoted, reclaims, late
 * answers, checkpoints, restarts of core and bill, closed spans. Hosts and provider keep to their word: a task ends within its
 * grace of a stop, an ended machine within five minutes. Then no budget is ever charged more than it has, what the provider
 * billed beyond its quotes, and rises of its prices to the expiry of machines, no quota is passed, every rating leaves nothing to post, the ledger balances after each settling,
 * what was closed stays as it was, and the same seed gives the same ledger, byte for byte.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/prng.h"
#include "base/vec.h"
#include "bill/bill.h"
#include "books.h"
#include "world.h"

enum { TASKS = 250, STEPS = 1500, NODES = 6 };

struct agent_run { /* what a host does with a rank */
    struct weir_run_id run;
    uint32_t rank;
    uint64_t node;
    int64_t start_us;
    int64_t end_us; /* 0: not started */
    uint8_t reason; /* of the end */
    bool over;
};

struct machine { /* what the provider does with a lease */
    uint64_t lease;
    uint64_t node;
    int64_t confirm_us;
    int64_t join_us;
    int64_t end_us;
    bool refuses;
    bool confirmed;
    bool joined;
    bool over;
};

struct life {
    struct world w;
    struct weir_prng prng;
    struct weir_bill *bill;
    struct books books;
    struct weir_owned_cost cost;
    WEIR_VEC(struct agent_run) runs;
    WEIR_VEC(struct machine) machines;
    WEIR_VEC(struct weir_charged) charges;
    int64_t ceiling[WORLD_BUDGETS_MAX]; /* what each may be charged at most */
    int64_t span_from[WORLD_BUDGETS_MAX];
    int64_t dearer[WORLD_BUDGETS_MAX]; /* what rises of prices may add to each, until then */
    int64_t dearer_until_us[WORLD_BUDGETS_MAX];
    int64_t most[WORLD_BUDGETS_MAX]; /* what of each quota may count at most */
    size_t told;                     /* postings of which the core knows */
    int64_t settled_us;
    uint64_t started;
    uint64_t blocked;  /* decisions that a budget was in the way of */
    uint64_t held_off; /* decisions that a quota was in the way of */
    uint64_t priced;   /* postings of prices */
    uint64_t dearer_spot; /* machines whose price rose while they ran */
    uint64_t rises;    /* bills of the provider that were dearer than its quotes */
    uint64_t passed;   /* looks at a budget that such a bill had made pass its amount */
    uint64_t restarts;
    uint32_t tasks;
};

static struct weir_gpu_table *gpus;

static uint64_t below(struct life *l, uint64_t n)
{
    return weir_prng_below(&l->prng, n);
}

static int64_t seconds(struct life *l, uint64_t least, uint64_t most)
{
    return (int64_t)(least + below(l, most - least + 1)) * WEIR_US_PER_S;
}

/* ---- what follows from effects ---- */

static void bill_open(struct life *l, const struct weir_effect *e)
{
    struct weir_err err = {""};
    struct weir_node_view node;
    struct weir_lease_view lease;
    struct weir_bill_node b = {.node = e->node, .lease = e->lease, .pool = {1}};
    assert_true(weir_core_node(l->w.core, e->node, &node));
    b.gpus = node.spec.gpus;
    b.cpu_milli = node.spec.cpu_milli;
    b.owned = e->lease.v == 0;
    b.cost = l->cost;
    if (!b.owned) {
        assert_true(weir_core_lease(l->w.core, e->lease, &lease));
        b.payer = lease.payer;
        b.price_micro_per_hour = lease.price_micro_per_hour;
        b.quantum = lease.offer.bill_quantum;
        b.minimum = lease.offer.bill_minimum;
    }
    assert_int_equal(weir_bill_node_open(l->bill, &b, e->at, &err), 0);
    lease_prices_open(&l->books.prices, &b, e->at);
}

static void bill_rates(struct life *l, const struct weir_effect *e)
{
    struct weir_lease_view lease;
    if (e->lease.v != 0) {
        assert_true(weir_core_lease(l->w.core, e->lease, &lease));
        lease_prices_change(&l->books.prices, l->bill, e->lease, e->node, e->at, lease.price_micro_per_hour);
    }
}

static void bill_segment(struct life *l, const struct weir_effect *e)
{
    struct weir_err err = {""};
    struct weir_job_view job;
    assert_true(weir_core_job(l->w.core, e->run.task.job, &job));
    struct weir_bill_segment s = {.node = e->node, .run = e->run, .rank = e->rank, .gpus = e->u.segment.gpus,
                                  .cpu_milli = e->u.segment.cpu_milli, .from = e->at, .payer = job.payer, .project = job.project};
    assert_int_equal(weir_bill_segment_open(l->bill, &s, &err), 0);
}

static struct agent_run *run_of(struct life *l, const struct weir_effect *e)
{
    for (size_t i = 0; i < l->runs.n; i++) {
        if (weir_run_id_eq(l->runs.p[i].run, e->run) && l->runs.p[i].rank == e->rank) {
            return &l->runs.p[i];
        }
    }
    return NULL;
}

static struct machine *machine_of(struct life *l, uint64_t lease)
{
    for (size_t i = 0; i < l->machines.n; i++) {
        if (l->machines.p[i].lease == lease) {
            return &l->machines.p[i];
        }
    }
    return NULL;
}

static void follow(struct life *l, const struct weir_effect *e)
{
    struct agent_run *r = NULL;
    struct machine *m = NULL;
    switch (e->kind) {
    case WEIR_EFFECT_RUN_START:
        weir_vec_push(&l->runs, ((struct agent_run){.run = e->run, .rank = e->rank, .node = e->node.v, .start_us = l->w.now_us + seconds(l, 0, 100)}));
        l->started++;
        return;
    case WEIR_EFFECT_RUN_STOP:
        r = run_of(l, e);
        if (r != NULL && !r->over) {
            int64_t end = l->w.now_us + WEIR_US_PER_S + (int64_t)below(l, (uint64_t)e->u.run_stop.grace.us + 1);
            r->end_us = r->end_us == 0 || end < r->end_us ? end : r->end_us;
            r->start_us = r->start_us < r->end_us ? r->start_us : r->end_us;
            r->reason = e->u.run_stop.reason;
        }
        return;
    case WEIR_EFFECT_LEASE_LAUNCH:
        weir_vec_push(&l->machines, ((struct machine){.lease = e->lease.v, .node = e->node.v, .confirm_us = l->w.now_us + seconds(l, 1, 60),
                                                      .refuses = below(l, 8) == 0}));
        return;
    case WEIR_EFFECT_LEASE_TERMINATE:
        m = machine_of(l, e->lease.v);
        m->end_us = l->w.now_us + seconds(l, 1, 240);
        return;
    case WEIR_EFFECT_METER_OPEN:
        bill_open(l, e);
        return;
    case WEIR_EFFECT_METER_READY:
        weir_bill_node_ready(l->bill, e->node, e->at);
        return;
    case WEIR_EFFECT_METER_CLOSE:
        weir_bill_node_close(l->bill, e->node, e->at);
        lease_prices_close(&l->books.prices, e->lease, e->at);
        return;
    case WEIR_EFFECT_SEGMENT_OPEN:
        bill_segment(l, e);
        return;
    case WEIR_EFFECT_SEGMENT_CLOSE:
        weir_bill_segment_close(l->bill, e->node, e->run, e->rank, e->at, e->u.segment.outcome, e->u.segment.kept_until);
        return;
    case WEIR_EFFECT_SEGMENT_VERDICT:
        weir_bill_segment_verdict(l->bill, e->node, e->run, e->rank, e->at, e->u.segment.outcome, e->u.segment.kept_until);
        return;
    case WEIR_EFFECT_METER_RATES:
        bill_rates(l, e);
        return;
    case WEIR_EFFECT_LEASE_EXTEND:
    case WEIR_EFFECT_MAX:
        return;
    }
}

static void step(struct life *l, struct weir_event *ev)
{
    struct weir_err err = {""};
    world_step(&l->w, ev);
    for (size_t i = 0; i < l->w.effects.n_effects; i++) {
        follow(l, &l->w.effects.effect[i]);
    }
    for (size_t i = 0; i < l->w.effects.n_explains; i++) {
        l->blocked += l->w.effects.explain[i].limit.v != 0;
        l->held_off += l->w.effects.explain[i].quota.v != 0;
    }
    if (ev->seq % 16 == 0 && !weir_core_check(l->w.core, &err)) {
        fail_msg("step %llu: %s", (unsigned long long)ev->seq, err.text);
    }
}

/* ---- the ledger, and what the core is told of it ---- */

static bool counts(const struct life *l, uint32_t budget, struct weir_payer_id id)
{
    struct weir_payer_view payer;
    const struct weir_budget_view *b = &l->w.budget[budget];
    return b->id.v != 0 && weir_core_payer(l->w.core, id, &payer) && weir_budget_counts(&b->def, &payer);
}

/* What is billed beyond what was held may pass a budget by as much. */
static void allow(struct life *l, struct weir_payer_id id, int64_t micro)
{
    for (uint32_t i = 1; i < WORLD_BUDGETS_MAX; i++) {
        l->ceiling[i] += micro > 0 && counts(l, i, id) ? micro : 0;
    }
}

/* All that the core was not told of yet: ratings and closes make postings too. */
static void take_postings(struct life *l)
{
    books_take(&l->books, l->bill);
    weir_vec_clear(&l->charges);
    for (; l->told < l->books.postings.n; l->told++) {
        struct weir_charged k;
        const struct weir_posting *p = &l->books.postings.p[l->told];
        if (weir_posting_charges(p, &k)) {
            weir_vec_push(&l->charges, k);
        }
    }
}

static void check_budgets(struct life *l, uint64_t seed)
{
    for (uint32_t i = 1; i < WORLD_BUDGETS_MAX; i++) {
        const struct weir_budget_view *b = &l->w.budget[i];
        if (b->id.v == 0) {
            continue;
        }
        if (b->span_from.us != l->span_from[i]) { /* the next span: what runs on is held in it */
            l->span_from[i] = b->span_from.us;
            l->ceiling[i] = b->def.amount_micro > b->held_micro ? b->def.amount_micro : b->held_micro;
            l->ceiling[i] += l->w.now_us < l->dearer_until_us[i] ? l->dearer[i] : 0;
        }
        l->passed += b->charged_micro > b->def.amount_micro;
        if (b->charged_micro > l->ceiling[i]) {
            fail_msg("seed %llu, step %llu: budget '%s' (scope %d, cloud only %d) is charged %lld of %lld, %lld held", (unsigned long long)seed,
                     (unsigned long long)l->w.seq, b->def.name, b->def.scope, b->def.cloud_only, (long long)b->charged_micro,
                     (long long)l->ceiling[i], (long long)b->held_micro);
        }
    }
}

static int64_t quota_use(const struct weir_quota_view *q)
{
    return weir_quota_is_timed((enum weir_quota_counts)q->def.counts) ? q->used_ms + q->held_ms : q->n;
}

/* Time of what began before the quota's span, and goes on in it, is counted there whatever the quota has. */
static void check_quotas(struct life *l, uint64_t seed)
{
    for (uint32_t i = 1; i < WORLD_BUDGETS_MAX; i++) {
        const struct weir_quota_view *q = &l->w.quota[i];
        bool timed = weir_quota_is_timed((enum weir_quota_counts)q->def.counts);
        if (q->id.v != 0 && !timed && quota_use(q) > l->most[i]) {
            fail_msg("seed %llu, step %llu: of quota '%s' (%s) %lld count, %lld may", (unsigned long long)seed, (unsigned long long)l->w.seq,
                     q->def.name, weir_quota_counts_name((enum weir_quota_counts)q->def.counts), (long long)quota_use(q), (long long)l->most[i]);
        }
    }
}

static void settle(struct life *l, uint64_t seed)
{
    bool all = l->w.now_us - l->settled_us >= WEIR_US_PER_MIN;
    l->settled_us = all ? l->w.now_us : l->settled_us;
    for (int round = 0; round < 8; round++) {
        weir_bill_settle(l->bill, (struct weir_wall){l->w.now_us}, all && round == 0);
        take_postings(l);
        if (l->charges.n == 0 && !weir_core_awaits_charges(l->w.core)) {
            break;
        }
        struct weir_event ev = {.kind = WEIR_EVENT_CHARGED};
        ev.u.charged.charge = l->charges.p;
        ev.u.charged.n = l->charges.n;
        step(l, &ev);
    }
    check_budgets(l, seed);
    check_quotas(l, seed);
}

/* ---- what a person or a provider does to the books ---- */

static struct weir_payer_id payer_of(void *ctx, const struct weir_charge *where)
{
    struct life *l = ctx;
    return where->job.v != 0 ? l->w.job[where->job.v].view.payer : l->w.lease[where->lease.v].payer;
}

static void on_amended(void *ctx, const struct weir_amendment *part)
{
    allow(ctx, part->payer, part->micro);
}

/* The provider bills a machine otherwise than it was quoted, while it runs or later. */
static void bill_otherwise(struct life *l)
{
    if (l->machines.n == 0) {
        return;
    }
    const struct machine *m = &l->machines.p[below(l, l->machines.n)];
    int percent = below(l, 4) == 0 ? -(int)below(l, 60) : (int)below(l, 80);
    l->rises += books_amend(&l->books, l->bill, m->lease, percent, l->w.now_us, payer_of, on_amended, l) > 0;
}

/*
 * A machine is dearer from now on: until its expiry, of which it was told, and for the time that it takes to end what runs there, it was held
 * at the old price, and so much of it may pass a budget. All else is held at the new price, or not done.
 */
static void allow_dearer(struct life *l, const struct weir_lease_view *v, int64_t more_per_hour)
{
    int64_t told_us = v->expires.us > l->w.now_us ? v->expires.us - l->w.now_us : 0;
    int64_t span_us = told_us + 10 * WEIR_US_PER_MIN + 2 * v->offer.bill_quantum.us;
    int64_t micro = more_per_hour * (span_us / WEIR_US_PER_S) / 3600 + 2;
    for (uint32_t i = 1; i < WORLD_BUDGETS_MAX; i++) {
        if (!counts(l, i, v->payer)) {
            continue;
        }
        l->ceiling[i] += micro;
        l->dearer[i] = l->w.now_us < l->dearer_until_us[i] ? l->dearer[i] + micro : micro;
        l->dearer_until_us[i] = l->w.now_us + span_us;
    }
    l->dearer_spot++;
}

/* The market: a spot machine that runs costs otherwise from now on. */
static void price_anew(struct life *l)
{
    struct weir_lease_view v;
    if (l->machines.n == 0) {
        return;
    }
    const struct machine *m = &l->machines.p[l->machines.n - 1 - below(l, l->machines.n < 8 ? l->machines.n : 8)];
    if (m->over || !weir_core_lease(l->w.core, (struct weir_lease_id){m->lease}, &v) || v.offer.market != WEIR_OFFER_SPOT) {
        return;
    }
    int64_t price = v.offer.price_micro_per_hour * (int64_t)(50 + below(l, 150)) / 100;
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_RATES};
    ev.u.node_rates.node.v = m->node;
    ev.u.node_rates.rates.full_micro_per_hour = price;
    if (price > v.price_micro_per_hour) {
        allow_dearer(l, &v, price - v.price_micro_per_hour);
    }
    step(l, &ev);
}

static void change_rules(struct life *l)
{
    struct books *b = &l->books;
    struct weir_rule r = {.kind = (enum weir_rule_kind)below(l, WEIR_RULE_EXCHANGE), .until = WEIR_WALL_MAX};
    int64_t open_us = b->closes.n == 0 ? 0 : b->closes.p[b->closes.n - 1].to.us;
    if (b->n_rules > 0 && below(l, 4) == 0) { /* one ends; not in what is closed */
        struct weir_rule *old = &b->rule[below(l, b->n_rules)];
        int64_t end = l->w.now_us - seconds(l, 0, 3600);
        end = end < open_us ? open_us : end;
        end = end < old->from.us ? old->from.us : end;
        old->until.us = end < old->until.us ? end : old->until.us;
        return;
    }
    r.from.us = l->w.now_us - seconds(l, 0, 7200);
    r.from.us = r.from.us < open_us ? open_us : r.from.us;
    r.percent_micro = r.kind == WEIR_RULE_MARKUP || (r.kind == WEIR_RULE_DISCOUNT && below(l, 2) == 0) ? 1 + (int64_t)below(l, 100000000) : 0;
    r.micro_per_hour = r.percent_micro == 0 ? 1 + (int64_t)below(l, 5000000) : 0;
    r.by_weight = below(l, 2) == 0;
    r.gpus = (uint32_t)below(l, 8);
    (void)books_add_rule(b, r);
}

static void close_books(struct life *l)
{
    int64_t to_us = l->w.now_us - seconds(l, 0, 600);
    if (l->books.closes.n == 0 || to_us > l->books.closes.p[l->books.closes.n - 1].to.us) {
        books_close(&l->books, l->bill, to_us, l->w.now_us);
    }
}

/* ---- events ---- */

static void submit(struct life *l)
{
    static const char *const tags[] = {"{}", "{\"team\":\"a\"}", "{\"team\":\"b\"}"};
    struct weir_request r = {.cpu_milli = 1000, .nodes = below(l, 8) == 0 ? 2 : 1};
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    r.alternatives = 1;
    r.alternative[0] = (struct weir_gpu_wish){WEIR_GPU_MODEL_ANY, (uint16_t)(1u << below(l, 3))};
    r.local = (uint8_t)below(l, 3);
    r.max_duration.us = seconds(l, 60, 7200);
    r.checkpoint_every.us = below(l, 2) == 0 ? 0 : 300 * WEIR_US_PER_S;
    r.checkpoint_grace.us = seconds(l, 0, 60);
    r.delay_cost_micro_per_hour = (int64_t)below(l, 20000000);
    r.max_cost_micro = below(l, 5) == 0 ? (int64_t)(1 + below(l, 8)) * 500000 : 0;
    r.retries = (uint32_t)below(l, 3);
    ev.u.job_submit.job = weir_core_take_job_id(l->w.core);
    ev.u.job_submit.project.v = 1 + (uint32_t)below(l, 3);
    ev.u.job_submit.user.v = 1 + (uint32_t)below(l, 3);
    ev.u.job_submit.tags = tags[below(l, 3)];
    ev.u.job_submit.priority = (int32_t)below(l, 400);
    ev.u.job_submit.n_tasks = 1 + (uint32_t)below(l, 6);
    ev.u.job_submit.request = &r;
    l->tasks += ev.u.job_submit.n_tasks;
    step(l, &ev);
}

static void set_budget(struct life *l)
{
    struct weir_budget b = {.span = (uint8_t)below(l, WEIR_BUDGET_SPAN_MAX), .cloud_only = below(l, 3) == 0};
    struct weir_event ev = {.kind = WEIR_EVENT_BUDGET_SET, .u.budget_set.budget = &b};
    struct weir_budget_id id[WORLD_BUDGETS_MAX];
    (void)snprintf(b.name, sizeof b.name, "b%u", (unsigned)below(l, 5));
    b.scope = (uint8_t)below(l, WEIR_BUDGET_SCOPE_MAX);
    b.project.v = 1 + (uint32_t)below(l, 3);
    b.user.v = 1 + (uint32_t)below(l, 3);
    (void)snprintf(b.tag, sizeof b.tag, "\"team\":\"%c\"", (char)('a' + below(l, 2)));
    b.amount_micro = (int64_t)(1 + below(l, 120)) * 1000000;
    b.from.us = l->w.now_us;
    b.until.us = l->w.now_us + seconds(l, 600, 40000);
    b.n_thresholds = (uint32_t)below(l, 3);
    for (uint32_t i = 0; i < b.n_thresholds; i++) {
        b.threshold[i] = (struct weir_budget_threshold){(uint16_t)(30 + 35 * i + below(l, 30)), (uint8_t)below(l, WEIR_BUDGET_ACTION_MAX)};
    }
    step(l, &ev);
    size_t n = weir_core_budgets(l->w.core, id, WEIR_ARRAY_LEN(id));
    for (size_t i = 0; i < n; i++) {
        const struct weir_budget_view *v = &l->w.budget[id[i].v];
        if (weir_streq(v->def.name, b.name)) { /* what is held when it is set may be more than it has */
            int64_t has = v->charged_micro + v->held_micro;
            l->ceiling[id[i].v] = has > v->def.amount_micro ? has : v->def.amount_micro;
            l->span_from[id[i].v] = v->span_from.us;
        }
    }
}

static void set_quota(struct life *l)
{
    static const int64_t most[WEIR_QUOTA_COUNTS_MAX] = {16, 60 * INT64_C(3600000), 30 * INT64_C(3600000), 5, 12};
    struct weir_quota q = {.scope = (uint8_t)below(l, WEIR_BUDGET_SCOPE_MAX), .counts = (uint8_t)below(l, WEIR_QUOTA_COUNTS_MAX)};
    struct weir_event ev = {.kind = WEIR_EVENT_QUOTA_SET, .u.quota_set.quota = &q};
    struct weir_quota_id id[WORLD_BUDGETS_MAX];
    (void)snprintf(q.name, sizeof q.name, "q%u", (unsigned)below(l, 4));
    q.span = (uint8_t)(q.counts == WEIR_QUOTA_GPU_HOURS ? below(l, WEIR_BUDGET_SPAN_MAX) : WEIR_BUDGET_FOREVER);
    q.gpu_model = WEIR_GPU_MODEL_ANY;
    q.project.v = 1 + (uint32_t)below(l, 3);
    q.user.v = 1 + (uint32_t)below(l, 3);
    (void)snprintf(q.tag, sizeof q.tag, "\"team\":\"%c\"", (char)('a' + below(l, 2)));
    q.limit = most[q.counts] / 4 + (int64_t)below(l, (uint64_t)most[q.counts]);
    q.from.us = l->w.now_us;
    q.until.us = l->w.now_us + seconds(l, 600, 40000);
    step(l, &ev);
    size_t n = weir_core_quotas(l->w.core, id, WEIR_ARRAY_LEN(id));
    for (size_t i = 0; i < n; i++) {
        const struct weir_quota_view *v = &l->w.quota[id[i].v];
        if (weir_streq(v->def.name, q.name)) {
            int64_t is = quota_use(v);
            l->most[id[i].v] = is > v->def.limit ? is : v->def.limit;
        }
    }
}

static void set_offers(struct life *l, uint32_t rise_percent)
{
    struct world *w = &l->w;
    struct weir_event ev = {.kind = WEIR_EVENT_OFFERS_SET};
    w->n_offers = 4;
    for (size_t i = 0; i < w->n_offers; i++) {
        struct weir_offer *o = &w->offer[i];
        int64_t price = o->price_micro_per_hour == 0 ? (int64_t)(4 + below(l, 24)) * 250000 : o->price_micro_per_hour * (100 + rise_percent) / 100;
        *o = (struct weir_offer){.id = i + 1, .gpus = (uint16_t)(1u << i), .cpu_milli = 32000, .mem_mib = 65536, .gpu_mem_mib = 40960, .launchable = true};
        (void)snprintf(o->provider, sizeof o->provider, "cloud");
        (void)snprintf(o->region, sizeof o->region, "eu");
        o->gpu_model = weir_gpu_table_intern(gpus, weir_sv_of("A100"));
        o->market = i % 2 == 0 ? WEIR_OFFER_ON_DEMAND : WEIR_OFFER_SPOT;
        o->reclaim_ppm_per_hour = i % 2 == 0 ? 0 : 50000;
        o->price_micro_per_hour = price;
        o->expires = WEIR_WALL_MAX;
        o->bill_quantum = weir_dur_s(i == 0 ? 3600 : 1 + 59 * (int64_t)(i % 2));
        o->bill_minimum = weir_dur_s(60);
        o->boot_expected = weir_dur_s(120);
    }
    ev.u.offers_set.provider = "cloud";
    ev.u.offers_set.offer = w->offer;
    ev.u.offers_set.n = w->n_offers;
    step(l, &ev);
}

static void join(struct life *l, uint64_t lease, uint64_t node)
{
    struct weir_node_spec s = {0};
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN, .u.node_join.spec = &s};
    if (lease != 0) {
        s = l->w.node[node].spec;
    } else {
        s.id = weir_core_take_node_id(l->w.core);
        s.gpus = 4;
        s.gpu_model = weir_gpu_table_intern(gpus, weir_sv_of("A100"));
        s.gpu_mem_mib = 40960;
        s.cpu_milli = 16000;
        s.mem_mib = 65536;
        s.rates = weir_owned_rates(&l->cost);
    }
    step(l, &ev);
}

static void end_run(struct life *l, struct agent_run *r)
{
    struct weir_event ev = {.kind = WEIR_EVENT_RUN_ENDED};
    r->over = true;
    ev.u.run_ended.run = r->run;
    ev.u.run_ended.rank = r->rank;
    ev.u.run_ended.at.us = r->end_us;
    ev.u.run_ended.reason = r->reason == WEIR_REASON_NONE ? WEIR_REASON_EXIT : r->reason;
    ev.u.run_ended.exit_code = r->reason == WEIR_REASON_NONE && below(l, 6) == 0 ? 1 : 0;
    step(l, &ev);
}

static int64_t checkpointed_us(struct life *l, struct weir_run_id run)
{
    struct weir_task_view v;
    return weir_core_task(l->w.core, run.task, &v) && v.attempt == run.attempt ? v.checkpointed.us : 0;
}

static void checkpoint(struct life *l, struct weir_run_id run, uint32_t rank)
{
    struct weir_event ev = {.kind = WEIR_EVENT_RUN_CHECKPOINTED, .u.run = {run, rank, {l->w.now_us}}};
    int64_t before = checkpointed_us(l, run);
    step(l, &ev);
    int64_t at = checkpointed_us(l, run);
    if (at > before) {
        weir_bill_segment_checkpoint(l->bill, run, (struct weir_wall){at});
    }
}

static void play_run(struct life *l, size_t i)
{
    struct agent_run *r = &l->runs.p[i];
    if (!r->over && r->end_us == 0 && r->start_us <= l->w.now_us) {
        struct weir_job_view job;
        struct weir_event ev = {.kind = WEIR_EVENT_RUN_STARTED, .u.run = {r->run, r->rank, {l->w.now_us}}};
        if (!weir_core_job(l->w.core, r->run.task.job, &job)) {
            r->over = true;
            return;
        }
        int64_t most = weir_core_shape(l->w.core, job.shape)->max_duration.us;
        bool late = below(l, 4) == 0;
        r->end_us = l->w.now_us + (late ? most : (int64_t)below(l, (uint64_t)most) + 1);
        r->reason = late ? WEIR_REASON_TIMEOUT : WEIR_REASON_NONE;
        step(l, &ev);
        return;
    }
    if (!r->over && r->end_us != 0 && r->end_us <= l->w.now_us) {
        end_run(l, r);
    } else if (!r->over && r->rank == 0 && r->end_us != 0 && r->reason == WEIR_REASON_NONE && below(l, 40) == 0) {
        checkpoint(l, r->run, r->rank);
    }
}

/* Its runs end with it. */
static void machine_over(struct life *l, struct machine *m)
{
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_ENDED, .u.lease = {{m->lease}, {l->w.now_us}, false}};
    m->over = true;
    for (size_t i = 0; i < l->runs.n; i++) {
        l->runs.p[i].over = l->runs.p[i].over || l->runs.p[i].node == m->node;
    }
    step(l, &ev);
}

static void play_machine(struct life *l, size_t i)
{
    struct machine *m = &l->machines.p[i];
    if (m->over) {
        return;
    }
    if (m->end_us != 0 && m->end_us <= l->w.now_us) {
        machine_over(l, m);
    } else if (!m->confirmed && m->confirm_us <= l->w.now_us) {
        struct weir_event ev = {.kind = WEIR_EVENT_LEASE_CONFIRMED, .u.lease = {{m->lease}, {l->w.now_us}, false}};
        if (m->refuses) {
            ev = (struct weir_event){.kind = WEIR_EVENT_LEASE_REFUSED, .u.lease_refused = {{m->lease}, WEIR_REFUSAL_NO_CAPACITY, {0}}};
            m->over = true;
        }
        m->confirmed = true;
        m->join_us = l->w.now_us + (below(l, 12) == 0 ? INT64_MAX / 4 : seconds(l, 30, 400)); /* some never come up */
        step(l, &ev);
    } else if (m->confirmed && !m->joined && m->join_us <= l->w.now_us && m->end_us == 0) {
        m->joined = true;
        join(l, m->lease, m->node);
    } else if (m->joined && m->end_us == 0 && below(l, 400) == 0) { /* it is taken back, with a minute's notice */
        struct weir_event ev = {.kind = WEIR_EVENT_LEASE_NOTICE, .u.lease = {{m->lease}, {l->w.now_us + WEIR_US_PER_MIN}, true}};
        m->end_us = l->w.now_us + WEIR_US_PER_MIN;
        step(l, &ev);
    }
}

static void restore_segment(struct life *l, const struct world_job *j, const struct weir_task_view *v, uint32_t rank)
{
    struct weir_err err = {""};
    const struct weir_request *request = weir_core_shape(l->w.core, j->view.shape);
    struct weir_bill_pending p = {.segment = {.run = {v->id, v->attempt}, .rank = rank, .from = v->placed, .checkpointed = v->checkpointed,
                                              .project = j->view.project, .payer = j->view.payer, .cpu_milli = request->cpu_milli}};
    uint8_t state = v->gang_state != NULL ? v->gang_state[rank] : 0;
    p.segment.node = v->gang_node != NULL ? v->gang_node[rank] : v->node;
    p.segment.gpus = (uint32_t)__builtin_popcount(v->gang_mask != NULL ? v->gang_mask[rank] : v->gpu_mask);
    books_run_posted(&l->books, &p);
    int r = 0;
    if ((state & WEIR_RANK_ENDED) == 0) {
        r = weir_bill_restore_segment(l->bill, &p.segment, &err);
    } else if ((state & WEIR_RANK_PENDING) != 0) {
        r = weir_bill_restore_pending(l->bill, &p, &err);
    }
    if (r < 0) {
        fail_msg("restore: %s", err.text);
    }
}

/* A bill from what was stored: the meters, and what runs. */
static void restore_bill(struct life *l)
{
    struct weir_err err = {""};
    const struct books *b = &l->books;
    weir_bill_free(l->bill);
    l->bill = weir_bill_new(b->postings.n + 1, b->postings.n == 0 ? (struct weir_wall){l->w.now_us} : b->postings.p[b->postings.n - 1].at);
    for (size_t i = 0; i < b->meters.n; i++) {
        struct weir_meter m = b->meters.p[i];
        if (m.info.lease.v != 0) {
            m.info.payer = l->w.lease[m.info.lease.v].payer;
        }
        if (weir_bill_restore_meter(l->bill, &m, &err) < 0) {
            fail_msg("restore: %s", err.text);
        }
    }
    for (uint64_t i = 1; i <= l->w.jobs; i++) {
        const struct world_job *j = &l->w.job[i];
        for (uint32_t k = 0; j->task != NULL && k < j->view.n_tasks; k++) {
            const struct weir_task_view *v = &j->task[k];
            bool runs = j->stored[k] && (v->state == WEIR_TASK_STARTING || v->state == WEIR_TASK_RUNNING || v->state == WEIR_TASK_STOPPING);
            for (uint32_t rank = 0; runs && v->node.v != 0 && v->lease.v == 0 && rank < (v->n_nodes > 1 ? v->n_nodes : 1); rank++) {
                restore_segment(l, j, v, rank);
            }
        }
    }
}

/* The broker was killed after a transaction, and is back. */
static void restart(struct life *l, uint64_t seed)
{
    do { /* what is told and not stored would be lost */
        settle(l, seed);
    } while (weir_core_awaits_charges(l->w.core));
    struct weir_core *c = world_restore(&l->w);
    weir_core_free(l->w.core);
    l->w.core = c;
    restore_bill(l);
    l->restarts++;
    set_offers(l, 0);
}

static void change_something(struct life *l, uint64_t what)
{
    switch (what) {
    case 20:
        set_budget(l);
        break;
    case 21:
        set_offers(l, (uint32_t)below(l, 10));
        break;
    case 22:
        set_quota(l);
        break;
    case 23:
        change_rules(l);
        break;
    case 24:
        bill_otherwise(l);
        break;
    case 25:
    case 26:
        price_anew(l);
        break;
    default:
        break;
    }
}

/* Between transactions. */
static void look_into_the_books(struct life *l, uint64_t seed, uint64_t what)
{
    if (what == 30 && below(l, 4) == 0) {
        l->priced += books_rate(&l->books, l->bill, l->w.now_us);
    } else if (what == 31 && below(l, 4) == 0) {
        close_books(l);
    } else if (what == 32 && below(l, 4) == 0) {
        restart(l, seed);
    }
}

static void live(struct life *l, uint64_t seed)
{
    for (int i = 0; i < STEPS; i++) {
        struct weir_event tick = {.kind = WEIR_EVENT_TICK};
        l->w.now_us += seconds(l, 1, 60);
        step(l, &tick);
        for (size_t k = 0; k < l->runs.n; k++) {
            play_run(l, k);
        }
        for (size_t k = 0; k < l->machines.n; k++) {
            play_machine(l, k);
        }
        uint64_t what = below(l, 60);
        if (l->tasks < TASKS && what < 12) {
            submit(l);
        }
        change_something(l, what);
        settle(l, seed);
        look_into_the_books(l, seed, what);
    }
    settle(l, seed);
    l->priced += books_rate(&l->books, l->bill, l->w.now_us);
    books_prove_closed(&l->books);
}

static struct life *life_new(uint64_t seed)
{
    struct weir_core_conf conf = weir_core_conf_default();
    struct life *l = weir_alloc(sizeof *l);
    conf.gpus = gpus;
    conf.leases_max = 10;
    world_init(&l->w, &conf);
    l->w.now_us = INT64_C(1796043600) * WEIR_US_PER_S; /* half a day before the end of a month */
    l->prng = weir_prng_seed(seed);
    l->bill = weir_bill_new(1, (struct weir_wall){l->w.now_us});
    books_init(&l->books);
    l->cost = (struct weir_owned_cost){.purchase_micro = INT64_C(60000000000), .life = weir_dur_s(4 * 365 * 86400), .tariff_micro_per_kwh = 250000,
                                       .pue_milli = 1300, .idle_watts = 300, .busy_watts = 1800};
    for (int i = 0; i < NODES; i++) {
        join(l, 0, 0);
    }
    set_offers(l, 0);
    for (int i = 0; i < 3; i++) {
        set_budget(l);
    }
    return l;
}

static void life_free(struct life *l)
{
    weir_vec_release(&l->runs);
    weir_vec_release(&l->machines);
    weir_vec_release(&l->charges);
    weir_bill_free(l->bill);
    books_release(&l->books);
    world_release(&l->w);
    free(l);
}

/* How many lives, and from which seed on. */
static uint64_t lives = 40;
static uint64_t first_seed = 1;

static void no_budget_is_passed_whatever_happens(void **state)
{
    struct life sum = {0};
    uint64_t closes = 0;
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + lives; seed++) {
        print_message("# seed %llu\n", (unsigned long long)seed);
        struct life *l = life_new(seed);
        live(l, seed);
        sum.tasks += l->tasks;
        sum.started += l->started;
        sum.blocked += l->blocked;
        sum.held_off += l->held_off;
        sum.priced += l->priced;
        sum.rises += l->rises;
        sum.dearer_spot += l->dearer_spot;
        sum.passed += l->passed;
        sum.restarts += l->restarts;
        closes += l->books.closes.n;
        life_free(l);
    }
    print_message("# %u tasks, %llu starts; decisions held up by a budget %llu, by a quota %llu; restarts %llu, closed spans %llu\n", sum.tasks,
                  (unsigned long long)sum.started, (unsigned long long)sum.blocked, (unsigned long long)sum.held_off,
                  (unsigned long long)sum.restarts, (unsigned long long)closes);
    print_message("# %llu prices posted, %llu bills above the quote, a budget passed by them %llu times\n", (unsigned long long)sum.priced,
                  (unsigned long long)sum.rises, (unsigned long long)sum.passed);
    /* something ran, and everything that can be in the way was */
    assert_true(sum.started > sum.tasks / 4 && sum.blocked > 0 && sum.held_off > 0);
    assert_true(sum.priced > 0 && sum.rises > 0 && sum.dearer_spot > 0 && sum.passed > 0 && sum.restarts > 0 && closes > 0);
}

static void the_same_seed_gives_the_same_ledger(void **state)
{
    uint64_t hash[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct life *l = life_new(77);
        live(l, 77);
        hash[i] = l->books.hash;
        assert_true(l->books.postings.n > 1000);
        life_free(l);
    }
    assert_int_equal(hash[0], hash[1]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && weir_parse_u64(weir_sv_of(argv[1]), 1, 1000000, &lives, NULL) != 0) {
        return 2;
    }
    if (argc > 2 && weir_parse_u64(weir_sv_of(argv[2]), 1, UINT64_MAX / 2, &first_seed, NULL) != 0) {
        return 2;
    }
    gpus = weir_gpu_table_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_budget_is_passed_whatever_happens),
        cmocka_unit_test(the_same_seed_gives_the_same_ledger),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    weir_gpu_table_free(gpus);
    return r;
}
