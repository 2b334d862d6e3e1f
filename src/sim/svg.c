/* SPDX-License-Identifier: Apache-2.0 */

#include "svg.h"

#include <math.h>
#include <stdio.h>

#include "base/wtime.h"
#include "measure.h"

enum {
    WIDTH = 960, /* of a chart across the page, in units of its own; the page scales it */
    HALF = 460,
    BAR = 17,
    BAR_STEP = 25,
    LABEL_WIDTH = 176,
    CHAR_WIDTH = 7, /* about, of the charts' text */
    LABELS_MAX = 96,
    TIME_POINTS = 180,
};

void weir_html_text(struct weir_str *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        switch (*p) {
        case '&':
            weir_str_adds(out, "&amp;");
            break;
        case '<':
            weir_str_adds(out, "&lt;");
            break;
        case '>':
            weir_str_adds(out, "&gt;");
            break;
        case '"':
            weir_str_adds(out, "&quot;");
            break;
        case '\'':
            weir_str_adds(out, "&#39;");
            break;
        default:
            if ((unsigned char)*p >= 0x20 && *p != 0x7f) {
                weir_str_addc(out, *p);
            }
            break;
        }
    }
}

/* ---- pieces ---- */

static void open_svg(struct weir_str *out, const char *title, double width, double height)
{
    weir_str_addf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", width, height);
    weir_html_text(out, title);
    weir_str_adds(out, "\">\n");
}

/* anchor: "start", "middle", "end". */
static void text_at(struct weir_str *out, double x, double y, const char *anchor, const char *class_, const char *text)
{
    weir_str_addf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor, class_);
    weir_html_text(out, text);
    weir_str_adds(out, "</text>\n");
}

static void line_at(struct weir_str *out, double x1, double y1, double x2, double y2, const char *class_)
{
    weir_str_addf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, class_);
}

static void hint(struct weir_str *out, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        weir_str_adds(out, "<title>");
        weir_html_text(out, text);
        weir_str_adds(out, "</title>");
    }
}

/* Columns on screen. */
static size_t columns(const char *text)
{
    size_t n = 0;
    for (const char *p = text; *p != '\0'; p++) {
        n += ((unsigned char)*p & 0xc0) != 0x80;
    }
    return n;
}

struct weir_svg_axis weir_svg_axis(double low, double high, int steps, double px_from, double px_to)
{
    if (!(high > low)) {
        double around = fabs(low) > 0 ? fabs(low) / 10 : 1;
        low = low > 0 || low < 0 ? low - around : low;
        high = high + around;
    }
    double raw = (high - low) / steps;
    double unit = pow(10, floor(log10(raw)));
    double step = raw <= unit ? unit : raw <= 2 * unit ? 2 * unit : raw <= 5 * unit ? 5 * unit : 10 * unit;
    double places = -floor(log10(step) + 1e-9);
    return (struct weir_svg_axis){
        .from = floor(low / step + 1e-9) * step,
        .to = ceil(high / step - 1e-9) * step,
        .step = step,
        .places = places > 0 ? (int)fmin(places, 9) : 0,
        .px_from = px_from,
        .px_to = px_to,
    };
}

static double place_of(const struct weir_svg_axis *a, double v)
{
    return a->px_from + (v - a->from) / (a->to - a->from) * (a->px_to - a->px_from);
}

static size_t ticks_of(const struct weir_svg_axis *a)
{
    return (size_t)llround((a->to - a->from) / a->step) + 1;
}

static double tick_at(const struct weir_svg_axis *a, size_t i)
{
    double v = a->from + a->step * (double)i;
    return fabs(v) < a->step * 1e-9 ? 0 : v;
}

static void y_axis(struct weir_str *out, const struct weir_svg_axis *y, double left, double right, const char *label)
{
    for (size_t i = 0; i < ticks_of(y); i++) {
        char text[64];
        double at = place_of(y, tick_at(y, i));
        weir_sim_figure_text(text, sizeof text, tick_at(y, i), y->places);
        line_at(out, left, at, right, at, i == 0 ? "ax" : "gr");
        text_at(out, left - 7, at + 4, "end", "tk", text);
    }
    if (label[0] != '\0') {
        text_at(out, 0, 13, "start", "al", label);
    }
}

static void x_axis(struct weir_str *out, const struct weir_svg_axis *x, double top, double bottom, const char *label)
{
    for (size_t i = 0; i < ticks_of(x); i++) {
        char text[64];
        double at = place_of(x, tick_at(x, i));
        weir_sim_figure_text(text, sizeof text, tick_at(x, i), x->places);
        line_at(out, at, top, at, bottom, i == 0 ? "ax" : "gr");
        text_at(out, at, bottom + 17, "middle", "tk", text);
    }
    text_at(out, (x->px_from + x->px_to) / 2, bottom + 37, "middle", "al", label);
}

/* ---- bars ---- */

void weir_svg_bars(struct weir_str *out, const char *title, const char *unit, const struct weir_svg_bar *bar, size_t n)
{
    double most = 0;
    double least = 0;
    size_t label_columns = 0;
    size_t text_columns = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, bar[i].v);
        least = fmin(least, bar[i].v);
        size_t c = columns(bar[i].label);
        label_columns = c > label_columns ? c : label_columns;
        c = columns(bar[i].text);
        text_columns = c > text_columns ? c : text_columns;
    }
    double left = fmin(fmax((double)label_columns * CHAR_WIDTH + 12, 60), LABEL_WIDTH + 40);
    double span = HALF - left - fmax((double)text_columns * CHAR_WIDTH + 10, 60);
    double scale = most - least > 0 ? span / (most - least) : 0;
    double zero = left - least * scale;
    double height = 26 + (double)n * BAR_STEP;
    open_svg(out, title, HALF, height);
    text_at(out, 0, 13, "start", "al", unit);
    for (size_t i = 0; i < n; i++) {
        double y = 24 + (double)i * BAR_STEP;
        double width = fabs(bar[i].v) * scale;
        double x = bar[i].v < 0 ? zero - width : zero;
        text_at(out, left - 8, y + 13, "end", bar[i].style <= 1 ? "lb own" : "lb", bar[i].label);
        weir_str_addf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" class=\"b%u\">", x, y, fmax(width, 0.8), BAR,
                      bar[i].style);
        hint(out, bar[i].hint);
        weir_str_adds(out, "</rect>\n");
        text_at(out, zero + fmax(bar[i].v, 0) * scale + 6, y + 13, "start", bar[i].style <= 1 ? "vl own" : "vl", bar[i].text);
    }
    line_at(out, zero, 20, zero, height - 4, "ax");
    weir_str_adds(out, "</svg>\n");
}

/* ---- points ---- */

/* Marks differ by shape as well as by colour. */
static void mark(struct weir_str *out, unsigned style, double x, double y, const char *text)
{
    switch (style) {
    case 0:
        weir_str_addf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.6\" class=\"m0\">", x, y);
        hint(out, text);
        weir_str_adds(out, "</circle>\n");
        return;
    case 1:
        weir_str_addf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.2\" class=\"m1\">", x, y);
        hint(out, text);
        weir_str_adds(out, "</circle>\n");
        return;
    case 2:
        weir_str_addf(out, "<path d=\"M%.1f %.1fl6 6-6 6-6-6z\" class=\"m2\">", x, y - 6);
        break;
    case 3:
        weir_str_addf(out, "<path d=\"M%.1f %.1fh10v10h-10z\" class=\"m3\">", x - 5, y - 5);
        break;
    case 4:
        weir_str_addf(out, "<path d=\"M%.1f %.1fl6 11h-12z\" class=\"m4\">", x, y - 6.5);
        break;
    case 5:
        weir_str_addf(out, "<path d=\"M%.1f %.1fl6-11h-12z\" class=\"m5\">", x, y + 6.5);
        break;
    case 6:
        weir_str_addf(out, "<path d=\"M%.1f %.1fl10 10m0-10l-10 10\" class=\"m6\">", x - 5, y - 5);
        break;
    default:
        weir_str_addf(out, "<path d=\"M%.1f %.1fv12m-6-6h12\" class=\"m%u\">", x, y - 6, style);
        break;
    }
    hint(out, text);
    weir_str_adds(out, "</path>\n");
}

struct box {
    double x1, y1, x2, y2;
};

/* What is taken already, so that labels do not lie on marks or on each other. */
struct taken {
    struct box box[LABELS_MAX];
    size_t n;
};

static void take(struct taken *t, struct box b)
{
    if (t->n < LABELS_MAX) {
        t->box[t->n++] = b;
    }
}

static bool is_free(const struct taken *t, struct box b, struct box within)
{
    bool ok = b.x1 >= within.x1 && b.x2 <= within.x2 && b.y1 >= within.y1 && b.y2 <= within.y2;
    for (size_t i = 0; i < t->n && ok; i++) {
        const struct box *o = &t->box[i];
        ok = b.x2 <= o->x1 || b.x1 >= o->x2 || b.y2 <= o->y1 || b.y1 >= o->y2;
    }
    return ok;
}

/* Beside the mark where there is room, to its right first, then farther off with a line to it; left out where there is none (the hint
 * still says it). */
static void label_point(struct weir_str *out, struct taken *t, double x, double y, const char *label, unsigned style, struct box within)
{
    static const struct {
        double dx, dy;
        const char *anchor;
    } side[] = {{10, 4, "start"}, {0, -11, "middle"}, {8, -9, "start"}, {-8, -9, "end"}, {0, 20, "middle"}, {8, 17, "start"},
                {-8, 17, "end"}, {-10, 4, "end"}, {26, -24, "start"}, {26, 32, "start"}, {-26, -24, "end"}, {-26, 32, "end"},
                {44, -40, "start"}, {44, 46, "start"}, {-44, -40, "end"}};
    enum { NEAR = 8 };
    double width = (double)columns(label) * (CHAR_WIDTH - 0.4) + 2;
    for (size_t i = 0; i < sizeof side / sizeof *side; i++) {
        double left = x + side[i].dx - (side[i].anchor[0] == 'e' ? width : side[i].anchor[0] == 'm' ? width / 2 : 0);
        struct box b = {left, y + side[i].dy - 10, left + width, y + side[i].dy + 3};
        if (is_free(t, b, within)) {
            char class_[16];
            snprintf(class_, sizeof class_, "pl t%u", style);
            if (i >= NEAR) {
                double to_x = x + side[i].dx - (side[i].dx > 0 ? 3 : -3);
                line_at(out, x, y, to_x, y + side[i].dy - (side[i].dy > 0 ? 9 : -2), "ld");
            }
            text_at(out, x + side[i].dx, y + side[i].dy, side[i].anchor, class_, label);
            take(t, b);
            return;
        }
    }
}

static void join(struct weir_str *out, const struct weir_svg_series *s, const struct weir_svg_axis *x, const struct weir_svg_axis *y)
{
    weir_str_addf(out, "<path class=\"l%u\" d=\"", s->style);
    for (size_t i = 0; i < s->n; i++) {
        weir_str_addf(out, "%s%.1f %.1f", i == 0 ? "M" : "L", place_of(x, s->point[i].x), place_of(y, s->point[i].y));
    }
    weir_str_adds(out, "\"/>\n");
}

void weir_svg_points(struct weir_str *out, const char *title, const char *x_label, const char *y_label,
                     const struct weir_svg_series *series, size_t n, bool wide)
{
    enum { HEIGHT = 360, LEFT = 74, RIGHT = 14, TOP = 30, BOTTOM = 46 };
    const int width = wide ? WIDTH : HALF;
    double low_x = INFINITY;
    double high_x = -INFINITY;
    double low_y = INFINITY;
    double high_y = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < series[i].n; k++) {
            const struct weir_svg_point *p = &series[i].point[k];
            low_x = fmin(low_x, p->x);
            high_x = fmax(high_x, p->x);
            low_y = fmin(low_y, p->y);
            high_y = fmax(high_y, p->y);
        }
    }
    /* Zero is shown where it is near. */
    low_y = low_y > 0 && low_y < high_y * 0.5 ? 0 : low_y;
    low_x = low_x > 0 && low_x < high_x * 0.3 ? 0 : low_x;
    struct weir_svg_axis x = weir_svg_axis(low_x, high_x, 5, LEFT, width - RIGHT);
    struct weir_svg_axis y = weir_svg_axis(low_y, high_y, 5, HEIGHT - BOTTOM, TOP);
    struct box within = {LEFT + 3, TOP + 2, width, HEIGHT - BOTTOM - 2}; /* not on the axes' lines */
    struct taken taken = {0};
    open_svg(out, title, width, HEIGHT);
    y_axis(out, &y, LEFT, width - RIGHT, y_label);
    x_axis(out, &x, TOP, HEIGHT - BOTTOM, x_label);
    text_at(out, width, 13, "end", "dm", "better: down and left");
    for (size_t i = n; i-- > 0;) {
        if (series[i].joined && series[i].n > 1) {
            join(out, &series[i], &x, &y);
        }
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = 0; k < series[i].n; k++) {
            double px = place_of(&x, series[i].point[k].x);
            double py = place_of(&y, series[i].point[k].y);
            mark(out, series[i].style, px, py, series[i].point[k].hint);
            take(&taken, (struct box){px - 5, py - 5, px + 5, py + 5});
        }
    }
    /* Lines first: theirs say more than those of single marks. */
    for (size_t i = 0; i < 2 * n; i++) {
        const struct weir_svg_series *s = &series[i % n];
        for (size_t k = 0; s->joined == (i < n) && k < s->n; k++) {
            const struct weir_svg_point *p = &s->point[k];
            if (p->label[0] != '\0') {
                label_point(out, &taken, place_of(&x, p->x), place_of(&y, p->y), p->label, s->style, within);
            }
        }
    }
    weir_str_adds(out, "</svg>\n");
}

/* ---- time ---- */

static void time_axis(struct weir_str *out, double begin_s, double length_s, double left, double right, double bottom)
{
    static const double steps_s[] = {3600,      2 * 3600,  6 * 3600,   12 * 3600,  86400,      2 * 86400,
                                     7 * 86400, 14 * 86400, 28 * 86400, 91 * 86400, 182 * 86400, 364 * 86400};
    size_t k = 0;
    while (k + 1 < sizeof steps_s / sizeof *steps_s && length_s / steps_s[k] > 8) {
        k++;
    }
    double step = steps_s[k];
    for (double at = ceil(begin_s / step) * step; at <= begin_s + length_s; at += step) {
        double x = left + (at - begin_s) / length_s * (right - left);
        struct weir_date d = weir_wall_to_date((struct weir_wall){(int64_t)at * WEIR_US_PER_S});
        char text[32];
        if (step < 86400) {
            snprintf(text, sizeof text, "%02d-%02d %02d:00", d.month, d.day, d.hour);
        } else {
            snprintf(text, sizeof text, "%04d-%02d-%02d", d.year, d.month, d.day);
        }
        line_at(out, x, bottom, x, bottom + 5, "ax");
        text_at(out, x, bottom + 18, "middle", "tk", text);
    }
}

/* Means of so many neighbours each; the return is how many. */
static size_t thinned(const double *v, size_t n, size_t each, double *ret)
{
    size_t points = 0;
    for (size_t i = 0; i < n; i += each, points++) {
        size_t end = i + each < n ? i + each : n;
        ret[points] = 0;
        for (size_t k = i; k < end; k++) {
            ret[points] += v[k] / (double)(end - i);
        }
    }
    return points;
}

static void legend(struct weir_str *out, double y, const char *const *name, const unsigned *style, size_t n, const char *kind)
{
    double x = 0;
    for (size_t i = 0; i < n; i++) {
        double width = (double)columns(name[i]) * CHAR_WIDTH + 34;
        if (x > 0 && x + width > WIDTH) {
            x = 0;
            y += 18;
        }
        weir_str_addf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"%d\" class=\"%s%u\"/>\n", x, kind[0] == 'k' ? y - 6 : y - 10,
                      kind[0] == 'k' ? 3 : 11, kind, style[i]);
        text_at(out, x + 19, y, "start", "lb", name[i]);
        x += width;
    }
}

/* Lines that the legend takes. */
static double legend_height(const char *const *name, size_t n)
{
    double x = 0;
    double height = 18;
    for (size_t i = 0; i < n; i++) {
        double width = (double)columns(name[i]) * CHAR_WIDTH + 34;
        if (x > 0 && x + width > WIDTH) {
            x = 0;
            height += 18;
        }
        x += width;
    }
    return height;
}

void weir_svg_lines(struct weir_str *out, const char *title, double begin_s, double step_s, const struct weir_svg_line *line, size_t n)
{
    enum { LEFT = 66, RIGHT = 30, PLOT = 180, LINES_MAX = 8 };
    const char *name[LINES_MAX];
    unsigned style[LINES_MAX];
    double v[TIME_POINTS];
    double most = 0;
    size_t longest = 1;
    n = n > LINES_MAX ? LINES_MAX : n;
    for (size_t i = 0; i < n; i++) {
        name[i] = line[i].name;
        style[i] = line[i].style;
        longest = line[i].n > longest ? line[i].n : longest;
    }
    const size_t each = (longest + TIME_POINTS - 1) / TIME_POINTS;
    for (size_t i = 0; i < n; i++) {
        size_t points = thinned(line[i].v, line[i].n, each, v);
        for (size_t k = 0; k < points; k++) {
            most = fmax(most, v[k]);
        }
    }
    double top = 12 + legend_height(name, n);
    double bottom = top + PLOT;
    struct weir_svg_axis y = weir_svg_axis(0, most, 4, bottom, top);
    open_svg(out, title, WIDTH, bottom + 26);
    y_axis(out, &y, LEFT, WIDTH - RIGHT, "");
    legend(out, 14, name, style, n, "k");
    time_axis(out, begin_s, step_s * (double)longest, LEFT, WIDTH - RIGHT, bottom);
    for (size_t i = n; i-- > 0;) {
        size_t points = thinned(line[i].v, line[i].n, each, v);
        weir_str_addf(out, "<path class=\"l%u\" d=\"", line[i].style);
        for (size_t k = 0; k < points; k++) {
            double middle = ((double)k + 0.5) * (double)each / (double)longest;
            weir_str_addf(out, "%s%.1f %.1f", k == 0 ? "M" : "L", LEFT + fmin(middle, 1) * (WIDTH - RIGHT - LEFT), place_of(&y, v[k]));
        }
        weir_str_adds(out, "\"/>\n");
    }
    weir_str_adds(out, "</svg>\n");
}

/* ---- stacks ---- */

void weir_svg_stacks(struct weir_str *out, const char *title, const char *unit, const char *const *part, size_t n_parts,
                     const struct weir_svg_stack *stack, size_t n)
{
    enum { RIGHT_MIN = 110, PARTS_MAX = 8 };
    unsigned style[PARTS_MAX] = {0};
    double most = 0;
    double left = LABEL_WIDTH;
    double right = RIGHT_MIN;
    n_parts = n_parts > PARTS_MAX ? PARTS_MAX : n_parts;
    for (size_t k = 0; k < n_parts; k++) {
        style[k] = (unsigned)k;
    }
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t k = 0; k < n_parts; k++) {
            sum += fmax(stack[i].v[k], 0);
        }
        most = fmax(most, sum);
        left = fmax(left, fmin((double)columns(stack[i].label) * CHAR_WIDTH + 12, WIDTH / 2.0));
        right = fmax(right, (double)columns(stack[i].text) * CHAR_WIDTH + 12);
    }
    double top = 26 + legend_height(part, n_parts);
    double height = top + (double)n * BAR_STEP;
    open_svg(out, title, WIDTH, height);
    text_at(out, 0, 13, "start", "al", unit);
    legend(out, 34, part, style, n_parts, "c");
    for (size_t i = 0; i < n; i++) {
        double y = top + (double)i * BAR_STEP;
        double x = left;
        text_at(out, left - 8, y + 13, "end", "lb", stack[i].label);
        for (size_t k = 0; k < n_parts; k++) {
            double width = most > 0 ? fmax(stack[i].v[k], 0) / most * (WIDTH - left - right) : 0;
            if (width > 0.05) {
                char figure[64];
                weir_sim_figure_text(figure, sizeof figure, stack[i].v[k], 2);
                weir_str_addf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" class=\"c%u\"><title>", x, y, width, BAR,
                              style[k]);
                weir_html_text(out, part[k]);
                weir_str_addf(out, ": %s</title></rect>\n", figure);
            }
            x += width;
        }
        text_at(out, x + 6, y + 13, "start", "vl", stack[i].text);
    }
    line_at(out, left, top - 4, left, height - 4, "ax");
    weir_str_adds(out, "</svg>\n");
}
