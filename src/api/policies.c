/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: the rows, setting them, and what they say of a job and a place. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "spec/policy.h"

struct rows {
    const char *currency;
    WEIR_VEC(struct weir_policy_row) row;
};

static int on_row(void *ctx, const struct weir_document_row *doc)
{
    struct rows *x = ctx;
    struct weir_policy_row row;
    json_t *o = json_loads(doc->json, 0, NULL);
    if (weir_policy_read(o, doc->name, x->currency, &row, NULL) == 0) {
        weir_vec_push(&x->row, row);
    }
    json_decref(o);
    return 0;
}

/* All rows in the order in which they are asked. */
static int load(struct weir_api *a, struct rows *x, struct weir_err *err)
{
    unsigned which;
    struct weir_store *s = api_reader_take(a, &which);
    x->currency = a->conf.currency;
    int rc = s->ops->each_document(s, "policy", on_row, x, err);
    api_reader_put(a, which);
    weir_policy_sort(x->row.p, x->row.n);
    return rc;
}

static const struct weir_policy_row *find(const struct rows *x, const char *name)
{
    for (size_t i = 0; i < x->row.n; i++) {
        if (weir_streq(x->row.p[i].name, name)) {
            return &x->row.p[i];
        }
    }
    return NULL;
}

/* ---- showing ---- */

void api_handle_policies(struct api_request *rq)
{
    struct rows x = {0};
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct weir_json j = weir_json_begin(&out);
    uint64_t skip = api_number(rq, "cursor", 0);
    uint64_t limit = api_number(rq, "limit", API_LIST_LIMIT);
    int rc = load(rq->api, &x, &rq->err);
    weir_json_object(&j);
    weir_json_key(&j, "items");
    weir_json_array(&j);
    for (uint64_t i = skip; i < x.row.n && i - skip < limit; i++) {
        weir_policy_write(&x.row.p[i], &j);
    }
    api_list_end(&j, x.row.n > skip && x.row.n - skip > limit, skip + limit);
    weir_vec_release(&x.row);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    api_reply(rq->http, 200, &out);
}

static void show(struct weir_api *a, struct weir_http_request *http, const char *name)
{
    struct rows x = {0};
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(65536);
    struct weir_json j = weir_json_begin(&out);
    int rc = load(a, &x, &err);
    const struct weir_policy_row *row = rc == 0 ? find(&x, name) : NULL;
    if (rc == 0 && row == NULL) {
        rc = weir_fail(&err, -WEIR_ENOTFOUND, "policy '%s' does not exist", name);
    }
    if (rc < 0) {
        api_fail(http, rc, &err);
    } else {
        weir_policy_write(row, &j);
        api_reply(http, 200, &out);
    }
    weir_str_release(&out);
    weir_vec_release(&x.row);
}

void api_handle_policy(struct api_request *rq)
{
    show(rq->api, rq->http, rq->path[0].text);
}

/* ---- setting ---- */

static void set_finish(struct api_call *call)
{
    show(call->api, call->http, call->name);
}

void api_handle_policy_set(struct api_request *rq)
{
    struct api_call *call = api_named_call(rq, WEIR_COMMAND_POLICY_SET, set_finish);
    struct weir_policy_row *row = weir_alloc(sizeof *row);
    call->data = row;
    call->cmd.u.policy.name = call->name;
    call->cmd.u.policy.row = row;
    call->body = api_body(rq);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("PolicySet"), call->body, &rq->err);
    rc = rc < 0 ? rc : weir_policy_read(call->body, call->name, rq->api->conf.currency, row, &rq->err);
    api_call_post_or_fail(rq, call, rc);
}

void api_handle_policy_remove(struct api_request *rq)
{
    struct api_call *call = api_named_call(rq, WEIR_COMMAND_POLICY_REMOVE, api_removed_finish);
    call->cmd.u.policy.name = call->name;
    api_call_post(call);
}

/* ---- what they say ---- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s == NULL ? "" : s;
}

struct question {
    struct weir_policy_subject subject;
    struct weir_policy_facts facts;
    struct weir_pair tag;
    char tag_text[2 * WEIR_SPEC_NAME_MAX + 2];
};

static int read_question(const json_t *body, const char *currency, struct weir_wall now, struct question *ret, struct weir_err *err)
{
    const char *duration = text_of(body, "max_duration");
    const char *price = text_of(body, "price");
    const char *project = text_of(body, "project");
    json_int_t nodes = json_integer_value(json_object_get(body, "nodes"));
    *ret = (struct question){.subject = {.project = project[0] == '\0' ? "default" : project, .user = text_of(body, "user"), .image = text_of(body, "image"),
                                         .nodes = nodes < 1 ? 1 : nodes > UINT32_MAX ? UINT32_MAX : (uint32_t)nodes, .now = now},
                             .facts = {.provider = text_of(body, "provider"), .region = text_of(body, "region"), .gpu = text_of(body, "gpu"),
                                       .spot = json_is_true(json_object_get(body, "spot"))}};
    ret->facts.rented = ret->facts.provider[0] != '\0';
    (void)snprintf(ret->tag_text, sizeof ret->tag_text, "%s", text_of(body, "tag"));
    char *equals = strchr(ret->tag_text, '=');
    if (ret->tag_text[0] != '\0' && equals == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "tag: it is KEY=VALUE");
    }
    if (equals != NULL) {
        *equals = '\0';
        ret->tag = (struct weir_pair){ret->tag_text, equals + 1};
        ret->subject.tags = &ret->tag;
        ret->subject.n_tags = 1;
    }
    int rc = duration[0] == '\0' ? 0 : weir_parse_duration(weir_sv_of(duration), &ret->subject.max_duration, err);
    rc = rc < 0 ? weir_fail_prefix(err, rc, "max_duration") : price[0] == '\0' ? 0 : weir_parse_money_in(weir_sv_of(price), currency, &ret->facts.price_micro_per_hour, err);
    return rc;
}

/* The first row that takes both decides. */
static const struct weir_policy_row *decide(const struct rows *x, const struct question *q)
{
    for (size_t i = 0; i < x->row.n; i++) {
        if (weir_policy_takes(&x->row.p[i], &q->subject) && weir_policy_decide(&x->row.p[i].rule, 1, &q->facts) == 0) {
            return &x->row.p[i];
        }
    }
    return NULL;
}

void api_handle_policy_test(struct api_request *rq)
{
    struct rows x = {0};
    struct question q = {0};
    json_t *body = api_body(rq);
    int rc = body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("PolicyTest"), body, &rq->err);
    rc = rc < 0 ? rc : read_question(body, rq->api->conf.currency, weir_clock_wall(rq->api->conf.clock), &q, &rq->err);
    rc = rc < 0 ? rc : load(rq->api, &x, &rq->err);
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
    } else {
        struct weir_str out = WEIR_STR_INIT(4096);
        struct weir_json j = weir_json_begin(&out);
        const struct weir_policy_row *row = decide(&x, &q);
        weir_json_object(&j);
        weir_json_kv_bool(&j, "allowed", row == NULL || !row->rule.deny);
        weir_json_kv_cstr(&j, "policy", row == NULL ? NULL : row->name);
        weir_json_kv_cstr(&j, "reason", row == NULL || row->reason[0] == '\0' ? NULL : row->reason);
        weir_json_end(&j);
        api_reply(rq->http, 200, &out);
    }
    json_decref(body);
    weir_vec_release(&x.row);
}
