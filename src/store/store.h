/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The store: everything that must outlive the broker. One writer, any number of readers. The writer puts
 * rows into an open transaction and commits; nothing is acknowledged or sent before its commit
 * returned. Back ends: sqlite (file), mem (tests, simulation); both pass the same tests.
 *
 * Strings given to put_* are copied. Strings in rows handed to callbacks are borrowed for the call.
 * A write that fails spoils its transaction: later writes do nothing, and commit rolls back and returns the first failure, so
 * that it is enough to look at commit.
 * All functions: 0 or -WEIR_EIO, -WEIR_ENOSPACE (disk full: nothing of the transaction is kept, try again later),
 * -WEIR_ECORRUPT, -WEIR_ENOTFOUND where said.
 */

#include "base/err.h"
#include "base/zone.h"
#include "bill/bill.h"
#include "bill/close.h"
#include "core/core.h"
#include "forecast/runtime.h"

enum { WEIR_STORE_SCHEMA = 20 };

/* Meta: the id of the last posting that was made. */
#define WEIR_META_LAST_POSTING "last_posting"
/* Meta: the id of the installation, the owner tag of everything that it rents. */
#define WEIR_META_INSTALLATION "installation"
/* Meta: the currency of the ledger, which no posting names; none: USD, by a version that knew no other. */
#define WEIR_META_CURRENCY "currency"
/* Meta: how often prices were posted. */
#define WEIR_META_RATINGS "ratings"

struct weir_store;

/* ---- rows ---- */

struct weir_project_row {
    struct weir_project_view view; /* waiting and running are not stored */
    const char *name;
};

/* A quota. What counts in it now is as it was when it was put, as with a budget; the model's number is not kept, but its name. */
struct weir_quota_row {
    struct weir_quota_view view;
    const char *gpu_model; /* "": any */
    const char *project;   /* of the scope; NULL where it has none */
    const char *user;
};

/* A budget. view.held_micro is as it was when it was put: after a restart it follows from what runs. */
struct weir_budget_row {
    struct weir_budget_view view;
    const char *project; /* name; filled when read */
    const char *user;
};

struct weir_name_row { /* users and pools */
    uint32_t id;
    const char *name;
    const char *detail_json; /* pools: kind and cost model; users: "{}" */
};

/* A job. name, tags and spec never change after the first put: put_job writes them, update_job does not. */
struct weir_job_row {
    struct weir_job_view view;
    const char *name;
    const char *project; /* name; filled when read, ignored when put */
    const char *user;
    const char *tags_json; /* {"team":"perception"} */
    const char *spec_json; /* canonical */
    int64_t cost_micro;    /* kept by the store from postings: used + waste of the job; read only */
    struct weir_footprint footprint; /* likewise */
    bool impossible;       /* of its shape: see mark_shape; read only */
};

/* A task that has left its first WAITING; tasks without a row are as submitted. */
struct weir_task_row {
    struct weir_task_view view;
    const char *text;       /* what the agent said about the end; "" */
    const char *node_name;  /* filled when read */
    const char *pool;       /* filled when read */
    const char *gpu_model;  /* the node's; filled when read */
    int64_t cost_micro;     /* kept by the store from postings */
};

struct weir_node_row {
    /* view.spec.gpu_model is a number of one table only, so it is not stored: gpu_model's name is, and what is
     * read has view.spec.gpu_model == WEIR_GPU_MODEL_ANY for the reader to fill in by name. The same holds
     * for leases. */
    struct weir_node_view view;
    const char *gpu_model; /* name; "" where there is none */
    const char *agent_id; /* "" for a rented node that has not joined */
    const char *name;
    const char *pool;     /* filled when read */
    const char *address;
    const char *detail_json; /* hardware as joined, versions, declared, energy source */
    struct weir_wall seen;
};

struct weir_lease_row {
    struct weir_lease_view view;
    const char *gpu_model; /* name of view.offer.gpu_model; see weir_node_row */
    char token[64];
    char instance[128]; /* the provider's id; "" until known */
    char reservation[WEIR_RESERVATION_SIZE]; /* that its launch names; "": none */
    const char *text;   /* why it failed, for a person */
};

struct weir_explain_row {
    struct weir_task_id task; /* zero for a node's */
    uint64_t seq;
    const char *json;
    struct weir_wall at; /* never decreases from row to row; put only */
};

/* What happened, for people and streams: submitted, started, ended, lease changes, node changes. */
struct weir_event_row {
    uint64_t id; /* given by the caller, increasing */
    struct weir_wall at;
    const char *kind; /* "job.submitted", "task.started", "lease.ready", ... */
    struct weir_job_id job;
    uint32_t ordinal; /* WEIR_ORDINAL_ALL: the job as a whole, or none */
    struct weir_node_id node;
    struct weir_lease_id lease;
    const char *text;
};

/* An effect towards a provider that is not known to be done. */
struct weir_effect_row {
    uint64_t seq;
    uint32_t number;
    uint8_t kind; /* enum weir_effect_kind: LEASE_LAUNCH, LEASE_TERMINATE */
    struct weir_lease_id lease;
};

struct weir_token_row {
    char hash[65];  /* SHA-256 of the token, hex */
    const char *name;
    const char *role; /* a word of api/role.h; "": as the user's */
    const char *user;
    struct weir_lease_id lease; /* join token of a rented machine */
    struct weir_wall expires;   /* 0: never */
    struct weir_wall created;
    const char *created_by; /* "": the broker itself */
    const char *projects;   /* names, in a comma list; "": all of the user's */
};

/* What a user may do. Users without a row are only names under which jobs were submitted. */
struct weir_access_row {
    const char *user;
    const char *role; /* a word of api/role.h */
    bool disabled;
    const char *projects_json; /* {"vision": "owner"}: role by project; "*": in all */
};

/* A change that was asked for through the API; put in the transaction that makes it. */
struct weir_audit_row {
    uint64_t id; /* given by the store, increasing */
    struct weir_wall at; /* never decreases from row to row */
    const char *user;
    const char *role;
    const char *token;  /* id of the credential; "": a connection of the broker's own user */
    const char *peer;   /* address it came from */
    const char *action; /* "job.cancel" */
    const char *object; /* "job 12" */
    const char *before; /* JSON; "": nothing was there */
    const char *after;  /* likewise */
};

/*
 * Something small that the broker holds whole in memory and finds again after a restart: what alerts became of, policies. What json
 * says is a matter of who wrote it; (kind, name) is its key.
 */
struct weir_document_row {
    const char *kind;
    const char *name;
    const char *json;
};

/* A correction from outside; its postings bear its number. */
struct weir_correction_row {
    uint64_t id; /* increasing by one, from 1 */
    struct weir_wall at;
    const char *kind;   /* "credit", "charge", "reconcile" */
    const char *who;    /* user */
    const char *reason; /* for people */
    int64_t micro;      /* in all; negative: less cost */
};

/* A month that was closed: see bill/close.h. Another with its id takes its place. */
struct weir_close_row {
    uint64_t id; /* increasing by one, from 1, as months do */
    char month[8]; /* "2026-10" */
    const char *zone; /* in which it is that month */
    struct weir_close close;
    struct weir_wall at;
    const char *who; /* user */
    struct weir_close_sums sums; /* what was billed in it */
    char digest[65]; /* of the postings that were; "": the close was made, and the sums are not taken yet */
};

/* A rule of prices, or a rate of a currency; see bill/rate.h. Another with its id takes its place. */
struct weir_rule_row {
    uint64_t id; /* increasing by one, from 1 */
    const char *name;
    const char *kind; /* a word of bill/rate.h */
    const char *body; /* JSON: what it says, and what it is for */
    struct weir_wall from;
    struct weir_wall until; /* 0: for ever */
    struct weir_wall at;
    const char *who; /* user */
};

/* What a machine costs since a time within its lease, until the next row's; before the first row its quote. */
struct weir_lease_price_row {
    struct weir_lease_id lease;
    struct weir_bill_price price; /* number is given by the store */
    struct weir_wall told;        /* when it was learned */
};

/* A line of a provider's bill for a lease; another with its key takes its place. */
struct weir_invoice_line_row {
    struct weir_lease_id lease;
    uint64_t line; /* what makes it the same line in another file */
    struct weir_wall from;
    struct weir_wall to;
    int64_t nano; /* billionths of a unit of the ledger's currency */
    char currency[4]; /* in which it is billed; "": the ledger's */
    int64_t original_nano; /* of it */
};

/* What a use account took over the whole ledger, kept by the store from postings. */
struct weir_total_row {
    const char *project; /* "": nobody's */
    const char *pool;
    enum weir_account account; /* JOB, IDLE, WASTE_* */
    int64_t amount_micro;
    struct weir_footprint footprint;
};

/* What was booked on a run's job for a node so far. */
struct weir_run_posted {
    int64_t micro;
    int64_t kept_micro; /* of that for spans that ended at or before kept_until */
    struct weir_wall until; /* the end of the last span; 0: nothing was booked */
    struct weir_lease_id lease; /* of the node */
    struct weir_pool_id pool;
};

/* What goes for its age; and holds that were released, which nobody asks for, but the newest: ids go on from it. */
struct weir_prune {
    struct weir_wall events_before;
    struct weir_wall explains_before;
    struct weir_wall audits_before;
    uint32_t limit; /* of each, looks at no more than so many of the oldest */
};

/* ---- opening ---- */

struct weir_store_conf {
    const char *path; /* sqlite: database file; made with its directory (0700) where absent */
    bool durable;     /* a commit is on disk when it returns (fsync); false for tests only */
    const char *vfs;  /* sqlite: VFS name for fault injection; NULL: the default */
};

/*
 * Errors: -WEIR_EVERSION (made by a newer weir: says which, and what to do), -WEIR_ECORRUPT (names file and
 * remedy), -WEIR_EINUSE (another broker has it: an exclusive lock file beside it), -WEIR_EDENIED, -WEIR_ENOSPACE.
 */
int weir_store_sqlite_open(struct weir_store **ret, const struct weir_store_conf *conf, struct weir_err *err);
/*
 * Opens the database of a broker for reading only: nothing is changed, and the broker may be stopped (it cannot be started until the store is
 * closed), or run. One of an older schema is brought up to date in a copy that nobody else sees, beside the system's other temporary files. Errors: -WEIR_ENOTFOUND, and
 * those of weir_store_sqlite_open.
 */
int weir_store_sqlite_read(struct weir_store **ret, const char *path, struct weir_err *err);
int weir_store_mem_open(struct weir_store **ret, struct weir_err *err);
/* A reader of the same store, for another thread; sees what is committed. For mem: the same store
 * under a lock. Closed before the writer. */
int weir_store_reader(struct weir_store *writer, struct weir_store **ret, struct weir_err *err);
/* An open transaction is rolled back. NULL is allowed. */
void weir_store_close(struct weir_store *s);

/* ---- queries for people ---- */

/* Projects whose rows a caller may see. Where a filter has NULL for it: all. */
struct weir_project_set {
    const struct weir_project_id *id;
    size_t n; /* 0: none, so that nothing is found */
};
enum { WEIR_PROJECT_SET_MAX = 128 };
/* set NULL: yes. */
static inline bool weir_project_set_has(const struct weir_project_set *set, struct weir_project_id id)
{
    for (size_t i = 0; set != NULL && i < set->n; i++) {
        if (set->id[i].v == id.v) {
            return true;
        }
    }
    return set == NULL;
}

struct weir_job_filter {
    const struct weir_project_set *within;
    const char *project; /* NULL: any */
    const char *user;
    const char *name;
    uint32_t states; /* mask of 1 << enum weir_job_state; 0: any */
    uint64_t before; /* cursor: ids below; 0: from the newest */
    uint64_t from;   /* this id and those above it, oldest first; 0: newest first */
    uint32_t limit;  /* 1..1000 */
};

struct weir_task_filter {
    struct weir_job_id job;
    uint32_t states;       /* mask; 0: any. Tasks without a row are not listed: the caller adds them. */
    uint32_t from_ordinal; /* cursor, inclusive */
    uint32_t limit;        /* 1..1000 */
};

struct weir_event_filter {
    uint64_t after;         /* ids above */
    struct weir_job_id job; /* 0: any, and events without a job */
    /* Not NULL: only of jobs of these projects, and no more than WEIR_EVENT_SCAN_MAX rows are looked at. */
    const struct weir_project_set *within;
    uint32_t limit; /* 1..1000 */
};
enum { WEIR_EVENT_SCAN_MAX = 10000 };

/* Newest first. */
struct weir_audit_filter {
    uint64_t before;        /* cursor: ids below; 0: from the newest */
    struct weir_wall since; /* not older */
    uint32_t limit;         /* 1..1000 */
};

struct weir_bill_filter {
    const struct weir_project_set *within;
    struct weir_wall from; /* postings whose span ends after from and starts before to are counted in proportion */
    struct weir_wall to;   /* of time, exactly (weir_mul_div); WEIR_WALL_MAX: now */
    const char *project;   /* NULL: any */
    const char *user;
    struct weir_job_id job; /* 0: any */
    const struct weir_zone *zone; /* of days and months; NULL: UTC */
    bool priced; /* what was rated counts too, in price_micro */
};

enum weir_bill_by {
    WEIR_BILL_BY_PROJECT,
    WEIR_BILL_BY_USER,
    WEIR_BILL_BY_TAG, /* with a tag name */
    WEIR_BILL_BY_POOL,
    WEIR_BILL_BY_JOB,
    WEIR_BILL_BY_NODE,
    WEIR_BILL_BY_GPU_MODEL,
    WEIR_BILL_BY_DAY, /* in the filter's zone */
    WEIR_BILL_BY_MONTH,
    WEIR_BILL_BY_LATE, /* the month that it was for, where that was closed before it was posted; else "" */
    WEIR_BILL_BY_MAX,
};
enum { WEIR_BILL_KEYS_MAX = 4 };

struct weir_bill_row {
    const char *key[WEIR_BILL_KEYS_MAX]; /* "" where the posting has none (idle has no project) */
    uint64_t gpu_us; /* GPU-microseconds that runs occupied */
    int64_t used_micro;
    int64_t idle_micro;
    int64_t waste_micro[3]; /* boot, lost, failed */
    int64_t cost_micro[4];  /* provider, depreciation, energy, upkeep: only in rows that have no job key */
    int64_t total_micro;    /* used + idle + waste */
    int64_t price_micro;    /* charged beyond it */
    struct weir_footprint footprint; /* of all use */
    int64_t idle_energy_mj; /* of that */
    int64_t idle_carbon_ug;
    bool idle_has_unknown;
};

typedef int weir_job_row_fn(void *ctx, const struct weir_job_row *row);
typedef int weir_task_row_fn(void *ctx, const struct weir_task_row *row);
typedef int weir_node_row_fn(void *ctx, const struct weir_node_row *row);
typedef int weir_lease_row_fn(void *ctx, const struct weir_lease_row *row);
typedef int weir_hold_row_fn(void *ctx, const struct weir_hold_view *row);
typedef int weir_project_row_fn(void *ctx, const struct weir_project_row *row);
typedef int weir_payer_row_fn(void *ctx, const struct weir_payer_view *row);
typedef int weir_budget_row_fn(void *ctx, const struct weir_budget_row *row);
typedef int weir_quota_row_fn(void *ctx, const struct weir_quota_row *row);
typedef int weir_name_row_fn(void *ctx, const struct weir_name_row *row);
typedef int weir_posting_row_fn(void *ctx, const struct weir_posting *row);
typedef int weir_meter_row_fn(void *ctx, const struct weir_meter *row);
typedef int weir_explain_row_fn(void *ctx, const struct weir_explain_row *row);
typedef int weir_event_row_fn(void *ctx, const struct weir_event_row *row);
typedef int weir_effect_row_fn(void *ctx, const struct weir_effect_row *row);
typedef int weir_token_row_fn(void *ctx, const struct weir_token_row *row);
typedef int weir_access_row_fn(void *ctx, const struct weir_access_row *row);
typedef int weir_document_row_fn(void *ctx, const struct weir_document_row *row);
typedef int weir_audit_row_fn(void *ctx, const struct weir_audit_row *row);
typedef int weir_correction_row_fn(void *ctx, const struct weir_correction_row *row);
typedef int weir_close_row_fn(void *ctx, const struct weir_close_row *row);
typedef int weir_rule_row_fn(void *ctx, const struct weir_rule_row *row);
typedef int weir_lease_price_row_fn(void *ctx, const struct weir_lease_price_row *row);
typedef int weir_invoice_line_row_fn(void *ctx, const struct weir_invoice_line_row *row);
typedef int weir_total_row_fn(void *ctx, const struct weir_total_row *row);
typedef int weir_bill_row_fn(void *ctx, const struct weir_bill_row *row);
typedef int weir_shape_row_fn(void *ctx, uint32_t shape, const char *json);
typedef int weir_runtime_row_fn(void *ctx, uint64_t key, const struct weir_runtime_history *h);

/*
 * A callback that returns non-zero ends the scan, and the scan returns that value.
 */
struct weir_store_ops {
    const char *name;
    void (*close)(struct weir_store *s);
    int (*reader)(struct weir_store *s, struct weir_store **ret, struct weir_err *err);

    /* -- writing, writer only -- */
    int (*begin)(struct weir_store *s, struct weir_err *err);
    int (*commit)(struct weir_store *s, struct weir_err *err);
    void (*rollback)(struct weir_store *s); /* no-op without a transaction */
    int (*put_meta)(struct weir_store *s, const char *key, const char *value, struct weir_err *err);
    int (*put_project)(struct weir_store *s, const struct weir_project_row *r, struct weir_err *err);
    int (*put_user)(struct weir_store *s, const struct weir_name_row *r, struct weir_err *err);
    int (*put_pool)(struct weir_store *s, const struct weir_name_row *r, struct weir_err *err);
    int (*put_payer)(struct weir_store *s, const struct weir_payer_view *v, struct weir_err *err);
    int (*put_budget)(struct weir_store *s, const struct weir_budget_view *v, struct weir_err *err);
    int (*delete_budget)(struct weir_store *s, struct weir_budget_id id, struct weir_err *err);
    int (*put_quota)(struct weir_store *s, const struct weir_quota_row *row, struct weir_err *err); /* project and user are not read */
    int (*delete_quota)(struct weir_store *s, struct weir_quota_id id, struct weir_err *err);
    int (*put_shape)(struct weir_store *s, uint32_t shape, const char *json, struct weir_err *err);
    /* Whether nothing can run what waits of the shape; not so at first. No-op where the shape is not there. */
    int (*mark_shape)(struct weir_store *s, uint32_t shape, bool impossible, struct weir_err *err);
    /* -WEIR_EEXISTS where the id is there; update_job: -WEIR_ENOTFOUND where it is not */
    int (*put_job)(struct weir_store *s, const struct weir_job_row *r, struct weir_err *err);
    int (*update_job)(struct weir_store *s, const struct weir_job_view *v, struct weir_err *err);
    int (*put_task)(struct weir_store *s, const struct weir_task_row *r, struct weir_err *err); /* text NULL: as it was */
    int (*put_node)(struct weir_store *s, const struct weir_node_row *r, struct weir_err *err);
    int (*put_lease)(struct weir_store *s, const struct weir_lease_row *r, struct weir_err *err);
    int (*put_hold)(struct weir_store *s, const struct weir_hold_view *v, struct weir_err *err);
    /* id and at never decrease from posting to posting, and to is never after at */
    int (*put_posting)(struct weir_store *s, const struct weir_posting *p, struct weir_err *err);
    int (*put_correction)(struct weir_store *s, const struct weir_correction_row *r, struct weir_err *err);
    int (*put_close)(struct weir_store *s, const struct weir_close_row *r, struct weir_err *err);
    int (*put_rule)(struct weir_store *s, const struct weir_rule_row *r, struct weir_err *err);
    int (*put_lease_price)(struct weir_store *s, const struct weir_lease_price_row *r, struct weir_err *err);
    int (*put_invoice_line)(struct weir_store *s, const struct weir_invoice_line_row *r, struct weir_err *err);
    int (*put_meter)(struct weir_store *s, const struct weir_meter *m, struct weir_err *err);
    int (*put_explain)(struct weir_store *s, const struct weir_explain_row *r, struct weir_err *err);
    int (*put_event)(struct weir_store *s, const struct weir_event_row *r, struct weir_err *err);
    int (*put_effect)(struct weir_store *s, const struct weir_effect_row *r, struct weir_err *err);
    int (*done_effect)(struct weir_store *s, uint64_t seq, uint32_t number, struct weir_err *err);
    int (*put_token)(struct weir_store *s, const struct weir_token_row *r, struct weir_err *err);
    int (*delete_token)(struct weir_store *s, const char *hash, struct weir_err *err);
    int (*put_access)(struct weir_store *s, const struct weir_access_row *r, struct weir_err *err);
    int (*delete_access)(struct weir_store *s, const char *user, struct weir_err *err);
    int (*put_document)(struct weir_store *s, const struct weir_document_row *r, struct weir_err *err);
    int (*delete_document)(struct weir_store *s, const char *kind, const char *name, struct weir_err *err);
    int (*put_audit)(struct weir_store *s, const struct weir_audit_row *r, struct weir_err *err);
    int (*put_runtime)(struct weir_store *s, uint64_t key, const struct weir_runtime_history *h, struct weir_err *err);
    /* The newest event and audit row stay, whatever their age: ids go on from them. */
    int (*prune)(struct weir_store *s, const struct weir_prune *p, uint32_t *ret_removed, struct weir_err *err);

    /* -- reading -- */
    /* Copies into buf; -WEIR_ENOTFOUND where absent. */
    int (*get_meta)(struct weir_store *s, const char *key, char *buf, size_t size, struct weir_err *err);
    int (*each_project)(struct weir_store *s, weir_project_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_user)(struct weir_store *s, weir_name_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_pool)(struct weir_store *s, weir_name_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_payer)(struct weir_store *s, weir_payer_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_budget)(struct weir_store *s, weir_budget_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_quota)(struct weir_store *s, weir_quota_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_shape)(struct weir_store *s, weir_shape_row_fn *fn, void *ctx, struct weir_err *err);
    /* restart: jobs not ended, in order of id; only view and name are filled */
    int (*each_live_job)(struct weir_store *s, weir_job_row_fn *fn, void *ctx, struct weir_err *err);
    /* restart: task rows of jobs not ended; only view and text are filled */
    int (*each_live_task)(struct weir_store *s, weir_task_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_node)(struct weir_store *s, bool gone_too, weir_node_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_lease)(struct weir_store *s, bool ended_too, weir_lease_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_hold)(struct weir_store *s, bool released_too, weir_hold_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_meter)(struct weir_store *s, weir_meter_row_fn *fn, void *ctx, struct weir_err *err); /* not closed */
    int (*each_effect)(struct weir_store *s, weir_effect_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_token)(struct weir_store *s, weir_token_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_access)(struct weir_store *s, weir_access_row_fn *fn, void *ctx, struct weir_err *err); /* by name */
    int (*each_document)(struct weir_store *s, const char *kind, weir_document_row_fn *fn, void *ctx, struct weir_err *err); /* by name */
    int (*each_runtime)(struct weir_store *s, weir_runtime_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_posting)(struct weir_store *s, uint64_t after_id, weir_posting_row_fn *fn, void *ctx, struct weir_err *err);
    /* Those with a higher id, in order of id. */
    /*
     * All that may be billed from a time on, in order of id, and some of before; without the time of making, ordinal,
     * attempt, correction and other currency. Fast: see prove_pages.
     */
    int (*each_billed)(struct weir_store *s, struct weir_wall from, weir_posting_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_correction)(struct weir_store *s, uint64_t after_id, weir_correction_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_close)(struct weir_store *s, weir_close_row_fn *fn, void *ctx, struct weir_err *err); /* by id */
    int (*each_rule)(struct weir_store *s, weir_rule_row_fn *fn, void *ctx, struct weir_err *err); /* by id */
    /* by lease and number; those behind the lease's price of that number (0: its quote), and of all later leases */
    int (*each_lease_price)(struct weir_store *s, struct weir_lease_id lease, uint64_t number, weir_lease_price_row_fn *fn, void *ctx, struct weir_err *err);
    int (*each_invoice_line)(struct weir_store *s, struct weir_lease_id lease, weir_invoice_line_row_fn *fn, void *ctx, struct weir_err *err);
    /* Postings that were made at t or later have this id or a higher one. */
    int (*first_posting)(struct weir_store *s, struct weir_wall t, uint64_t *ret, struct weir_err *err);
    int (*each_total)(struct weir_store *s, weir_total_row_fn *fn, void *ctx, struct weir_err *err);
    int (*run_posted)(struct weir_store *s, struct weir_run_id run, struct weir_node_id node, struct weir_wall kept_until,
                      struct weir_run_posted *ret, struct weir_err *err);
    /* highest ids in use, 0 where none */
    int (*max_ids)(struct weir_store *s, uint64_t *job, uint64_t *node, uint64_t *lease, uint64_t *hold,
                   uint64_t *posting, uint64_t *event, struct weir_err *err);

    /* -ENOTFOUND where absent; fn is called once */
    int (*get_job)(struct weir_store *s, struct weir_job_id id, weir_job_row_fn *fn, void *ctx, struct weir_err *err);
    int (*get_lease)(struct weir_store *s, struct weir_lease_id id, weir_lease_row_fn *fn, void *ctx, struct weir_err *err);
    int (*get_task)(struct weir_store *s, struct weir_task_id id, weir_task_row_fn *fn, void *ctx, struct weir_err *err);
    int (*list_jobs)(struct weir_store *s, const struct weir_job_filter *f, weir_job_row_fn *fn, void *ctx, struct weir_err *err);
    int (*list_tasks)(struct weir_store *s, const struct weir_task_filter *f, weir_task_row_fn *fn, void *ctx, struct weir_err *err);
    /* On how many nodes beside one (0: none is left out) the first `limit` tasks of a job are that have a row. */
    int (*count_nodes)(struct weir_store *s, struct weir_job_id job, struct weir_node_id beside, uint32_t limit, uint32_t *ret, struct weir_err *err);
    /* *ret_seen: the id that was looked at last, from which to go on; not touched where none was. *ret_more: there may be
     * others behind it. */
    int (*list_events)(struct weir_store *s, const struct weir_event_filter *f, uint64_t *ret_seen, bool *ret_more,
                       weir_event_row_fn *fn, void *ctx, struct weir_err *err);
    int (*list_audit)(struct weir_store *s, const struct weir_audit_filter *f, weir_audit_row_fn *fn, void *ctx, struct weir_err *err);
    /* The id of the oldest event that is kept; 0: none. */
    int (*first_event)(struct weir_store *s, uint64_t *ret, struct weir_err *err);
    /* all of a task's, oldest first; ordinal WEIR_ORDINAL_ALL: of the whole job */
    int (*list_explains)(struct weir_store *s, struct weir_task_id task, uint32_t limit,
                         weir_explain_row_fn *fn, void *ctx, struct weir_err *err);
    /* What is late is billed at the first moment that was not closed when it was posted (bill/close.h). */
    int (*bill)(struct weir_store *s, const struct weir_bill_filter *f, const enum weir_bill_by *by, const char *const *tag,
                size_t n_by, weir_bill_row_fn *fn, void *ctx, struct weir_err *err);
    /*
     * Bills may be read from a copy of the ledger. Proves that the part of it that follows a posting (0: the first) is equal to what
     * was posted; *ret_last is the part's last posting, 0 where there is no such part. -ECORRUPT: it is not equal.
     */
    int (*prove_pages)(struct weir_store *s, uint64_t after, uint64_t *ret_last, struct weir_err *err);
};

struct weir_store {
    const struct weir_store_ops *ops;
};
