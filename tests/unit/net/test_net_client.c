/* SPDX-License-Identifier: Apache-2.0 */
/* Both clients: what they send, and how every kind of failure is classed. */

#include "net_fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "net/plain_wire.h"

/* ---- a server that says one thing and closes ---- */

struct canned {
    int fd;
    char url[64];
    const char *answer;
    pthread_t thread;
    char request[4096];
};

static void *serve_canned(void *ctx)
{
    struct canned *c = ctx;
    int fd = accept(c->fd, NULL, NULL);
    if (fd < 0) {
        return NULL;
    }
    size_t n = 0;
    while (n < sizeof(c->request) - 1 && strstr(c->request, "\r\n\r\n") == NULL) {
        ssize_t got = recv(fd, c->request + n, sizeof(c->request) - 1 - n, 0);
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
    }
    raw_send(fd, c->answer, strlen(c->answer));
    (void)close(fd);
    return NULL;
}

static void canned_start(struct canned *c, const char *answer)
{
    *c = (struct canned){.answer = answer};
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof(a);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    assert_int_equal(bind(c->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(c->fd, 4), 0);
    assert_int_equal(getsockname(c->fd, (struct sockaddr *)&a, &n), 0);
    (void)snprintf(c->url, sizeof(c->url), "http://127.0.0.1:%u", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&c->thread, NULL, serve_canned, c), 0);
}

static void canned_stop(struct canned *c)
{
    (void)shutdown(c->fd, SHUT_RDWR);
    (void)pthread_join(c->thread, NULL);
    (void)close(c->fd);
}

/* ---- the blocking client ---- */

static int
one_call(const char *base, const char *path, unsigned timeout_ms, struct weir_http_reply *reply)
{
    struct weir_http_session *s = NULL;
    assert_int_equal(weir_http_session_new(&s, NULL), 0);
    char url[512];
    (void)snprintf(url, sizeof(url), "%s%s", base, path);
    struct weir_http_header header[] = {{"X-One", "1"}, {"Content-Type", "text/x"}};
    struct weir_http_call call = {.method = "POST",
                                  .url = url,
                                  .header = header,
                                  .n_headers = 2,
                                  .body = WEIR_SV("abc"),
                                  .bearer = "sesame",
                                  .timeout_ms = timeout_ms,
                                  .reply_bytes_max = 1000};
    struct weir_err err = {""};
    int r = weir_http_session_call(s, &call, NULL, NULL, reply, &err);
    assert_int_equal(r, reply->code);
    assert_true((r == 0) == (reply->text[0] == 0));
    if (r < 0) {
        assert_non_null(strstr(err.text, reply->text));
        assert_null(strstr(err.text, "sesame"));
    }
    weir_http_session_free(s);
    return r;
}

static void keep_reply(void *ctx, const struct weir_http_reply *reply)
{
    *(struct weir_http_reply *)ctx = *reply; /* body and type are gone afterwards */
}

/* The same by the asynchronous client. */
static int one_async_call(const char *base, const char *path, unsigned timeout_ms, struct weir_http_reply *reply)
{
    char url[512];
    (void)snprintf(url, sizeof(url), "%s%s", base, path);
    const struct weir_http_header header[] = {{"X-One", "1"}, {"Content-Type", "text/x"}};
    const struct weir_http_call call = {.method = "POST",
                                        .url = url,
                                        .header = header,
                                        .n_headers = 2,
                                        .body = WEIR_SV("abc"),
                                        .bearer = "sesame",
                                        .timeout_ms = timeout_ms,
                                        .reply_bytes_max = 1000};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct weir_http *h = weir_http_new(&loop);
    *reply = (struct weir_http_reply){.status = -1, .text = "no callback came"};
    int r = h->ops->send(h, &call, keep_reply, reply, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(r < 0 || reply->status >= 0);
    assert_null(strstr(reply->text, "sesame"));
    h->ops->free(h);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return r < 0 ? r : reply->code;
}

typedef int one_call_fn(const char *base, const char *path, unsigned timeout_ms, struct weir_http_reply *reply);

static void failures_are_classed(one_call_fn *one)
{
    static const struct {
        const char *answer;
        int code;
    } rows[] = {
        {"", -WEIR_EIO},
        {"HTTP/1.1 200 OK\r\nContent-Le", -WEIR_EIO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", -WEIR_EIO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", -WEIR_EIO},
        {"not HTTP at all", -WEIR_EIO},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc", -WEIR_EIO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", -WEIR_EIO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", -WEIR_EIO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n", 0},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 0},
        {"HTTP/1.1 200 OK\r\n\r\nas long as it lasts", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 0},
        {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 0},
    };
    struct weir_http_reply reply;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct canned c;
        canned_start(&c, rows[i].answer);
        int r = one(c.url, "/p?secret=1", 60000, &reply);
        if (r != rows[i].code) {
            fail_msg("row %zu: %d %s", i, r, reply.text);
        }
        assert_null(strstr(reply.text, "secret"));
        canned_stop(&c);
        assert_non_null(strstr(c.request, "POST /p?secret=1 HTTP/1.1\r\n"));
        assert_non_null(strstr(c.request, "Authorization: Bearer sesame\r\n"));
        assert_non_null(strstr(c.request, "X-One: 1\r\n"));
        assert_non_null(strstr(c.request, "Content-Type: text/x\r\n"));
        assert_non_null(strstr(c.request, "User-Agent: weir/"));
        assert_null(strstr(c.request, "Expect"));
        assert_true(r != 0 || reply.status == 200 || reply.status == 302);
    }
    /* Nobody listens: it was not sent. */
    struct canned gone;
    canned_start(&gone, "");
    canned_stop(&gone);
    assert_int_equal(one(gone.url, "/", 60000, &reply), -WEIR_EUNAVAIL);
    assert_int_equal(one("http://no-such-host.invalid", "/", 60000, &reply), -WEIR_EUNAVAIL);
    assert_int_equal(one("file:///etc", "/passwd", 60000, &reply), -WEIR_EINVAL);
    assert_int_equal(one("ftp://127.0.0.1", "/", 60000, &reply), -WEIR_EINVAL);
    assert_int_equal(one("http://", "", 60000, &reply), -WEIR_EINVAL);
    assert_int_equal(one("http://127.0.0.1", "/", 0, &reply), -WEIR_EINVAL);
}

static void failures_are_classed_by_what_the_server_may_know(void **state)
{
    (void)state;
    failures_are_classed(one_call);
    failures_are_classed(one_async_call);
}

static void a_kept_connection_that_was_closed_is_replaced(void **state)
{
    (void)state;
    struct canned c;
    struct weir_http_session *s = NULL;
    struct weir_http_reply reply;
    canned_start(&c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(weir_http_session_new(&s, NULL), 0);
    struct weir_http_call call = {.method = "GET", .url = c.url, .timeout_ms = 60000, .reply_bytes_max = 3};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weir_http_session_call(s, &call, NULL, NULL, &reply, NULL), 0);
        assert_string_equal(reply.body.p, "abc");
        (void)pthread_join(c.thread, NULL);
        memset(c.request, 0, sizeof c.request);
        assert_int_equal(pthread_create(&c.thread, NULL, serve_canned, &c), 0);
    }
    canned_stop(&c);
    /* and where nobody listens any more, nothing was sent */
    assert_int_equal(weir_http_session_call(s, &call, NULL, NULL, &reply, NULL), -WEIR_EUNAVAIL);
    weir_http_session_free(s);
}

static void late_and_large_answers_are_told(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    struct weir_http_reply reply;
    assert_int_equal(one_call(f.url, "/hold", 100, &reply), -WEIR_ETIMEOUT);
    fixture_wait_held(&f, 1);
    fixture_release(&f);
    assert_int_equal(one_call(f.url, "/big?n=1001", 60000, &reply), -WEIR_ELIMIT);
    assert_int_equal(one_call(f.url, "/big?n=1000", 60000, &reply), 0);
    assert_int_equal(one_call(f.url, "/busy", 60000, &reply), 0);
    assert_int_equal(reply.status, 429);
    assert_int_equal(reply.retry_after_s, 7);
    fixture_stop(&f);
}

static void a_token_in_a_header_is_told(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    static const char *const hosts[] = {"127.0.0.1", "127.1"}; /* plain, and by libcurl */
    assert_int_equal(setenv("no_proxy", "*", 1), 0);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(hosts); i++) {
        struct weir_http_session *s = NULL;
        struct weir_http_reply reply;
        struct weir_err err = {""};
        char url[128];
        (void)snprintf(url, sizeof url, "http://%s%s/token", hosts[i], strrchr(f.url, ':'));
        struct weir_http_call call = {.method = "POST", .url = url, .timeout_ms = 60000, .reply_bytes_max = 1000};
        assert_int_equal(weir_http_session_new(&s, NULL), 0);
        assert_int_equal(weir_plain_serves(url), i == 0);
        (void)weir_http_session_call(s, &call, NULL, NULL, &reply, &err);
        assert_string_equal(err.text, "");
        assert_string_equal(reply.subject_token, "gAAAA-1");
        (void)snprintf(url, sizeof url, "http://%s%s/busy", hosts[i], strrchr(f.url, ':'));
        assert_int_equal(weir_http_session_call(s, &call, NULL, NULL, &reply, NULL), 0);
        assert_null(reply.subject_token);
        weir_http_session_free(s);
    }
    (void)unsetenv("no_proxy");
    fixture_stop(&f);
}

static void malformed_headers_are_not_sent(void **state)
{
    (void)state;
    static const struct weir_http_header bad[] = {
        {"A B", "x"}, {"A:", "x"}, {"", "x"}, {"A", "x\r\nB: y"}, {"A\n", "x"}};
    struct weir_http_session *s = NULL;
    assert_int_equal(weir_http_session_new(&s, NULL), 0);
    struct weir_http_reply reply;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct weir_http_call call = {.method = "GET",
                                      .url = "http://127.0.0.1:1/",
                                      .header = &bad[i],
                                      .n_headers = 1,
                                      .timeout_ms = 10};
        assert_int_equal(weir_http_session_call(s, &call, NULL, NULL, &reply, NULL), -WEIR_EINVAL);
    }
    struct weir_http_call call = {
        .method = "GET", .url = "http://127.0.0.1:1/", .bearer = "a\r\nb", .timeout_ms = 10};
    assert_int_equal(weir_http_session_call(s, &call, NULL, NULL, &reply, NULL), -WEIR_EINVAL);
    call = (struct weir_http_call){
        .method = "GET / HTTP", .url = "http://127.0.0.1:1/", .timeout_ms = 10};
    assert_int_equal(weir_http_session_call(s, &call, NULL, NULL, &reply, NULL), -WEIR_EINVAL);
    weir_http_session_free(s);
}

struct sink {
    struct fixture *f;
    char text[256];
    size_t n;
    size_t total;
    size_t stop_after;
};

static int on_piece(void *ctx, const char *p, size_t n)
{
    struct sink *s = ctx;
    s->total += n;
    for (size_t i = 0; i < n && s->n < sizeof(s->text) - 1; i++) {
        s->text[s->n++] = p[i];
    }
    if (s->f != NULL && strstr(s->text, "one\n") != NULL && strstr(s->text, "two\n") == NULL) {
        fixture_stream_feed(&s->f->stream, "two\n");
    } else if (s->f != NULL && strstr(s->text, "two\n") != NULL) {
        fixture_stream_end(&s->f->stream);
    }
    return s->stop_after > 0 && s->total >= s->stop_after;
}

static void *feed_first(void *ctx)
{
    struct fixture *f = ctx;
    fixture_stream_feed(&f->stream, "one\n");
    return NULL;
}

static void a_sink_gets_the_pieces_as_they_come(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    struct weir_http_session *s = NULL;
    assert_int_equal(weir_http_session_new(&s, NULL), 0);
    struct sink sink = {.f = &f};
    struct weir_http_reply reply;
    char url[128];
    (void)snprintf(url, sizeof(url), "%s/stream", f.url);
    struct weir_http_call call = {
        .method = "GET", .url = url, .timeout_ms = 60000, .reply_bytes_max = 1000};
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, feed_first, &f), 0);
    assert_int_equal(weir_http_session_call(s, &call, on_piece, &sink, &reply, NULL), 0);
    (void)pthread_join(t, NULL);
    assert_string_equal(sink.text, "one\ntwo\n");
    assert_int_equal(reply.status, 200);
    /* More than reply_bytes_max may flow; a sink may end the call. */
    sink = (struct sink){0};
    (void)snprintf(url, sizeof(url), "%s/big?n=3000000", f.url);
    assert_int_equal(weir_http_session_call(s, &call, on_piece, &sink, &reply, NULL), 0);
    assert_int_equal(sink.total, 3000000);
    sink = (struct sink){.stop_after = 1};
    assert_int_equal(weir_http_session_call(s, &call, on_piece, &sink, &reply, NULL), 0);
    assert_true(sink.total < 3000000);
    /* An error's body is not for the sink. */
    sink = (struct sink){0};
    (void)snprintf(url, sizeof(url), "%s/nothing", f.url);
    assert_int_equal(weir_http_session_call(s, &call, on_piece, &sink, &reply, NULL), 0);
    assert_int_equal(sink.total, 0);
    assert_non_null(strstr(reply.body.p, "notfound"));
    weir_http_session_free(s);
    fixture_stop(&f);
}

/* ---- the asynchronous client ---- */

struct seen {
    int n;
    int code;
    int status;
    char body[64];
    struct weir_http *then_free;
    struct weir_http *then_cancel;
    uint64_t cancel_id;
};

static void on_reply(void *ctx, const struct weir_http_reply *reply)
{
    struct seen *s = ctx;
    s->n++;
    s->code = reply->code;
    s->status = reply->status;
    (void)snprintf(s->body, sizeof(s->body), "%.*s", WEIR_SV_ARG(reply->body));
    if (s->then_cancel != NULL) {
        s->then_cancel->ops->cancel(s->then_cancel, s->cancel_id);
    }
    if (s->then_free != NULL) {
        s->then_free->ops->free(s->then_free);
    }
}

static uint64_t send_async(
    struct weir_http *h, const char *base, const char *path, const char *body, struct seen *s)
{
    char url[256];
    (void)snprintf(url, sizeof(url), "%s%s", base, path);
    uint64_t id = 0;
    struct weir_http_call call = {.method = "POST",
                                  .url = url,
                                  .body = weir_sv_of(body),
                                  .timeout_ms = strstr(path, "/hold") != NULL ? 200 : 60000,
                                  .reply_bytes_max = 1000};
    assert_int_equal(h->ops->send(h, &call, on_reply, s, &id), 0);
    memset(url, 'x', sizeof(url)); /* everything was copied */
    assert_int_equal(s->n, 0);     /* never from inside send */
    return id;
}

static void many_calls_run_at_once(void **state)
{
    (void)state;
    enum { N = 100 };
    struct fixture f;
    fixture_start(&f, NULL);
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct weir_http *h = weir_http_new(&loop);
    static struct seen s[N + 3];
    memset(s, 0, sizeof(s));
    for (int i = 0; i < N; i++) {
        char body[16];
        (void)snprintf(body, sizeof(body), "%d", i);
        (void)send_async(h, f.url, i % 2 == 0 ? "/later" : "/echo", body, &s[i]);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < N; i++) {
        char body[16];
        (void)snprintf(body, sizeof(body), "%d", i);
        assert_int_equal(s[i].n, 1);
        assert_int_equal(s[i].code, 0);
        assert_string_equal(s[i].body, body);
    }
    (void)send_async(h, f.url, "/hold", "", &s[N]);
    (void)send_async(h, "http://127.0.0.1:1", "/", "", &s[N + 1]);
    (void)send_async(h, f.url, "/big?n=2000", "", &s[N + 2]);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(s[N].code, -WEIR_ETIMEOUT);
    assert_int_equal(s[N + 1].code, -WEIR_EUNAVAIL);
    assert_int_equal(s[N + 2].code, -WEIR_ELIMIT);
    fixture_release(&f);
    h->ops->free(h);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    fixture_stop(&f);
}

static void asynchronous_calls_share_kept_connections(void **state)
{
    (void)state;
    struct canned c;
    uv_loop_t loop;
    canned_start(&c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(uv_loop_init(&loop), 0);
    struct weir_http *h = weir_http_new(&loop);
    for (int i = 0; i < 3; i++) { /* the server closes after each: the kept connection is replaced */
        struct seen s = {0};
        (void)send_async(h, c.url, "/", "", &s);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.code, 0);
        assert_string_equal(s.body, "abc");
        (void)pthread_join(c.thread, NULL);
        memset(c.request, 0, sizeof c.request);
        assert_int_equal(pthread_create(&c.thread, NULL, serve_canned, &c), 0);
    }
    canned_stop(&c);
    struct seen gone = {0};
    (void)send_async(h, c.url, "/", "", &gone);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(gone.code, -WEIR_EUNAVAIL);
    /* more calls that wait than there are connections: the rest has its turn, or its time is over */
    struct fixture f;
    fixture_start(&f, NULL);
    static struct seen held[20];
    memset(held, 0, sizeof held);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(held); i++) {
        (void)send_async(h, f.url, "/hold", "", &held[i]);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(held); i++) {
        assert_int_equal(held[i].n, 1);
        assert_true(held[i].code == -WEIR_ETIMEOUT || (i >= 16 && held[i].code == -WEIR_EUNAVAIL));
    }
    fixture_release(&f);
    h->ops->free(h);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    fixture_stop(&f);
}

static void cancelled_calls_do_not_come_back(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct weir_http *h = weir_http_new(&loop);
    struct seen a = {0}, b = {0}, c = {0};
    uint64_t id = send_async(h, f.url, "/hold", "", &a);
    a.n = 0;
    b.then_cancel = h;
    b.cancel_id = id;
    (void)send_async(h, f.url, "/echo", "", &b);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(a.n, 0);
    assert_int_equal(b.n, 1);
    h->ops->cancel(h, id);
    h->ops->cancel(h, 12345);
    /* Freed from inside a callback while another call is under way. */
    struct seen d = {.then_free = h};
    (void)send_async(h, f.url, "/hold", "", &c);
    (void)send_async(h, f.url, "/echo", "", &d);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(c.n, 0);
    assert_int_equal(d.n, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
    fixture_release(&f);
    fixture_stop(&f);
}

int main(void)
{
    /* Loopback is never asked for through a proxy: this one would refuse. */
    (void)setenv("http_proxy", "http://127.0.0.1:9", 1);
    (void)setenv("all_proxy", "http://127.0.0.1:9", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_are_classed_by_what_the_server_may_know),
        cmocka_unit_test(a_kept_connection_that_was_closed_is_replaced),
        cmocka_unit_test(late_and_large_answers_are_told),
        cmocka_unit_test(a_token_in_a_header_is_told),
        cmocka_unit_test(malformed_headers_are_not_sent),
        cmocka_unit_test(a_sink_gets_the_pieces_as_they_come),
        cmocka_unit_test(many_calls_run_at_once),
        cmocka_unit_test(asynchronous_calls_share_kept_connections),
        cmocka_unit_test(cancelled_calls_do_not_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
