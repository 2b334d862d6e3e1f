/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each GPU model has a quota per region, and a second one for Spot machines (PREEMPTIBLE_...). Where the second is nothing, Spot machines
 * take of the first. Models whose quotas the list of regions does not tell (H100 and later) are not known beforehand.
 */
#include "cloud/gce/quota.h"

#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"

static const struct {
    const char *metric;
    const char *type[2];
} families[] = {
    {"NVIDIA_L4_GPUS", {"g2-*", NULL}},
    {"NVIDIA_A100_GPUS", {"a2-highgpu-*", "a2-megagpu-*"}},
    {"NVIDIA_A100_80GB_GPUS", {"a2-ultragpu-*", NULL}},
};

_Static_assert(2 * WEIR_ARRAY_LEN(families) <= WEIR_PROVIDER_QUOTA_TYPES_MAX, "the project's quota names the types of all");

#define SPOT "PREEMPTIBLE_"

static void add_type(struct weir_provider_quota *q, const char *type)
{
    if (type != NULL) {
        (void)snprintf(q->type[q->n_types++], sizeof q->type[0], "%s", type);
    }
}

static const json_t *find_metric(const json_t *quotas, const char *metric)
{
    for (size_t i = 0; i < json_array_size(quotas); i++) {
        const json_t *q = json_array_get(quotas, i);
        if (weir_streq(weir_rest_text(q, "metric"), metric)) {
            return q;
        }
    }
    return NULL;
}

static void add(struct weir_rest_quotas *l, const json_t *told, const char *region, size_t family, uint8_t markets)
{
    struct weir_provider_quota q = {.unit = WEIR_QUOTA_UNIT_GPUS, .markets = markets, .limit = weir_rest_count(told, "limit"), .used = weir_rest_count(told, "usage")};
    (void)snprintf(q.name, sizeof q.name, "%s", weir_rest_text(told, "metric"));
    (void)snprintf(q.region, sizeof q.region, "%s", region);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(families[family].type); i++) {
        add_type(&q, families[family].type[i]);
    }
    weir_rest_quotas_add(l, &q);
}

void gce_quota_region(const struct weir_provider *p, const json_t *region, struct weir_rest_quotas *l)
{
    const json_t *quotas = json_object_get(region, "quotas");
    const char *name = weir_rest_text(region, "name");
    if (name[0] == '\0' || strlen(name) >= WEIR_REGION_SIZE || !weir_rest_region_is_wanted(p, name)) {
        return;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(families); i++) {
        char metric[64];
        (void)snprintf(metric, sizeof metric, SPOT "%s", families[i].metric);
        const json_t *standard = find_metric(quotas, families[i].metric);
        const json_t *spot = find_metric(quotas, metric);
        bool has_spot = json_number_value(json_object_get(spot, "limit")) > 0; /* one without bounds too, which is no quota */
        if (standard != NULL) {
            add(l, standard, name, i, has_spot ? 1u << WEIR_OFFER_ON_DEMAND : 0);
        }
        if (has_spot) {
            add(l, spot, name, i, 1u << WEIR_OFFER_SPOT);
        }
    }
}

void gce_quota_project(const json_t *project, struct weir_rest_quotas *l)
{
    const json_t *told = find_metric(json_object_get(project, "quotas"), "GPUS_ALL_REGIONS");
    if (told == NULL) {
        return;
    }
    struct weir_provider_quota q = {.name = "GPUS_ALL_REGIONS", .unit = WEIR_QUOTA_UNIT_GPUS, .markets = 1u << WEIR_OFFER_ON_DEMAND,
                                    .limit = weir_rest_count(told, "limit"), .used = weir_rest_count(told, "usage")};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(families); i++) {
        for (size_t k = 0; k < WEIR_ARRAY_LEN(families[i].type); k++) {
            add_type(&q, families[i].type[k]);
        }
    }
    weir_rest_quotas_add(l, &q);
}
