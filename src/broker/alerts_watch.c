/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is the matter. The conditions are looked at again and again, as they are, instead of being counted up from what happened: a
 * restart misses nothing and repeats nothing. Only the book knows what is news.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "alerts_priv.h"
#include "forecast/spend.h"

enum { WATCH_MS = 2000, JOBS_PER_LOOK = 20000, NODES_MAX = 1 << 20 };

void alerts_see(struct broker *b, enum weir_alert_condition c, enum weir_alert_severity severity, const char *key, const char *project,
                const char *text)
{
    const struct weir_alert_sight s = {.condition = c, .severity = severity, .key = key, .project = project, .text = text};
    (void)weir_alert_book_see(&b->alerts->book, &s, weir_engine_now(b->engine));
}

static void end(struct broker *b, enum weir_alert_condition c, uint64_t round)
{
    weir_alert_book_end(&b->alerts->book, c, "", round, weir_engine_now(b->engine));
}

/* ---- budgets ---- */

static const char *amount(const struct broker *b, int64_t micro, char *buf, size_t size)
{
    char money[WEIR_MONEY_SIZE];
    (void)snprintf(buf, size, "%s %s", weir_money_format_short(micro, b->config->currency, money), b->config->currency);
    return buf;
}

/* Of all thresholds that were reached, the highest speaks; a higher one is news. */
static void watch_thresholds(struct broker *b, const struct weir_budget_view *v, const char *project)
{
    const struct weir_budget_threshold *top = NULL;
    for (uint32_t i = 0; i < v->def.n_thresholds; i++) {
        top = (v->reached >> i & 1u) != 0 ? &v->def.threshold[i] : top;
    }
    if (top == NULL) {
        return;
    }
    char key[WEIR_ALERT_KEY_SIZE];
    char text[WEIR_ALERT_TEXT_SIZE];
    char spent[64];
    char all[64];
    (void)snprintf(key, sizeof key, "budget-threshold/%s", v->def.name);
    (void)snprintf(text, sizeof text, "budget '%s': %u %% of %s is reached, %s is spent; %s", v->def.name, (unsigned)top->percent,
                   amount(b, v->def.amount_micro, all, sizeof all), amount(b, v->charged_micro, spent, sizeof spent),
                   weir_budget_action_name((enum weir_budget_action)top->action));
    const struct weir_alert_sight s = {.condition = WEIR_ALERT_BUDGET_THRESHOLD,
                                       .severity = top->percent >= 100 || top->action >= WEIR_BUDGET_STOP_NEW ? WEIR_ALERT_CRITICAL : WEIR_ALERT_WARNING,
                                       .key = key,
                                       .project = project,
                                       .text = text,
                                       .step = top->percent};
    (void)weir_alert_book_see(&b->alerts->book, &s, weir_engine_now(b->engine));
}

static void watch_forecast(struct broker *b, const struct weir_budget_view *v, const char *project)
{
    struct weir_wall now = weir_engine_now(b->engine);
    struct weir_spend_ahead a = weir_spend_ahead(v, now);
    char key[WEIR_ALERT_KEY_SIZE];
    char text[WEIR_ALERT_TEXT_SIZE];
    char x[64];
    char y[64];
    char z[64];
    (void)snprintf(key, sizeof key, "budget-forecast/%s", v->def.name);
    /* it begins where the forecast passes the limit by more than its error, and lasts until it is below: so it does not flutter */
    int64_t sure = weir_i64_sub_sat(a.spent_micro, a.error_micro);
    bool passes = a.known && (weir_alert_book_fires(&b->alerts->book, key) ? a.spent_micro : sure) > v->def.amount_micro;
    if (passes && v->charged_micro <= v->def.amount_micro) {
        (void)snprintf(text, sizeof text, "budget '%s': %s ± %s will be spent at the span's end, its amount is %s", v->def.name,
                       amount(b, a.spent_micro, x, sizeof x), amount(b, a.error_micro, y, sizeof y), amount(b, v->def.amount_micro, z, sizeof z));
        alerts_see(b, WEIR_ALERT_BUDGET_FORECAST, WEIR_ALERT_WARNING, key, project, text);
    }
    if (a.empty.us != 0 && weir_wall_sub(a.empty, now).us <= b->config->alerts.run_out.us) {
        char when[WEIR_RFC3339_SIZE];
        (void)snprintf(key, sizeof key, "budget-run-out/%s", v->def.name);
        (void)weir_wall_format((struct weir_wall){a.empty.us - a.empty.us % WEIR_US_PER_MIN}, when);
        if (v->charged_micro >= v->def.amount_micro) {
            (void)snprintf(text, sizeof text, "budget '%s': all of %s is spent", v->def.name, amount(b, v->def.amount_micro, x, sizeof x));
        } else {
            (void)snprintf(text, sizeof text, "budget '%s': as it is spent now, %s run out at %s", v->def.name, amount(b, v->def.amount_micro, x, sizeof x), when);
        }
        alerts_see(b, WEIR_ALERT_BUDGET_RUN_OUT, WEIR_ALERT_WARNING, key, project, text);
    }
}

static void watch_budgets(struct broker *b)
{
    const struct weir_core *core = weir_engine_core(b->engine);
    uint64_t round = weir_alert_book_begin(&b->alerts->book);
    size_t n = weir_core_budgets(core, NULL, 0);
    struct weir_budget_id *id = weir_calloc(n + 1, sizeof *id);
    n = weir_core_budgets(core, id, n);
    for (size_t i = 0; i < n; i++) {
        struct weir_budget_view v;
        if (!weir_core_budget(core, id[i], &v)) {
            continue;
        }
        const char *project = v.def.scope == WEIR_BUDGET_PROJECT ? weir_engine_project_name(b->engine, v.def.project) : "";
        watch_thresholds(b, &v, project);
        watch_forecast(b, &v, project);
    }
    free(id);
    end(b, WEIR_ALERT_BUDGET_THRESHOLD, round);
    end(b, WEIR_ALERT_BUDGET_FORECAST, round);
    end(b, WEIR_ALERT_BUDGET_RUN_OUT, round);
}

/* ---- quotas ---- */

/* It begins at the percentage and lasts until a tenth of the quota less is taken: what comes and goes is no news each time. */
static void watch_quota(struct broker *b, const struct weir_quota_view *v, const char *project)
{
    char key[WEIR_ALERT_KEY_SIZE];
    char text[WEIR_ALERT_TEXT_SIZE];
    enum weir_quota_counts counts = (enum weir_quota_counts)v->def.counts;
    uint32_t percent = b->config->alerts.quota_percent;
    int64_t taken = weir_quota_is_timed(counts) ? weir_i64_add_sat(v->used_ms, v->held_ms) : v->n;
    (void)snprintf(key, sizeof key, "quota-threshold/%s", v->def.name);
    uint32_t from = weir_alert_book_fires(&b->alerts->book, key) ? percent - (percent < 10 ? percent : 10) : percent;
    if (v->def.limit == 0 || taken < weir_mul_div_sat(v->def.limit, from, 100) || taken == 0) {
        return;
    }
    (void)snprintf(text, sizeof text, "quota '%s': %u %% of its %s are taken", v->def.name, (unsigned)percent, weir_quota_counts_name(counts));
    alerts_see(b, WEIR_ALERT_QUOTA_THRESHOLD, WEIR_ALERT_WARNING, key, project, text);
}

static void watch_quotas(struct broker *b)
{
    const struct weir_core *core = weir_engine_core(b->engine);
    uint64_t round = weir_alert_book_begin(&b->alerts->book);
    size_t n = b->config->alerts.quota_percent == 0 ? 0 : weir_core_quotas(core, NULL, 0);
    struct weir_quota_id *id = weir_calloc(n + 1, sizeof *id);
    n = n == 0 ? 0 : weir_core_quotas(core, id, n);
    for (size_t i = 0; i < n; i++) {
        struct weir_quota_view v;
        if (weir_core_quota(core, id[i], &v)) {
            watch_quota(b, &v, v.def.scope == WEIR_BUDGET_PROJECT ? weir_engine_project_name(b->engine, v.def.project) : "");
        }
    }
    free(id);
    end(b, WEIR_ALERT_QUOTA_THRESHOLD, round);
}

/* ---- nodes ---- */

static void watch_nodes(struct broker *b)
{
    const struct weir_core *core = weir_engine_core(b->engine);
    uint64_t round = weir_alert_book_begin(&b->alerts->book);
    char key[WEIR_ALERT_KEY_SIZE];
    char text[WEIR_ALERT_TEXT_SIZE];
    size_t n = weir_core_nodes(core, NULL, 0);
    n = n > NODES_MAX ? NODES_MAX : n;
    struct weir_node_id *id = weir_calloc(n + 1, sizeof *id);
    n = weir_core_nodes(core, id, n);
    for (size_t i = 0; i < n; i++) {
        struct weir_node_view v;
        if (!weir_core_node(core, id[i], &v) || v.state != WEIR_NODE_LOST) {
            continue;
        }
        const char *name = weir_engine_node_name(b->engine, id[i]);
        (void)snprintf(key, sizeof key, "node-lost/%" PRIu64, id[i].v);
        (void)snprintf(text, sizeof text, "node %" PRIu64 " (%s): no word from its agent; %u run%s there", id[i].v, name == NULL ? "" : name,
                       (unsigned)v.n_runs, v.n_runs == 1 ? "" : "s");
        alerts_see(b, WEIR_ALERT_NODE_LOST, v.spec.lease.v == 0 ? WEIR_ALERT_CRITICAL : WEIR_ALERT_WARNING, key, "", text);
    }
    free(id);
    for (size_t i = 0; i < b->agents.n; i++) {
        const struct agent *a = b->agents.p[i];
        if (a->host_failures == 0 || a->lost) {
            continue;
        }
        const char *name = weir_engine_node_name(b->engine, a->node);
        (void)snprintf(key, sizeof key, "node-unfit/%" PRIu64, a->node.v);
        (void)snprintf(text, sizeof text, "node %" PRIu64 " (%s): its host can start nothing, for want of disk or processes; see 'weir nodes'", a->node.v,
                       name == NULL ? "" : name);
        alerts_see(b, WEIR_ALERT_NODE_UNFIT, WEIR_ALERT_WARNING, key, "", text);
    }
    end(b, WEIR_ALERT_NODE_LOST, round);
    end(b, WEIR_ALERT_NODE_UNFIT, round);
}

/* ---- prices ---- */

/* Has it moved by more than the limit, in either direction? */
static bool drifts(const struct broker *b, int64_t now_micro, int64_t was_micro)
{
    int64_t moved = now_micro > was_micro ? now_micro - was_micro : was_micro - now_micro;
    return was_micro > 0 && moved > weir_mul_div_sat(was_micro, b->config->alerts.price_drift_percent, 100);
}

static void see_drift(struct broker *b, const struct weir_offer *o, int64_t now_micro, int64_t was_micro, const char *than)
{
    char key[WEIR_ALERT_KEY_SIZE];
    char text[WEIR_ALERT_TEXT_SIZE];
    char x[64];
    char y[64];
    (void)snprintf(key, sizeof key, "price-drift/%s/%s/%s/%s/%s", o->provider, o->region, o->zone, o->instance_type, weir_market_name((enum weir_market)o->market));
    (void)snprintf(text, sizeof text, "%s %s in %s, %s: %s/h, %s %s/h", o->provider, o->instance_type, o->region, weir_market_name((enum weir_market)o->market),
                   amount(b, now_micro, x, sizeof x), than, amount(b, was_micro, y, sizeof y));
    alerts_see(b, WEIR_ALERT_PRICE_DRIFT, WEIR_ALERT_WARNING, key, "", text);
}

static const struct weir_offer *offer_now(const struct broker *b, const struct weir_offer *quote)
{
    for (size_t i = 0; i < b->n_providers; i++) {
        const struct provider *p = &b->provider[i];
        for (size_t k = 0; weir_streq(p->ops->name, quote->provider) && k < p->offers.n; k++) {
            if (p->offers.p[k].id == quote->id) {
                return &p->offers.p[k];
            }
        }
    }
    return NULL;
}

/* A spot price moves by its nature: only what runs is compared with what was quoted for it, by the price in force where that has moved. */
static void watch_prices(struct broker *b)
{
    struct weir_core *core = weir_engine_core(b->engine);
    uint64_t round = weir_alert_book_begin(&b->alerts->book);
    for (size_t i = 0; i < b->leases.n && b->config->alerts.price_drift_percent > 0; i++) {
        struct weir_lease_view v;
        if (!weir_core_lease(core, b->leases.p[i].lease, &v)) {
            continue;
        }
        const struct weir_offer *o = offer_now(b, &v.offer);
        bool moved = v.price_micro_per_hour != v.offer.price_micro_per_hour;
        int64_t now_micro = moved || o == NULL ? v.price_micro_per_hour : o->price_micro_per_hour;
        if (drifts(b, now_micro, v.offer.price_micro_per_hour)) {
            see_drift(b, &v.offer, now_micro, v.offer.price_micro_per_hour, "quoted for a machine that runs at");
        }
    }
    for (size_t i = 0; i < b->n_providers && b->config->alerts.price_drift_percent > 0; i++) {
        for (size_t k = 0; k < b->provider[i].offers.n; k++) {
            const struct weir_offer *o = &b->provider[i].offers.p[k];
            uint64_t at;
            if (o->market == WEIR_OFFER_ON_DEMAND && weir_map_get(&b->market.at, o->id, &at) &&
                drifts(b, o->price_micro_per_hour, b->market.offer.p[at].price_micro_per_hour)) {
                see_drift(b, o, o->price_micro_per_hour, b->market.offer.p[at].price_micro_per_hour, "in the price list");
            }
        }
    }
    end(b, WEIR_ALERT_PRICE_DRIFT, round);
}

/* ---- the queue ---- */

/* 0: nobody set one. */
static struct weir_dur objective(const struct broker *b, const char *project)
{
    const struct weir_config_alerts *conf = &b->config->alerts;
    for (size_t i = 0; i < conf->n_queue_waits; i++) {
        if (weir_glob_match(weir_sv_of(conf->queue_wait[i].project), weir_sv_of(project))) {
            return conf->queue_wait[i].objective;
        }
    }
    return (struct weir_dur){0};
}

/* A job that keeps its own limit of tasks at once waits for itself. */
static void look_at_job(struct broker *b, const struct weir_job_view *v)
{
    struct alerts *x = b->alerts;
    uint32_t active = v->count[WEIR_TASK_STARTING] + v->count[WEIR_TASK_RUNNING] + v->count[WEIR_TASK_STOPPING];
    if (v->count[WEIR_TASK_WAITING] == 0 || (v->parallel_max != 0 && active >= v->parallel_max)) {
        return;
    }
    struct weir_wall since = v->submitted;
    struct weir_task_view t;
    if (v->n_tasks == 1 && weir_core_task(weir_engine_core(b->engine), (struct weir_task_id){v->id, 0}, &t)) {
        since = t.queued;
    }
    uint64_t at;
    if (!weir_map_get(&x->waiting, v->project.v, &at)) {
        at = x->waits.n;
        weir_map_put(&x->waiting, v->project.v, at);
        weir_vec_push(&x->waits, (struct project_wait){.project = v->project, .since = WEIR_WALL_MAX});
    }
    struct project_wait *w = &x->waits.p[at];
    w->tasks += v->count[WEIR_TASK_WAITING];
    if (since.us < w->since.us) {
        w->since = since;
        w->job = v->id;
    }
}

static void tell_waits(struct broker *b)
{
    struct alerts *x = b->alerts;
    struct weir_wall now = weir_engine_now(b->engine);
    for (size_t i = 0; i < x->waits.n; i++) {
        const struct project_wait *w = &x->waits.p[i];
        const char *project = weir_engine_project_name(b->engine, w->project);
        struct weir_dur limit = objective(b, project);
        struct weir_dur waited = weir_wall_sub(now, w->since);
        if (limit.us == 0 || waited.us <= limit.us) {
            continue;
        }
        char key[WEIR_ALERT_KEY_SIZE];
        char text[WEIR_ALERT_TEXT_SIZE];
        char since[WEIR_RFC3339_SIZE];
        char wanted[WEIR_RFC3339_SIZE];
        (void)snprintf(key, sizeof key, "queue-wait/%s", project);
        (void)snprintf(text, sizeof text, "project '%s': job %" PRIu64 " has been waiting since %s, longer than the objective of %s; %" PRIu64 " task%s wait%s", project,
                       w->job.v, weir_wall_format((struct weir_wall){w->since.us - w->since.us % WEIR_US_PER_S}, since), weir_dur_format(limit, wanted),
                       w->tasks, w->tasks == 1 ? "" : "s", w->tasks == 1 ? "s" : "");
        alerts_see(b, WEIR_ALERT_QUEUE_WAIT, WEIR_ALERT_WARNING, key, project, text);
    }
    end(b, WEIR_ALERT_QUEUE_WAIT, x->wait_round);
    weir_map_release(&x->waiting);
    weir_vec_clear(&x->waits);
}

/* However many jobs there are, a look takes no longer than so many of them take; the next goes on where it ended. */
static void watch_queue(struct broker *b)
{
    struct alerts *x = b->alerts;
    const struct weir_core *core = weir_engine_core(b->engine);
    if (b->config->alerts.n_queue_waits == 0) {
        end(b, WEIR_ALERT_QUEUE_WAIT, weir_alert_book_begin(&x->book)); /* of an earlier configuration */
        return;
    }
    if (x->wait_before.v == 0) {
        x->wait_round = weir_alert_book_begin(&x->book);
        x->wait_before.v = UINT64_MAX;
    }
    struct weir_job_id *id = weir_calloc(JOBS_PER_LOOK, sizeof *id);
    size_t n = weir_core_jobs_before(core, x->wait_before, id, JOBS_PER_LOOK);
    for (size_t i = 0; i < n; i++) {
        struct weir_job_view v;
        if (weir_core_job(core, id[i], &v)) {
            look_at_job(b, &v);
        }
    }
    x->wait_before = n < JOBS_PER_LOOK ? (struct weir_job_id){0} : id[n - 1];
    free(id);
    if (x->wait_before.v == 0) {
        tell_waits(b);
    }
}

/* ---- the link to rented machines ---- */

static void watch_link(struct broker *b)
{
    uint64_t round = weir_alert_book_begin(&b->alerts->book);
    char text[WEIR_ALERT_TEXT_SIZE];
    const char *remedy;
    if (b->link != NULL && !link_status(b, text, sizeof text, &remedy)) {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof text - n, "; nothing is rented meanwhile: %s", remedy);
        alerts_see(b, WEIR_ALERT_LINK_DOWN, WEIR_ALERT_CRITICAL, "link-down", "", text);
    }
    end(b, WEIR_ALERT_LINK_DOWN, round);
}

void alerts_watch(struct broker *b)
{
    uint64_t now = broker_ms(b);
    if (now < b->alerts->watch_due_ms) {
        return;
    }
    b->alerts->watch_due_ms = now + WATCH_MS;
    watch_budgets(b);
    watch_quotas(b);
    watch_nodes(b);
    watch_prices(b);
    watch_queue(b);
    watch_link(b);
}

/* ---- machines that no lease owns ---- */

uint64_t alerts_sweep(struct broker *b)
{
    return weir_alert_book_begin(&b->alerts->book);
}

void alerts_orphan(struct broker *b, const char *provider, const char *instance)
{
    char key[WEIR_ALERT_KEY_SIZE];
    char text[WEIR_ALERT_TEXT_SIZE];
    (void)snprintf(key, sizeof key, "leak-suspect/%s/%s", provider, instance);
    (void)snprintf(text, sizeof text, "%s machine %s bears our tag, and no lease owns it: it is being ended", provider, instance);
    alerts_see(b, WEIR_ALERT_LEAK_SUSPECT, WEIR_ALERT_CRITICAL, key, "", text);
}

void alerts_unwatched(struct broker *b, const char *provider, struct weir_lease_id lease, const char *instance)
{
    char key[WEIR_ALERT_KEY_SIZE];
    char text[WEIR_ALERT_TEXT_SIZE];
    (void)snprintf(key, sizeof key, "leak-suspect/%s/lease-%" PRIu64, provider, lease.v);
    (void)snprintf(text, sizeof text, "%s machine %s of lease %" PRIu64 " may run and cost, and providers.%s is not configured: put it back, or end it there by hand", provider,
                   instance[0] == '\0' ? "(its id is not known)" : instance, lease.v, provider);
    alerts_see(b, WEIR_ALERT_LEAK_SUSPECT, WEIR_ALERT_CRITICAL, key, "", text);
}

void alerts_swept(struct broker *b, const char *provider, uint64_t round)
{
    char prefix[WEIR_ALERT_KEY_SIZE];
    (void)snprintf(prefix, sizeof prefix, "leak-suspect/%s/", provider);
    weir_alert_book_end(&b->alerts->book, WEIR_ALERT_LEAK_SUSPECT, prefix, round, weir_engine_now(b->engine));
}
