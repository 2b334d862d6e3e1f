/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suite commitments: how much capacity to reserve for the hourly demand of a trace of jobs. On demand a GPU costs 1 an hour; a
 * reservation costs fee for tau hours and then used_rate per hour used.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "demand.h"
#include "forecast/reserve.h"
#include "reserve_optimum.h"
#include "schedule.h"
#include "sim_priv.h"

enum { MICRO = 1000000, SECONDS = 3600, RULES = 6 };

#define PHILLY_HASH UINT64_C(0x591fb3cc8946f753)
#define PHILLY_JOBS 52849

/* The published settings, with what was published of them for the Philly trace; see the data's README. */
static const struct setting {
    struct weir_reserve_terms terms;
    double reference[RULES]; /* by policy; 0: nothing was published */
} settings[] = {
    {{168, 60 * MICRO, MICRO, 300000}, {578734, 472609, 451334, 523004, 398036, 0}},
    {{720, 250 * MICRO, MICRO, 300000}, {578734, 517743, 500753, 503590, 438414, 0}},
    {{168, 90 * MICRO, MICRO, 0}, {578734, 443515, 406660, 517020, 335165, 0}},
};

/* What one policy does in one setting. */
struct plan {
    double cost;
    double bound;    /* proven, on cost / optimum; 0: none */
    bool bought;     /* is there one course of purchases? */
    int64_t *buy;    /* by hour */
};

typedef void plan_fn(const struct weir_sim_demand *d, const struct weir_reserve_terms *t, struct plan *p);

static double used_share(const struct weir_reserve_terms *t)
{
    return (double)t->used_micro / (double)t->on_demand_micro;
}

static void plan_on_demand(const struct weir_sim_demand *d, const struct weir_reserve_terms *t, struct plan *p)
{
    for (size_t i = 0; i < d->n; i++) {
        p->cost += (double)d->gpus[i] * (double)t->on_demand_micro;
    }
    p->bought = true;
}

static double run_break_even(const struct weir_sim_demand *d, const struct weir_reserve_terms *t, int64_t threshold, int64_t *buy)
{
    struct weir_break_even *b = weir_break_even_new(t, threshold);
    for (size_t i = 0; i < d->n; i++) {
        int64_t n = weir_break_even_step(b, d->gpus[i]);
        if (buy != NULL) {
            buy[i] = n;
        }
    }
    double cost = (double)weir_break_even_course(b)->cost_micro;
    weir_break_even_free(b);
    return cost;
}

static void plan_deterministic(const struct weir_sim_demand *d, const struct weir_reserve_terms *t, struct plan *p)
{
    p->cost = run_break_even(d, t, weir_reserve_break_even_hours(t), p->buy);
    p->bought = true;
    p->bound = 2 - used_share(t);
}

/*
 * The threshold z, in fractions of the break-even, is drawn with density e^z / (e - 1 + a) and, with the mass that is left, a / (e
 * - 1 + a), is the break-even itself; a is the used share. Hours are counted whole, so the cost as a function of z is a
 * step function, and its expectation a finite sum: no sample is drawn.
 */
static void plan_randomised(const struct weir_sim_demand *d, const struct weir_reserve_terms *t, struct plan *p)
{
    double a = used_share(t);
    double hours = (double)t->fee_micro / (double)(t->on_demand_micro - t->used_micro);
    int64_t last = weir_reserve_break_even_hours(t);
    for (int64_t i = 0; i <= last; i++) {
        double low = (double)i / hours;
        double high = i < last ? (double)(i + 1) / hours : 1;
        double mass = exp(high) - exp(low) + (i == last ? a : 0);
        p->cost += mass / (exp(1) - 1 + a) * run_break_even(d, t, i, NULL);
    }
    p->bound = exp(1) / (exp(1) - 1 + a);
}

/* The best number held throughout, bought again whenever its term is over. */
static void plan_constant(const struct weir_sim_demand *d, const struct weir_reserve_terms *t, struct plan *p)
{
    int64_t *hours_at = weir_calloc((size_t)d->peak + 2, sizeof *hours_at);
    int64_t cost = 0;
    for (size_t i = 0; i < d->n; i++) {
        hours_at[d->gpus[i]]++;
        cost += d->gpus[i] * t->on_demand_micro;
    }
    int64_t rounds = ((int64_t)d->n + t->hours - 1) / t->hours;
    int64_t above = (int64_t)d->n - hours_at[0]; /* hours with a demand of at least the next one */
    int64_t best = cost;
    int64_t best_held = 0;
    for (int64_t held = 1; held <= d->peak; held++) {
        cost += rounds * t->fee_micro - above * (t->on_demand_micro - t->used_micro);
        above -= hours_at[held];
        if (cost < best) {
            best = cost;
            best_held = held;
        }
    }
    free(hours_at);
    for (size_t i = 0; i < d->n; i += (size_t)t->hours) {
        p->buy[i] = best_held;
    }
    p->cost = (double)best;
    p->bought = true;
}

static void plan_weir(const struct weir_sim_demand *d, const struct weir_reserve_terms *t, struct plan *p)
{
    struct weir_reserve *r = weir_reserve_new(t);
    for (size_t i = 0; i < d->n; i++) {
        p->buy[i] = weir_reserve_step(r, d->gpus[i]);
    }
    p->cost = (double)weir_reserve_course(r)->cost_micro;
    p->bought = true;
    p->bound = (2 - used_share(t)) * WEIR_RESERVE_GUARD_PERCENT / 100;
    weir_reserve_free(r);
}

static const struct {
    const char *name;
    plan_fn *fn; /* NULL: the optimum, which every row is compared with and which is known already */
} rules[RULES] = {
    {"on-demand", plan_on_demand},      {"deterministic", plan_deterministic}, {"randomised", plan_randomised},
    {"constant-hindsight", plan_constant}, {"optimum", NULL},                  {"weir", plan_weir},
};

/* Reservations with their fees, and hour by hour what was used of them and what was on demand: the costs add up to the row's. */
static int write_schedule(const struct weir_sim_options *o, const char *policy, const struct weir_sim_demand *d,
                          const struct weir_reserve_terms *t, const struct plan *p, struct weir_err *err)
{
    char name[96];
    struct weir_sim_schedule *s = NULL;
    snprintf(name, sizeof name, "commitments-%lld-%g-%g-%s", (long long)t->hours, (double)t->fee_micro / MICRO,
             (double)t->used_micro / MICRO, policy);
    int r = weir_sim_schedule_open(&s, o->schedule, name, err);
    int64_t held = 0;
    uint64_t task = 0;
    for (size_t i = 0; r == 0 && s != NULL && i < d->n; i++) {
        double start = (double)(d->first_hour + (int64_t)i) * SECONDS;
        held += p->buy[i] - (i >= (size_t)t->hours ? p->buy[i - (size_t)t->hours] : 0);
        int64_t served = d->gpus[i] < held ? d->gpus[i] : held;
        struct weir_sim_span span = {.submit = start, .start = start, .end = start + (double)t->hours * SECONDS, .node = -1};
        const struct {
            const char *place;
            int64_t gpus;
            int64_t micro;
        } lines[] = {{"reserved", p->buy[i], t->fee_micro}, {"used", served, t->used_micro},
                     {"on-demand", d->gpus[i] - served, t->on_demand_micro}};
        for (size_t k = 0; k < WEIR_ARRAY_LEN(lines); k++) {
            if (lines[k].gpus > 0) {
                span.task = ++task;
                span.place = lines[k].place;
                span.gpus = (double)lines[k].gpus;
                span.cost = (double)(lines[k].gpus * lines[k].micro) / MICRO;
                weir_sim_schedule_add(s, &span);
            }
            span.end = start + SECONDS;
        }
    }
    return r < 0 ? r : weir_sim_schedule_close(s, err);
}

static void add_row(struct weir_sim_result *result, const struct weir_sim_demand *d, const struct setting *c, size_t rule,
                    const struct plan *p, double optimum)
{
    bool published = d->jobs == PHILLY_JOBS && d->hash == PHILLY_HASH;
    struct weir_sim_row *row = weir_sim_row(result, rules[rule].name);
    weir_sim_case_count(row, "tau_hours", c->terms.hours);
    weir_sim_case_real(row, "fee", (double)c->terms.fee_micro / MICRO);
    weir_sim_case_real(row, "used_rate", (double)c->terms.used_micro / MICRO);
    weir_sim_metric(row, "cost", p->cost / MICRO);
    weir_sim_metric(row, "optimum", optimum / MICRO);
    weir_sim_metric(row, "ratio", optimum > 0 ? p->cost / optimum : NAN);
    weir_sim_metric(row, "gap_to_bound_percent", optimum > 0 ? (p->cost - optimum) / optimum * 100 : NAN);
    weir_sim_metric(row, "ratio_bound", p->bound > 0 ? p->bound : NAN);
    int64_t reservations = 0;
    for (size_t i = 0; i < d->n; i++) {
        reservations += p->buy[i];
        weir_sim_hash_u64(result, (uint64_t)p->buy[i]);
    }
    if (p->bought) {
        weir_sim_metric_count(row, "reservations", reservations);
    } else {
        weir_sim_metric_none(row, "reservations");
    }
    if (published && c->reference[rule] > 0) {
        weir_sim_metric(row, "reference_cost", c->reference[rule]);
    }
    weir_sim_hash_u64(result, (uint64_t)llround(p->cost));
}

static int run_setting(const struct weir_sim_options *o, const struct weir_sim_demand *d, const struct setting *c,
                       struct weir_sim_result *result, struct weir_err *err)
{
    int r = 0;
    WEIR_CLEANUP(weir_freep) int64_t *best = weir_calloc(d->n, sizeof *best);
    double optimum = (double)weir_sim_reserve_optimum(&c->terms, d->gpus, d->n, best);
    for (size_t i = 0; r == 0 && i < RULES; i++) {
        if (!weir_sim_wants(o, rules[i].name)) {
            continue;
        }
        struct plan p = {.buy = weir_calloc(d->n, sizeof *p.buy)};
        if (rules[i].fn != NULL) {
            rules[i].fn(d, &c->terms, &p);
        } else {
            memcpy(p.buy, best, d->n * sizeof *best);
            p.cost = optimum;
            p.bought = true;
            p.bound = 1;
        }
        add_row(result, d, c, i, &p, optimum);
        r = p.bought ? write_schedule(o, rules[i].name, d, &c->terms, &p, err) : 0;
        free(p.buy);
    }
    return r;
}

int weir_sim_suite_commitments(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *path = NULL;
    WEIR_CLEANUP(weir_sim_demand_release) struct weir_sim_demand d = {0};
    int r = weir_sim_path(&path, o, o->jobs, "jobs", WEIR_SIM_PHILLY_JOBS, err);
    r = r < 0 ? r : weir_sim_demand_read(&d, path, result, err);
    struct weir_sim_meter meter = {.o = o, .unit = "settings", .total = WEIR_ARRAY_LEN(settings)};
    for (size_t i = 0; r == 0 && i < WEIR_ARRAY_LEN(settings); i++) {
        r = run_setting(o, &d, &settings[i], result, err);
        weir_sim_meter_add(&meter, 1);
    }
    return r;
}
