/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: how much may be used at once, or in a span, and how much of it is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "spec/quota.h"

/* ---- showing ---- */

/* What is shown: numbers of things, or whole GPU-seconds, what is used rounded up. */
struct shown {
    int64_t used;
    int64_t held;
    int64_t left;
};

static int64_t seconds_up(int64_t ms)
{
    return ms / 1000 + (ms % 1000 != 0);
}

/* As of now: what was stored goes on as time goes. */
static struct shown shown_of(const struct weir_quota_view *v, struct weir_wall now)
{
    int64_t since_ms = (now.us > v->as_of.us ? now.us - v->as_of.us : 0) / 1000;
    int64_t gone = weir_mul_div_sat(v->n, since_ms, 1);
    struct shown s = {.used = v->n};
    if (v->def.counts == WEIR_QUOTA_GPU_HOURS) {
        int64_t begun = v->begun_ms + gone < v->held_ms ? v->begun_ms + gone : v->held_ms;
        s.used = seconds_up(weir_i64_add_sat(v->used_ms, begun));
        s.held = seconds_up(v->held_ms - begun);
    } else if (v->def.counts == WEIR_QUOTA_RUN_MINUTES) {
        s.used = seconds_up(v->held_ms > gone ? v->held_ms - gone : 0);
    }
    int64_t limit = weir_quota_is_timed((enum weir_quota_counts)v->def.counts) ? v->def.limit / 1000 : v->def.limit;
    s.left = limit - s.used - s.held > 0 ? limit - s.used - s.held : 0;
    return s;
}

static void borrow_json(struct weir_json *j, const struct weir_quota *d)
{
    char n[24];
    (void)snprintf(n, sizeof n, "%" PRId64, d->borrow_max);
    weir_json_kv_cstr(j, "borrow", !d->shares ? NULL : d->borrow_max == INT64_MAX ? "all" : n);
}

static void quota_json(struct weir_json *j, const struct weir_quota_row *row, struct weir_wall now)
{
    const struct weir_quota_view *v = &row->view;
    enum weir_quota_counts counts = (enum weir_quota_counts)v->def.counts;
    bool timed = weir_quota_is_timed(counts);
    struct shown s = shown_of(v, now);
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", v->def.name);
    api_scope_json(j, v->def.scope, row->project, row->user, v->def.tag);
    weir_json_kv_cstr(j, "counts", weir_quota_counts_name(counts));
    weir_json_kv_cstr(j, "gpu", row->gpu_model[0] == '\0' ? NULL : row->gpu_model);
    weir_json_kv_cstr(j, "unit", timed ? "gpu_s" : counts == WEIR_QUOTA_GPUS ? "gpu" : counts == WEIR_QUOTA_MACHINES ? "machine" : "task");
    weir_json_kv_cstr(j, "span", weir_budget_span_name((enum weir_budget_span)v->def.span));
    weir_json_kv_time(j, "from", v->span_from);
    weir_json_kv_time(j, "until", v->span_until);
    weir_json_kv_i64(j, "limit", timed ? v->def.limit / 1000 : v->def.limit);
    weir_json_kv_i64(j, "used", s.used);
    weir_json_kv_i64(j, "held", s.held);
    weir_json_kv_i64(j, "left", s.left);
    borrow_json(j, &v->def);
    weir_json_kv_i64(j, "borrowed", v->def.shares && s.used > v->def.limit ? s.used - v->def.limit : 0);
    weir_json_end(j);
}

struct quota_scan {
    struct weir_json *j;
    const struct api_call *call;
    struct weir_wall now;
    const char *only; /* NULL: all */
    uint64_t skip;
    uint64_t limit;
    uint64_t n;
    bool more;
};

static int on_quota(void *ctx, const struct weir_quota_row *row)
{
    struct quota_scan *x = ctx;
    if ((x->only != NULL && !weir_streq(x->only, row->view.def.name)) ||
        !api_scope_concerns(x->call, row->view.def.scope, row->view.def.project, row->user)) {
        return 0;
    }
    x->n++;
    if (x->n > x->skip + x->limit) {
        x->more = true;
    } else if (x->n > x->skip) {
        quota_json(x->j, row, x->now);
    }
    return 0;
}

static int scan(struct api_call *call, struct quota_scan *x, struct weir_err *err)
{
    unsigned which;
    x->call = call;
    x->now = weir_clock_wall(call->api->conf.clock);
    struct weir_store *s = api_reader_take(call->api, &which);
    int rc = s->ops->each_quota(s, on_quota, x, err);
    api_reader_put(call->api, which);
    return rc;
}

static void quotas_finish(struct api_call *call)
{
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct weir_json j = weir_json_begin(&out);
    const struct api_value *limit = api_call_param(call, "limit");
    struct quota_scan x = {.j = &j, .skip = api_call_param(call, "cursor")->number, .limit = limit->is_given ? limit->number : API_LIST_LIMIT};
    weir_json_object(&j);
    weir_json_key(&j, "items");
    weir_json_array(&j);
    int rc = scan(call, &x, &err);
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

static void quota_finish(struct api_call *call)
{
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(65536);
    struct weir_json j = weir_json_begin(&out);
    struct quota_scan x = {.j = &j, .only = call->name, .limit = 1};
    int rc = scan(call, &x, &err);
    if (rc == 0 && x.n == 0) {
        rc = weir_fail(&err, -WEIR_ENOTFOUND, "quota '%s' does not exist", call->name);
    }
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    api_reply(call->http, 200, &out);
}

void api_handle_quotas(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_SETTLE);
    call->finish = quotas_finish;
    api_call_post(call);
}

void api_handle_quota(struct api_request *rq)
{
    api_call_post(api_named_call(rq, WEIR_COMMAND_SETTLE, quota_finish));
}

/* ---- setting ---- */

static int read_counts(struct api_call *call, const char *word, const char *gpu, struct weir_err *err)
{
    struct weir_quota *d = &call->cmd.u.quota.def;
    struct weir_api *a = call->api;
    int rc = weir_quota_read_counts(weir_sv_of(word), d, err);
    if (rc < 0) {
        return rc;
    }
    if (gpu != NULL && d->counts == WEIR_QUOTA_TASKS) {
        return weir_fail(err, -WEIR_EINVAL, "gpu: tasks are counted whatever their GPUs; count gpus instead");
    }
    if (gpu != NULL && (gpu[0] == '\0' || strlen(gpu) > WEIR_SPEC_NAME_MAX)) {
        return weir_fail(err, -WEIR_EINVAL, "gpu: name a model of GPU, or leave it out for all");
    }
    if (gpu != NULL) {
        pthread_mutex_t *lock = a->conf.gpus_lock;
        (void)pthread_mutex_lock(lock);
        d->gpu_model = weir_gpu_table_intern(a->conf.gpus, weir_sv_of(gpu));
        (void)pthread_mutex_unlock(lock);
    }
    return 0;
}

static int read_quota(struct api_call *call, struct weir_err *err)
{
    const json_t *body = call->body;
    struct weir_quota *d = &call->cmd.u.quota.def;
    const char *scope = json_string_value(json_object_get(body, "scope"));
    const char *counts = json_string_value(json_object_get(body, "counts"));
    const char *gpu = json_string_value(json_object_get(body, "gpu"));
    const char *limit = json_string_value(json_object_get(body, "limit"));
    const char *word = json_string_value(json_object_get(body, "span"));
    const char *from = json_string_value(json_object_get(body, "from"));
    const char *until = json_string_value(json_object_get(body, "until"));
    const char *borrow = json_string_value(json_object_get(body, "borrow"));
    bool span = word != NULL || from != NULL || until != NULL;
    unsigned given = scope != NULL ? WEIR_QUOTA_GIVEN_SCOPE : 0;
    given |= counts != NULL ? WEIR_QUOTA_GIVEN_COUNTS : 0;
    given |= limit != NULL ? WEIR_QUOTA_GIVEN_LIMIT : 0;
    given |= span ? WEIR_QUOTA_GIVEN_SPAN : 0;
    given |= borrow != NULL ? WEIR_QUOTA_GIVEN_BORROW : 0;
    call->cmd.u.quota.given = given;
    call->cmd.u.quota.whose = call->filter_user;
    if (counts == NULL && (gpu != NULL || limit != NULL)) {
        return weir_fail(err, -WEIR_EINVAL, "say what it counts with 'counts' (on the command line --counts) beside its limit and GPUs");
    }
    int rc = scope != NULL ? weir_quota_read_scope(weir_sv_of(scope), d, call->filter_user, sizeof call->filter_user, err) : 0;
    rc = rc == 0 && counts != NULL ? read_counts(call, counts, gpu, err) : rc;
    rc = rc == 0 && limit != NULL ? weir_quota_read_limit(weir_sv_of(limit), d, err) : rc;
    rc = rc == 0 && borrow != NULL ? weir_quota_read_borrow(weir_sv_of(borrow), d, err) : rc;
    return rc == 0 && span ? weir_quota_read_span(word, from, until, d, err) : rc;
}

void api_handle_quota_set(struct api_request *rq)
{
    struct api_call *call = api_named_call(rq, WEIR_COMMAND_QUOTA_SET, quota_finish);
    call->body = api_body(rq);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("QuotaSet"), call->body, &rq->err);
    rc = rc < 0 ? rc : api_call_take_name(call, "quota", call->cmd.u.quota.def.name, sizeof call->cmd.u.quota.def.name, &rq->err);
    rc = rc < 0 ? rc : read_quota(call, &rq->err);
    api_call_post_or_fail(rq, call, rc);
}

void api_handle_quota_remove(struct api_request *rq)
{
    struct api_call *call = api_named_call(rq, WEIR_COMMAND_QUOTA_REMOVE, api_removed_finish);
    int rc = api_call_take_name(call, "quota", call->cmd.u.quota.def.name, sizeof call->cmd.u.quota.def.name, &rq->err);
    api_call_post_or_fail(rq, call, rc);
}
