/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A tariff of electricity that changes: by the hour of the week, and from a day on. Rows name when they hold; the last row
 * that fits a time counts, and where none does the base price. Everything is in UTC. Prices are micro-units per kWh, >= 0.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/wtime.h"

enum { WEIR_TARIFF_ROWS_MAX = 64, WEIR_TARIFF_ALL_DAYS = 0x7f };

struct weir_tariff_row {
    struct weir_wall from; /* 0: always has */
    struct weir_wall to;   /* it no longer holds from then on; 0: for ever */
    uint8_t days;          /* bit 0: Monday */
    uint8_t from_hour;     /* 0..23 */
    uint8_t to_hour;       /* 1..24; from_hour or less: over midnight, into the next day */
    int64_t micro_per_kwh;
};

struct weir_tariff {
    struct weir_tariff_row row[WEIR_TARIFF_ROWS_MAX];
    size_t n;
};

/* The price at a time >= 0; until when it holds at least is in *ret_until (WEIR_WALL_MAX: for ever). */
int64_t weir_tariff_at(const struct weir_tariff *t, int64_t base_micro_per_kwh, struct weir_wall at, struct weir_wall *ret_until);
