/* SPDX-License-Identifier: Apache-2.0 */
#include "net/curl_lib.h"

#include <pthread.h>

#include "base/mem.h"

/* One interface under several names, by the TLS library inside. */
static const char *const names[] = {"libcurl-gnutls.so.4", "libcurl.so.4", NULL};

struct weir_curl weir_curl;

#define ROW(f) {#f, &weir_curl.f},
static const struct weir_symbol symbols[] = {
    WEIR_CURL_FUNCTIONS(ROW)
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct weir_err why;
static int result;

static void init(void)
{
    result = weir_library_load(names, symbols, WEIR_ARRAY_LEN(symbols), &why);
    if (result == 0) {
        /* without TLS, which GnuTLS sets up itself */
        CURLcode code = weir_curl.curl_global_init(CURL_GLOBAL_SSL);
        result = code == CURLE_OK ? 0 : weir_fail(&why, -WEIR_ENOMEM, "libcurl: %s", weir_curl.curl_easy_strerror(code));
    }
}

int weir_curl_init(struct weir_err *err)
{
    (void)pthread_once(&once, init);
    return result == 0 ? 0 : weir_fail(err, result, "%s", why.text);
}
