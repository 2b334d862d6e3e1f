/* SPDX-License-Identifier: Apache-2.0 */

#include "budget_spans.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/money.h"
#include "result.h"

struct weir_sim_budget_span *weir_sim_budget_spans_add(struct weir_sim_budget_spans *s)
{
    s->span = weir_realloc(s->span, s->n + 1, sizeof *s->span);
    memset(&s->span[s->n], 0, sizeof *s->span);
    s->span[s->n].without_micro = -1;
    return &s->span[s->n++];
}

struct weir_sim_budget_span *weir_sim_budget_spans_find(const struct weir_sim_budget_spans *s, const char *name, struct weir_wall from)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->span[i].from.us == from.us && weir_streq(s->span[i].name, name)) {
            return &s->span[i];
        }
    }
    return NULL;
}

void weir_sim_budget_spans_free(struct weir_sim_budget_spans *s)
{
    if (s != NULL) {
        free(s->span);
        free(s);
    }
}

int64_t weir_sim_budget_span_saved(const struct weir_sim_budget_span *s)
{
    return s->without_micro < 0 ? 0 : s->without_micro - s->spent_micro;
}

static void kv_money(struct weir_json *j, const char *key, int64_t micro)
{
    char text[WEIR_MONEY_SIZE];
    weir_json_key(j, key);
    weir_json_raw(j, weir_sv_of(weir_money_format(micro, text)));
}

static void money_json(const struct weir_sim_budget_span *s, struct weir_json *j)
{
    kv_money(j, "amount", s->amount_micro);
    kv_money(j, "spent", s->spent_micro);
    if (s->without_micro < 0) {
        weir_json_key(j, "without");
        weir_json_null(j);
    } else {
        kv_money(j, "without", s->without_micro);
    }
    kv_money(j, "not_spent", weir_sim_budget_span_saved(s));
}

static void reached_json(const struct weir_sim_budget_span *s, struct weir_json *j)
{
    weir_json_key(j, "reached");
    weir_json_array(j);
    for (size_t i = 0; i < s->n_reached; i++) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "threshold", s->reached[i].threshold);
        weir_json_kv_time(j, "at", s->reached[i].at);
        weir_json_end(j);
    }
    weir_json_end(j);
}

static void span_json(const struct weir_sim_budget_span *s, struct weir_json *j)
{
    char number[40];
    weir_json_object(j);
    weir_json_kv_cstr(j, s->is_quota ? "quota" : "budget", s->name);
    weir_json_kv_cstr(j, "scope", s->scope);
    weir_json_kv_cstr(j, "counts", s->is_quota ? s->counts : s->cloud_only ? "cloud" : "all");
    weir_json_kv_time(j, "from", s->from);
    weir_json_kv_time(j, "until", s->until);
    if (s->is_quota) {
        weir_sim_real_text(number, sizeof number, s->limit);
        weir_json_key(j, "limit");
        weir_json_raw(j, weir_sv_of(number));
    } else {
        money_json(s, j);
    }
    weir_json_kv_i64(j, "held_back", (int64_t)s->held_back);
    weir_sim_real_text(number, sizeof number, s->waited_h);
    weir_json_key(j, "waited_hours");
    weir_json_raw(j, weir_sv_of(number));
    weir_json_kv_i64(j, "waiting_at_end", (int64_t)s->waiting);
    weir_json_kv_i64(j, "never_started", (int64_t)s->never);
    if (!s->is_quota) {
        reached_json(s, j);
    }
    weir_json_end(j);
}

void weir_sim_budget_spans_json(const struct weir_sim_budget_spans *s, struct weir_json *j)
{
    weir_json_array(j);
    for (size_t i = 0; i < s->n; i++) {
        span_json(&s->span[i], j);
    }
    weir_json_end(j);
}
