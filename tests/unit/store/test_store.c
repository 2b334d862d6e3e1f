/* SPDX-License-Identifier: Apache-2.0 */
/* One suite over both back ends: what holds for a store, whatever it is made of. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/vec.h"
#include "rows.h"

#define T0 INT64_C(1767225600000000)

struct fixture {
    const char *backend;
    struct scratch scratch;
    struct weir_store *s;
};

static const char *backend; /* under test */

static int open_store(struct fixture *f)
{
    struct weir_err err = {""};
    int r;
    if (weir_streq(f->backend, "sqlite")) {
        r = weir_store_sqlite_open(&f->s, &(struct weir_store_conf){.path = f->scratch.db}, &err);
    } else {
        r = weir_store_mem_open(&f->s, &err);
    }
    if (r < 0) {
        print_error("%s\n", err.text);
    }
    return r;
}

static int setup(void **state)
{
    struct fixture *f = weir_alloc(sizeof *f);
    f->backend = backend;
    scratch_make(&f->scratch);
    *state = f;
    return open_store(f);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    weir_store_close(f->s);
    scratch_free(&f->scratch);
    free(f);
    return 0;
}

static void ok(int r, const struct weir_err *err)
{
    if (r != 0) {
        print_error("%d: %s\n", r, err->text);
    }
    assert_int_equal(r, 0);
}

static struct weir_err err;

#define BEGIN(s) ok((s)->ops->begin((s), &err), &err)
#define COMMIT(s) ok((s)->ops->commit((s), &err), &err)
#define PUT(s, op, ...) ok((s)->ops->op((s), __VA_ARGS__, &err), &err)

/* ---- collectors ---- */

struct got {
    size_t n;
    size_t stop_at; /* 0: never */
    uint64_t id[4096];
    struct weir_job_row job;
    struct weir_task_row task;
    struct weir_node_row node;
    struct weir_lease_row lease;
    struct weir_hold_view hold;
    struct weir_project_row project;
    struct weir_name_row name;
    struct weir_posting posting;
    struct weir_meter meter;
    struct weir_event_row event;
    struct weir_effect_row effect;
    struct weir_token_row token;
    struct weir_runtime_history runtime;
    char text[8][64];
    struct weir_node_id gang_node[8];
    uint32_t gang_mask[8];
    uint8_t gang_state[8];
};

static int count(struct got *g, uint64_t id)
{
    assert_true(g->n < WEIR_ARRAY_LEN(g->id));
    g->id[g->n++] = id;
    return g->stop_at != 0 && g->n == g->stop_at ? 42 : 0;
}

static void keep_text(struct got *g, size_t i, const char *s)
{
    size_t n = strlen(s);
    assert_true(n < sizeof g->text[i]);
    memcpy(g->text[i], s, n + 1);
}

static int on_job(void *ctx, const struct weir_job_row *r)
{
    struct got *g = ctx;
    g->job = *r;
    keep_text(g, 0, r->name);
    keep_text(g, 1, r->project);
    keep_text(g, 2, r->user);
    keep_text(g, 3, r->tags_json);
    keep_text(g, 4, r->spec_json);
    return count(g, r->view.id.v);
}

static int on_task(void *ctx, const struct weir_task_row *r)
{
    struct got *g = ctx;
    g->task = *r;
    keep_text(g, 0, r->text);
    keep_text(g, 1, r->node_name);
    keep_text(g, 2, r->pool);
    for (size_t i = 0; r->view.gang_node != NULL && i < r->view.n_nodes && i < 8; i++) {
        g->gang_node[i] = r->view.gang_node[i];
        g->gang_mask[i] = r->view.gang_mask[i];
        g->gang_state[i] = r->view.gang_state == NULL ? 0 : r->view.gang_state[i];
    }
    return count(g, r->view.id.job.v * 1000 + r->view.id.ordinal);
}

static int on_node(void *ctx, const struct weir_node_row *r)
{
    struct got *g = ctx;
    g->node = *r;
    keep_text(g, 0, r->gpu_model);
    keep_text(g, 1, r->agent_id);
    keep_text(g, 2, r->name);
    keep_text(g, 3, r->pool);
    keep_text(g, 4, r->address);
    keep_text(g, 5, r->detail_json);
    return count(g, r->view.spec.id.v);
}

static int on_lease(void *ctx, const struct weir_lease_row *r)
{
    struct got *g = ctx;
    g->lease = *r;
    keep_text(g, 0, r->gpu_model);
    keep_text(g, 1, r->text);
    return count(g, r->view.id.v);
}

static int on_hold(void *ctx, const struct weir_hold_view *v)
{
    struct got *g = ctx;
    g->hold = *v;
    return count(g, v->id.v);
}

static int on_project(void *ctx, const struct weir_project_row *r)
{
    struct got *g = ctx;
    g->project = *r;
    keep_text(g, 0, r->name);
    return count(g, r->view.id.v);
}

static int on_name(void *ctx, const struct weir_name_row *r)
{
    struct got *g = ctx;
    keep_text(g, 0, r->name);
    keep_text(g, 1, r->detail_json);
    return count(g, r->id);
}

static int on_posting(void *ctx, const struct weir_posting *p)
{
    struct got *g = ctx;
    g->posting = *p;
    return count(g, p->id);
}

static int on_meter(void *ctx, const struct weir_meter *m)
{
    struct got *g = ctx;
    g->meter = *m;
    return count(g, m->info.node.v);
}

static int on_explain(void *ctx, const struct weir_explain_row *r)
{
    struct got *g = ctx;
    keep_text(g, 0, r->json);
    return count(g, r->seq);
}

static int on_event(void *ctx, const struct weir_event_row *r)
{
    struct got *g = ctx;
    g->event = *r;
    keep_text(g, 0, r->kind);
    keep_text(g, 1, r->text);
    return count(g, r->id);
}

static int on_effect(void *ctx, const struct weir_effect_row *r)
{
    struct got *g = ctx;
    g->effect = *r;
    return count(g, r->seq);
}

static int on_token(void *ctx, const struct weir_token_row *r)
{
    struct got *g = ctx;
    g->token = *r;
    keep_text(g, 0, r->hash);
    keep_text(g, 1, r->name);
    keep_text(g, 2, r->role);
    keep_text(g, 3, r->user);
    return count(g, r->lease.v);
}

static int on_shape(void *ctx, uint32_t shape, const char *json)
{
    struct got *g = ctx;
    keep_text(g, 0, json);
    return count(g, shape);
}

static int on_runtime(void *ctx, uint64_t key, const struct weir_runtime_history *h)
{
    struct got *g = ctx;
    g->runtime = *h;
    return count(g, key);
}

static struct got got;

static struct got *fresh(void)
{
    memset(&got, 0, sizeof got);
    return &got;
}

static void put_names(struct weir_store *s)
{
    PUT(s, put_project, &(struct weir_project_row){.view = sample_project(1, "").view, .name = "vision"});
    struct weir_project_row other = sample_project(2, "speech");
    PUT(s, put_project, &other);
    PUT(s, put_user, &(struct weir_name_row){1, "ada", "{}"});
    PUT(s, put_user, &(struct weir_name_row){2, "bob", "{}"});
    PUT(s, put_pool, &(struct weir_name_row){1, "local", "{\"kind\":\"local\"}"});
    PUT(s, put_pool, &(struct weir_name_row){2, "sandbox", "{}"});
}

/* ---- round trips ---- */

static void names_and_meta_come_back(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    BEGIN(s);
    put_names(s);
    PUT(s, put_meta, "seq", "12");
    PUT(s, put_meta, "seq", "13");
    PUT(s, put_shape, 3, "{\"nodes\":1}");
    COMMIT(s);
    char buf[8];
    PUT(s, get_meta, "seq", buf, sizeof buf);
    assert_string_equal(buf, "13");
    assert_int_equal(s->ops->get_meta(s, "none", buf, sizeof buf, &err), -WEIR_ENOTFOUND);
    PUT(s, each_project, on_project, fresh());
    assert_int_equal(got.n, 2);
    assert_string_equal(got.text[0], "speech");
    assert_int_equal(got.project.view.weight, 102);
    assert_int_equal(got.project.view.spent_decayed_micro, 5);
    assert_int_equal(got.project.view.spent_at.us, T0);
    PUT(s, each_user, on_name, fresh());
    assert_int_equal(got.n, 2);
    PUT(s, each_pool, on_name, fresh());
    assert_int_equal(got.n, 2);
    PUT(s, each_shape, on_shape, fresh());
    assert_int_equal(got.id[0], 3);
    assert_string_equal(got.text[0], "{\"nodes\":1}");
}

static void a_job_comes_back_whole(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_job_row j = sample_job(1);
    BEGIN(s);
    put_names(s);
    PUT(s, put_job, &j);
    COMMIT(s);
    PUT(s, get_job, j.view.id, on_job, fresh());
    assert_memory_equal(&got.job.view, &j.view, sizeof j.view);
    assert_string_equal(got.text[0], "train");
    assert_string_equal(got.text[1], "vision");
    assert_string_equal(got.text[2], "ada");
    assert_string_equal(got.text[3], j.tags_json);
    assert_string_equal(got.text[4], j.spec_json);
    assert_int_equal(s->ops->get_job(s, (struct weir_job_id){2}, on_job, fresh(), &err), -WEIR_ENOTFOUND);
    j.view.state = WEIR_JOB_RUNNING;
    j.view.started.us = T0 + 5;
    j.view.count[0] = 99;
    j.view.cancelled = true;
    BEGIN(s);
    PUT(s, update_job, &j.view);
    assert_int_equal(s->ops->update_job(s, &(struct weir_job_view){.id = {77}}, &err), -WEIR_ENOTFOUND);
    COMMIT(s);
    PUT(s, get_job, j.view.id, on_job, fresh());
    assert_memory_equal(&got.job.view, &j.view, sizeof j.view);
    assert_string_equal(got.text[0], "train");
}

static void a_job_is_put_once(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_job_row j = sample_job(1);
    BEGIN(s);
    PUT(s, put_job, &j);
    COMMIT(s);
    BEGIN(s);
    assert_int_equal(s->ops->put_job(s, &j, &err), -WEIR_EEXISTS);
    /* the transaction is spoilt, and says so at its end */
    assert_int_equal(s->ops->commit(s, &err), -WEIR_EEXISTS);
    BEGIN(s);
    struct weir_job_row k = sample_job(2);
    PUT(s, put_job, &k);
    COMMIT(s);
}

static void a_task_comes_back_whole(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_task_row t = sample_task(1, 2);
    struct weir_node_row n = sample_node(1);
    BEGIN(s);
    put_names(s);
    PUT(s, put_node, &n);
    PUT(s, put_task, &t);
    COMMIT(s);
    PUT(s, get_task, t.view.id, on_task, fresh());
    assert_memory_equal(&got.task.view, &t.view, sizeof t.view);
    assert_string_equal(got.text[0], "said so");
    assert_string_equal(got.text[1], "gpu-a");
    assert_string_equal(got.text[2], "local");
    assert_int_equal(s->ops->get_task(s, (struct weir_task_id){{1}, 3}, on_task, fresh(), &err), -WEIR_ENOTFOUND);
    /* no text: as it was */
    t.text = NULL;
    t.view.state = WEIR_TASK_SUCCEEDED;
    BEGIN(s);
    PUT(s, put_task, &t);
    COMMIT(s);
    PUT(s, get_task, t.view.id, on_task, fresh());
    assert_int_equal(got.task.view.state, WEIR_TASK_SUCCEEDED);
    assert_string_equal(got.text[0], "said so");
}

static void a_gang_keeps_its_nodes(void **state)
{
    static const uint8_t gang_states[8] = {1, 3, 0, 1, 2, 3, 1, 1};
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_node_id node[3] = {{5}, {6}, {7}};
    uint32_t mask[3] = {1, 0xffffffff, 2};
    struct weir_task_row t = sample_task(1, 0);
    t.view.n_nodes = 3;
    t.view.gang_node = node;
    t.view.gang_mask = mask;
    t.view.gang_state = gang_states;
    t.view.spent_micro = 1234567;
    BEGIN(s);
    PUT(s, put_task, &t);
    COMMIT(s);
    PUT(s, get_task, t.view.id, on_task, fresh());
    assert_int_equal(got.task.view.n_nodes, 3);
    assert_memory_equal(got.gang_node, node, sizeof node);
    assert_memory_equal(got.gang_mask, mask, sizeof mask);
    assert_memory_equal(got.gang_state, gang_states, got.task.view.n_nodes);
    assert_int_equal(got.task.view.spent_micro, 1234567);
}

static void a_node_comes_back_whole(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_node_row n = sample_node(1);
    struct weir_node_row gone = sample_node(2);
    gone.view.state = WEIR_NODE_GONE;
    BEGIN(s);
    put_names(s);
    PUT(s, put_node, &n);
    PUT(s, put_node, &gone);
    COMMIT(s);
    PUT(s, each_node, true, on_node, fresh());
    assert_int_equal(got.n, 2);
    PUT(s, each_node, false, on_node, fresh());
    assert_int_equal(got.n, 1);
    /* the number of a model means nothing elsewhere: the name is kept */
    n.view.spec.gpu_model = WEIR_GPU_MODEL_ANY;
    assert_memory_equal(&got.node.view.spec.rates, &n.view.spec.rates, sizeof n.view.spec.rates);
    assert_int_equal(got.node.view.spec.gpu_model, WEIR_GPU_MODEL_ANY);
    assert_memory_equal(got.node.view.spec.link_group, n.view.spec.link_group, sizeof n.view.spec.link_group);
    assert_string_equal(got.node.view.spec.region, "eu-west-1");
    assert_string_equal(got.node.view.spec.provider, "sandbox");
    assert_int_equal(got.node.view.spec.mem_mib, 512000);
    assert_int_equal(got.node.view.gpu_free_mask, 0xc);
    assert_int_equal(got.node.view.n_runs, 2);
    assert_int_equal(got.node.view.state, WEIR_NODE_DRAINING);
    assert_true(got.node.view.joined);
    assert_string_equal(got.text[0], "A100");
    assert_string_equal(got.text[1], "agent-1");
    assert_string_equal(got.text[3], "local");
    assert_int_equal(got.node.seen.us, T0 + 9);
}

static void a_lease_comes_back_whole(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_lease_row l = sample_lease(1);
    struct weir_lease_row ended = sample_lease(2);
    ended.view.state = WEIR_LEASE_ENDED;
    struct weir_lease_row failed = sample_lease(3);
    failed.view.state = WEIR_LEASE_FAILED;
    BEGIN(s);
    PUT(s, put_lease, &ended);
    PUT(s, put_lease, &failed);
    PUT(s, put_lease, &l);
    COMMIT(s);
    PUT(s, each_lease, true, on_lease, fresh());
    assert_int_equal(got.n, 3);
    PUT(s, each_lease, false, on_lease, fresh());
    assert_int_equal(got.n, 1);
    l.view.offer.gpu_model = WEIR_GPU_MODEL_ANY;
    assert_int_equal(got.lease.view.offer.id, l.view.offer.id);
    assert_string_equal(got.lease.view.offer.instance_type, "a100x4");
    assert_string_equal(got.lease.view.offer.source, "list");
    assert_int_equal(got.lease.view.offer.expires.us, INT64_MAX);
    assert_int_equal(got.lease.view.offer.egress_micro_per_gib, 90000);
    assert_true(got.lease.view.offer.launchable);
    assert_true(weir_task_id_eq(got.lease.view.task, l.view.task));
    assert_int_equal(got.lease.view.expires.us, T0 + 7);
    assert_int_equal(got.lease.view.refusal, 3);
    assert_true(got.lease.view.reclaimed);
    assert_string_equal(got.lease.token, "weir-token");
    assert_string_equal(got.lease.instance, "i-123");
    assert_string_equal(got.text[0], "A100");
    assert_string_equal(got.text[1], "no reason");
}

static void holds_meters_and_the_rest_come_back(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_hold_view h = sample_hold(1);
    struct weir_meter m = sample_meter(4);
    struct weir_token_row t = {.hash = "abc", .name = "laptop", .role = "admin", .user = "ada", .lease = {3}, .expires = {T0}};
    struct weir_runtime_history run = {.n = 20, .filled = 16};
    for (int i = 0; i < WEIR_RUNTIME_KEEP; i++) {
        run.us[i] = INT64_MAX - i;
    }
    BEGIN(s);
    PUT(s, put_hold, &h);
    h.id.v = 2;
    h.state = WEIR_HOLD_RELEASED;
    PUT(s, put_hold, &h);
    PUT(s, put_meter, &m);
    PUT(s, put_effect, &(struct weir_effect_row){.seq = 5, .number = 1, .kind = WEIR_EFFECT_LEASE_LAUNCH, .lease = {9}});
    PUT(s, put_effect, &(struct weir_effect_row){.seq = 5, .number = 2, .kind = WEIR_EFFECT_LEASE_TERMINATE, .lease = {9}});
    PUT(s, put_token, &t);
    PUT(s, put_runtime, UINT64_MAX - 3, &run);
    COMMIT(s);
    PUT(s, each_hold, false, on_hold, fresh());
    assert_int_equal(got.n, 1);
    PUT(s, each_hold, true, on_hold, fresh());
    assert_int_equal(got.n, 2);
    assert_int_equal(got.hold.amount_micro, 4000000);
    assert_int_equal(got.hold.task.ordinal, 2);
    PUT(s, each_meter, on_meter, fresh());
    assert_int_equal(got.n, 1);
    assert_memory_equal(&got.meter, &m, sizeof m);
    PUT(s, each_effect, on_effect, fresh());
    assert_int_equal(got.n, 2);
    assert_int_equal(got.effect.kind, WEIR_EFFECT_LEASE_TERMINATE);
    PUT(s, each_token, on_token, fresh());
    assert_string_equal(got.text[0], "abc");
    assert_string_equal(got.text[2], "admin");
    assert_int_equal(got.token.expires.us, T0);
    PUT(s, each_runtime, on_runtime, fresh());
    assert_int_equal(got.id[0], UINT64_MAX - 3);
    assert_memory_equal(&got.runtime, &run, sizeof run);
    m.closed = true;
    BEGIN(s);
    PUT(s, put_meter, &m);
    PUT(s, done_effect, 5, 1);
    PUT(s, delete_token, "abc");
    h.id.v = 1;
    PUT(s, put_hold, &h);
    COMMIT(s);
    PUT(s, each_meter, on_meter, fresh());
    assert_int_equal(got.n, 0);
    PUT(s, each_effect, on_effect, fresh());
    assert_int_equal(got.n, 1);
    PUT(s, each_token, on_token, fresh());
    assert_int_equal(got.n, 0);
    PUT(s, each_hold, false, on_hold, fresh());
    assert_int_equal(got.n, 0);
}

/* ---- transactions ---- */

static void nothing_of_a_rollback_stays(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_job_row j = sample_job(1);
    struct weir_task_row t = sample_task(1, 0);
    BEGIN(s);
    put_names(s);
    PUT(s, put_job, &j);
    PUT(s, put_task, &t);
    PUT(s, put_effect, &(struct weir_effect_row){.seq = 1, .lease = {1}});
    COMMIT(s);
    BEGIN(s);
    struct weir_job_row k = sample_job(2);
    struct weir_event_row e = sample_event(1, 1);
    struct weir_posting p = sample_posting(1, 1, T0, T0 + 10);
    PUT(s, put_job, &k);
    j.view.state = WEIR_JOB_RUNNING;
    PUT(s, update_job, &j.view);
    t.text = "new";
    PUT(s, put_task, &t);
    PUT(s, put_event, &e);
    PUT(s, put_posting, &p);
    PUT(s, put_explain, &(struct weir_explain_row){.task = {{1}, 0}, .seq = 1, .json = "{}"});
    PUT(s, put_meta, "a", "b");
    PUT(s, done_effect, 1, 0);
    s->ops->rollback(s);
    s->ops->rollback(s); /* without a transaction: nothing */
    PUT(s, get_job, j.view.id, on_job, fresh());
    assert_int_equal(got.job.view.state, WEIR_JOB_WAITING);
    assert_int_equal(got.job.cost_micro, 0);
    PUT(s, get_task, t.view.id, on_task, fresh());
    assert_string_equal(got.text[0], "said so");
    uint64_t max[6];
    PUT(s, max_ids, &max[0], &max[1], &max[2], &max[3], &max[4], &max[5]);
    assert_int_equal(max[0], 1);
    assert_int_equal(max[4], 0);
    assert_int_equal(max[5], 0);
    PUT(s, each_effect, on_effect, fresh());
    assert_int_equal(got.n, 1);
    PUT(s, list_explains, j.view.id.v == 1 ? (struct weir_task_id){{1}, 0} : (struct weir_task_id){{0}, 0}, 10, on_explain,
        fresh());
    assert_int_equal(got.n, 0);
    char buf[4];
    assert_int_equal(s->ops->get_meta(s, "a", buf, sizeof buf, &err), -WEIR_ENOTFOUND);
    /* and the store goes on */
    BEGIN(s);
    PUT(s, put_job, &k);
    PUT(s, put_posting, &p);
    COMMIT(s);
    PUT(s, get_job, j.view.id, on_job, fresh());
    assert_int_equal(got.job.cost_micro, 10);
}

static void a_close_rolls_back(void **state)
{
    struct fixture *f = *state;
    struct weir_job_row j = sample_job(1);
    BEGIN(f->s);
    PUT(f->s, put_job, &j);
    weir_store_close(f->s);
    f->s = NULL;
    assert_int_equal(open_store(f), 0);
    assert_int_equal(f->s->ops->get_job(f->s, j.view.id, on_job, fresh(), &err), -WEIR_ENOTFOUND);
}

static void costs_follow_the_postings(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_job_row j = sample_job(1);
    struct weir_job_row k = sample_job(2);
    struct weir_posting p = sample_posting(1, 1, T0, T0 + 100);
    BEGIN(s);
    /* before the rows that they are for */
    PUT(s, put_posting, &p);
    p.id = 2;
    p.run.task.ordinal = 3;
    PUT(s, put_posting, &p);
    p = sample_posting(3, 2, T0 + 50, T0 + 107);
    p.debit = WEIR_ACCOUNT_WASTE_BOOT;
    PUT(s, put_posting, &p);
    p = sample_posting(4, 0, T0, T0 + 1000);
    p.run = (struct weir_run_id){0};
    p.debit = WEIR_ACCOUNT_IDLE;
    PUT(s, put_posting, &p);
    p.id = 5;
    p.debit = WEIR_ACCOUNT_NODE;
    p.credit = WEIR_ACCOUNT_ENERGY;
    PUT(s, put_posting, &p);
    PUT(s, put_job, &j);
    PUT(s, put_job, &k);
    struct weir_task_row t = sample_task(1, 0);
    PUT(s, put_task, &t);
    t = sample_task(1, 3);
    PUT(s, put_task, &t);
    COMMIT(s);
    /* a correction moves, it does not add */
    BEGIN(s);
    p = sample_posting(6, 1, T0, T0 + 2000);
    p.amount_micro = 60;
    p.debit = WEIR_ACCOUNT_WASTE_FAILED;
    p.credit = WEIR_ACCOUNT_JOB;
    PUT(s, put_posting, &p);
    /* putting a task or a job again does not touch its cost */
    PUT(s, put_task, &t);
    PUT(s, update_job, &j.view);
    COMMIT(s);
    PUT(s, get_job, j.view.id, on_job, fresh());
    assert_int_equal(got.job.cost_micro, 200);
    PUT(s, get_job, k.view.id, on_job, fresh());
    assert_int_equal(got.job.cost_micro, 57);
    PUT(s, get_task, (struct weir_task_id){{1}, 3}, on_task, fresh());
    assert_int_equal(got.task.cost_micro, 100);
    PUT(s, list_tasks, &(struct weir_task_filter){.job = {1}, .limit = 10}, on_task, fresh());
    assert_int_equal(got.n, 2);
    assert_int_equal(got.task.cost_micro, 100);
}

/* ---- scans ---- */

static void postings_come_back_in_order(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_posting p = sample_posting(1, 5, T0, T0 + 10);
    p.lease.v = 3;
    p.modelled = true;
    BEGIN(s);
    PUT(s, put_posting, &p);
    for (uint64_t i = 2; i <= 9; i++) {
        struct weir_posting q = sample_posting(i, 5, T0 + (int64_t)i * 10, T0 + (int64_t)i * 10 + 10);
        PUT(s, put_posting, &q);
    }
    COMMIT(s);
    fresh()->stop_at = 1;
    assert_int_equal(s->ops->each_posting(s, 0, on_posting, &got, &err), 42);
    assert_memory_equal(&got.posting, &p, sizeof p);
    PUT(s, each_posting, 4, on_posting, fresh());
    assert_int_equal(got.n, 5);
    assert_int_equal(got.id[0], 5);
    int64_t all;
    int64_t kept;
    struct weir_run_id run = {{{5}, 0}, 1};
    PUT(s, run_posted, run, (struct weir_node_id){1}, (struct weir_wall){T0 + 30}, &all, &kept);
    assert_int_equal(all, 90);
    assert_int_equal(kept, 20); /* the posting of 0..10 and that of 20..30 */
    PUT(s, run_posted, run, (struct weir_node_id){2}, (struct weir_wall){T0 + 30}, &all, &kept);
    assert_int_equal(all, 0);
    run.attempt = 2;
    PUT(s, run_posted, run, (struct weir_node_id){1}, WEIR_WALL_MAX, &all, &kept);
    assert_int_equal(all + kept, 0);
}

static void a_restart_sees_what_lives(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    BEGIN(s);
    for (uint64_t i = 1; i <= 20; i++) {
        struct weir_job_row j = sample_job(i);
        j.view.state = (enum weir_job_state)(i % WEIR_JOB_STATE_MAX);
        PUT(s, put_job, &j);
        /* rows in falling order, for every third job */
        for (uint32_t k = 3; k > 0 && i % 3 == 0; k--) {
            struct weir_task_row t = sample_task(i, k);
            PUT(s, put_task, &t);
        }
    }
    /* rows beyond and between live jobs */
    struct weir_task_row t = sample_task(999, 0);
    PUT(s, put_task, &t);
    COMMIT(s);
    PUT(s, each_live_job, on_job, fresh());
    static const uint64_t jobs[] = {1, 5, 6, 10, 11, 15, 16, 20};
    assert_int_equal(got.n, WEIR_ARRAY_LEN(jobs));
    assert_memory_equal(got.id, jobs, sizeof jobs);
    PUT(s, each_live_task, on_task, fresh());
    static const uint64_t tasks[] = {6001, 6002, 6003, 15001, 15002, 15003};
    assert_int_equal(got.n, WEIR_ARRAY_LEN(tasks));
    assert_memory_equal(got.id, tasks, sizeof tasks);
    assert_string_equal(got.text[0], "said so");
    fresh()->stop_at = 3;
    assert_int_equal(s->ops->each_live_task(s, on_task, &got, &err), 42);
    fresh()->stop_at = 2;
    assert_int_equal(s->ops->each_live_job(s, on_job, &got, &err), 42);
    /* a stopped scan may be begun again */
    PUT(s, each_live_job, on_job, fresh());
    assert_int_equal(got.n, WEIR_ARRAY_LEN(jobs));
}

static void highest_ids_are_told(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    uint64_t max[6];
    PUT(s, max_ids, &max[0], &max[1], &max[2], &max[3], &max[4], &max[5]);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(max[i], 0);
    }
    BEGIN(s);
    struct weir_job_row j = sample_job(11);
    struct weir_node_row n = sample_node(12);
    struct weir_lease_row l = sample_lease(13);
    struct weir_hold_view h = sample_hold(14);
    struct weir_posting p = sample_posting(15, 1, T0, T0 + 1);
    struct weir_event_row e = sample_event(16, 1);
    PUT(s, put_job, &j);
    PUT(s, put_node, &n);
    PUT(s, put_lease, &l);
    PUT(s, put_hold, &h);
    PUT(s, put_posting, &p);
    PUT(s, put_event, &e);
    COMMIT(s);
    PUT(s, max_ids, &max[0], &max[1], &max[2], &max[3], &max[4], &max[5]);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(max[i], 11 + i);
    }
}

/* ---- lists ---- */

static void jobs_are_listed_by_every_filter(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    static struct weir_job_row jobs[60];
    struct weir_prng rng = weir_prng_seed(7);
    static const char *const names[] = {"train", "eval", "tune"};
    static const char *const projects[] = {NULL, "vision", "speech", "nobody"};
    static const char *const users[] = {NULL, "ada", "bob"};
    BEGIN(s);
    put_names(s);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(jobs); i++) {
        jobs[i] = sample_job(i + 1);
        jobs[i].view.project.v = 1 + (uint32_t)weir_prng_below(&rng, 2);
        jobs[i].view.user.v = 1 + (uint32_t)weir_prng_below(&rng, 2);
        jobs[i].view.state = (enum weir_job_state)weir_prng_below(&rng, WEIR_JOB_STATE_MAX);
        jobs[i].name = names[weir_prng_below(&rng, 3)];
        PUT(s, put_job, &jobs[i]);
    }
    COMMIT(s);
    for (int round = 0; round < 3000; round++) {
        uint32_t project = (uint32_t)weir_prng_below(&rng, 4);
        uint32_t user = (uint32_t)weir_prng_below(&rng, 3);
        struct weir_job_filter f = {.project = projects[project],
                                    .user = users[user],
                                    .name = weir_prng_below(&rng, 3) == 0 ? names[weir_prng_below(&rng, 3)] : NULL,
                                    .states = weir_prng_below(&rng, 2) ? (uint32_t)weir_prng_below(&rng, 64) : 0,
                                    .before = weir_prng_below(&rng, 2) ? weir_prng_below(&rng, 70) : 0,
                                    .after = weir_prng_below(&rng, 3) == 0 ? weir_prng_below(&rng, 70) : 0,
                                    .limit = 1 + (uint32_t)weir_prng_below(&rng, 20)};
        uint64_t want[64];
        size_t n = 0;
        for (size_t i = 0; i < WEIR_ARRAY_LEN(jobs) && n < f.limit; i++) {
            const struct weir_job_row *j = &jobs[f.after != 0 ? i : WEIR_ARRAY_LEN(jobs) - 1 - i];
            if ((project == 0 || j->view.project.v == project) && (user == 0 || j->view.user.v == user) &&
                (f.name == NULL || weir_streq(f.name, j->name)) && (f.states == 0 || f.states >> j->view.state & 1) &&
                (f.before == 0 || j->view.id.v < f.before) && j->view.id.v > f.after) {
                want[n++] = j->view.id.v;
            }
        }
        PUT(s, list_jobs, &f, on_job, fresh());
        assert_int_equal(got.n, n);
        assert_memory_equal(got.id, want, n * sizeof want[0]);
    }
}

static void tasks_events_and_explains_are_listed(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    BEGIN(s);
    for (uint32_t i = 0; i < 10; i++) {
        struct weir_task_row t = sample_task(1, 9 - i);
        t.view.state = i % 2 == 0 ? WEIR_TASK_FAILED : WEIR_TASK_RUNNING;
        PUT(s, put_task, &t);
        struct weir_event_row e = sample_event(i + 1, i % 2 + 1);
        PUT(s, put_event, &e);
        PUT(s, put_explain, &(struct weir_explain_row){.task = {{1}, i % 2}, .seq = 100 + i, .json = "{\"x\":1}"});
    }
    struct weir_task_row t = sample_task(2, 0);
    PUT(s, put_task, &t);
    COMMIT(s);
    PUT(s, list_tasks, &(struct weir_task_filter){.job = {1}, .from_ordinal = 4, .limit = 3}, on_task, fresh());
    assert_int_equal(got.n, 3);
    assert_int_equal(got.id[0], 1004);
    assert_int_equal(got.id[2], 1006);
    struct weir_task_filter failed = {.job = {1}, .states = 1U << WEIR_TASK_FAILED, .limit = 100};
    PUT(s, list_tasks, &failed, on_task, fresh());
    assert_int_equal(got.n, 5);
    assert_int_equal(got.id[0], 1001);
    PUT(s, list_events, 3, (struct weir_job_id){0}, 4, on_event, fresh());
    assert_int_equal(got.n, 4);
    assert_int_equal(got.id[0], 4);
    assert_string_equal(got.text[0], "job.submitted");
    assert_int_equal(got.event.ordinal, (uint32_t)WEIR_ORDINAL_ALL);
    assert_int_equal(got.event.lease.v, 6);
    PUT(s, list_events, 3, (struct weir_job_id){2}, 100, on_event, fresh());
    assert_int_equal(got.n, 4);
    assert_int_equal(got.id[0], 4);
    assert_int_equal(got.id[3], 10);
    PUT(s, list_explains, (struct weir_task_id){{1}, 1}, 100, on_explain, fresh());
    assert_int_equal(got.n, 5);
    assert_int_equal(got.id[0], 101);
    PUT(s, list_explains, (struct weir_task_id){{1}, (uint32_t)WEIR_ORDINAL_ALL}, 7, on_explain, fresh());
    assert_int_equal(got.n, 7);
    assert_int_equal(got.id[6], 106);
    assert_string_equal(got.text[0], "{\"x\":1}");
}

/* ---- bills ---- */

struct bill_got {
    size_t n;
    char key[64][4][40];
    struct weir_bill_row row[64];
};

static struct bill_got bill;

static int on_bill(void *ctx, const struct weir_bill_row *r)
{
    struct bill_got *b = ctx;
    assert_true(b->n < WEIR_ARRAY_LEN(b->row));
    for (size_t i = 0; i < 4; i++) {
        assert_true(strlen(r->key[i]) < sizeof b->key[0][0]);
        memcpy(b->key[b->n][i], r->key[i], strlen(r->key[i]) + 1);
    }
    b->row[b->n++] = *r;
    return 0;
}

static const struct bill_got *run_bill(struct weir_store *s, struct weir_bill_filter f, enum weir_bill_by by, const char *tag)
{
    memset(&bill, 0, sizeof bill);
    PUT(s, bill, &f, &by, &tag, 1, on_bill, &bill);
    return &bill;
}

#define DAY WEIR_US_PER_DAY

/* Two nodes; jobs 1 (vision, ada, team a) and 2 (speech, bob, no team). */
static void put_ledger(struct weir_store *s)
{
    BEGIN(s);
    put_names(s);
    struct weir_node_row a = sample_node(1);
    struct weir_node_row b = sample_node(2);
    b.view.spec.pool.v = 2;
    b.gpu_model = "H100";
    PUT(s, put_node, &a);
    PUT(s, put_node, &b);
    struct weir_job_row j = sample_job(1);
    j.tags_json = "{\"team\":\"a\",\"n\":5}";
    PUT(s, put_job, &j);
    j = sample_job(2);
    j.tags_json = "{}";
    PUT(s, put_job, &j);
    struct weir_posting p = {.id = 1,
                             .at = {T0 + 2 * DAY},
                             .from = {T0},
                             .to = {T0 + 2 * DAY},
                             .node = {1},
                             .pool = {1},
                             .debit = WEIR_ACCOUNT_NODE,
                             .credit = WEIR_ACCOUNT_DEPRECIATION,
                             .amount_micro = 1001};
    PUT(s, put_posting, &p);
    p.id = 2;
    p.debit = WEIR_ACCOUNT_JOB;
    p.credit = WEIR_ACCOUNT_NODE;
    p.amount_micro = 601;
    p.gpu_us = 10;
    p.project.v = 1;
    p.user.v = 1;
    p.run = (struct weir_run_id){{{1}, 0}, 1};
    PUT(s, put_posting, &p);
    p.id = 3;
    p.debit = WEIR_ACCOUNT_IDLE;
    p.amount_micro = 400;
    p.gpu_us = 0;
    p.project.v = 0;
    p.user.v = 0;
    p.run = (struct weir_run_id){0};
    PUT(s, put_posting, &p);
    /* node 2: an instant's charge on the second day, for job 2, then moved to waste */
    p = (struct weir_posting){.id = 4,
                              .at = {T0 + 2 * DAY},
                              .from = {T0 + DAY + 5},
                              .to = {T0 + DAY + 5},
                              .node = {2},
                              .lease = {1},
                              .pool = {2},
                              .debit = WEIR_ACCOUNT_NODE,
                              .credit = WEIR_ACCOUNT_PROVIDER,
                              .amount_micro = 50};
    PUT(s, put_posting, &p);
    p.id = 5;
    p.debit = WEIR_ACCOUNT_JOB;
    p.credit = WEIR_ACCOUNT_NODE;
    p.gpu_us = 4;
    p.project.v = 2;
    p.user.v = 2;
    p.run = (struct weir_run_id){{{2}, 0}, 1};
    PUT(s, put_posting, &p);
    p.id = 6;
    p.debit = WEIR_ACCOUNT_WASTE_LOST;
    p.credit = WEIR_ACCOUNT_JOB;
    p.amount_micro = 20;
    p.gpu_us = 0;
    PUT(s, put_posting, &p);
    COMMIT(s);
}

static const struct weir_bill_filter everything = {.to = {INT64_MAX}};

static void bills_are_grouped_by_each_key(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    put_ledger(s);
    static const struct {
        enum weir_bill_by by;
        const char *tag;
        size_t n;
        const char *key[4];
        int64_t total[4];
    } rows[] = {
        {WEIR_BILL_BY_PROJECT, NULL, 3, {"", "speech", "vision"}, {400, 50, 601}},
        {WEIR_BILL_BY_USER, NULL, 3, {"", "ada", "bob"}, {400, 601, 50}},
        {WEIR_BILL_BY_TAG, "team", 2, {"", "a"}, {450, 601}},
        {WEIR_BILL_BY_TAG, "n", 2, {"", "5"}, {450, 601}},
        {WEIR_BILL_BY_POOL, NULL, 2, {"local", "sandbox"}, {1001, 50}},
        {WEIR_BILL_BY_JOB, NULL, 3, {"", "1", "2"}, {400, 601, 50}},
        {WEIR_BILL_BY_NODE, NULL, 2, {"gpu-a", "gpu-b"}, {1001, 50}},
        {WEIR_BILL_BY_GPU_MODEL, NULL, 2, {"A100", "H100"}, {1001, 50}},
        {WEIR_BILL_BY_DAY, NULL, 2, {"2026-01-01", "2026-01-02"}, {501, 550}},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const struct bill_got *b = run_bill(s, everything, rows[i].by, rows[i].tag);
        assert_int_equal(b->n, rows[i].n);
        for (size_t k = 0; k < rows[i].n; k++) {
            assert_string_equal(b->key[k][0], rows[i].key[k]);
            assert_int_equal(b->row[k].total_micro, rows[i].total[k]);
        }
    }
    const struct bill_got *b = run_bill(s, everything, WEIR_BILL_BY_POOL, NULL);
    assert_int_equal(b->row[0].cost_micro[WEIR_ACCOUNT_DEPRECIATION], 1001);
    assert_int_equal(b->row[1].cost_micro[WEIR_ACCOUNT_PROVIDER], 50);
    assert_int_equal(b->row[1].used_micro, 30);
    assert_int_equal(b->row[1].waste_micro[1], 20);
    assert_int_equal(b->row[1].gpu_us, 4);
    enum weir_bill_by two[] = {WEIR_BILL_BY_DAY, WEIR_BILL_BY_PROJECT};
    memset(&bill, 0, sizeof bill);
    PUT(s, bill, &everything, two, NULL, 2, on_bill, &bill);
    assert_int_equal(bill.n, 5);
    assert_string_equal(bill.key[2][0], "2026-01-02");
    assert_string_equal(bill.key[2][1], "");
    assert_int_equal(s->ops->bill(s, &everything, two, NULL, 0, on_bill, &bill, &err), -WEIR_EINVAL);
    two[0] = WEIR_BILL_BY_TAG;
    assert_int_equal(s->ops->bill(s, &everything, two, NULL, 2, on_bill, &bill, &err), -WEIR_EINVAL);
}

static void bills_are_cut_to_the_span(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    put_ledger(s);
    /* neighbouring spans add up to the whole, to the micro-unit */
    struct weir_prng rng = weir_prng_seed(3);
    for (int round = 0; round < 200; round++) {
        int64_t cut = T0 - 100 + (int64_t)weir_prng_below(&rng, 2 * (uint64_t)DAY + 200);
        int64_t used = 0;
        int64_t cost = 0;
        uint64_t gpu = 0;
        for (int half = 0; half < 2; half++) {
            struct weir_bill_filter f = {.from = {half == 0 ? 0 : cut}, .to = {half == 0 ? cut : INT64_MAX}};
            const struct bill_got *b = run_bill(s, f, WEIR_BILL_BY_POOL, NULL);
            for (size_t i = 0; i < b->n; i++) {
                used += b->row[i].total_micro;
                cost += b->row[i].cost_micro[0] + b->row[i].cost_micro[1];
                gpu += b->row[i].gpu_us;
            }
        }
        assert_int_equal(used, 1051);
        assert_int_equal(cost, 1051);
        assert_int_equal(gpu, 14);
    }
    struct weir_bill_filter first = {.from = {T0}, .to = {T0 + DAY / 2}};
    const struct bill_got *b = run_bill(s, first, WEIR_BILL_BY_PROJECT, NULL);
    assert_int_equal(b->n, 2);
    assert_int_equal(b->row[1].used_micro, 150); /* 601 / 4, half up */
    struct weir_bill_filter later = {.from = {T0 + 3 * DAY}, .to = {INT64_MAX}};
    assert_int_equal(run_bill(s, later, WEIR_BILL_BY_PROJECT, NULL)->n, 0);
}

static void bills_are_filtered(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    put_ledger(s);
    struct weir_bill_filter f = {.to = {INT64_MAX}, .project = "vision"};
    assert_int_equal(run_bill(s, f, WEIR_BILL_BY_JOB, NULL)->n, 1);
    assert_int_equal(bill.row[0].total_micro, 601);
    f = (struct weir_bill_filter){.to = {INT64_MAX}, .user = "bob"};
    assert_int_equal(run_bill(s, f, WEIR_BILL_BY_JOB, NULL)->n, 1);
    assert_int_equal(bill.row[0].total_micro, 50);
    f = (struct weir_bill_filter){.to = {INT64_MAX}, .job = {2}};
    assert_int_equal(run_bill(s, f, WEIR_BILL_BY_PROJECT, NULL)->n, 1);
    assert_string_equal(bill.key[0][0], "speech");
    f = (struct weir_bill_filter){.to = {INT64_MAX}, .project = "nobody"};
    assert_int_equal(run_bill(s, f, WEIR_BILL_BY_JOB, NULL)->n, 0);
}

/* ---- readers ---- */

static void a_reader_sees_what_is_committed(void **state)
{
    struct fixture *f = *state;
    struct weir_store *s = f->s;
    struct weir_store *reader = NULL;
    ok(weir_store_reader(s, &reader, &err), &err);
    struct weir_job_row j = sample_job(1);
    BEGIN(s);
    PUT(s, put_job, &j);
    if (weir_streq(f->backend, "sqlite")) {
        /* of the mem store a reader in this very thread would see the open transaction; in another it waits */
        assert_int_equal(reader->ops->get_job(reader, j.view.id, on_job, fresh(), &err), -WEIR_ENOTFOUND);
    }
    COMMIT(s);
    PUT(reader, get_job, j.view.id, on_job, fresh());
    assert_int_equal(got.n, 1);
    PUT(reader, bill, &everything, &(enum weir_bill_by){WEIR_BILL_BY_JOB}, NULL, 1, on_bill, &bill);
    weir_store_close(reader);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(names_and_meta_come_back),
        CASE(a_job_comes_back_whole),
        CASE(a_job_is_put_once),
        CASE(a_task_comes_back_whole),
        CASE(a_gang_keeps_its_nodes),
        CASE(a_node_comes_back_whole),
        CASE(a_lease_comes_back_whole),
        CASE(holds_meters_and_the_rest_come_back),
        CASE(nothing_of_a_rollback_stays),
        CASE(a_close_rolls_back),
        CASE(costs_follow_the_postings),
        CASE(postings_come_back_in_order),
        CASE(a_restart_sees_what_lives),
        CASE(highest_ids_are_told),
        CASE(jobs_are_listed_by_every_filter),
        CASE(tasks_events_and_explains_are_listed),
        CASE(bills_are_grouped_by_each_key),
        CASE(bills_are_cut_to_the_span),
        CASE(bills_are_filtered),
        CASE(a_reader_sees_what_is_committed),
    };
    if (argc != 2 || (!weir_streq(argv[1], "sqlite") && !weir_streq(argv[1], "mem"))) {
        print_error("usage: test_store sqlite|mem\n");
        return 2;
    }
    backend = argv[1];
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
