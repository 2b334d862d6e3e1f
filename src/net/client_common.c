/* SPDX-License-Identifier: Apache-2.0 */
/* How a call is set up in libcurl, and what its end means; see client_priv.h. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/address.h"
#include "net/client_priv.h"

enum { HEADER_BYTES_MAX = 16 * 1024 };

/* ---- authorities ---- */

void weir_authorities_release(struct weir_authorities *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free(a->entry[i].pem);
        (void)close(a->entry[i].fd);
    }
    a->n = 0;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno != EINTR) {
            return -errno;
        }
        if (w > 0) {
            p += w;
            n -= (size_t)w;
        }
    }
    return 0;
}

static int authority_fd(struct weir_authorities *a, const char *pem, int *ret, struct weir_err *err)
{
    for (size_t i = 0; i < a->n; i++) {
        if (weir_streq(a->entry[i].pem, pem)) {
            *ret = a->entry[i].fd;
            return 0;
        }
    }
    if (a->n == CLIENT_AUTHORITIES_MAX) {
        return weir_fail(err,
                         -WEIR_ELIMIT,
                         "more than %d certificate authorities in use by one HTTP client",
                         CLIENT_AUTHORITIES_MAX);
    }
    int fd = memfd_create("weir-ca", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : write_all(fd, pem, strlen(pem));
    if (r < 0) {
        weir_closep(&fd);
        return weir_fail(err, -WEIR_EIO, "certificate authority: %s", strerror(-r));
    }
    a->entry[a->n].pem = weir_strdup(pem);
    a->entry[a->n].fd = fd;
    a->n++;
    *ret = fd;
    return 0;
}

/* ---- set-up ---- */

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct weir_transfer *t = ctx;
    n *= size;
    if (t->sink != NULL) {
        long status = 0;
        (void)weir_curl.curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200 && status < 300) {
            t->is_ended_by_sink = t->sink(t->sink_ctx, p, n) != 0;
            return t->is_ended_by_sink ? 0 : n;
        }
    }
    if (n > t->body.max_bytes - t->body.n) {
        t->is_over = true;
        return 0;
    }
    weir_str_add(&t->body, p, n);
    return n;
}

/* libcurl takes a connection that ends within the headers for a complete answer. */
static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct weir_transfer *t = ctx;
    n *= size;
    if (weir_sv_starts((struct weir_sv){p, n}, WEIR_SV("HTTP/"))) {
        t->has_headers = false; /* an interim answer went before */
    } else if (n > 0 && n <= 2 && p[n - 1] == '\n') {
        t->has_headers = true;
    }
    return n;
}

static bool is_header_safe(const struct weir_http_header *h)
{
    return h->name[0] != 0 && strpbrk(h->name, "\r\n: ") == NULL &&
           strpbrk(h->value, "\r\n") == NULL &&
           strlen(h->name) + strlen(h->value) + 4 < HEADER_BYTES_MAX;
}

static int add_header(struct weir_transfer *t, const char *name, const char *value)
{
    char line[HEADER_BYTES_MAX];
    /* libcurl takes "Name;" for a header without a value. */
    (void)snprintf(line, sizeof(line), value[0] == 0 ? "%s;" : "%s: %s", name, value);
    struct curl_slist *list = weir_curl.curl_slist_append(t->header, line);
    if (list == NULL) {
        return -WEIR_ENOMEM;
    }
    t->header = list;
    return 0;
}

static int
set_headers(struct weir_transfer *t, const struct weir_http_call *call, struct weir_err *err)
{
    bool has_type = false;
    int r = 0;
    for (size_t i = 0; i < call->n_headers && r == 0; i++) {
        has_type |= weir_sv_eq_nocase(weir_sv_of(call->header[i].name), WEIR_SV("Content-Type"));
        r = add_header(t, call->header[i].name, call->header[i].value);
    }
    if (call->bearer != NULL && r == 0) {
        char value[HEADER_BYTES_MAX];
        (void)snprintf(value, sizeof(value), "Bearer %s", call->bearer);
        r = add_header(t, "Authorization", value);
        explicit_bzero(value, sizeof(value));
    }
    if (call->body.n > 0 && !has_type && r == 0) {
        r = add_header(t, "Content-Type", "application/json");
    }
    /* Bodies are small and servers near: waiting for "100 Continue" only costs a round trip. */
    if (r == 0) {
        struct curl_slist *list = weir_curl.curl_slist_append(t->header, "Expect:");
        t->header = list == NULL ? t->header : list;
        r = list == NULL ? -WEIR_ENOMEM : 0;
    }
    return r < 0 ? weir_fail(err, r, "out of memory for an HTTP call") : 0;
}

static bool is_token(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
    return n > 0 && n <= 16 && s[n] == 0;
}

int weir_call_check(const struct weir_http_call *call, struct weir_err *err)
{
    if (call->timeout_ms == 0 || call->url == NULL || call->method == NULL ||
        !is_token(call->method)) {
        return weir_fail(err, -WEIR_EINVAL, "HTTP call without time-out, URL or a valid method");
    }
    for (size_t i = 0; i < call->n_headers; i++) {
        if (!is_header_safe(&call->header[i])) {
            return weir_fail(
                err, -WEIR_EINVAL, "HTTP header %zu of the call is not well-formed", i + 1);
        }
    }
    struct weir_http_header h = {"Authorization", call->bearer};
    if (call->bearer != NULL && !is_header_safe(&h)) {
        return weir_fail(err, -WEIR_EINVAL, "the token is not well-formed");
    }
    return 0;
}

static void set_method(CURL *easy, const struct weir_http_call *call)
{
    if (weir_streq(call->method, "HEAD")) {
        (void)weir_curl.curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (call->body.n > 0 || weir_streq(call->method, "POST") || weir_streq(call->method, "PUT")) {
        (void)weir_curl.curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.n);
        (void)weir_curl.curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body.n == 0 ? "" : call->body.p);
    }
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

int weir_transfer_trust(CURL *easy, const char *ca_pem, struct weir_authorities *authorities, struct weir_err *err)
{
    if (ca_pem == NULL) {
        return 0;
    }
    int fd = -1;
    int r = authority_fd(authorities, ca_pem, &fd, err);
    if (r < 0) {
        return r;
    }
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_CAINFO, path);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    return 0;
}

int weir_transfer_setup(struct weir_transfer *t,
                        const struct weir_http_call *call,
                        struct weir_authorities *authorities,
                        struct weir_err *err)
{
    int r = weir_call_check(call, err);
    if (r < 0) {
        return r;
    }
    CURL *easy = t->easy;
    t->body.max_bytes = call->reply_bytes_max;
    unsigned connect_ms =
        call->connect_timeout_ms == 0 ? WEIR_HTTP_CONNECT_TIMEOUT_MS : call->connect_timeout_ms;
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, call->once ? 1L : 0L);
    if (weir_url_is_direct(call->url)) {
        (void)weir_curl.curl_easy_setopt(easy, CURLOPT_PROXY, "");
    }
    if (weir_curl.curl_easy_setopt(easy, CURLOPT_URL, call->url) != CURLE_OK) {
        return weir_fail(err, -WEIR_ENOMEM, "out of memory for an HTTP call");
    }
    set_method(easy, call);
    if (call->cert_file != NULL) {
        (void)weir_curl.curl_easy_setopt(easy, CURLOPT_SSLCERT, call->cert_file);
        (void)weir_curl.curl_easy_setopt(easy, CURLOPT_SSLKEY, call->key_file);
    }
    r = weir_transfer_trust(easy, call->ca_pem, authorities, err);
    r = r < 0 ? r : set_headers(t, call, err);
    if (r < 0) {
        return r;
    }
    (void)weir_curl.curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->header);
    return 0;
}

/* ---- the end ---- */

static int class_of(const struct weir_transfer *t, CURLcode result)
{
    long sent_bytes = 0;
    (void)weir_curl.curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent_bytes);
    if (t->is_over) {
        return -WEIR_ELIMIT;
    }
    /* The table of what is known, not every code that libcurl has: what is not named here counts
     * by whether anything was sent. */
    if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE ||
        result == CURLE_SSL_ISSUER_ERROR || result == CURLE_SSL_CERTPROBLEM) {
        return -WEIR_EUNAUTH;
    }
    if (sent_bytes == 0) {
        bool is_bad_url = result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL;
        return is_bad_url ? -WEIR_EINVAL : -WEIR_EUNAVAIL;
    }
    return result == CURLE_OPERATION_TIMEDOUT ? -WEIR_ETIMEOUT : -WEIR_EIO;
}

static const char *content_type_of(CURL *easy)
{
    char *type = NULL;
    (void)weir_curl.curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    return type == NULL ? "" : type;
}

static long retry_after_of(CURL *easy)
{
    struct curl_header *h = NULL;
    curl_off_t s = -1;
    if (weir_curl.curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &h) == CURLHE_OK) {
        (void)weir_curl.curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &s);
    }
    return (long)s;
}

static struct weir_wall date_of(CURL *easy)
{
    struct curl_header *h = NULL;
    bool is_there = weir_curl.curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &h) == CURLHE_OK;
    return is_there ? weir_http_date(weir_sv_of(h->value)) : (struct weir_wall){0};
}

static const char *subject_token_of(CURL *easy)
{
    struct curl_header *h = NULL;
    return weir_curl.curl_easy_header(easy, "X-Subject-Token", 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

void weir_transfer_finish(struct weir_transfer *t, CURLcode result, struct weir_http_reply *reply)
{
    *reply = (struct weir_http_reply){.retry_after_s = -1, .content_type = ""};
    reply->body = (struct weir_sv){weir_str_cstr(&t->body), t->body.n};
    if (result == CURLE_OK && !t->has_headers) {
        result = CURLE_RECV_ERROR;
        (void)snprintf(
            t->error, sizeof(t->error), "the connection ended within the answer's headers");
    }
    if (result == CURLE_OK || t->is_ended_by_sink) {
        long status = 0;
        (void)weir_curl.curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        reply->status = (int)status;
        reply->content_type = content_type_of(t->easy);
        reply->retry_after_s = retry_after_of(t->easy);
        reply->date = date_of(t->easy);
        reply->subject_token = subject_token_of(t->easy);
        return;
    }
    reply->code = class_of(t, result);
    const char *url = "";
    (void)weir_curl.curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
    struct weir_sv rest = weir_sv_of(url); /* a query may hold what is not for a log */
    struct weir_sv shown = weir_sv_cut(&rest, '?');
    char over[64];
    const char *why = t->error[0] == 0 ? weir_curl.curl_easy_strerror(result) : t->error;
    if (t->is_over) {
        (void)snprintf(
            over, sizeof(over), "the answer is larger than %zu bytes", t->body.max_bytes);
        why = over;
    }
    (void)snprintf(reply->text,
                   sizeof(reply->text),
                   "%.*s: %.120s",
                   (int)(shown.n > 120 ? 120 : shown.n),
                   shown.p,
                   why);
    reply->body = WEIR_SV("");
}

void weir_transfer_release(struct weir_transfer *t)
{
    if (t->header != NULL) {
        weir_curl.curl_slist_free_all(t->header);
    }
    t->header = NULL;
    weir_str_release(&t->body);
}
