/* SPDX-License-Identifier: Apache-2.0 */
/* Promises of the ledger over random lives of nodes and runs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "bill_ops.h"

enum { LIVES = 60, BYTES = 8000 };

static uint8_t bytes[BYTES];

static void make_bytes(uint64_t seed)
{
    struct weir_prng rng = weir_prng_seed(seed);
    for (size_t i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t)weir_prng_u64(&rng);
    }
}

static void run(const struct bill_ops_conf *conf, struct bill_ops_result *ret)
{
    struct weir_err err = {""};
    int r = bill_ops_run(bytes, BYTES, conf, ret, &err);
    if (r < 0) {
        fail_msg("%s", err.text);
    }
}

static void every_ledger_balances(void **state)
{
    (void)state;
    uint64_t ops = 0;
    uint64_t postings = 0;
    for (uint64_t seed = 0; seed < LIVES; seed++) {
        make_bytes(seed);
        for (unsigned every = 1; every <= 64; every *= 8) {
            struct bill_ops_result r;
            run(&(struct bill_ops_conf){.settle_every = every, .restart = seed % 2 == 1}, &r);
            ops += r.ops;
            postings += r.sums.postings;
            assert_int_equal(r.sums.use[WEIR_ACCOUNT_NODE] + r.sums.cost[0] + r.sums.cost[1] + r.sums.cost[2] + r.sums.cost[3], 0);
        }
    }
    assert_true(ops > 100000);
    assert_true(postings > 100000);
}

/* The cost side is a function of time and use alone, however often it is settled. */
static void settling_often_costs_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < LIVES; seed++) {
        make_bytes(seed + 1000);
        struct bill_ops_result often;
        struct bill_ops_result once;
        run(&(struct bill_ops_conf){.settle_every = 1, .punctual = true}, &often);
        run(&(struct bill_ops_conf){.settle_every = 0, .punctual = true}, &once);
        assert_int_equal(often.sums.gpu_us, once.sums.gpu_us);
        assert_true(often.sums.rented_mj > 0 && often.sums.rented_ug > 0);
        assert_int_equal(often.sums.rented_mj, once.sums.rented_mj);
        assert_int_equal(often.sums.rented_ug, once.sums.rented_ug);
        assert_int_equal(often.sums.cost[WEIR_ACCOUNT_PROVIDER], once.sums.cost[WEIR_ACCOUNT_PROVIDER]);
        assert_int_equal(often.sums.cost[WEIR_ACCOUNT_DEPRECIATION], once.sums.cost[WEIR_ACCOUNT_DEPRECIATION]);
        assert_int_equal(often.sums.cost[WEIR_ACCOUNT_UPKEEP], once.sums.cost[WEIR_ACCOUNT_UPKEEP]);
    }
}

/* Field by field: what lies between them says nothing. */
static void assert_posting_equal(const struct weir_posting *a, const struct weir_posting *b)
{
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->at.us, b->at.us);
    assert_int_equal(a->from.us, b->from.us);
    assert_int_equal(a->to.us, b->to.us);
    assert_int_equal(a->node.v, b->node.v);
    assert_int_equal(a->lease.v, b->lease.v);
    assert_int_equal(a->pool.v, b->pool.v);
    assert_int_equal(a->debit, b->debit);
    assert_int_equal(a->credit, b->credit);
    assert_int_equal(a->modelled, b->modelled);
    assert_int_equal(a->amount_micro, b->amount_micro);
    assert_int_equal(a->gpu_us, b->gpu_us);
    assert_int_equal(a->energy_mj, b->energy_mj);
    assert_int_equal(a->carbon_ug, b->carbon_ug);
    assert_int_equal(a->carbon_unknown, b->carbon_unknown);
    assert_string_equal(a->currency, b->currency);
    assert_int_equal(a->original_micro, b->original_micro);
    assert_int_equal(a->project.v, b->project.v);
    assert_int_equal(a->user.v, b->user.v);
    assert_true(weir_run_id_eq(a->run, b->run));
}

static void assert_ledgers_equal(const struct bill_ops_result *a, const struct bill_ops_result *b)
{
    assert_int_equal(a->postings.n, b->postings.n);
    for (size_t i = 0; i < a->postings.n; i++) {
        assert_posting_equal(&a->postings.p[i], &b->postings.p[i]);
    }
}

static void the_same_life_gives_the_same_ledger(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        make_bytes(seed + 2000);
        struct bill_ops_result a;
        struct bill_ops_result b;
        run(&(struct bill_ops_conf){.settle_every = 9, .record = true}, &a);
        run(&(struct bill_ops_conf){.settle_every = 9, .record = true}, &b);
        assert_ledgers_equal(&a, &b);
        weir_vec_release(&a.postings);
        weir_vec_release(&b.postings);
    }
}

/* What a machine cost in the currency of its quote is one rounding of all that it cost, on both sides, however it was cut. */
static void another_currency_adds_up_to_the_whole(void **state)
{
    (void)state;
    uint64_t seen = 0;
    for (uint64_t seed = 0; seed < LIVES; seed++) {
        make_bytes(seed + 4000);
        struct bill_ops_result r;
        run(&(struct bill_ops_conf){.settle_every = 9, .record = true, .restart = seed % 2 == 1}, &r);
        struct {
            int64_t micro;
            int64_t original;
            int64_t used;
        } *node = weir_calloc(r.postings.n + 1, sizeof *node);
        for (size_t i = 0; i < r.postings.n; i++) {
            const struct weir_posting *p = &r.postings.p[i];
            assert_true(p->node.v <= r.postings.n);
            if (p->currency[0] == '\0') {
                assert_int_equal(p->original_micro, 0);
            } else if (p->credit == WEIR_ACCOUNT_PROVIDER) {
                node[p->node.v].micro += p->amount_micro;
                node[p->node.v].original += p->original_micro;
            } else if (p->credit == WEIR_ACCOUNT_NODE) {
                node[p->node.v].used += p->original_micro;
            }
        }
        for (size_t i = 0; i <= r.postings.n; i++) {
            int64_t want = 0;
            assert_true(weir_mul_div(node[i].micro, 1000000000, 1084237001, &want));
            assert_int_equal(node[i].original, want);
            assert_int_equal(node[i].used, want);
            seen += want > 0;
        }
        free(node);
        weir_vec_release(&r.postings);
    }
    assert_true(seen > LIVES);
}

/* A restart shows nowhere in the ledger. */
static void a_restart_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < LIVES; seed++) {
        make_bytes(seed + 3000);
        struct bill_ops_result a;
        struct bill_ops_result b;
        run(&(struct bill_ops_conf){.settle_every = 9, .record = true}, &a);
        run(&(struct bill_ops_conf){.settle_every = 9, .record = true, .restart = true}, &b);
        assert_ledgers_equal(&a, &b);
        weir_vec_release(&a.postings);
        weir_vec_release(&b.postings);
    }
}

/* ---- the checker itself: what is wrong is found ---- */

static int move_to_waste(struct weir_bill_check *c, struct weir_posting p, uint64_t id, uint64_t job, struct weir_err *err)
{
    p.id = id;
    p.credit = WEIR_ACCOUNT_JOB;
    p.debit = WEIR_ACCOUNT_WASTE_LOST;
    p.run.task.job.v = job;
    return weir_bill_check_add(c, &p, err);
}

/* Of jobs without end only those that still run are kept, and these are proven as before. */
static void jobs_that_are_over_are_forgotten(void **state)
{
    (void)state;
    enum { JOBS = 140000, OVER = JOBS - 1000 };
    struct weir_bill_check *c = weir_bill_check_new();
    struct weir_err err = {""};
    struct weir_posting use = {0};
    uint64_t id = 0;
    for (uint64_t job = 1; job <= JOBS; job++) {
        struct weir_posting cost = {.id = ++id, .at = {(int64_t)job * 100}, .from = {(int64_t)job * 100 - 50}, .to = {(int64_t)job * 100}, .node = {1},
                                    .credit = WEIR_ACCOUNT_DEPRECIATION, .debit = WEIR_ACCOUNT_NODE, .amount_micro = 7};
        assert_int_equal(weir_bill_check_add(c, &cost, &err), 0);
        use = cost;
        use.id = ++id;
        use.credit = WEIR_ACCOUNT_NODE;
        use.debit = WEIR_ACCOUNT_JOB;
        use.run = (struct weir_run_id){{{job}, 0}, 1};
        assert_int_equal(weir_bill_check_add(c, &use, &err), 0);
        if (job % 1000 == 0) {
            weir_bill_check_forget(c, (struct weir_job_id){job < OVER ? job : OVER});
        }
    }
    assert_int_equal(move_to_waste(c, use, id + 1, 1, &err), -WEIR_ECORRUPT);
    assert_non_null(strstr(err.text, "but only 0.000000 was charged"));
    assert_int_equal(move_to_waste(c, use, id + 2, OVER + 1, &err), 0);
    assert_int_equal(move_to_waste(c, use, id + 3, JOBS, &err), 0);
    assert_int_equal(move_to_waste(c, use, id + 4, JOBS, &err), -WEIR_ECORRUPT);
    struct weir_bill_check_result sum;
    assert_int_equal(weir_bill_check_end(c, &sum, &err), 0);
    assert_int_equal(sum.used_micro, 7 * (JOBS - 2));
    assert_int_equal(sum.waste_micro, 14);
    weir_bill_check_free(c);
}

static void the_checker_finds_every_kind_of_fault(void **state)
{
    (void)state;
    make_bytes(4000);
    struct bill_ops_result good;
    run(&(struct bill_ops_conf){.settle_every = 9, .record = true}, &good);
    size_t n = good.postings.n;
    assert_true(n > 500);
    struct weir_prng rng = weir_prng_seed(5);
    static const char *const kinds[] = {"amount", "gap", "accounts", "lost use", "span", "time", "energy", "carbon", "lost energy"};
    for (size_t kind = 0; kind < WEIR_ARRAY_LEN(kinds); kind++) {
        for (int round = 0; round < 20; round++) {
            size_t at = 1 + (size_t)weir_prng_below(&rng, n - 2);
            struct weir_bill_check *c = weir_bill_check_new();
            struct weir_err err = {""};
            struct weir_bill_check_result sum;
            int r = 0;
            for (size_t i = 0; i < n && r == 0; i++) {
                struct weir_posting p = good.postings.p[i];
                if (i == at) {
                    /* corrections are not part of a span: a larger one is found, a smaller one is just smaller */
                    switch (kind) {
                    case 0:
                        p.amount_micro += p.credit == WEIR_ACCOUNT_JOB ? INT64_C(1) << 50 : 1;
                        break;
                    case 1:
                        p.id++;
                        break;
                    case 2:
                        p.debit = WEIR_ACCOUNT_PROVIDER;
                        break;
                    case 3:
                        p.amount_micro = -p.amount_micro - 1;
                        break;
                    case 4:
                        p.from.us = p.to.us + 1;
                        break;
                    case 5:
                        p.at.us = 1;
                        break;
                    case 6:
                        p.energy_mj++;
                        break;
                    case 7:
                        p.energy_mj += p.energy_mj == 0; /* carbon alone is another fault */
                        p.carbon_ug++;
                        p.carbon_unknown = false;
                        break;
                    default:
                        p.energy_mj -= 1;
                        break;
                    }
                }
                r = weir_bill_check_add(c, &p, &err);
            }
            if (r == 0) {
                r = weir_bill_check_end(c, &sum, &err);
            }
            if (r != -WEIR_ECORRUPT || err.text[0] == '\0') {
                fail_msg("%s at posting %zu was not found", kinds[kind], at + 1);
            }
            weir_bill_check_free(c);
        }
    }
    weir_vec_release(&good.postings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ledger_balances),
        cmocka_unit_test(settling_often_costs_the_same),
        cmocka_unit_test(the_same_life_gives_the_same_ledger),
        cmocka_unit_test(another_currency_adds_up_to_the_whole),
        cmocka_unit_test(a_restart_changes_nothing),
        cmocka_unit_test(the_checker_finds_every_kind_of_fault),
        cmocka_unit_test(jobs_that_are_over_are_forgotten),
    };
    return cmocka_run_group_tests_name("bill-random", tests, NULL, NULL);
}
