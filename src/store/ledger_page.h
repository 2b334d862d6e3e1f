/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A page of the ledger: postings that follow one another, by column, packed. Reading a row of a table costs ten times what
 * adding it to a bill does; so what a bill asks of full pages is kept packed beside the rows (table posting_page).
 *
 * Packed, in bytes, lowest first: the version (1); the number of columns (1); that of postings (4); then each column as
 * its least value (8), a width of 0, 1, 2, 4 or 8 (1), and per posting what it is above the least in so many bytes.
 */

#include "base/err.h"
#include "bill/bill.h"

enum {
    WEIR_LEDGER_PAGE_ROWS = 2048,
    WEIR_LEDGER_PAGE_COLUMNS = 16,
    WEIR_LEDGER_PAGE_BYTES_MAX = 6 + WEIR_LEDGER_PAGE_COLUMNS * (9 + 8 * WEIR_LEDGER_PAGE_ROWS),
};

struct weir_ledger_page {
    uint32_t n;
    int64_t column[WEIR_LEDGER_PAGE_COLUMNS][WEIR_LEDGER_PAGE_ROWS];
};

/* There must be room. Kept is what bills and ratings ask: no time of making, ordinal, attempt, correction or other currency. */
void weir_ledger_page_add(struct weir_ledger_page *page, const struct weir_posting *p);
/* What is not kept is not touched. */
void weir_ledger_page_get(const struct weir_ledger_page *page, uint32_t i, struct weir_posting *ret);
/* The earliest beginning of its spans; of a page that is not empty. */
struct weir_wall weir_ledger_page_from(const struct weir_ledger_page *page);
/* Into at least WEIR_LEDGER_PAGE_BYTES_MAX bytes; returns how many it took. */
size_t weir_ledger_page_pack(const struct weir_ledger_page *page, uint8_t *ret);
/* Errors: -WEIR_ECORRUPT: that is not a packed page of this version; the page is empty then. */
int weir_ledger_page_unpack(struct weir_ledger_page *page, const uint8_t *p, size_t n, struct weir_err *err);
