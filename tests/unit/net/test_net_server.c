/* SPDX-License-Identifier: Apache-2.0 */
/* The server against the blocking client and raw sockets, on loopback. */

#include "net_fixture.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/server_priv.h"

static void requests_are_answered_at_once_and_later(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    struct weir_http_session *s = NULL;
    assert_int_equal(weir_http_session_new(&s, NULL), 0);
    struct weir_http_reply reply;
    for (int i = 0; i < 50; i++) {
        const char *path = i % 2 == 0 ? "/echo" : "/later";
        char body[32];
        (void)snprintf(body, sizeof(body), "{\"i\":%d}", i);
        assert_int_equal(simple_call(s, "POST", f.url, path, weir_sv_of(body), &reply), 0);
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply.body.p, body);
        assert_string_equal(reply.content_type, "application/json");
    }
    assert_int_equal(simple_call(s, "GET", f.url, "/nothing", WEIR_SV(""), &reply), 0);
    assert_int_equal(reply.status, 404);
    assert_string_equal(reply.body.p,
                        "{\"error\":{\"code\":\"notfound\",\"message\":\"no page /nothing\"}}");
    assert_int_equal(simple_call(s, "HEAD", f.url, "/echo", WEIR_SV(""), &reply), 0);
    assert_int_equal(reply.status, 200);
    assert_int_equal(simple_call(s, "GET", f.url, "/query?b=1&a=x%20y+z", WEIR_SV(""), &reply), 0);
    assert_string_equal(reply.body.p, "x y z");
    assert_int_equal(simple_call(s, "GET", f.url, "/big?n=1000000", WEIR_SV(""), &reply), 0);
    assert_int_equal(reply.body.n, 1000000);
    weir_http_session_free(s);
    fixture_stop(&f);
}

/* Sends text on a new connection and returns what comes until the server closes. */
static char *ask_raw(struct fixture *f, const char *text, size_t n)
{
    static char answer[8192];
    int fd = raw_connect(weir_server_port(f->server));
    raw_send(fd, text, n);
    (void)raw_read_all(fd, answer, sizeof(answer));
    (void)close(fd);
    return answer;
}

static void a_handler_can_ask_to_be_called_again(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    struct weir_http_session *s = NULL;
    struct weir_http_reply reply;
    assert_int_equal(weir_http_session_new(&s, NULL), 0);
    for (size_t i = 1; i <= 3; i++) { /* on one connection: the count begins anew with each request */
        assert_int_equal(simple_call(s, "POST", f.url, "/again", WEIR_SV("hello"), &reply), 0);
        assert_string_equal(reply.body.p, "hello");
        assert_int_equal(f.n_calls, 4 * i);
    }
    weir_http_session_free(s);
    fixture_stop(&f);
}

static void headers_go_both_ways(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    static const char ask[] =
        "GET /header HTTP/1.1\r\nHost: h\r\nx-test: abc\r\nConnection: close\r\n\r\n";
    const char *answer = ask_raw(&f, ask, sizeof(ask) - 1);
    assert_non_null(strstr(answer, "HTTP/1.1 201 "));
    assert_non_null(strstr(answer, "X-Back: abc\r\n"));
    assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
    static const char head[] = "HEAD /big?n=1000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    answer = ask_raw(&f, head, sizeof(head) - 1);
    assert_non_null(strstr(answer, "Content-Length: 1000\r\n"));
    assert_null(strstr(answer, "xxx"));
    fixture_stop(&f);
}

static void bodies_over_the_limit_are_refused_early(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    /* Refused by the header alone: no byte of the body is sent. */
    static const char big[] = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\n";
    const char *answer = ask_raw(&f, big, sizeof(big) - 1);
    assert_non_null(strstr(answer, "HTTP/1.1 413 "));
    assert_non_null(strstr(answer, "\"code\":\"limit\""));
    static const char huge[] =
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n";
    answer = ask_raw(&f, huge, sizeof(huge) - 1);
    assert_non_null(strstr(answer, " 413 "));
    /* Without a length it is counted. */
    size_t n = (1 << 20) + 4096;
    struct weir_str chunked = WEIR_STR_INIT(2 << 20);
    weir_str_adds(&chunked,
                  "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
                  "Connection: close\r\n\r\n");
    weir_str_addf(&chunked, "%zx\r\n", n);
    for (size_t i = 0; i < n; i++) {
        weir_str_addc(&chunked, 'a');
    }
    weir_str_adds(&chunked, "\r\n0\r\n\r\n");
    answer = ask_raw(&f, chunked.p, chunked.n);
    assert_non_null(strstr(answer, "HTTP/1.1 413 "));
    weir_str_release(&chunked);
    assert_int_equal(f.n_calls, 0);
    /* The limit itself is allowed, and the server goes on. */
    struct weir_http_session *s = NULL;
    struct weir_http_reply reply;
    assert_int_equal(weir_http_session_new(&s, NULL), 0);
    char *body = malloc(1 << 20);
    memset(body, 'b', 1 << 20);
    assert_int_equal(simple_call(s, "PUT", f.url, "/echo", (struct weir_sv){body, 1 << 20}, &reply),
                     0);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body.n, 1 << 20);
    assert_memory_equal(reply.body.p, body, 1 << 20);
    free(body);
    weir_http_session_free(s);
    fixture_stop(&f);
}

static void malformed_requests_are_answered_400(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want; /* "": closing without an answer will do */
    } rows[] = {
        {"GET /%zz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
         "percent-encoding in the path"},
        {"GET /%00 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "control character"},
        {"GET /a/../b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "'..' segment"},
        {"GET /%2e%2E/b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "'..' segment"},
        {"GET /a%2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
         "percent-encoding in the path"},
        {"GET /a?b=%q1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
         "percent-encoding in the query"},
        {"GET a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "does not begin with '/'"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1x\r\nConnection: close\r\n\r\n",
         "400"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
         "Connection: close\r\n\r\n0\r\n\r\n",
         "both Content-Length and Transfer-Encoding"},
        {"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "400"}, /* no Host */
        {"GET / HTTP/9.9\r\nHost: h\r\n\r\n", ""},
        {"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n\r\n", ""},
        {"\r\n\r\n\r\n\r\n: :\r\n\r\n", ""},
    };
    /* What is never answered ends with the server's patience; what is shall not, on a busy host. */
    struct weir_server_conf conf = {.listen = "127.0.0.1:0",
                                    .body_bytes_max = 1000,
                                    .connections_max = 64,
                                    .idle_timeout_s = 1};
    struct fixture impatient, f;
    fixture_start(&impatient, &conf);
    conf.idle_timeout_s = 30;
    fixture_start(&f, &conf);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const char *answer = ask_raw(rows[i].want[0] == 0 ? &impatient : &f, rows[i].text, strlen(rows[i].text));
        if (strstr(answer, rows[i].want) == NULL || strstr(answer, "HTTP/1.1 2") != NULL) {
            fail_msg("row %zu: '%s'", i, answer);
        }
        if (rows[i].want[0] != 0) {
            assert_non_null(strstr(answer, "HTTP/1.1 400 "));
        }
    }
    struct weir_str many = WEIR_STR_INIT(64 * 1024);
    weir_str_adds(&many, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 70; i++) {
        weir_str_addf(&many, "X-%d: 1\r\n", i);
    }
    weir_str_adds(&many, "Connection: close\r\n\r\n");
    assert_non_null(strstr(ask_raw(&f, many.p, many.n), "HTTP/1.1 431 "));
    weir_str_clear(&many);
    weir_str_adds(&many, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    for (int i = 0; i < 40000; i++) {
        weir_str_addc(&many, 'x');
    }
    weir_str_adds(&many, "\r\n\r\n");
    assert_null(strstr(ask_raw(&impatient, many.p, many.n), "HTTP/1.1 2"));
    weir_str_clear(&many);
    weir_str_adds(&many, "GET /");
    for (int i = 0; i < 40000; i++) {
        weir_str_addc(&many, 'x');
    }
    weir_str_adds(&many, " HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_null(strstr(ask_raw(&impatient, many.p, many.n), "HTTP/1.1 2"));
    weir_str_release(&many);
    assert_int_equal(f.n_calls + impatient.n_calls, 0);
    fixture_stop(&f);
    fixture_stop(&impatient);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    static const char three[] = "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
                                "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\ntwo"
                                "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
                                "Connection: close\r\n\r\nthree";
    const char *answer = ask_raw(&f, three, sizeof(three) - 1);
    const char *one = strstr(answer, "\r\n\r\none");
    const char *two = strstr(answer, "\r\n\r\ntwo");
    const char *last = strstr(answer, "\r\n\r\nthree");
    assert_true(one != NULL && two != NULL && last != NULL && one < two && two < last);
    fixture_stop(&f);
}

static void slow_clients_are_ended(void **state)
{
    (void)state;
    struct weir_server_conf conf = {.listen = "127.0.0.1:0",
                                    .body_bytes_max = 1 << 20,
                                    .connections_max = 64,
                                    .idle_timeout_s = 1};
    struct fixture f;
    fixture_start(&f, &conf);
    char buf[256];
    /* One that falls silent in the middle of its headers. */
    static const char half[] = "GET / HTTP/1.1\r\nHost: h\r\nX-A";
    int fd = raw_connect(weir_server_port(f.server));
    raw_send(fd, half, sizeof(half) - 1);
    (void)raw_read_all(fd, buf, sizeof(buf));
    (void)close(fd);
    /* Two that send one byte after the other, of the headers and of a body, and never come to the
     * end: each wait is for the server's closing, with a bound. */
    static const char *const begin[] = {
        "GET / HTTP/1.1\r\nHost: h\r\nX-A: ",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(begin); i++) {
        fd = raw_connect(weir_server_port(f.server));
        raw_send(fd, begin[i], strlen(begin[i]));
        int rounds = 0;
        struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};
        while (poll(&p, 1, 100) == 0 && rounds < 600) {
            raw_send(fd, "x", 1);
            rounds++;
        }
        assert_true(rounds < 600);
        (void)close(fd);
    }
    fixture_stop(&f);
}

static void many_connections_wait_at_once(void **state)
{
    (void)state;
    enum { N = 200 };
    struct fixture f;
    fixture_start(&f, NULL);
    static int fd[N];
    static const char ask[] = "GET /hold HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for (int i = 0; i < N; i++) {
        fd[i] = raw_connect(weir_server_port(f.server));
        raw_send(fd[i], ask, sizeof(ask) - 1);
    }
    fixture_wait_held(&f, N);
    fixture_release(&f);
    for (int i = 0; i < N; i++) {
        char buf[512];
        (void)raw_read_all(fd[i], buf, sizeof(buf));
        assert_non_null(strstr(buf, "\r\n\r\nreleased"));
        (void)close(fd[i]);
    }
    fixture_stop(&f);
}

static void connections_over_the_limit_wait_their_turn(void **state)
{
    (void)state;
    enum { N = 12 };
    struct weir_server_conf conf = {
        .listen = "127.0.0.1:0", .body_bytes_max = 1000, .connections_max = 4, .idle_timeout_s = 30};
    struct fixture f;
    fixture_start(&f, &conf);
    int fd[N];
    static const char ask[] = "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for (int i = 0; i < N; i++) {
        fd[i] = raw_connect(weir_server_port(f.server));
        raw_send(fd[i], ask, sizeof(ask) - 1);
    }
    for (int i = 0; i < N; i++) {
        char buf[512];
        (void)raw_read_all(fd[i], buf, sizeof(buf));
        assert_non_null(strstr(buf, "HTTP/1.1 200"));
        (void)close(fd[i]);
    }
    fixture_stop(&f);
}

static void streams_flow_and_end(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    static const char ask[] = "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n";
    static const char next[] = "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n";
    char buf[4096];
    int fd = raw_connect(weir_server_port(f.server));
    raw_send(fd, ask, sizeof(ask) - 1);
    fixture_stream_feed(&f.stream, "first line\n");
    raw_read_until(fd, buf, sizeof(buf), "first line\n");
    assert_true(strstr(buf, "chunked") != NULL || strstr(buf, "first line") != NULL);
    fixture_stream_feed(&f.stream, "second line\n");
    raw_read_until(fd, buf, sizeof(buf), "second line\n");
    fixture_stream_end(&f.stream);
    raw_read_until(fd, buf, sizeof(buf), "0\r\n\r\n");
    fixture_stream_wait_done(&f.stream);
    raw_send(fd, next, sizeof(next) - 1); /* the connection is good for more */
    raw_read_until(fd, buf, sizeof(buf), "HTTP/1.1 200");
    (void)close(fd);
    fixture_stop(&f);
}

static void a_stream_ends_when_its_client_goes_away(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    static const char ask[] = "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n";
    char buf[4096];
    int fd = raw_connect(weir_server_port(f.server));
    raw_send(fd, ask, sizeof(ask) - 1);
    fixture_stream_feed(&f.stream, "line\n");
    raw_read_until(fd, buf, sizeof(buf), "line\n");
    (void)close(fd);
    fixture_stream_wait_done(&f.stream); /* though nothing more is ever written */
    fixture_stop(&f);
}

static void a_stopping_server_answers_what_waits(void **state)
{
    (void)state;
    enum { N = 20 };
    struct fixture f;
    fixture_start(&f, NULL);
    static const char ask[] = "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n";
    static const char stream[] = "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n";
    int fd[N + 1];
    char buf[1024];
    for (int i = 0; i < N; i++) {
        fd[i] = raw_connect(weir_server_port(f.server));
        raw_send(fd[i], ask, sizeof(ask) - 1);
    }
    fixture_wait_held(&f, N);
    fd[N] = raw_connect(weir_server_port(f.server));
    raw_send(fd[N], stream, sizeof(stream) - 1);
    fixture_stream_feed(&f.stream, "line\n");
    raw_read_until(fd[N], buf, sizeof(buf), "line\n");
    fixture_stop(&f);
    for (int i = 0; i < N; i++) {
        (void)raw_read_all(fd[i], buf, sizeof(buf));
        assert_non_null(strstr(buf, "HTTP/1.1 503"));
        assert_non_null(strstr(buf, "\"code\":\"unavail\""));
        (void)close(fd[i]);
    }
    assert_true(f.stream.is_done);
    (void)raw_read_all(fd[N], buf, sizeof(buf));
    (void)close(fd[N]);
}

static void *call_until_refused(void *ctx)
{
    struct fixture *f = ctx;
    struct weir_http_session *s = NULL;
    if (weir_http_session_new(&s, NULL) < 0) {
        return NULL;
    }
    struct weir_http_reply reply;
    char url[96];
    (void)snprintf(url, sizeof(url), "%s", f->url);
    while (simple_call(s, "POST", url, "/later", WEIR_SV("{\"x\":1}"), &reply) == 0 &&
           reply.status == 200) {
    }
    bool is_expected =
        reply.status == 503 || reply.code == -WEIR_EUNAVAIL || reply.code == -WEIR_EIO;
    weir_http_session_free(s);
    return is_expected ? f : NULL;
}

static void a_server_stops_under_load(void **state)
{
    (void)state;
    enum { N = 8 };
    for (int round = 0; round < 5; round++) {
        struct fixture f;
        fixture_start(&f, NULL);
        pthread_t t[N];
        for (int i = 0; i < N; i++) {
            assert_int_equal(pthread_create(&t[i], NULL, call_until_refused, &f), 0);
        }
        while (__atomic_load_n(&f.n_calls, __ATOMIC_SEQ_CST) < 200) {
            (void)sched_yield();
        }
        weir_server_stop(f.server);
        f.server = NULL;
        for (int i = 0; i < N; i++) {
            void *good = NULL;
            (void)pthread_join(t[i], &good);
            assert_ptr_equal(good, &f);
        }
        fixture_stop(&f);
    }
}

/* ---- who is it? ---- */

static void my_own_processes_are_trusted(void **state)
{
    (void)state;
    static const char *const listen[] = {"127.0.0.1:0", "[::1]:0"};
    for (size_t i = 0; i < (has_ipv6() ? WEIR_ARRAY_LEN(listen) : 1); i++) {
        struct weir_server_conf conf = {
            .listen = listen[i], .body_bytes_max = 1000, .connections_max = 8, .idle_timeout_s = 30};
        struct fixture f;
        fixture_start(&f, &conf);
        struct weir_http_session *s = NULL;
        struct weir_http_reply reply;
        assert_int_equal(weir_http_session_new(&s, NULL), 0);
        assert_int_equal(simple_call(s, "GET", f.url, "/trust", WEIR_SV(""), &reply), 0);
        assert_string_equal(reply.body.p, "same");
        assert_int_equal(simple_call(s, "GET", f.url, "/peer", WEIR_SV(""), &reply), 0);
        assert_true(weir_sv_starts(reply.body, i == 0 ? WEIR_SV("127.0.0.1:") : WEIR_SV("[::1]:")));
        weir_http_session_free(s);
        fixture_stop(&f);
    }
}

static void web_pages_are_not_their_user(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        const char *want;
    } rows[] = {
        {"Host: 127.0.0.1:7070\r\n", "same"},
        {"Host: localhost\r\nOrigin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n", "same"},
        {"Host: [::1]:7070\r\nSec-Fetch-Site: none\r\n", "same"},
        {"Host: localhost:7070\r\nOrigin: http://example.org\r\n", "unknown"},
        {"Host: localhost:7070\r\nOrigin: http://localhost:8080\r\n", "unknown"},
        {"Host: localhost:7070\r\nOrigin: null\r\n", "unknown"},
        {"Host: localhost:7070\r\nSec-Fetch-Site: cross-site\r\n", "unknown"},
        {"Host: example.org:7070\r\nOrigin: http://example.org:7070\r\n", "unknown"},
        {"Host: 127.0.0.1.example.org\r\n", "unknown"},
        {"Host: [::1]example.org\r\n", "unknown"},
    };
    struct fixture f;
    fixture_start(&f, NULL);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char ask[512];
        (void)snprintf(ask,
                       sizeof(ask),
                       "GET /trust HTTP/1.1\r\nConnection: close\r\n%s\r\n",
                       rows[i].headers);
        const char *answer = ask_raw(&f, ask, strlen(ask));
        const char *body = strstr(answer, "\r\n\r\n");
        assert_non_null(body);
        assert_string_equal(body + 4, rows[i].want);
    }
    fixture_stop(&f);
}

/* Connects to itself over family and looks up the client's end in both ways. */
static void look_up_both_ways(int server_family, int client_family)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int off = 0;
    int l = socket(server_family, SOCK_STREAM, 0);
    assert_true(l >= 0);
    const struct sockaddr *sa = server_family == AF_INET ? (void *)&v4 : (void *)&v6;
    socklen_t n = server_family == AF_INET ? sizeof(v4) : sizeof(v6);
    if (server_family == AF_INET6) {
        assert_int_equal(setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
    }
    assert_int_equal(bind(l, sa, n), 0);
    assert_int_equal(listen(l, 1), 0);
    struct sockaddr_in6 bound;
    n = sizeof(bound);
    assert_int_equal(getsockname(l, (struct sockaddr *)&bound, &n), 0);
    v4.sin_port = v6.sin6_port = bound.sin6_port; /* the same place in both */
    v6.sin6_addr = in6addr_loopback;
    int c = socket(client_family, SOCK_STREAM, 0);
    sa = client_family == AF_INET ? (void *)&v4 : (void *)&v6;
    n = client_family == AF_INET ? sizeof(v4) : sizeof(v6);
    assert_int_equal(connect(c, sa, n), 0);
    int s = accept(l, NULL, NULL);
    assert_true(s >= 0);
    uid_t by_netlink = 12345, by_proc = 12345;
    assert_int_equal(weir_peer_uid_by_netlink(s, &by_netlink), 0);
    assert_true(weir_peer_uid_by_proc(s, &by_proc));
    assert_int_equal(by_netlink, geteuid());
    assert_int_equal(by_proc, geteuid());
    assert_int_equal(weir_peer_lookup(s), WEIR_PEER_SAME_USER);
    (void)close(c);
    (void)close(s);
    (void)close(l);
}

static void netlink_and_proc_agree_on_the_peer(void **state)
{
    (void)state;
    look_up_both_ways(AF_INET, AF_INET);
    if (has_ipv6()) {
        look_up_both_ways(AF_INET6, AF_INET6);
    }
    look_up_both_ways(AF_INET6, AF_INET); /* dual stack: addresses mapped into IPv6 */
    int pair[2];
    uid_t uid = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_true(weir_peer_uid_by_netlink(pair[0], &uid) < 0);
    assert_false(weir_peer_uid_by_proc(pair[0], &uid));
    assert_int_equal(weir_peer_lookup(pair[0]), WEIR_PEER_UNKNOWN);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

/* In a child process: asks as another user; its exit status says what the server answered. */
static int ask_as_nobody(uint16_t port)
{
    static const char ask[] = "GET /trust HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (setgid(65534) != 0 || setuid(65534) != 0) {
        return 2;
    }
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char buf[1024] = "";
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        send(fd, ask, sizeof(ask) - 1, 0) < 0) {
        return 3;
    }
    size_t n = 0;
    ssize_t got;
    while (n < sizeof(buf) - 1 && (got = recv(fd, buf + n, sizeof(buf) - 1 - n, 0)) > 0) {
        n += (size_t)got;
    }
    return strstr(buf, "\r\n\r\nunknown") != NULL ? 0 : strstr(buf, "\r\n\r\nsame") != NULL ? 1 : 4;
}

static void another_user_is_not_trusted(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        return;
    }
    struct fixture f;
    fixture_start(&f, NULL);
    pid_t child = fork();
    if (child == 0) {
        _exit(ask_as_nobody(weir_server_port(f.server)));
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    fixture_stop(&f);
}

/* In a child process: sends a request and is gone. */
static int send_and_close(uint16_t port)
{
    static const char ask[] = "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
              send(fd, ask, sizeof(ask) - 1, 0) == (ssize_t)sizeof(ask) - 1;
    return ok && close(fd) == 0 ? 0 : 1;
}

static void a_closed_socket_is_nobodys(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    pid_t child = fork();
    if (child == 0) {
        _exit(send_and_close(weir_server_port(f.server)));
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fixture_wait_held(&f, 1);
    /* The kernel shows what is left of it as user 0. */
    assert_int_equal(weir_request_trust(f.held[0]), WEIR_PEER_UNKNOWN);
    fixture_release(&f);
    fixture_stop(&f);
}

/* ---- starting ---- */

static void never(void *ctx, struct weir_http_request *r)
{
    (void)ctx;
    (void)r;
    abort();
}

static void bad_addresses_are_refused_with_a_remedy(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    char used[64];
    (void)snprintf(used, sizeof(used), "127.0.0.1:%u", weir_server_port(f.server));
    const struct {
        const char *listen;
        int code;
        const char *text;
    } rows[] = {
        {used, -WEIR_EINUSE, "is in use"},
        {":0", -WEIR_ECONFIG, "TLS"},
        {"0.0.0.0:0", -WEIR_ECONFIG, "TLS"},
        {"192.0.2.1:0", -WEIR_ECONFIG, "TLS"},
        {"host:1", -WEIR_EINVAL, "not an IP address"},
        {"127.0.0.1", -WEIR_EINVAL, "no port"},
        {"127.0.0.1:70000", -WEIR_EINVAL, "not a port"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_server_conf conf = {
            .listen = rows[i].listen, .handler = never, .idle_timeout_s = 1};
        struct weir_server *s = NULL;
        struct weir_err err = {""};
        assert_int_equal(weir_server_start(&s, &conf, &err), rows[i].code);
        assert_null(s);
        assert_non_null(strstr(err.text, rows[i].text));
        assert_non_null(strstr(err.text, rows[i].listen));
    }
    fixture_stop(&f);
}

int main(void)
{
    /* cmocka's own skip() prints "not ok"; the name carries the directive instead. */
    const char *trust_name = geteuid() == 0 ? "another_user_is_not_trusted"
                                         : "another_user_is_not_trusted # SKIP only root may become somebody else";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_at_once_and_later),
        cmocka_unit_test(a_handler_can_ask_to_be_called_again),
        cmocka_unit_test(headers_go_both_ways),
        cmocka_unit_test(bodies_over_the_limit_are_refused_early),
        cmocka_unit_test(malformed_requests_are_answered_400),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(slow_clients_are_ended),
        cmocka_unit_test(many_connections_wait_at_once),
        cmocka_unit_test(connections_over_the_limit_wait_their_turn),
        cmocka_unit_test(streams_flow_and_end),
        cmocka_unit_test(a_stream_ends_when_its_client_goes_away),
        cmocka_unit_test(a_stopping_server_answers_what_waits),
        cmocka_unit_test(a_server_stops_under_load),
        cmocka_unit_test(my_own_processes_are_trusted),
        cmocka_unit_test(web_pages_are_not_their_user),
        cmocka_unit_test(netlink_and_proc_agree_on_the_peer),
        {trust_name, another_user_is_not_trusted, NULL, NULL, NULL},
        cmocka_unit_test(a_closed_socket_is_nobodys),
        cmocka_unit_test(bad_addresses_are_refused_with_a_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
