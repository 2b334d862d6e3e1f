/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranking offers for one task: 50,000 of them, 20 providers' regions and types with prices of their own. Prints milliseconds of CPU time, the
 * median of many rounds.
 *
 *     bench_offers    "task MS" (H100:8 of them), "whole MS" (every row in its place, the excluded too)
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/prng.h"
#include "cloud/offers.h"

enum { OFFERS = 50000, ROUNDS = 31 };

static const struct weir_wall now = {INT64_C(1767225600000000)};

static double clock_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct weir_offer *make_offers(struct weir_gpu_table *gpus)
{
    static const char *const model[] = {"T4", "L4", "A10G", "A100", "A100-80GB", "L40S", "H100", "H100-PCIE", "H200", "B200"};
    static const uint16_t count[] = {1, 2, 4, 8};
    struct weir_prng random = weir_prng_seed(1);

    struct weir_offer *o = weir_calloc(OFFERS, sizeof *o);
    for (unsigned i = 0; i < OFFERS; i++) {
        unsigned type = (unsigned)weir_prng_below(&random, 40);
        o[i].market = i % 2 == 0 ? WEIR_OFFER_ON_DEMAND : WEIR_OFFER_SPOT;
        o[i].gpu_model = weir_gpu_table_intern(gpus, weir_sv_of(model[type % WEIR_ARRAY_LEN(model)]));
        o[i].gpus = count[type / WEIR_ARRAY_LEN(model)];
        o[i].price_micro_per_hour = 100000 + (int64_t)weir_prng_below(&random, 100) * 250000; /* many are equal */
        o[i].as_of = now;
        o[i].expires = WEIR_WALL_MAX;
        o[i].launchable = true;
        (void)snprintf(o[i].provider, sizeof o[i].provider, "provider-%u", i % 20);
        (void)snprintf(o[i].region, sizeof o[i].region, "region-%u", i / 20 % 30);
        (void)snprintf(o[i].zone, sizeof o[i].zone, "zone-%u", i);
        (void)snprintf(o[i].instance_type, sizeof o[i].instance_type, "type-%u", type);
        o[i].id = weir_offer_id(&o[i]);
    }
    return o;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, const struct weir_offer *o, const struct weir_offer_query *q, const struct weir_gpu_table *gpus, bool whole)
{
    double ms[ROUNDS];
    size_t included = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct weir_offer_list l = {0};
        double start = clock_ms();
        weir_offer_list_add(&l, o, OFFERS, WEIR_PRICE_LIST);
        included = weir_offer_list_rank(&l, q, gpus, now, whole);
        ms[i] = clock_ms() - start;
        weir_offer_list_release(&l);
    }
    qsort(ms, ROUNDS, sizeof ms[0], compare);
    printf("%s %.3f %zu\n", name, ms[ROUNDS / 2], included);
}

int main(void)
{
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_offer *o = make_offers(gpus);
    struct weir_offer_query q = {.alternatives = 1};
    if (weir_gpu_wish_parse(gpus, WEIR_SV("H100:8"), &q.alternative[0], NULL) < 0) {
        return 1;
    }
    measure("task", o, &q, gpus, false);
    measure("whole", o, &q, gpus, true);
    free(o);
    weir_gpu_table_free(gpus);
    return 0;
}
