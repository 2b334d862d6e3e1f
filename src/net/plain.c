/* SPDX-License-Identifier: Apache-2.0 */
#include "net/plain.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/plain_wire.h"

enum {
    BUFFER_BYTES = 16 * 1024,
};

struct weir_plain {
    int fd; /* -1: not connected */
    char authority[WEIR_AUTHORITY_SIZE];
    struct weir_answer answer; /* the last one */
    int64_t until_us;
    char buffer[BUFFER_BYTES];
};

struct weir_plain *weir_plain_new(void)
{
    struct weir_plain *p = weir_alloc(sizeof *p);
    p->fd = -1;
    return p;
}

static void hang_up(struct weir_plain *p)
{
    weir_closep(&p->fd);
    p->fd = -1;
}

void weir_plain_free(struct weir_plain *p)
{
    if (p != NULL) {
        hang_up(p);
        weir_answer_release(&p->answer);
        free(p);
    }
}

/* ---- the socket ---- */

static int wait_for(const struct weir_plain *p, short events, int64_t until_us)
{
    for (;;) {
        int64_t left = weir_i64_sub_sat(until_us, weir_clock_mono(&weir_clock_os).us);
        if (left <= 0) {
            return -WEIR_ETIMEOUT;
        }
        struct pollfd f = {.fd = p->fd, .events = events};
        int64_t ms = (left + 999) / 1000;
        int r = poll(&f, 1, ms > 1000000 ? 1000000 : (int)ms);
        if (r > 0) {
            return 0;
        }
        if (r < 0 && errno != EINTR) {
            return -WEIR_EIO;
        }
    }
}

int weir_plain_connect(struct weir_sv authority, const char **why)
{
    struct weir_address a;
    int on = 1;
    *why = "not an address of this host";
    if (!weir_plain_resolve(authority, &a)) {
        return -WEIR_EUNAVAIL;
    }
    int fd = socket(a.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (fd < 0 || (connect(fd, &a.sa.any, a.size) < 0 && errno != EINPROGRESS && errno != EINTR)) {
        *why = strerror(errno);
        weir_closep(&fd);
        return -WEIR_EUNAVAIL;
    }
    return fd;
}

static int dial(struct weir_plain *p, const struct weir_http_call *call, struct weir_sv authority, const char **why)
{
    int error = 0;
    socklen_t size = sizeof error;
    hang_up(p);
    p->fd = weir_plain_connect(authority, why);
    if (p->fd < 0) {
        p->fd = -1;
        return -WEIR_EUNAVAIL;
    }
    unsigned ms = call->connect_timeout_ms == 0 ? WEIR_HTTP_CONNECT_TIMEOUT_MS : call->connect_timeout_ms;
    int64_t until = weir_i64_add_sat(weir_clock_mono(&weir_clock_os).us, (int64_t)ms * 1000);
    if (wait_for(p, POLLOUT, until < p->until_us ? until : p->until_us) < 0) {
        error = ETIMEDOUT;
    } else if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
    }
    if (error != 0) {
        hang_up(p);
        *why = strerror(error);
        return -WEIR_EUNAVAIL;
    }
    (void)snprintf(p->authority, sizeof p->authority, "%.*s", WEIR_SV_ARG(authority));
    return 0;
}

/* Whatever could not be sent: the server may have answered before it closed, so that is read first. */
static int send_all(struct weir_plain *p, struct weir_sv text)
{
    while (text.n > 0) {
        ssize_t n = send(p->fd, text.p, text.n, MSG_NOSIGNAL);
        if (n > 0) {
            text.p += n;
            text.n -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            int r = wait_for(p, POLLOUT, p->until_us);
            if (r < 0) {
                return r;
            }
        } else if (n < 0 && errno != EINTR) {
            return 0;
        }
    }
    return 0;
}

static int read_answer(struct weir_plain *p, const char **why)
{
    while (p->answer.state != WEIR_ANSWER_DONE) {
        ssize_t n = recv(p->fd, p->buffer, sizeof p->buffer, 0);
        int r = 0;
        if (n > 0) {
            r = weir_answer_feed(&p->answer, p->buffer, (size_t)n);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            r = weir_answer_end(&p->answer);
        } else if (errno == EAGAIN) {
            r = wait_for(p, POLLIN, p->until_us);
            p->answer.why = p->answer.has_begun ? "the answer did not end in time" : "no answer in time";
        }
        if (r < 0) {
            *why = p->answer.why;
            return r;
        }
    }
    return 0;
}

/* ---- the call ---- */

static int exchange(struct weir_plain *p,
                    const struct weir_http_call *call,
                    struct weir_sv request,
                    weir_http_sink_fn *sink,
                    void *sink_ctx,
                    const char **why)
{
    weir_answer_release(&p->answer);
    weir_answer_begin(&p->answer, call->method, call->reply_bytes_max, sink, sink_ctx);
    *why = "the request could not be sent in time";
    int r = send_all(p, request);
    return r < 0 ? r : read_answer(p, why);
}

int weir_plain_call(struct weir_plain *p,
                    const struct weir_http_call *call,
                    weir_http_sink_fn *sink,
                    void *sink_ctx,
                    struct weir_http_reply *reply)
{
    struct weir_sv authority = {NULL, 0};
    const char *path = "";
    const char *why = "the request is too large";
    bool is_ours = weir_plain_split(call->url, &authority, &path);
    WEIR_ASSERT(is_ours);
    p->until_us = weir_i64_add_sat(weir_clock_mono(&weir_clock_os).us, (int64_t)call->timeout_ms * 1000);
    struct weir_str request;
    weir_plain_write_request(call, authority, path, &request);
    bool kept = p->fd >= 0 && weir_sv_eq(authority, weir_sv_of(p->authority));
    int r = request.overflowed ? -WEIR_EINVAL : kept ? 0 : dial(p, call, authority, &why);
    if (r == 0) {
        r = exchange(p, call, weir_str_sv(&request), sink, sink_ctx, &why);
        if (r == -WEIR_EIO && kept && !p->answer.has_begun) {
            /* the server had closed it meanwhile */
            r = dial(p, call, authority, &why);
            r = r < 0 ? r : exchange(p, call, weir_str_sv(&request), sink, sink_ctx, &why);
        }
    }
    if (call->bearer != NULL && request.n > 0) {
        explicit_bzero(request.p, request.n);
    }
    weir_str_release(&request);
    if (r < 0 || !weir_answer_keeps_connection(&p->answer)) {
        hang_up(p);
    }
    if (r < 0) {
        weir_plain_fail(call, r, why, reply);
        return r;
    }
    weir_answer_reply(&p->answer, reply);
    return 0;
}
