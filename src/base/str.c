/* SPDX-License-Identifier: Apache-2.0 */
#include "str.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "assert.h"
#include "mem.h"

enum { STR_SIZE_MIN = 64, EDIT_MAX = 63 };

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool weir_sv_eq_nocase(struct weir_sv a, struct weir_sv b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

bool weir_sv_starts(struct weir_sv s, struct weir_sv prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct weir_sv weir_sv_trim(struct weir_sv s)
{
    while (s.n > 0 && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

struct weir_sv weir_sv_cut(struct weir_sv *rest, char sep)
{
    struct weir_sv s = *rest;
    const char *at = s.n > 0 ? memchr(s.p, sep, s.n) : NULL;
    if (at == NULL) {
        *rest = (struct weir_sv){NULL, 0};
        return s;
    }
    size_t head = (size_t)(at - s.p);
    *rest = (struct weir_sv){at + 1, s.n - head - 1};
    return (struct weir_sv){s.p, head};
}

bool weir_glob_match(struct weir_sv pattern, struct weir_sv text)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX;
    size_t star_t = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            star_t = t;
        } else if (p < pattern.n && (pattern.p[p] == '?' || pattern.p[p] == text.p[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_t;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*') {
        p++;
    }
    return p == pattern.n;
}

size_t weir_edit_distance(struct weir_sv a, struct weir_sv b)
{
    size_t row[EDIT_MAX + 1];
    if (a.n > EDIT_MAX || b.n > EDIT_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b.n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t best = diagonal + (lower(a.p[i - 1]) == lower(b.p[j - 1]) ? 0 : 1);
            if (row[j] + 1 < best) {
                best = row[j] + 1;
            }
            if (row[j - 1] + 1 < best) {
                best = row[j - 1] + 1;
            }
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b.n];
}

const char *weir_nearest(struct weir_sv word, const char *const *list)
{
    const char *best = NULL;
    size_t best_distance = word.n / 3 + 2;
    for (; *list != NULL; list++) {
        size_t d = weir_edit_distance(word, weir_sv_of(*list));
        if (d < best_distance) {
            best_distance = d;
            best = *list;
        }
    }
    return best;
}

/* Are these eight bytes all printable ASCII? A byte outside of it, or the lowest of several, sets its highest bit in one of the
 * three terms. */
static bool is_plain_word(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    const uint64_t ones = UINT64_C(0x0101010101010101);
    return ((w | (w + ones) | (w - 0x20 * ones)) & 0x80 * ones) == 0;
}

bool weir_utf8_is_text(struct weir_sv s)
{
    size_t i = 0;
    while (i < s.n) {
        if (s.n - i >= sizeof(uint64_t) && is_plain_word(s.p + i)) {
            i += sizeof(uint64_t);
            continue;
        }
        unsigned char c = (unsigned char)s.p[i];
        size_t more;
        uint32_t cp;
        if (c < 0x80) {
            if (c == 0x7f || (c < 0x20 && c != '\t' && c != '\n')) {
                return false;
            }
            i++;
            continue;
        }
        if (c >= 0xc2 && c <= 0xdf) {
            more = 1;
            cp = c & 0x1fU;
        } else if (c >= 0xe0 && c <= 0xef) {
            more = 2;
            cp = c & 0x0fU;
        } else if (c >= 0xf0 && c <= 0xf4) {
            more = 3;
            cp = c & 0x07U;
        } else {
            return false;
        }
        if (s.n - i <= more) {
            return false;
        }
        for (size_t k = 1; k <= more; k++) {
            unsigned char d = (unsigned char)s.p[i + k];
            if ((d & 0xc0U) != 0x80) {
                return false;
            }
            cp = cp << 6 | (d & 0x3fU);
        }
        bool overlong = (more == 2 && cp < 0x800) || (more == 3 && cp < 0x10000);
        bool control = cp >= 0x80 && cp < 0xa0;
        if (overlong || control || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) {
            return false;
        }
        i += more + 1;
    }
    return true;
}

void weir_str_release(struct weir_str *s)
{
    free(s->p);
    *s = WEIR_STR_INIT(s->max_bytes);
}

void weir_str_clear(struct weir_str *s)
{
    s->n = 0;
    s->overflowed = false;
    if (s->p != NULL) {
        s->p[0] = '\0';
    }
}

/* Makes room for extra bytes and the terminator; false where the cap forbids it. */
static bool reserve(struct weir_str *s, size_t extra)
{
    WEIR_ASSERT(s->max_bytes > 0);
    if (s->overflowed || extra > s->max_bytes - s->n) {
        s->overflowed = true;
        return false;
    }
    size_t need = s->n + extra + 1;
    if (need > s->size) {
        size_t size = s->size < STR_SIZE_MIN ? STR_SIZE_MIN : s->size * 2;
        while (size < need) {
            size *= 2;
        }
        s->p = weir_realloc(s->p, size, 1);
        s->size = size;
    }
    return true;
}

void weir_str_add(struct weir_str *s, const char *p, size_t n)
{
    if (!reserve(s, n)) {
        return;
    }
    if (n > 0) {
        memcpy(s->p + s->n, p, n);
    }
    s->n += n;
    s->p[s->n] = '\0';
}

void weir_str_adds(struct weir_str *s, const char *z)
{
    weir_str_add(s, z, strlen(z));
}

void weir_str_addc(struct weir_str *s, char c)
{
    weir_str_add(s, &c, 1);
}

void weir_str_addf(struct weir_str *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && reserve(s, (size_t)n)) {
        (void)vsnprintf(s->p + s->n, (size_t)n + 1, fmt, again);
        s->n += (size_t)n;
    }
    va_end(again);
}

void weir_str_add_u64(struct weir_str *s, uint64_t v)
{
    char buf[20];
    size_t i = sizeof buf;
    do {
        buf[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    weir_str_add(s, buf + i, sizeof buf - i);
}

void weir_str_add_i64(struct weir_str *s, int64_t v)
{
    if (v < 0) {
        weir_str_addc(s, '-');
    }
    weir_str_add_u64(s, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

const char *weir_str_cstr(const struct weir_str *s)
{
    return s->p == NULL ? "" : s->p;
}

struct weir_sv weir_str_sv(const struct weir_str *s)
{
    return (struct weir_sv){weir_str_cstr(s), s->n};
}

char *weir_str_take(struct weir_str *s)
{
    char *p = s->p != NULL ? s->p : weir_strdup("");
    *s = WEIR_STR_INIT(s->max_bytes);
    return p;
}
