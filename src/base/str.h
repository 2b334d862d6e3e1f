/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Strings. struct weir_sv is a borrowed piece of input, not terminated. struct weir_str builds
 * output and has a mandatory cap, so that no buffer grows without a bound: what goes over the cap
 * is dropped, and the builder remembers it ("overflowed") for one check at the end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct weir_sv {
    const char *p;
    size_t n;
};

#define WEIR_SV(literal) ((struct weir_sv){"" literal, sizeof(literal) - 1})
/* For printf("%.*s", WEIR_SV_ARG(sv)). */
#define WEIR_SV_ARG(sv) (int)((sv).n > 4096 ? 4096 : (sv).n), (sv).p

static inline struct weir_sv weir_sv_of(const char *s)
{
    return (struct weir_sv){s, s == NULL ? 0 : strlen(s)};
}

static inline bool weir_sv_eq(struct weir_sv a, struct weir_sv b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool weir_streq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

bool weir_sv_eq_nocase(struct weir_sv a, struct weir_sv b);
bool weir_sv_starts(struct weir_sv s, struct weir_sv prefix);
struct weir_sv weir_sv_trim(struct weir_sv s);
/* Cuts off and returns what stands before the first sep; all of it where there is none, and then
 * *rest becomes empty with p == NULL. */
struct weir_sv weir_sv_cut(struct weir_sv *rest, char sep);
/* Shell-style match with '*' and '?' only; linear in practice, never recursive. */
bool weir_glob_match(struct weir_sv pattern, struct weir_sv text);
/* Edit distance (Levenshtein) up to 63 characters each; larger inputs give SIZE_MAX. */
size_t weir_edit_distance(struct weir_sv a, struct weir_sv b);
/* The entry of a NULL-terminated list nearest to word, or NULL where none is near enough to be a
 * likely typing error. For "unknown key 'X'; did you mean 'Y'?". */
const char *weir_nearest(struct weir_sv word, const char *const *list);
/* True where every byte is part of well-formed UTF-8 and none is a control character other than
 * tab and newline. */
bool weir_utf8_is_text(struct weir_sv s);

struct weir_str {
    char *p; /* always terminated once anything was added; NULL before */
    size_t n;
    size_t size;
    size_t max_bytes; /* the cap */
    bool overflowed;
};

/* No allocation happens before the first byte. */
#define WEIR_STR_INIT(cap) ((struct weir_str){.max_bytes = (cap)})

void weir_str_release(struct weir_str *s);
/* Keeps the memory, forgets the content and the overflow mark. */
void weir_str_clear(struct weir_str *s);
void weir_str_add(struct weir_str *s, const char *p, size_t n);
void weir_str_adds(struct weir_str *s, const char *z);
void weir_str_addc(struct weir_str *s, char c);
void weir_str_addf(struct weir_str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void weir_str_add_u64(struct weir_str *s, uint64_t v);
void weir_str_add_i64(struct weir_str *s, int64_t v);
/* Never NULL: "" where nothing was added. */
const char *weir_str_cstr(const struct weir_str *s);
struct weir_sv weir_str_sv(const struct weir_str *s);
/* Hands the buffer to the caller, who frees it; the builder is empty afterwards. Never NULL. */
char *weir_str_take(struct weir_str *s);
