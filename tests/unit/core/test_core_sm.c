/* SPDX-License-Identifier: Apache-2.0 */
/* State tables and the small parts of the core. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/core_priv.h"

static const struct weir_sm *const machines[] = {&weir_sm_job, &weir_sm_task, &weir_sm_node,
                                                 &weir_sm_lease, &weir_sm_hold};
static const char *design_path;

static void final_states_allow_no_move(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(machines); i++) {
        uint32_t initial = 0;
        for (uint32_t s = 0; s < machines[i]->n; s++) {
            bool final = weir_sm_is(machines[i], s, WEIR_SM_FINAL);
            assert_int_equal(final, machines[i]->state[s].allowed == 0);
            assert_false(weir_sm_may(machines[i], s, s));
            initial += weir_sm_is(machines[i], s, WEIR_SM_INITIAL);
        }
        assert_int_equal(initial, 1);
    }
}

static void every_state_is_reached_and_leads_to_an_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(machines); i++) {
        const struct weir_sm *sm = machines[i];
        uint32_t reached = 1; /* all tables begin with their initial state */
        uint32_t ends = 0;
        for (uint32_t round = 0; round < sm->n; round++) {
            for (uint32_t s = 0; s < sm->n; s++) {
                reached |= (reached >> s & 1u) != 0 ? sm->state[s].allowed : 0;
                ends |= weir_sm_is(sm, s, WEIR_SM_FINAL) || (sm->state[s].allowed & ends) != 0
                            ? 1u << s
                            : 0;
            }
        }
        assert_int_equal(reached, (1u << sm->n) - 1);
        assert_int_equal(ends, (1u << sm->n) - 1);
    }
}

static void names_are_those_of_the_model(void **state)
{
    (void)state;
    for (uint32_t s = 0; s < WEIR_TASK_STATE_MAX; s++) {
        assert_string_equal(weir_sm_task.state[s].name, weir_task_state_name((enum weir_task_state)s));
    }
    for (uint32_t s = 0; s < WEIR_LEASE_STATE_MAX; s++) {
        assert_string_equal(weir_sm_lease.state[s].name,
                            weir_lease_state_name((enum weir_lease_state)s));
    }
    for (uint32_t s = 0; s < WEIR_NODE_STATE_MAX; s++) {
        assert_string_equal(weir_sm_node.state[s].name, weir_node_state_name((enum weir_node_state)s));
    }
}

static void diagrams_in_the_design_are_the_tables(void **state)
{
    (void)state;
    struct weir_str all = WEIR_STR_INIT(1 << 16);
    static char text[1 << 17];
    FILE *f = fopen(design_path, "rb");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    for (size_t i = 0; i < WEIR_ARRAY_LEN(machines); i++) {
        weir_str_clear(&all);
        weir_str_addf(&all, "**%s**\n\n```mermaid\n", machines[i]->name);
        weir_sm_diagram(machines[i], &all);
        weir_str_adds(&all, "```\n");
        if (strstr(text, weir_str_cstr(&all)) == NULL) {
            print_message("# the design should have:\n%s", weir_str_cstr(&all));
            fail();
        }
    }
    weir_str_release(&all);
}

static void money_decays_by_half_lives(void **state)
{
    (void)state;
    const int64_t h = 7 * WEIR_US_PER_DAY;
    static const struct {
        int64_t eighths;
        int64_t want; /* of 1,000,000, to one part in 100,000 */
    } rows[] = {{0, 1000000}, {8, 500000}, {16, 250000}, {4, 707107}, {2, 840896}, {12, 353553}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        int64_t got = money_decay(1000000, h / 8 * rows[i].eighths, h);
        assert_true(got <= rows[i].want + 10 && got >= rows[i].want - 10);
    }
    assert_int_equal(money_decay(INT64_MAX, 100 * h, h), 0);
    assert_int_equal(money_decay(5, -1, h), 5);
}

static void points_count_age_in_steps(void **state)
{
    (void)state;
    struct weir_core c = {.conf = {.age_points_per_hour = 1000}};
    int64_t t = 1000 * 10 * WEIR_US_PER_HOUR;
    assert_int_equal(queue_points(&c, 50, t, 0), queue_points(&c, 50, t + 9 * WEIR_US_PER_HOUR, 0));
    assert_int_equal(queue_points(&c, 50, t, 0), queue_points(&c, 60, t + 10 * WEIR_US_PER_HOUR, 0));
    c.conf.age_points_per_hour = 0;
    assert_int_equal(queue_points(&c, 50, t, 0), 50);
}

static void long_tasks_count_as_younger(void **state)
{
    (void)state;
    struct weir_core c = {.conf = {.age_points_per_hour = 1000, .yield_per_mille = 250}};
    int64_t t = 1000 * 10 * WEIR_US_PER_HOUR;
    assert_int_equal(queue_points(&c, 50, t, 40 * WEIR_US_PER_HOUR), queue_points(&c, 50, t + 10 * WEIR_US_PER_HOUR, 0));
    assert_int_equal(queue_points(&c, 50, t, 39 * WEIR_US_PER_HOUR), queue_points(&c, 50, t, 0));
    assert_true(queue_points(&c, 50, t, INT64_MAX) < queue_points(&c, 50, t, 40 * WEIR_US_PER_HOUR));
    c.conf.yield_per_mille = 0;
    assert_int_equal(queue_points(&c, 50, t, 40 * WEIR_US_PER_HOUR), queue_points(&c, 50, t, 0));
}

static void events_that_cannot_be_are_refused_and_change_nothing(void **state)
{
    (void)state;
    struct weir_core_conf conf = weir_core_conf_default();
    struct weir_effects x;
    struct weir_err err = {""};
    struct weir_request r = {.nodes = 1, .max_duration = {WEIR_US_PER_HOUR}, .cpu_milli = 1000};
    conf.gpus = weir_gpu_table_new();
    struct weir_core *c = weir_core_new(&conf);
    struct weir_event ev = {.seq = 5, .now = {1000}, .kind = WEIR_EVENT_JOB_SUBMIT};
    ev.u.job_submit.job.v = 1;
    ev.u.job_submit.n_tasks = 1;
    ev.u.job_submit.request = &r;
    assert_int_equal(weir_core_step(c, &ev, &x, &err), 0);
    assert_int_equal(weir_core_step(c, &ev, &x, &err), -WEIR_EINVAL); /* seq again */
    ev.seq = 6;
    assert_int_equal(weir_core_step(c, &ev, &x, &err), -WEIR_EINVAL); /* the job's id again */
    ev.u.job_submit.job.v = 2;
    ev.now.us = 999;
    assert_int_equal(weir_core_step(c, &ev, &x, &err), -WEIR_EINVAL); /* back in time */
    ev.now.us = 1000;
    ev.u.job_submit.n_tasks = 0;
    assert_int_equal(weir_core_step(c, &ev, &x, &err), -WEIR_EINVAL);
    ev.u.job_submit.n_tasks = 1;
    r.nodes = 0;
    assert_int_equal(weir_core_step(c, &ev, &x, &err), -WEIR_EINVAL);
    r.nodes = 1;
    ev.u.job_submit.priority = 1001;
    assert_int_equal(weir_core_step(c, &ev, &x, &err), -WEIR_EINVAL);
    assert_int_equal(weir_core_stats(c).jobs, 1);
    assert_true(weir_core_check(c, &err));
    weir_core_free(c);
    weir_gpu_table_free(conf.gpus);
}

int main(int argc, char **argv)
{
    design_path = argc > 1 ? argv[1] : "docs/design/0003-core.md";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(final_states_allow_no_move),
        cmocka_unit_test(every_state_is_reached_and_leads_to_an_end),
        cmocka_unit_test(names_are_those_of_the_model),
        cmocka_unit_test(diagrams_in_the_design_are_the_tables),
        cmocka_unit_test(money_decays_by_half_lives),
        cmocka_unit_test(points_count_age_in_steps),
        cmocka_unit_test(long_tasks_count_as_younger),
        cmocka_unit_test(events_that_cannot_be_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
