/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: putting rows. Every statement here runs inside the writer's transaction. */

#include "store/sqlite_priv.h"

#include <stdlib.h>

#include "base/mem.h"

static const char SQL_PUT_META[] = "INSERT INTO meta (key, value) VALUES (?, ?)"
                                   " ON CONFLICT (key) DO UPDATE SET value = excluded.value";
static const char SQL_PUT_PROJECT[] =
    "INSERT INTO project (id, name, weight, delay_cost_micro_per_hour, spent_decayed_micro, spent_at_us)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name,"
    " weight = excluded.weight, delay_cost_micro_per_hour = excluded.delay_cost_micro_per_hour,"
    " spent_decayed_micro = excluded.spent_decayed_micro, spent_at_us = excluded.spent_at_us";
static const char SQL_PUT_USER[] =
    "INSERT INTO user (id, name, detail) VALUES (?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET name = excluded.name, detail = excluded.detail";
static const char SQL_PUT_POOL[] =
    "INSERT INTO pool (id, name, detail) VALUES (?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET name = excluded.name, detail = excluded.detail";
static const char SQL_PUT_SHAPE[] = "INSERT INTO shape (id, request) VALUES (?, ?)"
                                    " ON CONFLICT (id) DO UPDATE SET request = excluded.request";
static const char SQL_MARK_SHAPE[] = "UPDATE shape SET impossible = ?2 WHERE id = ?1";
static const char SQL_PUT_JOB[] =
    "INSERT INTO job (id, project, user, shape, priority, n_tasks, parallel_max, state, waiting,"
    " starting, running, stopping, succeeded, failed, cancelled, submitted_us, started_us, ended_us,"
    " deadline_us, cancel_asked, name, payer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_PUT_JOB_TEXT[] = "INSERT INTO job_text (id, tags, spec) VALUES (?, ?, ?)";
static const char SQL_UPDATE_JOB[] =
    "UPDATE job SET priority = ?, parallel_max = ?, state = ?, waiting = ?, starting = ?, running = ?,"
    " stopping = ?, succeeded = ?, failed = ?, cancelled = ?, started_us = ?, ended_us = ?,"
    " deadline_us = ?, cancel_asked = ?, shape = ? WHERE id = ?";
/* text NULL keeps what was there */
static const char SQL_PUT_TASK[] =
    "INSERT INTO task (job, ordinal, state, reason, attempt, failures, losses, node, gpu_mask, n_nodes,"
    " gang_nodes, gang_masks, lease, queued_us, placed_us, started_us, first_started_us, ended_us,"
    " checkpointed_us, hold, exit_code, signal, ranks_started, ranks_ended, text, gang_states, spent_micro)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,"
    " ?21, ?22, ?23, ?24, coalesce(?25, ''), ?26, ?27) ON CONFLICT (job, ordinal) DO UPDATE SET"
    " state = ?3, reason = ?4, attempt = ?5, failures = ?6, losses = ?7, node = ?8, gpu_mask = ?9,"
    " n_nodes = ?10, gang_nodes = ?11, gang_masks = ?12, lease = ?13, queued_us = ?14, placed_us = ?15,"
    " started_us = ?16, first_started_us = ?17, ended_us = ?18, checkpointed_us = ?19, hold = ?20,"
    " exit_code = ?21, signal = ?22, ranks_started = ?23, ranks_ended = ?24,"
    " text = coalesce(?25, text), gang_states = ?26, spent_micro = ?27";
static const char SQL_PUT_NODE[] =
    "INSERT OR REPLACE INTO node (id, pool, lease, state, joined, since_us, idle_since_us, gpu_free_mask,"
    " cpu_free_milli, mem_free_mib, n_runs, gpu_model, gpus, gpu_mem_mib, cpu_milli, mem_mib,"
    " link_groups, fabric, region, provider, full_micro_per_hour, marginal_idle_micro_per_hour,"
    " marginal_busy_micro_per_hour, agent_id, name, address, detail, seen_us)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_PUT_LEASE[] =
    "INSERT OR REPLACE INTO lease (id, node, state, offer, provider, region, zone, instance_type, market,"
    " gpu_model, gpus, gpu_mem_mib, cpu_milli, mem_mib, price_micro_per_hour, price_as_of_us,"
    " price_expires_us, price_source, bill_quantum_us, bill_minimum_us, boot_expected_us,"
    " reclaim_ppm_per_hour, reclaim_notice_us, egress_micro_per_gib, launchable, job, ordinal, intent_us,"
    " confirmed_us, ready_us, reclaim_us, ending_us, ended_us, expires_us, refusal, reclaimed, token,"
    " instance, text, payer, held_micro, charged_micro, currency, original_micro_per_hour, rate_nano, price_now_micro_per_hour,"
    " priced_us, priced_micro, reservation, ends_us, plan) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
    " ?, ?, ?,"
    " ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_PUT_HOLD[] =
    "INSERT INTO hold (id, job, ordinal, attempt, project, amount_micro, state, charged_micro, until_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET amount_micro = excluded.amount_micro, state = excluded.state,"
    " charged_micro = excluded.charged_micro, until_us = excluded.until_us";
static const char SQL_PUT_POSTING[] =
    "INSERT INTO posting (id, at_us, from_us, to_us, node, lease, pool, debit, credit, modelled,"
    " amount_micro, gpu_us, project, user, job, ordinal, attempt, correction, rule, currency, original_micro,"
    " energy_mj, carbon_ug) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_PUT_CORRECTION[] = "INSERT INTO correction (id, at_us, kind, who, reason, micro) VALUES (?, ?, ?, ?, ?, ?)";
static const char SQL_PUT_INVOICE_LINE[] =
    "INSERT OR REPLACE INTO invoice_line (lease, line, from_us, to_us, nano, currency, original_nano) VALUES (?, ?, ?, ?, ?, ?, ?)";
static const char SQL_ADD_JOB_COST[] =
    "UPDATE job SET cost_micro = cost_micro + ?, energy_mj = energy_mj + ?, carbon_ug = carbon_ug + ?,"
    " carbon_unknown_micro = carbon_unknown_micro + ?, carbon_unknown = max(carbon_unknown, ?) WHERE id = ?";
static const char SQL_ADD_TASK_COST[] =
    "UPDATE task SET cost_micro = cost_micro + ? WHERE job = ? AND ordinal = ?";
static const char SQL_ADD_TOTAL[] =
    "INSERT INTO total (project, pool, account, amount_micro, energy_mj, carbon_ug, carbon_unknown_micro, carbon_unknown) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (project, pool, account) DO UPDATE SET amount_micro = amount_micro + excluded.amount_micro,"
    " energy_mj = energy_mj + excluded.energy_mj, carbon_ug = carbon_ug + excluded.carbon_ug,"
    " carbon_unknown_micro = carbon_unknown_micro + excluded.carbon_unknown_micro, carbon_unknown = max(carbon_unknown, excluded.carbon_unknown)";
static const char SQL_PUT_METER[] =
    "INSERT OR REPLACE INTO meter (node, lease, pool, gpus, cpu_milli, owned, purchase_micro,"
    " residual_micro, life_us, upkeep_micro_per_year, tariff_micro_per_kwh, pue_milli, idle_watts,"
    " busy_watts, price_micro_per_hour, quantum_us, minimum_us, project, user, job, ordinal, opened_us,"
    " ready_us, until_us, provider_posted_micro, remainders, energy_mj, energy_posted_mj, energy_measured,"
    " energy_counter_mj, carbon_ug_per_kwh, priced_us, priced_micro)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_DELETE_METER[] = "DELETE FROM meter WHERE node = ?";
static const char SQL_PUT_EXPLAIN[] = "INSERT INTO explain (job, ordinal, seq, record, at_us) VALUES (?, ?, ?, ?, ?)";
static const char SQL_PUT_EVENT[] =
    "INSERT INTO event (id, at_us, kind, job, ordinal, node, lease, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_PUT_EFFECT[] = "INSERT OR REPLACE INTO effect (seq, number, kind, lease) VALUES (?, ?, ?, ?)";
static const char SQL_DONE_EFFECT[] = "DELETE FROM effect WHERE seq = ? AND number = ?";
static const char SQL_PUT_TOKEN[] =
    "INSERT OR REPLACE INTO token (hash, name, role, user, lease, expires_us, created_us, created_by, projects)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_DELETE_TOKEN[] = "DELETE FROM token WHERE hash = ?";
static const char SQL_PUT_RUNTIME[] = "INSERT OR REPLACE INTO runtime (key, n, filled, took_us) VALUES (?, ?, ?, ?)";
/* Ages and ids grow together, so the oldest are found from the lowest id on: no scan, and no index by time. */
static const char SQL_PRUNE_EVENTS[] =
    "DELETE FROM event WHERE id < (SELECT min(id) FROM event) + ?2 AND at_us < ?1 AND id < (SELECT max(id) FROM event)";
static const char SQL_PRUNE_AUDITS[] =
    "DELETE FROM audit WHERE id < (SELECT min(id) FROM audit) + ?2 AND at_us < ?1 AND id < (SELECT max(id) FROM audit)";
static const char SQL_PRUNE_EXPLAINS[] =
    "DELETE FROM explain WHERE id < (SELECT min(id) FROM explain) + ?2 AND at_us < ?1";

static const char SQL_PRUNE_HOLDS[] =
    "DELETE FROM hold WHERE id IN (SELECT id FROM hold WHERE state = 1 AND id < (SELECT max(id) FROM hold) ORDER BY id LIMIT ?2)";
_Static_assert(WEIR_HOLD_RELEASED == 1, "the number in the statement above");

int weir_sq_put_meta(struct weir_store *base, const char *key, const char *value, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_META, SQL_PUT_META, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_s(&b, key), sq_s(&b, value);
    return sq_run(s, b.st, "put meta", err);
}

int weir_sq_put_project(struct weir_store *base, const struct weir_project_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_PROJECT, SQL_PUT_PROJECT, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_u(&b, r->view.id.v), sq_s(&b, r->name), sq_u(&b, r->view.weight);
    sq_i(&b, r->view.delay_cost_micro_per_hour), sq_i(&b, r->view.spent_decayed_micro);
    sq_i(&b, r->view.spent_at.us);
    return sq_run(s, b.st, "put project", err);
}

static int put_name(struct sq_store *s, enum sq_slot slot, const char *sql, const struct weir_name_row *r,
                    const char *what, struct weir_err *err)
{
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, slot, sql, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_u(&b, r->id), sq_s(&b, r->name), sq_s(&b, r->detail_json == NULL ? "{}" : r->detail_json);
    return sq_run(s, b.st, what, err);
}

int weir_sq_put_user(struct weir_store *base, const struct weir_name_row *r, struct weir_err *err)
{
    return put_name(sq_of(base), SQ_PUT_USER, SQL_PUT_USER, r, "put user", err);
}

int weir_sq_put_pool(struct weir_store *base, const struct weir_name_row *r, struct weir_err *err)
{
    return put_name(sq_of(base), SQ_PUT_POOL, SQL_PUT_POOL, r, "put pool", err);
}

int weir_sq_put_shape(struct weir_store *base, uint32_t shape, const char *json, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_SHAPE, SQL_PUT_SHAPE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, shape), sq_s(&b, json);
    return sq_run(s, b.st, "put shape", err);
}

int weir_sq_mark_shape(struct weir_store *base, uint32_t shape, bool impossible, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_MARK_SHAPE, SQL_MARK_SHAPE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, shape), sq_u(&b, impossible);
    return sq_run(s, b.st, "mark shape", err);
}

static void bind_counts(struct sq_bind *b, const struct weir_job_view *v)
{
    _Static_assert(WEIR_TASK_STATE_MAX == 7, "the columns of job are the states of tasks, in order");
    for (size_t i = 0; i < WEIR_TASK_STATE_MAX; i++) {
        sq_u(b, v->count[i]);
    }
}

int weir_sq_put_job(struct weir_store *base, const struct weir_job_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    const struct weir_job_view *v = &r->view;
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_JOB, SQL_PUT_JOB, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_u(&b, v->id.v), sq_u(&b, v->project.v), sq_u(&b, v->user.v), sq_u(&b, v->shape);
    sq_i(&b, v->priority), sq_u(&b, v->n_tasks), sq_u(&b, v->parallel_max), sq_u(&b, v->state);
    bind_counts(&b, v);
    sq_i(&b, v->submitted.us), sq_i(&b, v->started.us), sq_i(&b, v->ended.us);
    sq_i(&b, v->deadline.us), sq_u(&b, v->cancelled), sq_s(&b, r->name);
    sq_u(&b, v->payer.v);
    code = sq_run(s, b.st, "put job", err);
    if (code < 0) {
        return code;
    }
    b = (struct sq_bind){sq_write_stmt(s, SQ_PUT_JOB_TEXT, SQL_PUT_JOB_TEXT, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_u(&b, v->id.v), sq_s(&b, r->tags_json == NULL ? "{}" : r->tags_json);
    sq_s(&b, r->spec_json == NULL ? "{}" : r->spec_json);
    return sq_run(s, b.st, "put job", err);
}

int weir_sq_update_job(struct weir_store *base, const struct weir_job_view *v, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_UPDATE_JOB, SQL_UPDATE_JOB, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_i(&b, v->priority), sq_u(&b, v->parallel_max), sq_u(&b, v->state);
    bind_counts(&b, v);
    sq_i(&b, v->started.us), sq_i(&b, v->ended.us), sq_i(&b, v->deadline.us), sq_u(&b, v->cancelled);
    sq_u(&b, v->shape), sq_u(&b, v->id.v);
    r = sq_run(s, b.st, "update job", err);
    if (r == 0 && sqlite3_changes(s->db) == 0) {
        return weir_fail(err, -WEIR_ENOTFOUND, "job %llu is not in the store", (unsigned long long)v->id.v);
    }
    return r;
}

/* Binds a gang's arrays as JSON, or two NULLs; the texts must live until the statement ran. */
static void bind_gang(struct sq_bind *b, const struct weir_task_view *v, struct weir_str *nodes, struct weir_str *masks)
{
    if (v->n_nodes <= 1 || v->gang_node == NULL || v->gang_mask == NULL) {
        sq_null(b), sq_null(b);
        return;
    }
    int64_t ints[WEIR_GANG_NODES_MAX] = {0};
    size_t n = v->n_nodes > WEIR_GANG_NODES_MAX ? WEIR_GANG_NODES_MAX : v->n_nodes;
    for (size_t i = 0; i < n; i++) {
        ints[i] = (int64_t)v->gang_node[i].v;
    }
    sq_ints_write(nodes, ints, n);
    for (size_t i = 0; i < n; i++) {
        ints[i] = v->gang_mask[i];
    }
    sq_ints_write(masks, ints, n);
    sq_s(b, weir_str_cstr(nodes)), sq_s(b, weir_str_cstr(masks));
}

int weir_sq_put_task(struct weir_store *base, const struct weir_task_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    const struct weir_task_view *v = &r->view;
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_TASK, SQL_PUT_TASK, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str nodes = WEIR_STR_INIT(8192);
    WEIR_CLEANUP(weir_str_release) struct weir_str masks = WEIR_STR_INIT(8192);
    sq_u(&b, v->id.job.v), sq_u(&b, v->id.ordinal), sq_u(&b, v->state), sq_u(&b, v->reason);
    sq_u(&b, v->attempt), sq_u(&b, v->failures), sq_u(&b, v->losses), sq_u(&b, v->node.v);
    sq_u(&b, v->gpu_mask), sq_u(&b, v->n_nodes);
    bind_gang(&b, v, &nodes, &masks);
    sq_u(&b, v->lease.v), sq_i(&b, v->queued.us), sq_i(&b, v->placed.us), sq_i(&b, v->started.us);
    sq_i(&b, v->first_started.us), sq_i(&b, v->ended.us), sq_i(&b, v->checkpointed.us);
    sq_u(&b, v->hold.v), sq_i(&b, v->exit_code), sq_i(&b, v->signal), sq_u(&b, v->ranks_started);
    sq_u(&b, v->ranks_ended);
    if (r->text == NULL) {
        sq_null(&b);
    } else {
        sq_s(&b, r->text);
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str states = WEIR_STR_INIT(8192);
    if (v->n_nodes <= 1 || v->gang_state == NULL) {
        sq_null(&b);
    } else {
        int64_t ints[WEIR_GANG_NODES_MAX] = {0};
        size_t n = v->n_nodes > WEIR_GANG_NODES_MAX ? WEIR_GANG_NODES_MAX : v->n_nodes;
        for (size_t i = 0; i < n; i++) {
            ints[i] = v->gang_state[i];
        }
        sq_ints_write(&states, ints, n);
        sq_s(&b, weir_str_cstr(&states));
    }
    sq_i(&b, v->spent_micro);
    return sq_run(s, b.st, "put task", err);
}

int weir_sq_put_node(struct weir_store *base, const struct weir_node_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    const struct weir_node_view *v = &r->view;
    const struct weir_node_spec *p = &v->spec;
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_NODE, SQL_PUT_NODE, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str links = WEIR_STR_INIT(512);
    int64_t ints[WEIR_NODE_GPUS_MAX] = {0};
    size_t n = p->gpus > WEIR_NODE_GPUS_MAX ? WEIR_NODE_GPUS_MAX : p->gpus;
    for (size_t i = 0; i < n; i++) {
        ints[i] = p->link_group[i];
    }
    sq_ints_write(&links, ints, n);
    sq_u(&b, p->id.v), sq_u(&b, p->pool.v), sq_u(&b, p->lease.v), sq_u(&b, v->state);
    sq_u(&b, v->joined), sq_i(&b, v->since.us), sq_i(&b, v->idle_since.us), sq_u(&b, v->gpu_free_mask);
    sq_u(&b, v->cpu_free_milli), sq_u(&b, v->mem_free_mib), sq_u(&b, v->n_runs);
    sq_s(&b, r->gpu_model), sq_u(&b, p->gpus), sq_u(&b, p->gpu_mem_mib), sq_u(&b, p->cpu_milli);
    sq_u(&b, p->mem_mib), sq_s(&b, weir_str_cstr(&links)), sq_u(&b, p->fabric), sq_s(&b, p->region);
    sq_s(&b, p->provider), sq_i(&b, p->rates.full_micro_per_hour);
    sq_i(&b, p->rates.marginal_idle_micro_per_hour), sq_i(&b, p->rates.marginal_busy_micro_per_hour);
    sq_s(&b, r->agent_id), sq_s(&b, r->name), sq_s(&b, r->address);
    sq_s(&b, r->detail_json == NULL ? "{}" : r->detail_json), sq_i(&b, r->seen.us);
    return sq_run(s, b.st, "put node", err);
}

int weir_sq_put_lease(struct weir_store *base, const struct weir_lease_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    const struct weir_lease_view *v = &r->view;
    const struct weir_offer *o = &v->offer;
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_LEASE, SQL_PUT_LEASE, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_u(&b, v->id.v), sq_u(&b, v->node.v), sq_u(&b, v->state), sq_u(&b, o->id), sq_s(&b, o->provider);
    sq_s(&b, o->region), sq_s(&b, o->zone), sq_s(&b, o->instance_type), sq_u(&b, o->market);
    sq_s(&b, r->gpu_model), sq_u(&b, o->gpus), sq_u(&b, o->gpu_mem_mib), sq_u(&b, o->cpu_milli);
    sq_u(&b, o->mem_mib), sq_i(&b, o->price_micro_per_hour), sq_i(&b, o->as_of.us);
    sq_i(&b, o->expires.us), sq_s(&b, o->source), sq_i(&b, o->bill_quantum.us);
    sq_i(&b, o->bill_minimum.us), sq_i(&b, o->boot_expected.us), sq_u(&b, o->reclaim_ppm_per_hour);
    sq_i(&b, o->reclaim_notice.us), sq_i(&b, o->egress_micro_per_gib), sq_u(&b, o->launchable);
    sq_u(&b, v->task.job.v), sq_u(&b, v->task.ordinal), sq_i(&b, v->intent_at.us);
    sq_i(&b, v->confirmed_at.us), sq_i(&b, v->ready_at.us), sq_i(&b, v->reclaim_at.us);
    sq_i(&b, v->ending_at.us), sq_i(&b, v->ended_at.us), sq_i(&b, v->expires.us);
    sq_u(&b, v->refusal), sq_u(&b, v->reclaimed), sq_s(&b, r->token), sq_s(&b, r->instance);
    sq_s(&b, r->text), sq_u(&b, v->payer.v), sq_i(&b, v->held_micro), sq_i(&b, v->charged_micro);
    sq_s(&b, o->currency), sq_i(&b, o->original_micro_per_hour), sq_i(&b, o->rate_nano);
    sq_i(&b, v->price_micro_per_hour), sq_i(&b, v->priced.us), sq_i(&b, v->priced_micro);
    sq_s(&b, r->reservation), sq_i(&b, o->ends.us), sq_u(&b, o->plan);
    return sq_run(s, b.st, "put lease", err);
}

int weir_sq_put_hold(struct weir_store *base, const struct weir_hold_view *v, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_HOLD, SQL_PUT_HOLD, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, v->id.v), sq_u(&b, v->task.job.v), sq_u(&b, v->task.ordinal), sq_u(&b, v->attempt);
    sq_u(&b, v->project.v), sq_i(&b, v->amount_micro), sq_u(&b, v->state);
    sq_i(&b, v->charged_micro), sq_i(&b, v->until.us);
    return sq_run(s, b.st, "put hold", err);
}

static void collect_total(struct sq_store *s, const struct weir_posting *p, bool credit)
{
    uint8_t account = credit ? p->credit : p->debit;
    int64_t micro = credit ? -p->amount_micro : p->amount_micro;
    if (!weir_account_is_use(account) || !weir_posting_total_counts(p)) {
        return; /* only where the money went, not where it came from */
    }
    struct weir_footprint footprint = weir_posting_total(p, credit);
    uint64_t parts[3] = {p->project.v, p->pool.v, account};
    uint64_t key = weir_hash_bytes(parts, sizeof parts);
    uint64_t at;
    if (weir_map_get(&s->total_at, key, &at) && s->total.p[at].project == p->project.v && s->total.p[at].pool == p->pool.v &&
        s->total.p[at].account == account) {
        s->total.p[at].micro += micro;
        weir_footprint_add(&s->total.p[at].footprint, &footprint);
    } else {
        weir_map_put(&s->total_at, key, s->total.n);
        weir_vec_push(&s->total, (struct sq_total){p->project.v, p->pool.v, account, micro, footprint});
    }
}

int weir_sq_put_posting(struct weir_store *base, const struct weir_posting *p, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_POSTING, SQL_PUT_POSTING, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, p->id), sq_i(&b, p->at.us), sq_i(&b, p->from.us), sq_i(&b, p->to.us), sq_u(&b, p->node.v);
    sq_u(&b, p->lease.v), sq_u(&b, p->pool.v), sq_u(&b, p->debit), sq_u(&b, p->credit);
    sq_u(&b, p->modelled), sq_i(&b, p->amount_micro), sq_u(&b, p->gpu_us), sq_u(&b, p->project.v);
    sq_u(&b, p->user.v), sq_u(&b, p->run.task.job.v), sq_u(&b, p->run.task.ordinal);
    sq_u(&b, p->run.attempt), sq_u(&b, p->correction), sq_u(&b, p->rule), sq_s(&b, p->currency), sq_i(&b, p->original_micro);
    sq_i(&b, p->energy_mj), sq_i_or_null(&b, p->carbon_ug, p->carbon_unknown);
    r = sq_run(s, b.st, "put posting", err);
    struct weir_task_sum sum;
    if (r == 0 && weir_posting_task_sum(p, &sum)) {
        weir_vec_push(&s->cost, sum);
    }
    if (r == 0) {
        collect_total(s, p, false);
        collect_total(s, p, true);
        s->n_postings++;
        s->newest_posting = p->id;
    }
    return r;
}

int weir_sq_put_correction(struct weir_store *base, const struct weir_correction_row *row, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_CORRECTION, SQL_PUT_CORRECTION, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, row->id), sq_i(&b, row->at.us), sq_s(&b, row->kind), sq_s(&b, row->who), sq_s(&b, row->reason), sq_i(&b, row->micro);
    return sq_run(s, b.st, "put correction", err);
}

int weir_sq_put_invoice_line(struct weir_store *base, const struct weir_invoice_line_row *row, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_INVOICE_LINE, SQL_PUT_INVOICE_LINE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, row->lease.v), sq_u(&b, row->line), sq_i(&b, row->from.us), sq_i(&b, row->to.us), sq_i(&b, row->nano), sq_s(&b, row->currency), sq_i(&b, row->original_nano);
    return sq_run(s, b.st, "put invoice line", err);
}

static int cost_order(const void *va, const void *vb)
{
    const struct weir_task_sum *a = va;
    const struct weir_task_sum *b = vb;
    if (a->task.job.v != b->task.job.v) {
        return a->task.job.v < b->task.job.v ? -1 : 1;
    }
    return (a->task.ordinal > b->task.ordinal) - (a->task.ordinal < b->task.ordinal);
}

static int add_cost(struct sq_store *s, const struct weir_task_sum *c, bool whole_job, struct weir_err *err)
{
    int r = 0;
    struct sq_bind b = {whole_job ? sq_write_stmt(s, SQ_ADD_JOB_COST, SQL_ADD_JOB_COST, &r, err)
                                  : sq_write_stmt(s, SQ_ADD_TASK_COST, SQL_ADD_TASK_COST, &r, err),
                        0};
    if (b.st == NULL) {
        return r;
    }
    sq_i(&b, c->micro);
    if (whole_job) {
        sq_i(&b, c->footprint.energy_mj), sq_i(&b, c->footprint.carbon_ug), sq_i(&b, c->footprint.unknown_micro);
        sq_i(&b, c->footprint.has_unknown);
    }
    sq_u(&b, c->task.job.v);
    if (!whole_job) {
        sq_u(&b, c->task.ordinal);
    }
    return sq_run(s, b.st, "add cost", err);
}

static int apply_totals(struct sq_store *s, struct weir_err *err)
{
    int r = 0;
    for (size_t i = 0; i < s->total.n && r == 0; i++) {
        struct sq_bind b = {sq_write_stmt(s, SQ_ADD_TOTAL, SQL_ADD_TOTAL, &r, err), 0};
        if (b.st == NULL) {
            return r;
        }
        sq_u(&b, s->total.p[i].project), sq_u(&b, s->total.p[i].pool), sq_u(&b, s->total.p[i].account);
        const struct weir_footprint *f = &s->total.p[i].footprint;
        sq_i(&b, s->total.p[i].micro), sq_i(&b, f->energy_mj), sq_i(&b, f->carbon_ug), sq_i(&b, f->unknown_micro);
        sq_i(&b, f->has_unknown);
        r = sq_run(s, b.st, "add total", err);
    }
    return r;
}

void weir_sq_forget_costs(struct sq_store *s)
{
    weir_vec_clear(&s->cost);
    weir_vec_clear(&s->total);
    weir_map_release(&s->total_at);
}

int weir_sq_apply_costs(struct sq_store *s, struct weir_err *err)
{
    int r = apply_totals(s, err);
    if (r < 0 || s->cost.n == 0) {
        return r;
    }
    qsort(s->cost.p, s->cost.n, sizeof *s->cost.p, cost_order);
    struct weir_task_sum job = {.task.job = s->cost.p[0].task.job};
    for (size_t i = 0; i < s->cost.n && r == 0;) {
        struct weir_task_sum task = s->cost.p[i++];
        for (; i < s->cost.n && cost_order(&s->cost.p[i], &task) == 0; i++) {
            task.micro = weir_i64_add_sat(task.micro, s->cost.p[i].micro);
            weir_footprint_add(&task.footprint, &s->cost.p[i].footprint);
        }
        r = add_cost(s, &task, false, err);
        if (r == 0 && task.task.job.v != job.task.job.v) {
            r = add_cost(s, &job, true, err);
            job = (struct weir_task_sum){.task.job = task.task.job};
        }
        job.micro = weir_i64_add_sat(job.micro, task.micro);
        weir_footprint_add(&job.footprint, &task.footprint);
    }
    return r < 0 ? r : add_cost(s, &job, true, err);
}

int weir_sq_put_meter(struct weir_store *base, const struct weir_meter *m, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    const struct weir_bill_node *n = &m->info;
    int r = 0;
    struct sq_bind b = {m->closed ? sq_write_stmt(s, SQ_DELETE_METER, SQL_DELETE_METER, &r, err)
                                  : sq_write_stmt(s, SQ_PUT_METER, SQL_PUT_METER, &r, err),
                        0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, n->node.v);
    if (m->closed) {
        return sq_run(s, b.st, "delete meter", err);
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str rem = WEIR_STR_INIT(256);
    sq_ints_write(&rem, m->remainder, WEIR_ARRAY_LEN(m->remainder));
    sq_u(&b, n->lease.v), sq_u(&b, n->pool.v), sq_u(&b, n->gpus), sq_u(&b, n->cpu_milli);
    sq_u(&b, n->owned), sq_i(&b, n->cost.purchase_micro), sq_i(&b, n->cost.residual_micro);
    sq_i(&b, n->cost.life.us), sq_i(&b, n->cost.upkeep_micro_per_year);
    sq_i(&b, n->cost.tariff_micro_per_kwh), sq_u(&b, n->cost.pue_milli), sq_u(&b, n->cost.idle_watts);
    sq_u(&b, n->cost.busy_watts), sq_i(&b, n->price_micro_per_hour), sq_i(&b, n->quantum.us);
    sq_i(&b, n->minimum.us), sq_u(&b, n->project.v), sq_u(&b, n->user.v), sq_u(&b, n->task.job.v);
    sq_u(&b, n->task.ordinal), sq_i(&b, m->opened.us), sq_i(&b, m->ready.us), sq_i(&b, m->until.us);
    sq_i(&b, m->provider_posted_micro), sq_s(&b, weir_str_cstr(&rem)), sq_u(&b, m->energy_mj);
    sq_u(&b, m->energy_posted_mj), sq_u(&b, m->energy_measured), sq_u(&b, m->energy_counter_mj);
    sq_i_or_null(&b, n->cost.carbon_ug_per_kwh, !n->cost.has_carbon);
    sq_i(&b, m->priced.us), sq_i(&b, m->priced_micro);
    return sq_run(s, b.st, "put meter", err);
}

int weir_sq_put_explain(struct weir_store *base, const struct weir_explain_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_EXPLAIN, SQL_PUT_EXPLAIN, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_u(&b, r->task.job.v), sq_u(&b, r->task.ordinal), sq_u(&b, r->seq), sq_s(&b, r->json);
    sq_i(&b, r->at.us);
    return sq_run(s, b.st, "put explain", err);
}

int weir_sq_put_event(struct weir_store *base, const struct weir_event_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_EVENT, SQL_PUT_EVENT, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_u(&b, r->id), sq_i(&b, r->at.us), sq_s(&b, r->kind), sq_u(&b, r->job.v), sq_u(&b, r->ordinal);
    sq_u(&b, r->node.v), sq_u(&b, r->lease.v), sq_s(&b, r->text);
    return sq_run(s, b.st, "put event", err);
}

int weir_sq_put_effect(struct weir_store *base, const struct weir_effect_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_EFFECT, SQL_PUT_EFFECT, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_u(&b, r->seq), sq_u(&b, r->number), sq_u(&b, r->kind), sq_u(&b, r->lease.v);
    return sq_run(s, b.st, "put effect", err);
}

int weir_sq_done_effect(struct weir_store *base, uint64_t seq, uint32_t number, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_DONE_EFFECT, SQL_DONE_EFFECT, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, seq), sq_u(&b, number);
    return sq_run(s, b.st, "done effect", err);
}

int weir_sq_put_token(struct weir_store *base, const struct weir_token_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_TOKEN, SQL_PUT_TOKEN, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_s(&b, r->hash), sq_s(&b, r->name), sq_s(&b, r->role), sq_s(&b, r->user), sq_u(&b, r->lease.v);
    sq_i(&b, r->expires.us), sq_i(&b, r->created.us), sq_s(&b, r->created_by), sq_s(&b, r->projects);
    return sq_run(s, b.st, "put token", err);
}

int weir_sq_delete_token(struct weir_store *base, const char *hash, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_DELETE_TOKEN, SQL_DELETE_TOKEN, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_s(&b, hash);
    return sq_run(s, b.st, "delete token", err);
}

int weir_sq_put_runtime(struct weir_store *base, uint64_t key, const struct weir_runtime_history *h, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_RUNTIME, SQL_PUT_RUNTIME, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str took = WEIR_STR_INIT(1024);
    sq_ints_write(&took, h->us, WEIR_RUNTIME_KEEP);
    sq_u(&b, key), sq_u(&b, h->n), sq_u(&b, h->filled), sq_s(&b, weir_str_cstr(&took));
    return sq_run(s, b.st, "put runtime", err);
}

static int prune_one(struct sq_store *s, enum sq_slot slot, const char *sql, struct weir_wall before, uint32_t limit,
                     uint32_t *removed, struct weir_err *err)
{
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, slot, sql, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_i(&b, before.us), sq_u(&b, limit);
    r = sq_run(s, b.st, "prune", err);
    *removed += r == 0 ? (uint32_t)sqlite3_changes(s->db) : 0;
    return r;
}

int weir_sq_prune(struct weir_store *base, const struct weir_prune *p, uint32_t *ret_removed, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    uint32_t n = 0;
    int r = prune_one(s, SQ_PRUNE_EVENTS, SQL_PRUNE_EVENTS, p->events_before, p->limit, &n, err);
    r = r < 0 ? r : prune_one(s, SQ_PRUNE_EXPLAINS, SQL_PRUNE_EXPLAINS, p->explains_before, p->limit, &n, err);
    r = r < 0 ? r : prune_one(s, SQ_PRUNE_AUDITS, SQL_PRUNE_AUDITS, p->audits_before, p->limit, &n, err);
    r = r < 0 ? r : prune_one(s, SQ_PRUNE_HOLDS, SQL_PRUNE_HOLDS, (struct weir_wall){0}, p->limit, &n, err);
    if (r == 0) {
        *ret_removed = n;
    }
    return r;
}
