/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a document tree, with what is said of those that are none. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"
#include "spec/spec_priv.h"

int read_fail_prefix(const struct reader *rd, const struct doc *at, int code, const char *path)
{
    bool has_place = rd->file_name != NULL && at != NULL && at->line != 0;
    if (path[0] != '\0') {
        (void)weir_fail_prefix(rd->err, code, "%s", path);
    }
    if (has_place) {
        (void)weir_fail_prefix(rd->err, code, "%s:%u:%u", rd->file_name, at->line, at->column);
    } else if (rd->file_name != NULL) {
        (void)weir_fail_prefix(rd->err, code, "%s", rd->file_name);
    }
    return code;
}

int read_fail(const struct reader *rd, const struct doc *at, int code, const char *path, const char *fmt, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)weir_fail(rd->err, code, "%s", text);
    return read_fail_prefix(rd, at, code, path);
}

void read_warn(const struct reader *rd, const struct doc *at, const char *path, const char *fmt, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (at != NULL && at->key_line != 0) {
        spec_warn(rd->spec, "line %u: %s: %s", at->key_line, path, text);
    } else {
        spec_warn(rd->spec, "%s: %s", path, text);
    }
}

int read_wrong_kind(const struct reader *rd, const struct doc *d, const char *path, const char *want)
{
    static const char *const kinds[] = {"nothing", "a single value", "a list", "a mapping"};
    return read_fail(rd, d, -WEIR_EINVAL, path, "must be %s, not %s", want, kinds[d->kind]);
}

int read_scalar(struct reader *rd, const struct doc *d, const char *path, struct weir_sv *ret)
{
    if (d->kind != DOC_SCALAR) {
        return read_wrong_kind(rd, d, path, "a single value");
    }
    if (d->text.n > 0 && memchr(d->text.p, '\0', d->text.n) != NULL) {
        return read_fail(rd, d, -WEIR_EINVAL, path, "the text has a NUL character");
    }
    *ret = d->text;
    return 0;
}

void read_replace(char **ret, struct weir_sv text)
{
    free(*ret);
    *ret = weir_strndup(text.n == 0 ? "" : text.p, text.n);
}

int read_text(struct reader *rd, const struct doc *d, const char *path, char **ret)
{
    struct weir_sv text;
    int r = read_scalar(rd, d, path, &text);
    if (r == 0 && text.n > WEIR_SPEC_BYTES_MAX) {
        r = read_fail(rd, d, -WEIR_ELIMIT, path, "longer than %d bytes", WEIR_SPEC_BYTES_MAX);
    }
    if (r == 0 && (d->type == DOC_NUMBER || d->type == DOC_BOOL)) {
        r = read_fail(rd, d, -WEIR_EINVAL, path, "must be text");
    }
    if (r == 0) {
        read_replace(ret, text);
    }
    return r;
}

int read_check_line(struct reader *rd, const struct doc *d, const char *path, size_t bytes_max, struct weir_sv text)
{
    if (text.n == 0) {
        return read_fail(rd, d, -WEIR_EINVAL, path, "is empty; leave the key out instead");
    }
    if (text.n > bytes_max) {
        return read_fail(rd, d, -WEIR_ELIMIT, path, "has %zu bytes; at most %zu are allowed",
                         text.n, bytes_max);
    }
    if (!weir_utf8_is_text(text) || memchr(text.p, '\n', text.n) != NULL ||
        memchr(text.p, '\t', text.n) != NULL) {
        return read_fail(rd, d, -WEIR_EINVAL, path, "must be one line of text");
    }
    return 0;
}

int read_line(struct reader *rd, const struct doc *d, const char *path, size_t bytes_max, char **ret)
{
    struct weir_sv text;
    int r = read_scalar(rd, d, path, &text);
    r = r != 0 ? r : read_check_line(rd, d, path, bytes_max, text);
    if (r == 0) {
        read_replace(ret, text);
    }
    return r;
}

int read_u64(struct reader *rd, const struct doc *d, const char *path, uint64_t min, uint64_t max, uint64_t *ret)
{
    struct weir_sv text;
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    r = weir_parse_u64(text, min, max, ret, rd->err);
    return r == 0 ? 0 : read_fail_prefix(rd, d, r, path);
}

int read_duration(struct reader *rd, const struct doc *d, const char *path, struct weir_dur *ret)
{
    struct weir_sv text;
    struct weir_dur v;
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    r = weir_parse_duration(text, &v, rd->err);
    if (r != 0) {
        return read_fail_prefix(rd, d, r, path);
    }
    if (v.us == 0 || v.us > DURATION_MAX_US) {
        return read_fail(rd, d, -WEIR_EOVERFLOW, path,
                         "must be longer than 0 and at most 3650 days");
    }
    *ret = v;
    return 0;
}

int read_money(struct reader *rd, const struct doc *d, const char *path, int64_t min, int64_t *ret)
{
    struct weir_sv text;
    int64_t v;
    char currency[WEIR_CURRENCY_SIZE];
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    r = weir_parse_money(text, &v, currency, rd->err);
    r = r != 0 ? r : weir_spec_note_currency(rd->spec, currency, rd->err);
    if (r != 0) {
        return read_fail_prefix(rd, d, r, path);
    }
    if (v < min || v > MONEY_MAX_MICRO) {
        return read_fail(rd, d, -WEIR_EOVERFLOW, path, "must be %s and at most 1000000000",
                         min > 0 ? "more than 0 (leave it out for no limit)" : "at least 0");
    }
    *ret = v;
    return 0;
}

int read_at_least(struct reader *rd, const struct doc *d, const char *path, struct weir_sv *ret)
{
    int r = read_scalar(rd, d, path, ret);
    if (r != 0) {
        return r;
    }
    *ret = weir_sv_trim(*ret);
    if (ret->n > 0 && ret->p[ret->n - 1] == '+') {
        ret->n--;
    }
    return 0;
}

int read_mib(struct reader *rd, const struct doc *d, const char *path, uint64_t max, uint64_t *ret)
{
    struct weir_sv text;
    uint64_t bytes;
    int r = read_at_least(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    r = weir_parse_bytes(text, UINT64_C(1) << 30, &bytes, rd->err);
    if (r != 0) {
        return read_fail_prefix(rd, d, r, path);
    }
    if (bytes == 0 || mib_of_bytes(bytes) > max) {
        return read_fail(rd, d, -WEIR_EOVERFLOW, path, "must be more than 0 and at most %llu MiB",
                         (unsigned long long)max);
    }
    *ret = mib_of_bytes(bytes);
    return 0;
}

static bool is_given(const struct reader *rd, struct weir_sv name)
{
    for (size_t i = 0; i < rd->n_given; i++) {
        if (weir_sv_eq(weir_sv_of(rd->given[i]), name)) {
            return true;
        }
    }
    return false;
}

int read_pairs(struct reader *rd, const struct doc *d, const char *path, size_t pairs_max, struct weir_pair **ret, size_t *ret_n)
{
    if (d->kind == DOC_NULL) {
        return 0;
    }
    if (d->kind != DOC_MAP) {
        return read_wrong_kind(rd, d, path, "a mapping of names to values");
    }
    if (*ret_n + d->n > pairs_max) {
        return read_fail(rd, d, -WEIR_ELIMIT, path, "%zu entries; at most %zu are allowed",
                         *ret_n + d->n, pairs_max);
    }
    for (const struct doc *c = d->first; c != NULL; c = c->next) {
        struct weir_sv value;
        if (c->kind == DOC_NULL && ret == &rd->spec->envs && is_given(rd, c->key)) {
            continue; /* the file leaves it to whoever submits it */
        }
        if (c->kind == DOC_NULL) {
            return read_fail(rd, c, -WEIR_EINVAL, path,
                             "'%.*s' has no value; %swrite \"\" where it is to be empty",
                             c->key.n > 60 ? 60 : (int)c->key.n, c->key.p,
                             ret == &rd->spec->envs ? "give it one with --env NAME=VALUE, or " : "");
        }
        int r = read_scalar(rd, c, path, &value);
        if (r != 0) {
            return r;
        }
        for (size_t i = 0; i < *ret_n; i++) {
            if (weir_sv_eq(weir_sv_of((*ret)[i].key), c->key)) {
                return read_fail(rd, c, -WEIR_EINVAL, path, "'%.*s' is given twice",
                                 c->key.n > 60 ? 60 : (int)c->key.n, c->key.p);
            }
        }
        pair_add(ret, ret_n, c->key, value);
    }
    return 0;
}
