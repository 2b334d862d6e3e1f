/* SPDX-License-Identifier: Apache-2.0 */
#include "net/plain_wire.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/parse.h"

enum {
    LINE_BYTES_MAX = 16 * 1024,
    HEAD_LINES_MAX = 256,
    INTERIM_MAX = 16, /* answers of 1xx before the real one */
    REQUEST_HEAD_BYTES_MAX = 256 * 1024,
};

/* ---- where to ---- */

/* "http://127.0.0.1:7070/v1/jobs" -> "127.0.0.1:7070", "/v1/jobs". */
bool weir_plain_split(const char *url, struct weir_sv *authority, const char **path)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    const char *p = url + sizeof scheme - 1;
    size_t n = strcspn(p, "/?#");
    *authority = (struct weir_sv){p, n};
    *path = p + n;
    return n > 0 && n < WEIR_AUTHORITY_SIZE - 4 && (p[n] == '\0' || p[n] == '/') && strpbrk(p, "# \t\r\n") == NULL;
}

bool weir_plain_resolve(struct weir_sv authority, struct weir_address *ret)
{
    char text[WEIR_AUTHORITY_SIZE];
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
    return url != NULL && weir_plain_split(url, &authority, &path) && !weir_sv_starts(authority, WEIR_SV("localhost")) &&
           weir_url_is_loopback(url) && weir_plain_resolve(authority, &a);
}

/* ---- the request ---- */

void weir_plain_write_request(const struct weir_http_call *call, struct weir_sv authority, const char *path, struct weir_str *ret)
{
    bool has_type = false;
    *ret = WEIR_STR_INIT(REQUEST_HEAD_BYTES_MAX + call->body.n);
    weir_str_addf(ret, "%s %s%s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: weir/" WEIR_VERSION "\r\nAccept: */*\r\n", call->method,
                  path[0] == '/' ? "" : "/", path, WEIR_SV_ARG(authority));
    for (size_t i = 0; i < call->n_headers; i++) {
        weir_str_addf(ret, "%s: %s\r\n", call->header[i].name, call->header[i].value);
        has_type |= weir_sv_eq_nocase(weir_sv_of(call->header[i].name), WEIR_SV("Content-Type"));
    }
    if (call->bearer != NULL) {
        weir_str_addf(ret, "Authorization: Bearer %s\r\n", call->bearer);
    }
    bool sends = call->body.n > 0 || weir_streq(call->method, "POST") || weir_streq(call->method, "PUT");
    if (call->body.n > 0 && !has_type) {
        weir_str_adds(ret, "Content-Type: application/json\r\n");
    }
    if (sends) {
        weir_str_addf(ret, "Content-Length: %zu\r\n", call->body.n);
    }
    weir_str_adds(ret, "\r\n");
    weir_str_add(ret, call->body.p, call->body.n);
}

void weir_plain_fail(const struct weir_http_call *call, int code, const char *why, struct weir_http_reply *reply)
{
    struct weir_sv rest = weir_sv_of(call->url); /* a query may hold what is not for a log */
    struct weir_sv shown = weir_sv_cut(&rest, '?');
    *reply = (struct weir_http_reply){.code = code, .retry_after_s = -1, .content_type = "", .body = WEIR_SV("")};
    (void)snprintf(reply->text, sizeof reply->text, "%.*s: %.120s", (int)(shown.n > 120 ? 120 : shown.n), shown.p, why);
}

/* ---- the answer ---- */

struct weir_wall weir_http_date(struct weir_sv text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const char *p = text.p;
    if (text.n != 29 || p[3] != ',' || p[4] != ' ' || p[7] != ' ' || p[11] != ' ' || p[16] != ' ' || p[19] != ':' || p[22] != ':' ||
        memcmp(p + 25, " GMT", 4) != 0) {
        return (struct weir_wall){0};
    }
    int month = 1;
    while (month <= 12 && memcmp(months + 3 * (month - 1), p + 8, 3) != 0) {
        month++;
    }
    uint64_t day, year, hour, minute, second;
    if (month > 12 || weir_parse_u64((struct weir_sv){p + 5, 2}, 1, 31, &day, NULL) < 0 ||
        weir_parse_u64((struct weir_sv){p + 12, 4}, 1970, 9999, &year, NULL) < 0 ||
        weir_parse_u64((struct weir_sv){p + 17, 2}, 0, 23, &hour, NULL) < 0 ||
        weir_parse_u64((struct weir_sv){p + 20, 2}, 0, 59, &minute, NULL) < 0 ||
        weir_parse_u64((struct weir_sv){p + 23, 2}, 0, 60, &second, NULL) < 0) {
        return (struct weir_wall){0};
    }
    struct weir_date d = {.year = (int)year, .month = month, .day = (int)day, .hour = (int)hour, .minute = (int)minute,
                          .second = second == 60 ? 59 : (int)second};
    return weir_wall_from_date(d);
}

void weir_answer_begin(struct weir_answer *a, const char *method, size_t body_bytes_max, weir_http_sink_fn *sink, void *sink_ctx)
{
    *a = (struct weir_answer){.state = WEIR_ANSWER_STATUS,
                              .is_bodiless = weir_streq(method, "HEAD"),
                              .retry_after_s = -1,
                              .line = WEIR_STR_INIT(LINE_BYTES_MAX),
                              .body = WEIR_STR_INIT(body_bytes_max),
                              .sink = sink,
                              .sink_ctx = sink_ctx};
}

void weir_answer_release(struct weir_answer *a)
{
    free(a->subject_token);
    a->subject_token = NULL;
    weir_str_release(&a->line);
    weir_str_release(&a->body);
}

static int refuse(struct weir_answer *a, int code, const char *why)
{
    a->why = why;
    return code;
}

static int take_header(struct weir_answer *a, struct weir_sv line)
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
        (void)snprintf(a->content_type, sizeof a->content_type, "%.*s", WEIR_SV_ARG(value));
    } else if (weir_sv_eq_nocase(name, WEIR_SV("Retry-After")) && weir_parse_u64(value, 0, 1000000, &s, NULL) == 0) {
        a->retry_after_s = (long)s;
    } else if (weir_sv_eq_nocase(name, WEIR_SV("Date"))) {
        a->date = weir_http_date(value);
    } else if (weir_sv_eq_nocase(name, WEIR_SV("X-Subject-Token"))) {
        free(a->subject_token);
        a->subject_token = weir_strndup(value.p, value.n);
    }
    return 0;
}

static int take_status(struct weir_answer *a, struct weir_sv line)
{
    uint64_t status = 0;
    if (line.n < 12 || !weir_sv_starts(line, WEIR_SV("HTTP/1.")) || line.p[8] != ' ' || (line.n > 12 && line.p[12] != ' ') ||
        weir_parse_u64((struct weir_sv){line.p + 9, 3}, 100, 999, &status, NULL) < 0) {
        return refuse(a, -WEIR_EIO, "what answers does not speak HTTP/1.1");
    }
    a->status = (int)status;
    a->close = line.p[7] == '0';
    a->state = WEIR_ANSWER_HEADER;
    return 0;
}

/* The empty line: what follows? */
static int end_head(struct weir_answer *a)
{
    a->n_lines = 0;
    if (a->status < 200) {
        a->chunked = a->has_length = false;
        a->content_type[0] = '\0';
        a->retry_after_s = -1;
        a->state = WEIR_ANSWER_STATUS;
        return ++a->n_interim > INTERIM_MAX ? refuse(a, -WEIR_EIO, "the answer's head is not well-formed") : 0;
    }
    if (a->is_bodiless || a->status == 204 || a->status == 304 || (!a->chunked && a->has_length && a->length == 0)) {
        a->state = WEIR_ANSWER_DONE;
    } else if (a->chunked) {
        a->state = WEIR_ANSWER_CHUNK_SIZE;
    } else {
        a->close |= !a->has_length;
        a->left = a->has_length ? a->length : UINT64_MAX;
        a->state = WEIR_ANSWER_BODY;
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

static int take_line(struct weir_answer *a, struct weir_sv line)
{
    switch (a->state) {
    case WEIR_ANSWER_STATUS:
        return take_status(a, line);
    case WEIR_ANSWER_HEADER:
        if (line.n == 0) {
            return end_head(a);
        }
        return a->n_lines++ == HEAD_LINES_MAX || take_header(a, line) < 0 ? refuse(a, -WEIR_EIO, "the answer's head is not well-formed") : 0;
    case WEIR_ANSWER_CHUNK_SIZE:
        if (!parse_chunk_size(line, &a->left)) {
            return refuse(a, -WEIR_EIO, "the answer's pieces are not well-formed");
        }
        a->state = a->left == 0 ? WEIR_ANSWER_TRAILER : WEIR_ANSWER_BODY;
        return 0;
    case WEIR_ANSWER_CHUNK_END:
        a->state = WEIR_ANSWER_CHUNK_SIZE;
        return line.n > 0 ? refuse(a, -WEIR_EIO, "the answer's pieces are not well-formed") : 0;
    case WEIR_ANSWER_TRAILER:
        a->state = line.n == 0 ? WEIR_ANSWER_DONE : WEIR_ANSWER_TRAILER;
        return a->n_lines++ == HEAD_LINES_MAX ? refuse(a, -WEIR_EIO, "the answer's pieces are not well-formed") : 0;
    case WEIR_ANSWER_BODY:
    case WEIR_ANSWER_DONE:
        break;
    }
    WEIR_UNREACHABLE();
}

/* As much of p as belongs to the line; the line is taken once it is whole. */
static int feed_line(struct weir_answer *a, const char *p, size_t n, size_t *ret_used)
{
    const char *end = memchr(p, '\n', n);
    size_t take = end == NULL ? n : (size_t)(end - p) + 1;
    *ret_used = take;
    if (take > LINE_BYTES_MAX - a->line.n) {
        return refuse(a, -WEIR_EIO, "a line of the answer is too long");
    }
    weir_str_add(&a->line, p, take);
    if (end == NULL) {
        return 0;
    }
    struct weir_sv line = {a->line.p, a->line.n - 1};
    line.n -= line.n > 0 && line.p[line.n - 1] == '\r' ? 1 : 0;
    int r = take_line(a, line);
    weir_str_clear(&a->line);
    return r;
}

static int feed_body(struct weir_answer *a, const char *p, size_t n, size_t *ret_used)
{
    size_t take = n > a->left ? (size_t)a->left : n;
    *ret_used = take;
    if (a->sink != NULL && a->status >= 200 && a->status < 300) {
        a->is_ended_by_sink = a->sink(a->sink_ctx, p, take) != 0;
    } else if (take > a->body.max_bytes - a->body.n) {
        return refuse(a, -WEIR_ELIMIT, "the answer is larger than what was asked for may be");
    } else {
        weir_str_add(&a->body, p, take);
    }
    a->left -= a->left == UINT64_MAX ? 0 : take;
    if (a->is_ended_by_sink) {
        a->state = WEIR_ANSWER_DONE;
    } else if (a->left == 0) {
        a->state = a->chunked ? WEIR_ANSWER_CHUNK_END : WEIR_ANSWER_DONE;
    }
    return 0;
}

int weir_answer_feed(struct weir_answer *a, const char *p, size_t n)
{
    a->has_begun |= n > 0;
    while (n > 0 && a->state != WEIR_ANSWER_DONE) {
        size_t used = 0;
        int r = a->state == WEIR_ANSWER_BODY ? feed_body(a, p, n, &used) : feed_line(a, p, n, &used);
        if (r < 0) {
            return r;
        }
        p += used;
        n -= used;
    }
    a->has_more = n > 0;
    return 0;
}

int weir_answer_end(struct weir_answer *a)
{
    if (a->state == WEIR_ANSWER_BODY && a->left == UINT64_MAX) {
        a->state = WEIR_ANSWER_DONE;
    }
    return a->state == WEIR_ANSWER_DONE ? 0 : refuse(a, -WEIR_EIO, "the connection ended before the answer did");
}

bool weir_answer_keeps_connection(const struct weir_answer *a)
{
    return a->state == WEIR_ANSWER_DONE && !a->close && !a->is_ended_by_sink && !a->has_more;
}

void weir_answer_reply(struct weir_answer *a, struct weir_http_reply *ret)
{
    *ret = (struct weir_http_reply){.status = a->status,
                                    .retry_after_s = a->retry_after_s,
                                    .date = a->date,
                                    .content_type = a->content_type,
                                    .subject_token = a->subject_token,
                                    .body = {weir_str_cstr(&a->body), a->body.n}};
}
