/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side of bench_http without any broker: a server whose handler hands each request to
 * one thread, which answers whole batches. What is measured is the HTTP server alone. Prints its
 * URL and runs until standard input ends. Arguments: listen address, microseconds slept before
 * each batch in place of a commit.
 */

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "net/server.h"

struct writer {
    pthread_mutex_t lock;
    pthread_cond_t some;
    WEIR_VEC(struct weir_http_request *) waiting;
    WEIR_VEC(struct weir_http_request *) batch;
    bool is_ending;
    useconds_t batch_us; /* stands for the time of a commit */
};

static void handle(void *ctx, struct weir_http_request *r)
{
    struct writer *w = ctx;
    (void)pthread_mutex_lock(&w->lock);
    weir_vec_push(&w->waiting, r);
    bool is_first = w->waiting.n == 1;
    (void)pthread_mutex_unlock(&w->lock);
    if (is_first) {
        (void)pthread_cond_signal(&w->some);
    }
}

static void *run(void *ctx)
{
    struct writer *w = ctx;
    (void)pthread_mutex_lock(&w->lock);
    while (!w->is_ending || w->waiting.n > 0) {
        if (w->waiting.n == 0) {
            (void)pthread_cond_wait(&w->some, &w->lock);
            continue;
        }
        __typeof__(w->batch) batch = w->batch;
        w->batch.p = w->waiting.p, w->batch.n = w->waiting.n, w->batch.size = w->waiting.size;
        w->waiting.p = batch.p, w->waiting.n = 0, w->waiting.size = batch.size;
        (void)pthread_mutex_unlock(&w->lock);
        if (w->batch_us > 0) {
            (void)usleep(w->batch_us);
        }
        for (size_t i = 0; i < w->batch.n; i++) {
            weir_request_reply(w->batch.p[i], 201, NULL, WEIR_SV("{\"id\":123456}"), NULL, 0);
        }
        (void)pthread_mutex_lock(&w->lock);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

int main(int argc, char **argv)
{
    struct writer w = {.lock = PTHREAD_MUTEX_INITIALIZER, .some = PTHREAD_COND_INITIALIZER};
    struct weir_server_conf conf = {
        .listen = argc > 1 ? argv[1] : "127.0.0.1:0",
        .body_bytes_max = 1 << 20,
        .connections_max = 1024,
        .idle_timeout_s = 60,
        .handler = handle,
        .ctx = &w,
    };
    struct weir_server *s = NULL;
    struct weir_err err = {""};
    uint64_t batch_us = 0;
    if (argc > 2 && weir_parse_u64(weir_sv_of(argv[2]), 0, 1000000, &batch_us, &err) < 0) {
        (void)fprintf(stderr, "bench_http_server: %s\n", err.text);
        return 2;
    }
    w.batch_us = (useconds_t)batch_us;
    if (weir_server_start(&s, &conf, &err) < 0) {
        (void)fprintf(stderr, "bench_http_server: %s\n", err.text);
        return 2;
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, &w) != 0) {
        return 2;
    }
    (void)printf("http://127.0.0.1:%u/\n", weir_server_port(s));
    (void)fflush(stdout);
    char ignored;
    while (read(STDIN_FILENO, &ignored, 1) > 0) {
    }
    (void)pthread_mutex_lock(&w.lock);
    w.is_ending = true;
    (void)pthread_cond_signal(&w.some);
    (void)pthread_mutex_unlock(&w.lock);
    (void)pthread_join(thread, NULL);
    weir_server_stop(s);
    weir_vec_release(&w.waiting);
    weir_vec_release(&w.batch);
    return 0;
}
