/* SPDX-License-Identifier: Apache-2.0 */
#include "forecast/spend.h"

static int64_t root(int64_t x)
{
    int64_t r = 0;
    for (int64_t bit = INT64_C(1) << 31; bit > 0; bit >>= 1) {
        int64_t t = r + bit;
        r = t <= x / t ? t : r;
    }
    return r;
}

struct weir_spend_ahead weir_spend_ahead(const struct weir_budget_view *v, struct weir_wall now)
{
    struct weir_spend_ahead a = {0};
    int64_t behind = now.us - v->span_from.us;
    if (behind <= 0 || v->span_from.us == 0) {
        return a;
    }
    a.known = v->span_until.us != 0;
    int64_t ahead = a.known ? weir_i64_sub_sat(v->span_until.us, now.us) : 0;
    ahead = ahead > 0 ? ahead : 0;
    a.spent_micro = weir_i64_add_sat(v->charged_micro, weir_mul_div_sat(v->charged_micro, ahead, behind));
    int64_t per_day = weir_mul_div_sat(v->charged_micro, WEIR_US_PER_DAY, behind);
    int64_t thousandths = weir_mul_div_sat(ahead, 1000, WEIR_US_PER_DAY); /* of days */
    int64_t variance = weir_i64_add_sat(weir_mul_div_sat(thousandths, 1000, 1),
                                        weir_mul_div_sat(thousandths, weir_mul_div_sat(ahead, 1000, behind), 1));
    a.error_micro = weir_mul_div_sat(per_day, root(variance), 1000);
    int64_t left = v->def.amount_micro - v->charged_micro;
    if (left <= 0) {
        a.empty = now;
    } else if (v->charged_micro > 0) {
        a.empty.us = weir_i64_add_sat(now.us, weir_mul_div_sat(behind, left, v->charged_micro));
        bool later = a.empty.us == INT64_MAX || (v->span_until.us != 0 && a.empty.us >= v->span_until.us);
        a.empty.us = later ? 0 : a.empty.us;
    }
    return a;
}
