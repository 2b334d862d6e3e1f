/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Random lives of nodes and runs, fed to the metering object and to the checker of the ledger. Bytes choose every step, so that
 * a fuzzer and a seeded generator drive the very same code.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
#include "bill/bill.h"

struct bill_ops_sums {
    int64_t cost[WEIR_ACCOUNT_NODE];
    int64_t use[WEIR_ACCOUNT_MAX];
    uint64_t postings;
    uint64_t gpu_us;
    int64_t rented_mj; /* of the cost side */
    int64_t rented_ug;
};

struct bill_ops_conf {
    unsigned settle_every; /* steps between two settlings of all; 0: only at the end */
    bool restart;          /* throw the object away now and then, and go on from what was stored */
    bool punctual; /* no late reports: what they say depends on what was posted before */
    bool record;           /* keep the postings */
};

struct bill_ops_result {
    struct bill_ops_sums sums;
    uint64_t ops;
    WEIR_VEC(struct weir_posting) postings; /* where recorded; the caller releases it */
};

/* Runs all bytes and closes every node. Returns 0, or -WEIR_ECORRUPT where the ledger does not balance or an object
 * is refused that should not be; err says what. */
int bill_ops_run(const uint8_t *bytes, size_t n, const struct bill_ops_conf *conf, struct bill_ops_result *ret, struct weir_err *err);
