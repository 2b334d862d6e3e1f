/* SPDX-License-Identifier: Apache-2.0 */

#include "cloud/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/currency.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "cloud/input.h"

enum { STEPS_MAX = 10000000, WEEK_DAYS = 7 };

#define VALUE_MAX 1e6 /* of the file's unit per kWh, either sign */
/* Milliwatts times microseconds that are a kilowatt-hour. */
#define KWH INT64_C(3600000000000000)

struct step {
    int64_t at_us;
    int64_t value;
    weir_i128 before; /* integral from the begin to here */
};

struct weir_grid {
    WEIR_VEC(struct step) step;
    enum weir_grid_kind kind;
    char currency[WEIR_CURRENCY_SIZE];
    int64_t begin_us;
    int64_t end_us;
    int64_t period_us;
};

void weir_grid_free(struct weir_grid *g)
{
    if (g != NULL) {
        weir_vec_release(&g->step);
        free(g);
    }
}

void weir_grid_freep(struct weir_grid **g)
{
    weir_grid_free(*g);
}

/* ---- reading ---- */

enum {
    TIMES = 5,  /* columns that may have the time: the first ones */
    CARBON = 5, /* that may have carbon intensity: the next ones; then prices, but for the last */
};

static const struct weir_input_column columns[] = {
    {"utc", true},
    {"time", true},
    {"timestamp", true},
    {"datetime", true},
    {"datetime (utc)", true}, /* as Electricity Maps and Ember publish */
    {"gco2_kwh_lca", true},
    {"carbon intensity gCO\xe2\x82\x82" "eq/kWh (life cycle)", true},
    {"carbon intensity gCO\xe2\x82\x82" "eq/kWh (lca)", true},
    {"gco2_kwh_direct", true},
    {"carbon intensity gCO\xe2\x82\x82" "eq/kWh (direct)", true},
    {"price", true},
    {"price_mwh", true},
    {"price_eur_mwh", true},
    {"price_usd_mwh", true},
    {"eur_mwh", true},
    {"usd_mwh", true},
    {"price (eur/mwhe)", true},
    {"*", true},
};

/* The first of the columns from..to that the table has; to where it has none. */
static size_t first_of(const struct weir_input *in, size_t from, size_t to)
{
    while (from < to && !weir_input_has(in, from)) {
        from++;
    }
    return from;
}

static int read_time(const struct weir_input *in, size_t column, int64_t *ret_us, struct weir_err *err)
{
    struct weir_sv text = weir_input_field(in, column);
    struct weir_wall at = {0};
    int64_t s = 0;
    if (weir_parse_i64(text, 0, INT64_C(253402300799), &s, NULL) == 0) {
        *ret_us = s * WEIR_US_PER_S;
        return 0;
    }
    int r = weir_parse_time(text, &at, err);
    *ret_us = at.us;
    return r < 0 ? weir_input_fail_field(in, column, r, err) : 0;
}

static int read_step(struct weir_grid *g, const struct weir_input *in, size_t time, size_t value, bool per_mwh, struct weir_err *err)
{
    struct step s = {0};
    double v = 0;
    size_t n = g->step.n;
    int r = read_time(in, time, &s.at_us, err);
    if (r == 0 && n > 0 && s.at_us <= g->step.p[n - 1].at_us) {
        weir_fail(err, -WEIR_EINVAL, "not later than on the line before: are these times UTC, and in order?");
        return weir_input_fail_field(in, time, -WEIR_EINVAL, err);
    }
    if (r == 0 && n == STEPS_MAX) {
        weir_fail(err, -WEIR_ELIMIT, "more than %d values", STEPS_MAX);
        return weir_input_fail(in, -WEIR_ELIMIT, err);
    }
    if (r == 0 && weir_input_field(in, value).n == 0 && n > 0) {
        s.value = g->step.p[n - 1].value;
    } else if (r == 0) {
        double most = per_mwh ? VALUE_MAX * 1000 : VALUE_MAX;
        r = weir_input_real(in, value, -most, most, &v, err);
        s.value = llround(v * (per_mwh ? 1e3 : 1e6));
    }
    if (r == 0) {
        weir_vec_push(&g->step, s);
    }
    return r;
}

static void add_up(struct weir_grid *g)
{
    struct step *p = g->step.p;
    size_t n = g->step.n;
    for (size_t i = 1; i < n; i++) {
        p[i].before = p[i - 1].before + (weir_i128)p[i - 1].value * (p[i].at_us - p[i - 1].at_us);
    }
    g->begin_us = p[0].at_us;
    g->end_us = p[n - 1].at_us + (n > 1 ? p[n - 1].at_us - p[n - 2].at_us : WEIR_US_PER_HOUR);
    int64_t span = g->end_us - g->begin_us;
    int64_t unit = span >= WEEK_DAYS * WEIR_US_PER_DAY ? WEEK_DAYS * WEIR_US_PER_DAY : span >= WEIR_US_PER_DAY ? WEIR_US_PER_DAY : span;
    g->period_us = span / unit * unit;
}

/* Is it a price, or whatever it is, of a MWh? In any way of saying so: read as one of a kWh it would be a thousand times too much. */
static bool is_per_mwh(struct weir_sv title)
{
    for (size_t i = 0; i + 3 <= title.n; i++) {
        if (weir_sv_eq_nocase((struct weir_sv){title.p + i, 3}, weir_sv_of("mwh"))) {
            return true;
        }
    }
    return false;
}

/* "EUR" of price_eur_mwh, eur_mwh, eur_kwh or Price (EUR/MWhe), whatever its currency; "" of others. */
static void read_currency(struct weir_sv title, char ret[static WEIR_CURRENCY_SIZE])
{
    const struct weir_sv price = WEIR_SV("price_");
    const struct weir_sv spoken = WEIR_SV("price (");
    char code[WEIR_CURRENCY_SIZE] = "";
    if (title.n > spoken.n + 4 && weir_sv_eq_nocase((struct weir_sv){title.p, spoken.n}, spoken) && title.p[spoken.n + 3] == '/') {
        for (size_t i = 0; i < 3; i++) {
            char c = title.p[spoken.n + i];
            code[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        }
    }
    if (title.n > price.n && weir_sv_eq_nocase((struct weir_sv){title.p, price.n}, price)) {
        title = (struct weir_sv){title.p + price.n, title.n - price.n};
    }
    if (title.n == 7 && (weir_sv_eq_nocase((struct weir_sv){title.p + 3, 4}, weir_sv_of("_mwh")) ||
                         weir_sv_eq_nocase((struct weir_sv){title.p + 3, 4}, weir_sv_of("_kwh")))) {
        for (size_t i = 0; i < 3; i++) {
            code[i] = (char)(title.p[i] >= 'a' && title.p[i] <= 'z' ? title.p[i] - 'a' + 'A' : title.p[i]);
        }
    }
    memset(ret, 0, WEIR_CURRENCY_SIZE);
    memcpy(ret, code, weir_currency_is_known(code) ? sizeof code : 0);
}

int weir_grid_read(struct weir_grid **ret, const char *path, struct weir_err *err)
{
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    WEIR_CLEANUP(weir_grid_freep) struct weir_grid *g = weir_alloc(sizeof *g);
    size_t n = WEIR_ARRAY_LEN(columns);
    int r = weir_input_table(&in, path, columns, n, err);
    if (r < 0) {
        return r;
    }
    size_t time = first_of(in, 0, TIMES);
    size_t value = first_of(in, TIMES, n);
    if (time == TIMES || value == n) {
        weir_fail(err, -WEIR_EINVAL, "a column utc, time, timestamp or datetime and one with values are expected");
        return weir_input_fail(in, -WEIR_EINVAL, err);
    }
    struct weir_sv title = weir_input_field(in, value);
    read_currency(title, g->currency);
    bool per_mwh = is_per_mwh(title);
    while ((r = weir_input_next(in, err)) == 1) {
        r = read_step(g, in, time, value, per_mwh, err);
        if (r < 0) {
            return r;
        }
    }
    if (r < 0) {
        return r;
    }
    if (g->step.n == 0) {
        return weir_fail(err, -WEIR_EINVAL, "%s has no values", path);
    }
    g->kind = value < TIMES + CARBON ? WEIR_GRID_CARBON : value < n - 1 || g->currency[0] != '\0' ? WEIR_GRID_PRICE : WEIR_GRID_UNKNOWN;
    add_up(g);
    *ret = WEIR_TAKE(g);
    return 0;
}

/* ---- looking up ---- */

/* The step that holds at a time of the record. */
static const struct step *step_at(const struct weir_grid *g, int64_t at_us)
{
    size_t low = 0;
    size_t high = g->step.n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (g->step.p[middle].at_us <= at_us) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &g->step.p[low];
}

/* From the begin to a time of the record, its end included. */
static weir_i128 recorded(const struct weir_grid *g, int64_t at_us)
{
    const struct step *s = step_at(g, at_us);
    return s->before + (weir_i128)s->value * (at_us - s->at_us);
}

/* How often the period fits before this time; the rest of it, as a time of the record, is in *ret_us. */
static int64_t periods(const struct weir_grid *g, int64_t at_us, int64_t *ret_us)
{
    int64_t since = weir_i64_sub_sat(at_us, g->begin_us);
    int64_t n = since / g->period_us - (since % g->period_us < 0 ? 1 : 0);
    *ret_us = g->begin_us + (since - n * g->period_us);
    return n;
}

/* From the begin as if the period had repeated for ever. */
static weir_i128 repeated(const struct weir_grid *g, int64_t at_us)
{
    int64_t rest_us = 0;
    int64_t n = periods(g, at_us, &rest_us);
    return n * recorded(g, g->begin_us + g->period_us) + recorded(g, rest_us);
}

static weir_i128 until(const struct weir_grid *g, int64_t at_us)
{
    if (at_us < g->begin_us) {
        return repeated(g, at_us);
    }
    if (at_us <= g->end_us) {
        return recorded(g, at_us);
    }
    return recorded(g, g->end_us) + repeated(g, at_us) - repeated(g, g->end_us);
}

const char *weir_grid_currency(const struct weir_grid *g)
{
    return g->currency;
}

enum weir_grid_kind weir_grid_kind(const struct weir_grid *g)
{
    return g->kind;
}

int64_t weir_grid_at(const struct weir_grid *g, struct weir_wall at)
{
    int64_t at_us = at.us;
    if (at_us < g->begin_us || at_us >= g->end_us) {
        (void)periods(g, at.us, &at_us);
    }
    return step_at(g, at_us)->value;
}

struct weir_wall weir_grid_next(const struct weir_grid *g, struct weir_wall at)
{
    int64_t record_us = at.us;
    int64_t until_us = g->end_us;
    if (at.us < g->begin_us || at.us >= g->end_us) {
        (void)periods(g, at.us, &record_us);
        until_us = g->begin_us + g->period_us;
    }
    const struct step *s = step_at(g, record_us);
    bool last = s == &g->step.p[g->step.n - 1] || s[1].at_us > until_us;
    return (struct weir_wall){weir_i64_add_sat(at.us, (last ? until_us : s[1].at_us) - record_us)};
}

weir_i128 weir_grid_integral(const struct weir_grid *g, struct weir_wall from, struct weir_wall to)
{
    return until(g, to.us) - until(g, from.us);
}

int64_t weir_grid_energy(const struct weir_grid *g, struct weir_wall from, struct weir_wall to, int64_t milliwatts)
{
    WEIR_ASSERT(milliwatts >= 0 && milliwatts <= WEIR_GRID_MILLIWATTS_MAX);
    weir_i128 sum = weir_grid_integral(g, from, to) * milliwatts + KWH / 2;
    weir_i128 whole = sum / KWH - (sum % KWH < 0 ? 1 : 0);
    return whole > INT64_MAX ? INT64_MAX : whole < INT64_MIN ? INT64_MIN : (int64_t)whole;
}
