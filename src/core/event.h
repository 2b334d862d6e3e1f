/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Events: all that the core ever learns. Each carries seq (increasing by one) and now (never decreasing: the
 * program that feeds the core sees to it, also when the machine's clock jumps). Pointers inside an event are
 * borrowed for the step only. Whatever an event says about an object that the core does not know, or that
 * is past the state where it matters (a late or repeated report), is ignored without harm.
 */

#include "core/budget.h"
#include "core/model.h"
#include "core/policy.h"
#include "core/provider_quota.h"
#include "core/quota.h"

enum weir_event_kind {
    WEIR_EVENT_TICK, /* time has passed; see weir_effects.wake_at */
    WEIR_EVENT_PROJECT_SET,
    WEIR_EVENT_JOB_SUBMIT,
    WEIR_EVENT_JOB_CANCEL,
    WEIR_EVENT_JOB_EXPECT, /* what its tasks that have not ended are expected to take, as is known by now */
    WEIR_EVENT_NODE_JOIN,
    WEIR_EVENT_NODE_LOST,   /* silent for too long: its tasks run again elsewhere after lost_grace */
    WEIR_EVENT_NODE_BACK,   /* a lost node was heard of again; its runs are as they were */
    WEIR_EVENT_NODE_DRAIN,  /* takes nothing new */
    WEIR_EVENT_NODE_RESUME,
    WEIR_EVENT_NODE_GONE,   /* removed for good; whatever ran there is lost */
    WEIR_EVENT_NODE_RATES,  /* a node costs otherwise from now on: another tariff; of a rented one, its full rate is the price */
    WEIR_EVENT_RUN_STARTED,
    WEIR_EVENT_RUN_ENDED,
    WEIR_EVENT_RUN_CHECKPOINTED,
    WEIR_EVENT_LEASE_CONFIRMED, /* the provider made the machine */
    WEIR_EVENT_LEASE_REFUSED,   /* the provider did not; nothing costs */
    WEIR_EVENT_LEASE_NOTICE,    /* the provider will take it back at reclaim_at */
    WEIR_EVENT_LEASE_ENDED,     /* proven gone */
    WEIR_EVENT_LEASE_RELEASE,   /* a person asks to end it: drain, then end */
    WEIR_EVENT_OFFERS_SET,      /* replaces all offers of one provider */
    WEIR_EVENT_BUDGET_SET,
    WEIR_EVENT_BUDGET_REMOVE,
    WEIR_EVENT_POLICY_DEFINE, /* the next list of rules */
    WEIR_EVENT_JOB_POLICY,    /* other rules hold for what of it does not run yet */
    WEIR_EVENT_QUOTA_SET,
    WEIR_EVENT_QUOTA_REMOVE,
    WEIR_EVENT_CHARGED, /* what was posted since the last; see weir_core_awaits_charges */
    WEIR_EVENT_PROVIDER_QUOTAS_SET, /* replaces all that one provider told of how much it allows */
    WEIR_EVENT_MAX,
};

/* Why a lease did not come to be: the provider contract's classes without OK and UNKNOWN, and what was made but is of no use. */
enum weir_refusal {
    WEIR_REFUSAL_NO_CAPACITY,
    WEIR_REFUSAL_QUOTA,
    WEIR_REFUSAL_THROTTLED,
    WEIR_REFUSAL_REFUSED,
    WEIR_REFUSAL_BOOT_FAILED, /* was made, but its agent never joined in time */
    WEIR_REFUSAL_FELL_SHORT,  /* was made, and its agent joined with fewer or other GPUs than the offer promised */
    WEIR_REFUSAL_MAX,
};

enum { WEIR_ORDINAL_ALL = UINT32_MAX };

struct weir_event {
    uint64_t seq;
    struct weir_wall now;
    enum weir_event_kind kind;
    union {
        struct {
            struct weir_project_id project;
            uint32_t weight;                   /* fair share, >= 1; 100 is usual */
            int64_t delay_cost_micro_per_hour; /* value of waiting of its tasks by default */
        } project_set;
        struct {
            struct weir_job_id job; /* from weir_core_take_job_id */
            struct weir_project_id project;
            struct weir_user_id user;
            int32_t priority; /* 0..1000 */
            uint32_t n_tasks; /* 1..WEIR_ARRAY_TASKS_MAX */
            uint32_t parallel_max; /* 0: no limit */
            struct weir_wall deadline; /* 0: none */
            const struct weir_request *request; /* zeroed padding; copied */
            const char *tags; /* canonical JSON, copied; NULL: none */
        } job_submit;
        struct {
            struct weir_job_id job;
            uint32_t ordinal; /* or WEIR_ORDINAL_ALL */
        } job_cancel;
        struct {
            struct weir_job_id job;
            struct weir_dur expected; /* > 0 */
        } job_expect;
        struct {
            const struct weir_node_spec *spec; /* copied; joins again with changed hardware are allowed */
        } node_join;
        struct {
            struct weir_node_id node;
        } node; /* LOST, BACK, DRAIN, RESUME, GONE */
        struct {
            struct weir_node_id node;
            struct weir_node_rates rates;
            struct weir_wall at; /* of a rented one: the price holds since then, clamped by the core into its last change..now; 0: now */
        } node_rates;
        struct {
            struct weir_run_id run;
            uint32_t rank;
            struct weir_wall at; /* clamped by the core into placed..now */
            bool all_ranks;      /* STARTED: of a gang, all at once; rank does not count */
        } run; /* STARTED, CHECKPOINTED */
        struct {
            struct weir_run_id run;
            uint32_t rank;
            struct weir_wall at;
            uint8_t reason; /* enum weir_reason */
            int32_t exit_code;
            int32_t signal;
            bool all_ranks; /* those of a gang that have not ended, all at once: nobody is given a part of what it leaves; rank does not count */
        } run_ended;
        struct {
            struct weir_lease_id lease;
            struct weir_wall at; /* CONFIRMED: billing starts; ENDED: billing ended; NOTICE: reclaim_at */
            bool reclaimed;      /* ENDED: by the provider's own will */
        } lease;
        struct {
            struct weir_lease_id lease;
            uint8_t refusal; /* enum weir_refusal */
            struct weir_dur retry_after;
        } lease_refused;
        struct {
            const char *provider;
            const struct weir_offer *offer; /* all of that provider */
            size_t n;
        } offers_set;
        struct {
            const char *provider;
            const struct weir_provider_quota *quota; /* all of that provider */
            size_t n;
            struct weir_wall as_of; /* when it was asked */
        } provider_quotas_set;
        struct {
            const struct weir_budget *budget; /* one of that name is replaced */
            int64_t charged_micro; /* of a new one, or of one whose scope or span changes: what was spent in the span before */
        } budget_set;
        struct {
            const char *name;
        } budget_remove;
        struct {
            uint32_t number; /* one more than there are */
            const struct weir_policy_rule *rule;
            size_t n;
        } policy_define;
        struct {
            struct weir_job_id job;
            uint32_t policy;
        } job_policy;
        struct {
            const struct weir_quota *quota; /* one of that name is replaced */
        } quota_set;
        struct {
            const char *name;
        } quota_remove;
        struct {
            const struct weir_charged *charge;
            size_t n;
        } charged;
    } u;
};

const char *weir_event_name(enum weir_event_kind k);
const char *weir_refusal_name(enum weir_refusal r);
/* Was there a machine, that was given up for it? */
bool weir_refusal_is_given_up(uint8_t refusal);
