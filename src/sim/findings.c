/* SPDX-License-Identifier: Apache-2.0 */

#include "findings.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "measure.h"
#include "params.h"
#include "tune.h"

enum { POINTS_MAX = WEIR_SIM_SWEEP_RUNS_MAX };

#define NBSP "\xc2\xa0"
#define MINUS "\xe2\x88\x92"

/* ---- words ---- */

void weir_sim_label(const char *name, char *ret, size_t size)
{
    struct weir_sim_measure m = weir_sim_measure_of(name);
    snprintf(ret, size, "%s", m.label != NULL ? m.label : m.metric);
    for (char *c = ret; *c != '\0' && m.label == NULL; c++) {
        *c = *c == '_' ? ' ' : c == ret ? (char)toupper((unsigned char)*c) : *c;
    }
}

/* As within a sentence: abbreviations stay. */
static void lowered(char *text)
{
    if (text[0] != '\0' && islower((unsigned char)text[1])) {
        text[0] = (char)tolower((unsigned char)text[0]);
    }
}

static void add_field_words(struct weir_str *out, const struct weir_sim_result *r, const struct weir_sim_field *f)
{
    char label[80];
    char value[64];
    const char *unit = weir_sim_unit_of(r, f->name);
    if (f->kind == WEIR_SIM_TEXT && strncmp(f->u.text, f->name, strlen(f->name)) == 0) {
        weir_str_addf(out, "%s%s", out->n > 0 ? ", " : "", f->u.text); /* "trace1" says "trace" already */
        return;
    }
    weir_sim_label(f->name, label, sizeof label);
    if (out->n > 0) {
        lowered(label);
    }
    if (f->kind == WEIR_SIM_TEXT) {
        snprintf(value, sizeof value, "%s", f->u.text);
    } else if (f->kind == WEIR_SIM_COUNT) {
        weir_sim_figure_text(value, sizeof value, (double)f->u.count, 0);
    } else {
        weir_sim_real_text(value, sizeof value, f->u.real);
    }
    if (weir_streq(f->name, "nodes") && f->kind == WEIR_SIM_COUNT) { /* as people say it */
        weir_str_addf(out, "%s%s" NBSP "%s", out->n > 0 ? ", " : "", value, f->u.count == 1 ? "node" : "nodes");
        return;
    }
    weir_str_addf(out, "%s%s" NBSP "%s%s%s", out->n > 0 ? ", " : "", label, value, unit[0] == '\0' ? "" : NBSP, unit);
}

/* A parameter of the world that is the same in all rows tells none of them from another; it stands among the assumptions. That there are no
 * budgets is as usual. */
static bool says_nothing(const struct weir_sim_result *r, const struct weir_sim_field *f)
{
    if (weir_streq(f->name, "budgets") && weir_streq(f->u.text, "none")) {
        return true;
    }
    bool same = weir_sim_param_find(r->suite, weir_sv_of(f->name)) != NULL && !weir_sim_is_choice(r->suite, f->name);
    for (size_t i = 0; i < r->n_rows && same; i++) {
        const struct weir_sim_field *other = weir_sim_row_field(&r->row[i], f->name);
        same = other != NULL && !other->metric && weir_sim_same_value(f, other);
    }
    return same;
}

static void fields_words(const struct weir_sim_result *r, const struct weir_sim_row *row, bool params, char *ret, size_t size)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(512);
    for (size_t i = 0; i < row->n_fields; i++) {
        const struct weir_sim_field *f = &row->field[i];
        if (!f->metric && weir_sim_is_choice(r->suite, f->name) == params && !says_nothing(r, f)) {
            add_field_words(&out, r, f);
        }
    }
    snprintf(ret, size, "%s", weir_str_cstr(&out));
    if (params) {
        lowered(ret);
    }
}

void weir_sim_case_words(const struct weir_sim_result *r, const struct weir_sim_row *row, char *ret, size_t size)
{
    fields_words(r, row, false, ret, size);
}

void weir_sim_setting_words(const struct weir_sim_result *r, const struct weir_sim_row *row, char *ret, size_t size)
{
    fields_words(r, row, true, ret, size);
}

/* Four digits. */
static void figure(char *ret, size_t size, double v)
{
    double a = fabs(v);
    weir_sim_figure_text(ret, size, v, a >= 1000 ? 0 : a >= 100 ? 1 : a >= 10 ? 2 : 3);
}

static void signed_percent(char *ret, size_t size, double share)
{
    char digits[32];
    weir_sim_figure_text(digits, sizeof digits, fabs(share) * 100, 1);
    bool zero = strspn(digits, "0.") == strlen(digits);
    snprintf(ret, size, "%s%s" NBSP "%%", zero ? "" : share < 0 ? MINUS : "+", digits);
}

/* ---- fronts ---- */

struct point {
    double x;
    double y;
};

static int by_x(const void *va, const void *vb)
{
    const struct point *a = va;
    const struct point *b = vb;
    if (a->x < b->x || b->x < a->x) {
        return a->x < b->x ? -1 : 1;
    }
    return a->y < b->y ? -1 : a->y > b->y;
}

/* y at x of the line through the best of the points, those that no other beats on both axes; false beyond its ends. */
static bool read_off(struct point *p, size_t n, double x, double *ret)
{
    qsort(p, n, sizeof *p, by_x);
    size_t kept = 0;
    const double end = n == 0 ? 0 : p[n - 1].x;
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || p[i].y < p[kept - 1].y) {
            p[kept++] = p[i];
        }
    }
    n = kept;
    for (size_t i = 1; i < n; i++) {
        if (p[i - 1].x <= x && x <= p[i].x && p[i].x > p[i - 1].x) {
            *ret = p[i - 1].y + (p[i].y - p[i - 1].y) * (x - p[i - 1].x) / (p[i].x - p[i - 1].x);
            return true;
        }
    }
    bool flat = n > 0 && x > p[n - 1].x && x <= end; /* more of x brings nothing there */
    *ret = flat ? p[n - 1].y : *ret;
    return flat;
}

/* The rows of a policy in the case of a row, as points. */
static size_t points_of(const struct weir_sim_result *r, const struct weir_sim_row *of, const char *policy, const char *x, const char *y,
                        struct point *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_rows && n < POINTS_MAX; i++) {
        const struct weir_sim_row *row = &r->row[i];
        if (weir_streq(row->policy, policy) && weir_sim_row_ranks(row) && weir_sim_row_real(row, x, &ret[n].x) &&
            weir_sim_row_real(row, y, &ret[n].y) && weir_sim_same_case(r->suite, of, row)) {
            n++;
        }
    }
    return n;
}

/* The rows of a policy that may stand for it in a case: those that rank and have a cost. */
struct candidates {
    size_t n;
    double least_cost, most_cost;
    double least_wait, most_wait;
};

static bool is_candidate(const struct weir_sim_result *r, const struct weir_sim_goal *g, const struct weir_sim_row *of, const char *policy,
                         const struct weir_sim_row *row, double *cost, double *wait)
{
    *wait = 0;
    (void)(g->wait != NULL && weir_sim_row_real(row, g->wait, wait));
    return weir_streq(row->policy, policy) && weir_sim_row_ranks(row) && weir_sim_row_real(row, g->cost, cost) &&
           weir_sim_same_case(r->suite, of, row);
}

/* How far a point lies from the corner of least cost and least waiting, in widths of what the candidates span. */
static double off_corner(const struct candidates *c, double cost, double wait)
{
    double by_cost = c->most_cost > c->least_cost ? (cost - c->least_cost) / (c->most_cost - c->least_cost) : 0;
    double by_wait = c->most_wait > c->least_wait ? (wait - c->least_wait) / (c->most_wait - c->least_wait) : 0;
    return by_cost + by_wait;
}

/* How long people wait under the policy to be measured against; negative where it has no row that ranks. */
static double rivals_wait(const struct weir_sim_result *r, const struct weir_sim_goal *g, const struct weir_sim_row *of, const char *policy)
{
    const char *rival = weir_streq(policy, "weir") ? g->rival : g->blind;
    double cost = 0;
    double wait = 0;
    for (size_t i = 0; i < r->n_rows && rival != NULL; i++) {
        if (is_candidate(r, g, of, rival, &r->row[i], &cost, &wait)) {
            return wait;
        }
    }
    return -1;
}

const struct weir_sim_row *weir_sim_row_meant(const struct weir_sim_result *r, const struct weir_sim_row *of, const char *policy)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(r->suite);
    struct candidates c = {0, INFINITY, -INFINITY, INFINITY, -INFINITY};
    const struct weir_sim_row *best = NULL;
    double best_by = INFINITY;
    double cost = 0;
    double wait = 0;
    for (size_t i = 0; i < r->n_rows && g != NULL; i++) {
        if (is_candidate(r, g, of, policy, &r->row[i], &cost, &wait)) {
            const struct weir_sim_field *chosen = weir_sim_row_field(&r->row[i], "chosen");
            if (chosen != NULL && chosen->u.yes) {
                return &r->row[i];
            }
            c = (struct candidates){c.n + 1, fmin(c.least_cost, cost), fmax(c.most_cost, cost), fmin(c.least_wait, wait), fmax(c.most_wait, wait)};
        }
    }
    double limit = c.n > 1 ? rivals_wait(r, g, of, policy) : -1;
    for (size_t i = 0; i < r->n_rows && c.n > 0; i++) {
        if (!is_candidate(r, g, of, policy, &r->row[i], &cost, &wait)) {
            continue;
        }
        /* Where none waits as little, the one that waits least. */
        double by = limit < 0 ? off_corner(&c, cost, wait) : limit < c.least_wait ? wait : wait <= limit ? cost : INFINITY;
        if (by < best_by) {
            best = &r->row[i];
            best_by = by;
        }
    }
    return best;
}

/* What comparing all cases gave. */
struct changes {
    size_t n;
    double least; /* the most negative */
    double most;
    double ours; /* of the last case */
    double theirs;
};

static void add_change(struct changes *c, double ours, double theirs)
{
    double change = theirs > 0 ? ours / theirs - 1 : 0;
    c->least = c->n == 0 || change < c->least ? change : c->least;
    c->most = c->n == 0 || change > c->most ? change : c->most;
    c->ours = ours;
    c->theirs = theirs;
    c->n += theirs > 0;
}

/* "3.0 to 31.0 % less cost than", "up to 0.9 % less than", and the same in short. what: of which there is less, or "". */
static void changes_words(const struct changes *c, const char *less_word, const char *what, char *figure_ret, size_t figure_size, char *ret,
                          size_t size)
{
    char near[40];
    char far[40];
    char low[40];
    char high[40];
    bool less = c->most < 0.0005;
    bool zero = fmin(fabs(c->least), fabs(c->most)) < 0.0005;
    bool one = fabs(c->most - c->least) < 0.0005;
    const char *space = what[0] == '\0' ? "" : " ";
    weir_sim_figure_text(near, sizeof near, fmin(fabs(c->least), fabs(c->most)) * 100, 1);
    weir_sim_figure_text(far, sizeof far, fmax(fabs(c->least), fabs(c->most)) * 100, 1);
    signed_percent(low, sizeof low, c->least);
    signed_percent(high, sizeof high, c->most);
    const char *sign = less ? MINUS : "+";
    const char *than = less ? less_word : "more";
    if (one && zero) {
        snprintf(figure_ret, figure_size, "0.0" NBSP "%%");
        snprintf(ret, size, "the same%s%s as", space, what);
    } else if (one) {
        snprintf(figure_ret, figure_size, "%s", low);
        snprintf(ret, size, "%s" NBSP "%% %s%s%s than", far, than, space, what);
    } else if (c->least < -0.0005 && !less) {
        snprintf(figure_ret, figure_size, "%s to %s", low, high);
        snprintf(ret, size, "%s to %s%s%s against", low, high, space, what);
    } else if (zero) {
        snprintf(figure_ret, figure_size, "up to %s%s" NBSP "%%", sign, far);
        snprintf(ret, size, "up to %s" NBSP "%% %s%s%s than", far, than, space, what);
    } else {
        snprintf(figure_ret, figure_size, "%s%s to %s%s" NBSP "%%", sign, near, sign, far);
        snprintf(ret, size, "%s to %s" NBSP "%% %s%s%s than", near, far, than, space, what);
    }
}

/* Which case is spoken of; "" where there is only one. */
static void which_case(const struct weir_sim_result *r, const struct weir_sim_row *row, char *ret, size_t size)
{
    bool several = false;
    for (size_t i = 0; i < r->n_rows && !several; i++) {
        several = !weir_sim_same_case(r->suite, row, &r->row[i]);
    }
    ret[0] = '\0';
    if (several) {
        weir_sim_case_words(r, row, ret, size);
        lowered(ret);
    }
}

enum { CASES_BYTES_MAX = 640, CASES_TOLD_MAX = 4 };

/* "; 8 nodes: ", before what is said of the n-th case. */
static void begin_case(const struct weir_sim_result *r, const struct weir_sim_row *row, size_t n, struct weir_str *out)
{
    char where[120];
    which_case(r, row, where, sizeof where);
    weir_str_addf(out, "%s%s%s", n > 1 ? "; " : "", where, where[0] == '\0' ? "" : ": ");
}

/* Less than an hour in minutes. */
static void add_figure(struct weir_str *out, const char *before, double v, const char *unit)
{
    char text[40];
    bool minutes = weir_streq(unit, "h") && fabs(v) < 1;
    if (weir_streq(unit, "h")) {
        weir_sim_figure_text(text, sizeof text, minutes ? v * 60 : v, minutes || v >= 10 ? 1 : 2);
    } else {
        figure(text, sizeof text, v);
    }
    weir_str_addf(out, "%s%s" NBSP "%s", before, text, minutes ? "min" : unit);
}

/* "760.0 instead of 1,000 GPU-h" */
static void add_pair(struct weir_str *out, double us, double them, const char *unit)
{
    char text[40];
    figure(text, sizeof text, us);
    if (weir_streq(unit, "h")) {
        add_figure(out, "", us, unit);
    } else {
        weir_str_addf(out, "%s", text);
    }
    add_figure(out, " instead of ", them, unit);
}

/* One finding of "so much less Y than the rival at the same X", in the case of a row, or (NULL) over all cases; none where no rival lies on the
 * front. */
static size_t front_finding(const struct weir_sim_result *r, const struct weir_sim_row *only, const char *ours, const char *rival, const char *x,
                            const char *y, struct weir_sim_finding *ret)
{
    struct point *p = weir_calloc(POINTS_MAX, sizeof *p);
    WEIR_CLEANUP(weir_str_release) struct weir_str cases = WEIR_STR_INIT(CASES_BYTES_MAX);
    struct changes c = {0};
    size_t asked = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_row *row = &r->row[i];
        double at = 0;
        double theirs = 0;
        double value = 0;
        if (!weir_streq(row->policy, rival) || !weir_sim_row_ranks(row) || !weir_sim_row_real(row, x, &at) || !weir_sim_row_real(row, y, &theirs) ||
            (only != NULL && !weir_sim_same_case(r->suite, only, row))) {
            continue;
        }
        asked++;
        size_t n = points_of(r, row, ours, x, y, p);
        if (read_off(p, n, at, &value)) {
            const char *unit[] = {weir_sim_unit_of(r, y), weir_sim_unit_of(r, x)};
            add_change(&c, value, theirs);
            begin_case(r, row, c.n, &cases);
            add_pair(&cases, value, theirs, unit[0]);
            add_figure(&cases, " at ", at, unit[1]);
        }
    }
    free(p);
    if (c.n == 0) {
        return 0;
    }
    char x_label[80];
    char y_label[80];
    char span[128];
    char scope[64] = "";
    weir_sim_label(x, x_label, sizeof x_label);
    weir_sim_label(y, y_label, sizeof y_label);
    lowered(x_label);
    lowered(y_label);
    changes_words(&c, strstr(y_label, "hours") == NULL ? "less" : "fewer", y_label, ret->figure, sizeof ret->figure, span, sizeof span);
    if (c.n < asked) {
        snprintf(scope, sizeof scope, ", in %zu of %zu cases", c.n, asked);
    }
    ret->good = c.most < 0.0005;
    snprintf(ret->text, sizeof ret->text, "%s: %s %s at the same %s%s (%s).", weir_sim_policy_name(ours), span, weir_sim_policy_name(rival),
             x_label, scope, weir_str_cstr(&cases));
    return 1;
}

const char *weir_sim_felt_wait(const struct weir_sim_result *r, const char *otherwise)
{
    double v = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        if (weir_sim_row_real(&r->row[i], "avg_wait_hours", &v)) {
            return "avg_wait_hours";
        }
    }
    return otherwise;
}

static bool is_swept(const struct weir_sim_result *r, const char *policy)
{
    for (size_t i = 0; i < r->n_rows; i++) {
        for (size_t k = i + 1; k < r->n_rows && weir_streq(r->row[i].policy, policy); k++) {
            if (weir_streq(r->row[k].policy, policy) && weir_sim_same_case(r->suite, &r->row[i], &r->row[k])) {
                return true;
            }
        }
    }
    return false;
}

static size_t front_findings(const struct weir_sim_result *r, const struct weir_sim_goal *g, const struct weir_sim_row *only,
                             struct weir_sim_finding *ret)
{
    const char *const pair[][2] = {{"weir", g->rival}, {"weir-no-estimates", g->blind}};
    size_t n = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(pair); i++) {
        if (pair[i][1] != NULL && is_swept(r, pair[i][0])) {
            n += front_finding(r, only, pair[i][0], pair[i][1], g->wait, g->cost, &ret[n]);
            n += front_finding(r, only, pair[i][0], pair[i][1], g->cost, weir_sim_felt_wait(r, g->wait), &ret[n]);
        }
    }
    return n;
}

/* ---- one metric ---- */

/* The row of the case that does best in the metric among those wanted. */
static const struct weir_sim_row *best_of(const struct weir_sim_result *r, const struct weir_sim_row *of, const char *metric, bool ours,
                                          bool bounds)
{
    bool more = weir_sim_measure_of(metric).better == WEIR_SIM_MORE;
    const struct weir_sim_row *best = NULL;
    double best_v = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_row *row = &r->row[i];
        double v = 0;
        if (weir_sim_policy_is_ours(row->policy) != ours || weir_sim_policy_is_bound(row->policy) != bounds || !weir_sim_row_ranks(row) ||
            !weir_sim_row_real(row, metric, &v) || !weir_sim_same_case(r->suite, of, row)) {
            continue;
        }
        if (best == NULL || (more ? v > best_v : v < best_v)) {
            best = row;
            best_v = v;
        }
    }
    return best;
}

bool weir_sim_row_sums_up(const struct weir_sim_result *r, const struct weir_sim_row *row)
{
    bool any = false;
    for (size_t i = 0; i < r->n_rows && !any; i++) {
        any = r->row[i].n_fields > 0 && r->row[i].field[0].metric;
    }
    return !any || (row->n_fields > 0 && row->field[0].metric);
}

static void one_against_one(const struct weir_sim_result *r, const char *metric, const struct weir_sim_row *ours,
                            const struct weir_sim_row *other, struct weir_sim_finding *ret)
{
    struct weir_sim_measure m = weir_sim_measure_of(metric);
    const char *unit = weir_sim_unit_of(r, metric);
    double us = 0;
    double them = 0;
    (void)weir_sim_row_real(ours, metric, &us);
    (void)weir_sim_row_real(other, metric, &them);
    double change = them > 0 ? us / them - 1 : 0;
    bool same = fabs(change) < 0.0005;
    ret->good = same || (m.better == WEIR_SIM_MORE) == (change > 0);
    char label[80];
    char us_text[40];
    char them_text[40];
    char percent[40];
    char where[120];
    weir_sim_label(metric, label, sizeof label);
    lowered(label);
    figure(us_text, sizeof us_text, us);
    figure(them_text, sizeof them_text, them);
    signed_percent(ret->figure, sizeof ret->figure, change);
    weir_sim_figure_text(percent, sizeof percent, fabs(change) * 100, 1);
    which_case(r, ours, where, sizeof where);
    const char *bound = weir_sim_policy_is_bound(other->policy) ? " with knowledge of the future" : "";
    if (same) {
        snprintf(ret->figure, sizeof ret->figure, "%s", us_text);
        snprintf(ret->text, sizeof ret->text, "%s: %s %s" NBSP "%s, the same as %s%s%s%s.", weir_sim_policy_name(ours->policy), label, us_text,
                 unit, weir_sim_policy_name(other->policy), bound, where[0] == '\0' ? "" : "; ", where);
    } else {
        snprintf(ret->text, sizeof ret->text, "%s: %s %s" NBSP "%s, %s" NBSP "%% %s than %s%s (%s)%s%s.", weir_sim_policy_name(ours->policy),
                 label, us_text, unit, percent, change < 0 ? "less" : "more", weir_sim_policy_name(other->policy), bound, them_text,
                 where[0] == '\0' ? "" : "; ", where);
    }
}

static const struct weir_sim_row *in_case_of(const struct weir_sim_result *r, const struct weir_sim_row *of, const char *policy)
{
    for (size_t i = 0; i < r->n_rows; i++) {
        if (weir_streq(r->row[i].policy, policy) && weir_sim_same_case(r->suite, of, &r->row[i])) {
            return &r->row[i];
        }
    }
    return NULL;
}

/* Whom a row of weir's is measured against. */
struct against {
    const char *ours;
    const char *policy; /* NULL: the best of the others, or of the bounds */
    bool bounds;
};

static const struct weir_sim_row *other_of(const struct weir_sim_result *r, const char *metric, const struct against *a,
                                           const struct weir_sim_row *row)
{
    return a->policy != NULL ? in_case_of(r, row, a->policy) : best_of(r, row, metric, false, a->bounds);
}

/* Over all cases that are to be spoken of; where that is one, with its figures. */
static size_t metric_finding(const struct weir_sim_result *r, const char *metric, const struct against *a, struct weir_sim_finding *ret)
{
    struct changes c = {0};
    const struct weir_sim_row *last = NULL;
    const struct weir_sim_row *last_other = NULL;
    bool alike = true;
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_row *row = &r->row[i];
        const struct weir_sim_row *other = NULL;
        double us = 0;
        double them = 0;
        if (!weir_streq(row->policy, a->ours) || !weir_sim_row_sums_up(r, row) || (other = other_of(r, metric, a, row)) == NULL ||
            !weir_sim_row_real(row, metric, &us) || !weir_sim_row_real(other, metric, &them)) {
            continue;
        }
        alike = alike && (last_other == NULL || weir_streq(last_other->policy, other->policy));
        last = row;
        last_other = other;
        add_change(&c, us, them);
    }
    if (c.n == 0) {
        return 0;
    }
    if (c.n == 1) {
        one_against_one(r, metric, last, last_other, ret);
        return 1;
    }
    bool more = weir_sim_measure_of(metric).better == WEIR_SIM_MORE;
    char label[80];
    char span[128];
    weir_sim_label(metric, label, sizeof label);
    lowered(label);
    changes_words(&c, "less", "", ret->figure, sizeof ret->figure, span, sizeof span);
    ret->good = more ? c.least > -0.0005 : c.most < 0.0005;
    snprintf(ret->text, sizeof ret->text, "%s: %s %s %s, over %zu cases.", weir_sim_policy_name(a->ours), label, span,
             alike ? weir_sim_policy_name(last_other->policy) : a->bounds ? "the bound" : "the best of the other policies", c.n);
    return 1;
}

/* In how many cases no other policy did better: where there are several. */
static size_t count_finding(const struct weir_sim_result *r, const char *metric, struct weir_sim_finding *ret)
{
    size_t cases = 0;
    size_t best = 0;
    bool more = weir_sim_measure_of(metric).better == WEIR_SIM_MORE;
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_row *row = &r->row[i];
        const struct weir_sim_row *other = NULL;
        double us = 0;
        double them = 0;
        if (!weir_streq(row->policy, "weir") || row->field[0].metric || (other = best_of(r, row, metric, false, false)) == NULL ||
            !weir_sim_row_real(row, metric, &us) || !weir_sim_row_real(other, metric, &them)) {
            continue;
        }
        cases++;
        best += fabs(us - them) <= 0.0005 * fabs(them) || (more ? us > them : us < them);
    }
    char label[80];
    weir_sim_label(metric, label, sizeof label);
    lowered(label);
    ret->good = 2 * best > cases;
    snprintf(ret->figure, sizeof ret->figure, "%zu of %zu", best, cases);
    snprintf(ret->text, sizeof ret->text, "cases in which no other policy is better than weir in %s.", label);
    return cases > 1;
}

static size_t metric_findings(const struct weir_sim_result *r, const struct weir_sim_goal *g, struct weir_sim_finding *ret)
{
    size_t n = metric_finding(r, g->cost, &(struct against){.ours = "weir"}, ret);
    if (g->plain != NULL) {
        n += metric_finding(r, g->cost, &(struct against){"weir", g->plain, false}, &ret[n]);
    }
    if (n == 2 && weir_streq(ret[0].text, ret[1].text)) {
        n = 1; /* the best of the others is the plain one */
    }
    if (g->blind != NULL) {
        n += metric_finding(r, g->cost, &(struct against){"weir-no-estimates", g->blind, false}, &ret[n]);
    }
    n += metric_finding(r, g->cost, &(struct against){.ours = "weir", .bounds = true}, &ret[n]);
    return n + count_finding(r, g->cost, &ret[n]);
}

static size_t miss_finding(const struct weir_sim_result *r, struct weir_sim_finding *ret)
{
    for (size_t i = 0; i < r->n_rows; i++) {
        double misses = 0;
        double scenarios = 0;
        const struct weir_sim_row *row = &r->row[i];
        if (weir_streq(row->policy, "weir") && weir_sim_row_sums_up(r, row) && weir_sim_row_real(row, "misses", &misses) &&
            weir_sim_row_real(row, "scenarios", &scenarios)) {
            char of[40];
            char count[40];
            weir_sim_figure_text(of, sizeof of, scenarios, 0);
            weir_sim_figure_text(count, sizeof count, misses, 0);
            ret->good = misses <= 0;
            snprintf(ret->figure, sizeof ret->figure, "%s", count);
            snprintf(ret->text, sizeof ret->text, "deadlines missed by weir in %s scenarios.", of);
            return 1;
        }
    }
    return 0;
}

static size_t tune_finding(const struct weir_sim_result *r, struct weir_sim_finding *ret)
{
    const struct weir_sim_tuned *t = r->tuned;
    if (t == NULL) {
        return 0;
    }
    char label[80];
    weir_sim_label(t->cost, label, sizeof label);
    signed_percent(ret->figure, sizeof ret->figure, t->cost_ratio - 1);
    ret->good = t->kept;
    snprintf(ret->text, sizeof ret->text, "%s by the chosen setting against the defaults, %s %s (%zu settings tried).", label,
             t->kept ? "while" : "but without", t->conditions, t->runs);
    return 1;
}

/* A row's cost and wait; wait by what people feel. */
static bool weigh(const struct weir_sim_result *r, const struct weir_sim_goal *g, const struct weir_sim_row *row, double *cost, double *wait)
{
    return row != NULL && weir_sim_row_real(row, g->cost, cost) && weir_sim_row_real(row, weir_sim_felt_wait(r, g->wait), wait);
}

/* Is the row weir's that is meant in its case? */
static bool is_meant(const struct weir_sim_result *r, const struct weir_sim_row *row)
{
    return weir_streq(row->policy, "weir") && weir_sim_row_meant(r, row, "weir") == row;
}

/* Cost and wait of weir's row that is meant beside another policy's, in the case of a row, or (NULL) case by case. */
static size_t weighed_finding(const struct weir_sim_result *r, const struct weir_sim_goal *g, const struct weir_sim_row *only, const char *policy,
                              struct weir_sim_finding *ret)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str cases = WEIR_STR_INIT(CASES_BYTES_MAX);
    struct changes c = {0};
    bool longer = false;
    for (size_t i = 0; i < r->n_rows; i++) {
        bool asked = is_meant(r, &r->row[i]) && (only == NULL || weir_sim_same_case(r->suite, only, &r->row[i]));
        const struct weir_sim_row *other = asked ? weir_sim_row_meant(r, &r->row[i], policy) : NULL;
        double cost[2] = {0};
        double wait[2] = {0};
        if (!weigh(r, g, &r->row[i], &cost[0], &wait[0]) || !weigh(r, g, other, &cost[1], &wait[1])) {
            continue;
        }
        add_change(&c, cost[0], cost[1]);
        longer = longer || wait[0] > wait[1] * 1.05 + 0.01;
        if (c.n <= CASES_TOLD_MAX) {
            begin_case(r, &r->row[i], c.n, &cases);
            add_pair(&cases, cost[0], cost[1], weir_sim_unit_of(r, g->cost));
            weir_str_adds(&cases, ", wait ");
            add_pair(&cases, wait[0], wait[1], weir_sim_unit_of(r, g->wait));
        }
    }
    if (c.n == 0) {
        return 0;
    }
    char span[128];
    char label[80];
    char more[40] = "";
    weir_sim_label(g->cost, label, sizeof label);
    lowered(label);
    changes_words(&c, "less", label, ret->figure, sizeof ret->figure, span, sizeof span);
    ret->good = c.most < 0.0005 && !longer;
    if (c.n > CASES_TOLD_MAX) {
        snprintf(more, sizeof more, "; and %zu cases more", c.n - CASES_TOLD_MAX);
    }
    snprintf(ret->text, sizeof ret->text, "weir: %s %s (%s%s).", span, weir_sim_policy_name(policy), weir_str_cstr(&cases), more);
    return 1;
}

/* The cheapest row of a policy that ranks, by a metric; where the policy has several settings, of those that are meant. */
static const struct weir_sim_row *cheapest(const struct weir_sim_result *r, const char *policy, const char *metric)
{
    const struct weir_sim_row *best = NULL;
    double best_cost = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        double cost = 0;
        const struct weir_sim_row *row = weir_streq(r->row[i].policy, policy) ? weir_sim_row_meant(r, &r->row[i], policy) : NULL;
        if (row == &r->row[i] && row->budgets == NULL && weir_sim_row_real(row, metric, &cost) && (best == NULL || cost < best_cost)) {
            best = row;
            best_cost = cost;
        }
    }
    return best;
}

const struct weir_sim_row *weir_sim_row_headline(const struct weir_sim_result *r)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(r->suite);
    return g == NULL ? NULL : cheapest(r, "weir", g->cost);
}

/* ". In the cloud alone: 28,463 USD, wait 0.01 h" */
static void add_way(const struct weir_sim_result *r, const struct weir_sim_goal *g, const char *how, const struct weir_sim_row *row,
                    const char *metric, struct weir_str *out)
{
    double cost = 0;
    double wait = 0;
    if (row != NULL && weir_sim_row_real(row, metric, &cost) && weigh(r, g, row, &(double){0}, &wait)) {
        weir_str_adds(out, how);
        add_figure(out, ": ", cost, weir_sim_unit_of(r, metric));
        add_figure(out, ", wait ", wait, weir_sim_unit_of(r, g->wait));
    }
}

/* What the work costs, and how long it waits: with weir, in the cloud alone, on owned nodes alone. */
static size_t answer_finding(const struct weir_sim_result *r, const struct weir_sim_goal *g, struct weir_sim_finding *ret)
{
    const struct weir_sim_row *ours = weir_sim_row_headline(r);
    double cost = 0;
    double wait = 0;
    if (!weigh(r, g, ours, &cost, &wait)) {
        return 0;
    }
    const char *unit = weir_sim_unit_of(r, g->cost);
    char where[120];
    char setting[120];
    char figure_text[40];
    WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(sizeof ret->text);
    weir_sim_case_words(r, ours, where, sizeof where);
    weir_sim_setting_words(r, ours, setting, sizeof setting);
    lowered(where);
    figure(figure_text, sizeof figure_text, cost);
    snprintf(ret->figure, sizeof ret->figure, "%s" NBSP "%s", figure_text, unit);
    weir_str_addf(&text, "with weir%s%s%s%s%s", where[0] == '\0' ? "" : ", ", where, setting[0] == '\0' ? "" : " (", setting, setting[0] == '\0' ? "" : ")");
    add_figure(&text, ": tasks wait ", wait, weir_sim_unit_of(r, g->wait));
    weir_str_adds(&text, " on average");
    /* Nothing need be owned for the cloud alone. */
    add_way(r, g, ". In the cloud alone", cheapest(r, "cloud-only", "cloud_cost"), "cloud_cost", &text);
    add_way(r, g, ". On the same owned nodes alone", weir_sim_row_meant(r, ours, "local-only"), g->cost, &text);
    double bound = 0;
    if (weir_sim_row_real(ours, "bound_cost", &bound) && bound > 0) {
        add_figure(&text, ". No policy could do it on these nodes for less than ", bound, unit);
    }
    weir_str_addc(&text, '.');
    ret->good = true;
    snprintf(ret->text, sizeof ret->text, "%s", weir_str_cstr(&text));
    return 1;
}

size_t weir_sim_findings(const struct weir_sim_result *r, struct weir_sim_finding *ret)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(r->suite);
    size_t n = tune_finding(r, ret);
    if (g == NULL) {
        return n;
    }
    if (n == 0 && g->wait != NULL) {
        /* Where it is asked what to own, one answer is spoken of; the others stand in the tables. */
        const struct weir_sim_row *only = g->ways ? weir_sim_row_headline(r) : NULL;
        n = g->ways ? answer_finding(r, g, ret) : 0;
        n += g->ways && weir_sim_finding_of_budgets(r, &ret[n]);
        size_t fronts = front_findings(r, g, only, &ret[n]);
        n += fronts;
        n += fronts == 0 && (g->ways || !is_swept(r, "weir")) ? weighed_finding(r, g, only, g->rival, &ret[n]) : 0;
        n += n < WEIR_SIM_FINDINGS_MAX && (g->ways || fronts == 0) ? weighed_finding(r, g, only, g->plain, &ret[n]) : 0;
    } else if (n == 0) {
        n = metric_findings(r, g, ret);
        n += miss_finding(r, ret + n);
    }
    return n;
}
