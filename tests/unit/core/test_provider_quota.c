/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine takes of a provider's quota: units, families of types, regions, markets, and numbers at the edge. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "core/provider_quota.h"

enum { ON_DEMAND = 1 << WEIR_OFFER_ON_DEMAND, SPOT = 1 << WEIR_OFFER_SPOT };

static void a_machine_takes_what_its_quota_counts(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct weir_provider_quota q;
        struct weir_offer o;
        int64_t want;
    } rows[] = {
        {"cores, rounded up", {.unit = WEIR_QUOTA_UNIT_CORES}, {.cpu_milli = 4001}, 5},
        {"as many cores as there can be", {.unit = WEIR_QUOTA_UNIT_CORES}, {.cpu_milli = UINT32_MAX}, 4294968},
        {"GPUs, not cores", {.unit = WEIR_QUOTA_UNIT_GPUS}, {.cpu_milli = 96000, .gpus = 8}, 8},
        {"a machine is one", {.unit = WEIR_QUOTA_UNIT_MACHINES}, {.cpu_milli = 96000, .gpus = 8}, 1},
        {"memory", {.unit = WEIR_QUOTA_UNIT_MEM_MIB}, {.mem_mib = 1024}, 1024},
        {"more memory than can be counted", {.unit = WEIR_QUOTA_UNIT_MEM_MIB}, {.mem_mib = UINT64_MAX}, INT64_MAX},
        {"no unit that there is", {.unit = WEIR_QUOTA_UNIT_MAX}, {.gpus = 8}, 0},
        {"its region", {.region = "eu", .unit = WEIR_QUOTA_UNIT_MACHINES}, {.region = "eu"}, 1},
        {"not one that begins like it", {.region = "eu", .unit = WEIR_QUOTA_UNIT_MACHINES}, {.region = "eu-west"}, 0},
        {"every region", {.unit = WEIR_QUOTA_UNIT_MACHINES}, {.region = "eu"}, 1},
        {"a family", {.unit = WEIR_QUOTA_UNIT_MACHINES, .type = {"g*", "vt*"}, .n_types = 2}, {.instance_type = "vt1.3xlarge"}, 1},
        {"another family", {.unit = WEIR_QUOTA_UNIT_MACHINES, .type = {"p5*"}, .n_types = 1}, {.instance_type = "p4d.24xlarge"}, 0},
        {"names beyond their number do not count", {.unit = WEIR_QUOTA_UNIT_MACHINES, .type = {"g*", "p*"}, .n_types = 1}, {.instance_type = "p5.48xlarge"}, 0},
        {"on demand", {.unit = WEIR_QUOTA_UNIT_MACHINES, .markets = ON_DEMAND}, {.market = WEIR_OFFER_ON_DEMAND}, 1},
        {"not the spot", {.unit = WEIR_QUOTA_UNIT_MACHINES, .markets = ON_DEMAND}, {.market = WEIR_OFFER_SPOT}, 0},
        {"the spot alone", {.unit = WEIR_QUOTA_UNIT_MACHINES, .markets = SPOT}, {.market = WEIR_OFFER_SPOT}, 1},
        {"what is reserved is there already", {.unit = WEIR_QUOTA_UNIT_MACHINES}, {.market = WEIR_OFFER_RESERVED}, 0},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (weir_provider_quota_of(&rows[i].q, &rows[i].o) != rows[i].want) {
            fail_msg("%s: %lld", rows[i].what, (long long)weir_provider_quota_of(&rows[i].q, &rows[i].o));
        }
    }
}

static void a_quota_is_told_from_others_by_all_of_its_names(void **state)
{
    (void)state;
    const struct weir_provider_quota a = {.name = "cores", .region = "eu"};
    const struct weir_provider_quota b = {.name = "cores", .region = "us"};
    const struct weir_provider_quota c = {.name = "ucores", .region = "e"};
    assert_true(weir_provider_quota_id("azure", &a) != weir_provider_quota_id("azure", &b));
    assert_true(weir_provider_quota_id("azure", &a) != weir_provider_quota_id("aws", &a));
    assert_true(weir_provider_quota_id("azure", &a) != weir_provider_quota_id("azure", &c));
    assert_true(weir_provider_quota_id("azure", &a) == weir_provider_quota_id("azure", &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_takes_what_its_quota_counts),
        cmocka_unit_test(a_quota_is_told_from_others_by_all_of_its_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
