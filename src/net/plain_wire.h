/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What plain HTTP/1.1 looks like on the wire: requests as bytes, answers read from pieces as they come.
 * Shared by the blocking (plain.h) and the asynchronous (plain_async.h) client. No sockets here.
 */

#include "net/address.h"
#include "net/client.h"

enum { WEIR_AUTHORITY_SIZE = 64 };

/* "http://127.0.0.1:7070/v1/jobs" -> "127.0.0.1:7070", "/v1/jobs"; false where it is written in another way. */
bool weir_plain_split(const char *url, struct weir_sv *authority, const char **path);
/* False where it is not an address of this host. */
bool weir_plain_resolve(struct weir_sv authority, struct weir_address *ret);
/* http:// to a loopback address, written in a way that the plain clients know. */
bool weir_plain_serves(const char *url);

/* The whole request with its body; ret is made here and released by the caller, overflowed where it is too large. */
void weir_plain_write_request(const struct weir_http_call *call, struct weir_sv authority, const char *path, struct weir_str *ret);
/* The reply of a call that has failed. */
void weir_plain_fail(const struct weir_http_call *call, int code, const char *why, struct weir_http_reply *reply);

enum weir_answer_state {
    WEIR_ANSWER_STATUS, /* lines are awaited ... */
    WEIR_ANSWER_HEADER,
    WEIR_ANSWER_CHUNK_SIZE,
    WEIR_ANSWER_CHUNK_END,
    WEIR_ANSWER_TRAILER,
    WEIR_ANSWER_BODY, /* bytes are awaited: left */
    WEIR_ANSWER_DONE,
};

/* One answer, as far as it was read. */
struct weir_answer {
    enum weir_answer_state state;
    int status;
    bool is_bodiless; /* of HEAD */
    bool chunked;
    bool has_length;
    bool close;     /* the connection ends with the answer */
    bool has_begun; /* a byte of it came */
    bool has_more;  /* bytes came behind it */
    bool is_ended_by_sink;
    unsigned n_lines;
    unsigned n_interim;
    uint64_t length;
    uint64_t left; /* of the body or the piece; UINT64_MAX: until the connection ends */
    long retry_after_s;
    struct weir_wall date;
    const char *why; /* of a failure; static */
    char content_type[256];
    char *subject_token; /* NULL: none */
    struct weir_str line;
    struct weir_str body; /* capped */
    weir_http_sink_fn *sink; /* gets the body of a 2xx answer; NULL: body does */
    void *sink_ctx;
};

void weir_answer_begin(struct weir_answer *a, const char *method, size_t body_bytes_max, weir_http_sink_fn *sink, void *sink_ctx);
void weir_answer_release(struct weir_answer *a);
/* Bytes in any pieces, until state is DONE. Errors: -WEIR_EIO, -WEIR_ELIMIT, with a->why; feed no more then. */
int weir_answer_feed(struct weir_answer *a, const char *p, size_t n);
/* The connection has ended. Errors: -WEIR_EIO where the answer has not. */
int weir_answer_end(struct weir_answer *a);
/* Is the connection good for another call after this answer? */
bool weir_answer_keeps_connection(const struct weir_answer *a);
/* Borrows from a. */
void weir_answer_reply(struct weir_answer *a, struct weir_http_reply *ret);
