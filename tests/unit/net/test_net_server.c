/* SPDX-License-Identifier: Apache-2.0 */
/* The server against the blocking client and raw sockets, on loopback. */

#include "net_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

static void requests_are_answered_at_once_and_later(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, NULL);
    struct weir_http_session *s = NULL;
    assert_int_equal(weir_http_session_new(&s, NULL), 0);
    struct weir_http_reply reply;
    for (int i = 0; i < 50; i++) {
        const char *path = i % 2 == 0 ? "/echo" : "/later";
        char body[32];
        (void)snprintf(body, sizeof(body), "{\"i\":%d}", i);
        assert_int_equal(simple_call(s, "POST", f.url, path, weir_sv_of(body), &reply), 0);
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply.body.p, body);
        assert_string_equal(reply.content_type, "application/json");
    }
    assert_int_equal(simple_call(s, "GET", f.url, "/nothing", WEIR_SV(""), &reply), 0);
    assert_int_equal(reply.status, 404);
    assert_string_equal(reply.body.p, "{\"error\":{\"code\":\"notfound\",\"message\":\"no page /nothing\"}}");
    assert_int_equal(simple_call(s, "HEAD", f.url, "/echo", WEIR_SV(""), &reply), 0);
    assert_int_equal(reply.status, 200);
    assert_int_equal(simple_call(s, "GET", f.url, "/query?b=1&a=x%20y+z", WEIR_SV(""), &reply), 0);
    assert_string_equal(reply.body.p, "x y z");
    assert_int_equal(simple_call(s, "GET", f.url, "/big?n=1000000", WEIR_SV(""), &reply), 0);
    assert_int_equal(reply.body.n, 1000000);
    weir_http_session_free(s);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_at_once_and_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
