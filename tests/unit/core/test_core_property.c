/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties over random histories: every invariant holds after every step, metering pairs, the same
 * events give the same effects, and a core that was restored from views goes on as the one that was not.
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
#include "world.h"

enum { REQUESTS = 24 };

struct history {
    struct world w;
    struct weir_prng prng;
    struct weir_request request[REQUESTS];
    struct weir_core *twin; /* restored some steps ago; NULL: none */
    uint32_t twin_steps;
    bool expects; /* what is expected of jobs changes */
    bool policies; /* and so does what they may use; gangs begin and end at once too */
    struct weir_policy_rule rule[3];
    bool provider_quotas; /* providers tell what they allow */
    struct weir_provider_quota provider_quota[3];
    bool budgets; /* some are set, changed and removed, and what runs is charged */
    bool zones; /* offers and nodes have some, and most gangs want to be in one */
    struct weir_prng money; /* for all of that: histories without budgets are as they were */
    struct weir_budget budget;
    bool quotas; /* the same of quotas */
    bool shares;  /* and some of them lend and borrow */
    struct weir_quota quota;
    struct weir_charged charge[64];
};

static struct weir_gpu_table *gpus;
static const char *const models[] = {"A100", "T4", "V100"};

static uint64_t below(struct history *h, uint64_t n)
{
    return weir_prng_below(&h->prng, n);
}

static uint16_t model(const char *name)
{
    return weir_gpu_table_intern(gpus, weir_sv_of(name));
}

static void make_requests(struct history *h)
{
    for (int i = 0; i < REQUESTS; i++) {
        struct weir_request *r = &h->request[i];
        r->alternatives = (uint32_t)below(h, 3);
        for (uint32_t k = 0; k < r->alternatives; k++) {
            r->alternative[k].model =
                below(h, 4) == 0 ? (uint16_t)WEIR_GPU_MODEL_ANY : model(models[below(h, 3)]);
            r->alternative[k].count = (uint16_t)(1u << below(h, 4));
        }
        r->alternatives_ordered = below(h, 4) == 0;
        r->market = (uint8_t)below(h, 3);
        r->local = (uint8_t)below(h, 3);
        r->cpu_milli = (uint32_t)(1 + below(h, 4)) * 500;
        r->mem_mib = below(h, 3) * 1024;
        r->nodes = below(h, 6) == 0 ? 2 + (uint32_t)below(h, 2) : 1;
        r->max_duration = weir_dur_s((int64_t)(60 + below(h, 7200)));
        r->expected.us = below(h, 2) == 0 ? 0 : r->max_duration.us / (int64_t)(1 + below(h, 4));
        r->checkpoint_every = weir_dur_s(below(h, 2) == 0 ? 0 : 300);
        r->checkpoint_grace = weir_dur_s(30);
        r->delay_cost_micro_per_hour = below(h, 2) == 0 ? -1 : (int64_t)below(h, 50000000);
        r->max_cost_micro = below(h, 6) == 0 ? (int64_t)(1 + below(h, 20)) * 1000000 : 0;
        r->stage_bytes = below(h, 4) == 0 ? 1u << 30 : 0;
        r->retries = (uint32_t)below(h, 3);
    }
}

static void make_offers(struct history *h)
{
    struct world *w = &h->w;
    w->n_offers = 1 + below(h, WORLD_OFFERS_MAX);
    for (size_t i = 0; i < w->n_offers; i++) {
        struct weir_offer *o = &w->offer[i];
        *o = (struct weir_offer){.id = i + 1};
        (void)snprintf(o->provider, sizeof o->provider, "cloud");
        (void)snprintf(o->region, sizeof o->region, "eu-%u", (unsigned)below(h, 3));
        (void)snprintf(o->instance_type, sizeof o->instance_type, "t%u", (unsigned)i);
        o->market = (uint8_t)below(h, 3);
        o->machines_max = (uint32_t)below(h, 4);
        o->gpus = (uint16_t)(below(h, 4) == 0 ? 0 : 1u << below(h, 4));
        o->gpu_model = o->gpus == 0 ? (uint16_t)WEIR_GPU_MODEL_ANY : model(models[below(h, 3)]);
        o->gpu_mem_mib = 40960;
        o->cpu_milli = 16000;
        o->mem_mib = 65536;
        o->price_micro_per_hour = (int64_t)(1 + below(h, 40)) * 250000;
        o->expires = WEIR_WALL_MAX;
        o->bill_quantum = weir_dur_s(below(h, 3) == 0 ? 3600 : 60);
        o->bill_minimum = weir_dur_s(60);
        o->boot_expected = weir_dur_s((int64_t)(30 + below(h, 200)));
        o->reclaim_ppm_per_hour = o->market == WEIR_OFFER_SPOT ? 50000 : 0;
        o->launchable = below(h, 8) != 0;
    }
}

static uint64_t money_below(struct history *h, uint64_t n)
{
    return weir_prng_below(&h->money, n);
}

/* Two zones to each region; some offers leave theirs open, and others of the type may name one. */
static void add_zones(struct history *h)
{
    for (int i = 0; i < REQUESTS; i++) {
        h->request[i].nodes = money_below(h, 2) == 0 ? h->request[i].nodes : 1 + (uint32_t)money_below(h, 4);
        h->request[i].same_zone = money_below(h, 4) != 0;
    }
    for (size_t i = 0; i < h->w.n_offers; i++) {
        struct weir_offer *o = &h->w.offer[i];
        uint64_t zone = money_below(h, 3);
        (void)snprintf(o->instance_type, sizeof o->instance_type, "t%u", (unsigned)(i / 4));
        (void)snprintf(o->zone, sizeof o->zone, "%s", zone == 0 ? "" : zone == 1 ? "a" : "b");
    }
}

/* ---- random events ---- */

static struct weir_event ev_submit(struct history *h)
{
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    uint64_t n = below(h, 4);
    ev.u.job_submit.job = weir_core_take_job_id(h->w.core);
    if (h->twin != NULL) {
        (void)weir_core_take_job_id(h->twin);
    }
    ev.u.job_submit.project.v = 1 + (uint32_t)below(h, 5);
    ev.u.job_submit.priority = (int32_t)(below(h, 3) == 0 ? below(h, 1001) : 50);
    ev.u.job_submit.n_tasks = n == 0 ? 1 + (uint32_t)below(h, 90) : 1 + (uint32_t)below(h, 3);
    ev.u.job_submit.parallel_max = below(h, 3) == 0 ? 1 + (uint32_t)below(h, 4) : 0;
    ev.u.job_submit.deadline.us =
        below(h, 5) == 0 ? h->w.now_us + (int64_t)below(h, 20000) * WEIR_US_PER_S : 0;
    ev.u.job_submit.request = &h->request[below(h, REQUESTS)];
    return ev;
}

static struct weir_event ev_budget_set(struct history *h)
{
    struct weir_event ev = {.kind = WEIR_EVENT_BUDGET_SET, .u.budget_set.budget = &h->budget};
    struct weir_budget *b = &h->budget;
    memset(b, 0, sizeof *b);
    (void)snprintf(b->name, sizeof b->name, "b%u", (unsigned)money_below(h, 6));
    b->scope = (uint8_t)money_below(h, WEIR_BUDGET_SCOPE_MAX);
    b->span = (uint8_t)money_below(h, WEIR_BUDGET_SPAN_MAX);
    b->cloud_only = money_below(h, 3) == 0;
    b->project.v = 1 + (uint32_t)money_below(h, 5);
    b->user.v = 1 + (uint32_t)money_below(h, 3);
    (void)snprintf(b->tag, sizeof b->tag, "\"team\":\"%c\"", (char)('a' + money_below(h, 3)));
    b->amount_micro = (int64_t)money_below(h, 80) * 1000000;
    b->from.us = h->w.now_us + (int64_t)money_below(h, 600) * WEIR_US_PER_S;
    b->until.us = b->from.us + (int64_t)(1 + money_below(h, 3600)) * WEIR_US_PER_S;
    b->n_thresholds = (uint32_t)money_below(h, 3);
    for (uint32_t i = 0; i < b->n_thresholds; i++) {
        b->threshold[i] = (struct weir_budget_threshold){(uint16_t)(20 + 40 * i + money_below(h, 40)), (uint8_t)money_below(h, WEIR_BUDGET_ACTION_MAX)};
    }
    ev.u.budget_set.charged_micro = money_below(h, 3) == 0 ? (int64_t)money_below(h, 5000000) : 0;
    return ev;
}

/* There is one share of the same GPUs for the same work only. */
static bool is_a_share_already(const struct weir_core *c, const struct weir_quota *q)
{
    struct weir_quota_id id[WORLD_BUDGETS_MAX];
    size_t n = weir_core_quotas(c, id, WEIR_ARRAY_LEN(id));
    for (size_t i = 0; i < n; i++) {
        struct weir_quota_view v;
        assert_true(weir_core_quota(c, id[i], &v));
        if (v.def.shares && !weir_streq(v.def.name, q->name) && v.def.scope == q->scope && v.def.gpu_model == q->gpu_model &&
            v.def.project.v == q->project.v && v.def.user.v == q->user.v && weir_streq(v.def.tag, q->tag)) {
            return true;
        }
    }
    return false;
}

static struct weir_event ev_quota_set(struct history *h)
{
    static const int64_t most[] = {16, 300 * INT64_C(3600000), 90 * INT64_C(3600000), 5, 12};
    struct weir_event ev = {.kind = WEIR_EVENT_QUOTA_SET, .u.quota_set.quota = &h->quota};
    struct weir_quota *q = &h->quota;
    memset(q, 0, sizeof *q);
    (void)snprintf(q->name, sizeof q->name, "q%u", (unsigned)money_below(h, 6));
    q->scope = (uint8_t)money_below(h, WEIR_BUDGET_SCOPE_MAX);
    q->counts = (uint8_t)money_below(h, WEIR_QUOTA_COUNTS_MAX);
    q->span = (uint8_t)(q->counts == WEIR_QUOTA_GPU_HOURS ? money_below(h, WEIR_BUDGET_SPAN_MAX) : WEIR_BUDGET_FOREVER);
    bool any = q->counts == WEIR_QUOTA_TASKS || money_below(h, 2) == 0;
    q->gpu_model = any ? (uint16_t)WEIR_GPU_MODEL_ANY : model(models[money_below(h, 3)]);
    q->project.v = 1 + (uint32_t)money_below(h, 5);
    q->user.v = 1 + (uint32_t)money_below(h, 3);
    (void)snprintf(q->tag, sizeof q->tag, "\"team\":\"%c\"", (char)('a' + money_below(h, 3)));
    q->limit = (int64_t)money_below(h, (uint64_t)most[q->counts]);
    bool may_share = q->counts == WEIR_QUOTA_GPUS && q->scope != WEIR_BUDGET_ORGANISATION;
    q->shares = h->shares && may_share && money_below(h, 4) != 0 && !is_a_share_already(h->w.core, q);
    q->borrow_max = !q->shares ? 0 : money_below(h, 2) == 0 ? INT64_MAX : (int64_t)money_below(h, 8);
    q->from.us = h->w.now_us + (int64_t)money_below(h, 600) * WEIR_US_PER_S;
    q->until.us = q->from.us + (int64_t)(1 + money_below(h, 3600)) * WEIR_US_PER_S;
    return ev;
}

/* Some of what runs, and of the machines that are there. */
static struct weir_event ev_charged(struct history *h)
{
    struct world *w = &h->w;
    struct weir_event ev = {.kind = WEIR_EVENT_CHARGED, .u.charged.charge = h->charge};
    size_t n = 0;
    for (size_t i = 0; i < w->n_runs && n + 2 < WEIR_ARRAY_LEN(h->charge); i++) {
        const struct world_run *r = &w->run[i];
        if (r->segment && money_below(h, 2) == 0) {
            h->charge[n++] = (struct weir_charged){.payer = w->job[r->run.task.job.v].view.payer,
                                                  .run = r->run,
                                                  .lease = w->node[r->node].spec.lease,
                                                  .from = {w->now_us - WEIR_US_PER_MIN},
                                                  .to = {w->now_us},
                                                  .micro = (int64_t)money_below(h, 400000)};
        }
    }
    for (uint64_t i = 1; i <= w->leases && n < WEIR_ARRAY_LEN(h->charge); i++) {
        if (w->lease[i].confirmed_at.us != 0 && w->lease[i].ended_at.us == 0) {
            h->charge[n++] = (struct weir_charged){.payer = w->lease[i].payer,
                                                  .lease = {i},
                                                  .is_cost = money_below(h, 3) != 0,
                                                  .from = {w->now_us - WEIR_US_PER_MIN},
                                                  .to = {w->now_us},
                                                  .micro = (int64_t)money_below(h, 400000)};
        }
    }
    ev.u.charged.n = n;
    return ev;
}

static struct weir_event money_event(struct history *h)
{
    if (h->quotas && money_below(h, 2) == 0) {
        static const char *const names[] = {"q0", "q1", "q2", "q3", "q4", "q5"};
        bool gone = money_below(h, 3) == 0;
        return gone ? (struct weir_event){.kind = WEIR_EVENT_QUOTA_REMOVE, .u.quota_remove.name = names[money_below(h, 6)]} : ev_quota_set(h);
    }
    uint64_t x = money_below(h, 10);
    if (x < 3) {
        return ev_budget_set(h);
    }
    if (x < 4) {
        static const char *const names[] = {"b0", "b1", "b2", "b3", "b4", "b5"};
        return (struct weir_event){.kind = WEIR_EVENT_BUDGET_REMOVE, .u.budget_remove.name = names[money_below(h, 6)]};
    }
    return ev_charged(h);
}

/* Who submits is drawn apart. */
static void name_payer(struct history *h, struct weir_event *ev)
{
    static const char *const tags[] = {NULL, "{\"team\":\"a\"}", "{\"team\":\"b\",\"x\":\"y\"}", "{\"a\":\"b\",\"team\":\"c\"}"};
    ev->u.job_submit.user.v = 1 + (uint32_t)money_below(h, 3);
    ev->u.job_submit.tags = tags[money_below(h, 4)];
}

static struct weir_node_spec random_spec(struct history *h)
{
    struct weir_node_spec s = {0};
    s.gpus = (uint16_t)(below(h, 5) == 0 ? 0 : 1u << below(h, 4));
    s.gpu_model = s.gpus == 0 ? (uint16_t)WEIR_GPU_MODEL_ANY : model(models[below(h, 3)]);
    s.gpu_mem_mib = 40960;
    s.cpu_milli = 8000;
    s.mem_mib = 32768;
    for (uint32_t i = 0; i < s.gpus; i++) {
        s.link_group[i] = (uint8_t)(1 + i / 4);
    }
    s.fabric = (uint32_t)below(h, 3);
    s.rates = (struct weir_node_rates){2000000, 0, 300000};
    if (h->zones) {
        s.pool.v = 1 + (uint32_t)money_below(h, 2);
        (void)snprintf(s.region, sizeof s.region, "r%u", (unsigned)money_below(h, 2));
    }
    return s;
}

static struct weir_event ev_join(struct history *h, struct weir_node_spec *spec)
{
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN, .u.node_join.spec = spec};
    struct world *w = &h->w;
    uint64_t pick = below(h, 3);
    if (pick == 0 && w->leases > 0) { /* the agent of a rented machine */
        const struct weir_lease_view *l = &w->lease[1 + below(h, w->leases)];
        *spec = w->node[l->node.v].spec;
        if (below(h, 10) == 0 && spec->gpus > 1) {
            spec->gpus--; /* it is not what was offered */
        }
        return ev;
    }
    if (pick == 1) { /* joins again */
        uint64_t id = 1 + below(h, 40);
        if (w->node_known[id]) {
            *spec = w->node[id].spec;
            if (below(h, 4) == 0) {
                spec->rates.full_micro_per_hour += 1000;
            }
            return ev;
        }
    }
    *spec = random_spec(h);
    spec->id = weir_core_take_node_id(w->core);
    if (h->twin != NULL) {
        (void)weir_core_take_node_id(h->twin);
    }
    return ev;
}

static struct weir_event ev_node(struct history *h)
{
    static const uint8_t kinds[] = {WEIR_EVENT_NODE_LOST,   WEIR_EVENT_NODE_BACK,
                                    WEIR_EVENT_NODE_BACK,   WEIR_EVENT_NODE_DRAIN,
                                    WEIR_EVENT_NODE_RESUME, WEIR_EVENT_NODE_RESUME,
                                    WEIR_EVENT_NODE_GONE};
    struct weir_event ev = {.kind = (enum weir_event_kind)kinds[below(h, sizeof kinds)]};
    ev.u.node.node.v = 1 + below(h, 60);
    if (ev.kind == WEIR_EVENT_NODE_GONE && below(h, 3) != 0) {
        ev.kind = WEIR_EVENT_TICK;
    }
    return ev;
}

static struct weir_event ev_rates(struct history *h)
{
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_RATES};
    ev.u.node_rates.node.v = 1 + below(h, 60);
    ev.u.node_rates.rates.marginal_busy_micro_per_hour = (int64_t)below(h, 5) * 50000;
    ev.u.node_rates.rates.full_micro_per_hour = ev.u.node_rates.rates.marginal_busy_micro_per_hour + 1000000;
    return ev;
}

static struct weir_event ev_run(struct history *h)
{
    struct world *w = &h->w;
    struct weir_event ev = {.kind = WEIR_EVENT_TICK};
    if (w->n_runs == 0) {
        return ev;
    }
    struct world_run *r = &w->run[below(h, w->n_runs)];
    uint64_t what = below(h, 10);
    int64_t at = w->now_us - (int64_t)below(h, 5000000);
    if (!r->started && what < 6) {
        r->started = true;
        ev.kind = WEIR_EVENT_RUN_STARTED;
        ev.u.run.run = r->run;
        ev.u.run.rank = r->rank;
        ev.u.run.at.us = at;
        ev.u.run.all_ranks = h->policies && h->w.seq % 2 == 0;
        return ev;
    }
    if (what < 3) {
        ev.kind = WEIR_EVENT_RUN_CHECKPOINTED;
        ev.u.run.run = r->run;
        ev.u.run.at.us = at;
        return ev;
    }
    static const uint8_t reasons[] = {WEIR_REASON_EXIT, WEIR_REASON_EXIT,   WEIR_REASON_EXIT,
                                      WEIR_REASON_EXIT, WEIR_REASON_SIGNAL, WEIR_REASON_OOM,
                                      WEIR_REASON_SETUP_FAILED, WEIR_REASON_CANCEL};
    ev.kind = WEIR_EVENT_RUN_ENDED;
    ev.u.run_ended.run = r->run;
    ev.u.run_ended.rank = r->rank;
    ev.u.run_ended.at.us = at;
    ev.u.run_ended.reason = r->stop_asked ? r->stop_reason : reasons[below(h, sizeof reasons)];
    ev.u.run_ended.exit_code = below(h, 4) == 0 ? 3 : 0;
    ev.u.run_ended.all_ranks = h->policies && h->w.seq % 3 == 0;
    if (below(h, 20) == 0) {
        ev.u.run_ended.run.attempt += (uint32_t)below(h, 3); /* of another attempt, perhaps */
    }
    return ev;
}

static struct weir_event ev_lease(struct history *h)
{
    static const uint8_t kinds[] = {WEIR_EVENT_LEASE_CONFIRMED, WEIR_EVENT_LEASE_CONFIRMED,
                                    WEIR_EVENT_LEASE_CONFIRMED, WEIR_EVENT_LEASE_REFUSED,
                                    WEIR_EVENT_LEASE_NOTICE,    WEIR_EVENT_LEASE_ENDED,
                                    WEIR_EVENT_LEASE_RELEASE};
    struct weir_event ev = {.kind = (enum weir_event_kind)kinds[below(h, sizeof kinds)]};
    uint64_t newest = h->w.leases;
    uint64_t id = newest == 0 ? 1 : newest - below(h, newest < 8 ? newest : 8);
    if (ev.kind == WEIR_EVENT_LEASE_REFUSED) {
        ev.u.lease_refused.lease.v = id;
        ev.u.lease_refused.refusal = (uint8_t)below(h, WEIR_REFUSAL_MAX);
        return ev;
    }
    ev.u.lease.lease.v = id;
    ev.u.lease.at.us = h->w.now_us + (ev.kind == WEIR_EVENT_LEASE_NOTICE ? 60000000 : -1000);
    ev.u.lease.reclaimed = below(h, 2) == 0;
    return ev;
}

static struct weir_event ev_offers(struct history *h)
{
    struct weir_event ev = {.kind = WEIR_EVENT_OFFERS_SET};
    ev.u.offers_set.provider = "cloud";
    ev.u.offers_set.offer = h->w.offer;
    ev.u.offers_set.n = h->w.n_offers;
    return ev;
}

static struct weir_event ev_expect(struct history *h)
{
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_EXPECT};
    ev.u.job_expect.job.v = 1 + below(h, h->w.jobs + 1);
    ev.u.job_expect.expected = weir_dur_s((int64_t)below(h, 9000)); /* more than its limit, and nothing, too */
    return ev;
}

static struct weir_event ev_policy(struct history *h)
{
    enum { LISTS_MAX = 8 };
    uint32_t known = weir_core_policies(h->w.core);
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_POLICY};
    ev.u.job_policy.job.v = 1 + below(h, h->w.jobs + 1);
    ev.u.job_policy.policy = (uint32_t)below(h, known + 1);
    if (known < LISTS_MAX && below(h, 3) == 0) {
        ev.kind = WEIR_EVENT_POLICY_DEFINE;
        memset(h->rule, 0, sizeof h->rule);
        for (size_t i = 0; i < sizeof h->rule / sizeof h->rule[0]; i++) {
            h->rule[i].deny = below(h, 3) != 0;
            h->rule[i].place = (uint8_t)below(h, 3);
            h->rule[i].market = h->rule[i].place == WEIR_POLICY_OWNED ? 0 : (uint8_t)below(h, 3);
            h->rule[i].gpu[0] = below(h, 2) == 0 ? '\0' : below(h, 2) == 0 ? 'A' : 'H';
            h->rule[i].gpu[1] = h->rule[i].gpu[0] == '\0' ? '\0' : '*';
        }
        ev.u.policy_define.number = known + 1;
        ev.u.policy_define.rule = h->rule;
        ev.u.policy_define.n = below(h, 4);
    }
    return ev;
}

static struct weir_event ev_provider_quotas(struct history *h)
{
    struct weir_event ev = {.kind = WEIR_EVENT_PROVIDER_QUOTAS_SET};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(h->provider_quota); i++) {
        struct weir_provider_quota *q = &h->provider_quota[i];
        *q = (struct weir_provider_quota){.unit = (uint8_t)below(h, WEIR_QUOTA_UNIT_MAX)};
        (void)snprintf(q->name, sizeof q->name, "q%zu", i);
        (void)snprintf(q->region, sizeof q->region, below(h, 2) == 0 ? "" : "eu-%u", (unsigned)below(h, 3));
        q->n_types = (uint8_t)below(h, 2);
        (void)snprintf(q->type[0], sizeof q->type[0], "t%u*", (unsigned)below(h, 2));
        q->limit = (int64_t)below(h, q->unit == WEIR_QUOTA_UNIT_MACHINES ? 6 : q->unit == WEIR_QUOTA_UNIT_MEM_MIB ? 400000 : 60);
        q->used = (int64_t)below(h, (uint64_t)q->limit + 2);
    }
    ev.u.provider_quotas_set.provider = "cloud";
    ev.u.provider_quotas_set.quota = h->provider_quota;
    ev.u.provider_quotas_set.n = below(h, WEIR_ARRAY_LEN(h->provider_quota) + 1);
    ev.u.provider_quotas_set.as_of.us = h->w.now_us - (int64_t)below(h, 60) * WEIR_US_PER_S;
    return ev;
}

static struct weir_event random_event(struct history *h, struct weir_node_spec *spec)
{
    struct weir_event ev = {.kind = WEIR_EVENT_TICK};
    uint64_t x = below(h, 100);
    if (x < 18 && h->w.jobs + 8 < WORLD_JOBS_MAX && h->w.n_runs < 1500) {
        return ev_submit(h);
    }
    if (x < 22) {
        ev.kind = WEIR_EVENT_JOB_CANCEL;
        ev.u.job_cancel.job.v = 1 + below(h, h->w.jobs + 1);
        ev.u.job_cancel.ordinal =
            below(h, 2) == 0 ? WEIR_ORDINAL_ALL : (uint32_t)below(h, 4);
        return ev;
    }
    if (x < 28) {
        return ev_join(h, spec);
    }
    if (x < 32) {
        return below(h, 3) == 0 ? ev_rates(h) : ev_node(h);
    }
    if (x < 70) {
        return ev_run(h);
    }
    if (x < 82) {
        return ev_lease(h);
    }
    if (x < 83) {
        make_offers(h);
        if (h->zones) {
            add_zones(h);
        }
        return ev_offers(h);
    }
    if (x < 85) {
        ev.kind = WEIR_EVENT_PROJECT_SET;
        ev.u.project_set.project.v = 1 + (uint32_t)below(h, 5);
        ev.u.project_set.weight = 1 + (uint32_t)below(h, 300);
        ev.u.project_set.delay_cost_micro_per_hour = (int64_t)below(h, 3000000);
        return ev;
    }
    if (x >= 90 && x < 95 && h->policies) {
        return ev_policy(h);
    }
    if (x >= 95 && h->provider_quotas) {
        return ev_provider_quotas(h);
    }
    return x < 90 && h->expects ? ev_expect(h) : ev;
}

/* ---- comparing two cores ---- */

static void print_effects(const char *who, const struct weir_effects *x)
{
    for (size_t i = 0; i < x->n_effects; i++) {
        const struct weir_effect *e = &x->effect[i];
        print_message("# %s: %s node %llu lease %llu run %llu.%u/%u rank %u\n", who,
                      weir_effect_name(e->kind), (unsigned long long)e->node.v,
                      (unsigned long long)e->lease.v, (unsigned long long)e->run.task.job.v,
                      e->run.task.ordinal, e->run.attempt, e->rank);
    }
    for (size_t i = 0; i < x->n_explains; i++) {
        const struct weir_explain *e = &x->explain[i];
        print_message("# %s: %s %llu.%u", who,
                      weir_decision_name((enum weir_decision)e->decision),
                      (unsigned long long)e->task.job.v, e->task.ordinal);
        for (uint32_t k = 0; k < e->n_candidates; k++) {
            print_message(" [%s node %llu offer %llu delay %lld total %lld]",
                          weir_candidate_kind_name((enum weir_candidate_kind)e->candidate[k].kind),
                          (unsigned long long)e->candidate[k].node.v,
                          (unsigned long long)e->candidate[k].offer,
                          (long long)e->candidate[k].start_delay.us,
                          (long long)e->candidate[k].total_micro);
        }
        print_message("\n");
    }
}

static void same_effects(const struct weir_effects *a, const struct weir_effects *b, uint64_t seq)
{
    if (a->n_effects != b->n_effects) {
        print_effects("went on", a);
        print_effects("restored", b);
        fail_msg("step %llu: %zu effects against %zu", (unsigned long long)seq, a->n_effects,
                 b->n_effects);
    }
    for (size_t i = 0; i < a->n_effects; i++) {
        const struct weir_effect *x = &a->effect[i];
        const struct weir_effect *y = &b->effect[i];
        bool same = x->kind == y->kind && x->node.v == y->node.v && x->lease.v == y->lease.v &&
                    weir_run_id_eq(x->run, y->run) && x->rank == y->rank && x->at.us == y->at.us;
        if (same && x->kind == WEIR_EFFECT_RUN_START) {
            same = x->u.run_start.gpu_mask == y->u.run_start.gpu_mask;
        } else if (same && x->kind == WEIR_EFFECT_LEASE_LAUNCH) {
            same = x->u.lease_launch.offer->id == y->u.lease_launch.offer->id;
        } else if (same && (x->kind == WEIR_EFFECT_SEGMENT_CLOSE || x->kind == WEIR_EFFECT_SEGMENT_VERDICT)) {
            same = x->u.segment.outcome == y->u.segment.outcome &&
                   x->u.segment.kept_until.us == y->u.segment.kept_until.us;
        }
        if (!same) {
            print_effects("went on", a);
            print_effects("restored", b);
            fail_msg("step %llu, effect %zu: %s of job %llu node %llu against %s of job %llu node %llu",
                     (unsigned long long)seq, i, weir_effect_name(x->kind),
                     (unsigned long long)x->run.task.job.v, (unsigned long long)x->node.v,
                     weir_effect_name(y->kind), (unsigned long long)y->run.task.job.v,
                     (unsigned long long)y->node.v);
        }
    }
}

/* What no effect tells of: tasks that are bound to a booting machine, and what is held and charged. */
static void same_money(struct history *h, uint64_t seq)
{
    struct weir_core_stats a = weir_core_stats(h->w.core);
    struct weir_core_stats b = weir_core_stats(h->twin);
    assert_int_equal(a.tasks_running, b.tasks_running);
    assert_int_equal(a.tasks_waiting, b.tasks_waiting);
    struct weir_budget_id id[WORLD_BUDGETS_MAX];
    size_t n = weir_core_budgets(h->w.core, id, WEIR_ARRAY_LEN(id));
    assert_int_equal(n, weir_core_budgets(h->twin, NULL, 0));
    for (size_t i = 0; i < n; i++) {
        struct weir_budget_view x;
        struct weir_budget_view y;
        assert_true(weir_core_budget(h->w.core, id[i], &x) && weir_core_budget(h->twin, id[i], &y));
        if (x.charged_micro != y.charged_micro || x.held_micro != y.held_micro || x.reached != y.reached || x.span_from.us != y.span_from.us) {
            fail_msg("step %llu: budget '%s': charged %lld held %lld against charged %lld held %lld", (unsigned long long)seq, x.def.name,
                     (long long)x.charged_micro, (long long)x.held_micro, (long long)y.charged_micro, (long long)y.held_micro);
        }
    }
}

static void same_quotas(struct history *h, uint64_t seq)
{
    struct weir_quota_id id[WORLD_BUDGETS_MAX];
    size_t n = weir_core_quotas(h->w.core, id, WEIR_ARRAY_LEN(id));
    assert_int_equal(n, weir_core_quotas(h->twin, NULL, 0));
    for (size_t i = 0; i < n; i++) {
        struct weir_quota_view x;
        struct weir_quota_view y;
        assert_true(weir_core_quota(h->w.core, id[i], &x) && weir_core_quota(h->twin, id[i], &y));
        if (x.n != y.n || x.used_ms != y.used_ms || x.held_ms != y.held_ms || x.span_from.us != y.span_from.us) {
            fail_msg("step %llu: quota '%s': %lld now, %lld used, %lld held against %lld, %lld, %lld", (unsigned long long)seq, x.def.name,
                     (long long)x.n, (long long)x.used_ms, (long long)x.held_ms, (long long)y.n, (long long)y.used_ms, (long long)y.held_ms);
        }
    }
}

static void same_holds(struct history *h, uint64_t seq)
{
    for (size_t i = 1; i < h->w.holds; i++) {
        struct weir_hold_view x;
        struct weir_hold_view y;
        bool known = weir_core_hold(h->w.core, (struct weir_hold_id){i}, &x) && x.state == WEIR_HOLD_ACTIVE;
        if (known && weir_core_hold(h->twin, (struct weir_hold_id){i}, &y) && (x.until.us != y.until.us || x.amount_micro != y.amount_micro)) {
            fail_msg("step %llu: hold %zu of %llu.%u/%u: until %lld against %lld", (unsigned long long)seq, i, (unsigned long long)x.task.job.v, x.task.ordinal,
                     x.attempt, (long long)x.until.us, (long long)y.until.us);
        }
    }
}

/* Where tasks are that wait for their machines no effect tells. */
static void same_places(struct history *h, uint64_t seq)
{
    for (uint64_t i = 1; i <= h->w.jobs; i++) {
        const struct weir_job_view *j = &h->w.job[i].view;
        uint32_t left = weir_job_state_is_final(j->state) ? 0 : j->count[WEIR_TASK_STARTING];
        for (uint32_t k = 0; k < j->n_tasks && left > 0; k++) {
            struct weir_task_view x;
            struct weir_task_view y;
            assert_true(weir_core_task(h->w.core, (struct weir_task_id){{i}, k}, &x) && weir_core_task(h->twin, (struct weir_task_id){{i}, k}, &y));
            left -= x.state == WEIR_TASK_STARTING;
            if (x.state == WEIR_TASK_STARTING && (y.state != x.state || x.node.v != y.node.v)) {
                fail_msg("step %llu: task %llu.%u is %s on node %llu against %s on node %llu", (unsigned long long)seq, (unsigned long long)i, k,
                         weir_task_state_name(x.state), (unsigned long long)x.node.v, weir_task_state_name(y.state), (unsigned long long)y.node.v);
            }
        }
    }
}

static void twin_step(struct history *h, const struct weir_event *ev)
{
    struct weir_effects x;
    struct weir_err err = {""};
    if (weir_core_step(h->twin, ev, &x, &err) < 0) {
        fail_msg("twin: %s", err.text);
    }
    if (!weir_core_check(h->twin, &err)) {
        fail_msg("twin at step %llu: %s", (unsigned long long)ev->seq, err.text);
    }
    same_effects(&h->w.effects, &x, ev->seq);
    same_money(h, ev->seq);
    same_holds(h, ev->seq);
    same_places(h, ev->seq);
    same_quotas(h, ev->seq);
    if (++h->twin_steps > 60) { /* the twin takes over */
        weir_core_free(h->w.core);
        h->w.core = h->twin;
        h->w.effects = x; /* the others went with their core */
        h->twin = NULL;
    }
}

/* Only one of the two cores is asked: what it says must not show in what it does. */
static void ask_what_if(struct history *h)
{
    struct weir_explain x;
    struct weir_err err = {""};
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT, .now = {h->w.now_us}};
    struct weir_request r = h->request[below(h, REQUESTS)];
    r.retries += (uint32_t)below(h, 2) * 7; /* a shape of its own, perhaps */
    ev.u.job_submit.project.v = 1 + (uint32_t)below(h, 9);
    ev.u.job_submit.priority = (int32_t)below(h, 1001);
    ev.u.job_submit.n_tasks = 1 + (uint32_t)below(h, 70);
    ev.u.job_submit.request = &r;
    struct weir_core_stats before = weir_core_stats(h->w.core);
    assert_true(weir_core_what_if(h->w.core, &ev, &x, &err));
    struct weir_core_stats after = weir_core_stats(h->w.core);
    assert_int_equal(before.jobs, after.jobs);
    assert_int_equal(before.shapes, after.shapes);
    assert_int_equal(before.tasks_waiting, after.tasks_waiting);
    if (!weir_core_check(h->w.core, &err)) {
        fail_msg("after what_if: %s", err.text);
    }
}

static void one_step(struct history *h, bool twins)
{
    struct weir_node_spec spec = {0};
    struct weir_err err = {""};
    uint64_t pace = below(h, 20);
    h->w.now_us += pace == 0 ? (int64_t)below(h, 600) * WEIR_US_PER_S : (int64_t)below(h, 3000000);
    if (twins && h->twin == NULL && below(h, 80) == 0) {
        while (weir_core_awaits_charges(h->w.core)) { /* a store has them by then */
            struct weir_event none = {.kind = WEIR_EVENT_CHARGED};
            world_step(&h->w, &none);
        }
        if (h->provider_quotas) { /* they are told anew after a restore */
            struct weir_event none = {.kind = WEIR_EVENT_PROVIDER_QUOTAS_SET, .u.provider_quotas_set.provider = "cloud"};
            world_step(&h->w, &none);
        }
        h->twin = world_restore(&h->w);
        h->twin_steps = 0;
    }
    if (below(h, 16) == 0) {
        ask_what_if(h);
    }
    struct weir_event ev =
        h->twin != NULL && h->twin_steps == 0 ? ev_offers(h) : random_event(h, &spec);
    if (h->budgets && ev.kind == WEIR_EVENT_JOB_SUBMIT) {
        name_payer(h, &ev);
    } else if (h->budgets && ev.kind != WEIR_EVENT_NODE_JOIN && (h->twin == NULL || h->twin_steps > 0) && money_below(h, 5) == 0) {
        ev = money_event(h);
    }
    world_step(&h->w, &ev);
    if (!weir_core_check(h->w.core, &err)) {
        fail_msg("step %llu (%s): %s", (unsigned long long)ev.seq, weir_event_name(ev.kind),
                 err.text);
    }
    if (h->twin != NULL) {
        twin_step(h, &ev);
    }
}

static struct history *history_new(uint64_t seed)
{
    struct weir_core_conf conf = weir_core_conf_default();
    struct history *h = weir_alloc(sizeof *h);
    conf.gpus = gpus;
    conf.leases_max = 12;
    h->prng = weir_prng_seed(seed);
    world_init(&h->w, &conf);
    make_requests(h);
    make_offers(h);
    struct weir_event ev = ev_offers(h);
    world_step(&h->w, &ev);
    return h;
}

static struct history *history_with_budgets(uint64_t seed)
{
    struct history *h = history_new(seed);
    h->budgets = true;
    h->money = weir_prng_seed(seed * 7 + 1);
    return h;
}

static struct history *history_with_zones(uint64_t seed)
{
    struct history *h = history_with_budgets(seed);
    h->budgets = false;
    h->zones = true;
    add_zones(h);
    struct weir_event ev = ev_offers(h);
    world_step(&h->w, &ev);
    return h;
}

static struct history *history_with_quotas(uint64_t seed)
{
    struct history *h = history_with_budgets(seed);
    h->quotas = true;
    h->shares = seed % 2 == 0;
    return h;
}

static void history_free(struct history *h)
{
    weir_core_free(h->twin);
    world_release(&h->w);
    free(h);
}

/* How many histories, and from which seed on: "./dev sim N [FIRST]" plays many more than the tests do. */
static uint64_t histories = 12;
static uint64_t first_seed = 1;

/* To its end; the last seed printed is the one that fails. */
static void play(struct history *h, uint64_t seed, int steps, bool twins)
{
    print_message("# seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < steps; i++) {
        one_step(h, twins);
    }
    history_free(h);
}

static void invariants_hold_over_random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        struct history *h = history_new(seed);
        h->expects = true;
        play(h, seed, 1500, false);
    }
}

static void play_with_twins(uint64_t seed, bool expects)
{
    struct history *h = history_new(seed + 100);
    h->expects = expects;
    play(h, seed, 1500, true);
}

static void restored_core_goes_on_as_the_other(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        play_with_twins(seed, true);
    }
}

static void policies_change_under_what_waits_and_runs(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        struct history *h = history_new(seed + 5000);
        h->expects = h->policies = true;
        play(h, seed, 1000, true);
    }
}

static void restored_core_goes_on_within_what_providers_allow(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        struct history *h = history_new(seed + 9000);
        h->expects = h->provider_quotas = true;
        for (int i = 0; i < 1000; i++) {
            one_step(h, true);
        }
        history_free(h);
    }
}

/* Histories that failed once, for a reason of its own each. */
static void restored_core_goes_on_where_it_did_not(void **state)
{
    static const uint64_t seeds[] = {45, 206, 254, 321, 571};
    (void)state;
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        play_with_twins(seeds[i], false);
    }
    play_with_twins(5196, true);
    play(history_with_quotas(2554), 2554, 1500, true); /* a machine rented in a plan is a way for those who were parked before it */
}

static void play_all(struct history *(*make)(uint64_t seed), uint64_t from, bool twins)
{
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        play(make(seed + from), seed, 1500, twins);
    }
}

/* Where the node stands: a zone of the cloud, or a pool and region. */
static void zone_of_node(const struct history *h, uint64_t node, char *ret, size_t size)
{
    const struct weir_node_spec *s = &h->w.node[node].spec;
    if (s->lease.v == 0) {
        (void)snprintf(ret, size, "pool %u in %s", s->pool.v, s->region);
    } else {
        (void)snprintf(ret, size, "%s of %s", h->w.lease[s->lease.v].offer.zone, s->region);
    }
}

/* Of the gangs that began in the last step and ask for one zone; gives how many of their nodes were looked at. */
static uint32_t check_zones(const struct history *h)
{
    uint32_t n = 0;
    for (size_t i = 0; i < h->w.effects.n_effects; i++) {
        const struct weir_effect *e = &h->w.effects.effect[i];
        struct weir_task_view v;
        char first[64];
        char zone[64];
        if (e->kind != WEIR_EFFECT_RUN_START || e->u.run_start.nodes == 1 || !weir_core_task(h->w.core, e->run.task, &v) ||
            !weir_core_shape(h->w.core, h->w.job[e->run.task.job.v].view.shape)->same_zone) {
            continue;
        }
        zone_of_node(h, v.node.v, first, sizeof first);
        zone_of_node(h, e->node.v, zone, sizeof zone);
        assert_string_equal(zone, first);
        assert_int_not_equal(zone[0], ' '); /* of a rented machine it is known */
        n++;
    }
    return n;
}

static void gangs_that_ask_for_one_zone_are_in_one(void **state)
{
    uint32_t n = 0;
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        struct history *h = history_with_zones(seed + 9000);
        for (int i = 0; i < 1500; i++) {
            one_step(h, true);
            n += check_zones(h);
        }
        history_free(h);
    }
    assert_true(n > 2 * histories);
}

static void invariants_hold_under_budgets(void **state)
{
    (void)state;
    play_all(history_with_budgets, 0, false);
}

static void restored_core_goes_on_under_budgets(void **state)
{
    (void)state;
    play_all(history_with_budgets, 500, true);
}

/* How far each quota was passed before the step; what is passed must not grow, but where a quota is new. */
struct passed {
    struct weir_quota_view quota[WORLD_BUDGETS_MAX];
};

static int64_t quota_use(const struct weir_quota_view *q)
{
    return weir_quota_is_timed((enum weir_quota_counts)q->def.counts) ? q->used_ms + q->held_ms : q->n;
}

static bool is_the_same(const struct weir_quota_view *a, const struct weir_quota_view *b)
{
    return a->id.v == b->id.v && memcmp(&a->def, &b->def, sizeof a->def) == 0 && a->span_from.us == b->span_from.us;
}

static bool is_under_way(const struct weir_quota_view *q, int64_t now_us)
{
    return q->span_from.us <= now_us && (q->span_until.us == 0 || now_us < q->span_until.us);
}

/* These agents stop when it pleases them: does a run last longer than it may? What that takes is counted too. */
static bool any_is_overdue(const struct history *h)
{
    bool any = false;
    for (size_t i = 0; i < h->w.holds; i++) {
        any = any || (h->w.hold[i].state == WEIR_HOLD_ACTIVE && h->w.hold[i].until.us < h->w.now_us);
    }
    return any;
}

/* All that share are together within what they own together; the scopes of projects and users are enough. */
static void no_cohort_is_passed(const struct passed *was, const struct passed *is, const struct weir_quota *of)
{
    int64_t over = 0;
    int64_t before = 0;
    bool same = of->shares && of->scope != WEIR_BUDGET_TAG;
    for (size_t i = 1; i < WORLD_BUDGETS_MAX && same; i++) {
        const struct weir_quota *q = &is->quota[i].def;
        const struct weir_quota *old = &was->quota[i].def;
        same = memcmp(q, old, sizeof *q) == 0;
        if (q->shares && q->scope == of->scope && q->gpu_model == of->gpu_model) {
            over += is->quota[i].n - q->limit;
            before += was->quota[i].n - q->limit;
        }
    }
    assert_false(same && over > 0 && over > before);
}

static void no_quota_is_passed(struct history *h, struct passed *was, bool overdue)
{
    struct weir_quota_id id[WORLD_BUDGETS_MAX];
    struct passed is = {0};
    size_t n = weir_core_quotas(h->w.core, id, WEIR_ARRAY_LEN(id));
    for (size_t i = 0; i < n; i++) {
        struct weir_quota_view *q = &is.quota[id[i].v];
        assert_true(weir_core_quota(h->w.core, id[i], q));
        const struct weir_quota_view *old = &was->quota[id[i].v];
        int64_t most = q->def.shares ? weir_i64_add_sat(q->def.limit, q->def.borrow_max) : q->def.limit;
        int64_t over = quota_use(q) - most;
        bool is_new = !is_the_same(old, q) || !is_under_way(old, old->as_of.us) || (overdue && weir_quota_is_timed((enum weir_quota_counts)q->def.counts));
        if (is_under_way(q, h->w.now_us) && !is_new && over > 0 && quota_use(q) > quota_use(old)) {
            fail_msg("quota '%s' (%s) of %lld is passed by %lld", q->def.name, weir_quota_counts_name((enum weir_quota_counts)q->def.counts),
                     (long long)q->def.limit, (long long)over);
        }
    }
    for (size_t i = 1; i < WORLD_BUDGETS_MAX; i++) {
        no_cohort_is_passed(was, &is, &is.quota[i].def);
    }
    *was = is;
}

static void no_quota_is_passed_over_random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        print_message("# seed %llu\n", (unsigned long long)seed);
        struct history *h = history_with_quotas(seed + 900);
        struct passed was = {0};
        for (int i = 0; i < 1500; i++) {
            bool overdue = any_is_overdue(h);
            one_step(h, false);
            no_quota_is_passed(h, &was, overdue || any_is_overdue(h));
        }
        history_free(h);
    }
}

static void restored_core_goes_on_under_quotas(void **state)
{
    (void)state;
    play_all(history_with_quotas, 1500, true);
}

/* Asked to stop, but it was done: the last of the gang ends in a core that did not see the first one's end. */
static void restored_gang_ends_as_it_would_have(void **state)
{
    (void)state;
    struct history *h = history_new(1);
    struct weir_node_spec spec = {.gpus = 1, .gpu_model = model("T4"), .gpu_mem_mib = 16384, .cpu_milli = 8000, .mem_mib = 32768};
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN, .u.node_join.spec = &spec};
    for (int i = 0; i < 2; i++) {
        spec.id = weir_core_take_node_id(h->w.core);
        world_step(&h->w, &ev);
    }
    struct weir_request r = {.alternatives = 1, .alternative = {{model("T4"), 1}}, .local = WEIR_LOCAL_ONLY,
                             .cpu_milli = 1000, .nodes = 2, .max_duration = weir_dur_s(3600)};
    ev = (struct weir_event){.kind = WEIR_EVENT_JOB_SUBMIT};
    ev.u.job_submit.job = weir_core_take_job_id(h->w.core);
    ev.u.job_submit.project.v = 1;
    ev.u.job_submit.n_tasks = 1;
    ev.u.job_submit.request = &r;
    world_step(&h->w, &ev);
    struct weir_run_id run = {{ev.u.job_submit.job, 0}, 1};
    ev = (struct weir_event){.kind = WEIR_EVENT_JOB_CANCEL};
    ev.u.job_cancel.job = run.task.job;
    ev.u.job_cancel.ordinal = WEIR_ORDINAL_ALL;
    world_step(&h->w, &ev);
    for (uint32_t rank = 0; rank < 2; rank++) {
        ev = (struct weir_event){.kind = WEIR_EVENT_RUN_ENDED};
        ev.u.run_ended.run = run;
        ev.u.run_ended.rank = rank;
        ev.u.run_ended.at.us = h->w.now_us;
        ev.u.run_ended.reason = WEIR_REASON_EXIT;
        world_step(&h->w, &ev);
        struct weir_core *other = rank == 0 ? world_restore(&h->w) : NULL;
        if (other != NULL) {
            weir_core_free(h->w.core);
            h->w.core = other;
        }
    }
    assert_int_equal(h->w.job[run.task.job.v].task[0].state, WEIR_TASK_SUCCEEDED);
    assert_int_equal(h->w.job[run.task.job.v].view.state, WEIR_JOB_SUCCEEDED);
    history_free(h);
}

static uint64_t fold_effects(uint64_t hash, const struct weir_effects *x)
{
    for (size_t i = 0; i < x->n_effects; i++) {
        const struct weir_effect *e = &x->effect[i];
        const uint64_t v[] = {hash,          (uint64_t)e->kind, e->node.v,
                              e->lease.v,    e->run.task.job.v, e->run.task.ordinal,
                              e->run.attempt, e->rank,          (uint64_t)e->at.us};
        hash = weir_hash_bytes(v, sizeof v);
    }
    return hash;
}

static void same_events_give_same_effects(void **state)
{
    (void)state;
    for (uint64_t seed = 201; seed <= 203; seed++) {
        uint64_t hash[2] = {0};
        for (int turn = 0; turn < 2; turn++) {
            struct history *h = history_new(seed);
            for (int i = 0; i < 800; i++) {
                one_step(h, false);
                hash[turn] = fold_effects(hash[turn], &h->w.effects);
            }
            history_free(h);
        }
        assert_int_equal(hash[0], hash[1]);
    }
}

static void tick_after_each_step(struct history *h)
{
    for (int i = 0; i < 800; i++) {
        one_step(h, false);
        struct weir_event tick = {.kind = WEIR_EVENT_TICK};
        world_step(&h->w, &tick);
        if (h->w.effects.n_effects != 0) {
            print_effects("tick", &h->w.effects);
            fail_msg("step %llu: %s", (unsigned long long)tick.seq,
                     weir_effect_name(h->w.effects.effect[0].kind));
        }
    }
    history_free(h);
}

static void a_tick_after_a_step_changes_nothing(void **state)
{
    (void)state;
    tick_after_each_step(history_new(301));
    tick_after_each_step(history_with_budgets(302));
    tick_after_each_step(history_with_quotas(303));
}

int main(int argc, char **argv)
{
    if (argc > 1 && weir_parse_u64(weir_sv_of(argv[1]), 1, 1000000, &histories, NULL) != 0) {
        return 2;
    }
    if (argc > 2 && weir_parse_u64(weir_sv_of(argv[2]), 1, UINT64_MAX / 2, &first_seed, NULL) != 0) {
        return 2;
    }
    gpus = weir_gpu_table_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(invariants_hold_over_random_histories),
        cmocka_unit_test(invariants_hold_under_budgets),
        cmocka_unit_test(restored_core_goes_on_under_budgets),
        cmocka_unit_test(gangs_that_ask_for_one_zone_are_in_one),
        cmocka_unit_test(no_quota_is_passed_over_random_histories),
        cmocka_unit_test(restored_core_goes_on_under_quotas),
        cmocka_unit_test(same_events_give_same_effects),
        cmocka_unit_test(a_tick_after_a_step_changes_nothing),
        cmocka_unit_test(restored_gang_ends_as_it_would_have),
        cmocka_unit_test(restored_core_goes_on_within_what_providers_allow),
        cmocka_unit_test(restored_core_goes_on_where_it_did_not),
        cmocka_unit_test(restored_core_goes_on_as_the_other),
        cmocka_unit_test(policies_change_under_what_waits_and_runs),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    weir_gpu_table_free(gpus);
    return r;
}
