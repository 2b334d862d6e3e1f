/* SPDX-License-Identifier: Apache-2.0 */

/* weir login, weir logout: signing in at the broker's issuer by a browser that may be on any machine (RFC 8628). */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "command.h"
#include "jobs.h"
#include "login.h"
#include "output.h"

enum {
    INTERVAL_S = 5, /* where the issuer says none; and what it adds when it says slow_down */
    INTERVAL_S_MAX = 60,
    EXPIRES_S_MAX = 3600,
    URL_SIZE = 2048,
};

const struct weir_opt weir_opts_login[] = {
    {"issuer", 0, WEIR_OPT_TEXT, .arg = "URL", .help = "with whom, where the broker has several"},
    {"ca", 0, WEIR_OPT_TEXT, .arg = "FILE", .help = "the issuer's authority (default: the system's)"},
    {0},
};

const struct weir_opt weir_opts_logout[] = {{0}};

/* ---- with whom ---- */

static int choose(const json_t *items, const char *wanted, struct weir_login *l, struct weir_err *err)
{
    const json_t *found = NULL;
    size_t n = 0;
    size_t i;
    const json_t *o;
    struct weir_str names = WEIR_STR_INIT(4096);
    json_array_foreach (items, i, o) {
        const char *issuer = weir_get_text(o, "issuer");
        if (issuer == NULL || weir_get_text(o, "audience") == NULL || weir_get_text(o, "client_id") == NULL) {
            continue;
        }
        weir_str_addf(&names, "%s%s", names.n == 0 ? "" : ", ", issuer);
        if (wanted == NULL || weir_streq(wanted, issuer)) {
            found = o;
            n++;
        }
    }
    int r = 0;
    if (names.n == 0) {
        r = weir_fail(err, -WEIR_EUNSUPPORTED, "the broker has no issuer with a client_id (access: oidc: in its weir.yaml): ask its administrator for a token, and set WEIR_TOKEN");
    } else if (n != 1) {
        r = weir_fail(err, -WEIR_EINVAL, wanted == NULL ? "the broker has several issuers: say --issuer with one of %s" : "no such issuer: --issuer is one of %s",
                      weir_str_cstr(&names));
    } else {
        l->issuer = weir_strdup(weir_get_text(found, "issuer"));
        l->audience = weir_strdup(weir_get_text(found, "audience"));
        l->client_id = weir_strdup(weir_get_text(found, "client_id"));
    }
    weir_str_release(&names);
    return r;
}

/* Asked for are those that the issuer knows; one that does not say which it knows is asked for the usual ones. */
static void add_scopes(struct weir_str *out, const json_t *discovery)
{
    static const char *const scopes[] = {"openid", "profile", "email", "groups", "offline_access"};
    const json_t *known = json_object_get(discovery, "scopes_supported");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(scopes); i++) {
        bool usual = !json_is_array(known) && !weir_streq(scopes[i], "groups");
        size_t k;
        const json_t *o;
        json_array_foreach (known, k, o) {
            usual = usual || (json_is_string(o) && weir_streq(json_string_value(o), scopes[i]));
        }
        if (usual || i == 0) {
            weir_str_addf(out, "%s%s", out->n == 0 ? "" : " ", scopes[i]);
        }
    }
}

static int fail_answer(const struct weir_login *l, const char *what, int status, const json_t *answer, struct weir_err *err)
{
    const char *error = weir_get_text(answer, "error");
    const char *more = weir_get_text(answer, "error_description");
    return weir_fail(err, -WEIR_EUNAUTH, "the issuer %s refuses %s (status %d%s%.60s%s%.120s)", l->issuer, what, status, error == NULL ? "" : ", ",
                     error == NULL ? "" : error, more == NULL ? "" : ": ", more == NULL ? "" : more);
}

/* Begins: *ret is what it says of the code. */
static int ask(struct weir_http_session *s, struct weir_login *l, json_t **ret, struct weir_err *err)
{
    json_t *discovery = NULL;
    int status = 0;
    int r = weir_login_discover(l, s, &discovery, err);
    const char *device = weir_get_text(discovery, "device_authorization_endpoint");
    const char *token = weir_get_text(discovery, "token_endpoint");
    if (r == 0 && (device == NULL || token == NULL)) {
        r = weir_fail(err, -WEIR_EUNSUPPORTED, "the issuer %s has no device authorization (RFC 8628): fetch a token there, and set WEIR_TOKEN", l->issuer);
    }
    if (r == 0) {
        struct weir_str form = WEIR_STR_INIT(URL_SIZE);
        struct weir_str scopes = WEIR_STR_INIT(256);
        add_scopes(&scopes, discovery);
        weir_query_add(&form, "client_id", l->client_id);
        weir_query_add(&form, "scope", weir_str_cstr(&scopes));
        l->token_endpoint = weir_strdup(token);
        r = weir_login_call(s, device, weir_str_cstr(&form) + 1, l->ca_file, ret, &status, err);
        if (r == 0 && (status != 200 || weir_get_text(*ret, "device_code") == NULL || weir_get_text(*ret, "user_code") == NULL ||
                       weir_get_text(*ret, "verification_uri") == NULL)) {
            r = fail_answer(l, "to begin", status, *ret, err);
        }
        weir_str_release(&scopes);
        weir_str_release(&form);
    }
    json_decref(discovery);
    return r;
}

/* ---- waiting ---- */

static int64_t seconds_of(const json_t *o, const char *key, int64_t usual, int64_t most)
{
    int64_t v = weir_get_i64(o, key, usual);
    return v < 1 ? 1 : v > most ? most : v;
}

/* One look whether somebody has agreed: 1, 0 where not yet, or a negative code. */
static int look(struct weir_http_session *s, struct weir_login *l, const char *form, int64_t *interval_s, struct weir_err *err)
{
    json_t *answer = NULL;
    int status = 0;
    int r = weir_login_call(s, l->token_endpoint, form, l->ca_file, &answer, &status, err);
    if (r == -WEIR_ETIMEOUT || r == -WEIR_EUNAVAIL) { /* it may be back in a moment */
        *interval_s = *interval_s * 2 > INTERVAL_S_MAX ? INTERVAL_S_MAX : *interval_s * 2;
        return 0;
    }
    const char *error = r == 0 ? weir_get_text(answer, "error") : NULL;
    if (r == 0 && status == 200) {
        r = weir_login_take(l, answer, err);
        r = r < 0 ? r : 1;
    } else if (error != NULL && weir_streq(error, "slow_down")) {
        *interval_s = *interval_s + INTERVAL_S > INTERVAL_S_MAX ? INTERVAL_S_MAX : *interval_s + INTERVAL_S;
    } else if (error != NULL && weir_streq(error, "access_denied")) {
        r = weir_fail(err, -WEIR_EDENIED, "it was refused at %s", l->issuer);
    } else if (error != NULL && weir_streq(error, "expired_token")) {
        r = weir_fail(err, -WEIR_ETIMEOUT, "the code has expired: run 'weir login' again");
    } else if (r == 0 && (error == NULL || !weir_streq(error, "authorization_pending"))) {
        r = fail_answer(l, "the login", status, answer, err);
    }
    json_decref(answer);
    return r;
}

static int await(struct weir_http_session *s, struct weir_login *l, const json_t *begun, struct weir_err *err)
{
    int64_t interval_s = seconds_of(begun, "interval", INTERVAL_S, INTERVAL_S_MAX);
    int64_t until_us = weir_clock_mono(&weir_clock_os).us + seconds_of(begun, "expires_in", 600, EXPIRES_S_MAX) * WEIR_US_PER_S;
    struct weir_str form = WEIR_STR_INIT(1 << 16);
    weir_query_add(&form, "grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    weir_query_add(&form, "device_code", weir_get_text(begun, "device_code"));
    weir_query_add(&form, "client_id", l->client_id);
    int r = 0;
    while (r == 0) {
        weir_pause(weir_dur_s(interval_s));
        r = weir_clock_mono(&weir_clock_os).us > until_us ? weir_fail(err, -WEIR_ETIMEOUT, "nobody has agreed in time: run 'weir login' again")
                                                         : look(s, l, weir_str_cstr(&form) + 1, &interval_s, err);
    }
    weir_str_release(&form);
    return r < 0 ? r : 0;
}

/* What it says is shown on a terminal: text only. */
static int show_code(const json_t *begun, struct weir_err *err)
{
    const char *uri = weir_get_text(begun, "verification_uri");
    const char *code = weir_get_text(begun, "user_code");
    const char *whole = weir_get_text(begun, "verification_uri_complete");
    const char *all[] = {uri, code, whole == NULL ? "" : whole};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(all); i++) {
        if (!weir_utf8_is_text(weir_sv_of(all[i])) || strchr(all[i], '\n') != NULL || strlen(all[i]) > URL_SIZE) {
            return weir_fail(err, -WEIR_EIO, "what the issuer says of its code is no text");
        }
    }
    weir_talk("open %s in a browser, on any machine, and enter the code %s", uri, code);
    if (whole != NULL) {
        weir_talk("or open %s", whole);
    }
    return 0;
}

/* ---- commands ---- */

/* Only what the broker takes is kept. */
static int enter(struct weir_client *api, const struct weir_login *l, const struct weir_args *args, struct weir_err *err)
{
    json_t *who = NULL;
    char until[WEIR_RFC3339_SIZE];
    weir_client_use_token(api, l->token);
    int r = weir_client_call(api, "GET", "/v1/whoami", NULL, &who, err);
    r = r < 0 ? r : weir_login_write(weir_client_url(api), l, NULL, err);
    if (r == 0 && weir_args_has(args, "json")) {
        (void)json_object_set_new(who, "issuer", json_string(l->issuer));
        (void)json_object_set_new(who, "expires", json_string(weir_wall_format(l->expires, until)));
        (void)json_object_set_new(who, "renews", json_boolean(l->refresh_token != NULL));
        weir_print_json(who);
    } else if (r == 0) {
        const char *user = weir_get_text(who, "user");
        (void)printf("signed in at %s as %s%s%s\n", weir_client_url(api), user == NULL ? "?" : user, l->refresh_token != NULL ? "; it is renewed by itself" : ", until ",
                     l->refresh_token != NULL ? "" : weir_wall_format(l->expires, until));
    }
    json_decref(who);
    return r;
}

int weir_cmd_login(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    struct weir_login l = {0};
    json_t *issuers = NULL;
    json_t *begun = NULL;
    int r = weir_client_open_plain(&api, args, err);
    r = r < 0 ? r : weir_client_call(api, "GET", "/v1/issuers", NULL, &issuers, err);
    r = r < 0 ? r : choose(json_object_get(issuers, "items"), weir_args_text(args, "issuer"), &l, err);
    if (r == 0 && weir_args_has(args, "ca")) {
        l.ca_file = realpath(weir_args_text(args, "ca"), NULL);
        r = l.ca_file == NULL ? weir_fail(err, -WEIR_ENOTFOUND, "--ca %s: there is no such file", weir_args_text(args, "ca")) : 0;
    }
    if (r == 0 && !weir_login_is_safe(weir_client_url(api))) {
        r = weir_fail(err, -WEIR_EDENIED, "%s is not https: a token would be shown to everybody on the way", weir_client_url(api));
    }
    r = r < 0 ? r : ask(weir_client_session(api), &l, &begun, err);
    r = r < 0 ? r : show_code(begun, err);
    r = r < 0 ? r : await(weir_client_session(api), &l, begun, err);
    r = r < 0 ? r : enter(api, &l, args, err);
    json_decref(begun);
    json_decref(issuers);
    weir_login_release(&l);
    return r;
}

int weir_cmd_logout(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    WEIR_CLEANUP(weir_freep) char *url = NULL;
    struct weir_login l = {0};
    struct weir_err why = {""};
    char until[WEIR_RFC3339_SIZE];
    bool had = false;
    int r = weir_client_url_of(weir_args_text(args, "url"), &url, err);
    bool known = r == 0 && weir_login_read(url, &l, &why) == 1;
    r = r < 0 ? r : weir_login_write(url, NULL, &had, err); /* first: whatever the issuer says, it is not kept here */
    bool revoked = r == 0 && known && weir_client_open_plain(&api, args, &why) == 0 && weir_login_revoke(&l, weir_client_session(api), &why) == 0;
    if (r == 0 && weir_args_has(args, "json")) {
        (void)printf("{\"was_signed_in\": %s, \"revoked\": %s}\n", had ? "true" : "false", revoked ? "true" : "false");
    } else if (r == 0 && had) {
        weir_talk("signed out of %s: its token is forgotten%s", url, revoked ? ", and revoked at its issuer" : "");
    } else if (r == 0) {
        weir_talk("nobody was signed in at %s", url);
    }
    if (r == 0 && had && !revoked) {
        weir_talk("it was not revoked: %s; who has a copy can use it until %s%s", why.text, known ? weir_wall_format(l.expires, until) : "it expires",
                  l.refresh_token == NULL ? "" : ", and fetch others: end the session at the issuer");
    }
    weir_login_release(&l);
    return r;
}
