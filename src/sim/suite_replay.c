/* SPDX-License-Identifier: Apache-2.0 */

/* The suite replay: any work on owned nodes and clouds, a row for each size of the site and policy. */

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/parse.h"
#include "replay.h"
#include "rules.h"
#include "sim_priv.h"

enum {
    NODES_MAX = 1000000,
    METRICS = 28, /* that a row has at most */
    JUDGED = 3,   /* that sweeps and the tuner add */
    POLICIES_MAX = 24,
};

_Static_assert(2 + WEIR_REPLAY_PARAMS + METRICS + JUDGED <= WEIR_SIM_FIELDS_MAX, "a row in which every parameter is set has room");

#define SHIFT "weir-shift"

static const char *const policies[] = {"weir", "weir-no-estimates", SHIFT, "local-only", "cloud-only", "no-wait", "constant-wait", "starburst"};

/* Is it to be run? Without one of weir's rules only where it is named; shifting only where there is a grid to shift for. */
static bool wanted(const struct weir_sim_options *o, const char *policy)
{
    bool idle = weir_streq(policy, SHIFT) && o->tariff == NULL && o->carbon == NULL;
    return weir_sim_wants(o, policy) && !idle && (o->policies != NULL || !weir_sim_policy_is_variant(policy));
}

/* The policies in the order in which they are run; NULL behind the last. */
static const char *policy_at(size_t i)
{
    return i < WEIR_ARRAY_LEN(policies) ? policies[i] : weir_sim_rules[i - WEIR_ARRAY_LEN(policies)].policy;
}

static double money(int64_t micro)
{
    return (double)micro / 1e6;
}

/* Not a number where there is nothing to have a share of. */
static double share(double part, double whole)
{
    return whole > 0 ? part / whole : (double)NAN;
}

/* How a run is called among others. */
struct variant {
    const char *kind; /* the owned nodes, where there are several choices; else NULL */
    int budget_set;   /* whose budgets are in force; < 0: none's */
};

static const char *budgets_of(const struct weir_replay_site *site, const struct variant *v)
{
    return v->budget_set < 0 ? "none" : site->budget_set_name[v->budget_set];
}

static void add_case(struct weir_sim_row *row, const struct weir_replay_site *site, const struct variant *v)
{
    uint32_t nodes = 0;
    if (v->kind != NULL) {
        weir_sim_case_text(row, "pools", v->kind);
    }
    if (site->n_budget_sets > 0) {
        weir_sim_case_text(row, "budgets", budgets_of(site, v));
    }
    for (size_t i = 0; i < site->n_pools; i++) {
        nodes += site->pool[i].nodes;
    }
    weir_sim_case_count(row, "nodes", nodes);
    for (size_t i = 0; i < WEIR_REPLAY_PARAMS; i++) {
        const struct weir_sim_param *p = &weir_replay_params[i];
        if (site->param[i] > p->otherwise || site->param[i] < p->otherwise) {
            weir_sim_case_real(row, p->name, site->param[i]);
        }
    }
}

static void add_row(struct weir_sim_result *result, const struct weir_replay_site *site, const struct variant *v, const char *policy,
                    const struct weir_replay_figures *f)
{
    struct weir_sim_row *row = weir_sim_row(result, policy);
    add_case(row, site, v);
    bool none = f->tasks > 0 && f->completed == 0; /* what did nothing was not cheap */
    weir_sim_metric(row, "cost", none ? (double)NAN : money(f->own_micro + f->cloud_micro));
    weir_sim_metric(row, "own_cost", money(f->own_micro));
    weir_sim_metric(row, "cloud_cost", money(f->cloud_micro));
    if (site->reserved) {
        weir_sim_metric(row, "reserved_idle_cost", money(f->unused_micro));
    }
    weir_sim_metric(row, "cloud_gpu_hours", f->cloud_gpu_h);
    weir_sim_metric(row, "avg_wait_hours", share(f->wait_h, (double)f->started));
    weir_sim_metric(row, "p95_wait_hours", f->started > 0 ? f->p95_wait_h : (double)NAN);
    weir_sim_metric(row, "avg_completion_hours", share(f->completion_h, (double)f->completed));
    weir_sim_metric(row, "makespan_hours", f->makespan_h);
    weir_sim_metric(row, "local_utilisation", share(f->own_gpu_h, f->owned_gpu_h));
    weir_sim_metric(row, "bound_cost", f->bound_micro / 1e6);
    double gap = share((double)(f->own_micro + f->cloud_micro) - f->bound_micro, f->bound_micro) * 100;
    weir_sim_metric(row, "gap_to_bound_percent", none ? (double)NAN : gap);
    if (site->tariff != NULL || site->carbon != NULL) {
        weir_sim_metric(row, "energy_kwh", f->energy_kwh);
    }
    if (site->tariff != NULL) {
        weir_sim_metric(row, "energy_cost", money(f->energy_micro));
    }
    if (site->carbon != NULL) {
        weir_sim_metric(row, "carbon_kg", (double)f->carbon_ug / 1e9);
    }
    weir_sim_metric(row, "idle_gpu_hours", f->idle_gpu_h);
    weir_sim_metric(row, "waste_gpu_hours", f->waste_gpu_h);
    weir_sim_metric(row, "lost_gpu_hours", f->lost_gpu_h);
    if (f->has_data) {
        weir_sim_metric(row, "transfer_gib", f->transfer_gib);
        weir_sim_metric(row, "transfer_cost", f->transfer_gib * site->param[WEIR_REPLAY_EGRESS_PER_GIB]);
    }
    if (site->n_budget_sets > 0) {
        weir_sim_metric_count(row, "held_back", (int64_t)f->held_back);
        weir_sim_metric(row, "budget_wait_hours", f->budget_wait_h);
        weir_sim_metric_count(row, "never_started", (int64_t)f->never);
    }
    weir_sim_metric_count(row, "tasks", (int64_t)f->tasks);
    weir_sim_metric_count(row, "failed", (int64_t)f->failed);
    weir_sim_metric_count(row, "unplaced", (int64_t)f->unplaced);
    weir_sim_metric_count(row, "reclaims", (int64_t)f->reclaims);
    weir_sim_metric_count(row, "deadline_misses", (int64_t)f->deadline_misses);
}

/* Runs one row. told: what it gave, the row's own besides; without: what the same gave under no budgets. */
static int run_one(const struct weir_replay_order *order, const struct variant *v, const struct weir_replay_told *without, struct weir_sim_result *result,
                   struct weir_replay_told *told, struct weir_err *err)
{
    char name[160];
    const struct weir_replay_site *site = order->site;
    struct weir_replay_order one = *order;
    struct weir_replay_figures figures;
    const char *kind = v->kind == NULL ? "" : v->kind;
    const char *budgets = site->n_budget_sets == 0 ? "" : budgets_of(site, v);
    snprintf(name, sizeof name, "replay-%s-%s%s%s%s%u", order->policy, kind, kind[0] == '\0' ? "" : "-", budgets, budgets[0] == '\0' ? "" : "-",
             site->pool[0].nodes);
    one.budget_set = v->budget_set;
    int r = weir_sim_schedule_open(&one.schedule, order->o->schedule, name, err);
    r = r < 0 ? r : weir_replay_run(&one, without, result, &figures, told, err);
    if (r < 0) {
        weir_sim_schedule_drop(one.schedule);
        return r;
    }
    add_row(result, site, v, order->policy, &figures);
    struct weir_sim_row *row = &result->row[result->n_rows - 1];
    row->series = WEIR_TAKE(told->series);
    row->budgets = v->budget_set < 0 ? NULL : WEIR_TAKE(told->budgets[v->budget_set]);
    return weir_sim_schedule_close(one.schedule, err);
}

/* All policies under no budgets, then under each set. */
static int run_policies(const struct weir_sim_options *o, const struct weir_replay_site *site, const char *kind, struct weir_sim_result *result,
                        struct weir_err *err)
{
    struct weir_replay_told without[POLICIES_MAX] = {{0}};
    int r = 0;
    for (int set = -1; set < (int)site->n_budget_sets && r == 0; set++) {
        const struct variant v = {kind, set};
        for (size_t k = 0; policy_at(k) != NULL && r == 0; k++) {
            const struct weir_replay_order order = {.site = site, .o = o, .policy = policy_at(k)};
            struct weir_replay_told told = {0};
            WEIR_ASSERT(k < POLICIES_MAX);
            if (wanted(o, policy_at(k))) {
                r = run_one(&order, &v, set < 0 ? NULL : &without[k], result, set < 0 ? &without[k] : &told, err);
            }
            weir_replay_told_release(&told);
        }
    }
    for (size_t k = 0; k < POLICIES_MAX; k++) {
        weir_replay_told_release(&without[k]);
    }
    return r;
}

static void note_inputs(const struct weir_sim_options *o)
{
    const char *const named[] = {o->tariff, o->carbon, o->reserved};
    const char *const market[] = {o->prices, o->traces};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(named); i++) {
        if (named[i] != NULL) {
            weir_sim_note_input(o, named[i]);
        }
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(market); i++) {
        if (market[i] != NULL) {
            const char *path = strchr(market[i], '=');
            weir_sim_note_input(o, path == NULL ? market[i] : path + 1);
        }
    }
    if (!weir_streq(o->jobs, "-")) {
        weir_sim_note_input(o, o->jobs);
    }
    struct weir_sv rest = weir_sv_of(o->budgets);
    while (rest.p != NULL) {
        struct weir_sv file = weir_sv_trim(weir_sv_cut(&rest, ';'));
        WEIR_CLEANUP(weir_freep) char *path = weir_strndup(file.p, file.n);
        weir_sim_note_input(o, path);
    }
    rest = weir_sv_of(o->catalogue);
    while (rest.p != NULL) {
        struct weir_sv file = weir_sv_cut(&rest, ',');
        (void)weir_sv_cut(&file, '=');
        WEIR_CLEANUP(weir_freep) char *path = weir_strndup(file.p, file.n);
        weir_sim_note_input(o, path);
    }
}

/* How many policies are to be run. */
static size_t runs(const struct weir_sim_options *o)
{
    size_t n = 0;
    for (size_t i = 0; policy_at(i) != NULL; i++) {
        n += wanted(o, policy_at(i));
    }
    return n;
}

/* "EUR"; USD where nothing is said. */
static int set_currency(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    const char *code = o->currency == NULL ? "USD" : o->currency;
    if (strlen(code) != 3 || strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3) {
        return weir_fail(err, -WEIR_EINVAL, "--currency: '%s' is no code of three capitals, such as EUR", code);
    }
    weir_sim_result_set_currency(result, code);
    return 0;
}

/* One choice of owned nodes. kind: how its rows call it, where there are several; else NULL. */
static int run_site(const struct weir_sim_options *o, const char *kind, struct weir_sim_result *result, struct weir_err *err)
{
    struct weir_replay_site site;
    int64_t nodes[WEIR_SIM_LIST_MAX] = {0};
    size_t n = 1;
    int r = weir_replay_site_read(&site, o, err);
    r = r < 0 ? r : set_currency(o, result, err);
    if (r == 0 && o->jobs == NULL) {
        r = weir_fail(err, -WEIR_EINVAL, "say what is to be replayed: --jobs FILE");
    }
    if (r == 0 && o->nodes != NULL) {
        r = weir_sim_list_i64(o->nodes, "nodes", 0, NODES_MAX, nodes, &n, err);
    } else if (r == 0 && o->pools == NULL) {
        r = weir_fail(err, -WEIR_EINVAL, "say what is owned: --pools A100:8x16, or --nodes 0,16,32");
    }
    if (r == 0 && runs(o) == 0) {
        r = weir_fail(err, -WEIR_EINVAL, "--policies " SHIFT ": --tariff FILE or --carbon FILE says which hours are better");
    }
    if (r == 0 && weir_streq(o->jobs, "-") && (n > 1 || runs(o) > 1 || kind != NULL || site.n_budget_sets > 0)) {
        r = weir_fail(err, -WEIR_EINVAL, "--jobs -: the standard input is there once: name one of --policies, one of --nodes and --pools, no budgets, or a file");
    }
    if (r == 0) {
        note_inputs(o);
        result->owns_only = site.n_providers == 0;
        if (result->owns_only && wanted(o, "cloud-only")) {
            weir_sim_note(result, "nothing can be rented, as no cloud is named: --cloud-price PRICE or --catalogue NAME=FILE adds one");
        }
        weir_replay_assume(&site, o, result);
    }
    for (size_t i = 0; i < n && r == 0; i++) {
        if (o->nodes != NULL) {
            site.pool[0].nodes = (uint32_t)nodes[i];
        }
        r = run_policies(o, &site, kind, result, err);
    }
    weir_replay_site_release(&site);
    return r;
}

int weir_sim_suite_replay(const struct weir_sim_options *o, struct weir_sim_result *result, struct weir_err *err)
{
    struct weir_sv rest = weir_sv_of(o->pools);
    (void)weir_sv_cut(&rest, ';');
    if (rest.p == NULL) {
        return run_site(o, NULL, result, err);
    }
    int r = 0;
    for (rest = weir_sv_of(o->pools); rest.p != NULL && r == 0;) {
        struct weir_sv choice = weir_sv_trim(weir_sv_cut(&rest, ';'));
        WEIR_CLEANUP(weir_freep) char *kind = weir_strndup(choice.p, choice.n);
        struct weir_sim_options one = *o;
        one.pools = kind;
        if (choice.n >= WEIR_SIM_TEXT_SIZE) {
            r = weir_fail(err, -WEIR_ELIMIT, "--pools: '%.100s' is longer than %d characters, and there are several to be told apart", kind,
                          WEIR_SIM_TEXT_SIZE - 1);
        } else if (choice.n > 0) {
            r = run_site(&one, kind, result, err);
        }
    }
    return r;
}
