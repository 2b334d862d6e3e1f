/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/sandbox/conf.h"

#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/parse.h"

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
    "page_size",
    "keep_disks",
    NULL,
};

static const char *const offer_keys[] = {
    "instance_type", "gpu", "gpus", "price", "spot_price", "region", "cpus", "memory", "bill_quantum", NULL,
};

static int bad(struct weir_err *err, const char *key, const char *want)
{
    return weir_fail(err, -WEIR_ECONFIG, "sandbox.%s: %s", key, want);
}

static int check_keys(const json_t *object, const char *where, const char *const *known, struct weir_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const char *const *k = known;
        while (*k != NULL && !weir_streq(*k, key)) {
            k++;
        }
        if (*k == NULL) {
            const char *near = weir_nearest(weir_sv_of(key), known);
            return weir_fail(err, -WEIR_ECONFIG, "%s: unknown key '%.64s'%s%s%s", where, key,
                             near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                             near != NULL ? "'?" : "");
        }
    }
    return 0;
}

/* A string or a number, as text; false where it is neither. */
static bool as_text(const json_t *v, char *ret, size_t size)
{
    int n = -1;
    if (json_is_string(v)) {
        n = snprintf(ret, size, "%s", json_string_value(v));
    } else if (json_is_integer(v)) {
        n = snprintf(ret, size, "%lld", (long long)json_integer_value(v));
    } else if (json_is_real(v)) {
        n = snprintf(ret, size, "%.6f", json_real_value(v));
    }
    return n >= 0 && (size_t)n < size;
}

static int get_duration(const json_t *conf, const char *key, struct weir_dur *ret, struct weir_err *err)
{
    const json_t *v = json_object_get(conf, key);
    if (v == NULL) {
        return 0;
    }
    char text[64];
    struct weir_err why;
    struct weir_dur d;
    if (!as_text(v, text, sizeof text)) {
        return bad(err, key, "must be a duration such as \"30s\"");
    }
    if (weir_parse_duration(weir_sv_of(text), &d, &why) < 0) {
        return bad(err, key, why.text);
    }
    if (d.us > 365 * WEIR_US_PER_DAY) {
        return bad(err, key, "must be at most 365d");
    }
    *ret = d;
    return 0;
}

static int get_u64(const json_t *conf, const char *key, uint64_t min, uint64_t max, uint64_t *ret, struct weir_err *err)
{
    const json_t *v = json_object_get(conf, key);
    if (v == NULL) {
        return 0;
    }
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) < min ||
        (uint64_t)json_integer_value(v) > max) {
        char want[96];
        (void)snprintf(want, sizeof want, "must be a whole number from %llu to %llu", (unsigned long long)min,
                       (unsigned long long)max);
        return bad(err, key, want);
    }
    *ret = (uint64_t)json_integer_value(v);
    return 0;
}

static int get_u32(const json_t *conf, const char *key, uint32_t min, uint32_t max, uint32_t *ret, struct weir_err *err)
{
    uint64_t v = *ret;
    int r = get_u64(conf, key, min, max, &v, err);
    *ret = (uint32_t)v;
    return r;
}

/* A list of short names into rows of `size` bytes each. */
static int get_names(const json_t *conf, const char *key, char *ret, size_t size, size_t *ret_n, struct weir_err *err)
{
    const json_t *v = json_object_get(conf, key);
    if (v == NULL) {
        return 0;
    }
    if (!json_is_array(v) || json_array_size(v) > SANDBOX_NAMES_MAX) {
        return bad(err, key, "must be a list of at most 16 names");
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *e = json_array_get(v, i);
        if (!json_is_string(e) || json_string_length(e) == 0 || json_string_length(e) >= size) {
            return bad(err, key, "each must be a short name");
        }
        memcpy(ret + i * size, json_string_value(e), json_string_length(e) + 1);
    }
    *ret_n = json_array_size(v);
    return 0;
}

static int get_money(const json_t *conf, const char *where, const char *key, int64_t *ret, struct weir_err *err)
{
    const json_t *v = json_object_get(conf, key);
    char text[64];
    int64_t micro;
    if (v == NULL) {
        return 0;
    }
    if (!as_text(v, text, sizeof text) || weir_parse_money(weir_sv_of(text), &micro, NULL) < 0 || micro <= 0 ||
        micro > INT64_C(100000000000)) {
        return weir_fail(err, -WEIR_ECONFIG, "sandbox.%s.%s: must be a price per hour above 0", where, key);
    }
    *ret = micro;
    return 0;
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

static int get_own_offer(struct weir_offer *o, int64_t *ret_spot, const json_t *v, struct weir_gpu_table *gpus,
                         struct weir_err *err)
{
    int r = json_is_object(v) ? check_keys(v, "sandbox.offers", offer_keys, err)
                              : bad(err, "offers", "each must be an object");
    if (r < 0) {
        return r;
    }
    const json_t *type = json_object_get(v, "instance_type");
    const json_t *region = json_object_get(v, "region");
    const json_t *gpu = json_object_get(v, "gpu");
    if (!json_is_string(type) || json_string_length(type) == 0 || json_string_length(type) >= sizeof o->instance_type) {
        return bad(err, "offers.instance_type", "must be a name of at most 47 bytes");
    }
    if (region != NULL && (!json_is_string(region) || json_string_length(region) == 0 ||
                           json_string_length(region) >= sizeof o->region)) {
        return bad(err, "offers.region", "must be a name of at most 31 bytes");
    }
    (void)snprintf(o->instance_type, sizeof o->instance_type, "%s", json_string_value(type));
    (void)snprintf(o->region, sizeof o->region, "%s", region == NULL ? "here" : json_string_value(region));
    uint32_t n_gpus = gpu == NULL ? 0 : 1;
    r = get_u32(v, "gpus", 0, WEIR_NODE_GPUS_MAX, &n_gpus, err);
    if (r < 0) {
        return weir_fail_prefix(err, r, "offers");
    }
    o->gpus = (uint16_t)n_gpus;
    o->gpu_model = WEIR_GPU_MODEL_ANY;
    if (n_gpus > 0) {
        o->gpu_model = weir_gpu_table_intern(gpus, weir_sv_of(json_string_value(gpu)));
        if (o->gpu_model == WEIR_GPU_MODEL_ANY) {
            return bad(err, "offers.gpu", "must be a GPU's name");
        }
        o->gpu_mem_mib = weir_gpu_table_get(gpus, o->gpu_model)->mem_mib;
    }
    uint32_t cpus = 4;
    r = get_u32(v, "cpus", 1, 1024, &cpus, err);
    o->cpu_milli = cpus * 1000;
    char text[64];
    uint64_t bytes = UINT64_C(16) << 30;
    const json_t *memory = json_object_get(v, "memory");
    if (r == 0 && memory != NULL &&
        (!as_text(memory, text, sizeof text) ||
         weir_parse_bytes(weir_sv_of(text), UINT64_C(1) << 30, &bytes, NULL) < 0)) {
        return bad(err, "offers.memory", "must be a size such as \"16G\"");
    }
    o->mem_mib = bytes >> 20;
    o->bill_quantum = weir_dur_s(1);
    r = r < 0 ? r : get_duration(v, "bill_quantum", &o->bill_quantum, err);
    r = r < 0 ? r : get_money(v, "offers", "price", &o->price_micro_per_hour, err);
    r = r < 0 ? r : get_money(v, "offers", "spot_price", ret_spot, err);
    if (r == 0 && o->price_micro_per_hour == 0) {
        return bad(err, "offers.price", "is missing");
    }
    o->bill_minimum = o->bill_quantum;
    (void)snprintf(o->source, sizeof o->source, "sandbox: the configuration");
    return r;
}

static int get_own_offers(struct sandbox_conf *c, const json_t *conf, struct weir_gpu_table *gpus, struct weir_err *err)
{
    const json_t *v = json_object_get(conf, "offers");
    if (v == NULL) {
        return 0;
    }
    if (!json_is_array(v) || json_array_size(v) > SANDBOX_OWN_OFFERS_MAX / 2) {
        return bad(err, "offers", "must be a list of at most 32 offers");
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        struct weir_offer o = {.market = WEIR_OFFER_ON_DEMAND};
        int64_t spot = 0;
        int r = get_own_offer(&o, &spot, json_array_get(v, i), gpus, err);
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
    int r = get_duration(conf, "reclaim_after", &c->reclaim_after, err);
    const json_t *notice = json_object_get(conf, "reclaim_notice");
    bool empty = json_is_string(notice) && json_string_length(notice) == 0;
    if (r == 0 && notice != NULL && !empty) {
        c->has_notice = true;
        r = get_duration(conf, "reclaim_notice", &c->reclaim_notice, err);
    }
    const json_t *chance = json_object_get(conf, "reclaim_chance_per_hour");
    char text[64];
    int64_t ppm;
    if (r == 0 && chance != NULL) {
        if (!as_text(chance, text, sizeof text) || weir_parse_decimal(weir_sv_of(text), 6, &ppm, NULL) < 0 || ppm < 0 ||
            ppm > 1000000) {
            return bad(err, "reclaim_chance_per_hour", "must be a number from 0 to 1");
        }
        c->reclaim_ppm_per_hour = (uint32_t)ppm;
    }
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
                             .page_size = 100};
    if (conf == NULL) {
        *ret = c;
        return 0;
    }
    if (!json_is_object(conf)) {
        return weir_fail(err, -WEIR_ECONFIG, "sandbox: must be an object");
    }
    int r = check_keys(conf, "sandbox", keys, err);
    r = r < 0 ? r : get_duration(conf, "boot_delay", &c.boot_delay, err);
    r = r < 0 ? r : get_u32(conf, "capacity", 0, SANDBOX_MACHINES_MAX, &c.capacity, err);
    r = r < 0 ? r : get_gpu_capacity(&c, conf, gpus, err);
    r = r < 0 ? r : get_u32(conf, "max_gpus", 0, WEIR_NODE_GPUS_MAX, &c.max_gpus, err);
    r = r < 0 ? r : get_names(conf, "mirror", c.mirror[0], sizeof c.mirror[0], &c.n_mirrors, err);
    r = r < 0 ? r : get_names(conf, "regions", c.region[0], sizeof c.region[0], &c.n_regions, err);
    r = r < 0 ? r : get_own_offers(&c, conf, gpus, err);
    r = r < 0 ? r : get_reclaim(&c, conf, err);
    r = r < 0 ? r : get_u64(conf, "seed", 0, INT64_MAX, &c.seed, err);
    r = r < 0 ? r : get_u32(conf, "page_size", 1, 1000, &c.page_size, err);
    if (r < 0) {
        return r;
    }
    const json_t *keep = json_object_get(conf, "keep_disks");
    if (keep != NULL && !json_is_boolean(keep)) {
        return bad(err, "keep_disks", "must be true or false");
    }
    c.keep_disks = json_is_true(keep);
    *ret = c;
    return 0;
}
