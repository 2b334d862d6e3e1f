/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offers: ways to rent a node. Each shape ranks them once per version of the list and number of tasks
 * that would share a machine; what changes from minute to minute (no capacity, an expired price) is
 * looked at when one is about to be chosen.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

enum {
    MEMORY_MAX = 4096,
    LAUNCHES_MIN = 2, /* unanswered at first */
    REFUSED_FREE = 2, /* refusals in a row after which a provider is asked on at once */
    PACE_S = 10,      /* then so much later, twice as much each time */
    SHORT_FREE = 2,   /* machines with other GPUs than promised after which the next of that provider waits */
    SHORT_S = 60,     /* so long, twice as long for each more */
    SHORT_DOUBLED_MAX = 8,
    SHUN_DOUBLED_MAX = 5, /* of an offer: from capacity_memory on */
    ANSWER_S = 60,    /* a launch that is unanswered for so long holds nobody back */
};

/* ---- providers ---- */

uint32_t provider_get(struct weir_core *c, const char *name)
{
    size_t i = 0;
    while (i < c->providers.n && !weir_streq(c->providers.p[i].name, name)) {
        i++;
    }
    if (i == c->providers.n) {
        struct provider p = {0};
        size_t n = strlen(name);
        WEIR_ASSERT(n < sizeof p.name);
        memcpy(p.name, name, n);
        weir_vec_push(&c->providers, p);
        c->paces_known = false;
    }
    return (uint32_t)i;
}

static int offer_cmp(const void *a, const void *b)
{
    const struct offer *x = a;
    const struct offer *y = b;
    return x->o.id < y->o.id ? -1 : x->o.id > y->o.id;
}

/* NULL: it is not offered any more. */
static struct offer *reserved_of(struct weir_core *c, const struct weir_offer *o)
{
    const struct offer key = {.o.id = o->id};
    bool any = o->market == WEIR_OFFER_RESERVED && c->offers.n > 0;
    return any ? bsearch(&key, c->offers.p, c->offers.n, sizeof *c->offers.p, offer_cmp) : NULL;
}

int64_t plan_used(const struct weir_core *c, uint64_t plan)
{
    size_t i = 0;
    while (i < c->plans.n && c->plans.p[i].plan != plan) {
        i++;
    }
    return i < c->plans.n ? c->plans.p[i].micro_per_hour : 0;
}

static void plan_count(struct weir_core *c, const struct weir_offer *o, bool in)
{
    size_t i = 0;
    if (o->market != WEIR_OFFER_RESERVED || o->plan == 0) {
        return;
    }
    while (i < c->plans.n && c->plans.p[i].plan != o->plan) {
        i++;
    }
    if (i == c->plans.n) {
        weir_vec_push(&c->plans, (struct plan_use){.plan = o->plan});
    }
    c->plans.p[i].micro_per_hour += in ? o->price_micro_per_hour : -o->price_micro_per_hour;
    WEIR_ASSERT(c->plans.p[i].micro_per_hour >= 0);
    if (c->plans.p[i].micro_per_hour == 0) { /* a plan that nothing uses is not known */
        c->plans.p[i] = c->plans.p[--c->plans.n];
    }
}

void lease_count(struct weir_core *c, struct lease *l, bool in)
{
    if (weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_FINAL)) {
        return;
    }
    struct provider *p = &c->providers.p[l->provider];
    uint32_t *n = l->confirmed_us == 0 ? &p->asked : &p->made;
    WEIR_ASSERT(in || *n > 0);
    *n += in ? 1u : UINT32_MAX;
    c->paces_known = false;
    plan_count(c, &l->offer, in);
    struct offer *o = reserved_of(c, &l->offer);
    if (o != NULL) {
        WEIR_ASSERT(in || o->leased > 0);
        o->leased += in ? 1u : UINT32_MAX;
    }
}

/* When it may be asked again for one machine, or for many at once, by the refusals that are remembered since a time. */
static int64_t paced_until(const struct weir_core *c, uint32_t provider, int64_t since_us, bool is_gang, uint32_t *ret_n)
{
    int64_t last = 0;
    *ret_n = 0;
    for (size_t i = 0; i < c->memory.n; i++) {
        const struct offer_memory *m = &c->memory.p[i];
        bool counts = m->refusal != WEIR_REFUSAL_FELL_SHORT && (is_gang || !m->gangs_only);
        if (counts && m->place.provider == provider && m->at_us > since_us && m->until_us > c->now_us) {
            last = max_i64(last, m->at_us);
            ++*ret_n;
        }
    }
    if (*ret_n < REFUSED_FREE) {
        return 0;
    }
    uint32_t doubled = *ret_n - REFUSED_FREE < 16 ? *ret_n - REFUSED_FREE : 16;
    int64_t pace = min_i64((PACE_S * WEIR_US_PER_S) << doubled, c->conf.capacity_memory.us);
    return weir_i64_add_sat(last, pace);
}

/*
 * Machines that came with other GPUs than promised, one offer after the other, are the provider's or the image's doing: trying
 * all of its offers would cost a boot each. A good one clears that.
 */
static int64_t shunned_until(const struct weir_core *c, uint32_t provider)
{
    int64_t last = 0;
    uint32_t n = 0;
    for (size_t i = 0; i < c->memory.n; i++) {
        const struct offer_memory *m = &c->memory.p[i];
        if (m->refusal == WEIR_REFUSAL_FELL_SHORT && m->place.provider == provider && m->at_us > c->providers.p[provider].good_us &&
            m->until_us > c->now_us) {
            last = max_i64(last, m->at_us);
            n++;
        }
    }
    if (n < SHORT_FREE) {
        return 0;
    }
    uint32_t doubled = n - SHORT_FREE < SHORT_DOUBLED_MAX ? n - SHORT_FREE : SHORT_DOUBLED_MAX;
    return weir_i64_add_sat(last, (SHORT_S * WEIR_US_PER_S) << doubled);
}

static bool is_mute(const struct weir_core *c, uint32_t provider)
{
    for (size_t i = 0; i < c->leases.n && c->providers.p[provider].asked > 0; i++) {
        const struct lease *l = c->leases.p[i];
        if (l->provider == provider && l->state == WEIR_LEASE_INTENT && c->now_us - l->intent_us >= ANSWER_S * WEIR_US_PER_S) {
            return true;
        }
    }
    return false;
}

struct pace pace_anew(const struct weir_core *c, uint32_t provider)
{
    const struct provider *p = &c->providers.p[provider];
    uint32_t refused = 0;
    /* the first machines of a gang come to be each time, and are of no use: they are no sign of room for the rest */
    struct pace r = {.mute = is_mute(c, provider), .closed_gang_us = paced_until(c, provider, 0, true, &refused), .shunned_us = shunned_until(c, provider)};
    r.closed_us = paced_until(c, provider, p->made_us, false, &refused);
    r.limit = refused > 0 ? 1 : p->made > LAUNCHES_MIN ? p->made : LAUNCHES_MIN;
    return r;
}

void paces_update(struct weir_core *c)
{
    if (c->paces_known && c->paces_us == c->now_us) {
        return;
    }
    for (uint32_t i = 0; i < c->providers.n; i++) {
        c->providers.p[i].pace = pace_anew(c, i);
    }
    c->any_mute = false;
    for (uint32_t i = 0; i < c->providers.n; i++) {
        c->any_mute = c->any_mute || c->providers.p[i].pace.mute;
    }
    c->paces_known = true;
    c->paces_us = c->now_us;
}

bool offer_is_held(const struct weir_core *c, uint32_t provider, uint32_t nodes)
{
    const struct provider *p = &c->providers.p[provider];
    return p->asked > 0 && p->asked + nodes > p->pace.limit; /* a gang goes out as a whole */
}

/* ---- what was refused ---- */

/* Where the offer's entries begin. */
static size_t memory_find(const struct weir_core *c, uint64_t offer)
{
    size_t lo = 0;
    size_t hi = c->memory.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->memory.p[mid].id < offer) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct place_of_machines place_of(struct weir_core *c, const struct weir_offer *o)
{
    struct place_of_machines p = {.provider = provider_get(c, o->provider),
                                  .gpu_model = o->gpus == 0 ? (uint16_t)WEIR_GPU_MODEL_ANY : o->gpu_model,
                                  .market = o->market};
    memcpy(p.region, o->region, sizeof p.region);
    memcpy(p.zone, o->zone, sizeof p.zone);
    return p;
}

void offer_remember(struct weir_core *c, const struct weir_offer *o, const struct refused *r)
{
    const struct offer_memory m = {.lease = r->lease,
                                   .id = o->id,
                                   .place = place_of(c, o),
                                   .task = r->task,
                                   .intent_us = r->intent_us,
                                   .at_us = r->at_us,
                                   .until_us = r->until_us,
                                   .refusal = r->refusal};
    size_t kept = 0;
    for (size_t i = 0; i < c->memory.n; i++) {
        const struct offer_memory *x = &c->memory.p[i];
        if (x->until_us > c->now_us && x->lease != m.lease) {
            c->memory.p[kept++] = *x;
        }
    }
    c->memory.n = kept;
    c->paces_known = false;
    if (c->memory.n == MEMORY_MAX) {
        return;
    }
    size_t at = memory_find(c, m.id);
    while (at < c->memory.n && c->memory.p[at].id == m.id && c->memory.p[at].lease > m.lease) {
        at++;
    }
    weir_vec_push(&c->memory, m);
    c->memory_until_us = max_i64(c->memory_until_us, m.until_us);
    memmove(&c->memory.p[at + 1], &c->memory.p[at], (c->memory.n - 1 - at) * sizeof *c->memory.p);
    c->memory.p[at] = m;
}

void offer_remember_given_up(struct weir_core *c, const struct weir_offer *o, struct refused r)
{
    /* what falls short is remembered for longer than it counts: the more of them, the longer it does */
    bool fell_short = r.refusal == WEIR_REFUSAL_FELL_SHORT;
    r.until_us = weir_i64_add_sat(r.at_us, fell_short ? WEIR_US_PER_DAY : c->conf.capacity_memory.us);
    offer_remember(c, o, &r);
}

/*
 * Want of capacity is a matter of the hardware: of one region, of one zone where both name one, of one GPU model, since sizes
 * of machines share hosts; spot and on demand too, but what is reserved lies apart. A quota is a region's, by market, and
 * counts machines of all kinds.
 */
static bool is_of_place(const struct offer_memory *m, const struct place_of_machines *p)
{
    if (m->place.provider != p->provider || !weir_streq(m->place.region, p->region)) {
        return false;
    }
    if (m->refusal == WEIR_REFUSAL_QUOTA) {
        return m->place.market == p->market;
    }
    bool zone = m->place.zone[0] == '\0' || p->zone[0] == '\0' || weir_streq(m->place.zone, p->zone);
    bool apart = (m->place.market == WEIR_OFFER_RESERVED) != (p->market == WEIR_OFFER_RESERVED);
    return m->refusal == WEIR_REFUSAL_NO_CAPACITY && zone && !apart && m->place.gpu_model == p->gpu_model;
}

/* Were both asked for at once, for one gang? */
static bool is_fellow(const struct offer_memory *m, const struct lease_past *was)
{
    return m->task.job.v == was->task.job.v && m->task.ordinal == was->task.ordinal && m->intent_us == was->from_us;
}

bool offers_forget(struct weir_core *c, const struct lease_past *was)
{
    size_t kept = 0;
    bool any = false;
    for (size_t i = 0; i < c->memory.n; i++) {
        struct offer_memory m = c->memory.p[i];
        bool there = was->from_us <= m.at_us && m.at_us < was->to_us && is_of_place(&m, &was->place);
        any = any || (there && !m.gangs_only);
        if (there && is_fellow(&m, was)) { /* there is room for some of them again, as there was before, but not for all */
            m.gangs_only = true;
            there = false;
        }
        if (!there) {
            c->memory.p[kept++] = m;
        } else {
            any = true;
        }
    }
    c->memory.n = kept;
    c->paces_known = c->paces_known && !any;
    return any;
}

static enum weir_verdict verdict_of(uint8_t refusal)
{
    return refusal == WEIR_REFUSAL_QUOTA ? WEIR_VERDICT_QUOTA : refusal == WEIR_REFUSAL_NO_CAPACITY ? WEIR_VERDICT_NO_CAPACITY : WEIR_VERDICT_FAILED;
}

/*
 * How long the offer is left alone for machines that fell short: for capacity_memory after the first of a day, twice as long
 * after each further one that was rented when the one before was known. Its entries, from the newest lease on, begin at first.
 */
static int64_t fell_short_until(const struct weir_core *c, size_t first, size_t end)
{
    int64_t known_us = INT64_MIN;
    int64_t last = 0;
    uint32_t doubled = 0;
    for (size_t i = end; i-- > first;) {
        const struct offer_memory *m = &c->memory.p[i];
        if (m->refusal != WEIR_REFUSAL_FELL_SHORT || m->until_us <= c->now_us) {
            continue;
        }
        bool again = last > 0 && m->intent_us >= known_us;
        doubled += again && doubled < SHUN_DOUBLED_MAX;
        known_us = again || last == 0 ? m->at_us : min_i64(known_us, m->at_us);
        last = max_i64(last, m->at_us);
    }
    return last == 0 ? 0 : weir_i64_add_sat(last, c->conf.capacity_memory.us << doubled);
}

/* Was it refused for want of capacity in a zone that the offer leaves open, and another one than this? */
static bool was_elsewhere(const struct offer_memory *m, const struct weir_offer *o, const char *zone)
{
    return m->refusal == WEIR_REFUSAL_NO_CAPACITY && !weir_streq(m->place.zone, o->zone) && !weir_streq(m->place.zone, zone);
}

enum weir_verdict offer_remembered(const struct weir_core *c, const struct weir_offer *o, const char *zone, bool is_gang, int64_t *ret_until_us)
{
    size_t first = c->memory.n == 0 ? 0 : memory_find(c, o->id);
    size_t end = first;
    for (; end < c->memory.n && c->memory.p[end].id == o->id; end++) {
        const struct offer_memory *m = &c->memory.p[end];
        if (m->refusal != WEIR_REFUSAL_FELL_SHORT && m->until_us > c->now_us && (is_gang || !m->gangs_only) && !was_elsewhere(m, o, zone)) {
            *ret_until_us = m->until_us;
            return verdict_of(m->refusal);
        }
    }
    *ret_until_us = fell_short_until(c, first, end);
    return c->now_us < *ret_until_us ? WEIR_VERDICT_FAILED : WEIR_VERDICT_CHOSEN;
}

static bool plan_has(const struct weir_core *c, const struct weir_offer *o, uint32_t nodes)
{
    int64_t more = weir_mul_div_sat(o->price_micro_per_hour, nodes, 1);
    return o->plan == 0 || weir_i64_add_sat(plan_used(c, o->plan), more) <= o->plan_micro_per_hour;
}

static bool reserved_has(const struct weir_core *c, const struct offer *o, uint32_t nodes)
{
    return o->leased <= o->o.machines_max && nodes <= o->o.machines_max - o->leased && plan_has(c, &o->o, nodes);
}

/* Is it taken back before the work would be done there, or be saved for the first time? */
static bool ends_too_soon(const struct weir_core *c, const struct ranked_offer *o, const struct weir_offer *offer, const struct weir_request *r)
{
    int64_t stretch_us = r->checkpoint_every.us > 0 ? min_i64(r->checkpoint_every.us, o->run_us) : o->run_us;
    return offer->ends.us != 0 && weir_i64_add_sat(c->now_us, weir_i64_add_sat(o->start_us, stretch_us)) > offer->ends.us;
}

enum weir_verdict offer_blocked(const struct weir_core *c, const struct ranked_offer *o, const struct weir_request *r, int64_t *ret_until_us)
{
    const struct pace *p = &c->providers.p[o->provider].pace;
    const struct weir_offer *offer = &c->offers.p[o->offer].o;
    int64_t closed_us = r->nodes > 1 ? p->closed_gang_us : p->closed_us;
    if (o->expires_us <= c->now_us) {
        return WEIR_VERDICT_STALE_PRICE;
    }
    if (o->reserved && !reserved_has(c, &c->offers.p[o->offer], r->nodes)) {
        *ret_until_us = US_NEVER; /* the end of a lease of it is an event */
        return WEIR_VERDICT_NO_CAPACITY;
    }
    if (o->reserved && ends_too_soon(c, o, offer, r)) {
        *ret_until_us = US_NEVER;
        return WEIR_VERDICT_ENDS;
    }
    int64_t until_us = 0;
    char zone[WEIR_REGION_SIZE];
    enum weir_verdict v = wants_one_zone(r) ? zone_choose(c, offer, zone, &until_us) : offer_remembered(c, offer, offer->zone, r->nodes > 1, &until_us);
    if (v == WEIR_VERDICT_CHOSEN && c->now_us < p->shunned_us && offer->gpus > 0) {
        v = WEIR_VERDICT_FAILED;
        until_us = p->shunned_us;
    }
    *ret_until_us = max_i64(until_us, closed_us);
    if (v != WEIR_VERDICT_CHOSEN) {
        return v;
    }
    return c->now_us < closed_us ? WEIR_VERDICT_NO_CAPACITY : WEIR_VERDICT_CHOSEN;
}

static bool text_ends(const char *p, size_t n)
{
    return memchr(p, 0, n) != NULL;
}

bool offer_is_sane(const struct weir_core *c, const struct weir_offer *o)
{
    if (o->gpus > 0 && o->gpu_model >= weir_gpu_table_count(c->conf.gpus)) {
        return false;
    }
    return o->id != 0 && o->market < WEIR_OFFER_MARKET_MAX && o->gpus <= WEIR_NODE_GPUS_MAX &&
           o->cpu_milli > 0 && o->price_micro_per_hour >= 0 && o->boot_expected.us >= 0 &&
           o->bill_quantum.us >= 0 && o->bill_minimum.us >= 0 &&
           o->bill_quantum.us <= 366 * WEIR_US_PER_DAY &&
           o->bill_minimum.us <= 366 * WEIR_US_PER_DAY && o->egress_micro_per_gib >= 0 &&
           o->ends.us >= 0 && o->plan_micro_per_hour >= 0 && text_ends(o->provider, sizeof o->provider) && text_ends(o->region, sizeof o->region) &&
           text_ends(o->zone, sizeof o->zone) &&
           text_ends(o->instance_type, sizeof o->instance_type) &&
           text_ends(o->source, sizeof o->source);
}

static void kinds_release(struct weir_core *c)
{
    for (size_t i = 0; i < c->offer_kinds.n; i++) {
        weir_vec_release(&c->offer_kinds.p[i].offer);
    }
    weir_vec_release(&c->offer_kinds);
}

void offers_release(struct weir_core *c)
{
    kinds_release(c);
    zones_release(c);
    weir_vec_release(&c->scored);
    weir_vec_release(&c->offers);
    weir_vec_release(&c->memory);
    weir_vec_release(&c->past);
    weir_vec_release(&c->providers);
    weir_vec_release(&c->provider_quotas);
    weir_vec_release(&c->plans);
}

static void kinds_fill(struct weir_core *c)
{
    kinds_release(c);
    for (size_t i = 0; i < c->offers.n; i++) {
        const struct weir_offer *o = &c->offers.p[i].o;
        uint16_t model = o->gpus == 0 ? WEIR_GPU_MODEL_ANY : o->gpu_model;
        size_t k = 0;
        while (k < c->offer_kinds.n && c->offer_kinds.p[k].model != model) {
            k++;
        }
        if (k == c->offer_kinds.n) {
            weir_vec_push(&c->offer_kinds, (struct offer_kind){.model = model});
        }
        weir_vec_push(&c->offer_kinds.p[k].offer, (uint32_t)i);
    }
}

static void reserved_count(struct weir_core *c)
{
    for (size_t i = 0; i < c->offers.n; i++) {
        c->offers.p[i].leased = 0;
    }
    for (size_t i = 0; i < c->leases.n; i++) {
        struct offer *o = reserved_of(c, &c->leases.p[i]->offer);
        if (o != NULL && !weir_sm_is(&weir_sm_lease, c->leases.p[i]->state, WEIR_SM_FINAL)) {
            o->leased++;
        }
    }
}

void offers_set(struct weir_core *c, const char *provider, const struct weir_offer *o, size_t n)
{
    size_t keep = 0;
    if (provider == NULL) {
        return;
    }
    for (size_t i = 0; i < c->offers.n; i++) {
        if (!weir_streq(c->offers.p[i].o.provider, provider)) {
            c->offers.p[keep++] = c->offers.p[i];
        }
    }
    c->offers.n = keep;
    for (size_t i = 0; i < n; i++) {
        if (offer_is_sane(c, &o[i]) && weir_streq(o[i].provider, provider)) {
            weir_vec_push(&c->offers, (struct offer){.o = o[i], .provider = provider_get(c, provider), .estimate = learned_estimate(c, &o[i])});
        }
    }
    if (c->offers.n > 0) {
        qsort(c->offers.p, c->offers.n, sizeof *c->offers.p, offer_cmp);
    }
    reserved_count(c);
    kinds_fill(c);
    provider_quotas_index(c);
    for (size_t i = 0; i < c->providers.n; i++) {
        c->providers.p[i].held = false; /* the review finds out anew */
    }
    c->offers_version++;
    c->world++;
    c->review = true;
    c->offer_gpu_price_min = INT64_MAX;
    for (size_t i = 0; i < c->offers.n; i++) {
        const struct weir_offer *x = &c->offers.p[i].o;
        if (x->launchable) {
            int64_t per = offer_marginal(x) / (x->gpus == 0 ? 1 : x->gpus);
            c->offer_gpu_price_min = min_i64(c->offer_gpu_price_min, per);
        }
    }
}

static bool any_glob(const char *pattern, size_t stride, uint32_t n, const char *text)
{
    for (uint32_t i = 0; i < n; i++) {
        if (weir_glob_match(weir_sv_of(pattern + i * stride), weir_sv_of(text))) {
            return true;
        }
    }
    return n == 0;
}

static enum weir_verdict hardware_verdict(const struct weir_core *c,
                                          const struct weir_request *r,
                                          const struct weir_offer *o,
                                          struct type_fit *ret)
{
    enum weir_verdict worst = r->alternatives == 0 ? WEIR_VERDICT_CHOSEN : WEIR_VERDICT_WRONG_GPU;
    ret->gpus = 0;
    ret->alternative = 0;
    for (uint32_t i = 0; i < r->alternatives; i++) {
        const struct weir_gpu_wish *w = &r->alternative[i];
        if (o->gpus == 0 || !weir_gpu_table_match(c->conf.gpus, w->model, o->gpu_model)) {
            continue;
        }
        if (o->gpu_mem_mib < r->gpu_mem_mib_min) {
            worst = worst == WEIR_VERDICT_WRONG_GPU ? WEIR_VERDICT_GPU_MEMORY : worst;
            continue;
        }
        if (w->count > o->gpus) {
            worst = WEIR_VERDICT_TOO_SMALL;
            continue;
        }
        ret->gpus = w->count;
        ret->alternative = (uint8_t)i;
        worst = WEIR_VERDICT_CHOSEN;
        break;
    }
    if (worst == WEIR_VERDICT_CHOSEN && (r->cpu_milli > o->cpu_milli || r->mem_mib > o->mem_mib)) {
        worst = WEIR_VERDICT_TOO_SMALL;
    }
    return worst;
}

enum weir_verdict offer_verdict(const struct weir_core *c,
                                const struct weir_request *r,
                                const struct weir_offer *o,
                                struct type_fit *ret)
{
    enum weir_verdict v = hardware_verdict(c, r, o, ret);
    if (v != WEIR_VERDICT_CHOSEN) {
        return v;
    }
    if (r->local == WEIR_LOCAL_ONLY ||
        !any_glob(&r->cloud[0][0], sizeof r->cloud[0], r->clouds, o->provider) ||
        !any_glob(&r->region[0][0], sizeof r->region[0], r->regions, o->region)) {
        return WEIR_VERDICT_PLACEMENT;
    }
    if (!policy_allows_offer(c, r, o)) {
        return WEIR_VERDICT_POLICY;
    }
    bool spot = o->market == WEIR_OFFER_SPOT;
    if ((r->market == WEIR_MARKET_ON_DEMAND && spot) || (r->market == WEIR_MARKET_SPOT && !spot)) {
        return WEIR_VERDICT_MARKET;
    }
    if (o->price_micro_per_hour <= 0) {
        return WEIR_VERDICT_STALE_PRICE;
    }
    if (wants_one_zone(r) && !zone_is_known(c, o)) {
        return WEIR_VERDICT_ZONE;
    }
    return o->launchable ? WEIR_VERDICT_CHOSEN : WEIR_VERDICT_NOT_LAUNCHABLE;
}

/* ---- ranking ---- */

static uint32_t fits_at_once(const struct weir_request *r, const struct weir_offer *o, uint32_t gpus)
{
    uint64_t n = UINT32_MAX;
    if (gpus > 0) {
        n = o->gpus / gpus;
    }
    if (r->cpu_milli > 0 && o->cpu_milli / r->cpu_milli < n) {
        n = o->cpu_milli / r->cpu_milli;
    }
    if (r->mem_mib > 0 && o->mem_mib / r->mem_mib < n) {
        n = o->mem_mib / r->mem_mib;
    }
    return n == 0 ? 1 : n > 1024 ? 1024 : (uint32_t)n;
}

/* What takes longer than a hundred years is not told apart. */
#define LOSS_US_MAX (100 * 365 * WEIR_US_PER_DAY)
#define BILLION INT64_C(1000000000)

/* e^x - 1, and (e^x - 1 - x) / x; all in billionths, x in 0..20 (e^20 attempts are never). */
static void exp_rest(int64_t x, int64_t *ret_e, int64_t *ret_g)
{
    unsigned halved = 0;
    int64_t z = x;
    for (; z > BILLION / 2; halved++) {
        z /= 2;
    }
    int64_t e = 0;
    int64_t g = 0;
    int64_t term = BILLION;
    for (int64_t k = 1; k <= 10; k++) {
        term = weir_mul_div_sat(term, z, BILLION * k);
        e += term;
        g += term / (k + 1);
    }
    for (unsigned i = 0; i < halved; i++) { /* e^2z - 1 = (e^z - 1)(e^z + 1) */
        e = weir_mul_div_sat(e, e + 2 * BILLION, BILLION);
    }
    *ret_e = e;
    *ret_g = halved == 0 ? g : weir_mul_div_sat(max_i64(e - x, 0), BILLION, x);
}

/*
 * What reclaims are expected to add to a stretch of work that begins anew, with another start, whenever any of its machines is taken
 * back. With reclaims at rate q a stretch of length T takes (e^qT - 1)(1/q + S) on average; half of qT is lost, as one would think at
 * first, only while reclaims are few.
 */
static int64_t loss_of_stretch_us(int64_t stretch_us, int64_t start_us, int64_t ppm_per_hour)
{
    int64_t x = weir_mul_div_sat(weir_mul_div_sat(ppm_per_hour, 1000, 1), stretch_us, WEIR_US_PER_HOUR);
    if (x >= 20 * BILLION) {
        return LOSS_US_MAX;
    }
    int64_t e, g;
    exp_rest(x, &e, &g);
    return weir_i64_add_sat(weir_mul_div_sat(stretch_us, g, BILLION), weir_mul_div_sat(start_us, e, BILLION));
}

int64_t reclaim_loss_us(const struct weir_request *r, const struct weir_offer *o, uint32_t reclaim_ppm, int64_t run_us, int64_t start_us)
{
    if (o->market != WEIR_OFFER_SPOT || reclaim_ppm == 0 || run_us <= 0) {
        return 0;
    }
    int64_t ppm_per_hour = weir_mul_div_sat(reclaim_ppm, r->nodes, 1);
    int64_t stretch_us = r->checkpoint_every.us > 0 ? min_i64(r->checkpoint_every.us, run_us) : run_us;
    int64_t loss_us = weir_mul_div_sat(loss_of_stretch_us(stretch_us, start_us, ppm_per_hour), run_us, stretch_us);
    return min_i64(loss_us, LOSS_US_MAX);
}

/* What the task's part of the machines is charged per hour. */
static int64_t offer_rate(const struct weir_request *r, const struct weir_offer *o, uint8_t alternative)
{
    int64_t rate = r->alternatives > 0 ? weir_mul_div_sat(o->price_micro_per_hour, r->alternative[alternative].count, o->gpus)
                                       : weir_mul_div_sat(o->price_micro_per_hour, r->cpu_milli, o->cpu_milli);
    return weir_mul_div_sat(rate, r->nodes, 1);
}

/* False where its cost alone is above most. */
static bool rank_one(const struct weir_core *c, const struct shape *s, const struct fitting_offer *f, uint32_t n_sharing, int64_t most_micro, struct ranked_offer *ret)
{
    const struct weir_offer *o = &c->offers.p[f->offer].o;
    const struct weir_request *r = &s->req;
    uint32_t throughput = 1000;
    if (o->gpus > 0) {
        throughput = weir_gpu_table_get(c->conf.gpus, o->gpu_model)->throughput_milli;
    }
    int64_t stage = stage_time_us(c, r);
    const struct weir_estimate *e = c->offers.p[f->offer].estimate;
    *ret = (struct ranked_offer){.id = o->id,
                                 .expires_us = o->expires.us,
                                 .offer = f->offer,
                                 .provider = c->offers.p[f->offer].provider,
                                 .alternative = f->alternative,
                                 .spot = o->market == WEIR_OFFER_SPOT,
                                 .reserved = o->market == WEIR_OFFER_RESERVED};
    uint32_t per_node = r->nodes > 1 ? 1 : fits_at_once(r, o, f->gpus);
    ret->run_us = run_time_on(s, throughput == 0 ? 1000 : throughput);
    int64_t share = per_node < n_sharing ? per_node : n_sharing;
    int64_t least = weir_mul_div_sat(offer_marginal(o), ret->run_us, WEIR_US_PER_HOUR);
    if (most_micro < INT64_MAX && weir_mul_div_sat(least, r->nodes, share) > most_micro) {
        return false;
    }
    ret->rate_micro = offer_rate(r, o, f->alternative);
    ret->boot_us = offer_boot_us(o, e);
    ret->start_us = weir_i64_add_sat(ret->boot_us, stage);
    int64_t quantum = max_i64(o->bill_quantum.us, 1);
    int64_t billed = max_i64(weir_i64_add_sat(ret->run_us, ret->start_us), o->bill_minimum.us);
    billed = weir_i64_add_sat(billed, quantum - 1) / quantum * quantum;
    int64_t whole = weir_mul_div_sat(offer_marginal(o), billed, WEIR_US_PER_HOUR);
    whole = weir_mul_div_sat(whole, r->nodes, share);
    ret->boot_micro = weir_mul_div_sat(
        weir_mul_div_sat(offer_marginal(o), ret->start_us, WEIR_US_PER_HOUR), r->nodes, share);
    ret->boot_micro = min_i64(ret->boot_micro, whole);
    ret->cost_micro = whole - ret->boot_micro;
    ret->egress_micro = weir_mul_div_sat(o->egress_micro_per_gib,
                                         (int64_t)(r->stage_bytes >> 20), 1024);
    ret->fail_us = e->lost_us;
    ret->fail_micro = weir_mul_div_sat(weir_mul_div_sat(offer_marginal(o), e->paid_us, WEIR_US_PER_HOUR), r->nodes, share);
    ret->reclaim_ppm = weir_estimate_reclaim_ppm(e, o->reclaim_ppm_per_hour);
    ret->lost_us = reclaim_loss_us(r, o, ret->reclaim_ppm, ret->run_us, ret->start_us);
    ret->reclaim_micro = weir_mul_div_sat(
        weir_mul_div_sat(o->price_micro_per_hour, ret->lost_us, WEIR_US_PER_HOUR), r->nodes, share);
    return true;
}

static int scored_cmp(const void *a, const void *b)
{
    const struct scored_offer *x = a;
    const struct scored_offer *y = b;
    if (x->score != y->score) {
        return x->score < y->score ? -1 : 1;
    }
    if (x->price != y->price) {
        return x->price < y->price ? -1 : 1;
    }
    return x->id < y->id ? -1 : x->id > y->id;
}

static int64_t score_of(const struct weir_core *c, const struct shape *s, const struct ranked_offer *r)
{
    int64_t delay = s->req.delay_cost_micro_per_hour >= 0 ? s->req.delay_cost_micro_per_hour
                                                          : c->conf.delay_cost_micro_per_hour;
    int64_t wait = weir_mul_div_sat(delay, ranked_delay_us(r), WEIR_US_PER_HOUR);
    return weir_i64_add_sat(weir_i64_add_sat(r->cost_micro, weir_i64_add_sat(r->boot_micro, r->fail_micro)),
                            weir_i64_add_sat(weir_i64_add_sat(r->egress_micro, r->reclaim_micro),
                                             wait));
}

static bool wants_kind(const struct weir_core *c, const struct weir_request *r, uint16_t model)
{
    bool wants = r->alternatives == 0;
    for (uint32_t i = 0; i < r->alternatives && model != WEIR_GPU_MODEL_ANY; i++) {
        wants = wants || weir_gpu_table_match(c->conf.gpus, r->alternative[i].model, model);
    }
    return wants;
}

/* Brings the want's offers up to date. */
static void fit_offers(struct weir_core *c, struct want *w)
{
    if (w->offers_version == c->offers_version) {
        return;
    }
    w->offers_version = c->offers_version;
    zones_update(c);
    weir_vec_clear(&w->offer);
    memset(w->rejected, 0, sizeof w->rejected);
    w->rejected_mask = 0;
    for (size_t k = 0; k < c->offer_kinds.n; k++) {
        const struct offer_kind *kind = &c->offer_kinds.p[k];
        if (!wants_kind(c, w->asks, kind->model)) {
            w->rejected[WEIR_VERDICT_WRONG_GPU] += (uint32_t)kind->offer.n;
            continue;
        }
        for (size_t i = 0; i < kind->offer.n; i++) {
            struct type_fit f;
            enum weir_verdict v = offer_verdict(c, w->asks, &c->offers.p[kind->offer.p[i]].o, &f);
            if (v == WEIR_VERDICT_CHOSEN) {
                weir_vec_push(&w->offer, (struct fitting_offer){kind->offer.p[i], f.gpus, f.alternative});
            } else {
                w->rejected[v]++;
            }
        }
    }
    for (uint32_t v = 0; v < WEIR_VERDICT_MAX; v++) {
        w->rejected_mask |= (uint64_t)(w->rejected[v] > 0) << v;
    }
}

/* c->scored as a heap, the worst first: the next worst takes the place of the one that is put elsewhere. */
static void scored_down(struct weir_core *c, const struct scored_offer *x)
{
    struct scored_offer *p = c->scored.p;
    size_t i = 0;
    for (size_t k = 1; k < c->scored.n; k = 2 * i + 1) {
        if (k + 1 < c->scored.n && scored_cmp(&p[k], &p[k + 1]) < 0) {
            k++;
        }
        if (scored_cmp(&p[k], x) <= 0) {
            break;
        }
        p[i] = p[k];
        i = k;
    }
    p[i] = *x;
}

static void scored_up(struct weir_core *c, const struct scored_offer *x)
{
    weir_vec_push(&c->scored, *x);
    size_t i = c->scored.n - 1;
    while (i > 0 && scored_cmp(&c->scored.p[(i - 1) / 2], x) < 0) {
        c->scored.p[i] = c->scored.p[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    c->scored.p[i] = *x;
}

struct ranking *offers_rank(struct weir_core *c, struct shape *s, uint64_t n_sharing, bool whole)
{
    uint32_t bucket = 0;
    while (bucket + 1 < RANKINGS && (UINT64_C(2) << bucket) <= n_sharing) {
        bucket++;
    }
    struct ranking *k = &s->ranking[bucket];
    if (k->p != NULL && k->version == c->offers_version && k->learned == c->learned.version && (k->whole || !whole)) {
        return k;
    }
    struct want *w = s->want;
    fit_offers(c, w);
    size_t most = whole ? SIZE_MAX : RANKED_MAX;
    weir_vec_clear(&c->scored);
    for (size_t i = 0; i < w->offer.n; i++) {
        const struct weir_offer *o = &c->offers.p[w->offer.p[i].offer].o;
        struct scored_offer x = {.price = o->price_micro_per_hour, .id = o->id};
        int64_t worst = c->scored.n < most ? INT64_MAX : c->scored.p[0].score;
        if (!rank_one(c, s, &w->offer.p[i], 1u << bucket, worst, &x.r)) {
            continue;
        }
        x.score = score_of(c, s, &x.r);
        if (c->scored.n < most) {
            scored_up(c, &x);
        } else if (scored_cmp(&x, &c->scored.p[0]) < 0) {
            scored_down(c, &x);
        }
    }
    size_t n = c->scored.n;
    if (n > 0) {
        qsort(c->scored.p, n, sizeof *c->scored.p, scored_cmp);
    }
    free(k->p);
    k->p = weir_calloc(n, sizeof *k->p);
    k->n = n;
    k->version = c->offers_version;
    k->learned = c->learned.version;
    k->whole = n == w->offer.n;
    k->summed = false;
    for (size_t i = 0; i < n; i++) {
        k->p[i] = c->scored.p[i].r;
    }
    return k;
}

void ranking_sum(struct ranking *k, int64_t delay_cost)
{
    k->summed = true;
    k->has_reserved = false;
    k->delay_cost = delay_cost;
    k->least_micro = INT64_MAX;
    k->expires_us = INT64_MAX;
    for (size_t i = 0; i < k->n && i < OFFERS_LOOKED_MAX; i++) {
        const struct ranked_offer *r = &k->p[i];
        int64_t wait = weir_mul_div_sat(delay_cost, ranked_delay_us(r), WEIR_US_PER_HOUR);
        int64_t total = weir_i64_add_sat(weir_i64_add_sat(weir_i64_add_sat(r->cost_micro, weir_i64_add_sat(r->boot_micro, r->fail_micro)),
                                                          weir_i64_add_sat(r->egress_micro, r->reclaim_micro)),
                                         wait);
        k->least_micro = min_i64(k->least_micro, total);
        k->expires_us = min_i64(k->expires_us, r->expires_us);
        k->has_reserved = k->has_reserved || r->reserved;
    }
}
