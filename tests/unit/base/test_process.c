/* SPDX-License-Identifier: Apache-2.0 */
/* What a process shows of its secrets, and still knows itself. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/process.h"

extern char **environ;

static bool environment_has(const char *word)
{
    for (char **e = environ; *e != NULL; e++) {
        if (strstr(*e, word) != NULL) {
            return true;
        }
    }
    return false;
}

static void what_is_hidden_is_found_by_one_way_only(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool hidden;
    } rows[] = {
        {"AWS_ACCESS_KEY_ID", true},           {"AWS_SECRET_ACCESS_KEY", true}, {"AWS_WEB_IDENTITY_TOKEN_FILE", true},
        {"GOOGLE_APPLICATION_CREDENTIALS", true}, {"RUNPOD_API_KEY", true},        {"AWS_REGION", false},
        {"LANG_OF_TEST", false},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(setenv(rows[i].name, "a value of it", 1), 0);
    }
    weir_process_hide_secrets();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(environment_has(rows[i].name), !rows[i].hidden);
        assert_string_equal(weir_process_env(rows[i].name), "a value of it");
    }
    assert_null(weir_process_env("AWS_SECRET_ACCESS"));
    assert_null(weir_process_env("NO_SUCH_TOKEN"));
    /* what is set later is hidden by a second call, beside the first */
    assert_int_equal(setenv("LATE_PASSWORD", "x", 1), 0);
    weir_process_hide_secrets();
    assert_false(environment_has("LATE_PASSWORD"));
    assert_string_equal(weir_process_env("LATE_PASSWORD"), "x");
    assert_string_equal(weir_process_env("AWS_ACCESS_KEY_ID"), "a value of it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_hidden_is_found_by_one_way_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
