/* SPDX-License-Identifier: Apache-2.0 */

#include "core/order.h"

#include "base/money.h"

int64_t weir_order_remaining(struct weir_dur left, struct weir_dur start, bool running, uint32_t gpus)
{
    return weir_mul_div_sat(weir_i64_add_sat(left.us, running ? 0 : start.us), gpus, 1);
}

int64_t weir_order_level_end_s(unsigned level)
{
    static const int64_t first_s = 60;
    return level + 1 >= WEIR_ORDER_LEVELS ? INT64_MAX : first_s << 3 * level;
}
