/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Errors. Every fallible function returns 0 or a negative code from this table. A code says what
 * class of thing went wrong; the text in struct weir_err says which thing, where, and what to do.
 * Verdicts ("no offer fits") are not errors: they are enum outputs of the function that gives them.
 */

#include <stdbool.h>
#include <stddef.h>

/* name, text, HTTP status of an API answer, exit status of the CLI, may the same call be retried */
#define WEIR_ERRORS(X)                                                                             \
    X(INVAL, "invalid input", 400, 2, false)                                                       \
    X(UNAUTH, "not authenticated", 401, 77, false)                                                 \
    X(DENIED, "not permitted", 403, 77, false)                                                     \
    X(NOTFOUND, "not found", 404, 3, false)                                                        \
    X(EXISTS, "already exists", 409, 4, false)                                                     \
    X(CONFLICT, "not possible in this state", 409, 4, false)                                       \
    X(LIMIT, "over a limit", 413, 5, false)                                                        \
    X(IMPOSSIBLE, "cannot be satisfied", 422, 6, false)                                            \
    X(VERSION, "version not supported", 409, 78, false)                                            \
    X(CONFIG, "bad configuration", 500, 78, false)                                                 \
    X(UNAVAIL, "not available now", 503, 69, true)                                                 \
    X(TIMEOUT, "timed out", 504, 69, true)                                                         \
    X(INUSE, "address or file in use", 500, 69, false)                                             \
    X(NOSPACE, "no space left", 503, 74, true)                                                     \
    X(IO, "input/output error", 500, 74, true)                                                     \
    X(CORRUPT, "data is corrupt", 500, 65, false)                                                  \
    X(OVERFLOW, "number out of range", 400, 2, false)                                              \
    X(NOMEM, "out of memory", 500, 71, false)                                                      \
    X(UNSUPPORTED, "not supported", 400, 2, false)

enum weir_error {
    WEIR_OK = 0,
#define X(name, text, http, exit, retry) WEIR_E##name,
    WEIR_ERRORS(X)
#undef X
        WEIR_ERROR_MAX,
};

/* A message for a person. May be passed as NULL where the caller does not care. */
struct weir_err {
    char text[512];
};

/*
 * Formats the message into err (if not NULL) and returns code, which must be a negative
 * -WEIR_E* value, so that "return weir_fail(err, -WEIR_EINVAL, ...)" is one line. The message is text
 * (weir_utf8_is_text), whatever was quoted in it: bytes that are not become '?'.
 */
int weir_fail(struct weir_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message that err already holds. Returns code. */
int weir_fail_prefix(struct weir_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The class text of a negative code, "ok" for 0. Never NULL. */
const char *weir_error_text(int code);
/* The symbolic name in lower case, for machines ("notfound"). Never NULL. */
const char *weir_error_name(int code);
int weir_error_http_status(int code);
int weir_error_exit_status(int code);
bool weir_error_is_retryable(int code);
/* The code whose HTTP status is the given one; -WEIR_EIO where none is. */
int weir_error_from_http(int status);
/* The code that a positive errno value means. */
int weir_error_from_errno(int errno_value);
