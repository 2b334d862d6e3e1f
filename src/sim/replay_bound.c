/* SPDX-License-Identifier: Apache-2.0 */

#include "replay_bound.h"

#include <math.h>

/* What a node's purchase, upkeep and energy may each keep back of a millionth, and one more for this sum in floating point. */
enum { RESTS = 4 };

static double speed_of(const struct weir_replay_site *site, uint16_t model)
{
    return weir_gpu_table_get(site->gpus, model)->throughput_milli / 1000.0;
}

static void take_pools(struct weir_replay_bound *b, const struct weir_replay_site *site)
{
    for (size_t i = 0; i < site->n_pools; i++) {
        const struct weir_sim_pool *p = &site->pool[i];
        const double speed = speed_of(site, p->gpu_model);
        const double kw = p->cost.pue_milli / 1e6; /* for each watt of the node */
        const double upkeep = (double)p->cost.upkeep_micro_per_year / (365.0 * 24);
        const double watts = (double)p->cost.busy_watts - p->cost.idle_watts;
        if (p->nodes == 0) {
            continue;
        }
        b->per_hour += (double)p->nodes * p->gpus * speed;
        b->rounding += (double)p->nodes * RESTS;
        b->fixed += p->cost.life.us <= 0 ? 0
                                         : (double)p->nodes * (double)(p->cost.purchase_micro - p->cost.residual_micro) /
                                               ((double)p->cost.life.us / (double)WEIR_US_PER_HOUR);
        b->fixed += (double)p->nodes * upkeep;
        b->fixed += (double)p->nodes * p->cost.idle_watts * kw * (double)p->cost.tariff_micro_per_kwh;
        b->busy = fmin(b->busy, fmax(watts, 0) / p->gpus * kw * (double)p->cost.tariff_micro_per_kwh / fmax(speed, 1e-3));
        b->fastest = fmax(b->fastest, speed);
    }
}

static void take_offers(struct weir_replay_bound *b, const struct weir_replay_site *site)
{
    for (size_t k = 0; k < site->n_providers; k++) {
        for (size_t i = 0; i < site->provider[k].n; i++) {
            const struct weir_offer *o = &site->provider[k].offer[i];
            if (o->gpus == 0) {
                continue;
            }
            const double speed = speed_of(site, o->gpu_model);
            b->known = b->known && (o->market == WEIR_OFFER_ON_DEMAND || o->market == WEIR_OFFER_SPOT);
            b->rented = fmin(b->rented, (double)o->price_micro_per_hour / o->gpus / fmax(speed, 1e-3));
            b->fastest = fmax(b->fastest, speed);
        }
    }
}

void weir_replay_bound_init(struct weir_replay_bound *b, const struct weir_replay_site *site, const struct weir_sim_options *o)
{
    *b = (struct weir_replay_bound){.known = o->prices == NULL, .busy = INFINITY, .rented = INFINITY};
    take_pools(b, site);
    take_offers(b, site);
    b->busy = b->busy < INFINITY ? b->busy : 0;
}

void weir_replay_bound_arrive(struct weir_replay_bound *b, double at_h, double reference_gpu_h)
{
    b->backlog = fmax(b->backlog - b->per_hour * (at_h - b->last_h), 0) + reference_gpu_h;
    b->last_h = at_h;
    b->come += reference_gpu_h;
}

void weir_replay_bound_done(struct weir_replay_bound *b, double came_h, double run_h, uint32_t gpus)
{
    double least_h = gpus == 0 || b->fastest <= 0 ? run_h : run_h / b->fastest;
    b->done += gpus * run_h;
    b->rounding += gpus; /* rented machines keep back less than a millionth each, and no more of them than GPUs worked on it at once */
    b->end_h = fmax(b->end_h, came_h + least_h);
}

/* The least cost where the last task ends at T. */
static double cost_at(const struct weir_replay_bound *b, double end_h)
{
    double owned = b->come - fmax(b->backlog - b->per_hour * fmax(end_h - b->last_h, 0), 0);
    double x = b->rented > b->busy ? fmin(owned, b->done) : 0;
    double rented = b->done - x;
    return b->fixed * end_h + b->busy * x + (rented > 1e-9 * b->done ? b->rented * rented : 0);
}

double weir_replay_bound_micro(const struct weir_replay_bound *b)
{
    if (!b->known) {
        return (double)NAN;
    }
    double least = cost_at(b, b->end_h);
    if (b->per_hour > 0) {
        double wanted = b->backlog - (b->come - b->done); /* of the backlog, until L reaches W */
        least = fmin(least, cost_at(b, fmax(b->end_h, b->last_h + fmax(wanted, 0) / b->per_hour)));
    }
    return least < INFINITY ? fmax(least * (1 - 1e-6) - b->rounding, 0) : (double)NAN;
}
