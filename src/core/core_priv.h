/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The guts of the core, shared by src/core/ *.c and its tests only. docs/design/0003-core.md tells the
 * whole story; in short:
 *
 *   shape      an interned request, with what fits it (node types, ranked offers)
 *   class      waiting tasks that the queue cannot tell apart but by age: one shape, project, points,
 *              priority and deadline. Only the heads of classes are compared.
 *   level      classes of one number of points; in it a lane per project; in that its classes
 *   node type  nodes that are alike; indexed by free GPUs (bit sets) and by when GPUs come free (trees)
 *   run        an active attempt: which part of which nodes it holds
 *   claim      a reserved start of a blocked class; all claims form a stack in queue order
 *
 * Nothing here depends on the order in which things happened to be allocated or hashed: whatever is
 * iterated for a decision is ordered by ids, so that a restored core decides as the one that went on.
 */

#include "base/assert.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/arith.h"
#include "core/budget_priv.h"
#include "core/core.h"
#include "core/frag.h"
#include "core/learn_priv.h"
#include "core/offer_priv.h"
#include "core/provider_quota_priv.h"
#include "core/queue_priv.h"
#include "core/sm.h"
#include "core/zone_priv.h"

enum {
    JOB_PAGE_BITS = 10,
    JOB_PAGES_KNOWN = 16,
    /* decisions taken in one step; what is left goes on in the next (wake_at is now then) */
    PLAN_BUDGET = 2048,
    /* classes weighed in vain, per step: because a node gained room; because claims moved */
    GROWTH_LOOKS = 32,
    RETRY_LOOKS = 16,
    /* classes that each periodic review weighs, the first of the queue; and as many of the others in turn */
    REVIEW_LOOKS = 256,
    /* owned nodes with room that are remembered for a want */
    STANDING_OPEN_MAX = 8,
    /* offers that are weighed for a task */
    OFFERS_LOOKED_MAX = 16,
    /* slack that the core leaves to the agent before it stops an overdue run itself */
    RUN_MARGIN_S = 60,
    /* waiting longer adds points in steps of so many, so that fair share decides inside a step */
    AGE_STEP_POINTS = 10,
    /* nodes with equally many free GPUs that are compared; when one uses up its links, and before */
    PLACE_SCAN_MAX = 8,
    LINK_SCAN_MAX = 32,
    SCORE_BITS = 12,
    EXPECTED_UNKNOWN_DIVISOR = 4,
    /* of the trees over a type's nodes: what is above is the least of so many, a line of the cache */
    TREE_FAN = 8,
    TREE_LEVELS_MAX = 16,
};

#define US_NEVER INT64_MAX

struct weir_core;
struct run;
struct node;
struct class;
struct claim;
struct payer;
struct policy_list;
struct limits;
struct spot;

/* ---- tasks and jobs ---- */

struct task {
    int64_t queued_us; /* 0: as the job's submission */
    int64_t placed_us; /* of the last attempt */
    int64_t started_us;
    int64_t first_started_us;
    int64_t ended_us;
    int64_t checkpointed_us;
    int64_t spent_micro;
    struct run *run; /* while it holds room */
    uint64_t node;   /* rank 0's of the last attempt */
    uint32_t attempt;
    uint16_t failures;
    uint16_t losses;
    int32_t exit_code;
    uint8_t signal;
    uint8_t state;
    uint8_t reason;
    uint8_t changed;
};

struct job {
    uint64_t id;
    struct class *class; /* its key has project, shape, priority and deadline */
    struct job *prev;    /* in the class, by id; only while it has tasks that may start */
    struct job *next;
    int64_t submitted_us;
    int64_t started_us;
    int64_t ended_us;
    uint64_t told_seq; /* when a task of it was last told to start */
    struct payer *payer;
    uint32_t user;
    uint32_t n_tasks;
    uint32_t parallel_max;
    uint32_t count[WEIR_TASK_STATE_MAX];
    uint8_t state;
    bool cancelled;
    bool queued; /* is in the class's list */
    bool changed;
    uint64_t *waiting; /* a bit per task */
    struct task task[];
};

/* Jobs by id; pages are listed so that all can be visited. */
struct job_page {
    uint64_t number;
    struct job_page *prev;
    struct job_page *next;
    uint32_t n;
    struct job *job[1u << JOB_PAGE_BITS];
};

/* ---- shapes and classes ---- */

struct type_fit {
    uint8_t verdict; /* CHOSEN: fits when empty */
    uint8_t alternative;
    uint16_t gpus;
};

struct fitting_offer {
    uint32_t offer; /* index */
    uint16_t gpus;
    uint8_t alternative;
};

/* What there is for a want at a moment of planning, as far as it is the same for all classes that want it; see still.c. */
struct standing {
    uint64_t moment; /* as of which the rest is known */
    bool sure;       /* false: too many nodes, or other than is foreseen here */
    uint32_t n_open; /* owned nodes with room, claims aside: */
    struct {
        struct node *node;
        size_t n_used;   /* of its claims, when the next was found out */
        int64_t most_us; /* what ends later would be in the way of one of them */
    } open[STANDING_OPEN_MAX];
    int64_t slots;             /* so many tasks the owned nodes run at once */
    bool has_rented;           /* nodes that it fits, with room or without */
    bool has_rented_room;
    int64_t rented_us;         /* until then they are paid, or needed, anyway: those with room */
    int64_t rented_rate;       /* what one of those costs an hour, behind that, at least */
    int64_t rented_later_rate; /* and a part of any of them */
    uint32_t rented_throughput; /* no rented node is quicker */
    bool peeked;
    int64_t peek_us; /* claim_peek_kind's, of owned nodes */
    struct node *peek_node;
};

/* What requests ask of a node; see want.c. */
struct want {
    uint64_t fits; /* bit n: fits the empty node of type n; see type_bit */
    uint64_t mem_mib;
    uint32_t cpu_milli;
    uint32_t gpus_min;
    WEIR_VEC(struct type_fit) fit; /* by type */
    uint64_t room_version;         /* as of this version it is known whether any node has room for it; 0: never */
    bool room;
    WEIR_VEC(struct fitting_offer) offer; /* that fit it, and how many do not, as of a version of the offers */
    uint32_t rejected[WEIR_VERDICT_MAX];
    uint64_t rejected_mask; /* a bit for each verdict of which there are any */
    uint64_t offers_version;
    struct standing standing;
    uint64_t n_tasks; /* that have not ended */
    uint32_t weight;  /* n_tasks, rounded; see demand.c */
    struct lane_want *lanes;       /* where it waits */
    uint32_t n_lanes;
    uint32_t n_refs;                  /* shapes */
    const struct weir_request *asks;  /* the oldest of theirs */
    size_t hot;                       /* place among the hot ones */
    uint64_t hash;
    struct want *hash_next;
};

struct shape {
    uint32_t id;
    uint32_t gpus_min; /* least GPUs per node over the alternatives */
    uint64_t hash;
    struct shape *hash_next;
    struct want *want;
    int64_t expected_us;
    int64_t gpu_s; /* GPU seconds of one task */
    uint32_t throughput_ref;
    uint32_t model_kind; /* of the first alternative, for backlog sums */
    bool known;    /* restored or submitted */
    bool impossible;
    bool changed;
    uint8_t told; /* outside, of what waits: TOLD_* */
    struct weir_request req; /* its foremost part here: there are many shapes, and each submission looks at one */
    uint64_t world;         /* the version as of which it is known whether anything could ever run it */
    uint64_t said; /* the last WAIT or BLOCKED that was recorded, folded */
    struct ranking ranking[RANKINGS];
    uint64_t least_world; /* the version as of which the next two are known */
    int64_t least_owned;  /* worst case of a task on the cheapest owned node that it fits; US_NEVER: there is none */
    int64_t least_rented; /* the same of a machine that is rented for it */
    bool fits_rented;     /* a rented node that is there */
    struct ways here;     /* on nodes, as of that version */
    uint64_t least_offers; /* the version of the offers as of which least_rented is known, and the next */
    struct ways anew;      /* on machines that would be rented */
};

/* In shape.told; after a restart nobody knows. */
enum { TOLD_NOTHING, TOLD_POSSIBLE, TOLD_IMPOSSIBLE };

struct project {
    uint32_t id;
    uint32_t weight;
    int64_t delay_cost;
    int64_t spent_micro; /* decayed, at spent_us */
    int64_t spent_us;
    uint32_t waiting;
    uint32_t running;
    int64_t share; /* spent per weight at share_us: the key of fair share */
    int64_t share_us;
    bool set; /* by an event; defaults otherwise */
    bool changed;
};

/* ---- nodes ---- */

struct bits {
    uint64_t *w;
};

struct node_type {
    uint32_t id; /* of no meaning: after a restore it may be another */
    bool rented;
    uint8_t market;
    uint16_t gpu_model;
    uint16_t gpus;
    uint32_t gpu_mem_mib;
    uint32_t cpu_milli;
    uint64_t mem_mib;
    int64_t busy_micro_per_hour; /* marginal, all devices busy */
    int64_t cores_micro_per_hour; /* the part of it that the cores draw, the rest is the GPUs'; owned only */
    int64_t full_micro_per_hour;
    uint32_t throughput;
    struct weir_pool_id pool; /* owned only */
    char region[WEIR_REGION_SIZE];
    char zone[WEIR_REGION_SIZE]; /* rented only; "": not known */
    char provider[WEIR_PROVIDER_SIZE];
    WEIR_VEC(struct node *) node; /* by slot, in order of id; NULL: it is gone */
    uint32_t n_nodes;
    size_t words; /* of each bit set */
    struct bits free[WEIR_NODE_GPUS_MAX + 1]; /* usable nodes by number of free GPUs */
    uint32_t n_free[WEIR_NODE_GPUS_MAX + 1];
    uint32_t n_usable;                        /* all of them */
    int64_t *left;                            /* [slot * gpus + k - 1]: the nodes' left_us, US_NEVER where not usable */
    bool left_known;                          /* else it is to be filled anew */
    size_t leaves;                            /* of each tree, a power of two */
    size_t level_at[TREE_LEVELS_MAX];         /* of each tree: where its levels begin, the leaves first */
    uint32_t levels;
    size_t tree_size;
    int64_t *tree[WEIR_NODE_GPUS_MAX + 1];    /* [k]: when k GPUs are free, by slot; above, the least of so many; made when asked for */
    WEIR_VEC(uint32_t) moved;                 /* slots whose times changed, in order; what left and the trees lag behind */
    size_t read[WEIR_NODE_GPUS_MAX + 1];      /* so many of them each tree has taken in; SIZE_MAX: it is to be made anew */
    size_t read_max;                          /* as many as any has, and left too */
};

struct node_run {
    struct run *run;
    uint32_t rank;
};

struct node {
    /* what placing looks at comes first: thousands of nodes are passed by */
    uint32_t free_mask;
    uint32_t cpu_free;
    uint64_t mem_free;
    struct lease *lease;
    struct node_type *type;
    WEIR_VEC(struct claim *) claims; /* in the order of their stack */
    uint8_t state;
    bool joined;
    bool metered;
    bool changed;
    bool usable; /* is in its type's index */
    bool grown;  /* gained room in this step */
    bool unused; /* so because a gang that waited for its other machines does no more */
    bool drain_sent;
    bool free_stale; /* the times are to be worked out anew */
    bool left_stale;
    uint32_t n_links; /* link groups, 0 where the spec does not say; a GPU of none is one of its own */
    size_t slot;     /* in the type */
    size_t moved_at; /* its last entry in the type's list of moves */
    int64_t since_us;
    int64_t idle_since_us;
    uint64_t grown_version;
    WEIR_VEC(struct node_run) runs;
    struct weir_node_spec spec;
    int64_t free_us[WEIR_NODE_GPUS_MAX]; /* [k - 1]: when k GPUs are free, by predicted ends */
    int64_t left_us[WEIR_NODE_GPUS_MAX]; /* the same beside the claims */
    uint32_t link[WEIR_NODE_GPUS_MAX];   /* GPUs of each link group */
};

/* ---- runs, holds, leases ---- */

struct rank {
    struct node *node; /* NULL once its room was given back */
    uint64_t node_id;
    uint32_t mask;
    uint32_t cpu_milli;
    uint64_t mem_mib;
    bool told;
    bool started;
    bool ended;
    bool failed; /* ended so, of its own making */
    bool pending; /* ended well before the others: what its work was worth, the run's end says */
    bool segment;
};

struct run {
    struct job *job;
    uint32_t ordinal;
    uint32_t attempt;
    int64_t placed_us;
    int64_t started_us; /* 0: not yet */
    int64_t expected_us; /* run time on these nodes */
    int64_t charged_micro; /* what its project's share was charged in advance */
    int64_t end_us;      /* predicted */
    int64_t stop_us;     /* a stop was sent then; 0: none */
    struct limits *pays; /* the budgets that its hold counts against: not those that a machine's hold covers; NULL: none */
    int64_t rate_micro;  /* of its share of the nodes where it has not ended */
    struct hold *hold;
    int64_t timer_us;    /* of the look that was asked for last */
    uint8_t stop_reason;
    bool failed; /* a rank has */
    bool chosen; /* in the search for victims that is under way */
    uint8_t end_reason; /* the first bad one of its ranks */
    uint32_t end_rank;  /* whose that is; where n_ended > 0 */
    int32_t exit_code;
    int32_t signal;
    uint32_t n_ranks;
    uint32_t n_started;
    uint32_t n_ended;
    struct weir_node_id *gang_node; /* for views */
    uint32_t *gang_mask;
    uint8_t *gang_state;
    struct rank rank[];
};

struct hold {
    uint64_t id;
    struct hold *prev; /* of all holds, by id, newest first */
    struct hold *next;
    struct weir_task_id task;
    uint32_t attempt;
    uint32_t project;
    int64_t amount_micro;
    int64_t charged_micro;
    int64_t until_us; /* its run is over then, at the latest */
    uint8_t state;
    bool changed;
};

/* ---- claims: reserved starts ---- */

struct claim_part {
    struct node *node;
    uint32_t gpus;
    uint32_t cpu_milli;
    uint64_t mem_mib;
};

struct claim {
    struct claim_stack *stack;
    size_t index; /* in the stack */
    struct class *class;
    uint64_t job;
    uint32_t ordinal;
    uint32_t head_moves; /* of the class, when it was made */
    bool rented;         /* it stands on rented nodes, else on owned ones */
    int64_t gpus_us; /* when the GPUs are free: the key by which the node was chosen */
    int64_t at_us;   /* start; may lie in the past: then it is any moment */
    int64_t end_us; /* at + expected */
    uint32_t n_parts;
    struct claim_part part[];
};

/*
 * Claims of classes that cannot want the same nodes have nothing to do with each other: node types between which no
 * waiting shape has a choice are of different groups, each with a stack of its own, that is filled when a class of
 * the group is weighed.
 */
struct claim_stack {
    WEIR_VEC(struct claim *) claim;
    size_t n_rented; /* so many stand on rented nodes */
    size_t used; /* those of classes that come before the one being weighed */
    size_t seen; /* so many of the due were looked at */
};

enum { TYPE_BITS = 64 };

/* In weir_task_view.gang_state, beside WEIR_RANK_*. */
enum { GANG_REASON_SHIFT = 4 };

/* ---- timers ---- */

enum timer_kind {
    TIMER_RUN,
    TIMER_NODE,
    TIMER_LEASE,
    TIMER_BUDGET,
    TIMER_QUOTA,
};

struct timer {
    int64_t at_us;
    uint64_t id;
    uint32_t ordinal;
    uint32_t attempt;
    uint8_t kind;
};

/* How well a node with such room suits who wants so much; see demand.c. In whole words: it is compared more often than anything else. */
struct score {
    uint64_t mix_number; /* 0: none */
    uint64_t gpus;       /* the node's type, and GPUs wanted and free */
    uint64_t cpu_milli;  /* wanted and free */
    uint64_t mem_mib;
    uint64_t mem_free;
    int64_t value;
};

struct weir_core {
    struct weir_core_conf conf;
    uint64_t seq;
    int64_t now_us;
    bool stepped;
    bool in_step;
    uint64_t next_job;
    uint64_t next_node;
    uint64_t next_lease;
    uint64_t next_hold;

    WEIR_VEC(struct shape *) shapes; /* by number */
    struct weir_map shape_by_hash;
    struct weir_map want_by_hash;
    WEIR_VEC(struct want *) demand; /* of GPUs, the most wanted first */
    struct weir_frag_mix mix;       /* the foremost of it */
    uint64_t mix_number;
    bool mix_stale;
    struct score scores[1u << SCORE_BITS]; /* by the hash of what they are for */
    WEIR_VEC(struct want *) hot; /* what waits */
    size_t hot_types; /* node types that they know of */
    uint32_t hot_by_gpus[WEIR_NODE_GPUS_MAX + 2]; /* how many of them want so many at least */
    WEIR_VEC(struct project *) projects; /* by id */
    struct weir_map job_pages;
    struct job_page *page_known[JOB_PAGES_KNOWN]; /* the newest by the end of their number: mostly one is looked for here */
    struct job_page *pages;
    WEIR_VEC(struct policy_list) policies; /* by number - 1 */
    struct weir_map class_by_hash;
    WEIR_VEC(struct level *) levels; /* by points, highest first */
    /* empty ones with the room that their lists have: most queues are short, and each task comes and goes */
    WEIR_VEC(struct level *) spare_levels;
    WEIR_VEC(struct lane *) spare_lanes;
    WEIR_VEC(struct lane_want *) spare_lane_wants;
    struct weir_spares spare_jobs; /* of one task */
    struct weir_spares spare_runs; /* of one rank */
    struct weir_spares spare_holds;
    struct weir_spares spare_classes;
    WEIR_VEC(struct node *) nodes;   /* by id */
    WEIR_VEC(struct node_type *) types;
    bool has_fabrics; /* a node was of one */
    bool has_endless; /* a run, or a claim, had no predicted end */
    WEIR_VEC(struct lease *) leases; /* by id */
    struct hold *hold_list; /* newest first */
    size_t n_holds;
    WEIR_VEC(struct offer) offers;   /* by id */
    WEIR_VEC(struct offer_kind) offer_kinds;
    struct zones zones;
    WEIR_VEC(struct scored_offer) scored; /* of the ranking that is being made */
    WEIR_VEC(struct offer_memory) memory; /* by offer, the newest lease first */
    WEIR_VEC(struct lease_past) past;     /* of a restore that is not done */
    WEIR_VEC(struct provider) providers;
    WEIR_VEC(struct known_quota) provider_quotas; /* those of one provider together */
    WEIR_VEC(struct plan_use) plans; /* of leases that are not over, and some that are */
    bool paces_known; /* the providers' are as of paces_us: nothing that they follow from has changed since */
    int64_t paces_us;
    bool any_mute;         /* one of them is */
    int64_t memory_until_us; /* nothing is remembered beyond that */
    WEIR_VEC(struct payer *) payers;   /* by id, from 1 */
    struct weir_map payer_by_hash;     /* of project, user and tags -> id */
    budget_vec budgets;                /* by id */
    quota_vec quotas;                  /* by id */
    WEIR_VEC(struct cohort *) cohorts;
    uint64_t budgets_version; /* raised whenever what is left may be another */
    WEIR_VEC(struct limits *) limits;
    uint32_t limits_made;
    bool letting_in; /* one of them lets in who has room now */
    bool eased;      /* who is parked may have found a way while others were placed */
    WEIR_VEC(struct unsettled) unsettled;

    struct learned learned;
    uint64_t offers_version;
    int64_t offer_gpu_price_min; /* per GPU-hour over what can be rented */

    uint64_t moment;  /* raised whenever anything that planning looks at may have changed: nodes, runs, claims, time */
    uint64_t version; /* raised whenever room changes */
    uint64_t world;   /* raised whenever a node comes or goes, or offers change */
    uint64_t kinds;   /* raised whenever the first node of a type comes */
    WEIR_VEC(struct node *) grown;
    uint64_t n_foreseen; /* waits that were foreseen (still.c) */
    bool weighs_all; /* none is: for tests, which compare */
    bool review; /* weigh everything that waits */
    bool review_due; /* a period is over: weigh what comes first, and a part of the others */
    int64_t reviewed_us;
    WEIR_VEC(struct class *) fresh; /* got a waiting task in this step */
    WEIR_VEC(struct level *) active; /* levels with classes to weigh: a heap, the one with the most points first */
    bool growth_fed;                /* the next of them stands in a heap */
    uint32_t growth_looks;
    int32_t preempts_from; /* the least priority that may stop anything that ran when the step began to plan */
    bool claims_moved;              /* since the last look at those that claims hold back */
    WEIR_VEC(struct class *) order; /* the first of the queue, as the round began */
    uint64_t round;
    WEIR_VEC(struct class *) due;   /* those of the round so far that cannot start: each is owed a claim */
    uint64_t claim_round;
    struct claim_stack claims[TYPE_BITS]; /* by group */
    uint64_t claimed;               /* groups whose stack is not as new */
    uint8_t group[TYPE_BITS];       /* of the node types of a bit */
    WEIR_VEC(struct node *) touched; /* their profiles changed since the claims were made */
    WEIR_VEC(struct timer) timers;
    size_t timers_kept; /* when stale ones were thrown out last */
    WEIR_VEC(struct timer) timers_due;
    uint32_t budget;
    uint32_t running_by_priority[1001];
    uint32_t running_from; /* nothing of a lower priority runs */
    uint32_t leases_live;
    int64_t leases_micro_per_hour; /* what those cost, but for reserved ones */
    uint32_t leases_booting; /* intents among them */

    uint64_t n_jobs;
    uint64_t n_waiting;
    uint64_t n_running;
    size_t bytes_jobs;

    WEIR_VEC(struct weir_effect) effects;
    WEIR_VEC(struct weir_explain) explains;
    WEIR_VEC(struct weir_job_id) ch_jobs;
    WEIR_VEC(struct weir_task_id) ch_tasks;
    WEIR_VEC(struct weir_node_id) ch_nodes;
    WEIR_VEC(struct weir_lease_id) ch_leases;
    WEIR_VEC(struct weir_hold_id) ch_holds;
    WEIR_VEC(struct hold *) holds_changed; /* the same */
    WEIR_VEC(struct weir_project_id) ch_projects;
    WEIR_VEC(uint32_t) ch_shapes;
    WEIR_VEC(struct weir_budget_id) ch_budgets;
    WEIR_VEC(struct weir_quota_id) ch_quotas;
};

/* ---- state.c: finding, making, marking ---- */

struct shape *shape_intern(struct weir_core *c, const struct weir_request *r);
struct shape *shape_new(struct weir_core *c, uint32_t id, const struct weir_request *r);
void shape_free(struct shape *s);
struct shape *shape_find(const struct weir_core *c, const struct weir_request *r);
/* Takes back the newest shape and project, where nothing refers to them. */
void shape_drop(struct weir_core *c, struct shape *s);
void project_drop(struct weir_core *c, struct project *p);
struct project *project_get(struct weir_core *c, uint32_t id); /* made where absent */
struct project *project_find(const struct weir_core *c, uint32_t id);
struct job *job_find(const struct weir_core *c, uint64_t id);
struct job *job_new(struct weir_core *c, uint64_t id, uint32_t n_tasks);
void job_free(struct weir_core *c, struct job *j);
struct node *node_find(const struct weir_core *c, uint64_t id);
/* Where it stands among the nodes, or would. */
size_t node_place(const struct weir_core *c, uint64_t id);
struct lease *lease_find(const struct weir_core *c, uint64_t id);
/* Quick for one that changed in this step, and for a new one; the others are looked through. */
struct hold *hold_find(const struct weir_core *c, uint64_t id);
struct run *run_find(const struct weir_core *c, struct weir_run_id id);
struct weir_run_id run_id(const struct run *r);
struct run *run_new(struct weir_core *c, struct job *j, uint32_t ordinal, uint32_t n_ranks);
void run_free(struct weir_core *c, struct run *r);
struct weir_effect *effect_add(struct weir_core *c, enum weir_effect_kind kind);
struct weir_explain *explain_add(struct weir_core *c, enum weir_decision decision);
void job_changed(struct weir_core *c, struct job *j);
void task_changed(struct weir_core *c, struct job *j, uint32_t ordinal);
void node_changed(struct weir_core *c, struct node *n);
void lease_changed(struct weir_core *c, struct lease *l);
void hold_changed(struct weir_core *c, struct hold *h);
void project_changed(struct weir_core *c, struct project *p);
/* Tells whether nothing can ever run what waits of the shape, where that is news. */
void shape_tell(struct weir_core *c, struct shape *s, bool impossible);
/* Forgets marks and ended objects of the last step. */
void step_clear(struct weir_core *c);
struct hold *hold_new(struct weir_core *c, const struct run *r, int64_t amount_micro);
void hold_list_add(struct weir_core *c, struct hold *h);
void hold_release(struct weir_core *c, struct hold *h);
void project_spend(struct weir_core *c, struct project *p, int64_t micro);
int64_t project_share_anew(struct weir_core *c, struct project *p);
static inline int64_t project_share(struct weir_core *c, struct project *p)
{
    return p->share_us == c->now_us ? p->share : project_share_anew(c, p);
}
int64_t money_decay(int64_t micro, int64_t span_us, int64_t half_life_us);

/* Of one that stands in its lane. */
static inline struct queue_key class_key(struct weir_core *c, const struct class *cl)
{
    return (struct queue_key){cl->points, project_share(c, cl->project), cl->lane->class.job[0], cl->head};
}

/* ---- timer.c ---- */

void timer_add(struct weir_core *c, struct timer t);
/* Acts on what is due. */
void timers_run(struct weir_core *c);
int64_t timers_next_us(struct weir_core *c);
void timer_for_run(struct weir_core *c, struct run *r);
void timer_for_node(struct weir_core *c, struct node *n);
void timer_for_lease(struct weir_core *c, struct lease *l);
/* When the lease next needs a look; US_NEVER: only events matter. */
int64_t lease_due_us(const struct weir_core *c, const struct lease *l);
/* When an idle rented node is given back. */
int64_t lease_idle_end_us(const struct lease *l);

/* ---- run.c: life of an attempt ---- */

struct run *run_place(struct weir_core *c, struct job *j, uint32_t ordinal, const struct spot *spot, uint32_t n);
/* One more, or fewer, of that priority is under way. */
void run_count(struct weir_core *c, int32_t priority, bool in);
void run_rate(struct run *r);
/* As run_rate, of a run whose node is not what it was. */
void run_rerate(struct weir_core *c, struct run *r);
/* Tells the agents, where all nodes are there. */
void run_tell(struct weir_core *c, struct run *r);
void run_stop(struct weir_core *c, struct run *r, enum weir_reason reason, int64_t grace_us);
/* The same, with the job's own grace; where only its machines are awaited it goes back to the queue at once: false, it is freed. */
bool run_halt(struct weir_core *c, struct run *r, enum weir_reason reason);
/* A rank is over; the run's end follows when it was the last. */
void run_rank_end(struct weir_core *c, struct run *r, uint32_t rank, enum weir_reason reason, int32_t exit_code, int32_t signal, int64_t at_us);
/* All ranks that have not ended are lost. */
void run_lose(struct weir_core *c, struct run *r, enum weir_reason reason, int64_t at_us);
/* Takes back a placement that no agent was told of: nothing was lost, nothing is counted. */
void run_unplace(struct weir_core *c, struct run *r);
void run_predict(struct weir_core *c, struct run *r);
int64_t run_limit_us(const struct run *r);
/* That have not ended. */
uint32_t job_tasks_left(const struct job *j);
int64_t run_cost_limit_us(const struct run *r);
/* What the task may still cost; INT64_MAX where nothing limits it. */
int64_t max_cost_left(const struct job *j, uint32_t ordinal);
void run_settle_gang_view(struct run *r);
/* Of those that have not ended: by it a gang is counted once. */
static inline uint32_t run_first_rank(const struct run *r)
{
    uint32_t first = 0;
    while (first < r->n_ranks && r->rank[first].node == NULL) {
        first++;
    }
    return first;
}
void task_move(struct weir_core *c, struct job *j, uint32_t ordinal, enum weir_task_state to);
/* At the end of a step: jobs of which nothing runs any more wait again, but where the next task was started in its place. */
void jobs_settle(struct weir_core *c);
void segment_open(struct weir_core *c, struct run *r, uint32_t rank, int64_t at_us);
void segment_close(struct weir_core *c, struct run *r, uint32_t rank, int64_t at_us, enum weir_outcome outcome);

/* ---- possible.c ---- */

/* Can nothing that exists or can be rented ever run it? Kept by shape until nodes or offers change. */
bool shape_is_impossible(struct weir_core *c, struct shape *s);

/* ---- update.c ---- */

bool spec_is_sane(const struct weir_core *c, const struct weir_node_spec *s);
/* Is the request well formed? Errors: -WEIR_EINVAL. */
int request_check(const struct weir_core *c, const struct weir_request *r, struct weir_err *err);
/* Before anything is changed. Errors: -WEIR_EINVAL. */
int event_check(const struct weir_core *c, const struct weir_event *ev, struct weir_err *err);
/* The job of a JOB_SUBMIT, put into the queue. */
struct job *job_of(struct weir_core *c, const struct weir_event *ev);
void update(struct weir_core *c, const struct weir_event *ev);
void update_lease_event(struct weir_core *c, const struct weir_event *ev);

/* Types above the last bit share it. */
static inline uint32_t type_bit(const struct node_type *t)
{
    return t->id < TYPE_BITS ? t->id : TYPE_BITS - 1;
}

#include "core/limits.h"
#include "core/policy_priv.h"
#include "core/room_priv.h"
