/* SPDX-License-Identifier: Apache-2.0 */
/* AWS signatures against published vectors (the suite of aws-c-auth) and against requests that another implementation signed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cloud/ec2/sigv4.h"
#include "net/uri.h"

#define SUITE_TIME {2015, 8, 30, 12, 36, 0, 0}
#define OWN_TIME {2026, 1, 1, 0, 0, 0, 0}
#define FORM "application/x-www-form-urlencoded"

struct vector {
    const char *name;
    const char *method;
    const char *url;
    const char *type; /* Content-Type; NULL: none */
    const char *body;
    const char *token;
    struct weir_date time;
    const char *service;
    const char *want;
};

static const char describe[] = "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3Abroker&Filter.1.Value.1=acme";

static const struct vector vectors[] = {
    {"get-vanilla", "GET", "https://example.amazonaws.com/", NULL, "", "", SUITE_TIME, "service",
     "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"no path is the root", "GET", "https://example.amazonaws.com", NULL, "", "", SUITE_TIME, "service",
     "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-vanilla", "POST", "https://example.amazonaws.com/", NULL, "", "", SUITE_TIME, "service",
     "SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-x-www-form-urlencoded", "POST", "https://example.amazonaws.com/", FORM, "Param1=value1", "", SUITE_TIME, "service",
     "SignedHeaders=content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"get-vanilla-query-order-encoded", "GET", "https://example.amazonaws.com/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", NULL, "", "",
     SUITE_TIME, "service", "SignedHeaders=host;x-amz-date, Signature=371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {"get-vanilla-with-session-token", "GET", "https://example.amazonaws.com/", NULL, "",
     "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267", SUITE_TIME, "service",
     "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"DescribeInstances", "POST", "https://ec2.us-east-1.amazonaws.com/", FORM "; charset=utf-8", describe, "", OWN_TIME, "ec2",
     "SignedHeaders=content-type;host;x-amz-date, Signature=9787f4113d43de6abd25bfb55193152634a7fbee7cf06a338228dee42f44225a"},
    {"DescribeInstances with a session token", "POST", "https://ec2.us-east-1.amazonaws.com/", FORM "; charset=utf-8", describe,
     "SESSIONTOKENEXAMPLE==", OWN_TIME, "ec2",
     "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=bc6262802860ee22d868f7e2ca5a22e7820c874edffbb24726767b970fdd4352"},
};

static void published_vectors_give_their_signatures(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct weir_sigv4_key key = {.id = "AKIDEXAMPLE", .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};
        memcpy(key.token, v->token, strlen(v->token) + 1);
        const struct weir_http_header type = {"Content-Type", v->type};
        const struct weir_http_call call = {.method = v->method, .url = v->url, .header = &type, .n_headers = v->type == NULL ? 0 : 1,
                                            .body = weir_sv_of(v->body)};
        struct weir_arena arena = {0};
        struct weir_cloud_headers h = {.arena = &arena};
        struct weir_err err = {""};
        assert_int_equal(weir_sigv4_sign(&key, "us-east-1", v->service, &call, weir_wall_from_date(v->time), &h, &err), 0);
        const char *got = h.header[h.n - 1].value;
        assert_string_equal(h.header[h.n - 1].name, "Authorization");
        if (strstr(got, v->want) == NULL) {
            fail_msg("%s: %s", v->name, got);
        }
        assert_string_equal(h.header[0].name, "X-Amz-Date");
        weir_arena_release(&arena);
    }
}

static void what_cannot_be_signed_is_refused(void **state)
{
    (void)state;
    static const struct weir_sigv4_key key = {.id = "A", .secret = "B"};
    struct weir_arena arena = {0};
    struct weir_cloud_headers h = {.arena = &arena};
    struct weir_str url = WEIR_STR_INIT(4096);
    weir_str_adds(&url, "https://example.com/?a=1");
    for (int i = 0; i < 100; i++) {
        weir_str_adds(&url, "&a=1");
    }
    const char *const urls[] = {"example.com", weir_str_cstr(&url)};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(urls); i++) {
        const struct weir_http_call call = {.method = "GET", .url = urls[i]};
        assert_int_equal(weir_sigv4_sign(&key, "us-east-1", "ec2", &call, (struct weir_wall){1}, &h, NULL), -WEIR_EINVAL);
    }
    weir_str_release(&url);
    weir_arena_release(&arena);
}

static void all_but_unreserved_characters_are_encoded(void **state)
{
    (void)state;
    struct weir_str s = WEIR_STR_INIT(256);
    weir_uri_encode(&s, WEIR_SV("aZ09-_.~ +/=&\xc3\xa9\n"));
    assert_string_equal(weir_str_cstr(&s), "aZ09-_.~%20%2B%2F%3D%26%C3%A9%0A");
    weir_str_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_give_their_signatures),
        cmocka_unit_test(what_cannot_be_signed_is_refused),
        cmocka_unit_test(all_but_unreserved_characters_are_encoded),
    };
    return cmocka_run_group_tests_name("sigv4", tests, NULL, NULL);
}
