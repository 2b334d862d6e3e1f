/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Parts of URLs written, and the target of a request line read: path and query, percent-decoded, refused where malformed. Strict
 * on purpose: what two programs may read differently is an attack or an error, never a path.
 */

#include "base/str.h"

enum { WEIR_URI_QUERY_MAX = 32 };

struct weir_uri {
    const char *path; /* decoded; begins with '/', or is "*" */
    size_t n_query;
    struct {
        const char *key;
        const char *value;
    } query[WEIR_URI_QUERY_MAX];
};

/*
 * Decodes raw ("/a%20b?x=1&y", or "http://host/a" as sent to a proxy) into buf, which must have
 * room for raw.n + 2 bytes; ret borrows from it. Refused: a '%' without two hex digits, control
 * characters and NUL in the path, NUL in the query, a "." or ".." segment, a '#', more than
 * WEIR_URI_QUERY_MAX keys. On failure *ret_why says what is wrong (a constant).
 * Errors: -WEIR_EINVAL.
 */
int weir_uri_decode(struct weir_sv raw, char *buf, struct weir_uri *ret, const char **ret_why);

/* Appends the text with all but A-Z a-z 0-9 - _ . ~ percent-encoded: for a part of a path, a query or a form. */
void weir_uri_encode(struct weir_str *ret, struct weir_sv text);
