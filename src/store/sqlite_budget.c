/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: payers and budgets. */

#include "base/mem.h"
#include "store/sqlite_priv.h"

static const char SQL_PUT_PAYER[] = "INSERT OR REPLACE INTO payer (id, project, user, tags) VALUES (?, ?, ?, ?)";
static const char SQL_EACH_PAYER[] = "SELECT id, project, user, tags FROM payer ORDER BY id";
static const char SQL_PUT_BUDGET[] =
    "INSERT OR REPLACE INTO budget (id, name, scope, project, user, tag, span, cloud_only, amount_micro, from_us, until_us,"
    " thresholds, span_from_us, span_until_us, charged_micro, held_micro, reached)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_DELETE_BUDGET[] = "DELETE FROM budget WHERE id = ?";
static const char SQL_EACH_BUDGET[] =
    "SELECT budget.id, budget.name, scope, budget.project, budget.user, tag, span, cloud_only, amount_micro, from_us, until_us,"
    " thresholds, span_from_us, span_until_us, charged_micro, held_micro, reached, project.name, user.name"
    " FROM budget LEFT JOIN project ON project.id = budget.project LEFT JOIN user ON user.id = budget.user ORDER BY budget.id";

int weir_sq_put_payer(struct weir_store *base, const struct weir_payer_view *v, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_PAYER, SQL_PUT_PAYER, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, v->id.v), sq_u(&b, v->project.v), sq_u(&b, v->user.v), sq_s(&b, v->tags);
    return sq_run(s, b.st, "put payer", err);
}

int weir_sq_each_payer(struct weir_store *base, weir_payer_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_PAYER, SQL_EACH_PAYER, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read payers", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_payer_view v = {.id = {sc_u32(&c)}};
        v.project.v = sc_u32(&c);
        v.user.v = sc_u32(&c);
        v.tags = sc_s(&c);
        r = fn(ctx, &v);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

int weir_sq_put_budget(struct weir_store *base, const struct weir_budget_view *v, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    const struct weir_budget *d = &v->def;
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_BUDGET, SQL_PUT_BUDGET, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    int64_t ints[2 * WEIR_BUDGET_THRESHOLDS_MAX] = {0};
    WEIR_CLEANUP(weir_str_release) struct weir_str thresholds = WEIR_STR_INIT(512);
    for (uint32_t i = 0; i < d->n_thresholds; i++) {
        ints[i + i] = d->threshold[i].percent;
        ints[i + i + 1] = d->threshold[i].action;
    }
    sq_ints_write(&thresholds, ints, 2 * (size_t)d->n_thresholds);
    sq_u(&b, v->id.v), sq_s(&b, d->name), sq_u(&b, d->scope), sq_u(&b, d->project.v), sq_u(&b, d->user.v);
    sq_s(&b, d->tag), sq_u(&b, d->span), sq_u(&b, d->cloud_only), sq_i(&b, d->amount_micro);
    sq_i(&b, d->from.us), sq_i(&b, d->until.us), sq_s(&b, weir_str_cstr(&thresholds));
    sq_i(&b, v->span_from.us), sq_i(&b, v->span_until.us), sq_i(&b, v->charged_micro);
    sq_i(&b, v->held_micro), sq_u(&b, v->reached);
    return sq_run(s, b.st, "put budget", err);
}

int weir_sq_delete_budget(struct weir_store *base, struct weir_budget_id id, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_DELETE_BUDGET, SQL_DELETE_BUDGET, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, id.v);
    return sq_run(s, b.st, "delete budget", err);
}

static void read_budget(struct sq_col *c, struct weir_budget_row *row)
{
    struct weir_budget_view *v = &row->view;
    struct weir_budget *d = &v->def;
    v->id.v = sc_u32(c);
    sc_copy(c, d->name, sizeof d->name);
    d->scope = (uint8_t)sc_u32(c);
    d->project.v = sc_u32(c);
    d->user.v = sc_u32(c);
    sc_copy(c, d->tag, sizeof d->tag);
    d->span = (uint8_t)sc_u32(c);
    d->cloud_only = sc_i(c) != 0;
    d->amount_micro = sc_i(c);
    d->from = sc_wall(c);
    d->until = sc_wall(c);
    int64_t ints[2 * WEIR_BUDGET_THRESHOLDS_MAX] = {0};
    size_t n = sq_ints_read(sc_s(c), ints, WEIR_ARRAY_LEN(ints));
    d->n_thresholds = (uint32_t)(n / 2);
    for (uint32_t i = 0; i < d->n_thresholds; i++) {
        d->threshold[i] = (struct weir_budget_threshold){(uint16_t)ints[i + i], (uint8_t)ints[i + i + 1]};
    }
    v->span_from = sc_wall(c);
    v->span_until = sc_wall(c);
    v->charged_micro = sc_i(c);
    v->held_micro = sc_i(c);
    v->reached = (uint8_t)sc_u32(c);
    row->project = sc_s(c);
    row->user = sc_s(c);
}

int weir_sq_each_budget(struct weir_store *base, weir_budget_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_BUDGET, SQL_EACH_BUDGET, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read budgets", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_budget_row row = {0};
        read_budget(&c, &row);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}
