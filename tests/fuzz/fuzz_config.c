/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's configuration file. Promises: a refusal says why in text; what is accepted has durations of more
 * than nothing, sections for its providers, and owned costs whose rates can be computed for any node.
 */
#include "fuzz.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/str.h"
#include "broker/config.h"

static void check_costs(const struct weir_config *c)
{
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    const struct weir_node_spec nodes[] = {
        {.cpu_milli = 1},
        {.cpu_milli = 100000000, .mem_mib = UINT64_C(1) << 40, .gpus = WEIR_NODE_GPUS_MAX},
    };
    const struct weir_config_market market = {.rent_micro = 4 * WEIR_MICRO_PER_UNIT, .usd_nano = 920000000};
    for (size_t i = 0; i < c->n_pools; i++) {
        for (size_t k = 0; k < WEIR_ARRAY_LEN(nodes); k++) {
            const struct weir_wall at = {INT64_C(1795376546) * WEIR_US_PER_S};
            struct weir_wall until;
            struct weir_owned_cost cost = weir_config_owned_cost(c, c->pool[i].name, &nodes[k], gpus, &market, at, &until);
            WEIR_ASSERT(until.us > at.us);
            struct weir_node_rates rates = weir_owned_rates(&cost);
            WEIR_ASSERT(rates.full_micro_per_hour >= 0 && rates.marginal_idle_micro_per_hour >= 0 &&
                        rates.marginal_busy_micro_per_hour >= 0);
        }
    }
    weir_gpu_table_free(gpus);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_config *c = NULL;
    struct weir_err err = {{0}};
    /* An empty file is a file; the address only has to be one. */
    struct weir_sv text = {size == 0 ? "" : (const char *)data, size};
    int r = weir_config_parse(&c, text, "weir.yaml", &err);
    if (r < 0) {
        WEIR_ASSERT(c == NULL && err.text[0] != '\0' && weir_utf8_is_text(weir_sv_of(err.text)));
        return 0;
    }
    WEIR_ASSERT(c->node_silence.us > 0 && c->core.lease_term.us > 0 && c->core.boot_limit.us > 0);
    WEIR_ASSERT(c->core.review_period.us > 0);
    for (size_t i = 0; i < c->n_providers; i++) {
        WEIR_ASSERT(c->provider[i].section != NULL);
    }
    check_costs(c);
    weir_config_free(c);
    return 0;
}
