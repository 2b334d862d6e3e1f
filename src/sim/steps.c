/* SPDX-License-Identifier: Apache-2.0 */

#include "steps.h"

#include "base/assert.h"

#define WEEK_US (7 * WEIR_US_PER_DAY)

struct weir_sim_record weir_sim_record_of(int64_t begin_us, int64_t end_us)
{
    WEIR_ASSERT(end_us > begin_us);
    int64_t span = end_us - begin_us;
    int64_t unit = span >= WEEK_US ? WEEK_US : span >= WEIR_US_PER_DAY ? WEIR_US_PER_DAY : span;
    return (struct weir_sim_record){.begin_us = begin_us, .end_us = end_us, .period_us = span / unit * unit};
}

/* The time of the record that is meant; *ret_rest is how long the record runs on from there before it begins again. */
static int64_t time_of(const struct weir_sim_record *r, struct weir_wall at, int64_t *ret_rest)
{
    int64_t t = weir_i64_add_sat(at.us, r->shift_us);
    *ret_rest = INT64_MAX;
    if (r->period_us == 0) {
        return t;
    }
    if (t >= r->begin_us && t < r->end_us) {
        *ret_rest = r->end_us - t;
        return t;
    }
    int64_t into = weir_i64_sub_sat(t, r->begin_us) % r->period_us;
    into += into < 0 ? r->period_us : 0;
    *ret_rest = r->period_us - into;
    return r->begin_us + into;
}

static size_t index_at(const struct weir_sim_steps *s, int64_t t)
{
    size_t low = 0;
    size_t high = s->n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (s->p[middle].at_us <= t) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t weir_sim_steps_at(const struct weir_sim_steps *s, const struct weir_sim_record *r, struct weir_wall at)
{
    int64_t rest = 0;
    return s->p[index_at(s, time_of(r, at, &rest))].value;
}

struct weir_wall weir_sim_steps_next(const struct weir_sim_steps *s, const struct weir_sim_record *r, struct weir_wall at)
{
    int64_t rest = 0;
    int64_t t = time_of(r, at, &rest);
    size_t next = index_at(s, t) + 1;
    int64_t after = next < s->n ? weir_i64_sub_sat(s->p[next].at_us, t) : INT64_MAX;
    after = after < rest ? after : rest;
    return after == INT64_MAX ? WEIR_WALL_MAX : (struct weir_wall){weir_i64_add_sat(at.us, after)};
}

struct weir_wall weir_sim_steps_until(const struct weir_sim_steps *s, const struct weir_sim_record *r, struct weir_wall at, int64_t value)
{
    /* Twice through all of it, and once over each of its ends: what has not come until then never does. */
    for (size_t i = 0; i <= 2 * s->n + 4 && at.us != WEIR_WALL_MAX.us; i++) {
        if (weir_sim_steps_at(s, r, at) == value) {
            return at;
        }
        at = weir_sim_steps_next(s, r, at);
    }
    return WEIR_WALL_MAX;
}
