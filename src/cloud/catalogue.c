/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping rows, checking them against each other, and handing them out. Reading is in catalogue_load.c. */

#include "cloud/catalogue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cloud/catalogue_priv.h"

/* A price for one GPU outside of this is a slip, whatever the model: micro-units per hour. */
#define GPU_PRICE_MIN_MICRO INT64_C(5000)
#define GPU_PRICE_MAX_MICRO INT64_C(500000000)
/* How far a price may be from the median of its model and market. */
enum { MEDIAN_FACTOR = 8, MEDIAN_ROWS_MIN = 4, MEDIAN_PROVIDERS_MIN = 3 };

static const char *const basis_name[WEIR_PRICE_BASIS_MAX] = {
    [WEIR_PRICE_LIST] = "list",
    [WEIR_PRICE_MARKET] = "market",
    [WEIR_PRICE_ESTIMATE] = "estimate",
    [WEIR_PRICE_ACCELERATOR] = "accelerator",
};

const char *weir_price_basis_name(enum weir_price_basis b)
{
    WEIR_ASSERT(b < WEIR_PRICE_BASIS_MAX);
    return basis_name[b];
}

uint64_t weir_offer_id(const struct weir_offer *o)
{
    char buf[256];
    int n = snprintf(buf, sizeof buf, "%s\n%s\n%s\n%s\n%u", o->provider, o->region, o->zone, o->instance_type,
                     (unsigned)o->market);
    WEIR_ASSERT(n > 0 && (size_t)n < sizeof buf);
    uint64_t id = weir_hash_bytes(buf, (size_t)n);
    return id == 0 ? 1 : id;
}

struct weir_catalogue *weir_catalogue_new(struct weir_gpu_table *gpus, const char *currency)
{
    WEIR_ASSERT(strlen(currency) == 3);
    struct weir_catalogue *c = weir_alloc(sizeof *c);
    c->gpus = gpus;
    memcpy(c->currency, currency, 4);
    return c;
}

void weir_catalogue_rate(struct weir_catalogue *c, const char *currency, int64_t rate_nano)
{
    WEIR_ASSERT(strlen(currency) == 3 && !c->sealed);
    if (c->n_rates < WEIR_CATALOGUE_RATES_MAX) {
        memcpy(c->rate[c->n_rates].currency, currency, 4);
        c->rate[c->n_rates++].nano = rate_nano;
    }
}

int64_t weir_catalogue_rate_of(const struct weir_catalogue *c, struct weir_sv currency)
{
    for (size_t i = 0; i < c->n_rates; i++) {
        if (weir_sv_eq(currency, weir_sv_of(c->rate[i].currency))) {
            return c->rate[i].nano;
        }
    }
    return 0;
}

int64_t weir_catalogue_amount(const struct weir_catalogue *c, const char *currency, int64_t micro)
{
    int64_t v = 0;
    return weir_streq(currency, c->currency) ? micro : weir_money_exchange_up(micro, weir_catalogue_rate_of(c, weir_sv_of(currency)), &v) ? v : 0;
}

void weir_catalogue_free(struct weir_catalogue *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->file.n; i++) {
        free(c->file.p[i]);
    }
    weir_vec_release(&c->file);
    weir_vec_release(&c->provider);
    weir_vec_release(&c->row);
    weir_vec_release(&c->problem);
    weir_vec_release(&c->refused);
    free(c->offer);
    free(c->basis);
    free(c);
}

struct weir_gpu_table *weir_catalogue_gpus(const struct weir_catalogue *c)
{
    return c->gpus;
}

int weir_catalogue_file(struct weir_catalogue *c, const char *name, uint16_t *ret, struct weir_err *err)
{
    if (c->file.n == WEIR_CATALOGUE_FILES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "%s: more than %d catalogue files", name, WEIR_CATALOGUE_FILES_MAX);
    }
    *ret = (uint16_t)c->file.n;
    weir_vec_push(&c->file, weir_strdup(name));
    return 0;
}

void weir_catalogue_complain(struct weir_catalogue *c, uint16_t file, uint32_t line, const char *fmt, ...)
{
    c->problems_total++;
    if (c->problem.n == WEIR_CATALOGUE_PROBLEMS_MAX) {
        return;
    }
    struct weir_catalogue_problem p = {.file = c->file.p[file], .line = line};
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(p.text, sizeof p.text, fmt, ap);
    va_end(ap);
    weir_vec_push(&c->problem, p);
}

struct provider_facts weir_catalogue_facts(const struct weir_catalogue *c, struct weir_sv provider)
{
    for (size_t i = 0; i < c->provider.n; i++) {
        if (weir_sv_eq(weir_sv_of(c->provider.p[i].name), provider)) {
            return c->provider.p[i];
        }
    }
    /* A provider that nobody described: by the hour, slow to boot, often reclaimed without notice. */
    return (struct provider_facts){.bill_quantum = weir_dur_s(3600),
                                   .bill_minimum = weir_dur_s(3600),
                                   .boot_expected = weir_dur_s(300),
                                   .reclaim_ppm_per_hour = 10000,
                                   .egress_micro_per_gib = 100000};
}

int weir_catalogue_keep(struct weir_catalogue *c, struct catalogue_row *row, struct weir_err *err)
{
    WEIR_ASSERT(!c->sealed);
    if (c->row.n == WEIR_CATALOGUE_ROWS_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "%s:%u: the catalogue has more than %d rows", c->file.p[row->file],
                         row->line, WEIR_CATALOGUE_ROWS_MAX);
    }
    struct weir_offer *o = &row->offer;
    struct provider_facts f = weir_catalogue_facts(c, weir_sv_of(o->provider));
    o->bill_quantum = f.bill_quantum;
    o->bill_minimum = f.bill_minimum;
    o->boot_expected = f.boot_expected;
    o->egress_micro_per_gib = weir_catalogue_amount(c, "USD", f.egress_micro_per_gib);
    if (o->market == WEIR_OFFER_SPOT) {
        o->reclaim_notice = f.reclaim_notice;
        if (o->reclaim_ppm_per_hour == 0) {
            o->reclaim_ppm_per_hour = f.reclaim_ppm_per_hour;
        }
    } else {
        o->reclaim_ppm_per_hour = 0;
    }
    if (o->gpu_mem_mib == 0 && o->gpus > 0) {
        o->gpu_mem_mib = weir_gpu_table_get(c->gpus, o->gpu_model)->mem_mib;
    }
    o->expires = WEIR_WALL_MAX;
    o->id = weir_offer_id(o);
    weir_vec_push(&c->row, *row);
    return 0;
}

/* ---- checks of rows against each other ---- */

static int64_t price_per_gpu(const struct weir_offer *o)
{
    return o->gpus == 0 ? o->price_micro_per_hour : o->price_micro_per_hour / o->gpus;
}

static int compare_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static void __attribute__((format(printf, 3, 4)))
refuse(struct catalogue_row *row, enum weir_price_refusal refusal, const char *fmt, ...)
{
    row->refusal = (uint8_t)refusal;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(row->text, sizeof row->text, fmt, ap);
    va_end(ap);
}

/* By model and market, then price: the median of each kind stands in its middle. Rows that say
 * nothing about the whole instance's price are a kind of their own. */
static int compare_kind(const void *a, const void *b)
{
    const struct catalogue_row *x = *(struct catalogue_row *const *)a;
    const struct catalogue_row *y = *(struct catalogue_row *const *)b;
    bool part_x = x->basis == WEIR_PRICE_ACCELERATOR;
    bool part_y = y->basis == WEIR_PRICE_ACCELERATOR;
    int r = (int)x->offer.gpu_model - (int)y->offer.gpu_model;
    r = r != 0 ? r : (int)x->offer.market - (int)y->offer.market;
    r = r != 0 ? r : (int)part_x - (int)part_y;
    r = r != 0 ? r : compare_i64(price_per_gpu(&x->offer), price_per_gpu(&y->offer));
    return r != 0 ? r : (x->offer.id > y->offer.id) - (x->offer.id < y->offer.id);
}

static bool same_kind(const struct catalogue_row *x, const struct catalogue_row *y)
{
    return x->offer.gpu_model == y->offer.gpu_model && x->offer.market == y->offer.market &&
           (x->basis == WEIR_PRICE_ACCELERATOR) == (y->basis == WEIR_PRICE_ACCELERATOR);
}

/* What one provider asks for a kind. */
struct provider_price {
    uint64_t name_hash;
    size_t rows;
    size_t seen;
    int64_t median;
};

static int compare_median(const void *a, const void *b)
{
    const struct provider_price *x = a;
    const struct provider_price *y = b;
    int r = compare_i64(x->median, y->median);
    return r != 0 ? r : (x->name_hash > y->name_hash) - (x->name_hash < y->name_hash);
}

static struct provider_price *price_of_provider(struct provider_price *p, size_t *n, const struct weir_offer *o)
{
    uint64_t h = weir_hash_bytes(o->provider, strlen(o->provider));
    for (size_t i = 0; i < *n; i++) {
        if (p[i].name_hash == h) {
            return &p[i];
        }
    }
    if (*n == WEIR_CATALOGUE_PROVIDERS_MAX) {
        return NULL;
    }
    p[*n] = (struct provider_price){.name_hash = h};
    return &p[(*n)++];
}

/*
 * The usual price of a kind whose rows are in the order of their prices. Each provider counts once,
 * so that the one with the most regions does not decide what is usual; where only one or two are
 * known, each row counts, so that a single bad list cannot outweigh a good one.
 */
static int64_t usual_price(struct catalogue_row *const *kind, size_t n)
{
    struct provider_price p[WEIR_CATALOGUE_PROVIDERS_MAX];
    size_t n_providers = 0;
    for (size_t i = 0; i < n; i++) {
        struct provider_price *one = price_of_provider(p, &n_providers, &kind[i]->offer);
        if (one != NULL) {
            one->rows++;
        }
    }
    if (n_providers < MEDIAN_PROVIDERS_MIN) {
        return price_per_gpu(&kind[n / 2]->offer);
    }
    for (size_t i = 0; i < n; i++) {
        struct provider_price *one = price_of_provider(p, &n_providers, &kind[i]->offer);
        if (one != NULL && one->seen++ == one->rows / 2) {
            one->median = price_per_gpu(&kind[i]->offer);
        }
    }
    qsort(p, n_providers, sizeof p[0], compare_median);
    return p[n_providers / 2].median;
}

static void check_kind(struct weir_catalogue *c, struct catalogue_row **kind, size_t n)
{
    if (n < MEDIAN_ROWS_MIN) {
        return; /* too few to say what is usual */
    }
    int64_t median = usual_price(kind, n);
    const char *model = kind[0]->offer.gpus == 0 ? "CPU" : weir_gpu_table_get(c->gpus, kind[0]->offer.gpu_model)->name;
    for (size_t i = 0; i < n; i++) {
        int64_t price = price_per_gpu(&kind[i]->offer);
        if (price >= median / MEDIAN_FACTOR && price <= median * MEDIAN_FACTOR) {
            continue;
        }
        char p[WEIR_MONEY_SIZE];
        char m[WEIR_MONEY_SIZE];
        refuse(kind[i], WEIR_PRICE_REFUSED_IMPLAUSIBLE,
               "%s %s per GPU-hour; the median of %s %s is %s (more than %d times off)",
               weir_money_format_short(price, c->currency, p), c->currency, model, weir_market_name(kind[i]->offer.market),
               weir_money_format_short(median, c->currency, m), MEDIAN_FACTOR);
    }
}

static void check_plausible(struct weir_catalogue *c)
{
    struct catalogue_row **sorted = weir_calloc(c->row.n + 1, sizeof(struct catalogue_row *));
    size_t n = 0;
    int64_t least = weir_catalogue_amount(c, "USD", GPU_PRICE_MIN_MICRO);
    int64_t most = weir_catalogue_amount(c, "USD", GPU_PRICE_MAX_MICRO);
    for (size_t i = 0; i < c->row.n; i++) {
        struct catalogue_row *row = &c->row.p[i];
        if (row->refusal != WEIR_PRICE_REFUSED_NONE) {
            continue;
        }
        int64_t price = price_per_gpu(&row->offer);
        if (row->offer.gpus > 0 && most > 0 && (price < least || price > most)) {
            char p[WEIR_MONEY_SIZE];
            refuse(row, WEIR_PRICE_REFUSED_IMPLAUSIBLE,
                   "%s %s per GPU-hour is outside of 0.005 to 500 USD, which no GPU is", weir_money_format(price, p),
                   c->currency);
            continue;
        }
        sorted[n++] = row;
    }
    qsort(sorted, n, sizeof(struct catalogue_row *), compare_kind);
    for (size_t i = 0; i < n;) {
        size_t end = i + 1;
        while (end < n && same_kind(sorted[i], sorted[end])) {
            end++;
        }
        check_kind(c, sorted + i, end - i);
        i = end;
    }
    free(sorted);
}

/* Of rows that say the same, the one with the latest date counts, and of those the first loaded. */
static void check_duplicates(struct weir_catalogue *c)
{
    struct weir_map seen = {0};
    for (size_t i = 0; i < c->row.n; i++) {
        struct catalogue_row *row = &c->row.p[i];
        if (row->refusal != WEIR_PRICE_REFUSED_NONE) {
            continue;
        }
        uint64_t other_index;
        if (!weir_map_get(&seen, row->offer.id, &other_index)) {
            weir_map_put(&seen, row->offer.id, i);
            continue;
        }
        struct catalogue_row *other = &c->row.p[other_index];
        bool newer = row->offer.as_of.us > other->offer.as_of.us;
        struct catalogue_row *loser = newer ? other : row;
        struct catalogue_row *winner = newer ? row : other;
        refuse(loser, WEIR_PRICE_REFUSED_DUPLICATE, "the same offer stands in %s:%u", c->file.p[winner->file],
               winner->line);
        if (newer) {
            weir_map_put(&seen, row->offer.id, i);
        }
    }
    weir_map_release(&seen);
}

static int compare_place(const void *a, const void *b)
{
    const struct catalogue_row *x = a;
    const struct catalogue_row *y = b;
    int r = strcmp(x->offer.provider, y->offer.provider);
    r = r != 0 ? r : strcmp(x->offer.region, y->offer.region);
    r = r != 0 ? r : strcmp(x->offer.instance_type, y->offer.instance_type);
    r = r != 0 ? r : strcmp(x->offer.zone, y->offer.zone);
    r = r != 0 ? r : (int)x->offer.market - (int)y->offer.market;
    r = r != 0 ? r : (int)x->file - (int)y->file;
    return r != 0 ? r : (x->line > y->line) - (x->line < y->line);
}

void weir_catalogue_seal(struct weir_catalogue *c)
{
    WEIR_ASSERT(!c->sealed);
    check_duplicates(c);
    check_plausible(c);
    if (c->row.n > 0) {
        qsort(c->row.p, c->row.n, sizeof *c->row.p, compare_place);
    }
    c->offer = weir_calloc(c->row.n + 1, sizeof *c->offer);
    c->basis = weir_calloc(c->row.n + 1, sizeof *c->basis);
    for (size_t i = 0; i < c->row.n; i++) {
        const struct catalogue_row *row = &c->row.p[i];
        if (row->refusal == WEIR_PRICE_REFUSED_NONE) {
            c->basis[c->n_offers] = row->basis;
            c->offer[c->n_offers++] = row->offer;
            continue;
        }
        struct weir_refused_offer f = {.offer = row->offer,
                                       .basis = row->basis,
                                       .refusal = row->refusal,
                                       .file = c->file.p[row->file],
                                       .line = row->line};
        memcpy(f.text, row->text, sizeof f.text);
        weir_vec_push(&c->refused, f);
        weir_catalogue_complain(c, row->file, row->line, "%s", row->text);
    }
    weir_vec_release(&c->row);
    c->sealed = true;
}

/* ---- handing out ---- */

const struct weir_offer *weir_catalogue_offers(const struct weir_catalogue *c, const char *provider, size_t *ret_n)
{
    WEIR_ASSERT(c->sealed);
    size_t from = 0;
    size_t end = c->n_offers;
    if (provider != NULL) {
        while (from < end && strcmp(c->offer[from].provider, provider) < 0) {
            from++;
        }
        size_t to = from;
        while (to < end && weir_streq(c->offer[to].provider, provider)) {
            to++;
        }
        end = to;
    }
    *ret_n = end - from;
    return end == from ? NULL : c->offer + from;
}

enum weir_price_basis weir_catalogue_basis(const struct weir_catalogue *c, const struct weir_offer *o)
{
    WEIR_ASSERT(c->sealed && o >= c->offer && o < c->offer + c->n_offers);
    return c->basis[o - c->offer];
}

const struct weir_refused_offer *weir_catalogue_refused(const struct weir_catalogue *c, size_t *ret_n)
{
    WEIR_ASSERT(c->sealed);
    *ret_n = c->refused.n;
    return c->refused.p;
}

const struct weir_catalogue_problem *weir_catalogue_problems(const struct weir_catalogue *c, size_t *ret_n,
                                                             size_t *ret_total)
{
    *ret_n = c->problem.n;
    *ret_total = c->problems_total;
    return c->problem.p;
}

void weir_catalogue_write(const struct weir_catalogue *c, const char *provider, struct weir_str *out)
{
    weir_str_adds(out, "provider,instance_type,region,zone,gpu,gpus,gpu_mem_mib,vcpus,memory_gib,"
                       "market,price_per_hour,currency,basis,reclaim_ppm_per_hour,source,date\n");
    size_t n;
    const struct weir_offer *o = weir_catalogue_offers(c, provider, &n);
    for (size_t i = 0; i < n; i++, o++) {
        const char *gpu = o->gpus == 0 ? "" : weir_gpu_table_get(c->gpus, o->gpu_model)->name;
        const char *text[] = {o->provider, o->instance_type, o->region, o->zone, gpu};
        for (size_t k = 0; k < WEIR_ARRAY_LEN(text); k++) {
            weir_csv_write_field(out, weir_sv_of(text[k]));
            weir_str_addc(out, ',');
        }
        char price[WEIR_MONEY_SIZE];
        char date[WEIR_RFC3339_SIZE];
        bool foreign = o->currency[0] != '\0';
        weir_str_addf(out, "%u,%u,%u.%03u,%llu.%06llu,%s,%s,%s,%s,", (unsigned)o->gpus, (unsigned)o->gpu_mem_mib,
                      (unsigned)(o->cpu_milli / 1000), (unsigned)(o->cpu_milli % 1000),
                      (unsigned long long)(o->mem_mib / 1024), (unsigned long long)(o->mem_mib % 1024 * 1000000 / 1024),
                      weir_market_name(o->market),
                      weir_money_format(foreign ? o->original_micro_per_hour : o->price_micro_per_hour, price),
                      foreign ? o->currency : c->currency,
                      basis_name[weir_catalogue_basis(c, o)]);
        if (o->market == WEIR_OFFER_SPOT) {
            weir_str_addf(out, "%u", (unsigned)o->reclaim_ppm_per_hour);
        }
        weir_str_addc(out, ',');
        weir_csv_write_field(out, weir_sv_of(o->source));
        weir_str_addf(out, ",%s\n", weir_wall_format(o->as_of, date));
    }
}
