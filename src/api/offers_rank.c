/* SPDX-License-Identifier: Apache-2.0 */
#include "api/offers_rank.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "cloud/catalogue.h"
#include "cloud/exchange.h"
#include "cloud/offers.h"
#include "cloud/provider.h"

enum { PROVIDER_NAMES_MAX = 64 };

static int read_wishes(struct weir_gpu_table *gpus, const struct api_offer_query *q, struct weir_offer_query *ret,
                       struct weir_err *err)
{
    struct weir_sv text = weir_sv_of(q->gpus);
    while (text.p != NULL) {
        struct weir_sv word = weir_sv_trim(weir_sv_cut(&text, ','));
        if (word.n == 0) {
            return weir_fail(err, -WEIR_EINVAL, "gpus: empty; write A100:8, or 8 for any model");
        }
        if (ret->alternatives == WEIR_ALTERNATIVES_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "gpus: at most %d alternatives", WEIR_ALTERNATIVES_MAX);
        }
        int rc = weir_gpu_wish_parse(gpus, word, &ret->alternative[ret->alternatives], err);
        if (rc < 0) {
            return weir_fail_prefix(err, rc, "gpus");
        }
        ret->alternatives++;
    }
    return 0;
}

int api_offers_check(struct weir_gpu_table *gpus, const struct api_offer_query *q, struct weir_err *err)
{
    struct weir_offer_query query = {0};
    return read_wishes(gpus, q, &query, err);
}

static int learned_cmp(const void *key, const void *element)
{
    const uint64_t *id = key;
    const struct weir_learned *l = element;
    return *id < l->offer ? -1 : *id > l->offer;
}

/* What the offer says of itself stands beside what is believed by now. */
static void learned_json(struct weir_json *j, const struct weir_offer *o, const struct api_offer_query *q)
{
    const struct weir_learned *l = q->n_learned == 0 ? NULL : bsearch(&o->id, q->learned, q->n_learned, sizeof *q->learned, learned_cmp);
    weir_json_key(j, "learned");
    if (l == NULL) {
        weir_json_null(j);
        return;
    }
    bool spot = o->market == WEIR_OFFER_SPOT;
    weir_json_object(j);
    weir_json_kv_i64(j, "launches", l->launches);
    weir_json_kv_i64(j, "failures", l->failures);
    weir_json_kv_i64(j, "launches_of_market", l->launches_of_market);
    weir_json_kv_i64(j, "boot_s", l->boot.us / WEIR_US_PER_S);
    weir_json_kv_i64(j, "boot_listed_s", o->boot_expected.us / WEIR_US_PER_S);
    weir_json_kv_i64(j, "lost_s", l->lost.us / WEIR_US_PER_S);
    weir_json_kv_i64(j, "reclaims", l->reclaims);
    weir_json_kv_i64(j, "lived_s", l->lived.us / WEIR_US_PER_S);
    weir_json_kv_i64(j, "reclaim_ppm_per_hour", spot ? (int64_t)l->reclaim_ppm_per_hour : 0);
    weir_json_kv_i64(j, "reclaim_listed_ppm_per_hour", spot ? (int64_t)o->reclaim_ppm_per_hour : 0);
    weir_json_end(j);
}

/* The quota of its provider that has least room for a machine of the offer; NULL: none counts it. */
static const struct weir_provider_quota *narrowest(const struct weir_offer *o, const struct api_offer_query *q, int64_t *ret_needed)
{
    const struct weir_provider_quota *found = NULL;
    int64_t room = INT64_MAX;
    for (size_t i = 0; i < q->n_told && o->launchable; i++) {
        const struct weir_provider_quota *t = &q->told[i].quota;
        int64_t takes = weir_streq(q->told[i].provider, o->provider) ? weir_provider_quota_of(t, o) : 0;
        int64_t machines = takes == 0 ? INT64_MAX : (t->limit > t->used ? t->limit - t->used : 0) / takes;
        if (machines < room) {
            room = machines;
            found = t;
            *ret_needed = takes;
        }
    }
    return found;
}

static void quota_json(struct weir_json *j, const struct weir_provider_quota *t, int64_t needed)
{
    weir_json_key(j, "quota");
    if (t == NULL) {
        weir_json_null(j);
        return;
    }
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", t->name);
    weir_json_kv_cstr(j, "unit", weir_quota_unit_name((enum weir_quota_unit)t->unit));
    weir_json_kv_i64(j, "limit", t->limit);
    weir_json_kv_i64(j, "used", t->used);
    weir_json_kv_i64(j, "needed", needed);
    weir_json_end(j);
}

/* What it is, and why; an included one may be beyond what its provider allows. */
static void verdict_json(struct weir_json *j, const struct weir_offer_row *row, const struct weir_offer_query *query, const struct weir_gpu_table *gpus,
                         const struct weir_provider_quota *t, int64_t needed)
{
    char reason[WEIR_OFFER_REASON_SIZE];
    if (weir_offer_verdict_is_included(row->verdict) && t != NULL && t->limit - t->used < needed) {
        (void)snprintf(reason, sizeof reason, "beyond the provider's quota of %" PRId64 " %s, %" PRId64 " in use", t->limit,
                       weir_quota_unit_name((enum weir_quota_unit)t->unit), t->used);
        weir_json_kv_cstr(j, "verdict", "provider_quota");
        weir_json_kv_cstr(j, "reason", reason);
        return;
    }
    weir_json_kv_cstr(j, "verdict", weir_offer_verdict_name(row->verdict));
    (void)weir_offer_reason(row, query, gpus, reason);
    weir_json_kv_cstr(j, "reason", reason[0] == '\0' ? NULL : reason);
}

void api_exchange_json(struct weir_json *j, const struct weir_offer *o)
{
    weir_json_kv_cstr(j, "original_currency", o->currency[0] == '\0' ? NULL : o->currency);
    weir_json_key(j, "original_micro_per_hour");
    if (o->currency[0] == '\0') {
        weir_json_null(j);
    } else {
        weir_json_i64(j, o->original_micro_per_hour);
    }
    char rate[WEIR_MONEY_SIZE];
    (void)snprintf(rate, sizeof rate, "%" PRId64 ".%09" PRId64, o->rate_nano / 1000000000, o->rate_nano % 1000000000);
    for (size_t n = strlen(rate); rate[n - 1] == '0' && rate[n - 2] != '.'; n--) {
        rate[n - 1] = '\0';
    }
    weir_json_kv_cstr(j, "exchange_rate", o->rate_nano == 0 ? NULL : rate);
}

static void row_json(struct weir_json *j, const struct weir_offer_row *row, const struct weir_offer_query *query, const struct weir_gpu_table *gpus,
                     const struct api_offer_query *q)
{
    const struct weir_offer *o = row->offer;
    int64_t needed = 0;
    const struct weir_provider_quota *told = narrowest(o, q, &needed);
    bool has_gpu = o->gpus > 0 && o->gpu_model != WEIR_GPU_MODEL_ANY && o->gpu_model < weir_gpu_table_count(gpus);
    weir_json_object(j);
    weir_json_kv_cstr(j, "provider", o->provider);
    weir_json_kv_cstr(j, "region", o->region);
    weir_json_kv_cstr(j, "zone", o->zone[0] == '\0' ? NULL : o->zone);
    weir_json_kv_cstr(j, "instance_type", o->instance_type);
    weir_json_kv_cstr(j, "market", weir_market_name((enum weir_market)o->market));
    weir_json_kv_cstr(j, "gpu", has_gpu ? weir_gpu_table_get(gpus, o->gpu_model)->name : NULL);
    weir_json_kv_u64(j, "gpus", o->gpus);
    weir_json_kv_u64(j, "gpu_mem_mib", o->gpu_mem_mib);
    weir_json_kv_u64(j, "cpu_milli", o->cpu_milli);
    weir_json_kv_u64(j, "mem_mib", o->mem_mib);
    weir_json_kv_i64(j, "price_micro_per_hour", o->price_micro_per_hour);
    weir_json_key(j, "price_micro_per_gpu_hour");
    if (o->gpus == 0 || o->price_micro_per_hour == 0) {
        weir_json_null(j);
    } else {
        weir_json_i64(j, row->gpu_price_micro_per_hour);
    }
    weir_json_kv_cstr(j, "currency", q->currency);
    api_exchange_json(j, o);
    weir_json_kv_cstr(j, "source", o->source);
    weir_json_kv_time(j, "as_of", o->as_of);
    weir_json_key(j, "age_s");
    if (o->as_of.us == 0) {
        weir_json_null(j);
    } else {
        weir_json_i64(j, row->age.us / WEIR_US_PER_S);
    }
    weir_json_kv_bool(j, "launchable", o->launchable);
    learned_json(j, o, q);
    quota_json(j, told, needed);
    verdict_json(j, row, query, gpus, told, needed);
    weir_json_end(j);
}

/* Adds those that can be compared: devices of a model that the table could not take have no name. */
static void add_named(struct weir_offer_list *l, const struct weir_offer *offer, size_t n,
                      const struct weir_gpu_table *gpus)
{
    for (size_t i = 0; i < n; i++) {
        if (offer[i].gpus == 0 || offer[i].gpu_model < weir_gpu_table_count(gpus)) {
            weir_offer_list_add(l, &offer[i], 1, WEIR_PRICE_LIST);
        }
    }
}

struct window {
    uint64_t skip;
    uint64_t left;
    bool has_more;
};

static void write_rows(struct weir_json *j, struct window *w, const struct weir_offer_list *l, const struct weir_offer_query *query,
                       const struct api_offer_query *q, const struct weir_gpu_table *gpus)
{
    for (size_t i = 0; i < l->n && !w->has_more; i++) {
        /* a cloud that is named is all that is spoken of */
        bool is_asked_for = q->cloud == NULL || weir_glob_match(weir_sv_of(q->cloud), weir_sv_of(l->row[i].offer->provider));
        if (!is_asked_for || (!q->all && !weir_offer_verdict_is_included(l->row[i].verdict)) ||
            (q->launchable && !l->row[i].offer->launchable)) {
            continue;
        }
        if (w->skip > 0) {
            w->skip--;
        } else if (w->left == 0) {
            w->has_more = true;
        } else {
            w->left--;
            row_json(j, &l->row[i], query, gpus, q);
        }
    }
}

/* Those that nothing but a rate of their currency lacks: of each, how many. */
static void unpriced_json(struct weir_json *j, const struct weir_offer_list *l)
{
    struct weir_unpriced kind[WEIR_CATALOGUE_RATES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->row[i].verdict == WEIR_VERDICT_CURRENCY) {
            weir_unpriced_add(kind, &n, WEIR_ARRAY_LEN(kind), l->row[i].offer->currency);
        }
    }
    weir_json_key(j, "unpriced");
    weir_json_array(j);
    for (size_t i = 0; i < n; i++) {
        char text[128];
        weir_json_object(j);
        weir_json_kv_cstr(j, "currency", kind[i].currency);
        weir_json_kv_u64(j, "offers", kind[i].offers);
        weir_json_kv_cstr(j, "reason", weir_offer_no_rate(kind[i].currency, text, sizeof text));
        weir_json_end(j);
    }
    weir_json_end(j);
}

/* Appends a name once. */
static void add_name(const char **names, size_t *n, const char *name)
{
    for (size_t i = 0; i < *n; i++) {
        if (weir_streq(names[i], name)) {
            return;
        }
    }
    if (*n < PROVIDER_NAMES_MAX) {
        names[(*n)++] = name;
    }
}

int api_offers_cloud(const struct api_offer_query *q, const struct weir_offer *rented, size_t n_rented, struct weir_err *err)
{
    const char *names[PROVIDER_NAMES_MAX + 1] = {"local"};
    size_t n = 1;
    for (size_t i = 0; weir_providers[i] != NULL; i++) {
        add_name(names, &n, weir_providers[i]->name);
    }
    for (size_t i = 0; i < n_rented; i++) {
        if (i == 0 || !weir_streq(rented[i].provider, rented[i - 1].provider)) {
            add_name(names, &n, rented[i].provider);
        }
    }
    names[n] = NULL;
    WEIR_CLEANUP(weir_str_release) struct weir_str known = WEIR_STR_INIT(200);
    for (size_t i = 0; i < n; i++) {
        if (q->cloud == NULL || weir_glob_match(weir_sv_of(q->cloud), weir_sv_of(names[i]))) {
            return 0;
        }
        weir_str_addf(&known, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    const char *near = weir_nearest(weir_sv_of(q->cloud), names);
    if (near != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "cloud '%.64s' is not known; did you mean '%s'?", q->cloud, near);
    }
    return weir_fail(err, -WEIR_EINVAL, "cloud '%.64s' is not known; there are %s", q->cloud, weir_str_cstr(&known));
}

void api_offers_write(struct weir_gpu_table *gpus, const struct api_offer_query *q, const struct weir_offer *owned,
                      size_t n_owned, const struct weir_offer *rented, size_t n_rented, struct weir_str *out)
{
    const char *regions[] = {q->region, NULL};
    const char *clouds[] = {q->cloud, NULL};
    struct weir_offer_query query = {.providers = q->cloud == NULL ? NULL : clouds,
                                     .regions = q->region == NULL ? NULL : regions};
    (void)read_wishes(gpus, q, &query, NULL);
    if (q->has_spot) {
        uint32_t spot = 1u << WEIR_OFFER_SPOT;
        query.markets = q->is_spot ? spot : (1u << WEIR_OFFER_ON_DEMAND | 1u << WEIR_OFFER_RESERVED);
    }
    struct weir_offer_list own = {0};
    struct weir_offer_list other = {0};
    add_named(&own, owned, n_owned, gpus);
    add_named(&other, rented, n_rented, gpus);
    (void)weir_offer_list_rank(&own, &query, gpus, q->now, q->all);
    (void)weir_offer_list_rank(&other, &query, gpus, q->now, q->all);
    struct window w = {.skip = q->cursor, .left = q->limit};
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    weir_json_key(&j, "items");
    weir_json_array(&j);
    write_rows(&j, &w, &own, &query, q, gpus);
    write_rows(&j, &w, &other, &query, q, gpus);
    weir_json_end(&j);
    unpriced_json(&j, &other);
    weir_json_key(&j, "feeds");
    weir_json_raw(&j, q->feeds.n > 0 ? q->feeds : WEIR_SV("[]"));
    weir_json_key(&j, "next");
    if (w.has_more) {
        char buf[24];
        (void)snprintf(buf, sizeof buf, "%" PRIu64, q->cursor + q->limit);
        weir_json_cstr(&j, buf);
    } else {
        weir_json_null(&j);
    }
    weir_json_end(&j);
    weir_offer_list_release(&own);
    weir_offer_list_release(&other);
}
