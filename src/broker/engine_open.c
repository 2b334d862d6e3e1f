/* SPDX-License-Identifier: Apache-2.0 */

/* Opening the engine on a store: every live object goes back into core and bill. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "core/evidence.h"
#include "engine_priv.h"
#include "shape_json.h"

struct restore {
    struct weir_engine *e;
    struct weir_err *err;
};

static int in_order(struct weir_interner *t, uint32_t id, const char *name, struct weir_err *err, const char *table)
{
    if (weir_intern(t, weir_sv_of(name)) + 1 != id) {
        return weir_fail(err, -WEIR_ECORRUPT, "store: table %s: row %u ('%s') is out of order", table, id, name);
    }
    return 0;
}

static int on_project(void *ctx, const struct weir_project_row *row)
{
    struct restore *x = ctx;
    int r = in_order(&x->e->projects, row->view.id.v, row->name, x->err, "project");
    return r != 0 ? r : weir_core_restore_project(x->e->core, &row->view, x->err);
}

static int on_user(void *ctx, const struct weir_name_row *row)
{
    struct restore *x = ctx;
    return in_order(&x->e->users, row->id, row->name, x->err, "user");
}

static int on_pool(void *ctx, const struct weir_name_row *row)
{
    struct restore *x = ctx;
    weir_vec_push(&x->e->pool_detail, weir_strdup(row->detail_json));
    return in_order(&x->e->pools, row->id, row->name, x->err, "pool");
}

static int on_shape(void *ctx, uint32_t shape, const char *json)
{
    struct restore *x = ctx;
    struct weir_request request;
    int r = weir_shape_from_json(json, x->e->conf.core.gpus, &request, x->err);
    if (r != 0) {
        return weir_fail_prefix(x->err, r, "store: shape %u", shape);
    }
    x->e->shapes_stored = shape + 1;
    return weir_core_restore_shape(x->e->core, shape, &request, x->err);
}

static int on_job(void *ctx, const struct weir_job_row *row)
{
    struct restore *x = ctx;
    weir_map_put(&x->e->job_told, row->view.id.v, row->view.state);
    x->e->jobs_in[row->view.state]++;
    /* what its tasks take still teaches the forecast */
    weir_map_put(&x->e->job_runtime, row->view.id.v, weir_runtime_key(row->view.project.v, row->view.user.v, weir_sv_of(row->name)));
    return weir_core_restore_job(x->e->core, &row->view, x->err);
}

static int on_node(void *ctx, const struct weir_node_row *row)
{
    struct restore *x = ctx;
    struct node_note *n = engine_node_note(x->e, row->view.spec.id);
    n->agent_id = weir_strdup(row->agent_id);
    n->name = weir_strdup(row->name);
    n->address = weir_strdup(row->address);
    n->detail_json = weir_strdup(row->detail_json);
    n->seen = row->seen;
    if (row->agent_id[0] != '\0') {
        weir_map_put(&x->e->agent_node, weir_hash_bytes(row->agent_id, strlen(row->agent_id)), row->view.spec.id.v);
    }
    weir_map_put(&x->e->node_told, row->view.spec.id.v, row->view.state);
    struct weir_node_view view = row->view;
    view.spec.gpu_model = weir_gpu_table_intern(x->e->conf.core.gpus, weir_sv_of(row->gpu_model));
    return weir_core_restore_node(x->e->core, &view, x->err);
}

/* Leases that are over matter to the core for as long as it remembers why one failed, or explain that; later only for what they tell of their offers. */
static bool is_long_over(const struct restore *x, const struct weir_lease_view *v)
{
    int64_t memory = x->e->conf.core.capacity_memory.us;
    int64_t last = v->ended_at.us > v->ending_at.us ? v->ended_at.us : v->ending_at.us;
    last = last > v->intent_at.us ? last : v->intent_at.us;
    return lease_is_over(v->state) && x->e->now.us - last > (memory > WEIR_US_PER_DAY ? memory : WEIR_US_PER_DAY);
}

static int on_lease(void *ctx, const struct weir_lease_row *row)
{
    struct restore *x = ctx;
    struct weir_lease_view view = row->view;
    view.offer.gpu_model = weir_gpu_table_intern(x->e->conf.core.gpus, weir_sv_of(row->gpu_model));
    if (is_long_over(x, &view)) {
        bool is_dated = x->e->now.us - view.ended_at.us > WEIR_EVIDENCE_DAYS * WEIR_US_PER_DAY;
        return is_dated ? 0 : weir_core_restore_past_lease(x->e->core, &view, x->err);
    }
    if (!lease_is_over(row->view.state)) {
        struct lease_note n = {.id = row->view.id.v};
        memcpy(n.note.token, row->token, sizeof n.note.token);
        memcpy(n.note.instance, row->instance, sizeof n.note.instance);
        memcpy(n.note.reservation, row->reservation, sizeof n.note.reservation);
        (void)snprintf(n.note.text, sizeof n.note.text, "%s", row->text == NULL ? "" : row->text);
        weir_map_put(&x->e->lease_note_at, row->view.id.v, x->e->lease_notes.n);
        weir_vec_push(&x->e->lease_notes, n);
        weir_map_put(&x->e->lease_told, row->view.id.v, row->view.state);
    }
    return weir_core_restore_lease(x->e->core, &view, x->err);
}

static int restore_segment(struct restore *x, const struct weir_task_view *v, uint32_t rank)
{
    struct weir_job_view job;
    struct weir_bill_segment s = {.run = {v->id, v->attempt}, .rank = rank, .from = v->placed,
                                  .checkpointed = v->checkpointed};
    s.node = v->gang_node != NULL ? v->gang_node[rank] : v->node;
    uint32_t mask = v->gang_mask != NULL ? v->gang_mask[rank] : v->gpu_mask;
    s.gpus = (uint32_t)__builtin_popcount(mask);
    if (!weir_core_job(x->e->core, v->id.job, &job)) {
        return 0;
    }
    s.project = job.project;
    s.user = job.user;
    s.payer = job.payer;
    const struct weir_request *request = weir_core_shape(x->e->core, job.shape);
    s.cpu_milli = request == NULL ? 0 : request->cpu_milli;
    struct weir_store *store = x->e->store;
    struct weir_run_posted posted = {0};
    int r = store->ops->run_posted(store, s.run, s.node, v->checkpointed, &posted, x->err);
    if (r != 0) {
        return r;
    }
    s.posted_micro = posted.micro;
    s.posted_kept_micro = posted.kept_micro;
    s.posted_until = posted.until;
    uint8_t state = v->gang_state != NULL ? v->gang_state[rank] : 0;
    if ((state & WEIR_RANK_ENDED) == 0) {
        return weir_bill_restore_segment(x->e->bill, &s, x->err);
    }
    struct weir_bill_pending p = {.segment = s, .lease = posted.lease, .pool = posted.pool};
    struct weir_lease_view lease;
    if (posted.lease.v != 0 && weir_core_lease(x->e->core, posted.lease, &lease)) {
        memcpy(p.currency, lease.offer.currency, sizeof p.currency);
        p.rate_nano = lease.offer.rate_nano;
    }
    return (state & WEIR_RANK_PENDING) == 0 ? 0 : weir_bill_restore_pending(x->e->bill, &p, x->err);
}

static int on_task(void *ctx, const struct weir_task_row *row)
{
    struct restore *x = ctx;
    const struct weir_task_view *v = &row->view;
    weir_map_put(&x->e->task_told, task_key(v->id), (uint64_t)v->state << 32 | v->attempt);
    int r = weir_core_restore_task(x->e->core, v, x->err);
    bool occupies = (v->state == WEIR_TASK_STARTING || v->state == WEIR_TASK_RUNNING || v->state == WEIR_TASK_STOPPING) &&
                    v->node.v != 0 && v->lease.v == 0;
    for (uint32_t rank = 0; r == 0 && occupies && rank < (v->n_nodes > 1 ? v->n_nodes : 1); rank++) {
        r = restore_segment(x, v, rank);
    }
    return r;
}

static int on_hold(void *ctx, const struct weir_hold_view *row)
{
    struct restore *x = ctx;
    return weir_core_restore_hold(x->e->core, row, x->err);
}

static int on_meter(void *ctx, const struct weir_meter *row)
{
    struct restore *x = ctx;
    struct weir_meter m = *row;
    struct weir_lease_view lease;
    if (m.info.lease.v != 0 && weir_core_lease(x->e->core, m.info.lease, &lease)) {
        m.info.payer = lease.payer;
        memcpy(m.info.currency, lease.offer.currency, sizeof m.info.currency);
        m.info.rate_nano = lease.offer.rate_nano;
    }
    return weir_bill_restore_meter(x->e->bill, &m, x->err);
}

static int on_payer(void *ctx, const struct weir_payer_view *row)
{
    struct restore *x = ctx;
    x->e->payers_stored = row->id.v;
    return weir_core_restore_payer(x->e->core, row, x->err);
}

static int on_budget(void *ctx, const struct weir_budget_row *row)
{
    struct restore *x = ctx;
    weir_map_put(&x->e->budget_told, row->view.id.v, row->view.reached);
    return weir_core_restore_budget(x->e->core, &row->view, x->err);
}

static int on_quota(void *ctx, const struct weir_quota_row *row)
{
    struct restore *x = ctx;
    struct weir_quota_view view = row->view;
    if (row->gpu_model[0] != '\0') {
        view.def.gpu_model = weir_gpu_table_intern(x->e->conf.core.gpus, weir_sv_of(row->gpu_model));
    }
    return weir_core_restore_quota(x->e->core, &view, x->err);
}

static int on_effect(void *ctx, const struct weir_effect_row *row)
{
    struct restore *x = ctx;
    weir_vec_push(&x->e->undone, *row);
    return 0;
}

static int on_runtime(void *ctx, uint64_t key, const struct weir_runtime_history *h)
{
    struct restore *x = ctx;
    struct runtime_entry *entry = engine_runtime(x->e, key);
    if (entry != NULL) {
        entry->history = *h;
    }
    return 0;
}

static int on_correction(void *ctx, const struct weir_correction_row *row)
{
    struct restore *x = ctx;
    x->e->last_correction = row->id;
    return 0;
}

static int read_ratings(struct weir_engine *e, struct weir_err *err)
{
    char text[64] = "";
    int r = e->store->ops->get_meta(e->store, WEIR_META_RATINGS, text, sizeof text, err);
    if (r == 0) {
        r = weir_parse_u64(weir_sv_of(text), 0, INT64_MAX, &e->ratings, err);
    }
    return r == -WEIR_ENOTFOUND ? 0 : r;
}

static int read_last_step(struct weir_engine *e, struct weir_err *err)
{
    char text[64];
    int r = e->store->ops->get_meta(e->store, "last_step", text, sizeof text, err);
    if (r == -WEIR_ENOTFOUND) {
        return 0;
    }
    if (r != 0) {
        return r;
    }
    struct weir_sv rest = weir_sv_of(text);
    struct weir_sv seq = weir_sv_cut(&rest, ' ');
    if (weir_parse_u64(seq, 0, UINT64_MAX, &e->seq, NULL) != 0 ||
        weir_parse_i64(rest, 0, INT64_MAX, &e->now.us, NULL) != 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "store: meta 'last_step' is '%s'", text);
    }
    return 0;
}

/* Ids of postings that were cut off are not given again: the gap shows for ever. */
static int read_last_posting(struct weir_engine *e, uint64_t *last, struct weir_err *err)
{
    char text[64];
    uint64_t made = 0;
    int r = e->store->ops->get_meta(e->store, WEIR_META_LAST_POSTING, text, sizeof text, err);
    if (r == -WEIR_ENOTFOUND) { /* stored by a version that did not keep it */
        return 0;
    }
    if (r == 0 && weir_parse_u64(weir_sv_of(text), 1, INT64_MAX, &made, NULL) != 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "store: meta '%s' is '%s'", WEIR_META_LAST_POSTING, text);
    }
    *last = made > *last ? made : *last;
    return r;
}

int engine_restore(struct weir_engine *e, struct weir_err *err)
{
    const struct weir_store_ops *ops = e->store->ops;
    struct weir_store *s = e->store;
    struct restore x = {e, err};
    uint64_t job;
    uint64_t node;
    uint64_t lease;
    uint64_t hold;
    uint64_t posting;
    int r = ops->max_ids(s, &job, &node, &lease, &hold, &posting, &e->event_id, err);
    if (r != 0) {
        return r;
    }
    weir_core_restore_ids(e->core, job + 1, node + 1, lease + 1, hold + 1);
    if ((r = read_last_step(e, err)) != 0 || (r = read_last_posting(e, &posting, err)) != 0) {
        return r;
    }
    e->bill = weir_bill_new(posting + 1, e->now);
    if (e->conf.proof) {
        weir_bill_want_proof(e->bill);
    }
    if ((r = engine_restore_policies(e, err)) != 0 || (r = ops->each_shape(s, on_shape, &x, err)) != 0 ||
        (r = ops->each_project(s, on_project, &x, err)) != 0 || (r = ops->each_user(s, on_user, &x, err)) != 0 ||
        (r = ops->each_pool(s, on_pool, &x, err)) != 0 || (r = ops->each_payer(s, on_payer, &x, err)) != 0 ||
        (r = ops->each_budget(s, on_budget, &x, err)) != 0 || (r = ops->each_quota(s, on_quota, &x, err)) != 0 ||
        (r = ops->each_live_job(s, on_job, &x, err)) != 0 ||
        (r = ops->each_node(s, false, on_node, &x, err)) != 0 ||
        (r = ops->each_lease(s, true, on_lease, &x, err)) != 0 || (r = ops->each_meter(s, on_meter, &x, err)) != 0 ||
        (r = ops->each_live_task(s, on_task, &x, err)) != 0 || (r = ops->each_hold(s, false, on_hold, &x, err)) != 0 ||
        (r = ops->each_effect(s, on_effect, &x, err)) != 0 || (r = ops->each_runtime(s, on_runtime, &x, err)) != 0 ||
        (r = ops->each_correction(s, 0, on_correction, &x, err)) != 0 ||
        (r = ops->each_close(s, engine_restore_close, e, err)) != 0 || (r = ops->each_rule(s, engine_restore_rule, e, err)) != 0 ||
        (r = read_ratings(e, err)) != 0) {
        return r;
    }
    e->users_stored = e->users.n;
    e->pools_stored = e->pools.n;
    return weir_core_restore_done(e->core, e->seq, e->now, err);
}

int weir_engine_open(struct weir_engine **ret, const struct weir_engine_conf *conf, struct weir_err *err)
{
    struct weir_engine *e = weir_alloc(sizeof *e);
    e->conf = *conf;
    e->store = conf->store;
    e->core = weir_core_new(&conf->core);
    e->wake_at = WEIR_WALL_MAX;
    int r = engine_restore(e, err);
    if (r != 0) {
        weir_engine_free(e);
        return r;
    }
    e->mono_base = weir_clock_mono(conf->clock);
    e->wall_base = weir_clock_wall(conf->clock);
    e->settled_us = (uint64_t)e->mono_base.us;
    if (e->wall_base.us < e->now.us) {
        e->wall_base = e->now; /* the clock was set back while the broker was away */
    }
    *ret = e;
    return 0;
}

void weir_engine_free(struct weir_engine *e)
{
    if (e == NULL) {
        return;
    }
    engine_forget_gathered(e);
    for (size_t i = 0; i < e->node_notes.n; i++) {
        free(e->node_notes.p[i].agent_id);
        free(e->node_notes.p[i].name);
        free(e->node_notes.p[i].address);
        free(e->node_notes.p[i].detail_json);
    }
    for (size_t i = 0; i < e->pool_detail.n; i++) {
        free(e->pool_detail.p[i]);
    }
    for (size_t i = 0; i < SPEC_CACHE_SLOTS; i++) {
        free(e->spec_cache[i].spec);
        free(e->spec_cache[i].name);
    }
    weir_vec_release(&e->jobs);
    weir_vec_release(&e->tasks);
    weir_vec_release(&e->nodes);
    weir_vec_release(&e->leases);
    weir_vec_release(&e->holds);
    weir_vec_release(&e->project_views);
    weir_vec_release(&e->shapes_judged);
    weir_vec_release(&e->new_jobs);
    weir_vec_release(&e->events);
    weir_vec_release(&e->explains);
    engine_free_books(e);
    weir_vec_release(&e->corrections);
    weir_vec_release(&e->invoice_lines);
    weir_vec_release(&e->lease_prices);
    weir_vec_release(&e->tokens);
    weir_vec_release(&e->tokens_deleted);
    weir_vec_release(&e->access);
    weir_vec_release(&e->documents);
    weir_map_release(&e->policy_at);
    weir_vec_release(&e->audits);
    weir_vec_release(&e->texts);
    weir_vec_release(&e->new_effects);
    weir_vec_release(&e->done_effects);
    weir_vec_release(&e->postings);
    weir_vec_release(&e->charges);
    weir_vec_release(&e->budgets);
    weir_vec_release(&e->quotas);
    weir_vec_release(&e->meters);
    weir_vec_release(&e->node_notes);
    weir_vec_release(&e->lease_notes);
    weir_vec_release(&e->pool_detail);
    weir_vec_release(&e->offers);
    weir_vec_release(&e->runtimes);
    weir_vec_release(&e->runtimes_dirty);
    weir_vec_release(&e->orders);
    weir_vec_release(&e->out_orders);
    weir_vec_release(&e->ended);
    weir_vec_release(&e->out_ended);
    weir_vec_release(&e->undone);
    weir_map_release(&e->job_told);
    weir_map_release(&e->task_told);
    weir_map_release(&e->node_told);
    weir_map_release(&e->lease_told);
    weir_map_release(&e->budget_told);
    weir_map_release(&e->node_note_at);
    weir_map_release(&e->agent_node);
    weir_map_release(&e->lease_note_at);
    weir_map_release(&e->offer_at);
    weir_map_release(&e->runtime_at);
    weir_map_release(&e->job_runtime);
    weir_map_release(&e->job_estimate);
    weir_vec_release(&e->taught);
    weir_interner_release(&e->projects);
    weir_interner_release(&e->users);
    weir_interner_release(&e->pools);
    weir_bill_free(e->bill);
    weir_core_free(e->core);
    free(e);
}
