/* SPDX-License-Identifier: Apache-2.0 */
#include "money.h"

#include <inttypes.h>
#include <stdio.h>

#include "assert.h"

enum { MICRO_PLACES = 6 };

static weir_i128 div_half_up(weir_i128 n, weir_i128 d)
{
    WEIR_ASSERT(d > 0);
    weir_i128 twice = 2 * n + d;
    weir_i128 q = twice / (2 * d);
    if (twice % (2 * d) < 0) {
        q--; /* C truncates toward zero; floor is wanted */
    }
    return q;
}

/* The same without the long division, where all of it fits; most of it does. */
static bool div_half_up_small(int64_t a, int64_t b, int64_t c, int64_t *ret)
{
    static const int64_t most = INT64_MAX / 4;
    int64_t n = 0;
    if (c <= 0 || c > most || __builtin_mul_overflow(a, b, &n) || n > most || n < -most) {
        return false;
    }
    int64_t twice = 2 * n + c;
    int64_t q = twice / (2 * c);
    *ret = twice % (2 * c) < 0 ? q - 1 : q;
    return true;
}

bool weir_mul_div(int64_t a, int64_t b, int64_t c, int64_t *ret)
{
    weir_i128 r = div_half_up((weir_i128)a * b, c);
    if (r > INT64_MAX || r < INT64_MIN) {
        return false;
    }
    *ret = (int64_t)r;
    return true;
}

int64_t weir_mul_div_sat(int64_t a, int64_t b, int64_t c)
{
    int64_t small = 0;
    /* by a divisor that is known the compiler multiplies; rates are by the hour */
    if (c == WEIR_US_PER_HOUR ? div_half_up_small(a, b, WEIR_US_PER_HOUR, &small) : div_half_up_small(a, b, c, &small)) {
        return small;
    }
    weir_i128 r = div_half_up((weir_i128)a * b, c);
    if (r > INT64_MAX) {
        return INT64_MAX;
    }
    return r < INT64_MIN ? INT64_MIN : (int64_t)r;
}

bool weir_money_exchange_up(int64_t micro, int64_t rate_nano, int64_t *ret_micro)
{
    static const int64_t nano = 1000000000;
    weir_i128 r = ((weir_i128)micro * rate_nano + nano - 1) / nano;
    if (micro <= 0 || rate_nano <= 0 || r > INT64_MAX) {
        return false;
    }
    *ret_micro = (int64_t)r;
    return true;
}

bool weir_money_charge(int64_t rate_micro_per_hour, struct weir_dur d, int64_t *ret_micro)
{
    return weir_mul_div(rate_micro_per_hour, d.us, WEIR_US_PER_HOUR, ret_micro);
}

bool weir_money_slice(int64_t rate_micro_per_hour,
                      struct weir_dur from,
                      struct weir_dur to,
                      int64_t *ret_micro)
{
    int64_t a;
    int64_t b;
    if (!weir_money_charge(rate_micro_per_hour, from, &a) ||
        !weir_money_charge(rate_micro_per_hour, to, &b)) {
        return false;
    }
    return !__builtin_sub_overflow(b, a, ret_micro);
}

void weir_money_split(int64_t total_micro, const int64_t *weight, size_t n, int64_t *ret_micro)
{
    WEIR_ASSERT(total_micro >= 0);
    weir_i128 sum = 0;
    for (size_t i = 0; i < n; i++) {
        WEIR_ASSERT(weight[i] >= 0);
        sum += weight[i];
    }
    WEIR_ASSERT(sum > 0);
    int64_t left = total_micro;
    for (size_t i = 0; i < n; i++) {
        ret_micro[i] = (int64_t)((weir_i128)total_micro * weight[i] / sum);
        left -= ret_micro[i];
    }
    /* fewer than n units are left; each goes to the largest remainder not yet served */
    while (left > 0) {
        size_t best = n;
        weir_i128 best_rem = -1;
        for (size_t i = 0; i < n; i++) {
            weir_i128 rem = (weir_i128)total_micro * weight[i] - (weir_i128)ret_micro[i] * sum;
            if (rem > best_rem) {
                best_rem = rem;
                best = i;
            }
        }
        WEIR_ASSERT(best < n);
        ret_micro[best]++;
        left--;
    }
}

const char *weir_money_format(int64_t micro, char buf[static WEIR_MONEY_SIZE])
{
    uint64_t u = micro < 0 ? -(uint64_t)micro : (uint64_t)micro;
    (void)snprintf(buf, WEIR_MONEY_SIZE, "%s%" PRIu64 ".%06" PRIu64, micro < 0 ? "-" : "",
                   u / 1000000, u % 1000000);
    return buf;
}

const char *weir_money_format_short(int64_t micro, const char *currency, char buf[static WEIR_MONEY_SIZE])
{
    static const uint64_t power[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    uint64_t u = micro < 0 ? -(uint64_t)micro : (uint64_t)micro;
    int least = weir_currency_places(currency);
    if (u == 0) {
        (void)snprintf(buf, WEIR_MONEY_SIZE, "0");
        return buf;
    }
    /* rounded to as many places as show something of it: two more below a hundred of the minor unit, four below one */
    uint64_t minor = power[MICRO_PLACES - least];
    int places = least + (u >= 100 * minor ? 0 : u >= minor ? 2 : 4);
    places = places > MICRO_PLACES ? MICRO_PLACES : places;
    uint64_t unit = power[MICRO_PLACES - places];
    u = (u + unit / 2) / unit * unit;
    int n = snprintf(buf, WEIR_MONEY_SIZE, "%s%" PRIu64 ".%06" PRIu64, micro < 0 ? "-" : "", u / 1000000, u % 1000000);
    int kept = n - MICRO_PLACES + least;
    while (n > kept && buf[n - 1] == '0') {
        buf[--n] = '\0';
    }
    if (buf[n - 1] == '.') {
        buf[--n] = '\0';
    }
    return buf;
}
