/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What will be spent of a budget by the end of its span. */

#include "core/budget.h"

struct weir_spend_ahead {
    bool known;             /* the span has begun, and has an end */
    int64_t spent_micro;    /* at the span's end */
    int64_t error_micro;    /* one standard deviation */
    struct weir_wall empty; /* when nothing will be left; 0: not in this span */
};

/*
 * Spending goes on as it did since the span began. The error takes the days to be independent, and to vary by as much as
 * they are on average: over d days behind and r ahead it is a day's spending times the root of (r + r * r / d).
 */
struct weir_spend_ahead weir_spend_ahead(const struct weir_budget_view *v, struct weir_wall now);
