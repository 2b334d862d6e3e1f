/* SPDX-License-Identifier: Apache-2.0 */
/* Life of the API; readers of the store, lanes, streams, answers. */
#include "api/api_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/gnutls_lib.h"

/* ---- answers ---- */

/* Bytes of a message that came from outside may be anything; a reply is UTF-8. */
static void make_utf8(char *text)
{
    unsigned char *p = (unsigned char *)text;
    while (*p != '\0') {
        size_t n = *p < 0x80                 ? 1
                   : *p >= 0xc2 && *p < 0xe0 ? 2
                   : *p >= 0xe0 && *p < 0xf0 ? 3
                   : *p >= 0xf0 && *p < 0xf5 ? 4
                                             : 0;
        size_t have = n == 0 ? 0 : strnlen((char *)p, n);
        if (n > 0 && have == n && (n == 1 || weir_utf8_is_text((struct weir_sv){(char *)p, n}))) {
            p += n;
        } else {
            *p++ = '?';
        }
    }
}

void api_fail(struct weir_http_request *r, int code, struct weir_err *err)
{
    if (err->text[0] == '\0') {
        (void)weir_fail(err, code, "%s", weir_error_text(code));
    }
    make_utf8(err->text);
    weir_request_fail(r, code, err);
}

void api_fail_status(struct weir_http_request *r, int status, const char *name, const char *text,
                     const struct weir_http_header *headers, size_t n)
{
    struct weir_err err;
    (void)snprintf(err.text, sizeof err.text, "%s", text);
    make_utf8(err.text);
    struct weir_str out = WEIR_STR_INIT(8192);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_key(&j, "error");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "code", name);
    weir_json_kv_cstr(&j, "message", err.text);
    weir_json_end(&j);
    weir_json_end(&j);
    weir_request_reply(r, status, NULL, weir_str_sv(&out), headers, n);
    weir_str_release(&out);
}

void api_reply(struct weir_http_request *r, int status, struct weir_str *out)
{
    struct weir_err err;
    if (out->overflowed) {
        (void)weir_fail(&err, -WEIR_ELIMIT,
                        "the answer is larger than %zu bytes; ask for less with limit or a narrower filter",
                        out->max_bytes);
        weir_str_release(out);
        api_fail(r, -WEIR_ELIMIT, &err);
        return;
    }
    size_t n = out->n;
    weir_request_reply_take(r, status, NULL, weir_str_take(out), n);
}

/* ---- readers ---- */

struct weir_store *api_reader_take(struct weir_api *a, unsigned *which)
{
    unsigned n = a->conf.reader[1] == NULL ? 1 : 2;
    unsigned first = n == 1 ? 0 : atomic_fetch_add_explicit(&a->reader_turn, 1, memory_order_relaxed) % n;
    for (unsigned i = 0; i < n; i++) {
        *which = (first + i) % n;
        if (pthread_mutex_trylock(&a->reader_lock[*which]) == 0) {
            return a->conf.reader[*which];
        }
    }
    *which = first;
    (void)pthread_mutex_lock(&a->reader_lock[first]);
    return a->conf.reader[first];
}

void api_reader_put(struct weir_api *a, unsigned which)
{
    (void)pthread_mutex_unlock(&a->reader_lock[which]);
}

/* ---- who ---- */

struct weir_identity api_who_copy(const struct weir_identity *who)
{
    struct weir_identity copy = *who;
    copy.scope = weir_scope_ref(who->scope);
    return copy;
}

void api_who_release(struct weir_identity *who)
{
    weir_scope_unref(who->scope);
    who->scope = NULL;
}

const struct weir_project_set *api_within(enum api_reach reach, const struct weir_identity *who, struct weir_project_set *room)
{
    const struct weir_scope *s = who->scope;
    if (reach != API_REACH_OWN || (s != NULL && s->everywhere != WEIR_ROLE_NONE)) {
        return NULL;
    }
    *room = (struct weir_project_set){s == NULL ? NULL : s->id, s == NULL ? 0 : s->n};
    return room;
}

/* ---- calls ---- */

struct api_call *api_call_new(struct api_request *rq, enum weir_command_kind kind)
{
    struct api_call *call = weir_alloc(sizeof *call);
    call->cmd.kind = kind;
    call->api = rq->api;
    call->http = rq->http;
    call->route = rq->route;
    call->lane = API_LANE_QUICK;
    call->text = WEIR_STR_INIT(2 * WEIR_SPEC_BYTES_MAX + 65536);
    memcpy(call->value, rq->value, sizeof call->value);
    call->who = api_who_copy(&rq->who);
    call->reach = rq->reach;
    /* Borrowed from the connection, which may go while the command is under way. */
    (void)snprintf(call->peer, sizeof call->peer, "%s", weir_request_peer(rq->http));
    call->cmd.who = &call->who;
    call->cmd.peer = call->peer;
    return call;
}

struct api_call *api_call_follow(const struct api_call *call, enum weir_command_kind kind)
{
    struct api_call *next = weir_alloc(sizeof *next);
    next->cmd.kind = kind;
    next->api = call->api;
    next->http = call->http;
    next->route = call->route;
    next->lane = call->lane;
    next->who = api_who_copy(&call->who);
    next->reach = call->reach;
    memcpy(next->peer, call->peer, sizeof next->peer);
    next->cmd.who = &next->who;
    next->cmd.peer = next->peer;
    return next;
}

struct api_call *api_named_call(struct api_request *rq, enum weir_command_kind kind, void (*finish)(struct api_call *call))
{
    struct api_call *call = api_call_new(rq, kind);
    (void)snprintf(call->name, sizeof call->name, "%s", rq->path[0].text);
    call->finish = finish;
    return call;
}

void api_reply_removed(struct weir_http_request *http, const char *what)
{
    struct weir_str out = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "removed", what);
    weir_json_end(&j);
    api_reply(http, 200, &out);
}

void api_removed_finish(struct api_call *call)
{
    api_reply_removed(call->http, call->name);
}

void api_call_free(struct api_call *call)
{
    if (call->cmd.kind == WEIR_COMMAND_AMEND) {
        free(call->cmd.u.amend.part);
    } else if (call->cmd.kind == WEIR_COMMAND_PRICE) {
        free(call->cmd.u.price.part);
    } else if (call->cmd.kind == WEIR_COMMAND_INVOICE) {
        free(call->cmd.u.invoice.line);
    }
    if (call->body != NULL) {
        json_decref(call->body);
    }
    weir_spec_free(call->spec);
    weir_str_release(&call->text);
    weir_str_release(&call->cmd.reply);
    api_who_release(&call->who);
    free(call->cmd.accrued);
    free(call->cmd.parked);
    free(call->cmd.payer_set);
    free(call->data);
    free(call);
}

const struct api_value *api_call_param(const struct api_call *call, const char *name)
{
    for (size_t i = 0; call->route->param[i].name != NULL; i++) {
        if (weir_streq(call->route->param[i].name, name)) {
            return &call->value[i];
        }
    }
    WEIR_ASSERT(false);
    return NULL;
}

void api_call_defer(struct api_call *call)
{
    struct weir_api *a = call->api;
    struct api_lane_state *lane = &a->lane[call->lane];
    call->next = NULL;
    (void)pthread_mutex_lock(&a->lane_lock);
    *lane->tail = call;
    lane->tail = &call->next;
    (void)pthread_cond_signal(&lane->wake);
    (void)pthread_mutex_unlock(&a->lane_lock);
}

/* On the deciding thread. */
static void on_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
        api_call_free(call);
        return;
    }
    api_call_defer(call);
}

void api_call_post(struct api_call *call)
{
    if (call->cmd.done == NULL) {
        call->cmd.done = on_done;
    }
    struct weir_service *s = call->api->conf.service;
    s->ops->post(s, &call->cmd);
}

void api_call_post_or_fail(struct api_request *rq, struct api_call *call, int rc)
{
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
        api_call_free(call);
        return;
    }
    api_call_post(call);
}

int api_call_take_name(const struct api_call *call, const char *what, char *ret, size_t size, struct weir_err *err)
{
    size_t n = strlen(call->name);
    if (n >= size) {
        return weir_fail(err, -WEIR_EINVAL, "a %s's name has at most %zu bytes", what, size - 1);
    }
    memcpy(ret, call->name, n + 1);
    return 0;
}

static void *lane_main(void *ctx)
{
    struct api_lane_state *lane = ctx;
    struct weir_api *a = lane->api;
    (void)pthread_mutex_lock(&a->lane_lock);
    for (;;) {
        struct api_call *call = lane->head;
        if (call == NULL) {
            if (a->is_stopping) {
                break;
            }
            (void)pthread_cond_wait(&lane->wake, &a->lane_lock);
            continue;
        }
        lane->head = call->next;
        if (lane->head == NULL) {
            lane->tail = &lane->head;
        }
        (void)pthread_mutex_unlock(&a->lane_lock);
        call->finish(call);
        api_call_free(call);
        (void)pthread_mutex_lock(&a->lane_lock);
    }
    (void)pthread_mutex_unlock(&a->lane_lock);
    return NULL;
}

/* ---- streams ---- */

void api_stream_begin(struct api_stream *s, struct weir_http_request *r, const char *content_type,
                      weir_stream_pull_fn *pull, void (*done)(void *ctx))
{
    struct weir_api *a = s->api;
    /* Called on the server thread that serves the connection: pull and done cannot come before this returns to it. */
    struct weir_stream *stream = weir_request_stream(r, 200, content_type, pull, done, s);
    if (stream == NULL) {
        return; /* done was called */
    }
    (void)pthread_mutex_lock(&a->stream_lock);
    s->stream = stream;
    s->next = a->streams;
    s->prev = &a->streams;
    if (s->next != NULL) {
        s->next->prev = &s->next;
    }
    a->streams = s;
    (void)pthread_mutex_unlock(&a->stream_lock);
}

bool api_stream_may(const struct api_stream *s)
{
    struct weir_service *service = s->api->conf.service;
    return service->ops->is_still(service, &s->who);
}

void api_stream_end(struct api_stream *s)
{
    api_who_release(&s->who);
    (void)pthread_mutex_lock(&s->api->stream_lock);
    if (s->prev != NULL) {
        *s->prev = s->next;
        if (s->next != NULL) {
            s->next->prev = s->prev;
        }
    }
    (void)pthread_mutex_unlock(&s->api->stream_lock);
}

void api_streams_wake(struct weir_api *a, uint64_t log_key)
{
    (void)pthread_mutex_lock(&a->stream_lock);
    for (struct api_stream *s = a->streams; s != NULL; s = s->next) {
        if (log_key == 0 || atomic_load(&s->log_key) == log_key) {
            weir_stream_wake(s->stream);
        }
    }
    (void)pthread_mutex_unlock(&a->stream_lock);
}

static void on_commit(void *ctx)
{
    api_streams_wake(ctx, 0);
}

/* ---- life ---- */

/* "127.0.0.1" of "127.0.0.1:7070", "::1" of "[::1]:7070", "" of ":7070". */
static char *host_of(const char *listen)
{
    struct weir_sv s = weir_sv_of(listen);
    size_t end = s.n;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ':') {
            end = i;
        }
    }
    s.n = end;
    if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']') {
        s = (struct weir_sv){s.p + 1, s.n - 2};
    }
    return weir_strndup(s.p == NULL ? "" : s.p, s.n);
}

static void stop_lanes(struct weir_api *a)
{
    (void)pthread_mutex_lock(&a->lane_lock);
    a->is_stopping = true;
    for (int i = 0; i < API_LANES; i++) {
        (void)pthread_cond_signal(&a->lane[i].wake);
    }
    (void)pthread_mutex_unlock(&a->lane_lock);
    for (int i = 0; i < API_LANES; i++) {
        if (a->lane[i].is_started) {
            (void)pthread_join(a->lane[i].thread, NULL);
            a->lane[i].is_started = false;
        }
    }
}

int weir_api_new(struct weir_api **ret, const struct weir_api_conf *conf, struct weir_err *err)
{
    WEIR_ASSERT(conf->service != NULL && conf->reader[0] != NULL && conf->gpus != NULL && conf->gpus_lock != NULL && conf->ticket_key != NULL);
    int rc = weir_gnutls_init(err);
    if (rc < 0) {
        return rc;
    }
    struct weir_api *a = weir_alloc(sizeof *a);
    a->conf = *conf;
    a->listen_host = host_of(conf->listen == NULL ? "" : conf->listen);
    a->started = weir_clock_mono(conf->clock);
    for (int i = 0; i < 2; i++) {
        (void)pthread_mutex_init(&a->reader_lock[i], NULL);
    }
    for (int i = 0; i < API_LOG_LOCKS; i++) {
        (void)pthread_mutex_init(&a->log_lock[i], NULL);
    }
    (void)pthread_mutex_init(&a->lane_lock, NULL);
    (void)pthread_mutex_init(&a->stream_lock, NULL);
    for (int i = 0; i < API_LANES; i++) {
        struct api_lane_state *lane = &a->lane[i];
        lane->api = a;
        lane->tail = &lane->head;
        (void)pthread_cond_init(&lane->wake, NULL);
    }
    for (int i = 0; i < API_LANES; i++) {
        int e = pthread_create(&a->lane[i].thread, NULL, lane_main, &a->lane[i]);
        if (e != 0) {
            weir_api_free(a);
            return weir_fail(err, weir_error_from_errno(e), "cannot start a thread of the API");
        }
        a->lane[i].is_started = true;
    }
    conf->service->ops->subscribe(conf->service, on_commit, a);
    *ret = a;
    return 0;
}

void weir_api_free(struct weir_api *a)
{
    if (a == NULL) {
        return;
    }
    stop_lanes(a);
    WEIR_ASSERT(a->streams == NULL);
    for (int i = 0; i < API_LANES; i++) {
        (void)pthread_cond_destroy(&a->lane[i].wake);
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_mutex_destroy(&a->reader_lock[i]);
    }
    for (int i = 0; i < API_LOG_LOCKS; i++) {
        (void)pthread_mutex_destroy(&a->log_lock[i]);
    }
    (void)pthread_mutex_destroy(&a->lane_lock);
    (void)pthread_mutex_destroy(&a->stream_lock);
    free(a->listen_host);
    free(a);
}
