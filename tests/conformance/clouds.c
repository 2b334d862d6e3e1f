/* SPDX-License-Identifier: Apache-2.0 */
#include "clouds_priv.h"

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

const struct clouds_subject *clouds_subject;

static const char *conf(void)
{
    static char text[2048];
    char more[512] = "";
    for (const char *const *key = clouds_subject->endpoints; key != NULL && *key != NULL; key++) {
        size_t n = strlen(more);
        (void)snprintf(more + n, sizeof more - n, "\"%s\": \"%s\", ", *key, mock_url());
    }
    (void)snprintf(text, sizeof text, "{%s%s \"endpoint\": \"%s\", %s \"prices_every\": \"1ms\", \"calls_per_second\": 1000}", clouds_subject->conf, more, mock_url(),
                   clouds_subject->keeps_tags ? "" : "\"poll\": \"20ms\",");
    return text;
}

struct rig *clouds_begin(void)
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

void clouds_clear(void)
{
    assert_fired();
    mock_tell("clear", "{}");
}

/* A number of a fault: "left" (how often it is still to come about) or "hits". */
int clouds_fault_number(const char *fault, const char *number)
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
void clouds_end(struct rig *g)
{
    rig_free(g);
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    while (mock_alive() > 0 && weir_clock_mono(&weir_clock_os).us < limit) {
    }
    assert_int_equal(mock_alive(), 0);
    assert_int_equal(mock_doubles(), 0);
}

/* A new token, as the broker makes them: with the installation's id at its head. */
const char *clouds_token(void)
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
size_t clouds_count_all(struct rig *g)
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

void clouds_await_nothing(struct rig *g)
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
    struct rig *g = clouds_begin();
    const char *t = clouds_token();
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
    clouds_end(g);
}

static void offers_are_whole(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    struct offers_answer a = rig_ask_offers(g);
    assert_true(a.n >= ((g->s->ops->caps & WEIR_PROVIDER_SPOT) != 0 || clouds_subject->tells_prices ? 2 : 1)); /* all of the rig's rows, or more */
    assert_int_equal(a.bad, 0);
    assert_true(g->on_demand.id != 0);
    assert_true(g->on_demand.cpu_milli > 0 && g->on_demand.mem_mib > 0);
    assert_true(g->spot.id != 0 || (g->s->ops->caps & WEIR_PROVIDER_SPOT) == 0);
    clouds_end(g);
}

struct types_answer {
    bool came;
    unsigned found; /* bits by place in clouds_subject->types */
};

static void note_types(void *ctx, const struct weir_provider_result *r)
{
    struct types_answer *a = ctx;
    a->came = true;
    for (size_t i = 0; i < r->n_offers; i++) {
        for (size_t k = 0; clouds_subject->types[k] != NULL; k++) {
            const char *type = clouds_subject->types[k] + (clouds_subject->types[k][0] == '-' ? 1 : 0);
            a->found |= weir_streq(r->offer[i].instance_type, type) ? 1U << k : 0;
        }
    }
}

static void these_types_are_offered(void **state)
{
    (void)state;
    if (clouds_subject->types == NULL) {
        return;
    }
    struct rig *g = clouds_begin();
    mock_tell("set", "{\"page_size\": 3}");
    rig_pause_ms(g, 5);
    struct types_answer a = {.came = false};
    assert_int_equal(g->s->ops->offers(g->p, note_types, &a), 0);
    rig_run_until(g, &a.came);
    for (size_t k = 0; clouds_subject->types[k] != NULL; k++) {
        if (((a.found & 1U << k) != 0) == (clouds_subject->types[k][0] == '-')) {
            fail_msg("wrong among the offers: %s", clouds_subject->types[k]);
        }
    }
    clouds_end(g);
}

static void zones_are_offered_where_they_are_told(void **state)
{
    (void)state;
    if (clouds_subject->zones == 0) {
        return;
    }
    struct rig *g = clouds_begin();
    assert_int_equal(rig_ask_offers(g).n, 2 * clouds_subject->zones); /* of both markets */
    assert_true(g->spot.zone[0] != '\0' && g->on_demand.zone[0] != '\0');
    struct answer a = rig_launch(g, clouds_token());
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
    assert_int_equal(rig_launch(g, clouds_token()).r.class, WEIR_PROVIDER_OK);
    clouds_clear();
    rig_pause_ms(g, 5);
    assert_int_equal(rig_ask_offers(g).n, 2 * clouds_subject->zones);
    clouds_end(g);
}

static void what_is_out_of_stock_is_not_offered(void **state)
{
    (void)state;
    if (!clouds_subject->tells_stock) {
        return;
    }
    struct rig *g = clouds_begin();
    size_t all = rig_ask_offers(g).n;
    mock_tell("set", "{\"capacity\": 0}");
    rig_pause_ms(g, 5);
    assert_int_equal(rig_ask_offers(g).n, 0);
    mock_fault("bad_body", "offers", 1, ""); /* not known: it may be there */
    rig_pause_ms(g, 5);
    assert_int_equal(rig_ask_offers(g).n, all);
    clouds_end(g);
}

static void prices_change(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    int64_t before = g->on_demand.price_micro_per_hour;
    int64_t spot_before = g->spot.price_micro_per_hour;
    int64_t set_us = weir_clock_wall(&weir_clock_os).us;
    mock_tell("set", "{\"price_factor\": 1.5}");
    rig_pause_ms(g, 5);
    (void)rig_ask_offers(g);
    if (clouds_subject->tells_prices) {
        assert_true(llabs(g->on_demand.price_micro_per_hour - before * 3 / 2) <= 16);
    }
    if (clouds_subject->tells_spot) {
        assert_true(g->spot.zone[0] != '\0' && llabs(g->spot.price_micro_per_hour - spot_before * 3 / 2) <= 16);
    }
    if ((g->s->ops->caps & WEIR_PROVIDER_SPOT_MOVES) != 0 && (clouds_subject->tells_prices || clouds_subject->tells_spot)) { /* what runs is charged by it */
        int64_t since_us = g->spot.price_since.us;
        assert_true(since_us >= set_us - WEIR_US_PER_S && since_us <= weir_clock_wall(&weir_clock_os).us); /* the mock has whole seconds */
    }
    mock_tell("set", "{\"price_factor\": 0}"); /* nothing is for nothing */
    rig_pause_ms(g, 5);
    if (clouds_subject->tells_prices) {
        assert_int_equal(rig_ask_offers(g).n, 0);
    }
    if (clouds_subject->tells_spot) { /* the list's price stands in */
        (void)rig_ask_offers(g);
        assert_string_equal(g->spot.source, "a list");
    }
    clouds_end(g);
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
    struct rig *g = clouds_begin();
    if (g->s->ops->price_history == NULL) {
        clouds_end(g);
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
    clouds_end(g);
}

static void one_token_makes_one_machine(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    const char *t = clouds_token();
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
    clouds_end(g);
}

/* The launch's fate is not known: the token finds it, and another launch of it makes no second machine. */
static void doubt(const char *fault, const char *more, bool is_made)
{
    struct rig *g = clouds_begin();
    const char *t = clouds_token();
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
    clouds_end(g);
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
    struct rig *g = clouds_begin();
    const char *t = clouds_token();
    mock_fault("eventual", "create", 1, ", \"seconds\": 0.4");
    mock_fault("lost_reply", "create", 1, "");
    (void)rig_launch(g, t);
    (void)find(g, t);
    /* one whose launch was answered is there from the start */
    const char *u = clouds_token();
    mock_fault("eventual", "create", 1, ", \"seconds\": 0.4");
    struct answer a = rig_launch(g, u);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    if (!clouds_subject->keeps_tags) {
        assert_int_equal(rig_describe(g, u, NULL).r.n_instances, 1);
        assert_int_equal(rig_describe(g, NULL, a.inst[0].id).r.n_instances, 1);
    }
    assert_string_equal(find(g, u).id, a.inst[0].id);
    clouds_end(g);
}

static void throttling(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    mock_fault("throttle", "create", 1, ", \"retry_after\": 1");
    int64_t before = weir_clock_mono(&weir_clock_os).us;
    struct answer a = rig_launch(g, clouds_token());
    if (a.r.class == WEIR_PROVIDER_OK) {
        assert_true(weir_clock_mono(&weir_clock_os).us - before >= 900 * WEIR_US_PER_MS);
    } else {
        assert_int_equal(a.r.class, WEIR_PROVIDER_THROTTLED);
        assert_int_equal(a.r.retry_after.us, WEIR_US_PER_S);
    }
    mock_fault("throttle", "create", 1, ""); /* without Retry-After */
    assert_int_equal(rig_launch(g, clouds_token()).r.class, WEIR_PROVIDER_OK);
    mock_fault("throttle", "create", -1, ", \"retry_after\": 30");
    a = rig_launch(g, clouds_token());
    assert_int_equal(a.r.class, WEIR_PROVIDER_THROTTLED);
    assert_int_equal(a.r.retry_after.us, 30 * WEIR_US_PER_S);
    clouds_clear();
    rig_close(g); /* it keeps its calls back for as long as it was told */
    rig_open(g, conf());
    clouds_end(g);
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
    struct rig *g = clouds_begin();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const char *t = clouds_token();
        mock_fault(rows[i].fault, NULL, 1, "");
        struct answer a = rig_launch(g, t);
        assert_int_equal(a.r.class, rows[i].class);
        assert_true(a.r.text[0] != '\0');
        assert_int_equal(rig_describe(g, t, NULL).r.n_instances, 0);
        assert_int_equal(mock_alive(), 0);
    }
    assert_int_equal(rig_launch_with(g, clouds_token(), &g->on_demand, -1).r.class, WEIR_PROVIDER_REFUSED);
    if (!clouds_subject->keeps_tags) {
        assert_int_equal(rig_launch(g, "stranger-1").r.class, WEIR_PROVIDER_REFUSED);
    }
    assert_int_equal(mock_alive(), 0);
    clouds_end(g);
}

static void no_capacity_inside_the_operation(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    const char *t = clouds_token();
    mock_fault("no_capacity_later", NULL, 1, "");
    struct answer a = rig_launch(g, t);
    if (clouds_subject->late_refusal) {
        assert_int_equal(a.r.class, WEIR_PROVIDER_NO_CAPACITY);
    } else {
        assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
        assert_true(rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false).reclaimed);
    }
    clouds_await_nothing(g); /* without anybody's asking */
    clouds_end(g);
}

static void a_machine_that_failed_and_exists(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    const char *t = clouds_token();
    mock_fault("failed_but_existing", NULL, 1, "");
    struct answer a = rig_launch(g, t);
    assert_int_not_equal(a.r.class, WEIR_PROVIDER_REFUSED);
    if (clouds_subject->keeps_tags) { /* it is not known as failed there: it is found, and whoever owns it ends it */
        assert_int_equal(mock_alive(), 1);
        (void)find(g, t);
        clouds_end(g);
        return;
    }
    struct weir_instance i = find(g, t);
    i = rig_await(g, i.id, WEIR_INSTANCE_GONE, false);
    assert_true(i.reclaimed);
    assert_int_equal(mock_alive(), 0);
    clouds_end(g);
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
    struct rig *g = clouds_begin();
    mock_tell("foreign", "{}");
    mock_tell("set", "{\"page_size\": 2}");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(rig_launch(g, clouds_token()).r.class, WEIR_PROVIDER_OK);
    }
    assert_int_equal(clouds_count_all(g), 5);
    if (!clouds_subject->one_page) {
        mock_fault("expired_page", NULL, 1, "");
    }
    assert_int_equal(clouds_count_all(g), 5);
    assert_int_equal(mock_alive(), 6);
    end_foreign(g);
    clouds_end(g);
}

static void a_credential_that_expires(void **state)
{
    (void)state;
    if (!clouds_subject->keys_expire) {
        return; /* a fixed key is refused, and that is what "refused" tries */
    }
    struct rig *g = clouds_begin();
    mock_fault("expired_credential", "create", 1, "");
    assert_int_equal(rig_launch(g, clouds_token()).r.class, WEIR_PROVIDER_OK);
    mock_fault("expired_credential", "list", 1, "");
    assert_int_equal(rig_list(g, NULL).r.n_instances, 1);
    clouds_end(g);
}

static void a_clock_that_is_wrong(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    rig_close(g);
    mock_tell("set", "{\"skew_s\": 7000}");
    rig_open(g, conf());
    struct answer a = rig_launch(g, clouds_token());
    assert_string_equal(a.r.text, "");
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    mock_tell("set", "{\"skew_s\": 0}");
    rig_close(g);
    rig_open(g, conf());
    clouds_end(g);
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
    struct rig *g = clouds_begin();
    const char *t = clouds_token();
    assert_int_equal(rig_launch(g, t).r.class, WEIR_PROVIDER_OK);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        mock_fault(rows[i].fault, "list", rows[i].times, rows[i].more);
        assert_int_equal(rig_list(g, NULL).r.n_instances, 1);
    }
    mock_fault("bad_body", "list", 1, "");
    struct answer odd = rig_try_list(g, NULL); /* not known, or asked again */
    assert_true(odd.r.class == WEIR_PROVIDER_UNKNOWN || (odd.r.class == WEIR_PROVIDER_OK && odd.r.n_instances == 1));
    assert_int_equal(rig_list(g, NULL).r.n_instances, 1);
    clouds_end(g);
}

static void ends_that_fail(void **state)
{
    (void)state;
    static const char *const faults[] = {"lost_reply", "lost_request", "server_error", "server_error_after", "throttle", "slow_body"};
    struct rig *g = clouds_begin();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(faults); i++) {
        struct answer a = rig_launch(g, clouds_token());
        (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
        mock_fault(faults[i], "terminate", 1, weir_streq(faults[i], "slow_body") ? ", \"seconds\": 0.1" : "");
        assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
        assert_false(rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false).reclaimed);
        assert_int_equal(mock_alive(), 0);
    }
    clouds_end(g);
}

static void what_the_provider_takes_back(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    const struct weir_offer *o = g->spot.id != 0 ? &g->spot : &g->on_demand;
    for (int i = 0; i < 2; i++) {
        char text[256];
        struct answer a = rig_launch_with(g, clouds_token(), o, 600);
        (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
        (void)snprintf(text, sizeof text, "{\"id\": \"%s\", \"notice_s\": %s}", a.inst[0].id, i == 0 ? "0" : "0.3");
        mock_tell("reclaim", text);
        struct weir_instance in = rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
        assert_true(in.reclaimed);
    }
    mock_tell("set", "{\"boot_s\": 1.5}"); /* so long that it is seen before */
    mock_fault("reclaim_unannounced", NULL, 1, "");
    struct answer a = rig_launch_with(g, clouds_token(), o, 600);
    assert_true(rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false).reclaimed);
    clouds_end(g);
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
    struct rig *g = clouds_begin();
    if (g->s->ops->quota != NULL) {
        size_t n = ask_quota(g).n;
        mock_tell("set", "{\"page_size\": 1}");
        struct quota_answer a = ask_quota(g);
        assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
        assert_true(n > 0);
        assert_int_equal(a.n, n);
        mock_tell("set", "{\"page_size\": 100}");
    }
    clouds_end(g);
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
    struct rig *g = clouds_begin();
    if (g->s->ops->quota == NULL) {
        assert_null(g->s->ops->quota_remedy);
        clouds_end(g);
        return;
    }
    assert_non_null(g->s->ops->quota_remedy);
    mock_fault("server_error", "quota", -1, ", \"status\": 500");
    struct quota_answer a = ask_quota(g);
    assert_int_not_equal(a.r.class, WEIR_PROVIDER_OK);
    assert_int_equal(a.n, 0);
    assert_true(a.r.text[0] != '\0');
    clouds_clear();
    mock_fault("bad_body", "quota", -1, "");
    assert_int_not_equal(ask_quota(g).r.class, WEIR_PROVIDER_OK);
    clouds_clear();
    mock_tell("set", "{\"quota\": 500}");
    a = ask_quota(g);
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    const struct weir_provider_quota *q = quota_of(&a, &g->on_demand);
    assert_int_equal(q->limit, 500);
    assert_int_equal(q->used, 0);
    struct answer l = rig_launch(g, clouds_token());
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
    assert_int_equal(rig_launch(g, clouds_token()).r.class, WEIR_PROVIDER_QUOTA);
    end_foreign(g);
    clouds_end(g);
}

static void quotas_that_come_in_part_are_told(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    mock_tell("set", "{\"quota\": 500}");
    size_t all = g->s->ops->quota == NULL ? 0 : ask_quota(g).n;
    for (size_t i = 0; clouds_subject->part_of_quota != NULL && clouds_subject->part_of_quota[i] != NULL; i++) {
        static const char *const faults[] = {"server_error", "bad_body"};
        for (size_t k = 0; k < WEIR_ARRAY_LEN(faults); k++) {
            mock_fault(faults[k], clouds_subject->part_of_quota[i], -1, "");
            struct quota_answer a = ask_quota(g);
            assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
            assert_true(a.n > 0 && a.n < all);
            assert_true(a.r.text[0] != '\0');
            assert_int_equal(quota_of(&a, &g->on_demand)->limit, 500);
            clouds_clear();
        }
        struct quota_answer a = ask_quota(g);
        assert_int_equal(a.n, all);
        assert_string_equal(a.r.text, "");
    }
    clouds_end(g);
}

static void nothing_is_answered_after_fini(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    struct answer a = {0};
    struct answer b = {0};
    struct look c = {0};
    struct weir_launch l = rig_launch_of(g, clouds_token(), &g->on_demand, 600);
    mock_fault("slow_body", NULL, -1, ", \"seconds\": 3");
    assert_int_equal(g->s->ops->launch(g->p, &l, rig_note, &a), 0);
    assert_int_equal(g->s->ops->list(g->p, NULL, rig_note, &b), 0);
    assert_int_equal(g->s->ops->check(g->p, rig_note_checks, &c), 0);
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    while (clouds_fault_number("slow_body", "hits") < 2 && weir_clock_mono(&weir_clock_os).us < limit) {
        rig_pause_ms(g, 1); /* until calls are on the wire */
    }
    assert_false(a.came || b.came || c.came);
    rig_close(g);
    assert_false(c.came);
    assert_false(a.came);
    assert_false(b.came);
    rig_open(g, conf());
    clouds_end(g);
}

static void an_unknown_key_is_refused(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    struct weir_provider *p = NULL;
    struct weir_err err = {""};
    json_t *bad = json_loads(clouds_subject->keeps_tags ? "{\"region\": 1}" : "{\"max_gpu\": 1}", 0, NULL);
    assert_int_equal(g->s->ops->init(&p, &g->env, bad, &err), -WEIR_ECONFIG);
    json_decref(bad);
    assert_non_null(strstr(err.text, clouds_subject->keeps_tags ? "did you mean 'regions'" : "did you mean 'max_gpus'"));
    clouds_end(g);
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
    if (!clouds_subject->leaves_nothing) {
        return;
    }
    struct rig *g = clouds_begin();
    const char *t = clouds_token();
    mock_fault("lost_reply", "create_script", 1, ""); /* made twice: neither may stay */
    assert_int_equal(rig_launch(g, t).r.class, WEIR_PROVIDER_OK);
    assert_int_equal(mock_alive(), 1);
    mock_fault("no_capacity", NULL, 1, "");
    assert_int_equal(rig_launch(g, clouds_token()).r.class, WEIR_PROVIDER_NO_CAPACITY); /* nor that of a machine that never was */
    assert_true(has_leftovers());
    mock_fault("server_error", "create_script", -1, "");
    assert_int_equal(rig_launch(g, clouds_token()).r.class, WEIR_PROVIDER_THROTTLED); /* no machine was asked for */
    clouds_clear();
    assert_int_equal(rig_terminate(g, find(g, t).id).r.class, WEIR_PROVIDER_OK);
    int64_t limit = weir_clock_mono(&weir_clock_os).us + FOUND_WITHIN_MS * WEIR_US_PER_MS;
    while (has_leftovers() && weir_clock_mono(&weir_clock_os).us < limit) {
        (void)rig_list(g, NULL);
    }
    assert_false(has_leftovers());
    clouds_end(g);
}

int clouds_run(const struct clouds_subject *s)
{
    struct weir_conformance_subject base = s->base;
    base.clear = clouds_clear;
    clouds_subject = s;
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
        cmocka_unit_test(clouds_a_look_finds_what_is_wrong),
        cmocka_unit_test(clouds_a_look_names_what_is_missing),
        cmocka_unit_test(nothing_is_answered_after_fini),
        cmocka_unit_test(what_was_made_beside_machines_goes),
        cmocka_unit_test(clouds_what_was_left_out_of_lists_is_there_again),
        cmocka_unit_test(clouds_an_end_that_was_taken_and_not_carried_out),
        cmocka_unit_test(clouds_lists_without_an_end),
        cmocka_unit_test(clouds_keys_are_not_shown),
        cmocka_unit_test(clouds_a_machine_in_a_state_that_is_new_is_there),
        cmocka_unit_test(clouds_odd_answers_are_survived),
        cmocka_unit_test(an_unknown_key_is_refused),
    };
    int failed = cmocka_run_group_tests_name(s->base.name, tests, NULL, NULL);
    mock_stop();
    return failed;
}
