/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What budgets and quotas did to the work of a run, one line for each of a budget's spans in which anything counted, and of a quota's in which anybody waited. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "budgets.h"

struct weir_sim_reached {
    char threshold[24]; /* "80:warn" */
    struct weir_wall at; /* when it was seen */
};

struct weir_sim_budget_span {
    char name[WEIR_BUDGET_NAME_SIZE];
    char scope[WEIR_SIM_BUDGET_TEXT_SIZE];
    bool cloud_only;
    bool is_quota; /* of a quota: nothing of money is known */
    char counts[WEIR_SIM_BUDGET_TEXT_SIZE]; /* a quota: "gpus:H100" */
    double limit; /* a quota: so many of that */
    /* in the work's own time; 0: no begin, no end */
    struct weir_wall from;
    struct weir_wall until;
    int64_t amount_micro;
    int64_t spent_micro; /* what counted */
    int64_t without_micro; /* what would have counted without any budget; < 0: not known */
    uint64_t held_back; /* tasks that waited for it */
    double waited_h; /* for how long, all together */
    uint64_t waiting; /* tasks that still did when the span ended */
    uint64_t never; /* tasks that waited for it and never began */
    size_t n_reached;
    struct weir_sim_reached reached[WEIR_BUDGET_THRESHOLDS_MAX];
};

struct weir_sim_budget_spans {
    size_t n;
    struct weir_sim_budget_span *span;
};

/* Adds one, zeroed but for without_micro; borrowed until the next. */
struct weir_sim_budget_span *weir_sim_budget_spans_add(struct weir_sim_budget_spans *s);
/* NULL where there is none. */
struct weir_sim_budget_span *weir_sim_budget_spans_find(const struct weir_sim_budget_spans *s, const char *name, struct weir_wall from);
void weir_sim_budget_spans_free(struct weir_sim_budget_spans *s);
/* Money that was not spent in the span for the sake of its budget and all others; 0 where that is not known. */
int64_t weir_sim_budget_span_saved(const struct weir_sim_budget_span *s);
/* [{"budget": .., "scope": .., "counts": .., "from": .., "until": .., "amount": .., "spent": .., ...}] */
void weir_sim_budget_spans_json(const struct weir_sim_budget_spans *s, struct weir_json *j);
