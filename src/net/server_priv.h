/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shared by server.c (life of server and connections), request.c (one request) and stream.c.
 *
 * A connection carries one request at a time, so the request lives inside the connection and
 * nothing is allocated per request but a large body. The state of a request is one atomic:
 *
 *   READING -> RUNNING       all of it is there; the handler is being called on a server thread
 *   RUNNING -> ANSWERED      answered before the handler returned (by anybody)
 *   RUNNING -> SUSPENDED     the handler returned without an answer; the connection sleeps
 *   SUSPENDED -> ANSWERED    answered later; whoever made this move resumes the connection
 *   RUNNING, SUSPENDED -> AGAIN  likewise, and the handler is called once more: AGAIN -> RUNNING
 */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/wtime.h"
#include "net/address.h"
#include "net/gnutls_lib.h"
#include "net/mhd_lib.h"
#include "net/server.h"
#include "net/uri.h"

enum {
    POOL_BYTES = 16 * 1024, /* per connection: request line, headers, chunk buffers */
    HEADERS_MAX = 64,
    URI_SMALL = 256,
    ANSWER_SMALL = 1024,
    BODY_KEEP = 64 * 1024, /* larger body buffers are given back after each request */
    DISCARD_FACTOR = 4, /* of a too large chunked body, read on at most so many times the limit */
};

enum request_state { REQUEST_READING, REQUEST_RUNNING, REQUEST_SUSPENDED, REQUEST_ANSWERED, REQUEST_AGAIN };

/* What the watcher bounds: the time until a request is complete. */
enum connection_phase { PHASE_IDLE, PHASE_HEADERS, PHASE_BODY, PHASE_ANSWER };

struct connection;
struct server_credentials;

struct weir_http_request {
    struct connection *connection;
    struct MHD_Connection *mhd;
    atomic_int state;
    bool is_begun;   /* the first of the library's calls was made */
    bool is_counted; /* in server->n_active */
    bool is_too_large;
    unsigned n_again; /* times that the handler was called once more */
    const char *method;  /* the library's, lives as long as the request */
    const char *refusal; /* why the target is malformed; NULL: it is not */
    struct weir_uri uri;
    char *uri_buf; /* uri_small or malloc'ed */
    char *body;
    size_t body_n;
    size_t body_size;

    /* the answer: either response, or status with answer for build_response */
    int status;
    struct MHD_Response *response;
    char *answer; /* answer_small or malloc'ed */
    size_t answer_n;
    char uri_small[URI_SMALL];
    char answer_small[ANSWER_SMALL];
};

struct connection {
    struct weir_server *server;
    struct connection *prev;
    struct connection *next;
    uint64_t id;
    int fd;
    int trust; /* enum weir_peer_trust, or -1: not yet asked */
    char key[WEIR_SHA256_HEX_SIZE]; /* of the client's certificate, once it was found good; "": not yet */
    atomic_int phase;
    _Atomic int64_t since_us; /* monotonic: when the phase began */
    _Atomic uint64_t received_bytes;
    struct weir_stream *stream; /* under server->lock */
    struct sockaddr_storage peer_address;
    char peer[WEIR_ADDRESS_TEXT_SIZE];
    struct weir_http_request request;
};

struct weir_server {
    struct weir_server_conf conf; /* strings not kept */
    struct MHD_Daemon *daemon;
    int listen_fd;
    struct server_credentials *credentials[2]; /* by face; under lock. The newest first */
    bool wants_certificates;
    uint16_t port;
    atomic_bool is_stopping;
    atomic_size_t n_active; /* requests from handler to completed answer */

    pthread_mutex_t lock; /* the list of connections, their streams */
    pthread_cond_t drained;
    struct connection *connections;
    uint64_t last_id;

    pthread_t watcher;
    int watch_fd; /* epoll: wake_fd and the sockets of streams */
    int wake_fd;
};

int64_t weir_net_now_us(void);

/* request.c */
void weir_request_prepare(struct weir_http_request *r, struct connection *c);
void weir_request_clear(struct weir_http_request *r);
/* The library's callbacks. */
void *weir_request_on_uri(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result weir_request_on_access(void *cls,
                                       struct MHD_Connection *mhd,
                                       const char *url,
                                       const char *method,
                                       const char *version,
                                       const char *upload,
                                       size_t *upload_n,
                                       void **con_cls);
void weir_request_on_completed(void *cls,
                               struct MHD_Connection *mhd,
                               void **con_cls,
                               enum MHD_RequestTerminationCode why);
/* Moves to ANSWERED with what is set in r; resumes where it slept. */
void weir_request_answered(struct weir_http_request *r);

/* stream.c; all under server->lock */
void weir_stream_client_gone(struct weir_stream *s);
void weir_stream_stop(struct weir_stream *s);

/* server_tls.c */
void weir_server_tls_release(struct weir_server *s);
gnutls_certificate_retrieve_function2 weir_server_on_handshake;

/* peer.c: who has the other end of the connected socket fd? */
enum weir_peer_trust weir_peer_lookup(int fd);
/* Its two ways, for that and for tests: 0, -ENOENT where the kernel knows no such socket, or why it
 * could not be asked; false where not found. */
int weir_peer_uid_by_netlink(int fd, uid_t *ret);
bool weir_peer_uid_by_proc(int fd, uid_t *ret);
