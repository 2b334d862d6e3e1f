/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load generator for the HTTP interface: keep-alive connections, one request under way on each,
 * one thread, own epoll loop. It shares its cores with the server it measures, so it does as
 * little as it can: the request is made once, an answer is searched only for its status and
 * length.
 *
 *     bench_http --url http://127.0.0.1:7070/v1/jobs --connections 64 --seconds 10
 *                --body '{"name":"x","key":"{n}"}' --header 'Authorization: Bearer T'
 *
 * "{n}" in the body becomes the number of the request in twelve digits. Prints requests per second
 * and the percentiles of latency; exits 1 where any answer was not 2xx.
 */

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"

enum {
    ANSWER_MAX = 256 * 1024,
    LATENCY_SLOTS = 200 * 1000, /* one a microsecond; slower ones share the last */
    NUMBER_DIGITS = 12,
    EVENTS = 256,
};

struct options {
    const char *url;
    const char *method;
    const char *body;
    WEIR_VEC(const char *) header;
    uint64_t connections;
    uint64_t seconds;
    uint64_t requests;
    bool json;
};

struct link {
    int fd;
    bool is_waiting_to_write;
    size_t sent;
    size_t got;
    int64_t began_us;
    char *request; /* this connection's copy, for its number */
    char *answer;
};

struct bench {
    struct options o;
    char host[128];
    char port[8];
    const char *path;
    struct sockaddr_storage address;
    socklen_t address_n;
    struct weir_str request;
    WEIR_VEC(size_t) number_at;
    int epoll_fd;
    struct link *link;
    uint64_t n_started;
    uint64_t n_done;
    uint64_t n_by_class[6];
    uint32_t *latency;
    int64_t latency_max_us;
    int64_t now_us;
    int64_t end_us;
};

static int64_t now_us(void)
{
    return weir_clock_mono(&weir_clock_os).us;
}

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_http: %s: %s\n", what, why);
    exit(2);
}

/* ---- options ---- */

static uint64_t number(const char *name, const char *text, uint64_t max)
{
    uint64_t v = 0;
    struct weir_err err;
    if (weir_parse_u64(weir_sv_of(text), 1, max, &v, &err) < 0) {
        die(name, err.text);
    }
    return v;
}

static void parse_options(struct options *o, int argc, char **argv)
{
    *o = (struct options){.method = "POST", .body = "{}", .connections = 64};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (weir_streq(name, "--json")) {
            o->json = true;
            continue;
        }
        if (++i == argc) {
            die(name, "unknown option, or its value is missing");
        }
        const char *value = argv[i];
        if (weir_streq(name, "--url")) {
            o->url = value;
        } else if (weir_streq(name, "--method")) {
            o->method = value;
        } else if (weir_streq(name, "--body")) {
            o->body = value;
        } else if (weir_streq(name, "--header")) {
            weir_vec_push(&o->header, value);
        } else if (weir_streq(name, "--connections")) {
            o->connections = number(name, value, 10000);
        } else if (weir_streq(name, "--seconds")) {
            o->seconds = number(name, value, 3600);
        } else if (weir_streq(name, "--requests")) {
            o->requests = number(name, value, UINT64_C(1000000000));
        } else {
            die(name, "unknown option");
        }
    }
    if (o->url == NULL) {
        die("--url", "missing");
    }
    if (o->seconds == 0 && o->requests == 0) {
        o->seconds = 5;
    }
}

static void resolve(struct bench *b)
{
    struct weir_sv rest = weir_sv_of(b->o.url);
    if (!weir_sv_starts(rest, WEIR_SV("http://"))) {
        die(b->o.url, "only http:// is spoken");
    }
    const char *host = b->o.url + 7;
    size_t n = strcspn(host, "/");
    b->path = host[n] == 0 ? "/" : host + n;
    size_t colon = n;
    while (colon > 0 && host[colon - 1] != ':' && host[colon - 1] != ']') {
        colon--;
    }
    bool has_port = colon > 0 && host[colon - 1] == ':';
    size_t host_n = has_port ? colon - 1 : n;
    const char *name = host;
    if (host_n > 2 && name[0] == '[') {
        name++;
        host_n -= 2;
    }
    (void)snprintf(b->host, sizeof(b->host), "%.*s", (int)host_n, name);
    (void)snprintf(b->port,
                   sizeof(b->port),
                   "%.*s",
                   has_port ? (int)(n - colon) : 2,
                   has_port ? host + colon : "80");
    struct addrinfo hint = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int e = getaddrinfo(b->host, b->port, &hint, &found);
    if (e != 0) {
        die(b->o.url, gai_strerror(e));
    }
    memcpy(&b->address, found->ai_addr, found->ai_addrlen);
    b->address_n = found->ai_addrlen;
    freeaddrinfo(found);
}

static void make_request(struct bench *b)
{
    struct weir_str body = WEIR_STR_INIT(16 << 20);
    WEIR_VEC(size_t) at = {0};
    for (const char *p = b->o.body; *p != 0; p++) {
        if (strncmp(p, "{n}", 3) == 0) {
            weir_vec_push(&at, body.n);
            weir_str_addf(&body, "%0*d", NUMBER_DIGITS, 0);
            p += 2;
        } else {
            weir_str_addc(&body, *p);
        }
    }
    b->request = WEIR_STR_INIT(17 << 20);
    weir_str_addf(
        &b->request, "%s %s HTTP/1.1\r\nHost: %s:%s\r\n", b->o.method, b->path, b->host, b->port);
    for (size_t i = 0; i < b->o.header.n; i++) {
        weir_str_addf(&b->request, "%s\r\n", b->o.header.p[i]);
    }
    weir_str_addf(
        &b->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body.n);
    for (size_t i = 0; i < at.n; i++) {
        weir_vec_push(&b->number_at, b->request.n + at.p[i]);
    }
    weir_str_add(&b->request, weir_str_cstr(&body), body.n);
    weir_vec_release(&at);
    weir_str_release(&body);
}

/* ---- the loop ---- */

static void want(struct bench *b, struct link *l, bool write)
{
    if (l->is_waiting_to_write != write) {
        l->is_waiting_to_write = write;
        struct epoll_event e = {.events = write ? EPOLLOUT : EPOLLIN, .data.ptr = l};
        (void)epoll_ctl(b->epoll_fd, EPOLL_CTL_MOD, l->fd, &e);
    }
}

static void send_rest(struct bench *b, struct link *l)
{
    while (l->sent < b->request.n) {
        ssize_t w = send(l->fd, l->request + l->sent, b->request.n - l->sent, MSG_NOSIGNAL);
        if (w < 0 && errno == EAGAIN) {
            want(b, l, true);
            return;
        }
        if (w <= 0) {
            die("send", strerror(errno));
        }
        l->sent += (size_t)w;
    }
    want(b, l, false);
}

static void begin(struct bench *b, struct link *l)
{
    bool is_over = b->o.requests > 0 ? b->n_started >= b->o.requests : b->now_us >= b->end_us;
    if (is_over) {
        return;
    }
    uint64_t n = b->n_started++;
    for (size_t i = 0; i < b->number_at.n; i++) {
        uint64_t v = n;
        for (int d = NUMBER_DIGITS; d-- > 0; v /= 10) {
            l->request[b->number_at.p[i] + (size_t)d] = (char)('0' + v % 10);
        }
    }
    l->sent = l->got = 0;
    l->began_us = b->now_us;
    send_rest(b, l);
}

/* The bytes of the whole answer, or 0 while its headers are not all there. */
static size_t answer_size(const struct link *l)
{
    const char *end = memmem(l->answer, l->got, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }
    size_t head = (size_t)(end - l->answer) + 4;
    static const char key[] = "content-length:";
    for (const char *p = l->answer; p < end; p++) {
        if (*p == '\n' && strncasecmp(p + 1, key, sizeof(key) - 1) == 0) {
            size_t v = 0;
            for (p += sizeof(key); *p == ' '; p++) {
            }
            for (; *p >= '0' && *p <= '9'; p++) {
                v = v * 10 + (size_t)(*p - '0');
            }
            return head + v;
        }
    }
    die("answer", "no Content-Length");
    return 0;
}

static void finish(struct bench *b, struct link *l)
{
    b->now_us = now_us();
    int64_t us = b->now_us - l->began_us;
    b->latency[us < LATENCY_SLOTS ? us : LATENCY_SLOTS - 1]++;
    b->latency_max_us = us > b->latency_max_us ? us : b->latency_max_us;
    int class = l->got > 9 ? l->answer[9] - '0' : 0;
    b->n_by_class[class < 0 || class > 5 ? 0 : class]++;
    b->n_done++;
    begin(b, l);
}

static void receive(struct bench *b, struct link *l)
{
    ssize_t n = recv(l->fd, l->answer + l->got, ANSWER_MAX - l->got - 1, 0);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        die("receive", n == 0 ? "the server closed a connection" : strerror(errno));
    }
    l->got += (size_t)n;
    l->answer[l->got] = 0;
    size_t size = answer_size(l);
    if (size >= ANSWER_MAX) {
        die("answer", "too large");
    }
    if (size > 0 && l->got >= size) {
        finish(b, l);
    }
}

static void open_links(struct bench *b)
{
    b->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    b->link = weir_calloc(b->o.connections, sizeof(*b->link));
    for (size_t i = 0; i < b->o.connections; i++) {
        struct link *l = &b->link[i];
        l->fd = socket(b->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&b->address, b->address_n) < 0) {
            die("connect", strerror(errno));
        }
        int on = 1;
        (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        l->request = memcpy(weir_alloc(b->request.n), b->request.p, b->request.n);
        l->answer = weir_alloc(ANSWER_MAX);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
        if (fcntl(l->fd, F_SETFL, O_NONBLOCK) < 0 ||
            epoll_ctl(b->epoll_fd, EPOLL_CTL_ADD, l->fd, &e) < 0) {
            die("epoll", strerror(errno));
        }
    }
}

static void loop(struct bench *b)
{
    struct epoll_event event[EVENTS];
    for (size_t i = 0; i < b->o.connections; i++) {
        begin(b, &b->link[i]);
    }
    while (b->n_done < b->n_started) {
        int n = epoll_wait(b->epoll_fd, event, EVENTS, 30000);
        if (n == 0) {
            die("receive", "no answer for 30 seconds");
        }
        for (int i = 0; i < n; i++) {
            struct link *l = event[i].data.ptr;
            if (l->is_waiting_to_write) {
                send_rest(b, l);
            } else {
                receive(b, l);
            }
        }
    }
}

/* ---- the result ---- */

static int64_t percentile(const struct bench *b, uint64_t per_10000)
{
    uint64_t want_n = b->n_done * per_10000 / 10000, seen = 0;
    for (int64_t us = 0; us < LATENCY_SLOTS - 1; us++) {
        seen += b->latency[us];
        if (seen > want_n) {
            return us;
        }
    }
    return b->latency_max_us;
}

static void print(const struct bench *b, int64_t spent_us)
{
    uint64_t bad = b->n_done - b->n_by_class[2];
    uint64_t rate = spent_us == 0 ? 0 : b->n_done * 1000000 / (uint64_t)spent_us;
    const char *format =
        b->o.json
            ? "{\"requests\":%llu,\"not_2xx\":%llu,\"seconds\":%lld.%03d,\"per_second\":%llu,"
              "\"p50_us\":%lld,\"p90_us\":%lld,\"p99_us\":%lld,\"p999_us\":%lld,\"max_us\":%lld}\n"
            : "requests %llu (not 2xx: %llu) in %lld.%03d s: %llu/s; latency us: p50 %lld "
              "p90 %lld p99 %lld p99.9 %lld max %lld\n";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)printf(format,
                 (unsigned long long)b->n_done,
                 (unsigned long long)bad,
                 (long long)(spent_us / 1000000),
                 (int)(spent_us / 1000 % 1000),
                 (unsigned long long)rate,
                 (long long)percentile(b, 5000),
                 (long long)percentile(b, 9000),
                 (long long)percentile(b, 9900),
                 (long long)percentile(b, 9990),
                 (long long)b->latency_max_us);
#pragma GCC diagnostic pop
}

int main(int argc, char **argv)
{
    struct bench b = {.latency = weir_calloc(LATENCY_SLOTS, sizeof(uint32_t))};
    parse_options(&b.o, argc, argv);
    resolve(&b);
    make_request(&b);
    open_links(&b);
    int64_t began_us = b.now_us = now_us();
    b.end_us = began_us + (int64_t)b.o.seconds * WEIR_US_PER_S;
    loop(&b);
    print(&b, now_us() - began_us);
    return b.n_by_class[2] == b.n_done ? 0 : 1;
}
