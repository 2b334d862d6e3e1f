/* SPDX-License-Identifier: Apache-2.0 */
/* Signed tokens against vectors that other libraries made (make_jwt_vectors.py). */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "api/jwt.h"
#include "base/parse.h"
#include "base/mem.h"
#include "jwt_vectors.h"
#include "net/gnutls_lib.h"

static struct weir_jwks *keys;

static int start(void **state)
{
    struct weir_err err;
    char text[sizeof vector_keys];
    (void)state;
    assert_int_equal(weir_gnutls_init(&err), 0);
    memcpy(text, vector_keys, sizeof text);
    for (char *p = text; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    return weir_jwks_parse(&keys, weir_sv_of(text), &err);
}

static int stop(void **state)
{
    (void)state;
    weir_jwks_free(keys);
    return 0;
}

/* All that stands between a text and belief. */
static int believe(const char *text, int64_t now_s, struct weir_err *err)
{
    struct weir_jwt t;
    struct weir_wall expires = {0};
    const struct weir_jwt_want want = {VECTOR_ISSUER, VECTOR_AUDIENCE, {now_s * WEIR_US_PER_S}, weir_dur_s(60)};
    int r = weir_jwt_parse(&t, weir_sv_of(text), err);
    if (r < 0) {
        return r;
    }
    r = weir_jwt_check(&t, &want, &expires, err);
    r = r < 0 ? r : weir_jwt_verify(&t, keys, err);
    if (r == 0) {
        assert_true(expires.us + want.skew.us > want.now.us);
        assert_string_equal(json_string_value(weir_jwt_claim(&t, "sub")), "ada");
        assert_true(json_is_array(weir_jwt_claim(&t, "realm_access.roles")));
        assert_null(weir_jwt_claim(&t, "realm_access.roles.x"));
        assert_null(weir_jwt_claim(&t, "sub.x"));
        assert_null(weir_jwt_claim(&t, "nothing"));
    }
    weir_jwt_release(&t);
    return r;
}

static void only_good_tokens_are_believed(void **state)
{
    size_t n_good = 0;
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(vectors); i++) {
        struct weir_err err = {{0}};
        int r = believe(vectors[i].token, VECTOR_NOW_S, &err);
        bool want = vectors[i].refusal[0] == '\0';
        if (want != (r == 0) || (!want && strstr(err.text, vectors[i].refusal) == NULL)) {
            fail_msg("%s: %d '%s'", vectors[i].name, r, err.text);
        }
        assert_true(want || r == (strstr(vectors[i].refusal, "publish") != NULL ? -WEIR_ENOTFOUND : -WEIR_EUNAUTH));
        n_good += want ? 1 : 0;
    }
    assert_int_equal(n_good, 11);
    assert_int_equal(weir_jwks_count(keys), 6);
}

/* No byte of a token can be changed: also not into another spelling of the same. */
static void a_token_with_another_byte_is_another_token(void **state)
{
    struct weir_err err;
    (void)state;
    char *text = weir_strdup(vectors[1].token);
    assert_int_equal(believe(text, VECTOR_NOW_S, &err), 0);
    for (size_t i = 0; text[i] != '\0'; i++) {
        char before = text[i];
        for (const char *p = "AQgw_.=-9"; *p != '\0'; p++) {
            text[i] = *p;
            if (*p != before && believe(text, VECTOR_NOW_S, &err) == 0) {
                fail_msg("byte %zu: '%c' does as well as '%c'", i, *p, before);
            }
        }
        text[i] = before;
    }
    free(text);
}

static void a_token_is_bounded(void **state)
{
    struct weir_err err;
    struct weir_jwt t;
    char text[WEIR_JWT_BYTES_MAX + 2];
    (void)state;
    memset(text, 'A', sizeof text);
    text[10] = text[20] = '.';
    assert_int_equal(weir_jwt_parse(&t, (struct weir_sv){text, WEIR_JWT_BYTES_MAX + 1}, &err), -WEIR_EUNAUTH);
    assert_non_null(strstr(err.text, "more than 8192"));
    assert_int_equal(weir_jwt_parse(&t, (struct weir_sv){text, WEIR_JWT_BYTES_MAX}, &err), -WEIR_EUNAUTH);
}

static void base64url_has_one_spelling(void **state)
{
    static const struct {
        const char *text;
        long n; /* -1: refused */
    } rows[] = {
        {"", 0}, {"QQ", 1}, {"QUI", 2}, {"QUJD", 3}, {"__-_", 3}, {"QR", -1}, {"Q", -1}, {"QUJDR", -1}, {"QQ==", -1}, {"Q Q", -1}, {"+/", -1}, {"QUJDRA", 4}, {"QUJDRERE", -1},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        unsigned char buf[4];
        assert_int_equal(weir_base64url_decode(weir_sv_of(rows[i].text), buf, sizeof buf), rows[i].n);
    }
}

static void key_sets_that_are_none_are_refused(void **state)
{
    static const char *const rows[] = {"", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}",
                                       "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}", "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"\",\"y\":\"AA\"}]}",
                                       "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AA\"}]}", "{\"keys\":[],\"keys\":[]}"};
    struct weir_jwks *s = NULL;
    struct weir_err err;
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(weir_jwks_parse(&s, weir_sv_of(rows[i]), &err), -WEIR_EINVAL);
        assert_null(s);
    }
    char *large = weir_alloc(WEIR_JWKS_BYTES_MAX + 1);
    assert_int_equal(weir_jwks_parse(&s, (struct weir_sv){large, WEIR_JWKS_BYTES_MAX + 1}, &err), -WEIR_EINVAL);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_good_tokens_are_believed), cmocka_unit_test(a_token_with_another_byte_is_another_token),
        cmocka_unit_test(a_token_is_bounded),            cmocka_unit_test(base64url_has_one_spelling),
        cmocka_unit_test(key_sets_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
