/* SPDX-License-Identifier: Apache-2.0 */

/* weir nodes: the machines, and taking them out of service and back. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "command.h"
#include "lists.h"

const struct weir_opt weir_opts_nodes[] = {
    {"expires", 0, WEIR_OPT_DURATION, .arg = "DURATION", .help = "invite: how long the join token is good (default 1h)"},
    {"ca-out", 0, WEIR_OPT_TEXT, .arg = "FILE", .help = "invite: write the broker's authority there, for the agent's --ca"},
    {0},
};

static void cell_note(struct weir_table *t, const json_t *o)
{
    const char *unfit = weir_get_text(o, "unfit");
    weir_table_cell(t, unfit != NULL && unfit[0] != '\0' ? unfit : weir_get_bool(o, "declared") ? "declared GPUs" : NULL);
}

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"ID", WEIR_FIELD_INT, "id"},
        {"NODE", WEIR_FIELD_TEXT, "name", .shrink = true},
        {"POOL", WEIR_FIELD_TEXT, "pool"},
        {"STATE", WEIR_FIELD_STATE, "state"},
        {"GPU", WEIR_FIELD_TEXT, "gpu"},
        {"GPUS FREE", WEIR_FIELD_OF, "gpus_free", "gpus"},
        {"CORES FREE", WEIR_FIELD_MILLI_OF, "cpu_free_milli", "cpu_milli", .drop = 2},
        {"MEMORY FREE", WEIR_FIELD_MIB, "mem_free_mib", .drop = 3},
        {"RUNNING", WEIR_FIELD_INT, "running"},
        {"LEASE", WEIR_FIELD_INT, "lease", .drop = 1},
        {"RATE", WEIR_FIELD_RATE, "rate_full_micro_per_hour"},
        {"NOTE", WEIR_FIELD_FN, .shrink = true, .drop = 4, .cell = cell_note},
    };
    return weir_list_show(args, "/v1/nodes", field, WEIR_ARRAY_LEN(field),
                          "no nodes: 'weir agent' on a host makes it one", err);
}

/* The id of a node given by id or name. */
static int find(struct weir_client *api, const char *text, int64_t *ret, struct weir_err *err)
{
    json_t *items = NULL;
    int r = weir_client_list(api, "/v1/nodes", 0, &items, NULL, err);
    if (r < 0) {
        return r;
    }
    int64_t found = -1;
    size_t i;
    json_t *o;
    json_array_foreach(items, i, o)
    {
        const char *name = weir_get_text(o, "name");
        char id[24];
        (void)snprintf(id, sizeof id, "%" PRId64, weir_get_i64(o, "id", -1));
        if (weir_streq(id, text) || (name != NULL && weir_streq(name, text))) {
            found = weir_get_i64(o, "id", -1);
        }
    }
    json_decref(items);
    if (found < 0) {
        return weir_fail(err, -WEIR_ENOTFOUND, "there is no node '%.100s'; 'weir nodes' lists them", text);
    }
    *ret = found;
    return 0;
}

static int change(const struct weir_args *args, const char *verb, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    for (size_t i = 1; r == 0 && i < args->n_operands; i++) {
        int64_t id = 0;
        r = find(api, args->operand[i], &id, err);
        if (r < 0) {
            break;
        }
        struct weir_str path = WEIR_STR_INIT(256);
        json_t *answer = NULL;
        weir_str_addf(&path, "/v1/nodes/%" PRId64 "/%s", id, verb);
        r = weir_client_call(api, "POST", weir_str_cstr(&path), NULL, &answer, err);
        weir_str_release(&path);
        if (r == 0 && weir_args_has(args, "json")) {
            weir_print_json(answer);
        } else if (r == 0) {
            const char *state = weir_get_text(answer, "state");
            weir_talk("node %s: %s%s%s", args->operand[i], verb, state != NULL ? ", now " : "",
                      state != NULL ? state : "");
        }
        json_decref(answer);
    }
    return r;
}

static int write_authority(const char *path, const char *pem, struct weir_err *err)
{
    FILE *f = fopen(path, "we");
    bool ok = f != NULL && fputs(pem, f) >= 0;
    ok = f != NULL && fclose(f) == 0 && ok;
    return ok ? 0 : weir_fail(err, weir_error_from_errno(errno), "%s: cannot be written: %s", path, strerror(errno));
}

static void tell_invited(const json_t *o)
{
    const char *node = weir_get_text(o, "node");
    const char *broker = weir_get_text(o, "broker");
    const char *secret = weir_get_text(o, "token");
    (void)printf("%s\n", secret == NULL ? "" : secret);
    weir_talk("this join token is good once, and is not shown again. On the other host, with it in a file of its own:");
    weir_talk("  weir agent --broker %s%s --token-file FILE%s%s", broker == NULL ? "URL" : broker, weir_get_text(o, "authority") == NULL ? "" : " --ca ca.pem",
              node == NULL ? "" : " --name ", node == NULL ? "" : node);
}

static int invite(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    if (args->n_operands > 2) {
        return weir_fail(err, -WEIR_EINVAL, "a join token is for one node: usage: weir nodes invite [NODE]");
    }
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    json_t *o = NULL;
    struct weir_str body = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&body);
    weir_json_object(&j);
    if (args->n_operands == 2) {
        weir_json_kv_cstr(&j, "node", args->operand[1]);
    }
    if (weir_args_has(args, "expires")) {
        struct weir_dur span = weir_args_duration(args, "expires", (struct weir_dur){0});
        weir_json_kv_time(&j, "expires", weir_wall_add(weir_clock_wall(&weir_clock_os), span));
    }
    weir_json_end(&j);
    r = weir_client_call(api, "POST", "/v1/nodes/invite", weir_str_cstr(&body), &o, err);
    weir_str_release(&body);
    const char *file = weir_args_text(args, "ca-out");
    const char *authority = r == 0 ? weir_get_text(o, "authority") : NULL;
    if (r == 0 && file != NULL) {
        r = authority != NULL ? write_authority(file, authority, err) : weir_fail(err, -WEIR_ENOTFOUND, "the broker's certificate is of an authority that it does not know: look for it among the system's");
    }
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(o);
    } else if (r == 0) {
        tell_invited(o);
    }
    json_decref(o);
    return r;
}

static int revoke(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    for (size_t i = 1; r == 0 && i < args->n_operands; i++) {
        json_t *o = NULL;
        struct weir_str path = WEIR_STR_INIT(4096);
        weir_str_adds(&path, "/v1/certificates");
        weir_path_add(&path, args->operand[i]);
        r = weir_client_call(api, "DELETE", weir_str_cstr(&path), NULL, &o, err);
        weir_str_release(&path);
        if (r == 0 && weir_args_has(args, "json")) {
            weir_print_json(o);
        } else if (r == 0) {
            weir_talk("node %s: its certificate is good no longer; 'weir nodes remove %s' forgets the node, 'weir nodes invite %s' lets it in again", args->operand[i], args->operand[i],
                      args->operand[i]);
        }
        json_decref(o);
    }
    return r;
}

int weir_cmd_nodes(const struct weir_args *args, struct weir_err *err)
{
    static const char *const verbs[] = {"drain", "resume", "remove", "revoke", "invite", "list", NULL};
    const char *verb = args->n_operands > 0 ? args->operand[0] : "list";
    if (weir_streq(verb, "list")) {
        if (args->n_operands > 1) {
            return weir_fail(err, -WEIR_EINVAL, "'%.100s' is one argument too many: all nodes are listed", args->operand[1]);
        }
        return list(args, err);
    }
    if (weir_streq(verb, "invite")) {
        return invite(args, err);
    }
    for (const char *const *v = verbs; *v != NULL; v++) {
        if (weir_streq(*v, verb)) {
            return args->n_operands > 1
                       ? weir_streq(verb, "revoke") ? revoke(args, err) : change(args, verb, err)
                       : weir_fail(err, -WEIR_EINVAL, "which node? usage: weir nodes %s NODE...", verb);
        }
    }
    const char *near = weir_nearest(weir_sv_of(verb), verbs);
    return weir_fail(err, -WEIR_EINVAL, "'%.100s' is not one of drain, resume, remove, revoke, invite%s%s%s", verb,
                     near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
}
