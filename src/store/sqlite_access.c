/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: what users may do, the audit log, and documents. */

#include "store/sqlite_priv.h"

static const char SQL_PUT_ACCESS[] = "INSERT OR REPLACE INTO access (user, role, disabled, projects) VALUES (?, ?, ?, ?)";
static const char SQL_DELETE_ACCESS[] = "DELETE FROM access WHERE user = ?";
static const char SQL_EACH_ACCESS[] = "SELECT user, role, disabled, projects FROM access ORDER BY user";
static const char SQL_PUT_DOCUMENT[] = "INSERT OR REPLACE INTO document (kind, name, json) VALUES (?, ?, ?)";
static const char SQL_DELETE_DOCUMENT[] = "DELETE FROM document WHERE kind = ? AND name = ?";
static const char SQL_EACH_DOCUMENT[] = "SELECT kind, name, json FROM document WHERE kind = ? ORDER BY name";
static const char SQL_PUT_AUDIT[] =
    "INSERT INTO audit (at_us, user, role, token, peer, action, object, before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char SQL_LIST_AUDIT[] =
    "SELECT id, at_us, user, role, token, peer, action, object, before, after FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?";

int weir_sq_put_access(struct weir_store *base, const struct weir_access_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_ACCESS, SQL_PUT_ACCESS, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_s(&b, r->user), sq_s(&b, r->role), sq_i(&b, r->disabled), sq_s(&b, r->projects_json);
    return sq_run(s, b.st, "put access", err);
}

int weir_sq_delete_access(struct weir_store *base, const char *user, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_DELETE_ACCESS, SQL_DELETE_ACCESS, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_s(&b, user);
    return sq_run(s, b.st, "delete access", err);
}

int weir_sq_each_access(struct weir_store *base, weir_access_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    sqlite3_stmt *st = sq_stmt(s, SQ_EACH_ACCESS, SQL_EACH_ACCESS, &r, err);
    if (st == NULL) {
        return r;
    }
    while ((r = sq_row(s, st, "read access", err)) > 0) {
        struct sq_col c = {st, 0};
        struct weir_access_row row = {.user = sc_s(&c)};
        row.role = sc_s(&c);
        row.disabled = sc_i(&c) != 0;
        row.projects_json = sc_s(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(st);
    return r;
}

int weir_sq_put_audit(struct weir_store *base, const struct weir_audit_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_AUDIT, SQL_PUT_AUDIT, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_i(&b, r->at.us), sq_s(&b, r->user), sq_s(&b, r->role), sq_s(&b, r->token), sq_s(&b, r->peer);
    sq_s(&b, r->action), sq_s(&b, r->object), sq_s(&b, r->before), sq_s(&b, r->after);
    return sq_run(s, b.st, "put audit", err);
}

int weir_sq_list_audit(struct weir_store *base, const struct weir_audit_filter *f, weir_audit_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_LIST_AUDIT, SQL_LIST_AUDIT, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_u(&b, f->before == 0 || f->before > INT64_MAX ? INT64_MAX : f->before), sq_u(&b, f->limit);
    while ((r = sq_row(s, b.st, "list audit", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_audit_row row = {.id = sc_u(&c)};
        row.at = sc_wall(&c);
        if (row.at.us < f->since.us) { /* so are all that come */
            r = 0;
            break;
        }
        row.user = sc_s(&c);
        row.role = sc_s(&c);
        row.token = sc_s(&c);
        row.peer = sc_s(&c);
        row.action = sc_s(&c);
        row.object = sc_s(&c);
        row.before = sc_s(&c);
        row.after = sc_s(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}

int weir_sq_put_document(struct weir_store *base, const struct weir_document_row *r, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_PUT_DOCUMENT, SQL_PUT_DOCUMENT, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_s(&b, r->kind), sq_s(&b, r->name), sq_s(&b, r->json);
    return sq_run(s, b.st, "put document", err);
}

int weir_sq_delete_document(struct weir_store *base, const char *kind, const char *name, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int code = 0;
    struct sq_bind b = {sq_write_stmt(s, SQ_DELETE_DOCUMENT, SQL_DELETE_DOCUMENT, &code, err), 0};
    if (b.st == NULL) {
        return code;
    }
    sq_s(&b, kind), sq_s(&b, name);
    return sq_run(s, b.st, "delete document", err);
}

int weir_sq_each_document(struct weir_store *base, const char *kind, weir_document_row_fn *fn, void *ctx, struct weir_err *err)
{
    struct sq_store *s = sq_of(base);
    int r = 0;
    struct sq_bind b = {sq_stmt(s, SQ_EACH_DOCUMENT, SQL_EACH_DOCUMENT, &r, err), 0};
    if (b.st == NULL) {
        return r;
    }
    sq_s(&b, kind);
    while ((r = sq_row(s, b.st, "read documents", err)) > 0) {
        struct sq_col c = {b.st, 0};
        struct weir_document_row row = {.kind = sc_s(&c)};
        row.name = sc_s(&c);
        row.json = sc_s(&c);
        r = fn(ctx, &row);
        if (r != 0) {
            break;
        }
    }
    (void)sqlite3_reset(b.st);
    return r;
}
