/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * weir's own certificate authority and server certificates, made with GnuTLS on first use and kept
 * in the data directory (tls/ca.pem, tls/ca-key.pem, tls/server.pem, tls/server-key.pem; keys mode
 * 0600).
 */

#include "base/err.h"
#include "base/str.h"
#include "base/wtime.h"
#include "net/digest.h"

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

/* ---- certificates of clients ---- */

/*
 * Loads the private key in the file dir/name, or makes it (mode 0600), and writes a request for a certificate for it.
 * Both caller-owned; *ret_request is PEM. Errors: -WEIR_EIO, -WEIR_ECORRUPT (names the file), -WEIR_ENOSPACE.
 */
int weir_tls_request(const char *dir, const char *name, char **ret_request, struct weir_err *err);

/* What a request asks a certificate for: ret is the SHA-256 of its public key, in hex. Errors: -WEIR_EINVAL (no request, not signed
 * by its own key, or the key is weak). */
int weir_tls_request_key(struct weir_sv request, char ret[WEIR_SHA256_HEX_SIZE], struct weir_err *err);

/*
 * Signs a request by the authority in dir: a client's certificate for the name, whatever name stands in the request.
 * *ret_pem is caller-owned. Errors: as of weir_tls_request_key and weir_tls_ensure.
 */
int weir_tls_issue(const char *dir,
                   struct weir_sv request,
                   const char *name,
                   struct weir_wall now,
                   struct weir_dur life,
                   char **ret_pem,
                   struct weir_err *err);

/* When the first certificate of a PEM text ends. Errors: -WEIR_EINVAL. */
int weir_tls_ends(struct weir_sv pem, struct weir_wall *ret, struct weir_err *err);

/* Writes a file of the directory whole or not at all, and to the disk. Errors: -WEIR_EIO, -WEIR_ENOSPACE. */
int weir_tls_write(const char *dir, const char *name, const char *text, struct weir_err *err);

/* Fills buf with n random bytes as 2n hex digits and a terminator (getrandom). */
void weir_random_hex(char *buf, size_t n);
