/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Suite prices: the history of spot prices. What a machine costs in each zone over the history, as an integral over the price
 * changes and, to check it, as a sum second by second; and for each type what one machine costs that is held all the time in one
 * zone, or moved to where it is cheap. A move costs the overhead at the new zone's price.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/money.h"
#include "base/parse.h"
#include "base/vec.h"
#include "forecast/follow.h"
#include "schedule.h"
#include "sim_priv.h"
#include "spot_prices.h"

enum {
    S_PER_HOUR = 3600,
    STEP_S = 300, /* between weir's looks at the prices */
};

#define NAIVE_SECONDS_MAX (INT64_C(1) << 34) /* of all series together: beyond, the sum by seconds is left out */

/* ---- what one zone costs ---- */

static int64_t naive_sum(const struct weir_spot_series *s, int64_t to_s)
{
    int64_t sum = 0;
    size_t i = 0;
    for (int64_t t = s->p[0].at_s; t < to_s; t++) {
        while (i + 1 < s->n && s->p[i + 1].at_s <= t) {
            i++;
        }
        sum += s->p[i].rate;
    }
    return sum;
}

static int64_t to_micro(int64_t rate_seconds)
{
    return (rate_seconds + S_PER_HOUR / 2) / S_PER_HOUR;
}

static void add_holds(const struct weir_spot_prices *s, struct weir_sim_meter *meter, struct weir_sim_result *result)
{
    int64_t seconds = 0;
    for (size_t i = 0; i < s->n; i++) {
        seconds += s->end_s - s->p[i].p[0].at_s;
    }
    for (size_t i = 0; i < s->n; i++) {
        const struct weir_spot_series *series = &s->p[i];
        int64_t from_s = series->p[0].at_s;
        int64_t cost = weir_spot_series_integral(series, from_s, s->end_s);
        struct weir_sim_row *row = weir_sim_row(result, "hold");
        weir_sim_case_text(row, "instance", series->instance);
        weir_sim_case_text(row, "zone", series->zone);
        weir_sim_metric(row, "cost_usd", (double)to_micro(cost) / 1e6);
        weir_sim_metric_count(row, "cost_micro_usd", to_micro(cost));
        if (seconds <= NAIVE_SECONDS_MAX) {
            weir_sim_metric_count(row, "naive_micro_usd", to_micro(naive_sum(series, s->end_s)));
        } else {
            weir_sim_metric_none(row, "naive_micro_usd");
        }
        weir_sim_metric(row, "hours", (double)(s->end_s - from_s) / S_PER_HOUR);
        weir_sim_hash_u64(result, (uint64_t)cost);
        weir_sim_meter_add(meter, 1);
    }
}

/* ---- one machine of a type, wherever ---- */

struct market {
    const struct weir_spot_series *series; /* of one type */
    size_t n;
    int64_t from_s; /* when half of the zones have a price */
    int64_t to_s;
    int64_t overhead_s;
    size_t *next; /* change of each series that comes next */
};

struct stay {
    size_t zone;
    int64_t from_s;
    int64_t cost; /* rate seconds, the move included */
};

struct stays {
    struct stay *p;
    size_t n;
    size_t size;
};

/* Sets the prices as they are at a time that never goes back; returns when the next change comes. */
static int64_t prices_at(struct market *m, int64_t at_s, struct weir_follow_place *place)
{
    int64_t until = m->to_s;
    for (size_t i = 0; i < m->n; i++) {
        const struct weir_spot_series *s = &m->series[i];
        while (m->next[i] < s->n && s->p[m->next[i]].at_s <= at_s) {
            m->next[i]++;
        }
        int64_t rate = m->next[i] == 0 ? -1 : s->p[m->next[i] - 1].rate;
        place[i] = (struct weir_follow_place){rate, rate < 0 ? 0 : rate * m->overhead_s};
        if (m->next[i] < s->n && s->p[m->next[i]].at_s < until) {
            until = s->p[m->next[i]].at_s;
        }
    }
    return until;
}

static void rewind_market(struct market *m)
{
    for (size_t i = 0; i < m->n; i++) {
        m->next[i] = 0;
    }
}

static size_t cheapest(const struct weir_follow_place *place, size_t n)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        if (place[i].rate >= 0 && (best == n || place[i].rate < place[best].rate)) {
            best = i;
        }
    }
    return best;
}

static void follow(struct market *m, struct stays *stays)
{
    struct weir_follow_place place[WEIR_FOLLOW_PLACES_MAX];
    rewind_market(m);
    prices_at(m, m->from_s, place);
    struct weir_follow f = {.at = cheapest(place, m->n)};
    struct stay first = {f.at, m->from_s, 0};
    weir_vec_push(stays, first);
    for (int64_t at_s = m->from_s; at_s < m->to_s;) {
        int64_t until = prices_at(m, at_s, place);
        size_t was = f.at;
        if (at_s > m->from_s && weir_follow_decide(&f, place, m->n) != was) {
            struct stay stay = {f.at, at_s, place[f.at].move};
            weir_vec_push(stays, stay);
        }
        int64_t end = until - at_s > STEP_S ? at_s + STEP_S : until;
        weir_follow_pass(&f, place, m->n, end - at_s);
        stays->p[stays->n - 1].cost += place[f.at].rate * (end - at_s);
        at_s = end;
    }
}

/* The least cost in hindsight, by the same work functions over whole stretches, and one way of having it. */
static void optimum(struct market *m, struct stays *stays)
{
    struct weir_follow_place place[WEIR_FOLLOW_PLACES_MAX];
    size_t n_steps = 0;
    for (size_t i = 0; i < m->n; i++) {
        n_steps += m->series[i].n;
    }
    /* Where the way to each zone came from, at the beginning of each stretch. */
    WEIR_CLEANUP(weir_freep) uint8_t *origin = weir_calloc((n_steps + 1) * m->n, 1);
    WEIR_CLEANUP(weir_freep) int64_t *begin = weir_calloc(n_steps + 2, sizeof *begin);
    rewind_market(m);
    struct weir_follow f = {0};
    size_t step = 0;
    for (int64_t at_s = m->from_s; at_s < m->to_s; step++) {
        int64_t until = prices_at(m, at_s, place);
        size_t best = m->n;
        for (size_t i = 0; i < m->n; i++) {
            best = f.known[i] && (best == m->n || f.work[i] < f.work[best]) ? i : best;
        }
        for (size_t i = 0; i < m->n; i++) {
            bool stays_here = best == m->n || (f.known[i] && f.work[i] <= f.work[best] + place[i].move);
            origin[step * m->n + i] = (uint8_t)(stays_here ? i : best);
        }
        f.at = cheapest(place, m->n);
        weir_follow_pass(&f, place, m->n, until - at_s);
        begin[step] = at_s;
        at_s = until;
    }
    size_t at = 0;
    int64_t least = weir_follow_best(&f, m->n);
    while (!f.known[at] || f.work[at] != least) {
        at++;
    }
    begin[step] = m->to_s;
    int64_t end_s = m->to_s;
    for (; step > 0; step--) {
        size_t from = origin[(step - 1) * m->n + at];
        if (from != at || step == 1) {
            int64_t cost = weir_spot_series_integral(&m->series[at], begin[step - 1], end_s);
            struct stay stay = {at, begin[step - 1], cost};
            weir_vec_push(stays, stay);
            end_s = begin[step - 1];
        }
        at = from;
    }
    for (size_t i = 0, k = stays->n; i + 1 < k; i++) {
        struct stay swap = stays->p[i];
        stays->p[i] = stays->p[--k];
        stays->p[k] = swap;
    }
    rewind_market(m);
    for (size_t i = 1; i < stays->n; i++) {
        prices_at(m, stays->p[i].from_s, place);
        stays->p[i].cost += place[stays->p[i].zone].move;
    }
}

enum policy { FIXED_ZONE, CHEAPEST_AT_START, WEIR, OPTIMUM, POLICIES };
static const char *const policy_names[POLICIES] = {"fixed-zone", "cheapest-at-start", "weir", "optimum"};

static int64_t total_of(const struct stays *stays)
{
    int64_t total = 0;
    for (size_t i = 0; i < stays->n; i++) {
        total += stays->p[i].cost;
    }
    return total;
}

/* Runs one policy for one type; the cost in rate seconds. */
static int64_t run_policy(struct market *m, enum policy policy, struct stays *stays)
{
    struct weir_follow_place place[WEIR_FOLLOW_PLACES_MAX];
    int64_t sum = 0;
    int64_t zones = 0;
    rewind_market(m);
    prices_at(m, m->from_s, place);
    switch (policy) {
    case FIXED_ZONE:
        /* The mean over the zones that one might have settled in: no schedule is that. */
        for (size_t i = 0; i < m->n; i++) {
            if (place[i].rate >= 0) {
                sum += weir_spot_series_integral(&m->series[i], m->from_s, m->to_s);
                zones++;
            }
        }
        return (sum + zones / 2) / zones;
    case CHEAPEST_AT_START: {
        size_t at = cheapest(place, m->n);
        struct stay stay = {at, m->from_s, weir_spot_series_integral(&m->series[at], m->from_s, m->to_s)};
        weir_vec_push(stays, stay);
        break;
    }
    case WEIR:
        follow(m, stays);
        break;
    case OPTIMUM:
        optimum(m, stays);
        break;
    case POLICIES:
        break;
    }
    return total_of(stays);
}

static void tell(const struct market *m, const struct stays *stays, uint64_t task, struct weir_sim_result *result,
                 struct weir_sim_schedule *schedule)
{
    for (size_t i = 0; i < stays->n; i++) {
        const struct stay *stay = &stays->p[i];
        int64_t end_s = i + 1 < stays->n ? stays->p[i + 1].from_s : m->to_s;
        weir_sim_hash_u64(result, (uint64_t)stay->from_s);
        weir_sim_hash_u64(result, stay->zone);
        struct weir_sim_span line = {
            .task = task,
            .submit = (double)m->from_s,
            .start = (double)stay->from_s,
            .end = (double)end_s,
            .place = m->series[stay->zone].zone,
            .node = -1,
            .gpus = 1,
            .cost = (double)stay->cost / S_PER_HOUR / 1e6,
        };
        weir_sim_schedule_add(schedule, &line);
    }
}

static void add_row(const struct market *m, enum policy policy, int64_t cost, const struct stays *stays, int64_t least,
                    struct weir_sim_result *result)
{
    struct weir_sim_row *row = weir_sim_row(result, policy_names[policy]);
    weir_sim_case_text(row, "instance", m->series[0].instance);
    weir_sim_metric(row, "cost_usd", (double)to_micro(cost) / 1e6);
    weir_sim_metric_count(row, "cost_micro_usd", to_micro(cost));
    weir_sim_metric(row, "hours", (double)(m->to_s - m->from_s) / S_PER_HOUR);
    weir_sim_metric_count(row, "moves", stays->n == 0 ? 0 : (int64_t)stays->n - 1);
    weir_sim_metric(row, "gap_to_bound_percent", least > 0 ? ((double)cost / (double)least - 1) * 100 : (double)NAN);
    weir_sim_hash_u64(result, (uint64_t)cost);
}

static void run_type(struct market *m, uint64_t task, const struct weir_sim_options *o, struct weir_sim_schedule *const *schedule,
                     struct weir_sim_result *result)
{
    int64_t cost[POLICIES] = {0};
    struct stays stays[POLICIES] = {0};
    for (int p = 0; p < POLICIES; p++) {
        cost[p] = weir_sim_wants(o, policy_names[p]) ? run_policy(m, (enum policy)p, &stays[p]) : 0;
    }
    for (int p = 0; p < POLICIES; p++) {
        if (weir_sim_wants(o, policy_names[p])) {
            tell(m, &stays[p], task, result, schedule[p]);
            add_row(m, (enum policy)p, cost[p], &stays[p], cost[OPTIMUM], result);
        }
        weir_vec_release(&stays[p]);
    }
}

static int compare_times(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static int run_types(const struct weir_spot_prices *s, int64_t overhead_s, const struct weir_sim_options *o,
                     struct weir_sim_schedule *const *schedule, struct weir_sim_meter *meter, struct weir_sim_result *result, struct weir_err *err)
{
    uint64_t task = 0;
    for (size_t i = 0; i < s->n; task++) {
        struct market m = {.series = &s->p[i], .to_s = s->end_s, .overhead_s = overhead_s};
        int64_t first_s[WEIR_FOLLOW_PLACES_MAX];
        for (; i < s->n && weir_streq(s->p[i].instance, m.series[0].instance); i++, m.n++) {
            if (m.n < WEIR_FOLLOW_PLACES_MAX) {
                first_s[m.n] = s->p[i].p[0].at_s;
            }
        }
        if (m.n > WEIR_FOLLOW_PLACES_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "%s has prices in more than %d zones", m.series[0].instance, WEIR_FOLLOW_PLACES_MAX);
        }
        qsort(first_s, m.n, sizeof *first_s, compare_times);
        m.from_s = first_s[m.n / 2];
        if (m.from_s >= m.to_s) {
            weir_sim_note(result, "%s has prices of the file's last moment only: there is no span to rent a machine for", m.series[0].instance);
            weir_sim_meter_add(meter, m.n);
            continue;
        }
        WEIR_CLEANUP(weir_freep) size_t *next = weir_calloc(m.n, sizeof *next);
        m.next = next;
        run_type(&m, task, o, schedule, result);
        weir_sim_meter_add(meter, m.n);
    }
    return 0;
}

static void show_reading(void *user, unsigned permille)
{
    weir_sim_progress(user, "reading", permille, 1000);
}

static int read_prices(struct weir_spot_prices *s, const struct weir_sim_options *o, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *path = NULL;
    struct weir_sim_options look = *o;
    int r = weir_sim_path(&path, o, o->prices, "prices", "aws-spot-prices-2020/aws_spot_p2_p3_2019-12_2020-03.csv", err);
    r = r < 0 ? r : weir_spot_prices_read(s, path, show_reading, &look, err);
    bool spans = false;
    for (size_t i = 0; r == 0 && i < s->n; i++) {
        spans = spans || s->p[i].p[0].at_s < s->end_s;
    }
    return r < 0 || spans ? r : weir_fail(err, -WEIR_EINVAL, "%s has prices of one moment only: there is no span to rent a machine for", path);
}

int weir_sim_suite_prices(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    WEIR_CLEANUP(weir_spot_prices_release) struct weir_spot_prices s = {0};
    struct weir_sim_schedule *schedule[POLICIES] = {0};
    int64_t overhead[WEIR_SIM_LIST_MAX];
    size_t n = 0;
    int r = weir_sim_list_micro(o->overheads == NULL ? "0.1" : o->overheads, "overheads", 0, INT64_C(24000000), overhead, &n, err);
    if (r == 0 && n != 1) {
        r = weir_fail(err, -WEIR_EINVAL, "--overheads: this suite takes one number of hours, what a move costs");
    }
    r = r < 0 ? r : read_prices(&s, o, err);
    if (r < 0) {
        return r;
    }
    /* A series is done once for hold, and once with the others of its type. */
    struct weir_sim_meter meter = {.o = o, .unit = "series", .total = (weir_sim_wants(o, "hold") ? 2 : 1) * s.n};
    if (weir_sim_wants(o, "hold")) {
        add_holds(&s, &meter, result);
    }
    for (int p = CHEAPEST_AT_START; p < POLICIES && r == 0; p++) {
        char name[64];
        snprintf(name, sizeof name, "prices-%s", policy_names[p]);
        r = weir_sim_wants(o, policy_names[p]) ? weir_sim_schedule_open(&schedule[p], o->schedule, name, err) : 0;
    }
    r = r < 0 ? r : run_types(&s, overhead[0] * S_PER_HOUR / 1000000, o, schedule, &meter, result, err);
    for (int p = 0; p < POLICIES; p++) {
        if (r < 0) {
            weir_sim_schedule_drop(schedule[p]);
        } else {
            r = weir_sim_schedule_close(schedule[p], err);
        }
    }
    return r;
}
