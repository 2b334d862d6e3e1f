/* SPDX-License-Identifier: Apache-2.0 */

#include "market.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/str.h"
#include "base/vec.h"
#include "spot_input.h"

enum { GPUS_MAX = 1024 };

void weir_sim_market_release(struct weir_sim_market *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->p[i].zone);
        free(m->p[i].kind);
        weir_vec_release(&m->p[i].steps);
    }
    weir_vec_release(m);
}

/* A step that changes nothing is left out: nobody need look at it. */
static void add_step(struct weir_sim_steps *s, int64_t at_us, int64_t value)
{
    if (s->n == 0 || s->p[s->n - 1].value != value) {
        weir_vec_push(s, (struct weir_sim_step){at_us, value});
    }
}

/* ---- prices ---- */

int weir_sim_market_read_prices(struct weir_sim_market *ret, const char *path, struct weir_err *err)
{
    *ret = (struct weir_sim_market){0};
    WEIR_CLEANUP(weir_spot_prices_release) struct weir_spot_prices prices = {0};
    int r = weir_spot_prices_read(&prices, path, NULL, NULL, err);
    if (r < 0) {
        return r;
    }
    int64_t begin_s = INT64_MAX;
    for (size_t i = 0; i < prices.n; i++) {
        struct weir_spot_series *from = &prices.p[i];
        struct weir_sim_market_series to = {.zone = WEIR_TAKE(from->zone), .kind = WEIR_TAKE(from->instance)};
        for (size_t k = 0; k < from->n; k++) {
            add_step(&to.steps, from->p[k].at_s * WEIR_US_PER_S, from->p[k].rate);
        }
        begin_s = from->p[0].at_s < begin_s ? from->p[0].at_s : begin_s;
        weir_vec_push(ret, to);
    }
    ret->record = weir_sim_record_of(begin_s * WEIR_US_PER_S, prices.end_s * WEIR_US_PER_S + WEIR_US_PER_HOUR);
    return 0;
}

/* ---- availability ---- */

static int64_t begin_of(const struct weir_sim_spot_zone *z)
{
    return z->tick0_us + z->first_tick * z->gap_us;
}

static int by_name_and_time(const void *a, const void *b)
{
    const struct weir_sim_spot_zone *x = *(const struct weir_sim_spot_zone *const *)a;
    const struct weir_sim_spot_zone *y = *(const struct weir_sim_spot_zone *const *)b;
    int r = strcmp(x->name, y->name);
    if (r != 0 || begin_of(x) != begin_of(y)) {
        return r != 0 ? r : begin_of(x) < begin_of(y) ? -1 : 1;
    }
    return (x->window > y->window) - (x->window < y->window);
}

/* "us-west-2a_v100_8": zone, model, GPUs; else all of it is the zone. */
static struct weir_sim_market_series series_named(const char *name)
{
    struct weir_sim_market_series s = {0};
    const char *last = strrchr(name, '_');
    const char *middle = last;
    int64_t gpus = 0;
    while (middle != NULL && middle > name && *--middle != '_') {
    }
    if (middle != NULL && middle > name && weir_parse_i64(weir_sv_of(last + 1), 1, GPUS_MAX, &gpus, NULL) == 0) {
        s.zone = weir_strndup(name, (size_t)(middle - name));
        s.kind = weir_strndup(middle + 1, (size_t)(last - middle - 1));
        s.gpus = (uint32_t)gpus;
    } else {
        s.zone = weir_strndup(name, strlen(name));
        s.kind = weir_strndup("", 0);
    }
    return s;
}

static void add_ticks(struct weir_sim_steps *s, const struct weir_sim_spot_zone *z, int64_t until_us)
{
    for (size_t i = 0; i < z->n_bits; i++) {
        int64_t at_us = begin_of(z) + (int64_t)i * z->gap_us;
        if (at_us >= until_us) {
            break;
        }
        add_step(s, at_us, z->bits[i] == '1');
    }
}

int weir_sim_market_read_stock(struct weir_sim_market *ret, const char *path, struct weir_err *err)
{
    *ret = (struct weir_sim_market){0};
    WEIR_CLEANUP(weir_sim_spot_zones_release) struct weir_sim_spot_zones zones = {0};
    int r = weir_sim_spot_read_timed(&zones, path, err);
    if (r < 0) {
        return r;
    }
    WEIR_CLEANUP(weir_freep) const struct weir_sim_spot_zone **z = weir_calloc(zones.n, sizeof *z);
    for (size_t i = 0; i < zones.n; i++) {
        z[i] = &zones.p[i];
    }
    qsort(z, zones.n, sizeof *z, by_name_and_time);
    int64_t begin_us = INT64_MAX;
    int64_t end_us = INT64_MIN;
    for (size_t i = 0; i < zones.n; i++) {
        int64_t z_end_us = begin_of(z[i]) + (int64_t)z[i]->n_bits * z[i]->gap_us;
        begin_us = begin_of(z[i]) < begin_us ? begin_of(z[i]) : begin_us;
        end_us = z_end_us > end_us ? z_end_us : end_us;
        if (i == 0 || !weir_streq(z[i - 1]->name, z[i]->name)) {
            weir_vec_push(ret, series_named(z[i]->name));
        }
        bool goes_on = i + 1 < zones.n && weir_streq(z[i + 1]->name, z[i]->name);
        add_ticks(&ret->p[ret->n - 1].steps, z[i], goes_on ? begin_of(z[i + 1]) : INT64_MAX);
    }
    ret->record = weir_sim_record_of(begin_us, end_us);
    return 0;
}
