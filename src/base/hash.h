/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* FNV-1a, 64 bits, step by step: for digests that are kept or shown. For tables of one process there is weir_hash_bytes. */

#include <stddef.h>
#include <stdint.h>

#define WEIR_FNV_BASIS UINT64_C(0xcbf29ce484222325)

static inline uint64_t weir_fnv_byte(uint64_t hash, unsigned char byte)
{
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

static inline uint64_t weir_fnv_bytes(uint64_t hash, const void *p, size_t n)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++) {
        hash = weir_fnv_byte(hash, b[i]);
    }
    return hash;
}

/* The number's bytes, lowest first. */
static inline uint64_t weir_fnv_u64(uint64_t hash, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        hash = weir_fnv_byte(hash, (unsigned char)(v >> (8 * i)));
    }
    return hash;
}
