/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The decision core: step(event) -> effects. Pure and deterministic: the same events give the same
 * effects, on any machine, whether the world around is real, simulated or a test.
 *
 * weir_core_step folds the event into the state (update) and then looks at the state and says what to
 * do (plan). plan is idempotent: a TICK at the same now right after a step has no effects.
 *
 * After a restart the program restores the objects from its store in the order: conf, shapes, projects,
 * payers, budgets, jobs, nodes, leases, tasks, holds, offers; then steps on. Offers and providers' quotas are told anew by events.
 */

#include "base/err.h"
#include "core/effect.h"

/* Policy parameters. Data, so that a simulator can turn them. */
struct weir_core_conf {
    struct weir_gpu_table *gpus;       /* outlives the core */
    struct weir_dur fair_half_life;    /* of money spent, for fair share; default 7 days */
    int64_t delay_cost_micro_per_hour; /* where neither job nor project say; default 0.10 */
    uint32_t age_points_per_hour;      /* priority gained by waiting, in thousandths of a priority point; default 1000 */
    uint32_t yield_per_mille;          /* a task counts as so much of its expected run time younger; default 250 */
    struct weir_dur review_period;     /* all that waits is weighed anew so often, for what time alone changes; at least 1 s, default 10 s */
    uint32_t leases_max;               /* machines at once, not ended; default 64 */
    int64_t spend_micro_per_hour_max;  /* of all rented machines together, by their quotes; 0: no limit. Reserved ones are paid for anyway and do not count */
    struct weir_dur lease_term;        /* a lease's expiry is this long after now, extended while used; default 1 h */
    struct weir_dur boot_limit;        /* a lease whose agent has not joined by then is given up; default 15 min */
    struct weir_dur lost_grace;        /* a lost node's tasks run again elsewhere after this; default 2 min */
    struct weir_dur capacity_memory;   /* how long "no capacity" of an offer is remembered; default 10 min */
    uint32_t retries_lost_max;         /* attempts lost to machines (not the task's fault) before it fails; default 100 */
    uint32_t preempt_priority_gap;     /* least difference in priority for preemption; default 100; 0: never */
    uint32_t reservations_max;         /* tasks at the head of the queue that get a reserved start; default 64 */
    uint64_t stage_bytes_per_s;        /* at which a task's data comes to a rented machine; > 0, default 100 MiB */
    bool spill;                        /* rent at all; default true */
    bool learn_offers;                 /* boots, failed launches and reclaims of machines count for the next; default true */
};

/* All defaults but gpus. */
struct weir_core_conf weir_core_conf_default(void);

struct weir_core;

/* Never NULL. */
struct weir_core *weir_core_new(const struct weir_core_conf *conf);
void weir_core_free(struct weir_core *c);

/*
 * The one way in. *ret is filled with borrowed arrays, valid until the next call on the core.
 * Errors: -WEIR_EINVAL: seq or now go backwards, or a job id is used twice; nothing has changed then.
 */
int weir_core_step(struct weir_core *c, const struct weir_event *ev, struct weir_effects *ret, struct weir_err *err);

/*
 * For those who feed millions of events and know which comes soon: what the end of the job's run reads is brought into the
 * processor's cache. The first call fetches the job, the second, a little later, with_run, what the job points to. Nothing is
 * changed; a job that is not there is passed over.
 */
void weir_core_fetch(const struct weir_core *c, struct weir_job_id job, bool with_run);

/* Ids for new objects; each call gives the next. Restore raises them past what it sees. */
struct weir_job_id weir_core_take_job_id(struct weir_core *c);
struct weir_node_id weir_core_take_node_id(struct weir_core *c);
/* The least ids that may be given out next, for restore. */
void weir_core_restore_ids(struct weir_core *c, uint64_t next_job, uint64_t next_node, uint64_t next_lease, uint64_t next_hold);

/*
 * Could such a request ever run, on the nodes and offers that are known (busy or not)? Where not, *ret holds
 * the reasons by candidate and *nearest (may be NULL) the request changed as little as needed to be possible;
 * *has_nearest says whether there is one. For the refusal at submit. Where it is possible by offers alone, and each is more than a quota of its
 * provider ever allows, ret->provider_quota is one of those.
 */
bool weir_core_possible(struct weir_core *c,
                        const struct weir_request *request,
                        struct weir_wall now,
                        struct weir_explain *ret,
                        struct weir_request *nearest,
                        bool *has_nearest);

/* A fresh explanation of a waiting task: what plan would say now. False where it is not waiting. */
bool weir_core_explain(struct weir_core *c, struct weir_task_id task, struct weir_wall now, struct weir_explain *ret);

/*
 * What would be decided at submit->now for the first task of a JOB_SUBMIT (its job's id is not read; a project that is
 * not known has the defaults). Nothing is changed or remembered. The explanation names no task, and tells for how many like it there is room.
 * False: it is not well formed, err says why.
 */
bool weir_core_what_if(struct weir_core *c, const struct weir_event *submit, struct weir_explain *ret, struct weir_err *err);

/* What is believed of the offer. False: nothing was seen of its provider and market, it is as it says. */
bool weir_core_learned(const struct weir_core *c, const struct weir_offer *o, struct weir_learned *ret);

/* Checks every invariant over the whole state; slow; for tests, fuzzing and simulation. False: err says which. */
bool weir_core_check(const struct weir_core *c, struct weir_err *err);

/* ---- views: what is stored and shown. Plain copies. ---- */

struct weir_job_view {
    struct weir_job_id id;
    struct weir_project_id project;
    struct weir_user_id user;
    struct weir_payer_id payer;
    uint32_t shape; /* number of its request; see weir_core_shape */
    int32_t priority;
    uint32_t n_tasks;
    uint32_t parallel_max;
    enum weir_job_state state;
    uint32_t count[WEIR_TASK_STATE_MAX];
    struct weir_wall submitted;
    struct weir_wall started; /* first start of any task; 0 */
    struct weir_wall ended;   /* 0 */
    struct weir_wall deadline;
    bool cancelled; /* a person asked for all of it */
};

/* What became of a gang's rank; PENDING: its segment was closed so, and has no verdict yet. */
enum { WEIR_RANK_STARTED = 1, WEIR_RANK_ENDED = 2, WEIR_RANK_FAILED = 4, WEIR_RANK_PENDING = 8 };

struct weir_task_view {
    struct weir_task_id id;
    enum weir_task_state state;
    enum weir_reason reason;  /* of the last ended attempt, or of the stop under way */
    uint32_t attempt;         /* 0: never started */
    uint32_t failures;        /* attempts that failed of their own making */
    uint32_t losses;          /* attempts lost to machines */
    struct weir_node_id node; /* rank 0's; 0: none */
    uint32_t gpu_mask;        /* on rank 0's node */
    uint32_t n_nodes;         /* gang: how many entries in the arrays below */
    const struct weir_node_id *gang_node; /* by rank, borrowed until the next step; NULL where n_nodes is 1 */
    const uint32_t *gang_mask;
    const uint8_t *gang_state; /* by rank: WEIR_RANK_*; from bit 4 on
                                * the reason of the end that counts for the run (enum weir_reason), at that rank */
    struct weir_lease_id lease; /* bound to a booting lease; 0 */
    struct weir_wall queued;    /* became waiting (again) */
    struct weir_wall placed;    /* resources were taken */
    struct weir_wall started;   /* this attempt */
    struct weir_wall first_started;
    struct weir_wall ended;
    struct weir_wall checkpointed; /* last checkpoint of this task, any attempt */
    struct weir_hold_id hold;
    int64_t spent_micro; /* of what has ended, attempts and ranks, by the core's estimate; for max_cost */
    int32_t exit_code;
    int32_t signal;
    uint32_t ranks_started; /* gang bookkeeping */
    uint32_t ranks_ended;
};

struct weir_node_view {
    struct weir_node_spec spec;
    enum weir_node_state state;
    bool joined;              /* rented: its agent has joined */
    struct weir_wall since;   /* of the state */
    struct weir_wall idle_since; /* 0: not idle */
    uint32_t gpu_free_mask;
    uint32_t cpu_free_milli;
    uint64_t mem_free_mib;
    uint32_t n_runs;
};

struct weir_lease_view {
    struct weir_lease_id id;
    struct weir_node_id node;
    enum weir_lease_state state;
    struct weir_offer offer; /* the quote, frozen */
    int64_t price_micro_per_hour; /* what it costs now: the quote, until its provider's price for it changes; restored as 0: the quote */
    struct weir_wall priced; /* since then; 0: since its beginning */
    int64_t priced_micro;    /* what it had cost by then */
    struct weir_task_id task; /* for which it was rented */
    struct weir_wall intent_at;
    struct weir_wall confirmed_at;
    struct weir_wall ready_at;
    struct weir_wall reclaim_at; /* notice; 0 */
    struct weir_wall ending_at; /* of FAILED: the offer is not asked again before this */
    struct weir_wall ended_at;
    struct weir_wall expires;
    uint8_t refusal; /* enum weir_refusal; of FAILED, and of others where weir_refusal_is_given_up */
    struct weir_payer_id payer; /* who pays for its boot and idle time */
    int64_t held_micro;    /* what all of it may cost at worst; 0 where no budget counts it */
    int64_t charged_micro; /* by its provider, of what is held */
    bool reclaimed;
};

struct weir_hold_view {
    struct weir_hold_id id;
    struct weir_task_id task;
    uint32_t attempt;
    struct weir_project_id project;
    /* worst case: rate x max duration, or what is left of max_cost where that is less; where a budget counts it also what
     * starting and stopping may take */
    int64_t amount_micro;
    int64_t charged_micro; /* of it; kept where a budget counts it */
    struct weir_wall until; /* the run is over then, at the latest; 0: not known (stored before there were quotas) */
    enum weir_hold_state state;
};

struct weir_project_view {
    struct weir_project_id id;
    uint32_t weight;
    int64_t delay_cost_micro_per_hour;
    int64_t spent_decayed_micro; /* at spent_at */
    struct weir_wall spent_at;
    uint32_t waiting; /* tasks */
    uint32_t running;
};

/* False where not known (any more): ended jobs are forgotten at the step after their end was reported. */
bool weir_core_job(const struct weir_core *c, struct weir_job_id id, struct weir_job_view *ret);
bool weir_core_task(const struct weir_core *c, struct weir_task_id id, struct weir_task_view *ret);
bool weir_core_node(const struct weir_core *c, struct weir_node_id id, struct weir_node_view *ret);
bool weir_core_lease(const struct weir_core *c, struct weir_lease_id id, struct weir_lease_view *ret);
bool weir_core_hold(const struct weir_core *c, struct weir_hold_id id, struct weir_hold_view *ret);
bool weir_core_project(const struct weir_core *c, struct weir_project_id id, struct weir_project_view *ret);
bool weir_core_budget(const struct weir_core *c, struct weir_budget_id id, struct weir_budget_view *ret);
/* Known budgets in order of id; returns how many there are, writes at most max. */
size_t weir_core_budgets(const struct weir_core *c, struct weir_budget_id *ret, size_t max);
bool weir_core_quota(const struct weir_core *c, struct weir_quota_id id, struct weir_quota_view *ret);
/* As weir_core_budgets. */
size_t weir_core_quotas(const struct weir_core *c, struct weir_quota_id *ret, size_t max);
/* What providers allow at most, and what of it is in use by now, as far as is known; returns how many there are, writes at most max. */
size_t weir_core_provider_quotas(const struct weir_core *c, struct weir_told_quota *ret, size_t max);
/* The one of that weir_provider_quota_id; false where it is not known (any more). */
bool weir_core_provider_quota(const struct weir_core *c, uint64_t id, struct weir_told_quota *ret);
/* Payers are never forgotten. */
bool weir_core_payer(const struct weir_core *c, struct weir_payer_id id, struct weir_payer_view *ret);
/* Is anything held for what has ended, until it is known what it was charged? Feed CHARGED, be it empty, when all of it is posted. */
bool weir_core_awaits_charges(const struct weir_core *c);
/* Does any budget count what that payer spends? What others are charged need not be told. */
bool weir_core_is_budgeted(const struct weir_core *c, struct weir_payer_id payer);
/* A budget or quota (the other is 0) has no room for what waits of the shape, of payers of such a set of budgets and quotas. */
struct weir_parked {
    uint32_t shape;
    uint32_t set;
    struct weir_budget_id budget;
    struct weir_quota_id quota;
};
/* All, in no order that means anything, some more than once; writes at most max, returns how many it wrote. */
size_t weir_core_parked(struct weir_core *c, struct weir_parked *ret, size_t max);
/* The payer's set, until a budget or quota is set or removed; 0: none. */
uint32_t weir_core_payer_set(const struct weir_core *c, struct weir_payer_id payer);
/* The request of a shape; borrowed for the life of the core. NULL where there is none. */
const struct weir_request *weir_core_shape(const struct weir_core *c, uint32_t shape);
/* How many lists of rules there are; the rules of one, borrowed for the life of the core (NULL: there is none). */
uint32_t weir_core_policies(const struct weir_core *c);
const struct weir_policy_rule *weir_core_policy(const struct weir_core *c, uint32_t number, size_t *ret_n);
/* Can nothing that is there or can be rented ever run what waits of the shape, as far as was found out? */
bool weir_core_is_impossible(const struct weir_core *c, uint32_t shape);
/* Jobs that have not ended with lower ids, the newest first; returns how many it wrote: fewer than max are the last. */
size_t weir_core_jobs_before(const struct weir_core *c, struct weir_job_id before, struct weir_job_id *ret, size_t max);
/*
 * Is the machine what the offer promised: of GPUs as many at least, of that model or a greater one of its family, each with seven
 * eighths of the memory? Cores and memory of the host do not count: tasks are placed by what came.
 */
bool weir_offer_is_kept(const struct weir_gpu_table *gpus, const struct weir_offer *o, const struct weir_node_spec *came);
/* Known nodes and leases in order of id; returns how many there are, writes at most max. */
size_t weir_core_nodes(const struct weir_core *c, struct weir_node_id *ret, size_t max);
size_t weir_core_leases(const struct weir_core *c, struct weir_lease_id *ret, size_t max);

struct weir_core_stats {
    uint64_t jobs;           /* not ended */
    uint64_t tasks_waiting;
    uint64_t tasks_running;  /* starting, running, stopping */
    uint64_t shapes;
    uint64_t bytes;          /* memory held by the core, about */
};
struct weir_core_stats weir_core_stats(const struct weir_core *c);

/* ---- restore: only before the first step ---- */

/* Errors of all: -WEIR_ECORRUPT, naming the object. */
/* In order of their numbers, before shapes. */
int weir_core_restore_policy(struct weir_core *c, uint32_t number, const struct weir_policy_rule *rule, size_t n, struct weir_err *err);
int weir_core_restore_shape(struct weir_core *c, uint32_t shape, const struct weir_request *r, struct weir_err *err);
int weir_core_restore_project(struct weir_core *c, const struct weir_project_view *v, struct weir_err *err);
/* Before jobs and leases. */
int weir_core_restore_payer(struct weir_core *c, const struct weir_payer_view *v, struct weir_err *err);
/* held_micro and the rate follow from what runs. */
int weir_core_restore_budget(struct weir_core *c, const struct weir_budget_view *v, struct weir_err *err);
/* What counts now follows from what runs. */
int weir_core_restore_quota(struct weir_core *c, const struct weir_quota_view *v, struct weir_err *err);
/* All tasks are WAITING then, unless restore_task says otherwise. count[] is not read. */
int weir_core_restore_job(struct weir_core *c, const struct weir_job_view *v, struct weir_err *err);
int weir_core_restore_node(struct weir_core *c, const struct weir_node_view *v, struct weir_err *err);
int weir_core_restore_lease(struct weir_core *c, const struct weir_lease_view *v, struct weir_err *err);
/* Instead, of one that has been over for longer than its refusal, or the room that it took, matters: what it tells of its offer counts for
 * WEIR_EVIDENCE_DAYS. */
int weir_core_restore_past_lease(struct weir_core *c, const struct weir_lease_view *v, struct weir_err *err);
int weir_core_restore_task(struct weir_core *c, const struct weir_task_view *v, struct weir_err *err);
int weir_core_restore_hold(struct weir_core *c, const struct weir_hold_view *v, struct weir_err *err);
/* The last event's seq and now: later ones must be greater. */
int weir_core_restore_done(struct weir_core *c, uint64_t seq, struct weir_wall now, struct weir_err *err);
