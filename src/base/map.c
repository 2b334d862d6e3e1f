/* SPDX-License-Identifier: Apache-2.0 */
#include "map.h"

#include <stdlib.h>

#include "assert.h"
#include "hash.h"
#include "mem.h"

enum { MAP_SIZE_MIN = 16 };

struct weir_map_slot {
    uint64_t key;
    uint64_t value;
    bool used;
};

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t weir_hash_bytes(const void *p, size_t n)
{
    return mix(weir_fnv_bytes(WEIR_FNV_BASIS, p, n));
}

void weir_map_release(struct weir_map *m)
{
    free(m->slot);
    *m = (struct weir_map){0};
}

/* The slot that holds key, or the empty one where it would go. */
static size_t find(const struct weir_map *m, uint64_t key)
{
    size_t mask = m->size - 1;
    size_t i = (size_t)mix(key) & mask;
    while (m->slot[i].used && m->slot[i].key != key) {
        i = (i + 1) & mask;
    }
    return i;
}

static void grow(struct weir_map *m)
{
    struct weir_map old = *m;
    m->size = old.size < MAP_SIZE_MIN ? MAP_SIZE_MIN : old.size * 2;
    m->slot = weir_calloc(m->size, sizeof *m->slot);
    for (size_t i = 0; i < old.size; i++) {
        if (old.slot[i].used) {
            m->slot[find(m, old.slot[i].key)] = old.slot[i];
        }
    }
    free(old.slot);
}

void weir_map_put(struct weir_map *m, uint64_t key, uint64_t value)
{
    if ((m->n + 1) * 4 > m->size * 3) {
        grow(m);
    }
    size_t i = find(m, key);
    if (!m->slot[i].used) {
        m->n++;
    }
    m->slot[i] = (struct weir_map_slot){.key = key, .value = value, .used = true};
}

bool weir_map_get(const struct weir_map *m, uint64_t key, uint64_t *ret)
{
    if (m->n == 0) {
        return false;
    }
    size_t i = find(m, key);
    if (!m->slot[i].used) {
        return false;
    }
    if (ret != NULL) {
        *ret = m->slot[i].value;
    }
    return true;
}

bool weir_map_remove(struct weir_map *m, uint64_t key)
{
    if (m->n == 0) {
        return false;
    }
    size_t mask = m->size - 1;
    size_t hole = find(m, key);
    if (!m->slot[hole].used) {
        return false;
    }
    /* move back what probing would no longer reach over the hole */
    for (size_t i = (hole + 1) & mask; m->slot[i].used; i = (i + 1) & mask) {
        size_t home = (size_t)mix(m->slot[i].key) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slot[hole] = m->slot[i];
            hole = i;
        }
    }
    m->slot[hole].used = false;
    m->n--;
    return true;
}

void weir_interner_release(struct weir_interner *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->text[i]);
    }
    free(t->text);
    weir_map_release(&t->by_hash);
    *t = (struct weir_interner){0};
}

/* Two strings with one 64-bit hash are told apart by probing the next key. */
static uint64_t key_of(const struct weir_interner *t, struct weir_sv s, uint32_t *ret_id)
{
    uint64_t key = weir_hash_bytes(s.p, s.n);
    uint64_t id;
    *ret_id = UINT32_MAX;
    while (weir_map_get(&t->by_hash, key, &id)) {
        if (weir_sv_eq(weir_sv_of(t->text[id]), s)) {
            *ret_id = (uint32_t)id;
            return key;
        }
        key++;
    }
    return key;
}

uint32_t weir_intern_find(const struct weir_interner *t, struct weir_sv s)
{
    uint32_t id;
    (void)key_of(t, s, &id);
    return id;
}

uint32_t weir_intern(struct weir_interner *t, struct weir_sv s)
{
    uint32_t id;
    uint64_t key = key_of(t, s, &id);
    if (id != UINT32_MAX) {
        return id;
    }
    WEIR_ASSERT(t->n < UINT32_MAX);
    if (t->n == t->size) {
        t->size = t->size == 0 ? 16 : t->size * 2;
        t->text = weir_realloc(t->text, t->size, sizeof *t->text);
    }
    id = (uint32_t)t->n++;
    t->text[id] = weir_strndup(s.p == NULL ? "" : s.p, s.n);
    weir_map_put(&t->by_hash, key, id);
    return id;
}

const char *weir_intern_text(const struct weir_interner *t, uint32_t id)
{
    WEIR_ASSERT(id < t->n);
    return t->text[id];
}
