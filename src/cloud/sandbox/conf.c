/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/sandbox/conf.h"

#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"
#include "cloud/section.h"

static const char *const keys[] = {
    "boot_delay",
    "capacity",
    "gpu_capacity",
    "max_gpus",
    "mirror",
    "regions",
    "offers",
    "reclaim_after",
    "reclaim_chance_per_hour",
    "reclaim_notice",
    "seed",
    "price_every",
    "price_swing",
    "price_series",
    "page_size",
    "keep_disks",
    "currency",
    NULL,
};

static const char *const offer_keys[] = {
    "instance_type", "gpu", "gpus", "price", "spot_price", "region", "cpus", "memory", "bill_quantum", "currency", NULL,
};

static int bad(struct weir_err *err, const char *key, const char *want)
{
    return weir_section_bad(err, "sandbox", key, want);
}

static int get_gpu_capacity(struct sandbox_conf *c, const json_t *conf, struct weir_gpu_table *gpus,
                            struct weir_err *err)
{
    json_t *v = json_object_get(conf, "gpu_capacity");
    if (v == NULL) {
        return 0;
    }
    if (!json_is_object(v) || json_object_size(v) > SANDBOX_GPU_CAPACITIES_MAX) {
        return bad(err, "gpu_capacity", "must be an object such as {\"A100\": 16}");
    }
    const char *name;
    json_t *n;
    json_object_foreach(v, name, n)
    {
        uint16_t model = weir_gpu_table_find(gpus, weir_sv_of(name));
        if (model == WEIR_GPU_MODEL_ANY) {
            const char *near = weir_nearest(weir_sv_of(name), weir_gpu_table_names(gpus));
            return weir_fail(err, -WEIR_ECONFIG, "sandbox.gpu_capacity: no GPU '%.48s' is known%s%s%s", name,
                             near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                             near != NULL ? "'?" : "");
        }
        if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) > 1000000) {
            return bad(err, "gpu_capacity", "each must be a number of GPUs");
        }
        c->gpu_capacity[c->n_gpu_capacities++] = (struct sandbox_gpu_capacity){model, (uint32_t)json_integer_value(n)};
    }
    return 0;
}

/* Names and sizes; where is the row, for errors. */
static int get_own_machine(struct weir_offer *o, const json_t *v, const char *where, struct weir_gpu_table *gpus, struct weir_err *err)
{
    const json_t *gpu = json_object_get(v, "gpu");
    (void)snprintf(o->region, sizeof o->region, "here");
    int r = weir_section_text(v, where, "instance_type", o->instance_type, sizeof o->instance_type, err);
    if (r == 0 && o->instance_type[0] == '\0') {
        r = weir_section_bad(err, where, "instance_type", "is missing: any name will do");
    }
    r = r < 0 ? r : weir_section_text(v, where, "region", o->region, sizeof o->region, err);
    uint32_t n_gpus = gpu == NULL ? 0 : 1;
    r = r < 0 ? r : weir_section_u32(v, where, "gpus", 0, WEIR_NODE_GPUS_MAX, &n_gpus, err);
    if (r < 0) {
        return r;
    }
    o->gpus = (uint16_t)n_gpus;
    o->gpu_model = WEIR_GPU_MODEL_ANY;
    if (n_gpus > 0) {
        o->gpu_model = weir_gpu_table_intern(gpus, weir_sv_of(json_string_value(gpu)));
        if (o->gpu_model == WEIR_GPU_MODEL_ANY) {
            return weir_section_bad(err, where, "gpu", "must be a GPU's name");
        }
        o->gpu_mem_mib = weir_gpu_table_get(gpus, o->gpu_model)->mem_mib;
    }
    uint32_t cpus = 4;
    r = weir_section_u32(v, where, "cpus", 1, 1024, &cpus, err);
    o->cpu_milli = cpus * 1000;
    uint64_t bytes = UINT64_C(16) << 30;
    r = r < 0 ? r : weir_section_bytes(v, where, "memory", UINT64_C(1) << 30, &bytes, err);
    o->mem_mib = bytes >> 20;
    return r;
}

/* Its prices are in its own currency, else the list's. */
static int get_own_offer(struct weir_offer *o, int64_t *ret_spot, const json_t *v, const char *where, struct weir_gpu_table *gpus, struct weir_err *err)
{
    if (!json_is_object(v)) {
        return weir_fail(err, -WEIR_ECONFIG, "%s: must be a mapping such as {instance_type: small, gpu: A100, gpus: 1, price: 1.20}", where);
    }
    int r = weir_section_check(v, where, offer_keys, err);
    r = r < 0 ? r : get_own_machine(o, v, where, gpus, err);
    o->bill_quantum = weir_dur_s(1);
    r = r < 0 ? r : weir_section_duration(v, where, "bill_quantum", &o->bill_quantum, err);
    r = r < 0 ? r : weir_section_price(v, where, "price", &o->price_micro_per_hour, err);
    r = r < 0 ? r : weir_section_price(v, where, "spot_price", ret_spot, err);
    r = r < 0 ? r : weir_section_currency(v, where, o->currency, err);
    if (r == 0 && o->price_micro_per_hour == 0) {
        return weir_section_bad(err, where, "price", "is missing: what an hour of it costs, such as 1.20");
    }
    o->bill_minimum = o->bill_quantum;
    (void)snprintf(o->source, sizeof o->source, "sandbox: the configuration");
    return r;
}

static int get_own_offers(struct sandbox_conf *c, const json_t *conf, struct weir_gpu_table *gpus, struct weir_err *err)
{
    const json_t *v = json_object_get(conf, "offers");
    char currency[WEIR_CURRENCY_SIZE] = "";
    int r = weir_section_currency(conf, "sandbox", currency, err);
    if (r < 0 || v == NULL) {
        return r;
    }
    if (!json_is_array(v) || json_array_size(v) > SANDBOX_OWN_OFFERS_MAX / 2) {
        return bad(err, "offers", "must be a list of at most 32 offers");
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        struct weir_offer o = {.market = WEIR_OFFER_ON_DEMAND};
        int64_t spot = 0;
        char where[40];
        (void)snprintf(where, sizeof where, "sandbox.offers[%zu]", i);
        memcpy(o.currency, currency, sizeof o.currency);
        r = get_own_offer(&o, &spot, json_array_get(v, i), where, gpus, err);
        if (r < 0) {
            return r;
        }
        c->own[c->n_own++] = o;
        if (spot > 0) {
            o.market = WEIR_OFFER_SPOT;
            o.price_micro_per_hour = spot;
            o.reclaim_notice = weir_dur_s(30);
            c->own[c->n_own++] = o;
        }
    }
    return 0;
}

static int get_reclaim(struct sandbox_conf *c, const json_t *conf, struct weir_err *err)
{
    int r = weir_section_duration(conf, "sandbox", "reclaim_after", &c->reclaim_after, err);
    const json_t *notice = json_object_get(conf, "reclaim_notice");
    bool empty = json_is_string(notice) && json_string_length(notice) == 0;
    if (r == 0 && notice != NULL && !empty) {
        c->has_notice = true;
        r = weir_section_duration(conf, "sandbox", "reclaim_notice", &c->reclaim_notice, err);
    }
    int64_t ppm = c->reclaim_ppm_per_hour;
    r = r < 0 ? r : weir_section_decimal(conf, "sandbox", "reclaim_chance_per_hour", 6, 0, 1000000, &ppm, err);
    c->reclaim_ppm_per_hour = (uint32_t)ppm;
    return r;
}

static int get_series(struct sandbox_market *m, const json_t *conf, struct weir_err *err)
{
    const json_t *v = json_object_get(conf, "price_series");
    if (v == NULL) {
        return 0;
    }
    if (!json_is_array(v) || json_array_size(v) == 0 || json_array_size(v) > SANDBOX_SERIES_MAX) {
        return bad(err, "price_series", "must be a list of 1 to 1024 factors on the spot price");
    }
    int r = 0;
    for (size_t i = 0; i < json_array_size(v) && r == 0; i++) {
        json_t *one = json_pack("{s:O}", "price_series", json_array_get(v, i));
        int64_t factor = 0;
        r = weir_section_decimal(one, "sandbox", "price_series", 6, 1, SANDBOX_FACTOR_MAX_PPM, &factor, err);
        r = r == 0 && factor == 0 ? bad(err, "price_series", "each must be a factor above 0") : r;
        m->factor_ppm[m->n_factors++] = factor;
        json_decref(one);
    }
    return r;
}

static int get_market(struct sandbox_conf *c, const json_t *conf, struct weir_err *err)
{
    struct sandbox_market *m = &c->market;
    int r = weir_section_duration(conf, "sandbox", "price_every", &m->every, err);
    if (r == 0 && m->every.us > 0 && m->every.us < WEIR_US_PER_S) {
        r = bad(err, "price_every", "must be 0s (prices stay) or at least 1s");
    }
    r = r < 0 ? r : weir_section_decimal(conf, "sandbox", "price_swing", 6, 0, 900000, &m->swing_ppm, err);
    r = r < 0 ? r : get_series(m, conf, err);
    bool is_moved = json_object_get(conf, "price_swing") != NULL || m->n_factors > 0;
    if (r == 0 && is_moved && m->every.us == 0) {
        r = bad(err, "price_every", "must say how long a price holds, as price_swing or price_series is given");
    }
    if (r == 0 && m->n_factors > 0 && json_object_get(conf, "price_swing") != NULL) {
        r = bad(err, "price_swing", "does not go with price_series: prices move by chance, or as they are told");
    }
    m->seed = c->seed;
    return r;
}

int sandbox_conf_read(struct sandbox_conf *ret, const struct json_t *conf, struct weir_gpu_table *gpus,
                      struct weir_err *err)
{
    struct sandbox_conf c = {.boot_delay = weir_dur_s(2),
                             .capacity = 16,
                             .max_gpus = 8,
                             .mirror = {"aws", "gcp", "runpod"},
                             .n_mirrors = 3,
                             .seed = 1,
                             .market = {.swing_ppm = 300000},
                             .page_size = 100};
    int r = weir_section_check(conf, "sandbox", keys, err);
    r = r < 0 ? r : weir_section_duration(conf, "sandbox", "boot_delay", &c.boot_delay, err);
    r = r < 0 ? r : weir_section_u32(conf, "sandbox", "capacity", 0, SANDBOX_MACHINES_MAX, &c.capacity, err);
    r = r < 0 ? r : get_gpu_capacity(&c, conf, gpus, err);
    r = r < 0 ? r : weir_section_u32(conf, "sandbox", "max_gpus", 0, WEIR_NODE_GPUS_MAX, &c.max_gpus, err);
    r = r < 0 ? r : weir_section_names(conf, "sandbox", "mirror", c.mirror[0], sizeof c.mirror[0], SANDBOX_NAMES_MAX, &c.n_mirrors, err);
    r = r < 0 ? r : weir_section_names(conf, "sandbox", "regions", c.region[0], sizeof c.region[0], SANDBOX_NAMES_MAX, &c.n_regions, err);
    r = r < 0 ? r : get_own_offers(&c, conf, gpus, err);
    r = r < 0 ? r : get_reclaim(&c, conf, err);
    r = r < 0 ? r : weir_section_u64(conf, "sandbox", "seed", 0, INT64_MAX, &c.seed, err);
    r = r < 0 ? r : get_market(&c, conf, err);
    r = r < 0 ? r : weir_section_u32(conf, "sandbox", "page_size", 1, 1000, &c.page_size, err);
    r = r < 0 ? r : weir_section_bool(conf, "sandbox", "keep_disks", &c.keep_disks, err);
    if (r == 0) {
        *ret = c;
    }
    return r;
}
