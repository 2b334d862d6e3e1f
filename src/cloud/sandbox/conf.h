/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The sandbox's section of the configuration; the keys are described in sandbox.h. */

#include "base/vec.h"
#include "cloud/provider.h"
#include "cloud/sandbox/market.h"

enum {
    SANDBOX_NAMES_MAX = 16,
    SANDBOX_GPU_CAPACITIES_MAX = 32,
    SANDBOX_OWN_OFFERS_MAX = 64,
    SANDBOX_MACHINES_MAX = 1024,
};

struct sandbox_gpu_capacity {
    uint16_t model;
    uint32_t gpus;
};

struct sandbox_conf {
    struct weir_dur boot_delay;
    uint32_t capacity;
    struct sandbox_gpu_capacity gpu_capacity[SANDBOX_GPU_CAPACITIES_MAX];
    size_t n_gpu_capacities;
    uint32_t max_gpus;
    char mirror[SANDBOX_NAMES_MAX][WEIR_PROVIDER_SIZE];
    size_t n_mirrors;
    char region[SANDBOX_NAMES_MAX][WEIR_REGION_SIZE];
    size_t n_regions;
    struct weir_offer own[SANDBOX_OWN_OFFERS_MAX]; /* id, as_of, rate and the like are filled in later; the price is in its currency, "": the ledger's */
    size_t n_own;
    struct weir_dur reclaim_after;
    uint32_t reclaim_ppm_per_hour;
    bool has_notice;
    struct weir_dur reclaim_notice;
    uint64_t seed;
    struct sandbox_market market; /* has the seed as well */
    uint32_t page_size;
    bool keep_disks;
};

/* conf may be NULL. Errors: -WEIR_ECONFIG, naming the key. */
int sandbox_conf_read(struct sandbox_conf *ret, const struct json_t *conf, struct weir_gpu_table *gpus,
                      struct weir_err *err);
