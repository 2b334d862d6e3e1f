/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "spec/budget.h"
#include "spec/spec.h"

static void scopes_are_read(void **state)
{
    static const struct {
        const char *text;
        enum weir_budget_scope scope;
        const char *name;
        const char *tag;
    } cases[] = {
        {"organisation", WEIR_BUDGET_ORGANISATION, "", ""},
        {"project:vision", WEIR_BUDGET_PROJECT, "vision", ""},
        {"project:a:b", WEIR_BUDGET_PROJECT, "a:b", ""},
        {"user:ada", WEIR_BUDGET_USER, "ada", ""},
        {"tag:team=red \"one\"", WEIR_BUDGET_TAG, "", "\"team\":\"red \\\"one\\\"\""},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct weir_budget b = {.scope = WEIR_BUDGET_SCOPE_MAX};
        char name[32];
        struct weir_err err;
        assert_int_equal(weir_budget_read_scope(weir_sv_of(cases[i].text), &b, name, sizeof name, &err), 0);
        assert_int_equal(b.scope, cases[i].scope);
        assert_string_equal(name, cases[i].name);
        assert_string_equal(b.tag, cases[i].tag);
    }
}

static void what_is_no_scope_is_refused(void **state)
{
    static const char *const cases[] = {"", "project", "project:", "user:", "organisation:x", "team:x", "tag:", "tag:k", "tag:k=", "tag:=v",
                                        "project:a name of more than thirty-one bytes"};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct weir_budget b = {.scope = WEIR_BUDGET_USER};
        char name[32];
        struct weir_err err;
        assert_int_equal(weir_budget_read_scope(weir_sv_of(cases[i]), &b, name, sizeof name, &err), -WEIR_EINVAL);
        assert_non_null(strstr(err.text, "scope"));
    }
}

static void spans_are_read(void **state)
{
    static const struct {
        const char *word, *from, *until;
        int span; /* < 0: refused */
    } cases[] = {
        {NULL, NULL, NULL, WEIR_BUDGET_MONTH},
        {"quarter", NULL, NULL, WEIR_BUDGET_QUARTER},
        {"forever", NULL, NULL, WEIR_BUDGET_FOREVER},
        {NULL, "2026-11-01", "2026-12-01", WEIR_BUDGET_FIXED},
        {"fixed", "2026-11-01", "2026-12-01", WEIR_BUDGET_FIXED},
        {"fixed", NULL, NULL, -1},
        {"fixed", "2026-11-01", NULL, -1},
        {"month", "2026-11-01", "2026-12-01", -1},
        {NULL, "2026-12-01", "2026-11-01", -1},
        {NULL, "2026-12-01", "soon", -1},
        {"week", NULL, NULL, -1},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct weir_budget b = {.span = WEIR_BUDGET_QUARTER, .until = {1}};
        struct weir_err err;
        int r = weir_budget_read_span(cases[i].word, cases[i].from, cases[i].until, &b, &err);
        assert_int_equal(r < 0 ? -1 : b.span, cases[i].span);
        assert_int_equal(b.until.us, r < 0 ? 1 : b.span == WEIR_BUDGET_FIXED ? INT64_C(1796083200000000) : 0);
    }
}

static void thresholds_add_up(void **state)
{
    struct weir_budget b = {.n_thresholds = 0};
    struct weir_err err;
    (void)state;
    assert_int_equal(weir_budget_read_threshold(WEIR_SV("80:warn"), &b, &err), 0);
    assert_int_equal(weir_budget_read_threshold(WEIR_SV("100:stop-all"), &b, &err), 0);
    assert_int_equal(b.n_thresholds, 2);
    assert_int_equal(b.threshold[1].percent, 100);
    assert_int_equal(b.threshold[1].action, WEIR_BUDGET_STOP_ALL);
    static const char *const bad[] = {"", "80", "80:", "80:stop", "0:warn", "1001:warn", "x:warn", "80:warn "};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        assert_int_equal(weir_budget_read_threshold(weir_sv_of(bad[i]), &b, &err), -WEIR_EINVAL);
    }
    while (b.n_thresholds < WEIR_BUDGET_THRESHOLDS_MAX) {
        assert_int_equal(weir_budget_read_threshold(WEIR_SV("90:warn"), &b, &err), 0);
    }
    assert_int_equal(weir_budget_read_threshold(WEIR_SV("90:warn"), &b, &err), -WEIR_EINVAL);
}

static void amounts_have_bounds(void **state)
{
    int64_t micro = 7;
    struct weir_err err;
    (void)state;
    assert_int_equal(weir_budget_read_money(WEIR_SV("2000.5"), "amount", "USD", &micro, &err), 0);
    assert_int_equal(micro, 2000500000);
    assert_true(weir_budget_read_money(WEIR_SV("-1"), "amount", "USD", &micro, &err) < 0);
    assert_non_null(strstr(err.text, "amount"));
    assert_true(weir_budget_read_money(WEIR_SV("1000000000001"), "amount", "USD", &micro, &err) < 0);
    assert_true(weir_budget_read_money(WEIR_SV("much"), "amount", "USD", &micro, &err) < 0);
    assert_int_equal(micro, 2000500000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes_are_read),     cmocka_unit_test(what_is_no_scope_is_refused),
        cmocka_unit_test(spans_are_read),      cmocka_unit_test(thresholds_add_up),
        cmocka_unit_test(amounts_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
