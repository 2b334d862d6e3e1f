/* SPDX-License-Identifier: Apache-2.0 */

#include "measure.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "params.h"
#include "rules.h"

/* Units that the result says. */
#define MONEY "money"
#define MONEY_PER_HOUR "money/h"

static const struct weir_sim_measure measures[] = {
    {"cloud_gpu_hours", "Cloud GPU-hours", "GPU-h", WEIR_SIM_LESS, false},
    {"avg_wait_hours", "Average wait", "h", WEIR_SIM_LESS, false},
    {"p99_wait_hours", "Wait, 99th percentile", "h", WEIR_SIM_LESS, false},
    {"avg_completion_hours", "Average completion time", "h", WEIR_SIM_LESS, false},
    {"local_utilisation", "Use of owned GPUs", "%", WEIR_SIM_MORE, true},
    {"gap_to_bound_percent", "Gap to the bound", "%", WEIR_SIM_LESS, false},
    {"avg_jct_seconds", "Average completion time", "s", WEIR_SIM_LESS, false},
    {"makespan_seconds", "Last job done after", "s", WEIR_SIM_LESS, false},
    {"p99_jct_seconds", "Completion time, 99th percentile", "s", WEIR_SIM_LESS, false},
    {"starts", "Starts", "", WEIR_SIM_NEITHER, false},
    {"allocated_percent", "GPUs in use at the end", "%", WEIR_SIM_MORE, false},
    {"allocated_percent_min", "GPUs in use, least", "%", WEIR_SIM_MORE, false},
    {"allocated_percent_max", "GPUs in use, most", "%", WEIR_SIM_MORE, false},
    {"fragmentation_percent", "Free GPUs of no use", "%", WEIR_SIM_LESS, false},
    {"seeds", "Seeds", "", WEIR_SIM_NEITHER, false},
    {"mean_cost_usd", "Average cost of a task", "USD", WEIR_SIM_LESS, false},
    {"misses", "Deadlines missed", "", WEIR_SIM_LESS, false},
    {"scenarios", "Scenarios", "", WEIR_SIM_NEITHER, false},
    {"cost_usd", "Cost", "USD", WEIR_SIM_LESS, false},
    {"bound_cost", "No policy can cost less than", MONEY, WEIR_SIM_NEITHER, false},
    {"own_cost", "Cost of owned nodes", MONEY, WEIR_SIM_LESS, false},
    {"cloud_cost", "Cost of the cloud", MONEY, WEIR_SIM_LESS, false},
    {"reserved_idle_cost", "Reserved and not leased", MONEY, WEIR_SIM_LESS, false},
    {"transfer_gib", "Data moved", "GiB", WEIR_SIM_LESS, false},
    {"transfer_cost", "Cost of moving it", MONEY, WEIR_SIM_LESS, false},
    {"energy_kwh", "Energy of owned nodes", "kWh", WEIR_SIM_LESS, false},
    {"energy_cost", "Cost of that energy by the hour", MONEY, WEIR_SIM_LESS, false},
    {"carbon_kg", "Carbon of owned nodes", "kg CO2", WEIR_SIM_LESS, false},
    {"p95_wait_hours", "Wait, 95th percentile", "h", WEIR_SIM_LESS, false},
    {"makespan_hours", "Last task done after", "h", WEIR_SIM_LESS, false},
    {"idle_gpu_hours", "Idle", "GPU-h", WEIR_SIM_LESS, false},
    {"waste_gpu_hours", "Wasted", "GPU-h", WEIR_SIM_LESS, false},
    {"lost_gpu_hours", "Work lost", "GPU-h", WEIR_SIM_LESS, false},
    {"tasks", "Tasks", "", WEIR_SIM_NEITHER, false},
    {"failed", "Failed", "", WEIR_SIM_LESS, false},
    {"unplaced", "Found no place", "", WEIR_SIM_LESS, false},
    {"reclaims", "Machines taken back", "", WEIR_SIM_NEITHER, false},
    {"deadline_misses", "Deadlines missed", "", WEIR_SIM_LESS, false},
    {"cost_micro_usd", "Cost, integral of the prices", "millionths of USD", WEIR_SIM_LESS, false},
    {"naive_micro_usd", "Cost, second by second", "millionths of USD", WEIR_SIM_LESS, false},
    {"hours", "Hours held", "h", WEIR_SIM_NEITHER, false},
    {"moves", "Moves", "", WEIR_SIM_NEITHER, false},
    {"cost", "Cost", MONEY, WEIR_SIM_LESS, false},
    {"optimum", "Cheapest plan there is", MONEY, WEIR_SIM_NEITHER, false},
    {"ratio", "Cost by the cheapest plan's", "", WEIR_SIM_LESS, false},
    {"ratio_bound", "Proven limit of that", "", WEIR_SIM_NEITHER, false},
    {"reservations", "Reservations bought", "", WEIR_SIM_NEITHER, false},
    {"mae", "Mean error", "nodes", WEIR_SIM_LESS, false},
    {"rmse", "Root mean square error", "nodes", WEIR_SIM_LESS, false},
    {"smape_percent", "Mean error, relative", "%", WEIR_SIM_LESS, false},
    {"coverage", "Stayed below the upper bound", "%", WEIR_SIM_NEITHER, true},
    {"mean_excess", "Upper bound above the value", "nodes", WEIR_SIM_LESS, false},
    {"pareto", "On the front", "", WEIR_SIM_NEITHER, false},
    {"kept", "Conditions kept", "", WEIR_SIM_NEITHER, false},
    {"chosen", "Chosen", "", WEIR_SIM_NEITHER, false},
    {"values", "Values forecast", "", WEIR_SIM_NEITHER, false},
    {"held_back", "Waited for a budget", "tasks", WEIR_SIM_NEITHER, false},
    {"budget_wait_hours", "Waited for budgets, in all", "h", WEIR_SIM_NEITHER, false},
    {"never_started", "Never began for want of budget", "tasks", WEIR_SIM_NEITHER, false},
    /* lines over time and sums by name */
    {"owned_gpus_used", "Owned GPUs in use", "", WEIR_SIM_NEITHER, false},
    {"rented_gpus_used", "Rented GPUs in use", "", WEIR_SIM_NEITHER, false},
    {"queue_tasks", "Tasks waiting", "", WEIR_SIM_NEITHER, false},
    {"queue_gpus", "GPUs waited for", "", WEIR_SIM_NEITHER, false},
    {"own_cost_per_hour", "Spent on owned nodes", MONEY_PER_HOUR, WEIR_SIM_NEITHER, false},
    {"cloud_cost_per_hour", "Spent on the cloud", MONEY_PER_HOUR, WEIR_SIM_NEITHER, false},
    {"cost_by_pool", "Spent by pool", MONEY, WEIR_SIM_NEITHER, false},
    {"cost_by_project", "Spent by project", MONEY, WEIR_SIM_NEITHER, false},
    {"cost_by_use", "What it was spent on", MONEY, WEIR_SIM_NEITHER, false},
    {"job", "Work", "", WEIR_SIM_NEITHER, false},
    {"idle", "Idle", "", WEIR_SIM_NEITHER, false},
    {"waste_boot", "Wasted on boots", "", WEIR_SIM_NEITHER, false},
    {"waste_failed", "Wasted on failures", "", WEIR_SIM_NEITHER, false},
    {"waste_lost", "Work lost", "", WEIR_SIM_NEITHER, false},
    /* fields of cases */
    {"pools", "Owned", "", WEIR_SIM_NEITHER, false},
    {"budgets", "Budgets", "", WEIR_SIM_NEITHER, false},
    {"budget_factor", "Budgets times", "", WEIR_SIM_NEITHER, false},
    {"nodes", "Nodes", "", WEIR_SIM_NEITHER, false},
    {"delay_value", "Value of waiting", "", WEIR_SIM_NEITHER, false},
    {"estimates", "Estimates", "", WEIR_SIM_NEITHER, false},
    {"deadline", "Deadline", "h", WEIR_SIM_NEITHER, false},
    {"overhead", "Start-up", "h", WEIR_SIM_NEITHER, false},
    {"tau_hours", "Term", "h", WEIR_SIM_NEITHER, false},
    {"used_rate", "Rate when used", "", WEIR_SIM_NEITHER, false},
    {"horizon_hours", "Hours ahead", "", WEIR_SIM_NEITHER, false},
};

struct weir_sim_measure weir_sim_measure_of(const char *metric)
{
    static const char reference[] = "reference_";
    const char *name = strncmp(metric, reference, sizeof reference - 1) == 0 ? metric + sizeof reference - 1 : metric;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(measures); i++) {
        if (weir_streq(measures[i].metric, name)) {
            return measures[i];
        }
    }
    return (struct weir_sim_measure){.metric = name, .unit = ""};
}

const char *weir_sim_unit_of(const struct weir_sim_result *r, const char *metric)
{
    struct weir_sim_measure m = weir_sim_measure_of(metric);
    bool said = r->currency[0] != '\0';
    if (weir_streq(r->suite, "commitments") && weir_streq(m.unit, MONEY)) {
        return "GPU-hours on demand";
    }
    return weir_streq(m.unit, MONEY)            ? (said ? r->currency : "USD")
           : weir_streq(m.unit, MONEY_PER_HOUR) ? (said ? r->currency_per_hour : "USD/h")
                                                : m.unit;
}

static const struct weir_sim_goal goals[] = {
    {
        .suite = "starburst",
        .title = "Wait for owned GPUs, or go to the cloud",
        .question = "An owned cluster is often full. Jobs may wait for it or run in a rented cloud at once. Which rule sends the least work to "
                    "the cloud without letting people wait?",
        .cost = "cloud_gpu_hours",
        .wait = "avg_completion_hours",
        .rival = "starburst",
        .blind = "starburst-no-estimates",
        .plain = "no-wait",
    },
    {
        .suite = "replay",
        .title = "Recorded work on owned nodes and the cloud",
        .owned_title = "Recorded work on owned nodes",
        .question = "The jobs of a recorded period, run again: what would they have cost, and how long would they have waited?",
        .cost = "cost",
        .wait = "avg_wait_hours",
        .rival = "starburst",
        .blind = "starburst",
        .plain = "no-wait",
        .ways = true,
    },
    {
        .suite = "muri",
        .title = "In which order to run jobs that may be interrupted",
        .question = "More jobs than GPUs: in which order must they run so that they are done soonest on average?",
        .cost = "avg_jct_seconds",
        .blind = "tiresias-l",
        .plain = "fifo",
    },
    {
        .suite = "openb",
        .title = "How full a cluster of shared GPUs can be packed",
        .question = "Tasks ask for whole GPUs and for parts of one. How many of the GPUs can be filled before nothing fits any more?",
        .cost = "allocated_percent",
        .plain = "random",
    },
    {
        .suite = "cant-be-late",
        .title = "Cheap machines that may vanish, and a deadline",
        .question = "Spot machines are cheap but are taken back without notice. How cheaply can a task be done on them that must not be late?",
        .cost = "mean_cost_usd",
        .plain = "on-demand",
    },
    {
        .suite = "multizone",
        .title = "Cheap machines in several zones, and a deadline",
        .question = "As with one zone of spot machines, but the task may move to where there are some.",
        .cost = "mean_cost_usd",
        .plain = "on-demand",
    },
    {
        .suite = "prices",
        .title = "Following the spot price",
        .question = "Spot prices differ from zone to zone and change. What does it save to move the machine to where it is cheap?",
        .cost = "cost_usd",
        .plain = "fixed-zone",
    },
    {
        .suite = "commitments",
        .title = "How much capacity to reserve",
        .question = "Reserved capacity is cheaper by the hour and paid for whether it is used or not. How much of it should be bought?",
        .cost = "cost",
        .plain = "on-demand",
    },
    {
        .suite = "forecast",
        .title = "What demand comes",
        .question = "How far off are forecasts of demand one, three and 24 hours ahead?",
        .cost = "mae",
        .plain = "persistence",
    },
};

const struct weir_sim_goal *weir_sim_goal_of(const char *suite)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(goals); i++) {
        if (weir_streq(goals[i].suite, suite)) {
            return &goals[i];
        }
    }
    return NULL;
}

struct words {
    const char *suite; /* NULL: any */
    const char *policy;
    const char *text;
};

static const struct words policy_words[] = {
    {"starburst", "no-wait", "goes to the cloud at once whenever the owned cluster is full"},
    {"starburst", "constant-wait", "waits one hour for the owned cluster, then goes to the cloud"},
    {"starburst", "starburst", "waits longer the bigger the job is; the best published rule (USENIX ATC 2024)"},
    {"starburst", "starburst-no-estimates", "the published rule where nobody knows how long a job runs"},
    {"starburst", "weir", "weir's decision core, told how long each job runs; one point for each value of waiting"},
    {"starburst", "weir-no-estimates", "weir's decision core, which learns run times from earlier jobs"},
    {"muri", "fifo", "first come, first served"},
    {"muri", "srtf", "the shortest remaining time first"},
    {"muri", "srsf", "the least remaining work (time × GPUs) first"},
    {"muri", "tiresias-l", "those that have had the least so far first; knows no run times"},
    {"muri", "weir", "the least remaining work first, starts counted"},
    {"muri", "weir-no-estimates", "those that have had the least so far first, in finer steps; knows no run times"},
    {"openb", "random", "any node that has room"},
    {"openb", "dot-product", "the node least like the task"},
    {"openb", "gpu-clustering", "next to tasks of the same kind"},
    {"openb", "packing", "on a GPU or a node that is in use already"},
    {"openb", "best-fit", "the node with the least left over"},
    {"openb", "fgd", "where the least is left in useless pieces; the best published rule (ATC 2023)"},
    {"openb", "weir", "where the least is left in useless pieces, judged by the tasks seen so far"},
    {NULL, "on-demand", "never uses the cheap kind: the price of doing nothing"},
    {"cant-be-late", "greedy", "spot while there is some, on-demand only at the last moment"},
    {"cant-be-late", "time-sliced", "keeps to a plan slice by slice"},
    {"cant-be-late", "uniform-progress", "keeps progress even; the published rule (NSDI 2024)"},
    {"cant-be-late", "uniform-progress-no-hysteresis", "the same without its reserve"},
    {NULL, "slack", "on-demand only where the time left gets short"},
    {"cant-be-late", "weir", "learns how long spot lasts in a zone, and weighs it against the time left"},
    {"multizone", "round-robin", "tries one zone after the other"},
    {"multizone", "weir", "takes the zone that is likeliest to last"},
    {"prices", "hold", "one machine held in one zone"},
    {"prices", "fixed-zone", "one machine held, mean over the zones"},
    {"prices", "cheapest-at-start", "one machine held where it was cheapest at first"},
    {"prices", "weir", "moves where that pays, knowing only past prices"},
    {"commitments", "deterministic", "reserves once paying by the hour has cost as much (Wang, Li, Liang 2013)"},
    {"commitments", "randomised", "the same with a threshold drawn by lot; its expected cost"},
    {"commitments", "constant-hindsight", "the best constant number, known only afterwards"},
    {"commitments", "weir", "weighs many thresholds by how they would have done so far"},
    {"forecast", "persistence", "the last value"},
    {"forecast", "day-ago", "the value of a day before"},
    {"forecast", "week-ago", "the value of a week before"},
    {"forecast", "ridge", "a regression on recent changes and the time of day"},
    {"forecast", "weir", "follows whichever of 20 simple forecasts has been best"},
    {NULL, "optimum", "the best that anybody could do who knew the future: the bound"},
    {NULL, "local-only", "owned nodes only: whoever finds no room waits"},
    {NULL, "cloud-only", "everything in the cloud, at once"},
    {NULL, "no-wait", "to the cloud at once whenever there is no room on owned nodes"},
    {NULL, "constant-wait", "waits for owned nodes for a fixed time, then goes to the cloud"},
    {NULL, "starburst", "waits for owned nodes longer the bigger the task is (USENIX ATC 2024)"},
    {NULL, "weir-shift", "weir's decision core, after work was held back for cheaper or cleaner hours"},
    {NULL, "weir-no-estimates", "weir's decision core, which learns run times from earlier tasks"},
    {NULL, "weir", "weir's decision core as the broker runs it"},
};

const char *weir_sim_policy_words(const char *suite, const char *policy)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(policy_words); i++) {
        const struct words *w = &policy_words[i];
        if (weir_streq(w->policy, policy) && (w->suite == NULL || weir_streq(w->suite, suite))) {
            return w->text;
        }
    }
    for (const struct weir_sim_rule *rule = weir_sim_rules; rule->policy != NULL; rule++) {
        if (weir_streq(rule->policy, policy)) {
            return rule->text;
        }
    }
    return NULL;
}

const char *weir_sim_policy_name(const char *policy)
{
    static const char *const names[][2] = {
        {"starburst", "Starburst"},
        {"starburst-no-estimates", "Starburst without estimates"},
        {"weir-no-estimates", "weir without estimates"},
        {"weir-shift", "weir, waiting for better hours"},
        {"local-only", "owned nodes only"},
        {"cloud-only", "the cloud only"},
        {"no-wait", "never waiting"},
        {"fifo", "first come, first served"},
        {"srtf", "SRTF"},
        {"srsf", "SRSF"},
        {"tiresias-l", "Tiresias-L"},
        {"fgd", "FGD"},
        {"uniform-progress", "Uniform Progress"},
        {"uniform-progress-no-hysteresis", "Uniform Progress without its reserve"},
        {"slack", "the slack rule"},
        {"deterministic", "the deterministic rule"},
        {"randomised", "the randomised rule"},
        {"persistence", "taking the last value"},
        {"cheapest-at-start", "staying where it was cheapest at first"},
        {"fixed-zone", "staying in one zone"},
        {"round-robin", "trying zone after zone"},
        {"ridge", "a regression"},
        {"optimum", "the best possible"},
        {"constant-hindsight", "the best constant number"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        if (weir_streq(names[i][0], policy)) {
            return names[i][1];
        }
    }
    return policy;
}

bool weir_sim_policy_is_bound(const char *policy)
{
    return weir_streq(policy, "optimum") || weir_streq(policy, "constant-hindsight");
}

bool weir_sim_policy_is_ours(const char *policy)
{
    return weir_sv_starts(weir_sv_of(policy), WEIR_SV("weir"));
}

void weir_sim_figure_text(char *ret, size_t size, double v, int places)
{
    char digits[64];
    snprintf(digits, sizeof digits, "%.*f", places, fabs(v));
    bool negative = v < 0 && strspn(digits, "0.") < strlen(digits);
    size_t whole = strcspn(digits, ".");
    struct weir_str out = WEIR_STR_INIT(96);
    weir_str_adds(&out, negative ? "\xe2\x88\x92" : "");
    for (size_t i = 0; i < whole; i++) {
        if (i > 0 && (whole - i) % 3 == 0) {
            weir_str_addc(&out, ',');
        }
        weir_str_addc(&out, digits[i]);
    }
    weir_str_adds(&out, digits + whole);
    snprintf(ret, size, "%s", weir_str_cstr(&out));
    weir_str_release(&out);
}

size_t weir_sim_columns(const struct weir_sim_result *r, bool metric, const char **name, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        for (size_t k = 0; k < r->row[i].n_fields; k++) {
            const struct weir_sim_field *f = &r->row[i].field[k];
            bool known = f->metric != metric;
            for (size_t m = 0; m < n && !known; m++) {
                known = weir_streq(name[m], f->name);
            }
            if (!known && n < max) {
                name[n++] = f->name;
            }
        }
    }
    return n;
}

int weir_sim_places(const struct weir_sim_result *r, const char *name)
{
    double most = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_field *f = weir_sim_row_field(&r->row[i], name);
        most = f != NULL && f->kind == WEIR_SIM_REAL && fabs(f->u.real) > most ? fabs(f->u.real) : most;
    }
    int places = most >= 10000 ? 0 : most >= 1000 ? 1 : most >= 100 ? 2 : most >= 10 ? 3 : 4;
    bool needed = false;
    for (; places > 0 && !needed; places -= !needed) {
        double unit = pow(10, places - 1);
        for (size_t i = 0; i < r->n_rows && !needed; i++) {
            const struct weir_sim_field *f = weir_sim_row_field(&r->row[i], name);
            double scaled = f != NULL && f->kind == WEIR_SIM_REAL ? f->u.real * unit : 0;
            needed = fabs(scaled - nearbyint(scaled)) > 1e-6 * (1 + fabs(scaled));
        }
    }
    return places;
}

bool weir_sim_row_real(const struct weir_sim_row *row, const char *metric, double *ret)
{
    const struct weir_sim_field *f = metric == NULL ? NULL : weir_sim_row_field(row, metric);
    if (f == NULL || (f->kind != WEIR_SIM_REAL && f->kind != WEIR_SIM_COUNT)) {
        return false;
    }
    *ret = f->kind == WEIR_SIM_REAL ? f->u.real : (double)f->u.count;
    return true;
}

bool weir_sim_same_value(const struct weir_sim_field *a, const struct weir_sim_field *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case WEIR_SIM_COUNT:
        return a->u.count == b->u.count;
    case WEIR_SIM_REAL:
        return !(a->u.real < b->u.real) && !(a->u.real > b->u.real);
    case WEIR_SIM_TEXT:
        return weir_streq(a->u.text, b->u.text);
    case WEIR_SIM_BOOL:
        return a->u.yes == b->u.yes;
    case WEIR_SIM_NONE:
        break;
    }
    return true;
}

/* Every field of a's case that is no parameter stands in b's with the same value. */
static bool case_within(const char *suite, const struct weir_sim_row *a, const struct weir_sim_row *b)
{
    for (size_t i = 0; i < a->n_fields; i++) {
        const struct weir_sim_field *f = &a->field[i];
        if (f->metric || weir_sim_is_choice(suite, f->name)) {
            continue;
        }
        const struct weir_sim_field *other = weir_sim_row_field(b, f->name);
        if (other == NULL || other->metric || !weir_sim_same_value(f, other)) {
            return false;
        }
    }
    return true;
}

bool weir_sim_same_case(const char *suite, const struct weir_sim_row *a, const struct weir_sim_row *b)
{
    return case_within(suite, a, b) && case_within(suite, b, a);
}

bool weir_sim_same_setting(const char *suite, const struct weir_sim_row *a, const struct weir_sim_row *b)
{
    for (size_t i = 0; i < a->n_fields; i++) {
        const struct weir_sim_field *f = &a->field[i];
        const struct weir_sim_field *other = f->metric ? NULL : weir_sim_row_field(b, f->name);
        if (other != NULL && !other->metric && !weir_sim_same_value(f, other)) {
            return false;
        }
    }
    return weir_sim_same_case(suite, a, b);
}

bool weir_sim_row_ranks(const struct weir_sim_row *row)
{
    double unplaced = 0;
    return !weir_sim_row_real(row, "unplaced", &unplaced) || unplaced <= 0;
}

bool weir_sim_is_pareto(const struct weir_sim_result *r, const struct weir_sim_row *row)
{
    const struct weir_sim_goal *g = weir_sim_goal_of(r->suite);
    double cost = 0;
    double wait = 0;
    if (g == NULL || !weir_sim_row_ranks(row) || !weir_sim_row_real(row, g->cost, &cost) || !weir_sim_row_real(row, g->wait, &wait)) {
        return false;
    }
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_row *other = &r->row[i];
        double c = 0;
        double w = 0;
        bool rival = !weir_sim_policy_is_bound(other->policy) && !weir_sim_policy_is_variant(other->policy) && weir_sim_row_ranks(other);
        if (rival && weir_sim_row_real(other, g->cost, &c) &&
            weir_sim_row_real(other, g->wait, &w) && c <= cost && w <= wait && (c < cost || w < wait) &&
            weir_sim_same_case(r->suite, row, other)) {
            return false;
        }
    }
    return true;
}
