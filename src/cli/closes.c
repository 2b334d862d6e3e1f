/* SPDX-License-Identifier: Apache-2.0 */

#include "closes.h"

#include <stdio.h>

#include "api_client.h"
#include "base/json.h"
#include "base/mem.h"
#include "lists.h"

int weir_closes_list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"MONTH", WEIR_FIELD_TEXT, "month"},
        {"ZONE", WEIR_FIELD_TEXT, "zone"},
        {"CLOSED (UTC)", WEIR_FIELD_TIME, "closed"},
        {"USER", WEIR_FIELD_TEXT, "user", .drop = 2},
        {"POSTINGS", WEIR_FIELD_INT, "postings", .drop = 3},
        {"COST", WEIR_FIELD_MONEY, "cost_micro"},
        {"USED", WEIR_FIELD_MONEY, "used_micro"},
        {"IDLE", WEIR_FIELD_MONEY, "idle_micro"},
        {"WASTE", WEIR_FIELD_MONEY, "waste_micro"},
        {"DIGEST", WEIR_FIELD_TEXT, "digest", .shrink = true, .drop = 1},
    };
    return weir_list_show(args, "/v1/closes", field, WEIR_ARRAY_LEN(field), "no month was closed yet", err);
}

int weir_close_month(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    WEIR_CLEANUP(weir_str_release) struct weir_str body = WEIR_STR_INIT(16384);
    struct weir_json j = weir_json_begin(&body);
    json_t *o = NULL;
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "month", args->operand[1]);
    if (weir_args_has(args, "zone")) {
        weir_json_kv_cstr(&j, "zone", weir_args_text(args, "zone"));
    }
    weir_json_end(&j);
    int r = weir_client_open(&api, args, err);
    r = r < 0 ? r : weir_client_call(api, "POST", "/v1/closes", weir_str_cstr(&body), &o, err);
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(o);
    } else if (r == 0) {
        char money[WEIR_MONEY_SIZE];
        const char *zone = weir_get_text(o, "zone");
        (void)printf("%s (%s) is closed: %s %s\n", weir_get_text(o, "month"), zone == NULL ? "UTC" : zone,
                     weir_money_format(weir_get_i64(o, "cost_micro", 0), money), weir_get_currency(o));
    }
    json_decref(o);
    return r;
}
