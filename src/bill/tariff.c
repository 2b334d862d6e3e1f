/* SPDX-License-Identifier: Apache-2.0 */

#include "bill/tariff.h"

#include "base/assert.h"

enum { DAYS = 7, HOURS = 24, EPOCH_DAY = 3 /* 1 January 1970 was a Thursday */ };

static bool has_day(const struct weir_tariff_row *r, int64_t day)
{
    return (r->days >> (day + EPOCH_DAY + DAYS) % DAYS & 1) != 0;
}

static bool holds(const struct weir_tariff_row *r, struct weir_wall at)
{
    if (at.us < r->from.us || (r->to.us != 0 && at.us >= r->to.us)) {
        return false;
    }
    int64_t day = at.us / WEIR_US_PER_DAY;
    int64_t hour = at.us % WEIR_US_PER_DAY / WEIR_US_PER_HOUR;
    if (r->from_hour < r->to_hour) {
        return has_day(r, day) && hour >= r->from_hour && hour < r->to_hour;
    }
    return (hour >= r->from_hour && has_day(r, day)) || (hour < r->to_hour && has_day(r, day - 1));
}

static bool knows_hours(const struct weir_tariff_row *r)
{
    return r->days != WEIR_TARIFF_ALL_DAYS || r->from_hour != 0 || r->to_hour != HOURS;
}

int64_t weir_tariff_at(const struct weir_tariff *t, int64_t base_micro_per_kwh, struct weir_wall at, struct weir_wall *ret_until)
{
    WEIR_ASSERT(at.us >= 0);
    int64_t price = base_micro_per_kwh;
    int64_t until_us = INT64_MAX;
    for (size_t i = 0; i < t->n; i++) {
        const struct weir_tariff_row *r = &t->row[i];
        if (holds(r, at)) {
            price = r->micro_per_kwh;
        }
        /* hours begin and end on the hour; that the next may cost the same does no harm */
        int64_t hour_us = knows_hours(r) ? (at.us / WEIR_US_PER_HOUR + 1) * WEIR_US_PER_HOUR : INT64_MAX;
        int64_t from_us = at.us < r->from.us ? r->from.us : INT64_MAX;
        int64_t to_us = at.us < r->to.us ? r->to.us : INT64_MAX;
        until_us = hour_us < until_us ? hour_us : until_us;
        until_us = from_us < until_us ? from_us : until_us;
        until_us = to_us < until_us ? to_us : until_us;
    }
    *ret_until = (struct weir_wall){until_us};
    return price;
}
