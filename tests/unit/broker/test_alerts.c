/* SPDX-License-Identifier: Apache-2.0 */

/* The book of alerts: what is news, who is to be told, what a restart finds. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/alerts_book.h"

#define T(s) ((struct weir_wall){(s) * WEIR_US_PER_S + INT64_C(1793491200000000)})

static bool see(struct weir_alert_book *b, const char *key, uint32_t step, int64_t at_s)
{
    const struct weir_alert_sight s = {.condition = WEIR_ALERT_NODE_LOST, .key = key, .project = "vision", .text = "it is lost", .step = step};
    return weir_alert_book_see(b, &s, T(at_s));
}

static bool is_due(const struct weir_alert *a, int64_t at_s)
{
    const struct weir_alert_due d = {.receiver = "ops", .now = T(at_s), .repeat = weir_dur_s(3600)};
    return weir_alert_is_due(a, &d);
}

static void tell(struct weir_alert *a, int64_t at_s)
{
    struct weir_alert_told *t = weir_alert_told_to(a, "ops");
    t->known = true;
    t->firing = a->firing;
    t->since = a->since;
    t->at = T(at_s);
}

static void what_is_seen_again_is_no_news(void **state)
{
    (void)state;
    struct weir_alert_book b = {0};
    for (int64_t s = 0; s < 10; s++) {
        assert_true(see(&b, "node-lost/1", 0, s));
    }
    struct weir_alert *a = weir_alert_book_find(&b, 1);
    assert_int_equal(b.alerts.n, 1);
    assert_int_equal(a->since.us, T(0).us);
    assert_int_equal(a->times, 1);
    assert_true(is_due(a, 10));
    tell(a, 10);
    assert_false(is_due(a, 11));
    assert_true(is_due(a, 3611)); /* a reminder */
    a->acked = T(20);
    assert_false(is_due(a, 3611));
    assert_true(see(&b, "node-lost/1", 5, 30)); /* it has become worse: nobody has acknowledged that */
    assert_int_equal(a->acked.us, 0);
    assert_true(is_due(a, 31));
    tell(a, 31);
    assert_true(see(&b, "node-lost/1", 3, 40));
    assert_false(is_due(a, 41));
    weir_alert_book_release(&b);
}

static void what_is_not_seen_in_a_look_is_over(void **state)
{
    (void)state;
    struct weir_alert_book b = {0};
    uint64_t round = weir_alert_book_begin(&b);
    (void)see(&b, "node-lost/1", 0, 0);
    (void)see(&b, "node-lost/2", 0, 0);
    weir_alert_book_end(&b, WEIR_ALERT_NODE_LOST, "", round, T(0));
    struct weir_alert *one = weir_alert_book_find(&b, 1);
    struct weir_alert *two = weir_alert_book_find(&b, 2);
    assert_true(one->firing && two->firing);
    tell(one, 1);
    round = weir_alert_book_begin(&b);
    (void)see(&b, "node-lost/2", 0, 5);
    weir_alert_book_end(&b, WEIR_ALERT_NODE_LOST, "other/", round, T(5));
    weir_alert_book_end(&b, WEIR_ALERT_NODE_UNFIT, "", round, T(5));
    assert_true(one->firing); /* that look was at others */
    weir_alert_book_end(&b, WEIR_ALERT_NODE_LOST, "", round, T(5));
    assert_false(one->firing);
    assert_true(two->firing);
    assert_true(is_due(one, 6));
    tell(one, 6);
    assert_false(is_due(one, 1000000));
    weir_alert_book_clear(&b, "node-lost/2", T(7));
    assert_false(is_due(two, 8)); /* who never heard of it need not hear that it is over */
    (void)see(&b, "node-lost/1", 0, 9);
    assert_int_equal(one->times, 2);
    assert_true(is_due(one, 9));
    weir_alert_book_release(&b);
}

static void the_silenced_are_told_of_when_it_ends(void **state)
{
    (void)state;
    struct weir_alert_book b = {0};
    (void)see(&b, "node-lost/1", 0, 0);
    struct weir_alert *a = weir_alert_book_find(&b, 1);
    a->silenced_until = T(100);
    assert_false(is_due(a, 99));
    assert_true(is_due(a, 100));
    weir_alert_book_release(&b);
}

static void gone(void *ctx, const struct weir_alert *a)
{
    *(uint64_t *)ctx += a->id;
}

static void a_restart_finds_all_of_it(void **state)
{
    (void)state;
    struct weir_alert_book b = {0};
    struct weir_alert_book c = {0};
    struct weir_err err;
    (void)see(&b, "node-lost/1", 7, 0);
    (void)see(&b, "node-lost/2", 0, 0);
    struct weir_alert *a = weir_alert_book_find(&b, 1);
    tell(a, 5);
    weir_alert_told_to(a, "ops")->attempts = 3;
    a->acked = T(6);
    (void)snprintf(a->acked_by, sizeof a->acked_by, "ada");
    for (size_t i = 0; i < b.alerts.n; i++) {
        struct weir_str json = weir_alert_to_json(b.alerts.p[i]);
        assert_int_equal(weir_alert_book_restore(&c, weir_str_cstr(&json), &err), 0);
        weir_str_release(&json);
    }
    struct weir_alert *x = weir_alert_book_find(&c, 1);
    assert_false(is_due(x, 10));
    assert_int_equal(weir_alert_told_to(x, "ops")->attempts, 3);
    assert_string_equal(x->acked_by, "ada");
    assert_int_equal(x->step, 7);
    (void)see(&c, "node-lost/1", 7, 20);
    assert_false(is_due(x, 20));
    (void)see(&c, "node-lost/3", 0, 20);
    assert_non_null(weir_alert_book_find(&c, 3)); /* ids go on */
    static const char *const bad[] = {"", "{}", "[]", "{\"id\":9}", "{\"id\":9,\"condition\":\"none\",\"severity\":\"warning\",\"key\":\"k\"}",
                                      "{\"id\":2,\"condition\":\"node-lost\",\"severity\":\"warning\",\"key\":\"k\"}",
                                      "{\"id\":9,\"condition\":\"node-lost\",\"severity\":\"warning\",\"key\":\"node-lost/1\"}"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        assert_int_equal(weir_alert_book_restore(&c, bad[i], &err), -WEIR_ECORRUPT);
    }
    weir_alert_book_release(&b);
    weir_alert_book_release(&c);
}

static void the_book_has_an_end_and_old_pages_go(void **state)
{
    (void)state;
    struct weir_alert_book b = {0};
    char key[64];
    uint64_t round = weir_alert_book_begin(&b);
    for (int i = 0; i < WEIR_ALERTS_MAX + 10; i++) {
        (void)snprintf(key, sizeof key, "node-lost/%d", i);
        assert_int_equal(see(&b, key, 0, 0), i < WEIR_ALERTS_MAX);
    }
    assert_int_equal(b.dropped, 10);
    weir_alert_book_end(&b, WEIR_ALERT_NODE_LOST, "", round, T(0));
    assert_true(see(&b, "node-lost/5", 0, 1)); /* what is there is found */
    weir_alert_book_end(&b, WEIR_ALERT_NODE_LOST, "", weir_alert_book_begin(&b), T(2));
    uint64_t sum = 0;
    weir_alert_book_forget(&b, T(2), gone, &sum);
    assert_int_equal(b.alerts.n, WEIR_ALERTS_MAX);
    weir_alert_book_forget(&b, T(3), gone, &sum);
    assert_int_equal(b.alerts.n, 1); /* the newest, so that ids go on */
    assert_int_equal(sum, (uint64_t)WEIR_ALERTS_MAX * (WEIR_ALERTS_MAX - 1) / 2);
    assert_true(see(&b, "node-lost/5", 0, 4));
    assert_int_equal(b.alerts.p[1]->id, WEIR_ALERTS_MAX + 1);
    weir_alert_book_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_seen_again_is_no_news),
        cmocka_unit_test(what_is_not_seen_in_a_look_is_over),
        cmocka_unit_test(the_silenced_are_told_of_when_it_ends),
        cmocka_unit_test(a_restart_finds_all_of_it),
        cmocka_unit_test(the_book_has_an_end_and_old_pages_go),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
