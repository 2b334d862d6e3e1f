/* SPDX-License-Identifier: Apache-2.0 */

/* weir rule: what is charged beyond the cost or below it, and rates of currencies. */

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "command.h"
#include "lists.h"
#include "verbs.h"

static const char *const shares[] = {"use", "weight", NULL};
static const char *const classes[] = {"owned", "spot", "on_demand", "reserved", NULL};

const struct weir_opt weir_opts_rule[] = {
    {"percent", 0, WEIR_OPT_TEXT, .arg = "PERCENT", .help = "markup, discount: of the cost"},
    {"per-gpu-hour", 0, WEIR_OPT_MONEY, .arg = "AMOUNT", .help = "price: instead of the cost; discount: off it; in the ledger's currency, which it may name"},
    {"per-hour", 0, WEIR_OPT_MONEY, .arg = "AMOUNT", .help = "commitment: used or not"},
    {"gpus", 0, WEIR_OPT_COUNT, .arg = "N", .help = "commitment: of so many GPUs; what they do not use is nobody's", .min = 1, .max = 1000000},
    {"by", 0, WEIR_OPT_CHOICE, .arg = "SHARE", .help = "spread: by use of the pool in the day, or by weight of the projects", .choices = shares},
    {"currency", 0, WEIR_OPT_TEXT, .arg = "CUR", .help = "exchange: of which"},
    {"rate", 0, WEIR_OPT_TEXT, .arg = "RATE", .help = "exchange: what a unit of it is in the ledger's currency"},
    {"project", 'A', WEIR_OPT_TEXT, .arg = "NAME", .help = "for this project only"},
    {"user", 'u', WEIR_OPT_TEXT, .arg = "NAME", .help = "for this user only"},
    {"tag", 0, WEIR_OPT_TEXT, .arg = "KEY=VALUE", .help = "for jobs with this tag only"},
    {"pool", 0, WEIR_OPT_TEXT, .arg = "NAME", .help = "for this pool only"},
    {"gpu", 0, WEIR_OPT_TEXT, .arg = "MODEL", .help = "for machines with this kind of GPU only"},
    {"class", 0, WEIR_OPT_CHOICE, .arg = "CLASS", .help = "for machines of this class only", .choices = classes},
    {"from", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "in force from this time, which is not closed (default now)"},
    {"until", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "until this time (default: for ever); end: from when it is no longer in force"},
    {0},
};

static bool is_money(const char *key)
{
    return weir_streq(key, "per_gpu_hour") || weir_streq(key, "per_hour") || weir_streq(key, "rate");
}

/* What the rule says, in one cell: "per_gpu_hour=2.10 EUR project=vision". */
static void says_cell(struct weir_table *t, const json_t *o)
{
    const char *currency = weir_get_currency(o);
    struct weir_str s = WEIR_STR_INIT(1024);
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(o, "rule"), key, value)
    {
        weir_str_adds(&s, s.n == 0 ? "" : " ");
        if (json_is_string(value)) {
            weir_str_addf(&s, "%s=%s%s%s", key, json_string_value(value), is_money(key) ? " " : "", is_money(key) ? currency : "");
        } else {
            weir_str_addf(&s, "%s=%" PRId64, key, (int64_t)json_integer_value(value));
        }
    }
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"RULE", WEIR_FIELD_TEXT, "name", .shrink = true},
        {"KIND", WEIR_FIELD_TEXT, "kind"},
        {"SAYS", WEIR_FIELD_FN, .cell = says_cell, .shrink = true},
        {"FROM (UTC)", WEIR_FIELD_TIME, "from"},
        {"UNTIL", WEIR_FIELD_TIME, "until"},
        {"USER", WEIR_FIELD_TEXT, "user", .drop = 1},
    };
    return weir_list_show(args, "/v1/rules", field, WEIR_ARRAY_LEN(field), "no rules: what is charged is the cost", err);
}

static void add_options(const struct weir_args *args, struct weir_json *j)
{
    /* as they are called in the API */
    static const char *const texts[][2] = {{"percent", "percent"}, {"by", "by"},     {"currency", "currency"}, {"rate", "rate"}, {"project", "project"},
                                           {"user", "user"},       {"tag", "tag"},   {"pool", "pool"},         {"gpu", "gpu"},   {"class", "class"},
                                           {"per-gpu-hour", "per_gpu_hour"},         {"per-hour", "per_hour"}};
    static const char *const times[] = {"from", "until"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        if (weir_args_has(args, texts[i][0])) {
            weir_json_kv_cstr(j, texts[i][1], weir_args_text(args, texts[i][0]));
        }
    }
    if (weir_args_has(args, "gpus")) {
        weir_json_kv_u64(j, "gpus", weir_args_count(args, "gpus", 0));
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(times); i++) {
        char buf[WEIR_RFC3339_SIZE];
        if (weir_args_has(args, times[i])) {
            weir_json_kv_cstr(j, times[i], weir_wall_format(weir_args_time(args, times[i]), buf));
        }
    }
}

static int call(const struct weir_args *args, const char *method, const char *name, const char *behind, const char *body, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    WEIR_CLEANUP(weir_str_release) struct weir_str path = WEIR_STR_INIT(1024);
    json_t *o = NULL;
    weir_str_adds(&path, "/v1/rules");
    weir_path_add(&path, name);
    weir_str_adds(&path, behind);
    int r = weir_client_open(&api, args, err);
    r = r < 0 ? r : weir_client_call(api, method, weir_str_cstr(&path), body, &o, err);
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(o);
    } else if (r == 0) {
        const char *from = weir_get_text(o, "from");
        const char *until = weir_get_text(o, "until");
        (void)printf("rule %s: %s, from %s%s%s\n", name, weir_get_text(o, "kind"), from == NULL ? "now" : from, until == NULL ? "" : " until ",
                     until == NULL ? "" : until);
    }
    json_decref(o);
    return r;
}

static int add(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str body = WEIR_STR_INIT(16384);
    struct weir_json j = weir_json_begin(&body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "kind", args->operand[2]);
    add_options(args, &j);
    weir_json_end(&j);
    return call(args, "PUT", args->operand[1], "", weir_str_cstr(&body), err);
}

static int end(const struct weir_args *args, struct weir_err *err)
{
    char body[96] = "{}";
    char buf[WEIR_RFC3339_SIZE];
    if (weir_args_has(args, "until")) {
        (void)snprintf(body, sizeof body, "{\"at\":\"%s\"}", weir_wall_format(weir_args_time(args, "until"), buf));
    }
    return call(args, "POST", args->operand[1], "/end", body, err);
}

int weir_cmd_rule(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_verb verbs[] = {
        {"list", NULL, NULL, list},
        {"add", "NAME KIND", "*", add},
        {"end", "NAME", "until", end},
        {0},
    };
    return weir_verb_run("rule", verbs, args, err);
}
