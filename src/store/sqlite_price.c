/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: prices of rented machines that changed while these were there. */

#include "store/sqlite_priv.h"

static const char SQL_PUT_LEASE_PRICE[] = "INSERT OR REPLACE INTO lease_price (lease, from_us, micro_per_hour, told_us) VALUES (?, ?, ?, ?)";
static const char SQL_EACH_LEASE_PRICE[] =
    "SELECT lease, from_us, micro_per_hour, told_us FROM lease_price WHERE ?1 = 0 OR lease = ?1 ORDER BY lease, from_us";

int weir_sq_put_lease_price(struct weir_store *base, const struct weir_lease_price_row *row, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_LEASE_PRICE, SQL_PUT_LEASE_PRICE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, row->lease.v), sq_i(&b, row->from.us), sq_i(&b, row->micro_per_hour), sq_i(&b, row->told.us);
    return sq_run(s, b.st, "put price of a lease", err);
}

int weir_sq_each_lease_price(struct weir_store *base, struct weir_lease_id lease, weir_lease_price_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_EACH_LEASE_PRICE, SQL_EACH_LEASE_PRICE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, lease.v);
    while ((r = sq_row(s, b.st, "read prices of leases", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_lease_price_row row = {.lease = {sc_u(&c)}};
        row.from = sc_wall(&c);
        row.micro_per_hour = sc_i(&c);
        row.told = sc_wall(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}
