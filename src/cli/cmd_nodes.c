/* SPDX-License-Identifier: Apache-2.0 */

/* weir nodes: the machines, and taking them out of service and back. */

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "command.h"
#include "lists.h"

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

int weir_cmd_nodes(const struct weir_args *args, struct weir_err *err)
{
    static const char *const verbs[] = {"drain", "resume", "remove", "list", NULL};
    const char *verb = args->n_operands > 0 ? args->operand[0] : "list";
    if (weir_streq(verb, "list")) {
        if (args->n_operands > 1) {
            return weir_fail(err, -WEIR_EINVAL, "'%.100s' is one argument too many: all nodes are listed", args->operand[1]);
        }
        return list(args, err);
    }
    for (const char *const *v = verbs; *v != NULL; v++) {
        if (weir_streq(*v, verb)) {
            return args->n_operands > 1
                       ? change(args, verb, err)
                       : weir_fail(err, -WEIR_EINVAL, "which node? usage: weir nodes %s NODE...", verb);
        }
    }
    const char *near = weir_nearest(weir_sv_of(verb), verbs);
    return weir_fail(err, -WEIR_EINVAL, "'%.100s' is not one of drain, resume, remove%s%s%s", verb,
                     near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
}
