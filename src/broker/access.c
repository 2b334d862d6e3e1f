/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Users: their roles, their projects, and the commands that change them and their tokens. Kept by the deciding thread; the
 * tokens (tokens.c) hold what server threads need of it.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "broker_priv.h"

/* ---- people ---- */

static void person_clear(struct person *p)
{
    for (size_t i = 0; i < p->projects.n; i++) {
        free(p->projects.p[i].name);
    }
    weir_vec_release(&p->projects);
    free(p->name);
}

static void add_person(struct broker *b, struct person p)
{
    weir_vec_push(&b->people, p);
    weir_map_put(&b->person_at, weir_hash_bytes(p.name, strlen(p.name)), b->people.n - 1);
}

static void remove_person(struct broker *b, struct person *p)
{
    size_t at = (size_t)(p - b->people.p);
    person_clear(p);
    memmove(p, p + 1, (b->people.n - at - 1) * sizeof *p);
    b->people.n--;
    weir_map_release(&b->person_at);
    for (size_t i = 0; i < b->people.n; i++) {
        const char *name = b->people.p[i].name;
        weir_map_put(&b->person_at, weir_hash_bytes(name, strlen(name)), i);
    }
}

static struct person *find(struct broker *b, const char *user)
{
    uint64_t at;
    if (!weir_map_get(&b->person_at, weir_hash_bytes(user, strlen(user)), &at)) {
        return NULL;
    }
    if (weir_streq(b->people.p[at].name, user)) {
        return &b->people.p[at];
    }
    for (size_t i = 0; i < b->people.n; i++) {
        if (weir_streq(b->people.p[i].name, user)) {
            return &b->people.p[i];
        }
    }
    return NULL;
}

const struct person *access_find(const struct broker *b, const char *user)
{
    return find((struct broker *)(uintptr_t)b, user);
}

enum weir_role access_role_in(const struct person *p, struct weir_sv project)
{
    enum weir_role role = p->role == WEIR_ROLE_ADMIN ? WEIR_ROLE_OWNER : WEIR_ROLE_NONE;
    for (size_t i = 0; i < p->projects.n; i++) {
        const struct person_project *x = &p->projects.p[i];
        if ((weir_streq(x->name, "*") || weir_sv_eq(project, weir_sv_of(x->name))) && x->role > role) {
            role = x->role;
        }
    }
    return role;
}

/* role NONE takes them out. */
static void set_project(struct person *p, const char *project, enum weir_role role)
{
    for (size_t i = 0; i < p->projects.n; i++) {
        struct person_project *x = &p->projects.p[i];
        if (!weir_streq(x->name, project)) {
            continue;
        }
        x->role = role;
        if (role == WEIR_ROLE_NONE) {
            free(x->name);
            memmove(x, x + 1, (p->projects.n - i - 1) * sizeof *x);
            p->projects.n--;
        }
        return;
    }
    if (role != WEIR_ROLE_NONE) {
        weir_vec_push(&p->projects, ((struct person_project){weir_strdup(project), role}));
    }
}

static void projects_json(const struct person *p, struct weir_json *j)
{
    weir_json_object(j);
    for (size_t i = 0; i < p->projects.n; i++) {
        weir_json_kv_cstr(j, p->projects.p[i].name, weir_role_name(p->projects.p[i].role));
    }
    weir_json_end(j);
}

/* For the audit log. Caller releases. */
static struct weir_str person_json(const struct person *p)
{
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    if (p != NULL) {
        struct weir_json j = weir_json_begin(&out);
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "role", weir_role_name(p->role));
        weir_json_kv_bool(&j, "disabled", p->is_disabled);
        weir_json_key(&j, "projects");
        projects_json(p, &j);
        weir_json_end(&j);
    }
    return out;
}

static void store(struct broker *b, const struct person *p)
{
    struct weir_str projects = WEIR_STR_INIT(1 << 20);
    struct weir_json j = weir_json_begin(&projects);
    projects_json(p, &j);
    weir_engine_put_access(b->engine, &(struct weir_access_row){p->name, weir_role_name(p->role), p->is_disabled, weir_str_cstr(&projects)});
    weir_str_release(&projects);
}

static int on_access(void *ctx, const struct weir_access_row *row)
{
    struct broker *b = ctx;
    struct person p = {.name = weir_strdup(row->user), .role = weir_role_find(row->role), .is_disabled = row->disabled};
    json_t *projects = json_loads(row->projects_json, 0, NULL);
    const char *name;
    json_t *role;
    json_object_foreach (projects, name, role) {
        set_project(&p, name, weir_role_find(json_is_string(role) ? json_string_value(role) : ""));
    }
    json_decref(projects);
    add_person(b, p);
    return 0;
}

int access_init(struct broker *b, struct weir_err *err)
{
    return b->store->ops->each_access(b->store, on_access, b, err);
}

void access_free(struct broker *b)
{
    for (size_t i = 0; i < b->people.n; i++) {
        person_clear(&b->people.p[i]);
    }
    weir_vec_release(&b->people);
    weir_map_release(&b->person_at);
}

/* ---- the audit log ---- */

void access_audit(struct broker *b, const struct weir_command *cmd, const char *action, const char *object, const char *before,
                  const char *after)
{
    struct weir_audit_row row = {.peer = cmd->peer, .action = action, .object = object, .before = before, .after = after};
    if (cmd->who != NULL) {
        row.user = cmd->who->user;
        row.role = weir_role_name(cmd->who->role);
        row.token = cmd->who->token;
    }
    weir_engine_audit(b->engine, &row);
}

void access_scope_json(struct weir_json *j, const struct broker *b, uint8_t scope, struct weir_project_id project, struct weir_user_id user, const char *tag)
{
    weir_json_kv_cstr(j, "scope", weir_budget_scope_name((enum weir_budget_scope)scope));
    if (scope == WEIR_BUDGET_PROJECT) {
        weir_json_kv_cstr(j, "project", weir_engine_project_name(b->engine, project));
    } else if (scope == WEIR_BUDGET_USER) {
        weir_json_kv_cstr(j, "user", weir_engine_user_name(b->engine, user));
    } else if (scope == WEIR_BUDGET_TAG) {
        weir_json_key(j, "tag");
        weir_json_object(j);
        weir_json_raw(j, weir_sv_of(tag)); /* "team":"perception" */
        weir_json_end(j);
    }
}

static void audit_person(struct broker *b, const struct weir_command *cmd, const char *action, const char *user,
                         struct weir_str *before, const struct person *now)
{
    char object[128];
    struct weir_str after = person_json(now);
    (void)snprintf(object, sizeof object, "user %s", user);
    access_audit(b, cmd, action, object, weir_str_cstr(before), weir_str_cstr(&after));
    weir_str_release(&after);
    weir_str_release(before);
}

/* ---- users and members ---- */

static int user_set(struct broker *b, struct weir_command *cmd)
{
    const char *user = cmd->u.access.user;
    struct person *p = find(b, user);
    struct weir_str before = person_json(p);
    const char *name;
    json_t *role;
    size_t n = p == NULL ? 0 : p->projects.n;
    if (n + json_object_size(cmd->u.access.projects) > WEIR_PROJECT_SET_MAX) {
        weir_str_release(&before);
        return weir_fail(&cmd->err, -WEIR_EINVAL, "user '%s': nobody is in more than %d projects; '*' is all", user, WEIR_PROJECT_SET_MAX);
    }
    if (p == NULL) {
        add_person(b, (struct person){.name = weir_strdup(user), .role = WEIR_ROLE_USER});
        p = &b->people.p[b->people.n - 1];
    }
    p->role = cmd->u.access.role == NULL ? p->role : weir_role_find(cmd->u.access.role);
    p->is_disabled = cmd->u.access.disabled < 0 ? p->is_disabled : cmd->u.access.disabled != 0;
    json_object_foreach ((json_t *)(uintptr_t)cmd->u.access.projects, name, role) {
        set_project(p, name, json_is_string(role) ? weir_role_find(json_string_value(role)) : WEIR_ROLE_NONE);
        if (json_is_string(role) && !weir_streq(name, "*")) {
            (void)weir_engine_project(b->engine, weir_sv_of(name));
        }
    }
    store(b, p);
    tokens_refresh(b, user);
    audit_person(b, cmd, "user.set", user, &before, p);
    return 0;
}

static int no_user(struct weir_command *cmd)
{
    return weir_fail(&cmd->err, -WEIR_ENOTFOUND, "user '%s' does not exist: an administrator makes one with 'weir user add'", cmd->u.access.user);
}

static int user_remove(struct broker *b, struct weir_command *cmd)
{
    const char *user = cmd->u.access.user;
    struct person *p = find(b, user);
    if (p == NULL) {
        return no_user(cmd);
    }
    struct weir_str before = person_json(p);
    remove_person(b, p);
    (void)tokens_revoke_all(b, user);
    weir_engine_delete_access(b->engine, user);
    audit_person(b, cmd, "user.remove", user, &before, NULL);
    return 0;
}

static int member_set(struct broker *b, struct weir_command *cmd)
{
    const char *project = cmd->u.access.project;
    bool add = cmd->u.access.op == WEIR_ACCESS_MEMBER_SET;
    struct person *p = find(b, cmd->u.access.user);
    if (p == NULL) {
        return no_user(cmd);
    }
    if (weir_engine_find_project(b->engine, weir_sv_of(project)).v == 0) {
        return weir_fail(&cmd->err, -WEIR_ENOTFOUND, "project '%s' does not exist", project);
    }
    struct weir_str before = person_json(p);
    size_t n = p->projects.n;
    set_project(p, project, add ? weir_role_find(cmd->u.access.role) : WEIR_ROLE_NONE);
    int r = 0;
    if (p->projects.n > WEIR_PROJECT_SET_MAX) {
        set_project(p, project, WEIR_ROLE_NONE);
        r = weir_fail(&cmd->err, -WEIR_ECONFLICT, "user '%s' is in %d projects already", p->name, WEIR_PROJECT_SET_MAX);
    } else if (!add && p->projects.n == n) {
        r = weir_fail(&cmd->err, -WEIR_ENOTFOUND, "'%s' is no member of project '%s'", p->name, project);
    }
    if (r != 0) {
        weir_str_release(&before);
        return r;
    }
    store(b, p);
    tokens_refresh(b, p->name);
    audit_person(b, cmd, add ? "member.set" : "member.remove", p->name, &before, p);
    return 0;
}

const struct person *access_welcome(struct broker *b, const struct weir_command *cmd, const char *user)
{
    struct person *p = find(b, user);
    if (p == NULL) {
        struct weir_str before = person_json(NULL);
        add_person(b, (struct person){.name = weir_strdup(user), .role = WEIR_ROLE_VIEWER});
        p = &b->people.p[b->people.n - 1];
        store(b, p);
        audit_person(b, cmd, "user.login", user, &before, p);
    }
    return p;
}

/* ---- tokens ---- */

/* May with the credential be done all that its user may do? */
static bool is_whole(struct broker *b, const struct weir_identity *who)
{
    const struct person *p = access_find(b, who->user);
    struct token own;
    return p != NULL && tokens_get(b, who->token, &own) && own.is == p->role && own.only == NULL && own.role != WEIR_ROLE_USER;
}

/* May who asks make such a token? Nobody makes one that can do more than they can themselves with the one they have shown. */
static int check_make(struct broker *b, struct weir_command *cmd, const char *user, enum weir_role role)
{
    const struct weir_identity *who = cmd->who;
    const struct person *p = access_find(b, user);
    if (who->role != WEIR_ROLE_ADMIN) {
        if (!weir_streq(user, who->user) || role == WEIR_ROLE_AGENT) {
            return weir_fail(&cmd->err, -WEIR_EDENIED, "only an administrator makes tokens for others, or for agents");
        }
        if (!is_whole(b, who)) {
            return weir_fail(&cmd->err, -WEIR_EDENIED, "a token that is limited makes no others: use one that is not");
        }
    }
    if (role == WEIR_ROLE_AGENT) {
        return cmd->u.access.only[0] == '\0' ? 0 : weir_fail(&cmd->err, -WEIR_EINVAL, "an agent's token is not limited to projects");
    }
    if (p == NULL) {
        cmd->u.access.user = user;
        return no_user(cmd);
    }
    if (!weir_role_covers(p->role, role)) {
        return weir_fail(&cmd->err, -WEIR_EINVAL, "user '%s' is %s: a token of theirs is not for %s", user, weir_role_name(p->role), weir_role_name(role));
    }
    struct weir_sv only = weir_sv_of(cmd->u.access.only);
    while (only.p != NULL && only.n > 0) {
        struct weir_sv project = weir_sv_cut(&only, ',');
        if (access_role_in(p, project) == WEIR_ROLE_NONE || weir_engine_find_project(b->engine, project).v == 0) {
            return weir_fail(&cmd->err, -WEIR_EINVAL, "user '%s' is not in project '%.*s'", user, WEIR_SV_ARG(project));
        }
    }
    return 0;
}

static int token_make(struct broker *b, struct weir_command *cmd)
{
    char secret[TOKEN_SIZE];
    char object[32];
    const char *user = cmd->u.access.user == NULL ? cmd->who->user : cmd->u.access.user;
    const char *role = cmd->u.access.role == NULL ? "" : cmd->u.access.role;
    int r = check_make(b, cmd, user, weir_role_find(role));
    if (r != 0) {
        return r;
    }
    struct weir_token_row row = {.name = cmd->u.access.name,
                                 .role = role,
                                 .user = user,
                                 .expires = cmd->u.access.expires,
                                 .created_by = cmd->who->user,
                                 .projects = cmd->u.access.only};
    tokens_make_for(b, &row, secret, sizeof secret);
    weir_token_id(row.hash, cmd->u.access.token);
    weir_str_adds(&cmd->reply, secret);
    explicit_bzero(secret, sizeof secret);
    struct weir_str after = WEIR_STR_INIT(1 << 16);
    struct weir_json j = weir_json_begin(&after);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "user", user);
    weir_json_kv_cstr(&j, "role", role[0] == '\0' ? NULL : role);
    weir_json_kv_cstr(&j, "projects", row.projects[0] == '\0' ? NULL : row.projects);
    weir_json_kv_time(&j, "expires", row.expires);
    weir_json_end(&j);
    (void)snprintf(object, sizeof object, "token %s", cmd->u.access.token);
    access_audit(b, cmd, "token.create", object, "", weir_str_cstr(&after));
    weir_str_release(&after);
    return 0;
}

static int token_revoke(struct broker *b, struct weir_command *cmd)
{
    const char *id = cmd->u.access.token;
    struct token t;
    char object[32];
    if (!tokens_get(b, id, &t) || strncmp(t.hash, id, 16) != 0 ||
        (cmd->who->role != WEIR_ROLE_ADMIN && !weir_streq(t.user, cmd->who->user))) {
        return weir_fail(&cmd->err, -WEIR_ENOTFOUND, "token '%.16s' does not exist", id);
    }
    if (cmd->who->role != WEIR_ROLE_ADMIN && !weir_streq(id, cmd->who->token) && !is_whole(b, cmd->who)) {
        return weir_fail(&cmd->err, -WEIR_EDENIED, "a token that is limited revokes no others: use one that is not");
    }
    if (t.created_by[0] == '\0') {
        return weir_fail(&cmd->err, -WEIR_ECONFLICT,
                         "token '%.16s' is the broker's own: a machine's ends with its lease, another with its file in the data directory", id);
    }
    struct weir_str before = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&before);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "user", t.user);
    weir_json_kv_cstr(&j, "role", t.role == WEIR_ROLE_NONE ? NULL : weir_role_name(t.role));
    weir_json_end(&j);
    (void)snprintf(object, sizeof object, "token %.16s", id);
    tokens_revoke(b, id);
    access_audit(b, cmd, "token.revoke", object, weir_str_cstr(&before), "");
    weir_str_release(&before);
    return 0;
}

void access_change(struct broker *b, struct weir_command *cmd)
{
    int r = 0;
    switch (cmd->u.access.op) {
    case WEIR_ACCESS_USER_SET:
        r = user_set(b, cmd);
        break;
    case WEIR_ACCESS_USER_REMOVE:
        r = user_remove(b, cmd);
        break;
    case WEIR_ACCESS_MEMBER_SET:
    case WEIR_ACCESS_MEMBER_REMOVE:
        r = member_set(b, cmd);
        break;
    case WEIR_ACCESS_TOKEN_MAKE:
        r = token_make(b, cmd);
        break;
    case WEIR_ACCESS_TOKEN_REVOKE:
        r = token_revoke(b, cmd);
        break;
    case WEIR_ACCESS_NODE_INVITE:
        certificates_invite(b, cmd);
        return;
    case WEIR_ACCESS_NODE_REVOKE:
        certificates_revoke(b, cmd);
        return;
    }
    commands_finish(b, cmd, r);
}
