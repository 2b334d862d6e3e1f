/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes become events, some of them nonsense; after each step every invariant is checked. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "core/core.h"
#include "fuzz.h"

enum { STEPS_MAX = 400, NODES_MAX = 40 };

struct bytes {
    const uint8_t *p;
    size_t n;
};

static uint8_t take(struct bytes *b)
{
    if (b->n == 0) {
        return 0;
    }
    b->n--;
    return *b->p++;
}

static struct weir_request request_of(struct bytes *b, uint16_t model)
{
    struct weir_request r;
    memset(&r, 0, sizeof r);
    uint8_t x = take(b);
    r.alternatives = x & 1u;
    r.alternative[0].model = (x & 2u) != 0 ? (uint16_t)WEIR_GPU_MODEL_ANY : model;
    r.alternative[0].count = (uint16_t)(x >> 2 & 7u);
    r.local = (uint8_t)((x >> 5) % 3);
    r.market = (uint8_t)(take(b) % 3);
    r.nodes = take(b) % 4u;
    r.cpu_milli = take(b) * 250u;
    r.mem_mib = take(b) * 512u;
    r.max_duration = weir_dur_s((int64_t)take(b) * 60);
    r.expected = weir_dur_s((int64_t)take(b) * 30);
    r.checkpoint_every = weir_dur_s((take(b) & 1) * 300);
    r.delay_cost_micro_per_hour = (int64_t)take(b) * 100000 - 1;
    r.max_cost_micro = (int64_t)(take(b) & 3) * 3000000;
    r.retries = take(b) & 3u;
    r.policy = take(b) % 8u == 1 ? 1 : 0;
    return r;
}

static struct weir_run_id run_of(struct bytes *b)
{
    struct weir_run_id id;
    id.task.job.v = take(b);
    id.task.ordinal = take(b) & 7u;
    id.attempt = take(b) & 7u;
    return id;
}

struct storage { /* what an event points to */
    struct weir_request request;
    struct weir_node_spec spec;
    struct weir_offer offer[4];
    struct weir_budget budget;
    struct weir_quota quota;
    struct weir_provider_quota provider_quota[2];
    struct weir_charged charge[2];
    struct weir_policy_rule rule[2];
    char name[2];
};

static void node_of(struct bytes *b, uint16_t model, struct weir_node_spec *s)
{
    memset(s, 0, sizeof *s);
    s->id.v = take(b) % NODES_MAX;
    s->lease.v = take(b) % 8u;
    s->gpus = take(b) % 40u;
    s->gpu_model = (take(b) & 15) == 0 ? 400 : model;
    s->cpu_milli = take(b) * 500u;
    s->mem_mib = take(b) * 1024u;
    s->fabric = take(b) & 1u;
    s->rates.full_micro_per_hour = take(b) * 10000;
}

static void offers_of(struct bytes *b, uint16_t model, struct weir_offer *o)
{
    memset(o, 0, 4 * sizeof *o);
    for (uint64_t i = 0; i < 4; i++) {
        o[i].id = i + 1;
        memcpy(o[i].provider, "c", 2);
        memcpy(o[i].region, "r", 2);
        o[i].market = take(b) & 3u;
        o[i].gpus = take(b) & 15u;
        o[i].gpu_model = model;
        o[i].cpu_milli = 64000;
        o[i].mem_mib = 65536;
        o[i].price_micro_per_hour = take(b) * 100000;
        o[i].expires = WEIR_WALL_MAX;
        o[i].bill_quantum = weir_dur_s((take(b) & 1) * 3600);
        o[i].boot_expected = weir_dur_s(take(b));
        o[i].reclaim_ppm_per_hour = take(b) * 1000u;
        o[i].launchable = (take(b) & 3) != 0;
    }
}

static void budget_of(struct bytes *b, struct weir_budget *d)
{
    memset(d, 0, sizeof *d);
    d->name[0] = (char)('a' + take(b) % 4);
    d->scope = take(b) % 5u;
    d->span = take(b) % 5u;
    d->cloud_only = (take(b) & 1) != 0;
    d->project.v = take(b) & 3u;
    d->user.v = take(b) & 1u;
    memcpy(d->tag, "\"t\":\"a\"", sizeof "\"t\":\"a\"");
    d->amount_micro = take(b) * INT64_C(1000000);
    d->from.us = INT64_C(1795374000000000) + take(b) * INT64_C(60000000);
    d->until.us = d->from.us + take(b) * INT64_C(60000000);
    d->n_thresholds = take(b) & 3u;
    for (uint32_t i = 0; i < d->n_thresholds; i++) {
        d->threshold[i] = (struct weir_budget_threshold){take(b), take(b) % 5u};
    }
}

static void quota_of(struct bytes *b, uint16_t model, struct weir_quota *q)
{
    memset(q, 0, sizeof *q);
    q->name[0] = (char)('a' + take(b) % 4);
    q->scope = take(b) % 5u;
    q->counts = take(b) % 6u;
    q->span = q->counts == WEIR_QUOTA_GPU_HOURS ? take(b) % 5u : WEIR_BUDGET_FOREVER;
    q->gpu_model = (take(b) & 1) != 0 ? model : (uint16_t)WEIR_GPU_MODEL_ANY;
    q->project.v = take(b) & 3u;
    q->user.v = take(b) & 1u;
    memcpy(q->tag, "\"t\":\"a\"", sizeof "\"t\":\"a\"");
    q->limit = take(b) * (weir_quota_is_timed((enum weir_quota_counts)q->counts) ? INT64_C(600000) : 1);
    q->from.us = INT64_C(1795374000000000) + take(b) * INT64_C(60000000);
    q->until.us = q->from.us + take(b) * INT64_C(60000000);
}

static void provider_quotas_of(struct bytes *b, struct weir_provider_quota *q)
{
    for (int i = 0; i < 2; i++) {
        memset(&q[i], 0, sizeof q[i]);
        q[i].name[0] = (char)('a' + i);
        q[i].unit = take(b) % 5u;
        q[i].markets = take(b) & 7u;
        q[i].n_types = take(b) % 8u;
        q[i].type[0][0] = (take(b) & 1) != 0 ? '*' : 't';
        q[i].limit = take(b) - 1;
        q[i].used = take(b) - 1;
    }
}

static void charges_of(struct bytes *b, int64_t now_us, struct weir_charged *k)
{
    for (int i = 0; i < 2; i++) {
        memset(&k[i], 0, sizeof k[i]);
        k[i].payer.v = take(b) & 7u;
        k[i].is_cost = (take(b) & 1) != 0;
        k[i].lease.v = take(b) & 7u;
        k[i].run = k[i].is_cost ? (struct weir_run_id){0} : run_of(b);
        k[i].from.us = now_us - take(b) * INT64_C(1000000);
        k[i].to.us = now_us;
        k[i].micro = take(b) * INT64_C(10000);
    }
}

static void fill(struct bytes *b, uint16_t model, struct storage *s, struct weir_event *ev)
{
    switch (ev->kind) {
    case WEIR_EVENT_TICK:
    case WEIR_EVENT_MAX:
        break;
    case WEIR_EVENT_PROJECT_SET:
        ev->u.project_set.project.v = take(b) & 3u;
        ev->u.project_set.weight = take(b);
        ev->u.project_set.delay_cost_micro_per_hour = take(b) * 50000;
        break;
    case WEIR_EVENT_JOB_SUBMIT:
        s->request = request_of(b, model);
        ev->u.job_submit.job.v = take(b);
        ev->u.job_submit.project.v = take(b) & 3u;
        ev->u.job_submit.priority = take(b) * 4;
        ev->u.job_submit.n_tasks = take(b) & 15u;
        ev->u.job_submit.parallel_max = take(b) & 3u;
        ev->u.job_submit.deadline.us = (take(b) & 3) == 0 ? ev->now.us + 3600000000 : 0;
        ev->u.job_submit.request = &s->request;
        ev->u.job_submit.tags = (take(b) & 1) != 0 ? "{\"t\":\"a\"}" : NULL;
        break;
    case WEIR_EVENT_JOB_CANCEL:
        ev->u.job_cancel.job.v = take(b);
        ev->u.job_cancel.ordinal = (take(b) & 1) != 0 ? WEIR_ORDINAL_ALL : take(b);
        break;
    case WEIR_EVENT_JOB_EXPECT:
        ev->u.job_expect.job.v = take(b);
        ev->u.job_expect.expected = weir_dur_s((int64_t)take(b) * 60 - 60);
        break;
    case WEIR_EVENT_POLICY_DEFINE:
        memset(s->rule, 0, sizeof s->rule);
        for (size_t i = 0; i < 2; i++) {
            s->rule[i].deny = (take(b) & 1) != 0;
            s->rule[i].place = take(b) & 3u;
            s->rule[i].market = take(b) & 3u;
            s->rule[i].region[0] = (take(b) & 1) != 0 ? '*' : '\0';
            s->rule[i].price_above_micro = take(b) * INT64_C(100000);
        }
        ev->u.policy_define.number = 1 + (take(b) & 3u);
        ev->u.policy_define.rule = s->rule;
        ev->u.policy_define.n = take(b) % 3u;
        break;
    case WEIR_EVENT_JOB_POLICY:
        ev->u.job_policy.job.v = take(b);
        ev->u.job_policy.policy = take(b) & 3u;
        break;
    case WEIR_EVENT_NODE_JOIN:
        node_of(b, model, &s->spec);
        ev->u.node_join.spec = &s->spec;
        break;
    case WEIR_EVENT_NODE_LOST:
    case WEIR_EVENT_NODE_BACK:
    case WEIR_EVENT_NODE_DRAIN:
    case WEIR_EVENT_NODE_RESUME:
    case WEIR_EVENT_NODE_GONE:
        ev->u.node.node.v = take(b) % NODES_MAX;
        break;
    case WEIR_EVENT_NODE_RATES:
        ev->u.node_rates.node.v = take(b) % NODES_MAX;
        ev->u.node_rates.rates.marginal_busy_micro_per_hour = take(b) * 1000;
        ev->u.node_rates.rates.full_micro_per_hour = take(b) * 10000;
        break;
    case WEIR_EVENT_RUN_STARTED:
    case WEIR_EVENT_RUN_CHECKPOINTED:
        ev->u.run.run = run_of(b);
        ev->u.run.rank = take(b);
        ev->u.run.all_ranks = (ev->u.run.rank & 0x80u) != 0;
        ev->u.run.rank &= 3u;
        ev->u.run.at.us = ev->now.us - take(b);
        break;
    case WEIR_EVENT_RUN_ENDED:
        ev->u.run_ended.run = run_of(b);
        ev->u.run_ended.rank = take(b);
        ev->u.run_ended.all_ranks = (ev->u.run_ended.rank & 0x80u) != 0;
        ev->u.run_ended.rank &= 3u;
        ev->u.run_ended.at.us = ev->now.us - take(b);
        ev->u.run_ended.reason = take(b) % 20u;
        ev->u.run_ended.exit_code = take(b) & 3;
        break;
    case WEIR_EVENT_LEASE_CONFIRMED:
    case WEIR_EVENT_LEASE_NOTICE:
    case WEIR_EVENT_LEASE_ENDED:
    case WEIR_EVENT_LEASE_RELEASE:
        ev->u.lease.lease.v = take(b) % 16u;
        ev->u.lease.at.us = ev->now.us + (int64_t)take(b) * 1000000 - 100000000;
        ev->u.lease.reclaimed = (take(b) & 1) != 0;
        break;
    case WEIR_EVENT_LEASE_REFUSED:
        ev->u.lease_refused.lease.v = take(b) % 16u;
        ev->u.lease_refused.refusal = take(b) % 8u;
        ev->u.lease_refused.retry_after = weir_dur_s(take(b));
        break;
    case WEIR_EVENT_OFFERS_SET:
        offers_of(b, model, s->offer);
        ev->u.offers_set.provider = "c";
        ev->u.offers_set.offer = s->offer;
        ev->u.offers_set.n = take(b) % 5u;
        break;
    case WEIR_EVENT_PROVIDER_QUOTAS_SET:
        provider_quotas_of(b, s->provider_quota);
        ev->u.provider_quotas_set.provider = "c";
        ev->u.provider_quotas_set.quota = s->provider_quota;
        ev->u.provider_quotas_set.n = take(b) % 3u;
        ev->u.provider_quotas_set.as_of.us = ev->now.us - take(b) * INT64_C(1000000);
        break;
    case WEIR_EVENT_QUOTA_SET:
        quota_of(b, model, &s->quota);
        ev->u.quota_set.quota = &s->quota;
        break;
    case WEIR_EVENT_QUOTA_REMOVE:
        s->name[0] = (char)('a' + take(b) % 4);
        ev->u.quota_remove.name = s->name;
        break;
    case WEIR_EVENT_BUDGET_SET:
        budget_of(b, &s->budget);
        ev->u.budget_set.budget = &s->budget;
        ev->u.budget_set.charged_micro = take(b) * INT64_C(100000);
        break;
    case WEIR_EVENT_BUDGET_REMOVE:
        s->name[0] = (char)('a' + take(b) % 4);
        ev->u.budget_remove.name = s->name;
        break;
    case WEIR_EVENT_CHARGED:
        charges_of(b, ev->now.us, s->charge);
        ev->u.charged.charge = s->charge;
        ev->u.charged.n = take(b) % 3u;
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes b = {data, size};
    struct weir_core_conf conf = weir_core_conf_default();
    conf.gpus = weir_gpu_table_new();
    conf.leases_max = 6;
    uint16_t model = weir_gpu_table_intern(conf.gpus, WEIR_SV("A100"));
    struct weir_core *c = weir_core_new(&conf);
    struct storage s;
    memset(&s, 0, sizeof s);
    int64_t now = INT64_C(1795374000000000);
    for (uint64_t seq = 1; seq <= STEPS_MAX && b.n > 0; seq++) {
        struct weir_event ev;
        struct weir_effects x;
        struct weir_err err;
        memset(&ev, 0, sizeof ev);
        uint8_t step = take(&b);
        now += (step & 128) != 0 ? (int64_t)take(&b) * 60000000 : step;
        ev.seq = seq;
        ev.now.us = now;
        ev.kind = (enum weir_event_kind)(take(&b) % (WEIR_EVENT_MAX + 1));
        fill(&b, model, &s, &ev);
        if (ev.kind == WEIR_EVENT_JOB_SUBMIT) {
            struct weir_explain said;
            (void)weir_core_what_if(c, &ev, &said, &err);
        }
        if (weir_core_step(c, &ev, &x, &err) == 0 && x.wake_at.us != INT64_MAX) {
            WEIR_ASSERT(x.wake_at.us >= now);
        }
        WEIR_ASSERT(weir_core_check(c, &err));
    }
    weir_core_free(c);
    weir_gpu_table_free(conf.gpus);
    return 0;
}
