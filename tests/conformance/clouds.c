/* SPDX-License-Identifier: Apache-2.0 */
#include "clouds.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mock.h"
#include "rig.h"

enum { FOUND_WITHIN_MS = 9000 };

static const struct clouds_subject *subject;

static const char *conf(void)
{
    static char text[2048];
    char more[512] = "";
    for (const char *const *key = subject->endpoints; key != NULL && *key != NULL; key++) {
        size_t n = strlen(more);
        (void)snprintf(more + n, sizeof more - n, "\"%s\": \"%s\", ", *key, mock_url());
    }
    (void)snprintf(text, sizeof text, "{%s%s \"endpoint\": \"%s\", %s \"prices_every\": \"1ms\", \"calls_per_second\": 1000}", subject->conf, more, mock_url(),
                   subject->keeps_tags ? "" : "\"poll\": \"20ms\",");
    return text;
}

static struct rig *begin(void)
{
    mock_tell("clear", "{}");
    mock_tell("set", "{\"capacity\": 1000, \"page_size\": 100, \"boot_s\": 0.05, \"stop_s\": 0.05, \"quota\": 100000}");
    return rig_new(conf());
}

/* A fault that never came about has shown nothing. */
static void assert_fired(void)
{
    json_t *all = mock_inventory();
    size_t at;
    json_t *f;
    json_array_foreach(json_object_get(all, "faults"), at, f)
    {
        int left = (int)json_integer_value(json_object_get(f, "left"));
        int hits = (int)json_integer_value(json_object_get(f, "hits"));
        if (hits == 0 || left > 0) {
            fail_msg("the fault '%s' came about %d times, %d more were wanted", json_string_value(json_object_get(f, "name")), hits, left);
        }
    }
    json_decref(all);
}

static void clear(void)
{
    assert_fired();
    mock_tell("clear", "{}");
}

/* A number of a fault: "left" (how often it is still to come about) or "hits". */
static int number_of(const char *fault, const char *number)
{
    int n = 0;
    json_t *all = mock_inventory();
    size_t at;
    json_t *f;
    json_array_foreach(json_object_get(all, "faults"), at, f)
    {
        n += weir_streq(json_string_value(json_object_get(f, "name")), fault) ? (int)json_integer_value(json_object_get(f, number)) : 0;
    }
    json_decref(all);
    return n;
}

/* Ends everything, and the provider's own books agree that nothing is left and nothing was made twice. */
static void end(struct rig *g)
{
    rig_free(g);
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    while (mock_alive() > 0 && weir_clock_mono(&weir_clock_os).us < limit) {
    }
    assert_int_equal(mock_alive(), 0);
    assert_int_equal(mock_doubles(), 0);
}

/* A new token, as the broker makes them: with the installation's id at its head. */
static const char *token(void)
{
    static char text[8][WEIR_TOKEN_SIZE]; /* a test uses no more at a time */
    static unsigned n;
    n++;
    (void)snprintf(text[n % 8], sizeof text[0], "me-%u", n);
    return text[n % 8];
}

/* Describes by token until a machine is found. */
static struct weir_instance find(struct rig *g, const char *t)
{
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    while (weir_clock_mono(&weir_clock_os).us < limit) {
        struct answer a = rig_try_describe(g, t, NULL);
        if (a.r.class == WEIR_PROVIDER_OK && a.r.n_instances == 1) {
            return a.inst[0];
        }
        rig_pause_ms(g, 20);
    }
    fail_msg("no machine is found under %s", t);
    return (struct weir_instance){0};
}

/* How many a whole list has. A page that is refused begins it anew, as the next sweep would. */
static size_t count_all(struct rig *g)
{
    for (int round = 0; round < 3; round++) {
        char page[WEIR_INSTANCE_ID_SIZE] = "";
        size_t n = 0;
        struct answer a;
        do {
            a = rig_try_list(g, page[0] == '\0' ? NULL : page);
            n += a.r.class == WEIR_PROVIDER_OK ? a.r.n_instances : 0;
            (void)snprintf(page, sizeof page, "%s", a.next_page);
        } while (a.r.class == WEIR_PROVIDER_OK && page[0] != '\0');
        if (a.r.class == WEIR_PROVIDER_OK) {
            return n;
        }
    }
    fail_msg("no list comes to its end");
    return 0;
}

static void await_nothing(struct rig *g)
{
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    while (mock_alive() > 0 && weir_clock_mono(&weir_clock_os).us < limit) {
        rig_pause_ms(g, 10);
    }
    assert_int_equal(mock_alive(), 0);
}

static void boots_is_found_and_ends(void **state)
{
    (void)state;
    struct rig *g = begin();
    const char *t = token();
    struct answer a = rig_launch(g, t);
    assert_string_equal(a.r.text, "");
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    assert_int_equal(a.r.n_instances, 1);
    assert_string_equal(a.inst[0].token, t);
    assert_true(a.inst[0].launched.us > 0);
    struct weir_instance i = rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    assert_string_equal(rig_describe(g, t, NULL).inst[0].id, i.id);
    assert_int_equal(rig_list(g, NULL).r.n_instances, 1);
    assert_int_equal(mock_alive(), 1);
    assert_int_equal(rig_terminate(g, i.id).r.class, WEIR_PROVIDER_OK);
    assert_int_equal(rig_terminate(g, i.id).r.class, WEIR_PROVIDER_OK);
    i = rig_await(g, i.id, WEIR_INSTANCE_GONE, false);
    assert_true(i.ended.us >= i.launched.us);
    assert_false(i.reclaimed);
    assert_int_equal(mock_alive(), 0);
    assert_int_equal(rig_terminate(g, i.id).r.class, WEIR_PROVIDER_OK);
    assert_int_equal(rig_describe(g, "me-never", NULL).r.n_instances, 0);
    assert_int_equal(rig_describe(g, NULL, "../../etc").r.n_instances, 0);
    end(g);
}

static void offers_are_whole(void **state)
{
    (void)state;
    struct rig *g = begin();
    struct offers_answer a = rig_ask_offers(g);
    assert_true(a.n >= ((g->s->ops->caps & WEIR_PROVIDER_SPOT) != 0 || subject->tells_prices ? 2 : 1)); /* all of the rig's rows, or more */
    assert_int_equal(a.bad, 0);
    assert_true(g->on_demand.id != 0);
    assert_true(g->on_demand.cpu_milli > 0 && g->on_demand.mem_mib > 0);
    assert_true(g->spot.id != 0 || (g->s->ops->caps & WEIR_PROVIDER_SPOT) == 0);
    end(g);
}

struct types_answer {
    bool came;
    unsigned found; /* bits by place in subject->types */
};

static void note_types(void *ctx, const struct weir_provider_result *r)
{
    struct types_answer *a = ctx;
    a->came = true;
    for (size_t i = 0; i < r->n_offers; i++) {
        for (size_t k = 0; subject->types[k] != NULL; k++) {
            const char *type = subject->types[k] + (subject->types[k][0] == '-' ? 1 : 0);
            a->found |= weir_streq(r->offer[i].instance_type, type) ? 1U << k : 0;
        }
    }
}

static void these_types_are_offered(void **state)
{
    (void)state;
    if (subject->types == NULL) {
        return;
    }
    struct rig *g = begin();
    mock_tell("set", "{\"page_size\": 3}");
    rig_pause_ms(g, 5);
    struct types_answer a = {.came = false};
    assert_int_equal(g->s->ops->offers(g->p, note_types, &a), 0);
    rig_run_until(g, &a.came);
    for (size_t k = 0; subject->types[k] != NULL; k++) {
        if (((a.found & 1U << k) != 0) == (subject->types[k][0] == '-')) {
            fail_msg("wrong among the offers: %s", subject->types[k]);
        }
    }
    end(g);
}

static void zones_are_offered_where_they_are_told(void **state)
{
    (void)state;
    if (subject->zones == 0) {
        return;
    }
    struct rig *g = begin();
    assert_int_equal(rig_ask_offers(g).n, 2 * subject->zones); /* of both markets */
    assert_true(g->spot.zone[0] != '\0' && g->on_demand.zone[0] != '\0');
    struct answer a = rig_launch(g, token());
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    json_t *all = mock_inventory();
    const json_t *made = json_array_get(json_object_get(all, "instances"), 0);
    assert_string_equal(json_string_value(json_object_get(made, "zone")), g->on_demand.zone);
    json_decref(all);
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    mock_fault("server_error", "sizes", -1, ", \"status\": 500"); /* the provider chooses then */
    rig_pause_ms(g, 5);
    assert_int_equal(rig_ask_offers(g).n, 2);
    assert_string_equal(g->spot.zone, "");
    assert_int_equal(rig_launch(g, token()).r.class, WEIR_PROVIDER_OK);
    clear();
    rig_pause_ms(g, 5);
    assert_int_equal(rig_ask_offers(g).n, 2 * subject->zones);
    end(g);
}

static void what_is_out_of_stock_is_not_offered(void **state)
{
    (void)state;
    if (!subject->tells_stock) {
        return;
    }
    struct rig *g = begin();
    size_t all = rig_ask_offers(g).n;
    mock_tell("set", "{\"capacity\": 0}");
    rig_pause_ms(g, 5);
    assert_int_equal(rig_ask_offers(g).n, 0);
    mock_fault("bad_body", "offers", 1, ""); /* not known: it may be there */
    rig_pause_ms(g, 5);
    assert_int_equal(rig_ask_offers(g).n, all);
    end(g);
}

static void prices_change(void **state)
{
    (void)state;
    struct rig *g = begin();
    int64_t before = g->on_demand.price_micro_per_hour;
    int64_t spot_before = g->spot.price_micro_per_hour;
    int64_t set_us = weir_clock_wall(&weir_clock_os).us;
    mock_tell("set", "{\"price_factor\": 1.5}");
    rig_pause_ms(g, 5);
    (void)rig_ask_offers(g);
    if (subject->tells_prices) {
        assert_true(llabs(g->on_demand.price_micro_per_hour - before * 3 / 2) <= 16);
    }
    if (subject->tells_spot) {
        assert_true(g->spot.zone[0] != '\0' && llabs(g->spot.price_micro_per_hour - spot_before * 3 / 2) <= 16);
    }
    if ((g->s->ops->caps & WEIR_PROVIDER_SPOT_MOVES) != 0 && (subject->tells_prices || subject->tells_spot)) { /* what runs is charged by it */
        int64_t since_us = g->spot.price_since.us;
        assert_true(since_us >= set_us - WEIR_US_PER_S && since_us <= weir_clock_wall(&weir_clock_os).us); /* the mock has whole seconds */
    }
    mock_tell("set", "{\"price_factor\": 0}"); /* nothing is for nothing */
    rig_pause_ms(g, 5);
    if (subject->tells_prices) {
        assert_int_equal(rig_ask_offers(g).n, 0);
    }
    if (subject->tells_spot) { /* the list's price stands in */
        (void)rig_ask_offers(g);
        assert_string_equal(g->spot.source, "a list");
    }
    end(g);
}

/* In a second of its own: prices begin at whole ones. */
static void set_price_factor(struct rig *g, const char *factor)
{
    char text[64];
    int64_t before_s = weir_clock_wall(&weir_clock_os).us / WEIR_US_PER_S;
    while (weir_clock_wall(&weir_clock_os).us / WEIR_US_PER_S == before_s) {
        rig_pause_ms(g, 20);
    }
    (void)snprintf(text, sizeof text, "{\"price_factor\": %s}", factor);
    mock_tell("set", text);
}

enum { HISTORY_MAX = 16 };

struct history {
    bool came;
    size_t n;
    struct weir_offer price[HISTORY_MAX];
};

static void note_history(void *ctx, const struct weir_provider_result *r)
{
    struct history *h = ctx;
    h->came = true;
    assert_int_equal(r->class, WEIR_PROVIDER_OK);
    for (size_t i = 0; i < r->n_offers && h->n < HISTORY_MAX; i++) {
        h->price[h->n++] = r->offer[i];
    }
}

/* What a driver that was not there, or was not asked, missed. */
static void prices_of_the_past_are_told(void **state)
{
    (void)state;
    static const int64_t percent[] = {100, 125, 110, 140};
    struct rig *g = begin();
    if (g->s->ops->price_history == NULL) {
        end(g);
        return;
    }
    const struct weir_offer spot = g->spot;
    set_price_factor(g, "1.0");
    struct weir_wall began = weir_clock_wall(&weir_clock_os);
    set_price_factor(g, "1.25");
    set_price_factor(g, "0"); /* not believed: the one before is not known to have ended */
    set_price_factor(g, "1.1");
    set_price_factor(g, "1.4");
    for (int restarted = 0; restarted < 2; restarted++) {
        if (restarted != 0) {
            rig_close(g);
            rig_open(g, conf());
        }
        struct history h = {.came = false};
        assert_int_equal(g->s->ops->price_history(g->p, &spot, began, note_history, &h), 0);
        rig_run_until(g, &h.came);
        assert_int_equal(h.n, WEIR_ARRAY_LEN(percent));
        assert_true(h.price[0].price_since.us <= began.us);
        for (size_t i = 0; i < h.n; i++) {
            assert_int_equal(h.price[i].id, spot.id);
            assert_true(llabs(h.price[i].price_micro_per_hour - spot.price_micro_per_hour * percent[i] / 100) <= 16);
            assert_true(i == 0 || h.price[i].price_since.us > h.price[i - 1].price_since.us);
        }
    }
    end(g);
}

static void one_token_makes_one_machine(void **state)
{
    (void)state;
    struct rig *g = begin();
    const char *t = token();
    struct answer a[4] = {{0}};
    struct weir_launch l = rig_launch_of(g, t, &g->on_demand, 600);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(g->s->ops->launch(g->p, &l, rig_note, &a[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        rig_run_until(g, &a[i].came);
        assert_int_equal(a[i].r.class, WEIR_PROVIDER_OK);
        assert_string_equal(a[i].inst[0].id, a[0].inst[0].id);
    }
    assert_string_equal(rig_launch(g, t).inst[0].id, a[0].inst[0].id);
    assert_int_equal(mock_alive(), 1);
    /* nor after the broker has come back */
    rig_close(g);
    rig_open(g, conf());
    assert_string_equal(rig_launch(g, t).inst[0].id, a[0].inst[0].id);
    assert_int_equal(mock_alive(), 1);
    end(g);
}

/* The launch's fate is not known: the token finds it, and another launch of it makes no second machine. */
static void doubt(const char *fault, const char *more, bool is_made)
{
    struct rig *g = begin();
    const char *t = token();
    mock_fault(fault, "create", 1, more);
    struct answer a = rig_launch(g, t);
    if (a.r.class == WEIR_PROVIDER_OK) { /* the driver itself sent it again, under a token that the provider heeds */
        assert_int_equal(mock_alive(), 1);
    } else {
        assert_int_equal(a.r.class, WEIR_PROVIDER_UNKNOWN);
        assert_true(a.r.text[0] != '\0');
        assert_int_equal(mock_alive(), is_made ? 1 : 0);
    }
    if (is_made) {
        (void)find(g, t);
    }
    struct answer b = rig_launch(g, t);
    assert_int_equal(b.r.class, WEIR_PROVIDER_OK);
    assert_string_equal(find(g, t).id, b.inst[0].id);
    assert_int_equal(mock_alive(), 1);
    end(g);
}

static void a_lost_reply(void **state)
{
    (void)state;
    doubt("lost_reply", "", true);
}

static void a_lost_request(void **state)
{
    (void)state;
    doubt("lost_request", "", false);
}

static void an_error_after_the_effect(void **state)
{
    (void)state;
    doubt("server_error_after", ", \"status\": 502", true);
}

static void a_truncated_answer_to_a_launch(void **state)
{
    (void)state;
    doubt("truncated_body", "", true);
}

static void a_launch_that_is_answered_with_nonsense(void **state)
{
    (void)state;
    doubt("bad_body", "", true);
}

static void a_machine_that_is_seen_late(void **state)
{
    (void)state;
    struct rig *g = begin();
    const char *t = token();
    mock_fault("eventual", "create", 1, ", \"seconds\": 0.4");
    mock_fault("lost_reply", "create", 1, "");
    (void)rig_launch(g, t);
    (void)find(g, t);
    /* one whose launch was answered is there from the start */
    const char *u = token();
    mock_fault("eventual", "create", 1, ", \"seconds\": 0.4");
    struct answer a = rig_launch(g, u);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    if (!subject->keeps_tags) {
        assert_int_equal(rig_describe(g, u, NULL).r.n_instances, 1);
        assert_int_equal(rig_describe(g, NULL, a.inst[0].id).r.n_instances, 1);
    }
    assert_string_equal(find(g, u).id, a.inst[0].id);
    end(g);
}

static void throttling(void **state)
{
    (void)state;
    struct rig *g = begin();
    mock_fault("throttle", "create", 1, ", \"retry_after\": 1");
    int64_t before = weir_clock_mono(&weir_clock_os).us;
    struct answer a = rig_launch(g, token());
    if (a.r.class == WEIR_PROVIDER_OK) {
        assert_true(weir_clock_mono(&weir_clock_os).us - before >= 900 * WEIR_US_PER_MS);
    } else {
        assert_int_equal(a.r.class, WEIR_PROVIDER_THROTTLED);
        assert_int_equal(a.r.retry_after.us, WEIR_US_PER_S);
    }
    mock_fault("throttle", "create", 1, ""); /* without Retry-After */
    assert_int_equal(rig_launch(g, token()).r.class, WEIR_PROVIDER_OK);
    mock_fault("throttle", "create", -1, ", \"retry_after\": 30");
    a = rig_launch(g, token());
    assert_int_equal(a.r.class, WEIR_PROVIDER_THROTTLED);
    assert_int_equal(a.r.retry_after.us, 30 * WEIR_US_PER_S);
    clear();
    rig_close(g); /* it keeps its calls back for as long as it was told */
    rig_open(g, conf());
    end(g);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        enum weir_provider_class class;
    } rows[] = {
        {"no_capacity", WEIR_PROVIDER_NO_CAPACITY},
        {"quota", WEIR_PROVIDER_QUOTA},
        {"refused", WEIR_PROVIDER_REFUSED},
    };
    struct rig *g = begin();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const char *t = token();
        mock_fault(rows[i].fault, NULL, 1, "");
        struct answer a = rig_launch(g, t);
        assert_int_equal(a.r.class, rows[i].class);
        assert_true(a.r.text[0] != '\0');
        assert_int_equal(rig_describe(g, t, NULL).r.n_instances, 0);
        assert_int_equal(mock_alive(), 0);
    }
    assert_int_equal(rig_launch_with(g, token(), &g->on_demand, -1).r.class, WEIR_PROVIDER_REFUSED);
    if (!subject->keeps_tags) {
        assert_int_equal(rig_launch(g, "stranger-1").r.class, WEIR_PROVIDER_REFUSED);
    }
    assert_int_equal(mock_alive(), 0);
    end(g);
}

static void no_capacity_inside_the_operation(void **state)
{
    (void)state;
    struct rig *g = begin();
    const char *t = token();
    mock_fault("no_capacity_later", NULL, 1, "");
    struct answer a = rig_launch(g, t);
    if (subject->late_refusal) {
        assert_int_equal(a.r.class, WEIR_PROVIDER_NO_CAPACITY);
    } else {
        assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
        assert_true(rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false).reclaimed);
    }
    await_nothing(g); /* without anybody's asking */
    end(g);
}

static void a_machine_that_failed_and_exists(void **state)
{
    (void)state;
    struct rig *g = begin();
    const char *t = token();
    mock_fault("failed_but_existing", NULL, 1, "");
    struct answer a = rig_launch(g, t);
    assert_int_not_equal(a.r.class, WEIR_PROVIDER_REFUSED);
    if (subject->keeps_tags) { /* it is not known as failed there: it is found, and whoever owns it ends it */
        assert_int_equal(mock_alive(), 1);
        (void)find(g, t);
        end(g);
        return;
    }
    struct weir_instance i = find(g, t);
    i = rig_await(g, i.id, WEIR_INSTANCE_GONE, false);
    assert_true(i.reclaimed);
    assert_int_equal(mock_alive(), 0);
    end(g);
}

/* Ends what is of somebody else; it is not ours to see. */
static void end_foreign(struct rig *g)
{
    json_t *all = mock_inventory();
    size_t at;
    json_t *m;
    json_array_foreach(json_object_get(all, "instances"), at, m)
    {
        const char *id = json_string_value(json_object_get(m, "id"));
        const char *owner = json_string_value(json_object_get(m, "owner"));
        if (!weir_streq(owner, "me") && strstr(owner, "-me") == NULL) {
            char text[256];
            assert_int_equal(rig_describe(g, NULL, id).r.n_instances, 0);
            (void)snprintf(text, sizeof text, "{\"id\": \"%s\"}", id);
            mock_tell("end", text);
        }
    }
    json_decref(all);
}

static void pages_that_expire(void **state)
{
    (void)state;
    struct rig *g = begin();
    mock_tell("foreign", "{}");
    mock_tell("set", "{\"page_size\": 2}");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(rig_launch(g, token()).r.class, WEIR_PROVIDER_OK);
    }
    assert_int_equal(count_all(g), 5);
    if (!subject->one_page) {
        mock_fault("expired_page", NULL, 1, "");
    }
    assert_int_equal(count_all(g), 5);
    assert_int_equal(mock_alive(), 6);
    end_foreign(g);
    end(g);
}

static void a_credential_that_expires(void **state)
{
    (void)state;
    if (!subject->keys_expire) {
        return; /* a fixed key is refused, and that is what "refused" tries */
    }
    struct rig *g = begin();
    mock_fault("expired_credential", "create", 1, "");
    assert_int_equal(rig_launch(g, token()).r.class, WEIR_PROVIDER_OK);
    mock_fault("expired_credential", "list", 1, "");
    assert_int_equal(rig_list(g, NULL).r.n_instances, 1);
    end(g);
}

static void a_clock_that_is_wrong(void **state)
{
    (void)state;
    struct rig *g = begin();
    rig_close(g);
    mock_tell("set", "{\"skew_s\": 7000}");
    rig_open(g, conf());
    struct answer a = rig_launch(g, token());
    assert_string_equal(a.r.text, "");
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    mock_tell("set", "{\"skew_s\": 0}");
    rig_close(g);
    rig_open(g, conf());
    end(g);
}

static void reads_that_fail(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        int times;
        const char *more;
    } rows[] = {
        {"truncated_body", 1, ""},      {"slow_body", 1, ", \"seconds\": 0.3"},  {"server_error", 2, ", \"status\": 503"},
        {"lost_reply", 1, ""},          {"throttle", 1, ", \"retry_after\": 1"}, {"throttle", 1, ""},
        {"server_error", 1, ", \"status\": 500"},
    };
    struct rig *g = begin();
    const char *t = token();
    assert_int_equal(rig_launch(g, t).r.class, WEIR_PROVIDER_OK);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        mock_fault(rows[i].fault, "list", rows[i].times, rows[i].more);
        assert_int_equal(rig_list(g, NULL).r.n_instances, 1);
    }
    mock_fault("bad_body", "list", 1, "");
    struct answer odd = rig_try_list(g, NULL); /* not known, or asked again */
    assert_true(odd.r.class == WEIR_PROVIDER_UNKNOWN || (odd.r.class == WEIR_PROVIDER_OK && odd.r.n_instances == 1));
    assert_int_equal(rig_list(g, NULL).r.n_instances, 1);
    end(g);
}

static void ends_that_fail(void **state)
{
    (void)state;
    static const char *const faults[] = {"lost_reply", "lost_request", "server_error", "server_error_after", "throttle", "slow_body"};
    struct rig *g = begin();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(faults); i++) {
        struct answer a = rig_launch(g, token());
        (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
        mock_fault(faults[i], "terminate", 1, weir_streq(faults[i], "slow_body") ? ", \"seconds\": 0.1" : "");
        assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
        assert_false(rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false).reclaimed);
        assert_int_equal(mock_alive(), 0);
    }
    end(g);
}

static void what_the_provider_takes_back(void **state)
{
    (void)state;
    struct rig *g = begin();
    const struct weir_offer *o = g->spot.id != 0 ? &g->spot : &g->on_demand;
    for (int i = 0; i < 2; i++) {
        char text[256];
        struct answer a = rig_launch_with(g, token(), o, 600);
        (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
        (void)snprintf(text, sizeof text, "{\"id\": \"%s\", \"notice_s\": %s}", a.inst[0].id, i == 0 ? "0" : "0.3");
        mock_tell("reclaim", text);
        struct weir_instance in = rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
        assert_true(in.reclaimed);
    }
    mock_tell("set", "{\"boot_s\": 1.5}"); /* so long that it is seen before */
    mock_fault("reclaim_unannounced", NULL, 1, "");
    struct answer a = rig_launch_with(g, token(), o, 600);
    assert_true(rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false).reclaimed);
    end(g);
}

/* ---- quotas ---- */

enum { QUOTAS_MAX = 256 };

struct quota_answer {
    bool came;
    struct weir_provider_result r;
    size_t n;
    struct weir_provider_quota row[QUOTAS_MAX];
};

static void note_quota(void *ctx, const struct weir_provider_result *r)
{
    struct quota_answer *a = ctx;
    assert_false(a->came);
    assert_true(r->n_quotas <= QUOTAS_MAX);
    a->came = true;
    a->r = *r;
    a->n = r->n_quotas;
    for (size_t i = 0; i < a->n; i++) {
        a->row[i] = r->quota[i];
    }
}

static struct quota_answer ask_quota(struct rig *g)
{
    struct quota_answer a = {.came = false};
    assert_int_equal(g->s->ops->quota(g->p, note_quota, &a), 0);
    assert_false(a.came); /* never from inside the call */
    rig_run_until(g, &a.came);
    return a;
}

/* The narrowest that counts the offer's machines: the first that names types, or the first. */
static const struct weir_provider_quota *quota_of(const struct quota_answer *a, const struct weir_offer *o)
{
    const struct weir_provider_quota *found = NULL;
    for (size_t i = 0; i < a->n; i++) {
        const struct weir_provider_quota *q = &a->row[i];
        bool narrow = q->n_types > 0 && !weir_streq(q->type[0], "*");
        if (weir_provider_quota_of(q, o) > 0 && q->unit != WEIR_QUOTA_UNIT_MEM_MIB && (found == NULL || (narrow && weir_streq(found->type[0], "*")))) {
            found = q;
        }
    }
    assert_non_null(found);
    return found;
}

static void quotas_come_whole_in_pages(void **state)
{
    (void)state;
    struct rig *g = begin();
    if (g->s->ops->quota != NULL) {
        size_t n = ask_quota(g).n;
        mock_tell("set", "{\"page_size\": 1}");
        struct quota_answer a = ask_quota(g);
        assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
        assert_true(n > 0);
        assert_int_equal(a.n, n);
        mock_tell("set", "{\"page_size\": 100}");
    }
    end(g);
}

/* What the mock's books say that the machines alive take. */
static int64_t mock_takes(void)
{
    json_t *all = mock_inventory();
    int64_t n = 0;
    size_t at;
    json_t *m;
    json_array_foreach(json_object_get(all, "instances"), at, m)
    {
        bool is_gone = weir_streq(json_string_value(json_object_get(m, "state")), "gone");
        n += is_gone ? 0 : json_integer_value(json_object_get(m, "takes"));
    }
    json_decref(all);
    return n;
}

static void quotas_are_told(void **state)
{
    (void)state;
    struct rig *g = begin();
    if (g->s->ops->quota == NULL) {
        assert_null(g->s->ops->quota_remedy);
        end(g);
        return;
    }
    assert_non_null(g->s->ops->quota_remedy);
    mock_fault("server_error", "quota", -1, ", \"status\": 500");
    struct quota_answer a = ask_quota(g);
    assert_int_not_equal(a.r.class, WEIR_PROVIDER_OK);
    assert_int_equal(a.n, 0);
    assert_true(a.r.text[0] != '\0');
    clear();
    mock_fault("bad_body", "quota", -1, "");
    assert_int_not_equal(ask_quota(g).r.class, WEIR_PROVIDER_OK);
    clear();
    mock_tell("set", "{\"quota\": 500}");
    a = ask_quota(g);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    const struct weir_provider_quota *q = quota_of(&a, &g->on_demand);
    assert_int_equal(q->limit, 500);
    assert_int_equal(q->used, 0);
    struct answer l = rig_launch(g, token());
    assert_int_equal(l.r.class, WEIR_PROVIDER_OK);
    mock_tell("foreign", "{}"); /* somebody else's counts too, where it is of the quota */
    int64_t takes = mock_takes();
    assert_true(takes > 0);
    a = ask_quota(g);
    assert_int_equal(quota_of(&a, &g->on_demand)->used, takes);
    assert_int_equal(rig_terminate(g, l.inst[0].id).r.class, WEIR_PROVIDER_OK);
    (void)rig_await(g, l.inst[0].id, WEIR_INSTANCE_GONE, false);
    takes = mock_takes();
    a = ask_quota(g);
    assert_int_equal(quota_of(&a, &g->on_demand)->used, takes);
    mock_tell("set", "{\"quota\": 0}");
    assert_int_equal(rig_launch(g, token()).r.class, WEIR_PROVIDER_QUOTA);
    end_foreign(g);
    end(g);
}

static void quotas_that_come_in_part_are_told(void **state)
{
    (void)state;
    struct rig *g = begin();
    mock_tell("set", "{\"quota\": 500}");
    size_t all = g->s->ops->quota == NULL ? 0 : ask_quota(g).n;
    for (size_t i = 0; subject->part_of_quota != NULL && subject->part_of_quota[i] != NULL; i++) {
        static const char *const faults[] = {"server_error", "bad_body"};
        for (size_t k = 0; k < WEIR_ARRAY_LEN(faults); k++) {
            mock_fault(faults[k], subject->part_of_quota[i], -1, "");
            struct quota_answer a = ask_quota(g);
            assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
            assert_true(a.n > 0 && a.n < all);
            assert_true(a.r.text[0] != '\0');
            assert_int_equal(quota_of(&a, &g->on_demand)->limit, 500);
            clear();
        }
        struct quota_answer a = ask_quota(g);
        assert_int_equal(a.n, all);
        assert_string_equal(a.r.text, "");
    }
    end(g);
}

/* ---- looks at the provider ---- */

/* All is well but for `bad`; NULL: all. */
static void assert_found(const struct look *l, const char *bad)
{
    bool is_there = bad == NULL;
    for (size_t i = 0; i < l->n; i++) {
        const struct weir_check *c = &l->check[i];
        bool is_bad = bad != NULL && weir_streq(c->name, bad);
        if (c->verdict == WEIR_CHECK_UNKNOWN ? strncmp(c->text, "not checked: ", 13) != 0 : c->verdict != (is_bad ? WEIR_CHECK_FAILED : WEIR_CHECK_OK)) {
            fail_msg("%s: verdict %d: %s", c->name, (int)c->verdict, c->text);
        }
        assert_true(c->text[0] != '\0');
        assert_int_equal(c->remedy[0] != '\0', is_bad);
        is_there = is_there || is_bad;
    }
    assert_true(is_there);
}

static void a_look_finds_what_is_wrong(void **state)
{
    (void)state;
    struct rig *g = begin();
    struct look l = rig_look(g);
    assert_found(&l, NULL);
    assert_int_equal(mock_alive(), 0);
    struct answer a = rig_launch(g, token());
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    l = rig_look(g);
    assert_found(&l, NULL);
    assert_int_equal(mock_alive(), 1);
    mock_fault("lost_request", NULL, -1, "");
    l = rig_look(g);
    assert_found(&l, "endpoint");
    clear();
    mock_fault("server_error", NULL, -1, ", \"status\": 503");
    l = rig_look(g);
    assert_found(&l, "endpoint");
    clear();
    mock_tell("set", "{\"skew_s\": -600}");
    l = rig_look(g);
    assert_found(&l, "clock");
    mock_tell("set", "{\"skew_s\": 0}");
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    end(g);
}

static void a_look_names_what_is_missing(void **state)
{
    (void)state;
    if (subject->denied == NULL) {
        return;
    }
    struct rig *g = begin();
    char set[128];
    bool is_named = false;
    (void)snprintf(set, sizeof set, "{\"denied\": [\"%s\"]}", subject->denied);
    mock_tell("set", set);
    if (subject->keys_expire) { /* what is denied shows with the next */
        mock_fault("expired_credential", NULL, 1, "");
    }
    struct look l = rig_look(g);
    for (size_t i = 0; i < l.n; i++) {
        const struct weir_check *c = &l.check[i];
        is_named = is_named || (c->verdict == WEIR_CHECK_FAILED && strstr(c->text, subject->missing) != NULL && c->remedy[0] != '\0');
        assert_true(c->verdict != WEIR_CHECK_FAILED || strstr(c->text, subject->missing) != NULL);
    }
    assert_true(is_named);
    assert_int_equal(mock_alive(), 0);
    mock_tell("set", "{\"denied\": []}");
    end(g);
}

static void nothing_is_answered_after_fini(void **state)
{
    (void)state;
    struct rig *g = begin();
    struct answer a = {0};
    struct answer b = {0};
    struct look c = {0};
    struct weir_launch l = rig_launch_of(g, token(), &g->on_demand, 600);
    mock_fault("slow_body", NULL, -1, ", \"seconds\": 3");
    assert_int_equal(g->s->ops->launch(g->p, &l, rig_note, &a), 0);
    assert_int_equal(g->s->ops->list(g->p, NULL, rig_note, &b), 0);
    assert_int_equal(g->s->ops->check(g->p, rig_note_checks, &c), 0);
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    while (number_of("slow_body", "hits") < 2 && weir_clock_mono(&weir_clock_os).us < limit) {
        rig_pause_ms(g, 1); /* until calls are on the wire */
    }
    assert_false(a.came || b.came || c.came);
    rig_close(g);
    assert_false(c.came);
    assert_false(a.came);
    assert_false(b.came);
    rig_open(g, conf());
    end(g);
}

/* ---- what no honest provider does ---- */

static void what_was_left_out_of_lists_is_there_again(void **state)
{
    (void)state;
    struct rig *g = begin();
    const char *t = token();
    struct answer a = rig_launch(g, t);
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    mock_fault("unlisted", NULL, -1, "");
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    struct answer b = rig_describe(g, NULL, a.inst[0].id);
    while (b.r.n_instances == 1 && b.inst[0].state != WEIR_INSTANCE_GONE && weir_clock_mono(&weir_clock_os).us < limit) {
        b = rig_describe(g, NULL, a.inst[0].id);
    }
    assert_true(b.r.n_instances == 0 || b.inst[0].state == WEIR_INSTANCE_GONE);
    assert_int_equal(rig_list(g, NULL).r.n_instances, 0);
    clear();
    b = rig_list(g, NULL); /* it costs on: the sweep must see it */
    assert_int_equal(b.r.n_instances, 1);
    assert_string_equal(b.inst[0].id, a.inst[0].id);
    assert_string_equal(b.inst[0].token, t);
    assert_int_equal(b.inst[0].state, WEIR_INSTANCE_RUNNING);
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    await_nothing(g);
    end(g);
}

static void an_end_that_was_taken_and_not_carried_out(void **state)
{
    (void)state;
    enum { LATER_S = 61 };
    struct rig *g = begin();
    struct answer a = rig_launch(g, token());
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    mock_fault("ignored_end", NULL, 1, "");
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    assert_int_equal(mock_alive(), 1);
    rig_ahead_us += LATER_S * WEIR_US_PER_S;
    assert_int_equal(rig_describe(g, NULL, a.inst[0].id).inst[0].state, WEIR_INSTANCE_RUNNING); /* so that it is told again */
    assert_int_equal(rig_list(g, NULL).inst[0].state, WEIR_INSTANCE_RUNNING);
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    await_nothing(g);
    assert_false(rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false).reclaimed);
    end(g);
}

static void lists_without_an_end(void **state)
{
    (void)state;
    struct rig *g = begin();
    assert_int_equal(rig_launch(g, token()).r.class, WEIR_PROVIDER_OK);
    if (!subject->one_page) {
        mock_fault("endless_pages", NULL, -1, "");
        if (subject->keeps_tags) { /* whose pages of machines the broker counts */
            struct offers_answer o = rig_ask_offers(g);
            assert_true(o.n > 0 && o.bad == 0);
        } else {
            struct answer a = rig_try_list(g, NULL);
            assert_int_equal(a.r.class, WEIR_PROVIDER_UNKNOWN);
            assert_non_null(strstr(a.r.text, "pages"));
        }
        clear();
    }
    assert_int_equal(count_all(g), 1);
    end(g);
}

static void a_machine_in_a_state_that_is_new_is_there(void **state)
{
    (void)state;
    struct rig *g = begin();
    struct answer a = rig_launch(g, token());
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    mock_fault("odd_body", "list", 1, ", \"kind\": \"stateless\"");
    struct answer b = rig_list(g, NULL);
    assert_int_equal(b.r.n_instances, 1);
    assert_string_equal(b.inst[0].id, a.inst[0].id);
    assert_true(b.inst[0].state == WEIR_INSTANCE_PENDING || b.inst[0].state == WEIR_INSTANCE_RUNNING); /* nor is it told to end for that */
    assert_int_equal(rig_describe(g, NULL, a.inst[0].id).inst[0].state, WEIR_INSTANCE_RUNNING);
    end(g);
}

/* A refusal may name the key, and be too long to be kept whole. */
static void keys_are_not_shown(void **state)
{
    (void)state;
    enum { TELLING_BYTES = 8 };
    struct rig *g = begin();
    for (int pad = 0; pad < 250; pad += 7) {
        char more[32];
        char part[TELLING_BYTES + 4] = "";
        (void)snprintf(more, sizeof more, ", \"pad\": %d", pad);
        mock_fault("echo", "list", 1, more);
        struct answer a = rig_try_list(g, NULL);
        assert_int_equal(a.r.class, WEIR_PROVIDER_REFUSED);
        json_t *all = mock_inventory();
        const json_t *echoed = json_object_get(all, "echoed");
        const char *key = json_string_value(json_array_get(echoed, json_array_size(echoed) - 1));
        assert_true(key != NULL && strlen(key) >= TELLING_BYTES);
        (void)snprintf(part, sizeof part, "%.*s", TELLING_BYTES + 2, key);
        if (!subject->keeps_tags && strstr(a.r.text, part) != NULL) { /* else it is a signature, and no secret */
            fail_msg("the key '%s' is shown: %s", key, a.r.text);
        }
        json_decref(all);
    }
    end(g);
}

struct odd_answer {
    bool came;
    size_t n;
};

static void note_odd_offers(void *ctx, const struct weir_provider_result *r)
{
    struct odd_answer *a = ctx;
    assert_false(a->came);
    a->came = true;
    a->n = r->n_offers;
    for (size_t i = 0; i < r->n_offers; i++) {
        const struct weir_offer *o = &r->offer[i];
        assert_true(o->price_micro_per_hour > 0 && o->price_micro_per_hour < INT64_C(1000000) * 1000000);
        assert_true(o->cpu_milli <= 100 * 1000 * 1000 && o->mem_mib <= UINT64_C(1) << 40);
        assert_true(o->price_since.us <= weir_clock_wall(&weir_clock_os).us + WEIR_US_PER_S);
        assert_true(o->egress_micro_per_gib >= 0);
    }
}

static void note_odd_quota(void *ctx, const struct weir_provider_result *r)
{
    struct odd_answer *a = ctx;
    assert_false(a->came);
    a->came = true;
    for (size_t i = 0; i < r->n_quotas; i++) {
        assert_true(r->quota[i].limit >= 0 && r->quota[i].used >= 0);
    }
}

static void ask_oddly(struct rig *g, const char *kind, int seed)
{
    char more[64];
    struct odd_answer o = {.came = false};
    struct odd_answer q = {.came = false};
    (void)snprintf(more, sizeof more, ", \"kind\": \"%s\", \"seed\": %d", kind, seed);
    mock_fault("odd_body", "list", 1, more);
    struct answer a = rig_try_list(g, NULL);
    assert_int_equal(a.times, 1);
    assert_true(a.r.class == WEIR_PROVIDER_OK || a.r.text[0] != '\0');
    rig_pause_ms(g, 2);
    mock_fault("odd_body", NULL, 1, more);
    assert_int_equal(g->s->ops->offers(g->p, note_odd_offers, &o), 0);
    rig_run_until(g, &o.came);
    if (number_of("odd_body", "left") == 0 && g->s->ops->quota != NULL) {
        mock_fault("odd_body", NULL, 1, more);
        assert_int_equal(g->s->ops->quota(g->p, note_odd_quota, &q), 0);
        rig_run_until(g, &q.came);
    }
}

static void odd_answers_are_survived(void **state)
{
    (void)state;
    enum { SEEDS = 3 };
    static const char *const kinds[] = {"null", "text", "number", "negative", "large", "nested", "odd", "long", "far", "past", "nan", "twice", "emptied", "deep", "huge"};
    struct rig *g = begin();
    const char *t = token();
    struct answer a = rig_launch(g, t);
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++) {
        for (int seed = 0; seed < (i < 10 ? SEEDS : 1); seed++) {
            ask_oddly(g, kinds[i], seed);
        }
    }
    mock_tell("clear", "{}"); /* what the last offers had no need to ask */
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    struct answer b = rig_try_list(g, NULL);
    while ((b.r.n_instances != 1 || !weir_streq(b.inst[0].id, a.inst[0].id) || !weir_streq(b.inst[0].token, t)) && weir_clock_mono(&weir_clock_os).us < limit) {
        b = rig_try_list(g, NULL);
    }
    assert_int_equal(b.r.n_instances, 1);
    assert_string_equal(b.inst[0].id, a.inst[0].id);
    assert_string_equal(b.inst[0].token, t);
    struct offers_answer o = rig_ask_offers(g);
    assert_true(o.n > 0 && o.bad == 0);
    assert_int_equal(mock_alive(), 1);
    end(g);
}

static void an_unknown_key_is_refused(void **state)
{
    (void)state;
    struct rig *g = begin();
    struct weir_provider *p = NULL;
    struct weir_err err = {""};
    json_t *bad = json_loads(subject->keeps_tags ? "{\"region\": 1}" : "{\"max_gpu\": 1}", 0, NULL);
    assert_int_equal(g->s->ops->init(&p, &g->env, bad, &err), -WEIR_ECONFIG);
    json_decref(bad);
    assert_non_null(strstr(err.text, subject->keeps_tags ? "did you mean 'regions'" : "did you mean 'max_gpus'"));
    end(g);
}

/* Names of what is there besides machines: "" at the end, foreign ones left out. */
static bool has_leftovers(void)
{
    json_t *all = mock_inventory();
    bool any = false;
    size_t at;
    json_t *name;
    json_array_foreach(json_object_get(all, "leftovers"), at, name)
    {
        any = any || strncmp(json_string_value(name), "weir-me-", strlen("weir-me-")) == 0;
    }
    json_decref(all);
    return any;
}

static void what_was_made_beside_machines_goes(void **state)
{
    (void)state;
    if (!subject->leaves_nothing) {
        return;
    }
    struct rig *g = begin();
    const char *t = token();
    mock_fault("lost_reply", "create_script", 1, ""); /* made twice: neither may stay */
    assert_int_equal(rig_launch(g, t).r.class, WEIR_PROVIDER_OK);
    assert_int_equal(mock_alive(), 1);
    mock_fault("no_capacity", NULL, 1, "");
    assert_int_equal(rig_launch(g, token()).r.class, WEIR_PROVIDER_NO_CAPACITY); /* nor that of a machine that never was */
    assert_true(has_leftovers());
    mock_fault("server_error", "create_script", -1, "");
    assert_int_equal(rig_launch(g, token()).r.class, WEIR_PROVIDER_THROTTLED); /* no machine was asked for */
    clear();
    assert_int_equal(rig_terminate(g, find(g, t).id).r.class, WEIR_PROVIDER_OK);
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    while (has_leftovers() && weir_clock_mono(&weir_clock_os).us < limit) {
        (void)rig_list(g, NULL);
    }
    assert_false(has_leftovers());
    end(g);
}

int clouds_run(const struct clouds_subject *s)
{
    struct weir_conformance_subject base = s->base;
    base.clear = clear;
    subject = s;
    rig_subject = &base;
    mock_start(s->dialect, s->options);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boots_is_found_and_ends),
        cmocka_unit_test(offers_are_whole),
        cmocka_unit_test(these_types_are_offered),
        cmocka_unit_test(zones_are_offered_where_they_are_told),
        cmocka_unit_test(what_is_out_of_stock_is_not_offered),
        cmocka_unit_test(prices_change),
        cmocka_unit_test(prices_of_the_past_are_told),
        cmocka_unit_test(one_token_makes_one_machine),
        cmocka_unit_test(a_lost_reply),
        cmocka_unit_test(a_lost_request),
        cmocka_unit_test(an_error_after_the_effect),
        cmocka_unit_test(a_truncated_answer_to_a_launch),
        cmocka_unit_test(a_launch_that_is_answered_with_nonsense),
        cmocka_unit_test(a_machine_that_is_seen_late),
        cmocka_unit_test(throttling),
        cmocka_unit_test(refusals),
        cmocka_unit_test(no_capacity_inside_the_operation),
        cmocka_unit_test(a_machine_that_failed_and_exists),
        cmocka_unit_test(pages_that_expire),
        cmocka_unit_test(a_credential_that_expires),
        cmocka_unit_test(a_clock_that_is_wrong),
        cmocka_unit_test(reads_that_fail),
        cmocka_unit_test(ends_that_fail),
        cmocka_unit_test(what_the_provider_takes_back),
        cmocka_unit_test(quotas_are_told),
        cmocka_unit_test(quotas_come_whole_in_pages),
        cmocka_unit_test(quotas_that_come_in_part_are_told),
        cmocka_unit_test(a_look_finds_what_is_wrong),
        cmocka_unit_test(a_look_names_what_is_missing),
        cmocka_unit_test(nothing_is_answered_after_fini),
        cmocka_unit_test(what_was_made_beside_machines_goes),
        cmocka_unit_test(what_was_left_out_of_lists_is_there_again),
        cmocka_unit_test(an_end_that_was_taken_and_not_carried_out),
        cmocka_unit_test(lists_without_an_end),
        cmocka_unit_test(keys_are_not_shown),
        cmocka_unit_test(a_machine_in_a_state_that_is_new_is_there),
        cmocka_unit_test(odd_answers_are_survived),
        cmocka_unit_test(an_unknown_key_is_refused),
    };
    int failed = cmocka_run_group_tests_name(s->base.name, tests, NULL, NULL);
    mock_stop();
    return failed;
}
