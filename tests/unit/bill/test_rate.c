/* SPDX-License-Identifier: Apache-2.0 */
/* Promises of prices: what the rules say is posted, once, whatever came when; spreads and commitments add up. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/vec.h"
#include "bill/rate.h"

enum { ROUNDS = 400, POSTINGS = 40, RULES = 6, PROJECTS = 3 };
#define START (INT64_C(1790000000) * WEIR_US_PER_S)
#define SPAN (4 * WEIR_US_PER_DAY)

static int64_t draw(struct weir_prng *rng, int64_t n)
{
    return (int64_t)(weir_prng_u64(rng) % (uint64_t)n);
}

/* A ledger, and all that is posted to it. */
struct ledger {
    struct weir_bill *bill;
    WEIR_VEC(struct weir_posting) postings;
    struct weir_rule rule[RULES];
    size_t n_rules;
    struct weir_close close[1];
    size_t n_closes;
};

static bool is_for(void *ctx, const struct weir_rule *rule, const struct weir_charge *row)
{
    (void)ctx;
    return rule->gpus % 2 == 0 || row->project.v == 0 || row->project.v == 1 + rule->id % PROJECTS;
}

static int by_time(const void *va, const void *vb)
{
    const struct weir_wall *a = va;
    const struct weir_wall *b = vb;
    return (a->us > b->us) - (a->us < b->us);
}

/* Rates all that is open; returns how much was to be posted. */
static size_t rate(struct ledger *l)
{
    static const struct weir_rate_weight weights[] = {{{1}, 100}, {{2}, 300}, {{3}, 0}};
    struct weir_wall cut[2 * RULES + 1];
    size_t n_cuts = 0;
    struct weir_err err = {{0}};
    struct weir_wall from = {l->n_closes == 0 ? 0 : l->close[0].to.us};
    for (size_t i = 0; i < l->n_rules; i++) {
        cut[n_cuts++] = l->rule[i].from;
        cut[n_cuts++] = l->rule[i].until;
    }
    cut[n_cuts++] = (struct weir_wall){l->close[0].to.us};
    qsort(cut, n_cuts, sizeof *cut, by_time);
    struct weir_charges *c = weir_charges_new(from, WEIR_WALL_MAX, (struct weir_dur){WEIR_US_PER_DAY});
    weir_charges_closed(c, (struct weir_closes){l->close, l->n_closes});
    weir_charges_cut(c, cut, n_cuts);
    weir_charges_priced(c);
    for (size_t i = 0; i < l->postings.n; i++) {
        weir_charges_add(c, &l->postings.p[i]);
    }
    struct weir_rate_input in = {.rule = l->rule, .n_rules = l->n_rules, .weight = weights, .n_weights = PROJECTS, .is_for = is_for,
                                 .charges = c, .from = {from.us == 0 ? START : from.us}, .now = {START + SPAN}};
    in.row = weir_charges_rows(c, &in.n_rows);
    struct weir_amendment *part = NULL;
    size_t n = 0;
    assert_int_equal(weir_rate(&in, &part, &n, &err), 0);
    weir_bill_price(l->bill, part, n, (struct weir_wall){START + SPAN});
    const struct weir_posting *p;
    const struct weir_meter *m;
    size_t n_p;
    size_t n_m;
    weir_bill_take(l->bill, &p, &n_p, &m, &n_m);
    for (size_t i = 0; i < n_p; i++) {
        weir_vec_push(&l->postings, p[i]);
    }
    free(part);
    weir_charges_free(c);
    return n;
}

static void add_use(struct ledger *l, struct weir_prng *rng, size_t n)
{
    static const uint8_t accounts[] = {WEIR_ACCOUNT_JOB, WEIR_ACCOUNT_JOB, WEIR_ACCOUNT_WASTE_FAILED, WEIR_ACCOUNT_IDLE};
    for (size_t i = 0; i < n; i++) {
        int64_t from = START + draw(rng, SPAN);
        int64_t to = from + draw(rng, START + SPAN - from + 1);
        uint8_t account = accounts[draw(rng, 4)];
        bool back = draw(rng, 8) == 0; /* a correction took something back */
        struct weir_posting p = {.id = weir_bill_last_posting(l->bill) + 1, .at = {START + SPAN}, .from = {from}, .to = {to}, .node = {1 + (uint64_t)draw(rng, 2)},
                                 .pool = {1}, .debit = back ? WEIR_ACCOUNT_NODE : account, .credit = back ? account : WEIR_ACCOUNT_NODE,
                                 .amount_micro = draw(rng, 1000000), .correction = back ? 1 : 0};
        if (account != WEIR_ACCOUNT_IDLE) {
            p.project.v = 1 + (uint32_t)draw(rng, PROJECTS);
            p.run.task.job.v = p.project.v * 10;
            p.gpu_us = back ? 0 : (uint64_t)draw(rng, 100) * 1000000;
        }
        weir_vec_push(&l->postings, p);
        /* the ledger's own numbers go on behind it */
        struct weir_bill *b = weir_bill_new(p.id + 1, (struct weir_wall){START});
        weir_bill_free(l->bill);
        l->bill = b;
    }
}

static void draw_rules(struct ledger *l, struct weir_prng *rng)
{
    l->n_rules = (size_t)draw(rng, RULES + 1);
    for (size_t i = 0; i < l->n_rules; i++) {
        struct weir_rule r = {.id = i + 1, .kind = (enum weir_rule_kind)draw(rng, WEIR_RULE_EXCHANGE), .from = {START + draw(rng, SPAN)}, .until = WEIR_WALL_MAX};
        r.until = draw(rng, 2) ? WEIR_WALL_MAX : (struct weir_wall){r.from.us + 1 + draw(rng, SPAN)};
        r.percent_micro = r.kind == WEIR_RULE_MARKUP || (r.kind == WEIR_RULE_DISCOUNT && draw(rng, 2)) ? 1 + draw(rng, 100000000) : 0;
        r.micro_per_hour = r.percent_micro == 0 ? 1 + draw(rng, 5000000) : 0;
        r.by_weight = draw(rng, 2) == 0;
        r.gpus = (uint32_t)draw(rng, 4);
        l->rule[i] = r;
    }
}

static int64_t sum_of(const struct ledger *l, uint64_t rule)
{
    int64_t sum = 0;
    for (size_t i = 0; i < l->postings.n; i++) {
        const struct weir_posting *p = &l->postings.p[i];
        if (p->rule == rule) {
            sum += p->debit == WEIR_ACCOUNT_PRICE ? p->amount_micro : -p->amount_micro;
        }
    }
    return sum;
}

static void end_ledger(struct ledger *l)
{
    weir_vec_release(&l->postings);
    weir_bill_free(l->bill);
}

/* Rated in pieces, as it came, is the same as rated at once; and a second time nothing is left. */
static void prices_do_not_depend_on_when_they_are_posted(void **state)
{
    (void)state;
    size_t posted = 0;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct weir_prng rng = weir_prng_seed(seed);
        struct ledger pieces = {.bill = weir_bill_new(1, (struct weir_wall){START})};
        draw_rules(&pieces, &rng);
        struct ledger once = {.bill = weir_bill_new(1, (struct weir_wall){START})};
        memcpy(once.rule, pieces.rule, sizeof once.rule);
        once.n_rules = pieces.n_rules;
        for (int k = 0; k < 4; k++) {
            add_use(&pieces, &rng, POSTINGS / 4);
            posted += rate(&pieces);
            assert_int_equal(rate(&pieces), 0);
        }
        for (size_t i = 0; i < pieces.postings.n; i++) {
            if (pieces.postings.p[i].rule == 0) {
                weir_vec_push(&once.postings, pieces.postings.p[i]);
            }
        }
        (void)rate(&once);
        for (uint64_t r = 1; r <= RULES; r++) {
            assert_int_equal(sum_of(&pieces, r), sum_of(&once, r));
            if (r <= pieces.n_rules && pieces.rule[r - 1].kind == WEIR_RULE_SPREAD) {
                assert_int_equal(sum_of(&pieces, r), 0); /* what one bears another does not */
            }
        }
        end_ledger(&pieces);
        end_ledger(&once);
    }
    assert_true(posted > 1000);
}

/* What is closed keeps its price; what comes late has one of its own. */
static void closed_prices_stay(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct weir_prng rng = weir_prng_seed(seed + 77777);
        struct ledger l = {.bill = weir_bill_new(1, (struct weir_wall){START})};
        l.close[0] = (struct weir_close){{START}, {START + draw(&rng, SPAN)}, 0};
        draw_rules(&l, &rng);
        add_use(&l, &rng, POSTINGS / 2);
        (void)rate(&l);
        l.close[0].last_posting = weir_bill_last_posting(l.bill);
        l.n_closes = 1;
        assert_int_equal(rate(&l), 0);
        struct weir_close_sums before = {0};
        struct weir_close_sums after = {0};
        for (int late = 0; late < 2; late++) {
            struct weir_charges *c = weir_charges_new((struct weir_wall){0}, l.close[0].to, WEIR_DUR_MAX);
            size_t n;
            weir_charges_closed(c, (struct weir_closes){l.close, 1});
            weir_charges_priced(c);
            for (size_t i = 0; i < l.postings.n; i++) {
                weir_charges_add(c, &l.postings.p[i]);
            }
            const struct weir_charge *row = weir_charges_rows(c, &n);
            for (size_t i = 0; i < n; i++) {
                *(row[i].rule != 0 ? &(late ? &after : &before)->price_micro : &(late ? &after : &before)->used_micro) += row[i].amount_micro;
            }
            weir_charges_free(c);
            if (late == 0) {
                add_use(&l, &rng, POSTINGS / 2);
                (void)rate(&l);
                assert_int_equal(rate(&l), 0);
            }
        }
        assert_memory_equal(&before, &after, sizeof before);
        end_ledger(&l);
    }
}

/* By hand: 10.00 of cost and 4 GPU-hours. */
static void rules_stand_in_their_order(void **state)
{
    (void)state;
    static const struct {
        struct weir_rule rule[4];
        size_t n;
        int64_t price;
    } rows[] = {
        {{{0}}, 0, 10000000},
        {{{.kind = WEIR_RULE_MARKUP, .percent_micro = 10000000}}, 1, 11000000},
        {{{.kind = WEIR_RULE_MARKUP, .percent_micro = 10000000}, {.kind = WEIR_RULE_MARKUP, .percent_micro = 5000000}}, 2, 11500000},
        {{{.kind = WEIR_RULE_PRICE, .micro_per_hour = 3000000}}, 1, 12000000},
        {{{.kind = WEIR_RULE_PRICE, .micro_per_hour = 3000000}, {.kind = WEIR_RULE_PRICE, .micro_per_hour = 2000000}}, 2, 8000000},
        {{{.kind = WEIR_RULE_DISCOUNT, .percent_micro = 50000000}, {.kind = WEIR_RULE_MARKUP, .percent_micro = 10000000}}, 2, 5500000},
        {{{.kind = WEIR_RULE_DISCOUNT, .micro_per_hour = 1000000}}, 1, 6000000},
        {{{.kind = WEIR_RULE_DISCOUNT, .micro_per_hour = 4000000}, {.kind = WEIR_RULE_DISCOUNT, .percent_micro = 10000000}}, 2, 0},
        {{{.kind = WEIR_RULE_COMMITMENT, .micro_per_hour = 10000, .gpus = 0}}, 1, 10000000 + 10000 * 96},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct ledger l = {.bill = weir_bill_new(2, (struct weir_wall){START}), .n_rules = rows[i].n};
        memcpy(l.rule, rows[i].rule, sizeof rows[i].rule);
        for (size_t k = 0; k < l.n_rules; k++) {
            l.rule[k].id = k + 1;
            l.rule[k].from.us = START;
            l.rule[k].until = WEIR_WALL_MAX;
        }
        struct weir_posting p = {.id = 1, .at = {START + SPAN}, .from = {START}, .to = {START + SPAN}, .node = {1}, .pool = {1}, .project = {1},
                                 .run = {.task = {.job = {10}}}, .debit = WEIR_ACCOUNT_JOB, .credit = WEIR_ACCOUNT_NODE, .amount_micro = 10000000,
                                 .gpu_us = 4 * (uint64_t)WEIR_US_PER_HOUR};
        weir_vec_push(&l.postings, p);
        (void)rate(&l);
        int64_t price = p.amount_micro;
        for (uint64_t r = 1; r <= l.n_rules; r++) {
            price += sum_of(&l, r);
        }
        assert_in_range(price - rows[i].price + 5, 0, 10); /* each day is rounded once per rule */
        end_ledger(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prices_do_not_depend_on_when_they_are_posted),
        cmocka_unit_test(closed_prices_stay),
        cmocka_unit_test(rules_stand_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
