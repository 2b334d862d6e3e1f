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
#include "core/provider_quota_priv.h"
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

/* An offer as one shape sees it, with all that is asked of it at a weighing: the list of offers is long, and cold. */
struct ranked_offer {
    uint64_t id;
    int64_t expires_us;
    uint32_t offer; /* index */
    uint32_t provider; /* index */
    uint8_t alternative;
    bool spot;
    bool reserved;
    int64_t rate_micro; /* per hour, of the task's part of all machines that it needs */
    int64_t run_us;
    int64_t boot_us;  /* as is expected by now */
    int64_t start_us; /* that and staging */
    int64_t fail_us;  /* launches that come to nothing before */
    int64_t fail_micro;
    uint32_t reclaim_ppm; /* per hour, as is expected by now */
    int64_t cost_micro; /* of all machines that one task needs, for one wave of tasks */
    int64_t boot_micro;
    int64_t egress_micro;
    int64_t reclaim_micro;
    int64_t lost_us; /* expected delay by reclaims */
};

/* Until its work is done there, besides the run. */
static inline int64_t ranked_delay_us(const struct ranked_offer *r)
{
    return weir_i64_add_sat(weir_i64_add_sat(r->start_us, r->fail_us), r->lost_us);
}

struct ranking {
    uint64_t version; /* of the offers */
    uint64_t learned; /* and of what is believed of them */
    struct ranked_offer *p;
    size_t n;
    bool whole; /* all that fit, not the best alone */
    /* of those that are looked at first, where nothing keeps any of them: */
    bool summed;
    bool has_reserved;
    int64_t delay_cost;   /* for which the next is known */
    int64_t least_micro;  /* total of the cheapest */
    int64_t expires_us;   /* when the first of their prices does */
};

enum {
    RANKINGS = 6,     /* for 1, 2, 4, 8, 16, 32 tasks that share a machine */
    RANKED_MAX = 64,  /* offers of a ranking, unless more are asked for */
    OFFER_QUOTAS_MAX = 4, /* more of a provider's quotas than count one machine anywhere */
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

struct class {
    struct shape *shape;
    struct want *want; /* the shape's */
    struct project *project;
    struct limits *limits; /* NULL: no budget or quota counts it */
    size_t limits_at;      /* its place there, while it has tasks that may start */
    bool parked;           /* a budget or quota has no room for it: it stands in no lane */
    bool narrow;           /* quotas have no room for it on some nodes that it fits: it gets no claim */
    uint64_t wants;        /* a bit for each quota of its limits, that shares, within whose own share it may start */
    int64_t points;
    int64_t deadline_us;
    int32_t priority;
    uint32_t n_refs; /* jobs */
    struct lane *lane;
    uint64_t head; /* the first job's id, while there is one */
    struct job *first;
    struct job *last;
    uint64_t n_waiting; /* tasks that may start, over the jobs in the list */
    int64_t gpu_s;      /* of one task; as the next one the shape's, to be summed up without a look at it */
    uint32_t model_kind;
    uint32_t head_moves; /* raised whenever another task may have come first */
    uint64_t hash;
    struct class *hash_next;
    struct lane_want *peers; /* while it has tasks that may start */
    bool in_heap; /* of its lane: it is to be weighed */
    bool for_room; /* it is so only because a node may have room for it now: where none has, nothing else is asked */
    uint64_t waited; /* the round of planning in which it was found to wait */
    uint64_t owed;   /* the round of claims in which it is due one */
    uint64_t looked; /* the step in which it was weighed because of room gained */
};

/* GPU seconds that wait, by kind of GPU wished for. */
struct backlog {
    uint32_t kind;
    int64_t gpu_s;
};

typedef WEIR_VEC(struct backlog) backlog_vec;

/* Classes by their first job, whose ids stand beside them: what is sought is found without a look at the classes. */
struct class_list {
    struct class **p;
    uint64_t *job;
    size_t n;
    size_t size;
};

/* Classes of a lane that want the same. */
struct lane_want {
    struct want *want;
    struct lane *lane;
    struct class_list class;
    uint64_t head; /* the first of their jobs */
    struct lane_want *next;         /* of the want's */
    struct lane_want *prev;
};

struct lane {
    struct project *project;
    struct level *level;
    struct class_list class;
    WEIR_VEC(struct lane_want *) want; /* by head */
    WEIR_VEC(struct class *) heap;  /* those to weigh, the oldest first */
    bool active;                    /* the heap is not empty */
    uint64_t n_waiting;
    uint32_t n_dated; /* classes with a deadline */
    int32_t priority_most; /* no class has more */
    backlog_vec backlog;
};

struct level {
    int64_t points;
    WEIR_VEC(struct lane *) lane; /* not empty ones; sorted by share when asked for */
    WEIR_VEC(struct lane *) active; /* those with classes to weigh, in no order */
    size_t active_at;               /* its place among the levels that have such lanes, while it has */
    uint64_t n_waiting;
    backlog_vec backlog;
};

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

struct lease {
    uint64_t id;
    struct node *node; /* NULL once it is gone */
    uint64_t node_id;
    uint8_t state;
    uint8_t refusal;
    bool reclaimed;
    bool changed;
    struct weir_offer offer; /* the quote at its launch */
    int64_t price_micro_per_hour; /* what it costs now */
    int64_t priced_us;    /* since then; 0: since its beginning */
    int64_t priced_micro; /* what it had cost by then, at earlier prices */
    uint32_t provider; /* index */
    struct weir_task_id task;
    struct payer *payer;
    int64_t held_micro;
    int64_t charged_micro;
    int64_t intent_us;
    int64_t confirmed_us;
    int64_t ready_us;
    int64_t reclaim_us;
    int64_t ending_us;
    int64_t ended_us;
    int64_t expires_us;
    int64_t boot_us;      /* what its offer is believed to take by now, and how often such are taken back per hour */
    uint32_t reclaim_ppm;
};

struct offer {
    struct weir_offer o;
    const struct weir_estimate *estimate; /* what is believed of it beyond what it says; never NULL */
    uint32_t provider; /* index */
    uint32_t leased;   /* reserved: of its machines, those that are leased */
    uint32_t n_quotas;
    uint32_t quota[OFFER_QUOTAS_MAX]; /* of its provider that count it: indexes */
};

/* What renting it costs besides what is paid anyway, an hour. */
static inline int64_t offer_marginal(const struct weir_offer *o)
{
    return o->market == WEIR_OFFER_RESERVED ? 0 : o->price_micro_per_hour;
}

/* The same of one that is rented: reserved ones are paid for anyway. */
static inline int64_t lease_marginal(const struct lease *l)
{
    return l->offer.market == WEIR_OFFER_RESERVED ? 0 : l->price_micro_per_hour;
}

/* From launch to joined, as is believed. */
static inline int64_t offer_boot_us(const struct weir_offer *o, const struct weir_estimate *e)
{
    return max_i64(weir_i64_add_sat(o->boot_expected.us, e->late_us), 0);
}

/* What may be asked of a provider now. */
struct pace {
    uint32_t limit; /* launches that may be unanswered */
    bool mute;      /* it has owed an answer for so long that nobody should wait for it */
    int64_t closed_us;      /* it had nothing for several in a row: not before */
    int64_t closed_gang_us; /* the same, for many machines at once */
    int64_t shunned_us;     /* its machines came with other GPUs than it promised: none with GPUs before */
};

/*
 * Who rents machines out. How many it may be asked for at once grows as it makes them, and shrinks to one after a
 * refusal; counted from leases alone, so that a restored core counts the same.
 */
struct provider {
    char name[WEIR_PROVIDER_SIZE];
    uint32_t asked;  /* leases whose launch is not answered */
    uint32_t made;   /* live ones that were confirmed */
    int64_t made_us; /* when the last one was */
    int64_t good_us; /* when the last with GPUs joined, with what was promised */
    bool held;       /* something waits for its answers */
    struct pace pace;
};

/* Offers of one GPU model, or of none: a request passes by the models that it cannot use. */
struct offer_kind {
    uint16_t model; /* WEIR_GPU_MODEL_ANY: machines without GPUs */
    WEIR_VEC(uint32_t) offer; /* indexes */
};

struct scored_offer {
    int64_t score;
    int64_t price;
    uint64_t id;
    struct ranked_offer r;
};

/* Where a machine stands, or would: those of one place and kind are made of the same hardware. */
struct place_of_machines {
    uint32_t provider;
    char region[WEIR_REGION_SIZE];
    char zone[WEIR_REGION_SIZE]; /* "": any */
    uint16_t gpu_model;          /* WEIR_GPU_MODEL_ANY: none */
    uint8_t market;
};

struct offer_memory { /* of a lease that did not come to be; outlives the lists that providers send */
    uint64_t lease;
    uint64_t id; /* of the offer */
    struct place_of_machines place;
    struct weir_task_id task; /* for which it was */
    int64_t intent_us;
    int64_t at_us;
    int64_t until_us;
    uint8_t refusal;
    bool gangs_only; /* it stands for many machines at once only: the others of its gang were made, and are gone */
};

/* What is to be remembered of a lease beside its offer. */
struct refused {
    uint64_t lease;
    struct weir_task_id task;
    uint8_t refusal;
    int64_t intent_us;
    int64_t at_us;
    int64_t until_us;
};

/* A machine that was there, and is no more. */
struct lease_past {
    struct place_of_machines place;
    struct weir_task_id task;
    int64_t from_us;
    int64_t to_us;
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

/* What such a machine adds to what all cost an hour. */
static inline int64_t offer_spend(const struct weir_offer *o)
{
    return o->market == WEIR_OFFER_RESERVED ? 0 : o->price_micro_per_hour;
}

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

/* ---- queue.c ---- */

struct class *class_get(struct weir_core *c,
                        struct shape *s,
                        struct project *p,
                        struct limits *limits,
                        int32_t priority,
                        int64_t submitted_us,
                        int64_t deadline_us);
void class_unref(struct weir_core *c, struct class *cl);
int64_t queue_points(const struct weir_core *c, int32_t priority, int64_t submitted_us, int64_t expected_us);
/* Puts the job into its class where it has tasks that may start, takes it out where not. */
void queue_update(struct weir_core *c, struct job *j);
/* The job's tasks are of another class now, which differs in its shape's run time or policy only and is referred to for it. */
void queue_move(struct weir_core *c, struct job *j, struct class *to);
/* A task begins or ceases to wait; its state was or will be moved by the caller. */
void queue_add(struct weir_core *c, struct job *j, uint32_t ordinal);
void queue_add_all(struct weir_core *c, struct job *j);
void queue_remove(struct weir_core *c, struct job *j, uint32_t ordinal);
/* All waiting tasks at once, of a job that goes away. */
void queue_remove_all(struct weir_core *c, struct job *j);
void queue_release(struct weir_core *c);
uint32_t job_first_waiting(const struct job *j);
uint32_t job_last_waiting(const struct job *j);
static inline struct queue_key class_key(struct weir_core *c, const struct class *cl)
{
    return (struct queue_key){cl->points, project_share(c, cl->project), cl->lane->class.job[0], cl->head};
}
/* Of a parked class: where it would stand. */
struct queue_key class_key_outside(struct weir_core *c, const struct class *cl);
int queue_key_cmp(const struct queue_key *a, const struct queue_key *b);
void level_sort(struct weir_core *c, struct level *l);
/* The payer's budgets are others: the job stands in another class. */
void queue_rekey(struct weir_core *c, struct job *j);
/* Takes a class whose tasks may not start for want of money out of the queue, or puts it back. */
void class_park(struct weir_core *c, struct class *cl);
void class_unpark(struct weir_core *c, struct class *cl);
/* GPU seconds of what waits before the class, of GPUs that it could use too. */
int64_t queue_ahead_gpu_s(struct weir_core *c, struct class *cl);
/* The same of all that waits at as many points or more, of whatever GPUs: no less than that. */
int64_t queue_until_gpu_s(struct weir_core *c, const struct class *cl);
uint32_t queue_ahead_tasks(struct weir_core *c, const struct job *j, uint32_t ordinal);
int64_t class_gpu_s(const struct class *cl);

/* It is to be weighed; for_room: as the class's. */
void lane_heap_push(struct weir_core *c, struct class *cl, bool for_room);
/* The first to weigh, in queue order; NULL where there is none. */
struct class *queue_first(struct weir_core *c);
/* Takes it out. */
void queue_pop(struct weir_core *c, struct class *cl);

/* ---- run.c: life of an attempt ---- */

struct run *run_place(struct weir_core *c, struct job *j, uint32_t ordinal, const struct spot *spot, uint32_t n);
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

/* ---- lease.c ---- */

static inline bool lease_boots(const struct lease *l)
{
    return l->state == WEIR_LEASE_INTENT || l->state == WEIR_LEASE_BOOTING;
}

struct lease *lease_new(struct weir_core *c, const struct weir_offer *o, struct weir_task_id task, struct payer *payer);
void lease_terminate(struct weir_core *c, struct lease *l);
/* More is held for it: it may live longer; one that is launched in this step no longer than that. */
void lease_cap(struct weir_core *c, struct lease *l);
/* The machine exists. */
void lease_confirm(struct weir_core *c, struct lease *l, int64_t at_us);
/* Ends a machine that joins with other GPUs than its offer promised, as one that failed. False: it is what was promised. */
bool lease_fell_short(struct weir_core *c, struct lease *l, const struct weir_node_spec *came);
/* Ends it as soon as nothing runs there any more. */
void lease_release(struct weir_core *c, struct lease *l);
void lease_look(struct weir_core *c, struct lease *l);
void lease_finish(struct weir_core *c, struct lease *l, enum weir_lease_state to, int64_t at_us, bool reclaimed);
/* Ends what nobody needs: leases that boot for nothing, or came up for a gang that is not to be had. False where there are none. */
bool leases_sweep(struct weir_core *c);
/* Records that a rented machine that has just become idle is not given back. */
void lease_say_kept(struct weir_core *c, const struct node *n);
void node_meter_open(struct weir_core *c, struct node *n, int64_t at_us);
void node_gone(struct weir_core *c, struct node *n, enum weir_reason reason, int64_t at_us);
/* The lease's offer was refused at a time, and is left alone until another. */
void offer_remember(struct weir_core *c, const struct weir_offer *o, const struct refused *r);
/* The same of a machine that was made, and given up for that reason. */
void offer_remember_given_up(struct weir_core *c, const struct weir_offer *o, struct refused r);
struct place_of_machines place_of(struct weir_core *c, const struct weir_offer *o);
/* Forgets the refusals that the machine explains: it took the room, or the quota, and is gone. What was refused to the others of its own gang
 * is not forgotten, for gangs. False where there are none. */
bool offers_forget(struct weir_core *c, const struct lease_past *was);
/* Counts the lease for its provider, where it is live. */
void lease_count(struct weir_core *c, struct lease *l, bool in);

/* ---- offer.c ---- */

bool offer_is_sane(const struct weir_core *c, const struct weir_offer *o);
void offers_set(struct weir_core *c, const char *provider, const struct weir_offer *o, size_t n);
/* The best offers for the shape, by their cost; those that are busy too. The whole list where that is asked for. */
struct ranking *offers_rank(struct weir_core *c, struct shape *s, uint64_t n_sharing, bool whole);
void offers_release(struct weir_core *c);
/* Sums up those of the ranking that are looked at first, at such a value of waiting. */
void ranking_sum(struct ranking *k, int64_t delay_cost);
/* Expected delay by reclaims at such a rate: each costs what was not saved, and a new start. */
int64_t reclaim_loss_us(const struct weir_request *r, const struct weir_offer *o, uint32_t reclaim_ppm, int64_t run_us, int64_t start_us);
/* Verdict of one offer for a request, without its being busy: CHOSEN where it fits. */
enum weir_verdict offer_verdict(const struct weir_core *c, const struct weir_request *r, const struct weir_offer *o, struct type_fit *ret);
/* May it be had now? CHOSEN where it may, or as soon as launches under way are answered; else, where that is a matter of
 * time, *ret_until_us is when; US_NEVER: when a reserved machine is free again. */
enum weir_verdict offer_blocked(const struct weir_core *c, const struct ranked_offer *o, const struct weir_request *r, int64_t *ret_until_us);
/* Why it is left alone, if it is, and until when, by what was refused. zone: in which it would be asked for, the offer's own where it is for no gang in one zone. */
enum weir_verdict offer_remembered(const struct weir_core *c, const struct weir_offer *o, const char *zone, bool is_gang, int64_t *ret_until_us);
/* The provider's number, made where it is not known. */
uint32_t provider_get(struct weir_core *c, const char *name);
/* Brings the providers' paces up to date. To be called before offers are weighed. */
void paces_update(struct weir_core *c);
/* A provider's, worked out anew. */
struct pace pace_anew(const struct weir_core *c, uint32_t provider);
/* Must the launch wait for answers to those under way? */
bool offer_is_held(const struct weir_core *c, uint32_t provider, uint32_t nodes);

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
