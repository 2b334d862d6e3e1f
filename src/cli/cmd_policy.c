/* SPDX-License-Identifier: Apache-2.0 */

/* weir policy: who may use what. */

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "command.h"
#include "lists.h"
#include "verbs.h"

static const char *const effects[] = {"allow", "deny", NULL};
static const char *const places[] = {"anywhere", "owned", "rented", NULL};
static const char *const markets[] = {"any", "spot", "on-demand", NULL};

const struct weir_opt weir_opts_policy[] = {
    {"effect", 'e', WEIR_OPT_CHOICE, .arg = "EFFECT", .help = "set: allow, or deny", .choices = effects},
    {"order", 0, WEIR_OPT_COUNT, .arg = "N", .help = "lower ones are asked first (default 100)"},
    {"project", 'p', WEIR_OPT_TEXT, .arg = "GLOB", .help = "of these projects"},
    {"user", 'u', WEIR_OPT_TEXT, .arg = "GLOB", .help = "of these users"},
    {"image", 0, WEIR_OPT_TEXT, .arg = "GLOB", .help = "jobs in these container images"},
    {"without-tag", 0, WEIR_OPT_TEXT, .arg = "TAG", .help = "jobs that lack it: team, or team=vision,speech-*"},
    {"tag", 't', WEIR_OPT_TEXT, .arg = "KEY=VALUE", .help = "test: of the job"},
    {"nodes-above", 0, WEIR_OPT_COUNT, .arg = "N", .help = "jobs on more nodes than that"},
    {"duration-above", 0, WEIR_OPT_TEXT, .arg = "SPAN", .help = "jobs whose max_duration is longer"},
    {"place", 0, WEIR_OPT_CHOICE, .arg = "PLACE", .help = "anywhere (default), owned or rented", .choices = places},
    {"provider", 0, WEIR_OPT_TEXT, .arg = "GLOB", .help = "machines of these providers; test: of this one"},
    {"region", 0, WEIR_OPT_TEXT, .arg = "GLOB", .help = "in these regions"},
    {"gpu", 0, WEIR_OPT_TEXT, .arg = "GLOB", .help = "with these GPUs: H100*"},
    {"market", 0, WEIR_OPT_CHOICE, .arg = "MARKET", .help = "any (default), spot or on-demand", .choices = markets},
    {"price-above", 0, WEIR_OPT_MONEY, .arg = "AMOUNT", .help = "rented machines that cost more per hour"},
    {"from", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "holds from then"},
    {"until", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "and until then"},
    {"reason", 0, WEIR_OPT_TEXT, .arg = "TEXT", .help = "said to who is denied"},
    {"nodes", 0, WEIR_OPT_COUNT, .arg = "N", .help = "test: of the job"},
    {"max-duration", 0, WEIR_OPT_TEXT, .arg = "SPAN", .help = "test: of the job"},
    {"price", 0, WEIR_OPT_MONEY, .arg = "AMOUNT", .help = "test: of the machine, per hour"},
    {"spot", 0, WEIR_OPT_FLAG, .help = "test: it is a spot machine"},
    {0},
};

static const struct {
    const char *key;
    const char *option;
    const char *word;
} parts[] = {
    {"project", "project", "project"},      {"user", "user", "user"},
    {"image", "image", "image"},            {"without_tag", "without-tag", "without tag"},
    {"nodes_above", "nodes-above", "nodes >"},
    {"duration_above", "duration-above", "duration >"},
    {"place", "place", ""},                 {"provider", "provider", "provider"},
    {"region", "region", "region"},         {"gpu", "gpu", "gpu"},
    {"market", "market", ""},               {"price_above", "price-above", "price >"},
    {"from", "from", "from"},               {"until", "until", "until"},
};

/* "project interns, provider aws, price > 20.000000" */
static void what_cell(struct weir_table *t, const json_t *o)
{
    struct weir_str s = WEIR_STR_INIT(4096);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts); i++) {
        const json_t *v = json_object_get(o, parts[i].key);
        if (v == NULL) {
            continue;
        }
        weir_str_addf(&s, "%s%s%s", s.n > 0 ? ", " : "", parts[i].word, parts[i].word[0] == '\0' ? "" : " ");
        if (json_is_integer(v)) {
            weir_str_add_i64(&s, json_integer_value(v));
        } else {
            weir_str_adds(&s, json_string_value(v));
        }
    }
    weir_table_cell(t, s.n == 0 ? "everything" : weir_str_cstr(&s));
    weir_str_release(&s);
}

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"ORDER", WEIR_FIELD_INT, "order"},
        {"POLICY", WEIR_FIELD_TEXT, "name"},
        {"EFFECT", WEIR_FIELD_TEXT, "effect"},
        {"OF", WEIR_FIELD_FN, .cell = what_cell, .shrink = true},
        {"REASON", WEIR_FIELD_TEXT, "reason", .shrink = true, .drop = 1},
    };
    return weir_list_show(args, "/v1/policies", field, WEIR_ARRAY_LEN(field), "no policies: everything is allowed", err);
}

static void print_policy(const json_t *o)
{
    weir_line_field("Policy:", o, "name");
    weir_line_field("Effect:", o, "effect");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts); i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "%s:", parts[i].option);
        if (json_object_get(o, parts[i].key) != NULL) {
            weir_line_field(label, o, parts[i].key);
        }
    }
    weir_line_field("Reason:", o, "reason");
}

static int call(const struct weir_args *args, const char *method, const char *name, const char *body, json_t **ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_str path = WEIR_STR_INIT(4096);
    weir_str_adds(&path, name == NULL ? "/v1/policy-test" : "/v1/policies");
    if (name != NULL) {
        weir_path_add(&path, name);
    }
    r = weir_client_call(api, method, weir_str_cstr(&path), body, ret, err);
    weir_str_release(&path);
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(*ret);
    }
    return r;
}

static void put_text(struct weir_json *j, const struct weir_args *args, const char *key, const char *option)
{
    if (weir_args_has(args, option)) {
        weir_json_kv_cstr(j, key, weir_args_text(args, option));
    }
}

static void put_count(struct weir_json *j, const struct weir_args *args, const char *key, const char *option)
{
    if (weir_args_has(args, option)) {
        weir_json_kv_u64(j, key, weir_args_count(args, option, 0));
    }
}

static void put_money(struct weir_json *j, const struct weir_args *args, const char *key, const char *option)
{
    if (weir_args_has(args, option)) {
        weir_json_kv_cstr(j, key, weir_args_text(args, option));
    }
}

static int set(const struct weir_args *args, struct weir_err *err)
{
    if (!weir_args_has(args, "effect")) {
        return weir_fail(err, -WEIR_EINVAL, "say what it does: --effect allow or --effect deny");
    }
    static const char *const texts[][2] = {{"effect", "effect"}, {"project", "project"}, {"user", "user"}, {"image", "image"}, {"without_tag", "without-tag"},
                                           {"duration_above", "duration-above"}, {"place", "place"}, {"provider", "provider"},
                                           {"region", "region"}, {"gpu", "gpu"}, {"market", "market"}, {"reason", "reason"}};
    static const char *const times[] = {"from", "until"};
    struct weir_str body = WEIR_STR_INIT(65536);
    struct weir_json j = weir_json_begin(&body);
    json_t *o = NULL;
    weir_json_object(&j);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        put_text(&j, args, texts[i][0], texts[i][1]);
    }
    put_count(&j, args, "order", "order");
    put_count(&j, args, "nodes_above", "nodes-above");
    put_money(&j, args, "price_above", "price-above");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(times); i++) {
        if (weir_args_has(args, times[i])) {
            weir_json_kv_time(&j, times[i], weir_args_time(args, times[i]));
        }
    }
    weir_json_end(&j);
    int r = call(args, "PUT", args->operand[1], weir_str_cstr(&body), &o, err);
    weir_str_release(&body);
    json_decref(o);
    return r;
}

static int show(const struct weir_args *args, struct weir_err *err)
{
    json_t *o = NULL;
    int r = call(args, "GET", args->operand[1], NULL, &o, err);
    if (r == 0 && !weir_args_has(args, "json")) {
        print_policy(o);
    }
    json_decref(o);
    return r;
}

static int drop(const struct weir_args *args, struct weir_err *err)
{
    json_t *o = NULL;
    int r = call(args, "DELETE", args->operand[1], NULL, &o, err);
    json_decref(o);
    return r;
}

static int test(const struct weir_args *args, struct weir_err *err)
{
    static const char *const texts[][2] = {{"project", "project"}, {"user", "user"}, {"image", "image"}, {"max_duration", "max-duration"},
                                           {"provider", "provider"}, {"region", "region"}, {"gpu", "gpu"}, {"tag", "tag"}};
    struct weir_str body = WEIR_STR_INIT(65536);
    struct weir_json j = weir_json_begin(&body);
    json_t *o = NULL;
    weir_json_object(&j);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        put_text(&j, args, texts[i][0], texts[i][1]);
    }
    put_count(&j, args, "nodes", "nodes");
    put_money(&j, args, "price", "price");
    if (weir_args_has(args, "spot")) {
        weir_json_kv_bool(&j, "spot", true);
    }
    weir_json_end(&j);
    int r = call(args, "POST", NULL, weir_str_cstr(&body), &o, err);
    weir_str_release(&body);
    if (r == 0 && !weir_args_has(args, "json")) {
        const char *by = json_string_value(json_object_get(o, "policy"));
        (void)printf("%s%s%s\n", weir_get_bool(o, "allowed") ? "allowed" : "denied", by == NULL ? ": no policy takes it" : " by policy ", by == NULL ? "" : by);
    }
    if (r == 0 && !weir_get_bool(o, "allowed")) {
        r = weir_fail(err, -WEIR_EDENIED, "it is denied");
    }
    json_decref(o);
    return r;
}

int weir_cmd_policy(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_verb verbs[] = {
        {"list", NULL, NULL, list},
        {"show", "NAME", NULL, show},
        {"set", "NAME", "effect order project user image without-tag nodes-above duration-above place provider region gpu market price-above from until reason", set},
        {"rm", "NAME", NULL, drop},
        {"test", NULL, "project user image max-duration provider region gpu tag nodes price spot", test},
        {0},
    };
    return weir_verb_run("policy", verbs, args, err);
}
