/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

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

static struct weir_gpu_table *gpus; /* of all histories */
static const char *const models[] = {"A100", "T4", "V100"};

uint64_t history_below(struct history *h, uint64_t n)
{
    return weir_prng_below(&h->prng, n);
}

uint16_t history_model(const char *name)
{
    return weir_gpu_table_intern(gpus, weir_sv_of(name));
}

static void make_requests(struct history *h)
{
    for (int i = 0; i < REQUESTS; i++) {
        struct weir_request *r = &h->request[i];
        r->alternatives = (uint32_t)history_below(h, 3);
        for (uint32_t k = 0; k < r->alternatives; k++) {
            r->alternative[k].model =
                history_below(h, 4) == 0 ? (uint16_t)WEIR_GPU_MODEL_ANY : history_model(models[history_below(h, 3)]);
            r->alternative[k].count = (uint16_t)(1u << history_below(h, 4));
        }
        r->alternatives_ordered = history_below(h, 4) == 0;
        r->market = (uint8_t)history_below(h, 3);
        r->local = (uint8_t)history_below(h, 3);
        r->cpu_milli = (uint32_t)(1 + history_below(h, 4)) * 500;
        r->mem_mib = history_below(h, 3) * 1024;
        r->nodes = history_below(h, 6) == 0 ? 2 + (uint32_t)history_below(h, 2) : 1;
        r->max_duration = weir_dur_s((int64_t)(60 + history_below(h, 7200)));
        r->expected.us = history_below(h, 2) == 0 ? 0 : r->max_duration.us / (int64_t)(1 + history_below(h, 4));
        r->checkpoint_every = weir_dur_s(history_below(h, 2) == 0 ? 0 : 300);
        r->checkpoint_grace = weir_dur_s(30);
        r->delay_cost_micro_per_hour = history_below(h, 2) == 0 ? -1 : (int64_t)history_below(h, 50000000);
        r->max_cost_micro = history_below(h, 6) == 0 ? (int64_t)(1 + history_below(h, 20)) * 1000000 : 0;
        r->stage_bytes = history_below(h, 4) == 0 ? 1u << 30 : 0;
        r->retries = (uint32_t)history_below(h, 3);
    }
}

static void make_offers(struct history *h)
{
    struct world *w = &h->w;
    w->n_offers = 1 + history_below(h, WORLD_OFFERS_MAX);
    for (size_t i = 0; i < w->n_offers; i++) {
        struct weir_offer *o = &w->offer[i];
        *o = (struct weir_offer){.id = i + 1};
        (void)snprintf(o->provider, sizeof o->provider, "cloud");
        (void)snprintf(o->region, sizeof o->region, "eu-%u", (unsigned)history_below(h, 3));
        (void)snprintf(o->instance_type, sizeof o->instance_type, "t%u", (unsigned)i);
        o->market = (uint8_t)history_below(h, 3);
        o->machines_max = (uint32_t)history_below(h, 4);
        o->gpus = (uint16_t)(history_below(h, 4) == 0 ? 0 : 1u << history_below(h, 4));
        o->gpu_model = o->gpus == 0 ? (uint16_t)WEIR_GPU_MODEL_ANY : history_model(models[history_below(h, 3)]);
        o->gpu_mem_mib = 40960;
        o->cpu_milli = 16000;
        o->mem_mib = 65536;
        o->price_micro_per_hour = (int64_t)(1 + history_below(h, 40)) * 250000;
        o->expires = WEIR_WALL_MAX;
        o->bill_quantum = weir_dur_s(history_below(h, 3) == 0 ? 3600 : 60);
        o->bill_minimum = weir_dur_s(60);
        o->boot_expected = weir_dur_s((int64_t)(30 + history_below(h, 200)));
        o->reclaim_ppm_per_hour = o->market == WEIR_OFFER_SPOT ? 50000 : 0;
        o->launchable = history_below(h, 8) != 0;
    }
}

uint64_t history_money_below(struct history *h, uint64_t n)
{
    return weir_prng_below(&h->money, n);
}

/* Two zones to each region; some offers leave theirs open, and others of the type may name one. */
static void add_zones(struct history *h)
{
    for (int i = 0; i < REQUESTS; i++) {
        h->request[i].nodes = history_money_below(h, 2) == 0 ? h->request[i].nodes : 1 + (uint32_t)history_money_below(h, 4);
        h->request[i].same_zone = history_money_below(h, 4) != 0;
    }
    for (size_t i = 0; i < h->w.n_offers; i++) {
        struct weir_offer *o = &h->w.offer[i];
        uint64_t zone = history_money_below(h, 3);
        (void)snprintf(o->instance_type, sizeof o->instance_type, "t%u", (unsigned)(i / 4));
        (void)snprintf(o->zone, sizeof o->zone, "%s", zone == 0 ? "" : zone == 1 ? "a" : "b");
    }
}

/* ---- random events ---- */

static struct weir_event ev_submit(struct history *h)
{
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    uint64_t n = history_below(h, 4);
    ev.u.job_submit.job = weir_core_take_job_id(h->w.core);
    if (h->twin != NULL) {
        (void)weir_core_take_job_id(h->twin);
    }
    ev.u.job_submit.project.v = 1 + (uint32_t)history_below(h, 5);
    ev.u.job_submit.priority = (int32_t)(history_below(h, 3) == 0 ? history_below(h, 1001) : 50);
    ev.u.job_submit.n_tasks = n == 0 ? 1 + (uint32_t)history_below(h, 90) : 1 + (uint32_t)history_below(h, 3);
    ev.u.job_submit.parallel_max = history_below(h, 3) == 0 ? 1 + (uint32_t)history_below(h, 4) : 0;
    ev.u.job_submit.deadline.us =
        history_below(h, 5) == 0 ? h->w.now_us + (int64_t)history_below(h, 20000) * WEIR_US_PER_S : 0;
    ev.u.job_submit.request = &h->request[history_below(h, REQUESTS)];
    return ev;
}

static struct weir_event ev_budget_set(struct history *h)
{
    struct weir_event ev = {.kind = WEIR_EVENT_BUDGET_SET, .u.budget_set.budget = &h->budget};
    struct weir_budget *b = &h->budget;
    memset(b, 0, sizeof *b);
    (void)snprintf(b->name, sizeof b->name, "b%u", (unsigned)history_money_below(h, 6));
    b->scope = (uint8_t)history_money_below(h, WEIR_BUDGET_SCOPE_MAX);
    b->span = (uint8_t)history_money_below(h, WEIR_BUDGET_SPAN_MAX);
    b->cloud_only = history_money_below(h, 3) == 0;
    b->project.v = 1 + (uint32_t)history_money_below(h, 5);
    b->user.v = 1 + (uint32_t)history_money_below(h, 3);
    (void)snprintf(b->tag, sizeof b->tag, "\"team\":\"%c\"", (char)('a' + history_money_below(h, 3)));
    b->amount_micro = (int64_t)history_money_below(h, 80) * 1000000;
    b->from.us = h->w.now_us + (int64_t)history_money_below(h, 600) * WEIR_US_PER_S;
    b->until.us = b->from.us + (int64_t)(1 + history_money_below(h, 3600)) * WEIR_US_PER_S;
    b->n_thresholds = (uint32_t)history_money_below(h, 3);
    for (uint32_t i = 0; i < b->n_thresholds; i++) {
        b->threshold[i] = (struct weir_budget_threshold){(uint16_t)(20 + 40 * i + history_money_below(h, 40)), (uint8_t)history_money_below(h, WEIR_BUDGET_ACTION_MAX)};
    }
    ev.u.budget_set.charged_micro = history_money_below(h, 3) == 0 ? (int64_t)history_money_below(h, 5000000) : 0;
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
    (void)snprintf(q->name, sizeof q->name, "q%u", (unsigned)history_money_below(h, 6));
    q->scope = (uint8_t)history_money_below(h, WEIR_BUDGET_SCOPE_MAX);
    q->counts = (uint8_t)history_money_below(h, WEIR_QUOTA_COUNTS_MAX);
    q->span = (uint8_t)(q->counts == WEIR_QUOTA_GPU_HOURS ? history_money_below(h, WEIR_BUDGET_SPAN_MAX) : WEIR_BUDGET_FOREVER);
    bool any = q->counts == WEIR_QUOTA_TASKS || history_money_below(h, 2) == 0;
    q->gpu_model = any ? (uint16_t)WEIR_GPU_MODEL_ANY : history_model(models[history_money_below(h, 3)]);
    q->project.v = 1 + (uint32_t)history_money_below(h, 5);
    q->user.v = 1 + (uint32_t)history_money_below(h, 3);
    (void)snprintf(q->tag, sizeof q->tag, "\"team\":\"%c\"", (char)('a' + history_money_below(h, 3)));
    q->limit = (int64_t)history_money_below(h, (uint64_t)most[q->counts]);
    bool may_share = q->counts == WEIR_QUOTA_GPUS && q->scope != WEIR_BUDGET_ORGANISATION;
    q->shares = h->shares && may_share && history_money_below(h, 4) != 0 && !is_a_share_already(h->w.core, q);
    q->borrow_max = !q->shares ? 0 : history_money_below(h, 2) == 0 ? INT64_MAX : (int64_t)history_money_below(h, 8);
    q->from.us = h->w.now_us + (int64_t)history_money_below(h, 600) * WEIR_US_PER_S;
    q->until.us = q->from.us + (int64_t)(1 + history_money_below(h, 3600)) * WEIR_US_PER_S;
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
        if (r->segment && history_money_below(h, 2) == 0) {
            h->charge[n++] = (struct weir_charged){.payer = w->job[r->run.task.job.v].view.payer,
                                                  .run = r->run,
                                                  .lease = w->node[r->node].spec.lease,
                                                  .from = {w->now_us - WEIR_US_PER_MIN},
                                                  .to = {w->now_us},
                                                  .micro = (int64_t)history_money_below(h, 400000)};
        }
    }
    for (uint64_t i = 1; i <= w->leases && n < WEIR_ARRAY_LEN(h->charge); i++) {
        if (w->lease[i].confirmed_at.us != 0 && w->lease[i].ended_at.us == 0) {
            h->charge[n++] = (struct weir_charged){.payer = w->lease[i].payer,
                                                  .lease = {i},
                                                  .is_cost = history_money_below(h, 3) != 0,
                                                  .from = {w->now_us - WEIR_US_PER_MIN},
                                                  .to = {w->now_us},
                                                  .micro = (int64_t)history_money_below(h, 400000)};
        }
    }
    ev.u.charged.n = n;
    return ev;
}

struct weir_event history_money_event(struct history *h)
{
    if (h->quotas && history_money_below(h, 2) == 0) {
        static const char *const names[] = {"q0", "q1", "q2", "q3", "q4", "q5"};
        bool gone = history_money_below(h, 3) == 0;
        return gone ? (struct weir_event){.kind = WEIR_EVENT_QUOTA_REMOVE, .u.quota_remove.name = names[history_money_below(h, 6)]} : ev_quota_set(h);
    }
    uint64_t x = history_money_below(h, 10);
    if (x < 3) {
        return ev_budget_set(h);
    }
    if (x < 4) {
        static const char *const names[] = {"b0", "b1", "b2", "b3", "b4", "b5"};
        return (struct weir_event){.kind = WEIR_EVENT_BUDGET_REMOVE, .u.budget_remove.name = names[history_money_below(h, 6)]};
    }
    return ev_charged(h);
}

/* Who submits is drawn apart. */
void history_name_payer(struct history *h, struct weir_event *ev)
{
    static const char *const tags[] = {NULL, "{\"team\":\"a\"}", "{\"team\":\"b\",\"x\":\"y\"}", "{\"a\":\"b\",\"team\":\"c\"}"};
    ev->u.job_submit.user.v = 1 + (uint32_t)history_money_below(h, 3);
    ev->u.job_submit.tags = tags[history_money_below(h, 4)];
}

static struct weir_node_spec random_spec(struct history *h)
{
    struct weir_node_spec s = {0};
    s.gpus = (uint16_t)(history_below(h, 5) == 0 ? 0 : 1u << history_below(h, 4));
    s.gpu_model = s.gpus == 0 ? (uint16_t)WEIR_GPU_MODEL_ANY : history_model(models[history_below(h, 3)]);
    s.gpu_mem_mib = 40960;
    s.cpu_milli = 8000;
    s.mem_mib = 32768;
    for (uint32_t i = 0; i < s.gpus; i++) {
        s.link_group[i] = (uint8_t)(1 + i / 4);
    }
    s.fabric = (uint32_t)history_below(h, 3);
    s.rates = (struct weir_node_rates){2000000, 0, 300000};
    if (h->zones) {
        s.pool.v = 1 + (uint32_t)history_money_below(h, 2);
        (void)snprintf(s.region, sizeof s.region, "r%u", (unsigned)history_money_below(h, 2));
    }
    return s;
}

static struct weir_event ev_join(struct history *h, struct weir_node_spec *spec)
{
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN, .u.node_join.spec = spec};
    struct world *w = &h->w;
    uint64_t pick = history_below(h, 3);
    if (pick == 0 && w->leases > 0) { /* the agent of a rented machine */
        const struct weir_lease_view *l = &w->lease[1 + history_below(h, w->leases)];
        *spec = w->node[l->node.v].spec;
        if (history_below(h, 10) == 0 && spec->gpus > 1) {
            spec->gpus--; /* it is not what was offered */
        }
        return ev;
    }
    if (pick == 1) { /* joins again */
        uint64_t id = 1 + history_below(h, 40);
        if (w->node_known[id]) {
            *spec = w->node[id].spec;
            if (history_below(h, 4) == 0) {
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
    struct weir_event ev = {.kind = (enum weir_event_kind)kinds[history_below(h, sizeof kinds)]};
    ev.u.node.node.v = 1 + history_below(h, 60);
    if (ev.kind == WEIR_EVENT_NODE_GONE && history_below(h, 3) != 0) {
        ev.kind = WEIR_EVENT_TICK;
    }
    return ev;
}

static struct weir_event ev_rates(struct history *h)
{
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_RATES};
    ev.u.node_rates.node.v = 1 + history_below(h, 60);
    ev.u.node_rates.rates.marginal_busy_micro_per_hour = (int64_t)history_below(h, 5) * 50000;
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
    struct world_run *r = &w->run[history_below(h, w->n_runs)];
    uint64_t what = history_below(h, 10);
    int64_t at = w->now_us - (int64_t)history_below(h, 5000000);
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
    ev.u.run_ended.reason = r->stop_asked ? r->stop_reason : reasons[history_below(h, sizeof reasons)];
    ev.u.run_ended.exit_code = history_below(h, 4) == 0 ? 3 : 0;
    ev.u.run_ended.all_ranks = h->policies && h->w.seq % 3 == 0;
    if (history_below(h, 20) == 0) {
        ev.u.run_ended.run.attempt += (uint32_t)history_below(h, 3); /* of another attempt, perhaps */
    }
    return ev;
}

static struct weir_event ev_lease(struct history *h)
{
    static const uint8_t kinds[] = {WEIR_EVENT_LEASE_CONFIRMED, WEIR_EVENT_LEASE_CONFIRMED,
                                    WEIR_EVENT_LEASE_CONFIRMED, WEIR_EVENT_LEASE_REFUSED,
                                    WEIR_EVENT_LEASE_NOTICE,    WEIR_EVENT_LEASE_ENDED,
                                    WEIR_EVENT_LEASE_RELEASE};
    struct weir_event ev = {.kind = (enum weir_event_kind)kinds[history_below(h, sizeof kinds)]};
    uint64_t newest = h->w.leases;
    uint64_t id = newest == 0 ? 1 : newest - history_below(h, newest < 8 ? newest : 8);
    if (ev.kind == WEIR_EVENT_LEASE_REFUSED) {
        ev.u.lease_refused.lease.v = id;
        ev.u.lease_refused.refusal = (uint8_t)history_below(h, WEIR_REFUSAL_MAX);
        return ev;
    }
    ev.u.lease.lease.v = id;
    ev.u.lease.at.us = h->w.now_us + (ev.kind == WEIR_EVENT_LEASE_NOTICE ? 60000000 : -1000);
    ev.u.lease.reclaimed = history_below(h, 2) == 0;
    return ev;
}

struct weir_event history_offers(struct history *h)
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
    ev.u.job_expect.job.v = 1 + history_below(h, h->w.jobs + 1);
    ev.u.job_expect.expected = weir_dur_s((int64_t)history_below(h, 9000)); /* more than its limit, and nothing, too */
    return ev;
}

static struct weir_event ev_policy(struct history *h)
{
    enum { LISTS_MAX = 8 };
    uint32_t known = weir_core_policies(h->w.core);
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_POLICY};
    ev.u.job_policy.job.v = 1 + history_below(h, h->w.jobs + 1);
    ev.u.job_policy.policy = (uint32_t)history_below(h, known + 1);
    if (known < LISTS_MAX && history_below(h, 3) == 0) {
        ev.kind = WEIR_EVENT_POLICY_DEFINE;
        memset(h->rule, 0, sizeof h->rule);
        for (size_t i = 0; i < sizeof h->rule / sizeof h->rule[0]; i++) {
            h->rule[i].deny = history_below(h, 3) != 0;
            h->rule[i].place = (uint8_t)history_below(h, 3);
            h->rule[i].market = h->rule[i].place == WEIR_POLICY_OWNED ? 0 : (uint8_t)history_below(h, 3);
            h->rule[i].gpu[0] = history_below(h, 2) == 0 ? '\0' : history_below(h, 2) == 0 ? 'A' : 'H';
            h->rule[i].gpu[1] = h->rule[i].gpu[0] == '\0' ? '\0' : '*';
        }
        ev.u.policy_define.number = known + 1;
        ev.u.policy_define.rule = h->rule;
        ev.u.policy_define.n = history_below(h, 4);
    }
    return ev;
}

static struct weir_event ev_provider_quotas(struct history *h)
{
    struct weir_event ev = {.kind = WEIR_EVENT_PROVIDER_QUOTAS_SET};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(h->provider_quota); i++) {
        struct weir_provider_quota *q = &h->provider_quota[i];
        *q = (struct weir_provider_quota){.unit = (uint8_t)history_below(h, WEIR_QUOTA_UNIT_MAX)};
        (void)snprintf(q->name, sizeof q->name, "q%zu", i);
        (void)snprintf(q->region, sizeof q->region, history_below(h, 2) == 0 ? "" : "eu-%u", (unsigned)history_below(h, 3));
        q->n_types = (uint8_t)history_below(h, 2);
        (void)snprintf(q->type[0], sizeof q->type[0], "t%u*", (unsigned)history_below(h, 2));
        q->limit = (int64_t)history_below(h, q->unit == WEIR_QUOTA_UNIT_MACHINES ? 6 : q->unit == WEIR_QUOTA_UNIT_MEM_MIB ? 400000 : 60);
        q->used = (int64_t)history_below(h, (uint64_t)q->limit + 2);
    }
    ev.u.provider_quotas_set.provider = "cloud";
    ev.u.provider_quotas_set.quota = h->provider_quota;
    ev.u.provider_quotas_set.n = history_below(h, WEIR_ARRAY_LEN(h->provider_quota) + 1);
    ev.u.provider_quotas_set.as_of.us = h->w.now_us - (int64_t)history_below(h, 60) * WEIR_US_PER_S;
    return ev;
}

struct weir_event history_event(struct history *h, struct weir_node_spec *spec)
{
    struct weir_event ev = {.kind = WEIR_EVENT_TICK};
    uint64_t x = history_below(h, 100);
    if (x < 18 && h->w.jobs + 8 < WORLD_JOBS_MAX && h->w.n_runs < 1500) {
        return ev_submit(h);
    }
    if (x < 22) {
        ev.kind = WEIR_EVENT_JOB_CANCEL;
        ev.u.job_cancel.job.v = 1 + history_below(h, h->w.jobs + 1);
        ev.u.job_cancel.ordinal =
            history_below(h, 2) == 0 ? WEIR_ORDINAL_ALL : (uint32_t)history_below(h, 4);
        return ev;
    }
    if (x < 28) {
        return ev_join(h, spec);
    }
    if (x < 32) {
        return history_below(h, 3) == 0 ? ev_rates(h) : ev_node(h);
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
        return history_offers(h);
    }
    if (x < 85) {
        ev.kind = WEIR_EVENT_PROJECT_SET;
        ev.u.project_set.project.v = 1 + (uint32_t)history_below(h, 5);
        ev.u.project_set.weight = 1 + (uint32_t)history_below(h, 300);
        ev.u.project_set.delay_cost_micro_per_hour = (int64_t)history_below(h, 3000000);
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

bool history_asked(int argc, char **argv, uint64_t *histories, uint64_t *first_seed)
{
    return (argc < 2 || weir_parse_u64(weir_sv_of(argv[1]), 1, 1000000, histories, NULL) == 0) &&
           (argc < 3 || weir_parse_u64(weir_sv_of(argv[2]), 1, UINT64_MAX / 2, first_seed, NULL) == 0);
}

void history_begin(void)
{
    gpus = weir_gpu_table_new();
}

void history_end(void)
{
    weir_gpu_table_free(gpus);
}

struct history *history_new(uint64_t seed)
{
    struct weir_core_conf conf = weir_core_conf_default();
    struct history *h = weir_alloc(sizeof *h);
    conf.gpus = gpus;
    conf.leases_max = 12;
    h->prng = weir_prng_seed(seed);
    world_init(&h->w, &conf);
    make_requests(h);
    make_offers(h);
    struct weir_event ev = history_offers(h);
    world_step(&h->w, &ev);
    return h;
}

struct history *history_with_budgets(uint64_t seed)
{
    struct history *h = history_new(seed);
    h->budgets = true;
    h->money = weir_prng_seed(seed * 7 + 1);
    return h;
}

struct history *history_with_zones(uint64_t seed)
{
    struct history *h = history_with_budgets(seed);
    h->budgets = false;
    h->zones = true;
    add_zones(h);
    struct weir_event ev = history_offers(h);
    world_step(&h->w, &ev);
    return h;
}

struct history *history_with_quotas(uint64_t seed)
{
    struct history *h = history_with_budgets(seed);
    h->quotas = true;
    h->shares = seed % 2 == 0;
    return h;
}

void history_free(struct history *h)
{
    weir_core_free(h->twin);
    world_release(&h->w);
    free(h);
}
