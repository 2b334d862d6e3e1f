/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider contract for Azure. Each call becomes an operation; one that has to look again (a launch whose allocation is still under
 * way) waits on the provider's timer. The driver keeps nothing of its own on disk: names follow from tokens.
 */

#include "cloud/azure/azure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/mem.h"
#include "cloud/azure/azure_priv.h"

enum {
    VISIBLE_WITHIN_S = 60,
    LOOK_MS = 2000,        /* at a machine that is being allocated */
    LAUNCH_LIMIT_S = 90,   /* by then most that cannot be allocated have been told so */
    PAGES_MAX = 60,        /* of prices, per region */
    PRICES_BYTES_MAX = 4 << 20,
    LIST_BYTES_MAX = 8 << 20,
    LIST_MAX = 5000,
};

struct op {
    struct op *next;
    struct weir_provider *p;
    weir_provider_fn *done;
    void *ctx;
    char name[AZURE_NAME_SIZE];
    struct weir_mono until; /* a launch waits for its allocation so long */
    uint64_t look_ms;       /* 0: a call is under way */
    void (*look)(struct op *op);
    enum weir_provider_class class; /* with which it ends once the failed machine is removed */
    char text[256];
    bool removing;
};

/* The timer outlives the provider until libuv has closed it. */
struct azure_later {
    uv_timer_t timer;
};

/* ---- operations ---- */

static struct op *new_op(struct weir_provider *p, weir_provider_fn *done, void *ctx)
{
    struct op *op = weir_alloc(sizeof *op);
    op->p = p;
    op->done = done;
    op->ctx = ctx;
    op->next = p->ops;
    p->ops = op;
    return op;
}

static void free_op(void *ctx)
{
    struct op *op = ctx;
    struct op **at = &op->p->ops;
    while (*at != op) {
        at = &(*at)->next;
    }
    *at = op->next;
    free(op);
}

static void end_op(struct op *op, const struct weir_provider_result *r)
{
    weir_provider_fn *done = op->done;
    void *ctx = op->ctx;
    free_op(op);
    done(ctx, r);
}

static void fail_op(struct op *op, enum weir_provider_class class, const char *text)
{
    struct weir_provider_result r = {.class = class};
    (void)snprintf(r.text, sizeof r.text, "%s", text);
    end_op(op, &r);
}

static void answer_one(struct op *op, const struct weir_instance *i)
{
    struct weir_provider_result r = {.class = WEIR_PROVIDER_OK, .instance = i, .n_instances = i == NULL ? 0 : 1};
    end_op(op, &r);
}

static void on_timer(uv_timer_t *t);

static void arm(struct weir_provider *p)
{
    uint64_t first = UINT64_MAX;
    for (const struct op *op = p->ops; op != NULL; op = op->next) {
        first = op->look_ms != 0 && op->look_ms < first ? op->look_ms : first;
    }
    if (first == UINT64_MAX) {
        (void)uv_timer_stop(&p->later->timer);
    } else {
        uint64_t now = uv_now(p->env->loop);
        (void)uv_timer_start(&p->later->timer, on_timer, first > now ? first - now : 0, 0);
    }
}

static void look_later(struct op *op, uint64_t ms, void (*look)(struct op *op))
{
    op->look_ms = uv_now(op->p->env->loop) + ms;
    op->look_ms = op->look_ms == 0 ? 1 : op->look_ms;
    op->look = look;
    arm(op->p);
}

static void on_timer(uv_timer_t *t)
{
    struct weir_provider *p = t->data;
    uint64_t now = uv_now(p->env->loop);
    for (struct op *op = p->ops; op != NULL;) {
        if (op->look_ms != 0 && op->look_ms <= now) {
            op->look_ms = 0;
            op->look(op);
            op = p->ops; /* it may have ended, and others with it */
        } else {
            op = op->next;
        }
    }
    arm(p);
}

static int begin(struct op *op, const struct weir_cloud_request *r, weir_cloud_fn *done)
{
    return weir_cloud_send(op->p->cloud, r, done, free_op, op);
}

/* The next call of an operation; where it cannot even begin, the operation ends. */
static void send_on(struct op *op, const struct weir_cloud_request *r, weir_cloud_fn *done)
{
    if (begin(op, r, done) < 0) {
        fail_op(op, WEIR_PROVIDER_UNKNOWN, "azure: too many calls are under way");
    }
}

static bool is_absent(const struct weir_cloud_answer *a)
{
    return a->status == 404 && (weir_streq(a->code, "ResourceNotFound") || weir_streq(a->code, "NotFound"));
}

static json_t *parse(const struct weir_cloud_answer *a)
{
    json_t *o = json_loadb(a->body.p, a->body.n, 0, NULL);
    if (!json_is_object(o)) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* ---- machines that failed ---- */

static void on_removed(void *ctx, const struct weir_cloud_answer *a)
{
    struct op *op = ctx;
    if (a->class == WEIR_PROVIDER_OK || is_absent(a)) {
        fail_op(op, op->class, op->text);
    } else {
        fail_op(op, WEIR_PROVIDER_UNKNOWN, a->text); /* it is still there: describe will find it */
    }
}

static void remove_machine(struct op *op, weir_cloud_fn *done)
{
    char url[AZURE_URL_SIZE];
    azure_machine_url(&op->p->conf, op->name, "&forceDeletion=true", url);
    send_on(op, &(struct weir_cloud_request){.what = "delete machine", .kind = WEIR_CLOUD_REPEAT, .method = "DELETE", .url = url}, done);
}

/* ---- describe ---- */

static void on_described_removed(void *ctx, const struct weir_cloud_answer *a)
{
    struct op *op = ctx;
    struct weir_instance i = {.state = a->class == WEIR_PROVIDER_OK || is_absent(a) ? WEIR_INSTANCE_STOPPING : WEIR_INSTANCE_PENDING};
    (void)snprintf(i.id, sizeof i.id, "%s", op->name);
    (void)snprintf(i.token, sizeof i.token, "%.63s", op->text);
    answer_one(op, &i);
}

static void on_described(void *ctx, const struct weir_cloud_answer *a)
{
    struct op *op = ctx;
    if (is_absent(a)) {
        answer_one(op, NULL);
        return;
    }
    if (a->class != WEIR_PROVIDER_OK) {
        struct weir_provider_result r = weir_cloud_result(a);
        end_op(op, &r);
        return;
    }
    struct weir_instance i;
    char failure[WEIR_CLOUD_CODE_SIZE];
    char owner[WEIR_TOKEN_SIZE];
    json_t *o = parse(a);
    if (o == NULL || !azure_machine_read(o, &i, failure, owner)) {
        fail_op(op, WEIR_PROVIDER_UNKNOWN, "azure: the answer does not describe a machine");
    } else if (!weir_streq(owner, op->p->env->owner)) {
        answer_one(op, NULL); /* somebody else's: not ours to tell of */
    } else if (failure[0] != '\0') {
        (void)snprintf(op->text, sizeof op->text, "%s", i.token);
        remove_machine(op, on_described_removed);
    } else {
        answer_one(op, &i);
    }
    json_decref(o);
}

static int get_machine(struct op *op, weir_cloud_fn *done)
{
    char url[AZURE_URL_SIZE];
    azure_machine_url(&op->p->conf, op->name, "&$expand=instanceView", url);
    return begin(op, &(struct weir_cloud_request){.what = "describe machine", .kind = WEIR_CLOUD_READ, .method = "GET", .url = url}, done);
}

/* ---- launch ---- */

static void look_at_launch(struct op *op);

static void on_looked(void *ctx, const struct weir_cloud_answer *a)
{
    struct op *op = ctx;
    struct weir_instance i;
    char failure[WEIR_CLOUD_CODE_SIZE];
    char owner[WEIR_TOKEN_SIZE];
    json_t *o = a->class == WEIR_PROVIDER_OK ? parse(a) : NULL;
    bool over = weir_clock_mono(op->p->env->clock).us >= op->until.us;
    if (o == NULL || !azure_machine_read(o, &i, failure, owner)) {
        if (over || (a->class == WEIR_PROVIDER_REFUSED && !is_absent(a))) {
            fail_op(op, WEIR_PROVIDER_UNKNOWN, a->class == WEIR_PROVIDER_OK ? "azure: the answer does not describe a machine" : a->text);
        } else {
            look_later(op, LOOK_MS, look_at_launch); /* it may not be seen yet */
        }
    } else if (!weir_streq(owner, op->p->env->owner)) {
        fail_op(op, WEIR_PROVIDER_REFUSED, "azure: a machine of that name exists and is not ours");
    } else if (failure[0] != '\0') {
        op->class = azure_class_of(failure, "");
        op->class = op->class == WEIR_PROVIDER_REFUSED ? WEIR_PROVIDER_NO_CAPACITY : op->class; /* the request was taken: this machine is what failed */
        (void)snprintf(op->text, sizeof op->text, "azure: the machine could not be made: %s", failure);
        remove_machine(op, on_removed);
    } else if (i.state == WEIR_INSTANCE_PENDING && !over) {
        look_later(op, LOOK_MS, look_at_launch);
    } else {
        answer_one(op, &i);
    }
    json_decref(o);
}

static void look_at_launch(struct op *op)
{
    if (get_machine(op, on_looked) < 0) {
        fail_op(op, WEIR_PROVIDER_UNKNOWN, "azure: too many calls are under way");
    }
}

static void on_put(void *ctx, const struct weir_cloud_answer *a)
{
    struct op *op = ctx;
    if (a->class == WEIR_PROVIDER_OK || a->status == 412) { /* 412: it is there, from an earlier try */
        look_later(op, a->status == 412 ? 0 : LOOK_MS / 4, look_at_launch);
        return;
    }
    struct weir_provider_result r = weir_cloud_result(a);
    end_op(op, &r);
}

static int refuse(struct weir_provider *p, const char *what, const char *text, weir_cloud_fn *answer, struct op *op)
{
    int r = weir_cloud_refuse(p->cloud, what, WEIR_PROVIDER_REFUSED, text, answer, free_op, op);
    if (r < 0) {
        free_op(op);
    }
    return r;
}

static int azure_launch(struct weir_provider *p, const struct weir_launch *l, weir_provider_fn *done, void *ctx)
{
    struct op *op = new_op(p, done, ctx);
    struct weir_err err = {""};
    WEIR_CLEANUP(weir_str_release) struct weir_str body = {0};
    azure_name(l->token, op->name);
    op->until = (struct weir_mono){weir_clock_mono(p->env->clock).us + LAUNCH_LIMIT_S * WEIR_US_PER_S};
    if (azure_machine_body(p, l, op->name, &body, &err) < 0) {
        return refuse(p, "create machine", err.text, on_put, op);
    }
    char url[AZURE_URL_SIZE];
    azure_machine_url(&p->conf, op->name, "", url);
    const struct weir_http_header header[] = {{"Content-Type", "application/json"}, {"If-None-Match", "*"}};
    const struct weir_cloud_request r = {.what = "create machine", .kind = WEIR_CLOUD_REPEAT, .method = "PUT", .url = url, .header = header,
                                         .n_headers = WEIR_ARRAY_LEN(header), .body = weir_str_sv(&body)};
    int rc = begin(op, &r, on_put);
    if (rc < 0) {
        free_op(op);
    }
    return rc;
}

static bool is_name(const char *s)
{
    size_t n = strlen(s);
    return n > 0 && n < AZURE_NAME_SIZE && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n;
}

static void on_nothing(void *ctx, const struct weir_cloud_answer *a)
{
    (void)a;
    answer_one(ctx, NULL);
}

static int azure_describe(struct weir_provider *p, const char *token, const char *instance_id, weir_provider_fn *done, void *ctx)
{
    WEIR_ASSERT((token == NULL) != (instance_id == NULL));
    struct op *op = new_op(p, done, ctx);
    if (token != NULL) {
        azure_name(token, op->name);
    } else if (is_name(instance_id)) {
        (void)snprintf(op->name, sizeof op->name, "%.64s", instance_id);
    } else {
        return refuse(p, "describe machine", "not a machine's name", on_nothing, op);
    }
    int rc = get_machine(op, on_described);
    if (rc < 0) {
        free_op(op);
    }
    return rc;
}

/* ---- list ---- */

static void on_list(void *ctx, const struct weir_cloud_answer *a)
{
    struct op *op = ctx;
    struct weir_provider_result r = weir_cloud_result(a);
    json_t *o = a->class == WEIR_PROVIDER_OK ? parse(a) : NULL;
    const json_t *value = json_object_get(o, "value");
    struct weir_instance *found = NULL;
    char next[AZURE_URL_SIZE * 2] = "";
    if (a->class == WEIR_PROVIDER_OK && !json_is_array(value)) {
        r.class = WEIR_PROVIDER_UNKNOWN;
        (void)snprintf(r.text, sizeof r.text, "azure: the answer is not a list of machines");
    } else if (a->class == WEIR_PROVIDER_OK) {
        size_t n = json_array_size(value) > LIST_MAX ? LIST_MAX : json_array_size(value);
        found = weir_calloc(n + 1, sizeof *found);
        for (size_t i = 0; i < n; i++) {
            char failure[WEIR_CLOUD_CODE_SIZE];
            char owner[WEIR_TOKEN_SIZE];
            if (azure_machine_read(json_array_get(value, i), &found[r.n_instances], failure, owner) && weir_streq(owner, op->p->env->owner)) {
                r.n_instances++;
            }
        }
        r.instance = found;
        const char *link = json_string_value(json_object_get(o, "nextLink"));
        size_t at = strlen(op->p->conf.endpoint);
        if (link != NULL && link[0] != '\0' && strlen(link) < sizeof next) {
            /* credentials go with it: only ever to where they belong */
            bool ours = strncmp(link, op->p->conf.endpoint, at) == 0 && link[at] == '/';
            (void)snprintf(next, sizeof next, "%s", ours ? link : "");
            r.next_page = ours ? next : NULL;
        }
        if (link != NULL && link[0] != '\0' && r.next_page == NULL) {
            r = (struct weir_provider_result){.class = WEIR_PROVIDER_REFUSED};
            (void)snprintf(r.text, sizeof r.text, "azure: the next page of the list is at another address than the endpoint");
        }
    }
    end_op(op, &r);
    json_decref(o);
    free(found);
}

static int azure_list(struct weir_provider *p, const char *page, weir_provider_fn *done, void *ctx)
{
    struct op *op = new_op(p, done, ctx);
    char url[AZURE_URL_SIZE];
    azure_list_url(&p->conf, url);
    const struct weir_cloud_request r = {.what = "list machines", .kind = WEIR_CLOUD_READ, .method = "GET", .url = page == NULL ? url : page,
                                         .reply_bytes_max = LIST_BYTES_MAX};
    int rc = begin(op, &r, on_list);
    if (rc < 0) {
        free_op(op);
    }
    return rc;
}

/* ---- terminate ---- */

static void on_terminated(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider_result r = weir_cloud_result(a);
    if (is_absent(a)) {
        r = (struct weir_provider_result){.class = WEIR_PROVIDER_OK};
    }
    end_op(ctx, &r);
}

static int azure_terminate(struct weir_provider *p, const char *instance_id, weir_provider_fn *done, void *ctx)
{
    struct op *op = new_op(p, done, ctx);
    if (!is_name(instance_id)) {
        return refuse(p, "delete machine", "not a machine's name", on_terminated, op);
    }
    char url[AZURE_URL_SIZE];
    azure_machine_url(&p->conf, instance_id, "&forceDeletion=true", url);
    const struct weir_cloud_request r = {.what = "delete machine", .kind = WEIR_CLOUD_REPEAT, .method = "DELETE", .url = url};
    int rc = begin(op, &r, on_terminated);
    if (rc < 0) {
        free_op(op);
    }
    return rc;
}

/* ---- offers ---- */

static void answer_offers(struct op *op)
{
    struct weir_provider *p = op->p;
    azure_offers_make(p);
    struct weir_provider_result r = {.class = WEIR_PROVIDER_OK, .offer = p->prices.offers.p, .n_offers = p->prices.offers.n};
    end_op(op, &r);
}

static void on_prices(void *ctx, const struct weir_cloud_answer *a);

static void get_prices(struct op *op, const char *path)
{
    char url[AZURE_URL_SIZE * 4];
    (void)snprintf(url, sizeof url, "%s%s", op->p->conf.prices_endpoint, path);
    const struct weir_cloud_request r = {.what = "prices", .kind = WEIR_CLOUD_READ, .method = "GET", .url = url, .open = true,
                                         .reply_bytes_max = PRICES_BYTES_MAX};
    if (begin(op, &r, on_prices) < 0) {
        op->p->prices.busy = false;
        look_later(op, 0, answer_offers);
    }
}

static void on_prices(void *ctx, const struct weir_cloud_answer *a)
{
    struct op *op = ctx;
    struct weir_provider *p = op->p;
    struct azure_prices *s = &p->prices;
    char path[AZURE_URL_SIZE * 3];
    if (a->class != WEIR_PROVIDER_OK || !azure_prices_read(p, a->body, path, sizeof path) || ++s->pages > PAGES_MAX) {
        s->busy = false;
        answer_offers(op); /* the last prices, or the catalogue's, serve on */
        return;
    }
    if (path[0] == '\0' && ++s->region < p->conf.n_regions) {
        s->pages = 0;
        azure_prices_path(&p->conf.region[s->region], path, sizeof path);
    }
    if (path[0] == '\0') {
        azure_prices_take(p);
        s->busy = false;
        answer_offers(op);
        return;
    }
    get_prices(op, path);
}

static int azure_offers(struct weir_provider *p, weir_provider_fn *done, void *ctx)
{
    struct op *op = new_op(p, done, ctx);
    if (azure_prices_are_old(p)) {
        char path[AZURE_URL_SIZE];
        azure_prices_begin(p);
        azure_prices_path(&p->conf.region[0], path, sizeof path);
        get_prices(op, path);
    } else {
        look_later(op, 0, answer_offers);
    }
    return 0;
}

/* ---- life ---- */

static int azure_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *section, struct weir_err *err)
{
    struct weir_provider *p = weir_alloc(sizeof *p);
    p->env = env;
    int r = azure_conf_read(&p->conf, env, section, err);
    if (r < 0) {
        free(p);
        return r;
    }
    p->credential = weir_credential_new(env->clock, weir_dur_s(300), azure_token_fetch, p);
    p->cloud = weir_cloud_new(&(struct weir_cloud_conf){.name = "azure",
                                                        .loop = env->loop,
                                                        .clock = env->clock,
                                                        .http = env->http,
                                                        .seed = (uint64_t)weir_clock_mono(env->clock).us,
                                                        .per_second = p->conf.per_second,
                                                        .burst = p->conf.per_second * 2,
                                                        .sign = azure_sign,
                                                        .classify = azure_classify,
                                                        .credential = p->credential,
                                                        .ctx = p});
    weir_cloud_hide(p->cloud, p->conf.secret);
    p->later = weir_alloc(sizeof *p->later);
    (void)uv_timer_init(env->loop, &p->later->timer);
    p->later->timer.data = p;
    *ret = p;
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    free((struct azure_later *)(void *)h);
}

static void azure_fini(struct weir_provider *p)
{
    if (p == NULL) {
        return;
    }
    weir_cloud_free(p->cloud);
    while (p->ops != NULL) {
        free_op(p->ops);
    }
    weir_credential_free(p->credential);
    uv_close((uv_handle_t *)&p->later->timer, on_closed);
    azure_token_forget(p);
    azure_prices_release(&p->prices);
    azure_conf_release(&p->conf);
    free(p);
}

const struct weir_provider_ops weir_azure_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "azure",
    .caps = WEIR_PROVIDER_SPOT | WEIR_PROVIDER_TOKEN_NATIVE,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .init = azure_init,
    .fini = azure_fini,
    .offers = azure_offers,
    .launch = azure_launch,
    .describe = azure_describe,
    .list = azure_list,
    .terminate = azure_terminate,
};
