/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision for one task: every way to run it is a candidate with its expected cost, in micro-units:
 *
 *   run + boot and staging + egress + expected loss by reclaim + value of waiting x start delay + shadow
 *
 * The least total wins; ties go to the lower price of the run, the earlier start, the lower node or offer.
 * Candidates that end after the deadline, or would reach the task's max_cost before they are done, come last: where none
 * meets the deadline, the one that ends first is taken.
 */

#include <stdlib.h>
#include <string.h>

#include "core/decide_priv.h"

enum { OPTIONS_MAX = 24, PLACES_MAX = 5 };

/* A provider's quota that is in the way of the best offer that is beyond one; id 0: none is. */
struct quota_short {
    uint64_t id;
    uint64_t offer;
    int64_t limit;
    int64_t used;
    int64_t need;
    uint8_t unit;
};

struct weighing {
    struct class *cl;
    struct job *job;
    uint32_t ordinal;
    uint64_t depth; /* tasks of its own class before it */
    int64_t delay_cost;
    int64_t now_us;
    uint32_t n;
    uint32_t n_places;
    uint32_t n_considered;
    uint32_t rejected[WEIR_VERDICT_MAX];
    int64_t again_us; /* when the first of the offers that are left alone may be asked for; 0: there are none */
    struct shortage shortage; /* the least of those rejected for a budget */
    struct quota_short quota_short;
    bool lent; /* a quota that shares was in the way */
    bool is_later_open; /* nothing can be done now, and what can be later was not weighed: see settle_later */
    struct option option[OPTIONS_MAX];
    struct place_result place[PLACES_MAX]; /* of options that are nodes; found where there is room now */
};

static void weighing_begin(struct weighing *w, const struct weir_core *c, struct class *cl)
{
    memset(w, 0, offsetof(struct weighing, option));
    w->cl = cl;
    w->now_us = c->now_us;
    w->delay_cost = class_delay_cost(c, cl);
}

/* Would it be stopped at the task's limit before it is done? Only a stated run time is trusted with that. */
static bool over_max_cost(const struct weighing *w, int64_t rate_micro_per_hour, int64_t run_us)
{
    const struct weir_request *r = &w->cl->shape->req;
    if (r->max_cost_micro <= 0 || r->expected.us == 0) {
        return false;
    }
    int64_t cost = weir_mul_div_sat(rate_micro_per_hour, run_us, WEIR_US_PER_HOUR);
    return cost > max_cost_left(w->job, w->ordinal);
}

static void reject(struct weighing *w, enum weir_verdict v, uint32_t n)
{
    w->rejected[v] += n;
    w->n_considered += n;
}

static int64_t wait_cost(const struct weighing *w, int64_t delay_us)
{
    return weir_mul_div_sat(w->delay_cost, delay_us, WEIR_US_PER_HOUR);
}

/* True where a budget or a quota is in the way. */
static bool reject_dear(struct weighing *w, const struct shortage *s)
{
    if (!is_short(s)) {
        return false;
    }
    reject(w, short_verdict(s), 1);
    keep_lesser(&w->shortage, s);
    w->lent = w->lent || (s->quota != NULL && s->quota->cohort != NULL);
    return true;
}

static void total_up(struct weir_candidate *k)
{
    k->total_micro = weir_i64_add_sat(
        weir_i64_add_sat(weir_i64_add_sat(k->run_micro, weir_i64_add_sat(k->boot_micro, k->failure_micro)),
                         weir_i64_add_sat(k->egress_micro, k->reclaim_micro)),
        weir_i64_add_sat(k->wait_micro, k->shadow_micro));
}

/* Whether it ends in time and within its cost is judged; what else it is compared by the caller fills in. */
static struct option *add(struct weighing *w, int64_t delay_us, int64_t run_us, int64_t rate_micro_per_hour)
{
    WEIR_ASSERT(w->n < OPTIONS_MAX);
    struct option *o = &w->option[w->n++];
    *o = (struct option){.delay_us = delay_us, .run_us = run_us, .over = over_max_cost(w, rate_micro_per_hour, run_us)};
    int64_t deadline = w->cl->deadline_us;
    if (deadline != 0) {
        o->late = weir_i64_add_sat(w->now_us, weir_i64_add_sat(delay_us, run_us)) > deadline;
    }
    w->n_considered++;
    return o;
}

static struct option *add_place(struct weighing *w, const struct place_result *p, int64_t run_us, int64_t rate_micro_per_hour)
{
    WEIR_ASSERT(w->n_places < PLACES_MAX);
    struct place_result *place = &w->place[w->n_places++];
    *place = *p;
    struct weir_candidate *k = &place->candidate;
    struct option *o = add(w, k->start_delay.us, run_us, rate_micro_per_hour);
    k->wait_micro = wait_cost(w, k->start_delay.us);
    total_up(k);
    o->total_micro = k->total_micro;
    o->run_micro = k->run_micro;
    o->node = k->node.v;
    o->offer = k->offer;
    o->kind = k->kind;
    o->alternative = p->alternative;
    o->starts = p->found;
    o->place = place;
    return o;
}

static struct weir_candidate candidate_of(const struct weighing *w, const struct option *o)
{
    if (o->ranked == NULL) {
        return o->place->candidate;
    }
    const struct ranked_offer *r = o->ranked;
    struct weir_candidate k = {.kind = WEIR_CANDIDATE_OFFER,
                               .offer = r->id,
                               .start_delay = {o->delay_us},
                               .run_micro = r->cost_micro,
                               .boot = {r->boot_us},
                               .reclaim_ppm_per_hour = r->spot ? r->reclaim_ppm : 0,
                               .boot_micro = r->boot_micro,
                               .failure_micro = r->fail_micro,
                               .egress_micro = r->egress_micro,
                               .reclaim_micro = r->reclaim_micro,
                               .wait_micro = wait_cost(w, o->delay_us)};
    total_up(&k);
    return k;
}

/* ---- places that are there ---- */

/* What owned devices are worth to others that wait for them and cannot go elsewhere. */
static int64_t shadow_micro(struct weir_core *c, const struct weighing *w, const struct node *n, uint32_t gpus)
{
    enum { LOOK_MAX = 8 };
    uint32_t looked = 0;
    int64_t worth = 0;
    if (w->cl->shape->req.local == WEIR_LOCAL_ONLY) {
        return 0; /* it has no choice either */
    }
    for (size_t i = 0; i < c->levels.n && looked < LOOK_MAX; i++) {
        const struct level *l = c->levels.p[i];
        for (size_t k = 0; k < l->lane.n && looked < LOOK_MAX; k++) {
            for (size_t m = 0; m < l->lane.p[k]->class.n && looked < LOOK_MAX; m++) {
                struct class *x = l->lane.p[k]->class.p[m];
                looked++;
                if (x == w->cl || x->shape->req.local != WEIR_LOCAL_ONLY ||
                    shape_fit(c, x->shape, n->type).verdict != WEIR_VERDICT_CHOSEN) {
                    continue;
                }
                int64_t has = x->shape->gpus_min == 0 ? 1 : x->shape->gpus_min;
                int64_t per_gpu = class_delay_cost(c, x) / has;
                worth = max_i64(worth, weir_mul_div_sat(per_gpu, gpus == 0 ? 1 : gpus, 1));
            }
        }
    }
    return weir_mul_div_sat(worth, run_time_on(w->cl->shape, n->type->throughput),
                            WEIR_US_PER_HOUR);
}

static bool weigh_place(struct weir_core *c, struct weighing *w, enum place_kind kind)
{
    struct place_result p = place_find(c, w->cl, kind);
    if (p.reserved) {
        reject(w, WEIR_VERDICT_RESERVED, 1);
    }
    if (p.shut != NULL) {
        struct shortage s = limits_weigh_type(c, w->cl, p.shut, p.shut_gpus);
        (void)reject_dear(w, &s);
    }
    if (!p.found) {
        return false;
    }
    const struct weir_request *r = &w->cl->shape->req;
    if (c->limits.n > 0) {
        const struct spot one = {p.node, p.gpus, p.alternative};
        struct shortage s = limits_weigh_place(c, w->job, w->ordinal, p.spot == NULL ? &one : p.spot, r->nodes);
        if (reject_dear(w, &s)) {
            free(p.spot);
            return false;
        }
    }
    int64_t rate = share_of(p.node->type->full_micro_per_hour, p.node->type, p.gpus, r->cpu_milli);
    if (kind == PLACE_OWNED) {
        p.candidate.shadow_micro = shadow_micro(c, w, p.node, p.gpus);
    }
    (void)add_place(w, &p, run_time_on(w->cl->shape, p.node->type->throughput), weir_mul_div_sat(rate, r->nodes, 1));
    return true;
}

int64_t owned_slots(struct weir_core *c, struct shape *s)
{
    int64_t slots = 0;
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, s, t);
        if (t->rented || f.verdict != WEIR_VERDICT_CHOSEN) {
            continue;
        }
        int64_t per = 1;
        if (f.gpus > 0) {
            per = t->gpus / f.gpus;
        } else if (s->req.cpu_milli > 0) {
            per = t->cpu_milli / s->req.cpu_milli;
        }
        slots += per * t->n_usable;
    }
    return max_i64(slots / s->req.nodes, 1);
}

/* Do more tasks wait before the class than hold claims? A class of many holds one, for its first. */
static bool claims_are_not_all(const struct weir_core *c, const struct class *cl)
{
    if (c->due.n >= c->conf.reservations_max) {
        return true;
    }
    for (size_t i = 0; i < c->due.n; i++) {
        if (c->due.p[i] != cl && c->due.p[i]->n_waiting > 1) {
            return true;
        }
    }
    return false;
}

static void weigh_later_on(struct weir_core *c, struct weighing *w, const struct node *n, int64_t at)
{
    struct shape *s = w->cl->shape;
    struct weir_candidate k = {.kind = n->lease == NULL ? WEIR_CANDIDATE_OWNED_LATER
                                                        : WEIR_CANDIDATE_RENTED_LATER,
                               .node = n->spec.id};
    struct type_fit f = shape_fit(c, s, n->type);
    int64_t rate = share_of(n->type->full_micro_per_hour, n->type, f.gpus, s->req.cpu_milli);
    for (uint32_t i = 0; i < w->n; i++) {
        if (w->option[i].node == n->spec.id.v) {
            return; /* a booting lease with room is a candidate already */
        }
    }
    if (!node_lasts(s, n, at)) {
        w->rejected[WEIR_VERDICT_ENDS]++;
        return;
    }
    int64_t run = run_time_on(s, n->type->throughput);
    int64_t delay = max_i64(at - c->now_us, 0);
    if (n->lease == NULL) {
        /* beyond the claims, one for each class, the queue is only known in sum */
        int64_t slots = owned_slots(c, s);
        int64_t gpus = (int64_t)(s->gpus_min == 0 ? 1 : s->gpus_min) * s->req.nodes;
        if (claims_are_not_all(c, w->cl)) {
            int64_t ahead = queue_ahead_gpu_s(c, w->cl) / (slots * gpus);
            delay = max_i64(delay, weir_mul_div_sat(ahead, WEIR_US_PER_S, 1));
        }
        int64_t waves = (int64_t)(w->depth / (uint64_t)slots);
        delay = weir_i64_add_sat(delay, weir_mul_div_sat(waves, run, 1));
        k.run_micro = weir_mul_div_sat(
            weir_mul_div_sat(energy_of(n->type, f.gpus, s->req.cpu_milli), run, WEIR_US_PER_HOUR),
            s->req.nodes, 1);
    } else {
        k.lease.v = n->lease->id;
        k.offer = n->lease->offer.id;
        delay = weir_i64_add_sat(delay, weir_mul_div_sat((int64_t)w->depth, run, 1));
        k.run_micro = weir_mul_div_sat(share_of(n->type->busy_micro_per_hour, n->type, f.gpus,
                                                s->req.cpu_milli),
                                       run, WEIR_US_PER_HOUR);
        k.reclaim_micro = node_reclaim_micro(c, w->cl, n, f.gpus);
    }
    k.start_delay.us = delay;
    const struct place_result p = {.candidate = k, .alternative = f.alternative};
    (void)add_place(w, &p, run, weir_mul_div_sat(rate, s->req.nodes, 1));
    w->rejected[WEIR_VERDICT_NO_ROOM]++;
}

static void weigh_later(struct weir_core *c, struct weighing *w)
{
    struct node *n = NULL;
    int64_t at = claim_peek(c, w->cl, &n);
    if (n == NULL) {
        return;
    }
    weigh_later_on(c, w, n, at);
    if (n->lease == NULL && c->leases_live > 0 && w->cl->shape->req.nodes == 1) {
        claims_cut_behind(c, w->cl); /* what was claimed before for those behind it is not in its way */
        at = claim_peek_kind(c, w->cl, true, &n);
        if (n != NULL) {
            weigh_later_on(c, w, n, at);
        }
    }
}

/* ---- offers ---- */

/*
 * Spot with a deadline: worth it only while one reclaim could still be made good; then the safe kind.
 */
static bool spot_is_too_risky(const struct weighing *w, const struct ranked_offer *r)
{
    if (w->cl->deadline_us == 0 || !r->spot) {
        return false;
    }
    const struct weir_request *req = &w->cl->shape->req;
    int64_t lost = req->checkpoint_every.us > 0 ? min_i64(req->checkpoint_every.us, r->run_us)
                                                : r->run_us;
    int64_t need = weir_i64_add_sat(weir_i64_add_sat(r->run_us, lost),
                                    weir_i64_add_sat(r->start_us, r->start_us));
    return weir_i64_add_sat(w->now_us, need) > w->cl->deadline_us;
}

/* Would as many machines of the offer bring all that is rented over what it may cost an hour? */
static bool is_over_spend(const struct weir_core *c, const struct weir_offer *o, uint32_t nodes)
{
    int64_t more = weir_mul_div_sat(offer_spend(o), nodes, 1);
    return c->conf.spend_micro_per_hour_max > 0 && more > 0 && weir_i64_add_sat(c->leases_micro_per_hour, more) > c->conf.spend_micro_per_hour_max;
}

/* May the offer be taken now, or as soon as launches under way are answered? */
static enum weir_verdict offer_now(const struct weir_core *c, const struct weighing *w, const struct ranked_offer *r, int64_t *ret_until_us)
{
    uint32_t nodes = w->cl->shape->req.nodes;
    enum weir_verdict blocked = offer_blocked(c, r, &w->cl->shape->req, ret_until_us);
    if (blocked != WEIR_VERDICT_CHOSEN) {
        return blocked;
    }
    if (spot_is_too_risky(w, r)) {
        return WEIR_VERDICT_DEADLINE;
    }
    if (is_over_spend(c, &c->offers.p[r->offer].o, nodes)) {
        return WEIR_VERDICT_SPEND_LIMIT;
    }
    if (provider_quota_short(c, &c->offers.p[r->offer], nodes) != NULL) {
        return WEIR_VERDICT_PROVIDER_QUOTA;
    }
    return offer_is_held(c, r->provider, nodes) && c->providers.p[r->provider].pace.mute ? WEIR_VERDICT_LAUNCHING : WEIR_VERDICT_CHOSEN;
}

/* The best that could be had, and how many of those before them could not, by reason. */
struct havable {
    uint32_t n;
    const struct ranked_offer *p[OFFERS_LOOKED_MAX];
    uint32_t rejected[WEIR_VERDICT_MAX];
    int64_t again_us; /* as a weighing's */
    struct shortage shortage;
    struct quota_short quota_short;
    bool lent;
};

static struct quota_short quota_short_of(const struct weir_core *c, const struct offer *o, uint32_t nodes)
{
    const struct known_quota *k = provider_quota_short(c, o, nodes);
    return (struct quota_short){.id = weir_provider_quota_id(c->providers.p[k->provider].name, &k->q),
                                .offer = o->o.id,
                                .limit = k->q.limit,
                                .used = weir_i64_add_sat(k->others, k->ours),
                                .need = weir_mul_div_sat(weir_provider_quota_of(&k->q, &o->o), nodes, 1),
                                .unit = k->q.unit};
}

static void havable_find(const struct weir_core *c, const struct weighing *w, const struct ranking *k, struct havable *ret)
{
    *ret = (struct havable){0};
    for (size_t i = 0; i < k->n && ret->n < OFFERS_LOOKED_MAX; i++) {
        int64_t until = 0;
        enum weir_verdict v = offer_now(c, w, &k->p[i], &until);
        if (v == WEIR_VERDICT_CHOSEN && w->cl->limits != NULL) {
            const struct weir_offer *o = &c->offers.p[k->p[i].offer].o;
            struct shortage s = limits_weigh_offer(c, w->job, w->ordinal, o, &k->p[i]);
            keep_lesser(&ret->shortage, &s);
            ret->lent = ret->lent || (s.quota != NULL && s.quota->cohort != NULL);
            v = is_short(&s) ? short_verdict(&s) : v;
        }
        if (v == WEIR_VERDICT_CHOSEN) {
            ret->p[ret->n++] = &k->p[i];
            continue;
        }
        ret->rejected[v]++;
        if (v == WEIR_VERDICT_PROVIDER_QUOTA && ret->quota_short.id == 0) {
            ret->quota_short = quota_short_of(c, &c->offers.p[k->p[i].offer], w->cl->shape->req.nodes);
        }
        if ((v == WEIR_VERDICT_NO_CAPACITY || v == WEIR_VERDICT_QUOTA || v == WEIR_VERDICT_FAILED) && until != US_NEVER) {
            ret->again_us = ret->again_us == 0 ? until : min_i64(ret->again_us, until);
        }
    }
}

static void add_offer(const struct weir_core *c, struct weighing *w, const struct ranked_offer *r)
{
    struct option *o = add(w, ranked_delay_us(r), r->run_us, r->rate_micro);
    o->total_micro = weir_i64_add_sat(weir_i64_add_sat(weir_i64_add_sat(r->cost_micro, weir_i64_add_sat(r->boot_micro, r->fail_micro)),
                                                       weir_i64_add_sat(r->egress_micro, r->reclaim_micro)),
                                      wait_cost(w, o->delay_us));
    o->run_micro = r->cost_micro;
    o->offer = r->id;
    o->kind = WEIR_CANDIDATE_OFFER;
    o->alternative = r->alternative;
    o->starts = true;
    o->held = offer_is_held(c, r->provider, w->cl->shape->req.nodes);
    o->ranked = r;
}

static void weigh_offers(struct weir_core *c, struct weighing *w)
{
    if (!c->conf.spill || c->offers.n == 0 || w->cl->shape->req.local == WEIR_LOCAL_ONLY) {
        return;
    }
    if (c->leases_live + w->cl->shape->req.nodes > c->conf.leases_max) {
        reject(w, WEIR_VERDICT_LEASE_LIMIT, (uint32_t)c->offers.n);
        return;
    }
    struct havable best;
    uint64_t sharing = w->cl->n_waiting == 0 ? 1 : w->cl->n_waiting;
    paces_update(c);
    const struct ranking *k = offers_rank(c, w->cl->shape, sharing, false);
    havable_find(c, w, k, &best);
    if (!k->whole && best.n < OFFERS_LOOKED_MAX) { /* a ranking starts with the best only */
        k = offers_rank(c, w->cl->shape, sharing, true);
        havable_find(c, w, k, &best);
    }
    for (int v = 0; v < WEIR_VERDICT_MAX; v++) {
        reject(w, (enum weir_verdict)v, w->cl->want->rejected[v] + best.rejected[v]);
    }
    w->again_us = best.again_us;
    keep_lesser(&w->shortage, &best.shortage);
    w->quota_short = best.quota_short;
    w->lent = w->lent || best.lent;
    for (uint32_t i = 0; i < best.n; i++) {
        add_offer(c, w, best.p[i]);
    }
}

/* ---- the choice ---- */

static int option_cmp(const struct weighing *w, const struct option *a, const struct option *b)
{
    if (a->late != b->late) {
        return a->late ? 1 : -1;
    }
    if (a->late) { /* the deadline is missed anyway: the one that ends first */
        int64_t e = weir_i64_add_sat(a->delay_us, a->run_us);
        int64_t f = weir_i64_add_sat(b->delay_us, b->run_us);
        if (e != f) {
            return e < f ? -1 : 1;
        }
    }
    if (a->over != b->over) {
        return a->over ? 1 : -1;
    }
    if (w->cl->shape->req.alternatives_ordered) {
        /* in the order of preference among what can be had; waiting is the last resort */
        if (a->starts != b->starts) {
            return a->starts ? -1 : 1;
        }
        if (a->alternative != b->alternative) {
            return a->alternative < b->alternative ? -1 : 1;
        }
    }
    if (a->total_micro != b->total_micro) {
        return a->total_micro < b->total_micro ? -1 : 1;
    }
    if (a->run_micro != b->run_micro) {
        return a->run_micro < b->run_micro ? -1 : 1;
    }
    if (a->delay_us != b->delay_us) {
        return a->delay_us < b->delay_us ? -1 : 1;
    }
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->node != b->node) {
        return a->node < b->node ? -1 : 1;
    }
    return a->offer < b->offer ? -1 : a->offer > b->offer;
}

/* The best, or the best of those that start something; NULL where there is none. */
static const struct option *best_option(const struct weighing *w, bool starts)
{
    const struct option *best = NULL;
    for (uint32_t i = 0; i < w->n; i++) {
        const struct option *o = &w->option[i];
        if ((o->starts || !starts) && (best == NULL || option_cmp(w, o, best) < 0)) {
            best = o;
        }
    }
    return best;
}

/* For those who say more than which is the best. */
static void sort_options(struct weighing *w)
{
    for (uint32_t i = 1; i < w->n; i++) {
        struct option x = w->option[i];
        uint32_t at = i;
        while (at > 0 && option_cmp(w, &w->option[at - 1], &x) > 0) {
            w->option[at] = w->option[at - 1];
            at--;
        }
        w->option[at] = x;
    }
}

/* An owned node at hand costs energy only: where no offer can be below that, offers need no look. */
static bool owned_is_unbeatable(const struct weir_core *c, const struct weighing *w)
{
    const struct option *o = &w->option[0];
    if (w->n == 0 || o->late || o->over || o->kind != WEIR_CANDIDATE_OWNED_NOW ||
        w->cl->shape->req.alternatives_ordered) {
        return false;
    }
    int64_t gpus = w->cl->shape->gpus_min * (int64_t)w->cl->shape->req.nodes;
    int64_t least = c->offers.n == 0
                        ? INT64_MAX
                        : weir_mul_div_sat(weir_mul_div_sat(c->offer_gpu_price_min, gpus, 1),
                                           o->run_us / 16, WEIR_US_PER_HOUR);
    return o->total_micro <= least;
}

/*
 * All ways but, where none of them is one that starts, the wait for what is there: for what is done it does not matter how
 * long that takes, and to find out is most of the work of a weighing in vain.
 */
static void weigh_now(struct weir_core *c, struct weighing *w)
{
    const struct weir_request *r = &w->cl->shape->req;
    bool owned_now = false;
    if (r->local != WEIR_LOCAL_NEVER) {
        owned_now = weigh_place(c, w, PLACE_OWNED);
    }
    if (owned_now && owned_is_unbeatable(c, w)) {
        return;
    }
    if (r->local != WEIR_LOCAL_ONLY && c->leases_live > 0) {
        (void)weigh_place(c, w, PLACE_RENTED);
        (void)weigh_place(c, w, PLACE_BOOTING);
    }
    weigh_offers(c, w);
    if (!owned_now && w->n > 0) { /* room on a rented machine costs money: the owned nodes may be worth the wait */
        weigh_later(c, w);
    }
    w->is_later_open = w->n == 0;
}

static void settle_later(struct weir_core *c, struct weighing *w)
{
    if (w->is_later_open) {
        w->is_later_open = false;
        weigh_later(c, w);
    }
}

static void weigh(struct weir_core *c, struct weighing *w)
{
    weigh_now(c, w);
    settle_later(c, w);
}

/*
 * Of a wait that was not weighed: is there anything to wait for, and of which kind? False where that is not known
 * without weighing it.
 */
static bool foresee_later(struct weir_core *c, const struct weighing *w, bool *ret_any, uint8_t *ret_kind)
{
    bool rented = false;
    bool single = w->cl->shape->req.nodes == 1;
    if (single && c->leases_live > 0) {
        return false; /* there may be two */
    }
    if (!claim_foresee(c, w->cl, ret_any, &rented)) {
        return false;
    }
    *ret_kind = rented ? WEIR_CANDIDATE_RENTED_LATER : WEIR_CANDIDATE_OWNED_LATER;
    return true;
}

static void weighing_release(struct weighing *w)
{
    for (uint32_t i = 0; i < w->n_places; i++) {
        free(w->place[i].spot);
    }
}

static void quota_short_tell(const struct quota_short *s, struct weir_explain *x)
{
    x->provider_quota = s->id;
    x->provider_quota_offer = s->offer;
    x->provider_quota_limit = s->limit;
    x->provider_quota_used = s->used;
    x->provider_quota_need = s->need;
    x->provider_quota_unit = s->unit;
}

static void fill_explain(struct weighing *w, struct weir_explain *x)
{
    sort_options(w);
    const struct job *j = w->job;
    x->task = (struct weir_task_id){{j->id}, w->ordinal};
    x->attempt = j->task[w->ordinal].attempt;
    x->n_considered = w->n_considered;
    memcpy(x->rejected, w->rejected, sizeof x->rejected);
    x->again_at.us = w->again_us;
    shortage_tell(&w->shortage, x);
    quota_short_tell(&w->quota_short, x);
    x->margin_micro = INT64_MAX;
    x->n_candidates = w->n < WEIR_EXPLAIN_CANDIDATES_MAX ? w->n : WEIR_EXPLAIN_CANDIDATES_MAX;
    for (uint32_t i = 0; i < x->n_candidates; i++) {
        x->candidate[i] = candidate_of(w, &w->option[i]);
        x->candidate[i].verdict = i == 0                 ? WEIR_VERDICT_CHOSEN
                                  : w->option[i].late ? WEIR_VERDICT_DEADLINE
                                  : w->option[i].over ? WEIR_VERDICT_MAX_COST
                                                         : WEIR_VERDICT_DEARER;
    }
    if (w->n > 0) {
        x->expected_run.us = w->option[0].run_us;
        x->node = x->candidate[0].node;
        x->lease = x->candidate[0].lease;
    }
    if (w->n > 1) {
        x->margin_micro =
            w->option[1].total_micro - w->option[0].total_micro;
    }
}

/* ---- acting ---- */

static void rent(struct weir_core *c, const struct weighing *w, const struct option *o, struct spot *spot)
{
    /* the list may move while effects are made: a copy */
    struct weir_offer offer = c->offers.p[o->ranked->offer].o;
    const struct weir_request *r = &w->cl->shape->req;
    struct type_fit f;
    int64_t until_us = 0;
    WEIR_ASSERT(offer_verdict(c, r, &offer, &f) == WEIR_VERDICT_CHOSEN);
    if (wants_one_zone(r)) {
        char zone[WEIR_REGION_SIZE];
        WEIR_ASSERT(zone_choose(c, &offer, zone, &until_us) == WEIR_VERDICT_CHOSEN);
        memcpy(offer.zone, zone, sizeof offer.zone);
    }
    for (uint32_t i = 0; i < r->nodes; i++) {
        struct lease *l =
            lease_new(c, &offer, (struct weir_task_id){{w->job->id}, w->ordinal}, w->job->payer);
        spot[i] = (struct spot){l->node, f.gpus, f.alternative};
    }
}

/* Those that wait for their claims; the queue is not counted through for every start. */
static uint32_t claims_ahead(const struct weir_core *c)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->due.n; i++) {
        n += c->due.p[i]->n_waiting;
    }
    return (uint32_t)(n < 1000000 ? n : 1000000);
}

static void act(struct weir_core *c, struct weighing *w, const struct option *o)
{
    uint32_t nodes = w->cl->shape->req.nodes;
    struct spot one[1];
    struct spot *spot = nodes == 1 ? one : weir_calloc(nodes, sizeof *spot);
    enum weir_decision d = WEIR_DECISION_START;
    if (o->ranked != NULL) {
        rent(c, w, o, spot);
        d = WEIR_DECISION_RENT;
    } else if (nodes == 1) {
        spot[0] = (struct spot){o->place->node, o->place->gpus, o->alternative};
        d = o->place->node->joined ? WEIR_DECISION_START : WEIR_DECISION_BIND;
    } else {
        memcpy(spot, o->place->spot, nodes * sizeof *spot);
    }
    struct run *r = run_place(c, w->job, w->ordinal, spot, nodes);
    struct weir_explain *x = explain_add(c, d);
    fill_explain(w, x);
    x->attempt = r->attempt;
    x->queue_ahead = claims_ahead(c);
    x->node = spot[0].node->spec.id;
    x->lease.v = spot[0].node->lease == NULL ? 0 : spot[0].node->lease->id;
    if (wants_one_zone(&w->cl->shape->req)) {
        const struct lease *l = spot[0].node->lease;
        memcpy(x->zone, l == NULL ? spot[0].node->spec.region : l->offer.zone, sizeof x->zone);
        x->nodes = nodes;
    }
    if (spot != one) {
        free(spot);
    }
}

static void explain_rejects(struct weir_core *c, struct weighing *w)
{
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, w->cl->shape, t);
        uint32_t usable = 0;
        for (uint32_t k = 0; k <= t->gpus; k++) {
            usable += t->n_free[k];
        }
        uint32_t other = t->n_nodes - usable;
        if (f.verdict != WEIR_VERDICT_CHOSEN) {
            reject(w, (enum weir_verdict)f.verdict, t->n_nodes);
        } else {
            reject(w, WEIR_VERDICT_DRAINING, other);
        }
    }
}

static uint64_t gist_of(const struct weighing *w, bool any, uint8_t kind, bool never)
{
    uint64_t why_not = any && w->is_later_open ? UINT64_C(1) << WEIR_VERDICT_NO_ROOM : 0;
    for (uint32_t v = 0; v < WEIR_VERDICT_MAX; v++) {
        why_not |= (uint64_t)(w->rejected[v] > 0) << v;
    }
    return wait_gist(any, kind, never, why_not);
}

/* Records a wait only where it says something new of the shape. */
static void say_wait(struct weir_core *c, struct weighing *w, const struct option *best, bool never)
{
    if (w->n == 0) {
        explain_rejects(c, w);
    }
    struct shape *s = w->cl->shape;
    uint64_t said = gist_of(w, best != NULL, best == NULL ? 0 : best->kind, never);
    if (said == s->said) {
        return;
    }
    s->said = said;
    struct weir_explain *x =
        explain_add(c, best != NULL ? WEIR_DECISION_WAIT : WEIR_DECISION_BLOCKED);
    fill_explain(w, x);
    x->reason = never ? WEIR_REASON_IMPOSSIBLE : WEIR_REASON_NONE;
    x->queue_ahead = queue_ahead_tasks(c, w->job, w->ordinal);
}

/* What follows from the weighing. */
static enum decided decide_by(struct weir_core *c, struct weighing *w, const struct option *best, bool never)
{
    shape_tell(c, w->cl->shape, never);
    if (best == NULL || !best->starts) {
        return DECIDED_WAITS;
    }
    if (best->held) {
        c->providers.p[best->ranked->provider].held = true;
        return DECIDED_HELD;
    }
    act(c, w, best);
    return DECIDED_PLACED;
}

/*
 * What could be done at once is the same for all tasks of the class, and so is what it costs; only the wait for what is
 * there is longer for those behind. A cost limit, though, is of the task's own, what budgets have left changes with each start,
 * and what is there may have room at once.
 */
static void look_out(const struct weighing *w, struct outlook *ret)
{
    const struct option *start = best_option(w, true);
    *ret = (struct outlook){.lent = w->lent, .known = w->cl->shape->req.max_cost_micro <= 0 && w->cl->limits == NULL};
    for (uint32_t i = 0; i < w->n_places; i++) {
        ret->known = ret->known && !w->place[i].found;
    }
    if (start != NULL) {
        ret->start = *start;
    }
}

/* Of what cannot be done now: is there something to wait for, and all that is to be said of it is said? */
static bool waits_as_said(struct weir_core *c, const struct weighing *w)
{
    bool any = false;
    uint8_t kind = 0;
    return foresee_later(c, w, &any, &kind) && any && gist_of(w, any, kind, false) == w->cl->shape->said;
}

enum decided decide(struct weir_core *c, struct class *cl, struct outlook *ret)
{
    struct weighing w;
    weighing_begin(&w, c, cl);
    w.job = cl->first;
    w.ordinal = job_first_waiting(w.job);
    weigh_now(c, &w);
    look_out(&w, ret);
    if (w.is_later_open && waits_as_said(c, &w)) {
        shape_tell(c, cl->shape, false);
        return is_short(&w.shortage) ? DECIDED_DEAR : DECIDED_WAITS;
    }
    settle_later(c, &w);
    const struct option *best = best_option(&w, false);
    bool never = w.n == 0 && shape_is_impossible(c, cl->shape);
    enum decided d = decide_by(c, &w, best, never);
    if (d == DECIDED_WAITS && is_short(&w.shortage)) {
        d = DECIDED_DEAR;
    }
    if (d != DECIDED_PLACED) {
        say_wait(c, &w, best, never);
    }
    weighing_release(&w);
    return d;
}

/* Does the task wait, as the first of its class does? */
static bool waits_too(struct weir_core *c, struct weighing *w, const struct outlook *x)
{
    if (!x->known || !x->start.starts || (x->start.held && c->providers.p[x->start.ranked->provider].held)) {
        return x->known; /* of an answer that another waits for it hears too */
    }
    weigh_later(c, w);
    const struct option *later = best_option(w, false);
    return later != NULL && option_cmp(w, later, &x->start) < 0;
}

static void begin_with_last(struct weighing *w, const struct weir_core *c, struct class *cl)
{
    weighing_begin(w, c, cl);
    w->job = cl->last;
    w->ordinal = job_last_waiting(w->job);
    w->depth = cl->n_waiting - 1;
}

enum decided decide_last(struct weir_core *c, struct class *cl, const struct outlook *x)
{
    struct weighing w;
    begin_with_last(&w, c, cl);
    if (waits_too(c, &w, x)) {
        return DECIDED_WAITS;
    }
    begin_with_last(&w, c, cl);
    weigh(c, &w);
    enum decided d = decide_by(c, &w, best_option(&w, false), w.n == 0 && shape_is_impossible(c, cl->shape));
    weighing_release(&w);
    return d;
}

void decide_explain(struct weir_core *c, struct job *j, uint32_t ordinal, struct weir_explain *ret)
{
    struct weighing w;
    memset(ret, 0, sizeof *ret);
    weighing_begin(&w, c, j->class);
    w.job = j;
    w.ordinal = ordinal;
    ret->decision = WEIR_DECISION_BLOCKED;
    ret->margin_micro = INT64_MAX;
    if (j->queued && j->class->parked) {
        struct shortage s = limits_block(c, j->class);
        if (is_short(&s)) {
            limits_explain(j, ordinal, &s, ret);
        }
        ret->seq = c->seq;
        return;
    }
    if (j->queued) {
        for (const struct job *x = j->class->first; x != NULL && x != j; x = x->next) {
            w.depth += x->count[WEIR_TASK_WAITING];
        }
        for (uint32_t i = 0; i < ordinal; i++) {
            w.depth += j->waiting[i / 64] >> i % 64 & 1u;
        }
        plan_claims_before(c, w.cl);
        weigh(c, &w);
        const struct option *o = best_option(&w, false);
        if (o != NULL) {
            ret->decision = !o->starts || o->held  ? WEIR_DECISION_WAIT
                            : o->ranked != NULL      ? WEIR_DECISION_RENT
                            : o->place->node->joined ? WEIR_DECISION_START
                                                     : WEIR_DECISION_BIND;
        }
    } else {
        reject(&w, WEIR_VERDICT_ARRAY_LIMIT, 1);
    }
    explain_rejects(c, &w);
    fill_explain(&w, ret);
    ret->reason = w.n == 0 && j->queued && shape_is_impossible(c, w.cl->shape) ? WEIR_REASON_IMPOSSIBLE : WEIR_REASON_NONE;
    ret->seq = c->seq;
    ret->queue_ahead = queue_ahead_tasks(c, j, ordinal);
    weighing_release(&w);
}
