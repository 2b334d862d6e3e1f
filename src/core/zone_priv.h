/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Gangs that want all of their nodes in one zone (placement.same_zone), and which nodes may be of one gang at all.
 *
 * A rented machine stands in the zone that its offer names. Of an offer that leaves the zone to the provider, a gang asks for all of its
 * machines in one that other offers of the same type and region name; where none does, the offer is not for such a gang. Owned
 * nodes have a pool and a region: those of one pool in one region are taken to be in one zone.
 */

#include "base/vec.h"
#include "core/explain.h"
#include "core/model.h"

struct node_type;
struct shape;
struct weir_core;

/* A zone in which a provider has machines of a type, by an offer that names it. */
struct machine_zone {
    char provider[WEIR_PROVIDER_SIZE];
    char region[WEIR_REGION_SIZE];
    char instance_type[WEIR_INSTANCE_TYPE_SIZE];
    char zone[WEIR_REGION_SIZE];
};

struct zones {
    WEIR_VEC(struct machine_zone) p; /* sorted, each once */
    uint64_t version;                /* of the offers that they are of */
};

static inline bool wants_one_zone(const struct weir_request *r)
{
    return r->same_zone && r->nodes > 1;
}

/* Are nodes of the two types in one zone? Of rented ones whose zone nobody named that is not known: false, of a type and itself too. */
bool type_zone_same(const struct node_type *a, const struct node_type *b);
/* May nodes of the two types be of one gang of the shape? Of one GPU model, all owned or all rented; in one zone where it asks for that. */
bool types_are_mates(const struct shape *s, const struct node_type *a, const struct node_type *b);
/* Does the type fit, as the first of its mates? A gang starts on such. */
bool type_leads(struct weir_core *c, struct shape *s, size_t type);
/* Does it fit, as the first of its zone that does? */
bool type_leads_zone(struct weir_core *c, struct shape *s, size_t type);

/* Brings the zones up to date with the offers; to be called before the next two. */
void zones_update(struct weir_core *c);
void zones_release(struct weir_core *c);
/* Can several of its machines be asked for in one zone? */
bool zone_is_known(const struct weir_core *c, const struct weir_offer *o);
/*
 * The zone to ask for them in: the offer's own, or the first in which nothing was refused lately. Verdict and time as
 * offer_remembered's; of several, of the one that may be asked for first.
 */
enum weir_verdict zone_choose(const struct weir_core *c, const struct weir_offer *o, char ret[static WEIR_REGION_SIZE], int64_t *ret_until_us);
