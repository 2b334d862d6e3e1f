/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared guts of the world: included by world*.c only. */

#include "base/assert.h"
#include "base/map.h"
#include "base/vec.h"
#include "world.h"

/* What stands in the agenda; those of one instant come in this order. */
enum happening {
    HAPPENS_END,     /* the run of a task ends by itself; id is its job */
    HAPPENS_STOPPED, /* a run that was told to stop has done so */
    HAPPENS_STARTED, /* a run has its data and begins */
    HAPPENS_JOIN,    /* a rented machine is ready; id is its lease */
    HAPPENS_NOTICE,
    HAPPENS_RECLAIM,
    HAPPENS_PRICE,   /* the recorded price of a rented machine is another one; id is its lease */
    HAPPENS_NODE_FAILURE, /* id is the number of the owned node */
    HAPPENS_NODE_REPAIR,
    HAPPENS_LOOK,  /* at prices; id and slot are the number of the provider */
    HAPPENS_SETTLE, /* everything is posted, as it counts against budgets or would */
    HAPPENS_ALARM, /* id is the caller's tag */
};

struct entry {
    int64_t at_us;
    uint64_t order; /* happening and id */
    uint32_t slot;  /* of the task or the rental */
    uint32_t turn;  /* stale where the slot's is another */
};

/* A rank of a run on a machine. */
struct tenant {
    uint32_t slot;
    uint32_t rank;
};

/* An owned node or a rented machine. */
struct machine {
    uint32_t pool; /* as in a piece */
    uint32_t gpus;
    uint32_t throughput; /* relative, a V100 is 1000 */
    uint32_t failures;   /* of an owned one, so far */
    uint64_t held;       /* of an owned one, in parts of GPUs x cores */
    int64_t held_since_us;
    WEIR_VEC(struct tenant) tenants;
};

struct rental {
    struct machine machine;
    struct weir_offer offer; /* its price is that of the launch */
    const struct weir_sim_steps *price; /* recorded; NULL: does not change */
    uint64_t lease; /* 0: the slot is free */
    uint64_t node;
    uint32_t turn;
    bool reclaimed;
    int64_t from_us;
    int64_t ready_us;   /* 0: not ready */
    int64_t reclaim_us; /* INT64_MAX: never */
};

struct task {
    uint64_t tag;
    uint64_t job;
    int64_t work_us;  /* left after the last checkpoint, at the reference speed */
    int64_t work_from_us; /* of the running attempt: since when it does what counts; INT64_MAX: not yet */
    int64_t saved_us;     /* wall time of its last checkpoint; 0: none */
    int64_t from_us;      /* GPUs are held since */
    int64_t stopped_us;   /* it was told to stop then; saves: it has time for a checkpoint */
    int64_t checkpoint_every_us;
    int64_t checkpoint_grace_us;
    uint64_t stage_bytes;
    uint32_t reference;  /* throughput that the work is measured in */
    uint32_t throughput; /* of the slowest machine of the running attempt */
    uint32_t gpus;
    uint32_t attempt; /* running one, 0: none */
    uint32_t turn;
    uint32_t project;
    uint32_t user;
    uint16_t nodes;
    uint16_t told; /* ranks of the attempt that were to be started */
    uint16_t open; /* ranks that hold GPUs */
    uint8_t stop_reason; /* enum weir_reason; NONE: it was not told to stop */
    bool rented;   /* the attempt has a rented machine */
    bool again;    /* it goes on from a checkpoint */
    bool fails;    /* the attempt ends by a failure of its own */
    bool saves;
    bool over;     /* its end was told to the watch */
};

/* What an offer has to do with, beyond what the core knows of it. */
struct stock {
    uint64_t offer;
    const struct weir_sim_steps *price;    /* recorded; NULL: does not change */
    const struct weir_sim_steps *recorded; /* whether there are machines; NULL: always, but for what chance brings */
    bool out;
    uint32_t changes;
    int64_t until_us;
};

/* Reserved machines of one offer. */
struct reserved {
    uint64_t offer;
    uint32_t provider;
    uint32_t gpus;
    uint32_t cpu_milli;
    int64_t price_micro_per_hour;
    int64_t term_us; /* 0: paid for by the microsecond */
    WEIR_VEC(uint64_t) unused; /* nodes of the bill that stand for those that are not leased */
};

struct provider {
    const char *name;
    struct weir_offer *offer; /* as the core was told of them last; NULL where no prices are recorded */
    size_t n_offers;
    size_t first; /* number of their stock */
    bool told;
    uint64_t gpus_max;
    uint64_t gpus_used;
};

struct weir_sim_world {
    struct weir_core *core;
    struct weir_gpu_table *gpus;
    struct weir_bill *bill; /* NULL: none */
    struct weir_bill_check *check;
    struct weir_bill_check_result books;
    struct weir_sim_watch watch;
    struct weir_sim_faults faults;
    struct weir_sim_market_times market;
    struct weir_sim_pool *pool;
    size_t n_pools;
    struct provider *provider;
    size_t n_providers;
    struct machine *node; /* owned, by number */
    size_t n_nodes;
    uint64_t seq;
    int64_t now_us;
    int64_t begin_us;
    int64_t wake_us;
    int64_t moved_us; /* when something last began or ended */
    uint64_t n_live;
    uint64_t n_running;
    uint64_t n_rented;
    WEIR_VEC(struct task) tasks; /* slots */
    WEIR_VEC(uint32_t) free_tasks;
    /* jobs are numbered in order: slots from the oldest one on, UINT32_MAX: it is over */
    WEIR_VEC(uint32_t) slot_of;
    uint64_t oldest_job;
    size_t n_over; /* at the front of slot_of */
    WEIR_VEC(struct rental) rentals; /* slots */
    WEIR_VEC(uint32_t) free_rentals;
    struct weir_map rental_of;       /* lease -> slot */
    WEIR_VEC(struct stock) stock;
    struct weir_map stock_of;        /* offer -> number */
    WEIR_VEC(struct entry) agenda;   /* a heap, the earliest first */
    WEIR_VEC(struct weir_event) reports; /* what the world has to say at this instant, in order */
    WEIR_VEC(struct weir_node_spec) specs; /* of machines that join at this instant */
    size_t reported;
    size_t joined;
    WEIR_VEC(struct reserved) reserved;
    uint64_t unused_ever;
    bool payers;
    size_t n_budgets;
    size_t n_quotas;
    int64_t patience_us; /* what waits for longer while nothing else happens waits for ever */
    int64_t patient_until_us;
    int64_t asked_us; /* when it was last asked whether all that waits does so in vain */
    WEIR_VEC(struct weir_charged) charges; /* posted, not told */
    uint32_t unsettled; /* segments closed since the bill was settled */
    int64_t settled_us;
};

/* ---- world.c ---- */

void weir_world_schedule(struct weir_sim_world *w, int64_t at_us, enum happening what, uint64_t id, uint32_t slot, uint32_t turn);
/* Feeds one event, now, and does what follows from it. */
void weir_world_step(struct weir_sim_world *w, struct weir_event *ev);
/* Feeds it after what is to be reported already. */
void weir_world_report(struct weir_sim_world *w, const struct weir_event *ev);
/* Everything that follows at this instant. */
void weir_world_settle(struct weir_sim_world *w);

/* ---- world_draw.c: from the seed and what the draw is for ---- */

enum draw { DRAW_BOOT = 1, DRAW_BOOT_FAILURE, DRAW_RECLAIM, DRAW_STOCK, DRAW_TASK_FAILURE, DRAW_NODE };

/* The draws of (kind, a, b): uniform in (0, 1); with mean 1, exponential; standard normal. */
double weir_world_uniform(const struct weir_sim_world *w, enum draw kind, uint64_t a, uint64_t b);
double weir_world_exponential(const struct weir_sim_world *w, enum draw kind, uint64_t a, uint64_t b);
double weir_world_normal(const struct weir_sim_world *w, enum draw kind, uint64_t a, uint64_t b);
/* Microseconds until the next of what comes so many times an hour; INT64_MAX: never. */
int64_t weir_world_until(double per_hour, double exponential);

/* ---- world_run.c ---- */

void weir_world_task_add(struct weir_sim_world *w, const struct task *task);
struct task *weir_world_task_of(struct weir_sim_world *w, uint64_t job, uint32_t *ret_slot);
void weir_world_run_start(struct weir_sim_world *w, const struct weir_effect *e);
void weir_world_run_stop(struct weir_sim_world *w, const struct weir_effect *e);
void weir_world_run_segment_open(struct weir_sim_world *w, const struct weir_effect *e);
void weir_world_run_segment_close(struct weir_sim_world *w, const struct weir_effect *e);
void weir_world_run_began(struct weir_sim_world *w, uint32_t slot);
void weir_world_run_end(struct weir_sim_world *w, uint32_t slot);
void weir_world_run_stopped(struct weir_sim_world *w, uint32_t slot);
/* The machine is about to go: what its runs have saved is reported. */
void weir_world_run_save_all(struct weir_sim_world *w, const struct machine *m);
/* The runs on an owned node that fails. */
void weir_world_run_lose_all(struct weir_sim_world *w, struct machine *m);
/* The state of a task has changed by other things than the success of its run. */
void weir_world_run_look(struct weir_sim_world *w, struct weir_task_id id);

/* ---- world_cloud.c ---- */

struct rental *weir_world_rental_of(struct weir_sim_world *w, uint64_t lease);
struct machine *weir_world_machine_of(struct weir_sim_world *w, struct weir_node_id node, struct weir_lease_id lease);
void weir_world_cloud_tell(struct weir_sim_world *w, const char *provider, const struct weir_offer *offer, size_t n);
/* Adds the next provider with its offers. */
void weir_world_cloud_offer(struct weir_sim_world *w, const struct weir_sim_provider *p);
void weir_world_cloud_launch(struct weir_sim_world *w, const struct weir_effect *e);
void weir_world_cloud_terminate(struct weir_sim_world *w, const struct weir_effect *e);
void weir_world_cloud_join(struct weir_sim_world *w, uint32_t slot);
void weir_world_cloud_notice(struct weir_sim_world *w, uint32_t slot);
void weir_world_cloud_reclaim(struct weir_sim_world *w, uint32_t slot);
/* The machine is gone, and the core has been told. */
void weir_world_cloud_forget(struct weir_sim_world *w, struct weir_lease_id lease);

/* ---- world_market.c: what was recorded ---- */

/* What the machine costs when it is launched now. */
int64_t weir_world_market_price(const struct weir_sim_world *w, const struct stock *s, const struct weir_offer *o);
/* Until when there are machines: now or earlier where there are none. INT64_MAX: no end is known, or none is recorded. */
int64_t weir_world_market_end(const struct weir_sim_world *w, const struct stock *s);
/* Tells the core of the provider's prices where they have changed. */
void weir_world_market_look(struct weir_sim_world *w, uint32_t number);
/* The rental costs what is recorded now, and is looked at again when that changes. */
void weir_world_market_reprice(struct weir_sim_world *w, uint32_t slot);
/* What so many GPUs of the rental cost from then to then, in units of money. */
double weir_world_market_cost(const struct weir_sim_world *w, const struct rental *r, uint32_t gpus, int64_t from_us, int64_t to_us);
/* Looks at the prices as soon as they may have changed. */
void weir_world_market_schedule(struct weir_sim_world *w, uint32_t number);

/* ---- world_bill.c ---- */

void weir_world_bill_effect(struct weir_sim_world *w, const struct weir_effect *e);
/* Posts now and then; with all, everything. */
void weir_world_bill_settle(struct weir_sim_world *w, bool all);
void weir_world_bill_close(struct weir_sim_world *w);

/* ---- world_budget.c ---- */

/* Sets the budgets of a new world. */
void weir_world_budgets_set(struct weir_sim_world *w, const struct weir_sim_world_conf *conf);
/* Posts and tells the core what counts against budgets. True where that was news to it. */
bool weir_world_budgets_charge(struct weir_sim_world *w);
/* Everything is posted; again some minutes later. */
void weir_world_budgets_settle(struct weir_sim_world *w);
/* Does all that waits wait for budgets that will never have room for it? */
bool weir_world_budgets_are_final(struct weir_sim_world *w);

/* ---- world_reserved.c: what is paid for anyway ---- */

/* Nothing for offers that are not reserved. */
void weir_world_reserved_add(struct weir_sim_world *w, uint32_t provider, const struct weir_offer *o, struct weir_dur term);
/* A machine of it begins, or ends, to be billed as a lease. */
void weir_world_reserved_take(struct weir_sim_world *w, const struct weir_offer *o, struct weir_wall at);
void weir_world_reserved_give(struct weir_sim_world *w, const struct weir_offer *o, struct weir_wall at);
void weir_world_reserved_close(struct weir_sim_world *w);
void weir_world_reserved_release(struct weir_sim_world *w);

/* ---- world_power.c ---- */

/* A segment opens or closes. */
void weir_world_power_change(struct weir_sim_world *w, const struct weir_effect *e);
void weir_world_power_close(struct weir_sim_world *w);
