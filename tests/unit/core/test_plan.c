/* SPDX-License-Identifier: Apache-2.0 */
/* Planning: when it is done, and how much of the queue it looks at. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/core_priv.h"

struct site {
    struct weir_gpu_table *gpus;
    struct weir_core *core;
    uint64_t seq;
    int64_t now_us;
    struct weir_effects fx;
};

static void step(struct site *s, struct weir_event ev)
{
    struct weir_err err = {""};
    ev.seq = ++s->seq;
    ev.now.us = s->now_us;
    if (weir_core_step(s->core, &ev, &s->fx, &err) != 0 || !weir_core_check(s->core, &err)) {
        fail_msg("%s", err.text);
    }
}

static void site_begin(struct site *s, uint32_t nodes)
{
    *s = (struct site){.gpus = weir_gpu_table_new(), .now_us = 1000 * WEIR_US_PER_S};
    struct weir_core_conf conf = weir_core_conf_default();
    conf.gpus = s->gpus;
    s->core = weir_core_new(&conf);
    struct weir_node_spec spec;
    memset(&spec, 0, sizeof spec);
    spec.gpu_model = weir_gpu_table_intern(s->gpus, WEIR_SV("A100"));
    spec.gpus = 1;
    spec.cpu_milli = 8000;
    spec.mem_mib = 1024;
    for (uint64_t id = 1; id <= nodes; id++) {
        spec.id.v = id;
        struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
        ev.u.node_join.spec = &spec;
        step(s, ev);
    }
}

static void site_end(struct site *s)
{
    weir_core_free(s->core);
    weir_gpu_table_free(s->gpus);
}

/* A GPU on each of so many nodes. */
static struct weir_job_id submit(struct site *s, uint32_t nodes, int64_t expected_s)
{
    struct weir_request r;
    memset(&r, 0, sizeof r);
    r.alternatives = 1;
    r.alternative[0] = (struct weir_gpu_wish){weir_gpu_table_intern(s->gpus, WEIR_SV("A100")), 1};
    r.nodes = nodes;
    r.expected.us = expected_s * WEIR_US_PER_S;
    r.max_duration.us = expected_s * 2 * WEIR_US_PER_S;
    r.delay_cost_micro_per_hour = -1;
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    ev.u.job_submit.job = weir_core_take_job_id(s->core);
    ev.u.job_submit.project.v = 1;
    ev.u.job_submit.user.v = 1;
    ev.u.job_submit.n_tasks = 1;
    ev.u.job_submit.request = &r;
    step(s, ev);
    return ev.u.job_submit.job;
}

static struct weir_event ended(struct weir_job_id job, uint32_t rank)
{
    struct weir_event ev = {.kind = WEIR_EVENT_RUN_ENDED};
    ev.u.run_ended.run = (struct weir_run_id){{job, 0}, 1};
    ev.u.run_ended.rank = rank;
    ev.u.run_ended.at.us = INT64_MAX;
    ev.u.run_ended.reason = WEIR_REASON_EXIT;
    return ev;
}

static uint32_t state_of(const struct site *s, struct weir_job_id job)
{
    struct weir_task_view v;
    assert_true(weir_core_task(s->core, (struct weir_task_id){job, 0}, &v));
    return v.state;
}

/* Of a gang on both nodes, with one ahead that needs both and a small one behind: who gets the node that comes free first? */
static void a_gang_that_ends_at_once_leaves_all_of_its_nodes(void **state)
{
    (void)state;
    for (int at_once = 0; at_once < 2; at_once++) {
        struct site s;
        site_begin(&s, 2);
        struct weir_job_id gang = submit(&s, 2, 3600);
        struct weir_job_id next = submit(&s, 2, 3600);
        struct weir_job_id small = submit(&s, 1, 60);
        s.now_us += WEIR_US_PER_MIN;
        struct weir_event ev = ended(gang, 0);
        ev.u.run_ended.all_ranks = at_once == 1;
        step(&s, ev);
        assert_int_equal(state_of(&s, gang), at_once == 1 ? WEIR_TASK_SUCCEEDED : WEIR_TASK_STARTING);
        assert_int_equal(state_of(&s, next), at_once == 1 ? WEIR_TASK_STARTING : WEIR_TASK_WAITING);
        assert_int_equal(state_of(&s, small), at_once == 1 ? WEIR_TASK_WAITING : WEIR_TASK_STARTING);
        site_end(&s);
    }
}

/* What one of them ended with counts for all; those that had ended before are not ended again. */
static void the_rest_of_a_gang_may_end_at_once(void **state)
{
    (void)state;
    struct site s;
    site_begin(&s, 3);
    struct weir_job_id gang = submit(&s, 3, 3600);
    struct weir_event begun = {.kind = WEIR_EVENT_RUN_STARTED};
    begun.u.run.run = (struct weir_run_id){{gang, 0}, 1};
    begun.u.run.at.us = s.now_us;
    begun.u.run.all_ranks = true;
    step(&s, begun);
    assert_int_equal(state_of(&s, gang), WEIR_TASK_RUNNING);
    s.now_us += WEIR_US_PER_MIN;
    step(&s, ended(gang, 1));
    struct weir_event rest = ended(gang, 0);
    rest.u.run_ended.all_ranks = true;
    rest.u.run_ended.exit_code = 3;
    step(&s, rest);
    size_t closed = 0;
    for (size_t i = 0; i < s.fx.n_effects; i++) {
        closed += s.fx.effect[i].kind == WEIR_EFFECT_SEGMENT_CLOSE;
    }
    assert_int_equal(closed, 2);
    assert_int_equal(state_of(&s, gang), WEIR_TASK_FAILED);
    site_end(&s);
}

/* ---- who waits for money ---- */

static struct weir_offer offer_of(const struct site *s, uint64_t id, uint16_t gpus, int64_t price_micro)
{
    struct weir_offer o;
    memset(&o, 0, sizeof o);
    o.id = id;
    memcpy(o.provider, "cloud", sizeof "cloud");
    o.gpu_model = weir_gpu_table_intern(s->gpus, WEIR_SV("A100"));
    o.gpus = gpus;
    o.cpu_milli = gpus == 1 ? 4000 : 65000;
    o.mem_mib = 65536;
    o.price_micro_per_hour = price_micro;
    o.expires = WEIR_WALL_MAX;
    o.bill_quantum = weir_dur_s(60);
    o.boot_expected = weir_dur_s(120);
    o.launchable = true;
    return o;
}

static void set_budget(struct site *s, int64_t amount_micro)
{
    struct weir_budget b;
    memset(&b, 0, sizeof b);
    memcpy(b.name, "all", sizeof "all");
    b.scope = WEIR_BUDGET_ORGANISATION;
    b.span = WEIR_BUDGET_FOREVER;
    b.amount_micro = amount_micro;
    step(s, (struct weir_event){.kind = WEIR_EVENT_BUDGET_SET, .u.budget_set.budget = &b});
}

/* A GPU for ten minutes, beside so many cores. */
static struct weir_job_id submit_rented(struct site *s, uint32_t cpu_milli, int32_t priority)
{
    struct weir_request r;
    memset(&r, 0, sizeof r);
    r.alternatives = 1;
    r.alternative[0] = (struct weir_gpu_wish){weir_gpu_table_intern(s->gpus, WEIR_SV("A100")), 1};
    r.nodes = 1;
    r.cpu_milli = cpu_milli;
    r.max_duration.us = 10 * WEIR_US_PER_MIN;
    r.delay_cost_micro_per_hour = -1;
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_SUBMIT};
    ev.u.job_submit.job = weir_core_take_job_id(s->core);
    ev.u.job_submit.project.v = 1;
    ev.u.job_submit.user.v = 1;
    ev.u.job_submit.priority = priority;
    ev.u.job_submit.n_tasks = 1;
    ev.u.job_submit.request = &r;
    step(s, ev);
    return ev.u.job_submit.job;
}

/*
 * There is money for one machine of two GPUs. The first rents it; the second, for which a machine of its own would be too dear, may go along, and comes
 * before the third, which needs little and was never kept back by the budget.
 */
static void who_may_go_along_on_a_new_machine_comes_in_its_turn(void **state)
{
    (void)state;
    struct site s;
    site_begin(&s, 0);
    const struct weir_offer offers[] = {offer_of(&s, 1, 1, 1000000), offer_of(&s, 2, 2, 6000000)};
    struct weir_event ev = {.kind = WEIR_EVENT_OFFERS_SET};
    ev.u.offers_set.provider = "cloud";
    ev.u.offers_set.offer = offers;
    ev.u.offers_set.n = 2;
    step(&s, ev);
    set_budget(&s, 1000000);
    struct weir_job_id first = submit_rented(&s, 32000, 60);
    struct weir_job_id second = submit_rented(&s, 32000, 50);
    struct weir_job_id third = submit_rented(&s, 500, 40);
    assert_int_equal(state_of(&s, first), WEIR_TASK_WAITING);
    assert_int_equal(state_of(&s, third), WEIR_TASK_STARTING); /* on a small one, of which there are none left */
    ev = (struct weir_event){.kind = WEIR_EVENT_LEASE_REFUSED};
    ev.u.lease_refused.lease.v = 1;
    ev.u.lease_refused.refusal = WEIR_REFUSAL_NO_CAPACITY;
    step(&s, ev);
    assert_int_equal(state_of(&s, third), WEIR_TASK_WAITING);
    s.now_us += WEIR_US_PER_MIN;
    set_budget(&s, 5500000);
    assert_int_equal(s.core->leases_live, 1);
    assert_int_equal(state_of(&s, first), WEIR_TASK_STARTING);
    assert_int_equal(state_of(&s, second), WEIR_TASK_STARTING);
    assert_int_equal(state_of(&s, third), WEIR_TASK_WAITING);
    site_end(&s);
}

/* The classes that were found to wait since the round; a bit for each. */
static size_t weighed_since(const struct site *s, uint64_t round, const struct weir_job_id *job, size_t n, bool *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        bool is = job_find(s->core, job[i].v)->class->waited > round;
        count += is;
        ret[i] = ret[i] || is;
    }
    return count;
}

static void a_review_is_bounded_and_reaches_all_in_turn(void **state)
{
    enum { N = 6 * REVIEW_LOOKS, TURNS = N / REVIEW_LOOKS + 1 };
    (void)state;
    static struct weir_job_id job[N];
    bool all[N] = {false};
    struct site s;
    site_begin(&s, 1);
    (void)submit(&s, 1, 100000);
    for (size_t i = 0; i < N; i++) {
        job[i] = submit(&s, 1, 100 + (int64_t)i);
    }
    size_t total = 0;
    for (int k = 0; k < TURNS; k++) {
        uint64_t round = s.core->round;
        s.now_us += s.core->conf.review_period.us;
        step(&s, (struct weir_event){.kind = WEIR_EVENT_TICK});
        assert_int_equal(s.core->active.n, 0);
        size_t n = weighed_since(&s, round, job, N, all);
        assert_in_range(n, REVIEW_LOOKS, 3 * REVIEW_LOOKS);
        bool now[N] = {false};
        (void)weighed_since(&s, round, job, REVIEW_LOOKS, now);
        for (size_t i = 0; i < REVIEW_LOOKS; i++) {
            assert_true(now[i]); /* what comes first in the queue, each time */
        }
        total += n;
    }
    assert_true(total < (size_t)TURNS * N / 2);
    for (size_t i = 0; i < N; i++) {
        assert_true(all[i]);
    }
    site_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gang_that_ends_at_once_leaves_all_of_its_nodes),
        cmocka_unit_test(the_rest_of_a_gang_may_end_at_once),
        cmocka_unit_test(who_may_go_along_on_a_new_machine_comes_in_its_turn),
        cmocka_unit_test(a_review_is_bounded_and_reaches_all_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
