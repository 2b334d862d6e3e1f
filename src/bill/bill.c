/* SPDX-License-Identifier: Apache-2.0 */
/* The metering object: which nodes are open, who holds what part of them, and when both sides are posted. */

#include "bill/bill_priv.h"

#include <inttypes.h>

#include "base/mem.h"

struct weir_bill *weir_bill_new(uint64_t next_posting, struct weir_wall made_from)
{
    WEIR_ASSERT(next_posting >= 1);
    struct weir_bill *b = weir_alloc(sizeof *b);
    b->next_posting = next_posting;
    b->last_at = made_from;
    return b;
}

uint64_t weir_bill_last_posting(const struct weir_bill *b)
{
    return b->next_posting - 1;
}

void weir_bill_free(struct weir_bill *b)
{
    if (b == NULL) {
        return;
    }
    for (size_t i = 0; i < b->nodes.n; i++) {
        free(b->nodes.p[i]);
    }
    weir_vec_release(&b->nodes);
    weir_vec_release(&b->segments);
    weir_vec_release(&b->pending);
    weir_map_release(&b->runs);
    weir_vec_release(&b->postings);
    weir_vec_release(&b->meters);
    weir_vec_release(&b->dirty);
    weir_vec_release(&b->changed);
    weir_vec_release(&b->parts);
    weir_vec_release(&b->weights);
    weir_vec_release(&b->amounts);
    weir_vec_release(&b->energy);
    weir_vec_release(&b->carbon);
    weir_vec_release(&b->originals);
    free(b);
}

void weir_bill_forget_taken(struct weir_bill *b)
{
    if (b->taken) {
        weir_vec_clear(&b->postings);
        weir_vec_clear(&b->meters);
        b->taken = false;
    }
}

/* ---- nodes, sorted by id ---- */

static size_t node_place(const struct weir_bill *b, struct weir_node_id id)
{
    size_t lo = 0;
    size_t hi = b->nodes.n;
    /* ids are given one after the other: where none has gone yet it stands by its number */
    if (id.v > 0 && id.v <= hi && b->nodes.p[id.v - 1]->m.info.node.v == id.v) {
        return (size_t)id.v - 1;
    }
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (b->nodes.p[mid]->m.info.node.v < id.v) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct bill_node *weir_bill_node_find(const struct weir_bill *b, struct weir_node_id id)
{
    size_t i = node_place(b, id);
    return i < b->nodes.n && b->nodes.p[i]->m.info.node.v == id.v ? b->nodes.p[i] : NULL;
}

struct weir_wall weir_bill_clamp(const struct bill_node *n, struct weir_wall at)
{
    int64_t most = weir_i64_add_sat(n->m.opened.us, WEIR_BILL_SPAN_MAX);
    int64_t us = at.us > most ? most : at.us;
    return (struct weir_wall){us < n->now.us ? n->now.us : us};
}

static int check_range(int64_t v, int64_t min, int64_t max, const char *field, uint64_t node, struct weir_err *err)
{
    return v >= min && v <= max
               ? 0
               : weir_fail(err, -WEIR_EINVAL, "node %" PRIu64 ": %s is %" PRId64 ", must be %" PRId64 " to %" PRId64,
                           node, field, v, min, max);
}

static int check_node(const struct weir_bill_node *n, struct weir_err *err)
{
    const struct weir_owned_cost *c = &n->cost;
    const struct {
        bool when;
        int64_t v;
        int64_t min;
        int64_t max;
        const char *field;
    } rows[] = {
        {true, n->node.v > INT64_MAX ? 0 : (int64_t)n->node.v, 1, INT64_MAX, "id"},
        {true, n->gpus, 0, WEIR_BILL_GPUS_MAX, "gpus"},
        {true, n->cpu_milli, 0, WEIR_BILL_CPU_MAX, "cpu_milli"},
        {n->owned, (int64_t)n->lease.v, 0, 0, "lease of an owned node"},
        {n->owned, c->purchase_micro, 0, WEIR_BILL_PURCHASE_MAX, "purchase"},
        {n->owned, c->residual_micro, 0, c->purchase_micro, "residual value"},
        {n->owned, c->life.us, 1, WEIR_BILL_SPAN_MAX, "life in microseconds"},
        {n->owned, c->upkeep_micro_per_year, 0, WEIR_BILL_UPKEEP_MAX, "upkeep per year"},
        {n->owned, c->tariff_micro_per_kwh, 0, WEIR_BILL_TARIFF_MAX, "energy tariff"},
        {true, c->pue_milli, n->owned || c->busy_watts > 0 ? 1000 : 0, WEIR_BILL_PUE_MAX, "PUE in thousandths"},
        {true, c->idle_watts, 0, WEIR_BILL_WATTS_MAX, "idle watts"},
        {true, c->busy_watts, c->idle_watts, WEIR_BILL_WATTS_MAX, "busy watts"},
        {true, c->carbon_ug_per_kwh, 0, WEIR_BILL_CARBON_MAX, "carbon in micrograms per kWh"},
        {!n->owned, n->lease.v > INT64_MAX ? 0 : (int64_t)n->lease.v, 1, INT64_MAX, "lease of a rented node"},
        {!n->owned, n->price_micro_per_hour, 0, WEIR_BILL_RATE_MAX, "price per hour"},
        {n->currency[0] != '\0', n->rate_nano, 1, INT64_MAX, "rate of exchange"},
        {!n->owned, n->quantum.us, 0, WEIR_US_PER_YEAR, "billing quantum"},
        {!n->owned, n->minimum.us, 0, WEIR_US_PER_YEAR, "billing minimum"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        int r = rows[i].when ? check_range(rows[i].v, rows[i].min, rows[i].max, rows[i].field, n->node.v, err) : 0;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

void weir_bill_mark_changed(struct weir_bill *b, struct bill_node *n)
{
    if (!n->changed) {
        n->changed = true;
        weir_vec_push(&b->changed, n->m.info.node);
    }
}

static void set_whole(struct bill_node *n)
{
    uint64_t gpus = n->m.info.gpus == 0 ? 1 : n->m.info.gpus;
    uint64_t cpu = n->m.info.cpu_milli == 0 ? 1 : n->m.info.cpu_milli;
    n->whole = gpus * cpu;
}

static int node_add(struct weir_bill *b, const struct weir_meter *m, struct bill_node **ret, struct weir_err *err)
{
    int r = check_node(&m->info, err);
    if (r < 0) {
        return r;
    }
    size_t at = node_place(b, m->info.node);
    if (at < b->nodes.n && b->nodes.p[at]->m.info.node.v == m->info.node.v) {
        return weir_fail(err, -WEIR_EEXISTS, "node %" PRIu64 " is already metered", m->info.node.v);
    }
    struct bill_node *n = weir_alloc(sizeof *n);
    n->m = *m;
    n->now = m->until;
    n->proven = m->until;
    set_whole(n);
    weir_vec_push(&b->nodes, n);
    memmove(b->nodes.p + at + 1, b->nodes.p + at, (b->nodes.n - 1 - at) * sizeof *b->nodes.p);
    b->nodes.p[at] = n;
    *ret = n;
    return 0;
}

/* A rented machine is found to be of another size; its provider charges on. */
static int node_resize(struct weir_bill *b, struct bill_node *n, const struct weir_bill_node *as, struct weir_wall at, struct weir_err *err)
{
    struct weir_bill_node info = n->m.info;
    info.gpus = as->gpus;
    info.cpu_milli = as->cpu_milli;
    info.cost = as->cost;
    int r = check_node(&info, err);
    if (r < 0) {
        return r;
    }
    for (uint32_t i = n->first; i != 0; i = b->segments.p[i - 1].next) {
        if (!b->segments.p[i - 1].closed) {
            return weir_fail(err, -WEIR_EINVAL, "node %" PRIu64 ": it cannot change its size with a run on it", info.node.v);
        }
    }
    weir_bill_advance(b, n, weir_bill_clamp(n, at));
    weir_bill_post(b, n, at);
    n->m.info = info;
    n->m.remainder[WEIR_ACCOUNT_ENERGY] = 0; /* a rest of another division */
    set_whole(n);
    return 0;
}

int weir_bill_node_open(struct weir_bill *b, const struct weir_bill_node *n, struct weir_wall at, struct weir_err *err)
{
    weir_bill_forget_taken(b);
    struct bill_node *there = n->owned ? NULL : weir_bill_node_find(b, n->node);
    if (there != NULL && !there->m.info.owned && there->m.info.lease.v == n->lease.v) {
        return node_resize(b, there, n, at, err);
    }
    if (at.us <= 0 || at.us > INT64_MAX - 2 * WEIR_BILL_SPAN_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "node %" PRIu64 ": the time of its opening is not valid", n->node.v);
    }
    struct weir_meter m = {.info = *n, .opened = at, .ready = {n->owned ? at.us : 0}, .until = at};
    struct bill_node *made = NULL;
    int r = node_add(b, &m, &made, err);
    if (r < 0) {
        return r;
    }
    weir_bill_mark_changed(b, made);
    return 0;
}

void weir_bill_node_ready(struct weir_bill *b, struct weir_node_id node, struct weir_wall at)
{
    weir_bill_forget_taken(b);
    struct bill_node *n = weir_bill_node_find(b, node);
    if (n == NULL || !weir_bill_is_booting(n)) {
        return;
    }
    weir_bill_advance(b, n, weir_bill_clamp(n, at));
    weir_bill_post(b, n, at);
    n->m.ready = n->now;
}

/* ---- segments ---- */

static uint64_t run_hash(struct weir_run_id run)
{
    return run.task.job.v ^ ((uint64_t)run.task.ordinal << 32 | run.attempt) * UINT64_C(0x9e3779b97f4a7c15); /* maps mix */
}

/* Negative where a comes first. */
static int segment_order(const struct weir_bill_segment *a, const struct weir_bill_segment *b)
{
    if (a->run.task.job.v != b->run.task.job.v) {
        return a->run.task.job.v < b->run.task.job.v ? -1 : 1;
    }
    if (a->run.task.ordinal != b->run.task.ordinal) {
        return a->run.task.ordinal < b->run.task.ordinal ? -1 : 1;
    }
    if (a->run.attempt != b->run.attempt) {
        return a->run.attempt < b->run.attempt ? -1 : 1;
    }
    return (a->rank > b->rank) - (a->rank < b->rank);
}

/* The node's segment that the new one comes behind, index + 1; 0: it comes first. */
static uint32_t segment_before(const struct weir_bill *b, const struct bill_node *n, const struct weir_bill_segment *s)
{
    uint32_t at = n->last; /* mostly the new one is the last */
    while (at != 0) {
        int c = segment_order(&b->segments.p[at - 1].info, s);
        /* what is closed waits for its posting and stands before one that was opened again */
        if (c < 0 || (c == 0 && b->segments.p[at - 1].closed)) {
            break;
        }
        at = b->segments.p[at - 1].prev;
    }
    return at;
}

/* The open one; NULL where there is none. */
static struct bill_segment *segment_find(struct weir_bill *b, const struct bill_node *n, struct weir_run_id run, uint32_t rank)
{
    const struct weir_bill_segment key = {.run = run, .rank = rank};
    uint64_t head = 0;
    if (!weir_map_get(&b->runs, run_hash(run), &head)) {
        return NULL;
    }
    /* of a run over many nodes it is sought on the node */
    bool alone = b->segments.p[head - 1].next_of_run == 0;
    for (uint32_t i = alone ? (uint32_t)head : n->first; i != 0; i = alone ? 0 : b->segments.p[i - 1].next) {
        struct bill_segment *s = &b->segments.p[i - 1];
        if (!s->closed && s->info.node.v == n->m.info.node.v && segment_order(&s->info, &key) == 0) {
            return s;
        }
    }
    return NULL;
}

/* The larger of the shares of GPUs and of cores, in parts of the node's whole. */
static uint64_t part_of(const struct bill_node *n, const struct weir_bill_segment *s)
{
    const struct weir_bill_node *i = &n->m.info;
    if (i->gpus == 0 && i->cpu_milli == 0) {
        return n->whole;
    }
    uint64_t by_gpu = i->gpus == 0 ? 0 : (uint64_t)s->gpus * (n->whole / i->gpus);
    uint64_t by_cpu = i->cpu_milli == 0 ? 0 : (uint64_t)s->cpu_milli * (n->whole / i->cpu_milli);
    return by_gpu > by_cpu ? by_gpu : by_cpu;
}

static int segment_add(struct weir_bill *b, const struct weir_bill_segment *s, struct weir_err *err)
{
    struct bill_node *n = weir_bill_node_find(b, s->node);
    if (n == NULL) {
        return 0;
    }
    if (s->gpus > WEIR_BILL_GPUS_MAX || s->cpu_milli > WEIR_BILL_CPU_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "run of job %" PRIu64 " on node %" PRIu64 ": %s is out of range",
                         s->run.task.job.v, s->node.v, s->gpus > WEIR_BILL_GPUS_MAX ? "gpus" : "cpu_milli");
    }
    if (s->posted_micro < 0 || s->posted_kept_micro < 0 || s->posted_kept_micro > s->posted_micro) {
        return weir_fail(err, -WEIR_EINVAL, "run of job %" PRIu64 " on node %" PRIu64 ": what was posted is not sound",
                         s->run.task.job.v, s->node.v);
    }
    uint32_t before = segment_before(b, n, s);
    uint32_t after = before == 0 ? n->first : b->segments.p[before - 1].next;
    if (after != 0 && segment_order(&b->segments.p[after - 1].info, s) == 0) {
        return weir_fail(err, -WEIR_EEXISTS, "a run of job %" PRIu64 " is already metered on node %" PRIu64,
                         s->run.task.job.v, s->node.v);
    }
    uint32_t index = b->free_segment;
    if (index == 0) {
        WEIR_ASSERT(b->segments.n < UINT32_MAX - 1);
        weir_vec_push(&b->segments, (struct bill_segment){0});
        index = (uint32_t)b->segments.n;
    } else {
        b->free_segment = b->segments.p[index - 1].next;
    }
    uint64_t hash = run_hash(s->run);
    uint64_t head = 0;
    (void)weir_map_get(&b->runs, hash, &head);
    b->segments.p[index - 1] = (struct bill_segment){.next = after,
                                                     .prev = before,
                                                     .next_of_run = (uint32_t)head,
                                                     .info = *s,
                                                     .from = weir_bill_clamp(n, s->from),
                                                     .part = part_of(n, s)};
    *(before == 0 ? &n->first : &b->segments.p[before - 1].next) = index;
    *(after == 0 ? &n->last : &b->segments.p[after - 1].prev) = index;
    if (head != 0) {
        b->segments.p[head - 1].prev_of_run = index;
    }
    weir_map_put(&b->runs, hash, index);
    weir_bill_segment_begin(b, n, index - 1);
    return 0;
}

void weir_bill_segment_drop(struct weir_bill *b, struct bill_node *n, uint32_t index)
{
    struct bill_segment *s = &b->segments.p[index];
    *(s->prev == 0 ? &n->first : &b->segments.p[s->prev - 1].next) = s->next;
    *(s->next == 0 ? &n->last : &b->segments.p[s->next - 1].prev) = s->prev;
    if (s->next_of_run != 0) {
        b->segments.p[s->next_of_run - 1].prev_of_run = s->prev_of_run;
    }
    if (s->prev_of_run != 0) {
        b->segments.p[s->prev_of_run - 1].next_of_run = s->next_of_run;
    } else if (s->next_of_run != 0) {
        weir_map_put(&b->runs, run_hash(s->info.run), s->next_of_run);
    } else {
        bool found = weir_map_remove(&b->runs, run_hash(s->info.run));
        WEIR_ASSERT(found);
    }
    s->next = b->free_segment;
    b->free_segment = index + 1;
}

int weir_bill_segment_open(struct weir_bill *b, const struct weir_bill_segment *s, struct weir_err *err)
{
    weir_bill_forget_taken(b);
    return segment_add(b, s, err);
}

void weir_bill_segment_checkpoint(struct weir_bill *b, struct weir_run_id run, struct weir_wall at)
{
    weir_bill_forget_taken(b);
    uint64_t head = 0;
    (void)weir_map_get(&b->runs, run_hash(run), &head);
    uint32_t next;
    for (uint32_t i = (uint32_t)head; i != 0; i = next) {
        next = b->segments.p[i - 1].next_of_run;
        struct bill_segment *s = &b->segments.p[i - 1];
        if (!weir_run_id_eq(s->info.run, run) || s->closed) {
            continue;
        }
        /* a span ends here, so that what is kept can be told from the ledger alone */
        struct bill_node *n = weir_bill_node_find(b, s->info.node);
        WEIR_ASSERT(n != NULL);
        weir_bill_advance(b, n, weir_bill_clamp(n, at));
        s->info.checkpointed = n->now;
        weir_bill_post(b, n, at);
        s->info.posted_kept_micro = s->info.posted_micro;
    }
}

static void segment_end(struct weir_bill *b, struct bill_node *n, struct bill_segment *s, struct weir_wall at,
                        enum weir_outcome outcome, struct weir_wall kept_until)
{
    struct weir_wall t = weir_bill_clamp(n, at);
    if (t.us < s->from.us) {
        t = s->from;
    }
    weir_bill_advance(b, n, t);
    weir_bill_segment_stop(n, s);
    s->closed = true;
    s->outcome = (uint8_t)outcome;
    s->closed_at = t;
    s->kept_until = kept_until;
    if (!n->dirty) {
        n->dirty = true;
        weir_vec_push(&b->dirty, n->m.info.node);
    }
}

void weir_bill_segment_close(struct weir_bill *b,
                             struct weir_node_id node,
                             struct weir_run_id run,
                             uint32_t rank,
                             struct weir_wall at,
                             enum weir_outcome outcome,
                             struct weir_wall kept_until)
{
    weir_bill_forget_taken(b);
    struct bill_node *n = weir_bill_node_find(b, node);
    struct bill_segment *s = n == NULL ? NULL : segment_find(b, n, run, rank);
    if (s != NULL) {
        segment_end(b, n, s, at, outcome, kept_until);
    }
}

/* Closed in this transaction, so that it is not posted yet. */
static struct bill_segment *segment_just_closed(struct weir_bill *b, const struct weir_bill_segment *s)
{
    const struct bill_node *n = weir_bill_node_find(b, s->node);
    for (uint32_t i = n == NULL ? 0 : n->first; i != 0; i = b->segments.p[i - 1].next) {
        struct bill_segment *x = &b->segments.p[i - 1];
        if (x->closed && x->outcome == WEIR_OUTCOME_PENDING && segment_order(&x->info, s) == 0) {
            return x;
        }
    }
    return NULL;
}

void weir_bill_segment_verdict(struct weir_bill *b,
                               struct weir_node_id node,
                               struct weir_run_id run,
                               uint32_t rank,
                               struct weir_wall at,
                               enum weir_outcome outcome,
                               struct weir_wall kept_until)
{
    weir_bill_forget_taken(b);
    const struct weir_bill_segment key = {.node = node, .run = run, .rank = rank};
    struct bill_segment *s = segment_just_closed(b, &key);
    if (s != NULL) {
        s->outcome = (uint8_t)outcome;
        s->kept_until = kept_until;
        return;
    }
    for (size_t i = 0; i < b->pending.n; i++) {
        const struct weir_bill_pending p = b->pending.p[i];
        if (p.segment.node.v != node.v || segment_order(&p.segment, &key) != 0) {
            continue;
        }
        struct weir_wall until = p.segment.posted_until;
        struct bill_node n = {.m = {.info = {.node = node, .lease = p.lease, .pool = p.pool, .rate_nano = p.rate_nano}, .until = until}, .now = until};
        memcpy(n.m.info.currency, p.currency, sizeof p.currency);
        struct bill_segment x = {.info = p.segment, .closed = true, .outcome = (uint8_t)outcome, .kept_until = kept_until};
        b->pending.p[i] = b->pending.p[--b->pending.n];
        weir_bill_correct(b, &n, &x, at);
        return;
    }
}

/* ---- energy, closing, settling ---- */

void weir_bill_energy(struct weir_bill *b, struct weir_node_id node, struct weir_wall at, uint64_t counter_mj)
{
    weir_bill_forget_taken(b);
    struct bill_node *n = weir_bill_node_find(b, node);
    if (n != NULL && n->m.info.owned) {
        weir_bill_energy_take_reading(n, weir_bill_clamp(n, at), counter_mj);
        weir_bill_mark_changed(b, n);
    }
}

/* A settle at that time goes so far: of a rented machine to where it was seen last, where proof is wanted. */
static struct weir_wall settled_to(const struct weir_bill *b, const struct bill_node *n, struct weir_wall now)
{
    bool is_held = b->wants_proof && !n->m.info.owned && n->proven.us < now.us;
    return weir_bill_clamp(n, is_held ? n->proven : now);
}

static void reprice(struct weir_bill *b, struct bill_node *n, struct weir_wall now, weir_owned_cost_fn *fn, void *ctx)
{
    struct weir_wall last = n->m.info.owned ? now : settled_to(b, n, now);
    for (struct weir_wall at = n->now; at.us <= last.us;) {
        struct weir_bill_node as = n->m.info;
        struct weir_wall until = fn(ctx, &n->m.info, at, &as.cost);
        if (!weir_owned_cost_eq(&as.cost, &n->m.info.cost) && check_node(&as, NULL) == 0) {
            weir_bill_advance(b, n, weir_bill_clamp(n, at));
            weir_bill_post(b, n, now);
            if (as.cost.life.us != n->m.info.cost.life.us) {
                n->m.remainder[WEIR_ACCOUNT_DEPRECIATION] = 0; /* a rest of another division */
            }
            n->m.info.cost = as.cost;
        }
        WEIR_ASSERT(until.us > at.us);
        at = until;
    }
}

void weir_bill_node_reprice(struct weir_bill *b, struct weir_node_id node, struct weir_wall now, weir_owned_cost_fn *fn, void *ctx)
{
    weir_bill_forget_taken(b);
    struct bill_node *n = weir_bill_node_find(b, node);
    if (n != NULL) {
        reprice(b, n, now, fn, ctx);
    }
}

void weir_bill_reprice(struct weir_bill *b, struct weir_wall now, weir_owned_cost_fn *fn, void *ctx)
{
    weir_bill_forget_taken(b);
    for (size_t i = 0; i < b->nodes.n; i++) {
        reprice(b, b->nodes.p[i], now, fn, ctx);
    }
}

struct weir_wall weir_bill_node_price(struct weir_bill *b, struct weir_node_id node, struct weir_wall at, int64_t price_micro_per_hour)
{
    weir_bill_forget_taken(b);
    struct bill_node *n = weir_bill_node_find(b, node);
    if (n == NULL || n->m.info.owned || price_micro_per_hour == n->m.info.price_micro_per_hour || price_micro_per_hour < 0 ||
        price_micro_per_hour > WEIR_BILL_RATE_MAX) {
        return (struct weir_wall){0};
    }
    weir_bill_advance(b, n, settled_to(b, n, at));
    weir_bill_post(b, n, at.us < n->now.us ? n->now : at);
    weir_bill_price_take(n, at, price_micro_per_hour);
    return n->m.priced;
}

void weir_bill_node_close(struct weir_bill *b, struct weir_node_id node, struct weir_wall at)
{
    weir_bill_forget_taken(b);
    struct bill_node *n = weir_bill_node_find(b, node);
    if (n == NULL) {
        return;
    }
    weir_bill_advance(b, n, weir_bill_clamp(n, at));
    for (uint32_t i = n->first; i != 0; i = b->segments.p[i - 1].next) {
        struct bill_segment *s = &b->segments.p[i - 1];
        if (!s->closed) {
            weir_bill_segment_stop(n, s);
            s->closed = true;
            s->outcome = WEIR_OUTCOME_USED;
            s->closed_at = n->now;
        }
    }
    n->due = 0;
    weir_bill_post(b, n, at);
    weir_bill_post_rounding(b, n, at);
    n->m.closed = true;
    weir_vec_push(&b->meters, n->m);
    size_t place = node_place(b, node);
    memmove(b->nodes.p + place, b->nodes.p + place + 1, (b->nodes.n - place - 1) * sizeof *b->nodes.p);
    b->nodes.n--;
    free(n);
}

void weir_bill_want_proof(struct weir_bill *b)
{
    b->wants_proof = true;
}

void weir_bill_node_proven(struct weir_bill *b, struct weir_node_id node, struct weir_wall at)
{
    struct bill_node *n = weir_bill_node_find(b, node);
    if (n != NULL && at.us > n->proven.us) {
        n->proven = at;
    }
}

void weir_bill_settle(struct weir_bill *b, struct weir_wall now, bool all)
{
    weir_bill_forget_taken(b);
    if (all) {
        for (size_t i = 0; i < b->nodes.n; i++) {
            struct bill_node *n = b->nodes.p[i];
            weir_bill_advance(b, n, settled_to(b, n, now));
            weir_bill_post(b, n, now);
        }
    } else {
        for (size_t i = 0; i < b->dirty.n; i++) {
            struct bill_node *n = weir_bill_node_find(b, b->dirty.p[i]);
            if (n != NULL && n->dirty) {
                weir_bill_post(b, n, now);
            }
        }
    }
    weir_vec_clear(&b->dirty);
}

void weir_bill_take(struct weir_bill *b,
                    const struct weir_posting **ret_posting,
                    size_t *ret_n_postings,
                    const struct weir_meter **ret_meter,
                    size_t *ret_n_meters)
{
    weir_bill_forget_taken(b);
    for (size_t i = 0; i < b->changed.n; i++) {
        struct bill_node *n = weir_bill_node_find(b, b->changed.p[i]);
        if (n != NULL && n->changed) {
            n->changed = false;
            weir_vec_push(&b->meters, n->m);
        }
    }
    weir_vec_clear(&b->changed);
    b->taken = true;
    *ret_posting = b->postings.p;
    *ret_n_postings = b->postings.n;
    *ret_meter = b->meters.p;
    *ret_n_meters = b->meters.n;
}

/* ---- after a restart ---- */

int weir_bill_restore_meter(struct weir_bill *b, const struct weir_meter *m, struct weir_err *err)
{
    weir_bill_forget_taken(b);
    bool sound = m->opened.us > 0 && m->until.us >= m->opened.us &&
                 m->until.us - m->opened.us <= WEIR_BILL_SPAN_MAX && m->opened.us <= INT64_MAX - 2 * WEIR_BILL_SPAN_MAX &&
                 (m->ready.us == 0 || (m->ready.us >= m->opened.us && m->ready.us <= m->until.us)) && !m->closed &&
                 (m->priced.us == 0 || (m->priced.us >= m->opened.us && m->priced.us <= m->until.us)) && m->priced_micro >= 0 &&
                 m->provider_posted_micro >= 0 && (!m->info.owned || m->ready.us != 0) &&
                 m->energy_mj <= (uint64_t)INT64_MAX && m->energy_posted_mj <= (uint64_t)INT64_MAX;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(m->remainder); i++) {
        sound = sound && m->remainder[i] >= 0;
    }
    if (!sound) {
        return weir_fail(err, -WEIR_EINVAL, "meter of node %" PRIu64 " is not sound", m->info.node.v);
    }
    struct bill_node *made = NULL;
    int r = node_add(b, m, &made, err);
    if (r == 0 && m->until.us > b->last_at.us) {
        b->last_at = m->until;
    }
    return r;
}

int weir_bill_restore_segment(struct weir_bill *b, const struct weir_bill_segment *s, struct weir_err *err)
{
    weir_bill_forget_taken(b);
    return segment_add(b, s, err);
}

int weir_bill_restore_pending(struct weir_bill *b, const struct weir_bill_pending *p, struct weir_err *err)
{
    const struct weir_bill_segment *s = &p->segment;
    weir_bill_forget_taken(b);
    if (s->posted_micro < 0 || s->posted_kept_micro < 0 || s->posted_kept_micro > s->posted_micro) {
        return weir_fail(err, -WEIR_EINVAL, "run of job %" PRIu64 " on node %" PRIu64 ": what was posted is not sound",
                         s->run.task.job.v, s->node.v);
    }
    weir_vec_push(&b->pending, *p);
    return 0;
}
