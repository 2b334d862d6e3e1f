/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the sandbox's spot machines cost over time: the listed spot price times a factor, which may change every so often. The factor is a function
 * of the configuration, the offer and the time alone, so that prices of the past can be told, and a broker that comes back finds them
 * as they were. Pure.
 */

#include "cloud/provider.h"

enum { SANDBOX_SERIES_MAX = 1024, SANDBOX_FACTOR_MAX_PPM = 100000000 };

struct sandbox_market {
    struct weir_dur every; /* 0: prices stay as they are */
    int64_t swing_ppm;     /* by chance: so far up and down */
    uint64_t seed;
    int64_t factor_ppm[SANDBOX_SERIES_MAX]; /* else these in turn, from 1970 on and over and over */
    size_t n_factors;
};

/* When the price of that time began. */
struct weir_wall sandbox_market_since(const struct sandbox_market *m, struct weir_wall t);
/* What the offer costs at that time, at that listed price: 1 micro-unit at least. */
int64_t sandbox_market_price(const struct sandbox_market *m, uint64_t offer, int64_t listed_micro, struct weir_wall t);
