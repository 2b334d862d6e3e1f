/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Budgets inside the core: part of core_priv.h, which includes it. docs/design/0009-budgets.md tells what is held, by whom, and
 * when a class is parked.
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
/* What is held, of everything, anew: after a restore, or when scopes changed. */
void budgets_recount(struct weir_core *c);
/* The last act of a restore. */
void budgets_settle_restored(struct weir_core *c);

/* ---- limits.c: what tasks and machines hold, and who waits for it ---- */

struct limits *limits_intern(struct weir_core *c, const budget_vec *set);
/* Of the payer; NULL where no budget counts what it spends. */
struct limits *limits_of(struct weir_core *c, const struct payer *p);
void limits_release(struct weir_core *c);
bool limits_count(const struct limits *l, const struct budget *b);
int64_t budget_left(const struct weir_core *c, const struct budget *b);
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

/* The budget that is in the way, what would be held in it and what it has left. */
struct shortage {
    const struct budget *budget; /* NULL: none is */
    int64_t need_micro;
    int64_t left_micro;
};

/* May the task be placed there: is there money for its worst case, and its machines'? */
struct shortage limits_weigh_place(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct spot *spot, uint32_t n);
struct shortage limits_weigh_offer(const struct weir_core *c, const struct job *j, uint32_t ordinal, const struct weir_offer *o, int64_t rate);
/* Has no budget room for the cheapest way to run it? */
struct shortage limits_block(struct weir_core *c, const struct class *cl);
/* Fills in that it waits for the budget. */
void limits_explain(const struct job *j, uint32_t ordinal, const struct shortage *s, struct weir_explain *ret);
/* Records that the class is parked, where that is news of its shape. */
void limits_say(struct weir_core *c, struct class *cl);
/* The budget is about to be forgotten; no payer has it any more. */
void limits_forget(struct weir_core *c, const struct budget *b);
void limits_enter(struct weir_core *c, struct class *cl);
void limits_leave(struct class *cl);
/* Parks what has no room, puts back what has. True where anything moved. */
bool limits_settle(struct weir_core *c);
