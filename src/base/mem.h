/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memory. Allocation failure of ordinary small objects ends the program (nothing useful can be done
 * and the store is crash safe); large or input-sized allocations are bounded by their callers.
 *
 * WEIR_CLEANUP(fn) runs fn(&variable) when the variable goes out of scope; WEIR_TAKE(p) hands the
 * pointer on and leaves NULL behind.
 */

#include <stddef.h>

#define WEIR_CLEANUP(fn) __attribute__((cleanup(fn)))
#define WEIR_TAKE(p)                                                                               \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })
#define WEIR_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Zeroed memory, never NULL for n > 0. The caller frees with free(). */
void *weir_alloc(size_t n);
/* Zeroed array, never NULL; ends the program when count * size overflows. */
void *weir_calloc(size_t count, size_t size);
/* As realloc for count * size bytes, never NULL; new bytes are not zeroed. */
void *weir_realloc(void *p, size_t count, size_t size);
char *weir_strdup(const char *s);
char *weir_strndup(const char *s, size_t n);
/* For WEIR_CLEANUP on any malloc'ed pointer. */
void weir_freep(void *pp);
/* For WEIR_CLEANUP on a file descriptor; negative is ignored; errno is kept. */
void weir_closep(int *fd);

/*
 * Asks the processor to bring so many bytes into its cache: for what will be read soon, though not at once, where there is too
 * much for all of it to stay there. Nothing but time depends on it.
 */
static inline void weir_fetch(const void *p, size_t n)
{
    enum { LINE = 64 };
    for (size_t i = 0; i < n; i += LINE) {
        __builtin_prefetch((const char *)p + i);
    }
}

/*
 * Spare pieces of one size, for what comes and goes with every task: the one given back last is handed out next, while it is
 * still in the processor's cache. A thousand are kept at most. Under the address sanitizer none is, so that it sees what is used
 * after its end. Not thread safe.
 */
struct weir_spares {
    void *first; /* begins with a pointer to the next */
    size_t n;
};

/* As weir_alloc; n is the same for all of one list, and has room for a pointer. The caller gives it back, or frees it with free(). */
void *weir_spares_alloc(struct weir_spares *s, size_t n);
/* Takes ownership of p. */
void weir_spares_give(struct weir_spares *s, void *p);
void weir_spares_release(struct weir_spares *s);

/*
 * An arena: many small allocations, freed together. Not thread safe.
 */
struct weir_arena {
    struct weir_arena_block *head;
    size_t used_bytes; /* bytes handed out since the last reset */
};

/* Zeroed, aligned for any type, owned by the arena. */
void *weir_arena_alloc(struct weir_arena *a, size_t n);
char *weir_arena_strndup(struct weir_arena *a, const char *s, size_t n);
/* Frees all but one block; what was handed out is gone. */
void weir_arena_reset(struct weir_arena *a);
/* Frees everything; the arena may be used again. */
void weir_arena_release(struct weir_arena *a);
