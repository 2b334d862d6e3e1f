/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Weighing: what to do with the first task of a class. For those who plan, weigh, stop or explain. */

#include "core/core_priv.h"

enum decided {
    DECIDED_PLACED, /* started, bound or rented: the class may go on with its next task */
    DECIDED_WAITS,
    DECIDED_HELD, /* what it waits for is a launch that may go out in a moment */
    DECIDED_DEAR, /* there is a place, but a budget has no room for that: nobody is stopped for it */
};

/* One way to run a task, with what two are compared by. */
struct option {
    int64_t total_micro;
    int64_t run_micro;
    int64_t delay_us; /* until it starts */
    int64_t run_us;
    uint64_t node;
    uint64_t offer;
    uint8_t kind; /* enum weir_candidate_kind */
    uint8_t alternative;
    bool late;   /* ends after the deadline */
    bool over;   /* is expected to cost more than the task may */
    bool starts; /* something is done now, it is not a wait */
    bool held;   /* though not in this step: launches there are unanswered */
    struct place_result *place;        /* of a node */
    const struct ranked_offer *ranked; /* of an offer */
};

/* What decide saw that could be done at once for any task of the class, until something is placed or stopped. */
struct outlook {
    bool known;
    bool lent; /* what is in the way of another is that its own share is lent out */
    struct option start; /* the best; where starts is not set there is none */
};

/* How many tasks of the shape the owned nodes run at once. */
int64_t owned_slots(struct weir_core *c, struct shape *s);
/* What a wait says, in short: what it is for, where there is anything, and a bit for each reason why not something else. */
static inline uint64_t wait_gist(bool any, uint8_t kind, bool never, uint64_t why_not)
{
    return (UINT64_C(1) + (any ? 2u + kind : never)) << WEIR_VERDICT_MAX | why_not;
}
/*
 * Do the first and the last task of the class certainly wait, with nothing new to be said of it? The claims before it are settled.
 * False where that is not known without weighing.
 */
bool still_waits(struct weir_core *c, struct class *cl);
/* Weighs the class's first task and acts. */
enum decided decide(struct weir_core *c, struct class *cl, struct outlook *ret);
/* The same for its last task, where the first waits; x is what was left of that. */
enum decided decide_last(struct weir_core *c, struct class *cl, const struct outlook *x);
/* What decide would say of that task; changes nothing but caches. */
void decide_explain(struct weir_core *c, struct job *j, uint32_t ordinal, struct weir_explain *ret);
/* What is lost by stopping some. */
struct loss {
    uint32_t hard; /* how many cannot checkpoint */
    int64_t work_us;
};

typedef WEIR_VEC(struct run *) run_vec;

bool run_checkpoints(const struct run *r);
/* GPU time since its last checkpoint. */
int64_t run_work_us(const struct weir_core *c, const struct run *r);
int loss_cmp(const struct loss *a, const struct loss *b);
/* Is a start reserved there for another class? */
bool node_is_kept_for_others(const struct node *n, const struct class *cl);
/*
 * The class wants what is its own: stops those who borrow, as far as its first tasks need that. With elsewhere, there is another place for
 * the first than nodes that have joined, and only its share is lent out. False where nobody is stopped.
 */
bool reclaim(struct weir_core *c, struct class *cl, bool elsewhere);
/* Stops tasks of lower priority to make room for the class's first; false where it does not. */
bool preempt(struct weir_core *c, struct class *cl);
/* The least priority that may stop something that runs; INT32_MAX: none may. */
int32_t preempts_from(struct weir_core *c);
void plan(struct weir_core *c);
int64_t plan_wake_us(struct weir_core *c);
/* Makes the claims of what comes before the class, as plan would. */
void plan_claims_before(struct weir_core *c, struct class *cl);
