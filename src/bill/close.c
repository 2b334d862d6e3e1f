/* SPDX-License-Identifier: Apache-2.0 */

#include "bill/close.h"

size_t weir_closes_before(const struct weir_closes *c, uint64_t posting)
{
    size_t n = c->n;
    while (n > 0 && c->p[n - 1].last_posting >= posting) {
        n--; /* most postings are newer than most closes */
    }
    return n;
}

struct weir_wall weir_closed_until(const struct weir_closes *c, uint64_t posting)
{
    size_t n = weir_closes_before(c, posting);
    return n == 0 ? (struct weir_wall){0} : c->p[n - 1].to;
}

uint64_t weir_closes_last(const struct weir_closes *c, struct weir_wall t)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->p[i].to.us >= t.us) {
            return c->p[i].last_posting;
        }
    }
    return UINT64_MAX;
}

size_t weir_posting_billed(const struct weir_posting *p, struct weir_wall until, struct weir_wall from, struct weir_wall to,
                           struct weir_billed ret[static 2])
{
    size_t n = 0;
    bool instant = p->from.us == p->to.us;
    if (p->from.us < until.us && from.us <= until.us && until.us < to.us) {
        ret[n++] = (struct weir_billed){p->from.us, p->to.us < until.us ? p->to.us : until.us, true};
    }
    int64_t lo = p->from.us > until.us ? p->from.us : until.us;
    if (instant ? p->from.us >= lo && lo >= from.us && lo < to.us : lo < p->to.us) {
        lo = lo > from.us ? lo : from.us;
        int64_t hi = p->to.us < to.us ? p->to.us : to.us;
        if (instant || lo < hi) {
            ret[n++] = (struct weir_billed){lo, hi, false};
        }
    }
    return n;
}

bool weir_close_sums_eq(const struct weir_close_sums *a, const struct weir_close_sums *b)
{
    return a->postings == b->postings && a->gpu_us == b->gpu_us && a->cost_micro == b->cost_micro && a->used_micro == b->used_micro &&
           a->idle_micro == b->idle_micro && a->waste_micro == b->waste_micro && a->price_micro == b->price_micro;
}

static void add_side(struct weir_close_sums *s, uint8_t account, int64_t micro)
{
    if (account < WEIR_ACCOUNT_NODE) {
        s->cost_micro -= micro; /* costs are credited */
    } else if (account == WEIR_ACCOUNT_JOB) {
        s->used_micro += micro;
    } else if (account == WEIR_ACCOUNT_IDLE) {
        s->idle_micro += micro;
    } else if (account == WEIR_ACCOUNT_PRICE) {
        s->price_micro += micro;
    } else if (weir_account_is_use(account)) {
        s->waste_micro += micro;
    }
}

void weir_closes_add(const struct weir_closes *c, const struct weir_posting *p, weir_close_part_fn *fn, void *ctx)
{
    size_t first = weir_closes_before(c, p->id);
    struct weir_wall until = first == 0 ? (struct weir_wall){0} : c->p[first - 1].to;
    for (size_t i = first; i < c->n; i++) {
        struct weir_billed part[2];
        size_t n = weir_posting_billed(p, until, c->p[i].from, c->p[i].to, part);
        struct weir_close_sums s = {.postings = 1};
        int64_t gpu_us = p->gpu_us > INT64_MAX ? INT64_MAX : (int64_t)p->gpu_us;
        for (size_t k = 0; k < n; k++) {
            int64_t micro = weir_posting_slice(p, p->amount_micro, part[k].lo, part[k].hi);
            s.gpu_us += (uint64_t)weir_posting_slice(p, gpu_us, part[k].lo, part[k].hi);
            add_side(&s, p->debit, micro);
            add_side(&s, p->credit, -micro);
        }
        if (n > 0) {
            fn(ctx, i, p, &s);
        }
        if (c->p[i].to.us >= p->to.us && c->p[i].to.us > until.us) {
            return;
        }
    }
}

void weir_close_sums_add(struct weir_close_sums *sum, const struct weir_close_sums *part)
{
    sum->postings += part->postings;
    sum->gpu_us += part->gpu_us;
    sum->cost_micro = weir_i64_add_sat(sum->cost_micro, part->cost_micro);
    sum->used_micro = weir_i64_add_sat(sum->used_micro, part->used_micro);
    sum->idle_micro = weir_i64_add_sat(sum->idle_micro, part->idle_micro);
    sum->waste_micro = weir_i64_add_sat(sum->waste_micro, part->waste_micro);
    sum->price_micro = weir_i64_add_sat(sum->price_micro, part->price_micro);
}

void weir_posting_line(const struct weir_posting *p, struct weir_str *out)
{
    const uint64_t u[] = {p->id,         p->node.v,    p->lease.v,        p->pool.v,             p->debit,       p->credit,
                          p->modelled,   p->gpu_us,    p->project.v,      p->user.v,             p->run.task.job.v,
                          p->run.task.ordinal, p->run.attempt, p->correction};
    const int64_t i[] = {p->at.us, p->from.us, p->to.us, p->amount_micro};
    for (size_t k = 0; k < sizeof i / sizeof *i; k++) {
        weir_str_add_i64(out, i[k]);
        weir_str_addc(out, ',');
    }
    if (p->currency[0] != '\0') {
        weir_str_adds(out, p->currency);
        weir_str_addc(out, ',');
        weir_str_add_i64(out, p->original_micro);
        weir_str_addc(out, ',');
    }
    if (p->rule != 0) {
        weir_str_add_u64(out, p->rule);
        weir_str_addc(out, ',');
    }
    if (p->energy_mj != 0) {
        weir_str_addc(out, 'E');
        weir_str_add_i64(out, p->energy_mj);
        weir_str_addc(out, p->carbon_unknown ? '?' : ',');
        weir_str_add_i64(out, p->carbon_ug);
        weir_str_addc(out, ',');
    }
    for (size_t k = 0; k < sizeof u / sizeof *u; k++) {
        weir_str_add_u64(out, u[k]);
        weir_str_addc(out, k + 1 == sizeof u / sizeof *u ? '\n' : ',');
    }
}
