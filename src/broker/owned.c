/* SPDX-License-Identifier: Apache-2.0 */

/* What owned nodes cost, and what all nodes draw and emit: when they join, and whenever a tariff or the grid changes. */

#include <inttypes.h>
#include <stdlib.h>

#include "broker_priv.h"

/* The cheapest on-demand rent per GPU-hour of a model in the catalogue; 0: not known. */
static int64_t market_rent(const struct broker *b, uint16_t model)
{
    int64_t best = 0;
    for (size_t i = 0; i < b->market.offer.n; i++) {
        const struct weir_offer *o = &b->market.offer.p[i];
        if (o->market == WEIR_OFFER_ON_DEMAND && o->gpus > 0 && o->gpu_model == model) {
            int64_t rent = o->price_micro_per_hour / o->gpus;
            best = best == 0 || rent < best ? rent : best;
        }
    }
    return best;
}

struct weir_wall node_cost(void *broker, const struct weir_node_spec *spec, struct weir_wall at, struct weir_owned_cost *ret)
{
    struct broker *b = broker;
    struct weir_wall until;
    const char *pool = weir_engine_pool_name(b->engine, spec->pool);
    const struct weir_config_market market = {.rent_micro = market_rent(b, spec->gpu_model), .usd_nano = market_rate(b, "USD")};
    *ret = spec->lease.v != 0 ? weir_config_rented_cost(b->config, pool, spec, b->gpus, at, &until)
                              : weir_config_owned_cost(b->config, pool, spec, b->gpus, &market, at, &until);
    b->owned_due = until.us < b->owned_due.us ? until : b->owned_due;
    return until;
}

static bool rates_are(const struct weir_node_rates *a, const struct weir_node_rates *b)
{
    return a->full_micro_per_hour == b->full_micro_per_hour && a->marginal_idle_micro_per_hour == b->marginal_idle_micro_per_hour &&
           a->marginal_busy_micro_per_hour == b->marginal_busy_micro_per_hour;
}

/* Tells the core where an owned node costs something else now. */
static void look_at(struct broker *b, struct weir_node_id id)
{
    struct weir_err err;
    struct weir_node_view v;
    struct weir_owned_cost cost;
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_RATES};
    if (!weir_core_node(weir_engine_core(b->engine), id, &v) || v.state == WEIR_NODE_GONE || v.spec.lease.v != 0) {
        return;
    }
    (void)node_cost(b, &v.spec, weir_engine_now(b->engine), &cost);
    ev.u.node_rates.node = id;
    ev.u.node_rates.rates = weir_owned_rates(&cost);
    if (!rates_are(&ev.u.node_rates.rates, &v.spec.rates) && weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "owned.rates", "node=%" PRIu64 " text=\"%s\"", id.v, err.text);
    }
}

void owned_tick(struct broker *b)
{
    if (weir_engine_now(b->engine).us < b->owned_due.us) {
        return;
    }
    b->owned_due = WEIR_WALL_MAX; /* who costs something says until when */
    const struct weir_core *core = weir_engine_core(b->engine);
    size_t n = weir_core_nodes(core, NULL, 0);
    struct weir_node_id *id = weir_calloc(n + 1, sizeof *id);
    n = weir_core_nodes(core, id, n);
    for (size_t i = 0; i < n; i++) {
        look_at(b, id[i]);
    }
    free(id);
    weir_engine_reprice(b->engine); /* the core knows nothing of carbon */
}
