/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts_book.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

static const char *const condition_names[WEIR_ALERT_CONDITION_MAX] = {
    [WEIR_ALERT_BUDGET_THRESHOLD] = "budget-threshold",
    [WEIR_ALERT_BUDGET_FORECAST] = "budget-forecast",
    [WEIR_ALERT_BUDGET_RUN_OUT] = "budget-run-out",
    [WEIR_ALERT_PRICE_DRIFT] = "price-drift",
    [WEIR_ALERT_LEAK_SUSPECT] = "leak-suspect",
    [WEIR_ALERT_RECONCILIATION] = "reconciliation",
    [WEIR_ALERT_NODE_LOST] = "node-lost",
    [WEIR_ALERT_NODE_UNFIT] = "node-unfit",
    [WEIR_ALERT_QUEUE_WAIT] = "queue-wait",
    [WEIR_ALERT_LEDGER_CHECK] = "ledger-check",
    [WEIR_ALERT_QUOTA_THRESHOLD] = "quota-threshold",
    [WEIR_ALERT_LINK_DOWN] = "link-down",
};
static const char *const severity_names[WEIR_ALERT_SEVERITY_MAX] = {"warning", "critical"};

const char *weir_alert_condition_name(enum weir_alert_condition c)
{
    return condition_names[c];
}

const char *weir_alert_severity_name(enum weir_alert_severity s)
{
    return severity_names[s];
}

/* ---- finding ---- */

/* Its index; SIZE_MAX where absent, and then *ret_hash is where it would be put. */
static size_t find_key(const struct weir_alert_book *b, const char *key, uint64_t *ret_hash)
{
    uint64_t hash = weir_hash_bytes(key, strlen(key));
    uint64_t at;
    for (; weir_map_get(&b->by_key, hash, &at); hash++) {
        if (weir_streq(b->alerts.p[at]->key, key)) {
            return (size_t)at;
        }
    }
    *ret_hash = hash;
    return SIZE_MAX;
}

struct weir_alert *weir_alert_book_find(struct weir_alert_book *b, uint64_t id)
{
    size_t lo = 0;
    size_t hi = b->alerts.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (b->alerts.p[mid]->id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < b->alerts.n && b->alerts.p[lo]->id == id ? b->alerts.p[lo] : NULL;
}

void weir_alert_book_touch(struct weir_alert_book *b, struct weir_alert *a)
{
    b->n_changed += a->changed ? 0 : 1;
    a->changed = true;
}

/* ---- making and removing ---- */

static void alert_free(struct weir_alert *a)
{
    free(a->key);
    free(a->project);
    free(a->text);
    weir_vec_release(&a->told);
    free(a);
}

void weir_alert_book_release(struct weir_alert_book *b)
{
    for (size_t i = 0; i < b->alerts.n; i++) {
        alert_free(b->alerts.p[i]);
    }
    weir_vec_release(&b->alerts);
    weir_map_release(&b->by_key);
}

static void reindex(struct weir_alert_book *b)
{
    weir_map_release(&b->by_key);
    for (size_t i = 0; i < b->alerts.n; i++) {
        uint64_t hash = 0;
        if (find_key(b, b->alerts.p[i]->key, &hash) == SIZE_MAX) {
            weir_map_put(&b->by_key, hash, i);
        }
    }
}

void weir_alert_book_forget(struct weir_alert_book *b, struct weir_wall before, void (*gone)(void *ctx, const struct weir_alert *a), void *ctx)
{
    size_t n = 0;
    for (size_t i = 0; i < b->alerts.n; i++) {
        struct weir_alert *a = b->alerts.p[i];
        if (a->firing || a->since.us >= before.us || a->id == b->last_id) {
            b->alerts.p[n++] = a;
            continue;
        }
        b->n_changed -= a->changed ? 1 : 0;
        gone(ctx, a);
        alert_free(a);
    }
    if (n < b->alerts.n) {
        b->alerts.n = n;
        reindex(b);
    }
}

static void set_text(char **to, const char *text, size_t size)
{
    if (*to == NULL || strncmp(*to, text, size - 1) != 0 || strlen(*to) != strnlen(text, size - 1)) {
        free(*to);
        *to = weir_strndup(text, strnlen(text, size - 1));
    }
}

/* ---- what watchers see ---- */

uint64_t weir_alert_book_begin(struct weir_alert_book *b)
{
    return ++b->round;
}

static struct weir_alert *add(struct weir_alert_book *b, const char *key, uint64_t hash)
{
    struct weir_alert *a = weir_alloc(sizeof *a);
    a->id = ++b->last_id;
    a->key = weir_strdup(key);
    weir_map_put(&b->by_key, hash, b->alerts.n);
    weir_vec_push(&b->alerts, a);
    return a;
}

bool weir_alert_book_see(struct weir_alert_book *b, const struct weir_alert_sight *s, struct weir_wall now)
{
    char key[WEIR_ALERT_KEY_SIZE];
    uint64_t hash = 0;
    (void)snprintf(key, sizeof key, "%s", s->key);
    size_t at = find_key(b, key, &hash);
    if (at == SIZE_MAX && b->alerts.n >= WEIR_ALERTS_MAX) {
        b->dropped++;
        return false;
    }
    struct weir_alert *a = at == SIZE_MAX ? add(b, key, hash) : b->alerts.p[at];
    bool begins = !a->firing;
    a->round = b->round;
    if (begins || s->step > a->step) {
        a->firing = true;
        a->since = now;
        a->acked_by[0] = '\0';
        a->acked = (struct weir_wall){0};
        weir_alert_book_touch(b, a);
    }
    if (begins) {
        a->began = now;
        a->times++;
    }
    if (a->step != s->step || a->severity != s->severity || a->condition != s->condition) {
        a->step = s->step;
        a->severity = s->severity;
        a->condition = s->condition;
        weir_alert_book_touch(b, a);
    }
    set_text(&a->text, s->text, WEIR_ALERT_TEXT_SIZE);
    set_text(&a->project, s->project, WEIR_ALERT_KEY_SIZE);
    return true;
}

static void resolve(struct weir_alert_book *b, struct weir_alert *a, struct weir_wall now)
{
    a->firing = false;
    a->since = now;
    a->step = 0;
    weir_alert_book_touch(b, a);
}

void weir_alert_book_end(struct weir_alert_book *b, enum weir_alert_condition c, const char *prefix, uint64_t round, struct weir_wall now)
{
    struct weir_sv begin = weir_sv_of(prefix);
    for (size_t i = 0; i < b->alerts.n; i++) {
        struct weir_alert *a = b->alerts.p[i];
        if (a->firing && a->condition == c && a->round < round && weir_sv_starts(weir_sv_of(a->key), begin)) {
            resolve(b, a, now);
        }
    }
}

void weir_alert_book_clear(struct weir_alert_book *b, const char *key, struct weir_wall now)
{
    uint64_t hash;
    size_t at = find_key(b, key, &hash);
    if (at != SIZE_MAX && b->alerts.p[at]->firing) {
        resolve(b, b->alerts.p[at], now);
    }
}

bool weir_alert_book_fires(const struct weir_alert_book *b, const char *key)
{
    uint64_t hash;
    size_t at = find_key(b, key, &hash);
    return at != SIZE_MAX && b->alerts.p[at]->firing;
}

/* ---- who is to be told ---- */

struct weir_alert_told *weir_alert_told_to(struct weir_alert *a, const char *receiver)
{
    for (size_t i = 0; i < a->told.n; i++) {
        if (weir_streq(a->told.p[i].receiver, receiver)) {
            return &a->told.p[i];
        }
    }
    struct weir_alert_told t = {{0}};
    (void)snprintf(t.receiver, sizeof t.receiver, "%s", receiver);
    weir_vec_push(&a->told, t);
    return &a->told.p[a->told.n - 1];
}

bool weir_alert_is_silenced(const struct weir_alert *a, struct weir_wall now)
{
    return a->silenced_until.us > now.us;
}

bool weir_alert_is_due(const struct weir_alert *a, const struct weir_alert_due *d)
{
    const struct weir_alert_told *t = NULL;
    for (size_t i = 0; i < a->told.n && t == NULL; i++) {
        t = weir_streq(a->told.p[i].receiver, d->receiver) ? &a->told.p[i] : NULL;
    }
    bool told = t != NULL && t->known;
    if (!a->firing) {
        return told && t->firing; /* who was never told that it fires need not hear that it is over */
    }
    if (told && t->firing && d->refresh_ms != 0 && (t->sent_ms == 0 || d->now_ms - t->sent_ms >= d->refresh_ms)) {
        return true;
    }
    if (weir_alert_is_silenced(a, d->now)) {
        return false;
    }
    if (!told || !t->firing || t->since.us != a->since.us) {
        return true;
    }
    return d->repeat.us > 0 && a->acked.us == 0 && weir_wall_sub(d->now, t->at).us >= d->repeat.us;
}

/* ---- stored ---- */

struct weir_str weir_alert_to_json(const struct weir_alert *a)
{
    struct weir_str s = WEIR_STR_INIT(64 * 1024);
    struct weir_json j = weir_json_begin(&s);
    weir_json_object(&j);
    weir_json_kv_u64(&j, "id", a->id);
    weir_json_kv_cstr(&j, "condition", weir_alert_condition_name(a->condition));
    weir_json_kv_cstr(&j, "severity", weir_alert_severity_name(a->severity));
    weir_json_kv_cstr(&j, "key", a->key);
    weir_json_kv_cstr(&j, "project", a->project);
    weir_json_kv_cstr(&j, "text", a->text);
    weir_json_kv_u64(&j, "step", a->step);
    weir_json_kv_bool(&j, "firing", a->firing);
    weir_json_kv_u64(&j, "times", a->times);
    weir_json_kv_i64(&j, "began_us", a->began.us);
    weir_json_kv_i64(&j, "since_us", a->since.us);
    weir_json_kv_cstr(&j, "acked_by", a->acked_by);
    weir_json_kv_i64(&j, "acked_us", a->acked.us);
    weir_json_kv_cstr(&j, "silenced_by", a->silenced_by);
    weir_json_kv_i64(&j, "silenced_until_us", a->silenced_until.us);
    weir_json_key(&j, "told");
    weir_json_array(&j);
    for (size_t i = 0; i < a->told.n; i++) {
        const struct weir_alert_told *t = &a->told.p[i];
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "receiver", t->receiver);
        weir_json_kv_bool(&j, "known", t->known);
        weir_json_kv_bool(&j, "firing", t->firing);
        weir_json_kv_i64(&j, "since_us", t->since.us);
        weir_json_kv_i64(&j, "at_us", t->at.us);
        weir_json_kv_u64(&j, "attempts", t->attempts);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    weir_json_end(&j);
    return s;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s == NULL ? "" : s;
}

static int64_t number_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static unsigned word_of(const json_t *o, const char *key, const char *const *names, unsigned n)
{
    unsigned i = 0;
    while (i < n && !weir_streq(names[i], text_of(o, key))) {
        i++;
    }
    return i;
}

static void restore_told(struct weir_alert *a, const json_t *list)
{
    size_t i;
    json_t *o;
    json_array_foreach(list, i, o)
    {
        struct weir_alert_told t = {.known = json_is_true(json_object_get(o, "known")),
                                    .firing = json_is_true(json_object_get(o, "firing")),
                                    .since = {number_of(o, "since_us")},
                                    .at = {number_of(o, "at_us")},
                                    .attempts = (uint32_t)number_of(o, "attempts")};
        (void)snprintf(t.receiver, sizeof t.receiver, "%s", text_of(o, "receiver"));
        weir_vec_push(&a->told, t);
    }
}

int weir_alert_book_restore(struct weir_alert_book *b, const char *json, struct weir_err *err)
{
    json_t *o = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    unsigned condition = word_of(o, "condition", condition_names, WEIR_ALERT_CONDITION_MAX);
    unsigned severity = word_of(o, "severity", severity_names, WEIR_ALERT_SEVERITY_MAX);
    uint64_t id = (uint64_t)number_of(o, "id");
    uint64_t hash = 0;
    const char *key = text_of(o, "key");
    if (id <= b->last_id || condition == WEIR_ALERT_CONDITION_MAX || severity == WEIR_ALERT_SEVERITY_MAX || find_key(b, key, &hash) != SIZE_MAX) {
        json_decref(o);
        return weir_fail(err, -WEIR_ECORRUPT, "alert %llu of the store is not well-formed", (unsigned long long)id);
    }
    b->last_id = id - 1;
    struct weir_alert *a = add(b, key, hash);
    a->condition = (enum weir_alert_condition)condition;
    a->severity = (enum weir_alert_severity)severity;
    a->project = weir_strdup(text_of(o, "project"));
    a->text = weir_strdup(text_of(o, "text"));
    a->step = (uint32_t)number_of(o, "step");
    a->firing = json_is_true(json_object_get(o, "firing"));
    a->times = (uint32_t)number_of(o, "times");
    a->began.us = number_of(o, "began_us");
    a->since.us = number_of(o, "since_us");
    a->acked.us = number_of(o, "acked_us");
    a->silenced_until.us = number_of(o, "silenced_until_us");
    (void)snprintf(a->acked_by, sizeof a->acked_by, "%s", text_of(o, "acked_by"));
    (void)snprintf(a->silenced_by, sizeof a->silenced_by, "%s", text_of(o, "silenced_by"));
    restore_told(a, json_object_get(o, "told"));
    json_decref(o);
    return 0;
}
