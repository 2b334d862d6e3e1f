/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to a provider, against a transcript: tries, classes, pacing, credentials, secrets. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <limits.h>
#include <uv.h>

#include "base/mem.h"
#include "cloud/call.h"
#include "cloud/credential.h"
#include "http_transcript.h"

static int64_t wall_us = INT64_C(1700000000000000);

static struct weir_wall fixed_wall(void *ctx)
{
    (void)ctx;
    return (struct weir_wall){wall_us};
}

static struct weir_mono fixed_mono(void *ctx)
{
    (void)ctx;
    return (struct weir_mono){wall_us};
}

static const struct weir_clock clock_fixed = {fixed_wall, fixed_mono, NULL};

struct rig {
    uv_loop_t loop;
    struct weir_http *http;
    struct weir_cloud *cloud;
    struct weir_credential *credential;
    struct weir_cloud_conf conf;
    unsigned fetches;
    unsigned signs;
    bool fetch_fails;
    struct weir_wall signed_at;
    int dropped;
};

struct outcome {
    bool came;
    struct weir_cloud_answer a;
    char body[64];
};

static struct rig *new_rig(const struct http_step *script, size_t n)
{
    struct rig *g = weir_alloc(sizeof *g);
    assert_int_equal(uv_loop_init(&g->loop), 0);
    g->http = http_transcript_new(script, n, &g->loop);
    g->conf = (struct weir_cloud_conf){.name = "acme", .loop = &g->loop, .clock = &clock_fixed, .http = g->http, .seed = 1, .backoff_ms = 1, .ctx = g};
    return g;
}

static void free_rig(struct rig *g)
{
    const char *problem = http_fake_problem(g->http);
    if (problem != NULL) {
        fail_msg("%s", problem);
    }
    weir_cloud_free(g->cloud);
    weir_credential_free(g->credential);
    g->http->ops->free(g->http);
    while (uv_run(&g->loop, UV_RUN_DEFAULT) != 0) {
    }
    assert_int_equal(uv_loop_close(&g->loop), 0);
    free(g);
}

static void note(void *ctx, const struct weir_cloud_answer *a)
{
    struct outcome *o = ctx;
    assert_false(o->came);
    o->came = true;
    o->a = *a;
    (void)snprintf(o->body, sizeof o->body, "%.*s", WEIR_SV_ARG(a->body));
}

static struct outcome call(struct rig *g, enum weir_cloud_kind kind)
{
    struct outcome o = {0};
    const struct weir_cloud_request r = {.what = "Do", .kind = kind, .method = "POST", .url = "https://api.acme.example/do", .body = WEIR_SV("x=1")};
    if (g->cloud == NULL) {
        g->cloud = weir_cloud_new(&g->conf);
    }
    assert_int_equal(weir_cloud_send(g->cloud, &r, note, NULL, &o), 0);
    assert_false(o.came);
    while (!o.came && uv_run(&g->loop, UV_RUN_ONCE) != 0) {
    }
    assert_true(o.came);
    return o;
}

#define RIG(...)                                                                                                                \
    static const struct http_step script[] = {__VA_ARGS__};                                                                     \
    struct rig *g = new_rig(script, WEIR_ARRAY_LEN(script))

static void an_answer_is_handed_on(void **state)
{
    (void)state;
    RIG({"POST", "https://api.acme.example/do", .body_has = "x=1", .status = 200, .reply = "fine", .bearer = "key-0123456789"});
    g->conf.bearer = "key-0123456789";
    struct outcome o = call(g, WEIR_CLOUD_READ);
    assert_int_equal(o.a.class, WEIR_PROVIDER_OK);
    assert_int_equal(o.a.status, 200);
    assert_int_equal(o.a.tries, 1);
    assert_string_equal(o.body, "fine");
    assert_string_equal(o.a.text, "");
    free_rig(g);
}

static void classes_follow_from_the_status(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum http_fault fault;
        enum weir_cloud_kind kind;
        enum weir_provider_class want;
        unsigned tries;
        bool sent;
    } rows[] = {
        {400, 0, WEIR_CLOUD_ONCE, WEIR_PROVIDER_REFUSED, 1, true},
        {401, 0, WEIR_CLOUD_ONCE, WEIR_PROVIDER_REFUSED, 1, true},
        {403, 0, WEIR_CLOUD_ONCE, WEIR_PROVIDER_REFUSED, 1, true},
        {302, 0, WEIR_CLOUD_ONCE, WEIR_PROVIDER_REFUSED, 1, true},
        {429, 0, WEIR_CLOUD_ONCE, WEIR_PROVIDER_THROTTLED, 4, true},
        {500, 0, WEIR_CLOUD_ONCE, WEIR_PROVIDER_UNKNOWN, 1, true},
        {503, 0, WEIR_CLOUD_REPEAT, WEIR_PROVIDER_UNKNOWN, 4, true},
        {503, 0, WEIR_CLOUD_READ, WEIR_PROVIDER_UNKNOWN, 4, true},
        {0, HTTP_FAULT_UNREACHABLE, WEIR_CLOUD_ONCE, WEIR_PROVIDER_THROTTLED, 4, false},
        {0, HTTP_FAULT_TIMEOUT, WEIR_CLOUD_ONCE, WEIR_PROVIDER_UNKNOWN, 1, true},
        {0, HTTP_FAULT_TIMEOUT, WEIR_CLOUD_REPEAT, WEIR_PROVIDER_UNKNOWN, 4, true},
        {0, HTTP_FAULT_BROKEN, WEIR_CLOUD_ONCE, WEIR_PROVIDER_UNKNOWN, 1, true},
        {0, HTTP_FAULT_TOO_LARGE, WEIR_CLOUD_REPEAT, WEIR_PROVIDER_UNKNOWN, 1, true},
        {0, HTTP_FAULT_UNTRUSTED, WEIR_CLOUD_REPEAT, WEIR_PROVIDER_REFUSED, 1, false},
        {0, HTTP_FAULT_SEND, WEIR_CLOUD_REPEAT, WEIR_PROVIDER_THROTTLED, 1, false},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const struct http_step step = {.status = rows[i].status, .fault = rows[i].fault, .repeat = UINT_MAX};
        struct rig *g = new_rig(&step, 1);
        struct outcome o = call(g, rows[i].kind);
        assert_int_equal(o.a.class, rows[i].want);
        assert_int_equal(o.a.tries, rows[i].tries);
        assert_int_equal(o.a.sent, rows[i].sent);
        assert_memory_equal(o.a.text, "acme: Do: ", 10);
        free_rig(g);
    }
}

static void what_may_have_arrived_is_unknown_whatever_comes_later(void **state)
{
    (void)state;
    RIG({.fault = HTTP_FAULT_TIMEOUT}, {.status = 429, .repeat = 2});
    struct outcome o = call(g, WEIR_CLOUD_REPEAT);
    assert_int_equal(o.a.class, WEIR_PROVIDER_UNKNOWN);
    assert_int_equal(o.a.tries, 4);
    free_rig(g);
}

static void what_may_have_arrived_is_settled_by_success(void **state)
{
    (void)state;
    RIG({.fault = HTTP_FAULT_BROKEN}, {.status = 503}, {.status = 200, .reply = "i-1"});
    struct outcome o = call(g, WEIR_CLOUD_REPEAT);
    assert_int_equal(o.a.class, WEIR_PROVIDER_OK);
    assert_int_equal(o.a.tries, 3);
    free_rig(g);
}

static void a_call_for_once_goes_on_a_new_connection(void **state)
{
    (void)state;
    RIG({.status = 200});
    (void)call(g, WEIR_CLOUD_ONCE);
    assert_true(http_fake_call(g->http, 0)->once);
    free_rig(g);
}

static void retry_after_beyond_the_deadline_is_told_at_once(void **state)
{
    (void)state;
    RIG({.status = 429, .retry_after_s = 120});
    struct outcome o = call(g, WEIR_CLOUD_REPEAT);
    assert_int_equal(o.a.class, WEIR_PROVIDER_THROTTLED);
    assert_int_equal(o.a.tries, 1);
    assert_int_equal(o.a.retry_after.us, 120 * WEIR_US_PER_S);
    struct weir_provider_result result = weir_cloud_result(&o.a);
    assert_int_equal(result.class, WEIR_PROVIDER_THROTTLED);
    assert_int_equal(result.retry_after.us, o.a.retry_after.us);
    assert_string_equal(result.text, o.a.text);
    /* The pause holds for all calls: this one cannot be made in time. */
    struct outcome p = {0};
    const struct weir_cloud_request r = {.what = "Do", .kind = WEIR_CLOUD_READ, .method = "GET", .url = "https://api.acme.example/", .deadline_ms = 5};
    assert_int_equal(weir_cloud_send(g->cloud, &r, note, NULL, &p), 0);
    while (!p.came && uv_run(&g->loop, UV_RUN_ONCE) != 0) {
    }
    assert_int_equal(p.a.class, WEIR_PROVIDER_THROTTLED);
    assert_int_equal(p.a.tries, 0);
    assert_false(p.a.sent);
    free_rig(g);
}

static void retry_after_of_ages_keeps_nothing_back_for_long(void **state)
{
    (void)state;
    RIG({.status = 429, .retry_after_s = LONG_MAX}, {.status = 200});
    g->conf.quiet_ms_max = 20;
    struct outcome o = call(g, WEIR_CLOUD_REPEAT);
    assert_int_equal(o.a.class, WEIR_PROVIDER_THROTTLED);
    assert_int_equal(o.a.retry_after.us, WEIR_US_PER_DAY);
    o = call(g, WEIR_CLOUD_REPEAT); /* such as the one that ends a machine */
    assert_int_equal(o.a.class, WEIR_PROVIDER_OK);
    free_rig(g);
}

static void retry_after_is_kept_to(void **state)
{
    (void)state;
    RIG({.status = 503, .retry_after_s = 1}, {.status = 200});
    uv_update_time(&g->loop);
    uint64_t before = uv_now(&g->loop);
    struct outcome o = call(g, WEIR_CLOUD_READ);
    assert_int_equal(o.a.class, WEIR_PROVIDER_OK);
    assert_true(uv_now(&g->loop) - before >= 1000);
    free_rig(g);
}

static void calls_are_paced(void **state)
{
    (void)state;
    RIG({.status = 200, .repeat = UINT_MAX});
    g->conf.per_second = 50;
    g->conf.burst = 2;
    g->cloud = weir_cloud_new(&g->conf);
    struct outcome o[6] = {{0}};
    uv_update_time(&g->loop);
    uint64_t before = uv_now(&g->loop);
    const struct weir_cloud_request r = {.what = "Do", .kind = WEIR_CLOUD_READ, .method = "GET", .url = "https://api.acme.example/"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(o); i++) {
        assert_int_equal(weir_cloud_send(g->cloud, &r, note, NULL, &o[i]), 0);
    }
    while (!o[5].came && uv_run(&g->loop, UV_RUN_ONCE) != 0) {
    }
    /* Two and the one whose turn it is at once, three more 20 ms apart. */
    assert_true(uv_now(&g->loop) - before >= 55);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(o); i++) {
        assert_true(o[i].came);
    }
    free_rig(g);
}

static void the_number_of_calls_is_bounded(void **state)
{
    (void)state;
    RIG({.status = 200, .repeat = UINT_MAX});
    g->cloud = weir_cloud_new(&g->conf);
    const struct weir_cloud_request r = {.what = "Do", .kind = WEIR_CLOUD_READ, .method = "GET", .url = "https://api.acme.example/"};
    struct outcome *o = weir_calloc(WEIR_CLOUD_CALLS_MAX + 1, sizeof *o);
    for (size_t i = 0; i < WEIR_CLOUD_CALLS_MAX; i++) {
        assert_int_equal(weir_cloud_send(g->cloud, &r, note, NULL, &o[i]), 0);
    }
    assert_int_equal(weir_cloud_send(g->cloud, &r, note, NULL, &o[WEIR_CLOUD_CALLS_MAX]), -WEIR_ELIMIT);
    while (!o[WEIR_CLOUD_CALLS_MAX - 1].came && uv_run(&g->loop, UV_RUN_ONCE) != 0) {
    }
    free_rig(g);
    free(o);
}

static void count_drop(void *ctx)
{
    (*(int *)ctx)++;
}

static void freeing_drops_what_is_under_way(void **state)
{
    (void)state;
    RIG({.status = 200, .slow = 1000});
    g->cloud = weir_cloud_new(&g->conf);
    const struct weir_cloud_request r = {.what = "Do", .kind = WEIR_CLOUD_READ, .method = "GET", .url = "https://api.acme.example/"};
    assert_int_equal(weir_cloud_send(g->cloud, &r, note, count_drop, &g->dropped), 0);
    for (int i = 0; i < 5; i++) {
        (void)uv_run(&g->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(weir_cloud_send(g->cloud, &r, note, count_drop, &g->dropped), 0); /* not sent yet */
    weir_cloud_free(g->cloud);
    g->cloud = NULL;
    assert_int_equal(g->dropped, 2);
    free_rig(g);
}

static void a_refusal_comes_from_the_loop(void **state)
{
    (void)state;
    RIG({.status = 200, .repeat = UINT_MAX});
    g->cloud = weir_cloud_new(&g->conf);
    struct outcome o = {0};
    assert_int_equal(weir_cloud_refuse(g->cloud, "launch", WEIR_PROVIDER_REFUSED, "the lease is over", note, NULL, &o), 0);
    assert_false(o.came);
    while (!o.came && uv_run(&g->loop, UV_RUN_ONCE) != 0) {
    }
    assert_int_equal(o.a.class, WEIR_PROVIDER_REFUSED);
    assert_string_equal(o.a.text, "acme: launch: the lease is over");
    assert_int_equal(http_fake_n_calls(g->http), 0);
    free_rig(g);
}

/* ---- credentials ---- */

static void fetch(void *ctx, struct weir_credential *c)
{
    struct rig *g = ctx;
    g->fetches++;
    if (g->fetch_fails) {
        weir_credential_fail(c, WEIR_PROVIDER_REFUSED, "no role is attached");
    } else {
        weir_credential_set(c, (struct weir_wall){wall_us + WEIR_US_PER_HOUR});
    }
}

static int sign(void *ctx, const struct weir_http_call *call, struct weir_wall now, struct weir_cloud_headers *h, const char **ret_bearer,
                struct weir_err *err)
{
    struct rig *g = ctx;
    (void)call;
    (void)ret_bearer;
    (void)err;
    char text[32];
    (void)snprintf(text, sizeof text, "%u", g->fetches);
    weir_cloud_headers_add(h, "X-Key", text);
    g->signs++;
    g->signed_at = now;
    return 0;
}

static void skewed(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)ctx;
    v->skewed = reply->status == 403;
}

static void use_credential(struct rig *g)
{
    g->credential = weir_credential_new(&clock_fixed, weir_dur_s(600), fetch, g);
    g->conf.credential = g->credential;
    g->conf.sign = sign;
}

static void a_refused_credential_is_fetched_anew_once(void **state)
{
    (void)state;
    RIG({.status = 401, .header_has = "X-Key: 1"}, {.status = 200, .header_has = "X-Key: 2"}, {.status = 401, .header_has = "X-Key: 2"},
        {.status = 401, .header_has = "X-Key: 3"});
    use_credential(g);
    assert_int_equal(call(g, WEIR_CLOUD_ONCE).a.class, WEIR_PROVIDER_OK);
    struct outcome o = call(g, WEIR_CLOUD_ONCE);
    assert_int_equal(o.a.class, WEIR_PROVIDER_REFUSED);
    assert_int_equal(o.a.tries, 2);
    assert_int_equal(g->fetches, 3);
    free_rig(g);
}

static void one_fetch_serves_all_whose_credential_was_refused(void **state)
{
    (void)state;
    RIG({.status = 401, .header_has = "X-Key: 1", .repeat = 2}, {.status = 200, .header_has = "X-Key: 2", .repeat = 2});
    use_credential(g);
    g->cloud = weir_cloud_new(&g->conf);
    struct outcome o[3] = {{0}};
    const struct weir_cloud_request r = {.what = "Do", .kind = WEIR_CLOUD_READ, .method = "GET", .url = "https://api.acme.example/"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(weir_cloud_send(g->cloud, &r, note, NULL, &o[i]), 0);
    }
    while (!(o[0].came && o[1].came && o[2].came) && uv_run(&g->loop, UV_RUN_ONCE) != 0) {
    }
    assert_int_equal(g->fetches, 2);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(o[i].a.class, WEIR_PROVIDER_OK);
    }
    free_rig(g);
}

static void a_credential_is_refreshed_before_its_end(void **state)
{
    (void)state;
    RIG({.status = 200, .repeat = UINT_MAX});
    use_credential(g);
    (void)call(g, WEIR_CLOUD_READ);
    wall_us += 40 * WEIR_US_PER_MIN;
    (void)call(g, WEIR_CLOUD_READ);
    assert_int_equal(g->fetches, 1);
    wall_us += 15 * WEIR_US_PER_MIN;
    g->fetch_fails = true; /* the old one is still good for five minutes */
    assert_int_equal(call(g, WEIR_CLOUD_READ).a.class, WEIR_PROVIDER_OK);
    assert_int_equal(g->fetches, 2);
    assert_int_equal(call(g, WEIR_CLOUD_READ).a.class, WEIR_PROVIDER_OK);
    assert_int_equal(g->fetches, 2); /* not each call tries again */
    wall_us += 6 * WEIR_US_PER_MIN;
    struct outcome o = call(g, WEIR_CLOUD_READ);
    assert_int_equal(o.a.class, WEIR_PROVIDER_REFUSED);
    assert_false(o.a.sent);
    assert_string_equal(o.a.text, "acme: Do: no role is attached");
    free_rig(g);
}

static void a_clock_that_is_off_is_corrected_by_the_providers(void **state)
{
    (void)state;
    RIG({.status = 403, .date = "Tue, 14 Nov 2023 23:13:20 GMT"}, {.status = 200});
    wall_us = INT64_C(1700000000000000); /* 22:13:20 */
    use_credential(g);
    g->conf.classify = skewed;
    struct outcome o = call(g, WEIR_CLOUD_REPEAT);
    assert_int_equal(o.a.class, WEIR_PROVIDER_OK);
    assert_int_equal(g->signed_at.us, wall_us + WEIR_US_PER_HOUR);
    assert_int_equal(weir_cloud_now(g->cloud).us, wall_us + WEIR_US_PER_HOUR);
    free_rig(g);
}

static void blabber(void *ctx, const struct weir_http_reply *reply, struct weir_cloud_verdict *v)
{
    (void)ctx;
    (void)snprintf(v->text, sizeof v->text, "%.*s", WEIR_SV_ARG(reply->body));
    (void)snprintf(v->code, sizeof v->code, "Bad");
}

static void secrets_are_blotted_out(void **state)
{
    (void)state;
    RIG({.status = 400, .reply = "no key 'key-0123456789' nor hush-hush-hush here; hush-hush-hush"});
    g->conf.bearer = "key-0123456789";
    g->conf.classify = blabber;
    g->cloud = weir_cloud_new(&g->conf);
    weir_cloud_hide(g->cloud, "hush-hush-hush");
    weir_cloud_hide(g->cloud, "here"); /* too short to be one */
    struct outcome o = call(g, WEIR_CLOUD_READ);
    assert_string_equal(o.a.text, "acme: Do: no key '***' nor *** here; ***");
    assert_string_equal(o.a.code, "Bad");
    char cut[] = "the text was cut: key-01234 and went on";
    weir_cloud_redact(g->cloud, cut);
    assert_string_equal(cut, "the text was cut: *** and went on");
    for (int i = 0; i < 1000; i++) { /* tokens that follow each other; the key stays hidden */
        char token[32];
        (void)snprintf(token, sizeof token, "%04d-number-token", i);
        weir_cloud_hide(g->cloud, token);
    }
    char all[] = "0999-number-token, 0100-number-token, key-0123456789";
    weir_cloud_redact(g->cloud, all);
    assert_string_equal(all, "***, 0100-number-token, ***");
    free_rig(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_handed_on),
        cmocka_unit_test(classes_follow_from_the_status),
        cmocka_unit_test(what_may_have_arrived_is_unknown_whatever_comes_later),
        cmocka_unit_test(what_may_have_arrived_is_settled_by_success),
        cmocka_unit_test(a_call_for_once_goes_on_a_new_connection),
        cmocka_unit_test(retry_after_beyond_the_deadline_is_told_at_once),
        cmocka_unit_test(retry_after_of_ages_keeps_nothing_back_for_long),
        cmocka_unit_test(retry_after_is_kept_to),
        cmocka_unit_test(calls_are_paced),
        cmocka_unit_test(the_number_of_calls_is_bounded),
        cmocka_unit_test(freeing_drops_what_is_under_way),
        cmocka_unit_test(a_refusal_comes_from_the_loop),
        cmocka_unit_test(a_refused_credential_is_fetched_anew_once),
        cmocka_unit_test(one_fetch_serves_all_whose_credential_was_refused),
        cmocka_unit_test(a_credential_is_refreshed_before_its_end),
        cmocka_unit_test(a_clock_that_is_off_is_corrected_by_the_providers),
        cmocka_unit_test(secrets_are_blotted_out),
    };
    return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
