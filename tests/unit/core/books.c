/* SPDX-License-Identifier: Apache-2.0 */
#include "books.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"

void books_init(struct books *b)
{
    *b = (struct books){.check = weir_bill_check_new()};
    lease_prices_init(&b->prices);
    weir_bill_check_prices(b->check, &b->prices.source);
}

void books_release(struct books *b)
{
    weir_bill_check_free(b->check);
    lease_prices_release(&b->prices);
    weir_vec_release(&b->postings);
    weir_vec_release(&b->meters);
    weir_vec_release(&b->closes);
    weir_vec_release(&b->closed);
}

static uint64_t digest_of(uint64_t digest, const struct weir_posting *p)
{
    struct weir_str line = WEIR_STR_INIT(512);
    weir_posting_line(p, &line);
    digest = weir_fnv_bytes(digest, line.p, line.n);
    weir_str_release(&line);
    return digest;
}

static void keep_meter(struct books *b, const struct weir_meter *m)
{
    size_t at = 0;
    while (at < b->meters.n && b->meters.p[at].info.node.v != m->info.node.v) {
        at++;
    }
    if (at == b->meters.n) {
        weir_vec_push(&b->meters, *m);
    } else {
        b->meters.p[at] = *m;
    }
    if (m->closed) {
        b->meters.p[at] = b->meters.p[--b->meters.n];
    }
}

void books_take(struct books *b, struct weir_bill *bill)
{
    const struct weir_posting *p;
    const struct weir_meter *m;
    size_t n;
    size_t n_meters;
    struct weir_err err = {""};
    weir_bill_take(bill, &p, &n, &m, &n_meters);
    b->prices.known_until = weir_bill_last_posting(bill);
    for (size_t i = 0; i < n; i++) {
        if (weir_bill_check_add(b->check, &p[i], &err) < 0) {
            fail_msg("ledger: %s", err.text);
        }
        b->hash = digest_of(b->hash, &p[i]);
        if (p[i].rule != 0) {
            b->priced_micro += p[i].debit == WEIR_ACCOUNT_PRICE ? p[i].amount_micro : -p[i].amount_micro;
        }
        weir_vec_push(&b->postings, p[i]);
    }
    for (size_t i = 0; i < n_meters; i++) {
        keep_meter(b, &m[i]);
    }
    const struct weir_bill_check_result *s = &b->sum;
    if (n > 0 && weir_bill_check_end(b->check, &b->sum, &err) < 0) {
        fail_msg("ledger: %s", err.text);
    }
    assert_int_equal(s->cost_micro, s->used_micro + s->idle_micro + s->waste_micro);
    assert_int_equal(s->price_micro, b->priced_micro);
}

bool books_add_rule(struct books *b, struct weir_rule rule)
{
    if (b->n_rules == BOOKS_RULES_MAX) {
        return false;
    }
    rule.id = b->n_rules + 1;
    b->rule[b->n_rules++] = rule;
    return true;
}

/* Every third rule is for one project. */
static bool is_for(void *ctx, const struct weir_rule *rule, const struct weir_charge *row)
{
    (void)ctx;
    return rule->id % 3 != 0 || row->project.v == 0 || row->project.v == 1 + rule->id % 2;
}

static int by_time(const void *va, const void *vb)
{
    const struct weir_wall *a = va;
    const struct weir_wall *b = vb;
    return (a->us > b->us) - (a->us < b->us);
}

static struct weir_wall open_from(const struct books *b)
{
    return b->closes.n == 0 ? (struct weir_wall){0} : b->closes.p[b->closes.n - 1].to;
}

/* What a rating finds to post; its cut is what is about to be closed. */
static size_t rate_once(struct books *b, struct weir_bill *bill, struct weir_wall cut, int64_t now_us)
{
    static const struct weir_rate_weight weights[] = {{{1}, 100}, {{2}, 300}, {{3}, 0}};
    WEIR_VEC(struct weir_wall) cuts = {0};
    struct weir_err err = {{0}};
    struct weir_amendment *part = NULL;
    size_t n = 0;
    struct weir_wall from = open_from(b);
    for (size_t i = 0; i < b->n_rules; i++) {
        weir_vec_push(&cuts, b->rule[i].from);
        weir_vec_push(&cuts, b->rule[i].until);
    }
    for (size_t i = 0; i < b->closes.n; i++) {
        weir_vec_push(&cuts, b->closes.p[i].to);
    }
    weir_vec_push(&cuts, cut);
    qsort(cuts.p, cuts.n, sizeof *cuts.p, by_time);
    struct weir_charges *c = weir_charges_new(from, WEIR_WALL_MAX, (struct weir_dur){WEIR_US_PER_DAY});
    weir_charges_closed(c, (struct weir_closes){b->closes.p, b->closes.n});
    weir_charges_cut(c, cuts.p, cuts.n);
    weir_charges_priced(c);
    for (size_t i = 0; i < b->postings.n; i++) {
        weir_charges_add(c, &b->postings.p[i]);
    }
    struct weir_rate_input in = {.rule = b->rule, .n_rules = b->n_rules, .weight = weights, .n_weights = WEIR_ARRAY_LEN(weights),
                                 .is_for = is_for, .charges = c, .from = from, .now = {now_us}};
    in.row = weir_charges_rows(c, &in.n_rows);
    if (weir_rate(&in, &part, &n, &err) < 0) {
        fail_msg("rating: %s", err.text);
    }
    weir_bill_price(bill, part, n, (struct weir_wall){now_us});
    books_take(b, bill);
    free(part);
    weir_charges_free(c);
    weir_vec_release(&cuts);
    return n;
}

size_t books_rate(struct books *b, struct weir_bill *bill, int64_t now_us)
{
    size_t n = rate_once(b, bill, (struct weir_wall){0}, now_us);
    assert_int_equal(rate_once(b, bill, (struct weir_wall){0}, now_us), 0);
    return n;
}

static void on_part(void *ctx, size_t close, const struct weir_posting *p, const struct weir_close_sums *part)
{
    struct books_close *is = ctx;
    weir_close_sums_add(&is[close].sums, part);
    is[close].digest = digest_of(is[close].digest, p);
}

static void add_up_closed(const struct books *b, struct books_close *ret)
{
    struct weir_closes c = {b->closes.p, b->closes.n};
    for (size_t i = 0; i < b->postings.n; i++) {
        weir_closes_add(&c, &b->postings.p[i], on_part, ret);
    }
}

void books_close(struct books *b, struct weir_bill *bill, int64_t to_us, int64_t now_us)
{
    struct weir_close c = {.from = open_from(b), .to = {to_us}};
    assert_true(to_us > c.from.us && to_us <= now_us);
    (void)rate_once(b, bill, c.to, now_us);
    weir_bill_settle(bill, (struct weir_wall){now_us}, true);
    books_take(b, bill);
    c.last_posting = weir_bill_last_posting(bill);
    weir_vec_push(&b->closes, c);
    struct books_close *is = weir_calloc(b->closes.n, sizeof *is);
    add_up_closed(b, is);
    weir_vec_push(&b->closed, is[b->closes.n - 1]);
    free(is);
}

void books_prove_closed(const struct books *b)
{
    struct books_close *is = weir_calloc(b->closes.n + 1, sizeof *is);
    add_up_closed(b, is);
    for (size_t i = 0; i < b->closes.n; i++) {
        assert_true(weir_close_sums_eq(&is[i].sums, &b->closed.p[i].sums));
        assert_int_equal(is[i].digest, b->closed.p[i].digest);
    }
    free(is);
}

int64_t books_amend(struct books *b, struct weir_bill *bill, uint64_t lease, int percent, int64_t now_us,
                    struct weir_payer_id (*payer)(void *ctx, const struct weir_charge *where),
                    void (*told)(void *ctx, const struct weir_amendment *part), void *ctx)
{
    struct weir_charges *c = weir_charges_new((struct weir_wall){0}, WEIR_WALL_MAX, (struct weir_dur){WEIR_US_PER_DAY});
    struct weir_amendment *part = NULL;
    size_t n_rows;
    size_t n = 0;
    int64_t booked = 0;
    for (size_t i = 0; i < b->postings.n; i++) {
        if (b->postings.p[i].lease.v == lease) {
            weir_charges_add(c, &b->postings.p[i]);
        }
    }
    const struct weir_charge *row = weir_charges_rows(c, &n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        booked += row[i].amount_micro;
    }
    int64_t micro = booked / 100 * percent;
    if (micro != 0 && weir_amend_spread(row, n_rows, micro, &part, &n, NULL) == 0) {
        for (size_t i = 0; i < n; i++) {
            part[i].payer = payer(ctx, &part[i].where);
            told(ctx, &part[i]);
        }
        weir_bill_amend(bill, ++b->corrections, part, n, (struct weir_wall){now_us});
    }
    free(part);
    weir_charges_free(c);
    return n == 0 ? 0 : micro;
}

void books_run_posted(const struct books *b, struct weir_bill_pending *ret)
{
    struct weir_bill_segment *s = &ret->segment;
    for (size_t i = 0; i < b->postings.n; i++) {
        const struct weir_posting *p = &b->postings.p[i];
        if (p->debit == WEIR_ACCOUNT_JOB && p->node.v == s->node.v && weir_run_id_eq(p->run, s->run)) {
            s->posted_micro += p->amount_micro;
            s->posted_kept_micro += p->to.us <= s->checkpointed.us ? p->amount_micro : 0;
            s->posted_until = p->to;
            ret->lease = p->lease;
            ret->pool = p->pool;
        }
    }
}
