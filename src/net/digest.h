/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SHA-256, as 64 hexadecimal digits. */

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { WEIR_SHA256_HEX_SIZE = 65 };

/* weir_gnutls_init must have returned 0. */
void weir_sha256_hex(struct weir_sv bytes, char ret[static WEIR_SHA256_HEX_SIZE]);
/* HMAC-SHA-256; weir_gnutls_init must have returned 0. */
void weir_hmac_sha256_hex(struct weir_sv key, struct weir_sv bytes, char ret[static WEIR_SHA256_HEX_SIZE]);
/* Of a file's bytes as they lie on the disk, whatever their number, which goes to *ret_bytes. Errors: those of opening it and of
 * weir_gnutls_init. */
int weir_sha256_file(const char *path, char ret[static WEIR_SHA256_HEX_SIZE], uint64_t *ret_bytes, struct weir_err *err);
