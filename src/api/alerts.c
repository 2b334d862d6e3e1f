/* SPDX-License-Identifier: Apache-2.0 */
/* Alerts as they are stored, and what people do about them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "base/parse.h"

const char *api_alert_state_word(unsigned i)
{
    static const char *const words[API_ALERT_STATES] = {"firing", "resolved"};
    return words[i];
}

/* ---- showing ---- */

struct alert_page {
    struct weir_json j;
    const struct api_request *rq; /* NULL: one alert, for who may see all */
    uint64_t after;
    uint64_t limit;
    uint64_t n;
    uint64_t last;
    bool more;
    uint64_t only; /* id; 0: a list */
    bool found;
};

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s == NULL ? "" : s;
}

static void time_of(struct weir_json *j, const char *key, const json_t *o, const char *from)
{
    weir_json_kv_time(j, key, (struct weir_wall){json_integer_value(json_object_get(o, from))});
}

static void text_or_null(struct weir_json *j, const char *key, const json_t *o, const char *from)
{
    const char *s = text_of(o, from);
    weir_json_kv_cstr(j, key, s[0] == '\0' ? NULL : s);
}

static void told_json(struct weir_json *j, const json_t *list)
{
    size_t i;
    json_t *t;
    weir_json_key(j, "told");
    weir_json_array(j);
    json_array_foreach(list, i, t)
    {
        bool known = json_is_true(json_object_get(t, "known"));
        weir_json_object(j);
        weir_json_kv_cstr(j, "receiver", text_of(t, "receiver"));
        weir_json_kv_cstr(j, "state", !known ? NULL : api_alert_state_word(json_is_true(json_object_get(t, "firing")) ? 0 : 1));
        time_of(j, "at", t, "at_us");
        weir_json_kv_u64(j, "attempts", (uint64_t)json_integer_value(json_object_get(t, "attempts")));
        weir_json_end(j);
    }
    weir_json_end(j);
}

static void alert_json(struct weir_json *j, const json_t *o, bool with_told)
{
    weir_json_object(j);
    weir_json_kv_u64(j, "id", (uint64_t)json_integer_value(json_object_get(o, "id")));
    weir_json_kv_cstr(j, "condition", text_of(o, "condition"));
    weir_json_kv_cstr(j, "severity", text_of(o, "severity"));
    weir_json_kv_cstr(j, "state", api_alert_state_word(json_is_true(json_object_get(o, "firing")) ? 0 : 1));
    weir_json_kv_cstr(j, "key", text_of(o, "key"));
    text_or_null(j, "project", o, "project");
    weir_json_kv_cstr(j, "text", text_of(o, "text"));
    time_of(j, "began", o, "began_us");
    time_of(j, "since", o, "since_us");
    weir_json_kv_u64(j, "times", (uint64_t)json_integer_value(json_object_get(o, "times")));
    text_or_null(j, "acknowledged_by", o, "acked_by");
    time_of(j, "acknowledged", o, "acked_us");
    text_or_null(j, "silenced_by", o, "silenced_by");
    time_of(j, "silenced_until", o, "silenced_until_us");
    if (with_told) {
        told_json(j, json_object_get(o, "told"));
    }
    weir_json_end(j);
}

/* What belongs to a project is for its people too; the rest is for those who see all. */
static bool is_seen(const struct api_request *rq, const json_t *o)
{
    const char *project = text_of(o, "project");
    const char *wanted = api_text(rq, "project");
    const struct api_value *states = api_param(rq, "state");
    unsigned state = json_is_true(json_object_get(o, "firing")) ? 0 : 1;
    if ((states->is_given && (states->number >> state & 1u) == 0) || (wanted != NULL && !weir_streq(wanted, project))) {
        return false;
    }
    return rq->reach == API_REACH_ALL ||
           (project[0] != '\0' && weir_role_covers(weir_scope_role_by_name(rq->who.scope, weir_sv_of(project)), api_access[rq->route->role].needs));
}

static int on_alert(void *ctx, const struct weir_document_row *row)
{
    struct alert_page *p = ctx;
    uint64_t id = 0;
    if (weir_parse_u64(weir_sv_of(row->name), 1, INT64_MAX, &id, NULL) != 0 || id <= p->after || (p->only != 0 && id != p->only)) {
        return 0;
    }
    json_t *o = json_loads(row->json, 0, NULL);
    if (p->only != 0) {
        p->found = true;
        alert_json(&p->j, o, true);
    } else if (is_seen(p->rq, o)) {
        p->more = p->n == p->limit;
        if (!p->more) {
            p->n++;
            p->last = id;
            alert_json(&p->j, o, p->rq->reach == API_REACH_ALL);
        }
    }
    json_decref(o);
    return p->more || p->found ? 1 : 0;
}

void api_handle_alerts(struct api_request *rq)
{
    unsigned which;
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct alert_page p = {.j = weir_json_begin(&out), .rq = rq, .after = api_number(rq, "cursor", 0), .limit = api_number(rq, "limit", API_LIST_LIMIT)};
    weir_json_object(&p.j);
    weir_json_key(&p.j, "items");
    weir_json_array(&p.j);
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = s->ops->each_document(s, "alert", on_alert, &p, &rq->err);
    api_reader_put(rq->api, which);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    api_list_end(&p.j, p.more, p.last);
    api_reply(rq->http, 200, &out);
}

/* ---- acknowledging, silencing, closing ---- */

static void change_finish(struct api_call *call)
{
    unsigned which;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    struct alert_page p = {.j = weir_json_begin(&out), .only = call->cmd.u.alert.id};
    struct weir_store *s = api_reader_take(call->api, &which);
    int rc = s->ops->each_document(s, "alert", on_alert, &p, &err);
    api_reader_put(call->api, which);
    if (rc == 0 && !p.found) {
        rc = weir_fail(&err, -WEIR_ENOTFOUND, "alert %" PRIu64 " is not known", p.only);
    }
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    api_reply(call->http, 200, &out);
}

static struct api_call *change(struct api_request *rq, enum weir_alert_op op)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_ALERT);
    call->cmd.u.alert.op = op;
    call->cmd.u.alert.id = rq->path[0].number;
    call->finish = change_finish;
    return call;
}

void api_handle_alert_ack(struct api_request *rq)
{
    api_call_post(change(rq, WEIR_ALERT_OP_ACK));
}

void api_handle_alert_close(struct api_request *rq)
{
    api_call_post(change(rq, WEIR_ALERT_OP_CLOSE));
}

static int read_silence(struct api_call *call, struct weir_err *err)
{
    enum { DAYS_MAX = 366 };
    const char *span = json_string_value(json_object_get(call->body, "for"));
    struct weir_wall now = weir_clock_wall(call->api->conf.clock);
    struct weir_dur d = {0};
    int rc = weir_parse_duration(weir_sv_of(span), &d, err);
    if (rc == 0 && d.us > DAYS_MAX * WEIR_US_PER_DAY) {
        rc = weir_fail(err, -WEIR_EINVAL, "at most %d days", DAYS_MAX);
    }
    call->cmd.u.alert.until = d.us == 0 ? (struct weir_wall){0} : weir_wall_add(now, d);
    return rc < 0 ? weir_fail_prefix(err, rc, "for") : 0;
}

void api_handle_alert_silence(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ALERT_OP_SILENCE);
    call->body = api_body(rq);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("AlertSilence"), call->body, &rq->err);
    rc = rc < 0 ? rc : read_silence(call, &rq->err);
    api_call_post_or_fail(rq, call, rc);
}

/* ---- receivers ---- */

/* What the deciding thread wrote. */
static void receivers_finish(struct api_call *call)
{
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    weir_str_add(&out, weir_str_cstr(&call->cmd.reply), call->cmd.reply.n);
    api_reply(call->http, 200, &out);
}

void api_handle_receivers(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ALERT_OP_RECEIVERS);
    call->finish = receivers_finish;
    call->cmd.u.alert.cursor = api_number(rq, "cursor", 0);
    call->cmd.u.alert.limit = api_number(rq, "limit", API_LIST_LIMIT);
    api_call_post(call);
}

static void test_finish(struct api_call *call)
{
    struct weir_str out = WEIR_STR_INIT(1024);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "receiver", call->name);
    weir_json_kv_bool(&j, "taken", true);
    weir_json_end(&j);
    api_reply(call->http, 200, &out);
}

void api_handle_receiver_test(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ALERT_OP_TEST);
    (void)snprintf(call->name, sizeof call->name, "%s", rq->path[0].text);
    call->cmd.u.alert.receiver = call->name;
    call->finish = test_finish;
    api_call_post(call);
}

/* ---- what checks find ---- */

/* Whatever became of it, whoever asked for the check is answered. */
static void on_found(struct weir_command *cmd)
{
    api_call_defer((struct api_call *)cmd);
}

static void found_finish(struct api_call *call)
{
    api_reply(call->http, 200, &call->text);
}

void api_finding(const struct api_call *call, enum weir_finding kind, const char *name, const char *wrong, struct weir_str *reply)
{
    struct api_call *next = api_call_follow(call, WEIR_COMMAND_FINDING);
    next->cmd.u.finding.kind = kind;
    next->cmd.u.finding.is_wrong = wrong != NULL;
    (void)snprintf(next->cmd.u.finding.name, sizeof next->cmd.u.finding.name, "%s", name);
    (void)snprintf(next->cmd.u.finding.text, sizeof next->cmd.u.finding.text, "%s", wrong == NULL ? "" : wrong);
    next->cmd.done = on_found;
    next->finish = found_finish;
    next->text = *reply;
    *reply = WEIR_STR_INIT(0);
    api_call_post(next);
}
