/* SPDX-License-Identifier: Apache-2.0 */
#include "bill_ops.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "lease_prices.h"

#define T0 INT64_C(1767225600000000)

#define EUR_NANO INT64_C(1084237001) /* a rate at which no price is a whole number */

enum { NODES = 6, SEGMENTS = 12 };

/* What a store would hold of an open segment. */
struct open_segment {
    bool open;
    bool kept_all; /* a checkpoint was just taken: all that is posted by now is kept */
    struct weir_bill_segment s;
    struct weir_lease_id lease; /* as posted */
    struct weir_pool_id pool;
    bool in_euros;
};

struct world {
    const uint8_t *p;
    size_t left;
    struct weir_bill *b;
    struct weir_bill_check *check;
    struct lease_prices prices;
    struct weir_wall now;
    uint64_t last_posting;
    struct weir_wall last_made;
    uint64_t next_node;
    uint64_t next_job;
    struct weir_node_id node[NODES]; /* 0: not open */
    bool owned[NODES];
    struct weir_owned_cost cost[NODES];
    uint64_t mj[NODES];
    struct open_segment segment[NODES][SEGMENTS];
    WEIR_VEC(struct weir_bill_pending) pending;
    WEIR_VEC(struct weir_meter) meters; /* stored, by arrival */
    const struct bill_ops_conf *conf;
    struct bill_ops_result *ret;
    struct weir_err *err;
};

static void set_currency(struct weir_bill_pending *p, bool in_euros)
{
    (void)snprintf(p->currency, sizeof p->currency, "%s", in_euros ? "EUR" : "");
    p->rate_nano = in_euros ? EUR_NANO : 0;
}

static unsigned byte(struct world *w)
{
    if (w->left == 0) {
        return 0;
    }
    w->left--;
    return *w->p++;
}

/* A rented node's. */
static struct weir_lease_id lease_of(struct weir_node_id node)
{
    return (struct weir_lease_id){node.v + 1000};
}

static struct weir_bill_node make_node(struct world *w)
{
    unsigned a = byte(w);
    unsigned b = byte(w);
    struct weir_bill_node n = {.node = {w->next_node++}, .pool = {1 + a % 3}, .gpus = b % 9, .cpu_milli = (a % 5) * 7300};
    n.owned = a & 0x80;
    const bool has_carbon = b % 4 != 0;
    const int64_t carbon = has_carbon ? INT64_C(1000003) * (a % 128) : 0;
    if (n.owned) {
        n.cost = (struct weir_owned_cost){.purchase_micro = INT64_C(173000000001) * (b % 7),
                                          .residual_micro = INT64_C(1000000003) * (b % 5),
                                          .life = {WEIR_US_PER_DAY * (300 + b) + 13},
                                          .upkeep_micro_per_year = INT64_C(987654321) * (a % 4),
                                          .tariff_micro_per_kwh = 123457 * (int64_t)(a % 6),
                                          .pue_milli = 1000 + b,
                                          .idle_watts = 10 * (b % 11),
                                          .busy_watts = 10 * (b % 11) + 37 * (a % 13),
                                          .has_carbon = has_carbon,
                                          .carbon_ug_per_kwh = carbon};
        if (n.cost.residual_micro > n.cost.purchase_micro) {
            n.cost.residual_micro = n.cost.purchase_micro;
        }
    } else {
        static const int64_t quantum[] = {0, 1, WEIR_US_PER_S, 60 * WEIR_US_PER_S, WEIR_US_PER_HOUR};
        n.lease = lease_of(n.node);
        n.price_micro_per_hour = 1234567 * (int64_t)(b % 16);
        if (b % 3 != 0) {
            n.cost = (struct weir_owned_cost){
                .pue_milli = 1000 + b, .idle_watts = 70, .busy_watts = 70 + 31 * (a % 8), .has_carbon = has_carbon, .carbon_ug_per_kwh = carbon};
        }
        if (b % 2 == 1) {
            memcpy(n.currency, "EUR", sizeof n.currency);
            n.rate_nano = EUR_NANO;
        }
        n.quantum.us = quantum[a % 5];
        n.minimum.us = WEIR_US_PER_S * (b % 3) * 45;
        n.project.v = 1;
        n.user.v = 1;
        n.task.job.v = 1;
    }
    return n;
}

struct change {
    struct weir_wall at;
    const struct weir_owned_cost *before;
    const struct weir_owned_cost *after;
};

static struct weir_wall changed_cost(void *ctx, const struct weir_bill_node *node, struct weir_wall at, struct weir_owned_cost *ret)
{
    const struct change *c = ctx;
    (void)node;
    *ret = at.us < c->at.us ? *c->before : *c->after;
    return at.us < c->at.us ? c->at : WEIR_WALL_MAX;
}

static int step(struct world *w)
{
    unsigned op = byte(w);
    unsigned who = byte(w);
    size_t i = who % NODES;
    size_t k = who / NODES % SEGMENTS;
    struct open_segment *seg = &w->segment[i][k];
    /* now and then a late report */
    struct weir_wall at = {w->now.us - (op >= 0xf0 && !w->conf->punctual ? (int64_t)byte(w) * 1000 : 0)};
    int r = 0;
    switch (op % 16) {
    case 0:
        if (w->node[i].v == 0) {
            struct weir_bill_node n = make_node(w);
            r = weir_bill_node_open(w->b, &n, w->now, w->err);
            lease_prices_open(&w->prices, &n, w->now);
            w->node[i] = n.node;
            w->owned[i] = n.owned;
            w->cost[i] = n.cost;
            w->mj[i] = 0;
        }
        break;
    case 1:
        weir_bill_node_ready(w->b, w->node[i], at);
        break;
    case 2:
        if (who % 4 == 0) {
            weir_bill_node_close(w->b, w->node[i], at);
            lease_prices_close(&w->prices, lease_of(w->node[i]), at);
            w->node[i].v = 0;
            memset(w->segment[i], 0, sizeof w->segment[i]);
        }
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        if (w->node[i].v != 0 && !seg->open) {
            unsigned a = byte(w);
            seg->open = true;
            seg->s = (struct weir_bill_segment){.node = w->node[i],
                                                .run = {{{w->next_job++}, a % 3}, 1},
                                                .rank = a % 2,
                                                .project = {1 + a % 3},
                                                .user = {1 + a % 4},
                                                .gpus = a % 10,
                                                .cpu_milli = a * 100,
                                                .from = at};
            r = weir_bill_segment_open(w->b, &seg->s, w->err);
        }
        break;
    case 7:
    case 8:
    case 9:
        if (seg->open) {
            unsigned a = byte(w);
            struct weir_wall kept = {a % 4 == 0   ? 0
                                     : a % 4 == 1 ? seg->s.checkpointed.us
                                                  : w->now.us - (int64_t)a * 100000};
            enum weir_outcome outcome = (enum weir_outcome)(a % WEIR_OUTCOME_MAX);
            weir_bill_segment_close(w->b, w->node[i], seg->s.run, seg->s.rank, at, outcome, kept);
            if (outcome == WEIR_OUTCOME_PENDING) {
                struct weir_bill_pending p = {.segment = seg->s, .lease = seg->lease, .pool = seg->pool};
                set_currency(&p, seg->in_euros);
                weir_vec_push(&w->pending, p);
            }
            seg->open = false;
        }
        break;
    case 10:
        if (seg->open) {
            weir_bill_segment_checkpoint(w->b, seg->s.run, w->now);
            seg->s.checkpointed = w->now;
            seg->kept_all = true;
        }
        break;
    case 11:
        if (w->owned[i]) {
            w->mj[i] += (uint64_t)byte(w) * 7777;
            weir_bill_energy(w->b, w->node[i], at, w->mj[i]);
        }
        break;
    case 12:
        if (w->pending.n > 0) {
            static const enum weir_outcome outcomes[] = {WEIR_OUTCOME_USED, WEIR_OUTCOME_FAILED, WEIR_OUTCOME_LOST};
            unsigned a = byte(w);
            size_t one = a % w->pending.n;
            struct weir_bill_segment s = w->pending.p[one].segment;
            struct weir_wall kept = {a % 2 == 0 ? s.checkpointed.us : w->now.us - (int64_t)a * 100000};
            w->pending.p[one] = w->pending.p[--w->pending.n];
            weir_bill_segment_verdict(w->b, s.node, s.run, s.rank, at, outcomes[a % 3], kept);
        }
        break;
    case 13:
        if (w->owned[i] && w->node[i].v != 0) {
            unsigned a = byte(w);
            struct weir_owned_cost after = w->cost[i];
            struct change c = {w->now, &w->cost[i], &after};
            after.has_carbon = a % 8 != 0;
            after.carbon_ug_per_kwh = after.has_carbon ? INT64_C(777777) * (a % 32) : 0;
            after.tariff_micro_per_kwh = 98765 * (int64_t)(a % 16);
            after.life.us += (int64_t)(a / 16) * 1000003;
            weir_bill_node_reprice(w->b, w->node[i], w->now, changed_cost, &c);
            w->cost[i] = after;
        } else if (w->node[i].v != 0) {
            unsigned a = byte(w);
            struct weir_owned_cost after = w->cost[i];
            struct change c = {w->now, &w->cost[i], &after};
            after.has_carbon = a % 8 != 0;
            after.carbon_ug_per_kwh = after.has_carbon ? INT64_C(777777) * (a % 32) : 0;
            lease_prices_change(&w->prices, w->b, lease_of(w->node[i]), w->node[i], at, 7654321 * (int64_t)a);
            weir_bill_node_reprice(w->b, w->node[i], w->now, changed_cost, &c);
            w->cost[i] = after;
        }
        break;
    default:
        w->now.us += (int64_t)who * who * (op % 16 == 15 ? 99991 : 977) + 1;
        break;
    }
    return r;
}

/* As the store would: checks, sums, and what a restart needs. */
static int take(struct world *w)
{
    const struct weir_posting *p;
    const struct weir_meter *m;
    size_t n;
    size_t n_meters;
    weir_bill_take(w->b, &p, &n, &m, &n_meters);
    w->prices.known_until = weir_bill_last_posting(w->b);
    for (size_t i = 0; i < n; i++) {
        int r = weir_bill_check_add(w->check, &p[i], w->err);
        if (r < 0) {
            return r;
        }
        struct bill_ops_sums *s = &w->ret->sums;
        w->last_posting = p[i].id;
        w->last_made = p[i].at;
        s->postings++;
        s->gpu_us += p[i].gpu_us;
        if (p[i].credit == WEIR_ACCOUNT_PROVIDER) {
            s->rented_mj += p[i].energy_mj;
            s->rented_ug += p[i].carbon_ug;
        }
        if (p[i].credit < WEIR_ACCOUNT_NODE) {
            s->cost[p[i].credit] += p[i].amount_micro;
        } else {
            s->use[p[i].debit] += p[i].amount_micro;
            s->use[p[i].credit] -= p[i].amount_micro;
        }
        if (w->conf->record) {
            weir_vec_push(&w->ret->postings, p[i]);
        }
        for (size_t k = 0; k < w->pending.n; k++) {
            struct weir_bill_pending *x = &w->pending.p[k];
            if (weir_run_id_eq(x->segment.run, p[i].run) && x->segment.node.v == p[i].node.v && p[i].debit == WEIR_ACCOUNT_JOB) {
                x->segment.posted_micro += p[i].amount_micro;
                x->segment.posted_until = p[i].to;
                x->lease = p[i].lease;
                set_currency(x, p[i].currency[0] != '\0');
                x->pool = p[i].pool;
            }
        }
        /* what run_posted of a store would say */
        for (size_t k = 0; k < NODES * SEGMENTS; k++) {
            struct open_segment *seg = &w->segment[k / SEGMENTS][k % SEGMENTS];
            if (seg->open && weir_run_id_eq(seg->s.run, p[i].run) && seg->s.node.v == p[i].node.v &&
                p[i].debit == WEIR_ACCOUNT_JOB) {
                seg->s.posted_micro += p[i].amount_micro;
                seg->s.posted_until = p[i].to;
                seg->lease = p[i].lease;
                seg->pool = p[i].pool;
                seg->in_euros = p[i].currency[0] != '\0';
            }
        }
    }
    for (size_t k = 0; k < NODES * SEGMENTS; k++) {
        struct open_segment *seg = &w->segment[k / SEGMENTS][k % SEGMENTS];
        if (seg->kept_all) {
            seg->s.posted_kept_micro = seg->s.posted_micro;
            seg->kept_all = false;
        }
    }
    for (size_t i = 0; i < n_meters; i++) {
        size_t at = 0;
        while (at < w->meters.n && w->meters.p[at].info.node.v != m[i].info.node.v) {
            at++;
        }
        if (at == w->meters.n) {
            weir_vec_push(&w->meters, m[i]);
        } else {
            w->meters.p[at] = m[i];
        }
        if (m[i].closed) {
            w->meters.p[at] = w->meters.p[--w->meters.n];
        }
    }
    return 0;
}

static int restart(struct world *w)
{
    weir_bill_free(w->b);
    w->b = weir_bill_new(w->last_posting + 1, w->last_made);
    int r = 0;
    for (size_t i = 0; i < w->meters.n && r == 0; i++) {
        r = weir_bill_restore_meter(w->b, &w->meters.p[i], w->err);
    }
    /* in another order than they were opened */
    for (size_t k = NODES * SEGMENTS; k > 0 && r == 0; k--) {
        struct open_segment *seg = &w->segment[(k - 1) / SEGMENTS][(k - 1) % SEGMENTS];
        if (seg->open) {
            r = weir_bill_restore_segment(w->b, &seg->s, w->err);
        }
    }
    for (size_t k = 0; k < w->pending.n && r == 0; k++) {
        r = weir_bill_restore_pending(w->b, &w->pending.p[k], w->err);
    }
    return r;
}

/* The end of a transaction. */
static int settle(struct world *w, bool all)
{
    weir_bill_settle(w->b, w->now, all);
    return take(w);
}

static int finish(struct world *w)
{
    for (size_t i = 0; i < NODES; i++) {
        weir_bill_node_close(w->b, w->node[i], w->now);
        lease_prices_close(&w->prices, lease_of(w->node[i]), w->now);
    }
    int r = take(w);
    struct weir_bill_check_result sum;
    if (r == 0) {
        r = weir_bill_check_end(w->check, &sum, w->err);
    }
    if (r == 0 && sum.cost_micro != sum.used_micro + sum.idle_micro + sum.waste_micro) {
        r = weir_fail(w->err, -WEIR_ECORRUPT, "the sums of both sides differ");
    }
    return r;
}

int bill_ops_run(const uint8_t *bytes, size_t n, const struct bill_ops_conf *conf, struct bill_ops_result *ret, struct weir_err *err)
{
    struct world w = {.p = bytes,
                      .left = n,
                      .b = weir_bill_new(1, (struct weir_wall){0}),
                      .check = weir_bill_check_new(),
                      .now = {T0},
                      .next_node = 1,
                      .next_job = 2,
                      .conf = conf,
                      .ret = ret,
                      .err = err};
    *ret = (struct bill_ops_result){0};
    lease_prices_init(&w.prices);
    weir_bill_check_prices(w.check, &w.prices.source);
    int r = 0;
    while (w.left > 0 && r == 0) {
        r = step(&w);
        ret->ops++;
        bool all = conf->settle_every != 0 && ret->ops % conf->settle_every == 0;
        if (r == 0) {
            r = settle(&w, all);
        }
        if (r == 0 && conf->restart && ret->ops % 37 == 0) {
            r = restart(&w);
        }
    }
    if (r == 0) {
        r = finish(&w);
    }
    weir_vec_release(&w.meters);
    weir_vec_release(&w.pending);
    lease_prices_release(&w.prices);
    weir_bill_check_free(w.check);
    weir_bill_free(w.b);
    return r;
}
