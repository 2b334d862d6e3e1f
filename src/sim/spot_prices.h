/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Recorded spot prices: a series for each type of machine in each zone. A price holds until the next of its series, the last one
 * for ever.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"

struct weir_spot_price {
    int64_t at_s; /* Unix time */
    int64_t rate; /* micro-USD an hour */
};

struct weir_spot_series {
    char *zone;
    char *instance;
    struct weir_spot_price *p; /* by time */
    size_t n;
    size_t size;
};

struct weir_spot_prices {
    struct weir_spot_series *p; /* by type and zone */
    size_t n;
    size_t size;
    struct weir_map by_name; /* while reading */
    int64_t end_s;           /* the last price of all */
};

/*
 * Reads zone, instance, utc, spot_usd_h, in any order of lines. looked is called now and then with the permille that was read; NULL:
 * nobody looks. Release whatever is returned. Errors: those of the reader; -WEIR_EINVAL (no price), -WEIR_EOVERFLOW, -WEIR_ELIMIT.
 */
int weir_spot_prices_read(struct weir_spot_prices *ret, const char *path, void (*looked)(void *user, unsigned permille), void *user,
                          struct weir_err *err);
void weir_spot_prices_release(struct weir_spot_prices *s);

/* NULL where there is none. */
const struct weir_spot_series *weir_spot_prices_find(const struct weir_spot_prices *s, const char *instance, const char *zone);
/* Micro-USD an hour times seconds from_s..to_s, exact, to be rounded once; before its first price a series costs nothing. */
int64_t weir_spot_series_integral(const struct weir_spot_series *s, int64_t from_s, int64_t to_s);
