/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Gathering what steps changed, and the transaction that stores it. Gathered views replace earlier ones of
 * the same object, so a busy task costs one row per transaction however often it changed.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine_priv.h"
#include "shape_json.h"

enum { SETTLE_EVERY_S = 60, SHAPE_JSON_MAX = 64 * 1024 };

/* The place of key's entry in a gathered vector of n: an old one, or a new one at the end. */
static size_t place(struct weir_map *at, uint64_t key, size_t n, bool *is_new)
{
    uint64_t i;
    *is_new = !weir_map_get(at, key, &i);
    if (*is_new) {
        i = n;
        weir_map_put(at, key, i);
    }
    return (size_t)i;
}

#define GATHER(vec, at, key, value)                                                                \
    do {                                                                                           \
        bool is_new_;                                                                              \
        size_t i_ = place((at), (key), (vec)->n, &is_new_);                                        \
        if (is_new_) {                                                                             \
            weir_vec_push((vec), (value));                                                         \
        } else {                                                                                   \
            (vec)->p[i_] = (value);                                                                \
        }                                                                                          \
    } while (0)

/* True where the state differs from what was told last; final states are forgotten. */
static bool is_news(struct weir_map *told, uint64_t key, uint64_t state, bool final)
{
    uint64_t last = UINT64_MAX;
    bool known = weir_map_get(told, key, &last);
    if (final) {
        (void)weir_map_remove(told, key);
    } else if (last != state) {
        weir_map_put(told, key, state);
    }
    return !known || last != state;
}

static const struct weir_node_id no_node = {0};
static const struct weir_lease_id no_lease = {0};

static void tell_job(struct weir_engine *e, const struct weir_job_view *v)
{
    static const char *const kinds[WEIR_JOB_STATE_MAX] = {"job.submitted", "job.started", "job.succeeded",
                                                          "job.failed", "job.cancelled"};
    bool final = weir_job_state_is_final(v->state);
    uint64_t last;
    bool known = weir_map_get(&e->job_told, v->id.v, &last);
    if (known) {
        e->jobs_in[last]--;
    }
    if (!final) {
        e->jobs_in[v->state]++;
    }
    if (is_news(&e->job_told, v->id.v, v->state, final)) {
        const char *kind = known && v->state == WEIR_JOB_WAITING ? "job.waiting" : kinds[v->state];
        engine_add_event(e, kind, v->id, WEIR_ORDINAL_ALL, no_node, no_lease, NULL);
        if (final) {
            weir_vec_push(&e->ended, v->id);
        }
    }
}

static void tell_task(struct weir_engine *e, const struct weir_task_view *v)
{
    static const char *const kinds[WEIR_TASK_STATE_MAX] = {"task.waiting",   "task.placed", "task.started", "task.stopping",
                                                           "task.succeeded", "task.failed", "task.cancelled"};
    bool final = weir_task_state_is_final(v->state);
    if (!is_news(&e->task_told, task_key(v->id), (uint64_t)v->state << 32 | v->attempt, final)) {
        return;
    }
    const char *text = v->reason == WEIR_REASON_NONE ? NULL : weir_reason_name(v->reason);
    engine_add_event(e, kinds[v->state], v->id.job, v->id.ordinal, v->node, v->lease, text);
}

/* A job's kind is needed as long as one of its tasks may end; the last one ends in the step that ends the job. */
static void forget_kind(struct weir_engine *e, struct weir_job_id id)
{
    struct weir_job_view v;
    if (weir_core_job(e->core, id, &v) && weir_job_state_is_final(v.state)) {
        (void)weir_map_remove(&e->job_runtime, id.v);
        (void)weir_map_remove(&e->job_estimate, id.v);
    }
}

/* A finished run teaches the forecast what such tasks take. */
static void observe_runtime(struct weir_engine *e, const struct weir_task_view *v)
{
    uint64_t key[WEIR_RUNTIME_KINDS];
    struct weir_job_view job;
    if (v->state != WEIR_TASK_SUCCEEDED || v->started.us == 0 || v->ended.us <= v->started.us ||
        v->checkpointed.us != 0 || !weir_map_get(&e->job_runtime, v->id.job.v, &key[0]) ||
        !weir_core_job(e->core, v->id.job, &job)) {
        return; /* a resumed run took longer than its last attempt shows */
    }
    weir_runtime_wider_keys(engine_gpus(weir_core_shape(e->core, job.shape)), key);
    for (size_t i = 0; i < WEIR_RUNTIME_KINDS; i++) {
        struct runtime_entry *entry = engine_runtime(e, key[i]);
        if (entry == NULL) {
            continue;
        }
        weir_runtime_observe(&entry->history, weir_wall_sub(v->ended, v->started));
        if (!entry->dirty) {
            entry->dirty = true;
            weir_vec_push(&e->runtimes_dirty, (size_t)(entry - e->runtimes.p));
        }
    }
    weir_vec_push(&e->taught, v->id.job);
}

static void gather_task(struct weir_engine *e, struct weir_task_id id)
{
    struct weir_task_view v;
    if (!weir_core_task(e->core, id, &v)) {
        return;
    }
    bool is_new;
    size_t i = place(&e->task_at, task_key(id), e->tasks.n, &is_new);
    if (is_new) {
        weir_vec_push(&e->tasks, (struct dirty_task){0});
    }
    struct dirty_task *d = &e->tasks.p[i];
    free(d->gang_node);
    free(d->gang_mask);
    free(d->gang_state);
    d->gang_node = NULL;
    d->gang_mask = NULL;
    d->gang_state = NULL;
    d->view = v;
    if (v.n_nodes > 1 && v.gang_node != NULL) {
        d->gang_node = weir_calloc(v.n_nodes, sizeof *d->gang_node);
        d->gang_mask = weir_calloc(v.n_nodes, sizeof *d->gang_mask);
        memcpy(d->gang_node, v.gang_node, v.n_nodes * sizeof *d->gang_node);
        memcpy(d->gang_mask, v.gang_mask, v.n_nodes * sizeof *d->gang_mask);
        d->view.gang_node = d->gang_node;
        d->view.gang_mask = d->gang_mask;
        if (v.gang_state != NULL) {
            d->gang_state = weir_calloc(v.n_nodes, 1);
            memcpy(d->gang_state, v.gang_state, v.n_nodes);
        }
        d->view.gang_state = d->gang_state;
    }
    uint64_t text;
    if (weir_map_get(&e->task_text, task_key(id), &text)) {
        free(d->text);
        d->text = weir_strdup(e->texts.p[text - 1]);
    }
    observe_runtime(e, &v);
    tell_task(e, &v);
}

void engine_gather_node(struct weir_engine *e, struct weir_node_id id)
{
    struct weir_node_view v;
    if (!weir_core_node(e->core, id, &v)) {
        return;
    }
    GATHER(&e->nodes, &e->node_at, id.v, v);
    e->dirty = true;
}

static void tell_node(struct weir_engine *e, struct weir_node_id id)
{
    static const char *const kinds[WEIR_NODE_STATE_MAX] = {"node.up", "node.draining", "node.lost", "node.gone"};
    struct weir_node_view v;
    if (!weir_core_node(e->core, id, &v) || !v.joined) {
        return;
    }
    if (is_news(&e->node_told, id.v, v.state, v.state == WEIR_NODE_GONE)) {
        engine_add_event(e, kinds[v.state], (struct weir_job_id){0}, WEIR_ORDINAL_ALL, id, v.spec.lease, NULL);
    }
}

void engine_gather_lease(struct weir_engine *e, struct weir_lease_id id)
{
    static const char *const kinds[WEIR_LEASE_STATE_MAX] = {"lease.intent",    "lease.booting", "lease.ready", "lease.reclaimed",
                                                            "lease.ending",    "lease.ended",   "lease.failed"};
    struct weir_lease_view v;
    if (!weir_core_lease(e->core, id, &v)) {
        return;
    }
    GATHER(&e->leases, &e->lease_at, id.v, v);
    e->dirty = true;
    bool final = lease_is_over(v.state);
    if (is_news(&e->lease_told, id.v, v.state, final)) {
        struct weir_lease_note note;
        const char *text = weir_engine_lease_get_note(e, id, &note) ? note.text : NULL;
        engine_add_event(e, kinds[v.state], v.task.job, v.task.ordinal, v.node, id, text);
    }
}

/* Tells of each threshold once in a span. */
static void tell_budget(struct weir_engine *e, const struct weir_budget_view *v)
{
    uint64_t told = 0;
    (void)weir_map_get(&e->budget_told, v->id.v, &told);
    for (uint32_t i = 0; i < v->def.n_thresholds; i++) {
        const struct weir_budget_threshold *t = &v->def.threshold[i];
        if ((v->reached >> i & 1u) == 0 || (told >> i & 1u) != 0) {
            continue;
        }
        char spent[WEIR_MONEY_SIZE];
        char amount[WEIR_MONEY_SIZE];
        struct weir_str text = WEIR_STR_INIT(512);
        const char *currency = e->conf.currency == NULL ? "USD" : e->conf.currency;
        weir_str_addf(&text, "budget '%s': %u %% of %s %s is spent (%s %s); %s", v->def.name, (unsigned)t->percent,
                      weir_money_format_short(v->def.amount_micro, currency, amount), currency, weir_money_format_short(v->charged_micro, currency, spent), currency,
                      weir_budget_action_name((enum weir_budget_action)t->action));
        engine_add_event(e, "budget.threshold", (struct weir_job_id){0}, WEIR_ORDINAL_ALL, (struct weir_node_id){0},
                         (struct weir_lease_id){0}, weir_str_cstr(&text));
        weir_str_release(&text);
    }
    weir_map_put(&e->budget_told, v->id.v, v->reached);
}

static void gather_budget(struct weir_engine *e, struct weir_budget_id id)
{
    struct weir_budget_view v;
    if (weir_core_budget(e->core, id, &v)) {
        tell_budget(e, &v);
    } else {
        (void)weir_map_remove(&e->budget_told, id.v);
    }
    if (e->budgets.n == 0 || e->budgets.p[e->budgets.n - 1].v != id.v) {
        weir_vec_push(&e->budgets, id);
    }
    e->dirty = true;
}

void engine_gather(struct weir_engine *e, const struct weir_effects *fx)
{
    for (size_t i = 0; i < fx->n_jobs; i++) {
        struct weir_job_view v;
        if (weir_core_job(e->core, fx->job[i], &v)) {
            GATHER(&e->jobs, &e->job_at, v.id.v, v);
            tell_job(e, &v);
        }
    }
    for (size_t i = 0; i < fx->n_tasks; i++) {
        gather_task(e, fx->task[i]);
    }
    for (size_t i = 0; i < fx->n_jobs; i++) {
        forget_kind(e, fx->job[i]);
    }
    for (size_t i = 0; i < fx->n_nodes; i++) {
        engine_gather_node(e, fx->node[i]);
        tell_node(e, fx->node[i]);
    }
    for (size_t i = 0; i < fx->n_leases; i++) {
        engine_gather_lease(e, fx->lease[i]);
    }
    for (size_t i = 0; i < fx->n_holds; i++) {
        struct weir_hold_view v;
        if (weir_core_hold(e->core, fx->hold[i], &v)) {
            GATHER(&e->holds, &e->hold_at, v.id.v, v);
        }
    }
    for (size_t i = 0; i < fx->n_projects; i++) {
        struct weir_project_view v;
        if (weir_core_project(e->core, fx->project[i], &v)) {
            GATHER(&e->project_views, &e->project_at, v.id.v, v);
        }
    }
    for (size_t i = 0; i < fx->n_budgets; i++) {
        gather_budget(e, fx->budget[i]);
    }
    for (size_t i = 0; i < fx->n_quotas; i++) {
        if (e->quotas.n == 0 || e->quotas.p[e->quotas.n - 1].v != fx->quota[i].v) {
            weir_vec_push(&e->quotas, fx->quota[i]);
        }
        e->dirty = true;
    }
    for (size_t i = 0; i < fx->n_shapes; i++) {
        weir_vec_push(&e->shapes_judged, fx->shape[i]);
        e->dirty = true;
    }
}

static void take_postings(struct weir_engine *e)
{
    const struct weir_posting *p;
    const struct weir_meter *m;
    size_t n_p;
    size_t n_m;
    weir_bill_take(e->bill, &p, &n_p, &m, &n_m);
    for (size_t i = 0; i < n_p; i++) {
        weir_vec_push(&e->postings, p[i]);
    }
    for (size_t i = 0; i < n_m; i++) {
        weir_vec_push(&e->meters, m[i]);
    }
    e->dirty |= n_p > 0 || n_m > 0;
}

/* ---- what was posted, for budgets ---- */

static void gather_charges(struct weir_engine *e)
{
    weir_vec_clear(&e->charges);
    for (; e->charged < e->postings.n; e->charged++) {
        struct weir_charged k;
        const struct weir_posting *p = &e->postings.p[e->charged];
        if (weir_core_is_budgeted(e->core, p->payer) && weir_posting_charges(p, &k)) {
            weir_vec_push(&e->charges, k);
        }
    }
}

/*
 * The core learns what was posted in the same transaction, so that budgets and ledger cannot differ. What it does then may end
 * segments, which are posted and told in turn.
 */
static int tell_charges(struct weir_engine *e, struct weir_wall now, struct weir_err *err)
{
    enum { ROUNDS_MAX = 8 };
    for (int i = 0; i < ROUNDS_MAX; i++) {
        gather_charges(e);
        if (e->charges.n == 0 && !weir_core_awaits_charges(e->core)) {
            return 0;
        }
        struct weir_event ev = {.kind = WEIR_EVENT_CHARGED};
        ev.u.charged.charge = e->charges.p;
        ev.u.charged.n = e->charges.n;
        int r = weir_engine_event(e, &ev, err);
        if (r != 0) {
            return r;
        }
        weir_bill_settle(e->bill, now, false);
        take_postings(e);
    }
    return 0;
}

/* ---- the transaction ---- */

#define TRY(call)                                                                                  \
    do {                                                                                           \
        int r_ = (call);                                                                           \
        if (r_ != 0) {                                                                             \
            return r_;                                                                             \
        }                                                                                          \
    } while (0)

static const char *model_name(const struct weir_engine *e, uint16_t model)
{
    return model == WEIR_GPU_MODEL_ANY ? "" : weir_gpu_table_get(e->conf.core.gpus, model)->name;
}

static int put_names(struct weir_engine *e, struct weir_err *err)
{
    const struct weir_store_ops *ops = e->store->ops;
    for (size_t i = e->users_stored; i < e->users.n; i++) {
        struct weir_name_row r = {(uint32_t)i + 1, weir_intern_text(&e->users, (uint32_t)i), "{}"};
        TRY(ops->put_user(e->store, &r, err));
    }
    for (size_t i = e->pools_stored; i < e->pools.n; i++) {
        struct weir_name_row r = {(uint32_t)i + 1, weir_intern_text(&e->pools, (uint32_t)i), e->pool_detail.p[i]};
        TRY(ops->put_pool(e->store, &r, err));
    }
    for (size_t i = 0; i < e->project_views.n; i++) {
        struct weir_project_row r = {e->project_views.p[i], weir_engine_project_name(e, e->project_views.p[i].id)};
        TRY(ops->put_project(e->store, &r, err));
    }
    struct weir_payer_view payer;
    for (uint32_t i = e->payers_stored + 1; weir_core_payer(e->core, (struct weir_payer_id){i}, &payer); i++) {
        TRY(ops->put_payer(e->store, &payer, err));
    }
    for (size_t i = 0; i < e->budgets.n; i++) {
        struct weir_budget_view v;
        if (weir_core_budget(e->core, e->budgets.p[i], &v)) {
            TRY(ops->put_budget(e->store, &v, err));
        } else {
            TRY(ops->delete_budget(e->store, e->budgets.p[i], err));
        }
    }
    for (size_t i = 0; i < e->quotas.n; i++) {
        struct weir_quota_row row = {0};
        if (weir_core_quota(e->core, e->quotas.p[i], &row.view)) {
            row.gpu_model = model_name(e, row.view.def.gpu_model);
            TRY(ops->put_quota(e->store, &row, err));
        } else {
            TRY(ops->delete_quota(e->store, e->quotas.p[i], err));
        }
    }
    uint32_t shape = e->shapes_stored;
    for (const struct weir_request *r; (r = weir_core_shape(e->core, shape)) != NULL; shape++) {
        struct weir_str json = WEIR_STR_INIT(SHAPE_JSON_MAX);
        weir_shape_to_json(r, e->conf.core.gpus, &json);
        int rc = e->store->ops->put_shape(e->store, shape, weir_str_cstr(&json), err);
        weir_str_release(&json);
        TRY(rc);
    }
    for (size_t i = 0; i < e->shapes_judged.n; i++) {
        shape = e->shapes_judged.p[i];
        TRY(ops->mark_shape(e->store, shape, weir_core_is_impossible(e->core, shape), err));
    }
    return 0;
}

static int put_jobs(struct weir_engine *e, struct weir_err *err)
{
    const struct weir_store_ops *ops = e->store->ops;
    for (size_t i = 0; i < e->new_jobs.n; i++) {
        const struct new_job *n = &e->new_jobs.p[i];
        uint64_t at;
        WEIR_ASSERT(weir_map_get(&e->job_at, n->id.v, &at));
        struct weir_job_row row = {.view = e->jobs.p[at], .name = n->name, .tags_json = n->tags_json,
                                   .spec_json = n->spec_json};
        TRY(ops->put_job(e->store, &row, err));
    }
    /* what was just put is up to date; ids of new jobs are the largest */
    uint64_t first_new = e->new_jobs.n > 0 ? e->new_jobs.p[0].id.v : UINT64_MAX;
    for (size_t i = 0; i < e->jobs.n; i++) {
        if (e->jobs.p[i].id.v < first_new) {
            TRY(ops->update_job(e->store, &e->jobs.p[i], err));
        }
    }
    for (size_t i = 0; i < e->tasks.n; i++) {
        struct weir_task_row row = {.view = e->tasks.p[i].view, .text = e->tasks.p[i].text};
        TRY(ops->put_task(e->store, &row, err));
    }
    for (size_t i = 0; i < e->holds.n; i++) {
        TRY(ops->put_hold(e->store, &e->holds.p[i], err));
    }
    return 0;
}

static int put_nodes(struct weir_engine *e, struct weir_err *err)
{
    const struct weir_store_ops *ops = e->store->ops;
    for (size_t i = 0; i < e->nodes.n; i++) {
        const struct node_note *n = engine_node_note(e, e->nodes.p[i].spec.id);
        struct weir_node_row row = {.view = e->nodes.p[i], .seen = n->seen};
        row.agent_id = n->agent_id == NULL ? "" : n->agent_id;
        row.name = n->name == NULL ? "" : n->name;
        row.address = n->address == NULL ? "" : n->address;
        row.detail_json = n->detail_json == NULL ? "{}" : n->detail_json;
        row.gpu_model = model_name(e, row.view.spec.gpu_model);
        TRY(ops->put_node(e->store, &row, err));
    }
    for (size_t i = 0; i < e->leases.n; i++) {
        struct weir_lease_note note = {{0}};
        (void)weir_engine_lease_get_note(e, e->leases.p[i].id, &note);
        struct weir_lease_row row = {.view = e->leases.p[i], .text = note.text};
        row.gpu_model = model_name(e, row.view.offer.gpu_model);
        memcpy(row.token, note.token, sizeof row.token);
        memcpy(row.instance, note.instance, sizeof row.instance);
        memcpy(row.reservation, note.reservation, sizeof row.reservation);
        TRY(ops->put_lease(e->store, &row, err));
    }
    for (size_t i = 0; i < e->new_effects.n; i++) {
        TRY(ops->put_effect(e->store, &e->new_effects.p[i], err));
    }
    for (size_t i = 0; i < e->done_effects.n; i++) {
        TRY(ops->done_effect(e->store, e->done_effects.p[i].seq, e->done_effects.p[i].number, err));
    }
    for (size_t i = 0; i < e->tokens.n; i++) {
        struct weir_token_row row = e->tokens.p[i].row;
        row.name = e->tokens.p[i].name;
        row.role = e->tokens.p[i].role;
        row.user = e->tokens.p[i].user;
        row.created_by = e->tokens.p[i].created_by;
        row.projects = e->tokens.p[i].projects;
        TRY(ops->put_token(e->store, &row, err));
    }
    for (size_t i = 0; i < e->tokens_deleted.n; i++) {
        TRY(ops->delete_token(e->store, e->tokens_deleted.p[i].hash, err));
    }
    TRY(engine_flush_access(e, err));
    return 0;
}

static int put_records(struct weir_engine *e, struct weir_err *err)
{
    const struct weir_store_ops *ops = e->store->ops;
    for (size_t i = 0; i < e->invoice_lines.n; i++) {
        TRY(ops->put_invoice_line(e->store, &e->invoice_lines.p[i], err));
    }
    for (size_t i = 0; i < e->lease_prices.n; i++) {
        TRY(ops->put_lease_price(e->store, &e->lease_prices.p[i], err));
    }
    for (size_t i = 0; i < e->corrections.n; i++) {
        struct weir_correction_row row = e->corrections.p[i].row;
        row.who = e->corrections.p[i].who;
        row.reason = e->corrections.p[i].reason;
        TRY(ops->put_correction(e->store, &row, err));
    }
    TRY(engine_flush_books(e, err));
    for (size_t i = 0; i < e->postings.n; i++) {
        TRY(ops->put_posting(e->store, &e->postings.p[i], err));
    }
    for (size_t i = 0; i < e->meters.n; i++) {
        TRY(ops->put_meter(e->store, &e->meters.p[i], err));
    }
    for (size_t i = 0; i < e->explains.n; i++) {
        const struct gathered_explain *g = &e->explains.p[i];
        struct weir_explain_row row = {g->task, g->seq, g->json, g->at};
        TRY(ops->put_explain(e->store, &row, err));
    }
    for (size_t i = 0; i < e->events.n; i++) {
        struct weir_event_row row = e->events.p[i].row;
        row.text = e->events.p[i].text == NULL ? "" : e->events.p[i].text;
        TRY(ops->put_event(e->store, &row, err));
    }
    for (size_t i = 0; i < e->runtimes_dirty.n; i++) {
        const struct runtime_entry *entry = &e->runtimes.p[e->runtimes_dirty.p[i]];
        TRY(ops->put_runtime(e->store, entry->key, &entry->history, err));
    }
    char text[64];
    struct weir_str s = WEIR_STR_INIT(sizeof text);
    if (e->postings.n > 0) { /* beside the ledger, so that it shows where its end is cut off */
        weir_str_add_u64(&s, e->postings.p[e->postings.n - 1].id);
        TRY(ops->put_meta(e->store, WEIR_META_LAST_POSTING, weir_str_cstr(&s), err));
        weir_str_clear(&s);
    }
    weir_str_add_u64(&s, e->seq);
    weir_str_addc(&s, ' ');
    weir_str_add_i64(&s, e->now.us);
    int r = ops->put_meta(e->store, "last_step", weir_str_cstr(&s), err);
    weir_str_release(&s);
    return r;
}

static int put_all(struct weir_engine *e, struct weir_err *err)
{
    TRY(put_names(e, err));
    TRY(put_jobs(e, err));
    TRY(put_nodes(e, err));
    return put_records(e, err);
}

void engine_forget_gathered(struct weir_engine *e)
{
    for (size_t i = 0; i < e->tasks.n; i++) {
        free(e->tasks.p[i].gang_node);
        free(e->tasks.p[i].gang_mask);
        free(e->tasks.p[i].gang_state);
        free(e->tasks.p[i].text);
    }
    for (size_t i = 0; i < e->new_jobs.n; i++) {
        free(e->new_jobs.p[i].name);
        free(e->new_jobs.p[i].spec_json);
        free(e->new_jobs.p[i].tags_json);
    }
    for (size_t i = 0; i < e->events.n; i++) {
        free(e->events.p[i].text);
    }
    for (size_t i = 0; i < e->explains.n; i++) {
        free(e->explains.p[i].json);
    }
    for (size_t i = 0; i < e->corrections.n; i++) {
        free(e->corrections.p[i].who);
        free(e->corrections.p[i].reason);
    }
    weir_vec_clear(&e->corrections);
    weir_vec_clear(&e->invoice_lines);
    weir_vec_clear(&e->lease_prices);
    engine_forget_books(e);
    for (size_t i = 0; i < e->tokens.n; i++) {
        free(e->tokens.p[i].name);
        free(e->tokens.p[i].role);
        free(e->tokens.p[i].user);
        free(e->tokens.p[i].created_by);
        free(e->tokens.p[i].projects);
    }
    for (size_t i = 0; i < e->texts.n; i++) {
        free(e->texts.p[i]);
    }
    weir_vec_clear(&e->jobs);
    weir_vec_clear(&e->tasks);
    weir_vec_clear(&e->nodes);
    weir_vec_clear(&e->leases);
    weir_vec_clear(&e->holds);
    weir_vec_clear(&e->project_views);
    weir_vec_clear(&e->shapes_judged);
    weir_vec_clear(&e->new_jobs);
    weir_vec_clear(&e->events);
    weir_vec_clear(&e->explains);
    engine_forget_access(e);
    weir_vec_clear(&e->tokens);
    weir_vec_clear(&e->tokens_deleted);
    weir_vec_clear(&e->texts);
    weir_vec_clear(&e->new_effects);
    weir_vec_clear(&e->done_effects);
    weir_vec_clear(&e->postings);
    e->charged = 0;
    weir_vec_clear(&e->budgets);
    weir_vec_clear(&e->quotas);
    weir_vec_clear(&e->meters);
    weir_map_release(&e->job_at);
    weir_map_release(&e->task_at);
    weir_map_release(&e->node_at);
    weir_map_release(&e->lease_at);
    weir_map_release(&e->hold_at);
    weir_map_release(&e->project_at);
    weir_map_release(&e->task_text);
}

/* Of nodes and leases that are over, and are stored so. */
static void forget_notes(struct weir_engine *e)
{
    for (size_t i = 0; i < e->nodes.n; i++) {
        if (e->nodes.p[i].state == WEIR_NODE_GONE) {
            engine_forget_node(e, e->nodes.p[i].spec.id);
        }
    }
    for (size_t i = 0; i < e->leases.n; i++) {
        if (lease_is_over(e->leases.p[i].state)) {
            engine_forget_lease(e, e->leases.p[i].id);
        }
    }
}

int weir_engine_flush(struct weir_engine *e, bool settle, struct weir_err *err)
{
    struct weir_wall now = weir_engine_now(e);
    int64_t mono = weir_clock_mono(e->conf.clock).us;
    bool all = settle || mono - (int64_t)e->settled_us > SETTLE_EVERY_S * WEIR_US_PER_S;
    if (all) {
        engine_reprice_rented(e, now); /* what had changed behind where they were proven to be */
    }
    weir_bill_settle(e->bill, now, all);
    if (e->now.us < now.us) {
        e->now = now; /* stored with what was settled: after a restart nothing may be stamped before it */
    }
    if (all) {
        e->settled_us = (uint64_t)mono;
    }
    take_postings(e);
    int r = tell_charges(e, now, err);
    if (r != 0) {
        return r;
    }
    if (!e->dirty) {
        return 0;
    }
    r = e->store->ops->begin(e->store, err);
    if (r == 0) {
        r = put_all(e, err);
        if (r == 0) {
            r = e->store->ops->commit(e->store, err);
        }
        if (r != 0) {
            e->store->ops->rollback(e->store);
        }
    }
    if (r != 0) {
        return r; /* all of it stays gathered */
    }
    struct weir_payer_view payer;
    while (weir_core_payer(e->core, (struct weir_payer_id){e->payers_stored + 1}, &payer)) {
        e->payers_stored++;
    }
    e->users_stored = e->users.n;
    e->pools_stored = e->pools.n;
    while (weir_core_shape(e->core, e->shapes_stored) != NULL) {
        e->shapes_stored++;
    }
    for (size_t i = 0; i < e->runtimes_dirty.n; i++) {
        e->runtimes.p[e->runtimes_dirty.p[i]].dirty = false;
    }
    weir_vec_clear(&e->runtimes_dirty);
    forget_notes(e);
    engine_forget_gathered(e);
    e->dirty = false;
    return 0;
}

int weir_engine_prune(struct weir_engine *e, const struct weir_prune *p, uint32_t *ret_removed, struct weir_err *err)
{
    const struct weir_store_ops *ops = e->store->ops;
    int r = ops->begin(e->store, err);
    if (r != 0) {
        return r;
    }
    uint32_t removed = 0;
    (void)ops->prune(e->store, p, &removed, err);
    r = ops->commit(e->store, err);
    *ret_removed = r == 0 ? removed : 0;
    return r;
}
