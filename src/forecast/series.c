/* SPDX-License-Identifier: Apache-2.0 */

#include "forecast/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    WEEK = 7, /* days */
    HALF_LIFE_DAYS = 14,
    ERRORS_DAYS = 28,
    ERRORS_MIN = 20, /* below, the largest error is the bound's */
};

static const double coverage_wanted = 0.9;
static const double level_least = 0.5;
/* How far the level moves for one miss; the errors of one horizon are one event, so it is divided among them. */
static const double level_step = 0.1;
static const double level_step_least = 0.002;

/* base + share * (towards - base), the last value being the base: what it is drawn to, and how far. */
enum towards { LAST, DAY_AGO, WEEK_AGO, MEAN_OF_DAY, MEAN_OF_WEEK, COURSE_OF_DAY };

static const struct simple {
    const char *name;
    enum towards towards;
    double share;
} simple[] = {
    {"persistence", LAST, 0},
    {"day-ago", DAY_AGO, 1},
    {"week-ago", WEEK_AGO, 1},
    {"half-day-ago", DAY_AGO, 0.5},
    {"day-mean-5", MEAN_OF_DAY, 0.05},
    {"day-mean-10", MEAN_OF_DAY, 0.1},
    {"day-mean-20", MEAN_OF_DAY, 0.2},
    {"day-mean-35", MEAN_OF_DAY, 0.35},
    {"day-mean-50", MEAN_OF_DAY, 0.5},
    {"week-mean-5", MEAN_OF_WEEK, 0.05},
    {"week-mean-10", MEAN_OF_WEEK, 0.1},
    {"week-mean-20", MEAN_OF_WEEK, 0.2},
    {"week-mean-35", MEAN_OF_WEEK, 0.35},
    {"week-mean-50", MEAN_OF_WEEK, 0.5},
    {"week-mean", MEAN_OF_WEEK, 1},
    {"course-10", COURSE_OF_DAY, 0.1},
    {"course-20", COURSE_OF_DAY, 0.2},
    {"course-35", COURSE_OF_DAY, 0.35},
    {"course-50", COURSE_OF_DAY, 0.5},
    {"course", COURSE_OF_DAY, 1},
};

enum { SIMPLE = sizeof simple / sizeof simple[0] };

/* A forecast that was given and waits for its value. */
struct given {
    double value[SIMPLE];
    struct weir_series_forecast forecast;
};

struct weir_series {
    size_t day;
    size_t horizon;
    size_t season; /* whole days back to the same time of day as what is forecast */
    uint64_t n;    /* values seen */
    double *past;  /* ring */
    size_t past_size;
    double day_sum;
    double week_sum;
    struct given *given; /* ring over the horizon */
    double loss[SIMPLE];
    double decay;
    double *error; /* ring */
    double *sorted;
    size_t errors_size;
    uint64_t n_errors;
    double level;
};

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

struct weir_series *weir_series_new(size_t day_steps, size_t horizon)
{
    WEIR_ASSERT(day_steps >= 1 && day_steps <= WEIR_SERIES_STEPS_MAX);
    WEIR_ASSERT(horizon >= 1 && horizon <= day_steps * WEIR_SERIES_HORIZON_DAYS_MAX);
    struct weir_series *s = weir_alloc(sizeof *s);
    s->day = day_steps;
    s->horizon = horizon;
    s->season = round_up(horizon, day_steps);
    size_t weeks = round_up(horizon, WEEK * day_steps);
    s->past_size = (weeks > s->season ? weeks : s->season) + 1;
    s->past = weir_calloc(s->past_size, sizeof *s->past);
    s->given = weir_calloc(horizon, sizeof *s->given);
    s->decay = pow(0.5, 1.0 / (double)(HALF_LIFE_DAYS * day_steps));
    s->errors_size = ERRORS_DAYS * day_steps;
    s->error = weir_calloc(s->errors_size, sizeof *s->error);
    s->sorted = weir_calloc(s->errors_size, sizeof *s->sorted);
    s->level = coverage_wanted;
    return s;
}

void weir_series_free(struct weir_series *s)
{
    if (s == NULL) {
        return;
    }
    free(s->past);
    free(s->given);
    free(s->error);
    free(s->sorted);
    free(s);
}

/* The value seen so many steps before the last; the last where there is none. */
static double back(const struct weir_series *s, size_t steps)
{
    return s->past[(s->n - 1 - (steps < s->n ? steps : 0)) % s->past_size];
}

static double mean_of(double sum, uint64_t n, size_t window)
{
    return sum / (double)(n < window ? n : window);
}

static double target_of(const struct weir_series *s, enum towards towards)
{
    switch (towards) {
    case LAST:
        break;
    case DAY_AGO:
        return back(s, s->season - s->horizon);
    case WEEK_AGO:
        return back(s, round_up(s->horizon, WEEK * s->day) - s->horizon);
    case MEAN_OF_DAY:
        return mean_of(s->day_sum, s->n, s->day);
    case MEAN_OF_WEEK:
        return mean_of(s->week_sum, s->n, WEEK * s->day);
    case COURSE_OF_DAY:
        return back(s, 0) + back(s, s->season - s->horizon) - back(s, s->season);
    }
    return back(s, 0);
}

/* Where in the sorted errors the given one stands or would stand. */
static size_t place_of(const double *sorted, size_t n, double error)
{
    size_t from = 0;
    size_t to = n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (sorted[middle] < error) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

static void remember_error(struct weir_series *s, double error)
{
    size_t n = s->n_errors < s->errors_size ? (size_t)s->n_errors : s->errors_size;
    size_t slot = (size_t)(s->n_errors % s->errors_size);
    if (n == s->errors_size) {
        size_t gone = place_of(s->sorted, n, s->error[slot]);
        memmove(s->sorted + gone, s->sorted + gone + 1, (n - gone - 1) * sizeof *s->sorted);
        n--;
    }
    size_t at = place_of(s->sorted, n, error);
    memmove(s->sorted + at + 1, s->sorted + at, (n - at) * sizeof *s->sorted);
    s->sorted[at] = error;
    s->error[slot] = error;
    s->n_errors++;
}

/* The value that a forecast waited for has come. */
static void settle(struct weir_series *s, const struct given *g, double value)
{
    for (size_t i = 0; i < SIMPLE; i++) {
        s->loss[i] = s->loss[i] * s->decay + fabs(value - g->value[i]);
    }
    if (s->n_errors >= ERRORS_MIN) {
        double step = level_step / (double)s->horizon;
        step = step > level_step_least ? step : level_step_least;
        s->level += step * (value > g->forecast.upper ? coverage_wanted : coverage_wanted - 1);
        s->level = s->level < level_least ? level_least : s->level > 1 ? 1 : s->level;
    }
    remember_error(s, value - g->forecast.expected);
}

static double error_quantile(const struct weir_series *s)
{
    size_t n = s->n_errors < s->errors_size ? (size_t)s->n_errors : s->errors_size;
    if (n == 0) {
        return 0;
    }
    size_t at = n < ERRORS_MIN ? n - 1 : (size_t)(s->level * (double)n);
    return s->sorted[at < n ? at : n - 1];
}

void weir_series_observe(struct weir_series *s, double value)
{
    struct given *g = &s->given[s->n % s->horizon];
    if (s->n >= s->horizon) {
        settle(s, g, value);
    }
    s->day_sum += value - (s->n >= s->day ? back(s, s->day - 1) : 0);
    s->week_sum += value - (s->n >= WEEK * s->day ? back(s, WEEK * s->day - 1) : 0);
    s->past[s->n % s->past_size] = value;
    s->n++;
    size_t best = 0;
    for (size_t i = 0; i < SIMPLE; i++) {
        double last = back(s, 0);
        g->value[i] = last + simple[i].share * (target_of(s, simple[i].towards) - last);
        best = s->loss[i] < s->loss[best] ? i : best;
    }
    double expected = g->value[best];
    double above = error_quantile(s);
    g->forecast = (struct weir_series_forecast){expected, expected + (above > 0 ? above : 0), simple[best].name};
}

struct weir_series_forecast weir_series_forecast(const struct weir_series *s)
{
    if (s->n == 0) {
        return (struct weir_series_forecast){0, 0, simple[0].name};
    }
    return s->given[(s->n - 1) % s->horizon].forecast;
}
