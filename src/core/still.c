/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who certainly still waits. Where more work waits than the owned nodes can do, nearly all that is weighed goes on waiting, and says
 * nothing new. That is found out here by bounds: what waiting costs at most is compared with what any other way costs at least.
 *
 *   waiting at most   the claim's start, or all that waits at as many points or more over the slots, whichever is later; for the last task of
 *                     the class, behind the waves before it
 *   an offer          its total, while nothing keeps any of those that would be looked at
 *   a rented node     with room: the least price over what lies behind the last time until which any is paid or needed; one that comes free
 *                     later: its part of the price over the run
 *   an owned node     none: each one with room is kept by a claim, whose start the task would pass
 *
 * If the former is below all of the latter, decide() would let it wait for an owned node. It would also say why not something else; which
 * of these reasons there are is known, and so whether that is news. What is not foreseen here is weighed.
 */

#include "core/decide_priv.h"

/* ---- what is the same for all classes of a want ---- */

/* False: there are too many. */
static bool note_open(struct standing *x, struct node *n)
{
    if (x->n_open == STANDING_OPEN_MAX) {
        return false;
    }
    x->open[x->n_open].node = n;
    x->open[x->n_open].n_used = SIZE_MAX;
    x->n_open++;
    return true;
}

/* False: something else than what it costs may be in the way of it, or of others there. */
static bool note_rented(const struct weir_core *c, struct standing *x, const struct node *n)
{
    int64_t rate = lease_marginal(n->lease);
    int64_t paid_us = node_paid_us(c, n);
    x->rented_us = x->has_rented_room ? max_i64(x->rented_us, paid_us) : paid_us;
    x->rented_rate = x->has_rented_room ? min_i64(x->rented_rate, rate) : rate;
    x->has_rented_room = true;
    return n->claims.n == 0 && c->limits.n == 0; /* the budgets of who pays for it may have no room for more */
}

/* The nodes of the type that have room, claims aside; false where they are too many, or not such as are foreseen. */
static bool note_room(const struct weir_core *c, const struct want *w, struct standing *x, const struct node_type *t, uint32_t gpus)
{
    enum { LOOKS_MAX = 64 };
    uint32_t looked = 0;
    for (uint32_t f = gpus; f <= t->gpus; f++) {
        uint32_t left = t->n_free[f];
        for (size_t i = 0; i < t->words && left > 0; i++) {
            for (uint64_t m = t->free[f].w[i]; m != 0; m &= m - 1) {
                struct node *n = t->node.p[i * 64 + (size_t)__builtin_ctzll(m)];
                left--;
                bool fits = n->cpu_free >= w->cpu_milli && n->mem_free >= w->mem_mib;
                if (++looked > LOOKS_MAX || (fits && !(t->rented ? note_rented(c, x, n) : note_open(x, n)))) {
                    return false;
                }
            }
        }
    }
    return true;
}

static struct standing *standing_of(struct weir_core *c, struct shape *s)
{
    struct want *w = s->want;
    struct standing *x = &w->standing;
    if (x->moment == c->moment) {
        return x;
    }
    *x = (struct standing){.moment = c->moment, .sure = true, .slots = owned_slots(c, s)};
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, s, t);
        if (f.verdict != WEIR_VERDICT_CHOSEN || t->n_nodes == 0) {
            continue;
        }
        if (t->rented) {
            int64_t rate = share_of(t->busy_micro_per_hour, t, f.gpus, w->cpu_milli);
            x->rented_later_rate = x->has_rented ? min_i64(x->rented_later_rate, rate) : rate;
            x->rented_throughput = t->throughput > x->rented_throughput ? t->throughput : x->rented_throughput;
            x->has_rented = true;
        }
        x->sure = x->sure && note_room(c, w, x, t, f.gpus);
    }
    return x;
}

/* ---- the bounds ---- */

/* Could it start on an owned node? The claims that are used stand before it. */
static bool may_start_here(const struct weir_core *c, const struct class *cl, struct standing *x)
{
    const struct weir_request *r = &cl->shape->req;
    int64_t end_us = weir_i64_add_sat(c->now_us, r->max_duration.us);
    for (uint32_t i = 0; i < x->n_open; i++) {
        const struct node *n = x->open[i].node;
        uint32_t gpus = cl->want->fit.p[n->type->id].gpus;
        if (cl->owed == c->claim_round) { /* one of them may be its own */
            if (claim_allows(c, n, cl, gpus, r->cpu_milli, r->mem_mib, end_us)) {
                return true;
            }
            continue;
        }
        size_t n_used = n->claims.n; /* those in use stand before the others */
        while (n_used > 0 && !claim_is_used(n->claims.p[n_used - 1])) {
            n_used--;
        }
        if (x->open[i].n_used != n_used) {
            x->open[i].n_used = n_used;
            x->open[i].most_us = claims_end_us(c, n, &(struct claim_part){.gpus = gpus, .cpu_milli = r->cpu_milli, .mem_mib = r->mem_mib});
        }
        if (end_us <= x->open[i].most_us) {
            return true;
        }
    }
    return false;
}

/* False where anything keeps an offer. */
static bool least_of_offers(struct weir_core *c, const struct class *cl, int64_t delay_cost, int64_t *ret_micro)
{
    if (c->now_us < c->memory_until_us || c->conf.spend_micro_per_hour_max > 0 || c->provider_quotas.n > 0 || c->leases_live >= c->conf.leases_max) {
        return false;
    }
    paces_update(c);
    if (c->any_mute) {
        return false;
    }
    struct ranking *k = offers_rank(c, cl->shape, cl->n_waiting, false);
    if (!k->whole && k->n < OFFERS_LOOKED_MAX) {
        return false;
    }
    if (!k->summed || k->delay_cost != delay_cost) {
        ranking_sum(k, delay_cost);
    }
    *ret_micro = k->least_micro;
    return !k->has_reserved && c->now_us < k->expires_us;
}

static int64_t least_of_rented(const struct weir_core *c, const struct class *cl, const struct standing *x)
{
    int64_t least = INT64_MAX;
    if (!x->has_rented) {
        return least;
    }
    int64_t run = run_time_on(cl->shape, x->rented_throughput);
    least = weir_mul_div_sat(x->rented_later_rate, run, WEIR_US_PER_HOUR);
    if (x->has_rented_room) {
        int64_t behind = weir_i64_add_sat(c->now_us, run) - x->rented_us;
        least = min_i64(least, behind <= 0 ? 0 : weir_mul_div_sat(x->rented_rate, behind, WEIR_US_PER_HOUR));
    }
    return least;
}

/* What waiting costs the last task of the class at most. */
static int64_t most_of_waiting(struct weir_core *c, const struct class *cl, const struct standing *x, int64_t delay_cost, const struct node *n, int64_t at_us)
{
    struct shape *s = cl->shape;
    int64_t run = run_time_on(s, n->type->throughput);
    int64_t ahead = queue_until_gpu_s(c, cl) / (x->slots * (s->gpus_min == 0 ? 1 : s->gpus_min));
    int64_t delay = max_i64(max_i64(at_us - c->now_us, 0), weir_mul_div_sat(ahead, WEIR_US_PER_S, 1));
    int64_t waves = (int64_t)((cl->n_waiting - 1) / (uint64_t)x->slots);
    delay = weir_i64_add_sat(delay, weir_mul_div_sat(waves, run, 1));
    int64_t energy = weir_mul_div_sat(energy_of(n->type, cl->want->fit.p[n->type->id].gpus, s->req.cpu_milli), run, WEIR_US_PER_HOUR);
    return weir_i64_add_sat(energy, weir_mul_div_sat(delay_cost, delay, WEIR_US_PER_HOUR));
}

/* Of what may happen to others this knows nothing, nor of what is not compared by cost alone. */
static bool is_plain(const struct class *cl)
{
    const struct weir_request *r = &cl->shape->req;
    return r->nodes == 1 && r->alternatives > 0 && !r->alternatives_ordered && r->max_cost_micro <= 0 && r->local != WEIR_LOCAL_NEVER && cl->limits == NULL &&
           cl->deadline_us == 0;
}

bool still_waits(struct weir_core *c, struct class *cl)
{
    struct shape *s = cl->shape;
    struct node *n = NULL;
    int64_t at_us = 0;
    if (c->weighs_all || !is_plain(cl) || s->told != TOLD_POSSIBLE || cl->priority >= preempts_from(c) ||
        s->said >> WEIR_VERDICT_MAX != wait_gist(true, WEIR_CANDIDATE_OWNED_LATER, false, 0) >> WEIR_VERDICT_MAX) {
        return false;
    }
    struct standing *x = standing_of(c, s);
    uint64_t why_not = UINT64_C(1) << WEIR_VERDICT_NO_ROOM | (x->n_open > 0 ? UINT64_C(1) << WEIR_VERDICT_RESERVED : 0);
    int64_t delay_cost = class_delay_cost(c, cl);
    int64_t least = INT64_MAX;
    if (s->req.local != WEIR_LOCAL_ONLY) {
        least = least_of_rented(c, cl, x);
        if (c->conf.spill && c->offers.n > 0) {
            int64_t offers = 0;
            if (!least_of_offers(c, cl, delay_cost, &offers)) {
                return false;
            }
            least = min_i64(least, offers);
            why_not |= cl->want->rejected_mask;
        }
    }
    if (!x->sure || s->said != wait_gist(true, WEIR_CANDIDATE_OWNED_LATER, false, why_not) || may_start_here(c, cl, x)) {
        return false;
    }
    return claim_peek_owned(c, cl, &n, &at_us) && most_of_waiting(c, cl, x, delay_cost, n, at_us) < least;
}
