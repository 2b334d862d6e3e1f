/* SPDX-License-Identifier: Apache-2.0 */
/* Every route of the table: who may, what comes back, and what bad input gets. */

#include "api_fixture.h"
#include "route_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

/* ---- does a reply have the shape that the table says? ---- */

static bool check_object(const struct api_schema *s, const json_t *v, char *why, size_t size);

static bool check_all(const json_t *list, enum api_type type, const char *ref, char *why, size_t size)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        bool ok = type == API_REF      ? check_object(api_schema_find(ref), v, why, size)
                  : type == API_STRING ? json_is_string(v)
                                       : json_is_integer(v);
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool check_word(const struct api_field *f, const json_t *v)
{
    if (f->word == NULL || json_is_null(v)) {
        return true;
    }
    for (unsigned i = 0; i < f->words; i++) {
        if (weir_streq(f->word(i), json_string_value(v))) {
            return true;
        }
    }
    return false;
}

static bool check_object(const struct api_schema *s, const json_t *v, char *why, size_t size)
{
    struct weir_err err = {{0}};
    if (!json_is_object(v) || api_schema_check(s, v, &err) < 0) {
        (void)snprintf(why, size, "%.40s: %.400s", s->name, err.text);
        return false;
    }
    for (const struct api_field *f = s->field; f->name != NULL; f++) {
        const json_t *child = json_object_get(v, f->name);
        bool ok = true;
        (void)snprintf(why, size, "%s.%s", s->name, f->name);
        if (child == NULL || json_is_null(child)) {
            continue;
        }
        if (f->type == API_REF) {
            ok = check_object(api_schema_find(f->ref), child, why, size);
        } else if (f->type == API_LIST) {
            ok = check_all(child, API_REF, f->ref, why, size);
        } else if (f->type == API_STRINGS || f->type == API_UINTS) {
            ok = check_all(child, f->type == API_STRINGS ? API_STRING : API_UINT, NULL, why, size);
        } else {
            ok = check_word(f, child);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool check_reply(const struct api_route *r, const struct weir_http_reply *reply, char *why, size_t size)
{
    json_t *v = json_loadb(reply->body.p, reply->body.n, JSON_REJECT_DUPLICATES, NULL);
    bool ok;
    if (strchr(r->reply, '/') != NULL) {
        ok = strncmp(reply->content_type, r->reply, strlen(r->reply)) == 0;
    } else if (r->is_list) {
        const json_t *next = json_object_get(v, "next");
        ok = json_is_array(json_object_get(v, "items")) && (json_is_null(next) || json_is_string(next)) &&
             json_object_size(v) == 2 && check_all(json_object_get(v, "items"), API_REF, r->reply, why, size);
    } else {
        ok = check_object(api_schema_find(r->reply), v, why, size);
    }
    json_decref(v);
    return ok;
}

/* ---- roles x routes ---- */

static void every_route_serves_its_roles_and_refuses_others(void **state)
{
    struct fixture *f = *state;
    for (const struct api_route *r = api_routes; r->method != NULL; r++) {
        for (size_t i = 0; i < ROUTE_ROLES; i++) {
            char path[256];
            char why[512] = "";
            char token[32];
            struct weir_http_reply reply;
            const char *body = route_body(r);
            const char *type = body == NULL ? NULL : strchr(r->body, '/') != NULL ? r->body : "application/json";
            (void)snprintf(token, sizeof token, "%s-token", route_roles[i]);
            int status = fixture_call(f, r->method, route_path(r, "12", "vision", path, sizeof path), token, type, weir_sv_of(body), &reply);
            int want = route_may(r, i) == ROUTE_MAY_NOT ? 403 : r->status;
            if (status != want || (status < 300 && !check_reply(r, &reply, why, sizeof why))) {
                fail_msg("%s %s as %s: %d, not %d: %s %.400s", r->method, path, route_roles[i], status, want, why, reply.body.p);
            }
            if (status >= 300) {
                assert_non_null(strstr(reply.body.p, "{\"error\":{\"code\":\""));
            }
        }
    }
}

/* The same user needs no token and is an admin; a token that is not known is nobody. */
static void who_shows_no_known_token_is_the_same_user_or_nobody(void **state)
{
    struct fixture *f = *state;
    for (const struct api_route *r = api_routes; r->method != NULL; r++) {
        char path[256];
        struct weir_http_reply reply;
        const char *body = route_body(r);
        const char *type = body == NULL ? NULL : strchr(r->body, '/') != NULL ? r->body : "application/json";
        (void)route_path(r, "12", "vision", path, sizeof path);
        assert_int_equal(fixture_call(f, r->method, path, NULL, type, weir_sv_of(body), &reply), r->status);
        assert_int_equal(fixture_call(f, r->method, path, "wrong-token", type, weir_sv_of(body), &reply), r->role == API_ROLE_NONE ? 200 : 401);
    }
}

static void a_failing_store_is_a_clear_error_everywhere(void **state)
{
    struct fixture *f = *state;
    f->store.broken = true;
    for (const struct api_route *r = api_routes; r->method != NULL; r++) {
        char path[256];
        struct weir_http_reply reply;
        const char *body = route_body(r);
        const char *type = body == NULL ? NULL : strchr(r->body, '/') != NULL ? r->body : "application/json";
        int status = fixture_call(f, r->method, route_path(r, "12", "vision", path, sizeof path), NULL, type, weir_sv_of(body), &reply);
        if (status != r->status && (status != 500 || strstr(reply.body.p, "the disk does not answer") == NULL)) {
            fail_msg("%s %s: %d %.300s", r->method, path, status, reply.body.p);
        }
    }
    f->store.broken = false;
}

/* ---- bad input ---- */

static void bad_requests_are_refused_with_the_place(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *method;
        const char *path;
        const char *type;
        const char *body;
        int status;
        const char *text;
    } rows[] = {
        {"GET", "/v1/nothing", NULL, NULL, 404, "there is no '/v1/nothing'"},
        {"GET", "/", NULL, NULL, 404, "openapi.json"},
        {"DELETE", "/v1/jobs", NULL, NULL, 405, "takes POST, GET, not DELETE"},
        {"POST", "/v1/health", NULL, NULL, 405, "takes GET"},
        {"GET", "/v1/jobs?stat=x", NULL, NULL, 400, "did you mean 'state'?"},
        {"GET", "/v1/jobs?limit=0", NULL, NULL, 400, "limit"},
        {"GET", "/v1/jobs?limit=1001", NULL, NULL, 400, "limit"},
        {"GET", "/v1/jobs?limit=", NULL, NULL, 400, "limit"},
        {"GET", "/v1/jobs?limit=1&limit=2", NULL, NULL, 400, "given twice"},
        {"GET", "/v1/jobs?state=waitin", NULL, NULL, 400, "did you mean 'waiting'?"},
        {"GET", "/v1/jobs?name=%ff%fe", NULL, NULL, 400, "not UTF-8"},
        {"GET", "/v1/jobs?cursor=99999999999999999999", NULL, NULL, 400, "cursor"},
        {"GET", "/v1/jobs/abc", NULL, NULL, 400, "job 'abc'"},
        {"GET", "/v1/jobs/0", NULL, NULL, 400, "job '0'"},
        {"GET", "/v1/jobs/99", NULL, NULL, 404, "job 99 does not exist"},
        {"GET", "/v1/jobs/99/tasks", NULL, NULL, 404, "job 99 does not exist"},
        {"GET", "/v1/jobs/12/tasks?index=100", NULL, NULL, 404, "job 12 has no task with index 100"},
        {"GET", "/v1/jobs/99/wait", NULL, NULL, 404, "job 99 does not exist"},
        {"GET", "/v1/jobs/99/explain", NULL, NULL, 404, "job 99 does not exist"},
        {"GET", "/v1/jobs/99/log", NULL, NULL, 404, "job 99 does not exist"},
        {"POST", "/v1/jobs/99/cancel", NULL, NULL, 404, "job 99 does not exist"},
        {"POST", "/v1/jobs/13/cancel", NULL, NULL, 409, "job 13 has ended already"},
        {"POST", "/v1/jobs/12/cancel?task=1", NULL, NULL, 409, "task 12_1 has ended already: it failed"},
        {"POST", "/v1/jobs/12/cancel?task=100", NULL, NULL, 404, "job 12 has no task with index 100"},
        {"POST", "/v1/jobs", "application/json", "{\"run\": \"true\", \"deadline\": \"2020-01-01\"}", 400,
         "deadline 2020-01-01T00:00:00Z has passed already"},
        {"GET", "/v1/jobs/12/wait?timeout_s=61", NULL, NULL, 400, "timeout_s"},
        {"GET", "/v1/jobs/12/log", NULL, NULL, 400, "is an array of 100 tasks"},
        {"GET", "/v1/jobs/12/log?task=100", NULL, NULL, 404, "no task with index 100"},
        {"GET", "/v1/jobs/13/log?task=1", NULL, NULL, 404, "no array"},
        {"GET", "/v1/jobs/13/log?attempt=2", NULL, NULL, 404, "attempts"},
        {"GET", "/v1/jobs/12/log?task=0&follow=maybe", NULL, NULL, 400, "neither true nor false"},
        {"GET", "/v1/jobs/12/explain?task=1000", NULL, NULL, 404, "no task with index 1000"},
        {"POST", "/v1/nodes/77/drain", NULL, NULL, 404, "77 is not known"},
        {"POST", "/v1/leases/77/end", NULL, NULL, 404, "77 is not known"},
        {"GET", "/v1/projects/nobody", NULL, NULL, 404, "project 'nobody'"},
        {"GET", "/v1/bill?by=projct", NULL, NULL, 400, "did you mean 'project'?"},
        {"GET", "/v1/bill?by=tag:", NULL, NULL, 400, "none of project"},
        {"GET", "/v1/bill?by=user,user", NULL, NULL, 400, "twice"},
        {"GET", "/v1/bill?by=user,pool,job,node,day", NULL, NULL, 400, "at most 4"},
        {"GET", "/v1/bill?from=yesterday", NULL, NULL, 400, "from"},
        {"GET", "/v1/bill?from=2026-11-02&to=2026-11-01", NULL, NULL, 400, "to is not after from"},
        {"GET", "/v1/bill?from=2999-01-01", NULL, NULL, 400, "from 2999-01-01T00:00:00Z is in the future"},
        {"GET", "/v1/offers?gpus=A1000:8", NULL, NULL, 400, "gpus"},
        {"GET", "/v1/offers?gpus=,", NULL, NULL, 400, "gpus"},
        {"GET", "/v1/offers?cloud=nosuchcloud", NULL, NULL, 400, "cloud 'nosuchcloud' is not known"},
        {"POST", "/v1/jobs", "text/plain", "{}", 415, "application/json"},
        {"POST", "/v1/jobs", "application/json", "", 400, "not JSON"},
        {"POST", "/v1/jobs", "application/json", "[]", 400, "must be a JSON object"},
        {"POST", "/v1/jobs", "application/json", "{\"name\":", 400, "line 1"},
        {"POST", "/v1/jobs", "application/json", "{\"name\":\"a\",\"name\":\"b\"}", 400, "duplicate"},
        {"POST", "/v1/jobs", "application/json", "{\"name\":\"\xff\xfe\"}", 400, "not JSON"},
        {"POST", "/v1/jobs", "application/json", "{\"nmae\":\"a\",\"run\":\"true\"}", 400, "name"},
        {"POST", "/v1/jobs", "application/json", "{\"run\":\"true\",\"priority\":\"high\"}", 400, "priority"},
        {"POST", "/v1/jobs?dry_run=yes", "application/json", "{\"run\":\"true\"}", 400, "dry_run"},
        {"POST", "/v1/jobs", "application/json", "{\"name\":\"impossible\",\"run\":\"true\"}", 422, "nearest possible"},
        {"POST", "/v1/jobs/12/cancel", "application/json", "{\"a\":1}", 400, "takes no body"},
        {"PUT", "/v1/projects/a", "application/json", "{\"wieght\":1}", 400, "did you mean 'weight'?"},
        {"PUT", "/v1/projects/a", "application/json", "{\"weight\":0}", 400, "weight must be"},
        {"PUT", "/v1/projects/a", "application/json", "{\"weight\":\"1\"}", 400, "wrong type"},
        {"PUT", "/v1/projects/a", "application/json", "{\"delay_cost\":\"-1\"}", 400, "delay_cost"},
        {"PUT", "/v1/projects/a", "application/json", "{\"delay_cost\":\"1\",\"delay_cost_micro_per_hour\":1}", 400,
         "not both"},
        {"POST", "/v1/sandbox/fault", "application/json", "{}", 400, "'what' is missing"},
        {"POST", "/v1/sandbox/fault", "application/json", "{\"what\":\"bad\"}", 400, "not known"},
        {"POST", "/v1/agent/join", "application/json", "7", 400, "JSON"},
        {"POST", "/v1/agent/log?node=1", "application/octet-stream", "x", 400, "'session' is missing"},
        {"POST", "/v1/agent/log?node=2&session=s1&job=1&ordinal=0&attempt=1&offset=0", "application/octet-stream", "x",
         409, "join again"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_http_reply reply;
        int status =
            fixture_call(f, rows[i].method, rows[i].path, NULL, rows[i].type, weir_sv_of(rows[i].body), &reply);
        if (status != rows[i].status || strstr(reply.body.p, rows[i].text) == NULL) {
            fail_msg("%s %s %s: %d %s", rows[i].method, rows[i].path, rows[i].body == NULL ? "" : rows[i].body, status,
                     reply.body.p);
        }
    }
}

static void the_agents_program_comes_whole_with_its_sum(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    assert_int_equal(fixture_call(f, "GET", "/v1/agent/program?arch=x86_64", "agent-token", NULL, WEIR_SV(""), &reply), 200);
    assert_true(weir_sv_eq(reply.body, WEIR_SV("a program")));
    assert_int_equal(fixture_call(f, "GET", "/v1/agent/program/sum?arch=x86_64", "agent-token", NULL, WEIR_SV(""), &reply), 200);
    assert_non_null(strstr(reply.body.p, "\"bytes\":9,"));
    assert_non_null(strstr(reply.body.p, "\"sha256\":\"d69ea8cda2433733c1ce02de65da8f48e6a3dbba6bb18876a2062908e54ef7cb\""));
    assert_int_equal(fixture_call(f, "GET", "/v1/agent/program?arch=vax", "agent-token", NULL, WEIR_SV(""), &reply), 404);
    assert_int_equal(fixture_call(f, "GET", "/v1/agent/program", "agent-token", NULL, WEIR_SV(""), &reply), 400);
}

static void huge_and_deep_bodies_are_refused(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    size_t n = WEIR_SPEC_BYTES_MAX + 1;
    char *p = malloc(n);
    memset(p, '[', n);
    assert_int_equal(fixture_call(f, "POST", "/v1/jobs", NULL, "application/json", (struct weir_sv){p, n}, &reply),
                     413);
    assert_int_equal(fixture_call(f, "POST", "/v1/jobs", NULL, "application/json", (struct weir_sv){p, n - 1}, &reply),
                     400);
    assert_non_null(strstr(reply.body.p, "nested deeper"));
    assert_int_equal(
        fixture_call(f, "POST", "/v1/agent/report", NULL, "application/json", (struct weir_sv){p, 100}, &reply), 400);
    free(p);
}

static void foreign_web_pages_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *headers;
        const char *status;
    } rows[] = {
        {"Host: 127.0.0.1:7070\r\n", "200"},
        {"Host: localhost\r\n", "200"},
        {"Host: [::1]:7070\r\n", "200"},
        {"Host: evil.example:7070\r\n", "403"},
        {"Host: evil.example:7070\r\nAuthorization: Bearer viewer-token\r\n", "200"},
        {"Host: 127.0.0.1:7070\r\nOrigin: http://127.0.0.1:7070\r\n", "200"},
        {"Host: 127.0.0.1:7070\r\nOrigin: https://evil.example\r\n", "403"},
        {"Host: 127.0.0.1:7070\r\nOrigin: null\r\n", "403"},
        {"Host: 127.0.0.1:7070\r\nAuthorization: Basic YTpi\r\n", "401"},
        {"Host: 127.0.0.1:7070\r\nAuthorization: Bearer \r\n", "401"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char text[512];
        char answer[4096];
        char want[32];
        (void)snprintf(text, sizeof text, "GET /v1/version HTTP/1.1\r\n%sConnection: close\r\n\r\n", rows[i].headers);
        (void)snprintf(want, sizeof want, "HTTP/1.1 %s ", rows[i].status);
        int fd = fixture_connect(f);
        fixture_send(fd, text);
        if (!fixture_read_until(fd, answer, sizeof answer, want)) {
            fail_msg("%s: %s", rows[i].headers, answer);
        }
        (void)close(fd);
    }
}

/* ---- what commands carry ---- */

static void a_submission_carries_user_tags_and_canonical_form(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    const char *body = "{\"run\":\"true\",\"name\":\"t\",\"tags\":{\"b\":\"2\",\"a\":\"1\"},\"array\":\"0-9%2\"}";
    assert_int_equal(
        fixture_call(f, "POST", "/v1/jobs", "admin-token", "application/json; charset=utf-8", weir_sv_of(body), &reply),
        201);
    assert_non_null(strstr(reply.body.p, "\"name\":\"t\",\"tasks\":10,\"state\":\"waiting\",\"warnings\":["));
    assert_string_equal(f->service.user, "admin-user");
    assert_non_null(strstr(f->service.tags_json, "\"a\":\"1\""));
    assert_non_null(strstr(f->service.spec_json, "\"array\":\"0-9%2\""));
    json_t *spec = json_loads(f->service.spec_json, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(spec);
    json_decref(spec);
    assert_int_equal(fixture_post(f, "/v1/jobs", "{\"run\":\"true\"}", &reply), 201);
    assert_string_equal(f->service.user, "ada");
}

static void a_dry_run_says_what_would_be(void **state)
{
    struct fixture *f = *state;
    char why[512] = "";
    struct weir_http_reply reply;
    assert_int_equal(fixture_post(f, "/v1/jobs?dry_run=true", "{\"run\":\"true\"}", &reply), 200);
    json_t *v = json_loadb(reply.body.p, reply.body.n, 0, NULL);
    if (!check_object(api_schema_find("DryRun"), v, why, sizeof why)) {
        fail_msg("%s: %s", why, reply.body.p);
    }
    json_decref(v);
    assert_non_null(strstr(reply.body.p, "\"text\":\"The task waits for host1 (owned)"));
}

static void settings_reach_the_service_exactly(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    assert_int_equal(fixture_call(f, "PUT", "/v1/projects/vision", NULL, "application/json",
                                  WEIR_SV("{\"delay_cost\":\"0.25\"}"), &reply),
                     200);
    assert_int_equal(f->service.number, 250000);
    assert_int_equal((int64_t)f->service.id, -1);
    assert_int_equal(fixture_post(f, "/v1/jobs/12/cancel?task=7", NULL, &reply), 200);
    assert_int_equal(f->service.id, 7);
    assert_int_equal(fixture_get(f, "/v1/jobs/12/wait?timeout_s=3", &reply), 200);
    assert_int_equal(f->service.number, 3000000);
    assert_int_equal(
        fixture_call(f, "POST", "/v1/agent/sync", "agent-token", "application/json", WEIR_SV("{\"node\":5}"), &reply),
        200);
    assert_string_equal(reply.body.p, "{\"node\":5,\"lease\":3,\"has_peer\":true}");
}

static int start(void **state)
{
    struct fixture *f = malloc(sizeof *f);
    fixture_start(f);
    *state = f;
    return 0;
}

static int stop(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_serves_its_roles_and_refuses_others),
        cmocka_unit_test(who_shows_no_known_token_is_the_same_user_or_nobody),
        cmocka_unit_test(a_failing_store_is_a_clear_error_everywhere),
        cmocka_unit_test(bad_requests_are_refused_with_the_place),
        cmocka_unit_test(the_agents_program_comes_whole_with_its_sum),
        cmocka_unit_test(huge_and_deep_bodies_are_refused),
        cmocka_unit_test(foreign_web_pages_are_refused),
        cmocka_unit_test(a_submission_carries_user_tags_and_canonical_form),
        cmocka_unit_test(a_dry_run_says_what_would_be),
        cmocka_unit_test(settings_reach_the_service_exactly),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
