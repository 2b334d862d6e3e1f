/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: scans at restart and for the broker's own use. */

#include "store/sqlite_priv.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"

static const char SQL_GET_META[] = "SELECT value FROM meta WHERE key = ?";
static const char SQL_EACH_PROJECT[] = "SELECT id, name, weight, delay_cost_micro_per_hour, spent_decayed_micro,"
                                       " spent_at_us FROM project ORDER BY id";
static const char SQL_EACH_USER[] = "SELECT id, name, detail FROM user ORDER BY id";
static const char SQL_EACH_POOL[] = "SELECT id, name, detail FROM pool ORDER BY id";
static const char SQL_EACH_SHAPE[] = "SELECT id, request FROM shape ORDER BY id";
/* two ordered scans that are merged: one statement over both states would have to sort */
static const char SQL_LIVE_WAITING[] =
    "SELECT " SQ_JOB_COLUMNS ", job.name FROM job INDEXED BY job_by_state WHERE state = 0 ORDER BY id";
static const char SQL_LIVE_RUNNING[] =
    "SELECT " SQ_JOB_COLUMNS ", job.name FROM job INDEXED BY job_by_state WHERE state = 1 ORDER BY id";
static const char SQL_LIVE_WAITING_IDS[] =
    "SELECT id FROM job INDEXED BY job_by_state WHERE state = 0 ORDER BY id";
static const char SQL_LIVE_RUNNING_IDS[] =
    "SELECT id FROM job INDEXED BY job_by_state WHERE state = 1 ORDER BY id";
static const char SQL_LIVE_TASKS[] =
    "SELECT " SQ_TASK_COLUMNS ", task.text FROM task WHERE job >= ? ORDER BY job, ordinal";
static const char SQL_EACH_NODE[] =
    "SELECT node.id, node.pool, node.lease, node.state, node.joined, node.since_us, node.idle_since_us,"
    " node.gpu_free_mask, node.cpu_free_milli, node.mem_free_mib, node.n_runs, node.gpu_model, node.gpus,"
    " node.gpu_mem_mib, node.cpu_milli, node.mem_mib, node.link_groups, node.fabric, node.region,"
    " node.provider, node.full_micro_per_hour, node.marginal_idle_micro_per_hour,"
    " node.marginal_busy_micro_per_hour, node.agent_id, node.name, node.address, node.detail,"
    " node.seen_us, pool.name FROM node LEFT JOIN pool ON pool.id = node.pool"
    " WHERE ?1 OR node.state <> 3 ORDER BY node.id";
#define SELECT_LEASE "SELECT id, node, state, offer, provider, region, zone, instance_type, market, gpu_model, gpus," \
    " gpu_mem_mib, cpu_milli, mem_mib, price_micro_per_hour, price_as_of_us, price_expires_us," \
    " price_source, bill_quantum_us, bill_minimum_us, boot_expected_us, reclaim_ppm_per_hour," \
    " reclaim_notice_us, egress_micro_per_gib, launchable, job, ordinal, intent_us, confirmed_us," \
    " ready_us, reclaim_us, ending_us, ended_us, expires_us, refusal, reclaimed, token, instance, text," \
    " payer, held_micro, charged_micro, currency, original_micro_per_hour, rate_nano, price_now_micro_per_hour, priced_us, priced_micro," \
    " reservation, ends_us, plan"
static const char SQL_EACH_LEASE[] = SELECT_LEASE " FROM lease WHERE ?1 OR state NOT IN (5, 6) ORDER BY id";
static const char SQL_GET_LEASE[] = SELECT_LEASE " FROM lease WHERE id = ?1";
static const char SQL_EACH_HOLD[] =
    "SELECT id, job, ordinal, attempt, project, amount_micro, state, charged_micro, until_us FROM hold WHERE state = 0 ORDER BY id";
static const char SQL_EACH_HOLD_ALL[] =
    "SELECT id, job, ordinal, attempt, project, amount_micro, state, charged_micro, until_us FROM hold ORDER BY id";
static const char SQL_EACH_METER[] =
    "SELECT node, lease, pool, gpus, cpu_milli, owned, purchase_micro, residual_micro, life_us,"
    " upkeep_micro_per_year, tariff_micro_per_kwh, pue_milli, idle_watts, busy_watts,"
    " price_micro_per_hour, quantum_us, minimum_us, project, user, job, ordinal, opened_us, ready_us,"
    " until_us, provider_posted_micro, remainders, energy_mj, energy_posted_mj, energy_measured,"
    " energy_counter_mj, carbon_ug_per_kwh, priced_us, priced_micro"
    " FROM meter ORDER BY node";
static const char SQL_EACH_EFFECT[] = "SELECT seq, number, kind, lease FROM effect ORDER BY seq, number";
static const char SQL_EACH_TOKEN[] = "SELECT hash, name, role, user, lease, expires_us, created_us, created_by, projects FROM token ORDER BY hash";
static const char SQL_EACH_RUNTIME[] = "SELECT key, n, filled, took_us FROM runtime ORDER BY key";
static const char SQL_EACH_POSTING[] =
    "SELECT id, at_us, from_us, to_us, node, lease, pool, debit, credit, modelled, amount_micro, gpu_us,"
    " project, user, job, ordinal, attempt, correction, rule, currency, original_micro, energy_mj, carbon_ug FROM posting WHERE id > ? ORDER BY id";
static const char SQL_EACH_INVOICE_LINE[] = "SELECT lease, line, from_us, to_us, nano, currency, original_nano FROM invoice_line WHERE lease = ?";
static const char SQL_EACH_CORRECTION[] = "SELECT id, at_us, kind, who, reason, micro FROM correction WHERE id > ? ORDER BY id";
/* 5: the account JOB */
static const char SQL_RUN_POSTED[] =
    "SELECT coalesce(sum(CASE WHEN debit = 5 THEN amount_micro ELSE -amount_micro END), 0),"
    " coalesce(sum(CASE WHEN to_us > ?5 THEN 0 WHEN debit = 5 THEN amount_micro ELSE -amount_micro END), 0),"
    " coalesce(max(to_us), 0), coalesce(max(lease), 0), coalesce(max(pool), 0)"
    " FROM posting WHERE job = ?1 AND ordinal = ?2 AND attempt = ?3 AND node = ?4"
    " AND job <> 0 AND (debit = 5 OR credit = 5)";
static const char SQL_EACH_TOTAL[] =
    "SELECT coalesce(project.name, ''), coalesce(pool.name, ''), account, amount_micro, total.energy_mj, total.carbon_ug,"
    " total.carbon_unknown_micro, total.carbon_unknown FROM total"
    " LEFT JOIN project ON project.id = total.project LEFT JOIN pool ON pool.id = total.pool"
    " ORDER BY total.project, total.pool, account";
static const char SQL_MAX_IDS[] =
    "SELECT coalesce((SELECT max(id) FROM job), 0), coalesce((SELECT max(id) FROM node), 0),"
    " coalesce((SELECT max(id) FROM lease), 0), coalesce((SELECT max(id) FROM hold), 0),"
    " coalesce((SELECT max(id) FROM posting), 0), coalesce((SELECT max(id) FROM event), 0)";

_Static_assert(WEIR_JOB_WAITING == 0 && WEIR_JOB_RUNNING == 1, "numbers in the statements above");
_Static_assert(WEIR_NODE_GONE == 3 && WEIR_LEASE_ENDED == 5 && WEIR_LEASE_FAILED == 6, "as above");
_Static_assert(WEIR_HOLD_ACTIVE == 0 && WEIR_ACCOUNT_JOB == 5, "as above");

void sq_read_job_view(struct sq_col *c, struct weir_job_view *v)
{
    *v = (struct weir_job_view){.id = {sc_u(c)}};
    v->project.v = sc_u32(c);
    v->user.v = sc_u32(c);
    v->shape = sc_u32(c);
    v->priority = (int32_t)sc_i(c);
    v->n_tasks = sc_u32(c);
    v->parallel_max = sc_u32(c);
    v->state = (enum weir_job_state)sc_u32(c);
    for (size_t i = 0; i < WEIR_TASK_STATE_MAX; i++) {
        v->count[i] = sc_u32(c);
    }
    v->submitted = sc_wall(c);
    v->started = sc_wall(c);
    v->ended = sc_wall(c);
    v->deadline = sc_wall(c);
    v->cancelled = sc_i(c) != 0;
    v->payer.v = sc_u32(c);
}

void sq_read_task_view(struct sq_col *c, struct weir_task_view *v, struct sq_gang *gang)
{
    *v = (struct weir_task_view){.id.job = {sc_u(c)}};
    v->id.ordinal = sc_u32(c);
    v->state = (enum weir_task_state)sc_u32(c);
    v->reason = (enum weir_reason)sc_u32(c);
    v->attempt = sc_u32(c);
    v->failures = sc_u32(c);
    v->losses = sc_u32(c);
    v->node.v = sc_u(c);
    v->gpu_mask = sc_u32(c);
    v->n_nodes = sc_u32(c);
    const char *nodes = sc_s(c);
    const char *masks = sc_s(c);
    if (nodes[0] != '\0') {
        int64_t ints[WEIR_GANG_NODES_MAX] = {0};
        size_t n = sq_ints_read(nodes, ints, WEIR_GANG_NODES_MAX);
        for (size_t i = 0; i < n; i++) {
            gang->node[i].v = (uint64_t)ints[i];
        }
        size_t m = sq_ints_read(masks, ints, WEIR_GANG_NODES_MAX);
        for (size_t i = 0; i < m; i++) {
            gang->mask[i] = (uint32_t)ints[i];
        }
        v->n_nodes = (uint32_t)(n < m ? n : m);
        v->gang_node = gang->node;
        v->gang_mask = gang->mask;
    }
    v->lease.v = sc_u(c);
    v->queued = sc_wall(c);
    v->placed = sc_wall(c);
    v->started = sc_wall(c);
    v->first_started = sc_wall(c);
    v->ended = sc_wall(c);
    v->checkpointed = sc_wall(c);
    v->hold.v = sc_u(c);
    v->exit_code = (int32_t)sc_i(c);
    v->signal = (int32_t)sc_i(c);
    v->ranks_started = sc_u32(c);
    v->ranks_ended = sc_u32(c);
    const char *states = sc_s(c);
    if (v->gang_node != NULL && states[0] != '\0') {
        int64_t ints[WEIR_GANG_NODES_MAX] = {0};
        (void)sq_ints_read(states, ints, WEIR_GANG_NODES_MAX);
        for (uint32_t i = 0; i < v->n_nodes; i++) {
            gang->state[i] = (uint8_t)ints[i];
        }
        v->gang_state = gang->state;
    }
    v->spent_micro = sc_i(c);
}

int weir_sq_get_meta(struct weir_store *base, const char *key, char *buf, size_t size, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_GET_META, SQL_GET_META, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_s(&b, key);
    r = sq_row(s, b.st, "get meta", err);
    if (r == 0) {
        r = weir_fail(err, -WEIR_ENOTFOUND, "database '%s' has no value for '%s'", s->path, key);
    } else if (r > 0) {
        struct sq_col c = {b.st, 0};
        const char *value = sc_s(&c);
        size_t n = strlen(value);
        r = 0;
        if (n >= size) {
            r = weir_fail(err, -WEIR_ELIMIT, "value of '%s' in database '%s' is over %zu bytes", key, s->path, size);
        } else {
            memcpy(buf, value, n + 1);
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}

int weir_sq_each_project(struct weir_store *base, weir_project_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_PROJECT, SQL_EACH_PROJECT, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read projects", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_project_row row = {.view.id = {sc_u32(&c)}};
        row.name = sc_s(&c);
        row.view.weight = sc_u32(&c);
        row.view.delay_cost_micro_per_hour = sc_i(&c);
        row.view.spent_decayed_micro = sc_i(&c);
        row.view.spent_at = sc_wall(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

static int each_name(struct sq_store *s, enum sq_slot slot, const char *sql, weir_name_row_fn *fn, void *ctx,
                     struct weir_err *err)
{
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, slot, sql, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read names", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_name_row row = {.id = sc_u32(&c)};
        row.name = sc_s(&c);
        row.detail_json = sc_s(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

int weir_sq_each_user(struct weir_store *base, weir_name_row_fn *fn, void *ctx, struct weir_err *err)
{
    return each_name(sq_of(base), SQ_EACH_USER, SQL_EACH_USER, fn, ctx, err);
}

int weir_sq_each_pool(struct weir_store *base, weir_name_row_fn *fn, void *ctx, struct weir_err *err)
{
    return each_name(sq_of(base), SQ_EACH_POOL, SQL_EACH_POOL, fn, ctx, err);
}

int weir_sq_each_shape(struct weir_store *base, weir_shape_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_SHAPE, SQL_EACH_SHAPE, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read shapes", err)) > 0) {
        struct sq_col c = {st, 0};
        uint32_t shape = sc_u32(&c);
        r = fn(ctx, shape, sc_s(&c));
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

/* ---- live jobs: two ordered scans merged by id ---- */

struct live {
    struct sq_store *s;
    sqlite3_stmt *st[2];
    uint64_t id[2]; /* of the row that each stands on; UINT64_MAX at the end */
    size_t at;      /* the one with the current job */
};

static int live_step(struct live *l, size_t i, struct weir_err *err)
{
    int r = sq_row(l->s, l->st[i], "read jobs", err);
    l->id[i] = r > 0 ? (uint64_t)sqlite3_column_int64(l->st[i], 0) : UINT64_MAX;
    return r < 0 ? r : 0;
}

static void live_pick(struct live *l)
{
    l->at = l->id[1] < l->id[0] ? 1 : 0;
}

static int live_begin(struct live *l, struct sq_store *s, bool ids_only, struct weir_err *err)
{
    int r = 0;
    *l = (struct live){.s = s};
    l->st[0] = ids_only ? sq_stmt(s, SQ_LIVE_WAITING_IDS, SQL_LIVE_WAITING_IDS, &r, err)
                        : sq_stmt(s, SQ_LIVE_WAITING, SQL_LIVE_WAITING, &r, err);
    if (l->st[0] == NULL) {
        return r;
    }
    l->st[1] = ids_only ? sq_stmt(s, SQ_LIVE_RUNNING_IDS, SQL_LIVE_RUNNING_IDS, &r, err)
                        : sq_stmt(s, SQ_LIVE_RUNNING, SQL_LIVE_RUNNING, &r, err);
    if (l->st[1] == NULL) {
        return r;
    }
    r = live_step(l, 0, err);
    if (r == 0) {
        r = live_step(l, 1, err);
    }
    live_pick(l);
    return r;
}

static int live_next(struct live *l, struct weir_err *err)
{
    int r = live_step(l, l->at, err);
    live_pick(l);
    return r;
}

/* The id of the current job; UINT64_MAX at the end. */
static uint64_t live_id(const struct live *l)
{
    return l->id[l->at];
}

static void live_end(struct live *l)
{
    for (size_t i = 0; i < 2; i++) {
        if (l->st[i] != NULL) {
            (void)sqlite3_reset(l->st[i]);
        }
    }
}

int weir_sq_each_live_job(struct weir_store *base, weir_job_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct live l;
    int r = live_begin(&l, sq_of(base), false, err);
    while (r == 0 && live_id(&l) != UINT64_MAX) {
        struct sq_col c = {l.st[l.at], 0};
        struct weir_job_row row = {.project = "", .user = "", .tags_json = "{}", .spec_json = "{}"};
        sq_read_job_view(&c, &row.view);
        row.name = sc_s(&c);
        r = fn(ctx, &row);
        if (r == 0) {
            r = live_next(&l, err);
        }
    }
    live_end(&l);
    return r;
}

/*
 * Live jobs and task rows are both read in order of job; whichever is behind catches up. The tasks
 * catch up by seeking, so that neither a million waiting jobs without rows nor the rows of a million
 * ended jobs are read one by one.
 */
int weir_sq_each_live_task(struct weir_store *base, weir_task_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    struct live l;
    int r = live_begin(&l, s, true, err);
    sqlite3_stmt *st = r == 0 ? sq_stmt(s, SQ_LIVE_TASKS, SQL_LIVE_TASKS, &r, err) : NULL;
    bool seek = true;
    while (r == 0 && live_id(&l) != UINT64_MAX) {
        uint64_t job = live_id(&l);
        if (seek) {
            (void)sqlite3_reset(st);
            (void)sqlite3_bind_int64(st, 1, (int64_t)job);
            seek = false;
            r = sq_row(s, st, "read tasks", err);
            if (r <= 0) {
                break;
            }
        }
        uint64_t have = (uint64_t)sqlite3_column_int64(st, 0);
        r = 0;
        if (have > job) {
            r = live_next(&l, err);
            continue;
        }
        if (have < job) {
            seek = true;
            continue;
        }
        struct sq_col c = {st, 0};
        struct sq_gang gang;
        struct weir_task_row row = {.node_name = "", .pool = "", .gpu_model = ""};
        sq_read_task_view(&c, &row.view, &gang);
        row.text = sc_s(&c);
        r = fn(ctx, &row);
        if (r == 0) {
            r = sq_row(s, st, "read tasks", err);
            if (r <= 0) {
                break;
            }
            r = 0;
        }
    }
    live_end(&l);
    if (st != NULL) {
        (void)sqlite3_reset(st);
    }
    return r;
}

static void read_node(struct sq_col *c, struct weir_node_row *row)
{
    struct weir_node_view *v = &row->view;
    struct weir_node_spec *p = &v->spec;
    p->id.v = sc_u(c);
    p->pool.v = sc_u32(c);
    p->lease.v = sc_u(c);
    v->state = (enum weir_node_state)sc_u32(c);
    v->joined = sc_i(c) != 0;
    v->since = sc_wall(c);
    v->idle_since = sc_wall(c);
    v->gpu_free_mask = sc_u32(c);
    v->cpu_free_milli = sc_u32(c);
    v->mem_free_mib = sc_u(c);
    v->n_runs = sc_u32(c);
    p->gpu_model = WEIR_GPU_MODEL_ANY;
    row->gpu_model = sc_s(c);
    p->gpus = (uint16_t)sc_u32(c);
    p->gpu_mem_mib = sc_u32(c);
    p->cpu_milli = sc_u32(c);
    p->mem_mib = sc_u(c);
    int64_t ints[WEIR_NODE_GPUS_MAX] = {0};
    size_t n = sq_ints_read(sc_s(c), ints, WEIR_NODE_GPUS_MAX);
    for (size_t i = 0; i < n; i++) {
        p->link_group[i] = (uint8_t)ints[i];
    }
    p->fabric = sc_u32(c);
    sc_copy(c, p->region, sizeof p->region);
    sc_copy(c, p->provider, sizeof p->provider);
    p->rates.full_micro_per_hour = sc_i(c);
    p->rates.marginal_idle_micro_per_hour = sc_i(c);
    p->rates.marginal_busy_micro_per_hour = sc_i(c);
    row->agent_id = sc_s(c);
    row->name = sc_s(c);
    row->address = sc_s(c);
    row->detail_json = sc_s(c);
    row->seen = sc_wall(c);
    row->pool = sc_s(c);
}

int weir_sq_each_node(struct weir_store *base, bool gone_too, weir_node_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_EACH_NODE, SQL_EACH_NODE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, gone_too);
    while ((r = sq_row(s, b.st, "read nodes", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_node_row row = {0};
        read_node(&c, &row);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}

static void read_lease(struct sq_col *c, struct weir_lease_row *row)
{
    struct weir_lease_view *v = &row->view;
    struct weir_offer *o = &v->offer;
    v->id.v = sc_u(c);
    v->node.v = sc_u(c);
    v->state = (enum weir_lease_state)sc_u32(c);
    o->id = sc_u(c);
    sc_copy(c, o->provider, sizeof o->provider);
    sc_copy(c, o->region, sizeof o->region);
    sc_copy(c, o->zone, sizeof o->zone);
    sc_copy(c, o->instance_type, sizeof o->instance_type);
    o->market = (uint8_t)sc_u32(c);
    o->gpu_model = WEIR_GPU_MODEL_ANY;
    row->gpu_model = sc_s(c);
    o->gpus = (uint16_t)sc_u32(c);
    o->gpu_mem_mib = sc_u32(c);
    o->cpu_milli = sc_u32(c);
    o->mem_mib = sc_u(c);
    o->price_micro_per_hour = sc_i(c);
    o->as_of = sc_wall(c);
    o->expires = sc_wall(c);
    sc_copy(c, o->source, sizeof o->source);
    o->bill_quantum.us = sc_i(c);
    o->bill_minimum.us = sc_i(c);
    o->boot_expected.us = sc_i(c);
    o->reclaim_ppm_per_hour = sc_u32(c);
    o->reclaim_notice.us = sc_i(c);
    o->egress_micro_per_gib = sc_i(c);
    o->launchable = sc_i(c) != 0;
    v->task.job.v = sc_u(c);
    v->task.ordinal = sc_u32(c);
    v->intent_at = sc_wall(c);
    v->confirmed_at = sc_wall(c);
    v->ready_at = sc_wall(c);
    v->reclaim_at = sc_wall(c);
    v->ending_at = sc_wall(c);
    v->ended_at = sc_wall(c);
    v->expires = sc_wall(c);
    v->refusal = (uint8_t)sc_u32(c);
    v->reclaimed = sc_i(c) != 0;
    sc_copy(c, row->token, sizeof row->token);
    sc_copy(c, row->instance, sizeof row->instance);
    row->text = sc_s(c);
    v->payer.v = sc_u32(c);
    v->held_micro = sc_i(c);
    v->charged_micro = sc_i(c);
    sc_copy(c, o->currency, sizeof o->currency);
    o->original_micro_per_hour = sc_i(c);
    o->rate_nano = sc_i(c);
    v->price_micro_per_hour = sc_i(c);
    v->priced = sc_wall(c);
    v->priced_micro = sc_i(c);
    sc_copy(c, row->reservation, sizeof row->reservation);
    o->ends = sc_wall(c);
    o->plan = sc_u(c);
    if (v->price_micro_per_hour == 0) { /* stored by a version that knew none but the quote */
        v->price_micro_per_hour = o->price_micro_per_hour;
    }
}

static int each_lease(struct sq_store *s, enum sq_slot slot, const char *sql, uint64_t arg, weir_lease_row_fn *fn, void *ctx, struct weir_err *err)
{
    int r = 0;
    struct sq_bind b = {sq_stmt(s, slot, sql, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, arg);
    while ((r = sq_row(s, b.st, "read leases", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_lease_row row = {0};
        read_lease(&c, &row);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}

int weir_sq_each_lease(struct weir_store *base, bool ended_too, weir_lease_row_fn *fn, void *ctx, struct weir_err *err)
{
    return each_lease(sq_of(base), SQ_EACH_LEASE, SQL_EACH_LEASE, ended_too, fn, ctx, err);
}

struct one_lease {
    weir_lease_row_fn *fn;
    void *ctx;
    bool is_there;
};

static int on_lease(void *ctx, const struct weir_lease_row *row)
{
    struct one_lease *o = ctx;
    o->is_there = true;
    return o->fn(o->ctx, row);
}

int weir_sq_get_lease(struct weir_store *base, struct weir_lease_id id, weir_lease_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct one_lease o = {.fn = fn, .ctx = ctx};
    int r = each_lease(sq_of(base), SQ_GET_LEASE, SQL_GET_LEASE, id.v, on_lease, &o, err);
    return r == 0 && !o.is_there ? weir_fail(err, -WEIR_ENOTFOUND, "no lease %" PRIu64, id.v) : r;
}

int weir_sq_each_hold(struct weir_store *base, bool released_too, weir_hold_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = released_too ? sq_stmt(s, SQ_EACH_HOLD_ALL, SQL_EACH_HOLD_ALL, &r, err)
                                    : sq_stmt(s, SQ_EACH_HOLD, SQL_EACH_HOLD, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read holds", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_hold_view v = {.id = {sc_u(&c)}};
        v.task.job.v = sc_u(&c);
        v.task.ordinal = sc_u32(&c);
        v.attempt = sc_u32(&c);
        v.project.v = sc_u32(&c);
        v.amount_micro = sc_i(&c);
        v.state = (enum weir_hold_state)sc_u32(&c);
        v.charged_micro = sc_i(&c);
        v.until = sc_wall(&c);
        r = fn(ctx, &v);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

static void read_meter(struct sq_col *c, struct weir_meter *m)
{
    struct weir_bill_node *n = &m->info;
    n->node.v = sc_u(c);
    n->lease.v = sc_u(c);
    n->pool.v = sc_u32(c);
    n->gpus = sc_u32(c);
    n->cpu_milli = sc_u32(c);
    n->owned = sc_i(c) != 0;
    n->cost.purchase_micro = sc_i(c);
    n->cost.residual_micro = sc_i(c);
    n->cost.life.us = sc_i(c);
    n->cost.upkeep_micro_per_year = sc_i(c);
    n->cost.tariff_micro_per_kwh = sc_i(c);
    n->cost.pue_milli = sc_u32(c);
    n->cost.idle_watts = sc_u32(c);
    n->cost.busy_watts = sc_u32(c);
    n->price_micro_per_hour = sc_i(c);
    n->quantum.us = sc_i(c);
    n->minimum.us = sc_i(c);
    n->project.v = sc_u32(c);
    n->user.v = sc_u32(c);
    n->task.job.v = sc_u(c);
    n->task.ordinal = sc_u32(c);
    m->opened = sc_wall(c);
    m->ready = sc_wall(c);
    m->until = sc_wall(c);
    m->provider_posted_micro = sc_i(c);
    (void)sq_ints_read(sc_s(c), m->remainder, WEIR_ARRAY_LEN(m->remainder));
    m->energy_mj = sc_u(c);
    m->energy_posted_mj = sc_u(c);
    m->energy_measured = sc_i(c) != 0;
    m->energy_counter_mj = sc_u(c);
    n->cost.has_carbon = sqlite3_column_type(c->st, c->i) != SQLITE_NULL;
    n->cost.carbon_ug_per_kwh = sc_i(c);
    m->priced = sc_wall(c);
    m->priced_micro = sc_i(c);
}

int weir_sq_each_meter(struct weir_store *base, weir_meter_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_METER, SQL_EACH_METER, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read meters", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_meter m = {0};
        read_meter(&c, &m);
        r = fn(ctx, &m);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

int weir_sq_each_effect(struct weir_store *base, weir_effect_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_EFFECT, SQL_EACH_EFFECT, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read effects", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_effect_row row = {.seq = sc_u(&c)};
        row.number = sc_u32(&c);
        row.kind = (uint8_t)sc_u32(&c);
        row.lease.v = sc_u(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

int weir_sq_each_token(struct weir_store *base, weir_token_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_TOKEN, SQL_EACH_TOKEN, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read tokens", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_token_row row = {0};
        sc_copy(&c, row.hash, sizeof row.hash);
        row.name = sc_s(&c);
        row.role = sc_s(&c);
        row.user = sc_s(&c);
        row.lease.v = sc_u(&c);
        row.expires = sc_wall(&c);
        row.created = sc_wall(&c);
        row.created_by = sc_s(&c);
        row.projects = sc_s(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

int weir_sq_each_runtime(struct weir_store *base, weir_runtime_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_RUNTIME, SQL_EACH_RUNTIME, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read run times", err)) > 0) {
        struct sq_col c = {st, 0};
        uint64_t key = sc_u(&c);
        struct weir_runtime_history h = {.n = sc_u32(&c)};
        h.filled = sc_u32(&c);
        (void)sq_ints_read(sc_s(&c), h.us, WEIR_RUNTIME_KEEP);
        r = fn(ctx, key, &h);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

int weir_sq_each_posting(struct weir_store *base, uint64_t after_id, weir_posting_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_EACH_POSTING, SQL_EACH_POSTING, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, after_id);
    while ((r = sq_row(s, b.st, "read postings", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_posting p = {.id = sc_u(&c)};
        p.at = sc_wall(&c);
        p.from = sc_wall(&c);
        p.to = sc_wall(&c);
        p.node.v = sc_u(&c);
        p.lease.v = sc_u(&c);
        p.pool.v = sc_u32(&c);
        p.debit = (uint8_t)sc_u32(&c);
        p.credit = (uint8_t)sc_u32(&c);
        p.modelled = sc_i(&c) != 0;
        p.amount_micro = sc_i(&c);
        p.gpu_us = sc_u(&c);
        p.project.v = sc_u32(&c);
        p.user.v = sc_u32(&c);
        p.run.task.job.v = sc_u(&c);
        p.run.task.ordinal = sc_u32(&c);
        p.run.attempt = sc_u32(&c);
        p.correction = sc_u(&c);
        p.rule = sc_u(&c);
        sc_copy(&c, p.currency, sizeof p.currency);
        p.original_micro = sc_i(&c);
        sc_footprint(&c, &p);
        r = fn(ctx, &p);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}

int weir_sq_each_correction(struct weir_store *base, uint64_t after_id, weir_correction_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_EACH_CORRECTION, SQL_EACH_CORRECTION, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, after_id);
    while ((r = sq_row(s, b.st, "read corrections", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_correction_row row = {.id = sc_u(&c)};
        row.at = sc_wall(&c);
        row.kind = sc_s(&c);
        row.who = sc_s(&c);
        row.reason = sc_s(&c);
        row.micro = sc_i(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}

int weir_sq_each_invoice_line(struct weir_store *base,
                              struct weir_lease_id lease,
                              weir_invoice_line_row_fn *fn,
                              void *ctx,
                              struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_EACH_INVOICE_LINE, SQL_EACH_INVOICE_LINE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, lease.v);
    while ((r = sq_row(s, b.st, "read lines of bills", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_invoice_line_row row = {.lease = {sc_u(&c)}};
        row.line = sc_u(&c);
        row.from = sc_wall(&c);
        row.to = sc_wall(&c);
        row.nano = sc_i(&c);
        sc_copy(&c, row.currency, sizeof row.currency);
        row.original_nano = sc_i(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}

int weir_sq_each_total(struct weir_store *base, weir_total_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_TOTAL, SQL_EACH_TOTAL, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read totals", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_total_row row = {.project = sc_s(&c)};
        row.pool = sc_s(&c);
        row.account = (enum weir_account)sc_u32(&c);
        row.amount_micro = sc_i(&c);
        row.footprint.energy_mj = sc_i(&c);
        row.footprint.carbon_ug = sc_i(&c);
        row.footprint.unknown_micro = sc_i(&c);
        row.footprint.has_unknown = sc_i(&c) != 0;
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

int weir_sq_run_posted(struct weir_store *base,
                       struct weir_run_id run,
                       struct weir_node_id node,
                       struct weir_wall kept_until,
                       struct weir_run_posted *ret,
                       struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_RUN_POSTED, SQL_RUN_POSTED, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, run.task.job.v), sq_u(&b, run.task.ordinal), sq_u(&b, run.attempt), sq_u(&b, node.v);
    sq_i(&b, kept_until.us);
    r = sq_row(s, b.st, "read what was posted", err);
    if (r > 0) {
        struct sq_col c = {b.st, 0};
        ret->micro = sc_i(&c);
        ret->kept_micro = sc_i(&c);
        ret->until = sc_wall(&c);
        ret->lease.v = sc_u(&c);
        ret->pool.v = sc_u32(&c);
        r = 0;
    }
    (void)sqlite3_reset(b.st);
    return r;
}

int weir_sq_max_ids(struct weir_store *base,
                    uint64_t *job,
                    uint64_t *node,
                    uint64_t *lease,
                    uint64_t *hold,
                    uint64_t *posting,
                    uint64_t *event,
                    struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_MAX_IDS, SQL_MAX_IDS, &r, err);
    if (st == NULL) {
        return r;
    }
    r = sq_row(s, st, "read highest ids", err);
    if (r > 0) {
        struct sq_col c = {st, 0};
        *job = sc_u(&c);
        *node = sc_u(&c);
        *lease = sc_u(&c);
        *hold = sc_u(&c);
        *posting = sc_u(&c);
        *event = sc_u(&c);
        r = 0;
    }
    (void)sqlite3_reset(st);
    return r;
}
