/* SPDX-License-Identifier: Apache-2.0 */
/* The store of a few fixed rows. */

#include "api_fixture_priv.h"

#include <stdio.h>

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
     .cost_micro = 123456,
     .footprint = {3600000, 200500, 400, true}},
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

static int f_count_nodes(struct weir_store *s, struct weir_job_id job, struct weir_node_id beside, uint32_t limit, uint32_t *ret,
                         struct weir_err *err)
{
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    struct weir_map seen = {0};
    for (size_t i = 0; i < of(s)->n_tasks && limit > 0; i++) {
        const struct weir_task_view *v = &of(s)->task[i].view;
        limit -= v->id.job.v == job.v ? 1 : 0;
        if (v->id.job.v == job.v && v->node.v != 0 && v->node.v != beside.v) {
            weir_map_put(&seen, v->node.v, 1);
        }
    }
    *ret = (uint32_t)seen.n;
    weir_map_release(&seen);
    leave(s);
    return 0;
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
                                                                .busy_watts = 3000,
                                                                .has_carbon = true,
                                                                .carbon_ug_per_kwh = 200500000}}},
    {.info = {.node = {1003}, .lease = {3}, .pool = {1}, .price_micro_per_hour = 9000000}},
};
EACH(f_each_project, weir_project_row, weir_project_row_fn, project_rows)
static const struct weir_budget_row budget_rows[] = {
    {.view = {.id = {1},
              .def = {.name = "vision",
                      .scope = WEIR_BUDGET_PROJECT,
                      .project = {1},
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

static int f_each_billed(struct weir_store *s, struct weir_wall from, weir_posting_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)from;
    return f_each_posting(s, 0, fn, ctx, err);
}

static int f_each_correction(struct weir_store *s, uint64_t after, weir_correction_row_fn *fn, void *ctx, struct weir_err *err)
{
    static const struct weir_correction_row row = {.id = 1, .at = AT(0), .kind = "credit", .who = "ada", .reason = "ticket 7", .micro = -40};
    (void)s, (void)err;
    return after < row.id ? fn(ctx, &row) : 0;
}

static int f_each_rule(struct weir_store *s, weir_rule_row_fn *fn, void *ctx, struct weir_err *err)
{
    static const struct weir_rule_row row = {.id = 1,
                                             .name = "house",
                                             .kind = "markup",
                                             .body = "{\"percent\":\"8\",\"project\":\"speech\"}",
                                             .from = AT(-3600),
                                             .at = AT(-7200),
                                             .who = "ada"};
    (void)s, (void)err;
    return fn(ctx, &row);
}

static int f_each_close(struct weir_store *s, weir_close_row_fn *fn, void *ctx, struct weir_err *err)
{
    static const struct weir_close_row row = {.id = 1,
                                              .month = "2026-09",
                                              .zone = "UTC",
                                              .close = {{INT64_C(1788220800000000)}, {INT64_C(1790812800000000)}, 0},
                                              .at = AT(0),
                                              .who = "ada",
                                              .digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"};
    (void)s, (void)err;
    return fn(ctx, &row);
}

static int f_each_lease_price(struct weir_store *s, struct weir_lease_id lease, uint64_t number, weir_lease_price_row_fn *fn, void *ctx,
                              struct weir_err *err)
{
    (void)s, (void)lease, (void)number, (void)fn, (void)ctx, (void)err;
    return 0;
}

static int f_get_lease(struct weir_store *s, struct weir_lease_id id, weir_lease_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)s, (void)id, (void)fn, (void)ctx;
    return weir_fail(err, -WEIR_ENOTFOUND, "no such lease"); /* the ledger has none */
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
    if (weir_streq(key, WEIR_META_RATINGS)) {
        leave(s);
        return weir_fail(err, -WEIR_ENOTFOUND, "no prices were posted");
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
static const struct weir_document_row alert_rows[] = {
    {"alert", "00000000000000000005",
     "{\"id\":5,\"condition\":\"budget-threshold\",\"severity\":\"warning\",\"key\":\"budget-threshold/vision\",\"project\":\"vision\",\"text\":\"budget 'vision': 80 %\","
     "\"firing\":true,\"times\":2,\"began_us\":1793491200000000,\"since_us\":1793491200000000,\"acked_by\":\"ada\",\"acked_us\":1793491260000000,\"silenced_by\":\"\","
     "\"silenced_until_us\":0,\"told\":[{\"receiver\":\"ops\",\"known\":true,\"firing\":true,\"since_us\":1793491200000000,\"at_us\":1793491230000000,\"attempts\":0}]}"},
    {"alert", "00000000000000000006",
     "{\"id\":6,\"condition\":\"node-lost\",\"severity\":\"critical\",\"key\":\"node-lost/1\",\"project\":\"\",\"text\":\"node 1\",\"firing\":false,\"times\":1,"
     "\"began_us\":1793491200000000,\"since_us\":1793491300000000,\"acked_by\":\"\",\"acked_us\":0,\"silenced_by\":\"\",\"silenced_until_us\":0,\"told\":[]}"}};
static const struct weir_document_row policy_rows[] = {
    {"policy", "no-spot", "{\"name\":\"no-spot\",\"order\":10,\"effect\":\"deny\",\"project\":\"vision\",\"market\":\"spot\",\"reason\":\"it must not be lost\",\"version\":3}"},
    {"policy", "cheap", "{\"name\":\"cheap\",\"order\":100,\"effect\":\"deny\",\"price_above\":\"20.000000\",\"nodes_above\":4,\"duration_above\":\"86400s\",\"version\":1}"}};
EACH(each_policy, weir_document_row, weir_document_row_fn, policy_rows)
EACH(each_alert, weir_document_row, weir_document_row_fn, alert_rows)

static int f_each_document(struct weir_store *s, const char *kind, weir_document_row_fn *fn, void *ctx, struct weir_err *err)
{
    return weir_streq(kind, "alert") ? each_alert(s, fn, ctx, err) : weir_streq(kind, "policy") ? each_policy(s, fn, ctx, err) : 0;
}

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

static int f_prove_pages(struct weir_store *s, uint64_t after, uint64_t *ret_last, struct weir_err *err)
{
    (void)s;
    (void)after;
    (void)err;
    *ret_last = 0;
    return 0;
}

static int f_bill(struct weir_store *s, const struct weir_bill_filter *f, const enum weir_bill_by *by,
                  const char *const *tag, size_t n_by, weir_bill_row_fn *fn, void *ctx, struct weir_err *err)
{
    (void)tag;
    struct weir_bill_row used = {.gpu_us = 3600000000, .used_micro = 100, .waste_micro = {1, 2, 3}, .total_micro = 106, .footprint = {7200000, 0, 106, true}};
    struct weir_bill_row idle = {.idle_micro = 50, .total_micro = 50, .cost_micro = {0, 100, 50, 6},
                                 .footprint = {3600000, 200500, 0}, .idle_energy_mj = 3600000, .idle_carbon_ug = 200500};
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
    struct weir_total_row used = {"vision", "local", WEIR_ACCOUNT_JOB, 100, {3600500, 200500, 40}};
    int rc = enter(s, err);
    if (rc < 0) {
        return rc;
    }
    rc = fn(ctx, &used);
    leave(s);
    return rc;
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
    .count_nodes = f_count_nodes,
    .get_task = f_get_task,
    .each_project = f_each_project,
    .each_budget = f_each_budget,
    .each_quota = f_each_quota,
    .each_pool = f_each_pool,
    .each_node = f_each_node,
    .each_meter = f_each_meter,
    .each_lease = f_each_lease,
    .each_posting = f_each_posting,
    .each_billed = f_each_billed,
    .first_posting = f_first_posting,
    .each_lease_price = f_each_lease_price,
    .get_lease = f_get_lease,
    .each_invoice_line = f_each_invoice_line,
    .each_correction = f_each_correction,
    .each_close = f_each_close,
    .each_rule = f_each_rule,
    .each_user = f_each_user,
    .get_meta = f_get_meta,
    .each_total = f_each_total,
    .list_events = f_list_events,
    .each_access = f_each_access,
    .each_document = f_each_document,
    .each_token = f_each_token,
    .list_audit = f_list_audit,
    .first_event = f_first_event,
    .list_explains = f_list_explains,
    .bill = f_bill,
    .prove_pages = f_prove_pages,
};

void fixture_store_init(struct fixture_store *s)
{
    (void)pthread_mutex_init(&s->lock, NULL);
    s->base.ops = &store_ops;
    s->n_tasks = WEIR_ARRAY_LEN(task_rows);
    memcpy(s->task, task_rows, sizeof task_rows);
}
