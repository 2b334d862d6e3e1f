/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where there is room now. Of places that cost the same, the one that leaves the fewest GPUs without the cores or memory that
 * the tasks there are would need (frag.h, demand.c); among equals the node with the fewest free GPUs that suffice, then one whose link group is
 * used up exactly, then the least id. Gangs take nodes of one GPU model, inside one fabric where one has enough, the
 * tightest such.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

int64_t run_time_on(const struct shape *s, uint32_t throughput)
{
    int64_t t = s->expected_us;
    if (s->model_kind <= WEIR_GPU_MODEL_ANY && throughput != s->throughput_ref) { /* any GPU: a V100 is meant */
        t = weir_mul_div_sat(t, s->throughput_ref, throughput == 0 ? 1 : throughput);
    }
    return max_i64(min_i64(t, s->req.max_duration.us), 1);
}

bool node_lasts(const struct shape *s, const struct node *n, int64_t start_us)
{
    if (n->lease == NULL || n->lease->offer.ends.us == 0) {
        return true;
    }
    int64_t run_us = run_time_on(s, n->type->throughput);
    int64_t stretch_us = s->req.checkpoint_every.us > 0 ? min_i64(s->req.checkpoint_every.us, run_us) : run_us;
    return weir_i64_add_sat(start_us, stretch_us) <= n->lease->offer.ends.us;
}

int64_t stage_time_us(const struct weir_core *c, const struct weir_request *r)
{
    int64_t bytes = r->stage_bytes > INT64_MAX ? INT64_MAX : (int64_t)r->stage_bytes;
    return weir_mul_div_sat(bytes, WEIR_US_PER_S, (int64_t)c->conf.stage_bytes_per_s);
}

int64_t share_of(int64_t rate, const struct node_type *t, uint32_t gpus, uint32_t cpu_milli)
{
    if (gpus > 0 && t->gpus > 0) {
        return weir_mul_div_sat(rate, gpus, t->gpus);
    }
    if (t->cpu_milli > 0) {
        return weir_mul_div_sat(rate, cpu_milli, t->cpu_milli);
    }
    return rate;
}

int64_t class_delay_cost(const struct weir_core *c, const struct class *cl)
{
    if (cl->shape->req.delay_cost_micro_per_hour >= 0) {
        return cl->shape->req.delay_cost_micro_per_hour;
    }
    return cl->project->delay_cost >= 0 ? cl->project->delay_cost
                                        : c->conf.delay_cost_micro_per_hour;
}

static bool kind_is(const struct node *n, enum place_kind kind)
{
    switch (kind) {
    case PLACE_OWNED:
        return n->lease == NULL;
    case PLACE_RENTED:
        return n->lease != NULL && n->joined;
    case PLACE_BOOTING:
        return n->lease != NULL && !n->joined;
    }
    WEIR_UNREACHABLE();
}

struct search {
    struct weir_core *c;
    struct class *cl;
    struct shape *s;
    enum place_kind kind;
    bool is_full;  /* there is no room, as is known: only what is shut is looked for */
    bool reserved; /* out: room was passed over for a claim */
};

/* Would it run there now without delaying the claims that there are? */
static bool claims_allow(const struct weir_core *c, const struct class *cl, const struct node *n, uint32_t gpus)
{
    const struct weir_request *r = &cl->shape->req;
    int64_t start = max_i64(c->now_us, node_ready_us(n));
    return claim_allows(c, n, cl, gpus, r->cpu_milli, r->mem_mib, weir_i64_add_sat(start, r->max_duration.us));
}

static inline bool claims_suit(const struct weir_core *c, const struct class *cl, const struct node *n, uint32_t gpus)
{
    return n->claims.n == 0 || claims_allow(c, cl, n, gpus); /* mostly there are none */
}

static inline bool lasts_now(const struct weir_core *c, const struct shape *s, const struct node *n)
{
    return n->lease == NULL || node_lasts(s, n, max_i64(c->now_us, node_ready_us(n)));
}

/* Of a node that has the GPUs. */
static bool node_suits(struct search *q, const struct node *n, uint32_t gpus)
{
    const struct weir_request *r = &q->s->req;
    if (!kind_is(n, q->kind) || n->cpu_free < r->cpu_milli || n->mem_free < r->mem_mib || !lasts_now(q->c, q->s, n)) {
        return false;
    }
    bool suits = claims_suit(q->c, q->cl, n, gpus);
    q->reserved = q->reserved || !suits;
    return suits;
}

/* The best place so far. What makes it better than another is worked out when there is another. */
struct found {
    struct node *node;
    int64_t score;
    uint32_t free;
    uint32_t waste;
    bool scored;
    bool wasted; /* the waste is known */
};

static int64_t found_score(struct search *q, struct found *x, uint32_t gpus)
{
    if (!x->scored) {
        x->score = demand_score(q->c, x->node, q->s->want, gpus);
        x->scored = true;
    }
    return x->score;
}

static uint32_t found_waste(struct found *x, uint32_t gpus)
{
    if (!x->wasted) {
        x->waste = node_link_waste(x->node, gpus);
        x->wasted = true;
    }
    return x->waste;
}

/* Nodes come by rising number of free GPUs, those with equally many by id. */
static bool found_is_better(struct search *q, struct found *x, struct found *best, uint32_t gpus)
{
    if (best->node == NULL) {
        return true;
    }
    int64_t a = found_score(q, x, gpus);
    int64_t b = found_score(q, best, gpus);
    if (a != b) {
        return a > b;
    }
    return x->free == best->free && found_waste(best, gpus) > 0 && found_waste(x, gpus) < found_waste(best, gpus);
}

static bool is_alike(const struct node *a, const struct node *b)
{
    return a->cpu_free == b->cpu_free && a->mem_free == b->mem_free;
}

/* The best of the type's nodes with so many free GPUs, and of what was found before. */
static void best_of_free(struct search *q, const struct node_type *t, uint32_t gpus, uint32_t f, struct found *best)
{
    const struct node *last = NULL;
    uint32_t left = t->n_free[f];
    uint32_t seen = 0;
    for (size_t w = 0; w < t->words && left > 0; w++) {
        for (uint64_t m = t->free[f].w[w]; m != 0; m &= m - 1) {
            struct found x = {.node = t->node.p[w * 64 + (size_t)__builtin_ctzll(m)], .free = f};
            left--;
            if (!node_suits(q, x.node, gpus)) {
                continue;
            }
            bool links = best->free == f && best->node != NULL && found_waste(best, gpus) > 0;
            if (last == NULL || links || !is_alike(last, x.node)) { /* else it is no better than the last one */
                *best = found_is_better(q, &x, best, gpus) ? x : *best;
                links = best->free == f && found_waste(best, gpus) > 0;
            }
            last = x.node;
            if (++seen >= (links ? LINK_SCAN_MAX : PLACE_SCAN_MAX)) {
                return;
            }
        }
    }
}

/* The best node of a type, with node NULL where none suits. */
static struct found best_of_type(struct search *q, const struct node_type *t, uint32_t gpus)
{
    struct found best = {0};
    for (uint32_t f = gpus; f <= t->gpus; f++) {
        best_of_free(q, t, gpus, f, &best);
    }
    return best;
}

/* How many nodes of a type have room for it, and (for a class) may be used without delaying a claim; no more than so many are sought. */
static uint32_t count_room(const struct weir_core *c, const struct want *w, const struct class *cl, const struct node_type *t, uint32_t most)
{
    uint32_t n = 0;
    uint32_t gpus = w->fit.p[t->id].gpus;
    for (uint32_t f = gpus; f <= t->gpus; f++) {
        uint32_t left = t->n_free[f];
        for (size_t i = 0; i < t->words && left > 0; i++) {
            for (uint64_t m = t->free[f].w[i]; m != 0; m &= m - 1) {
                const struct node *x = t->node.p[i * 64 + (size_t)__builtin_ctzll(m)];
                left--;
                n += node_fits(x, gpus, w->cpu_milli, w->mem_mib) && (cl == NULL || (lasts_now(c, cl->shape, x) && claims_suit(c, cl, x, gpus)));
                if (n == most) {
                    return n;
                }
            }
        }
    }
    return n;
}

static bool has_room(struct weir_core *c, struct want *w, const struct class *cl, bool owned)
{
    uint32_t left = w->asks->nodes;
    want_fit(c, w);
    for (size_t i = 0; i < c->types.n && left > 0; i++) {
        if (w->fit.p[i].verdict == WEIR_VERDICT_CHOSEN && !(owned && c->types.p[i]->rented)) {
            left -= count_room(c, w, cl, c->types.p[i], left);
        }
    }
    return left == 0;
}

bool place_open(struct weir_core *c, struct class *cl, bool owned)
{
    return place_any(c, cl->want) && has_room(c, cl->want, cl, owned);
}

bool place_open_on(struct weir_core *c, struct class *cl, const struct node *n)
{
    return want_fits_on(cl->want, n) && lasts_now(c, cl->shape, n) && claims_suit(c, cl, n, shape_fit(c, cl->shape, n->type).gpus);
}

bool place_any(struct weir_core *c, struct want *w)
{
    if (w->room_version != c->version) {
        w->room = has_room(c, w, NULL, false);
        w->room_version = c->version;
    }
    return w->room;
}

int64_t energy_of(const struct node_type *t, uint32_t gpus, uint32_t cpu_milli)
{
    int64_t cores = t->cpu_milli == 0 ? 0 : weir_mul_div_sat(t->cores_micro_per_hour, cpu_milli, t->cpu_milli);
    if (t->gpus == 0) {
        return cores;
    }
    return weir_i64_add_sat(cores, weir_mul_div_sat(t->busy_micro_per_hour - t->cores_micro_per_hour, gpus, t->gpus));
}

int64_t node_paid_us(const struct weir_core *c, const struct node *n)
{
    int64_t needed = max_i64(c->now_us, node_ready_us(n));
    for (size_t i = 0; i < n->runs.n; i++) {
        needed = max_i64(needed, n->runs.p[i].run->end_us);
    }
    const struct weir_offer *o = &n->lease->offer;
    int64_t from = n->lease->confirmed_us != 0 ? n->lease->confirmed_us : c->now_us;
    int64_t quantum = max_i64(o->bill_quantum.us, 1);
    int64_t paid = (max_i64(needed - from, o->bill_minimum.us) + quantum - 1) / quantum * quantum;
    return max_i64(needed, weir_i64_add_sat(from, paid));
}

/*
 * What the machine costs because of the task: an owned one its energy; a rented one only what lies behind
 * the time for which it is needed, or paid, anyway.
 */
static int64_t marginal_micro(const struct weir_core *c, const struct shape *s, const struct node *n, uint32_t gpus)
{
    int64_t run = run_time_on(s, n->type->throughput);
    if (n->lease == NULL) {
        return weir_mul_div_sat(energy_of(n->type, gpus, s->req.cpu_milli), run, WEIR_US_PER_HOUR);
    }
    int64_t end = weir_i64_add_sat(max_i64(c->now_us, node_ready_us(n)), run);
    int64_t more = end - node_paid_us(c, n);
    return more <= 0 ? 0 : weir_mul_div_sat(lease_marginal(n->lease), more, WEIR_US_PER_HOUR);
}

int64_t node_reclaim_micro(const struct weir_core *c, const struct class *cl, const struct node *n, uint32_t gpus)
{
    if (n->lease == NULL) {
        return 0;
    }
    const struct weir_request *r = &cl->shape->req;
    int64_t start = weir_i64_add_sat(n->lease->boot_us, stage_time_us(c, r));
    int64_t lost = reclaim_loss_us(r, &n->lease->offer, n->lease->reclaim_ppm, run_time_on(cl->shape, n->type->throughput), start);
    int64_t rate = weir_mul_div_sat(share_of(n->type->busy_micro_per_hour, n->type, gpus, r->cpu_milli), r->nodes, 1);
    return weir_mul_div_sat(weir_i64_add_sat(rate, class_delay_cost(c, cl)), lost, WEIR_US_PER_HOUR);
}

static void candidate_fill(const struct weir_core *c,
                           const struct class *cl,
                           const struct node *n,
                           uint32_t gpus,
                           enum place_kind kind,
                           struct weir_candidate *ret)
{
    static const uint8_t as[] = {WEIR_CANDIDATE_OWNED_NOW, WEIR_CANDIDATE_RENTED_NOW,
                                 WEIR_CANDIDATE_RENTED_LATER};
    int64_t nodes = cl->shape->req.nodes;
    *ret = (struct weir_candidate){.kind = as[kind], .node = n->spec.id};
    if (n->lease != NULL) {
        ret->lease.v = n->lease->id;
        ret->offer = n->lease->offer.id;
    }
    int64_t stage = n->lease == NULL ? 0 : stage_time_us(c, &cl->shape->req);
    ret->start_delay.us = weir_i64_add_sat(max_i64(node_ready_us(n) - c->now_us, 0), stage);
    ret->run_micro = weir_mul_div_sat(marginal_micro(c, cl->shape, n, gpus), nodes, 1);
    ret->reclaim_micro = node_reclaim_micro(c, cl, n, gpus);
    ret->wait_micro =
        weir_mul_div_sat(class_delay_cost(c, cl), ret->start_delay.us, WEIR_US_PER_HOUR);
    ret->total_micro = weir_i64_add_sat(weir_i64_add_sat(ret->run_micro, ret->reclaim_micro),
                                        ret->wait_micro);
}

static struct spot *spots(uint32_t n)
{
    static const size_t most = WEIR_GANG_NODES_MAX;
    WEIR_ASSERT(n <= most);
    return weir_calloc(n, sizeof(struct spot));
}

/* Of two that cost the same, on nodes of different types. */
static bool places_better(struct search *q, struct found *x, uint32_t x_gpus, struct found *y, uint32_t y_gpus)
{
    int64_t a = found_score(q, x, x_gpus);
    int64_t b = found_score(q, y, y_gpus);
    uint32_t left = x->free - x_gpus;
    if (a != b) {
        return a > b;
    }
    return left != y->free - y_gpus ? left < y->free - y_gpus : x->node->spec.id.v < y->node->spec.id.v;
}

/* No quota of the class has room for it on such nodes: that is to be told where there are some. */
static bool is_shut(const struct search *q, const struct node_type *t, uint16_t gpus, struct place_result *ret)
{
    if (!limits_shut_type(q->c, q->cl, t, gpus)) {
        return false;
    }
    if (t->n_usable > 0) {
        ret->shut = t;
        ret->shut_gpus = gpus;
    }
    return true;
}

static struct place_result find_single(struct search *q)
{
    struct weir_core *c = q->c;
    struct shape *s = q->s;
    struct place_result best = {0};
    struct found found = {0};
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, s, t);
        if (f.verdict != WEIR_VERDICT_CHOSEN || t->rented != (q->kind != PLACE_OWNED) || is_shut(q, t, f.gpus, &best) || q->is_full) {
            continue;
        }
        struct found x = best_of_type(q, t, f.gpus);
        struct node *n = x.node;
        if (n == NULL) {
            continue;
        }
        struct weir_candidate cand;
        candidate_fill(c, q->cl, n, f.gpus, q->kind, &cand);
        bool ordered = s->req.alternatives_ordered && best.found;
        int64_t gain = best.found ? best.candidate.total_micro - cand.total_micro : 1;
        bool better = gain > 0 || (gain == 0 && places_better(q, &x, f.gpus, &found, best.gpus));
        if (ordered && f.alternative != best.alternative) {
            better = f.alternative < best.alternative;
        }
        if (better) {
            best.found = true;
            best.candidate = cand;
            best.alternative = f.alternative;
            found = x;
            best.node = n;
            best.gpus = f.gpus;
        }
    }
    best.reserved = q->reserved;
    return best;
}

/* ---- gangs ---- */

enum { GANG_GROUPS_MAX = 256 }; /* of nodes that may be of one gang: models, and zones of each where they matter */

struct gang {
    WEIR_VEC(struct spot) p;
};

static int spot_cmp(const void *a, const void *b)
{
    const struct spot *x = a;
    const struct spot *y = b;
    if (x->alternative != y->alternative) {
        return x->alternative < y->alternative ? -1 : 1;
    }
    if (x->node->spec.fabric != y->node->spec.fabric) {
        return x->node->spec.fabric < y->node->spec.fabric ? -1 : 1;
    }
    uint32_t f = popcount32(x->node->free_mask);
    uint32_t g = popcount32(y->node->free_mask);
    if (f != g) {
        return f < g ? -1 : 1;
    }
    return x->node->spec.id.v < y->node->spec.id.v ? -1 : 1;
}

static int spot_cmp_free(const void *a, const void *b)
{
    const struct spot *x = a;
    const struct spot *y = b;
    uint32_t f = popcount32(x->node->free_mask);
    uint32_t g = popcount32(y->node->free_mask);
    if (f != g) {
        return f < g ? -1 : 1;
    }
    return x->node->spec.id.v < y->node->spec.id.v ? -1 : 1;
}

/* Moves the spots to use to the front; false where there are too few. */
static bool gang_choose(const struct weir_core *c, struct gang *g, uint32_t want)
{
    if (g->p.n < want) {
        return false;
    }
    if (!c->has_fabrics) {
        qsort(g->p.p, g->p.n, sizeof *g->p.p, spot_cmp_free);
        return true;
    }
    qsort(g->p.p, g->p.n, sizeof *g->p.p, spot_cmp);
    size_t best = SIZE_MAX;
    size_t best_n = SIZE_MAX;
    for (size_t i = 0; i < g->p.n;) {
        size_t k = i;
        uint32_t fabric = g->p.p[i].node->spec.fabric;
        while (k < g->p.n && g->p.p[k].node->spec.fabric == fabric) {
            k++;
        }
        if (fabric != 0 && k - i >= want && k - i < best_n) {
            best = i;
            best_n = k - i;
        }
        i = k;
    }
    if (best != SIZE_MAX) {
        memmove(g->p.p, g->p.p + best, want * sizeof *g->p.p);
    } else {
        qsort(g->p.p, g->p.n, sizeof *g->p.p, spot_cmp_free);
    }
    return true;
}

/*
 * The nodes of a type that suit, by rising number of free GPUs and by id. Without fabrics the first will do; the others
 * are looked at only for a claim that is in the way.
 */
static void gang_collect_type(struct search *q, const struct node_type *t, struct type_fit f, struct gang *g)
{
    size_t most = q->c->has_fabrics ? SIZE_MAX : q->s->req.nodes;
    size_t n_found = 0;
    for (uint32_t fr = f.gpus; fr <= t->gpus; fr++) {
        uint32_t left = t->n_free[fr];
        for (size_t w = 0; w < t->words && left > 0; w++) {
            for (uint64_t m = t->free[fr].w[w]; m != 0; m &= m - 1) {
                struct node *n = t->node.p[w * 64 + (size_t)__builtin_ctzll(m)];
                left--;
                if (!node_suits(q, n, f.gpus)) {
                    continue;
                }
                if (n_found < most) {
                    weir_vec_push(&g->p, (struct spot){n, f.gpus, f.alternative});
                    n_found++;
                }
                if (n_found == most && (q->reserved || q->c->claimed == 0)) {
                    return;
                }
            }
        }
    }
}

/* Of the type and its mates. */
static void gang_collect(struct search *q, const struct node_type *lead, struct gang *g)
{
    struct weir_core *c = q->c;
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, q->s, t);
        if (f.verdict == WEIR_VERDICT_CHOSEN && types_are_mates(q->s, lead, t)) {
            gang_collect_type(q, t, f, g);
        }
    }
}

static struct place_result find_gang(struct search *q)
{
    struct weir_core *c = q->c;
    struct place_result best = {0};
    const struct node_type *done[GANG_GROUPS_MAX];
    uint32_t n_done = 0;
    for (size_t i = 0; i < c->types.n && n_done < WEIR_ARRAY_LEN(done); i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, q->s, t);
        bool seen = f.verdict != WEIR_VERDICT_CHOSEN;
        for (uint32_t k = 0; k < n_done; k++) {
            seen = seen || types_are_mates(q->s, done[k], t);
        }
        if (seen || t->rented != (q->kind != PLACE_OWNED) || is_shut(q, t, f.gpus, &best)) {
            continue;
        }
        done[n_done++] = t;
        if (q->is_full) {
            continue;
        }
        struct gang g = {0};
        gang_collect(q, t, &g);
        if (gang_choose(c, &g, q->s->req.nodes)) {
            struct weir_candidate cand;
            candidate_fill(c, q->cl, g.p.p[0].node, g.p.p[0].gpus, q->kind, &cand);
            int64_t gain = best.found ? best.candidate.total_micro - cand.total_micro : 1;
            bool better =
                gain > 0 || (gain == 0 && g.p.p[0].node->spec.id.v < best.node->spec.id.v);
            if (best.found && q->s->req.alternatives_ordered &&
                best.alternative != g.p.p[0].alternative) {
                better = g.p.p[0].alternative < best.alternative;
            }
            if (better) {
                free(best.spot);
                best.found = true;
                best.candidate = cand;
                best.alternative = g.p.p[0].alternative;
                best.spot = spots(q->s->req.nodes);
                memcpy(best.spot, g.p.p, q->s->req.nodes * sizeof *best.spot);
                best.node = best.spot[0].node;
                best.gpus = best.spot[0].gpus;
            }
        }
        weir_vec_release(&g.p);
    }
    best.reserved = q->reserved;
    return best;
}

struct place_result place_find(struct weir_core *c, struct class *cl, enum place_kind kind)
{
    struct search q = {.c = c, .cl = cl, .s = cl->shape, .kind = kind};
    bool is_gang = cl->shape->req.nodes > 1;
    q.is_full = cl->want->room_version == c->version && !cl->want->room;
    if ((q.is_full && c->limits.n == 0) || (is_gang && kind == PLACE_BOOTING)) {
        return (struct place_result){0};
    }
    struct place_result r = is_gang ? find_gang(&q) : find_single(&q);
    /* that some of a gang's nodes are kept for others says nothing where there are too few: whether or not that was known before */
    r.reserved = r.reserved && place_any(c, cl->want);
    return r;
}
