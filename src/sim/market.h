/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What was recorded of a spot market: prices by zone and type of machine, and whether there was any machine of a kind in a zone.
 */

#include "base/err.h"
#include "spot_prices.h"
#include "steps.h"

struct weir_sim_market_series {
    char *zone;
    char *kind;    /* of prices: the type of machine; else the model of its GPUs, "" where it is not said */
    uint32_t gpus; /* of a machine; 0: not said */
    struct weir_sim_steps steps;
};

struct weir_sim_market {
    struct weir_sim_market_series *p;
    size_t n;
    size_t size;
    struct weir_sim_record record; /* from the first step of all to the end of the last */
};

/* Spot prices, in micro-units an hour; the record ends an hour after the last change of all. Release whatever is returned. Errors: those of the
 * reader. */
int weir_sim_market_read_prices(struct weir_sim_market *ret, const char *path, struct weir_err *err);
/*
 * Availability, 1 or 0, in either form of recordings. A series is named by its zone, or ZONE_MODEL_GPUS. Recordings of one name (windows)
 * are joined by time: each holds until the next begins, its last tick over a gap. Release whatever is returned. Errors: those of the reader.
 */
int weir_sim_market_read_stock(struct weir_sim_market *ret, const char *path, struct weir_err *err);
void weir_sim_market_release(struct weir_sim_market *m);
