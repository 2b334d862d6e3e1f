/* SPDX-License-Identifier: Apache-2.0 */
#include "api/explain_json.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "cloud/exchange.h"
#include "cloud/provider.h"

enum { TEXT_MAX = 4096, NAME_SIZE = 64 };

static const char *node_name(const struct weir_names *n, struct weir_node_id id, char buf[static NAME_SIZE])
{
    const char *name = n->node == NULL ? NULL : n->node(n->ctx, id);
    if (name == NULL || name[0] == '\0') {
        (void)snprintf(buf, NAME_SIZE, "node %" PRIu64, id.v);
    } else {
        (void)snprintf(buf, NAME_SIZE, "%s", name);
    }
    return buf;
}

static const struct weir_offer *offer_of(const struct weir_names *n, uint64_t id)
{
    return id == 0 || n->offer == NULL ? NULL : n->offer(n->ctx, id);
}

static const char *task_name(const struct weir_names *n, struct weir_task_id id, char buf[static NAME_SIZE])
{
    if (n->task != NULL) {
        buf[0] = '\0';
        n->task(n->ctx, id, buf, NAME_SIZE);
    } else if (id.ordinal == 0) {
        (void)snprintf(buf, NAME_SIZE, "%" PRIu64, id.job.v);
    } else {
        (void)snprintf(buf, NAME_SIZE, "%" PRIu64 "_%" PRIu32, id.job.v, id.ordinal);
    }
    return buf;
}

/* "Task 12_7"; a dry run has no number yet. */
static const char *subject(const struct weir_names *n, struct weir_task_id id, char buf[static 2 * NAME_SIZE])
{
    char name[NAME_SIZE];
    if (id.job.v == 0) {
        (void)snprintf(buf, 2 * NAME_SIZE, "The task");
    } else {
        (void)snprintf(buf, 2 * NAME_SIZE, "Task %s", task_name(n, id, name));
    }
    return buf;
}

static const char *currency_of(const struct weir_names *n)
{
    return n->currency == NULL ? "USD" : n->currency;
}

static bool is_rented(const struct weir_candidate *c)
{
    return c->kind == WEIR_CANDIDATE_RENTED_NOW || c->kind == WEIR_CANDIDATE_RENTED_LATER;
}

static void add_money(struct weir_str *out, const struct weir_names *n, int64_t micro)
{
    char buf[WEIR_MONEY_SIZE];
    weir_str_addf(out, "%s %s", weir_money_format_short(micro, currency_of(n), buf), currency_of(n));
}

static void add_duration(struct weir_str *out, struct weir_dur d)
{
    char buf[WEIR_RFC3339_SIZE];
    weir_str_adds(out, weir_dur_format(d, buf));
}

static void add_offer(struct weir_str *out, const struct weir_names *n, const struct weir_offer *o)
{
    weir_str_addf(out, "%s from %s in %s", o->instance_type, o->provider, o->region);
    weir_str_addf(out, " (%s) at ", o->market == WEIR_OFFER_ON_DEMAND ? "on demand" : weir_market_name(o->market));
    add_money(out, n, o->price_micro_per_hour);
    weir_str_adds(out, " per hour");
}

/* "host1 (owned)", "renting p4d.24xlarge from aws in us-east-1 (spot) at 9.10 USD per hour". */
static void add_place(struct weir_str *out, const struct weir_names *n, const struct weir_candidate *c)
{
    char buf[NAME_SIZE];
    const struct weir_offer *o = offer_of(n, c->offer);
    if (c->kind == WEIR_CANDIDATE_OFFER) {
        weir_str_adds(out, "renting ");
        if (o == NULL) {
            weir_str_adds(out, "a machine");
        } else {
            add_offer(out, n, o);
        }
        return;
    }
    if (c->node.v == 0 && c->lease.v != 0) {
        weir_str_addf(out, "lease %" PRIu64, c->lease.v);
    } else {
        weir_str_adds(out, node_name(n, c->node, buf));
    }
    weir_str_adds(out, is_rented(c) ? " (rented)" : " (owned)");
}

static const struct weir_candidate *with_verdict(const struct weir_explain *e, enum weir_verdict v)
{
    for (uint32_t i = 0; i < e->n_candidates; i++) {
        if (e->candidate[i].verdict == v) {
            return &e->candidate[i];
        }
    }
    return NULL;
}

/* "it costs 0.02 USD in expectation (run 0.02)": the terms that are not zero, as they are compared. */
static void add_terms(struct weir_str *out, const struct weir_names *n, const struct weir_candidate *c)
{
    const struct {
        const char *name;
        int64_t micro;
    } terms[] = {{"run", c->run_micro},
                 {"boot", c->boot_micro},
                 {"launches that fail", c->failure_micro},
                 {"moving data", c->egress_micro},
                 {"risk of losing it", c->reclaim_micro},
                 {"waiting", c->wait_micro},
                 {"others waiting", c->shadow_micro}};
    char buf[WEIR_MONEY_SIZE];
    bool first = true;
    add_money(out, n, c->total_micro);
    for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
        if (terms[i].micro != 0) {
            weir_str_addf(out, "%s%s %s", first ? " (" : ", ", terms[i].name,
                          weir_money_format_short(terms[i].micro, currency_of(n), buf));
            first = false;
        }
    }
    weir_str_adds(out, first ? "" : ")");
}

static void add_rejections(struct weir_str *out, const struct weir_explain *e)
{
    bool first = true;
    for (unsigned v = 0; v < WEIR_VERDICT_MAX; v++) {
        if (v == WEIR_VERDICT_CHOSEN || v == WEIR_VERDICT_DEARER || e->rejected[v] == 0) {
            continue;
        }
        weir_str_addf(out, "%s%" PRIu32 " candidate%s: %s", first ? " Ruled out: " : "; ", e->rejected[v],
                      e->rejected[v] == 1 ? "" : "s", weir_verdict_text((enum weir_verdict)v));
        first = false;
    }
    weir_str_adds(out, first ? "" : ".");
    if (e->again_at.us != 0) {
        char buf[WEIR_RFC3339_SIZE];
        bool one = e->rejected[WEIR_VERDICT_NO_CAPACITY] + e->rejected[WEIR_VERDICT_QUOTA] + e->rejected[WEIR_VERDICT_FAILED] == 1;
        const char *what = e->rejected[WEIR_VERDICT_FAILED] > 0 ? "could not be had" : e->rejected[WEIR_VERDICT_QUOTA] > 0 ? "had no capacity or quota" : "had no capacity";
        weir_str_addf(out, " What %s is left alone until %s%s.", what,
                      weir_wall_format(e->again_at, buf), one ? "" : " at the earliest");
    }
}

/* What the choice was made against, and what would turn it. */
static void add_alternative(struct weir_str *out, const struct weir_names *n, const struct weir_explain *e)
{
    const struct weir_candidate *second = with_verdict(e, WEIR_VERDICT_DEARER);
    if (second != NULL) {
        weir_str_adds(out, " The next best was ");
        add_place(out, n, second);
        weir_str_adds(out, " for ");
        add_terms(out, n, second);
        if (second->start_delay.us > 0) {
            weir_str_adds(out, ", starting after ");
            add_duration(out, second->start_delay);
        }
        weir_str_adds(out, ".");
    }
    if (e->margin_micro == INT64_MAX) {
        weir_str_adds(out, " Nothing else could take it.");
    } else {
        weir_str_adds(out, " It would change if this one came to cost ");
        add_money(out, n, e->margin_micro);
        weir_str_adds(out, " more.");
    }
}

static void add_cost(struct weir_str *out, const struct weir_names *n, const struct weir_explain *e,
                     const struct weir_candidate *c)
{
    weir_str_adds(out, " because it costs least: ");
    add_terms(out, n, c);
    if (e->expected_run.us > 0) {
        weir_str_adds(out, " for an expected run of ");
        add_duration(out, e->expected_run);
    }
    weir_str_adds(out, ".");
}

static void add_no_rate(struct weir_str *out, const struct weir_names *n)
{
    char text[128];
    if (n->no_rate != NULL && n->no_rate[0] != '\0') {
        weir_str_addf(out, " Offers in %s are left out: %s.", n->no_rate, weir_offer_no_rate(n->no_rate, text, sizeof text));
    }
}

static void add_queue(struct weir_str *out, const struct weir_explain *e)
{
    if (e->queue_ahead > 0) {
        weir_str_addf(out, " %" PRIu32 " waiting task%s before it; a higher priority would pass %s.", e->queue_ahead,
                      e->queue_ahead == 1 ? " comes" : "s come", e->queue_ahead == 1 ? "it" : "them");
    }
}

/* Which budget is in the way, by how much, and what would change it. */
static void add_limit(struct weir_str *out, const struct weir_names *n, const struct weir_explain *e)
{
    struct weir_budget_view v;
    if (e->limit.v == 0) {
        return;
    }
    bool known = n->budget != NULL && n->budget(n->ctx, e->limit, &v);
    weir_str_adds(out, " Budget ");
    if (known) {
        weir_str_addf(out, "'%s'", v.def.name);
    } else {
        weir_str_addf(out, "%" PRIu32, e->limit.v);
    }
    weir_str_adds(out, " has ");
    add_money(out, n, e->limit_left_micro);
    weir_str_adds(out, " left for it");
    if (known) {
        char until[WEIR_RFC3339_SIZE];
        weir_str_adds(out, " (of ");
        add_money(out, n, v.def.amount_micro);
        weir_str_adds(out, ", ");
        add_money(out, n, v.charged_micro);
        weir_str_adds(out, " spent, ");
        add_money(out, n, v.held_micro);
        weir_str_adds(out, " held");
        if (v.span_until.us != 0) {
            weir_str_addf(out, ", until %s", weir_wall_format(v.span_until, until));
        }
        weir_str_adds(out, ")");
    }
    weir_str_adds(out, ", and at worst ");
    add_money(out, n, e->limit_need_micro);
    weir_str_adds(out, " must be held before it starts.");
    int64_t over = known ? weir_budget_over_micro(&v) : 0;
    if (over > 0) {
        weir_str_adds(out, " What is spent and what runs or is rented may come to ");
        add_money(out, n, over);
        weir_str_adds(out, " more than it has.");
    }
    weir_str_adds(out, " It can start when ");
    add_money(out, n, weir_i64_add_sat(e->limit_need_micro - e->limit_left_micro, over));
    weir_str_adds(out, " more is left: as running work ends for less than is held, when the budget is raised, or in its next span. A shorter "
                       "max_duration or a max_cost holds less.");
}

/* "3 GPUs", "12.5 GPU-hours". */
static void add_amount(struct weir_str *out, enum weir_quota_counts counts, int64_t n)
{
    static const char *const words[] = {"GPU", "GPU-hour", "GPU-minute", "rented machine", "running task"};
    bool timed = weir_quota_is_timed(counts);
    int64_t unit_ms = counts == WEIR_QUOTA_GPU_HOURS ? 3600000 : 60000;
    int64_t hundredths = timed ? weir_mul_div_sat(n, 100, unit_ms) : n * 100;
    weir_str_add_i64(out, hundredths / 100);
    if (hundredths % 100 != 0) {
        weir_str_addf(out, ".%02d", (int)(hundredths % 100));
    }
    weir_str_addf(out, " %s%s", words[counts], hundredths == 100 ? "" : "s");
}

/* Which quota is in the way, by how much, and what would change it. */
static void add_quota(struct weir_str *out, const struct weir_names *n, const struct weir_explain *e)
{
    static const char *const remedies[] = {
        "as running tasks end, or when the quota is raised",
        "as running work ends sooner than it may, when the quota is raised, or in its next span. A shorter max_duration counts for less",
        "as running work goes on or ends, or when the quota is raised. A shorter max_duration counts for less",
        "as rented machines are given back, or when the quota is raised",
        "as running tasks end, or when the quota is raised",
    };
    struct weir_quota_view v;
    if (e->quota.v == 0) {
        return;
    }
    if (n->quota == NULL || !n->quota(n->ctx, e->quota, &v) || v.def.counts >= WEIR_QUOTA_COUNTS_MAX) {
        weir_str_addf(out, " Quota %" PRIu32 " has no room for it.", e->quota.v);
        return;
    }
    enum weir_quota_counts counts = (enum weir_quota_counts)v.def.counts;
    if (v.def.shares) {
        weir_str_addf(out, " It counts for %" PRId64 " GPUs. Quota '%s' owns %" PRId64 " of which %" PRId64 " are in use", e->quota_need, v.def.name, v.def.limit,
                      v.n < v.def.limit ? v.n : v.def.limit);
        weir_str_adds(out, v.n + e->quota_need <= v.def.limit ? ": its share is lent out, and whoever borrows is being stopped for it."
                                                              : ", and of what others lend too little is left: it can start as its own tasks end, or as others leave theirs unused.");
        return;
    }
    weir_str_addf(out, " Quota '%s' has ", v.def.name);
    add_amount(out, counts, e->quota_left);
    weir_str_adds(out, " left for it (of ");
    add_amount(out, counts, v.def.limit);
    weir_str_adds(out, "), and it counts for ");
    add_amount(out, counts, e->quota_need);
    weir_str_adds(out, ". It can start when ");
    add_amount(out, counts, e->quota_need - e->quota_left);
    weir_str_addf(out, " more %s left: %s.", e->quota_need - e->quota_left == 1 ? "is" : "are", remedies[counts]);
}

static bool told_quota(const struct weir_names *n, const struct weir_explain *e, struct weir_told_quota *ret)
{
    return e->provider_quota != 0 && n->provider_quota != NULL && n->provider_quota(n->ctx, e->provider_quota, ret);
}

/* Which quota of a provider is in the way of the best offer that is beyond one, and what would change it. */
static void add_provider_quota(struct weir_str *out, const struct weir_names *n, const struct weir_explain *e)
{
    struct weir_told_quota t;
    const char *unit = weir_quota_unit_name((enum weir_quota_unit)e->provider_quota_unit);
    if (e->provider_quota == 0) {
        return;
    }
    bool known = told_quota(n, e, &t);
    if (known) {
        weir_str_addf(out, " %s's quota '%s'%s%s allows", t.provider, t.quota.name, t.quota.region[0] != '\0' ? " in " : "", t.quota.region);
    } else {
        weir_str_adds(out, " The provider's quota allows");
    }
    const struct weir_provider_ops *ops = known ? weir_provider_find(t.provider) : NULL;
    bool is_never = e->provider_quota_need > e->provider_quota_limit;
    weir_str_addf(out, " %" PRId64 " %s, %" PRId64 " are in use, and it takes %" PRId64 ": it can be rented when %s%s allows more",
                  e->provider_quota_limit, unit, e->provider_quota_used, e->provider_quota_need, is_never ? "" : "machines there have ended, or when ",
                  known ? t.provider : "the provider");
    weir_str_addf(out, ops != NULL && ops->quota_remedy != NULL ? " (%s)." : ".%s", ops != NULL && ops->quota_remedy != NULL ? ops->quota_remedy : "");
}

/* Why the other goes first. */
static void add_preemptor(struct weir_str *out, const struct weir_names *n, const struct weir_explain *e)
{
    struct weir_quota_view v;
    if (e->quota.v == 0) {
        weir_str_adds(out, "which has a higher priority; it is queued again.");
    } else if (n->quota != NULL && n->quota(n->ctx, e->quota, &v)) {
        weir_str_addf(out, "which is within its own share of GPUs (quota '%s'), while this one ran on borrowed ones; it is queued again.", v.def.name);
    } else {
        weir_str_adds(out, "which is within its own share of GPUs, while this one ran on borrowed ones; it is queued again.");
    }
}

static void placed_text(struct weir_str *out, const struct weir_names *n, const struct weir_explain *e)
{
    char buf[2 * NAME_SIZE];
    const struct weir_candidate *c = with_verdict(e, WEIR_VERDICT_CHOSEN);
    weir_str_addf(out, "%s ", subject(n, e->task, buf));
    switch ((enum weir_decision)e->decision) {
    case WEIR_DECISION_START:
        weir_str_adds(out, "starts on ");
        break;
    case WEIR_DECISION_RENT:
        weir_str_adds(out, "gets a machine of its own: ");
        break;
    case WEIR_DECISION_BIND:
        weir_str_adds(out, "waits for a machine that is booting, ");
        break;
    case WEIR_DECISION_WAIT:
        weir_str_adds(out, c != NULL && c->kind == WEIR_CANDIDATE_OFFER ? "waits until launches under way are answered, for " : "waits for ");
        break;
    case WEIR_DECISION_BLOCKED:
    case WEIR_DECISION_PREEMPT:
    case WEIR_DECISION_RETRY:
    case WEIR_DECISION_END_LEASE:
    case WEIR_DECISION_KEEP_LEASE:
    case WEIR_DECISION_MAX:
        break;
    }
    if (c == NULL) {
        if (e->node.v != 0) {
            weir_str_addf(out, "%s.", node_name(n, e->node, buf));
        } else {
            weir_str_adds(out, "the first place that can take it.");
        }
        add_rejections(out, e);
        return;
    }
    add_place(out, n, c);
    if (c->start_delay.us > 0) {
        weir_str_adds(out, ", ready in about ");
        add_duration(out, c->start_delay);
        weir_str_adds(out, ",");
    }
    add_cost(out, n, e, c);
    if (e->nodes > 0) {
        weir_str_addf(out, " All %" PRIu32 " nodes are in one zone, as the job asks", e->nodes);
        weir_str_addf(out, e->zone[0] == '\0' ? "." : ": %s.", e->zone);
    }
    add_alternative(out, n, e);
    add_rejections(out, e);
    if (e->decision == WEIR_DECISION_WAIT) {
        add_limit(out, n, e);
        add_quota(out, n, e);
        add_provider_quota(out, n, e);
        add_no_rate(out, n);
        add_queue(out, e);
    }
}

void weir_explain_to_text(const struct weir_explain *e, const struct weir_names *names, struct weir_str *out)
{
    char a[2 * NAME_SIZE];
    char b[NAME_SIZE];
    switch ((enum weir_decision)e->decision) {
    case WEIR_DECISION_START:
    case WEIR_DECISION_RENT:
    case WEIR_DECISION_BIND:
    case WEIR_DECISION_WAIT:
        placed_text(out, names, e);
        return;
    case WEIR_DECISION_BLOCKED:
        weir_str_addf(out, e->reason == WEIR_REASON_IMPOSSIBLE ? "%s fits no node that is there and nothing that can be rented: it waits until that changes."
                                                               : "%s cannot go anywhere now.",
                      subject(names, e->task, a));
        add_rejections(out, e);
        add_limit(out, names, e);
        add_quota(out, names, e);
        add_provider_quota(out, names, e);
        add_no_rate(out, names);
        add_queue(out, e);
        return;
    case WEIR_DECISION_PREEMPT:
        weir_str_addf(out, "%s is stopped to make room for task %s, ", subject(names, e->task, a), task_name(names, e->other, b));
        add_preemptor(out, names, e);
        return;
    case WEIR_DECISION_RETRY:
        weir_str_addf(out, "%s is queued again: its attempt %" PRIu32 " ended (%s).", subject(names, e->task, a),
                      e->attempt, weir_reason_name((enum weir_reason)e->reason));
        return;
    case WEIR_DECISION_END_LEASE:
        weir_str_addf(out, "The rented machine %s is given back: keeping it idle costs more than renting again.",
                      node_name(names, e->node, a));
        return;
    case WEIR_DECISION_KEEP_LEASE:
        weir_str_addf(out, "The rented machine %s is kept idle, for up to ", node_name(names, e->node, a));
        add_duration(out, e->expected_run);
        weir_str_adds(out, ": so long it is paid for anyway, or renting anew would cost more.");
        return;
    case WEIR_DECISION_MAX:
        return;
    }
}

static void offer_json(struct weir_json *j, const struct weir_offer *o)
{
    weir_json_key(j, "offer");
    if (o == NULL) {
        weir_json_null(j);
        return;
    }
    weir_json_object(j);
    weir_json_kv_cstr(j, "provider", o->provider);
    weir_json_kv_cstr(j, "region", o->region);
    weir_json_kv_cstr(j, "instance_type", o->instance_type);
    weir_json_kv_cstr(j, "market", weir_market_name((enum weir_market)o->market));
    weir_json_kv_i64(j, "price_micro_per_hour", o->price_micro_per_hour);
    weir_json_kv_cstr(j, "source", o->source);
    weir_json_kv_time(j, "as_of", o->as_of);
    weir_json_end(j);
}

static void node_json(struct weir_json *j, const struct weir_names *n, struct weir_node_id id)
{
    char buf[NAME_SIZE];
    weir_json_kv_cstr(j, "node", id.v == 0 ? NULL : node_name(n, id, buf));
}

static int64_t seconds_up(struct weir_dur d)
{
    return d.us <= 0 ? 0 : d.us / WEIR_US_PER_S + (d.us % WEIR_US_PER_S != 0);
}

static void candidate_json(struct weir_json *j, const struct weir_names *n, const struct weir_candidate *c)
{
    weir_json_object(j);
    weir_json_kv_cstr(j, "kind", weir_candidate_kind_name((enum weir_candidate_kind)c->kind));
    weir_json_kv_cstr(j, "verdict", weir_verdict_name((enum weir_verdict)c->verdict));
    weir_json_kv_cstr(j, "verdict_text", weir_verdict_text((enum weir_verdict)c->verdict));
    node_json(j, n, c->node);
    weir_json_kv_id(j, "lease", c->lease.v);
    offer_json(j, offer_of(n, c->offer));
    weir_json_kv_i64(j, "start_delay_s", seconds_up(c->start_delay));
    if (c->kind == WEIR_CANDIDATE_OFFER) {
        weir_json_kv_i64(j, "boot_s", seconds_up(c->boot));
        weir_json_kv_i64(j, "reclaim_ppm_per_hour", c->reclaim_ppm_per_hour);
    }
    weir_json_kv_i64(j, "run_micro", c->run_micro);
    weir_json_kv_i64(j, "boot_micro", c->boot_micro);
    weir_json_kv_i64(j, "failure_micro", c->failure_micro);
    weir_json_kv_i64(j, "egress_micro", c->egress_micro);
    weir_json_kv_i64(j, "reclaim_micro", c->reclaim_micro);
    weir_json_kv_i64(j, "wait_micro", c->wait_micro);
    weir_json_kv_i64(j, "shadow_micro", c->shadow_micro);
    weir_json_kv_i64(j, "total_micro", c->total_micro);
    weir_json_end(j);
}

static void rejected_json(struct weir_json *j, const struct weir_explain *e)
{
    weir_json_key(j, "rejected");
    weir_json_object(j);
    for (unsigned v = 0; v < WEIR_VERDICT_MAX; v++) {
        if (v != WEIR_VERDICT_CHOSEN && e->rejected[v] > 0) {
            weir_json_kv_u64(j, weir_verdict_name((enum weir_verdict)v), e->rejected[v]);
        }
    }
    weir_json_end(j);
}

static void limit_json(struct weir_json *j, const struct weir_names *n, const struct weir_explain *e)
{
    struct weir_budget_view v;
    if (e->limit.v == 0) {
        return;
    }
    weir_json_key(j, "budget");
    bool known = n->budget != NULL && n->budget(n->ctx, e->limit, &v);
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", known ? v.def.name : NULL);
    weir_json_kv_i64(j, "needed_micro", e->limit_need_micro);
    weir_json_kv_i64(j, "left_micro", e->limit_left_micro);
    weir_json_end(j);
}

static void quota_json(struct weir_json *j, const struct weir_names *n, const struct weir_explain *e)
{
    struct weir_quota_view v;
    if (e->quota.v == 0) {
        return;
    }
    weir_json_key(j, "quota");
    bool known = n->quota != NULL && n->quota(n->ctx, e->quota, &v);
    int64_t unit = known && weir_quota_is_timed((enum weir_quota_counts)v.def.counts) ? 1000 : 1;
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", known ? v.def.name : NULL);
    weir_json_kv_i64(j, "needed", (e->quota_need + unit - 1) / unit);
    weir_json_kv_i64(j, "left", e->quota_left / unit);
    weir_json_end(j);
}

static void provider_quota_json(struct weir_json *j, const struct weir_names *n, const struct weir_explain *e)
{
    struct weir_told_quota t;
    if (e->provider_quota == 0) {
        return;
    }
    bool known = told_quota(n, e, &t);
    weir_json_key(j, "provider_quota");
    weir_json_object(j);
    weir_json_kv_cstr(j, "provider", known ? t.provider : NULL);
    weir_json_kv_cstr(j, "region", known && t.quota.region[0] != '\0' ? t.quota.region : NULL);
    weir_json_kv_cstr(j, "name", known ? t.quota.name : NULL);
    weir_json_kv_cstr(j, "unit", weir_quota_unit_name((enum weir_quota_unit)e->provider_quota_unit));
    weir_json_kv_i64(j, "limit", e->provider_quota_limit);
    weir_json_kv_i64(j, "used", e->provider_quota_used);
    weir_json_kv_i64(j, "needed", e->provider_quota_need);
    weir_json_end(j);
}

void weir_explain_to_json(const struct weir_explain *e, const struct weir_names *names, struct weir_str *out)
{
    char buf[NAME_SIZE];
    struct weir_str text = WEIR_STR_INIT(TEXT_MAX);
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    weir_json_kv_u64(&j, "seq", e->seq);
    weir_json_kv_time(&j, "at", e->now);
    weir_json_kv_cstr(&j, "task", e->task.job.v == 0 ? NULL : task_name(names, e->task, buf));
    weir_json_kv_u64(&j, "attempt", e->attempt);
    weir_json_kv_cstr(&j, "decision", weir_decision_name((enum weir_decision)e->decision));
    weir_json_kv_cstr(&j, "other", e->other.job.v == 0 ? NULL : task_name(names, e->other, buf));
    node_json(&j, names, e->node);
    weir_json_kv_id(&j, "lease", e->lease.v);
    weir_json_kv_cstr(&j, "reason",
                      e->reason == WEIR_REASON_NONE ? NULL : weir_reason_name((enum weir_reason)e->reason));
    weir_json_kv_u64(&j, "queue_ahead", e->queue_ahead);
    weir_json_kv_i64(&j, "expected_run_s", seconds_up(e->expected_run));
    weir_json_key(&j, "margin_micro");
    if (e->margin_micro == INT64_MAX) {
        weir_json_null(&j);
    } else {
        weir_json_i64(&j, e->margin_micro);
    }
    weir_json_kv_u64(&j, "considered", e->n_considered);
    rejected_json(&j, e);
    if (e->nodes > 0) {
        weir_json_kv_cstr(&j, "zone", e->zone);
    }
    if (e->again_at.us != 0) {
        weir_json_kv_time(&j, "again_at", e->again_at);
    }
    limit_json(&j, names, e);
    quota_json(&j, names, e);
    provider_quota_json(&j, names, e);
    weir_json_key(&j, "candidates");
    weir_json_array(&j);
    for (uint32_t i = 0; i < e->n_candidates && i < WEIR_EXPLAIN_CANDIDATES_MAX; i++) {
        candidate_json(&j, names, &e->candidate[i]);
    }
    weir_json_end(&j);
    weir_explain_to_text(e, names, &text);
    weir_json_kv_cstr(&j, "text", weir_str_cstr(&text));
    weir_json_end(&j);
    weir_str_release(&text);
}
