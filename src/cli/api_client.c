/* SPDX-License-Identifier: Apache-2.0 */
#include "api_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/parse.h"
#include "login.h"

enum {
    CALL_TIMEOUT_MS = 60 * 1000,
    STREAM_TIMEOUT_MS = 24 * 3600 * 1000,
    CONNECT_TIMEOUT_MS = 10 * 1000,
    TOKEN_BYTES_MAX = 4096,
    CA_BYTES_MAX = 1 << 20,
    URL_BYTES_MAX = 2048,
    PATH_BYTES_MAX = 16384,
};

static const char default_url[] = "http://127.0.0.1:7070";

struct weir_client {
    struct weir_http_session *session;
    char *url;
    char *token;  /* NULL: none */
    bool token_was_found; /* in the default data directory: it may be another broker's */
    bool is_login; /* an issuer gave it */
    char *ca_pem; /* NULL: the system's */
};

int weir_read_input(const char *path, size_t max, char **ret, size_t *ret_n, struct weir_err *err)
{
    return weir_streq(path, "-") ? weir_file_read_fd(STDIN_FILENO, "standard input", max, ret, ret_n, err)
                                 : weir_file_read(path, max, ret, ret_n, err);
}

char *weir_default_data_dir(void)
{
    const char *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    struct weir_str s = WEIR_STR_INIT(4096);
    if (xdg != NULL && xdg[0] == '/') {
        weir_str_addf(&s, "%s/weir", xdg);
    } else {
        weir_str_addf(&s, "%s/.local/share/weir", home != NULL && home[0] == '/' ? home : "");
    }
    return weir_str_take(&s);
}

int weir_client_url_of(const char *text, char **ret, struct weir_err *err)
{
    if (text == NULL) {
        text = getenv("WEIR_URL");
    }
    struct weir_sv s = weir_sv_trim(weir_sv_of(text != NULL && text[0] != '\0' ? text : default_url));
    while (s.n > 0 && s.p[s.n - 1] == '/') {
        s.n--;
    }
    bool has_scheme = weir_sv_starts(s, WEIR_SV("http://")) || weir_sv_starts(s, WEIR_SV("https://"));
    bool other_scheme = !has_scheme && s.n > 0 && (memmem(s.p, s.n, "://", 3) != NULL || s.p[s.n - 1] == ':');
    struct weir_str url = WEIR_STR_INIT(URL_BYTES_MAX);
    weir_str_adds(&url, has_scheme ? "" : "http://");
    weir_str_add(&url, s.p, s.n);
    if (s.n == 0 || other_scheme || url.overflowed || !weir_utf8_is_text(s) || memchr(s.p, ' ', s.n) != NULL ||
        memchr(s.p, '?', s.n) != NULL || memchr(s.p, '#', s.n) != NULL) {
        weir_str_release(&url);
        return weir_fail(err, -WEIR_EINVAL, "'%.*s' is not the URL of a broker; it looks like %s", WEIR_SV_ARG(s),
                         default_url);
    }
    *ret = weir_str_take(&url);
    return 0;
}

/* What 'weir login' has fetched for this broker. 1: there is one. */
static int find_login(struct weir_client *a, struct weir_err *err)
{
    struct weir_login l = {0};
    int r = weir_login_read(a->url, &l, err);
    int rc = r > 0 ? weir_login_renew(a->url, &l, a->session, err) : r;
    if (r > 0 && rc == 0) {
        a->token = WEIR_TAKE(l.token);
        a->is_login = true;
    }
    weir_login_release(&l);
    return rc < 0 ? rc : r;
}

static void find_token_file(struct weir_client *a)
{
    WEIR_CLEANUP(weir_freep) char *dir = weir_default_data_dir();
    struct weir_str path = WEIR_STR_INIT(4096);
    weir_str_addf(&path, "%s/token", dir);
    WEIR_CLEANUP(weir_freep) char *text = NULL;
    size_t n = 0;
    if (weir_file_read(weir_str_cstr(&path), TOKEN_BYTES_MAX, &text, &n, NULL) == 0) {
        struct weir_sv s = weir_sv_trim((struct weir_sv){text, n});
        if (s.n > 0) {
            a->token = weir_strndup(s.p, s.n);
            a->token_was_found = true;
        }
    }
    weir_str_release(&path);
}

static int set_token(struct weir_client *a, struct weir_err *err)
{
    const char *token = getenv("WEIR_TOKEN");
    if (token != NULL && token[0] != '\0') {
        a->token = weir_strdup(token);
    } else {
        int r = find_login(a, err);
        if (r < 0) {
            return r;
        }
        if (r == 0 && weir_client_is_local(a)) {
            find_token_file(a); /* the broker's own: its token is not for brokers elsewhere */
        }
    }
    for (const char *p = a->token; p != NULL && *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~') {
            return weir_fail(err, -WEIR_ECONFIG,
                             "the token (WEIR_TOKEN or the token file) has a character "
                             "that no token has");
        }
    }
    return 0;
}

int weir_client_open_plain(struct weir_client **ret, const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *a = weir_alloc(sizeof *a);
    int r = weir_client_url_of(weir_args_text(args, "url"), &a->url, err);
    if (r < 0) {
        return r;
    }
    const char *ca = getenv("WEIR_CA");
    if (ca != NULL && ca[0] != '\0') {
        size_t n;
        r = weir_file_read(ca, CA_BYTES_MAX, &a->ca_pem, &n, err);
        if (r < 0) {
            return weir_fail_prefix(err, -WEIR_ECONFIG, "WEIR_CA");
        }
    }
    r = weir_http_session_new(&a->session, err);
    if (r < 0) {
        return r;
    }
    *ret = WEIR_TAKE(a);
    return 0;
}

int weir_client_open(struct weir_client **ret, const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *a = NULL;
    int r = weir_client_open_plain(&a, args, err);
    r = r < 0 ? r : set_token(a, err);
    if (r == 0) {
        *ret = WEIR_TAKE(a);
    }
    return r;
}

void weir_client_use_token(struct weir_client *a, const char *token)
{
    free(a->token);
    a->token = weir_strdup(token);
    a->token_was_found = false;
    a->is_login = true;
}

struct weir_http_session *weir_client_session(struct weir_client *a)
{
    return a->session;
}

int weir_client_clone(struct weir_client **ret, const struct weir_client *from, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *a = weir_alloc(sizeof *a);
    a->url = weir_strdup(from->url);
    a->token = from->token != NULL ? weir_strdup(from->token) : NULL;
    a->token_was_found = from->token_was_found;
    a->is_login = from->is_login;
    a->ca_pem = from->ca_pem != NULL ? weir_strdup(from->ca_pem) : NULL;
    int r = weir_http_session_new(&a->session, err);
    if (r < 0) {
        return r;
    }
    *ret = WEIR_TAKE(a);
    return 0;
}

void weir_client_free(struct weir_client *a)
{
    if (a == NULL) {
        return;
    }
    if (a->session != NULL) {
        weir_http_session_free(a->session);
    }
    free(a->url);
    free(a->token);
    free(a->ca_pem);
    free(a);
}

void weir_client_freep(struct weir_client **a)
{
    weir_client_free(*a);
    *a = NULL;
}

const char *weir_client_url(const struct weir_client *a)
{
    return a->url;
}

bool weir_client_is_local(const struct weir_client *a)
{
    const char *host = strstr(a->url, "://");
    host = host != NULL ? host + 3 : a->url;
    size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
    struct weir_sv h = {host, n};
    return weir_sv_eq_nocase(h, WEIR_SV("localhost")) || weir_sv_eq(h, WEIR_SV("[::1]")) ||
           weir_sv_starts(h, WEIR_SV("127."));
}

/* The error for an answer that is not 2xx. */
static int fail_status(const struct weir_client *a, const struct weir_http_reply *reply, struct weir_err *err)
{
    json_t *root = json_loadb(reply->body.p != NULL ? reply->body.p : "", reply->body.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *e = json_object_get(root, "error");
    const char *name = weir_get_text(e, "code");
    const char *message = weir_get_text(e, "message");
    int r;
    if (name == NULL || message == NULL) {
        r = weir_fail(err, -WEIR_EIO, "what answers at %s is not a weir broker (HTTP status %d%s%s): check WEIR_URL",
                      a->url, reply->status, reply->content_type[0] != '\0' ? ", " : "", reply->content_type);
        json_decref(root);
        return r;
    }
    int code = weir_error_from_http(reply->status);
    for (int i = 1; i < WEIR_ERROR_MAX; i++) {
        if (weir_streq(weir_error_name(-i), name)) {
            code = -i;
        }
    }
    if (code == -WEIR_EUNAUTH) {
        r = weir_fail(err, code, "the broker at %s %s (the file 'token' in its data directory has one)", a->url,
                      a->token == NULL ? "wants a token: run 'weir login', or set WEIR_TOKEN"
                      : a->is_login    ? "does not take the token of 'weir login': run it again"
                                       : "does not take this token: check WEIR_TOKEN");
    } else {
        r = weir_fail(err, code < 0 ? code : -WEIR_EIO, "%s", message);
    }
    json_decref(root);
    return r;
}

static int fail_call(const struct weir_client *a, const struct weir_http_reply *reply, int r, struct weir_err *err)
{
    if (r == -WEIR_EUNAVAIL) {
        return weir_fail(err, r, "no broker answers at %s: start one with 'weir serve', or set WEIR_URL (%s)", a->url,
                         reply->text);
    }
    if (r == -WEIR_EUNAUTH) {
        return weir_fail(err, r,
                         "the broker at %s is not the one we trust: set WEIR_CA to its authority's file "
                         "(tls/ca.pem in its data directory) (%s)",
                         a->url, reply->text);
    }
    return weir_fail(err, r, "the broker at %s: %s", a->url, reply->text[0] != '\0' ? reply->text : weir_error_text(r));
}

struct request {
    const char *method;
    const char *path;
    const char *body;
    unsigned timeout_ms;
    weir_http_sink_fn *sink;
    void *sink_ctx;
};

static int request(struct weir_client *a, const struct request *q, struct weir_http_reply *reply, struct weir_err *err)
{
    struct weir_str url = WEIR_STR_INIT(URL_BYTES_MAX + PATH_BYTES_MAX);
    weir_str_adds(&url, a->url);
    weir_str_adds(&url, q->path);
    if (url.overflowed) {
        weir_str_release(&url);
        return weir_fail(err, -WEIR_ELIMIT, "the request is longer than %d bytes", PATH_BYTES_MAX);
    }
    static const struct weir_http_header json = {"Content-Type", "application/json"};
    bool sends = !weir_streq(q->method, "GET");
    struct weir_http_call call = {
        .method = q->method,
        .url = weir_str_cstr(&url),
        .header = &json,
        .n_headers = sends ? 1 : 0,
        .body = weir_sv_of(q->body != NULL ? q->body
                           : sends         ? "{}"
                                           : NULL),
        .bearer = a->token,
        .ca_pem = a->ca_pem,
        .timeout_ms = q->timeout_ms,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .reply_bytes_max = WEIR_CLIENT_REPLY_BYTES_MAX,
    };
    *reply = (struct weir_http_reply){.content_type = ""};
    int r = weir_http_session_call(a->session, &call, q->sink, q->sink_ctx, reply, err);
    weir_str_release(&url);
    if (r < 0) {
        if (reply->code == 0) {
            return r; /* the call itself was refused; err says why */
        }
        return fail_call(a, reply, r, err);
    }
    if (reply->status == 401 && a->token_was_found) {
        /* Nobody chose this token. A second broker of this user wants none from him. */
        free(WEIR_TAKE(a->token));
        a->token_was_found = false;
        return request(a, q, reply, err);
    }
    return reply->status >= 200 && reply->status < 300 ? 0 : fail_status(a, reply, err);
}

static int parse_reply(const struct weir_client *a, const struct weir_http_reply *reply, json_t **ret,
                       struct weir_err *err)
{
    if (ret == NULL) {
        return 0;
    }
    json_error_t je;
    *ret = json_loadb(reply->body.p != NULL ? reply->body.p : "", reply->body.n, JSON_REJECT_DUPLICATES, &je);
    if (!json_is_object(*ret)) {
        json_decref(*ret);
        *ret = NULL;
        return weir_fail(err, -WEIR_EIO,
                         "what answers at %s is not a weir broker (the answer is not JSON): check WEIR_URL", a->url);
    }
    return 0;
}

int weir_client_call(struct weir_client *a, const char *method, const char *path, const char *body, json_t **ret,
                     struct weir_err *err)
{
    struct weir_http_reply reply;
    struct request q = {.method = method, .path = path, .body = body, .timeout_ms = CALL_TIMEOUT_MS};
    int r = request(a, &q, &reply, err);
    return r < 0 ? r : parse_reply(a, &reply, ret, err);
}

int weir_client_wait(struct weir_client *a, const char *path, unsigned wait_s, json_t **ret, struct weir_err *err)
{
    struct weir_http_reply reply;
    struct request q = {.method = "GET", .path = path, .timeout_ms = CALL_TIMEOUT_MS + wait_s * 1000};
    int r = request(a, &q, &reply, err);
    return r < 0 ? r : parse_reply(a, &reply, ret, err);
}

int weir_client_list(struct weir_client *a, const char *path, uint64_t limit, json_t **ret, bool *ret_more,
                     struct weir_err *err)
{
    json_t *all = json_array();
    char *cursor = NULL;
    int r = 0;
    bool more = true;
    while (more && (limit == 0 || json_array_size(all) < limit)) {
        struct weir_str page = WEIR_STR_INIT(PATH_BYTES_MAX);
        uint64_t left = limit == 0 ? WEIR_CLIENT_PAGE_MAX : limit - json_array_size(all);
        weir_str_adds(&page, path);
        weir_query_add_u64(&page, "limit", left < WEIR_CLIENT_PAGE_MAX ? left : WEIR_CLIENT_PAGE_MAX);
        weir_query_add(&page, "cursor", cursor);
        json_t *reply = NULL;
        r = weir_client_call(a, "GET", weir_str_cstr(&page), NULL, &reply, err);
        weir_str_release(&page);
        json_t *items = json_object_get(reply, "items");
        if (r == 0 && !json_is_array(items)) {
            r = weir_fail(err, -WEIR_EIO, "the broker's answer to %s has no list of items: is it of another version?",
                          path);
        }
        if (r < 0) {
            json_decref(reply);
            break;
        }
        const char *next = weir_get_text(reply, "next");
        bool stuck = next != NULL && (json_array_size(items) == 0 || (cursor != NULL && weir_streq(next, cursor)));
        (void)json_array_extend(all, items);
        free(cursor);
        cursor = next != NULL ? weir_strdup(next) : NULL;
        more = next != NULL && !stuck;
        json_decref(reply);
    }
    free(cursor);
    if (r < 0) {
        json_decref(all);
        return r;
    }
    if (ret_more != NULL) {
        *ret_more = more;
    }
    *ret = all;
    return 0;
}

struct stop {
    weir_http_sink_fn *sink;
    void *ctx;
    bool stopped;
};

static int stop_sink(void *ctx, const char *p, size_t n)
{
    struct stop *s = ctx;
    int r = s->sink(s->ctx, p, n);
    s->stopped = s->stopped || r != 0;
    return r;
}

int weir_client_stream(struct weir_client *a, const char *path, weir_http_sink_fn *sink, void *ctx,
                       struct weir_err *err)
{
    struct weir_http_reply reply;
    struct stop stop = {.sink = sink, .ctx = ctx};
    struct request q = {
        .method = "GET",
        .path = path,
        .timeout_ms = STREAM_TIMEOUT_MS,
        .sink = stop_sink,
        .sink_ctx = &stop,
    };
    int r = request(a, &q, &reply, err);
    return stop.stopped ? 0 : r;
}

static void add_encoded(struct weir_str *out, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     strchr("-._~", *p) != NULL;
        if (plain) {
            weir_str_addc(out, (char)*p);
        } else {
            weir_str_addc(out, '%');
            weir_str_addc(out, hex[*p >> 4]);
            weir_str_addc(out, hex[*p & 15]);
        }
    }
}

void weir_query_add(struct weir_str *path, const char *key, const char *value)
{
    if (value == NULL) {
        return;
    }
    weir_str_addc(path, strchr(weir_str_cstr(path), '?') == NULL ? '?' : '&');
    weir_str_addf(path, "%s=", key);
    add_encoded(path, value);
}

void weir_query_add_u64(struct weir_str *path, const char *key, uint64_t value)
{
    char buf[24];
    (void)snprintf(buf, sizeof buf, "%llu", (unsigned long long)value);
    weir_query_add(path, key, buf);
}

void weir_path_add(struct weir_str *path, const char *segment)
{
    weir_str_addc(path, '/');
    /* "." and ".." would be resolved away on the way. */
    if (weir_streq(segment, ".") || weir_streq(segment, "..")) {
        weir_str_adds(path, weir_streq(segment, ".") ? "%2E" : "%2E%2E");
        return;
    }
    add_encoded(path, segment);
}

const char *weir_get_text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

int64_t weir_get_i64(const json_t *o, const char *key, int64_t otherwise)
{
    const json_t *v = json_object_get(o, key);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool weir_get_bool(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

bool weir_get_is_set(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return v != NULL && !json_is_null(v);
}

const char *weir_get_currency(const json_t *o)
{
    const char *c = weir_get_text(o, "currency");
    return c != NULL && c[0] != '\0' ? c : "USD";
}

struct weir_wall weir_get_time(const json_t *o, const char *key)
{
    struct weir_wall t = {0};
    const char *text = weir_get_text(o, key);
    if (text != NULL) {
        (void)weir_parse_time(weir_sv_of(text), &t, NULL);
    }
    return t;
}

void weir_print_json(const json_t *v)
{
    (void)json_dumpf(v, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    (void)fputc('\n', stdout);
}
