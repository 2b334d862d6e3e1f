/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a broker left in its data directory, read without it. */

#include "base/currency.h"
#include "base/err.h"
#include "base/str.h"
#include "base/wtime.h"

struct weir_offline;

/* Nothing is changed there. Errors: -WEIR_ENOTFOUND (no broker has kept anything there), and those of weir_store_sqlite_read. */
int weir_offline_open(struct weir_offline **ret, const char *data_dir, struct weir_err *err);
void weir_offline_close(struct weir_offline *o);

/* A page of at most limit tasks of the history as GET /v1/history answers it, from jobs submitted from..to (0: without that bound); *cursor is 0 before the first page, and
 * after the last. Errors: the store's. */
int weir_offline_history(struct weir_offline *o, struct weir_wall from, struct weir_wall to, uint32_t limit, uint64_t *cursor, struct weir_str *out,
                         struct weir_err *err);
/* The ledger's currency. Errors: the store's. */
int weir_offline_currency(struct weir_offline *o, char ret[static WEIR_CURRENCY_SIZE], struct weir_err *err);
/* How many tasks wait in the queue. Errors: the store's. */
int weir_offline_waiting(struct weir_offline *o, uint64_t *ret, struct weir_err *err);
