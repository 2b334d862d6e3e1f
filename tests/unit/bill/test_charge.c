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

static uint64_t spans = 1000000; /* the program's argument */

static int64_t draw(struct weir_prng *rng, int64_t n)
{
    return (int64_t)(weir_prng_u64(rng) % (uint64_t)n);
}

/* Ids are small, so that some were posted before the closes and some after. */
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
    return (struct weir_posting){.id = 1 + (uint64_t)draw(rng, 9),
                                 .from = {from},
                                 .to = {from + length},
                                 .node = {1 + (uint64_t)draw(rng, 3)},
                                 .debit = side[0],
                                 .credit = side[1],
                                 .amount_micro = draw(rng, draw(rng, 2) ? 10 : INT64_C(1000000000000)),
                                 .gpu_us = (uint64_t)draw(rng, 1000000000),
                                 .energy_mj = draw(rng, 1000000000),
                                 .carbon_ug = draw(rng, 1000000000),
                                 .carbon_unknown = draw(rng, 3) == 0,
                                 .run = {.task = {.job = {(uint64_t)draw(rng, 3)}}}};
}

struct sums {
    int64_t amount;
    int64_t held;
    uint64_t gpu;
    struct weir_footprint footprint;
    int64_t by_account[WEIR_ACCOUNT_MAX];
};

static void add_up(const struct weir_posting *p, struct weir_closes closes, int64_t from, int64_t to, struct weir_dur period, struct sums *s)
{
    struct weir_charges *c = weir_charges_new((struct weir_wall){from}, (struct weir_wall){to}, period);
    size_t n;
    weir_charges_closed(c, closes);
    for (size_t i = 0; i < POSTINGS; i++) {
        weir_charges_add(c, &p[i]);
    }
    const struct weir_charge *row = weir_charges_rows(c, &n);
    for (size_t i = 0; i < n; i++) {
        if (row[i].late.us == 0) {
            assert_true(row[i].from.us >= from && row[i].to.us <= to);
        } else {
            assert_true(row[i].to.us <= row[i].late.us && row[i].late.us >= from && row[i].late.us < to);
        }
        assert_true(row[i].from.us / period.us == (row[i].to.us - (row[i].to.us > row[i].from.us)) / period.us);
        s->amount += row[i].amount_micro;
        s->held += row[i].held_us;
        s->gpu += row[i].gpu_us;
        weir_footprint_add(&s->footprint, &row[i].footprint);
        s->by_account[row[i].account] += row[i].amount_micro;
    }
    weir_charges_free(c);
}

/* Neighbours in time, each made after more postings than the one before it, or after as many. */
static void draw_closes(struct weir_prng *rng, int64_t around, struct weir_close close[static 3])
{
    int64_t at = around - draw(rng, 100 * WEIR_US_PER_HOUR);
    uint64_t last = 0;
    for (size_t i = 0; i < 3; i++) {
        int64_t end = at + 1 + draw(rng, 60 * WEIR_US_PER_HOUR);
        last += (uint64_t)draw(rng, 4);
        close[i] = (struct weir_close){{at}, {end}, last};
        at = end;
    }
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
        struct weir_close close[3];
        struct weir_closes closes = {close, (size_t)draw(&rng, 4)};
        draw_closes(&rng, around, close);
        add_up(p, closes, from, to, periods[k % 2], &whole);
        int64_t at = from;
        for (int64_t cuts = 1 + draw(&rng, CUTS_MAX); cuts > 0 && at < to; cuts--) {
            int64_t next = cuts == 1 ? to : at + 1 + draw(&rng, to - at);
            add_up(p, closes, at, next, periods[draw(&rng, 2)], &parts);
            at = next;
        }
        if (at < to) {
            add_up(p, closes, at, to, periods[0], &parts);
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
    add_up(p, (struct weir_closes){0}, INT64_MIN / 2, INT64_MAX / 2, (struct weir_dur){WEIR_US_PER_DAY}, &s);
    assert_int_equal(s.amount, 1000020);
    assert_int_equal(s.by_account[WEIR_ACCOUNT_JOB], 0);
    assert_int_equal(s.by_account[WEIR_ACCOUNT_WASTE_FAILED], 1000003);
    assert_int_equal(s.by_account[WEIR_ACCOUNT_IDLE], 17);
    assert_int_equal(s.held, 1000 * WEIR_US_PER_HOUR - 3); /* what moves holds nothing */
}

/* What is asked for up to the end of a close is the same whatever is posted after it. */
static void what_comes_late_changes_no_closed_span(void **state)
{
    (void)state;
    struct weir_prng rng = weir_prng_seed(8);
    int64_t around = 1790000000 * WEIR_US_PER_S;
    for (uint64_t k = 0; k < spans / 10; k++) {
        struct weir_close close[3];
        struct weir_closes closes = {close, 3};
        draw_closes(&rng, around, close);
        size_t c = (size_t)draw(&rng, 3);
        int64_t from = close[c].to.us - draw(&rng, 100 * WEIR_US_PER_HOUR) - 1;
        struct weir_posting p[POSTINGS];
        struct sums with = {0};
        struct sums without = {0};
        for (size_t i = 0; i < POSTINGS; i++) {
            p[i] = draw_posting(&rng, around);
        }
        add_up(p, closes, from, close[c].to.us, (struct weir_dur){WEIR_US_PER_DAY}, &with);
        for (size_t i = 0; i < POSTINGS; i++) {
            p[i] = p[i].id > close[c].last_posting ? (struct weir_posting){.debit = WEIR_ACCOUNT_NODE} : p[i];
        }
        add_up(p, closes, from, close[c].to.us, (struct weir_dur){WEIR_US_PER_DAY}, &without);
        assert_memory_equal(&with, &without, sizeof with);
        assert_true(weir_closes_last(&closes, close[c].to) == close[c].last_posting);
    }
}

struct proof {
    struct weir_close_sums month[3];
};

static void on_part(void *ctx, size_t close, const struct weir_posting *p, const struct weir_close_sums *part)
{
    struct proof *proof = ctx;
    (void)p;
    weir_close_sums_add(&proof->month[close], part);
}

/* The proof of a close adds up what a bill of its month does. */
static void the_sums_of_a_close_are_those_of_its_month(void **state)
{
    (void)state;
    struct weir_prng rng = weir_prng_seed(9);
    int64_t around = 1790000000 * WEIR_US_PER_S;
    for (uint64_t k = 0; k < spans / 10; k++) {
        struct weir_close close[3];
        struct weir_closes closes = {close, 3};
        struct proof proof = {0};
        struct weir_posting p[POSTINGS];
        draw_closes(&rng, around, close);
        for (size_t i = 0; i < POSTINGS; i++) {
            p[i] = draw_posting(&rng, around);
            weir_closes_add(&closes, &p[i], on_part, &proof);
        }
        for (size_t c = 0; c < 3; c++) {
            struct sums s = {0};
            add_up(p, closes, close[c].from.us, close[c].to.us, (struct weir_dur){WEIR_US_PER_HOUR}, &s);
            const struct weir_close_sums *m = &proof.month[c];
            assert_int_equal(m->used_micro + m->idle_micro + m->waste_micro, s.amount);
            assert_int_equal(m->used_micro, s.by_account[WEIR_ACCOUNT_JOB]);
            assert_int_equal(m->idle_micro, s.by_account[WEIR_ACCOUNT_IDLE]);
        }
    }
}

/* A month was closed after posting 5; posting 7 lies across its end. */
static void what_is_late_is_billed_where_the_close_ended(void **state)
{
    (void)state;
    const struct weir_close close[] = {{{100}, {200}, 5}, {{200}, {300}, 9}};
    const struct weir_closes closes = {close, 2};
    struct weir_posting p = {.id = 7, .from = {150}, .to = {250}, .debit = WEIR_ACCOUNT_JOB, .amount_micro = 100};
    struct weir_billed part[2];
    assert_int_equal(weir_closed_until(&closes, 5).us, 0);
    assert_int_equal(weir_closed_until(&closes, 7).us, 200);
    assert_int_equal(weir_closed_until(&closes, 10).us, 300);
    assert_int_equal(weir_posting_billed(&p, (struct weir_wall){200}, (struct weir_wall){100}, (struct weir_wall){200}, part), 0);
    assert_int_equal(weir_posting_billed(&p, (struct weir_wall){200}, (struct weir_wall){200}, (struct weir_wall){300}, part), 2);
    assert_true(part[0].is_late && part[0].lo == 150 && part[0].hi == 200);
    assert_true(!part[1].is_late && part[1].lo == 200 && part[1].hi == 250);
    p.id = 10; /* after both: all of it, in the month behind them */
    assert_int_equal(weir_posting_billed(&p, (struct weir_wall){300}, (struct weir_wall){300}, (struct weir_wall){301}, part), 1);
    assert_true(part[0].is_late && part[0].lo == 150 && part[0].hi == 250);
    assert_true(weir_closes_last(&closes, (struct weir_wall){301}) == UINT64_MAX);
    assert_true(weir_closes_last(&closes, (struct weir_wall){150}) == 5);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_partition_of_a_span_adds_up_to_the_whole),
        cmocka_unit_test(all_of_a_ledger_is_its_cost),
        cmocka_unit_test(what_comes_late_changes_no_closed_span),
        cmocka_unit_test(the_sums_of_a_close_are_those_of_its_month),
        cmocka_unit_test(what_is_late_is_billed_where_the_close_ended),
    };
    if (argc > 1 && weir_parse_u64(weir_sv_of(argv[1]), 1, UINT64_MAX, &spans, NULL) < 0) {
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
