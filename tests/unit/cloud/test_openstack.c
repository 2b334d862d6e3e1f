/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are at an OpenStack, by its clients' variables and files, and where Nova is, by a token's catalog. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cloud/openstack/openstack_priv.h"

#define SECTION "\"image\": \"i-1\", \"flavors\": {\"g\": {\"gpus\": \"A100:2\", \"price\": 2.5}}"

static const char *const *variables; /* name, value, ...; ends with NULL */

static const char *environment(const char *name)
{
    for (const char *const *v = variables; v != NULL && *v != NULL; v += 2) {
        if (strcmp(v[0], name) == 0) {
            return v[1];
        }
    }
    return NULL;
}

/* Reads the section with these variables; gives the code, and the text where it is an error. */
static int read_conf(struct openstack *ret, const char *const *with, const char *endpoint, const char *section, struct weir_err *err)
{
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_provider_env env = {.getenv = environment, .gpus = gpus};
    json_t *j = json_loads(section, 0, NULL);
    assert_non_null(j);
    variables = with;
    err->text[0] = '\0';
    int r = openstack_conf_read(ret, &env, endpoint, j, err);
    json_decref(j);
    weir_gpu_table_free(gpus);
    return r;
}

static void variables_of_a_user_are_understood(void **state)
{
    (void)state;
    static const char *const with[] = {"OS_AUTH_URL",    "https://keystone.example:5000/v3/", "OS_USERNAME",    "ada", "OS_PASSWORD", "secret",
                                       "OS_PROJECT_ID", "p1",                                "OS_REGION_NAME", "one", NULL};
    struct openstack o;
    struct weir_err err;
    assert_int_equal(read_conf(&o, with, "", "{" SECTION "}", &err), 0);
    assert_string_equal(o.auth.auth_url, "https://keystone.example:5000");
    assert_string_equal(o.auth.username, "ada");
    assert_string_equal(o.auth.password, "secret");
    assert_string_equal(o.auth.region_name, "one");
    assert_string_equal(o.auth.interface, "public");
    assert_int_equal(o.flavor.n, 1);
    assert_int_equal(o.flavor.p[0].gpus, 2);
    assert_int_equal(o.flavor.p[0].price_micro_per_hour, 2500000);
    assert_true(o.flavor.p[0].gpu_mem_mib > 0);
    openstack_conf_release(&o);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
#define USER "OS_AUTH_URL", "https://k.example", "OS_USERNAME", "ada", "OS_PROJECT_NAME", "gpu"
    static const struct {
        const char *with[16];
        const char *section;
        const char *says;
    } rows[] = {
        {{NULL}, "{" SECTION "}", "which cloud?"},
        {{"OS_CLOUD", "nowhere", NULL}, "{" SECTION "}", "no clouds.yaml has the cloud 'nowhere'"},
        {{USER, NULL}, "{" SECTION "}", "set OS_PASSWORD"},
        {{"OS_AUTH_URL", "http://k.example:5000", "OS_USERNAME", "a", "OS_PASSWORD", "b", NULL}, "{" SECTION "}", "must be an https:// address"},
        {{"OS_AUTH_URL", "https://k.example", "OS_PASSWORD", "b", NULL}, "{" SECTION "}", "set OS_USERNAME"},
        {{"OS_AUTH_URL", "https://k.example", "OS_USERNAME", "a", "OS_PASSWORD", "b", NULL}, "{" SECTION "}", "set OS_PROJECT_NAME"},
        {{"OS_AUTH_URL", "https://k.example", "OS_APPLICATION_CREDENTIAL_ID", "c", NULL}, "{" SECTION "}", "set OS_APPLICATION_CREDENTIAL_SECRET"},
        {{USER, "OS_PASSWORD", "b", "OS_CACERT", "/nonexistent.pem", NULL}, "{" SECTION "}", "/nonexistent.pem"},
        {{USER, "OS_PASSWORD", "b", NULL}, "{\"flavors\": {\"g\": {\"gpus\": \"A100:2\", \"price\": 1}}}", "openstack.image"},
        {{USER, "OS_PASSWORD", "b", NULL}, "{\"image\": \"i\"}", "openstack.flavors"},
        {{USER, "OS_PASSWORD", "b", NULL}, "{\"image\": \"i\", \"flavors\": {\"g\": {\"gpus\": \"A100:2\"}}}", "openstack.flavors.g.price"},
        {{USER, "OS_PASSWORD", "b", NULL}, "{\"image\": \"i\", \"flavors\": {\"g\": {\"gpus\": \"A100:2\", \"price\": 0}}}", "openstack.flavors.g.price"},
        {{USER, "OS_PASSWORD", "b", NULL}, "{\"image\": \"i\", \"flavors\": {\"g\": {\"gpus\": \"B9000:2\", \"price\": 1}}}", "openstack.flavors.g.gpus"},
        {{USER, "OS_PASSWORD", "b", NULL}, "{\"image\": \"i\", \"flavors\": {\"g\": {\"gpus\": \"A100:0\", \"price\": 1}}}", "openstack.flavors.g.gpus"},
        {{USER, "OS_PASSWORD", "b", NULL}, "{\"image\": \"i\", \"flavors\": {\"g\": {\"gpu\": \"A100\", \"price\": 1}}}", "did you mean 'gpus'"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct openstack o;
        struct weir_err err;
        assert_int_equal(read_conf(&o, rows[i].with, "", rows[i].section, &err), -WEIR_ECONFIG);
        if (strstr(err.text, rows[i].says) == NULL) {
            fail_msg("row %zu: '%s' does not say '%s'", i, err.text, rows[i].says);
        }
    }
}

static void clouds_yaml_and_a_secret_file(void **state)
{
    (void)state;
    static char clouds[] = "/tmp/weir-clouds-XXXXXX";
    static char secret[] = "/tmp/weir-secret-XXXXXX";
    static const char yaml[] = "clouds:\n  other: {auth: {auth_url: https://o.example, username: eve}}\n  lab:\n    auth:\n"
                               "      auth_url: https://lab.example/identity/v3\n      application_credential_id: \"7\"\n    region_name: two\n    interface: internal\n";
    const char *const with[] = {"OS_CLIENT_CONFIG_FILE", clouds, "OS_CLOUD", "other", "OS_USERNAME", "not me", NULL};
    struct openstack o;
    struct weir_err err;
    char section[256];
    int fd = mkstemp(clouds);
    assert_int_equal(write(fd, yaml, sizeof yaml - 1), sizeof yaml - 1);
    (void)close(fd);
    fd = mkstemp(secret);
    assert_int_equal(write(fd, "hush\n", 5), 5);
    (void)close(fd);
    (void)snprintf(section, sizeof section, "{\"cloud\": \"lab\", \"api_key_file\": \"%s\", " SECTION "}", secret);
    assert_int_equal(read_conf(&o, with, "", section, &err), 0);
    assert_string_equal(o.auth.auth_url, "https://lab.example/identity");
    assert_string_equal(o.auth.application_credential_id, "7");
    assert_string_equal(o.auth.application_credential_secret, "hush");
    assert_string_equal(o.auth.username, ""); /* a named cloud is the file's alone */
    assert_string_equal(o.auth.region_name, "two");
    assert_string_equal(o.auth.interface, "internal");
    openstack_conf_release(&o);
    assert_int_equal(truncate(clouds, 20), 0); /* what is left is no YAML of ours */
    assert_int_equal(read_conf(&o, with, "", section, &err), -WEIR_ECONFIG);
    (void)unlink(clouds);
    (void)unlink(secret);
}

#define TIMES "\"issued_at\": \"2026-11-23T10:00:00.000000Z\", \"expires_at\": \"2026-11-23T11:00:00.000000Z\""
#define NOVA(interface, region, url) "{\"interface\": \"" interface "\", \"region_id\": \"" region "\", \"url\": \"" url "\"}"

static void a_catalog_says_where_nova_is(void **state)
{
    (void)state;
    static const struct {
        const char *region;
        const char *token;
        const char *says; /* NULL: fine */
    } rows[] = {
        {"", TIMES ", \"catalog\": [{\"type\": \"compute\", \"endpoints\": [" NOVA("public", "one", "https://n.example/v2.1/") "]}]", NULL},
        {"one", TIMES ", \"catalog\": [{\"type\": \"compute\", \"endpoints\": [" NOVA("public", "two", "https://x.example") ", " NOVA("public", "one", "https://n.example/v2.1") "]}]", NULL},
        {"", TIMES ", \"catalog\": [{\"type\": \"compute\", \"endpoints\": [" NOVA("public", "two", "https://x.example") ", " NOVA("public", "one", "https://n.example/v2.1") "]}]", "give 'region'"},
        {"three", TIMES ", \"catalog\": [{\"type\": \"compute\", \"endpoints\": [" NOVA("public", "one", "https://n.example/v2.1") "]}]", "in three"},
        {"", TIMES ", \"catalog\": [{\"type\": \"compute\", \"endpoints\": [" NOVA("internal", "one", "https://n.example/v2.1") "]}]", "no public endpoint"},
        {"", TIMES ", \"catalog\": [{\"type\": \"compute\", \"endpoints\": [" NOVA("public", "one", "http://n.example/v2.1") "]}]", "in the clear"},
        {"", TIMES ", \"catalog\": [{\"type\": \"image\", \"endpoints\": [" NOVA("public", "one", "https://n.example/v2.1") "]}]", "no public endpoint"},
        {"", "\"catalog\": [{\"type\": \"compute\", \"endpoints\": [" NOVA("public", "one", "https://n.example/v2.1") "]}]", "for how long"},
        {"", TIMES, "no public endpoint"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct openstack o = {.token = NULL};
        struct weir_err err = {""};
        struct weir_dur life = {0};
        char text[1024];
        (void)snprintf(o.auth.interface, sizeof o.auth.interface, "public");
        (void)snprintf(o.auth.region_name, sizeof o.auth.region_name, "%s", rows[i].region);
        (void)snprintf(text, sizeof text, "{\"token\": {%s}}", rows[i].token);
        json_t *body = json_loads(text, 0, NULL);
        assert_non_null(body);
        int r = openstack_token_read(&o, body, &life, &err);
        json_decref(body);
        if (rows[i].says == NULL) {
            assert_string_equal(err.text, "");
            assert_int_equal(r, 0);
            assert_string_equal(o.compute, "https://n.example/v2.1");
            assert_string_equal(o.region, "one");
            assert_int_equal(life.us, 3600 * WEIR_US_PER_S);
        } else {
            assert_true(r < 0);
            assert_string_equal(o.compute, "");
            if (strstr(err.text, rows[i].says) == NULL) {
                fail_msg("row %zu: '%s' does not say '%s'", i, err.text, rows[i].says);
            }
        }
    }
    struct weir_dur life;
    struct openstack o = {.token = NULL};
    assert_true(openstack_token_read(&o, NULL, &life, NULL) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_of_a_user_are_understood),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(clouds_yaml_and_a_secret_file),
        cmocka_unit_test(a_catalog_says_where_nova_is),
    };
    return cmocka_run_group_tests_name("openstack", tests, NULL, NULL);
}
