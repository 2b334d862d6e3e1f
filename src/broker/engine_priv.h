/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The engine's inside, shared by engine.c (events), engine_flush.c (the transaction) and
 * engine_open.c (restore). */

#include "api/explain_json.h"
#include "base/map.h"
#include "base/vec.h"
#include "engine.h"

enum { SPEC_CACHE_SLOTS = 1024 };

/* Views gathered for the next transaction; one per object, the latest. */
struct dirty_task {
    struct weir_task_view view;
    struct weir_node_id *gang_node; /* own copies of the view's arrays */
    uint32_t *gang_mask;
    uint8_t *gang_state;
    char *text; /* NULL: as it was */
};

struct new_job {
    struct weir_job_id id;
    char *name;
    char *spec_json;
    char *tags_json;
};

struct gathered_event {
    struct weir_event_row row; /* kind is a literal */
    char *text;
};

struct gathered_explain {
    struct weir_task_id task;
    uint64_t seq;
    struct weir_wall at;
    char *json;
};

struct node_note {
    uint64_t id;
    char *agent_id;
    char *name;
    char *address;
    char *detail_json;
    struct weir_wall seen;
};

struct lease_note {
    uint64_t id;
    struct weir_lease_note note;
};

struct gathered_close {
    struct weir_close_row row;
    char *zone;
    char *who;
};

struct gathered_rule {
    struct weir_rule_row row; /* its strings are its own */
};

struct gathered_correction {
    struct weir_correction_row row; /* kind is a literal */
    char *who;
    char *reason;
};

struct gathered_token {
    struct weir_token_row row;
    char *name;
    char *role;
    char *user;
    char *created_by;
    char *projects;
};

struct gathered_access {
    struct weir_access_row row; /* strings owned */
    bool is_removed;
};

struct gathered_document {
    struct weir_document_row row; /* strings owned; json NULL: removed */
};

struct gathered_audit {
    struct weir_audit_row row;
    char *texts; /* all of its strings */
};

struct runtime_entry {
    uint64_t key;
    struct weir_runtime_history history;
    bool dirty;
};

struct spec_slot {
    uint64_t job;
    char *spec;
    char *name;
};

typedef WEIR_VEC(struct weir_posting) posting_vec;

struct weir_engine {
    uint64_t last_correction; /* made, stored or not */
    WEIR_VEC(struct gathered_close) closes; /* all of them */
    WEIR_VEC(size_t) closes_changed;        /* places in it */
    WEIR_VEC(struct gathered_rule) rules;   /* all of them */
    WEIR_VEC(size_t) rules_changed;
    uint64_t ratings; /* how often prices were posted */
    bool rated;       /* since the last flush */
    struct weir_engine_conf conf;
    struct weir_store *store;
    struct weir_core *core;
    struct weir_bill *bill;

    uint64_t seq;
    struct weir_wall now; /* of the last event */
    struct weir_wall wall_base;
    struct weir_mono mono_base;
    bool jump_reported;
    struct weir_wall wake_at;
    uint64_t world;

    /* names; number = interned + 1 */
    struct weir_interner projects;
    struct weir_interner users;
    struct weir_interner pools;
    WEIR_VEC(char *) pool_detail;
    size_t projects_stored; /* how many of each the store has */
    size_t users_stored;
    size_t pools_stored;

    /* gathered since the last successful flush */
    WEIR_VEC(struct weir_job_view) jobs;
    struct weir_map job_at;
    WEIR_VEC(struct dirty_task) tasks;
    struct weir_map task_at;
    WEIR_VEC(struct weir_node_view) nodes;
    struct weir_map node_at;
    WEIR_VEC(struct weir_lease_view) leases;
    struct weir_map lease_at;
    WEIR_VEC(struct weir_hold_view) holds;
    struct weir_map hold_at;
    WEIR_VEC(struct weir_project_view) project_views;
    struct weir_map project_at;
    WEIR_VEC(struct new_job) new_jobs;
    WEIR_VEC(struct gathered_event) events;
    WEIR_VEC(struct gathered_explain) explains;
    WEIR_VEC(struct gathered_correction) corrections;
    WEIR_VEC(struct weir_invoice_line_row) invoice_lines;
    WEIR_VEC(struct weir_lease_price_row) lease_prices;
    WEIR_VEC(struct gathered_token) tokens;
    WEIR_VEC(struct weir_token_row) tokens_deleted; /* only the hash is set */
    WEIR_VEC(struct gathered_access) access;
    WEIR_VEC(struct gathered_document) documents;
    WEIR_VEC(struct gathered_audit) audits;
    WEIR_VEC(struct weir_effect_row) new_effects;
    WEIR_VEC(struct weir_effect_row) done_effects;
    posting_vec postings;
    size_t charged; /* so many of them the core was told of */
    WEIR_VEC(struct weir_charged) charges;
    WEIR_VEC(struct weir_budget_id) budgets; /* changed or removed; some twice */
    WEIR_VEC(struct weir_quota_id) quotas;   /* the same */
    struct weir_map budget_told; /* id -> thresholds that events told of */
    uint32_t payers_stored;
    WEIR_VEC(struct weir_meter) meters;
    uint32_t shapes_stored;
    WEIR_VEC(uint32_t) shapes_judged; /* as possible, or not; some twice */
    bool dirty;

    /* last state told in events, by object; final ones are removed */
    struct weir_map job_told;
    uint64_t jobs_in[WEIR_JOB_STATE_MAX];
    struct weir_map task_told;
    struct weir_map node_told;
    struct weir_map lease_told;

    /* notes beside the core's objects, by id; those of what is over go once they are stored */
    struct weir_map node_note_at; /* node id -> index */
    WEIR_VEC(struct node_note) node_notes;
    struct weir_map agent_node; /* hash of the agent id -> node id */
    struct weir_map lease_note_at;
    WEIR_VEC(struct lease_note) lease_notes;
    struct weir_map task_text; /* task key -> index + 1 in texts, until the next flush */
    WEIR_VEC(char *) texts;

    /* known offers, for names in explain records */
    WEIR_VEC(struct weir_offer) offers;
    struct weir_map offer_at;

    /* run-time forecasts */
    struct weir_map runtime_at; /* key -> index */
    WEIR_VEC(struct runtime_entry) runtimes;
    WEIR_VEC(size_t) runtimes_dirty; /* places in it */
    struct weir_map policy_at; /* hash of a list of rules, the next one where another has it -> its number */
    struct weir_map job_runtime; /* live job -> key */
    struct weir_map job_estimate; /* live job -> what was said of its run time, where that is known; 0: nothing was */
    WEIR_VEC(struct weir_job_id) taught; /* tasks of theirs have ended: the rest may be expected to take another time */

    struct spec_slot spec_cache[SPEC_CACHE_SLOTS];

    WEIR_VEC(struct weir_order) orders;     /* gathered */
    WEIR_VEC(struct weir_order) out_orders; /* handed out */
    WEIR_VEC(struct weir_job_id) ended;
    WEIR_VEC(struct weir_job_id) out_ended;
    WEIR_VEC(struct weir_effect_row) undone;
    uint64_t event_id;
    uint64_t settled_us; /* monotonic time of the last settle of all */
};

/* A task's key in maps; ordinals are below 2^20. */
static inline uint64_t task_key(struct weir_task_id t)
{
    return t.job.v << 20 | t.ordinal;
}

/* Makes the views of all that a step changed part of the next transaction. */
void engine_gather(struct weir_engine *e, const struct weir_effects *fx);
void engine_gather_node(struct weir_engine *e, struct weir_node_id id);
void engine_gather_lease(struct weir_engine *e, struct weir_lease_id id);
void engine_forget_gathered(struct weir_engine *e);
/* engine.c: what rented machines draw and emit, up to where they are proven to be. */
void engine_reprice_rented(struct weir_engine *e, struct weir_wall now);
void engine_add_event(struct weir_engine *e,
                      const char *kind,
                      struct weir_job_id job,
                      uint32_t ordinal,
                      struct weir_node_id node,
                      struct weir_lease_id lease,
                      const char *text);
struct node_note *engine_node_note(struct weir_engine *e, struct weir_node_id id);
/* What is over needs no notes any more, once it is stored. */
void engine_forget_node(struct weir_engine *e, struct weir_node_id node);
void engine_forget_lease(struct weir_engine *e, struct weir_lease_id lease);
static inline bool lease_is_over(enum weir_lease_state s)
{
    return s == WEIR_LEASE_ENDED || s == WEIR_LEASE_FAILED;
}
struct runtime_entry *engine_runtime(struct weir_engine *e, uint64_t key);
/* All GPUs that a task of the request takes, of its first choice. */
uint32_t engine_gpus(const struct weir_request *r);

/* ---- engine_expect.c ---- */

/* What a task of the kind is expected to take; estimate 0: nothing was said. */
struct weir_dur engine_forecast(const struct weir_engine *e, uint64_t own_key, const struct weir_request *r, struct weir_dur estimate);
/* After tasks ended: what is left of their jobs is expected to take what is known by now. */
void engine_expect_anew(struct weir_engine *e);
int engine_restore(struct weir_engine *e, struct weir_err *err);

/* engine_books.c: closed months, rules of prices */
int engine_restore_close(void *ctx, const struct weir_close_row *row);
int engine_restore_rule(void *ctx, const struct weir_rule_row *row);
int engine_flush_books(struct weir_engine *e, struct weir_err *err);
void engine_forget_books(struct weir_engine *e);
void engine_free_books(struct weir_engine *e);

/* engine_policy.c: lists of rules that stand in shapes */
int engine_restore_policies(struct weir_engine *e, struct weir_err *err);

/* engine_access.c: what users may do, and who changed what */
int engine_flush_access(struct weir_engine *e, struct weir_err *err);
void engine_forget_access(struct weir_engine *e);
