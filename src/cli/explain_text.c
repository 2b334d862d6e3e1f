/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/vec.h"
#include "output.h"

enum { CANDIDATES_SHOWN_MAX = 20 };

static const char *text_or(const json_t *o, const char *key, const char *otherwise)
{
    const char *t = weir_get_text(o, key);
    return t != NULL && t[0] != '\0' ? t : otherwise;
}

/* A term of the sum. */
static void cell_money(struct weir_table *t, const json_t *c, const char *key, const char *currency)
{
    char buf[WEIR_MONEY_SIZE];
    int64_t micro = weir_get_i64(c, key, 0);
    weir_table_cell(t, weir_money_format_short(micro, currency, buf));
}

static void cell_candidate(struct weir_table *t, const json_t *c, const char *currency)
{
    const json_t *offer = json_object_get(c, "offer");
    struct weir_str s = WEIR_STR_INIT(512);
    weir_str_adds(&s, text_or(c, "kind", "?"));
    const char *node = weir_get_text(c, "node");
    if (node != NULL) {
        weir_str_addf(&s, " %s", node);
    }
    if (json_is_object(offer)) {
        weir_str_addf(&s, " %s %s %s %s", text_or(offer, "provider", "?"), text_or(offer, "region", ""),
                      text_or(offer, "instance_type", ""), text_or(offer, "market", ""));
        weir_str_adds(&s, " at ");
        weir_out_rate(&s, weir_get_i64(offer, "price_micro_per_hour", 0), currency);
    }
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

/* The terms of the sum; one that is zero in every candidate is no column. */
static const struct {
    const char *key;
    const char *title;
} terms[] = {
    {"run_micro", "RUN"},         {"boot_micro", "BOOT"},    {"failure_micro", "FAILURES"}, {"egress_micro", "EGRESS"},
    {"reclaim_micro", "RECLAIM"}, {"wait_micro", "WAITING"}, {"shadow_micro", "SHADOW"},
};

static void add_candidates(const json_t *record, const char *currency, const struct weir_term *term,
                           struct weir_str *out)
{
    const json_t *list = json_object_get(record, "candidates");
    if (json_array_size(list) == 0) {
        return;
    }
    struct weir_column column[5 + WEIR_ARRAY_LEN(terms)] = {
        {"CANDIDATE", .shrink = true, .min = 32}, {"VERDICT"}, {"STARTS IN", .right = true}};
    size_t shown[WEIR_ARRAY_LEN(terms)];
    size_t n = 0;
    size_t i;
    json_t *c;
    for (size_t k = 0; k < WEIR_ARRAY_LEN(terms); k++) {
        bool any = false;
        json_array_foreach(list, i, c)
        {
            any = any || weir_get_i64(c, terms[k].key, 0) != 0;
        }
        if (any) {
            column[3 + n] = (struct weir_column){terms[k].title, .right = true, .drop = 1 + (unsigned)k};
            shown[n++] = k;
        }
    }
    column[3 + n] = (struct weir_column){"TOTAL", .right = true};
    column[4 + n] = (struct weir_column){"WHY", .shrink = true, .drop = 1 + WEIR_ARRAY_LEN(terms)};
    struct weir_table *t = weir_table_new(column, 5 + n);
    json_array_foreach(list, i, c)
    {
        char buf[WEIR_RFC3339_SIZE];
        const char *verdict = text_or(c, "verdict", "");
        if (i >= CANDIDATES_SHOWN_MAX) {
            break;
        }
        cell_candidate(t, c, currency);
        weir_table_cell_styled(t, weir_streq(verdict, "chosen") ? WEIR_STYLE_GOOD : WEIR_STYLE_PLAIN, verdict);
        int64_t delay_s = weir_get_i64(c, "start_delay_s", -1);
        weir_table_cell(t, delay_s < 0 ? NULL : delay_s == 0 ? "now" : weir_dur_format(weir_dur_s(delay_s), buf));
        for (size_t k = 0; k < n; k++) {
            cell_money(t, c, terms[shown[k]].key, currency);
        }
        cell_money(t, c, "total_micro", currency);
        weir_table_cell(t, weir_get_text(c, "verdict_text"));
    }
    weir_str_addf(out, "\nCandidates, expected cost of the whole run in %s:\n", currency);
    weir_table_render(t, term, out);
    weir_table_free(t);
    if (json_array_size(list) > CANDIDATES_SHOWN_MAX) {
        weir_str_addf(out, "... and %zu more; --json shows all\n", json_array_size(list) - CANDIDATES_SHOWN_MAX);
    }
}

/* Records of one job that say the same of different tasks. */
struct group {
    char *key;
    const json_t *first;
    const json_t *last;
    uint64_t tasks;
    char *names; /* the first few */
    bool one_node;
};

/* What the decision was and what it was made for; not which task, node or machine it fell on. */
static char *group_key(const json_t *record)
{
    struct weir_str s = WEIR_STR_INIT(4096);
    weir_str_addf(&s, "%s|%s|", text_or(record, "decision", ""), text_or(record, "reason", ""));
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(record, "candidates"), i, c)
    {
        const json_t *o = json_object_get(c, "offer");
        if (weir_streq(text_or(c, "verdict", ""), "chosen")) {
            weir_str_addf(&s, "%s|%s|%s|%s|%s", text_or(c, "kind", ""), text_or(o, "provider", ""),
                          text_or(o, "region", ""), text_or(o, "instance_type", ""), text_or(o, "market", ""));
        }
    }
    return weir_str_take(&s);
}

static void group_add(struct group *g, const json_t *record)
{
    enum { NAMES_SHOWN = 3 };
    const char *task = text_or(record, "task", "?");
    g->last = record;
    g->one_node = g->one_node && weir_streq(text_or(record, "node", ""), text_or(g->first, "node", ""));
    if (g->tasks++ < NAMES_SHOWN) {
        struct weir_str s = WEIR_STR_INIT(512);
        weir_str_addf(&s, "%s%s%s", g->names != NULL ? g->names : "", g->names != NULL ? ", " : "", task);
        free(g->names);
        g->names = weir_str_take(&s);
    } else if (g->tasks == NAMES_SHOWN + 1) {
        struct weir_str s = WEIR_STR_INIT(512);
        weir_str_addf(&s, "%s, ...", g->names);
        free(g->names);
        g->names = weir_str_take(&s);
    }
}

/* "start of task 12_7, attempt 1, on host1, at ..."; "start of 24 tasks (12_0, ...), at ... to ...; the first:" */
static void add_heading(const struct group *g, struct weir_str *out)
{
    struct weir_str line = WEIR_STR_INIT(4096);
    const json_t *record = g->first;
    const char *task = weir_get_text(record, "task");
    const char *at = weir_get_text(record, "at");
    const char *until = weir_get_text(g->last, "at");
    const char *node = weir_get_text(record, "node");
    const char *reason = weir_get_text(record, "reason");
    weir_str_adds(&line, text_or(record, "decision", "considered"));
    if (g->tasks > 1) {
        weir_str_addf(&line, " of %" PRIu64 " tasks (%s)", g->tasks, g->names);
    } else if (task != NULL) {
        weir_str_addf(&line, " of task %s, attempt %" PRId64, task, weir_get_i64(record, "attempt", 1));
    }
    if (node != NULL && g->one_node) {
        weir_str_addf(&line, ", on %s", node);
    }
    if (g->tasks <= 1 && weir_get_is_set(record, "lease")) {
        weir_str_addf(&line, ", lease %" PRId64, weir_get_i64(record, "lease", 0));
    }
    if (reason != NULL) {
        weir_str_addf(&line, ", %s", reason);
    }
    if (at != NULL) {
        weir_str_addf(&line, ", at %s", at);
    }
    if (g->tasks > 1) {
        bool span = at != NULL && until != NULL && !weir_streq(at, until);
        weir_str_addf(&line, "%s%s; the first of them:", span ? " to " : "", span ? until : "");
    }
    weir_out_clean(out, weir_str_sv(&line), false);
    weir_str_addc(out, '\n');
    weir_str_release(&line);
}

static void add_record(const json_t *record, const char *currency, const struct weir_term *term, struct weir_str *out)
{
    const char *text = text_or(record, "text", "");
    if (text[0] != '\0') {
        struct weir_str clean = WEIR_STR_INIT(1 << 16);
        weir_out_clean(&clean, weir_sv_of(text), true);
        weir_out_wrap(out, weir_str_sv(&clean), term->width);
        weir_str_release(&clean);
        weir_str_addc(out, '\n');
    }
    add_candidates(record, currency, term, out);
}

static void add_one(const json_t *record, const char *currency, const struct weir_term *term, struct weir_str *out)
{
    struct group one = {.first = record, .last = record, .one_node = true};
    add_heading(&one, out);
    add_record(record, currency, term, out);
}

static void add_groups(const json_t *items, const char *currency, const struct weir_term *term, struct weir_str *out)
{
    WEIR_VEC(struct group) groups = {0};
    size_t i;
    json_t *record;
    json_array_foreach(items, i, record)
    {
        char *key = group_key(record);
        size_t g = 0;
        while (g < groups.n && !weir_streq(groups.p[g].key, key)) {
            g++;
        }
        if (g == groups.n) {
            weir_vec_push(&groups, ((struct group){.key = key, .first = record, .one_node = true}));
        } else {
            free(key);
        }
        group_add(&groups.p[g], record);
    }
    for (size_t g = 0; g < groups.n; g++) {
        weir_str_adds(out, g > 0 ? "\n" : "");
        add_heading(&groups.p[g], out);
        add_record(groups.p[g].first, currency, term, out);
        free(groups.p[g].key);
        free(groups.p[g].names);
    }
    weir_vec_release(&groups);
}

void weir_explain_text(const json_t *explain, const char *currency, bool by_decision, struct weir_str *out)
{
    struct weir_term term = weir_term_of(STDOUT_FILENO);
    const json_t *items = json_object_get(explain, "items");
    const json_t *now = json_object_get(explain, "now");
    if (!json_is_array(items)) {
        add_one(explain, currency, &term, out);
        return;
    }
    if (by_decision) {
        add_groups(items, currency, &term, out);
    } else {
        size_t i;
        json_t *record;
        json_array_foreach(items, i, record)
        {
            weir_str_adds(out, i > 0 ? "\n" : "");
            add_one(record, currency, &term, out);
        }
    }
    if (json_is_object(now)) {
        weir_str_addf(out, "%sNow: ", json_array_size(items) > 0 ? "\n" : "");
        add_one(now, currency, &term, out);
    }
    if (json_array_size(items) == 0 && !json_is_object(now)) {
        weir_str_adds(out, "Nothing has been decided yet.\n");
    }
}
