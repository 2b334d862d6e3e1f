/* SPDX-License-Identifier: Apache-2.0 */

/* weir offers: every way to get GPUs, owned ones first, with price, source and age. */

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "command.h"
#include "fields.h"
#include "jobs.h"

const struct weir_opt weir_opts_offers[] = {
    {"gpus", 'G', WEIR_OPT_TEXT, .arg = "GPUS", .help = "for a node with these: A100:8, a bare number for any model"},
    {"spot", 0, WEIR_OPT_FLAG, .help = "spot machines only"},
    {"region", 0, WEIR_OPT_TEXT, .arg = "PATTERN", .help = "regions like eu-*"},
    {"cloud", 0, WEIR_OPT_TEXT, .arg = "NAME", .help = "only of this provider"},
    {"all", 'a', WEIR_OPT_FLAG, .help = "what is excluded too, with the reason"},
    {"limit", 'n', WEIR_OPT_COUNT, .arg = "N", .help = "at most so many (default 50)", .min = 1},
    {0},
};

static void print_table(const json_t *items, bool all)
{
    static const struct weir_column column[] = {
        {"PROVIDER"},
        {"REGION"},
        {"INSTANCE TYPE", .shrink = true},
        {"MARKET"},
        {"GPUS"},
        {"GPU MEMORY", .right = true},
        {"CORES", .right = true},
        {"MEMORY", .right = true},
        {"PRICE", .right = true},
        {"PER GPU", .right = true},
        {"SOURCE", .shrink = true},
        {"AGE", .right = true},
        {"NOTE", .shrink = true},
    };
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, WEIR_ARRAY_LEN(column));
    size_t i;
    json_t *o;
    json_array_foreach(items, i, o)
    {
        const char *gpu = weir_get_text(o, "gpu");
        const char *verdict = weir_get_text(o, "verdict");
        const char *reason = weir_get_text(o, "reason");
        int64_t age_s = weir_get_i64(o, "age_s", -1);
        char buf[WEIR_RFC3339_SIZE];
        weir_cell_text(t, o, "provider");
        weir_cell_text(t, o, "region");
        weir_cell_text(t, o, "instance_type");
        weir_cell_text(t, o, "market");
        weir_table_cellf(t, "%s:%" PRId64, gpu != NULL ? gpu : "none", weir_get_i64(o, "gpus", 0));
        weir_cell_mib(t, o, "gpu_mem_mib");
        if (weir_get_i64(o, "cpu_milli", 0) > 0) {
            weir_cell_milli(t, weir_get_i64(o, "cpu_milli", 0));
        } else {
            weir_table_cell(t, NULL); /* price lists do not always tell */
        }
        weir_cell_mib(t, o, "mem_mib");
        weir_cell_rate(t, o, "price_micro_per_hour", weir_get_currency(o));
        weir_cell_rate(t, o, "price_micro_per_gpu_hour", weir_get_currency(o));
        weir_cell_text(t, o, "source");
        weir_table_cell(t, age_s >= 0 ? weir_dur_format(weir_dur_s(age_s), buf) : NULL);
        if (all && verdict != NULL && !weir_streq(verdict, "included")) {
            weir_table_cellf(t, "%s%s%s", verdict, reason != NULL ? ": " : "", reason != NULL ? reason : "");
        } else {
            weir_table_cell(t, weir_get_bool(o, "launchable") ? NULL : "price only: no keys for it");
        }
    }
    weir_table_print(t, stdout);
}

int weir_cmd_offers(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_str path = WEIR_STR_INIT(4096);
    weir_str_adds(&path, "/v1/offers");
    weir_query_add(&path, "gpus", weir_args_text(args, "gpus"));
    weir_query_add(&path, "region", weir_args_text(args, "region"));
    weir_query_add(&path, "cloud", weir_args_text(args, "cloud"));
    weir_query_add(&path, "spot", weir_args_has(args, "spot") ? "true" : NULL);
    weir_query_add(&path, "all", weir_args_has(args, "all") ? "true" : NULL);
    /* The one list without a cursor: what is asked for comes whole. */
    uint64_t limit = weir_args_count(args, "limit", 50);
    weir_query_add_u64(&path, "limit", limit < WEIR_CLIENT_PAGE_MAX ? limit : WEIR_CLIENT_PAGE_MAX);
    json_t *answer = NULL;
    r = weir_client_call(api, "GET", weir_str_cstr(&path), NULL, &answer, err);
    weir_str_release(&path);
    if (r < 0) {
        return r;
    }
    json_t *items = json_object_get(answer, "items");
    if (weir_args_has(args, "json")) {
        weir_print_json(items);
    } else if (json_array_size(items) == 0) {
        weir_talk("no offers%s", weir_args_has(args, "all") ? "" : "; --all shows what is excluded and why");
    } else {
        print_table(items, weir_args_has(args, "all"));
    }
    json_decref(answer);
    return 0;
}
