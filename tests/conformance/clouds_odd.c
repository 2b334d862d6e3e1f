/* SPDX-License-Identifier: Apache-2.0 */
/* What no honest provider does, and what it says when it is broken: odd answers, lists without machines or without an end, keys in refusals. */

#include "clouds_priv.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mock.h"

void clouds_what_was_left_out_of_lists_is_there_again(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    const char *t = clouds_token();
    struct answer a = rig_launch(g, t);
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    mock_fault("unlisted", NULL, -1, "");
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    struct answer b = rig_describe(g, NULL, a.inst[0].id);
    while (b.r.n_instances == 1 && b.inst[0].state != WEIR_INSTANCE_GONE && weir_clock_mono(&weir_clock_os).us < limit) {
        b = rig_describe(g, NULL, a.inst[0].id);
    }
    assert_true(b.r.n_instances == 0 || b.inst[0].state == WEIR_INSTANCE_GONE);
    assert_int_equal(rig_list(g, NULL).r.n_instances, 0);
    clouds_clear();
    b = rig_list(g, NULL); /* it costs on: the sweep must see it */
    assert_int_equal(b.r.n_instances, 1);
    assert_string_equal(b.inst[0].id, a.inst[0].id);
    assert_string_equal(b.inst[0].token, t);
    assert_int_equal(b.inst[0].state, WEIR_INSTANCE_RUNNING);
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    clouds_await_nothing(g);
    clouds_end(g);
}

void clouds_an_end_that_was_taken_and_not_carried_out(void **state)
{
    (void)state;
    enum { LATER_S = 61 };
    struct rig *g = clouds_begin();
    struct answer a = rig_launch(g, clouds_token());
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    mock_fault("ignored_end", NULL, 1, "");
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    assert_int_equal(mock_alive(), 1);
    rig_ahead_us += LATER_S * WEIR_US_PER_S;
    assert_int_equal(rig_describe(g, NULL, a.inst[0].id).inst[0].state, WEIR_INSTANCE_RUNNING); /* so that it is told again */
    assert_int_equal(rig_list(g, NULL).inst[0].state, WEIR_INSTANCE_RUNNING);
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    clouds_await_nothing(g);
    assert_false(rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false).reclaimed);
    clouds_end(g);
}

void clouds_lists_without_an_end(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    assert_int_equal(rig_launch(g, clouds_token()).r.class, WEIR_PROVIDER_OK);
    if (!clouds_subject->one_page) {
        mock_fault("endless_pages", NULL, -1, "");
        if (clouds_subject->keeps_tags) { /* whose pages of machines the broker counts */
            struct offers_answer o = rig_ask_offers(g);
            assert_true(o.n > 0 && o.bad == 0);
        } else {
            struct answer a = rig_try_list(g, NULL);
            assert_int_equal(a.r.class, WEIR_PROVIDER_UNKNOWN);
            assert_non_null(strstr(a.r.text, "pages"));
        }
        clouds_clear();
    }
    assert_int_equal(clouds_count_all(g), 1);
    clouds_end(g);
}

void clouds_a_machine_in_a_state_that_is_new_is_there(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    struct answer a = rig_launch(g, clouds_token());
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    mock_fault("odd_body", "list", 1, ", \"kind\": \"stateless\"");
    struct answer b = rig_list(g, NULL);
    assert_int_equal(b.r.n_instances, 1);
    assert_string_equal(b.inst[0].id, a.inst[0].id);
    assert_true(b.inst[0].state == WEIR_INSTANCE_PENDING || b.inst[0].state == WEIR_INSTANCE_RUNNING); /* nor is it told to end for that */
    assert_int_equal(rig_describe(g, NULL, a.inst[0].id).inst[0].state, WEIR_INSTANCE_RUNNING);
    clouds_end(g);
}

/* A refusal may name the key, and be too long to be kept whole. */
void clouds_keys_are_not_shown(void **state)
{
    (void)state;
    enum { TELLING_BYTES = 8 };
    struct rig *g = clouds_begin();
    for (int pad = 0; pad < 250; pad += 19) {
        char more[32];
        char part[TELLING_BYTES + 4] = "";
        (void)snprintf(more, sizeof more, ", \"pad\": %d", pad);
        mock_fault("echo", "list", 1, more);
        struct answer a = rig_try_list(g, NULL);
        assert_int_equal(a.r.class, WEIR_PROVIDER_REFUSED);
        json_t *all = mock_inventory();
        const json_t *echoed = json_object_get(all, "echoed");
        const char *key = json_string_value(json_array_get(echoed, json_array_size(echoed) - 1));
        assert_true(key != NULL && strlen(key) >= TELLING_BYTES);
        (void)snprintf(part, sizeof part, "%.*s", TELLING_BYTES + 2, key);
        if (!clouds_subject->keeps_tags && strstr(a.r.text, part) != NULL) { /* else it is a signature, and no secret */
            fail_msg("the key '%s' is shown: %s", key, a.r.text);
        }
        json_decref(all);
    }
    clouds_end(g);
}

struct odd_answer {
    bool came;
    size_t n;
};

static void note_odd_offers(void *ctx, const struct weir_provider_result *r)
{
    struct odd_answer *a = ctx;
    assert_false(a->came);
    a->came = true;
    a->n = r->n_offers;
    for (size_t i = 0; i < r->n_offers; i++) {
        const struct weir_offer *o = &r->offer[i];
        assert_true(o->price_micro_per_hour > 0 && o->price_micro_per_hour < INT64_C(1000000) * 1000000);
        assert_true(o->cpu_milli <= 100 * 1000 * 1000 && o->mem_mib <= UINT64_C(1) << 40);
        assert_true(o->price_since.us <= weir_clock_wall(&weir_clock_os).us + WEIR_US_PER_S);
        assert_true(o->egress_micro_per_gib >= 0);
    }
}

static void note_odd_quota(void *ctx, const struct weir_provider_result *r)
{
    struct odd_answer *a = ctx;
    assert_false(a->came);
    a->came = true;
    for (size_t i = 0; i < r->n_quotas; i++) {
        assert_true(r->quota[i].limit >= 0 && r->quota[i].used >= 0);
    }
}

static void ask_oddly(struct rig *g, const char *kind, int seed)
{
    char more[64];
    struct odd_answer o = {.came = false};
    struct odd_answer q = {.came = false};
    (void)snprintf(more, sizeof more, ", \"kind\": \"%s\", \"seed\": %d", kind, seed);
    mock_fault("odd_body", "list", 1, more);
    struct answer a = rig_try_list(g, NULL);
    assert_int_equal(a.times, 1);
    assert_true(a.r.class == WEIR_PROVIDER_OK || a.r.text[0] != '\0');
    rig_pause_ms(g, 2);
    mock_fault("odd_body", NULL, 1, more);
    assert_int_equal(g->s->ops->offers(g->p, note_odd_offers, &o), 0);
    rig_run_until(g, &o.came);
    if (clouds_fault_number("odd_body", "left") == 0 && g->s->ops->quota != NULL) {
        mock_fault("odd_body", NULL, 1, more);
        assert_int_equal(g->s->ops->quota(g->p, note_odd_quota, &q), 0);
        rig_run_until(g, &q.came);
    }
}

void clouds_odd_answers_are_survived(void **state)
{
    (void)state;
    enum { SEEDS = 2 };
    static const char *const kinds[] = {"null", "text", "number", "negative", "large", "nested", "odd", "long", "far", "past", "nan", "twice", "emptied", "deep", "huge"};
    struct rig *g = clouds_begin();
    const char *t = clouds_token();
    struct answer a = rig_launch(g, t);
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++) {
        for (int seed = 0; seed < (i < 10 ? SEEDS : 1); seed++) {
            ask_oddly(g, kinds[i], seed);
        }
    }
    mock_tell("clear", "{}"); /* what the last offers had no need to ask */
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    struct answer b = rig_try_list(g, NULL);
    while ((b.r.n_instances != 1 || !weir_streq(b.inst[0].id, a.inst[0].id) || !weir_streq(b.inst[0].token, t)) && weir_clock_mono(&weir_clock_os).us < limit) {
        b = rig_try_list(g, NULL);
    }
    assert_int_equal(b.r.n_instances, 1);
    assert_string_equal(b.inst[0].id, a.inst[0].id);
    assert_string_equal(b.inst[0].token, t);
    struct offers_answer o = rig_ask_offers(g);
    assert_true(o.n > 0 && o.bad == 0);
    assert_int_equal(mock_alive(), 1);
    clouds_end(g);
}
