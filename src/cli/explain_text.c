/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "output.h"

enum { CANDIDATES_SHOWN_MAX = 20 };

static const char *text_or(const json_t *o, const char *key, const char *otherwise)
{
    const char *t = weir_get_text(o, key);
    return t != NULL && t[0] != '\0' ? t : otherwise;
}

/* A term of the sum; zero terms are left out of sight so that the others stand out. */
static void cell_money(struct weir_table *t, const json_t *c, const char *key)
{
    char buf[WEIR_MONEY_SIZE];
    int64_t micro = weir_get_i64(c, key, 0);
    weir_table_cell(t, micro == 0 ? "0" : weir_money_format_short(micro, buf));
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

static void add_candidates(const json_t *record, const char *currency, struct weir_str *out)
{
    static const struct weir_column column[] = {
        {"CANDIDATE", .shrink = true}, {"VERDICT"},
        {"STARTS IN", .right = true},  {"RUN", .right = true},
        {"BOOT", .right = true},       {"EGRESS", .right = true},
        {"RECLAIM", .right = true},    {"WAITING", .right = true},
        {"SHADOW", .right = true},     {"TOTAL", .right = true},
        {"WHY", .shrink = true},
    };
    const json_t *list = json_object_get(record, "candidates");
    if (json_array_size(list) == 0) {
        return;
    }
    struct weir_table *t = weir_table_new(column, sizeof column / sizeof column[0]);
    size_t i;
    json_t *c;
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
        static const char *const term[] = {"run_micro",  "boot_micro",   "egress_micro", "reclaim_micro",
                                           "wait_micro", "shadow_micro", "total_micro"};
        for (size_t k = 0; k < sizeof term / sizeof term[0]; k++) {
            cell_money(t, c, term[k]);
        }
        weir_table_cell(t, weir_get_text(c, "verdict_text"));
    }
    struct weir_term term = weir_term_of(STDOUT_FILENO);
    weir_str_addf(out, "\nCandidates, expected cost of the whole run in %s:\n", currency);
    weir_table_render(t, &term, out);
    weir_table_free(t);
    if (json_array_size(list) > CANDIDATES_SHOWN_MAX) {
        weir_str_addf(out, "... and %zu more; --json shows all\n", json_array_size(list) - CANDIDATES_SHOWN_MAX);
    }
}

static void add_rejected(const json_t *record, struct weir_str *out)
{
    const json_t *rejected = json_object_get(record, "rejected");
    if (json_object_size(rejected) == 0) {
        return;
    }
    weir_str_adds(out, "Rejected:");
    const char *sep = " ";
    for (void *i = json_object_iter((json_t *)(uintptr_t)rejected); i != NULL;
         i = json_object_iter_next((json_t *)(uintptr_t)rejected, i)) {
        weir_str_addf(out, "%s%" JSON_INTEGER_FORMAT " ", sep, json_integer_value(json_object_iter_value(i)));
        weir_out_clean(out, weir_sv_of(json_object_iter_key(i)), false);
        sep = ", ";
    }
    weir_str_addc(out, '\n');
}

/* What would change the decision, as far as the record tells. */
static void add_change(const json_t *record, const char *currency, struct weir_str *out)
{
    int64_t margin = weir_get_i64(record, "margin_micro", 0);
    int64_t ahead = weir_get_i64(record, "queue_ahead", 0);
    const char *decision = text_or(record, "decision", "");
    if (ahead > 0) {
        weir_str_addf(out, "Ahead in the queue: %" PRId64 " tasks; a higher priority (--priority) would pass them.\n",
                      ahead);
    }
    if (margin > 0 && json_array_size(json_object_get(record, "candidates")) > 1) {
        weir_str_adds(out, "What would change it: the next best candidate would win were it ");
        weir_out_money(out, margin, currency);
        weir_str_adds(out, " cheaper.\n");
    } else if (weir_streq(decision, "wait") && margin > 0) {
        weir_str_adds(out, "What would change it: waiting would end were renting ");
        weir_out_money(out, margin, currency);
        weir_str_adds(out, " cheaper.\n");
    }
}

static void add_record(const json_t *record, const char *currency, struct weir_str *out)
{
    struct weir_str line = WEIR_STR_INIT(1024);
    weir_str_addf(&line, "%s", text_or(record, "decision", "considered"));
    const char *task = weir_get_text(record, "task");
    const char *at = weir_get_text(record, "at");
    const char *node = weir_get_text(record, "node");
    const char *reason = weir_get_text(record, "reason");
    if (task != NULL) {
        weir_str_addf(&line, " of task %s, attempt %" PRId64, task, weir_get_i64(record, "attempt", 1));
    }
    if (node != NULL) {
        weir_str_addf(&line, ", on %s", node);
    }
    if (weir_get_is_set(record, "lease")) {
        weir_str_addf(&line, ", lease %" PRId64, weir_get_i64(record, "lease", 0));
    }
    if (reason != NULL) {
        weir_str_addf(&line, ", %s", reason);
    }
    if (at != NULL) {
        weir_str_addf(&line, ", at %s", at);
    }
    weir_out_clean(out, weir_str_sv(&line), false);
    weir_str_addc(out, '\n');
    weir_str_release(&line);
    const char *text = weir_get_text(record, "text");
    if (text != NULL && text[0] != '\0') {
        weir_out_clean(out, weir_sv_of(text), true);
        weir_str_addc(out, '\n');
    }
    add_candidates(record, currency, out);
    add_rejected(record, out);
    add_change(record, currency, out);
}

void weir_explain_text(const json_t *explain, const char *currency, struct weir_str *out)
{
    const json_t *items = json_object_get(explain, "items");
    const json_t *now = json_object_get(explain, "now");
    if (!json_is_array(items)) {
        add_record(explain, currency, out);
        return;
    }
    size_t i;
    json_t *record;
    json_array_foreach(items, i, record)
    {
        weir_str_adds(out, i > 0 ? "\n" : "");
        add_record(record, currency, out);
    }
    if (json_is_object(now)) {
        weir_str_addf(out, "%sNow: ", json_array_size(items) > 0 ? "\n" : "");
        add_record(now, currency, out);
    }
    if (json_array_size(items) == 0 && !json_is_object(now)) {
        weir_str_adds(out, "Nothing has been decided yet.\n");
    }
}
