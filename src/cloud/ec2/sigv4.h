/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * AWS Signature Version 4. libcurl has one too, but takes its own clock, so that a provider's time cannot be followed and the published
 * vectors cannot be tried; and it signs queries as they stand. This one signs any request whose path is "/" or free of
 * characters that would be encoded.
 */

#include "base/wtime.h"
#include "cloud/call.h"

struct weir_sigv4_key {
    char id[160];
    char secret[160];
    char token[4096]; /* of temporary credentials; "" for others */
};

/* Adds x-amz-date, x-amz-security-token where the key has a token, and Authorization. Signs the host, those, and every header that the
 * call has. Errors: -WEIR_EUNSUPPORTED (GnuTLS is not there), -WEIR_EINVAL (a URL that cannot be signed). */
int weir_sigv4_sign(const struct weir_sigv4_key *key, const char *region, const char *service, const struct weir_http_call *call,
                    struct weir_wall now, struct weir_cloud_headers *h, struct weir_err *err);
