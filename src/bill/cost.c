/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost side of a span. Every rate keeps the rest of its division, so that a thousand short spans cost exactly what
 * one long span costs, less a fraction of one micro-unit that is still to come.
 */

#include "bill/bill_priv.h"

/* micro-units per kWh x PUE in thousandths x millijoules: 3.6 x 10^9 mJ are a kWh */
#define ENERGY_DIVISOR (WEIR_MJ_PER_KWH * 1000)
/* A reading of more than a megawatt on average is not believed. */
#define MJ_PER_US_MAX 1000

int64_t weir_bill_rate(weir_i128 a, int64_t b, int64_t c, int64_t *rest)
{
    weir_i128 sum = a * b + *rest;
    *rest = (int64_t)(sum % c);
    return (int64_t)(sum / c);
}

void weir_bill_split(int64_t total, const weir_i128 *weight, size_t n, int64_t *ret)
{
    WEIR_ASSERT(n > 0);
    WEIR_ASSERT(total >= 0);
    weir_i128 sum = 0;
    weir_i128 largest = 0;
    for (size_t i = 0; i < n; i++) {
        WEIR_ASSERT(weight[i] >= 0);
        largest = weight[i] > largest ? weight[i] : largest;
        ret[i] = 0;
    }
    if (total == 0) { /* of energy, where none is metered nor known */
        return;
    }
    /* total x weight must fit: weights lose low bits where they are very large, all alike */
    int shift = 0;
    while (largest >> shift > INT64_MAX / 4) {
        shift++;
    }
    for (size_t i = 0; i < n; i++) {
        sum += weight[i] >> shift;
    }
    if (sum == 0) {
        ret[n - 1] = total;
        return;
    }
    int64_t left = total;
    for (size_t i = 0; i < n; i++) {
        ret[i] = (int64_t)((weir_i128)total * (weight[i] >> shift) / sum);
        left -= ret[i];
    }
    /*
     * Fewer units than parts are left; each goes to the largest remainder not yet served. Served parts are those
     * whose amount is above their floor.
     */
    while (left > 0) {
        size_t best = n;
        weir_i128 best_rem = -1;
        for (size_t i = 0; i < n; i++) {
            weir_i128 rem = (weir_i128)total * (weight[i] >> shift) - (weir_i128)ret[i] * sum;
            if (rem > best_rem) {
                best_rem = rem;
                best = i;
            }
        }
        WEIR_ASSERT(best < n);
        ret[best]++;
        left--;
    }
}

struct weir_dur weir_bill_round_up(struct weir_dur d, struct weir_dur quantum, struct weir_dur minimum)
{
    int64_t us = d.us < minimum.us ? minimum.us : d.us;
    if (quantum.us > 1 && us % quantum.us != 0) {
        us += quantum.us - us % quantum.us;
    }
    return (struct weir_dur){us};
}

/* What the machine cost since its price holds, in micro-units x microseconds of an hour, with the rest of what came before. */
static weir_i128 since_priced(const struct weir_meter *m, struct weir_dur d)
{
    int64_t before = m->priced.us == 0 ? 0 : m->priced.us - m->opened.us;
    return (weir_i128)m->info.price_micro_per_hour * (d.us - before) + m->remainder[WEIR_ACCOUNT_PROVIDER];
}

int64_t weir_bill_original(const struct weir_bill_node *n, int64_t micro)
{
    return n->currency[0] == '\0' ? 0 : weir_mul_div_sat(micro, WEIR_BILL_NANO, n->rate_nano);
}

/*
 * The provider's charge up to a time since opening, less what was posted. It is rounded half up, once, whatever prices it had. Nothing
 * where more was posted, at a price that has fallen since: nothing is posted then until the machine has cost as much.
 */
static struct bill_cost provider_take(struct weir_meter *m, struct weir_dur d)
{
    struct bill_cost c = {0};
    int64_t before = m->provider_posted_micro;
    int64_t micro = m->priced_micro + (int64_t)((since_priced(m, d) + WEIR_US_PER_HOUR / 2) / WEIR_US_PER_HOUR) - before;
    if (micro > 0) {
        m->provider_posted_micro += micro;
        c.micro[WEIR_ACCOUNT_PROVIDER] = micro;
        c.original_micro = weir_bill_original(&m->info, before + micro) - weir_bill_original(&m->info, before);
    }
    return c;
}

void weir_bill_price_take(struct bill_node *n, struct weir_wall from, int64_t price_micro_per_hour)
{
    struct weir_meter *m = &n->m;
    struct weir_wall last = m->priced.us == 0 ? m->opened : m->priced;
    from = from.us > m->until.us ? m->until : from.us < last.us ? last : from;
    weir_i128 cost = since_priced(m, weir_wall_sub(from, m->opened));
    m->priced_micro += (int64_t)(cost / WEIR_US_PER_HOUR);
    m->remainder[WEIR_ACCOUNT_PROVIDER] = (int64_t)(cost % WEIR_US_PER_HOUR);
    m->priced = from;
    m->info.price_micro_per_hour = price_micro_per_hour;
}

struct bill_cost weir_bill_rounding_take(struct bill_node *n, struct weir_wall end)
{
    if (n->m.info.owned) {
        return (struct bill_cost){0};
    }
    struct weir_dur d = weir_wall_sub(end, n->m.opened);
    return provider_take(&n->m, weir_bill_round_up(d, n->m.info.quantum, n->m.info.minimum));
}

/* Millijoules since the last posting: by the last reading, or by the model. */
static uint64_t energy_take(struct bill_node *n, weir_i128 energy_weight, bool *ret_modelled)
{
    struct weir_meter *m = &n->m;
    *ret_modelled = !m->energy_measured;
    if (m->energy_measured) {
        /* what the model had already posted before the first reading is not posted again */
        uint64_t mj = m->energy_mj > m->energy_posted_mj ? m->energy_mj - m->energy_posted_mj : 0;
        m->energy_posted_mj += mj;
        return mj;
    }
    /* weights are watts x microseconds x capacity; the rest is in a slot that nothing else uses, see struct weir_meter */
    int64_t divisor = (int64_t)n->whole * 1000;
    int64_t *rest = &m->remainder[m->info.owned ? WEIR_ACCOUNT_PROVIDER : WEIR_ACCOUNT_ENERGY];
    uint64_t mj = (uint64_t)weir_bill_rate(energy_weight, 1, divisor, rest);
    m->energy_posted_mj += mj;
    return mj;
}

/* What the grid gave for what the node drew, and what that emitted. */
static void grid_take(struct weir_meter *m, uint64_t mj, struct bill_cost *c)
{
    const struct weir_owned_cost *o = &m->info.cost;
    weir_i128 grid = (weir_i128)mj * o->pue_milli + m->remainder[WEIR_REST_GRID];
    m->remainder[WEIR_REST_GRID] = (int64_t)(grid % 1000);
    c->energy_mj = grid / 1000 > INT64_MAX ? INT64_MAX : (int64_t)(grid / 1000);
    c->carbon_unknown = !o->has_carbon || (!m->energy_measured && o->busy_watts == 0);
    if (!c->carbon_unknown) {
        c->carbon_ug = weir_bill_rate(c->energy_mj, o->carbon_ug_per_kwh, WEIR_MJ_PER_KWH, &m->remainder[WEIR_REST_CARBON]);
    }
}

struct bill_cost weir_bill_cost_take(struct bill_node *n, struct weir_wall to, weir_i128 energy_weight)
{
    struct weir_meter *m = &n->m;
    struct bill_cost c = {0};
    if (!m->info.owned) {
        c = provider_take(m, weir_wall_sub(to, m->opened));
        grid_take(m, energy_take(n, energy_weight, &c.energy_modelled), &c);
        return c;
    }
    const struct weir_owned_cost *o = &m->info.cost;
    int64_t span = to.us - m->until.us;
    c.micro[WEIR_ACCOUNT_DEPRECIATION] = weir_bill_rate(span, o->purchase_micro - o->residual_micro, o->life.us,
                                                        &m->remainder[WEIR_ACCOUNT_DEPRECIATION]);
    c.micro[WEIR_ACCOUNT_UPKEEP] = weir_bill_rate(span, o->upkeep_micro_per_year, WEIR_US_PER_YEAR,
                                                  &m->remainder[WEIR_ACCOUNT_UPKEEP]);
    uint64_t mj = energy_take(n, energy_weight, &c.energy_modelled);
    c.micro[WEIR_ACCOUNT_ENERGY] = weir_bill_rate((weir_i128)mj * o->pue_milli, o->tariff_micro_per_kwh,
                                                  ENERGY_DIVISOR, &m->remainder[WEIR_ACCOUNT_ENERGY]);
    grid_take(m, mj, &c);
    return c;
}

void weir_bill_energy_take_reading(struct bill_node *n, struct weir_wall at, uint64_t counter_mj)
{
    struct weir_meter *m = &n->m;
    uint64_t most = (uint64_t)(at.us - m->opened.us) * MJ_PER_US_MAX;
    uint64_t grown = counter_mj >= m->energy_counter_mj ? counter_mj - m->energy_counter_mj : counter_mj;
    if (m->energy_counter_mj == WEIR_METER_COUNTER_UNKNOWN) {
        grown = m->energy_measured ? 0 : counter_mj;
    }
    m->energy_measured = true;
    m->energy_counter_mj = counter_mj < INT64_MAX ? counter_mj : INT64_MAX;
    if (m->energy_mj < most) {
        m->energy_mj = grown > most - m->energy_mj ? most : m->energy_mj + grown;
    }
}
