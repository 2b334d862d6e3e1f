/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Time. Three types that do not mix: wall time (UTC, for stamps), monotonic time (for spans within
 * one boot) and durations. All are microseconds in int64. Arithmetic saturates. Nothing here reads
 * a clock: that is clock.h, and only programs use it; everything else is handed "now".
 */

#include <stdbool.h>
#include <stdint.h>

struct weir_wall {
    int64_t us; /* since 1970-01-01T00:00:00Z; 0 means "not set" */
};
struct weir_mono {
    int64_t us;
};
struct weir_dur {
    int64_t us;
};

#define WEIR_US_PER_MS INT64_C(1000)
#define WEIR_US_PER_S INT64_C(1000000)
#define WEIR_US_PER_MIN (60 * WEIR_US_PER_S)
#define WEIR_US_PER_HOUR (3600 * WEIR_US_PER_S)
#define WEIR_US_PER_DAY (86400 * WEIR_US_PER_S)
/* The last representable instant and the longest duration: "never" and "for ever". */
#define WEIR_WALL_MAX ((struct weir_wall){INT64_MAX})
#define WEIR_DUR_MAX ((struct weir_dur){INT64_MAX})

static inline int64_t weir_i64_add_sat(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return a < 0 ? INT64_MIN : INT64_MAX;
    }
    return r;
}

static inline int64_t weir_i64_sub_sat(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_sub_overflow(a, b, &r)) {
        return a < 0 ? INT64_MIN : INT64_MAX;
    }
    return r;
}

static inline struct weir_wall weir_wall_add(struct weir_wall t, struct weir_dur d)
{
    return (struct weir_wall){weir_i64_add_sat(t.us, d.us)};
}

/* a - b; negative where a is before b. */
static inline struct weir_dur weir_wall_sub(struct weir_wall a, struct weir_wall b)
{
    return (struct weir_dur){weir_i64_sub_sat(a.us, b.us)};
}

static inline struct weir_dur weir_dur_s(int64_t seconds)
{
    int64_t us;
    if (__builtin_mul_overflow(seconds, WEIR_US_PER_S, &us)) {
        us = seconds < 0 ? INT64_MIN : INT64_MAX;
    }
    return (struct weir_dur){us};
}

/* A date of the proleptic Gregorian calendar, UTC. */
struct weir_date {
    int year;
    int month;  /* 1..12 */
    int day;    /* 1..31 */
    int hour;   /* 0..23 */
    int minute; /* 0..59 */
    int second; /* 0..59 */
    int us;     /* 0..999999 */
};

struct weir_date weir_wall_to_date(struct weir_wall t);
/* The fields must be in range; see struct weir_date. */
struct weir_wall weir_wall_from_date(struct weir_date d);

enum { WEIR_RFC3339_SIZE = 32 };

/* Writes "2026-11-22T19:42:26.123456Z" (fraction only where not zero); years 0001..9999. */
const char *weir_wall_format(struct weir_wall t, char buf[static WEIR_RFC3339_SIZE]);
/* Writes "1h 30m", "45s", "120ms": two units at most, for people. */
const char *weir_dur_format(struct weir_dur d, char buf[static WEIR_RFC3339_SIZE]);
