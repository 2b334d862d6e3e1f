/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_provider.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "cloud/catalogue.h"

enum { FAULTS_MAX = 64, WORLDS_MAX = 256, PAGE_MAX = 1000 };

/* One machine: what happened to it; what it is follows from the time. */
struct machine {
    char id[32];
    char token[WEIR_TOKEN_SIZE];
    char owner[128];
    struct weir_wall launched;
    struct weir_wall running_at; /* INT64_MAX: never */
    struct weir_wall expires;
    struct weir_wall notice_at; /* INT64_MAX: none is due */
    struct weir_dur notice;
    struct weir_wall stopped_at; /* terminate; 0: was not asked */
};

struct world {
    char *key;
    WEIR_VEC(struct machine) machine;
};

static struct world worlds[WORLDS_MAX];

struct weir_provider {
    const struct weir_provider_env *env;
    struct world *world;
    struct weir_dur boot_delay;
    struct weir_dur reclaim_after;
    struct weir_dur reclaim_notice;
    uint64_t capacity;
    uint64_t page_size;
    char fault[FAULTS_MAX][64];
    size_t n_faults;
    struct weir_offer own[3];
    struct op *ops;
};

/* An answer on its way. */
struct op {
    struct op *next;
    struct weir_provider *p; /* NULL after fini */
    uv_timer_t timer;
    weir_provider_fn *done;
    void *ctx;
    struct weir_provider_result r;
    struct weir_instance *inst;
    struct weir_offer *offer;
};

static struct world *world_of(const char *key)
{
    for (size_t i = 0; i < WORLDS_MAX; i++) {
        if (worlds[i].key == NULL) {
            worlds[i].key = weir_strdup(key);
        }
        if (weir_streq(worlds[i].key, key)) {
            return &worlds[i];
        }
    }
    abort();
}

void weir_fake_reset(void)
{
    for (size_t i = 0; i < WORLDS_MAX; i++) {
        free(worlds[i].key);
        weir_vec_release(&worlds[i].machine);
        worlds[i] = (struct world){0};
    }
}

static struct weir_instance view(const struct machine *m, struct weir_wall now)
{
    struct weir_instance v = {.launched = m->launched, .state = WEIR_INSTANCE_PENDING};
    (void)snprintf(v.id, sizeof v.id, "%s", m->id);
    (void)snprintf(v.token, sizeof v.token, "%s", m->token);
    struct weir_wall end = m->expires;
    bool reclaim = false;
    if (m->notice_at.us < INT64_MAX) {
        struct weir_wall at = weir_wall_add(m->notice_at, m->notice);
        v.reclaimed = now.us >= m->notice_at.us;
        v.reclaim_at = v.reclaimed ? at : (struct weir_wall){0};
        reclaim = at.us < end.us;
        end = reclaim ? at : end;
    }
    if (m->stopped_at.us != 0 && m->stopped_at.us < end.us) {
        end = m->stopped_at;
        v.state = WEIR_INSTANCE_STOPPING;
    }
    if (now.us >= end.us) {
        v.state = WEIR_INSTANCE_GONE;
        v.ended = end;
    } else if (v.state == WEIR_INSTANCE_PENDING && now.us >= m->running_at.us) {
        v.state = WEIR_INSTANCE_RUNNING;
    }
    return v;
}

size_t weir_fake_instances(const char *data_dir, struct weir_wall now, struct weir_instance *ret, size_t max)
{
    const struct world *w = world_of(data_dir);
    for (size_t i = 0; i < w->machine.n && i < max; i++) {
        ret[i] = view(&w->machine.p[i], now);
    }
    return w->machine.n;
}

void weir_fake_add_foreign(const char *data_dir, const char *owner, struct weir_wall now)
{
    struct world *w = world_of(data_dir);
    struct machine m = {.launched = now, .running_at = now, .expires = WEIR_WALL_MAX, .notice_at = WEIR_WALL_MAX};
    (void)snprintf(m.id, sizeof m.id, "fake-%06zu", w->machine.n + 1);
    (void)snprintf(m.token, sizeof m.token, "foreign-%zu", w->machine.n);
    (void)snprintf(m.owner, sizeof m.owner, "%s", owner);
    weir_vec_push(&w->machine, m);
}

/* ---- answers ---- */

static void op_closed(uv_handle_t *h)
{
    struct op *op = h->data;
    free(op->inst);
    free(op->offer);
    free(op);
}

static void op_due(uv_timer_t *t)
{
    struct op *op = t->data;
    struct weir_provider *p = op->p;
    for (struct op **o = &p->ops; *o != NULL; o = &(*o)->next) {
        if (*o == op) {
            *o = op->next;
            break;
        }
    }
    op->r.instance = op->inst;
    op->r.offer = op->offer;
    op->done(op->ctx, &op->r);
    uv_close((uv_handle_t *)t, op_closed);
}

static struct op *answer(struct weir_provider *p, weir_provider_fn *done, void *ctx, struct weir_dur delay)
{
    struct op *op = weir_alloc(sizeof *op);
    op->p = p;
    op->done = done;
    op->ctx = ctx;
    op->next = p->ops;
    p->ops = op;
    (void)uv_timer_init(p->env->loop, &op->timer);
    op->timer.data = op;
    (void)uv_timer_start(&op->timer, op_due, (uint64_t)(delay.us / WEIR_US_PER_MS), 0);
    return op;
}

static void answer_instance(struct op *op, const struct machine *m, struct weir_wall now)
{
    op->inst = weir_alloc(sizeof *op->inst);
    *op->inst = view(m, now);
    op->r.n_instances = 1;
}

static void answer_class(struct op *op, enum weir_provider_class class, const char *text)
{
    op->r.class = class;
    (void)snprintf(op->r.text, sizeof op->r.text, "fake: %s", text);
}

/* ---- configuration ---- */

static int read_conf(struct weir_provider *p, const json_t *conf, struct weir_err *err)
{
    static const char *const keys[] = {"boot_delay", "reclaim_after", "reclaim_notice", "capacity", "page_size", NULL};
    struct weir_dur *const spans[] = {&p->boot_delay, &p->reclaim_after, &p->reclaim_notice};
    uint64_t *const counts[] = {&p->capacity, &p->page_size};
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)conf, key, v)
    {
        size_t k = 0;
        while (keys[k] != NULL && !weir_streq(keys[k], key)) {
            k++;
        }
        if (keys[k] == NULL) {
            const char *near = weir_nearest(weir_sv_of(key), keys);
            return weir_fail(err, -WEIR_ECONFIG, "fake: unknown key '%s'; did you mean '%s'?", key,
                             near == NULL ? keys[0] : near);
        }
        bool ok = k < 3 ? json_is_string(v) && weir_parse_duration(weir_sv_of(json_string_value(v)), spans[k], err) == 0
                        : json_is_integer(v) && json_integer_value(v) >= 0;
        if (!ok) {
            return weir_fail(err, -WEIR_ECONFIG, "fake.%s: bad value", key);
        }
        if (k >= 3) {
            *counts[k - 3] = (uint64_t)json_integer_value(v);
        }
    }
    return 0;
}

static void own_offers(struct weir_provider *p)
{
    struct weir_wall now = weir_clock_wall(p->env->clock);
    static const struct {
        const char *type;
        const char *gpu;
        uint16_t gpus;
        uint8_t market;
        int64_t price;
    } rows[] = {
        {"fake.1", "A100", 1, WEIR_OFFER_ON_DEMAND, 2000000},
        {"fake.1", "A100", 1, WEIR_OFFER_SPOT, 800000},
        {"fake.8", "H100", 8, WEIR_OFFER_ON_DEMAND, 20000000},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_offer *o = &p->own[i];
        *o = (struct weir_offer){.market = rows[i].market,
                                 .gpus = rows[i].gpus,
                                 .cpu_milli = 8000U * rows[i].gpus,
                                 .mem_mib = UINT64_C(65536) * rows[i].gpus,
                                 .price_micro_per_hour = rows[i].price,
                                 .as_of = now,
                                 .expires = WEIR_WALL_MAX,
                                 .bill_quantum = weir_dur_s(1),
                                 .bill_minimum = weir_dur_s(60),
                                 .boot_expected = p->boot_delay,
                                 .launchable = true};
        o->gpu_model = weir_gpu_table_intern(p->env->gpus, weir_sv_of(rows[i].gpu));
        o->gpu_mem_mib = weir_gpu_table_get(p->env->gpus, o->gpu_model)->mem_mib;
        if (o->market == WEIR_OFFER_SPOT) {
            o->reclaim_ppm_per_hour = 50000;
            o->reclaim_notice = p->reclaim_notice;
        }
        (void)snprintf(o->provider, sizeof o->provider, "fake");
        (void)snprintf(o->region, sizeof o->region, "nowhere-1");
        (void)snprintf(o->instance_type, sizeof o->instance_type, "%s", rows[i].type);
        (void)snprintf(o->source, sizeof o->source, "fake price list");
        o->id = weir_offer_id(o);
    }
}

static int fake_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf,
                     struct weir_err *err)
{
    struct weir_provider *p = weir_alloc(sizeof *p);
    p->env = env;
    p->capacity = 16;
    p->page_size = 100;
    p->boot_delay = weir_dur_s(2);
    p->reclaim_notice = weir_dur_s(30);
    int r = conf == NULL ? 0 : read_conf(p, conf, err);
    if (r == 0 && (p->page_size == 0 || p->page_size > PAGE_MAX)) {
        r = weir_fail(err, -WEIR_ECONFIG, "fake.page_size: must be 1 to %d", PAGE_MAX);
    }
    if (r < 0) {
        free(p);
        return r;
    }
    p->world = world_of(env->data_dir);
    *ret = p;
    return 0;
}

static void fake_fini(struct weir_provider *p)
{
    if (p == NULL) {
        return;
    }
    for (struct op *op = p->ops; op != NULL; op = op->next) {
        uv_close((uv_handle_t *)&op->timer, op_closed);
    }
    free(p);
}

/* ---- the contract ---- */

static int fake_offers(struct weir_provider *p, weir_provider_fn *done, void *ctx)
{
    struct op *op = answer(p, done, ctx, (struct weir_dur){0});
    size_t n = WEIR_ARRAY_LEN(p->own);
    own_offers(p);
    const struct weir_offer *o = p->own;
    if (p->env->catalogue != NULL) {
        o = p->env->catalogue(p->env->catalogue_ctx, "fake", &n);
    }
    op->offer = weir_calloc(n + 1, sizeof *o);
    for (size_t i = 0; i < n; i++) {
        op->offer[i] = o[i];
        op->offer[i].launchable = true;
    }
    op->r.n_offers = n;
    return 0;
}

static struct machine *find(struct weir_provider *p, const char *token, const char *id)
{
    for (size_t i = 0; i < p->world->machine.n; i++) {
        struct machine *m = &p->world->machine.p[i];
        if (weir_streq(m->owner, p->env->owner) &&
            (token != NULL ? weir_streq(m->token, token) : weir_streq(m->id, id))) {
            return m;
        }
    }
    return NULL;
}

static size_t count_alive(const struct weir_provider *p, struct weir_wall now)
{
    size_t n = 0;
    for (size_t i = 0; i < p->world->machine.n; i++) {
        n += view(&p->world->machine.p[i], now).state != WEIR_INSTANCE_GONE ? 1 : 0;
    }
    return n;
}

static struct machine *make_machine(struct weir_provider *p, const struct weir_launch *l, bool boots)
{
    struct weir_wall now = weir_clock_wall(p->env->clock);
    struct machine m = {.launched = now,
                        .running_at = boots ? weir_wall_add(now, p->boot_delay) : WEIR_WALL_MAX,
                        .expires = l->expires,
                        .notice_at = WEIR_WALL_MAX,
                        .notice = p->reclaim_notice};
    if (l->offer->market == WEIR_OFFER_SPOT && p->reclaim_after.us > 0) {
        m.notice_at = weir_wall_add(now, p->reclaim_after);
    }
    (void)snprintf(m.id, sizeof m.id, "fake-%06zu", p->world->machine.n + 1);
    (void)snprintf(m.token, sizeof m.token, "%s", l->token);
    (void)snprintf(m.owner, sizeof m.owner, "%s", p->env->owner);
    weir_vec_push(&p->world->machine, m);
    return &p->world->machine.p[p->world->machine.n - 1];
}

/* Takes the next queued fault apart into its word and span. */
static struct weir_sv next_fault(struct weir_provider *p, char buf[static 64], struct weir_dur *ret_span)
{
    *ret_span = weir_dur_s(2);
    if (p->n_faults == 0) {
        return (struct weir_sv){"", 0};
    }
    memcpy(buf, p->fault[0], 64);
    p->n_faults--;
    memmove(p->fault, p->fault + 1, p->n_faults * sizeof p->fault[0]);
    struct weir_sv rest = weir_sv_of(buf);
    struct weir_sv word = weir_sv_cut(&rest, ':');
    if (rest.p != NULL) {
        (void)weir_parse_duration(rest, ret_span, NULL);
    }
    return word;
}

static int fake_launch(struct weir_provider *p, const struct weir_launch *l, weir_provider_fn *done, void *ctx)
{
    struct weir_wall now = weir_clock_wall(p->env->clock);
    const struct machine *known = find(p, l->token, NULL);
    if (known != NULL) {
        answer_instance(answer(p, done, ctx, (struct weir_dur){0}), known, now);
        return 0;
    }
    static const struct {
        const char *word;
        enum weir_provider_class class;
    } refusals[] = {{"no_capacity", WEIR_PROVIDER_NO_CAPACITY},
                    {"quota", WEIR_PROVIDER_QUOTA},
                    {"refused", WEIR_PROVIDER_REFUSED},
                    {"throttled", WEIR_PROVIDER_THROTTLED}};
    char buf[64];
    struct weir_dur span;
    struct weir_sv fault = next_fault(p, buf, &span);
    bool slow = weir_sv_eq(fault, WEIR_SV("slow"));
    struct op *op = answer(p, done, ctx, slow ? span : (struct weir_dur){0});
    for (size_t i = 0; i < WEIR_ARRAY_LEN(refusals); i++) {
        if (weir_sv_eq(fault, weir_sv_of(refusals[i].word))) {
            answer_class(op, refusals[i].class, "asked for");
            if (refusals[i].class == WEIR_PROVIDER_THROTTLED) {
                op->r.retry_after = span;
            }
            return 0;
        }
    }
    if (l->expires.us <= now.us || l->expires.us == INT64_MAX) {
        answer_class(op, WEIR_PROVIDER_REFUSED, "the lease has no expiry, or it has passed");
        return 0;
    }
    if (count_alive(p, now) >= p->capacity) {
        answer_class(op, WEIR_PROVIDER_NO_CAPACITY, "it is full");
        return 0;
    }
    const struct machine *m = make_machine(p, l, !weir_sv_eq(fault, WEIR_SV("boot_never")));
    if (weir_sv_eq(fault, WEIR_SV("lost_reply")) || weir_sv_eq(fault, WEIR_SV("half_made"))) {
        answer_class(op, WEIR_PROVIDER_UNKNOWN, "the answer was lost");
        return 0;
    }
    answer_instance(op, m, now);
    return 0;
}

static int fake_describe(struct weir_provider *p, const char *token, const char *instance_id, weir_provider_fn *done,
                         void *ctx)
{
    WEIR_ASSERT((token == NULL) != (instance_id == NULL));
    struct op *op = answer(p, done, ctx, (struct weir_dur){0});
    const struct machine *m = find(p, token, instance_id);
    if (m != NULL) {
        answer_instance(op, m, weir_clock_wall(p->env->clock));
    }
    return 0;
}

static int fake_list(struct weir_provider *p, const char *page, weir_provider_fn *done, void *ctx)
{
    struct weir_wall now = weir_clock_wall(p->env->clock);
    struct op *op = answer(p, done, ctx, (struct weir_dur){0});
    op->inst = weir_calloc(p->page_size, sizeof *op->inst);
    for (size_t i = 0; i < p->world->machine.n; i++) {
        const struct machine *m = &p->world->machine.p[i];
        struct weir_instance v = view(m, now);
        if (v.state == WEIR_INSTANCE_GONE || !weir_streq(m->owner, p->env->owner) ||
            (page != NULL && strcmp(m->id, page) <= 0)) {
            continue;
        }
        if (op->r.n_instances == p->page_size) {
            op->r.next_page = op->inst[op->r.n_instances - 1].id;
            break;
        }
        op->inst[op->r.n_instances++] = v;
    }
    return 0;
}

static int fake_terminate(struct weir_provider *p, const char *instance_id, weir_provider_fn *done, void *ctx)
{
    struct op *op = answer(p, done, ctx, (struct weir_dur){0});
    (void)op;
    struct weir_wall now = weir_clock_wall(p->env->clock);
    struct machine *m = find(p, NULL, instance_id);
    if (m != NULL && m->stopped_at.us == 0) {
        /* Not at once: the caller must not take "asked" for "gone". */
        m->stopped_at = weir_wall_add(now, (struct weir_dur){10 * WEIR_US_PER_MS});
    }
    return 0;
}

static int fake_fault(struct weir_provider *p, const char *what, struct weir_err *err)
{
    static const char *const words[] = {"no_capacity", "quota",      "throttled", "refused", "lost_reply", "half_made",
                                        "slow",        "boot_never", "reclaim",   "clear",   NULL};
    struct weir_sv rest = weir_sv_of(what);
    struct weir_sv word = weir_sv_cut(&rest, ':');
    size_t k = 0;
    while (words[k] != NULL && !weir_sv_eq(word, weir_sv_of(words[k]))) {
        k++;
    }
    if (words[k] == NULL || strlen(what) >= sizeof p->fault[0]) {
        const char *near = weir_nearest(word, words);
        return weir_fail(err, -WEIR_EINVAL, "the fake has no fault '%.32s'; did you mean '%s'?", what,
                         near == NULL ? words[0] : near);
    }
    if (weir_streq(words[k], "clear")) {
        p->n_faults = 0;
        return 0;
    }
    if (weir_streq(words[k], "reclaim")) {
        struct machine *m = rest.p == NULL ? NULL : find(p, NULL, rest.p);
        if (m == NULL) {
            return weir_fail(err, -WEIR_ENOTFOUND, "no fake instance '%s' exists", what);
        }
        m->notice_at = weir_clock_wall(p->env->clock);
        return 0;
    }
    if (p->n_faults == FAULTS_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "the fake has %d faults queued already", FAULTS_MAX);
    }
    (void)snprintf(p->fault[p->n_faults++], sizeof p->fault[0], "%s", what);
    return 0;
}

const struct weir_provider_ops weir_fake_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "fake",
    .caps = WEIR_PROVIDER_SPOT | WEIR_PROVIDER_TOKEN_NATIVE,
    .init = fake_init,
    .fini = fake_fini,
    .offers = fake_offers,
    .launch = fake_launch,
    .describe = fake_describe,
    .list = fake_list,
    .terminate = fake_terminate,
    .fault = fake_fault,
};
