/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SHA-256, as 64 hexadecimal digits, and HMAC with it. */

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { WEIR_SHA256_BYTES = 32, WEIR_SHA256_HEX_SIZE = 65 };

/* weir_gnutls_init must have returned 0. */
void weir_sha256_hex(struct weir_sv bytes, char ret[static WEIR_SHA256_HEX_SIZE]);
/* HMAC-SHA-256; weir_gnutls_init must have returned 0. */
void weir_hmac_sha256_hex(struct weir_sv key, struct weir_sv bytes, char ret[static WEIR_SHA256_HEX_SIZE]);
/* Of a file's bytes as they lie on the disk, whatever their number, which goes to *ret_bytes. Errors: those of opening it and of
 * weir_gnutls_init. */
int weir_sha256_file(const char *path, char ret[static WEIR_SHA256_HEX_SIZE], uint64_t *ret_bytes, struct weir_err *err);
/* Of what an open descriptor has from its start; path is for messages. */
int weir_sha256_fd(int fd, const char *path, char ret[static WEIR_SHA256_HEX_SIZE], uint64_t *ret_bytes, struct weir_err *err);
/* weir_gnutls_init must have returned 0. ret may be key. */
void weir_hmac_sha256(struct weir_sv key, struct weir_sv text, unsigned char ret[static WEIR_SHA256_BYTES]);
/* Two digits a byte and a '\0'. */
void weir_hex(const unsigned char *bytes, size_t n, char *ret);
