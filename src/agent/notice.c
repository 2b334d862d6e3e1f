/* SPDX-License-Identifier: Apache-2.0 */
#include "notice.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "net/client.h"

enum { EVERY_MS = 5000, TIMEOUT_MS = 2000, REPLY_BYTES_MAX = 64 * 1024, TOKEN_SIZE = 256 };

#define GCE_NOTICE weir_dur_s(30) /* from the flag to the end */
#define TOKEN_PATH "/latest/api/token"

/* Reads an answer of status 200; 0: no notice. */
typedef struct weir_wall read_fn(struct weir_sv body, struct weir_wall now);

struct kind {
    const char *name;
    const char *base_url;
    const char *path;
    struct weir_http_header header; /* of EC2: its value is the token */
    read_fn *read;
    const char *env; /* variable that holds another base */
    const char *advice_path; /* is said in the log, and no more: a risk without a moment; NULL: none */
};

struct weir_notice {
    struct weir_notice_conf conf;
    const struct kind *kind;
    char base_url[256];
    uv_timer_t timer;
    uint64_t call; /* under way; 0: none */
    char token[TOKEN_SIZE]; /* EC2's; "": none yet */
    bool asks_advice;       /* the call under way */
    bool is_advised;
};

/* ---- what they say ---- */

static struct weir_wall time_of(const json_t *v)
{
    struct weir_wall t;
    const char *text = json_string_value(v);
    return text != NULL && weir_parse_time(weir_sv_of(text), &t, NULL) == 0 ? t : (struct weir_wall){0};
}

/* {"action": "terminate", "time": "2017-09-18T08:22:00Z"} */
static struct weir_wall read_ec2(struct weir_sv body, struct weir_wall now)
{
    json_t *j = json_loadb(body.p, body.n, 0, NULL);
    struct weir_wall at = time_of(json_object_get(j, "time"));
    if (at.us == 0 && json_string_value(json_object_get(j, "action")) != NULL) {
        at = now; /* it goes, whenever */
    }
    json_decref(j);
    return at;
}

static struct weir_wall read_gce(struct weir_sv body, struct weir_wall now)
{
    return weir_sv_eq(weir_sv_trim(body), WEIR_SV("TRUE")) ? weir_wall_add(now, GCE_NOTICE) : (struct weir_wall){0};
}

/* "Mon, 19 Sep 2016 18:29:47 GMT"; "" where it has begun. */
static struct weir_wall not_before(const json_t *event, struct weir_wall now)
{
    const char *text = json_string_value(json_object_get(event, "NotBefore"));
    struct weir_wall at = text == NULL ? (struct weir_wall){0} : weir_http_date(weir_sv_of(text));
    return at.us == 0 ? now : at;
}

static struct weir_wall read_azure(struct weir_sv body, struct weir_wall now)
{
    static const char *const ends[] = {"Preempt", "Terminate"};
    struct weir_wall at = {0};
    json_t *j = json_loadb(body.p, body.n, 0, NULL);
    size_t i;
    json_t *event;
    json_array_foreach(json_object_get(j, "Events"), i, event)
    {
        const char *type = json_string_value(json_object_get(event, "EventType"));
        for (size_t k = 0; type != NULL && k < WEIR_ARRAY_LEN(ends); k++) {
            if (weir_streq(type, ends[k])) {
                at = not_before(event, now);
            }
        }
    }
    json_decref(j);
    return at;
}

static const struct kind kinds[] = {
    {"ec2", "http://169.254.169.254", "/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token", NULL}, read_ec2,
     "AWS_EC2_METADATA_SERVICE_ENDPOINT", "/latest/meta-data/events/recommendations/rebalance"},
    {"gce", "http://169.254.169.254", "/computeMetadata/v1/instance/preempted", {"Metadata-Flavor", "Google"}, read_gce,
     "GCE_METADATA_HOST", NULL},
    {"azure", "http://169.254.169.254", "/metadata/scheduledevents?api-version=2020-07-01", {"Metadata", "true"}, read_azure,
     "AZURE_POD_IDENTITY_AUTHORITY_HOST", NULL},
};

const char *const weir_notice_kinds[] = {"ec2", "gce", "azure", NULL};

/* ---- asking ---- */

static void on_timer(uv_timer_t *t);

static void later(struct weir_notice *n)
{
    unsigned ms = n->conf.every_ms == 0 ? EVERY_MS : n->conf.every_ms;
    (void)uv_timer_start(&n->timer, on_timer, ms, 0);
}

static void send_call(struct weir_notice *n, const char *method, const char *path, const struct weir_http_header *h, weir_http_fn *done)
{
    char url[512];
    (void)snprintf(url, sizeof url, "%s%s", n->base_url, path);
    const struct weir_http_call call = {.method = method, .url = url, .header = h, .n_headers = 1, .timeout_ms = TIMEOUT_MS,
                                        .reply_bytes_max = REPLY_BYTES_MAX};
    if (n->conf.http->ops->send(n->conf.http, &call, done, n, &n->call) != 0) {
        n->call = 0;
        later(n);
    }
}

static void on_answer(void *ctx, const struct weir_http_reply *reply);

static void ask(struct weir_notice *n, bool advice)
{
    struct weir_http_header h = n->kind->header;
    h.value = h.value == NULL ? n->token : h.value;
    n->asks_advice = advice;
    send_call(n, "GET", advice ? n->kind->advice_path : n->kind->path, &h, on_answer);
}

static void on_answer(void *ctx, const struct weir_http_reply *reply)
{
    struct weir_notice *n = ctx;
    bool has_come = reply->code == 0 && reply->status == 200;
    n->call = 0;
    if (n->asks_advice) {
        if (has_come) {
            n->is_advised = true;
            weir_log(WEIR_LOG_NOTICE, "agent.rebalance", "text=\"the cloud says that this machine is likely to be taken back soon\"");
        }
        later(n);
        return;
    }
    struct weir_wall at = has_come ? n->kind->read(reply->body, weir_clock_wall(n->conf.clock)) : (struct weir_wall){0};
    if (at.us != 0) {
        n->conf.fn(n->conf.ctx, at); /* there is nothing more to ask for */
        return;
    }
    if (reply->status == 401) {
        n->token[0] = '\0'; /* it was good for so long */
    }
    if (reply->status == 404 && n->kind->advice_path != NULL && !n->is_advised) {
        ask(n, true);
    } else {
        later(n);
    }
}

static void on_token(void *ctx, const struct weir_http_reply *reply)
{
    struct weir_notice *n = ctx;
    struct weir_sv token = weir_sv_trim(reply->body);
    n->call = 0;
    if (reply->code != 0 || reply->status != 200 || token.n == 0 || token.n >= sizeof n->token) {
        later(n);
        return;
    }
    (void)snprintf(n->token, sizeof n->token, "%.*s", WEIR_SV_ARG(token));
    ask(n, false);
}

static void on_timer(uv_timer_t *t)
{
    struct weir_notice *n = t->data;
    if (n->kind->header.value == NULL && n->token[0] == '\0') {
        static const struct weir_http_header ttl = {"X-aws-ec2-metadata-token-ttl-seconds", "21600"};
        send_call(n, "PUT", TOKEN_PATH, &ttl, on_token);
    } else {
        ask(n, false);
    }
}

static const struct kind *find_kind(const char *name)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++) {
        if (weir_streq(kinds[i].name, name)) {
            return &kinds[i];
        }
    }
    return NULL;
}

const char *weir_notice_env(const char *kind)
{
    const struct kind *k = find_kind(kind);
    return k == NULL ? NULL : k->env;
}

int weir_notice_start(struct weir_notice **ret, const struct weir_notice_conf *conf, struct weir_err *err)
{
    const struct kind *kind = find_kind(conf->kind);
    if (kind == NULL) {
        const char *near = weir_nearest(weir_sv_of(conf->kind), weir_notice_kinds);
        return weir_fail(err, -WEIR_EINVAL, "notices of '%.32s' are not known%s%s%s; ec2, gce and azure are", conf->kind, near != NULL ? "; did you mean '" : "",
                         near != NULL ? near : "", near != NULL ? "'?" : "");
    }
    struct weir_notice *n = weir_alloc(sizeof *n);
    n->conf = *conf;
    n->kind = kind;
    const char *base = conf->base_url != NULL && conf->base_url[0] != '\0' ? conf->base_url : kind->base_url;
    (void)snprintf(n->base_url, sizeof n->base_url, "%s%s", strstr(base, "://") == NULL ? "http://" : "", base); /* Google's is a host only */
    size_t end = strlen(n->base_url);
    if (end > 0 && n->base_url[end - 1] == '/') {
        n->base_url[end - 1] = '\0';
    }
    (void)uv_timer_init(conf->loop, &n->timer);
    n->timer.data = n;
    (void)uv_timer_start(&n->timer, on_timer, 0, 0);
    *ret = n;
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

void weir_notice_stop(struct weir_notice *n)
{
    if (n != NULL) {
        if (n->call != 0) {
            n->conf.http->ops->cancel(n->conf.http, n->call);
        }
        uv_close((uv_handle_t *)&n->timer, on_closed);
    }
}
