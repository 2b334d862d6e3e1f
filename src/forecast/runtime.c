/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantiles of the last few run times. With no history the person's estimate stands; with little history it counts like
 * a few observations. Where there is no estimate, the mean of a wider kind counts like up to a few observations: as many
 * as the own ones scatter. For run times have long tails. The median of those that were seen does not tell of the long ones, of which few
 * were seen and which make most of the cost; but those of a kind that takes the same time again and again need nobody else's word. One
 * figure has to serve for when a run ends, which its median tells, and for what it costs, which is its mean: it lies midway.
 * With nothing at all a fraction of the limit is expected.
 */

#include "forecast/runtime.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/money.h"

enum {
    PRIOR_WEIGHT = 2,        /* the estimate counts like so many observations */
    WIDER_WEIGHT = 3,        /* a wider kind counts like so many, at most */
    UPPER_PER_MILLE = 900,   /* quantile of "upper" */
    GUESS_EXPECTED_DIV = 2,  /* without anything: half of the limit is expected */
    MARGIN_DIV = 4,          /* a quarter is added to the upper bound while the history is short */
    MARGIN_UNTIL = 8,
    ESTIMATE_UPPER_NUM = 3,  /* an estimate alone: half as long again is the upper bound */
    ESTIMATE_UPPER_DIV = 2,
};

uint64_t weir_runtime_key(uint32_t project, uint32_t user, struct weir_sv job_name)
{
    uint64_t h = weir_hash_bytes(&(uint32_t[2]){project, user}, 2 * sizeof(uint32_t));
    /* runs of digits become one '#'; hashed piece by piece, so that names of any length need no copy */
    size_t i = 0;
    while (i < job_name.n) {
        char piece[64];
        size_t n = 0;
        while (i < job_name.n && n < sizeof piece) {
            if (job_name.p[i] >= '0' && job_name.p[i] <= '9') {
                while (i < job_name.n && job_name.p[i] >= '0' && job_name.p[i] <= '9') {
                    i++;
                }
                piece[n++] = '#';
            } else {
                piece[n++] = job_name.p[i++];
            }
        }
        uint64_t pair[2] = {h, weir_hash_bytes(piece, n)};
        h = weir_hash_bytes(pair, sizeof pair);
    }
    return h;
}

void weir_runtime_wider_keys(uint32_t gpus, uint64_t ret[WEIR_RUNTIME_KINDS])
{
    ret[1] = weir_runtime_key(0, gpus, WEIR_SV("gpus"));
    ret[2] = weir_runtime_key(0, 0, WEIR_SV("all"));
}

void weir_runtime_observe(struct weir_runtime_history *h, struct weir_dur took)
{
    if (took.us < 0) {
        return;
    }
    h->us[h->n % WEIR_RUNTIME_KEEP] = took.us;
    h->n++;
    if (h->n == 0) {
        h->n = WEIR_RUNTIME_KEEP; /* after 2^32 observations */
    }
    if (h->filled < WEIR_RUNTIME_KEEP) {
        h->filled++;
    }
}

static int order(const void *va, const void *vb)
{
    int64_t a = *(const int64_t *)va;
    int64_t b = *(const int64_t *)vb;
    return (a > b) - (a < b);
}

/* The value below which `per_mille` of the sorted ones lie, between neighbours in proportion. */
static int64_t quantile(const int64_t *sorted, size_t n, int per_mille)
{
    size_t scaled = (n - 1) * (size_t)per_mille;
    size_t i = scaled / 1000;
    int64_t part = (int64_t)(scaled % 1000);
    if (i + 1 >= n) {
        return sorted[n - 1];
    }
    return sorted[i] + weir_mul_div_sat(sorted[i + 1] - sorted[i], part, 1000);
}

/* Two significant digits, rounded up, so that a forecast does not become too short by it. */
static int64_t round_digits(int64_t us)
{
    int64_t unit = 1;
    while (us / unit >= 100) {
        unit *= 10;
    }
    int64_t rest = us % unit;
    return rest == 0 ? us : weir_i64_add_sat(us - rest, unit);
}

static size_t filled(const struct weir_runtime_history *h)
{
    return h == NULL ? 0 : h->filled < WEIR_RUNTIME_KEEP ? h->filled : WEIR_RUNTIME_KEEP;
}

static double us_of(const struct weir_runtime_history *h, size_t i)
{
    return h->us[i] < 0 ? 0 : (double)h->us[i];
}

static double mean_of(const struct weir_runtime_history *h)
{
    double sum = 0;
    for (size_t i = 0; i < filled(h); i++) {
        sum += us_of(h, i);
    }
    return sum / (double)filled(h);
}

/* A kind's own figure, once the wider kind's has had its say. */
static double blend(const struct weir_runtime_history *own, double own_us, double wider_us)
{
    double n = (double)filled(own);
    double mean = mean_of(own);
    double squares = 0;
    for (size_t i = 0; i < filled(own); i++) {
        squares += (us_of(own, i) - mean) * (us_of(own, i) - mean);
    }
    /* one run says nothing of the scatter: as much as can count is assumed */
    double scatter = n < 2 ? 1 : mean <= 0 ? 0 : squares / (n - 1) / (mean * mean);
    double weight = WIDER_WEIGHT * (scatter < 1 ? scatter : 1);
    return (n * own_us + weight * wider_us) / (n + weight);
}

static int64_t whole_us(double us)
{
    return us < (double)(INT64_MAX / 4) ? (int64_t)us : INT64_MAX / 4;
}

/* What tasks of the wider kinds took on average; 0: not known. */
static int64_t wider_us(const struct weir_runtime_history *const h[WEIR_RUNTIME_KINDS])
{
    double us = 0;
    for (size_t k = WEIR_RUNTIME_KINDS - 1; k > 0; k--) {
        if (filled(h[k]) > 0) {
            us = us <= 0 ? mean_of(h[k]) : blend(h[k], mean_of(h[k]), us);
        }
    }
    return whole_us(us);
}

struct weir_runtime_forecast weir_runtime_forecast(const struct weir_runtime_history *const h[WEIR_RUNTIME_KINDS],
                                                   struct weir_dur estimate,
                                                   struct weir_dur max_duration)
{
    WEIR_ASSERT(max_duration.us > 0);
    int64_t sorted[WEIR_RUNTIME_KEEP + PRIOR_WEIGHT];
    size_t n = filled(h[0]);
    int64_t wider = estimate.us > 0 ? 0 : wider_us(h);
    struct weir_runtime_forecast f = {.based_on = (uint32_t)n};
    for (size_t i = 0; i < n; i++) {
        sorted[i] = h[0]->us[i] < 0 ? 0 : h[0]->us[i];
    }
    if (n == 0) {
        int64_t told = estimate.us > 0 ? estimate.us : wider;
        f.expected.us = told > 0 ? told : max_duration.us / GUESS_EXPECTED_DIV;
        f.upper.us = told > 0 ? weir_mul_div_sat(told, ESTIMATE_UPPER_NUM, ESTIMATE_UPPER_DIV) : max_duration.us;
    } else {
        size_t all = n;
        if (estimate.us > 0 && n < MARGIN_UNTIL) {
            for (size_t i = 0; i < PRIOR_WEIGHT; i++) {
                sorted[all++] = estimate.us;
            }
        }
        qsort(sorted, all, sizeof sorted[0], order);
        f.expected.us = quantile(sorted, all, 500);
        f.upper.us = quantile(sorted, all, UPPER_PER_MILLE);
        if (n < MARGIN_UNTIL) {
            f.upper.us = weir_i64_add_sat(f.upper.us, f.upper.us / MARGIN_DIV);
        }
        if (estimate.us <= 0) {
            double midway_us = ((double)f.expected.us + mean_of(h[0])) / 2;
            f.expected.us = whole_us(wider > 0 ? blend(h[0], midway_us, (double)wider) : midway_us);
        }
    }
    f.expected.us = round_digits(f.expected.us < 1 ? 1 : f.expected.us);
    f.upper.us = round_digits(f.upper.us < f.expected.us ? f.expected.us : f.upper.us);
    f.expected.us = f.expected.us < max_duration.us ? f.expected.us : max_duration.us;
    f.upper.us = f.upper.us < max_duration.us ? f.upper.us : max_duration.us;
    return f;
}
