/* SPDX-License-Identifier: Apache-2.0 */
#include "api/jwt.h"

#include <gnutls/abstract.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/parse.h"
#include "net/gnutls_lib.h"

enum {
    EC_BYTES = 32, /* of a P-256 coordinate, of an Ed25519 key, of half a signature */
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192,
};
#define TIME_S_MAX 1e11 /* what is later does not fit into microseconds with room to add */

static const struct {
    const char *name; /* in a token's header and a key's "alg" */
    const char *kty;
    const char *crv; /* NULL: it has none */
    gnutls_sign_algorithm_t sign;
} algs[WEIR_JWT_ALG_MAX] = {
    [WEIR_JWT_RS256] = {"RS256", "RSA", NULL, GNUTLS_SIGN_RSA_SHA256},
    [WEIR_JWT_ES256] = {"ES256", "EC", "P-256", GNUTLS_SIGN_ECDSA_SHA256},
    [WEIR_JWT_EDDSA] = {"EdDSA", "OKP", "Ed25519", GNUTLS_SIGN_EDDSA_ED25519},
};

struct key {
    enum weir_jwt_alg alg;
    char kid[WEIR_JWT_KID_SIZE];
    gnutls_pubkey_t pub;
};

struct weir_jwks {
    size_t n;
    struct key key[WEIR_JWKS_KEYS_MAX];
};

/* ---- text ---- */

/* A part of a token as a JSON object; NULL where it is none. */
static json_t *decode_object(struct weir_sv part)
{
    unsigned char text[WEIR_JWT_BYTES_MAX];
    long n = weir_base64url_decode(part, text, sizeof text);
    json_t *j = n <= 0 ? NULL : json_loadb((const char *)text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(j)) {
        json_decref(j);
        return NULL;
    }
    return j;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* ---- keys ---- */

/* A number or coordinate of a key. */
static bool read_bytes(const json_t *jwk, const char *name, unsigned char *buf, size_t size, gnutls_datum_t *ret)
{
    const char *text = text_of(jwk, name);
    long n = text == NULL ? -1 : weir_base64url_decode(weir_sv_of(text), buf, size);
    *ret = (gnutls_datum_t){buf, n < 0 ? 0 : (unsigned)n};
    return n > 0;
}

static bool import_rsa(const json_t *jwk, gnutls_pubkey_t pub)
{
    unsigned char n_bytes[RSA_BITS_MAX / 8 + 1], e_bytes[8];
    gnutls_datum_t n, e;
    unsigned bits = 0;
    return read_bytes(jwk, "n", n_bytes, sizeof n_bytes, &n) && read_bytes(jwk, "e", e_bytes, sizeof e_bytes, &e) &&
           (n_bytes[n.size - 1] & 1) == 1 && (e_bytes[e.size - 1] & 1) == 1 && !(e.size == 1 && e_bytes[0] == 1) &&
           weir_gnutls.gnutls_pubkey_import_rsa_raw(pub, &n, &e) >= 0 &&
           weir_gnutls.gnutls_pubkey_get_pk_algorithm(pub, &bits) == GNUTLS_PK_RSA && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX;
}

/* A coordinate of a point. RFC 7518, 6.2.1.2, wants its full length; issuers that write it as a number leave leading zeros out (one key
 * of 128) or put one before a high bit, and their tokens are good. */
static bool read_coordinate(const json_t *jwk, const char *name, unsigned char ret[static EC_BYTES])
{
    unsigned char buf[EC_BYTES + 1];
    gnutls_datum_t b;
    if (!read_bytes(jwk, name, buf, sizeof buf, &b) || (b.size > EC_BYTES && buf[0] != 0)) {
        return false;
    }
    size_t extra = b.size > EC_BYTES ? b.size - EC_BYTES : 0;
    size_t n = b.size - extra;
    memset(ret, 0, EC_BYTES - n);
    memcpy(ret + EC_BYTES - n, buf + extra, n);
    return true;
}

static bool import_curve(const json_t *jwk, enum weir_jwt_alg alg, gnutls_pubkey_t pub)
{
    unsigned char x_bytes[EC_BYTES], y_bytes[EC_BYTES];
    gnutls_datum_t x = {x_bytes, EC_BYTES}, y = {y_bytes, EC_BYTES};
    const char *crv = text_of(jwk, "crv");
    if (crv == NULL || !weir_streq(crv, algs[alg].crv)) {
        return false;
    }
    if (alg == WEIR_JWT_EDDSA) { /* bytes, no number */
        return read_bytes(jwk, "x", x_bytes, sizeof x_bytes, &x) && x.size == EC_BYTES &&
               weir_gnutls.gnutls_pubkey_import_ecc_raw(pub, GNUTLS_ECC_CURVE_ED25519, &x, NULL) >= 0;
    }
    return read_coordinate(jwk, "x", x_bytes) && read_coordinate(jwk, "y", y_bytes) &&
           weir_gnutls.gnutls_pubkey_import_ecc_raw(pub, GNUTLS_ECC_CURVE_SECP256R1, &x, &y) >= 0;
}

/* False where the key is none of those that are used here. */
static bool read_key(const json_t *jwk, struct key *ret)
{
    const char *kty = text_of(jwk, "kty");
    const char *use = text_of(jwk, "use");
    const char *alg = text_of(jwk, "alg");
    const char *kid = text_of(jwk, "kid");
    unsigned i = 0;
    while (i < WEIR_JWT_ALG_MAX && (kty == NULL || !weir_streq(algs[i].kty, kty))) {
        i++;
    }
    if (i == WEIR_JWT_ALG_MAX || (use != NULL && !weir_streq(use, "sig")) || (alg != NULL && !weir_streq(alg, algs[i].name)) ||
        (kid != NULL && strlen(kid) >= sizeof ret->kid)) {
        return false;
    }
    *ret = (struct key){.alg = (enum weir_jwt_alg)i};
    (void)snprintf(ret->kid, sizeof ret->kid, "%s", kid == NULL ? "" : kid);
    if (weir_gnutls.gnutls_pubkey_init(&ret->pub) < 0) {
        return false;
    }
    if (ret->alg == WEIR_JWT_RS256 ? !import_rsa(jwk, ret->pub) : !import_curve(jwk, ret->alg, ret->pub)) {
        weir_gnutls.gnutls_pubkey_deinit(ret->pub);
        return false;
    }
    return true;
}

int weir_jwks_parse(struct weir_jwks **ret, struct weir_sv text, struct weir_err *err)
{
    json_error_t e;
    size_t i;
    json_t *jwk;
    if (text.n > WEIR_JWKS_BYTES_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "the key set has more than %d bytes", WEIR_JWKS_BYTES_MAX);
    }
    json_t *root = json_loadb(text.n == 0 ? "" : text.p, text.n, JSON_REJECT_DUPLICATES, &e);
    const json_t *keys = json_object_get(root, "keys");
    if (!json_is_array(keys) || json_array_size(keys) > WEIR_JWKS_KEYS_MAX) {
        json_decref(root);
        return weir_fail(err, -WEIR_EINVAL, "the key set is no JSON object with at most %d 'keys'", WEIR_JWKS_KEYS_MAX);
    }
    struct weir_jwks *s = weir_alloc(sizeof *s);
    json_array_foreach (keys, i, jwk) {
        s->n += read_key(jwk, &s->key[s->n]) ? 1 : 0;
    }
    json_decref(root);
    if (s->n == 0) {
        weir_jwks_free(s);
        return weir_fail(err, -WEIR_EINVAL, "the key set has no key for RS256 (of at least %d bits), ES256 or EdDSA", RSA_BITS_MIN);
    }
    *ret = s;
    return 0;
}

void weir_jwks_free(struct weir_jwks *s)
{
    for (size_t i = 0; s != NULL && i < s->n; i++) {
        weir_gnutls.gnutls_pubkey_deinit(s->key[i].pub);
    }
    free(s);
}

size_t weir_jwks_count(const struct weir_jwks *s)
{
    return s->n;
}

/* ---- tokens ---- */

bool weir_jwt_is_one(struct weir_sv text)
{
    size_t dots = 0;
    for (size_t i = 0; i < text.n && dots < 3; i++) {
        dots += text.p[i] == '.' ? 1 : 0;
    }
    return dots == 2;
}

static int read_header(struct weir_jwt *t, struct weir_sv part, struct weir_err *err)
{
    json_t *header = decode_object(part);
    const char *alg = text_of(header, "alg");
    const json_t *kid = json_object_get(header, "kid");
    unsigned i = 0;
    int r = 0;
    while (i < WEIR_JWT_ALG_MAX && (alg == NULL || !weir_streq(algs[i].name, alg))) {
        i++;
    }
    if (header == NULL) {
        r = weir_fail(err, -WEIR_EUNAUTH, "the signed token's header is not JSON in base64url");
    } else if (i == WEIR_JWT_ALG_MAX) {
        r = weir_fail(err, -WEIR_EUNAUTH, "the token is signed by '%.32s'; only RS256, ES256 and EdDSA are taken", alg == NULL ? "" : alg);
    } else if (json_object_get(header, "crit") != NULL) {
        r = weir_fail(err, -WEIR_EUNAUTH, "the token's header has 'crit': it asks for what is not known here");
    } else if (kid != NULL && (!json_is_string(kid) || json_string_length(kid) >= sizeof t->kid)) {
        r = weir_fail(err, -WEIR_EUNAUTH, "the token's 'kid' is no text of at most %d bytes", WEIR_JWT_KID_SIZE - 1);
    } else {
        t->alg = (enum weir_jwt_alg)i;
        (void)snprintf(t->kid, sizeof t->kid, "%s", kid == NULL ? "" : json_string_value(kid));
    }
    json_decref(header);
    return r;
}

int weir_jwt_parse(struct weir_jwt *ret, struct weir_sv token, struct weir_err *err)
{
    struct weir_jwt t = {0};
    if (token.n > WEIR_JWT_BYTES_MAX || !weir_jwt_is_one(token)) {
        return weir_fail(err, -WEIR_EUNAUTH, "the signed token has more than %d bytes, or not three parts", WEIR_JWT_BYTES_MAX);
    }
    struct weir_sv rest = token;
    struct weir_sv header = weir_sv_cut(&rest, '.');
    struct weir_sv claims = weir_sv_cut(&rest, '.');
    t.covered = (struct weir_sv){token.p, header.n + 1 + claims.n};
    int r = read_header(&t, header, err);
    if (r < 0) {
        return r;
    }
    long n = weir_base64url_decode(rest, t.signature, sizeof t.signature);
    if (n <= 0) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token's signature is missing, too long, or not base64url");
    }
    t.signature_n = (size_t)n;
    t.claims = decode_object(claims);
    if (t.claims == NULL) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token's claims are not JSON in base64url");
    }
    *ret = t;
    return 0;
}

void weir_jwt_release(struct weir_jwt *t)
{
    json_decref(t->claims);
    t->claims = NULL;
}

const char *weir_jwt_issuer(const struct weir_jwt *t)
{
    return text_of(t->claims, "iss");
}

static const struct key *find_key(const struct weir_jwt *t, const struct weir_jwks *keys, bool *ret_other_kind)
{
    const struct key *found = NULL;
    for (size_t i = 0; i < keys->n; i++) {
        const struct key *k = &keys->key[i];
        if (t->kid[0] != '\0' && !weir_streq(t->kid, k->kid)) {
            continue;
        }
        if (k->alg != t->alg) {
            *ret_other_kind = t->kid[0] != '\0';
            continue;
        }
        if (found != NULL) {
            return NULL; /* two could be meant */
        }
        found = k;
    }
    return found;
}

int weir_jwt_verify(const struct weir_jwt *t, const struct weir_jwks *keys, struct weir_err *err)
{
    bool other_kind = false;
    const struct key *k = find_key(t, keys, &other_kind);
    if (k == NULL && other_kind) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token's key '%.64s' is not one for %s", t->kid, algs[t->alg].name);
    }
    if (k == NULL) {
        return weir_fail(err, -WEIR_ENOTFOUND, "the token's issuer does not publish the key '%.64s' that it is signed with", t->kid);
    }
    const gnutls_datum_t covered = {(unsigned char *)(uintptr_t)t->covered.p, (unsigned)t->covered.n};
    gnutls_datum_t signature = {(unsigned char *)(uintptr_t)t->signature, (unsigned)t->signature_n};
    gnutls_datum_t der = {NULL, 0};
    int e = 0;
    if (t->alg != WEIR_JWT_RS256 && t->signature_n != (size_t)2 * EC_BYTES) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token's signature has not the length of one by %s", algs[t->alg].name);
    }
    if (t->alg == WEIR_JWT_ES256) {
        const gnutls_datum_t r = {signature.data, EC_BYTES}, s = {signature.data + EC_BYTES, EC_BYTES};
        e = weir_gnutls.gnutls_encode_rs_value(&der, &r, &s);
        signature = der;
    }
    e = e < 0 ? e : weir_gnutls.gnutls_pubkey_verify_data2(k->pub, algs[t->alg].sign, 0, &covered, &signature);
    if (der.data != NULL) {
        (*weir_gnutls.gnutls_free)(der.data);
    }
    return e >= 0 ? 0 : weir_fail(err, -WEIR_EUNAUTH, "the token's signature is not its issuer's");
}

/* Seconds since 1970, whole or not. Errors: there, and not such a number. */
static int read_time(const struct weir_jwt *t, const char *claim, struct weir_wall *ret, bool *ret_is_there, struct weir_err *err)
{
    const json_t *j = json_object_get(t->claims, claim);
    *ret_is_there = j != NULL;
    *ret = (struct weir_wall){0};
    if (j == NULL) {
        return 0;
    }
    double s = json_is_number(j) ? json_number_value(j) : -1;
    if (!(s >= 0 && s <= TIME_S_MAX)) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token's '%s' is no time that is taken here", claim);
    }
    ret->us = (int64_t)s * WEIR_US_PER_S;
    return 0;
}

static bool is_for(const json_t *aud, const char *audience)
{
    size_t i;
    json_t *one;
    if (json_is_string(aud)) {
        return weir_streq(json_string_value(aud), audience);
    }
    json_array_foreach ((json_t *)(uintptr_t)aud, i, one) {
        if (json_is_string(one) && weir_streq(json_string_value(one), audience)) {
            return true;
        }
    }
    return false;
}

int weir_jwt_check(const struct weir_jwt *t, const struct weir_jwt_want *want, struct weir_wall *ret_expires, struct weir_err *err)
{
    const char *issuer = weir_jwt_issuer(t);
    struct weir_wall exp, nbf, iat;
    bool has_exp, has_nbf, has_iat;
    if (issuer == NULL || !weir_streq(issuer, want->issuer)) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token is not of the issuer %s", want->issuer);
    }
    if (!is_for(json_object_get(t->claims, "aud"), want->audience)) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token is not for this audience ('%s')", want->audience);
    }
    int r = read_time(t, "exp", &exp, &has_exp, err);
    r = r < 0 ? r : read_time(t, "nbf", &nbf, &has_nbf, err);
    r = r < 0 ? r : read_time(t, "iat", &iat, &has_iat, err);
    if (r < 0) {
        return r;
    }
    if (!has_exp) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token has no 'exp': one that never ends is not taken");
    }
    if (exp.us + want->skew.us <= want->now.us) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token has expired: get another from its issuer");
    }
    if ((has_nbf && nbf.us - want->skew.us > want->now.us) || (has_iat && iat.us - want->skew.us > want->now.us)) {
        return weir_fail(err, -WEIR_EUNAUTH, "the token is not valid yet: compare the clocks of its issuer and of this broker");
    }
    *ret_expires = exp;
    return 0;
}

const json_t *weir_jwt_claim(const struct weir_jwt *t, const char *name)
{
    const json_t *whole = json_object_get(t->claims, name);
    const json_t *at = t->claims;
    struct weir_sv rest = weir_sv_of(name);
    while (whole == NULL && at != NULL && rest.p != NULL) {
        struct weir_sv word = weir_sv_cut(&rest, '.');
        at = json_object_getn(at, word.p, word.n);
    }
    return whole != NULL ? whole : at;
}
