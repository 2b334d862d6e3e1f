/* SPDX-License-Identifier: Apache-2.0 */
/* The transcript player keeps the promises that driver tests build on. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <uv.h>

#include "base/mem.h"
#include "http_transcript.h"

struct seen {
    int n;
    int code;
    int status;
    char body[64];
};

static void on_reply(void *ctx, const struct weir_http_reply *reply)
{
    struct seen *s = ctx;
    s->n++;
    s->code = reply->code;
    s->status = reply->status;
    memcpy(s->body, reply->body.p, reply->body.n < 63 ? reply->body.n : 63);
    s->body[reply->body.n < 63 ? reply->body.n : 63] = 0;
}

static uint64_t
send_one(struct weir_http *h, const char *method, const char *url, const char *body, struct seen *s)
{
    uint64_t id = 0;
    struct weir_http_call call = {.method = method,
                                  .url = url,
                                  .body = weir_sv_of(body),
                                  .timeout_ms = 1000,
                                  .reply_bytes_max = 32};
    assert_int_equal(h->ops->send(h, &call, on_reply, s, &id), 0);
    return id;
}

static void replies_come_from_the_pump_in_order(void **state)
{
    (void)state;
    static const struct http_step script[] = {
        {"POST", "https://a/*", .body_has = "Run", .status = 200, .reply = "one", .slow = 1},
        {"GET", "https://a/x", .status = 500, .reply = "two"},
        {"GET", NULL, .fault = HTTP_FAULT_TIMEOUT},
        {"GET", NULL, .status = 200, .reply = "this reply is longer than thirty-two bytes"},
        {"GET", "https://a/poll", .status = 202, .repeat = UINT_MAX},
    };
    struct weir_http *h = http_transcript_new(script, WEIR_ARRAY_LEN(script), NULL);
    struct seen s[6] = {0};
    send_one(h, "POST", "https://a/1", "Action=Run", &s[0]);
    assert_int_equal(s[0].n, 0);
    assert_int_equal(http_fake_pump(h), 1);
    assert_int_equal(http_fake_pump(h), 0);
    assert_string_equal(s[0].body, "one");
    send_one(h, "GET", "https://a/x", "", &s[1]);
    send_one(h, "GET", "https://a/y", "", &s[2]);
    send_one(h, "GET", "https://a/z", "", &s[3]);
    assert_string_equal(http_fake_problem(h) == NULL ? "" : "problem", "");
    assert_int_equal(http_fake_pump(h), 0);
    assert_int_equal(s[1].status, 500);
    assert_int_equal(s[2].code, -WEIR_ETIMEOUT);
    assert_int_equal(s[3].code, -WEIR_ELIMIT);
    for (int i = 0; i < 3; i++) {
        uint64_t id = send_one(h, "GET", "https://a/poll", "", &s[4]);
        if (i == 1) {
            h->ops->cancel(h, id);
        }
        (void)http_fake_pump(h);
    }
    assert_int_equal(s[4].n, 2);
    assert_null(http_fake_problem(h));
    assert_int_equal(http_fake_n_calls(h), 7);
    assert_string_equal(http_fake_call(h, 0)->url, "https://a/1");
    h->ops->free(h);
}

static void wrong_and_missing_calls_are_told(void **state)
{
    (void)state;
    static const struct http_step script[] = {{"POST", "https://a/*", .status = 200}};
    struct weir_http *h = http_transcript_new(script, 1, NULL);
    struct seen s = {0};
    assert_non_null(strstr(http_fake_problem(h), "did not come"));
    h->ops->free(h);
    h = http_transcript_new(script, 1, NULL);
    send_one(h, "GET", "https://b/", "", &s);
    assert_int_equal(http_fake_pump(h), 0);
    assert_int_equal(s.code, -WEIR_EIO);
    assert_non_null(strstr(http_fake_problem(h), "method"));
    h->ops->free(h);
}

static void respond(void *ctx, const struct weir_http_call *call, struct http_step *ret)
{
    ret->status = weir_streq(call->method, "GET") ? 200 : 405;
    ret->reply = ctx;
}

static void a_loop_delivers_by_itself(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    char text[] = "hello";
    struct weir_http *h = http_responder_new(respond, text, &loop);
    struct seen s[2] = {0};
    send_one(h, "GET", "https://a/", "", &s[0]);
    send_one(h, "PUT", "https://a/", "", &s[1]);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_string_equal(s[0].body, "hello");
    assert_int_equal(s[1].status, 405);
    h->ops->free(h);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_come_from_the_pump_in_order),
        cmocka_unit_test(wrong_and_missing_calls_are_told),
        cmocka_unit_test(a_loop_delivers_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
