/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Room: what nodes have of it now and later (node.c), who asks for what (want.c, demand.c), reserved starts (claim.c), and the
 * best place (place.c). The structs stand in core_priv.h, which includes this.
 */

#include "core/core_priv.h"

/* ---- node.c: room ---- */

struct node *node_new(struct weir_core *c, const struct weir_node_spec *spec, struct lease *l);
void node_free(struct weir_core *c, struct node *n);
void node_set_type(struct weir_core *c, struct node *n);
/* Brings the index up to date with the node's state, room, runs and claims. */
void node_index(struct weir_core *c, struct node *n);
void node_grew(struct weir_core *c, struct node *n);
bool node_fits(const struct node *n, uint32_t gpus, uint32_t cpu_milli, uint64_t mem_mib);
bool node_takes_work(const struct node *n);
uint32_t node_pick_gpus(const struct node *n, uint32_t gpus);
uint32_t node_link_waste(const struct node *n, uint32_t gpus);
void node_take(struct weir_core *c, struct node *n, struct run *r, uint32_t rank);
void node_give(struct weir_core *c, struct run *r, uint32_t rank);
int64_t node_ready_us(const struct node *n);
/* When so much is free on the node, by predicted ends and, where with_claims, reserved starts. */
int64_t node_free_at(struct node *n, uint32_t gpus, uint32_t cpu_milli, uint64_t mem_mib, bool with_claims);
/* What is free at that time. */
struct claim_part node_free_part(const struct node *n, int64_t at_us);
/* The claim was put on top of the node's, or has another share of it since. */
void node_claimed(struct node *n, const struct claim *cm);
void node_unclaimed(struct node *n);
/* When k GPUs are free beside the claims, worked out anew: for checks. */
void node_times_anew(const struct node *n, int64_t *ret);
/* type_first_free finds others for so many GPUs, until a claim of the node comes or goes. It has just found this one. */
void node_pass_by(const struct node *n, uint32_t gpus);
/* The usable node of the type where k GPUs come free first; NULL where there is none. */
struct node *type_first_free(struct node_type *t, uint32_t k, int64_t *ret_us);

/* ---- want.c ---- */

struct type_fit request_fit(const struct weir_core *c, const struct weir_request *r, const struct node_type *t);
/* Brings it up to date with the node types. */
void want_fit(struct weir_core *c, struct want *w);
struct type_fit shape_fit(struct weir_core *c, struct shape *s, const struct node_type *t);
/* Is there room for it on the node now? Hot ones only. */
bool want_fits_on(const struct want *w, const struct node *n);
/* The request must live as long as the reference. */
struct want *want_ref(struct weir_core *c, const struct weir_request *r, uint32_t gpus_min);
void want_unref(struct weir_core *c, struct want *w, const struct weir_request *r);
void want_free(struct want *w);
/* It begins, or ceases, to wait. */
void want_heat(struct weir_core *c, struct want *w);
void want_cool(struct weir_core *c, struct want *w);
/* Brings the hot ones up to date with the node types. */
void wants_update(struct weir_core *c);

/* ---- demand.c ---- */

/* So many tasks more, or less, want it. */
void demand_change(struct weir_core *c, struct want *w, int64_t n_tasks);
/* How well the node, which has room, suits it with regard to what else is wanted; higher is better. */
int64_t demand_score(struct weir_core *c, const struct node *n, const struct want *w, uint32_t gpus);

/* ---- claim.c ---- */

/* Drops what nodes that changed since have made wrong; what stays is what would be made anew. */
void claims_revalidate(struct weir_core *c);
/* All, for a reason that is not in the claims: those held back get another look. */
void claims_drop(struct weir_core *c);
/* All, where nothing but the time they were made for was wrong. */
void claims_forget(struct weir_core *c);
/* The node is new, goes, or becomes another: those on it go, and those of other nodes are looked at again. */
void claims_leave_node(struct weir_core *c, const struct node *n);
/* Those of the class and what stands behind it. */
void claims_drop_class(struct weir_core *c, const struct class *cl);
/* Parts the node types into groups anew; claims are dropped where that changes anything. */
void claims_regroup(struct weir_core *c);
/* A round begins: nothing is due. */
void claims_begin(struct weir_core *c);
/* The class cannot start: it gets a claim behind those that are due, if it is among the first reservations_max. */
void claims_owe(struct weir_core *c, struct class *cl);
/* Makes the claims that are due and could matter to the class, or finds those that are there. */
void claims_settle(struct weir_core *c, const struct class *cl);
/* Forgets the claims behind those in use that could matter to the class. */
void claims_cut(struct weir_core *c, const struct class *cl);
/* The same, but its own. */
void claims_cut_behind(struct weir_core *c, const struct class *cl);
/* The parts of a claim of a gang without GPUs, linked to their nodes. False: there are too few nodes. */
bool claim_fill_cores(struct weir_core *c, struct shape *s, struct claim *cm);
static inline bool claim_is_used(const struct claim *cm)
{
    return cm->index < cm->stack->used;
}
/*
 * When the class's first task would start, behind the claims that are settled; US_NEVER where nothing that is there
 * ever fits. *ret_node is the first part's.
 */
int64_t claim_peek(struct weir_core *c, struct class *cl, struct node **ret_node);
/*
 * The same for a class that needs one node, where it is an owned one, and that can be told without dropping claims; else false. The
 * want's standing is up to date.
 */
bool claim_peek_owned(struct weir_core *c, struct class *cl, struct node **ret_node, int64_t *ret_us);
/*
 * Would claim_peek find a node, and a rented one? The nodes are counted, no claim is made. False where that does not tell: for
 * requests without GPUs, for classes that a quota keeps from some nodes, and where something may never end.
 */
bool claim_foresee(struct weir_core *c, const struct class *cl, bool *ret_any, bool *ret_rented);
/* When a task of the class that needs one node could start on an owned, or on a rented one, beside the claims that are there. */
int64_t claim_peek_kind(struct weir_core *c, const struct class *cl, bool rented, struct node **ret_node);
/* A task that holds so much of the node, of a class without a claim there, may run until then: what ends later is in the way of a claim in use. */
int64_t claims_end_us(const struct weir_core *c, const struct node *n, const struct claim_part *task);
bool claim_allows(const struct weir_core *c,
                  const struct node *n,
                  const struct class *cl,
                  uint32_t gpus,
                  uint32_t cpu_milli,
                  uint64_t mem_mib,
                  int64_t end_us);

/* ---- place.c ---- */

struct spot {
    struct node *node;
    uint16_t gpus;
    uint8_t alternative;
};

enum place_kind {
    PLACE_OWNED,
    PLACE_RENTED,  /* joined */
    PLACE_BOOTING, /* a lease that is not ready */
};

struct place_result {
    bool found;
    bool reserved; /* there is room, but it is kept for others */
    struct weir_candidate candidate;
    uint8_t alternative;
    struct node *node; /* rank 0's */
    uint16_t gpus;
    struct spot *spot; /* gangs: one per rank, owned by the caller; NULL otherwise */
    const struct node_type *shut; /* nodes of such a type fit, but a quota has no room for it there; NULL: there are none */
    uint16_t shut_gpus;
};

/* The best room for the class's next task among nodes of the kind. */
struct place_result place_find(struct weir_core *c, struct class *cl, enum place_kind kind);
/* Is there any room for it, claims aside: on as many nodes as it needs? */
bool place_any(struct weir_core *c, struct want *w);
/* Could the class's next task start on as many nodes, or owned nodes, as it needs without delaying a claim before it? Of any models, so false says more. */
bool place_open(struct weir_core *c, struct class *cl, bool owned);
/* The same of that node alone. */
bool place_open_on(struct weir_core *c, struct class *cl, const struct node *n);
int64_t run_time_on(const struct shape *s, uint32_t throughput);
/* Will the machine last until such work that begins there then is done, or saved for the first time? Those that are reserved may end before. */
bool node_lasts(const struct shape *s, const struct node *n, int64_t start_us);
/* Until when the rented node is needed, or paid, whatever else runs there; not before now. */
int64_t node_paid_us(const struct weir_core *c, const struct node *n);
/* What reclaims of the rented node are expected to cost the class's next task there, the value of the time with it. */
int64_t node_reclaim_micro(const struct weir_core *c, const struct class *cl, const struct node *n, uint32_t gpus);
/* How long its data takes to a rented machine. */
int64_t stage_time_us(const struct weir_core *c, const struct weir_request *r);
int64_t share_of(int64_t rate, const struct node_type *t, uint32_t gpus, uint32_t cpu_milli);
/* What an owned node's energy costs more per hour with such a task on it: GPUs and cores apart, so that a task
 * without GPUs does not pay for theirs. */
int64_t energy_of(const struct node_type *t, uint32_t gpus, uint32_t cpu_milli);
int64_t class_delay_cost(const struct weir_core *c, const struct class *cl);
