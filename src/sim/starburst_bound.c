/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Prices are kept for equal buckets of time and are 0 after the last one. The worth of waiting goes down a fixed ladder; each rung
 * starts from the prices of the one before. The search is an ascent along the use of the owned GPUs: a bucket's price rises where
 * more is used than there is, and falls where less is, by a running mean of that over the root of its squared past. The steps go to and
 * fro about the best prices, and L is concave in them: the mean of the last rounds' prices is better than theirs, mostly.
 */

#include "starburst_bound.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    SPAN_BUCKETS = 1024, /* from the first submission to the last */
    BUCKETS = SPAN_BUCKETS * 3 / 2,
    ROUNDS = 44,      /* of the search, on each rung */
    LAST_ROUNDS = 10, /* whose mean is tried */
    STRIDE = 8,       /* starts that are ruled out together */
    SAMPLE = 1 << 13, /* jobs that the search looks at, about: of the smaller ones, and as many of the larger */
};

#define STEP 0.3
#define MOMENTUM 0.8

/* The worth of an hour's waiting of one job, in GPU-hours in the cloud. */
static const double rung[] = {1024, 256, 128, 64, 40, 24, 16, 10, 6, 4, 2.5, 1.6, 1, 0.5, 0.25};

enum { RUNGS = WEIR_ARRAY_LEN(rung) };

struct weir_starburst_bound {
    double least[RUNGS]; /* L of the prices found for the rung */
};

struct item {
    double at; /* in buckets */
    double length;
    double gpus;
    double weight; /* jobs that it stands for */
    int edge;      /* its choice before: the bucket that its start meets, less than 0: its end; 0: neither */
};

struct items {
    struct item *p;
    size_t n;
};

struct search {
    struct items all;    /* jobs that count */
    struct items sample; /* of them, for the search */
    double bucket_h;
    double owned; /* GPUs */
    double price[BUCKETS];
    double paid[BUCKETS + 1]; /* price up to the bucket's start, summed */
    double enter[BUCKETS + 1];  /* change of the GPUs in use from the bucket before; */
    double within[BUCKETS + 1]; /* and what is in use beside, by those that begin or end within the bucket */
    double excess[BUCKETS]; /* of GPUs in use, to those there are: a running mean */
    double squares[BUCKETS];
    double low[BUCKETS + 2 * STRIDE]; /* the lowest price in the two strides that begin here; 0 near the end */
};

/* The price of one GPU from the beginning of time up to then. */
static double paid_until(const struct search *s, double at)
{
    if (at >= BUCKETS) {
        return s->paid[BUCKETS];
    }
    int k = (int)at;
    return s->paid[k] + (at - k) * s->price[k];
}

struct choice {
    double cost; /* in GPU-buckets */
    double start;
    int edge;
    bool cloud;
};

static void consider(struct choice *c, double cost, double start, int edge)
{
    if (cost < c->cost) {
        *c = (struct choice){cost, start, edge, false};
    }
}

static double cost_from(const struct search *s, const struct item *j, double wait_cost, int start)
{
    return wait_cost * (start - j->at) + j->gpus * (paid_until(s, start + j->length) - s->paid[start]);
}

static double cost_until(const struct search *s, const struct item *j, double wait_cost, int end)
{
    double start = end - j->length;
    return wait_cost * (start - j->at) + j->gpus * (s->paid[end] - paid_until(s, start));
}

/* May a way of such a cost be the first of the cheapest? */
static bool is_worth(const struct choice *c, double most, double cost)
{
    return cost < c->cost && cost <= most;
}

static void find_lows(struct search *s)
{
    memset(s->low, 0, sizeof s->low);
    memcpy(s->low, s->price, sizeof s->price);
    for (int span = 1; span < 2 * STRIDE; span *= 2) {
        for (int k = 0; k < BUCKETS; k++) {
            s->low[k] = s->low[k] < s->low[k + span] ? s->low[k] : s->low[k + span];
        }
    }
}

/*
 * No more than what a stay among those of a stride costs: the first begins in bucket `from`, all hold the time from `sure`
 * to `until`. Prices are not negative, and sums round alike, so what is summed directly needs no margin.
 */
static double least_stay(const struct search *s, double length, int from, double sure, double until)
{
    double least = until > sure ? until - sure : 0;
    if (length <= STRIDE) {
        double low = length * s->low[from] * (1 - 1e-9);
        least = low > least ? low : least;
    }
    return least;
}

/*
 * The cheapest way of one job. Its cost over its start is linear between the points where start or end meet a bucket's edge,
 * so the least is at one of these, or at once.
 */
static struct choice choose(const struct search *s, const struct item *j, double wait_cost)
{
    struct choice c = {.cost = j->gpus * j->length, .cloud = true};
    consider(&c, j->gpus * (paid_until(s, j->at + j->length) - paid_until(s, j->at)), j->at, 0);
    /* the choice before costs little still, mostly: what costs more than it need not be looked at closely */
    double most = j->edge > 0 ? cost_from(s, j, wait_cost, j->edge) : j->edge < 0 ? cost_until(s, j, wait_cost, -j->edge) : INFINITY;
    for (int next, start = (int)j->at + 1; start <= BUCKETS && is_worth(&c, most, wait_cost * (start - j->at)); start = next) {
        next = start + STRIDE <= BUCKETS ? start + STRIDE : BUCKETS + 1;
        double sure = s->paid[next <= BUCKETS ? next : BUCKETS];
        double stay = least_stay(s, j->length, start, sure, paid_until(s, start + j->length));
        bool worth = is_worth(&c, most, wait_cost * (start - j->at) + j->gpus * stay);
        for (int k = start; worth && k < next; k++) {
            consider(&c, cost_from(s, j, wait_cost, k), k, k);
        }
    }
    int end = j->at + j->length < BUCKETS ? (int)(j->at + j->length) + 1 : BUCKETS + 1;
    for (int next; end <= BUCKETS && is_worth(&c, most, wait_cost * (end - j->length - j->at)); end = next) {
        next = end + STRIDE <= BUCKETS ? end + STRIDE : BUCKETS + 1;
        double sure = paid_until(s, next - j->length);
        int from = end > STRIDE ? end - STRIDE : 0;
        double stay = least_stay(s, j->length, from, sure, s->paid[end]);
        bool worth = is_worth(&c, most, wait_cost * (end - j->length - j->at) + j->gpus * stay);
        for (int k = end; worth && k < next; k++) {
            consider(&c, cost_until(s, j, wait_cost, k), k - j->length, -k);
        }
    }
    return c;
}

static void note_use(struct search *s, double at, double gpus)
{
    if (at < BUCKETS) {
        size_t k = (size_t)at;
        s->within[k] += gpus * (1 - (at - (double)k));
        s->enter[k + 1] += gpus;
    }
}

/* L for these prices; what the jobs use is noted. */
static double least_cost(struct search *s, struct items *jobs, double wait_cost)
{
    for (size_t k = 0; k < BUCKETS; k++) {
        s->paid[k + 1] = s->paid[k] + s->price[k];
    }
    find_lows(s);
    memset(s->enter, 0, sizeof s->enter);
    memset(s->within, 0, sizeof s->within);
    double sum = 0;
    for (size_t i = 0; i < jobs->n; i++) {
        struct item *j = &jobs->p[i];
        struct choice c = choose(s, j, wait_cost);
        j->edge = c.edge;
        sum += j->weight * c.cost;
        if (!c.cloud) {
            note_use(s, c.start, j->weight * j->gpus);
            note_use(s, c.start + j->length, -j->weight * j->gpus);
        }
    }
    return sum - s->owned * s->paid[BUCKETS];
}

static void move_prices(struct search *s)
{
    double gpus = 0;
    for (size_t k = 0; k < BUCKETS; k++) {
        gpus += s->enter[k];
        double excess = (gpus + s->within[k] - s->owned) / s->owned;
        s->squares[k] += excess * excess;
        s->excess[k] = MOMENTUM * s->excess[k] + (1 - MOMENTUM) * excess;
        if (s->excess[k] != 0) {
            s->price[k] = fmax(0, s->price[k] + STEP * s->excess[k] / sqrt(s->squares[k]));
        }
    }
}

/* The best of the prices that the search comes by; they stay in s. */
static void find_prices(struct search *s, double wait_cost)
{
    double best[BUCKETS];
    double mean[BUCKETS] = {0};
    double most = -INFINITY;
    memset(s->excess, 0, sizeof s->excess);
    memset(s->squares, 0, sizeof s->squares);
    for (int round = 0; round < ROUNDS; round++) {
        double least = least_cost(s, &s->sample, wait_cost);
        if (least > most) {
            most = least;
            memcpy(best, s->price, sizeof best);
        }
        for (size_t k = 0; k < BUCKETS && round >= ROUNDS - LAST_ROUNDS; k++) {
            mean[k] += s->price[k] / LAST_ROUNDS;
        }
        move_prices(s);
    }
    memcpy(s->price, mean, sizeof mean);
    if (least_cost(s, &s->sample, wait_cost) < most) {
        memcpy(s->price, best, sizeof best);
    }
}

static void take_jobs(struct search *s, const struct weir_starburst_jobs *jobs, size_t first, size_t last)
{
    double from_h = weir_starburst_submit_h(jobs, first);
    double span_h = weir_starburst_submit_h(jobs, last) - from_h;
    double run_h = 0;
    for (size_t i = first; i <= last; i++) {
        run_h += weir_starburst_duration_h(jobs, i);
    }
    /* where all come at once, there is still time to be shared out */
    s->bucket_h = (span_h + run_h / (double)(last - first + 1) + 1.0 / 3600) / SPAN_BUCKETS;
    s->all.p = weir_calloc(last - first + 1, sizeof *s->all.p);
    for (size_t i = first; i <= last; i++) {
        s->all.p[s->all.n++] = (struct item){(weir_starburst_submit_h(jobs, i) - from_h) / s->bucket_h,
                                             weir_starburst_duration_h(jobs, i) / s->bucket_h, jobs->job[i].gpus, 1, 0};
    }
}

static double size_of(const struct item *j)
{
    return j->gpus * j->length;
}

/* The few large jobs make the prices: of them more are taken than of the many small ones, each standing for as many as are passed by. */
static void take_sample(struct search *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->all.n; i++) {
        sum += size_of(&s->all.p[i]);
    }
    double mean = sum / (double)s->all.n;
    size_t n[2] = {0}; /* below the mean, and the others */
    for (size_t i = 0; i < s->all.n; i++) {
        n[size_of(&s->all.p[i]) >= mean]++;
    }
    const size_t stride[2] = {n[0] / SAMPLE + 1, n[1] / SAMPLE + 1};
    size_t seen[2] = {0};
    s->sample.p = weir_calloc(s->all.n, sizeof *s->sample.p);
    for (size_t i = 0; i < s->all.n; i++) {
        bool large = size_of(&s->all.p[i]) >= mean;
        if (seen[large]++ % stride[large] == 0) {
            s->sample.p[s->sample.n] = s->all.p[i];
            s->sample.p[s->sample.n++].weight = (double)stride[large];
        }
    }
}

struct weir_starburst_bound *weir_starburst_bound_new(const struct weir_starburst_jobs *jobs, struct weir_starburst_site site,
                                                      size_t first, size_t last)
{
    struct weir_starburst_bound *b = weir_alloc(sizeof *b);
    struct search *s = weir_alloc(sizeof *s);
    s->owned = (double)site.nodes * site.gpus_per_node;
    take_jobs(s, jobs, first, last);
    take_sample(s);
    for (size_t k = 0; k < BUCKETS; k++) {
        s->price[k] = 0.5;
    }
    for (size_t i = 0; i < RUNGS; i++) {
        /* time and cost both count in buckets here, so that the worth of waiting is the same number */
        find_prices(s, rung[i]);
        b->least[i] = least_cost(s, &s->all, rung[i]) * s->bucket_h;
    }
    free(s->all.p);
    free(s->sample.p);
    free(s);
    return b;
}

void weir_starburst_bound_free(struct weir_starburst_bound *b)
{
    free(b);
}

void weir_starburst_bound_freep(struct weir_starburst_bound **b)
{
    weir_starburst_bound_free(*b);
}

double weir_starburst_bound_cloud_gpu_h(const struct weir_starburst_bound *b, double wait_h)
{
    double most = 0;
    for (size_t i = 0; i < RUNGS; i++) {
        most = fmax(most, b->least[i] - rung[i] * wait_h);
    }
    return most;
}
