/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Agents by certificate. A join token is good for one key: with it an agent has a certificate made, which is renewed with the same key from
 * then on. What is believed is not the certificate alone: its key must stand among the credentials, so that a node is shut out by taking it
 * away there. Join tokens and keys are rows like all tokens, of the user TOKEN_NODE_USER; a join token's `only` is the key it was used with.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "agents_priv.h"
#include "broker_priv.h"

enum { INVITATION_S_DEFAULT = 3600, LEASE_TOKEN_NAME_MAX = 63 };

/* Does a key's row hold the name of an owned node? */
bool certificates_has(struct broker *b, const char *node)
{
    for (size_t i = 0; node != NULL && i < b->tokens.n; i++) { /* only this thread changes them */
        const struct token *t = &b->tokens.p[i];
        if (t->is_node && t->role == WEIR_ROLE_AGENT && t->lease.v == 0 && weir_streq(t->name, node) && !tokens_is_expired(t)) {
            return true;
        }
    }
    return false;
}

static int check_tls(struct broker *b, struct weir_err *err)
{
    return b->ca_pem != NULL ? 0
                             : weir_fail(err, -WEIR_ECONFLICT,
                                         "certificates need TLS, and this broker listens on %s only: start it with --listen on an address that agents elsewhere reach; agents of "
                                         "this host use the file 'agent-token'",
                                         b->config->listen);
}

/* For the audit log: until when what was given is good. */
static void audit_until(struct broker *b, const struct weir_command *cmd, const char *action, const char *object, struct weir_wall expires)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str after = WEIR_STR_INIT(AUDIT_STATE_BYTES_MAX);
    struct weir_json j = weir_json_begin(&after);
    weir_json_object(&j);
    weir_json_kv_time(&j, "expires", expires);
    weir_json_end(&j);
    access_audit(b, cmd, action, object, "", weir_str_cstr(&after));
}

static void node_object(char *buf, size_t size, const char *node)
{
    (void)snprintf(buf, size, "node %.63s", node[0] == '\0' ? "(any)" : node);
}

/* ---- invitations ---- */

void certificates_invite(struct broker *b, struct weir_command *cmd)
{
    char secret[TOKEN_SIZE];
    char object[96];
    const char *node = cmd->u.access.name;
    struct weir_wall expires = cmd->u.access.expires;
    int r = check_tls(b, &cmd->err);
    if (r != 0) {
        commands_finish(b, cmd, r);
        return;
    }
    if (expires.us == 0) {
        expires.us = weir_engine_now(b->engine).us + INVITATION_S_DEFAULT * WEIR_US_PER_S;
    }
    struct weir_token_row row = {.name = node, .role = "join", .user = TOKEN_NODE_USER, .expires = expires, .created_by = cmd->who->user, .projects = ""};
    tokens_make_for(b, &row, secret, sizeof secret);
    weir_token_id(row.hash, cmd->u.access.token);
    struct weir_json j = weir_json_begin(&cmd->reply);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "id", cmd->u.access.token);
    weir_json_kv_cstr(&j, "token", secret);
    weir_json_kv_cstr(&j, "node", node[0] == '\0' ? NULL : node);
    weir_json_kv_time(&j, "expires", expires);
    weir_json_kv_cstr(&j, "broker", b->public_url);
    weir_json_kv_cstr(&j, "authority", tls_authority(b));
    weir_json_end(&j);
    explicit_bzero(secret, sizeof secret);
    node_object(object, sizeof object, node);
    audit_until(b, cmd, "node.invite", object, expires);
    commands_finish(b, cmd, 0);
}

/* ---- certificates ---- */

/* The name that a join token of no node's own may give: one that nobody has. */
static int check_new_name(struct broker *b, const char *name, struct weir_err *err)
{
    bool taken = certificates_has(b, name);
    for (size_t i = 0; !taken && i < b->agents.n; i++) {
        const struct agent *a = b->agents.p[i];
        struct weir_node_view v;
        const char *other = weir_engine_node_name(b->engine, a->node);
        taken = a->lease.v == 0 && other != NULL && weir_streq(other, name) && weir_core_node(weir_engine_core(b->engine), a->node, &v) && v.state != WEIR_NODE_GONE;
    }
    return taken ? weir_fail(err, -WEIR_ECONFLICT, "agent: there is a node '%s' already: give this one another name (--name), or ask for a join token of its own: weir nodes invite %s", name, name)
                 : 0;
}

/* May the credential have a certificate made for this key and name? *ret_name: whose it becomes. */
static int check_certify(struct broker *b, struct weir_command *cmd, const struct token *t, const char *key, const char *name, const char **ret_name)
{
    struct weir_err *err = &cmd->err;
    if (t->is_node && t->role == WEIR_ROLE_AGENT) { /* it renews its own */
        *ret_name = t->name;
        return weir_streq(t->hash, key) ? 0 : weir_fail(err, -WEIR_EDENIED, "agent: a certificate is renewed with the key that it has");
    }
    if (t->role != WEIR_ROLE_JOIN) {
        return weir_fail(err, -WEIR_EDENIED, "agent: this token is not a join token: 'weir nodes invite' makes one");
    }
    if (t->only != NULL && !weir_streq(t->only, key)) {
        return weir_fail(err, -WEIR_EDENIED, "agent: this join token was used by another agent: each is good once; 'weir nodes invite %s' makes another", t->lease.v == 0 ? name : "");
    }
    *ret_name = name;
    if (t->lease.v != 0 || t->only != NULL) {
        return 0;
    }
    if (t->name[0] != '\0') {
        return weir_streq(t->name, name) ? 0 : weir_fail(err, -WEIR_EDENIED, "agent: this join token is for node '%s', not for '%s'", t->name, name);
    }
    return check_new_name(b, name, err);
}

static void reply_certificate(struct weir_command *cmd, const char *pem, struct weir_wall expires)
{
    struct weir_json j = weir_json_begin(&cmd->reply);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "certificate", pem);
    weir_json_kv_i64(&j, "expires", expires.us);
    weir_json_end(&j);
}

struct replaced {
    const char *key;
    const char *name;
};

/* Of two keys for one node the later is good. */
static bool is_of_another_node(struct broker *b, const struct token *t, const void *ctx)
{
    const struct replaced *r = ctx;
    (void)b;
    return !t->is_node || t->role != WEIR_ROLE_AGENT || t->lease.v != 0 || weir_streq(t->hash, r->key) || !weir_streq(t->name, r->name);
}

static void take_in(struct broker *b, struct weir_command *cmd, const struct token *by, const char *key, const char *name, struct weir_wall expires)
{
    struct token known;
    char object[96];
    char created_by[sizeof by->created_by];
    struct weir_lease_id lease = by->lease;
    memcpy(created_by, by->created_by, sizeof created_by);
    if (by->role == WEIR_ROLE_JOIN && by->only == NULL) {
        tokens_bind(b, by->hash, key);
        if (lease.v == 0) {
            (void)tokens_drop(b, is_of_another_node, &(struct replaced){key, name});
        }
    }
    if (tokens_get(b, key, &known)) {
        tokens_extend(b, key, expires);
        return;
    }
    struct weir_token_row row = {.name = name, .role = "agent", .user = TOKEN_NODE_USER, .lease = lease, .expires = expires, .created_by = created_by, .projects = ""};
    memcpy(row.hash, key, sizeof row.hash);
    tokens_put(b, &row);
    node_object(object, sizeof object, name);
    audit_until(b, cmd, "node.certify", object, expires);
}

void certificates_certify(struct broker *b, struct weir_command *cmd)
{
    const char *request = json_string_value(json_object_get(cmd->u.agent.body, "request"));
    const char *name = agents_text_of(cmd->u.agent.body, "name", "");
    char key[WEIR_SHA256_HEX_SIZE];
    char dir[4200];
    char *pem = NULL;
    struct token t;
    struct weir_wall now = weir_clock_wall(&weir_clock_os);
    struct weir_wall expires = {now.us + b->config->access.certificate_life.us};
    int r = check_tls(b, &cmd->err);
    if (r == 0 && (name[0] == '\0' || strlen(name) >= sizeof t.name)) {
        r = weir_fail(&cmd->err, -WEIR_EINVAL, "agent: a node's name has 1 to %zu bytes", sizeof t.name - 1);
    }
    r = r != 0 ? r : weir_name_check("agent: node", name, &cmd->err);
    if (r == 0 && request == NULL) {
        r = weir_fail(&cmd->err, -WEIR_EINVAL, "agent: 'request' is wanted, a request for a certificate in PEM");
    }
    r = r != 0 ? r : weir_tls_request_key(weir_sv_of(request), key, &cmd->err);
    if (r == 0 && !tokens_get(b, cmd->who->token, &t)) {
        r = weir_fail(&cmd->err, -WEIR_EDENIED, "agent: a join token is needed: 'weir nodes invite' makes one");
    }
    r = r != 0 ? r : check_certify(b, cmd, &t, key, name, &name);
    (void)snprintf(dir, sizeof dir, "%s/tls", b->data_dir);
    r = r != 0 ? r : weir_tls_issue(dir, weir_sv_of(request), name, now, b->config->access.certificate_life, &pem, &cmd->err);
    if (r == 0) {
        weir_log(WEIR_LOG_INFO, "agent.certificate", "node=\"%s\" lease=%" PRIu64 " key=%.16s", name, t.lease.v, key);
        char owned[sizeof t.name]; /* what follows may move the row that name may stand in */
        (void)snprintf(owned, sizeof owned, "%s", name);
        take_in(b, cmd, &t, key, owned, expires);
        reply_certificate(cmd, pem, expires);
    }
    free(pem);
    commands_finish(b, cmd, r);
}

static bool is_not_bound_to(struct broker *b, const struct token *t, const void *ctx)
{
    (void)b;
    return t->role != WEIR_ROLE_JOIN || t->only == NULL || !weir_streq(t->only, ctx);
}

int certificates_check_join(struct broker *b, const struct weir_identity *who, const char *name, struct weir_node_id node, struct weir_err *err)
{
    static const struct weir_identity nobody;
    const char *held = node.v == 0 ? NULL : weir_engine_node_name(b->engine, node);
    struct token t;
    who = who == NULL ? &nobody : who;
    bool by_key = who->node[0] != '\0' && tokens_get(b, who->token, &t);
    if (by_key) { /* it has its certificate: the token that it came with has done its duty */
        (void)tokens_drop(b, is_not_bound_to, t.hash);
    }
    if (who->lease.v != 0) {
        return 0;
    }
    if (by_key && !weir_streq(who->node, name)) {
        return weir_fail(err, -WEIR_EDENIED, "agent: its certificate is that of node '%s', not of '%s': use that name, or join anew with a join token", who->node, name);
    }
    const char *foreign = !by_key && certificates_has(b, name) ? name : held != NULL && !weir_streq(held, who->node) && certificates_has(b, held) ? held : NULL;
    return foreign == NULL ? 0
                           : weir_fail(err, -WEIR_EDENIED, "agent: node '%s' joins by its certificate: 'weir nodes invite %s' makes a join token for it", foreign, foreign);
}

/* ---- the end ---- */

static bool is_not_named(struct broker *b, const struct token *t, const void *ctx)
{
    (void)b;
    return !t->is_node || t->lease.v != 0 || !weir_streq(t->name, ctx);
}

void certificates_revoke(struct broker *b, struct weir_command *cmd)
{
    const char *node = cmd->u.access.name;
    char object[96];
    if (node[0] == '\0' || tokens_drop(b, is_not_named, node) == 0) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_ENOTFOUND, "node '%s' has no certificate and no join token; 'weir token' lists those that have", node));
        return;
    }
    for (size_t i = 0; i < b->agents.n; i++) {
        struct agent *a = b->agents.p[i];
        const char *name = weir_engine_node_name(b->engine, a->node);
        if (a->lease.v == 0 && name != NULL && weir_streq(name, node) && a->session[0] != '\0') {
            agents_close_session(b, a); /* what it asks from now on is refused */
        }
    }
    node_object(object, sizeof object, node);
    access_audit(b, cmd, "node.revoke", object, "{\"joins\":true}", "{\"joins\":false}");
    commands_finish(b, cmd, 0);
}
