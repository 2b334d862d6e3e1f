/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SkyPilot's catalogue columns, as its vms.csv files have had them over the years: InstanceType,
 * AcceleratorName, AcceleratorCount, vCPUs, MemoryGiB, GpuInfo, Price, SpotPrice, Region,
 * AvailabilityZone, Arch. Only what a price needs must be there; unknown columns are passed over,
 * since the files gain some from time to time. A row without an instance type gives the price of the
 * accelerators alone and is kept as such.
 */

#include <stdio.h>

#include "base/parse.h"
#include "cloud/catalogue.h"
#include "cloud/catalogue_priv.h"

enum sky_column {
    SKY_TYPE,
    SKY_ACCELERATOR,
    SKY_COUNT,
    SKY_VCPUS,
    SKY_MEMORY,
    SKY_GPU_INFO,
    SKY_PRICE,
    SKY_SPOT_PRICE,
    SKY_REGION,
    SKY_ZONE,
    SKY_MAX,
};

static const struct {
    const char *name;
    bool required;
} sky_column[SKY_MAX] = {
    [SKY_TYPE] = {"InstanceType", true},
    [SKY_ACCELERATOR] = {"AcceleratorName", true},
    [SKY_COUNT] = {"AcceleratorCount", true},
    [SKY_VCPUS] = {"vCPUs", false},
    [SKY_MEMORY] = {"MemoryGiB", false},
    [SKY_GPU_INFO] = {"GpuInfo", false},
    [SKY_PRICE] = {"Price", true},
    [SKY_SPOT_PRICE] = {"SpotPrice", false},
    [SKY_REGION] = {"Region", true},
    [SKY_ZONE] = {"AvailabilityZone", false},
};

#define SKY_PRICE_MAX_MICRO INT64_C(100000000000)
#define SKY_SIZE_MAX_MICRO INT64_C(100000000000)

static int sky_header(struct weir_csv *csv, const char *file, size_t *ret_index, struct weir_err *err)
{
    int r = weir_csv_next(csv, err);
    if (r < 0) {
        return weir_fail_prefix(err, r, "%s:%u", file, csv->record_line);
    }
    for (size_t i = 0; i < SKY_MAX; i++) {
        ret_index[i] = SIZE_MAX;
        for (size_t f = 0; f < csv->n_fields; f++) {
            if (weir_sv_eq(csv->field[f], weir_sv_of(sky_column[i].name))) {
                ret_index[i] = f;
            }
        }
        if (ret_index[i] == SIZE_MAX && sky_column[i].required) {
            return weir_fail(err, -WEIR_EINVAL,
                             "%s: column '%s' is missing: not a file in SkyPilot's catalogue columns", file,
                             sky_column[i].name);
        }
    }
    return 0;
}

/* Memory of one GPU out of GpuInfo, which is a Python literal or JSON: the number after SizeInMiB. */
static uint32_t memory_of_info(struct weir_sv info)
{
    static const char key[] = "SizeInMiB";
    const char *p = info.n == 0 ? NULL : memmem(info.p, info.n, key, sizeof key - 1);
    if (p == NULL) {
        return 0;
    }
    const char *end = info.p + info.n;
    p += sizeof key - 1;
    while (p < end && (*p == '\'' || *p == '"' || *p == ':' || *p == ' ')) {
        p++;
    }
    const char *digits = p;
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }
    uint64_t mib;
    int r = weir_parse_u64((struct weir_sv){digits, (size_t)(p - digits)}, 0, 16 << 20, &mib, NULL);
    return r < 0 ? 0 : (uint32_t)mib;
}

static int sky_count(struct weir_sv s, uint16_t *ret, struct weir_err *err)
{
    int64_t micro;
    int r = weir_catalogue_decimal("AcceleratorCount", s, SKY_SIZE_MAX_MICRO, &micro, err);
    if (r < 0) {
        return r;
    }
    if (micro <= 0 || micro % WEIR_MICRO_PER_UNIT != 0 || micro / WEIR_MICRO_PER_UNIT > WEIR_NODE_GPUS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "AcceleratorCount '%.*s' is not a whole number from 1 to %d",
                         WEIR_SV_ARG(s), WEIR_NODE_GPUS_MAX);
    }
    *ret = (uint16_t)(micro / WEIR_MICRO_PER_UNIT);
    return 0;
}

static int sky_size(const char *what, struct weir_sv s, int64_t unit, int64_t *ret, struct weir_err *err)
{
    int64_t micro = 0;
    if (s.n > 0) {
        int r = weir_catalogue_decimal(what, s, SKY_SIZE_MAX_MICRO, &micro, err);
        if (r < 0 || micro < 0) {
            return r < 0 ? r : weir_fail(err, -WEIR_EINVAL, "%s is negative", what);
        }
    }
    *ret = weir_mul_div_sat(micro, unit, WEIR_MICRO_PER_UNIT);
    return 0;
}

/* Everything but market and price. */
static int sky_offer(struct weir_catalogue *c, const struct weir_sv *f, struct catalogue_row *row, struct weir_err *err)
{
    struct weir_offer *o = &row->offer;
    int r = sky_count(f[SKY_COUNT], &o->gpus, err);
    r = r < 0 ? r : weir_catalogue_text("Region", f[SKY_REGION], false, o->region, sizeof o->region, err);
    r = r < 0 ? r : weir_catalogue_text("AvailabilityZone", f[SKY_ZONE], true, o->zone, sizeof o->zone, err);
    if (r < 0) {
        return r;
    }
    row->basis = WEIR_PRICE_LIST;
    char type[128];
    struct weir_sv name = f[SKY_TYPE];
    if (name.n == 0) {
        row->basis = WEIR_PRICE_ACCELERATOR;
        (void)snprintf(type, sizeof type, "%.*s:%u", (int)(f[SKY_ACCELERATOR].n > 64 ? 64 : f[SKY_ACCELERATOR].n),
                       f[SKY_ACCELERATOR].p, (unsigned)o->gpus);
        name = weir_sv_of(type);
    }
    r = weir_catalogue_text("InstanceType", name, false, o->instance_type, sizeof o->instance_type, err);
    if (r < 0) {
        return r;
    }
    o->gpu_model = weir_gpu_table_intern(c->gpus, f[SKY_ACCELERATOR]);
    if (o->gpu_model == WEIR_GPU_MODEL_ANY) {
        return weir_fail(err, -WEIR_EINVAL, "'%.*s' is not a GPU's name, or there are too many",
                         WEIR_SV_ARG(f[SKY_ACCELERATOR]));
    }
    o->gpu_mem_mib = memory_of_info(f[SKY_GPU_INFO]);
    int64_t cpu_milli = 0;
    int64_t mem_mib = 0;
    r = sky_size("vCPUs", f[SKY_VCPUS], 1000, &cpu_milli, err);
    r = r < 0 ? r : sky_size("MemoryGiB", f[SKY_MEMORY], 1024, &mem_mib, err);
    if (r < 0) {
        return r;
    }
    o->cpu_milli = (uint32_t)cpu_milli;
    o->mem_mib = (uint64_t)mem_mib;
    return 0;
}

/* One market of the row; an empty price means that there is none. Returns 1 where a row was made. */
static int sky_market(struct weir_catalogue *c, const struct catalogue_row *base, enum weir_market market,
                      struct weir_sv price, struct weir_err *err)
{
    if (price.n == 0) {
        return 0;
    }
    struct catalogue_row row = *base;
    row.offer.market = (uint8_t)market;
    struct weir_err why;
    int r = weir_catalogue_decimal(market == WEIR_OFFER_SPOT ? "SpotPrice" : "Price", price, SKY_PRICE_MAX_MICRO,
                                   &row.offer.price_micro_per_hour, &why);
    if (r < 0) {
        weir_catalogue_complain(c, row.file, row.line, "%s", why.text);
        return 0;
    }
    if (row.offer.price_micro_per_hour <= 0) {
        row.refusal = WEIR_PRICE_REFUSED_NO_PRICE;
        (void)snprintf(row.text, sizeof row.text, "a price of %.*s is not a price", WEIR_SV_ARG(price));
    } else {
        weir_catalogue_exchange(c, WEIR_SV("USD"), &row); /* such lists are in USD */
    }
    r = weir_catalogue_keep(c, &row, err);
    return r < 0 ? r : 1;
}

static int sky_record(struct weir_catalogue *c, const struct weir_sv *f, struct catalogue_row *row,
                      struct weir_err *err)
{
    struct weir_err why;
    if (sky_offer(c, f, row, &why) < 0) {
        weir_catalogue_complain(c, row->file, row->line, "%s", why.text);
        return 0;
    }
    int a = sky_market(c, row, WEIR_OFFER_ON_DEMAND, f[SKY_PRICE], err);
    int b = a < 0 ? a : sky_market(c, row, WEIR_OFFER_SPOT, f[SKY_SPOT_PRICE], err);
    return b < 0 ? b : a + b;
}

int weir_catalogue_load_skypilot(struct weir_catalogue *c, const char *name, struct weir_sv text, const char *provider,
                                 const char *source, struct weir_wall as_of, size_t *ret_taken, struct weir_err *err)
{
    WEIR_ASSERT(!c->sealed);
    struct catalogue_row base = {.offer = {.as_of = as_of}};
    int r = weir_catalogue_text("the provider's name", weir_sv_of(provider), false, base.offer.provider,
                                sizeof base.offer.provider, err);
    r = r < 0 ? r
              : weir_catalogue_text("the source", weir_sv_of(source), false, base.offer.source,
                                    sizeof base.offer.source, err);
    if (r == 0 && text.n > WEIR_CATALOGUE_FILE_BYTES_MAX) {
        r = weir_fail(err, -WEIR_ELIMIT, "%s: larger than %d bytes", name, WEIR_CATALOGUE_FILE_BYTES_MAX);
    }
    r = r < 0 ? r : weir_catalogue_file(c, name, &base.file, err);
    if (r < 0) {
        return r;
    }
    WEIR_CLEANUP(weir_csv_release) struct weir_csv csv;
    weir_csv_init(&csv, text);
    size_t index[SKY_MAX];
    r = sky_header(&csv, name, index, err);
    if (r < 0) {
        return r;
    }
    size_t columns = csv.n_fields;
    size_t taken = 0;
    struct weir_err why;
    while ((r = weir_csv_next(&csv, &why)) != 0) {
        if (r > 0 && csv.n_fields != columns) {
            r = weir_fail(&why, -WEIR_EINVAL, "%zu fields where the header has %zu", csv.n_fields, columns);
        }
        if (r < 0) {
            weir_catalogue_complain(c, base.file, csv.record_line, "%s", why.text);
            continue;
        }
        struct weir_sv f[SKY_MAX];
        for (size_t i = 0; i < SKY_MAX; i++) {
            f[i] = index[i] == SIZE_MAX ? (struct weir_sv){"", 0} : csv.field[index[i]];
        }
        if (f[SKY_ACCELERATOR].n == 0) {
            continue; /* a machine without a GPU */
        }
        struct catalogue_row row = base;
        row.line = csv.record_line;
        r = sky_record(c, f, &row, err);
        if (r < 0) {
            return r;
        }
        taken += (size_t)r;
    }
    *ret_taken = taken;
    return 0;
}
