/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The engine: core, bill and store held together. Events go in; what they changed is gathered, and
 * weir_engine_flush writes all of it in one transaction. Only what was flushed is acknowledged, sent or shown.
 *
 * When a flush fails (disk full, say) nothing is lost: everything gathered stays, later events add to it, and
 * the next flush writes all. The owner of the engine holds back acknowledgements until then and takes
 * no new work meanwhile.
 *
 * The engine reads one clock, through conf.clock, and turns it into a time that never goes back and does not
 * jump: a step of the machine's wall clock is reported, not followed.
 */

#include "base/clock.h"
#include "bill/amend.h"
#include "bill/bill.h"
#include "bill/rate.h"
#include "core/core.h"
#include "store/store.h"

struct weir_engine;

/* Something to be done by somebody outside, after the flush. */
struct weir_order {
    uint64_t seq; /* with effect.number: the effect's id */
    struct weir_effect effect; /* RUN_START, RUN_STOP, LEASE_* ; its offer pointer points below */
    struct weir_offer offer;
};

struct weir_engine_conf {
    struct weir_store *store;
    struct weir_core_conf core;
    const struct weir_clock *clock;
    const char *currency; /* the ledger's; NULL: "USD" */
    bool proof; /* rented machines are billed up to when they are known to have been there; see weir_engine_proven */
    /*
     * What a node of that pool costs from a time on, and until when (WEIR_WALL_MAX: for ever); of a rented one (spec->lease) its power and
     * carbon. The program knows the configuration. Called when a node is metered, and when its rates may change.
     */
    struct weir_wall (*node_cost)(void *ctx, const struct weir_node_spec *spec, struct weir_wall at, struct weir_owned_cost *ret);
    void *node_cost_ctx;
    /* The task as a person knows it ("12", "12_7"), for explain records; NULL: by ordinal. */
    void (*task_name)(void *ctx, struct weir_task_id id, char *buf, size_t size);
    void *task_name_ctx;
};

/* Opens the store's state: all objects are restored into core and bill. Errors: -WEIR_ECORRUPT, -WEIR_EIO. */
int weir_engine_open(struct weir_engine **ret, const struct weir_engine_conf *conf, struct weir_err *err);
void weir_engine_free(struct weir_engine *e);

struct weir_core *weir_engine_core(struct weir_engine *e);
/* weir_bill_accrued up to now. */
void weir_engine_accrued(struct weir_engine *e, weir_bill_accrued_fn *fn, void *ctx);
/* What nodes cost and emit may be otherwise from now on: the bill takes up each change since it looked last. */
void weir_engine_reprice(struct weir_engine *e);
/* The engine's time; see above. */
struct weir_wall weir_engine_now(struct weir_engine *e);
/*
 * Where the wall clock was set forward, the engine's time stays behind it; machines, and providers, have gone on with the
 * right one. What they are told to do at a moment is said by the wall clock, what they say is brought into the engine's time.
 */
struct weir_wall weir_engine_outside(struct weir_engine *e, struct weir_wall t);
struct weir_wall weir_engine_inside(struct weir_engine *e, struct weir_wall t);
/* When the core wants a TICK at the latest. */
struct weir_wall weir_engine_wake_at(const struct weir_engine *e);

/* Numbers of names, made where new. */
struct weir_project_id weir_engine_project(struct weir_engine *e, struct weir_sv name);
/* 0 where there is none of that name. */
struct weir_project_id weir_engine_find_project(const struct weir_engine *e, struct weir_sv name);
struct weir_user_id weir_engine_find_user(const struct weir_engine *e, struct weir_sv name);
struct weir_user_id weir_engine_user(struct weir_engine *e, struct weir_sv name);
struct weir_pool_id weir_engine_pool(struct weir_engine *e, struct weir_sv name, const char *detail_json);
/* Borrowed; "" for 0. */
const char *weir_engine_project_name(const struct weir_engine *e, struct weir_project_id id);
const char *weir_engine_user_name(const struct weir_engine *e, struct weir_user_id id);
const char *weir_engine_pool_name(const struct weir_engine *e, struct weir_pool_id id);

/* Steps the core; seq and now are filled in. Errors: the core's. */
int weir_engine_event(struct weir_engine *e, struct weir_event *ev, struct weir_err *err);

/* A job: takes an id, remembers what is stored beside the core's view, steps. */
struct weir_engine_submit {
    struct weir_project_id project;
    struct weir_user_id user;
    const char *name;
    struct weir_sv spec_json;
    struct weir_sv tags_json;
    int32_t priority;
    uint32_t n_tasks;
    uint32_t parallel_max;
    struct weir_wall deadline;
    struct weir_request request; /* expected is filled from the forecast */
};
/* What would be decided for it now; nothing is kept. Errors: -WEIR_EINVAL. */
int weir_engine_what_if(struct weir_engine *e, const struct weir_engine_submit *s, struct weir_explain *ret, struct weir_err *err);
int weir_engine_submit(struct weir_engine *e, const struct weir_engine_submit *s, struct weir_job_id *ret, struct weir_err *err);

/* The number of that list of rules; made, and stored with the next flush, where it is new. Padding in rules is zero. Errors: -WEIR_EINVAL. */
int weir_engine_policy(struct weir_engine *e, const struct weir_policy_rule *rule, size_t n, uint32_t *ret, struct weir_err *err);

/* The canonical spec and name of a job, from memory or the store; the caller frees both. */
int weir_engine_job_spec(struct weir_engine *e, struct weir_job_id job, char **ret_spec, char **ret_name, struct weir_err *err);

/* What is kept about a node beside the core's view. Strings are copied. */
struct weir_node_note {
    const char *agent_id;
    const char *name;
    const char *address;
    const char *detail_json;
};
/* The node is written again with the next flush. Fields that are NULL stay. */
void weir_engine_node_note(struct weir_engine *e, struct weir_node_id node, const struct weir_node_note *note);
/* NULL where the node is not known; borrowed until the next note. */
const char *weir_engine_node_name(const struct weir_engine *e, struct weir_node_id node);
const char *weir_engine_node_address(const struct weir_engine *e, struct weir_node_id node);
const char *weir_engine_node_detail(const struct weir_engine *e, struct weir_node_id node);
/* Zero where no node has that agent id. */
struct weir_node_id weir_engine_node_by_agent(const struct weir_engine *e, const char *agent_id);

/* What is kept about a lease beside the core's view. */
struct weir_lease_note {
    char token[64];
    char instance[128];
    char text[256];
    char reservation[WEIR_RESERVATION_SIZE]; /* that the launch names; as it was when it was decided on */
};
void weir_engine_lease_note(struct weir_engine *e, struct weir_lease_id lease, const struct weir_lease_note *note);
/* False where there is none. */
bool weir_engine_lease_get_note(const struct weir_engine *e, struct weir_lease_id lease, struct weir_lease_note *ret);

/* What the agent said about the end of the task's last attempt; stored with the next flush. Call before the event. */
void weir_engine_task_text(struct weir_engine *e, struct weir_task_id task, const char *text);
/* Rows that go into the same transaction. */
void weir_engine_put_token(struct weir_engine *e, const struct weir_token_row *row);
void weir_engine_delete_token(struct weir_engine *e, const char *hash);
void weir_engine_put_access(struct weir_engine *e, const struct weir_access_row *row);
void weir_engine_delete_access(struct weir_engine *e, const char *user);
void weir_engine_put_document(struct weir_engine *e, const struct weir_document_row *row);
void weir_engine_delete_document(struct weir_engine *e, const char *kind, const char *name);
/* id and at are filled in. */
void weir_engine_audit(struct weir_engine *e, const struct weir_audit_row *row);
void weir_engine_effect_done(struct weir_engine *e, uint64_t seq, uint32_t number);
void weir_engine_energy(struct weir_engine *e, struct weir_node_id node, uint64_t counter_mj, bool measured);

/*
 * Posts a correction from outside; at is filled in, and kind is a literal. Errors: -WEIR_ECONFLICT where another was made since the caller looked: row->id
 * must be the next one.
 */
int weir_engine_amend(struct weir_engine *e, const struct weir_correction_row *row, const struct weir_amendment *a, size_t n, struct weir_err *err);

/*
 * Closes the time up to row->close.to: settles, and fills in id, at and last_posting. Errors: -WEIR_EEXISTS (it is closed),
 * -WEIR_ECONFLICT (months are closed in order, and after their end).
 */
int weir_engine_close(struct weir_engine *e, struct weir_close_row *row, struct weir_err *err);
/* What was billed in a closed month, once that was added up. Errors: -WEIR_ECONFLICT where that was stored before. */
int weir_engine_seal(struct weir_engine *e, const struct weir_close_row *row, struct weir_err *err);

/* Rules of prices; id and at are filled in. Errors: -WEIR_EEXISTS, -WEIR_ENOTFOUND, -WEIR_ECONFLICT (that time is closed, or
 * it has ended), -WEIR_ELIMIT. */
int weir_engine_add_rule(struct weir_engine *e, struct weir_rule_row *row, struct weir_err *err);
int weir_engine_end_rule(struct weir_engine *e, const char *name, struct weir_wall at, struct weir_err *err);
/* In order of id; borrowed for the call. */
void weir_engine_each_rule(struct weir_engine *e, void (*fn)(void *ctx, const struct weir_rule_row *row), void *ctx);
/* Posts prices. ratings: how often that was done when the caller looked. Errors: -WEIR_ECONFLICT where it was done since. */
int weir_engine_price(struct weir_engine *e, uint64_t ratings, const struct weir_amendment *a, size_t n, struct weir_err *err);

/* Stored with the next flush. */
void weir_engine_invoice_lines(struct weir_engine *e, const struct weir_invoice_line_row *row, size_t n);

/* Effects towards providers that were not known to be done when the store was last open. */
void weir_engine_each_undone(struct weir_engine *e, void (*fn)(void *ctx, const struct weir_effect_row *row), void *ctx);

/* The lease's machine was there at that time, by the provider's word. */
void weir_engine_proven(struct weir_engine *e, struct weir_lease_id lease, struct weir_wall at);

/* Is there something to flush? */
bool weir_engine_is_dirty(const struct weir_engine *e);
/* With settle, every open node is posted up to now. Errors: -WEIR_ENOSPACE, -WEIR_EIO: all is kept, call again later. */
int weir_engine_flush(struct weir_engine *e, bool settle, struct weir_err *err);
/* A transaction of its own that removes old events and explain records; see weir_store_ops.prune. Errors: as flush. */
int weir_engine_prune(struct weir_engine *e, const struct weir_prune *p, uint32_t *ret_removed, struct weir_err *err);
/* After a successful flush: orders to carry out, oldest first, then forgotten. Borrowed until the next event. */
const struct weir_order *weir_engine_take_orders(struct weir_engine *e, size_t *ret_n);
/* Jobs that ended since the last call. Borrowed likewise. */
const struct weir_job_id *weir_engine_take_ended(struct weir_engine *e, size_t *ret_n);
/* A number that changes when nodes or offers come, go or change. */
uint64_t weir_engine_world(const struct weir_engine *e);
/* Jobs in that state; 0 for final ones, which are not counted. */
uint64_t weir_engine_jobs(const struct weir_engine *e, enum weir_job_state state);
