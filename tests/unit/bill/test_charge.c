/* SPDX-License-Identifier: Apache-2.0 */
/* Promises of what is cut: the parts of any partition of a span add up to the whole, to the micro-unit. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/prng.h"
#include "bill/charge.h"

enum { CUTS_MAX = 8, POSTINGS = 3 };

static uint64_t spans = 100000; /* the program's argument */

static int64_t draw(struct weir_prng *rng, int64_t n)
{
    return (int64_t)(weir_prng_u64(rng) % (uint64_t)n);
}

static struct weir_posting draw_posting(struct weir_prng *rng, int64_t around)
{
    static const uint8_t sides[][2] = {
        {WEIR_ACCOUNT_JOB, WEIR_ACCOUNT_NODE},       {WEIR_ACCOUNT_IDLE, WEIR_ACCOUNT_NODE},
        {WEIR_ACCOUNT_WASTE_LOST, WEIR_ACCOUNT_JOB}, {WEIR_ACCOUNT_WASTE_BOOT, WEIR_ACCOUNT_NODE},
        {WEIR_ACCOUNT_NODE, WEIR_ACCOUNT_PROVIDER},
    };
    const uint8_t *side = sides[draw(rng, WEIR_ARRAY_LEN(sides))];
    int64_t from = around + draw(rng, 200 * WEIR_US_PER_HOUR) - 100 * WEIR_US_PER_HOUR;
    /* instants, spans of microseconds, and long ones */
    int64_t length = draw(rng, 4) == 0 ? draw(rng, 5) : draw(rng, 60 * WEIR_US_PER_HOUR);
    return (struct weir_posting){.from = {from},
                                 .to = {from + length},
                                 .node = {1 + (uint64_t)draw(rng, 3)},
                                 .debit = side[0],
                                 .credit = side[1],
                                 .amount_micro = draw(rng, draw(rng, 2) ? 10 : INT64_C(1000000000000)),
                                 .gpu_us = (uint64_t)draw(rng, 1000000000),
                                 .run = {.task = {.job = {(uint64_t)draw(rng, 3)}}}};
}

struct sums {
    int64_t amount;
    int64_t held;
    uint64_t gpu;
    int64_t by_account[WEIR_ACCOUNT_MAX];
};

static void add_up(const struct weir_posting *p, int64_t from, int64_t to, struct weir_dur period, struct sums *s)
{
    struct weir_charges *c = weir_charges_new((struct weir_wall){from}, (struct weir_wall){to}, period);
    size_t n;
    for (size_t i = 0; i < POSTINGS; i++) {
        weir_charges_add(c, &p[i]);
    }
    const struct weir_charge *row = weir_charges_rows(c, &n);
    for (size_t i = 0; i < n; i++) {
        assert_true(row[i].from.us >= from && row[i].to.us <= to);
        assert_true(row[i].from.us / period.us == (row[i].to.us - (row[i].to.us > row[i].from.us)) / period.us);
        s->amount += row[i].amount_micro;
        s->held += row[i].held_us;
        s->gpu += row[i].gpu_us;
        s->by_account[row[i].account] += row[i].amount_micro;
    }
    weir_charges_free(c);
}

static void any_partition_of_a_span_adds_up_to_the_whole(void **state)
{
    (void)state;
    const struct weir_dur periods[] = {{WEIR_US_PER_HOUR}, {WEIR_US_PER_DAY}};
    struct weir_prng rng = weir_prng_seed(7);
    int64_t around = 1790000000 * WEIR_US_PER_S;
    for (uint64_t k = 0; k < spans; k++) {
        struct weir_posting p[POSTINGS];
        for (size_t i = 0; i < POSTINGS; i++) {
            p[i] = draw_posting(&rng, around);
        }
        int64_t from = around + draw(&rng, 200 * WEIR_US_PER_HOUR) - 100 * WEIR_US_PER_HOUR;
        int64_t to = from + 1 + draw(&rng, 100 * WEIR_US_PER_HOUR);
        struct sums whole = {0};
        struct sums parts = {0};
        add_up(p, from, to, periods[k % 2], &whole);
        int64_t at = from;
        for (int64_t cuts = 1 + draw(&rng, CUTS_MAX); cuts > 0 && at < to; cuts--) {
            int64_t next = cuts == 1 ? to : at + 1 + draw(&rng, to - at);
            add_up(p, at, next, periods[draw(&rng, 2)], &parts);
            at = next;
        }
        if (at < to) {
            add_up(p, at, to, periods[0], &parts);
        }
        assert_memory_equal(&whole, &parts, sizeof whole);
    }
}

static void all_of_a_ledger_is_its_cost(void **state)
{
    (void)state;
    struct weir_posting p[POSTINGS] = {
        {.from = {10},
         .to = {1000 * WEIR_US_PER_HOUR + 7},
         .node = {1},
         .debit = WEIR_ACCOUNT_JOB,
         .credit = WEIR_ACCOUNT_NODE,
         .amount_micro = 1000003,
         .run = {.task = {.job = {4}}}},
        {.from = {500},
         .to = {500},
         .node = {1},
         .debit = WEIR_ACCOUNT_IDLE,
         .credit = WEIR_ACCOUNT_NODE,
         .amount_micro = 17},
        {.from = {10},
         .to = {20},
         .node = {1},
         .debit = WEIR_ACCOUNT_WASTE_FAILED,
         .credit = WEIR_ACCOUNT_JOB,
         .amount_micro = 1000003,
         .run = {.task = {.job = {4}}}},
    };
    struct sums s = {0};
    add_up(p, INT64_MIN / 2, INT64_MAX / 2, (struct weir_dur){WEIR_US_PER_DAY}, &s);
    assert_int_equal(s.amount, 1000020);
    assert_int_equal(s.by_account[WEIR_ACCOUNT_JOB], 0);
    assert_int_equal(s.by_account[WEIR_ACCOUNT_WASTE_FAILED], 1000003);
    assert_int_equal(s.by_account[WEIR_ACCOUNT_IDLE], 17);
    assert_int_equal(s.held, 1000 * WEIR_US_PER_HOUR - 3); /* what moves holds nothing */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_partition_of_a_span_adds_up_to_the_whole),
        cmocka_unit_test(all_of_a_ledger_is_its_cost),
    };
    if (argc > 1 && weir_parse_u64(weir_sv_of(argv[1]), 1, UINT64_MAX, &spans, NULL) < 0) {
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
