/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access tokens: by a client's secret, by a workload identity's token file (read anew each time: it is replaced while we run), or, where
 * neither is given, from the metadata service of the machine that weir runs on.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "cloud/azure/azure_priv.h"
#include "net/uri.h"

enum { ASSERTION_BYTES_MAX = 64 * 1024, TOKEN_S_MIN = 60 /* at least */ };

int azure_sign(void *ctx, const struct weir_http_call *call, struct weir_wall now, struct weir_cloud_headers *h, const char **ret_bearer,
               struct weir_err *err)
{
    const struct azure *a = ((const struct weir_provider *)ctx)->own;
    (void)call;
    (void)now;
    (void)h;
    *ret_bearer = a->bearer;
    return a->bearer == NULL ? weir_fail(err, -WEIR_EUNAUTH, "there is no access token") : 0;
}

void azure_token_forget(struct azure *a)
{
    if (a->bearer != NULL) {
        explicit_bzero(a->bearer, strlen(a->bearer));
        free(a->bearer);
        a->bearer = NULL;
    }
}

/* Seconds, as a number or as text: the metadata service quotes them. */
static int64_t seconds_of(const json_t *v)
{
    if (json_is_integer(v)) {
        return json_integer_value(v);
    }
    int64_t n = 0;
    const char *s = json_string_value(v);
    for (size_t i = 0; s != NULL && s[i] >= '0' && s[i] <= '9' && i < 9; i++) {
        n = n * 10 + (s[i] - '0');
    }
    return n;
}

static void on_token(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider *p = ctx;
    struct azure *own = p->own;
    if (a->class != WEIR_PROVIDER_OK) {
        weir_credential_fail(own->credential, a->class, a->text);
        return;
    }
    json_t *body = json_loadb(a->body.p, a->body.n, 0, NULL);
    const char *token = json_string_value(json_object_get(body, "access_token"));
    int64_t s = seconds_of(json_object_get(body, "expires_in"));
    if (token == NULL || token[0] == '\0' || s < TOKEN_S_MIN) {
        weir_credential_fail(own->credential, WEIR_PROVIDER_REFUSED, "azure: the token service answered without a token that lasts");
    } else {
        azure_token_forget(own);
        own->bearer = weir_strdup(token);
        weir_cloud_hide(p->cloud, token);
        weir_credential_set(own->credential, weir_wall_add(weir_clock_wall(p->env->clock), weir_dur_s(s)));
    }
    json_decref(body);
}

static void ask(struct weir_provider *p, const struct weir_cloud_request *r)
{
    if (weir_cloud_send(p->cloud, r, on_token, NULL, p) < 0) {
        weir_credential_fail(((struct azure *)p->own)->credential, WEIR_PROVIDER_THROTTLED, "azure: too many calls are under way");
    }
}

static void from_metadata(struct weir_provider *p)
{
    char url[WEIR_REST_URL_SIZE];
    const struct weir_http_header header = {"Metadata", "true"};
    const struct azure *a = p->own;
    (void)snprintf(url, sizeof url, "%s/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%%3A%%2F%%2Fmanagement.azure.com%%2F%s%s",
                   a->metadata_endpoint, a->client_id[0] == '\0' ? "" : "&client_id=", a->client_id);
    ask(p, &(struct weir_cloud_request){.what = "managed identity", .kind = WEIR_CLOUD_READ, .method = "GET", .url = url, .header = &header,
                                         .n_headers = 1, .open = true, .timeout_ms = 5000, .deadline_ms = 30000});
}

/* The client's proof of itself; false where there is none. */
static bool add_proof(struct weir_provider *p, struct weir_str *form, struct weir_err *err)
{
    const struct azure *a = p->own;
    if (a->secret != NULL) {
        weir_str_adds(form, "&client_secret=");
        weir_cloud_hide(p->cloud, a->secret);
        weir_uri_encode(form, weir_sv_of(a->secret));
        return true;
    }
    char *text = NULL;
    size_t n = 0;
    if (weir_file_read(a->federated, ASSERTION_BYTES_MAX, &text, &n, err) < 0) {
        return false;
    }
    struct weir_sv assertion = weir_sv_trim((struct weir_sv){text, n});
    char *copy = weir_strndup(assertion.p, assertion.n);
    weir_cloud_hide(p->cloud, copy);
    weir_str_adds(form, "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=");
    weir_uri_encode(form, assertion);
    explicit_bzero(text, n);
    explicit_bzero(copy, assertion.n);
    free(text);
    free(copy);
    return true;
}

void azure_token_fetch(void *ctx, struct weir_credential *c)
{
    struct weir_provider *p = ctx;
    const struct azure *a = p->own;
    if (a->secret == NULL && a->federated[0] == '\0') {
        from_metadata(p);
        return;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str form = WEIR_STR_INIT(4 * ASSERTION_BYTES_MAX);
    struct weir_err err = {""};
    weir_str_adds(&form, "grant_type=client_credentials&scope=https%3A%2F%2Fmanagement.azure.com%2F.default&client_id=");
    weir_uri_encode(&form, weir_sv_of(a->client_id));
    if (!add_proof(p, &form, &err)) {
        weir_credential_fail(c, WEIR_PROVIDER_REFUSED, err.text);
        return;
    }
    char url[WEIR_REST_URL_SIZE];
    const struct weir_http_header header = {"Content-Type", "application/x-www-form-urlencoded"};
    (void)snprintf(url, sizeof url, "%s/%s/oauth2/v2.0/token", a->login_endpoint, a->tenant);
    ask(p, &(struct weir_cloud_request){.what = "token", .kind = WEIR_CLOUD_READ, .method = "POST", .url = url, .header = &header, .n_headers = 1,
                                         .body = weir_str_sv(&form), .open = true, .deadline_ms = 30000});
    if (form.n > 0) {
        explicit_bzero((char *)(uintptr_t)weir_str_cstr(&form), form.n);
    }
}
