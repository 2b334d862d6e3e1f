/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A server on a free loopback port with a small handler, and a thread that answers later. Paths:
 * /echo the body, /later the same from the other thread, /hold nobody answers until
 * fixture_release, /fail an error, /query key "a", /trust, /peer, /stream a stream that the test
 * feeds, /big?n=N that many bytes.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "net/client.h"
#include "net/server.h"

enum { FIXTURE_HELD_MAX = 256 };

struct fixture_stream {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct weir_stream *stream;
    char pending[4096];
    size_t n;
    bool is_ended; /* by the server's side */
    bool is_done;
};

struct fixture {
    struct weir_server *server;
    char url[64];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct weir_http_request *later[FIXTURE_HELD_MAX];
    size_t n_later;
    struct weir_http_request *held[FIXTURE_HELD_MAX];
    size_t n_held;
    size_t n_calls;
    bool is_ending;
    pthread_t thread;
    struct fixture_stream stream;
};

void fixture_start(struct fixture *f, const struct weir_server_conf *conf);
void fixture_stop(struct fixture *f);
/* Waits until n requests are held; fails the test after ten seconds. */
void fixture_wait_held(struct fixture *f, size_t n);
void fixture_release(struct fixture *f);
void fixture_stream_feed(struct fixture_stream *s, const char *text);
void fixture_stream_end(struct fixture_stream *s);
void fixture_stream_wait_done(struct fixture_stream *s);

/* Has this host a loopback address of IPv6? Not every container has. */
bool has_ipv6(void);

/* A raw connection with a receive time-out of ten seconds. */
int raw_connect(uint16_t port);
void raw_send(int fd, const char *p, size_t n);
/* Reads until the other side closes or size - 1 bytes are there; terminates. */
size_t raw_read_all(int fd, char *buf, size_t size);
/* Reads until text has been seen; fails the test where it does not come. */
void raw_read_until(int fd, char *buf, size_t size, const char *text);

/* A plain blocking call with sane limits. */
int simple_call(struct weir_http_session *s,
                const char *method,
                const char *base,
                const char *path,
                struct weir_sv body,
                struct weir_http_reply *reply);
