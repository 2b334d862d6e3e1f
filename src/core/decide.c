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

#include "core/core_priv.h"

enum { OPTIONS_MAX = 24, OFFERS_LOOKED_MAX = 16 };

struct option {
    struct weir_candidate cand;
    uint8_t alternative;
    bool late;    /* ends after the deadline */
    bool over;    /* is expected to cost more than the task may */
    bool starts;  /* something is done now, it is not a wait */
    bool held;    /* though not in this step: launches there are unanswered */
    int64_t run_us;
    struct place_result place; /* *_NOW and booting */
    const struct ranked_offer *ranked;
};

struct weighing {
    struct class *cl;
    struct job *job;
    uint32_t ordinal;
    uint64_t depth; /* tasks of its own class before it */
    int64_t delay_cost;
    int64_t now_us;
    uint32_t n;
    uint32_t n_considered;
    uint32_t rejected[WEIR_VERDICT_MAX];
    struct option option[OPTIONS_MAX];
};

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

static void total_up(struct weir_candidate *k)
{
    k->total_micro = weir_i64_add_sat(
        weir_i64_add_sat(weir_i64_add_sat(k->run_micro, k->boot_micro),
                         weir_i64_add_sat(k->egress_micro, k->reclaim_micro)),
        weir_i64_add_sat(k->wait_micro, k->shadow_micro));
}

static struct option *add(struct weighing *w, const struct weir_candidate *k, int64_t run_us, int64_t rate_micro_per_hour)
{
    if (w->n == OPTIONS_MAX) {
        return NULL;
    }
    struct option *o = &w->option[w->n++];
    *o = (struct option){.cand = *k, .run_us = run_us, .over = over_max_cost(w, rate_micro_per_hour, run_us)};
    o->cand.wait_micro = weir_mul_div_sat(w->delay_cost, k->start_delay.us, WEIR_US_PER_HOUR);
    total_up(&o->cand);
    w->n_considered++;
    int64_t deadline = w->cl->deadline_us;
    if (deadline != 0) {
        int64_t end = weir_i64_add_sat(w->now_us, weir_i64_add_sat(k->start_delay.us, run_us));
        o->late = end > deadline;
    }
    return o;
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
    if (!p.found) {
        return false;
    }
    const struct weir_request *r = &w->cl->shape->req;
    int64_t rate = share_of(p.node->type->full_micro_per_hour, p.node->type, p.gpus, r->cpu_milli);
    if (kind == PLACE_OWNED) {
        p.candidate.shadow_micro = shadow_micro(c, w, p.node, p.gpus);
    }
    struct option *o =
        add(w, &p.candidate, run_time_on(w->cl->shape, p.node->type->throughput), weir_mul_div_sat(rate, r->nodes, 1));
    WEIR_ASSERT(o != NULL);
    o->place = p;
    o->alternative = p.alternative;
    o->starts = true;
    return true;
}

/* How many tasks of the shape the owned nodes run at once. */
static int64_t owned_slots(struct weir_core *c, struct shape *s)
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
        for (uint32_t k = 0; k <= t->gpus; k++) {
            slots += per * t->n_free[k];
        }
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
        if (w->option[i].cand.node.v == n->spec.id.v) {
            return; /* a booting lease with room is a candidate already */
        }
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
    }
    k.start_delay.us = delay;
    struct option *o = add(w, &k, run, weir_mul_div_sat(rate, s->req.nodes, 1));
    if (o != NULL) {
        o->alternative = f.alternative;
        reject(w, WEIR_VERDICT_NO_ROOM, 1);
        w->n_considered--;
    }
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
        at = claim_peek_kind(c, w->cl->shape, true, &n);
        if (n != NULL) {
            weigh_later_on(c, w, n, at);
        }
    }
}

/* ---- offers ---- */

/*
 * Spot with a deadline: worth it only while one reclaim could still be made good; then the safe kind.
 */
static bool spot_is_too_risky(const struct weir_core *c, const struct weighing *w, const struct weir_offer *o, const struct ranked_offer *r)
{
    if (w->cl->deadline_us == 0 || o->market != WEIR_OFFER_SPOT) {
        return false;
    }
    const struct weir_request *req = &w->cl->shape->req;
    int64_t lost = req->checkpoint_every.us > 0 ? min_i64(req->checkpoint_every.us, r->run_us)
                                                : r->run_us;
    int64_t need = weir_i64_add_sat(weir_i64_add_sat(r->run_us, lost),
                                    weir_i64_add_sat(r->start_us, r->start_us));
    return weir_i64_add_sat(c->now_us, need) > w->cl->deadline_us;
}

/* What the task's part of the machines is charged per hour. */
static int64_t offer_rate(const struct weir_request *r, const struct weir_offer *o, uint8_t alternative)
{
    int64_t rate = r->alternatives > 0 ? weir_mul_div_sat(o->price_micro_per_hour, r->alternative[alternative].count, o->gpus)
                                       : weir_mul_div_sat(o->price_micro_per_hour, r->cpu_milli, o->cpu_milli);
    return weir_mul_div_sat(rate, r->nodes, 1);
}

/* May the offer be taken now, or as soon as launches under way are answered? */
static enum weir_verdict offer_now(const struct weir_core *c, const struct weighing *w, const struct ranked_offer *r)
{
    const struct offer *o = &c->offers.p[r->offer];
    uint32_t nodes = w->cl->shape->req.nodes;
    enum weir_verdict blocked = offer_blocked(c, o, nodes);
    if (blocked != WEIR_VERDICT_CHOSEN) {
        return blocked;
    }
    if (c->leases_live + nodes > c->conf.leases_max) {
        return WEIR_VERDICT_LEASE_LIMIT;
    }
    if (spot_is_too_risky(c, w, &o->o, r)) {
        return WEIR_VERDICT_DEADLINE;
    }
    return offer_is_held(c, o, nodes) && provider_is_mute(c, o->provider) ? WEIR_VERDICT_LAUNCHING : WEIR_VERDICT_CHOSEN;
}

static bool offer_option(struct weir_core *c, struct weighing *w, const struct ranked_offer *r)
{
    const struct offer *o = &c->offers.p[r->offer];
    const struct weir_request *req = &w->cl->shape->req;
    enum weir_verdict blocked = offer_now(c, w, r);
    if (blocked != WEIR_VERDICT_CHOSEN) {
        reject(w, blocked, 1);
        return false;
    }
    struct weir_candidate k = {.kind = WEIR_CANDIDATE_OFFER,
                               .offer = o->o.id,
                               .start_delay = {weir_i64_add_sat(r->start_us, r->lost_us)},
                               .run_micro = r->cost_micro,
                               .boot_micro = r->boot_micro,
                               .egress_micro = r->egress_micro,
                               .reclaim_micro = r->reclaim_micro};
    struct option *opt = add(w, &k, r->run_us, offer_rate(req, &o->o, r->alternative));
    if (opt != NULL) {
        opt->ranked = r;
        opt->alternative = r->alternative;
        opt->starts = true;
        opt->held = offer_is_held(c, o, req->nodes);
    }
    return opt != NULL;
}

/* Are there as many that could be had as are looked at? A ranking starts with the best only. */
static bool has_enough(const struct weir_core *c, const struct weighing *w, const struct ranking *k)
{
    uint32_t n = 0;
    for (size_t i = 0; i < k->n && n < OFFERS_LOOKED_MAX; i++) {
        n += offer_now(c, w, &k->p[i]) == WEIR_VERDICT_CHOSEN;
    }
    return n == OFFERS_LOOKED_MAX;
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
    offers_look(c);
    uint64_t sharing = w->cl->n_waiting == 0 ? 1 : w->cl->n_waiting;
    const struct ranking *k = offers_rank(c, w->cl->shape, sharing, false);
    if (!k->whole && !has_enough(c, w, k)) {
        k = offers_rank(c, w->cl->shape, sharing, true);
    }
    for (int v = 0; v < WEIR_VERDICT_MAX; v++) {
        reject(w, (enum weir_verdict)v, w->cl->want->rejected[v]);
    }
    uint32_t kept = 0;
    for (size_t i = 0; i < k->n && kept < OFFERS_LOOKED_MAX && w->n < OPTIONS_MAX; i++) {
        kept += offer_option(c, w, &k->p[i]);
    }
}

/* ---- the choice ---- */

static int option_cmp(const struct weighing *w, const struct option *a, const struct option *b)
{
    const struct weir_candidate *x = &a->cand;
    const struct weir_candidate *y = &b->cand;
    if (a->late != b->late) {
        return a->late ? 1 : -1;
    }
    if (a->late) { /* the deadline is missed anyway: the one that ends first */
        int64_t e = weir_i64_add_sat(x->start_delay.us, a->run_us);
        int64_t f = weir_i64_add_sat(y->start_delay.us, b->run_us);
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
    if (x->total_micro != y->total_micro) {
        return x->total_micro < y->total_micro ? -1 : 1;
    }
    if (x->run_micro != y->run_micro) {
        return x->run_micro < y->run_micro ? -1 : 1;
    }
    if (x->start_delay.us != y->start_delay.us) {
        return x->start_delay.us < y->start_delay.us ? -1 : 1;
    }
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->node.v != y->node.v) {
        return x->node.v < y->node.v ? -1 : 1;
    }
    return x->offer < y->offer ? -1 : x->offer > y->offer;
}

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
    if (w->n == 0 || o->late || o->over || o->cand.kind != WEIR_CANDIDATE_OWNED_NOW ||
        w->cl->shape->req.alternatives_ordered) {
        return false;
    }
    int64_t gpus = w->cl->shape->gpus_min * (int64_t)w->cl->shape->req.nodes;
    int64_t least = c->offers.n == 0
                        ? INT64_MAX
                        : weir_mul_div_sat(weir_mul_div_sat(c->offer_gpu_price_min, gpus, 1),
                                           o->run_us / 16, WEIR_US_PER_HOUR);
    return o->cand.total_micro <= least;
}

static void weigh(struct weir_core *c, struct weighing *w)
{
    const struct weir_request *r = &w->cl->shape->req;
    w->delay_cost = class_delay_cost(c, w->cl);
    w->now_us = c->now_us;
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
    if (!owned_now) { /* room on a rented machine costs money: the owned nodes may be worth the wait */
        weigh_later(c, w);
    }
    weigh_offers(c, w);
    sort_options(w);
}

static void weighing_release(struct weighing *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        free(w->option[i].place.spot);
    }
}

static void fill_explain(const struct weighing *w, struct weir_explain *x)
{
    const struct job *j = w->job;
    x->task = (struct weir_task_id){{j->id}, w->ordinal};
    x->attempt = j->task[w->ordinal].attempt;
    x->n_considered = w->n_considered;
    memcpy(x->rejected, w->rejected, sizeof x->rejected);
    x->margin_micro = INT64_MAX;
    x->n_candidates = w->n < WEIR_EXPLAIN_CANDIDATES_MAX ? w->n : WEIR_EXPLAIN_CANDIDATES_MAX;
    for (uint32_t i = 0; i < x->n_candidates; i++) {
        x->candidate[i] = w->option[i].cand;
        x->candidate[i].verdict = i == 0                 ? WEIR_VERDICT_CHOSEN
                                  : w->option[i].late ? WEIR_VERDICT_DEADLINE
                                  : w->option[i].over ? WEIR_VERDICT_MAX_COST
                                                         : WEIR_VERDICT_DEARER;
    }
    if (w->n > 0) {
        x->expected_run.us = w->option[0].run_us;
        x->node = w->option[0].cand.node;
        x->lease = w->option[0].cand.lease;
    }
    if (w->n > 1) {
        x->margin_micro =
            w->option[1].cand.total_micro - w->option[0].cand.total_micro;
    }
}

/* ---- acting ---- */

static void rent(struct weir_core *c, const struct weighing *w, const struct option *o, struct spot *spot)
{
    /* the list may move while effects are made: a copy */
    const struct weir_offer offer = c->offers.p[o->ranked->offer].o;
    const struct weir_request *r = &w->cl->shape->req;
    struct type_fit f;
    WEIR_ASSERT(offer_verdict(c, r, &offer, &f) == WEIR_VERDICT_CHOSEN);
    for (uint32_t i = 0; i < r->nodes; i++) {
        struct lease *l =
            lease_new(c, &offer, (struct weir_task_id){{w->job->id}, w->ordinal});
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

static void act(struct weir_core *c, struct weighing *w)
{
    struct option *o = &w->option[0];
    uint32_t nodes = w->cl->shape->req.nodes;
    struct spot one[1];
    struct spot *spot = nodes == 1 ? one : weir_calloc(nodes, sizeof *spot);
    enum weir_decision d = WEIR_DECISION_START;
    if (o->ranked != NULL) {
        rent(c, w, o, spot);
        d = WEIR_DECISION_RENT;
    } else if (nodes == 1) {
        spot[0] = (struct spot){o->place.node, o->place.gpus, o->alternative};
        d = o->place.node->joined ? WEIR_DECISION_START : WEIR_DECISION_BIND;
    } else {
        memcpy(spot, o->place.spot, nodes * sizeof *spot);
    }
    struct run *r = run_place(c, w->job, w->ordinal, spot, nodes);
    struct weir_explain *x = explain_add(c, d);
    fill_explain(w, x);
    x->attempt = r->attempt;
    x->queue_ahead = claims_ahead(c);
    x->node = spot[0].node->spec.id;
    x->lease.v = spot[0].node->lease == NULL ? 0 : spot[0].node->lease->id;
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
        uint32_t other = (uint32_t)t->node.n - usable;
        if (f.verdict != WEIR_VERDICT_CHOSEN) {
            reject(w, (enum weir_verdict)f.verdict, (uint32_t)t->node.n);
        } else {
            reject(w, WEIR_VERDICT_DRAINING, other);
        }
    }
}

/* Records a wait only where it says something new of the shape. */
static void say_wait(struct weir_core *c, struct weighing *w, bool never)
{
    if (w->n == 0) {
        explain_rejects(c, w);
    }
    struct shape *s = w->cl->shape;
    uint64_t said = 1 + (w->n > 0 ? 2u + w->option[0].cand.kind : never);
    for (uint32_t v = 0; v < WEIR_VERDICT_MAX; v++) {
        said = said * 2 + (w->rejected[v] > 0);
    }
    if (said == s->said) {
        return;
    }
    s->said = said;
    struct weir_explain *x =
        explain_add(c, w->n > 0 ? WEIR_DECISION_WAIT : WEIR_DECISION_BLOCKED);
    fill_explain(w, x);
    x->reason = never ? WEIR_REASON_IMPOSSIBLE : WEIR_REASON_NONE;
    x->queue_ahead = queue_ahead_tasks(c, w->job, w->ordinal);
}

enum decided decide(struct weir_core *c, struct class *cl, bool tail)
{
    struct weighing w;
    memset(&w, 0, offsetof(struct weighing, option));
    w.cl = cl;
    w.job = tail ? cl->last : cl->first;
    w.ordinal = tail ? job_last_waiting(w.job) : job_first_waiting(w.job);
    w.depth = tail ? cl->n_waiting - 1 : 0;
    weigh(c, &w);
    bool never = w.n == 0 && shape_is_impossible(c, cl->shape);
    enum decided d = DECIDED_WAITS;
    shape_tell(c, cl->shape, never);
    if (w.n > 0 && w.option[0].starts && !w.option[0].held) {
        act(c, &w);
        d = DECIDED_PLACED;
    } else if (w.n > 0 && w.option[0].held) {
        c->providers.p[c->offers.p[w.option[0].ranked->offer].provider].held = true;
        d = DECIDED_HELD;
    }
    if (!tail && d != DECIDED_PLACED) {
        say_wait(c, &w, never);
    }
    weighing_release(&w);
    return d;
}

void decide_explain(struct weir_core *c, struct job *j, uint32_t ordinal, struct weir_explain *ret)
{
    struct weighing w;
    memset(&w, 0, offsetof(struct weighing, option));
    memset(ret, 0, sizeof *ret);
    w.cl = j->class;
    w.job = j;
    w.ordinal = ordinal;
    ret->decision = WEIR_DECISION_BLOCKED;
    if (j->queued) {
        for (const struct job *x = j->class->first; x != NULL && x != j; x = x->next) {
            w.depth += x->count[WEIR_TASK_WAITING];
        }
        for (uint32_t i = 0; i < ordinal; i++) {
            w.depth += j->waiting[i / 64] >> i % 64 & 1u;
        }
        plan_claims_before(c, w.cl);
        weigh(c, &w);
        if (w.n > 0) {
            const struct option *o = &w.option[0];
            ret->decision = !o->starts || o->held     ? WEIR_DECISION_WAIT
                            : o->ranked != NULL       ? WEIR_DECISION_RENT
                            : o->place.node->joined ? WEIR_DECISION_START
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
