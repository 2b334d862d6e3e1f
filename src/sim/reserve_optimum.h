/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The cheapest reservations in hindsight, exactly: what no rule that does not know the future can pass. */

#include <stddef.h>

#include "forecast/reserve.h"

/*
 * Fills bought[0..n-1] with how many to buy at each hour and returns the cost in micro-units.
 *
 * It is a minimum-cost flow. As many units as the peak go through the hours from the first to the end; a unit that passes an
 * hour by itself is a GPU not reserved, and one that leaps a term ahead is a reservation of that term. Of those that pass an hour
 * by themselves, peak - demand go free (nobody needs them) and each further one costs what a reservation would have saved. Flows
 * with whole capacities have whole optima.
 */
int64_t weir_sim_reserve_optimum(const struct weir_reserve_terms *t, const int64_t *demand, size_t n, int64_t *bought);
