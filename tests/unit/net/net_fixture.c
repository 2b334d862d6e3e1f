/* SPDX-License-Identifier: Apache-2.0 */

#include "net_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"

static struct timespec in_a_minute(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += 60;
    return t;
}

/* ---- the stream ---- */

static long stream_pull(void *ctx, char *buf, size_t size)
{
    struct fixture_stream *s = ctx;
    (void)pthread_mutex_lock(&s->lock);
    long n = (long)(s->n < size ? s->n : size);
    memcpy(buf, s->pending, (size_t)n);
    memmove(s->pending, s->pending + n, s->n - (size_t)n);
    s->n -= (size_t)n;
    if (n == 0 && s->is_ended) {
        n = -1;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return n;
}

static void stream_done(void *ctx)
{
    struct fixture_stream *s = ctx;
    (void)pthread_mutex_lock(&s->lock);
    s->is_done = true;
    s->stream = NULL;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

static void stream_wait_begun(struct fixture_stream *s)
{
    struct timespec t = in_a_minute();
    while (s->stream == NULL && !s->is_done) {
        assert_int_equal(pthread_cond_timedwait(&s->changed, &s->lock, &t), 0);
    }
}

void fixture_stream_feed(struct fixture_stream *s, const char *text)
{
    (void)pthread_mutex_lock(&s->lock);
    stream_wait_begun(s);
    size_t n = strlen(text);
    assert_true(s->n + n <= sizeof(s->pending));
    memcpy(s->pending + s->n, text, n);
    s->n += n;
    if (s->stream != NULL) {
        weir_stream_wake(s->stream);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

void fixture_stream_end(struct fixture_stream *s)
{
    (void)pthread_mutex_lock(&s->lock);
    stream_wait_begun(s);
    s->is_ended = true;
    if (s->stream != NULL) {
        weir_stream_wake(s->stream);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

void fixture_stream_wait_done(struct fixture_stream *s)
{
    struct timespec t = in_a_minute();
    (void)pthread_mutex_lock(&s->lock);
    while (!s->is_done) {
        assert_int_equal(pthread_cond_timedwait(&s->changed, &s->lock, &t), 0);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- the handler ---- */

static void
hold(struct fixture *f, struct weir_http_request **list, size_t *n, struct weir_http_request *r)
{
    (void)pthread_mutex_lock(&f->lock);
    list[(*n)++] = r;
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
}

static void reply_text(struct weir_http_request *r, const char *text)
{
    weir_request_reply(r, 200, "text/plain", weir_sv_of(text), NULL, 0);
}

static void reply_big(struct weir_http_request *r)
{
    const char *text = weir_request_query(r, "n");
    uint64_t n = 0;
    struct weir_err err;
    int e = weir_parse_u64(weir_sv_of(text == NULL ? "" : text), 1, 1 << 26, &n, &err);
    if (e < 0) {
        weir_request_fail(r, e, &err);
        return;
    }
    char *p = malloc(n);
    memset(p, 'x', n);
    weir_request_reply_take(r, 200, "text/plain", p, n);
}

static void open_stream(struct fixture *f, struct weir_http_request *r)
{
    struct fixture_stream *s = &f->stream;
    (void)pthread_mutex_lock(&s->lock);
    s->stream = weir_request_stream(r, 200, "text/plain", stream_pull, stream_done, s);
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

static void handle(void *ctx, struct weir_http_request *r)
{
    struct fixture *f = ctx;
    __atomic_fetch_add(&f->n_calls, 1, __ATOMIC_SEQ_CST);
    const char *path = weir_request_path(r);
    if (weir_streq(path, "/echo")) {
        weir_request_reply(r, 200, NULL, weir_request_body(r), NULL, 0);
    } else if (weir_streq(path, "/later")) {
        hold(f, f->later, &f->n_later, r);
    } else if (weir_streq(path, "/hold")) {
        hold(f, f->held, &f->n_held, r);
    } else if (weir_streq(path, "/query")) {
        const char *a = weir_request_query(r, "a");
        reply_text(r, a == NULL ? "(none)" : a);
    } else if (weir_streq(path, "/trust")) {
        reply_text(r, weir_request_trust(r) == WEIR_PEER_SAME_USER ? "same" : "unknown");
    } else if (weir_streq(path, "/certificate")) {
        char key[WEIR_SHA256_HEX_SIZE];
        struct weir_err err = {"none"};
        reply_text(r, weir_request_certificate(r, key, &err) == 0 ? key : err.text);
    } else if (weir_streq(path, "/again")) {
        if (weir_request_agains(r) < 3) {
            weir_request_again(r);
        } else {
            weir_request_reply(r, 200, NULL, weir_request_body(r), NULL, 0);
        }
    } else if (weir_streq(path, "/peer")) {
        reply_text(r, weir_request_peer(r));
    } else if (weir_streq(path, "/header")) {
        const char *h = weir_request_header(r, "X-Test");
        struct weir_http_header back = {"X-Back", h == NULL ? "" : h};
        weir_request_reply(r, 201, NULL, WEIR_SV("{}"), &back, 1);
    } else if (weir_streq(path, "/stream")) {
        open_stream(f, r);
    } else if (weir_streq(path, "/big")) {
        reply_big(r);
    } else if (weir_streq(path, "/busy")) {
        struct weir_http_header h = {"Retry-After", "7"};
        weir_request_reply(r, 429, NULL, WEIR_SV("{}"), &h, 1);
    } else if (weir_streq(path, "/token")) {
        struct weir_http_header h = {"X-Subject-Token", "gAAAA-1"};
        weir_request_reply(r, 201, NULL, WEIR_SV("{}"), &h, 1);
    } else {
        struct weir_err err;
        (void)weir_fail(&err, -WEIR_ENOTFOUND, "no page %s", path);
        weir_request_fail(r, -WEIR_ENOTFOUND, &err);
    }
}

static void *answer_later(void *ctx)
{
    struct fixture *f = ctx;
    (void)pthread_mutex_lock(&f->lock);
    while (!f->is_ending || f->n_later > 0) {
        if (f->n_later == 0) {
            (void)pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        struct weir_http_request *r = f->later[--f->n_later];
        (void)pthread_mutex_unlock(&f->lock);
        weir_request_reply(r, 200, NULL, weir_request_body(r), NULL, 0);
        (void)pthread_mutex_lock(&f->lock);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

void fixture_start(struct fixture *f, const struct weir_server_conf *conf)
{
    *f = (struct fixture){0};
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_cond_init(&f->changed, NULL);
    (void)pthread_mutex_init(&f->stream.lock, NULL);
    (void)pthread_cond_init(&f->stream.changed, NULL);
    struct weir_server_conf c = {
        .listen = "127.0.0.1:0",
        .body_bytes_max = 1 << 20,
        .connections_max = 256,
        .idle_timeout_s = 30,
    };
    if (conf != NULL) {
        c = *conf;
    }
    c.handler = handle;
    c.ctx = f;
    struct weir_err err = {""};
    int r = weir_server_start(&f->server, &c, &err);
    if (r < 0) {
        fail_msg("%s", err.text);
    }
    (void)snprintf(f->url,
                   sizeof(f->url),
                   "%s://%s:%u",
                   c.tls_cert_pem == NULL ? "http" : "https",
                   c.listen[0] == '[' ? "[::1]" : "127.0.0.1",
                   weir_server_port(f->server));
    assert_int_equal(pthread_create(&f->thread, NULL, answer_later, f), 0);
}

void fixture_stop(struct fixture *f)
{
    (void)pthread_mutex_lock(&f->lock);
    f->is_ending = true;
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
    (void)pthread_join(f->thread, NULL);
    weir_server_stop(f->server);
}

void fixture_wait_held(struct fixture *f, size_t n)
{
    struct timespec t = in_a_minute();
    (void)pthread_mutex_lock(&f->lock);
    while (f->n_held < n) {
        assert_int_equal(pthread_cond_timedwait(&f->changed, &f->lock, &t), 0);
    }
    (void)pthread_mutex_unlock(&f->lock);
}

void fixture_release(struct fixture *f)
{
    (void)pthread_mutex_lock(&f->lock);
    while (f->n_held > 0) {
        reply_text(f->held[--f->n_held], "released");
    }
    (void)pthread_mutex_unlock(&f->lock);
}

/* ---- raw sockets ---- */

bool has_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return has;
}

int raw_connect(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct timeval limit = {.tv_sec = 60};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

void raw_send(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w <= 0) {
            return; /* the server may have closed: what it answered is what counts */
        }
        p += w;
        n -= (size_t)w;
    }
}

size_t raw_read_all(int fd, char *buf, size_t size)
{
    size_t n = 0;
    while (n < size - 1) {
        ssize_t got = recv(fd, buf + n, size - 1 - n, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            fail_msg("the server did not close the connection in a minute");
        }
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
    }
    buf[n] = 0;
    return n;
}

void raw_read_until(int fd, char *buf, size_t size, const char *text)
{
    size_t n = 0;
    buf[0] = 0;
    while (strstr(buf, text) == NULL) {
        ssize_t got = n < size - 1 ? recv(fd, buf + n, size - 1 - n, 0) : 0;
        if (got <= 0) {
            fail_msg("'%s' did not come; had '%s'", text, buf);
        }
        n += (size_t)got;
        buf[n] = 0;
    }
}

int simple_call(struct weir_http_session *s,
                const char *method,
                const char *base,
                const char *path,
                struct weir_sv body,
                struct weir_http_reply *reply)
{
    char url[256];
    (void)snprintf(url, sizeof(url), "%s%s", base, path);
    struct weir_http_call call = {.method = method,
                                  .url = url,
                                  .body = body,
                                  .timeout_ms = 60000,
                                  .reply_bytes_max = 1 << 20};
    return weir_http_session_call(s, &call, NULL, NULL, reply, NULL);
}
