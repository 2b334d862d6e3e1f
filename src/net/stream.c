/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streamed answers. The library asks for more whenever the client can take it; while there is
 * nothing the connection sleeps, with its socket given to the watcher so that a client that goes
 * away is noticed. The state moves as that of a request does:
 *
 *   RUN -> PARKED   nothing to send: the connection sleeps
 *   any -> WOKEN    there is more; whoever moves from PARKED resumes the connection
 */

#include <stdlib.h>
#include <sys/epoll.h>

#include "base/mem.h"
#include "net/server_priv.h"

enum stream_state { STREAM_RUN, STREAM_PARKED, STREAM_WOKEN };

enum { STREAM_BLOCK = 8 * 1024 };

struct weir_stream {
    struct connection *connection;
    struct MHD_Connection *mhd;
    atomic_int state;
    atomic_bool is_client_gone;
    bool is_watched;
    weir_stream_pull_fn *pull;
    void (*done)(void *ctx);
    void *ctx;
};

void weir_stream_wake(struct weir_stream *s)
{
    struct MHD_Connection *mhd = s->mhd;
    if (atomic_exchange(&s->state, STREAM_WOKEN) == STREAM_PARKED) {
        weir_mhd.MHD_resume_connection(mhd);
    }
}

void weir_stream_client_gone(struct weir_stream *s)
{
    atomic_store(&s->is_client_gone, true);
    weir_stream_wake(s);
}

void weir_stream_stop(struct weir_stream *s)
{
    weir_stream_wake(s); /* on_pull sees that the server is stopping */
}

static void watch_client(struct weir_stream *s)
{
    struct connection *c = s->connection;
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = c->id};
    (void)epoll_ctl(
        c->server->watch_fd, s->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
    s->is_watched = true;
}

static ssize_t on_pull(void *ctx, uint64_t at, char *buf, size_t size)
{
    (void)at;
    struct weir_stream *s = ctx;
    if (atomic_load(&s->is_client_gone)) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (atomic_load(&s->connection->server->is_stopping)) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    atomic_store(&s->state, STREAM_RUN);
    long n = s->pull(s->ctx, buf, size);
    if (n < 0) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (n > 0) {
        return n;
    }
    if (!s->is_watched) {
        watch_client(s);
    }
    weir_mhd.MHD_suspend_connection(s->mhd);
    int expected = STREAM_RUN;
    if (!atomic_compare_exchange_strong(&s->state, &expected, STREAM_PARKED)) {
        weir_mhd.MHD_resume_connection(s->mhd);
    }
    return 0;
}

static void on_free(void *ctx)
{
    struct weir_stream *s = ctx;
    struct connection *c = s->connection;
    (void)pthread_mutex_lock(&c->server->lock);
    c->stream = NULL;
    (void)pthread_mutex_unlock(&c->server->lock);
    if (s->is_watched) {
        (void)epoll_ctl(c->server->watch_fd, EPOLL_CTL_DEL, c->fd, NULL);
    }
    if (s->done != NULL) {
        s->done(s->ctx);
    }
    free(s);
}

struct weir_stream *weir_request_stream(struct weir_http_request *r,
                                        int status,
                                        const char *content_type,
                                        weir_stream_pull_fn *pull,
                                        void (*done)(void *ctx),
                                        void *ctx)
{
    struct connection *c = r->connection;
    struct weir_stream *s = weir_alloc(sizeof(*s));
    *s = (struct weir_stream){
        .connection = c, .mhd = r->mhd, .pull = pull, .done = done, .ctx = ctx};
    atomic_init(&s->state, STREAM_RUN);
    r->response =
        weir_mhd.MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_pull, s, on_free);
    if (r->response == NULL) {
        done(ctx);
        free(s);
        weir_request_fail(r, -WEIR_ENOMEM, NULL);
        return NULL;
    }
    (void)weir_mhd.MHD_add_response_header(r->response,
                                  MHD_HTTP_HEADER_CONTENT_TYPE,
                                  content_type == NULL ? "application/json" : content_type);
    (void)weir_mhd.MHD_add_response_header(r->response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    r->status = status;
    (void)pthread_mutex_lock(&c->server->lock);
    c->stream = s;
    (void)pthread_mutex_unlock(&c->server->lock);
    weir_request_answered(r);
    return s;
}
