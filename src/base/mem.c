/* SPDX-License-Identifier: Apache-2.0 */
#include "mem.h"

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "assert.h"

#ifdef __has_feature
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif

enum { ARENA_BLOCK_BYTES = 64 * 1024, ALLOC_SMALL_BYTES = 1024 };
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
enum { SPARES_MAX = 0 };
#else
enum { SPARES_MAX = 1024 };
#endif

struct weir_arena_block {
    struct weir_arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) unsigned char data[];
};

static void *checked(void *p)
{
    if (p == NULL) {
        (void)fputs("weir: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *weir_alloc(size_t n)
{
    /* calloc passes by the free lists that a thread has for itself; of large pieces it knows which are zero already */
    if (n == 0 || n > ALLOC_SMALL_BYTES) {
        return checked(calloc(1, n == 0 ? 1 : n));
    }
    return memset(checked(malloc(n)), 0, n);
}

void *weir_spares_alloc(struct weir_spares *s, size_t n)
{
    void *p = s->first;
    if (p == NULL) {
        return weir_alloc(n);
    }
    memcpy(&s->first, p, sizeof s->first);
    s->n--;
    return memset(p, 0, n);
}

void weir_spares_give(struct weir_spares *s, void *p)
{
    if (s->n == SPARES_MAX) {
        free(p);
        return;
    }
    memcpy(p, &s->first, sizeof s->first);
    s->first = p;
    s->n++;
}

void weir_spares_release(struct weir_spares *s)
{
    while (s->first != NULL) {
        void *p = s->first;
        memcpy(&s->first, p, sizeof s->first);
        free(p);
    }
    s->n = 0;
}

void *weir_calloc(size_t count, size_t size)
{
    return checked(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size));
}

void *weir_realloc(void *p, size_t count, size_t size)
{
    size_t n;
    WEIR_ASSERT(!__builtin_mul_overflow(count, size, &n));
    return checked(realloc(p, n == 0 ? 1 : n));
}

char *weir_strdup(const char *s)
{
    return checked(strdup(s));
}

char *weir_strndup(const char *s, size_t n)
{
    return checked(strndup(s, n));
}

void weir_freep(void *pp)
{
    int saved = errno;
    void *p;
    memcpy(&p, pp, sizeof p);
    free(p);
    p = NULL;
    memcpy(pp, &p, sizeof p);
    errno = saved;
}

void weir_closep(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        (void)close(*fd);
        *fd = -1;
        errno = saved;
    }
}

void *weir_arena_alloc(struct weir_arena *a, size_t n)
{
    const size_t align = alignof(max_align_t);
    WEIR_ASSERT(n <= SIZE_MAX / 2);
    n = (n + align - 1) / align * align;
    struct weir_arena_block *b = a->head;
    if (b == NULL || b->size - b->used < n) {
        size_t size = n > ARENA_BLOCK_BYTES ? n : ARENA_BLOCK_BYTES;
        b = checked(malloc(sizeof *b + size));
        b->next = a->head;
        b->size = size;
        b->used = 0;
        a->head = b;
    }
    void *p = b->data + b->used;
    b->used += n;
    a->used_bytes += n;
    memset(p, 0, n);
    return p;
}

char *weir_arena_strndup(struct weir_arena *a, const char *s, size_t n)
{
    char *p = weir_arena_alloc(a, n + 1);
    memcpy(p, s, n);
    return p;
}

void weir_arena_reset(struct weir_arena *a)
{
    while (a->head != NULL && a->head->next != NULL) {
        struct weir_arena_block *next = a->head->next;
        free(a->head);
        a->head = next;
    }
    if (a->head != NULL) {
        a->head->used = 0;
    }
    a->used_bytes = 0;
}

void weir_arena_release(struct weir_arena *a)
{
    weir_arena_reset(a);
    free(a->head);
    a->head = NULL;
}
