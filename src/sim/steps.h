/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A recorded value that changes by steps, a price or whether there is any, looked up at times within the record and outside of it.
 * All series of one file share a record, so that they keep together when it repeats.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/wtime.h"

struct weir_sim_step {
    int64_t at_us;
    int64_t value; /* from then on */
};

/* By time, at least one; the first value holds before its time, too. */
struct weir_sim_steps {
    struct weir_sim_step *p;
    size_t n;
    size_t size;
};

/* When the record is from, and what holds outside of it. */
struct weir_sim_record {
    int64_t begin_us;
    int64_t end_us;    /* > begin_us */
    int64_t period_us; /* it repeats after this, in both directions; 0: its first and last values hold */
    int64_t shift_us;  /* time of the record less the time that is asked about */
};

/* A record that repeats as those of the grid do: by whole weeks where it has one, else by whole days where it has one, else by all of it. */
struct weir_sim_record weir_sim_record_of(int64_t begin_us, int64_t end_us);

int64_t weir_sim_steps_at(const struct weir_sim_steps *s, const struct weir_sim_record *r, struct weir_wall at);
/* The first time after `at` at which another step holds; WEIR_WALL_MAX: none does. Its value may be the same. */
struct weir_wall weir_sim_steps_next(const struct weir_sim_steps *s, const struct weir_sim_record *r, struct weir_wall at);
/* The first time from `at` on at which it has that value; WEIR_WALL_MAX: never. */
struct weir_wall weir_sim_steps_until(const struct weir_sim_steps *s, const struct weir_sim_record *r, struct weir_wall at, int64_t value);
