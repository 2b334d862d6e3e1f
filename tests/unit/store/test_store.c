/* SPDX-License-Identifier: Apache-2.0 */
/* One suite over both back ends: what holds for a store, whatever it is made of. Bills: test_store_bill.c. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/vec.h"

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

static void what_nothing_can_run_is_told_by_shape(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_job_row j = sample_job(1);
    struct weir_job_row k = sample_job(2);
    k.view.shape = j.view.shape + 1;
    BEGIN(s);
    put_names(s);
    PUT(s, put_shape, j.view.shape, "{}");
    PUT(s, put_shape, k.view.shape, "{}");
    PUT(s, put_job, &j);
    PUT(s, put_job, &k);
    COMMIT(s);
    PUT(s, get_job, j.view.id, on_job, fresh());
    assert_false(got.job.impossible);
    for (int i = 1; i >= 0; i--) {
        BEGIN(s);
        PUT(s, mark_shape, j.view.shape, i == 1);
        PUT(s, mark_shape, 999, true); /* is not there */
        COMMIT(s);
        PUT(s, get_job, j.view.id, on_job, fresh());
        assert_int_equal(got.job.impossible, i);
        PUT(s, get_job, k.view.id, on_job, fresh());
        assert_false(got.job.impossible);
    }
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
    assert_string_equal(got.text[3], "A100");
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
    assert_int_equal(got.lease.view.offer.price_micro_per_hour, 12345678);
    assert_int_equal(got.lease.view.price_micro_per_hour, 23456789);
    assert_int_equal(got.lease.view.priced.us, T0 + 8);
    assert_int_equal(got.lease.view.priced_micro, 777);
    assert_int_equal(got.lease.view.offer.ends.us, T0 + 9);
    assert_true(got.lease.view.offer.plan == UINT64_C(0xfedcba9876543211));
    assert_string_equal(got.lease.reservation, "cr-0123");
    assert_string_equal(got.lease.token, "weir-token");
    assert_string_equal(got.lease.instance, "i-123");
    assert_string_equal(got.text[0], "A100");
    assert_string_equal(got.text[1], "no reason");
    PUT(s, get_lease, l.view.id, on_lease, fresh());
    assert_int_equal(got.n, 1);
    assert_string_equal(got.lease.instance, "i-123");
    assert_int_equal(s->ops->get_lease(s, (struct weir_lease_id){99}, on_lease, fresh(), NULL), -WEIR_ENOTFOUND);
    assert_int_equal(got.n, 0);
}

static void prices_of_leases_stand_by_number(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_lease_price_row rows[] = {
        {{7}, {0, {T0 + 10}, 1000, 3}, {T0 + 11}}, {{8}, {0, {T0 + 5}, 9000, WEIR_BILL_POSTING_UNKNOWN}, {T0 + 6}}, {{7}, {0, {T0 + 20}, 2000, 4}, {T0 + 25}}, {{7}, {0, {T0 + 20}, 3000, 9}, {T0 + 30}},
    };
    BEGIN(s);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        PUT(s, put_lease_price, &rows[i]);
    }
    COMMIT(s);
    PUT(s, each_lease_price, (struct weir_lease_id){0}, 0, on_lease_price, fresh());
    assert_int_equal(got.n, 4);
    assert_int_equal(got.id[0], 1);
    assert_int_equal(got.id[1], 2);
    assert_int_equal(got.id[2], 3); /* of the same time as the second */
    assert_int_equal(got.id[3], 1);
    assert_int_equal(got.lease_price.lease.v, 8);
    assert_true(got.lease_price.price.after_posting == WEIR_BILL_POSTING_UNKNOWN);
    PUT(s, each_lease_price, (struct weir_lease_id){7}, 2, on_lease_price, fresh());
    assert_int_equal(got.n, 2);
    assert_int_equal(got.id[0], 3);
    PUT(s, each_lease_price, (struct weir_lease_id){8}, 0, on_lease_price, fresh());
    assert_int_equal(got.n, 1);
    PUT(s, each_lease_price, (struct weir_lease_id){8}, 1, on_lease_price, fresh());
    assert_int_equal(got.n, 0);
    BEGIN(s);
    PUT(s, put_lease_price, &(struct weir_lease_price_row){{9}, {0, {T0}, 1, 1}, {T0}});
    s->ops->rollback(s);
    PUT(s, each_lease_price, (struct weir_lease_id){8}, 1, on_lease_price, fresh());
    assert_int_equal(got.n, 0);
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
    p.id = 10;
    p.at.us = p.to.us = T0 + 100;
    p.correction = 3;
    p.run.task.ordinal = (uint32_t)WEIR_ORDINAL_ALL;
    p.run.attempt = 0;
    BEGIN(s);
    PUT(s, put_posting, &p);
    COMMIT(s);
    PUT(s, each_posting, 9, on_posting, fresh());
    assert_memory_equal(&got.posting, &p, sizeof p);
    for (uint64_t i = 1; i <= 9; i++) {
        uint64_t first = 0;
        struct weir_wall made = {T0 + (int64_t)i * 10 + (i == 1 ? 0 : 10)}; /* as sample_posting stamps them */
        PUT(s, first_posting, made, &first);
        assert_true(first <= i);
        assert_true(i == 1 || first + 1 >= i);
    }
    struct weir_run_posted posted;
    struct weir_run_id run = {{{5}, 0}, 1};
    PUT(s, run_posted, run, (struct weir_node_id){1}, (struct weir_wall){T0 + 30}, &posted);
    assert_int_equal(posted.micro, 90);
    assert_int_equal(posted.kept_micro, 20); /* the posting of 0..10 and that of 20..30 */
    PUT(s, run_posted, run, (struct weir_node_id){2}, (struct weir_wall){T0 + 30}, &posted);
    assert_int_equal(posted.micro, 0);
    assert_int_equal(posted.until.us, 0);
    run.attempt = 2;
    PUT(s, run_posted, run, (struct weir_node_id){1}, WEIR_WALL_MAX, &posted);
    assert_int_equal(posted.micro + posted.kept_micro, 0);
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
    assert_string_equal(got.text[0], "train");
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
                                    .from = weir_prng_below(&rng, 3) == 0 ? weir_prng_below(&rng, 70) : 0,
                                    .limit = 1 + (uint32_t)weir_prng_below(&rng, 20)};
        uint64_t want[64];
        size_t n = 0;
        for (size_t i = 0; i < WEIR_ARRAY_LEN(jobs) && n < f.limit; i++) {
            const struct weir_job_row *j = &jobs[f.from != 0 ? i : WEIR_ARRAY_LEN(jobs) - 1 - i];
            if ((project == 0 || j->view.project.v == project) && (user == 0 || j->view.user.v == user) &&
                (f.name == NULL || weir_streq(f.name, j->name)) && (f.states == 0 || f.states >> j->view.state & 1) &&
                (f.before == 0 || j->view.id.v < f.before) && j->view.id.v >= f.from) {
                want[n++] = j->view.id.v;
            }
        }
        PUT(s, list_jobs, &f, on_job, fresh());
        assert_int_equal(got.n, n);
        assert_memory_equal(got.id, want, n * sizeof want[0]);
    }
}

static void nodes_of_a_job_are_counted(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    static const struct {
        uint32_t beside;
        uint32_t limit;
        uint32_t want;
    } row[] = {{0, 100, 4}, {7, 100, 3}, {99, 100, 4}, {0, 4, 3}, {7, 4, 2}, {0, 1, 0}};
    static const uint64_t node[] = {0, 7, 8, 9, 0, 7, 10, 9}; /* by ordinal; 0: not placed yet */
    uint32_t n;
    BEGIN(s);
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(node); i++) {
        struct weir_task_row t = sample_task(2, i);
        t.view.node.v = node[i];
        PUT(s, put_task, &t);
        t = sample_task(3, i); /* another's are not among them */
        t.view.node.v = 100 + i;
        PUT(s, put_task, &t);
    }
    COMMIT(s);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        n = 77;
        PUT(s, count_nodes, (struct weir_job_id){2}, (struct weir_node_id){row[i].beside}, row[i].limit, &n);
        assert_int_equal(n, row[i].want);
    }
    PUT(s, count_nodes, (struct weir_job_id){4}, (struct weir_node_id){0}, 100, &n);
    assert_int_equal(n, 0);
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
    uint64_t seen = 0;
    bool more = false;
    PUT(s, list_events, &(struct weir_event_filter){.after = 3, .limit = 4}, &seen, &more, on_event, fresh());
    assert_int_equal(seen, 7);
    assert_true(more);
    assert_int_equal(got.n, 4);
    assert_int_equal(got.id[0], 4);
    assert_string_equal(got.text[0], "job.submitted");
    assert_int_equal(got.event.ordinal, (uint32_t)WEIR_ORDINAL_ALL);
    assert_int_equal(got.event.lease.v, 6);
    PUT(s, list_events, &(struct weir_event_filter){.after = 3, .job = {2}, .limit = 100}, &seen, &more, on_event, fresh());
    assert_false(more);
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

static void what_is_old_is_pruned_in_batches(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    BEGIN(s);
    for (uint32_t i = 0; i < 10; i++) {
        struct weir_event_row e = sample_event(i + 1, 1);
        e.at.us = T0 + i;
        PUT(s, put_event, &e);
        struct weir_explain_row x = {.task = {{1}, 0}, .seq = 100 + i, .json = "{}", .at = {T0 + i}};
        PUT(s, put_explain, &x);
    }
    COMMIT(s);
    struct weir_prune p = {.events_before = {T0 + 7}, .explains_before = {T0 + 5}, .limit = 4};
    static const uint32_t want[] = {8, 4, 0};
    uint32_t removed = 99;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(want); i++) {
        BEGIN(s);
        PUT(s, prune, &p, &removed);
        COMMIT(s);
        assert_int_equal(removed, want[i]);
    }
    uint64_t first = 0;
    PUT(s, first_event, &first);
    assert_int_equal(first, 8);
    uint64_t seen = 0;
    bool more = true;
    PUT(s, list_events, &(struct weir_event_filter){.limit = 100}, &seen, &more, on_event, fresh());
    assert_int_equal(got.n, 3);
    PUT(s, list_explains, (struct weir_task_id){{1}, 0}, 100, on_explain, fresh());
    assert_int_equal(got.n, 5);
    assert_int_equal(got.id[0], 105);
    /* a transaction that is not committed removes nothing; the newest event stays in any case */
    p = (struct weir_prune){WEIR_WALL_MAX, WEIR_WALL_MAX, WEIR_WALL_MAX, 100};
    BEGIN(s);
    PUT(s, prune, &p, &removed);
    s->ops->rollback(s);
    PUT(s, first_event, &first);
    assert_int_equal(first, 8);
    BEGIN(s);
    PUT(s, prune, &p, &removed);
    COMMIT(s);
    assert_int_equal(removed, 7);
    PUT(s, first_event, &first);
    assert_int_equal(first, 10);
}

static int on_access(void *ctx, const struct weir_access_row *r)
{
    (void)snprintf(got.text[got.n], sizeof got.text[0], "%s %s %d %s", r->user, r->role, r->disabled, r->projects_json);
    return count(ctx, 0);
}

static void what_users_may_do_comes_back_by_name(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    BEGIN(s);
    PUT(s, put_access, &(struct weir_access_row){"eve", "viewer", true, "{}"});
    PUT(s, put_access, &(struct weir_access_row){"bob", "user", false, "{}"});
    PUT(s, put_access, &(struct weir_access_row){"ada", "admin", false, "{}"});
    COMMIT(s);
    BEGIN(s);
    PUT(s, put_access, &(struct weir_access_row){"bob", "finance", false, "{\"vision\":\"owner\"}"});
    PUT(s, delete_access, "eve");
    COMMIT(s);
    BEGIN(s);
    PUT(s, delete_access, "ada");
    s->ops->rollback(s);
    PUT(s, each_access, on_access, fresh());
    assert_int_equal(got.n, 2);
    assert_string_equal(got.text[0], "ada admin 0 {}");
    assert_string_equal(got.text[1], "bob finance 0 {\"vision\":\"owner\"}");
}

static int on_document(void *ctx, const struct weir_document_row *r)
{
    (void)snprintf(got.text[got.n], sizeof got.text[0], "%s %s %s", r->kind, r->name, r->json);
    return count(ctx, 0);
}

static void documents_come_back_by_kind_in_order_of_name(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    BEGIN(s);
    PUT(s, put_document, &(struct weir_document_row){"alert", "2", "{}"});
    PUT(s, put_document, &(struct weir_document_row){"alert", "1", "{\"a\":1}"});
    PUT(s, put_document, &(struct weir_document_row){"alert", "3", "{}"});
    PUT(s, put_document, &(struct weir_document_row){"policy", "1", "[]"});
    COMMIT(s);
    BEGIN(s);
    PUT(s, put_document, &(struct weir_document_row){"alert", "2", "{\"b\":2}"});
    PUT(s, delete_document, "alert", "3");
    PUT(s, delete_document, "alert", "none");
    COMMIT(s);
    BEGIN(s);
    PUT(s, delete_document, "alert", "1");
    s->ops->rollback(s);
    PUT(s, each_document, "alert", on_document, fresh());
    assert_int_equal(got.n, 2);
    assert_string_equal(got.text[0], "alert 1 {\"a\":1}");
    assert_string_equal(got.text[1], "alert 2 {\"b\":2}");
    PUT(s, each_document, "policy", on_document, fresh());
    assert_string_equal(got.text[0], "policy 1 []");
}

static int on_audit(void *ctx, const struct weir_audit_row *r)
{
    if (got.n < WEIR_ARRAY_LEN(got.text)) {
        (void)snprintf(got.text[got.n], sizeof got.text[0], "%s %s %s %s %s %s", r->user, r->token, r->action, r->object, r->before, r->after);
    }
    return count(ctx, r->id);
}

static void the_audit_log_is_read_from_its_newest_end(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    uint32_t removed = 0;
    BEGIN(s);
    for (int i = 1; i <= 5; i++) {
        PUT(s, put_audit, &(struct weir_audit_row){.at = {T0 + i}, .user = "ada", .role = "admin", .token = "t", .peer = "p", .action = "job.cancel",
                                                   .object = i == 5 ? "job 5" : "job", .before = "1", .after = "2"});
    }
    COMMIT(s);
    BEGIN(s);
    PUT(s, put_audit, &(struct weir_audit_row){.at = {T0 + 6}, .user = "x"});
    s->ops->rollback(s);
    PUT(s, list_audit, &(struct weir_audit_filter){.limit = 2}, on_audit, fresh());
    assert_int_equal(got.n, 2);
    assert_int_equal(got.id[0], 5);
    assert_string_equal(got.text[0], "ada t job.cancel job 5 1 2");
    PUT(s, list_audit, &(struct weir_audit_filter){.before = 4, .since = {T0 + 2}, .limit = 100}, on_audit, fresh());
    assert_int_equal(got.n, 2);
    assert_int_equal(got.id[1], 2);
    /* the newest stays, so that ids go on */
    BEGIN(s);
    PUT(s, prune, &(struct weir_prune){.audits_before = WEIR_WALL_MAX, .limit = 100}, &removed);
    COMMIT(s);
    assert_int_equal(removed, 4);
    BEGIN(s);
    PUT(s, put_audit, &(struct weir_audit_row){.at = {T0 + 7}, .user = "x"});
    COMMIT(s);
    PUT(s, list_audit, &(struct weir_audit_filter){.limit = 100}, on_audit, fresh());
    assert_int_equal(got.n, 2);
    assert_int_equal(got.id[0], 6);
}

static void a_set_of_projects_bounds_every_list(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    static const struct weir_project_id second[] = {{2}};
    const struct weir_project_set set = {second, 1};
    const struct weir_project_set none = {NULL, 0};
    uint64_t seen = 0;
    bool more = true;
    BEGIN(s);
    put_names(s);
    for (uint64_t id = 1; id <= 6; id++) {
        struct weir_job_row job = sample_job(id);
        struct weir_event_row event = sample_event(id, id);
        struct weir_posting p = sample_posting(id, id, T0, T0 + 10);
        job.view.project.v = id % 2 == 0 ? 2 : 1;
        job.view.state = id > 4 ? WEIR_JOB_RUNNING : WEIR_JOB_SUCCEEDED;
        p.project = job.view.project;
        PUT(s, put_job, &job);
        PUT(s, put_event, &event);
        PUT(s, put_posting, &p);
    }
    PUT(s, put_event, &(struct weir_event_row){.id = 7, .kind = "node.up", .ordinal = (uint32_t)WEIR_ORDINAL_ALL});
    COMMIT(s);
    PUT(s, list_jobs, &(struct weir_job_filter){.within = &set, .limit = 2}, on_job, fresh());
    assert_int_equal(got.n, 2);
    assert_int_equal(got.id[0], 6);
    assert_int_equal(got.id[1], 4);
    PUT(s, list_jobs, &(struct weir_job_filter){.within = &set, .states = 1U << WEIR_JOB_RUNNING, .limit = 100}, on_job, fresh());
    assert_int_equal(got.n, 1);
    PUT(s, list_jobs, &(struct weir_job_filter){.within = &set, .user = "ada", .from = 1, .limit = 100}, on_job, fresh());
    for (size_t i = 0; i < got.n; i++) {
        assert_int_equal(got.id[i] % 2, 0);
    }
    PUT(s, list_jobs, &(struct weir_job_filter){.within = &none, .limit = 100}, on_job, fresh());
    assert_int_equal(got.n, 0);
    PUT(s, list_events, &(struct weir_event_filter){.within = &set, .limit = 100}, &seen, &more, on_event, fresh());
    assert_int_equal(got.n, 3);
    assert_int_equal(seen, 7);
    assert_false(more);
    PUT(s, list_events, &(struct weir_event_filter){.within = &set, .job = {1}, .limit = 100}, &seen, &more, on_event, fresh());
    assert_int_equal(got.n, 0);
    PUT(s, list_events, &(struct weir_event_filter){.within = &none, .limit = 100}, &seen, &more, on_event, fresh());
    assert_int_equal(got.n, 0);
}

static void released_holds_are_pruned_but_the_newest(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    BEGIN(s);
    for (uint64_t i = 1; i <= 6; i++) {
        struct weir_hold_view h = sample_hold(i);
        h.state = i == 2 ? WEIR_HOLD_ACTIVE : WEIR_HOLD_RELEASED;
        PUT(s, put_hold, &h);
    }
    COMMIT(s);
    struct weir_prune p = {.limit = 3};
    static const uint32_t want[] = {3, 1, 0};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(want); i++) {
        uint32_t removed = 99;
        BEGIN(s);
        PUT(s, prune, &p, &removed);
        COMMIT(s);
        assert_int_equal(removed, want[i]);
    }
    PUT(s, each_hold, true, on_hold, fresh());
    assert_int_equal(got.n, 2);
    assert_int_equal(got.id[0], 2);
    assert_int_equal(got.id[1], 6);
    uint64_t id[6];
    PUT(s, max_ids, &id[0], &id[1], &id[2], &id[3], &id[4], &id[5]);
    assert_int_equal(id[3], 6);
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
    weir_store_close(reader);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(names_and_meta_come_back),
        CASE(a_job_comes_back_whole),
        CASE(what_nothing_can_run_is_told_by_shape),
        CASE(a_job_is_put_once),
        CASE(a_task_comes_back_whole),
        CASE(a_gang_keeps_its_nodes),
        CASE(a_node_comes_back_whole),
        CASE(a_lease_comes_back_whole),
        CASE(prices_of_leases_stand_by_number),
        CASE(holds_meters_and_the_rest_come_back),
        CASE(nothing_of_a_rollback_stays),
        CASE(a_close_rolls_back),
        CASE(costs_follow_the_postings),
        CASE(postings_come_back_in_order),
        CASE(a_restart_sees_what_lives),
        CASE(highest_ids_are_told),
        CASE(jobs_are_listed_by_every_filter),
        CASE(nodes_of_a_job_are_counted),
        CASE(tasks_events_and_explains_are_listed),
        CASE(what_is_old_is_pruned_in_batches),
        CASE(what_users_may_do_comes_back_by_name),
        CASE(documents_come_back_by_kind_in_order_of_name),
        CASE(the_audit_log_is_read_from_its_newest_end),
        CASE(a_set_of_projects_bounds_every_list),
        CASE(released_holds_are_pruned_but_the_newest),
        CASE(a_reader_sees_what_is_committed),
    };
    return RUN_CASES(argc, argv, tests);
}
