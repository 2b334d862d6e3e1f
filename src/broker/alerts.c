/* SPDX-License-Identifier: Apache-2.0 */

/* Alerts: the book in the store, and what the API asks of it, on the deciding thread. */

#include <inttypes.h>
#include <stdio.h>

#include "alerts_priv.h"

enum { FORGET_MS = 60000 };

static const char kind[] = "alert"; /* of their documents */

static void document_name(const struct weir_alert *a, char *buf, size_t size)
{
    (void)snprintf(buf, size, "%020" PRIu64, a->id); /* so that the order of names is that of ids */
}

static int on_document(void *ctx, const struct weir_document_row *row)
{
    struct broker *b = ctx;
    struct weir_err err;
    if (weir_alert_book_restore(&b->alerts->book, row->json, &err) != 0) {
        weir_log(WEIR_LOG_WARNING, "alerts.restore", "text=\"%s\" remedy=\"what is still so fires anew\"", err.text);
    }
    return 0;
}

int alerts_init(struct broker *b, struct weir_err *err)
{
    struct alerts *x = b->alerts = weir_alloc(sizeof *x);
    const struct weir_config_alerts *conf = &b->config->alerts;
    for (size_t i = 0; i < conf->n_receivers; i++) {
        x->receiver[x->n_receivers++] = (struct receiver){.b = b, .conf = &conf->receiver[i]};
    }
    return b->store->ops->each_document(b->store, kind, on_document, b, err);
}

/* What waits for a receiver is answered. */
void alerts_end(struct broker *b)
{
    for (size_t i = 0; i < b->alerts->n_receivers; i++) {
        struct weir_command *cmd = b->alerts->receiver[i].test;
        b->alerts->receiver[i].test = NULL;
        if (cmd != NULL) {
            cmd->code = weir_fail(&cmd->err, -WEIR_EUNAVAIL, "the broker is stopping: ask again");
            cmd->done(cmd);
        }
    }
}

void alerts_free(struct broker *b)
{
    struct alerts *x = b->alerts;
    if (x == NULL) {
        return;
    }
    if (x->http != NULL) {
        x->http->ops->free(x->http); /* nothing comes back any more */
    }
    for (size_t i = 0; i < x->n_receivers; i++) {
        weir_vec_release(&x->receiver[i].under_way);
    }
    weir_alert_book_release(&x->book);
    weir_map_release(&x->waiting);
    weir_vec_release(&x->waits);
    free(x);
    b->alerts = NULL;
}

static void forget(void *ctx, const struct weir_alert *a)
{
    struct broker *b = ctx;
    char name[32];
    document_name(a, name, sizeof name);
    weir_engine_delete_document(b->engine, kind, name);
}

static void store(struct broker *b)
{
    struct weir_alert_book *book = &b->alerts->book;
    for (size_t i = 0; i < book->alerts.n && book->n_changed > 0; i++) {
        struct weir_alert *a = book->alerts.p[i];
        if (!a->changed) {
            continue;
        }
        char name[32];
        struct weir_str json = weir_alert_to_json(a);
        document_name(a, name, sizeof name);
        weir_engine_put_document(b->engine, &(struct weir_document_row){kind, name, weir_str_cstr(&json)});
        weir_str_release(&json);
        a->changed = false;
        book->n_changed--;
    }
}

/* What changed is gathered here and stored by the flush that follows; it is told to receivers in a later turn. */
void alerts_tick(struct broker *b)
{
    uint64_t now = broker_ms(b);
    if (!b->store_full && !weir_engine_is_dirty(b->engine)) {
        alerts_send(b);
    }
    alerts_watch(b);
    if (now >= b->alerts->forget_due_ms) {
        struct weir_wall before = {weir_i64_sub_sat(weir_engine_now(b->engine).us, b->config->alerts.keep.us)};
        weir_alert_book_forget(&b->alerts->book, before, forget, b);
        b->alerts->forget_due_ms = now + FORGET_MS;
    }
    store(b);
}

/* How receivers fare; why one fails is not for everybody. */
static void show_receivers(struct broker *b, struct weir_command *cmd)
{
    struct weir_json j = weir_json_begin(&cmd->reply);
    weir_json_object(&j);
    weir_json_key(&j, "items");
    weir_json_array(&j);
    uint64_t n = b->alerts->n_receivers;
    uint64_t at = cmd->u.alert.cursor < n ? cmd->u.alert.cursor : n;
    uint64_t end = n - at > cmd->u.alert.limit ? at + cmd->u.alert.limit : n;
    for (uint64_t i = at; i < end; i++) {
        const struct receiver *r = &b->alerts->receiver[i];
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "name", r->conf->name);
        weir_json_kv_cstr(&j, "kind", weir_receiver_kind_name(r->conf->kind));
        weir_json_kv_u64(&j, "sent", r->n_sent);
        weir_json_kv_u64(&j, "failed", r->n_failed);
        weir_json_kv_time(&j, "at", r->at);
        weir_json_kv_cstr(&j, "error", r->error[0] == '\0' ? NULL : r->error);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    weir_json_key(&j, "next");
    if (end < n) {
        char next[24];
        (void)snprintf(next, sizeof next, "%" PRIu64, end);
        weir_json_cstr(&j, next);
    } else {
        weir_json_null(&j);
    }
    weir_json_end(&j);
    commands_finish(b, cmd, 0);
}

/* ---- what people do ---- */

static void audit(struct broker *b, const struct weir_command *cmd, const char *action, const struct weir_alert *a, struct weir_str *before)
{
    char object[WEIR_ALERT_KEY_SIZE + 32];
    struct weir_str after = weir_alert_to_json(a);
    (void)snprintf(object, sizeof object, "alert %" PRIu64 " %s", a->id, a->key);
    access_audit(b, cmd, action, object, weir_str_cstr(before), weir_str_cstr(&after));
    weir_str_release(&after);
}

static int change(struct broker *b, struct weir_command *cmd, struct weir_alert *a)
{
    const char *user = cmd->who == NULL ? "" : cmd->who->user;
    struct weir_wall now = weir_engine_now(b->engine);
    switch (cmd->u.alert.op) {
    case WEIR_ALERT_OP_ACK:
        if (!a->firing) {
            return weir_fail(&cmd->err, -WEIR_ECONFLICT, "alert %" PRIu64 " does not fire: there is nothing to acknowledge", a->id);
        }
        (void)snprintf(a->acked_by, sizeof a->acked_by, "%s", user);
        a->acked = now;
        return 0;
    case WEIR_ALERT_OP_SILENCE:
        (void)snprintf(a->silenced_by, sizeof a->silenced_by, "%s", user);
        a->silenced_until = weir_engine_inside(b->engine, cmd->u.alert.until);
        return 0;
    case WEIR_ALERT_OP_CLOSE:
        weir_alert_book_clear(&b->alerts->book, a->key, now);
        return 0;
    case WEIR_ALERT_OP_TEST:
    case WEIR_ALERT_OP_RECEIVERS:
        break;
    }
    WEIR_UNREACHABLE();
}

void alerts_change(struct broker *b, struct weir_command *cmd)
{
    static const char *const actions[] = {"alert.ack", "alert.silence", "alert.close"};
    if (cmd->u.alert.op == WEIR_ALERT_OP_TEST) {
        alerts_test(b, cmd);
        return;
    }
    if (cmd->u.alert.op == WEIR_ALERT_OP_RECEIVERS) {
        show_receivers(b, cmd);
        return;
    }
    struct weir_alert *a = weir_alert_book_find(&b->alerts->book, cmd->u.alert.id);
    if (a == NULL) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_ENOTFOUND, "alert %" PRIu64 " is not known: see 'weir alerts --all'", cmd->u.alert.id));
        return;
    }
    struct weir_str before = weir_alert_to_json(a);
    int r = change(b, cmd, a);
    if (r == 0) {
        weir_alert_book_touch(&b->alerts->book, a);
        audit(b, cmd, actions[cmd->u.alert.op], a, &before);
        store(b);
    }
    weir_str_release(&before);
    commands_finish(b, cmd, r);
}

/* What the API's own threads found. */
void alerts_found(struct broker *b, enum weir_finding what, const char *name, const char *wrong)
{
    static const struct {
        enum weir_alert_condition condition;
        enum weir_alert_severity severity;
    } kinds[] = {
        [WEIR_FINDING_LEDGER] = {WEIR_ALERT_LEDGER_CHECK, WEIR_ALERT_CRITICAL},
        [WEIR_FINDING_RECONCILIATION] = {WEIR_ALERT_RECONCILIATION, WEIR_ALERT_WARNING},
        [WEIR_FINDING_LEAK] = {WEIR_ALERT_LEAK_SUSPECT, WEIR_ALERT_CRITICAL},
    };
    char key[WEIR_ALERT_KEY_SIZE];
    (void)snprintf(key, sizeof key, "%s/%s", weir_alert_condition_name(kinds[what].condition), name);
    if (wrong != NULL) {
        alerts_see(b, kinds[what].condition, kinds[what].severity, key, "", wrong);
    } else {
        weir_alert_book_clear(&b->alerts->book, key, weir_engine_now(b->engine));
    }
    store(b);
}

void alerts_finding(struct broker *b, struct weir_command *cmd)
{
    alerts_found(b, (enum weir_finding)cmd->u.finding.kind, cmd->u.finding.name, cmd->u.finding.is_wrong ? cmd->u.finding.text : NULL);
    commands_finish(b, cmd, 0);
}

/* ---- for status and metrics ---- */

void alerts_status(struct broker *b, struct weir_json *j)
{
    uint64_t n[WEIR_ALERT_CONDITION_MAX] = {0};
    const struct weir_alert_book *book = &b->alerts->book;
    for (size_t i = 0; i < book->alerts.n; i++) {
        n[book->alerts.p[i]->condition] += book->alerts.p[i]->firing ? 1 : 0;
    }
    weir_json_key(j, "alerts");
    weir_json_object(j);
    weir_json_key(j, "firing");
    weir_json_object(j);
    for (unsigned c = 0; c < WEIR_ALERT_CONDITION_MAX; c++) {
        weir_json_kv_u64(j, weir_alert_condition_name((enum weir_alert_condition)c), n[c]);
    }
    weir_json_end(j);
    weir_json_kv_u64(j, "dropped", book->dropped);
    weir_json_key(j, "receivers");
    weir_json_array(j);
    for (size_t i = 0; i < b->alerts->n_receivers; i++) {
        const struct receiver *r = &b->alerts->receiver[i];
        weir_json_object(j);
        weir_json_kv_cstr(j, "name", r->conf->name);
        weir_json_kv_u64(j, "sent", r->n_sent);
        weir_json_kv_u64(j, "failed", r->n_failed);
        weir_json_end(j);
    }
    weir_json_end(j);
    weir_json_end(j);
}

bool alerts_are_taken(const struct broker *b)
{
    for (size_t i = 0; i < b->alerts->n_receivers; i++) {
        if (b->alerts->receiver[i].error[0] != '\0') {
            return false;
        }
    }
    return true;
}
