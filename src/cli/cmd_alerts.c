/* SPDX-License-Identifier: Apache-2.0 */

/* weir alerts: what is the matter, who was told, and what is done about it. */

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "command.h"
#include "lists.h"
#include "verbs.h"

const struct weir_opt weir_opts_alerts[] = {
    {"all", 'a', WEIR_OPT_FLAG, .help = "what is over too"},
    {"project", 'p', WEIR_OPT_TEXT, .arg = "NAME", .help = "of this project"},
    {"for", 0, WEIR_OPT_TEXT, .arg = "SPAN", .help = "silence: for how long nobody is told: 2h; 0 for no longer"},
    {0},
};

static bool is_silenced(const json_t *o)
{
    return weir_get_is_set(o, "silenced_until");
}

/* Who was told that it fires, and who could not be yet. */
static void told_cell(struct weir_table *t, const json_t *o)
{
    struct weir_str s = WEIR_STR_INIT(2048);
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(o, "told"), i, x)
    {
        weir_str_addf(&s, "%s%s%s", i == 0 ? "" : ",", weir_get_text(x, "receiver"), weir_get_i64(x, "attempts", 0) > 0 ? "(failing)" : "");
    }
    weir_table_cell(t, s.n == 0 ? "-" : weir_str_cstr(&s));
    weir_str_release(&s);
}

static void state_cell(struct weir_table *t, const json_t *o)
{
    const char *state = weir_get_text(o, "state");
    bool fires = weir_streq(state, "firing");
    weir_table_cell(t, fires && is_silenced(o) ? "silenced" : fires && weir_get_is_set(o, "acknowledged") ? "acknowledged" : state);
}

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"ALERT", WEIR_FIELD_INT, "id"},
        {"STATE", WEIR_FIELD_FN, .cell = state_cell},
        {"SEVERITY", WEIR_FIELD_TEXT, "severity", .drop = 2},
        {"CONDITION", WEIR_FIELD_TEXT, "condition"},
        {"PROJECT", WEIR_FIELD_TEXT, "project", .drop = 3},
        {"SINCE", WEIR_FIELD_TIME, "since"},
        {"TOLD", WEIR_FIELD_FN, .cell = told_cell, .drop = 1},
        {"WHAT", WEIR_FIELD_TEXT, "text", .shrink = true},
    };
    struct weir_str path = WEIR_STR_INIT(1024);
    weir_str_adds(&path, "/v1/alerts");
    if (!weir_args_has(args, "all")) {
        weir_query_add(&path, "state", "firing");
    }
    if (weir_args_has(args, "project")) {
        weir_query_add(&path, "project", weir_args_text(args, "project"));
    }
    int r = weir_list_show(args, weir_str_cstr(&path), field, WEIR_ARRAY_LEN(field), "nothing is the matter", err);
    weir_str_release(&path);
    return r;
}

static int receivers(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"RECEIVER", WEIR_FIELD_TEXT, "name"},
        {"KIND", WEIR_FIELD_TEXT, "kind"},
        {"SENT", WEIR_FIELD_INT, "sent"},
        {"FAILED", WEIR_FIELD_INT, "failed"},
        {"LAST TRY", WEIR_FIELD_TIME, "at"},
        {"ERROR", WEIR_FIELD_TEXT, "error", .shrink = true},
    };
    return weir_list_show(args, "/v1/receivers", field, WEIR_ARRAY_LEN(field), "no receivers are configured: see docs/guide/alerts.md", err);
}

/* /v1/alerts/ID/VERB, or /v1/receivers/NAME/test. */
static int act(const struct weir_args *args, const char *list_path, const char *verb, const char *body, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_str path = WEIR_STR_INIT(4096);
    weir_str_adds(&path, list_path);
    weir_path_add(&path, args->operand[1]);
    weir_path_add(&path, verb);
    json_t *o = NULL;
    r = weir_client_call(api, "POST", weir_str_cstr(&path), body, &o, err);
    weir_str_release(&path);
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(o);
    } else if (r == 0 && weir_streq(verb, "test")) {
        weir_talk("receiver '%s' has taken it", args->operand[1]);
    }
    json_decref(o);
    return r;
}

static int silence(const struct weir_args *args, struct weir_err *err)
{
    if (!weir_args_has(args, "for")) {
        return weir_fail(err, -WEIR_EINVAL, "say for how long: weir alerts silence ID --for 2h");
    }
    struct weir_str body = WEIR_STR_INIT(1024);
    struct weir_json j = weir_json_begin(&body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "for", weir_args_text(args, "for"));
    weir_json_end(&j);
    int r = act(args, "/v1/alerts", "silence", weir_str_cstr(&body), err);
    weir_str_release(&body);
    return r;
}

/* ack and close */
static int act_on(const struct weir_args *args, struct weir_err *err)
{
    return act(args, "/v1/alerts", args->operand[0], NULL, err);
}

static int try_receiver(const struct weir_args *args, struct weir_err *err)
{
    return act(args, "/v1/receivers", "test", NULL, err);
}

int weir_cmd_alerts(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_verb verbs[] = {
        {"list", NULL, "all project", list},
        {"receivers", NULL, NULL, receivers},
        {"ack", "ID", NULL, act_on},
        {"silence", "ID", "for", silence},
        {"close", "ID", NULL, act_on},
        {"test", "RECEIVER", NULL, try_receiver},
        {0},
    };
    return weir_verb_run("alerts", verbs, args, err);
}
