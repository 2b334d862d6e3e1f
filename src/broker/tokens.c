/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bearer tokens. Only their hashes are stored; the admin's and the local agent's secrets are in files that only
 * their owner can read. The table is read by server threads, under its lock.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker_priv.h"
#include "net/digest.h"
#include "net/gnutls_lib.h"
#include "net/tls.h"

static void add(struct broker *b, const struct token *t)
{
    pthread_mutex_lock(&b->tokens_lock);
    weir_vec_push(&b->tokens, *t);
    pthread_mutex_unlock(&b->tokens_lock);
}

static int on_token(void *ctx, const struct weir_token_row *row)
{
    struct token t = {.lease = row->lease, .expires = row->expires};
    memcpy(t.hash, row->hash, sizeof t.hash);
    (void)snprintf(t.name, sizeof t.name, "%s", row->name);
    (void)snprintf(t.role, sizeof t.role, "%s", row->role);
    (void)snprintf(t.user, sizeof t.user, "%s", row->user);
    add(ctx, &t);
    return 0;
}

static void make_known(struct broker *b, const char *name, const char *role, const char *user, struct weir_lease_id lease,
                       const char *secret)
{
    struct token t = {.lease = lease};
    weir_sha256_hex(weir_sv_of(secret), t.hash);
    (void)snprintf(t.name, sizeof t.name, "%s", name);
    (void)snprintf(t.role, sizeof t.role, "%s", role);
    (void)snprintf(t.user, sizeof t.user, "%s", user);
    add(b, &t);
    struct weir_token_row row = {.name = name, .role = role, .user = user, .lease = lease};
    memcpy(row.hash, t.hash, sizeof row.hash);
    weir_engine_put_token(b->engine, &row);
}

void tokens_make(struct broker *b, const char *name, const char *role, const char *user, struct weir_lease_id lease, char *ret,
                 size_t size)
{
    WEIR_ASSERT(size > (size_t)TOKEN_BYTES * 2);
    weir_random_hex(ret, TOKEN_BYTES);
    make_known(b, name, role, user, lease, ret);
}

/* The secret in a file of the data directory: read, or made with mode 0600. */
static int file_secret(struct broker *b, const char *file, const char *role, struct weir_err *err)
{
    char path[4200];
    char secret[2 * TOKEN_BYTES + 1] = "";
    char hash[65];
    (void)snprintf(path, sizeof path, "%s/%s", b->data_dir, file);
    int WEIR_CLEANUP(weir_closep) fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, secret, sizeof secret - 1);
    if (n == (ssize_t)sizeof secret - 1) {
        weir_sha256_hex(weir_sv_of(secret), hash);
        for (size_t i = 0; i < b->tokens.n; i++) {
            if (weir_streq(b->tokens.p[i].hash, hash)) {
                return 0;
            }
        }
        make_known(b, file, role, b->os_user, (struct weir_lease_id){0}, secret); /* the database is younger than the file */
        return 0;
    }
    weir_closep(&fd);
    (void)unlink(path);
    tokens_make(b, file, role, b->os_user, (struct weir_lease_id){0}, secret, sizeof secret);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, secret, sizeof secret - 1) != (ssize_t)sizeof secret - 1) {
        return weir_fail(err, weir_error_from_errno(errno), "%s: cannot be written: %s", path, strerror(errno));
    }
    return 0;
}

int tokens_init(struct broker *b, struct weir_err *err)
{
    int r = weir_gnutls_init(err);
    r = r != 0 ? r : b->store->ops->each_token(b->store, on_token, b, err);
    r = r != 0 ? r : file_secret(b, "token", "admin", err);
    return r != 0 ? r : file_secret(b, "agent-token", "agent", err);
}

static bool is_expired(const struct token *t)
{
    return t->expires.us != 0 && t->expires.us <= weir_clock_wall(&weir_clock_os).us;
}

void tokens_forget_old(struct broker *b)
{
    enum { OVER_FOR_S = 3600 }; /* until then the agent of a machine that lives on is told that its lease is over */
    struct weir_wall old = {weir_engine_now(b->engine).us - OVER_FOR_S * WEIR_US_PER_S};
    pthread_mutex_lock(&b->tokens_lock);
    size_t kept = 0;
    for (size_t i = 0; i < b->tokens.n; i++) {
        const struct token t = b->tokens.p[i];
        struct weir_lease_view v;
        bool lives = t.lease.v == 0 || (weir_core_lease(weir_engine_core(b->engine), t.lease, &v) &&
                                        ((v.state != WEIR_LEASE_ENDED && v.state != WEIR_LEASE_FAILED) || v.ended_at.us >= old.us));
        if (lives && !is_expired(&t)) {
            b->tokens.p[kept++] = t;
        } else {
            weir_engine_delete_token(b->engine, t.hash);
        }
    }
    b->tokens.n = kept;
    pthread_mutex_unlock(&b->tokens_lock);
}

int tokens_authenticate(struct weir_service *s, struct weir_sv secret, struct weir_identity *ret, struct weir_err *err)
{
    struct broker *b = (struct broker *)s;
    char hash[65];
    int r = weir_fail(err, -WEIR_EUNAUTH, "this token is not known: see WEIR_TOKEN, or the file 'token' in the broker's data directory");
    if (secret.n == 0 || secret.n > 256) {
        return r;
    }
    weir_sha256_hex(secret, hash);
    pthread_mutex_lock(&b->tokens_lock);
    for (size_t i = 0; i < b->tokens.n; i++) {
        const struct token *t = &b->tokens.p[i];
        if (weir_gnutls.gnutls_memcmp(t->hash, hash, sizeof hash) != 0) {
            continue;
        }
        if (is_expired(t)) {
            r = weir_fail(err, -WEIR_EUNAUTH, "this token has expired: ask an administrator for another");
        } else {
            *ret = (struct weir_identity){.lease = t->lease};
            (void)snprintf(ret->user, sizeof ret->user, "%s", t->user);
            (void)snprintf(ret->role, sizeof ret->role, "%s", t->role);
            r = 0;
        }
    }
    pthread_mutex_unlock(&b->tokens_lock);
    return r;
}
