/* SPDX-License-Identifier: Apache-2.0 */
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

static const struct {
    const char *name;
    const char *text;
    int http;
    int exit;
    bool retry;
} table[WEIR_ERROR_MAX] = {
    [WEIR_OK] = {"ok", "ok", 200, 0, false},
#define X(name, text, http, exit, retry) [WEIR_E##name] = {#name, text, http, exit, retry},
    WEIR_ERRORS(X)
#undef X
};

static int index_of(int code)
{
    int i = -code;
    return i >= 0 && i < WEIR_ERROR_MAX ? i : WEIR_EIO;
}

/* A text that was cut to its size ends with a whole character. */
static void drop_half_character(struct weir_err *err)
{
    size_t n = strlen(err->text);
    size_t at = n;
    while (at > 0 && n - at < 3 && ((unsigned char)err->text[at - 1] & 0xc0) == 0x80) {
        at--;
    }
    unsigned char lead = at > 0 ? (unsigned char)err->text[at - 1] : 0;
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
    if (n - at + 1 < want) {
        err->text[at - 1] = '\0';
    }
}

/* What was quoted from outside may hold anything; what a person reads, and what goes into JSON, is text. */
static void make_text(struct weir_err *err)
{
    drop_half_character(err);
    struct weir_sv rest = weir_sv_of(err->text);
    if (weir_utf8_is_text(rest)) {
        return;
    }
    for (size_t i = 0; i < rest.n;) {
        size_t n = 1;
        while (n <= 4 && i + n <= rest.n && !weir_utf8_is_text((struct weir_sv){rest.p + i, n})) {
            n++;
        }
        if (n > 4 || i + n > rest.n) {
            err->text[i] = '?';
            n = 1;
        }
        i += n;
    }
}

int weir_fail(struct weir_err *err, int code, const char *fmt, ...)
{
    if (err != NULL) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
        make_text(err);
    }
    return code;
}

int weir_fail_prefix(struct weir_err *err, int code, const char *fmt, ...)
{
    if (err != NULL) {
        char old[sizeof err->text];
        memcpy(old, err->text, sizeof old);
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof err->text) {
            (void)snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old);
        }
        make_text(err);
    }
    return code;
}

const char *weir_error_text(int code)
{
    return table[index_of(code)].text;
}

const char *weir_error_name(int code)
{
    static _Thread_local char lower[WEIR_ERROR_MAX][16];
    int i = index_of(code);
    for (size_t k = 0; k + 1 < sizeof lower[i] && table[i].name[k] != '\0'; k++) {
        char c = table[i].name[k];
        lower[i][k] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return lower[i];
}

int weir_error_http_status(int code)
{
    return table[index_of(code)].http;
}

int weir_error_exit_status(int code)
{
    return table[index_of(code)].exit;
}

bool weir_error_is_retryable(int code)
{
    return table[index_of(code)].retry;
}

int weir_error_from_http(int status)
{
    if (status >= 200 && status < 300) {
        return 0;
    }
    switch (status) {
    case 409:
        return -WEIR_ECONFLICT;
    case 429:
    case 502:
    case 503:
        return -WEIR_EUNAVAIL;
    case 500:
        return -WEIR_EIO;
    default:
        break;
    }
    for (int i = 1; i < WEIR_ERROR_MAX; i++) {
        if (table[i].http == status) {
            return -i;
        }
    }
    return status >= 400 && status < 500 ? -WEIR_EINVAL : -WEIR_EIO;
}

int weir_error_from_errno(int errno_value)
{
    switch (errno_value) {
    case EISDIR:
    case ENAMETOOLONG:
        return -WEIR_EINVAL;
    case ENOENT:
    case ENOTDIR:
    case ESRCH:
        return -WEIR_ENOTFOUND;
    case EACCES:
    case EPERM:
        return -WEIR_EDENIED;
    case EEXIST:
        return -WEIR_EEXISTS;
    case ENOSPC:
    case EDQUOT:
        return -WEIR_ENOSPACE;
    case ENOMEM:
        return -WEIR_ENOMEM;
    case EADDRINUSE:
        return -WEIR_EINUSE;
    case ETIMEDOUT:
        return -WEIR_ETIMEOUT;
    case ECONNREFUSED:
    case EAGAIN:
        return -WEIR_EUNAVAIL;
    default:
        return -WEIR_EIO;
    }
}
