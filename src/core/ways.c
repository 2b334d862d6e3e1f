/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways in which tasks of a shape could run (so many GPUs of such a model, on what is there or would be rented), what each
 * would hold and count at least, and which of them have room.
 */

#include "core/limits_priv.h"

/* ---- parking ---- */

/* One more way in which tasks of a shape could run. */
static void add_way(struct ways *ways, uint16_t gpu_model, uint16_t gpus, bool owned)
{
    uint32_t i = 0;
    while (i < ways->n && i < WAYS_MAX && (ways->p[i].gpu_model != gpu_model || ways->p[i].gpus != gpus)) {
        i++;
    }
    if (i == WAYS_MAX) {
        ways->n = WAYS_MAX + 1;
        return;
    }
    struct way *w = &ways->p[i];
    if (i == ways->n) {
        ways->n++;
        *w = (struct way){.gpu_model = gpu_model, .gpus = gpus};
    }
    w->owned = w->owned || owned;
    w->rented = w->rented || !owned;
}

static void least_of_types(struct weir_core *c, struct shape *s, int64_t most)
{
    s->least_owned = US_NEVER;
    s->fits_rented = false;
    s->here.n = 0;
    for (size_t i = 0; i < c->types.n; i++) {
        const struct node_type *t = c->types.p[i];
        struct type_fit f = shape_fit(c, s, t);
        if (f.verdict != WEIR_VERDICT_CHOSEN || t->n_nodes == 0) {
            continue;
        }
        int64_t rate = share_of(t->full_micro_per_hour, t, f.gpus, s->req.cpu_milli);
        bool owned = !t->rented && s->req.local != WEIR_LOCAL_NEVER;
        s->fits_rented = s->fits_rented || t->rented;
        if (owned) {
            rate = weir_mul_div_sat(rate, s->req.nodes, 1);
            s->least_owned = min_i64(s->least_owned, run_worst(c, s, most, rate));
        }
        if (owned || t->rented) {
            add_way(&s->here, t->gpu_model, f.gpus, owned);
        }
    }
}

static void least_of_offers(struct weir_core *c, struct shape *s, int64_t most)
{
    s->least_rented = US_NEVER;
    s->anew.n = 0;
    if (s->req.local == WEIR_LOCAL_ONLY || !c->conf.spill) {
        return;
    }
    (void)offers_rank(c, s, 1, false); /* brings the want's offers up to date */
    for (size_t i = 0; i < s->want->offer.n; i++) {
        const struct fitting_offer *f = &s->want->offer.p[i];
        const struct weir_offer *o = &c->offers.p[f->offer].o;
        int64_t run_us = run_span_us(c, s, most, o->price_micro_per_hour); /* a share of the machine may run longer: a bound from below */
        int64_t need = machine_worst(o, weir_i64_add_sat(c->conf.boot_limit.us, run_us));
        s->least_rented = min_i64(s->least_rented, weir_mul_div_sat(need, s->req.nodes, 1));
        add_way(&s->anew, o->gpu_model, f->gpus, false);
    }
}

/* The least worst case on what is owned, and on what can be rented; a bound from below for any place. */
void shape_least(struct weir_core *c, struct shape *s)
{
    int64_t most = s->req.max_cost_micro <= 0 ? INT64_MAX : s->req.max_cost_micro;
    if (s->least_world != c->world) {
        s->least_world = c->world;
        least_of_types(c, s, most);
    }
    if (s->least_offers != c->offers_version) {
        s->least_offers = c->offers_version;
        least_of_offers(c, s, most);
    }
}

struct purse purse_of(const struct weir_core *c, const struct limits *l, const struct shape *s)
{
    struct purse p = {.has_owned = s->least_owned != US_NEVER, .owned_need = s->least_owned};
    bool rides = l->n_leases > 0 && s->fits_rented; /* on a machine that holds enough already, maybe */
    p.rented_need = rides ? 0 : s->least_rented;
    p.has_rented = p.rented_need != US_NEVER;
    for (size_t i = 0; i < l->budget.n; i++) {
        const struct budget *b = l->budget.p[i];
        if (p.has_owned) {
            ask_budget(c, &p.owned, b, b->def.cloud_only ? 0 : p.owned_need, false);
        }
        if (p.has_rented) {
            ask_budget(c, &p.rented, b, p.rented_need, true);
        }
    }
    return p;
}

int64_t way_need(const struct weir_core *c, const struct quota *q, const struct shape *s, const struct way *w, bool anew)
{
    return quota_need(c, q, s, w->gpu_model, (int64_t)w->gpus * s->req.nodes, anew ? s->req.nodes : 0, anew);
}

struct shortage quotas_weigh(const struct weir_core *c, const struct limits *l, const struct shape *s, const struct way *w, bool anew, bool own)
{
    struct shortage q = {0};
    for (size_t i = 0; i < l->quota.n; i++) {
        const struct quota *x = l->quota.p[i];
        ask_quota(&q, x, way_need(c, x, s, w, anew), own ? quota_left_own(c, x) : quota_left(c, x));
    }
    return q;
}

/* One way, of money and of quotas: true where neither is in the way; else what lacks least stays in *kept. */
static bool is_open(struct shortage *kept, const struct shortage *money, const struct shortage *quota)
{
    keep_lesser(kept, money);
    keep_lesser(kept, quota);
    return !is_short(money) && !is_short(quota);
}

static bool try_ways(const struct weir_core *c, const struct limits *l, const struct shape *s, const struct ways *ways, const struct purse *p, bool anew, bool own, struct verge *v)
{
    for (uint32_t i = 0; i < ways->n; i++) {
        const struct way *w = &ways->p[i];
        struct shortage q = quotas_weigh(c, l, s, w, anew, own);
        v->owned = w->owned && is_open(&v->lacks, &p->owned, &q);
        v->rented = !v->owned && w->rented && p->has_rented && is_open(&v->lacks, &p->rented, &q);
        if (v->owned || v->rented) {
            v->way = w;
            v->anew = anew;
            return true;
        }
    }
    return false;
}

struct verge verge_of(const struct weir_core *c, const struct limits *l, const struct shape *s, const struct purse *p, bool own)
{
    struct verge v = {.nowhere = !p->has_owned && !p->has_rented};
    if (!v.nowhere && l->quota.n > 0 && s->here.n <= WAYS_MAX && s->anew.n <= WAYS_MAX) {
        (void)(try_ways(c, l, s, &s->here, p, false, own, &v) || try_ways(c, l, s, &s->anew, p, true, own, &v));
    } else if (!v.nowhere) {
        const struct shortage none = {0};
        v.owned = p->has_owned && is_open(&v.lacks, &p->owned, &none);
        v.rented = !v.owned && p->has_rented && is_open(&v.lacks, &p->rented, &none);
    }
    return v;
}

bool verge_is_shut(const struct verge *v)
{
    return !v->nowhere && !v->owned && !v->rented;
}

struct shortage limits_block(struct weir_core *c, const struct class *cl)
{
    if (cl->limits == NULL) {
        return (struct shortage){0};
    }
    shape_least(c, cl->shape);
    struct purse p = purse_of(c, cl->limits, cl->shape);
    struct verge v = verge_of(c, cl->limits, cl->shape, &p, false);
    return verge_is_shut(&v) ? v.lacks : (struct shortage){0};
}

bool limits_is_blocked(struct weir_core *c, const struct class *cl)
{
    struct shortage s = limits_block(c, cl);
    return is_short(&s);
}

/* Is some node that the class fits shut to it, and another not? */
bool shape_is_narrow(const struct weir_core *c, const struct limits *l, const struct shape *s)
{
    uint32_t n_shut = 0;
    for (uint32_t i = 0; l->quota.n > 0 && i < s->here.n && i < WAYS_MAX; i++) {
        struct shortage q = quotas_weigh(c, l, s, &s->here.p[i], false, false);
        n_shut += is_short(&q);
    }
    return n_shut > 0 && n_shut < s->here.n;
}

bool limits_is_narrow(struct weir_core *c, const struct class *cl)
{
    shape_least(c, cl->shape);
    return shape_is_narrow(c, cl->limits, cl->shape);
}

struct shortage limits_weigh_type(const struct weir_core *c, const struct class *cl, const struct node_type *t, uint16_t gpus)
{
    const struct way w = {.gpu_model = t->gpu_model, .gpus = gpus};
    return quotas_weigh(c, cl->limits, cl->shape, &w, false, false);
}
