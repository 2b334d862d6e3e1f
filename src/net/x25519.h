/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Keys of X25519 (RFC 7748), as WireGuard has them. */

#include "base/err.h"

enum { WEIR_X25519_BYTES = 32 };

/* Loads the library, once per process, from any thread. Errors: those of weir_library_load. */
int weir_x25519_init(struct weir_err *err);
/* Makes 32 random bytes a private key: sets the bits that one has set, and clears those that one has not. */
void weir_x25519_clamp(unsigned char key[static WEIR_X25519_BYTES]);
/* The public key of a private one; weir_x25519_init must have returned 0. */
void weir_x25519_public(const unsigned char key[static WEIR_X25519_BYTES], unsigned char ret[static WEIR_X25519_BYTES]);
