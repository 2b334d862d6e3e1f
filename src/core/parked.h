/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The classes of one set of budgets and quotas that wait for room, in the order of the queue: found is the first that could have
 * room, past any number of others that cannot. Each class has a row of needs, one for each column: the least that must be left there.
 */

#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct class;
struct project;

enum { PARKED_BLOCK = 64 };

/* Neighbours in their lane, by their first job. */
struct parked_block {
    uint32_t n;
    struct class *class[PARKED_BLOCK];
    uint64_t head[PARKED_BLOCK];
    int64_t *need; /* rows */
};

/* Those of one project at one number of points. */
struct parked_lane {
    int64_t points;
    struct project *project;
    size_t columns;
    WEIR_VEC(struct parked_block *) block;
    WEIR_VEC(uint64_t) first; /* the first job of each */
    WEIR_VEC(int64_t) least;  /* a row for each: of each column the least of the block's */
};

struct parked {
    size_t columns;
    size_t n;
    WEIR_VEC(struct parked_lane *) lane;
};

void parked_release(struct parked *p);
/* The class's head, points and project say where. */
void parked_put(struct parked *p, struct class *cl, const int64_t *need);
/* It was put with that head. */
void parked_take(struct parked *p, struct class *cl, uint64_t head);

/* Could a class have room that needs so much, of so much? Money (the first two columns) by either way, quotas all. */
static inline bool parked_may_fit(const int64_t *need, const int64_t *left, size_t columns)
{
    bool fits = (need[0] <= left[0] && need[0] != INT64_MAX) || (need[1] <= left[1] && need[1] != INT64_MAX);
    for (size_t i = 2; i < columns && fits; i++) {
        fits = need[i] <= left[i];
    }
    return fits;
}

/* Where a search stands; zero: at the beginning of the lane. */
struct parked_at {
    size_t block;
    uint32_t i;
};
/* The next class of the lane that could have room, from there on; NULL: there is none. */
struct class *parked_next(const struct parked_lane *lane, const int64_t *left, struct parked_at *at);
/* All of the lane; NULL: that was the last. */
struct class *parked_each(const struct parked_lane *lane, struct parked_at *at);
/* Is every class where it belongs? For checks. */
bool parked_is_sound(const struct parked *p);
