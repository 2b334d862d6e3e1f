/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const char *backend;
struct weir_err err;

int open_store(struct fixture *f)
{
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

int setup(void **state)
{
    struct fixture *f = weir_alloc(sizeof *f);
    f->backend = backend;
    scratch_make(&f->scratch);
    *state = f;
    return open_store(f);
}

int teardown(void **state)
{
    struct fixture *f = *state;
    weir_store_close(f->s);
    scratch_free(&f->scratch);
    free(f);
    return 0;
}

void ok(int r, const struct weir_err *why)
{
    if (r != 0) {
        print_error("%d: %s\n", r, why->text);
    }
    assert_int_equal(r, 0);
}

/* ---- collectors ---- */

int count(struct got *g, uint64_t id)
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

int on_job(void *ctx, const struct weir_job_row *r)
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

int on_task(void *ctx, const struct weir_task_row *r)
{
    struct got *g = ctx;
    g->task = *r;
    keep_text(g, 0, r->text);
    keep_text(g, 1, r->node_name);
    keep_text(g, 2, r->pool);
    keep_text(g, 3, r->gpu_model);
    for (size_t i = 0; r->view.gang_node != NULL && i < r->view.n_nodes && i < 8; i++) {
        g->gang_node[i] = r->view.gang_node[i];
        g->gang_mask[i] = r->view.gang_mask[i];
        g->gang_state[i] = r->view.gang_state == NULL ? 0 : r->view.gang_state[i];
    }
    return count(g, r->view.id.job.v * 1000 + r->view.id.ordinal);
}

int on_node(void *ctx, const struct weir_node_row *r)
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

int on_lease(void *ctx, const struct weir_lease_row *r)
{
    struct got *g = ctx;
    g->lease = *r;
    keep_text(g, 0, r->gpu_model);
    keep_text(g, 1, r->text);
    return count(g, r->view.id.v);
}

int on_hold(void *ctx, const struct weir_hold_view *v)
{
    struct got *g = ctx;
    g->hold = *v;
    return count(g, v->id.v);
}

int on_project(void *ctx, const struct weir_project_row *r)
{
    struct got *g = ctx;
    g->project = *r;
    keep_text(g, 0, r->name);
    return count(g, r->view.id.v);
}

int on_name(void *ctx, const struct weir_name_row *r)
{
    struct got *g = ctx;
    keep_text(g, 0, r->name);
    keep_text(g, 1, r->detail_json);
    return count(g, r->id);
}

int on_posting(void *ctx, const struct weir_posting *p)
{
    struct got *g = ctx;
    g->posting = *p;
    return count(g, p->id);
}

int on_meter(void *ctx, const struct weir_meter *m)
{
    struct got *g = ctx;
    g->meter = *m;
    return count(g, m->info.node.v);
}

int on_explain(void *ctx, const struct weir_explain_row *r)
{
    struct got *g = ctx;
    keep_text(g, 0, r->json);
    return count(g, r->seq);
}

int on_event(void *ctx, const struct weir_event_row *r)
{
    struct got *g = ctx;
    g->event = *r;
    keep_text(g, 0, r->kind);
    keep_text(g, 1, r->text);
    return count(g, r->id);
}

int on_lease_price(void *ctx, const struct weir_lease_price_row *r)
{
    struct got *g = ctx;
    g->lease_price = *r;
    return count(g, r->price.number);
}

int on_effect(void *ctx, const struct weir_effect_row *r)
{
    struct got *g = ctx;
    g->effect = *r;
    return count(g, r->seq);
}

int on_token(void *ctx, const struct weir_token_row *r)
{
    struct got *g = ctx;
    g->token = *r;
    keep_text(g, 0, r->hash);
    keep_text(g, 1, r->name);
    keep_text(g, 2, r->role);
    keep_text(g, 3, r->user);
    return count(g, r->lease.v);
}

int on_shape(void *ctx, uint32_t shape, const char *json)
{
    struct got *g = ctx;
    keep_text(g, 0, json);
    return count(g, shape);
}

int on_runtime(void *ctx, uint64_t key, const struct weir_runtime_history *h)
{
    struct got *g = ctx;
    g->runtime = *h;
    return count(g, key);
}

struct got got;

struct got *fresh(void)
{
    memset(&got, 0, sizeof got);
    return &got;
}

void put_names(struct weir_store *s)
{
    PUT(s, put_project, &(struct weir_project_row){.view = sample_project(1, "").view, .name = "vision"});
    struct weir_project_row other = sample_project(2, "speech");
    PUT(s, put_project, &other);
    PUT(s, put_user, &(struct weir_name_row){1, "ada", "{}"});
    PUT(s, put_user, &(struct weir_name_row){2, "bob", "{}"});
    PUT(s, put_pool, &(struct weir_name_row){1, "local", "{\"kind\":\"local\"}"});
    PUT(s, put_pool, &(struct weir_name_row){2, "sandbox", "{}"});
}

bool backend_from(int argc, char **argv)
{
    if (argc != 2 || (!weir_streq(argv[1], "sqlite") && !weir_streq(argv[1], "mem"))) {
        print_error("usage: %s sqlite|mem\n", argv[0]);
        return false;
    }
    backend = argv[1];
    return true;
}
