/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The commands' way to the broker: the REST API of docs/api/rest.md and nothing else. Which broker,
 * and with what token, comes from --url, WEIR_URL, WEIR_TOKEN, WEIR_CA, from 'weir login', and from the
 * token file of the default data directory, in this order. Errors are made for people: they name the broker and the remedy.
 */

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"
#include "net/client.h"
#include "options.h"

enum {
    WEIR_CLIENT_REPLY_BYTES_MAX = 64 << 20,
    WEIR_CLIENT_PAGE_MAX = 1000,
};

struct weir_client;

/* Makes the client; no connection is made yet. Errors: -WEIR_EINVAL (URL), -WEIR_ECONFIG (WEIR_CA). */
int weir_client_open(struct weir_client **ret, const struct weir_args *args, struct weir_err *err);
/* The same without any token. */
int weir_client_open_plain(struct weir_client **ret, const struct weir_args *args, struct weir_err *err);
/* From now on calls bear it. */
void weir_client_use_token(struct weir_client *a, const char *token);
/* Its connections, for calls to others; borrowed. */
struct weir_http_session *weir_client_session(struct weir_client *a);
/* A second client for the same broker, for another thread. */
int weir_client_clone(struct weir_client **ret, const struct weir_client *from, struct weir_err *err);
void weir_client_free(struct weir_client *a);
void weir_client_freep(struct weir_client **a);
/* "http://127.0.0.1:7070", without a slash at the end. */
const char *weir_client_url(const struct weir_client *a);
/* True where the broker runs on this host: its paths are ours. */
bool weir_client_is_local(const struct weir_client *a);

/*
 * One call; path begins with "/v1/". body NULL: none. *ret (may be NULL) is the answer, freed by
 * json_decref. Errors: what the broker says, with its code; -WEIR_EUNAVAIL where none answers;
 * -WEIR_EIO where what answers is no broker.
 */
int weir_client_call(struct weir_client *a, const char *method, const char *path, const char *body, json_t **ret,
                     struct weir_err *err);
/* As a GET by weir_client_call for a call that the broker holds back for wait_s at most. */
int weir_client_wait(struct weir_client *a, const char *path, unsigned wait_s, json_t **ret, struct weir_err *err);

/*
 * Follows the pages of a list and gives all items, `limit` at most (0: all), as one array.
 * path may have a query. *ret_more (may be NULL) tells whether there is more.
 */
int weir_client_list(struct weir_client *a, const char *path, uint64_t limit, json_t **ret, bool *ret_more,
                     struct weir_err *err);

/* Streams a GET's answer into sink. Errors: as weir_client_call; -WEIR_EIO and -WEIR_ETIMEOUT where the
 * stream broke off. A non-zero return of the sink ends the call and is no error. */
int weir_client_stream(struct weir_client *a, const char *path, weir_http_sink_fn *sink, void *ctx,
                       struct weir_err *err);

/* Adds "?key=value" or "&key=value" with the value percent-encoded; nothing where value is NULL. */
void weir_query_add(struct weir_str *path, const char *key, const char *value);
void weir_query_add_u64(struct weir_str *path, const char *key, uint64_t value);
/* Adds one path segment, percent-encoded. */
void weir_path_add(struct weir_str *path, const char *segment);

/* ---- reading answers: what is missing or of another type reads as the given default ---- */
/* NULL where absent or no string. */
const char *weir_get_text(const json_t *o, const char *key);
int64_t weir_get_i64(const json_t *o, const char *key, int64_t otherwise);
bool weir_get_bool(const json_t *o, const char *key);
bool weir_get_is_set(const json_t *o, const char *key);
/* "USD" where the object names no currency. */
const char *weir_get_currency(const json_t *o);
/* {0} where absent. */
struct weir_wall weir_get_time(const json_t *o, const char *key);

/* Writes a value as indented JSON and a newline on standard output. */
void weir_print_json(const json_t *v);

/* The broker's URL without a slash at the end: text (which may lack the scheme), else WEIR_URL, else the
 * default. Errors: -WEIR_EINVAL. Caller frees *ret. */
int weir_client_url_of(const char *text, char **ret, struct weir_err *err);

/* Default data directory: $XDG_DATA_HOME/weir or ~/.local/share/weir. Caller frees. */
char *weir_default_data_dir(void);
/* weir_file_read, with "-" for standard input. */
int weir_read_input(const char *path, size_t max, char **ret, size_t *ret_n, struct weir_err *err);
