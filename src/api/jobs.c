/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: submit, list, show, cancel, wait, tasks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/explain_json.h"
#include "base/mem.h"
#include "base/vec.h"

enum {
    TASK_SCAN_MAX = 100000, /* rows looked at for one page of a filtered list */
    WAIT_DEFAULT_S = 30,
};

/* ---- submit ---- */

/* What the specification gave rise to, and what the broker has to say. */
static void warnings_json(struct weir_json *j, const struct weir_spec *spec, const struct weir_str *more)
{
    weir_json_key(j, "warnings");
    weir_json_array(j);
    for (size_t i = 0; i < spec->n_warnings; i++) {
        weir_json_cstr(j, spec->warning[i]);
    }
    if (more->n > 0) {
        weir_json_string(j, weir_str_sv(more));
    }
    weir_json_end(j);
}

/* On the deciding thread: the hot path ends here. */
static void submit_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
        api_call_free(call);
        return;
    }
    char location[48];
    struct weir_str out = WEIR_STR_INIT(65536);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_u64(&j, "id", cmd->job.v);
    weir_json_kv_cstr(&j, "name", call->spec->name);
    weir_json_kv_u64(&j, "tasks", weir_spec_task_count(call->spec));
    weir_json_kv_cstr(&j, "state", weir_job_state_name(WEIR_JOB_WAITING));
    warnings_json(&j, call->spec, &cmd->reply);
    weir_json_end(&j);
    (void)snprintf(location, sizeof location, "/v1/jobs/%" PRIu64, cmd->job.v);
    struct weir_http_header header = {"Location", location};
    weir_request_reply(call->http, 201, NULL, weir_str_sv(&out), &header, 1);
    weir_str_release(&out);
    api_call_free(call);
}

/* Names for an explanation that is made now: nodes from the store, offers as the service gave them. */
struct now_names {
    struct api_node_names nodes;
    const struct api_array *array;
    const struct weir_offer *offer;
    size_t n_offers;
    const struct weir_budget_view *limit;
    const struct weir_quota_view *quota;
    const struct weir_told_quota *provider_quota;
};

static bool now_budget(void *ctx, struct weir_budget_id id, struct weir_budget_view *ret)
{
    const struct now_names *n = ctx;
    *ret = *n->limit;
    return id.v == n->limit->id.v;
}

static bool now_quota(void *ctx, struct weir_quota_id id, struct weir_quota_view *ret)
{
    const struct now_names *n = ctx;
    *ret = *n->quota;
    return id.v == n->quota->id.v;
}

static bool now_provider_quota(void *ctx, uint64_t id, struct weir_told_quota *ret)
{
    const struct now_names *n = ctx;
    *ret = *n->provider_quota;
    return id == weir_provider_quota_id(ret->provider, &ret->quota);
}

static const char *now_node(void *ctx, struct weir_node_id id)
{
    struct now_names *n = ctx;
    return api_node_name(&n->nodes, id.v);
}

static const struct weir_offer *now_offer(void *ctx, uint64_t id)
{
    struct now_names *n = ctx;
    for (size_t i = 0; i < n->n_offers; i++) {
        if (n->offer[i].id == id) {
            return &n->offer[i];
        }
    }
    return NULL;
}

static void now_task(void *ctx, struct weir_task_id id, char *buf, size_t size)
{
    struct now_names *n = ctx;
    api_task_text(n->array, id, buf, size);
}

/* Keeps of the service's offers, which are borrowed, those that the explanation speaks of. */
static void keep_offers(struct api_call *call)
{
    struct weir_command *cmd = &call->cmd;
    struct weir_offer *kept = weir_calloc(WEIR_EXPLAIN_CANDIDATES_MAX, sizeof *kept);
    size_t n = 0;
    for (uint32_t i = 0; i < cmd->explain.n_candidates && i < WEIR_EXPLAIN_CANDIDATES_MAX; i++) {
        uint64_t id = cmd->explain.candidate[i].offer;
        for (size_t k = 0; id != 0 && k < cmd->n_offers; k++) {
            if (cmd->offer[k].id == id) {
                kept[n++] = cmd->offer[k];
                break;
            }
        }
    }
    call->data = kept;
    cmd->offer = kept;
    cmd->n_offers = n;
}

static void explained_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
        api_call_free(call);
        return;
    }
    keep_offers(call);
    api_call_defer(call);
}

static int explain_now(struct weir_store *s, const struct api_call *call, const struct api_array *array, struct weir_json *j,
                       struct weir_err *err)
{
    struct now_names n = {.array = array, .offer = call->cmd.offer, .n_offers = call->cmd.n_offers, .limit = &call->cmd.limit, .quota = &call->cmd.quota, .provider_quota = &call->cmd.provider_quota};
    int rc = api_node_names_load(s, &n.nodes, err);
    if (rc == 0) {
        struct weir_names names = {&n, now_node, now_offer, now_task, now_budget, now_quota, now_provider_quota, call->api->conf.currency,
                                   call->cmd.no_rate};
        struct weir_str item = WEIR_STR_INIT(65536);
        weir_explain_to_json(&call->cmd.explain, &names, &item);
        weir_json_raw(j, weir_str_sv(&item));
        weir_str_release(&item);
    }
    api_node_names_release(&n.nodes);
    return rc;
}

static void dry_run_finish(struct api_call *call)
{
    unsigned which;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_bool(&j, "possible", call->cmd.flag);
    weir_json_kv_u64(&j, "tasks", weir_spec_task_count(call->spec));
    weir_json_key(&j, "parallel_max");
    if (call->spec->array_parallel > 0) {
        weir_json_u64(&j, call->spec->array_parallel);
    } else {
        weir_json_null(&j);
    }
    weir_json_kv_u64(&j, "room", call->cmd.room);
    weir_json_key(&j, "explain");
    struct weir_store *s = api_reader_take(call->api, &which);
    int rc = explain_now(s, call, NULL, &j, &err);
    api_reader_put(call->api, which);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    warnings_json(&j, call->spec, &call->cmd.reply);
    weir_json_end(&j);
    api_reply(call->http, 200, &out);
}

/*
 * May the caller submit into the project? Whether it exists makes no difference to who is no member of it. Who has one project
 * only need not name it.
 */
static int check_payer(struct api_request *rq, struct weir_spec *spec)
{
    const struct weir_scope *s = rq->who.scope;
    if (rq->reach != API_REACH_OWN) {
        return 0;
    }
    if (spec->project == NULL && s != NULL && s->n == 1 && s->everywhere == WEIR_ROLE_NONE) {
        spec->project = weir_strdup(s->item[0].name);
    }
    const char *name = spec->project == NULL ? "default" : spec->project;
    return weir_role_covers(weir_scope_role_by_name(s, weir_sv_of(name)), api_access[rq->route->role].needs)
               ? 0
               : weir_fail(&rq->err, -WEIR_EDENIED, "you may not submit into project '%s'; name one of yours with 'project' ('weir user whoami' lists them)", name);
}

static int read_spec(struct api_request *rq, struct api_call *call)
{
    json_t *body = api_body(rq);
    if (body == NULL) {
        return -WEIR_EINVAL;
    }
    struct weir_api *a = rq->api;
    pthread_mutex_t *lock = a->conf.gpus_lock;
    (void)pthread_mutex_lock(lock);
    int rc = weir_spec_from_json(body, a->conf.gpus, &call->spec, &rq->err);
    rc = rc < 0 ? rc : check_payer(rq, call->spec);
    if (rc == 0) {
        weir_spec_to_json(call->spec, a->conf.gpus, &call->text);
    }
    (void)pthread_mutex_unlock(lock);
    json_decref(body);
    if (rc == 0 && call->spec->currency[0] != '\0' && !weir_streq(call->spec->currency, a->conf.currency)) {
        rc = weir_fail(&rq->err, -WEIR_EINVAL, "the job's amounts are in %s, and the ledger is in %s: write max_cost and delay_cost in %s", call->spec->currency,
                       a->conf.currency, a->conf.currency);
    }
    struct weir_wall now = weir_clock_wall(a->conf.clock);
    if (rc == 0 && call->spec->deadline.us != 0 && call->spec->deadline.us <= now.us) {
        char buf[WEIR_RFC3339_SIZE];
        rc = weir_fail(&rq->err, -WEIR_EINVAL,
                       "deadline %s has passed already; give a later one, or a span from now such as 36h",
                       weir_wall_format(call->spec->deadline, buf));
    }
    if (rc == 0 && call->text.overflowed) {
        rc = weir_fail(&rq->err, -WEIR_ELIMIT, "the job specification is too large");
    }
    return rc;
}

void api_handle_submit(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_SUBMIT);
    int rc = read_spec(rq, call);
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
        api_call_free(call);
        return;
    }
    size_t spec_n = call->text.n;
    weir_str_addc(&call->text, '\n'); /* keeps the two apart; not part of either */
    struct weir_json j = weir_json_begin(&call->text);
    weir_json_object(&j);
    for (size_t i = 0; i < call->spec->n_tags; i++) {
        weir_json_kv_cstr(&j, call->spec->tags[i].key, call->spec->tags[i].value);
    }
    weir_json_end(&j);
    const char *text = weir_str_cstr(&call->text);
    bool dry_run = api_flag(rq, "dry_run");
    call->cmd.u.submit.spec = call->spec;
    call->cmd.u.submit.user = call->who.user;
    call->cmd.u.submit.spec_json = (struct weir_sv){text, spec_n};
    call->cmd.u.submit.tags_json = (struct weir_sv){text + spec_n + 1, call->text.n - spec_n - 1};
    call->cmd.u.submit.dry_run = dry_run;
    if (dry_run) {
        call->finish = dry_run_finish;
    }
    call->cmd.done = dry_run ? explained_done : submit_done;
    api_call_post(call);
}

/* ---- one job ---- */

static void reply_job(struct weir_api *a, struct weir_http_request *http, struct weir_job_id id,
                      const struct api_accrued *accrued)
{
    unsigned which;
    struct api_job job;
    struct weir_err err = {{0}};
    struct weir_store *s = api_reader_take(a, &which);
    int rc = api_job_get(s, id, true, &job, &err);
    api_reader_put(a, which);
    if (rc < 0) {
        api_fail(http, rc, &err);
        return;
    }
    job.accruing_micro = accrued == NULL ? 0 : api_accrued_job(accrued, id);
    job.held = accrued == NULL ? NULL : api_accrued_parked(accrued, &job.view);
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct weir_json j = weir_json_begin(&out);
    api_job_json(&j, &job, a->conf.currency);
    api_job_release(&job);
    api_reply(http, 200, &out);
}

/* Asks what has accrued since the ledger was last settled, then answers on a lane. job 0: of all jobs. */
static void post_accrued(struct api_request *rq, uint64_t job, void (*finish)(struct api_call *call))
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_ACCRUED);
    call->cmd.u.accrued.job.v = job;
    call->finish = finish;
    api_call_post(call);
}

static void job_finish(struct api_call *call)
{
    struct api_accrued accrued;
    api_accrued_set(&accrued, &call->cmd);
    reply_job(call->api, call->http, call->cmd.u.accrued.job, &accrued);
    api_accrued_release(&accrued);
}

void api_handle_job(struct api_request *rq)
{
    post_accrued(rq, rq->path[0].number, job_finish);
}

static int on_task_state(void *ctx, const struct weir_task_row *row)
{
    *(enum weir_task_state *)ctx = row->view.state;
    return 0;
}

/* -WEIR_ENOTFOUND where the job or task never was, -WEIR_ECONFLICT where it is over: the deciding core forgets both. */
static int check_cancel(struct weir_api *a, struct weir_job_id id, bool has_index, uint32_t index, struct weir_err *err)
{
    unsigned which;
    struct api_job job;
    struct api_array array;
    struct weir_task_id task = {.job = id};
    enum weir_task_state state = WEIR_TASK_WAITING;
    struct weir_store *s = api_reader_take(a, &which);
    int rc = api_job_get(s, id, false, &job, err);
    if (rc < 0) {
        api_reader_put(a, which);
        return rc;
    }
    if (weir_job_state_is_final(job.view.state)) {
        rc = weir_fail(err, -WEIR_ECONFLICT, "job %" PRIu64 " has ended already: it %s%s", id.v,
                       job.view.state == WEIR_JOB_CANCELLED ? "was " : "", weir_job_state_name(job.view.state));
    } else if (has_index) {
        rc = api_array_parse(job.array, job.view.n_tasks, &array, err);
        rc = rc < 0 ? rc : api_array_find(&array, id, index, &task.ordinal, err);
        /* without a row it has never left the queue */
        int found = rc < 0 ? rc : s->ops->get_task(s, task, on_task_state, &state, err);
        rc = found == -WEIR_ENOTFOUND && rc == 0 ? 0 : found;
    }
    if (rc == 0 && weir_task_state_is_final(state)) {
        rc = weir_fail(err, -WEIR_ECONFLICT, "task %" PRIu64 "_%" PRIu32 " has ended already: it %s%s", id.v, index,
                       state == WEIR_TASK_CANCELLED ? "was " : "", weir_task_state_name(state));
    }
    api_reader_put(a, which);
    api_job_release(&job);
    return rc;
}

static void cancel_finish(struct api_call *call)
{
    struct weir_job_id id = call->cmd.u.cancel.job;
    if (call->cmd.code == 0) {
        reply_job(call->api, call->http, id, NULL);
        return;
    }
    /* it ended in between */
    struct weir_err err = {{0}};
    int rc = check_cancel(call->api, id, call->cmd.u.cancel.has_index, call->cmd.u.cancel.index, &err);
    api_fail(call->http, rc < 0 ? rc : call->cmd.code, rc < 0 ? &err : &call->cmd.err);
}

static void cancel_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0 && cmd->code != -WEIR_ENOTFOUND) {
        api_fail(call->http, cmd->code, &cmd->err);
        api_call_free(call);
        return;
    }
    api_call_defer(call);
}

void api_handle_cancel(struct api_request *rq)
{
    const struct api_value *task = api_param(rq, "task");
    int rc = check_cancel(rq->api, (struct weir_job_id){rq->path[0].number}, task->is_given, (uint32_t)task->number,
                          &rq->err);
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_CANCEL);
    call->cmd.u.cancel.job.v = rq->path[0].number;
    call->cmd.u.cancel.has_index = api_param(rq, "task")->is_given;
    call->cmd.u.cancel.index = (uint32_t)api_number(rq, "task", 0);
    call->finish = cancel_finish;
    call->cmd.done = cancel_done;
    api_call_post(call);
}

static void wait_finish(struct api_call *call)
{
    struct weir_service *s = call->api->conf.service;
    if (!s->ops->is_still(s, &call->who)) { /* it was long under way */
        struct weir_err err;
        api_fail(call->http, weir_fail(&err, -WEIR_EDENIED, "this credential was revoked, or its rights have changed"), &err);
        return;
    }
    reply_job(call->api, call->http, call->cmd.u.wait.job, NULL);
}

void api_handle_wait(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_WAIT_JOB);
    call->cmd.u.wait.job.v = rq->path[0].number;
    call->cmd.u.wait.timeout = weir_dur_s((int64_t)api_number(rq, "timeout_s", WAIT_DEFAULT_S));
    call->finish = wait_finish;
    api_call_post(call);
}

/* ---- list of jobs ---- */

struct job_list {
    WEIR_VEC(struct api_job) jobs;
};

static int on_any_job(void *ctx, const struct weir_job_row *row)
{
    (void)row;
    *(bool *)ctx = true;
    return 0;
}

static int on_list_job(void *ctx, const struct weir_job_row *row)
{
    struct job_list *l = ctx;
    struct api_job job;
    api_job_set(&job, row, false);
    weir_vec_push(&l->jobs, job);
    return 0;
}

void api_list_end(struct weir_json *j, bool has_more, uint64_t cursor)
{
    weir_json_end(j);
    weir_json_key(j, "next");
    if (has_more) {
        char buf[24];
        (void)snprintf(buf, sizeof buf, "%" PRIu64, cursor);
        weir_json_cstr(j, buf);
    } else {
        weir_json_null(j);
    }
    weir_json_end(j);
}

static void jobs_finish(struct api_call *call)
{
    struct weir_api *a = call->api;
    struct weir_err err = {{0}};
    const struct api_value *limit = api_call_param(call, "limit");
    struct weir_project_set own;
    struct weir_job_filter f = {
        .within = api_within(call->reach, &call->who, &own),
        .project = api_call_param(call, "project")->text,
        .user = api_call_param(call, "user")->text,
        .name = api_call_param(call, "name")->text,
        .states = (uint32_t)api_call_param(call, "state")->number,
        .before = api_call_param(call, "cursor")->number,
        .limit = limit->is_given ? (uint32_t)limit->number : API_LIST_LIMIT,
    };
    struct api_accrued accrued;
    api_accrued_set(&accrued, &call->cmd);
    struct job_list l = {0};
    unsigned which;
    struct weir_store *s = api_reader_take(a, &which);
    int rc = s->ops->list_jobs(s, &f, on_list_job, &l, &err);
    for (size_t i = 0; rc == 0 && i < l.jobs.n; i++) {
        rc = api_job_fill(s, &l.jobs.p[i], &err);
        l.jobs.p[i].accruing_micro = api_accrued_job(&accrued, l.jobs.p[i].view.id);
        l.jobs.p[i].held = api_accrued_parked(&accrued, &l.jobs.p[i].view);
    }
    api_accrued_release(&accrued);
    bool has_more = false;
    if (rc == 0 && l.jobs.n > 0 && l.jobs.n == f.limit) {
        f.before = l.jobs.p[l.jobs.n - 1].view.id.v;
        f.limit = 1;
        rc = s->ops->list_jobs(s, &f, on_any_job, &has_more, &err);
    }
    api_reader_put(a, which);
    if (rc == 0) {
        struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
        struct weir_json j = weir_json_begin(&out);
        weir_json_object(&j);
        weir_json_key(&j, "items");
        weir_json_array(&j);
        for (size_t i = 0; i < l.jobs.n; i++) {
            api_job_json(&j, &l.jobs.p[i], a->conf.currency);
        }
        api_list_end(&j, has_more, l.jobs.n == 0 ? 0 : l.jobs.p[l.jobs.n - 1].view.id.v);
        api_reply(call->http, 200, &out);
    } else {
        api_fail(call->http, rc, &err);
    }
    for (size_t i = 0; i < l.jobs.n; i++) {
        api_job_release(&l.jobs.p[i]);
    }
    weir_vec_release(&l.jobs);
}

void api_handle_jobs(struct api_request *rq)
{
    post_accrued(rq, 0, jobs_finish);
}

/* ---- list of tasks ---- */

/*
 * Tasks that have never left WAITING have no row; they are made up from the gaps between the rows.
 */
struct task_list {
    const struct api_job *job;
    const struct api_array *array;
    const struct api_node_names *names;
    const struct api_accrued *accrued;
    const char *currency;
    struct weir_json j;
    uint32_t states; /* mask; 0: any */
    uint32_t limit;
    uint32_t n;      /* written */
    uint32_t next;   /* ordinal that comes next */
    uint32_t end;    /* ordinal to stop before */
    uint32_t n_rows; /* of this scan */
};

static bool is_wanted(const struct task_list *l, enum weir_task_state state)
{
    return l->states == 0 || (l->states >> state & 1) != 0;
}

/* Tasks without a row up to (not including) ordinal. */
static void fill_gap(struct task_list *l, uint32_t ordinal)
{
    if (!is_wanted(l, WEIR_TASK_WAITING)) {
        l->next = ordinal;
        return;
    }
    for (; l->next < ordinal && l->n < l->limit; l->next++, l->n++) {
        struct weir_task_row row = {.view = {.id = {l->job->view.id, l->next},
                                             .state = WEIR_TASK_WAITING,
                                             .reason = api_waiting_reason(l->job, WEIR_REASON_NONE),
                                             .n_nodes = 1,
                                             .queued = l->job->view.submitted}};
        api_task_json(&l->j, &row, 0, l->array, l->names, l->currency);
    }
}

static int on_list_task(void *ctx, const struct weir_task_row *row)
{
    struct task_list *l = ctx;
    l->n_rows++;
    if (row->view.id.ordinal < l->next) {
        return 0;
    }
    fill_gap(l, row->view.id.ordinal < l->end ? row->view.id.ordinal : l->end);
    if (l->n == l->limit || row->view.id.ordinal >= l->end) {
        return 1;
    }
    l->next = row->view.id.ordinal + 1;
    if (is_wanted(l, row->view.state)) {
        struct weir_task_row shown = *row;
        if (row->view.state == WEIR_TASK_WAITING) { /* that says more than why it waits again */
            shown.view.reason = api_waiting_reason(l->job, row->view.reason);
        }
        api_task_json(&l->j, &shown, api_accrued_task(l->accrued, row->view.id), l->array, l->names, l->currency);
        l->n++;
    }
    return 0;
}

static int scan_tasks(struct weir_store *s, struct task_list *l, struct weir_err *err)
{
    uint32_t seen = 0;
    bool filter_rows = l->states != 0 && !is_wanted(l, WEIR_TASK_WAITING);
    while (l->n < l->limit && l->next < l->end && seen < TASK_SCAN_MAX) {
        uint32_t left = l->end - l->next;
        struct weir_task_filter f = {.job = l->job->view.id,
                                     .from_ordinal = l->next,
                                     .limit = left < API_LIST_LIMIT_MAX ? left : API_LIST_LIMIT_MAX,
                                     .states = filter_rows ? l->states : 0};
        l->n_rows = 0;
        int rc = s->ops->list_tasks(s, &f, on_list_task, l, err);
        if (rc != 0) {
            return rc < 0 ? rc : 0; /* 1: the page is full */
        }
        seen += l->n_rows;
        if (l->n_rows < f.limit) {
            fill_gap(l, l->end);
        }
    }
    return 0;
}

static int list_tasks(const struct api_call *call, struct weir_store *s, struct weir_str *out, struct weir_err *err)
{
    struct api_accrued accrued;
    struct api_job job;
    struct api_array array;
    struct api_node_names names = {0};
    int rc = api_job_get(s, call->cmd.u.accrued.job, false, &job, err);
    if (rc < 0) {
        return rc;
    }
    rc = api_array_parse(job.array, job.view.n_tasks, &array, err);
    rc = rc < 0 ? rc : api_node_names_load(s, &names, err);
    api_accrued_set(&accrued, &call->cmd);
    job.held = api_accrued_parked(&accrued, &job.view);
    const struct api_value *limit = api_call_param(call, "limit");
    struct task_list l = {.job = &job,
                          .array = &array,
                          .names = &names,
                          .accrued = &accrued,
                          .currency = call->api->conf.currency,
                          .j = weir_json_begin(out),
                          .states = (uint32_t)api_call_param(call, "state")->number,
                          .limit = limit->is_given ? (uint32_t)limit->number : API_LIST_LIMIT};
    uint64_t cursor = api_call_param(call, "cursor")->number;
    const struct api_value *index = api_call_param(call, "index");
    l.end = job.view.n_tasks;
    l.next = cursor > l.end ? l.end : (uint32_t)cursor;
    if (rc == 0 && index->is_given) {
        uint32_t only = 0;
        rc = api_array_find(&array, job.view.id, index->number, &only, err);
        l.end = only + 1;
        l.next = l.next > only ? l.end : only;
    }
    weir_json_object(&l.j);
    weir_json_key(&l.j, "items");
    weir_json_array(&l.j);
    rc = rc < 0 ? rc : scan_tasks(s, &l, err);
    api_list_end(&l.j, l.next < l.end, l.next);
    api_accrued_release(&accrued);
    api_node_names_release(&names);
    api_job_release(&job);
    return rc;
}

/* Answers with what write makes of a reader of the store. */
static void reply_from_store(struct api_call *call, int (*write)(const struct api_call *call, struct weir_store *s,
                                                                 struct weir_str *out, struct weir_err *err))
{
    unsigned which;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct weir_store *s = api_reader_take(call->api, &which);
    int rc = write(call, s, &out, &err);
    api_reader_put(call->api, which);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    api_reply(call->http, 200, &out);
}

static void tasks_finish(struct api_call *call)
{
    reply_from_store(call, list_tasks);
}

void api_handle_tasks(struct api_request *rq)
{
    post_accrued(rq, rq->path[0].number, tasks_finish);
}

/* ---- explain ---- */

static int on_explain(void *ctx, const struct weir_explain_row *row)
{
    weir_json_raw(ctx, weir_sv_of(row->json));
    return 0;
}

static int explain_job(const struct api_call *call, struct weir_store *s, struct weir_str *out, struct weir_err *err)
{
    struct api_job job;
    struct api_array array;
    int rc = api_job_get(s, call->cmd.u.cancel.job, false, &job, err);
    if (rc < 0) {
        return rc;
    }
    struct weir_task_id task = {job.view.id, WEIR_ORDINAL_ALL};
    rc = api_array_parse(job.array, job.view.n_tasks, &array, err);
    if (rc == 0 && call->cmd.u.cancel.has_index) {
        rc = api_array_find(&array, job.view.id, call->cmd.u.cancel.index, &task.ordinal, err);
    }
    const struct api_value *limit = api_call_param(call, "limit");
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    weir_json_kv_u64(&j, "job", job.view.id.v);
    weir_json_key(&j, "items");
    weir_json_array(&j);
    if (rc == 0) {
        rc = s->ops->list_explains(s, task, limit->is_given ? (uint32_t)limit->number : API_LIST_LIMIT, on_explain, &j,
                                   err);
    }
    weir_json_end(&j);
    weir_json_key(&j, "now");
    if (rc == 0 && call->cmd.flag) {
        rc = explain_now(s, call, &array, &j, err);
    } else {
        weir_json_null(&j);
    }
    weir_json_end(&j);
    api_job_release(&job);
    return rc;
}

static void explain_finish(struct api_call *call)
{
    reply_from_store(call, explain_job);
}

/* A job that has ended is not known to the deciding core any more: that is no error here. */
static void explain_done(struct weir_command *cmd)
{
    if (cmd->code == -WEIR_ENOTFOUND || cmd->code == -WEIR_ECONFLICT) {
        cmd->code = 0;
        cmd->flag = false;
    }
    explained_done(cmd);
}

void api_handle_explain(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_EXPLAIN);
    call->cmd.u.cancel.job.v = rq->path[0].number;
    call->cmd.u.cancel.has_index = api_param(rq, "task")->is_given;
    call->cmd.u.cancel.index = (uint32_t)api_number(rq, "task", 0);
    call->finish = explain_finish;
    call->cmd.done = explain_done;
    api_call_post(call);
}
