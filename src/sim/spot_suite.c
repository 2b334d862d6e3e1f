/* SPDX-License-Identifier: Apache-2.0 */

#include "spot_suite.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "schedule.h"
#include "spot_optimum.h"

void weir_sim_spot_runner_release(struct weir_sim_spot_runner *r)
{
    weir_sim_spot_optimum_freep(&r->optimum);
    weir_spot_rule_freep(&r->rule);
    weir_sim_spot_run_release(&r->run);
}

/* What the suites hold machines in is what the rule speaks of, one to one. */
_Static_assert((int)WEIR_SIM_SPOT_NONE == (int)WEIR_SPOT_NONE && (int)WEIR_SIM_SPOT_SPOT == (int)WEIR_SPOT_SPOT &&
                   (int)WEIR_SIM_SPOT_ON_DEMAND == (int)WEIR_SPOT_ON_DEMAND,
               "kinds differ");

static struct weir_sim_spot_hold weir_decides(void *state, const struct weir_sim_spot_view *v)
{
    struct weir_sim_spot_runner *r = state;
    char up[WEIR_SIM_SPOT_ZONES_MAX];
    for (size_t i = 0; i < r->n_zones; i++) {
        up[i] = weir_sim_spot_up(v, i) ? '1' : '0';
    }
    weir_spot_observe(r->rule, &r->market, up);
    struct weir_spot_state s = {
        .left_us = v->left_us,
        .pending_us = v->pending_us,
        .remaining_us = v->task->deadline_us - v->tick * v->task->gap_us,
        .held = (enum weir_spot_hold)v->held.kind,
        .zone = v->held.zone,
    };
    struct weir_spot_choice c = weir_spot_decide(r->rule, &r->market, &s);
    return (struct weir_sim_spot_hold){(enum weir_sim_spot_kind)c.hold, c.zone};
}

static void set_up(struct weir_sim_spot_runner *r, const struct weir_sim_spot_task *task, size_t n_zones)
{
    if (r->ready && memcmp(&r->task, task, sizeof *task) == 0 && r->n_zones == n_zones) {
        return;
    }
    weir_sim_spot_optimum_freep(&r->optimum);
    weir_spot_rule_freep(&r->rule);
    r->task = *task;
    r->n_zones = n_zones;
    r->ready = true;
    if (r->policy->player == WEIR_SIM_SPOT_BY_OPTIMUM) {
        r->optimum = weir_sim_spot_optimum_new(task, n_zones);
    } else if (r->policy->player == WEIR_SIM_SPOT_BY_WEIR) {
        struct weir_spot_terms terms = {
            .tick_us = task->gap_us,
            .overhead_us = task->overhead_us,
            .spot_rate = task->rate[WEIR_SIM_SPOT_SPOT],
            .on_demand_rate = task->rate[WEIR_SIM_SPOT_ON_DEMAND],
            .horizon_us = task->deadline_us,
        };
        r->rule = weir_spot_rule_new(&terms);
    }
}

static double seconds(int64_t us)
{
    return (double)us / 1e6;
}

static void tell(const struct weir_sim_spot_runner *r, const struct weir_sim_spot_scenario *scenario, struct weir_sim_result *result,
                 struct weir_sim_schedule *schedule)
{
    const struct weir_sim_spot_task *t = &r->task;
    weir_sim_hash_u64(result, scenario->number);
    for (size_t i = 0; i < r->run.n_spans; i++) {
        const struct weir_sim_spot_span *span = &r->run.span[i];
        weir_sim_hash_u64(result, (uint64_t)span->from << 32 | (uint64_t)span->to);
        weir_sim_hash_u64(result, (uint64_t)span->hold.kind << 32 | span->hold.zone);
        bool spot = span->hold.kind == WEIR_SIM_SPOT_SPOT;
        int64_t held_us = (span->to - span->from) * t->gap_us;
        struct weir_sim_span line = {
            .task = scenario->number,
            .submit = seconds(scenario->origin_us),
            .start = seconds(scenario->origin_us + span->from * t->gap_us),
            .end = seconds(scenario->origin_us + span->to * t->gap_us),
            .place = spot ? scenario->zone[span->hold.zone] : "on-demand",
            .node = -1,
            .gpus = 1,
            .cost = seconds(held_us) / 3600 * (double)t->rate[span->hold.kind] / 1e6,
        };
        weir_sim_schedule_add(schedule, &line);
    }
}

void weir_sim_spot_runner_play(struct weir_sim_spot_runner *r, const struct weir_sim_spot_task *task,
                               const struct weir_sim_spot_trace *trace, const struct weir_sim_spot_scenario *scenario,
                               struct weir_sim_spot_sum *sum, struct weir_sim_result *result, struct weir_sim_schedule *schedule)
{
    set_up(r, task, trace->n_zones);
    sum->scenarios++;
    switch (r->policy->player) {
    case WEIR_SIM_SPOT_BY_RULE:
        weir_sim_spot_simulate(task, trace, r->policy->decide, NULL, &r->run);
        break;
    case WEIR_SIM_SPOT_BY_WEIR:
        r->market = (struct weir_spot_market){.n_zones = trace->n_zones};
        weir_sim_spot_simulate(task, trace, weir_decides, r, &r->run);
        break;
    case WEIR_SIM_SPOT_BY_OPTIMUM:
        if (r->optimum == NULL) {
            sum->unknown++;
            return;
        }
        weir_sim_spot_optimum_solve(r->optimum, trace, &r->run);
        break;
    }
    sum->cost_usd += weir_sim_spot_cost_usd(task, &r->run);
    sum->misses += r->run.missed ? 1 : 0;
    tell(r, scenario, result, schedule);
}

double weir_sim_spot_mean_usd(const struct weir_sim_spot_sum *sum)
{
    return sum->scenarios == 0 || sum->unknown > 0 ? (double)NAN : sum->cost_usd / (double)sum->scenarios;
}

void weir_sim_spot_sum_add(struct weir_sim_spot_sum *to, const struct weir_sim_spot_sum *sum)
{
    to->cost_usd += sum->cost_usd;
    to->misses += sum->misses;
    to->scenarios += sum->scenarios;
    to->unknown += sum->unknown;
}

void weir_sim_spot_metrics(struct weir_sim_row *row, const struct weir_sim_spot_sum *sum, double mean_usd, double bound_usd)
{
    weir_sim_metric(row, "mean_cost_usd", mean_usd);
    weir_sim_metric_count(row, "misses", sum->misses);
    weir_sim_metric_count(row, "scenarios", sum->scenarios);
    weir_sim_metric(row, "gap_to_bound_percent", bound_usd > 0 ? (mean_usd / bound_usd - 1) * 100 : (double)NAN);
}
