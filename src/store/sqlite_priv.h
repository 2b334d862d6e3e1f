/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shared guts of the SQLite back end: the connection, its prepared statements, and the small verbs
 * that bind, run and read. Included by sqlite*.c only.
 *
 * A writer has one connection that may begin transactions. A statement that fails inside a transaction
 * marks it as failed: nothing more is written to it, and commit rolls it back and returns the first
 * failure. So a caller may put many rows and look at the result of commit only.
 */

#include <sqlite3.h>

#include "base/map.h"
#include "base/vec.h"
#include "store/store_priv.h"

enum { WEIR_SQLITE_APPLICATION_ID = 0x57656972 }; /* "Weir" */

/* Slots of statements that are prepared once per connection, at first use. */
enum sq_slot {
    SQ_BEGIN,
    SQ_COMMIT,
    SQ_ROLLBACK,
    SQ_PUT_META,
    SQ_PUT_PROJECT,
    SQ_PUT_USER,
    SQ_PUT_POOL,
    SQ_PUT_PAYER,
    SQ_PUT_BUDGET,
    SQ_DELETE_BUDGET,
    SQ_PUT_QUOTA,
    SQ_DELETE_QUOTA,
    SQ_PUT_SHAPE,
    SQ_MARK_SHAPE,
    SQ_PUT_JOB,
    SQ_PUT_JOB_TEXT,
    SQ_UPDATE_JOB,
    SQ_PUT_TASK,
    SQ_PUT_NODE,
    SQ_PUT_LEASE,
    SQ_PUT_HOLD,
    SQ_PUT_POSTING,
    SQ_LAST_PAGE,
    SQ_PAGE_ROWS,
    SQ_PUT_PAGE,
    SQ_EACH_PAGE,
    SQ_ADD_JOB_COST,
    SQ_ADD_TASK_COST,
    SQ_ADD_TOTAL,
    SQ_PUT_CORRECTION,
    SQ_PUT_INVOICE_LINE,
    SQ_PUT_CLOSE,
    SQ_PUT_RULE,
    SQ_PUT_LEASE_PRICE,
    SQ_PUT_METER,
    SQ_DELETE_METER,
    SQ_PUT_EXPLAIN,
    SQ_PUT_EVENT,
    SQ_PUT_EFFECT,
    SQ_DONE_EFFECT,
    SQ_PUT_TOKEN,
    SQ_DELETE_TOKEN,
    SQ_PUT_ACCESS,
    SQ_DELETE_ACCESS,
    SQ_PUT_AUDIT,
    SQ_PUT_RUNTIME,
    SQ_PRUNE_EVENTS,
    SQ_PRUNE_AUDITS,
    SQ_PRUNE_EXPLAINS,
    SQ_PRUNE_HOLDS,
    SQ_GET_META,
    SQ_EACH_PROJECT,
    SQ_EACH_USER,
    SQ_EACH_POOL,
    SQ_EACH_PAYER,
    SQ_EACH_BUDGET,
    SQ_EACH_QUOTA,
    SQ_EACH_SHAPE,
    SQ_LIVE_WAITING,
    SQ_LIVE_RUNNING,
    SQ_LIVE_WAITING_IDS,
    SQ_LIVE_RUNNING_IDS,
    SQ_LIVE_TASKS,
    SQ_EACH_NODE,
    SQ_EACH_LEASE,
    SQ_EACH_HOLD,
    SQ_EACH_HOLD_ALL,
    SQ_EACH_METER,
    SQ_EACH_EFFECT,
    SQ_EACH_TOKEN,
    SQ_EACH_ACCESS,
    SQ_EACH_DOCUMENT,
    SQ_PUT_DOCUMENT,
    SQ_DELETE_DOCUMENT,
    SQ_EACH_RUNTIME,
    SQ_EACH_POSTING,
    SQ_EACH_CORRECTION,
    SQ_EACH_INVOICE_LINE,
    SQ_EACH_CLOSE,
    SQ_EACH_RULE,
    SQ_EACH_LEASE_PRICE,
    SQ_GET_LEASE,
    SQ_EACH_TOTAL,
    SQ_RUN_POSTED,
    SQ_MAX_IDS,
    SQ_GET_JOB,
    SQ_GET_TASK,
    SQ_LIST_TASKS,
    SQ_COUNT_NODES,
    SQ_LIST_EVENTS,
    SQ_LIST_EVENTS_JOB,
    SQ_LIST_EVENTS_WITHIN,
    SQ_LIST_AUDIT,
    SQ_FIRST_EVENT,
    SQ_EXPLAINS_TASK,
    SQ_EXPLAINS_JOB,
    SQ_BILL_ALL,
    SQ_BILL_JOB,
    SQ_JOB_TAG,
    SQ_BILL_FIRST,
    SQ_BILL_LAST,
    SQ_PROJECT_NAME,
    SQ_USER_NAME,
    SQ_POOL_NAME,
    SQ_NODE_NAME,
    SQ_NODE_MODEL,
    SQ_PROJECT_ID,
    SQ_USER_ID,
    SQ_SLOT_MAX,
};

/* What the postings of a transaction add to a use account; applied at commit. */
struct sq_total {
    uint32_t project;
    uint32_t pool;
    uint8_t account;
    int64_t micro;
    struct weir_footprint footprint;
};

struct sq_store {
    struct weir_store base;
    sqlite3 *db;
    sqlite3_stmt *stmt[SQ_SLOT_MAX];
    char *path;
    char *vfs; /* NULL: the default */
    int lock_fd; /* the writer's; -1 for readers */
    bool writer;
    bool in_tx;
    int tx_failed; /* first failure inside the open transaction, 0 where none */
    struct weir_err tx_err;
    WEIR_VEC(struct weir_task_sum) cost; /* what they add to tasks; likewise */
    WEIR_VEC(struct sq_total) total;
    struct weir_map total_at; /* project, pool and account -> index in total */
    uint64_t n_postings;      /* put by the transaction */
    uint64_t newest_posting;
    uint64_t paged; /* the last posting that is in a page, as the transaction has it; UINT64_MAX: not known */
};

static inline struct sq_store *sq_of(struct weir_store *s)
{
    return (struct sq_store *)(void *)s;
}

/* Numbered migrations: [i] leads from version i to i + 1; statements up to a NULL. */
extern const char *const *const weir_sqlite_migrations[];

/* Turns a SQLite result into an error that names the database and what was being done. */
int sq_fail(struct sq_store *s, int rc, const char *what, struct weir_err *err);
/* The statement of a slot, reset and without bindings; NULL on failure, and then *ret_r is the error. */
sqlite3_stmt *sq_stmt(struct sq_store *s, enum sq_slot slot, const char *sql, int *ret_r, struct weir_err *err);
/* As sq_stmt, for a statement that writes: needs an open transaction that has not failed. */
sqlite3_stmt *sq_write_stmt(struct sq_store *s, enum sq_slot slot, const char *sql, int *ret_r, struct weir_err *err);
/* Runs a writing statement to its end and resets it. */
int sq_run(struct sq_store *s, sqlite3_stmt *st, const char *what, struct weir_err *err);
/* One step of a reading statement: 1 where there is a row, 0 at the end, < 0 on error. */
int sq_row(struct sq_store *s, sqlite3_stmt *st, const char *what, struct weir_err *err);

/* Binds parameters one after another. */
struct sq_bind {
    sqlite3_stmt *st;
    int i;
};

static inline void sq_i(struct sq_bind *b, int64_t v)
{
    (void)sqlite3_bind_int64(b->st, ++b->i, v);
}

static inline void sq_i_or_null(struct sq_bind *b, int64_t v, bool is_null)
{
    b->i++;
    (void)(is_null ? sqlite3_bind_null(b->st, b->i) : sqlite3_bind_int64(b->st, b->i, v));
}

static inline void sq_u(struct sq_bind *b, uint64_t v)
{
    /* ids stay below 2^63; hashes come back as they were through the same cast */
    (void)sqlite3_bind_int64(b->st, ++b->i, (int64_t)v);
}

/* Borrowed until the statement is reset. */
static inline void sq_s(struct sq_bind *b, const char *v)
{
    (void)sqlite3_bind_text(b->st, ++b->i, v == NULL ? "" : v, -1, SQLITE_STATIC);
}

static inline void sq_null(struct sq_bind *b)
{
    (void)sqlite3_bind_null(b->st, ++b->i);
}

/* Reads columns one after another. */
struct sq_col {
    sqlite3_stmt *st;
    int i;
};

static inline int64_t sc_i(struct sq_col *c)
{
    return sqlite3_column_int64(c->st, c->i++);
}

static inline uint64_t sc_u(struct sq_col *c)
{
    return (uint64_t)sqlite3_column_int64(c->st, c->i++);
}

static inline uint32_t sc_u32(struct sq_col *c)
{
    return (uint32_t)sqlite3_column_int64(c->st, c->i++);
}

static inline struct weir_wall sc_wall(struct sq_col *c)
{
    return (struct weir_wall){sc_i(c)};
}

/* energy_mj, carbon_ug. What was posted before they were known has NULL. */
static inline void sc_footprint(struct sq_col *c, struct weir_posting *ret)
{
    ret->energy_mj = sc_i(c);
    ret->carbon_unknown = sqlite3_column_type(c->st, c->i) == SQLITE_NULL;
    ret->carbon_ug = sc_i(c);
}

/* A posting as far as bills read it: id, from_us, to_us, node, pool, debit, credit, amount_micro, gpu_us, project, user, job,
 * lease, rule, energy_mj, carbon_ug. */
static inline struct weir_posting sc_bill_posting(struct sq_col *c)
{
    struct weir_posting p = {.id = sc_u(c)};
    p.from = sc_wall(c);
    p.to = sc_wall(c);
    p.node.v = sc_u(c);
    p.pool.v = sc_u32(c);
    p.debit = (uint8_t)sc_u32(c);
    p.credit = (uint8_t)sc_u32(c);
    p.amount_micro = sc_i(c);
    p.gpu_us = sc_u(c);
    p.project.v = sc_u32(c);
    p.user.v = sc_u32(c);
    p.run.task.job.v = sc_u(c);
    p.lease.v = sc_u(c);
    p.rule = sc_u(c);
    sc_footprint(c, &p);
    return p;
}

/* Never NULL; borrowed until the next step. */
static inline const char *sc_s(struct sq_col *c)
{
    const char *p = (const char *)sqlite3_column_text(c->st, c->i++);
    return p == NULL ? "" : p;
}

/* Copies a text column into a fixed field; what is too long is cut. */
void sc_copy(struct sq_col *c, char *buf, size_t size);
/* Reads a JSON array of integers "[1,2,3]" of at most max entries; returns how many there are. */
size_t sq_ints_read(const char *text, int64_t *ret, size_t max);
/* Writes one. */
void sq_ints_write(struct weir_str *out, const int64_t *v, size_t n);

/* ---- the operations; contracts in store.h ---- */

int weir_sq_reader(struct weir_store *base, struct weir_store **ret, struct weir_err *err);
void weir_sq_close(struct weir_store *base);
int weir_sq_begin(struct weir_store *base, struct weir_err *err);
int weir_sq_commit(struct weir_store *base, struct weir_err *err);
void weir_sq_rollback(struct weir_store *base);

int weir_sq_put_meta(struct weir_store *base, const char *key, const char *value, struct weir_err *err);
int weir_sq_put_project(struct weir_store *base, const struct weir_project_row *r, struct weir_err *err);
int weir_sq_put_user(struct weir_store *base, const struct weir_name_row *r, struct weir_err *err);
int weir_sq_put_pool(struct weir_store *base, const struct weir_name_row *r, struct weir_err *err);
/* sqlite_close.c */
int weir_sq_put_close(struct weir_store *base, const struct weir_close_row *row, struct weir_err *err);
int weir_sq_each_close(struct weir_store *base, weir_close_row_fn *fn, void *ctx, struct weir_err *err);

/* sqlite_price.c */
int weir_sq_put_lease_price(struct weir_store *base, const struct weir_lease_price_row *row, struct weir_err *err);
int weir_sq_get_lease(struct weir_store *base, struct weir_lease_id id, weir_lease_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_lease_price(struct weir_store *base, struct weir_lease_id lease, uint64_t number, weir_lease_price_row_fn *fn, void *ctx, struct weir_err *err);

/* sqlite_rule.c */
int weir_sq_put_rule(struct weir_store *base, const struct weir_rule_row *row, struct weir_err *err);
int weir_sq_each_rule(struct weir_store *base, weir_rule_row_fn *fn, void *ctx, struct weir_err *err);

/* sqlite_budget.c */
int weir_sq_put_payer(struct weir_store *base, const struct weir_payer_view *v, struct weir_err *err);
int weir_sq_put_budget(struct weir_store *base, const struct weir_budget_view *v, struct weir_err *err);
int weir_sq_delete_budget(struct weir_store *base, struct weir_budget_id id, struct weir_err *err);
int weir_sq_each_payer(struct weir_store *base, weir_payer_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_budget(struct weir_store *base, weir_budget_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_put_quota(struct weir_store *base, const struct weir_quota_row *row, struct weir_err *err);
int weir_sq_delete_quota(struct weir_store *base, struct weir_quota_id id, struct weir_err *err);
int weir_sq_each_quota(struct weir_store *base, weir_quota_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_put_shape(struct weir_store *base, uint32_t shape, const char *json, struct weir_err *err);
int weir_sq_mark_shape(struct weir_store *base, uint32_t shape, bool impossible, struct weir_err *err);
int weir_sq_put_job(struct weir_store *base, const struct weir_job_row *r, struct weir_err *err);
int weir_sq_update_job(struct weir_store *base, const struct weir_job_view *v, struct weir_err *err);
int weir_sq_put_task(struct weir_store *base, const struct weir_task_row *r, struct weir_err *err);
int weir_sq_put_node(struct weir_store *base, const struct weir_node_row *r, struct weir_err *err);
int weir_sq_put_lease(struct weir_store *base, const struct weir_lease_row *r, struct weir_err *err);
int weir_sq_put_hold(struct weir_store *base, const struct weir_hold_view *v, struct weir_err *err);
int weir_sq_put_posting(struct weir_store *base, const struct weir_posting *p, struct weir_err *err);
/* Adds what put_posting collected; called by commit inside the transaction. */
int weir_sq_apply_costs(struct sq_store *s, struct weir_err *err);
/* Forgets it; called at the transaction's begin and end. */
void weir_sq_forget_costs(struct sq_store *s);
int weir_sq_put_correction(struct weir_store *base, const struct weir_correction_row *r, struct weir_err *err);
int weir_sq_put_invoice_line(struct weir_store *base, const struct weir_invoice_line_row *r, struct weir_err *err);
int weir_sq_put_meter(struct weir_store *base, const struct weir_meter *m, struct weir_err *err);
int weir_sq_put_explain(struct weir_store *base, const struct weir_explain_row *r, struct weir_err *err);
int weir_sq_put_event(struct weir_store *base, const struct weir_event_row *r, struct weir_err *err);
int weir_sq_put_effect(struct weir_store *base, const struct weir_effect_row *r, struct weir_err *err);
int weir_sq_done_effect(struct weir_store *base, uint64_t seq, uint32_t number, struct weir_err *err);
int weir_sq_put_token(struct weir_store *base, const struct weir_token_row *r, struct weir_err *err);
int weir_sq_delete_token(struct weir_store *base, const char *hash, struct weir_err *err);
int weir_sq_put_access(struct weir_store *base, const struct weir_access_row *r, struct weir_err *err);
int weir_sq_delete_access(struct weir_store *base, const char *user, struct weir_err *err);
int weir_sq_put_document(struct weir_store *base, const struct weir_document_row *r, struct weir_err *err);
int weir_sq_delete_document(struct weir_store *base, const char *kind, const char *name, struct weir_err *err);
int weir_sq_put_audit(struct weir_store *base, const struct weir_audit_row *r, struct weir_err *err);
int weir_sq_put_runtime(struct weir_store *base, uint64_t key, const struct weir_runtime_history *h, struct weir_err *err);
int weir_sq_prune(struct weir_store *base, const struct weir_prune *p, uint32_t *ret_removed, struct weir_err *err);

int weir_sq_get_meta(struct weir_store *base, const char *key, char *buf, size_t size, struct weir_err *err);
int weir_sq_each_project(struct weir_store *base, weir_project_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_user(struct weir_store *base, weir_name_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_pool(struct weir_store *base, weir_name_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_shape(struct weir_store *base, weir_shape_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_live_job(struct weir_store *base, weir_job_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_live_task(struct weir_store *base, weir_task_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_node(struct weir_store *base, bool gone_too, weir_node_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_lease(struct weir_store *base, bool ended_too, weir_lease_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_hold(struct weir_store *base, bool released_too, weir_hold_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_meter(struct weir_store *base, weir_meter_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_effect(struct weir_store *base, weir_effect_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_token(struct weir_store *base, weir_token_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_access(struct weir_store *base, weir_access_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_document(struct weir_store *base, const char *kind, weir_document_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_runtime(struct weir_store *base, weir_runtime_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_posting(struct weir_store *base, uint64_t after_id, weir_posting_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_billed(struct weir_store *base, struct weir_wall from, weir_posting_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_correction(struct weir_store *base, uint64_t after_id, weir_correction_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_each_invoice_line(struct weir_store *base,
                              struct weir_lease_id lease,
                              weir_invoice_line_row_fn *fn,
                              void *ctx,
                              struct weir_err *err);
int weir_sq_first_posting(struct weir_store *base, struct weir_wall t, uint64_t *ret, struct weir_err *err);
int weir_sq_each_total(struct weir_store *base, weir_total_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_run_posted(struct weir_store *base,
                       struct weir_run_id run,
                       struct weir_node_id node,
                       struct weir_wall kept_until,
                       struct weir_run_posted *ret,
                       struct weir_err *err);
int weir_sq_max_ids(struct weir_store *base,
                    uint64_t *job,
                    uint64_t *node,
                    uint64_t *lease,
                    uint64_t *hold,
                    uint64_t *posting,
                    uint64_t *event,
                    struct weir_err *err);

int weir_sq_get_job(struct weir_store *base, struct weir_job_id id, weir_job_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_get_task(struct weir_store *base, struct weir_task_id id, weir_task_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_list_jobs(struct weir_store *base, const struct weir_job_filter *f, weir_job_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_list_tasks(struct weir_store *base, const struct weir_task_filter *f, weir_task_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_count_nodes(struct weir_store *base, struct weir_job_id job, struct weir_node_id beside, uint32_t limit, uint32_t *ret,
                        struct weir_err *err);
int weir_sq_list_events(struct weir_store *base, const struct weir_event_filter *f, uint64_t *ret_seen, bool *ret_more,
                        weir_event_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_list_audit(struct weir_store *base, const struct weir_audit_filter *f, weir_audit_row_fn *fn, void *ctx, struct weir_err *err);
int weir_sq_first_event(struct weir_store *base, uint64_t *ret, struct weir_err *err);
int weir_sq_list_explains(struct weir_store *base, struct weir_task_id task, uint32_t limit,
                          weir_explain_row_fn *fn, void *ctx, struct weir_err *err);
/* sqlite_page.c: makes pages of what the transaction has filled; before its commit. */
int weir_sq_put_pages(struct sq_store *s, struct weir_err *err);
/*
 * Gives fn the postings of pages from the one that holds the first posting on, as far as bills read them, without the pages of
 * which all is for a time after to. *ret_last is the last posting that is in any page: those behind it are read as rows.
 */
int weir_sq_scan_pages(struct sq_store *s, uint64_t first, struct weir_wall to, weir_posting_row_fn *fn, void *ctx, uint64_t *ret_last,
                       struct weir_err *err);
int weir_sq_prove_pages(struct weir_store *base, uint64_t after, uint64_t *ret_last, struct weir_err *err);
int weir_sq_bill(struct weir_store *base, const struct weir_bill_filter *f, const enum weir_bill_by *by,
                 const char *const *tag, size_t n_by, weir_bill_row_fn *fn, void *ctx, struct weir_err *err);

/* Reads the columns of SQ_TASK_COLUMNS (see sqlite_read.c) from c on; gang arrays live in the given room. */
struct sq_gang {
    struct weir_node_id node[WEIR_GANG_NODES_MAX];
    uint32_t mask[WEIR_GANG_NODES_MAX];
    uint8_t state[WEIR_GANG_NODES_MAX];
};
void sq_read_job_view(struct sq_col *c, struct weir_job_view *v);
void sq_read_task_view(struct sq_col *c, struct weir_task_view *v, struct sq_gang *gang);

#define SQ_JOB_COLUMNS                                                                             \
    "job.id, job.project, job.user, job.shape, job.priority, job.n_tasks, job.parallel_max, "      \
    "job.state, job.waiting, job.starting, job.running, job.stopping, job.succeeded, job.failed, " \
    "job.cancelled, job.submitted_us, job.started_us, job.ended_us, job.deadline_us, "             \
    "job.cancel_asked, job.payer"
#define SQ_TASK_COLUMNS                                                                            \
    "task.job, task.ordinal, task.state, task.reason, task.attempt, task.failures, task.losses, "  \
    "task.node, task.gpu_mask, task.n_nodes, task.gang_nodes, task.gang_masks, task.lease, "       \
    "task.queued_us, task.placed_us, task.started_us, task.first_started_us, task.ended_us, "      \
    "task.checkpointed_us, task.hold, task.exit_code, task.signal, task.ranks_started, "           \
    "task.ranks_ended, task.gang_states, task.spent_micro"
