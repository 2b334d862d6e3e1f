/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two projects with all that can be read of them, in a real store: what somebody gets who is in one of them shows nothing of
 * the other, whatever the route. A mark stands in everything that is a project's own.
 */

#include "api_fixture.h"
#include "route_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define OWN_JOB "12"
#define FOREIGN_JOB "77777"
#define OWN_MARK "ownmark"
#define FOREIGN_MARK "foreignmark"

static struct weir_err err;

static void must(int rc)
{
    if (rc != 0) {
        fail_msg("%s", err.text);
    }
}

/* ---- the store ---- */

struct side {
    uint64_t job;
    uint32_t project;
    const char *mark;
};
static const struct side sides[] = {{12, 1, OWN_MARK}, {77777, 2, FOREIGN_MARK}};

static void put_side(struct weir_store *s, const struct side *x, uint64_t i)
{
    char spec[256];
    char tags[128];
    const struct weir_wall then = {fixture_now.us - 60000000};
    (void)snprintf(spec, sizeof spec, "{\"name\":\"%s\",\"run\":\"echo %s\"}", x->mark, x->mark);
    (void)snprintf(tags, sizeof tags, "{\"team\":\"%s\"}", x->mark);
    struct weir_job_row job = {.view = {.id = {x->job}, .project = {x->project}, .user = {x->project}, .n_tasks = 1, .state = WEIR_JOB_RUNNING,
                                        .count = {0, 0, 1}, .submitted = then, .started = then},
                               .name = x->mark, .tags_json = tags, .spec_json = spec};
    struct weir_task_row task = {.view = {.id = {{x->job}, 0}, .state = WEIR_TASK_RUNNING, .attempt = 1, .node = {1}, .n_nodes = 1, .queued = then,
                                          .started = then},
                                 .text = x->mark};
    struct weir_event_row event = {.id = i, .at = then, .kind = "job.submitted", .job = {x->job}, .ordinal = WEIR_ORDINAL_ALL, .text = x->mark};
    struct weir_posting posting = {.id = i, .at = fixture_now, .from = then, .to = fixture_now, .node = {1}, .pool = {1}, .debit = WEIR_ACCOUNT_JOB,
                                   .credit = WEIR_ACCOUNT_NODE, .amount_micro = 1000, .project = {x->project}, .user = {x->project},
                                   .run = {{{x->job}, 0}, 1}};
    struct weir_lease_row lease = {.view = {.id = {i + 10}, .state = WEIR_LEASE_READY, .offer = {.provider = "sandbox", .gpus = 1}, .task = {{x->job}, 0},
                                            .intent_at = then},
                                   .gpu_model = "A100", .text = ""};
    must(s->ops->put_project(s, &(struct weir_project_row){.view = {.id = {x->project}, .weight = 100}, .name = i == 1 ? "vision" : "speech-" FOREIGN_MARK}, &err));
    must(s->ops->put_user(s, &(struct weir_name_row){x->project, x->mark, "{}"}, &err));
    must(s->ops->put_job(s, &job, &err));
    must(s->ops->put_task(s, &task, &err));
    must(s->ops->put_event(s, &event, &err));
    must(s->ops->put_explain(s, &(struct weir_explain_row){.task = {{x->job}, 0}, .seq = i, .json = tags, .at = then}, &err));
    must(s->ops->put_posting(s, &posting, &err));
    must(s->ops->put_lease(s, &lease, &err));
    must(s->ops->put_access(s, &(struct weir_access_row){x->mark, "user", false, i == 1 ? "{\"vision\":\"user\"}" : "{\"speech-" FOREIGN_MARK "\":\"user\"}"}, &err));
    must(s->ops->put_audit(s, &(struct weir_audit_row){.at = then, .user = x->mark, .action = "job.submit", .object = x->mark}, &err));
    struct weir_token_row token = {.name = x->mark, .role = "", .user = i == 1 ? "user-user" : x->mark, .created_by = "ada"};
    memset(token.hash, i == 1 ? 'a' : 'b', 64);
    must(s->ops->put_token(s, &token, &err));
}

static struct weir_store *make_store(void)
{
    struct weir_store *s = NULL;
    must(weir_store_mem_open(&s, &err));
    must(s->ops->begin(s, &err));
    must(s->ops->put_pool(s, &(struct weir_name_row){1, "local", "{}"}, &err));
    must(s->ops->put_node(s, &(struct weir_node_row){.view = {.spec = {.id = {1}, .pool = {1}, .cpu_milli = 1000}}, .gpu_model = "", .agent_id = "", .name = "host1",
                                                     .address = "", .detail_json = "{}"},
                          &err));
    for (size_t i = 0; i < WEIR_ARRAY_LEN(sides); i++) {
        put_side(s, &sides[i], i + 1);
    }
    must(s->ops->commit(s, &err));
    return s;
}

static void put_log(struct fixture *f, const struct side *x)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%llu", f->log_dir, (unsigned long long)x->job);
    assert_int_equal(mkdir(path, 0700), 0);
    weir_api_log_path(f->log_dir, (struct weir_run_id){{{x->job}, 0}, 1}, path, sizeof path);
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    (void)fprintf(out, "%s\n", x->mark);
    (void)fclose(out);
}

struct both {
    struct fixture f;
    struct weir_store *store;
};

static int start(void **state)
{
    struct both *b = weir_alloc(sizeof *b);
    b->store = make_store();
    fixture_start_with(&b->f, b->store);
    put_log(&b->f, &sides[0]);
    put_log(&b->f, &sides[1]);
    *state = b;
    return 0;
}

static int stop(void **state)
{
    struct both *b = *state;
    char path[256];
    for (size_t i = 0; i < WEIR_ARRAY_LEN(sides); i++) {
        weir_api_log_path(b->f.log_dir, (struct weir_run_id){{{sides[i].job}, 0}, 1}, path, sizeof path);
        (void)unlink(path);
        *strrchr(path, '/') = '\0';
        (void)rmdir(path);
    }
    fixture_stop(&b->f);
    weir_store_close(b->store);
    free(b);
    return 0;
}

/* ---- asking ---- */

static int ask(struct fixture *f, const struct api_route *r, const char *role, const char *path, struct weir_http_reply *reply)
{
    char token[32];
    const char *body = route_body(r);
    const char *type = body == NULL ? NULL : strchr(r->body, '/') != NULL ? r->body : "application/json";
    (void)snprintf(token, sizeof token, "%s-token", role);
    return fixture_call(f, r->method, path, token, type, weir_sv_of(body), reply);
}

static void check_no_mark(const char *role, const char *path, const struct weir_http_reply *reply)
{
    if (strstr(reply->body.p, FOREIGN_MARK) != NULL || strstr(reply->body.p, FOREIGN_JOB) != NULL) {
        fail_msg("%s as %s shows what is another project's: %.1000s", path, role, reply->body.p);
    }
}

/* Lists of what is a project's own: whoever sees only theirs finds something in them, so that the marks are looked for in earnest. */
static bool shows_own(const struct api_route *r)
{
    static const char *const ids[] = {"listJobs", "getJob", "listTasks", "explainJob", "readLog", "listHistory", "listEvents", "getBill", "listProjects", "getProject", NULL};
    for (size_t i = 0; ids[i] != NULL; i++) {
        if (weir_streq(ids[i], r->id)) {
            return true;
        }
    }
    return false;
}

static void nobody_is_shown_what_is_another_projects(void **state)
{
    struct fixture *f = &((struct both *)*state)->f;
    unsigned n_own = 0;
    for (const struct api_route *r = api_routes; r->method != NULL; r++) {
        for (size_t i = 0; i < ROUTE_ROLES; i++) {
            char path[512];
            struct weir_http_reply reply;
            if (!weir_streq(r->method, "GET") || route_may(r, i) != ROUTE_MAY_OWN) {
                continue;
            }
            (void)route_path(r, OWN_JOB, "vision", path, sizeof path);
            *(strstr(path, "?task=0") != NULL ? strstr(path, "?task=0") : path + strlen(path)) = '\0';
            if (weir_streq(r->id, "getBill")) {
                (void)snprintf(path, sizeof path, "/v1/bill?by=project,user,tag:team,job");
            }
            int status = ask(f, r, route_roles[i], path, &reply);
            if (status != 200) {
                fail_msg("%s as %s: %d %.300s", path, route_roles[i], status, reply.body.p);
            }
            check_no_mark(route_roles[i], path, &reply);
            if (shows_own(r)) {
                n_own++;
                if (strstr(reply.body.p, "vision") == NULL && strstr(reply.body.p, OWN_MARK) == NULL && strstr(reply.body.p, OWN_JOB) == NULL) {
                    fail_msg("%s as %s shows nothing: %.300s", path, route_roles[i], reply.body.p);
                }
            }
        }
    }
    assert_true(n_own >= 20);
}

/* Who is in no project sees nothing of any. */
static void an_outsider_sees_no_project(void **state)
{
    struct fixture *f = &((struct both *)*state)->f;
    for (const struct api_route *r = api_routes; r->method != NULL; r++) {
        char path[512];
        struct weir_http_reply reply;
        if (!weir_streq(r->method, "GET") || route_may(r, 3) != ROUTE_MAY_OWN) {
            continue;
        }
        (void)route_path(r, OWN_JOB, "vision", path, sizeof path);
        int status = ask(f, r, "outsider", path, &reply);
        bool named = strstr(r->path, "{job}") != NULL || strstr(r->path, "{project}") != NULL;
        assert_int_equal(status, named ? 404 : 200);
        check_no_mark("outsider", path, &reply);
        assert_null(strstr(reply.body.p, OWN_MARK));
    }
}

/* The number that was asked for is all in which the two answers may differ. */
static void check_same(const char *path, struct fixture *f, const struct api_route *r, const char *role, const char *other, const char *foreign,
                       const char *absent)
{
    struct weir_http_reply reply;
    char first[4096];
    int status = ask(f, r, role, path, &reply);
    (void)snprintf(first, sizeof first, "%.*s", WEIR_SV_ARG(reply.body));
    int status_absent = ask(f, r, role, other, &reply);
    if (status != status_absent || (status != 404 && status != 403)) {
        fail_msg("%s as %s: %d, but %d where it is not there: %.300s", path, role, status, status_absent, first);
    }
    char *p;
    while ((p = strstr(first, foreign)) != NULL) {
        assert_int_equal(strlen(foreign), strlen(absent));
        memcpy(p, absent, strlen(absent));
    }
    assert_string_equal(first, reply.body.p);
}

static void what_is_another_projects_is_as_if_it_were_not_there(void **state)
{
    struct fixture *f = &((struct both *)*state)->f;
    unsigned n = 0;
    for (const struct api_route *r = api_routes; r->method != NULL; r++) {
        for (size_t i = 0; i < ROUTE_ROLES; i++) {
            char path[512];
            char other[512];
            if (route_may(r, i) != ROUTE_MAY_OWN) {
                continue;
            }
            if (strstr(r->path, "{job}") != NULL) {
                (void)route_path(r, FOREIGN_JOB, "vision", path, sizeof path);
                (void)route_path(r, "88888", "vision", other, sizeof other);
                check_same(path, f, r, route_roles[i], other, FOREIGN_JOB, "88888");
                n++;
            }
            if (strstr(r->path, "{project}") != NULL) {
                (void)route_path(r, OWN_JOB, "speech-" FOREIGN_MARK, path, sizeof path);
                (void)route_path(r, OWN_JOB, "speech-nobodysmark", other, sizeof other);
                check_same(path, f, r, route_roles[i], other, FOREIGN_MARK, "nobodysmark");
                n++;
            }
            for (const struct api_param *p = r->param; p->name != NULL; p++) {
                bool of_job = weir_streq(p->name, "job");
                if (!of_job && !weir_streq(p->name, "project")) {
                    continue;
                }
                (void)snprintf(path, sizeof path, "%s?%s=%s", r->path, p->name, of_job ? FOREIGN_JOB : "speech-" FOREIGN_MARK);
                (void)snprintf(other, sizeof other, "%s?%s=%s", r->path, p->name, of_job ? "88888" : "speech-nobodysmark");
                check_same(path, f, r, route_roles[i], other, of_job ? FOREIGN_JOB : FOREIGN_MARK, of_job ? "88888" : "nobodysmark");
                n++;
            }
        }
    }
    assert_true(n >= 25);
}

static int submit(struct fixture *f, const char *token, const char *project, struct weir_http_reply *reply)
{
    char body[256];
    (void)snprintf(body, sizeof body, "{\"name\":\"a\",\"run\":\"true\"%s%s%s}", project == NULL ? "" : ",\"project\":\"", project == NULL ? "" : project,
                   project == NULL ? "" : "\"");
    return fixture_call(f, "POST", "/v1/jobs", token, "application/json", weir_sv_of(body), reply);
}

static void jobs_go_only_into_ones_own_projects(void **state)
{
    struct fixture *f = &((struct both *)*state)->f;
    struct weir_http_reply reply;
    assert_int_equal(submit(f, "user-token", "vision", &reply), 201);
    assert_int_equal(submit(f, "user-token", "speech-" FOREIGN_MARK, &reply), 403);
    assert_int_equal(submit(f, "user-token", "nobodys", &reply), 403);
    assert_int_equal(submit(f, "viewer-token", "vision", &reply), 403);
    assert_int_equal(submit(f, "operator-token", "speech-" FOREIGN_MARK, &reply), 403);
    assert_int_equal(submit(f, "outsider-token", NULL, &reply), 403);
    assert_int_equal(submit(f, "admin-token", "speech-" FOREIGN_MARK, &reply), 201);
    /* who has one project need not name it */
    assert_int_equal(submit(f, "user-token", NULL, &reply), 201);
    assert_non_null(strstr(f->service.spec_json, "\"project\":\"vision\""));
}

static void only_an_owner_says_who_is_in_a_project(void **state)
{
    struct fixture *f = &((struct both *)*state)->f;
    struct weir_http_reply reply;
    const struct weir_sv body = WEIR_SV("{\"role\":\"viewer\"}");
    static const char path[] = "/v1/projects/vision/members/" OWN_MARK;
    static const char foreign[] = "/v1/projects/speech-" FOREIGN_MARK "/members/" OWN_MARK;
    assert_int_equal(fixture_call(f, "PUT", path, "owner-token", "application/json", body, &reply), 200);
    assert_int_equal(fixture_call(f, "PUT", path, "user-token", "application/json", body, &reply), 403);
    assert_int_equal(fixture_call(f, "PUT", foreign, "owner-token", "application/json", body, &reply), 404);
    assert_int_equal(fixture_call(f, "DELETE", foreign, "owner-token", NULL, WEIR_SV(""), &reply), 404);
    assert_int_equal(fixture_call(f, "PUT", "/v1/projects/*/members/" OWN_MARK, "owner-token", "application/json", body, &reply), 404);
}

static void a_stream_ends_with_the_token_it_was_begun_with(void **state)
{
    struct fixture *f = &((struct both *)*state)->f;
    char buf[8192];
    int fd = fixture_connect(f);
    fixture_send(fd, "GET /v1/events?follow=true HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer user-token\r\nConnection: close\r\n\r\n");
    assert_true(fixture_read_until(fd, buf, sizeof buf, OWN_MARK));
    assert_null(strstr(buf, FOREIGN_MARK));
    (void)snprintf(f->service.revoked, sizeof f->service.revoked, "user");
    f->service.on_commit(f->service.on_commit_ctx); /* as the revocation's own commit does */
    ssize_t n;
    do {
        n = recv(fd, buf, sizeof buf, 0);
    } while (n > 0);
    assert_int_equal(n, 0); /* the broker has ended it; -1: it goes on */
    (void)close(fd);
    f->service.revoked[0] = '\0';
}

/* The request waits for its caller to become known, and is then served as theirs; not for ever. */
static void who_is_not_known_yet_logs_in_first(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply r;
    static const char stream[] = "GET /v1/events?follow=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer late-token\r\n\r\n";
    char buf[65536];
    f->service.login_code = -WEIR_EUNAUTH;
    assert_int_equal(fixture_call(f, "GET", "/v1/whoami", "late-token", NULL, (struct weir_sv){NULL, 0}, &r), 401);
    assert_non_null(strstr(r.body.p, "the issuer says no"));
    f->service.login_code = 0;
    f->service.login_helps = false;
    assert_int_equal(fixture_call(f, "GET", "/v1/whoami", "late-token", NULL, (struct weir_sv){NULL, 0}, &r), 503);
    f->service.login_helps = true;
    assert_int_equal(fixture_call(f, "GET", "/v1/whoami", "late-token", NULL, (struct weir_sv){NULL, 0}, &r), 200);
    assert_non_null(strstr(r.body.p, "\"viewer-user\""));
    atomic_store(&f->service.is_logged_in, false);
    assert_int_equal(fixture_call(f, "POST", "/v1/jobs", "late-token", "application/json", WEIR_SV("{\"run\":\"true\"}"), &r), 403);
    atomic_store(&f->service.is_logged_in, false);
    int fd = fixture_connect(f);
    fixture_send(fd, stream);
    assert_true(fixture_read_until(fd, buf, sizeof buf, "200 OK"));
    (void)close(fd);
}

static void roles_cover_and_meet(void **state)
{
    static const struct {
        enum weir_role a, b, meet;
        bool covers;
    } rows[] = {
        {WEIR_ROLE_ADMIN, WEIR_ROLE_AGENT, WEIR_ROLE_AGENT, true},      {WEIR_ROLE_ADMIN, WEIR_ROLE_FINANCE, WEIR_ROLE_FINANCE, true},
        {WEIR_ROLE_OPERATOR, WEIR_ROLE_FINANCE, WEIR_ROLE_USER, false}, {WEIR_ROLE_OPERATOR, WEIR_ROLE_USER, WEIR_ROLE_USER, true},
        {WEIR_ROLE_USER, WEIR_ROLE_VIEWER, WEIR_ROLE_VIEWER, true},     {WEIR_ROLE_VIEWER, WEIR_ROLE_USER, WEIR_ROLE_VIEWER, false},
        {WEIR_ROLE_USER, WEIR_ROLE_AGENT, WEIR_ROLE_NONE, false},       {WEIR_ROLE_AGENT, WEIR_ROLE_VIEWER, WEIR_ROLE_NONE, false},
        {WEIR_ROLE_FINANCE, WEIR_ROLE_ADMIN, WEIR_ROLE_FINANCE, false}, {WEIR_ROLE_USER, WEIR_ROLE_OWNER, WEIR_ROLE_USER, false},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(weir_role_covers(rows[i].a, rows[i].b), rows[i].covers);
        assert_int_equal(weir_role_meet(rows[i].a, rows[i].b), rows[i].meet);
    }
    for (unsigned i = WEIR_ROLE_NONE + 1; i < WEIR_ROLE_MAX; i++) {
        assert_int_equal(weir_role_find(weir_role_name((enum weir_role)i)), i);
    }
}

/* A row that does not say what it is about serves nobody. */
static void a_route_without_a_role_serves_nobody(void **state)
{
    (void)state;
    for (int role = 0; role < WEIR_ROLE_MAX; role++) {
        assert_int_equal(api_access[API_ROLE_UNSET].reach[role], API_REACH_NO);
    }
    for (const struct api_route *r = api_routes; r->method != NULL; r++) {
        assert_int_not_equal(r->role, API_ROLE_UNSET);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_shown_what_is_another_projects),
        cmocka_unit_test(an_outsider_sees_no_project),
        cmocka_unit_test(what_is_another_projects_is_as_if_it_were_not_there),
        cmocka_unit_test(jobs_go_only_into_ones_own_projects),
        cmocka_unit_test(only_an_owner_says_who_is_in_a_project),
        cmocka_unit_test(a_stream_ends_with_the_token_it_was_begun_with),
        cmocka_unit_test(who_is_not_known_yet_logs_in_first),
        cmocka_unit_test(roles_cover_and_meet),
        cmocka_unit_test(a_route_without_a_role_serves_nobody),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
