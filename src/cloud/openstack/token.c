/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of Keystone v3, by an application credential or a user's password; the catalog that comes with one says where Nova is. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/openstack/openstack_priv.h"
#include "cloud/section.h"

enum { BODY_BYTES_MAX = 16384, CATALOG_BYTES_MAX = 4 << 20, LIFE_S_MIN = 60, LIFE_S_MAX = 7 * 86400 };

int openstack_sign(void *ctx, const struct weir_http_call *call, struct weir_wall now, struct weir_cloud_headers *h, const char **ret_bearer,
                   struct weir_err *err)
{
    const struct openstack *o = ((const struct weir_provider *)ctx)->own;
    (void)call;
    (void)now;
    (void)ret_bearer;
    if (o->token == NULL) {
        return weir_fail(err, -WEIR_EUNAUTH, "there is no token");
    }
    weir_cloud_headers_add(h, "X-Auth-Token", o->token);
    weir_cloud_headers_add(h, "OpenStack-API-Version", "compute 2.61"); /* tags at once, flavors with what they promise */
    weir_cloud_headers_add(h, "X-OpenStack-Nova-API-Version", "2.61");
    return 0;
}

const char *openstack_base(void *ctx)
{
    return ((const struct openstack *)((const struct weir_provider *)ctx)->own)->compute;
}

void openstack_token_forget(struct openstack *o)
{
    if (o->token != NULL) {
        explicit_bzero(o->token, strlen(o->token));
        free(o->token);
        o->token = NULL;
    }
}

/* ---- the answer ---- */

/* The catalog's endpoint of Nova in our region; NULL where there is none. *ret_more: there is one in another region too, and none was asked for. */
static const json_t *find_compute(const struct openstack *o, const json_t *catalog, bool *ret_more)
{
    const json_t *found = NULL;
    *ret_more = false;
    for (size_t i = 0; i < json_array_size(catalog); i++) {
        const json_t *service = json_array_get(catalog, i);
        const json_t *endpoints = json_object_get(service, "endpoints");
        for (size_t k = 0; weir_streq(weir_rest_text(service, "type"), "compute") && k < json_array_size(endpoints); k++) {
            const json_t *e = json_array_get(endpoints, k);
            const char *region = weir_rest_text(e, "region_id")[0] != '\0' ? weir_rest_text(e, "region_id") : weir_rest_text(e, "region");
            bool fits = o->auth.region_name[0] == '\0' || weir_streq(region, o->auth.region_name);
            if (!weir_streq(weir_rest_text(e, "interface"), o->auth.interface) || !fits) {
                continue;
            }
            *ret_more = *ret_more || found != NULL;
            found = found == NULL ? e : found;
        }
    }
    return found;
}

static void read_roles(struct openstack *o, const json_t *roles)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str all = WEIR_STR_INIT(sizeof o->roles - 1);
    for (size_t i = 0; i < json_array_size(roles); i++) {
        const char *name = weir_rest_text(json_array_get(roles, i), "name");
        weir_str_addf(&all, "%s%s", all.n > 0 && name[0] != '\0' ? ", " : "", name);
    }
    (void)snprintf(o->roles, sizeof o->roles, "%s", all.overflowed ? "too many to tell" : weir_str_cstr(&all));
}

int openstack_token_read(struct openstack *o, const json_t *body, struct weir_dur *ret_life, struct weir_err *err)
{
    const json_t *token = json_object_get(body, "token");
    bool more;
    const json_t *e = find_compute(o, json_object_get(token, "catalog"), &more);
    const char *in = o->auth.region_name[0] == '\0' ? "any region" : o->auth.region_name;
    if (e == NULL) {
        return weir_fail(err, -WEIR_ECONFIG, "the catalog has no %s endpoint of compute in %s: is 'region' right?", o->auth.interface, in);
    }
    if (more) {
        return weir_fail(err, -WEIR_ECONFIG, "the catalog has compute in several regions: give 'region'");
    }
    const char *url = weir_rest_text(e, "url");
    const char *region = weir_rest_text(e, "region_id")[0] != '\0' ? weir_rest_text(e, "region_id") : weir_rest_text(e, "region");
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/') {
        n--;
    }
    if (n == 0 || n >= sizeof o->compute || strlen(region) >= sizeof o->region) {
        return weir_fail(err, -WEIR_EIO, "the catalog's endpoint of compute has no address or region, or one that is too long");
    }
    if (!weir_section_may_send(url)) {
        return weir_fail(err, -WEIR_ECONFIG, "the catalog's endpoint of compute is not an https:// address: the token would be sent there in the clear");
    }
    /* by the span, not by the day: the cloud's clock may be another */
    int64_t life_s = weir_wall_sub(weir_rest_time(token, "expires_at"), weir_rest_time(token, "issued_at")).us / WEIR_US_PER_S;
    if (weir_rest_time(token, "expires_at").us == 0 || weir_rest_time(token, "issued_at").us == 0 || life_s < LIFE_S_MIN) {
        return weir_fail(err, -WEIR_EIO, "the token does not say for how long it is good, or is not good for a minute");
    }
    (void)snprintf(o->compute, sizeof o->compute, "%.*s", (int)n, url);
    (void)snprintf(o->region, sizeof o->region, "%s", region[0] == '\0' ? "default" : region);
    read_roles(o, json_object_get(token, "roles"));
    *ret_life = weir_dur_s(life_s < LIFE_S_MAX ? life_s : LIFE_S_MAX);
    return 0;
}

static void on_token(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider *p = ctx;
    struct openstack *o = p->own;
    struct weir_err err = {""};
    struct weir_dur life;
    if (a->class != WEIR_PROVIDER_OK) {
        weir_credential_fail(o->credential, a->class, a->text);
        return;
    }
    json_t *body = json_loadb(a->body.p, a->body.n, 0, NULL);
    int r = a->subject_token == NULL || a->subject_token[0] == '\0' ? weir_fail(&err, -WEIR_EIO, "the answer has no X-Subject-Token")
                                                                   : openstack_token_read(o, body, &life, &err);
    json_decref(body);
    if (r < 0) {
        char text[sizeof err.text + 32];
        (void)snprintf(text, sizeof text, "openstack: token: %s", err.text);
        weir_credential_fail(o->credential, WEIR_PROVIDER_REFUSED, text);
        return;
    }
    openstack_token_forget(o);
    o->token = weir_strdup(a->subject_token);
    weir_cloud_hide(p->cloud, o->token);
    weir_credential_set(o->credential, weir_wall_add(weir_clock_wall(p->env->clock), life));
}

/* ---- the question ---- */

/* An id, or a name in a domain. */
static void write_named(struct weir_json *j, const char *id, const char *name, const char *domain_id, const char *domain_name)
{
    if (id[0] != '\0') {
        weir_json_kv_cstr(j, "id", id);
        return;
    }
    weir_json_kv_cstr(j, "name", name);
    weir_json_key(j, "domain");
    weir_json_object(j);
    if (domain_id[0] != '\0') {
        weir_json_kv_cstr(j, "id", domain_id);
    } else {
        weir_json_kv_cstr(j, "name", domain_name[0] != '\0' ? domain_name : "Default");
    }
    weir_json_end(j);
}

static void write_user(const struct openstack_auth *a, struct weir_json *j, bool with_password)
{
    weir_json_key(j, "user");
    weir_json_object(j);
    write_named(j, a->user_id, a->username, a->user_domain_id, a->user_domain_name);
    if (with_password) {
        weir_json_kv_cstr(j, "password", a->password);
    }
    weir_json_end(j);
}

static void write_question(const struct openstack_auth *a, struct weir_str *ret)
{
    bool by_application = a->application_credential_id[0] != '\0' || a->application_credential_name[0] != '\0';
    const char *method = by_application ? "application_credential" : "password";
    struct weir_json j = weir_json_begin(ret);
    weir_json_object(&j);
    weir_json_key(&j, "auth");
    weir_json_object(&j);
    weir_json_key(&j, "identity");
    weir_json_object(&j);
    weir_json_key(&j, "methods");
    weir_json_array(&j);
    weir_json_cstr(&j, method);
    weir_json_end(&j);
    weir_json_key(&j, method);
    weir_json_object(&j);
    if (!by_application) {
        write_user(a, &j, true);
    } else if (a->application_credential_id[0] != '\0') {
        weir_json_kv_cstr(&j, "id", a->application_credential_id);
    } else { /* its name is one of the user's */
        weir_json_kv_cstr(&j, "name", a->application_credential_name);
        write_user(a, &j, false);
    }
    if (by_application) {
        weir_json_kv_cstr(&j, "secret", a->application_credential_secret);
    }
    weir_json_end(&j);
    weir_json_end(&j);
    if (!by_application) { /* an application credential has its project already */
        weir_json_key(&j, "scope");
        weir_json_object(&j);
        weir_json_key(&j, "project");
        weir_json_object(&j);
        write_named(&j, a->project_id, a->project_name, a->project_domain_id, a->project_domain_name);
        weir_json_end(&j);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    weir_json_end(&j);
}

void openstack_token_fetch(void *ctx, struct weir_credential *c)
{
    struct weir_provider *p = ctx;
    const struct openstack *o = p->own;
    WEIR_CLEANUP(weir_str_release) struct weir_str body = WEIR_STR_INIT(BODY_BYTES_MAX);
    char url[OPENSTACK_URL_SIZE + 32];
    const struct weir_http_header header = {"Content-Type", "application/json"};
    weir_cloud_hide(p->cloud, o->auth.password);
    weir_cloud_hide(p->cloud, o->auth.application_credential_secret);
    write_question(&o->auth, &body);
    (void)snprintf(url, sizeof url, "%s/v3/auth/tokens", o->auth.auth_url);
    struct weir_cloud_request r = {.what = "token", .kind = WEIR_CLOUD_READ, .method = "POST", .url = url, .header = &header, .n_headers = 1,
                                   .body = weir_str_sv(&body), .open = true, .deadline_ms = 30000, .reply_bytes_max = CATALOG_BYTES_MAX};
    if (body.overflowed || weir_cloud_send(p->cloud, &r, on_token, NULL, p) < 0) {
        weir_credential_fail(c, WEIR_PROVIDER_THROTTLED, "openstack: too many calls are under way");
    }
    explicit_bzero((char *)(uintptr_t)weir_str_cstr(&body), body.n);
}
