/* SPDX-License-Identifier: Apache-2.0 */

#include "bill/rate.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "bill/bill_priv.h"

#define PERCENT_WHOLE INT64_C(100000000) /* of a hundred percent, in millionths of a percent */

static const char *const kinds[WEIR_RULE_MAX] = {
    [WEIR_RULE_PRICE] = "price",   [WEIR_RULE_MARKUP] = "markup",         [WEIR_RULE_DISCOUNT] = "discount",
    [WEIR_RULE_SPREAD] = "spread", [WEIR_RULE_COMMITMENT] = "commitment", [WEIR_RULE_EXCHANGE] = "exchange",
};

const char *weir_rule_kind_name(enum weir_rule_kind k)
{
    return (unsigned)k < WEIR_RULE_MAX ? kinds[k] : "unknown";
}

enum weir_rule_kind weir_rule_kind_find(const char *name)
{
    for (int i = 0; i < WEIR_RULE_MAX; i++) {
        if (weir_streq(kinds[i], name)) {
            return (enum weir_rule_kind)i;
        }
    }
    return WEIR_RULE_MAX;
}

/* What is shared out among projects: of a period, a pool and a rule. */
struct pot {
    struct weir_charge where; /* of a row that belongs there */
    int64_t idle;
};

/* What a project used: in a pool and period, or of a commitment. */
struct use {
    struct weir_charge where;
    size_t pot; /* index + 1; 0: of a commitment */
    int64_t weight;
};

struct rating {
    const struct weir_rate_input *in;
    struct weir_map at; /* hash -> index of a line; probed by the next hash */
    WEIR_VEC(struct weir_amendment) lines;
    struct weir_map pot_at;
    WEIR_VEC(struct pot) pots;
    struct weir_map use_at; /* pot, project -> index */
    WEIR_VEC(struct use) uses;
    WEIR_VEC(weir_i128) weights;
    WEIR_VEC(int64_t) parts;
    bool overflow;
};

static bool is_same(const struct weir_charge *a, const struct weir_charge *b)
{
    return a->rule == b->rule && a->period == b->period && a->late.us == b->late.us && a->pool.v == b->pool.v && a->node.v == b->node.v &&
           a->lease.v == b->lease.v && a->project.v == b->project.v && a->user.v == b->user.v && a->job.v == b->job.v;
}

/* Adds to the line of a rule for a row. */
static void add(struct rating *x, const struct weir_charge *where, uint64_t rule, int64_t micro)
{
    struct weir_charge w = *where;
    w.rule = rule;
    const uint64_t key[] = {rule, (uint64_t)w.period, (uint64_t)w.late.us, w.node.v, (uint64_t)w.pool.v << 32 | w.project.v, w.user.v, w.job.v};
    uint64_t hash = weir_hash_bytes(key, sizeof key);
    uint64_t i;
    for (; weir_map_get(&x->at, hash, &i); hash++) {
        struct weir_amendment *line = &x->lines.p[i];
        if (is_same(&line->where, &w)) {
            x->overflow |= __builtin_add_overflow(line->micro, micro, &line->micro);
            return;
        }
    }
    weir_map_put(&x->at, hash, x->lines.n);
    weir_vec_push(&x->lines, (struct weir_amendment){.where = w, .micro = micro});
}

static bool is_in_force(const struct weir_rule *r, struct weir_wall t)
{
    return r->from.us <= t.us && t.us < r->until.us;
}

static const struct weir_rule *last_for(const struct rating *x, const struct weir_charge *row, enum weir_rule_kind kind)
{
    const struct weir_rate_input *in = x->in;
    for (size_t i = in->n_rules; i-- > 0;) {
        const struct weir_rule *r = &in->rule[i];
        if (r->kind == kind && is_in_force(r, row->from) && in->is_for(in->ctx, r, row)) {
            return r;
        }
    }
    return NULL;
}

static int64_t times(struct rating *x, int64_t a, int64_t b, int64_t whole)
{
    int64_t r = 0;
    x->overflow |= !weir_mul_div(a, b, whole, &r);
    return r;
}

static int64_t gpu_time(const struct weir_charge *row)
{
    return row->gpu_us > INT64_MAX ? INT64_MAX : (int64_t)row->gpu_us;
}

/* A row of a project. */
static void price(struct rating *x, const struct weir_charge *row)
{
    const struct weir_rate_input *in = x->in;
    int64_t base = row->amount_micro;
    const struct weir_rule *list = last_for(x, row, WEIR_RULE_PRICE);
    if (list != NULL) {
        base = times(x, list->micro_per_hour, gpu_time(row), WEIR_US_PER_HOUR);
        add(x, row, list->id, weir_i64_sub_sat(base, row->amount_micro));
    }
    int64_t sum = base;
    for (size_t i = 0; i < in->n_rules; i++) {
        const struct weir_rule *r = &in->rule[i];
        if (r->kind == WEIR_RULE_MARKUP && is_in_force(r, row->from) && in->is_for(in->ctx, r, row)) {
            int64_t more = times(x, base, r->percent_micro, PERCENT_WHOLE);
            add(x, row, r->id, more);
            sum = weir_i64_add_sat(sum, more);
        }
    }
    int64_t left = sum;
    for (size_t i = 0; i < in->n_rules; i++) {
        const struct weir_rule *r = &in->rule[i];
        if (r->kind == WEIR_RULE_DISCOUNT && is_in_force(r, row->from) && in->is_for(in->ctx, r, row)) {
            int64_t less = r->percent_micro != 0 ? times(x, sum, r->percent_micro, PERCENT_WHOLE)
                                                 : times(x, r->micro_per_hour, gpu_time(row), WEIR_US_PER_HOUR);
            /* of what a correction took back the same percentage goes back */
            less = sum >= 0 && less > left ? left : r->percent_micro == 0 && sum < 0 ? 0 : less;
            add(x, row, r->id, -less);
            left -= less;
        }
    }
}

static size_t pot_of(struct rating *x, const struct weir_charge *row)
{
    struct weir_charge w = {.from = row->from, .to = row->to, .late = row->late, .period = row->period, .pool = row->pool};
    const uint64_t key[] = {(uint64_t)w.period, (uint64_t)w.late.us, w.pool.v};
    uint64_t hash = weir_hash_bytes(key, sizeof key);
    uint64_t i;
    for (; weir_map_get(&x->pot_at, hash, &i); hash++) {
        struct weir_charge *have = &x->pots.p[i].where;
        if (is_same(have, &w)) {
            have->from.us = w.from.us < have->from.us ? w.from.us : have->from.us;
            have->to.us = w.to.us > have->to.us ? w.to.us : have->to.us;
            return i;
        }
    }
    weir_map_put(&x->pot_at, hash, x->pots.n);
    weir_vec_push(&x->pots, (struct pot){.where = w});
    return x->pots.n - 1;
}

static void add_use(struct rating *x, const struct weir_charge *where, size_t pot, int64_t weight)
{
    uint64_t key = (uint64_t)pot << 32 | where->project.v;
    uint64_t i;
    if (weir_map_get(&x->use_at, key, &i)) {
        x->uses.p[i].weight = weir_i64_add_sat(x->uses.p[i].weight, weight);
        return;
    }
    weir_map_put(&x->use_at, key, x->uses.n);
    weir_vec_push(&x->uses, (struct use){.where = *where, .pot = pot, .weight = weight});
}

/* Splits micro over uses first..n, and what is nobody's (nobody: its weight); where bears the time and the pool. */
static void share_out(struct rating *x, const struct weir_rule *r, const struct weir_charge *where, size_t first, int64_t micro, weir_i128 nobody)
{
    size_t n = x->uses.n - first;
    weir_vec_reserve(&x->weights, n + 1);
    weir_vec_reserve(&x->parts, n + 1);
    weir_i128 all = nobody;
    for (size_t i = 0; i < n; i++) {
        int64_t weight = x->uses.p[first + i].weight;
        x->weights.p[i] = weight > 0 ? weight : 0;
        all += x->weights.p[i];
    }
    x->weights.p[n] = all == 0 ? 1 : nobody;
    weir_bill_split(micro, x->weights.p, n + 1, x->parts.p);
    for (size_t i = 0; i <= n; i++) {
        struct weir_charge w = *where;
        w.project = i < n ? x->uses.p[first + i].where.project : (struct weir_project_id){0};
        if (x->parts.p[i] != 0) {
            add(x, &w, r->id, x->parts.p[i]);
        }
    }
}

static void spread(struct rating *x, size_t pot, const struct weir_rule *r)
{
    const struct weir_rate_input *in = x->in;
    struct weir_charge where = x->pots.p[pot].where;
    int64_t idle = x->pots.p[pot].idle;
    size_t first = x->uses.n;
    if (r->by_weight) {
        for (size_t i = 0; i < in->n_weights; i++) {
            struct weir_charge w = {.project = in->weight[i].project};
            weir_vec_push(&x->uses, (struct use){.where = w, .weight = (int64_t)in->weight[i].weight});
        }
    } else {
        for (size_t i = 0; i < first; i++) {
            if (x->uses.p[i].pot == pot + 1) {
                struct use u = x->uses.p[i];
                weir_vec_push(&x->uses, u);
            }
        }
    }
    bool any = false;
    for (size_t i = first; i < x->uses.n; i++) {
        any |= x->uses.p[i].weight > 0;
    }
    if (any && idle > 0) {
        share_out(x, r, &where, first, idle, 0);
        add(x, &where, r->id, -idle);
    }
    x->uses.n = first;
}

/* Idle time of pools: each row of it goes by the last rule for it, to who used the pool in the period. */
static void spread_idle(struct rating *x)
{
    const struct weir_rate_input *in = x->in;
    bool any = false;
    for (size_t i = 0; i < in->n_rules; i++) {
        any |= in->rule[i].kind == WEIR_RULE_SPREAD;
    }
    for (size_t i = 0; i < in->n_rows && any; i++) {
        const struct weir_charge *row = &in->row[i];
        if (row->rule == 0 && row->project.v != 0) {
            size_t pot = pot_of(x, row);
            add_use(x, row, pot + 1, row->amount_micro);
        }
    }
    for (size_t k = 0; k < in->n_rules && any; k++) {
        const struct weir_rule *r = &in->rule[k];
        for (size_t i = 0; i < x->pots.n; i++) {
            x->pots.p[i].idle = 0;
        }
        for (size_t i = 0; i < in->n_rows && r->kind == WEIR_RULE_SPREAD; i++) {
            const struct weir_charge *row = &in->row[i];
            if (row->rule == 0 && row->account == WEIR_ACCOUNT_IDLE && last_for(x, row, WEIR_RULE_SPREAD) == r) {
                size_t pot = pot_of(x, row); /* may move them */
                x->pots.p[pot].idle += row->amount_micro;
            }
        }
        for (size_t i = 0; i < x->pots.n && r->kind == WEIR_RULE_SPREAD; i++) {
            spread(x, i, r);
        }
    }
}

/* The commitment's price from its beginning up to t. */
static int64_t committed(struct rating *x, const struct weir_rule *r, int64_t t)
{
    return times(x, r->micro_per_hour, t - r->from.us, WEIR_US_PER_HOUR);
}

static void commit_period(struct rating *x, const struct weir_rule *r, int64_t lo, int64_t hi, int64_t period)
{
    const struct weir_rate_input *in = x->in;
    struct weir_charge where = {.from = {lo}, .to = {hi}, .period = period, .pool = r->pool};
    size_t first = x->uses.n;
    weir_i128 used = 0;
    for (size_t i = 0; i < in->n_rows; i++) {
        const struct weir_charge *row = &in->row[i];
        if (row->rule == 0 && row->late.us == 0 && row->project.v != 0 && row->gpu_us > 0 && row->period == period &&
            in->is_for(in->ctx, r, row)) {
            add_use(x, row, 0, gpu_time(row));
            used += row->gpu_us;
        }
    }
    weir_i128 whole = (weir_i128)r->gpus * (hi - lo);
    share_out(x, r, &where, first, committed(x, r, hi) - committed(x, r, lo), whole > used ? whole - used : 0);
    x->uses.n = first;
    weir_map_release(&x->use_at);
}

static void commit(struct rating *x, const struct weir_rule *r)
{
    const struct weir_rate_input *in = x->in;
    int64_t lo = r->from.us > in->from.us ? r->from.us : in->from.us;
    int64_t hi = r->until.us < in->now.us ? r->until.us : in->now.us;
    while (lo < hi) {
        struct weir_wall end;
        int64_t period = weir_charges_period(in->charges, (struct weir_wall){lo}, &end);
        end.us = end.us < hi ? end.us : hi;
        commit_period(x, r, lo, end.us, period);
        lo = end.us;
    }
}

int weir_rate(const struct weir_rate_input *in, struct weir_amendment **ret, size_t *ret_n, struct weir_err *err)
{
    struct rating x = {.in = in};
    for (size_t i = 0; i < in->n_rows; i++) {
        const struct weir_charge *row = &in->row[i];
        if (row->rule != 0) {
            add(&x, row, row->rule, -row->amount_micro); /* it is posted */
        } else if (row->project.v != 0) {
            price(&x, row);
        }
    }
    spread_idle(&x);
    weir_map_release(&x.use_at); /* commitments have uses of their own */
    weir_vec_clear(&x.uses);
    for (size_t i = 0; i < in->n_rules; i++) {
        if (in->rule[i].kind == WEIR_RULE_COMMITMENT) {
            commit(&x, &in->rule[i]);
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < x.lines.n; i++) {
        if (x.lines.p[i].micro != 0) {
            x.lines.p[n++] = x.lines.p[i];
        }
    }
    *ret = x.lines.p;
    *ret_n = n;
    weir_map_release(&x.at);
    weir_map_release(&x.pot_at);
    weir_map_release(&x.use_at);
    weir_vec_release(&x.pots);
    weir_vec_release(&x.uses);
    weir_vec_release(&x.weights);
    weir_vec_release(&x.parts);
    if (x.overflow) {
        free(*ret);
        *ret = NULL;
        *ret_n = 0;
        return weir_fail(err, -WEIR_EOVERFLOW, "a price is out of range: look for a rule with too large a number");
    }
    return 0;
}

void weir_bill_price(struct weir_bill *b, const struct weir_amendment *a, size_t n, struct weir_wall now)
{
    weir_bill_forget_taken(b);
    b->last_at = now.us > b->last_at.us ? now : b->last_at;
    for (size_t i = 0; i < n; i++) {
        const struct weir_charge *w = &a[i].where;
        bool more = a[i].micro > 0;
        struct weir_posting p = {.id = b->next_posting++,
                                 .at = b->last_at,
                                 .from = w->from.us < b->last_at.us ? w->from : b->last_at,
                                 .to = w->to.us < b->last_at.us ? w->to : b->last_at,
                                 .node = w->node,
                                 .lease = w->lease,
                                 .pool = w->pool,
                                 .debit = more ? WEIR_ACCOUNT_PRICE : WEIR_ACCOUNT_MARGIN,
                                 .credit = more ? WEIR_ACCOUNT_MARGIN : WEIR_ACCOUNT_PRICE,
                                 .amount_micro = more ? a[i].micro : -a[i].micro,
                                 .project = w->project,
                                 .user = w->user,
                                 .run = {.task = {.job = w->job, .ordinal = w->job.v == 0 ? 0 : (uint32_t)WEIR_ORDINAL_ALL}},
                                 .rule = a[i].where.rule};
        weir_vec_push(&b->postings, p);
    }
}
