/* SPDX-License-Identifier: Apache-2.0 */

/* By Nettle, which GnuTLS draws in: GnuTLS itself gives no public key of a private one of this curve. */

#include "net/x25519.h"

#include <pthread.h>
#include <stdint.h>

#include "base/mem.h"
#include "net/library.h"

static const char *const names[] = {"libhogweed.so.6", NULL};

static void (*mul_g)(uint8_t *q, const uint8_t *n);
static const struct weir_symbol symbols[] = {{"nettle_curve25519_mul_g", &mul_g}};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct weir_err why;
static int result;

static void init(void)
{
    result = weir_library_load(names, symbols, WEIR_ARRAY_LEN(symbols), &why);
}

int weir_x25519_init(struct weir_err *err)
{
    (void)pthread_once(&once, init);
    return result == 0 ? 0 : weir_fail(err, result, "%s", why.text);
}

void weir_x25519_clamp(unsigned char key[static WEIR_X25519_BYTES])
{
    key[0] &= 248;
    key[31] = (unsigned char)((key[31] & 127) | 64);
}

void weir_x25519_public(const unsigned char key[static WEIR_X25519_BYTES], unsigned char ret[static WEIR_X25519_BYTES])
{
    mul_g(ret, key);
}
