/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of the server and of its connections; see server.h. Beside the library's threads there is
 * one watcher thread, which sleeps unless something is to be watched: it ends connections that
 * take too long over a request (the library's own time-out starts anew with every byte, so that a
 * client sending one byte at a time would stay for ever), and notices that the client of a
 * sleeping stream has gone away.
 */

#include "net/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/server_priv.h"

enum {
    WATCH_EVENTS = 64,
    BODY_BYTES_PER_S_MIN = 1024, /* a slower upload is ended */
    STOP_WAIT_MS = 2000,         /* for answers under way to reach their clients */
    STOP_POLL_MS = 20,
};

int64_t weir_net_now_us(void)
{
    return weir_clock_mono(&weir_clock_os).us;
}

/* ---- connections ---- */

static void connection_open(struct weir_server *s, struct MHD_Connection *mhd, void **socket_ctx)
{
    struct connection *c = weir_alloc(sizeof(*c));
    c->server = s;
    c->fd = weir_mhd.MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    c->trust = -1;
    atomic_init(&c->phase, PHASE_IDLE);
    atomic_init(&c->since_us, weir_net_now_us());
    socklen_t size = sizeof(c->peer_address);
    if (getpeername(c->fd, (struct sockaddr *)&c->peer_address, &size) < 0) {
        c->peer_address.ss_family = AF_UNSPEC;
    }
    c->request.mhd = mhd;
    weir_request_prepare(&c->request, c);
    *socket_ctx = c;
    (void)pthread_mutex_lock(&s->lock);
    c->id = ++s->last_id;
    c->next = s->connections;
    bool is_first = c->next == NULL;
    if (!is_first) {
        c->next->prev = c;
    }
    s->connections = c;
    (void)pthread_mutex_unlock(&s->lock);
    if (is_first) {
        (void)eventfd_write(s->wake_fd, 1);
    }
}

static void connection_close(struct weir_server *s, struct connection *c)
{
    (void)pthread_mutex_lock(&s->lock);
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        s->connections = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    WEIR_ASSERT(c->stream == NULL);
    (void)pthread_mutex_unlock(&s->lock);
    weir_request_clear(&c->request);
    free(c->request.body);
    free(c);
}

static void on_connection(void *cls,
                          struct MHD_Connection *mhd,
                          void **socket_ctx,
                          enum MHD_ConnectionNotificationCode what)
{
    struct weir_server *s = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        connection_open(s, mhd, socket_ctx);
    } else if (*socket_ctx != NULL) {
        connection_close(s, *socket_ctx);
        *socket_ctx = NULL;
    }
}

/* ---- the watcher ---- */

/* True where the request on c has taken longer than any honest client needs. */
static bool is_overdue(const struct weir_server *s, const struct connection *c, int64_t now_us)
{
    int64_t spent_us = now_us - atomic_load_explicit(&c->since_us, memory_order_relaxed);
    int64_t idle_us = (int64_t)s->conf.idle_timeout_s * WEIR_US_PER_S;
    switch ((enum connection_phase)atomic_load_explicit(&c->phase, memory_order_relaxed)) {
    case PHASE_IDLE:
        /* Waiting for a request may take idle_us, its first line and headers as much again. */
        return spent_us > 2 * idle_us;
    case PHASE_HEADERS:
        return spent_us > idle_us;
    case PHASE_BODY: {
        uint64_t n = atomic_load_explicit(&c->received_bytes, memory_order_relaxed);
        return spent_us > idle_us + (int64_t)(n / BODY_BYTES_PER_S_MIN) * WEIR_US_PER_S;
    }
    case PHASE_ANSWER:
        return false;
    }
    return false;
}

static void end_overdue(struct weir_server *s)
{
    int64_t now_us = weir_net_now_us();
    for (struct connection *c = s->connections; c != NULL; c = c->next) {
        if (is_overdue(s, c, now_us)) {
            /* The library sees the end of the stream and closes. The descriptor cannot be reused
             * meanwhile: it is closed after connection_close, which needs the lock. */
            (void)shutdown(c->fd, SHUT_RDWR);
        }
    }
}

static void client_gone(struct weir_server *s, uint64_t id)
{
    for (struct connection *c = s->connections; c != NULL; c = c->next) {
        if (c->id == id) {
            if (c->stream != NULL) {
                weir_stream_client_gone(c->stream);
            }
            return;
        }
    }
}

static int watch_timeout_ms(const struct weir_server *s)
{
    if (s->connections == NULL || s->conf.idle_timeout_s == 0) {
        return -1;
    }
    unsigned ms = s->conf.idle_timeout_s * 1000 / 4;
    return (int)(ms > 15000 ? 15000 : ms);
}

static void *watch(void *arg)
{
    struct weir_server *s = arg;
    struct epoll_event event[WATCH_EVENTS];
    int timeout_ms = -1;
    while (!atomic_load(&s->is_stopping)) {
        int n = epoll_wait(s->watch_fd, event, WATCH_EVENTS, timeout_ms);
        (void)pthread_mutex_lock(&s->lock);
        for (int i = 0; i < n; i++) {
            if (event[i].data.u64 == 0) {
                eventfd_t ignored;
                (void)eventfd_read(s->wake_fd, &ignored);
            } else {
                client_gone(s, event[i].data.u64);
            }
        }
        end_overdue(s);
        timeout_ms = watch_timeout_ms(s);
        (void)pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

/* ---- start ---- */

static int open_socket(const struct weir_address *a)
{
    int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = socket(a->sa.any.sa_family, type, 0);
    if (fd < 0) {
        return -errno;
    }
    int on = 1;
    int v6only = a->is_wildcard ? 0 : 1;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0;
    if (ok && a->sa.any.sa_family == AF_INET6) {
        ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) == 0;
    }
    if (!ok || bind(fd, &a->sa.any, a->size) < 0 || listen(fd, SOMAXCONN) < 0) {
        int e = errno;
        (void)close(fd);
        return -e;
    }
    return fd;
}

static int listen_on(const char *text, const struct weir_address *a, int *ret, struct weir_err *err)
{
    int fd = open_socket(a);
    if (a->is_wildcard && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)) {
        struct weir_address v4 = {.size = sizeof(v4.sa.v4)}; /* a host without IPv6 */
        v4.sa.v4.sin_family = AF_INET;
        v4.sa.v4.sin_port = a->sa.v6.sin6_port;
        fd = open_socket(&v4);
    }
    if (fd == -EADDRINUSE) {
        return weir_fail(err,
                         -WEIR_EINUSE,
                         "address %s is in use, perhaps by another 'weir serve'; stop that one, or "
                         "listen on another port (port 0 takes any free one)",
                         text);
    }
    if (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT) {
        return weir_fail(err, -WEIR_EINVAL, "address %s is not one of this host's addresses", text);
    }
    if (fd == -EACCES) {
        return weir_fail(err,
                         -WEIR_EIO,
                         "address %s: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE",
                         text);
    }
    if (fd < 0) {
        return weir_fail(err, -WEIR_EIO, "address %s: %s", text, strerror(-fd));
    }
    *ret = fd;
    return 0;
}

/*
 * Half the cores: the other half belongs to those who work out the answers. With 64 connections of
 * small requests on two cores one thread spends a tenth less per request than two and its 99th
 * percentile is a third (tests/bench/bench_http_server).
 */
static unsigned thread_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    return n < 1 ? 1 : n > WEIR_SERVER_THREADS_MAX ? WEIR_SERVER_THREADS_MAX : (unsigned)n;
}

/* Percent-decoding is uri.c's; the library is told to leave everything as it is. */
static size_t unescape_nothing(void *cls, struct MHD_Connection *mhd, char *s)
{
    (void)cls;
    (void)mhd;
    return strlen(s);
}

static struct MHD_Daemon *start_daemon(struct weir_server *s, const struct weir_server_conf *conf)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem option[20];
    size_t n = 0;
#define OPTION(what, number, pointer)                                                              \
    option[n++] = (struct MHD_OptionItem)                                                          \
    {                                                                                              \
        MHD_OPTION_##what, (intptr_t)(number), (pointer)                                           \
    }
    if (conf->tls_cert_pem != NULL) {
        flags |= MHD_USE_TLS;
        OPTION(HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)weir_server_on_handshake);
        OPTION(
            HTTPS_PRIORITIES, 0, (char *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2");
        if (conf->client_ca_pem != NULL) {
            OPTION(HTTPS_MEM_TRUST, 0, (char *)(uintptr_t)conf->client_ca_pem);
        }
    }
    unsigned threads = thread_count();
    if (threads > 1) { /* a pool of one is refused by the library */
        OPTION(THREAD_POOL_SIZE, threads, NULL);
    }
    OPTION(LISTEN_SOCKET, s->listen_fd, NULL);
    OPTION(
        CONNECTION_LIMIT, conf->connections_max < threads ? threads : conf->connections_max, NULL);
    OPTION(CONNECTION_TIMEOUT, conf->idle_timeout_s, NULL);
    OPTION(CONNECTION_MEMORY_LIMIT, POOL_BYTES, NULL);
    OPTION(STRICT_FOR_CLIENT, 1, NULL);
    OPTION(NOTIFY_COMPLETED, (intptr_t)weir_request_on_completed, s);
    OPTION(NOTIFY_CONNECTION, (intptr_t)on_connection, s);
    OPTION(URI_LOG_CALLBACK, (intptr_t)weir_request_on_uri, s);
    OPTION(UNESCAPE_CALLBACK, (intptr_t)unescape_nothing, NULL);
    OPTION(END, 0, NULL);
#undef OPTION
    WEIR_ASSERT(n <= WEIR_ARRAY_LEN(option));
    return weir_mhd.MHD_start_daemon(
        flags, 0, NULL, NULL, weir_request_on_access, s, MHD_OPTION_ARRAY, option, MHD_OPTION_END);
}

static uint16_t bound_port(int fd)
{
    struct weir_address a = {.size = sizeof(a.sa)};
    if (getsockname(fd, &a.sa.any, &a.size) < 0) {
        return 0;
    }
    return ntohs(a.sa.any.sa_family == AF_INET6 ? a.sa.v6.sin6_port : a.sa.v4.sin_port);
}

static int start_watcher(struct weir_server *s)
{
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->wake_fd < 0 || s->watch_fd < 0) {
        return errno;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
    if (epoll_ctl(s->watch_fd, EPOLL_CTL_ADD, s->wake_fd, &event) < 0) {
        return errno;
    }
    return pthread_create(&s->watcher, NULL, watch, s);
}

static void server_release(struct weir_server *s)
{
    weir_server_tls_release(s);
    weir_closep(&s->listen_fd);
    weir_closep(&s->watch_fd);
    weir_closep(&s->wake_fd);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->drained);
    free(s);
}

static void stop_watcher(struct weir_server *s)
{
    atomic_store(&s->is_stopping, true);
    (void)eventfd_write(s->wake_fd, 1);
    (void)pthread_join(s->watcher, NULL);
}

static int
start_threads(struct weir_server *s, const struct weir_server_conf *conf, struct weir_err *err)
{
    int r = conf->tls_cert_pem == NULL ? 0 : weir_server_set_certificate(s, WEIR_SERVER_OWN, conf->tls_cert_pem, conf->tls_key_pem, err);
    if (r < 0) {
        return r;
    }
    int e = start_watcher(s);
    if (e != 0) {
        return weir_fail(err, -WEIR_EIO, "starting the HTTP server: %s", strerror(e));
    }
    errno = 0;
    s->daemon = start_daemon(s, conf);
    if (s->daemon == NULL) {
        e = errno;
        stop_watcher(s);
        return weir_fail(err,
                         -WEIR_EIO,
                         "starting the HTTP server on %s: %s",
                         conf->listen,
                         e == 0 ? "libmicrohttpd refused" : strerror(e));
    }
    return 0;
}

int weir_server_start(struct weir_server **ret,
                      const struct weir_server_conf *conf,
                      struct weir_err *err)
{
    WEIR_ASSERT(conf->handler != NULL);
    struct weir_address address;
    int r = weir_mhd_init(err);
    r = r < 0 ? r : weir_address_parse(weir_sv_of(conf->listen), &address, err);
    if (r < 0) {
        return r;
    }
    if ((conf->tls_cert_pem == NULL) != (conf->tls_key_pem == NULL)) {
        return weir_fail(err, -WEIR_ECONFIG, "TLS needs both a certificate and a key");
    }
    if (conf->tls_cert_pem == NULL && !weir_address_is_loopback(&address.sa.any)) {
        return weir_fail(err,
                         -WEIR_ECONFIG,
                         "address %s can be reached from other hosts: that needs TLS; turn it on, "
                         "or listen on 127.0.0.1",
                         conf->listen);
    }
    int fd = -1;
    r = listen_on(conf->listen, &address, &fd, err);
    if (r < 0) {
        return r;
    }
    struct weir_server *s = weir_alloc(sizeof(*s));
    s->conf = *conf;
    s->listen_fd = fd;
    s->wants_certificates = conf->tls_cert_pem != NULL && conf->client_ca_pem != NULL;
    s->watch_fd = s->wake_fd = -1;
    s->port = bound_port(fd);
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->drained, NULL);
    /* Signals are the main thread's business. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = start_threads(s, conf, err);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->conf.listen = s->conf.tls_cert_pem = s->conf.tls_key_pem = s->conf.client_ca_pem = NULL;
    if (r < 0) {
        server_release(s);
        return r;
    }
    *ret = s;
    return 0;
}

uint16_t weir_server_port(const struct weir_server *s)
{
    return s->port;
}

/* ---- stop ---- */

static void end_streams(struct weir_server *s)
{
    for (struct connection *c = s->connections; c != NULL; c = c->next) {
        if (c->stream != NULL) {
            weir_stream_stop(c->stream);
        }
    }
}

static void refuse_sleepers(struct weir_server *s)
{
    for (struct connection *c = s->connections; c != NULL; c = c->next) {
        if (atomic_load(&c->request.state) == REQUEST_SUSPENDED) {
            struct weir_err err = {"the server is stopping"};
            weir_request_fail(&c->request, -WEIR_EUNAVAIL, &err);
        }
    }
}

static struct timespec after_ms(long ms)
{
    struct weir_wall now = weir_clock_wall(&weir_clock_os);
    int64_t us = now.us + ms * WEIR_US_PER_MS;
    return (struct timespec){us / WEIR_US_PER_S, us % WEIR_US_PER_S * 1000};
}

/* Until no request is under way, but not for long; does act before and again while it waits. */
static void wait_drained(struct weir_server *s, void (*act)(struct weir_server *s))
{
    int64_t until_us = weir_net_now_us() + STOP_WAIT_MS * WEIR_US_PER_MS;
    (void)pthread_mutex_lock(&s->lock);
    act(s);
    while (atomic_load(&s->n_active) > 0 && weir_net_now_us() < until_us) {
        struct timespec at = after_ms(STOP_POLL_MS);
        (void)pthread_cond_timedwait(&s->drained, &s->lock, &at);
        act(s);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

void weir_server_stop(struct weir_server *s)
{
    if (s == NULL) {
        return;
    }
    stop_watcher(s);                     /* from now on new requests are refused */
    (void)weir_mhd.MHD_quiesce_daemon(s->daemon); /* listen_fd stays ours */
    wait_drained(s, end_streams);        /* those who hold requests answer them */
    wait_drained(s, refuse_sleepers);    /* too late now: for the clients' sake */
    weir_mhd.MHD_stop_daemon(s->daemon);
    server_release(s);
}
