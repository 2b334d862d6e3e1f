/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Machines that are paid for whether they run or not: reserved instances, committed use, savings plans. They are rented
 * as any other of their type on demand, which is what providers' discounts come by; here they are offers of their own,
 * of which there are so many, decided on as free and billed at what the commitment costs for each.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "broker_priv.h"
#include "cloud/catalogue.h"

/* What there is of a commitment now. */
enum committed_state {
    COMMITTED_NOT_TOLD, /* its provider has not said what it offers */
    COMMITTED_OFFERED,
    COMMITTED_EARLY,
    COMMITTED_OVER,
    COMMITTED_UNMATCHED,
};

/* ---- its offer ---- */

/* Of what a reservation is the provider may have none on demand: then its spot machines say what it is. */
static bool is_of(const struct weir_config_committed *c, const struct weir_offer *o, enum weir_market market)
{
    return o->market == market && weir_streq(o->instance_type, c->instance_type) && weir_streq(o->region, c->region) &&
           (c->zone[0] == '\0' || o->zone[0] == '\0' || weir_streq(o->zone, c->zone));
}

/* The offer that it is like: the first on demand in its zone, where it names one. */
static const struct weir_offer *offer_of(const struct weir_config_committed *c, const struct weir_offer *o, size_t n)
{
    const struct weir_offer *spot = NULL;
    for (size_t i = 0; i < n; i++) {
        if (is_of(c, &o[i], WEIR_OFFER_ON_DEMAND)) {
            return &o[i];
        }
        bool will_do = spot == NULL && c->reservation[0] != '\0' && c->price_micro_per_hour > 0;
        spot = will_do && is_of(c, &o[i], WEIR_OFFER_SPOT) ? &o[i] : spot;
    }
    return spot;
}

/* Of two commitments of one type and place, each has an offer of its own: by their names, and what their machines name. */
static uint64_t id_of(const struct weir_config_committed *c, struct weir_offer o)
{
    o.market = WEIR_OFFER_RESERVED;
    uint64_t id = weir_offer_id(&o);
    if (c->name[0] == '\0' && c->reservation[0] == '\0') {
        return id;
    }
    const uint64_t parts[] = {id, weir_hash_bytes(c->name, strlen(c->name)), weir_hash_bytes(c->reservation, strlen(c->reservation))};
    return weir_hash_bytes(parts, sizeof parts) | 1; /* not 0 */
}

/* Amazon EC2 terminates what runs in a Capacity Block half an hour before its end (EC2 User Guide, "Capacity Blocks for ML"). */
static struct weir_wall ends_of(const struct weir_config_committed *c)
{
    enum { BLOCK_CLEARED_S = 1800 };
    struct weir_wall ends = {c->bound ? c->until.us : 0};
    ends.us -= c->bound && weir_streq(c->provider, "aws") ? BLOCK_CLEARED_S * WEIR_US_PER_S : 0;
    return ends;
}

/* "committed: cr-0123456789, until 2027-01-01" */
static void say_source(const struct weir_config_committed *c, char *ret, size_t size)
{
    struct weir_str text = WEIR_STR_INIT(256);
    char when[WEIR_RFC3339_SIZE];
    const char *slash = strrchr(c->reservation, '/');
    const char *what = c->name[0] != '\0' ? c->name : slash != NULL ? slash + 1 : c->reservation;
    weir_str_addf(&text, "committed%s%.34s", what[0] != '\0' ? ": " : ", in weir.yaml", what);
    if (c->until.us != INT64_MAX) {
        weir_str_addf(&text, ", until %.10s", weir_wall_format(c->until, when));
    }
    (void)snprintf(ret, size, "%s", weir_str_cstr(&text));
    weir_str_release(&text);
}

static void fill(const struct weir_config_committed *c, const struct weir_offer *like, struct weir_offer *ret)
{
    *ret = *like;
    ret->market = WEIR_OFFER_RESERVED;
    ret->machines_max = c->machines;
    ret->reclaim_ppm_per_hour = 0;
    ret->reclaim_notice = (struct weir_dur){0};
    ret->price_since = (struct weir_wall){0};
    if (c->price_micro_per_hour > 0) { /* in the ledger's currency, whatever becomes of the price on demand */
        ret->price_micro_per_hour = c->price_micro_per_hour;
        ret->expires = WEIR_WALL_MAX;
        memset(ret->currency, 0, sizeof ret->currency);
        ret->original_micro_per_hour = 0;
        ret->rate_nano = 0;
    }
    if (c->zone[0] != '\0') {
        memcpy(ret->zone, c->zone, sizeof ret->zone);
    }
    ret->ends = ends_of(c);
    ret->plan = c->plan;
    ret->plan_micro_per_hour = c->plan_micro_per_hour;
    struct weir_wall last = ret->ends.us != 0 ? ret->ends : c->until;
    ret->expires.us = last.us < ret->expires.us ? last.us : ret->expires.us;
    say_source(c, ret->source, sizeof ret->source);
    ret->id = id_of(c, *ret);
}

/* Its lease may have got another zone, chosen for a gang, than its offer had. */
static bool made(const struct weir_config_committed *c, const struct weir_offer *o)
{
    struct weir_offer open = *o;
    struct weir_offer own = *o;
    memset(open.zone, 0, sizeof open.zone);
    memcpy(own.zone, c->zone, sizeof own.zone);
    return id_of(c, *o) == o->id || id_of(c, open) == o->id || id_of(c, own) == o->id;
}

bool committed_reservation(const struct broker *b, const struct weir_offer *o, char ret[static WEIR_RESERVATION_SIZE])
{
    static const struct weir_config_committed plain = {.machines = 1};
    ret[0] = '\0';
    for (size_t i = 0; o->market == WEIR_OFFER_RESERVED && b->config != NULL && i < b->config->n_committed; i++) {
        const struct weir_config_committed *c = &b->config->committed[i];
        if (weir_streq(c->provider, o->provider) && weir_streq(c->instance_type, o->instance_type) && weir_streq(c->region, o->region) && made(c, o)) {
            memcpy(ret, c->reservation, WEIR_RESERVATION_SIZE);
            return true;
        }
    }
    /* those that name nothing are machines on demand to their provider */
    return o->market != WEIR_OFFER_RESERVED || b->config == NULL || made(&plain, o);
}

struct weir_wall committed_notice(const struct broker *b, struct weir_lease_id lease)
{
    enum { NOTICE_S = 600 };
    struct weir_lease_view v;
    bool is_due = weir_core_lease(weir_engine_core(b->engine), lease, &v) && v.offer.ends.us != 0 &&
                  weir_wall_sub(v.offer.ends, weir_engine_now(b->engine)).us <= NOTICE_S * WEIR_US_PER_S;
    return is_due ? v.offer.ends : (struct weir_wall){0};
}

static enum committed_state state_of(const struct weir_config_committed *c, const struct weir_offer *like,
                                     struct weir_wall now)
{
    return now.us < c->from.us     ? COMMITTED_EARLY
           : now.us >= (c->bound ? ends_of(c).us : c->until.us) ? COMMITTED_OVER
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
    if (state != b->committed[commitment].state && state != COMMITTED_OFFERED) {
        struct weir_str text = WEIR_STR_INIT(256);
        say(&text, c, state, o, n);
        weir_log(state == COMMITTED_EARLY ? WEIR_LOG_NOTICE : WEIR_LOG_WARNING, "committed",
                 "text=\"%s: nothing is rented by it\"", weir_str_cstr(&text));
        weir_str_release(&text);
    }
    b->committed[commitment].state = (uint8_t)state;
    if (state == COMMITTED_OFFERED) {
        fill(c, like, ret);
        b->committed[commitment].offer = ret->id;
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

/* Of the machines that are paid for, or of a plan's money, what is in use. */
static void say_use(struct weir_str *text, const struct broker *b, size_t commitment)
{
    const struct weir_config_committed *c = &b->config->committed[commitment];
    const struct weir_core *core = weir_engine_core(b->engine);
    size_t n = weir_core_leases(core, NULL, 0);
    struct weir_lease_id *ids = weir_calloc(n, sizeof *ids);
    (void)weir_core_leases(core, ids, n);
    uint64_t machines = 0;
    int64_t micro = 0;
    for (size_t i = 0; i < n; i++) {
        struct weir_lease_view v;
        bool is_live = weir_core_lease(core, ids[i], &v) && v.state != WEIR_LEASE_ENDED && v.state != WEIR_LEASE_FAILED && v.offer.market == WEIR_OFFER_RESERVED;
        machines += is_live && v.offer.id == b->committed[commitment].offer;
        micro += is_live && c->plan != 0 && v.offer.plan == c->plan ? v.offer.price_micro_per_hour : 0;
    }
    free(ids);
    weir_str_addf(text, "line %" PRIu32 ": %s in %s: %" PRIu64 " of %" PRIu32 " machines in use", c->line, c->instance_type, c->region, machines, c->machines);
    if (c->plan != 0) {
        char used[WEIR_MONEY_SIZE];
        char all[WEIR_MONEY_SIZE];
        weir_str_addf(text, "; of the plan '%s' %s of %s %s an hour", c->name, weir_money_format_short(micro, b->config->currency, used),
                      weir_money_format_short(c->plan_micro_per_hour, b->config->currency, all), b->config->currency);
    }
}

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
        enum committed_state state = (enum committed_state)b->committed[i].state;
        if (!weir_streq(x->provider, provider)) {
            continue;
        }
        n++;
        n_of[state]++;
        if (p == NULL || state == COMMITTED_NOT_TOLD) {
            continue;
        }
        bool is_well = state == COMMITTED_EARLY || state == COMMITTED_OFFERED;
        struct weir_check c = {.name = "commitment", .verdict = is_well ? WEIR_CHECK_OK : WEIR_CHECK_WARNING};
        struct weir_str text = WEIR_STR_INIT(256);
        if (state == COMMITTED_OFFERED) {
            say_use(&text, b, i);
        } else {
            say(&text, x, state, p->offers.p, p->offers.n);
        }
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
