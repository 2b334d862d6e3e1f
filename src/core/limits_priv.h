/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What limits.c, hold.c, ways.c and park.c have in common. */

#include "core/core_priv.h"

/* ---- limits.c ---- */

bool are_budgets(const struct limits *l, const budget_vec *set);
/* What the thresholds that it has reached forbid. */
bool budget_forbids(const struct weir_core *c, const struct budget *b, bool rented);
/* Lets the worse of two shortages stand. */
void keep_worse(struct shortage *s, const struct budget *b, int64_t need, int64_t left);
/* A task counts so much in the quota, of which so much is left. */
void ask_quota(struct shortage *s, const struct quota *q, int64_t need, int64_t left);
/* So much is to be held in the budget. */
void ask_budget(const struct weir_core *c, struct shortage *s, const struct budget *b, int64_t need, bool rented);

/* ---- hold.c ---- */

/* How long an attempt may be billed at such a rate. */
int64_t run_span_us(const struct weir_core *c, const struct shape *s, int64_t max_cost_left, int64_t rate);
/* All that a machine is billed that is needed for so long, and then stands idle until it is given back. */
int64_t machine_worst(const struct weir_offer *o, int64_t needed_us);
int64_t lease_worst(const struct weir_core *c, const struct lease *l, int64_t run_us);

/* ---- ways.c ---- */

/* What stands in the way of what is owned, and of what is or would be rented. */
struct purse {
    bool has_owned;
    bool has_rented;
    struct shortage owned;
    struct shortage rented;
    int64_t owned_need;
    int64_t rented_need;
};

/* By which way the class may start; none: it is to be parked, unless it fits nowhere. */
struct verge {
    bool nowhere;
    const struct way *way; /* NULL: none, or none need be told apart */
    bool anew;
    bool owned;
    bool rented;
    struct shortage lacks; /* where none is */
};

/* The least worst case on what is owned, and on what can be rented; a bound from below for any place. */
void shape_least(struct weir_core *c, struct shape *s);
struct purse purse_of(const struct weir_core *c, const struct limits *l, const struct shape *s);
/* What a task counts in the quota that goes that way. */
int64_t way_need(const struct weir_core *c, const struct quota *q, const struct shape *s, const struct way *w, bool anew);
struct shortage quotas_weigh(const struct weir_core *c, const struct limits *l, const struct shape *s, const struct way *w, bool anew, bool own);
/* With own, within the own shares of quotas that share. */
struct verge verge_of(const struct weir_core *c, const struct limits *l, const struct shape *s, const struct purse *p, bool own);
bool verge_is_shut(const struct verge *v);
/* Is some node that the class fits shut to it, and another not? */
bool shape_is_narrow(const struct weir_core *c, const struct limits *l, const struct shape *s);
