/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How a run of the simulator went over time, and its sums by name: what a report draws. Lines share one axis of
 * at most WEIR_SIM_POINTS_MAX points of equal width, and each point is the mean over its width (of a level) or the sum in it
 * (of a flow). A run's length is not known before its end: where points run out, neighbours are joined.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"

enum {
    WEIR_SIM_POINTS_MAX = 512,
    WEIR_SIM_LINES_MAX = 12,
    WEIR_SIM_BREAKDOWNS_MAX = 4,
    WEIR_SIM_PARTS_MAX = 32, /* of a breakdown, the rest being joined as "others" */
    WEIR_SIM_PART_SIZE = 256,
};

struct weir_sim_line {
    const char *name; /* static, with its unit: "queue_gpus", "cloud_cost_per_hour" */
    double v[WEIR_SIM_POINTS_MAX];
};

struct weir_sim_part {
    char name[WEIR_SIM_PART_SIZE];
    double v;
};

/* Sums by name, the largest first: "cost_by_pool", "cost_by_project". */
struct weir_sim_breakdown {
    const char *name; /* static */
    size_t n;
    struct weir_sim_part part[WEIR_SIM_PARTS_MAX];
};

struct weir_sim_series {
    double begin_s; /* Unix time of the first point's begin */
    double step_s;  /* width of a point */
    size_t n;       /* points */
    size_t n_lines;
    struct weir_sim_line line[WEIR_SIM_LINES_MAX];
    size_t n_breakdowns;
    struct weir_sim_breakdown breakdown[WEIR_SIM_BREAKDOWNS_MAX];
};

/* NULL where there is none of that name. */
const struct weir_sim_line *weir_sim_series_line(const struct weir_sim_series *s, const char *name);
const struct weir_sim_breakdown *weir_sim_series_breakdown(const struct weir_sim_series *s, const char *name);
/* {"begin_s": .., "step_s": .., "lines": {"name": [..]}, "breakdowns": {"name": {"part": ..}}} */
void weir_sim_series_json(const struct weir_sim_series *s, struct weir_json *j);

/* ---- for the run: fills one in ---- */

/* The first point begins at begin_us; points are a minute wide at first. The caller frees with free(). Never NULL. */
struct weir_sim_series *weir_sim_series_new(int64_t begin_us);
/* A new line of zeros; its number. name is static. */
size_t weir_sim_series_add_line(struct weir_sim_series *s, const char *name);
/* amount is spread evenly over from..to, and where that is one instant, put into its point. Times before the begin count there. */
void weir_sim_series_spread(struct weir_sim_series *s, size_t line, int64_t from_us, int64_t to_us, double amount);
/* Adds to a part of a breakdown, making both where they are not there. Kept exact for the first WEIR_SIM_PARTS_MAX - 1 names. */
void weir_sim_series_sum(struct weir_sim_series *s, const char *breakdown, const char *part, double amount);
/* Divides the line's points by their width in the given unit: what was spread as level x time becomes the mean level. */
void weir_sim_series_per(struct weir_sim_series *s, size_t line, double unit_s);
/* Puts parts in order: the largest first, equal ones by name, "others" last. */
void weir_sim_series_finish(struct weir_sim_series *s);
