/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A seeded pseudo-random generator, passed explicitly: xoshiro256** seeded by splitmix64 (Blackman
 * and Vigna, public domain algorithms). Not for secrets: those come from getrandom in programs.
 */

#include <stdint.h>

struct weir_prng {
    uint64_t s[4];
};

static inline uint64_t weir_splitmix64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline struct weir_prng weir_prng_seed(uint64_t seed)
{
    struct weir_prng r;
    for (int i = 0; i < 4; i++) {
        r.s[i] = weir_splitmix64(&seed);
    }
    return r;
}

static inline uint64_t weir_prng_u64(struct weir_prng *r)
{
    uint64_t x = r->s[1] * 5;
    uint64_t result = (x << 7 | x >> 57) * 9;
    uint64_t t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = r->s[3] << 45 | r->s[3] >> 19;
    return result;
}

/* Uniform in 0..n-1 (n > 0) without bias: Lemire's multiply-and-reject. */
static inline uint64_t weir_prng_below(struct weir_prng *r, uint64_t n)
{
    __extension__ typedef unsigned __int128 u128;
    u128 m = (u128)weir_prng_u64(r) * n;
    if ((uint64_t)m < n) {
        uint64_t threshold = -n % n;
        while ((uint64_t)m < threshold) {
            m = (u128)weir_prng_u64(r) * n;
        }
    }
    return (uint64_t)(m >> 64);
}
