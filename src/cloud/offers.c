/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/offers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "cloud/exchange.h"

static const char *const verdict_name[WEIR_VERDICT_MAX] = {
    [WEIR_VERDICT_INCLUDED] = "included",
    [WEIR_VERDICT_INCLUDED_LARGER] = "included_larger",
    [WEIR_VERDICT_GPU] = "gpu",
    [WEIR_VERDICT_TOO_FEW_GPUS] = "too_few_gpus",
    [WEIR_VERDICT_GPU_MEMORY] = "gpu_memory",
    [WEIR_VERDICT_CPUS] = "cpus",
    [WEIR_VERDICT_MEMORY] = "memory",
    [WEIR_VERDICT_MARKET] = "market",
    [WEIR_VERDICT_PROVIDER] = "provider",
    [WEIR_VERDICT_REGION] = "region",
    [WEIR_VERDICT_TOO_DEAR] = "too_dear",
    [WEIR_VERDICT_STALE] = "stale",
    [WEIR_VERDICT_EXPIRED] = "expired",
    [WEIR_VERDICT_FUTURE] = "future",
    [WEIR_VERDICT_PARTIAL] = "partial",
    [WEIR_VERDICT_NO_PRICE] = "no_price",
    [WEIR_VERDICT_IMPLAUSIBLE] = "implausible",
    [WEIR_VERDICT_DUPLICATE] = "duplicate",
    [WEIR_VERDICT_CURRENCY] = "currency",
};

const char *weir_offer_verdict_name(enum weir_offer_verdict v)
{
    WEIR_ASSERT(v < WEIR_VERDICT_MAX);
    return verdict_name[v];
}

void weir_offer_list_release(struct weir_offer_list *l)
{
    free(l->row);
    *l = (struct weir_offer_list){0};
}

static struct weir_offer_row *add(struct weir_offer_list *l, const struct weir_offer *o, enum weir_price_basis basis)
{
    if (l->n == l->size) {
        l->size = l->size < 64 ? 64 : l->size * 2;
        l->row = weir_realloc(l->row, l->size, sizeof *l->row);
    }
    struct weir_offer_row *row = &l->row[l->n++];
    *row = (struct weir_offer_row){.offer = o, .basis = basis, .verdict = WEIR_VERDICT_INCLUDED};
    row->price_micro_per_hour = o->price_micro_per_hour;
    row->gpu_price_micro_per_hour = o->price_micro_per_hour;
    if (o->gpus > 0 && o->price_micro_per_hour > 0) {
        row->gpu_price_micro_per_hour = (o->price_micro_per_hour + o->gpus - 1) / o->gpus;
    }
    return row;
}

void weir_offer_list_add(struct weir_offer_list *l, const struct weir_offer *offer, size_t n,
                         enum weir_price_basis basis)
{
    for (size_t i = 0; i < n; i++) {
        (void)add(l, &offer[i], basis);
    }
}

static enum weir_offer_verdict verdict_of_refusal(enum weir_price_refusal r)
{
    switch (r) {
    case WEIR_PRICE_REFUSED_NO_PRICE:
        return WEIR_VERDICT_NO_PRICE;
    case WEIR_PRICE_REFUSED_IMPLAUSIBLE:
        return WEIR_VERDICT_IMPLAUSIBLE;
    case WEIR_PRICE_REFUSED_DUPLICATE:
        return WEIR_VERDICT_DUPLICATE;
    case WEIR_PRICE_REFUSED_CURRENCY:
        return WEIR_VERDICT_CURRENCY;
    case WEIR_PRICE_REFUSED_NONE:
    case WEIR_PRICE_REFUSED_MAX:
        break;
    }
    return WEIR_VERDICT_INCLUDED;
}

void weir_offer_list_add_catalogue(struct weir_offer_list *l, const struct weir_catalogue *c)
{
    size_t n;
    const struct weir_offer *o = weir_catalogue_offers(c, NULL, &n);
    for (size_t i = 0; i < n; i++) {
        (void)add(l, &o[i], weir_catalogue_basis(c, &o[i]));
    }
    const struct weir_refused_offer *refused = weir_catalogue_refused(c, &n);
    for (size_t i = 0; i < n; i++) {
        struct weir_offer_row *row = add(l, &refused[i].offer, refused[i].basis);
        row->verdict = verdict_of_refusal(refused[i].refusal);
        row->refused = refused[i].text;
    }
}

static bool matches_any(const char *const *globs, const char *text)
{
    if (globs == NULL) {
        return true;
    }
    for (size_t i = 0; globs[i] != NULL; i++) {
        if (weir_glob_match(weir_sv_of(globs[i]), weir_sv_of(text))) {
            return true;
        }
    }
    return false;
}

/* The verdict on the GPUs, with the best over all alternatives. */
static enum weir_offer_verdict judge_gpus(const struct weir_offer *o, const struct weir_offer_query *q,
                                          const struct weir_gpu_table *gpus)
{
    if (q->alternatives == 0) {
        return WEIR_VERDICT_INCLUDED;
    }
    enum weir_offer_verdict best = WEIR_VERDICT_GPU;
    for (uint32_t i = 0; i < q->alternatives; i++) {
        const struct weir_gpu_wish *w = &q->alternative[i];
        if (o->gpus == 0 || !weir_gpu_table_match(gpus, w->model, o->gpu_model)) {
            continue;
        }
        if (o->gpus == w->count) {
            return WEIR_VERDICT_INCLUDED;
        }
        if (o->gpus > w->count) {
            best = WEIR_VERDICT_INCLUDED_LARGER;
        } else if (best == WEIR_VERDICT_GPU) {
            best = WEIR_VERDICT_TOO_FEW_GPUS;
        }
    }
    return best;
}

static enum weir_offer_verdict judge(const struct weir_offer_row *row, const struct weir_offer_query *q,
                                     const struct weir_gpu_table *gpus, struct weir_wall now)
{
    const struct weir_offer *o = row->offer;
    enum weir_offer_verdict v = judge_gpus(o, q, gpus);
    if (!weir_offer_verdict_is_included(v)) {
        return v;
    }
    int64_t age_max = q->age_max.us > 0 ? q->age_max.us : WEIR_CATALOGUE_AGE_DAYS_MAX * WEIR_US_PER_DAY;
    if (!matches_any(q->providers, o->provider)) {
        return WEIR_VERDICT_PROVIDER;
    }
    if (!matches_any(q->regions, o->region)) {
        return WEIR_VERDICT_REGION;
    }
    if (q->markets != 0 && (q->markets & 1U << o->market) == 0) {
        return WEIR_VERDICT_MARKET;
    }
    if (o->currency[0] != '\0' && o->rate_nano == 0) {
        return WEIR_VERDICT_CURRENCY;
    }
    if (row->basis == WEIR_PRICE_ACCELERATOR) {
        return WEIR_VERDICT_PARTIAL;
    }
    if (o->gpu_mem_mib != 0 && o->gpu_mem_mib < q->gpu_mem_mib_min) {
        return WEIR_VERDICT_GPU_MEMORY;
    }
    if (o->cpu_milli != 0 && o->cpu_milli < q->cpu_milli_min) {
        return WEIR_VERDICT_CPUS;
    }
    if (o->mem_mib != 0 && o->mem_mib < q->mem_mib_min) {
        return WEIR_VERDICT_MEMORY;
    }
    if (q->price_max_micro_per_hour > 0 && o->price_micro_per_hour > q->price_max_micro_per_hour) {
        return WEIR_VERDICT_TOO_DEAR;
    }
    if (row->age.us < -WEIR_US_PER_DAY) {
        return WEIR_VERDICT_FUTURE;
    }
    if (o->expires.us != 0 && o->expires.us <= now.us) {
        return WEIR_VERDICT_EXPIRED;
    }
    return row->age.us > age_max ? WEIR_VERDICT_STALE : v;
}

const char *weir_offer_reason(const struct weir_offer_row *row, const struct weir_offer_query *q, const struct weir_gpu_table *gpus,
                              char ret[static WEIR_OFFER_REASON_SIZE])
{
    const struct weir_offer *o = row->offer;
    char *text = ret;
    const size_t size = WEIR_OFFER_REASON_SIZE;
    char time[WEIR_RFC3339_SIZE];
    text[0] = '\0';
    switch (row->verdict) {
    case WEIR_VERDICT_INCLUDED:
        break;
    case WEIR_VERDICT_INCLUDED_LARGER:
        (void)snprintf(text, size, "has %u GPUs, more than asked", (unsigned)o->gpus);
        break;
    case WEIR_VERDICT_GPU:
        (void)snprintf(text, size, "its GPU is %s",
                       o->gpus == 0 ? "none" : weir_gpu_table_get(gpus, o->gpu_model)->name);
        break;
    case WEIR_VERDICT_TOO_FEW_GPUS:
        (void)snprintf(text, size, "has %u GPU%s only", (unsigned)o->gpus, o->gpus == 1 ? "" : "s");
        break;
    case WEIR_VERDICT_GPU_MEMORY:
        (void)snprintf(text, size, "its GPUs have %u MiB", (unsigned)o->gpu_mem_mib);
        break;
    case WEIR_VERDICT_CPUS:
        (void)snprintf(text, size, "has %u CPUs", (unsigned)(o->cpu_milli / 1000));
        break;
    case WEIR_VERDICT_MEMORY:
        (void)snprintf(text, size, "has %llu MiB of memory", (unsigned long long)o->mem_mib);
        break;
    case WEIR_VERDICT_MARKET:
        (void)snprintf(text, size, "is %s", weir_market_name(o->market));
        break;
    case WEIR_VERDICT_PROVIDER:
        (void)snprintf(text, size, "provider %s was not asked for", o->provider);
        break;
    case WEIR_VERDICT_REGION:
        (void)snprintf(text, size, "region %s was not asked for", o->region);
        break;
    case WEIR_VERDICT_TOO_DEAR:
        (void)snprintf(text, size, "costs more than asked");
        break;
    case WEIR_VERDICT_STALE:
        (void)snprintf(text, size, "the price is %lld days old; at most %lld are trusted",
                       (long long)(row->age.us / WEIR_US_PER_DAY),
                       (long long)(q->age_max.us > 0 ? q->age_max.us / WEIR_US_PER_DAY : WEIR_CATALOGUE_AGE_DAYS_MAX));
        break;
    case WEIR_VERDICT_EXPIRED:
        (void)snprintf(text, size, "the quote ended at %s", weir_wall_format(o->expires, time));
        break;
    case WEIR_VERDICT_FUTURE:
        (void)snprintf(text, size, "is dated %s, after now: clock or date is wrong", weir_wall_format(o->as_of, time));
        break;
    case WEIR_VERDICT_PARTIAL:
        (void)snprintf(text, size, "the price is for the GPUs alone, without a host");
        break;
    case WEIR_VERDICT_CURRENCY:
        (void)weir_offer_no_rate(o->currency, text, size);
        break;
    case WEIR_VERDICT_NO_PRICE:
    case WEIR_VERDICT_IMPLAUSIBLE:
    case WEIR_VERDICT_DUPLICATE:
    case WEIR_VERDICT_MAX:
        (void)snprintf(text, size, "%s", row->refused != NULL ? row->refused : "");
        break;
    }
    return text;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_offers(const struct weir_offer *x, const struct weir_offer *y)
{
    int r = (int)x->gpus - (int)y->gpus;
    r = r != 0 ? r : strcmp(x->provider, y->provider);
    r = r != 0 ? r : strcmp(x->region, y->region);
    r = r != 0 ? r : strcmp(x->zone, y->zone);
    r = r != 0 ? r : strcmp(x->instance_type, y->instance_type);
    r = r != 0 ? r : (int)x->market - (int)y->market;
    return r != 0 ? r : compare_u64(x->id, y->id);
}

/* By what the rows themselves hold first: most pairs differ there, and an offer is far away. */
static int compare_rows(const void *a, const void *b)
{
    const struct weir_offer_row *x = a;
    const struct weir_offer_row *y = b;
    int vx = weir_offer_verdict_is_included(x->verdict) ? (int)x->verdict : WEIR_VERDICT_MAX;
    int vy = weir_offer_verdict_is_included(y->verdict) ? (int)y->verdict : WEIR_VERDICT_MAX;
    if (vx != vy) {
        return vx - vy;
    }
    if (x->price_micro_per_hour != y->price_micro_per_hour) {
        return x->price_micro_per_hour > y->price_micro_per_hour ? 1 : -1;
    }
    int r = compare_offers(x->offer, y->offer);
    return r != 0 ? r : strcmp(x->refused != NULL ? x->refused : "", y->refused != NULL ? y->refused : "");
}

/* The included to the front, and the rest behind them. */
static void part(struct weir_offer_list *l)
{
    size_t front = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (weir_offer_verdict_is_included(l->row[i].verdict)) {
            struct weir_offer_row row = l->row[i];
            l->row[i] = l->row[front];
            l->row[front++] = row;
        }
    }
}

size_t weir_offer_list_rank(struct weir_offer_list *l, const struct weir_offer_query *q, const struct weir_gpu_table *gpus, struct weir_wall now,
                            bool sort_excluded)
{
    WEIR_ASSERT(q->alternatives <= WEIR_ALTERNATIVES_MAX);
    size_t included = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct weir_offer_row *row = &l->row[i];
        row->age = weir_wall_sub(now, row->offer->as_of);
        if (row->verdict < WEIR_VERDICT_NO_PRICE) {
            row->verdict = judge(row, q, gpus, now);
        }
        included += weir_offer_verdict_is_included(row->verdict) ? 1 : 0;
    }
    part(l);
    size_t sorted = sort_excluded ? l->n : included;
    if (sorted > 0) {
        qsort(l->row, sorted, sizeof *l->row, compare_rows);
    }
    return included;
}

int weir_gpu_wish_parse(struct weir_gpu_table *gpus, struct weir_sv text, struct weir_gpu_wish *ret,
                        struct weir_err *err)
{
    struct weir_sv rest = weir_sv_trim(text);
    struct weir_sv name = weir_sv_cut(&rest, ':');
    bool has_count = rest.p != NULL;
    uint64_t count = 1;
    if (!has_count && weir_parse_u64(name, 0, UINT64_MAX, &count, NULL) == 0) {
        rest = name; /* a bare number: so many of any model */
        name = WEIR_SV("");
        has_count = true;
    }
    if (has_count && weir_parse_u64(rest, 1, WEIR_NODE_GPUS_MAX, &count, NULL) < 0) {
        return weir_fail(err, -WEIR_EINVAL, "'%.*s': the number of GPUs must be 1 to %d", WEIR_SV_ARG(text),
                         WEIR_NODE_GPUS_MAX);
    }
    struct weir_gpu_wish w = {.model = WEIR_GPU_MODEL_ANY, .count = (uint16_t)count};
    if (name.n > 0) {
        w.model = weir_gpu_table_find(gpus, name);
        if (w.model == WEIR_GPU_MODEL_ANY) {
            const char *near = weir_nearest(name, weir_gpu_table_names(gpus));
            return weir_fail(err, -WEIR_EINVAL, "no GPU '%.*s' is known%s%s%s", WEIR_SV_ARG(name),
                             near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                             near != NULL ? "'?" : "");
        }
    }
    *ret = w;
    return 0;
}
