/* SPDX-License-Identifier: Apache-2.0 */

/* How long a task is held back for cheaper or cleaner hours of the grid: weir's rule, fed with what a day-ahead market tells. */

#include "forecast/shift.h"
#include "replay.h"

enum { AHEAD_HOURS = 24 }; /* that are known */

/* What a kWh costs, and what its carbon is worth, on average over an hour. */
static double price_of(const struct weir_replay_site *site, struct weir_wall from)
{
    struct weir_wall to = {weir_i64_add_sat(from.us, WEIR_US_PER_HOUR)};
    double per_hour = 1e6 * (double)WEIR_US_PER_HOUR; /* of the integral, in millionths and microseconds */
    double price = site->tariff == NULL ? 0 : (double)weir_grid_integral(site->tariff, from, to) / per_hour;
    double grams = site->carbon == NULL ? 0 : (double)weir_grid_integral(site->carbon, from, to) / per_hour;
    return price + grams / 1000 * site->param[WEIR_REPLAY_CARBON_PRICE];
}

int64_t weir_replay_shift_us(const struct weir_replay_site *site, struct weir_wall at, uint32_t gpus, int64_t expected_us, int64_t most_us)
{
    const struct weir_sim_pool *p = &site->pool[0];
    if (gpus == 0 || weir_replay_site_gpus(site) == 0) {
        return 0;
    }
    double watts = (double)(p->cost.busy_watts - p->cost.idle_watts) / p->gpus * gpus;
    struct weir_shift s = {.n = AHEAD_HOURS,
                           .run_hours = (double)expected_us / (double)WEIR_US_PER_HOUR,
                           .kilowatts = watts / 1000 * p->cost.pue_milli / 1000,
                           .delay_per_hour = site->param[WEIR_REPLAY_DELAY_VALUE],
                           .most_hours = most_us < 0 ? 0 : (size_t)(most_us / WEIR_US_PER_HOUR)};
    for (size_t i = 0; i < s.n; i++) {
        s.price[i] = price_of(site, (struct weir_wall){weir_i64_add_sat(at.us, (int64_t)i * WEIR_US_PER_HOUR)});
    }
    return (int64_t)weir_shift_hours(&s) * WEIR_US_PER_HOUR;
}
