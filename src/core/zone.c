/* SPDX-License-Identifier: Apache-2.0 */
#include "core/zone_priv.h"

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

/* ---- nodes ---- */

bool type_zone_same(const struct node_type *a, const struct node_type *b)
{
    if (a->rented != b->rented || !weir_streq(a->region, b->region)) {
        return false;
    }
    return a->rented ? a->zone[0] != '\0' && weir_streq(a->provider, b->provider) && weir_streq(a->zone, b->zone) : a->pool.v == b->pool.v;
}

bool types_are_mates(const struct shape *s, const struct node_type *a, const struct node_type *b)
{
    return a->gpu_model == b->gpu_model && a->rented == b->rented && (!wants_one_zone(&s->req) || type_zone_same(a, b));
}

bool type_leads(struct weir_core *c, struct shape *s, size_t type)
{
    const struct node_type *t = c->types.p[type];
    for (size_t i = 0; i < type; i++) {
        const struct node_type *x = c->types.p[i];
        if (types_are_mates(s, x, t) && shape_fit(c, s, x).verdict == WEIR_VERDICT_CHOSEN) {
            return false;
        }
    }
    return shape_fit(c, s, t).verdict == WEIR_VERDICT_CHOSEN;
}

bool type_leads_zone(struct weir_core *c, struct shape *s, size_t type)
{
    const struct node_type *t = c->types.p[type];
    for (size_t i = 0; i < type; i++) {
        const struct node_type *x = c->types.p[i];
        if (type_zone_same(x, t) && shape_fit(c, s, x).verdict == WEIR_VERDICT_CHOSEN) {
            return false;
        }
    }
    return shape_fit(c, s, t).verdict == WEIR_VERDICT_CHOSEN;
}

/* ---- offers ---- */

static int kind_cmp(const struct machine_zone *a, const struct machine_zone *b)
{
    int r = strcmp(a->provider, b->provider);
    r = r != 0 ? r : strcmp(a->region, b->region);
    return r != 0 ? r : strcmp(a->instance_type, b->instance_type);
}

static int zone_cmp(const void *a, const void *b)
{
    const struct machine_zone *x = a;
    const struct machine_zone *y = b;
    int r = kind_cmp(x, y);
    return r != 0 ? r : strcmp(x->zone, y->zone);
}

static struct machine_zone zone_of(const struct weir_offer *o)
{
    struct machine_zone z;
    memcpy(z.provider, o->provider, sizeof z.provider);
    memcpy(z.region, o->region, sizeof z.region);
    memcpy(z.instance_type, o->instance_type, sizeof z.instance_type);
    memcpy(z.zone, o->zone, sizeof z.zone);
    return z;
}

void zones_update(struct weir_core *c)
{
    struct zones *z = &c->zones;
    if (z->version == c->offers_version) {
        return;
    }
    z->version = c->offers_version;
    weir_vec_clear(&z->p);
    for (size_t i = 0; i < c->offers.n; i++) {
        if (c->offers.p[i].o.zone[0] != '\0') {
            weir_vec_push(&z->p, zone_of(&c->offers.p[i].o));
        }
    }
    if (z->p.n > 0) {
        qsort(z->p.p, z->p.n, sizeof *z->p.p, zone_cmp);
    }
    size_t kept = 0;
    for (size_t i = 0; i < z->p.n; i++) {
        if (kept == 0 || zone_cmp(&z->p.p[kept - 1], &z->p.p[i]) != 0) {
            z->p.p[kept++] = z->p.p[i];
        }
    }
    z->p.n = kept;
}

void zones_release(struct weir_core *c)
{
    weir_vec_release(&c->zones.p);
}

/* Where those of the offer's type and region begin. */
static size_t zones_find(const struct weir_core *c, const struct machine_zone *kind)
{
    size_t lo = 0;
    size_t hi = c->zones.p.n;
    WEIR_ASSERT(c->zones.version == c->offers_version);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (kind_cmp(&c->zones.p.p[mid], kind) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

bool zone_is_known(const struct weir_core *c, const struct weir_offer *o)
{
    const struct machine_zone kind = zone_of(o);
    size_t at = o->zone[0] != '\0' ? 0 : zones_find(c, &kind);
    return o->zone[0] != '\0' || (at < c->zones.p.n && kind_cmp(&c->zones.p.p[at], &kind) == 0);
}

enum weir_verdict zone_choose(const struct weir_core *c, const struct weir_offer *o, char ret[static WEIR_REGION_SIZE], int64_t *ret_until_us)
{
    const struct machine_zone kind = zone_of(o);
    enum weir_verdict best = WEIR_VERDICT_ZONE;
    int64_t best_until_us = INT64_MAX;
    if (o->zone[0] != '\0') {
        memcpy(ret, o->zone, sizeof o->zone);
        return offer_remembered(c, o, o->zone, true, ret_until_us);
    }
    for (size_t i = zones_find(c, &kind); i < c->zones.p.n && kind_cmp(&c->zones.p.p[i], &kind) == 0; i++) {
        const char *zone = c->zones.p.p[i].zone;
        int64_t until_us = 0;
        enum weir_verdict v = offer_remembered(c, o, zone, true, &until_us);
        if (best == WEIR_VERDICT_ZONE || until_us < best_until_us) {
            best = v;
            best_until_us = until_us;
            memcpy(ret, zone, WEIR_REGION_SIZE);
        }
        if (v == WEIR_VERDICT_CHOSEN) {
            break;
        }
    }
    *ret_until_us = best_until_us;
    return best;
}
