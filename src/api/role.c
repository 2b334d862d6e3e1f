/* SPDX-License-Identifier: Apache-2.0 */
#include "api/role.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

static const char *const names[WEIR_ROLE_MAX] = {[WEIR_ROLE_NONE] = "",           [WEIR_ROLE_VIEWER] = "viewer",
                                                 [WEIR_ROLE_USER] = "user",       [WEIR_ROLE_OWNER] = "owner",
                                                 [WEIR_ROLE_FINANCE] = "finance", [WEIR_ROLE_OPERATOR] = "operator",
                                                 [WEIR_ROLE_ADMIN] = "admin",     [WEIR_ROLE_AGENT] = "agent",
                                                 [WEIR_ROLE_JOIN] = "join"};

const char *weir_role_name(enum weir_role role)
{
    return names[role];
}

enum weir_role weir_role_find(const char *name)
{
    for (unsigned i = WEIR_ROLE_NONE + 1; i < WEIR_ROLE_MAX; i++) {
        if (weir_streq(names[i], name)) {
            return (enum weir_role)i;
        }
    }
    return WEIR_ROLE_NONE;
}

bool weir_role_covers(enum weir_role a, enum weir_role b)
{
    if (a == b || b == WEIR_ROLE_NONE || a == WEIR_ROLE_ADMIN) {
        return true;
    }
    /* the rest are a ladder up to owner, with finance and operator side by side on top; agents are no persons */
    return a < WEIR_ROLE_AGENT && b < a && b <= WEIR_ROLE_OWNER;
}

enum weir_role weir_role_meet(enum weir_role a, enum weir_role b)
{
    if (weir_role_covers(a, b)) {
        return b;
    }
    if (weir_role_covers(b, a)) {
        return a;
    }
    return a >= WEIR_ROLE_AGENT || b >= WEIR_ROLE_AGENT ? WEIR_ROLE_NONE : WEIR_ROLE_USER;
}

struct weir_scope *weir_scope_new(size_t n_max)
{
    WEIR_ASSERT(n_max <= WEIR_PROJECT_SET_MAX);
    struct weir_scope *s = weir_alloc(sizeof *s + n_max * sizeof s->item[0]);
    atomic_init(&s->refs, 1);
    return s;
}

void weir_scope_add(struct weir_scope *s, struct weir_project_id project, const char *name, enum weir_role role)
{
    struct weir_scope_item *i = &s->item[s->n];
    s->id[s->n++] = project;
    i->project = project;
    i->role = role;
    (void)snprintf(i->name, sizeof i->name, "%s", name);
}

struct weir_scope *weir_scope_ref(struct weir_scope *s)
{
    if (s != NULL) {
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    }
    return s;
}

void weir_scope_unref(struct weir_scope *s)
{
    if (s != NULL && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
        free(s);
    }
}

static enum weir_role higher(enum weir_role a, enum weir_role b)
{
    return a > b ? a : b; /* on the ladder */
}

enum weir_role weir_scope_role(const struct weir_scope *s, struct weir_project_id project)
{
    enum weir_role role = s == NULL ? WEIR_ROLE_NONE : s->everywhere;
    for (size_t i = 0; s != NULL && i < s->n; i++) {
        if (s->id[i].v == project.v) {
            role = higher(role, s->item[i].role);
        }
    }
    return role;
}

enum weir_role weir_scope_role_by_name(const struct weir_scope *s, struct weir_sv name)
{
    enum weir_role role = s == NULL ? WEIR_ROLE_NONE : s->everywhere;
    for (size_t i = 0; s != NULL && i < s->n; i++) {
        if (weir_sv_eq(name, weir_sv_of(s->item[i].name))) {
            role = higher(role, s->item[i].role);
        }
    }
    return role;
}

int weir_name_check(const char *what, const char *name, struct weir_err *err)
{
    for (const char *p = name; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || strchr(",:/\"\\\x7f", *p) != NULL) {
            return weir_fail(err, -WEIR_EINVAL, "%s '%.64s': such a name has no blanks, quotes, ',', ':', '/' or '\\'", what, name);
        }
    }
    return 0;
}

void weir_token_id(const char *hash, char *ret)
{
    (void)snprintf(ret, 17, "%.16s", hash);
}
