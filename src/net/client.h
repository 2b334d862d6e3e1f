/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP clients. struct weir_http is the asynchronous one on a libuv loop, used by the agent and the cloud
 * drivers; struct weir_http_session is the blocking one for the CLI. Both are on libcurl, but for plain HTTP to
 * this very host (plain.h, plain_async.h).
 * Bodies are bounded, time-outs always set, redirects not followed, only http and https spoken.
 *
 * struct weir_http is reached through a vtable so that tests put a transcript player in its place.
 */

#include "base/err.h"
#include "base/str.h"
#include "base/wtime.h"
#include "net/server.h" /* struct weir_http_header */

struct uv_loop_s;

enum { WEIR_HTTP_CONNECT_TIMEOUT_MS = 10000 };

struct weir_http_call {
    const char *method; /* "GET", "POST", ... */
    const char *url;
    const struct weir_http_header *header;
    size_t n_headers;
    struct weir_sv body;
    const char *bearer;          /* NULL: none; never logged */
    const char *ca_pem;          /* trust exactly this authority; NULL: the system's */
    const char *cert_file;       /* PEM files of the client's own certificate and its key, shown to a server that asks; NULL: none */
    const char *key_file;
    unsigned timeout_ms;         /* whole call; 0 is refused */
    unsigned connect_timeout_ms; /* 0: WEIR_HTTP_CONNECT_TIMEOUT_MS */
    size_t reply_bytes_max;
    bool once; /* on a new connection, so that it is never sent a second time behind the caller's back; see send */
};

struct weir_http_reply {
    int status; /* 0: no answer; see code */
    /* 0, or -WEIR_EUNAVAIL (was not sent: no connection), -WEIR_ETIMEOUT (may have been received),
     * -WEIR_ELIMIT (answer too large), -WEIR_EIO (broke off; may have been received),
     * -WEIR_EUNAUTH (TLS: not the broker we trust), -WEIR_EINVAL (the call itself: URL, header; not
     * sent) */
    int code;
    char text[256];           /* for a person, where code is not 0 */
    struct weir_sv body;      /* borrowed during the callback; terminated */
    const char *content_type; /* "" where absent */
    long retry_after_s;       /* -1 where absent */
    struct weir_wall date;    /* the server's time; 0 where absent */
    const char *subject_token; /* X-Subject-Token, the credential that an identity service hands out; NULL where absent; borrowed like body */
};

typedef void weir_http_fn(void *ctx, const struct weir_http_reply *reply);

struct weir_http;
struct weir_http_ops {
    /* Everything in call is copied. The callback comes exactly once from the loop, unless
     * cancelled. *ret_id (may be NULL) is for cancel. A call on a kept connection that turns out to
     * be closed is sent once more on a new one: what must not happen twice carries a token of its
     * own, or is sent with call->once. Errors: -WEIR_EINVAL (no time-out, malformed method or header), -WEIR_ELIMIT (too many
     * authorities), -WEIR_ENOMEM, -WEIR_EIO; then the callback does not come. */
    int (*send)(struct weir_http *h,
                const struct weir_http_call *call,
                weir_http_fn *done,
                void *ctx,
                uint64_t *ret_id);
    /* The callback does not come any more. An id that is done is ignored. */
    void (*cancel)(struct weir_http *h, uint64_t id);
    void (*free)(struct weir_http *h);
};
struct weir_http {
    const struct weir_http_ops *ops;
};

/* "Sun, 06 Nov 1994 08:49:37 GMT", as in a Date header; 0 where it is not of that form. */
struct weir_wall weir_http_date(struct weir_sv text);

/* Loads what calls to that URL need, for who wants to know at once. Errors: -WEIR_EUNSUPPORTED (libcurl is not there). */
int weir_http_prepare(const char *url, struct weir_err *err);
/* The real one. Freed by h->ops->free, after which the loop must run once more to close its handles. libcurl is
 * loaded with the first call that needs it; where that fails, send gives -WEIR_EUNSUPPORTED. */
struct weir_http *weir_http_new(struct uv_loop_s *loop);

/* ---- blocking, for command-line programs ---- */

struct weir_http_session; /* keeps connections between calls */
int weir_http_session_new(struct weir_http_session **ret, struct weir_err *err);
void weir_http_session_free(struct weir_http_session *s);

/* Called with each piece of a streamed answer body of status 2xx; non-zero ends the call. */
typedef int weir_http_sink_fn(void *ctx, const char *p, size_t n);

/*
 * One call. With a sink, pieces of a 2xx body go there and reply->body holds only an error's body.
 * reply->body is borrowed until the next call on the session. Returns reply->code.
 */
int weir_http_session_call(struct weir_http_session *s,
                           const struct weir_http_call *call,
                           weir_http_sink_fn *sink,
                           void *sink_ctx,
                           struct weir_http_reply *reply,
                           struct weir_err *err);
