/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * weir's own certificate authority and server certificates, made with GnuTLS on first use and kept
 * in the data directory (tls/ca.pem, tls/ca-key.pem, tls/server.pem, tls/server-key.pem; keys mode
 * 0600).
 */

#include "base/err.h"
#include "base/wtime.h"

struct weir_tls_files {
    char *ca_pem;
    char *cert_pem; /* server certificate and the authority's */
    char *key_pem;
};

void weir_tls_files_release(struct weir_tls_files *f);

/*
 * Loads the files in dir, making what is missing: an authority valid for ten years and a server
 * certificate for the given names (DNS names or IP addresses, NULL-terminated) valid for one year,
 * made anew when fewer than 30 days are left at now or a name is missing. ECDSA P-256.
 * Errors: -WEIR_EIO, -WEIR_ECORRUPT (names the file), -WEIR_ENOSPACE, -WEIR_EINVAL (names).
 */
int weir_tls_ensure(const char *dir,
                    const char *const *names,
                    struct weir_wall now,
                    struct weir_tls_files *ret,
                    struct weir_err *err);

/* Fills buf with n random bytes as 2n hex digits and a terminator (getrandom). */
void weir_random_hex(char *buf, size_t n);
