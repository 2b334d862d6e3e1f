/* SPDX-License-Identifier: Apache-2.0 */

#include "demand.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "forecast/reserve.h"
#include "sim.h"

enum {
    HOURS_MAX = 25 * 8784,
    MINUTES = 60,
};

/* Minutes times GPUs by hour: what begins or ends inside an hour, and how many GPUs are held for whole hours from one on. */
struct sums {
    int64_t *part;
    int64_t *change;
    size_t n;
    int64_t base; /* the hour of entry 0 */
    int64_t first;
    int64_t last; /* hours of the first and last submission */
};

static void make_room(struct sums *s, int64_t hour)
{
    int64_t base = s->n == 0 || hour < s->base ? hour : s->base;
    int64_t end = s->n == 0 || hour >= s->base + (int64_t)s->n ? hour + 1 : s->base + (int64_t)s->n;
    if (s->n > 0 && base == s->base && end == s->base + (int64_t)s->n) {
        return;
    }
    /* Room on the side that grows, so that not every record moves all. */
    int64_t spare = s->n == 0 ? 1024 : (int64_t)s->n;
    base -= s->n > 0 && base < s->base ? spare : 0;
    end += s->n == 0 || end > s->base + (int64_t)s->n ? spare : 0;
    size_t n = (size_t)(end - base);
    int64_t *part = weir_calloc(n, sizeof *part);
    int64_t *change = weir_calloc(n, sizeof *change);
    if (s->n > 0) {
        memcpy(part + (s->base - base), s->part, s->n * sizeof *part);
        memcpy(change + (s->base - base), s->change, s->n * sizeof *change);
    }
    free(s->part);
    free(s->change);
    *s = (struct sums){.part = part, .change = change, .n = n, .base = base, .first = s->first, .last = s->last};
}

/* A job that holds its GPUs from minute from to minute to. What lies beyond all that can be counted is cut off, and a
 * submission too far from others is refused: false. */
static bool add_job(struct sums *s, int64_t from, int64_t to, int64_t gpus)
{
    int64_t hour = from / MINUTES;
    bool first = s->n == 0;
    s->first = first || hour < s->first ? hour : s->first;
    s->last = first || hour > s->last ? hour : s->last;
    if (s->last - s->first >= HOURS_MAX) {
        return false;
    }
    int64_t until = to / MINUTES;
    int64_t minutes = to - until * MINUTES;
    if (until > hour + HOURS_MAX) {
        until = hour + HOURS_MAX;
        minutes = 0;
    }
    make_room(s, hour);
    make_room(s, until);
    if (until == hour) {
        s->part[hour - s->base] += gpus * (to - from);
        return true;
    }
    s->part[hour - s->base] += gpus * ((hour + 1) * MINUTES - from);
    s->part[until - s->base] += gpus * minutes;
    if (until > hour + 1) {
        s->change[hour + 1 - s->base] += gpus;
        s->change[until - s->base] -= gpus;
    }
    return true;
}

static int read_jobs(struct weir_sim_demand *d, struct sums *s, struct weir_sim_workload *w, struct weir_err *err)
{
    struct weir_sim_job job;
    int r;
    while ((r = weir_sim_workload_next(w, &job, err)) == 1) {
        int64_t end_us = job.submit.us + job.duration.us;
        int64_t from = job.submit.us / WEIR_US_PER_MIN;
        int64_t to = end_us / WEIR_US_PER_MIN + (end_us % WEIR_US_PER_MIN != 0);
        if (!add_job(s, from, to, job.gpus)) {
            weir_fail(err, -WEIR_ELIMIT, "%lld is over %d hours away from other submissions",
                      (long long)(job.submit.us / WEIR_US_PER_S), HOURS_MAX);
            return weir_sim_workload_fail_field(w, &job, WEIR_SIM_JOB_SUBMIT, -WEIR_ELIMIT, err);
        }
        d->hash = weir_fnv_u64(d->hash, (uint64_t)(job.submit.us / WEIR_US_PER_S));
        d->hash = weir_fnv_u64(d->hash, (uint64_t)(job.duration.us / WEIR_US_PER_S));
        d->hash = weir_fnv_u64(d->hash, (uint64_t)job.gpus);
        d->jobs++;
    }
    return r;
}

static int64_t half_even(int64_t sum)
{
    int64_t whole = sum / MINUTES;
    int64_t rest = sum % MINUTES;
    return whole + (rest > MINUTES / 2 || (rest == MINUTES / 2 && whole % 2 == 1) ? 1 : 0);
}

static int count_hours(struct weir_sim_demand *d, const struct sums *s, const char *path, struct weir_err *err)
{
    if (d->jobs == 0) {
        return weir_fail(err, -WEIR_EINVAL, "%s has no job", path);
    }
    d->first_hour = s->first;
    d->n = (size_t)(s->last - s->first + 1);
    d->gpus = weir_calloc(d->n, sizeof *d->gpus);
    int64_t held = 0;
    for (size_t i = 0; i < d->n; i++) {
        size_t k = (size_t)(s->first - s->base) + i;
        held += s->change[k];
        d->gpus[i] = half_even(s->part[k] + held * MINUTES);
        d->peak = d->gpus[i] > d->peak ? d->gpus[i] : d->peak;
    }
    if (d->peak > WEIR_RESERVE_GPUS_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "%s asks for %lld GPUs at once: more than %d are not understood", path,
                         (long long)d->peak, WEIR_RESERVE_GPUS_MAX);
    }
    return 0;
}

int weir_sim_demand_read(struct weir_sim_demand *ret, const char *path, struct weir_sim_result *result, struct weir_err *err)
{
    *ret = (struct weir_sim_demand){.hash = WEIR_FNV_BASIS};
    static const struct weir_sim_workload_options options = {.as_it_stands = true};
    WEIR_CLEANUP(weir_sim_workload_freep) struct weir_sim_workload *w = NULL;
    struct sums s = {0};
    int r = weir_sim_workload_open(&w, path, NULL, &options, err);
    r = r < 0 ? r : read_jobs(ret, &s, w, err);
    if (r == 0 && result != NULL) {
        weir_sim_note_work(result, w);
    }
    r = r < 0 ? r : count_hours(ret, &s, path, err);
    free(s.part);
    free(s.change);
    return r;
}

void weir_sim_demand_release(struct weir_sim_demand *d)
{
    free(d->gpus);
    *d = (struct weir_sim_demand){0};
}
