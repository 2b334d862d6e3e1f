/* SPDX-License-Identifier: Apache-2.0 */

/* One row of a replay: work fed into a world as a policy has it, and what came of it. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/vec.h"
#include "learned.h"
#include "quantile.h"
#include "replay.h"
#include "replay_bound.h"
#include "replay_budgets.h"
#include "series.h"

enum {
    PRIORITY = 50,
    TASK_CORES_MILLI = 1, /* of a task with GPUs: those decide */
    LIMIT_HOURS = 1440,         /* of a task of which nothing is said */
    LIMIT_HOURS_BUDGETED = 24,  /* where money is held for it; as the broker has it */
};

/* The alarm of looks at what waits for budgets. */
#define LOOK_TAG ((UINT64_C(1) << 56) - 1)

/* What an hour's waiting is worth to a rule that never waits in the cloud. */
#define HURRY_MICRO_PER_HOUR (100000 * WEIR_MICRO_PER_UNIT)

#define HOUR_US ((double)WEIR_US_PER_HOUR)

/* How a policy differs from weir's own. */
struct rule {
    const char *name;
    uint8_t local;      /* enum weir_local_wish, to begin with */
    bool no_estimates;
    bool spills;        /* LOCAL_ONLY first; after a wait, LOCAL_NEVER */
    enum weir_replay_param wait;      /* of that wait: hours; WEIR_REPLAY_PARAMS: none */
    enum weir_replay_param wait_each; /* hours for each GPU-hour; WEIR_REPLAY_PARAMS: none */
    bool unreserved;    /* whatever fits may start */
    bool shifts;        /* holds tasks back for cheaper or cleaner hours */
    /* weir's own rules, one of them switched off */
    bool hurries;       /* does not wait where it may rent */
    bool unyielding;    /* short tasks do not go first */
    bool on_demand;     /* never spot */
    bool inexperienced; /* machines are believed to be as their offers say */
    bool unlearned;     /* of run times nothing is known but what the work itself says */
};

static const struct rule rules[] = {
    {.name = "weir", .local = WEIR_LOCAL_PREFER},
    {.name = "weir-no-estimates", .local = WEIR_LOCAL_PREFER, .no_estimates = true},
    {.name = "weir-shift", .local = WEIR_LOCAL_PREFER, .shifts = true},
    {.name = "local-only", .local = WEIR_LOCAL_ONLY},
    {.name = "cloud-only", .local = WEIR_LOCAL_NEVER},
    {.name = "no-wait", .local = WEIR_LOCAL_ONLY, .spills = true, .wait = WEIR_REPLAY_PARAMS, .wait_each = WEIR_REPLAY_PARAMS},
    {.name = "constant-wait", .local = WEIR_LOCAL_ONLY, .spills = true, .wait = WEIR_REPLAY_WAIT_HOURS, .wait_each = WEIR_REPLAY_PARAMS},
    {.name = "starburst",
     .local = WEIR_LOCAL_ONLY,
     .spills = true,
     .wait = WEIR_REPLAY_PARAMS,
     .wait_each = WEIR_REPLAY_WAIT_PER_GPU_HOUR,
     .unreserved = true},
    {.name = "weir-without-waiting", .local = WEIR_LOCAL_PREFER, .hurries = true},
    {.name = "weir-without-reservations", .local = WEIR_LOCAL_PREFER, .unreserved = true},
    {.name = "weir-without-yielding", .local = WEIR_LOCAL_PREFER, .unyielding = true},
    {.name = "weir-without-spot", .local = WEIR_LOCAL_PREFER, .on_demand = true},
    {.name = "weir-without-experience", .local = WEIR_LOCAL_PREFER, .inexperienced = true},
    {.name = "weir-without-learning", .local = WEIR_LOCAL_PREFER, .no_estimates = true, .unlearned = true},
};

/* What is known of a task that is not over. */
struct follow {
    struct weir_job_id job; /* 0: over */
    int64_t submit_us;
    int64_t queued_us; /* waits since; 0: does not */
    int64_t duration_us;
    int64_t stage_bytes;
    int64_t deadline_us; /* 0: none */
    uint64_t kind;       /* key of its history, where that is asked for */
    uint32_t shape;      /* number of its request */
    uint32_t gpus;
    uint32_t project;
    uint32_t user;
    uint32_t budget; /* mark of what it waited for; 0: for none */
    double reference_h; /* run time on a reference GPU */
    bool started;
    bool held;  /* for a better hour; not submitted yet */
    bool moves; /* is being taken from the owned nodes' queue to the cloud's */
};

struct task_name {
    char text[WEIR_SIM_JOB_NAME_SIZE];
};

/* What a task asks for: what tells its request from those of others. */
struct asks {
    int64_t stage_bytes;
    int64_t expected_us;
    int64_t max_us;
    uint32_t nodes;
    uint32_t each;
    uint32_t cpu_milli;
    uint16_t models; /* 0: none is asked for */
    uint16_t local;
    uint16_t model[WEIR_ALTERNATIVES_MAX];
};

struct shape {
    struct asks asks;
    struct weir_request request;
    bool possible;
};

enum line { LINE_OWNED, LINE_RENTED, LINE_QUEUE_TASKS, LINE_QUEUE_GPUS, LINE_OWN_COST, LINE_CLOUD_COST };

struct replay {
    const struct weir_replay_site *site;
    struct weir_replay_budgets *budgets; /* NULL: nobody asks about any */
    const struct weir_sim_options *o;
    const struct rule *rule;
    struct weir_sim_workload *work;
    struct weir_sim_world *world;
    struct weir_sim_schedule *schedule;
    struct weir_sim_result *result;
    struct weir_sim_series *series;
    struct weir_replay_figures *figures;
    int64_t shift_us; /* world time less the work's */
    int64_t held_until_us; /* the last task that was held back */
    uint64_t n_held;
    uint64_t n_queued; /* wait, those that are held included */
    int64_t begin_us; /* of the world */
    int64_t end_us;
    uint64_t first; /* tag of the first that is followed */
    uint64_t n_over; /* of those at the front */
    WEIR_VEC(struct follow) follow;
    WEIR_VEC(struct task_name) name; /* of the same, where there is a schedule */
    struct weir_sim_learned learned; /* of tasks that have ended, at the reference speed */
    struct weir_map shape_of;  /* hash of what a task asks for -> number */
    WEIR_VEC(struct shape) shape;
    WEIR_VEC(int64_t) project_micro; /* by number */
    int64_t pool_micro[WEIR_REPLAY_POOLS_MAX + WEIR_REPLAY_PROVIDERS_MAX];
    int64_t use_micro[WEIR_ACCOUNT_MAX];
    double busy_rented_h;
    double boot_h;
    double ready_h; /* GPU-hours of rented machines from their readiness on */
    struct weir_sim_quantiles waits;
    struct weir_replay_bound bound;
};

static struct follow *follow_of(struct replay *p, uint64_t tag)
{
    WEIR_ASSERT(tag >= p->first && tag - p->first < p->follow.n);
    return &p->follow.p[tag - p->first];
}

/* Forgets those at the front that are over, now and then. */
static void forget(struct replay *p)
{
    while (p->n_over < p->follow.n && p->follow.p[p->n_over].job.v == 0) {
        p->n_over++;
    }
    if (p->n_over < 1024 || p->n_over < p->follow.n / 2) {
        return;
    }
    memmove(p->follow.p, p->follow.p + p->n_over, (p->follow.n - p->n_over) * sizeof *p->follow.p);
    if (p->name.n > 0) {
        memmove(p->name.p, p->name.p + p->n_over, (p->name.n - p->n_over) * sizeof *p->name.p);
        p->name.n -= p->n_over;
    }
    p->follow.n -= p->n_over;
    p->first += p->n_over;
    p->n_over = 0;
}

static int64_t true_us(const struct replay *p, struct weir_wall at)
{
    return at.us - p->shift_us;
}

/* ---- what the world tells ---- */

static void dequeue(struct replay *p, struct follow *f, int64_t at_us)
{
    if (f->queued_us == 0) {
        return;
    }
    double s = (double)(at_us - f->queued_us) / 1e6;
    int64_t from = f->queued_us - p->shift_us;
    int64_t to = at_us - p->shift_us;
    weir_sim_series_spread(p->series, LINE_QUEUE_TASKS, from, to, s);
    weir_sim_series_spread(p->series, LINE_QUEUE_GPUS, from, to, s * f->gpus);
    f->queued_us = 0;
    p->n_queued--;
}

static void on_started(void *user, uint64_t tag, struct weir_wall at, int64_t node, uint32_t gpus)
{
    struct replay *p = user;
    struct follow *f = follow_of(p, tag);
    (void)node;
    (void)gpus;
    dequeue(p, f, at.us);
    if (!f->started) {
        f->started = true;
        int64_t wait = at.us - f->submit_us;
        p->figures->started++;
        p->figures->wait_h += (double)wait / HOUR_US;
        weir_sim_quantiles_add(&p->waits, (uint64_t)wait);
    }
}

static void on_ended(void *user, uint64_t tag, struct weir_wall at, enum weir_task_state state)
{
    struct replay *p = user;
    struct follow *f = follow_of(p, tag);
    if (f->moves) {
        return;
    }
    dequeue(p, f, at.us);
    weir_sim_hash_u64(p->result, tag << 8 | state);
    weir_sim_hash_u64(p->result, (uint64_t)at.us);
    p->end_us = at.us > p->end_us ? at.us : p->end_us;
    bool done = state == WEIR_TASK_SUCCEEDED;
    if (f->deadline_us != 0 && (!done || at.us > f->deadline_us)) {
        p->figures->deadline_misses++;
    }
    if (done) {
        p->figures->completed++;
        p->figures->completion_h += (double)(at.us - f->submit_us) / HOUR_US;
        weir_replay_bound_done(&p->bound, (double)(f->submit_us - p->begin_us) / HOUR_US, f->reference_h, f->gpus);
        if (p->rule->no_estimates) {
            weir_sim_learned_observe(&p->learned, f->kind, f->gpus, (struct weir_dur){f->duration_us});
        }
    } else {
        p->figures->failed++;
        p->figures->never += !f->started && weir_replay_budgets_never(p->budgets, f->budget);
        p->figures->unplaced += state == WEIR_TASK_CANCELLED || f->job.v == UINT64_MAX;
    }
    f->job.v = 0;
    forget(p);
}

/* The cloud; where a market was recorded or some machines are reserved, the kind of machine besides. */
static const char *place_of(const struct replay *p, const struct weir_sim_piece *x, struct weir_str *text)
{
    if (!x->rented) {
        return "local";
    }
    if (p->site->prices.n == 0 && p->site->stock.n == 0 && !p->site->reserved) {
        return p->site->provider[x->pool - p->site->n_pools].name;
    }
    const struct weir_offer *o = x->offer;
    weir_str_addf(text, "%s/%s/%s/%s", o->provider, o->zone[0] == '\0' ? o->region : o->zone, o->instance_type,
                  weir_market_name((enum weir_market)o->market));
    return weir_str_cstr(text);
}

static void on_piece(void *user, const struct weir_sim_piece *x)
{
    struct replay *p = user;
    struct follow *f = follow_of(p, x->tag);
    int64_t from = true_us(p, x->from);
    int64_t to = true_us(p, x->to);
    double gpu_s = (double)(to - from) / 1e6 * x->gpus;
    weir_sim_series_spread(p->series, x->rented ? LINE_RENTED : LINE_OWNED, from, to, gpu_s);
    *(x->rented ? &p->busy_rented_h : &p->figures->own_gpu_h) += gpu_s / 3600;
    if (x->rented && x->rank == 0) {
        p->figures->transfer_gib += (double)f->stage_bytes * 0x1p-30;
    }
    if (x->outcome == WEIR_OUTCOME_LOST) {
        double lost = (double)(x->to.us - x->kept_until.us) / HOUR_US * x->gpus;
        p->figures->lost_gpu_h += lost;
        p->figures->waste_gpu_h += lost;
    } else if (x->outcome == WEIR_OUTCOME_FAILED) {
        p->figures->waste_gpu_h += gpu_s / 3600;
    }
    if (x->outcome != WEIR_OUTCOME_USED) {
        p->n_queued += f->queued_us == 0;
        f->queued_us = x->to.us; /* it is to run again, or ends in a moment */
    }
    weir_sim_hash_u64(p->result, x->tag << 8 | x->rank);
    weir_sim_hash_u64(p->result, x->node << 1 | x->rented);
    weir_sim_hash_u64(p->result, (uint64_t)x->from.us);
    weir_sim_hash_u64(p->result, (uint64_t)x->to.us);
    if (p->schedule != NULL) {
        WEIR_CLEANUP(weir_str_release) struct weir_str place = WEIR_STR_INIT(256);
        struct weir_sim_span span = {
            .task = x->tag + 1,
            .submit = (double)(f->submit_us - p->shift_us) / 1e6,
            .start = (double)from / 1e6,
            .end = (double)to / 1e6,
            .place = place_of(p, x, &place),
            .node = (int64_t)x->node,
            .gpus = x->gpus,
            .cost = x->cost,
            .id = p->name.p[x->tag - p->first].text,
        };
        weir_sim_schedule_add(p->schedule, &span);
    }
}

static void on_rental(void *user, const struct weir_sim_rental *x)
{
    struct replay *p = user;
    double all = (double)(x->to.us - x->from.us) / HOUR_US * x->gpus;
    double ready = x->ready.us == 0 ? 0 : (double)(x->to.us - x->ready.us) / HOUR_US * x->gpus;
    p->figures->cloud_gpu_h += all;
    p->figures->reclaims += x->reclaimed;
    p->boot_h += all - ready;
    p->ready_h += ready;
}

static void on_posted(void *user, const struct weir_posting *posting, size_t n)
{
    struct replay *p = user;
    for (size_t i = 0; i < n; i++) {
        const struct weir_posting *x = &posting[i];
        weir_replay_budgets_posted(p->budgets, x);
        if (x->debit == WEIR_ACCOUNT_NODE) {
            bool rented = x->lease.v != 0;
            *(rented ? &p->figures->cloud_micro : &p->figures->own_micro) += x->amount_micro;
            p->pool_micro[x->pool.v - 1] += x->amount_micro;
            p->figures->unused_micro += weir_sim_world_is_unused(x->node) ? x->amount_micro : 0;
            weir_sim_series_spread(p->series, rented ? LINE_CLOUD_COST : LINE_OWN_COST, true_us(p, x->from), true_us(p, x->to),
                                   (double)x->amount_micro / 1e6);
            continue;
        }
        p->use_micro[x->debit] += x->amount_micro;
        if (x->credit == WEIR_ACCOUNT_JOB) {
            p->use_micro[WEIR_ACCOUNT_JOB] -= x->amount_micro; /* moved to waste, of the same project */
        } else if (x->debit != WEIR_ACCOUNT_IDLE) {
            while (p->project_micro.n <= x->project.v) {
                weir_vec_push(&p->project_micro, 0);
            }
            p->project_micro.p[x->project.v] += x->amount_micro;
        }
    }
}

static void on_power(void *user, const struct weir_sim_power *x)
{
    struct replay *p = user;
    struct weir_wall from = {true_us(p, x->from)};
    struct weir_wall to = {true_us(p, x->to)};
    struct weir_replay_figures *f = p->figures;
    f->energy_kwh += (double)(to.us - from.us) / HOUR_US * (double)x->milliwatts / 1e6;
    if (p->site->tariff != NULL) {
        f->energy_micro = weir_i64_add_sat(f->energy_micro, weir_grid_energy(p->site->tariff, from, to, x->milliwatts));
    }
    if (p->site->carbon != NULL) {
        f->carbon_ug = weir_i64_add_sat(f->carbon_ug, weir_grid_energy(p->site->carbon, from, to, x->milliwatts));
    }
}

/* ---- what the core is told ---- */

/* Rounded up to two significant digits, so that like tasks share a shape. */
static int64_t rounded(int64_t us)
{
    int64_t unit = 1;
    while (us / unit >= 100) {
        unit *= 10;
    }
    int64_t up = us / unit + (us % unit != 0);
    return up > INT64_MAX / unit ? us : up * unit;
}

/* Tasks of one project and user that ask for as many GPUs are of one kind: names are not in the records. */
static uint64_t kind_of(const struct weir_sim_job *j)
{
    return weir_runtime_key(j->project, j->user, WEIR_SV("")) ^ (uint64_t)j->gpus * UINT64_C(0x9e3779b97f4a7c15);
}

/* A factor whose logarithm is normal, the same for one task under all policies. */
static double estimate_factor(const struct replay *p, uint64_t tag)
{
    double error = p->site->param[WEIR_REPLAY_ESTIMATE_ERROR];
    if (error <= 1) {
        return 1;
    }
    struct weir_prng r = weir_prng_seed(p->site->seed * UINT64_C(0x2545f4914f6cdd1d) + tag);
    double u = ((double)(weir_prng_u64(&r) >> 11) + 0.5) * 0x1p-53;
    double v = ((double)(weir_prng_u64(&r) >> 11) + 0.5) * 0x1p-53;
    return exp(log(error) * sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

/* The GPUs that will do; run times that were measured on a named one are turned into a V100's where any will do. */
static void ask_gpus(const struct replay *p, const struct weir_sim_job *j, struct asks *a, int64_t *duration_us)
{
    uint16_t first = WEIR_GPU_MODEL_ANY;
    struct weir_sv rest = weir_sv_of(j->gpu_model);
    while (rest.p != NULL && a->models < WEIR_ALTERNATIVES_MAX) {
        uint16_t model = weir_gpu_table_intern(p->site->gpus, weir_sv_trim(weir_sv_cut(&rest, '|')));
        first = first == WEIR_GPU_MODEL_ANY ? model : first;
        a->model[a->models++] = model;
    }
    if (first != WEIR_GPU_MODEL_ANY && p->site->param[WEIR_REPLAY_MATCH_GPU] > 0) {
        return;
    }
    memset(a->model, 0, sizeof a->model);
    a->models = 1;
    a->model[0] = WEIR_GPU_MODEL_ANY;
    if (first != WEIR_GPU_MODEL_ANY) {
        *duration_us = weir_mul_div_sat(*duration_us, weir_gpu_table_get(p->site->gpus, first)->throughput_milli, 1000);
    }
}

static void ask_nodes(const struct weir_sim_job *j, uint32_t per_node, struct asks *a)
{
    weir_sim_world_gang(j->gpus, per_node, &a->nodes, &a->each);
    bool said = j->nodes > a->nodes && j->nodes <= WEIR_GANG_NODES_MAX && (j->gpus == 0 || j->nodes <= j->gpus);
    if (said) {
        a->nodes = j->nodes;
        a->each = j->gpus / j->nodes + (j->gpus % j->nodes != 0);
    }
    uint64_t cpu = j->gpus > 0 ? TASK_CORES_MILLI : j->cpu_milli == 0 ? 1000 : j->cpu_milli / a->nodes;
    a->cpu_milli = cpu > UINT32_MAX ? UINT32_MAX : (uint32_t)cpu;
}

/* The longest that a run may take: what the work says, else what is usual; never less than the run takes. */
static int64_t limit_of(const struct replay *p, const struct weir_sim_job *j, int64_t duration_us)
{
    double need = ((double)duration_us + p->site->param[WEIR_REPLAY_RESTART_S] * 1e6) * p->site->slowest * 1.01 + 60e6;
    double hours = p->site->param[WEIR_REPLAY_LIMIT_HOURS];
    hours = hours > 0 ? hours : p->site->n_budget_sets > 0 ? LIMIT_HOURS_BUDGETED : LIMIT_HOURS;
    int64_t most = (int64_t)(hours * HOUR_US);
    int64_t limit = j->max_duration.us > 0 ? rounded((int64_t)((double)j->max_duration.us * p->site->slowest)) : most;
    while ((double)limit < need) {
        limit = limit < most ? most : 2 * limit;
    }
    return limit;
}

/* All but over how many nodes it is spread. */
static void ask(struct replay *p, const struct weir_sim_job *j, struct follow *f, uint64_t tag, struct asks *a)
{
    memset(a, 0, sizeof *a);
    if (j->gpus > 0) {
        ask_gpus(p, j, a, &f->duration_us);
    }
    a->stage_bytes = rounded(f->stage_bytes);
    a->local = p->rule->local;
    a->max_us = limit_of(p, j, f->duration_us);
    if (p->rule->unlearned) {
        a->expected_us = j->expected.us > 0 ? j->expected.us : a->max_us;
        a->expected_us = a->expected_us < a->max_us ? a->expected_us : a->max_us;
    } else if (p->rule->no_estimates) {
        struct weir_dur most = {a->max_us};
        a->expected_us = weir_sim_learned_expect(&p->learned, f->kind, f->gpus, j->expected, most).us;
    } else {
        double estimate = (double)f->duration_us * estimate_factor(p, tag);
        a->expected_us = estimate < (double)a->max_us ? rounded((int64_t)estimate) : a->max_us;
    }
    a->expected_us = a->expected_us < WEIR_US_PER_S ? WEIR_US_PER_S : a->expected_us;
}

static uint64_t asks_hash(const struct asks *a)
{
    uint64_t word[sizeof *a / sizeof(uint64_t)];
    _Static_assert(sizeof word == sizeof *a, "it is whole words");
    memcpy(word, a, sizeof word);
    uint64_t h = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(word); i++) {
        h = (h ^ word[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return h;
}

/* The number of the shape; a new one is asked about once. */
static uint32_t shape_of(struct replay *p, const struct asks *a)
{
    uint64_t number = 0;
    uint64_t hash = asks_hash(a);
    while (weir_map_get(&p->shape_of, hash, &number)) {
        if (memcmp(&p->shape.p[number].asks, a, sizeof *a) == 0) {
            return (uint32_t)number;
        }
        hash++;
    }
    weir_map_put(&p->shape_of, hash, p->shape.n);
    weir_vec_push(&p->shape, (struct shape){.asks = *a});
    struct shape *s = &p->shape.p[p->shape.n - 1];
    struct weir_request *r = &s->request;
    const double *v = p->site->param;
    memset(r, 0, sizeof *r);
    r->alternatives = a->models;
    for (uint32_t i = 0; i < a->models; i++) {
        r->alternative[i] = (struct weir_gpu_wish){a->model[i], (uint16_t)a->each};
    }
    r->nodes = a->nodes;
    r->cpu_milli = a->cpu_milli;
    r->local = (uint8_t)a->local;
    r->market = p->rule->on_demand ? WEIR_MARKET_ON_DEMAND : WEIR_MARKET_AUTO;
    r->expected.us = a->expected_us;
    r->max_duration.us = a->max_us;
    r->checkpoint_every.us = (int64_t)(v[WEIR_REPLAY_CHECKPOINT_S] * 1e6);
    r->checkpoint_grace.us = (int64_t)(v[WEIR_REPLAY_CHECKPOINT_GRACE_S] * 1e6);
    r->stage_bytes = (uint64_t)a->stage_bytes;
    r->retries = (uint32_t)v[WEIR_REPLAY_RETRIES];
    r->delay_cost_micro_per_hour = a->local == WEIR_LOCAL_NEVER || p->rule->hurries ? HURRY_MICRO_PER_HOUR : -1;
    s->possible = r->nodes <= WEIR_GANG_NODES_MAX && weir_sim_world_possible(p->world, r);
    return (uint32_t)(p->shape.n - 1);
}

/* Spread over nodes as large as there are, and over smaller ones where only those are enough. */
static uint32_t shape_spread(struct replay *p, const struct weir_sim_job *j, struct asks *a)
{
    uint32_t shape = 0;
    for (uint32_t per_node = WEIR_NODE_GPUS_MAX; per_node > 0; per_node--) {
        if ((p->site->sizes >> (per_node - 1) & 1u) == 0) {
            continue;
        }
        ask_nodes(j, per_node, a);
        shape = shape_of(p, a);
        if (p->shape.p[shape].possible || j->gpus == 0) {
            break;
        }
    }
    return shape;
}

/* The same in the cloud. */
static uint32_t shape_in_cloud(struct replay *p, uint32_t shape)
{
    struct asks a = p->shape.p[shape].asks;
    a.local = WEIR_LOCAL_NEVER;
    return shape_of(p, &a);
}

/* ---- feeding ---- */

static void submit(struct replay *p, uint64_t tag, uint32_t shape)
{
    const struct follow *f = follow_of(p, tag);
    struct weir_sim_task t = {.tag = tag,
                              .gpus = f->gpus,
                              .duration = {f->duration_us},
                              .request = &p->shape.p[shape].request,
                              .project = {weir_replay_budgets_project(p->budgets, f->project)},
                              .user = {f->user},
                              .priority = PRIORITY,
                              .stage_bytes = (uint64_t)f->stage_bytes,
                              .deadline = {f->deadline_us}};
    struct weir_job_id job = weir_sim_world_submit(p->world, &t);
    follow_of(p, tag)->job = job;
}

static double wait_hours(const struct replay *p, const struct follow *f)
{
    const struct rule *rule = p->rule;
    double hours = rule->wait < WEIR_REPLAY_PARAMS ? p->site->param[rule->wait] : 0;
    if (rule->wait_each < WEIR_REPLAY_PARAMS) {
        hours += p->site->param[rule->wait_each] * f->gpus * (double)p->shape.p[f->shape].asks.expected_us / HOUR_US;
    }
    return fmin(hours, 1e6);
}

/* Who waits for a budget? */
static void look(struct replay *p)
{
    weir_replay_budgets_look(p->budgets);
    for (size_t i = 0; i < p->follow.n; i++) {
        struct follow *f = &p->follow.p[i];
        if (f->queued_us != 0 && f->job.v != 0 && f->job.v != UINT64_MAX && !f->held) {
            uint64_t kind = (uint64_t)f->shape << 40 | (uint64_t)f->project << 20 | f->user;
            bool waited = f->budget != 0;
            weir_replay_budgets_look_at(p->budgets, f->job, kind, f->queued_us, &f->budget);
            p->figures->held_back += !waited && f->budget != 0;
        }
    }
    weir_sim_world_alarm(p->world, weir_replay_budgets_next(p->budgets), LOOK_TAG);
}

/* It has waited for its hour; or for owned nodes for as long as the rule has it wait. */
static void on_alarm(void *user, uint64_t tag)
{
    struct replay *p = user;
    if (tag == LOOK_TAG) {
        look(p);
        return;
    }
    if (tag >= p->first && follow_of(p, tag)->held) {
        follow_of(p, tag)->held = false;
        p->n_held--;
        submit(p, tag, follow_of(p, tag)->shape);
        return;
    }
    if (tag < p->first || follow_of(p, tag)->job.v == 0 || !weir_sim_world_waits(p->world, follow_of(p, tag)->job)) {
        return;
    }
    struct follow *f = follow_of(p, tag);
    uint32_t shape = shape_in_cloud(p, f->shape);
    if (!p->shape.p[shape].possible) {
        return;
    }
    f->moves = true;
    weir_sim_world_cancel(p->world, f->job);
    f->moves = false;
    f->shape = shape;
    submit(p, tag, shape);
}

/* True where it is held back; its alarm submits it. Where others wait the GPUs would be at work all the same. */
static bool hold_back(struct replay *p, uint64_t tag)
{
    struct follow *f = follow_of(p, tag);
    if (p->n_queued > p->n_held + 1) {
        return false;
    }
    int64_t expected_us = p->shape.p[f->shape].asks.expected_us;
    int64_t slack_us = f->deadline_us == 0 ? INT64_MAX : f->deadline_us - f->submit_us - expected_us - expected_us / 2;
    int64_t us = weir_replay_shift_us(p->site, (struct weir_wall){f->submit_us - p->shift_us}, f->gpus, expected_us, slack_us);
    if (us == 0) {
        return false;
    }
    f->held = true;
    p->n_held++;
    int64_t until_us = weir_i64_add_sat(f->submit_us, us);
    p->held_until_us = until_us > p->held_until_us ? until_us : p->held_until_us;
    weir_sim_world_alarm(p->world, (struct weir_wall){until_us}, tag);
    return true;
}

static void feed(struct replay *p, const struct weir_sim_job *j)
{
    uint64_t tag = p->first + p->follow.n;
    int64_t at_us = j->submit.us + p->shift_us;
    struct follow f = {.job = {UINT64_MAX},
                       .submit_us = at_us,
                       .queued_us = at_us,
                       .duration_us = j->duration.us,
                       .stage_bytes = j->input_bytes > 0 ? (int64_t)j->input_bytes : (int64_t)(p->site->param[WEIR_REPLAY_INPUT_GIB] * 0x1p30),
                       .gpus = j->gpus,
                       .project = j->project,
                       .user = j->user,
                       .kind = p->rule->no_estimates ? kind_of(j) : 0};
    weir_sim_world_advance(p->world, (struct weir_wall){at_us});
    p->figures->has_data = p->figures->has_data || f.stage_bytes > 0;
    struct asks a;
    ask(p, j, &f, tag, &a);
    f.shape = shape_spread(p, j, &a);
    if (p->site->param[WEIR_REPLAY_DEADLINE_FACTOR] > 0) {
        f.deadline_us = at_us + (int64_t)((double)f.duration_us * p->site->param[WEIR_REPLAY_DEADLINE_FACTOR]);
    }
    /* A run time is that on the model named first where only those named will do, else on a reference GPU. */
    uint16_t model = a.models > 0 ? a.model[0] : WEIR_GPU_MODEL_ANY;
    double speed = model == WEIR_GPU_MODEL_ANY ? 1 : weir_gpu_table_get(p->site->gpus, model)->throughput_milli / 1000.0;
    f.reference_h = (double)f.duration_us / HOUR_US * speed;
    weir_replay_bound_arrive(&p->bound, (double)(at_us - p->begin_us) / HOUR_US, f.reference_h * f.gpus);
    bool spills = p->rule->spills;
    if (spills && !p->shape.p[f.shape].possible) {
        f.shape = shape_in_cloud(p, f.shape);
        spills = false;
    }
    weir_vec_push(&p->follow, f);
    weir_replay_budgets_submitted(p->budgets, (struct weir_project_id){weir_replay_budgets_project(p->budgets, f.project)}, (struct weir_user_id){f.user});
    p->n_queued++;
    if (p->schedule != NULL) {
        struct task_name name;
        memcpy(name.text, j->name, sizeof name.text);
        weir_vec_push(&p->name, name);
    }
    p->figures->tasks++;
    if (!p->shape.p[f.shape].possible) {
        on_ended(p, tag, (struct weir_wall){at_us}, WEIR_TASK_FAILED);
        return;
    }
    if (p->rule->shifts && hold_back(p, tag)) {
        return;
    }
    submit(p, tag, f.shape);
    if (spills) {
        int64_t wait_us = (int64_t)(wait_hours(p, &f) * HOUR_US);
        weir_sim_world_alarm(p->world, (struct weir_wall){weir_i64_add_sat(at_us, wait_us)}, tag);
    }
}

/* ---- the world ---- */

static struct weir_core_conf core_conf(const struct replay *p)
{
    const double *v = p->site->param;
    struct weir_core_conf c = weir_core_conf_default();
    c.gpus = p->site->gpus;
    c.delay_cost_micro_per_hour = (int64_t)llround(v[WEIR_REPLAY_DELAY_VALUE] * 1e6);
    c.reservations_max = p->rule->unreserved ? 0 : (uint32_t)v[WEIR_REPLAY_RESERVATIONS];
    c.yield_per_mille = p->rule->unyielding ? 0 : (uint32_t)v[WEIR_REPLAY_YIELD];
    c.review_period.us = (int64_t)(v[WEIR_REPLAY_REVIEW_S] * 1e6);
    c.stage_bytes_per_s = (uint64_t)(v[WEIR_REPLAY_LINK_MIB_PER_S] * 0x1p20);
    c.leases_max = (uint32_t)v[WEIR_REPLAY_LEASES_MAX];
    c.lease_term.us = 365 * WEIR_US_PER_DAY; /* nobody forgets a machine here */
    c.boot_limit.us = 4 * (int64_t)(v[WEIR_REPLAY_BOOT_S] * fmax(v[WEIR_REPLAY_BOOT_FACTOR], 1) * 1e6) + 15 * WEIR_US_PER_MIN;
    c.retries_lost_max = UINT16_MAX;
    c.learn_offers = !p->rule->inexperienced;
    return c;
}

static struct weir_sim_faults faults_of(const struct weir_replay_site *site)
{
    const double *v = site->param;
    return (struct weir_sim_faults){
        .seed = site->seed,
        .boot_median.us = (int64_t)(v[WEIR_REPLAY_BOOT_S] * v[WEIR_REPLAY_BOOT_FACTOR] * 1e6),
        .reclaim_factor = v[WEIR_REPLAY_SPOT_RECLAIMS_FACTOR],
        .boot_sigma = log(v[WEIR_REPLAY_BOOT_SPREAD]),
        .boot_failure = v[WEIR_REPLAY_BOOT_FAILURE],
        .stockouts_per_hour = v[WEIR_REPLAY_STOCKOUTS_PER_DAY] / 24,
        .stockout.us = (int64_t)(v[WEIR_REPLAY_STOCKOUT_HOURS] * HOUR_US),
        .task_failures_per_hour = v[WEIR_REPLAY_TASK_FAILURES_PER_HOUR],
        .node_failures_per_hour = v[WEIR_REPLAY_NODE_FAILURES_PER_YEAR] / 8760,
        .node_repair.us = (int64_t)(v[WEIR_REPLAY_NODE_REPAIR_HOURS] * HOUR_US),
        .link_bytes_per_s = (uint64_t)(v[WEIR_REPLAY_LINK_MIB_PER_S] * 0x1p20),
        .restart.us = (int64_t)(v[WEIR_REPLAY_RESTART_S] * 1e6),
    };
}

static void begin(struct replay *p, const struct weir_sim_job *j)
{
    static const char *const line[] = {"owned_gpus_used", "rented_gpus_used", "queue_tasks", "queue_gpus",
                                       "own_cost_per_hour", "cloud_cost_per_hour"};
    p->shift_us = j->submit.us < WEIR_US_PER_DAY ? WEIR_US_PER_DAY : 0; /* 0 is no time to the core */
    p->end_us = j->submit.us + p->shift_us;
    p->begin_us = p->end_us;
    weir_replay_bound_init(&p->bound, p->site, p->o);
    struct weir_sim_world_conf conf = {
        .core = core_conf(p),
        .pool = p->site->pool,
        .n_pools = p->site->n_pools,
        .provider = p->site->provider,
        .n_providers = p->site->n_providers,
        .market = weir_replay_market_times(p->site, j->submit, p->shift_us),
        .faults = faults_of(p->site),
        .billed = true,
        .begin = {p->end_us},
        .watch = {.started = on_started,
                  .ended = on_ended,
                  .alarm = on_alarm,
                  .piece = on_piece,
                  .rental = on_rental,
                  .posted = on_posted,
                  .power = p->site->tariff == NULL && p->site->carbon == NULL ? NULL : on_power,
                  .user = p},
    };
    weir_replay_budgets_conf(p->budgets, &conf, p->shift_us);
    p->world = weir_sim_world_new(&conf);
    weir_replay_budgets_begin(p->budgets, p->world);
    struct weir_wall look = weir_replay_budgets_next(p->budgets);
    if (look.us != 0) {
        weir_sim_world_alarm(p->world, look, LOOK_TAG);
    }
    p->series = weir_sim_series_new(j->submit.us);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(line); i++) {
        weir_sim_series_add_line(p->series, line[i]);
    }
}

/* ---- what it came to ---- */

struct spent {
    size_t project;
    int64_t micro;
};

static int by_spending(const void *va, const void *vb)
{
    const struct spent *a = va;
    const struct spent *b = vb;
    if (a->micro != b->micro) {
        return a->micro > b->micro ? -1 : 1;
    }
    return a->project < b->project ? -1 : 1;
}

/* The largest first, since there is room for so many, and the rest are told together. */
static void break_down_projects(struct replay *p)
{
    const size_t n = p->project_micro.n;
    WEIR_CLEANUP(weir_freep) struct spent *v = weir_calloc(n + 1, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        v[i] = (struct spent){i, p->project_micro.p[i]};
    }
    qsort(v, n, sizeof *v, by_spending);
    for (size_t i = 0; i < n; i++) {
        const char *name = v[i].project < 2 ? "" : weir_sim_workload_project(p->work, (uint32_t)(v[i].project - 1));
        if (v[i].micro != 0) {
            weir_sim_series_sum(p->series, "cost_by_project", name[0] == '\0' ? "(none)" : name, (double)v[i].micro / 1e6);
        }
    }
}

static void break_down(struct replay *p)
{
    struct weir_sim_series *s = p->series;
    for (size_t i = 0; i < p->site->n_pools + p->site->n_providers; i++) {
        const char *name = i < p->site->n_pools ? p->site->pool[i].name : p->site->provider[i - p->site->n_pools].name;
        weir_sim_series_sum(s, "cost_by_pool", name, (double)p->pool_micro[i] / 1e6);
    }
    break_down_projects(p);
    for (int i = WEIR_ACCOUNT_NODE + 1; i < WEIR_ACCOUNT_MAX; i++) {
        weir_sim_series_sum(s, "cost_by_use", weir_account_name((enum weir_account)i), (double)p->use_micro[i] / 1e6);
    }
    weir_sim_series_finish(s);
    for (size_t i = 0; i < s->n_lines; i++) {
        weir_sim_series_per(s, i, i < LINE_OWN_COST ? 1 : 3600);
    }
}

static int check_books(const struct replay *p, struct weir_err *err)
{
    struct weir_bill_check_result b = weir_sim_world_books(p->world);
    const struct weir_replay_figures *f = p->figures;
    if (b.cost_micro != f->own_micro + f->cloud_micro || b.cost_micro != b.used_micro + b.idle_micro + b.waste_micro) {
        return weir_fail(err, -WEIR_ECORRUPT, "the sides of the ledger differ: cost %lld, use %lld", (long long)b.cost_micro,
                         (long long)(b.used_micro + b.idle_micro + b.waste_micro));
    }
    return 0;
}

static int finish(struct replay *p, struct weir_err *err)
{
    struct weir_replay_figures *f = p->figures;
    weir_sim_world_advance(p->world, (struct weir_wall){p->held_until_us});
    weir_sim_world_finish(p->world);
    int64_t begin_us = (int64_t)(p->series->begin_s * 1e6) + p->shift_us;
    f->makespan_h = (double)(p->end_us - begin_us) / HOUR_US;
    double all_h = (double)(weir_sim_world_now(p->world).us - begin_us) / HOUR_US;
    f->owned_gpu_h = (double)weir_replay_site_gpus(p->site) * f->makespan_h;
    f->idle_gpu_h = (double)weir_replay_site_gpus(p->site) * all_h - f->own_gpu_h + p->ready_h - p->busy_rented_h;
    f->waste_gpu_h += p->boot_h;
    f->bound_micro = weir_replay_bound_micro(&p->bound);
    f->p95_wait_h = (double)weir_sim_quantile(&p->waits, 950) / HOUR_US;
    break_down(p);
    return check_books(p, err);
}

static const struct rule *rule_of(const char *policy)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rules); i++) {
        if (weir_streq(rules[i].name, policy)) {
            return &rules[i];
        }
    }
    WEIR_UNREACHABLE();
}

static int run(struct replay *p, struct weir_err *err)
{
    struct weir_sim_job j;
    int r = 0;
    while ((r = weir_sim_workload_next(p->work, &j, err)) > 0) {
        if (p->world == NULL) {
            begin(p, &j);
        }
        feed(p, &j);
        if (p->figures->tasks % 4096 == 0) {
            weir_sim_progress(p->o, p->rule->name, weir_sim_workload_permille(p->work), 1000);
        }
    }
    if (r == 0) {
        weir_sim_note_work(p->result, p->work);
    }
    if (r == 0 && p->world == NULL) {
        r = weir_fail(err, -WEIR_EINVAL, "%s holds no job that could be replayed", p->o->jobs);
    }
    return r < 0 ? r : finish(p, err);
}

void weir_replay_told_release(struct weir_replay_told *t)
{
    free(t->series);
    for (size_t i = 0; i < WEIR_REPLAY_BUDGET_SETS_MAX; i++) {
        weir_sim_budget_spans_free(t->budgets[i]);
    }
    *t = (struct weir_replay_told){0};
}

static void tell_budgets(struct replay *p, int in_force, const struct weir_replay_told *without, struct weir_replay_told *ret)
{
    for (size_t i = 0; i < p->site->n_budget_sets; i++) {
        if (in_force < 0 || (size_t)in_force == i) {
            ret->budgets[i] = weir_replay_budgets_take(p->budgets, i, without == NULL ? NULL : without->budgets[i], p->result);
        }
    }
    const struct weir_sim_budget_spans *s = in_force < 0 ? NULL : ret->budgets[in_force];
    for (size_t i = 0; s != NULL && i < s->n; i++) {
        p->figures->budget_wait_h += s->span[i].waited_h;
    }
}

int weir_replay_run(const struct weir_replay_order *order, const struct weir_replay_told *without, struct weir_sim_result *result,
                    struct weir_replay_figures *ret, struct weir_replay_told *ret_told, struct weir_err *err)
{
    *ret = (struct weir_replay_figures){0};
    *ret_told = (struct weir_replay_told){0};
    struct replay p = {.site = order->site, .o = order->o, .rule = rule_of(order->policy), .schedule = order->schedule, .result = result, .figures = ret};
    weir_sim_schedule_name_tasks(order->schedule);
    int r = weir_sim_workload_open(&p.work, order->o->jobs, NULL, NULL, err);
    if (r == 0) {
        p.budgets = weir_replay_budgets_new(order->site, order->budget_set, p.work);
        r = run(&p, err);
    }
    if (r == 0 && p.budgets != NULL) {
        tell_budgets(&p, order->budget_set, without, ret_told);
    }
    ret_told->series = p.series;
    weir_sim_world_free(p.world);
    weir_replay_budgets_free(p.budgets);
    weir_sim_workload_free(p.work);
    weir_sim_quantiles_release(&p.waits);
    weir_vec_release(&p.follow);
    weir_vec_release(&p.name);
    weir_sim_learned_release(&p.learned);
    weir_vec_release(&p.shape);
    weir_vec_release(&p.project_micro);
    weir_map_release(&p.shape_of);
    return r;
}
