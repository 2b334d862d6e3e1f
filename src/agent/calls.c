/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/uri.h"

enum {
    CALL_TIMEOUT_MS = 30000,
    SYNC_SLACK_MS = 15000,   /* over the wait that was asked for */
    LOG_CHUNK_BYTES = 256 * 1024, /* below the protocol's limit: this is what sits in memory */
    REPORT_BYTES_MAX = 4 << 20,
    JOIN_BYTES_MAX = 8 << 20,
    SMALL_REPLY_BYTES_MAX = 64 * 1024,
};

/* Calls for a certificate are of type JOINED: one goes before a join, the other feeds no event. */
enum purpose { PLAIN, CERTIFY, RENEW };

struct call {
    struct agent *agent;
    struct call *before; /* in the list of calls under way */
    struct call *after;
    uint64_t id;
    uint64_t generation;
    struct weir_run_id run;
    enum weir_agent_event_type type;
    enum purpose purpose;
    char text[320];
};

static void link_call(struct agent *a, struct call *c)
{
    c->after = a->calls;
    if (a->calls != NULL) {
        a->calls->before = c;
    }
    a->calls = c;
}

static void unlink_call(struct call *c)
{
    if (c->before != NULL) {
        c->before->after = c->after;
    } else {
        c->agent->calls = c->after;
    }
    if (c->after != NULL) {
        c->after->before = c->before;
    }
}

void agent_calls_cancel(struct agent *a, bool only_sync)
{
    struct call *next;
    for (struct call *c = a->calls; c != NULL; c = next) {
        next = c->after;
        if (!only_sync || c->type == WEIR_AGENT_EV_SYNCED) {
            a->http->ops->cancel(a->http, c->id);
            unlink_call(c);
            free(c);
        }
    }
}

/* 2xx OK; what a repeat cannot mend REFUSED; all else may be better later. */
static enum weir_agent_answer classify(struct call *c, const struct weir_http_reply *r)
{
    char message[256], code[32];
    if (r->code != 0) {
        (void)snprintf(c->text, sizeof c->text, "%s", r->text);
        return WEIR_AGENT_AWAY;
    }
    if (r->status >= 200 && r->status < 300) {
        return WEIR_AGENT_OK;
    }
    weir_agent_read_error(r->body, message, sizeof message, code, sizeof code);
    (void)snprintf(c->text, sizeof c->text, "%d %s", r->status, message);
    bool is_log = c->type == WEIR_AGENT_EV_LOGGED;
    switch (r->status) {
    case 409:
        return weir_streq(code, "version") ? WEIR_AGENT_VERSION : WEIR_AGENT_REJOIN;
    case 404:
        return is_log ? WEIR_AGENT_REFUSED : WEIR_AGENT_REJOIN;
    case 401:
    case 403:
        return is_log ? WEIR_AGENT_AWAY : WEIR_AGENT_REFUSED;
    case 408:
    case 429:
        return WEIR_AGENT_AWAY;
    default:
        return r->status >= 500 ? WEIR_AGENT_AWAY : WEIR_AGENT_REFUSED;
    }
}

/* A certificate: the join can follow. Else the join has failed, as this did. */
static void on_certificate(struct call *c, const struct weir_http_reply *reply)
{
    struct agent *a = c->agent;
    struct weir_err err = {0};
    struct weir_agent_event e = {.type = WEIR_AGENT_EV_JOINED, .generation = c->generation, .answer = classify(c, reply)};
    if (e.answer == WEIR_AGENT_OK && agent_certificate_take(a, reply->body, &err) < 0) {
        e.answer = WEIR_AGENT_AWAY;
        (void)snprintf(c->text, sizeof c->text, "%.300s", err.text);
    }
    e.text = c->text;
    if (c->purpose == RENEW && e.answer != WEIR_AGENT_OK) {
        agent_certificate_failed(a, c->text);
    } else if (c->purpose == CERTIFY && e.answer == WEIR_AGENT_OK) {
        agent_call_join(a);
    } else if (c->purpose == CERTIFY) {
        if (e.answer == WEIR_AGENT_REFUSED) {
            agent_certificate_refused(a);
        }
        agent_feed(a, &e);
    }
    free(c);
}

static void on_answer(void *ctx, const struct weir_http_reply *reply)
{
    struct call *c = ctx;
    struct agent *a = c->agent;
    struct weir_agent_answer_body body = {0};
    struct weir_err err = {0};
    struct weir_agent_event e = {.type = c->type, .run = c->run, .generation = c->generation};
    unlink_call(c); /* what follows may cancel calls, but not this one any more */
    if (c->purpose != PLAIN) {
        on_certificate(c, reply);
        return;
    }
    e.answer = classify(c, reply);
    if (c->type == WEIR_AGENT_EV_LOGGED && reply->code == 0 && (reply->status / 100 == 2 || reply->status == 409)) {
        e.has_size = weir_agent_read_size(reply->body, &e.size);
        e.answer = e.has_size ? WEIR_AGENT_OK : e.answer == WEIR_AGENT_OK ? WEIR_AGENT_AWAY : e.answer;
    } else if (e.answer == WEIR_AGENT_OK && c->type != WEIR_AGENT_EV_REPORTED) {
        int rc = c->type == WEIR_AGENT_EV_JOINED ? weir_agent_read_join(reply->body, &body, &err)
                                                 : weir_agent_read_sync(reply->body, &body, &err);
        if (rc < 0) {
            e.answer = rc == -WEIR_EVERSION ? WEIR_AGENT_VERSION : WEIR_AGENT_REFUSED;
            (void)snprintf(c->text, sizeof c->text, "%.300s", err.text);
        }
        e.node = body.node;
        e.session = body.session;
        e.lease_expires = body.lease_expires;
        e.report_every = body.report_every;
        e.command = body.command;
        e.n_commands = body.n_commands;
    }
    if (c->type == WEIR_AGENT_EV_JOINED && e.answer == WEIR_AGENT_REFUSED) {
        agent_certificate_refused(a);
    }
    e.text = c->text;
    agent_feed(a, &e);
    weir_agent_answer_free(&body);
    free(c);
}

/* An answer that this side makes up; it comes through the queue like any other. */
static void fail_call(struct agent *a, enum weir_agent_event_type type, struct weir_run_id run, enum weir_agent_answer answer, const char *text)
{
    const struct weir_agent_event e = {
        .type = type, .run = run, .generation = a->state.generation, .answer = answer, .text = text};
    agent_feed(a, &e);
}

static void send_for(struct agent *a, enum weir_agent_event_type type, enum purpose purpose, struct weir_run_id run, const char *path, struct weir_sv body,
                     unsigned timeout_ms)
{
    static const struct weir_http_header json = {"Content-Type", "application/json"};
    static const struct weir_http_header bytes = {"Content-Type", "application/octet-stream"};
    char url[2048];
    bool small = type == WEIR_AGENT_EV_REPORTED || type == WEIR_AGENT_EV_LOGGED;
    if (a->exiting) {
        return;
    }
    int n = snprintf(url, sizeof url, "%s%s", a->url, path);
    struct call *c = weir_alloc(sizeof *c);
    *c = (struct call){.agent = a, .generation = a->state.generation, .run = run, .type = type, .purpose = purpose};
    struct weir_http_call call = {.method = "POST",
                                        .url = url,
                                        .header = type == WEIR_AGENT_EV_LOGGED ? &bytes : &json,
                                        .n_headers = 1,
                                        .body = body,
                                        .ca_pem = a->conf->ca_pem,
                                        .timeout_ms = timeout_ms,
                                        .reply_bytes_max = small ? SMALL_REPLY_BYTES_MAX : WEIR_AGENT_REPLY_BYTES_MAX};
    if (purpose == CERTIFY) {
        call.bearer = a->conf->token;
    } else {
        agent_certificate_show(a, &call);
    }
    link_call(a, c);
    int rc = n < 0 || (size_t)n >= sizeof url ? -WEIR_EINVAL : a->http->ops->send(a->http, &call, on_answer, c, &c->id);
    if (rc < 0) {
        unlink_call(c);
        free(c);
        fail_call(a, type, run, WEIR_AGENT_AWAY, weir_error_text(rc));
    }
}

static void send_call(struct agent *a, enum weir_agent_event_type type, struct weir_run_id run, const char *path, struct weir_sv body, unsigned timeout_ms)
{
    send_for(a, type, PLAIN, run, path, body, timeout_ms);
}

static const struct weir_run_id no_run = {0};

static int ask_certificate(struct agent *a, enum purpose purpose, struct weir_err *err)
{
    struct weir_str body = WEIR_STR_INIT(JOIN_BYTES_MAX);
    int r = agent_certificate_request(a, &body, err);
    if (r == 0) {
        send_for(a, WEIR_AGENT_EV_JOINED, purpose, no_run, "/v1/agent/certificate", weir_str_sv(&body), CALL_TIMEOUT_MS);
    }
    weir_str_release(&body);
    return r;
}

void agent_call_renew(struct agent *a)
{
    struct weir_err err;
    agent_certificate_asked(a);
    if (ask_certificate(a, RENEW, &err) < 0) {
        agent_certificate_failed(a, err.text);
    }
}

void agent_call_join(struct agent *a)
{
    struct weir_err err;
    if (agent_certificate_is_wanted(a)) {
        if (ask_certificate(a, CERTIFY, &err) < 0) {
            fail_call(a, WEIR_AGENT_EV_JOINED, no_run, WEIR_AGENT_AWAY, err.text);
        }
        return;
    }
    struct weir_str body = WEIR_STR_INIT(JOIN_BYTES_MAX);
    weir_agent_write_join(&a->state, &a->self, &body);
    send_call(a, WEIR_AGENT_EV_JOINED, no_run, "/v1/agent/join", weir_str_sv(&body), CALL_TIMEOUT_MS);
    weir_str_release(&body);
}

void agent_call_sync(struct agent *a, uint64_t ack, int wait_ms)
{
    weir_str_clear(&a->body);
    weir_agent_write_sync(&a->state, ack, wait_ms, &a->body);
    send_call(a, WEIR_AGENT_EV_SYNCED, no_run, "/v1/agent/sync", weir_str_sv(&a->body), (unsigned)wait_ms + SYNC_SLACK_MS);
}

void agent_call_report(struct agent *a)
{
    struct weir_str body = WEIR_STR_INIT(REPORT_BYTES_MAX);
    weir_agent_write_report(&a->state, weir_clock_wall(a->clock), &body);
    send_call(a, WEIR_AGENT_EV_REPORTED, no_run, "/v1/agent/report", weir_str_sv(&body), CALL_TIMEOUT_MS);
    weir_str_release(&body);
}

void agent_call_log(struct agent *a, const struct weir_agent_effect *f)
{
    char dir[WEIR_PATH_SIZE], path[WEIR_PATH_SIZE];
    if (!agent_run_dir(a, f->run, dir) || !weir_path_join(path, dir, "log")) {
        fail_call(a, WEIR_AGENT_EV_LOGGED, f->run, WEIR_AGENT_REFUSED, "path too long");
        return;
    }
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    WEIR_CLEANUP(weir_freep) char *bytes = weir_alloc(LOG_CHUNK_BYTES);
    ssize_t n = fd < 0 ? -1 : pread(fd, bytes, LOG_CHUNK_BYTES, (off_t)f->offset);
    if (n <= 0) {
        fail_call(a, WEIR_AGENT_EV_LOGGED, f->run, WEIR_AGENT_REFUSED, "the log file is gone or shorter than it was");
        return;
    }
    struct weir_str query = WEIR_STR_INIT(1024);
    weir_str_addf(&query,
                  "/v1/agent/log?node=%llu&job=%llu&ordinal=%u&attempt=%u&rank=%u&offset=%llu&session=",
                  (unsigned long long)a->state.node,
                  (unsigned long long)f->run.task.job.v,
                  f->run.task.ordinal,
                  f->run.attempt,
                  f->rank,
                  (unsigned long long)f->offset);
    /* session and ticket are the broker's own text: what would not go into a URL as it stands is escaped */
    weir_uri_encode(&query, weir_sv_of(a->state.session));
    if (f->ticket[0] != '\0') {
        weir_str_adds(&query, "&ticket=");
        weir_uri_encode(&query, weir_sv_of(f->ticket));
    }
    send_call(a, WEIR_AGENT_EV_LOGGED, f->run, weir_str_cstr(&query), (struct weir_sv){bytes, (size_t)n}, CALL_TIMEOUT_MS);
    weir_str_release(&query);
}
