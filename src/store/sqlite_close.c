/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: months that were closed. */

#include "base/mem.h"
#include "store/sqlite_priv.h"

static const char SQL_PUT_CLOSE[] =
    "INSERT OR REPLACE INTO month_close (id, month, zone, from_us, to_us, last_posting, at_us, who, postings, gpu_us, cost_micro,"
    " used_micro, idle_micro, waste_micro, digest, price_micro) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_EACH_CLOSE[] =
    "SELECT id, month, zone, from_us, to_us, last_posting, at_us, who, postings, gpu_us, cost_micro, used_micro, idle_micro,"
    " waste_micro, digest, price_micro FROM month_close ORDER BY id";

int weir_sq_put_close(struct weir_store *base, const struct weir_close_row *row, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_CLOSE, SQL_PUT_CLOSE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, row->id), sq_s(&b, row->month), sq_s(&b, row->zone), sq_i(&b, row->close.from.us), sq_i(&b, row->close.to.us);
    sq_u(&b, row->close.last_posting), sq_i(&b, row->at.us), sq_s(&b, row->who), sq_u(&b, row->sums.postings);
    sq_u(&b, row->sums.gpu_us), sq_i(&b, row->sums.cost_micro), sq_i(&b, row->sums.used_micro), sq_i(&b, row->sums.idle_micro);
    sq_i(&b, row->sums.waste_micro), sq_s(&b, row->digest), sq_i(&b, row->sums.price_micro);
    return sq_run(s, b.st, "put close", err);
}

int weir_sq_each_close(struct weir_store *base, weir_close_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_CLOSE, SQL_EACH_CLOSE, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read closes", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_close_row row = {.id = sc_u(&c)};
        sc_copy(&c, row.month, sizeof row.month);
        row.zone = sc_s(&c);
        row.close.from = sc_wall(&c);
        row.close.to = sc_wall(&c);
        row.close.last_posting = sc_u(&c);
        row.at = sc_wall(&c);
        row.who = sc_s(&c);
        row.sums.postings = sc_u(&c);
        row.sums.gpu_us = sc_u(&c);
        row.sums.cost_micro = sc_i(&c);
        row.sums.used_micro = sc_i(&c);
        row.sums.idle_micro = sc_i(&c);
        row.sums.waste_micro = sc_i(&c);
        sc_copy(&c, row.digest, sizeof row.digest);
        row.sums.price_micro = sc_i(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}
