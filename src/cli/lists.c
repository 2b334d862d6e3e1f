/* SPDX-License-Identifier: Apache-2.0 */
#include "lists.h"

#include <stdio.h>

#include "base/mem.h"

char *weir_list_currency(struct weir_client *api)
{
    json_t *status = NULL;
    if (weir_client_call(api, "GET", "/v1/status", NULL, &status, NULL) < 0) {
        return weir_strdup("USD");
    }
    char *currency = weir_strdup(weir_get_currency(status));
    json_decref(status);
    return currency;
}

int weir_list_get(const struct weir_args *args, const char *path, uint64_t limit, json_t **ret, char **ret_currency,
                  struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r == 0) {
        r = weir_client_list(api, path, limit, ret, NULL, err);
    }
    if (r == 0) {
        *ret_currency = weir_args_has(args, "json") ? weir_strdup("USD") : weir_list_currency(api);
    }
    return r;
}

void weir_list_print(const struct weir_args *args, const json_t *items, const struct weir_table *t, const char *empty)
{
    if (weir_args_has(args, "json")) {
        weir_print_json(items);
    } else if (weir_table_rows(t) == 0) {
        weir_talk("%s", empty);
    } else {
        weir_table_print(t, stdout);
    }
}
