/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared guts of bill/: included by src/bill and its tests only. */

#include "base/map.h"
#include "base/vec.h"
#include "bill/bill.h"

#define WEIR_US_PER_YEAR (365 * WEIR_US_PER_DAY) /* of upkeep: 8,760 hours */

/*
 * Bounds on what is believed. They keep every sum below 2^63 and every product below 2^127: the dearest node over the
 * longest life stays under 9 x 10^18 micro-units.
 */
#define WEIR_BILL_RATE_MAX INT64_C(10000000000000)         /* ten million units per hour: of some currencies a unit is worth little */
#define WEIR_BILL_PURCHASE_MAX INT64_C(10000000000000000)  /* 10^10 units */
#define WEIR_BILL_UPKEEP_MAX INT64_C(1000000000000000)     /* 10^9 units per year */
#define WEIR_BILL_TARIFF_MAX INT64_C(10000000000)          /* 10,000 units per kWh */
#define WEIR_MJ_PER_KWH INT64_C(3600000000)
#define WEIR_BILL_CARBON_MAX WEIR_MJ_PER_KWH               /* a microgram for a millijoule, 3,600 g per kWh: one is never more than the other */
#define WEIR_BILL_NANO INT64_C(1000000000)                 /* of a rate of exchange */
#define WEIR_BILL_SPAN_MAX (100 * WEIR_US_PER_YEAR)        /* life of a node */
enum {
    WEIR_BILL_PUE_MAX = 10000,    /* 10 */
    WEIR_BILL_WATTS_MAX = 100000, /* of a node */
    WEIR_BILL_GPUS_MAX = 1024,
    WEIR_BILL_CPU_MAX = 1000000000, /* milli */
};

/* Splits total over parts in proportion to weight (largest remainder, ties to the lower index). The parts add up to total
 * exactly. All weights 0: everything goes to the last. Bounds: weights below 2^120, at most 2^31 parts. */
void weir_bill_split(int64_t total, const weir_i128 *weight, size_t n, int64_t *ret);

/* a x b / c for 0 <= a, b, c > 0 with the rest of earlier divisions: adds *rest, leaves the new rest. */
int64_t weir_bill_rate(weir_i128 a, int64_t b, int64_t c, int64_t *rest);

/* A run's part of a node. A node's segments are listed in order of (run, rank), so that no result depends on the order
 * in which they were opened or restored. */
struct bill_segment {
    /* links are indexes + 1; 0: none */
    uint32_t next; /* of the node */
    uint32_t prev;
    uint32_t next_of_run; /* of the same hash of run */
    uint32_t prev_of_run;
    uint32_t next_due;     /* of the node's that begin after its now */
    bool closed;
    uint8_t outcome;
    struct weir_wall from; /* accounted from here: info.from, or later */
    struct weir_wall held; /* once it has begun: the weights are those up to here */
    uint64_t part;         /* of the node's whole, in units of its capacity */
    struct weir_bill_segment info;
    /* since the node was last posted */
    weir_i128 weight;
    weir_i128 energy_weight;
    uint64_t gpu_us;
    struct weir_wall closed_at;
    struct weir_wall kept_until;
};

struct bill_node {
    struct weir_meter m;
    struct weir_wall now; /* shares are accounted up to here */
    uint64_t whole;       /* capacity: GPUs x milli-cores */
    uint32_t first;       /* segments by run; index + 1 */
    uint32_t last;
    uint32_t due;   /* those that begin after now, the first first */
    uint64_t taken; /* parts of those that have begun and are open */
    weir_i128 idle_weight; /* since the last posting */
    weir_i128 idle_energy_weight;
    struct weir_wall proven; /* rented: it was there then; no settle goes beyond, where proof is wanted */
    bool dirty;   /* must be posted at the next settle */
    bool changed; /* the meter must be stored */
};

/* One receiver of a span's cost. */
struct bill_part {
    uint32_t segment; /* index; UINT32_MAX: none (idle, boot) */
    uint8_t account;
    weir_i128 weight;
    weir_i128 energy_weight;
    uint64_t gpu_us;
};

struct weir_bill {
    bool wants_proof;
    uint64_t next_posting;
    struct weir_wall last_at; /* of postings: never decreases */
    WEIR_VEC(struct bill_node *) nodes; /* by id */
    WEIR_VEC(struct bill_segment) segments;
    uint32_t free_segment; /* list by next */
    struct weir_map runs;  /* hash of run -> index + 1 */
    WEIR_VEC(struct weir_bill_pending) pending; /* closed and posted, without a verdict */
    bool taken;            /* what was made was handed out: forget it at the next call */
    WEIR_VEC(struct weir_posting) postings;
    WEIR_VEC(struct weir_meter) meters;
    WEIR_VEC(struct weir_node_id) dirty;   /* to be posted at the next settle */
    WEIR_VEC(struct weir_node_id) changed; /* meters to be stored */
    /* scratch of one posting round */
    WEIR_VEC(struct bill_part) parts;
    WEIR_VEC(weir_i128) weights;
    WEIR_VEC(int64_t) amounts;
    WEIR_VEC(int64_t) energy; /* by part, and so with carbon */
    WEIR_VEC(int64_t) carbon;
    WEIR_VEC(int64_t) originals; /* of the amounts, in the node's own currency */
};

/* Drops what was handed out by the last take. Every call that changes something begins with it. */
void weir_bill_forget_taken(struct weir_bill *b);
/* NULL where it is not open. */
struct bill_node *weir_bill_node_find(const struct weir_bill *b, struct weir_node_id id);
/* at moved into what can still be accounted: not before n->now, not beyond the longest life. */
struct weir_wall weir_bill_clamp(const struct bill_node *n, struct weir_wall at);
/* The meter must be stored with the next take. */
void weir_bill_mark_changed(struct weir_bill *b, struct bill_node *n);
/* Is it rented and has not joined yet? All its cost is boot waste then. */
static inline bool weir_bill_is_booting(const struct bill_node *n)
{
    return !n->m.info.owned && n->m.ready.us == 0;
}

/* ---- cost.c: what a span of a node costs ---- */

struct bill_cost {
    int64_t micro[WEIR_ACCOUNT_NODE]; /* by account of the cost side */
    int64_t original_micro;           /* of the provider's, in the quote's currency; 0 where that is the ledger's */
    bool energy_modelled;
    int64_t energy_mj; /* from the grid */
    int64_t carbon_ug;
    bool carbon_unknown;
};

/* What the node cost from m.until to `to`; moves the meter's rests and posted sums. closing: rounds a rented one
 * up to what is billed. sum of energy weights since m.until is needed for modelled energy. */
struct bill_cost weir_bill_cost_take(struct bill_node *n, struct weir_wall to, weir_i128 energy_weight);
/* A cumulative reading of an owned node at a time that was clamped. */
void weir_bill_energy_take_reading(struct bill_node *n, struct weir_wall at, uint64_t counter_mj);
/* A rented node costs so much an hour from then on; not before its last change, nor after m.until, up to which it is posted. */
void weir_bill_price_take(struct bill_node *n, struct weir_wall from, int64_t price_micro_per_hour);
/* What a rented node costs at its end beyond the time it was there. */
struct bill_cost weir_bill_rounding_take(struct bill_node *n, struct weir_wall end);
/* An amount of the ledger's in the node's own currency, half up; 0 where it has none. */
int64_t weir_bill_original(const struct weir_bill_node *n, int64_t micro);

/* How long a rented machine is charged for that was there so long. */
struct weir_dur weir_bill_round_up(struct weir_dur d, struct weir_dur quantum, struct weir_dur minimum);

/* ---- post.c ---- */

/* Accounts shares up to t (not before n->now) without posting. */
void weir_bill_advance(struct weir_bill *b, struct bill_node *n, struct weir_wall t);
/* The segment has its part of the node from its beginning on: now, or when n->now comes there. */
void weir_bill_segment_begin(struct weir_bill *b, struct bill_node *n, uint32_t index);
/* It has no part of the node from n->now on. */
void weir_bill_segment_stop(struct bill_node *n, struct bill_segment *s);
/* Posts both sides of the span since the last posting up to n->now. at: when it is made. */
void weir_bill_post(struct weir_bill *b, struct bill_node *n, struct weir_wall at);
/* Posts a rented node's rounding at its end. */
void weir_bill_post_rounding(struct weir_bill *b, struct bill_node *n, struct weir_wall at);
/* Moves what an ended run had been charged to waste. */
void weir_bill_correct(struct weir_bill *b, const struct bill_node *n, const struct bill_segment *s, struct weir_wall at);
/* Takes a segment that is closed and posted out of its node. */
void weir_bill_segment_drop(struct weir_bill *b, struct bill_node *n, uint32_t index);
