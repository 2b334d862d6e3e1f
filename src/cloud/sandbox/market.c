/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/sandbox/market.h"

#include "base/prng.h"

enum { SCALES = 6 };

static int64_t number_of(const struct sandbox_market *m, struct weir_wall t)
{
    return t.us / m->every.us;
}

struct weir_wall sandbox_market_since(const struct sandbox_market *m, struct weir_wall t)
{
    return m->every.us == 0 ? (struct weir_wall){0} : (struct weir_wall){number_of(m, t) * m->every.us};
}

/*
 * From -swing to swing: a sum of draws of which the first is new each time, the next every second time, and so on, and the slower weigh
 * more. So it wanders as a price does, a little from one to the next and far in a day, and never leaves its bounds.
 */
static int64_t wander_ppm(const struct sandbox_market *m, uint64_t offer, int64_t number)
{
    int64_t sum = 0;
    int64_t weights = 0;
    for (unsigned scale = 0; scale < SCALES; scale++) {
        uint64_t state = m->seed ^ offer ^ ((uint64_t)(number >> scale) * SCALES + scale) * UINT64_C(0x9e3779b97f4a7c15);
        int64_t weight = 1 + (int64_t)scale;
        sum += weight * ((int64_t)(weir_splitmix64(&state) % 2000001) - 1000000);
        weights += weight;
    }
    return sum / weights * m->swing_ppm / 1000000;
}

int64_t sandbox_market_price(const struct sandbox_market *m, uint64_t offer, int64_t listed_micro, struct weir_wall t)
{
    if (m->every.us == 0) {
        return listed_micro;
    }
    int64_t number = number_of(m, t);
    int64_t factor = m->n_factors > 0 ? m->factor_ppm[(uint64_t)number % m->n_factors] : 1000000 + wander_ppm(m, offer, number);
    int64_t price = weir_mul_div_sat(listed_micro, factor, 1000000);
    return price < 1 ? 1 : price;
}
