/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The break-even rule counts, at hour t, the hours h of the last term in which demand was above the reservations that
 * cover h, those bought later counted as if they had (phantoms). A purchase at s covers h where |s - h| < term, so what covers h
 * at hour t is B(t) - B(h - term), B being the purchases up to an hour. The condition demand(h) > B(t) - B(h - term) is
 * key(h) > B(t) with a key that never changes: the rule buys up to the (threshold + 1)-th largest key of the window.
 *
 * The guard. Order both sides' reservations by their ends, latest first, and pair them. While the advice follows the break-even
 * rule from some hour on, a pair costs it, beyond the rule, at most min(fee, (on demand - used) * the hours by
 * which the rule's reservation outlasts its own). The guard holds, after every hour,
 *     own cost + sum of these liabilities <= GUARD * the rule's cost.
 * There always is a purchase that holds it: buy what the rule buys, and one for each pair whose own reservation is over and whose
 * liability has reached the fee (that pays the fee and takes the liability away); the others pay the hour, and their liability
 * falls by as much. Ordered pairing stays ordered by that, and no other pair's liability rises.
 */

#include "forecast/reserve.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum { THRESHOLDS = 33 };

/* How fast the weights follow what was seen; per term, and per relative difference of cost. */
static const double learning_rate = 2.0;

struct weir_break_even {
    struct weir_reserve_terms terms;
    struct weir_reserve_course course;
    int64_t threshold;
    int64_t hour;
    int64_t *bought;     /* ring over the term */
    int64_t *bought_all; /* B, ring over the term */
    int64_t *key;        /* ring over the term */
    int64_t *sorted;     /* the window's keys, largest first */
    size_t n_sorted;
    int64_t gpu_hours_left; /* that what is held runs after this hour */
};

struct weir_reserve {
    struct weir_reserve_terms terms;
    struct weir_reserve_course course;
    int64_t hour;
    int64_t *bought; /* ring over the term */
    struct weir_break_even *rule[THRESHOLDS];
    double prior[THRESHOLDS];
};

static void check_terms(const struct weir_reserve_terms *t)
{
    WEIR_ASSERT(t->hours >= 1 && t->hours <= WEIR_RESERVE_TERM_HOURS_MAX);
    WEIR_ASSERT(t->fee_micro > 0 && t->fee_micro <= INT64_C(1000000000000));
    WEIR_ASSERT(t->used_micro >= 0 && t->on_demand_micro > t->used_micro && t->on_demand_micro <= 1000000000);
}

int64_t weir_reserve_break_even_hours(const struct weir_reserve_terms *t)
{
    return t->fee_micro / (t->on_demand_micro - t->used_micro);
}

static int64_t hour_cost(const struct weir_reserve_terms *t, int64_t demand, int64_t held)
{
    int64_t served = demand < held ? demand : held;
    return served * t->used_micro + (demand - served) * t->on_demand_micro;
}

/* What ended before this hour is held no longer: to be called first in an hour. */
static void expire(struct weir_reserve_course *c, const struct weir_reserve_terms *t, const int64_t *bought, int64_t hour)
{
    if (hour >= t->hours) {
        c->held -= bought[hour % t->hours];
    }
}

static void buy(struct weir_reserve_course *c, const struct weir_reserve_terms *t, int64_t *bought, int64_t hour, int64_t n,
                int64_t demand)
{
    bought[hour % t->hours] = n;
    c->bought = n;
    c->bought_all += n;
    c->held += n;
    c->cost_micro += n * t->fee_micro + hour_cost(t, demand, c->held);
}

struct weir_break_even *weir_break_even_new(const struct weir_reserve_terms *t, int64_t threshold_hours)
{
    check_terms(t);
    WEIR_ASSERT(threshold_hours >= 0);
    struct weir_break_even *b = weir_alloc(sizeof *b);
    size_t n = (size_t)t->hours;
    b->terms = *t;
    b->threshold = threshold_hours;
    b->bought = weir_calloc(n, sizeof *b->bought);
    b->bought_all = weir_calloc(n, sizeof *b->bought_all);
    b->key = weir_calloc(n, sizeof *b->key);
    b->sorted = weir_calloc(n, sizeof *b->sorted);
    return b;
}

void weir_break_even_free(struct weir_break_even *b)
{
    if (b == NULL) {
        return;
    }
    free(b->bought);
    free(b->bought_all);
    free(b->key);
    free(b->sorted);
    free(b);
}

/* How many of the sorted keys are larger than the given one. */
static size_t rank_of(const struct weir_break_even *b, int64_t key)
{
    size_t from = 0;
    size_t to = b->n_sorted;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (b->sorted[middle] > key) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

int64_t weir_break_even_step(struct weir_break_even *b, int64_t demand)
{
    WEIR_ASSERT(demand >= 0 && demand <= WEIR_RESERVE_GPUS_MAX);
    size_t slot = (size_t)(b->hour % b->terms.hours);
    int64_t before_term = 0;
    expire(&b->course, &b->terms, b->bought, b->hour);
    if (b->hour >= b->terms.hours) {
        before_term = b->bought_all[slot];
        size_t gone = rank_of(b, b->key[slot]);
        memmove(b->sorted + gone, b->sorted + gone + 1, (b->n_sorted - gone - 1) * sizeof *b->sorted);
        b->n_sorted--;
    }
    b->key[slot] = demand + before_term;
    size_t at = rank_of(b, b->key[slot]);
    memmove(b->sorted + at + 1, b->sorted + at, (b->n_sorted - at) * sizeof *b->sorted);
    b->sorted[at] = b->key[slot];
    b->n_sorted++;
    int64_t n = 0;
    if (b->threshold < (int64_t)b->n_sorted && b->sorted[b->threshold] > b->course.bought_all) {
        n = b->sorted[b->threshold] - b->course.bought_all;
    }
    b->gpu_hours_left += n * (b->terms.hours - 1) - b->course.held;
    buy(&b->course, &b->terms, b->bought, b->hour, n, demand);
    b->bought_all[slot] = b->course.bought_all;
    b->hour++;
    return n;
}

const struct weir_reserve_course *weir_break_even_course(const struct weir_break_even *b)
{
    return &b->course;
}

struct weir_reserve *weir_reserve_new(const struct weir_reserve_terms *t)
{
    check_terms(t);
    struct weir_reserve *r = weir_alloc(sizeof *r);
    r->terms = *t;
    r->bought = weir_calloc((size_t)t->hours, sizeof *r->bought);
    double used_share = (double)t->used_micro / (double)t->on_demand_micro;
    for (int i = 0; i < THRESHOLDS; i++) {
        /* fee and rate are bounded, so that the product is too */
        int64_t hours = t->fee_micro * i / ((THRESHOLDS - 1) * (t->on_demand_micro - t->used_micro));
        r->rule[i] = weir_break_even_new(t, hours);
        /* The randomised rule draws its threshold, in fractions x of the break-even, with density e^x, and with mass
         * used / on demand the break-even itself. Each rule stands for those nearest to it. */
        double low = i == 0 ? 0 : (i - 0.5) / (THRESHOLDS - 1);
        double high = i == THRESHOLDS - 1 ? 1 : (i + 0.5) / (THRESHOLDS - 1);
        r->prior[i] = exp(high) - exp(low) + (i == THRESHOLDS - 1 ? used_share : 0);
    }
    return r;
}

void weir_reserve_free(struct weir_reserve *r)
{
    if (r == NULL) {
        return;
    }
    for (int i = 0; i < THRESHOLDS; i++) {
        weir_break_even_free(r->rule[i]);
    }
    free(r->bought);
    free(r);
}

/* The number that the rules hold on average. */
static int64_t wanted(const struct weir_reserve *r)
{
    double cost[THRESHOLDS] = {0};
    double least = INFINITY;
    double terms_seen = (double)(r->hour + 1) / (double)r->terms.hours - 1;
    double rate = terms_seen > 0 ? learning_rate * terms_seen : 0;
    for (int i = 0; rate > 0 && i < THRESHOLDS; i++) {
        /* What is left of the fees counts as money, in proportion to the hours that they still buy. */
        double left = (double)r->rule[i]->gpu_hours_left * (double)r->terms.fee_micro / (double)r->terms.hours;
        cost[i] = (double)r->rule[i]->course.cost_micro - left;
        least = cost[i] < least ? cost[i] : least;
    }
    double sum = 0;
    double held = 0;
    for (int i = 0; i < THRESHOLDS; i++) {
        double w = r->prior[i] * (rate > 0 && least > 0 ? exp(-rate * (cost[i] - least) / least) : 1);
        sum += w;
        held += w * (double)r->rule[i]->course.held;
    }
    return (int64_t)(held / sum + 0.5);
}

/* The purchases of a course from the latest back: how many were made at an hour, and when they end. */
struct backwards {
    const int64_t *bought;
    int64_t hour; /* of the entry looked at; -1: there are no more */
    int64_t oldest;
    int64_t term;
    int64_t left; /* of the entry */
};

static void look_back(struct backwards *b)
{
    while (b->left == 0 && b->hour >= 0) {
        b->hour--;
        if (b->hour < b->oldest) {
            b->hour = -1;
            return;
        }
        b->left = b->bought[b->hour % b->term];
    }
}

/* What following the break-even rule from the next hour on would cost beyond it, if n are bought now. Where due is
 * given, it becomes the number of pairs that must be bought in this hour: see the head of this file. */
static int64_t liability(const struct weir_reserve *r, int64_t n, int64_t *due)
{
    const struct weir_break_even *rule = r->rule[THRESHOLDS - 1];
    int64_t term = r->terms.hours;
    int64_t saved = r->terms.on_demand_micro - r->terms.used_micro;
    int64_t oldest = r->hour - term + 1 < 0 ? 0 : r->hour - term + 1;
    struct backwards theirs = {rule->bought, r->hour, oldest, term, rule->course.bought};
    struct backwards own = {r->bought, r->hour, oldest, term, n};
    int64_t sum = 0;
    if (due != NULL) {
        *due = rule->course.bought;
        theirs.left = 0; /* what the rule buys now is matched one by one */
    }
    for (look_back(&theirs), look_back(&own); theirs.hour >= 0; look_back(&theirs), look_back(&own)) {
        int64_t n_pairs = own.hour >= 0 && own.left < theirs.left ? own.left : theirs.left;
        int64_t own_end = own.hour >= 0 ? own.hour + term : r->hour + (due != NULL ? 0 : 1);
        int64_t hours = theirs.hour + term - own_end;
        int64_t each = hours <= 0 ? 0 : hours >= r->terms.fee_micro / saved + 1 ? r->terms.fee_micro : hours * saved;
        sum += n_pairs * (each < r->terms.fee_micro ? each : r->terms.fee_micro);
        if (due != NULL && own.hour < 0 && each >= r->terms.fee_micro) {
            *due += n_pairs;
        }
        theirs.left -= n_pairs;
        own.left -= own.hour >= 0 ? n_pairs : 0;
    }
    return sum;
}

/* Would the guard hold if n were bought now? */
static bool is_safe(const struct weir_reserve *r, int64_t n, int64_t demand)
{
    int64_t cost = r->course.cost_micro + n * r->terms.fee_micro + hour_cost(&r->terms, demand, r->course.held + n);
    int64_t limit = r->rule[THRESHOLDS - 1]->course.cost_micro;
    return cost + liability(r, n, NULL) <= limit + limit / 100 * (WEIR_RESERVE_GUARD_PERCENT - 100);
}

/* The number nearest to the wanted one, as far as halving finds it, with which the guard holds. */
static int64_t guarded(const struct weir_reserve *r, int64_t want, int64_t demand)
{
    if (is_safe(r, want, demand)) {
        return want;
    }
    int64_t safe;
    (void)liability(r, 0, &safe);
    WEIR_ASSERT(is_safe(r, safe, demand));
    int64_t unsafe = want;
    while (safe - unsafe > 1 || unsafe - safe > 1) {
        int64_t middle = unsafe + (safe - unsafe) / 2;
        if (is_safe(r, middle, demand)) {
            safe = middle;
        } else {
            unsafe = middle;
        }
    }
    return safe;
}

int64_t weir_reserve_step(struct weir_reserve *r, int64_t demand)
{
    for (int i = 0; i < THRESHOLDS; i++) {
        (void)weir_break_even_step(r->rule[i], demand);
    }
    expire(&r->course, &r->terms, r->bought, r->hour);
    int64_t more = wanted(r) - r->course.held;
    int64_t n = guarded(r, more > 0 ? more : 0, demand);
    buy(&r->course, &r->terms, r->bought, r->hour, n, demand);
    r->hour++;
    return n;
}

const struct weir_reserve_course *weir_reserve_course(const struct weir_reserve *r)
{
    return &r->course;
}
