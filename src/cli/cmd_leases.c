/* SPDX-License-Identifier: Apache-2.0 */

/* weir leases: rented machines, and ending them. */

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/parse.h"
#include "command.h"
#include "lists.h"

const struct weir_opt weir_opts_leases[] = {
    {"all", 'a', WEIR_OPT_FLAG, .help = "those that have ended too"},
    {"limit", 'n', WEIR_OPT_COUNT, .arg = "N", .help = "at most so many, the newest", .min = 1},
    {"audit", 0, WEIR_OPT_FLAG, .help = "ask every provider now and compare its machines with the leases"},
    {0},
};

static void cell_note(struct weir_table *t, const json_t *o)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str s = WEIR_STR_INIT(1024);
    const char *text = weir_get_bool(o, "reclaimed") ? "reclaimed" : weir_get_text(o, "text");
    weir_list_add_quoted(&s, o);
    weir_str_addf(&s, "%s%s", s.n > 0 && text != NULL && text[0] != '\0' ? "; " : "", text == NULL ? "" : text);
    weir_table_cell(t, weir_str_cstr(&s));
}

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"ID", WEIR_FIELD_INT, "id"},
        {"STATE", WEIR_FIELD_STATE, "state"},
        {"PROVIDER", WEIR_FIELD_TEXT, "provider"},
        {"REGION", WEIR_FIELD_TEXT, "region", .drop = 2},
        {"INSTANCE TYPE", WEIR_FIELD_TEXT, "instance_type", .shrink = true},
        {"MARKET", WEIR_FIELD_TEXT, "market"},
        {"GPUS", WEIR_FIELD_GPUS, "gpu", "gpus"},
        {"NODE", WEIR_FIELD_INT, "node", .drop = 3},
        {"JOB", WEIR_FIELD_INT, "job"},
        {"SINCE (UTC)", WEIR_FIELD_TIME, "confirmed", .drop = 4},
        {"EXPIRES (UTC)", WEIR_FIELD_TIME, "expires", .drop = 5},
        {"QUOTE", WEIR_FIELD_RATE, "price_micro_per_hour", .drop = 2},
        {"PRICE", WEIR_FIELD_RATE, "price_now_micro_per_hour"},
        {"COST", WEIR_FIELD_MONEY, "cost_micro"},
        {"NOTE", WEIR_FIELD_FN, .shrink = true, .drop = 1, .cell = cell_note},
    };
    bool all = weir_args_has(args, "all");
    return weir_list_show_last(args, all ? "/v1/leases?all=true" : "/v1/leases", weir_args_count(args, "limit", 0), field, WEIR_ARRAY_LEN(field),
                               all ? "nothing was ever rented" : "nothing is rented now", err);
}

static int end(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    for (size_t i = 1; r == 0 && i < args->n_operands; i++) {
        uint64_t id = 0;
        r = weir_parse_u64(weir_sv_of(args->operand[i]), 1, INT64_MAX, &id, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "lease");
        }
        struct weir_str path = WEIR_STR_INIT(256);
        json_t *answer = NULL;
        weir_str_addf(&path, "/v1/leases/%" PRIu64 "/end", id);
        r = weir_client_call(api, "POST", weir_str_cstr(&path), NULL, &answer, err);
        weir_str_release(&path);
        if (r == 0 && weir_args_has(args, "json")) {
            weir_print_json(answer);
        } else if (r == 0) {
            weir_talk("lease %" PRIu64 ": takes nothing new and ends when its tasks have", id);
        }
        json_decref(answer);
    }
    return r;
}

int weir_cmd_leases(const struct weir_args *args, struct weir_err *err)
{
    if (args->n_operands == 0 && weir_args_has(args, "audit")) {
        return weir_leases_audit(args, err);
    }
    if (args->n_operands == 0) {
        return list(args, err);
    }
    if (!weir_streq(args->operand[0], "end")) {
        return weir_fail(err, -WEIR_EINVAL, "'%.100s' is not 'end'", args->operand[0]);
    }
    if (args->n_operands < 2) {
        return weir_fail(err, -WEIR_EINVAL, "which lease? usage: weir leases end LEASE...");
    }
    return end(args, err);
}
