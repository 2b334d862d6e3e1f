/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what: users, members of projects, tokens; and who changed what. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "base/parse.h"

enum { TOKEN_NAME_MAX = 63, USER_PROJECTS_MAX = WEIR_PROJECT_SET_MAX };

/* A page of a list that is read whole: its cursor is how many were there before. */
struct page {
    struct weir_json j;
    uint64_t cursor;
    uint64_t limit;
    uint64_t at;
    const char *user; /* only theirs; NULL: all */
    const char *only; /* this user or token, without the list around it */
    bool found;
};

static struct page page_begin(struct api_request *rq, struct weir_str *out)
{
    struct page p = {.j = weir_json_begin(out), .cursor = api_number(rq, "cursor", 0), .limit = api_number(rq, "limit", API_LIST_LIMIT)};
    weir_json_object(&p.j);
    weir_json_key(&p.j, "items");
    weir_json_array(&p.j);
    return p;
}

static bool page_takes(struct page *p)
{
    uint64_t i = p->at++;
    return i >= p->cursor && i - p->cursor < p->limit;
}

static void reply(struct weir_http_request *http, int status, struct weir_str *out, int rc, struct weir_err *err)
{
    if (rc < 0) {
        weir_str_release(out);
        api_fail(http, rc, err);
    } else {
        api_reply(http, status, out);
    }
}

/* ---- who am I ---- */

void api_handle_whoami(struct api_request *rq)
{
    const struct weir_scope *s = rq->who.scope;
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "user", rq->who.user);
    weir_json_kv_cstr(&j, "role", weir_role_name(rq->who.role));
    weir_json_kv_cstr(&j, "token", rq->who.token[0] == '\0' ? NULL : rq->who.token);
    weir_json_key(&j, "projects");
    weir_json_object(&j);
    if (s != NULL && s->everywhere != WEIR_ROLE_NONE) {
        weir_json_kv_cstr(&j, "*", weir_role_name(s->everywhere));
    }
    for (size_t i = 0; s != NULL && i < s->n; i++) {
        weir_json_kv_cstr(&j, s->item[i].name, weir_role_name(s->item[i].role));
    }
    weir_json_end(&j);
    weir_json_end(&j);
    api_reply(rq->http, 200, &out);
}

/* ---- users ---- */

static void user_json(struct weir_json *j, const struct weir_access_row *row)
{
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", row->user);
    weir_json_kv_cstr(j, "role", row->role);
    weir_json_kv_bool(j, "disabled", row->disabled);
    weir_json_key(j, "projects");
    weir_json_raw(j, weir_sv_of(row->projects_json));
    weir_json_end(j);
}

static int on_user(void *ctx, const struct weir_access_row *row)
{
    struct page *p = ctx;
    if (page_takes(p)) {
        user_json(&p->j, row);
    }
    return 0;
}

void api_handle_users(struct api_request *rq)
{
    unsigned which;
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct page p = page_begin(rq, &out);
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = s->ops->each_access(s, on_user, &p, &rq->err);
    api_reader_put(rq->api, which);
    api_list_end(&p.j, p.cursor + p.limit < p.at, p.cursor + p.limit);
    reply(rq->http, 200, &out, rc, &rq->err);
}

static int on_only_user(void *ctx, const struct weir_access_row *row)
{
    struct page *p = ctx;
    if (weir_streq(row->user, p->only)) {
        user_json(&p->j, row);
        p->found = true;
    }
    return 0;
}

/* On the lane: the user as the change has left it. */
static void user_finish(struct api_call *call)
{
    unsigned which;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    struct page p = {.j = weir_json_begin(&out), .only = call->filter_user};
    struct weir_store *s = api_reader_take(call->api, &which);
    int rc = s->ops->each_access(s, on_only_user, &p, &err);
    api_reader_put(call->api, which);
    if (rc == 0 && !p.found) {
        rc = weir_fail(&err, -WEIR_ENOTFOUND, "user '%s' does not exist", p.only);
    }
    reply(call->http, 200, &out, rc, &err);
}

/* What was removed is not there to be shown. */
static void removed_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
    } else {
        api_reply_removed(call->http, call->filter_user);
    }
    api_call_free(call);
}

static struct api_call *change(struct api_request *rq, enum weir_access_op op)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_ACCESS);
    call->cmd.u.access.op = op;
    call->cmd.u.access.disabled = -1;
    call->cmd.u.access.only = "";
    return call;
}

/* Takes the request's body and checks its shape; on failure the call is answered and gone. */
static bool take_body(struct api_request *rq, struct api_call *call, int (*read)(struct api_call *call, struct weir_err *err))
{
    call->body = api_body(rq);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find(rq->route->body), call->body, &rq->err);
    rc = rc < 0 ? rc : read(call, &rq->err);
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
        api_call_free(call);
        return false;
    }
    return true;
}

static int check_role(const char *role, enum weir_role most, bool whole, struct weir_err *err)
{
    enum weir_role r = weir_role_find(role);
    if (r == WEIR_ROLE_NONE || r > most || (whole && r == WEIR_ROLE_OWNER)) {
        return weir_fail(err, -WEIR_EINVAL, "role '%.64s' is none of %s", role,
                         whole ? "admin, operator, finance, user, viewer" : "owner, user, viewer");
    }
    return 0;
}

static int check_projects(const json_t *projects, struct weir_err *err)
{
    const char *name;
    json_t *v;
    if (json_object_size(projects) > USER_PROJECTS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "projects: at most %d", USER_PROJECTS_MAX);
    }
    json_object_foreach ((json_t *)(uintptr_t)projects, name, v) {
        if (name[0] == '\0' || strlen(name) > WEIR_SPEC_NAME_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "projects: a name must have 1 to %d bytes", WEIR_SPEC_NAME_MAX);
        }
        if (!json_is_null(v) && !json_is_string(v)) {
            return weir_fail(err, -WEIR_EINVAL, "projects: '%.64s' must have a role, or null", name);
        }
        int rc = weir_name_check("projects:", name, err);
        rc = rc < 0 || json_is_null(v) ? rc : check_role(json_string_value(v), WEIR_ROLE_OWNER, false, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int read_user(struct api_call *call, struct weir_err *err)
{
    const json_t *disabled = json_object_get(call->body, "disabled");
    call->cmd.u.access.role = json_string_value(json_object_get(call->body, "role"));
    call->cmd.u.access.disabled = disabled == NULL ? -1 : json_is_true(disabled);
    call->cmd.u.access.projects = json_object_get(call->body, "projects");
    int rc = call->cmd.u.access.role == NULL ? 0 : check_role(call->cmd.u.access.role, WEIR_ROLE_ADMIN, true, err);
    return rc < 0 ? rc : check_projects(call->cmd.u.access.projects, err);
}

static void post_user(struct api_request *rq, struct api_call *call, const char *user)
{
    (void)snprintf(call->filter_user, sizeof call->filter_user, "%s", user);
    call->cmd.u.access.user = call->filter_user;
    call->finish = user_finish;
    int rc = weir_name_check("user", user, &rq->err);
    api_call_post_or_fail(rq, call, rc);
}

void api_handle_user_set(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ACCESS_USER_SET);
    if (take_body(rq, call, read_user)) {
        post_user(rq, call, rq->path[0].text);
    }
}

void api_handle_user_remove(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ACCESS_USER_REMOVE);
    call->cmd.done = removed_done;
    post_user(rq, call, rq->path[0].text);
}

/* ---- members of a project ---- */

struct members {
    struct weir_json *j;
    const char *project;
    const char *only; /* NULL: all of them */
    bool found;
};

static int on_member(void *ctx, const struct weir_access_row *row)
{
    struct members *m = ctx;
    struct weir_sv role = weir_json_find(weir_sv_of(row->projects_json), m->project);
    if (role.p == NULL || (m->only != NULL && !weir_streq(m->only, row->user))) {
        return 0;
    }
    m->found = true;
    weir_json_object(m->j);
    weir_json_kv_cstr(m->j, "name", row->user);
    weir_json_key(m->j, "role");
    weir_json_raw(m->j, role);
    weir_json_end(m->j);
    return 0;
}

int api_members_json(struct weir_store *s, const char *project, struct weir_json *j, struct weir_err *err)
{
    struct members m = {.j = j, .project = project};
    return s->ops->each_access(s, on_member, &m, err);
}

static void member_finish(struct api_call *call)
{
    unsigned which;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&out);
    struct members m = {.j = &j, .project = call->name, .only = call->filter_user};
    struct weir_store *s = api_reader_take(call->api, &which);
    int rc = s->ops->each_access(s, on_member, &m, &err);
    api_reader_put(call->api, which);
    if (rc == 0 && !m.found) {
        rc = weir_fail(&err, -WEIR_ENOTFOUND, "'%s' is no member of project '%s'", m.only, m.project);
    }
    reply(call->http, 200, &out, rc, &err);
}

static int read_member(struct api_call *call, struct weir_err *err)
{
    call->cmd.u.access.role = json_string_value(json_object_get(call->body, "role"));
    return check_role(call->cmd.u.access.role, WEIR_ROLE_OWNER, false, err);
}

static void post_member(struct api_request *rq, struct api_call *call)
{
    (void)snprintf(call->name, sizeof call->name, "%s", rq->path[0].text);
    (void)snprintf(call->filter_user, sizeof call->filter_user, "%s", rq->path[1].text);
    call->cmd.u.access.project = call->name;
    call->cmd.u.access.user = call->filter_user;
    call->finish = member_finish;
    api_call_post(call);
}

void api_handle_member_set(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ACCESS_MEMBER_SET);
    if (take_body(rq, call, read_member)) {
        post_member(rq, call);
    }
}

void api_handle_member_remove(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ACCESS_MEMBER_REMOVE);
    call->cmd.done = removed_done;
    post_member(rq, call);
}

/* ---- tokens ---- */

static void text_or_null(struct weir_json *j, const char *key, const char *text)
{
    weir_json_kv_cstr(j, key, text == NULL || text[0] == '\0' ? NULL : text);
}

static void token_json(struct weir_json *j, const struct weir_token_row *row)
{
    char id[17];
    weir_token_id(row->hash, id);
    weir_json_object(j);
    weir_json_kv_cstr(j, "id", id);
    weir_json_kv_cstr(j, "name", row->name);
    weir_json_kv_cstr(j, "user", row->user);
    text_or_null(j, "role", row->role);
    weir_json_key(j, "projects");
    struct weir_sv projects = weir_sv_of(row->projects == NULL ? "" : row->projects);
    if (projects.n == 0) {
        weir_json_null(j);
    } else {
        weir_json_array(j);
        while (projects.p != NULL) {
            weir_json_string(j, weir_sv_cut(&projects, ','));
        }
        weir_json_end(j);
    }
    weir_json_kv_time(j, "created", row->created);
    text_or_null(j, "created_by", row->created_by);
    weir_json_kv_time(j, "expires", row->expires);
    weir_json_end(j);
}

static int on_token(void *ctx, const struct weir_token_row *row)
{
    struct page *p = ctx;
    if ((p->user == NULL || weir_streq(p->user, row->user)) && page_takes(p)) {
        token_json(&p->j, row);
    }
    return 0;
}

void api_handle_tokens(struct api_request *rq)
{
    unsigned which;
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct page p = page_begin(rq, &out);
    p.user = rq->who.role == WEIR_ROLE_ADMIN ? NULL : rq->who.user;
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = s->ops->each_token(s, on_token, &p, &rq->err);
    api_reader_put(rq->api, which);
    api_list_end(&p.j, p.cursor + p.limit < p.at, p.cursor + p.limit);
    reply(rq->http, 200, &out, rc, &rq->err);
}

static void made_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
    } else {
        struct weir_str out = WEIR_STR_INIT(4096);
        struct weir_json j = weir_json_begin(&out);
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "id", cmd->u.access.token);
        weir_json_kv_cstr(&j, "token", weir_str_cstr(&cmd->reply));
        weir_json_end(&j);
        api_reply(call->http, 201, &out);
    }
    api_call_free(call);
}

static int read_only(struct api_call *call, struct weir_err *err)
{
    const json_t *list = json_object_get(call->body, "projects");
    size_t i;
    json_t *v;
    if (list == NULL) {
        return 0;
    }
    if (json_array_size(list) == 0 || json_array_size(list) > USER_PROJECTS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "projects: name 1 to %d, or leave the key out", USER_PROJECTS_MAX);
    }
    json_array_foreach (list, i, v) {
        const char *name = json_string_value(v);
        if (name == NULL || name[0] == '\0' || strlen(name) > WEIR_SPEC_NAME_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "projects: a name must have 1 to %d bytes", WEIR_SPEC_NAME_MAX);
        }
        int rc = weir_name_check("project", name, err);
        if (rc < 0) {
            return rc;
        }
        weir_str_addf(&call->text, "%s%s", i == 0 ? "" : ",", name);
    }
    call->cmd.u.access.only = weir_str_cstr(&call->text);
    return 0;
}

static int read_expires(struct api_call *call, struct weir_err *err)
{
    const char *expires = json_string_value(json_object_get(call->body, "expires"));
    int rc = expires == NULL ? 0 : weir_parse_time(weir_sv_of(expires), &call->cmd.u.access.expires, err);
    if (rc < 0) {
        return weir_fail_prefix(err, rc, "expires");
    }
    if (expires != NULL && call->cmd.u.access.expires.us <= weir_clock_wall(call->api->conf.clock).us) {
        return weir_fail(err, -WEIR_EINVAL, "expires '%.64s' is not in the future", expires);
    }
    return 0;
}

static int read_token(struct api_call *call, struct weir_err *err)
{
    const char *user = json_string_value(json_object_get(call->body, "user"));
    const char *name = json_string_value(json_object_get(call->body, "name"));
    const char *role = json_string_value(json_object_get(call->body, "role"));
    if (user != NULL && (user[0] == '\0' || strlen(user) >= sizeof call->who.user)) {
        return weir_fail(err, -WEIR_EINVAL, "user: a name must have 1 to %d bytes", (int)sizeof call->who.user - 1);
    }
    if (name != NULL && strlen(name) > TOKEN_NAME_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "name: at most %d bytes", TOKEN_NAME_MAX);
    }
    enum weir_role r = role == NULL ? WEIR_ROLE_USER : weir_role_find(role);
    if (r == WEIR_ROLE_NONE || r == WEIR_ROLE_OWNER || r == WEIR_ROLE_JOIN) {
        return weir_fail(err, -WEIR_EINVAL, "role '%.64s' is none of admin, operator, finance, user, viewer, agent", role);
    }
    int rc = read_expires(call, err);
    if (rc < 0) {
        return rc;
    }
    call->cmd.u.access.user = user;
    call->cmd.u.access.role = role;
    call->cmd.u.access.name = name == NULL ? "" : name;
    return read_only(call, err);
}

void api_handle_token_make(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ACCESS_TOKEN_MAKE);
    call->cmd.done = made_done;
    if (take_body(rq, call, read_token)) {
        api_call_post(call);
    }
}

void api_handle_token_revoke(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ACCESS_TOKEN_REVOKE);
    (void)snprintf(call->cmd.u.access.token, sizeof call->cmd.u.access.token, "%s", rq->path[0].text);
    (void)snprintf(call->filter_user, sizeof call->filter_user, "%s", rq->path[0].text);
    call->cmd.done = removed_done;
    api_call_post(call);
}

/* ---- nodes' credentials ---- */

static void invited_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
    } else {
        api_reply(call->http, 201, &cmd->reply);
    }
    api_call_free(call);
}

static int read_invite(struct api_call *call, struct weir_err *err)
{
    const char *node = json_string_value(json_object_get(call->body, "node"));
    if (node != NULL && (node[0] == '\0' || strlen(node) > TOKEN_NAME_MAX)) {
        return weir_fail(err, -WEIR_EINVAL, "node: a name must have 1 to %d bytes", TOKEN_NAME_MAX);
    }
    call->cmd.u.access.name = node == NULL ? "" : node;
    int rc = node == NULL ? 0 : weir_name_check("node", node, err);
    return rc < 0 ? rc : read_expires(call, err);
}

void api_handle_invite(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ACCESS_NODE_INVITE);
    call->cmd.done = invited_done;
    if (take_body(rq, call, read_invite)) {
        api_call_post(call);
    }
}

void api_handle_certificate_revoke(struct api_request *rq)
{
    struct api_call *call = change(rq, WEIR_ACCESS_NODE_REVOKE);
    (void)snprintf(call->filter_user, sizeof call->filter_user, "%s", rq->path[0].text);
    call->cmd.u.access.name = call->filter_user;
    call->cmd.done = removed_done;
    api_call_post(call);
}

/* ---- the audit log ---- */

static void raw_or_null(struct weir_json *j, const char *key, const char *json)
{
    weir_json_key(j, key);
    if (json == NULL || json[0] == '\0') {
        weir_json_null(j);
    } else {
        weir_json_raw(j, weir_sv_of(json));
    }
}

struct audit_page {
    struct weir_json j;
    uint64_t limit;
    uint64_t n;
    uint64_t last;
};

static int on_change(void *ctx, const struct weir_audit_row *row)
{
    struct audit_page *p = ctx;
    p->last = row->id;
    p->n++;
    weir_json_object(&p->j);
    weir_json_kv_u64(&p->j, "id", row->id);
    weir_json_kv_time(&p->j, "at", row->at);
    weir_json_kv_cstr(&p->j, "user", row->user);
    weir_json_kv_cstr(&p->j, "role", row->role);
    text_or_null(&p->j, "token", row->token);
    weir_json_kv_cstr(&p->j, "from", row->peer);
    weir_json_kv_cstr(&p->j, "action", row->action);
    weir_json_kv_cstr(&p->j, "object", row->object);
    raw_or_null(&p->j, "before", row->before);
    raw_or_null(&p->j, "after", row->after);
    weir_json_end(&p->j);
    return 0;
}

void api_handle_audit(struct api_request *rq)
{
    unsigned which;
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct weir_audit_filter f = {.before = api_number(rq, "cursor", 0),
                                  .since = api_param(rq, "since")->time,
                                  .limit = (uint32_t)api_number(rq, "limit", API_LIST_LIMIT)};
    struct audit_page p = {.j = weir_json_begin(&out), .limit = f.limit};
    weir_json_object(&p.j);
    weir_json_key(&p.j, "items");
    weir_json_array(&p.j);
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = s->ops->list_audit(s, &f, on_change, &p, &rq->err);
    api_reader_put(rq->api, which);
    api_list_end(&p.j, p.n == p.limit && p.last > 1, p.last);
    reply(rq->http, 200, &out, rc, &rq->err);
}
