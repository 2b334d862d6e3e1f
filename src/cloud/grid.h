/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a kilowatt-hour costs, or emits, over time: recorded prices or carbon intensities, mostly by the hour. A value holds until the
 * next one; the last as long as the one before it did. Before and after the record it repeats: by whole weeks where it
 * has one, else by whole days where it has one, else by all of it; so that work of another year meets the same hours of the same
 * weekdays.
 *
 * Values are millionths of the file's unit per kWh. All sums are of whole numbers and exact; rounding is up to the caller, but for
 * weir_grid_energy, which does it once.
 */

#include "base/err.h"
#include "base/money.h"
#include "base/wtime.h"

struct weir_grid;

/* What the values are, by the name of their column. */
enum weir_grid_kind { WEIR_GRID_UNKNOWN, WEIR_GRID_PRICE, WEIR_GRID_CARBON };

/*
 * Reads a table. Times stand in a column utc, time, timestamp or datetime (UTC, with or without offset, or seconds since 1970), later
 * from line to line. Values stand in gco2_kwh_lca, gco2_kwh_direct or price, whichever is there first; or in one of these with _mwh
 * in its name, and are then per MWh: price_mwh, price_eur_mwh, price_usd_mwh, eur_mwh, usd_mwh; else in the first column that is
 * no time, where price_gbp_mwh, gbp_kwh and the like are understood for every currency. An empty value is the one before. Errors: -WEIR_ENOTFOUND, -WEIR_EIO, -WEIR_EINVAL, -WEIR_EOVERFLOW, -WEIR_ELIMIT; file, line and
 * column are named.
 */
int weir_grid_read(struct weir_grid **ret, const char *path, struct weir_err *err);
void weir_grid_free(struct weir_grid *g);
void weir_grid_freep(struct weir_grid **g);

enum weir_grid_kind weir_grid_kind(const struct weir_grid *g);
/* The currency of prices, where their column names it: "EUR" of price_eur_mwh; "": it does not. */
const char *weir_grid_currency(const struct weir_grid *g);
int64_t weir_grid_at(const struct weir_grid *g, struct weir_wall at);
/* When the value may change next, later than at. */
struct weir_wall weir_grid_next(const struct weir_grid *g, struct weir_wall at);
/* Value times microseconds from..to; the other way round it is negative. */
weir_i128 weir_grid_integral(const struct weir_grid *g, struct weir_wall from, struct weir_wall to);

enum { WEIR_GRID_MILLIWATTS_MAX = 1000000000 };
/* What a constant power costs or emits from..to, in millionths of the file's unit; halves are rounded up. */
int64_t weir_grid_energy(const struct weir_grid *g, struct weir_wall from, struct weir_wall to, int64_t milliwatts);
