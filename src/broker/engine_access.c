/* SPDX-License-Identifier: Apache-2.0 */
/* What users may do, and who changed what: gathered, and written with what was changed. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine_priv.h"

void weir_engine_put_access(struct weir_engine *e, const struct weir_access_row *row)
{
    struct gathered_access a = {.row = *row};
    a.row.user = weir_strdup(row->user);
    a.row.role = weir_strdup(row->role);
    a.row.projects_json = weir_strdup(row->projects_json);
    weir_vec_push(&e->access, a);
    e->dirty = true;
}

void weir_engine_delete_access(struct weir_engine *e, const char *user)
{
    struct gathered_access a = {.row = {.user = weir_strdup(user), .role = weir_strdup(""), .projects_json = weir_strdup("")}, .is_removed = true};
    weir_vec_push(&e->access, a);
    e->dirty = true;
}

static void gather_document(struct weir_engine *e, const char *kind, const char *name, const char *json)
{
    struct gathered_document d = {{weir_strdup(kind), weir_strdup(name), json == NULL ? NULL : weir_strdup(json)}};
    weir_vec_push(&e->documents, d);
    e->dirty = true;
}

void weir_engine_put_document(struct weir_engine *e, const struct weir_document_row *row)
{
    gather_document(e, row->kind, row->name, row->json);
}

void weir_engine_delete_document(struct weir_engine *e, const char *kind, const char *name)
{
    gather_document(e, kind, name, NULL);
}

void weir_engine_audit(struct weir_engine *e, const struct weir_audit_row *row)
{
    enum { TEXTS = 8 };
    struct gathered_audit a = {.row = *row};
    const char **to[TEXTS] = {&a.row.user,   &a.row.role,   &a.row.token,  &a.row.peer,
                              &a.row.action, &a.row.object, &a.row.before, &a.row.after};
    size_t size = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        *to[i] = *to[i] == NULL ? "" : *to[i];
        size += strlen(*to[i]) + 1;
    }
    char *p = a.texts = weir_alloc(size);
    for (size_t i = 0; i < TEXTS; i++) {
        size_t n = strlen(*to[i]) + 1;
        *to[i] = memcpy(p, *to[i], n);
        p += n;
    }
    a.row.at = weir_engine_now(e);
    weir_vec_push(&e->audits, a);
    e->dirty = true;
}

int engine_flush_access(struct weir_engine *e, struct weir_err *err)
{
    const struct weir_store_ops *ops = e->store->ops;
    int r = 0;
    for (size_t i = 0; i < e->access.n && r == 0; i++) {
        const struct gathered_access *a = &e->access.p[i];
        r = a->is_removed ? ops->delete_access(e->store, a->row.user, err) : ops->put_access(e->store, &a->row, err);
    }
    for (size_t i = 0; i < e->documents.n && r == 0; i++) {
        const struct weir_document_row *d = &e->documents.p[i].row;
        r = d->json == NULL ? ops->delete_document(e->store, d->kind, d->name, err) : ops->put_document(e->store, d, err);
    }
    for (size_t i = 0; i < e->audits.n && r == 0; i++) {
        r = ops->put_audit(e->store, &e->audits.p[i].row, err);
    }
    return r;
}

void engine_forget_access(struct weir_engine *e)
{
    for (size_t i = 0; i < e->access.n; i++) {
        free((void *)(uintptr_t)e->access.p[i].row.user);
        free((void *)(uintptr_t)e->access.p[i].row.role);
        free((void *)(uintptr_t)e->access.p[i].row.projects_json);
    }
    for (size_t i = 0; i < e->documents.n; i++) {
        free((void *)(uintptr_t)e->documents.p[i].row.kind);
        free((void *)(uintptr_t)e->documents.p[i].row.name);
        free((void *)(uintptr_t)e->documents.p[i].row.json);
    }
    for (size_t i = 0; i < e->audits.n; i++) {
        free(e->audits.p[i].texts);
    }
    weir_vec_clear(&e->access);
    weir_vec_clear(&e->documents);
    weir_vec_clear(&e->audits);
}
