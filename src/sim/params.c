/* SPDX-License-Identifier: Apache-2.0 */

#include "params.h"

#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/parse.h"
#include "measure.h"
#include "starburst.h"

static const struct family {
    const char *suite;
    const struct weir_sim_param *param;
    size_t n;
} families[] = {
    {"starburst", weir_starburst_params, WEIR_STARBURST_PARAMS},
    {"replay", weir_replay_params, WEIR_REPLAY_PARAMS},
};

static const struct weir_sim_turn turns[] = {
    {"delay_value", "weir*", .tuned = true, .by_ratio = true, .from = 0.1, .to = 1000, .key = "delay_cost"},
    {"reservations", "weir*", .whole = true, .tuned = true, .by_ratio = true, .from = 1, .to = 1000, .key = "reservations_max"},
    {"yield_per_mille", "weir*", .whole = true, .tuned = true, .from = 0, .to = 4000, .key = "yield_per_mille"},
    {"age_points_per_hour", "weir*", .whole = true, .key = "age_points_per_hour"},
    {"review_s", "weir*", .key = "review_period", .unit = "s"},
    {"leases_max", "weir*", .whole = true, .key = "leases_max"},
    {"estimates", "weir"},
    {"wait_hours", "constant-wait"},
    {"carbon_price", "weir-shift"},
    {"wait_per_gpu_hour", "starburst*"},
};

const struct weir_sim_param *weir_sim_params_of(const char *suite, size_t *n)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(families); i++) {
        if (weir_streq(families[i].suite, suite)) {
            *n = families[i].n;
            return families[i].param;
        }
    }
    *n = 0;
    return NULL;
}

/* Equal but for '-' and '_'. */
static bool same_name(struct weir_sv a, struct weir_sv b)
{
    bool same = a.n == b.n;
    for (size_t i = 0; i < a.n && same; i++) {
        same = a.p[i] == b.p[i] || ((a.p[i] == '-' || a.p[i] == '_') && (b.p[i] == '-' || b.p[i] == '_'));
    }
    return same;
}

static const struct weir_sim_param *find_in(const struct weir_sim_param *table, size_t n, struct weir_sv name)
{
    for (size_t i = 0; i < n; i++) {
        if (same_name(weir_sv_of(table[i].name), name)) {
            return &table[i];
        }
    }
    return NULL;
}

const struct weir_sim_param *weir_sim_param_find(const char *suite, struct weir_sv name)
{
    size_t n = 0;
    const struct weir_sim_param *table = weir_sim_params_of(suite, &n);
    return find_in(table, n, name);
}

const struct weir_sim_turn *weir_sim_turn_of(const struct weir_sim_param *p)
{
    static const struct weir_sim_turn nothing_said = {0};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(turns); i++) {
        if (weir_streq(turns[i].name, p->name)) {
            return &turns[i];
        }
    }
    return &nothing_said;
}

bool weir_sim_is_choice(const char *suite, const char *field)
{
    const struct weir_sim_param *p = weir_sim_param_find(suite, weir_sv_of(field));
    return p != NULL && weir_sim_turn_of(p)->policies != NULL;
}

bool weir_sim_param_is_of(const struct weir_sim_param *p, const char *policy)
{
    const char *policies = weir_sim_turn_of(p)->policies;
    return policies == NULL || weir_glob_match(weir_sv_of(policies), weir_sv_of(policy));
}

void weir_sim_param_field(const struct weir_sim_param *p, char *ret, size_t size)
{
    snprintf(ret, size, "%s", p->name);
    for (char *c = ret; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : *c;
    }
}

static int find_or_fail(const struct weir_sim_param **ret, const struct weir_sim_param *table, size_t n, struct weir_sv name,
                        struct weir_err *err)
{
    *ret = find_in(table, n, name);
    if (*ret != NULL) {
        return 0;
    }
    enum { NAMES_MAX = 64, NAMES_BYTES_MAX = 360 };
    const char *names[NAMES_MAX + 1] = {0};
    WEIR_CLEANUP(weir_str_release) struct weir_str all = WEIR_STR_INIT(NAMES_BYTES_MAX);
    bool room = true;
    for (size_t i = 0; i < n && i < NAMES_MAX; i++) {
        names[i] = table[i].name;
        bool fits = all.n + strlen(table[i].name) + sizeof ", and more" < NAMES_BYTES_MAX;
        if (room) {
            weir_str_addf(&all, "%s%s", i == 0 ? "" : ", ", fits ? table[i].name : "and more");
        }
        room = room && fits;
    }
    const char *nearest = weir_nearest(name, names);
    return weir_fail(err, -WEIR_ENOTFOUND, "there is no parameter '%.*s'%s%s%s; there are %s", WEIR_SV_ARG(name),
                     nearest == NULL ? "" : "; did you mean '", nearest == NULL ? "" : nearest, nearest == NULL ? "" : "'?",
                     weir_str_cstr(&all));
}

static int read_value(const struct weir_sim_param *p, struct weir_sv text, double *ret, struct weir_err *err)
{
    text = weir_sv_eq(text, WEIR_SV("on")) ? WEIR_SV("1") : weir_sv_eq(text, WEIR_SV("off")) ? WEIR_SV("0") : text;
    int r = weir_parse_real(text, p->min, p->max, ret, err);
    if (r == 0 && weir_sim_turn_of(p)->whole && *ret > floor(*ret)) {
        r = weir_fail(err, -WEIR_EINVAL, "%g is not a whole number", *ret);
    }
    return r < 0 ? weir_fail_prefix(err, r, "%s", p->name) : 0;
}

int weir_sim_params_read(const struct weir_sim_param *table, size_t n, const char *text, double *v, struct weir_err *err)
{
    struct weir_sv rest = weir_sv_of(text);
    while (rest.p != NULL) {
        struct weir_sv value = weir_sv_cut(&rest, ',');
        struct weir_sv name = weir_sv_trim(weir_sv_cut(&value, '='));
        const struct weir_sim_param *p = NULL;
        if (value.p == NULL) {
            return weir_fail(err, -WEIR_EINVAL, "--set: '%.*s' is not NAME=VALUE", WEIR_SV_ARG(name));
        }
        int r = find_or_fail(&p, table, n, name, err);
        r = r < 0 ? r : read_value(p, weir_sv_trim(value), &v[p - table], err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "--set");
        }
    }
    return 0;
}

/* ---- sweeps ---- */

static int parse_axis(struct weir_sim_axis *ret, const char *suite, struct weir_sv text, struct weir_err *err)
{
    size_t n = 0;
    const struct weir_sim_param *table = weir_sim_params_of(suite, &n);
    struct weir_sv rest = text;
    struct weir_sv name = weir_sv_cut(&rest, '=');
    if (rest.p == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "'%.*s' is not NAME=VALUE,VALUE", WEIR_SV_ARG(text));
    }
    int r = find_or_fail(&ret->param, table, n, name, err);
    while (r == 0 && rest.p != NULL) {
        if (ret->n == WEIR_SIM_LIST_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "%s: more than %d values", ret->param->name, WEIR_SIM_LIST_MAX);
        }
        double v = 0;
        r = read_value(ret->param, weir_sv_trim(weir_sv_cut(&rest, ',')), &v, err);
        for (size_t i = 0; i < ret->n && r == 0; i++) {
            if (!(ret->v[i] < v) && !(ret->v[i] > v)) {
                r = weir_fail(err, -WEIR_EINVAL, "%s: %g stands there twice", ret->param->name, v);
            }
        }
        ret->v[ret->n++] = v;
    }
    return r;
}

int weir_sim_sweep_parse(struct weir_sim_sweep *ret, const char *suite, const char *text, struct weir_err *err)
{
    size_t n = 0;
    if (weir_sim_params_of(suite, &n) == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "--sweep: suite %s has no parameters; starburst and replay have", suite);
    }
    struct weir_sv rest = weir_sv_of(text);
    while (rest.p != NULL) {
        struct weir_sv word = weir_sv_trim(weir_sv_cut(&rest, ' '));
        if (word.n == 0) {
            continue;
        }
        if (ret->n == WEIR_SIM_AXES_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "--sweep: more than %d parameters", WEIR_SIM_AXES_MAX);
        }
        struct weir_sim_axis axis = {0};
        int r = parse_axis(&axis, suite, word, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "--sweep");
        }
        for (size_t i = 0; i < ret->n; i++) {
            if (ret->axis[i].param == axis.param) {
                return weir_fail(err, -WEIR_EINVAL, "--sweep: %s stands there twice", axis.param->name);
            }
        }
        ret->axis[ret->n++] = axis;
    }
    if (weir_sim_sweep_runs(ret) > WEIR_SIM_SWEEP_RUNS_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "--sweep: more than %d combinations", WEIR_SIM_SWEEP_RUNS_MAX);
    }
    return 0;
}

size_t weir_sim_sweep_runs(const struct weir_sim_sweep *s)
{
    size_t n = 1;
    for (size_t i = 0; i < s->n && n <= WEIR_SIM_SWEEP_RUNS_MAX; i++) {
        n *= s->axis[i].n;
    }
    return n;
}

/* Puts the parameter behind the other fields of the row's case, where it does not stand there yet. */
static void add_to_case(struct weir_sim_row *row, const struct weir_sim_param *p, double v)
{
    char name[WEIR_SIM_NAME_SIZE];
    weir_sim_param_field(p, name, sizeof name);
    if (weir_sim_row_field(row, name) != NULL || !weir_sim_param_is_of(p, row->policy)) {
        return;
    }
    weir_sim_case_real(row, name, v);
    struct weir_sim_field added = row->field[row->n_fields - 1];
    size_t at = 0;
    while (!row->field[at].metric && at + 1 < row->n_fields) {
        at++;
    }
    memmove(&row->field[at + 1], &row->field[at], (row->n_fields - 1 - at) * sizeof added);
    row->field[at] = added;
}

int weir_sim_run_set(const struct weir_sim_suite *suite, const struct weir_sim_options *o, const struct weir_sim_param *const *param,
                     const double *v, size_t n, struct weir_sim_result *result, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str set = WEIR_STR_INIT(WEIR_SIM_SET_BYTES_MAX);
    weir_str_adds(&set, o->set == NULL ? "" : o->set);
    for (size_t i = 0; i < n; i++) {
        char value[40];
        weir_sim_real_text(value, sizeof value, v[i]);
        weir_str_addf(&set, "%s%s=%s", set.n == 0 ? "" : ",", param[i]->name, value);
    }
    if (set.overflowed) {
        return weir_fail(err, -WEIR_ELIMIT, "--set: longer than %d bytes", WEIR_SIM_SET_BYTES_MAX / 2);
    }
    struct weir_sim_options with = *o;
    with.set = set.n == 0 ? NULL : weir_str_cstr(&set);
    size_t first = result->n_rows;
    int r = suite->run(&with, result, err);
    for (size_t i = first; i < result->n_rows; i++) {
        for (size_t k = 0; k < n; k++) {
            add_to_case(&result->row[i], param[k], v[k]);
        }
    }
    return r;
}

void weir_sim_mark_pareto(struct weir_sim_result *result)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(result->suite);
    for (size_t i = 0; i < result->n_rows && g != NULL && g->wait != NULL; i++) {
        weir_sim_metric_bool(&result->row[i], "pareto", weir_sim_is_pareto(result, &result->row[i]));
    }
}

/* The setting of one combination. */
struct combination {
    size_t at[WEIR_SIM_AXES_MAX]; /* which value of each parameter */
};

static void combine(struct combination *c, const struct weir_sim_sweep *sweep, size_t i)
{
    *c = (struct combination){0};
    for (size_t k = sweep->n; k-- > 0; i /= sweep->axis[k].n) {
        c->at[k] = i % sweep->axis[k].n;
    }
}

/* Does the combination tell the policy something that no earlier one has told it? NULL stands for no combination: is it told nothing by any? */
static bool is_new_to(const struct combination *c, const struct weir_sim_sweep *sweep, const char *policy)
{
    size_t read = 0;
    bool again = false;
    for (size_t k = 0; k < sweep->n; k++) {
        bool reads = weir_sim_param_is_of(sweep->axis[k].param, policy);
        read += reads;
        again = again || (!reads && c != NULL && c->at[k] > 0);
    }
    return c == NULL ? read == 0 : read > 0 && !again;
}

/* The policies asked for that the combination is for, as a list. */
static void policies_for(struct weir_str *ret, const struct weir_sim_suite *suite, const struct weir_sim_options *o,
                         const struct weir_sim_sweep *sweep, const struct combination *c)
{
    weir_str_clear(ret);
    struct weir_sv rest = weir_sv_of(suite->policies);
    while (rest.p != NULL) {
        char policy[WEIR_SIM_TEXT_SIZE];
        struct weir_sv word = weir_sv_cut(&rest, ',');
        snprintf(policy, sizeof policy, "%.*s", WEIR_SV_ARG(word));
        if (weir_sim_wants(o, policy) && is_new_to(c, sweep, policy)) {
            weir_str_addf(ret, "%s%s", ret->n == 0 ? "" : ",", policy);
        }
    }
}

/* Where the progress of one run among several is shown. */
struct part {
    const struct weir_sim_options *whole;
    size_t run;
    size_t runs;
};

static void part_progress(void *user, const char *what, const char *unit, uint64_t done, uint64_t total)
{
    const struct part *p = user;
    uint64_t permille = total == 0 ? 0 : done * 1000 / total;
    (void)what;
    (void)unit;
    weir_sim_progress(p->whole, "sweep", p->run * 1000 + permille, p->runs * 1000);
}

static int run_combinations(const struct weir_sim_suite *suite, const struct weir_sim_options *o, const struct weir_sim_sweep *sweep,
                            struct part *part, struct weir_sim_result *result, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str policies = WEIR_STR_INIT(1024);
    struct weir_sim_options run = *o;
    run.progress = part_progress;
    run.user = part;
    policies_for(&policies, suite, o, sweep, NULL);
    run.policies = weir_str_cstr(&policies);
    int r = policies.n == 0 ? 0 : suite->run(&run, result, err);
    for (size_t i = 0; i < part->runs - 1 && r == 0; i++) {
        struct combination c;
        const struct weir_sim_param *param[WEIR_SIM_AXES_MAX];
        double v[WEIR_SIM_AXES_MAX];
        combine(&c, sweep, i);
        for (size_t k = 0; k < sweep->n; k++) {
            param[k] = sweep->axis[k].param;
            v[k] = sweep->axis[k].v[c.at[k]];
        }
        part->run = i + 1;
        policies_for(&policies, suite, o, sweep, &c);
        run.policies = weir_str_cstr(&policies);
        r = policies.n == 0 ? 0 : weir_sim_run_set(suite, &run, param, v, sweep->n, result, err);
    }
    return r;
}

int weir_sim_run_sweep(const char *name, const struct weir_sim_options *o, const struct weir_sim_sweep *sweep,
                       struct weir_sim_result *result, struct weir_err *err)
{
    *result = (struct weir_sim_result){0};
    const struct weir_sim_suite *suite = NULL;
    int r = weir_sim_suite_for(&suite, name, o, err);
    if (r < 0) {
        return r;
    }
    if (o->schedule != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "--schedule is for a single run: leave out --sweep, and set what is wanted");
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str readers = WEIR_STR_INIT(1024);
    policies_for(&readers, suite, o, sweep, &(struct combination){0});
    if (readers.n == 0) {
        return weir_fail(err, -WEIR_EINVAL, "--sweep: the policies %s read none of the parameters",
                         o->policies == NULL ? suite->policies : o->policies);
    }
    struct part part = {o, 0, weir_sim_sweep_runs(sweep) + 1};
    weir_sim_result_init(result, suite->name);
    r = run_combinations(suite, o, sweep, &part, result, err);
    weir_sim_mark_pareto(result);
    return r;
}
