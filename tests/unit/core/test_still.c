/* SPDX-License-Identifier: Apache-2.0 */
/* Waits that are foreseen: a core that weighs everything, beside one that does not, does the same and says the same, over random histories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/core_priv.h"
#include "history.h"

/* How many histories, and from which seed on, where that is asked for. */
static uint64_t histories = 12;
static uint64_t first_seed = 1;

/* What is not told apart by these is told by the tasks' and leases' lists. */
static void same_effect(const struct weir_effect *a, const struct weir_effect *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->node.v, b->node.v);
    assert_int_equal(a->lease.v, b->lease.v);
    assert_true(weir_run_id_eq(a->run, b->run));
    assert_int_equal(a->rank, b->rank);
    assert_int_equal(a->at.us, b->at.us);
    if (a->kind == WEIR_EFFECT_RUN_START) {
        assert_int_equal(a->u.run_start.gpu_mask, b->u.run_start.gpu_mask);
    } else if (a->kind == WEIR_EFFECT_LEASE_LAUNCH) {
        assert_int_equal(a->u.lease_launch.offer->id, b->u.lease_launch.offer->id);
    }
}

static void same_candidate(const struct weir_candidate *a, const struct weir_candidate *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->verdict, b->verdict);
    assert_int_equal(a->node.v, b->node.v);
    assert_int_equal(a->offer, b->offer);
    assert_int_equal(a->start_delay.us, b->start_delay.us);
    assert_int_equal(a->run_micro, b->run_micro);
    assert_int_equal(a->wait_micro, b->wait_micro);
    assert_int_equal(a->total_micro, b->total_micro);
}

static void same_explain(const struct weir_explain *a, const struct weir_explain *b)
{
    assert_int_equal(a->decision, b->decision);
    assert_int_equal(a->task.job.v, b->task.job.v);
    assert_int_equal(a->task.ordinal, b->task.ordinal);
    assert_int_equal(a->node.v, b->node.v);
    assert_int_equal(a->lease.v, b->lease.v);
    assert_int_equal(a->reason, b->reason);
    assert_int_equal(a->queue_ahead, b->queue_ahead);
    assert_int_equal(a->margin_micro, b->margin_micro);
    assert_int_equal(a->n_considered, b->n_considered);
    assert_memory_equal(a->rejected, b->rejected, sizeof a->rejected);
    assert_int_equal(a->n_candidates, b->n_candidates);
    for (uint32_t i = 0; i < a->n_candidates; i++) {
        same_candidate(&a->candidate[i], &b->candidate[i]);
    }
}

static void same_step(const struct weir_effects *a, const struct weir_effects *b)
{
    assert_int_equal(a->n_effects, b->n_effects);
    for (size_t i = 0; i < a->n_effects; i++) {
        same_effect(&a->effect[i], &b->effect[i]);
    }
    assert_int_equal(a->n_explains, b->n_explains);
    for (size_t i = 0; i < a->n_explains; i++) {
        same_explain(&a->explain[i], &b->explain[i]);
    }
    assert_int_equal(a->n_tasks, b->n_tasks);
    assert_int_equal(a->n_leases, b->n_leases);
    assert_int_equal(a->n_shapes, b->n_shapes);
    assert_int_equal(a->wake_at.us, b->wake_at.us);
}

static void twin_step(struct history *h, struct weir_event *ev)
{
    struct weir_effects x;
    struct weir_err err = {""};
    if (weir_core_step(h->twin, ev, &x, &err) < 0) {
        fail_msg("twin: %s", err.text);
    }
    same_step(&h->w.effects, &x);
}

/* With a twin that weighs everything; it is told what the other was in the history's beginning. */
static void twin_begin(struct history *h)
{
    struct weir_event ev = history_offers(h);
    h->twin = weir_core_new(&h->w.conf);
    h->twin->weighs_all = true;
    ev.seq = h->w.seq;
    ev.now.us = h->w.now_us;
    struct weir_effects x;
    assert_int_equal(weir_core_step(h->twin, &ev, &x, NULL), 0);
}

static void play(struct history *h, int steps)
{
    twin_begin(h);
    for (int i = 0; i < steps; i++) {
        struct weir_node_spec spec = {0};
        h->w.now_us += history_below(h, 20) == 0 ? (int64_t)history_below(h, 600) * WEIR_US_PER_S : (int64_t)history_below(h, 3000000);
        struct weir_event ev = history_event(h, &spec);
        if (h->budgets && ev.kind == WEIR_EVENT_JOB_SUBMIT) {
            history_name_payer(h, &ev);
        } else if (h->budgets && ev.kind != WEIR_EVENT_NODE_JOIN && history_money_below(h, 5) == 0) {
            ev = history_money_event(h);
        }
        world_step(&h->w, &ev);
        twin_step(h, &ev);
    }
}

static uint64_t play_all(struct history *(*make)(uint64_t seed), uint64_t from)
{
    uint64_t foreseen = 0;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        print_message("# seed %llu\n", (unsigned long long)seed);
        struct history *h = make(seed + from);
        h->expects = true;
        play(h, 1500);
        foreseen += h->w.core->n_foreseen;
        assert_int_equal(h->twin->n_foreseen, 0);
        history_free(h);
    }
    return foreseen;
}

/* That much is foreseen, so that there is something to compare. */
static void foreseen_waits_are_what_weighing_says(void **state)
{
    (void)state;
    assert_true(play_all(history_new, 0) > 100 * histories);
}

static void foreseen_waits_are_so_with_zones(void **state)
{
    (void)state;
    assert_true(play_all(history_with_zones, 5000) > 50 * histories);
}

static void foreseen_waits_are_so_under_budgets(void **state)
{
    (void)state;
    assert_true(play_all(history_with_budgets, 3000) > 0);
}

static void foreseen_waits_are_so_under_quotas(void **state)
{
    (void)state;
    assert_true(play_all(history_with_quotas, 4000) > 0);
}

int main(int argc, char **argv)
{
    if (!history_asked(argc, argv, &histories, &first_seed)) {
        return 2;
    }
    history_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreseen_waits_are_what_weighing_says),
        cmocka_unit_test(foreseen_waits_are_so_with_zones),
        cmocka_unit_test(foreseen_waits_are_so_under_budgets),
        cmocka_unit_test(foreseen_waits_are_so_under_quotas),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    history_end();
    return r;
}
