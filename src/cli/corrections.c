/* SPDX-License-Identifier: Apache-2.0 */

#include "corrections.h"

#include <stdio.h>

#include "api_client.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "lists.h"

int weir_corrections_list(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"ID", WEIR_FIELD_INT, "id"},
        {"AT (UTC)", WEIR_FIELD_TIME, "at"},
        {"KIND", WEIR_FIELD_TEXT, "kind"},
        {"AMOUNT", WEIR_FIELD_MONEY, "amount_micro"},
        {"USER", WEIR_FIELD_TEXT, "user", .drop = 1},
        {"REASON", WEIR_FIELD_TEXT, "reason", .shrink = true},
    };
    return weir_list_show(args, "/v1/corrections", field, WEIR_ARRAY_LEN(field), "nothing was ever corrected", err);
}

static int make_body(const struct weir_args *args, struct weir_str *body, struct weir_err *err)
{
    static const char *const what[] = {"job", "lease", "node"};
    static const char *const span[] = {"from", "to"};
    if (!weir_args_has(args, "reason")) {
        return weir_fail(err, -WEIR_EINVAL, "say why with --reason: it stands beside the correction for ever");
    }
    struct weir_json j = weir_json_begin(body);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "kind", args->operand[0]);
    weir_json_kv_cstr(&j, "amount", args->operand[1]);
    weir_json_kv_cstr(&j, "reason", weir_args_text(args, "reason"));
    for (size_t i = 0; i < WEIR_ARRAY_LEN(what); i++) {
        if (weir_args_has(args, what[i])) {
            weir_json_kv_u64(&j, what[i], weir_args_count(args, what[i], 0));
        }
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(span); i++) {
        char time[WEIR_RFC3339_SIZE];
        if (weir_args_has(args, span[i])) {
            weir_json_kv_cstr(&j, span[i], weir_wall_format(weir_args_time(args, span[i]), time));
        }
    }
    weir_json_end(&j);
    return 0;
}

int weir_correction_add(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    WEIR_CLEANUP(weir_str_release) struct weir_str body = WEIR_STR_INIT(16384);
    json_t *o = NULL;
    int r = make_body(args, &body, err);
    r = r < 0 ? r : weir_client_open(&api, args, err);
    r = r < 0 ? r : weir_client_call(api, "POST", "/v1/corrections", weir_str_cstr(&body), &o, err);
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(o);
    } else if (r == 0) {
        char money[WEIR_MONEY_SIZE];
        (void)printf("correction %lld: %s %s\n", (long long)weir_get_i64(o, "id", 0),
                     weir_money_format(weir_get_i64(o, "amount_micro", 0), money), weir_get_currency(o));
    }
    json_decref(o);
    return r;
}
