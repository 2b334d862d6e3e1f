/* SPDX-License-Identifier: Apache-2.0 */

#include "spot_prices.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "cloud/input.h"

#define RATE_MAX INT64_C(1000000000) /* micro-USD an hour */

enum {
    SERIES_MAX = 4096,
    CHANGES_MAX = 1 << 26,
    US_PER_S = 1000000,
    SPAN_S_MAX = 10 * 366 * 86400,
};

void weir_spot_prices_release(struct weir_spot_prices *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->p[i].zone);
        free(s->p[i].instance);
        free(s->p[i].p);
    }
    weir_vec_release(s);
    weir_map_release(&s->by_name);
}

enum { ZONE, INSTANCE, UTC, RATE };

static const struct weir_input_column columns[] = {{.name = "zone"}, {.name = "instance"}, {.name = "utc"}, {.name = "spot_usd_h"}};

/* The series of this record, made where it is new; NULL where there are too many. A history that is sorted by time has the
 * series in turn, so they are found by hash. */
static struct weir_spot_series *find_series(struct weir_spot_prices *s, struct weir_sv zone, struct weir_sv instance)
{
    const uint64_t said[] = {weir_hash_bytes(zone.p, zone.n), weir_hash_bytes(instance.p, instance.n)};
    uint64_t at = 0;
    uint64_t key = weir_hash_bytes(said, sizeof said);
    for (; weir_map_get(&s->by_name, key, &at); key++) {
        struct weir_spot_series *known = &s->p[at];
        if (weir_sv_eq(weir_sv_of(known->zone), zone) && weir_sv_eq(weir_sv_of(known->instance), instance)) {
            return known;
        }
    }
    if (s->n == SERIES_MAX) {
        return NULL;
    }
    weir_map_put(&s->by_name, key, s->n);
    struct weir_spot_series fresh = {.zone = weir_strndup(zone.p, zone.n), .instance = weir_strndup(instance.p, instance.n)};
    weir_vec_push(s, fresh);
    return &s->p[s->n - 1];
}

static int read_change(struct weir_spot_prices *s, const struct weir_input *in, size_t *total, struct weir_err *err)
{
    struct weir_sv zone = weir_input_field(in, ZONE);
    struct weir_sv instance = weir_input_field(in, INSTANCE);
    struct weir_wall at = {0};
    int64_t rate = 0;
    if (zone.n == 0 || instance.n == 0) {
        weir_fail(err, -WEIR_EINVAL, "empty");
        return weir_input_fail_field(in, zone.n == 0 ? ZONE : INSTANCE, -WEIR_EINVAL, err);
    }
    int r = weir_parse_time(weir_input_field(in, UTC), &at, err);
    if (r == 0 && (at.us % US_PER_S != 0 || at.us <= 0)) {
        r = weir_fail(err, -WEIR_EINVAL, "a time after 1970 in whole seconds is expected");
    }
    if (r < 0) {
        return weir_input_fail_field(in, UTC, r, err);
    }
    r = weir_parse_decimal(weir_input_field(in, RATE), 6, &rate, err);
    if (r == 0 && (rate <= 0 || rate > RATE_MAX)) {
        r = weir_fail(err, -WEIR_EOVERFLOW, "a price is more than 0 and at most %lld USD an hour", (long long)(RATE_MAX / US_PER_S));
    }
    if (r < 0) {
        return weir_input_fail_field(in, RATE, r, err);
    }
    struct weir_spot_series *series = find_series(s, zone, instance);
    if (series == NULL || ++*total > CHANGES_MAX) {
        weir_fail(err, -WEIR_ELIMIT, "more than %d zones and types, or %d changes", SERIES_MAX, CHANGES_MAX);
        return weir_input_fail(in, -WEIR_ELIMIT, err);
    }
    struct weir_spot_price change = {at.us / US_PER_S, rate};
    weir_vec_push(series, change);
    s->end_s = change.at_s > s->end_s ? change.at_s : s->end_s;
    return 0;
}

static int compare_changes(const void *a, const void *b)
{
    const struct weir_spot_price *x = a;
    const struct weir_spot_price *y = b;
    if (x->at_s != y->at_s) {
        return x->at_s < y->at_s ? -1 : 1;
    }
    return (x->rate > y->rate) - (x->rate < y->rate);
}

static int compare_series(const void *a, const void *b)
{
    const struct weir_spot_series *x = a;
    const struct weir_spot_series *y = b;
    int r = strcmp(x->instance, y->instance);
    return r != 0 ? r : strcmp(x->zone, y->zone);
}

/* Changes by time, series by type and zone. Of two prices at one second the lower stands nowhere: which was the last is not known,
 * and the dearer does not flatter. */
static void put_in_order(struct weir_spot_prices *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct weir_spot_series *series = &s->p[i];
        qsort(series->p, series->n, sizeof *series->p, compare_changes);
        size_t kept = 0;
        for (size_t k = 0; k < series->n; k++) {
            if (k + 1 < series->n && series->p[k + 1].at_s == series->p[k].at_s) {
                continue;
            }
            series->p[kept++] = series->p[k];
        }
        series->n = kept;
    }
    qsort(s->p, s->n, sizeof *s->p, compare_series);
}

int weir_spot_prices_read(struct weir_spot_prices *s, const char *path, void (*looked)(void *user, unsigned permille), void *user,
                          struct weir_err *err)
{
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    *s = (struct weir_spot_prices){0};
    int r = weir_input_table(&in, path, columns, WEIR_ARRAY_LEN(columns), err);
    size_t total = 0;
    while (r >= 0 && (r = weir_input_next(in, err)) > 0) {
        r = read_change(s, in, &total, err);
        if (looked != NULL && total % 65536 == 0) {
            looked(user, weir_input_permille(in));
        }
    }
    if (r == 0 && total == 0) {
        r = weir_fail(err, -WEIR_EINVAL, "%s has no price in it", path);
    }
    if (r < 0) {
        return r;
    }
    put_in_order(s);
    for (size_t i = 0; i < s->n; i++) {
        if (s->end_s - s->p[i].p[0].at_s > SPAN_S_MAX) {
            return weir_fail(err, -WEIR_EOVERFLOW, "%s: the prices of %s in %s reach over more than ten years", path,
                             s->p[i].instance, s->p[i].zone);
        }
    }
    return 0;
}

const struct weir_spot_series *weir_spot_prices_find(const struct weir_spot_prices *s, const char *instance, const char *zone)
{
    const struct weir_spot_series key = {.zone = (char *)(uintptr_t)zone, .instance = (char *)(uintptr_t)instance};
    return s->n == 0 ? NULL : bsearch(&key, s->p, s->n, sizeof *s->p, compare_series);
}

int64_t weir_spot_series_integral(const struct weir_spot_series *s, int64_t from_s, int64_t to_s)
{
    /* The price that holds at first. */
    size_t low = 0;
    size_t high = s->n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (s->p[middle].at_s <= from_s) {
            low = middle;
        } else {
            high = middle;
        }
    }
    int64_t sum = 0;
    for (size_t i = low; i < s->n && s->p[i].at_s < to_s; i++) {
        int64_t begin = s->p[i].at_s < from_s ? from_s : s->p[i].at_s;
        int64_t end = i + 1 < s->n && s->p[i + 1].at_s < to_s ? s->p[i + 1].at_s : to_s;
        sum += begin < end ? s->p[i].rate * (end - begin) : 0;
    }
    return sum;
}
