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

static const char *backend = "sqlite"; /* of the group under way */

static int open_store(struct fixture *f)
{
    struct weir_err err = {""};
    int r;
    if (weir_streq(f->backend, "sqlite")) {
        r = weir_store_sqlite_open(&f->s, &(struct weir_store_conf){.path = f->scratch.db}, &err);
    } else {
        r = -1;
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


static int on_meter(void *ctx, const struct weir_meter *m)
{
    struct got *g = ctx;
    g->meter = *m;
    return count(g, m->info.node.v);
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
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_node_id node[3] = {{5}, {6}, {7}};
    uint32_t mask[3] = {1, 0xffffffff, 2};
    struct weir_task_row t = sample_task(1, 0);
    t.view.n_nodes = 3;
    t.view.gang_node = node;
    t.view.gang_mask = mask;
    BEGIN(s);
    PUT(s, put_task, &t);
    COMMIT(s);
    PUT(s, get_task, t.view.id, on_task, fresh());
    assert_int_equal(got.task.view.n_nodes, 3);
    assert_memory_equal(got.gang_node, node, sizeof node);
    assert_memory_equal(got.gang_mask, mask, sizeof mask);
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
    assert_memory_equal(&got.lease.view.task, &l.view.task, sizeof l.view.task);
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

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
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
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
