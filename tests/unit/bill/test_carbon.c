/* SPDX-License-Identifier: Apache-2.0 */
/* What came from the grid, and what that emitted: by hand, on both sides of the ledger. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "bill/bill.h"

#define H WEIR_US_PER_HOUR
#define G INT64_C(1000000)        /* micrograms in a gram */
#define KWH INT64_C(3600000000)   /* millijoules */

static const int64_t T0 = INT64_C(1767225600000000);

static struct weir_wall at(int64_t us)
{
    return (struct weir_wall){T0 + us};
}

/* 8 GPUs; 2 kW idle, 10 kW busy, and half as much again for the house; 200 g per kWh. */
static struct weir_bill_node owned_node(void)
{
    return (struct weir_bill_node){.node = {1},
                                   .pool = {1},
                                   .gpus = 8,
                                   .cpu_milli = 64000,
                                   .owned = true,
                                   .cost = {.purchase_micro = 1000000,
                                            .life = {1000 * H},
                                            .tariff_micro_per_kwh = 100000,
                                            .pue_milli = 1500,
                                            .idle_watts = 2000,
                                            .busy_watts = 10000,
                                            .has_carbon = true,
                                            .carbon_ug_per_kwh = 200 * G}};
}

static struct weir_bill_node rented_node(void)
{
    return (struct weir_bill_node){.node = {2},
                                   .lease = {7},
                                   .pool = {2},
                                   .gpus = 8,
                                   .cpu_milli = 64000,
                                   .price_micro_per_hour = 3600000,
                                   .project = {3},
                                   .user = {4},
                                   .task = {{9}, 1},
                                   .cost = {.pue_milli = 1200, .idle_watts = 1000, .busy_watts = 5000, .has_carbon = true, .carbon_ug_per_kwh = 100 * G}};
}

/* A ledger, proven as it grows, and what its use took by account and of job 5. */
struct ledger {
    struct weir_bill *b;
    struct weir_bill_check *check;
    struct weir_footprint of[WEIR_ACCOUNT_MAX];
    struct weir_footprint of_job;
    struct weir_meter meter; /* the last that was stored */
    uint64_t last;
    struct weir_err err;
};

static void ledger_open(struct ledger *l, const struct weir_bill_node *n)
{
    *l = (struct ledger){.b = weir_bill_new(1, (struct weir_wall){0}), .check = weir_bill_check_new()};
    assert_int_equal(weir_bill_node_open(l->b, n, at(0), &l->err), 0);
}

static void use(struct ledger *l, uint64_t node, uint32_t gpus, int64_t from)
{
    const struct weir_bill_segment s = {.node = {node}, .run = {{{5}, 0}, 1}, .project = {1}, .user = {1}, .gpus = gpus, .from = at(from)};
    assert_int_equal(weir_bill_segment_open(l->b, &s, &l->err), 0);
}

static void settle(struct ledger *l, int64_t now)
{
    const struct weir_posting *p;
    const struct weir_meter *m;
    size_t n;
    size_t n_meters;
    weir_bill_settle(l->b, at(now), true);
    weir_bill_take(l->b, &p, &n, &m, &n_meters);
    for (size_t i = 0; i < n; i++) {
        if (weir_bill_check_add(l->check, &p[i], &l->err) != 0) {
            fail_msg("%s", l->err.text);
        }
        struct weir_footprint f = weir_posting_footprint(&p[i], p[i].from.us, p[i].to.us);
        weir_footprint_add(&l->of[p[i].debit], &f);
        if (p[i].run.task.job.v == 5) {
            weir_footprint_add(&l->of_job, &f);
        }
        l->last = p[i].id;
    }
    l->meter = n_meters > 0 ? m[n_meters - 1] : l->meter;
}

static void ledger_close(struct ledger *l)
{
    struct weir_bill_check_result r;
    if (weir_bill_check_end(l->check, &r, &l->err) != 0) {
        fail_msg("%s", l->err.text);
    }
    struct weir_footprint sum = {0};
    for (int i = WEIR_ACCOUNT_JOB; i < WEIR_ACCOUNT_PRICE; i++) {
        weir_footprint_add(&sum, &l->of[i]);
    }
    assert_int_equal(r.energy_mj, sum.energy_mj);
    assert_int_equal(r.carbon_ug, sum.carbon_ug);
    weir_bill_check_free(l->check);
    weir_bill_free(l->b);
}

/* 2 of 8 GPUs for an hour: 2.5 kW x 1.5 at 200 g; idle: three quarters of 2 kW. */
static void a_run_and_idle_time_emit_by_what_they_draw(void **state)
{
    (void)state;
    struct ledger l;
    struct weir_bill_node n = owned_node();
    ledger_open(&l, &n);
    use(&l, 1, 2, 0);
    settle(&l, H);
    assert_int_equal(l.of[WEIR_ACCOUNT_JOB].energy_mj, KWH * 15 / 4);
    assert_int_equal(l.of[WEIR_ACCOUNT_JOB].carbon_ug, 750 * G);
    assert_int_equal(l.of[WEIR_ACCOUNT_IDLE].energy_mj, KWH * 9 / 4);
    assert_int_equal(l.of[WEIR_ACCOUNT_IDLE].carbon_ug, 450 * G);
    assert_int_equal(l.of[WEIR_ACCOUNT_JOB].unknown_micro, 0);
    assert_int_equal(weir_carbon_rate(&n.cost, n.cost.busy_watts), 3000 * G);
    ledger_close(&l);
}

static void what_was_measured_emits(void **state)
{
    (void)state;
    struct ledger l;
    struct weir_bill_node n = owned_node();
    ledger_open(&l, &n);
    use(&l, 1, 8, 0);
    weir_bill_energy(l.b, n.node, at(H), 4000 * 1000000ull); /* 4 MJ */
    settle(&l, H);
    assert_int_equal(l.of_job.energy_mj, 6000 * 1000000ll);
    assert_int_equal(l.of_job.carbon_ug, 6000 * 1000000ll * 200 / 3600);
    ledger_close(&l);
}

/* 200 g until one o'clock, not known until two, 50 g from then on. */
static struct weir_wall by_the_hour(void *ctx, const struct weir_bill_node *node, struct weir_wall when, struct weir_owned_cost *ret)
{
    (void)ctx;
    *ret = node->cost;
    int64_t hour = (when.us - T0) / H;
    ret->has_carbon = hour != 1;
    ret->carbon_ug_per_kwh = hour < 1 ? 200 * G : hour == 1 ? 0 : 50 * G;
    return hour < 2 ? at((hour + 1) * H) : WEIR_WALL_MAX;
}

/* Nobody looked for hours: each counts as it was, and what was posted stands. Through a restart as well. */
static void the_grid_counts_by_its_hours(void **state)
{
    for (int restarted = 0; restarted < 2; restarted++) {
        (void)state;
        struct ledger l;
        struct weir_bill_node n = owned_node();
        ledger_open(&l, &n);
        settle(&l, H / 2);
        assert_int_equal(l.of[WEIR_ACCOUNT_IDLE].carbon_ug, 300 * G); /* 2 kW x 1.5 for half an hour */
        if (restarted) {
            struct weir_meter m = l.meter;
            weir_bill_free(l.b);
            l.b = weir_bill_new(l.last + 1, at(H / 2));
            assert_int_equal(weir_bill_restore_meter(l.b, &m, &l.err), 0);
        }
        weir_bill_reprice(l.b, at(3 * H), by_the_hour, NULL);
        settle(&l, 3 * H);
        assert_int_equal(l.of[WEIR_ACCOUNT_IDLE].energy_mj, 9 * KWH);
        assert_int_equal(l.of[WEIR_ACCOUNT_IDLE].carbon_ug, (600 + 150) * G);
        assert_int_equal(l.of[WEIR_ACCOUNT_IDLE].unknown_micro, 1000 + 300000); /* what an hour costs */
        ledger_close(&l);
    }
}

/* It boots for a half hour at its idle watts, which is waste; then a run has all of it for an hour. */
static void a_rented_machine_draws_from_its_beginning_on(void **state)
{
    (void)state;
    struct ledger l;
    struct weir_bill_node n = rented_node();
    ledger_open(&l, &n);
    weir_bill_node_ready(l.b, n.node, at(H / 2));
    use(&l, 2, 8, H / 2);
    settle(&l, H / 2 + H);
    assert_int_equal(l.of[WEIR_ACCOUNT_WASTE_BOOT].energy_mj, KWH * 6 / 10);
    assert_int_equal(l.of[WEIR_ACCOUNT_WASTE_BOOT].carbon_ug, 60 * G);
    assert_int_equal(l.of_job.energy_mj, KWH * 6);
    assert_int_equal(l.of_job.carbon_ug, 600 * G);
    ledger_close(&l);
}

/* Where the power or the grid is not known the cost says what is missing. */
static void what_nobody_knows_is_not_nothing(void **state)
{
    (void)state;
    static const struct {
        bool knows_watts;
        bool knows_carbon;
        int64_t energy_mj;
        int64_t carbon_ug;
        int64_t unknown_micro;
    } rows[] = {
        {true, true, 6 * KWH, 600 * G, 0},
        {true, false, 6 * KWH, 0, 3600000},
        {false, true, 0, 0, 3600000},
        {false, false, 0, 0, 3600000},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct ledger l;
        struct weir_bill_node n = rented_node();
        n.cost.has_carbon = rows[i].knows_carbon;
        n.cost.idle_watts = rows[i].knows_watts ? n.cost.idle_watts : 0;
        n.cost.busy_watts = rows[i].knows_watts ? n.cost.busy_watts : 0;
        ledger_open(&l, &n);
        weir_bill_node_ready(l.b, n.node, at(0));
        use(&l, 2, 8, 0);
        settle(&l, H);
        assert_int_equal(l.of_job.energy_mj, rows[i].energy_mj);
        assert_int_equal(l.of_job.carbon_ug, rows[i].carbon_ug);
        assert_int_equal(l.of_job.unknown_micro, rows[i].unknown_micro);
        ledger_close(&l);
    }
}

/* Its cost moves to waste; what it emitted was emitted once. */
static void a_failed_run_emitted_what_it_did(void **state)
{
    (void)state;
    struct ledger l;
    struct weir_bill_node n = owned_node();
    ledger_open(&l, &n);
    use(&l, 1, 8, 0);
    settle(&l, H / 2);
    weir_bill_segment_close(l.b, n.node, (struct weir_run_id){{{5}, 0}, 1}, 0, at(H), WEIR_OUTCOME_FAILED, (struct weir_wall){0});
    settle(&l, H);
    assert_int_equal(l.of_job.energy_mj, 15 * KWH);
    assert_int_equal(l.of_job.carbon_ug, 3000 * G);
    assert_int_equal(l.of[WEIR_ACCOUNT_JOB].energy_mj, 15 * KWH / 2);
    assert_int_equal(l.of[WEIR_ACCOUNT_WASTE_FAILED].energy_mj, 15 * KWH / 2);
    ledger_close(&l);
}

/* Of a machine that may be gone, a change counts where it was seen behind it, and is not forgotten. */
static void the_grid_of_a_rented_machine_waits_for_its_proof(void **state)
{
    (void)state;
    struct ledger l;
    struct weir_bill_node n = rented_node();
    n.cost.carbon_ug_per_kwh = 200 * G;
    ledger_open(&l, &n);
    weir_bill_want_proof(l.b);
    weir_bill_node_ready(l.b, n.node, at(0));
    weir_bill_node_proven(l.b, n.node, at(H / 2));
    weir_bill_reprice(l.b, at(4 * H), by_the_hour, NULL);
    settle(&l, 4 * H);
    assert_int_equal(l.of[WEIR_ACCOUNT_IDLE].carbon_ug, 120 * G); /* half an hour of 1 kW x 1.2 at 200 g */
    weir_bill_node_proven(l.b, n.node, at(4 * H));
    weir_bill_reprice(l.b, at(4 * H), by_the_hour, NULL);
    settle(&l, 4 * H);
    assert_int_equal(l.of[WEIR_ACCOUNT_IDLE].carbon_ug, (240 + 120) * G);
    assert_int_equal(l.of[WEIR_ACCOUNT_IDLE].unknown_micro, 3600000);
    ledger_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_and_idle_time_emit_by_what_they_draw),
        cmocka_unit_test(what_was_measured_emits),
        cmocka_unit_test(the_grid_counts_by_its_hours),
        cmocka_unit_test(a_rented_machine_draws_from_its_beginning_on),
        cmocka_unit_test(what_nobody_knows_is_not_nothing),
        cmocka_unit_test(a_failed_run_emitted_what_it_did),
        cmocka_unit_test(the_grid_of_a_rented_machine_waits_for_its_proof),
    };
    return cmocka_run_group_tests_name("carbon", tests, NULL, NULL);
}
