/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Providers' quotas as the core keeps them. They are not part of the views: after a restore providers tell them anew. */

#include "core/provider_quota.h"

struct weir_core;
struct lease;
struct offer;

/* One that was told, split up so that it stays true as weir's machines come and go. */
struct known_quota {
    struct weir_provider_quota q;
    uint32_t provider; /* index */
    int64_t others;    /* used by what is not a live lease */
    int64_t ours;      /* what live leases take of it */
};

/* Replaces all of the provider. as_of: leases that were confirmed before are in what they tell of their use. */
void provider_quotas_set(struct weir_core *c, const char *provider, const struct weir_provider_quota *q, size_t n, int64_t as_of_us);
/* The lease begins or ceases to live. True where any quota counts it. */
bool provider_quotas_lease(struct weir_core *c, const struct lease *l, bool in);
/* The offers are others: finds the quotas of each. */
void provider_quotas_index(struct weir_core *c);
/* One that has no room for so many machines of the offer; NULL: all have. */
const struct known_quota *provider_quota_short(const struct weir_core *c, const struct offer *o, uint32_t machines);
/* One that would have none if nothing else were there. */
const struct known_quota *provider_quota_never(const struct weir_core *c, const struct offer *o, uint32_t machines);
/* Errors: -WEIR_ECORRUPT. */
int check_provider_quotas(const struct weir_core *c, struct weir_err *err);
