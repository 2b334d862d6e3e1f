/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call's life: wait (for its turn, or between two tries) -> credentials -> sent -> answer -> wait again, or end. One timer per
 * call drives the waiting; what its end means is settled in one place, finish().
 */

#include "cloud/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/vec.h"
#include "cloud/credential.h"

enum {
    TRY_MS = 20000,
    DEADLINE_MS = 60000,
    TRIES_MAX = 4,
    REPLY_BYTES = 1 << 20,
    BACKOFF_MS = 250,
    BACKOFF_MS_MAX = 20000,
    SECRET_BYTES_MIN = 8,
    HIDDEN_MAX = 256,   /* the oldest tokens of those that follow each other are shown to nobody any more */
    HIDDEN_FIRST = 16,  /* keys that stay */
    RETRY_AFTER_S_MAX = 24 * 3600, /* a longer one is a mistake of somebody's */
    QUIET_MS_MAX = 120000,         /* that one answer can ask of all calls: machines are to be ended all the same */
};

/* Clocks that differ by less are not what a signature was refused for. */
#define SKEW_MIN (2 * WEIR_US_PER_MIN)

enum phase { PHASE_WAITING, PHASE_CREDENTIAL, PHASE_SENT, PHASE_OVER };

struct cloud_call { /* freed once libuv has closed its timer */
    uv_timer_t timer;
    struct weir_cloud *cloud;
    struct cloud_call *next;
    struct weir_arena arena; /* everything of the request */
    struct weir_cloud_request r;
    weir_cloud_fn *done;
    void (*drop)(void *ctx);
    void *ctx;
    enum phase phase;
    uint64_t deadline_ms; /* by the loop's clock */
    uint64_t http_id;
    uint64_t generation; /* of the credential that the last try used */
    unsigned tries;
    bool want_fresh;     /* the next try wants another credential than the last */
    bool was_refreshed;
    bool was_skewed;
    bool may_have_arrived; /* some try; its effect is not known */
    bool sent;
    struct weir_cloud_verdict last;
};

struct weir_cloud {
    char name[WEIR_PROVIDER_SIZE];
    uv_loop_t *loop;
    const struct weir_clock *clock;
    struct weir_http *http;
    bool own_http;
    struct weir_prng prng;
    uint64_t interval_us; /* between calls on average; 0: no limit */
    uint64_t burst_us;
    uint64_t due_us;      /* when, by the limit alone, the next call would be due */
    uint64_t paused_until_ms;
    unsigned backoff_ms;
    unsigned quiet_ms_max;
    char *ca_pem;
    char *bearer;
    weir_cloud_sign_fn *sign;
    weir_cloud_classify_fn *classify;
    const char *(*base)(void *ctx);
    struct weir_credential *credential;
    void *ctx;
    struct weir_dur skew; /* provider's time - ours */
    struct cloud_call *calls;
    size_t n_calls;
    WEIR_VEC(char *) hidden;
};

/* ---- secrets ---- */

static void forget_secret(char *s)
{
    if (s != NULL) {
        explicit_bzero(s, strlen(s));
        free(s);
    }
}

void weir_cloud_hide(struct weir_cloud *c, const char *secret)
{
    if (secret == NULL || strlen(secret) < SECRET_BYTES_MIN) {
        return;
    }
    for (size_t i = 0; i < c->hidden.n; i++) {
        if (weir_streq(c->hidden.p[i], secret)) {
            return;
        }
    }
    if (c->hidden.n == HIDDEN_MAX) {
        forget_secret(c->hidden.p[HIDDEN_FIRST]);
        memmove(&c->hidden.p[HIDDEN_FIRST], &c->hidden.p[HIDDEN_FIRST + 1], (HIDDEN_MAX - HIDDEN_FIRST - 1) * sizeof *c->hidden.p);
        c->hidden.n--;
    }
    weir_vec_push(&c->hidden, weir_strdup(secret));
}

/* Also where a text was cut within the secret: as much of its beginning as stands there. */
static void blot(char *text, const char *secret)
{
    static const char mark[] = "***";
    char begin[SECRET_BYTES_MIN + 1];
    char *at = text;
    (void)snprintf(begin, sizeof begin, "%s", secret);
    while ((at = strstr(at, begin)) != NULL) {
        size_t n = SECRET_BYTES_MIN;
        while (secret[n] != '\0' && at[n] == secret[n]) {
            n++;
        }
        memcpy(at, mark, sizeof mark - 1);
        memmove(at + sizeof mark - 1, at + n, strlen(at + n) + 1);
        at += sizeof mark - 1;
    }
}

void weir_cloud_redact(const struct weir_cloud *c, char *text)
{
    for (size_t i = 0; i < c->hidden.n; i++) {
        blot(text, c->hidden.p[i]);
    }
}

/* ---- life of the cloud ---- */

struct weir_cloud *weir_cloud_new(const struct weir_cloud_conf *conf)
{
    struct weir_cloud *c = weir_alloc(sizeof *c);
    (void)snprintf(c->name, sizeof c->name, "%s", conf->name);
    c->loop = conf->loop;
    c->clock = conf->clock;
    c->own_http = conf->http == NULL;
    c->http = c->own_http ? weir_http_new(conf->loop) : conf->http;
    c->prng = weir_prng_seed(conf->seed);
    if (conf->per_second > 0) {
        c->interval_us = (uint64_t)WEIR_US_PER_S / conf->per_second;
        c->burst_us = c->interval_us * (conf->burst == 0 ? conf->per_second : conf->burst);
    }
    c->backoff_ms = conf->backoff_ms == 0 ? BACKOFF_MS : conf->backoff_ms;
    c->quiet_ms_max = conf->quiet_ms_max == 0 ? QUIET_MS_MAX : conf->quiet_ms_max;
    c->ca_pem = conf->ca_pem == NULL ? NULL : weir_strdup(conf->ca_pem);
    c->bearer = conf->bearer == NULL ? NULL : weir_strdup(conf->bearer);
    weir_cloud_hide(c, c->bearer);
    c->sign = conf->sign;
    c->classify = conf->classify;
    c->base = conf->base;
    c->credential = conf->credential;
    c->ctx = conf->ctx;
    return c;
}

static void on_timer_closed(uv_handle_t *h)
{
    free(h->data);
}

/* Takes the call out of the list; its memory goes when libuv has let go of the timer. */
static void release_call(struct cloud_call *k)
{
    struct cloud_call **at = &k->cloud->calls;
    while (*at != k) {
        at = &(*at)->next;
    }
    *at = k->next;
    k->cloud->n_calls--;
    k->phase = PHASE_OVER;
    weir_arena_release(&k->arena);
    uv_close((uv_handle_t *)&k->timer, on_timer_closed);
}

static void cancel_try(struct cloud_call *k)
{
    if (k->phase == PHASE_SENT) {
        k->cloud->http->ops->cancel(k->cloud->http, k->http_id);
    } else if (k->phase == PHASE_CREDENTIAL) {
        weir_credential_forget(k->cloud->credential, k);
    }
}

void weir_cloud_free(struct weir_cloud *c)
{
    if (c == NULL) {
        return;
    }
    while (c->calls != NULL) {
        struct cloud_call *k = c->calls;
        void (*drop)(void *ctx) = k->drop;
        void *ctx = k->ctx;
        cancel_try(k);
        release_call(k);
        if (drop != NULL) {
            drop(ctx);
        }
    }
    if (c->own_http) {
        c->http->ops->free(c->http);
    }
    for (size_t i = 0; i < c->hidden.n; i++) {
        forget_secret(c->hidden.p[i]);
    }
    weir_vec_release(&c->hidden);
    forget_secret(c->bearer);
    free(c->ca_pem);
    free(c);
}

struct weir_wall weir_cloud_now(const struct weir_cloud *c)
{
    return weir_wall_add(weir_clock_wall(c->clock), c->skew);
}

/* ---- what an answer means ---- */

static void transport_verdict(const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)snprintf(v->text, sizeof v->text, "%s", reply->text);
    switch (-reply->code) {
    case WEIR_EUNAVAIL: /* not sent: it is as if the provider had asked to come back later */
        v->class = WEIR_PROVIDER_THROTTLED;
        v->again = true;
        return;
    case WEIR_EUNAUTH:
    case WEIR_EINVAL:
        v->class = WEIR_PROVIDER_REFUSED;
        return;
    case WEIR_ELIMIT:
        v->class = WEIR_PROVIDER_UNKNOWN;
        return;
    default:
        v->class = WEIR_PROVIDER_UNKNOWN;
        v->again = true;
        return;
    }
}

void weir_cloud_verdict_of(const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    *v = (struct weir_cloud_verdict){.class = WEIR_PROVIDER_OK};
    if (reply->code != 0) {
        transport_verdict(reply, v);
        return;
    }
    if (reply->status >= 200 && reply->status < 300) {
        return;
    }
    v->class = WEIR_PROVIDER_REFUSED;
    if (reply->status == 401) {
        v->stale = true;
    } else if (reply->status == 429) {
        v->class = WEIR_PROVIDER_THROTTLED;
        v->again = true;
    } else if (reply->status >= 500 || reply->status == 408) {
        v->class = WEIR_PROVIDER_UNKNOWN;
        v->again = true;
    }
    if (reply->retry_after_s > 0) {
        v->retry_after = weir_dur_s(reply->retry_after_s < RETRY_AFTER_S_MAX ? reply->retry_after_s : RETRY_AFTER_S_MAX);
    }
    (void)snprintf(v->text, sizeof v->text, "HTTP status %d", reply->status);
}

/* Was the try answered by the provider, or could it not be sent? Else it may have had its effect. */
static bool is_unsettled(const struct weir_http_reply *reply, const struct weir_cloud_verdict *v)
{
    return v->class == WEIR_PROVIDER_UNKNOWN && !(reply->code == -WEIR_EUNAVAIL || reply->code == -WEIR_EINVAL || reply->code == -WEIR_EUNAUTH);
}

/* ---- the end ---- */

static void finish(struct cloud_call *k, const struct weir_http_reply *reply)
{
    struct weir_cloud *c = k->cloud;
    struct weir_cloud_answer a = {.class = k->last.class, .sent = k->sent, .tries = k->tries, .content_type = "", .body = WEIR_SV(""),
                                  .retry_after = k->last.retry_after, .stale = k->last.stale, .skewed = k->last.skewed};
    if (reply != NULL && reply->code == 0) {
        a.status = reply->status;
        a.body = reply->body;
        a.content_type = reply->content_type;
        a.subject_token = reply->subject_token;
        a.date = reply->date;
    }
    memcpy(a.code, k->last.code, sizeof a.code);
    /* What a later try says of itself does not tell what the earlier one has done. */
    if (k->may_have_arrived && k->r.kind != WEIR_CLOUD_READ && a.class != WEIR_PROVIDER_OK) {
        a.class = WEIR_PROVIDER_UNKNOWN;
    }
    if (a.class != WEIR_PROVIDER_OK) {
        char tries[32] = "";
        if (k->tries > 1) {
            (void)snprintf(tries, sizeof tries, " (%u tries)", k->tries);
        }
        weir_cloud_redact(c, k->last.text); /* before it is cut, which would leave a part of a secret */
        (void)snprintf(a.text, sizeof a.text, "%s: %.40s: %.150s%s", c->name, k->r.what, k->last.text, tries);
    }
    weir_cloud_fn *done = k->done;
    void *ctx = k->ctx;
    release_call(k);
    done(ctx, &a);
}

static void fail_text(struct cloud_call *k, enum weir_provider_class class, const char *text)
{
    k->last = (struct weir_cloud_verdict){.class = class};
    (void)snprintf(k->last.text, sizeof k->last.text, "%s", text);
}

/* ---- tries ---- */

static void on_timer(uv_timer_t *t);

static void wait_until(struct cloud_call *k, uint64_t at_ms)
{
    uint64_t now = uv_now(k->cloud->loop);
    uint64_t until = at_ms < k->deadline_ms ? at_ms : k->deadline_ms;
    (void)uv_timer_start(&k->timer, on_timer, until > now ? until - now : 0, 0);
}

/* When the provider's limit lets another call out; that place is then taken. */
static uint64_t take_turn(struct weir_cloud *c)
{
    uint64_t now_ms = uv_now(c->loop);
    uint64_t at_ms = now_ms;
    if (c->interval_us > 0) {
        uint64_t now_us = now_ms * 1000;
        uint64_t due = c->due_us > now_us ? c->due_us : now_us;
        uint64_t early = due > c->burst_us ? due - c->burst_us : 0;
        at_ms = early > now_us ? (early + 999) / 1000 : now_ms;
        c->due_us = due + c->interval_us;
    }
    return at_ms > c->paused_until_ms ? at_ms : c->paused_until_ms;
}

/* Full jitter below a bound that doubles, but not sooner than the provider told. */
static uint64_t pause_ms(struct cloud_call *k)
{
    uint64_t bound = k->cloud->backoff_ms;
    for (unsigned i = 1; i < k->tries && bound < BACKOFF_MS_MAX; i++) {
        bound *= 2;
    }
    bound = bound > BACKOFF_MS_MAX ? BACKOFF_MS_MAX : bound;
    uint64_t ms = weir_prng_below(&k->cloud->prng, bound) + 1;
    uint64_t told = (uint64_t)((k->last.retry_after.us + 999) / 1000);
    return told + ms;
}

static bool may_try_again(const struct cloud_call *k, bool unsettled)
{
    unsigned max = k->r.tries_max == 0 ? TRIES_MAX : k->r.tries_max;
    return k->tries < max && !(unsettled && k->r.kind == WEIR_CLOUD_ONCE);
}

/* The provider asked for quiet: that holds for all calls to it, but not for longer than a machine may be left to cost. */
static void note_pause(struct weir_cloud *c, const struct weir_cloud_verdict *v)
{
    if (v->class == WEIR_PROVIDER_THROTTLED && v->retry_after.us > 0) {
        uint64_t ms = (uint64_t)(v->retry_after.us / 1000);
        uint64_t until = uv_now(c->loop) + (ms < c->quiet_ms_max ? ms : c->quiet_ms_max);
        c->paused_until_ms = until > c->paused_until_ms ? until : c->paused_until_ms;
    }
}

/* Takes the provider's time where it differs from ours; false where that was not it. */
static bool correct_skew(struct weir_cloud *c, const struct weir_http_reply *reply)
{
    int64_t off = weir_wall_sub(reply->date, weir_cloud_now(c)).us;
    if (reply->date.us == 0 || (off < SKEW_MIN && off > -SKEW_MIN)) {
        return false;
    }
    c->skew = weir_wall_sub(reply->date, weir_clock_wall(c->clock));
    return true;
}

static void on_reply(void *ctx, const struct weir_http_reply *reply)
{
    struct cloud_call *k = ctx;
    struct weir_cloud *c = k->cloud;
    struct weir_cloud_verdict *v = &k->last;
    k->phase = PHASE_WAITING;
    weir_cloud_verdict_of(reply, v);
    if (reply->code == 0 && c->classify != NULL) {
        c->classify(c->ctx, reply, v);
    }
    bool unsettled = is_unsettled(reply, v);
    k->may_have_arrived |= unsettled;
    k->sent |= unsettled || reply->code == 0;
    note_pause(c, v);
    bool at_once = false;
    if (v->class != WEIR_PROVIDER_OK && v->skewed && !k->was_skewed && correct_skew(c, reply)) {
        k->was_skewed = at_once = true;
    } else if (v->class != WEIR_PROVIDER_OK && v->stale && c->credential != NULL && !k->r.open && !k->was_refreshed) {
        k->was_refreshed = k->want_fresh = at_once = true;
    }
    uint64_t at = uv_now(c->loop) + (at_once ? 0 : pause_ms(k));
    if (v->class != WEIR_PROVIDER_OK && (at_once || v->again) && may_try_again(k, unsettled) && at < k->deadline_ms) {
        wait_until(k, at);
    } else {
        finish(k, reply);
    }
}

/* Where the call goes, now that all is known. */
static const char *url_of(struct cloud_call *k)
{
    const struct weir_cloud *c = k->cloud;
    if (k->r.url[0] != '/') {
        return k->r.url;
    }
    WEIR_ASSERT(c->base != NULL);
    const char *base = c->base(c->ctx);
    size_t n = strlen(base);
    char *url = weir_arena_alloc(&k->arena, n + strlen(k->r.url) + 1);
    memcpy(url, base, n);
    memcpy(url + n, k->r.url, strlen(k->r.url) + 1);
    return url;
}

static void send_try(struct cloud_call *k)
{
    struct weir_cloud *c = k->cloud;
    struct weir_cloud_headers h = {.arena = &k->arena, .scope = k->r.scope};
    for (size_t i = 0; i < k->r.n_headers; i++) {
        h.header[h.n++] = k->r.header[i];
    }
    uint64_t left = k->deadline_ms - uv_now(c->loop);
    unsigned try_ms = k->r.timeout_ms == 0 ? TRY_MS : k->r.timeout_ms;
    struct weir_http_call call = {.method = k->r.method,
                                  .url = url_of(k),
                                  .header = h.header,
                                  .n_headers = h.n,
                                  .body = k->r.body,
                                  .bearer = k->r.open ? NULL : c->bearer,
                                  .ca_pem = c->ca_pem,
                                  .timeout_ms = left < try_ms ? (unsigned)left : try_ms,
                                  .once = k->r.kind == WEIR_CLOUD_ONCE,
                                  .reply_bytes_max = k->r.reply_bytes_max == 0 ? REPLY_BYTES : k->r.reply_bytes_max};
    struct weir_err err = {""};
    int r = 0;
    if (!k->r.open && c->sign != NULL) {
        r = c->sign(c->ctx, &call, weir_cloud_now(c), &h, &call.bearer, &err);
        call.n_headers = h.n;
    }
    k->tries++;
    if (r < 0) {
        fail_text(k, WEIR_PROVIDER_REFUSED, err.text);
        finish(k, NULL);
        return;
    }
    k->phase = PHASE_SENT;
    r = c->http->ops->send(c->http, &call, on_reply, k, &k->http_id);
    if (r < 0) {
        k->phase = PHASE_WAITING;
        fail_text(k, r == -WEIR_EINVAL || r == -WEIR_EUNSUPPORTED ? WEIR_PROVIDER_REFUSED : WEIR_PROVIDER_THROTTLED,
                  r == -WEIR_EUNSUPPORTED ? "libcurl is not installed: install libcurl3-gnutls or libcurl4" : weir_error_text(r));
        finish(k, NULL);
    }
}

static void on_credential(void *ctx, enum weir_provider_class class, const char *text)
{
    struct cloud_call *k = ctx;
    k->phase = PHASE_WAITING;
    if (class == WEIR_PROVIDER_OK && uv_now(k->cloud->loop) < k->deadline_ms) {
        (void)uv_timer_stop(&k->timer);
        send_try(k);
    } else {
        /* nothing of this try was sent: "unknown" would be untrue */
        fail_text(k, class == WEIR_PROVIDER_OK || class == WEIR_PROVIDER_UNKNOWN ? WEIR_PROVIDER_THROTTLED : class,
                  class == WEIR_PROVIDER_OK ? "the credentials came too late" : text);
        finish(k, NULL);
    }
}

static void on_timer(uv_timer_t *t)
{
    struct cloud_call *k = t->data;
    struct weir_cloud *c = k->cloud;
    if (k->r.url == NULL) { /* settled beforehand */
        finish(k, NULL);
        return;
    }
    if (uv_now(c->loop) >= k->deadline_ms) {
        cancel_try(k);
        if (k->tries == 0) {
            fail_text(k, WEIR_PROVIDER_THROTTLED, k->phase == PHASE_CREDENTIAL ? "no credentials in time" : "too many calls wait for their turn");
        }
        finish(k, NULL);
        return;
    }
    if (k->r.open || c->credential == NULL) {
        send_try(k);
        return;
    }
    k->phase = PHASE_CREDENTIAL;
    wait_until(k, k->deadline_ms);
    bool fresh = k->want_fresh;
    k->want_fresh = false;
    weir_credential_use(c->credential, fresh, &k->generation, on_credential, k);
}

/* ---- starting ---- */

void weir_cloud_headers_add(struct weir_cloud_headers *h, const char *name, const char *value)
{
    WEIR_ASSERT(h->n < WEIR_CLOUD_HEADERS_MAX);
    h->header[h->n++] = (struct weir_http_header){weir_arena_strndup(h->arena, name, strlen(name)),
                                                  weir_arena_strndup(h->arena, value, strlen(value))};
}

static const char *keep(struct cloud_call *k, const char *s)
{
    return s == NULL ? NULL : weir_arena_strndup(&k->arena, s, strlen(s));
}

static struct cloud_call *new_call(struct weir_cloud *c, weir_cloud_fn *done, void (*drop)(void *ctx), void *ctx)
{
    if (c->n_calls == WEIR_CLOUD_CALLS_MAX) {
        return NULL;
    }
    struct cloud_call *k = weir_alloc(sizeof *k);
    k->cloud = c;
    k->done = done;
    k->drop = drop;
    k->ctx = ctx;
    (void)uv_timer_init(c->loop, &k->timer);
    k->timer.data = k;
    k->next = c->calls;
    c->calls = k;
    c->n_calls++;
    uv_update_time(c->loop);
    return k;
}

int weir_cloud_send(struct weir_cloud *c, const struct weir_cloud_request *r, weir_cloud_fn *done, void (*drop)(void *ctx), void *ctx)
{
    WEIR_ASSERT(r->url != NULL && r->n_headers < WEIR_CLOUD_HEADERS_MAX);
    struct cloud_call *k = new_call(c, done, drop, ctx);
    if (k == NULL) {
        return -WEIR_ELIMIT;
    }
    struct weir_http_header *h = r->n_headers == 0 ? NULL : weir_arena_alloc(&k->arena, r->n_headers * sizeof *h);
    k->r = *r;
    k->r.what = keep(k, r->what);
    k->r.method = keep(k, r->method);
    k->r.url = keep(k, r->url);
    k->r.scope = keep(k, r->scope == NULL ? "" : r->scope);
    for (size_t i = 0; i < r->n_headers; i++) {
        h[i] = (struct weir_http_header){keep(k, r->header[i].name), keep(k, r->header[i].value)};
    }
    k->r.header = h;
    k->r.body = (struct weir_sv){r->body.n == 0 ? "" : weir_arena_strndup(&k->arena, r->body.p, r->body.n), r->body.n};
    k->deadline_ms = uv_now(c->loop) + (r->deadline_ms == 0 ? DEADLINE_MS : r->deadline_ms);
    wait_until(k, take_turn(c));
    return 0;
}

int weir_cloud_refuse(struct weir_cloud *c, const char *what, enum weir_provider_class class, const char *text, weir_cloud_fn *done,
                      void (*drop)(void *ctx), void *ctx)
{
    struct cloud_call *k = new_call(c, done, drop, ctx);
    if (k == NULL) {
        return -WEIR_ELIMIT;
    }
    k->r.what = keep(k, what);
    fail_text(k, class, text);
    k->deadline_ms = uv_now(c->loop);
    wait_until(k, k->deadline_ms);
    return 0;
}

struct weir_provider_result weir_cloud_result(const struct weir_cloud_answer *a)
{
    struct weir_provider_result r = {.class = a->class, .retry_after = a->retry_after};
    (void)snprintf(r.text, sizeof r.text, "%s", a->text);
    return r;
}
