/* SPDX-License-Identifier: Apache-2.0 */
#include "net/gnutls_lib.h"

#include <pthread.h>

#include "base/mem.h"

static const char *const names[] = {"libgnutls.so.30", NULL};

struct weir_gnutls weir_gnutls;

#define ROW(f) {#f, &weir_gnutls.f},
static const struct weir_symbol symbols[] = {
    WEIR_GNUTLS_FUNCTIONS(ROW)
    {"gnutls_free", &weir_gnutls.gnutls_free},
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct weir_err why;
static int result;

static void init(void)
{
    result = weir_library_load(names, symbols, WEIR_ARRAY_LEN(symbols), &why);
}

int weir_gnutls_init(struct weir_err *err)
{
    (void)pthread_once(&once, init);
    return result == 0 ? 0 : weir_fail(err, result, "%s", why.text);
}
