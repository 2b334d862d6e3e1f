/* SPDX-License-Identifier: Apache-2.0 */

/*
 * People who come with a signed token of a configured issuer (OpenID Connect). A server thread checks the token with the keys that are
 * there and works out what its groups give; it never waits. The deciding thread makes the user known, and fetches keys: at the start, from
 * time to time, and when a token names one that is not there, but then not more often than UNKNOWN_REST_MS. Who waits for keys is
 * answered when the call to the issuer has ended, which has a time-out.
 *
 * Keys that cannot be fetched again are used for as long as `keep` says, then no longer.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/jwt.h"
#include "broker_priv.h"
#include "net/address.h"
#include "net/client.h"
#include "net/gnutls_lib.h"

enum {
    CALL_TIMEOUT_MS = 10000,
    REFRESH_MS = 15 * 60 * 1000,
    RETRY_MS = 5000,
    RETRY_MS_MAX = 5 * 60 * 1000,
    UNKNOWN_REST_MS = 10000,
    WAITING_MAX = 256, /* requests for one issuer's keys */
    DISCOVERY_BYTES_MAX = 64 * 1024,
    URL_SIZE = 1024,
};

struct issuer {
    struct broker *b;
    const struct weir_config_oidc *conf;
    /* under the lock */
    struct weir_jwks *keys; /* NULL: none came yet */
    uint64_t keys_ms;       /* when they came */
    /* the deciding thread's */
    char why[256];          /* the last attempt failed; "": it did not */
    bool is_busy;
    uint64_t due_ms;
    uint64_t asked_ms; /* when the attempt began that is under way, or was last; 0: none was */
    uint64_t retry_ms;
    char keys_url[URL_SIZE];
    WEIR_VEC(struct weir_command *) waiting;
};

struct oidc {
    pthread_mutex_t lock;
    struct weir_http *http;
    size_t n;
    struct issuer issuer[WEIR_CONFIG_ISSUERS_MAX];
};

/* Whom a checked token names; or that its key has to be fetched first. */
struct weir_login {
    size_t issuer;
    bool wants_keys;
    char hash[65];
    char user[64];
    enum weir_role role;
    struct weir_wall expires;
    char grants[]; /* PROJECT:ROLE, in a comma list */
};

/* ---- keys ---- */

static void answer_waiting(struct issuer *i, int code, const char *text)
{
    for (size_t k = 0; k < i->waiting.n; k++) {
        struct weir_command *cmd = i->waiting.p[k];
        commands_finish(i->b, cmd, code == 0 ? 0 : weir_fail(&cmd->err, code, "the keys of %s cannot be fetched now: %s", i->conf->issuer, text));
    }
    weir_vec_clear(&i->waiting);
    broker_wake(i->b);
}

static void fail_fetch(struct issuer *i, const char *text)
{
    i->is_busy = false;
    i->retry_ms = i->retry_ms == 0 ? RETRY_MS : i->retry_ms >= RETRY_MS_MAX / 2 ? RETRY_MS_MAX : i->retry_ms * 2;
    i->due_ms = broker_ms(i->b) + i->retry_ms;
    weir_log(WEIR_LOG_WARNING, "oidc.keys", "issuer=%s text=\"%s\" retry_s=%" PRIu64, i->conf->issuer, text, i->retry_ms / 1000);
    (void)snprintf(i->why, sizeof i->why, "%s", text);
    answer_waiting(i, -WEIR_EUNAVAIL, text);
}

/* What came is used only where it is a whole answer. */
static bool is_good(const struct weir_http_reply *reply, const char *what, char *why, size_t size)
{
    if (reply->code != 0) {
        (void)snprintf(why, size, "%s: %.200s", what, reply->text);
    } else if (reply->status != 200) {
        (void)snprintf(why, size, "%s: the answer has the status %d", what, reply->status);
    }
    return reply->code == 0 && reply->status == 200;
}

static void on_keys(void *ctx, const struct weir_http_reply *reply)
{
    struct issuer *i = ctx;
    struct weir_jwks *keys = NULL;
    uint64_t keep_ms = (uint64_t)i->conf->keep.us / 1000;
    struct weir_err err = {{0}};
    char why[256];
    if (!is_good(reply, "its keys", why, sizeof why)) {
        fail_fetch(i, why);
        return;
    }
    if (weir_jwks_parse(&keys, reply->body, &err) < 0) {
        fail_fetch(i, err.text);
        return;
    }
    i->is_busy = false;
    i->retry_ms = 0;
    i->due_ms = broker_ms(i->b) + (keep_ms / 2 < REFRESH_MS ? keep_ms / 2 : REFRESH_MS);
    i->why[0] = '\0';
    weir_log(WEIR_LOG_INFO, "oidc.keys", "issuer=%s keys=%zu", i->conf->issuer, weir_jwks_count(keys));
    pthread_mutex_lock(&i->b->oidc->lock);
    struct weir_jwks *old = i->keys;
    i->keys = keys;
    i->keys_ms = broker_ms(i->b);
    pthread_mutex_unlock(&i->b->oidc->lock);
    weir_jwks_free(old);
    answer_waiting(i, 0, "");
}

static void get(struct issuer *i, const char *url, size_t bytes_max, weir_http_fn *done)
{
    const struct weir_http_call call = {.method = "GET", .url = url, .ca_pem = i->conf->ca_pem, .timeout_ms = CALL_TIMEOUT_MS, .reply_bytes_max = bytes_max};
    int r = i->b->oidc->http->ops->send(i->b->oidc->http, &call, done, i, NULL);
    if (r < 0) {
        fail_fetch(i, weir_error_text(r));
    }
}

/* Its document must be its own, and name a place for its keys that nobody on the way can change. */
static void on_discovery(void *ctx, const struct weir_http_reply *reply)
{
    struct issuer *i = ctx;
    char why[256];
    if (!is_good(reply, "its discovery document", why, sizeof why)) {
        fail_fetch(i, why);
        return;
    }
    json_t *j = json_loadb(reply->body.p, reply->body.n, JSON_REJECT_DUPLICATES, NULL);
    const char *issuer = json_string_value(json_object_get(j, "issuer"));
    const char *url = json_string_value(json_object_get(j, "jwks_uri"));
    bool is_own = issuer != NULL && weir_streq(issuer, i->conf->issuer);
    bool is_safe = url != NULL && strlen(url) < sizeof i->keys_url &&
                   (weir_sv_starts(weir_sv_of(url), WEIR_SV("https://")) ||
                    (weir_sv_starts(weir_sv_of(url), WEIR_SV("http://")) && weir_url_is_loopback(url)));
    if (is_own && is_safe) {
        (void)snprintf(i->keys_url, sizeof i->keys_url, "%s", url);
    } else {
        (void)snprintf(why, sizeof why, "%s", is_own ? "its discovery document has no https 'jwks_uri'" : "its discovery document is that of another issuer");
    }
    json_decref(j);
    if (is_own && is_safe) {
        get(i, i->keys_url, WEIR_JWKS_BYTES_MAX, on_keys);
    } else {
        fail_fetch(i, why);
    }
}

static void fetch(struct issuer *i)
{
    char url[URL_SIZE];
    (void)snprintf(url, sizeof url, "%s/.well-known/openid-configuration", i->conf->issuer);
    i->is_busy = true;
    i->asked_ms = broker_ms(i->b);
    get(i, url, DISCOVERY_BYTES_MAX, on_discovery);
}

void oidc_tick(struct broker *b)
{
    for (size_t k = 0; b->oidc != NULL && k < b->oidc->n; k++) {
        struct issuer *i = &b->oidc->issuer[k];
        if (!i->is_busy && broker_ms(b) >= i->due_ms) {
            fetch(i);
        }
    }
}

/* ---- tokens, on server threads ---- */

/* Texts of a claim that is a list of them, or one with blanks between. */
static bool is_in_group(const json_t *groups, const char *group)
{
    size_t k;
    json_t *one;
    struct weir_sv rest = weir_sv_of(json_is_string(groups) ? json_string_value(groups) : "");
    while (rest.p != NULL && rest.n > 0) {
        if (weir_sv_eq(weir_sv_cut(&rest, ' '), weir_sv_of(group))) {
            return true;
        }
    }
    json_array_foreach ((json_t *)(uintptr_t)groups, k, one) {
        if (json_is_string(one) && weir_streq(json_string_value(one), group)) {
            return true;
        }
    }
    return false;
}

static struct weir_login *make_login(const struct weir_config_oidc *conf, const struct weir_jwt *jwt)
{
    const json_t *groups = conf->groups_claim[0] == '\0' ? NULL : weir_jwt_claim(jwt, conf->groups_claim);
    struct weir_str grants = WEIR_STR_INIT(1 << 16);
    enum weir_role role = conf->role;
    for (size_t k = 0; k < conf->n_grants; k++) {
        const struct weir_config_grant *g = &conf->grant[k];
        if (!is_in_group(groups, g->group)) {
            continue;
        }
        if (g->project[0] != '\0') {
            weir_str_addf(&grants, "%s%s:%s", grants.n == 0 ? "" : ",", g->project, weir_role_name(g->role));
            role = role == WEIR_ROLE_NONE ? WEIR_ROLE_USER : role;
        } else if (!weir_role_covers(role, g->role)) {
            role = g->role;
        }
    }
    struct weir_login *l = weir_alloc(sizeof *l + grants.n + 1);
    l->role = role;
    memcpy(l->grants, weir_str_cstr(&grants), grants.n + 1);
    weir_str_release(&grants);
    return l;
}

static int read_user(const struct weir_config_oidc *conf, const struct weir_jwt *jwt, char *user, size_t size, struct weir_err *err)
{
    const char *name = json_string_value(weir_jwt_claim(jwt, conf->user_claim));
    if (name == NULL || name[0] == '\0' || strlen(name) >= size) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token's claim '%s' is no name of 1 to %zu bytes", conf->user_claim, size - 1);
    }
    if (weir_streq(conf->user_claim, "email") && json_is_false(weir_jwt_claim(jwt, "email_verified"))) {
        return weir_fail(err, -WEIR_EUNAUTH, "the issuer says that '%.64s' was not verified to be this person's address", name);
    }
    (void)snprintf(user, size, "%s", name);
    int r = weir_name_check("the token's user", name, err);
    return r == 0 ? 0 : -WEIR_EUNAUTH;
}

/* Under the lock. 0; -WEIR_ENOTFOUND: the key has to be fetched, or fetched again. */
static int verify(struct broker *b, const struct issuer *i, const struct weir_jwt *jwt, struct weir_err *err)
{
    bool is_usable = i->keys != NULL && broker_ms(b) - i->keys_ms <= (uint64_t)i->conf->keep.us / 1000;
    return is_usable ? weir_jwt_verify(jwt, i->keys, err) : -WEIR_ENOTFOUND;
}

static int check(struct broker *b, const struct weir_jwt *jwt, const char *hash, struct weir_login **ret, struct weir_err *err)
{
    struct oidc *o = b->oidc;
    const char *from = weir_jwt_issuer(jwt);
    size_t k = 0;
    char user[sizeof(*ret)->user];
    while (k < o->n && (from == NULL || !weir_streq(o->issuer[k].conf->issuer, from))) {
        k++;
    }
    if (k == o->n) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token's issuer '%.128s' is none of those that this broker knows", from == NULL ? "" : from);
    }
    struct issuer *i = &o->issuer[k];
    const struct weir_jwt_want want = {i->conf->issuer, i->conf->audience, weir_clock_wall(&weir_clock_os), i->conf->skew};
    struct weir_wall expires;
    int r = weir_jwt_check(jwt, &want, &expires, err);
    r = r < 0 ? r : read_user(i->conf, jwt, user, sizeof user, err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&o->lock);
    r = verify(b, i, jwt, err);
    pthread_mutex_unlock(&o->lock);
    if (r < 0 && r != -WEIR_ENOTFOUND) {
        return r;
    }
    struct weir_login *l = make_login(i->conf, jwt);
    l->issuer = k;
    l->wants_keys = r == -WEIR_ENOTFOUND;
    l->expires = (struct weir_wall){expires.us + i->conf->skew.us};
    memcpy(l->hash, hash, sizeof l->hash);
    memcpy(l->user, user, sizeof l->user);
    *ret = l;
    return 0;
}

int oidc_authenticate(struct broker *b, struct weir_sv token, const char *hash, struct weir_login **ret, struct weir_err *err)
{
    struct weir_jwt jwt;
    int r = weir_jwt_parse(&jwt, token, err);
    if (r == 0) {
        r = check(b, &jwt, hash, ret, err);
        weir_jwt_release(&jwt);
    }
    return r;
}

/* ---- people, on the deciding thread ---- */

static void wait_for_keys(struct broker *b, struct issuer *i, struct weir_command *cmd)
{
    uint64_t now = broker_ms(b);
    if (i->waiting.n >= WAITING_MAX) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_EUNAVAIL, "too many people wait for the keys of %s: ask again", i->conf->issuer));
        return;
    }
    if (!i->is_busy && i->asked_ms != 0 && now - i->asked_ms < UNKNOWN_REST_MS) {
        bool failed = i->why[0] != '\0';
        commands_finish(b, cmd,
                        failed ? weir_fail(&cmd->err, -WEIR_EUNAVAIL, "the keys of %s cannot be fetched now: %s", i->conf->issuer, i->why)
                               : weir_fail(&cmd->err, -WEIR_EUNAUTH, "the token is signed with a key that %s does not publish; it is asked again every %d s at most",
                                           i->conf->issuer, UNKNOWN_REST_MS / 1000));
        return;
    }
    weir_vec_push(&i->waiting, cmd);
    if (!i->is_busy) {
        fetch(i);
    }
}

void oidc_login(struct broker *b, struct weir_command *cmd)
{
    const struct weir_login *l = cmd->u.login.login;
    struct issuer *i = &b->oidc->issuer[l->issuer];
    if (l->wants_keys) {
        wait_for_keys(b, i, cmd);
        return;
    }
    if (l->role == WEIR_ROLE_NONE && access_find(b, l->user) == NULL) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_EDENIED, "'%s' is in no group of %s that may use this broker: ask an administrator", l->user, i->conf->issuer));
        return;
    }
    struct weir_identity who = {.role = l->role};
    (void)snprintf(who.user, sizeof who.user, "%s", l->user);
    weir_token_id(l->hash, who.token);
    cmd->who = &who; /* whom the audit log names */
    (void)access_welcome(b, cmd, l->user);
    cmd->who = NULL;
    tokens_add_login(b, l->hash, l->user, l->role, l->grants, l->expires);
    weir_log(WEIR_LOG_INFO, "oidc.login", "issuer=%s user=\"%s\" token=%s", i->conf->issuer, l->user, who.token);
    commands_finish(b, cmd, 0);
}

/* ---- life ---- */

void oidc_end_all(struct broker *b)
{
    for (size_t k = 0; b->oidc != NULL && k < b->oidc->n; k++) {
        answer_waiting(&b->oidc->issuer[k], -WEIR_EUNAVAIL, "the broker is stopping");
    }
}

int oidc_init(struct broker *b, struct weir_err *err)
{
    const struct weir_config_access *a = &b->config->access;
    if (a->n_oidc == 0) {
        return 0;
    }
    for (size_t k = 0; k < a->n_oidc; k++) {
        int r = weir_http_prepare(a->oidc[k].issuer, err);
        if (r < 0) {
            return r;
        }
    }
    b->oidc = weir_alloc(sizeof *b->oidc);
    b->oidc->http = weir_http_new(&b->loop);
    b->oidc->n = a->n_oidc;
    (void)pthread_mutex_init(&b->oidc->lock, NULL);
    for (size_t k = 0; k < a->n_oidc; k++) {
        b->oidc->issuer[k] = (struct issuer){.b = b, .conf = &a->oidc[k]};
    }
    return 0;
}

void oidc_free(struct broker *b)
{
    struct oidc *o = b->oidc;
    if (o == NULL) {
        return;
    }
    o->http->ops->free(o->http);
    for (size_t k = 0; k < o->n; k++) {
        weir_jwks_free(o->issuer[k].keys);
        weir_vec_release(&o->issuer[k].waiting);
    }
    (void)pthread_mutex_destroy(&o->lock);
    b->oidc = NULL;
    free(o);
}
