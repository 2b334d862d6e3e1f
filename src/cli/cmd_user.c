/* SPDX-License-Identifier: Apache-2.0 */

/* weir user: who may do what, in which projects. */

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "command.h"
#include "lists.h"
#include "verbs.h"

static const char *const roles[] = {"admin", "operator", "finance", "user", "viewer", NULL};

const struct weir_opt weir_opts_user[] = {
    {"role", 0, WEIR_OPT_CHOICE, .arg = "ROLE", .help = "in the installation (of a new one: user)", .choices = roles},
    {"project", 0, WEIR_OPT_TEXT, .many = true, .arg = "PROJECT[:ROLE]",
     .help = "in the project as owner, user or viewer (default user); '*' is every project; may be repeated"},
    {"no-project", 0, WEIR_OPT_TEXT, .many = true, .arg = "PROJECT", .help = "no more in the project; may be repeated"},
    {"disable", 0, WEIR_OPT_FLAG, .help = "their tokens are refused from now on"},
    {"enable", 0, WEIR_OPT_FLAG, .help = "and work again"},
    {0},
};

/* "vision: owner, speech: user" */
static void projects_text(const json_t *o, struct weir_str *out)
{
    const char *name;
    json_t *role;
    json_object_foreach (json_object_get(o, "projects"), name, role) {
        weir_str_addf(out, "%s%s: %s", out->n == 0 ? "" : ", ", name, json_is_string(role) ? json_string_value(role) : "?");
    }
}

static void projects_cell(struct weir_table *t, const json_t *o)
{
    struct weir_str s = WEIR_STR_INIT(1 << 16);
    projects_text(o, &s);
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

static void state_cell(struct weir_table *t, const json_t *o)
{
    weir_table_cell(t, weir_get_bool(o, "disabled") ? "disabled" : "active");
}

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"USER", WEIR_FIELD_TEXT, "name"},
        {"ROLE", WEIR_FIELD_TEXT, "role"},
        {"STATE", WEIR_FIELD_FN, .cell = state_cell},
        {"PROJECTS", WEIR_FIELD_FN, .cell = projects_cell, .shrink = true},
    };
    return weir_list_show(args, "/v1/users", field, WEIR_ARRAY_LEN(field), "no users", err);
}

static void print_user(const json_t *o)
{
    struct weir_str s = WEIR_STR_INIT(1 << 16);
    projects_text(o, &s);
    weir_line_field("User:", o, weir_get_is_set(o, "name") ? "name" : "user");
    weir_line_field("Role:", o, "role");
    if (weir_get_bool(o, "disabled")) {
        weir_line_text("State:", "disabled");
    }
    weir_line_text("Projects:", weir_str_cstr(&s));
    weir_line_field("Token:", o, "token");
    weir_str_release(&s);
}

/* One call to what the path names; prints what comes back. */
static int call(const struct weir_args *args, const char *method, const char *user, const char *body, json_t **ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_str path = WEIR_STR_INIT(4096);
    weir_str_adds(&path, user == NULL ? "/v1/whoami" : "/v1/users");
    if (user != NULL) {
        weir_path_add(&path, user);
    }
    r = weir_client_call(api, method, weir_str_cstr(&path), body, ret, err);
    weir_str_release(&path);
    return r;
}

static int show(const struct weir_args *args, const char *method, const char *user, const char *body, struct weir_err *err)
{
    json_t *o = NULL;
    int r = call(args, method, user, body, &o, err);
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(o);
    } else if (r == 0) {
        print_user(o);
    }
    json_decref(o);
    return r;
}

static void projects_body(const struct weir_args *args, struct weir_json *j)
{
    weir_json_key(j, "projects");
    weir_json_object(j);
    const char *text;
    for (size_t i = 0; (text = weir_args_nth(args, "project", i)) != NULL; i++) {
        char name[256];
        struct weir_sv role = weir_sv_of(text);
        struct weir_sv project = weir_sv_cut(&role, ':');
        (void)snprintf(name, sizeof name, "%.*s", WEIR_SV_ARG(project));
        weir_json_key(j, name);
        weir_json_string(j, role.p == NULL ? WEIR_SV("user") : role);
    }
    for (size_t i = 0; (text = weir_args_nth(args, "no-project", i)) != NULL; i++) {
        weir_json_key(j, text);
        weir_json_null(j);
    }
    weir_json_end(j);
}

static int set(const struct weir_args *args, struct weir_err *err)
{
    if (weir_args_has(args, "disable") && weir_args_has(args, "enable")) {
        return weir_fail(err, -WEIR_EINVAL, "--disable and --enable: give one of them");
    }
    struct weir_str body = WEIR_STR_INIT(1 << 16);
    struct weir_json j = weir_json_begin(&body);
    weir_json_object(&j);
    if (weir_args_has(args, "role")) {
        weir_json_kv_cstr(&j, "role", weir_args_text(args, "role"));
    }
    if (weir_args_has(args, "disable") || weir_args_has(args, "enable")) {
        weir_json_kv_bool(&j, "disabled", weir_args_has(args, "disable"));
    }
    if (weir_args_has(args, "project") || weir_args_has(args, "no-project")) {
        projects_body(args, &j);
    }
    weir_json_end(&j);
    int r = show(args, "PUT", args->operand[1], weir_str_cstr(&body), err);
    weir_str_release(&body);
    return r;
}

/* add makes a user that is not there, set changes one that is: a mistyped name is no new user. */
static int check_there(const struct weir_args *args, bool there, struct weir_err *err)
{
    json_t *items = NULL;
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    r = r < 0 ? r : weir_client_list(api, "/v1/users", 0, &items, NULL, err);
    if (r < 0) {
        return r;
    }
    size_t i;
    json_t *o;
    bool found = false;
    json_array_foreach (items, i, o) {
        found = found || weir_streq(weir_get_text(o, "name"), args->operand[1]);
    }
    json_decref(items);
    if (found == there) {
        return 0;
    }
    return there ? weir_fail(err, -WEIR_ENOTFOUND, "user '%s' does not exist: 'weir user add %s' makes one", args->operand[1], args->operand[1])
                 : weir_fail(err, -WEIR_EEXISTS, "user '%s' is there: 'weir user set %s' changes them", args->operand[1], args->operand[1]);
}

static int rm(const struct weir_args *args, struct weir_err *err)
{
    json_t *o = NULL;
    int r = call(args, "DELETE", args->operand[1], NULL, &o, err);
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(o);
    }
    json_decref(o);
    return r;
}

static int whoami(const struct weir_args *args, struct weir_err *err)
{
    return show(args, "GET", NULL, NULL, err);
}

static int add(const struct weir_args *args, struct weir_err *err)
{
    int r = check_there(args, false, err);
    return r < 0 ? r : set(args, err);
}

static int change(const struct weir_args *args, struct weir_err *err)
{
    int r = check_there(args, true, err);
    return r < 0 ? r : set(args, err);
}

int weir_cmd_user(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_verb verbs[] = {
        {"list", NULL, NULL, list},
        {"whoami", NULL, NULL, whoami},
        {"add", "NAME", "*", add},
        {"set", "NAME", "*", change},
        {"rm", "NAME", NULL, rm},
        {0},
    };
    return weir_verb_run("user", verbs, args, err);
}
