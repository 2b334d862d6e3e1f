/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of the ledger, kept packed beside the rows of the postings for bills to read (ledger_page.h). The rows are the
 * truth, and stay. Every WEIR_LEDGER_PAGE_ROWS postings behind the last page become a page, in the transaction
 * that makes them so many; those of an older database are made a few in each transaction. What is not in a page yet is
 * read as rows.
 */

#include <inttypes.h>

#include "base/mem.h"
#include "store/ledger_page.h"
#include "store/sqlite_priv.h"

enum { LATE_PAGES_MAX = 8 }; /* made in a transaction beyond those that it fills */

static const char SQL_LAST_PAGE[] = "SELECT coalesce(max(last), 0) FROM posting_page";
static const char SQL_PUT_PAGE[] = "INSERT INTO posting_page (last, from_us, packed) VALUES (?, ?, ?)";
static const char SQL_EACH_PAGE[] =
    "SELECT packed, last FROM posting_page WHERE last >= ?1 AND last <= ?2 AND from_us <= ?3 ORDER BY last";
static const char SQL_PAGE_ROWS[] = "SELECT id, from_us, to_us, node, pool, debit, credit, amount_micro, gpu_us, project, user, job, lease, rule, energy_mj,"
                                    " carbon_ug"
                                    " FROM posting WHERE id > ?1 ORDER BY id LIMIT ?2";

/* The last posting that is in a page; 0: there is none. */
static int last_page(struct sq_store *s, uint64_t *ret, struct weir_err *err)
{
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_LAST_PAGE, SQL_LAST_PAGE, &r, err);
    if (st == NULL) {
        return r;
    }
    r = sq_row(s, st, "last page of the ledger", err);
    *ret = r > 0 ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    (void)sqlite3_reset(st);
    return r < 0 ? r : 0;
}

/* Fills the page with the postings behind the given one. */
static int read_rows(struct sq_store *s, struct weir_ledger_page *page, uint64_t after, uint64_t *ret_last, struct weir_err *err)
{
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_PAGE_ROWS, SQL_PAGE_ROWS, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, after), sq_u(&b, WEIR_LEDGER_PAGE_ROWS);
    page->n = 0;
    *ret_last = after;
    while ((r = sq_row(s, b.st, "read postings", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_posting p = sc_bill_posting(&c);
        weir_ledger_page_add(page, &p);
        *ret_last = p.id;
    }
    (void)sqlite3_reset(b.st);
    return r;
}

static int put_page(struct sq_store *s, const struct weir_ledger_page *page, uint64_t last, uint8_t *buf, struct weir_err *err)
{
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_PAGE, SQL_PUT_PAGE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    size_t n = weir_ledger_page_pack(page, buf);
    sq_u(&b, last), sq_i(&b, weir_ledger_page_from(page).us);
    (void)sqlite3_bind_blob(b.st, ++b.i, buf, (int)n, SQLITE_STATIC);
    return sq_run(s, b.st, "put a page of the ledger", err);
}

int weir_sq_put_pages(struct sq_store *s, struct weir_err *err)
{
    if (s->n_postings == 0) {
        return 0;
    }
    if (s->paged == UINT64_MAX) {
        int r = last_page(s, &s->paged, err);
        if (r < 0) {
            s->paged = UINT64_MAX;
            return r;
        }
    }
    /* ids are given one after the other */
    uint64_t most = s->n_postings / WEIR_LEDGER_PAGE_ROWS + LATE_PAGES_MAX;
    if (s->newest_posting - s->paged < WEIR_LEDGER_PAGE_ROWS) {
        return 0;
    }
    WEIR_CLEANUP(weir_freep) struct weir_ledger_page *page = weir_alloc(sizeof *page);
    WEIR_CLEANUP(weir_freep) uint8_t *buf = weir_alloc(WEIR_LEDGER_PAGE_BYTES_MAX);
    int r = 0;
    for (uint64_t i = 0; i < most && r == 0; i++) {
        uint64_t last = 0;
        r = read_rows(s, page, s->paged, &last, err);
        if (r < 0 || page->n < WEIR_LEDGER_PAGE_ROWS) {
            return r;
        }
        r = put_page(s, page, last, buf, err);
        s->paged = last;
    }
    return r;
}

int weir_sq_scan_pages(struct sq_store *s, uint64_t first, struct weir_wall to, weir_posting_row_fn *fn, void *ctx, uint64_t *ret_last,
                       struct weir_err *err)
{
    int r = last_page(s, ret_last, err);
    if (r < 0 || *ret_last < first) {
        return r;
    }
    struct sq_bind b = {sq_stmt(s, SQ_EACH_PAGE, SQL_EACH_PAGE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    WEIR_CLEANUP(weir_freep) struct weir_ledger_page *page = weir_alloc(sizeof *page);
    sq_u(&b, first), sq_u(&b, *ret_last), sq_i(&b, to.us);
    while ((r = sq_row(s, b.st, "read the ledger", err)) > 0) {
        int64_t last = sqlite3_column_int64(b.st, 1);
        const uint8_t *packed = sqlite3_column_blob(b.st, 0);
        r = weir_ledger_page_unpack(page, packed, (size_t)sqlite3_column_bytes(b.st, 0), err);
        if (r < 0) {
            r = weir_fail_prefix(err, r, "database '%s': page that ends with posting %" PRId64, s->path, last);
        }
        struct weir_posting p = {0};
        for (uint32_t i = 0; i < page->n && r == 0; i++) {
            weir_ledger_page_get(page, i, &p);
            r = fn(ctx, &p);
        }
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}

/* The packed page of the least last posting behind the given one; *ret_n is 0 where there is none. */
static int next_page(struct sq_store *s, uint64_t after, uint8_t *buf, size_t *ret_n, uint64_t *ret_last, struct weir_err *err)
{
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_EACH_PAGE, SQL_EACH_PAGE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, after + 1), sq_i(&b, INT64_MAX), sq_i(&b, INT64_MAX);
    r = sq_row(s, b.st, "read the ledger", err);
    *ret_n = 0;
    if (r > 0) {
        *ret_last = (uint64_t)sqlite3_column_int64(b.st, 1);
        const void *packed = sqlite3_column_blob(b.st, 0);
        size_t n = (size_t)sqlite3_column_bytes(b.st, 0);
        *ret_n = n <= WEIR_LEDGER_PAGE_BYTES_MAX ? n : 1; /* the first byte alone is no page */
        memcpy(buf, packed, *ret_n);
    }
    (void)sqlite3_reset(b.st);
    return r < 0 ? r : 0;
}

int weir_sq_prove_pages(struct weir_store *base, uint64_t after, uint64_t *ret_last, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    WEIR_CLEANUP(weir_freep) struct weir_ledger_page *page = weir_alloc(sizeof *page);
    WEIR_CLEANUP(weir_freep) uint8_t *kept = weir_alloc(WEIR_LEDGER_PAGE_BYTES_MAX);
    WEIR_CLEANUP(weir_freep) uint8_t *made = weir_alloc(WEIR_LEDGER_PAGE_BYTES_MAX);
    uint64_t page_last = 0;
    uint64_t rows_last = 0;
    size_t n = 0;
    *ret_last = 0;
    int r = next_page(s, after, kept, &n, &page_last, err);
    if (r < 0 || n == 0) {
        return r;
    }
    r = read_rows(s, page, after, &rows_last, err);
    if (r < 0) {
        return r;
    }
    if (page->n == 0 || rows_last != page_last || weir_ledger_page_pack(page, made) != n || memcmp(made, kept, n) != 0) {
        return weir_fail(err, -WEIR_ECORRUPT,
                         "database '%s': what bills read of postings %" PRIu64 " to %" PRIu64 " is not what was posted: stop the broker and "
                         "remove it with 'sqlite3 FILE \"DELETE FROM posting_page\"', and it is made again",
                         s->path, after + 1, page_last);
    }
    *ret_last = page_last;
    return 0;
}
