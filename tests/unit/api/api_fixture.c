/* SPDX-License-Identifier: Apache-2.0 */

#include "api_fixture.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"

#define AT(s)                                                                                                          \
    {                                                                                                                  \
        INT64_C(1795377600000000) + (s)*INT64_C(1000000)                                                               \
    }

const struct weir_wall fixture_now = AT(0);

/* ---- the store ---- */

static struct fixture_store *of(struct weir_store *s)
{
    return (struct fixture_store *)s;
}

static int enter(struct weir_store *s, struct weir_err *err)
{
    (void)pthread_mutex_lock(&of(s)->lock);
    if (of(s)->broken) {
        (void)pthread_mutex_unlock(&of(s)->lock);
        return weir_fail(err, -WEIR_EIO, "the disk does not answer");
    }
    return 0;
}

static void leave(struct weir_store *s)
{
    (void)pthread_mutex_unlock(&of(s)->lock);
}

static const struct weir_job_row job_rows[] = {
    {.view = {.id = {12},
              .project = {1},
              .user = {1},
              .priority = 50,
              .n_tasks = 100,
              .parallel_max = 10,
              .state = WEIR_JOB_RUNNING,
              .count = {97, 0, 1, 0, 1, 1, 0},
              .submitted = AT(-3600),
              .started = AT(-3599)},
     .name = "train",
     .project = "vision",
     .user = "ada",
     .tags_json = "{\"team\":\"perception\"}",
     .spec_json = "{\"name\":\"train\",\"resources\":{\"accelerators\":\"A100:1\"},\"array\":\"0-99%10\",\"run\":"
                  "\"echo \\\"array\\\": [x\"}",
     .cost_micro = 123456},
    {.view = {.id = {13},
              .project = {1},
              .user = {1},
              .priority = 50,
              .n_tasks = 1,
              .state = WEIR_JOB_SUCCEEDED,
              .count = {0, 0, 0, 0, 1, 0, 0},
              .submitted = AT(-3000),
              .started = AT(-2999),
              .ended = AT(-2900)},
     .name = "once",
     .project = "vision",
     .user = "ada",
     .tags_json = "{}",
     .spec_json = "{\"name\":\"once\",\"run\":\"true\"}",
     .cost_micro = 7},
    {.view = {.id = {14},
              .project = {1},
              .user = {1},
              .priority = 50,
              .n_tasks = 1,
              .state = WEIR_JOB_WAITING,
              .count = {1},
              .submitted = AT(-60)},
     .name = "later",
     .project = "vision",
     .user = "ada",
     .tags_json = "{}",
     .spec_json = "{\"name\":\"later\",\"resources\":{\"accelerators\":[\"H100:8\",\"A100:8\"]},\"run\":\"true\"}"},
    {.view = {.id = {15},
              .project = {1},
              .user = {1},
              .priority = 50,
              .n_tasks = 1,
              .state = WEIR_JOB_RUNNING,
              .count = {0, 0, 1, 0, 0, 0, 0},
              .submitted = AT(-60),
              .started = AT(-50)},
     .name = "gang",
     .project = "vision",
     .user = "ada",
     .tags_json = "{}",
     .spec_json = "{\"name\":\"gang\",\"num_nodes\":2,\"run\":\"true\"}"},
};

static const struct weir_node_id gang_nodes[] = {{1}, {1003}};
static const uint32_t gang_masks[] = {1, 1};

static const struct weir_task_row task_rows[] = {
    {.view = {.id = {{12}, 0},
              .state = WEIR_TASK_SUCCEEDED,
              .reason = WEIR_REASON_EXIT,
              .attempt = 1,
              .node = {1},
              .gpu_mask = 1,
              .n_nodes = 1,
              .queued = AT(-3600),
              .started = AT(-3599),
              .ended = AT(-3000)},
     .text = "",
     .node_name = "host1",
     .pool = "local",
     .gpu_model = "A100",
     .cost_micro = 12},
    {.view = {.id = {{12}, 1},
              .state = WEIR_TASK_FAILED,
              .reason = WEIR_REASON_EXIT,
              .attempt = 1,
              .node = {1},
              .gpu_mask = 2,
              .n_nodes = 1,
              .queued = AT(-3600),
              .started = AT(-3599),
              .ended = AT(-3000),
              .exit_code = 7},
     .text = "exit status 7",
     .node_name = "host1",
     .pool = "local",
     .gpu_model = "A100",
     .cost_micro = 12},
    {.view = {.id = {{12}, 2},
              .state = WEIR_TASK_RUNNING,
              .attempt = 2,
              .node = {1},
              .gpu_mask = 4,
              .n_nodes = 1,
              .queued = AT(-3600),
              .started = AT(-100)},
     .text = "",
     .node_name = "host1",
     .pool = "local",
     .gpu_model = "A100",
     .cost_micro = 12},
    {.view = {.id = {{13}, 0},
              .state = WEIR_TASK_SUCCEEDED,
              .reason = WEIR_REASON_EXIT,
              .attempt = 1,
              .node = {1},
              .n_nodes = 1,
              .queued = AT(-3000),
              .started = AT(-2999),
              .ended = AT(-2900)},
     .text = "",
     .node_name = "host1",
     .pool = "local",
     .gpu_model = "A100",
     .cost_micro = 7},
    {.view = {.id = {{15}, 0},
              .state = WEIR_TASK_RUNNING,
              .attempt = 1,
              .node = {1},
              .gpu_mask = 1,
              .n_nodes = 2,
              .gang_node = gang_nodes,
              .gang_mask = gang_masks,
              .queued = AT(-60),
              .started = AT(-50)},
     .text = "",
     .node_name = "host1",
     .pool = "local"},
};

static const struct weir_node_row node_rows[] = {
    {.view = {.spec = {.id = {1},
                       .pool = {0},
                       .gpus = 4,
                       .gpu_mem_mib = 40960,
                       .cpu_milli = 16000,
                       .mem_mib = 64000,
                       .rates = {.full_micro_per_hour = 4000000, .marginal_busy_micro_per_hour = 300000}},
              .state = WEIR_NODE_UP,
              .joined = true,
              .since = AT(-7200),
              .gpu_free_mask = 0xe,
              .cpu_free_milli = 15000,
              .mem_free_mib = 64000,
              .n_runs = 1},
     .gpu_model = "A100",
     .agent_id = "00",
     .name = "host1",
     .pool = "local",
     .address = "127.0.0.1",
     .detail_json = "{\"declared\":true,\"energy\":\"modelled\"}",
     .seen = AT(-1)},
    {.view = {.spec = {.id = {1003},
                       .pool = {1},
                       .lease = {3},
                       .gpus = 8,
                       .gpu_mem_mib = 40960,
                       .cpu_milli = 96000,
                       .mem_mib = 1179648,
                       .region = "us-east-1",
                       .provider = "sandbox",
                       .rates = {.full_micro_per_hour = 9000000}},
              .state = WEIR_NODE_UP,
              .joined = true,
              .since = AT(-1800),
              .gpu_free_mask = 0xff},
     .gpu_model = "A100",
     .agent_id = "",
     .name = "lease-3",
     .pool = "sandbox",
     .address = "",
     .detail_json = "{}",
     .seen = AT(-1)},
};

static const struct weir_lease_row lease_rows[] = {
    {.view = {.id = {3},
              .node = {1003},
              .state = WEIR_LEASE_READY,
              .offer = {.id = 77,
                        .provider = "sandbox",
                        .region = "us-east-1",
                        .instance_type = "p4d.24xlarge",
                        .market = WEIR_OFFER_SPOT,
                        .gpus = 8,
                        .gpu_mem_mib = 40960,
                        .price_micro_per_hour = 9000000},
              .task = {{12}, 0},
              .intent_at = AT(-1900),
              .confirmed_at = AT(-1800),
              .ready_at = AT(-1700),
              .expires = AT(3600)},
     .gpu_model = "A100",
     .token = "w-3",
     .instance = "i-1",
     .text = ""},
};

static int f_get_job(struct weir_store *s, struct weir_job_id id, weir_job_row_fn *fn, void *ctx, struct weir_err *err)
{
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    rc = weir_fail(err, -WEIR_ENOTFOUND, "no such job");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(job_rows); i++) {
        if (job_rows[i].view.id.v == id.v) {
            rc = fn(ctx, &job_rows[i]);
        }
    }
    leave(s);
    return rc;
}

static int f_list_jobs(struct weir_store *s, const struct weir_job_filter *f, weir_job_row_fn *fn, void *ctx,
                       struct weir_err *err)
{
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    uint32_t n = 0;
    for (size_t i = 0; rc == 0 && i < WEIR_ARRAY_LEN(job_rows) && n < f->limit; i++) {
        const struct weir_job_row *r = &job_rows[f->from != 0 ? i : WEIR_ARRAY_LEN(job_rows) - 1 - i];
        bool fits =
            (f->before == 0 || r->view.id.v < f->before) && r->view.id.v >= f->from && (f->states == 0 || (f->states >> r->view.state & 1) != 0) &&
            (f->name == NULL || weir_streq(f->name, r->name)) && (f->user == NULL || weir_streq(f->user, r->user)) &&
            (f->project == NULL || weir_streq(f->project, r->project));
        if (fits) {
            n++;
            rc = fn(ctx, r);
        }
    }
    leave(s);
    return rc;
}

static int f_list_tasks(struct weir_store *s, const struct weir_task_filter *f, weir_task_row_fn *fn, void *ctx,
                        struct weir_err *err)
{
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    uint32_t n = 0;
    for (size_t i = 0; rc == 0 && i < of(s)->n_tasks && n < f->limit; i++) {
        const struct weir_task_row *r = &of(s)->task[i];
        if (r->view.id.job.v == f->job.v && r->view.id.ordinal >= f->from_ordinal &&
            (f->states == 0 || (f->states >> r->view.state & 1) != 0)) {
            n++;
            rc = fn(ctx, r);
        }
    }
    leave(s);
    return rc;
}

static int f_get_task(struct weir_store *s, struct weir_task_id id, weir_task_row_fn *fn, void *ctx,
                      struct weir_err *err)
{
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    rc = -WEIR_ENOTFOUND;
    for (size_t i = 0; i < of(s)->n_tasks; i++) {
        if (weir_task_id_eq(of(s)->task[i].view.id, id)) {
            rc = fn(ctx, &of(s)->task[i]);
        }
    }
    leave(s);
    return rc;
}

#define EACH(name, row_type, fn_type, rows)                                                                            \
    static int name(struct weir_store *s, fn_type *fn, void *ctx, struct weir_err *err)                                \
    {                                                                                                                  \
        int rc = enter(s, err);                                                                                        \
        if (rc < 0) {                                                                                                  \
            return rc;                                                                                                 \
        }                                                                                                              \
        for (size_t i = 0; rc == 0 && i < WEIR_ARRAY_LEN(rows); i++) {                                                 \
            rc = fn(ctx, &rows[i]);                                                                                    \
        }                                                                                                              \
        leave(s);                                                                                                      \
        return rc;                                                                                                     \
    }

static const struct weir_project_row project_rows[] = {
    {.view = {.id = {0}, .weight = 100, .delay_cost_micro_per_hour = 100000}, .name = "default"},
    {.view = {.id = {1}, .weight = 200, .delay_cost_micro_per_hour = 100000}, .name = "vision"},
};
static const struct weir_name_row pool_rows[] = {{0, "local", "{\"kind\":\"placed\"}"},
                                                 {1, "sandbox", "{\"kind\":\"placed\"}"}};
static const struct weir_meter meter_rows[] = {
    {.info = {.node = {1}, .pool = {0}, .owned = true, .cost = {.purchase_micro = INT64_C(87600) * 1000000,
                                                                .life = {INT64_C(35040) * WEIR_US_PER_HOUR},
                                                                .upkeep_micro_per_year = INT64_C(8760) * 1000000,
                                                                .tariff_micro_per_kwh = 100000,
                                                                .pue_milli = 1500,
                                                                .idle_watts = 1000,
                                                                .busy_watts = 3000}}},
    {.info = {.node = {1003}, .lease = {3}, .pool = {1}, .price_micro_per_hour = 9000000}},
};
EACH(f_each_project, weir_project_row, weir_project_row_fn, project_rows)
static const struct weir_budget_row budget_rows[] = {
    {.view = {.id = {1},
              .def = {.name = "vision",
                      .scope = WEIR_BUDGET_PROJECT,
                      .amount_micro = 100000000,
                      .n_thresholds = 2,
                      .threshold = {{80, WEIR_BUDGET_WARN}, {95, WEIR_BUDGET_STOP_NEW}}},
              .span_from = {INT64_C(1793491200000000)},
              .span_until = {INT64_C(1796083200000000)},
              .charged_micro = 90000000,
              .held_micro = 4000000,
              .reached = 1},
     .project = "vision",
     .user = ""},
    {.view = {.id = {2},
              .def = {.name = "team", .scope = WEIR_BUDGET_TAG, .span = WEIR_BUDGET_FOREVER, .cloud_only = true, .tag = "\"team\":\"a\\\"b\"", .amount_micro = 5000000}},
     .project = "",
     .user = ""},
};
static const struct weir_quota_row quota_rows[] = {
    {.view = {.id = {1},
              .def = {.name = "vision",
                      .scope = WEIR_BUDGET_PROJECT,
                      .counts = WEIR_QUOTA_GPUS,
                      .span = WEIR_BUDGET_FOREVER,
                      .gpu_model = WEIR_GPU_MODEL_ANY,
                      .project = {1},
                      .limit = 16},
              .n = 12},
     .gpu_model = "H100",
     .project = "vision"},
    {.view = {.id = {2},
              .def = {.name = "hours", .scope = WEIR_BUDGET_ORGANISATION, .counts = WEIR_QUOTA_GPU_HOURS, .span = WEIR_BUDGET_FOREVER, .gpu_model = WEIR_GPU_MODEL_ANY, .limit = 36000000},
              .used_ms = 7200500,
              .held_ms = 3600000,
              .begun_ms = 600000,
              .as_of = {INT64_C(4102444800000000)}},
     .gpu_model = ""},
};

EACH(f_each_quota, weir_quota_row, weir_quota_row_fn, quota_rows)
EACH(f_each_budget, weir_budget_row, weir_budget_row_fn, budget_rows)
EACH(f_each_pool, weir_name_row, weir_name_row_fn, pool_rows)
EACH(each_node_all, weir_node_row, weir_node_row_fn, node_rows)
EACH(each_lease_all, weir_lease_row, weir_lease_row_fn, lease_rows)

EACH(f_each_meter, weir_meter, weir_meter_row_fn, meter_rows)

static int f_each_node(struct weir_store *s, bool gone_too, weir_node_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)gone_too;
    return each_node_all(s, fn, ctx, err);
}

static int f_each_lease(struct weir_store *s, bool ended_too, weir_lease_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)ended_too;
    return each_lease_all(s, fn, ctx, err);
}

static int f_each_posting(struct weir_store *s, uint64_t after, weir_posting_row_fn *fn, void *ctx,
                          struct weir_err *err)
{
    const struct weir_posting rows[] = {
        {.id = 1,
         .at = AT(0),
         .from = AT(-60),
         .to = AT(0),
         .node = {1},
         .debit = WEIR_ACCOUNT_NODE,
         .credit = WEIR_ACCOUNT_DEPRECIATION,
         .amount_micro = 100},
        {.id = 2,
         .at = AT(0),
         .from = AT(-60),
         .to = AT(0),
         .node = {1},
         .debit = WEIR_ACCOUNT_IDLE,
         .credit = WEIR_ACCOUNT_NODE,
         .amount_micro = of(s)->unbalanced ? 99 : 100},
    };
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < WEIR_ARRAY_LEN(rows); i++) {
        if (rows[i].id > after) {
            rc = fn(ctx, &rows[i]);
        }
    }
    leave(s);
    return rc;
}

static int f_each_correction(struct weir_store *s, uint64_t after, weir_correction_row_fn *fn, void *ctx, struct weir_err *err)
{
    static const struct weir_correction_row row = {.id = 1, .at = AT(0), .kind = "credit", .who = "ada", .reason = "ticket 7", .micro = -40};
    (void)s, (void)err;
    return after < row.id ? fn(ctx, &row) : 0;
}

static int f_each_invoice_line(struct weir_store *s, struct weir_lease_id lease, weir_invoice_line_row_fn *fn, void *ctx, struct weir_err *err)
{
    const struct weir_invoice_line_row row = {.lease = lease, .line = 1, .from = AT(-60), .to = AT(0), .nano = 500000};
    (void)s, (void)err;
    return fn(ctx, &row);
}

static int f_first_posting(struct weir_store *s, struct weir_wall t, uint64_t *ret, struct weir_err *err)
{
    (void)s, (void)t, (void)err;
    *ret = 1;
    return 0;
}

static int f_each_user(struct weir_store *s, weir_name_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int f_get_meta(struct weir_store *s, const char *key, char *buf, size_t size, struct weir_err *err)
{
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    if (weir_streq(key, WEIR_META_INSTALLATION)) {
        (void)snprintf(buf, size, "0123456789abcdef");
        leave(s);
        return 0;
    }
    assert_string_equal(key, WEIR_META_LAST_POSTING);
    (void)snprintf(buf, size, "%d", of(s)->cut_off ? 3 : 2);
    leave(s);
    return 0;
}

static int f_list_events(struct weir_store *s, const struct weir_event_filter *f, uint64_t *ret_seen, bool *ret_more,
                         weir_event_row_fn *fn, void *ctx, struct weir_err *err)
{
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    uint32_t n = 0;
    for (size_t i = 0; rc == 0 && i < of(s)->n_events && n < f->limit; i++) {
        const struct weir_event_row *r = &of(s)->event[i];
        if (r->id > f->after && (f->job.v == 0 || f->job.v == r->job.v)) {
            n++;
            *ret_seen = r->id;
            rc = fn(ctx, r);
        }
    }
    *ret_more = n == f->limit;
    leave(s);
    return rc;
}

static const struct weir_access_row access_rows[] = {{"ada", "user", false, "{\"vision\":\"owner\"}"}, {"bob", "finance", true, "{}"}};
static const struct weir_token_row token_rows[] = {
    {.hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", .name = "laptop", .role = "viewer", .user = "user-user", .created = AT(-60),
     .created_by = "ada", .projects = "vision,speech"},
    {.hash = "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", .name = "token", .role = "admin", .user = "ada"}};
static const struct weir_audit_row audit_rows[] = {
    {.id = 1, .at = AT(-60), .user = "ada", .role = "admin", .token = "", .peer = "127.0.0.1", .action = "user.set", .object = "user bob", .before = "",
     .after = "{\"role\":\"finance\"}"}};
EACH(f_each_access, weir_access_row, weir_access_row_fn, access_rows)
EACH(f_each_token, weir_token_row, weir_token_row_fn, token_rows)
EACH(each_audit_all, weir_audit_row, weir_audit_row_fn, audit_rows)

static int f_list_audit(struct weir_store *s, const struct weir_audit_filter *f, weir_audit_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)f;
    return each_audit_all(s, fn, ctx, err);
}

static const char stored_explain[] = "{\"seq\":1,\"at\":\"2026-11-22T19:00:00Z\",\"task\":\"12_0\",\"attempt\":1,"
                                     "\"decision\":\"start\",\"other\":null,\"node\":\"host1\",\"lease\":null,"
                                     "\"reason\":null,\"queue_ahead\":0,\"expected_run_s\":60,\"margin_micro\":null,"
                                     "\"considered\":1,\"rejected\":{},\"candidates\":[],\"text\":\"x\"}";

static int f_list_explains(struct weir_store *s, struct weir_task_id task, uint32_t limit, weir_explain_row_fn *fn,
                           void *ctx, struct weir_err *err)
{
    (void)limit;
    struct weir_explain_row row = {.task = {{12}, 0}, .seq = 1, .json = stored_explain};
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    if (task.job.v == 12 && (task.ordinal == 0 || task.ordinal == WEIR_ORDINAL_ALL)) {
        rc = fn(ctx, &row);
    }
    leave(s);
    return rc;
}

static int f_bill(struct weir_store *s, const struct weir_bill_filter *f, const enum weir_bill_by *by,
                  const char *const *tag, size_t n_by, weir_bill_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)tag;
    struct weir_bill_row used = {.gpu_us = 3600000000, .used_micro = 100, .waste_micro = {1, 2, 3}, .total_micro = 106};
    struct weir_bill_row idle = {.idle_micro = 50, .total_micro = 50, .cost_micro = {0, 100, 50, 6}};
    for (size_t i = 0; i < n_by; i++) {
        used.key[i] = by[i] == WEIR_BILL_BY_PROJECT ? "vision" : by[i] == WEIR_BILL_BY_POOL ? "local" : "x";
        idle.key[i] = "";
    }
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    if (f->project == NULL || weir_streq(f->project, "vision")) {
        rc = fn(ctx, &used);
    }
    if (rc == 0 && f->project == NULL) {
        rc = fn(ctx, &idle);
    }
    leave(s);
    return rc;
}

static int f_each_total(struct weir_store *s, weir_total_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct weir_total_row used = {"vision", "local", WEIR_ACCOUNT_JOB, 100};
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    rc = fn(ctx, &used);
    leave(s);
    return rc;
}

/* The first attempt of the task that runs for the second time was on node 1; of the gang that has ended rank 1 was on 1003. */
static int f_was_on(struct weir_store *s, struct weir_run_id run, struct weir_node_id node, bool *ret, struct weir_err *err)
{
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    *ret = run.attempt == 1 && ((run.task.job.v == 12 && run.task.ordinal == 2 && node.v == 1) || (run.task.job.v == 15 && node.v == 1003));
    leave(s);
    return 0;
}

static int f_first_event(struct weir_store *s, uint64_t *ret, struct weir_err *err)
{
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    *ret = 1;
    leave(s);
    return 0;
}

static const struct weir_store_ops store_ops = {
    .name = "fixture",
    .get_job = f_get_job,
    .list_jobs = f_list_jobs,
    .list_tasks = f_list_tasks,
    .get_task = f_get_task,
    .each_project = f_each_project,
    .each_budget = f_each_budget,
    .each_quota = f_each_quota,
    .each_pool = f_each_pool,
    .each_node = f_each_node,
    .each_meter = f_each_meter,
    .each_lease = f_each_lease,
    .each_posting = f_each_posting,
    .first_posting = f_first_posting,
    .each_invoice_line = f_each_invoice_line,
    .each_correction = f_each_correction,
    .each_user = f_each_user,
    .get_meta = f_get_meta,
    .each_total = f_each_total,
    .list_events = f_list_events,
    .each_access = f_each_access,
    .each_token = f_each_token,
    .list_audit = f_list_audit,
    .first_event = f_first_event,
    .was_on = f_was_on,
    .list_explains = f_list_explains,
    .bill = f_bill,
};

/* ---- the service ---- */

static void s_post(struct weir_service *s, struct weir_command *cmd)
{
    struct fixture_service *f = (struct fixture_service *)s;
    assert_non_null(cmd->who);
    (void)pthread_mutex_lock(&f->lock);
    cmd->next = NULL;
    *f->tail = cmd;
    f->tail = &cmd->next;
    (void)pthread_cond_signal(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
}

/* Their GPU model is filled in at the start. */
static struct weir_offer known_offers[] = {
    {.id = 77,
     .provider = "sandbox",
     .region = "us-east-1",
     .instance_type = "p4d.24xlarge",
     .market = WEIR_OFFER_SPOT,
     .gpu_model = WEIR_GPU_MODEL_ANY,
     .gpus = 8,
     .gpu_mem_mib = 40960,
     .cpu_milli = 96000,
     .mem_mib = 1179648,
     .price_micro_per_hour = 9000000,
     .as_of = AT(-60),
     .expires = {INT64_MAX},
     .source = "test",
     .launchable = true},
    {.id = 78,
     .provider = "aws",
     .region = "eu-west-1",
     .instance_type = "p4d.24xlarge",
     .market = WEIR_OFFER_ON_DEMAND,
     .gpu_model = WEIR_GPU_MODEL_ANY,
     .gpus = 8,
     .gpu_mem_mib = 40960,
     .cpu_milli = 96000,
     .mem_mib = 1179648,
     .price_micro_per_hour = 21957642,
     .as_of = AT(-60),
     .expires = {INT64_MAX},
     .source = "list",
     .launchable = false},
};

static void fill_explain(struct weir_explain *e, struct weir_job_id job)
{
    *e = (struct weir_explain){.seq = 9,
                               .now = fixture_now,
                               .task = {job, 0},
                               .decision = WEIR_DECISION_WAIT,
                               .queue_ahead = 3,
                               .expected_run = {60000000},
                               .margin_micro = 5000000,
                               .n_considered = 3,
                               .n_candidates = 2};
    e->rejected[WEIR_VERDICT_WRONG_GPU] = 1;
    e->candidate[0] = (struct weir_candidate){.kind = WEIR_CANDIDATE_OWNED_LATER,
                                              .verdict = WEIR_VERDICT_CHOSEN,
                                              .node = {1},
                                              .start_delay = {600000000},
                                              .run_micro = 5000,
                                              .wait_micro = 16667,
                                              .total_micro = 21667};
    e->candidate[1] = (struct weir_candidate){.kind = WEIR_CANDIDATE_OFFER,
                                              .verdict = WEIR_VERDICT_DEARER,
                                              .offer = 77,
                                              .start_delay = {300000000},
                                              .run_micro = 150000,
                                              .boot_micro = 4871667,
                                              .total_micro = 5021667};
}

static void copy(char *to, size_t size, struct weir_sv from)
{
    (void)snprintf(to, size, "%.*s", (int)from.n, from.p);
}

static int s_submit(struct fixture_service *f, struct weir_command *c)
{
    copy(f->user, sizeof f->user, weir_sv_of(c->u.submit.user));
    copy(f->spec_json, sizeof f->spec_json, c->u.submit.spec_json);
    copy(f->tags_json, sizeof f->tags_json, c->u.submit.tags_json);
    if (weir_streq(c->u.submit.spec->name, "impossible")) {
        return weir_fail(&c->err, -WEIR_EIMPOSSIBLE, "no node has that; the nearest possible is A100:4");
    }
    if (c->u.submit.dry_run) {
        c->flag = true;
        fill_explain(&c->explain, (struct weir_job_id){0});
        c->offer = known_offers;
        c->n_offers = WEIR_ARRAY_LEN(known_offers);
        return 0;
    }
    c->job.v = f->next_job++;
    return 0;
}

static int known(struct weir_command *c, uint64_t id, uint64_t a, uint64_t b)
{
    return id == a || id == b ? 0 : weir_fail(&c->err, -WEIR_ENOTFOUND, "%" PRIu64 " is not known", id);
}

static int s_agent(struct fixture_service *f, struct weir_command *c)
{
    json_t *body = json_deep_copy(c->u.agent.body);
    json_object_set_new(body, "lease", json_integer((json_int_t)c->u.agent.token_lease.v));
    json_object_set_new(body, "has_peer", json_boolean(c->u.agent.peer[0] != '\0'));
    char *text = json_dumps(body, JSON_COMPACT);
    c->reply = WEIR_STR_INIT(1 << 20);
    weir_str_adds(&c->reply, text);
    free(text);
    json_decref(body);
    f->id = c->u.agent.token_lease.v;
    return 0;
}

static int s_do(struct fixture_service *f, struct weir_command *c)
{
    switch (c->kind) {
    case WEIR_COMMAND_SUBMIT:
        return s_submit(f, c);
    case WEIR_COMMAND_CANCEL:
        f->id = c->u.cancel.has_index ? c->u.cancel.index : 0;
        return known(c, c->u.cancel.job.v, 12, 14);
    case WEIR_COMMAND_EXPLAIN:
        if (c->u.cancel.job.v == 14) {
            c->flag = true;
            fill_explain(&c->explain, c->u.cancel.job);
            c->offer = known_offers;
            c->n_offers = WEIR_ARRAY_LEN(known_offers);
            return 0;
        }
        return known(c, c->u.cancel.job.v, 12, 15);
    case WEIR_COMMAND_WAIT_JOB:
        f->number = c->u.wait.timeout.us;
        return 0;
    case WEIR_COMMAND_NODE:
        f->number = c->u.node.op;
        return known(c, c->u.node.node.v, 1, 1003);
    case WEIR_COMMAND_LEASE_END:
        return known(c, c->u.lease.lease.v, 3, 3);
    case WEIR_COMMAND_PROJECT_SET:
        f->number = c->u.project.delay_cost_micro_per_hour;
        f->id = (uint64_t)c->u.project.weight;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.project.name));
        return 0;
    case WEIR_COMMAND_QUOTA_SET:
        f->number = c->u.quota.def.limit;
        f->id = c->u.quota.given;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.quota.def.name));
        return 0;
    case WEIR_COMMAND_QUOTA_REMOVE:
        return weir_streq(c->u.quota.def.name, "vision") ? 0 : weir_fail(&c->err, -WEIR_ENOTFOUND, "quota '%s' does not exist", c->u.quota.def.name);
    case WEIR_COMMAND_BUDGET_SET:
        f->number = c->u.budget.def.amount_micro;
        f->id = c->u.budget.given;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.budget.def.name));
        return 0;
    case WEIR_COMMAND_BUDGET_REMOVE:
        return weir_streq(c->u.budget.def.name, "vision") ? 0 : weir_fail(&c->err, -WEIR_ENOTFOUND, "budget '%s' does not exist", c->u.budget.def.name);
    case WEIR_COMMAND_OFFERS:
        c->offer = known_offers;
        c->n_offers = WEIR_ARRAY_LEN(known_offers);
        return 0;
    case WEIR_COMMAND_SETTLE:
        return 0;
    case WEIR_COMMAND_INVOICE:
        f->number = (int64_t)c->u.invoice.n;
        return 0;
    case WEIR_COMMAND_AMEND:
        f->id = c->u.amend.row.id;
        f->number = c->u.amend.row.micro;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.amend.row.reason));
        return 0;
    case WEIR_COMMAND_ACCRUED:
        /* one task of the array runs on two nodes; what another accrued before it ended is in the ledger when its row is read */
        c->n_accrued = c->u.accrued.job.v == 0 || c->u.accrued.job.v == 12 ? 3 : 0;
        c->accrued = c->n_accrued == 0 ? NULL : weir_calloc(c->n_accrued, sizeof *c->accrued);
        for (uint32_t i = 0; i < c->n_accrued; i++) {
            c->accrued[i] = (struct weir_accrued){{{12}, i < 2 ? 2 : 0}, 40 + (int64_t)i};
        }
        return 0;
    case WEIR_COMMAND_STATUS:
        c->reply = WEIR_STR_INIT(4096);
        weir_str_adds(&c->reply, "{\"version\":\"" WEIR_VERSION
                                 "\",\"jobs\":{\"waiting\":1,\"running\":2},\"tasks\":{\"waiting\":98}}");
        return 0;
    case WEIR_COMMAND_SANDBOX_FAULT:
        copy(f->text, sizeof f->text, weir_sv_of(c->u.fault.what));
        return weir_streq(c->u.fault.what, "bad") ? weir_fail(&c->err, -WEIR_EINVAL, "fault 'bad' is not known") : 0;
    case WEIR_COMMAND_ACCESS:
        f->id = c->u.access.op;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.access.user == NULL ? "" : c->u.access.user));
        if (c->u.access.op == WEIR_ACCESS_TOKEN_MAKE) {
            c->reply = WEIR_STR_INIT(4096);
            weir_str_adds(&c->reply, "secret");
            copy(c->u.access.token, sizeof c->u.access.token, WEIR_SV("0123456789abcdef"));
        }
        return 0;
    case WEIR_COMMAND_AGENT_JOIN:
    case WEIR_COMMAND_AGENT_SYNC:
    case WEIR_COMMAND_AGENT_REPORT:
        return s_agent(f, c);
    case WEIR_COMMAND_MAX:
        break;
    }
    return -WEIR_EIO;
}

static void *decide(void *ctx)
{
    struct fixture_service *f = ctx;
    (void)pthread_mutex_lock(&f->lock);
    while (!f->is_ending || f->head != NULL) {
        struct weir_command *c = f->head;
        if (c == NULL) {
            (void)pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        f->head = c->next;
        if (f->head == NULL) {
            f->tail = &f->head;
        }
        (void)pthread_mutex_unlock(&f->lock);
        atomic_fetch_add(&f->n_commands, 1);
        c->code = s_do(f, c);
        c->done(c);
        (void)pthread_mutex_lock(&f->lock);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* "ROLE-token" is ROLE-user's, who is in project 1, "vision": an operator, finance, owner or user as a user of it, a viewer as a
 * viewer; "outsider-token" that of a user without projects. */
static int s_authenticate(struct weir_service *s, struct weir_sv token, struct weir_identity *ret, struct weir_err *err)
{
    (void)s;
    char name[16];
    struct weir_sv word = token;
    struct weir_sv first = weir_sv_cut(&word, '-');
    (void)snprintf(name, sizeof name, "%.*s", WEIR_SV_ARG(first));
    bool is_outsider = weir_streq(name, "outsider");
    enum weir_role role = is_outsider ? WEIR_ROLE_USER : weir_role_find(name);
    if (role == WEIR_ROLE_NONE || !weir_sv_eq(word, WEIR_SV("token"))) {
        return weir_fail(err, -WEIR_EUNAUTH, "this token is not known");
    }
    *ret = (struct weir_identity){.role = role == WEIR_ROLE_OWNER ? WEIR_ROLE_USER : role};
    (void)snprintf(ret->user, sizeof ret->user, "%s-user", name);
    (void)snprintf(ret->token, sizeof ret->token, "%s", name);
    if (role == WEIR_ROLE_AGENT) {
        ret->lease.v = 3;
    } else if (role != WEIR_ROLE_ADMIN) {
        ret->scope = weir_scope_new(1);
        if (!is_outsider) {
            weir_scope_add(ret->scope, (struct weir_project_id){1}, "vision", role == WEIR_ROLE_VIEWER || role == WEIR_ROLE_OWNER ? role : WEIR_ROLE_USER);
        }
    }
    return 0;
}

static bool s_is_still(struct weir_service *s, const struct weir_identity *who)
{
    return who->token[0] == '\0' || !weir_streq(who->token, ((struct fixture_service *)s)->revoked);
}

static int s_check_session(struct weir_service *s, struct weir_node_id node, const char *session, struct weir_err *err)
{
    (void)s;
    return (node.v == 1 || node.v == 1003) && weir_streq(session, "s1")
               ? 0
               : weir_fail(err, -WEIR_ECONFLICT, "the session has ended; join again");
}

static void s_subscribe(struct weir_service *s, void (*fn)(void *ctx), void *ctx)
{
    struct fixture_service *f = (struct fixture_service *)s;
    f->on_commit = fn;
    f->on_commit_ctx = ctx;
}

static const struct weir_service_ops service_ops = {s_post, s_authenticate, s_is_still, s_check_session, s_subscribe};

/* ---- life ---- */

static struct weir_wall clock_wall(void *ctx)
{
    (void)ctx;
    return fixture_now;
}

static struct weir_mono clock_mono(void *ctx)
{
    (void)ctx;
    return (struct weir_mono){1000000};
}

void fixture_start(struct fixture *f)
{
    fixture_start_with(f, NULL);
}

void fixture_start_with(struct fixture *f, struct weir_store *store)
{
    struct weir_err err = {{0}};
    *f = (struct fixture){.clock = {clock_wall, clock_mono, NULL}};
    (void)pthread_mutex_init(&f->gpus_lock, NULL);
    (void)pthread_mutex_init(&f->store.lock, NULL);
    (void)pthread_mutex_init(&f->service.lock, NULL);
    (void)pthread_cond_init(&f->service.changed, NULL);
    f->gpus = weir_gpu_table_new();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(known_offers); i++) {
        known_offers[i].gpu_model = weir_gpu_table_intern(f->gpus, WEIR_SV("A100"));
    }
    f->store.base.ops = &store_ops;
    f->store.n_tasks = WEIR_ARRAY_LEN(task_rows);
    memcpy(f->store.task, task_rows, sizeof task_rows);
    f->service.base.ops = &service_ops;
    f->service.tail = &f->service.head;
    f->service.next_job = 100;
    assert_int_equal(pthread_create(&f->service.thread, NULL, decide, &f->service), 0);
    (void)snprintf(f->log_dir, sizeof f->log_dir, "/tmp/weir-api-test.XXXXXX");
    assert_non_null(mkdtemp(f->log_dir));
    struct weir_api_conf conf = {.service = &f->service.base,
                                 .reader = {store != NULL ? store : &f->store.base, store != NULL ? store : &f->store.base},
                                 .gpus = f->gpus,
                                 .gpus_lock = &f->gpus_lock,
                                 .clock = &f->clock,
                                 .log_dir = f->log_dir,
                                 .currency = "USD",
                                 .listen = "127.0.0.1:0",
                                 .os_user = "ada",
                                 .log_bytes_max = 4096};
    assert_int_equal(weir_api_new(&f->api, &conf, &err), 0);
    struct weir_server_conf server = {.listen = "127.0.0.1:0",
                                      .body_bytes_max = 8 << 20,
                                      .connections_max = 64,
                                      .idle_timeout_s = 30,
                                      .handler = weir_api_handle,
                                      .ctx = f->api};
    assert_int_equal(weir_server_start(&f->server, &server, &err), 0);
    (void)snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u", weir_server_port(f->server));
    assert_int_equal(weir_http_session_new(&f->session, &err), 0);
}

void fixture_stop(struct fixture *f)
{
    char command[128];
    weir_http_session_free(f->session);
    weir_server_stop(f->server);
    weir_api_free(f->api);
    (void)pthread_mutex_lock(&f->service.lock);
    f->service.is_ending = true;
    (void)pthread_cond_signal(&f->service.changed);
    (void)pthread_mutex_unlock(&f->service.lock);
    (void)pthread_join(f->service.thread, NULL);
    weir_gpu_table_free(f->gpus);
    for (int job = 0; job < 16; job++) {
        for (int i = 0; i < 16; i++) {
            (void)snprintf(command, sizeof command, "%s/%d/%d.%d.log", f->log_dir, job, i / 4, i % 4);
            (void)unlink(command);
            (void)snprintf(command, sizeof command, "%s/%d/%d.%d.1.log", f->log_dir, job, i / 4, i % 4);
            (void)unlink(command);
        }
        (void)snprintf(command, sizeof command, "%s/%d", f->log_dir, job);
        (void)rmdir(command);
    }
    (void)rmdir(f->log_dir);
}

/* ---- calls ---- */

int fixture_call(struct fixture *f, const char *method, const char *path, const char *token, const char *type,
                 struct weir_sv body, struct weir_http_reply *ret)
{
    char url[4096];
    struct weir_err err = {{0}};
    struct weir_http_header header = {"Content-Type", type};
    (void)snprintf(url, sizeof url, "%s%s", f->url, path);
    struct weir_http_call call = {.method = method,
                                  .url = url,
                                  .header = type == NULL ? NULL : &header,
                                  .n_headers = type == NULL ? 0 : 1,
                                  .body = body,
                                  .bearer = token,
                                  .timeout_ms = 10000,
                                  .reply_bytes_max = 8 << 20};
    int rc = weir_http_session_call(f->session, &call, NULL, NULL, ret, &err);
    if (rc < 0) {
        print_message("# %s %s: %s\n", method, path, err.text);
    }
    assert_int_equal(rc, 0);
    return ret->status;
}

int fixture_get(struct fixture *f, const char *path, struct weir_http_reply *ret)
{
    return fixture_call(f, "GET", path, NULL, NULL, (struct weir_sv){NULL, 0}, ret);
}

int fixture_post(struct fixture *f, const char *path, const char *body, struct weir_http_reply *ret)
{
    return fixture_call(f, "POST", path, NULL, body == NULL ? NULL : "application/json", weir_sv_of(body), ret);
}

void fixture_event(struct fixture *f, const char *kind, uint64_t job)
{
    (void)pthread_mutex_lock(&f->store.lock);
    struct weir_event_row *r = &f->store.event[f->store.n_events];
    *r = (struct weir_event_row){.id = f->store.n_events + 1,
                                 .at = fixture_now,
                                 .kind = kind,
                                 .job = {job},
                                 .ordinal = 1,
                                 .node = {1},
                                 .text = "text"};
    f->store.n_events++;
    (void)pthread_mutex_unlock(&f->store.lock);
    f->service.on_commit(f->service.on_commit_ctx);
}

void fixture_task(struct fixture *f, uint64_t job, enum weir_task_state state, uint32_t attempt)
{
    (void)pthread_mutex_lock(&f->store.lock);
    struct weir_task_row *r = NULL;
    for (size_t i = 0; i < f->store.n_tasks; i++) {
        r = f->store.task[i].view.id.job.v == job ? &f->store.task[i] : r;
    }
    if (r == NULL) {
        r = &f->store.task[f->store.n_tasks++];
        *r = (struct weir_task_row){.view = {.id = {{job}, 0}, .node = {1}, .n_nodes = 1}, .text = ""};
    }
    r->view.state = state;
    r->view.attempt = attempt;
    (void)pthread_mutex_unlock(&f->store.lock);
    f->service.on_commit(f->service.on_commit_ctx);
}

int fixture_connect(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(weir_server_port(f->server)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval t = {.tv_sec = 10};
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

void fixture_send(int fd, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

bool fixture_read_until(int fd, char *buf, size_t size, const char *text)
{
    size_t n = 0;
    buf[0] = '\0';
    while (n + 1 < size) {
        ssize_t got = recv(fd, buf + n, size - n - 1, 0);
        if (got <= 0) {
            return false;
        }
        n += (size_t)got;
        buf[n] = '\0';
        if (strstr(buf, text) != NULL) {
            return true;
        }
    }
    return false;
}
