/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties over random histories: every invariant holds after every step, metering pairs, the same
 * events give the same effects, and a core that was restored from views goes on as the one that was not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/parse.h"
#include "history.h"

enum { EXPLAINED_MAX = 4 };

/* ---- comparing two cores ---- */

static void print_effects(const char *who, const struct weir_effects *x)
{
    for (size_t i = 0; i < x->n_effects; i++) {
        const struct weir_effect *e = &x->effect[i];
        print_message("# %s: %s node %llu lease %llu run %llu.%u/%u rank %u\n", who,
                      weir_effect_name(e->kind), (unsigned long long)e->node.v,
                      (unsigned long long)e->lease.v, (unsigned long long)e->run.task.job.v,
                      e->run.task.ordinal, e->run.attempt, e->rank);
    }
    for (size_t i = 0; i < x->n_explains; i++) {
        const struct weir_explain *e = &x->explain[i];
        print_message("# %s: %s %llu.%u", who,
                      weir_decision_name((enum weir_decision)e->decision),
                      (unsigned long long)e->task.job.v, e->task.ordinal);
        for (uint32_t k = 0; k < e->n_candidates; k++) {
            print_message(" [%s node %llu offer %llu delay %lld total %lld]",
                          weir_candidate_kind_name((enum weir_candidate_kind)e->candidate[k].kind),
                          (unsigned long long)e->candidate[k].node.v,
                          (unsigned long long)e->candidate[k].offer,
                          (long long)e->candidate[k].start_delay.us,
                          (long long)e->candidate[k].total_micro);
        }
        print_message("\n");
    }
}

static void same_effects(const struct weir_effects *a, const struct weir_effects *b, uint64_t seq)
{
    if (a->n_effects != b->n_effects) {
        print_effects("went on", a);
        print_effects("restored", b);
        fail_msg("step %llu: %zu effects against %zu", (unsigned long long)seq, a->n_effects,
                 b->n_effects);
    }
    for (size_t i = 0; i < a->n_effects; i++) {
        const struct weir_effect *x = &a->effect[i];
        const struct weir_effect *y = &b->effect[i];
        bool same = x->kind == y->kind && x->node.v == y->node.v && x->lease.v == y->lease.v &&
                    weir_run_id_eq(x->run, y->run) && x->rank == y->rank && x->at.us == y->at.us;
        if (same && x->kind == WEIR_EFFECT_RUN_START) {
            same = x->u.run_start.gpu_mask == y->u.run_start.gpu_mask;
        } else if (same && x->kind == WEIR_EFFECT_LEASE_LAUNCH) {
            same = x->u.lease_launch.offer->id == y->u.lease_launch.offer->id;
        } else if (same && (x->kind == WEIR_EFFECT_SEGMENT_CLOSE || x->kind == WEIR_EFFECT_SEGMENT_VERDICT)) {
            same = x->u.segment.outcome == y->u.segment.outcome &&
                   x->u.segment.kept_until.us == y->u.segment.kept_until.us;
        }
        if (!same) {
            print_effects("went on", a);
            print_effects("restored", b);
            fail_msg("step %llu, effect %zu: %s of job %llu node %llu against %s of job %llu node %llu",
                     (unsigned long long)seq, i, weir_effect_name(x->kind),
                     (unsigned long long)x->run.task.job.v, (unsigned long long)x->node.v,
                     weir_effect_name(y->kind), (unsigned long long)y->run.task.job.v,
                     (unsigned long long)y->node.v);
        }
    }
}

/* What no effect tells of: tasks that are bound to a booting machine, and what is held and charged. */
static void same_money(struct history *h, uint64_t seq)
{
    struct weir_core_stats a = weir_core_stats(h->w.core);
    struct weir_core_stats b = weir_core_stats(h->twin);
    assert_int_equal(a.tasks_running, b.tasks_running);
    assert_int_equal(a.tasks_waiting, b.tasks_waiting);
    struct weir_budget_id id[WORLD_BUDGETS_MAX];
    size_t n = weir_core_budgets(h->w.core, id, WEIR_ARRAY_LEN(id));
    assert_int_equal(n, weir_core_budgets(h->twin, NULL, 0));
    for (size_t i = 0; i < n; i++) {
        struct weir_budget_view x;
        struct weir_budget_view y;
        assert_true(weir_core_budget(h->w.core, id[i], &x) && weir_core_budget(h->twin, id[i], &y));
        if (x.charged_micro != y.charged_micro || x.held_micro != y.held_micro || x.reached != y.reached || x.span_from.us != y.span_from.us) {
            fail_msg("step %llu: budget '%s': charged %lld held %lld against charged %lld held %lld", (unsigned long long)seq, x.def.name,
                     (long long)x.charged_micro, (long long)x.held_micro, (long long)y.charged_micro, (long long)y.held_micro);
        }
    }
}

static void same_quotas(struct history *h, uint64_t seq)
{
    struct weir_quota_id id[WORLD_BUDGETS_MAX];
    size_t n = weir_core_quotas(h->w.core, id, WEIR_ARRAY_LEN(id));
    assert_int_equal(n, weir_core_quotas(h->twin, NULL, 0));
    for (size_t i = 0; i < n; i++) {
        struct weir_quota_view x;
        struct weir_quota_view y;
        assert_true(weir_core_quota(h->w.core, id[i], &x) && weir_core_quota(h->twin, id[i], &y));
        if (x.n != y.n || x.used_ms != y.used_ms || x.held_ms != y.held_ms || x.span_from.us != y.span_from.us) {
            fail_msg("step %llu: quota '%s': %lld now, %lld used, %lld held against %lld, %lld, %lld", (unsigned long long)seq, x.def.name,
                     (long long)x.n, (long long)x.used_ms, (long long)x.held_ms, (long long)y.n, (long long)y.used_ms, (long long)y.held_ms);
        }
    }
}

static void same_holds(struct history *h, uint64_t seq)
{
    for (size_t i = 1; i < h->w.holds; i++) {
        struct weir_hold_view x;
        struct weir_hold_view y;
        bool known = weir_core_hold(h->w.core, (struct weir_hold_id){i}, &x) && x.state == WEIR_HOLD_ACTIVE;
        if (known && weir_core_hold(h->twin, (struct weir_hold_id){i}, &y) && (x.until.us != y.until.us || x.amount_micro != y.amount_micro)) {
            fail_msg("step %llu: hold %zu of %llu.%u/%u: until %lld against %lld", (unsigned long long)seq, i, (unsigned long long)x.task.job.v, x.task.ordinal,
                     x.attempt, (long long)x.until.us, (long long)y.until.us);
        }
    }
}

/* Where tasks are that wait for their machines no effect tells. */
static void same_places(struct history *h, uint64_t seq)
{
    for (uint64_t i = 1; i <= h->w.jobs; i++) {
        const struct weir_job_view *j = &h->w.job[i].view;
        uint32_t left = weir_job_state_is_final(j->state) ? 0 : j->count[WEIR_TASK_STARTING];
        for (uint32_t k = 0; k < j->n_tasks && left > 0; k++) {
            struct weir_task_view x;
            struct weir_task_view y;
            assert_true(weir_core_task(h->w.core, (struct weir_task_id){{i}, k}, &x) && weir_core_task(h->twin, (struct weir_task_id){{i}, k}, &y));
            left -= x.state == WEIR_TASK_STARTING;
            if (x.state == WEIR_TASK_STARTING && (y.state != x.state || x.node.v != y.node.v)) {
                fail_msg("step %llu: task %llu.%u is %s on node %llu against %s on node %llu", (unsigned long long)seq, (unsigned long long)i, k,
                         weir_task_state_name(x.state), (unsigned long long)x.node.v, weir_task_state_name(y.state), (unsigned long long)y.node.v);
            }
        }
    }
}

/* Why what waits does so, asked of both: what was asked before must not show in what is said. */
static void same_explanations(struct history *h, uint64_t seq)
{
    uint32_t left = EXPLAINED_MAX;
    for (uint64_t i = 1; i <= h->w.jobs && left > 0; i++) {
        const struct weir_job_view *j = &h->w.job[i].view;
        for (uint32_t k = 0; !weir_job_state_is_final(j->state) && k < j->n_tasks; k++) {
            struct weir_task_view v;
            if (!weir_core_task(h->w.core, (struct weir_task_id){{i}, k}, &v) || v.state != WEIR_TASK_WAITING) {
                continue;
            }
            struct weir_explain x;
            struct weir_explain y;
            const struct weir_wall now = {h->w.now_us};
            assert_true(weir_core_explain(h->w.core, v.id, now, &x) && weir_core_explain(h->twin, v.id, now, &y));
            for (int verdict = 0; verdict < WEIR_VERDICT_MAX; verdict++) {
                if (x.rejected[verdict] != y.rejected[verdict]) {
                    fail_msg("step %llu: task %llu.%u: '%s' %u times against %u", (unsigned long long)seq, (unsigned long long)i, k,
                             weir_verdict_name((enum weir_verdict)verdict), x.rejected[verdict], y.rejected[verdict]);
                }
            }
            assert_int_equal(x.decision, y.decision);
            assert_int_equal(x.limit.v, y.limit.v);
            assert_int_equal(x.quota.v, y.quota.v);
            assert_int_equal(x.quota_left, y.quota_left);
            assert_int_equal(x.limit_left_micro, y.limit_left_micro);
            left--;
            break; /* the others of a job are mostly alike */
        }
    }
}

static void twin_step(struct history *h, const struct weir_event *ev)
{
    struct weir_effects x;
    struct weir_err err = {""};
    if (weir_core_step(h->twin, ev, &x, &err) < 0) {
        fail_msg("twin: %s", err.text);
    }
    if (!weir_core_check(h->twin, &err)) {
        fail_msg("twin at step %llu: %s", (unsigned long long)ev->seq, err.text);
    }
    same_effects(&h->w.effects, &x, ev->seq);
    same_money(h, ev->seq);
    same_holds(h, ev->seq);
    same_places(h, ev->seq);
    same_quotas(h, ev->seq);
    if (ev->seq % 3 == 0) {
        same_explanations(h, ev->seq);
    }
    if (++h->twin_steps > 60) { /* the twin takes over */
        weir_core_free(h->w.core);
        h->w.core = h->twin;
        h->w.effects = x; /* the others went with their core */
        h->twin = NULL;
    }
}

/* Only one of the two cores is asked: what it says must not show in what it does. */
static void ask_what_if(struct history *h)
{
    struct weir_explain x;
    struct weir_err err = {""};
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT, .now = {h->w.now_us}};
    struct weir_request r = h->request[history_below(h, REQUESTS)];
    r.retries += (uint32_t)history_below(h, 2) * 7; /* a shape of its own, perhaps */
    ev.u.job_submit.project.v = 1 + (uint32_t)history_below(h, 9);
    ev.u.job_submit.priority = (int32_t)history_below(h, 1001);
    ev.u.job_submit.n_tasks = 1 + (uint32_t)history_below(h, 70);
    ev.u.job_submit.request = &r;
    struct weir_core_stats before = weir_core_stats(h->w.core);
    assert_true(weir_core_what_if(h->w.core, &ev, &x, &err));
    struct weir_core_stats after = weir_core_stats(h->w.core);
    assert_int_equal(before.jobs, after.jobs);
    assert_int_equal(before.shapes, after.shapes);
    assert_int_equal(before.tasks_waiting, after.tasks_waiting);
    if (!weir_core_check(h->w.core, &err)) {
        fail_msg("after what_if: %s", err.text);
    }
}

static void one_step(struct history *h, bool twins)
{
    struct weir_node_spec spec = {0};
    struct weir_err err = {""};
    uint64_t pace = history_below(h, 20);
    h->w.now_us += pace == 0 ? (int64_t)history_below(h, 600) * WEIR_US_PER_S : (int64_t)history_below(h, 3000000);
    if (twins && h->twin == NULL && history_below(h, 80) == 0) {
        while (weir_core_awaits_charges(h->w.core)) { /* a store has them by then */
            struct weir_event none = {.kind = WEIR_EVENT_CHARGED};
            world_step(&h->w, &none);
        }
        if (h->provider_quotas) { /* they are told anew after a restore */
            struct weir_event none = {.kind = WEIR_EVENT_PROVIDER_QUOTAS_SET, .u.provider_quotas_set.provider = "cloud"};
            world_step(&h->w, &none);
        }
        h->twin = world_restore(&h->w);
        h->twin_steps = 0;
    }
    if (history_below(h, 16) == 0) {
        ask_what_if(h);
    }
    struct weir_event ev =
        h->twin != NULL && h->twin_steps == 0 ? history_offers(h) : history_event(h, &spec);
    if (h->budgets && ev.kind == WEIR_EVENT_JOB_SUBMIT) {
        history_name_payer(h, &ev);
    } else if (h->budgets && ev.kind != WEIR_EVENT_NODE_JOIN && (h->twin == NULL || h->twin_steps > 0) && history_money_below(h, 5) == 0) {
        ev = history_money_event(h);
    }
    world_step(&h->w, &ev);
    if (!weir_core_check(h->w.core, &err)) {
        fail_msg("step %llu (%s): %s", (unsigned long long)ev.seq, weir_event_name(ev.kind),
                 err.text);
    }
    if (h->twin != NULL) {
        twin_step(h, &ev);
    }
}

/* How many histories, and from which seed on: "./dev sim N [FIRST]" plays many more than the tests do. */
static uint64_t histories = 12;
static uint64_t first_seed = 1;

/* To its end; the last seed printed is the one that fails. */
static void play(struct history *h, uint64_t seed, int steps, bool twins)
{
    print_message("# seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < steps; i++) {
        one_step(h, twins);
    }
    history_free(h);
}

static void invariants_hold_over_random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        struct history *h = history_new(seed);
        h->expects = true;
        play(h, seed, 1500, false);
    }
}

static void play_with_twins(uint64_t seed, bool expects)
{
    struct history *h = history_new(seed + 100);
    h->expects = expects;
    play(h, seed, 1500, true);
}

static void restored_core_goes_on_as_the_other(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        play_with_twins(seed, true);
    }
}

static void policies_change_under_what_waits_and_runs(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        struct history *h = history_new(seed + 5000);
        h->expects = h->policies = true;
        play(h, seed, 1000, true);
    }
}

static void restored_core_goes_on_within_what_providers_allow(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        struct history *h = history_new(seed + 9000);
        h->expects = h->provider_quotas = true;
        for (int i = 0; i < 1000; i++) {
            one_step(h, true);
        }
        history_free(h);
    }
}

/* Histories that failed once, for a reason of its own each. */
static void restored_core_goes_on_where_it_did_not(void **state)
{
    static const uint64_t seeds[] = {45, 206, 254, 321, 571};
    (void)state;
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        play_with_twins(seeds[i], false);
    }
    play_with_twins(5196, true);
    play(history_with_quotas(2554), 2554, 1500, true); /* a machine rented in a plan is a way for those who were parked before it */
}

static void play_all(struct history *(*make)(uint64_t seed), uint64_t from, bool twins)
{
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        play(make(seed + from), seed, 1500, twins);
    }
}

/* Where the node stands: a zone of the cloud, or a pool and region. */
static void zone_of_node(const struct history *h, uint64_t node, char *ret, size_t size)
{
    const struct weir_node_spec *s = &h->w.node[node].spec;
    if (s->lease.v == 0) {
        (void)snprintf(ret, size, "pool %u in %s", s->pool.v, s->region);
    } else {
        (void)snprintf(ret, size, "%s of %s", h->w.lease[s->lease.v].offer.zone, s->region);
    }
}

/* Of the gangs that began in the last step and ask for one zone; gives how many of their nodes were looked at. */
static uint32_t check_zones(const struct history *h)
{
    uint32_t n = 0;
    for (size_t i = 0; i < h->w.effects.n_effects; i++) {
        const struct weir_effect *e = &h->w.effects.effect[i];
        struct weir_task_view v;
        char first[64];
        char zone[64];
        if (e->kind != WEIR_EFFECT_RUN_START || e->u.run_start.nodes == 1 || !weir_core_task(h->w.core, e->run.task, &v) ||
            !weir_core_shape(h->w.core, h->w.job[e->run.task.job.v].view.shape)->same_zone) {
            continue;
        }
        zone_of_node(h, v.node.v, first, sizeof first);
        zone_of_node(h, e->node.v, zone, sizeof zone);
        assert_string_equal(zone, first);
        assert_int_not_equal(zone[0], ' '); /* of a rented machine it is known */
        n++;
    }
    return n;
}

static void gangs_that_ask_for_one_zone_are_in_one(void **state)
{
    uint32_t n = 0;
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        struct history *h = history_with_zones(seed + 9000);
        for (int i = 0; i < 1500; i++) {
            one_step(h, true);
            n += check_zones(h);
        }
        history_free(h);
    }
    assert_true(n > 2 * histories);
}

static void invariants_hold_under_budgets(void **state)
{
    (void)state;
    play_all(history_with_budgets, 0, false);
}

static void restored_core_goes_on_under_budgets(void **state)
{
    (void)state;
    play_all(history_with_budgets, 500, true);
}

/* How far each quota was passed before the step; what is passed must not grow, but where a quota is new. */
struct passed {
    struct weir_quota_view quota[WORLD_BUDGETS_MAX];
};

static int64_t quota_use(const struct weir_quota_view *q)
{
    return weir_quota_is_timed((enum weir_quota_counts)q->def.counts) ? q->used_ms + q->held_ms : q->n;
}

static bool is_the_same(const struct weir_quota_view *a, const struct weir_quota_view *b)
{
    return a->id.v == b->id.v && memcmp(&a->def, &b->def, sizeof a->def) == 0 && a->span_from.us == b->span_from.us;
}

static bool is_under_way(const struct weir_quota_view *q, int64_t now_us)
{
    return q->span_from.us <= now_us && (q->span_until.us == 0 || now_us < q->span_until.us);
}

/* These agents stop when it pleases them: does a run last longer than it may? What that takes is counted too. */
static bool any_is_overdue(const struct history *h)
{
    bool any = false;
    for (size_t i = 0; i < h->w.holds; i++) {
        any = any || (h->w.hold[i].state == WEIR_HOLD_ACTIVE && h->w.hold[i].until.us < h->w.now_us);
    }
    return any;
}

/* All that share are together within what they own together; the scopes of projects and users are enough. */
static void no_cohort_is_passed(const struct passed *was, const struct passed *is, const struct weir_quota *of)
{
    int64_t over = 0;
    int64_t before = 0;
    bool same = of->shares && of->scope != WEIR_BUDGET_TAG;
    for (size_t i = 1; i < WORLD_BUDGETS_MAX && same; i++) {
        const struct weir_quota *q = &is->quota[i].def;
        const struct weir_quota *old = &was->quota[i].def;
        same = memcmp(q, old, sizeof *q) == 0;
        if (q->shares && q->scope == of->scope && q->gpu_model == of->gpu_model) {
            over += is->quota[i].n - q->limit;
            before += was->quota[i].n - q->limit;
        }
    }
    assert_false(same && over > 0 && over > before);
}

static void no_quota_is_passed(struct history *h, struct passed *was, bool overdue)
{
    struct weir_quota_id id[WORLD_BUDGETS_MAX];
    struct passed is = {0};
    size_t n = weir_core_quotas(h->w.core, id, WEIR_ARRAY_LEN(id));
    for (size_t i = 0; i < n; i++) {
        struct weir_quota_view *q = &is.quota[id[i].v];
        assert_true(weir_core_quota(h->w.core, id[i], q));
        const struct weir_quota_view *old = &was->quota[id[i].v];
        int64_t most = q->def.shares ? weir_i64_add_sat(q->def.limit, q->def.borrow_max) : q->def.limit;
        int64_t over = quota_use(q) - most;
        bool is_new = !is_the_same(old, q) || !is_under_way(old, old->as_of.us) || (overdue && weir_quota_is_timed((enum weir_quota_counts)q->def.counts));
        if (is_under_way(q, h->w.now_us) && !is_new && over > 0 && quota_use(q) > quota_use(old)) {
            fail_msg("quota '%s' (%s) of %lld is passed by %lld", q->def.name, weir_quota_counts_name((enum weir_quota_counts)q->def.counts),
                     (long long)q->def.limit, (long long)over);
        }
    }
    for (size_t i = 1; i < WORLD_BUDGETS_MAX; i++) {
        no_cohort_is_passed(was, &is, &is.quota[i].def);
    }
    *was = is;
}

static void no_quota_is_passed_over_random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + histories; seed++) {
        print_message("# seed %llu\n", (unsigned long long)seed);
        struct history *h = history_with_quotas(seed + 900);
        struct passed was = {0};
        for (int i = 0; i < 1500; i++) {
            bool overdue = any_is_overdue(h);
            one_step(h, false);
            no_quota_is_passed(h, &was, overdue || any_is_overdue(h));
        }
        history_free(h);
    }
}

static void restored_core_goes_on_under_quotas(void **state)
{
    (void)state;
    play_all(history_with_quotas, 1500, true);
    play(history_with_quotas(5744), 5744, 1500, true); /* who is let in by a share of their own comes before who was first */
}

/* Asked to stop, but it was done: the last of the gang ends in a core that did not see the first one's end. */
static void restored_gang_ends_as_it_would_have(void **state)
{
    (void)state;
    struct history *h = history_new(1);
    struct weir_node_spec spec = {.gpus = 1, .gpu_model = history_model("T4"), .gpu_mem_mib = 16384, .cpu_milli = 8000, .mem_mib = 32768};
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN, .u.node_join.spec = &spec};
    for (int i = 0; i < 2; i++) {
        spec.id = weir_core_take_node_id(h->w.core);
        world_step(&h->w, &ev);
    }
    struct weir_request r = {.alternatives = 1, .alternative = {{history_model("T4"), 1}}, .local = WEIR_LOCAL_ONLY,
                             .cpu_milli = 1000, .nodes = 2, .max_duration = weir_dur_s(3600)};
    ev = (struct weir_event){.kind = WEIR_EVENT_JOB_SUBMIT};
    ev.u.job_submit.job = weir_core_take_job_id(h->w.core);
    ev.u.job_submit.project.v = 1;
    ev.u.job_submit.n_tasks = 1;
    ev.u.job_submit.request = &r;
    world_step(&h->w, &ev);
    struct weir_run_id run = {{ev.u.job_submit.job, 0}, 1};
    ev = (struct weir_event){.kind = WEIR_EVENT_JOB_CANCEL};
    ev.u.job_cancel.job = run.task.job;
    ev.u.job_cancel.ordinal = WEIR_ORDINAL_ALL;
    world_step(&h->w, &ev);
    for (uint32_t rank = 0; rank < 2; rank++) {
        ev = (struct weir_event){.kind = WEIR_EVENT_RUN_ENDED};
        ev.u.run_ended.run = run;
        ev.u.run_ended.rank = rank;
        ev.u.run_ended.at.us = h->w.now_us;
        ev.u.run_ended.reason = WEIR_REASON_EXIT;
        world_step(&h->w, &ev);
        struct weir_core *other = rank == 0 ? world_restore(&h->w) : NULL;
        if (other != NULL) {
            weir_core_free(h->w.core);
            h->w.core = other;
        }
    }
    assert_int_equal(h->w.job[run.task.job.v].task[0].state, WEIR_TASK_SUCCEEDED);
    assert_int_equal(h->w.job[run.task.job.v].view.state, WEIR_JOB_SUCCEEDED);
    history_free(h);
}

static uint64_t fold_effects(uint64_t hash, const struct weir_effects *x)
{
    for (size_t i = 0; i < x->n_effects; i++) {
        const struct weir_effect *e = &x->effect[i];
        const uint64_t v[] = {hash,          (uint64_t)e->kind, e->node.v,
                              e->lease.v,    e->run.task.job.v, e->run.task.ordinal,
                              e->run.attempt, e->rank,          (uint64_t)e->at.us};
        hash = weir_hash_bytes(v, sizeof v);
    }
    return hash;
}

static void same_events_give_same_effects(void **state)
{
    (void)state;
    for (uint64_t seed = 201; seed <= 203; seed++) {
        uint64_t hash[2] = {0};
        for (int turn = 0; turn < 2; turn++) {
            struct history *h = history_new(seed);
            for (int i = 0; i < 800; i++) {
                one_step(h, false);
                hash[turn] = fold_effects(hash[turn], &h->w.effects);
            }
            history_free(h);
        }
        assert_int_equal(hash[0], hash[1]);
    }
}

static void tick_after_each_step(struct history *h)
{
    for (int i = 0; i < 800; i++) {
        one_step(h, false);
        struct weir_event tick = {.kind = WEIR_EVENT_TICK};
        world_step(&h->w, &tick);
        if (h->w.effects.n_effects != 0) {
            print_effects("tick", &h->w.effects);
            fail_msg("step %llu: %s", (unsigned long long)tick.seq,
                     weir_effect_name(h->w.effects.effect[0].kind));
        }
    }
    history_free(h);
}

static void a_tick_after_a_step_changes_nothing(void **state)
{
    (void)state;
    tick_after_each_step(history_new(301));
    tick_after_each_step(history_with_budgets(302));
    tick_after_each_step(history_with_quotas(303));
}

int main(int argc, char **argv)
{
    if (!history_asked(argc, argv, &histories, &first_seed)) {
        return 2;
    }
    history_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(invariants_hold_over_random_histories),
        cmocka_unit_test(invariants_hold_under_budgets),
        cmocka_unit_test(restored_core_goes_on_under_budgets),
        cmocka_unit_test(gangs_that_ask_for_one_zone_are_in_one),
        cmocka_unit_test(no_quota_is_passed_over_random_histories),
        cmocka_unit_test(restored_core_goes_on_under_quotas),
        cmocka_unit_test(same_events_give_same_effects),
        cmocka_unit_test(a_tick_after_a_step_changes_nothing),
        cmocka_unit_test(restored_gang_ends_as_it_would_have),
        cmocka_unit_test(restored_core_goes_on_within_what_providers_allow),
        cmocka_unit_test(restored_core_goes_on_where_it_did_not),
        cmocka_unit_test(restored_core_goes_on_as_the_other),
        cmocka_unit_test(policies_change_under_what_waits_and_runs),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    history_end();
    return r;
}
