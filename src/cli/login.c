/* SPDX-License-Identifier: Apache-2.0 */

#include "login.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api_client.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/parse.h"

enum {
    FILE_BYTES_MAX = 1 << 20,
    REPLY_BYTES_MAX = 1 << 20,
    CA_BYTES_MAX = 1 << 20,
    TOKEN_BYTES_MAX = 16384,
    URL_BYTES_MAX = 4096,
    CALL_TIMEOUT_MS = 30000,
    RENEW_BEFORE_S = 60,
    PATH_SIZE = 4200,
};

void weir_login_release(struct weir_login *l)
{
    free(l->issuer);
    free(l->audience);
    free(l->client_id);
    free(l->token_endpoint);
    free(l->ca_file);
    free(l->token);
    free(l->refresh_token);
    *l = (struct weir_login){0};
}

/* ---- the file ---- */

static void path_of(const char *name, char ret[static PATH_SIZE])
{
    WEIR_CLEANUP(weir_freep) char *dir = weir_default_data_dir();
    (void)snprintf(ret, PATH_SIZE, "%s/%s", dir, name);
}

/* All that is kept: broker -> login. An empty object where there is no file. */
static int read_all(json_t **ret, struct weir_err *err)
{
    char path[PATH_SIZE];
    struct stat st;
    path_of("login.json", path);
    int WEIR_CLEANUP(weir_closep) fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        *ret = json_object();
        return 0;
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        return weir_fail(err, weir_error_from_errno(errno), "%s cannot be read: %s", path, strerror(errno));
    }
    if ((st.st_mode & 077) != 0 || st.st_uid != geteuid()) {
        return weir_fail(err, -WEIR_EDENIED, "%s holds tokens, and others may read or own it: 'chmod 600' it, or remove it and run 'weir login'", path);
    }
    WEIR_CLEANUP(weir_freep) char *text = NULL;
    size_t n = 0;
    int r = weir_file_read_fd(fd, path, FILE_BYTES_MAX, &text, &n, err);
    if (r < 0) {
        return r;
    }
    *ret = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(*ret)) {
        json_decref(*ret);
        return weir_fail(err, -WEIR_ECORRUPT, "%s is damaged: remove it, and run 'weir login'", path);
    }
    return 0;
}

/* Beside it, and then in its place: a command that is killed leaves the old one. */
static int write_all(const json_t *all, struct weir_err *err)
{
    char path[PATH_SIZE];
    char next[PATH_SIZE];
    path_of("login.json", path);
    path_of("login.json.new", next);
    WEIR_CLEANUP(weir_freep) char *text = json_dumps(all, JSON_INDENT(2) | JSON_SORT_KEYS);
    (void)unlink(next);
    int WEIR_CLEANUP(weir_closep) fd = open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    size_t n = text == NULL ? 0 : strlen(text);
    if (fd < 0 || text == NULL || write(fd, text, n) != (ssize_t)n || fsync(fd) != 0 || rename(next, path) != 0) {
        return weir_fail(err, weir_error_from_errno(errno), "%s cannot be written: %s", path, strerror(errno));
    }
    return 0;
}

/* Held while the file is read and written; -1 where it cannot be. Closed by the caller. */
static int lock_file(struct weir_err *err)
{
    char path[PATH_SIZE];
    path_of("", path);
    for (char *p = path + 1; *p != '\0'; p++) { /* the directories above it too */
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(path, 0700);
            *p = '/';
        }
    }
    path_of("login.lock", path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        (void)weir_fail(err, weir_error_from_errno(errno), "%s cannot be made: %s", path, strerror(errno));
        weir_closep(&fd);
        return -1;
    }
    return fd;
}

static char *text_at(const json_t *o, const char *key)
{
    const char *text = weir_get_text(o, key);
    return text == NULL ? NULL : weir_strdup(text);
}

static int read_login(const char *broker, struct weir_login *ret, struct weir_err *err)
{
    json_t *all = NULL;
    int r = read_all(&all, err);
    const json_t *o = r < 0 ? NULL : json_object_get(all, broker);
    if (o == NULL) {
        json_decref(all);
        return r;
    }
    *ret = (struct weir_login){.issuer = text_at(o, "issuer"),
                               .audience = text_at(o, "audience"),
                               .client_id = text_at(o, "client_id"),
                               .token_endpoint = text_at(o, "token_endpoint"),
                               .ca_file = text_at(o, "ca_file"),
                               .token = text_at(o, "token"),
                               .refresh_token = text_at(o, "refresh_token"),
                               .expires = weir_get_time(o, "expires")};
    json_decref(all);
    if (ret->issuer == NULL || ret->audience == NULL || ret->client_id == NULL || ret->token_endpoint == NULL || ret->token == NULL) {
        weir_login_release(ret);
        return weir_fail(err, -WEIR_ECORRUPT, "what is kept of the login at %s is damaged: run 'weir login'", broker);
    }
    return 1;
}

int weir_login_read(const char *broker, struct weir_login *ret, struct weir_err *err)
{
    return read_login(broker, ret, err);
}

static void set_text(json_t *o, const char *key, const char *value)
{
    if (value != NULL) {
        (void)json_object_set_new(o, key, json_string(value));
    }
}

static int write_login(const char *broker, const struct weir_login *l, bool *ret_had, struct weir_err *err)
{
    json_t *all = NULL;
    int r = read_all(&all, err);
    if (r < 0) {
        return r;
    }
    if (ret_had != NULL) {
        *ret_had = json_object_get(all, broker) != NULL;
    }
    (void)json_object_del(all, broker);
    if (l != NULL) {
        char expires[WEIR_RFC3339_SIZE];
        json_t *o = json_object();
        set_text(o, "issuer", l->issuer);
        set_text(o, "audience", l->audience);
        set_text(o, "client_id", l->client_id);
        set_text(o, "token_endpoint", l->token_endpoint);
        set_text(o, "ca_file", l->ca_file);
        set_text(o, "token", l->token);
        set_text(o, "refresh_token", l->refresh_token);
        set_text(o, "expires", weir_wall_format(l->expires, expires));
        (void)json_object_set_new(all, broker, o);
    }
    r = write_all(all, err);
    json_decref(all);
    return r;
}

int weir_login_write(const char *broker, const struct weir_login *l, bool *ret_had, struct weir_err *err)
{
    int WEIR_CLEANUP(weir_closep) lock = lock_file(err);
    return lock < 0 ? -WEIR_EIO : write_login(broker, l, ret_had, err);
}

/* ---- the issuer ---- */

bool weir_login_is_safe(const char *url)
{
    struct weir_sv s = weir_sv_of(url);
    if (weir_sv_starts(s, WEIR_SV("https://"))) {
        return true;
    }
    static const char *const own[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(own); i++) {
        size_t n = strlen(own[i]);
        if (strncmp(url, own[i], n) == 0 && (url[n] == ':' || url[n] == '/' || url[n] == '\0')) {
            return true;
        }
    }
    return false;
}

int weir_login_call(struct weir_http_session *s, const char *url, const char *form, const char *ca_file, json_t **ret, int *ret_status,
                    struct weir_err *err)
{
    static const struct weir_http_header type = {"Content-Type", "application/x-www-form-urlencoded"};
    WEIR_CLEANUP(weir_freep) char *ca = NULL;
    size_t n = 0;
    if (ret != NULL) {
        *ret = NULL;
    }
    if (!weir_login_is_safe(url)) {
        return weir_fail(err, -WEIR_EDENIED, "the issuer's %s is not https: a token would be shown to everybody on the way", url);
    }
    int r = ca_file == NULL ? 0 : weir_file_read(ca_file, CA_BYTES_MAX, &ca, &n, err);
    if (r < 0) {
        return r;
    }
    const struct weir_http_call call = {.method = form == NULL ? "GET" : "POST",
                                        .url = url,
                                        .header = &type,
                                        .n_headers = form == NULL ? 0 : 1,
                                        .body = weir_sv_of(form),
                                        .ca_pem = ca,
                                        .timeout_ms = CALL_TIMEOUT_MS,
                                        .reply_bytes_max = REPLY_BYTES_MAX};
    struct weir_http_reply reply = {.content_type = ""};
    r = weir_http_session_call(s, &call, NULL, NULL, &reply, err);
    if (r < 0) {
        return weir_fail(err, r, "the issuer at %s: %s", url, reply.text[0] != '\0' ? reply.text : weir_error_text(r));
    }
    *ret_status = reply.status;
    if (ret == NULL) {
        return 0;
    }
    *ret = json_loadb(reply.body.p == NULL ? "" : reply.body.p, reply.body.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(*ret)) {
        json_decref(*ret);
        *ret = NULL;
        return weir_fail(err, -WEIR_EIO, "the issuer at %s answered with the status %d and no JSON object", url, reply.status);
    }
    return 0;
}

/* What a signed token says; NULL where it is none. It is the broker that checks it. */
static json_t *claims_of(const char *token)
{
    struct weir_sv rest = weir_sv_of(token);
    (void)weir_sv_cut(&rest, '.');
    struct weir_sv payload = weir_sv_cut(&rest, '.');
    if (payload.p == NULL || rest.p == NULL || payload.n > TOKEN_BYTES_MAX) {
        return NULL;
    }
    WEIR_CLEANUP(weir_freep) unsigned char *text = weir_alloc(payload.n + 1);
    long n = weir_base64url_decode(payload, text, payload.n + 1);
    return n < 0 ? NULL : json_loadb((const char *)text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
}

static bool is_for(const json_t *claims, const char *audience)
{
    const json_t *aud = json_object_get(claims, "aud");
    const json_t *one;
    size_t i;
    if (json_is_string(aud)) {
        return weir_streq(json_string_value(aud), audience);
    }
    json_array_foreach (aud, i, one) {
        if (json_is_string(one) && weir_streq(json_string_value(one), audience)) {
            return true;
        }
    }
    return false;
}

int weir_login_take(struct weir_login *l, const json_t *answer, struct weir_err *err)
{
    static const char *const keys[] = {"access_token", "id_token"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(keys); i++) {
        const char *token = weir_get_text(answer, keys[i]);
        json_t *claims = token == NULL || strlen(token) > TOKEN_BYTES_MAX ? NULL : claims_of(token);
        if (is_for(claims, l->audience) && json_is_integer(json_object_get(claims, "exp"))) {
            int64_t exp_s = weir_get_i64(claims, "exp", 0);
            const char *refresh = weir_get_text(answer, "refresh_token");
            free(l->token);
            l->token = weir_strdup(token);
            l->expires = (struct weir_wall){exp_s < 0 || exp_s > INT64_MAX / WEIR_US_PER_S ? 0 : exp_s * WEIR_US_PER_S};
            if (refresh != NULL) { /* else the old one stays good */
                free(l->refresh_token);
                l->refresh_token = weir_strdup(refresh);
            }
            json_decref(claims);
            return 0;
        }
        json_decref(claims);
    }
    return weir_fail(err, -WEIR_EUNAUTH,
                     "the issuer %s gave no token that is for the audience '%s', which the broker wants: let it give the client '%s' that audience, or set "
                     "'audience' in weir.yaml to one that its tokens have",
                     l->issuer, l->audience, l->client_id);
}

static bool is_good(const struct weir_login *l)
{
    return l->expires.us > weir_wall_add(weir_clock_wall(&weir_clock_os), weir_dur_s(RENEW_BEFORE_S)).us;
}

static int refresh(struct weir_login *l, struct weir_http_session *s, struct weir_err *err)
{
    struct weir_str form = WEIR_STR_INIT(4 * TOKEN_BYTES_MAX);
    json_t *answer = NULL;
    int status = 0;
    weir_query_add(&form, "grant_type", "refresh_token");
    weir_query_add(&form, "refresh_token", l->refresh_token);
    weir_query_add(&form, "client_id", l->client_id);
    int r = weir_login_call(s, l->token_endpoint, weir_str_cstr(&form) + 1, l->ca_file, &answer, &status, err);
    weir_str_release(&form);
    if (r == 0 && status != 200) {
        const char *why = weir_get_text(answer, "error");
        r = weir_fail(err, -WEIR_EUNAUTH, "the login at %s has ended (%.60s): run 'weir login' again", l->issuer, why == NULL ? "no reason given" : why);
    }
    r = r < 0 ? r : weir_login_take(l, answer, err);
    json_decref(answer);
    return r;
}

int weir_login_renew(const char *broker, struct weir_login *l, struct weir_http_session *s, struct weir_err *err)
{
    if (is_good(l)) {
        return 0;
    }
    if (l->refresh_token == NULL) {
        bool is_over = l->expires.us <= weir_clock_wall(&weir_clock_os).us;
        return is_over ? weir_fail(err, -WEIR_EUNAUTH, "the login at %s has ended: run 'weir login' again", l->issuer) : 0;
    }
    int WEIR_CLEANUP(weir_closep) lock = lock_file(err);
    if (lock < 0) {
        return -WEIR_EIO;
    }
    struct weir_login now = {0};
    int r = read_login(broker, &now, err); /* another command may have fetched it meanwhile */
    if (r > 0) {
        weir_login_release(l);
        *l = now;
    }
    if (r < 0 || is_good(l)) {
        return r < 0 ? r : 0;
    }
    r = refresh(l, s, err);
    return r < 0 ? r : write_login(broker, l, NULL, err);
}

/* ---- its end ---- */

int weir_login_discover(const struct weir_login *l, struct weir_http_session *s, json_t **ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str url = WEIR_STR_INIT(URL_BYTES_MAX);
    int status = 0;
    size_t n = strlen(l->issuer);
    weir_str_addf(&url, "%s%s.well-known/openid-configuration", l->issuer, n > 0 && l->issuer[n - 1] == '/' ? "" : "/");
    int r = weir_login_call(s, weir_str_cstr(&url), NULL, l->ca_file, ret, &status, err);
    const char *says = r < 0 ? NULL : weir_get_text(*ret, "issuer");
    if (r == 0 && (status != 200 || says == NULL || !weir_streq(says, l->issuer))) {
        json_decref(*ret);
        *ret = NULL;
        r = weir_fail(err, -WEIR_EUNAUTH, "%s does not describe the issuer %s (status %d)", weir_str_cstr(&url), l->issuer, status);
    }
    return r;
}

static int revoke_one(const struct weir_login *l, struct weir_http_session *s, const char *endpoint, const char *token, const char *hint, int *ret_status,
                      struct weir_err *err)
{
    struct weir_str form = WEIR_STR_INIT(4 * TOKEN_BYTES_MAX);
    weir_query_add(&form, "token", token);
    weir_query_add(&form, "token_type_hint", hint);
    weir_query_add(&form, "client_id", l->client_id);
    int r = weir_login_call(s, endpoint, weir_str_cstr(&form) + 1, l->ca_file, NULL, ret_status, err);
    weir_str_release(&form);
    return r;
}

int weir_login_revoke(const struct weir_login *l, struct weir_http_session *s, struct weir_err *err)
{
    json_t *discovery = NULL;
    int status = 200;
    int r = weir_login_discover(l, s, &discovery, err);
    const char *endpoint = r < 0 ? NULL : weir_get_text(discovery, "revocation_endpoint");
    if (r == 0 && endpoint == NULL) {
        r = weir_fail(err, -WEIR_EUNSUPPORTED, "the issuer %s has no revocation (RFC 7009)", l->issuer);
    }
    if (r == 0 && l->refresh_token != NULL) {
        r = revoke_one(l, s, endpoint, l->refresh_token, "refresh_token", &status, err);
    }
    if (r == 0 && status == 200) {
        r = revoke_one(l, s, endpoint, l->token, "access_token", &status, err);
        /* one that only signs needs no revocation, and some issuers know none of those; what counts then is that the other is gone */
        status = l->refresh_token != NULL ? 200 : status;
    }
    if (r == 0 && status != 200) {
        r = weir_fail(err, -WEIR_EUNAUTH, "the issuer %s refuses to revoke (status %d)", l->issuer, status);
    }
    json_decref(discovery);
    return r;
}
