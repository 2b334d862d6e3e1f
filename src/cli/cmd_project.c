/* SPDX-License-Identifier: Apache-2.0 */

/* weir project: who pays, and how much has been spent. */

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "command.h"
#include "lists.h"
#include "verbs.h"

static const char *const roles[] = {"owner", "user", "viewer", NULL};

const struct weir_opt weir_opts_project[] = {
    {"weight", 'w', WEIR_OPT_COUNT, .arg = "N", .help = "share among the projects (default 100)", .min = 1,
     .max = 1000000},
    {"delay-cost", 0, WEIR_OPT_MONEY, .arg = "AMOUNT",
     .help = "what an hour of waiting costs its jobs, unless they say"},
    {"role", 0, WEIR_OPT_CHOICE, .arg = "ROLE", .help = "add: of the member (default user)", .choices = roles},
    {0},
};

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"PROJECT", WEIR_FIELD_TEXT, "name", .shrink = true},
        {"WEIGHT", WEIR_FIELD_INT, "weight"},
        {"DELAY COST", WEIR_FIELD_RATE, "delay_cost_micro_per_hour"},
        {"USED", WEIR_FIELD_MONEY, "spent_micro"},
        {"WASTE", WEIR_FIELD_MONEY, "waste_micro"},
        {"TOTAL", WEIR_FIELD_MONEY, "total_micro"},
    };
    return weir_list_show(args, "/v1/projects", field, WEIR_ARRAY_LEN(field), "no projects", err);
}

static void line_money(const char *label, int64_t micro, const char *currency, const char *unit)
{
    struct weir_str s = WEIR_STR_INIT(256);
    weir_out_money(&s, micro, currency);
    weir_str_adds(&s, unit);
    weir_line_text(label, weir_str_cstr(&s));
    weir_str_release(&s);
}

static void print_project(const json_t *o)
{
    const char *currency = weir_get_currency(o);
    weir_line_field("Project:", o, "name");
    weir_line_field("Weight:", o, "weight");
    line_money("Delay cost:", weir_get_i64(o, "delay_cost_micro_per_hour", 0), currency, "/h");
    line_money("Used:", weir_get_i64(o, "spent_micro", 0), currency, "");
    line_money("Waste:", weir_get_i64(o, "waste_micro", 0), currency, "");
    line_money("Total:", weir_get_i64(o, "total_micro", 0), currency, "");
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(o, "by_pool"), i, p)
    {
        const char *pool = weir_get_text(p, "pool");
        struct weir_str line = WEIR_STR_INIT(512);
        weir_out_money(&line, weir_get_i64(p, "total_micro", 0), currency);
        weir_str_addf(&line, " on %s", pool != NULL ? pool : "?");
        weir_line_text(i == 0 ? "By pool:" : "", weir_str_cstr(&line));
        weir_str_release(&line);
    }
    json_array_foreach(json_object_get(o, "members"), i, p)
    {
        const char *name = weir_get_text(p, "name");
        const char *role = weir_get_text(p, "role");
        struct weir_str line = WEIR_STR_INIT(512);
        weir_str_addf(&line, "%s (%s)", name != NULL ? name : "?", role != NULL ? role : "?");
        weir_line_text(i == 0 ? "Members:" : "", weir_str_cstr(&line));
        weir_str_release(&line);
    }
}

static int call(const struct weir_args *args, const char *method, const char *body, struct weir_err *err)
{
    const char *const at[] = {"/v1/projects", args->operand[1], NULL};
    return weir_object_call(args, method, at, body, print_project, err);
}

static int set(const struct weir_args *args, struct weir_err *err)
{
    if (!weir_args_has(args, "weight") && !weir_args_has(args, "delay-cost")) {
        return weir_fail(err, -WEIR_EINVAL, "nothing to set: give --weight N or --delay-cost AMOUNT");
    }
    struct weir_str body = WEIR_STR_INIT(1024);
    struct weir_json j = weir_json_begin(&body);
    weir_json_object(&j);
    if (weir_args_has(args, "weight")) {
        weir_json_kv_u64(&j, "weight", weir_args_count(args, "weight", 0));
    }
    if (weir_args_has(args, "delay-cost")) {
        weir_json_kv_cstr(&j, "delay_cost", weir_args_text(args, "delay-cost"));
    }
    weir_json_end(&j);
    int r = call(args, "PUT", weir_str_cstr(&body), err);
    weir_str_release(&body);
    return r;
}

/* Takes somebody into a project, or out of it (body NULL). */
static int member(const struct weir_args *args, const char *method, const char *body, struct weir_err *err)
{
    const char *const at[] = {"/v1/projects", args->operand[1], "members", args->operand[2], NULL};
    return weir_object_call(args, method, at, body, NULL, err);
}

static int add(const struct weir_args *args, struct weir_err *err)
{
    const char *role = weir_args_text(args, "role");
    char body[64];
    (void)snprintf(body, sizeof body, "{\"role\":\"%s\"}", role == NULL ? "user" : role);
    return member(args, "PUT", body, err);
}

static int show(const struct weir_args *args, struct weir_err *err)
{
    return call(args, "GET", NULL, err);
}

static int drop(const struct weir_args *args, struct weir_err *err)
{
    return member(args, "DELETE", NULL, err);
}

int weir_cmd_project(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_verb verbs[] = {
        {"list", NULL, NULL, list},
        {"show", "NAME", NULL, show},
        {"set", "NAME", "weight delay-cost", set},
        {"add", "NAME USER", "role", add},
        {"rm", "NAME USER", NULL, drop},
        {0},
    };
    return weir_verb_run("project", verbs, args, err);
}
