/* SPDX-License-Identifier: Apache-2.0 */

/* weir leases: rented machines, and ending them. */

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/parse.h"
#include "command.h"
#include "fields.h"
#include "lists.h"

const struct weir_opt weir_opts_leases[] = {
    {"all", 'a', WEIR_OPT_FLAG, .help = "those that have ended too"},
    {0},
};

static int list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_column column[] = {
        {"ID", .right = true},
        {"STATE"},
        {"PROVIDER"},
        {"REGION"},
        {"INSTANCE TYPE", .shrink = true},
        {"MARKET"},
        {"GPUS"},
        {"NODE", .right = true},
        {"JOB", .right = true},
        {"SINCE (UTC)"},
        {"EXPIRES (UTC)"},
        {"PRICE", .right = true},
        {"COST", .right = true},
        {"NOTE", .shrink = true},
    };
    json_t *items = NULL;
    WEIR_CLEANUP(weir_freep) char *currency = NULL;
    int r = weir_list_get(args, weir_args_has(args, "all") ? "/v1/leases?all=true" : "/v1/leases", 0, &items, &currency,
                          err);
    if (r < 0) {
        return r;
    }
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, WEIR_ARRAY_LEN(column));
    size_t i;
    json_t *o;
    json_array_foreach(items, i, o)
    {
        const char *gpu = weir_get_text(o, "gpu");
        weir_cell_i64(t, o, "id");
        weir_cell_state(t, o);
        weir_cell_text(t, o, "provider");
        weir_cell_text(t, o, "region");
        weir_cell_text(t, o, "instance_type");
        weir_cell_text(t, o, "market");
        weir_table_cellf(t, "%s:%" PRId64, gpu != NULL ? gpu : "none", weir_get_i64(o, "gpus", 0));
        weir_cell_i64(t, o, "node");
        weir_cell_i64(t, o, "job");
        weir_cell_time(t, o, "confirmed");
        weir_cell_time(t, o, "expires");
        weir_cell_rate(t, o, "price_micro_per_hour", weir_get_currency(o));
        weir_cell_money(t, o, "cost_micro");
        weir_table_cell(t, weir_get_bool(o, "reclaimed") ? "reclaimed" : weir_get_text(o, "text"));
    }
    weir_list_print(args, items, t, weir_args_has(args, "all") ? "nothing was ever rented" : "nothing is rented now");
    json_decref(items);
    return 0;
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
