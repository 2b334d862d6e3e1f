/* SPDX-License-Identifier: Apache-2.0 */

/* The site of a replay, out of what a person said: owned nodes, clouds, the grid, parameters. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/parse.h"
#include "replay.h"
#include "workload.h"

enum { NODES_MAX = 1000000, PURCHASE_MAX = 1000000, GPUS_PER_NODE_DEFAULT = 8, PRICE_MAX = 100000, JOBS_LOOKED_MAX = 1000 };

#define CLOUD "cloud"

static int64_t micro_of(double units)
{
    return (int64_t)llround(units * 1e6);
}

static struct weir_dur dur_of(double seconds)
{
    return (struct weir_dur){(int64_t)llround(seconds * 1e6)};
}

/* ---- owned nodes ---- */

/* purchase: of a node, for each of its GPUs. */
static struct weir_owned_cost cost_of(const struct weir_replay_site *site, uint16_t model, uint32_t gpus, double purchase)
{
    const double *v = site->param;
    const struct weir_gpu_model *m = weir_gpu_table_get(site->gpus, model);
    struct weir_owned_cost c = {
        .purchase_micro = micro_of(purchase * gpus),
        .life = dur_of(v[WEIR_REPLAY_LIFE_YEARS] * 365 * 86400),
        .upkeep_micro_per_year = micro_of(v[WEIR_REPLAY_UPKEEP_PER_GPU_YEAR] * gpus),
        .tariff_micro_per_kwh = micro_of(v[WEIR_REPLAY_TARIFF]),
        .pue_milli = (uint32_t)lround(v[WEIR_REPLAY_PUE] * 1000),
        .idle_watts = m->idle_watts * gpus,
        .busy_watts = m->watts * gpus,
    };
    return c;
}

static void add_pool(struct weir_replay_site *site, uint16_t model, uint32_t gpus, uint32_t nodes, double purchase)
{
    struct weir_sim_pool *p = &site->pool[site->n_pools];
    p->nodes = nodes;
    p->gpu_model = model;
    p->gpus = gpus;
    p->cpu_milli = (uint32_t)(site->param[WEIR_REPLAY_CORES_PER_GPU] * 1000) * gpus;
    p->cost = cost_of(site, model, gpus, purchase);
    char *name = site->pool_name[site->n_pools];
    snprintf(name, sizeof site->pool_name[0], "local-%s", weir_gpu_table_get(site->gpus, model)->name);
    p->name = name;
    site->n_pools++;
}

/* "A100:8x16@20000": the model, GPUs of a node, nodes, and the price of a node for each GPU, where it is not gpu_purchase. */
static int read_pool(struct weir_replay_site *site, struct weir_sv text, struct weir_err *err)
{
    struct weir_sv rest = text;
    struct weir_sv name = weir_sv_trim(weir_sv_cut(&rest, ':'));
    struct weir_sv price = rest;
    struct weir_sv nodes = weir_sv_cut(&price, '@');
    struct weir_sv gpus = weir_sv_cut(&nodes, 'x');
    int64_t g = 0;
    int64_t n = 0;
    int64_t purchase = micro_of(site->param[WEIR_REPLAY_GPU_PURCHASE]);
    if (name.n == 0 || rest.p == NULL || nodes.p == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "--pools: '%.*s' is not MODEL:GPUSxNODES or MODEL:GPUSxNODES@PRICE, as in A100:8x16", WEIR_SV_ARG(text));
    }
    int r = weir_parse_i64(gpus, 1, WEIR_SIM_GPUS_PER_NODE_MAX, &g, err);
    r = r < 0 ? r : weir_parse_i64(nodes, 0, NODES_MAX, &n, err);
    r = r < 0 || price.p == NULL ? r : weir_parse_money_in(weir_sv_trim(price), site->currency, &purchase, err);
    if (r == 0 && (purchase < 0 || purchase > PURCHASE_MAX * WEIR_MICRO_PER_UNIT)) {
        r = weir_fail(err, -WEIR_EOVERFLOW, "the price of a GPU is between 0 and %d", PURCHASE_MAX);
    }
    if (r < 0) {
        return weir_fail_prefix(err, r, "--pools %.*s", WEIR_SV_ARG(text));
    }
    uint16_t model = weir_gpu_table_find(site->gpus, name);
    if (model == WEIR_GPU_MODEL_ANY) {
        return weir_fail(err, -WEIR_ENOTFOUND, "--pools: there is no GPU model '%.*s'", WEIR_SV_ARG(name));
    }
    if (site->n_pools == WEIR_REPLAY_POOLS_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "--pools: more than %d", WEIR_REPLAY_POOLS_MAX);
    }
    add_pool(site, model, (uint32_t)g, (uint32_t)n, (double)purchase / 1e6);
    return 0;
}

/* The first model that the work names; where it names none, a V100, as the run times of such work are taken. */
static uint16_t model_of_work(const struct weir_replay_site *site, const char *path)
{
    struct weir_err err = {""};
    struct weir_sim_job j;
    struct stat st;
    uint16_t model = WEIR_GPU_MODEL_ANY;
    WEIR_CLEANUP(weir_sim_workload_freep) struct weir_sim_workload *w = NULL;
    /* What can be read once only is left to the run, which says what is wrong with the file, too. */
    if (path != NULL && stat(path, &st) == 0 && S_ISREG(st.st_mode) && weir_sim_workload_open(&w, path, NULL, NULL, &err) == 0) {
        for (int i = 0; i < JOBS_LOOKED_MAX && model == WEIR_GPU_MODEL_ANY && weir_sim_workload_next(w, &j, &err) == 1; i++) {
            struct weir_sv rest = weir_sv_of(j.gpu_model == NULL ? "" : j.gpu_model);
            model = weir_gpu_table_find(site->gpus, weir_sv_cut(&rest, '|'));
        }
    }
    return model == WEIR_GPU_MODEL_ANY ? weir_gpu_table_find(site->gpus, WEIR_SV("V100")) : model;
}

static int read_pools(struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_err *err)
{
    if (o->pools == NULL) {
        int64_t gpus = GPUS_PER_NODE_DEFAULT;
        int r = o->gpus_per_node == NULL
                    ? 0
                    : weir_sim_number(o->gpus_per_node, "gpus-per-node", 1, WEIR_SIM_GPUS_PER_NODE_MAX, &gpus, err);
        if (r == 0) {
            add_pool(site, model_of_work(site, o->jobs), (uint32_t)gpus, 0, site->param[WEIR_REPLAY_GPU_PURCHASE]);
        }
        return r;
    }
    if (o->gpus_per_node != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "--gpus-per-node: --pools says how many GPUs a node has");
    }
    struct weir_sv rest = weir_sv_of(o->pools);
    while (rest.p != NULL) {
        int r = read_pool(site, weir_sv_trim(weir_sv_cut(&rest, ',')), err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* ---- clouds ---- */

void weir_replay_site_spot(const struct weir_replay_site *site, struct weir_offer *o)
{
    o->market = WEIR_OFFER_SPOT;
    o->reclaim_ppm_per_hour = (uint32_t)lround(site->param[WEIR_REPLAY_SPOT_RECLAIMS_PER_HOUR] * 1e6);
    o->reclaim_notice = dur_of(site->param[WEIR_REPLAY_SPOT_NOTICE_S]);
}

static void finish_offer(const struct weir_replay_site *site, struct weir_offer *o)
{
    const double *v = site->param;
    o->price_micro_per_hour = (int64_t)llround((double)o->price_micro_per_hour * v[WEIR_REPLAY_PRICE_FACTOR]);
    o->as_of.us = 1;
    o->expires = WEIR_WALL_MAX;
    o->bill_quantum.us = o->bill_quantum.us > 0 ? o->bill_quantum.us : WEIR_US_PER_S;
    o->boot_expected = dur_of(v[WEIR_REPLAY_BOOT_S]);
    o->egress_micro_per_gib = micro_of(v[WEIR_REPLAY_EGRESS_PER_GIB]);
    o->launchable = true;
    if (o->cpu_milli == 0) { /* the list does not say */
        o->cpu_milli = (uint32_t)(v[WEIR_REPLAY_CORES_PER_GPU] * 1000) * (o->gpus == 0 ? 1 : o->gpus);
    }
    if (o->market == WEIR_OFFER_SPOT) {
        weir_replay_site_spot(site, o);
    }
}

static int add_provider(struct weir_replay_site *site, struct weir_sv name, struct weir_offer *offer, size_t n, struct weir_err *err)
{
    for (size_t i = 0; i < n; i++) {
        finish_offer(site, &offer[i]);
    }
    size_t k = site->n_providers;
    if (k == WEIR_REPLAY_PROVIDERS_MAX) {
        free(offer);
        return weir_fail(err, -WEIR_ELIMIT, "more than %d clouds", WEIR_REPLAY_PROVIDERS_MAX);
    }
    snprintf(site->provider_name[k], sizeof site->provider_name[k], "%.*s", WEIR_SV_ARG(name));
    site->offer[k] = offer;
    site->provider[k] = (struct weir_sim_provider){.name = site->provider_name[k],
                                                   .offer = offer,
                                                   .n = n,
                                                   .gpus_max = (uint32_t)site->param[WEIR_REPLAY_CLOUD_GPUS]};
    site->n_providers++;
    return 0;
}

/* A machine for each number of GPUs, at one price per GPU-hour, of the kind that is owned. */
static int read_cloud_price(struct weir_replay_site *site, const char *text, struct weir_err *err)
{
    int64_t price = 0;
    int r = weir_parse_money_in(weir_sv_of(text), site->currency, &price, err);
    if (r == 0 && (price <= 0 || price > PRICE_MAX * WEIR_MICRO_PER_UNIT)) {
        r = weir_fail(err, -WEIR_EOVERFLOW, "'%s' is not a price per GPU-hour", text);
    }
    if (r < 0) {
        return weir_fail_prefix(err, r, "--cloud-price");
    }
    double spot = site->param[WEIR_REPLAY_SPOT_PRICE];
    const struct weir_sim_pool *pool = &site->pool[0];
    size_t n = 0;
    struct weir_offer *offer = weir_calloc(2 * (size_t)site->per_node, sizeof *offer);
    for (uint32_t i = 0; i < 2 * site->per_node; i++) {
        uint32_t gpus = i / 2 + 1;
        if (i % 2 == 1 && spot <= 0) {
            continue;
        }
        struct weir_offer *o = &offer[n++];
        o->id = i + 1;
        snprintf(o->provider, sizeof o->provider, "%s", CLOUD);
        snprintf(o->instance_type, sizeof o->instance_type, "gpus-%u", gpus);
        snprintf(o->source, sizeof o->source, "--cloud-price");
        o->market = i % 2 == 1 ? WEIR_OFFER_SPOT : WEIR_OFFER_ON_DEMAND;
        o->gpu_model = pool->gpu_model;
        o->gpus = (uint16_t)gpus;
        o->cpu_milli = (uint32_t)(site->param[WEIR_REPLAY_CORES_PER_GPU] * 1000) * gpus;
        o->price_micro_per_hour = (i % 2 == 1 ? (int64_t)llround((double)price * spot) : price) * gpus;
    }
    return add_provider(site, WEIR_SV(CLOUD), offer, n, err);
}

/* "aws=FILE" */
static int read_catalogue(struct weir_replay_site *site, struct weir_sv text, struct weir_err *err)
{
    struct weir_sv path = text;
    struct weir_sv name = weir_sv_trim(weir_sv_cut(&path, '='));
    if (path.p == NULL || name.n == 0 || name.n >= WEIR_PROVIDER_SIZE) {
        return weir_fail(err, -WEIR_EINVAL, "--catalogue: '%.*s' is not NAME=FILE, as in aws=vms.csv", WEIR_SV_ARG(text));
    }
    char provider[WEIR_PROVIDER_SIZE];
    snprintf(provider, sizeof provider, "%.*s", WEIR_SV_ARG(name));
    WEIR_CLEANUP(weir_freep) char *file = weir_strndup(path.p, path.n);
    WEIR_CLEANUP(weir_freep) char *bytes = NULL;
    size_t n = 0;
    size_t taken = 0;
    int r = weir_file_read(file, WEIR_CATALOGUE_FILE_BYTES_MAX, &bytes, &n, err);
    r = r < 0 ? r
              : weir_catalogue_load_skypilot(site->catalogue, file, (struct weir_sv){bytes, n}, provider, "--catalogue",
                                             (struct weir_wall){1}, &taken, err);
    return r < 0 ? weir_fail_prefix(err, r, "--catalogue") : 0;
}

static int read_catalogues(struct weir_replay_site *site, const char *text, struct weir_err *err)
{
    site->catalogue = weir_catalogue_new(site->gpus, "USD");
    struct weir_sv rest = weir_sv_of(text);
    int r = 0;
    while (rest.p != NULL && r == 0) {
        r = read_catalogue(site, weir_sv_cut(&rest, ','), err);
    }
    weir_catalogue_seal(site->catalogue);
    rest = weir_sv_of(text);
    while (rest.p != NULL && r == 0) {
        struct weir_sv path = weir_sv_cut(&rest, ',');
        struct weir_sv name = weir_sv_trim(weir_sv_cut(&path, '='));
        char provider[WEIR_PROVIDER_SIZE];
        snprintf(provider, sizeof provider, "%.*s", WEIR_SV_ARG(name));
        size_t n = 0;
        const struct weir_offer *all = weir_catalogue_offers(site->catalogue, provider, &n);
        if (n == 0) {
            return weir_fail(err, -WEIR_EINVAL, "--catalogue %.*s: none of its rows is an offer with GPUs", WEIR_SV_ARG(path));
        }
        struct weir_offer *offer = weir_calloc(n, sizeof *offer);
        memcpy(offer, all, n * sizeof *offer);
        r = add_provider(site, name, offer, n, err);
    }
    return r;
}

/* ---- the grid ---- */

static int read_grid(struct weir_grid **ret, const char *path, const char *option, enum weir_grid_kind other, const char *currency, struct weir_err *err)
{
    if (path == NULL) {
        return 0;
    }
    int r = weir_streq(path, "-") ? weir_fail(err, -WEIR_EINVAL, "a file is needed, not the standard input") : weir_grid_read(ret, path, err);
    if (r == 0 && weir_grid_kind(*ret) == other) {
        r = weir_fail(err, -WEIR_EINVAL, "%s has %s", path, other == WEIR_GRID_CARBON ? "carbon intensities: that is --carbon" : "prices: that is --tariff");
    }
    const char *its = r == 0 ? weir_grid_currency(*ret) : "";
    if (its[0] != '\0' && !weir_streq(its, currency)) {
        r = weir_fail(err, -WEIR_EINVAL, "%s has prices in %s, and amounts here are in %s: give --currency %s, or convert them and call the column price_mwh", path, its,
                      currency, its);
    }
    return r < 0 ? weir_fail_prefix(err, r, "--%s", option) : 0;
}

/* ---- budgets ---- */

static int read_budget_file(struct weir_replay_site *site, struct weir_sv path, struct weir_err *err)
{
    if (site->n_budget_sets == WEIR_REPLAY_BUDGET_SETS_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "more than %d sets", WEIR_REPLAY_BUDGET_SETS_MAX);
    }
    size_t k = site->n_budget_sets++;
    WEIR_CLEANUP(weir_freep) char *file = weir_strndup(path.p, path.n);
    weir_sim_name(file, site->budget_set_name[k], sizeof site->budget_set_name[k]);
    for (size_t i = 0; i < k; i++) {
        if (weir_streq(site->budget_set_name[i], site->budget_set_name[k])) {
            return weir_fail(err, -WEIR_EINVAL, "two files are called '%s', and rows could not be told apart", site->budget_set_name[k]);
        }
    }
    return weir_sim_budgets_load(&site->budget_set[k], file, err);
}

static int read_budgets(struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_err *err)
{
    if (o->budget != NULL && o->budgets != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "--budget and --budgets both say what budgets there are: give one");
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(site->budget_set); i++) {
        site->budget_set[i].currency = site->currency;
    }
    if (o->budget != NULL) {
        site->n_budget_sets = 1;
        snprintf(site->budget_set_name[0], sizeof site->budget_set_name[0], "given");
        return weir_sim_budgets_read(&site->budget_set[0], "--budget", weir_sv_of(o->budget), err);
    }
    struct weir_sv rest = weir_sv_of(o->budgets);
    int r = 0;
    while (rest.p != NULL && r == 0) {
        struct weir_sv path = weir_sv_trim(weir_sv_cut(&rest, ';'));
        r = path.n == 0 ? 0 : read_budget_file(site, path, err);
    }
    return r < 0 ? weir_fail_prefix(err, r, "--budgets") : 0;
}

static int check_quotas(const struct weir_replay_site *site, const struct weir_sim_budget_set *set, struct weir_err *err)
{
    for (size_t i = 0; i < set->n_quotas; i++) {
        const struct weir_sim_quota *q = &set->quota[i];
        if (q->def.scope == WEIR_BUDGET_TAG) {
            return weir_fail(err, -WEIR_EINVAL, "quota '%s' is for %s: recorded work has no tags; give organisation, project or user", q->def.name, q->scope);
        }
        if (q->model[0] != '\0' && weir_gpu_table_find(site->gpus, weir_sv_of(q->model)) == WEIR_GPU_MODEL_ANY) {
            return weir_fail(err, -WEIR_ENOTFOUND, "quota '%s': there is no GPU model '%s'", q->def.name, q->model);
        }
    }
    return 0;
}

/* The work has no tags that a budget could ask for. */
static int check_limits(const struct weir_replay_site *site, struct weir_err *err)
{
    for (size_t i = 0; i < site->n_budget_sets; i++) {
        int r = check_quotas(site, &site->budget_set[i], err);
        if (r < 0) {
            return r;
        }
        for (size_t k = 0; k < site->budget_set[i].n; k++) {
            const struct weir_sim_budget *b = &site->budget_set[i].budget[k];
            if (b->def.scope == WEIR_BUDGET_TAG) {
                return weir_fail(err, -WEIR_EINVAL, "budget '%s' is for %s: recorded work has no tags; give organisation, project or user", b->def.name, b->scope);
            }
        }
    }
    return 0;
}

/* ---- all ---- */

static void measure(struct weir_replay_site *site)
{
    for (size_t i = 0; i < site->n_pools; i++) {
        site->sizes |= 1u << (site->pool[i].gpus - 1);
        uint32_t speed = weir_gpu_table_get(site->gpus, site->pool[i].gpu_model)->throughput_milli;
        site->slowest = fmax(site->slowest, speed == 0 ? 1 : 1000.0 / speed);
    }
    for (size_t k = 0; k < site->n_providers; k++) {
        for (size_t i = 0; i < site->provider[k].n; i++) {
            const struct weir_offer *o = &site->provider[k].offer[i];
            uint32_t speed = o->gpus == 0 ? 1000 : weir_gpu_table_get(site->gpus, o->gpu_model)->throughput_milli;
            site->slowest = fmax(site->slowest, speed == 0 ? 1 : 1000.0 / speed);
            site->sizes |= o->gpus == 0 || o->gpus > WEIR_NODE_GPUS_MAX ? 0 : 1u << (o->gpus - 1);
        }
    }
}

/* Price lists and records of prices are in USD. What that is in another currency must be said: one to one would be wrong. */
static int check_currency(const struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_err *err)
{
    const char *what = o->catalogue != NULL ? "--catalogue" : o->prices != NULL ? "--prices" : NULL;
    if (what == NULL || weir_streq(site->currency, "USD") || (o->set != NULL && strstr(o->set, "price_factor=") != NULL)) {
        return 0;
    }
    return weir_fail(err, -WEIR_EINVAL, "%s: its prices are in USD, and amounts here in %s: say what a USD is in it, with --set price_factor=RATE", what, site->currency);
}

int weir_replay_site_read(struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_err *err)
{
    *site = (struct weir_replay_site){.slowest = 1, .currency = o->currency == NULL ? "USD" : o->currency, .gpus = weir_gpu_table_new()};
    int64_t seed = 1;
    int r = weir_replay_params_read(o->set, site->param, err);
    if (r == 0 && o->seed != NULL) {
        r = weir_sim_number(o->seed, "seed", 0, INT64_MAX, &seed, err);
    }
    site->seed = (uint64_t)seed;
    r = r < 0 ? r : check_currency(site, o, err);
    r = r < 0 ? r : read_pools(site, o, err);
    for (size_t i = 0; i < site->n_pools; i++) {
        site->per_node = site->pool[i].gpus > site->per_node ? site->pool[i].gpus : site->per_node;
    }
    if (r == 0 && o->cloud_price != NULL) {
        r = read_cloud_price(site, o->cloud_price, err);
    }
    if (r == 0 && o->catalogue != NULL) {
        r = read_catalogues(site, o->catalogue, err);
    }
    r = r < 0 ? r : weir_replay_market_read(site, o, err);
    r = r < 0 ? r : weir_replay_reserved_read(site, o, err);
    r = r < 0 ? r : read_budgets(site, o, err);
    r = r < 0 ? r : check_limits(site, err);
    r = r < 0 ? r : read_grid(&site->tariff, o->tariff, "tariff", WEIR_GRID_CARBON, site->currency, err);
    r = r < 0 ? r : read_grid(&site->carbon, o->carbon, "carbon", WEIR_GRID_PRICE, site->currency, err);
    measure(site);
    return r;
}

void weir_replay_site_release(struct weir_replay_site *site)
{
    for (size_t i = 0; i < site->n_providers; i++) {
        free(site->offer[i]);
    }
    weir_replay_market_release(site);
    weir_replay_reserved_release(site);
    for (size_t i = 0; i < site->n_budget_sets; i++) {
        weir_sim_budget_set_release(&site->budget_set[i]);
    }
    weir_grid_free(site->tariff);
    weir_grid_free(site->carbon);
    weir_catalogue_free(site->catalogue);
    weir_gpu_table_free(site->gpus);
    *site = (struct weir_replay_site){0};
}

uint64_t weir_replay_site_gpus(const struct weir_replay_site *site)
{
    uint64_t n = 0;
    for (size_t i = 0; i < site->n_pools; i++) {
        n += (uint64_t)site->pool[i].nodes * site->pool[i].gpus;
    }
    return n;
}
