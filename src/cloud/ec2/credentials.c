/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where credentials come from, in the order that AWS's own programs have: the environment, a web identity (STS), the profile of
 * the shared files, a container's endpoint, the role of this machine (metadata service, version 2). A role to assume comes on top.
 * What is found signs until it is near its end; keys without an end are looked up again every hour, as files change.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/parse.h"
#include "cloud/ec2/ec2_priv.h"
#include "cloud/section.h"

enum { FILE_BYTES_MAX = 256 * 1024, METADATA_MS = 2000, METADATA_DEADLINE_MS = 6000, STS_DEADLINE_MS = 30000, PATH_BYTES_MAX = 4096 };

#define METADATA_DEFAULT "http://169.254.169.254"
#define SESSION_NAME "weir"

/* ---- the shared files ---- */

const char *ec2_profile_name(const struct weir_provider_env *env, const struct ec2_conf *conf)
{
    const char *v = weir_section_env(env, "AWS_PROFILE");
    return conf->profile[0] != '\0' ? conf->profile : v != NULL ? v : "default";
}

/* "[name]", or "[profile name]" in the configuration file. */
static bool is_section_of(struct weir_sv line, const char *profile)
{
    struct weir_sv name = weir_sv_trim((struct weir_sv){line.p + 1, line.n > 1 ? line.n - 1 : 0});
    if (name.n > 0 && name.p[name.n - 1] == ']') {
        name = weir_sv_trim((struct weir_sv){name.p, name.n - 1});
    }
    if (weir_sv_starts(name, WEIR_SV("profile "))) {
        name = weir_sv_trim((struct weir_sv){name.p + 8, name.n - 8});
    }
    return weir_sv_eq(name, weir_sv_of(profile));
}

static bool find_in_file(const char *path, const char *profile, const char *key, char *ret, size_t size)
{
    char *text = NULL;
    size_t n = 0;
    if (weir_file_read(path, FILE_BYTES_MAX, &text, &n, NULL) < 0) {
        return false;
    }
    struct weir_sv rest = {text, n};
    bool inside = false;
    bool found = false;
    while (rest.p != NULL && !found) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        struct weir_sv value = weir_sv_trim(line);
        if (value.n > 0 && value.p[0] == '[') {
            inside = is_section_of(value, profile);
        } else if (inside && value.n > 0 && value.p[0] != '#' && value.p[0] != ';') {
            struct weir_sv name = weir_sv_trim(weir_sv_cut(&value, '='));
            value = weir_sv_trim(value);
            if (weir_sv_eq(name, weir_sv_of(key)) && value.n > 0 && value.n < size) {
                memcpy(ret, value.p, value.n);
                ret[value.n] = '\0';
                found = true;
            }
        }
    }
    explicit_bzero(text, n);
    free(text);
    return found;
}

bool ec2_profile_get(const struct weir_provider_env *env, const char *profile, const char *key, char *ret, size_t size)
{
    static const char *const files[][2] = {{"AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"}, {"AWS_CONFIG_FILE", "~/.aws/config"}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(files); i++) {
        const char *named = weir_section_env(env, files[i][0]);
        char path[PATH_BYTES_MAX];
        if (weir_section_path(env, named != NULL ? named : files[i][1], path, sizeof path) && find_in_file(path, profile, key, ret, size)) {
            return true;
        }
    }
    return false;
}

static bool keys_of_profile(const struct weir_provider_env *env, const char *profile, struct weir_sigv4_key *ret)
{
    *ret = (struct weir_sigv4_key){0};
    if (!ec2_profile_get(env, profile, "aws_access_key_id", ret->id, sizeof ret->id) ||
        !ec2_profile_get(env, profile, "aws_secret_access_key", ret->secret, sizeof ret->secret)) {
        return false;
    }
    (void)ec2_profile_get(env, profile, "aws_session_token", ret->token, sizeof ret->token);
    return true;
}

/* ---- taking what was found ---- */

static void assume(struct weir_provider *p, const char *role, const char *external_id);

static void take(struct weir_provider *p, const struct weir_sigv4_key *key, struct weir_wall expires)
{
    p->key = *key;
    weir_cloud_hide(p->cloud, key->secret);
    weir_cloud_hide(p->cloud, key->token);
    weir_credential_set(p->credential, expires);
}

static void fail(struct weir_provider *p, enum weir_provider_class class, const char *text)
{
    weir_credential_fail(p->credential, class, text);
}

static struct weir_wall in_an_hour(const struct weir_provider *p)
{
    return weir_wall_add(weir_clock_wall(p->env->clock), weir_dur_s(3600));
}

/* What was found first: the credentials themselves, or those that assume the role of the configuration. */
static void take_base(struct weir_provider *p, const struct weir_sigv4_key *key, struct weir_wall expires)
{
    if (p->conf.role_arn[0] == '\0') {
        take(p, key, expires);
        return;
    }
    p->key = *key;
    weir_cloud_hide(p->cloud, key->secret);
    assume(p, p->conf.role_arn, p->conf.external_id);
}

static bool copy(char *to, size_t size, const char *from)
{
    int n = snprintf(to, size, "%s", from == NULL ? "" : from);
    return from != NULL && n > 0 && (size_t)n < size;
}

/* ---- STS ---- */

static void on_role(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider *p = ctx;
    struct weir_arena arena = {0};
    const struct weir_xml *root = NULL;
    struct weir_sigv4_key key = {{0}};
    struct weir_err err = {""};
    if (a->class != WEIR_PROVIDER_OK) {
        fail(p, a->class, a->text);
        return;
    }
    int r = weir_xml_parse(a->body, &arena, &root, &err);
    const struct weir_xml *result = root == NULL ? NULL : root->first;
    while (result != NULL && weir_xml_at(result, "Credentials") == NULL) {
        result = result->next; /* AssumeRoleResult, AssumeRoleWithWebIdentityResult */
    }
    const struct weir_xml *c = weir_xml_at(result, "Credentials");
    struct weir_wall expires = ec2_time(weir_xml_text(c, "Expiration"));
    bool fine = r == 0 && expires.us > 0 && copy(key.id, sizeof key.id, weir_xml_text(c, "AccessKeyId")) &&
                copy(key.secret, sizeof key.secret, weir_xml_text(c, "SecretAccessKey")) && copy(key.token, sizeof key.token, weir_xml_text(c, "SessionToken"));
    weir_arena_release(&arena);
    if (fine) {
        take(p, &key, expires);
    } else {
        fail(p, WEIR_PROVIDER_UNKNOWN, "the answer of STS has no credentials");
    }
    explicit_bzero(&key, sizeof key);
}

static void ask_sts(struct weir_provider *p, const char *what, struct weir_str *form, bool is_signed)
{
    static const char type[] = "application/x-www-form-urlencoded; charset=utf-8";
    char url[320];
    struct weir_arena arena = {0};
    struct weir_cloud_headers h = {.arena = &arena, .scope = ""};
    struct weir_err err = {""};
    const char *region = p->conf.region[0];
    ec2_url(p, "sts", region, url, sizeof url);
    weir_cloud_headers_add(&h, "Content-Type", type);
    struct weir_http_call call = {.method = "POST", .url = url, .header = h.header, .n_headers = h.n, .body = weir_str_sv(form)};
    /* Signed by hand: the cloud's own signer waits for what comes of this call. */
    int r = is_signed ? weir_sigv4_sign(&p->key, region, "sts", &call, weir_cloud_now(p->cloud), &h, &err) : 0;
    const struct weir_cloud_request q = {.what = what, .kind = WEIR_CLOUD_READ, .method = "POST", .url = url, .header = h.header, .n_headers = h.n,
                                         .body = weir_str_sv(form), .open = true, .deadline_ms = STS_DEADLINE_MS};
    r = r < 0 ? r : weir_cloud_send(p->cloud, &q, on_role, NULL, p);
    weir_arena_release(&arena);
    weir_str_release(form);
    if (r < 0) {
        fail(p, WEIR_PROVIDER_THROTTLED, err.text[0] != '\0' ? err.text : weir_error_text(r));
    }
}

static void assume(struct weir_provider *p, const char *role, const char *external_id)
{
    struct weir_str form = WEIR_STR_INIT(8192);
    weir_str_adds(&form, "Action=AssumeRole&Version=2011-06-15&DurationSeconds=3600&RoleSessionName=" SESSION_NAME);
    ec2_form_add(&form, "RoleArn", role);
    if (external_id[0] != '\0') {
        ec2_form_add(&form, "ExternalId", external_id);
    }
    ask_sts(p, "AssumeRole", &form, true);
}

static void assume_by_web_identity(struct weir_provider *p, const char *role, const char *file)
{
    WEIR_CLEANUP(weir_freep) char *token = NULL;
    size_t n = 0;
    struct weir_err err = {""};
    if (weir_file_read(file, FILE_BYTES_MAX, &token, &n, &err) < 0) {
        fail(p, WEIR_PROVIDER_REFUSED, err.text);
        return;
    }
    struct weir_sv text = weir_sv_trim((struct weir_sv){token, n});
    token[text.p + text.n - token] = '\0';
    weir_cloud_hide(p->cloud, text.p);
    const char *session = weir_section_env(p->env, "AWS_ROLE_SESSION_NAME");
    struct weir_str form = WEIR_STR_INIT(64 * 1024);
    weir_str_adds(&form, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&DurationSeconds=3600");
    ec2_form_add(&form, "RoleSessionName", session != NULL ? session : SESSION_NAME);
    ec2_form_add(&form, "RoleArn", role);
    ec2_form_add(&form, "WebIdentityToken", text.p);
    ask_sts(p, "AssumeRoleWithWebIdentity", &form, false);
}

/* ---- a container's endpoint, the machine's role: the same JSON ---- */

static void on_keys(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider *p = ctx;
    struct weir_sigv4_key key = {{0}};
    if (a->class != WEIR_PROVIDER_OK) {
        fail(p, a->class, a->text);
        return;
    }
    json_t *j = json_loadb(a->body.p, a->body.n, 0, NULL);
    const char *expires = json_string_value(json_object_get(j, "Expiration"));
    struct weir_wall until = expires == NULL ? in_an_hour(p) : ec2_time(expires);
    bool fine = copy(key.id, sizeof key.id, json_string_value(json_object_get(j, "AccessKeyId"))) &&
                copy(key.secret, sizeof key.secret, json_string_value(json_object_get(j, "SecretAccessKey"))) && until.us > 0;
    (void)copy(key.token, sizeof key.token, json_string_value(json_object_get(j, "Token")));
    json_decref(j);
    if (fine) {
        take_base(p, &key, until);
    } else {
        fail(p, WEIR_PROVIDER_REFUSED, "the metadata service gave no credentials: is a role attached to this machine?");
    }
    explicit_bzero(&key, sizeof key);
}

static void get(struct weir_provider *p, const char *what, const char *method, const char *url, const struct weir_http_header *h, weir_cloud_fn *done)
{
    const struct weir_cloud_request q = {.what = what, .kind = WEIR_CLOUD_READ, .method = method, .url = url, .header = h, .n_headers = h == NULL ? 0 : 1,
                                         .open = true, .timeout_ms = METADATA_MS, .deadline_ms = METADATA_DEADLINE_MS, .tries_max = 2, .reply_bytes_max = 65536};
    if (weir_cloud_send(p->cloud, &q, done, NULL, p) < 0) {
        fail(p, WEIR_PROVIDER_THROTTLED, "too many calls are under way");
    }
}

/* The URL of the metadata service; the variable is the one that AWS's programs know. */
static void metadata_url(const struct weir_provider *p, const char *path, char *ret, size_t size)
{
    const char *base = weir_section_env(p->env, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    base = base == NULL ? METADATA_DEFAULT : base;
    size_t n = strlen(base);
    (void)snprintf(ret, size, "%.*s%s", (int)(n > 0 && base[n - 1] == '/' ? n - 1 : n), base, path);
}

#define ROLE_PATH "/latest/meta-data/iam/security-credentials/"

static void on_role_name(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider *p = ctx;
    struct weir_sv rest = a->body;
    struct weir_sv name = weir_sv_trim(weir_sv_cut(&rest, '\n'));
    if (a->class != WEIR_PROVIDER_OK || name.n == 0 || name.n > 64) {
        fail(p, a->class == WEIR_PROVIDER_OK ? WEIR_PROVIDER_REFUSED : a->class, "this machine has no role: attach an instance profile, or give keys");
        return;
    }
    char path[160];
    char url[512];
    (void)snprintf(path, sizeof path, ROLE_PATH "%.*s", WEIR_SV_ARG(name));
    metadata_url(p, path, url, sizeof url);
    const struct weir_http_header h = {"X-aws-ec2-metadata-token", p->metadata_token};
    get(p, "role of this machine", "GET", url, &h, on_keys);
}

static void on_metadata_token(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider *p = ctx;
    struct weir_sv token = weir_sv_trim(a->body);
    if (a->class != WEIR_PROVIDER_OK || token.n == 0 || token.n >= sizeof p->metadata_token) {
        fail(p, WEIR_PROVIDER_REFUSED, p->no_keys);
        return;
    }
    (void)snprintf(p->metadata_token, sizeof p->metadata_token, "%.*s", WEIR_SV_ARG(token));
    weir_cloud_hide(p->cloud, p->metadata_token);
    char url[512];
    metadata_url(p, ROLE_PATH, url, sizeof url);
    const struct weir_http_header h = {"X-aws-ec2-metadata-token", p->metadata_token};
    get(p, "role of this machine", "GET", url, &h, on_role_name);
}

static bool ask_container(struct weir_provider *p)
{
    const char *relative = weir_section_env(p->env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = weir_section_env(p->env, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    static const char *const allowed[] = {"https://", "http://127.0.0.1", "http://localhost", "http://169.254.170.2/", "http://169.254.170.23/",
                                          "http://[fd00:ec2::23]/"};
    char url[1024];
    if (relative != NULL) {
        (void)snprintf(url, sizeof url, "http://169.254.170.2%s", relative);
    } else if (full != NULL) {
        (void)snprintf(url, sizeof url, "%s", full);
        bool fine = false;
        for (size_t i = 0; i < WEIR_ARRAY_LEN(allowed); i++) {
            fine |= strncmp(url, allowed[i], strlen(allowed[i])) == 0;
        }
        if (!fine) {
            fail(p, WEIR_PROVIDER_REFUSED, "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this host");
            return true;
        }
    } else {
        return false;
    }
    WEIR_CLEANUP(weir_freep) char *text = NULL;
    const char *file = weir_section_env(p->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    size_t n = 0;
    if (file != NULL && weir_file_read(file, 65536, &text, &n, NULL) == 0) {
        text[strcspn(text, "\r\n")] = '\0';
    }
    const char *token = text != NULL ? text : weir_section_env(p->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    weir_cloud_hide(p->cloud, token);
    const struct weir_http_header h = {"Authorization", token};
    get(p, "credentials of this container", "GET", url, token == NULL ? NULL : &h, on_keys);
    return true;
}

/* ---- the chain ---- */

static bool from_environment(struct weir_provider *p)
{
    struct weir_sigv4_key key = {{0}};
    if (p->conf.has_profile || !copy(key.id, sizeof key.id, weir_section_env(p->env, "AWS_ACCESS_KEY_ID")) ||
        !copy(key.secret, sizeof key.secret, weir_section_env(p->env, "AWS_SECRET_ACCESS_KEY"))) {
        return false;
    }
    (void)copy(key.token, sizeof key.token, weir_section_env(p->env, "AWS_SESSION_TOKEN"));
    take_base(p, &key, in_an_hour(p));
    explicit_bzero(&key, sizeof key);
    return true;
}

static bool from_profile(struct weir_provider *p)
{
    const char *profile = ec2_profile_name(p->env, &p->conf);
    struct weir_sigv4_key key;
    char role[256];
    char source[EC2_PROFILE_SIZE];
    char file[PATH_BYTES_MAX];
    char external_id[256] = "";
    if (ec2_profile_get(p->env, profile, "role_arn", role, sizeof role)) {
        if (ec2_profile_get(p->env, profile, "web_identity_token_file", file, sizeof file)) {
            assume_by_web_identity(p, role, file);
            return true;
        }
        (void)ec2_profile_get(p->env, profile, "external_id", external_id, sizeof external_id);
        if (ec2_profile_get(p->env, profile, "source_profile", source, sizeof source) && keys_of_profile(p->env, source, &key)) {
            p->key = key;
            weir_cloud_hide(p->cloud, key.secret);
            assume(p, role, external_id);
            return true;
        }
    }
    if (!keys_of_profile(p->env, profile, &key)) {
        return false;
    }
    take_base(p, &key, in_an_hour(p));
    explicit_bzero(&key, sizeof key);
    return true;
}

void ec2_credentials_fetch(void *provider, struct weir_credential *c)
{
    struct weir_provider *p = provider;
    (void)c;
    const char *role = weir_section_env(p->env, "AWS_ROLE_ARN");
    const char *file = weir_section_env(p->env, "AWS_WEB_IDENTITY_TOKEN_FILE");
    (void)snprintf(p->no_keys, sizeof p->no_keys,
                   "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, write profile '%.60s' to ~/.aws/credentials, or give this machine a role",
                   ec2_profile_name(p->env, &p->conf));
    if (from_environment(p)) {
        return;
    }
    if (role != NULL && file != NULL && !p->conf.has_profile) {
        assume_by_web_identity(p, role, file);
        return;
    }
    if (from_profile(p) || ask_container(p)) {
        return;
    }
    const char *disabled = weir_section_env(p->env, "AWS_EC2_METADATA_DISABLED");
    if (p->conf.has_profile || (disabled != NULL && strcasecmp(disabled, "true") == 0)) {
        fail(p, WEIR_PROVIDER_REFUSED, p->no_keys);
        return;
    }
    char url[512];
    metadata_url(p, "/latest/api/token", url, sizeof url);
    static const struct weir_http_header ttl = {"X-aws-ec2-metadata-token-ttl-seconds", "21600"};
    get(p, "metadata service", "PUT", url, &ttl, on_metadata_token);
}
