/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How many GPUs to reserve, hour by hour, not knowing what demand comes. A reservation costs a fee and runs for a term;
 * while it runs, an hour on one of its GPUs costs the used rate, and an hour on demand the full rate. Pure; money is integer.
 *
 * Two rules. The break-even rule buys once the hours that went without a reservation within the last term exceed a
 * threshold (Wang, Li, Liang: "To Reserve or Not to Reserve", ICAC 2013). At the threshold fee / (on demand - used) it never
 * costs more than 2 - used / on demand times the cheapest plan in hindsight.
 *
 * The advice (struct weir_reserve) runs that rule at many thresholds side by side and holds as many reservations as they hold on
 * average. Cost is convex in the number held, so the average costs at most what the rules cost on average, save for
 * rounding to whole GPUs, while the weights stay as they are: they begin as the randomised rule's distribution, whose expectation
 * is not passed within the first term, and lean towards what was cheap so far once a whole term has been seen, which demand that
 * changes may prove wrong. A guard keeps the promise for any demand and any
 * weights: cost <= WEIR_RESERVE_GUARD_PERCENT % of what the break-even rule costs on the same demand, at every hour.
 */

#include <stddef.h>
#include <stdint.h>

enum {
    WEIR_RESERVE_TERM_HOURS_MAX = 5 * 8784,
    WEIR_RESERVE_GPUS_MAX = 1000000, /* of demand */
    WEIR_RESERVE_GUARD_PERCENT = 150,
};

struct weir_reserve_terms {
    int64_t hours;           /* 1..WEIR_RESERVE_TERM_HOURS_MAX */
    int64_t fee_micro;       /* > 0, of one GPU for the whole term; at most 10^12 */
    int64_t on_demand_micro; /* per GPU and hour, > used; at most 10^9 */
    int64_t used_micro;      /* per GPU and used hour, >= 0 */
};

/* The largest whole number of hours that does not exceed the break-even: fee / (on demand - used). */
int64_t weir_reserve_break_even_hours(const struct weir_reserve_terms *t);

/* One course of purchases over one demand: what is held and what it has cost. */
struct weir_reserve_course {
    int64_t held;       /* in the current hour */
    int64_t bought;     /* in the current hour */
    int64_t bought_all; /* since the beginning */
    int64_t cost_micro;
};

/* The break-even rule at one threshold. */
struct weir_break_even;
struct weir_break_even *weir_break_even_new(const struct weir_reserve_terms *t, int64_t threshold_hours);
void weir_break_even_free(struct weir_break_even *b);
/* Takes the next hour's demand, 0..WEIR_RESERVE_GPUS_MAX, and gives the number to buy for it and the term that begins with it. */
int64_t weir_break_even_step(struct weir_break_even *b, int64_t demand);
/* Borrowed. */
const struct weir_reserve_course *weir_break_even_course(const struct weir_break_even *b);

/* The advice. */
struct weir_reserve;
struct weir_reserve *weir_reserve_new(const struct weir_reserve_terms *t);
void weir_reserve_free(struct weir_reserve *r);
/* As weir_break_even_step. */
int64_t weir_reserve_step(struct weir_reserve *r, int64_t demand);
const struct weir_reserve_course *weir_reserve_course(const struct weir_reserve *r);
