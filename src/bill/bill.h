/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Metering -> rating -> double-entry ledger. Pure: fed with what the core's METER_* and SEGMENT_* effects and
 * the agents' energy readings say, it gives postings.
 *
 * Every node is a clearing account. The cost side books what the node cost in a span (provider charge;
 * or depreciation, energy, upkeep) onto the node; the use side books the same amount off the node onto
 * jobs, idle and waste. Both sides of each span are equal to the micro-unit: weir_bill_settle makes
 * both in one go, and splits by largest remainder so that nothing is lost.
 *
 * A run's share of a node is the larger of its share of GPUs and of cores; where the shares of all
 * runs add up to more than the node they are scaled down in proportion; what no run holds is idle.
 *
 * Owned nodes: depreciation = (purchase - residual) / life, straight line; upkeep per year; energy =
 * joules (measured by the agent, else idle/busy watts by share) x PUE x tariff.
 * Rented nodes: the quote's rate over the billed span, which is at least the minimum and rounded up
 * to the quantum; what the rounding adds at the end is idle. A quote in another currency keeps its rate as long as the machine lives; its
 * postings bear what their amounts are in it: differences of one running sum, so that they add up to what the whole is. Where the price changes meanwhile (spot), each
 * counts from its moment on; minimum and quantum are of the whole life, and what they add costs the last price. Before METER_READY it is boot waste,
 * booked with the project of the task that the machine was rented for.
 *
 * What the grid gave for a node's span, and what that emitted, stands on the postings of both sides and is split like the cost of energy,
 * to the millijoule and the microgram: joules x PUE, and x the grid's intensity of that time. So it is dated, never rewritten, and adds up as
 * money does. What is moved between accounts later (corrections, prices) carries none: a run emitted it, whatever became of the run.
 *
 * Corrections are new postings: when a run ends as FAILED or LOST, what was already posted to its
 * job is moved to waste by a posting job -> waste with the same job, project and user. That holds for a rank of a
 * gang, too, that had ended well before the run failed: it was closed as PENDING.
 */

#include "base/err.h"
#include "core/budget.h"
#include "core/effect.h"

enum weir_account {
    /* cost side */
    WEIR_ACCOUNT_PROVIDER,
    WEIR_ACCOUNT_DEPRECIATION,
    WEIR_ACCOUNT_ENERGY,
    WEIR_ACCOUNT_UPKEEP,
    /* between: one per node */
    WEIR_ACCOUNT_NODE,
    /* use side */
    WEIR_ACCOUNT_JOB,
    WEIR_ACCOUNT_IDLE,
    WEIR_ACCOUNT_WASTE_BOOT,
    WEIR_ACCOUNT_WASTE_LOST,
    WEIR_ACCOUNT_WASTE_FAILED,
    /* rating: what is charged beyond the cost goes from margin to price; less than it, back */
    WEIR_ACCOUNT_PRICE,
    WEIR_ACCOUNT_MARGIN,
    WEIR_ACCOUNT_MAX,
};

/* One entry of the ledger: amount goes from credit to debit. Never changed once stored. */
struct weir_posting {
    uint64_t id; /* increasing by one over the whole ledger */
    struct weir_wall at; /* when it was made */
    struct weir_wall from; /* the span it is for */
    struct weir_wall to;
    struct weir_node_id node;
    struct weir_lease_id lease; /* 0: owned */
    struct weir_pool_id pool;
    uint8_t debit;  /* enum weir_account */
    uint8_t credit;
    bool modelled;  /* energy that was not measured */
    int64_t amount_micro; /* > 0; may be 0 where gpu_us or energy_mj is not */
    uint64_t gpu_us;      /* GPU-microseconds that the run occupied in the span; 0 for others and in corrections */
    int64_t energy_mj;    /* from the grid, so with PUE; on the use side, and on the cost side as a whole with ENERGY or PROVIDER */
    int64_t carbon_ug;    /* CO2e of it */
    bool carbon_unknown;  /* the use caused carbon, and nobody knows how much: carbon_ug is 0 */
    /* of the run, or of the task that a machine was rented for; zero where none */
    struct weir_project_id project;
    struct weir_user_id user;
    struct weir_run_id run; /* of a correction from outside: the job only, its ordinal is WEIR_ORDINAL_ALL */
    uint64_t correction; /* the correction from outside that it belongs to; 0: metered */
    char currency[4];       /* of the quote, or the bill, that it came from, where that is not the ledger's; "": it is */
    int64_t original_micro; /* the amount in it */
    uint64_t rule;       /* that rated it: between PRICE and MARGIN; 0: cost and use */
    struct weir_payer_id payer; /* of the same; of a rented machine's costs and idle time too. Not stored */
};

/*
 * What of the posting's amount (or of its GPU time) falls on the part lo..hi of its span: a difference of cumulative shares, rounded
 * half up, so that the parts of a posting add up to it, whatever the cuts. All of it where the span is an instant.
 */
int64_t weir_posting_slice(const struct weir_posting *p, int64_t amount, int64_t lo, int64_t hi);

/* What use took from the grid, and what that emitted. */
struct weir_footprint {
    int64_t energy_mj;
    int64_t carbon_ug;     /* of the use of which it is known */
    int64_t unknown_micro; /* the cost of that of which it is not */
    bool has_unknown;      /* there is such use, whatever it cost */
};
/* What the part lo..hi of the posting's span adds to use. */
struct weir_footprint weir_posting_footprint(const struct weir_posting *p, int64_t lo, int64_t hi);
void weir_footprint_add(struct weir_footprint *sum, const struct weir_footprint *part);

/*
 * What the posting charges to budgets: *ret is for the core's CHARGED. Of a correction from outside its use side, below 0 where it
 * takes back. False where it charges none: the end of a failed run moves what was charged before, prices are not cost, and
 * nobody pays for the idle time of what is owned.
 */
bool weir_posting_charges(const struct weir_posting *p, struct weir_charged *ret);

/* What an owned node truly costs. All >= 0. Of a rented one the power and the carbon count, where they are known. */
struct weir_owned_cost {
    int64_t purchase_micro;
    int64_t residual_micro; /* <= purchase */
    struct weir_dur life;   /* > 0 */
    int64_t upkeep_micro_per_year;
    int64_t tariff_micro_per_kwh;
    uint32_t pue_milli;  /* >= 1000 */
    uint32_t idle_watts; /* of the whole node, for the model */
    uint32_t busy_watts; /* >= idle_watts */
    bool has_carbon;            /* the next is known */
    int64_t carbon_ug_per_kwh;  /* micrograms of CO2e: the grid's intensity */
};

bool weir_owned_cost_eq(const struct weir_owned_cost *a, const struct weir_owned_cost *b);
/* Rates of a node for the core's decisions, and for display. */
struct weir_node_rates weir_owned_rates(const struct weir_owned_cost *c);
/* Micrograms of CO2e an hour at the given watts of the node; 0 where it is not known. */
int64_t weir_carbon_rate(const struct weir_owned_cost *c, uint32_t watts);
/* One part of the full rate: account is DEPRECIATION, UPKEEP or ENERGY (at the given watts). */
int64_t weir_owned_rate(const struct weir_owned_cost *c, enum weir_account account, uint32_t watts);

struct weir_bill_node;
/* What a node costs from a time on; returns when that may change next, later than at (WEIR_WALL_MAX: never). */
typedef struct weir_wall weir_owned_cost_fn(void *ctx, const struct weir_bill_node *node, struct weir_wall at, struct weir_owned_cost *ret);

struct weir_bill_node {
    struct weir_node_id node;
    struct weir_lease_id lease;
    struct weir_pool_id pool;
    uint32_t gpus;
    uint32_t cpu_milli;
    bool owned;
    struct weir_owned_cost cost;  /* owned; rented: power and carbon */
    int64_t price_micro_per_hour; /* rented: the quote, or what it costs since it was priced anew */
    struct weir_dur quantum;
    struct weir_dur minimum;
    /* rented: for whom, for boot waste */
    struct weir_project_id project;
    struct weir_user_id user;
    struct weir_task_id task;
    struct weir_payer_id payer; /* not stored: the lease says, as of the following */
    char currency[4];           /* rented: of the quote, where that is not the ledger's; "": it is */
    int64_t rate_nano;          /* what a unit of it is in the ledger's: > 0 with a currency */
};

/* Of a meter that was stored before the counter was: the next reading only tells it. */
#define WEIR_METER_COUNTER_UNKNOWN UINT64_MAX

/* Rests of rates: one per account of the cost side, and these. */
enum { WEIR_REST_GRID = WEIR_ACCOUNT_NODE, WEIR_REST_CARBON, WEIR_RESTS };

/* What must be stored to go on after a restart; one per open node. */
struct weir_meter {
    struct weir_bill_node info;
    struct weir_wall opened;
    struct weir_wall ready;  /* 0: still booting; owned: equal to opened */
    struct weir_wall until;  /* both sides are posted up to here */
    int64_t provider_posted_micro;
    struct weir_wall priced; /* rented: its price holds since then; 0: since it was opened */
    int64_t priced_micro;    /* what it had cost by then, at earlier prices; the rest of that is in its provider's slot */
    /* of rates, so that many short spans add up to the whole; an owned node has no provider, and a rented one no account of energy: that
     * slot keeps the part of a millijoule of modelled energy */
    int64_t remainder[WEIR_RESTS];
    uint64_t energy_mj;      /* measured since the node was opened */
    uint64_t energy_counter_mj; /* the agent's counter when it was read last */
    uint64_t energy_posted_mj;
    bool energy_measured;
    bool closed;             /* final: the row may be deleted after this was stored */
};

/* An occupied part of a node, open at a restart. */
struct weir_bill_segment {
    struct weir_node_id node;
    struct weir_run_id run;
    uint32_t rank;
    struct weir_project_id project;
    struct weir_user_id user;
    struct weir_payer_id payer;
    uint32_t gpus;
    uint32_t cpu_milli;
    struct weir_wall from;
    int64_t posted_micro; /* already booked on the job for this segment */
    /* already booked for time before the last checkpoint, which is kept whatever happens */
    int64_t posted_kept_micro;
    struct weir_wall checkpointed;
    struct weir_wall posted_until; /* the end of the last span that was booked on the job; 0: none was */
};

/* A segment that was closed as PENDING, at a restart. */
struct weir_bill_pending {
    struct weir_bill_segment segment;
    struct weir_lease_id lease;
    struct weir_pool_id pool;
    char currency[4]; /* of the node, and the rate */
    int64_t rate_nano;
};

struct weir_bill;

/*
 * next_posting: id of the first posting to come (>= 1). made_from: no posting is stamped with an earlier time; after a
 * restart at least the stamp of the last one stored, as late reports must not stand before it. Never NULL.
 */
struct weir_bill *weir_bill_new(uint64_t next_posting, struct weir_wall made_from);
void weir_bill_free(struct weir_bill *b);

/* Of a rented node that is metered already its size, power and carbon are changed; what it costs goes on. Times earlier than the node's last event (a closing, a checkpoint, a posting) are moved up to it; unknown nodes and runs are ignored
 * (a late effect of something that was closed). Errors: -WEIR_EEXISTS, -WEIR_EINVAL (names the field). */
int weir_bill_node_open(struct weir_bill *b, const struct weir_bill_node *n, struct weir_wall at, struct weir_err *err);
void weir_bill_node_ready(struct weir_bill *b, struct weir_node_id node, struct weir_wall at);
/*
 * Takes up what fn says a node costs, at each of its changes since the node was last posted up to now; of a rented one where proof is
 * wanted, up to where it is proven, and what changes later when it is asked again. What is posted stands. Measured energy counts from the reading that came last: what was used before a change and read after it is charged as
 * after it. Costs out of bounds are left as they were: fn's program has checked its configuration.
 */
void weir_bill_node_reprice(struct weir_bill *b, struct weir_node_id node, struct weir_wall now, weir_owned_cost_fn *fn, void *ctx);
/* The same of every open node. */
void weir_bill_reprice(struct weir_bill *b, struct weir_wall now, weir_owned_cost_fn *fn, void *ctx);
/*
 * A rented machine costs so much an hour from then on: what came before is posted at the price that it had. Where it is posted beyond that
 * time, what it costs more since then comes with its next span; what it costs less is taken off the next spans, as long as it is there.
 * Where proof is wanted the price counts from when the machine was seen last, as nothing after that can be posted yet: it should be told once
 * that is proven. Returns since when it counts; 0: nothing changed, for the price that it has, one out of bounds, and an owned node.
 */
struct weir_wall weir_bill_node_price(struct weir_bill *b, struct weir_node_id node, struct weir_wall at, int64_t price_micro_per_hour);
/* Settles all, then closes. Open segments are closed as USED. */
void weir_bill_node_close(struct weir_bill *b, struct weir_node_id node, struct weir_wall at);
int weir_bill_segment_open(struct weir_bill *b, const struct weir_bill_segment *s, struct weir_err *err);
/* Posts the nodes of the run up to there, so that a span ends at the checkpoint and the store can tell what is kept. */
void weir_bill_segment_checkpoint(struct weir_bill *b, struct weir_run_id run, struct weir_wall at);
void weir_bill_segment_close(struct weir_bill *b,
                             struct weir_node_id node,
                             struct weir_run_id run,
                             uint32_t rank,
                             struct weir_wall at,
                             enum weir_outcome outcome,
                             struct weir_wall kept_until);
/* What a segment that was closed as PENDING turned out to be: USED, FAILED or LOST. */
void weir_bill_segment_verdict(struct weir_bill *b,
                               struct weir_node_id node,
                               struct weir_run_id run,
                               uint32_t rank,
                               struct weir_wall at,
                               enum weir_outcome outcome,
                               struct weir_wall kept_until);
/*
 * The agent's counter, which grows from its own start on. What it grew by while nobody read it counts; one that is lower than
 * it was began anew, and all that it shows counts.
 */
void weir_bill_energy(struct weir_bill *b, struct weir_node_id node, struct weir_wall at, uint64_t counter_mj);

/*
 * From now on a settle posts a rented machine's cost up to when it is proven to have been there, and no further: it may have ended since, and
 * what was posted is not taken back.
 */
void weir_bill_want_proof(struct weir_bill *b);
/* The rented machine was there at that time. */
void weir_bill_node_proven(struct weir_bill *b, struct weir_node_id node, struct weir_wall at);
/* Posts both sides of every node that had a segment closed or was closed since the last call; with
 * all, of every open node. Call it once per transaction, and with all every minute and before a bill is shown. */
void weir_bill_settle(struct weir_bill *b, struct weir_wall now, bool all);

/* The id of the last posting that was made; 0: none was. */
uint64_t weir_bill_last_posting(const struct weir_bill *b);

/* One run's part of what its node cost since the node was last posted. */
typedef void weir_bill_accrued_fn(void *ctx, struct weir_run_id run, int64_t micro);
/* What a settling at now would charge to jobs, computed in the same way; nothing is posted and nothing changes. A run
 * over several nodes is told once for each. */
void weir_bill_accrued(const struct weir_bill *b, struct weir_wall now, weir_bill_accrued_fn *fn, void *ctx);

/* What was made since the last call: postings in order of id, and the meters that changed. Borrowed
 * until the next call on b. */
void weir_bill_take(struct weir_bill *b,
                    const struct weir_posting **ret_posting,
                    size_t *ret_n_postings,
                    const struct weir_meter **ret_meter,
                    size_t *ret_n_meters);

/* After a restart. */
int weir_bill_restore_meter(struct weir_bill *b, const struct weir_meter *m, struct weir_err *err);
int weir_bill_restore_segment(struct weir_bill *b, const struct weir_bill_segment *s, struct weir_err *err);
int weir_bill_restore_pending(struct weir_bill *b, const struct weir_bill_pending *p, struct weir_err *err);

/* Is it of the use side? */
static inline bool weir_account_is_use(uint8_t a)
{
    return a > WEIR_ACCOUNT_NODE && a < WEIR_ACCOUNT_PRICE;
}
/* "provider", "depreciation", ..., "waste_boot". */
const char *weir_account_name(enum weir_account a);
/* The account of that name; WEIR_ACCOUNT_MAX where none. */
enum weir_account weir_account_find(const char *name);

/* ---- proof ---- */

/*
 * Checks a ledger, fed posting by posting in order of id: ids without a gap, amounts positive, debit
 * and credit accounts that belong together, spans sane, and for every node and every span both sides
 * equal, in money, energy and carbon. err names the first offence (posting, node, span, both sums).
 */
struct weir_bill_check;
struct weir_bill_check *weir_bill_check_new(void);
void weir_bill_check_free(struct weir_bill_check *c);

/* What is stored of a rented machine, by which its charges are proven. */
struct weir_bill_terms {
    struct weir_wall opened;
    struct weir_wall ended;           /* 0: it is there */
    int64_t quote_micro_per_hour;
    int64_t price_micro_per_hour;     /* in force, or at its end */
    struct weir_dur quantum;
    struct weir_dur minimum;
    char currency[4]; /* of the quote, where that is not the ledger's; "": it is */
    int64_t rate_nano;
    uint64_t known_until; /* all that concerns postings up to this one is told */
};

/* Of a price that was noted by a version that did not keep it. */
#define WEIR_BILL_POSTING_UNKNOWN UINT64_MAX

/* A price that a machine had instead of its quote, or of the price before. */
struct weir_bill_price {
    uint64_t number; /* of the machine's: from 1, without a gap */
    struct weir_wall from;
    int64_t micro_per_hour;
    uint64_t after_posting; /* postings that follow this one were made by it; POSTING_UNKNOWN */
};

/* Where these stand. 0 or a negative code each. */
struct weir_bill_prices {
    void *ctx;
    /* -WEIR_ENOTFOUND: there is no such lease */
    int (*terms)(void *ctx, struct weir_lease_id lease, struct weir_bill_terms *ret, struct weir_err *err);
    /* The lease's first price behind that number; ret->number 0: there is none. */
    int (*next)(void *ctx, struct weir_lease_id lease, uint64_t number, struct weir_bill_price *ret, struct weir_err *err);
};

/*
 * To be called before the first posting: each rented machine's charges are recomputed from its quote and its prices too, to the micro-unit; an
 * offence names the lease, the span and both amounts. p is borrowed until the end, and asked once for a machine and once for each of its
 * prices, and again where postings go on behind known_until. Machines with a price of which it is not known to which postings it
 * applies are counted as unproven. Errors of what it calls are passed on.
 */
void weir_bill_check_prices(struct weir_bill_check *c, const struct weir_bill_prices *p);
int weir_bill_check_add(struct weir_bill_check *c, const struct weir_posting *p, struct weir_err *err);
/*
 * Jobs of smaller numbers are over, and nothing of theirs is posted any more: what they were charged need not be kept. It may be kept for a while
 * all the same. To be called again and again where there is no end of jobs.
 */
void weir_bill_check_forget(struct weir_bill_check *c, struct weir_job_id below);

struct weir_bill_check_result {
    uint64_t postings;
    uint64_t nodes;
    uint64_t spans;
    int64_t cost_micro; /* sum of the cost side */
    int64_t used_micro; /* job */
    int64_t idle_micro;
    int64_t waste_micro;
    int64_t price_micro; /* charged beyond the cost */
    int64_t energy_mj;   /* of the use side */
    int64_t carbon_ug;
    bool carbon_has_unknown; /* of some use it is not known */
    uint64_t leases; /* rented machines whose charges are what their prices make */
    uint64_t prices; /* that these had behind their quotes */
    uint64_t leases_unproven;
};
/* Errors: -WEIR_ECORRUPT where some node or span is not balanced. May be called in between: what has been added so far must be whole spans. */
int weir_bill_check_end(struct weir_bill_check *c, struct weir_bill_check_result *ret, struct weir_err *err);
