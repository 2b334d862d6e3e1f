/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Money is int64 micro-units (millionths) of one currency; a rate is micro-units per hour. There is
 * no floating point anywhere. A charge is rounded exactly once, half up, where it is made.
 *
 * The ledger has one currency (ISO 4217 code in the configuration, "USD" by default); amounts in
 * another are converted at the border, so plain micro-units are never of two currencies.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "currency.h"
#include "wtime.h"

__extension__ typedef __int128 weir_i128;

#define WEIR_MICRO_PER_UNIT INT64_C(1000000)

/* a * b / c rounded half up (toward +infinity on a tie); c > 0. False where the result does not
 * fit, and then *ret is not touched. */
bool weir_mul_div(int64_t a, int64_t b, int64_t c, int64_t *ret);

/* As weir_mul_div, saturating: for scores and estimates, never for charges. */
int64_t weir_mul_div_sat(int64_t a, int64_t b, int64_t c);

/* What an amount > 0 of another currency is at a rate in billionths, rounded up. False where there is no rate (0 or less), and where the result
 * does not fit; then *ret is not touched. */
bool weir_money_exchange_up(int64_t micro, int64_t rate_nano, int64_t *ret_micro);

/* rate x duration / hour, half up. False on overflow. */
bool weir_money_charge(int64_t rate_micro_per_hour, struct weir_dur d, int64_t *ret_micro);

/*
 * The cumulative charge of a running span up to d. Slices made as differences of this function
 * always add up to the whole, so metering in many slices loses nothing.
 */
bool weir_money_slice(int64_t rate_micro_per_hour,
                      struct weir_dur from,
                      struct weir_dur to,
                      int64_t *ret_micro);

/*
 * Splits total over n parts in proportion to weight[] (each >= 0, sum > 0; total >= 0): largest
 * remainder, ties to the lower index; the parts add up to total exactly.
 */
void weir_money_split(int64_t total_micro, const int64_t *weight, size_t n, int64_t *ret_micro);

enum { WEIR_MONEY_SIZE = 40 };

/* "12.345678": all six places, '-' where negative; exact. */
const char *weir_money_format(int64_t micro, char buf[static WEIR_MONEY_SIZE]);
/* For people: "0", the places of the currency ("12.35", "0.32"; of JPY "1235"), or as many as a small amount needs ("0.0116", "0.000914"). */
const char *weir_money_format_short(int64_t micro, const char *currency, char buf[static WEIR_MONEY_SIZE]);
