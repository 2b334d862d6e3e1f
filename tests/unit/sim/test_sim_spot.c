/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "sim/sim.h"
#include "sim/spot_input.h"
#include "sim/spot_optimum.h"
#include "sim/spot_policies.h"
#include "sim/spot_suite.h"

#include "temp_files.h"

#define S INT64_C(1000000)

static struct weir_sim_spot_task task_of(int64_t work_s, int64_t ticks, int64_t overhead_s)
{
    return (struct weir_sim_spot_task){600 * S, work_s * S, ticks * 600 * S, overhead_s * S, {0, 1, 3}};
}

static struct weir_sim_spot_trace trace_of(const char *bits)
{
    return (struct weir_sim_spot_trace){.up = {bits}, .n_zones = 1, .n_ticks = strlen(bits)};
}

static void rules_hold_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        weir_sim_spot_decide_fn *decide;
        const char *bits;
        int64_t work_s;
        int64_t overhead_s;
        int64_t spot; /* ticks */
        int64_t on_demand;
        size_t spans;
    } rows[] = {
        /* 1,200 s and an overhead of 60 s are three ticks, the last one billed whole. */
        {"on-demand", weir_sim_spot_on_demand, "0000000000", 1200, 60, 0, 3, 1},
        {"greedy stays on spot", weir_sim_spot_greedy, "1111111111", 1200, 60, 3, 0, 1},
        /* Two launches: 540 s each, then the rest of 120 s in the tick after. */
        {"greedy is launched again", weir_sim_spot_greedy, "1011111111", 1200, 60, 3, 0, 2},
        /* Ten ticks, 6,000 s: with two overheads the work of 4,800 s leaves one tick to wait. */
        {"greedy waits no longer than it may", weir_sim_spot_greedy, "0000000000", 4800, 60, 0, 9, 1},
        {"progress ahead waits, behind does not", weir_sim_spot_uniform_progress, "1000000000", 3000, 0, 1, 4, 2},
        {"slack rule takes spot over on-demand", weir_sim_spot_slack_rule, "0001111111", 3000, 0, 5, 0, 1},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_sim_spot_task t = task_of(rows[i].work_s, 10, rows[i].overhead_s);
        struct weir_sim_spot_trace x = trace_of(rows[i].bits);
        struct weir_sim_spot_run r = {0};
        weir_sim_spot_simulate(&t, &x, rows[i].decide, NULL, &r);
        if (r.ticks[WEIR_SIM_SPOT_SPOT] != rows[i].spot || r.ticks[WEIR_SIM_SPOT_ON_DEMAND] != rows[i].on_demand ||
            r.n_spans != rows[i].spans || r.missed) {
            print_error("%s: %lld on spot, %lld on demand, %zu spans\n", rows[i].name, (long long)r.ticks[WEIR_SIM_SPOT_SPOT],
                        (long long)r.ticks[WEIR_SIM_SPOT_ON_DEMAND], r.n_spans);
            fail();
        }
        weir_sim_spot_run_release(&r);
    }
}

static void draw(struct weir_prng *prng, char *bits, size_t n)
{
    bool up = weir_prng_below(prng, 2) == 1;
    for (size_t i = 0; i < n; i++) {
        up = weir_prng_below(prng, 3) == 0 ? !up : up;
        bits[i] = up ? '1' : '0';
    }
    bits[n] = '\0';
}

enum { WORLD_TICKS = 8, CHOICES = 4 };

/* The least rate sum of all ways to act, two zones, by trying every one. -1: none ends in time. */
static int64_t try_all(const struct weir_sim_spot_task *t, char bits[2][WORLD_TICKS + 1], int64_t tick, int64_t left, int64_t pending,
                       int held)
{
    if (left <= 0) {
        return 0;
    }
    if (tick == WORLD_TICKS) {
        return -1;
    }
    if (held >= 2 && bits[held - 2][tick] == '0') {
        held = 0;
    }
    int64_t least = -1;
    for (int to = 0; to < CHOICES; to++) {
        if (to >= 2 && bits[to - 2][tick] == '0') {
            continue;
        }
        int64_t burn = to == held ? pending : t->overhead_us;
        int64_t burnt = burn < t->gap_us ? burn : t->gap_us;
        int64_t worked = to == 0 ? 0 : t->gap_us - burnt;
        int64_t rate = to == 0 ? 0 : to == 1 ? t->rate[WEIR_SIM_SPOT_ON_DEMAND] : t->rate[WEIR_SIM_SPOT_SPOT];
        int64_t rest = try_all(t, bits, tick + 1, left - worked, to == 0 ? 0 : burn - burnt, to);
        if (rest >= 0 && (least < 0 || rest + rate < least)) {
            least = rest + rate;
        }
    }
    return least;
}

static int64_t rates_of(const struct weir_sim_spot_task *t, const struct weir_sim_spot_run *r)
{
    int64_t sum = 0;
    for (size_t i = 0; i < r->n_spans; i++) {
        sum += (r->span[i].to - r->span[i].from) * t->rate[r->span[i].hold.kind];
    }
    return sum;
}

static void optimum_is_what_trying_everything_finds(void **state)
{
    (void)state;
    struct weir_prng prng = weir_prng_seed(7);
    static const int64_t overheads[] = {0, 72, 180, 600, 720};
    for (int i = 0; i < 150; i++) {
        char bits[2][WORLD_TICKS + 1];
        draw(&prng, bits[0], WORLD_TICKS);
        draw(&prng, bits[1], WORLD_TICKS);
        struct weir_sim_spot_task t =
            task_of((int64_t)(weir_prng_below(&prng, 12) + 1) * 300, WORLD_TICKS, overheads[weir_prng_below(&prng, 5)]);
        struct weir_sim_spot_trace x = {.up = {bits[0], bits[1]}, .n_zones = 2, .n_ticks = WORLD_TICKS};
        int64_t want = try_all(&t, bits, 0, t.work_us, 0, 0);
        struct weir_sim_spot_optimum *o = weir_sim_spot_optimum_new(&t, 2);
        assert_non_null(o);
        struct weir_sim_spot_run r = {0};
        weir_sim_spot_optimum_solve(o, &x, &r);
        assert_int_equal(r.missed, want < 0);
        if (want >= 0) {
            assert_int_equal(rates_of(&t, &r), want);
            assert_int_equal(r.ticks[1] * t.rate[1] + r.ticks[2] * t.rate[2], want);
            for (size_t k = 0; k < r.n_spans; k++) {
                for (int64_t tick = r.span[k].from; tick < r.span[k].to; tick++) {
                    assert_true(r.span[k].hold.kind != WEIR_SIM_SPOT_SPOT || bits[r.span[k].hold.zone][tick] == '1');
                }
                assert_true(k == 0 || r.span[k].from >= r.span[k - 1].to);
            }
        }
        weir_sim_spot_run_release(&r);
        weir_sim_spot_optimum_freep(&o);
    }
}

static void an_optimum_out_of_reach_is_refused(void **state)
{
    (void)state;
    struct weir_sim_spot_task t = {600 * S, 48 * 3600 * S, 4000 * 3600 * S, 37, {0, 973100, 3060000}};
    assert_null(weir_sim_spot_optimum_new(&t, 1));
}

/* Whatever the trace, nobody is late, and nobody is cheaper than the optimum. */
static void deadlines_are_met_and_the_bound_holds(void **state)
{
    (void)state;
    static const struct weir_sim_spot_policy policies[] = {
        {"greedy", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_greedy},
        {"time-sliced", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_time_sliced},
        {"uniform-progress", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_uniform_progress},
        {"no-hysteresis", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_uniform_progress_eager},
        {"slack", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_slack_rule},
        {"round-robin", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_round_robin},
        {"slack-any-zone", WEIR_SIM_SPOT_BY_RULE, weir_sim_spot_slack_any_zone},
        {"weir", WEIR_SIM_SPOT_BY_WEIR, NULL},
        {"optimum", WEIR_SIM_SPOT_BY_OPTIMUM, NULL},
    };
    enum { N = WEIR_ARRAY_LEN(policies), TICKS = 60 };
    static const int64_t overheads[] = {0, 72, 360, 720, 1500};
    struct weir_prng prng = weir_prng_seed(11);
    struct weir_sim_result result;
    weir_sim_result_init(&result, "test");
    for (size_t o = 0; o < WEIR_ARRAY_LEN(overheads); o++) {
        struct weir_sim_spot_runner runner[N] = {0};
        struct weir_sim_spot_task t = task_of(30000, TICKS, overheads[o]);
        t.rate[1] = WEIR_SIM_SPOT_RATE;
        t.rate[2] = WEIR_SIM_ON_DEMAND_RATE;
        for (int i = 0; i < 40; i++) {
            char bits[3][TICKS + 1];
            for (int z = 0; z < 3; z++) {
                draw(&prng, bits[z], TICKS);
            }
            struct weir_sim_spot_trace x = {.up = {bits[0], bits[1], bits[2]}, .n_zones = 3, .n_ticks = TICKS};
            static const char *const names[] = {"a", "b", "c"};
            struct weir_sim_spot_scenario scenario = {0, 0, names};
            struct weir_sim_spot_sum sum[N] = {0};
            for (size_t p = 0; p < N; p++) {
                runner[p].policy = &policies[p];
                weir_sim_spot_runner_play(&runner[p], &t, &x, &scenario, &sum[p], &result, NULL);
                assert_int_equal(sum[p].misses, 0);
                assert_int_equal(sum[p].scenarios, 1);
            }
            for (size_t p = 0; p < N; p++) {
                assert_true(sum[p].cost_usd >= sum[N - 1].cost_usd - 1e-9);
            }
        }
        for (size_t p = 0; p < N; p++) {
            weir_sim_spot_runner_release(&runner[p]);
        }
    }
    weir_sim_result_release(&result);
}

/* ---- files ---- */

/* The caller frees. */
static char *write_file(const char *name, const char *text)
{
    char file[128];
    snprintf(file, sizeof file, "%s/%s", dir, name);
    put_bytes(file, text, strlen(text));
    return weir_strdup(file);
}

/* Runs a suite on files of this text; what it said lies in err. */
static int run_on(const char *suite, const char *traces, const char *windows, struct weir_sim_options o, struct weir_sim_result *result,
                  struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *t = write_file("traces.csv", traces);
    WEIR_CLEANUP(weir_freep) char *w = windows == NULL ? NULL : write_file("windows.csv", windows);
    o.traces = t;
    o.windows = w;
    return weir_sim_run_suite(suite, &o, result, err);
}

#define TRACES "env,gap_s,first_tick,bits\na,600,3,1111100000\n"
#define WINDOWS "env,window,start_tick,ticks\n"

static void bad_files_and_options_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *suite;
        const char *traces;
        const char *windows;
        const char *deadlines;
        const char *want;
    } rows[] = {
        {"cant-be-late", "", WINDOWS "a,0,3,10\n", NULL, "traces.csv is empty"},
        {"cant-be-late", "env,gap_s,bits\n", WINDOWS, NULL, "traces.csv:1: there is no column 'first_tick'"},
        {"cant-be-late", "env,gap_s,first_tick,bits\n", WINDOWS, NULL, "has no zone"},
        {"cant-be-late", "env,gap_s,first_tick,bits\na,0,3,11\n", WINDOWS, NULL, "traces.csv:2: column 'gap_s'"},
        {"cant-be-late", "env,gap_s,first_tick,bits\na,600,x,11\n", WINDOWS, NULL, "traces.csv:2: column 'first_tick'"},
        {"cant-be-late", "env,gap_s,first_tick,bits\na,600,3,112\n", WINDOWS, NULL, "column 'bits': character 3 is not 0 or 1"},
        {"cant-be-late", "env,gap_s,first_tick,bits\na,600,3,\n", WINDOWS, NULL, "traces.csv:2: column 'bits': empty"},
        {"cant-be-late", TRACES "a,600,3,1\n", WINDOWS, NULL, "traces.csv:3: zone 'a' stands here a second time"},
        {"cant-be-late", TRACES, WINDOWS "b,0,3,10\n", NULL, "windows.csv:2: column 'env': the traces have no 'b'"},
        {"cant-be-late", TRACES, WINDOWS "a,0,2,10\n", NULL, "windows.csv:2: ticks 2 to 11 are not all in the trace of a"},
        {"cant-be-late", TRACES, WINDOWS "a,0,4,10\n", NULL, "not all in the trace of a, which has 3 to 12"},
        {"cant-be-late", TRACES, WINDOWS "a,0,3,0\n", NULL, "windows.csv:2: column 'ticks'"},
        {"cant-be-late", TRACES, WINDOWS, NULL, "has no window"},
        {"cant-be-late", TRACES, WINDOWS "a,0,3,10\n", "2", "too short for a deadline of 2 h"},
        {"cant-be-late", TRACES, WINDOWS "a,0,3,10\n", "0.5", "a deadline of 0.5 h cannot be met"},
        {"cant-be-late", TRACES, WINDOWS "a,0,3,10\n", "1,x", "--deadlines"},
        {"multizone", "window,zone,gap_s,bits\n0,a,600,11\n0,b,600,1\n", NULL, NULL, "window 0: zones b and a differ"},
        {"multizone", "window,zone,gap_s,bits\n0,a,600,11\n", NULL, NULL, "too short for a deadline of 52 h"},
        {"multizone", "window,zone,gap_s,bits\n0,a,600,11\n0,a,600,11\n", NULL, NULL, "traces.csv:3: zone 'a' stands"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_sim_options o = {.deadlines = rows[i].deadlines, .work = rows[i].windows == NULL ? NULL : "1"};
        struct weir_sim_result result;
        struct weir_err err = {0};
        int r = run_on(rows[i].suite, rows[i].traces, rows[i].windows, o, &result, &err);
        weir_sim_result_release(&result);
        if (r >= 0 || strstr(err.text, rows[i].want) == NULL) {
            print_error("row %zu: %d: %s\n", i, r, err.text);
            fail();
        }
    }
}

static double metric(const struct weir_sim_result *result, size_t row, const char *name)
{
    const struct weir_sim_field *f = weir_sim_row_field(&result->row[row], name);
    assert_non_null(f);
    return f->kind == WEIR_SIM_COUNT ? (double)f->u.count : f->u.real;
}

static void a_small_suite_is_worked_by_hand(void **state)
{
    (void)state;
    struct weir_sim_options o = {.policies = "on-demand,greedy,optimum", .deadlines = "1", .overheads = "0", .work = "0.5"};
    struct weir_sim_result result;
    struct weir_err err = {0};
    /* Only the window marked 1 counts; spot for two of its ticks, then two ticks of waiting, then the guard. */
    int r = run_on("cant-be-late", TRACES, "env,window,start_tick,ticks,in_1080\na,0,3,10,0\na,1,6,7,1\n", o, &result, &err);
    assert_int_equal(r, 0);
    assert_int_equal(result.n_rows, 6);
    assert_string_equal(result.row[0].policy, "on-demand");
    assert_null(weir_sim_row_field(&result.row[0], "deadline"));
    assert_true(fabs(metric(&result, 0, "mean_cost_usd") - (1.53)) < 1e-9);
    assert_true(fabs(metric(&result, 1, "deadline") - (1)) < 1e-9);
    assert_true(fabs(metric(&result, 2, "mean_cost_usd") - ((2 * 0.9731 + 3.06) / 6)) < 1e-9);
    assert_true(fabs(metric(&result, 4, "mean_cost_usd") - ((2 * 0.9731 + 3.06) / 6)) < 1e-9);
    assert_true(fabs(metric(&result, 2, "gap_to_bound_percent") - (0)) < 1e-9);
    assert_true(fabs(metric(&result, 2, "scenarios") - (1)) < 1e-9);
    weir_sim_result_release(&result);
}

static void zones_of_other_names_have_sets_of_their_own(void **state)
{
    (void)state;
    /* 88 ticks of 40 minutes. */
    WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(4096);
    weir_str_adds(&text, "window,zone,gap_s,bits\n");
    for (int z = 0; z < 3; z++) {
        weir_str_addf(&text, "4,zone-%d,2400,", z);
        for (int i = 0; i < 88; i++) {
            weir_str_addc(&text, z == 2 ? '1' : '0');
        }
        weir_str_addc(&text, '\n');
    }
    struct weir_sim_options o = {.policies = "weir,on-demand"};
    struct weir_sim_result result;
    struct weir_err err = {0};
    assert_int_equal(run_on("multizone", weir_str_cstr(&text), NULL, o, &result, &err), 0);
    assert_int_equal(result.n_rows, 8); /* two policies: the mean, two zones, three zones, all */
    assert_string_equal(weir_sim_row_field(&result.row[5], "zones")->u.text, "first-2-zones");
    assert_true(metric(&result, 5, "mean_cost_usd") > 140);
    assert_string_equal(weir_sim_row_field(&result.row[7], "zones")->u.text, "all-zones");
    assert_true(fabs(metric(&result, 7, "mean_cost_usd") - 73 * 2.0 / 3 * 0.9731) < 1e-9);
    assert_true(fabs(metric(&result, 4, "misses") - (0)) < 1e-9);
    weir_sim_result_release(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_hold_what_they_say),
        cmocka_unit_test(optimum_is_what_trying_everything_finds),
        cmocka_unit_test(an_optimum_out_of_reach_is_refused),
        cmocka_unit_test(deadlines_are_met_and_the_bound_holds),
        cmocka_unit_test(bad_files_and_options_name_the_place),
        cmocka_unit_test(a_small_suite_is_worked_by_hand),
        cmocka_unit_test(zones_of_other_names_have_sets_of_their_own),
    };
    return cmocka_run_group_tests_name("sim spot", tests, make_dir, remove_dir);
}
