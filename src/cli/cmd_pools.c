/* SPDX-License-Identifier: Apache-2.0 */

/* weir pools: the places that run tasks. */

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "command.h"
#include "fields.h"
#include "lists.h"

int weir_cmd_pools(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_column column[] = {
        {"POOL"},
        {"KIND"},
        {"NODES", .right = true},
        {"GPUS FREE", .right = true},
        {"CORES", .right = true},
        {"RUNNING", .right = true},
        {"RATE", .right = true},
    };
    json_t *items = NULL;
    WEIR_CLEANUP(weir_freep) char *currency = NULL;
    int r = weir_list_get(args, "/v1/pools", 0, &items, &currency, err);
    if (r < 0) {
        return r;
    }
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, WEIR_ARRAY_LEN(column));
    size_t i;
    json_t *o;
    json_array_foreach(items, i, o)
    {
        weir_cell_text(t, o, "name");
        weir_cell_text(t, o, "kind");
        weir_cell_i64(t, o, "nodes");
        weir_cell_of(t, weir_get_i64(o, "gpus_free", 0), weir_get_i64(o, "gpus", 0));
        weir_cell_milli(t, weir_get_i64(o, "cpu_milli", 0));
        weir_cell_i64(t, o, "running");
        weir_cell_rate(t, o, "rate_micro_per_hour", currency);
    }
    weir_list_print(args, items, t, "no pools");
    json_decref(items);
    return 0;
}
