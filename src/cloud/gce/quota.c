/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each GPU model has a quota per region, and a second one for Spot machines (PREEMPTIBLE_...). Where the second is nothing, Spot machines
 * take of the first. Of models from H100 on the list of regions tells the second alone: the first is one quota with a dimension for the GPU's
 * family, which the Cloud Quotas API tells, without what is in use. That is counted from the list of all machines.
 */
#include "cloud/gce/quota.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"

static const struct {
    const char *metric;
    const char *type[2];
    const char *family; /* of the dimension; NULL: the metric is its quota */
} families[] = {
    {"NVIDIA_L4_GPUS", {"g2-*", NULL}, NULL},
    {"NVIDIA_A100_GPUS", {"a2-highgpu-*", "a2-megagpu-*"}, NULL},
    {"NVIDIA_A100_80GB_GPUS", {"a2-ultragpu-*", NULL}, NULL},
    {"NVIDIA_H100_GPUS", {"a3-highgpu-*", "a3-edgegpu-*"}, "NVIDIA_H100"},
    {"NVIDIA_H100_MEGA_GPUS", {"a3-megagpu-*", NULL}, "NVIDIA_H100_MEGA"},
    {"NVIDIA_H200_GPUS", {"a3-ultragpu-*", NULL}, "NVIDIA_H200"},
    {"NVIDIA_B200_GPUS", {"a4-highgpu-*", NULL}, "NVIDIA_B200"},
    {"NVIDIA_GB200_GPUS", {"a4x-highgpu-*", NULL}, "NVIDIA_GB200"},
    {"NVIDIA_RTX_PRO_6000_GPUS", {"g4-standard-*", NULL}, "NVIDIA_RTX_PRO_6000"},
};

/* What GPUS_ALL_REGIONS counts. */
static const char *const all_types[] = {"a2-*", "a3-*", "a4-*", "a4x-*", "g2-*", "g4-*"};
_Static_assert(WEIR_ARRAY_LEN(all_types) <= WEIR_PROVIDER_QUOTA_TYPES_MAX, "the project's quota names them all");

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
    for (size_t i = 0; i < WEIR_ARRAY_LEN(all_types); i++) {
        add_type(&q, all_types[i]);
    }
    weir_rest_quotas_add(l, &q);
}

/* ---- families ---- */

/* A 64-bit number, which Google writes as a string; -1 where it is none. */
static int64_t number_of(const json_t *object, const char *key)
{
    uint64_t n;
    const char *text = weir_rest_text(object, key);
    if (text[0] == '\0') {
        return weir_rest_count(object, key);
    }
    return weir_parse_u64(weir_sv_of(text), 0, INT64_MAX, &n, NULL) == 0 ? (int64_t)n : -1;
}

static bool is_applied(const json_t *info, const char *region)
{
    const json_t *places = json_object_get(info, "applicableLocations");
    for (size_t i = 0; i < json_array_size(places); i++) {
        const char *place = json_string_value(json_array_get(places, i));
        if (place != NULL && weir_streq(place, region)) {
            return true;
        }
    }
    return false;
}

/* How closely it says what holds for the family there; 0: it does not. One that names a dimension goes before one that holds for all others. */
static int closeness(const json_t *info, const char *family, const char *region)
{
    const json_t *dimensions = json_object_get(info, "dimensions");
    const char *of_family = weir_rest_text(dimensions, "gpu_family");
    const char *of_region = weir_rest_text(dimensions, "region");
    bool fits = (of_family[0] == '\0' || weir_streq(of_family, family)) && (of_region[0] == '\0' || weir_streq(of_region, region)) && is_applied(info, region);
    return fits ? 1 + (of_family[0] != '\0' ? 2 : 0) + (of_region[0] != '\0' ? 1 : 0) : 0;
}

static void add_family(struct weir_rest_quotas *l, const json_t *infos, size_t family, const char *region)
{
    const json_t *best = NULL;
    char spot[64];
    int closest = 0;
    for (size_t i = 0; i < json_array_size(infos); i++) {
        const json_t *info = json_array_get(infos, i);
        int close = closeness(info, families[family].family, region);
        best = close > closest ? info : best;
        closest = close > closest ? close : closest;
    }
    struct weir_provider_quota q = {.unit = WEIR_QUOTA_UNIT_GPUS, .limit = number_of(json_object_get(best, "details"), "value")};
    (void)snprintf(q.name, sizeof q.name, GCE_FAMILY_METRIC " %s", families[family].family);
    (void)snprintf(q.region, sizeof q.region, "%s", region);
    (void)snprintf(spot, sizeof spot, SPOT "%s", families[family].metric);
    q.markets = weir_rest_quotas_find(l, region, spot) != NULL ? 1u << WEIR_OFFER_ON_DEMAND : 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(families[family].type); i++) {
        add_type(&q, families[family].type[i]);
    }
    if (best != NULL && weir_rest_quotas_find(l, region, q.name) == NULL) {
        weir_rest_quotas_add(l, &q);
    }
}

bool gce_quota_families(const struct weir_provider *p, const json_t *info, struct weir_rest_quotas *l)
{
    const json_t *infos = json_object_get(info, "dimensionsInfos");
    weir_rest_quotas_mark(l);
    for (size_t i = 0; i < json_array_size(infos); i++) {
        const json_t *places = json_object_get(json_array_get(infos, i), "applicableLocations");
        for (size_t k = 0; k < json_array_size(places); k++) {
            const char *region = json_string_value(json_array_get(places, k));
            bool is_wanted = region != NULL && region[0] != '\0' && strlen(region) < WEIR_REGION_SIZE && weir_rest_region_is_wanted(p, region);
            for (size_t f = 0; f < WEIR_ARRAY_LEN(families) && is_wanted; f++) {
                if (families[f].family != NULL) {
                    add_family(l, infos, f, region);
                }
            }
        }
    }
    size_t n;
    const struct weir_provider_quota *q = weir_rest_quotas_marked(l, &n);
    bool has_any = false;
    for (size_t i = 0; i < n; i++) {
        has_any = has_any || q[i].limit > 0;
    }
    return has_any;
}

static bool is_counted(const struct weir_provider_quota *q, const char *type, const char *zone, bool is_spot)
{
    size_t n = strlen(q->region);
    bool fits = strncmp(zone, q->region, n) == 0 && zone[n] == '-' && strchr(zone + n + 1, '-') == NULL && (!is_spot || q->markets == 0);
    for (size_t i = 0; i < q->n_types && fits; i++) {
        if (weir_glob_match(weir_sv_of(q->type[i]), weir_sv_of(type))) {
            return true;
        }
    }
    return false;
}

/* After the last slash of a link. */
static const char *last_of(const char *link)
{
    const char *slash = strrchr(link, '/');
    return slash == NULL ? link : slash + 1;
}

void gce_quota_machine(const json_t *instance, struct weir_rest_quotas *l)
{
    static const char *const idle[] = {"STOPPED", "TERMINATED", "SUSPENDED"};
    const char *status = weir_rest_text(instance, "status");
    const json_t *gpus = json_object_get(instance, "guestAccelerators");
    bool is_spot = weir_streq(weir_rest_text(json_object_get(instance, "scheduling"), "provisioningModel"), "SPOT");
    int64_t count = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(idle); i++) {
        if (weir_streq(status, idle[i])) {
            return;
        }
    }
    for (size_t i = 0; i < json_array_size(gpus); i++) {
        int64_t of_it = weir_rest_count(json_array_get(gpus, i), "acceleratorCount");
        count = of_it > 0 ? weir_i64_add_sat(count, of_it) : count;
    }
    size_t n;
    struct weir_provider_quota *q = weir_rest_quotas_marked(l, &n);
    for (size_t i = 0; i < n; i++) {
        if (is_counted(&q[i], last_of(weir_rest_text(instance, "machineType")), last_of(weir_rest_text(instance, "zone")), is_spot)) {
            q[i].used = weir_i64_add_sat(q[i].used, count);
        }
    }
}
