/* SPDX-License-Identifier: Apache-2.0 */
/* The proof that rented machines are charged what their quotes and prices make: ledgers and stores with which somebody tampered. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/vec.h"
#include "bill/bill_priv.h"
#include "lease_prices.h"

#define T0 INT64_C(1795376546000000)
#define S WEIR_US_PER_S
#define USD INT64_C(1000000)

/* Lease 7: 3.60 an hour, then 7.20 from its minute 10, told at minute 12; 1.80 from minute 20; 9.00 from minute 31, told at minute 35; ends at 41:30. */
struct story {
    struct weir_bill *b;
    struct lease_prices prices;
    WEIR_VEC(struct weir_posting) p;
};

static struct weir_wall at(int64_t s)
{
    return (struct weir_wall){T0 + s * S};
}

static void take(struct story *t)
{
    const struct weir_posting *p;
    const struct weir_meter *m;
    size_t n;
    size_t n_meters;
    weir_bill_take(t->b, &p, &n, &m, &n_meters);
    for (size_t i = 0; i < n; i++) {
        weir_vec_push(&t->p, p[i]);
    }
    t->prices.known_until = weir_bill_last_posting(t->b);
}

static void change(struct story *t, int64_t s, int64_t micro_per_hour)
{
    lease_prices_change(&t->prices, t->b, (struct weir_lease_id){7}, (struct weir_node_id){3}, at(s), micro_per_hour);
    take(t);
}

static void tell(struct story *t, bool foreign)
{
    struct weir_bill_node n = {.node = {3}, .lease = {7}, .pool = {1}, .gpus = 8, .cpu_milli = 8000, .price_micro_per_hour = 36 * USD / 10,
                               .quantum = {60 * S}, .minimum = {600 * S}};
    struct weir_err err;
    *t = (struct story){.b = weir_bill_new(1, (struct weir_wall){0})};
    lease_prices_init(&t->prices);
    if (foreign) {
        memcpy(n.currency, "EUR", sizeof n.currency);
        n.rate_nano = 1084237001;
    }
    assert_int_equal(weir_bill_node_open(t->b, &n, at(0), &err), 0);
    lease_prices_open(&t->prices, &n, at(0));
    weir_bill_node_ready(t->b, n.node, at(90));
    for (int64_t s = 120; s <= 2460; s += 60) {
        if (s == 720) {
            change(t, 600, 72 * USD / 10);
        } else if (s == 1200) {
            change(t, 1200, 18 * USD / 10);
        } else if (s == 2100) {
            change(t, 1860, 9 * USD);
        }
        weir_bill_settle(t->b, at(s), true);
        take(t);
    }
    weir_bill_node_close(t->b, n.node, at(2490));
    lease_prices_close(&t->prices, n.lease, at(2490));
    take(t);
}

static void forget(struct story *t)
{
    weir_bill_free(t->b);
    lease_prices_release(&t->prices);
    weir_vec_release(&t->p);
}

static int prove(struct story *t, struct weir_bill_check_result *ret, struct weir_err *err)
{
    struct weir_bill_check *c = weir_bill_check_new();
    int r = 0;
    weir_bill_check_prices(c, &t->prices.source);
    for (size_t i = 0; i < t->p.n && r == 0; i++) {
        r = weir_bill_check_add(c, &t->p.p[i], err);
    }
    r = r < 0 ? r : weir_bill_check_end(c, ret, err);
    weir_bill_check_free(c);
    return r;
}

static struct lease_price *price(struct story *t, size_t i)
{
    return &t->prices.prices.p[i];
}

static struct weir_bill_terms *terms(struct story *t)
{
    return &t->prices.leases.p[0].terms;
}

static void what_prices_make_is_proven(void **state)
{
    (void)state;
    for (int foreign = 0; foreign < 2; foreign++) {
        struct story t;
        struct weir_err err = {""};
        struct weir_bill_check_result r;
        tell(&t, foreign);
        t.prices.reads = 0;
        if (prove(&t, &r, &err) != 0) {
            fail_msg("%s", err.text);
        }
        assert_int_equal(r.leases, 1);
        assert_int_equal(r.prices, 3);
        assert_int_equal(r.leases_unproven, 0);
        /* 10 min at 3.60, 10 at 7.20, 11 at 1.80, 11 at 9.00: the last minute is charged whole */
        assert_int_equal(r.cost_micro, 600000 + 1200000 + 330000 + 1650000);
        assert_int_equal(t.prices.reads, 5); /* however many postings: the terms, the prices, and that there are no more */
        forget(&t);
    }
}

static void tampering_is_found(void **state)
{
    (void)state;
    enum { QUOTE, PRICE, FROM, EARLY, TOLD_LATER, NO_FIRST, NO_SECOND, NO_LAST, TWICE, SAME, NEGATIVE, OPENED, QUANTUM, ENDED, NOT_THERE, RATE, CASES };
    static const char *const says[CASES] = {
        [QUOTE] = "lease 7 (node 3), span 2026-11-22T19:42:26Z to 2026-11-22T19:43:56Z: the ledger charges 0.090000, its prices make 0.090025 (3.601000 an hour since",
        [PRICE] = "the ledger charges 0.180000, its prices make 0.180017 (7.200500 an hour since 2026-11-22T19:52:26Z)",
        [FROM] = "the ledger charges 0.180000, its prices make 0.179000",
        [EARLY] = "price 2 behind its quote: it begins before the one that it follows",
        [TOLD_LATER] = "price 2 behind its quote: it begins after what was posted when it was told",
        [NO_FIRST] = "price 1 behind its quote: it is missing",
        [NO_SECOND] = "price 2 behind its quote: it is missing",
        [NO_LAST] = "the ledger charges 0.510000, its prices make 0.030000 (1.800000 an hour since 2026-11-22T20:02:26Z)",
        [TWICE] = "price 2 behind its quote: it is the one that it follows",
        [SAME] = "price 4 behind its quote: it is the one that it follows",
        [NEGATIVE] = "price 1 behind its quote: it is out of bounds",
        [OPENED] = "is charged for before its lease 7 begins",
        [QUANTUM] = "the ledger charges 0.075000, its prices make 0.0",
        [ENDED] = "the ledger charges 0.075000, its prices make 0.0",
        [NOT_THERE] = "there is no lease 7, which node 3 is charged for",
        [RATE] = "the ledger charges 0.000000 EUR, its prices make 0.083008 (3.600000 an hour since 2026-11-22T19:42:26Z)",
    };
    for (int i = 0; i < CASES; i++) {
        struct story t;
        struct weir_err err = {""};
        struct weir_bill_check_result r;
        tell(&t, false);
        switch (i) {
        case QUOTE:
            terms(&t)->quote_micro_per_hour += 1000;
            break;
        case PRICE:
            price(&t, 0)->price.micro_per_hour += 500;
            break;
        case FROM:
            price(&t, 0)->price.from.us += S;
            break;
        case EARLY:
            price(&t, 1)->price.from = at(599);
            break;
        case TOLD_LATER:
            price(&t, 1)->price.from = at(1201);
            break;
        case NO_FIRST:
        case NO_SECOND:
            price(&t, i == NO_FIRST ? 0 : 1)->lease.v = 8;
            break;
        case NO_LAST:
            price(&t, 2)->lease.v = 8;
            break;
        case TWICE: { /* the second is the first again; the others follow */
            struct lease_price again = *price(&t, 0);
            again.price.number = 2;
            price(&t, 1)->price.number = 3;
            price(&t, 2)->price.number = 4;
            weir_vec_push(&t.prices.prices, again);
            break;
        }
        case SAME: { /* the last, again */
            struct lease_price again = *price(&t, 2);
            again.price.number = 4;
            weir_vec_push(&t.prices.prices, again);
            break;
        }
        case NEGATIVE:
            price(&t, 0)->price.micro_per_hour = -1;
            break;
        case OPENED:
            terms(&t)->opened = at(1);
            break;
        case QUANTUM:
            terms(&t)->quantum.us = S;
            break;
        case ENDED:
            terms(&t)->ended = at(2550);
            break;
        case NOT_THERE:
            t.prices.leases.p[0].lease.v = 8;
            break;
        case RATE:
            memcpy(terms(&t)->currency, "EUR", 4);
            terms(&t)->rate_nano = 1084237001;
            break;
        default:
            fail();
        }
        assert_int_equal(prove(&t, &r, &err), -WEIR_ECORRUPT);
        if (strstr(err.text, says[i]) == NULL) {
            fail_msg("case %d: '%s' does not say '%s'", i, err.text, says[i]);
        }
        forget(&t);
    }
}

/* Both sides of a span are changed alike: it is balanced, and not what the machine's prices make. */
static void an_amount_that_no_price_makes_is_found(void **state)
{
    (void)state;
    struct story whole;
    tell(&whole, false);
    for (size_t i = 0; i + 1 < whole.p.n; i += 2) {
        for (int64_t by = -1; by <= 1; by += 2) {
            struct weir_err err = {""};
            struct weir_bill_check_result r;
            assert_int_equal(whole.p.p[i].credit, WEIR_ACCOUNT_PROVIDER);
            whole.p.p[i].amount_micro += by;
            whole.p.p[i + 1].amount_micro += by;
            assert_int_equal(prove(&whole, &r, &err), -WEIR_ECORRUPT);
            assert_non_null(strstr(err.text, "lease 7 (node 3), span "));
            whole.p.p[i].amount_micro -= by;
            whole.p.p[i + 1].amount_micro -= by;
        }
    }
    forget(&whole);
}

/* The end of the ledger goes with its last price: what stays is balanced, but the machine's life is not paid for. */
static void a_life_that_is_not_charged_to_its_end_is_found(void **state)
{
    (void)state;
    struct story t;
    struct weir_err err = {""};
    struct weir_bill_check_result r;
    tell(&t, false);
    t.p.n -= 2;
    assert_int_equal(prove(&t, &r, &err), -WEIR_ECORRUPT);
    assert_string_equal(err.text, "lease 7: over its life the ledger charges 3.705000, its prices make 0.075000 more");
    terms(&t)->ended.us = 0; /* while it is there, all is well */
    assert_int_equal(prove(&t, &r, &err), 0);
    terms(&t)->ended = at(2490);
    terms(&t)->price_micro_per_hour = 5 * USD;
    assert_int_equal(prove(&t, &r, &err), -WEIR_ECORRUPT);
    assert_string_equal(err.text, "lease 7: it ended at 5.000000 an hour, but the last of its prices is 9.000000: one is missing");
    forget(&t);
}

/* A price that an older version noted does not say which postings it made. */
static void a_price_of_unknown_order_proves_nothing(void **state)
{
    (void)state;
    struct story t;
    struct weir_err err = {""};
    struct weir_bill_check_result r;
    tell(&t, false);
    price(&t, 0)->price.after_posting = WEIR_BILL_POSTING_UNKNOWN;
    price(&t, 0)->price.micro_per_hour = 1;
    assert_int_equal(prove(&t, &r, &err), 0);
    assert_int_equal(r.leases, 0);
    assert_int_equal(r.prices, 0);
    assert_int_equal(r.leases_unproven, 1);
    forget(&t);
}

/* What is posted while the proof goes on may be at prices that were told since. */
static void a_price_that_is_told_during_the_proof_counts(void **state)
{
    (void)state;
    struct story t;
    struct weir_err err = {""};
    struct weir_bill_check_result r;
    tell(&t, false);
    WEIR_VEC(struct lease_price) later = {0};
    struct weir_bill_check *c = weir_bill_check_new();
    weir_bill_check_prices(c, &t.prices.source);
    terms(&t)->ended.us = 0;
    t.prices.known_until = price(&t, 0)->price.after_posting;
    while (t.prices.prices.n > 0) {
        weir_vec_push(&later, t.prices.prices.p[0]);
        memmove(t.prices.prices.p, t.prices.prices.p + 1, --t.prices.prices.n * sizeof *t.prices.prices.p);
    }
    for (size_t i = 0; i < t.p.n; i++) {
        for (size_t k = 0; k < later.n && t.prices.known_until < t.p.p[i].id; k++) { /* the store has all by now */
            weir_vec_push(&t.prices.prices, later.p[k]);
        }
        if (t.prices.known_until < t.p.p[i].id) {
            t.prices.known_until = t.p.n;
            terms(&t)->ended = at(2490);
        }
        assert_int_equal(weir_bill_check_add(c, &t.p.p[i], &err), 0);
    }
    assert_int_equal(weir_bill_check_end(c, &r, &err), 0);
    assert_int_equal(r.prices, 3);
    weir_bill_check_free(c);
    weir_vec_release(&later);
    forget(&t);
}

/* A machine that turns out to have fewer GPUs is charged on: nothing is rounded up in between, and its life is one. */
static void a_rented_machine_of_another_size_is_charged_on(void **state)
{
    (void)state;
    struct story t = {.b = weir_bill_new(1, (struct weir_wall){0})};
    struct weir_bill_node n = {.node = {3}, .lease = {7}, .pool = {1}, .gpus = 8, .cpu_milli = 8000, .price_micro_per_hour = 36 * USD / 10, .quantum = {WEIR_US_PER_HOUR}};
    struct weir_bill_segment s = {.node = {3}, .run = {{{5}, 0}, 1}, .project = {1}, .user = {1}, .gpus = 4, .from = at(0)};
    struct weir_err err = {""};
    struct weir_bill_check_result r;
    lease_prices_init(&t.prices);
    assert_int_equal(weir_bill_node_open(t.b, &n, at(0), &err), 0);
    lease_prices_open(&t.prices, &n, at(0));
    weir_bill_node_ready(t.b, n.node, at(0));
    assert_int_equal(weir_bill_segment_open(t.b, &s, &err), 0);
    n.gpus = 4;
    n.cpu_milli = 4000;
    assert_int_equal(weir_bill_node_open(t.b, &n, at(600), &err), -WEIR_EINVAL); /* with a run on it */
    weir_bill_segment_close(t.b, s.node, s.run, 0, at(600), WEIR_OUTCOME_USED, at(0));
    assert_int_equal(weir_bill_node_open(t.b, &n, at(600), &err), 0);
    s.from = at(600);
    assert_int_equal(weir_bill_segment_open(t.b, &s, &err), 0);
    weir_bill_settle(t.b, at(1200), true);
    take(&t);
    int64_t job = 0;
    for (size_t i = 0; i < t.p.n; i++) {
        job += t.p.p[i].debit == WEIR_ACCOUNT_JOB ? t.p.p[i].amount_micro : 0;
    }
    assert_int_equal(job, 300000 + 600000); /* half of the machine, then all of it */
    weir_bill_node_close(t.b, n.node, at(1200));
    lease_prices_close(&t.prices, n.lease, at(1200));
    take(&t);
    assert_int_equal(prove(&t, &r, &err), 0);
    assert_int_equal(r.cost_micro, 3600000); /* one hour is begun, not two */
    forget(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_prices_make_is_proven),
        cmocka_unit_test(tampering_is_found),
        cmocka_unit_test(an_amount_that_no_price_makes_is_found),
        cmocka_unit_test(a_life_that_is_not_charged_to_its_end_is_found),
        cmocka_unit_test(a_price_of_unknown_order_proves_nothing),
        cmocka_unit_test(a_price_that_is_told_during_the_proof_counts),
        cmocka_unit_test(a_rented_machine_of_another_size_is_charged_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
