/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <ftw.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

const struct weir_conformance_subject *rig_subject;
int64_t rig_ahead_us;

static struct weir_wall rig_wall(void *ctx)
{
    (void)ctx;
    return weir_clock_wall(&weir_clock_os);
}

static struct weir_mono rig_mono(void *ctx)
{
    (void)ctx;
    return (struct weir_mono){weir_clock_mono(&weir_clock_os).us + rig_ahead_us};
}

static const struct weir_clock rig_clock = {rig_wall, rig_mono, NULL};

void rig_note(void *ctx, const struct weir_provider_result *r)
{
    struct answer *a = ctx;
    a->came = true;
    a->times++;
    a->r = *r;
    assert_true(r->n_instances <= LIST_MAX);
    for (size_t i = 0; i < r->n_instances; i++) {
        a->inst[i] = r->instance[i];
    }
    a->next_page[0] = '\0';
    if (r->next_page != NULL) {
        (void)snprintf(a->next_page, sizeof a->next_page, "%s", r->next_page);
    }
}

static void set_flag(uv_timer_t *t)
{
    *(bool *)t->data = true;
}

/* A timer may have set the flag in this very turn: then there is nothing to wait for. */
static void stop_if_set(uv_prepare_t *h)
{
    const bool *flag = h->data;
    if (*flag) {
        uv_stop(h->loop);
    }
}

/* Runs the loop until *flag is true; fails the test when that takes too long. */
void rig_run_until(struct rig *g, const bool *flag)
{
    bool late = false;
    uv_timer_t limit;
    uv_prepare_t look;
    assert_int_equal(uv_timer_init(&g->loop, &limit), 0);
    assert_int_equal(uv_prepare_init(&g->loop, &look), 0);
    limit.data = &late;
    look.data = (void *)(uintptr_t)flag;
    (void)uv_timer_start(&limit, set_flag, WAIT_MS_MAX, 0);
    (void)uv_prepare_start(&look, stop_if_set);
    while (!*flag && !late) {
        (void)uv_run(&g->loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&limit, NULL);
    uv_close((uv_handle_t *)&look, NULL);
    (void)uv_run(&g->loop, UV_RUN_NOWAIT);
    assert_true(*flag);
}

/* Lets the loop go on for a moment between two looks at something that only time changes. */
void rig_pause_ms(struct rig *g, uint64_t ms)
{
    bool over = false;
    uv_timer_t t;
    (void)uv_timer_init(&g->loop, &t);
    t.data = &over;
    (void)uv_timer_start(&t, set_flag, ms, 0);
    rig_run_until(g, &over);
    uv_close((uv_handle_t *)&t, NULL);
    (void)uv_run(&g->loop, UV_RUN_NOWAIT);
}

void rig_open(struct rig *g, const char *conf_text)
{
    json_t *conf = json_loads(conf_text, 0, NULL);
    assert_non_null(conf);
    struct weir_err err = {""};
    int r = g->s->ops->init(&g->p, &g->env, conf, &err);
    json_decref(conf);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
}

void rig_close(struct rig *g)
{
    g->s->ops->fini(g->p);
    g->p = NULL;
    while (uv_run(&g->loop, UV_RUN_DEFAULT) != 0) {
    }
}

static void note_offers(void *ctx, const struct weir_provider_result *r)
{
    struct offers_answer *a = ctx;
    a->came = true;
    a->n = r->n_offers;
    for (size_t i = 0; i < r->n_offers; i++) {
        const struct weir_offer *o = &r->offer[i];
        bool fine = o->price_micro_per_hour > 0 && o->launchable && o->id != 0 && o->source[0] != '\0' &&
                    o->as_of.us > 0 && o->instance_type[0] != '\0' && o->region[0] != '\0' &&
                    weir_streq(o->provider, a->g->s->ops->name) && o->bill_quantum.us > 0;
        a->bad += fine ? 0 : 1;
        for (size_t k = 0; k < i; k++) {
            a->bad += r->offer[k].id == o->id ? 1 : 0;
        }
        if (o->market == WEIR_OFFER_SPOT && a->g->spot.id == 0) {
            a->g->spot = *o;
        } else if (o->market == WEIR_OFFER_ON_DEMAND && a->g->on_demand.id == 0) {
            a->g->on_demand = *o;
        }
    }
}

struct offers_answer rig_ask_offers(struct rig *g)
{
    struct offers_answer a = {.g = g};
    g->on_demand.id = 0;
    g->spot.id = 0;
    assert_int_equal(g->s->ops->offers(g->p, note_offers, &a), 0);
    assert_false(a.came);
    rig_run_until(g, &a.came);
    return a;
}

/* What the program's catalogue would say of the provider itself, or of one that it imitates. */
static const struct weir_offer *catalogue(void *ctx, const char *provider, size_t *ret_n)
{
    struct rig *g = ctx;
    const struct weir_conformance_subject *s = g->s;
    *ret_n = 0;
    if (!weir_streq(provider, g->s->ops->name) && !weir_streq(provider, "aws")) {
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        struct weir_offer *o = &g->listed[i];
        *o = (struct weir_offer){.market = i == 0 ? WEIR_OFFER_ON_DEMAND : WEIR_OFFER_SPOT,
                                 .gpu_model = weir_gpu_table_intern(g->gpus, weir_sv_of(s->gpu != NULL ? s->gpu : "A100")),
                                 .gpus = s->gpus != 0 ? s->gpus : 2,
                                 .gpu_mem_mib = 40960,
                                 .cpu_milli = 8000,
                                 .mem_mib = 65536,
                                 .price_micro_per_hour = i == 0 ? 4000000 : 1500000,
                                 .as_of = {1},
                                 .expires = WEIR_WALL_MAX,
                                 .bill_quantum = weir_dur_s(1),
                                 .reclaim_notice = weir_dur_s(i == 0 ? 0 : 120),
                                 .id = (uint64_t)i + 1};
        (void)snprintf(o->provider, sizeof o->provider, "%s", provider);
        (void)snprintf(o->region, sizeof o->region, "%s", s->region != NULL ? s->region : "here-1");
        (void)snprintf(o->instance_type, sizeof o->instance_type, "%s", s->type != NULL ? s->type : "two.large");
        (void)snprintf(o->source, sizeof o->source, "a list");
    }
    *ret_n = 2;
    return g->listed;
}

struct rig *rig_new(const char *conf_text)
{
    struct rig *g = weir_alloc(sizeof *g);
    g->s = rig_subject;
    (void)snprintf(g->dir, sizeof g->dir, "/tmp/weir-conformance-XXXXXX");
    assert_non_null(mkdtemp(g->dir));
    assert_int_equal(uv_loop_init(&g->loop), 0);
    g->gpus = weir_gpu_table_new();
    g->env = (struct weir_provider_env){.loop = &g->loop,
                                        .clock = &rig_clock,
                                        .owner = "me",
                                        .data_dir = g->dir,
                                        .self_exe = rig_subject->self_exe,
                                        .gpus = g->gpus,
                                        .catalogue = catalogue,
                                        .catalogue_ctx = g,
                                        .getenv = rig_subject->getenv};
    rig_open(g, conf_text);
    (void)rig_ask_offers(g);
    return g;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* ---- calls that wait for their answer ---- */

struct weir_launch rig_launch_of(struct rig *g, const char *token, const struct weir_offer *o, int64_t lease_s)
{
    return (struct weir_launch){
        .token = token,
        .offer = o,
        .lease = {7},
        .owner = g->env.owner,
        .broker_url = "http://127.0.0.1:1",
        .join_token = "secret",
        .expires = weir_wall_add(weir_clock_wall(&weir_clock_os), weir_dur_s(lease_s)),
    };
}

struct answer rig_launch_with(struct rig *g, const char *token, const struct weir_offer *o, int64_t lease_s)
{
    struct answer a = {0};
    struct weir_launch l = rig_launch_of(g, token, o, lease_s);
    assert_int_equal(g->s->ops->launch(g->p, &l, rig_note, &a), 0);
    assert_false(a.came); /* never from inside the call */
    rig_run_until(g, &a.came);
    return a;
}

struct answer rig_launch(struct rig *g, const char *token)
{
    return rig_launch_with(g, token, &g->on_demand, 60);
}

struct answer rig_try_describe(struct rig *g, const char *token, const char *id)
{
    struct answer a = {0};
    assert_int_equal(g->s->ops->describe(g->p, token, id, rig_note, &a), 0);
    assert_false(a.came);
    rig_run_until(g, &a.came);
    return a;
}

struct answer rig_describe(struct rig *g, const char *token, const char *id)
{
    struct answer a = rig_try_describe(g, token, id);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    return a;
}

struct answer rig_terminate(struct rig *g, const char *id)
{
    struct answer a = {0};
    assert_int_equal(g->s->ops->terminate(g->p, id, rig_note, &a), 0);
    assert_false(a.came);
    rig_run_until(g, &a.came);
    return a;
}

struct answer rig_try_list(struct rig *g, const char *page)
{
    struct answer a = {0};
    assert_int_equal(g->s->ops->list(g->p, page, rig_note, &a), 0);
    assert_false(a.came);
    rig_run_until(g, &a.came);
    return a;
}

struct answer rig_list(struct rig *g, const char *page)
{
    struct answer a = rig_try_list(g, page);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    return a;
}

/* Describes until the instance is in the state, or (reclaimed true) has notice. */
struct weir_instance rig_await(struct rig *g, const char *id, enum weir_instance_state state, bool reclaimed)
{
    int64_t end = weir_clock_mono(&weir_clock_os).us + WAIT_MS_MAX * WEIR_US_PER_MS;
    while (weir_clock_mono(&weir_clock_os).us < end) {
        struct answer a = rig_describe(g, NULL, id);
        assert_int_equal(a.r.n_instances, 1);
        if (reclaimed ? a.inst[0].reclaimed : a.inst[0].state == state) {
            return a.inst[0];
        }
        rig_pause_ms(g, 10);
    }
    fail_msg("instance %s did not reach its state", id);
    return (struct weir_instance){0};
}

void rig_note_checks(void *ctx, const struct weir_check *check, size_t n)
{
    struct look *l = ctx;
    assert_false(l->came);
    assert_true(n > 0 && n <= CHECKS_MAX);
    l->came = true;
    l->n = n;
    memcpy(l->check, check, n * sizeof *check);
}

struct look rig_look(struct rig *g)
{
    struct look l = {0};
    assert_int_equal(g->s->ops->check(g->p, rig_note_checks, &l), 0);
    assert_false(l.came); /* never from inside the call */
    rig_run_until(g, &l.came);
    assert_true(l.came);
    return l;
}

void rig_terminate_all(struct rig *g)
{
    int64_t end = weir_clock_mono(&weir_clock_os).us + WAIT_MS_MAX * WEIR_US_PER_MS;
    while (weir_clock_mono(&weir_clock_os).us < end) {
        struct answer a = rig_list(g, NULL);
        if (a.r.n_instances == 0) {
            return;
        }
        for (size_t i = 0; i < a.r.n_instances; i++) {
            (void)rig_terminate(g, a.inst[i].id);
        }
        rig_pause_ms(g, 20);
    }
    fail_msg("machines are left");
}

void rig_free(struct rig *g)
{
    if (g->s->clear != NULL) {
        g->s->clear();
    } else {
        (void)g->s->ops->fault(g->p, "clear", NULL);
    }
    rig_terminate_all(g);
    rig_close(g);
    assert_int_equal(uv_loop_close(&g->loop), 0);
    weir_gpu_table_free(g->gpus);
    /* A machine that is gone may still be writing down its end: what it adds goes in the next round. */
    int64_t end = weir_clock_mono(&weir_clock_os).us + WAIT_MS_MAX * WEIR_US_PER_MS;
    while (access(g->dir, F_OK) == 0 && weir_clock_mono(&weir_clock_os).us < end) {
        (void)nftw(g->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    free(g);
}
