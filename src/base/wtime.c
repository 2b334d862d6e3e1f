/* SPDX-License-Identifier: Apache-2.0 */
#include "wtime.h"

#include <inttypes.h>
#include <stdio.h>

/* Days since 1970-01-01 of a civil date; Howard Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms" (days_from_civil), restated: March-based years make leap days fall at the end. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    if (month <= 2) {
        year--;
    }
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

struct weir_date weir_wall_to_date(struct weir_wall t)
{
    int64_t days = t.us / WEIR_US_PER_DAY;
    int64_t rest = t.us % WEIR_US_PER_DAY;
    if (rest < 0) {
        rest += WEIR_US_PER_DAY;
        days--;
    }
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    return (struct weir_date){
        .year = (int)(yoe + era * 400 + (month <= 2 ? 1 : 0)),
        .month = (int)month,
        .day = (int)(doy - (153 * mp + 2) / 5 + 1),
        .hour = (int)(rest / WEIR_US_PER_HOUR),
        .minute = (int)(rest / WEIR_US_PER_MIN % 60),
        .second = (int)(rest / WEIR_US_PER_S % 60),
        .us = (int)(rest % WEIR_US_PER_S),
    };
}

struct weir_wall weir_wall_from_date(struct weir_date d)
{
    int64_t seconds = days_of(d.year, d.month, d.day) * 86400 + d.hour * 3600 + d.minute * 60 +
                      d.second;
    return (struct weir_wall){weir_i64_add_sat(weir_dur_s(seconds).us, d.us)};
}

const char *weir_wall_format(struct weir_wall t, char buf[static WEIR_RFC3339_SIZE])
{
    struct weir_date d = weir_wall_to_date(t);
    if (d.year < 1 || d.year > 9999) {
        (void)snprintf(buf, WEIR_RFC3339_SIZE, "%s", d.year < 1 ? "0001-01-01T00:00:00Z"
                                                               : "9999-12-31T23:59:59Z");
        return buf;
    }
    char frac[16] = "";
    if (d.us != 0) {
        (void)snprintf(frac, sizeof frac, ".%06d", d.us);
    }
    (void)snprintf(buf, WEIR_RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d%.7sZ", d.year, d.month,
                   d.day, d.hour, d.minute, d.second, frac);
    return buf;
}

const char *weir_dur_format(struct weir_dur d, char buf[static WEIR_RFC3339_SIZE])
{
    static const struct {
        int64_t us;
        const char *unit;
    } units[] = {{WEIR_US_PER_DAY, "d"}, {WEIR_US_PER_HOUR, "h"}, {WEIR_US_PER_MIN, "m"},
                 {WEIR_US_PER_S, "s"}};
    const char *sign = d.us < 0 ? "-" : "";
    uint64_t us = d.us < 0 ? -(uint64_t)d.us : (uint64_t)d.us;
    for (int i = 0; i < 4; i++) {
        uint64_t unit = (uint64_t)units[i].us;
        if (us < unit) {
            continue;
        }
        uint64_t next = i < 3 ? us % unit / (uint64_t)units[i + 1].us : 0;
        if (next != 0) {
            (void)snprintf(buf, WEIR_RFC3339_SIZE, "%s%" PRIu64 "%s %" PRIu64 "%s", sign, us / unit,
                           units[i].unit, next, units[i + 1].unit);
        } else {
            (void)snprintf(buf, WEIR_RFC3339_SIZE, "%s%" PRIu64 "%s", sign, us / unit,
                           units[i].unit);
        }
        return buf;
    }
    (void)snprintf(buf, WEIR_RFC3339_SIZE, "%s%" PRIu64 "ms", sign, us / 1000);
    return buf;
}
