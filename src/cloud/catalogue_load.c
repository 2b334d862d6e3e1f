/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the catalogue's own files. A row is either taken whole or refused with its line. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "cloud/catalogue.h"
#include "cloud/catalogue_priv.h"

enum row_column {
    COL_PROVIDER,
    COL_TYPE,
    COL_REGION,
    COL_ZONE,
    COL_GPU,
    COL_GPUS,
    COL_GPU_MEM,
    COL_VCPUS,
    COL_MEMORY,
    COL_MARKET,
    COL_PRICE,
    COL_CURRENCY,
    COL_BASIS,
    COL_RECLAIM,
    COL_SOURCE,
    COL_DATE,
    COL_MAX,
};

static const char *const row_column_name[COL_MAX + 1] = {
    [COL_PROVIDER] = "provider",
    [COL_TYPE] = "instance_type",
    [COL_REGION] = "region",
    [COL_ZONE] = "zone",
    [COL_GPU] = "gpu",
    [COL_GPUS] = "gpus",
    [COL_GPU_MEM] = "gpu_mem_mib",
    [COL_VCPUS] = "vcpus",
    [COL_MEMORY] = "memory_gib",
    [COL_MARKET] = "market",
    [COL_PRICE] = "price_per_hour",
    [COL_CURRENCY] = "currency",
    [COL_BASIS] = "basis",
    [COL_RECLAIM] = "reclaim_ppm_per_hour",
    [COL_SOURCE] = "source",
    [COL_DATE] = "date",
};

enum provider_column {
    PCOL_PROVIDER,
    PCOL_QUANTUM,
    PCOL_MINIMUM,
    PCOL_BOOT,
    PCOL_NOTICE,
    PCOL_RECLAIM,
    PCOL_EGRESS,
    PCOL_ASSUMED,
    PCOL_SOURCE,
    PCOL_DATE,
    PCOL_MAX,
};

static const char *const provider_column_name[PCOL_MAX + 1] = {
    [PCOL_PROVIDER] = "provider",     [PCOL_QUANTUM] = "bill_quantum",
    [PCOL_MINIMUM] = "bill_minimum",  [PCOL_BOOT] = "boot_expected",
    [PCOL_NOTICE] = "reclaim_notice", [PCOL_RECLAIM] = "reclaim_ppm_per_hour",
    [PCOL_EGRESS] = "egress_per_gib", [PCOL_ASSUMED] = "assumed",
    [PCOL_SOURCE] = "source",         [PCOL_DATE] = "date",
};

/* As for prices. */
#define MEMORY_MAX_GIB_MICRO INT64_C(1000000000000)
#define VCPUS_MAX_MICRO INT64_C(100000000000)
enum { GPUS_MAX = WEIR_NODE_GPUS_MAX, FOREIGN_FACTOR = 100000 /* a unit of another currency may be worth little */ };

int weir_catalogue_text(const char *what, struct weir_sv s, bool may_be_empty, char *ret, size_t size,
                        struct weir_err *err)
{
    if (s.n == 0 && !may_be_empty) {
        return weir_fail(err, -WEIR_EINVAL, "%s is missing", what);
    }
    if (s.n >= size) {
        return weir_fail(err, -WEIR_ELIMIT, "%s '%.*s' is longer than %zu bytes", what, (int)(s.n > 32 ? 32 : s.n), s.p,
                         size - 1);
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n' || s.p[i] == '\t') {
            return weir_fail(err, -WEIR_EINVAL, "%s has a line end or tab in it", what);
        }
    }
    memset(ret, 0, size);
    if (s.n > 0) {
        memcpy(ret, s.p, s.n);
    }
    return 0;
}

int weir_catalogue_decimal(const char *what, struct weir_sv s, int64_t max, int64_t *ret_micro, struct weir_err *err)
{
    struct weir_sv cut = s;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '.') {
            continue;
        }
        for (size_t k = i + 1; k < s.n; k++) {
            if (s.p[k] < '0' || s.p[k] > '9') {
                return weir_fail(err, -WEIR_EINVAL, "%s '%.*s' is not a number", what, WEIR_SV_ARG(s));
            }
        }
        cut.n = s.n - i > 7 ? i + 7 : s.n;
        break;
    }
    int64_t v;
    int r = weir_parse_decimal(cut, 6, &v, NULL);
    if (r < 0) {
        return weir_fail(err, r, "%s '%.*s' is not a number", what, WEIR_SV_ARG(s));
    }
    if (v > max || v < -max) {
        return weir_fail(err, -WEIR_EOVERFLOW, "%s '%.*s' is out of range", what, WEIR_SV_ARG(s));
    }
    *ret_micro = v;
    return 0;
}

/* Finds each column of names in the header; all must be there. */
static int read_header(struct weir_csv *csv, const char *file, const char *const *names, size_t n_names,
                       size_t *ret_index, struct weir_err *err)
{
    int r = weir_csv_next(csv, err);
    if (r < 0) {
        return weir_fail_prefix(err, r, "%s:%u", file, csv->record_line);
    }
    for (size_t i = 0; i < n_names; i++) {
        ret_index[i] = SIZE_MAX;
    }
    for (size_t f = 0; f < csv->n_fields; f++) {
        size_t i = 0;
        while (i < n_names && !weir_sv_eq(csv->field[f], weir_sv_of(names[i]))) {
            i++;
        }
        if (i == n_names) {
            const char *near = weir_nearest(csv->field[f], names);
            return weir_fail(err, -WEIR_EINVAL, "%s:%u: unknown column '%.*s'%s%s%s", file, csv->record_line,
                             WEIR_SV_ARG(csv->field[f]), near != NULL ? "; did you mean '" : "",
                             near != NULL ? near : "", near != NULL ? "'?" : "");
        }
        if (ret_index[i] != SIZE_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "%s:%u: column '%s' is given twice", file, csv->record_line, names[i]);
        }
        ret_index[i] = f;
    }
    for (size_t i = 0; i < n_names; i++) {
        if (ret_index[i] == SIZE_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "%s: column '%s' is missing; docs/guide/catalogue.md has the list",
                             file, names[i]);
        }
    }
    return 0;
}

/* Begins to read a table of the catalogue; csv is to be released in any case. */
static int open_file(struct weir_catalogue *c, const char *name, struct weir_sv text, const char *const *names, size_t n_names,
                     uint16_t *ret_file, struct weir_csv *csv, size_t *ret_index, struct weir_err *err)
{
    weir_csv_init(csv, text);
    int r = weir_catalogue_file(c, name, ret_file, err);
    return r < 0 ? r : read_header(csv, name, names, n_names, ret_index, err);
}

static int name_index(const char *what, struct weir_sv s, const char *(*name)(int), int max, uint8_t *ret,
                      struct weir_err *err)
{
    for (int i = 0; i < max; i++) {
        if (weir_sv_eq(s, weir_sv_of(name(i)))) {
            *ret = (uint8_t)i;
            return 0;
        }
    }
    return weir_fail(err, -WEIR_EINVAL, "%s '%.*s' is not known", what, WEIR_SV_ARG(s));
}

static const char *market_of(int i)
{
    return weir_market_name((enum weir_market)i);
}

static const char *basis_of(int i)
{
    return weir_price_basis_name((enum weir_price_basis)i);
}

static int read_gpu(struct weir_catalogue *c, const struct weir_sv *f, struct weir_offer *o, struct weir_err *err)
{
    uint64_t v;
    int r = weir_parse_u64(f[COL_GPUS], 0, GPUS_MAX, &v, err);
    if (r < 0) {
        return weir_fail_prefix(err, r, "gpus");
    }
    o->gpus = (uint16_t)v;
    if (o->gpus == 0) {
        o->gpu_model = WEIR_GPU_MODEL_ANY;
        return f[COL_GPU].n == 0 ? 0
                                 : weir_fail(err, -WEIR_EINVAL, "gpu is '%.*s' but gpus is 0", WEIR_SV_ARG(f[COL_GPU]));
    }
    o->gpu_model = weir_gpu_table_intern(c->gpus, f[COL_GPU]);
    if (o->gpu_model == WEIR_GPU_MODEL_ANY) {
        return weir_fail(err, -WEIR_EINVAL, "gpu '%.*s' is not a GPU's name, or there are too many",
                         WEIR_SV_ARG(f[COL_GPU]));
    }
    if (f[COL_GPU_MEM].n == 0) {
        return 0;
    }
    r = weir_parse_u64(f[COL_GPU_MEM], 0, 16 << 20, &v, err);
    if (r < 0) {
        return weir_fail_prefix(err, r, "gpu_mem_mib");
    }
    o->gpu_mem_mib = (uint32_t)v;
    return 0;
}

static int read_size(const struct weir_sv *f, struct weir_offer *o, struct weir_err *err)
{
    int64_t micro;
    if (f[COL_VCPUS].n > 0) {
        int r = weir_catalogue_decimal("vcpus", f[COL_VCPUS], VCPUS_MAX_MICRO, &micro, err);
        if (r < 0 || micro < 0) {
            return r < 0 ? r : weir_fail(err, -WEIR_EINVAL, "vcpus is negative");
        }
        o->cpu_milli = (uint32_t)(micro / 1000);
    }
    if (f[COL_MEMORY].n > 0) {
        int r = weir_catalogue_decimal("memory_gib", f[COL_MEMORY], MEMORY_MAX_GIB_MICRO, &micro, err);
        if (r < 0 || micro < 0) {
            return r < 0 ? r : weir_fail(err, -WEIR_EINVAL, "memory_gib is negative");
        }
        o->mem_mib = (uint64_t)weir_mul_div_sat(micro, 1024, 1000000);
    }
    return 0;
}

void weir_catalogue_exchange(const struct weir_catalogue *c, struct weir_sv currency, struct catalogue_row *row)
{
    struct weir_offer *o = &row->offer;
    if (weir_sv_eq(currency, weir_sv_of(c->currency))) {
        return;
    }
    char code[4] = "";
    memcpy(code, currency.p, sizeof code - 1);
    int64_t rate = weir_catalogue_rate_of(c, currency);
    if (weir_offer_exchange(o, code, o->price_micro_per_hour, rate)) {
        return;
    }
    row->refusal = rate == 0 ? WEIR_PRICE_REFUSED_CURRENCY : WEIR_PRICE_REFUSED_IMPLAUSIBLE;
    if (rate == 0) {
        (void)weir_offer_no_rate(code, row->text, sizeof row->text);
    } else {
        (void)snprintf(row->text, sizeof row->text, "at the rate of %s that is in force the price is out of range", code);
    }
}

static int read_price(struct weir_catalogue *c, const struct weir_sv *f, struct catalogue_row *row,
                      struct weir_err *err)
{
    struct weir_offer *o = &row->offer;
    int r = name_index("market", f[COL_MARKET], market_of, WEIR_OFFER_MARKET_MAX, &o->market, err);
    if (r < 0) {
        return r;
    }
    r = name_index("basis", f[COL_BASIS], basis_of, WEIR_PRICE_BASIS_MAX, &row->basis, err);
    if (r < 0) {
        return r;
    }
    bool foreign = f[COL_CURRENCY].n == 3 && !weir_sv_eq(f[COL_CURRENCY], weir_sv_of(c->currency));
    r = weir_catalogue_decimal("price_per_hour", f[COL_PRICE], WEIR_PRICE_MAX_MICRO * (foreign ? FOREIGN_FACTOR : 1),
                               &o->price_micro_per_hour, err);
    if (r < 0) {
        return r;
    }
    if (f[COL_RECLAIM].n > 0) {
        uint64_t v;
        r = weir_parse_u64(f[COL_RECLAIM], 0, 1000000, &v, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "reclaim_ppm_per_hour");
        }
        o->reclaim_ppm_per_hour = (uint32_t)v;
    }
    if (f[COL_CURRENCY].n != 3) {
        return weir_fail(err, -WEIR_EINVAL, "currency '%.*s' is not a three-letter code", WEIR_SV_ARG(f[COL_CURRENCY]));
    }
    if (o->price_micro_per_hour <= 0) {
        row->refusal = WEIR_PRICE_REFUSED_NO_PRICE;
        (void)snprintf(row->text, sizeof row->text, "a price of %.*s is not a price", WEIR_SV_ARG(f[COL_PRICE]));
    } else {
        weir_catalogue_exchange(c, f[COL_CURRENCY], row);
    }
    return 0;
}

static int read_row(struct weir_catalogue *c, const struct weir_sv *f, struct catalogue_row *row, struct weir_err *err)
{
    struct weir_offer *o = &row->offer;
    const struct {
        const char *what;
        enum row_column col;
        bool may_be_empty;
        char *ret;
        size_t size;
    } texts[] = {
        {"provider", COL_PROVIDER, false, o->provider, sizeof o->provider},
        {"instance_type", COL_TYPE, false, o->instance_type, sizeof o->instance_type},
        {"region", COL_REGION, false, o->region, sizeof o->region},
        {"zone", COL_ZONE, true, o->zone, sizeof o->zone},
        {"source", COL_SOURCE, false, o->source, sizeof o->source},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        int r = weir_catalogue_text(texts[i].what, f[texts[i].col], texts[i].may_be_empty, texts[i].ret, texts[i].size,
                                    err);
        if (r < 0) {
            return r;
        }
    }
    int r = read_gpu(c, f, o, err);
    r = r < 0 ? r : read_size(f, o, err);
    r = r < 0 ? r : read_price(c, f, row, err);
    r = r < 0 ? r : weir_parse_time(f[COL_DATE], &o->as_of, err);
    return r;
}

int weir_catalogue_load_rows(struct weir_catalogue *c, const char *name, struct weir_sv text, struct weir_err *err)
{
    WEIR_ASSERT(!c->sealed);
    if (text.n > WEIR_CATALOGUE_FILE_BYTES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "%s: larger than %d bytes", name, WEIR_CATALOGUE_FILE_BYTES_MAX);
    }
    uint16_t file;
    size_t index[COL_MAX];
    WEIR_CLEANUP(weir_csv_release) struct weir_csv csv;
    int r = open_file(c, name, text, row_column_name, COL_MAX, &file, &csv, index, err);
    if (r < 0) {
        return r;
    }
    struct weir_err why;
    while ((r = weir_csv_next(&csv, &why)) != 0) {
        if (r < 0) {
            weir_catalogue_complain(c, file, csv.record_line, "%s", why.text);
            continue;
        }
        if (csv.n_fields != COL_MAX) {
            weir_catalogue_complain(c, file, csv.record_line, "%zu fields where the header has %d", csv.n_fields,
                                    COL_MAX);
            continue;
        }
        struct weir_sv f[COL_MAX];
        for (size_t i = 0; i < COL_MAX; i++) {
            f[i] = csv.field[index[i]];
        }
        struct catalogue_row row = {.file = file, .line = csv.record_line};
        if (read_row(c, f, &row, &why) < 0) {
            weir_catalogue_complain(c, file, csv.record_line, "%s", why.text);
            continue;
        }
        r = weir_catalogue_keep(c, &row, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* ---- providers.csv ---- */

static int read_provider(const struct weir_sv *f, struct provider_facts *p, struct weir_err *err)
{
    int r = weir_catalogue_text("provider", f[PCOL_PROVIDER], false, p->name, sizeof p->name, err);
    if (r < 0) {
        return r;
    }
    const struct {
        enum provider_column col;
        struct weir_dur *ret;
        bool may_be_zero;
    } spans[] = {
        {PCOL_QUANTUM, &p->bill_quantum, false},
        {PCOL_MINIMUM, &p->bill_minimum, true},
        {PCOL_BOOT, &p->boot_expected, true},
        {PCOL_NOTICE, &p->reclaim_notice, true},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(spans); i++) {
        r = weir_parse_duration(f[spans[i].col], spans[i].ret, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "%s", provider_column_name[spans[i].col]);
        }
        if (spans[i].ret->us > 31 * WEIR_US_PER_DAY || (spans[i].ret->us == 0 && !spans[i].may_be_zero)) {
            return weir_fail(err, -WEIR_EOVERFLOW, "%s '%.*s' is out of range", provider_column_name[spans[i].col],
                             WEIR_SV_ARG(f[spans[i].col]));
        }
    }
    uint64_t ppm;
    r = weir_parse_u64(f[PCOL_RECLAIM], 0, 1000000, &ppm, err);
    if (r < 0) {
        return weir_fail_prefix(err, r, "reclaim_ppm_per_hour");
    }
    p->reclaim_ppm_per_hour = (uint32_t)ppm;
    r = weir_catalogue_decimal("egress_per_gib", f[PCOL_EGRESS], WEIR_PRICE_MAX_MICRO, &p->egress_micro_per_gib, err);
    if (r == 0 && p->egress_micro_per_gib < 0) {
        return weir_fail(err, -WEIR_EINVAL, "egress_per_gib is negative");
    }
    struct weir_wall date;
    r = r < 0 ? r : weir_parse_time(f[PCOL_DATE], &date, err);
    return r;
}

int weir_catalogue_load_providers(struct weir_catalogue *c, const char *name, struct weir_sv text, struct weir_err *err)
{
    WEIR_ASSERT(!c->sealed);
    uint16_t file;
    size_t index[PCOL_MAX];
    WEIR_CLEANUP(weir_csv_release) struct weir_csv csv;
    int r = open_file(c, name, text, provider_column_name, PCOL_MAX, &file, &csv, index, err);
    if (r < 0) {
        return r;
    }
    struct weir_err why;
    while ((r = weir_csv_next(&csv, &why)) != 0) {
        if (r > 0 && csv.n_fields != PCOL_MAX) {
            r = weir_fail(&why, -WEIR_EINVAL, "%zu fields where the header has %d", csv.n_fields, PCOL_MAX);
        }
        struct provider_facts p = {0};
        if (r > 0) {
            struct weir_sv f[PCOL_MAX];
            for (size_t i = 0; i < PCOL_MAX; i++) {
                f[i] = csv.field[index[i]];
            }
            r = read_provider(f, &p, &why);
        }
        if (r >= 0 && c->provider.n == WEIR_CATALOGUE_PROVIDERS_MAX) {
            r = weir_fail(&why, -WEIR_ELIMIT, "more than %d providers", WEIR_CATALOGUE_PROVIDERS_MAX);
        }
        for (size_t i = 0; r >= 0 && i < c->provider.n; i++) {
            if (weir_streq(c->provider.p[i].name, p.name)) {
                r = weir_fail(&why, -WEIR_EINVAL, "provider '%s' is given twice", p.name);
            }
        }
        if (r < 0) {
            weir_catalogue_complain(c, file, csv.record_line, "%s", why.text);
            continue;
        }
        weir_vec_push(&c->provider, p);
    }
    return 0;
}

/* ---- the directory ---- */

static int is_csv(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 4 && e->d_name[0] != '.' && weir_streq(e->d_name + n - 4, ".csv");
}

static int load_file(struct weir_catalogue *c, const char *dir, const char *name, struct weir_err *err)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) {
        return weir_fail(err, -WEIR_ELIMIT, "%s: the path is too long", name);
    }
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) { /* a pipe would be waited for */
        return weir_fail(err, -WEIR_EINVAL, "%s: not a file", path);
    }
    WEIR_CLEANUP(weir_freep) char *text = NULL;
    size_t size = 0;
    int r = weir_file_read(path, WEIR_CATALOGUE_FILE_BYTES_MAX, &text, &size, err);
    if (r < 0) {
        return r;
    }
    struct weir_sv sv = {text, size};
    return weir_streq(name, "providers.csv") ? weir_catalogue_load_providers(c, name, sv, err)
                                             : weir_catalogue_load_rows(c, name, sv, err);
}

int weir_catalogue_load_dir(struct weir_catalogue *c, const char *dir, struct weir_err *err)
{
    struct dirent **entry = NULL;
    int n = scandir(dir, &entry, is_csv, alphasort);
    if (n < 0) {
        return weir_fail(err, weir_error_from_errno(errno), "catalogue directory '%s': %s", dir, strerror(errno));
    }
    int r = 0;
    int rows = 0;
    /* Two passes: what is true of providers comes before their rows. */
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; r == 0 && i < n; i++) {
            bool providers = weir_streq(entry[i]->d_name, "providers.csv");
            if (providers == (pass == 0)) {
                r = load_file(c, dir, entry[i]->d_name, err);
                rows += providers ? 0 : 1;
            }
        }
    }
    for (int i = 0; i < n; i++) {
        free(entry[i]);
    }
    free(entry);
    if (r == 0 && rows == 0) {
        return weir_fail(err, -WEIR_ENOTFOUND, "catalogue directory '%s' has no .csv file with prices in it", dir);
    }
    return r;
}
