/* SPDX-License-Identifier: Apache-2.0 */

/* weir token: credentials for the broker. A secret is printed once, when it is made. */

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "command.h"
#include "lists.h"
#include "verbs.h"

static const char *const roles[] = {"admin", "operator", "finance", "user", "viewer", "agent", NULL};

const struct weir_opt weir_opts_token[] = {
    {"user", 'u', WEIR_OPT_TEXT, .arg = "USER", .help = "whose (default: your own)"},
    {"role", 0, WEIR_OPT_CHOICE, .arg = "ROLE", .help = "no more than that (default: what the user may)", .choices = roles},
    {"project", 0, WEIR_OPT_TEXT, .many = true, .arg = "PROJECT", .help = "only in this project; may be repeated"},
    {"name", 0, WEIR_OPT_TEXT, .arg = "TEXT", .help = "what it is for"},
    {"expires", 0, WEIR_OPT_DURATION, .arg = "DURATION", .help = "how long it is good: 30d (default: until it is revoked)"},
    {0},
};

static void projects_cell(struct weir_table *t, const json_t *o)
{
    struct weir_str s = WEIR_STR_INIT(1 << 16);
    size_t i;
    json_t *p;
    json_array_foreach (json_object_get(o, "projects"), i, p) {
        weir_str_addf(&s, "%s%s", i == 0 ? "" : ", ", json_is_string(p) ? json_string_value(p) : "?");
    }
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"TOKEN", WEIR_FIELD_TEXT, "id"},
        {"USER", WEIR_FIELD_TEXT, "user"},
        {"ROLE", WEIR_FIELD_TEXT, "role"},
        {"PROJECTS", WEIR_FIELD_FN, .cell = projects_cell, .shrink = true},
        {"CREATED", WEIR_FIELD_TIME, "created", .drop = 1},
        {"BY", WEIR_FIELD_TEXT, "created_by", .drop = 2},
        {"EXPIRES", WEIR_FIELD_TIME, "expires"},
        {"NAME", WEIR_FIELD_TEXT, "name", .shrink = true},
    };
    return weir_list_show(args, "/v1/tokens", field, WEIR_ARRAY_LEN(field), "no tokens", err);
}

static void make_body(const struct weir_args *args, struct weir_str *body)
{
    struct weir_json j = weir_json_begin(body);
    static const char *const keys[] = {"user", "role", "name"};
    weir_json_object(&j);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(keys); i++) {
        if (weir_args_has(args, keys[i])) {
            weir_json_kv_cstr(&j, keys[i], weir_args_text(args, keys[i]));
        }
    }
    if (weir_args_has(args, "project")) {
        const char *project;
        weir_json_key(&j, "projects");
        weir_json_array(&j);
        for (size_t i = 0; (project = weir_args_nth(args, "project", i)) != NULL; i++) {
            weir_json_cstr(&j, project);
        }
        weir_json_end(&j);
    }
    if (weir_args_has(args, "expires")) {
        struct weir_dur span = weir_args_duration(args, "expires", (struct weir_dur){0});
        weir_json_kv_time(&j, "expires", weir_wall_add(weir_clock_wall(&weir_clock_os), span));
    }
    weir_json_end(&j);
}

static int make(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    json_t *o = NULL;
    struct weir_str body = WEIR_STR_INIT(1 << 16);
    make_body(args, &body);
    r = weir_client_call(api, "POST", "/v1/tokens", weir_str_cstr(&body), &o, err);
    weir_str_release(&body);
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(o);
    } else if (r == 0) {
        const char *secret = weir_get_text(o, "token");
        const char *id = weir_get_text(o, "id");
        (void)printf("%s\n", secret == NULL ? "" : secret);
        weir_talk("token %s: this is its secret, which is not kept and not shown again; use it as WEIR_TOKEN", id == NULL ? "?" : id);
    }
    json_decref(o);
    return r;
}

static int revoke(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    json_t *all = weir_args_has(args, "json") && args->n_operands > 2 ? json_array() : NULL;
    int r = weir_client_open(&api, args, err);
    for (size_t i = 1; i < args->n_operands && r == 0; i++) {
        json_t *o = NULL;
        struct weir_str path = WEIR_STR_INIT(4096);
        weir_str_adds(&path, "/v1/tokens");
        weir_path_add(&path, args->operand[i]);
        r = weir_client_call(api, "DELETE", weir_str_cstr(&path), NULL, &o, err);
        weir_str_release(&path);
        if (r == 0 && all != NULL) {
            (void)json_array_append(all, o);
        } else if (r == 0 && weir_args_has(args, "json")) {
            weir_print_json(o);
        }
        json_decref(o);
    }
    if (all != NULL) {
        weir_print_json(all);
        json_decref(all);
    }
    return r;
}

int weir_cmd_token(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_verb verbs[] = {
        {"list", NULL, NULL, list},
        {"create", NULL, "*", make},
        {"revoke", "TOKEN...", NULL, revoke},
        {0},
    };
    return weir_verb_run("token", verbs, args, err);
}
