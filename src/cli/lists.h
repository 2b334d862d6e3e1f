/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the commands that list something share. */

#include "fields.h"

/*
 * Gets all items of the list and prints them: as JSON where --json was given, else as a table of the fields; `empty`
 * is said where there are none.
 */
int weir_list_show(const struct weir_args *args, const char *path, const struct weir_field *field, size_t n,
                   const char *empty, struct weir_err *err);
/* As that, `limit` items at most. */
int weir_list_show_some(const struct weir_args *args, const char *path, uint64_t limit, const struct weir_field *field, size_t n,
                        const char *empty, struct weir_err *err);
/* Of a list whose newest comes last: at most limit of its end; 0: all. */
int weir_list_show_last(const struct weir_args *args, const char *path, uint64_t limit, const struct weir_field *field, size_t n,
                        const char *empty, struct weir_err *err);
/*
 * Calls for the object at the path (parts up to a NULL; all but the first are encoded) and prints the answer: as JSON where --json was
 * given, else by print, but not where the answer says that something was removed. print NULL: prints nothing then.
 */
int weir_object_call(const struct weir_args *args,
                     const char *method,
                     const char *const *path,
                     const char *body,
                     void (*print)(const json_t *o),
                     struct weir_err *err);
/* Adds "2.50 EUR/h at 1.0842" where the offer or lease is priced in another currency than the ledger's. */
void weir_list_add_quoted(struct weir_str *out, const json_t *o);
/* The ledger's currency, which objects with rates only do not name; "USD" where the broker does not tell. Caller frees. */
char *weir_list_currency(struct weir_client *api);
