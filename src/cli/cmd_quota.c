/* SPDX-License-Identifier: Apache-2.0 */

/* weir quota: how much may be used at once, or in a span of time, and how much of it is. */

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "command.h"
#include "lists.h"
#include "verbs.h"

static const char *const spans[] = {"month", "quarter", "forever", "fixed", NULL};

const struct weir_opt weir_opts_quota[] = {
    {"for", 'f', WEIR_OPT_TEXT, .arg = "SCOPE", .help = "organisation, project:NAME, user:NAME or tag:KEY=VALUE"},
    {"counts", 'c', WEIR_OPT_TEXT, .arg = "WHAT[:GPU]", .help = "gpus, gpu-hours, run-minutes, machines or tasks; of one model of GPU"},
    {"limit", 'l', WEIR_OPT_MONEY, .arg = "N", .help = "how much of it"},
    {"borrow", 'b', WEIR_OPT_TEXT, .arg = "N|all|none", .help = "of gpus: lend what is not used, and borrow up to so many of what others do not use (default: none)"},
    {"span", 0, WEIR_OPT_CHOICE, .arg = "SPAN", .help = "of gpu-hours: month (default), quarter, forever or fixed; in UTC", .choices = spans},
    {"from", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "start of a fixed span"},
    {"until", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "its end"},
    {0},
};

static void add_amount(struct weir_str *s, const json_t *o, const char *key)
{
    int64_t n = weir_get_i64(o, key, 0);
    const char *counts = weir_get_text(o, "counts");
    if (counts == NULL || !weir_streq(weir_get_text(o, "unit"), "gpu_s")) {
        weir_str_add_i64(s, n);
        return;
    }
    int64_t unit_s = weir_streq(counts, "gpu-hours") ? 3600 : 60;
    weir_str_addf(s, "%lld.%02d", (long long)(n / unit_s), (int)(n % unit_s * 100 / unit_s));
}

static void amount_cell(struct weir_table *t, const json_t *o, const char *key)
{
    struct weir_str s = WEIR_STR_INIT(64);
    add_amount(&s, o, key);
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

static void limit_cell(struct weir_table *t, const json_t *o)
{
    amount_cell(t, o, "limit");
}

static void used_cell(struct weir_table *t, const json_t *o)
{
    amount_cell(t, o, "used");
}

/* Of one that shares: how much of what is used is others'. */
static void borrowed_cell(struct weir_table *t, const json_t *o)
{
    if (weir_get_text(o, "borrow") == NULL) {
        weir_table_cell(t, "-");
    } else {
        amount_cell(t, o, "borrowed");
    }
}

static void held_cell(struct weir_table *t, const json_t *o)
{
    amount_cell(t, o, "held");
}

static void left_cell(struct weir_table *t, const json_t *o)
{
    amount_cell(t, o, "left");
}

static void add_counts(struct weir_str *s, const json_t *o)
{
    const char *counts = weir_get_text(o, "counts");
    const char *gpu = weir_get_text(o, "gpu");
    weir_str_adds(s, counts == NULL ? "?" : counts);
    if (gpu != NULL) {
        weir_str_addf(s, ":%s", gpu);
    }
}

static void counts_cell(struct weir_table *t, const json_t *o)
{
    struct weir_str s = WEIR_STR_INIT(256);
    add_counts(&s, o);
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"QUOTA", WEIR_FIELD_TEXT, "name", .shrink = true},
        {"FOR", WEIR_FIELD_TEXT, "scope", .shrink = true},
        {"COUNTS", WEIR_FIELD_FN, .cell = counts_cell},
        {"LIMIT", WEIR_FIELD_FN, .right = true, .cell = limit_cell},
        {"USED", WEIR_FIELD_FN, .right = true, .cell = used_cell},
        {"BORROWED", WEIR_FIELD_FN, .right = true, .cell = borrowed_cell},
        {"HELD", WEIR_FIELD_FN, .right = true, .cell = held_cell},
        {"LEFT", WEIR_FIELD_FN, .right = true, .cell = left_cell},
        {"UNTIL", WEIR_FIELD_TIME, "until", .drop = 1},
    };
    return weir_list_show(args, "/v1/quotas", field, WEIR_ARRAY_LEN(field), "no quotas", err);
}

static void line_amount(const char *label, const json_t *o, const char *key)
{
    struct weir_str s = WEIR_STR_INIT(64);
    add_amount(&s, o, key);
    weir_line_text(label, weir_str_cstr(&s));
    weir_str_release(&s);
}

static void print_quota(const json_t *o)
{
    struct weir_str s = WEIR_STR_INIT(256);
    add_counts(&s, o);
    weir_line_field("Quota:", o, "name");
    weir_line_field("For:", o, "scope");
    weir_line_text("Counts:", weir_str_cstr(&s));
    weir_str_release(&s);
    if (weir_streq(weir_get_text(o, "counts"), "gpu-hours")) {
        weir_line_field("Span:", o, "span");
        weir_line_time("From:", o, "from");
        weir_line_time("Until:", o, "until");
    }
    line_amount("Limit:", o, "limit");
    line_amount("Used:", o, "used");
    if (weir_get_text(o, "borrow") != NULL) {
        line_amount("Borrowed:", o, "borrowed");
        weir_line_field("Borrows at most:", o, "borrow");
    }
    if (weir_get_i64(o, "held", 0) != 0) {
        line_amount("Held:", o, "held");
    }
    line_amount("Left:", o, "left");
}

static int call(const struct weir_args *args, const char *method, const char *body, struct weir_err *err)
{
    const char *const at[] = {"/v1/quotas", args->operand[1], NULL};
    return weir_object_call(args, method, at, body, print_quota, err);
}

static int set(const struct weir_args *args, struct weir_err *err)
{
    struct weir_str body = WEIR_STR_INIT(16384);
    struct weir_json j = weir_json_begin(&body);
    weir_json_object(&j);
    if (weir_args_has(args, "for")) {
        weir_json_kv_cstr(&j, "scope", weir_args_text(args, "for"));
    }
    if (weir_args_has(args, "counts")) {
        struct weir_sv gpu = weir_sv_of(weir_args_text(args, "counts"));
        struct weir_sv word = weir_sv_cut(&gpu, ':');
        weir_json_key(&j, "counts");
        weir_json_string(&j, word);
        if (gpu.n > 0) {
            weir_json_key(&j, "gpu");
            weir_json_string(&j, gpu);
        }
    }
    if (weir_args_has(args, "limit")) {
        weir_json_kv_cstr(&j, "limit", weir_args_text(args, "limit"));
    }
    if (weir_args_has(args, "borrow")) {
        weir_json_kv_cstr(&j, "borrow", weir_args_text(args, "borrow"));
    }
    if (weir_args_has(args, "span")) {
        weir_json_kv_cstr(&j, "span", weir_args_text(args, "span"));
    }
    if (weir_args_has(args, "from")) {
        weir_json_kv_time(&j, "from", weir_args_time(args, "from"));
    }
    if (weir_args_has(args, "until")) {
        weir_json_kv_time(&j, "until", weir_args_time(args, "until"));
    }
    weir_json_end(&j);
    int r = call(args, "PUT", weir_str_cstr(&body), err);
    weir_str_release(&body);
    return r;
}

static int show(const struct weir_args *args, struct weir_err *err)
{
    return call(args, "GET", NULL, err);
}

static int drop(const struct weir_args *args, struct weir_err *err)
{
    return call(args, "DELETE", NULL, err);
}

int weir_cmd_quota(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_verb verbs[] = {
        {"list", NULL, NULL, list},
        {"show", "NAME", NULL, show},
        {"set", "NAME", "*", set},
        {"rm", "NAME", NULL, drop},
        {0},
    };
    return weir_verb_run("quota", verbs, args, err);
}
