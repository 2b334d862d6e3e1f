/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libcurl. See library.h. */

/* its macros for checking types name functions, not members */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "net/library.h"

#define WEIR_CURL_FUNCTIONS(X) \
    X(curl_easy_cleanup) \
    X(curl_easy_getinfo) \
    X(curl_easy_header) \
    X(curl_easy_init) \
    X(curl_easy_perform) \
    X(curl_easy_reset) \
    X(curl_easy_setopt) \
    X(curl_easy_strerror) \
    X(curl_global_init) \
    X(curl_multi_add_handle) \
    X(curl_multi_assign) \
    X(curl_multi_cleanup) \
    X(curl_multi_info_read) \
    X(curl_multi_init) \
    X(curl_multi_remove_handle) \
    X(curl_multi_setopt) \
    X(curl_multi_socket_action) \
    X(curl_slist_append) \
    X(curl_slist_free_all)

struct weir_curl {
    WEIR_CURL_FUNCTIONS(WEIR_LIBRARY_MEMBER)
};

/* Valid once weir_curl_init has returned 0. */
extern struct weir_curl weir_curl;

/* Loads the library once per process, from any thread. Errors: those of weir_library_load, -WEIR_ENOMEM. */
int weir_curl_init(struct weir_err *err);
