/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of any form through dispatch, checks and handlers. The input reads like HTTP: a line "METHOD
 * PATH?QUERY", lines "Name: value", an empty line, the body; nothing is decoded, so every byte may come
 * anywhere. This file stands in for the server (net/server.h) and for the broker.
 *
 * Promises: each request is answered exactly once; never with a status of 5xx, as the store and the service
 * here never fail; what is JSON is well-formed UTF-8.
 */

#include "fuzz.h"

#include <pthread.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/assert.h"
#include "base/mem.h"

enum { LINES_MAX = 16, PULLS_MAX = 64 };

struct pair {
    char *key;
    char *value;
};

struct weir_http_request {
    char *method;
    char *path;
    struct pair query[LINES_MAX];
    size_t n_query;
    struct pair header[LINES_MAX];
    size_t n_headers;
    struct weir_sv body;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned n_answers;
};

/* ---- the server's side ---- */

static void answered(struct weir_http_request *r)
{
    (void)pthread_mutex_lock(&r->lock);
    r->n_answers++;
    (void)pthread_cond_signal(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
}

static void check_answer(int status, const char *type, struct weir_sv body)
{
    WEIR_ASSERT(status >= 200 && status < 500);
    if (type == NULL) {
        json_t *v = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
        WEIR_ASSERT(v != NULL);
        json_decref(v);
    }
}

const char *weir_request_method(const struct weir_http_request *r)
{
    return r->method;
}

bool weir_request_is_hung_up(const struct weir_http_request *r)
{
    (void)r;
    return false;
}

const char *weir_request_path(const struct weir_http_request *r)
{
    return r->path;
}

void weir_request_each_query(const struct weir_http_request *r,
                             void (*fn)(void *ctx, const char *key, const char *value), void *ctx)
{
    for (size_t i = 0; i < r->n_query; i++) {
        fn(ctx, r->query[i].key, r->query[i].value);
    }
}

const char *weir_request_header(const struct weir_http_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++) {
        if (weir_sv_eq_nocase(weir_sv_of(r->header[i].key), weir_sv_of(name))) {
            return r->header[i].value;
        }
    }
    return NULL;
}

struct weir_sv weir_request_body(const struct weir_http_request *r)
{
    return r->body;
}

enum weir_peer_trust weir_request_trust(struct weir_http_request *r)
{
    (void)r;
    return WEIR_PEER_SAME_USER;
}

void weir_request_again(struct weir_http_request *r)
{
    (void)r;
    WEIR_UNREACHABLE(); /* nobody logs in here */
}

unsigned weir_request_agains(const struct weir_http_request *r)
{
    (void)r;
    return 0;
}

int weir_request_certificate(struct weir_http_request *r, char key[WEIR_SHA256_HEX_SIZE], struct weir_err *err)
{
    (void)r, (void)key, (void)err;
    return -WEIR_ENOTFOUND;
}

const char *weir_request_peer(struct weir_http_request *r)
{
    (void)r;
    return "127.0.0.1:1";
}

void weir_request_reply(struct weir_http_request *r, int status, const char *type, struct weir_sv body,
                        const struct weir_http_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        WEIR_ASSERT(weir_utf8_is_text(weir_sv_of(headers[i].value)));
    }
    check_answer(status, type, body);
    answered(r);
}

void weir_request_reply_take(struct weir_http_request *r, int status, const char *type, char *body, size_t n)
{
    check_answer(status, type, (struct weir_sv){body, n});
    free(body);
    answered(r);
}

void weir_request_fail(struct weir_http_request *r, int code, const struct weir_err *err)
{
    WEIR_ASSERT(err->text[0] != '\0');
    struct weir_str out = WEIR_STR_INIT(8192);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "message", err->text);
    weir_json_end(&j);
    check_answer(weir_error_http_status(code), NULL, weir_str_sv(&out));
    weir_str_release(&out);
    answered(r);
}

/* A client that reads what there is and goes away. */
struct weir_stream *weir_request_stream(struct weir_http_request *r, int status, const char *type,
                                        weir_stream_pull_fn *pull, void (*done)(void *ctx), void *ctx)
{
    char buf[512];
    check_answer(status, type, WEIR_SV(""));
    for (int i = 0; i < PULLS_MAX && pull(ctx, buf, sizeof buf) > 0; i++) {
    }
    done(ctx);
    answered(r);
    return NULL;
}

void weir_stream_wake(struct weir_stream *s)
{
    (void)s;
}

/* ---- a store with one job and nothing else ---- */

static int get_job(struct weir_store *s, struct weir_job_id id, weir_job_row_fn *fn, void *ctx, struct weir_err *err)
{
    static const struct weir_job_row row = {
        .view = {.id = {12}, .n_tasks = 100, .state = WEIR_JOB_RUNNING, .submitted = {1}},
        .name = "train",
        .project = "p",
        .user = "u",
        .tags_json = "{}",
        .spec_json = "{\"array\":\"0-99\"}"};
    (void)s;
    return id.v == 12 ? fn(ctx, &row) : weir_fail(err, -WEIR_ENOTFOUND, "no job");
}

static int list_jobs(struct weir_store *s, const struct weir_job_filter *f, weir_job_row_fn *fn, void *ctx,
                     struct weir_err *err)
{
    WEIR_ASSERT(f->limit >= 1 && f->limit <= 1000);
    return get_job(s, (struct weir_job_id){12}, fn, ctx, err);
}

static int list_tasks(struct weir_store *s, const struct weir_task_filter *f, weir_task_row_fn *fn, void *ctx,
                      struct weir_err *err)
{
    static const struct weir_task_row row = {
        .view = {.id = {{12}, 3}, .state = WEIR_TASK_RUNNING, .attempt = 1, .node = {1}, .n_nodes = 1},
        .text = "",
        .node_name = "n",
        .pool = "p"};
    (void)s;
    (void)err;
    WEIR_ASSERT(f->limit >= 1 && f->limit <= 1000);
    return f->from_ordinal <= 3 && (f->states == 0 || (f->states >> WEIR_TASK_RUNNING & 1) != 0) ? fn(ctx, &row) : 0;
}

static int count_nodes(struct weir_store *s, struct weir_job_id job, struct weir_node_id beside, uint32_t limit, uint32_t *ret,
                       struct weir_err *err)
{
    (void)s, (void)job, (void)beside, (void)err;
    WEIR_ASSERT(limit >= 1 && limit <= 1000);
    *ret = 1;
    return 0;
}

static int get_task(struct weir_store *s, struct weir_task_id id, weir_task_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct weir_task_filter f = {.job = id.job, .from_ordinal = id.ordinal, .limit = 1};
    return id.ordinal == 3 ? list_tasks(s, &f, fn, ctx, err) : -WEIR_ENOTFOUND;
}

static int no_projects(struct weir_store *s, weir_project_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_pools(struct weir_store *s, weir_name_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_nodes(struct weir_store *s, bool all, weir_node_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)all, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_meters(struct weir_store *s, weir_meter_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_leases(struct weir_store *s, bool all, weir_lease_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)all, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_postings(struct weir_store *s, uint64_t after, weir_posting_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)after, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int nothing_billed(struct weir_store *s, struct weir_wall from, weir_posting_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)from, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_corrections(struct weir_store *s, uint64_t after, weir_correction_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)after, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_closes(struct weir_store *s, weir_close_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_budgets(struct weir_store *s, weir_budget_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_quotas(struct weir_store *s, weir_quota_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_pages(struct weir_store *s, uint64_t after_page, uint64_t *ret_last, struct weir_err *err)
{
    (void)s, (void)after_page, (void)err;
    *ret_last = 0;
    return 0;
}

static int no_lease_prices(struct weir_store *s, struct weir_lease_id lease, uint64_t number, weir_lease_price_row_fn *fn, void *ctx,
                           struct weir_err *err)
{
    (void)s, (void)lease, (void)number, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_lease(struct weir_store *s, struct weir_lease_id id, weir_lease_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)id, (void)fn, (void)ctx;
    return weir_fail(err, -WEIR_ENOTFOUND, "no such lease");
}

static int no_invoice_lines(struct weir_store *s, struct weir_lease_id lease, weir_invoice_line_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)lease, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_rules(struct weir_store *s, weir_rule_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_first_posting(struct weir_store *s, struct weir_wall t, uint64_t *ret, struct weir_err *err)
{
    (void)s, (void)t, (void)err;
    *ret = 0;
    return 0;
}

static int no_users(struct weir_store *s, weir_name_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_events(struct weir_store *s, const struct weir_event_filter *f, uint64_t *ret_seen, bool *ret_more,
                     weir_event_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)ret_seen, (void)fn, (void)ctx, (void)err;
    WEIR_ASSERT(f->limit >= 1 && f->limit <= 1000);
    *ret_more = false;
    return 0;
}

static int no_explains(struct weir_store *s, struct weir_task_id task, uint32_t limit, weir_explain_row_fn *fn,
                       void *ctx, struct weir_err *err)
{
    (void)s, (void)task, (void)limit, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int one_access(struct weir_store *s, weir_access_row_fn *fn, void *ctx, struct weir_err *err)
{
    static const struct weir_access_row row = {"u", "user", false, "{\"p\":\"owner\"}"};
    (void)s, (void)err;
    return fn(ctx, &row);
}

static int no_tokens(struct weir_store *s, weir_token_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_audit(struct weir_store *s, const struct weir_audit_filter *f, weir_audit_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    WEIR_ASSERT(f->limit >= 1 && f->limit <= 1000);
    return 0;
}

static int no_totals(struct weir_store *s, weir_total_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int no_first_event(struct weir_store *s, uint64_t *ret, struct weir_err *err)
{
    (void)s, (void)err;
    *ret = 0;
    return 0;
}

static int no_meta(struct weir_store *s, const char *key, char *buf, size_t size, struct weir_err *err)
{
    (void)s, (void)key, (void)buf, (void)size, (void)err;
    return -WEIR_ENOTFOUND;
}

static int no_bill(struct weir_store *s, const struct weir_bill_filter *f, const enum weir_bill_by *by,
                   const char *const *tag, size_t n_by, weir_bill_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)f, (void)by, (void)tag, (void)fn, (void)ctx, (void)err;
    WEIR_ASSERT(n_by >= 1 && n_by <= WEIR_BILL_KEYS_MAX);
    return 0;
}

static const struct weir_store_ops store_ops = {
    .get_job = get_job,
    .list_jobs = list_jobs,
    .list_tasks = list_tasks,
    .count_nodes = count_nodes,
    .get_task = get_task,
    .each_project = no_projects,
    .each_pool = no_pools,
    .each_node = no_nodes,
    .each_meter = no_meters,
    .each_lease = no_leases,
    .each_posting = no_postings,
    .each_billed = nothing_billed,
    .first_posting = no_first_posting,
    .each_lease_price = no_lease_prices,
    .get_lease = no_lease,
    .each_invoice_line = no_invoice_lines,
    .each_correction = no_corrections,
    .each_close = no_closes,
    .prove_pages = no_pages,
    .each_budget = no_budgets,
    .each_quota = no_quotas,
    .each_user = no_users,
    .get_meta = no_meta,
    .each_total = no_totals,
    .list_events = no_events,
    .each_access = one_access,
    .each_token = no_tokens,
    .list_audit = no_audit,
    .first_event = no_first_event,
    .list_explains = no_explains,
    .bill = no_bill,
    .each_rule = no_rules,
};

/* ---- a service that does everything at once ---- */

static void post(struct weir_service *s, struct weir_command *cmd)
{
    (void)s;
    cmd->job.v = 12;
    cmd->flag = cmd->kind == WEIR_COMMAND_EXPLAIN || cmd->kind == WEIR_COMMAND_SUBMIT;
    if (cmd->kind == WEIR_COMMAND_STATUS) {
        cmd->reply = WEIR_STR_INIT(64);
        weir_str_adds(&cmd->reply, "{\"version\":\"0\"}");
    }
    if (cmd->kind == WEIR_COMMAND_ACCESS) {
        cmd->reply = WEIR_STR_INIT(64);
        weir_str_adds(&cmd->reply, "secret");
    }
    cmd->done(cmd);
}

static bool is_still(struct weir_service *s, const struct weir_identity *who)
{
    (void)s, (void)who;
    return true;
}

static int authenticate(struct weir_service *s, struct weir_sv token, struct weir_identity *ret, struct weir_login **ret_login, struct weir_err *err)
{
    (void)s, (void)ret_login;
    if (!weir_sv_eq(token, WEIR_SV("viewer"))) {
        return weir_fail(err, -WEIR_EUNAUTH, "unknown token");
    }
    *ret = (struct weir_identity){.user = "u", .role = WEIR_ROLE_FINANCE, .token = "0123456789abcdef", .scope = weir_scope_new(1)};
    weir_scope_add(ret->scope, (struct weir_project_id){0}, "p", WEIR_ROLE_OWNER);
    return 0;
}

/* No log is written while fuzzing. */
static int check_session(struct weir_service *s, struct weir_node_id node, const char *session, struct weir_err *err)
{
    (void)s, (void)node;
    return weir_fail(err, -WEIR_ECONFLICT, "session '%s' has ended", session);
}

static void subscribe(struct weir_service *s, void (*fn)(void *ctx), void *ctx)
{
    (void)s, (void)fn, (void)ctx;
}

static struct weir_api *make_api(void)
{
    static const struct weir_service_ops service_ops = {post, authenticate, NULL, is_still, check_session, subscribe};
    static struct weir_service service = {&service_ops};
    static struct weir_store store = {&store_ops};
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct weir_api *api = NULL;
    struct weir_err err;
    struct weir_api_conf conf = {.service = &service,
                                 .reader = {&store, NULL},
                                 .gpus = weir_gpu_table_new(),
                                 .gpus_lock = &lock,
                                 .clock = &weir_clock_os,
                                 .log_dir = "/nonexistent/weir-fuzz",
                                 .currency = "USD",
                                 .listen = "127.0.0.1:7070",
                                 .os_user = "ada",
                                 .log_bytes_max = 1,
                                 .ticket_key = "fuzz"};
    WEIR_ASSERT(weir_api_new(&api, &conf, &err) == 0);
    return api;
}

/* ---- the input ---- */

static struct weir_sv cut_line(struct weir_sv *rest)
{
    struct weir_sv line = weir_sv_cut(rest, '\n');
    return line;
}

static char *text_of(struct weir_sv s)
{
    return weir_strndup(s.n == 0 ? "" : s.p, s.n);
}

static void parse(struct weir_http_request *r, struct weir_sv input)
{
    struct weir_sv target = cut_line(&input);
    struct weir_sv method = weir_sv_cut(&target, ' ');
    struct weir_sv path = weir_sv_cut(&target, '?');
    r->method = text_of(method);
    r->path = text_of(path);
    while (target.p != NULL && r->n_query < LINES_MAX) {
        struct weir_sv value = weir_sv_cut(&target, '&');
        struct weir_sv key = weir_sv_cut(&value, '=');
        r->query[r->n_query++] = (struct pair){text_of(key), text_of(value)};
    }
    while (input.p != NULL) {
        struct weir_sv value = cut_line(&input);
        if (value.n == 0) {
            break;
        }
        struct weir_sv key = weir_sv_cut(&value, ':');
        if (r->n_headers < LINES_MAX) {
            r->header[r->n_headers++] = (struct pair){text_of(key), text_of(weir_sv_trim(value))};
        }
    }
    r->body = input.p == NULL ? WEIR_SV("") : input;
}

static void release(struct weir_http_request *r)
{
    for (size_t i = 0; i < r->n_query; i++) {
        free(r->query[i].key);
        free(r->query[i].value);
    }
    for (size_t i = 0; i < r->n_headers; i++) {
        free(r->header[i].key);
        free(r->header[i].value);
    }
    free(r->method);
    free(r->path);
    (void)pthread_mutex_destroy(&r->lock);
    (void)pthread_cond_destroy(&r->changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct weir_api *api;
    if (api == NULL) {
        api = make_api();
    }
    struct weir_http_request r = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    parse(&r, (struct weir_sv){(const char *)data, size});
    weir_api_handle(api, &r);
    (void)pthread_mutex_lock(&r.lock);
    while (r.n_answers == 0) {
        (void)pthread_cond_wait(&r.changed, &r.lock);
    }
    WEIR_ASSERT(r.n_answers == 1);
    (void)pthread_mutex_unlock(&r.lock);
    release(&r);
    return 0;
}
