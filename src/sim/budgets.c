/* SPDX-License-Identifier: Apache-2.0 */

#include "budgets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/parse.h"
#include "spec/budget.h"
#include "spec/quota.h"

enum { WORDS_MAX = 64 };

/* A line cut into words; quotes are taken off in place. */
struct words {
    size_t n;
    char *word[WORDS_MAX];
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static int cut(char *line, struct words *ret, struct weir_err *err)
{
    ret->n = 0;
    for (char *p = line; *p != '\0';) {
        if (is_blank(*p)) {
            p++;
            continue;
        }
        if (*p == '#') {
            return 0;
        }
        if (ret->n == WORDS_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "more than %d words", WORDS_MAX);
        }
        char *to = p;
        char quote = '\0';
        ret->word[ret->n++] = to;
        for (; *p != '\0' && (quote != '\0' || !is_blank(*p)); p++) {
            if (quote == '\0' && (*p == '"' || *p == '\'')) {
                quote = *p;
            } else if (*p == quote) {
                quote = '\0';
            } else {
                *to++ = *p;
            }
        }
        if (quote != '\0') {
            return weir_fail(err, -WEIR_EINVAL, "a quotation mark %c has no end", quote);
        }
        p += *p != '\0';
        *to = '\0';
    }
    return 0;
}

/* The values of one budget's options; NULL: not given. */
struct given {
    const char *scope;
    const char *amount;
    const char *span;
    const char *from;
    const char *until;
    const char *counts;
    const char *spent;
    const char *limit;
    const char *borrow;
};

static int fail_option(const char *word, struct weir_err *err)
{
    static const char *const names[] = {"--for", "--amount", "--span", "--from", "--until", "--counts", "--at", "--spent", "--limit", "--borrow", NULL};
    const char *near = weir_nearest(weir_sv_of(word), names);
    return weir_fail(err, -WEIR_EINVAL, "'%.80s' is no option of a budget or quota%s%s%s", word, near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                     near == NULL ? "" : "'?");
}

/* Where the value of an option of one letter or one word goes; NULL: it is not such a one. */
static const char **place_of(struct given *g, struct weir_sv name)
{
    const struct {
        struct weir_sv name;
        struct weir_sv letter;
        const char **place;
    } places[] = {
        {WEIR_SV("--for"), WEIR_SV("-f"), &g->scope},      {WEIR_SV("--amount"), WEIR_SV("-a"), &g->amount},
        {WEIR_SV("--span"), WEIR_SV("--span"), &g->span},  {WEIR_SV("--from"), WEIR_SV("--from"), &g->from},
        {WEIR_SV("--until"), WEIR_SV("--until"), &g->until}, {WEIR_SV("--counts"), WEIR_SV("-c"), &g->counts},
        {WEIR_SV("--spent"), WEIR_SV("--spent"), &g->spent}, {WEIR_SV("--limit"), WEIR_SV("-l"), &g->limit},
        {WEIR_SV("--borrow"), WEIR_SV("-b"), &g->borrow},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(places); i++) {
        if (weir_sv_eq(name, places[i].name) || weir_sv_eq(name, places[i].letter)) {
            return places[i].place;
        }
    }
    return NULL;
}

static int read_options(const struct words *w, size_t i, struct given *g, struct weir_budget *def, struct weir_err *err)
{
    while (i < w->n) {
        const char *word = w->word[i++];
        struct weir_sv rest = weir_sv_of(word);
        struct weir_sv name = weir_sv_cut(&rest, '=');
        const char *value = rest.p;
        bool at = weir_sv_eq(name, WEIR_SV("--at"));
        const char **place = place_of(g, name);
        if (place == NULL && !at) {
            return fail_option(word, err);
        }
        if (value == NULL && i == w->n) {
            return weir_fail(err, -WEIR_EINVAL, "%.80s: a value is missing", word);
        }
        value = value == NULL ? w->word[i++] : value;
        if (at) {
            int r = weir_streq(value, "none") ? 0 : weir_budget_read_threshold(weir_sv_of(value), def, err);
            if (r < 0) {
                return weir_fail_prefix(err, r, "--at");
            }
        } else if (*place != NULL) {
            return weir_fail(err, -WEIR_EINVAL, "%.80s stands twice", word);
        } else {
            *place = value;
        }
    }
    return 0;
}

static int read_counts(const char *word, bool *ret, struct weir_err *err)
{
    if (word != NULL && !weir_streq(word, "all") && !weir_streq(word, "cloud")) {
        return weir_fail(err, -WEIR_EINVAL, "--counts: '%.80s' is neither all nor cloud", word);
    }
    *ret = word != NULL && weir_streq(word, "cloud");
    return 0;
}

static int read_values(const struct given *g, const char *currency, struct weir_sim_budget *b, struct weir_err *err)
{
    if (g->scope == NULL || g->amount == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "say whose it is (--for) and how much it is (--amount)");
    }
    int r = weir_budget_read_scope(weir_sv_of(g->scope), &b->def, b->whose, sizeof b->whose, err);
    r = r < 0 ? r : weir_budget_read_money(weir_sv_of(g->amount), "--amount", currency, &b->def.amount_micro, err);
    r = r < 0 || g->spent == NULL ? r : weir_budget_read_money(weir_sv_of(g->spent), "--spent", currency, &b->spent_micro, err);
    r = r < 0 ? r : weir_budget_read_span(g->span, g->from, g->until, &b->def, err);
    snprintf(b->scope, sizeof b->scope, "%s", g->scope);
    return r < 0 ? r : read_counts(g->counts, &b->def.cloud_only, err);
}

/* How many words at the begin are "weir WHAT set", or the end of that from which they tell what. */
static size_t command_words(const struct words *w, const char *what, size_t fewest)
{
    const char *const command[] = {"weir", what, "set"};
    for (size_t n = WEIR_ARRAY_LEN(command); n >= fewest; n--) {
        bool same = w->n > n;
        for (size_t i = 0; i < n && same; i++) {
            same = weir_streq(w->word[i], command[WEIR_ARRAY_LEN(command) - n + i]);
        }
        if (same) {
            return n;
        }
    }
    return 0;
}

static int read_name(const char *name, const char *what, char *ret, size_t size, struct weir_err *err)
{
    if (name[0] == '-' || name[0] == '\0' || strlen(name) >= size) {
        return weir_fail(err, -WEIR_EINVAL, "a %s begins with its name, of at most %zu bytes, as in: vision --for project:vision ...", what, size - 1);
    }
    snprintf(ret, size, "%s", name);
    return 0;
}

static int read_budget(struct weir_sim_budget_set *set, const struct words *w, size_t first, struct weir_err *err)
{
    struct weir_sim_budget b = {.spent_micro = 0};
    struct given g = {0};
    int r = read_name(w->word[first], "budget", b.def.name, sizeof b.def.name, err);
    if (r < 0) {
        return r;
    }
    r = read_options(w, first + 1, &g, &b.def, err);
    r = r == 0 && g.limit != NULL ? weir_fail(err, -WEIR_EINVAL, "--limit is a quota's: write 'quota set' before it") : r;
    r = r == 0 && g.borrow != NULL ? weir_fail(err, -WEIR_EINVAL, "--borrow is a quota's: write 'quota set' before it") : r;
    r = r < 0 ? r : read_values(&g, set->currency == NULL ? "USD" : set->currency, &b, err);
    for (size_t i = 0; i < set->n && r == 0; i++) {
        r = weir_streq(set->budget[i].def.name, b.def.name) ? weir_fail(err, -WEIR_EINVAL, "it stands twice") : 0;
    }
    if (r == 0 && set->n == WEIR_SIM_BUDGETS_MAX) {
        r = weir_fail(err, -WEIR_ELIMIT, "more than %d budgets", WEIR_SIM_BUDGETS_MAX);
    }
    if (r < 0) {
        return weir_fail_prefix(err, r, "budget '%s'", b.def.name);
    }
    if (set->budget == NULL) {
        set->budget = weir_calloc(WEIR_SIM_BUDGETS_MAX, sizeof *set->budget);
    }
    set->budget[set->n++] = b;
    return 0;
}

static int read_quota_values(const struct given *g, const struct weir_budget *other, struct weir_sim_quota *q, struct weir_err *err)
{
    if (g->scope == NULL || g->counts == NULL || g->limit == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "say whose it is (--for), what it counts (--counts) and how much (--limit)");
    }
    if (g->amount != NULL || g->spent != NULL || other->n_thresholds > 0) {
        return weir_fail(err, -WEIR_EINVAL, "--amount, --spent and --at are a budget's");
    }
    struct weir_sv model = weir_sv_of(g->counts);
    struct weir_sv counts = weir_sv_cut(&model, ':');
    int r = weir_quota_read_scope(weir_sv_of(g->scope), &q->def, q->whose, sizeof q->whose, err);
    r = r < 0 ? r : weir_quota_read_counts(counts, &q->def, err);
    r = r < 0 ? r : weir_quota_read_limit(weir_sv_of(g->limit), &q->def, err);
    r = r < 0 || g->borrow == NULL ? r : weir_quota_read_borrow(weir_sv_of(g->borrow), &q->def, err);
    if (r == 0 && q->def.shares && (q->def.counts != WEIR_QUOTA_GPUS || q->def.scope == WEIR_BUDGET_ORGANISATION)) {
        r = weir_fail(err, -WEIR_EINVAL, "--borrow is for GPUs of a project, a user or a tag");
    }
    if (r == 0 && q->def.counts == WEIR_QUOTA_GPU_HOURS) {
        r = weir_quota_read_span(g->span, g->from, g->until, &q->def, err);
    } else if (r == 0 && (g->span != NULL || g->from != NULL || g->until != NULL)) {
        r = weir_fail(err, -WEIR_EINVAL, "only gpu-hours have a span");
    } else {
        q->def.span = WEIR_BUDGET_FOREVER;
    }
    if (r == 0 && model.p != NULL && (model.n == 0 || model.n >= sizeof q->model || q->def.counts == WEIR_QUOTA_TASKS)) {
        r = weir_fail(err, -WEIR_EINVAL, "--counts: '%.80s' names no model of GPU that could be counted", g->counts);
    }
    int64_t limit = 0;
    r = r < 0 ? r : weir_parse_decimal(weir_sv_of(g->limit), 6, &limit, err);
    q->limit = (double)limit / 1e6;
    snprintf(q->scope, sizeof q->scope, "%s", g->scope);
    snprintf(q->counts, sizeof q->counts, "%s", g->counts);
    snprintf(q->model, sizeof q->model, "%.*s", WEIR_SV_ARG(model));
    return r;
}

static int read_quota(struct weir_sim_budget_set *set, const struct words *w, size_t first, struct weir_err *err)
{
    struct weir_sim_quota q = {.limit = 0};
    struct weir_budget other = {.n_thresholds = 0};
    struct given g = {0};
    int r = read_name(w->word[first], "quota", q.def.name, sizeof q.def.name, err);
    if (r < 0) {
        return r;
    }
    r = read_options(w, first + 1, &g, &other, err);
    r = r < 0 ? r : read_quota_values(&g, &other, &q, err);
    for (size_t i = 0; i < set->n_quotas && r == 0; i++) {
        r = weir_streq(set->quota[i].def.name, q.def.name) ? weir_fail(err, -WEIR_EINVAL, "it stands twice") : 0;
    }
    if (r == 0 && set->n_quotas == WEIR_SIM_BUDGETS_MAX) {
        r = weir_fail(err, -WEIR_ELIMIT, "more than %d quotas", WEIR_SIM_BUDGETS_MAX);
    }
    if (r < 0) {
        return weir_fail_prefix(err, r, "quota '%s'", q.def.name);
    }
    if (set->quota == NULL) {
        set->quota = weir_calloc(WEIR_SIM_BUDGETS_MAX, sizeof *set->quota);
    }
    set->quota[set->n_quotas++] = q;
    return 0;
}

static int read_line(struct weir_sim_budget_set *set, const struct words *w, struct weir_err *err)
{
    size_t quota = command_words(w, "quota", 2);
    return quota > 0 ? read_quota(set, w, quota, err) : read_budget(set, w, command_words(w, "budget", 1), err);
}

int weir_sim_budgets_read(struct weir_sim_budget_set *set, const char *where, struct weir_sv text, struct weir_err *err)
{
    unsigned line = 0;
    int r = 0;
    while (text.p != NULL && r == 0) {
        struct weir_sv sv = weir_sv_cut(&text, '\n');
        WEIR_CLEANUP(weir_freep) char *copy = weir_strndup(sv.p, sv.n);
        struct words w;
        line++;
        r = strlen(copy) < sv.n ? weir_fail(err, -WEIR_EINVAL, "a byte of zero is no text") : cut(copy, &w, err);
        r = r < 0 || w.n == 0 ? r : read_line(set, &w, err);
    }
    return r < 0 ? weir_fail_prefix(err, r, "%s:%u", where, line) : 0;
}

int weir_sim_budgets_load(struct weir_sim_budget_set *set, const char *path, struct weir_err *err)
{
    WEIR_CLEANUP(weir_freep) char *bytes = NULL;
    size_t n = 0;
    int r = weir_file_read(path, WEIR_SIM_BUDGETS_BYTES_MAX, &bytes, &n, err);
    r = r < 0 ? r : weir_sim_budgets_read(set, path, (struct weir_sv){bytes, n}, err);
    if (r == 0 && set->n + set->n_quotas == 0) {
        r = weir_fail(err, -WEIR_EINVAL, "%s: no budget and no quota stands there", path);
    }
    return r;
}

void weir_sim_budget_set_release(struct weir_sim_budget_set *set)
{
    free(set->budget);
    free(set->quota);
    *set = (struct weir_sim_budget_set){0};
}
