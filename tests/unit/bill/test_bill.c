/* SPDX-License-Identifier: Apache-2.0 */
/* Charges against numbers worked out by hand. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "bill/bill_priv.h"
#include "bill/tariff.h"

#define T0 INT64_C(1767225600000000) /* 2026-01-01 */
#define S WEIR_US_PER_S
#define H WEIR_US_PER_HOUR
#define USD WEIR_MICRO_PER_UNIT

static struct weir_wall at(int64_t us)
{
    return (struct weir_wall){T0 + us};
}

static const struct weir_wall nothing_kept = {0};

/* A server of 8 GPUs: 4.00/h depreciation, 1.00/h upkeep, 0.10 per kWh. */
static struct weir_bill_node owned_node(void)
{
    return (struct weir_bill_node){.node = {1},
                                   .pool = {1},
                                   .gpus = 8,
                                   .cpu_milli = 64000,
                                   .owned = true,
                                   .cost = {.purchase_micro = 180000 * USD,
                                            .residual_micro = 4800 * USD,
                                            .life = {5 * WEIR_US_PER_YEAR},
                                            .upkeep_micro_per_year = 8760 * USD,
                                            .tariff_micro_per_kwh = USD / 10,
                                            .pue_milli = 1500,
                                            .idle_watts = 2000,
                                            .busy_watts = 10000}};
}

static struct weir_bill_node rented_node(int64_t quantum, int64_t minimum)
{
    return (struct weir_bill_node){.node = {2},
                                   .lease = {7},
                                   .pool = {2},
                                   .gpus = 4,
                                   .cpu_milli = 32000,
                                   .price_micro_per_hour = 36 * USD / 10, /* 1000 micro-units per second */
                                   .quantum = {quantum},
                                   .minimum = {minimum},
                                   .project = {3},
                                   .user = {4},
                                   .task = {{9}, 1}};
}

static struct weir_run_id run_of(uint64_t job)
{
    return (struct weir_run_id){{{job}, 0}, 1};
}

static struct weir_bill_segment segment(uint64_t node, uint64_t job, uint32_t gpus, int64_t from)
{
    return (struct weir_bill_segment){.node = {node},
                                      .run = run_of(job),
                                      .project = {(uint32_t)job},
                                      .user = {(uint32_t)job},
                                      .gpus = gpus,
                                      .from = at(from)};
}

/* The whole ledger of a test, with sums. */
struct ledger {
    struct weir_bill *b;
    struct weir_bill_check *check;
    WEIR_VEC(struct weir_posting) p;
    WEIR_VEC(struct weir_meter) m;
    int64_t account[WEIR_ACCOUNT_MAX]; /* debits less credits; cost accounts the other way round */
    int64_t job[16];
    int64_t waste_of_job[16];
    uint64_t gpu_us[16];
};

static void ledger_open(struct ledger *l)
{
    *l = (struct ledger){.b = weir_bill_new(1, (struct weir_wall){0}), .check = weir_bill_check_new()};
}

static void take(struct ledger *l)
{
    const struct weir_posting *p;
    const struct weir_meter *m;
    size_t n;
    size_t n_meters;
    struct weir_err err;
    weir_bill_take(l->b, &p, &n, &m, &n_meters);
    for (size_t i = 0; i < n; i++) {
        if (weir_bill_check_add(l->check, &p[i], &err) != 0) {
            fail_msg("%s", err.text);
        }
        weir_vec_push(&l->p, p[i]);
        int64_t a = p[i].amount_micro;
        l->account[p[i].credit] += p[i].credit < WEIR_ACCOUNT_NODE ? a : -a;
        l->account[p[i].debit] += a;
        uint64_t job = p[i].run.task.job.v;
        if (job < 16) {
            l->job[job] += p[i].debit == WEIR_ACCOUNT_JOB ? a : p[i].credit == WEIR_ACCOUNT_JOB ? -a : 0;
            l->waste_of_job[job] += p[i].debit > WEIR_ACCOUNT_IDLE ? a : 0;
            l->gpu_us[job] += p[i].gpu_us;
        }
    }
    for (size_t i = 0; i < n_meters; i++) {
        weir_vec_push(&l->m, m[i]);
    }
}

static void ledger_close(struct ledger *l)
{
    struct weir_bill_check_result r;
    struct weir_err err;
    take(l);
    if (weir_bill_check_end(l->check, &r, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(r.cost_micro, r.used_micro + r.idle_micro + r.waste_micro);
    weir_bill_check_free(l->check);
    weir_bill_free(l->b);
    weir_vec_release(&l->p);
    weir_vec_release(&l->m);
}

static void open_node(struct ledger *l, const struct weir_bill_node *n, int64_t t)
{
    struct weir_err err;
    if (weir_bill_node_open(l->b, n, at(t), &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void open_segment(struct ledger *l, struct weir_bill_segment s)
{
    struct weir_err err;
    if (weir_bill_segment_open(l->b, &s, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void accounts_have_names(void **state)
{
    (void)state;
    assert_string_equal(weir_account_name(WEIR_ACCOUNT_WASTE_BOOT), "waste_boot");
    for (int i = 0; i < WEIR_ACCOUNT_MAX; i++) {
        assert_int_equal(weir_account_find(weir_account_name((enum weir_account)i)), i);
    }
    assert_int_equal(weir_account_find("nobody"), WEIR_ACCOUNT_MAX);
}

static void owned_rates_are_what_the_figures_say(void **state)
{
    (void)state;
    struct weir_owned_cost c = owned_node().cost;
    assert_int_equal(weir_owned_rate(&c, WEIR_ACCOUNT_DEPRECIATION, 0), 4 * USD);
    assert_int_equal(weir_owned_rate(&c, WEIR_ACCOUNT_UPKEEP, 0), 1 * USD);
    assert_int_equal(weir_owned_rate(&c, WEIR_ACCOUNT_ENERGY, 10000), 1500000); /* 10 kW x 1.5 x 0.10 */
    struct weir_node_rates r = weir_owned_rates(&c);
    assert_int_equal(r.full_micro_per_hour, 6500000);
    assert_int_equal(r.marginal_idle_micro_per_hour, 0);
    assert_int_equal(r.marginal_busy_micro_per_hour, 1200000);
}

/* 2 of 8 GPUs for an hour: a quarter of 5.00, and a quarter of 10 kW at 0.15. Idle: the rest, three quarters of 2 kW. */
static void an_owned_node_is_split_by_share(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node n = owned_node();
    open_node(&l, &n, 0);
    open_segment(&l, segment(1, 5, 2, 0));
    weir_bill_settle(l.b, at(H), true);
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_DEPRECIATION], 4 * USD);
    assert_int_equal(l.account[WEIR_ACCOUNT_UPKEEP], 1 * USD);
    assert_int_equal(l.account[WEIR_ACCOUNT_ENERGY], 600000); /* (2.5 + 1.5) kWh */
    assert_int_equal(l.job[5], 1250000 + 375000);
    assert_int_equal(l.account[WEIR_ACCOUNT_IDLE], 3750000 + 225000);
    assert_int_equal(l.account[WEIR_ACCOUNT_NODE], 0);
    assert_int_equal(l.gpu_us[5], 2 * H);
    assert_true(l.p.p[1].modelled); /* energy */
    assert_int_equal(l.p.p[1].credit, WEIR_ACCOUNT_ENERGY);
    ledger_close(&l);
}

/* 0.10 until one o'clock, 0.30 until two, then 0.10 again. */
static struct weir_wall dearer_for_an_hour(void *ctx, const struct weir_bill_node *node, struct weir_wall when, struct weir_owned_cost *ret)
{
    const int64_t *purchase = ctx;
    *ret = node->cost;
    ret->purchase_micro = *purchase;
    ret->tariff_micro_per_kwh = when.us >= at(H).us && when.us < at(2 * H).us ? 300000 : 100000;
    return when.us < at(H).us ? at(H) : when.us < at(2 * H).us ? at(2 * H) : WEIR_WALL_MAX;
}

static void a_tariff_counts_from_its_hour_on(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node n = owned_node();
    int64_t purchase = n.cost.purchase_micro;
    open_node(&l, &n, 0);
    weir_bill_settle(l.b, at(H / 2), true);
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_ENERGY], 150000); /* 1 kWh at 0.10 x 1.5 */
    /* nobody looked for hours: each counts at its own price */
    weir_bill_node_reprice(l.b, n.node, at(3 * H), dearer_for_an_hour, &purchase);
    weir_bill_settle(l.b, at(3 * H), true);
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_ENERGY], 300000 + 900000 + 300000);
    assert_int_equal(l.account[WEIR_ACCOUNT_DEPRECIATION], 12 * USD);
    assert_int_equal(l.m.p[l.m.n - 1].info.cost.tariff_micro_per_kwh, 100000);
    /* nothing changed: nothing is posted */
    size_t n_postings = l.p.n;
    weir_bill_node_reprice(l.b, n.node, at(4 * H), dearer_for_an_hour, &purchase);
    take(&l);
    assert_int_equal(l.p.n, n_postings);
    /* what is out of bounds does not count */
    purchase = -1;
    weir_bill_node_reprice(l.b, n.node, at(4 * H), dearer_for_an_hour, &purchase);
    weir_bill_settle(l.b, at(4 * H), true);
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_DEPRECIATION], 16 * USD);
    ledger_close(&l);
}

static void tariffs_are_read_by_the_hour_of_the_week(void **state)
{
    (void)state;
    /* at is 1 January 1970 and so on: a Thursday */
    const struct weir_tariff t = {.n = 3,
                                  .row = {{.days = 0x1f, .from_hour = 7, .to_hour = 21, .micro_per_kwh = 30},
                                          {.days = 1 << 4, .from_hour = 22, .to_hour = 6, .micro_per_kwh = 5},
                                          {.from = {20 * 24 * H}, .to = {21 * 24 * H}, .days = WEIR_TARIFF_ALL_DAYS, .to_hour = 24, .micro_per_kwh = 99}}};
    static const struct {
        int64_t hour;
        int64_t want;
    } rows[] = {
        {0, 10}, {6, 10}, {7, 30}, {20, 30}, {21, 10},
        {24 + 5, 10},            /* Friday's night begins in the evening */
        {24 + 22, 5}, {48, 5}, {48 + 5, 5}, {48 + 6, 10}, {48 + 12, 10},
        {72 + 12, 10},           /* Sunday */
        {96 + 12, 30},           /* Monday */
        {20 * 24 - 1, 10}, {20 * 24, 99}, {20 * 24 + 23, 99}, {21 * 24 + 8, 30},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_wall until;
        assert_int_equal(weir_tariff_at(&t, 10, (struct weir_wall){rows[i].hour * H + H / 2}, &until), rows[i].want);
        assert_int_equal(until.us, (rows[i].hour + 1) * H);
    }
    const struct weir_tariff dated = {.n = 1, .row = {{.from = {H}, .days = WEIR_TARIFF_ALL_DAYS, .to_hour = 24, .micro_per_kwh = 7}}};
    struct weir_wall until;
    assert_int_equal(weir_tariff_at(&dated, 10, (struct weir_wall){0}, &until), 10);
    assert_int_equal(until.us, H);
    assert_int_equal(weir_tariff_at(&dated, 10, until, &until), 7);
    assert_int_equal(until.us, INT64_MAX);
}

static void measured_energy_replaces_the_model(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node n = owned_node();
    open_node(&l, &n, 0);
    weir_bill_settle(l.b, at(H), true); /* 2 kWh by the model: 0.30 */
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_ENERGY], 300000);
    weir_bill_energy(l.b, (struct weir_node_id){1}, at(2 * H), UINT64_C(18000) * 1000 * 1000); /* 5 kWh in all: 0.75 */
    weir_bill_energy(l.b, (struct weir_node_id){1}, at(2 * H), UINT64_C(18000) * 1000 * 1000); /* told again */
    weir_bill_settle(l.b, at(2 * H), true);
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_ENERGY], 750000);
    assert_false(l.p.p[l.p.n - 2].modelled);
    ledger_close(&l);
}

/* 5 kWh, 0.75: read in three pieces, with a restart of the biller in between and one of the agent. */
static void energy_goes_on_where_its_counter_was(void **state)
{
    (void)state;
    const uint64_t kwh_mj = UINT64_C(3600) * 1000 * 1000;
    const struct weir_posting *p;
    const struct weir_meter *m;
    size_t n_p;
    size_t n_m;
    struct weir_bill_node n = owned_node();
    int64_t micro = 0;
    struct weir_bill *b = weir_bill_new(1, at(0));
    struct weir_err err;
    assert_int_equal(weir_bill_node_open(b, &n, at(0), &err), 0);
    weir_bill_energy(b, n.node, at(H), 2 * kwh_mj);
    for (int i = 0; i < 2; i++) {
        weir_bill_settle(b, at((1 + i) * H), true);
        weir_bill_take(b, &p, &n_p, &m, &n_m);
        for (size_t k = 0; k < n_p; k++) {
            micro += p[k].credit == WEIR_ACCOUNT_ENERGY ? p[k].amount_micro : 0;
        }
        if (i == 0) {
            struct weir_meter kept = m[n_m - 1];
            uint64_t next = p[n_p - 1].id + 1;
            weir_bill_free(b);
            b = weir_bill_new(next, at(H));
            assert_int_equal(weir_bill_restore_meter(b, &kept, &err), 0);
            weir_bill_energy(b, n.node, at(2 * H), 4 * kwh_mj); /* 2 of them while nobody read it */
            weir_bill_energy(b, n.node, at(2 * H), 1 * kwh_mj); /* begun anew */
        }
    }
    assert_int_equal(micro, 750000);
    weir_bill_free(b);
}

/* What the counter showed is not known: nothing is billed twice. */
static void a_counter_of_an_older_store_is_only_read(void **state)
{
    (void)state;
    struct weir_bill_node n = owned_node();
    struct weir_meter m = {.info = n, .opened = at(0), .ready = at(0), .until = at(H), .energy_mj = 1000000, .energy_posted_mj = 1000000,
                           .energy_measured = true, .energy_counter_mj = WEIR_METER_COUNTER_UNKNOWN};
    const struct weir_posting *p;
    const struct weir_meter *got;
    size_t n_p;
    size_t n_m;
    struct weir_err err;
    struct weir_bill *b = weir_bill_new(1, at(H));
    assert_int_equal(weir_bill_restore_meter(b, &m, &err), 0);
    weir_bill_energy(b, n.node, at(2 * H), 5000000);
    weir_bill_energy(b, n.node, at(2 * H), 6000000);
    weir_bill_settle(b, at(2 * H), true);
    weir_bill_take(b, &p, &n_p, &got, &n_m);
    assert_int_equal(got[n_m - 1].energy_mj, 2000000);
    assert_int_equal(got[n_m - 1].energy_counter_mj, 6000000);
    weir_bill_free(b);
}

struct accrued {
    int64_t job[16];
    unsigned n;
};

static void on_accrued(void *ctx, struct weir_run_id run, int64_t micro)
{
    struct accrued *a = ctx;
    a->job[run.task.job.v] += micro;
    a->n++;
}

static void what_accrues_is_what_a_settling_would_post(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node n = owned_node();
    open_node(&l, &n, 0);
    open_segment(&l, segment(1, 5, 4, 0));
    open_segment(&l, segment(1, 6, 1, H / 3));
    for (int64_t t = H / 7; t < 3 * H; t += H / 7) {
        struct accrued a = {{0}, 0};
        struct accrued again = {{0}, 0};
        weir_bill_accrued(l.b, at(t), on_accrued, &a);
        weir_bill_accrued(l.b, at(t), on_accrued, &again);
        assert_memory_equal(&a, &again, sizeof a);
        assert_int_equal(a.n, t < H / 3 ? 1 : 2);
        int64_t before[2] = {l.job[5], l.job[6]};
        take(&l); /* looking has posted nothing */
        assert_int_equal(l.job[5], before[0]);
        weir_bill_settle(l.b, at(t), true);
        take(&l);
        assert_int_equal(l.job[5] - before[0], a.job[5]);
        assert_int_equal(l.job[6] - before[1], a.job[6]);
    }
    struct accrued none = {{0}, 0};
    weir_bill_accrued(l.b, at(0), on_accrued, &none); /* before what is posted */
    assert_int_equal(none.n, 0);
    ledger_close(&l);
}

static void shares_above_the_whole_are_scaled(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node n = owned_node();
    n.cost.tariff_micro_per_kwh = 0;
    open_node(&l, &n, 0);
    struct weir_bill_segment cores = segment(1, 5, 4, 0); /* half the GPUs, but all cores */
    cores.cpu_milli = 64000;
    open_segment(&l, cores);
    open_segment(&l, segment(1, 6, 4, 0)); /* the other half of the GPUs */
    weir_bill_settle(l.b, at(H), true);
    take(&l);
    assert_int_equal(l.job[5], 3333333); /* 1 : 0.5 of 5.00 */
    assert_int_equal(l.job[6], 1666667);
    assert_int_equal(l.account[WEIR_ACCOUNT_IDLE], 0);
    ledger_close(&l);
}

static void a_rented_node_is_billed_by_quantum_and_minimum(void **state)
{
    (void)state;
    static const struct {
        int64_t quantum;
        int64_t minimum;
        int64_t alive;
        int64_t billed_s;
    } rows[] = {
        {S, 0, 90 * S, 90},           {S, 0, 90 * S + 1, 91},     {S, 60 * S, 30 * S, 60},
        {60 * S, 0, 90 * S, 120},     {60 * S, 0, 120 * S, 120},  {3600 * S, 0, 90 * S, 3600},
        {3600 * S, 0, 3601 * S, 7200}, {60 * S, 600 * S, 90 * S, 600}, {0, 0, 90 * S, 90},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct ledger l;
        ledger_open(&l);
        struct weir_bill_node n = rented_node(rows[i].quantum, rows[i].minimum);
        open_node(&l, &n, 0);
        weir_bill_node_ready(l.b, n.node, at(10 * S));
        weir_bill_node_close(l.b, n.node, at(rows[i].alive));
        take(&l);
        assert_int_equal(l.account[WEIR_ACCOUNT_PROVIDER], 1000 * rows[i].billed_s);
        assert_int_equal(l.account[WEIR_ACCOUNT_WASTE_BOOT], 10000);
        assert_int_equal(l.account[WEIR_ACCOUNT_IDLE], 1000 * rows[i].billed_s - 10000);
        assert_true(l.m.p[l.m.n - 1].closed);
        ledger_close(&l);
    }
}

/* The bill of what was stored of the last one. */
static void restart(struct ledger *l)
{
    struct weir_err err;
    take(l);
    struct weir_meter m = l->m.p[l->m.n - 1];
    weir_bill_free(l->b);
    l->b = weir_bill_new(l->p.n + 1, (struct weir_wall){0});
    assert_int_equal(weir_bill_restore_meter(l->b, &m, &err), 0);
}

/* Second by second, rounded once: prices that leave a rest, however often it is settled and restarted in between. */
static void a_changed_price_counts_from_its_moment_on(void **state)
{
    (void)state;
    static const struct {
        int64_t at_s;
        int64_t price;
    } change[] = {{7, 1234567}, {31, 999999937}, {32, 1}, {500, 7777777}, {4000, 3600001}, {4001, 0}, {4500, 35999}};
    for (int64_t settle_s = 1; settle_s <= 10000; settle_s *= 10) {
        struct ledger l;
        ledger_open(&l);
        struct weir_bill_node n = rented_node(S, 60 * S);
        weir_i128 sum = 0; /* micro-units x seconds of an hour */
        int64_t price = n.price_micro_per_hour;
        open_node(&l, &n, 0);
        for (int64_t t = 0; t < 5000; t++) {
            for (size_t i = 0; i < WEIR_ARRAY_LEN(change); i++) {
                if (change[i].at_s == t) {
                    price = change[i].price;
                    (void)weir_bill_node_price(l.b, n.node, at(t * S), price);
                    restart(&l);
                }
            }
            if (t % settle_s == 0) {
                weir_bill_settle(l.b, at(t * S), true);
            }
            sum += price;
        }
        weir_bill_node_close(l.b, n.node, at(5000 * S));
        take(&l);
        assert_int_equal(l.account[WEIR_ACCOUNT_PROVIDER], (int64_t)((sum + 1800) / 3600));
        ledger_close(&l);
    }
}

static void minimum_and_quantum_are_of_the_whole_life_at_its_last_price(void **state)
{
    (void)state;
    static const struct {
        int64_t quantum_s;
        int64_t minimum_s;
        int64_t changed_s;
        int64_t alive_s;
        int64_t micro;
    } rows[] = {
        {1, 60, 20, 30, 20 * 1000 + 40 * 2000},       /* the minute that it lacks costs what it costs then */
        {1, 60, 90, 100, 90 * 1000 + 10 * 2000},      /* there was no other minimum to be reached */
        {60, 0, 90, 100, 90 * 1000 + 30 * 2000},      /* not one quantum for each price */
        {3600, 0, 30, 3600, 30 * 1000 + 3570 * 2000}, /* none is begun by a change */
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct ledger l;
        ledger_open(&l);
        struct weir_bill_node n = rented_node(rows[i].quantum_s * S, rows[i].minimum_s * S);
        open_node(&l, &n, 0);
        weir_bill_node_ready(l.b, n.node, at(S));
        (void)weir_bill_node_price(l.b, n.node, at(rows[i].changed_s * S), 72 * USD / 10);
        weir_bill_node_close(l.b, n.node, at(rows[i].alive_s * S));
        take(&l);
        assert_int_equal(l.account[WEIR_ACCOUNT_PROVIDER], rows[i].micro);
        ledger_close(&l);
    }
}

/* What was posted is not taken back: nothing is, beyond when the machine was seen last. */
static void a_price_of_a_machine_that_may_be_gone_counts_from_when_it_was_seen(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    weir_bill_want_proof(l.b);
    struct weir_bill_node n = rented_node(S, 0);
    open_node(&l, &n, 0);
    weir_bill_node_proven(l.b, n.node, at(100 * S));
    (void)weir_bill_node_price(l.b, n.node, at(130 * S), 72 * USD / 10);
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_PROVIDER], 100 * 1000);
    weir_bill_node_close(l.b, n.node, at(110 * S)); /* it had ended meanwhile */
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_PROVIDER], 100 * 1000 + 10 * 2000);
    ledger_close(&l);
}

/* A job ended between the change and the news of it, so that its time was posted at the old price, which was 1000 a second. */
static void a_price_that_is_told_late_counts_from_its_moment_on(void **state)
{
    (void)state;
    static const struct {
        int64_t changed_s;
        int64_t told_s;
        int64_t price;
        int64_t end_s;
        int64_t at_telling; /* what is posted when it is told; it stands */
        int64_t micro;
    } rows[] = {
        {50, 120, 72 * USD / 10, 200, 100 * 1000, 50 * 1000 + 150 * 2000},  /* dearer: the next span bears what the last one lacks */
        {50, 120, 18 * USD / 10, 200, 100 * 1000, 50 * 1000 + 150 * 500},   /* cheaper: less is posted until it is as it should be */
        {50, 120, 36, 200, 100 * 1000, 100 * 1000},                         /* so much cheaper that its end comes before */
        {0, 120, 72 * USD / 10, 200, 100 * 1000, 200 * 2000},               /* it never had its quote */
        {100, 120, 72 * USD / 10, 200, 100 * 1000, 100 * 1000 + 100 * 2000},
        {110, 120, 72 * USD / 10, 200, 110 * 1000, 110 * 1000 + 90 * 2000}, /* nothing was posted beyond it */
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct ledger l;
        ledger_open(&l);
        struct weir_bill_node n = rented_node(S, 0);
        open_node(&l, &n, 0);
        weir_bill_node_ready(l.b, n.node, at(0));
        weir_bill_settle(l.b, at(100 * S), true);
        restart(&l);
        struct weir_wall from = weir_bill_node_price(l.b, n.node, at(rows[i].changed_s * S), rows[i].price);
        assert_int_equal(from.us, at(rows[i].changed_s * S).us);
        restart(&l);
        assert_int_equal(l.account[WEIR_ACCOUNT_PROVIDER], rows[i].at_telling);
        for (int64_t t = rows[i].told_s; t < rows[i].end_s; t += 7) {
            weir_bill_settle(l.b, at(t * S), true);
            restart(&l);
        }
        weir_bill_node_close(l.b, n.node, at(rows[i].end_s * S));
        take(&l);
        assert_int_equal(l.account[WEIR_ACCOUNT_PROVIDER], rows[i].micro);
        ledger_close(&l);
    }
}

/* What is told of a time before the last change counts from that on: what was charged by two prices is not taken apart. */
static void a_price_counts_not_before_the_one_before(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node n = rented_node(S, 0);
    open_node(&l, &n, 0);
    assert_int_equal(weir_bill_node_price(l.b, n.node, at(60 * S), 72 * USD / 10).us, at(60 * S).us);
    assert_int_equal(weir_bill_node_price(l.b, n.node, at(60 * S), 72 * USD / 10).us, 0);
    assert_int_equal(weir_bill_node_price(l.b, n.node, at(30 * S), 36 * USD / 10).us, at(60 * S).us);
    weir_bill_node_close(l.b, n.node, at(100 * S));
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_PROVIDER], 100 * 1000);
    ledger_close(&l);
}

static void boot_waste_bears_the_tenants_name(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node n = rented_node(S, 60 * S);
    open_node(&l, &n, 0);
    weir_bill_settle(l.b, at(20 * S), true);
    weir_bill_node_close(l.b, n.node, at(30 * S)); /* never joined */
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_WASTE_BOOT], 60000);
    assert_int_equal(l.account[WEIR_ACCOUNT_IDLE], 0);
    assert_int_equal(l.waste_of_job[9], 60000);
    assert_int_equal(l.p.p[1].project.v, 3);
    assert_int_equal(l.p.p[1].user.v, 4);
    assert_int_equal(l.p.p[1].run.task.ordinal, 1);
    assert_int_equal(l.p.p[1].run.attempt, 0);
    ledger_close(&l);
}

/* One run alone on a rented node at 1000 micro-units per second, from 0 to 100 s; settled at 60 s. */
static void what_failed_or_was_lost_goes_to_waste(void **state)
{
    (void)state;
    static const struct {
        enum weir_outcome outcome;
        int64_t checkpoint; /* < 0: none */
        int64_t kept;
        int64_t job;
        int64_t lost;
        int64_t failed;
    } rows[] = {
        {WEIR_OUTCOME_USED, -1, 0, 100000, 0, 0},
        {WEIR_OUTCOME_FAILED, -1, 0, 0, 0, 100000},
        {WEIR_OUTCOME_FAILED, 40, 40, 0, 0, 100000},
        {WEIR_OUTCOME_LOST, -1, 0, 0, 100000, 0},       /* nothing kept */
        {WEIR_OUTCOME_LOST, 40, 40, 40000, 60000, 0},   /* before the settling */
        {WEIR_OUTCOME_LOST, 60, 60, 60000, 40000, 0},
        {WEIR_OUTCOME_LOST, 80, 80, 80000, 20000, 0},   /* after it */
        {WEIR_OUTCOME_LOST, 40, 30, 30000, 70000, 0},   /* an older checkpoint */
        {WEIR_OUTCOME_LOST, 40, 50, 50000, 50000, 0},   /* a newer one that was not told */
        {WEIR_OUTCOME_LOST, -1, 90, 90000, 10000, 0},   /* in the last span */
        {WEIR_OUTCOME_LOST, -1, 30, 30000, 70000, 0},   /* in the first */
        {WEIR_OUTCOME_LOST, 100, 100, 100000, 0, 0},    /* a last checkpoint at the end */
        {WEIR_OUTCOME_LOST, 40, -50, 0, 100000, 0},     /* one of an earlier attempt */
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct ledger l;
        ledger_open(&l);
        struct weir_bill_node n = rented_node(S, 0);
        open_node(&l, &n, 0);
        weir_bill_node_ready(l.b, n.node, at(0));
        open_segment(&l, segment(2, 5, 4, 0));
        if (rows[i].checkpoint >= 0 && rows[i].checkpoint <= 60) {
            weir_bill_segment_checkpoint(l.b, run_of(5), at(rows[i].checkpoint * S));
        }
        weir_bill_settle(l.b, at(60 * S), true);
        if (rows[i].checkpoint > 60) {
            weir_bill_segment_checkpoint(l.b, run_of(5), at(rows[i].checkpoint * S));
        }
        take(&l);
        weir_bill_segment_close(l.b, n.node, run_of(5), 0, at(100 * S), rows[i].outcome,
                                rows[i].kept == 0 ? nothing_kept : at(rows[i].kept * S));
        weir_bill_settle(l.b, at(101 * S), false);
        take(&l);
        assert_int_equal(l.job[5], rows[i].job);
        assert_int_equal(l.account[WEIR_ACCOUNT_JOB], rows[i].job);
        assert_int_equal(l.account[WEIR_ACCOUNT_WASTE_LOST], rows[i].lost);
        assert_int_equal(l.account[WEIR_ACCOUNT_WASTE_FAILED], rows[i].failed);
        assert_int_equal(l.gpu_us[5], 4 * 100 * S);
        assert_int_equal(l.account[WEIR_ACCOUNT_IDLE], 0);
        ledger_close(&l);
    }
}

static void a_gang_is_billed_on_each_of_its_nodes(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node owned = owned_node();
    owned.cost.tariff_micro_per_kwh = 0;
    struct weir_bill_node rented = rented_node(S, 0);
    open_node(&l, &owned, 0);
    open_node(&l, &rented, 0);
    weir_bill_node_ready(l.b, rented.node, at(0));
    open_segment(&l, segment(1, 5, 4, 0));
    struct weir_bill_segment second = segment(2, 5, 4, 0);
    second.rank = 1;
    open_segment(&l, second);
    weir_bill_segment_checkpoint(l.b, run_of(5), at(H / 2));
    weir_bill_segment_close(l.b, owned.node, run_of(5), 0, at(H), WEIR_OUTCOME_LOST, at(H / 2));
    weir_bill_segment_close(l.b, rented.node, run_of(5), 1, at(H), WEIR_OUTCOME_LOST, at(H / 2));
    weir_bill_settle(l.b, at(H), false);
    take(&l);
    assert_int_equal(l.job[5], 1250000 + 1800000);
    assert_int_equal(l.account[WEIR_ACCOUNT_WASTE_LOST], 1250000 + 1800000);
    ledger_close(&l);
}

/* A rank ends well, is settled (or not), its node goes away (or not), and then the run turns out to have failed (or not). */
static void what_a_rank_used_is_waste_where_its_gang_fails(void **state)
{
    static const struct {
        enum weir_outcome outcome;
        bool settled;
        bool closed;
        bool restarted;
        int64_t kept;
        int64_t job;
        int64_t lost;
        int64_t failed;
    } rows[] = {
        {WEIR_OUTCOME_USED, true, false, false, 0, 3600000, 0, 0},
        {WEIR_OUTCOME_FAILED, false, false, false, 0, 0, 0, 3600000},
        {WEIR_OUTCOME_FAILED, true, false, false, 0, 0, 0, 3600000},
        {WEIR_OUTCOME_FAILED, true, true, false, 0, 0, 0, 3600000},
        {WEIR_OUTCOME_FAILED, true, true, true, 0, 0, 0, 3600000},
        {WEIR_OUTCOME_LOST, false, false, false, H / 2, 1800000, 1800000, 0},
        {WEIR_OUTCOME_LOST, true, true, false, H / 2, 1800000, 1800000, 0},
        {WEIR_OUTCOME_LOST, true, true, true, H / 2, 1800000, 1800000, 0},
        {WEIR_OUTCOME_LOST, true, false, false, 2 * H, 3600000, 0, 0}, /* a checkpoint after its end keeps all */
        {WEIR_OUTCOME_LOST, true, false, false, -H, 0, 3600000, 0},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct ledger l;
        ledger_open(&l);
        struct weir_bill_node rented = rented_node(S, 0);
        open_node(&l, &rented, 0);
        weir_bill_node_ready(l.b, rented.node, at(0));
        open_segment(&l, segment(2, 5, 4, 0));
        weir_bill_segment_checkpoint(l.b, run_of(5), at(H / 2));
        weir_bill_segment_close(l.b, rented.node, run_of(5), 0, at(H), WEIR_OUTCOME_PENDING, nothing_kept);
        if (rows[i].settled) {
            weir_bill_settle(l.b, at(H), false);
            take(&l);
            assert_int_equal(l.job[5], 3600000);
        }
        if (rows[i].closed) {
            weir_bill_node_close(l.b, rented.node, at(2 * H));
            take(&l);
        }
        if (rows[i].restarted) { /* as it would be found in the store */
            struct weir_bill_pending p = {segment(2, 5, 4, 0), rented.lease, rented.pool};
            p.segment.posted_until = at(H);
            p.segment.posted_micro = 3600000;
            p.segment.posted_kept_micro = 1800000;
            p.segment.checkpointed = at(H / 2);
            struct weir_err err;
            weir_bill_free(l.b);
            l.b = weir_bill_new(l.p.p[l.p.n - 1].id + 1, at(2 * H));
            assert_int_equal(weir_bill_restore_pending(l.b, &p, &err), 0);
        }
        weir_bill_segment_verdict(l.b, rented.node, run_of(5), 0, at(3 * H), rows[i].outcome, at(rows[i].kept));
        weir_bill_segment_verdict(l.b, rented.node, run_of(5), 0, at(3 * H), WEIR_OUTCOME_FAILED, nothing_kept); /* once only */
        weir_bill_settle(l.b, at(3 * H), false);
        take(&l);
        assert_int_equal(l.job[5], rows[i].job);
        assert_int_equal(l.account[WEIR_ACCOUNT_WASTE_LOST], rows[i].lost);
        assert_int_equal(l.account[WEIR_ACCOUNT_WASTE_FAILED], rows[i].failed);
        ledger_close(&l);
    }
}

static void gpu_time_is_told_where_nothing_costs(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node n = owned_node();
    n.cost = (struct weir_owned_cost){.life = {1}, .pue_milli = 1000};
    open_node(&l, &n, 0);
    open_segment(&l, segment(1, 5, 3, 0));
    weir_bill_segment_close(l.b, n.node, run_of(5), 0, at(10 * S), WEIR_OUTCOME_USED, nothing_kept);
    weir_bill_settle(l.b, at(10 * S), false);
    take(&l);
    assert_int_equal(l.p.n, 1);
    assert_int_equal(l.p.p[0].amount_micro, 0);
    assert_int_equal(l.gpu_us[5], 30 * S);
    ledger_close(&l);
}

static void times_that_go_back_are_moved_up(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node n = rented_node(S, 0);
    open_node(&l, &n, 100 * S);
    weir_bill_node_ready(l.b, n.node, at(50 * S));
    weir_bill_settle(l.b, at(200 * S), true);
    open_segment(&l, segment(2, 5, 4, 150 * S));
    weir_bill_segment_close(l.b, n.node, run_of(5), 0, at(120 * S), WEIR_OUTCOME_USED, nothing_kept);
    weir_bill_node_close(l.b, n.node, at(110 * S));
    take(&l);
    assert_int_equal(l.account[WEIR_ACCOUNT_PROVIDER], 100000);
    assert_int_equal(l.job[5], 0);
    ledger_close(&l);
}

static void bad_nodes_are_refused_by_field(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_err err;
    struct weir_bill_node n = owned_node();
    n.cost.life.us = 0;
    assert_int_equal(weir_bill_node_open(l.b, &n, at(0), &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "life"));
    n = owned_node();
    n.cost.residual_micro = n.cost.purchase_micro + 1;
    assert_int_equal(weir_bill_node_open(l.b, &n, at(0), &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "residual"));
    n = rented_node(S, 0);
    n.price_micro_per_hour = -1;
    assert_int_equal(weir_bill_node_open(l.b, &n, at(0), &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "price"));
    n = owned_node();
    open_node(&l, &n, 0);
    assert_int_equal(weir_bill_node_open(l.b, &n, at(0), &err), -WEIR_EEXISTS);
    struct weir_bill_segment s = segment(1, 5, 1, 0);
    open_segment(&l, s);
    assert_int_equal(weir_bill_segment_open(l.b, &s, &err), -WEIR_EEXISTS);
    s.node.v = 99; /* closed long ago */
    assert_int_equal(weir_bill_segment_open(l.b, &s, &err), 0);
    ledger_close(&l);
}

static void a_closed_run_may_come_again_before_the_settling(void **state)
{
    (void)state;
    struct ledger l;
    ledger_open(&l);
    struct weir_bill_node n = rented_node(S, 0);
    open_node(&l, &n, 0);
    weir_bill_node_ready(l.b, n.node, at(0));
    open_segment(&l, segment(2, 5, 4, 0));
    weir_bill_segment_close(l.b, n.node, run_of(5), 0, at(10 * S), WEIR_OUTCOME_FAILED, nothing_kept);
    open_segment(&l, segment(2, 5, 4, 10 * S));
    weir_bill_segment_close(l.b, n.node, run_of(5), 0, at(30 * S), WEIR_OUTCOME_USED, nothing_kept);
    weir_bill_settle(l.b, at(30 * S), false);
    take(&l);
    assert_int_equal(l.job[5], 20000);
    assert_int_equal(l.account[WEIR_ACCOUNT_WASTE_FAILED], 10000);
    ledger_close(&l);
}

static void splits_are_exact(void **state)
{
    (void)state;
    static const struct {
        int64_t total;
        weir_i128 weight[4];
        int64_t want[4];
    } rows[] = {
        {10, {1, 1, 1, 0}, {4, 3, 3, 0}},
        {10, {0, 0, 0, 0}, {0, 0, 0, 10}},
        {0, {1, 2, 3, 4}, {0, 0, 0, 0}},
        {3, {1, 1, 1, 1}, {1, 1, 1, 0}},
        {100, {(weir_i128)1 << 110, (weir_i128)1 << 110, (weir_i128)1 << 111, 1}, {25, 25, 50, 0}},
        {INT64_MAX, {(weir_i128)1 << 118, 0, 0, 0}, {INT64_MAX, 0, 0, 0}},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        int64_t got[4];
        weir_bill_split(rows[i].total, rows[i].weight, 4, got);
        assert_memory_equal(got, rows[i].want, sizeof got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accounts_have_names),
        cmocka_unit_test(owned_rates_are_what_the_figures_say),
        cmocka_unit_test(an_owned_node_is_split_by_share),
        cmocka_unit_test(a_tariff_counts_from_its_hour_on),
        cmocka_unit_test(tariffs_are_read_by_the_hour_of_the_week),
        cmocka_unit_test(measured_energy_replaces_the_model),
        cmocka_unit_test(energy_goes_on_where_its_counter_was),
        cmocka_unit_test(a_counter_of_an_older_store_is_only_read),
        cmocka_unit_test(what_accrues_is_what_a_settling_would_post),
        cmocka_unit_test(shares_above_the_whole_are_scaled),
        cmocka_unit_test(a_rented_node_is_billed_by_quantum_and_minimum),
        cmocka_unit_test(a_changed_price_counts_from_its_moment_on),
        cmocka_unit_test(minimum_and_quantum_are_of_the_whole_life_at_its_last_price),
        cmocka_unit_test(a_price_of_a_machine_that_may_be_gone_counts_from_when_it_was_seen),
        cmocka_unit_test(a_price_that_is_told_late_counts_from_its_moment_on),
        cmocka_unit_test(a_price_counts_not_before_the_one_before),
        cmocka_unit_test(boot_waste_bears_the_tenants_name),
        cmocka_unit_test(what_failed_or_was_lost_goes_to_waste),
        cmocka_unit_test(a_gang_is_billed_on_each_of_its_nodes),
        cmocka_unit_test(what_a_rank_used_is_waste_where_its_gang_fails),
        cmocka_unit_test(gpu_time_is_told_where_nothing_costs),
        cmocka_unit_test(times_that_go_back_are_moved_up),
        cmocka_unit_test(bad_nodes_are_refused_by_field),
        cmocka_unit_test(a_closed_run_may_come_again_before_the_settling),
        cmocka_unit_test(splits_are_exact),
    };
    return cmocka_run_group_tests_name("bill", tests, NULL, NULL);
}
