/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A provider's quota: how much an account may have of something there at once, by the provider's own count. Not to be confused with
 * weir's quotas (quota.h), by which people share what there is. A provider tells its quotas now and then; weir's own machines that came
 * or went since are counted in between, so that what would be refused is not asked for.
 */

#include "core/model.h"

enum {
    WEIR_PROVIDER_QUOTA_NAME_SIZE = 96,
    WEIR_PROVIDER_QUOTA_TYPES_MAX = 6,
    WEIR_PROVIDER_QUOTA_TYPE_SIZE = 32,
    WEIR_PROVIDER_QUOTAS_MAX = 2000, /* of one provider; what is told beyond is passed over */
};

enum weir_quota_unit {
    WEIR_QUOTA_UNIT_CORES,
    WEIR_QUOTA_UNIT_GPUS,
    WEIR_QUOTA_UNIT_MACHINES,
    WEIR_QUOTA_UNIT_MEM_MIB,
    WEIR_QUOTA_UNIT_MAX,
};

/* One quota, and which machines it counts. Strings are terminated. */
struct weir_provider_quota {
    char name[WEIR_PROVIDER_QUOTA_NAME_SIZE]; /* by which a person finds it there; unique in its region */
    char region[WEIR_REGION_SIZE];            /* "": of all regions */
    char type[WEIR_PROVIDER_QUOTA_TYPES_MAX][WEIR_PROVIDER_QUOTA_TYPE_SIZE]; /* globs on the type of machine */
    uint8_t n_types; /* 0: of every type */
    uint8_t unit;    /* enum weir_quota_unit */
    uint8_t markets; /* a bit per enum weir_market; 0: of all but what is reserved, which is there already */
    int64_t limit;
    int64_t used; /* by all machines there are, whoever's */
};

/* One with whose it is. */
struct weir_told_quota {
    char provider[WEIR_PROVIDER_SIZE];
    struct weir_provider_quota quota;
};

/* How much a machine of the offer takes of a quota of its provider; 0: it does not count it. */
int64_t weir_provider_quota_of(const struct weir_provider_quota *q, const struct weir_offer *o);
/* A number by which an explain record names it. */
uint64_t weir_provider_quota_id(const char *provider, const struct weir_provider_quota *q);
/* "vCPUs", "GPUs", "machines", "MiB of memory". */
const char *weir_quota_unit_name(enum weir_quota_unit u);
