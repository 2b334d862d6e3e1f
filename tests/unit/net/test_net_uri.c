/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for request targets and listen addresses. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/mem.h"
#include "net/address.h"
#include "net/uri.h"

/* Decodes into a buffer of exactly the promised size, so that a sanitizer sees any overrun. */
static int decode(struct weir_sv raw, char **buf, struct weir_uri *uri)
{
    const char *why = NULL;
    *buf = malloc(raw.n + 2);
    int r = weir_uri_decode(raw, *buf, uri, &why);
    assert_true(r == 0 || why != NULL);
    return r;
}

static void targets_are_decoded_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        const char *path; /* NULL: refused */
        const char *key;
        const char *value;
    } rows[] = {
        {"/", "/", NULL, NULL},
        {"/a/b", "/a/b", NULL, NULL},
        {"/a%20b?x=1", "/a b", "x", "1"},
        {"/?x", "/", "x", ""},
        {"/?x=", "/", "x", ""},
        {"/?&&x=a%26b&&", "/", "x", "a&b"},
        {"/?x=a+b%2B", "/", "x", "a b+"},
        {"/?a=1&x=2=3", "/", "x", "2=3"},
        {"/?=v", "/", "", "v"},
        {"/a..b/...", "/a..b/...", NULL, NULL},
        {"*", "*", NULL, NULL},
        {"http://h:1/p?x=1", "/p", "x", "1"},
        {"http://h", "/", NULL, NULL},
        {"https://h?x=1", "/", "x", "1"},
        {"/%C3%A9", "/\xc3\xa9", NULL, NULL},
        {"", NULL, NULL, NULL},
        {"a", NULL, NULL, NULL},
        {"?x=1", NULL, NULL, NULL},
        {"/%", NULL, NULL, NULL},
        {"/%2", NULL, NULL, NULL},
        {"/%zz", NULL, NULL, NULL},
        {"/%00", NULL, NULL, NULL},
        {"/a%0ab", NULL, NULL, NULL},
        {"/..", NULL, NULL, NULL},
        {"/a/../b", NULL, NULL, NULL},
        {"/a/%2e%2e/b", NULL, NULL, NULL},
        {"/a/..%2fb", NULL, NULL, NULL},
        {"/./a", NULL, NULL, NULL},
        {"/a#b", NULL, NULL, NULL},
        {"/?x=%", NULL, NULL, NULL},
        {"/?x=%00", NULL, NULL, NULL},
        {"/?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17&18&19&20&21&22&23&24&25&26&27&28&29&30&31&32&"
         "33",
         NULL,
         NULL,
         NULL},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_uri uri;
        char *buf = NULL;
        int r = decode(weir_sv_of(rows[i].raw), &buf, &uri);
        if ((r == 0) != (rows[i].path != NULL)) {
            fail_msg("'%s' gave %d", rows[i].raw, r);
        }
        if (r == 0) {
            assert_string_equal(uri.path, rows[i].path);
            bool is_found = rows[i].key == NULL;
            for (size_t k = 0; k < uri.n_query; k++) {
                is_found |= rows[i].key != NULL && weir_streq(uri.query[k].key, rows[i].key) &&
                            weir_streq(uri.query[k].value, rows[i].value);
            }
            assert_true(is_found);
        }
        free(buf);
    }
}

static void listen_addresses_are_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *back; /* NULL: refused */
        bool is_loopback;
    } rows[] = {
        {"127.0.0.1:7070", "127.0.0.1:7070", true},
        {"localhost:0", "127.0.0.1:0", true},
        {"127.8.9.10:1", "127.8.9.10:1", true},
        {"[::1]:7070", "[::1]:7070", true},
        {"[::ffff:127.0.0.1]:80", "127.0.0.1:80", true},
        {"10.0.0.1:80", "10.0.0.1:80", false},
        {":65535", "[::]:65535", false},
        {"0.0.0.0:1", "0.0.0.0:1", false},
        {"", NULL, false},
        {"7070", NULL, false},
        {"127.0.0.1", NULL, false},
        {"127.0.0.1:", NULL, false},
        {"127.0.0.1:65536", NULL, false},
        {"127.0.0.1:-1", NULL, false},
        {"127.0.0.1:1x", NULL, false},
        {"127.0.0:1", NULL, false},
        {"::1:7070", NULL, false},
        {"[::1:7070", NULL, false},
        {"[]:1", NULL, false},
        {"example.org:80", NULL, false},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_address a;
        struct weir_err err = {""};
        int r = weir_address_parse(weir_sv_of(rows[i].text), &a, &err);
        if ((r == 0) != (rows[i].back != NULL)) {
            fail_msg("'%s' gave %d %s", rows[i].text, r, err.text);
        }
        if (r == 0) {
            char buf[WEIR_ADDRESS_TEXT_SIZE];
            assert_string_equal(weir_address_format(&a.sa.any, buf), rows[i].back);
            assert_int_equal(weir_address_is_loopback(&a.sa.any), rows[i].is_loopback);
        } else {
            assert_int_equal(r, -WEIR_EINVAL);
            assert_non_null(strstr(err.text, rows[i].text));
        }
    }
}

static void loopback_urls_are_known(void **state)
{
    (void)state;
    assert_true(weir_url_is_loopback("http://127.0.0.1:7070/v1"));
    assert_true(weir_url_is_loopback("http://LOCALHOST"));
    assert_true(weir_url_is_loopback("https://[::1]:1/?x"));
    assert_false(weir_url_is_loopback("http://localhost@example.org/"));
    assert_false(weir_url_is_loopback("http://localhost.example.org/"));
    assert_false(weir_url_is_loopback("http://[::1"));
    assert_false(weir_url_is_loopback("http://10.0.0.1/"));
    assert_false(weir_url_is_loopback("nothing"));
    static const char *const direct[] = {"http://127.0.0.1:7070/v1", "http://169.254.169.254/latest/api/token", "http://169.254.170.2:80/creds",
                                         "http://[fd00:ec2::254]/latest/", "http://[fe80::1]/", "http://metadata.google.internal/computeMetadata/v1/"};
    static const char *const indirect[] = {"http://169.253.169.254/", "http://169.254.169.254@example.org/", "http://[fd00:ec2::255]/",
                                           "http://metadata.google.internal.example.org/", "https://ec2.us-east-1.amazonaws.com/", "nothing"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(direct); i++) {
        assert_true(weir_url_is_direct(direct[i]));
        assert_false(weir_url_is_direct(indirect[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_decoded_strictly),
        cmocka_unit_test(listen_addresses_are_numbers),
        cmocka_unit_test(loopback_urls_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
