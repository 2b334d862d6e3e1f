/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/gce/skus.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "cloud/rest.h"

enum { RATES_MAX = 20000, HOURS_PER_MONTH = 730, LOCAL_SSD_GIB = 375 };

/* A rate of one part: an hour of a core, a GiB of memory, a GPU, a GiB of local disk. */
struct rate {
    char part[32];
    char region[WEIR_REGION_SIZE];
    bool spot;
    int64_t nano_per_hour;
    struct weir_wall since; /* 0: it is not told */
};

typedef WEIR_VEC(struct rate) rate_vec;

struct gce_skus {
    rate_vec rates;
    rate_vec next;
};

/* What machine types are made of. ssds: local disks of 375 GiB that come with them: per GPU, or of the whole machine. */
static const struct family {
    const char *prefix; /* of the type */
    const char *host;   /* in the descriptions of cores and memory */
    const char *gpu;
    uint32_t ssds_each;
    uint32_t ssds;
} families[] = {
    {"g2-standard-", "G2", "Nvidia L4", 0, 0},
    {"a2-highgpu-", "A2", "Nvidia Tesla A100", 0, 0},
    {"a2-megagpu-", "A2", "Nvidia Tesla A100", 0, 0},
    {"a2-ultragpu-", "A2", "Nvidia Tesla A100 80GB", 1, 0},
    {"a3-highgpu-8g", "A3", "Nvidia H100 80GB", 0, 16},
    {"a3-megagpu-8g", "A3Plus", "Nvidia H100 80GB Mega", 0, 16},
};

/* Sold to whom, or how, that a machine of ours is not. */
static const char *const others[] = {"Sole Tenancy", "Reserved", "Premium", "Custom", "uspended", "Commitment", "DWS", "Calendar", NULL};

struct gce_skus *gce_skus_new(void)
{
    struct gce_skus *s = weir_alloc(sizeof *s);
    *s = (struct gce_skus){.rates = {0}};
    return s;
}

void gce_skus_free(struct gce_skus *s)
{
    if (s != NULL) {
        weir_vec_release(&s->rates);
        weir_vec_release(&s->next);
        free(s);
    }
}

void gce_skus_begin(struct gce_skus *s)
{
    weir_vec_clear(&s->next);
}

void gce_skus_end(struct gce_skus *s)
{
    rate_vec old = s->rates;
    s->rates = s->next;
    s->next = (rate_vec){0};
    weir_vec_release(&old);
}

/* "core A2", "ram A2", "gpu Nvidia L4", "ssd": the part that a description is of; false where no type of ours has it. */
static bool read_part(struct weir_sv text, bool spot, char *ret, size_t size)
{
    struct weir_sv lead = WEIR_SV("Spot Preemptible ");
    for (const char *const *o = others; *o != NULL; o++) {
        if (memmem(text.p, text.n, *o, strlen(*o)) != NULL) {
            return false;
        }
    }
    if (spot && weir_sv_starts(text, lead)) {
        text = (struct weir_sv){text.p + lead.n, text.n - lead.n};
    }
    if (weir_sv_starts(text, WEIR_SV("SSD backed Local Storage"))) {
        return snprintf(ret, size, "ssd") > 0;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(families); i++) {
        char want[64];
        static const char *const of_host[][2] = {{"Core", "core"}, {"Ram", "ram"}};
        for (size_t k = 0; k < WEIR_ARRAY_LEN(of_host); k++) {
            (void)snprintf(want, sizeof want, "%s Instance %s ", families[i].host, of_host[k][0]);
            if (weir_sv_starts(text, weir_sv_of(want))) {
                return snprintf(ret, size, "%s %s", of_host[k][1], families[i].host) > 0;
            }
        }
        (void)snprintf(want, sizeof want, "%s GPU ", families[i].gpu);
        if (weir_sv_starts(text, weir_sv_of(want))) {
            return snprintf(ret, size, "gpu %s", families[i].gpu) > 0;
        }
    }
    return false;
}

/* The price of the first unit. 0 and *ret_why: it is none that can be used. */
static int64_t read_rate(const json_t *sku, const char **ret_why)
{
    const json_t *tell = json_object_get(json_array_get(json_object_get(sku, "pricingInfo"), 0), "pricingExpression");
    const json_t *unit = json_object_get(json_array_get(json_object_get(tell, "tieredRates"), 0), "unitPrice");
    const char *per = weir_rest_text(tell, "usageUnit");
    uint64_t units = 0;
    json_int_t nanos = json_integer_value(json_object_get(unit, "nanos"));
    bool by_month = weir_streq(per, "GiBy.mo");
    *ret_why = NULL;
    if (!by_month && !weir_streq(per, "h") && !weir_streq(per, "GiBy.h")) {
        *ret_why = "is not sold by the hour";
    } else if (!weir_streq(weir_rest_text(unit, "currencyCode"), "USD")) {
        *ret_why = "is not in USD";
    } else if (weir_parse_u64(weir_sv_of(weir_rest_text(unit, "units")), 0, 1000000, &units, NULL) < 0 || nanos < 0 || nanos >= 1000000000 ||
               (units == 0 && nanos == 0)) {
        *ret_why = "has no price";
    }
    int64_t nano = (int64_t)units * 1000000000 + (int64_t)nanos;
    return *ret_why != NULL ? 0 : by_month ? nano / HOURS_PER_MONTH : nano;
}

static int add_sku(struct gce_skus *s, const json_t *sku, void (*refused)(void *ctx, const char *text), void *ctx, struct weir_err *err)
{
    const char *text = weir_rest_text(sku, "description");
    const char *usage = weir_rest_text(json_object_get(sku, "category"), "usageType");
    const json_t *regions = json_object_get(sku, "serviceRegions");
    const char *why;
    struct rate rate = {.spot = weir_streq(usage, "Preemptible")};
    if ((!rate.spot && !weir_streq(usage, "OnDemand")) || !read_part(weir_sv_of(text), rate.spot, rate.part, sizeof rate.part)) {
        return 0;
    }
    rate.since = weir_rest_time(json_array_get(json_object_get(sku, "pricingInfo"), 0), "effectiveTime");
    rate.nano_per_hour = read_rate(sku, &why);
    if (why != NULL) {
        char told[160];
        (void)snprintf(told, sizeof told, "'%.100s' %s", text, why);
        refused(ctx, told);
        return 0;
    }
    for (size_t i = 0; i < json_array_size(regions); i++) {
        const char *region = json_string_value(json_array_get(regions, i));
        if (region == NULL || region[0] == '\0' || strlen(region) >= sizeof rate.region) {
            continue;
        }
        if (s->next.n == RATES_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "the price list has more than %d rates of machines with GPUs", RATES_MAX);
        }
        (void)snprintf(rate.region, sizeof rate.region, "%s", region);
        weir_vec_push(&s->next, rate);
    }
    return 0;
}

int gce_skus_read(struct gce_skus *s, const json_t *body, void (*refused)(void *ctx, const char *text), void *ctx, struct weir_err *err)
{
    const json_t *skus = json_object_get(body, "skus");
    int r = json_is_array(skus) ? 0 : weir_fail(err, -WEIR_EIO, "a price list without 'skus'");
    for (size_t i = 0; i < json_array_size(skus) && r == 0; i++) {
        r = add_sku(s, json_array_get(skus, i), refused, ctx, err);
    }
    return r;
}

/* -1 where it is not known. *since: not before that rate holds. */
static int64_t find_rate(const struct gce_skus *s, const char *kind, const char *of, struct weir_sv region, bool spot, struct weir_wall *since)
{
    char part[64];
    (void)snprintf(part, sizeof part, "%s%s%s", kind, of[0] != '\0' ? " " : "", of);
    for (size_t i = 0; i < s->rates.n; i++) {
        const struct rate *r = &s->rates.p[i];
        if (r->spot == spot && weir_streq(r->part, part) && weir_sv_eq(weir_sv_of(r->region), region)) {
            since->us = r->since.us > since->us ? r->since.us : since->us;
            return r->nano_per_hour;
        }
    }
    return -1;
}

int64_t gce_skus_price(const struct gce_skus *s, const char *type, struct weir_sv region, bool spot, uint32_t cpus, uint64_t mem_mib, uint32_t gpus,
                       struct weir_wall *ret_since)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(families); i++) {
        const struct family *f = &families[i];
        if (!weir_sv_starts(weir_sv_of(type), weir_sv_of(f->prefix))) {
            continue;
        }
        struct weir_wall since = {0};
        int64_t core = find_rate(s, "core", f->host, region, spot, &since);
        int64_t ram = find_rate(s, "ram", f->host, region, spot, &since);
        int64_t gpu = find_rate(s, "gpu", f->gpu, region, spot, &since);
        int64_t gib = (int64_t)(f->ssds + f->ssds_each * gpus) * LOCAL_SSD_GIB;
        int64_t ssd = gib > 0 ? find_rate(s, "ssd", "", region, spot, &since) : 0;
        if (core < 0 || ram < 0 || gpu < 0 || ssd < 0 || cpus > 4096 || mem_mib > 65536 * UINT64_C(1024) || gpus > 64) {
            return -1;
        }
        int64_t nano = core * cpus + ram / 1024 * (int64_t)mem_mib + ram % 1024 * (int64_t)mem_mib / 1024 + gpu * gpus + ssd * gib;
        *ret_since = since;
        return nano / 1000;
    }
    return -1;
}
