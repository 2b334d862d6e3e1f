/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Being signed in at an OpenID Connect issuer: the token that it gave for a broker, kept in the file login.json of the default data
 * directory, which nobody else may read. A token goes to the broker that it was fetched for, and to no other.
 */

#include <jansson.h>

#include "base/err.h"
#include "base/wtime.h"
#include "net/client.h"

/* Strings are owned; NULL where there is none. */
struct weir_login {
    char *issuer;
    char *audience; /* that the broker wants of a token */
    char *client_id;
    char *token_endpoint;
    char *ca_file;       /* the issuer's authority; NULL: the system's */
    char *token;         /* a signed one */
    char *refresh_token; /* fetches the next */
    struct weir_wall expires;
};
void weir_login_release(struct weir_login *l);

/* What is kept for that broker: 1, or 0 where there is nothing. Errors: -WEIR_EDENIED (others may read the file), -WEIR_ECORRUPT. */
int weir_login_read(const char *broker, struct weir_login *ret, struct weir_err *err);
/* Keeps it in place of what there was; NULL: forgets that. *ret_had (may be NULL): was there something? */
int weir_login_write(const char *broker, const struct weir_login *l, bool *ret_had, struct weir_err *err);

/*
 * Where it expires within a minute: fetches the next token, if there is a refresh token, and keeps it. Several commands at once fetch one.
 * Errors: -WEIR_EUNAUTH (sign in again), those of the call.
 */
int weir_login_renew(const char *broker, struct weir_login *l, struct weir_http_session *s, struct weir_err *err);

/* Is it https, or on this host? Other URLs would show the token to everybody on the way. */
bool weir_login_is_safe(const char *url);
/*
 * One call to an issuer: a GET, or with a form a POST. *ret is the JSON object that it answered with any status; caller frees; NULL: what it
 * answers does not matter. Errors: those of the call; -WEIR_EIO (no JSON object).
 */
int weir_login_call(struct weir_http_session *s, const char *url, const char *form, const char *ca_file, json_t **ret, int *ret_status,
                    struct weir_err *err);
/* Takes the token that is for the broker out of an answer of the token endpoint. Errors: -WEIR_EUNAUTH: none is. */
int weir_login_take(struct weir_login *l, const json_t *answer, struct weir_err *err);
/* The issuer's discovery document; caller frees. Errors: those of the call; -WEIR_EUNAUTH: it is another issuer's, or none. */
int weir_login_discover(const struct weir_login *l, struct weir_http_session *s, json_t **ret, struct weir_err *err);
/*
 * Asks the issuer to forget its tokens (RFC 7009), the refresh token first, which is good for longer. Errors: -WEIR_EUNSUPPORTED: it says of no
 * place to ask; -WEIR_EUNAUTH: it refuses; those of the call.
 */
int weir_login_revoke(const struct weir_login *l, struct weir_http_session *s, struct weir_err *err);
