/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: rules of prices and rates of currencies. */

#include "base/mem.h"
#include "store/sqlite_priv.h"

static const char SQL_PUT_RULE[] = "INSERT OR REPLACE INTO rule (id, name, kind, body, from_us, until_us, at_us, who) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_EACH_RULE[] = "SELECT id, name, kind, body, from_us, until_us, at_us, who FROM rule ORDER BY id";

int weir_sq_put_rule(struct weir_store *base, const struct weir_rule_row *row, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_RULE, SQL_PUT_RULE, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, row->id), sq_s(&b, row->name), sq_s(&b, row->kind), sq_s(&b, row->body), sq_i(&b, row->from.us), sq_i(&b, row->until.us);
    sq_i(&b, row->at.us), sq_s(&b, row->who);
    return sq_run(s, b.st, "put rule", err);
}

int weir_sq_each_rule(struct weir_store *base, weir_rule_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_RULE, SQL_EACH_RULE, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read rules", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_rule_row row = {.id = sc_u(&c)};
        row.name = sc_s(&c);
        row.kind = sc_s(&c);
        row.body = sc_s(&c);
        row.from = sc_wall(&c);
        row.until = sc_wall(&c);
        row.at = sc_wall(&c);
        row.who = sc_s(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}
