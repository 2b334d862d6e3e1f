/* SPDX-License-Identifier: Apache-2.0 */

#include "quantile.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"

/* Values below 2^BITS have a bucket each; above, each power of two is cut into as many. */
static size_t bucket_of(uint64_t v)
{
    if (v >> WEIR_SIM_QUANTILE_BITS == 0) {
        return (size_t)v;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(v) - WEIR_SIM_QUANTILE_BITS;
    return ((size_t)(shift + 1) << WEIR_SIM_QUANTILE_BITS) + (size_t)(v >> shift) - ((size_t)1 << WEIR_SIM_QUANTILE_BITS);
}

static uint64_t least_of(size_t bucket)
{
    size_t power = bucket >> WEIR_SIM_QUANTILE_BITS;
    uint64_t low = bucket & (((size_t)1 << WEIR_SIM_QUANTILE_BITS) - 1);
    return power == 0 ? low : (low | UINT64_C(1) << WEIR_SIM_QUANTILE_BITS) << (power - 1);
}

void weir_sim_quantiles_release(struct weir_sim_quantiles *q)
{
    free(q->count);
    *q = (struct weir_sim_quantiles){0};
}

void weir_sim_quantiles_add(struct weir_sim_quantiles *q, uint64_t v)
{
    if (q->count == NULL) {
        q->count = weir_calloc(WEIR_SIM_QUANTILE_BUCKETS, sizeof *q->count);
    }
    q->count[bucket_of(v)]++;
    q->n++;
}

uint64_t weir_sim_quantile(const struct weir_sim_quantiles *q, unsigned per_mille)
{
    if (q->n == 0) {
        return 0;
    }
    uint64_t want = (q->n * per_mille + 999) / 1000;
    uint64_t seen = 0;
    size_t i = 0;
    while (i + 1 < WEIR_SIM_QUANTILE_BUCKETS && (seen += q->count[i]) < want) {
        i++;
    }
    return least_of(i);
}
