/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of the contract, each an operation (struct rest_op) that goes through a few steps: look (at a list that began after
 * it), call, follow. One timer drives lists and what waits; answers are given from the loop.
 */

#include "cloud/rest.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cloud/exchange.h"
#include "cloud/rest_priv.h"
#include "cloud/section.h"

enum { PRICES_KEPT_HOURS = 6, LAUNCH_DEADLINE_MS = 25000 };

static uint64_t now_ms(const struct weir_provider *p)
{
    return uv_now(p->env->loop);
}

/* ---- operations ---- */

static struct rest_op *new_op(struct weir_provider *p, enum rest_op_kind kind, enum rest_op_step step, weir_provider_fn *done, void *ctx)
{
    struct rest_op *op = weir_alloc(sizeof *op);
    *op = (struct rest_op){.p = p, .kind = kind, .step = step, .done = done, .ctx = ctx};
    op->first.url = op->q.url = WEIR_STR_INIT(WEIR_REST_URL_SIZE);
    op->first.body = op->q.body = WEIR_STR_INIT(WEIR_REST_BODY_BYTES_MAX);
    struct rest_op **end = &p->state->ops;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = op;
    return op;
}

static void free_op(struct rest_op *op)
{
    struct rest_op **o = &op->p->state->ops;
    while (*o != op) {
        o = &(*o)->next;
    }
    *o = op->next;
    weir_str_release(&op->first.url);
    weir_str_release(&op->first.body);
    weir_str_release(&op->q.url);
    weir_str_release(&op->q.body);
    free(op);
}

static void run(struct weir_provider *p);
static void on_launched(void *ctx, const struct weir_cloud_answer *a);
static void on_prepared(void *ctx, const struct weir_cloud_answer *a);

/* Gives the answer; the operation is over. */
static void deliver(struct rest_op *op, const struct weir_provider_result *r)
{
    weir_provider_fn *done = op->done;
    void *ctx = op->ctx;
    free_op(op);
    done(ctx, r);
}

static void deliver_failure(struct rest_op *op, enum weir_provider_class class, const char *text)
{
    struct weir_provider_result r = {.class = class};
    (void)snprintf(r.text, sizeof r.text, "%s: %.220s", op->p->contract->name, text);
    weir_cloud_redact(op->p->cloud, r.text); /* it may hold what the provider said */
    deliver(op, &r);
}

static void deliver_machine(struct rest_op *op, const struct rest_kept *k)
{
    struct weir_provider_result r = {.class = WEIR_PROVIDER_OK};
    struct weir_instance i;
    if (k != NULL) {
        i = rest_view(op->p, k);
        r.instance = &i;
        r.n_instances = 1;
    }
    deliver(op, &r);
}

void rest_send(struct weir_provider *p, const struct weir_rest_request *q, enum weir_cloud_kind kind, unsigned deadline_ms, weir_cloud_fn *done,
               void (*drop)(void *ctx), void *ctx)
{
    static const struct weir_http_header header[] = {{"Content-Type", "application/json"}, {"If-None-Match", "*"}};
    struct weir_cloud_request r = {.what = q->what, .kind = kind, .method = q->method, .url = weir_str_cstr(&q->url),
                                   .body = weir_str_sv(&q->body), .header = header, .n_headers = q->body.n == 0 ? 0 : q->create_only ? 2 : 1,
                                   .open = q->open,
                                   .reply_bytes_max = 16 << 20,
                                   .deadline_ms = deadline_ms};
    bool fits = !q->url.overflowed && !q->body.overflowed;
    if (!fits || weir_cloud_send(p->cloud, &r, done, drop, ctx) != 0) {
        (void)weir_cloud_refuse(p->cloud, q->what, fits ? WEIR_PROVIDER_THROTTLED : WEIR_PROVIDER_REFUSED,
                                fits ? "too many calls are under way" : "the request is larger than any that this program makes", done, drop, ctx);
    }
}

/* A launch that has to wait long is better made elsewhere: its deadline is short. */
static void send_request(struct weir_provider *p, const struct weir_rest_request *q, enum weir_cloud_kind kind, weir_cloud_fn *done, void *ctx)
{
    rest_send(p, q, kind, done == on_launched || done == on_prepared ? LAUNCH_DEADLINE_MS : 0, done, NULL, ctx);
}

json_t *rest_body_of(const struct weir_cloud_answer *a)
{
    json_error_t why;
    json_t *body = a->body.n == 0 ? json_object() : json_loadb(a->body.p, a->body.n, 0, &why);
    if (body != NULL && !json_is_object(body)) {
        json_decref(body);
        body = NULL;
    }
    return body;
}

/* Stock and limits are what a launch can meet: a status that means them there means a refusal elsewhere. */
static struct weir_provider_result without_launch_classes(struct weir_provider_result r)
{
    if (r.class == WEIR_PROVIDER_NO_CAPACITY || r.class == WEIR_PROVIDER_QUOTA) {
        r.class = WEIR_PROVIDER_REFUSED;
    }
    return r;
}

/* ---- terminate ---- */

static void on_terminated(void *ctx, const struct weir_cloud_answer *a)
{
    struct rest_op *op = ctx;
    struct weir_provider *p = op->p;
    struct weir_provider_result r = without_launch_classes(weir_cloud_result(a));
    struct rest_kept *k = rest_find_id(p, op->id);
    bool absent = a->status == 404 || a->status == 410 || (p->ops->absent_code != NULL && weir_streq(a->code, p->ops->absent_code));
    if (k != NULL && a->class == WEIR_PROVIDER_OK) {
        k->listed = true; /* the provider knows it: from now on its absence counts */
    }
    if (absent && k != NULL && rest_is_unseen(p, k)) {
        r.class = WEIR_PROVIDER_UNKNOWN; /* it is there, and will be known in a moment: only then can it be ended */
    } else if (absent) {
        r = (struct weir_provider_result){.class = WEIR_PROVIDER_OK};
    }
    if (r.class == WEIR_PROVIDER_OK && k != NULL) {
        k->asked = true;
        k->asked_at = weir_clock_mono(p->env->clock);
    }
    deliver(op, &r);
    run(p);
}

static void on_dead_ended(void *ctx, const struct weir_cloud_answer *a)
{
    (void)ctx; /* it is seen to again with the next list */
    (void)a;
}

/* Ends machines that stand still. */
static void end_the_dead(struct weir_provider *p)
{
    for (size_t i = 0; i < p->state->kept.n; i++) {
        struct rest_kept *k = &p->state->kept.p[i];
        if (k->dead && !k->told && k->i.state != WEIR_INSTANCE_GONE) {
            struct weir_rest_request q = {.url = WEIR_STR_INIT(WEIR_REST_URL_SIZE), .body = WEIR_STR_INIT(WEIR_REST_BODY_BYTES_MAX)};
            k->told = true;
            p->ops->terminate(p, k->i.id, &q);
            send_request(p, &q, WEIR_CLOUD_REPEAT, on_dead_ended, p);
            weir_str_release(&q.url);
            weir_str_release(&q.body);
        }
    }
}

/* ---- launch ---- */

static void call_launch(struct rest_op *op)
{
    op->step = REST_CALL;
    send_request(op->p, &op->q, op->p->ops->native ? WEIR_CLOUD_REPEAT : WEIR_CLOUD_ONCE, on_launched, op);
}

static void begin_launch(struct rest_op *op)
{
    if (op->first.method == NULL) {
        call_launch(op);
        return;
    }
    op->step = REST_FIRST;
    op->firsts++;
    send_request(op->p, &op->first, WEIR_CLOUD_REPEAT, on_prepared, op);
}

/* No machine was asked for yet: whatever became of this call, the launch may be tried again. */
static void on_prepared(void *ctx, const struct weir_cloud_answer *a)
{
    struct rest_op *op = ctx;
    struct weir_provider *p = op->p;
    struct weir_err err = {""};
    if (a->class != WEIR_PROVIDER_OK) {
        struct weir_provider_result r = weir_cloud_result(a);
        r.class = r.class == WEIR_PROVIDER_UNKNOWN ? WEIR_PROVIDER_THROTTLED : r.class;
        deliver(op, &r);
        run(p);
        return;
    }
    json_t *body = rest_body_of(a);
    int r = body == NULL ? weir_fail(&err, -WEIR_EIO, "the answer to '%s' is not JSON", op->first.what)
                         : p->ops->on_prepared(p, body, &op->first, &op->q, &err);
    json_decref(body);
    if (r > 0 && op->firsts >= LIST_PAGES_MAX) {
        r = weir_fail(&err, -WEIR_ELIMIT, "'%s' does not come to its end", op->first.what);
    }
    if (r < 0) {
        deliver_failure(op, r == -WEIR_EUNAVAIL ? WEIR_PROVIDER_NO_CAPACITY : WEIR_PROVIDER_THROTTLED, err.text);
    } else if (r > 0) {
        begin_launch(op);
    } else {
        call_launch(op);
    }
    run(p);
}

static void follow(struct rest_op *op)
{
    if (++op->follows > FOLLOWS_MAX) {
        deliver_failure(op, WEIR_PROVIDER_UNKNOWN, "the launch is not decided after many looks at it");
        return;
    }
    op->step = REST_FOLLOW;
    op->due_ms = now_ms(op->p) + (op->follows > 4 ? (uint64_t)FOLLOW_MS_MAX : (uint64_t)FOLLOW_MS_MIN << (op->follows - 1));
}

/* Where the launch was taken already, only the look at it has failed. What was made and is not there is seen late, or was taken back:
 * time tells. */
static void launch_failed(struct rest_op *op, const struct weir_cloud_answer *a)
{
    struct weir_provider_result r = weir_cloud_result(a);
    struct rest_kept *k = op->follows > 0 ? rest_find_token(op->p, op->token) : NULL;
    bool absent = a->status == 404 || a->status == 410;
    if (k != NULL && absent && ++op->absent < ABSENT_MAX) {
        follow(op);
        return;
    }
    if (k != NULL) {
        k->listed = k->listed || absent; /* lists without it count from now on */
        deliver_machine(op, k);
        return;
    }
    r.class = op->follows > 0 ? WEIR_PROVIDER_UNKNOWN : r.class;
    deliver(op, &r);
}

static void on_launched(void *ctx, const struct weir_cloud_answer *a)
{
    struct rest_op *op = ctx;
    struct weir_provider *p = op->p;
    struct weir_err err = {""};
    struct weir_cloud_verdict v = {.class = WEIR_PROVIDER_OK};
    struct weir_rest_machine m = {.state = WEIR_INSTANCE_PENDING};
    if (a->class != WEIR_PROVIDER_OK) {
        launch_failed(op, a);
        run(p);
        return;
    }
    char name[WEIR_REST_NAME_SIZE];
    (void)snprintf(name, sizeof name, "weir-%s", op->token);
    json_t *body = rest_body_of(a);
    weir_str_clear(&op->q.url);
    weir_str_clear(&op->q.body);
    op->q.create_only = false;
    int r = body == NULL ? weir_fail(&err, -WEIR_EIO, "the answer to a launch is not JSON")
                         : p->ops->on_launch(p, body, name, &m, &op->q, &v, &err);
    json_decref(body);
    if (v.class != WEIR_PROVIDER_OK) {
        if (m.dead && m.id[0] != '\0') { /* what could not be made whole is there all the same */
            (void)snprintf(m.name, sizeof m.name, "%s", name);
            rest_keep(p, &m)->listed = true; /* it was seen to be there, so that lists without it count */
            end_the_dead(p);
        }
        deliver_failure(op, v.class, v.text);
    } else if (r < 0) {
        deliver_failure(op, WEIR_PROVIDER_UNKNOWN, err.text);
    } else if (r > 0) {
        if (m.id[0] != '\0') {
            (void)snprintf(m.name, sizeof m.name, "%s", name);
            (void)rest_keep(p, &m);
        }
        follow(op);
    } else {
        (void)snprintf(m.name, sizeof m.name, "%s", name);
        deliver_machine(op, rest_keep(p, &m));
    }
    run(p);
}

void weir_rest_body_set(struct weir_rest_request *q, const char *into, const char *key, const char *text)
{
    json_t *body = json_loads(weir_str_cstr(&q->body), 0, NULL);
    (void)json_object_set_new(into == NULL ? body : json_object_get(body, into), key, json_string(text));
    char *written = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    weir_str_clear(&q->body);
    weir_str_adds(&q->body, written == NULL ? "" : written);
    free(written);
}

static bool is_past_look(const struct rest_op *op)
{
    return op->kind == REST_LAUNCH && (op->step == REST_FIRST || op->step == REST_CALL || op->step == REST_FOLLOW);
}

/* Is another launch of the token past its look? */
static bool is_taken(const struct rest_op *op)
{
    for (const struct rest_op *o = op->p->state->ops; o != NULL; o = o->next) {
        if (o != op && is_past_look(o) && weir_streq(o->token, op->token)) {
            return true;
        }
    }
    return false;
}

bool weir_rest_is_needed(const struct weir_provider *p, const char *name)
{
    const char *token = name + strlen("weir-");
    for (const struct rest_op *o = p->state->ops; o != NULL; o = o->next) {
        if (is_past_look(o) && weir_streq(o->token, token)) {
            return true;
        }
    }
    const struct rest_kept *k = rest_find_token(p, token);
    return k != NULL && k->i.state != WEIR_INSTANCE_GONE;
}

/* ---- the list ---- */

static void on_listed(void *ctx, const struct weir_cloud_answer *a);

static void send_list(struct weir_provider *p, const char *page)
{
    struct weir_rest_request q = {.url = WEIR_STR_INIT(WEIR_REST_URL_SIZE), .body = WEIR_STR_INIT(WEIR_REST_BODY_BYTES_MAX)};
    (void)snprintf(p->state->list_page, sizeof p->state->list_page, "%s", page);
    p->ops->list(p, page, &q);
    send_request(p, &q, WEIR_CLOUD_READ, on_listed, p);
    weir_str_release(&q.url);
    weir_str_release(&q.body);
}

static void begin_list(struct weir_provider *p)
{
    struct weir_rest_state *s = p->state;
    s->listing = true;
    s->list_began = weir_clock_mono(p->env->clock);
    s->restarts = 0;
    s->pages = 0;
    s->list_due_ms = now_ms(p) + (uint64_t)(p->conf.poll.us / WEIR_US_PER_MS);
    weir_vec_clear(&s->list.machine);
    s->list.p = p;
    for (struct rest_op *op = s->ops; op != NULL; op = op->next) {
        op->in_list = op->step == REST_LOOK;
    }
    send_list(p, "");
}

/* One of those that waited for the list. */
static struct rest_op *next_waiting(struct weir_provider *p)
{
    struct rest_op *op = p->state->ops;
    while (op != NULL && !(op->in_list && op->step == REST_LOOK)) {
        op = op->next;
    }
    return op;
}

static void deliver_list(struct rest_op *op)
{
    struct weir_rest_state *s = op->p->state;
    weir_vec_clear(&s->out);
    for (size_t i = 0; i < s->kept.n; i++) {
        if (s->kept.p[i].i.state != WEIR_INSTANCE_GONE) {
            weir_vec_push(&s->out, rest_view(op->p, &s->kept.p[i]));
        }
    }
    struct weir_provider_result r = {.class = WEIR_PROVIDER_OK, .instance = s->out.p, .n_instances = s->out.n};
    deliver(op, &r);
}

static void after_look(struct rest_op *op)
{
    struct weir_provider *p = op->p;
    op->in_list = false;
    if (op->kind == REST_LIST) {
        deliver_list(op);
        return;
    }
    struct rest_kept *k = op->token[0] != '\0' ? rest_find_token(p, op->token) : rest_find_id(p, op->id);
    if (op->kind == REST_DESCRIBE || k != NULL) {
        deliver_machine(op, k);
    } else if (is_taken(op)) {
        op->step = REST_TURN;
    } else {
        begin_launch(op);
    }
}

static void end_list(struct weir_provider *p, const struct weir_provider_result *failure)
{
    p->state->listing = false;
    if (failure == NULL) {
        rest_fleet_settle(p, &p->state->list);
        end_the_dead(p);
        if (p->ops->settled != NULL) {
            p->ops->settled(p);
        }
    }
    for (struct rest_op *op = next_waiting(p); op != NULL; op = next_waiting(p)) {
        if (failure != NULL) {
            deliver(op, failure);
        } else {
            after_look(op);
        }
    }
    run(p);
}

static void on_listed(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider *p = ctx;
    struct weir_rest_state *s = p->state;
    struct weir_provider_result failure = without_launch_classes(weir_cloud_result(a));
    if (a->class == WEIR_PROVIDER_REFUSED && s->pages > 0 && s->restarts < LIST_RESTARTS_MAX) {
        s->restarts++; /* the token of a page has expired: from the start again */
        s->pages = 0;
        weir_vec_clear(&s->list.machine);
        send_list(p, "");
        return;
    }
    if (a->class != WEIR_PROVIDER_OK) {
        end_list(p, &failure);
        return;
    }
    struct weir_err err = {""};
    json_t *body = rest_body_of(a);
    s->list.next[0] = '\0';
    int r = body == NULL ? weir_fail(&err, -WEIR_EIO, "the answer to a list is not JSON") : p->ops->on_list(p, body, &s->list, &err);
    json_decref(body);
    if (r == 0 && s->list.next[0] != '\0' && weir_streq(s->list.next, s->list_page)) {
        r = weir_fail(&err, -WEIR_EIO, "a list does not come to its end: its pages name themselves as the next");
    } else if (r == 0 && s->list.next[0] != '\0' && ++s->pages >= MACHINE_PAGES_MAX) {
        r = weir_fail(&err, -WEIR_ELIMIT, "a list has more than %d pages", MACHINE_PAGES_MAX);
    }
    if (r < 0) {
        failure.class = WEIR_PROVIDER_UNKNOWN;
        (void)snprintf(failure.text, sizeof failure.text, "%s: %.200s", p->contract->name, err.text);
        end_list(p, &failure);
    } else if (s->list.next[0] != '\0') {
        char page[sizeof s->list.next];
        memcpy(page, s->list.next, sizeof page);
        send_list(p, page);
    } else {
        end_list(p, NULL);
    }
}

/* ---- prices ---- */

static void on_prices(void *ctx, const struct weir_cloud_answer *a);

static void send_prices(struct weir_provider *p, const char *page)
{
    struct weir_rest_request q = {.url = WEIR_STR_INIT(WEIR_REST_URL_SIZE), .body = WEIR_STR_INIT(WEIR_REST_BODY_BYTES_MAX)};
    p->ops->prices(p, page, &q);
    send_request(p, &q, WEIR_CLOUD_READ, on_prices, p);
    weir_str_release(&q.url);
    weir_str_release(&q.body);
}

static void end_prices(struct weir_provider *p, const struct weir_provider_result *failure)
{
    struct weir_rest_state *s = p->state;
    struct weir_mono now = weir_clock_mono(p->env->clock);
    s->pricing = false;
    if (failure == NULL) {
        struct weir_rest_offers old = s->prices;
        s->prices = s->pricing_list;
        s->pricing_list = (struct weir_rest_offers){.p = p};
        rest_offers_release(&old);
        s->has_prices = true;
        s->prices_old = false;
        s->prices_at = now;
    } else if (s->has_prices && now.us - s->prices_at.us > PRICES_KEPT_HOURS * WEIR_US_PER_HOUR) {
        s->has_prices = false; /* too old to be trusted any more */
    }
    struct weir_provider_result r = {.class = WEIR_PROVIDER_OK};
    if (s->has_prices) {
        r.offer = s->prices.offer.p;
        r.n_offers = s->prices.offer.n;
        memcpy(r.no_rate, s->prices.no_rate, sizeof r.no_rate);
        r.is_old = failure != NULL && failure->class != WEIR_PROVIDER_OK;
        if (r.is_old) {
            memcpy(r.text, failure->text, sizeof r.text);
        } else if (s->prices.trouble[0] != '\0') {
            memcpy(r.text, s->prices.trouble, sizeof r.text);
        } else if (s->prices.n_unpriced > 0) {
            char text[128];
            (void)snprintf(r.text, sizeof r.text, "%s: %zu offers are left out: %s", p->contract->name, s->prices.n_unpriced,
                           weir_offer_no_rate(s->prices.no_rate, text, sizeof text));
        } else if (s->prices.n_refused > 0) {
            (void)snprintf(r.text, sizeof r.text, "%s: %zu prices refused as not plausible, the first: %s", p->contract->name, s->prices.n_refused,
                           s->prices.refused);
        }
    } else {
        r = *failure;
    }
    for (struct rest_op *op = s->ops, *next; op != NULL; op = next) {
        next = op->next;
        if (op->step == REST_PRICES) {
            deliver(op, &r);
        }
    }
}

static void on_prices(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider *p = ctx;
    struct weir_rest_offers *l = &p->state->pricing_list;
    struct weir_provider_result failure = without_launch_classes(weir_cloud_result(a));
    struct weir_err err = {""};
    json_t *body = a->class == WEIR_PROVIDER_OK ? rest_body_of(a) : NULL;
    int r = 0;
    l->next[0] = '\0';
    if (a->class == WEIR_PROVIDER_OK) {
        r = body == NULL ? weir_fail(&err, -WEIR_EIO, "the answer about prices is not JSON") : p->ops->on_prices(p, body, l, &err);
    }
    json_decref(body);
    if (r == 0 && l->next[0] != '\0' && ++p->state->price_pages >= LIST_PAGES_MAX) {
        r = weir_fail(&err, -WEIR_ELIMIT, "the prices have more than %d pages", LIST_PAGES_MAX);
    }
    if (r < 0) {
        failure.class = WEIR_PROVIDER_UNKNOWN;
        (void)snprintf(failure.text, sizeof failure.text, "%s: %.200s", p->contract->name, err.text);
    }
    if (failure.class != WEIR_PROVIDER_OK && p->ops->on_prices_failed != NULL && p->ops->on_prices_failed(p, l)) {
        memcpy(l->trouble, failure.text, sizeof l->trouble);
        failure.class = WEIR_PROVIDER_OK;
    }
    if (failure.class != WEIR_PROVIDER_OK) {
        end_prices(p, &failure);
    } else if (l->next[0] != '\0') {
        char page[sizeof l->next];
        memcpy(page, l->next, sizeof page);
        send_prices(p, page);
    } else {
        end_prices(p, NULL);
    }
    run(p);
}

static void look_at_prices(struct weir_provider *p)
{
    struct weir_rest_state *s = p->state;
    struct weir_mono now = weir_clock_mono(p->env->clock);
    bool fresh = s->has_prices && !s->prices_old && now.us - s->prices_at.us < p->conf.prices_every.us;
    s->pricing = true;
    s->price_pages = 0;
    weir_vec_clear(&s->pricing_list.offer);
    weir_map_release(&s->pricing_list.ids);
    s->pricing_list.p = p;
    s->pricing_list.n_refused = 0;
    s->pricing_list.n_unpriced = 0;
    s->pricing_list.no_rate[0] = '\0';
    s->pricing_list.trouble[0] = '\0';
    if (fresh) {
        struct weir_provider_result none = {.class = WEIR_PROVIDER_OK};
        end_prices(p, &none); /* those that are there serve on */
    } else if (p->ops->prices == NULL) {
        rest_offers_from_catalogue(&s->pricing_list);
        end_prices(p, NULL);
    } else {
        send_prices(p, "");
    }
}

/* ---- the timer ---- */

static void on_timer(uv_timer_t *t)
{
    run(t->data);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Starts what is due and sets the timer for the rest. Never answers from inside a call of the contract: those set the timer. */
static void run(struct weir_provider *p)
{
    struct weir_rest_state *s = p->state;
    uint64_t now = now_ms(p);
    uint64_t due = UINT64_MAX;
    bool look = false;
    bool price = false;
    for (struct rest_op *op = s->ops; op != NULL; op = op->next) {
        if (op->step == REST_TURN && !is_taken(op)) {
            op->step = REST_LOOK;
        }
        if (op->step == REST_FOLLOW && now >= op->due_ms) {
            op->step = REST_CALL;
            send_request(p, &op->q, WEIR_CLOUD_READ, on_launched, op);
        } else if (op->step == REST_FOLLOW) {
            due = earlier(due, op->due_ms);
        }
        look = look || op->step == REST_LOOK;
        price = price || op->step == REST_PRICES;
    }
    if (price && !s->pricing) {
        look_at_prices(p);
    }
    if (look && !s->listing && now >= s->list_due_ms) {
        begin_list(p);
    } else if (look && !s->listing) {
        due = earlier(due, s->list_due_ms);
    }
    if (due != UINT64_MAX) {
        (void)uv_timer_start(&s->timer, on_timer, due > now ? due - now : 1, 0);
    }
}

static void run_soon(struct weir_provider *p)
{
    (void)uv_timer_start(&p->state->timer, on_timer, 0, 0);
}

/* ---- the contract ---- */

int weir_rest_offers(struct weir_provider *p, weir_provider_fn *done, void *ctx)
{
    (void)new_op(p, REST_OFFERS, REST_PRICES, done, ctx);
    run_soon(p);
    return 0;
}

void weir_rest_prices_anew(struct weir_provider *p)
{
    p->state->prices_old = true;
}

int weir_rest_launch(struct weir_provider *p, const struct weir_launch *l, weir_provider_fn *done, void *ctx)
{
    struct weir_err err = {""};
    char name[WEIR_REST_NAME_SIZE];
    struct rest_op *op = new_op(p, REST_LAUNCH, REST_LOOK, done, ctx);
    int n = snprintf(name, sizeof name, "weir-%s", l->token);
    (void)snprintf(op->token, sizeof op->token, "%s", l->token);
    int r = 0;
    if (!weir_rest_is_ours(p, name) || n >= WEIR_TOKEN_SIZE + (int)strlen("weir-")) {
        r = weir_fail(&err, -WEIR_EINVAL, "the token '%.64s' does not begin with the installation's id, or is too long", l->token);
    } else if (!weir_streq(l->offer->provider, p->contract->name)) {
        r = weir_fail(&err, -WEIR_EINVAL, "the offer is one of '%s'", l->offer->provider);
    } else if (l->expires.us <= weir_clock_wall(p->env->clock).us || l->expires.us == INT64_MAX) {
        r = weir_fail(&err, -WEIR_EINVAL, "the lease has no expiry, or it has passed");
    } else {
        r = p->ops->prepare == NULL ? 0 : p->ops->prepare(p, l, name, &op->first, &err);
        r = r < 0 ? r : p->ops->launch(p, l, name, &op->q, &err);
    }
    if (r < 0) {
        op->step = REST_CALL;
        (void)weir_cloud_refuse(p->cloud, "launch", r == -WEIR_EUNAVAIL ? WEIR_PROVIDER_NO_CAPACITY : WEIR_PROVIDER_REFUSED, err.text, on_launched, NULL,
                                op);
    }
    if (r == 0 && p->ops->native && rest_find_token(p, op->token) == NULL && !is_taken(op)) {
        begin_launch(op); /* the provider looks for itself */
    }
    run_soon(p);
    return 0;
}

int weir_rest_describe(struct weir_provider *p, const char *token, const char *instance_id, weir_provider_fn *done, void *ctx)
{
    WEIR_ASSERT((token == NULL) != (instance_id == NULL));
    struct rest_op *op = new_op(p, REST_DESCRIBE, REST_LOOK, done, ctx);
    (void)snprintf(op->token, sizeof op->token, "%s", token != NULL ? token : "");
    (void)snprintf(op->id, sizeof op->id, "%s", instance_id != NULL ? instance_id : "");
    run_soon(p);
    return 0;
}

int weir_rest_list(struct weir_provider *p, const char *page, weir_provider_fn *done, void *ctx)
{
    (void)page; /* there is one page only */
    (void)new_op(p, REST_LIST, REST_LOOK, done, ctx);
    run_soon(p);
    return 0;
}

/* Ids come from the provider, through the store: only such go into a URL as can hold no more than a path's part. */
static bool is_plain(const char *id)
{
    size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/");
    return n > 0 && id[n] == '\0' && id[0] != '/';
}

int weir_rest_terminate(struct weir_provider *p, const char *instance_id, weir_provider_fn *done, void *ctx)
{
    struct rest_op *op = new_op(p, REST_TERMINATE, REST_CALL, done, ctx);
    (void)snprintf(op->id, sizeof op->id, "%s", instance_id);
    if (!is_plain(instance_id)) {
        (void)weir_cloud_refuse(p->cloud, "terminate", WEIR_PROVIDER_REFUSED, "that is not the id of a machine of this provider", on_terminated, NULL,
                                op);
        return 0;
    }
    p->ops->terminate(p, instance_id, &op->q);
    send_request(p, &op->q, WEIR_CLOUD_REPEAT, on_terminated, op);
    return 0;
}

/* ---- start and end ---- */

static int read_conf(struct weir_provider *p, const json_t *section, struct weir_err *err)
{
    const char *name = p->contract->name;
    struct weir_rest_conf *c = &p->conf;
    *c = (struct weir_rest_conf){.per_second = p->ops->per_second, .poll = p->ops->poll, .prices_every = p->ops->prices_every};
    int r = weir_section_check(section, name, p->ops->keys, err);
    r = r != 0 ? r : weir_section_endpoint(section, name, "endpoint", c->endpoint, sizeof c->endpoint, err);
    r = r != 0 ? r
               : weir_section_names(section, name, "regions", c->region[0], sizeof c->region[0], WEIR_REST_REGIONS_MAX, &c->n_regions, err);
    r = r != 0 ? r : weir_section_duration(section, name, "poll", &c->poll, err);
    r = r != 0 ? r : weir_section_duration(section, name, "prices_every", &c->prices_every, err);
    r = r != 0 ? r : weir_section_u32(section, name, "max_gpus", 1, 64, &c->gpus_max, err);
    r = r != 0 ? r : weir_section_u32(section, name, "calls_per_second", 1, 1000, &c->per_second, err);
    if (r == 0 && c->endpoint[0] == '\0') {
        (void)snprintf(c->endpoint, sizeof c->endpoint, "%s", p->ops->endpoint);
    }
    return r;
}

static void free_state(uv_handle_t *h)
{
    struct weir_rest_state *s = (struct weir_rest_state *)((char *)h - offsetof(struct weir_rest_state, timer));
    weir_vec_release(&s->list.machine);
    weir_vec_release(&s->kept);
    weir_vec_release(&s->out);
    rest_offers_release(&s->prices);
    rest_offers_release(&s->pricing_list);
    free(s);
}

void weir_rest_fini(struct weir_provider *p)
{
    if (p == NULL) {
        return;
    }
    weir_cloud_free(p->cloud);
    while (p->state->ops != NULL) {
        free_op(p->state->ops);
    }
    if (p->ops->close != NULL) {
        p->ops->close(p);
    }
    uv_close((uv_handle_t *)&p->state->timer, free_state);
    free(p);
}

/* The text after "member:" at the start of a line; of n 0 where there is none. */
static struct weir_sv line_value(const char *text, const char *member)
{
    struct weir_sv rest = weir_sv_of(text);
    while (rest.n > 0) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        struct weir_sv key = weir_sv_cut(&line, ':');
        if (weir_sv_eq(key, weir_sv_of(member))) {
            line = weir_sv_trim(line);
            bool quoted = line.n >= 2 && (line.p[0] == '"' || line.p[0] == '\'') && line.p[line.n - 1] == line.p[0];
            return quoted ? (struct weir_sv){line.p + 1, line.n - 2} : line;
        }
    }
    return WEIR_SV("");
}

/* Takes the key out of a file that holds more: JSON, or lines of which one is "member: key". Errors: -WEIR_ECONFIG. */
static int read_key_member(const struct weir_provider *p, char **key, struct weir_err *err)
{
    const char *member = p->ops->key_member;
    if (member == NULL || strpbrk(*key, "{:\n") == NULL) {
        return 0; /* the key alone */
    }
    json_t *file = json_loads(*key, 0, NULL);
    struct weir_sv value = file != NULL ? weir_sv_of(weir_rest_text(file, member)) : line_value(*key, member);
    char *taken = value.n == 0 ? NULL : weir_strndup(value.p, value.n);
    json_decref(file);
    if (taken == NULL) {
        return weir_fail(err, -WEIR_ECONFIG, "%s: the file with the key has nothing at '%s'", p->contract->name, member);
    }
    explicit_bzero(*key, strlen(*key));
    free(*key);
    *key = taken;
    return 0;
}

int weir_rest_open(struct weir_provider **ret, const struct weir_rest_ops *ops, const struct weir_provider_ops *contract,
                   const struct weir_provider_env *env, const struct json_t *section, struct weir_err *err)
{
    struct weir_provider *p = weir_alloc(sizeof *p);
    *p = (struct weir_provider){.env = env, .ops = ops, .contract = contract};
    WEIR_CLEANUP(weir_freep) char *key = NULL;
    struct weir_cloud_conf cloud = {.name = contract->name, .loop = env->loop, .clock = env->clock, .classify = ops->classify, .ctx = p,
                                    .seed = weir_hash_bytes(env->owner, strlen(env->owner))};
    int r = read_conf(p, section, err);
    cloud.per_second = p->conf.per_second;
    cloud.burst = ops->burst > p->conf.per_second ? ops->burst : p->conf.per_second;
    if (r == 0 && ops->key_env != NULL) {
        r = weir_section_secret(section, contract->name, "api_key", env, ops->key_env, ops->key_files, &key, err);
        r = r != 0 ? r : read_key_member(p, &key, err);
        cloud.bearer = key;
    }
    if (r == 0 && ops->open != NULL) {
        r = ops->open(p, section, &cloud, err);
    }
    if (r != 0) {
        if (key != NULL) {
            explicit_bzero(key, strlen(key));
        }
        free(p);
        return r == -WEIR_ENOTFOUND ? -WEIR_ECONFIG : r;
    }
    p->cloud = weir_cloud_new(&cloud);
    if (key != NULL) {
        explicit_bzero(key, strlen(key));
    }
    p->state = weir_alloc(sizeof *p->state);
    (void)snprintf(p->state->prefix, sizeof p->state->prefix, "weir-%.32s-", env->owner);
    (void)uv_timer_init(env->loop, &p->state->timer);
    p->state->timer.data = p;
    if (ops->opened != NULL) {
        ops->opened(p);
    }
    *ret = p;
    return 0;
}
