/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the core learns of offers from its leases: part of core_priv.h, which includes it.
 *
 * Estimates are a function of the leases, live and over, as of the last full ten minutes: what happened since does not count yet. So a
 * restored core has the same, and rankings of offers stay as they are in between. Leases that are over are summed up by the day they
 * ended on and forgotten; live ones are looked at each time.
 */

#include "base/vec.h"
#include "core/evidence.h"
#include "core/model.h"

struct lease;
struct weir_core;
struct weir_lease_view;

enum learned_level {
    LEARNED_OFFER,
    LEARNED_KIND,   /* one instance type of a region and market, in any zone */
    LEARNED_REGION, /* one GPU model of a region and market */
    LEARNED_MARKET, /* all of a provider and market */
    LEARNED_LEVELS,
};

struct learned_key { /* what a level does not look at is zero; compared byte for byte */
    uint64_t offer;
    uint32_t provider; /* index */
    uint16_t gpu_model;
    uint8_t market;
    uint8_t level;
    char region[WEIR_REGION_SIZE];
    char instance_type[WEIR_INSTANCE_TYPE_SIZE];
};

struct learned_day {
    int64_t day; /* since 1970 */
    struct weir_evidence seen;
};

struct learned_group {
    struct learned_key key;
    struct learned_group *wider; /* NULL: the widest */
    WEIR_VEC(struct learned_day) day; /* by day */
    struct weir_evidence seen;    /* as of the last look, as it is, and weighed by age */
    struct weir_evidence weighed;
    struct weir_estimate estimate; /* for an offer of which there is no narrower group */
};

/* Of a lease, all that evidence follows from. */
struct lease_facts {
    struct learned_key offer; /* of level LEARNED_OFFER, with the keys of the others in it */
    bool spot;
    bool over;
    bool reclaimed;
    uint32_t listed_ppm;
    int64_t listed_boot_us;
    int64_t intent_us;
    int64_t confirmed_us; /* 0: never */
    int64_t ready_us;     /* 0: never */
    int64_t failed_us;    /* 0: it did not */
    int64_t end_us;       /* of its life; 0: it lives */
    int64_t over_us;
};

struct learned {
    WEIR_VEC(struct learned_group *) group; /* by key */
    WEIR_VEC(struct lease_facts) fresh; /* over, but not before as_of */
    int64_t as_of_us;
    bool stale;
    uint64_t version; /* raised whenever an estimate may be another */
};

/* Brings the estimates up to date with the time, and what follows from them: before anything is planned. */
void learned_update(struct weir_core *c);
/* The lease is over. */
void learned_lease_over(struct weir_core *c, const struct lease *l);
/* Of a restore: what a lease that is over tells. */
void learned_restore(struct weir_core *c, const struct weir_lease_view *v);
/* What is believed of such an offer; borrowed until the next update. */
const struct weir_estimate *learned_estimate(const struct weir_core *c, const struct weir_offer *o);
/* Puts beside each offer what is believed of it. */
void learned_apply_offers(struct weir_core *c);
/* Takes over what is believed of a lease's offer. */
void learned_apply(const struct weir_core *c, struct lease *l);
void learned_release(struct weir_core *c);
