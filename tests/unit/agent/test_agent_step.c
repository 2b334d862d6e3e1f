/* SPDX-License-Identifier: Apache-2.0 */

/* The agent's decisions, without a process, a file or a clock. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "agent/step.h"
#include "agent/wire.h"

struct fixture {
    struct weir_agent_state s;
    struct weir_agent_effects out;
    int64_t now;
    int64_t wall;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.now = 1000000, .wall = 1795376546000000};
    weir_agent_state_init(&f.s, 42, (struct weir_wall){0});
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    weir_agent_state_release(&((struct fixture *)*state)->s);
    return 0;
}

static void feed(struct fixture *f, struct weir_agent_event e)
{
    e.now.us = f->now;
    e.wall.us = f->wall;
    if (e.generation == 0) {
        e.generation = f->s.generation;
    }
    f->out = weir_agent_step(&f->s, &e);
}

static const struct weir_agent_effect *find(const struct fixture *f, enum weir_agent_effect_type type)
{
    for (size_t i = 0; i < f->out.n; i++) {
        if (f->out.p[i].type == type) {
            return &f->out.p[i];
        }
    }
    return NULL;
}

static struct weir_run_id run_id(uint64_t job)
{
    return (struct weir_run_id){{{job}, 0}, 1};
}

static void tick(struct fixture *f)
{
    feed(f, (struct weir_agent_event){.type = WEIR_AGENT_EV_TICK});
}

static void join(struct fixture *f)
{
    feed(f,
         (struct weir_agent_event){
             .type = WEIR_AGENT_EV_JOINED, .answer = WEIR_AGENT_OK, .node = 5, .session = "s1"});
}

static void command(struct fixture *f, uint64_t seq, enum weir_agent_command_type type, uint64_t job)
{
    const struct weir_agent_command c = {.seq = seq, .type = type, .run = run_id(job), .reason = WEIR_REASON_CANCEL};
    feed(f,
         (struct weir_agent_event){
             .type = WEIR_AGENT_EV_SYNCED, .answer = WEIR_AGENT_OK, .command = &c, .n_commands = 1});
}

static void end_run(struct fixture *f, uint64_t job, uint64_t log_bytes)
{
    const struct weir_agent_end end = {
        .reason = WEIR_REASON_EXIT, .exit_code = 3, .log_bytes = log_bytes, .ended = {f->wall}};
    feed(f, (struct weir_agent_event){.type = WEIR_AGENT_EV_RUN_ENDED, .run = run_id(job), .end = &end});
}

static void answer(struct fixture *f, enum weir_agent_event_type type, enum weir_agent_answer a)
{
    feed(f, (struct weir_agent_event){.type = type, .answer = a});
}

static void joins_then_syncs(void **state)
{
    struct fixture *f = *state;
    tick(f);
    assert_non_null(find(f, WEIR_AGENT_DO_JOIN));
    tick(f);
    assert_null(find(f, WEIR_AGENT_DO_JOIN));
    join(f);
    const struct weir_agent_effect *sync = find(f, WEIR_AGENT_DO_SYNC);
    assert_non_null(sync);
    assert_int_equal(sync->ack, 0);
}

static void start_comes_before_the_sync_that_acknowledges_it(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 7, WEIR_AGENT_START, 1);
    size_t started = SIZE_MAX, synced = SIZE_MAX;
    for (size_t i = 0; i < f->out.n; i++) {
        started = f->out.p[i].type == WEIR_AGENT_DO_START ? i : started;
        synced = f->out.p[i].type == WEIR_AGENT_DO_SYNC ? i : synced;
    }
    assert_true(started < synced);
    assert_int_equal(f->out.p[synced].ack, 7);
}

static void repeated_start_is_no_second_start(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    command(f, 1, WEIR_AGENT_START, 1);
    assert_null(find(f, WEIR_AGENT_DO_START));
    command(f, 2, WEIR_AGENT_START, 1);
    assert_null(find(f, WEIR_AGENT_DO_START));
}

static void end_is_reported_until_it_is_committed(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    end_run(f, 1, 0);
    assert_non_null(find(f, WEIR_AGENT_DO_REPORT));
    answer(f, WEIR_AGENT_EV_REPORTED, WEIR_AGENT_AWAY);
    assert_null(find(f, WEIR_AGENT_DO_REPORT));
    const struct weir_agent_effect *wake = find(f, WEIR_AGENT_DO_WAKE);
    assert_non_null(wake);
    f->now = wake->at.us;
    tick(f);
    assert_non_null(find(f, WEIR_AGENT_DO_REPORT));
    struct weir_str body = WEIR_STR_INIT(65536);
    weir_agent_write_report(&f->s, (struct weir_wall){f->wall}, &body);
    assert_non_null(strstr(weir_str_cstr(&body), "\"ended\""));
    assert_non_null(strstr(weir_str_cstr(&body), "\"exit_code\":3"));
    weir_str_release(&body);
    answer(f, WEIR_AGENT_EV_REPORTED, WEIR_AGENT_OK);
    tick(f);
    assert_null(find(f, WEIR_AGENT_DO_REPORT));
}

static void end_is_reported_again_at_each_join_until_forgotten(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    end_run(f, 1, 0);
    answer(f, WEIR_AGENT_EV_REPORTED, WEIR_AGENT_OK);
    f->now += 60 * WEIR_US_PER_S;
    answer(f, WEIR_AGENT_EV_SYNCED, WEIR_AGENT_REJOIN);
    assert_non_null(find(f, WEIR_AGENT_DO_JOIN));
    join(f);
    assert_non_null(find(f, WEIR_AGENT_DO_REPORT));
    answer(f, WEIR_AGENT_EV_REPORTED, WEIR_AGENT_OK);
    command(f, 1, WEIR_AGENT_FORGET, 1);
    assert_non_null(find(f, WEIR_AGENT_DO_DELETE));
    assert_null(weir_agent_find(&f->s, run_id(1)));
}

static void end_waits_for_the_log_but_not_for_ever(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    end_run(f, 1, 100);
    assert_null(find(f, WEIR_AGENT_DO_REPORT));
    assert_non_null(find(f, WEIR_AGENT_DO_LOG));
    f->now += 3 * WEIR_US_PER_S;
    tick(f);
    assert_non_null(find(f, WEIR_AGENT_DO_REPORT));
}

/* Of a run that was begun now, and of one that an earlier agent has left. */
static void a_log_goes_out_with_the_ticket_of_its_run(void **state)
{
    struct fixture *f = *state;
    struct weir_agent_command c = {.seq = 1, .type = WEIR_AGENT_START, .run = run_id(1), .rank = 2, .ticket = "5a"};
    feed(f, (struct weir_agent_event){.type = WEIR_AGENT_EV_RUN_FOUND, .run = run_id(2), .rank = 3, .ticket = "6b", .size = 10});
    tick(f);
    join(f);
    assert_string_equal(find(f, WEIR_AGENT_DO_LOG)->ticket, "6b");
    assert_int_equal(find(f, WEIR_AGENT_DO_LOG)->rank, 3);
    feed(f, (struct weir_agent_event){.type = WEIR_AGENT_EV_SYNCED, .answer = WEIR_AGENT_OK, .command = &c, .n_commands = 1});
    feed(f, (struct weir_agent_event){.type = WEIR_AGENT_EV_LOG_GREW, .run = run_id(1), .size = 10});
    assert_string_equal(find(f, WEIR_AGENT_DO_LOG)->ticket, "5a");
    assert_int_equal(find(f, WEIR_AGENT_DO_LOG)->rank, 2);
}

static void end_follows_the_log_at_once(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    end_run(f, 1, 100);
    feed(f,
         (struct weir_agent_event){
             .type = WEIR_AGENT_EV_LOGGED, .run = run_id(1), .answer = WEIR_AGENT_OK, .has_size = true, .size = 40});
    const struct weir_agent_effect *log = find(f, WEIR_AGENT_DO_LOG);
    assert_non_null(log);
    assert_int_equal(log->offset, 40);
    feed(f,
         (struct weir_agent_event){
             .type = WEIR_AGENT_EV_LOGGED, .run = run_id(1), .answer = WEIR_AGENT_OK, .has_size = true, .size = 100});
    assert_non_null(find(f, WEIR_AGENT_DO_REPORT));
}

static void forgotten_run_keeps_its_log_until_it_is_sent(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    end_run(f, 1, 100);
    command(f, 2, WEIR_AGENT_FORGET, 1);
    assert_null(find(f, WEIR_AGENT_DO_DELETE));
    feed(f,
         (struct weir_agent_event){
             .type = WEIR_AGENT_EV_LOGGED, .run = run_id(1), .answer = WEIR_AGENT_OK, .has_size = true, .size = 100});
    assert_non_null(find(f, WEIR_AGENT_DO_DELETE));
}

static void running_task_is_not_forgotten(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    command(f, 2, WEIR_AGENT_FORGET, 1);
    assert_null(find(f, WEIR_AGENT_DO_DELETE));
    assert_non_null(weir_agent_find(&f->s, run_id(1)));
}

static void stop_of_an_unknown_run_reports_node_lost(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_STOP, 9);
    assert_null(find(f, WEIR_AGENT_DO_STOP));
    assert_non_null(find(f, WEIR_AGENT_DO_REPORT));
    assert_int_equal(weir_agent_find(&f->s, run_id(9))->end->reason, WEIR_REASON_NODE_LOST);
}

static void stop_defaults_to_term(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    command(f, 2, WEIR_AGENT_STOP, 1);
    assert_int_equal(find(f, WEIR_AGENT_DO_STOP)->signal, SIGTERM);
}

static void answers_of_an_earlier_session_do_not_end_this_one(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    uint64_t first = f->s.generation;
    f->now += 60 * WEIR_US_PER_S;
    answer(f, WEIR_AGENT_EV_SYNCED, WEIR_AGENT_REJOIN);
    join(f);
    feed(f,
         (struct weir_agent_event){.type = WEIR_AGENT_EV_SYNCED, .answer = WEIR_AGENT_REJOIN, .generation = first});
    assert_int_equal(f->s.phase, WEIR_AGENT_TOGETHER);
}

static void sessions_that_end_at_once_slow_down(void **state)
{
    struct fixture *f = *state;
    int64_t before = 0;
    tick(f);
    for (int i = 0; i < 8; i++) {
        join(f);
        answer(f, WEIR_AGENT_EV_SYNCED, WEIR_AGENT_REJOIN);
        if (find(f, WEIR_AGENT_DO_JOIN) == NULL) {
            before = f->s.retry_at.us - f->now;
            f->now = f->s.retry_at.us;
            tick(f);
        }
    }
    assert_true(before > WEIR_US_PER_S);
    assert_true(before <= 10 * WEIR_US_PER_S);
}

static void retries_are_bounded_in_rate_and_never_stop(void **state)
{
    struct fixture *f = *state;
    tick(f);
    int64_t wait = 0;
    for (int i = 0; i < 100; i++) {
        answer(f, WEIR_AGENT_EV_JOINED, WEIR_AGENT_AWAY);
        wait = find(f, WEIR_AGENT_DO_WAKE)->at.us - f->now;
        assert_true(wait > 0 && wait <= 10 * WEIR_US_PER_S);
        f->now += wait;
        tick(f);
        assert_non_null(find(f, WEIR_AGENT_DO_JOIN));
    }
    assert_true(wait >= 5 * WEIR_US_PER_S);
}

static void refused_report_is_halved_until_the_one_at_fault_is_dropped(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    for (uint64_t job = 1; job <= 8; job++) {
        command(f, job, WEIR_AGENT_START, job);
        feed(f, (struct weir_agent_event){.type = WEIR_AGENT_EV_RUN_STARTED, .run = run_id(job), .at = {1}, .pid = 9});
    }
    /* the broker takes all but job 5 */
    int calls = 0;
    while (f->s.report_in_flight && calls++ < 100) {
        bool has5 = false;
        for (size_t i = 0; i < f->s.flying.n; i++) {
            has5 = has5 || f->s.flying.p[i].task.job.v == 5;
        }
        answer(f, WEIR_AGENT_EV_REPORTED, has5 ? WEIR_AGENT_REFUSED : WEIR_AGENT_OK);
    }
    assert_true(calls < 100);
    assert_int_equal(f->s.dirty.n, 0);
}

static void lease_expiry_powers_off_without_a_broker(void **state)
{
    struct fixture *f = *state;
    f->s.lease_expires.us = f->wall + 5 * WEIR_US_PER_S;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    answer(f, WEIR_AGENT_EV_SYNCED, WEIR_AGENT_AWAY);
    f->wall += 6 * WEIR_US_PER_S;
    f->now += 6 * WEIR_US_PER_S;
    tick(f);
    assert_non_null(find(f, WEIR_AGENT_DO_STOP));
    assert_null(find(f, WEIR_AGENT_DO_EXIT));
    f->now += 31 * WEIR_US_PER_S;
    tick(f);
    assert_true(find(f, WEIR_AGENT_DO_EXIT)->power_off);
}

static void power_off_goes_when_all_is_told(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    command(f, 2, WEIR_AGENT_POWER_OFF, 1);
    assert_non_null(find(f, WEIR_AGENT_DO_STOP));
    command(f, 3, WEIR_AGENT_START, 2);
    assert_null(find(f, WEIR_AGENT_DO_START));
    answer(f, WEIR_AGENT_EV_REPORTED, WEIR_AGENT_OK);
    end_run(f, 1, 0);
    assert_null(find(f, WEIR_AGENT_DO_EXIT));
    answer(f, WEIR_AGENT_EV_REPORTED, WEIR_AGENT_OK);
    assert_non_null(find(f, WEIR_AGENT_DO_EXIT));
}

static void other_version_ends_the_agent(void **state)
{
    struct fixture *f = *state;
    tick(f);
    answer(f, WEIR_AGENT_EV_JOINED, WEIR_AGENT_VERSION);
    assert_int_equal(find(f, WEIR_AGENT_DO_EXIT)->code, -WEIR_EVERSION);
}

static void too_many_runs_are_refused(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    for (uint64_t job = 1; job <= WEIR_AGENT_RUNS_MAX; job++) {
        feed(f, (struct weir_agent_event){.type = WEIR_AGENT_EV_RUN_FOUND, .run = run_id(job)});
    }
    command(f, 1, WEIR_AGENT_START, 1000000);
    assert_null(find(f, WEIR_AGENT_DO_START));
    assert_int_equal(f->s.n_refusals, 1);
}

/* ---- the wire ---- */

static void commands_are_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"commands\":[{\"seq\":18,\"type\":\"start\",\"run\":{\"job\":12,\"ordinal\":3,\"attempt\":1},\"log_ticket\":\"5a\",\"spec\":{}},"
        "{\"seq\":19,\"type\":\"stop\",\"run\":{\"job\":12,\"ordinal\":3,\"attempt\":1},\"signal\":10,\"grace_us\":60,\"reason\":\"reclaim\"},"
        "{\"seq\":20,\"type\":\"dance\"},{\"seq\":21,\"type\":\"power_off\",\"new\":1}],\"lease_expires\":5}";
    struct weir_agent_answer_body b = {0};
    assert_int_equal(weir_agent_read_sync(weir_sv_of(text), &b, NULL), 0);
    assert_int_equal(b.n_commands, 4);
    assert_int_equal(b.command[0].type, WEIR_AGENT_START);
    assert_int_equal(b.command[0].run.task.ordinal, 3);
    assert_string_equal(b.command[0].ticket, "5a");
    assert_int_equal(b.command[1].signal, 10);
    assert_int_equal(b.command[1].reason, WEIR_REASON_RECLAIM);
    assert_int_equal(b.command[2].type, WEIR_AGENT_UNKNOWN);
    assert_int_equal(b.command[3].type, WEIR_AGENT_POWER_OFF);
    assert_int_equal(b.lease_expires.us, 5);
    weir_agent_answer_free(&b);
}

static void bad_answers_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{\"commands\":{}}",
        "{\"commands\":[{\"type\":\"stop\"}]}",
        "{\"commands\":[{\"seq\":-1,\"type\":\"stop\"}]}",
        "{\"commands\":[{\"seq\":1.5,\"type\":\"stop\"}]}",
        "{\"commands\":[1]}",
        "{\"commands\":[],\"lease_expires\":\"soon\"}",
        "{\"commands\":[],\"commands\":[]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct weir_agent_answer_body b = {0};
        struct weir_err err = {0};
        assert_true(weir_agent_read_sync(weir_sv_of(bad[i]), &b, &err) < 0);
        assert_true(err.text[0] != '\0');
    }
    struct weir_agent_answer_body b = {0};
    assert_int_equal(weir_agent_read_join(WEIR_SV("{\"protocol\":1,\"node\":5}"), &b, NULL), -WEIR_EINVAL);
    assert_int_equal(weir_agent_read_join(WEIR_SV("{\"protocol\":2,\"node\":5,\"session\":\"x\"}"), &b, NULL), -WEIR_EVERSION);
}

static void end_survives_the_wire(void **state)
{
    (void)state;
    const struct weir_agent_end end = {.reason = WEIR_REASON_OOM,
                                       .exit_code = 137,
                                       .signal = 9,
                                       .started = {11},
                                       .ended = {12},
                                       .log_bytes = 13,
                                       .max_rss_mib = 14,
                                       .cpu_us = 15,
                                       .energy_mj = 16,
                                       .energy_modelled = true,
                                       .text = "out of \"memory\"\n"};
    struct weir_agent_end got;
    struct weir_str out = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_agent_end_write(&j, &end);
    weir_json_end(&j);
    json_t *v = json_loads(weir_str_cstr(&out), 0, NULL);
    assert_int_equal(weir_agent_end_read(v, &got, NULL), 0);
    assert_memory_equal(&end, &got, sizeof end);
    weir_str_release(&out);
    json_decref(v);
}

static void run_names_go_both_ways(void **state)
{
    (void)state;
    char buf[WEIR_RUN_NAME_SIZE];
    struct weir_run_id id = {{{12}, 3}, 1}, got;
    assert_string_equal(weir_run_name(id, buf), "12_3_1");
    assert_int_equal(weir_run_name_parse(WEIR_SV("12_3_1"), &got), 0);
    assert_true(weir_run_id_eq(id, got));
    static const char *const bad[] = {"", "12", "12_3", "12_3_", "12_3_0", "0_3_1", "12_3_1_1", "a_b_c", "12_3_1x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_true(weir_run_name_parse(weir_sv_of(bad[i]), &got) < 0);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- going ---- */

static void quit(struct fixture *f)
{
    feed(f, (struct weir_agent_event){.type = WEIR_AGENT_EV_QUIT});
}

/* The runs that the report under way names in its goodbye; -1: it has none. */
static int runs_in_goodbye(const struct fixture *f)
{
    int n = -1;
    struct weir_str body = WEIR_STR_INIT(65536);
    weir_agent_write_report(&f->s, (struct weir_wall){f->wall}, &body);
    json_t *root = json_loadb(body.p, body.n, 0, NULL);
    const json_t *reports = json_object_get(root, "reports");
    for (size_t i = 0; i < json_array_size(reports); i++) {
        const json_t *r = json_array_get(reports, i);
        if (strcmp(json_string_value(json_object_get(r, "type")), "leaving") == 0) {
            assert_int_equal(i, json_array_size(reports) - 1); /* the last word */
            n = (int)json_array_size(json_object_get(r, "runs"));
        }
    }
    json_decref(root);
    weir_str_release(&body);
    return n;
}

static void a_refusal_is_said_once(void **state)
{
    struct fixture *f = *state;
    unsigned said = 0;
    tick(f);
    for (int i = 0; i < 20; i++) {
        feed(f, (struct weir_agent_event){.type = WEIR_AGENT_EV_JOINED, .answer = WEIR_AGENT_REFUSED, .text = i < 10 ? "one" : "two"});
        said += find(f, WEIR_AGENT_DO_SAY) != NULL;
        f->now += 60 * WEIR_US_PER_S;
        tick(f);
        assert_non_null(find(f, WEIR_AGENT_DO_JOIN));
    }
    assert_int_equal(said, 2);
}

static void says_goodbye_with_its_runs_and_waits_for_the_answer(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    quit(f);
    assert_non_null(find(f, WEIR_AGENT_DO_CANCEL_SYNC));
    assert_non_null(find(f, WEIR_AGENT_DO_REPORT));
    assert_null(find(f, WEIR_AGENT_DO_SYNC));
    assert_null(find(f, WEIR_AGENT_DO_EXIT));
    assert_int_equal(runs_in_goodbye(f), 1);
    command(f, 2, WEIR_AGENT_START, 2); /* an answer that was under way */
    assert_null(find(f, WEIR_AGENT_DO_START));
    answer(f, WEIR_AGENT_EV_REPORTED, WEIR_AGENT_OK);
    assert_non_null(find(f, WEIR_AGENT_DO_EXIT));
    assert_int_equal(find(f, WEIR_AGENT_DO_EXIT)->code, 0);
}

static void a_report_under_way_goes_before_the_goodbye(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    command(f, 1, WEIR_AGENT_START, 1);
    end_run(f, 1, 0);
    assert_non_null(find(f, WEIR_AGENT_DO_REPORT));
    quit(f);
    assert_null(find(f, WEIR_AGENT_DO_REPORT));
    answer(f, WEIR_AGENT_EV_REPORTED, WEIR_AGENT_OK);
    assert_non_null(find(f, WEIR_AGENT_DO_REPORT));
    assert_int_equal(runs_in_goodbye(f), 1); /* not forgotten yet */
}

static void goes_without_a_broker(void **state)
{
    struct fixture *f = *state;
    tick(f);
    quit(f); /* before it has joined */
    assert_non_null(find(f, WEIR_AGENT_DO_EXIT));
}

/* Has joined, and is asked to go. */
static struct fixture *leaving(void **state)
{
    struct fixture *f = *state;
    tick(f);
    join(f);
    quit(f);
    return f;
}

static void waits_for_a_broker_that_does_not_answer_with_a_bound(void **state)
{
    struct fixture *f = leaving(state);
    assert_non_null(find(f, WEIR_AGENT_DO_REPORT));
    assert_non_null(find(f, WEIR_AGENT_DO_WAKE));
    f->now = find(f, WEIR_AGENT_DO_WAKE)->at.us;
    tick(f);
    assert_non_null(find(f, WEIR_AGENT_DO_EXIT));
}

static void goes_at_once_when_asked_twice(void **state)
{
    struct fixture *f = leaving(state);
    quit(f);
    assert_non_null(find(f, WEIR_AGENT_DO_EXIT));
}

static void goes_at_once_when_the_broker_is_away(void **state)
{
    struct fixture *f = leaving(state);
    answer(f, WEIR_AGENT_EV_REPORTED, WEIR_AGENT_AWAY);
    assert_non_null(find(f, WEIR_AGENT_DO_EXIT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(joins_then_syncs),
        T(start_comes_before_the_sync_that_acknowledges_it),
        T(repeated_start_is_no_second_start),
        T(end_is_reported_until_it_is_committed),
        T(end_is_reported_again_at_each_join_until_forgotten),
        T(end_waits_for_the_log_but_not_for_ever),
        T(a_log_goes_out_with_the_ticket_of_its_run),
        T(end_follows_the_log_at_once),
        T(forgotten_run_keeps_its_log_until_it_is_sent),
        T(running_task_is_not_forgotten),
        T(stop_of_an_unknown_run_reports_node_lost),
        T(stop_defaults_to_term),
        T(answers_of_an_earlier_session_do_not_end_this_one),
        T(sessions_that_end_at_once_slow_down),
        T(retries_are_bounded_in_rate_and_never_stop),
        T(refused_report_is_halved_until_the_one_at_fault_is_dropped),
        T(lease_expiry_powers_off_without_a_broker),
        T(power_off_goes_when_all_is_told),
        T(other_version_ends_the_agent),
        T(too_many_runs_are_refused),
        cmocka_unit_test(commands_are_read),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(end_survives_the_wire),
        cmocka_unit_test(run_names_go_both_ways),
        T(a_refusal_is_said_once),
        T(says_goodbye_with_its_runs_and_waits_for_the_answer),
        T(a_report_under_way_goes_before_the_goodbye),
        T(goes_without_a_broker),
        T(waits_for_a_broker_that_does_not_answer_with_a_bound),
        T(goes_at_once_when_asked_twice),
        T(goes_at_once_when_the_broker_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
