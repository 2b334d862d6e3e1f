/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Effects: all that the core wants done, and all that it changed. Owned by the core until the next step.
 *
 * The program stores the changed objects, the effects to send and the explain records in one
 * transaction, and only then sends. An effect's id is (seq of the event, its number in the step); it is
 * unique for ever and is the idempotency token where the outside has one. Effects that were not
 * known to be done before a crash are sent again under the same id.
 */

#include "core/explain.h"

enum weir_effect_kind {
    WEIR_EFFECT_RUN_START,       /* tell the node's agent to start this rank of the run */
    WEIR_EFFECT_RUN_STOP,        /* tell it to stop: signal, grace, kill */
    WEIR_EFFECT_LEASE_LAUNCH,    /* rent; token is the lease's */
    WEIR_EFFECT_LEASE_TERMINATE,
    WEIR_EFFECT_LEASE_EXTEND,    /* a later expiry; the agent is told */
    /* metering, for bill/: never sent anywhere */
    WEIR_EFFECT_METER_OPEN,      /* the node begins to cost (owned: joined; rented: confirmed); of a rented one that does: it is of another size */
    WEIR_EFFECT_METER_READY,     /* rented: booted; what came before is boot waste */
    WEIR_EFFECT_METER_CLOSE,     /* the node ceases to cost */
    WEIR_EFFECT_METER_RATES,     /* it costs otherwise; of a rented one the lease says what */
    WEIR_EFFECT_SEGMENT_OPEN,    /* a run occupies part of a node from here */
    WEIR_EFFECT_SEGMENT_CLOSE,
    WEIR_EFFECT_SEGMENT_VERDICT, /* of one that was closed as PENDING */
    WEIR_EFFECT_MAX,
};

/* What became of a segment's work; decides the account it is booked on. */
enum weir_outcome {
    WEIR_OUTCOME_USED,   /* the job's */
    WEIR_OUTCOME_FAILED, /* the attempt failed: waste, failed tasks */
    WEIR_OUTCOME_PENDING, /* the job's as it seems; a rank of a gang whose others go on: a verdict follows when they have ended */
    WEIR_OUTCOME_LOST,   /* lost after `kept_until` (last checkpoint): waste, lost work */
    WEIR_OUTCOME_MAX,
};

struct weir_effect {
    enum weir_effect_kind kind;
    uint32_t number; /* in the step, from 0 */
    struct weir_node_id node;
    struct weir_lease_id lease;
    struct weir_run_id run;
    uint32_t rank;
    struct weir_wall at; /* METER_*, SEGMENT_*: from when */
    union {
        struct {
            uint32_t gpu_mask;
            uint32_t nodes; /* gang size; the node of each rank is in the task's view */
        } run_start;
        struct {
            uint8_t reason; /* enum weir_reason; the job's checkpoint signal goes first for PREEMPT and RECLAIM */
            struct weir_dur grace;
        } run_stop;
        struct {
            const struct weir_offer *offer; /* borrowed until the next step */
            struct weir_wall expires;
        } lease_launch;
        struct {
            struct weir_wall expires;
        } lease_extend;
        struct {
            uint32_t gpus;
            uint32_t cpu_milli;
            uint8_t outcome; /* SEGMENT_CLOSE, SEGMENT_VERDICT (not PENDING): enum weir_outcome */
            struct weir_wall kept_until; /* LOST: work before this is kept */
        } segment;
        struct {
            struct weir_task_id task; /* for which the machine was rented: boot waste bears its project */
        } meter;
    } u;
};

struct weir_effects {
    uint64_t seq;
    const struct weir_effect *effect;
    size_t n_effects;
    const struct weir_explain *explain;
    size_t n_explains;
    /* objects whose views changed; each at most once, in order of first change */
    const struct weir_job_id *job;
    size_t n_jobs;
    const struct weir_task_id *task;
    size_t n_tasks;
    const struct weir_node_id *node;
    size_t n_nodes;
    const struct weir_lease_id *lease;
    size_t n_leases;
    const struct weir_hold_id *hold;
    size_t n_holds;
    const struct weir_project_id *project;
    size_t n_projects;
    const struct weir_budget_id *budget; /* one that is not known any more was removed */
    size_t n_budgets;
    const struct weir_quota_id *quota; /* the same */
    size_t n_quotas;
    /* of whose waiting tasks it became known that nothing can run them, or that something can: weir_core_is_impossible */
    const uint32_t *shape;
    size_t n_shapes;
    /* feed a TICK at this time at the latest; WEIR_WALL_MAX: not needed */
    struct weir_wall wake_at;
};

const char *weir_effect_name(enum weir_effect_kind k);
