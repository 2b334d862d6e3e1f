/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Policies: which places a job may use. A list of rules is compiled for it outside, where names of projects, users and images are
 * known; the core asks of a list only what a place is. The first rule that takes a place decides; where none does, it
 * is allowed. Lists have numbers from 1 and never change, so that nothing that was found by one ever has to be found again; a
 * job for which other rules hold gets another number. 0: everything is allowed.
 */

#include "core/model.h"

enum {
    WEIR_POLICY_RULES_MAX = 256, /* of a list */
    WEIR_POLICIES_MAX = 1 << 20,
};

enum weir_policy_place {
    WEIR_POLICY_ANYWHERE,
    WEIR_POLICY_OWNED,
    WEIR_POLICY_RENTED,
};

enum weir_policy_market {
    WEIR_POLICY_ANY_MARKET,
    WEIR_POLICY_SPOT,
    WEIR_POLICY_NOT_SPOT,
};

/* All that is given must hold of the place for the rule to take it. Provider, price and market are of rented machines only. */
struct weir_policy_rule {
    bool deny;
    uint8_t place;  /* enum weir_policy_place */
    uint8_t market; /* enum weir_policy_market */
    char provider[WEIR_PROVIDER_SIZE]; /* glob; "": any */
    char region[WEIR_REGION_SIZE];     /* glob; "": any; owned nodes have none */
    char gpu[64];                      /* glob on the model's name; "": any */
    int64_t price_above_micro;         /* per hour of the whole machine; 0: any */
};

/* What rules ask of a place. */
struct weir_policy_facts {
    bool rented;
    bool spot;
    const char *provider;
    const char *region;
    const char *gpu; /* "": it has none */
    int64_t price_micro_per_hour;
};

/* Which rule decides; SIZE_MAX: none. */
size_t weir_policy_decide(const struct weir_policy_rule *rule, size_t n, const struct weir_policy_facts *f);
