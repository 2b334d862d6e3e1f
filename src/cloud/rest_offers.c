/* SPDX-License-Identifier: Apache-2.0 */
/* Offers of a provider: its own prices where it tells them, over what the catalogue knows of it. */

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/money.h"
#include "base/parse.h"
#include "cloud/catalogue.h"
#include "cloud/exchange.h"
#include "cloud/rest_priv.h"

/* A price that is further than this from every price that the catalogue has for the same GPU at this provider is a mistake of
 * somebody's, not an opportunity. */
enum { PLAUSIBLE_FACTOR = 4, PRICE_VALID_HOURS = 6 };

const char *weir_rest_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

int64_t weir_rest_price(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    double units = json_is_number(v) ? json_number_value(v) : -1.0;
    return units >= 0.0 && units < 1e6 ? (int64_t)llround(units * 1e6) : -1;
}

struct weir_wall weir_rest_time(const json_t *object, const char *key)
{
    struct weir_wall t = {0};
    return weir_parse_time(weir_sv_of(weir_rest_text(object, key)), &t, NULL) < 0 ? (struct weir_wall){0} : t;
}

bool weir_rest_region_is_wanted(const struct weir_provider *p, const char *region)
{
    for (size_t i = 0; i < p->conf.n_regions; i++) {
        if (weir_glob_match(weir_sv_of(p->conf.region[i]), weir_sv_of(region))) {
            return true;
        }
    }
    return p->conf.n_regions == 0;
}

void weir_rest_offers_next(struct weir_rest_offers *l, const char *page)
{
    (void)snprintf(l->next, sizeof l->next, "%s", page);
}

const struct weir_offer *weir_rest_catalogue(const struct weir_provider *p, size_t *ret_n)
{
    *ret_n = 0;
    return p->env->catalogue == NULL ? NULL : p->env->catalogue(p->env->catalogue_ctx, p->contract->name, ret_n);
}

const struct weir_offer *weir_rest_catalogue_type(const struct weir_provider *p, const char *type, uint8_t market)
{
    size_t n;
    const struct weir_offer *all = weir_rest_catalogue(p, &n);
    const struct weir_offer *found = NULL;
    for (size_t i = 0; i < n; i++) {
        bool same = all[i].market != WEIR_OFFER_RESERVED && weir_streq(all[i].instance_type, type);
        found = same && (found == NULL || all[i].market == market) ? &all[i] : found;
    }
    return found;
}

uint16_t weir_rest_gpu_model(const struct weir_provider *p, const char *name, uint32_t mem_mib)
{
    static const char *const forms[] = {" PCIE", " PCIe", " NVL", " WS", " S"}; /* of one model, at the end of its name */
    struct weir_sv base = weir_sv_of(name);
    uint16_t model = WEIR_GPU_MODEL_ANY;
    for (size_t i = 0; i <= WEIR_ARRAY_LEN(forms) && model == WEIR_GPU_MODEL_ANY && base.n <= 40; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%.*s %uGB", WEIR_SV_ARG(base), (unsigned)((mem_mib + 1023) / 1024));
        model = weir_gpu_table_find(p->env->gpus, weir_sv_of(text));
        model = model != WEIR_GPU_MODEL_ANY ? model : weir_gpu_table_find(p->env->gpus, base);
        struct weir_sv form = i < WEIR_ARRAY_LEN(forms) ? weir_sv_of(forms[i]) : WEIR_SV("");
        base = weir_sv_of(name);
        bool has = base.n > form.n && memcmp(base.p + base.n - form.n, form.p, form.n) == 0;
        base.n -= has ? form.n : 0;
    }
    return model;
}

static bool is_plausible(const struct weir_provider *p, const struct weir_offer *o)
{
    size_t n;
    const struct weir_offer *c = weir_rest_catalogue(p, &n);
    int64_t low = INT64_MAX;
    int64_t high = 0;
    for (size_t i = 0; i < n && o->gpus > 0; i++) {
        if (c[i].gpu_model == o->gpu_model && c[i].gpus > 0 && c[i].price_micro_per_hour > 0) {
            int64_t each = c[i].price_micro_per_hour / c[i].gpus;
            low = each < low ? each : low;
            high = each > high ? each : high;
        }
    }
    int64_t each = o->gpus > 0 ? o->price_micro_per_hour / o->gpus : o->price_micro_per_hour;
    return high == 0 || (each >= low / PLAUSIBLE_FACTOR && each <= high * PLAUSIBLE_FACTOR);
}

/* How much a row of the catalogue tells of an offer; 0: nothing. */
static int likeness(const struct weir_offer *row, const struct weir_offer *o)
{
    if (row->gpu_model != o->gpu_model || row->gpus != o->gpus) {
        return 0;
    }
    return 1 + (row->market == o->market ? 1 : 0) + (weir_streq(row->instance_type, o->instance_type) ? 2 : 0);
}

/* What the catalogue says of the provider as a whole, and of the host that comes with such GPUs. */
static void complete(const struct weir_provider *p, struct weir_offer *o)
{
    size_t n;
    const struct weir_offer *c = weir_rest_catalogue(p, &n);
    const struct weir_offer *alike = NULL;
    for (size_t i = 0; i < n; i++) {
        int like = likeness(&c[i], o);
        int best = alike == NULL ? 0 : likeness(alike, o);
        if (like > best || (like > 0 && like == best && c[i].cpu_milli < alike->cpu_milli)) {
            alike = &c[i]; /* the smaller host is promised */
        }
    }
    if (n > 0) {
        const struct weir_offer *any = alike != NULL ? alike : c;
        o->bill_quantum = any->bill_quantum;
        o->bill_minimum = any->bill_minimum;
        o->boot_expected = any->boot_expected;
        o->egress_micro_per_gib = o->egress_micro_per_gib != 0 ? o->egress_micro_per_gib : any->egress_micro_per_gib;
        if (o->market == WEIR_OFFER_SPOT) {
            o->reclaim_notice = any->reclaim_notice;
            o->reclaim_ppm_per_hour = any->reclaim_ppm_per_hour;
        }
    }
    if (o->cpu_milli == 0 && alike != NULL) {
        o->cpu_milli = alike->cpu_milli;
        o->mem_mib = alike->mem_mib;
    }
    if (o->cpu_milli == 0) {
        o->cpu_milli = p->ops->cpu_milli_each * o->gpus;
        o->mem_mib = (uint64_t)p->ops->mem_mib_each * o->gpus;
    }
    if (o->bill_quantum.us == 0) {
        o->bill_quantum = weir_dur_s(1);
    }
}

void weir_rest_offers_refuse(struct weir_rest_offers *l, const char *fmt, ...)
{
    if (l->n_refused++ == 0) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(l->refused, sizeof l->refused, fmt, ap);
        va_end(ap);
    }
}

void weir_rest_offers_unpriced(struct weir_rest_offers *l, const char *currency)
{
    l->n_unpriced++;
    (void)snprintf(l->no_rate, sizeof l->no_rate, "%.3s", currency);
}

bool weir_rest_is_near(int64_t price_micro, int64_t list_micro)
{
    return price_micro >= list_micro / PLAUSIBLE_FACTOR && price_micro <= list_micro * PLAUSIBLE_FACTOR;
}

/* A price that a driver gives in a currency, which has no rate yet. False, and left out, where there is none. */
static bool exchange(struct weir_rest_offers *l, struct weir_offer *o)
{
    const struct weir_provider_env *env = l->p->env;
    const char *usual = l->p->ops->currency == NULL ? "" : l->p->ops->currency;
    char currency[sizeof o->currency];
    (void)snprintf(currency, sizeof currency, "%s", o->currency[0] == '\0' ? usual : o->currency);
    if (o->rate_nano != 0) { /* it was exchanged already, as the catalogue's are */
        return true;
    }
    o->egress_micro_per_gib = weir_provider_amount(env, currency, o->egress_micro_per_gib);
    if (!weir_provider_price(env, o, currency, o->price_micro_per_hour)) {
        weir_rest_offers_unpriced(l, currency);
        return false;
    }
    return true;
}

const char *weir_rest_zone_is_region(const struct weir_provider *p, const struct weir_offer *o)
{
    (void)p;
    return o->region;
}

/* After its id was made, which is that of the price list's row. */
static void name_zone(const struct weir_provider *p, struct weir_offer *o)
{
    if (o->zone[0] == '\0' && p->ops->zone != NULL) {
        (void)snprintf(o->zone, sizeof o->zone, "%s", p->ops->zone(p, o));
    }
}

void weir_rest_offers_add(struct weir_rest_offers *l, const struct weir_offer *offer)
{
    struct weir_provider *p = l->p;
    struct weir_offer o = *offer;
    if (!weir_rest_region_is_wanted(p, o.region) || (p->conf.gpus_max != 0 && o.gpus > p->conf.gpus_max)) {
        return;
    }
    (void)snprintf(o.provider, sizeof o.provider, "%s", p->contract->name);
    if (!exchange(l, &o)) {
        return;
    }
    complete(p, &o);
    if (o.price_micro_per_hour <= 0 || !is_plausible(p, &o)) {
        char price[WEIR_MONEY_SIZE];
        weir_rest_offers_refuse(l, "%s in %s at %s an hour", o.instance_type, o.region, weir_money_format(o.price_micro_per_hour, price));
        return;
    }
    if (o.as_of.us == 0) {
        o.as_of = weir_clock_wall(p->env->clock);
        o.expires = weir_wall_add(o.as_of, weir_dur_s(PRICE_VALID_HOURS * INT64_C(3600)));
    }
    o.price_since = weir_provider_since(p->env, o.price_since);
    o.launchable = true;
    o.id = weir_offer_id(&o);
    if (weir_map_get(&l->ids, o.id, NULL)) {
        return; /* told twice */
    }
    if (l->offer.n == OFFERS_MAX) {
        weir_rest_offers_refuse(l, "%s in %s: there are more than %d offers", o.instance_type, o.region, OFFERS_MAX);
        return;
    }
    weir_map_put(&l->ids, o.id, 0);
    name_zone(p, &o);
    weir_vec_push(&l->offer, o);
}

void rest_offers_from_catalogue(struct weir_rest_offers *l)
{
    struct weir_provider *p = l->p;
    size_t n;
    const struct weir_offer *c = weir_rest_catalogue(p, &n);
    for (size_t i = 0; i < n; i++) {
        bool wanted = c[i].market != WEIR_OFFER_RESERVED && weir_rest_region_is_wanted(p, c[i].region) &&
                      (p->conf.gpus_max == 0 || c[i].gpus <= p->conf.gpus_max);
        if (wanted && (c[i].market != WEIR_OFFER_SPOT || (p->contract->caps & WEIR_PROVIDER_SPOT) != 0)) {
            weir_vec_push(&l->offer, c[i]);
            l->offer.p[l->offer.n - 1].launchable = true;
            name_zone(p, &l->offer.p[l->offer.n - 1]);
        }
    }
}

void rest_offers_release(struct weir_rest_offers *l)
{
    weir_vec_release(&l->offer);
    weir_map_release(&l->ids);
}
