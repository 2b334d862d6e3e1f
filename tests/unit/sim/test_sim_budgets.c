/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets of a replay: how they are written, and what they do in a world, by hand-worked cases. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "sim/budgets.h"
#include "sim/world.h"
#include "temp_files.h"

/* ---- how they are written ---- */

static void lines_are_read_as_commands_are(void **state)
{
    (void)state;
    static const char text[] = "# what finance set\r\n"
                               "\n"
                               "vision --for project:vision --amount 2000 --at 80:warn --at 100:stop-all\r\n"
                               "  weir budget set 'night shift' -f=user:ada -a 12.50 --span quarter --counts cloud # rented\n"
                               "set fixed --amount=7 --for organisation --from 2026-11-01 --until 2026-12-01 --spent 3 --at none";
    struct weir_sim_budget_set set = {0};
    struct weir_err err = {""};
    assert_int_equal(weir_sim_budgets_read(&set, "b", weir_sv_of(text), &err), 0);
    assert_int_equal(set.n, 3);
    assert_string_equal(set.budget[0].def.name, "vision");
    assert_string_equal(set.budget[0].whose, "vision");
    assert_string_equal(set.budget[0].scope, "project:vision");
    assert_int_equal(set.budget[0].def.amount_micro, 2000000000);
    assert_int_equal(set.budget[0].def.n_thresholds, 2);
    assert_string_equal(set.budget[1].def.name, "night shift");
    assert_int_equal(set.budget[1].def.scope, WEIR_BUDGET_USER);
    assert_int_equal(set.budget[1].def.span, WEIR_BUDGET_QUARTER);
    assert_true(set.budget[1].def.cloud_only);
    assert_int_equal(set.budget[2].def.span, WEIR_BUDGET_FIXED);
    assert_int_equal(set.budget[2].spent_micro, 3000000);
    assert_int_equal(set.budget[2].def.n_thresholds, 0);
    weir_sim_budget_set_release(&set);
}

static void quotas_are_read_beside_budgets(void **state)
{
    (void)state;
    static const char text[] = "weir quota set v --for project:vision --counts gpus:H100 --limit 16\n"
                               "v --for project:vision --amount 5\n"
                               "quota set h --for organisation -c gpu-hours -l 12.5 --span quarter\n";
    struct weir_sim_budget_set set = {0};
    struct weir_err err = {""};
    assert_int_equal(weir_sim_budgets_read(&set, "b", weir_sv_of(text), &err), 0);
    assert_int_equal(set.n, 1);
    assert_int_equal(set.n_quotas, 2);
    assert_string_equal(set.quota[0].model, "H100");
    assert_string_equal(set.quota[0].whose, "vision");
    assert_int_equal(set.quota[0].def.counts, WEIR_QUOTA_GPUS);
    assert_int_equal(set.quota[0].def.limit, 16);
    assert_int_equal(set.quota[0].def.span, WEIR_BUDGET_FOREVER);
    assert_int_equal(set.quota[1].def.span, WEIR_BUDGET_QUARTER);
    assert_int_equal(set.quota[1].def.limit, 45000000); /* GPU-milliseconds */
    weir_sim_budget_set_release(&set);
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"--for organisation --amount 1", "b:1: a budget begins with its name"},
        {"\na --for organisation", "b:2: budget 'a': say whose it is"},
        {"a --amount 1", "--for"},
        {"a --for organisation --amount 1 --amont 2", "did you mean '--amount'?"},
        {"a --for organisation --amount", "--amount: a value is missing"},
        {"a --for organisation --amount 1 --amount 2", "stands twice"},
        {"a --for team:x --amount 1", "organisation, project:NAME"},
        {"a --for organisation --amount much", "--amount"},
        {"a --for organisation --amount 1 --at 80", "PERCENT:ACTION"},
        {"a --for organisation --amount 1 --span week", "span must be"},
        {"a --for organisation --amount 1 --counts some", "neither all nor cloud"},
        {"quota set a --for organisation --limit 1", "b:1: quota 'a': say whose it is"},
        {"quota set a --for organisation --counts cats --limit 1", "counts must be"},
        {"quota set a --for organisation --counts gpus --limit 1.5", "whole number"},
        {"quota set a --for organisation --counts gpus --limit 1 --span month", "only gpu-hours"},
        {"quota set a --for organisation --counts tasks:H100 --limit 1", "no model of GPU"},
        {"quota set a --for organisation --counts gpus --limit 1 --amount 1", "are a budget's"},
        {"quota set a --for organisation --counts gpus --limit 1 --borrow all", "--borrow is for GPUs of a project"},
        {"quota set a --for project:x --counts gpus --limit 1 --borrow some", "all, none, or a number"},
        {"a --for organisation --amount 1 --limit 1", "is a quota's"},
        {"a --for 'organisation --amount 1", "has no end"},
        {"a --for organisation --amount 1\na --for organisation --amount 1", "b:2: budget 'a': it stands twice"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct weir_sim_budget_set set = {0};
        struct weir_err err = {""};
        assert_true(weir_sim_budgets_read(&set, "b", weir_sv_of(cases[i].text), &err) < 0);
        if (strstr(err.text, cases[i].says) == NULL) {
            fail_msg("'%s' does not say '%s'", err.text, cases[i].says);
        }
        weir_sim_budget_set_release(&set);
    }
    struct weir_sim_budget_set set = {0};
    struct weir_err err = {""};
    put("# nothing\n");
    assert_true(weir_sim_budgets_load(&set, path, &err) < 0);
    assert_non_null(strstr(err.text, "no budget"));
    weir_sim_budget_set_release(&set);
}

/* ---- what they do ---- */

enum { TASKS_MAX = 8 };

/* 2026-11-30T12:00:00Z */
#define BEGIN_S INT64_C(1796040000)

struct seen {
    int64_t started_s[TASKS_MAX]; /* since the begin; -1: never */
    int64_t ended_s[TASKS_MAX];
    enum weir_task_state state[TASKS_MAX];
    int64_t charged_micro;
};

static void on_started(void *user, uint64_t tag, struct weir_wall at, int64_t node, uint32_t gpus)
{
    (void)node;
    (void)gpus;
    ((struct seen *)user)->started_s[tag] = at.us / WEIR_US_PER_S - BEGIN_S;
}

static void on_ended(void *user, uint64_t tag, struct weir_wall at, enum weir_task_state state)
{
    ((struct seen *)user)->ended_s[tag] = at.us / WEIR_US_PER_S - BEGIN_S;
    ((struct seen *)user)->state[tag] = state;
}

static void on_posted(void *user, const struct weir_posting *posting, size_t n)
{
    struct weir_charged k;
    for (size_t i = 0; i < n; i++) {
        if (weir_posting_charges(&posting[i], &k) && !k.is_cost) {
            ((struct seen *)user)->charged_micro += k.micro;
        }
    }
}

/* A cloud with machines of one GPU at a unit an hour, nothing owned, and one budget. */
struct site {
    struct weir_gpu_table *gpus;
    struct weir_offer offer;
    struct weir_sim_provider provider;
    struct weir_sim_world *world;
    struct seen seen;
};

static void site_init(struct site *s, const struct weir_budget *budget)
{
    static const int64_t nothing_spent = 0;
    memset(s, 0, sizeof *s);
    s->gpus = weir_gpu_table_new();
    s->offer = (struct weir_offer){.id = 1, .provider = "cloud", .gpu_model = weir_gpu_table_find(s->gpus, WEIR_SV("V100")), .gpus = 1, .cpu_milli = 1000,
                                   .price_micro_per_hour = WEIR_MICRO_PER_UNIT, .as_of = {1}, .expires = WEIR_WALL_MAX, .bill_quantum = {WEIR_US_PER_S},
                                   .launchable = true};
    s->provider = (struct weir_sim_provider){.name = "cloud", .offer = &s->offer, .n = 1};
    struct weir_sim_world_conf conf = {.core = weir_core_conf_default(), .provider = &s->provider, .n_providers = 1, .billed = true, .budget = budget,
                                       .budget_spent = &nothing_spent, .n_budgets = 1, .begin = {BEGIN_S * WEIR_US_PER_S},
                                       .watch = {.started = on_started, .ended = on_ended, .posted = on_posted, .user = &s->seen}};
    conf.core.gpus = s->gpus;
    conf.core.boot_limit = weir_dur_s(60);
    for (size_t i = 0; i < TASKS_MAX; i++) {
        s->seen.started_s[i] = -1;
    }
    s->world = weir_sim_world_new(&conf);
}

static void site_release(struct site *s)
{
    weir_sim_world_free(s->world);
    weir_gpu_table_free(s->gpus);
}

/* An hour's work, of which an hour is held. */
static struct weir_job_id submit(struct site *s, uint64_t tag)
{
    struct weir_request r;
    memset(&r, 0, sizeof r);
    r.nodes = 1;
    r.alternatives = 1;
    r.alternative[0] = (struct weir_gpu_wish){s->offer.gpu_model, 1};
    r.cpu_milli = 1;
    r.expected = weir_dur_s(3600);
    r.max_duration = weir_dur_s(3600);
    r.delay_cost_micro_per_hour = 1000 * WEIR_MICRO_PER_UNIT;
    struct weir_sim_task t = {.tag = tag, .gpus = 1, .duration = weir_dur_s(3500), .request = &r, .project = {1}, .priority = 50};
    return weir_sim_world_submit(s->world, &t);
}

static void a_task_waits_for_the_next_span(void **state)
{
    (void)state;
    const struct weir_budget month = {.name = "month", .amount_micro = 2 * WEIR_MICRO_PER_UNIT};
    struct site s;
    site_init(&s, &month);
    for (uint64_t i = 0; i < 3; i++) {
        struct weir_job_id job = submit(&s, i);
        assert_int_equal(weir_sim_world_waits_for(s.world, job).budget, i == 0 ? 0 : 1);
    }
    weir_sim_world_finish(s.world);
    assert_int_equal(s.seen.started_s[0], 0);
    assert_int_equal(s.seen.started_s[1], 12 * 3600); /* 0.97 are left of two: not enough until December */
    assert_true(s.seen.started_s[2] > 12 * 3600);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(s.seen.state[i], i < 2 || s.seen.started_s[i] >= 0 ? WEIR_TASK_SUCCEEDED : WEIR_TASK_CANCELLED);
    }
    assert_true(s.seen.charged_micro > 0);
    site_release(&s);
}

static void what_no_span_has_room_for_is_taken_back_soon(void **state)
{
    (void)state;
    const struct weir_budget cases[] = {
        {.name = "small", .amount_micro = WEIR_MICRO_PER_UNIT / 2},
        {.name = "spent", .amount_micro = 2 * WEIR_MICRO_PER_UNIT, .span = WEIR_BUDGET_FOREVER},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct site s;
        site_init(&s, &cases[i]);
        submit(&s, 0);
        submit(&s, 1);
        weir_sim_world_finish(s.world);
        assert_int_equal(s.seen.state[1], WEIR_TASK_CANCELLED);
        assert_int_equal(s.seen.started_s[1], -1);
        assert_int_equal(s.seen.state[0], i == 0 ? WEIR_TASK_CANCELLED : WEIR_TASK_SUCCEEDED);
        assert_true(s.seen.ended_s[1] < 6 * 3600);
        assert_true(weir_sim_world_budget(s.world, 1).charged_micro <= cases[i].amount_micro);
        site_release(&s);
    }
}

static void what_runs_stops_at_a_threshold(void **state)
{
    (void)state;
    const struct weir_budget b = {.name = "half", .amount_micro = 2 * WEIR_MICRO_PER_UNIT, .span = WEIR_BUDGET_FOREVER, .n_thresholds = 1,
                                  .threshold = {{25, WEIR_BUDGET_STOP_ALL}}};
    struct site s;
    site_init(&s, &b);
    submit(&s, 0);
    weir_sim_world_finish(s.world);
    assert_int_equal(s.seen.started_s[0], 0);
    assert_int_equal(s.seen.state[0], WEIR_TASK_CANCELLED); /* its attempt was stopped, and nothing new starts */
    assert_true(s.seen.charged_micro >= WEIR_MICRO_PER_UNIT / 2);
    assert_true(s.seen.charged_micro < WEIR_MICRO_PER_UNIT * 3 / 4); /* it is looked at every ten minutes */
    assert_int_equal(weir_sim_world_budget(s.world, 1).reached, 1);
    site_release(&s);
}

static void what_is_counted_is_what_is_charged(void **state)
{
    (void)state;
    const struct weir_budget b = {.name = "all", .amount_micro = 1000 * WEIR_MICRO_PER_UNIT, .span = WEIR_BUDGET_FOREVER};
    struct site s;
    site_init(&s, &b);
    for (uint64_t i = 0; i < 5; i++) {
        submit(&s, i);
        weir_sim_world_advance(s.world, (struct weir_wall){(BEGIN_S + 1000 * ((int64_t)i + 1)) * WEIR_US_PER_S});
    }
    weir_sim_world_finish(s.world);
    struct weir_budget_view v = weir_sim_world_budget(s.world, 1);
    assert_int_equal(v.charged_micro, s.seen.charged_micro);
    assert_int_equal(v.charged_micro, weir_sim_world_books(s.world).cost_micro);
    assert_int_equal(v.held_micro, 0);
    site_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read_as_commands_are),
        cmocka_unit_test(quotas_are_read_beside_budgets),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(a_task_waits_for_the_next_span),
        cmocka_unit_test(what_no_span_has_room_for_is_taken_back_soon),
        cmocka_unit_test(what_runs_stops_at_a_threshold),
        cmocka_unit_test(what_is_counted_is_what_is_charged),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
