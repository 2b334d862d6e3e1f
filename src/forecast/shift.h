/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * When to begin work on owned hardware while the price of energy (or what its carbon is worth) changes by the hour: at the hour that makes
 * energy and waiting together the cheapest, by what is known of the hours to come. Pure.
 */

#include <stddef.h>
#include <stdint.h>

enum { WEIR_SHIFT_HOURS_MAX = 48 };

struct weir_shift {
    double price[WEIR_SHIFT_HOURS_MAX]; /* of a kWh by the hour from now on, as far as it is known */
    size_t n;                           /* hours known, at least 1; what comes after is taken to be their mean */
    double run_hours;
    double kilowatts;      /* that the work adds while it runs */
    double delay_per_hour; /* what an hour's waiting is worth; > 0 keeps waiting from going on for ever */
    size_t most_hours;     /* that it may be put off */
};

/* Hours to put it off: the fewest of those of least cost; less than n. */
size_t weir_shift_hours(const struct weir_shift *s);
