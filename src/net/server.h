/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The HTTP server: libmicrohttpd with one epoll thread per two cores (at most
 * WEIR_SERVER_THREADS_MAX), TLS by GnuTLS, bodies and headers bounded, slow clients timed out,
 * connections limited. It knows no routes: each complete request goes to one handler, which answers
 * now or later, from any thread.
 *
 * Threads: the handler runs on a server thread. A request that is answered later is suspended; it
 * belongs to whoever holds the pointer until weir_request_reply or weir_request_stream is called,
 * which may be done from any thread and ends that ownership. When the client goes away first, the
 * pointer stays valid until answered; the answer is dropped.
 */

#include "base/err.h"
#include "base/str.h"
#include "net/digest.h"

enum { WEIR_SERVER_THREADS_MAX = 2 };

struct weir_server;
struct weir_http_request; /* one request under way */

enum weir_peer_trust {
    WEIR_PEER_UNKNOWN,   /* from elsewhere, or another user of this host */
    WEIR_PEER_SAME_USER, /* a loopback connection from a process of the server's own user, or of
                            root */
};

typedef void weir_server_fn(void *ctx, struct weir_http_request *r);

struct weir_server_conf {
    const char
        *listen; /* "127.0.0.1:7070", "[::1]:7070", ":7070" (all addresses); port 0: any free one */
    const char *tls_cert_pem; /* both or none; required for an address that is not loopback */
    const char *tls_key_pem;
    const char *client_ca_pem; /* clients are asked for a certificate of this authority, and need have none; NULL: they are not */
    size_t body_bytes_max; /* larger bodies are answered 413 */
    unsigned connections_max;
    unsigned idle_timeout_s;
    weir_server_fn *handler;
    void *ctx;
};

/* Errors: -WEIR_EINUSE (says what to do), -WEIR_EINVAL (address), -WEIR_ECONFIG (TLS), -WEIR_EIO.
 */
int weir_server_start(struct weir_server **ret,
                      const struct weir_server_conf *conf,
                      struct weir_err *err);
/* Which certificate a connection from this very host gets, and which one all others. */
enum weir_server_face { WEIR_SERVER_OWN, WEIR_SERVER_OUTWARD };

/* From any thread: handshakes from now on use these. OWN is what the server was started with, and is used for all as long as there is no OUTWARD. The
 * server must have been started with TLS. Errors: -WEIR_ECONFIG (they do not belong to each other, or are not PEM). */
int weir_server_set_certificate(struct weir_server *s, enum weir_server_face face, const char *cert_pem, const char *key_pem, struct weir_err *err);
/* The real port. */
uint16_t weir_server_port(const struct weir_server *s);
/* Stops accepting, answers new requests with 503, ends streams, gives those who hold requests two
 * seconds to answer them, answers what is left with 503 (whoever still holds such a one must not
 * touch it any more), ends the threads, frees. Long polls should be answered before, as they make
 * this take the two seconds. */
void weir_server_stop(struct weir_server *s);

/* ---- reading a request; all borrowed until it is answered ---- */
const char *weir_request_method(const struct weir_http_request *r);
/* Decoded path without the query; contains no NUL and no "..". */
const char *weir_request_path(const struct weir_http_request *r);
/* NULL where absent; "" where given without a value. Percent-decoded. */
const char *weir_request_query(const struct weir_http_request *r, const char *key);
/* Calls fn for every query key; for refusing unknown ones. */
void weir_request_each_query(const struct weir_http_request *r,
                             void (*fn)(void *ctx, const char *key, const char *value),
                             void *ctx);
const char *weir_request_header(const struct weir_http_request *r, const char *name);
struct weir_sv weir_request_body(const struct weir_http_request *r);
/* Looked up once per connection by the kernel's socket diagnostics (netlink), /proc/net/tcp as a
 * fallback. A request that a browser sends for another site's page (Origin, Sec-Fetch-Site), or to
 * a Host that is not a name or address of loopback (DNS rebinding), is WEIR_PEER_UNKNOWN whoever
 * runs the browser. */
enum weir_peer_trust weir_request_trust(struct weir_http_request *r);
/* The SHA-256 of the public key of the certificate that the client has shown and whose key it has, in hex. Only while the handler runs. Looked at
 * once per connection: one that was good then may have ended since, which is for the caller to know.
 * Errors: -WEIR_ENOTFOUND (it has shown none); -WEIR_EUNAUTH (it is not of the authority, or not of this time). */
int weir_request_certificate(struct weir_http_request *r, char key[WEIR_SHA256_HEX_SIZE], struct weir_err *err);
/* "127.0.0.1:50123" for logs. */
const char *weir_request_peer(struct weir_http_request *r);
/* Has the client closed its end? Asked of the kernel; for a request that waits long for its answer, from any thread. */
bool weir_request_is_hung_up(const struct weir_http_request *r);

/*
 * In place of an answer, from any thread: the handler is called once more with the same request, on a server thread. For a handler
 * that had to wait for something before it could begin. How often that was done already: weir_request_agains.
 */
void weir_request_again(struct weir_http_request *r);
unsigned weir_request_agains(const struct weir_http_request *r);

/* ---- answering ---- */
struct weir_http_header {
    const char *name;
    const char *value;
};

/*
 * Answers with a whole body (copied). content_type NULL: application/json. headers: n extra ones.
 */
void weir_request_reply(struct weir_http_request *r,
                        int status,
                        const char *content_type,
                        struct weir_sv body,
                        const struct weir_http_header *headers,
                        size_t n);
/* As reply, but takes ownership of a malloc'ed body. */
void weir_request_reply_take(
    struct weir_http_request *r, int status, const char *content_type, char *body, size_t n);
/* {"error":{"code":"notfound","message":"..."}} with the status of the code. */
void weir_request_fail(struct weir_http_request *r, int code, const struct weir_err *err);

/*
 * Answers with a stream of unknown length (chunked). pull is called on a server thread when the
 * client can take more: it writes up to size bytes and returns how many; 0 means nothing yet (call
 * weir_stream_wake when there is more); negative ends the stream. done is called once at the end,
 * also when the client went away.
 */
typedef long weir_stream_pull_fn(void *ctx, char *buf, size_t size);
struct weir_stream;
struct weir_stream *weir_request_stream(struct weir_http_request *r,
                                        int status,
                                        const char *content_type,
                                        weir_stream_pull_fn *pull,
                                        void (*done)(void *ctx),
                                        void *ctx);
/* From any thread, until done was called. */
void weir_stream_wake(struct weir_stream *s);
