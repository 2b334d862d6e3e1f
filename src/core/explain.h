/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Explain records: why a task was put where it is, or why it waits. Every decision leaves one. They hold
 * numbers and ids only; names are put in where they are shown. The rendered text of golden traces and
 * `weir explain` come from the same records.
 */

#include "core/event.h"

enum { WEIR_EXPLAIN_CANDIDATES_MAX = 8 };

enum weir_decision {
    WEIR_DECISION_START,   /* placed on a node that is there */
    WEIR_DECISION_RENT,    /* a lease is made for it */
    WEIR_DECISION_BIND,    /* waits for a lease that is booting */
    WEIR_DECISION_WAIT,    /* waits for owned or rented capacity: cheaper than the alternatives */
    WEIR_DECISION_BLOCKED, /* cannot go anywhere now; see the candidates' verdicts */
    WEIR_DECISION_PREEMPT, /* is stopped to make room; `other` is the task that comes */
    WEIR_DECISION_RETRY,   /* its attempt was lost or failed and it is queued again */
    WEIR_DECISION_END_LEASE, /* an idle rented node is given back (task is zero, node is set) */
    WEIR_DECISION_KEEP_LEASE, /* an idle one is not, for as long as expected_run says */
    WEIR_DECISION_MAX,
};

enum weir_candidate_kind {
    WEIR_CANDIDATE_OWNED_NOW,
    WEIR_CANDIDATE_OWNED_LATER,
    WEIR_CANDIDATE_RENTED_NOW,   /* a rented node with room */
    WEIR_CANDIDATE_RENTED_LATER, /* a rented node that will have room, or a lease that boots */
    WEIR_CANDIDATE_OFFER,
    WEIR_CANDIDATE_KIND_MAX,
};

enum weir_verdict {
    WEIR_VERDICT_CHOSEN,
    WEIR_VERDICT_DEARER,        /* fits, costs more in expectation */
    WEIR_VERDICT_NO_ROOM,       /* fits when empty, is busy */
    WEIR_VERDICT_TOO_SMALL,     /* would not fit even when empty */
    WEIR_VERDICT_WRONG_GPU,
    WEIR_VERDICT_GPU_MEMORY,
    WEIR_VERDICT_PLACEMENT,     /* cloud, region or local rule of the job */
    WEIR_VERDICT_MARKET,        /* spot not wanted, or only spot wanted */
    WEIR_VERDICT_MAX_COST,      /* expected cost over what is left of the task's limit */
    WEIR_VERDICT_DEADLINE,      /* would end too late */
    WEIR_VERDICT_RESERVED,      /* kept for a task with an earlier claim (backfill would delay it) */
    WEIR_VERDICT_STALE_PRICE,
    WEIR_VERDICT_NO_CAPACITY,   /* the provider had none a short while ago */
    WEIR_VERDICT_QUOTA,
    WEIR_VERDICT_NOT_LAUNCHABLE,/* no configured driver rents it */
    WEIR_VERDICT_LEASE_LIMIT,   /* policy: machines at once */
    WEIR_VERDICT_LAUNCHING,     /* launches there are unanswered: a few at a time */
    WEIR_VERDICT_DRAINING,
    WEIR_VERDICT_ARRAY_LIMIT,   /* the array's own %N */
    WEIR_VERDICT_POLICY,        /* a rule denies it */
    WEIR_VERDICT_BUDGET,        /* more than a budget has left; weir_explain.limit says which */
    WEIR_VERDICT_OVER_QUOTA,    /* more than a quota allows; weir_explain.quota says which */
    WEIR_VERDICT_FAILED,        /* a launch was refused for another reason, or did not come up, a short while ago */
    WEIR_VERDICT_SPEND_LIMIT,   /* policy: what all rented machines may cost an hour together */
    WEIR_VERDICT_PROVIDER_QUOTA,/* more than its provider allows, by what it told; weir_explain.provider_quota says which */
    WEIR_VERDICT_ZONE,          /* the gang wants one zone, and it is not known in which its machines are, or would be */
    WEIR_VERDICT_ENDS,          /* reserved: its machines are taken back before the work, or the stretch to its next checkpoint, would be done */
    WEIR_VERDICT_MAX,
};

struct weir_candidate {
    uint8_t kind;    /* enum weir_candidate_kind */
    uint8_t verdict; /* enum weir_verdict */
    struct weir_node_id node;
    uint64_t offer; /* weir_offer.id; 0: none */
    struct weir_lease_id lease;
    struct weir_dur start_delay;
    struct weir_dur boot;          /* of an offer, as is expected by now: launch to agent joined */
    uint32_t reclaim_ppm_per_hour; /* the same: how often it is taken back; spot only */
    /* the terms, micro-units; their sum is the score that is compared */
    int64_t run_micro;     /* price x expected run time */
    int64_t boot_micro;    /* boot and staging */
    int64_t failure_micro; /* launches that come to nothing before */
    int64_t egress_micro;
    int64_t reclaim_micro; /* expected work lost */
    int64_t wait_micro;    /* value of waiting x start delay */
    int64_t shadow_micro;  /* owned devices that others wait for */
    int64_t total_micro;
};

struct weir_explain {
    uint64_t seq;         /* of the event that led to it */
    struct weir_wall now;
    struct weir_task_id task;
    uint32_t attempt;
    uint8_t decision; /* enum weir_decision */
    struct weir_task_id other;
    struct weir_node_id node;
    struct weir_lease_id lease;
    char zone[WEIR_REGION_SIZE]; /* of START and RENT of a gang that asks for one zone: in which; of owned nodes, their region */
    uint32_t nodes;        /* of the same: how many */
    uint8_t reason;        /* enum weir_reason, for RETRY; of BLOCKED: IMPOSSIBLE where nothing that is there could ever run it */
    uint32_t queue_ahead;  /* waiting tasks that come before it (at most 1,000,000) */
    struct weir_dur expected_run;
    int64_t margin_micro;  /* second best minus chosen; INT64_MAX where there is no second */
    uint32_t n_considered; /* all candidates looked at; the best are kept below */
    uint32_t rejected[WEIR_VERDICT_MAX]; /* how many by verdict */
    struct weir_wall again_at; /* when the first of those that are left alone for NO_CAPACITY, QUOTA or FAILED may be asked for; 0: none is */
    /* the budget that is most in the way of what was rejected for one, what would have to be held and what it has left */
    struct weir_budget_id limit;
    int64_t limit_need_micro;
    int64_t limit_left_micro;
    struct weir_quota_id quota; /* or the quota; in what it counts, see weir_quota_counts. Of PREEMPT: whose share the other is within; 0: it goes by priority */
    int64_t quota_need;
    int64_t quota_left;
    uint64_t room; /* of weir_core_what_if: for how many such tasks the usable nodes, budgets and quotas have room now, whoever else waits */
    uint64_t provider_quota; /* of the best offer that is beyond one: weir_provider_quota_id; 0: none is */
    uint64_t provider_quota_offer;
    int64_t provider_quota_limit; /* in what it counts */
    int64_t provider_quota_used;
    int64_t provider_quota_need;
    uint8_t provider_quota_unit; /* enum weir_quota_unit */
    uint32_t n_candidates;
    struct weir_candidate candidate[WEIR_EXPLAIN_CANDIDATES_MAX]; /* best first */
};

const char *weir_decision_name(enum weir_decision d);
const char *weir_candidate_kind_name(enum weir_candidate_kind k);
/* The word ("no_room") and the sentence for a person ("fits, but is busy now"). */
const char *weir_verdict_name(enum weir_verdict v);
const char *weir_verdict_text(enum weir_verdict v);
