/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Signed tokens of an OpenID Connect issuer: JWS in its compact form (RFC 7515) with the claims of RFC 7519, and the issuer's
 * keys (JWKS, RFC 7517). Three signatures are known: RS256, ES256 and EdDSA with Ed25519. GnuTLS does all arithmetic. A key
 * is used for the one algorithm that its type allows, whatever a token's header says; a token that brings its own key, or asks
 * with "crit" for what is not known here, is refused.
 *
 * weir_gnutls_init must have returned 0. No clock is read.
 */

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"
#include "base/wtime.h"

enum {
    WEIR_JWT_BYTES_MAX = 8192, /* of a token; a request's headers have 16 KiB in all */
    WEIR_JWT_SIGNATURE_MAX = 1024,
    WEIR_JWT_KID_SIZE = 256,
    WEIR_JWKS_BYTES_MAX = 256 * 1024,
    WEIR_JWKS_KEYS_MAX = 64,
};

enum weir_jwt_alg { WEIR_JWT_RS256, WEIR_JWT_ES256, WEIR_JWT_EDDSA, WEIR_JWT_ALG_MAX };

/* ---- an issuer's keys ---- */

struct weir_jwks;

/* Keys of other kinds, and those that are not for signatures, are passed over. Errors: -WEIR_EINVAL (not a JWKS, too large, or
 * without a key that can be used). */
int weir_jwks_parse(struct weir_jwks **ret, struct weir_sv text, struct weir_err *err);
/* NULL is allowed. */
void weir_jwks_free(struct weir_jwks *s);
size_t weir_jwks_count(const struct weir_jwks *s);

/* ---- a token ---- */

struct weir_jwt {
    enum weir_jwt_alg alg;
    char kid[WEIR_JWT_KID_SIZE]; /* "": the token names no key */
    json_t *claims;
    struct weir_sv covered; /* by the signature; borrowed from the token */
    unsigned char signature[WEIR_JWT_SIGNATURE_MAX];
    size_t signature_n;
};

/* Has the text the form of such a token? It may still be anything. */
bool weir_jwt_is_one(struct weir_sv text);
/* Reads and believes nothing. Errors: -WEIR_EUNAUTH (says what is wrong with it). */
int weir_jwt_parse(struct weir_jwt *ret, struct weir_sv token, struct weir_err *err);
void weir_jwt_release(struct weir_jwt *t);
/* The claim "iss"; NULL where it is no text. */
const char *weir_jwt_issuer(const struct weir_jwt *t);
/* Errors: -WEIR_ENOTFOUND (no key of that name, or none is named and several could be meant), -WEIR_EUNAUTH (the signature is
 * not the key's). */
int weir_jwt_verify(const struct weir_jwt *t, const struct weir_jwks *keys, struct weir_err *err);

struct weir_jwt_want {
    const char *issuer;
    const char *audience;
    struct weir_wall now;
    struct weir_dur skew; /* of the issuer's clock to ours, either way */
};

/* Is it from whom, for whom and at a time that is wanted? *ret_expires: as the token says. Errors: -WEIR_EUNAUTH. */
int weir_jwt_check(const struct weir_jwt *t, const struct weir_jwt_want *want, struct weir_wall *ret_expires, struct weir_err *err);
/* A claim by its name, or by a way down: "realm_access.roles". NULL where it is not there. Borrowed. */
const json_t *weir_jwt_claim(const struct weir_jwt *t, const char *name);
