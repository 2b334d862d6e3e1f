/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/gce/auth.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "cloud/boot.h"
#include "cloud/credential.h"
#include "cloud/rest.h"
#include "cloud/section.h"
#include "net/gnutls_lib.h"
#include "net/uri.h"

enum { TOKEN_LIFE_S = 3600, FRESH_BEFORE_S = 300, JWT_BYTES_MAX = 8192, KEY_FILE_BYTES_MAX = 64 << 10 };

/* A clock that differs by more is what a JWT was refused for. */
#define SKEW_MIN (60 * WEIR_US_PER_S)

static const char scope[] = "https://www.googleapis.com/auth/cloud-platform";
static const char token_uri[] = "https://oauth2.googleapis.com/token";
static const char metadata_url[] = "http://metadata.google.internal";

enum auth_kind { AUTH_SERVICE_ACCOUNT, AUTH_USER, AUTH_METADATA };

struct gce_auth {
    const struct weir_provider_env *env;
    struct weir_cloud *cloud;
    struct weir_credential *credential;
    enum auth_kind kind;
    json_t *file; /* of the first two kinds */
    char metadata[256];
    char *token;
    struct weir_wall signed_at; /* of the JWT under way */
    bool was_skewed;
};

static void fetch(void *ctx, struct weir_credential *c);

/* ---- the JWT ---- */

static void add_base64url(struct weir_str *s, struct weir_sv bytes)
{
    struct weir_str plain = WEIR_STR_INIT(JWT_BYTES_MAX);
    weir_base64(&plain, bytes);
    for (size_t i = 0; i < plain.n && plain.p[i] != '='; i++) {
        weir_str_addc(s, plain.p[i] == '+' ? '-' : plain.p[i] == '/' ? '_' : plain.p[i]);
    }
    weir_str_release(&plain);
}

static int sign(const char *pem, struct weir_sv text, struct weir_str *ret, struct weir_err *err)
{
    int r = weir_gnutls_init(err);
    if (r != 0) {
        return r;
    }
    gnutls_privkey_t key;
    gnutls_datum_t in = {(unsigned char *)(uintptr_t)pem, (unsigned)strlen(pem)};
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)text.p, (unsigned)text.n};
    gnutls_datum_t signature = {NULL, 0};
    if (weir_gnutls.gnutls_privkey_init(&key) != 0) {
        return weir_fail(err, -WEIR_ENOMEM, "out of memory for a key");
    }
    int g = weir_gnutls.gnutls_privkey_import_x509_raw(key, &in, GNUTLS_X509_FMT_PEM, NULL, 0);
    g = g != 0 ? g : weir_gnutls.gnutls_privkey_sign_data(key, GNUTLS_DIG_SHA256, 0, &data, &signature);
    weir_gnutls.gnutls_privkey_deinit(key);
    if (g != 0) {
        return weir_fail(err, -WEIR_ECONFIG, "the service account's private key cannot sign: %s", weir_gnutls.gnutls_strerror(g));
    }
    add_base64url(ret, (struct weir_sv){(const char *)signature.data, signature.size});
    (*weir_gnutls.gnutls_free)(signature.data);
    return 0;
}

static const char *token_uri_of(const struct gce_auth *a)
{
    const char *uri = weir_rest_text(a->file, "token_uri");
    return uri[0] != '\0' ? uri : token_uri;
}

static int add_jwt(struct gce_auth *a, struct weir_str *ret, struct weir_err *err)
{
    struct weir_str part = WEIR_STR_INIT(JWT_BYTES_MAX);
    struct weir_str jwt = WEIR_STR_INIT(JWT_BYTES_MAX);
    a->signed_at = weir_cloud_now(a->cloud);
    int64_t now_s = a->signed_at.us / WEIR_US_PER_S;
    struct weir_json j = weir_json_begin(&part);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "alg", "RS256");
    weir_json_kv_cstr(&j, "typ", "JWT");
    weir_json_kv_cstr(&j, "kid", weir_rest_text(a->file, "private_key_id"));
    weir_json_end(&j);
    add_base64url(&jwt, weir_str_sv(&part));
    weir_str_addc(&jwt, '.');
    weir_str_clear(&part);
    j = weir_json_begin(&part);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "iss", weir_rest_text(a->file, "client_email"));
    weir_json_kv_cstr(&j, "scope", scope);
    weir_json_kv_cstr(&j, "aud", token_uri_of(a));
    weir_json_kv_i64(&j, "iat", now_s);
    weir_json_kv_i64(&j, "exp", now_s + TOKEN_LIFE_S);
    weir_json_end(&j);
    add_base64url(&jwt, weir_str_sv(&part));
    struct weir_str signature = WEIR_STR_INIT(JWT_BYTES_MAX);
    int r = sign(weir_rest_text(a->file, "private_key"), weir_str_sv(&jwt), &signature, err);
    weir_str_addf(ret, "%s.%s", weir_str_cstr(&jwt), weir_str_cstr(&signature));
    weir_str_release(&signature);
    weir_str_release(&jwt);
    weir_str_release(&part);
    return r;
}

/* ---- fetching ---- */

static void add_form(struct weir_str *s, const char *key, const char *value)
{
    weir_str_addf(s, "%s%s=", s->n > 0 ? "&" : "", key);
    weir_uri_encode(s, weir_sv_of(value));
}

static void keep_token(struct gce_auth *a, const char *token)
{
    if (a->token != NULL) {
        explicit_bzero(a->token, strlen(a->token));
        free(a->token);
    }
    a->token = weir_strdup(token);
}

static void on_token(void *ctx, const struct weir_cloud_answer *answer)
{
    struct gce_auth *a = ctx;
    if (answer->class != WEIR_PROVIDER_OK) {
        int64_t off_us = llabs(weir_wall_sub(weir_cloud_now(a->cloud), a->signed_at).us);
        if (a->kind == AUTH_SERVICE_ACCOUNT && !a->was_skewed && off_us > SKEW_MIN) {
            a->was_skewed = true; /* Google's time is known now: the same claim with that */
            fetch(a, a->credential);
            return;
        }
        a->was_skewed = false;
        weir_credential_fail(a->credential, answer->class, answer->text);
        return;
    }
    a->was_skewed = false;
    json_t *body = json_loadb(answer->body.p, answer->body.n, 0, NULL);
    const char *token = weir_rest_text(body, "access_token");
    json_int_t seconds = json_integer_value(json_object_get(body, "expires_in"));
    if (token[0] == '\0' || strlen(token) > JWT_BYTES_MAX || seconds <= 0 || seconds > 86400) {
        weir_credential_fail(a->credential, WEIR_PROVIDER_UNKNOWN, "the answer of Google's token endpoint has no token");
    } else {
        keep_token(a, token);
        weir_cloud_hide(a->cloud, token);
        weir_credential_set(a->credential, weir_wall_add(weir_clock_wall(a->env->clock), weir_dur_s(seconds)));
    }
    json_decref(body);
}

static void fetch(void *ctx, struct weir_credential *c)
{
    struct gce_auth *a = ctx;
    struct weir_err err = {""};
    static const struct weir_http_header form = {"Content-Type", "application/x-www-form-urlencoded"};
    static const struct weir_http_header flavor = {"Metadata-Flavor", "Google"};
    char url[512];
    struct weir_str body = WEIR_STR_INIT(2 * JWT_BYTES_MAX);
    struct weir_cloud_request r = {.what = "fetch a token", .kind = WEIR_CLOUD_READ, .method = "POST", .url = url, .header = &form,
                                   .n_headers = 1, .open = true};
    int rc = 0;
    (void)snprintf(url, sizeof url, "%s", token_uri_of(a));
    if (a->kind == AUTH_SERVICE_ACCOUNT) {
        struct weir_str jwt = WEIR_STR_INIT(JWT_BYTES_MAX);
        rc = add_jwt(a, &jwt, &err);
        add_form(&body, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
        add_form(&body, "assertion", weir_str_cstr(&jwt));
        weir_str_release(&jwt);
    } else if (a->kind == AUTH_USER) {
        add_form(&body, "grant_type", "refresh_token");
        add_form(&body, "client_id", weir_rest_text(a->file, "client_id"));
        add_form(&body, "client_secret", weir_rest_text(a->file, "client_secret"));
        add_form(&body, "refresh_token", weir_rest_text(a->file, "refresh_token"));
    } else {
        (void)snprintf(url, sizeof url, "%s/computeMetadata/v1/instance/service-accounts/default/token", a->metadata);
        r.method = "GET";
        r.header = &flavor;
    }
    r.body = weir_str_sv(&body);
    if (rc == 0) {
        rc = weir_cloud_send(a->cloud, &r, on_token, NULL, a);
        (void)weir_fail(&err, rc, "too many calls are under way");
    }
    if (body.n > 0) {
        explicit_bzero(body.p, body.n);
    }
    weir_str_release(&body);
    if (rc != 0) {
        weir_credential_fail(c, rc == -WEIR_ELIMIT ? WEIR_PROVIDER_THROTTLED : WEIR_PROVIDER_REFUSED, err.text);
    }
}

/* ---- start and end ---- */

static int check_file(struct gce_auth *a, struct weir_err *err)
{
    static const char *const of_account[] = {"client_email", "private_key", "private_key_id", NULL};
    static const char *const of_user[] = {"client_id", "client_secret", "refresh_token", NULL};
    const char *type = weir_rest_text(a->file, "type");
    const char *const *wanted = of_account;
    if (weir_streq(type, "authorized_user")) {
        a->kind = AUTH_USER;
        wanted = of_user;
    } else if (!weir_streq(type, "service_account")) {
        return weir_fail(err, -WEIR_ECONFIG,
                         "gcp.service_account_file: the file is not a key of a service account, nor gcloud's own credentials: make one with 'gcloud iam "
                         "service-accounts keys create'");
    }
    for (; *wanted != NULL; wanted++) {
        if (weir_rest_text(a->file, *wanted)[0] == '\0') {
            return weir_fail(err, -WEIR_ECONFIG, "gcp.service_account_file: '%s' is missing in the file", *wanted);
        }
    }
    return 0;
}

/* The file whose path stands in GOOGLE_APPLICATION_CREDENTIALS counts before gcloud's own. */
static int read_file(struct gce_auth *a, const json_t *section, struct weir_err *err)
{
    static const char own[] = "~/.config/gcloud/application_default_credentials.json";
    const char *named = weir_section_env(a->env, "GOOGLE_APPLICATION_CREDENTIALS");
    const char *files[] = {named != NULL ? named : own, NULL};
    char *text = NULL;
    struct weir_err why = {""};
    int r = weir_section_secret(section, "gcp", "service_account", a->env, NULL, files, &text, &why);
    if (r == -WEIR_ENOTFOUND && named == NULL && json_object_get(section, "service_account_file") == NULL) {
        return 0;
    }
    if (r != 0) {
        return weir_fail(err, -WEIR_ECONFIG, "%s", why.text);
    }
    a->file = strlen(text) > KEY_FILE_BYTES_MAX ? NULL : json_loads(text, 0, NULL);
    explicit_bzero(text, strlen(text));
    free(text);
    if (!json_is_object(a->file)) {
        return weir_fail(err, -WEIR_ECONFIG, "gcp.service_account_file: the file is not JSON");
    }
    a->kind = AUTH_SERVICE_ACCOUNT;
    return check_file(a, err);
}

int gce_auth_open(struct gce_auth **ret, const struct weir_provider_env *env, const struct json_t *section, struct weir_err *err)
{
    struct gce_auth *a = weir_alloc(sizeof *a);
    *a = (struct gce_auth){.env = env, .kind = AUTH_METADATA};
    const char *host = weir_section_env(env, "GCE_METADATA_HOST");
    (void)snprintf(a->metadata, sizeof a->metadata, "%s%.200s", host != NULL ? "http://" : "", host != NULL ? host : metadata_url);
    int r = read_file(a, section, err);
    if (r != 0) {
        gce_auth_free(a);
        return r;
    }
    a->credential = weir_credential_new(env->clock, weir_dur_s(FRESH_BEFORE_S), fetch, a);
    *ret = a;
    return 0;
}

void gce_auth_free(struct gce_auth *a)
{
    if (a == NULL) {
        return;
    }
    weir_credential_free(a->credential);
    json_decref(a->file);
    if (a->token != NULL) {
        explicit_bzero(a->token, strlen(a->token));
        free(a->token);
    }
    free(a);
}

void gce_auth_attach(struct gce_auth *a, struct weir_cloud *cloud)
{
    a->cloud = cloud;
    if (a->file != NULL) {
        weir_cloud_hide(cloud, weir_rest_text(a->file, "private_key"));
        weir_cloud_hide(cloud, weir_rest_text(a->file, "refresh_token"));
        weir_cloud_hide(cloud, weir_rest_text(a->file, "client_secret"));
    }
}

struct weir_credential *gce_auth_credential(struct gce_auth *a)
{
    return a->credential;
}

const char *gce_auth_token(const struct gce_auth *a)
{
    return a->token;
}

const char *gce_auth_project(const struct gce_auth *a)
{
    const char *project = a->file == NULL ? "" : weir_rest_text(a->file, "project_id");
    return project[0] != '\0' || a->file == NULL ? project : weir_rest_text(a->file, "quota_project_id");
}
