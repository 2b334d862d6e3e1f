/* SPDX-License-Identifier: Apache-2.0 */
#include "net/curl_lib.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* One interface under several names, by the TLS library inside; the one that was built against comes first. */
static const char *const NAMES[] = {"libcurl-gnutls.so.4", "libcurl.so.4"};

struct weir_curl weir_curl;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct weir_err why;
static int result;

/* dlsym gives an object pointer; POSIX promises that it holds a function. */
static bool load(void *lib, const char *name, void *slot)
{
    void *p = dlsym(lib, name);
    memcpy(slot, &p, sizeof p);
    if (p == NULL) {
        result = weir_fail(&why, -WEIR_EUNSUPPORTED, "libcurl lacks %s: version 7.84 or later is needed", name);
    }
    return p != NULL;
}

static bool load_all(void *lib)
{
    struct weir_curl *c = &weir_curl;
    return load(lib, "curl_global_init", &c->global_init) && load(lib, "curl_easy_init", &c->easy_init) &&
           load(lib, "curl_easy_cleanup", &c->easy_cleanup) && load(lib, "curl_easy_reset", &c->easy_reset) &&
           load(lib, "curl_easy_perform", &c->easy_perform) && load(lib, "curl_easy_setopt", &c->easy_setopt) &&
           load(lib, "curl_easy_getinfo", &c->easy_getinfo) && load(lib, "curl_easy_strerror", &c->easy_strerror) &&
           load(lib, "curl_easy_header", &c->easy_header) && load(lib, "curl_multi_init", &c->multi_init) &&
           load(lib, "curl_multi_cleanup", &c->multi_cleanup) && load(lib, "curl_multi_add_handle", &c->multi_add_handle) &&
           load(lib, "curl_multi_remove_handle", &c->multi_remove_handle) &&
           load(lib, "curl_multi_assign", &c->multi_assign) && load(lib, "curl_multi_info_read", &c->multi_info_read) &&
           load(lib, "curl_multi_setopt", &c->multi_setopt) &&
           load(lib, "curl_multi_socket_action", &c->multi_socket_action) &&
           load(lib, "curl_slist_append", &c->slist_append) && load(lib, "curl_slist_free_all", &c->slist_free_all);
}

static void open_library(void)
{
    void *lib = NULL;
    for (size_t i = 0; lib == NULL && i < WEIR_ARRAY_LEN(NAMES); i++) {
        lib = dlopen(NAMES[i], RTLD_LAZY | RTLD_LOCAL);
    }
    if (lib == NULL) {
        result = weir_fail(&why, -WEIR_EUNSUPPORTED, "libcurl is not installed (%s or %s), and what is not plain HTTP on this host needs it",
                           NAMES[0], NAMES[1]);
        return;
    }
    if (load_all(lib)) { /* never unloaded: its state lasts as long as the process */
        CURLcode code = weir_curl.global_init(CURL_GLOBAL_SSL);
        result = code == CURLE_OK ? 0 : weir_fail(&why, -WEIR_ENOMEM, "libcurl: %s", weir_curl.easy_strerror(code));
    }
}

int weir_curl_init(struct weir_err *err)
{
    (void)pthread_once(&once, open_library);
    return result == 0 ? 0 : weir_fail(err, result, "%s", why.text);
}
