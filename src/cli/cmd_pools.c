/* SPDX-License-Identifier: Apache-2.0 */

/* weir pools: the places that run tasks, and what their nodes cost. */

#include "base/mem.h"
#include "command.h"
#include "lists.h"

const struct weir_opt weir_opts_pools[] = {
    {"cost", 0, WEIR_OPT_FLAG, .help = "what a node of each pool costs, and how that comes about"},
    {0},
};

static int show(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"POOL", WEIR_FIELD_TEXT, "name"},
        {"KIND", WEIR_FIELD_TEXT, "kind"},
        {"NODES", WEIR_FIELD_INT, "nodes"},
        {"GPUS FREE", WEIR_FIELD_OF, "gpus_free", "gpus"},
        {"CORES", WEIR_FIELD_MILLI, "cpu_milli"},
        {"RUNNING", WEIR_FIELD_INT, "running"},
        {"RATE", WEIR_FIELD_RATE, "rate_micro_per_hour"},
    };
    return weir_list_show(args, "/v1/pools", field, WEIR_ARRAY_LEN(field), "no pools", err);
}

static void table(const json_t *costs, const struct weir_field *field, size_t n, const char *currency)
{
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_fields_table(field, n, costs, currency);
    weir_table_print(t, stdout);
}

/* What the pools say of the costs of their nodes, under that key: one list. */
static json_t *costs_of(const json_t *pools, const char *key)
{
    size_t i, k;
    json_t *pool, *cost, *costs = json_array();
    json_array_foreach(pools, i, pool)
    {
        json_array_foreach(json_object_get(pool, key), k, cost)
        {
            json_object_set(cost, "pool", json_object_get(pool, "name"));
            json_object_set_new(cost, "life_h", json_integer(weir_get_i64(cost, "life_s", 0) / 3600));
            json_array_append(costs, cost);
        }
    }
    return costs;
}

static void print_owned(const json_t *costs, const char *currency)
{
    static const struct weir_field from[] = {
        {"POOL", WEIR_FIELD_TEXT, "pool"},
        {"NODES", WEIR_FIELD_INT, "nodes"},
        {"PURCHASE", WEIR_FIELD_MONEY, "purchase_micro"},
        {"RESIDUAL", WEIR_FIELD_MONEY, "residual_micro"},
        {"LIFE HOURS", WEIR_FIELD_INT, "life_h"},
        {"UPKEEP A YEAR", WEIR_FIELD_MONEY, "upkeep_micro_per_year"},
        {"KWH", WEIR_FIELD_MONEY, "tariff_micro_per_kwh"},
        {"PUE", WEIR_FIELD_MILLI, "pue_milli"},
        {"IDLE W", WEIR_FIELD_INT, "idle_watts"},
        {"BUSY W", WEIR_FIELD_INT, "busy_watts"},
        {"G CO2E/KWH", WEIR_FIELD_MICRO, "carbon_ug_per_kwh"},
    };
    static const struct weir_field per_hour[] = {
        {"POOL", WEIR_FIELD_TEXT, "pool"},
        {"DEPRECIATION", WEIR_FIELD_RATE, "depreciation_micro_per_hour"},
        {"+ UPKEEP", WEIR_FIELD_RATE, "upkeep_micro_per_hour"},
        {"+ ENERGY IDLE", WEIR_FIELD_RATE, "energy_idle_micro_per_hour"},
        {"OR BUSY", WEIR_FIELD_RATE, "energy_busy_micro_per_hour"},
        {"= BILLED IDLE", WEIR_FIELD_RATE, "billed_idle_micro_per_hour"},
        {"OR BUSY", WEIR_FIELD_RATE, "billed_busy_micro_per_hour"},
        {"DECIDED", WEIR_FIELD_RATE, "decided_micro_per_hour"},
        {"G CO2E IDLE", WEIR_FIELD_MICRO, "carbon_idle_ug_per_hour"},
        {"OR BUSY", WEIR_FIELD_MICRO, "carbon_busy_ug_per_hour"},
    };
    (void)printf("A node of each pool:\n");
    table(costs, from, WEIR_ARRAY_LEN(from), currency);
    (void)printf("\nAn hour of it:\n");
    table(costs, per_hour, WEIR_ARRAY_LEN(per_hour), currency);
    (void)printf("\nBilled is all of it, whoever uses it or nobody. Decisions count what work costs more than leaving it idle.\n");
}

static void print_rented(const json_t *costs, const char *currency)
{
    static const struct weir_field field[] = {
        {"POOL", WEIR_FIELD_TEXT, "pool"},
        {"MACHINES", WEIR_FIELD_INT, "nodes"},
        {"PRICE", WEIR_FIELD_RATE, "price_micro_per_hour"},
        {"PUE", WEIR_FIELD_MILLI, "pue_milli"},
        {"IDLE W", WEIR_FIELD_INT, "idle_watts"},
        {"BUSY W", WEIR_FIELD_INT, "busy_watts"},
        {"G CO2E/KWH", WEIR_FIELD_MICRO, "carbon_ug_per_kwh"},
        {"G CO2E/H IDLE", WEIR_FIELD_MICRO, "carbon_idle_ug_per_hour"},
        {"OR BUSY", WEIR_FIELD_MICRO, "carbon_busy_ug_per_hour"},
    };
    (void)printf("A rented machine of each pool, as they are now:\n");
    table(costs, field, WEIR_ARRAY_LEN(field), currency);
    (void)printf("\nBilled and decided by the price, which energy is part of. '-' is not known.\n");
}

static int show_costs(const struct weir_args *args, struct weir_err *err)
{
    json_t *pools = NULL;
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    r = r < 0 ? r : weir_client_list(api, "/v1/pools", 0, &pools, NULL, err);
    if (r < 0) {
        return r;
    }
    WEIR_CLEANUP(weir_freep) char *currency = weir_list_currency(api);
    json_t *owned = costs_of(pools, "costs");
    json_t *rented = costs_of(pools, "rented");
    if (json_array_size(owned) > 0) {
        print_owned(owned, currency);
    }
    if (json_array_size(rented) > 0) {
        (void)fputs(json_array_size(owned) > 0 ? "\n" : "", stdout);
        print_rented(rented, currency);
    } else {
        weir_talk("no machines are rented now; what one would cost: 'weir offers'");
    }
    if (json_array_size(owned) == 0) {
        weir_talk("no owned nodes");
    }
    json_decref(owned);
    json_decref(rented);
    json_decref(pools);
    return 0;
}

int weir_cmd_pools(const struct weir_args *args, struct weir_err *err)
{
    return weir_args_has(args, "cost") && !weir_args_has(args, "json") ? show_costs(args, err) : show(args, err);
}
