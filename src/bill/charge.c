/* SPDX-License-Identifier: Apache-2.0 */

#include "bill/charge.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

struct weir_charges {
    struct weir_wall from;
    struct weir_wall to;
    int64_t period_us;
    struct weir_closes closes;
    const struct weir_wall *cut;
    size_t n_cuts;
    bool priced;
    struct {
        int64_t from_us;
        int64_t to_us;
        int64_t number;
    } last; /* period that was asked for: most postings lie where the one before does */
    struct weir_map by_key; /* hash -> index; probed by the next hash */
    WEIR_VEC(struct weir_charge) rows;
};

struct weir_charges *weir_charges_new(struct weir_wall from, struct weir_wall to, struct weir_dur period)
{
    WEIR_ASSERT(period.us > 0);
    struct weir_charges *c = weir_alloc(sizeof *c);
    c->from = from;
    c->to = to;
    c->period_us = period.us;
    return c;
}

void weir_charges_closed(struct weir_charges *c, struct weir_closes closes)
{
    c->closes = closes;
}

void weir_charges_free(struct weir_charges *c)
{
    if (c == NULL) {
        return;
    }
    weir_map_release(&c->by_key);
    weir_vec_release(&c->rows);
    free(c);
}

void weir_charges_cut(struct weir_charges *c, const struct weir_wall *at, size_t n)
{
    c->cut = at;
    c->n_cuts = n;
}

void weir_charges_priced(struct weir_charges *c)
{
    c->priced = true;
}

/* Each cut makes one more period. Of an endless period only the first is ever reached: times are those of ledgers. */
int64_t weir_charges_period(const struct weir_charges *c, struct weir_wall t, struct weir_wall *ret_end)
{
    int64_t n = t.us / c->period_us;
    n = t.us % c->period_us < 0 ? n - 1 : n;
    int64_t end = weir_i64_add_sat(n * c->period_us, c->period_us);
    size_t cuts = 0;
    while (cuts < c->n_cuts && c->cut[cuts].us <= t.us) {
        cuts++;
    }
    end = cuts < c->n_cuts && c->cut[cuts].us < end ? c->cut[cuts].us : end;
    *ret_end = (struct weir_wall){end};
    return n + (int64_t)cuts;
}

static bool is_of(const struct weir_charge *row, const struct weir_posting *p,
                  enum weir_account account, int64_t period, struct weir_wall late)
{
    return row->late.us == late.us && row->rule == p->rule && memcmp(row->currency, p->currency, sizeof row->currency) == 0 && row->pool.v == p->pool.v && row->node.v == p->node.v && row->job.v == p->run.task.job.v && row->account == account &&
           row->project.v == p->project.v && row->user.v == p->user.v && row->lease.v == p->lease.v &&
           row->period == period;
}

/* The same, for many in turn. */
static int64_t period_of(struct weir_charges *c, int64_t t, int64_t *ret_end)
{
    if (t < c->last.from_us || t >= c->last.to_us) {
        struct weir_wall end;
        c->last.number = weir_charges_period(c, (struct weir_wall){t}, &end);
        c->last.from_us = t;
        c->last.to_us = end.us;
    }
    *ret_end = c->last.to_us;
    return c->last.number;
}

static struct weir_charge *row_of(struct weir_charges *c, const struct weir_posting *p, enum weir_account account,
                                  int64_t lo, int64_t hi, struct weir_wall late)
{
    int64_t end_us;
    int64_t period = period_of(c, lo, &end_us);
    const uint64_t key[] = {p->node.v, p->run.task.job.v, (uint64_t)account << 32 | p->project.v, (uint64_t)p->pool.v << 32 | p->user.v,
                            (uint64_t)period, p->rule};
    uint64_t hash = weir_hash_bytes(key, sizeof key);
    uint64_t at;
    while (weir_map_get(&c->by_key, hash, &at)) {
        struct weir_charge *row = &c->rows.p[at];
        if (is_of(row, p, account, period, late)) {
            row->from.us = lo < row->from.us ? lo : row->from.us;
            row->to.us = hi > row->to.us ? hi : row->to.us;
            return row;
        }
        hash++;
    }
    weir_map_put(&c->by_key, hash, c->rows.n);
    struct weir_charge row = {.from = {lo},
                              .to = {hi},
                              .late = late,
                              .rule = p->rule,
                              .period = period,
                              .node = p->node,
                              .lease = p->lease,
                              .pool = p->pool,
                              .project = p->project,
                              .user = p->user,
                              .job = p->run.task.job,
                              .account = account};
    memcpy(row.currency, p->currency, sizeof row.currency);
    weir_vec_push(&c->rows, row);
    return &c->rows.p[c->rows.n - 1];
}

/* Rows are of these. */
static bool is_told(uint8_t account)
{
    return weir_account_is_use(account) || account == WEIR_ACCOUNT_PRICE;
}

static void add_slice(struct weir_charges *c, const struct weir_posting *p, int64_t lo, int64_t hi, struct weir_wall late)
{
    int64_t amount = weir_posting_slice(p, p->amount_micro, lo, hi);
    bool moves = p->correction != 0 || p->rule != 0 || (is_told(p->debit) && is_told(p->credit)); /* it holds nothing more */
    int64_t original = weir_posting_slice(p, p->original_micro, lo, hi);
    if (is_told(p->debit)) {
        struct weir_charge *row = row_of(c, p, (enum weir_account)p->debit, lo, hi, late);
        int64_t gpu_us = p->gpu_us > INT64_MAX ? INT64_MAX : (int64_t)p->gpu_us;
        row->amount_micro = weir_i64_add_sat(row->amount_micro, amount);
        row->original_micro = weir_i64_add_sat(row->original_micro, original);
        row->gpu_us += (uint64_t)weir_posting_slice(p, gpu_us, lo, hi);
        struct weir_footprint part = weir_posting_footprint(p, lo, hi);
        part.unknown_micro = p->carbon_unknown ? amount : 0;
        weir_footprint_add(&row->footprint, &part);
        row->held_us = weir_i64_add_sat(row->held_us, moves ? 0 : hi - lo);
    }
    if (is_told(p->credit)) {
        struct weir_charge *row = row_of(c, p, (enum weir_account)p->credit, lo, hi, late);
        row->amount_micro = weir_i64_sub_sat(row->amount_micro, amount);
        row->original_micro = weir_i64_sub_sat(row->original_micro, original);
        row->footprint.unknown_micro = weir_i64_sub_sat(row->footprint.unknown_micro, p->carbon_unknown ? amount : 0);
    }
}

void weir_charges_add(struct weir_charges *c, const struct weir_posting *p)
{
    struct weir_billed part[2];
    struct weir_wall until = weir_closed_until(&c->closes, p->id);
    bool told = p->rule == 0 ? weir_account_is_use(p->debit) || weir_account_is_use(p->credit) : c->priced;
    size_t n = told ? weir_posting_billed(p, until, c->from, c->to, part) : 0;
    for (size_t i = 0; i < n; i++) {
        int64_t lo = part[i].lo;
        do {
            int64_t end_us;
            (void)period_of(c, lo, &end_us);
            end_us = end_us < part[i].hi ? end_us : part[i].hi;
            add_slice(c, p, lo, end_us, part[i].is_late ? until : (struct weir_wall){0});
            lo = end_us;
        } while (lo < part[i].hi);
    }
}

const struct weir_charge *weir_charges_rows(const struct weir_charges *c, size_t *ret_n)
{
    *ret_n = c->rows.n;
    return c->rows.p;
}
