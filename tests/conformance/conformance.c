/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>

#include "base/mem.h"
#include "rig.h"

static const char quick[] = "{\"boot_delay\": \"50ms\", \"reclaim_notice\": \"300ms\"}";

/* ---- the promises ---- */

static void offers_have_prices_sources_and_distinct_ids(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    struct offers_answer a = rig_ask_offers(g);
    assert_true(a.n >= 2);
    assert_int_equal(a.bad, 0);
    assert_true(g->on_demand.id != 0);
    assert_true(g->spot.id != 0 || (g->s->ops->caps & WEIR_PROVIDER_SPOT) == 0);
    rig_free(g);
}

static void a_machine_boots_and_is_found_by_token_and_id(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    struct weir_wall before = weir_clock_wall(&weir_clock_os);
    struct answer a = rig_launch(g, "t-1");
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    assert_int_equal(a.r.n_instances, 1);
    assert_string_equal(a.inst[0].token, "t-1");
    assert_true(a.inst[0].launched.us >= before.us);
    assert_int_equal(a.inst[0].ended.us, 0);
    struct weir_instance i = rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    struct answer b = rig_describe(g, "t-1", NULL);
    assert_int_equal(b.r.n_instances, 1);
    assert_string_equal(b.inst[0].id, i.id);
    assert_int_equal(b.inst[0].launched.us, a.inst[0].launched.us);
    assert_false(i.reclaimed);
    rig_free(g);
}

static void the_same_token_never_makes_two_machines(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    /* Four at once, then one more after. */
    struct answer a[4] = {{0}};
    struct weir_launch l = rig_launch_of(g, "t-1", &g->on_demand, 60);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(g->s->ops->launch(g->p, &l, rig_note, &a[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        rig_run_until(g, &a[i].came);
        assert_int_equal(a[i].r.class, WEIR_PROVIDER_OK);
        assert_string_equal(a[i].inst[0].id, a[0].inst[0].id);
    }
    struct answer b = rig_launch(g, "t-1");
    assert_string_equal(b.inst[0].id, a[0].inst[0].id);
    assert_int_equal(rig_list(g, NULL).r.n_instances, 1);
    /* Also not after it has ended. */
    (void)rig_terminate(g, b.inst[0].id);
    (void)rig_await(g, b.inst[0].id, WEIR_INSTANCE_GONE, false);
    b = rig_launch(g, "t-1");
    assert_int_equal(b.r.class, WEIR_PROVIDER_OK);
    assert_int_equal(b.inst[0].state, WEIR_INSTANCE_GONE);
    assert_int_equal(rig_list(g, NULL).r.n_instances, 0);
    rig_free(g);
}

static void a_lost_reply_is_answered_by_the_token(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    static const char *const faults[] = {"lost_reply", "half_made"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(faults); i++) {
        assert_int_equal(g->s->ops->fault(g->p, faults[i], NULL), 0);
        struct answer a = rig_launch(g, faults[i]);
        assert_int_equal(a.r.class, WEIR_PROVIDER_UNKNOWN);
        assert_true(a.r.text[0] != '\0');
        assert_int_equal(a.r.n_instances, 0);
        struct answer b = rig_describe(g, faults[i], NULL);
        assert_int_equal(b.r.n_instances, 1);
        struct answer c = rig_launch(g, faults[i]);
        assert_int_equal(c.r.class, WEIR_PROVIDER_OK);
        assert_string_equal(c.inst[0].id, b.inst[0].id);
        (void)rig_await(g, b.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    }
    assert_int_equal(rig_list(g, NULL).r.n_instances, 2);
    rig_free(g);
}

static void a_machine_that_was_half_made_is_listed_and_finished(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    assert_int_equal(g->s->ops->fault(g->p, "half_made", NULL), 0);
    (void)rig_launch(g, "t-1");
    rig_close(g); /* the broker is killed here and comes back */
    rig_open(g, quick);
    struct answer a = rig_list(g, NULL);
    assert_int_equal(a.r.n_instances, 1);
    assert_string_equal(a.inst[0].token, "t-1");
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    rig_free(g);
}

static void terminate_is_proven_by_describe_and_may_be_repeated(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    struct answer a = rig_launch(g, "t-1");
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    struct weir_instance i = rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    assert_true(i.ended.us >= i.launched.us && i.launched.us > 0);
    assert_false(i.reclaimed);
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    /* The bill does not move any more. */
    assert_int_equal(rig_describe(g, "t-1", NULL).inst[0].ended.us, i.ended.us);
    assert_int_equal(rig_terminate(g, "sb-0123456789abcdef").r.class, WEIR_PROVIDER_OK);
    rig_free(g);
}

static void a_machine_may_be_ended_while_it_boots(void **state)
{
    (void)state;
    struct rig *g = rig_new("{\"boot_delay\": \"30s\"}");
    struct answer a = rig_launch(g, "t-1");
    assert_int_equal(a.inst[0].state, WEIR_INSTANCE_PENDING);
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    rig_free(g);
}

static void what_never_was_is_not_described(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    assert_int_equal(rig_describe(g, "never", NULL).r.n_instances, 0);
    assert_int_equal(rig_describe(g, NULL, "sb-0123456789abcdef").r.n_instances, 0);
    assert_int_equal(rig_describe(g, NULL, "../../etc").r.n_instances, 0);
    assert_int_equal(rig_describe(g, NULL, "").r.n_instances, 0);
    rig_free(g);
}

static void add_foreign(struct rig *g)
{
    if (g->s->add_foreign != NULL) {
        g->s->add_foreign(g->dir, "somebody-else", weir_clock_wall(&weir_clock_os));
        return;
    }
    struct weir_provider *mine = g->p;
    g->env.owner = "somebody-else";
    rig_open(g, quick);
    assert_int_equal(rig_launch(g, "foreign").r.class, WEIR_PROVIDER_OK);
    rig_close(g);
    g->env.owner = "me";
    g->p = mine;
}

/* Ends the foreign machine, which the suite's own owner may not. */
static void remove_foreign(struct rig *g)
{
    struct weir_provider *mine = g->p;
    g->env.owner = "somebody-else";
    rig_open(g, quick);
    rig_terminate_all(g);
    rig_close(g);
    g->env.owner = "me";
    g->p = mine;
}

static void a_list_has_pages_and_only_our_machines(void **state)
{
    (void)state;
    struct rig *g = rig_new("{\"boot_delay\": \"50ms\", \"page_size\": 2}");
    add_foreign(g);
    char seen[5][WEIR_INSTANCE_ID_SIZE];
    for (int i = 0; i < 5; i++) {
        char token[16];
        (void)snprintf(token, sizeof token, "t-%d", i);
        assert_int_equal(rig_launch(g, token).r.class, WEIR_PROVIDER_OK);
    }
    size_t n = 0;
    size_t pages = 0;
    char page[WEIR_INSTANCE_ID_SIZE] = "";
    do {
        struct answer a = rig_list(g, page[0] == '\0' ? NULL : page);
        assert_true(a.r.n_instances <= 2);
        for (size_t i = 0; i < a.r.n_instances; i++) {
            for (size_t k = 0; k < n; k++) {
                assert_string_not_equal(seen[k], a.inst[i].id);
            }
            assert_true(n < 5);
            assert_memory_equal(a.inst[i].token, "t-", 2);
            (void)snprintf(seen[n++], sizeof seen[0], "%s", a.inst[i].id);
        }
        (void)snprintf(page, sizeof page, "%s", a.next_page);
        pages++;
    } while (page[0] != '\0' && pages < 10);
    assert_int_equal(n, 5);
    assert_int_equal(pages, 3);
    assert_int_equal(rig_describe(g, "foreign", NULL).r.n_instances, 0);
    remove_foreign(g);
    rig_free(g);
}

static void a_full_cloud_says_no_capacity_until_one_ends(void **state)
{
    (void)state;
    struct rig *g = rig_new("{\"boot_delay\": \"50ms\", \"capacity\": 1}");
    struct answer a = rig_launch(g, "t-1");
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    assert_int_equal(rig_launch(g, "t-2").r.class, WEIR_PROVIDER_NO_CAPACITY);
    assert_int_equal(rig_describe(g, "t-2", NULL).r.n_instances, 0);
    assert_int_equal(rig_launch(g, "t-1").r.class, WEIR_PROVIDER_OK); /* it exists already */
    (void)rig_terminate(g, a.inst[0].id);
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    assert_int_equal(rig_launch(g, "t-2").r.class, WEIR_PROVIDER_OK);
    rig_free(g);
}

static void refusals_have_their_class_and_make_nothing(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    static const struct {
        const char *fault;
        enum weir_provider_class class;
        int64_t retry_after_us;
    } rows[] = {
        {"no_capacity", WEIR_PROVIDER_NO_CAPACITY, 0},
        {"quota", WEIR_PROVIDER_QUOTA, 0},
        {"throttled:7s", WEIR_PROVIDER_THROTTLED, 7 * WEIR_US_PER_S},
        {"refused", WEIR_PROVIDER_REFUSED, 0},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(g->s->ops->fault(g->p, rows[i].fault, NULL), 0);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct answer a = rig_launch(g, "t-1");
        assert_int_equal(a.r.class, rows[i].class);
        assert_int_equal(a.r.retry_after.us, rows[i].retry_after_us);
        assert_int_equal(a.r.n_instances, 0);
        assert_true(a.r.text[0] != '\0');
        assert_int_equal(rig_describe(g, "t-1", NULL).r.n_instances, 0);
    }
    assert_int_equal(rig_launch(g, "t-1").r.class, WEIR_PROVIDER_OK);
    /* A lease that has ended before it starts is a mistake of the caller. */
    assert_int_equal(rig_launch_with(g, "t-2", &g->on_demand, -1).r.class, WEIR_PROVIDER_REFUSED);
    rig_free(g);
}

static void an_unknown_fault_is_refused_with_a_suggestion(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    struct weir_err err = {""};
    assert_int_equal(g->s->ops->fault(g->p, "no_capacty", &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "did you mean 'no_capacity'"));
    assert_int_equal(g->s->ops->fault(g->p, "reclaim:sb-0123456789abcdef", &err), -WEIR_ENOTFOUND);
    rig_free(g);
}

static void a_slow_answer_comes_once_and_late(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    assert_int_equal(g->s->ops->fault(g->p, "slow:200ms", NULL), 0);
    int64_t before = weir_clock_mono(&weir_clock_os).us;
    struct answer a = rig_launch(g, "t-1");
    assert_true(weir_clock_mono(&weir_clock_os).us - before >= 190 * WEIR_US_PER_MS);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    rig_pause_ms(g, 50);
    assert_int_equal(a.times, 1);
    rig_free(g);
}

static void a_machine_that_never_boots_stays_pending(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    assert_int_equal(g->s->ops->fault(g->p, "boot_never", NULL), 0);
    struct answer a = rig_launch(g, "t-1");
    struct answer b = rig_launch(g, "t-2");
    (void)rig_await(g, b.inst[0].id, WEIR_INSTANCE_RUNNING, false); /* longer than the boot takes */
    assert_int_equal(rig_describe(g, NULL, a.inst[0].id).inst[0].state, WEIR_INSTANCE_PENDING);
    rig_free(g);
}

static void spot_is_reclaimed_with_notice_and_on_demand_is_not(void **state)
{
    (void)state;
    struct rig *g = rig_new("{\"boot_delay\": \"10ms\", \"reclaim_after\": \"200ms\", "
                            "\"reclaim_notice\": \"400ms\"}");
    if ((g->s->ops->caps & WEIR_PROVIDER_SPOT) == 0) {
        rig_free(g);
        return;
    }
    struct answer own = rig_launch(g, "t-own");
    struct answer a = rig_launch_with(g, "t-spot", &g->spot, 60);
    struct weir_instance i = rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, true);
    assert_int_not_equal(i.state, WEIR_INSTANCE_GONE);
    assert_true(i.reclaim_at.us > i.launched.us);
    struct weir_wall at = i.reclaim_at;
    i = rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    assert_true(i.reclaimed);
    assert_int_equal(i.reclaim_at.us, at.us);
    assert_true(i.ended.us >= at.us);
    struct answer b = rig_describe(g, NULL, own.inst[0].id);
    assert_int_equal(b.inst[0].state, WEIR_INSTANCE_RUNNING);
    assert_false(b.inst[0].reclaimed);
    rig_free(g);
}

static void a_named_machine_is_reclaimed_on_request(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    struct answer a = rig_launch_with(g, "t-1", g->spot.id != 0 ? &g->spot : &g->on_demand, 60);
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    char fault[WEIR_INSTANCE_ID_SIZE + 16];
    (void)snprintf(fault, sizeof fault, "reclaim:%s", a.inst[0].id);
    assert_int_equal(g->s->ops->fault(g->p, fault, NULL), 0);
    struct weir_instance i = rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    assert_true(i.reclaimed);
    rig_free(g);
}

static void a_machine_ends_with_its_lease_though_nobody_asks(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    struct answer a = rig_launch_with(g, "t-1", &g->on_demand, 1);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    struct weir_instance i = rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    assert_true(weir_wall_sub(i.ended, i.launched).us >= 500 * WEIR_US_PER_MS);
    assert_false(i.reclaimed);
    rig_free(g);
}

static void machines_outlive_the_broker(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    struct answer a = rig_launch(g, "t-1");
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    rig_close(g);
    rig_open(g, quick);
    struct answer b = rig_describe(g, "t-1", NULL);
    assert_int_equal(b.r.n_instances, 1);
    assert_int_equal(b.inst[0].state, WEIR_INSTANCE_RUNNING);
    assert_int_equal(b.inst[0].launched.us, a.inst[0].launched.us);
    assert_int_equal(rig_list(g, NULL).r.n_instances, 1);
    rig_free(g);
}

static void nothing_is_answered_after_fini(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    struct answer a = {0};
    struct answer b = {0};
    struct weir_launch l = rig_launch_of(g, "t-1", &g->on_demand, 60);
    assert_int_equal(g->s->ops->fault(g->p, "slow:100ms", NULL), 0);
    assert_int_equal(g->s->ops->launch(g->p, &l, rig_note, &a), 0);
    assert_int_equal(g->s->ops->list(g->p, NULL, rig_note, &b), 0);
    rig_close(g);
    assert_false(a.came);
    assert_false(b.came);
    rig_open(g, quick);
    rig_free(g);
}

static void an_unknown_key_of_the_configuration_is_refused(void **state)
{
    (void)state;
    struct rig *g = rig_new(quick);
    struct weir_provider *p = NULL;
    struct weir_err err = {""};
    json_t *conf = json_loads("{\"boot_dely\": \"1s\"}", 0, NULL);
    assert_int_equal(g->s->ops->init(&p, &g->env, conf, &err), -WEIR_ECONFIG);
    json_decref(conf);
    assert_null(p);
    assert_non_null(strstr(err.text, "did you mean 'boot_delay'"));
    rig_free(g);
}

int weir_conformance_run(const struct weir_conformance_subject *s)
{
    rig_subject = s;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_have_prices_sources_and_distinct_ids),
        cmocka_unit_test(a_machine_boots_and_is_found_by_token_and_id),
        cmocka_unit_test(the_same_token_never_makes_two_machines),
        cmocka_unit_test(a_lost_reply_is_answered_by_the_token),
        cmocka_unit_test(a_machine_that_was_half_made_is_listed_and_finished),
        cmocka_unit_test(terminate_is_proven_by_describe_and_may_be_repeated),
        cmocka_unit_test(a_machine_may_be_ended_while_it_boots),
        cmocka_unit_test(what_never_was_is_not_described),
        cmocka_unit_test(a_list_has_pages_and_only_our_machines),
        cmocka_unit_test(a_full_cloud_says_no_capacity_until_one_ends),
        cmocka_unit_test(refusals_have_their_class_and_make_nothing),
        cmocka_unit_test(an_unknown_fault_is_refused_with_a_suggestion),
        cmocka_unit_test(a_slow_answer_comes_once_and_late),
        cmocka_unit_test(a_machine_that_never_boots_stays_pending),
        cmocka_unit_test(spot_is_reclaimed_with_notice_and_on_demand_is_not),
        cmocka_unit_test(a_named_machine_is_reclaimed_on_request),
        cmocka_unit_test(a_machine_ends_with_its_lease_though_nobody_asks),
        cmocka_unit_test(machines_outlive_the_broker),
        cmocka_unit_test(nothing_is_answered_after_fini),
        cmocka_unit_test(an_unknown_key_of_the_configuration_is_refused),
    };
    return cmocka_run_group_tests_name(s->name, tests, NULL, NULL);
}
