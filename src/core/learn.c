/* SPDX-License-Identifier: Apache-2.0 */
/* What the core learns of offers: see learn_priv.h for what counts when, evidence.h for the arithmetic. */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

enum { LOOK_MIN = 10 };

#define NO_EVIDENCE ((struct weir_evidence){0})

/* ---- groups ---- */

static struct learned_key key_of(const struct weir_core *c, const struct weir_offer *o)
{
    struct learned_key k;
    memset(&k, 0, sizeof k);
    uint32_t p = 0;
    while (p < c->providers.n && !weir_streq(c->providers.p[p].name, o->provider)) {
        p++;
    }
    k.offer = o->id;
    k.provider = p;
    k.gpu_model = o->gpus == 0 ? (uint16_t)WEIR_GPU_MODEL_ANY : o->gpu_model;
    k.market = o->market;
    memcpy(k.region, o->region, strlen(o->region));
    memcpy(k.instance_type, o->instance_type, strlen(o->instance_type));
    return k;
}

/* The offer's group of a level. What tells the wider ones is in the key too: which they are must not hang on who came first where a
 * provider's list gives an id, or a type's name, to something else. */
static struct learned_key key_at(const struct learned_key *offer, enum learned_level level)
{
    struct learned_key k = *offer;
    k.level = (uint8_t)level;
    k.offer = level == LEARNED_OFFER ? k.offer : 0;
    if (level == LEARNED_REGION || level == LEARNED_MARKET) {
        memset(k.instance_type, 0, sizeof k.instance_type);
    }
    if (level == LEARNED_MARKET) {
        memset(k.region, 0, sizeof k.region);
        k.gpu_model = 0;
    }
    return k;
}

static size_t group_at(const struct weir_core *c, const struct learned_key *k)
{
    size_t lo = 0;
    size_t hi = c->learned.group.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(&c->learned.group.p[mid]->key, k, sizeof *k) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static struct learned_group *group_find(const struct weir_core *c, const struct learned_key *k)
{
    size_t at = group_at(c, k);
    return at < c->learned.group.n && memcmp(&c->learned.group.p[at]->key, k, sizeof *k) == 0 ? c->learned.group.p[at] : NULL;
}

/* The offer's own, made with all wider ones where they are not there. */
static struct learned_group *group_get(struct weir_core *c, const struct learned_key *offer)
{
    struct learned_group *wider = NULL;
    for (unsigned level = LEARNED_LEVELS; level-- > 0;) {
        struct learned_key k = key_at(offer, (enum learned_level)level);
        size_t at = group_at(c, &k);
        struct learned_group *g = at < c->learned.group.n ? c->learned.group.p[at] : NULL;
        if (g == NULL || memcmp(&g->key, &k, sizeof k) != 0) {
            g = weir_alloc(sizeof *g);
            g->key = k;
            g->wider = wider;
            g->estimate = WEIR_ESTIMATE_NONE;
            weir_vec_push(&c->learned.group, g);
            memmove(&c->learned.group.p[at + 1], &c->learned.group.p[at], (c->learned.group.n - 1 - at) * sizeof *c->learned.group.p);
            c->learned.group.p[at] = g;
        }
        wider = g;
    }
    return wider;
}

/* ---- what a lease tells ---- */

static struct lease_facts facts_of(struct weir_core *c, const struct weir_lease_view *v)
{
    const struct weir_offer *o = &v->offer;
    struct lease_facts f = {
        .offer = key_of(c, o),
        .spot = o->market == WEIR_OFFER_SPOT,
        .over = weir_sm_is(&weir_sm_lease, v->state, WEIR_SM_FINAL),
        .reclaimed = v->reclaimed,
        .listed_ppm = o->reclaim_ppm_per_hour,
        .listed_boot_us = o->boot_expected.us,
        .intent_us = v->intent_at.us,
        .confirmed_us = v->confirmed_at.us,
        .ready_us = v->ready_at.us,
        .over_us = v->ended_at.us,
    };
    if (v->state == WEIR_LEASE_FAILED) { /* its ending_at says how long that is remembered */
        f.failed_us = v->ended_at.us;
    } else if (weir_refusal_is_given_up(v->refusal)) {
        f.failed_us = v->ending_at.us;
    }
    f.end_us = v->ending_at.us != 0 ? v->ending_at.us : v->ended_at.us;
    return f;
}

static struct lease_facts lease_facts(struct weir_core *c, const struct lease *l)
{
    const struct weir_lease_view v = {
        .offer = l->offer,
        .state = (enum weir_lease_state)l->state,
        .refusal = l->refusal,
        .reclaimed = l->reclaimed,
        .intent_at = {l->intent_us},
        .confirmed_at = {l->confirmed_us},
        .ready_at = {l->ready_us},
        .ending_at = {l->ending_us},
        .ended_at = {l->ended_us},
    };
    return facts_of(c, &v);
}

/* As it was known right before that time. */
static struct weir_evidence evidence_of(const struct weir_core *c, const struct lease_facts *f, int64_t as_of_us)
{
    struct weir_evidence e = NO_EVIDENCE;
    int64_t most = c->conf.boot_limit.us; /* what took longer is the broker's doing */
    if (f->failed_us != 0) {
        if (f->failed_us < as_of_us) {
            e.failures = 1;
            e.lost_us = min_i64(max_i64(f->failed_us - f->intent_us, 0), most);
            e.paid_us = f->confirmed_us == 0 ? 0 : min_i64(max_i64(f->failed_us - f->confirmed_us, 0), most);
        }
        return e;
    }
    if (f->ready_us == 0 || f->ready_us >= as_of_us) {
        return e;
    }
    e.boots = 1;
    e.late_us = min_i64(max_i64(f->ready_us - f->intent_us, 0), most) - f->listed_boot_us;
    if (f->spot) {
        e.lived_us = max_i64((f->end_us == 0 ? as_of_us : min_i64(f->end_us, as_of_us)) - f->ready_us, 0);
        e.expected_ppm = weir_evidence_expected_ppm(f->listed_ppm, e.lived_us);
        e.reclaims = f->over && f->reclaimed && f->over_us < as_of_us;
    }
    return e;
}

static void day_add(struct learned_group *g, int64_t day, const struct weir_evidence *e)
{
    size_t at = g->day.n;
    while (at > 0 && g->day.p[at - 1].day > day) {
        at--;
    }
    if (at == 0 || g->day.p[at - 1].day != day) {
        weir_vec_push(&g->day, (struct learned_day){.day = day});
        memmove(&g->day.p[at + 1], &g->day.p[at], (g->day.n - 1 - at) * sizeof *g->day.p);
        g->day.p[at++] = (struct learned_day){.day = day};
    }
    weir_evidence_add(&g->day.p[at - 1].seen, e);
}

/* ---- as of a time ---- */

/* Those that were over by then are summed up. */
static void fold(struct weir_core *c)
{
    struct learned *k = &c->learned;
    size_t kept = 0;
    for (size_t i = 0; i < k->fresh.n; i++) {
        const struct lease_facts *f = &k->fresh.p[i];
        if (f->over_us >= k->as_of_us) {
            k->fresh.p[kept++] = *f;
            continue;
        }
        struct weir_evidence e = evidence_of(c, f, US_NEVER);
        for (struct learned_group *g = group_get(c, &f->offer); g != NULL; g = g->wider) {
            day_add(g, f->over_us / WEIR_US_PER_DAY, &e);
        }
    }
    k->fresh.n = kept;
}

static void group_begin(struct learned_group *g, int64_t today)
{
    size_t gone = 0;
    while (gone < g->day.n && today - g->day.p[gone].day >= WEIR_EVIDENCE_DAYS) {
        gone++;
    }
    g->day.n -= gone;
    if (gone > 0) {
        memmove(g->day.p, g->day.p + gone, g->day.n * sizeof *g->day.p);
    }
    g->seen = NO_EVIDENCE;
    g->weighed = NO_EVIDENCE;
    for (size_t i = 0; i < g->day.n; i++) {
        weir_evidence_add(&g->seen, &g->day.p[i].seen);
        weir_evidence_weigh(&g->weighed, &g->day.p[i].seen, today - g->day.p[i].day);
    }
}

static void count_now(struct weir_core *c, const struct lease_facts *f)
{
    struct weir_evidence e = evidence_of(c, f, c->learned.as_of_us);
    if (e.boots + e.failures == 0) {
        return;
    }
    for (struct learned_group *g = group_get(c, &f->offer); g != NULL; g = g->wider) {
        weir_evidence_add(&g->seen, &e);
        weir_evidence_weigh(&g->weighed, &e, 0);
    }
}

/* From the widest to this, each without what the next holds. */
static struct weir_estimate estimate_of(const struct learned_group *g)
{
    static const int64_t unlike[LEARNED_LEVELS] = {1, 1, 2, 4};
    const struct learned_group *chain[LEARNED_LEVELS];
    size_t n = 0;
    for (; g != NULL; g = g->wider) {
        chain[n++] = g;
    }
    struct weir_estimate e = WEIR_ESTIMATE_NONE;
    while (n-- > 0) {
        struct weir_evidence own = chain[n]->weighed;
        if (n > 0) {
            weir_evidence_take(&own, &chain[n - 1]->weighed);
        }
        e = weir_estimate_of(&e, &own, unlike[chain[n]->key.level]);
    }
    return e;
}

/* Five binary digits: what hardly moves stays, and the rankings with it. */
static int64_t rounded(int64_t v)
{
    int64_t unit = 1;
    while (v / unit >= 32 || v / unit <= -32) {
        unit *= 2;
    }
    return weir_mul_div_sat(v, 1, unit) * unit;
}

static bool estimates_make(struct weir_core *c)
{
    bool any = false;
    for (size_t i = 0; i < c->learned.group.n; i++) {
        struct learned_group *g = c->learned.group.p[i];
        struct weir_estimate e = estimate_of(g);
        e.late_us = rounded(e.late_us / WEIR_US_PER_S) * WEIR_US_PER_S;
        e.lost_us = rounded(e.lost_us / WEIR_US_PER_S) * WEIR_US_PER_S;
        e.paid_us = rounded(e.paid_us / WEIR_US_PER_S) * WEIR_US_PER_S;
        e.reclaim_ppm = WEIR_ESTIMATE_NONE.reclaim_ppm + rounded(e.reclaim_ppm - WEIR_ESTIMATE_NONE.reclaim_ppm); /* never across what is said */
        any = any || memcmp(&e, &g->estimate, sizeof e) != 0;
        g->estimate = e;
    }
    return any;
}

const struct weir_estimate *learned_estimate(const struct weir_core *c, const struct weir_offer *o)
{
    static const struct weir_estimate none = {.reclaim_ppm = 1000000};
    const struct weir_estimate *e = &none;
    if (c->learned.group.n == 0) {
        return e;
    }
    struct learned_key offer = key_of(c, o);
    for (unsigned level = LEARNED_LEVELS; level-- > 0;) { /* a group is not there without the wider ones */
        struct learned_key k = key_at(&offer, (enum learned_level)level);
        const struct learned_group *g = group_find(c, &k);
        if (g == NULL) {
            break;
        }
        e = &g->estimate;
    }
    return e;
}

/* Each offer has its estimate beside it: the list is long when it is ranked. */
void learned_apply_offers(struct weir_core *c)
{
    for (size_t i = 0; i < c->offers.n; i++) {
        c->offers.p[i].estimate = learned_estimate(c, &c->offers.p[i].o);
    }
}

void learned_apply(const struct weir_core *c, struct lease *l)
{
    const struct weir_estimate *e = learned_estimate(c, &l->offer);
    l->boot_us = offer_boot_us(&l->offer, e);
    l->reclaim_ppm = weir_estimate_reclaim_ppm(e, l->offer.reclaim_ppm_per_hour);
}

/* Machines that boot may be ready at another time now, and idle ones go at another. */
static void leases_apply(struct weir_core *c)
{
    for (size_t i = 0; i < c->leases.n; i++) {
        struct lease *l = c->leases.p[i];
        int64_t boot_us = l->boot_us;
        if (l->node == NULL) {
            continue;
        }
        learned_apply(c, l);
        if (l->boot_us == boot_us) {
            continue;
        }
        if (lease_boots(l)) {
            for (size_t k = 0; k < l->node->runs.n; k++) {
                run_predict(c, l->node->runs.p[k].run);
                timer_for_run(c, l->node->runs.p[k].run);
            }
            node_index(c, l->node);
            weir_vec_push(&c->touched, l->node);
        }
        timer_for_lease(c, l);
    }
}

void learned_update(struct weir_core *c)
{
    struct learned *k = &c->learned;
    int64_t look = LOOK_MIN * WEIR_US_PER_MIN;
    int64_t as_of = c->now_us - c->now_us % look;
    if (!c->conf.learn_offers || (as_of == k->as_of_us && !k->stale)) {
        return;
    }
    k->as_of_us = as_of;
    k->stale = false;
    size_t n = k->group.n;
    fold(c);
    for (size_t i = 0; i < k->group.n; i++) {
        group_begin(k->group.p[i], as_of / WEIR_US_PER_DAY);
    }
    for (size_t i = 0; i < c->leases.n; i++) {
        if (!weir_sm_is(&weir_sm_lease, c->leases.p[i]->state, WEIR_SM_FINAL)) {
            struct lease_facts f = lease_facts(c, c->leases.p[i]);
            count_now(c, &f);
        }
    }
    for (size_t i = 0; i < k->fresh.n; i++) {
        count_now(c, &k->fresh.p[i]);
    }
    if (estimates_make(c) || k->group.n != n) {
        k->version++;
        learned_apply_offers(c);
        leases_apply(c);
    }
}

void learned_lease_over(struct weir_core *c, const struct lease *l)
{
    if (!c->conf.learn_offers) {
        return;
    }
    struct lease_facts f = lease_facts(c, l);
    weir_vec_push(&c->learned.fresh, f);
    /* what was known of it by the last look is not what is known now: it ended before, or is not what it seemed */
    c->learned.stale = c->learned.stale || f.over_us < c->learned.as_of_us || (f.failed_us == f.over_us && f.intent_us < c->learned.as_of_us);
}

void learned_restore(struct weir_core *c, const struct weir_lease_view *v)
{
    if (c->conf.learn_offers) {
        weir_vec_push(&c->learned.fresh, facts_of(c, v));
        c->learned.stale = true;
    }
}

void learned_release(struct weir_core *c)
{
    for (size_t i = 0; i < c->learned.group.n; i++) {
        weir_vec_release(&c->learned.group.p[i]->day);
        free(c->learned.group.p[i]);
    }
    weir_vec_release(&c->learned.group);
    weir_vec_release(&c->learned.fresh);
}

bool weir_core_learned(const struct weir_core *c, const struct weir_offer *o, struct weir_learned *ret)
{
    struct learned_key offer = key_of(c, o);
    struct learned_key own = key_at(&offer, LEARNED_OFFER);
    struct learned_key all = key_at(&offer, LEARNED_MARKET);
    const struct learned_group *g = group_find(c, &own);
    const struct learned_group *widest = group_find(c, &all);
    const struct weir_estimate *e = learned_estimate(c, o);
    *ret = (struct weir_learned){.offer = o->id,
                                 .boot = {offer_boot_us(o, e)},
                                 .reclaim_ppm_per_hour = weir_estimate_reclaim_ppm(e, o->reclaim_ppm_per_hour),
                                 .lost = {e->lost_us}};
    if (g != NULL) {
        ret->launches = g->seen.boots + g->seen.failures;
        ret->failures = g->seen.failures;
        ret->reclaims = g->seen.reclaims;
        ret->lived.us = g->seen.lived_us;
    }
    if (widest != NULL) {
        ret->launches_of_market = widest->seen.boots + widest->seen.failures;
    }
    return ret->launches_of_market > 0;
}
