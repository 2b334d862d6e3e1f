/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small arithmetic that the whole of the core uses. */

#include <stddef.h>
#include <stdint.h>

/* Of whole words; for tables in memory only. */
static inline uint64_t words_hash(const uint64_t *word, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ word[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return h;
}

static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Written out: for the least machine of its kind the compiler's own is a call. */
static inline uint32_t popcount32(uint32_t m)
{
    m -= m >> 1 & 0x55555555u;
    m = (m & 0x33333333u) + (m >> 2 & 0x33333333u);
    return ((m + (m >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
}
