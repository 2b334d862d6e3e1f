/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * libcurl, loaded when the first client that needs it is made and not when the program starts: with
 * the libraries that it draws in, it costs more time than all else that a command does.
 * Only the types and constants of its header are used; every function goes through this table.
 */

#include <curl/curl.h>

#include "base/err.h"

struct weir_curl {
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *easy);
    void (*easy_reset)(CURL *easy);
    CURLcode (*easy_perform)(CURL *easy);
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    const char *(*easy_strerror)(CURLcode code);
    CURLHcode (*easy_header)(CURL *easy, const char *name, size_t index, unsigned origin, int request, struct curl_header **ret);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_cleanup)(CURLM *multi);
    CURLMcode (*multi_add_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_assign)(CURLM *multi, curl_socket_t fd, void *p);
    CURLMsg *(*multi_info_read)(CURLM *multi, int *left);
    CURLMcode (*multi_setopt)(CURLM *multi, CURLMoption option, ...);
    CURLMcode (*multi_socket_action)(CURLM *multi, curl_socket_t fd, int flags, int *running);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
};

/* Valid once weir_curl_init has returned 0. */
extern struct weir_curl weir_curl;

/*
 * Loads the library and its own state, once per process and from any thread: without TLS, which
 * GnuTLS sets up itself. Errors: -WEIR_EUNSUPPORTED (not installed, or too old), -WEIR_ENOMEM.
 */
int weir_curl_init(struct weir_err *err);
