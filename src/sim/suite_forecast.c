/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suite forecast: a series some hours ahead, scored on its last two weeks. What the baselines learn, they learn from what lies
 * before; weir goes through the series from its beginning and learns on, as it would live.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "forecast/series.h"
#include "cloud/input.h"
#include "sim_priv.h"

enum {
    VALUES_MAX = 20000000,
    SCORED_DAYS = 14,
    GAP_DAYS_MAX = 7,
    DAYS_MIN = 4,
    HOUR_S = 3600,
    DAY_S = 24 * HOUR_S,
    POLICIES = 5,
};

#define VALUE_MAX 1e15
/* The published file, and what was published of it. */
#define PHILLY_VALUES 8496
#define PHILLY_SUM 2767188.0

struct series {
    WEIR_VEC(double) value; /* a value that is missing is the one before */
    WEIR_VEC(bool) known;
    size_t hour; /* steps of one */
    size_t scored; /* the first value that is */
};

static const struct weir_input_column columns[] = {{"time"}, {"active_max", .optional = true}, {"*", .optional = true}};

static int bad_step(const struct weir_input *in, struct weir_err *err, const char *why)
{
    weir_fail(err, -WEIR_EINVAL, "column 'time': %s", why);
    return weir_input_fail(in, -WEIR_EINVAL, err);
}

static int push(struct series *s, double v, bool known, struct weir_input *in, struct weir_err *err)
{
    if (s->value.n == VALUES_MAX) {
        weir_fail(err, -WEIR_ELIMIT, "more than %d values", VALUES_MAX);
        return weir_input_fail(in, -WEIR_ELIMIT, err);
    }
    double filled = known || s->value.n == 0 ? v : s->value.p[s->value.n - 1];
    weir_vec_push(&s->value, filled);
    weir_vec_push(&s->known, known);
    return 0;
}

/*
 * Where a record stands that is not a step behind the last one: what is missing between them is filled in. Local time goes back by an hour
 * in autumn: what it tells a second time counts once. 1 where the record is to be passed over.
 */
static int bridge(struct series *s, struct weir_input *in, int64_t by_us, int64_t step_us, struct weir_err *err)
{
    if (by_us % step_us != 0 || by_us > GAP_DAYS_MAX * WEIR_US_PER_DAY || by_us < -WEIR_US_PER_HOUR) {
        return bad_step(in, err, "the steps are not even: fill gaps of over a week with records whose value is empty");
    }
    int r = 0;
    for (int64_t at_us = step_us; at_us < by_us && r == 0; at_us += step_us) {
        r = push(s, 0, false, in, err);
    }
    return r == 0 && by_us <= 0 ? 1 : r;
}

/* One record: its time must follow in even steps, some of which may be missing; so may its value. */
static int take_record(struct series *s, struct weir_input *in, int64_t *last_us, int64_t *step_us, struct weir_err *err)
{
    size_t column = weir_input_has(in, 1) ? 1 : 2;
    struct weir_wall at = {0};
    struct weir_sv text = weir_input_field(in, 0);
    double v = 0;
    int r = weir_parse_time(text, &at, err);
    if (r < 0) {
        weir_fail_prefix(err, r, "column 'time'");
        return weir_input_fail(in, r, err);
    }
    size_t n = s->value.n;
    if (n == 1) {
        *step_us = at.us - *last_us;
        if (*step_us < 60 * WEIR_US_PER_S || WEIR_US_PER_HOUR % *step_us != 0) {
            return bad_step(in, err, "steps of a minute to an hour, that divide the hour, are expected");
        }
    } else if (n > 1 && at.us - *last_us != *step_us) {
        r = bridge(s, in, at.us - *last_us, *step_us, err);
        if (r != 0) {
            return r < 0 ? r : 0;
        }
    }
    *last_us = at.us;
    bool known = weir_input_field(in, column).n > 0;
    r = known ? weir_input_real(in, column, -VALUE_MAX, VALUE_MAX, &v, err) : 0;
    return r < 0 ? r : push(s, v, known, in, err);
}

static int read_series(struct series *s, const char *path, struct weir_err *err)
{
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    int r = weir_input_table(&in, path, columns, WEIR_ARRAY_LEN(columns), err);
    if (r == 0 && !weir_input_has(in, 1) && !weir_input_has(in, 2)) {
        weir_fail(err, -WEIR_EINVAL, "there is no column beside 'time': values are expected in 'active_max', or in the first other one");
        return weir_input_fail(in, -WEIR_EINVAL, err);
    }
    int64_t last_us = 0;
    int64_t step_us = WEIR_US_PER_HOUR;
    while (r >= 0 && (r = weir_input_next(in, err)) == 1) {
        r = take_record(s, in, &last_us, &step_us, err);
    }
    if (r < 0) {
        return r;
    }
    s->hour = (size_t)(WEIR_US_PER_HOUR / step_us);
    size_t days = s->value.n / (24 * s->hour);
    if (days < DAYS_MIN) {
        return weir_fail(err, -WEIR_EINVAL, "%s spans %zu days: at least %d are needed to learn and to score", path, days, DAYS_MIN);
    }
    size_t scored = (days / 2 < SCORED_DAYS ? days / 2 : SCORED_DAYS) * 24 * s->hour;
    s->scored = s->value.n - scored;
    return 0;
}

/* The forecasts of a policy for every value, and the upper bounds where it makes its own. */
struct course {
    double *expected; /* by value; NAN: none was made */
    double *upper;
};

static void ago(const struct series *s, size_t steps, size_t horizon, double *expected)
{
    /* As far back as asked, but never so near that it was not known yet. */
    size_t back = (horizon + steps - 1) / steps * steps;
    for (size_t i = 0; i < s->value.n; i++) {
        expected[i] = i >= back ? s->value.p[i - back] : NAN;
    }
}

/* ---- ridge regression on the change over the horizon: recent changes, and the hour of the day as Fourier terms ---- */

enum { FEATURES = 9 };

static void features_of(const struct series *s, size_t origin, size_t horizon, double *x)
{
    const double *y = s->value.p;
    double angle = 2 * 3.14159265358979323846 * (double)((origin + horizon) % (24 * s->hour)) / (double)(24 * s->hour);
    x[0] = 1;
    x[1] = y[origin] - y[origin - s->hour];
    x[2] = y[origin] - y[origin - 3 * s->hour];
    x[3] = y[origin] - y[origin - 24 * s->hour];
    x[4] = y[origin];
    for (int k = 1; k <= 2; k++) {
        x[3 + 2 * k] = sin(k * angle);
        x[4 + 2 * k] = cos(k * angle);
    }
}

/* Solves a x = b in place by elimination; a is symmetric and, by its ridge, positive definite. */
static void solve(double a[FEATURES][FEATURES], double *b)
{
    for (int i = 0; i < FEATURES; i++) {
        for (int k = i + 1; k < FEATURES; k++) {
            double f = a[k][i] / a[i][i];
            for (int m = i; m < FEATURES; m++) {
                a[k][m] -= f * a[i][m];
            }
            b[k] -= f * b[i];
        }
    }
    for (int i = FEATURES - 1; i >= 0; i--) {
        for (int m = i + 1; m < FEATURES; m++) {
            b[i] -= a[i][m] * b[m];
        }
        b[i] /= a[i][i];
    }
}

static void ridge(const struct series *s, size_t horizon, double *expected)
{
    double a[FEATURES][FEATURES] = {{0}};
    double b[FEATURES] = {0};
    double x[FEATURES];
    size_t first = 24 * s->hour;
    for (size_t i = 0; i < s->value.n; i++) {
        expected[i] = NAN;
    }
    for (size_t i = first; i + horizon < s->scored; i++) {
        features_of(s, i, horizon, x);
        for (int k = 0; k < FEATURES; k++) {
            for (int m = 0; m < FEATURES; m++) {
                a[k][m] += x[k] * x[m];
            }
            b[k] += x[k] * (s->value.p[i + horizon] - s->value.p[i]);
        }
    }
    for (int k = 0; k < FEATURES; k++) {
        a[k][k] += 1 + a[k][k] * 1e-6;
    }
    solve(a, b);
    for (size_t i = first; i + horizon < s->value.n; i++) {
        features_of(s, i, horizon, x);
        double change = 0;
        for (int k = 0; k < FEATURES; k++) {
            change += b[k] * x[k];
        }
        expected[i + horizon] = s->value.p[i] + change;
    }
}

static void follow(const struct series *s, size_t horizon, struct course *c)
{
    struct weir_series *w = weir_series_new(24 * s->hour, horizon);
    for (size_t i = 0; i < s->value.n; i++) {
        c->expected[i] = i < horizon ? NAN : c->expected[i];
        weir_series_observe(w, s->value.p[i]);
        if (i + horizon < s->value.n) {
            struct weir_series_forecast f = weir_series_forecast(w);
            c->expected[i + horizon] = f.expected;
            c->upper[i + horizon] = f.upper;
        }
    }
    weir_series_free(w);
}

static int order(const void *va, const void *vb)
{
    double a = *(const double *)va;
    double b = *(const double *)vb;
    return (a > b) - (a < b);
}

/* The baselines' bound: their forecast and the 90 % quantile of their errors before what is scored. */
static void add_quantile(const struct series *s, struct course *c)
{
    double *error = weir_calloc(s->scored, sizeof *error);
    size_t n = 0;
    for (size_t i = 0; i < s->scored; i++) {
        if (s->known.p[i] && !isnan(c->expected[i])) {
            error[n++] = s->value.p[i] - c->expected[i];
        }
    }
    double above = NAN;
    if (n > 0) {
        qsort(error, n, sizeof *error, order);
        double at = 0.9 * (double)(n - 1);
        size_t below = (size_t)at;
        double next = error[below + 1 < n ? below + 1 : below];
        above = error[below] + (next - error[below]) * (at - (double)below);
    }
    for (size_t i = 0; i < s->value.n; i++) {
        c->upper[i] = c->expected[i] + above;
    }
    free(error);
}

/* ---- scores ---- */

static const char *const policies[POLICIES] = {"persistence", "day-ago", "week-ago", "ridge", "weir"};
static const int horizons_hours[] = {1, 3, 24};

/* Published for the Philly file, by horizon and policy: MAE, RMSE, sMAPE; 0: nothing. */
static const double reference[3][POLICIES][3] = {
    {{5.44, 13.73, 1.99}, {0}, {0}, {6.99, 14.53, 2.54}, {0}},
    {{10.58, 22.16, 3.82}, {36.52, 54.37, 13.32}, {54.21, 68.10, 19.02}, {14.04, 24.46, 5.01}, {0}},
    {{0}, {36.52, 54.37, 13.32}, {0}, {38.24, 54.52, 13.31}, {0}},
};

static void add_row(struct weir_sim_result *result, const struct series *s, size_t horizon, size_t policy, const struct course *c,
                    bool published)
{
    double absolute = 0;
    double square = 0;
    double relative = 0;
    double excess = 0;
    size_t n = 0;
    size_t under = 0;
    for (size_t i = s->scored; i < s->value.n; i++) {
        double y = s->value.p[i];
        double e = c->expected[i] - y;
        if (!s->known.p[i] || isnan(e)) {
            continue;
        }
        double scale = fabs(y) + fabs(c->expected[i]);
        absolute += fabs(e);
        square += e * e;
        relative += scale > 0 ? 200 * fabs(e) / scale : 0;
        excess += c->upper[i] - y;
        under += y <= c->upper[i];
        n++;
        uint64_t bits;
        memcpy(&bits, &c->expected[i], sizeof bits);
        weir_sim_hash_u64(result, bits);
    }
    double count = (double)n;
    struct weir_sim_row *row = weir_sim_row(result, policies[policy]);
    weir_sim_case_count(row, "horizon_hours", horizons_hours[horizon]);
    weir_sim_metric(row, "mae", absolute / count);
    weir_sim_metric(row, "rmse", sqrt(square / count));
    weir_sim_metric(row, "smape_percent", relative / count);
    weir_sim_metric(row, "coverage", (double)under / count);
    weir_sim_metric(row, "mean_excess", excess / count);
    weir_sim_metric_count(row, "values", (int64_t)n);
    const double *r = reference[horizon][policy];
    if (published && r[0] > 0) {
        weir_sim_metric(row, "reference_mae", r[0]);
        weir_sim_metric(row, "reference_rmse", r[1]);
        weir_sim_metric(row, "reference_smape_percent", r[2]);
    }
}

static void run_policy(const struct series *s, size_t horizon, size_t policy, struct course *c)
{
    size_t steps = (size_t)horizons_hours[horizon] * s->hour;
    switch (policy) {
    case 0:
        ago(s, steps, steps, c->expected);
        break;
    case 1:
        ago(s, 24 * s->hour, steps, c->expected);
        break;
    case 2:
        ago(s, 7 * 24 * s->hour, steps, c->expected);
        break;
    case 3:
        ridge(s, steps, c->expected);
        break;
    default:
        follow(s, steps, c);
        return;
    }
    add_quantile(s, c);
}

static bool is_published(const struct series *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->value.n; i++) {
        sum += s->value.p[i];
    }
    return s->value.n == PHILLY_VALUES && s->hour == 6 && sum == PHILLY_SUM;
}

int weir_sim_suite_forecast(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *path = NULL;
    struct series s = {0};
    int r = weir_sim_path(&path, o, o->series, "series", "philly-node-demand/philly_nodes_10min_2017-10-03_2017-11-30.csv", err);
    r = r < 0 ? r : read_series(&s, path, err);
    bool published = r == 0 && is_published(&s);
    struct weir_sim_meter meter = {.o = o, .unit = "forecasts", .total = WEIR_ARRAY_LEN(horizons_hours) * POLICIES};
    for (size_t h = 0; r == 0 && h < WEIR_ARRAY_LEN(horizons_hours); h++) {
        for (size_t p = 0; p < POLICIES; p++) {
            if (weir_sim_wants(o, policies[p])) {
                struct course c = {weir_calloc(s.value.n, sizeof(double)), weir_calloc(s.value.n, sizeof(double))};
                run_policy(&s, h, p, &c);
                add_row(result, &s, h, p, &c, published);
                free(c.expected);
                free(c.upper);
            }
            weir_sim_meter_add(&meter, 1);
        }
    }
    weir_vec_release(&s.value);
    weir_vec_release(&s.known);
    return r;
}
