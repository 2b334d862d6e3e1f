/* SPDX-License-Identifier: Apache-2.0 */
#include "lists.h"

#include <stdio.h>

#include "base/mem.h"

void weir_list_add_quoted(struct weir_str *out, const json_t *o)
{
    const char *currency = weir_get_text(o, "original_currency");
    const char *rate = weir_get_text(o, "exchange_rate");
    if (currency != NULL) {
        weir_out_rate(out, weir_get_i64(o, "original_micro_per_hour", 0), currency);
        weir_str_addf(out, "%s%s", rate != NULL ? " at " : "", rate != NULL ? rate : "");
    }
}

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

/* first: so many of its beginning are asked for; last: so many of its end are shown; 0: all. */
static int show(const struct weir_args *args, const char *path, uint64_t first, uint64_t last, const struct weir_field *field, size_t n,
                const char *empty, struct weir_err *err)
{
    json_t *items = NULL;
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r == 0) {
        r = weir_client_list(api, path, first, &items, NULL, err);
    }
    if (r < 0) {
        return r;
    }
    size_t all = json_array_size(items);
    if (last > 0 && all > last) {
        json_t *newest = json_array();
        for (size_t i = all - last; i < all; i++) {
            (void)json_array_append(newest, json_array_get(items, i));
        }
        json_decref(items);
        items = newest;
    }
    if (weir_args_has(args, "json")) {
        weir_print_json(items);
    } else if (json_array_size(items) == 0) {
        weir_talk("%s", empty);
    } else {
        WEIR_CLEANUP(weir_freep) char *currency = weir_list_currency(api);
        WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_fields_table(field, n, items, currency);
        weir_table_print(t, stdout);
    }
    if (json_array_size(items) < all) {
        weir_talk("these are the newest %zu of %zu: --limit N", json_array_size(items), all);
    }
    json_decref(items);
    return 0;
}

int weir_list_show(const struct weir_args *args, const char *path, const struct weir_field *field, size_t n,
                   const char *empty, struct weir_err *err)
{
    return show(args, path, 0, 0, field, n, empty, err);
}

int weir_list_show_some(const struct weir_args *args, const char *path, uint64_t limit, const struct weir_field *field, size_t n,
                        const char *empty, struct weir_err *err)
{
    return show(args, path, limit, 0, field, n, empty, err);
}

int weir_list_show_last(const struct weir_args *args, const char *path, uint64_t limit, const struct weir_field *field, size_t n,
                        const char *empty, struct weir_err *err)
{
    return show(args, path, 0, limit, field, n, empty, err);
}

int weir_object_call(const struct weir_args *args,
                     const char *method,
                     const char *const *path,
                     const char *body,
                     void (*print)(const json_t *o),
                     struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_str text = WEIR_STR_INIT(8192);
    weir_str_adds(&text, path[0]);
    for (size_t i = 1; path[i] != NULL; i++) {
        weir_path_add(&text, path[i]);
    }
    json_t *o = NULL;
    r = weir_client_call(api, method, weir_str_cstr(&text), body, &o, err);
    weir_str_release(&text);
    if (r == 0 && weir_args_has(args, "json")) {
        weir_print_json(o);
    } else if (r == 0 && print != NULL && json_object_get(o, "removed") == NULL) {
        print(o);
    }
    json_decref(o);
    return r;
}
