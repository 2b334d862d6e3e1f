/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people and programs read, word for word: each row's answer is kept in tests/golden/api. After a
 * wanted change: test_api_golden --regenerate, and review the difference like code.
 */

#include "api_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/explain_json.h"
#include "base/mem.h"

static bool regenerate;

static char *read_file(const char *path)
{
    char buf[65536];
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return weir_strdup("");
    }
    size_t n = fread(buf, 1, sizeof buf, f);
    (void)fclose(f);
    return weir_strndup(buf, n);
}

static void compare(const char *name, const char *suffix, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s.%s", GOLDEN_DIR, name, suffix);
    if (regenerate) {
        FILE *f = fopen(path, "we");
        assert_non_null(f);
        assert_int_equal(fputs(text, f) < 0, 0);
        assert_int_equal(fclose(f), 0);
        return;
    }
    char *want = read_file(path);
    if (!weir_streq(want, text)) {
        fail_msg("%s differs. Is:\n%s", path, text);
    }
    free(want);
}

static void answers_are_as_documented(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        const char *path;
    } rows[] = {
        {"jobs", "/v1/jobs?limit=3"},
        {"jobs_just_fit", "/v1/jobs?limit=4"},
        {"jobs_next", "/v1/jobs?cursor=13"},
        {"jobs_failed_only", "/v1/jobs?state=failed,cancelled"},
        {"job_array", "/v1/jobs/12"},
        {"job_waiting", "/v1/jobs/14"},
        {"tasks", "/v1/jobs/12/tasks?limit=5"},
        {"tasks_last", "/v1/jobs/12/tasks?cursor=98"},
        {"tasks_failed", "/v1/jobs/12/tasks?state=failed"},
        {"tasks_waiting", "/v1/jobs/12/tasks?state=waiting,failed&limit=2"},
        {"tasks_index", "/v1/jobs/12/tasks?index=1"},
        {"tasks_index_without_row", "/v1/jobs/12/tasks?index=50"},
        {"tasks_gang", "/v1/jobs/15/tasks"},
        {"explain", "/v1/jobs/12/explain?task=0"},
        {"explain_waiting", "/v1/jobs/14/explain"},
        {"pools", "/v1/pools"},
        {"nodes", "/v1/nodes"},
        {"nodes_next", "/v1/nodes?limit=1"},
        {"leases", "/v1/leases"},
        {"projects", "/v1/projects"},
        {"budgets", "/v1/budgets"},
        {"quotas", "/v1/quotas"},
        {"alerts", "/v1/alerts"},
        {"policies", "/v1/policies"},
        {"receivers", "/v1/receivers"},
        {"project", "/v1/projects/vision"},
        {"bill", "/v1/bill?from=2026-11-01"},
        {"bill_tag", "/v1/bill?by=project,tag:team&to=2026-11-22T20:00:00Z"},
        {"bill_check", "/v1/bill/check"},
        {"charges", "/v1/charges?from=2026-11-01&hourly=true"},
        {"charges_behind", "/v1/charges?cursor=2"},
        {"closes", "/v1/closes"},
        {"rules", "/v1/rules"},
        {"bill_price", "/v1/bill?by=project&view=price"},
        {"corrections", "/v1/corrections"},
        {"history", "/v1/history"},
        {"history_first", "/v1/history?limit=2"},
        {"history_next", "/v1/history?limit=2&cursor=12582914"},
        {"history_span", "/v1/history?from=2026-11-22T19:10:00Z&to=2026-11-22T19:59:00Z"},
        {"offers", "/v1/offers?gpus=8"},
        {"offers_launchable", "/v1/offers?gpus=8&launchable=true"},
        {"offers_all", "/v1/offers?gpus=8&all=true&spot=true"},
        {"version", "/v1/version"},
        {"issuers", "/v1/issuers"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_http_reply reply;
        assert_int_equal(fixture_get(f, rows[i].path, &reply), 200);
        json_t *v = json_loadb(reply.body.p, reply.body.n, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(v);
        char *text = json_dumps(v, JSON_INDENT(1));
        compare(rows[i].name, "json", text);
        free(text);
        json_decref(v);
    }
}

static void an_unbalanced_ledger_is_named(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    f->store.unbalanced = true;
    assert_int_equal(fixture_get(f, "/v1/bill/check", &reply), 200);
    assert_non_null(strstr(reply.body.p, "\"balanced\":false"));
    assert_null(strstr(reply.body.p, "\"error\":null"));
    f->store.unbalanced = false;
}

static void a_ledger_without_its_end_is_not_balanced(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    f->store.cut_off = true;
    assert_int_equal(fixture_get(f, "/v1/bill/check", &reply), 200);
    assert_non_null(strstr(reply.body.p, "\"balanced\":false"));
    assert_non_null(strstr(reply.body.p, "posting 3 is missing"));
    f->store.cut_off = false;
}

static const char *name_node(void *ctx, struct weir_node_id id)
{
    (void)ctx;
    return id.v == 1 ? "host1" : NULL;
}

static const struct weir_offer *name_offer(void *ctx, uint64_t id)
{
    static const struct weir_offer offer = {.id = 77,
                                            .provider = "aws",
                                            .region = "us-east-1",
                                            .instance_type = "p4d.24xlarge",
                                            .market = WEIR_OFFER_SPOT,
                                            .price_micro_per_hour = 9100000,
                                            .source = "list"};
    (void)ctx;
    return id == 77 ? &offer : NULL;
}

/* One paragraph for each kind of decision. */
static void decisions_read_as_sentences(void **state)
{
    (void)state;
    const struct weir_names names = {.node = name_node, .offer = name_offer};
    struct weir_explain e = {.seq = 1,
                             .now = fixture_now,
                             .task = {{12}, 7},
                             .attempt = 1,
                             .node = {1},
                             .lease = {3},
                             .other = {{13}, 0},
                             .reason = WEIR_REASON_RECLAIM,
                             .queue_ahead = 2,
                             .expected_run = {600000000},
                             .margin_micro = 3380000,
                             .n_considered = 4,
                             .n_candidates = 2};
    e.rejected[WEIR_VERDICT_NO_ROOM] = 2;
    e.candidate[0] = (struct weir_candidate){.kind = WEIR_CANDIDATE_OWNED_NOW,
                                             .verdict = WEIR_VERDICT_CHOSEN,
                                             .node = {1},
                                             .run_micro = 20000,
                                             .total_micro = 20000};
    e.candidate[1] = (struct weir_candidate){.kind = WEIR_CANDIDATE_OFFER,
                                             .verdict = WEIR_VERDICT_DEARER,
                                             .offer = 77,
                                             .start_delay = {300000000},
                                             .run_micro = 1500000,
                                             .boot_micro = 1900000,
                                             .total_micro = 3400000};
    struct weir_str out = WEIR_STR_INIT(65536);
    for (uint8_t d = 0; d < WEIR_DECISION_MAX; d++) {
        e.decision = d;
        weir_explain_to_text(&e, &names, &out);
        weir_str_addc(&out, '\n');
    }
    /* the other way round: renting is chosen, and nothing is known by name */
    e.decision = WEIR_DECISION_RENT;
    e.candidate[1].verdict = WEIR_VERDICT_CHOSEN;
    e.candidate[0].verdict = WEIR_VERDICT_DEARER;
    weir_explain_to_text(&e, &names, &out);
    weir_str_addc(&out, '\n');
    e.margin_micro = INT64_MAX;
    e.n_candidates = 0;
    weir_explain_to_text(&e, &(struct weir_names){0}, &out);
    weir_str_addc(&out, '\n');
    /* offers that are left alone, and until when */
    e.decision = WEIR_DECISION_BLOCKED;
    e.rejected[WEIR_VERDICT_NO_CAPACITY] = 1;
    e.again_at.us = fixture_now.us + 600000000;
    weir_explain_to_text(&e, &(struct weir_names){0}, &out);
    weir_str_addc(&out, '\n');
    e.rejected[WEIR_VERDICT_QUOTA] = 2;
    weir_explain_to_text(&e, &(struct weir_names){0}, &out);
    weir_str_addc(&out, '\n');
    compare("decisions", "txt", weir_str_cstr(&out));
    weir_str_release(&out);
}

static void metrics_are_well_formed(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    assert_int_equal(fixture_get(f, "/metrics", &reply), 200);
    assert_string_equal(reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
    static const char *const lines[] = {
        "\nweir_build_info{version=\"" WEIR_VERSION "\"} 1\n",
        "\nweir_jobs{state=\"running\"} 2\n",
        "\nweir_gpus{pool=\"local\",gpu_model=\"A100\",state=\"allocated\"} 1\n",
        "\nweir_gpus{pool=\"local\",gpu_model=\"A100\",state=\"idle\"} 3\n",
        "\nweir_leases{provider=\"sandbox\",state=\"ready\",capacity_type=\"spot\"} 1\n",
        "\nweir_cost{project=\"vision\",pool=\"local\",use=\"used\",currency=\"USD\"} 0.000100\n",
        "\n# TYPE weir_http_requests_total counter\n",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(lines); i++) {
        if (strstr(reply.body.p, lines[i]) == NULL) {
            fail_msg("%s is not in\n%s", lines[i], reply.body.p);
        }
    }
    /* every line is a comment or NAME{...} NUMBER */
    struct weir_sv rest = reply.body;
    while (rest.n > 0) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        struct weir_sv sample = line;
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        while (sample.n > 0 && sample.p[sample.n - 1] != ' ') {
            sample.n--;
        }
        assert_true(sample.n > 1);
        assert_true(line.p[line.n - 1] >= '0' && line.p[line.n - 1] <= '9');
        assert_true(strncmp(line.p, "weir_", 5) == 0 || strncmp(line.p, "process_", 8) == 0);
    }
}

/* Every reference leads somewhere, every operation has an id of its own. */
static void the_openapi_document_is_whole(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    assert_int_equal(fixture_get(f, "/v1/openapi.json", &reply), 200);
    json_t *v = json_loadb(reply.body.p, reply.body.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(v);
    const json_t *schemas = json_object_get(json_object_get(v, "components"), "schemas");
    const char *p = reply.body.p;
    while ((p = strstr(p, "\"$ref\":\"#/components/schemas/")) != NULL) {
        char name[64];
        p += strlen("\"$ref\":\"#/components/schemas/");
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(p, "\""), p);
        if (json_object_get(schemas, name) == NULL) {
            fail_msg("no schema %s", name);
        }
    }
    json_t *ids = json_object();
    for (const struct api_route *r = api_routes; r->method != NULL; r++) {
        assert_null(json_object_get(ids, r->id));
        json_object_set_new(ids, r->id, json_true());
        assert_non_null(json_object_get(json_object_get(v, "paths"), r->path));
        if (r->body != NULL && strchr(r->body, '/') == NULL) {
            assert_non_null(api_schema_find(r->body));
        }
        assert_true(strchr(r->reply, '/') != NULL || api_schema_find(r->reply) != NULL);
        assert_true((size_t)(r - api_routes) < API_ROUTES_MAX);
        size_t n = 0;
        while (r->param[n].name != NULL) {
            n++;
        }
        assert_true(n <= API_PARAMS_MAX);
    }
    json_decref(ids);
    json_decref(v);
}

static void fields_are_found_in_stored_json(void **state)
{
    (void)state;
    static const struct {
        const char *object;
        const char *key;
        const char *want; /* NULL: none */
    } rows[] = {
        {"{\"a\":1,\"b\":\"x\"}", "b", "\"x\""},
        {"{\"a\":{\"b\":1},\"b\":[1,{\"b\":2}]}", "b", "[1,{\"b\":2}]"},
        {"{\"a\":\"\\\"b\\\":1\",\"c\":true}", "c", "true"},
        {"{\"a\":\"\\\\\",\"b\":2}", "b", "2"},
        {"{}", "a", NULL},
        {"", "a", NULL},
        {"[1]", "a", NULL},
        {"{\"a\"", "a", ""},
        {"{\"a", "a", NULL},
        {"{\"b\":1", "b", "1"},
        {" { \"a\" : 1 , \"b\" : 2 } ", "b", "2"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_sv v = weir_json_find(weir_sv_of(rows[i].object), rows[i].key);
        if (rows[i].want == NULL ? v.p != NULL : !weir_sv_eq(v, weir_sv_of(rows[i].want))) {
            fail_msg("%s %s: '%.*s'", rows[i].object, rows[i].key, WEIR_SV_ARG(v));
        }
    }
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

int main(int argc, char **argv)
{
    regenerate = argc == 2 && weir_streq(argv[1], "--regenerate");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_as_documented),     cmocka_unit_test(an_unbalanced_ledger_is_named),
        cmocka_unit_test(a_ledger_without_its_end_is_not_balanced),
        cmocka_unit_test(decisions_read_as_sentences),   cmocka_unit_test(metrics_are_well_formed),
        cmocka_unit_test(the_openapi_document_is_whole), cmocka_unit_test(fields_are_found_in_stored_json),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
