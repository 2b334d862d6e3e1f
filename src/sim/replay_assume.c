/* SPDX-License-Identifier: Apache-2.0 */

/* What a replay takes for granted, in words: everything that its figures rest on but the work itself. */

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "measure.h"
#include "replay.h"

enum { FIGURE_SIZE = 48 };

struct figures {
    char text[FIGURE_SIZE];
};

/* As people read it: thousands by commas, no more places than it has. */
static struct figures figure(double v)
{
    struct figures f = {""};
    int places = 0;
    while (places < 6 && fabs(v * pow(10, places) - nearbyint(v * pow(10, places))) > 1e-6 * (1 + fabs(v))) {
        places++;
    }
    weir_sim_figure_text(f.text, sizeof f.text, v, places);
    return f;
}

static void assume_owned(const struct weir_replay_site *site, struct weir_sim_result *r)
{
    static const char topic[] = "Owned nodes";
    const double *v = site->param;
    const char *unit = r->currency;
    for (size_t i = 0; i < site->n_pools; i++) {
        const struct weir_sim_pool *p = &site->pool[i];
        const struct weir_gpu_model *m = weir_gpu_table_get(site->gpus, p->gpu_model);
        weir_sim_assume(r, topic, p->name, "%u %s GPUs a node, %u W each when busy and %u W when idle, by the table of GPU models; what the rest of "
                        "a host draws is not counted", p->gpus, m->name, m->watts, m->idle_watts);
        char name[WEIR_SIM_TEXT_SIZE];
        snprintf(name, sizeof name, i == 0 ? "Purchase price (gpu_purchase)" : "Purchase price, %.24s", p->name);
        weir_sim_assume(r, topic, name, "%s %s for each GPU, the rest of its node included", figure((double)p->cost.purchase_micro / 1e6 / p->gpus).text, unit);
    }
    weir_sim_assume(r, topic, "Life (life_years)", "%s years, written off evenly", figure(v[WEIR_REPLAY_LIFE_YEARS]).text);
    weir_sim_assume(r, topic, "Residual value", "none at the end of its life");
    weir_sim_assume(r, topic, "Discount, interest", "none: an amount counts alike whenever it is paid");
    weir_sim_assume(r, topic, "Upkeep (upkeep_per_gpu_year)", "%s %s a GPU and year: housing, service, staff", figure(v[WEIR_REPLAY_UPKEEP_PER_GPU_YEAR]).text, unit);
    weir_sim_assume(r, topic, "Tariff (tariff)", "%s %s a kWh at all hours, in costs and decisions%s", figure(v[WEIR_REPLAY_TARIFF]).text, unit,
                    site->tariff == NULL ? "" : "; the recorded prices make energy_cost only");
    weir_sim_assume(r, topic, "PUE (pue)", "%s W drawn in all for each W of the nodes", figure(v[WEIR_REPLAY_PUE]).text);
    weir_sim_assume(r, topic, "Counted", "from the first submission until all work is done and nothing is rented, used or not");
}

static void assume_cloud(const struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_sim_result *r)
{
    static const char topic[] = "Cloud";
    const double *v = site->param;
    const char *unit = r->currency;
    if (site->n_providers == 0) {
        weir_sim_assume(r, topic, "Source of prices", "none: nothing can be rented");
        return;
    }
    if (o->cloud_price != NULL) {
        weir_sim_assume(r, topic, "Source of prices", "--cloud-price %s: %s %s for each GPU-hour, machines of every size, as many as are wanted", o->cloud_price,
                        o->cloud_price, unit);
    }
    if (o->catalogue != NULL) {
        weir_sim_assume(r, topic, "Catalogue", "--catalogue %s, as it stands there%s", o->catalogue,
                        weir_streq(unit, "USD") ? "" : " (in USD, which price_factor converts)");
    }
    weir_sim_assume(r, topic, "Price factor (price_factor)", "prices times %s; %s", figure(v[WEIR_REPLAY_PRICE_FACTOR]).text,
                    o->prices == NULL ? "they do not change over time" : "those that no record has do not change over time");
    bool spot = o->catalogue != NULL || v[WEIR_REPLAY_SPOT_PRICE] > 0;
    if (o->prices != NULL) {
        weir_sim_assume(r, topic, "Recorded prices", "--prices %s: of spot machines; a lease keeps the price of its launch; outside the record it repeats", o->prices);
    }
    if (o->traces != NULL) {
        weir_sim_assume(r, topic, "Recorded availability", "--traces %s: spot machines are taken back, with notice, and refused where the record has none", o->traces);
    }
    if (o->reserved != NULL) {
        weir_sim_assume(r, topic, "Reserved machines", "--reserved %s: paid for whether they are leased or not, so they are used first", o->reserved);
    }
    if (!spot && o->prices == NULL && o->traces == NULL) {
        weir_sim_assume(r, topic, "Spot", "there is none");
    } else if (spot) {
        if (o->cloud_price != NULL) {
            weir_sim_assume(r, topic, "Spot price (spot_price)", "%s of on-demand", figure(v[WEIR_REPLAY_SPOT_PRICE]).text);
        }
        weir_sim_assume(r, topic, "Spot reclaims", "by chance, as often whenever and wherever: %s an hour and machine (spot_reclaims_per_hour), notice %s s (spot_notice_s)",
                        figure(v[WEIR_REPLAY_SPOT_RECLAIMS_PER_HOUR]).text, figure(v[WEIR_REPLAY_SPOT_NOTICE_S]).text);
    }
    weir_sim_assume(r, topic, "Boot", "%s s in the middle (boot_s), one standard deviation a factor of %s (boot_spread), %s of launches fail (boot_failure); paid for",
                    figure(v[WEIR_REPLAY_BOOT_S]).text, figure(v[WEIR_REPLAY_BOOT_SPREAD]).text, figure(v[WEIR_REPLAY_BOOT_FAILURE]).text);
    if (v[WEIR_REPLAY_CLOUD_GPUS] > 0) {
        weir_sim_assume(r, topic, "Capacity (cloud_gpus)", "%s GPUs at most", figure(v[WEIR_REPLAY_CLOUD_GPUS]).text);
    } else {
        weir_sim_assume(r, topic, "Capacity (cloud_gpus)", "no limit");
    }
    weir_sim_assume(r, topic, "Out of stock", "%s times a day and offer (stockouts_per_day), %s h on average (stockout_hours)",
                    figure(v[WEIR_REPLAY_STOCKOUTS_PER_DAY]).text, figure(v[WEIR_REPLAY_STOCKOUT_HOURS]).text);
    weir_sim_assume(r, topic, "Data", "%s GiB to each rented machine before a task starts where the work does not say (input_gib), at %s MiB/s (link_mib_per_s), for %s a GiB (egress_per_gib)",
                    figure(v[WEIR_REPLAY_INPUT_GIB]).text, figure(v[WEIR_REPLAY_LINK_MIB_PER_S]).text, figure(v[WEIR_REPLAY_EGRESS_PER_GIB]).text);
}

static void assume_chance(const struct weir_replay_site *site, struct weir_sim_result *r)
{
    static const char topic[] = "Tasks, failures, chance";
    const double *v = site->param;
    if (v[WEIR_REPLAY_ESTIMATE_ERROR] > 1) {
        weir_sim_assume(r, topic, "Run times (estimate_error)", "known beforehand but for an error, one standard deviation of which is a factor of %s; policies without "
                        "estimates learn from tasks that have ended", figure(v[WEIR_REPLAY_ESTIMATE_ERROR]).text);
    } else {
        weir_sim_assume(r, topic, "Run times (estimate_error)", "known beforehand, exactly; policies without estimates learn from tasks that have ended");
    }
    weir_sim_assume(r, topic, "GPU models (match_gpu)", v[WEIR_REPLAY_MATCH_GPU] > 0 ? "a task runs on those that it names" : "a task runs on any; its run time goes by the model's throughput");
    weir_sim_assume(r, topic, "Value of waiting (delay_value)", "%s %s an hour and task, to weir", figure(v[WEIR_REPLAY_DELAY_VALUE]).text, r->currency);
    if (v[WEIR_REPLAY_CHECKPOINT_S] > 0) {
        weir_sim_assume(r, topic, "Checkpoints (checkpoint_s)", "every %s s; %s s to go on from one (restart_s)", figure(v[WEIR_REPLAY_CHECKPOINT_S]).text,
                        figure(v[WEIR_REPLAY_RESTART_S]).text);
    } else {
        weir_sim_assume(r, topic, "Checkpoints (checkpoint_s)", "none: what is taken back or fails begins anew");
    }
    weir_sim_assume(r, topic, "Tasks fail (task_failures_per_hour)", "%s an hour of running; %s attempts more (retries)",
                    figure(v[WEIR_REPLAY_TASK_FAILURES_PER_HOUR]).text, figure(v[WEIR_REPLAY_RETRIES]).text);
    weir_sim_assume(r, topic, "Owned nodes fail (node_failures_per_year)", "%s a year; %s h to repair on average (node_repair_hours)",
                    figure(v[WEIR_REPLAY_NODE_FAILURES_PER_YEAR]).text, figure(v[WEIR_REPLAY_NODE_REPAIR_HOURS]).text);
    weir_sim_assume(r, topic, "Seed (--seed)", "%llu; what is drawn is drawn from it, alike for all policies", (unsigned long long)site->seed);
}

void weir_replay_assume(const struct weir_replay_site *site, const struct weir_sim_options *o, struct weir_sim_result *result)
{
    assume_owned(site, result);
    assume_cloud(site, o, result);
    assume_chance(site, result);
}
