/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A growable array of any type: declare with WEIR_VEC(type) name = {0}; release with
 * weir_vec_release(&name). Elements move when it grows: keep indices, not pointers.
 */

#include <stdint.h>
#include <stdlib.h>

#include "assert.h"
#include "mem.h"

#define WEIR_VEC(type)                                                                             \
    struct {                                                                                       \
        type *p;                                                                                   \
        size_t n;                                                                                  \
        size_t size;                                                                               \
    }

/* Room for one more element; returns nothing, the element is v->p[v->n] before n is raised. */
#define weir_vec_reserve(v, want)                                                                  \
    do {                                                                                           \
        size_t want_ = (want);                                                                     \
        if (want_ > (v)->size) {                                                                   \
            size_t size_ = (v)->size < 8 ? 8 : (v)->size * 2;                                      \
            if (size_ < want_) {                                                                   \
                size_ = want_;                                                                     \
            }                                                                                      \
            (v)->p = weir_realloc((v)->p, size_, sizeof *(v)->p);                                  \
            (v)->size = size_;                                                                     \
        }                                                                                          \
    } while (0)

#define weir_vec_push(v, ...)                                                                      \
    do {                                                                                           \
        weir_vec_reserve((v), (v)->n + 1);                                                         \
        (v)->p[(v)->n++] = (__VA_ARGS__);                                                          \
    } while (0)

#define weir_vec_clear(v) ((void)((v)->n = 0))

#define weir_vec_release(v)                                                                        \
    do {                                                                                           \
        free((v)->p);                                                                              \
        (v)->p = NULL;                                                                             \
        (v)->n = 0;                                                                                \
        (v)->size = 0;                                                                             \
    } while (0)
