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
#include "base/parse.h"
#include "net/address.h"

enum {
    BUFFER_BYTES = 16 * 1024, /* no line of an answer's head is longer */
    HEAD_LINES_MAX = 256,
    REQUEST_HEAD_BYTES_MAX = 256 * 1024,
    CONNECT_TIMEOUT_DEFAULT_MS = 10000,
    AUTHORITY_SIZE = 64,
};

struct weir_plain {
    int fd; /* -1: not connected */
    char authority[AUTHORITY_SIZE];
    char content_type[256];
    struct weir_str body;
    size_t at; /* what was read and not used: buffer[at..n) */
    size_t n;
    int64_t until_us;
    bool has_answer; /* a byte of it came */
    char buffer[BUFFER_BYTES];
};

/* One answer, as far as its head says. */
struct answer {
    int status;
    bool chunked;
    bool has_length;
    bool close;
    uint64_t length;
    long retry_after_s;
    weir_http_sink_fn *sink;
    void *sink_ctx;
    bool is_ended_by_sink;
};

struct weir_plain *weir_plain_new(void)
{
    struct weir_plain *p = weir_alloc(sizeof *p);
    p->fd = -1;
    p->at = p->n = 0;
    p->authority[0] = '\0';
    p->body = WEIR_STR_INIT(0);
    return p;
}

static void hang_up(struct weir_plain *p)
{
    weir_closep(&p->fd);
    p->fd = -1;
    p->at = p->n = 0;
}

void weir_plain_free(struct weir_plain *p)
{
    if (p != NULL) {
        hang_up(p);
        weir_str_release(&p->body);
        free(p);
    }
}

/* ---- where to ---- */

/* "http://127.0.0.1:7070/v1/jobs" -> "127.0.0.1:7070", "/v1/jobs". */
static bool split_url(const char *url, struct weir_sv *authority, const char **path)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    const char *p = url + sizeof scheme - 1;
    size_t n = strcspn(p, "/?#");
    *authority = (struct weir_sv){p, n};
    *path = p + n;
    return n > 0 && n < AUTHORITY_SIZE - 4 && (p[n] == '\0' || p[n] == '/') && strpbrk(p, "# \t\r\n") == NULL;
}

static bool resolve(struct weir_sv authority, struct weir_address *ret)
{
    char text[AUTHORITY_SIZE];
    const char *bracket = memchr(authority.p, ']', authority.n);
    const char *after = bracket == NULL ? authority.p : bracket;
    bool has_port = memchr(after, ':', authority.n - (size_t)(after - authority.p)) != NULL;
    (void)snprintf(text, sizeof text, "%.*s%s", WEIR_SV_ARG(authority), has_port ? "" : ":80");
    return weir_address_parse(weir_sv_of(text), ret, NULL) == 0 && weir_address_is_loopback(&ret->sa.any);
}

bool weir_plain_serves(const char *url)
{
    struct weir_sv authority;
    struct weir_address a;
    const char *path;
    /* localhost may be either family; libcurl tries both */
    return url != NULL && split_url(url, &authority, &path) && !weir_sv_starts(authority, WEIR_SV("localhost")) &&
           weir_url_is_loopback(url) && resolve(authority, &a);
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

static int dial(struct weir_plain *p, const struct weir_http_call *call, struct weir_sv authority, const char **why)
{
    struct weir_address a;
    int on = 1, error = 0;
    socklen_t size = sizeof error;
    *why = "not an address of this host";
    if (!resolve(authority, &a)) {
        return -WEIR_EINVAL;
    }
    hang_up(p);
    p->fd = socket(a.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd < 0) {
        *why = strerror(errno);
        return -WEIR_EUNAVAIL;
    }
    (void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(p->fd, &a.sa.any, a.size) < 0 && errno != EINPROGRESS && errno != EINTR) {
        error = errno;
    } else {
        unsigned ms = call->connect_timeout_ms == 0 ? CONNECT_TIMEOUT_DEFAULT_MS : call->connect_timeout_ms;
        int64_t until = weir_i64_add_sat(weir_clock_mono(&weir_clock_os).us, (int64_t)ms * 1000);
        if (wait_for(p, POLLOUT, until < p->until_us ? until : p->until_us) < 0) {
            error = ETIMEDOUT;
        } else if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
            error = errno;
        }
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

/* Reads more behind what is in the buffer. Returns how much; 0 at the end; -WEIR_E*. */
static long fill(struct weir_plain *p)
{
    if (p->at > 0) {
        memmove(p->buffer, p->buffer + p->at, p->n - p->at);
        p->n -= p->at;
        p->at = 0;
    }
    WEIR_ASSERT(p->n < sizeof p->buffer);
    for (;;) {
        ssize_t n = recv(p->fd, p->buffer + p->n, sizeof p->buffer - p->n, 0);
        if (n >= 0) {
            p->n += (size_t)n;
            p->has_answer |= n > 0;
            return (long)n;
        }
        if (errno == EAGAIN) {
            int r = wait_for(p, POLLIN, p->until_us);
            if (r < 0) {
                return r;
            }
        } else if (errno != EINTR) {
            return -WEIR_EIO;
        }
    }
}

/* A line without its end; valid until the next read. */
static int read_line(struct weir_plain *p, struct weir_sv *ret, const char **why)
{
    const char *end;
    while ((end = memchr(p->buffer + p->at, '\n', p->n - p->at)) == NULL) {
        if (p->n - p->at == sizeof p->buffer) {
            *why = "a line of the answer is too long";
            return -WEIR_EIO;
        }
        long n = fill(p);
        if (n <= 0) {
            *why = n == -WEIR_ETIMEOUT ? "no answer in time" : "the connection ended before the answer did";
            return n == -WEIR_ETIMEOUT ? -WEIR_ETIMEOUT : -WEIR_EIO;
        }
    }
    size_t n = (size_t)(end - (p->buffer + p->at));
    *ret = (struct weir_sv){p->buffer + p->at, n > 0 && end[-1] == '\r' ? n - 1 : n};
    p->at += n + 1;
    return 0;
}

/* ---- the answer ---- */

static int read_header(struct weir_plain *p, struct weir_sv line, struct answer *a)
{
    struct weir_sv value = line;
    struct weir_sv name = weir_sv_cut(&value, ':');
    if (value.p == NULL || name.n == 0) {
        return -WEIR_EIO;
    }
    value = weir_sv_trim(value);
    uint64_t s;
    if (weir_sv_eq_nocase(name, WEIR_SV("Content-Length"))) {
        a->has_length = true;
        return weir_parse_u64(value, 0, INT64_MAX, &a->length, NULL) == 0 ? 0 : -WEIR_EIO;
    }
    if (weir_sv_eq_nocase(name, WEIR_SV("Transfer-Encoding"))) {
        a->chunked = true;
        return weir_sv_eq_nocase(value, WEIR_SV("chunked")) ? 0 : -WEIR_EIO;
    }
    if (weir_sv_eq_nocase(name, WEIR_SV("Connection"))) {
        a->close |= weir_sv_eq_nocase(value, WEIR_SV("close"));
    } else if (weir_sv_eq_nocase(name, WEIR_SV("Content-Type"))) {
        (void)snprintf(p->content_type, sizeof p->content_type, "%.*s", WEIR_SV_ARG(value));
    } else if (weir_sv_eq_nocase(name, WEIR_SV("Retry-After")) && weir_parse_u64(value, 0, 1000000, &s, NULL) == 0) {
        a->retry_after_s = (long)s;
    }
    return 0;
}

static int read_head(struct weir_plain *p, struct answer *a, const char **why)
{
    struct weir_sv line;
    int r = read_line(p, &line, why);
    if (r < 0) {
        return r;
    }
    uint64_t status = 0;
    if (line.n < 12 || !weir_sv_starts(line, WEIR_SV("HTTP/1.")) || line.p[8] != ' ' || (line.n > 12 && line.p[12] != ' ') ||
        weir_parse_u64((struct weir_sv){line.p + 9, 3}, 100, 999, &status, NULL) < 0) {
        *why = "what answers does not speak HTTP/1.1";
        return -WEIR_EIO;
    }
    a->status = (int)status;
    a->close = line.p[7] == '0';
    for (unsigned i = 0; (r = read_line(p, &line, why)) == 0 && line.n > 0; i++) {
        *why = "the answer's head is not well-formed";
        if (i == HEAD_LINES_MAX || read_header(p, line, a) < 0) {
            return -WEIR_EIO;
        }
    }
    return r;
}

static int deliver(struct weir_plain *p, struct answer *a, size_t n, const char **why)
{
    const char *piece = p->buffer + p->at;
    p->at += n;
    if (a->sink != NULL && a->status >= 200 && a->status < 300) {
        a->is_ended_by_sink = a->sink(a->sink_ctx, piece, n) != 0;
        return 0;
    }
    if (n > p->body.max_bytes - p->body.n) {
        *why = "the answer is larger than what was asked for may be";
        return -WEIR_ELIMIT;
    }
    weir_str_add(&p->body, piece, n);
    return 0;
}

/* n bytes; UINT64_MAX: until the connection ends. */
static int read_bytes(struct weir_plain *p, struct answer *a, uint64_t n, const char **why)
{
    while (n > 0 && !a->is_ended_by_sink) {
        size_t have = p->n - p->at;
        if (have > 0) {
            size_t take = have > n ? (size_t)n : have;
            int r = deliver(p, a, take, why);
            if (r < 0) {
                return r;
            }
            n -= n == UINT64_MAX ? 0 : take;
            continue;
        }
        long got = fill(p);
        if (got == 0 && n == UINT64_MAX) {
            return 0;
        }
        if (got <= 0) {
            *why = got == -WEIR_ETIMEOUT ? "the answer did not end in time" : "the connection ended before the answer did";
            return got == -WEIR_ETIMEOUT ? -WEIR_ETIMEOUT : -WEIR_EIO;
        }
    }
    return 0;
}

static bool parse_chunk_size(struct weir_sv line, uint64_t *ret)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t v = 0;
    size_t i = 0;
    for (; i < line.n && i < 15; i++) {
        char c = line.p[i] >= 'A' && line.p[i] <= 'F' ? (char)(line.p[i] + ('a' - 'A')) : line.p[i];
        const char *d = c == '\0' ? NULL : strchr(digits, c);
        if (d == NULL) {
            break;
        }
        v = v << 4 | (uint64_t)(d - digits);
    }
    *ret = v;
    return i > 0 && (i == line.n || line.p[i] == ';' || line.p[i] == ' ');
}

static int read_chunks(struct weir_plain *p, struct answer *a, const char **why)
{
    struct weir_sv line;
    uint64_t n = 0;
    int r;
    while ((r = read_line(p, &line, why)) == 0) {
        *why = "the answer's pieces are not well-formed";
        if (!parse_chunk_size(line, &n)) {
            return -WEIR_EIO;
        }
        if (n == 0) {
            break;
        }
        r = read_bytes(p, a, n, why);
        if (r < 0 || a->is_ended_by_sink) {
            return r;
        }
        r = read_line(p, &line, why);
        if (r < 0 || line.n > 0) {
            return r < 0 ? r : -WEIR_EIO;
        }
    }
    for (unsigned i = 0; r == 0 && (r = read_line(p, &line, why)) == 0 && line.n > 0; i++) {
        if (i == HEAD_LINES_MAX) {
            return -WEIR_EIO;
        }
    }
    return r;
}

static int read_answer(struct weir_plain *p, const char *method, struct answer *a, const char **why)
{
    int r;
    unsigned interim = 0;
    do {
        p->content_type[0] = '\0';
        *a = (struct answer){.retry_after_s = -1, .sink = a->sink, .sink_ctx = a->sink_ctx};
        r = read_head(p, a, why);
    } while (r == 0 && a->status < 200 && interim++ < 16);
    if (r < 0 || weir_streq(method, "HEAD") || a->status == 204 || a->status == 304) {
        return r;
    }
    if (a->chunked) {
        return read_chunks(p, a, why);
    }
    a->close |= !a->has_length;
    return read_bytes(p, a, a->has_length ? a->length : UINT64_MAX, why);
}

/* ---- the call ---- */

static void write_request(const struct weir_http_call *call, struct weir_sv authority, const char *path, struct weir_str *out)
{
    bool has_type = false;
    weir_str_addf(out, "%s %s%s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: weir/" WEIR_VERSION "\r\nAccept: */*\r\n", call->method,
                  path[0] == '/' ? "" : "/", path, WEIR_SV_ARG(authority));
    for (size_t i = 0; i < call->n_headers; i++) {
        weir_str_addf(out, "%s: %s\r\n", call->header[i].name, call->header[i].value);
        has_type |= weir_sv_eq_nocase(weir_sv_of(call->header[i].name), WEIR_SV("Content-Type"));
    }
    if (call->bearer != NULL) {
        weir_str_addf(out, "Authorization: Bearer %s\r\n", call->bearer);
    }
    bool sends = call->body.n > 0 || weir_streq(call->method, "POST") || weir_streq(call->method, "PUT");
    if (call->body.n > 0 && !has_type) {
        weir_str_adds(out, "Content-Type: application/json\r\n");
    }
    if (sends) {
        weir_str_addf(out, "Content-Length: %zu\r\n", call->body.n);
    }
    weir_str_adds(out, "\r\n");
    weir_str_add(out, call->body.p, call->body.n);
}

static int exchange(struct weir_plain *p, const struct weir_http_call *call, struct weir_sv request, struct answer *a, const char **why)
{
    p->has_answer = false;
    p->body.n = 0;
    *why = "the request could not be sent in time";
    int r = send_all(p, request);
    return r < 0 ? r : read_answer(p, call->method, a, why);
}

static void fail(const struct weir_http_call *call, int code, const char *why, struct weir_http_reply *reply)
{
    struct weir_sv rest = weir_sv_of(call->url); /* a query may hold what is not for a log */
    struct weir_sv shown = weir_sv_cut(&rest, '?');
    *reply = (struct weir_http_reply){.code = code, .retry_after_s = -1, .content_type = "", .body = WEIR_SV("")};
    (void)snprintf(reply->text, sizeof reply->text, "%.*s: %.120s", (int)(shown.n > 120 ? 120 : shown.n), shown.p, why);
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
    struct answer a = {.sink = sink, .sink_ctx = sink_ctx};
    bool is_ours = split_url(call->url, &authority, &path);
    WEIR_ASSERT(is_ours);
    weir_str_release(&p->body);
    p->body = WEIR_STR_INIT(call->reply_bytes_max);
    p->until_us = weir_i64_add_sat(weir_clock_mono(&weir_clock_os).us, (int64_t)call->timeout_ms * 1000);
    struct weir_str request = WEIR_STR_INIT(REQUEST_HEAD_BYTES_MAX + call->body.n);
    write_request(call, authority, path, &request);
    bool kept = p->fd >= 0 && weir_sv_eq(authority, weir_sv_of(p->authority));
    int r = request.overflowed ? -WEIR_EINVAL : kept ? 0 : dial(p, call, authority, &why);
    if (r == 0) {
        r = exchange(p, call, weir_str_sv(&request), &a, &why);
        if (r == -WEIR_EIO && kept && !p->has_answer) {
            /* the server had closed it meanwhile */
            r = dial(p, call, authority, &why);
            r = r < 0 ? r : exchange(p, call, weir_str_sv(&request), &a, &why);
        }
    }
    if (call->bearer != NULL && request.n > 0) {
        explicit_bzero(request.p, request.n);
    }
    weir_str_release(&request);
    if (r < 0 || a.close || a.is_ended_by_sink || p->at != p->n) {
        hang_up(p);
    }
    if (r < 0) {
        fail(call, r, why, reply);
        return r;
    }
    *reply = (struct weir_http_reply){.status = a.status,
                                      .retry_after_s = a.retry_after_s,
                                      .content_type = p->content_type,
                                      .body = {weir_str_cstr(&p->body), p->body.n}};
    return 0;
}
