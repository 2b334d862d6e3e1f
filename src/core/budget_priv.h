/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Budgets inside the core: their types, part of core_priv.h. What is done with them: limits.h. */

#include "base/vec.h"
#include "core/budget.h"

struct class;

struct budget {
    uint32_t id;
    bool changed;
    struct weir_budget def;
    int64_t from_us;  /* of the span; 0: no beginning */
    int64_t until_us; /* US_NEVER: no end */
    int64_t charged_micro;
    int64_t held_micro;
    uint8_t reached;
};

/* Project, user and tags of a job, interned. */
struct payer {
    uint32_t id;
    uint32_t project;
    uint32_t user;
    struct limits *limits; /* NULL: no budget counts it */
    char tags[];
};

typedef WEIR_VEC(struct budget *) budget_vec;

/* A set of budgets, interned. Those that all count the same task: its payer's. */
struct limits {
    budget_vec budget; /* by id */
    uint32_t n_leases; /* live ones whose payer's these are */
    WEIR_VEC(struct class *) class; /* that have tasks that may start, parked or not */
    uint64_t settled;  /* the versions of budgets and world as of which it is known which of them are to be parked */
    uint64_t settled_world;
    bool rides;        /* what was so then: see is_unsettled */
    int64_t owned;
    int64_t rented;
    int64_t parked_owned;  /* the least that a parked class needs */
    int64_t parked_rented;
    int64_t open_most;     /* the most that one which is not parked may need */
};

/* Held for what has ended, until its charges are known. */
struct unsettled {
    struct limits *limits;
    int64_t micro;
};
