/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a provider's section of the configuration, and its secrets. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cloud/section.h"

static char dir[] = "/tmp/weir-section-XXXXXX";
static const char *variable; /* what ACME_KEY is */

static const char *env(const char *name)
{
    return weir_streq(name, "HOME") ? dir : weir_streq(name, "ACME_KEY") ? variable : NULL;
}

static const struct weir_provider_env penv = {.getenv = env};

static json_t *section(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    return j;
}

static void unknown_keys_are_refused_with_a_suggestion(void **state)
{
    (void)state;
    static const char *const known[] = {"regions", "endpoint", NULL};
    struct weir_err err = {""};
    json_t *j = section("{\"region\": \"x\"}");
    assert_int_equal(weir_section_check(j, "acme", known, &err), -WEIR_ECONFIG);
    assert_string_equal(err.text, "acme: unknown key 'region'; did you mean 'regions'?");
    json_decref(j);
    j = section("[1]");
    assert_int_equal(weir_section_check(j, "acme", known, &err), -WEIR_ECONFIG);
    json_decref(j);
    assert_int_equal(weir_section_check(NULL, "acme", known, &err), 0);
}

static void names_are_a_list_or_one(void **state)
{
    (void)state;
    char names[3][8];
    size_t n = 9;
    struct weir_err err = {""};
    json_t *j = section("{\"a\": [\"x\", \"y\"], \"b\": \"z\", \"c\": [\"1\", \"2\", \"3\", \"4\"], \"d\": [\"too-long-a-name\"], \"e\": [7]}");
    assert_int_equal(weir_section_names(j, "acme", "none", names[0], 8, 3, &n, &err), 0);
    assert_int_equal(n, 9);
    assert_int_equal(weir_section_names(j, "acme", "a", names[0], 8, 3, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_string_equal(names[1], "y");
    assert_int_equal(weir_section_names(j, "acme", "b", names[0], 8, 3, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_string_equal(names[0], "z");
    assert_int_equal(weir_section_names(j, "acme", "c", names[0], 8, 3, &n, &err), -WEIR_ECONFIG);
    assert_string_equal(err.text, "acme.c: must be a list of at most 3 names");
    assert_int_equal(weir_section_names(j, "acme", "d", names[0], 8, 3, &n, &err), -WEIR_ECONFIG);
    assert_int_equal(weir_section_names(j, "acme", "e", names[0], 8, 3, &n, &err), -WEIR_ECONFIG);
    json_decref(j);
}

static void an_endpoint_is_https_or_here(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want; /* NULL: refused */
    } rows[] = {
        {"https://ec2.local.example/", "https://ec2.local.example"},
        {"http://127.0.0.1:5999", "http://127.0.0.1:5999"},
        {"http://localhost:5999/api/", "http://localhost:5999/api"},
        {"http://ec2.example", NULL},
        {"http://127.0.0.1.example", NULL},
        {"https://", NULL},
        {"ftp://x", NULL},
        {"ec2.example", NULL},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char got[64] = "";
        struct weir_err err = {""};
        json_t *j = json_pack("{s:s}", "endpoint", rows[i].text);
        int r = weir_section_endpoint(j, "acme", "endpoint", got, sizeof got, &err);
        json_decref(j);
        assert_int_equal(r, rows[i].want == NULL ? -WEIR_ECONFIG : 0);
        if (rows[i].want != NULL) {
            assert_string_equal(got, rows[i].want);
        }
    }
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static int find(const char *section_text, char **ret, struct weir_err *err)
{
    static const char *const vars[] = {"ACME_KEY", NULL};
    static const char *const files[] = {"~/.acme", NULL};
    json_t *j = section(section_text);
    int r = weir_section_secret(j, "acme", "api_key", &penv, vars, files, ret, err);
    json_decref(j);
    return r;
}

static void secrets_are_found_in_order(void **state)
{
    (void)state;
    char *got = NULL;
    struct weir_err err = {""};
    assert_int_equal(find("{}", &got, &err), -WEIR_ENOTFOUND);
    assert_string_equal(err.text, "acme: no api_key: looked for 'api_key_file' in the configuration, the variable ACME_KEY, the file ~/.acme");
    write_file(".acme", "from-the-home\n", 0600);
    assert_int_equal(find("{}", &got, &err), 0);
    assert_string_equal(got, "from-the-home");
    free(got);
    variable = "from-the-environment";
    assert_int_equal(find("{}", &got, &err), 0);
    assert_string_equal(got, "from-the-environment");
    free(got);
    write_file("named", "  from-the-file  \n", 0600);
    assert_int_equal(find("{\"api_key_file\": \"~/named\"}", &got, &err), 0);
    assert_string_equal(got, "from-the-file");
    free(got);
    assert_int_equal(find("{\"api_key_file\": \"~/absent\"}", &got, &err), -WEIR_ECONFIG);
    assert_memory_equal(err.text, "acme.api_key_file: ", 19);
    write_file("named", "", 0600);
    assert_int_equal(find("{\"api_key_file\": \"~/named\"}", &got, &err), -WEIR_ECONFIG);
    write_file("named", "x", 0666);
    assert_int_equal(find("{\"api_key_file\": \"~/named\"}", &got, &err), -WEIR_ECONFIG);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_int_equal(find("{\"api_key_file\": 7}", &got, &err), -WEIR_ECONFIG);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const names[] = {".acme", "named"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_keys_are_refused_with_a_suggestion),
        cmocka_unit_test(names_are_a_list_or_one),
        cmocka_unit_test(an_endpoint_is_https_or_here),
        cmocka_unit_test(secrets_are_found_in_order),
    };
    return cmocka_run_group_tests_name("section", tests, make_dir, remove_dir);
}
