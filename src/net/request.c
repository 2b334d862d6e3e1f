/* SPDX-License-Identifier: Apache-2.0 */
/* One request: reading it whole, handing it to the handler, answering it; see server_priv.h. */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "net/server_priv.h"

static const char json_type[] = "application/json";

static void set_phase(struct connection *c, enum connection_phase phase)
{
    atomic_store_explicit(&c->since_us, weir_net_now_us(), memory_order_relaxed);
    atomic_store_explicit(&c->phase, phase, memory_order_relaxed);
}

void weir_request_prepare(struct weir_http_request *r, struct connection *c)
{
    r->connection = c;
    atomic_init(&r->state, REQUEST_READING);
    r->uri_buf = r->uri_small;
    r->answer = r->answer_small;
}

/* Frees what one request has allocated and makes r ready for the next one. */
void weir_request_clear(struct weir_http_request *r)
{
    if (r->uri_buf != r->uri_small) {
        free(r->uri_buf);
        r->uri_buf = r->uri_small;
    }
    if (r->answer != r->answer_small) {
        free(r->answer);
        r->answer = r->answer_small;
    }
    if (r->response != NULL) {
        weir_mhd.MHD_destroy_response(r->response);
        r->response = NULL;
    }
    if (r->body_size > BODY_KEEP) {
        free(r->body);
        r->body = NULL;
        r->body_size = 0;
    }
    r->body_n = 0;
    r->answer_n = 0;
    r->status = 0;
    r->is_begun = r->is_too_large = false;
    r->n_again = 0;
    r->refusal = NULL;
    r->uri.n_query = 0;
    atomic_store_explicit(&r->state, REQUEST_READING, memory_order_relaxed);
}

/* ---- reading it ---- */

const char *weir_request_method(const struct weir_http_request *r)
{
    return r->method;
}

const char *weir_request_path(const struct weir_http_request *r)
{
    return r->uri.path;
}

const char *weir_request_query(const struct weir_http_request *r, const char *key)
{
    for (size_t i = 0; i < r->uri.n_query; i++) {
        if (weir_streq(r->uri.query[i].key, key)) {
            return r->uri.query[i].value;
        }
    }
    return NULL;
}

void weir_request_each_query(const struct weir_http_request *r,
                             void (*fn)(void *ctx, const char *key, const char *value),
                             void *ctx)
{
    for (size_t i = 0; i < r->uri.n_query; i++) {
        fn(ctx, r->uri.query[i].key, r->uri.query[i].value);
    }
}

const char *weir_request_header(const struct weir_http_request *r, const char *name)
{
    return weir_mhd.MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

struct weir_sv weir_request_body(const struct weir_http_request *r)
{
    return (struct weir_sv){r->body_n == 0 ? "" : r->body, r->body_n};
}

/*
 * A browser runs as its user, and sends what any web page tells it to. Such a request bears the
 * page's origin; where a foreign name was made to stand for this host, it bears that name.
 */
static bool is_from_foreign_page(const struct weir_http_request *r)
{
    const char *host = weir_request_header(r, MHD_HTTP_HEADER_HOST);
    if (host == NULL) {
        return false; /* HTTP/1.0: no browser */
    }
    if (!weir_host_is_loopback(weir_sv_of(host))) {
        return true;
    }
    const char *origin = weir_request_header(r, MHD_HTTP_HEADER_ORIGIN);
    const char *site = weir_request_header(r, "Sec-Fetch-Site");
    if (site != NULL && !weir_streq(site, "same-origin") && !weir_streq(site, "none")) {
        return true;
    }
    if (origin == NULL) {
        return false;
    }
    const char *authority = strstr(origin, "://");
    return authority == NULL || !weir_streq(authority + 3, host);
}

enum weir_peer_trust weir_request_trust(struct weir_http_request *r)
{
    struct connection *c = r->connection;
    if (is_from_foreign_page(r)) {
        return WEIR_PEER_UNKNOWN;
    }
    if (c->trust < 0) {
        const struct sockaddr *peer = (const struct sockaddr *)&c->peer_address;
        c->trust =
            weir_address_is_loopback(peer) ? (int)weir_peer_lookup(c->fd) : WEIR_PEER_UNKNOWN;
    }
    return (enum weir_peer_trust)c->trust;
}

const char *weir_request_peer(struct weir_http_request *r)
{
    struct connection *c = r->connection;
    if (c->peer[0] == 0) {
        (void)weir_address_format((const struct sockaddr *)&c->peer_address, c->peer);
    }
    return c->peer;
}

bool weir_request_is_hung_up(const struct weir_http_request *r)
{
    struct pollfd f = {.fd = r->connection->fd, .events = POLLRDHUP};
    return poll(&f, 1, 0) > 0;
}

/* ---- answering it ---- */

static void leave(struct weir_http_request *r, enum request_state state)
{
    struct MHD_Connection *mhd = r->mhd;
    /* After the exchange r may already be answered and gone: only mhd is used, which stays until
     * it is resumed. */
    int before = atomic_exchange(&r->state, (int)state);
    WEIR_ASSERT(before == REQUEST_RUNNING || before == REQUEST_SUSPENDED);
    if (before == REQUEST_SUSPENDED) {
        weir_mhd.MHD_resume_connection(mhd);
    }
}

void weir_request_answered(struct weir_http_request *r)
{
    leave(r, REQUEST_ANSWERED);
}

void weir_request_again(struct weir_http_request *r)
{
    r->n_again++;
    leave(r, REQUEST_AGAIN);
}

unsigned weir_request_agains(const struct weir_http_request *r)
{
    return r->n_again;
}

static struct MHD_Response *
make_response(char *body, size_t n, enum MHD_ResponseMemoryMode mode, const char *content_type)
{
    struct MHD_Response *response = weir_mhd.MHD_create_response_from_buffer(n, body, mode);
    if (response != NULL) {
        (void)weir_mhd.MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    }
    return response;
}

void weir_request_reply(struct weir_http_request *r,
                        int status,
                        const char *content_type,
                        struct weir_sv body,
                        const struct weir_http_header *headers,
                        size_t n)
{
    if (body.n > ANSWER_SMALL) {
        r->answer = memcpy(weir_alloc(body.n), body.p, body.n);
    } else if (body.n > 0) {
        memcpy(r->answer_small, body.p, body.n);
    }
    r->answer_n = body.n;
    r->status = status;
    if (n > 0 || content_type != NULL) {
        r->response = make_response(r->answer,
                                    r->answer_n,
                                    MHD_RESPMEM_PERSISTENT, /* lives in r until all is sent */
                                    content_type == NULL ? json_type : content_type);
        for (size_t i = 0; i < n && r->response != NULL; i++) {
            (void)weir_mhd.MHD_add_response_header(r->response, headers[i].name, headers[i].value);
        }
    }
    weir_request_answered(r);
}

void weir_request_reply_take(
    struct weir_http_request *r, int status, const char *content_type, char *body, size_t n)
{
    if (body == NULL) {
        n = 0;
    } else {
        r->answer = body;
    }
    r->answer_n = n;
    r->status = status;
    if (content_type != NULL) {
        r->response = make_response(r->answer, n, MHD_RESPMEM_PERSISTENT, content_type);
    }
    weir_request_answered(r);
}

static void fail_status(struct weir_http_request *r, int status, const char *name, const char *text)
{
    struct weir_str out = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_key(&j, "error");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "code", name);
    weir_json_kv_cstr(&j, "message", text);
    weir_json_end(&j);
    weir_json_end(&j);
    struct weir_http_header h = {MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer"};
    weir_request_reply(r, status, NULL, weir_str_sv(&out), &h, status == 401 ? 1 : 0);
    weir_str_release(&out);
}

void weir_request_fail(struct weir_http_request *r, int code, const struct weir_err *err)
{
    const char *text = err == NULL || err->text[0] == 0 ? weir_error_text(code) : err->text;
    fail_status(r, weir_error_http_status(code), weir_error_name(code), text);
}

/* ---- the library's calls ---- */

void *weir_request_on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    (void)cls;
    struct connection *c =
        weir_mhd.MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    struct weir_http_request *r = &c->request;
    r->mhd = mhd;
    set_phase(c, PHASE_HEADERS);
    struct weir_sv raw = weir_sv_of(uri);
    if (raw.n + 2 > URI_SMALL) {
        r->uri_buf = weir_alloc(raw.n + 2);
    }
    if (weir_uri_decode(raw, r->uri_buf, &r->uri, &r->refusal) < 0) {
        r->uri.path = "";
        r->uri.n_query = 0;
    }
    return r;
}

static enum MHD_Result send_answer(struct weir_http_request *r)
{
    struct MHD_Response *response = WEIR_TAKE(r->response);
    if (response == NULL) {
        response = make_response(r->answer, r->answer_n, MHD_RESPMEM_PERSISTENT, json_type);
    }
    if (response == NULL) {
        return MHD_NO;
    }
    enum MHD_Result ok = weir_mhd.MHD_queue_response(r->mhd, (unsigned)r->status, response);
    weir_mhd.MHD_destroy_response(response);
    return ok;
}

/* Answers at once, on the server thread, before any handler saw the request. */
static enum MHD_Result refuse(struct weir_http_request *r, int status, int code, const char *text)
{
    set_phase(r->connection, PHASE_ANSWER);
    atomic_store_explicit(&r->state, REQUEST_RUNNING, memory_order_relaxed);
    fail_status(r, status, weir_error_name(code), text);
    return send_answer(r);
}

static enum MHD_Result refuse_too_large(struct weir_http_request *r)
{
    char text[128];
    size_t max = r->connection->server->conf.body_bytes_max;
    (void)snprintf(
        text, sizeof(text), "the request's body is larger than the limit of %zu bytes", max);
    return refuse(r, MHD_HTTP_CONTENT_TOO_LARGE, -WEIR_ELIMIT, text);
}

/* The headers are there, the body is not: the time to refuse without reading it. */
static enum MHD_Result on_headers(struct weir_http_request *r)
{
    struct weir_server *s = r->connection->server;
    if (r->refusal != NULL) {
        return refuse(r, MHD_HTTP_BAD_REQUEST, -WEIR_EINVAL, r->refusal);
    }
    if (weir_mhd.MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, NULL, NULL) > HEADERS_MAX) {
        return refuse(
            r, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE, -WEIR_ELIMIT, "too many headers");
    }
    if (atomic_load_explicit(&s->is_stopping, memory_order_relaxed)) {
        return refuse(r, MHD_HTTP_SERVICE_UNAVAILABLE, -WEIR_EUNAVAIL, "the server is stopping");
    }
    const char *length = weir_request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t n = 0;
    if (length != NULL) {
        int e = weir_parse_u64(weir_sv_of(length), 0, UINT64_MAX, &n, NULL);
        if (e == -WEIR_EOVERFLOW || n > s->conf.body_bytes_max) {
            return refuse_too_large(r);
        }
        if (e < 0) {
            return refuse(r, MHD_HTTP_BAD_REQUEST, -WEIR_EINVAL, "malformed Content-Length");
        }
        if (weir_request_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL) {
            /* Two lengths: what two programs may read differently is refused. */
            return refuse(r,
                          MHD_HTTP_BAD_REQUEST,
                          -WEIR_EINVAL,
                          "both Content-Length and Transfer-Encoding are given");
        }
        if (n > r->body_size) {
            free(r->body);
            r->body = weir_alloc(n);
            r->body_size = n;
        }
    }
    atomic_store_explicit(&r->connection->received_bytes, 0, memory_order_relaxed);
    set_phase(r->connection, PHASE_BODY);
    return MHD_YES;
}

static enum MHD_Result on_body(struct weir_http_request *r, const char *p, size_t *n)
{
    size_t max = r->connection->server->conf.body_bytes_max;
    size_t got = *n;
    atomic_fetch_add_explicit(&r->connection->received_bytes, got, memory_order_relaxed);
    *n = 0;
    if (r->is_too_large || got > max - r->body_n) {
        /* Only a chunked body comes here, as no answer can be queued in the middle of a body: it
         * is read on for a while and dropped, for the sake of a clear answer. */
        r->is_too_large = true;
        uint64_t seen = atomic_load_explicit(&r->connection->received_bytes, memory_order_relaxed);
        return seen / DISCARD_FACTOR > max ? MHD_NO : MHD_YES;
    }
    if (r->body_n + got > r->body_size) {
        size_t size = r->body_size < 1024 ? 1024 : r->body_size * 2;
        size = size < r->body_n + got ? r->body_n + got : size;
        r->body = weir_realloc(r->body, size, 1);
        r->body_size = size;
    }
    memcpy(r->body + r->body_n, p, got);
    r->body_n += got;
    return MHD_YES;
}

static enum MHD_Result on_complete(struct weir_http_request *r)
{
    struct weir_server *s = r->connection->server;
    if (r->is_too_large) {
        return refuse_too_large(r);
    }
    set_phase(r->connection, PHASE_ANSWER);
    if (!r->is_counted) { /* the first time */
        r->is_counted = true;
        atomic_fetch_add(&s->n_active, 1);
    }
    atomic_store(&r->state, REQUEST_RUNNING);
    s->conf.handler(s->conf.ctx, r);
    if (atomic_load(&r->state) == REQUEST_ANSWERED) {
        return send_answer(r);
    }
    weir_mhd.MHD_suspend_connection(r->mhd);
    int expected = REQUEST_RUNNING;
    if (!atomic_compare_exchange_strong(&r->state, &expected, REQUEST_SUSPENDED)) {
        weir_mhd.MHD_resume_connection(r->mhd); /* answered in between; we are called again */
    }
    return MHD_YES;
}

enum MHD_Result weir_request_on_access(void *cls,
                                       struct MHD_Connection *mhd,
                                       const char *url,
                                       const char *method,
                                       const char *version,
                                       const char *upload,
                                       size_t *upload_n,
                                       void **con_cls)
{
    (void)cls;
    (void)mhd;
    (void)url;
    (void)version;
    struct weir_http_request *r = *con_cls;
    if (!r->is_begun) {
        r->is_begun = true;
        r->method = method;
        return on_headers(r);
    }
    if (atomic_load(&r->state) == REQUEST_ANSWERED) {
        return send_answer(r);
    }
    if (*upload_n > 0) {
        return on_body(r, upload, upload_n);
    }
    return on_complete(r);
}

void weir_request_on_completed(void *cls,
                               struct MHD_Connection *mhd,
                               void **con_cls,
                               enum MHD_RequestTerminationCode why)
{
    (void)mhd;
    (void)why;
    struct weir_server *s = cls;
    struct weir_http_request *r = *con_cls;
    if (r == NULL) {
        return;
    }
    *con_cls = NULL;
    bool was_counted = r->is_counted;
    r->is_counted = false;
    weir_request_clear(r);
    set_phase(r->connection, PHASE_IDLE);
    if (was_counted && atomic_fetch_sub(&s->n_active, 1) == 1 && atomic_load(&s->is_stopping)) {
        (void)pthread_mutex_lock(&s->lock);
        (void)pthread_cond_signal(&s->drained);
        (void)pthread_mutex_unlock(&s->lock);
    }
}
