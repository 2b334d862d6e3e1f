/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to its handler: route, who may, parameters, body. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/jwt.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/parse.h"

/* ---- parameters ---- */

const struct api_value *api_param(const struct api_request *rq, const char *name)
{
    for (size_t i = 0; rq->route->param[i].name != NULL; i++) {
        if (weir_streq(rq->route->param[i].name, name)) {
            return &rq->value[i];
        }
    }
    WEIR_ASSERT(false);
    return NULL;
}

uint64_t api_number(const struct api_request *rq, const char *name, uint64_t fallback)
{
    const struct api_value *v = api_param(rq, name);
    return v->is_given ? v->number : fallback;
}

bool api_flag(const struct api_request *rq, const char *name)
{
    return api_param(rq, name)->flag;
}

const char *api_text(const struct api_request *rq, const char *name)
{
    return api_param(rq, name)->text;
}

static int parse_words(const struct api_param *p, struct weir_sv text, uint64_t *ret, struct weir_err *err)
{
    const char *words[65] = {NULL};
    uint64_t mask = 0;
    for (unsigned i = 0; i < p->words && i < 64; i++) {
        words[i] = p->word(i);
    }
    while (text.p != NULL) {
        struct weir_sv word = weir_sv_trim(weir_sv_cut(&text, ','));
        unsigned i = 0;
        while (i < p->words && !weir_sv_eq(word, weir_sv_of(words[i]))) {
            i++;
        }
        if (i == p->words) {
            const char *near = weir_nearest(word, words);
            struct weir_str all = WEIR_STR_INIT(256);
            for (unsigned k = 0; k < p->words; k++) {
                weir_str_addf(&all, "%s%s", k == 0 ? "" : ", ", words[k]);
            }
            int rc = near == NULL
                         ? weir_fail(err, -WEIR_EINVAL, "'%.*s' is none of %s", WEIR_SV_ARG(word), weir_str_cstr(&all))
                         : weir_fail(err, -WEIR_EINVAL, "'%.*s' is none of %s; did you mean '%s'?", WEIR_SV_ARG(word),
                                     weir_str_cstr(&all), near);
            weir_str_release(&all);
            return rc;
        }
        mask |= UINT64_C(1) << i;
    }
    *ret = mask;
    return 0;
}

static int parse_value(const struct api_param *p, const char *text, struct api_value *ret, struct weir_err *err)
{
    struct weir_sv sv = weir_sv_of(text);
    ret->text = text;
    ret->is_given = true;
    switch (p->type) {
    case API_PARAM_UINT:
        return weir_parse_u64(sv, p->min, p->max, &ret->number, err);
    case API_PARAM_BOOL:
        if (!weir_streq(text, "true") && !weir_streq(text, "false")) {
            return weir_fail(err, -WEIR_EINVAL, "'%.64s' is neither true nor false", text);
        }
        ret->flag = text[0] == 't';
        return 0;
    case API_PARAM_TIME: {
        int rc = weir_parse_time(sv, &ret->time, err);
        return rc == 0 && ret->time.us < 0 ? weir_fail(err, -WEIR_EINVAL, "times before 1970 are not known here") : rc;
    }
    case API_PARAM_WORDS:
        return parse_words(p, sv, &ret->number, err);
    case API_PARAM_TEXT:
        if (sv.n < p->min || sv.n > p->max) {
            return p->min == p->max ? weir_fail(err, -WEIR_EINVAL, "must have %d bytes", (int)p->min)
                                    : weir_fail(err, -WEIR_EINVAL, "must have %d to %d bytes", (int)p->min, (int)p->max);
        }
        return weir_utf8_is_text(sv) ? 0 : weir_fail(err, -WEIR_EINVAL, "is not UTF-8 text");
    }
    return 0;
}

struct query_scan {
    struct api_request *rq;
    int rc;
};

static void unknown_key(struct api_request *rq, const char *key)
{
    const char *names[API_PARAMS_MAX + 1] = {NULL};
    for (size_t i = 0; rq->route->param[i].name != NULL; i++) {
        names[i] = rq->route->param[i].name;
    }
    const char *near = weir_nearest(weir_sv_of(key), names);
    if (near != NULL) {
        (void)weir_fail(&rq->err, -WEIR_EINVAL, "unknown query parameter '%.64s'; did you mean '%s'?", key, near);
    } else {
        (void)weir_fail(&rq->err, -WEIR_EINVAL, "unknown query parameter '%.64s'", key);
    }
}

static void on_query(void *ctx, const char *key, const char *value)
{
    struct query_scan *scan = ctx;
    struct api_request *rq = scan->rq;
    if (scan->rc < 0) {
        return;
    }
    for (size_t i = 0; rq->route->param[i].name != NULL; i++) {
        const struct api_param *p = &rq->route->param[i];
        if (!weir_streq(p->name, key)) {
            continue;
        }
        if (rq->value[i].is_given) {
            scan->rc = weir_fail(&rq->err, -WEIR_EINVAL, "query parameter '%s' is given twice", key);
            return;
        }
        scan->rc = parse_value(p, value == NULL ? "" : value, &rq->value[i], &rq->err);
        if (scan->rc < 0) {
            (void)weir_fail_prefix(&rq->err, scan->rc, "query parameter '%s'", key);
        }
        return;
    }
    scan->rc = -WEIR_EINVAL;
    unknown_key(rq, key);
}

static int check_query(struct api_request *rq)
{
    struct query_scan scan = {.rq = rq};
    weir_request_each_query(rq->http, on_query, &scan);
    for (size_t i = 0; scan.rc == 0 && rq->route->param[i].name != NULL; i++) {
        if (rq->route->param[i].is_required && !rq->value[i].is_given) {
            scan.rc = weir_fail(&rq->err, -WEIR_EINVAL, "query parameter '%s' is missing", rq->route->param[i].name);
        }
    }
    return scan.rc;
}

/* ---- route ---- */

/* Does path have the form of the template? Its variable pieces are copied out. */
static bool match(const char *template, const char *path, char text[][API_PATH_VALUE_SIZE])
{
    unsigned n = 0;
    while (*template != '\0') {
        if (*template != '{') {
            if (*template ++ != *path++) {
                return false;
            }
            continue;
        }
        size_t len = strcspn(path, "/");
        if (len == 0 || len >= API_PATH_VALUE_SIZE || n == API_PATH_VALUES_MAX) {
            return false;
        }
        memcpy(text[n], path, len);
        text[n++][len] = '\0';
        path += len;
        template += strcspn(template, "}") + 1;
    }
    return *path == '\0';
}

static int check_path(struct api_request *rq)
{
    for (size_t i = 0; rq->route->path_param[i].name != NULL; i++) {
        const struct api_param *p = &rq->route->path_param[i];
        int rc = parse_value(p, rq->path_text[i], &rq->path[i], &rq->err);
        if (rc < 0) {
            return weir_fail_prefix(&rq->err, rc, "%s '%.64s'", p->name, rq->path_text[i]);
        }
    }
    return 0;
}

/* Finds the route; where only the method is wrong, answers 405 and says what is allowed. */
static const struct api_route *find_route(struct weir_http_request *r, char text[][API_PATH_VALUE_SIZE])
{
    const char *path = weir_request_path(r);
    const char *method = weir_request_method(r);
    struct weir_str allow = WEIR_STR_INIT(128);
    for (const struct api_route *route = api_routes; route->method != NULL; route++) {
        if (!match(route->path, path, text)) {
            continue;
        }
        if (weir_streq(route->method, method)) {
            weir_str_release(&allow);
            return route;
        }
        weir_str_addf(&allow, "%s%s", allow.n == 0 ? "" : ", ", route->method);
    }
    char message[256];
    if (allow.n == 0) {
        (void)snprintf(message, sizeof message, "there is no '%.160s' here; GET /v1/openapi.json lists what is", path);
        api_fail_status(r, 404, "notfound", message, NULL, 0);
    } else {
        (void)snprintf(message, sizeof message, "'%.100s' takes %s, not %.20s", path, weir_str_cstr(&allow), method);
        struct weir_http_header header = {"Allow", weir_str_cstr(&allow)};
        api_fail_status(r, 405, "method", message, &header, 1);
    }
    weir_str_release(&allow);
    return NULL;
}

/* ---- who may ---- */

static bool is_address(struct weir_sv host)
{
    bool dots = true;
    for (size_t i = 0; i < host.n; i++) {
        if (host.p[i] == ':') {
            return true;
        }
        dots = dots && (host.p[i] == '.' || (host.p[i] >= '0' && host.p[i] <= '9'));
    }
    return dots && host.n > 0;
}

/* The host of a Host header, without port and brackets. */
static struct weir_sv host_part(const char *header)
{
    struct weir_sv s = weir_sv_of(header);
    if (s.n > 0 && s.p[0] == '[') {
        size_t end = 1;
        while (end < s.n && s.p[end] != ']') {
            end++;
        }
        return (struct weir_sv){s.p + 1, end - 1};
    }
    return weir_sv_cut(&s, ':');
}

/*
 * A web page must not drive a local broker: not from another origin, and not by a name of its own that
 * resolves to this host (DNS rebinding). A browser does not add a bearer token by itself, so who shows one may
 * use any name.
 */
static int check_origin(struct api_request *rq, bool has_token)
{
    const char *host = weir_request_header(rq->http, "Host");
    const char *origin = weir_request_header(rq->http, "Origin");
    if (origin != NULL) {
        struct weir_sv o = weir_sv_of(origin);
        struct weir_sv scheme = weir_sv_starts(o, WEIR_SV("https://")) ? WEIR_SV("https://") : WEIR_SV("http://");
        bool own = host != NULL && weir_sv_starts(o, scheme) &&
                   weir_sv_eq((struct weir_sv){o.p + scheme.n, o.n - scheme.n}, weir_sv_of(host));
        if (!own) {
            return weir_fail(&rq->err, -WEIR_EDENIED, "requests from the web origin '%.100s' are refused", origin);
        }
    }
    if (host == NULL || has_token) {
        return 0;
    }
    struct weir_sv name = host_part(host);
    if (is_address(name) || weir_sv_eq_nocase(name, WEIR_SV("localhost")) ||
        weir_sv_eq_nocase(name, weir_sv_of(rq->api->listen_host))) {
        return 0;
    }
    return weir_fail(&rq->err, -WEIR_EDENIED,
                     "the Host header '%.100s' does not name this broker; use its address, or a token", host);
}

static void fail_who(struct weir_http_request *http, int rc, struct weir_err *err)
{
    /* on a connection that was made with a certificate the next would be shown the same one */
    static const struct weir_http_header header[] = {{"WWW-Authenticate", "Bearer"}, {"Connection", "close"}};
    if (rc == -WEIR_EUNAUTH) {
        api_fail_status(http, 401, weir_error_name(rc), err->text, header, 2);
    } else {
        api_fail(http, rc, err);
    }
}

static void login_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        fail_who(call->http, cmd->code, &cmd->err);
    } else {
        weir_request_again(call->http);
    }
    api_call_free(call);
}

/* Who asks is not known yet: the request waits for that, and comes again. */
static int log_in(struct api_request *rq, struct weir_login *login)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_LOGIN);
    call->cmd.u.login.login = login;
    call->data = login;
    if (weir_request_agains(rq->http) >= API_LOGINS_MAX) { /* the keys that were fetched did not help, or were gone at once */
        api_call_free(call);
        return weir_fail(&rq->err, -WEIR_EUNAVAIL, "too many people log in at this moment: ask again");
    }
    call->cmd.done = login_done;
    api_call_post(call);
    return 0;
}

/* *ret_later: it will be called again. */
static int identify(struct api_request *rq, const char *authorization, bool *ret_later)
{
    struct weir_service *s = rq->api->conf.service;
    if (authorization != NULL) {
        struct weir_sv a = weir_sv_of(authorization);
        if (a.n < 7 || !weir_sv_eq_nocase((struct weir_sv){a.p, 7}, WEIR_SV("Bearer "))) {
            return weir_fail(&rq->err, -WEIR_EUNAUTH, "only 'Authorization: Bearer TOKEN' is understood");
        }
        struct weir_sv token = weir_sv_trim((struct weir_sv){a.p + 7, a.n - 7});
        if (token.n == 0 || token.n > WEIR_JWT_BYTES_MAX) {
            return weir_fail(&rq->err, -WEIR_EUNAUTH, "the bearer token is empty or too long");
        }
        struct weir_login *login = NULL;
        int rc = s->ops->authenticate(s, token, &rq->who, &login, &rq->err);
        *ret_later = login != NULL;
        return login == NULL ? rc : log_in(rq, login);
    }
    char key[WEIR_SHA256_HEX_SIZE];
    int shown = weir_request_certificate(rq->http, key, &rq->err);
    if (shown == 0) {
        return s->ops->authenticate_key(s, key, &rq->who, &rq->err);
    }
    if (shown == -WEIR_EUNAUTH) {
        char why[sizeof rq->err.text];
        (void)snprintf(why, sizeof why, "%s", rq->err.text);
        return weir_fail(&rq->err, -WEIR_EUNAUTH, "%.300s: an agent needs a new join token, which 'weir nodes invite NAME' makes", why);
    }
    if (!rq->api->conf.host_needs_token && weir_request_trust(rq->http) == WEIR_PEER_SAME_USER) {
        (void)snprintf(rq->who.user, sizeof rq->who.user, "%s",
                       rq->api->conf.os_user == NULL ? "root" : rq->api->conf.os_user);
        rq->who.role = WEIR_ROLE_ADMIN;
        return 0;
    }
    return weir_fail(&rq->err, -WEIR_EUNAUTH,
                     "a token is needed: set WEIR_TOKEN, or send 'Authorization: Bearer TOKEN'");
}

static bool refuse(struct api_request *rq, int rc)
{
    fail_who(rq->http, rc, &rq->err);
    atomic_fetch_add_explicit(&rq->api->n_refused, 1, memory_order_relaxed);
    return false;
}

static enum api_reach reach_of(const struct api_route *route, const struct weir_identity *who)
{
    enum api_reach reach = api_access[route->role].reach[who->role];
    if (reach == API_REACH_WHOLE) {
        return who->scope != NULL && who->scope->everywhere != WEIR_ROLE_NONE ? API_REACH_ALL : API_REACH_NO;
    }
    return reach;
}

/* False: answered already, or to be called again. */
static bool check_who(struct api_request *rq)
{
    bool later = false;
    const char *authorization = weir_request_header(rq->http, "Authorization");
    int rc = check_origin(rq, authorization != NULL);
    if (rc < 0) {
        return refuse(rq, rc);
    }
    if (rq->route->role == API_ROLE_NONE) {
        return true;
    }
    rc = identify(rq, authorization, &later);
    if (rc < 0 || later) {
        return rc < 0 ? refuse(rq, rc) : false;
    }
    rq->reach = reach_of(rq->route, &rq->who);
    if (rq->reach == API_REACH_NO) {
        rc = weir_fail(&rq->err, -WEIR_EDENIED, "the role '%s' may not %s %s", weir_role_name(rq->who.role), rq->route->method,
                       rq->route->path);
        return refuse(rq, rc);
    }
    return true;
}

/* ---- whose ---- */

static int on_project_of(void *ctx, const struct weir_job_row *row)
{
    *(struct weir_project_id *)ctx = row->view.project;
    return 0;
}

int api_check_job(struct api_request *rq, struct weir_job_id job)
{
    unsigned which;
    struct weir_project_id project = {0};
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = s->ops->get_job(s, job, on_project_of, &project, &rq->err);
    api_reader_put(rq->api, which);
    enum weir_role role = rc == 0 ? weir_scope_role(rq->who.scope, project) : WEIR_ROLE_NONE;
    if (rc == -WEIR_ENOTFOUND || (rc == 0 && role == WEIR_ROLE_NONE)) {
        return weir_fail(&rq->err, -WEIR_ENOTFOUND, "job %" PRIu64 " does not exist", job.v);
    }
    if (rc == 0 && !weir_role_covers(role, api_access[rq->route->role].needs)) {
        return weir_fail(&rq->err, -WEIR_EDENIED, "a %s of the project may not do this to job %" PRIu64, weir_role_name(role), job.v);
    }
    return rc;
}

static int check_project(struct api_request *rq, const char *name)
{
    enum weir_role role = weir_scope_role_by_name(rq->who.scope, weir_sv_of(name));
    if (role == WEIR_ROLE_NONE) {
        return weir_fail(&rq->err, -WEIR_ENOTFOUND, "project '%s' does not exist", name);
    }
    return weir_role_covers(role, api_access[rq->route->role].needs)
               ? 0
               : weir_fail(&rq->err, -WEIR_EDENIED, "a %s of project '%s' may not do this", weir_role_name(role), name);
}

static int check_of(struct api_request *rq, const struct api_param *p, const struct api_value *v)
{
    if (v->is_given && weir_streq(p->name, "job")) {
        return api_check_job(rq, (struct weir_job_id){v->number});
    }
    return v->is_given && weir_streq(p->name, "project") ? check_project(rq, v->text) : 0;
}

/*
 * Who reaches only their own projects names a job or a project of theirs, in whatever route: so no handler has to think of it. A
 * list is bounded by its handler, with api_within.
 */
static int check_scope(struct api_request *rq)
{
    int rc = 0;
    if (rq->reach != API_REACH_OWN) {
        return 0;
    }
    for (size_t i = 0; rc == 0 && rq->route->path_param[i].name != NULL; i++) {
        rc = check_of(rq, &rq->route->path_param[i], &rq->path[i]);
    }
    for (size_t i = 0; rc == 0 && rq->route->param[i].name != NULL; i++) {
        rc = check_of(rq, &rq->route->param[i], &rq->value[i]);
    }
    return rc;
}

/* ---- body ---- */

static bool is_media_type(const char *header, const char *want)
{
    struct weir_sv s = weir_sv_of(header);
    return weir_sv_eq_nocase(weir_sv_trim(weir_sv_cut(&s, ';')), weir_sv_of(want));
}

/* 0, or answered already. */
static int check_body(struct api_request *rq)
{
    struct weir_sv body = weir_request_body(rq->http);
    const struct api_route *route = rq->route;
    if (route->body == NULL) {
        if (body.n > 0 && !weir_sv_eq(weir_sv_trim(body), WEIR_SV("{}"))) { /* clients that always send JSON */
            int rc = weir_fail(&rq->err, -WEIR_EINVAL, "%s %s takes no body", route->method, route->path);
            api_fail(rq->http, rc, &rq->err);
            return rc;
        }
        return 0;
    }
    const char *want = strchr(route->body, '/') != NULL ? route->body : "application/json";
    const char *type = weir_request_header(rq->http, "Content-Type");
    if (type == NULL || !is_media_type(type, want)) {
        (void)weir_fail(&rq->err, -WEIR_EINVAL, "the body must be sent as %s, not '%.80s'", want,
                        type == NULL ? "" : type);
        api_fail_status(rq->http, 415, "mediatype", rq->err.text, NULL, 0);
        return -WEIR_EINVAL;
    }
    if (body.n > route->body_max) {
        int rc = weir_fail(&rq->err, -WEIR_ELIMIT, "the body has %zu bytes; at most %zu are taken here", body.n,
                           route->body_max);
        api_fail(rq->http, rc, &rq->err);
        return rc;
    }
    return 0;
}

/* Deep nesting is refused before the parser, which recurses, sees it. */
static bool is_too_deep(struct weir_sv text)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > API_JSON_DEPTH_MAX) {
                return true;
            }
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

json_t *api_body(struct api_request *rq)
{
    struct weir_sv body = weir_request_body(rq->http);
    if (is_too_deep(body)) {
        (void)weir_fail(&rq->err, -WEIR_EINVAL, "the body is nested deeper than %d levels", API_JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t e;
    json_t *root = json_loadb(body.n == 0 ? "" : body.p, body.n, JSON_REJECT_DUPLICATES, &e);
    if (root == NULL) {
        (void)weir_fail(&rq->err, -WEIR_EINVAL, "the body is not JSON: line %d, column %d: %s", e.line, e.column,
                        e.text);
        return NULL;
    }
    if (!json_is_object(root)) {
        (void)weir_fail(&rq->err, -WEIR_EINVAL, "the body must be a JSON object");
        json_decref(root);
        return NULL;
    }
    return root;
}

/* ---- dispatch ---- */

static void serve(struct api_request *rq)
{
    if (!check_who(rq)) {
        return;
    }
    int rc = check_path(rq);
    rc = rc < 0 ? rc : check_query(rq);
    rc = rc < 0 ? rc : check_scope(rq);
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
    } else if (check_body(rq) == 0) {
        rq->route->handle(rq);
    }
}

void weir_api_handle(void *api, struct weir_http_request *r)
{
    struct weir_api *a = api;
    struct api_request rq = {.api = a, .http = r};
    rq.err.text[0] = '\0';
    rq.route = find_route(r, rq.path_text);
    if (rq.route == NULL) {
        atomic_fetch_add_explicit(&a->n_refused, 1, memory_order_relaxed);
        return;
    }
    if (weir_request_agains(r) == 0) {
        atomic_fetch_add_explicit(&a->n_requests[rq.route - api_routes], 1, memory_order_relaxed);
    }
    serve(&rq);
    api_who_release(&rq.who);
}
