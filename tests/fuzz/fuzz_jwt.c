/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed tokens and key sets, as they come from strangers: what begins with '{' is a key set, the rest a token. Promises: a refusal
 * says why in text; nothing that was not signed by a key of the set is believed.
 */
#include "fuzz.h"

#include "api/jwt.h"
#include "base/assert.h"
#include "net/gnutls_lib.h"

/* The key of RFC 8037, appendix A.2; whose private half signs nothing here. */
static const char known[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static void check_token(const struct weir_jwks *keys, struct weir_sv text)
{
    struct weir_err err = {{0}};
    struct weir_jwt t;
    const struct weir_jwt_want want = {"https://i", "weir", {INT64_C(1795377600) * WEIR_US_PER_S}, {60 * WEIR_US_PER_S}};
    struct weir_wall expires;
    if (weir_jwt_parse(&t, text, &err) < 0) {
        WEIR_ASSERT(err.text[0] != '\0' && weir_utf8_is_text(weir_sv_of(err.text)));
        return;
    }
    WEIR_ASSERT(json_is_object(t.claims) && t.covered.n < text.n && t.signature_n > 0);
    WEIR_ASSERT(weir_jwt_check(&t, &want, &expires, &err) == 0 || weir_utf8_is_text(weir_sv_of(err.text)));
    WEIR_ASSERT(weir_jwt_verify(&t, keys, &err) < 0 && weir_utf8_is_text(weir_sv_of(err.text)));
    (void)weir_jwt_claim(&t, "a.b.c");
    weir_jwt_release(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct weir_jwks *keys;
    struct weir_sv text = {size == 0 ? "" : (const char *)data, size};
    struct weir_err err = {{0}};
    if (keys == NULL) {
        WEIR_ASSERT(weir_gnutls_init(&err) == 0 && weir_jwks_parse(&keys, weir_sv_of(known), &err) == 0);
    }
    if (size > 0 && data[0] == '{') {
        struct weir_jwks *s = NULL;
        int r = weir_jwks_parse(&s, text, &err);
        WEIR_ASSERT(r == 0 ? weir_jwks_count(s) > 0 : s == NULL && weir_utf8_is_text(weir_sv_of(err.text)));
        weir_jwks_free(s);
    } else {
        check_token(keys, text);
    }
    return 0;
}
