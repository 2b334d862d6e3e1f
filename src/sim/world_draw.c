/* SPDX-License-Identifier: Apache-2.0 */

/* Chance: each draw comes from the seed and from what it is for, not from how many were drawn before. */

#include <math.h>

#include "base/prng.h"
#include "world_priv.h"

static uint64_t draw_u64(const struct weir_sim_world *w, enum draw kind, uint64_t a, uint64_t b, uint64_t part)
{
    uint64_t key[] = {w->faults.seed, kind, a, b, part};
    uint64_t state = weir_hash_bytes(key, sizeof key);
    return weir_splitmix64(&state);
}

static double uniform(const struct weir_sim_world *w, enum draw kind, uint64_t a, uint64_t b, uint64_t part)
{
    return ((double)(draw_u64(w, kind, a, b, part) >> 11) + 0.5) * 0x1p-53;
}

double weir_world_uniform(const struct weir_sim_world *w, enum draw kind, uint64_t a, uint64_t b)
{
    return uniform(w, kind, a, b, 0);
}

double weir_world_exponential(const struct weir_sim_world *w, enum draw kind, uint64_t a, uint64_t b)
{
    return -log(uniform(w, kind, a, b, 0));
}

double weir_world_normal(const struct weir_sim_world *w, enum draw kind, uint64_t a, uint64_t b)
{
    double radius = sqrt(-2 * log(uniform(w, kind, a, b, 0)));
    return radius * cos(6.283185307179586 * uniform(w, kind, a, b, 1));
}

int64_t weir_world_until(double per_hour, double exponential)
{
    if (per_hour <= 0) {
        return INT64_MAX;
    }
    double us = exponential / per_hour * (double)WEIR_US_PER_HOUR;
    return us < 0x1p62 ? (int64_t)us : INT64_MAX;
}
