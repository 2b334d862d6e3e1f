/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Prices are kept for equal buckets of time and are 0 after the last one. The worth of waiting goes down a fixed ladder; each rung
 * starts from the prices of the one before. The search is an ascent along the use of the owned GPUs, each bucket's step
 * by the root of its squared past ones. A bucket's price rises where more is used than there is, and falls where less is.
 */

#include "starburst_bound.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    SPAN_BUCKETS = 1024, /* from the first submission to the last */
    BUCKETS = SPAN_BUCKETS * 3 / 2,
    ROUNDS = 100,     /* of the search, on each rung */
    SAMPLE = 1 << 13, /* jobs that the search looks at, about: of the smaller ones, and as many of the larger */
};

#define STEP 0.1

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
    double squares[BUCKETS];
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
    bool cloud;
};

static void consider(struct choice *c, double cost, double start)
{
    if (cost < c->cost) {
        *c = (struct choice){cost, start, false};
    }
}

/*
 * The cheapest way of one job. Its cost over its start is linear between the points where start or end meet a bucket's edge,
 * so the least is at one of these, or at once.
 */
static struct choice choose(const struct search *s, const struct item *j, double wait_cost)
{
    struct choice c = {.cost = j->gpus * j->length, .cloud = true};
    consider(&c, j->gpus * (paid_until(s, j->at + j->length) - paid_until(s, j->at)), j->at);
    for (int start = (int)j->at + 1; start <= BUCKETS && wait_cost * (start - j->at) < c.cost; start++) {
        consider(&c, wait_cost * (start - j->at) + j->gpus * (paid_until(s, start + j->length) - s->paid[start]), start);
    }
    int end = j->at + j->length < BUCKETS ? (int)(j->at + j->length) + 1 : BUCKETS + 1;
    for (; end <= BUCKETS; end++) {
        double start = end - j->length;
        if (wait_cost * (start - j->at) >= c.cost) {
            break;
        }
        consider(&c, wait_cost * (start - j->at) + j->gpus * (s->paid[end] - paid_until(s, start)), start);
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
static double least_cost(struct search *s, const struct items *jobs, double wait_cost)
{
    for (size_t k = 0; k < BUCKETS; k++) {
        s->paid[k + 1] = s->paid[k] + s->price[k];
    }
    memset(s->enter, 0, sizeof s->enter);
    memset(s->within, 0, sizeof s->within);
    double sum = 0;
    for (size_t i = 0; i < jobs->n; i++) {
        const struct item *j = &jobs->p[i];
        struct choice c = choose(s, j, wait_cost);
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
        if (excess != 0) {
            s->price[k] = fmax(0, s->price[k] + STEP * excess / sqrt(s->squares[k]));
        }
    }
}

/* The best of the prices that the search comes by; they stay in s. */
static void find_prices(struct search *s, double wait_cost)
{
    double best[BUCKETS];
    double most = -INFINITY;
    memset(s->squares, 0, sizeof s->squares);
    for (int round = 0; round < ROUNDS; round++) {
        double least = least_cost(s, &s->sample, wait_cost);
        if (least > most) {
            most = least;
            memcpy(best, s->price, sizeof best);
        }
        move_prices(s);
    }
    memcpy(s->price, best, sizeof best);
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
                                             weir_starburst_duration_h(jobs, i) / s->bucket_h, jobs->job[i].gpus, 1};
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
