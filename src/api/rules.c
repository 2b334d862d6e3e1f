/* SPDX-License-Identifier: Apache-2.0 */

/* Rules of prices and rates of currencies: data, each in force from a moment until another. None is ever changed. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/rule.h"
#include "base/currency.h"
#include "base/mem.h"
#include "base/parse.h"

enum { RULE_BODY_BYTES_MAX = 8192, GPUS_MAX = 1000000 };

static const char *const classes[] = {"on_demand", "spot", "reserved", "owned"};
_Static_assert(WEIR_ARRAY_LEN(classes) == API_RULE_CLASSES, "one word per class");

const char *api_rule_kind_word(unsigned i)
{
    return weir_rule_kind_name((enum weir_rule_kind)i);
}

const char *api_rule_class_word(unsigned i)
{
    return classes[i];
}

/* ---- what a rule says ---- */

static const char *text_of(const json_t *body, const char *key)
{
    return json_string_value(json_object_get(body, key));
}

static int read_amount(const json_t *body, const char *key, int places, int64_t *ret, struct weir_err *err)
{
    const char *text = text_of(body, key);
    int r = text == NULL ? 0 : weir_parse_decimal(weir_sv_of(text), places, ret, err);
    if (r < 0) {
        return weir_fail_prefix(err, r, "%s", key);
    }
    return *ret < 0 ? weir_fail(err, -WEIR_EINVAL, "%s: it must not be below 0", key) : 0;
}

static int read_name(const json_t *body, const char *key, char *ret, size_t size, struct weir_err *err)
{
    const char *text = text_of(body, key);
    if (text != NULL && (text[0] == '\0' || strlen(text) >= size || !weir_utf8_is_text(weir_sv_of(text)))) {
        return weir_fail(err, -WEIR_EINVAL, "%s: a name of 1 to %zu bytes", key, size - 1);
    }
    (void)snprintf(ret, size, "%s", text == NULL ? "" : text);
    return 0;
}

static int read_selectors(const json_t *body, struct api_rule *r, struct weir_err *err)
{
    const char *class = text_of(body, "class");
    int rc = read_name(body, "project", r->project, sizeof r->project, err);
    rc = rc < 0 ? rc : read_name(body, "user", r->user, sizeof r->user, err);
    rc = rc < 0 ? rc : read_name(body, "pool", r->pool, sizeof r->pool, err);
    rc = rc < 0 ? rc : read_name(body, "gpu", r->gpu, sizeof r->gpu, err);
    rc = rc < 0 ? rc : read_name(body, "tag", r->tag, sizeof r->tag, err);
    if (rc == 0 && r->tag[0] != '\0' && (strchr(r->tag, '=') == NULL || r->tag[0] == '=')) {
        rc = weir_fail(err, -WEIR_EINVAL, "tag: '%.40s' is not KEY=VALUE", r->tag);
    }
    r->class = API_RULE_CLASSES;
    for (unsigned i = 0; i < API_RULE_CLASSES; i++) {
        r->class = class != NULL && weir_streq(class, classes[i]) ? i : r->class;
    }
    if (rc == 0 && class != NULL && r->class == API_RULE_CLASSES) {
        rc = weir_fail(err, -WEIR_EINVAL, "class: '%.20s' is none of on_demand, spot, reserved, owned", class);
    }
    return rc;
}

/* Which keys say what the rule does, and which of what it is; the rest do not belong to that kind. */
static const struct {
    const char *needs; /* for messages */
    const char *keys[10];
} forms[WEIR_RULE_MAX] = {
    [WEIR_RULE_PRICE] = {"per_gpu_hour", {"per_gpu_hour", "project", "user", "tag", "pool", "gpu", "class"}},
    [WEIR_RULE_MARKUP] = {"percent", {"percent", "project", "user", "tag", "pool", "gpu", "class"}},
    [WEIR_RULE_DISCOUNT] = {"percent (up to 100) or per_gpu_hour", {"percent", "per_gpu_hour", "project", "user", "tag", "pool", "gpu", "class"}},
    [WEIR_RULE_SPREAD] = {"by (use or weight)", {"by", "pool", "gpu", "class"}},
    [WEIR_RULE_COMMITMENT] = {"per_hour", {"per_hour", "gpus", "project", "user", "tag", "pool", "gpu", "class"}},
    [WEIR_RULE_EXCHANGE] = {"currency and rate", {"currency", "rate"}},
};

static bool is_complete(const json_t *body, const struct api_rule *r)
{
    const struct weir_rule *w = &r->rule;
    bool percent = json_object_get(body, "percent") != NULL;
    bool per_gpu_hour = json_object_get(body, "per_gpu_hour") != NULL;
    switch (w->kind) {
    case WEIR_RULE_PRICE:
        return per_gpu_hour;
    case WEIR_RULE_MARKUP:
        return w->percent_micro > 0;
    case WEIR_RULE_DISCOUNT:
        return percent != per_gpu_hour && (percent ? w->percent_micro > 0 && w->percent_micro <= 100000000 : w->micro_per_hour > 0);
    case WEIR_RULE_SPREAD:
        return json_object_get(body, "by") != NULL;
    case WEIR_RULE_COMMITMENT:
        return w->micro_per_hour > 0;
    case WEIR_RULE_EXCHANGE:
        return strlen(r->currency) == 3 && r->rate_nano > 0;
    case WEIR_RULE_MAX:
        break;
    }
    return false;
}

static int check_keys(const json_t *body, enum weir_rule_kind kind, struct weir_err *err)
{
    static const char *const others[] = {"kind", "from", "until"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < WEIR_ARRAY_LEN(others); i++) {
            known |= weir_streq(key, others[i]);
        }
        for (const char *const *k = forms[kind].keys; *k != NULL; k++) {
            known |= weir_streq(key, *k);
        }
        if (!known) {
            return weir_fail(err, -WEIR_EINVAL, "%s: a rule of kind %s has no such key", key, weir_rule_kind_name(kind));
        }
    }
    return 0;
}

int api_rule_read(const json_t *body, const char *kind, struct api_rule *ret, struct weir_err *err)
{
    struct api_rule r = {.rule = {.kind = weir_rule_kind_find(kind)}};
    const char *by = text_of(body, "by");
    const char *currency = text_of(body, "currency");
    json_int_t gpus = json_integer_value(json_object_get(body, "gpus"));
    if (r.rule.kind == WEIR_RULE_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "kind: '%.20s' is none of price, markup, discount, spread, commitment, exchange", kind);
    }
    int rc = check_keys(body, r.rule.kind, err);
    rc = rc < 0 ? rc : read_amount(body, "percent", 6, &r.rule.percent_micro, err);
    rc = rc < 0 ? rc : read_amount(body, "per_gpu_hour", 6, &r.rule.micro_per_hour, err);
    rc = rc < 0 || text_of(body, "per_hour") == NULL ? rc : read_amount(body, "per_hour", 6, &r.rule.micro_per_hour, err);
    rc = rc < 0 ? rc : read_amount(body, "rate", 9, &r.rate_nano, err);
    rc = rc < 0 ? rc : read_selectors(body, &r, err);
    if (rc == 0 && by != NULL && !weir_streq(by, "use") && !weir_streq(by, "weight")) {
        rc = weir_fail(err, -WEIR_EINVAL, "by: '%.20s' is neither use nor weight", by);
    }
    if (rc == 0 && (r.rule.percent_micro > INT64_C(100000000000) || r.rule.micro_per_hour > INT64_C(1000000000000) || gpus > GPUS_MAX)) {
        rc = weir_fail(err, -WEIR_ELIMIT, "at most 100000 percent, 1000000 for an hour, %d GPUs", GPUS_MAX);
    }
    if (rc < 0) {
        return rc;
    }
    r.rule.by_weight = weir_streq(by == NULL ? "" : by, "weight");
    r.rule.gpus = gpus > 0 ? (uint32_t)gpus : 0;
    (void)snprintf(r.currency, sizeof r.currency, "%.*s", currency == NULL ? 0 : 4, currency == NULL ? "" : currency);
    if (r.rule.kind == WEIR_RULE_EXCHANGE && json_object_get(body, "rate") != NULL && r.rate_nano == 0) {
        return weir_fail(err, -WEIR_EINVAL, "rate: it must be above 0: what a unit of the currency is in the ledger's");
    }
    if (!is_complete(body, &r)) {
        return weir_fail(err, -WEIR_EINVAL, "a rule of kind %s needs %s", kind, forms[r.rule.kind].needs);
    }
    *ret = r;
    return 0;
}

/* ---- showing ---- */

static int rule_json(struct weir_json *j, const struct weir_rule_row *row, const char *currency, struct weir_err *err)
{
    json_t *body = json_loads(row->body, JSON_REJECT_DUPLICATES, NULL);
    if (body == NULL) {
        return weir_fail(err, -WEIR_ECORRUPT, "rule '%s': what was stored of it is damaged", row->name);
    }
    weir_json_object(j);
    weir_json_kv_u64(j, "id", row->id);
    weir_json_kv_cstr(j, "name", row->name);
    weir_json_kv_cstr(j, "kind", row->kind);
    weir_json_kv_time(j, "from", row->from);
    weir_json_kv_time(j, "until", row->until);
    weir_json_kv_time(j, "made", row->at);
    weir_json_kv_cstr(j, "user", row->who);
    weir_json_kv_cstr(j, "currency", currency);
    weir_json_key(j, "rule");
    WEIR_CLEANUP(weir_freep) char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    weir_json_raw(j, weir_sv_of(text));
    weir_json_end(j);
    json_decref(body);
    return 0;
}

struct rule_page {
    struct weir_json j;
    const char *only; /* NULL: all */
    const char *currency;
    uint64_t cursor;
    uint64_t limit;
    uint64_t n;
    uint64_t last;
    bool more;
    struct weir_err *err;
};

static int on_rule(void *ctx, const struct weir_rule_row *row)
{
    struct rule_page *p = ctx;
    if (row->id <= p->cursor || (p->only != NULL && !weir_streq(p->only, row->name))) {
        return 0;
    }
    if (p->n == p->limit) {
        p->more = true;
        return 1;
    }
    p->last = row->id;
    p->n++;
    return rule_json(&p->j, row, p->currency, p->err);
}

void api_handle_rules(struct api_request *rq)
{
    unsigned which;
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct rule_page p = {.j = weir_json_begin(&out),
                          .currency = rq->api->conf.currency,
                          .cursor = api_number(rq, "cursor", 0),
                          .limit = api_number(rq, "limit", API_LIST_LIMIT),
                          .err = &rq->err};
    struct weir_store *s = api_reader_take(rq->api, &which);
    weir_json_object(&p.j);
    weir_json_key(&p.j, "items");
    weir_json_array(&p.j);
    int rc = s->ops->each_rule(s, on_rule, &p, &rq->err);
    api_reader_put(rq->api, which);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    api_list_end(&p.j, p.more, p.last);
    api_reply(rq->http, 200, &out);
}

/* On the lane: the rule as it is now. */
static void rule_finish(struct api_call *call)
{
    unsigned which;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(65536);
    struct rule_page p = {.j = weir_json_begin(&out), .only = call->name, .currency = call->api->conf.currency, .limit = 1, .err = &err};
    struct weir_store *s = api_reader_take(call->api, &which);
    int rc = s->ops->each_rule(s, on_rule, &p, &err);
    api_reader_put(call->api, which);
    if (rc == 0 && p.n == 0) {
        rc = weir_fail(&err, -WEIR_ENOTFOUND, "rule '%s' does not exist", call->name);
    }
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    api_reply(call->http, 200, &out);
}

/* ---- adding and ending ---- */

static int read_time(const json_t *body, const char *key, struct weir_wall *ret, struct weir_err *err)
{
    const char *text = text_of(body, key);
    int r = text == NULL ? 0 : weir_parse_time(weir_sv_of(text), ret, err);
    return r < 0 ? weir_fail_prefix(err, r, "%s", key) : 0;
}

/* Amounts may name the ledger's currency, and no other; they are stored without it. */
static int read_money(json_t *body, const char *key, const char *ledger, struct weir_err *err)
{
    const char *text = text_of(body, key);
    if (text == NULL) {
        return 0;
    }
    char plain[WEIR_MONEY_SIZE];
    int64_t micro = 0;
    int r = weir_parse_money_in(weir_sv_of(text), ledger, &micro, err);
    if (r < 0) {
        return weir_fail_prefix(err, r, "%s", key);
    }
    if (strspn(text, "0123456789.") != strlen(text)) {
        size_t n = strlen(weir_money_format(micro, plain)); /* with all six places */
        while (plain[n - 1] == '0' && plain[n - 3] != '.') {
            n--;
        }
        (void)json_object_set_new(body, key, json_stringn(plain, n));
    }
    return 0;
}

/* Of a rule of kind exchange: what is stored may be older than the list of codes. */
static int check_currency(const char *code, const char *ledger, struct weir_err *err)
{
    if (weir_streq(code, ledger)) {
        return weir_fail(err, -WEIR_EINVAL, "currency: %s is the ledger's own; a rate says what a unit of another currency is in it", code);
    }
    if (!weir_currency_is_known(code)) {
        return weir_fail(err, -WEIR_EINVAL, "currency: '%.8s' is no code of ISO 4217, like EUR (in capitals)", code);
    }
    return 0;
}

static int read_rule(struct api_call *call, struct weir_err *err)
{
    struct api_rule rule;
    struct weir_rule_row *row = &call->cmd.u.rule.row;
    const char *kind = text_of(call->body, "kind");
    const char *ledger = call->api->conf.currency;
    int rc = read_money(call->body, "per_gpu_hour", ledger, err);
    rc = rc < 0 ? rc : read_money(call->body, "per_hour", ledger, err);
    rc = rc < 0 ? rc : api_rule_read(call->body, kind, &rule, err);
    if (rc == 0 && rule.rule.kind == WEIR_RULE_EXCHANGE) {
        rc = check_currency(rule.currency, ledger, err);
    }
    row->from = weir_clock_wall(call->api->conf.clock);
    rc = rc < 0 ? rc : read_time(call->body, "from", &row->from, err);
    rc = rc < 0 ? rc : read_time(call->body, "until", &row->until, err);
    if (rc == 0 && row->until.us != 0 && row->until.us <= row->from.us) {
        rc = weir_fail(err, -WEIR_EINVAL, "until is not after from");
    }
    if (rc < 0) {
        return rc;
    }
    row->kind = weir_rule_kind_name(rule.rule.kind);
    static const char *const beside[] = {"kind", "from", "until"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(beside); i++) {
        (void)json_object_del(call->body, beside[i]);
    }
    call->data = json_dumps(call->body, JSON_COMPACT | JSON_SORT_KEYS);
    row->body = call->data;
    return strlen(row->body) > RULE_BODY_BYTES_MAX ? weir_fail(err, -WEIR_ELIMIT, "a rule has at most %d bytes", RULE_BODY_BYTES_MAX) : 0;
}

static struct api_call *rule_call(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_RULE);
    (void)snprintf(call->name, sizeof call->name, "%s", rq->path[0].text);
    call->cmd.u.rule.row.name = call->name;
    call->cmd.u.rule.row.who = call->who.user;
    call->finish = rule_finish;
    call->body = api_body(rq);
    return call;
}

void api_handle_rule_add(struct api_request *rq)
{
    struct api_call *call = rule_call(rq);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("RuleAdd"), call->body, &rq->err);
    if (rc == 0 && !weir_utf8_is_text(weir_sv_of(call->name))) {
        rc = weir_fail(&rq->err, -WEIR_EINVAL, "a rule's name is text");
    }
    api_call_post_or_fail(rq, call, rc < 0 ? rc : read_rule(call, &rq->err));
}

void api_handle_rule_end(struct api_request *rq)
{
    struct api_call *call = rule_call(rq);
    call->cmd.u.rule.end = true;
    call->cmd.u.rule.row.until = weir_clock_wall(rq->api->conf.clock);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("RuleEnd"), call->body, &rq->err);
    api_call_post_or_fail(rq, call, rc < 0 ? rc : read_time(call->body, "at", &call->cmd.u.rule.row.until, &rq->err));
}
