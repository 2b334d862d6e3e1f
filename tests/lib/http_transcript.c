/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP clients for tests; see http_transcript.h. */

#include "http_transcript.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/vec.h"

struct sent {
    struct weir_http_call call; /* all strings in the arena */
    struct http_step step;
    uint64_t id;
    weir_http_fn *done; /* NULL: delivered or cancelled */
    void *ctx;
    unsigned left; /* pumps until the reply is due */
};

struct fake {
    struct weir_http http; /* first */
    const struct http_step *script;
    size_t n_script;
    size_t at;
    unsigned served; /* calls that script[at] has served */
    http_responder_fn *responder;
    void *responder_ctx;
    struct weir_arena arena;
    WEIR_VEC(struct sent *) sent;
    char problem[512];
    uv_loop_t *loop;
    uv_idle_t idle; /* runs while calls wait: keeps the loop turning */
};

static struct fake *fake_of(const struct weir_http *h)
{
    return (struct fake *)(uintptr_t)h;
}

static void
note_problem(struct fake *f, const char *what, const struct weir_http_call *call, const char *want)
{
    if (f->problem[0] == 0) {
        (void)snprintf(f->problem,
                       sizeof(f->problem),
                       "call %zu: %s: got %.16s %.150s body '%.*s'; wanted %.150s",
                       f->sent.n + 1,
                       what,
                       call->method,
                       call->url,
                       (int)(call->body.n > 80 ? 80 : call->body.n),
                       call->body.n == 0 ? "" : call->body.p,
                       want);
    }
}

static bool has_header(const struct weir_http_call *call, const char *line)
{
    for (size_t i = 0; i < call->n_headers; i++) {
        char text[1024];
        (void)snprintf(text, sizeof(text), "%s: %s", call->header[i].name, call->header[i].value);
        if (weir_streq(text, line)) {
            return true;
        }
    }
    return false;
}

/* What differs, or NULL; *want is the part of the step that was not met. */
static const char *
mismatch(const struct http_step *s, const struct weir_http_call *call, const char **want)
{
    *want = s->method;
    if (s->method != NULL && !weir_streq(s->method, call->method)) {
        return "method";
    }
    *want = s->url;
    if (s->url != NULL && !weir_glob_match(weir_sv_of(s->url), weir_sv_of(call->url))) {
        return "URL";
    }
    *want = s->body_has;
    if (s->body_has != NULL &&
        (call->body.n == 0 ||
         memmem(call->body.p, call->body.n, s->body_has, strlen(s->body_has)) == NULL)) {
        return "body";
    }
    *want = s->header_has;
    if (s->header_has != NULL && !has_header(call, s->header_has)) {
        return "header";
    }
    *want = s->bearer;
    if (s->bearer != NULL && (call->bearer == NULL || !weir_streq(call->bearer, s->bearer))) {
        return "bearer token";
    }
    return NULL;
}

static struct http_step next_step(struct fake *f, const struct weir_http_call *call)
{
    struct http_step step = {.fault = HTTP_FAULT_BROKEN};
    if (f->responder != NULL) {
        step = (struct http_step){.status = 200};
        f->responder(f->responder_ctx, call, &step);
        return step;
    }
    const char *want = "";
    /* A step that has served at least one call may be over; then the next one is meant. */
    if (f->at < f->n_script && (f->served > 0 || f->script[f->at].repeat == UINT_MAX) &&
        f->at + 1 < f->n_script && mismatch(&f->script[f->at], call, &want) != NULL) {
        f->at++;
        f->served = 0;
    }
    if (f->at == f->n_script) {
        note_problem(f, "none was expected any more", call, "nothing");
        return step;
    }
    const struct http_step *s = &f->script[f->at];
    const char *what = mismatch(s, call, &want);
    if (what != NULL) {
        note_problem(f, what, call, want);
        return step;
    }
    step = *s;
    f->served++;
    if (s->repeat != UINT_MAX && f->served > s->repeat) {
        f->at++;
        f->served = 0;
    }
    return step;
}

static const char *copy_text(struct weir_arena *a, const char *s)
{
    return s == NULL ? NULL : weir_arena_strndup(a, s, strlen(s));
}

static struct weir_http_call copy_call(struct fake *f, const struct weir_http_call *call)
{
    struct weir_http_call c = *call;
    struct weir_http_header *h = NULL;
    if (call->n_headers > 0) {
        h = weir_arena_alloc(&f->arena, call->n_headers * sizeof(*h));
    }
    for (size_t i = 0; i < call->n_headers; i++) {
        h[i].name = copy_text(&f->arena, call->header[i].name);
        h[i].value = copy_text(&f->arena, call->header[i].value);
    }
    c.header = h;
    c.method = copy_text(&f->arena, call->method);
    c.url = copy_text(&f->arena, call->url);
    c.bearer = copy_text(&f->arena, call->bearer);
    c.ca_pem = copy_text(&f->arena, call->ca_pem);
    c.body.p = weir_arena_strndup(&f->arena, call->body.n == 0 ? "" : call->body.p, call->body.n);
    return c;
}

/* ---- delivery ---- */

static int fault_code(enum http_fault fault)
{
    switch (fault) {
    case HTTP_FAULT_NONE:
        return 0;
    case HTTP_FAULT_UNREACHABLE:
        return -WEIR_EUNAVAIL;
    case HTTP_FAULT_TIMEOUT:
        return -WEIR_ETIMEOUT;
    case HTTP_FAULT_BROKEN:
        return -WEIR_EIO;
    case HTTP_FAULT_TOO_LARGE:
        return -WEIR_ELIMIT;
    case HTTP_FAULT_UNTRUSTED:
        return -WEIR_EUNAUTH;
    case HTTP_FAULT_SEND:
        return -WEIR_ENOMEM;
    }
    return -WEIR_EIO;
}

static void deliver(struct sent *s)
{
    weir_http_fn *done = WEIR_TAKE(s->done);
    const struct http_step *step = &s->step;
    struct weir_http_reply reply = {.retry_after_s = -1, .content_type = "", .body = WEIR_SV("")};
    reply.code = fault_code(step->fault);
    if (reply.code == 0) {
        reply.status = step->status;
        reply.body = weir_sv_of(step->reply == NULL ? "" : step->reply);
        reply.content_type = step->content_type == NULL ? "application/json" : step->content_type;
        reply.retry_after_s = step->retry_after_s == 0 ? -1 : step->retry_after_s;
        reply.date = step->date == NULL ? (struct weir_wall){0} : weir_http_date(weir_sv_of(step->date));
        if (reply.body.n > s->call.reply_bytes_max) {
            reply = (struct weir_http_reply){
                .code = -WEIR_ELIMIT, .retry_after_s = -1, .content_type = "", .body = WEIR_SV("")};
        }
    }
    if (reply.code != 0) {
        (void)snprintf(reply.text, sizeof(reply.text), "%s", weir_error_text(reply.code));
    }
    done(s->ctx, &reply);
}

size_t http_fake_pump(struct weir_http *h)
{
    struct fake *f = fake_of(h);
    size_t n = f->sent.n; /* what a callback sends is for the next pump */
    for (size_t i = 0; i < n; i++) {
        struct sent *s = f->sent.p[i];
        if (s->done != NULL && s->left-- == 0) {
            deliver(s);
        }
    }
    size_t waiting = 0;
    for (size_t i = 0; i < f->sent.n; i++) {
        waiting += f->sent.p[i]->done != NULL ? 1 : 0;
    }
    return waiting;
}

static void on_idle(uv_idle_t *idle)
{
    struct fake *f = idle->data;
    if (http_fake_pump(&f->http) == 0) {
        (void)uv_idle_stop(idle);
    }
}

/* ---- the vtable ---- */

static int fake_send(struct weir_http *h,
                     const struct weir_http_call *call,
                     weir_http_fn *done,
                     void *ctx,
                     uint64_t *ret_id)
{
    struct fake *f = fake_of(h);
    WEIR_ASSERT(call->timeout_ms > 0 && call->method != NULL && call->url != NULL && done != NULL);
    struct http_step step = next_step(f, call);
    struct sent *s = weir_arena_alloc(&f->arena, sizeof(*s));
    s->call = copy_call(f, call);
    s->step = step;
    s->left = step.slow;
    s->id = f->sent.n + 1;
    weir_vec_push(&f->sent, s);
    if (step.fault == HTTP_FAULT_SEND) {
        return -WEIR_ENOMEM;
    }
    s->done = done;
    s->ctx = ctx;
    if (ret_id != NULL) {
        *ret_id = s->id;
    }
    if (f->loop != NULL) {
        (void)uv_idle_start(&f->idle, on_idle);
    }
    return 0;
}

static void fake_cancel(struct weir_http *h, uint64_t id)
{
    struct fake *f = fake_of(h);
    if (id > 0 && id <= f->sent.n) {
        f->sent.p[id - 1]->done = NULL;
    }
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void fake_free(struct weir_http *h)
{
    struct fake *f = fake_of(h);
    weir_arena_release(&f->arena);
    weir_vec_release(&f->sent);
    if (f->loop != NULL) {
        uv_close((uv_handle_t *)&f->idle, on_closed);
    } else {
        free(f);
    }
}

static const struct weir_http_ops fake_ops = {fake_send, fake_cancel, fake_free};

static struct fake *fake_new(struct uv_loop_s *loop)
{
    struct fake *f = weir_alloc(sizeof(*f));
    f->http.ops = &fake_ops;
    f->loop = loop;
    if (loop != NULL) {
        (void)uv_idle_init(loop, &f->idle);
        f->idle.data = f;
    }
    return f;
}

struct weir_http *
http_transcript_new(const struct http_step *script, size_t n, struct uv_loop_s *loop)
{
    struct fake *f = fake_new(loop);
    f->script = script;
    f->n_script = n;
    return &f->http;
}

struct weir_http *http_responder_new(http_responder_fn *fn, void *ctx, struct uv_loop_s *loop)
{
    struct fake *f = fake_new(loop);
    f->responder = fn;
    f->responder_ctx = ctx;
    return &f->http;
}

const char *http_fake_problem(const struct weir_http *h)
{
    struct fake *f = fake_of(h);
    if (f->problem[0] == 0 && f->responder == NULL && f->at < f->n_script) {
        const struct http_step *s = &f->script[f->at];
        bool is_optional = s->repeat == UINT_MAX && f->at + 1 == f->n_script;
        if (!is_optional) {
            (void)snprintf(f->problem,
                           sizeof(f->problem),
                           "expected call %zu did not come: %.16s %.200s",
                           f->at + 1,
                           s->method == NULL ? "(any)" : s->method,
                           s->url == NULL ? "(any)" : s->url);
        }
    }
    return f->problem[0] == 0 ? NULL : f->problem;
}

size_t http_fake_n_calls(const struct weir_http *h)
{
    return fake_of(h)->sent.n;
}

const struct weir_http_call *http_fake_call(const struct weir_http *h, size_t n)
{
    struct fake *f = fake_of(h);
    WEIR_ASSERT(n < f->sent.n);
    return &f->sent.p[n]->call;
}
