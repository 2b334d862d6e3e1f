/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets: what was spent, what is held, what is left, and how the span may end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "forecast/spend.h"
#include "spec/budget.h"

/* ---- showing ---- */

static void thresholds_json(struct weir_json *j, const struct weir_budget_view *v, const char *key, bool reached)
{
    weir_json_key(j, key);
    weir_json_array(j);
    for (uint32_t i = 0; i < v->def.n_thresholds; i++) {
        const struct weir_budget_threshold *t = &v->def.threshold[i];
        char buf[32];
        (void)snprintf(buf, sizeof buf, "%u:%s", (unsigned)t->percent, weir_budget_action_name((enum weir_budget_action)t->action));
        if (!reached || (v->reached >> i & 1u) != 0) {
            weir_json_cstr(j, buf);
        }
    }
    weir_json_end(j);
}

static void budget_json(struct weir_json *j, const struct weir_budget_row *row, struct weir_wall now, const char *currency)
{
    const struct weir_budget_view *v = &row->view;
    struct weir_spend_ahead a = weir_spend_ahead(v, now);
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", v->def.name);
    api_scope_json(j, v->def.scope, row->project, row->user, v->def.tag);
    weir_json_kv_cstr(j, "span", weir_budget_span_name((enum weir_budget_span)v->def.span));
    weir_json_kv_time(j, "from", v->span_from);
    weir_json_kv_time(j, "until", v->span_until);
    weir_json_kv_bool(j, "cloud_only", v->def.cloud_only);
    weir_json_kv_i64(j, "amount_micro", v->def.amount_micro);
    weir_json_kv_i64(j, "spent_micro", v->charged_micro);
    weir_json_kv_i64(j, "held_micro", v->held_micro);
    weir_json_kv_i64(j, "left_micro", v->def.amount_micro - v->charged_micro - v->held_micro);
    weir_json_key(j, "forecast_micro");
    if (a.known) {
        weir_json_i64(j, a.spent_micro);
    } else {
        weir_json_null(j);
    }
    weir_json_key(j, "forecast_error_micro");
    if (a.known) {
        weir_json_i64(j, a.error_micro);
    } else {
        weir_json_null(j);
    }
    weir_json_kv_time(j, "runs_out", a.empty);
    thresholds_json(j, v, "thresholds", false);
    thresholds_json(j, v, "reached", true);
    weir_json_kv_cstr(j, "currency", currency);
    weir_json_end(j);
}

struct budget_scan {
    struct weir_json *j;
    const struct api_call *call;
    struct weir_wall now;
    const char *only; /* NULL: all */
    uint64_t skip;
    uint64_t limit;
    uint64_t n;
    bool more;
};

static int on_budget(void *ctx, const struct weir_budget_row *row)
{
    struct budget_scan *x = ctx;
    if (x->only != NULL && !weir_streq(x->only, row->view.def.name)) {
        return 0;
    }
    if (!api_scope_concerns(x->call, row->view.def.scope, row->view.def.project, row->user)) {
        return 0;
    }
    x->n++;
    if (x->n > x->skip + x->limit) {
        x->more = true;
    } else if (x->n > x->skip) {
        budget_json(x->j, row, x->now, x->call->api->conf.currency);
    }
    return 0;
}

static void budgets_finish(struct api_call *call)
{
    struct weir_api *a = call->api;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct weir_json j = weir_json_begin(&out);
    const struct api_value *limit = api_call_param(call, "limit");
    struct budget_scan x = {.j = &j, .call = call, .now = weir_clock_wall(a->conf.clock), .skip = api_call_param(call, "cursor")->number,
                            .limit = limit->is_given ? limit->number : API_LIST_LIMIT};
    weir_json_object(&j);
    weir_json_key(&j, "items");
    weir_json_array(&j);
    unsigned which;
    struct weir_store *s = api_reader_take(a, &which);
    int rc = s->ops->each_budget(s, on_budget, &x, &err);
    api_reader_put(a, which);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    weir_json_end(&j);
    weir_json_key(&j, "next");
    if (x.more) {
        char buf[24];
        (void)snprintf(buf, sizeof buf, "%" PRIu64, x.skip + x.limit);
        weir_json_cstr(&j, buf);
    } else {
        weir_json_null(&j);
    }
    weir_json_end(&j);
    api_reply(call->http, 200, &out);
}

static void budget_finish(struct api_call *call)
{
    struct weir_api *a = call->api;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(65536);
    struct weir_json j = weir_json_begin(&out);
    struct budget_scan x = {.j = &j, .call = call, .now = weir_clock_wall(a->conf.clock), .only = call->name, .limit = 1};
    unsigned which;
    struct weir_store *s = api_reader_take(a, &which);
    int rc = s->ops->each_budget(s, on_budget, &x, &err);
    api_reader_put(a, which);
    if (rc == 0 && x.n == 0) {
        rc = weir_fail(&err, -WEIR_ENOTFOUND, "budget '%s' does not exist", call->name);
    }
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    api_reply(call->http, 200, &out);
}

void api_handle_budgets(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_SETTLE);
    call->finish = budgets_finish;
    api_call_post(call);
}

void api_handle_budget(struct api_request *rq)
{
    api_call_post(api_named_call(rq, WEIR_COMMAND_SETTLE, budget_finish));
}

/* ---- setting ---- */

static int read_scope(const char *text, struct api_call *call, struct weir_err *err)
{
    call->cmd.u.budget.project = call->filter_user;
    call->cmd.u.budget.user = call->filter_user;
    return weir_budget_read_scope(weir_sv_of(text), &call->cmd.u.budget.def, call->filter_user, sizeof call->filter_user, err);
}

static int read_span(const json_t *body, struct weir_budget *d, struct weir_err *err)
{
    return weir_budget_read_span(json_string_value(json_object_get(body, "span")), json_string_value(json_object_get(body, "from")),
                                 json_string_value(json_object_get(body, "until")), d, err);
}

static int read_thresholds(const json_t *list, struct weir_budget *d, struct weir_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < json_array_size(list) && rc == 0; i++) {
        rc = weir_budget_read_threshold(weir_sv_of(json_string_value(json_array_get(list, i))), d, err);
    }
    return rc;
}

static int read_money(const struct api_call *call, const json_t *text, const char *what, int64_t *ret, struct weir_err *err)
{
    return weir_budget_read_money(weir_sv_of(json_string_value(text)), what, call->api->conf.currency, ret, err);
}

static int read_budget(struct api_call *call, struct weir_err *err)
{
    const json_t *body = call->body;
    struct weir_command *cmd = &call->cmd;
    struct weir_budget *d = &cmd->u.budget.def;
    const json_t *scope = json_object_get(body, "scope");
    const json_t *amount = json_object_get(body, "amount");
    const json_t *spent = json_object_get(body, "spent");
    const json_t *cloud_only = json_object_get(body, "cloud_only");
    const json_t *thresholds = json_object_get(body, "thresholds");
    bool span = json_object_get(body, "span") != NULL || json_object_get(body, "from") != NULL || json_object_get(body, "until") != NULL;
    unsigned given = scope != NULL ? WEIR_BUDGET_GIVEN_SCOPE : 0;
    given |= amount != NULL ? WEIR_BUDGET_GIVEN_AMOUNT : 0;
    given |= span ? WEIR_BUDGET_GIVEN_SPAN : 0;
    given |= cloud_only != NULL ? WEIR_BUDGET_GIVEN_CLOUD_ONLY : 0;
    given |= thresholds != NULL ? WEIR_BUDGET_GIVEN_THRESHOLDS : 0;
    cmd->u.budget.given = given;
    d->cloud_only = json_is_true(cloud_only);
    int rc = scope != NULL ? read_scope(json_string_value(scope), call, err) : 0;
    rc = rc == 0 && amount != NULL ? read_money(call, amount, "amount", &d->amount_micro, err) : rc;
    rc = rc == 0 && spent != NULL ? read_money(call, spent, "spent", &cmd->u.budget.charged_micro, err) : rc;
    rc = rc == 0 && span ? read_span(body, d, err) : rc;
    return rc == 0 && thresholds != NULL ? read_thresholds(thresholds, d, err) : rc;
}

void api_handle_budget_set(struct api_request *rq)
{
    struct api_call *call = api_named_call(rq, WEIR_COMMAND_BUDGET_SET, budget_finish);
    call->body = api_body(rq);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("BudgetSet"), call->body, &rq->err);
    rc = rc < 0 ? rc : api_call_take_name(call, "budget", call->cmd.u.budget.def.name, sizeof call->cmd.u.budget.def.name, &rq->err);
    rc = rc < 0 ? rc : read_budget(call, &rq->err);
    api_call_post_or_fail(rq, call, rc);
}

void api_handle_budget_remove(struct api_request *rq)
{
    struct api_call *call = api_named_call(rq, WEIR_COMMAND_BUDGET_REMOVE, api_removed_finish);
    int rc = api_call_take_name(call, "budget", call->cmd.u.budget.def.name, sizeof call->cmd.u.budget.def.name, &rq->err);
    api_call_post_or_fail(rq, call, rc);
}
