/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The in-memory back end: tables of rows that are never changed in place. A put makes a new row and keeps the one
 * it replaces until the commit, so that a rollback puts it back.
 *
 * One lock for all: a transaction holds it from begin to its end, a read for its own duration. So a reader in another thread
 * waits for the open transaction instead of seeing half of it. The lock is recursive: callbacks may read.
 */

#include <pthread.h>

#include "base/map.h"
#include "base/vec.h"
#include "store/store_priv.h"

struct mem_key {
    uint64_t a;
    uint64_t b;
};

struct mem_row {
    struct mem_key key;
    void *data; /* owned; NULL: deleted */
};

/* Rows found by key. Kept in order of arrival and sorted when somebody wants to scan. */
struct mem_table {
    WEIR_VEC(struct mem_row) rows;
    struct weir_map by_key; /* hash -> index; probed by the next hash */
    bool unsorted;
    size_t n_deleted;
};

enum mem_table_id {
    MEM_PROJECT,
    MEM_USER,
    MEM_POOL,
    MEM_PAYER,
    MEM_BUDGET,
    MEM_QUOTA,
    MEM_SHAPE,
    MEM_IMPOSSIBLE, /* shapes that are marked so */
    MEM_META,
    MEM_JOB,
    MEM_JOB_TEXT,
    MEM_TASK,
    MEM_NODE,
    MEM_LEASE,
    MEM_HOLD,
    MEM_METER,
    MEM_EFFECT,
    MEM_TOKEN,
    MEM_CORRECTION,
    MEM_INVOICE_LINE,
    MEM_LEASE_PRICE,
    MEM_CLOSE,
    MEM_RULE,
    MEM_RUNTIME,
    MEM_ACCESS,
    MEM_DOCUMENT,
    MEM_TABLES,
};

struct mem_job {
    struct weir_job_view view;
    int64_t cost_micro;
    struct weir_footprint footprint;
};

/* What is only ever added to. */
struct mem_explain {
    struct weir_explain_row row; /* json is owned */
};
struct mem_event {
    struct weir_event_row row; /* kind and text in one block, owned by kind */
};

struct mem_undo {
    enum mem_table_id table;
    struct mem_key key;
    void *data; /* what was there; NULL: nothing */
};

/* Shared by the writer and its readers; freed with the writer. */
struct mem_core {
    pthread_mutex_t lock;
    struct mem_table table[MEM_TABLES];
    WEIR_VEC(struct weir_posting) postings;
    WEIR_VEC(struct mem_explain) explains;
    WEIR_VEC(struct mem_event) events;
    WEIR_VEC(struct weir_audit_row *) audits; /* owned, with their texts */
    struct weir_interner strings; /* of keys that are text: meta, tokens, users, documents */
    /* the open transaction */
    bool in_tx;
    int tx_failed;
    struct weir_err tx_err;
    size_t n_postings;
    size_t n_explains;
    size_t n_events;
    size_t n_audits;
    size_t prune_events; /* from the front, at the commit */
    size_t prune_explains;
    size_t prune_audits;
    WEIR_VEC(struct mem_undo) undo;
    WEIR_VEC(struct weir_task_sum) cost;
};

struct mem_store {
    struct weir_store base;
    struct mem_core *core;
    bool writer;
};

static inline struct mem_core *mem_of(struct weir_store *s)
{
    return ((struct mem_store *)(void *)s)->core;
}

/* ---- tables ---- */

/* NULL where absent. Borrowed until the row is put again. */
void *mem_get(const struct mem_table *t, struct mem_key key);
/* Sorts; index 0..n-1 then are in order of key. Rows with data NULL are to be skipped. */
void mem_sort(struct mem_table *t);
/* The first index whose key is not below the given one, in a sorted table. */
size_t mem_lower(const struct mem_table *t, struct mem_key key);
/* Puts a row inside the transaction; takes data (NULL: deletes). */
void mem_put(struct mem_core *c, enum mem_table_id id, struct mem_key key, void *data);
/* A copy of a struct with the strings that it points to, in one block. offsets are those of its char pointers; NULL
 * becomes "". */
void *mem_copy(const void *fixed, size_t size, const size_t *offset, size_t n);

extern const struct weir_store_ops weir_mem_ops;

/* ---- writing: mem.c; reading: mem_read.c ---- */

int weir_mem_get_meta(struct weir_store *s, const char *key, char *buf, size_t size, struct weir_err *err);
int weir_mem_each_project(struct weir_store *s, weir_project_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_user(struct weir_store *s, weir_name_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_pool(struct weir_store *s, weir_name_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_payer(struct weir_store *s, weir_payer_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_budget(struct weir_store *s, weir_budget_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_quota(struct weir_store *s, weir_quota_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_shape(struct weir_store *s, weir_shape_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_live_job(struct weir_store *s, weir_job_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_live_task(struct weir_store *s, weir_task_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_node(struct weir_store *s, bool gone_too, weir_node_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_lease(struct weir_store *s, bool ended_too, weir_lease_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_hold(struct weir_store *s, bool released_too, weir_hold_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_meter(struct weir_store *s, weir_meter_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_effect(struct weir_store *s, weir_effect_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_token(struct weir_store *s, weir_token_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_access(struct weir_store *s, weir_access_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_document(struct weir_store *s, const char *kind, weir_document_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_runtime(struct weir_store *s, weir_runtime_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_correction(struct weir_store *s, uint64_t after_id, weir_correction_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_rule(struct weir_store *s, weir_rule_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_close(struct weir_store *s, weir_close_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_get_lease(struct weir_store *s, struct weir_lease_id id, weir_lease_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_lease_price(struct weir_store *s, struct weir_lease_id lease, uint64_t number, weir_lease_price_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_invoice_line(struct weir_store *s,
                               struct weir_lease_id lease,
                               weir_invoice_line_row_fn *fn,
                               void *ctx,
                               struct weir_err *err);
int weir_mem_first_posting(struct weir_store *s, struct weir_wall t, uint64_t *ret, struct weir_err *err);
int weir_mem_each_posting(struct weir_store *s, uint64_t after_id, weir_posting_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_billed(struct weir_store *s, struct weir_wall from, weir_posting_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_each_total(struct weir_store *s, weir_total_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_run_posted(struct weir_store *s, struct weir_run_id run, struct weir_node_id node, struct weir_wall kept_until,
                        struct weir_run_posted *ret, struct weir_err *err);
int weir_mem_max_ids(struct weir_store *s, uint64_t *job, uint64_t *node, uint64_t *lease, uint64_t *hold,
                     uint64_t *posting, uint64_t *event, struct weir_err *err);
int weir_mem_get_job(struct weir_store *s, struct weir_job_id id, weir_job_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_get_task(struct weir_store *s, struct weir_task_id id, weir_task_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_list_jobs(struct weir_store *s, const struct weir_job_filter *f, weir_job_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_list_tasks(struct weir_store *s, const struct weir_task_filter *f, weir_task_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_count_nodes(struct weir_store *s, struct weir_job_id job, struct weir_node_id beside, uint32_t limit, uint32_t *ret, struct weir_err *err);
int weir_mem_list_events(struct weir_store *s, const struct weir_event_filter *f, uint64_t *ret_seen, bool *ret_more,
                         weir_event_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_list_audit(struct weir_store *s, const struct weir_audit_filter *f, weir_audit_row_fn *fn, void *ctx, struct weir_err *err);
int weir_mem_first_event(struct weir_store *s, uint64_t *ret, struct weir_err *err);
int weir_mem_list_explains(struct weir_store *s, struct weir_task_id task, uint32_t limit, weir_explain_row_fn *fn,
                           void *ctx, struct weir_err *err);
int weir_mem_bill(struct weir_store *s, const struct weir_bill_filter *f, const enum weir_bill_by *by, const char *const *tag,
                  size_t n_by, weir_bill_row_fn *fn, void *ctx, struct weir_err *err);
