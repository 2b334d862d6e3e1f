/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Suite replay: any work on owned nodes and clouds. Shared by the suite's files only. */

#include "budgets.h"
#include "cloud/catalogue.h"
#include "cloud/grid.h"
#include "market.h"
#include "replay_params.h"
#include "schedule.h"
#include "sim.h"
#include "workload.h"
#include "world.h"

enum {
    WEIR_REPLAY_POOLS_MAX = 16,
    WEIR_REPLAY_PROVIDERS_MAX = 16,
    WEIR_REPLAY_BUDGET_SETS_MAX = 8,
};

/* What there is to run on, and what the world is like. */
struct weir_replay_site {
    double param[WEIR_REPLAY_PARAMS];
    const char *currency; /* of all amounts; borrowed */
    uint64_t seed;
    struct weir_gpu_table *gpus;
    struct weir_catalogue *catalogue;
    struct weir_sim_pool pool[WEIR_REPLAY_POOLS_MAX];
    char pool_name[WEIR_REPLAY_POOLS_MAX][WEIR_SIM_TEXT_SIZE];
    size_t n_pools;
    struct weir_sim_provider provider[WEIR_REPLAY_PROVIDERS_MAX];
    char provider_name[WEIR_REPLAY_PROVIDERS_MAX][WEIR_PROVIDER_SIZE];
    struct weir_offer *offer[WEIR_REPLAY_PROVIDERS_MAX]; /* what the providers have */
    size_t n_providers;
    /* of spot machines, as recorded; n == 0: nothing was. Providers point to it, by offer */
    struct weir_sim_market prices;
    struct weir_sim_market stock;
    const struct weir_sim_steps **offer_price[WEIR_REPLAY_PROVIDERS_MAX];
    const struct weir_sim_steps **offer_stock[WEIR_REPLAY_PROVIDERS_MAX];
    struct weir_dur *term[WEIR_REPLAY_PROVIDERS_MAX]; /* of each offer, where a provider has reserved ones */
    bool reserved; /* some may be reserved */
    struct weir_sim_budget_set budget_set[WEIR_REPLAY_BUDGET_SETS_MAX];
    char budget_set_name[WEIR_REPLAY_BUDGET_SETS_MAX][WEIR_SIM_TEXT_SIZE];
    size_t n_budget_sets;
    struct weir_grid *tariff; /* price of a kWh over time; NULL: not asked about */
    struct weir_grid *carbon; /* grams for a kWh, the same */
    uint32_t per_node; /* GPUs of the largest owned node */
    uint32_t sizes;    /* of nodes, owned or offered: bit n - 1 for n GPUs */
    double slowest;    /* times a V100's run time, of the GPUs that there are */
};

/* Errors: -WEIR_EINVAL and others naming the option. *site is to be released whatever happens. */
int weir_replay_site_read(struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_err *err);
void weir_replay_site_release(struct weir_replay_site *site);
/* GPUs of all owned nodes. */
uint64_t weir_replay_site_gpus(const struct weir_replay_site *site);

/* ---- replay_market.c ---- */

/* Reads --prices and --traces and gives the clouds the spot machines that were recorded. Errors: those of the files; -WEIR_EINVAL. */
int weir_replay_market_read(struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_err *err);
void weir_replay_market_release(struct weir_replay_site *site);
/* When the records are, for a world whose time is that of the work and shift_us, of work that begins then. */
struct weir_sim_market_times weir_replay_market_times(const struct weir_replay_site *site, struct weir_wall begin, int64_t shift_us);
/* Makes it a spot machine, taken back as the parameters say. */
void weir_replay_site_spot(const struct weir_replay_site *site, struct weir_offer *o);

/* ---- replay_shift.c ---- */

/* For how long a task that could run on owned nodes is held back, at most most_us; at is the work's time. Needs a tariff or carbon. */
int64_t weir_replay_shift_us(const struct weir_replay_site *site, struct weir_wall at, uint32_t gpus, int64_t expected_us, int64_t most_us);

/* ---- replay_reserved.c ---- */

/* Reads --reserved and adds the offers. Errors: those of the reader; -WEIR_ENOTFOUND where no cloud lists such a machine. */
int weir_replay_reserved_read(struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_err *err);
void weir_replay_reserved_release(struct weir_replay_site *site);

/* Tells the result what the site takes for granted. Its currency is set. */
void weir_replay_assume(const struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_sim_result *result);

/* What a run came to. */
struct weir_replay_figures {
    uint64_t tasks;
    uint64_t failed;
    uint64_t unplaced; /* of these: that found no place to run */
    uint64_t deadline_misses;
    uint64_t reclaims;
    int64_t own_micro;
    int64_t cloud_micro;
    int64_t unused_micro; /* of that, for reserved machines while they were not leased */
    double bound_micro; /* that no policy can go below; not a number where none is proved */
    double wait_h; /* sums */
    double completion_h;
    uint64_t completed;
    uint64_t started;
    double p95_wait_h;
    double makespan_h;
    double own_gpu_h;   /* in use */
    double cloud_gpu_h; /* rented, in use or not */
    double idle_gpu_h;
    double waste_gpu_h;
    double lost_gpu_h;
    double transfer_gib; /* moved to rented machines */
    bool has_data;       /* some task has */
    uint64_t held_back;  /* tasks that waited for a budget */
    uint64_t never;      /* of these, that never began */
    double budget_wait_h; /* that they waited for it */
    double owned_gpu_h; /* there to be used */
    /* of owned nodes, PUE included; zero where the site has neither tariff nor carbon */
    double energy_kwh;
    int64_t energy_micro; /* at the tariff */
    int64_t carbon_ug;
};

/* What is to be run, and how. */
struct weir_replay_order {
    const struct weir_replay_site *site;
    const struct weir_sim_options *o;
    const char *policy; /* one of the suite's */
    int budget_set; /* whose budgets are in force; < 0: none's */
    struct weir_sim_schedule *schedule;
};

/* What a run gives besides figures; the caller's to free. */
struct weir_replay_told {
    struct weir_sim_series *series;
    /* where the site has budgets: of the set in force, or, where none is, of each */
    struct weir_sim_budget_spans *budgets[WEIR_REPLAY_BUDGET_SETS_MAX];
};
void weir_replay_told_release(struct weir_replay_told *t);

/* Runs the work. without: what the same gave under no budgets; NULL: not known. *ret is to be released whatever happens. Errors: those of the
 * work; -WEIR_EINVAL. */
int weir_replay_run(const struct weir_replay_order *order, const struct weir_replay_told *without, struct weir_sim_result *result,
                    struct weir_replay_figures *ret, struct weir_replay_told *ret_told, struct weir_err *err);
