/* SPDX-License-Identifier: Apache-2.0 */
#include "net/plain_async.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/plain.h"
#include "net/plain_wire.h"

enum {
    CONNECTIONS_MAX = 16,
    BUFFER_BYTES = 16 * 1024,
};

struct call;

struct connection { /* freed once libuv has closed it */
    uv_poll_t poll;
    int fd;
    struct weir_plain_pool *pool;
    struct connection *next;
    struct call *call; /* NULL: idle */
    bool is_connected;
    bool is_reused; /* has served a call before this one */
    size_t sent;    /* of the request */
    char authority[WEIR_AUTHORITY_SIZE];
};

struct call { /* freed once libuv has closed its timer */
    uv_timer_t timer;
    struct weir_plain_pool *pool;
    struct call *next;             /* in the order of coming */
    struct connection *connection; /* NULL: waits for one, or has failed */
    uint64_t id;
    uint64_t until_ms; /* by the loop's clock */
    unsigned connect_timeout_ms;
    weir_http_fn *done;
    void *ctx;
    char *method;
    char *url;
    struct weir_sv authority; /* in url */
    struct weir_str request;
    size_t reply_bytes_max;
    struct weir_answer answer;
    bool wants_new;       /* a kept connection had been closed, or the call is for once */
    const char *not_sent; /* why it could not be; its timer tells the caller */
};

struct weir_plain_pool {
    uv_loop_t *loop;
    struct connection *connections;
    size_t n_connections;
    struct call *calls;
    unsigned n_callbacks; /* under way: the pool outlives them */
    bool is_freed;
    char buffer[BUFFER_BYTES];
};

/* ---- connections ---- */

static void on_connection_closed(uv_handle_t *h)
{
    free(h->data);
}

static void connection_close(struct connection *n)
{
    struct connection **at = &n->pool->connections;
    while (*at != n) {
        at = &(*at)->next;
    }
    *at = n->next;
    n->pool->n_connections--;
    uv_close((uv_handle_t *)&n->poll, on_connection_closed);
    (void)close(n->fd);
}

static void on_ready(uv_poll_t *poll, int status, int events);

/* An idle connection is watched, for its end, but keeps no loop alive. */
static void watch(struct connection *n)
{
    bool writes = n->call != NULL && (!n->is_connected || n->sent < n->call->request.n);
    (void)uv_poll_start(&n->poll, UV_READABLE | (writes ? UV_WRITABLE : 0), on_ready);
    if (n->call == NULL) {
        uv_unref((uv_handle_t *)&n->poll);
    } else {
        uv_ref((uv_handle_t *)&n->poll);
    }
}

static struct connection *connection_open(struct weir_plain_pool *p, struct call *c)
{
    int fd = weir_plain_connect(c->authority, &c->not_sent);
    if (fd < 0) {
        return NULL;
    }
    struct connection *n = weir_alloc(sizeof *n);
    n->fd = fd;
    n->pool = p;
    if (uv_poll_init_socket(p->loop, &n->poll, fd) != 0) {
        c->not_sent = "the socket cannot be watched";
        (void)close(fd);
        free(n);
        return NULL;
    }
    c->not_sent = NULL;
    n->poll.data = n;
    (void)snprintf(n->authority, sizeof n->authority, "%.*s", WEIR_SV_ARG(c->authority));
    n->next = p->connections;
    p->connections = n;
    p->n_connections++;
    return n;
}

/* An idle connection for the call, else one that has to make room for a new one. */
static struct connection *find_idle(struct weir_plain_pool *p, const struct call *c, bool is_fit)
{
    for (struct connection *n = p->connections; n != NULL; n = n->next) {
        if (n->call == NULL && (!is_fit || weir_sv_eq(c->authority, weir_sv_of(n->authority)))) {
            return n;
        }
    }
    return NULL;
}

/* ---- calls ---- */

static void on_call_closed(uv_handle_t *h)
{
    free(h->data);
}

static void call_free(struct call *c)
{
    struct call **at = &c->pool->calls;
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    if (c->request.n > 0) {
        explicit_bzero(c->request.p, c->request.n); /* it may hold a credential */
    }
    weir_str_release(&c->request);
    weir_answer_release(&c->answer);
    free(c->method);
    free(c->url);
    uv_close((uv_handle_t *)&c->timer, on_call_closed);
}

static void on_timer(uv_timer_t *timer);

static void set_timer(struct call *c, uint64_t limit_ms)
{
    uv_update_time(c->pool->loop);
    uint64_t now = uv_now(c->pool->loop);
    uint64_t left = c->until_ms > now ? c->until_ms - now : 0;
    (void)uv_timer_start(&c->timer, on_timer, left < limit_ms ? left : limit_ms, 0);
}

/* Gives the call a connection, where there is one to be had. */
static void call_start(struct call *c)
{
    struct weir_plain_pool *p = c->pool;
    struct connection *n = c->wants_new ? NULL : find_idle(p, c, true);
    bool is_new = n == NULL;
    if (is_new) {
        struct connection *spare = p->n_connections < CONNECTIONS_MAX ? NULL : find_idle(p, c, false);
        if (spare != NULL) {
            connection_close(spare);
        }
        if (p->n_connections >= CONNECTIONS_MAX) {
            return; /* its turn comes */
        }
        n = connection_open(p, c);
        if (n == NULL) {
            set_timer(c, 0);
            return;
        }
    }
    n->is_reused = !is_new;
    n->sent = 0;
    n->call = c;
    c->connection = n;
    set_timer(c, is_new ? c->connect_timeout_ms : UINT64_MAX);
    watch(n);
}

static void start_waiting(struct weir_plain_pool *p)
{
    for (struct call *c = p->calls; c != NULL; c = c->next) {
        if (c->connection == NULL && c->not_sent == NULL) {
            call_start(c);
        }
    }
}

/* Tells the caller, who may send, cancel and free. */
static void finish(struct call *c, int code, const char *why)
{
    struct weir_plain_pool *p = c->pool;
    struct connection *n = c->connection;
    if (n != NULL) {
        n->call = NULL;
        c->connection = NULL;
        if (code == 0 && n->sent == c->request.n && weir_answer_keeps_connection(&c->answer)) {
            watch(n);
        } else {
            connection_close(n);
        }
    }
    struct weir_http_reply reply;
    if (code == 0) {
        weir_answer_reply(&c->answer, &reply);
    } else {
        const struct weir_http_call shown = {.url = c->url};
        weir_plain_fail(&shown, code, why, &reply);
    }
    /* out of the list, so that it can be neither cancelled nor freed while its answer is in use */
    struct call **at = &p->calls;
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    (void)uv_timer_stop(&c->timer);
    p->n_callbacks++;
    c->done(c->ctx, &reply);
    p->n_callbacks--;
    c->next = p->calls;
    p->calls = c;
    call_free(c);
    if (!p->is_freed) {
        start_waiting(p);
    } else if (p->n_callbacks == 0) {
        free(p);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct call *c = timer->data;
    if (c->not_sent != NULL) {
        finish(c, -WEIR_EUNAVAIL, c->not_sent);
    } else if (c->connection == NULL || !c->connection->is_connected) {
        finish(c, -WEIR_EUNAVAIL, c->connection == NULL ? "no connection was free in time" : "no connection in time");
    } else {
        finish(c, -WEIR_ETIMEOUT, c->answer.has_begun ? "the answer did not end in time" : "no answer in time");
    }
}

/* The server had closed the kept connection meanwhile: once more on a new one. */
static void again(struct call *c)
{
    struct connection *n = c->connection;
    n->call = NULL;
    c->connection = NULL;
    connection_close(n);
    c->wants_new = true;
    call_start(c);
}

/* ---- the socket ---- */

/* Whatever could not be sent: the server may have answered before it closed, so that is read first. */
static void send_more(struct connection *n)
{
    const struct weir_str *r = &n->call->request;
    while (n->sent < r->n) {
        ssize_t k = send(n->fd, r->p + n->sent, r->n - n->sent, MSG_NOSIGNAL);
        if (k > 0) {
            n->sent += (size_t)k;
        } else if (k < 0 && errno == EAGAIN) {
            return;
        } else if (k < 0 && errno != EINTR) {
            n->sent = r->n;
        }
    }
}

static void receive(struct connection *n)
{
    struct call *c = n->call;
    ssize_t k = recv(n->fd, n->pool->buffer, sizeof n->pool->buffer, 0);
    if (k < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    int r = k > 0 ? weir_answer_feed(&c->answer, n->pool->buffer, (size_t)k) : weir_answer_end(&c->answer);
    if (r == -WEIR_EIO && n->is_reused && !c->answer.has_begun) {
        again(c);
    } else if (r < 0) {
        finish(c, r, c->answer.why);
    } else if (c->answer.state == WEIR_ANSWER_DONE) {
        c->answer.close |= k <= 0;
        finish(c, 0, NULL);
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct connection *n = poll->data;
    int error = 0;
    socklen_t size = sizeof error;
    if (n->call == NULL) { /* nothing was asked: it has ended, or says what nobody wants */
        connection_close(n);
        return;
    }
    if (!n->is_connected) {
        if (getsockopt(n->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
            finish(n->call, -WEIR_EUNAVAIL, strerror(error != 0 ? error : errno));
            return;
        }
        n->is_connected = true;
        set_timer(n->call, UINT64_MAX);
    }
    if ((events & UV_WRITABLE) != 0) {
        send_more(n);
        watch(n);
    }
    if (status < 0 || (events & UV_READABLE) != 0) {
        receive(n);
    }
}

/* ---- the interface ---- */

struct weir_plain_pool *weir_plain_pool_new(struct uv_loop_s *loop)
{
    struct weir_plain_pool *p = weir_alloc(sizeof *p);
    p->loop = loop;
    return p;
}

void weir_plain_pool_free(struct weir_plain_pool *p)
{
    if (p == NULL) {
        return;
    }
    while (p->calls != NULL) {
        call_free(p->calls);
    }
    while (p->connections != NULL) {
        connection_close(p->connections);
    }
    p->is_freed = true;
    if (p->n_callbacks == 0) {
        free(p);
    }
}

int weir_plain_pool_send(struct weir_plain_pool *p, const struct weir_http_call *call, weir_http_fn *done, void *ctx, uint64_t id)
{
    struct call *c = weir_alloc(sizeof *c);
    const char *path = "";
    *c = (struct call){.pool = p, .id = id, .done = done, .ctx = ctx, .wants_new = call->once, .reply_bytes_max = call->reply_bytes_max};
    c->method = weir_strdup(call->method);
    c->url = weir_strdup(call->url);
    bool is_ours = weir_plain_split(c->url, &c->authority, &path);
    WEIR_ASSERT(is_ours);
    weir_plain_write_request(call, c->authority, path, &c->request);
    bool is_too_large = c->request.overflowed;
    weir_answer_begin(&c->answer, c->method, c->reply_bytes_max, NULL, NULL);
    (void)uv_timer_init(p->loop, &c->timer);
    c->timer.data = c;
    uv_update_time(p->loop);
    c->until_ms = uv_now(p->loop) + call->timeout_ms;
    c->connect_timeout_ms = call->connect_timeout_ms == 0 ? WEIR_HTTP_CONNECT_TIMEOUT_MS : call->connect_timeout_ms;
    struct call **at = &p->calls;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = c;
    if (is_too_large) {
        call_free(c);
        return -WEIR_EINVAL;
    }
    set_timer(c, UINT64_MAX);
    call_start(c);
    return 0;
}

bool weir_plain_pool_cancel(struct weir_plain_pool *p, uint64_t id)
{
    for (struct call *c = p->calls; c != NULL; c = c->next) {
        if (c->id == id) {
            if (c->connection != NULL) {
                connection_close(c->connection);
            }
            call_free(c);
            start_waiting(p);
            return true;
        }
    }
    return false;
}
