/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: quotas. */

#include "base/mem.h"
#include "store/sqlite_priv.h"

static const char SQL_PUT_QUOTA[] =
    "INSERT OR REPLACE INTO quota (id, name, scope, project, user, tag, counts, gpu_model, span, most, from_us, until_us,"
    " span_from_us, span_until_us, used_ms, n, held_ms, begun_ms, as_of_us, borrow)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_DELETE_QUOTA[] = "DELETE FROM quota WHERE id = ?";
static const char SQL_EACH_QUOTA[] =
    "SELECT quota.id, quota.name, scope, quota.project, quota.user, tag, counts, gpu_model, span, most, from_us, until_us,"
    " span_from_us, span_until_us, used_ms, n, held_ms, begun_ms, as_of_us, borrow, project.name, user.name"
    " FROM quota LEFT JOIN project ON project.id = quota.project LEFT JOIN user ON user.id = quota.user ORDER BY quota.id";

int weir_sq_put_quota(struct weir_store *base, const struct weir_quota_row *row, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    const struct weir_quota_view *v = &row->view;
    const struct weir_quota *d = &v->def;
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_QUOTA, SQL_PUT_QUOTA, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, v->id.v), sq_s(&b, d->name), sq_u(&b, d->scope), sq_u(&b, d->project.v), sq_u(&b, d->user.v), sq_s(&b, d->tag);
    sq_u(&b, d->counts), sq_s(&b, row->gpu_model), sq_u(&b, d->span), sq_i(&b, d->limit), sq_i(&b, d->from.us), sq_i(&b, d->until.us);
    sq_i(&b, v->span_from.us), sq_i(&b, v->span_until.us), sq_i(&b, v->used_ms), sq_i(&b, v->n);
    sq_i(&b, v->held_ms), sq_i(&b, v->begun_ms), sq_i(&b, v->as_of.us);
    if (d->shares) {
        sq_i(&b, d->borrow_max);
    } else {
        sq_null(&b);
    }
    return sq_run(s, b.st, "put quota", err);
}

int weir_sq_delete_quota(struct weir_store *base, struct weir_quota_id id, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_DELETE_QUOTA, SQL_DELETE_QUOTA, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, id.v);
    return sq_run(s, b.st, "delete quota", err);
}

static void read_quota(struct sq_col *c, struct weir_quota_row *row)
{
    struct weir_quota_view *v = &row->view;
    struct weir_quota *d = &v->def;
    v->id.v = sc_u32(c);
    sc_copy(c, d->name, sizeof d->name);
    d->scope = (uint8_t)sc_u32(c);
    d->project.v = sc_u32(c);
    d->user.v = sc_u32(c);
    sc_copy(c, d->tag, sizeof d->tag);
    d->counts = (uint8_t)sc_u32(c);
    row->gpu_model = sc_s(c);
    d->gpu_model = WEIR_GPU_MODEL_ANY;
    d->span = (uint8_t)sc_u32(c);
    d->limit = sc_i(c);
    d->from = sc_wall(c);
    d->until = sc_wall(c);
    v->span_from = sc_wall(c);
    v->span_until = sc_wall(c);
    v->used_ms = sc_i(c);
    v->n = sc_i(c);
    v->held_ms = sc_i(c);
    v->begun_ms = sc_i(c);
    v->as_of = sc_wall(c);
    d->shares = sqlite3_column_type(c->st, c->i) != SQLITE_NULL;
    d->borrow_max = sc_i(c);
    row->project = sc_s(c);
    row->user = sc_s(c);
}

int weir_sq_each_quota(struct weir_store *base, weir_quota_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_QUOTA, SQL_EACH_QUOTA, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read quotas", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_quota_row row = {0};
        read_quota(&c, &row);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}
