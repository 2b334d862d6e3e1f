/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A hash map from uint64 to uint64 (open addressing, linear probing, no tombstones) and a string
 * interner on top of it. Iteration order is not defined and not offered: decisions never depend on
 * it. Hashing is seeded with a constant, so that runs are reproducible; keys from outside are ids
 * that weir itself gave out, and the interner bounds its number of strings.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct weir_map {
    struct weir_map_slot *slot;
    size_t n;
    size_t size; /* a power of two, or 0 */
};

void weir_map_release(struct weir_map *m);
/* Inserts or replaces. Any key is allowed. */
void weir_map_put(struct weir_map *m, uint64_t key, uint64_t value);
/* False where absent, and then *ret is not touched. ret may be NULL. */
bool weir_map_get(const struct weir_map *m, uint64_t key, uint64_t *ret);
/* False where it was absent. */
bool weir_map_remove(struct weir_map *m, uint64_t key);

/* FNV-1a over bytes, finished by splitmix; stable across runs and machines. */
uint64_t weir_hash_bytes(const void *p, size_t n);

/* Gives every distinct string a small number 0, 1, 2, ... that never changes. */
struct weir_interner {
    struct weir_map by_hash;
    char **text; /* by number */
    size_t n;
    size_t size;
};

void weir_interner_release(struct weir_interner *t);
uint32_t weir_intern(struct weir_interner *t, struct weir_sv s);
/* UINT32_MAX where the string is not known. */
uint32_t weir_intern_find(const struct weir_interner *t, struct weir_sv s);
const char *weir_intern_text(const struct weir_interner *t, uint32_t id);
