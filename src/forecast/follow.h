/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which of several places to hold a machine in while their prices move, and moving costs money: by work functions. For each place
 * the least cost is kept at which everything up to now could have been served ending there; the machine goes where that cost
 * plus the move is least. No price is forecast; whatever prices do, the cost stays within 2 n - 1 times the best in
 * hindsight where moves cost the same everywhere (Borodin, Linial and Saks, 1992). Pure; integers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WEIR_FOLLOW_PLACES_MAX = 64 };

struct weir_follow_place {
    int64_t rate; /* money a unit of time; < 0: nothing can be had there yet. A place that has had a price keeps one */
    int64_t move; /* money that moving there costs */
};

/* Zeroed before the first step but for at. */
struct weir_follow {
    size_t at; /* where the machine is */
    int64_t work[WEIR_FOLLOW_PLACES_MAX]; /* least costs; of places without a price meaningless */
    bool known[WEIR_FOLLOW_PLACES_MAX];
};

/* A stretch of units at these prices has passed. The best there was: weir_follow_best. */
void weir_follow_pass(struct weir_follow *f, const struct weir_follow_place *place, size_t n, int64_t units);
/* Where to be now; f->at is set to it. */
size_t weir_follow_decide(struct weir_follow *f, const struct weir_follow_place *place, size_t n);
/* The least cost in hindsight of all that has passed. */
int64_t weir_follow_best(const struct weir_follow *f, size_t n);
