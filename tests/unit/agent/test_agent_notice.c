/* SPDX-License-Identifier: Apache-2.0 */
/* Notices of reclaim, as the clouds' metadata services give them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <uv.h>

#include "agent/notice.h"
#include "base/mem.h"
#include "base/parse.h"
#include "http_transcript.h"

struct heard {
    int times;
    struct weir_wall at;
};

static void hear(void *ctx, struct weir_wall at)
{
    struct heard *h = ctx;
    h->times++;
    h->at = at;
}

static void set_flag(uv_timer_t *t)
{
    *(bool *)t->data = true;
}

/* Plays the script until a notice was heard, or for a moment. */
static struct heard play(const char *kind, const struct http_step *script, size_t n, uint64_t moment_ms)
{
    uv_loop_t loop;
    uv_timer_t limit;
    bool late = false;
    struct heard h = {0};
    struct weir_notice *notice = NULL;
    struct weir_err err = {""};
    assert_int_equal(uv_loop_init(&loop), 0);
    struct weir_http *http = http_transcript_new(script, n, &loop);
    const struct weir_notice_conf conf = {.kind = kind, .base_url = "http://metadata.example/", .loop = &loop, .http = http, .clock = &weir_clock_os,
                                          .every_ms = 1, .fn = hear, .ctx = &h};
    assert_int_equal(weir_notice_start(&notice, &conf, &err), 0);
    (void)uv_timer_init(&loop, &limit);
    limit.data = &late;
    (void)uv_timer_start(&limit, set_flag, moment_ms, 0);
    while (h.times == 0 && !late) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    if (http_fake_problem(http) != NULL) {
        fail_msg("%s", http_fake_problem(http));
    }
    weir_notice_stop(notice);
    uv_close((uv_handle_t *)&limit, NULL);
    http->ops->free(http);
    while (uv_run(&loop, UV_RUN_DEFAULT) != 0) {
    }
    assert_int_equal(uv_loop_close(&loop), 0);
    return h;
}

#define ACTION "http://metadata.example/latest/meta-data/spot/instance-action"
#define ADVICE "http://metadata.example/latest/meta-data/events/recommendations/rebalance"
#define TOKEN {"PUT", "http://metadata.example/latest/api/token", .status = 200, .reply = "TOKEN", .header_has = "X-aws-ec2-metadata-token-ttl-seconds: 21600"}

static void ec2_tells_when_a_spot_machine_goes(void **state)
{
    (void)state;
    static const struct http_step script[] = {
        {.fault = HTTP_FAULT_UNREACHABLE}, /* not up yet */
        TOKEN,
        {"GET", ACTION, .status = 404, .header_has = "X-aws-ec2-metadata-token: TOKEN"},
        {"GET", ADVICE, .status = 404},
        {"GET", ACTION, .status = 404},
        {"GET", ADVICE, .status = 200, .reply = "{\"noticeTime\":\"2020-10-27T08:22:00Z\"}"},
        {"GET", ACTION, .status = 401}, /* the token has ended */
        TOKEN,
        {"GET", ACTION, .status = 404},
        {"GET", ACTION, .status = 200, .reply = "{\"action\":\"terminate\",\"time\":\"2017-09-18T08:22:00Z\"}"},
    };
    struct heard h = play("ec2", script, WEIR_ARRAY_LEN(script), 10000);
    struct weir_wall want;
    assert_int_equal(weir_parse_time(WEIR_SV("2017-09-18T08:22:00Z"), &want, NULL), 0);
    assert_int_equal(h.times, 1);
    assert_int_equal(h.at.us, want.us);
}

static void google_gives_thirty_seconds(void **state)
{
    (void)state;
    static const struct http_step script[] = {
        {"GET", "http://metadata.example/computeMetadata/v1/instance/preempted", .status = 200, .reply = "FALSE", .header_has = "Metadata-Flavor: Google"},
        {"GET", NULL, .status = 200, .reply = "TRUE\n"},
    };
    struct weir_wall before = weir_clock_wall(&weir_clock_os);
    struct heard h = play("gce", script, WEIR_ARRAY_LEN(script), 10000);
    assert_int_equal(h.times, 1);
    assert_true(weir_wall_sub(h.at, before).us >= 30 * WEIR_US_PER_S && weir_wall_sub(h.at, before).us < 60 * WEIR_US_PER_S);
}

static void azure_schedules_events(void **state)
{
    (void)state;
    static const struct http_step script[] = {
        {"GET", "http://metadata.example/metadata/scheduledevents*", .status = 200, .header_has = "Metadata: true",
         .reply = "{\"Events\":[{\"EventType\":\"Freeze\",\"NotBefore\":\"Mon, 19 Sep 2016 18:29:47 GMT\"}]}"},
        {"GET", NULL, .status = 200, .reply = "{\"Events\":[{\"EventType\":\"Preempt\",\"NotBefore\":\"Mon, 19 Sep 2016 18:29:47 GMT\"}]}"},
    };
    struct heard h = play("azure", script, WEIR_ARRAY_LEN(script), 10000);
    assert_int_equal(h.times, 1);
    assert_int_equal(h.at.us, weir_http_date(WEIR_SV("Mon, 19 Sep 2016 18:29:47 GMT")).us);
    assert_true(h.at.us > 0);
}

static void nonsense_is_no_notice(void **state)
{
    (void)state;
    static const char *const kinds[] = {"gce", "azure"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++) {
        static const struct http_step script[] = {{"GET", NULL, .status = 200, .reply = "<html>", .repeat = UINT_MAX}};
        assert_int_equal(play(kinds[i], script, 1, 30).times, 0);
    }
}

static void an_unknown_kind_is_refused(void **state)
{
    (void)state;
    struct weir_notice *n = NULL;
    struct weir_err err = {""};
    const struct weir_notice_conf conf = {.kind = "ec3"};
    assert_int_equal(weir_notice_start(&n, &conf, &err), -WEIR_EINVAL);
    assert_null(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ec2_tells_when_a_spot_machine_goes),
        cmocka_unit_test(google_gives_thirty_seconds),
        cmocka_unit_test(azure_schedules_events),
        cmocka_unit_test(nonsense_is_no_notice),
        cmocka_unit_test(an_unknown_kind_is_refused),
    };
    return cmocka_run_group_tests_name("notice", tests, NULL, NULL);
}
