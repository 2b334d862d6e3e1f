/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Charts as inline SVG, for a page that has the styles (report_style.c): bars, points on two axes, lines over time, stacked
 * bars. Pure: text in, text out; the same input gives the same bytes. Texts are escaped here. Colours are classes, so that the
 * page and its print rules decide them; whatever a colour tells is told by a shape or a label too.
 */

#include "base/str.h"

/* Adds text with &, <, >, " and ' escaped and control characters left out: safe between tags and in a quoted attribute. */
void weir_html_text(struct weir_str *out, const char *text);

enum {
    WEIR_SVG_STYLES = 9, /* of series: s0 is weir's own, s1 its second, s2.. others, the last a bound */
    WEIR_SVG_BOUND = WEIR_SVG_STYLES - 1,
    WEIR_SVG_LABEL_SIZE = 96,
};

/* An axis: from a value to a place, with round steps. */
struct weir_svg_axis {
    double from;
    double to;
    double step;
    int places; /* decimals that its labels need */
    double px_from;
    double px_to;
};

/* An axis that holds low..high, in about so many round steps. */
struct weir_svg_axis weir_svg_axis(double low, double high, int steps, double px_from, double px_to);

struct weir_svg_bar {
    const char *label;
    double v;
    const char *text; /* at the bar's end */
    const char *hint; /* when pointed at */
    unsigned style;
};

/* Bars from zero, one below the other, in the order given. unit may be "". */
void weir_svg_bars(struct weir_str *out, const char *title, const char *unit, const struct weir_svg_bar *bar, size_t n);

struct weir_svg_point {
    double x;
    double y;
    char label[WEIR_SVG_LABEL_SIZE]; /* beside it; "": none */
    char hint[320];
};

struct weir_svg_series {
    const char *name;
    unsigned style;
    bool joined; /* by a line, in the order given */
    const struct weir_svg_point *point;
    size_t n;
};

/* Points of several series; less is better on both axes. Wide: across the page, else across half of it. */
void weir_svg_points(struct weir_str *out, const char *title, const char *x_label, const char *y_label,
                     const struct weir_svg_series *series, size_t n, bool wide);

struct weir_svg_line {
    const char *name;
    unsigned style;
    const double *v;
    size_t n; /* points; a line may end before others */
};

/* Lines over time, from 0 on: points of step_s seconds each from begin_s (Unix time) on, across the page. */
void weir_svg_lines(struct weir_str *out, const char *title, double begin_s, double step_s, const struct weir_svg_line *line, size_t n);

struct weir_svg_stack {
    const char *label;
    const double *v; /* one a part; below zero counts as zero */
    const char *text; /* at the end */
};

/* Stacked bars with a legend of the parts' names. */
void weir_svg_stacks(struct weir_str *out, const char *title, const char *unit, const char *const *part, size_t n_parts,
                     const struct weir_svg_stack *stack, size_t n);
