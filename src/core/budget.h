/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Budgets: how much may be spent, by whom, in which span of time. A task counts against every budget whose scope it
 * falls in. What it may cost at worst is held before it starts, and before a machine is rented for it; what is charged
 * takes the hold's place, and what is left of it is released at the end. So spent and held together are
 * never more than a budget's amount, unless the budget was made or its amount lowered, or a price raised, under what runs: that is held all the same.
 */

#include "base/money.h"
#include "core/id.h"

enum {
    WEIR_BUDGET_NAME_SIZE = 64,
    WEIR_BUDGET_TAG_SIZE = 320, /* "key":"value" as in canonical JSON */
    WEIR_BUDGET_THRESHOLDS_MAX = 8,
    WEIR_BUDGETS_MAX = 4096,
};

/* Numbers, 0 is none. A payer's is for ever; a budget's may be given again once the budget was removed. */
struct weir_budget_id {
    uint32_t v;
};
struct weir_payer_id {
    uint32_t v;
};

enum weir_budget_scope {
    WEIR_BUDGET_ORGANISATION, /* everybody */
    WEIR_BUDGET_PROJECT,
    WEIR_BUDGET_USER,
    WEIR_BUDGET_TAG, /* one value of one tag */
    WEIR_BUDGET_SCOPE_MAX,
};

/* UTC. What is spent is counted from the start of the span, and anew in the next. */
enum weir_budget_span {
    WEIR_BUDGET_MONTH,
    WEIR_BUDGET_QUARTER,
    WEIR_BUDGET_FIXED, /* from and until; limits nothing before and after */
    WEIR_BUDGET_FOREVER,
    WEIR_BUDGET_SPAN_MAX,
};

/* What is done once so much of the amount is spent; each does what those before it do not. */
enum weir_budget_action {
    WEIR_BUDGET_WARN,       /* an event, no more */
    WEIR_BUDGET_LOCAL_ONLY, /* nothing new on rented machines */
    WEIR_BUDGET_STOP_NEW,   /* nothing new */
    WEIR_BUDGET_STOP_ALL,   /* nothing new; what runs saves and stops, and waits */
    WEIR_BUDGET_ACTION_MAX,
};

struct weir_budget_threshold {
    uint16_t percent; /* of the amount, spent; 1..1000 */
    uint8_t action;   /* enum weir_budget_action */
};

/* What a person sets. */
struct weir_budget {
    char name[WEIR_BUDGET_NAME_SIZE];
    uint8_t scope; /* enum weir_budget_scope */
    uint8_t span;  /* enum weir_budget_span */
    bool cloud_only; /* counts rented machines only */
    struct weir_project_id project;
    struct weir_user_id user;
    char tag[WEIR_BUDGET_TAG_SIZE];
    int64_t amount_micro;
    struct weir_wall from;  /* FIXED */
    struct weir_wall until; /* FIXED */
    uint32_t n_thresholds;
    struct weir_budget_threshold threshold[WEIR_BUDGET_THRESHOLDS_MAX]; /* by percent */
};

/*
 * Who pays for a job: all that a budget's scope may ask for. tags is the job's tags as canonical JSON
 * ({"team":"a"}), borrowed for the life of the core.
 */
struct weir_payer_view {
    struct weir_payer_id id;
    struct weir_project_id project;
    struct weir_user_id user;
    const char *tags;
};

struct weir_budget_view {
    struct weir_budget_id id;
    struct weir_budget def;
    struct weir_wall span_from; /* of the span that is under way, or the next; 0: no end, or no beginning */
    struct weir_wall span_until;
    int64_t charged_micro; /* in the span */
    int64_t held_micro;
    uint8_t reached;             /* a bit per threshold, in the span */
};

/*
 * What was posted to the ledger. Of a run: what it was charged. Of a rented machine (run is zero): its boot and idle
 * time; where is_cost, what the provider charged for all of it, which takes its part of the machine's hold. Of a correction
 * from outside: neither run nor is_cost, as nothing was held for it; below 0 where it takes back.
 */
struct weir_charged {
    struct weir_payer_id payer; /* of the run's job, or of the task that the machine was rented for */
    struct weir_run_id run;
    struct weir_lease_id lease; /* 0: owned */
    bool is_cost;
    struct weir_wall from; /* the span it is for */
    struct weir_wall to;
    int64_t micro;
};

const char *weir_budget_scope_name(enum weir_budget_scope s);
const char *weir_budget_span_name(enum weir_budget_span s);
const char *weir_budget_action_name(enum weir_budget_action a);

/* What is spent and held beyond its amount; 0: nothing. */
int64_t weir_budget_over_micro(const struct weir_budget_view *v);
/* The span of such a budget in which a time lies (FIXED: its only one, wherever the time lies). FOREVER: from 0 to WEIR_WALL_MAX. */
void weir_budget_span_at(const struct weir_budget *b, struct weir_wall at, struct weir_wall *ret_from, struct weir_wall *ret_until);
/* Does the budget count what that payer spends? Where it is cloud_only, not on what is owned. */
bool weir_budget_counts(const struct weir_budget *b, const struct weir_payer_view *payer);
