/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Forecast of a series sampled at even steps, one horizon ahead, with an upper bound that about nine in ten values stay under. Pure;
 * memory does not grow with the series.
 *
 * Simple forecasts run side by side: the last value, those of a day and of a week ago, and shades of the last value
 * drawn towards the mean of the last day or week or following yesterday's course. The forecast given is the one whose
 * absolute errors have been least so far, older ones counting less (half after two weeks): none is believed that has not
 * proved itself on this very series, and the last value stands until another was better. The upper bound adds a
 * quantile of the recent errors of what was given; its level moves up after each miss and down after each hit, so that
 * coverage holds when the series changes its ways (adaptive conformal inference: Gibbs, Candes, NeurIPS 2021).
 */

#include <stddef.h>
#include <stdint.h>

enum {
    WEIR_SERIES_STEPS_MAX = 24 * 60,        /* of a day */
    WEIR_SERIES_HORIZON_DAYS_MAX = 28,
};

struct weir_series;

struct weir_series_forecast {
    double expected;
    double upper;
    const char *by; /* name of the simple forecast that is followed; static */
};

/* day_steps: 1..WEIR_SERIES_STEPS_MAX; horizon in steps: at least 1, at most WEIR_SERIES_HORIZON_DAYS_MAX days. */
struct weir_series *weir_series_new(size_t day_steps, size_t horizon);
void weir_series_free(struct weir_series *s);
/* Takes the next value. */
void weir_series_observe(struct weir_series *s, double value);
/* For the value that comes horizon steps after the last; zeros before the first. */
struct weir_series_forecast weir_series_forecast(const struct weir_series *s);
