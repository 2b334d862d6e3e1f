/* SPDX-License-Identifier: Apache-2.0 */

#include "shift.h"

#include "base/assert.h"

/* Money for the energy of a run that begins in that hour. */
static double energy(const struct weir_shift *s, size_t from, double mean)
{
    double left = s->run_hours;
    double sum = 0;
    for (size_t i = from; i < s->n && left > 0; i++) {
        sum += s->price[i] * (left < 1 ? left : 1);
        left -= 1;
    }
    return s->kilowatts * (sum + (left > 0 ? left * mean : 0));
}

size_t weir_shift_hours(const struct weir_shift *s)
{
    WEIR_ASSERT(s->n >= 1 && s->n <= WEIR_SHIFT_HOURS_MAX);
    double mean = 0;
    for (size_t i = 0; i < s->n; i++) {
        mean += s->price[i] / (double)s->n;
    }
    size_t best = 0;
    double least = energy(s, 0, mean);
    for (size_t k = 1; k < s->n && k <= s->most_hours; k++) {
        double cost = energy(s, k, mean) + (double)k * s->delay_per_hour;
        if (cost < least) {
            least = cost;
            best = k;
        }
    }
    return best;
}
