/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asynchronous client. What goes to this very host in plain HTTP is plain_async.c's; all else is
 * libcurl's, which is not loaded before it is needed: its multi interface driven by libuv. libcurl says which sockets it
 * wants watched and when it wants to be called again; finished transfers are reported from the
 * loop, never from inside send, so that callers need not expect their callback before send returns.
 */

#include <stdlib.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/client_priv.h"
#include "net/mail.h"
#include "net/plain_async.h"
#include "net/plain_wire.h"

enum { CONNECTIONS_PER_HOST_MAX = 16, CONNECTIONS_KEPT_MAX = 64 };

struct client;

struct call {
    struct weir_transfer transfer;
    struct client *client;
    struct call *prev;
    struct call *next;
    uint64_t id;
    char *body;
    weir_http_fn *done;
    void *ctx;
};

/* A socket that libcurl wants watched. */
struct watched {
    uv_poll_t poll;
    struct client *client;
    curl_socket_t fd;
};

struct client {
    struct weir_http http; /* first: what the user holds */
    uv_loop_t *loop;
    uv_timer_t timer;
    struct weir_plain_pool *plain;
    CURLM *multi; /* NULL: not needed yet */
    struct call *calls;
    uint64_t last_id;
    struct weir_authorities authorities;
    bool is_reporting; /* in collect: freeing is put off to its end */
    bool is_freed;
};

static void call_free(struct call *c)
{
    weir_curl.curl_easy_cleanup(c->transfer.easy);
    weir_transfer_release(&c->transfer);
    free(c->body);
    free(c);
}

static void unlink_call(struct call *c)
{
    struct client *client = c->client;
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        client->calls = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    (void)weir_curl.curl_multi_remove_handle(client->multi, c->transfer.easy);
}

static void client_end(struct client *client);

/* Reports what has finished. Callbacks may send, cancel and free. */
static void collect(struct client *client)
{
    int left = 0;
    CURLMsg *m;
    client->is_reporting = true;
    while (!client->is_freed && (m = weir_curl.curl_multi_info_read(client->multi, &left)) != NULL) {
        if (m->msg != CURLMSG_DONE) {
            continue;
        }
        CURLcode result = m->data.result;
        char *private = NULL;
        (void)weir_curl.curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        struct call *c = (struct call *)(void *)private;
        unlink_call(c);
        struct weir_http_reply reply;
        weir_transfer_finish(&c->transfer, result, &reply);
        c->done(c->ctx, &reply);
        call_free(c);
    }
    client->is_reporting = false;
    if (client->is_freed) {
        client_end(client);
    }
}

/* ---- libuv's calls ---- */

static void on_timer(uv_timer_t *timer)
{
    struct client *client = timer->data;
    int running = 0;
    (void)weir_curl.curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(client);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watched *w = poll->data;
    struct client *client = w->client;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    int running = 0;
    (void)weir_curl.curl_multi_socket_action(client->multi, w->fd, flags, &running);
    collect(client);
}

static void on_watched_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* ---- libcurl's calls ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    (void)easy;
    struct client *client = ctx;
    struct watched *w = socket_ctx;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            (void)weir_curl.curl_multi_assign(client->multi, fd, NULL);
            (void)uv_poll_stop(&w->poll);
            uv_close((uv_handle_t *)&w->poll, on_watched_closed);
        }
        return 0;
    }
    if (w == NULL) {
        w = weir_alloc(sizeof(*w));
        w->client = client;
        w->fd = fd;
        if (uv_poll_init_socket(client->loop, &w->poll, fd) != 0) {
            free(w);
            return -1;
        }
        w->poll.data = w;
        (void)weir_curl.curl_multi_assign(client->multi, fd, w);
    }
    int events = (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
    events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
    return uv_poll_start(&w->poll, events, on_ready) == 0 ? 0 : -1;
}

static int on_timeout(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct client *client = ctx;
    if (timeout_ms < 0) {
        return uv_timer_stop(&client->timer) == 0 ? 0 : -1;
    }
    /* The loop's idea of now may be old when it was busy. */
    uv_update_time(client->loop);
    return uv_timer_start(&client->timer, on_timer, (uint64_t)timeout_ms, 0) == 0 ? 0 : -1;
}

/* ---- the interface ---- */

static int ready_multi(struct client *client)
{
    if (client->multi != NULL) {
        return 0;
    }
    int r = weir_curl_init(NULL);
    if (r < 0) {
        return r;
    }
    client->multi = weir_curl.curl_multi_init();
    if (client->multi == NULL) {
        return -WEIR_ENOMEM;
    }
    (void)weir_curl.curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)weir_curl.curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    (void)weir_curl.curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    (void)weir_curl.curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    (void)weir_curl.curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_PER_HOST_MAX);
    (void)weir_curl.curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT_MAX);
    return 0;
}

/* With a copy of the body. Errors: -WEIR_EUNSUPPORTED, -WEIR_ENOMEM. */
static int call_new(struct client *client, struct weir_sv body, weir_http_fn *done, void *ctx, struct call **ret)
{
    int r = ready_multi(client);
    CURL *easy = r < 0 ? NULL : weir_curl.curl_easy_init();
    if (easy == NULL) {
        return r < 0 ? r : -WEIR_ENOMEM;
    }
    struct call *c = weir_alloc(sizeof(*c));
    c->transfer.easy = easy;
    c->client = client;
    c->done = done;
    c->ctx = ctx;
    if (body.n > 0) {
        c->body = memcpy(weir_alloc(body.n), body.p, body.n);
    }
    *ret = c;
    return 0;
}

/* Lets it go, unless its set-up failed with r; then it is freed. */
static int call_begin(struct call *c, int r, uint64_t *ret_id)
{
    struct client *client = c->client;
    (void)weir_curl.curl_easy_setopt(c->transfer.easy, CURLOPT_PRIVATE, c);
    if (r == 0 && weir_curl.curl_multi_add_handle(client->multi, c->transfer.easy) != CURLM_OK) {
        r = -WEIR_ENOMEM;
    }
    if (r < 0) {
        call_free(c);
        return r;
    }
    c->id = ++client->last_id;
    c->next = client->calls;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    client->calls = c;
    if (ret_id != NULL) {
        *ret_id = c->id;
    }
    return 0;
}

static int client_send(struct weir_http *h,
                       const struct weir_http_call *call,
                       weir_http_fn *done,
                       void *ctx,
                       uint64_t *ret_id)
{
    struct client *client = (struct client *)(void *)h;
    if (weir_plain_serves(call->url)) {
        int refused = weir_call_check(call, NULL);
        refused = refused < 0 ? refused : weir_plain_pool_send(client->plain, call, done, ctx, client->last_id + 1);
        if (refused == 0 && ret_id != NULL) {
            *ret_id = client->last_id + 1;
        }
        client->last_id += refused == 0 ? 1 : 0;
        return refused;
    }
    struct call *c = NULL;
    int r = call_new(client, call->body, done, ctx, &c);
    if (r < 0) {
        return r;
    }
    struct weir_http_call copy = *call;
    copy.body.p = c->body;
    r = weir_transfer_setup(&c->transfer, &copy, &client->authorities, NULL);
    return call_begin(c, r, ret_id);
}

int weir_mail_send(struct weir_http *h, const struct weir_mail *m, weir_http_fn *done, void *ctx, uint64_t *ret_id)
{
    struct client *client = (struct client *)(void *)h;
    struct call *c = NULL;
    int r = call_new(client, m->message, done, ctx, &c);
    if (r < 0) {
        return r;
    }
    struct weir_mail copy = *m;
    copy.message.p = c->body;
    r = weir_transfer_setup_mail(&c->transfer, &copy, &client->authorities);
    return call_begin(c, r, ret_id);
}

static void client_cancel(struct weir_http *h, uint64_t id)
{
    struct client *client = (struct client *)(void *)h;
    if (weir_plain_pool_cancel(client->plain, id)) {
        return;
    }
    for (struct call *c = client->calls; c != NULL; c = c->next) {
        if (c->id == id) {
            unlink_call(c);
            call_free(c);
            return;
        }
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void client_end(struct client *client)
{
    while (client->calls != NULL) {
        struct call *c = client->calls;
        unlink_call(c);
        call_free(c);
    }
    if (client->multi != NULL) {
        (void)weir_curl.curl_multi_cleanup(client->multi); /* its sockets are given back by on_socket */
    }
    weir_plain_pool_free(client->plain);
    weir_authorities_release(&client->authorities);
    (void)uv_timer_stop(&client->timer);
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}

static void client_free(struct weir_http *h)
{
    if (h == NULL) {
        return;
    }
    struct client *client = (struct client *)(void *)h;
    WEIR_ASSERT(!client->is_freed);
    client->is_freed = true;
    if (!client->is_reporting) {
        client_end(client);
    }
}

static const struct weir_http_ops client_ops = {client_send, client_cancel, client_free};

int weir_http_prepare(const char *url, struct weir_err *err)
{
    return weir_plain_serves(url) ? 0 : weir_curl_init(err);
}

struct weir_http *weir_http_new(struct uv_loop_s *loop)
{
    struct client *client = weir_alloc(sizeof(*client));
    client->http.ops = &client_ops;
    client->loop = loop;
    client->plain = weir_plain_pool_new(loop);
    (void)uv_timer_init(loop, &client->timer);
    client->timer.data = client;
    return &client->http;
}
