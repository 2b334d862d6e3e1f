/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of policies as data: settings, sweeps, the front, and the tuner. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "sim/measure.h"
#include "sim/params.h"
#include "sim/tune.h"

static char jobs[] = "/tmp/weir-test-jobs-XXXXXX";

/* Bursts of jobs that do not all fit on two nodes. */
static int write_jobs(void **state)
{
    (void)state;
    int fd = mkstemp(jobs);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (f == NULL) {
        return -1;
    }
    fputs("submit_unix,duration_s,gpus\n", f);
    for (int i = 0; i < 240; i++) {
        fprintf(f, "%d,%d,%d\n", 1000 + i / 12 * 7200, 600 + i * 7919 % 9000, 1 << i % 4);
    }
    return fclose(f);
}

static int remove_jobs(void **state)
{
    (void)state;
    return unlink(jobs);
}

static struct weir_sim_options options(void)
{
    return (struct weir_sim_options){.jobs = jobs, .nodes = "2", .trim = "0", .policies = "starburst,weir"};
}

static void settings_are_read_and_bad_ones_refused(void **state)
{
    static const struct weir_sim_param table[] = {{"a_b", "one", 0, 10, 1}, {"c", "two", -5, 5, 2}};
    static const struct {
        const char *text;
        double a;
        double c;
        const char *says; /* NULL: it is read */
    } row[] = {
        {NULL, 1, 2, NULL},
        {"a_b=3", 3, 2, NULL},
        {"a-b=4, c=-1.5", 4, -1.5, NULL},
        {"c=on,a_b=off", 0, 1, NULL},
        {"c=1,c=3", 1, 3, NULL},
        {"xyzzy=1", 0, 0, "there is no parameter 'xyzzy'; there are a_b, c"},
        {"a_b", 0, 0, "not NAME=VALUE"},
        {"a_b=11", 0, 0, "a_b: 11 is not between 0 and 10"},
        {"a_b=x", 0, 0, "a_b: 'x' is not a number"},
        {"a_b=nan", 0, 0, "a_b"},
        {"", 0, 0, "not NAME=VALUE"},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        struct weir_err err = {0};
        double v[] = {1, 2};
        int r = weir_sim_params_read(table, 2, row[i].text, v, &err);
        if (row[i].says == NULL) {
            assert_int_equal(r, 0);
            assert_true(fabs(v[0] - row[i].a) < 1e-12 && fabs(v[1] - row[i].c) < 1e-12);
        } else {
            assert_true(r < 0);
            assert_non_null(strstr(err.text, row[i].says));
        }
    }
}

static void every_parameter_has_a_default_within_its_range(void **state)
{
    static const char *const suite[] = {"starburst", "replay"};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suite); i++) {
        size_t n = 0;
        size_t tuned = 0;
        const struct weir_sim_param *p = weir_sim_params_of(suite[i], &n);
        assert_non_null(p);
        for (size_t k = 0; k < n; k++) {
            const struct weir_sim_turn *turn = weir_sim_turn_of(&p[k]);
            assert_true(p[k].min <= p[k].otherwise && p[k].otherwise <= p[k].max);
            assert_ptr_equal(weir_sim_param_find(suite[i], weir_sv_of(p[k].name)), &p[k]);
            if (turn->tuned) {
                tuned++;
                assert_non_null(turn->key);
                assert_true(p[k].min <= turn->from && turn->from < turn->to && turn->to <= p[k].max);
            }
        }
        assert_true(tuned >= 1);
    }
}

static void sweeps_are_parsed(void **state)
{
    static const struct {
        const char *suite;
        const char *text;
        size_t runs; /* 0: it is refused */
        const char *says;
    } row[] = {
        {"starburst", "delay-value=1,2,3", 3, NULL},
        {"starburst", "delay_value=1,2,3  estimates=on,off", 6, NULL},
        {"starburst", "foo=1", 0, "there are delay_value, estimates"},
        {"starburst", "reservations=1.5", 0, "1.5 is not a whole number"},
        {"starburst", "delay_valu=1", 0, "did you mean 'delay_value'?"},
        {"replay", "foo=1", 0, ", and more"},
        {"starburst", "delay_value", 0, "not NAME=VALUE"},
        {"starburst", "delay_value=", 0, "delay_value"},
        {"starburst", "delay_value=-1", 0, "not between"},
        {"starburst", "delay_value=1,1", 0, "twice"},
        {"starburst", "delay_value=1 delay-value=2", 0, "delay_value stands there twice"},
        {"muri", "delay_value=1", 0, "suite muri has no parameters"},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        struct weir_err err = {0};
        struct weir_sim_sweep sweep = {0};
        int r = weir_sim_sweep_parse(&sweep, row[i].suite, row[i].text, &err);
        if (row[i].runs > 0) {
            assert_int_equal(r, 0);
            assert_int_equal(weir_sim_sweep_runs(&sweep), row[i].runs);
        } else {
            assert_true(r < 0);
            assert_non_null(strstr(err.text, row[i].says));
        }
    }
}

static void too_large_a_sweep_is_refused(void **state)
{
    (void)state;
    struct weir_err err = {0};
    struct weir_sim_sweep sweep = {0};
    WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(1024);
    for (int i = 0; i < 30; i++) {
        weir_str_addf(&text, "%s%d", i == 0 ? "delay_value=" : ",", i);
    }
    assert_int_equal(weir_sim_sweep_parse(&sweep, "starburst", weir_str_cstr(&text), &err), 0);
    assert_int_equal(weir_sim_sweep_parse(&sweep, "starburst", "review_s=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18", &err), -WEIR_ELIMIT);
    assert_non_null(strstr(err.text, "combinations"));
}

static size_t rows_of(const struct weir_sim_result *r, const char *policy)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        n += weir_streq(r->row[i].policy, policy);
    }
    return n;
}

static void a_sweep_runs_each_combination_and_others_once(void **state)
{
    (void)state;
    struct weir_err err = {0};
    struct weir_sim_sweep sweep = {0};
    struct weir_sim_result r;
    struct weir_sim_options o = options();
    o.policies = "starburst,weir,weir-no-estimates";
    assert_int_equal(weir_sim_sweep_parse(&sweep, "starburst", "delay_value=1,100 estimates=on,off", &err), 0);
    assert_int_equal(weir_sim_run_sweep("starburst", &o, &sweep, &r, &err), 0);
    assert_int_equal(rows_of(&r, "starburst"), 1);
    assert_int_equal(rows_of(&r, "weir"), 4);
    assert_int_equal(rows_of(&r, "weir-no-estimates"), 2); /* it does not read the estimates */
    for (size_t i = 0; i < r.n_rows; i++) {
        const struct weir_sim_row *row = &r.row[i];
        const struct weir_sim_field *pareto = weir_sim_row_field(row, "pareto");
        assert_non_null(pareto);
        assert_int_equal(pareto->u.yes, weir_sim_is_pareto(&r, row));
        bool reads = weir_streq(row->policy, "weir");
        assert_int_equal(weir_sim_row_field(row, "estimates") != NULL, reads);
        for (size_t k = 1; k < row->n_fields; k++) { /* the case before the metrics */
            assert_true(row->field[k].metric || !row->field[k - 1].metric);
        }
    }
    weir_sim_result_release(&r);
    o.schedule = "/tmp/never-made";
    assert_int_equal(weir_sim_run_sweep("starburst", &o, &sweep, &r, &err), -WEIR_EINVAL);
    o.schedule = NULL;
    o.policies = "no-wait";
    assert_int_equal(weir_sim_run_sweep("starburst", &o, &sweep, &r, &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "no-wait read none"));
}

static void what_is_set_is_what_is_run(void **state)
{
    (void)state;
    struct weir_err err = {0};
    struct weir_sim_sweep sweep = {0};
    struct weir_sim_result swept;
    struct weir_sim_result set;
    struct weir_sim_options o = options();
    o.policies = "weir";
    assert_int_equal(weir_sim_sweep_parse(&sweep, "starburst", "delay_value=7", &err), 0);
    assert_int_equal(weir_sim_run_sweep("starburst", &o, &sweep, &swept, &err), 0);
    o.set = "delay_value=7";
    assert_int_equal(weir_sim_run_suite("starburst", &o, &set, &err), 0);
    assert_int_equal(set.n_rows, 1);
    assert_true(swept.hash == set.hash);
    weir_sim_result_release(&swept);
    weir_sim_result_release(&set);
}

static void add(struct weir_sim_result *r, const char *policy, int64_t nodes, double cost, double wait)
{
    struct weir_sim_row *row = weir_sim_row(r, policy);
    weir_sim_case_count(row, "nodes", nodes);
    weir_sim_metric(row, "cloud_gpu_hours", cost);
    weir_sim_metric(row, "avg_completion_hours", wait);
}

static void the_front_is_what_nobody_dominates(void **state)
{
    static const struct {
        const char *policy;
        int64_t nodes;
        double cost;
        double wait;
        bool front;
    } row[] = {
        {"a", 8, 10, 5, true},  {"a", 8, 9, 5.5, true}, {"a", 8, 10, 5.1, false}, {"b", 8, 10, 5, true}, /* as good as the first */
        {"b", 8, 12, 4, true},  {"c", 8, 13, 9, false}, {"c", 16, 13, 9, true}, /* alone in its case */
        {"optimum", 8, 1, 1, true}, /* is no rival */
    };
    (void)state;
    struct weir_sim_result r;
    weir_sim_result_init(&r, "starburst");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        add(&r, row[i].policy, row[i].nodes, row[i].cost, row[i].wait);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        assert_int_equal(weir_sim_is_pareto(&r, &r.row[i]), row[i].front);
    }
    weir_sim_result_release(&r);
}

static void conditions_are_parsed(void **state)
{
    static const struct {
        const char *text;
        const char *metric; /* NULL: it is refused */
        bool at_least;
        bool relative;
        double v;
    } row[] = {
        {"avg_wait_hours<=+2%", "avg_wait_hours", false, true, 0.02},
        {"avg_wait_hours <= -10%", "avg_wait_hours", false, true, -0.1},
        {"local_utilisation>=0.9", "local_utilisation", true, false, 0.9},
        {"avg_wait_hours<=1.5", "avg_wait_hours", false, false, 1.5},
        {"avg_wait_hours", NULL}, {"avg_wait_hours=2", NULL}, {"<=2", NULL}, {"a<=x", NULL}, {"a<=", NULL}, {"a<=%", NULL}, {"", NULL},
        {"a<=1,b<=2,c<=3,d<=4,e<=5", NULL},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        struct weir_err err = {0};
        struct weir_sim_condition c[WEIR_SIM_CONDITIONS_MAX];
        size_t n = 0;
        int r = weir_sim_conditions_parse(row[i].text, c, &n, &err);
        assert_int_equal(r == 0, row[i].metric != NULL);
        if (row[i].metric != NULL) {
            assert_int_equal(n, 1);
            assert_string_equal(c[0].metric, row[i].metric);
            assert_int_equal(c[0].at_least, row[i].at_least);
            assert_int_equal(c[0].relative, row[i].relative);
            assert_true(fabs(c[0].v - row[i].v) < 1e-12);
        }
    }
}

static void the_tuner_finds_the_cheapest_of_what_it_tried(void **state)
{
    (void)state;
    struct weir_err err = {0};
    struct weir_sim_result r;
    struct weir_sim_options o = options();
    assert_int_equal(weir_sim_run_tune("starburst", &o, "avg_completion_hours<=+10%", 25, &r, &err), 0);
    assert_non_null(r.tuned);
    assert_true(r.tuned->kept && r.tuned->runs <= 25 && r.tuned->runs > 5);
    assert_int_equal(rows_of(&r, "weir"), r.tuned->runs);
    assert_int_equal(rows_of(&r, "starburst"), 1);
    double first_cost = 0;
    double first_completion = 0;
    double best = INFINITY;
    double chosen = 0;
    for (size_t i = 0; i < r.n_rows; i++) {
        double cost = 0;
        double completion = 0;
        const struct weir_sim_row *row = &r.row[i];
        if (!weir_streq(row->policy, "weir")) {
            assert_null(weir_sim_row_field(row, "chosen"));
            continue;
        }
        assert_true(weir_sim_row_real(row, "cloud_gpu_hours", &cost) && weir_sim_row_real(row, "avg_completion_hours", &completion));
        if (first_completion <= 0) {
            first_cost = cost;
            first_completion = completion;
        }
        bool kept = completion <= first_completion * 1.1 + 1e-9;
        assert_int_equal(weir_sim_row_field(row, "kept")->u.yes, kept);
        best = kept && cost < best ? cost : best;
        chosen = weir_sim_row_field(row, "chosen")->u.yes ? cost : chosen;
    }
    assert_true(fabs(chosen - best) < 1e-9 && best < first_cost);
    assert_true(fabs(r.tuned->cost_ratio - best / first_cost) < 1e-9);
    WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(4096);
    weir_sim_tuned_text(r.tuned, &text);
    assert_non_null(strstr(weir_str_cstr(&text), "policy:\n  delay_cost: "));
    weir_sim_result_release(&r);
}

static void a_tuner_that_cannot_says_so(void **state)
{
    static const struct {
        const char *suite;
        const char *policies;
        const char *condition;
        const char *says;
    } row[] = {
        {"starburst", "no-wait", "avg_wait_hours<=1", "turns one policy"},
        {"starburst", "weir,weir-no-estimates", "avg_wait_hours<=1", "turns one policy"},
        {"starburst", "weir", "no_such_metric<=1", "no figure no_such_metric"},
        {"starburst", "weir", "avg_wait_hours", "not METRIC<=LIMIT"},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        struct weir_err err = {0};
        struct weir_sim_result r;
        struct weir_sim_options o = options();
        o.policies = row[i].policies;
        assert_true(weir_sim_run_tune(row[i].suite, &o, row[i].condition, 5, &r, &err) < 0);
        assert_non_null(strstr(err.text, row[i].says));
        weir_sim_result_release(&r);
    }
    struct weir_err err = {0};
    struct weir_sim_result r;
    struct weir_sim_options o = {.jobs = jobs};
    assert_true(weir_sim_run_tune("muri", &o, "avg_jct_seconds<=+2%", 5, &r, &err) < 0);
    assert_non_null(strstr(err.text, "suite muri has no parameters"));
    weir_sim_result_release(&r);
    o = options();
    assert_int_equal(weir_sim_run_tune("starburst", &o, "avg_completion_hours<=0.001", 8, &r, &err), 0);
    assert_false(r.tuned->kept);
    weir_sim_result_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_read_and_bad_ones_refused),
        cmocka_unit_test(every_parameter_has_a_default_within_its_range),
        cmocka_unit_test(sweeps_are_parsed),
        cmocka_unit_test(too_large_a_sweep_is_refused),
        cmocka_unit_test(a_sweep_runs_each_combination_and_others_once),
        cmocka_unit_test(what_is_set_is_what_is_run),
        cmocka_unit_test(the_front_is_what_nobody_dominates),
        cmocka_unit_test(conditions_are_parsed),
        cmocka_unit_test(the_tuner_finds_the_cheapest_of_what_it_tried),
        cmocka_unit_test(a_tuner_that_cannot_says_so),
    };
    return cmocka_run_group_tests(tests, write_jobs, remove_jobs);
}
