/* SPDX-License-Identifier: Apache-2.0 */
/* What an owned node costs by the hour: for decisions and for display. Charges are made in cost.c. */

#include "bill/bill_priv.h"

bool weir_owned_cost_eq(const struct weir_owned_cost *a, const struct weir_owned_cost *b)
{
    return a->purchase_micro == b->purchase_micro && a->residual_micro == b->residual_micro && a->life.us == b->life.us &&
           a->upkeep_micro_per_year == b->upkeep_micro_per_year && a->tariff_micro_per_kwh == b->tariff_micro_per_kwh &&
           a->pue_milli == b->pue_milli && a->idle_watts == b->idle_watts && a->busy_watts == b->busy_watts &&
           a->has_carbon == b->has_carbon && a->carbon_ug_per_kwh == b->carbon_ug_per_kwh;
}

int64_t weir_owned_rate(const struct weir_owned_cost *c, enum weir_account account, uint32_t watts)
{
    switch (account) {
    case WEIR_ACCOUNT_DEPRECIATION:
        return c->life.us <= 0 ? 0
                               : weir_mul_div_sat(c->purchase_micro - c->residual_micro, WEIR_US_PER_HOUR, c->life.us);
    case WEIR_ACCOUNT_UPKEEP:
        return weir_mul_div_sat(c->upkeep_micro_per_year, WEIR_US_PER_HOUR, WEIR_US_PER_YEAR);
    case WEIR_ACCOUNT_ENERGY:
        /* watts x PUE / 1000 (to kW) / 1000 (of pue_milli) */
        return weir_mul_div_sat(c->tariff_micro_per_kwh, (int64_t)watts * c->pue_milli, 1000000);
    case WEIR_ACCOUNT_PROVIDER:
    case WEIR_ACCOUNT_NODE:
    case WEIR_ACCOUNT_JOB:
    case WEIR_ACCOUNT_IDLE:
    case WEIR_ACCOUNT_WASTE_BOOT:
    case WEIR_ACCOUNT_WASTE_LOST:
    case WEIR_ACCOUNT_WASTE_FAILED:
    case WEIR_ACCOUNT_PRICE:
    case WEIR_ACCOUNT_MARGIN:
    case WEIR_ACCOUNT_MAX:
        break;
    }
    return 0;
}

int64_t weir_carbon_rate(const struct weir_owned_cost *c, uint32_t watts)
{
    return c->has_carbon ? weir_mul_div_sat(c->carbon_ug_per_kwh, (int64_t)watts * c->pue_milli, 1000000) : 0;
}

struct weir_node_rates weir_owned_rates(const struct weir_owned_cost *c)
{
    int64_t fixed = weir_i64_add_sat(weir_owned_rate(c, WEIR_ACCOUNT_DEPRECIATION, 0),
                                     weir_owned_rate(c, WEIR_ACCOUNT_UPKEEP, 0));
    int64_t busy = weir_owned_rate(c, WEIR_ACCOUNT_ENERGY, c->busy_watts);
    int64_t idle = weir_owned_rate(c, WEIR_ACCOUNT_ENERGY, c->idle_watts);
    /* a decision changes only what the work draws on top of an idle node */
    return (struct weir_node_rates){.full_micro_per_hour = weir_i64_add_sat(fixed, busy),
                                    .marginal_idle_micro_per_hour = 0,
                                    .marginal_busy_micro_per_hour = busy - idle};
}
