/* SPDX-License-Identifier: Apache-2.0 */
#include "broker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process.h"
#include "broker_priv.h"

enum {
    TICK_MS = 200,
    NOTIFY_MS = 20,
    SELF_CHECK_MS = 20, /* between two pieces of a proof */
    FLUSH_RETRY_MS = 1000,
    BODY_BYTES_MAX = 4 << 20,
    CONNECTIONS_MAX = 4096,
    IDLE_TIMEOUT_S = 120,
};

uint64_t broker_ms(const struct broker *b)
{
    (void)b;
    return (uint64_t)(weir_clock_mono(&weir_clock_os).us / 1000);
}

void broker_wake(struct broker *b)
{
    (void)uv_async_send(&b->wake);
}

/* ---- the service, as the API's threads see it ---- */

static void post(struct weir_service *s, struct weir_command *cmd)
{
    struct broker *b = (struct broker *)s;
    cmd->next = NULL;
    pthread_mutex_lock(&b->inbox_lock);
    bool closed = b->inbox_closed;
    bool first = b->inbox == NULL;
    if (!closed) {
        if (first) {
            b->inbox = cmd;
        } else {
            b->inbox_last->next = cmd;
        }
        b->inbox_last = cmd;
    }
    pthread_mutex_unlock(&b->inbox_lock);
    if (closed) {
        cmd->code = weir_fail(&cmd->err, -WEIR_EUNAVAIL, "the broker is stopping: ask again");
        cmd->done(cmd);
    } else if (first) {
        broker_wake(b);
    }
}

static int check_session(struct weir_service *s, struct weir_node_id node, const char *session, struct weir_err *err)
{
    struct broker *b = (struct broker *)s;
    uint64_t want = 0;
    pthread_mutex_lock(&b->sessions_lock);
    bool known = weir_map_get(&b->session_of_node, node.v, &want);
    pthread_mutex_unlock(&b->sessions_lock);
    return known && want == weir_hash_bytes(session, strlen(session))
               ? 0
               : weir_fail(err, -WEIR_ECONFLICT, "agent: this session is over: join again");
}

static void subscribe(struct weir_service *s, void (*fn)(void *ctx), void *ctx)
{
    struct broker *b = (struct broker *)s;
    b->notify = fn;
    b->notify_ctx = ctx;
}

static const struct weir_service_ops service_ops = {post, tokens_authenticate, tokens_authenticate_key, tokens_is_still, check_session, subscribe, program_open};

/* ---- the loop ---- */

static struct weir_command *take_inbox(struct broker *b)
{
    pthread_mutex_lock(&b->inbox_lock);
    struct weir_command *list = b->inbox;
    b->inbox = NULL;
    b->inbox_last = NULL;
    pthread_mutex_unlock(&b->inbox_lock);
    return list;
}

/* What is posted from now on is refused: nobody would answer it any more. */
static void close_inbox(struct broker *b)
{
    pthread_mutex_lock(&b->inbox_lock);
    b->inbox_closed = true;
    pthread_mutex_unlock(&b->inbox_lock);
}

static void give_out_orders(struct broker *b)
{
    size_t n;
    const struct weir_order *o = weir_engine_take_orders(b->engine, &n);
    for (size_t i = 0; i < n; i++) {
        switch (o[i].effect.kind) {
        case WEIR_EFFECT_RUN_START:
        case WEIR_EFFECT_RUN_STOP:
        case WEIR_EFFECT_LEASE_EXTEND:
            agents_order(b, &o[i]);
            break;
        case WEIR_EFFECT_LEASE_LAUNCH:
        case WEIR_EFFECT_LEASE_TERMINATE:
            leases_order(b, &o[i]);
            break;
        case WEIR_EFFECT_METER_OPEN:
        case WEIR_EFFECT_METER_READY:
        case WEIR_EFFECT_METER_CLOSE:
        case WEIR_EFFECT_METER_RATES:
        case WEIR_EFFECT_SEGMENT_OPEN:
        case WEIR_EFFECT_SEGMENT_CLOSE:
        case WEIR_EFFECT_SEGMENT_VERDICT:
        case WEIR_EFFECT_MAX:
            WEIR_UNREACHABLE();
        }
    }
}

static bool wants_settle(const struct broker *b)
{
    for (size_t i = 0; i < b->finished.n; i++) {
        if (b->finished.p[i]->kind == WEIR_COMMAND_SETTLE) {
            return true;
        }
    }
    return false;
}

static void notify(struct broker *b)
{
    uint64_t now = broker_ms(b);
    if (b->notify_due && b->notify != NULL && now - b->notified_ms >= NOTIFY_MS) {
        b->notify_due = false;
        b->notified_ms = now;
        b->notify(b->notify_ctx);
    }
}

/* Commits what was gathered; then, and only then, answers, sends and wakes. */
static void flush(struct broker *b)
{
    struct weir_err err;
    if (b->store_full && broker_ms(b) < b->flush_retry_ms) {
        commands_fail_unstored(b);
        return;
    }
    bool dirty = weir_engine_is_dirty(b->engine);
    if (weir_engine_flush(b->engine, wants_settle(b), &err) != 0) {
        if (!b->store_full) {
            weir_log(WEIR_LOG_ERROR, "store.write", "text=\"%s\" remedy=\"new work is refused until it can be written; nothing is lost\"",
                     err.text);
        }
        b->store_full = true;
        b->flush_retry_ms = broker_ms(b) + FLUSH_RETRY_MS;
        commands_fail_unstored(b);
        return;
    }
    if (b->store_full) {
        b->store_full = false;
        weir_log(WEIR_LOG_NOTICE, "store.write", "text=\"writing again\"");
    }
    give_out_orders(b);
    commands_answer_finished(b);
    size_t n;
    const struct weir_job_id *job = weir_engine_take_ended(b->engine, &n);
    commands_jobs_ended(b, job, n);
    agents_release(b);
    b->notify_due |= dirty;
    notify(b);
}

static void core_tick(struct broker *b)
{
    struct weir_err err;
    owned_tick(b);
    market_tick(b);
    if (weir_engine_wake_at(b->engine).us > weir_engine_now(b->engine).us) {
        return;
    }
    struct weir_event ev = {.kind = WEIR_EVENT_TICK};
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "core.tick", "text=\"%s\"", err.text);
    }
}

static void turn(struct broker *b)
{
    for (struct weir_command *cmd = take_inbox(b), *next; cmd != NULL; cmd = next) {
        next = cmd->next;
        commands_handle(b, cmd);
    }
    core_tick(b);
    flush(b);
    if (!b->stopping) {
        leases_tick(b); /* calls go out only for what was stored; what they bring has another turn */
    }
}

static void on_wake(uv_async_t *h)
{
    turn(h->data);
}

/* The timer runs fast while the core or a launch waits for a moment, slowly otherwise: idle costs nothing. */
static void arm(struct broker *b);

static void on_timer(uv_timer_t *h)
{
    struct broker *b = h->data;
    agents_tick(b);
    commands_tick(b);
    feeds_tick(b);
    checks_tick(b);
    local_agent_tick(b);
    alerts_tick(b);
    policies_tick(b);
    oidc_tick(b);
    tls_tick(b);
    turn(b);
    retention_tick(b);
    self_check_tick(b);
    arm(b);
}

static void arm(struct broker *b)
{
    uint64_t ms = TICK_MS;
    int64_t until = (weir_engine_wake_at(b->engine).us - weir_engine_now(b->engine).us) / 1000;
    if (until < (int64_t)ms) {
        ms = until < 1 ? 1 : (uint64_t)until;
    } else if (b->leases.n == 0 && b->waiters.n == 0 && b->live.n == 0 && b->checks.n == 0 && !b->notify_due && !b->store_full) {
        ms = until < 1000 ? (uint64_t)until : 1000;
    }
    if (b->self_check.proof != NULL && ms > SELF_CHECK_MS) {
        ms = SELF_CHECK_MS;
    }
    if (b->notify_due && ms > NOTIFY_MS) {
        ms = NOTIFY_MS;
    }
    /* only ever sooner: a stream of calls must not put it off */
    if (!uv_is_active((uv_handle_t *)&b->timer) || uv_timer_get_due_in(&b->timer) > ms) {
        (void)uv_timer_start(&b->timer, on_timer, ms, 0);
    }
}

static void on_prepare(uv_prepare_t *h)
{
    struct broker *b = h->data;
    arm(b);
}

static void on_signal(uv_signal_t *h, int signum)
{
    struct broker *b = h->data;
    (void)signum;
    b->stopping = true;
    uv_stop(&b->loop);
}

/* ---- start ---- */

bool weir_broker_default_dir(char *buf, size_t size)
{
    const char *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    if (xdg != NULL && xdg[0] == '/') {
        return snprintf(buf, size, "%s/weir", xdg) < (int)size;
    }
    if (home == NULL || home[0] != '/') {
        const struct passwd *pw = getpwuid(geteuid());
        home = pw == NULL ? NULL : pw->pw_dir;
    }
    return home != NULL && snprintf(buf, size, "%s/.local/share/weir", home) < (int)size;
}

static int make_dirs(const char *path, struct weir_err *err)
{
    char buf[4096];
    (void)snprintf(buf, sizeof buf, "%s", path);
    for (char *p = buf + 1;; p++) {
        if (*p != '/' && *p != '\0') {
            continue;
        }
        char c = *p;
        *p = '\0';
        if (mkdir(buf, 0700) != 0 && errno != EEXIST) {
            return weir_fail(err, weir_error_from_errno(errno), "data directory %s: cannot be made: %s", buf, strerror(errno));
        }
        *p = c;
        if (c == '\0') {
            return 0;
        }
    }
}

static int open_data(struct broker *b, struct weir_err *err)
{
    if (b->conf.data_dir != NULL) {
        char cwd[2048] = "";
        if (b->conf.data_dir[0] != '/' && getcwd(cwd, sizeof cwd) == NULL) {
            return weir_fail(err, -WEIR_EIO, "the current directory cannot be told: %s", strerror(errno));
        }
        (void)snprintf(b->data_dir, sizeof b->data_dir, "%s%s%s", cwd, cwd[0] == '\0' ? "" : "/", b->conf.data_dir);
    } else if (!weir_broker_default_dir(b->data_dir, sizeof b->data_dir)) {
        return weir_fail(err, -WEIR_ECONFIG, "no home directory is known: say --data DIR");
    }
    return make_dirs(b->data_dir, err);
}

static int load_config(struct broker *b, struct weir_err *err)
{
    char path[4200];
    const char *file = b->conf.config_file;
    if (file == NULL) {
        (void)snprintf(path, sizeof path, "%s/weir.yaml", b->data_dir);
        file = access(path, F_OK) == 0 ? path : NULL;
    }
    int r = weir_config_load(&b->config, file, err);
    if (r == 0 && b->conf.listen != NULL) {
        (void)snprintf(b->config->listen, sizeof b->config->listen, "%s", b->conf.listen);
    }
    if (r == 0 && b->conf.tls_cert != NULL) {
        (void)snprintf(b->config->tls.cert, sizeof b->config->tls.cert, "%s", b->conf.tls_cert);
        (void)snprintf(b->config->tls.key, sizeof b->config->tls.key, "%s", b->conf.tls_key);
    }
    return r;
}

static int open_store(struct broker *b, struct weir_err *err)
{
    char path[4200];
    (void)snprintf(path, sizeof path, "%s/" BROKER_DB_NAME, b->data_dir);
    const struct weir_store_conf conf = {.path = path, .durable = true};
    int r = weir_store_sqlite_open(&b->store, &conf, err);
    r = r != 0 ? r : weir_store_reader(b->store, &b->reader[0], err);
    r = r != 0 ? r : weir_store_reader(b->store, &b->reader[1], err);
    return r;
}

static int keep_meta(struct broker *b, const char *key, const char *value, struct weir_err *err)
{
    int r = b->store->ops->begin(b->store, err);
    r = r != 0 ? r : b->store->ops->put_meta(b->store, key, value, err);
    return r != 0 ? r : b->store->ops->commit(b->store, err);
}

/* A ledger's amounts do not name their currency: it is what it was at the first start, for ever. */
static int check_currency(struct broker *b, bool is_first, struct weir_err *err)
{
    char kept[16];
    int r = b->store->ops->get_meta(b->store, WEIR_META_CURRENCY, kept, sizeof kept, err);
    if (r == -WEIR_ENOTFOUND) {
        (void)snprintf(kept, sizeof kept, "%s", is_first ? b->config->currency : "USD");
        r = keep_meta(b, WEIR_META_CURRENCY, kept, err);
    }
    if (r == 0 && !weir_streq(kept, b->config->currency)) {
        return weir_fail(err, -WEIR_ECONFIG,
                         "currency: the ledger in %s is in %s since its first start, and the configuration says %s%s: say 'currency: %s' there, or begin another "
                         "ledger with --data DIR", b->data_dir, kept, b->config->currency, weir_streq(b->config->currency, "USD") ? " (or nothing)" : "", kept);
    }
    return r;
}

/* The installation's id, which is the owner tag of everything that is rented, and the ledger's currency. */
static int identify(struct broker *b, struct weir_err *err)
{
    int r = b->store->ops->get_meta(b->store, WEIR_META_INSTALLATION, b->owner, sizeof b->owner, err);
    bool is_first = r == -WEIR_ENOTFOUND;
    if (is_first) {
        r = check_currency(b, true, err); /* before: a start that ends here is the first the next time, too */
        weir_random_hex(b->owner, 16);
        return r != 0 ? r : keep_meta(b, WEIR_META_INSTALLATION, b->owner, err);
    }
    return r != 0 ? r : check_currency(b, false, err);
}

static int open_engine(struct broker *b, struct weir_err *err)
{
    struct weir_engine_conf conf = {.store = b->store, .core = b->config->core, .clock = &weir_clock_os, .currency = b->config->currency, .proof = true, .node_cost = node_cost,
                                    .node_cost_ctx = b, .task_name = agents_task_name, .task_name_ctx = b};
    conf.core.gpus = b->gpus;
    return weir_engine_open(&b->engine, &conf, err);
}

static bool is_loopback(const char *listen)
{
    return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]", 5) == 0 || strncmp(listen, "localhost:", 10) == 0;
}

static int start_api(struct broker *b, struct weir_err *err)
{
    (void)snprintf(b->log_dir, sizeof b->log_dir, "%s/logs", b->data_dir);
    int r = make_dirs(b->log_dir, err);
    if (r != 0) {
        return r;
    }
    for (size_t i = 0; i < b->config->access.n_oidc; i++) {
        const struct weir_config_oidc *o = &b->config->access.oidc[i];
        b->api_issuer[i] = (struct weir_api_issuer){o->issuer, o->audience, o->client_id};
    }
    const struct weir_api_conf api = {.issuer = b->api_issuer, .n_issuers = b->config->access.n_oidc, .service = &b->service, .reader = {b->reader[0], b->reader[1]}, .gpus = b->gpus,
                                      .gpus_lock = &b->gpus_lock, .clock = &weir_clock_os, .log_dir = b->log_dir,
                                      .currency = b->config->currency, .listen = b->config->listen, .os_user = b->os_user, .host_needs_token = b->config->access.host_needs_token,
                                      .log_bytes_max = b->config->log_bytes_max, .ticket_key = b->ticket_key};
    r = weir_api_new(&b->api, &api, err);
    if (r != 0) {
        return r;
    }
    bool secure = !is_loopback(b->config->listen);
    r = secure ? tls_init(b, err) : 0;
    if (r != 0) {
        return r;
    }
    const struct weir_server_conf server = {.listen = b->config->listen, .tls_cert_pem = b->tls.own.cert_pem, .tls_key_pem = b->tls.own.key_pem,
                                            .client_ca_pem = b->ca_pem, .body_bytes_max = BODY_BYTES_MAX, .connections_max = CONNECTIONS_MAX,
                                            .idle_timeout_s = IDLE_TIMEOUT_S, .handler = weir_api_handle, .ctx = b->api};
    r = weir_server_start(&b->server, &server, err);
    r = r != 0 ? r : tls_start(b, err);
    if (r != 0) {
        return r;
    }
    const char *colon = strrchr(b->config->listen, ':');
    int host_n = colon == NULL ? (int)strlen(b->config->listen) : (int)(colon - b->config->listen);
    (void)snprintf(b->listen, sizeof b->listen, "%.*s:%u", host_n, b->config->listen, (unsigned)weir_server_port(b->server));
    (void)snprintf(b->url, sizeof b->url, "%s://%s", secure ? "https" : "http", secure ? "" : b->listen);
    if (secure) {
        (void)snprintf(b->url, sizeof b->url, "https://127.0.0.1:%u", (unsigned)weir_server_port(b->server));
    }
    (void)snprintf(b->public_url, sizeof b->public_url, "%s", b->config->public_url[0] != '\0' ? b->config->public_url : b->url);
    return 0;
}

static int start_loop(struct broker *b, struct weir_err *err)
{
    if (uv_loop_init(&b->loop) != 0) {
        return weir_fail(err, -WEIR_EIO, "the event loop cannot be made: %s", strerror(errno));
    }
    (void)uv_async_init(&b->loop, &b->wake, on_wake);
    (void)uv_timer_init(&b->loop, &b->timer);
    (void)uv_signal_init(&b->loop, &b->on_term);
    (void)uv_signal_init(&b->loop, &b->on_int);
    b->wake.data = b->timer.data = b->on_term.data = b->on_int.data = b;
    (void)uv_signal_start(&b->on_term, on_signal, SIGTERM);
    (void)uv_signal_start(&b->on_int, on_signal, SIGINT);
    return 0;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h)) {
        uv_close(h, NULL);
    }
}

static void stop(struct broker *b)
{
    local_agent_stop(b);
    link_stop(b);
    close_inbox(b);
    b->flush_retry_ms = 0; /* there is no later */
    turn(b);
    alerts_end(b);
    commands_end_all(b);
    /* Every command is answered: the server frees what it has of each request. */
    weir_server_stop(b->server);
}

static void release(struct broker *b)
{
    weir_api_free(b->api);
    link_stop(b);
    leases_free(b);
    alerts_free(b);
    oidc_free(b);
    if (b->loop.data == b) {
        uv_walk(&b->loop, close_handle, NULL);
        (void)uv_run(&b->loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&b->loop);
    }
    link_free(b);
    agents_free(b);
    policies_release(b);
    retention_free(b);
    self_check_free(b);
    weir_engine_free(b->engine);
    weir_store_close(b->reader[0]);
    weir_store_close(b->reader[1]);
    weir_store_close(b->store);
    market_release(b);
    weir_vec_release(&b->finished);
    weir_vec_release(&b->waiters);
    weir_vec_release(&b->live);
    weir_vec_release(&b->checks);
    tokens_free(b);
    access_free(b);
    weir_map_release(&b->session_of_node);
    weir_map_release(&b->possible);
    weir_config_free(b->config);
    weir_gpu_table_free(b->gpus);
    tls_free(b);
    free(b);
}

static int start(struct broker *b, struct weir_err *err)
{
    int r = open_data(b, err);
    r = r != 0 ? r : load_config(b, err);
    r = r != 0 ? r : open_store(b, err);
    r = r != 0 ? r : identify(b, err);
    r = r != 0 ? r : market_open(b, err);
    r = r != 0 ? r : start_loop(b, err);
    if (r != 0) {
        return r;
    }
    b->loop.data = b;
    r = open_engine(b, err);
    r = r != 0 ? r : access_init(b, err);
    r = r != 0 ? r : tokens_init(b, err);
    r = r != 0 ? r : oidc_init(b, err);
    r = r != 0 ? r : agents_init(b, err);
    r = r != 0 ? r : alerts_init(b, err);
    r = r != 0 ? r : policies_init(b, err);
    r = r != 0 ? r : start_api(b, err);
    leases_restore_renting(b);
    r = r != 0 ? r : leases_init(b, err);
    r = r != 0 ? r : weir_engine_flush(b->engine, false, err);
    return r;
}

int weir_broker_main(const struct weir_broker_conf *conf, struct weir_err *err)
{
    struct broker *b = weir_alloc(sizeof *b);
    struct weir_err scratch;
    const struct passwd *pw = getpwuid(geteuid());
    b->service.ops = &service_ops;
    b->conf = *conf;
    b->gpus = weir_gpu_table_new();
    b->started_ms = broker_ms(b);
    (void)snprintf(b->os_user, sizeof b->os_user, "%s", pw == NULL ? "user" : pw->pw_name);
    (void)pthread_mutex_init(&b->gpus_lock, NULL);
    (void)pthread_mutex_init(&b->inbox_lock, NULL);
    (void)pthread_mutex_init(&b->tokens_lock, NULL);
    (void)pthread_mutex_init(&b->sessions_lock, NULL);
    weir_log_setup("weir-serve", conf->log_level);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(077);
    weir_process_conceal();
    int r = start(b, err == NULL ? &scratch : err);
    weir_process_hide_secrets(); /* agents and machines that are started need none of them */
    if (r == 0) {
        uv_prepare_t prepare;
        (void)uv_prepare_init(&b->loop, &prepare);
        prepare.data = b;
        (void)uv_prepare_start(&prepare, on_prepare);
        (void)printf("weir: serving on %s://%s, data in %s\n", b->ca_pem == NULL ? "http" : "https", b->listen, b->data_dir);
        (void)fflush(stdout);
        local_agent_tick(b);
        (void)uv_run(&b->loop, UV_RUN_DEFAULT);
        stop(b);
        (void)uv_prepare_stop(&prepare);
        uv_close((uv_handle_t *)&prepare, NULL);
        (void)uv_run(&b->loop, UV_RUN_NOWAIT);
        weir_log(WEIR_LOG_NOTICE, "broker.stopped", "text=\"%s\"",
                 b->store_full ? "what could not be written was not acknowledged" : "all is stored");
    } else if (b->server != NULL) {
        weir_server_stop(b->server);
    }
    release(b);
    return r;
}
