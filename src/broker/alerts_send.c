/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Telling receivers. Each has one message under way at most; what it does not know yet follows from the book, so that a slow
 * or silent receiver makes nothing grow, and what changes meanwhile is in the next message. A message that may have
 * arrived and was not answered is sent again: at least once.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "alerts_priv.h"
#include "net/digest.h"
#include "net/gnutls_lib.h"
#include "net/mail.h"

enum {
    LOOK_MS = 1000,
    TIMEOUT_MS = 30000,
    RETRY_MS_MIN = 2000,
    RETRY_MS_MAX = 600000,
    REFRESH_MS = 60000, /* Alertmanager: what fires is said again so often */
    LIVE_S = 300,       /* and counts as over when it was not said for so long */
    REPLY_BYTES_MAX = 64 * 1024,
    URL_BYTES_MAX = 2200,
};

/* ---- what is to be told ---- */

static bool route_takes(const struct weir_config_route *r, const struct weir_alert *a)
{
    bool project = r->n_projects == 0;
    for (size_t i = 0; i < r->n_projects && !project; i++) {
        project = a->project[0] != '\0' && weir_glob_match(weir_sv_of(r->project[i]), weir_sv_of(a->project));
    }
    return project && (r->conditions == 0 || (r->conditions >> a->condition & 1u) != 0) && (!r->critical_only || a->severity == WEIR_ALERT_CRITICAL);
}

/* Was it told, it hears the end, wherever routes lead now. */
static bool is_for(const struct broker *b, const struct receiver *r, struct weir_alert *a)
{
    const struct weir_config_alerts *conf = &b->config->alerts;
    size_t bit = (size_t)(r - b->alerts->receiver);
    bool found = conf->n_routes == 0 || !a->firing;
    for (size_t i = 0; i < conf->n_routes && !found; i++) {
        found = (conf->route[i].receivers >> bit & 1u) != 0 && route_takes(&conf->route[i], a);
    }
    return found;
}

static bool is_manager(const struct receiver *r)
{
    return r->conf->kind == WEIR_RECEIVER_ALERTMANAGER;
}

typedef WEIR_VEC(const struct weir_alert *) alert_vec;

/*
 * The alerts of the next message: of the condition of the oldest that is ripe, all that are due. Alertmanager does
 * its own grouping: it gets all in turn.
 */
static void collect(struct broker *b, struct receiver *r, alert_vec *ret)
{
    struct weir_wall now = weir_engine_now(b->engine);
    const struct weir_config_alerts *conf = &b->config->alerts;
    struct weir_alert_due due = {.receiver = r->conf->name, .now = now, .repeat = conf->repeat, .now_ms = broker_ms(b)};
    const struct weir_alert *ripe = NULL;
    if (is_manager(r)) {
        due.repeat = (struct weir_dur){0};
        due.refresh_ms = REFRESH_MS;
    }
    const struct weir_alert_book *book = &b->alerts->book;
    for (size_t i = 0; i < book->alerts.n && ripe == NULL; i++) {
        struct weir_alert *a = book->alerts.p[i];
        if (!a->changed && is_for(b, r, a) && weir_alert_is_due(a, &due) && weir_wall_sub(now, a->since).us >= conf->group_wait.us) {
            ripe = a;
        }
    }
    due.refresh_ms /= 2; /* those that will soon be due go along */
    for (size_t i = 0; ripe != NULL && i < book->alerts.n && !(is_manager(r) && ret->n == ALERTS_BATCH_MAX); i++) {
        struct weir_alert *a = book->alerts.p[i];
        if (!a->changed && (is_manager(r) || a->condition == ripe->condition) && is_for(b, r, a) && weir_alert_is_due(a, &due)) {
            weir_vec_push(ret, a);
        }
    }
}

/* ---- sending ---- */

static uint64_t message_id(const struct receiver *r, const alert_vec *list)
{
    uint64_t h = weir_hash_bytes(r->conf->name, strlen(r->conf->name));
    for (size_t i = 0; i < list->n; i++) {
        const uint64_t part[4] = {h, list->p[i]->id, list->p[i]->firing, (uint64_t)list->p[i]->since.us};
        h = weir_hash_bytes(part, sizeof part);
    }
    return h;
}

/* HMAC over the moment and the body, so that what somebody caught cannot be sent again later. */
static void sign(const struct receiver *r, struct weir_wall now, struct weir_sv body, char *buf, size_t size)
{
    struct weir_str text = WEIR_STR_INIT(body.n + 64);
    char hex[WEIR_SHA256_HEX_SIZE];
    weir_str_addf(&text, "%" PRId64 ".", now.us / WEIR_US_PER_S);
    weir_str_add(&text, body.p, body.n);
    weir_hmac_sha256_hex(weir_sv_of(r->conf->secret), weir_str_sv(&text), hex);
    (void)snprintf(buf, size, "t=%" PRId64 ",v1=%s", now.us / WEIR_US_PER_S, hex);
    weir_str_release(&text);
}

static int post(struct broker *b, const struct receiver *r, struct weir_sv body, struct weir_wall now, weir_http_fn *done, void *ctx)
{
    char url[URL_BYTES_MAX];
    char signature[128] = "";
    struct weir_http_header header[2] = {{"Content-Type", "application/json"}};
    size_t n = 1;
    struct weir_sv base = weir_sv_of(r->conf->url);
    while (is_manager(r) && base.n > 0 && base.p[base.n - 1] == '/') {
        base.n--;
    }
    (void)snprintf(url, sizeof url, "%.*s%s", WEIR_SV_ARG(base), is_manager(r) ? "/api/v2/alerts" : "");
    if (r->conf->kind == WEIR_RECEIVER_WEBHOOK && r->conf->secret != NULL) {
        int rc = weir_gnutls_init(NULL);
        if (rc != 0) {
            return rc;
        }
        sign(r, now, body, signature, sizeof signature);
        header[n++] = (struct weir_http_header){"X-Weir-Signature", signature};
    }
    const struct weir_http_call call = {.method = "POST", .url = url, .header = header, .n_headers = n, .body = body, .bearer = r->conf->token,
                                        .ca_pem = r->conf->ca_pem, .timeout_ms = TIMEOUT_MS, .reply_bytes_max = REPLY_BYTES_MAX};
    return b->alerts->http->ops->send(b->alerts->http, &call, done, ctx, NULL);
}

static int mail(struct broker *b, const struct receiver *r, struct weir_sv text, weir_http_fn *done, void *ctx)
{
    const struct weir_config_receiver *c = r->conf;
    const char *to[WEIR_CONFIG_MAIL_TO_MAX];
    for (size_t i = 0; i < c->n_to; i++) {
        to[i] = c->to[i];
    }
    const struct weir_mail m = {.url = c->url, .user = c->user, .password = c->secret, .from = c->from, .to = to, .n_to = c->n_to,
                                .message = text, .allow_plain = c->allow_plain, .ca_pem = c->ca_pem, .timeout_ms = TIMEOUT_MS};
    return weir_mail_send(b->alerts->http, &m, done, ctx, NULL);
}

static int send_message(struct broker *b, struct receiver *r, const struct alert_message *m, weir_http_fn *done)
{
    if (b->alerts->http == NULL) {
        b->alerts->http = weir_http_new(&b->loop);
    }
    struct weir_str text = WEIR_STR_INIT(0);
    switch (r->conf->kind) {
    case WEIR_RECEIVER_WEBHOOK:
        text = alert_text_webhook(m);
        break;
    case WEIR_RECEIVER_SLACK:
        text = alert_text_slack(m);
        break;
    case WEIR_RECEIVER_ALERTMANAGER:
        text = alert_text_alertmanager(m, weir_dur_s(m->is_test ? 60 : LIVE_S));
        break;
    case WEIR_RECEIVER_MAIL:
        text = alert_text_mail(m);
        break;
    case WEIR_RECEIVER_KIND_MAX:
        WEIR_UNREACHABLE();
    }
    int rc = r->conf->kind == WEIR_RECEIVER_MAIL ? mail(b, r, weir_str_sv(&text), done, r) : post(b, r, weir_str_sv(&text), m->now, done, r);
    weir_str_release(&text);
    return rc;
}

/* What went wrong, for a person; an address may be a secret (Slack's is), so its path is not shown. */
static void explain(const struct receiver *r, const struct weir_http_reply *reply, char *buf, size_t size)
{
    if (reply->status != 0) {
        (void)snprintf(buf, size, "it answered %d", reply->status);
        return;
    }
    const char *why = strstr(reply->text, ": ");
    struct weir_sv url = weir_sv_of(r->conf->url);
    const char *host = strstr(r->conf->url, "://") + 3;
    size_t host_n = strcspn(host, "/?#");
    (void)snprintf(buf, size, "%.*s: %s", (int)(host - url.p) + (int)host_n, url.p, why == NULL ? weir_error_text(reply->code) : why + 2);
}

static bool has_arrived(const struct weir_http_reply *reply)
{
    return reply->code == 0 && reply->status >= 200 && reply->status < 300;
}

static void note(struct broker *b, struct receiver *r, const struct weir_http_reply *reply)
{
    bool ok = has_arrived(reply);
    r->at = weir_engine_now(b->engine);
    r->n_sent += ok ? 1 : 0;
    r->n_failed += ok ? 0 : 1;
    if (ok) {
        r->error[0] = '\0';
        return;
    }
    bool first = r->error[0] == '\0';
    explain(r, reply, r->error, sizeof r->error);
    if (first) {
        weir_log(WEIR_LOG_WARNING, "alerts.receiver", "receiver=%s text=\"%s\" remedy=\"it is tried again, at longer and longer intervals\"", r->conf->name,
                 r->error);
    }
}

/* After the first failure a few seconds, then twice as long each time; never before the receiver wants it. */
static uint64_t backoff_ms(const struct receiver *r, long retry_after_s)
{
    uint64_t ms = RETRY_MS_MIN;
    for (uint32_t i = 1; i < r->failures && ms < RETRY_MS_MAX; i++) {
        ms *= 2;
    }
    ms = ms > RETRY_MS_MAX ? RETRY_MS_MAX : ms;
    uint64_t asked = retry_after_s > 0 ? (uint64_t)retry_after_s * 1000 : 0;
    asked = asked > RETRY_MS_MAX ? RETRY_MS_MAX : asked;
    return asked > ms ? asked : ms;
}

static void on_sent(void *ctx, const struct weir_http_reply *reply)
{
    struct receiver *r = ctx;
    struct broker *b = r->b;
    struct weir_alert_book *book = &b->alerts->book;
    bool ok = has_arrived(reply);
    uint64_t now_ms = broker_ms(b);
    r->busy = false;
    note(b, r, reply);
    r->failures = ok ? 0 : r->failures + 1;
    r->due_ms = ok ? now_ms : now_ms + backoff_ms(r, reply->retry_after_s);
    for (size_t i = 0; i < r->under_way.n; i++) {
        const struct alert_sent *s = &r->under_way.p[i];
        struct weir_alert *a = weir_alert_book_find(book, s->id);
        if (a == NULL) {
            continue;
        }
        struct weir_alert_told *t = weir_alert_told_to(a, r->conf->name);
        bool news = !t->known || t->firing != s->firing || t->since.us != s->since.us || !is_manager(r);
        if (ok) {
            uint32_t attempts = t->attempts;
            (void)snprintf(t->receiver, sizeof t->receiver, "%s", r->conf->name);
            t->known = true;
            t->firing = s->firing;
            t->since = s->since;
            t->at = r->at;
            t->sent_ms = now_ms;
            t->attempts = 0;
            news |= attempts > 0;
        } else {
            t->attempts++;
        }
        if (news) {
            weir_alert_book_touch(book, a);
        }
    }
    weir_vec_clear(&r->under_way);
}

static struct alert_message message(const struct broker *b, const struct receiver *r)
{
    bool wide = r->conf->kind == WEIR_RECEIVER_WEBHOOK;
    return (struct alert_message){.receiver = r->conf, .shown_max = wide ? ALERTS_SHOWN_MAX : ALERTS_LINES_MAX, .owner = b->owner,
                                  .url = b->public_url, .now = weir_engine_now(b->engine)};
}

static void tell(struct broker *b, struct receiver *r)
{
    alert_vec list = {0};
    collect(b, r, &list);
    r->due_ms = broker_ms(b) + LOOK_MS;
    if (list.n > 0) {
        struct alert_message m = message(b, r);
        m.alert = list.p;
        m.n = list.n;
        m.id = message_id(r, &list);
        for (size_t i = 0; i < list.n; i++) {
            const struct weir_alert *a = list.p[i];
            weir_vec_push(&r->under_way, (struct alert_sent){a->id, a->firing, a->since});
        }
        r->busy = true;
        int rc = send_message(b, r, &m, on_sent);
        if (rc != 0) {
            struct weir_http_reply reply = {.code = rc, .retry_after_s = -1};
            on_sent(r, &reply);
        }
    }
    weir_vec_release(&list);
}

void alerts_send(struct broker *b)
{
    uint64_t now = broker_ms(b);
    for (size_t i = 0; i < b->alerts->n_receivers; i++) {
        struct receiver *r = &b->alerts->receiver[i];
        if (!r->busy && now >= r->due_ms) {
            tell(b, r);
        }
    }
}

/* ---- the test ---- */

static void on_test(void *ctx, const struct weir_http_reply *reply)
{
    struct receiver *r = ctx;
    struct broker *b = r->b;
    struct weir_command *cmd = r->test;
    r->test = NULL;
    note(b, r, reply);
    if (has_arrived(reply)) {
        r->due_ms = 0; /* it is there again: what waits for it goes now */
        commands_finish(b, cmd, 0);
    } else {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_EUNAVAIL, "receiver '%s': %s: look at alerts.receivers.%s in the configuration", r->conf->name, r->error, r->conf->name));
    }
    broker_wake(b);
}

void alerts_test(struct broker *b, struct weir_command *cmd)
{
    struct receiver *r = NULL;
    for (size_t i = 0; i < b->alerts->n_receivers && r == NULL; i++) {
        r = weir_streq(b->alerts->receiver[i].conf->name, cmd->u.alert.receiver) ? &b->alerts->receiver[i] : NULL;
    }
    if (r == NULL) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_ENOTFOUND, "receiver '%s' is not configured: see alerts.receivers in the configuration", cmd->u.alert.receiver));
        return;
    }
    if (r->test != NULL) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_ECONFLICT, "receiver '%s' is being tested: wait for that", r->conf->name));
        return;
    }
    char key[] = "test";
    char none[] = "";
    char text[] = "this is a test: nothing is wrong";
    struct weir_alert a = {.condition = WEIR_ALERT_NODE_LOST, .key = key, .project = none, .text = text, .firing = true};
    const struct weir_alert *list[] = {&a};
    struct alert_message m = message(b, r);
    a.began = a.since = m.now;
    m.alert = list;
    m.n = 1;
    m.is_test = true;
    m.id = weir_hash_bytes(&m.now, sizeof m.now);
    r->test = cmd;
    int rc = send_message(b, r, &m, on_test);
    if (rc != 0) {
        struct weir_http_reply reply = {.code = rc, .retry_after_s = -1};
        on_test(r, &reply);
    }
}
