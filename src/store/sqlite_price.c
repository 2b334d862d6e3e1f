/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: prices of rented machines that changed while these were there. */

#include "store/sqlite_priv.h"

static const char SQL_PUT_LEASE_PRICE[] =
    "INSERT INTO lease_price (lease, number, from_us, micro_per_hour, told_us, after_posting)"
    " SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM lease_price WHERE lease = ?1";
static const char SQL_EACH_LEASE_PRICE[] = "SELECT lease, number, from_us, micro_per_hour, told_us, after_posting FROM lease_price"
                                           " WHERE (lease, number) > (?1, ?2) ORDER BY lease, number";

int weir_sq_put_lease_price(struct weir_store *base, const struct weir_lease_price_row *row, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_LEASE_PRICE, SQL_PUT_LEASE_PRICE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, row->lease.v), sq_i(&b, row->price.from.us), sq_i(&b, row->price.micro_per_hour), sq_i(&b, row->told.us);
    sq_u(&b, row->price.after_posting); /* -1: WEIR_BILL_POSTING_UNKNOWN */
    return sq_run(s, b.st, "put price of a lease", err);
}

int weir_sq_each_lease_price(struct weir_store *base, struct weir_lease_id lease, uint64_t number, weir_lease_price_row_fn *fn, void *ctx,
                             struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_EACH_LEASE_PRICE, SQL_EACH_LEASE_PRICE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, lease.v), sq_u(&b, number);
    while ((r = sq_row(s, b.st, "read prices of leases", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_lease_price_row row = {.lease = {sc_u(&c)}};
        row.price.number = sc_u(&c);
        row.price.from = sc_wall(&c);
        row.price.micro_per_hour = sc_i(&c);
        row.told = sc_wall(&c);
        row.price.after_posting = sc_u(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}
