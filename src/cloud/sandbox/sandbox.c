/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's side of the provider contract. Every call becomes an operation: its inputs are copied,
 * the work runs in libuv's thread pool (world.c), and the answer is delivered from the loop. After
 * fini, operations that are still in the pool finish without an answer and the last one frees.
 */

#include "cloud/sandbox/sandbox.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/prng.h"
#include "cloud/catalogue.h"
#include "cloud/exchange.h"
#include "cloud/sandbox/conf.h"
#include "cloud/sandbox/world.h"

enum { FAULTS_MAX = 64, VISIBLE_WITHIN_S = 10, CHANGES_MAX = 10000 };

enum fault_kind {
    FAULT_NO_CAPACITY,
    FAULT_QUOTA,
    FAULT_THROTTLED,
    FAULT_REFUSED,
    FAULT_LOST_REPLY,
    FAULT_LATE,
    FAULT_HALF_MADE,
    FAULT_SLOW,
    FAULT_BOOT_NEVER,
    FAULT_RECLAIM,
    FAULT_CLEAR,
    FAULT_MAX,
};

static const char *const fault_name[FAULT_MAX + 1] = {
    "no_capacity", "quota", "throttled",  "refused", "lost_reply", "late",
    "half_made",   "slow",  "boot_never", "reclaim", "clear",      NULL,
};

struct fault {
    enum fault_kind kind;
    struct weir_dur span;
};

/* A machine that is there and not yet to be seen. */
struct late {
    char id[SANDBOX_ID_SIZE];
    struct weir_mono until;
};

struct weir_provider {
    const struct weir_provider_env *env;
    struct sandbox_world world; /* only read once init is done */
    struct sandbox_conf conf;
    WEIR_VEC(struct weir_offer) offers;
    char no_rate[WEIR_CURRENCY_SIZE]; /* some of the own list are in it; "": none */
    WEIR_VEC(int64_t) listed; /* what each of them costs where prices stay, in its own currency */
    struct fault fault[FAULTS_MAX];
    size_t n_faults;
    struct late late[FAULTS_MAX];
    size_t n_late;
    struct op *ops; /* under way */
    size_t n_refs;  /* the owner's, and one per operation that can still come back */
    bool closed;
};

enum op_kind { OP_OFFERS, OP_PRICES, OP_LAUNCH, OP_DESCRIBE, OP_LIST, OP_FLAG };

struct op {
    struct op *next;
    struct weir_provider *p;
    enum op_kind kind;
    uv_work_t work;
    uv_timer_t timer;
    weir_provider_fn *done;
    void *ctx;
    struct weir_dur delay; /* of the answer */
    bool lose_reply;
    /* inputs */
    struct sandbox_launch launch;
    char *join_token;
    char *ca_pem;
    char id[WEIR_INSTANCE_ID_SIZE]; /* or the page */
    const char *flag;
    /* outputs */
    enum weir_provider_class class;
    struct weir_err text;
    struct weir_dur retry_after;
    struct weir_instance *inst;
    size_t n_inst;
    bool more;
    struct weir_offer *price; /* how one went */
    size_t n_prices;
};

static void unref(struct weir_provider *p)
{
    if (--p->n_refs == 0) {
        weir_vec_release(&p->offers);
        weir_vec_release(&p->listed);
        free(p);
    }
}

static void free_op(struct op *op)
{
    for (struct op **o = &op->p->ops; *o != NULL; o = &(*o)->next) {
        if (*o == op) {
            *o = op->next;
            break;
        }
    }
    unref(op->p);
    free(op->join_token);
    free(op->ca_pem);
    free(op->inst);
    free(op->price);
    free(op);
}

static bool is_late(struct weir_provider *p, const char *id)
{
    struct weir_mono now = weir_clock_mono(p->env->clock);
    size_t kept = 0;
    bool found = false;
    for (size_t i = 0; i < p->n_late; i++) {
        if (p->late[i].until.us > now.us) {
            found = found || weir_streq(p->late[i].id, id);
            p->late[kept++] = p->late[i];
        }
    }
    p->n_late = kept;
    return found;
}

static void leave_out_late(struct op *op)
{
    size_t kept = 0;
    for (size_t i = 0; i < op->n_inst; i++) {
        if (!is_late(op->p, op->inst[i].id)) {
            op->inst[kept++] = op->inst[i];
        }
    }
    op->n_inst = kept;
}

static void deliver(struct op *op)
{
    struct weir_provider *p = op->p;
    struct weir_provider_result r = {.class = op->class, .retry_after = op->retry_after};
    if (op->class == WEIR_PROVIDER_OK) {
        if (op->more) {
            (void)snprintf(op->id, sizeof op->id, "%s", op->inst[op->n_inst - 1].id);
            r.next_page = op->id;
        }
        if (op->kind == OP_DESCRIBE || op->kind == OP_LIST) {
            leave_out_late(op);
        }
        r.instance = op->inst;
        r.n_instances = op->n_inst;
    } else {
        (void)snprintf(r.text, sizeof r.text, "sandbox: %.240s", op->text.text);
    }
    if (op->kind == OP_OFFERS) {
        r.offer = p->offers.p;
        r.n_offers = p->offers.n;
        if (p->no_rate[0] != '\0') {
            char text[128];
            memcpy(r.no_rate, p->no_rate, sizeof r.no_rate);
            (void)snprintf(r.text, sizeof r.text, "sandbox: offers are left out: %s", weir_offer_no_rate(p->no_rate, text, sizeof text));
        }
    } else if (op->kind == OP_PRICES) {
        r.offer = op->price;
        r.n_offers = op->n_prices;
    }
    if (!p->closed) {
        op->done(op->ctx, &r);
    }
}

/* ---- the work, away from the loop ---- */

static void run_launch(struct op *op, const struct sandbox_world *w)
{
    bool is_new;
    op->class = sandbox_world_launch(w, &op->launch, op->inst, &is_new, &op->text);
    op->n_inst = op->class == WEIR_PROVIDER_OK ? 1 : 0;
    if (op->lose_reply && op->class == WEIR_PROVIDER_OK && is_new) {
        op->class = WEIR_PROVIDER_UNKNOWN;
        (void)weir_fail(&op->text, -WEIR_ETIMEOUT, "the answer to the launch was lost (asked for)");
    }
    if (!is_new || op->class != WEIR_PROVIDER_THROTTLED) {
        op->retry_after = (struct weir_dur){0};
    }
}

static void work(uv_work_t *work)
{
    struct op *op = work->data;
    const struct sandbox_world *w = &op->p->world;
    switch (op->kind) {
    case OP_OFFERS:
    case OP_PRICES:
        break;
    case OP_LAUNCH:
        run_launch(op, w);
        break;
    case OP_DESCRIBE:
        op->n_inst = sandbox_world_describe(w, op->id, op->inst) ? 1 : 0;
        break;
    case OP_LIST:
        op->n_inst = sandbox_world_list(w, op->id, op->inst, &op->more);
        break;
    case OP_FLAG:
        op->class = sandbox_world_flag(w, op->id, op->flag, &op->text);
        break;
    }
}

static void timer_closed(uv_handle_t *h)
{
    free_op(h->data);
}

static void timer_fired(uv_timer_t *t)
{
    struct op *op = t->data;
    deliver(op);
    uv_close((uv_handle_t *)t, timer_closed);
}

static void work_done(uv_work_t *work, int status)
{
    (void)status; /* cancelled only after fini, and then nobody is told */
    struct op *op = work->data;
    if (op->delay.us > 0 && !op->p->closed) {
        uint64_t ms = (uint64_t)((op->delay.us + WEIR_US_PER_MS - 1) / WEIR_US_PER_MS);
        (void)uv_timer_init(op->p->env->loop, &op->timer);
        op->timer.data = op;
        (void)uv_timer_start(&op->timer, timer_fired, ms, 0);
        return;
    }
    deliver(op);
    free_op(op);
}

static struct op *new_op(struct weir_provider *p, enum op_kind kind, weir_provider_fn *done, void *ctx)
{
    struct op *op = weir_alloc(sizeof *op);
    op->p = p;
    op->kind = kind;
    op->done = done;
    op->ctx = ctx;
    op->class = WEIR_PROVIDER_OK;
    op->work.data = op;
    op->inst = weir_calloc(kind == OP_LIST ? p->world.page_size : 1, sizeof *op->inst);
    op->next = p->ops;
    p->ops = op;
    p->n_refs++;
    return op;
}

static int start(struct op *op)
{
    if (uv_queue_work(op->p->env->loop, &op->work, work, work_done) != 0) {
        free_op(op);
        return -WEIR_ENOMEM;
    }
    return 0;
}

/* ---- faults ---- */

static int add_fault(struct weir_provider *p, struct weir_sv text, struct weir_err *err);

/* Takes the lines of the faults file, if there is one. Small and rare enough for the loop. */
static void take_fault_file(struct weir_provider *p)
{
    char from[SANDBOX_PATH_SIZE];
    char to[SANDBOX_PATH_SIZE];
    if (!sandbox_path(from, p->world.root, "faults") || !sandbox_path(to, p->world.root, "faults.taken") ||
        rename(from, to) != 0) {
        return;
    }
    WEIR_CLEANUP(weir_freep) char *text = NULL;
    size_t n = 0;
    if (sandbox_read_file(p->world.root, "faults.taken", &text, &n, NULL) == 0) {
        struct weir_sv rest = {text, n};
        while (rest.n > 0) {
            struct weir_sv line = weir_sv_trim(weir_sv_cut(&rest, '\n'));
            if (line.n > 0 && line.p[0] != '#') {
                (void)add_fault(p, line, NULL); /* a bad line is nobody's call: it is passed over */
            }
        }
    }
    (void)unlink(to);
}

static int reclaim_now(struct weir_provider *p, struct weir_sv id, struct weir_err *err)
{
    char name[SANDBOX_ID_SIZE];
    if (id.n >= sizeof name) {
        return weir_fail(err, -WEIR_EINVAL, "'%.*s' is not a sandbox instance's id", WEIR_SV_ARG(id));
    }
    memcpy(name, id.p, id.n);
    name[id.n] = '\0';
    struct weir_instance inst;
    if (!sandbox_world_describe(&p->world, name, &inst)) {
        return weir_fail(err, -WEIR_ENOTFOUND, "no sandbox instance '%s' exists", name);
    }
    enum weir_provider_class c = sandbox_world_flag(&p->world, name, "reclaim", err);
    return c == WEIR_PROVIDER_OK ? 0 : -WEIR_EIO;
}

static int add_fault(struct weir_provider *p, struct weir_sv text, struct weir_err *err)
{
    struct weir_sv rest = text;
    struct weir_sv word = weir_sv_trim(weir_sv_cut(&rest, ':'));
    enum fault_kind kind = FAULT_NO_CAPACITY;
    while (kind < FAULT_MAX && !weir_sv_eq(word, weir_sv_of(fault_name[kind]))) {
        kind++;
    }
    if (kind == FAULT_MAX) {
        const char *near = weir_nearest(word, fault_name);
        return near != NULL ? weir_fail(err, -WEIR_EINVAL, "the sandbox has no fault '%.*s'; did you mean '%s'?", WEIR_SV_ARG(word), near)
                            : weir_fail(err, -WEIR_EINVAL, "the sandbox has no fault '%.*s'; 'weir sandbox --help' names them", WEIR_SV_ARG(word));
    }
    if (kind == FAULT_RECLAIM) {
        return reclaim_now(p, weir_sv_trim(rest), err);
    }
    if (kind == FAULT_CLEAR) {
        p->n_faults = 0;
        return 0;
    }
    struct fault f = {.kind = kind, .span = weir_dur_s(kind == FAULT_THROTTLED ? 1 : 2)};
    if (rest.p != NULL) {
        int r = weir_parse_duration(weir_sv_trim(rest), &f.span, err);
        if (r < 0) {
            return r;
        }
    }
    if (p->n_faults == FAULTS_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "the sandbox has %d faults queued already", FAULTS_MAX);
    }
    p->fault[p->n_faults++] = f;
    return 0;
}

static int sandbox_fault(struct weir_provider *p, const char *what, struct weir_err *err)
{
    return add_fault(p, weir_sv_of(what), err);
}

/* The next queued fault becomes part of the launch. */
static void apply_fault(struct weir_provider *p, struct op *op)
{
    if (p->n_faults == 0) {
        return;
    }
    struct fault f = p->fault[0];
    p->n_faults--;
    memmove(p->fault, p->fault + 1, p->n_faults * sizeof p->fault[0]);
    struct sandbox_launch *l = &op->launch;
    switch (f.kind) {
    case FAULT_NO_CAPACITY:
        l->refuse = WEIR_PROVIDER_NO_CAPACITY;
        l->refuse_text = "no machine of this kind is free (asked for)";
        break;
    case FAULT_QUOTA:
        l->refuse = WEIR_PROVIDER_QUOTA;
        l->refuse_text = "the account's quota is used up (asked for)";
        break;
    case FAULT_THROTTLED:
        l->refuse = WEIR_PROVIDER_THROTTLED;
        l->refuse_text = "too many requests (asked for)";
        op->retry_after = f.span;
        break;
    case FAULT_REFUSED:
        l->refuse = WEIR_PROVIDER_REFUSED;
        l->refuse_text = "the request is refused (asked for)";
        break;
    case FAULT_HALF_MADE:
        l->start = false;
        op->lose_reply = true;
        break;
    case FAULT_LOST_REPLY:
        op->lose_reply = true;
        break;
    case FAULT_LATE:
        op->lose_reply = true;
        if (p->n_late < FAULTS_MAX) {
            struct late *late = &p->late[p->n_late++];
            sandbox_id(l->spec.token, late->id);
            late->until = (struct weir_mono){weir_i64_add_sat(weir_clock_mono(p->env->clock).us, f.span.us)};
        }
        break;
    case FAULT_SLOW:
        op->delay = f.span;
        break;
    case FAULT_BOOT_NEVER:
        l->spec.boot_never = true;
        break;
    case FAULT_RECLAIM:
    case FAULT_CLEAR:
    case FAULT_MAX:
        break; /* never queued */
    }
}

/* ---- offers ---- */

static bool region_is_wanted(const struct sandbox_conf *c, const char *region)
{
    for (size_t i = 0; i < c->n_regions; i++) {
        if (weir_glob_match(weir_sv_of(c->region[i]), weir_sv_of(region))) {
            return true;
        }
    }
    return c->n_regions == 0;
}

/* As of then; one that is in another currency, and has no rate there, had no price before either. */
static void set_price(const struct sandbox_market *m, struct weir_offer *o, int64_t listed_micro, struct weir_wall at)
{
    int64_t price = sandbox_market_price(m, o->id, listed_micro, at);
    o->price_since = sandbox_market_since(m, at);
    if (o->currency[0] == '\0') {
        o->price_micro_per_hour = price;
    } else {
        o->original_micro_per_hour = price;
        (void)weir_money_exchange_up(price, o->rate_nano, &o->price_micro_per_hour);
    }
}

static void push_offer(struct weir_provider *p, struct weir_offer o, struct weir_wall now)
{
    const struct sandbox_conf *c = &p->conf;
    (void)snprintf(o.provider, sizeof o.provider, "sandbox");
    o.boot_expected = c->boot_delay;
    o.as_of = now;
    o.expires = WEIR_WALL_MAX;
    o.launchable = true;
    if (o.market == WEIR_OFFER_SPOT) {
        if (c->has_notice) {
            o.reclaim_notice = c->reclaim_notice;
        }
        if (c->reclaim_ppm_per_hour > 0) {
            o.reclaim_ppm_per_hour = c->reclaim_ppm_per_hour;
        } else if (c->reclaim_after.us > 0) {
            o.reclaim_ppm_per_hour = 1000000;
        }
    }
    o.id = weir_offer_id(&o);
    if (o.zone[0] == '\0') {
        memcpy(o.zone, o.region, sizeof o.zone); /* whatever it imitates, a region of it is one zone */
    }
    int64_t listed = o.currency[0] == '\0' ? o.price_micro_per_hour : o.original_micro_per_hour;
    weir_vec_push(&p->listed, listed);
    if (o.market == WEIR_OFFER_SPOT && c->market.every.us > 0) {
        set_price(&c->market, &o, listed, now);
    }
    weir_vec_push(&p->offers, o);
}

/* "aws:p4d.24xlarge": the name says whose machine is imitated. */
static bool mirror_offer(struct weir_offer *o)
{
    char type[WEIR_PROVIDER_SIZE + WEIR_INSTANCE_TYPE_SIZE + 2];
    char source[96];
    int n = snprintf(type, sizeof type, "%s:%s", o->provider, o->instance_type);
    if (n < 0 || (size_t)n >= sizeof o->instance_type) {
        return false;
    }
    memcpy(o->instance_type, type, (size_t)n + 1);
    (void)snprintf(source, sizeof source, "sandbox, as: %s", o->source);
    memcpy(o->source, source, sizeof o->source);
    o->source[sizeof o->source - 1] = '\0';
    return true;
}

static void make_offers(struct weir_provider *p)
{
    const struct sandbox_conf *c = &p->conf;
    struct weir_wall now = weir_clock_wall(p->env->clock);
    weir_vec_clear(&p->offers);
    p->no_rate[0] = '\0';
    weir_vec_clear(&p->listed);
    for (size_t i = 0; i < c->n_own; i++) {
        struct weir_offer o = c->own[i];
        if (weir_provider_price(p->env, &o, c->own[i].currency, o.price_micro_per_hour)) {
            push_offer(p, o, now);
        } else {
            memcpy(p->no_rate, c->own[i].currency, sizeof p->no_rate);
        }
    }
    for (size_t m = 0; m < c->n_mirrors && p->env->catalogue != NULL; m++) {
        size_t n = 0;
        const struct weir_offer *o = p->env->catalogue(p->env->catalogue_ctx, c->mirror[m], &n);
        for (size_t i = 0; i < n; i++) {
            struct weir_offer copy = o[i];
            if (copy.market != WEIR_OFFER_RESERVED && copy.gpus <= c->max_gpus && region_is_wanted(c, copy.region) &&
                mirror_offer(&copy)) {
                push_offer(p, copy, now);
            }
        }
    }
}

/* ---- the contract ---- */

static int sandbox_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf,
                        struct weir_err *err)
{
    struct weir_provider *p = weir_alloc(sizeof *p);
    p->env = env;
    p->n_refs = 1;
    int r = sandbox_conf_read(&p->conf, conf, env->gpus, err);
    if (r == 0 &&
        (strlen(env->owner) >= sizeof p->world.owner || env->owner[0] == '\0' ||
         strlen(env->self_exe) >= sizeof p->world.self_exe || !sandbox_path(p->world.root, env->data_dir, "sandbox") ||
         strlen(p->world.root) > SANDBOX_PATH_SIZE - 128)) {
        r = weir_fail(err, -WEIR_ECONFIG, "sandbox: owner, program or data directory is too long");
    }
    if (r == 0) {
        (void)snprintf(p->world.owner, sizeof p->world.owner, "%s", env->owner);
        (void)snprintf(p->world.self_exe, sizeof p->world.self_exe, "%s", env->self_exe);
        p->world.capacity = p->conf.capacity;
        p->world.page_size = p->conf.page_size;
        r = sandbox_world_open(&p->world, weir_clock_wall(env->clock), err);
    }
    if (r < 0) {
        free(p);
        return r;
    }
    *ret = p;
    return 0;
}

static void sandbox_fini(struct weir_provider *p)
{
    if (p == NULL) {
        return;
    }
    p->closed = true;
    for (struct op *op = p->ops; op != NULL; op = op->next) {
        if (uv_is_active((uv_handle_t *)&op->timer)) {
            uv_close((uv_handle_t *)&op->timer, timer_closed);
        } else if (op->timer.data == NULL) {
            (void)uv_cancel((uv_req_t *)&op->work);
        }
    }
    unref(p);
}

static int sandbox_offers(struct weir_provider *p, weir_provider_fn *done, void *ctx)
{
    make_offers(p);
    return start(new_op(p, OP_OFFERS, done, ctx));
}

/* Of a very long time the latest of it. */
static void tell_prices(struct op *op, const struct sandbox_market *m, const struct weir_offer *o, int64_t listed_micro, struct weir_wall from)
{
    struct weir_wall until = o->price_since;
    struct weir_wall at = sandbox_market_since(m, from);
    struct weir_wall earliest = {weir_i64_sub_sat(until.us, (CHANGES_MAX - 1) * m->every.us)};
    at = at.us < earliest.us ? earliest : at;
    op->price = weir_calloc(at.us > until.us ? 1 : (size_t)((until.us - at.us) / m->every.us) + 1, sizeof *op->price);
    for (; at.us <= until.us; at = weir_wall_add(at, m->every)) {
        struct weir_offer *past = &op->price[op->n_prices++];
        *past = *o;
        set_price(m, past, listed_micro, at);
    }
}

static int sandbox_price_history(struct weir_provider *p, const struct weir_offer *offer, struct weir_wall from, weir_provider_fn *done, void *ctx)
{
    struct op *op = new_op(p, OP_PRICES, done, ctx);
    make_offers(p);
    for (size_t i = 0; i < p->offers.n && op->n_prices == 0; i++) {
        if (p->offers.p[i].id == offer->id && p->offers.p[i].price_since.us != 0) {
            tell_prices(op, &p->conf.market, &p->offers.p[i], p->listed.p[i], from);
        }
    }
    return start(op);
}

/* When a spot machine is taken back: a draw from an exponential distribution whose rate gives the
 * configured chance per hour. It follows from seed and token, so a repeated run has the same luck. */
static struct weir_dur draw_reclaim(const struct sandbox_conf *c, const char *token)
{
    if (c->reclaim_after.us > 0) {
        return c->reclaim_after;
    }
    if (c->reclaim_ppm_per_hour == 0) {
        return (struct weir_dur){0};
    }
    struct weir_prng r = weir_prng_seed(c->seed ^ weir_hash_bytes(token, strlen(token)));
    double u = (double)(weir_prng_below(&r, 1000000) + 1) / 1000001.0;
    double chance = (double)c->reclaim_ppm_per_hour / 1e6;
    double rate = chance >= 0.999999 ? 13.8 : -log1p(-chance); /* per hour */
    double hours = -log(u) / rate;
    return hours > 8760.0 ? (struct weir_dur){0} : (struct weir_dur){(int64_t)(hours * (double)WEIR_US_PER_HOUR) + 1};
}

static bool copy_text(char *to, size_t size, const char *from)
{
    int n = snprintf(to, size, "%s", from);
    return n >= 0 && (size_t)n < size;
}

static void fill_launch(struct weir_provider *p, struct op *op, const struct weir_launch *l)
{
    const struct weir_offer *o = l->offer;
    struct sandbox_spec *s = &op->launch.spec;
    bool fits = copy_text(s->token, sizeof s->token, l->token) && copy_text(s->owner, sizeof s->owner, l->owner) &&
                copy_text(s->broker_url, sizeof s->broker_url, l->broker_url) &&
                copy_text(s->self_exe, sizeof s->self_exe, p->world.self_exe) &&
                copy_text(s->provider_offer, sizeof s->provider_offer, o->instance_type) &&
                copy_text(s->region, sizeof s->region, o->region);
    s->lease = l->lease.v;
    s->gpus = o->gpus;
    s->cpu_milli = o->cpu_milli;
    s->mem_mib = o->mem_mib;
    op->launch.gpu_capacity = UINT32_MAX;
    if (o->gpus > 0) {
        fits = fits && copy_text(s->gpu, sizeof s->gpu, weir_gpu_table_get(p->env->gpus, o->gpu_model)->name);
        for (size_t i = 0; i < p->conf.n_gpu_capacities; i++) {
            if (p->conf.gpu_capacity[i].model == o->gpu_model) {
                op->launch.gpu_capacity = p->conf.gpu_capacity[i].gpus;
            }
        }
    }
    s->spot = o->market == WEIR_OFFER_SPOT;
    s->price_micro_per_hour = o->price_micro_per_hour;
    s->has_ca = l->ca_pem != NULL;
    s->keep_disk = p->conf.keep_disks;
    s->boot_delay = p->conf.boot_delay;
    s->notice = p->conf.has_notice ? p->conf.reclaim_notice : o->reclaim_notice;
    s->reclaim_after = s->spot ? draw_reclaim(&p->conf, l->token) : (struct weir_dur){0};
    s->expires = l->expires;
    op->join_token = weir_strdup(l->join_token);
    op->ca_pem = l->ca_pem == NULL ? NULL : weir_strdup(l->ca_pem);
    op->launch.join_token = op->join_token;
    op->launch.ca_pem = op->ca_pem;
    op->launch.start = true;
    op->launch.refuse = WEIR_PROVIDER_OK;
    struct weir_wall now = weir_clock_wall(p->env->clock);
    if (!fits || s->token[0] == '\0') {
        op->launch.refuse = WEIR_PROVIDER_REFUSED;
        op->launch.refuse_text = "the token or a name is empty or too long";
    } else if (!weir_streq(o->provider, "sandbox")) {
        op->launch.refuse = WEIR_PROVIDER_REFUSED;
        op->launch.refuse_text = "the offer is not one of the sandbox";
    } else if (o->gpus > p->conf.max_gpus) {
        op->launch.refuse = WEIR_PROVIDER_REFUSED;
        op->launch.refuse_text = "the offer has more GPUs than sandbox.max_gpus";
    } else if (l->expires.us <= now.us || l->expires.us == INT64_MAX) {
        op->launch.refuse = WEIR_PROVIDER_REFUSED;
        op->launch.refuse_text = "the lease has no expiry, or it has passed";
    }
}

static int sandbox_launch(struct weir_provider *p, const struct weir_launch *l, weir_provider_fn *done, void *ctx)
{
    take_fault_file(p);
    struct op *op = new_op(p, OP_LAUNCH, done, ctx);
    fill_launch(p, op, l);
    if (op->launch.refuse == WEIR_PROVIDER_OK) {
        apply_fault(p, op);
    }
    return start(op);
}

static int sandbox_describe(struct weir_provider *p, const char *token, const char *instance_id, weir_provider_fn *done,
                            void *ctx)
{
    WEIR_ASSERT((token == NULL) != (instance_id == NULL));
    take_fault_file(p);
    struct op *op = new_op(p, OP_DESCRIBE, done, ctx);
    if (token != NULL) {
        sandbox_id(token, op->id);
    } else {
        (void)copy_text(op->id, sizeof op->id, instance_id); /* one too long does not exist */
    }
    return start(op);
}

static int sandbox_list(struct weir_provider *p, const char *page, weir_provider_fn *done, void *ctx)
{
    take_fault_file(p);
    struct op *op = new_op(p, OP_LIST, done, ctx);
    (void)copy_text(op->id, sizeof op->id, page == NULL ? "" : page);
    return start(op);
}

static int sandbox_terminate(struct weir_provider *p, const char *instance_id, weir_provider_fn *done, void *ctx)
{
    struct op *op = new_op(p, OP_FLAG, done, ctx);
    op->flag = "terminate";
    (void)copy_text(op->id, sizeof op->id, instance_id);
    return start(op);
}

const struct weir_provider_ops weir_sandbox_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = "sandbox",
    .caps = WEIR_PROVIDER_SPOT | WEIR_PROVIDER_TOKEN_NATIVE | WEIR_PROVIDER_SPOT_MOVES,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .init = sandbox_init,
    .fini = sandbox_fini,
    .offers = sandbox_offers,
    .price_history = sandbox_price_history,
    .launch = sandbox_launch,
    .describe = sandbox_describe,
    .list = sandbox_list,
    .terminate = sandbox_terminate,
    .fault = sandbox_fault,
};
