/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Machines that are paid for whether they run or not: reserved instances, committed use, savings plans. They are rented
 * as any other of their type on demand, which is what providers' discounts come by; here they are offers of their own,
 * of which there are so many, decided on as free and billed at what the commitment costs for each.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "broker_priv.h"
#include "cloud/catalogue.h"
#include "cloud/section.h"
#include "config_priv.h"

static const char *const keys[] = {"provider",      "instance_type", "region", "zone",  "machines",
                                   "plan_per_hour", "per_hour",      "from",   "until", NULL};

/* What there is of a commitment now. */
enum committed_state {
    COMMITTED_NOT_TOLD, /* its provider has not said what it offers */
    COMMITTED_OFFERED,
    COMMITTED_EARLY,
    COMMITTED_OVER,
    COMMITTED_UNMATCHED,
};

/* A driver of that name, else the error names the nearest. */
static int check_provider(const char *name, const char *where, struct weir_err *err)
{
    const char *names[WEIR_CONFIG_PROVIDERS_MAX + 1] = {0};
    char want[256];
    size_t n = 0;
    for (; n < WEIR_CONFIG_PROVIDERS_MAX && weir_providers[n] != NULL; n++) {
        names[n] = weir_providers[n]->name;
        if (weir_streq(names[n], name)) {
            return 0;
        }
    }
    const char *near = weir_nearest(weir_sv_of(name), names);
    if (near != NULL) {
        (void)snprintf(want, sizeof want, "'%s' is not known; did you mean '%s'?", name, near);
        return weir_section_bad(err, where, "provider", want);
    }
    struct weir_str known = WEIR_STR_INIT(256);
    for (size_t i = 0; i < n; i++) {
        weir_str_addf(&known, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    (void)snprintf(want, sizeof want, "'%s' is not known; there are %s", name, weir_str_cstr(&known));
    weir_str_release(&known);
    return weir_section_bad(err, where, "provider", want);
}

static int read_time(const struct json_t *section, const char *where, const char *key, struct weir_wall *ret,
                     struct weir_err *err)
{
    char text[48] = "";
    int r = weir_section_text(section, where, key, text, sizeof text, err);
    if (r == 0 && text[0] != '\0' && weir_parse_time(weir_sv_of(text), ret, NULL) < 0) {
        return weir_section_bad(err, where, key, "must be a time, such as 2027-01-01 or 2027-01-01T11:30:00Z");
    }
    return r;
}

int committed_read(struct weir_config_committed *ret, const struct json_t *section, struct weir_err *err)
{
    static const char where[] = "committed";
    struct weir_config_committed c = {.until = WEIR_WALL_MAX};
    int64_t plan = 0;
    int r = json_is_object(section)
                ? weir_section_check(section, where, keys, err)
                : weir_section_bad(err, where, "", "each must be a mapping with provider, instance_type, region");
    r = r < 0 ? r : weir_section_text(section, where, "provider", c.provider, sizeof c.provider, err);
    r = r < 0 ? r : weir_section_text(section, where, "instance_type", c.instance_type, sizeof c.instance_type, err);
    r = r < 0 ? r : weir_section_text(section, where, "region", c.region, sizeof c.region, err);
    r = r < 0 ? r : weir_section_text(section, where, "zone", c.zone, sizeof c.zone, err);
    r = r < 0 ? r : weir_section_u32(section, where, "machines", 1, 100000, &c.machines, err);
    r = r < 0 ? r : weir_section_price(section, where, "per_hour", &c.price_micro_per_hour, err);
    r = r < 0 ? r : weir_section_price(section, where, "plan_per_hour", &plan, err);
    r = r < 0 ? r : read_time(section, where, "from", &c.from, err);
    r = r < 0 ? r : read_time(section, where, "until", &c.until, err);
    if (r < 0) {
        return r;
    }
    if (c.provider[0] == '\0' || c.instance_type[0] == '\0' || c.region[0] == '\0') {
        return weir_section_bad(err, where,
                                c.provider[0] == '\0'        ? "provider"
                                : c.instance_type[0] == '\0' ? "instance_type"
                                                             : "region",
                                "is missing");
    }
    r = check_provider(c.provider, where, err);
    if (r < 0) {
        return r;
    }
    if (c.until.us <= c.from.us) {
        return weir_section_bad(err, where, "until", "must be later than from");
    }
    if ((c.machines == 0) == (plan == 0)) {
        return weir_section_bad(
            err, where, "machines",
            "is how many are paid for; or plan_per_hour what the plan pays for each hour: one of both");
    }
    if (plan > 0 &&
        (c.price_micro_per_hour == 0 || plan / c.price_micro_per_hour < 1 || plan / c.price_micro_per_hour > 100000)) {
        return weir_section_bad(err, where, "per_hour",
                                "must be the plan's rate of one machine, for which plan_per_hour is enough");
    }
    c.machines = plan > 0 ? (uint32_t)(plan / c.price_micro_per_hour) : c.machines;
    *ret = c;
    return 0;
}

/* ---- its offer ---- */

static bool is_of(const struct weir_config_committed *c, const struct weir_offer *o)
{
    return o->market == WEIR_OFFER_ON_DEMAND && weir_streq(o->instance_type, c->instance_type) &&
           weir_streq(o->region, c->region) && (c->zone[0] == '\0' || weir_streq(o->zone, c->zone));
}

/* The offer on demand that it discounts: the first in its zone, where it names one. */
static const struct weir_offer *offer_of(const struct weir_config_committed *c, const struct weir_offer *o, size_t n)
{
    size_t i = 0;
    while (i < n && !is_of(c, &o[i])) {
        i++;
    }
    return i < n ? &o[i] : NULL;
}

static void fill(const struct weir_config_committed *c, const struct weir_offer *like, struct weir_offer *ret)
{
    *ret = *like;
    ret->market = WEIR_OFFER_RESERVED;
    ret->machines_max = c->machines;
    if (c->price_micro_per_hour > 0) { /* in the ledger's currency, whatever becomes of the price on demand */
        ret->price_micro_per_hour = c->price_micro_per_hour;
        ret->expires = WEIR_WALL_MAX;
        memset(ret->currency, 0, sizeof ret->currency);
        ret->original_micro_per_hour = 0;
        ret->rate_nano = 0;
    }
    ret->expires.us = c->until.us < ret->expires.us ? c->until.us : ret->expires.us;
    (void)snprintf(ret->source, sizeof ret->source, "committed, in weir.yaml");
    ret->id = weir_offer_id(ret);
}

static enum committed_state state_of(const struct weir_config_committed *c, const struct weir_offer *like,
                                     struct weir_wall now)
{
    return now.us < c->from.us     ? COMMITTED_EARLY
           : now.us >= c->until.us ? COMMITTED_OVER
           : like == NULL          ? COMMITTED_UNMATCHED
                                   : COMMITTED_OFFERED;
}

/* ---- what is of no use ---- */

static const char *nearest_type(const char *type, const struct weir_offer *o, size_t n)
{
    const char **names = weir_calloc(n + 1, sizeof *names);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || !weir_streq(names[kept - 1], o[i].instance_type)) { /* a type's offers mostly stand together */
            names[kept++] = o[i].instance_type;
        }
    }
    const char *near = weir_nearest(weir_sv_of(type), names);
    free(names);
    return near;
}

/* Where the provider has the type on demand: some of the regions, or zones of one region. */
static void add_places(struct weir_str *text, const struct weir_config_committed *c, const struct weir_offer *o,
                       size_t n, bool zones)
{
    enum { NAMED_MAX = 4 };
    const char *named[NAMED_MAX];
    size_t n_named = 0;
    for (size_t i = 0; i < n && n_named < NAMED_MAX; i++) {
        const char *place = zones ? o[i].zone : o[i].region;
        bool fits = o[i].market == WEIR_OFFER_ON_DEMAND && weir_streq(o[i].instance_type, c->instance_type) &&
                    place[0] != '\0' && (!zones || weir_streq(o[i].region, c->region));
        for (size_t k = 0; fits && k < n_named; k++) {
            fits = !weir_streq(named[k], place);
        }
        if (fits) {
            weir_str_addf(text, "%s%s", n_named > 0 ? ", " : "", place);
            named[n_named++] = place;
        }
    }
    if (n_named == 0) { /* of zones only */
        weir_str_addf(text, "none is named");
    }
}

/* Why none of the provider's offers is what the commitment is for. */
static void say_unmatched(struct weir_str *text, const struct weir_config_committed *c, const struct weir_offer *o,
                          size_t n)
{
    bool has_type = false;
    bool in_region = false;
    bool on_demand = false; /* there */
    for (size_t i = 0; i < n; i++) {
        bool type = o[i].market != WEIR_OFFER_RESERVED && weir_streq(o[i].instance_type, c->instance_type);
        bool region = type && weir_streq(o[i].region, c->region);
        has_type = has_type || (type && o[i].market == WEIR_OFFER_ON_DEMAND);
        in_region = in_region || region;
        on_demand = on_demand || (region && o[i].market == WEIR_OFFER_ON_DEMAND);
    }
    if (on_demand) {
        weir_str_addf(text, "%s does not offer %s in zone '%s'; its zones of it in %s: ", c->provider, c->instance_type,
                      c->zone, c->region);
        add_places(text, c, o, n, true);
    } else if (in_region) {
        weir_str_addf(text, "%s offers %s in %s on the spot market only", c->provider, c->instance_type, c->region);
    } else if (has_type) {
        weir_str_addf(text, "%s does not offer %s in region '%s'; it does in ", c->provider, c->instance_type,
                      c->region);
        add_places(text, c, o, n, false);
    } else {
        const char *near = nearest_type(c->instance_type, o, n);
        weir_str_addf(text, "%s offers no machine of type '%s'%s%s%s", c->provider, c->instance_type,
                      near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
    }
}

/* What is the matter with it, in words. */
static void say(struct weir_str *text, const struct weir_config_committed *c, enum committed_state state,
                const struct weir_offer *o, size_t n)
{
    char when[WEIR_RFC3339_SIZE];
    weir_str_addf(text, "line %" PRIu32 ": ", c->line);
    switch (state) {
    case COMMITTED_NOT_TOLD:
        weir_str_addf(text, "%s has not told yet what it offers", c->provider);
        break;
    case COMMITTED_OFFERED:
        weir_str_addf(text, "%s in %s is offered", c->instance_type, c->region);
        break;
    case COMMITTED_EARLY:
        weir_str_addf(text, "%s in %s begins at %s", c->instance_type, c->region, weir_wall_format(c->from, when));
        break;
    case COMMITTED_OVER:
        weir_str_addf(text, "%s in %s ended at %s", c->instance_type, c->region, weir_wall_format(c->until, when));
        break;
    case COMMITTED_UNMATCHED:
        say_unmatched(text, c, o, n);
        break;
    }
}

bool committed_offer(struct broker *b, size_t commitment, const char *provider, const struct weir_offer *o, size_t n,
                     struct weir_offer *ret)
{
    const struct weir_config_committed *c = &b->config->committed[commitment];
    if (!weir_streq(c->provider, provider)) {
        return false;
    }
    const struct weir_offer *like = offer_of(c, o, n);
    enum committed_state state = state_of(c, like, weir_engine_now(b->engine));
    if (state != b->committed[commitment] && state != COMMITTED_OFFERED) {
        struct weir_str text = WEIR_STR_INIT(256);
        say(&text, c, state, o, n);
        weir_log(state == COMMITTED_EARLY ? WEIR_LOG_NOTICE : WEIR_LOG_WARNING, "committed",
                 "text=\"%s: nothing is rented by it\"", weir_str_cstr(&text));
        weir_str_release(&text);
    }
    b->committed[commitment] = (uint8_t)state;
    if (state == COMMITTED_OFFERED) {
        fill(c, like, ret);
    }
    return state == COMMITTED_OFFERED;
}

/* ---- providers that are not configured ---- */

static bool is_configured(const struct broker *b, const char *provider)
{
    size_t i = 0;
    while (i < b->n_providers && !weir_streq(b->provider[i].ops->name, provider)) {
        i++;
    }
    return i < b->n_providers;
}

const char *committed_unconfigured(const struct broker *b, size_t at)
{
    for (size_t i = 0; i < b->config->n_committed; i++) {
        const char *provider = b->config->committed[i].provider;
        bool first = !is_configured(b, provider);
        for (size_t k = 0; first && k < i; k++) {
            first = !weir_streq(b->config->committed[k].provider, provider);
        }
        if (first && at-- == 0) {
            return provider;
        }
    }
    return NULL;
}

void committed_begin(const struct broker *b)
{
    const char *provider;
    for (size_t i = 0; (provider = committed_unconfigured(b, i)) != NULL; i++) {
        weir_log(WEIR_LOG_WARNING, "committed",
                 "provider=%s text=\"there are commitments with it, and it is not under 'providers': nothing is rented "
                 "by them\"",
                 provider);
    }
}

/* ---- for weir doctor ---- */

static const char *const remedies[] = {
    [COMMITTED_NOT_TOLD] = "",
    [COMMITTED_OFFERED] = "",
    [COMMITTED_EARLY] = "",
    [COMMITTED_OVER] = "remove its line from 'committed' in weir.yaml, or correct its 'until'",
    [COMMITTED_UNMATCHED] =
        "correct its line in 'committed' in weir.yaml; 'weir offers --launchable' shows what there is",
};

void committed_check(const struct broker *b, const char *provider, void (*add)(void *ctx, const struct weir_check *c),
                     void *ctx)
{
    const struct provider *p = NULL;
    size_t n_of[COMMITTED_UNMATCHED + 1] = {0};
    size_t n = 0;
    for (size_t i = 0; i < b->n_providers; i++) {
        p = weir_streq(b->provider[i].ops->name, provider) ? &b->provider[i] : p;
    }
    for (size_t i = 0; i < b->config->n_committed; i++) {
        const struct weir_config_committed *x = &b->config->committed[i];
        enum committed_state state = (enum committed_state)b->committed[i];
        if (!weir_streq(x->provider, provider)) {
            continue;
        }
        n++;
        n_of[state]++;
        if (p == NULL || state == COMMITTED_OFFERED || state == COMMITTED_NOT_TOLD) {
            continue;
        }
        struct weir_check c = {.name = "commitment",
                               .verdict = state == COMMITTED_EARLY ? WEIR_CHECK_OK : WEIR_CHECK_WARNING};
        struct weir_str text = WEIR_STR_INIT(256);
        say(&text, x, state, p->offers.p, p->offers.n);
        (void)snprintf(c.text, sizeof c.text, "%s", weir_str_cstr(&text));
        (void)snprintf(c.remedy, sizeof c.remedy, "%s", remedies[state]);
        weir_str_release(&text);
        add(ctx, &c);
    }
    if (n == 0) {
        return;
    }
    struct weir_check sum = {.name = "commitments", .verdict = p == NULL ? WEIR_CHECK_WARNING : WEIR_CHECK_OK};
    if (p == NULL) {
        (void)snprintf(sum.text, sizeof sum.text,
                       "%zu in weir.yaml, and the provider is not configured: nothing is rented by them", n);
        (void)snprintf(sum.remedy, sizeof sum.remedy, "add %s under 'providers', or take them out of 'committed'",
                       provider);
    } else if (n_of[COMMITTED_NOT_TOLD] == n) {
        (void)snprintf(sum.text, sizeof sum.text, "%zu in weir.yaml; the provider has not told yet what it offers", n);
    } else {
        (void)snprintf(sum.text, sizeof sum.text, "%zu of %zu can be used now", n_of[COMMITTED_OFFERED], n);
    }
    add(ctx, &sum);
}
