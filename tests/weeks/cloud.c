/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    PAGE = 3,
    VISIBLE_WITHIN_S = 40,
    ARRIVE_MS_MAX = 8000,
    LATE_MS_MAX = 20000,
    GIVE_UP_MS = 30000, /* a call without an answer */
};

enum kind { OFFERS, PRICES, LAUNCH, DESCRIBE, LIST, TERMINATE };

struct weir_provider {
    struct cloud *cloud;
};

static struct weir_provider handle[CLOUDS];
static struct weather *weather; /* of the week */
static int64_t cloud_now;

struct cloud_call {
    struct cloud_call *next;
    enum kind kind;
    uint64_t epoch;
    int64_t arrives_us; /* INT64_MAX: has, or never does */
    int64_t answers_us;
    bool is_lost; /* the answer */
    bool is_told; /* it has come, or was given up */
    weir_provider_fn *done;
    void *ctx;
    char token[WEIR_TOKEN_SIZE];
    char id[32];
    size_t from;
    uint64_t lease;
    uint64_t offer;
    int64_t expires_us;
    /* the answer */
    struct weir_provider_result r;
    struct weir_instance instance[PAGE];
    struct weir_offer row[OFFERS_EACH];
    WEIR_VEC(struct weir_offer) history;
    int64_t from_us; /* it is asked for since then */
    char page[24];
};

bool chance(struct weather *w, uint32_t per_mille)
{
    return weir_prng_below(&w->prng, 1000) < per_mille && !w->is_fair;
}

int64_t span(struct weather *w, int64_t lo_ms, int64_t hi_ms)
{
    return (lo_ms + (int64_t)weir_prng_below(&w->prng, (uint64_t)(hi_ms - lo_ms + 1))) * WEIR_US_PER_MS;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- prices ---- */

/* Most last for hours, some for a moment: then several lie between two looks. */
static int64_t next_move(struct weather *w)
{
    return weir_prng_below(&w->prng, 4) == 0 ? span(w, 0, 90000) : span(w, 600000, 8 * 3600000);
}

static void set_price(struct cloud *c, uint32_t offer, int64_t since_us)
{
    const struct cost_step *last = &c->price[offer].p[c->price[offer].n - 1];
    int64_t listed = c->price[offer].p[0].micro_per_hour;
    int64_t micro = last->micro_per_hour * (600 + (int64_t)weir_prng_below(&weather->prng, 1000)) / 1000;
    micro = micro < listed / 4 ? listed / 4 : micro > listed * 4 ? listed * 4 : micro;
    if (since_us > last->since_us) {
        weir_vec_push(&c->price[offer], ((struct cost_step){since_us, micro}));
        weather->moves++;
    }
}

/* All moves until then, at their own times. */
static void move_prices(struct cloud *c, int64_t now_us)
{
    for (uint32_t i = 0; i < OFFERS_EACH; i++) {
        while (c->moves_us[i] <= now_us && !weather->is_fair) {
            set_price(c, i, c->moves_us[i]);
            c->moves_us[i] += next_move(weather);
        }
    }
}

/* ---- machines ---- */

static int64_t ends_us(const struct machine *m)
{
    return least(least(m->stop_us, m->reclaim_us), m->expires_us);
}

static void settle(struct cloud *c, struct machine *m, int64_t now_us)
{
    if (m->ended_us == 0 && ends_us(m) <= now_us) {
        m->ended_us = ends_us(m);
        if (c->offer[m->offer].market == WEIR_OFFER_SPOT && chance(weather, 50)) {
            set_price(c, m->offer, m->ended_us); /* in the same instant */
        }
        m->reclaimed = m->ended_us == m->reclaim_us;
        weather->reclaims += m->reclaimed;
        weather->expiries += m->ended_us == m->expires_us && !m->reclaimed;
        m->joined = false;
        m->join_us = INT64_MAX;
    }
}

static void settle_all(struct cloud *c, int64_t now_us)
{
    move_prices(c, now_us);
    for (size_t i = c->first; i < c->machine.n; i++) {
        settle(c, &c->machine.p[i], now_us);
    }
    while (c->first < c->machine.n && c->machine.p[c->first].ended_us != 0) {
        c->first++;
    }
}

static struct machine *by_token(struct cloud *c, const char *token)
{
    for (size_t i = c->machine.n; i-- > 0;) {
        if (weir_streq(c->machine.p[i].token, token)) {
            return &c->machine.p[i];
        }
    }
    return NULL;
}

static struct machine *by_id(struct cloud *c, const char *id)
{
    for (size_t i = c->machine.n; i-- > 0;) {
        if (weir_streq(c->machine.p[i].id, id)) {
            return &c->machine.p[i];
        }
    }
    return NULL;
}

static bool is_shown(const struct cloud *c, const struct machine *m, int64_t now_us)
{
    return m != NULL && m->visible_us <= now_us && !(c->forgets && m->ended_us != 0);
}

static struct weir_instance show(const struct machine *m, int64_t now_us)
{
    struct weir_instance i = {.state = WEIR_INSTANCE_RUNNING, .launched = {m->launched_us}};
    (void)snprintf(i.id, sizeof i.id, "%s", m->id);
    (void)snprintf(i.token, sizeof i.token, "%s", m->token);
    if (m->ended_us != 0) {
        i.state = WEIR_INSTANCE_GONE;
        i.ended.us = m->ended_us;
        i.reclaimed = m->reclaimed;
    } else if (m->stop_us != INT64_MAX) {
        i.state = WEIR_INSTANCE_STOPPING;
    }
    if (m->notice_us <= now_us) {
        i.reclaim_at.us = m->reclaim_us;
    }
    return i;
}

static bool is_out(struct cloud *c, uint32_t offer, int64_t now_us)
{
    while (c->stock_until_us[offer] <= now_us) {
        c->out[offer] = !c->out[offer];
        c->stock_until_us[offer] += c->out[offer] ? span(weather, 600000, 3 * 3600000) : span(weather, 3600000, 12 * 3600000);
    }
    return c->out[offer] && !weather->is_fair;
}

static void make(struct cloud *c, struct cloud_call *k, uint32_t offer, int64_t now_us)
{
    struct machine m = {.offer = offer, .lease = k->lease, .launched_us = now_us, .expires_us = k->expires_us, .stop_us = INT64_MAX,
                        .notice_us = INT64_MAX, .reclaim_us = INT64_MAX, .join_us = INT64_MAX};
    (void)snprintf(m.id, sizeof m.id, "i-%s-%" PRIu64, c->name, ++c->last_id);
    (void)snprintf(m.token, sizeof m.token, "%s", k->token);
    m.visible_us = chance(weather, 250) ? now_us + span(weather, 1000, LATE_MS_MAX) : now_us;
    m.ready_us = chance(weather, 40) ? INT64_MAX : now_us + span(weather, 20000, 400000);
    weather->boots_failed += m.ready_us == INT64_MAX;
    if (c->offer[offer].market == WEIR_OFFER_SPOT && chance(weather, 500)) {
        m.reclaim_us = now_us + span(weather, 60000, 6 * 3600000);
        m.notice_us = chance(weather, 200) ? m.reclaim_us : m.reclaim_us - c->offer[offer].reclaim_notice.us;
    }
    if (c->offer[offer].market == WEIR_OFFER_SPOT && chance(weather, 50)) {
        set_price(c, offer, now_us); /* in the same instant */
    }
    weather->launches++;
    weather->doubles += by_token(c, k->token) != NULL;
    weir_vec_push(&c->machine, m);
}

/* ---- what calls do when they arrive ---- */

static void fail(struct cloud_call *k, enum weir_provider_class class, const char *text)
{
    k->r.class = class;
    (void)snprintf(k->r.text, sizeof k->r.text, "%s", text);
    weather->refused++;
}

static struct weir_offer offer_since(const struct cloud *c, uint32_t offer, size_t step)
{
    struct weir_offer o = c->offer[offer];
    o.price_micro_per_hour = c->price[offer].p[step].micro_per_hour;
    o.price_since.us = c->price[offer].p[step].since_us;
    return o;
}

static void do_offers(const struct cloud *c, struct cloud_call *k)
{
    for (uint32_t i = 0; i < OFFERS_EACH; i++) {
        k->row[i] = offer_since(c, i, c->price[i].n - 1);
    }
    k->r.offer = k->row;
    k->r.n_offers = OFFERS_EACH;
}

static uint32_t offer_of(const struct cloud *c, uint64_t id)
{
    uint32_t offer = 0;
    for (uint32_t i = 0; i < OFFERS_EACH; i++) {
        offer = c->offer[i].id == id ? i : offer;
    }
    return offer;
}

static void do_prices(const struct cloud *c, struct cloud_call *k)
{
    uint32_t offer = offer_of(c, k->offer);
    size_t n = c->price[offer].n;
    for (size_t i = 0; i < n; i++) {
        if (i + 1 == n || c->price[offer].p[i + 1].since_us > k->from_us) {
            weir_vec_push(&k->history, offer_since(c, offer, i));
        }
    }
    k->r.offer = k->history.p;
    k->r.n_offers = k->history.n;
}

static void do_launch(struct cloud *c, struct cloud_call *k, int64_t now_us)
{
    bool native = (c->ops.caps & WEIR_PROVIDER_TOKEN_NATIVE) != 0;
    struct machine *m = by_token(c, k->token);
    uint32_t offer = offer_of(c, k->offer);
    if (native && m != NULL) {
        weather->repeats++;
    } else if (is_out(c, offer, now_us)) {
        fail(k, WEIR_PROVIDER_NO_CAPACITY, "none free");
        return;
    } else {
        make(c, k, offer, now_us);
        m = &c->machine.p[c->machine.n - 1];
    }
    k->instance[0] = show(m, now_us);
    k->r.n_instances = 1;
}

static void do_describe(struct cloud *c, struct cloud_call *k, int64_t now_us)
{
    const struct machine *m = k->id[0] != '\0' ? by_id(c, k->id) : by_token(c, k->token);
    if (is_shown(c, m, now_us)) {
        k->instance[0] = show(m, now_us);
        k->r.n_instances = 1;
    }
}

static void do_list(struct cloud *c, struct cloud_call *k, int64_t now_us)
{
    for (size_t i = k->from > c->first ? k->from : c->first; i < c->machine.n; i++) {
        const struct machine *m = &c->machine.p[i];
        if (m->ended_us != 0 || !is_shown(c, m, now_us)) {
            continue;
        }
        if (k->r.n_instances == PAGE) {
            (void)snprintf(k->page, sizeof k->page, "%zu", i);
            k->r.next_page = k->page;
            return;
        }
        k->instance[k->r.n_instances++] = show(m, now_us);
    }
}

static void arrive(struct cloud *c, struct cloud_call *k, int64_t now_us)
{
    k->arrives_us = INT64_MAX;
    settle_all(c, now_us);
    k->r = (struct weir_provider_result){.class = WEIR_PROVIDER_OK, .instance = k->instance};
    if (chance(weather, 15)) {
        fail(k, WEIR_PROVIDER_THROTTLED, "too many requests");
        k->r.retry_after = weir_dur_s(5);
        return;
    }
    switch (k->kind) {
    case OFFERS:
        do_offers(c, k);
        break;
    case PRICES:
        do_prices(c, k);
        break;
    case LAUNCH:
        do_launch(c, k, now_us);
        break;
    case DESCRIBE:
        do_describe(c, k, now_us);
        break;
    case LIST:
        do_list(c, k, now_us);
        break;
    case TERMINATE: {
        struct machine *m = by_id(c, k->id);
        if (m != NULL && m->stop_us == INT64_MAX && !chance(weather, 20)) { /* now and then it is taken and nothing follows */
            m->stop_us = now_us + span(weather, 1000, 60000);
        }
        break;
    }
    }
}

static void free_call(struct cloud_call *k)
{
    weir_vec_release(&k->history);
    free(k);
}

static void answer(struct cloud *c, struct cloud_call *k)
{
    if (k->is_lost) {
        k->r = (struct weir_provider_result){.class = WEIR_PROVIDER_UNKNOWN, .text = "timed out"};
    }
    if (k->epoch == c->epoch) {
        k->done(k->ctx, &k->r);
    }
}

/* ---- the contract ---- */

static struct cloud_call *call(struct weir_provider *p, enum kind kind, weir_provider_fn *done, void *ctx)
{
    struct cloud *c = p->cloud;
    struct cloud_call *k = weir_alloc(sizeof *k);
    *k = (struct cloud_call){.next = c->calls, .kind = kind, .epoch = c->epoch, .done = done, .ctx = ctx};
    int64_t now = cloud_now;
    bool never = chance(weather, 10);
    k->is_lost = never || chance(weather, 10);
    k->arrives_us = never ? INT64_MAX : now + (chance(weather, 20) ? span(weather, 1000, ARRIVE_MS_MAX) : span(weather, 5, 100));
    k->answers_us = !k->is_lost ? k->arrives_us + span(weather, 5, 300) : weir_prng_below(&weather->prng, 2) == 0 ? now + span(weather, 5, 500) : now + GIVE_UP_MS * WEIR_US_PER_MS;
    weather->calls++;
    weather->lost += k->is_lost;
    c->calls = k;
    return k;
}

static int do_offers_call(struct weir_provider *p, weir_provider_fn *done, void *ctx)
{
    (void)call(p, OFFERS, done, ctx);
    return 0;
}

static int do_launch_call(struct weir_provider *p, const struct weir_launch *l, weir_provider_fn *done, void *ctx)
{
    struct cloud_call *k = call(p, LAUNCH, done, ctx);
    (void)snprintf(k->token, sizeof k->token, "%s", l->token);
    k->lease = l->lease.v;
    k->offer = l->offer->id;
    k->expires_us = l->expires.us;
    return 0;
}

static int do_describe_call(struct weir_provider *p, const char *token, const char *id, weir_provider_fn *done, void *ctx)
{
    struct cloud_call *k = call(p, DESCRIBE, done, ctx);
    (void)snprintf(k->token, sizeof k->token, "%s", token == NULL ? "" : token);
    (void)snprintf(k->id, sizeof k->id, "%s", id == NULL ? "" : id);
    return 0;
}

static int do_list_call(struct weir_provider *p, const char *page, weir_provider_fn *done, void *ctx)
{
    struct cloud_call *k = call(p, LIST, done, ctx);
    for (const char *d = page == NULL ? "" : page; *d != '\0'; d++) {
        k->from = k->from * 10 + (size_t)(*d - '0');
    }
    return 0;
}

static int do_terminate_call(struct weir_provider *p, const char *id, weir_provider_fn *done, void *ctx)
{
    (void)snprintf(call(p, TERMINATE, done, ctx)->id, 32, "%s", id);
    return 0;
}

static int do_prices_call(struct weir_provider *p, const struct weir_offer *offer, struct weir_wall from, weir_provider_fn *done, void *ctx)
{
    struct cloud_call *k = call(p, PRICES, done, ctx);
    k->offer = offer->id;
    k->from_us = from.us;
    return 0;
}

static void fini(struct weir_provider *p)
{
    cloud_hang_up(p->cloud);
}

/* ---- life ---- */

void cloud_open(struct cloud *c, uint32_t number, struct weather *w, struct weir_gpu_table *gpus, int64_t now_us)
{
    static const char *const name[CLOUDS] = {"amber", "basalt"};
    *c = (struct cloud){.name = name[number], .forgets = number == 1, .epoch = 1};
    c->ops = (struct weir_provider_ops){.abi = WEIR_PROVIDER_ABI, .name = name[number], .caps = WEIR_PROVIDER_SPOT | WEIR_PROVIDER_SPOT_MOVES | (number == 0 ? WEIR_PROVIDER_TOKEN_NATIVE : 0),
                                        .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S}, .fini = fini, .offers = do_offers_call,
                                        .launch = do_launch_call, .describe = do_describe_call, .list = do_list_call, .terminate = do_terminate_call};
    c->ops.price_history = c->forgets ? NULL : do_prices_call;
    weather = w;
    cloud_now = now_us;
    handle[number].cloud = c;
    for (uint32_t i = 0; i < OFFERS_EACH; i++) {
        bool spot = i == 0;
        struct weir_offer o = {.id = number * 10 + i + 1, .market = spot ? WEIR_OFFER_SPOT : WEIR_OFFER_ON_DEMAND, .gpus = 1, .gpu_mem_mib = 40960,
                               .cpu_milli = 8000, .mem_mib = 65536, .price_micro_per_hour = (spot ? 731457 : 2048011) + number * 90001,
                               .as_of = {now_us}, .expires = WEIR_WALL_MAX, .bill_quantum = weir_dur_s(1), .boot_expected = weir_dur_s(180),
                               .reclaim_ppm_per_hour = spot ? 30000 : 0, .reclaim_notice = weir_dur_s(number == 0 ? 120 : 30), .launchable = true};
        o.gpu_model = weir_gpu_table_intern(gpus, WEIR_SV("A100"));
        (void)snprintf(o.provider, sizeof o.provider, "%s", c->name);
        (void)snprintf(o.region, sizeof o.region, "r1");
        (void)snprintf(o.instance_type, sizeof o.instance_type, "%s", spot ? "one.spot" : "one");
        (void)snprintf(o.source, sizeof o.source, "test");
        c->offer[i] = o;
        c->stock_until_us[i] = now_us + span(w, 3600000, 12 * 3600000);
        weir_vec_push(&c->price[i], ((struct cost_step){now_us - WEIR_US_PER_DAY, o.price_micro_per_hour}));
        c->moves_us[i] = spot ? now_us + next_move(w) : INT64_MAX;
    }
}

void cloud_close(struct cloud *c)
{
    while (c->calls != NULL) {
        struct cloud_call *k = c->calls;
        c->calls = k->next;
        free_call(k);
    }
    for (uint32_t i = 0; i < OFFERS_EACH; i++) {
        weir_vec_release(&c->price[i]);
    }
    weir_vec_release(&c->machine);
}

bool cloud_is_asked(const struct cloud *c)
{
    bool asked = false;
    for (const struct cloud_call *k = c->calls; k != NULL && !asked; k = k->next) {
        asked = k->epoch == c->epoch && (k->kind == LAUNCH || k->kind == TERMINATE);
    }
    return asked;
}

void cloud_hang_up(struct cloud *c)
{
    c->epoch++;
}

int64_t cloud_next(const struct cloud *c)
{
    int64_t next = INT64_MAX;
    for (const struct cloud_call *k = c->calls; k != NULL; k = k->next) {
        next = least(next, k->is_told ? k->arrives_us : least(k->arrives_us, k->answers_us));
    }
    for (size_t i = c->first; i < c->machine.n; i++) {
        const struct machine *m = &c->machine.p[i];
        next = m->ended_us != 0 ? next : least(next, ends_us(m));
    }
    return next;
}

void cloud_advance(struct cloud *c, int64_t now_us)
{
    cloud_now = now_us;
    settle_all(c, now_us);
    for (struct cloud_call *k = c->calls; k != NULL; k = k->next) {
        if (k->arrives_us <= now_us) {
            arrive(c, k, now_us);
        }
    }
    for (struct cloud_call **at = &c->calls; *at != NULL;) {
        struct cloud_call *k = *at;
        if (k->answers_us <= now_us) {
            if (!k->is_told) {
                k->is_told = true;
                answer(c, k); /* may start new calls: they stand at the front */
                at = &c->calls;
            } else if (k->arrives_us == INT64_MAX) {
                *at = k->next;
                free_call(k);
            } else {
                at = &k->next; /* it was given up, and is still on its way */
            }
        } else {
            at = &k->next;
        }
    }
}

struct weir_provider *cloud_handle(uint32_t number)
{
    return &handle[number];
}
