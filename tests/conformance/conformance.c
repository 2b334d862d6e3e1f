/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <ftw.h>
#include <jansson.h>
#include <uv.h>

#include "base/mem.h"

enum { WAIT_MS_MAX = 10000, LIST_MAX = 64 };

/* A provider in a world of its own directory. */
struct rig {
    const struct weir_conformance_subject *s;
    char dir[64];
    uv_loop_t loop;
    struct weir_gpu_table *gpus;
    struct weir_provider_env env;
    struct weir_provider *p;
    struct weir_offer on_demand;
    struct weir_offer spot;
    struct weir_offer listed[2]; /* the catalogue of one imitated provider */
};

/* The copy of a result that outlives the callback. */
struct answer {
    bool came;
    int times;
    struct weir_provider_result r;
    struct weir_instance inst[LIST_MAX];
    char next_page[WEIR_INSTANCE_ID_SIZE];
};

static const struct weir_conformance_subject *subject; /* cmocka's tests take no other argument */

static void note(void *ctx, const struct weir_provider_result *r)
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

/* Runs the loop until *flag is true; fails the test when that takes too long. */
static void run_until(struct rig *g, const bool *flag)
{
    bool late = false;
    uv_timer_t limit;
    assert_int_equal(uv_timer_init(&g->loop, &limit), 0);
    limit.data = &late;
    (void)uv_timer_start(&limit, set_flag, WAIT_MS_MAX, 0);
    while (!*flag && !late) {
        (void)uv_run(&g->loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&limit, NULL);
    (void)uv_run(&g->loop, UV_RUN_NOWAIT);
    assert_true(*flag);
}

/* Lets the loop go on for a moment between two looks at something that only time changes. */
static void pause_ms(struct rig *g, uint64_t ms)
{
    bool over = false;
    uv_timer_t t;
    (void)uv_timer_init(&g->loop, &t);
    t.data = &over;
    (void)uv_timer_start(&t, set_flag, ms, 0);
    run_until(g, &over);
    uv_close((uv_handle_t *)&t, NULL);
    (void)uv_run(&g->loop, UV_RUN_NOWAIT);
}

static void open_provider(struct rig *g, const char *conf_text)
{
    json_t *conf = json_loads(conf_text, 0, NULL);
    assert_non_null(conf);
    struct weir_err err = {""};
    int r = g->s->ops->init(&g->p, &g->env, conf, &err);
    json_decref(conf);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
}

static void close_provider(struct rig *g)
{
    g->s->ops->fini(g->p);
    g->p = NULL;
    while (uv_run(&g->loop, UV_RUN_DEFAULT) != 0) {
    }
}

struct offers_answer {
    bool came;
    struct rig *g;
    size_t n;
    size_t bad;
};

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

static struct offers_answer ask_offers(struct rig *g)
{
    struct offers_answer a = {.g = g};
    g->on_demand.id = 0;
    g->spot.id = 0;
    assert_int_equal(g->s->ops->offers(g->p, note_offers, &a), 0);
    assert_false(a.came);
    run_until(g, &a.came);
    return a;
}

/* What the program's catalogue would say of the provider itself, or of one that it imitates. */
static const struct weir_offer *catalogue(void *ctx, const char *provider, size_t *ret_n)
{
    struct rig *g = ctx;
    *ret_n = 0;
    if (!weir_streq(provider, g->s->ops->name) && !weir_streq(provider, "aws")) {
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        struct weir_offer *o = &g->listed[i];
        *o = (struct weir_offer){.market = i == 0 ? WEIR_OFFER_ON_DEMAND : WEIR_OFFER_SPOT,
                                 .gpu_model = weir_gpu_table_intern(g->gpus, WEIR_SV("A100")),
                                 .gpus = 2,
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
        (void)snprintf(o->region, sizeof o->region, "here-1");
        (void)snprintf(o->instance_type, sizeof o->instance_type, "two.large");
        (void)snprintf(o->source, sizeof o->source, "a list");
    }
    *ret_n = 2;
    return g->listed;
}

static struct rig *new_rig(const char *conf_text)
{
    struct rig *g = weir_alloc(sizeof *g);
    g->s = subject;
    (void)snprintf(g->dir, sizeof g->dir, "/tmp/weir-conformance-XXXXXX");
    assert_non_null(mkdtemp(g->dir));
    assert_int_equal(uv_loop_init(&g->loop), 0);
    g->gpus = weir_gpu_table_new();
    g->env = (struct weir_provider_env){.loop = &g->loop,
                                        .clock = &weir_clock_os,
                                        .owner = "me",
                                        .data_dir = g->dir,
                                        .self_exe = subject->self_exe,
                                        .gpus = g->gpus,
                                        .catalogue = catalogue,
                                        .catalogue_ctx = g};
    open_provider(g, conf_text);
    (void)ask_offers(g);
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

static struct weir_launch launch_of(struct rig *g, const char *token, const struct weir_offer *o, int64_t lease_s)
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

static struct answer launch_with(struct rig *g, const char *token, const struct weir_offer *o, int64_t lease_s)
{
    struct answer a = {0};
    struct weir_launch l = launch_of(g, token, o, lease_s);
    assert_int_equal(g->s->ops->launch(g->p, &l, note, &a), 0);
    assert_false(a.came); /* never from inside the call */
    run_until(g, &a.came);
    return a;
}

static struct answer launch(struct rig *g, const char *token)
{
    return launch_with(g, token, &g->on_demand, 60);
}

static struct answer describe(struct rig *g, const char *token, const char *id)
{
    struct answer a = {0};
    assert_int_equal(g->s->ops->describe(g->p, token, id, note, &a), 0);
    assert_false(a.came);
    run_until(g, &a.came);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    return a;
}

static struct answer terminate(struct rig *g, const char *id)
{
    struct answer a = {0};
    assert_int_equal(g->s->ops->terminate(g->p, id, note, &a), 0);
    assert_false(a.came);
    run_until(g, &a.came);
    return a;
}

static struct answer list(struct rig *g, const char *page)
{
    struct answer a = {0};
    assert_int_equal(g->s->ops->list(g->p, page, note, &a), 0);
    assert_false(a.came);
    run_until(g, &a.came);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    return a;
}

/* Describes until the instance is in the state, or (reclaimed true) has notice. */
static struct weir_instance await(struct rig *g, const char *id, enum weir_instance_state state, bool reclaimed)
{
    int64_t end = weir_clock_mono(&weir_clock_os).us + WAIT_MS_MAX * WEIR_US_PER_MS;
    while (weir_clock_mono(&weir_clock_os).us < end) {
        struct answer a = describe(g, NULL, id);
        assert_int_equal(a.r.n_instances, 1);
        if (reclaimed ? a.inst[0].reclaimed : a.inst[0].state == state) {
            return a.inst[0];
        }
        pause_ms(g, 10);
    }
    fail_msg("instance %s did not reach its state", id);
    return (struct weir_instance){0};
}

static void terminate_all(struct rig *g)
{
    int64_t end = weir_clock_mono(&weir_clock_os).us + WAIT_MS_MAX * WEIR_US_PER_MS;
    while (weir_clock_mono(&weir_clock_os).us < end) {
        struct answer a = list(g, NULL);
        if (a.r.n_instances == 0) {
            return;
        }
        for (size_t i = 0; i < a.r.n_instances; i++) {
            (void)terminate(g, a.inst[i].id);
        }
        pause_ms(g, 20);
    }
    fail_msg("machines are left");
}

static void free_rig(struct rig *g)
{
    (void)g->s->ops->fault(g->p, "clear", NULL);
    terminate_all(g);
    close_provider(g);
    assert_int_equal(uv_loop_close(&g->loop), 0);
    weir_gpu_table_free(g->gpus);
    /* A machine that is gone may still be writing down its end: what it adds goes in the next round. */
    int64_t end = weir_clock_mono(&weir_clock_os).us + WAIT_MS_MAX * WEIR_US_PER_MS;
    while (access(g->dir, F_OK) == 0 && weir_clock_mono(&weir_clock_os).us < end) {
        (void)nftw(g->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    free(g);
}

static const char quick[] = "{\"boot_delay\": \"50ms\", \"reclaim_notice\": \"300ms\"}";

/* ---- the promises ---- */

static void offers_have_prices_sources_and_distinct_ids(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    struct offers_answer a = ask_offers(g);
    assert_true(a.n >= 2);
    assert_int_equal(a.bad, 0);
    assert_true(g->on_demand.id != 0);
    assert_true(g->spot.id != 0 || (g->s->ops->caps & WEIR_PROVIDER_SPOT) == 0);
    free_rig(g);
}

static void a_machine_boots_and_is_found_by_token_and_id(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    struct weir_wall before = weir_clock_wall(&weir_clock_os);
    struct answer a = launch(g, "t-1");
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    assert_int_equal(a.r.n_instances, 1);
    assert_string_equal(a.inst[0].token, "t-1");
    assert_true(a.inst[0].launched.us >= before.us);
    assert_int_equal(a.inst[0].ended.us, 0);
    struct weir_instance i = await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    struct answer b = describe(g, "t-1", NULL);
    assert_int_equal(b.r.n_instances, 1);
    assert_string_equal(b.inst[0].id, i.id);
    assert_int_equal(b.inst[0].launched.us, a.inst[0].launched.us);
    assert_false(i.reclaimed);
    free_rig(g);
}

static void the_same_token_never_makes_two_machines(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    /* Four at once, then one more after. */
    struct answer a[4] = {{0}};
    struct weir_launch l = launch_of(g, "t-1", &g->on_demand, 60);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(g->s->ops->launch(g->p, &l, note, &a[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        run_until(g, &a[i].came);
        assert_int_equal(a[i].r.class, WEIR_PROVIDER_OK);
        assert_string_equal(a[i].inst[0].id, a[0].inst[0].id);
    }
    struct answer b = launch(g, "t-1");
    assert_string_equal(b.inst[0].id, a[0].inst[0].id);
    assert_int_equal(list(g, NULL).r.n_instances, 1);
    /* Also not after it has ended. */
    (void)terminate(g, b.inst[0].id);
    (void)await(g, b.inst[0].id, WEIR_INSTANCE_GONE, false);
    b = launch(g, "t-1");
    assert_int_equal(b.r.class, WEIR_PROVIDER_OK);
    assert_int_equal(b.inst[0].state, WEIR_INSTANCE_GONE);
    assert_int_equal(list(g, NULL).r.n_instances, 0);
    free_rig(g);
}

static void a_lost_reply_is_answered_by_the_token(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    static const char *const faults[] = {"lost_reply", "half_made"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(faults); i++) {
        assert_int_equal(g->s->ops->fault(g->p, faults[i], NULL), 0);
        struct answer a = launch(g, faults[i]);
        assert_int_equal(a.r.class, WEIR_PROVIDER_UNKNOWN);
        assert_true(a.r.text[0] != '\0');
        assert_int_equal(a.r.n_instances, 0);
        struct answer b = describe(g, faults[i], NULL);
        assert_int_equal(b.r.n_instances, 1);
        struct answer c = launch(g, faults[i]);
        assert_int_equal(c.r.class, WEIR_PROVIDER_OK);
        assert_string_equal(c.inst[0].id, b.inst[0].id);
        (void)await(g, b.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    }
    assert_int_equal(list(g, NULL).r.n_instances, 2);
    free_rig(g);
}

static void a_machine_that_was_half_made_is_listed_and_finished(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    assert_int_equal(g->s->ops->fault(g->p, "half_made", NULL), 0);
    (void)launch(g, "t-1");
    close_provider(g); /* the broker is killed here and comes back */
    open_provider(g, quick);
    struct answer a = list(g, NULL);
    assert_int_equal(a.r.n_instances, 1);
    assert_string_equal(a.inst[0].token, "t-1");
    (void)await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    free_rig(g);
}

static void terminate_is_proven_by_describe_and_may_be_repeated(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    struct answer a = launch(g, "t-1");
    (void)await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    assert_int_equal(terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    assert_int_equal(terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    struct weir_instance i = await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    assert_true(i.ended.us >= i.launched.us && i.launched.us > 0);
    assert_false(i.reclaimed);
    assert_int_equal(terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    /* The bill does not move any more. */
    assert_int_equal(describe(g, "t-1", NULL).inst[0].ended.us, i.ended.us);
    assert_int_equal(terminate(g, "sb-0123456789abcdef").r.class, WEIR_PROVIDER_OK);
    free_rig(g);
}

static void a_machine_may_be_ended_while_it_boots(void **state)
{
    (void)state;
    struct rig *g = new_rig("{\"boot_delay\": \"30s\"}");
    struct answer a = launch(g, "t-1");
    assert_int_equal(a.inst[0].state, WEIR_INSTANCE_PENDING);
    assert_int_equal(terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    (void)await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    free_rig(g);
}

static void what_never_was_is_not_described(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    assert_int_equal(describe(g, "never", NULL).r.n_instances, 0);
    assert_int_equal(describe(g, NULL, "sb-0123456789abcdef").r.n_instances, 0);
    assert_int_equal(describe(g, NULL, "../../etc").r.n_instances, 0);
    assert_int_equal(describe(g, NULL, "").r.n_instances, 0);
    free_rig(g);
}

static void add_foreign(struct rig *g)
{
    if (g->s->add_foreign != NULL) {
        g->s->add_foreign(g->dir, "somebody-else", weir_clock_wall(&weir_clock_os));
        return;
    }
    struct weir_provider *mine = g->p;
    g->env.owner = "somebody-else";
    open_provider(g, quick);
    assert_int_equal(launch(g, "foreign").r.class, WEIR_PROVIDER_OK);
    close_provider(g);
    g->env.owner = "me";
    g->p = mine;
}

/* Ends the foreign machine, which the suite's own owner may not. */
static void remove_foreign(struct rig *g)
{
    struct weir_provider *mine = g->p;
    g->env.owner = "somebody-else";
    open_provider(g, quick);
    terminate_all(g);
    close_provider(g);
    g->env.owner = "me";
    g->p = mine;
}

static void a_list_has_pages_and_only_our_machines(void **state)
{
    (void)state;
    struct rig *g = new_rig("{\"boot_delay\": \"50ms\", \"page_size\": 2}");
    add_foreign(g);
    char seen[5][WEIR_INSTANCE_ID_SIZE];
    for (int i = 0; i < 5; i++) {
        char token[16];
        (void)snprintf(token, sizeof token, "t-%d", i);
        assert_int_equal(launch(g, token).r.class, WEIR_PROVIDER_OK);
    }
    size_t n = 0;
    size_t pages = 0;
    char page[WEIR_INSTANCE_ID_SIZE] = "";
    do {
        struct answer a = list(g, page[0] == '\0' ? NULL : page);
        assert_true(a.r.n_instances <= 2);
        for (size_t i = 0; i < a.r.n_instances; i++) {
            for (size_t k = 0; k < n; k++) {
                assert_string_not_equal(seen[k], a.inst[i].id);
            }
            assert_true(n < 5);
            assert_memory_equal(a.inst[i].token, "t-", 2);
            (void)snprintf(seen[n++], sizeof seen[0], "%s", a.inst[i].id);
        }
        (void)snprintf(page, sizeof page, "%s", a.next_page);
        pages++;
    } while (page[0] != '\0' && pages < 10);
    assert_int_equal(n, 5);
    assert_int_equal(pages, 3);
    assert_int_equal(describe(g, "foreign", NULL).r.n_instances, 0);
    remove_foreign(g);
    free_rig(g);
}

static void a_full_cloud_says_no_capacity_until_one_ends(void **state)
{
    (void)state;
    struct rig *g = new_rig("{\"boot_delay\": \"50ms\", \"capacity\": 1}");
    struct answer a = launch(g, "t-1");
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    assert_int_equal(launch(g, "t-2").r.class, WEIR_PROVIDER_NO_CAPACITY);
    assert_int_equal(describe(g, "t-2", NULL).r.n_instances, 0);
    assert_int_equal(launch(g, "t-1").r.class, WEIR_PROVIDER_OK); /* it exists already */
    (void)terminate(g, a.inst[0].id);
    (void)await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    assert_int_equal(launch(g, "t-2").r.class, WEIR_PROVIDER_OK);
    free_rig(g);
}

static void refusals_have_their_class_and_make_nothing(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    static const struct {
        const char *fault;
        enum weir_provider_class class;
        int64_t retry_after_us;
    } rows[] = {
        {"no_capacity", WEIR_PROVIDER_NO_CAPACITY, 0},
        {"quota", WEIR_PROVIDER_QUOTA, 0},
        {"throttled:7s", WEIR_PROVIDER_THROTTLED, 7 * WEIR_US_PER_S},
        {"refused", WEIR_PROVIDER_REFUSED, 0},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(g->s->ops->fault(g->p, rows[i].fault, NULL), 0);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct answer a = launch(g, "t-1");
        assert_int_equal(a.r.class, rows[i].class);
        assert_int_equal(a.r.retry_after.us, rows[i].retry_after_us);
        assert_int_equal(a.r.n_instances, 0);
        assert_true(a.r.text[0] != '\0');
        assert_int_equal(describe(g, "t-1", NULL).r.n_instances, 0);
    }
    assert_int_equal(launch(g, "t-1").r.class, WEIR_PROVIDER_OK);
    /* A lease that has ended before it starts is a mistake of the caller. */
    assert_int_equal(launch_with(g, "t-2", &g->on_demand, -1).r.class, WEIR_PROVIDER_REFUSED);
    free_rig(g);
}

static void an_unknown_fault_is_refused_with_a_suggestion(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    struct weir_err err = {""};
    assert_int_equal(g->s->ops->fault(g->p, "no_capacty", &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "did you mean 'no_capacity'"));
    assert_int_equal(g->s->ops->fault(g->p, "reclaim:sb-0123456789abcdef", &err), -WEIR_ENOTFOUND);
    free_rig(g);
}

static void a_slow_answer_comes_once_and_late(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    assert_int_equal(g->s->ops->fault(g->p, "slow:200ms", NULL), 0);
    int64_t before = weir_clock_mono(&weir_clock_os).us;
    struct answer a = launch(g, "t-1");
    assert_true(weir_clock_mono(&weir_clock_os).us - before >= 190 * WEIR_US_PER_MS);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    pause_ms(g, 50);
    assert_int_equal(a.times, 1);
    free_rig(g);
}

static void a_machine_that_never_boots_stays_pending(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    assert_int_equal(g->s->ops->fault(g->p, "boot_never", NULL), 0);
    struct answer a = launch(g, "t-1");
    struct answer b = launch(g, "t-2");
    (void)await(g, b.inst[0].id, WEIR_INSTANCE_RUNNING, false); /* longer than the boot takes */
    assert_int_equal(describe(g, NULL, a.inst[0].id).inst[0].state, WEIR_INSTANCE_PENDING);
    free_rig(g);
}

static void spot_is_reclaimed_with_notice_and_on_demand_is_not(void **state)
{
    (void)state;
    struct rig *g = new_rig("{\"boot_delay\": \"10ms\", \"reclaim_after\": \"200ms\", "
                            "\"reclaim_notice\": \"400ms\"}");
    if ((g->s->ops->caps & WEIR_PROVIDER_SPOT) == 0) {
        free_rig(g);
        return;
    }
    struct answer own = launch(g, "t-own");
    struct answer a = launch_with(g, "t-spot", &g->spot, 60);
    struct weir_instance i = await(g, a.inst[0].id, WEIR_INSTANCE_GONE, true);
    assert_int_not_equal(i.state, WEIR_INSTANCE_GONE);
    assert_true(i.reclaim_at.us > i.launched.us);
    struct weir_wall at = i.reclaim_at;
    i = await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    assert_true(i.reclaimed);
    assert_int_equal(i.reclaim_at.us, at.us);
    assert_true(i.ended.us >= at.us);
    struct answer b = describe(g, NULL, own.inst[0].id);
    assert_int_equal(b.inst[0].state, WEIR_INSTANCE_RUNNING);
    assert_false(b.inst[0].reclaimed);
    free_rig(g);
}

static void a_named_machine_is_reclaimed_on_request(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    struct answer a = launch_with(g, "t-1", g->spot.id != 0 ? &g->spot : &g->on_demand, 60);
    (void)await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    char fault[WEIR_INSTANCE_ID_SIZE + 16];
    (void)snprintf(fault, sizeof fault, "reclaim:%s", a.inst[0].id);
    assert_int_equal(g->s->ops->fault(g->p, fault, NULL), 0);
    struct weir_instance i = await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    assert_true(i.reclaimed);
    free_rig(g);
}

static void a_machine_ends_with_its_lease_though_nobody_asks(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    struct answer a = launch_with(g, "t-1", &g->on_demand, 1);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    struct weir_instance i = await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
    assert_true(weir_wall_sub(i.ended, i.launched).us >= 500 * WEIR_US_PER_MS);
    assert_false(i.reclaimed);
    free_rig(g);
}

static void machines_outlive_the_broker(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    struct answer a = launch(g, "t-1");
    (void)await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    close_provider(g);
    open_provider(g, quick);
    struct answer b = describe(g, "t-1", NULL);
    assert_int_equal(b.r.n_instances, 1);
    assert_int_equal(b.inst[0].state, WEIR_INSTANCE_RUNNING);
    assert_int_equal(b.inst[0].launched.us, a.inst[0].launched.us);
    assert_int_equal(list(g, NULL).r.n_instances, 1);
    free_rig(g);
}

static void nothing_is_answered_after_fini(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    struct answer a = {0};
    struct answer b = {0};
    struct weir_launch l = launch_of(g, "t-1", &g->on_demand, 60);
    assert_int_equal(g->s->ops->fault(g->p, "slow:100ms", NULL), 0);
    assert_int_equal(g->s->ops->launch(g->p, &l, note, &a), 0);
    assert_int_equal(g->s->ops->list(g->p, NULL, note, &b), 0);
    close_provider(g);
    assert_false(a.came);
    assert_false(b.came);
    open_provider(g, quick);
    free_rig(g);
}

static void an_unknown_key_of_the_configuration_is_refused(void **state)
{
    (void)state;
    struct rig *g = new_rig(quick);
    struct weir_provider *p = NULL;
    struct weir_err err = {""};
    json_t *conf = json_loads("{\"boot_dely\": \"1s\"}", 0, NULL);
    assert_int_equal(g->s->ops->init(&p, &g->env, conf, &err), -WEIR_ECONFIG);
    json_decref(conf);
    assert_null(p);
    assert_non_null(strstr(err.text, "did you mean 'boot_delay'"));
    free_rig(g);
}

int weir_conformance_run(const struct weir_conformance_subject *s)
{
    subject = s;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_have_prices_sources_and_distinct_ids),
        cmocka_unit_test(a_machine_boots_and_is_found_by_token_and_id),
        cmocka_unit_test(the_same_token_never_makes_two_machines),
        cmocka_unit_test(a_lost_reply_is_answered_by_the_token),
        cmocka_unit_test(a_machine_that_was_half_made_is_listed_and_finished),
        cmocka_unit_test(terminate_is_proven_by_describe_and_may_be_repeated),
        cmocka_unit_test(a_machine_may_be_ended_while_it_boots),
        cmocka_unit_test(what_never_was_is_not_described),
        cmocka_unit_test(a_list_has_pages_and_only_our_machines),
        cmocka_unit_test(a_full_cloud_says_no_capacity_until_one_ends),
        cmocka_unit_test(refusals_have_their_class_and_make_nothing),
        cmocka_unit_test(an_unknown_fault_is_refused_with_a_suggestion),
        cmocka_unit_test(a_slow_answer_comes_once_and_late),
        cmocka_unit_test(a_machine_that_never_boots_stays_pending),
        cmocka_unit_test(spot_is_reclaimed_with_notice_and_on_demand_is_not),
        cmocka_unit_test(a_named_machine_is_reclaimed_on_request),
        cmocka_unit_test(a_machine_ends_with_its_lease_though_nobody_asks),
        cmocka_unit_test(machines_outlive_the_broker),
        cmocka_unit_test(nothing_is_answered_after_fini),
        cmocka_unit_test(an_unknown_key_of_the_configuration_is_refused),
    };
    return cmocka_run_group_tests_name(s->name, tests, NULL, NULL);
}
