/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be rented now: the catalogue's types of the configured regions, on demand at the price list's price and on the spot at the price of
 * each zone, which is asked for every few minutes. A live price that is zero, or far from the list's, is not believed; the
 * catalogue's own stands then, with its age. Types that a region does not offer are left out.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "cloud/catalogue.h"
#include "cloud/ec2/ec2_priv.h"
#include "cloud/exchange.h"

enum {
    TYPES_MAX = 100,  /* in one request */
    PLACES_MAX = 2000, /* in one region */
    LIST_FACTOR = 4,  /* a price on demand further than this from the catalogue's is not believed */
    SHARE_MIN = 50,   /* a spot price below 1/50 of the list's is not believed */
    CHANGES_MAX = 10000, /* of one price; the oldest are left out of more */
    PAGES_MAX = 100,     /* of one answer; no whole one has as many */
};

#define TYPES_MAX_AGE weir_dur_s(6 * 3600)
#define RETRY_EVERY weir_dur_s(60)

struct ec2_wait {
    struct ec2_wait *next;
    struct weir_provider *p;
    weir_provider_fn *done;
    void *ctx;
};

/* A page under way. */
struct page_op {
    struct weir_provider *p;
    size_t region;
    bool is_types; /* else prices */
    unsigned pages; /* that came */
    struct weir_str form; /* without the page's token */
};

/* ---- the list ---- */

bool ec2_type_is_wanted(const struct ec2_conf *c, const char *type)
{
    for (size_t i = 0; i < c->n_types; i++) {
        if (weir_glob_match(weir_sv_of(c->type[i]), weir_sv_of(type))) {
            return true;
        }
    }
    return c->n_types == 0;
}

static bool is_offered(const struct ec2_region *r, const char *type)
{
    for (size_t i = 0; i < r->types.n; i++) {
        if (weir_streq(r->types.p[i].name, type)) {
            return true;
        }
    }
    return r->types.n == 0;
}

static const struct weir_offer *listed(const struct weir_offer *o, size_t n, const char *region, const char *type, enum weir_market market)
{
    for (size_t i = 0; i < n; i++) {
        if (o[i].market == market && weir_streq(o[i].region, region) && weir_streq(o[i].instance_type, type)) {
            return &o[i];
        }
    }
    return NULL;
}

/* The first of them is told; a call that failed comes before. */
static void refuse_price(struct weir_provider *p, const char *what, const char *type, const char *where, int64_t micro, int64_t listed_micro)
{
    char told[WEIR_MONEY_SIZE];
    char list[WEIR_MONEY_SIZE];
    if (p->price_trouble[0] == '\0') {
        (void)snprintf(p->price_trouble, sizeof p->price_trouble, EC2_NAME ": %s of %.40s in %.32s is refused: %s an hour, and the list has %s", what, type, where,
                       weir_money_format(micro, told), weir_money_format(listed_micro, list));
    }
}

/* False, and no price, where it is in a currency of which no rate is in force; that is told, unless something else is the matter. */
static bool price_in(struct weir_provider *p, struct weir_offer *o, const char *currency, int64_t micro_per_hour)
{
    char text[160];
    bool has_rate = weir_provider_price(p->env, o, currency, micro_per_hour);
    if (!has_rate && p->price_trouble[0] == '\0') {
        (void)snprintf(p->price_trouble, sizeof p->price_trouble, EC2_NAME ": prices in %.32s are in %.3s, and %s", o->region, currency,
                       weir_offer_no_rate(currency, text, sizeof text));
    }
    return has_rate;
}

static void push(struct weir_provider *p, struct weir_offer o)
{
    o.launchable = true;
    o.id = weir_offer_id(&o);
    weir_vec_push(&p->offers, o);
}

static bool spot_is_plausible(int64_t micro, const struct weir_offer *on_demand)
{
    return micro >= on_demand->price_micro_per_hour / SHARE_MIN && micro <= on_demand->price_micro_per_hour * 3 / 2;
}

/* Live prices of a type whose list price is known, one offer per zone. Returns how many were believed. */
static size_t push_live(struct weir_provider *p, const struct ec2_region *r, const struct weir_offer *on_demand, const struct weir_offer *spot)
{
    size_t n = 0;
    for (size_t i = 0; i < r->places.n; i++) {
        const struct ec2_place *at = &r->places.p[i];
        if (!weir_streq(at->type, on_demand->instance_type)) {
            continue;
        }
        struct weir_offer o = spot != NULL ? *spot : *on_demand;
        if (!price_in(p, &o, ec2_usual_currency(o.region), at->micro_per_hour)) {
            continue;
        }
        if (!spot_is_plausible(o.price_micro_per_hour, on_demand)) {
            refuse_price(p, "a spot price", at->type, at->zone, o.price_micro_per_hour, on_demand->price_micro_per_hour);
            continue;
        }
        o.market = WEIR_OFFER_SPOT;
        o.price_since = weir_provider_since(p->env, at->since);
        o.as_of = r->prices_at;
        o.expires = weir_wall_add(r->prices_at, p->conf.price_max_age);
        memcpy(o.zone, at->zone, sizeof o.zone);
        (void)snprintf(o.source, sizeof o.source, "EC2 spot price history");
        push(p, o);
        n++;
    }
    return n;
}

/* The price of now, where the price list has one that can be; else the catalogue's. */
static struct weir_offer at_list_price(struct weir_provider *p, size_t region, const struct weir_offer *row)
{
    struct weir_offer o = *row;
    const struct ec2_listed *l = ec2_pricelist_find(p, region, row->instance_type);
    struct weir_offer told = o;
    if (l == NULL || !price_in(p, &told, l->currency, l->micro_per_hour)) {
        return o;
    }
    if (told.price_micro_per_hour < o.price_micro_per_hour / LIST_FACTOR || told.price_micro_per_hour > o.price_micro_per_hour * LIST_FACTOR) {
        refuse_price(p, "the price", o.instance_type, o.region, told.price_micro_per_hour, o.price_micro_per_hour);
    } else {
        o = told;
        o.as_of = l->at;
        o.expires = weir_wall_add(l->at, weir_dur_s(48 * INT64_C(3600)));
        (void)snprintf(o.source, sizeof o.source, "EC2 Price List (live)");
    }
    return o;
}

static void make_offers(struct weir_provider *p)
{
    struct weir_wall now = weir_clock_wall(p->env->clock);
    size_t n = 0;
    const struct weir_offer *o = p->env->catalogue == NULL ? NULL : p->env->catalogue(p->env->catalogue_ctx, EC2_NAME, &n);
    weir_vec_clear(&p->offers);
    for (size_t i = 0; i < n; i++) {
        int region = ec2_region_index(p, o[i].region);
        if (region < 0 || !ec2_type_is_wanted(&p->conf, o[i].instance_type) || !is_offered(&p->region[region], o[i].instance_type)) {
            continue;
        }
        const struct ec2_region *r = &p->region[region];
        bool is_live = r->prices_at.us != 0 && weir_wall_sub(now, r->prices_at).us < p->conf.price_max_age.us;
        const struct weir_offer *spot = listed(o, n, o[i].region, o[i].instance_type, WEIR_OFFER_SPOT);
        if (o[i].market != WEIR_OFFER_ON_DEMAND) {
            continue;
        }
        struct weir_offer on_demand = at_list_price(p, (size_t)region, &o[i]);
        if (p->conf.on_demand) {
            push(p, on_demand);
        }
        size_t lives = p->conf.spot && is_live ? push_live(p, r, &on_demand, spot) : 0;
        if (p->conf.spot && lives == 0 && spot != NULL) {
            push(p, *spot);
        }
    }
}

/* ---- asking ---- */

static bool is_old(const struct weir_provider *p, struct weir_wall at, struct weir_dur age)
{
    return at.us == 0 || weir_wall_sub(weir_clock_wall(p->env->clock), at).us >= age.us;
}

static void answer_all(struct weir_provider *p)
{
    if (!p->price_failed) {
        p->price_trouble[0] = '\0'; /* what is refused is found out anew */
    }
    make_offers(p);
    if (p->price_trouble[0] == '\0') {
        memcpy(p->price_trouble, p->list_trouble, sizeof p->price_trouble);
    }
    struct ec2_wait *list = p->waits;
    p->waits = NULL;
    for (struct ec2_wait *w = list, *next; w != NULL; w = next) {
        struct weir_provider_result r = {.class = WEIR_PROVIDER_OK, .offer = p->offers.p, .n_offers = p->offers.n, .is_old = p->price_failed};
        memcpy(r.text, p->price_trouble, sizeof r.text);
        next = w->next;
        w->done(w->ctx, &r);
        free(w);
    }
}

static void free_page(void *ctx)
{
    struct page_op *op = ctx;
    weir_str_release(&op->form);
    free(op);
}

static void end_page(struct page_op *op)
{
    struct weir_provider *p = op->p;
    free_page(op);
    if (--p->refreshing == 0) {
        answer_all(p);
    }
}

static bool read_place(const struct weir_xml *item, struct ec2_place *ret)
{
    const char *type = weir_xml_text(item, "instanceType");
    const char *zone = weir_xml_text(item, "availabilityZone");
    *ret = (struct ec2_place){.micro_per_hour = 0};
    if (strlen(type) >= sizeof ret->type || strlen(zone) >= sizeof ret->zone || zone[0] == '\0' ||
        weir_parse_decimal(weir_sv_of(weir_xml_text(item, "spotPrice")), 6, &ret->micro_per_hour, NULL) < 0) {
        return false;
    }
    (void)snprintf(ret->type, sizeof ret->type, "%s", type);
    (void)snprintf(ret->zone, sizeof ret->zone, "%s", zone);
    if (weir_parse_time(weir_sv_of(weir_xml_text(item, "timestamp")), &ret->since, NULL) < 0) {
        ret->since = (struct weir_wall){0};
    }
    return true;
}

static void take_price(struct ec2_region *r, const struct weir_xml *item)
{
    struct ec2_place place;
    if (r->places.n == PLACES_MAX || !read_place(item, &place)) {
        return;
    }
    for (size_t i = 0; i < r->places.n; i++) { /* the newest comes first */
        if (weir_streq(r->places.p[i].type, place.type) && weir_streq(r->places.p[i].zone, place.zone)) {
            return;
        }
    }
    weir_vec_push(&r->places, place);
}

static void take_type(struct ec2_region *r, const struct weir_xml *item)
{
    struct ec2_type type;
    const char *name = weir_xml_text(item, "instanceType");
    if (r->types.n < PLACES_MAX && name[0] != '\0' && strlen(name) < sizeof type.name) {
        (void)snprintf(type.name, sizeof type.name, "%s", name);
        weir_vec_push(&r->types, type);
    }
}

static int send_page(struct page_op *op, const char *token);

static void on_page(void *ctx, const struct weir_cloud_answer *a)
{
    struct page_op *op = ctx;
    struct weir_provider *p = op->p;
    struct ec2_region *r = &p->region[op->region];
    struct weir_arena arena = {0};
    const struct weir_xml *root = NULL;
    if (a->class != WEIR_PROVIDER_OK || weir_xml_parse(a->body, &arena, &root, NULL) < 0) {
        p->price_failed = true;
        (void)snprintf(p->price_trouble, sizeof p->price_trouble, "%s", a->text[0] == '\0' ? EC2_NAME ": an answer with prices cannot be read" : a->text);
        weir_arena_release(&arena);
        end_page(op);
        return;
    }
    if (op->pages++ == 0) {
        if (op->is_types) {
            weir_vec_clear(&r->types);
            r->types_at = weir_clock_wall(p->env->clock);
        } else {
            weir_vec_clear(&r->places);
            r->prices_at = weir_clock_wall(p->env->clock);
        }
    }
    const struct weir_xml *set = weir_xml_at(root, op->is_types ? "instanceTypeOfferingSet" : "spotPriceHistorySet");
    for (const struct weir_xml *x = set == NULL ? NULL : set->first; x != NULL; x = x->next) {
        if (op->is_types) {
            take_type(r, x);
        } else {
            take_price(r, x);
        }
    }
    const char *token = weir_xml_text(root, "nextToken");
    if (token[0] != '\0' && op->pages == PAGES_MAX) { /* what came stands */
        p->price_failed = true;
        (void)snprintf(p->price_trouble, sizeof p->price_trouble, EC2_NAME ": the prices of %.31s do not come to their end: more than %d pages",
                       p->conf.region[op->region], PAGES_MAX);
    }
    bool more = token[0] != '\0' && op->pages < PAGES_MAX && send_page(op, token) == 0;
    weir_arena_release(&arena);
    if (!more) {
        end_page(op);
    }
}

static int send_page(struct page_op *op, const char *token)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str form = WEIR_STR_INIT(op->form.max_bytes);
    weir_str_add(&form, op->form.p, op->form.n);
    if (token[0] != '\0') {
        ec2_form_add(&form, "NextToken", token);
    }
    return ec2_send(op->p, op->p->conf.region[op->region], op->is_types ? "DescribeInstanceTypeOfferings" : "DescribeSpotPriceHistory", WEIR_CLOUD_READ,
                    0, &form, on_page, free_page, op);
}

/* Names of the types that are wanted of a region, each once. */
static size_t add_types(struct weir_provider *p, size_t region, struct weir_str *form, const char *prefix)
{
    size_t n = 0;
    size_t count = 0;
    const struct weir_offer *o = p->env->catalogue == NULL ? NULL : p->env->catalogue(p->env->catalogue_ctx, EC2_NAME, &n);
    for (size_t i = 0; i < n && count < TYPES_MAX; i++) {
        if (weir_streq(o[i].region, p->conf.region[region]) && o[i].market == WEIR_OFFER_ON_DEMAND && ec2_type_is_wanted(&p->conf, o[i].instance_type)) {
            char key[48];
            (void)snprintf(key, sizeof key, "%s.%zu", prefix, ++count);
            ec2_form_add(form, key, o[i].instance_type);
        }
    }
    return count;
}

static void ask(struct weir_provider *p, size_t region, bool is_types)
{
    struct page_op *op = weir_alloc(sizeof *op);
    *op = (struct page_op){.p = p, .region = region, .is_types = is_types};
    size_t n;
    if (is_types) {
        op->form = ec2_form("DescribeInstanceTypeOfferings");
        ec2_form_add(&op->form, "LocationType", "region");
        ec2_form_add(&op->form, "Filter.1.Name", "instance-type");
        n = add_types(p, region, &op->form, "Filter.1.Value");
    } else {
        char now[WEIR_RFC3339_SIZE];
        struct weir_wall t = weir_clock_wall(p->env->clock);
        t.us -= t.us % WEIR_US_PER_S;
        op->form = ec2_form("DescribeSpotPriceHistory");
        ec2_form_add(&op->form, "StartTime", weir_wall_format(t, now)); /* of now: the current price of each zone */
        ec2_form_add(&op->form, "ProductDescription.1", "Linux/UNIX");
        n = add_types(p, region, &op->form, "InstanceType");
    }
    if (n == 0 || send_page(op, "") < 0) {
        free_page(op);
        return;
    }
    p->refreshing++;
}

void ec2_prices_anew(struct weir_provider *p)
{
    p->prices_old = true;
}

static void refresh(struct weir_provider *p)
{
    bool anew = p->prices_old;
    p->prices_old = false;
    struct weir_wall now = weir_clock_wall(p->env->clock);
    for (size_t i = 0; i < p->conf.n_regions; i++) {
        struct ec2_region *r = &p->region[i];
        bool types = is_old(p, r->types_at, TYPES_MAX_AGE);
        bool prices = p->conf.spot && (anew || is_old(p, r->prices_at, p->conf.prices_every));
        if ((types || prices) && (anew || is_old(p, r->tried_at, p->conf.prices_every.us < RETRY_EVERY.us ? p->conf.prices_every : RETRY_EVERY))) {
            r->tried_at = now;
            p->price_failed = false;
            if (types) {
                ask(p, i, true);
            }
            if (prices) {
                ask(p, i, false);
            }
        }
    }
}

static void on_known(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider *p = ctx;
    (void)a;
    if (p->refreshing == 0) {
        answer_all(p);
    }
}

int ec2_offers(struct weir_provider *p, weir_provider_fn *done, void *ctx)
{
    ec2_pricelist_refresh(p);
    if (p->refreshing == 0) {
        refresh(p);
    }
    if (p->refreshing == 0) {
        int r = weir_cloud_refuse(p->cloud, "offers", WEIR_PROVIDER_OK, "", on_known, NULL, p);
        if (r < 0) {
            return r;
        }
    }
    struct ec2_wait *w = weir_alloc(sizeof *w);
    *w = (struct ec2_wait){p->waits, p, done, ctx};
    p->waits = w;
    return 0;
}

/* ---- how one price went ---- */

struct history_op {
    struct weir_provider *p;
    struct weir_offer offer;
    struct weir_str form; /* without the page's token */
    unsigned pages;       /* that came */
    weir_provider_fn *done;
    void *ctx;
    WEIR_VEC(struct ec2_place) changes; /* the newest first */
};

static void free_history(void *ctx)
{
    struct history_op *op = ctx;
    weir_str_release(&op->form);
    weir_vec_release(&op->changes);
    free(op);
}

static void answer_history(struct history_op *op)
{
    struct weir_provider *p = op->p;
    struct weir_wall now = weir_clock_wall(p->env->clock);
    int region = ec2_region_index(p, op->offer.region);
    size_t n = 0;
    const struct weir_offer *list = p->env->catalogue == NULL ? NULL : p->env->catalogue(p->env->catalogue_ctx, EC2_NAME, &n);
    const struct weir_offer *row = listed(list, n, op->offer.region, op->offer.instance_type, WEIR_OFFER_ON_DEMAND);
    struct weir_offer on_demand = row == NULL || region < 0 ? op->offer : at_list_price(p, (size_t)region, row);
    WEIR_VEC(struct weir_offer) all = {0};
    for (size_t i = op->changes.n; i-- > 0;) {
        const struct ec2_place *at = &op->changes.p[i];
        struct weir_offer o = op->offer;
        struct weir_wall since = weir_provider_since(p->env, at->since);
        if (since.us == 0 || !weir_provider_price(p->env, &o, ec2_usual_currency(o.region), at->micro_per_hour) ||
            (row != NULL && !spot_is_plausible(o.price_micro_per_hour, &on_demand))) {
            continue;
        }
        o.price_since = since;
        o.as_of = now;
        o.expires = weir_wall_add(now, p->conf.price_max_age);
        weir_vec_push(&all, o);
    }
    const struct weir_provider_result r = {.class = WEIR_PROVIDER_OK, .offer = all.p, .n_offers = all.n};
    op->done(op->ctx, &r);
    weir_vec_release(&all);
    free_history(op);
}

static int send_history(struct history_op *op, const char *token);

static void on_history(void *ctx, const struct weir_cloud_answer *a)
{
    struct history_op *op = ctx;
    struct weir_arena arena = {0};
    const struct weir_xml *root = NULL;
    if (a->class != WEIR_PROVIDER_OK || weir_xml_parse(a->body, &arena, &root, NULL) < 0) {
        struct weir_provider_result r = {.class = a->class == WEIR_PROVIDER_OK ? WEIR_PROVIDER_UNKNOWN : a->class};
        (void)snprintf(r.text, sizeof r.text, "%s", a->text[0] == '\0' ? EC2_NAME ": an answer with prices cannot be read" : a->text);
        weir_arena_release(&arena);
        op->done(op->ctx, &r);
        free_history(op);
        return;
    }
    const struct weir_xml *set = weir_xml_at(root, "spotPriceHistorySet");
    for (const struct weir_xml *x = set == NULL ? NULL : set->first; x != NULL && op->changes.n < CHANGES_MAX; x = x->next) {
        struct ec2_place place;
        if (read_place(x, &place) && weir_streq(place.type, op->offer.instance_type) && weir_streq(place.zone, op->offer.zone)) {
            weir_vec_push(&op->changes, place);
        }
    }
    const char *token = weir_xml_text(root, "nextToken");
    bool more = token[0] != '\0' && op->changes.n < CHANGES_MAX && ++op->pages < PAGES_MAX && send_history(op, token) == 0;
    weir_arena_release(&arena);
    if (!more) {
        answer_history(op);
    }
}

static int send_history(struct history_op *op, const char *token)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str form = WEIR_STR_INIT(op->form.max_bytes);
    weir_str_add(&form, op->form.p, op->form.n);
    if (token[0] != '\0') {
        ec2_form_add(&form, "NextToken", token);
    }
    return ec2_send(op->p, op->offer.region, "DescribeSpotPriceHistory", WEIR_CLOUD_READ, 0, &form, on_history, free_history, op);
}

int ec2_price_history(struct weir_provider *p, const struct weir_offer *offer, struct weir_wall from, weir_provider_fn *done, void *ctx)
{
    char begin[WEIR_RFC3339_SIZE];
    struct history_op *op = weir_alloc(sizeof *op);
    *op = (struct history_op){.p = p, .offer = *offer, .done = done, .ctx = ctx, .form = ec2_form("DescribeSpotPriceHistory")};
    from.us -= from.us % WEIR_US_PER_S;
    ec2_form_add(&op->form, "StartTime", weir_wall_format(from, begin)); /* the first is the price that was in force then */
    ec2_form_add(&op->form, "ProductDescription.1", "Linux/UNIX");
    ec2_form_add(&op->form, "InstanceType.1", offer->instance_type);
    ec2_form_add(&op->form, "AvailabilityZone", offer->zone);
    int r = send_history(op, "");
    if (r < 0) {
        free_history(op);
    }
    return r;
}

void ec2_offers_free(struct weir_provider *p)
{
    for (struct ec2_wait *w = p->waits, *next; w != NULL; w = next) {
        next = w->next;
        free(w);
    }
    for (size_t i = 0; i < EC2_REGIONS_MAX; i++) {
        weir_vec_release(&p->region[i].places);
        weir_vec_release(&p->region[i].types);
        weir_vec_release(&p->region[i].listed);
    }
    weir_vec_release(&p->offers);
}
