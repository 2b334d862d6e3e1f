/* SPDX-License-Identifier: Apache-2.0 */

#include "core/evidence.h"

#include "base/money.h"
#include "base/wtime.h"
#include "core/arith.h"

enum { HALF_LIFE_DAYS = 7, MILLION = 1000000 };

int64_t weir_evidence_weight_ppm(int64_t days)
{
    static const int64_t in_week[HALF_LIFE_DAYS] = {1000000, 905724, 820335, 742997, 672950, 609507, 552045}; /* 2^(-d/7) */
    if (days >= WEIR_EVIDENCE_DAYS) {
        return 0;
    }
    days = max_i64(days, 0);
    return in_week[days % HALF_LIFE_DAYS] >> (days / HALF_LIFE_DAYS);
}

void weir_evidence_weigh(struct weir_evidence *to, const struct weir_evidence *seen, int64_t days)
{
    int64_t w = weir_evidence_weight_ppm(days);
    const struct weir_evidence e = {
        .boots = weir_mul_div_sat(seen->boots, w, 1),
        .failures = weir_mul_div_sat(seen->failures, w, 1),
        .reclaims = weir_mul_div_sat(seen->reclaims, w, 1),
        .late_us = weir_mul_div_sat(seen->late_us, w, MILLION),
        .lost_us = weir_mul_div_sat(seen->lost_us, w, MILLION),
        .paid_us = weir_mul_div_sat(seen->paid_us, w, MILLION),
        .expected_ppm = weir_mul_div_sat(seen->expected_ppm, w, MILLION),
        .lived_us = weir_mul_div_sat(seen->lived_us, w, MILLION),
    };
    weir_evidence_add(to, &e);
}

void weir_evidence_add(struct weir_evidence *to, const struct weir_evidence *e)
{
    to->boots = weir_i64_add_sat(to->boots, e->boots);
    to->failures = weir_i64_add_sat(to->failures, e->failures);
    to->late_us = weir_i64_add_sat(to->late_us, e->late_us);
    to->lost_us = weir_i64_add_sat(to->lost_us, e->lost_us);
    to->paid_us = weir_i64_add_sat(to->paid_us, e->paid_us);
    to->reclaims = weir_i64_add_sat(to->reclaims, e->reclaims);
    to->expected_ppm = weir_i64_add_sat(to->expected_ppm, e->expected_ppm);
    to->lived_us = weir_i64_add_sat(to->lived_us, e->lived_us);
}

static void take(int64_t *from, int64_t v)
{
    *from = max_i64(weir_i64_sub_sat(*from, v), 0);
}

void weir_evidence_take(struct weir_evidence *from, const struct weir_evidence *e)
{
    from->late_us = weir_i64_sub_sat(from->late_us, e->late_us);
    take(&from->boots, e->boots);
    take(&from->failures, e->failures);
    take(&from->lost_us, e->lost_us);
    take(&from->paid_us, e->paid_us);
    take(&from->reclaims, e->reclaims);
    take(&from->expected_ppm, e->expected_ppm);
    take(&from->lived_us, e->lived_us);
}

/* The mean of what was seen and of so many machines that are as is believed. */
static int64_t mean(int64_t believed_us, int64_t machines, int64_t seen_us, int64_t boots_ppm)
{
    int64_t sum = weir_i64_add_sat(weir_mul_div_sat(believed_us, machines, 1), seen_us);
    return weir_mul_div_sat(sum, MILLION, weir_i64_add_sat(boots_ppm, machines * MILLION));
}

struct weir_estimate weir_estimate_of(const struct weir_estimate *wider, const struct weir_evidence *weighed, int64_t times)
{
    int64_t machines = WEIR_EVIDENCE_MACHINES * times;
    int64_t expected = WEIR_EVIDENCE_RECLAIMS * times;
    int64_t reclaims = weir_i64_add_sat(weighed->reclaims, weir_mul_div_sat(wider->reclaim_ppm, expected, 1));
    return (struct weir_estimate){
        .late_us = mean(wider->late_us, machines, weighed->late_us, weighed->boots),
        .lost_us = mean(wider->lost_us, machines, weighed->lost_us, weighed->boots),
        .paid_us = mean(wider->paid_us, machines, weighed->paid_us, weighed->boots),
        .reclaim_ppm = weir_mul_div_sat(reclaims, MILLION, weir_i64_add_sat(weighed->expected_ppm, expected * MILLION)),
    };
}

static int64_t to_expect(uint32_t listed_ppm)
{
    return max_i64(listed_ppm, WEIR_EVIDENCE_RECLAIM_PPM_MIN);
}

uint32_t weir_estimate_reclaim_ppm(const struct weir_estimate *e, uint32_t listed_ppm)
{
    int64_t more = e->reclaim_ppm - MILLION; /* an offer that says next to nothing is not multiplied, but added to */
    int64_t of = more > 0 ? to_expect(listed_ppm) : listed_ppm;
    int64_t ppm = weir_i64_add_sat(listed_ppm, weir_mul_div_sat(of, more, MILLION));
    return (uint32_t)min_i64(max_i64(ppm, 0), UINT32_MAX);
}

int64_t weir_evidence_expected_ppm(uint32_t listed_ppm_per_hour, int64_t lived_us)
{
    return weir_mul_div_sat(to_expect(listed_ppm_per_hour), max_i64(lived_us, 0), WEIR_US_PER_HOUR);
}
