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

static void add_field_words(struct weir_str *out, const char *suite, const struct weir_sim_field *f)
{
    char label[80];
    char value[64];
    const char *unit = weir_sim_unit_of(suite, f->name);
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
    weir_str_addf(out, "%s%s" NBSP "%s%s%s", out->n > 0 ? ", " : "", label, value, unit[0] == '\0' ? "" : NBSP, unit);
}

static void fields_words(const struct weir_sim_result *r, const struct weir_sim_row *row, bool params, char *ret, size_t size)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(512);
    for (size_t i = 0; i < row->n_fields; i++) {
        const struct weir_sim_field *f = &row->field[i];
        if (!f->metric && weir_sim_is_choice(r->suite, f->name) == params) {
            add_field_words(&out, r->suite, f);
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
    return a->x < b->x ? -1 : a->x > b->x;
}

/* y of the line through the points at x; false beyond its ends. */
static bool read_off(struct point *p, size_t n, double x, double *ret)
{
    qsort(p, n, sizeof *p, by_x);
    for (size_t i = 1; i < n; i++) {
        if (p[i - 1].x <= x && x <= p[i].x && p[i].x > p[i - 1].x) {
            *ret = p[i - 1].y + (p[i].y - p[i - 1].y) * (x - p[i - 1].x) / (p[i].x - p[i - 1].x);
            return true;
        }
    }
    return false;
}

/* The rows of a policy in the case of a row, as points. */
static size_t points_of(const struct weir_sim_result *r, const struct weir_sim_row *of, const char *policy, const char *x, const char *y,
                        struct point *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_rows && n < POINTS_MAX; i++) {
        const struct weir_sim_row *row = &r->row[i];
        if (weir_streq(row->policy, policy) && weir_sim_row_real(row, x, &ret[n].x) && weir_sim_row_real(row, y, &ret[n].y) &&
            weir_sim_same_case(r->suite, of, row)) {
            n++;
        }
    }
    return n;
}

const struct weir_sim_row *weir_sim_row_beside(const struct weir_sim_result *r, const struct weir_sim_row *of, const char *policy)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(r->suite);
    const struct weir_sim_row *best = NULL;
    double limit = INFINITY;
    double best_cost = INFINITY;
    const char *rival = g == NULL ? NULL : weir_streq(policy, "weir") ? g->rival : g->blind;
    for (size_t i = 0; i < r->n_rows && rival != NULL; i++) {
        const struct weir_sim_row *row = &r->row[i];
        if (weir_streq(row->policy, rival) && weir_sim_same_case(r->suite, of, row)) {
            (void)weir_sim_row_real(row, g->wait, &limit);
        }
    }
    for (size_t i = 0; i < r->n_rows && g != NULL; i++) {
        const struct weir_sim_row *row = &r->row[i];
        double cost = 0;
        double wait = 0;
        if (weir_streq(row->policy, policy) && weir_sim_row_real(row, g->cost, &cost) &&
            (!weir_sim_row_real(row, g->wait, &wait) || wait <= limit) && cost < best_cost && weir_sim_same_case(r->suite, of, row)) {
            best = row;
            best_cost = cost;
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

/* "13.5 % to 27.7 %", lesser first, and the same in short for the card. */
static void span_words(const struct changes *c, char *figure_ret, size_t figure_size, char *ret, size_t size)
{
    double low = fmin(fabs(c->least), fabs(c->most)) * 100;
    double high = fmax(fabs(c->least), fabs(c->most)) * 100;
    bool one = high - low < 0.05;
    const char *sign = c->most <= 0 ? MINUS : "+";
    char a[32];
    char b[32];
    weir_sim_figure_text(a, sizeof a, low, 1);
    weir_sim_figure_text(b, sizeof b, high, 1);
    snprintf(ret, size, one ? "%s" NBSP "%%" : "%s to %s" NBSP "%%", one ? b : a, b);
    if (one) {
        snprintf(figure_ret, figure_size, "%s%s" NBSP "%%", sign, b);
    } else {
        snprintf(figure_ret, figure_size, "%s%.0f to %s%.0f" NBSP "%%", sign, low, sign, high);
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

/* One finding of "so much less Y than the rival at the same X", over all cases; none where no rival lies on the front. */
static size_t front_finding(const struct weir_sim_result *r, const char *ours, const char *rival, const char *x, const char *y,
                            struct weir_sim_finding *ret)
{
    struct point *p = weir_calloc(POINTS_MAX, sizeof *p);
    struct changes c = {0};
    size_t cases = 0;
    char where[120] = "";
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_row *row = &r->row[i];
        double at = 0;
        double theirs = 0;
        double value = 0;
        if (!weir_streq(row->policy, rival) || !weir_sim_row_real(row, x, &at) || !weir_sim_row_real(row, y, &theirs)) {
            continue;
        }
        cases++;
        size_t n = points_of(r, row, ours, x, y, p);
        if (read_off(p, n, at, &value)) {
            add_change(&c, value, theirs);
            which_case(r, row, where, sizeof where);
        }
    }
    free(p);
    if (c.n == 0 || (c.least < 0) != (c.most <= 0)) {
        return 0;
    }
    char x_label[80];
    char y_label[80];
    char span[80];
    char us[40];
    char them[40];
    weir_sim_label(x, x_label, sizeof x_label);
    weir_sim_label(y, y_label, sizeof y_label);
    lowered(x_label);
    lowered(y_label);
    span_words(&c, ret->figure, sizeof ret->figure, span, sizeof span);
    figure(us, sizeof us, c.ours);
    figure(them, sizeof them, c.theirs);
    ret->good = c.most <= 0;
    const char *word = strstr(y_label, "hours") == NULL ? (ret->good ? "less" : "more") : ret->good ? "fewer" : "more";
    WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(sizeof ret->text);
    char scope[200]; /* in words: over which cases */
    if (c.n == 1) {
        snprintf(scope, sizeof scope, " (%s instead of %s %s%s%s)", us, them, weir_sim_unit_of(r->suite, y), where[0] == '\0' ? "" : ", ", where);
    } else if (c.n < cases) {
        snprintf(scope, sizeof scope, ", in %zu of %zu cases", c.n, cases);
    } else {
        snprintf(scope, sizeof scope, ", in all %zu cases", cases);
    }
    weir_str_addf(&text, "%s: %s %s %s than %s at the same %s%s.", weir_sim_policy_name(ours), span, word, y_label,
                  weir_sim_policy_name(rival), x_label, scope);
    snprintf(ret->text, sizeof ret->text, "%s", weir_str_cstr(&text));
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

static size_t front_findings(const struct weir_sim_result *r, const struct weir_sim_goal *g, struct weir_sim_finding *ret)
{
    const char *const pair[][2] = {{"weir", g->rival}, {"weir-no-estimates", g->blind}};
    size_t n = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(pair); i++) {
        if (pair[i][1] != NULL && is_swept(r, pair[i][0])) {
            n += front_finding(r, pair[i][0], pair[i][1], g->wait, g->cost, &ret[n]);
            n += front_finding(r, pair[i][0], pair[i][1], g->cost, weir_sim_felt_wait(r, g->wait), &ret[n]);
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
        if (weir_sim_policy_is_ours(row->policy) != ours || weir_sim_policy_is_bound(row->policy) != bounds ||
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
    const char *unit = weir_sim_unit_of(r->suite, metric);
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

/* "3.0 to 31.0 % less than", "up to 0.9 % less than", and the same in short. */
static void changes_words(const struct changes *c, char *figure_ret, size_t figure_size, char *ret, size_t size)
{
    char near[40];
    char far[40];
    char low[40];
    char high[40];
    bool less = c->most < 0.0005;
    bool zero = fmin(fabs(c->least), fabs(c->most)) < 0.0005;
    weir_sim_figure_text(near, sizeof near, fmin(fabs(c->least), fabs(c->most)) * 100, 1);
    weir_sim_figure_text(far, sizeof far, fmax(fabs(c->least), fabs(c->most)) * 100, 1);
    signed_percent(low, sizeof low, c->least);
    signed_percent(high, sizeof high, c->most);
    const char *sign = less ? MINUS : "+";
    const char *than = less ? "less than" : "more than";
    if (c->most - c->least < 0.0005 && zero) {
        snprintf(figure_ret, figure_size, "0.0" NBSP "%%");
        snprintf(ret, size, "the same as");
    } else if (c->least < -0.0005 && !less) {
        snprintf(figure_ret, figure_size, "%s to %s", low, high);
        snprintf(ret, size, "%s to %s against", low, high);
    } else if (zero) {
        snprintf(figure_ret, figure_size, "up to %s%s" NBSP "%%", sign, far);
        snprintf(ret, size, "up to %s" NBSP "%% %s", far, than);
    } else {
        snprintf(figure_ret, figure_size, "%s%s to %s%s" NBSP "%%", sign, near, sign, far);
        snprintf(ret, size, "%s to %s" NBSP "%% %s", near, far, than);
    }
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
    changes_words(&c, ret->figure, sizeof ret->figure, span, sizeof span);
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

/* Cost and wait of weir's row beside another's, where each policy has one row. */
static size_t weighed_finding(const struct weir_sim_result *r, const struct weir_sim_goal *g, const char *policy, struct weir_sim_finding *ret)
{
    const struct weir_sim_row *ours = NULL;
    size_t cases = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        if (weir_streq(r->row[i].policy, "weir")) {
            ours = &r->row[i];
            cases++;
        }
    }
    const struct weir_sim_row *other = cases == 0 ? NULL : in_case_of(r, ours, policy);
    if (other == NULL || cases > 1) {
        return other == NULL ? 0 : metric_finding(r, g->cost, &(struct against){"weir", policy, false}, ret);
    }
    double wait[2] = {0};
    const char *metric = weir_sim_felt_wait(r, g->wait);
    char text[2][40];
    char label[80];
    one_against_one(r, g->cost, ours, other, ret);
    if (!weir_sim_row_real(ours, metric, &wait[0]) || !weir_sim_row_real(other, metric, &wait[1])) {
        return 1;
    }
    figure(text[0], sizeof text[0], wait[0]);
    figure(text[1], sizeof text[1], wait[1]);
    weir_sim_label(metric, label, sizeof label);
    size_t n = strlen(ret->text);
    snprintf(ret->text + n, sizeof ret->text - n, " %s: %s instead of %s" NBSP "%s.", label, text[0], text[1],
             weir_sim_unit_of(r->suite, metric));
    return 1;
}

/* The size that costs least, where several were tried. */
static size_t cheapest_finding(const struct weir_sim_result *r, const struct weir_sim_goal *g, struct weir_sim_finding *ret)
{
    const struct weir_sim_row *best = NULL;
    double best_cost = 0;
    size_t cases = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        double cost = 0;
        if (weir_streq(r->row[i].policy, "weir") && weir_sim_row_real(&r->row[i], g->cost, &cost)) {
            best = best == NULL || cost < best_cost ? &r->row[i] : best;
            best_cost = best == &r->row[i] ? cost : best_cost;
            cases++;
        }
    }
    if (cases < 2) {
        return 0;
    }
    char cost[40];
    char label[80];
    figure(cost, sizeof cost, best_cost);
    weir_sim_label(g->cost, label, sizeof label);
    lowered(label);
    weir_sim_case_words(r, best, ret->figure, sizeof ret->figure);
    ret->good = true;
    snprintf(ret->text, sizeof ret->text, "is the cheapest of the %zu cases with weir: %s %s" NBSP "%s.", cases, label, cost,
             weir_sim_unit_of(r->suite, g->cost));
    return 1;
}

static size_t weighed_findings(const struct weir_sim_result *r, const struct weir_sim_goal *g, struct weir_sim_finding *ret)
{
    const char *const policy[] = {g->plain, "local-only", g->rival};
    size_t n = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(policy); i++) {
        n += policy[i] == NULL ? 0 : weighed_finding(r, g, policy[i], &ret[n]);
    }
    return n + cheapest_finding(r, g, &ret[n]);
}

size_t weir_sim_findings(const struct weir_sim_result *r, struct weir_sim_finding *ret)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(r->suite);
    size_t n = tune_finding(r, ret);
    if (g == NULL) {
        return n;
    }
    if (n == 0 && g->wait != NULL) {
        n = front_findings(r, g, ret);
        n += n > 0 || is_swept(r, "weir") ? 0 : weighed_findings(r, g, ret);
    } else if (n == 0) {
        n = metric_findings(r, g, ret);
        n += miss_finding(r, ret + n);
    }
    return n;
}
