/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: queries for people. Lists run along an index and stop at their limit. */

#include "store/sqlite_priv.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "store/bill_agg.h"

enum { LIST_MAX = 1000 };

#define JOB_ROW_COLUMNS                                                                            \
    SQ_JOB_COLUMNS ", job.cost_micro, job.energy_mj, job.carbon_ug, job.carbon_unknown_micro, job.carbon_unknown, job.name," \
    " job_text.tags, job_text.spec, project.name, user.name, coalesce(shape.impossible, 0)"
#define JOB_ROW_JOINS                                                                              \
    " JOIN job_text ON job_text.id = job.id LEFT JOIN project ON project.id = job.project"         \
    " LEFT JOIN user ON user.id = job.user LEFT JOIN shape ON shape.id = job.shape"

static const char SQL_GET_JOB[] = "SELECT " JOB_ROW_COLUMNS " FROM job" JOB_ROW_JOINS " WHERE job.id = ?";

/* A list of jobs: the ids by one index with all filters and the limit, then the rows. */
static const char SQL_JOBS_HEAD[] = "SELECT " JOB_ROW_COLUMNS " FROM job" JOB_ROW_JOINS " WHERE job.id IN (";
static const char SQL_JOBS_ALL[] = "SELECT j.id FROM job AS j";
static const char SQL_JOBS_BY_PROJECT[] = "SELECT j.id FROM job AS j INDEXED BY job_by_project";
static const char SQL_JOBS_BY_USER[] = "SELECT j.id FROM job AS j INDEXED BY job_by_user";
static const char SQL_JOBS_BY_STATE[] = "SELECT j.id FROM job AS j INDEXED BY job_by_state";
static const char SQL_JOBS_RANGE[] = " WHERE j.id >= ?1 AND j.id < ?2";
static const char SQL_JOBS_NAME[] = " AND j.name = ?5";
static const char SQL_JOBS_PROJECT[] = " AND j.project = ?3";
static const char SQL_JOBS_USER[] = " AND j.user = ?4";

#define TASK_ROW_COLUMNS SQ_TASK_COLUMNS ", task.text, task.cost_micro, node.name, pool.name, node.gpu_model"
#define TASK_ROW_JOINS                                                                             \
    " LEFT JOIN node ON node.id = task.node LEFT JOIN pool ON pool.id = node.pool"
static const char SQL_GET_TASK[] =
    "SELECT " TASK_ROW_COLUMNS " FROM task" TASK_ROW_JOINS " WHERE task.job = ? AND task.ordinal = ?";
static const char SQL_LIST_TASKS[] =
    "SELECT " TASK_ROW_COLUMNS " FROM task" TASK_ROW_JOINS
    " WHERE task.job = ?1 AND task.ordinal >= ?2 AND (?3 = 0 OR (?3 >> task.state) & 1)"
    " ORDER BY task.ordinal LIMIT ?4";
/* The inner one bounds what is read: a job may have a million tasks. */
static const char SQL_COUNT_NODES[] =
    "SELECT count(DISTINCT node) FROM (SELECT node FROM task WHERE job = ?1 ORDER BY ordinal LIMIT ?3) WHERE node NOT IN (0, ?2)";
static const char SQL_LIST_EVENTS[] =
    "SELECT id, at_us, kind, job, ordinal, node, lease, text FROM event WHERE id > ? ORDER BY id LIMIT ?";
static const char SQL_LIST_EVENTS_JOB[] =
    "SELECT id, at_us, kind, job, ordinal, node, lease, text FROM event INDEXED BY event_by_job"
    " WHERE job <> 0 AND job = ? AND id > ? ORDER BY id LIMIT ?";
static const char SQL_LIST_EVENTS_WITHIN[] =
    "SELECT e.id, at_us, kind, e.job, ordinal, node, lease, text, coalesce(job.project, 0) FROM event AS e"
    " LEFT JOIN job ON job.id = e.job WHERE e.id > ?1 AND (?2 = 0 OR e.job = ?2) ORDER BY e.id LIMIT ?3";
static const char SQL_FIRST_EVENT[] = "SELECT coalesce(min(id), 0) FROM event";
static const char SQL_EXPLAINS_TASK[] =
    "SELECT job, ordinal, seq, record FROM explain WHERE job = ? AND ordinal = ? ORDER BY id LIMIT ?";
static const char SQL_EXPLAINS_JOB[] =
    "SELECT job, ordinal, seq, record FROM explain WHERE job = ? ORDER BY id LIMIT ?";

#define BILL_COLUMNS                                                                               \
    "SELECT id, from_us, to_us, node, pool, debit, credit, amount_micro, gpu_us, project, user, job, lease, rule," \
    " energy_mj, carbon_ug FROM posting"
static const char SQL_BILL_ALL[] = BILL_COLUMNS " WHERE id >= ?1 AND id <= ?2";
static const char SQL_BILL_JOB[] = BILL_COLUMNS " INDEXED BY posting_by_task WHERE job <> 0 AND job = ?1";
static const char SQL_BILL_FIRST[] = "SELECT id, at_us FROM posting WHERE id >= ? ORDER BY id LIMIT 1";
static const char SQL_BILL_LAST[] = "SELECT coalesce(max(id), 0) FROM posting";
static const char SQL_JOB_TAG[] = "SELECT json_extract(tags, ?2) FROM job_text WHERE id = ?1";
static const char SQL_PROJECT_NAME[] = "SELECT name FROM project WHERE id = ?";
static const char SQL_USER_NAME[] = "SELECT name FROM user WHERE id = ?";
static const char SQL_POOL_NAME[] = "SELECT name FROM pool WHERE id = ?";
static const char SQL_NODE_NAME[] = "SELECT name FROM node WHERE id = ?";
static const char SQL_NODE_MODEL[] = "SELECT gpu_model FROM node WHERE id = ?";
static const char SQL_PROJECT_ID[] = "SELECT id FROM project WHERE name = ?";
static const char SQL_USER_ID[] = "SELECT id FROM user WHERE name = ?";

/* a bill with too many rows for memory; lives in a temporary file */
static const char SQL_SPILL_MAKE[] =
    "PRAGMA query_only = OFF; CREATE TEMP TABLE IF NOT EXISTS spill (k0 ANY, k1 ANY, k2 ANY, k3 ANY, s0 INTEGER,"
    " s1 INTEGER, s2 INTEGER, s3 INTEGER, s4 INTEGER, s5 INTEGER, s6 INTEGER, s7 INTEGER, s8 INTEGER,"
    " s9 INTEGER, s10 INTEGER, s11 INTEGER, s12 INTEGER, s13 INTEGER, s14 INTEGER, s15 INTEGER, s16 INTEGER, s17 INTEGER, PRIMARY KEY (k0, k1, k2, k3)) STRICT, WITHOUT ROWID; DELETE FROM spill";
static const char SQL_SPILL_ADD[] =
    "INSERT INTO temp.spill VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " s0 = s0 + excluded.s0, s1 = s1 + excluded.s1, s2 = s2 + excluded.s2, s3 = s3 + excluded.s3,"
    " s4 = s4 + excluded.s4, s5 = s5 + excluded.s5, s6 = s6 + excluded.s6, s7 = s7 + excluded.s7,"
    " s8 = s8 + excluded.s8, s9 = s9 + excluded.s9, s10 = s10 + excluded.s10,"
    " s11 = s11 + excluded.s11, s12 = s12 + excluded.s12, s13 = s13 + excluded.s13, s14 = s14 + excluded.s14, s15 = s15 + excluded.s15,"
    " s16 = s16 + excluded.s16, s17 = s17 + excluded.s17";
static const char SQL_SPILL_READ[] = "SELECT * FROM temp.spill ORDER BY k0, k1, k2, k3";
static const char SQL_SPILL_DROP[] = "DROP TABLE IF EXISTS temp.spill";

static uint32_t clamp_limit(uint32_t limit)
{
    return limit == 0 ? 1 : limit > LIST_MAX ? (uint32_t)LIST_MAX : limit;
}

/* ---- jobs ---- */

static int call_job(sqlite3_stmt *st, weir_job_row_fn *fn, void *ctx)
{
    struct sq_col c = {st, 0};
    struct weir_job_row row = {0};
    sq_read_job_view(&c, &row.view);
    row.cost_micro = sc_i(&c);
    row.footprint.energy_mj = sc_i(&c);
    row.footprint.carbon_ug = sc_i(&c);
    row.footprint.unknown_micro = sc_i(&c);
    row.footprint.has_unknown = sc_i(&c) != 0;
    row.name = sc_s(&c);
    row.tags_json = sc_s(&c);
    row.spec_json = sc_s(&c);
    row.project = sc_s(&c);
    row.user = sc_s(&c);
    row.impossible = sc_i(&c) != 0;
    return fn(ctx, &row);
}

int weir_sq_get_job(struct weir_store *base, struct weir_job_id id, weir_job_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_GET_JOB, SQL_GET_JOB, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, id.v);
    r = sq_row(s, b.st, "get job", err);
    if (r > 0) {
        r = call_job(b.st, fn, ctx);
    } else if (r == 0) {
        r = weir_fail(err, -WEIR_ENOTFOUND, "there is no job %" PRIu64, id.v);
    }
    (void)sqlite3_reset(b.st);
    return r;
}

/* The id of a name; 0 where there is none. */
static int id_of(struct sq_store *s, enum sq_slot slot, const char *sql, const char *name, uint64_t *ret, struct weir_err *err)
{
    int r = 0;
    struct sq_bind b = {sq_stmt(s, slot, sql, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_s(&b, name);
    r = sq_row(s, b.st, "find a name", err);
    *ret = r > 0 ? (uint64_t)sqlite3_column_int64(b.st, 0) : 0;
    (void)sqlite3_reset(b.st);
    return r < 0 ? r : 0;
}

/* One scan along an index; state < 0: by the mask; only 0: of every project that the filter lets through. */
static void add_job_scan(struct weir_str *q, const struct weir_job_filter *f, const char *from, int state, struct weir_project_id only)
{
    weir_str_addf(q, "SELECT * FROM (%s%s", from, SQL_JOBS_RANGE);
    if (f->name != NULL) {
        weir_str_adds(q, SQL_JOBS_NAME);
    }
    if (f->project != NULL) {
        weir_str_adds(q, SQL_JOBS_PROJECT);
    }
    if (f->user != NULL) {
        weir_str_adds(q, SQL_JOBS_USER);
    }
    if (only.v != 0) {
        weir_str_addf(q, " AND j.project = %" PRIu32, only.v);
    } else if (f->within != NULL && f->project == NULL) {
        weir_str_adds(q, " AND j.project IN (0");
        for (size_t i = 0; i < f->within->n; i++) {
            weir_str_addf(q, ", %" PRIu32, f->within->id[i].v);
        }
        weir_str_addc(q, ')');
    }
    if (state >= 0) {
        weir_str_addf(q, " AND j.state = %d", state);
    } else if (f->states != 0) {
        weir_str_adds(q, " AND j.state IN (-1");
        for (int i = 0; i < WEIR_JOB_STATE_MAX; i++) {
            if (f->states & 1U << i) {
                weir_str_addf(q, ", %d", i);
            }
        }
        weir_str_addc(q, ')');
    }
    weir_str_addf(q, " ORDER BY j.id %s LIMIT ?6)", f->from != 0 ? "ASC" : "DESC");
}

/*
 * Most jobs have succeeded, sooner or later. So a list of other states goes along the index by state, one
 * scan per state; a list that has them in goes along the narrowest other index and filters. What a caller may see goes along the
 * index by project, one scan each.
 */
static void build_list(struct weir_str *q, const struct weir_job_filter *f)
{
    const struct weir_project_id any = {0};
    weir_str_adds(q, SQL_JOBS_HEAD);
    if (f->states != 0 && !(f->states & 1U << WEIR_JOB_SUCCEEDED)) {
        const char *glue = "";
        for (int i = 0; i < WEIR_JOB_STATE_MAX; i++) {
            if (f->states & 1U << i) {
                weir_str_adds(q, glue);
                add_job_scan(q, f, SQL_JOBS_BY_STATE, i, any);
                glue = " UNION ALL ";
            }
        }
    } else if (f->project != NULL) {
        add_job_scan(q, f, SQL_JOBS_BY_PROJECT, -1, any);
    } else if (f->user != NULL) {
        add_job_scan(q, f, SQL_JOBS_BY_USER, -1, any);
    } else if (f->within != NULL) {
        for (size_t i = 0; i < f->within->n; i++) {
            weir_str_adds(q, i == 0 ? "" : " UNION ALL ");
            add_job_scan(q, f, SQL_JOBS_BY_PROJECT, -1, f->within->id[i]);
        }
    } else {
        add_job_scan(q, f, SQL_JOBS_ALL, -1, any);
    }
    weir_str_addf(q, ") ORDER BY job.id %s LIMIT ?6", f->from != 0 ? "ASC" : "DESC");
}

int weir_sq_list_jobs(struct weir_store *base, const struct weir_job_filter *f, weir_job_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    uint64_t project = 0;
    uint64_t user = 0;
    int r = 0;
    if (f->project != NULL) {
        r = id_of(s, SQ_PROJECT_ID, SQL_PROJECT_ID, f->project, &project, err);
    }
    if (r == 0 && f->user != NULL) {
        r = id_of(s, SQ_USER_ID, SQL_USER_ID, f->user, &user, err);
    }
    uint32_t known = (1U << WEIR_JOB_STATE_MAX) - 1;
    if (r < 0 || (f->project != NULL && project == 0) || (f->user != NULL && user == 0) ||
        (f->states != 0 && (f->states & known) == 0) || (f->within != NULL && f->within->n == 0) ||
        (project != 0 && !weir_project_set_has(f->within, (struct weir_project_id){(uint32_t)project}))) {
        return r;
    }
    WEIR_ASSERT(f->within == NULL || f->within->n <= WEIR_PROJECT_SET_MAX);
    WEIR_CLEANUP(weir_str_release) struct weir_str q = WEIR_STR_INIT(131072);
    build_list(&q, f);
    WEIR_ASSERT(!q.overflowed);
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, weir_str_cstr(&q), -1, &st, NULL);
    if (rc != SQLITE_OK) {
        return sq_fail(s, rc, "list jobs", err);
    }
    (void)sqlite3_bind_int64(st, 1, (int64_t)f->from);
    (void)sqlite3_bind_int64(st, 2, f->before == 0 || f->before > INT64_MAX ? INT64_MAX : (int64_t)f->before);
    if (f->project != NULL) {
        (void)sqlite3_bind_int64(st, 3, (int64_t)project);
    }
    if (f->user != NULL) {
        (void)sqlite3_bind_int64(st, 4, (int64_t)user);
    }
    if (f->name != NULL) {
        (void)sqlite3_bind_text(st, 5, f->name, -1, SQLITE_STATIC);
    }
    (void)sqlite3_bind_int64(st, 6, clamp_limit(f->limit));
    while ((r = sq_row(s, st, "list jobs", err)) > 0) {
        r = call_job(st, fn, ctx);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_finalize(st);
    return r;
}

/* ---- tasks, events, explains ---- */

static int call_task(sqlite3_stmt *st, weir_task_row_fn *fn, void *ctx)
{
    struct sq_col c = {st, 0};
    struct sq_gang gang;
    struct weir_task_row row = {0};
    sq_read_task_view(&c, &row.view, &gang);
    row.text = sc_s(&c);
    row.cost_micro = sc_i(&c);
    row.node_name = sc_s(&c);
    row.pool = sc_s(&c);
    row.gpu_model = sc_s(&c);
    return fn(ctx, &row);
}

int weir_sq_get_task(struct weir_store *base, struct weir_task_id id, weir_task_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_GET_TASK, SQL_GET_TASK, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, id.job.v), sq_u(&b, id.ordinal);
    r = sq_row(s, b.st, "get task", err);
    if (r > 0) {
        r = call_task(b.st, fn, ctx);
    } else if (r == 0) {
        r = weir_fail(err, -WEIR_ENOTFOUND, "there is no row of task %" PRIu32 " of job %" PRIu64, id.ordinal, id.job.v);
    }
    (void)sqlite3_reset(b.st);
    return r;
}

int weir_sq_list_tasks(struct weir_store *base, const struct weir_task_filter *f, weir_task_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_LIST_TASKS, SQL_LIST_TASKS, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, f->job.v), sq_u(&b, f->from_ordinal), sq_u(&b, f->states), sq_u(&b, clamp_limit(f->limit));
    while ((r = sq_row(s, b.st, "list tasks", err)) > 0) {
        r = call_task(b.st, fn, ctx);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}

int weir_sq_count_nodes(struct weir_store *base, struct weir_job_id job, struct weir_node_id beside, uint32_t limit, uint32_t *ret,
                        struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_COUNT_NODES, SQL_COUNT_NODES, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, job.v), sq_u(&b, beside.v), sq_u(&b, clamp_limit(limit));
    r = sq_row(s, b.st, "count nodes", err);
    if (r > 0) {
        struct sq_col c = {b.st, 0};
        *ret = sc_u32(&c);
        r = 0;
    }
    (void)sqlite3_reset(b.st);
    return r;
}

/* The statement for the filter with its values bound; NULL: *ret_r. */
static sqlite3_stmt *events_stmt(struct sq_store *s, const struct weir_event_filter *f, uint32_t limit, int *ret_r, struct weir_err *err)
{
    struct sq_bind b = {f->within != NULL ? sq_stmt(s, SQ_LIST_EVENTS_WITHIN, SQL_LIST_EVENTS_WITHIN, ret_r, err)
                        : f->job.v != 0   ? sq_stmt(s, SQ_LIST_EVENTS_JOB, SQL_LIST_EVENTS_JOB, ret_r, err)
                                          : sq_stmt(s, SQ_LIST_EVENTS, SQL_LIST_EVENTS, ret_r, err),
                        0};
    if (b.st == NULL) {
        return NULL;
    }
    if (f->within != NULL) {
        sq_u(&b, f->after), sq_u(&b, f->job.v), sq_u(&b, WEIR_EVENT_SCAN_MAX);
        return b.st;
    }
    if (f->job.v != 0) {
        sq_u(&b, f->job.v);
    }
    sq_u(&b, f->after), sq_u(&b, limit);
    return b.st;
}

int weir_sq_list_events(struct weir_store *base, const struct weir_event_filter *f, uint64_t *ret_seen, bool *ret_more,
                        weir_event_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    uint32_t limit = clamp_limit(f->limit);
    uint32_t n = 0;
    uint32_t seen = 0;
    sqlite3_stmt *st = events_stmt(s, f, limit, &r, err);
    if (st == NULL) {
        return r;
    }
    while (n < limit && (r = sq_row(s, st, "list events", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_event_row row = {.id = sc_u(&c)};
        row.at = sc_wall(&c);
        row.kind = sc_s(&c);
        row.job.v = sc_u(&c);
        row.ordinal = sc_u32(&c);
        row.node.v = sc_u(&c);
        row.lease.v = sc_u(&c);
        row.text = sc_s(&c);
        *ret_seen = row.id;
        seen++;
        if (f->within != NULL && !weir_project_set_has(f->within, (struct weir_project_id){sc_u32(&c)})) {
            continue;
        }
        n++;
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    *ret_more = n == limit || seen == WEIR_EVENT_SCAN_MAX;
    return r;
}

int weir_sq_first_event(struct weir_store *base, uint64_t *ret, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_FIRST_EVENT, SQL_FIRST_EVENT, &r, err);
    if (st == NULL) {
        return r;
    }
    r = sq_row(s, st, "read the first event", err);
    if (r > 0) {
        *ret = (uint64_t)sqlite3_column_int64(st, 0);
        r = 0;
    }
    (void)sqlite3_reset(st);
    return r;
}

int weir_sq_list_explains(struct weir_store *base, struct weir_task_id task, uint32_t limit,
                          weir_explain_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    bool whole_job = task.ordinal == (uint32_t)WEIR_ORDINAL_ALL;
    int r = 0;
    struct sq_bind b = {whole_job ? sq_stmt(s, SQ_EXPLAINS_JOB, SQL_EXPLAINS_JOB, &r, err)
                                  : sq_stmt(s, SQ_EXPLAINS_TASK, SQL_EXPLAINS_TASK, &r, err),
                        0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, task.job.v);
    if (!whole_job) {
        sq_u(&b, task.ordinal);
    }
    sq_u(&b, clamp_limit(limit));
    while ((r = sq_row(s, b.st, "list explains", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_explain_row row = {.task.job = {sc_u(&c)}};
        row.task.ordinal = sc_u32(&c);
        row.seq = sc_u(&c);
        row.json = sc_s(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}

/* ---- the bill ---- */

struct bill {
    struct sq_store *s;
    struct weir_str text;  /* of the last lookup */
    sqlite3_stmt *spill;   /* adds a row; NULL before the first */
    bool made_spill;
};

static int lookup(struct bill *b, enum sq_slot slot, const char *sql, uint64_t id, const char *path, const char **ret,
                  struct weir_err *err)
{
    int r = 0;
    struct sq_bind q = {sq_stmt(b->s, slot, sql, &r, err), 0};
    if (q.st == NULL) {
        return r;
    }
    sq_u(&q, id);
    if (path != NULL) {
        sq_s(&q, path);
    }
    r = sq_row(b->s, q.st, "look up a name", err);
    weir_str_clear(&b->text);
    if (r > 0) {
        struct sq_col c = {q.st, 0};
        weir_str_adds(&b->text, sc_s(&c));
    }
    (void)sqlite3_reset(q.st);
    *ret = weir_str_cstr(&b->text);
    return r < 0 ? r : 0;
}

static int bill_name(void *ctx, enum weir_agg_lookup kind, uint64_t id, const char **ret, struct weir_err *err)
{
    switch (kind) {
    case WEIR_AGG_PROJECT:
        return lookup(ctx, SQ_PROJECT_NAME, SQL_PROJECT_NAME, id, NULL, ret, err);
    case WEIR_AGG_USER:
        return lookup(ctx, SQ_USER_NAME, SQL_USER_NAME, id, NULL, ret, err);
    case WEIR_AGG_POOL:
        return lookup(ctx, SQ_POOL_NAME, SQL_POOL_NAME, id, NULL, ret, err);
    case WEIR_AGG_NODE:
        return lookup(ctx, SQ_NODE_NAME, SQL_NODE_NAME, id, NULL, ret, err);
    case WEIR_AGG_GPU_MODEL:
        return lookup(ctx, SQ_NODE_MODEL, SQL_NODE_MODEL, id, NULL, ret, err);
    case WEIR_AGG_LOOKUP_MAX:
        break;
    }
    WEIR_UNREACHABLE();
}

static int bill_tag(void *ctx, struct weir_job_id job, const char *tag, const char **ret, struct weir_err *err)
{
    /* a path into the object: $."name" */
    WEIR_CLEANUP(weir_str_release) struct weir_str path = WEIR_STR_INIT(4096);
    weir_str_addf(&path, "$.\"%s\"", tag);
    return lookup(ctx, SQ_JOB_TAG, SQL_JOB_TAG, job.v, weir_str_cstr(&path), ret, err);
}

static int bill_spill(void *ctx, const struct weir_agg_row *row, struct weir_err *err)
{
    struct bill *b = ctx;
    int rc = SQLITE_OK;
    if (!b->made_spill) {
        rc = sqlite3_exec(b->s->db, SQL_SPILL_MAKE, NULL, NULL, NULL);
        b->made_spill = true;
        if (rc == SQLITE_OK) {
            rc = sqlite3_prepare_v2(b->s->db, SQL_SPILL_ADD, -1, &b->spill, NULL);
        }
        if (rc != SQLITE_OK) {
            return sq_fail(b->s, rc, "bill", err);
        }
    }
    struct sq_bind q = {b->spill, 0};
    for (size_t i = 0; i < WEIR_BILL_KEYS_MAX; i++) {
        if (row->key[i].is_number) {
            sq_i(&q, row->key[i].number);
        } else {
            sq_s(&q, row->key[i].text);
        }
    }
    for (size_t i = 0; i < WEIR_AGG_SUMS; i++) {
        sq_i(&q, row->sum[i]);
    }
    return sq_run(b->s, b->spill, "bill", err);
}

static int emit_spilled(struct bill *b, const enum weir_bill_by *by, size_t n_by, weir_bill_row_fn *fn, void *ctx,
                        struct weir_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(b->s->db, SQL_SPILL_READ, -1, &st, NULL);
    if (rc != SQLITE_OK) {
        return sq_fail(b->s, rc, "bill", err);
    }
    int r;
    while ((r = sq_row(b->s, st, "bill", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_agg_row row = {0};
        for (size_t i = 0; i < WEIR_BILL_KEYS_MAX; i++) {
            row.key[i].is_number = sqlite3_column_type(st, (int)i) == SQLITE_INTEGER;
            row.key[i].number = sqlite3_column_int64(st, (int)i);
            row.key[i].text = row.key[i].is_number ? "" : (const char *)sqlite3_column_text(st, (int)i);
        }
        c.i = WEIR_BILL_KEYS_MAX;
        for (size_t i = 0; i < WEIR_AGG_SUMS; i++) {
            row.sum[i] = sc_i(&c);
        }
        r = weir_agg_emit_row(by, n_by, &row, fn, ctx);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_finalize(st);
    return r;
}

static void bill_release(struct bill *b)
{
    (void)sqlite3_finalize(b->spill);
    if (b->made_spill) {
        (void)sqlite3_exec(b->s->db, SQL_SPILL_DROP, NULL, NULL, NULL);
        if (!b->s->writer) {
            (void)sqlite3_exec(b->s->db, "PRAGMA query_only = ON", NULL, NULL, NULL);
        }
    }
    weir_str_release(&b->text);
}

/* Ids and times of making grow together, so it is found by halving. */
int weir_sq_first_posting(struct weir_store *base, struct weir_wall t, uint64_t *ret, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    uint64_t last = 0;
    int r = 0;
    sqlite3_stmt *newest = sq_stmt(s, SQ_BILL_LAST, SQL_BILL_LAST, &r, err);
    if (newest == NULL) {
        return r;
    }
    r = sq_row(s, newest, "last posting", err);
    if (r > 0) {
        last = (uint64_t)sqlite3_column_int64(newest, 0);
        r = 0;
    }
    (void)sqlite3_reset(newest);
    uint64_t lo = 0;
    uint64_t hi = last + 1; /* the answer is in lo..hi */
    while (r == 0 && lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        struct sq_bind b = {sq_stmt(s, SQ_BILL_FIRST, SQL_BILL_FIRST, &r, err), 0};
        if (b.st == NULL) {
            return r;
        }
        sq_u(&b, mid);
        r = sq_row(s, b.st, "bill", err);
        if (r > 0 && sqlite3_column_int64(b.st, 1) < t.us) {
            lo = (uint64_t)sqlite3_column_int64(b.st, 0) + 1;
        } else {
            hi = mid;
        }
        (void)sqlite3_reset(b.st);
        r = r < 0 ? r : 0;
    }
    *ret = lo;
    return r;
}

/* What of the ledger is asked for. */
struct bill_pass {
    struct weir_agg *agg;
    const struct weir_project_set *within;
    uint64_t project; /* 0: any */
    uint64_t user;
    struct weir_err *err;
};

static int bill_take(void *ctx, const struct weir_posting *p)
{
    const struct bill_pass *x = ctx;
    if ((x->project != 0 && p->project.v != x->project) || (x->user != 0 && p->user.v != x->user) || !weir_project_set_has(x->within, p->project)) {
        return 0;
    }
    return weir_agg_add(x->agg, p, x->err);
}

static int bill_rows(struct sq_store *s, struct sq_bind *b, weir_posting_row_fn *fn, void *ctx, struct weir_err *err)
{
    int r;
    while ((r = sq_row(s, b->st, "bill", err)) > 0) {
        struct sq_col c = {b->st, 0};
        struct weir_posting p = sc_bill_posting(&c);
        r = fn(ctx, &p);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b->st);
    return r;
}

static int bill_of_job(struct sq_store *s, struct weir_job_id job, struct bill_pass *x)
{
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_BILL_JOB, SQL_BILL_JOB, &r, x->err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, job.v);
    return bill_rows(s, &b, bill_take, x, x->err);
}

/* Full pages first, then what is not in a page yet. */
static int each_billed(struct sq_store *s, struct weir_wall from, struct weir_wall to, uint64_t last, weir_posting_row_fn *fn, void *ctx,
                       struct weir_err *err)
{
    uint64_t first = 0;
    uint64_t paged = 0;
    int r = weir_sq_first_posting(&s->base, from, &first, err);
    r = r != 0 ? r : weir_sq_scan_pages(s, first, to, fn, ctx, &paged, err);
    if (r != 0) {
        return r;
    }
    struct sq_bind b = {sq_stmt(s, SQ_BILL_ALL, SQL_BILL_ALL, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, first > paged ? first : paged + 1), sq_u(&b, last > INT64_MAX ? INT64_MAX : last);
    return bill_rows(s, &b, fn, ctx, err);
}

int weir_sq_each_billed(struct weir_store *base, struct weir_wall from, weir_posting_row_fn *fn, void *ctx, struct weir_err *err)
{
    return each_billed(sq_of(base), from, WEIR_WALL_MAX, UINT64_MAX, fn, ctx, err);
}

static int bill_scan(struct bill *b, struct weir_agg *agg, const struct weir_bill_filter *f, const struct weir_closes *closes, struct weir_err *err)
{
    struct sq_store *s = b->s;
    struct bill_pass x = {.agg = agg, .within = f->within, .err = err};
    int r = 0;
    if (f->project != NULL) {
        r = id_of(s, SQ_PROJECT_ID, SQL_PROJECT_ID, f->project, &x.project, err);
    }
    if (r == 0 && f->user != NULL) {
        r = id_of(s, SQ_USER_ID, SQL_USER_ID, f->user, &x.user, err);
    }
    if (r < 0 || (f->project != NULL && x.project == 0) || (f->user != NULL && x.user == 0)) {
        return r;
    }
    /* where all that is asked for is closed, nothing that came later is in it */
    return f->job.v != 0 ? bill_of_job(s, f->job, &x)
                         : each_billed(s, f->from, f->to, weir_closes_last(closes, f->to), bill_take, &x, err);
}

int weir_sq_bill(struct weir_store *base, const struct weir_bill_filter *f, const enum weir_bill_by *by,
                 const char *const *tag, size_t n_by, weir_bill_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct bill b = {.s = sq_of(base), .text = WEIR_STR_INIT(65536)};
    weir_close_vec closes = {0};
    struct weir_agg *agg = NULL;
    int r = weir_agg_read_closes(base, &closes, err);
    struct weir_agg_source source = {.ctx = &b, .name = bill_name, .tag = bill_tag, .spill = bill_spill, .closes = {closes.p, closes.n}};
    r = r < 0 ? r : weir_agg_new(&agg, f, by, tag, n_by, &source, err);
    if (r < 0) {
        weir_vec_release(&closes);
        return r;
    }
    r = bill_scan(&b, agg, f, &source.closes, err);
    if (r == 0 && weir_agg_spilled(agg)) {
        r = weir_agg_flush(agg, err);
        if (r == 0) {
            r = emit_spilled(&b, by, n_by, fn, ctx, err);
        }
    } else if (r == 0) {
        r = weir_agg_emit(agg, fn, ctx);
    }
    weir_agg_free(agg);
    weir_vec_release(&closes);
    bill_release(&b);
    return r;
}
