/* SPDX-License-Identifier: Apache-2.0 */

#include "series.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "result.h"

#define OTHERS "others"

enum { STEP_S = 60 };

const struct weir_sim_line *weir_sim_series_line(const struct weir_sim_series *s, const char *name)
{
    for (size_t i = 0; i < s->n_lines; i++) {
        if (weir_streq(s->line[i].name, name)) {
            return &s->line[i];
        }
    }
    return NULL;
}

const struct weir_sim_breakdown *weir_sim_series_breakdown(const struct weir_sim_series *s, const char *name)
{
    for (size_t i = 0; i < s->n_breakdowns; i++) {
        if (weir_streq(s->breakdown[i].name, name)) {
            return &s->breakdown[i];
        }
    }
    return NULL;
}

static void write_real(struct weir_json *j, double v)
{
    char number[40];
    weir_sim_real_text(number, sizeof number, v);
    weir_json_raw(j, weir_sv_of(number));
}

void weir_sim_series_json(const struct weir_sim_series *s, struct weir_json *j)
{
    weir_json_object(j);
    weir_json_key(j, "begin_s");
    write_real(j, s->begin_s);
    weir_json_key(j, "step_s");
    write_real(j, s->step_s);
    weir_json_key(j, "lines");
    weir_json_object(j);
    for (size_t i = 0; i < s->n_lines; i++) {
        weir_json_key(j, s->line[i].name);
        weir_json_array(j);
        for (size_t k = 0; k < s->n; k++) {
            write_real(j, s->line[i].v[k]);
        }
        weir_json_end(j);
    }
    weir_json_end(j);
    weir_json_key(j, "breakdowns");
    weir_json_object(j);
    for (size_t i = 0; i < s->n_breakdowns; i++) {
        const struct weir_sim_breakdown *b = &s->breakdown[i];
        weir_json_key(j, b->name);
        weir_json_object(j);
        for (size_t k = 0; k < b->n; k++) {
            weir_json_key(j, b->part[k].name);
            write_real(j, b->part[k].v);
        }
        weir_json_end(j);
    }
    weir_json_end(j);
    weir_json_end(j);
}

struct weir_sim_series *weir_sim_series_new(int64_t begin_us)
{
    struct weir_sim_series *s = weir_alloc(sizeof *s);
    s->begin_s = (double)begin_us / 1e6;
    s->step_s = STEP_S;
    return s;
}

size_t weir_sim_series_add_line(struct weir_sim_series *s, const char *name)
{
    WEIR_ASSERT(s->n_lines < WEIR_SIM_LINES_MAX);
    s->line[s->n_lines].name = name;
    return s->n_lines++;
}

/* Joins neighbours until the time lies within. */
static void reach(struct weir_sim_series *s, double at_s)
{
    while (at_s > s->step_s * WEIR_SIM_POINTS_MAX) {
        for (size_t i = 0; i < s->n_lines; i++) {
            double *v = s->line[i].v;
            for (size_t k = 0; k < WEIR_SIM_POINTS_MAX / 2; k++) {
                v[k] = v[2 * k] + v[2 * k + 1];
            }
            memset(v + WEIR_SIM_POINTS_MAX / 2, 0, WEIR_SIM_POINTS_MAX / 2 * sizeof *v);
        }
        s->n = (s->n + 1) / 2;
        s->step_s *= 2;
    }
}

/* The point in which the second since the begin lies; the end of the axis is of the last. */
static size_t point_of(const struct weir_sim_series *s, double at_s)
{
    size_t k = (size_t)(at_s / s->step_s);
    return k < WEIR_SIM_POINTS_MAX ? k : WEIR_SIM_POINTS_MAX - 1;
}

void weir_sim_series_spread(struct weir_sim_series *s, size_t line, int64_t from_us, int64_t to_us, double amount)
{
    double from = (double)from_us / 1e6 - s->begin_s;
    double to = (double)to_us / 1e6 - s->begin_s;
    from = from > 0 ? from : 0;
    to = to > from ? to : from;
    reach(s, to);
    size_t first = point_of(s, from);
    size_t last = point_of(s, to);
    double *v = s->line[line].v;
    if (first == last) {
        v[first] += amount;
    } else {
        double rate = amount / (to - from);
        v[first] += rate * ((double)(first + 1) * s->step_s - from);
        for (size_t k = first + 1; k < last; k++) {
            v[k] += rate * s->step_s;
        }
        v[last] += rate * (to - (double)last * s->step_s);
    }
    s->n = last + 1 > s->n ? last + 1 : s->n;
}

static struct weir_sim_breakdown *breakdown_of(struct weir_sim_series *s, const char *name)
{
    for (size_t i = 0; i < s->n_breakdowns; i++) {
        if (weir_streq(s->breakdown[i].name, name)) {
            return &s->breakdown[i];
        }
    }
    WEIR_ASSERT(s->n_breakdowns < WEIR_SIM_BREAKDOWNS_MAX);
    s->breakdown[s->n_breakdowns].name = name;
    return &s->breakdown[s->n_breakdowns++];
}

void weir_sim_series_sum(struct weir_sim_series *s, const char *breakdown, const char *part, double amount)
{
    struct weir_sim_breakdown *b = breakdown_of(s, breakdown);
    size_t i = 0;
    while (i < b->n && i < WEIR_SIM_PARTS_MAX - 1 && strncmp(b->part[i].name, part, WEIR_SIM_PART_SIZE - 1) != 0) {
        i++;
    }
    if (i == b->n) {
        b->n++;
        snprintf(b->part[i].name, sizeof b->part[i].name, "%s", i == WEIR_SIM_PARTS_MAX - 1 ? OTHERS : part);
    }
    b->part[i].v += amount;
}

void weir_sim_series_per(struct weir_sim_series *s, size_t line, double unit_s)
{
    for (size_t k = 0; k < s->n; k++) {
        s->line[line].v[k] /= s->step_s / unit_s;
    }
}

static int by_size(const void *va, const void *vb)
{
    const struct weir_sim_part *a = va;
    const struct weir_sim_part *b = vb;
    if (weir_streq(a->name, OTHERS) != weir_streq(b->name, OTHERS)) {
        return weir_streq(a->name, OTHERS) ? 1 : -1;
    }
    if (a->v > b->v || a->v < b->v) {
        return a->v > b->v ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

void weir_sim_series_finish(struct weir_sim_series *s)
{
    for (size_t i = 0; i < s->n_breakdowns; i++) {
        qsort(s->breakdown[i].part, s->breakdown[i].n, sizeof *s->breakdown[i].part, by_size);
    }
}
