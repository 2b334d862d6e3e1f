/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who somebody is, and in which projects. A person has a role in the installation and a role in each of their projects; what
 * each role may do stands in the route table (routes.c).
 */

#include <stdatomic.h>

#include "spec/spec.h"
#include "store/store.h"

enum weir_role {
    WEIR_ROLE_NONE,
    WEIR_ROLE_VIEWER, /* reads in their projects */
    WEIR_ROLE_USER,   /* and submits and cancels there */
    WEIR_ROLE_OWNER,  /* of a project only: and says who its members are */
    WEIR_ROLE_FINANCE,
    WEIR_ROLE_OPERATOR,
    WEIR_ROLE_ADMIN,
    WEIR_ROLE_AGENT,
    WEIR_ROLE_JOIN, /* has a certificate made, once */
    WEIR_ROLE_MAX,
};

/* "viewer"; "" for NONE. */
const char *weir_role_name(enum weir_role role);
/* NONE where no role is called so. */
enum weir_role weir_role_find(const char *name);
/* Whoever has role a may do all that role b may. */
bool weir_role_covers(enum weir_role a, enum weir_role b);
/* The most that both allow. */
enum weir_role weir_role_meet(enum weir_role a, enum weir_role b);

/* ---- projects ---- */

struct weir_scope_item {
    struct weir_project_id project;
    enum weir_role role; /* VIEWER, USER or OWNER */
    char name[WEIR_SPEC_NAME_MAX + 1];
};

/*
 * The projects of a person. Never changed once it is made: where somebody's projects change, they get another one. Counted, as
 * requests under way and streams go on using the one that they began with.
 */
struct weir_scope {
    atomic_uint refs;
    enum weir_role everywhere; /* role in every project; NONE: only in those below */
    size_t n;
    struct weir_project_id id[WEIR_PROJECT_SET_MAX]; /* of the items: what the store filters by */
    struct weir_scope_item item[];
};

struct weir_scope *weir_scope_new(size_t n_max);
/* At most n_max times. */
void weir_scope_add(struct weir_scope *s, struct weir_project_id project, const char *name, enum weir_role role);
/* NULL is allowed. */
struct weir_scope *weir_scope_ref(struct weir_scope *s);
void weir_scope_unref(struct weir_scope *s);
/* NULL: somebody without projects. */
enum weir_role weir_scope_role(const struct weir_scope *s, struct weir_project_id project);
enum weir_role weir_scope_role_by_name(const struct weir_scope *s, struct weir_sv name);

/* ---- who a request comes from ---- */

struct weir_identity {
    char user[64];
    enum weir_role role;
    struct weir_lease_id lease; /* agent token of a rented machine */
    char node[64];              /* of an agent with a certificate: the name in it; "" for all others */
    char token[17];             /* id of the credential; "": a connection of the broker's own user */
    struct weir_scope *scope;   /* a reference of its own; NULL: none, as roles that see all need none */
};

/* Names of users and projects: what people type, and what stands in comma lists, paths and JSON. Errors: -WEIR_EINVAL, naming what. */
int weir_name_check(const char *what, const char *name, struct weir_err *err);

/* The id by which people call a token: the beginning of its hash. ret has 17 bytes. */
void weir_token_id(const char *hash, char *ret);
