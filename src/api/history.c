/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The broker's own record of work: every task that has left the queue, oldest job first, with what it asked for and what became of
 * it. A page is a bounded scan, so that a long history costs no request much: one that finds little in its span still says
 * where to go on.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/history.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"

enum {
    JOBS_SCAN_MAX = 1000, /* looked at for one page */
    ORDINAL_BITS = 20,    /* of a cursor: the ordinal below the job */
};
_Static_assert(WEIR_ARRAY_TASKS_MAX <= 1 << ORDINAL_BITS, "a cursor holds every ordinal");

/* What a job's specification asks for, of each node. */
struct asked {
    uint64_t id;
    struct api_job job;
    struct weir_str models; /* "A100|H100"; empty: any */
    uint64_t gpus; /* by the first wish */
    uint64_t nodes;
    int64_t cpu_milli;
    uint64_t mem_mib;
    struct weir_dur max_duration;
    struct weir_dur expected;
};

struct page {
    struct weir_store *store;
    struct weir_json j;
    struct weir_wall from;
    struct weir_wall to;
    const struct weir_project_set *within;
    uint32_t limit;
    uint32_t n; /* tasks written */
    WEIR_VEC(struct asked) jobs; /* of the span, of those that were looked at */
    uint32_t n_scanned;
    uint64_t last_scanned;
    const struct asked *now; /* whose tasks are being read */
    uint32_t after;          /* ordinal behind the task that was written last */
    struct api_array array;
    uint64_t next; /* cursor */
};

/* The text of a member, without quotes; the specification is weir's own, so that it has no escapes in such members. */
static struct weir_sv text_of(struct weir_sv object, const char *key)
{
    struct weir_sv v = weir_json_find(object, key);
    return v.n >= 2 && v.p[0] == '"' ? (struct weir_sv){v.p + 1, v.n - 2} : v;
}

/*
 * "A100:8,H100:8", "8": the models between '|', nothing where one wish takes any; and how many, by the wish for this model, else the
 * first. models may be NULL.
 */
static uint64_t read_gpus(const char *wishes, const char *model, struct weir_str *models)
{
    struct weir_sv rest = weir_sv_of(wishes == NULL ? "" : wishes);
    uint64_t gpus = 0;
    bool any = false;
    for (size_t i = 0; rest.p != NULL && rest.n > 0; i++) {
        struct weir_sv count = weir_sv_cut(&rest, ',');
        struct weir_sv name = weir_sv_cut(&count, ':');
        uint64_t n = 0;
        any = any || count.p == NULL;
        (void)weir_parse_u64(count.p == NULL ? name : count, 0, UINT32_MAX, &n, NULL);
        gpus = i == 0 || weir_sv_eq(name, weir_sv_of(model)) ? n : gpus;
        if (models != NULL) {
            weir_str_addf(models, "%s%.*s", i == 0 ? "" : "|", WEIR_SV_ARG(name));
        }
    }
    if (any && models != NULL) {
        weir_str_clear(models);
    }
    return gpus;
}

static int on_job(void *ctx, const struct weir_job_row *row)
{
    struct page *p = ctx;
    struct weir_sv spec = weir_sv_of(row->spec_json);
    struct weir_sv resources = weir_json_find(spec, "resources");
    struct asked a = {.id = row->view.id.v, .nodes = 1, .models = WEIR_STR_INIT(4096)};
    p->n_scanned++;
    p->last_scanned = a.id;
    if (row->view.submitted.us < p->from.us || row->view.submitted.us >= p->to.us) {
        return 0;
    }
    api_job_set(&a.job, row, false);
    a.gpus = read_gpus(a.job.gpus, "", &a.models);
    (void)weir_parse_u64(text_of(spec, "num_nodes"), 1, WEIR_GANG_NODES_MAX, &a.nodes, NULL);
    (void)weir_parse_decimal(text_of(resources, "cpus"), 3, &a.cpu_milli, NULL);
    (void)weir_parse_bytes(text_of(resources, "memory"), 1 << 30, &a.mem_mib, NULL);
    a.mem_mib >>= 20;
    (void)weir_parse_duration(text_of(spec, "max_duration"), &a.max_duration, NULL);
    (void)weir_parse_duration(text_of(spec, "expected"), &a.expected, NULL);
    weir_vec_push(&p->jobs, a);
    return 0;
}

static void release_jobs(struct page *p)
{
    for (size_t i = 0; i < p->jobs.n; i++) {
        api_job_release(&p->jobs.p[i].job);
        weir_str_release(&p->jobs.p[i].models);
    }
    weir_vec_release(&p->jobs);
}

static void kv_ms(struct weir_json *j, const char *key, struct weir_dur d)
{
    weir_json_key(j, key);
    if (d.us > 0) {
        weir_json_i64(j, d.us / WEIR_US_PER_MS);
    } else {
        weir_json_null(j);
    }
}

static int on_task(void *ctx, const struct weir_task_row *row)
{
    struct page *p = ctx;
    const struct asked *a = p->now;
    const struct weir_task_view *v = &row->view;
    struct weir_json *j = &p->j;
    const char *used = v->node.v == 0 || a->gpus == 0 ? "" : row->gpu_model;
    char id[48];
    api_task_text(&p->array, v->id, id, sizeof id);
    weir_json_object(j);
    weir_json_kv_cstr(j, "task", id);
    weir_json_kv_cstr(j, "state", weir_task_state_name(v->state));
    weir_json_kv_time(j, "submitted", a->job.view.submitted);
    weir_json_kv_time(j, "started", v->started);
    weir_json_kv_time(j, "ended", v->ended);
    kv_ms(j, "expected_ms", a->expected);
    kv_ms(j, "max_duration_ms", a->max_duration);
    weir_json_kv_u64(j, "nodes", a->nodes);
    weir_json_kv_u64(j, "gpus", read_gpus(a->job.gpus, used, NULL) * a->nodes);
    weir_json_kv_cstr(j, "gpu_model", weir_str_cstr(&a->models));
    weir_json_kv_cstr(j, "gpu_model_used", used);
    weir_json_kv_u64(j, "cpu_milli", (uint64_t)a->cpu_milli * a->nodes);
    weir_json_kv_u64(j, "mem_mib", a->mem_mib * a->nodes);
    weir_json_kv_i64(j, "priority", a->job.view.priority);
    weir_json_kv_cstr(j, "project", a->job.project);
    weir_json_kv_cstr(j, "user", a->job.user);
    weir_json_kv_cstr(j, "pool", v->node.v == 0 ? NULL : row->pool);
    weir_json_kv_cstr(j, "node", v->node.v == 0 ? NULL : row->node_name);
    weir_json_kv_u64(j, "attempts", v->attempt);
    weir_json_kv_i64(j, "cost_micro", row->cost_micro);
    weir_json_end(j);
    p->n++;
    p->after = v->id.ordinal + 1;
    return 0;
}

/* The tasks of one job from an ordinal on, until the page is full. */
static int read_tasks(struct page *p, const struct asked *a, uint32_t ordinal, struct weir_err *err)
{
    struct weir_task_filter f = {.job = {a->id}, .from_ordinal = ordinal, .limit = p->limit - p->n};
    p->now = a;
    p->after = ordinal;
    int r = api_array_parse(a->job.array, a->job.view.n_tasks, &p->array, err);
    r = r < 0 ? r : p->store->ops->list_tasks(p->store, &f, on_task, p, err);
    if (p->n == p->limit) {
        p->next = a->id << ORDINAL_BITS | p->after;
    }
    return r;
}

/* Fills the page; next stays 0 where nothing is left. */
static int read_page(struct page *p, uint64_t cursor, struct weir_err *err)
{
    uint64_t job = cursor >> ORDINAL_BITS;
    uint32_t ordinal = (uint32_t)(cursor & ((1U << ORDINAL_BITS) - 1));
    struct weir_job_filter f = {.within = p->within, .from = job == 0 ? 1 : job, .limit = JOBS_SCAN_MAX};
    int r = p->store->ops->list_jobs(p->store, &f, on_job, p, err);
    for (size_t i = 0; i < p->jobs.n && r == 0 && p->n < p->limit; i++) {
        const struct asked *a = &p->jobs.p[i];
        r = read_tasks(p, a, a->id == job ? ordinal : 0, err);
    }
    if (r == 0 && p->n < p->limit && p->n_scanned == JOBS_SCAN_MAX) {
        p->next = (p->last_scanned + 1) << ORDINAL_BITS;
    }
    return r;
}

int weir_history_page(struct weir_store *store, const struct weir_history_query *q, struct weir_str *out, uint64_t *ret_next, struct weir_err *err)
{
    struct page p = {.within = q->within, .store = store, .j = weir_json_begin(out), .from = q->from, .to = q->to, .limit = q->limit};
    weir_json_object(&p.j);
    weir_json_key(&p.j, "items");
    weir_json_array(&p.j);
    int rc = read_page(&p, q->cursor, err);
    release_jobs(&p);
    if (rc < 0) {
        return rc;
    }
    weir_json_end(&p.j);
    weir_json_key(&p.j, "next");
    if (p.next != 0) {
        char buf[24];
        (void)snprintf(buf, sizeof buf, "%" PRIu64, p.next);
        weir_json_cstr(&p.j, buf);
    } else {
        weir_json_null(&p.j);
    }
    weir_json_end(&p.j);
    *ret_next = p.next;
    return 0;
}

static void history_finish(struct api_call *call)
{
    const struct api_value *limit = api_call_param(call, "limit");
    const struct api_value *to = api_call_param(call, "to");
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    unsigned which;
    uint64_t next = 0;
    struct weir_project_set own;
    const struct weir_history_query q = {
        .within = api_within(call->reach, &call->who, &own),
        .from = api_call_param(call, "from")->time,
        .to = to->is_given ? to->time : WEIR_WALL_MAX,
        .limit = limit->is_given ? (uint32_t)limit->number : API_LIST_LIMIT,
        .cursor = api_call_param(call, "cursor")->number,
    };
    struct weir_store *store = api_reader_take(call->api, &which);
    int rc = weir_history_page(store, &q, &out, &next, &err);
    api_reader_put(call->api, which);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    api_reply(call->http, 200, &out);
}

void api_handle_history(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_ACCRUED);
    call->finish = history_finish;
    call->lane = API_LANE_SLOW;
    api_call_defer(call);
}
