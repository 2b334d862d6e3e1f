/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Budgets and quotas inside the core: part of core_priv.h, which includes it. docs/design/0009-budgets.md tells what is held, by whom,
 * and when a class is parked; 0011-quotas.md what counts in quotas.
 */

#include "core/core_priv.h"

/* ---- budget.c: budgets, what counts against them, what follows when they are used up ---- */

struct payer *payer_get(struct weir_core *c, uint32_t project, uint32_t user, const char *tags); /* made where absent */
struct payer *payer_find(const struct weir_core *c, uint32_t id);
/* Takes back the newest, where nothing refers to it. */
void payer_drop(struct weir_core *c, struct payer *p);
struct budget *budget_find(const struct weir_core *c, uint32_t id);
int budget_check(const struct weir_core *c, const struct weir_budget *b, struct weir_err *err);
void budget_set(struct weir_core *c, const struct weir_event *ev);
void budget_remove(struct weir_core *c, const char *name);
void budgets_charged(struct weir_core *c, const struct weir_charged *charge, size_t n);
void budget_look(struct weir_core *c, struct budget *b);
int64_t budget_due_us(const struct weir_core *c, const struct budget *b);
bool budget_is_active(const struct weir_core *c, const struct budget *b);
void budget_changed(struct weir_core *c, struct budget *b);
void budgets_clear_changed(struct weir_core *c);
void budgets_release(struct weir_core *c);
/* What runs or is rented already holds its worst case for budgets that count its payer only now; what none counts any more holds nothing. */
void limits_adopt(struct weir_core *c);
/* What is held, of everything, anew: after a restore, or when scopes changed. */
void limits_recount(struct weir_core *c);
/* Their timers. */
void budgets_settle_restored(struct weir_core *c);
bool payer_is_of(const struct weir_payer_view *p, uint8_t scope, struct weir_project_id project, struct weir_user_id user, const char *tag);
/* Of a budget or quota of such a span: the one that is under way then, or is the next; and when that is another. */
void span_at(uint8_t span, struct weir_wall from, struct weir_wall until, struct weir_wall at, int64_t *ret_from_us, int64_t *ret_until_us);
int64_t span_due_us(const struct weir_core *c, uint8_t span, int64_t from_us, int64_t until_us);
void payers_restore_limits(struct weir_core *c);
/* Scopes are not what they were: every payer has its budgets and quotas anew, and every job its class. */
void limits_rescope(struct weir_core *c);

enum {
    START_ALLOWANCE_S = 120, /* from the command to the start, held beside max_duration */
    RENEWAL_S = 600,         /* what a hold is raised by */
};

/* How long a stop may take. */
static inline int64_t run_stop_span_us(const struct weir_core *c, const struct shape *s)
{
    return weir_i64_add_sat(s->req.checkpoint_grace.us, weir_i64_add_sat(c->conf.lost_grace.us, RUN_MARGIN_S * WEIR_US_PER_S));
}

/* ---- limits.c, hold.c, ways.c, park.c: sets of budgets and quotas, what is held, who waits for room ---- */

struct limits *limits_intern(struct weir_core *c, const budget_vec *budgets, const quota_vec *quotas);
/* Of the payer; NULL where no budget or quota counts it. */
struct limits *limits_of(struct weir_core *c, const struct payer *p);
void limits_release(struct weir_core *c);
bool limits_count(const struct limits *l, const struct budget *b);
bool limits_have(const struct limits *l, const struct quota *q);
int64_t budget_left(const struct weir_core *c, const struct budget *b);
/* What is held for the machine pays for it until then; US_NEVER where no budget does. */
int64_t lease_paid_until_us(const struct lease *l);
/* A machine that was confirmed costs so much from now on: what is held for it covers it until its expiry, and is renewed or not as
 * ever. */
void lease_reprice(struct weir_core *c, struct lease *l, int64_t price_micro_per_hour, int64_t at_us);
/* Holds more, or less, in each budget of the set. */
void limits_hold(struct weir_core *c, const struct limits *l, int64_t micro);
/* What the attempt, or the machine, still holds. */
int64_t run_held(const struct run *r);
int64_t lease_held(const struct lease *l);
/* The run counts against other budgets than before, as its machines cover it or do not. */
void run_pays(struct weir_core *c, struct run *r);
/* The worst case of the attempt at such a rate. */
int64_t run_worst(const struct weir_core *c, const struct shape *s, int64_t max_cost_left, int64_t rate);
/* A new attempt was placed, or is over. */
void limits_take(struct weir_core *c, struct run *r);
void limits_give(struct weir_core *c, struct run *r);
void limits_lease_new(struct weir_core *c, struct lease *l);
void limits_lease_over(struct weir_core *c, struct lease *l);
/* Raises what is held for a run or a machine that comes near it, or stops them. */
void limits_renew_run(struct weir_core *c, struct run *r);
void limits_renew_lease(struct weir_core *c, struct lease *l);

/* The budget or quota that is in the way, what would be held in it and what it has left. */
struct shortage {
    const struct budget *budget; /* NULL: none is */
    const struct quota *quota;   /* the same; at most one of the two is set */
    int64_t need;
    int64_t left;
};
static inline bool is_short(const struct shortage *s)
{
    return s->budget != NULL || s->quota != NULL;
}
/* Lets the lesser of two stand; where they cannot be compared, the one that stands. */
void keep_lesser(struct shortage *kept, const struct shortage *s);

/* May the task be placed there: is there money for its worst case, and its machines'? */
struct shortage limits_weigh_place(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct spot *spot, uint32_t n);
/* The same of one node, as if all that others borrow were given back. */
struct shortage limits_weigh_own(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct spot *spot);
struct shortage limits_weigh_offer(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct weir_offer *o, const struct ranked_offer *r);
/* For how many tasks like the job's first there is room in its budgets and quotas, on nodes of the type. */
uint64_t limits_room(const struct weir_core *c, const struct job *j, const struct node_type *t, uint32_t gpus);
/* Has a quota no room for it on nodes of the type? */
struct shortage limits_weigh_type(const struct weir_core *c, const struct class *cl, const struct node_type *t, uint16_t gpus);
static inline bool limits_shut_type(const struct weir_core *c, const struct class *cl, const struct node_type *t, uint16_t gpus)
{
    struct shortage s = {0};
    if (cl->limits != NULL && cl->limits->quota.n > 0) {
        s = limits_weigh_type(c, cl, t, gpus);
    }
    return is_short(&s);
}
/* Has some budget or quota no room, whatever way it is run? */
struct shortage limits_block(struct weir_core *c, const struct class *cl);
/* Is some node that it fits shut to it by a quota, and another not? */
bool limits_is_narrow(struct weir_core *c, const struct class *cl);
/* Within whose own share may it start, bits as in class.wants? */
uint64_t limits_wants(struct weir_core *c, const struct class *cl);
bool limits_is_blocked(struct weir_core *c, const struct class *cl);
/* Fills in that it waits for the budget or quota. */
void shortage_tell(const struct shortage *s, struct weir_explain *ret);
enum weir_verdict short_verdict(const struct shortage *s);
void limits_explain(const struct job *j, uint32_t ordinal, const struct shortage *s, struct weir_explain *ret);
/* Records that the class is parked, where that is news of its shape. */
void limits_say(struct weir_core *c, struct class *cl);
/* The budget or quota is about to be forgotten; no payer has it any more. */
void limits_forget(struct weir_core *c, const struct budget *b, const struct quota *q);
void limits_enter(struct weir_core *c, struct class *cl);
void limits_leave(struct weir_core *c, struct class *cl);
/* Another job of the class, which is parked, comes first. */
void limits_reorder(struct weir_core *c, struct class *cl);
/* Parks what has no room any more, and finds out whether somebody who is parked has some now. True where there is either. */
bool limits_settle(struct weir_core *c);
/* Puts the first that is parked and has room among those to weigh, where it comes before that in the queue; NULL: anyhow. */
bool limits_let_in(struct weir_core *c, const struct queue_key *before);
/* Parks the class, which has no room. */
void limits_park(struct weir_core *c, struct class *cl);
/* When what a quota has left will be enough for somebody who is parked, as time alone goes on. */
int64_t limits_wake_us(struct weir_core *c);
/* The last act of a restore. */
void limits_settle_restored(struct weir_core *c);
static inline bool has_budgets(const struct limits *l)
{
    return l != NULL && l->budget.n > 0;
}

/* ---- quota.c: quotas, and what counts in them ---- */

struct quota *quota_find(const struct weir_core *c, uint32_t id);
int quota_check(const struct weir_core *c, const struct weir_quota *q, struct weir_err *err);
void quota_set(struct weir_core *c, const struct weir_quota *def);
void quota_remove(struct weir_core *c, const char *name);
void quota_look(struct weir_core *c, struct quota *q);
int64_t quota_due_us(const struct weir_core *c, const struct quota *q);
/* US_NEVER while it limits nothing; less than nothing where it was lowered. Of one that shares: what there is, or will be once borrowers are stopped. */
int64_t quota_left(const struct weir_core *c, const struct quota *q);
/* What may be taken at once, whoever borrows. */
int64_t quota_left_now(const struct weir_core *c, const struct quota *q);
/* Of one that shares, what is left of its own share; else as quota_left. */
int64_t quota_left_own(const struct weir_core *c, const struct quota *q);
void quotas_clear_changed(struct weir_core *c);
void quotas_release(struct weir_core *c);
/* What counts in them, of everything, anew. */
void quotas_recount(struct weir_core *c);
void quotas_settle_restored(struct weir_core *c);
/* The run counts from now on (its live ranks), or no longer does. */
void quotas_count_run(struct weir_core *c, const struct run *r);
void quotas_uncount_run(struct weir_core *c, const struct run *r);
/* So many of the run's GPUs count in the quota. */
int64_t quota_of_run(const struct quota *q, const struct run *r);
/* A rank of a run that is not counted just now had its GPUs until then. */
void quotas_use(struct weir_core *c, const struct run *r, uint32_t rank, int64_t at_us);
void quotas_lease(struct weir_core *c, const struct lease *l, int sign);
/* A run is over then at the latest, if it is started in time. */
int64_t quota_run_until_us(const struct weir_core *c, const struct shape *s, bool boots);
void quota_run_started(struct weir_core *c, struct run *r);
/* When the time for its start, or its end, is over: what is held for the run is to be raised then; US_NEVER where nothing is. */
int64_t quota_run_due_us(const struct weir_core *c, const struct run *r);
/* Raises it; false where there is no room for that. */
bool quota_renew_run(struct weir_core *c, struct run *r);
/* What a task counts for that is placed now: on so many GPUs of a model in all, with so many machines rented for it. */
int64_t quota_need(const struct weir_core *c,
                   const struct quota *q,
                   const struct shape *s,
                   uint16_t gpu_model,
                   int64_t gpus,
                   uint32_t machines,
                   bool boots);

/* ---- cohort.c: quotas that lend each other what they do not use ---- */

/* Errors: -WEIR_EINVAL: it cannot share. */
int cohort_check(const struct weir_core *c, const struct weir_quota *q, struct weir_err *err);
/* Puts the quotas into cohorts anew. */
void cohorts_make(struct weir_core *c);
void cohorts_release(struct weir_core *c);
void cohort_count(struct quota *q, int64_t n, int64_t going);
/* Within whose own shares the class may start now, as bits of its limits' quotas. */
void cohort_want(struct weir_core *c, struct class *cl, uint64_t wants);
/* The class would borrow, and the run is of its cohort: it may come back within its own share, and then before the class. */
bool cohort_shields(const struct class *cl, const struct run *r);
/* Of one that shares: what it may take beyond its own share; less than nothing while others want what is theirs. */
int64_t cohort_left(const struct quota *q);
