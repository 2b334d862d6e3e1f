/* SPDX-License-Identifier: Apache-2.0 */

#include "tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "measure.h"

enum {
    GRID = 5,          /* places tried across a range */
    SECTIONS = 4,      /* then, by golden section */
    ROUND_SHRINK = 4,
    ROUNDS_MAX = 8,
};

#define GOLDEN 0.6180339887498949

/* ---- what must hold ---- */

static int parse_condition(struct weir_sv text, struct weir_sim_condition *ret, struct weir_err *err)
{
    struct weir_sv rest = text;
    struct weir_sv metric = weir_sv_cut(&rest, '=');
    bool signs = rest.p != NULL && metric.n > 1 && (metric.p[metric.n - 1] == '<' || metric.p[metric.n - 1] == '>');
    if (!signs || metric.n - 1 >= sizeof ret->metric) {
        return weir_fail(err, -WEIR_EINVAL, "'%.*s' is not METRIC<=LIMIT or METRIC>=LIMIT, the limit being a number, or +2%% or -5%%",
                         WEIR_SV_ARG(text));
    }
    *ret = (struct weir_sim_condition){.at_least = metric.p[metric.n - 1] == '>'};
    metric.n--;
    metric = weir_sv_trim(metric);
    snprintf(ret->metric, sizeof ret->metric, "%.*s", WEIR_SV_ARG(metric));
    rest = weir_sv_trim(rest);
    ret->relative = rest.n > 0 && rest.p[rest.n - 1] == '%';
    rest.n -= ret->relative;
    if (ret->relative && rest.n > 0 && rest.p[0] == '+') {
        rest.p++;
        rest.n--;
    }
    int r = weir_parse_real(rest, ret->relative ? -100 : -1e15, ret->relative ? 10000 : 1e15, &ret->v, err);
    ret->v /= ret->relative ? 100 : 1;
    return r;
}

int weir_sim_conditions_parse(const char *text, struct weir_sim_condition *ret, size_t *n, struct weir_err *err)
{
    *n = 0;
    struct weir_sv rest = weir_sv_of(text);
    while (rest.p != NULL) {
        if (*n == WEIR_SIM_CONDITIONS_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "--tune: more than %d conditions", WEIR_SIM_CONDITIONS_MAX);
        }
        int r = parse_condition(weir_sv_trim(weir_sv_cut(&rest, ',')), &ret[*n], err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "--tune");
        }
        (*n)++;
    }
    return 0;
}

/* ---- the search ---- */

struct trial {
    double v[WEIR_SIM_AXES_MAX];
    double cost; /* by the default's, mean over the cases */
    double broken; /* by how much the worst condition is broken, relative; 0: all are kept */
    size_t first; /* its rows */
    size_t n_rows;
};

struct tuner {
    const struct weir_sim_suite *suite;
    const struct weir_sim_goal *goal;
    struct weir_sim_options o;
    struct weir_sim_condition condition[WEIR_SIM_CONDITIONS_MAX];
    size_t n_conditions;
    const struct weir_sim_param *param[WEIR_SIM_AXES_MAX];
    size_t n;
    struct weir_sim_result *result;
    struct weir_err *err;
    WEIR_VEC(struct trial) trial; /* the first has the defaults */
    size_t best;
    size_t runs_max;
    int failed;
};

static bool is_better(const struct trial *a, const struct trial *b)
{
    if (a->broken < b->broken || b->broken < a->broken) {
        return a->broken < b->broken;
    }
    return a->cost < b->cost;
}

/* The row of the trial with the defaults that has the same case. */
static const struct weir_sim_row *default_of(const struct tuner *t, const struct weir_sim_row *row)
{
    const struct trial *d = &t->trial.p[0];
    for (size_t i = d->first; i < d->first + d->n_rows; i++) {
        if (weir_sim_same_case(t->suite->name, row, &t->result->row[i])) {
            return &t->result->row[i];
        }
    }
    return row;
}

/* By how much the row breaks the condition, relative to the limit; 0: it keeps it. Negative where the row has no such figure. */
static double beyond_limit(const struct tuner *t, const struct weir_sim_row *row, const struct weir_sim_condition *c, double *ret_got,
                           double *ret_limit)
{
    double usual = 0;
    if (!weir_sim_row_real(row, c->metric, ret_got) || !weir_sim_row_real(default_of(t, row), c->metric, &usual)) {
        return -1;
    }
    *ret_limit = c->relative ? usual + fabs(usual) * c->v : c->v;
    double beyond = c->at_least ? *ret_limit - *ret_got : *ret_got - *ret_limit;
    return beyond <= 0 ? 0 : beyond / fmax(fabs(*ret_limit), 1e-9);
}

/* How many more of the tasks found no place than with the defaults, as a share: what does less work is not cheaper. */
static double undone(const struct tuner *t, const struct weir_sim_row *row)
{
    double unplaced = 0;
    double usual = 0;
    double tasks = 1;
    bool known = weir_sim_row_real(row, "unplaced", &unplaced) && weir_sim_row_real(default_of(t, row), "unplaced", &usual);
    (void)weir_sim_row_real(row, "tasks", &tasks);
    return known && unplaced > usual ? 1 + (unplaced - usual) / fmax(tasks, 1) : 0;
}

static int judge(const struct tuner *t, struct trial *trial)
{
    trial->cost = 0;
    trial->broken = 0;
    for (size_t i = trial->first; i < trial->first + trial->n_rows; i++) {
        const struct weir_sim_row *row = &t->result->row[i];
        const struct weir_sim_row *usual = default_of(t, row);
        double cost = 0;
        double usual_cost = 0;
        bool more = weir_sim_measure_of(t->goal->cost).better == WEIR_SIM_MORE;
        if (!weir_sim_row_real(row, t->goal->cost, &cost) || !weir_sim_row_real(usual, t->goal->cost, &usual_cost)) {
            return weir_fail(t->err, -WEIR_EINVAL, "--tune: the suite's rows have no %s", t->goal->cost);
        }
        double ratio = usual_cost > 0 ? cost / usual_cost : cost > 0 ? INFINITY : 1;
        trial->cost += (more ? -ratio : ratio) / (double)trial->n_rows;
        trial->broken = fmax(trial->broken, undone(t, row));
        for (size_t k = 0; k < t->n_conditions; k++) {
            double got = 0;
            double limit = 0;
            double beyond = beyond_limit(t, row, &t->condition[k], &got, &limit);
            if (beyond < 0) {
                return weir_fail(t->err, -WEIR_EINVAL, "--tune: suite %s has no figure %s", t->suite->name, t->condition[k].metric);
            }
            trial->broken = fmax(trial->broken, beyond);
        }
    }
    return 0;
}

static double snapped(const struct tuner *t, size_t axis, double v)
{
    char text[40];
    snprintf(text, sizeof text, "%.3g", v);
    double ret = v;
    (void)weir_parse_real(weir_sv_of(text), -1e18, 1e18, &ret, NULL);
    ret = weir_sim_turn_of(t->param[axis])->whole ? round(ret) : ret;
    return fmin(fmax(ret, t->param[axis]->min), t->param[axis]->max);
}

/* Runs the setting, unless it was run already; its number. After a failure, and when no run is left, the best so far. */
static size_t try(struct tuner *t, const double *v)
{
    for (size_t i = 0; i < t->trial.n; i++) {
        if (memcmp(t->trial.p[i].v, v, t->n * sizeof *v) == 0) {
            return i;
        }
    }
    if (t->failed < 0 || t->trial.n >= t->runs_max) {
        return t->best;
    }
    struct trial trial = {.first = t->result->n_rows};
    memcpy(trial.v, v, t->n * sizeof *v);
    weir_sim_progress(&t->o, "tune", t->trial.n, t->runs_max);
    struct weir_sim_options run = t->o;
    run.progress = NULL;
    t->failed = weir_sim_run_set(t->suite, &run, t->param, v, t->n, t->result, t->err);
    trial.n_rows = t->result->n_rows - trial.first;
    weir_vec_push(&t->trial, trial);
    size_t i = t->trial.n - 1;
    if (t->failed == 0) {
        t->failed = judge(t, &t->trial.p[i]);
    }
    if (t->failed == 0 && is_better(&t->trial.p[i], &t->trial.p[t->best])) {
        t->best = i;
    }
    return i;
}

/* The best point so far with one parameter at a place of its range: logarithms where it goes by ratio. */
static size_t try_at(struct tuner *t, const double *base, size_t axis, double place)
{
    double v[WEIR_SIM_AXES_MAX];
    memcpy(v, base, t->n * sizeof *v);
    v[axis] = snapped(t, axis, weir_sim_turn_of(t->param[axis])->by_ratio ? exp(place) : place);
    return try(t, v);
}

static void search_axis(struct tuner *t, size_t axis, double share)
{
    const struct weir_sim_turn *turn = weir_sim_turn_of(t->param[axis]);
    double base[WEIR_SIM_AXES_MAX];
    memcpy(base, t->trial.p[t->best].v, sizeof base);
    double from = turn->by_ratio ? log(turn->from) : turn->from;
    double to = turn->by_ratio ? log(turn->to) : turn->to;
    double here = turn->by_ratio ? log(fmax(base[axis], turn->from)) : base[axis];
    double half = (to - from) / 2 * share;
    double middle = fmin(fmax(here, from + half), to - half);
    double a = middle - half;
    double step = 2 * half / (GRID - 1);
    size_t best_at = 0;
    size_t best = try_at(t, base, axis, a);
    bool flat = true;
    for (size_t i = 1; i < GRID; i++) {
        size_t k = try_at(t, base, axis, a + step * (double)i);
        flat = flat && !is_better(&t->trial.p[k], &t->trial.p[best]) && !is_better(&t->trial.p[best], &t->trial.p[k]);
        if (is_better(&t->trial.p[k], &t->trial.p[best])) {
            best = k;
            best_at = i;
        }
    }
    if (flat) {
        return;
    }
    double low = a + step * (double)(best_at == 0 ? 0 : best_at - 1);
    double high = a + step * (double)(best_at == GRID - 1 ? GRID - 1 : best_at + 1);
    double x = high - GOLDEN * (high - low);
    double y = low + GOLDEN * (high - low);
    size_t at_x = try_at(t, base, axis, x);
    size_t at_y = try_at(t, base, axis, y);
    for (size_t i = 2; i < SECTIONS; i++) {
        if (is_better(&t->trial.p[at_x], &t->trial.p[at_y])) {
            high = y;
            y = x;
            at_y = at_x;
            x = high - GOLDEN * (high - low);
            at_x = try_at(t, base, axis, x);
        } else {
            low = x;
            x = y;
            at_x = at_y;
            y = low + GOLDEN * (high - low);
            at_y = try_at(t, base, axis, y);
        }
    }
}

static void search(struct tuner *t, const double *otherwise)
{
    (void)try(t, otherwise);
    double share = 1;
    for (size_t round = 0; round < ROUNDS_MAX && t->failed == 0 && t->trial.n < t->runs_max; round++) {
        for (size_t axis = 0; axis < t->n; axis++) {
            search_axis(t, axis, share);
        }
        share /= ROUND_SHRINK;
    }
}

/* ---- the whole ---- */

/* Parts the policies asked for into the one to be tuned and the others. */
static int part_policies(struct tuner *t, char *tuned, size_t size, struct weir_str *others)
{
    const struct weir_sim_options *o = &t->o;
    struct weir_sv rest = weir_sv_of(t->suite->policies);
    size_t n = 0;
    while (rest.p != NULL) {
        char policy[WEIR_SIM_TEXT_SIZE];
        struct weir_sv word = weir_sv_cut(&rest, ',');
        snprintf(policy, sizeof policy, "%.*s", WEIR_SV_ARG(word));
        bool reads = false;
        for (size_t i = 0; i < t->n; i++) {
            reads = reads || weir_sim_param_is_of(t->param[i], policy);
        }
        if (!weir_sim_wants(o, policy)) {
            continue;
        }
        if (!reads) {
            weir_str_addf(others, "%s%s", others->n == 0 ? "" : ",", policy);
        } else if (o->policies != NULL || weir_streq(policy, "weir")) {
            snprintf(tuned, size, "%s", policy);
            n++;
        }
    }
    return n == 1 ? 0 : weir_fail(t->err, -WEIR_EINVAL, "--tune turns one policy: name one of weir's with --policies, beside others");
}

static int prepare(struct tuner *t, const char *name, const char *conditions, double *otherwise)
{
    int r = weir_sim_suite_for(&t->suite, name, &t->o, t->err);
    r = r < 0 ? r : weir_sim_conditions_parse(conditions, t->condition, &t->n_conditions, t->err);
    if (r < 0) {
        return r;
    }
    if (t->o.schedule != NULL) {
        return weir_fail(t->err, -WEIR_EINVAL, "--schedule is for a single run: leave out --tune, and set what is wanted");
    }
    size_t n = 0;
    const struct weir_sim_param *table = weir_sim_params_of(t->suite->name, &n);
    t->goal = weir_sim_goal_of(t->suite->name);
    double *v = weir_calloc(n + 1, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        v[i] = table[i].otherwise;
    }
    r = n == 0 || t->goal == NULL ? weir_fail(t->err, -WEIR_EINVAL, "--tune: suite %s has no parameters; starburst and replay have", name)
                                  : weir_sim_params_read(table, n, t->o.set, v, t->err);
    for (size_t i = 0; i < n && t->n < WEIR_SIM_AXES_MAX; i++) {
        if (weir_sim_turn_of(&table[i])->tuned) {
            otherwise[t->n] = v[i];
            t->param[t->n++] = &table[i];
        }
    }
    free(v);
    return r;
}

/* What became of each setting, as metrics of its rows. */
static void mark(struct tuner *t)
{
    for (size_t i = 0; i < t->trial.n; i++) {
        const struct trial *trial = &t->trial.p[i];
        for (size_t k = trial->first; k < trial->first + trial->n_rows; k++) {
            weir_sim_metric_bool(&t->result->row[k], "kept", trial->broken <= 0);
            weir_sim_metric_bool(&t->result->row[k], "chosen", i == t->best);
        }
    }
}

/* What the rows of a trial miss most. */
static void say_missed(const struct tuner *t, const struct trial *trial, char *ret, size_t size)
{
    double most = 0;
    for (size_t i = trial->first; i < trial->first + trial->n_rows; i++) {
        for (size_t k = 0; k < t->n_conditions; k++) {
            const struct weir_sim_condition *c = &t->condition[k];
            double got = 0;
            double limit = 0;
            double beyond = beyond_limit(t, &t->result->row[i], c, &got, &limit);
            if (beyond > most) {
                most = beyond;
                snprintf(ret, size, "%s %.4g where at %s %.4g is asked for", c->metric, got, c->at_least ? "least" : "most", limit);
            }
        }
        if (undone(t, &t->result->row[i]) > most) {
            most = undone(t, &t->result->row[i]);
            snprintf(ret, size, "some tasks find no place");
        }
    }
}

static struct weir_sim_tuned *found(const struct tuner *t, const char *policy, const char *conditions, const double *otherwise)
{
    const struct trial *best = &t->trial.p[t->best];
    struct weir_sim_tuned *ret = weir_alloc(sizeof *ret);
    *ret = (struct weir_sim_tuned){
        .cost = t->goal->cost, .runs = t->trial.n, .kept = best->broken <= 0, .n = t->n, .cost_ratio = fabs(best->cost)};
    snprintf(ret->policy, sizeof ret->policy, "%s", policy);
    snprintf(ret->conditions, sizeof ret->conditions, "%s", conditions);
    say_missed(t, best, ret->missed, sizeof ret->missed);
    for (size_t i = 0; i < t->n; i++) {
        ret->param[i] = (struct weir_sim_tuned_param){t->param[i], otherwise[i], best->v[i]};
    }
    return ret;
}

int weir_sim_run_tune(const char *name, const struct weir_sim_options *o, const char *conditions, size_t runs_max,
                      struct weir_sim_result *result, struct weir_err *err)
{
    *result = (struct weir_sim_result){0};
    struct tuner t = {.o = *o, .result = result, .err = err, .runs_max = runs_max};
    double otherwise[WEIR_SIM_AXES_MAX] = {0};
    WEIR_CLEANUP(weir_str_release) struct weir_str others = WEIR_STR_INIT(1024);
    char policy[WEIR_SIM_TEXT_SIZE] = "";
    int r = prepare(&t, name, conditions, otherwise);
    r = r < 0 ? r : part_policies(&t, policy, sizeof policy, &others);
    if (r < 0) {
        return r;
    }
    weir_sim_result_init(result, t.suite->name);
    if (others.n > 0) {
        t.o.policies = weir_str_cstr(&others);
        r = t.suite->run(&t.o, result, err);
    }
    t.o.policies = policy;
    if (r == 0) {
        search(&t, otherwise);
        r = t.failed;
    }
    if (r == 0) {
        mark(&t);
        weir_sim_mark_pareto(result);
        result->tuned = found(&t, policy, conditions, otherwise);
    }
    weir_vec_release(&t.trial);
    return r;
}

int weir_sim_tuned_verdict(const struct weir_sim_tuned *t, struct weir_err *err)
{
    if (t == NULL || t->kept) {
        return 0;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str setting = WEIR_STR_INIT(256);
    for (size_t i = 0; i < t->n; i++) {
        char value[40];
        weir_sim_real_text(value, sizeof value, t->param[i].chosen);
        weir_str_addf(&setting, "%s%s=%s", i == 0 ? "" : ",", t->param[i].param->name, value);
    }
    return weir_fail(err, -WEIR_EIMPOSSIBLE, "--tune: none of the %zu settings tried keeps %s; the nearest, %s, has %s", t->runs, t->conditions,
                     weir_str_cstr(&setting), t->missed);
}

void weir_sim_tuned_text(const struct weir_sim_tuned *t, struct weir_str *out)
{
    weir_str_addf(out, "%s tuned in %zu runs for the least %s while %s\n", t->policy, t->runs, t->cost, t->conditions);
    if (!t->kept) {
        weir_str_addf(out, "no setting was found that keeps this; the row that comes nearest is marked: %s\n", t->missed);
        return;
    }
    weir_str_addf(out, "%s: %+.1f %% against the defaults\n\n", t->cost, (t->cost_ratio - 1) * 100);
    weir_str_adds(out, "for weir.yaml:\n\npolicy:\n");
    for (size_t i = 0; i < t->n; i++) {
        const struct weir_sim_turn *turn = weir_sim_turn_of(t->param[i].param);
        char value[40];
        char otherwise[40];
        weir_sim_real_text(value, sizeof value, t->param[i].chosen);
        weir_sim_real_text(otherwise, sizeof otherwise, t->param[i].otherwise);
        weir_str_addf(out, "  %s: %s%s  # %s; default here %s\n", turn->key, value, turn->unit == NULL ? "" : turn->unit,
                      t->param[i].param->help, otherwise);
    }
}

static void write_setting(const struct weir_sim_tuned *t, bool chosen, struct weir_json *j)
{
    weir_json_object(j);
    for (size_t i = 0; i < t->n; i++) {
        char name[WEIR_SIM_NAME_SIZE];
        char value[40];
        weir_sim_param_field(t->param[i].param, name, sizeof name);
        weir_sim_real_text(value, sizeof value, chosen ? t->param[i].chosen : t->param[i].otherwise);
        weir_json_key(j, name);
        weir_json_raw(j, weir_sv_of(value));
    }
    weir_json_end(j);
}

void weir_sim_tuned_json(const struct weir_sim_tuned *t, struct weir_json *j)
{
    char ratio[40];
    weir_sim_real_text(ratio, sizeof ratio, t->cost_ratio);
    weir_json_object(j);
    weir_json_kv_cstr(j, "minimised", t->cost);
    weir_json_kv_cstr(j, "conditions", t->conditions);
    weir_json_kv_cstr(j, "policy", t->policy);
    weir_json_kv_i64(j, "runs", (int64_t)t->runs);
    weir_json_kv_bool(j, "kept", t->kept);
    if (!t->kept) {
        weir_json_kv_cstr(j, "missed", t->missed);
    }
    weir_json_key(j, "cost_ratio");
    weir_json_raw(j, weir_sv_of(ratio));
    weir_json_key(j, "default");
    write_setting(t, false, j);
    weir_json_key(j, "chosen");
    write_setting(t, true, j);
    weir_json_end(j);
}
