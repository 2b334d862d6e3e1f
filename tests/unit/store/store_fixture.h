/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the suites over a store share: a store of the back end under test for each case, and
 * collectors that keep what a scan told. The back end is the program's argument.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rows.h"

#define T0 INT64_C(1767225600000000)

struct fixture {
    const char *backend;
    struct scratch scratch;
    struct weir_store *s;
};

extern const char *backend;  /* under test */
extern struct weir_err err;  /* of the last call */

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
    struct weir_lease_price_row lease_price;
    struct weir_token_row token;
    struct weir_runtime_history runtime;
    char text[8][64];
    struct weir_node_id gang_node[8];
    uint32_t gang_mask[8];
    uint8_t gang_state[8];
};

extern struct got got; /* what the last scan told */

int open_store(struct fixture *f);
int setup(void **state);
int teardown(void **state);
void ok(int r, const struct weir_err *why);
int count(struct got *g, uint64_t id);
int on_job(void *ctx, const struct weir_job_row *r);
int on_task(void *ctx, const struct weir_task_row *r);
int on_node(void *ctx, const struct weir_node_row *r);
int on_lease(void *ctx, const struct weir_lease_row *r);
int on_hold(void *ctx, const struct weir_hold_view *v);
int on_project(void *ctx, const struct weir_project_row *r);
int on_name(void *ctx, const struct weir_name_row *r);
int on_posting(void *ctx, const struct weir_posting *p);
int on_meter(void *ctx, const struct weir_meter *m);
int on_explain(void *ctx, const struct weir_explain_row *r);
int on_event(void *ctx, const struct weir_event_row *r);
int on_lease_price(void *ctx, const struct weir_lease_price_row *r);
int on_effect(void *ctx, const struct weir_effect_row *r);
int on_token(void *ctx, const struct weir_token_row *r);
int on_shape(void *ctx, uint32_t shape, const char *json);
int on_runtime(void *ctx, uint64_t key, const struct weir_runtime_history *h);
struct got *fresh(void);
void put_names(struct weir_store *s);

/* The program's main: runs the cases for the back end that the arguments name. */
#define RUN_CASES(argc, argv, tests)                                                               \
    (backend_from((argc), (argv)) ? cmocka_run_group_tests_name(backend, tests, NULL, NULL) : 2)
bool backend_from(int argc, char **argv);

#define BEGIN(s) ok((s)->ops->begin((s), &err), &err)
#define COMMIT(s) ok((s)->ops->commit((s), &err), &err)
#define PUT(s, op, ...) ok((s)->ops->op((s), __VA_ARGS__, &err), &err)
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
