/* SPDX-License-Identifier: Apache-2.0 */
/* The command table, exit codes and the small parts of the client. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/jobs.h"

static void check_options(const struct weir_opt *opts)
{
    for (const struct weir_opt *o = opts; o != NULL && o->name != NULL; o++) {
        assert_non_null(o->help);
        assert_true((o->kind == WEIR_OPT_FLAG) == (o->arg == NULL));
        assert_true((o->kind == WEIR_OPT_CHOICE) == (o->choices != NULL));
        for (const struct weir_opt *other = opts; other != o; other++) {
            assert_string_not_equal(other->name, o->name);
            assert_true(o->letter == '\0' || o->letter != other->letter);
        }
        for (const struct weir_opt *other = weir_common_options; other->name != NULL && opts != weir_common_options;
             other++) {
            assert_string_not_equal(other->name, o->name);
            assert_true(o->letter == '\0' || o->letter != other->letter);
        }
    }
}

static void every_command_is_complete(void **state)
{
    (void)state;
    check_options(weir_common_options);
    for (const struct weir_cli_command *c = weir_cli_commands; c->name != NULL; c++) {
        assert_true((c->fn == NULL) != (c->raw == NULL));
        assert_non_null(c->summary);
        assert_non_null(c->operands);
        assert_true(c->summary[strlen(c->summary) - 1] != '.');
        assert_true(c->operands_min <= c->operands_max);
        assert_ptr_equal(weir_cli_command_find(c->name), c);
        check_options(c->opts);
    }
    assert_null(weir_cli_command_find("nothing"));
}

static void help_fits_its_bound(void **state)
{
    (void)state;
    struct weir_str out = WEIR_STR_INIT(WEIR_HELP_BYTES_MAX);
    for (const struct weir_cli_command *c = weir_cli_commands; c->name != NULL; c++) {
        weir_str_clear(&out);
        weir_help_command(c, &out);
        weir_help_man_command(c, &out);
        assert_false(out.overflowed);
    }
    static const char *const shells[] = {"bash", "zsh", "fish"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(shells); i++) {
        weir_str_clear(&out);
        assert_true(weir_help_completion(shells[i], &out));
        assert_false(out.overflowed);
    }
    weir_str_release(&out);
}

static void a_tasks_end_becomes_an_exit_status(void **state)
{
    (void)state;
    static const struct {
        const char *task;
        int status;
    } rows[] = {
        {"{\"state\":\"succeeded\",\"exit_code\":0}", 0},
        {"{\"state\":\"failed\",\"reason\":\"exit\",\"exit_code\":7}", 7},
        {"{\"state\":\"failed\",\"reason\":\"exit\",\"exit_code\":255}", 255},
        {"{\"state\":\"failed\",\"reason\":\"signal\",\"exit_code\":0,\"signal\":11}", 139},
        {"{\"state\":\"failed\",\"reason\":\"oom\",\"signal\":9}", 137},
        {"{\"state\":\"failed\",\"reason\":\"timeout\",\"signal\":15}", 124},
        {"{\"state\":\"cancelled\",\"signal\":15}", 143},
        {"{\"state\":\"failed\",\"reason\":\"start_failed\",\"exit_code\":null}", 125},
        {"{\"state\":\"failed\",\"reason\":\"exit\",\"exit_code\":0}", 125},
        {"{\"state\":\"failed\",\"exit_code\":100000,\"signal\":-5}", 125},
        {"{}", 125},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        json_t *task = json_loads(rows[i].task, 0, NULL);
        assert_non_null(task);
        assert_int_equal(weir_task_exit_status(task), rows[i].status);
        json_decref(task);
    }
}

static void queries_and_paths_are_encoded(void **state)
{
    (void)state;
    struct weir_str s = WEIR_STR_INIT(1024);
    weir_str_adds(&s, "/v1/projects");
    weir_path_add(&s, "a/b ?");
    weir_path_add(&s, "..");
    weir_query_add(&s, "none", NULL);
    weir_query_add(&s, "x", "1&2=\xc3\xa4");
    weir_query_add_u64(&s, "n", 5);
    assert_string_equal(weir_str_cstr(&s), "/v1/projects/a%2Fb%20%3F/%2E%2E?x=1%262%3D%C3%A4&n=5");
    weir_str_release(&s);
}

static void answers_of_the_wrong_type_read_as_absent(void **state)
{
    (void)state;
    json_t *o = json_loads(
        "{\"a\":\"x\",\"n\":5,\"t\":\"2026-11-22T00:00:00Z\",\"bad\":\"never\",\"z\":null,\"b\":true}", 0, NULL);
    assert_string_equal(weir_get_text(o, "a"), "x");
    assert_null(weir_get_text(o, "n"));
    assert_null(weir_get_text(NULL, "n"));
    assert_int_equal(weir_get_i64(o, "n", -1), 5);
    assert_int_equal(weir_get_i64(o, "a", -1), -1);
    assert_true(weir_get_bool(o, "b"));
    assert_false(weir_get_bool(o, "a"));
    assert_false(weir_get_is_set(o, "z"));
    assert_true(weir_get_time(o, "t").us > 0);
    assert_int_equal(weir_get_time(o, "bad").us, 0);
    assert_string_equal(weir_get_currency(o), "USD");
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_complete),
        cmocka_unit_test(help_fits_its_bound),
        cmocka_unit_test(a_tasks_end_becomes_an_exit_status),
        cmocka_unit_test(queries_and_paths_are_encoded),
        cmocka_unit_test(answers_of_the_wrong_type_read_as_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
