/* SPDX-License-Identifier: Apache-2.0 */

/* weir pools: the places that run tasks. */

#include "base/mem.h"
#include "command.h"
#include "lists.h"

int weir_cmd_pools(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"POOL", WEIR_FIELD_TEXT, "name"},
        {"KIND", WEIR_FIELD_TEXT, "kind"},
        {"NODES", WEIR_FIELD_INT, "nodes"},
        {"GPUS FREE", WEIR_FIELD_OF, "gpus_free", "gpus"},
        {"CORES", WEIR_FIELD_MILLI, "cpu_milli"},
        {"RUNNING", WEIR_FIELD_INT, "running"},
        {"RATE", WEIR_FIELD_RATE, "rate_micro_per_hour"},
    };
    return weir_list_show(args, "/v1/pools", field, WEIR_ARRAY_LEN(field), "no pools", err);
}
