/* SPDX-License-Identifier: Apache-2.0 */

/* weir budget: how much may be spent, and how much of it is. */

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "command.h"
#include "lists.h"
#include "verbs.h"

static const char *const spans[] = {"month", "quarter", "forever", "fixed", NULL};
static const char *const counts[] = {"all", "cloud", NULL};

const struct weir_opt weir_opts_budget[] = {
    {"for", 'f', WEIR_OPT_TEXT, .arg = "SCOPE", .help = "organisation, project:NAME, user:NAME or tag:KEY=VALUE"},
    {"amount", 'a', WEIR_OPT_MONEY, .arg = "AMOUNT", .help = "how much may be spent in the span"},
    {"span", 0, WEIR_OPT_CHOICE, .arg = "SPAN", .help = "month (default), quarter, forever or fixed; in UTC", .choices = spans},
    {"from", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "start of a fixed span"},
    {"until", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "its end"},
    {"counts", 0, WEIR_OPT_CHOICE, .arg = "WHAT", .help = "all (default), or cloud: rented machines only", .choices = counts},
    {"at", 0, WEIR_OPT_TEXT, .many = true, .arg = "PERCENT:ACTION",
     .help = "once so much is spent: warn, local-only, stop-new or stop-all; 'none' for no such"},
    {"spent", 0, WEIR_OPT_MONEY, .arg = "AMOUNT", .help = "spent in the span before the budget is set"},
    {0},
};

static void left_cell(struct weir_table *t, const json_t *o)
{
    struct weir_str s = WEIR_STR_INIT(256);
    weir_out_money(&s, weir_get_i64(o, "left_micro", 0), weir_get_currency(o));
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

static void forecast_cell(struct weir_table *t, const json_t *o)
{
    struct weir_str s = WEIR_STR_INIT(256);
    char error[WEIR_MONEY_SIZE];
    if (weir_get_is_set(o, "forecast_micro")) {
        weir_out_money(&s, weir_get_i64(o, "forecast_micro", 0), weir_get_currency(o));
        weir_str_addf(&s, " ±%s", weir_money_format_short(weir_get_i64(o, "forecast_error_micro", 0), weir_get_currency(o), error));
    } else {
        weir_str_adds(&s, "-");
    }
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"BUDGET", WEIR_FIELD_TEXT, "name", .shrink = true},
        {"FOR", WEIR_FIELD_TEXT, "scope", .shrink = true},
        {"AMOUNT", WEIR_FIELD_MONEY, "amount_micro"},
        {"SPENT", WEIR_FIELD_MONEY, "spent_micro"},
        {"HELD", WEIR_FIELD_MONEY, "held_micro"},
        {"LEFT", WEIR_FIELD_FN, .right = true, .cell = left_cell},
        {"FORECAST", WEIR_FIELD_FN, .right = true, .cell = forecast_cell},
        {"RUNS OUT", WEIR_FIELD_TIME, "runs_out", .drop = 2},
        {"UNTIL", WEIR_FIELD_TIME, "until", .drop = 1},
    };
    return weir_list_show(args, "/v1/budgets", field, WEIR_ARRAY_LEN(field), "no budgets", err);
}

static void line_money(const char *label, const json_t *o, const char *key)
{
    struct weir_str s = WEIR_STR_INIT(256);
    weir_out_money(&s, weir_get_i64(o, key, 0), weir_get_currency(o));
    weir_line_text(label, weir_str_cstr(&s));
    weir_str_release(&s);
}

static void line_list(const char *label, const json_t *o, const char *key)
{
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(o, key), i, x)
    {
        weir_line_text(i == 0 ? label : "", json_string_value(x));
    }
}

static void print_budget(const json_t *o)
{
    weir_line_field("Budget:", o, "name");
    weir_line_field("For:", o, "scope");
    weir_line_text("Counts:", weir_get_bool(o, "cloud_only") ? "rented machines only" : "all spending");
    weir_line_field("Span:", o, "span");
    weir_line_time("From:", o, "from");
    weir_line_time("Until:", o, "until");
    line_money("Amount:", o, "amount_micro");
    line_money("Spent:", o, "spent_micro");
    line_money("Held:", o, "held_micro");
    line_money("Left:", o, "left_micro");
    if (weir_get_i64(o, "left_micro", 0) < 0) {
        weir_line_text("", "spent and held are more than the amount: nothing starts that must be held in it");
    }
    if (weir_get_is_set(o, "forecast_micro")) {
        char a[WEIR_MONEY_SIZE];
        char b[WEIR_MONEY_SIZE];
        struct weir_str s = WEIR_STR_INIT(256);
        weir_str_addf(&s, "%s ± %s %s at the span's end", weir_money_format_short(weir_get_i64(o, "forecast_micro", 0), weir_get_currency(o), a),
                      weir_money_format_short(weir_get_i64(o, "forecast_error_micro", 0), weir_get_currency(o), b), weir_get_currency(o));
        weir_line_text("Forecast:", weir_str_cstr(&s));
        weir_str_release(&s);
    }
    weir_line_time("Runs out:", o, "runs_out");
    line_list("At:", o, "thresholds");
    line_list("Reached:", o, "reached");
}

static int call(const struct weir_args *args, const char *method, const char *body, struct weir_err *err)
{
    const char *const at[] = {"/v1/budgets", args->operand[1], NULL};
    return weir_object_call(args, method, at, body, print_budget, err);
}

/* As it was typed, with the currency that it names: the broker knows which is right. */
static void money_json(struct weir_json *j, const struct weir_args *args, const char *name)
{
    if (weir_args_has(args, name)) {
        weir_json_kv_cstr(j, name, weir_args_text(args, name));
    }
}

static void time_json(struct weir_json *j, const struct weir_args *args, const char *name)
{
    if (weir_args_has(args, name)) {
        weir_json_kv_time(j, name, weir_args_time(args, name));
    }
}

static int set(const struct weir_args *args, struct weir_err *err)
{
    struct weir_str body = WEIR_STR_INIT(16384);
    struct weir_json j = weir_json_begin(&body);
    weir_json_object(&j);
    if (weir_args_has(args, "for")) {
        weir_json_kv_cstr(&j, "scope", weir_args_text(args, "for"));
    }
    money_json(&j, args, "amount");
    money_json(&j, args, "spent");
    if (weir_args_has(args, "span")) {
        weir_json_kv_cstr(&j, "span", weir_args_text(args, "span"));
    }
    time_json(&j, args, "from");
    time_json(&j, args, "until");
    if (weir_args_has(args, "counts")) {
        weir_json_kv_bool(&j, "cloud_only", weir_streq(weir_args_text(args, "counts"), "cloud"));
    }
    if (weir_args_has(args, "at")) {
        weir_json_key(&j, "thresholds");
        weir_json_array(&j);
        for (size_t i = 0; weir_args_nth(args, "at", i) != NULL; i++) {
            if (!weir_streq(weir_args_nth(args, "at", i), "none")) {
                weir_json_cstr(&j, weir_args_nth(args, "at", i));
            }
        }
        weir_json_end(&j);
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

int weir_cmd_budget(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_verb verbs[] = {
        {"list", NULL, NULL, list},
        {"show", "NAME", NULL, show},
        {"set", "NAME", "*", set},
        {"rm", "NAME", NULL, drop},
        {0},
    };
    return weir_verb_run("budget", verbs, args, err);
}
