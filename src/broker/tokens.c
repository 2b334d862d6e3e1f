/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bearer tokens. Only their hashes are stored; the admin's and the local agent's secrets are in files that only
 * their owner can read. The table is read by server threads, under its lock; only the deciding thread changes it. What may be
 * done with a token is worked out when it or its user changes, not when it is shown.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/jwt.h"
#include "broker_priv.h"
#include "net/digest.h"
#include "net/gnutls_lib.h"
#include "net/tls.h"

static uint64_t key_of(const char *id)
{
    uint64_t key = 0;
    for (int i = 0; i < 16 && id[i] != '\0'; i++) {
        key = key << 4 | (uint64_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
    }
    return key;
}

static enum weir_role lower(enum weir_role a, enum weir_role b)
{
    return a < b ? a : b; /* on the ladder from viewer to owner */
}

bool tokens_is_expired(const struct token *t)
{
    return t->expires.us != 0 && t->expires.us <= weir_clock_wall(&weir_clock_os).us;
}

/* Which projects, and what there, a person has with a token that allows no more than `most` in each. */
static struct weir_scope *scope_of(struct broker *b, const struct person *p, const struct token *t, enum weir_role most)
{
    struct weir_scope *s = weir_scope_new(WEIR_PROJECT_SET_MAX);
    struct weir_sv only = weir_sv_of(t->only == NULL ? "" : t->only);
    if (t->only == NULL) {
        s->everywhere = lower(access_role_in(p, WEIR_SV("*")), most);
        for (size_t i = 0; i < p->projects.n; i++) {
            const struct person_project *x = &p->projects.p[i];
            if (!weir_streq(x->name, "*")) {
                weir_scope_add(s, weir_engine_project(b->engine, weir_sv_of(x->name)), x->name, lower(x->role, most));
            }
        }
        return s;
    }
    while (only.p != NULL && s->n < WEIR_PROJECT_SET_MAX) {
        char name[WEIR_SPEC_NAME_MAX + 1];
        struct weir_sv word = weir_sv_cut(&only, ',');
        enum weir_role role = access_role_in(p, word);
        struct weir_project_id id = weir_engine_find_project(b->engine, word);
        (void)snprintf(name, sizeof name, "%.*s", WEIR_SV_ARG(word));
        if (role != WEIR_ROLE_NONE && id.v != 0) {
            weir_scope_add(s, id, name, lower(role, most));
        }
    }
    return s;
}

/* What the issuer's groups give comes on top of what an administrator has given. */
static void add_grants(struct broker *b, struct weir_scope *s, const char *grants, enum weir_role most)
{
    struct weir_sv rest = weir_sv_of(grants);
    while (rest.p != NULL && rest.n > 0) {
        struct weir_sv word = weir_sv_cut(&rest, ',');
        struct weir_sv project = weir_sv_cut(&word, ':');
        char name[WEIR_SPEC_NAME_MAX + 1];
        char role[16];
        (void)snprintf(name, sizeof name, "%.*s", WEIR_SV_ARG(project));
        (void)snprintf(role, sizeof role, "%.*s", WEIR_SV_ARG(word));
        enum weir_role in = lower(weir_role_find(role), most);
        if (weir_streq(name, "*")) {
            s->everywhere = s->everywhere > in ? s->everywhere : in;
        } else if (s->n < WEIR_PROJECT_SET_MAX) { /* of two for one project the higher holds */
            weir_scope_add(s, weir_engine_project(b->engine, project), name, in);
        }
    }
}

static void refresh_login(struct broker *b, struct token *t)
{
    const struct person *p = access_find(b, t->user);
    t->is = WEIR_ROLE_NONE;
    if (p == NULL || p->is_disabled) {
        return;
    }
    t->is = weir_role_covers(p->role, t->role) ? p->role : t->role;
    enum weir_role most = t->is == WEIR_ROLE_VIEWER ? WEIR_ROLE_VIEWER : WEIR_ROLE_OWNER;
    if (t->is != WEIR_ROLE_ADMIN) {
        t->scope = scope_of(b, p, t, most);
        add_grants(b, t->scope, t->grants, most);
    }
}

/* What may be done with the token now. Under the lock. */
static void refresh(struct broker *b, struct token *t)
{
    weir_scope_unref(t->scope);
    t->scope = NULL;
    if (t->grants != NULL) {
        refresh_login(b, t);
        return;
    }
    if (t->created_by[0] == '\0') { /* the broker's own depend on nobody */
        t->is = t->role;
        if (t->is < WEIR_ROLE_ADMIN) {
            t->scope = weir_scope_new(0);
            t->scope->everywhere = lower(t->is, WEIR_ROLE_OWNER);
        }
        return;
    }
    const struct person *p = access_find(b, t->user);
    t->is = WEIR_ROLE_NONE;
    if (t->role >= WEIR_ROLE_AGENT) { /* and JOIN */
        t->is = p != NULL && p->is_disabled ? WEIR_ROLE_NONE : t->role;
        return;
    }
    if (p == NULL || p->is_disabled) {
        return;
    }
    t->is = t->role == WEIR_ROLE_NONE ? p->role : weir_role_meet(p->role, t->role);
    t->is = t->only == NULL ? t->is : weir_role_meet(t->is, WEIR_ROLE_USER);
    enum weir_role most = t->is == WEIR_ROLE_VIEWER ? WEIR_ROLE_VIEWER : t->role == WEIR_ROLE_USER ? WEIR_ROLE_USER : WEIR_ROLE_OWNER;
    t->scope = t->is == WEIR_ROLE_ADMIN ? NULL : scope_of(b, p, t, most);
}

static void add_token(struct broker *b, struct token t)
{
    pthread_mutex_lock(&b->tokens_lock);
    refresh(b, &t);
    weir_vec_push(&b->tokens, t);
    weir_map_put(&b->token_at, key_of(t.hash), b->tokens.n - 1);
    pthread_mutex_unlock(&b->tokens_lock);
}

static void add(struct broker *b, const struct weir_token_row *row)
{
    struct token t = {.lease = row->lease, .created = row->created, .expires = row->expires, .is_node = weir_streq(row->user, TOKEN_NODE_USER), .role = weir_role_find(row->role)};
    memcpy(t.hash, row->hash, sizeof t.hash);
    (void)snprintf(t.name, sizeof t.name, "%s", row->name);
    (void)snprintf(t.user, sizeof t.user, "%s", row->user);
    (void)snprintf(t.created_by, sizeof t.created_by, "%s", row->created_by == NULL ? "" : row->created_by);
    t.only = row->projects == NULL || row->projects[0] == '\0' ? NULL : weir_strdup(row->projects);
    add_token(b, t);
}

static int on_token(void *ctx, const struct weir_token_row *row)
{
    add(ctx, row);
    return 0;
}

static void make_known(struct broker *b, struct weir_token_row *row, const char *secret)
{
    weir_sha256_hex(weir_sv_of(secret), row->hash);
    row->created = weir_engine_now(b->engine);
    add(b, row);
    weir_engine_put_token(b->engine, row);
}

void tokens_make_for(struct broker *b, struct weir_token_row *row, char *ret, size_t size)
{
    WEIR_ASSERT(size >= TOKEN_SIZE);
    /* an agent knows by it what it was given */
    int n = snprintf(ret, size, "%s", weir_streq(row->role, "join") ? "join-" : "");
    weir_random_hex(ret + n, TOKEN_BYTES);
    make_known(b, row, ret);
}

void tokens_put(struct broker *b, struct weir_token_row *row)
{
    row->created = weir_engine_now(b->engine);
    add(b, row);
    weir_engine_put_token(b->engine, row);
}

/* As it is now, in the store too. */
static void store_again(struct broker *b, const struct token *t)
{
    struct weir_token_row row = {.name = t->name, .role = weir_role_name(t->role), .user = t->user, .lease = t->lease, .expires = t->expires,
                                 .created = t->created, .created_by = t->created_by, .projects = t->only == NULL ? "" : t->only};
    memcpy(row.hash, t->hash, sizeof row.hash);
    weir_engine_put_token(b->engine, &row);
}

void tokens_bind(struct broker *b, const char *id, const char *key)
{
    uint64_t at;
    if (weir_map_get(&b->token_at, key_of(id), &at)) {
        pthread_mutex_lock(&b->tokens_lock);
        free(b->tokens.p[at].only);
        b->tokens.p[at].only = weir_strdup(key);
        pthread_mutex_unlock(&b->tokens_lock);
        store_again(b, &b->tokens.p[at]);
    }
}

void tokens_extend(struct broker *b, const char *id, struct weir_wall expires)
{
    uint64_t at;
    if (weir_map_get(&b->token_at, key_of(id), &at)) {
        pthread_mutex_lock(&b->tokens_lock);
        b->tokens.p[at].expires = expires;
        pthread_mutex_unlock(&b->tokens_lock);
        store_again(b, &b->tokens.p[at]);
    }
}

void tokens_make(struct broker *b, const char *name, const char *role, const char *user, struct weir_lease_id lease, char *ret,
                 size_t size)
{
    tokens_make_for(b, &(struct weir_token_row){.name = name, .role = role, .user = user, .lease = lease}, ret, size);
}

bool tokens_get(struct broker *b, const char *id, struct token *ret)
{
    /* only the deciding thread changes them, and this is it */
    uint64_t at;
    if (!weir_map_get(&b->token_at, key_of(id), &at)) {
        return false;
    }
    *ret = b->tokens.p[at];
    return true;
}

static void release(struct token *t)
{
    weir_scope_unref(t->scope);
    free(t->only);
    free(t->grants);
}

unsigned tokens_drop(struct broker *b, bool (*is_kept)(struct broker *b, const struct token *t, const void *ctx), const void *ctx)
{
    pthread_mutex_lock(&b->tokens_lock);
    size_t kept = 0;
    size_t n = b->tokens.n;
    for (size_t i = 0; i < n; i++) {
        struct token *t = &b->tokens.p[i];
        if (is_kept(b, t, ctx)) {
            b->tokens.p[kept++] = *t;
        } else {
            if (t->grants == NULL) {
                weir_engine_delete_token(b->engine, t->hash);
            }
            release(t);
        }
    }
    b->tokens.n = kept;
    if (kept < n) {
        weir_map_release(&b->token_at);
        for (size_t i = 0; i < kept; i++) {
            weir_map_put(&b->token_at, key_of(b->tokens.p[i].hash), i);
        }
    }
    pthread_mutex_unlock(&b->tokens_lock);
    return (unsigned)(n - kept);
}

static bool is_no_login(struct broker *b, const struct token *t, const void *ctx)
{
    (void)b;
    (void)ctx;
    return t->grants == NULL;
}

void tokens_add_login(struct broker *b, const char *hash, const char *user, enum weir_role role, const char *grants, struct weir_wall expires)
{
    struct token known;
    if (tokens_get(b, hash, &known)) {
        return; /* two requests came at once */
    }
    if (b->n_logins >= LOGINS_MAX) {
        (void)tokens_drop(b, is_no_login, NULL); /* whoever is still there comes again with the next request */
        b->n_logins = 0;
    }
    struct token t = {.role = role, .expires = expires, .grants = weir_strdup(grants)};
    memcpy(t.hash, hash, sizeof t.hash);
    (void)snprintf(t.user, sizeof t.user, "%s", user);
    (void)snprintf(t.created_by, sizeof t.created_by, "%s", user);
    add_token(b, t);
    b->n_logins++;
}

static bool is_another(struct broker *b, const struct token *t, const void *ctx)
{
    (void)b;
    return key_of(t->hash) != key_of(ctx);
}

void tokens_revoke(struct broker *b, const char *id)
{
    (void)tokens_drop(b, is_another, id);
}

static bool is_of_another(struct broker *b, const struct token *t, const void *ctx)
{
    (void)b;
    return t->created_by[0] == '\0' || !weir_streq(t->user, ctx);
}

unsigned tokens_revoke_all(struct broker *b, const char *user)
{
    return tokens_drop(b, is_of_another, user);
}

void tokens_refresh(struct broker *b, const char *user)
{
    pthread_mutex_lock(&b->tokens_lock);
    for (size_t i = 0; i < b->tokens.n; i++) {
        if (weir_streq(b->tokens.p[i].user, user)) {
            refresh(b, &b->tokens.p[i]);
        }
    }
    pthread_mutex_unlock(&b->tokens_lock);
}

void tokens_free(struct broker *b)
{
    for (size_t i = 0; i < b->tokens.n; i++) {
        release(&b->tokens.p[i]);
    }
    weir_vec_release(&b->tokens);
    weir_map_release(&b->token_at);
}

static bool is_of_another_file(struct broker *b, const struct token *t, const void *ctx)
{
    (void)b;
    return t->created_by[0] != '\0' || t->lease.v != 0 || !weir_streq(t->name, ctx);
}

/* A secret lies in a file of the data directory, which only the broker's user can read. */
enum { FILE_SECRET_BYTES = 2 * TOKEN_BYTES, FILE_PATH_SIZE = 4200 };

static void file_path(const struct broker *b, const char *file, char ret[static FILE_PATH_SIZE])
{
    (void)snprintf(ret, FILE_PATH_SIZE, "%s/%s", b->data_dir, file);
}

/* False: there is none, or not all of it. */
static bool read_file_secret(const struct broker *b, const char *file, char ret[static TOKEN_SIZE])
{
    char path[FILE_PATH_SIZE];
    file_path(b, file, path);
    int WEIR_CLEANUP(weir_closep) fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, FILE_SECRET_BYTES);
    ret[n < 0 ? 0 : n] = '\0';
    return n == FILE_SECRET_BYTES;
}

static int write_file_secret(const struct broker *b, const char *file, const char *secret, struct weir_err *err)
{
    char path[FILE_PATH_SIZE];
    file_path(b, file, path);
    (void)unlink(path);
    int WEIR_CLEANUP(weir_closep) fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, secret, FILE_SECRET_BYTES) != FILE_SECRET_BYTES) {
        return weir_fail(err, weir_error_from_errno(errno), "%s: cannot be written: %s", path, strerror(errno));
    }
    return 0;
}

/* The token in the file, or a new one. */
static int file_token(struct broker *b, const char *file, const char *role, struct weir_err *err)
{
    char secret[TOKEN_SIZE];
    char hash[65];
    if (read_file_secret(b, file, secret)) {
        weir_sha256_hex(weir_sv_of(secret), hash);
        struct token known;
        if (!tokens_get(b, hash, &known)) { /* the database is younger than the file */
            make_known(b, &(struct weir_token_row){.name = file, .role = role, .user = b->os_user}, secret);
        }
        return 0;
    }
    (void)tokens_drop(b, is_of_another_file, file); /* who takes the file away takes away what it could do */
    tokens_make(b, file, role, b->os_user, (struct weir_lease_id){0}, secret, sizeof secret);
    return write_file_secret(b, file, secret, err);
}

/* No token, so the database knows nothing of it. */
int tokens_file_key(struct broker *b, const char *file, char *ret, struct weir_err *err)
{
    if (read_file_secret(b, file, ret)) {
        return 0;
    }
    weir_random_hex(ret, TOKEN_BYTES);
    return write_file_secret(b, file, ret, err);
}

int tokens_init(struct broker *b, struct weir_err *err)
{
    int r = weir_gnutls_init(err);
    r = r != 0 ? r : b->store->ops->each_token(b->store, on_token, b, err);
    r = r != 0 ? r : file_token(b, "token", "admin", err);
    r = r != 0 ? r : file_token(b, "agent-token", "agent", err);
    return r != 0 ? r : tokens_file_key(b, "ticket-key", b->ticket_key, err); /* signs log tickets */
}

/* Until its lease has been over for a while the agent of a machine that lives on is told so. */
static bool is_needed(struct broker *b, const struct token *t, const void *ctx)
{
    const struct weir_wall *old = ctx;
    struct weir_lease_view v;
    bool lives = t->lease.v == 0 || (weir_core_lease(weir_engine_core(b->engine), t->lease, &v) &&
                                     ((v.state != WEIR_LEASE_ENDED && v.state != WEIR_LEASE_FAILED) || v.ended_at.us >= old->us));
    return lives && !tokens_is_expired(t);
}

void tokens_forget_old(struct broker *b)
{
    enum { OVER_FOR_S = 3600 };
    struct weir_wall old = {weir_engine_now(b->engine).us - OVER_FOR_S * WEIR_US_PER_S};
    (void)tokens_drop(b, is_needed, &old);
}

/* The key of a certificate: no secret, and good only for who has its other half. */
static bool is_key(const struct token *t)
{
    return t->is_node && t->role == WEIR_ROLE_AGENT;
}

int tokens_authenticate_key(struct weir_service *s, const char *key, struct weir_identity *ret, struct weir_err *err)
{
    struct broker *b = (struct broker *)s;
    uint64_t at;
    int r = weir_fail(err, -WEIR_EUNAUTH, "the certificate of this agent was revoked: a new join token is needed, which 'weir nodes invite NAME' makes");
    pthread_mutex_lock(&b->tokens_lock);
    const struct token *t = weir_map_get(&b->token_at, key_of(key), &at) ? &b->tokens.p[at] : NULL;
    if (t != NULL && weir_streq(t->hash, key) && is_key(t)) {
        *ret = (struct weir_identity){.lease = t->lease, .role = t->is};
        (void)snprintf(ret->user, sizeof ret->user, "%s", t->user);
        (void)snprintf(ret->node, sizeof ret->node, "%s", t->name);
        weir_token_id(t->hash, ret->token);
        r = tokens_is_expired(t) ? weir_fail(err, -WEIR_EUNAUTH, "the certificate of node '%s' has expired: a new join token is needed, which 'weir nodes invite %s' makes", t->name, t->name) : 0;
    }
    pthread_mutex_unlock(&b->tokens_lock);
    return r;
}

int tokens_authenticate(struct weir_service *s, struct weir_sv secret, struct weir_identity *ret, struct weir_login **ret_login, struct weir_err *err)
{
    struct broker *b = (struct broker *)s;
    char hash[65];
    uint64_t at;
    int r = weir_fail(err, -WEIR_EUNAUTH, "this token is not known: see WEIR_TOKEN, or the file 'token' in the broker's data directory");
    bool is_signed = b->oidc != NULL && weir_jwt_is_one(secret);
    if (secret.n == 0 || (secret.n > 256 && !is_signed)) {
        return r;
    }
    /* looked up by the hash: how long that takes tells nothing of the secret */
    weir_sha256_hex(secret, hash);
    pthread_mutex_lock(&b->tokens_lock);
    const struct token *t = weir_map_get(&b->token_at, key_of(hash), &at) ? &b->tokens.p[at] : NULL;
    if (t == NULL || weir_gnutls.gnutls_memcmp(t->hash, hash, sizeof hash) != 0 || is_key(t)) {
        t = NULL;
    } else if (tokens_is_expired(t)) {
        r = weir_fail(err, -WEIR_EUNAUTH, "this token has expired: ask for another");
    } else if (t->is == WEIR_ROLE_NONE) {
        r = weir_fail(err, -WEIR_EUNAUTH, "the user of this token is disabled: ask an administrator");
    } else {
        *ret = (struct weir_identity){.lease = t->lease, .role = t->is, .scope = weir_scope_ref(t->scope)};
        (void)snprintf(ret->user, sizeof ret->user, "%s", t->user);
        weir_token_id(t->hash, ret->token);
        r = 0;
    }
    pthread_mutex_unlock(&b->tokens_lock);
    return t == NULL && is_signed ? oidc_authenticate(b, secret, hash, ret_login, err) : r;
}

bool tokens_is_still(struct weir_service *s, const struct weir_identity *who)
{
    struct broker *b = (struct broker *)s;
    uint64_t at;
    if (who->token[0] == '\0') {
        return true;
    }
    pthread_mutex_lock(&b->tokens_lock);
    const struct token *t = weir_map_get(&b->token_at, key_of(who->token), &at) ? &b->tokens.p[at] : NULL;
    bool is = t != NULL && t->is == who->role && t->scope == who->scope && !tokens_is_expired(t);
    pthread_mutex_unlock(&b->tokens_lock);
    return is;
}
