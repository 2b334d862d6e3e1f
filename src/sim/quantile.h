/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Quantiles of any number of values in constant memory: counted in buckets whose width is a 512th of the value. */

#include <stdint.h>

enum { WEIR_SIM_QUANTILE_BITS = 9, WEIR_SIM_QUANTILE_BUCKETS = (64 - WEIR_SIM_QUANTILE_BITS + 1) << WEIR_SIM_QUANTILE_BITS };

struct weir_sim_quantiles {
    uint64_t n;
    uint64_t *count; /* NULL before the first value */
};

void weir_sim_quantiles_release(struct weir_sim_quantiles *q);
void weir_sim_quantiles_add(struct weir_sim_quantiles *q, uint64_t v);
/* The least value of the bucket in which per_mille of all values have been reached; 0 where there are none. */
uint64_t weir_sim_quantile(const struct weir_sim_quantiles *q, unsigned per_mille);
