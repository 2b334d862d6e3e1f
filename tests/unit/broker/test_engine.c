/* SPDX-License-Identifier: Apache-2.0 */
/* The engine over the in-memory store, with a clock that the test turns and a disk that it fills. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/proof.h"
#include "base/mem.h"
#include "broker/engine.h"

static const struct weir_wall T0 = {INT64_C(1795376546) * WEIR_US_PER_S};

struct hands {
    struct weir_wall wall;
    struct weir_mono mono;
};

static struct weir_wall wall_now(void *ctx)
{
    return ((struct hands *)ctx)->wall;
}

static struct weir_mono mono_now(void *ctx)
{
    return ((struct hands *)ctx)->mono;
}

static bool disk_is_full;

struct rig {
    struct hands hands;
    struct weir_clock clock;
    struct weir_gpu_table *gpus;
    struct weir_store *store;
    const struct weir_store_ops *real_ops;
    struct weir_store_ops ops;
    struct weir_engine *engine;
    struct weir_node_id node;
};

static struct weir_wall owned_cost(void *ctx, const struct weir_node_spec *spec, struct weir_wall at, struct weir_owned_cost *ret)
{
    (void)ctx;
    (void)spec;
    (void)at;
    *ret = (struct weir_owned_cost){.purchase_micro = 24000 * WEIR_MICRO_PER_UNIT,
                                    .life = {INT64_C(35040) * WEIR_US_PER_HOUR},
                                    .tariff_micro_per_kwh = 240000,
                                    .pue_milli = 1400,
                                    .idle_watts = 300,
                                    .busy_watts = 1000};
    return WEIR_WALL_MAX;
}

static void open_engine(struct rig *r)
{
    struct weir_err err = {""};
    struct weir_engine_conf conf = {.store = r->store, .core = weir_core_conf_default(), .clock = &r->clock, .node_cost = owned_cost};
    conf.core.gpus = r->gpus;
    if (weir_engine_open(&r->engine, &conf, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* The real store's methods but for this one: commits fail while the disk is full. */
static const struct weir_store_ops *hooked;

static int commit_hook(struct weir_store *s, struct weir_err *err)
{
    return disk_is_full ? weir_fail(err, -WEIR_ENOSPACE, "the test's disk is full") : hooked->commit(s, err);
}

static int setup(void **state)
{
    struct weir_err err;
    struct rig *r = weir_alloc(sizeof *r);
    r->hands = (struct hands){T0, {WEIR_US_PER_HOUR}};
    r->clock = (struct weir_clock){wall_now, mono_now, &r->hands};
    r->gpus = weir_gpu_table_new();
    assert_int_equal(weir_store_mem_open(&r->store, &err), 0);
    hooked = r->store->ops;
    r->real_ops = r->store->ops;
    r->ops = *r->store->ops;
    r->ops.commit = commit_hook;
    r->store->ops = &r->ops;
    disk_is_full = false;
    open_engine(r);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    weir_engine_free(r->engine);
    r->store->ops = r->real_ops;
    weir_store_close(r->store);
    weir_gpu_table_free(r->gpus);
    free(r);
    return 0;
}

static void pass(struct rig *r, int64_t seconds)
{
    r->hands.wall.us += seconds * WEIR_US_PER_S;
    r->hands.mono.us += seconds * WEIR_US_PER_S;
}

static void feed(struct rig *r, struct weir_event ev)
{
    struct weir_err err = {""};
    if (weir_engine_event(r->engine, &ev, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void join(struct rig *r)
{
    struct weir_node_spec spec = {.id = weir_core_take_node_id(weir_engine_core(r->engine)), .gpus = 2, .gpu_mem_mib = 40960,
                                  .cpu_milli = 8000, .mem_mib = 64000};
    spec.gpu_model = weir_gpu_table_intern(r->gpus, WEIR_SV("A100"));
    spec.pool = weir_engine_pool(r->engine, WEIR_SV("local"), "{}");
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
    ev.u.node_join.spec = &spec;
    r->node = spec.id;
    feed(r, ev);
    weir_engine_node_note(r->engine, spec.id, &(struct weir_node_note){"agent-1", "host1", "127.0.0.1", "{}"});
}

static struct weir_engine_submit request(struct rig *r, const char *name)
{
    struct weir_engine_submit s = {.name = name, .spec_json = WEIR_SV("{}"), .tags_json = WEIR_SV("{}"), .priority = 50, .n_tasks = 1};
    s.project = weir_engine_project(r->engine, WEIR_SV("vision"));
    s.user = weir_engine_user(r->engine, WEIR_SV("ada"));
    s.request.alternatives = 1;
    s.request.alternative[0] = (struct weir_gpu_wish){weir_gpu_table_find(r->gpus, WEIR_SV("A100")), 1};
    s.request.nodes = 1;
    s.request.max_duration = weir_dur_s(3600);
    s.request.delay_cost_micro_per_hour = -1;
    return s;
}

static struct weir_job_id submit(struct rig *r)
{
    struct weir_err err = {""};
    struct weir_job_id id;
    struct weir_engine_submit s = request(r, "one");
    if (weir_engine_submit(r->engine, &s, &id, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return id;
}

static void run_event(struct rig *r, enum weir_event_kind kind, struct weir_job_id job)
{
    struct weir_event ev = {.kind = kind};
    ev.u.run.run = (struct weir_run_id){{job, 0}, 1};
    ev.u.run.at = weir_engine_now(r->engine);
    if (kind == WEIR_EVENT_RUN_ENDED) {
        ev.u.run_ended.run = (struct weir_run_id){{job, 0}, 1};
        ev.u.run_ended.rank = 0;
        ev.u.run_ended.at = weir_engine_now(r->engine);
        ev.u.run_ended.reason = WEIR_REASON_EXIT;
    }
    feed(r, ev);
}

static int flush(struct rig *r)
{
    struct weir_err err = {""};
    return weir_engine_flush(r->engine, true, &err);
}

static struct weir_bill_check_result prove(struct rig *r)
{
    struct weir_err err = {""};
    struct weir_proof *p = NULL;
    struct weir_proof_result result;
    int rc = weir_proof_new(&p, r->store, &err);
    while (rc >= 0 && (rc = weir_proof_step(p, r->store, 10, &err)) > 0) {
    }
    if (rc < 0) {
        fail_msg("%s", err.text);
    }
    weir_proof_end(p, &result);
    if (result.error.text[0] != '\0') {
        fail_msg("%s", result.error.text);
    }
    weir_proof_free(p);
    return result.sum;
}

static int take_job(void *ctx, const struct weir_job_row *row)
{
    *(enum weir_job_state *)ctx = row->view.state;
    return 0;
}

static enum weir_job_state stored_state(struct rig *r, struct weir_job_id job)
{
    struct weir_err err = {""};
    enum weir_job_state state = WEIR_JOB_STATE_MAX;
    (void)r->store->ops->get_job(r->store, job, take_job, &state, &err);
    return state;
}

static void a_job_goes_from_submit_to_a_balanced_bill(void **state)
{
    struct rig *r = *state;
    join(r);
    struct weir_job_id job = submit(r);
    assert_int_equal(flush(r), 0);
    size_t n;
    const struct weir_order *o = weir_engine_take_orders(r->engine, &n);
    assert_int_equal(n, 1);
    assert_int_equal(o[0].effect.kind, WEIR_EFFECT_RUN_START);
    assert_int_equal(o[0].effect.node.v, r->node.v);
    run_event(r, WEIR_EVENT_RUN_STARTED, job);
    pass(r, 100);
    run_event(r, WEIR_EVENT_RUN_ENDED, job);
    assert_int_equal(flush(r), 0);
    assert_int_equal(stored_state(r, job), WEIR_JOB_SUCCEEDED);
    struct weir_bill_check_result bill = prove(r);
    assert_true(bill.used_micro > 0 && bill.idle_micro > 0);
    assert_int_equal(bill.cost_micro, bill.used_micro + bill.idle_micro + bill.waste_micro);
}

static int take_runtime(void *ctx, uint64_t key, const struct weir_runtime_history *h)
{
    (void)key;
    *(struct weir_runtime_history *)ctx = *h;
    return 0;
}

static void the_only_task_of_a_job_teaches_the_forecast(void **state)
{
    struct rig *r = *state;
    struct weir_err err;
    struct weir_runtime_history h = {0};
    join(r);
    struct weir_job_id job = submit(r);
    run_event(r, WEIR_EVENT_RUN_STARTED, job);
    pass(r, 100);
    run_event(r, WEIR_EVENT_RUN_ENDED, job);
    assert_int_equal(flush(r), 0);
    assert_int_equal(r->store->ops->each_runtime(r->store, take_runtime, &h, &err), 0);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.us[0], 100 * WEIR_US_PER_S);
}

static void a_full_disk_loses_nothing(void **state)
{
    struct rig *r = *state;
    join(r);
    assert_int_equal(flush(r), 0);
    disk_is_full = true;
    struct weir_job_id first = submit(r);
    assert_int_equal(flush(r), -WEIR_ENOSPACE);
    assert_int_equal(stored_state(r, first), WEIR_JOB_STATE_MAX);
    pass(r, 5);
    run_event(r, WEIR_EVENT_RUN_STARTED, first);
    assert_int_equal(flush(r), -WEIR_ENOSPACE);
    struct weir_job_id second = submit(r);
    pass(r, 5);
    assert_int_equal(flush(r), -WEIR_ENOSPACE);
    disk_is_full = false;
    assert_int_equal(flush(r), 0);
    assert_int_equal(stored_state(r, first), WEIR_JOB_RUNNING);
    assert_int_equal(stored_state(r, second), WEIR_JOB_WAITING);
    size_t n;
    (void)weir_engine_take_orders(r->engine, &n);
    assert_int_equal(n, 2); /* both starts are still to be carried out, once each */
    (void)prove(r);
}

static void time_neither_jumps_nor_goes_back(void **state)
{
    struct rig *r = *state;
    join(r);
    struct weir_wall before = weir_engine_now(r->engine);
    r->hands.wall.us += WEIR_US_PER_DAY * 400; /* somebody sets the clock */
    pass(r, 10);
    assert_int_equal(weir_engine_now(r->engine).us, before.us + 10 * WEIR_US_PER_S);
    r->hands.wall.us -= WEIR_US_PER_DAY * 900;
    pass(r, 10);
    assert_int_equal(weir_engine_now(r->engine).us, before.us + 20 * WEIR_US_PER_S);
    assert_int_equal(flush(r), 0);
    /* started anew with the clock still in the past: times go on from the last one stored */
    feed(r, (struct weir_event){.kind = WEIR_EVENT_TICK});
    (void)submit(r);
    assert_int_equal(flush(r), 0);
    struct weir_wall last = weir_engine_now(r->engine);
    weir_engine_free(r->engine);
    open_engine(r);
    assert_true(weir_engine_now(r->engine).us >= last.us);
    (void)prove(r);
}

static void what_ends_after_a_restart_still_teaches_the_forecast(void **state)
{
    struct rig *r = *state;
    struct weir_err err;
    join(r);
    struct weir_job_id job = submit(r);
    run_event(r, WEIR_EVENT_RUN_STARTED, job);
    assert_int_equal(flush(r), 0);
    weir_engine_free(r->engine);
    open_engine(r);
    pass(r, 100);
    run_event(r, WEIR_EVENT_RUN_ENDED, job);
    assert_int_equal(flush(r), 0);
    struct weir_runtime_history h = {0};
    assert_int_equal(r->store->ops->each_runtime(r->store, take_runtime, &h, &err), 0);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.us[0], 100 * WEIR_US_PER_S);
}

static void restart(struct rig *r)
{
    assert_int_equal(flush(r), 0);
    weir_engine_free(r->engine);
    open_engine(r);
}

static struct weir_job_id submit_array(struct rig *r, const char *name, int64_t estimate_s, const char *spec)
{
    struct weir_err err = {""};
    struct weir_job_id id;
    struct weir_engine_submit s = request(r, name);
    s.n_tasks = 4;
    s.request.expected = weir_dur_s(estimate_s);
    s.spec_json = weir_sv_of(spec);
    if (weir_engine_submit(r->engine, &s, &id, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return id;
}

static int64_t job_expected_s(struct rig *r, struct weir_job_id job)
{
    struct weir_job_view v;
    assert_true(weir_core_job(weir_engine_core(r->engine), job, &v));
    return weir_core_shape(weir_engine_core(r->engine), v.shape)->expected.us / WEIR_US_PER_S;
}

static void first_ends_after(struct rig *r, struct weir_job_id job, int64_t seconds)
{
    run_event(r, WEIR_EVENT_RUN_STARTED, job);
    pass(r, seconds);
    run_event(r, WEIR_EVENT_RUN_ENDED, job);
}

static void an_array_learns_from_its_first_tasks(void **state)
{
    struct rig *r = *state;
    join(r);
    struct weir_job_id job = submit_array(r, "unknown", 0, "{}");
    assert_int_equal(job_expected_s(r, job), 1800); /* half of its limit */
    first_ends_after(r, job, 3);
    assert_int_equal(job_expected_s(r, job), 3);
    restart(r);
    assert_int_equal(job_expected_s(r, job), 3);
}

static void an_array_learns_after_a_restart(void **state)
{
    struct rig *r = *state;
    join(r);
    struct weir_job_id job = submit_array(r, "unknown", 0, "{\"expected\":null}");
    restart(r);
    first_ends_after(r, job, 3);
    assert_int_equal(job_expected_s(r, job), 3);
}

/* What a person says outweighs one task, also for a broker that did not hear it said. */
static void one_task_does_not_outweigh_an_estimate(void **state)
{
    struct rig *r = *state;
    join(r);
    struct weir_job_id here = submit_array(r, "said", 600, "{\"expected\":\"10m\"}");
    first_ends_after(r, here, 3);
    assert_int_equal(job_expected_s(r, here), 600);
    struct weir_event cancel = {.kind = WEIR_EVENT_JOB_CANCEL, .u.job_cancel = {here, WEIR_ORDINAL_ALL}};
    feed(r, cancel);
    join(r);
    struct weir_job_id there = submit_array(r, "told", 600, "{\"expected\":\"10m\"}");
    restart(r);
    first_ends_after(r, there, 3);
    assert_int_equal(job_expected_s(r, there), 600);
}

static void a_restart_goes_on_where_it_was(void **state)
{
    struct rig *r = *state;
    join(r);
    struct weir_job_id job = submit(r);
    run_event(r, WEIR_EVENT_RUN_STARTED, job);
    pass(r, 50);
    assert_int_equal(flush(r), 0);
    weir_engine_free(r->engine);
    pass(r, 7);
    open_engine(r);
    struct weir_task_view v;
    assert_true(weir_core_task(weir_engine_core(r->engine), (struct weir_task_id){job, 0}, &v));
    assert_int_equal(v.state, WEIR_TASK_RUNNING);
    assert_string_equal(weir_engine_node_name(r->engine, r->node), "host1");
    assert_int_equal(weir_engine_node_by_agent(r->engine, "agent-1").v, r->node.v);
    pass(r, 43);
    run_event(r, WEIR_EVENT_RUN_ENDED, job);
    assert_int_equal(flush(r), 0);
    assert_int_equal(stored_state(r, job), WEIR_JOB_SUCCEEDED);
    struct weir_err err;
    struct weir_job_id next = submit(r);
    assert_int_equal(next.v, job.v + 1);
    assert_true(weir_core_check(weir_engine_core(r->engine), &err));
    (void)prove(r);
}

/* The agent's clock, or a file's time that a task has set, says whatever it says. */
static void a_checkpoint_of_the_future_is_not_billed_ahead(void **state)
{
    struct rig *r = *state;
    join(r);
    struct weir_job_id job = submit(r);
    run_event(r, WEIR_EVENT_RUN_STARTED, job);
    pass(r, 10);
    assert_int_equal(flush(r), 0);
    int64_t before = prove(r).cost_micro;
    struct weir_event ev = {.kind = WEIR_EVENT_RUN_CHECKPOINTED};
    ev.u.run.run = (struct weir_run_id){{job, 0}, 1};
    ev.u.run.at.us = weir_engine_now(r->engine).us + 30 * WEIR_US_PER_DAY;
    feed(r, ev);
    assert_int_equal(flush(r), 0);
    assert_int_equal(prove(r).cost_micro, before);
    pass(r, 10);
    run_event(r, WEIR_EVENT_RUN_ENDED, job);
    assert_int_equal(flush(r), 0);
    assert_in_range(prove(r).cost_micro, 2 * before - 2, 2 * before + 2);
}

static void moments_are_said_by_a_clock_that_was_set_forward(void **state)
{
    struct rig *r = *state;
    struct weir_wall soon = weir_wall_add(weir_engine_now(r->engine), weir_dur_s(3600));
    assert_int_equal(weir_engine_outside(r->engine, soon).us, soon.us);
    r->hands.wall.us += 2 * WEIR_US_PER_HOUR; /* it was wrong before */
    pass(r, 10);
    struct weir_wall told = weir_engine_outside(r->engine, soon);
    assert_int_equal(told.us, soon.us + 2 * WEIR_US_PER_HOUR);
    assert_int_equal(weir_engine_inside(r->engine, told).us, soon.us);
    assert_int_equal(weir_engine_outside(r->engine, (struct weir_wall){0}).us, 0); /* none stays none */
    r->hands.wall.us -= 5 * WEIR_US_PER_HOUR;
    assert_int_equal(weir_engine_outside(r->engine, soon).us, soon.us);
}

static int count_node(void *ctx, const struct weir_node_row *row)
{
    struct weir_node_row *got = ctx;
    got->view = row->view;
    assert_string_equal(row->name, "host1");
    return 0;
}

/* What is over is in the store; what was kept beside it in memory goes, once that is so. */
static void notes_of_what_is_over_go_with_it(void **state)
{
    struct rig *r = *state;
    struct weir_err err = {""};
    struct weir_node_row got = {.name = NULL};
    join(r);
    struct weir_node_id first = r->node;
    assert_int_equal(flush(r), 0);
    assert_int_equal(weir_engine_node_by_agent(r->engine, "agent-1").v, first.v);
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_GONE};
    ev.u.node.node = first;
    feed(r, ev);
    assert_string_equal(weir_engine_node_name(r->engine, first), "host1");
    disk_is_full = true;
    assert_int_not_equal(flush(r), 0);
    assert_string_equal(weir_engine_node_name(r->engine, first), "host1");
    disk_is_full = false;
    assert_int_equal(flush(r), 0);
    assert_null(weir_engine_node_name(r->engine, first));
    assert_int_equal(weir_engine_node_by_agent(r->engine, "agent-1").v, 0);
    assert_int_equal(r->store->ops->each_node(r->store, true, count_node, &got, &err), 0);
    assert_int_equal(got.view.state, WEIR_NODE_GONE);
    join(r); /* its agent comes again, as another node */
    assert_true(r->node.v > first.v);
    assert_int_equal(flush(r), 0);
    assert_int_equal(weir_engine_node_by_agent(r->engine, "agent-1").v, r->node.v);
}

/* A lease that fails, and one that lives: the note of the first goes, that of the second stays where it was. */
static void notes_of_leases_go_with_them(void **state)
{
    struct rig *r = *state;
    struct weir_offer o = {.id = 7, .provider = "cloud", .region = "eu", .instance_type = "box", .gpus = 1, .gpu_mem_mib = 40960,
                           .cpu_milli = 8000, .mem_mib = 64000, .price_micro_per_hour = 1000000, .expires = WEIR_WALL_MAX,
                           .bill_quantum = weir_dur_s(1), .boot_expected = weir_dur_s(60), .launchable = true};
    o.gpu_model = weir_gpu_table_intern(r->gpus, WEIR_SV("A100"));
    struct weir_event ev = {.kind = WEIR_EVENT_OFFERS_SET};
    ev.u.offers_set.provider = "cloud";
    ev.u.offers_set.offer = &o;
    ev.u.offers_set.n = 1;
    feed(r, ev);
    (void)submit(r);
    (void)submit(r);
    struct weir_lease_note note = {.text = "first"};
    weir_engine_lease_note(r->engine, (struct weir_lease_id){1}, &note);
    weir_engine_lease_note(r->engine, (struct weir_lease_id){2}, &(struct weir_lease_note){.text = "second"});
    assert_int_equal(flush(r), 0);
    ev = (struct weir_event){.kind = WEIR_EVENT_LEASE_REFUSED};
    ev.u.lease_refused.lease.v = 1;
    feed(r, ev);
    assert_true(weir_engine_lease_get_note(r->engine, (struct weir_lease_id){1}, &note));
    assert_int_equal(flush(r), 0);
    assert_false(weir_engine_lease_get_note(r->engine, (struct weir_lease_id){1}, &note));
    assert_true(weir_engine_lease_get_note(r->engine, (struct weir_lease_id){2}, &note));
    assert_string_equal(note.text, "second");
}

/* How long a job is expected to run, by its name and GPUs. */
static int64_t expected_s(struct rig *r, const char *name, uint16_t gpus)
{
    struct weir_err err = {""};
    struct weir_explain x;
    struct weir_engine_submit s = request(r, name);
    s.request.alternative[0].count = gpus;
    if (weir_engine_what_if(r->engine, &s, &x, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return x.expected_run.us / WEIR_US_PER_S;
}

static void what_ran_tells_of_jobs_of_other_names(void **state)
{
    struct rig *r = *state;
    join(r);
    assert_int_equal(expected_s(r, "one", 1), 1800); /* nothing is known: half of its limit */
    struct weir_job_id job = submit(r);
    run_event(r, WEIR_EVENT_RUN_STARTED, job);
    pass(r, 100);
    run_event(r, WEIR_EVENT_RUN_ENDED, job);
    assert_int_equal(flush(r), 0);
    for (int restarted = 0; restarted < 2; restarted++) {
        assert_int_equal(expected_s(r, "one", 1), 100);
        assert_int_equal(expected_s(r, "another", 1), 100);
        assert_int_equal(expected_s(r, "another", 2), 100);
        weir_engine_free(r->engine);
        open_engine(r);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_job_goes_from_submit_to_a_balanced_bill),
        CASE(the_only_task_of_a_job_teaches_the_forecast),
        CASE(a_full_disk_loses_nothing),
        CASE(time_neither_jumps_nor_goes_back),
        CASE(a_restart_goes_on_where_it_was),
        CASE(what_ends_after_a_restart_still_teaches_the_forecast),
        CASE(an_array_learns_from_its_first_tasks),
        CASE(an_array_learns_after_a_restart),
        CASE(one_task_does_not_outweigh_an_estimate),
        CASE(a_checkpoint_of_the_future_is_not_billed_ahead),
        CASE(moments_are_said_by_a_clock_that_was_set_forward),
        CASE(notes_of_what_is_over_go_with_it),
        CASE(notes_of_leases_go_with_them),
        CASE(what_ran_tells_of_jobs_of_other_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
