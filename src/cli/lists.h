/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the commands that list something share. */

#include "api_client.h"
#include "output.h"

/*
 * Gets all items of a list (limit 0: all) and, unless --json was given, the ledger's currency, which
 * objects with rates only do not name. Caller frees *ret_currency and drops *ret.
 */
int weir_list_get(const struct weir_args *args, const char *path, uint64_t limit, json_t **ret, char **ret_currency,
                  struct weir_err *err);
/* Prints the items as JSON or as the table; `empty` is said where there are none. */
void weir_list_print(const struct weir_args *args, const json_t *items, const struct weir_table *t, const char *empty);
/* "USD" where the broker does not tell. Caller frees. */
char *weir_list_currency(struct weir_client *api);
