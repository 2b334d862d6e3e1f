/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planning. What is weighed in a step: classes that got a task, classes that fit on a node which gained
 * room, classes that fit somewhere but were kept from it, and, when offers or leases changed and every
 * REVIEW_PERIOD_S while something could be rented, all. Each is a function of state and event, so that
 * a restored core weighs the same ones.
 *
 * They are taken in queue order. Whatever comes before the one being weighed and cannot start holds a
 * claim. One step takes PLAN_BUDGET decisions at most; then wake_at is now and the next step goes on.
 */

#include "core/core_priv.h"

/* ---- the heap of classes to weigh ---- */

static void heap_down(struct weir_core *c, size_t i)
{
    struct class *x = c->heap.p[i];
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= c->heap.n) {
            break;
        }
        if (k + 1 < c->heap.n &&
            queue_key_cmp(&c->heap.p[k + 1]->key, &c->heap.p[k]->key) < 0) {
            k++;
        }
        if (queue_key_cmp(&c->heap.p[k]->key, &x->key) >= 0) {
            break;
        }
        c->heap.p[i] = c->heap.p[k];
        i = k;
    }
    c->heap.p[i] = x;
}

static void heap_push(struct weir_core *c, struct class *cl)
{
    if (cl->in_heap || cl->first == NULL) {
        return;
    }
    cl->in_heap = true;
    cl->key = class_key(c, cl);
    weir_vec_push(&c->heap, cl);
    size_t i = c->heap.n - 1;
    while (i > 0 && queue_key_cmp(&cl->key, &c->heap.p[(i - 1) / 2]->key) < 0) {
        c->heap.p[i] = c->heap.p[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    c->heap.p[i] = cl;
}

/* The first in queue order. Keys only grow while planning, so one that grew goes back in. */
static struct class *heap_pop(struct weir_core *c)
{
    while (c->heap.n > 0) {
        struct class *cl = c->heap.p[0];
        if (cl->first != NULL) {
            struct queue_key now = class_key(c, cl);
            if (queue_key_cmp(&now, &cl->key) != 0) {
                cl->key = now;
                heap_down(c, 0);
                continue;
            }
        }
        cl->in_heap = false;
        c->heap.p[0] = c->heap.p[--c->heap.n];
        if (c->heap.n > 0) {
            heap_down(c, 0);
        }
        if (cl->first != NULL) {
            return cl;
        }
    }
    return NULL;
}

/* What the last step left undone, under today's keys. */
static void heap_renew(struct weir_core *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->heap.n; i++) {
        struct class *cl = c->heap.p[i];
        if (cl->first == NULL) {
            cl->in_heap = false;
            continue;
        }
        cl->key = class_key(c, cl);
        c->heap.p[n++] = cl;
    }
    c->heap.n = n;
    for (size_t i = n / 2; i-- > 0;) {
        heap_down(c, i);
    }
}

/* ---- what to weigh ---- */

static void push_shape(struct weir_core *c, struct shape *s)
{
    for (struct class *cl = s->classes; cl != NULL; cl = cl->shape_next) {
        heap_push(c, cl);
    }
}

static bool fits_on(struct weir_core *c, const struct hot_shape *h, const struct node *n)
{
    if (!node_fits(n, h->gpus, h->cpu_milli, h->mem_mib)) {
        return false;
    }
    struct type_fit f = shape_fit(c, h->shape, n->type);
    return f.verdict == WEIR_VERDICT_CHOSEN && popcount32(n->free_mask) >= f.gpus;
}

static void gather(struct weir_core *c)
{
    for (size_t i = 0; i < c->fresh.n; i++) {
        heap_push(c, c->fresh.p[i]);
    }
    weir_vec_clear(&c->fresh);
    for (size_t i = 0; i < c->grown.n; i++) {
        struct node *n = c->grown.p[i];
        n->grown = false;
        if (!node_takes_work(n)) {
            continue;
        }
        for (size_t k = 0; k < c->hot.n; k++) {
            if (fits_on(c, &c->hot.p[k], n)) {
                push_shape(c, c->hot.p[k].shape);
            }
        }
    }
    weir_vec_clear(&c->grown);
    if (c->review) {
        for (size_t k = 0; k < c->hot.n; k++) {
            push_shape(c, c->hot.p[k].shape);
        }
        c->review = false;
    }
}

static void gather_hungry(struct weir_core *c)
{
    for (size_t i = 0; i < c->hungry.n;) {
        struct class *cl = c->hungry.p[i];
        if (cl->first != NULL && place_any(c, cl->shape)) {
            heap_push(c, cl);
            i++;
        } else {
            cl->hungry = false;
            c->hungry.p[i] = c->hungry.p[--c->hungry.n];
        }
    }
}

static void note_hungry(struct weir_core *c, struct class *cl)
{
    if (!cl->hungry && place_any(c, cl->shape)) {
        cl->hungry = true;
        weir_vec_push(&c->hungry, cl);
    }
}

/* The first classes of the queue: those of them that are not weighed hold claims. */
static void take_order(struct weir_core *c)
{
    weir_vec_clear(&c->order);
    for (size_t i = 0; i < c->levels.n && c->order.n < c->conf.reservations_max; i++) {
        struct level *l = c->levels.p[i];
        level_sort(c, l);
        for (size_t k = 0; k < l->lane.n; k++) {
            const struct lane *lane = l->lane.p[k];
            for (size_t m = 0; m < lane->class.n; m++) {
                if (c->order.n == c->conf.reservations_max) {
                    return;
                }
                weir_vec_push(&c->order, lane->class.p[m]);
            }
        }
    }
}

static size_t claim_those_before(struct weir_core *c, struct class *cl, size_t at)
{
    while (at < c->order.n && c->claims_used < c->conf.reservations_max) {
        struct class *x = c->order.p[at];
        if (x == cl) {
            break;
        }
        if (x->first != NULL && !x->in_heap && x->waited != c->round) {
            struct queue_key k = class_key(c, x);
            if (queue_key_cmp(&k, &cl->key) > 0) {
                break;
            }
            (void)claim_push(c, x);
        }
        at++;
    }
    return at;
}

static bool may_spill(const struct weir_core *c, const struct class *cl)
{
    return cl->n_waiting > 1 && cl->shape->req.local != WEIR_LOCAL_ONLY &&
           ((c->conf.spill && c->offers.n > 0) || c->leases_live > 0);
}

/* The class's first task waits; those behind it wait longer, so another way may pay for them. */
static bool spill_tail(struct weir_core *c, struct class *cl)
{
    bool placed = false;
    while (c->budget > 0 && may_spill(c, cl)) {
        c->budget--;
        if (decide(c, cl, true) != DECIDED_PLACED) {
            break;
        }
        placed = true;
    }
    return placed;
}

static bool drain_heap(struct weir_core *c)
{
    bool placed = false;
    size_t at = 0;
    c->round++;
    c->claims_used = 0;
    take_order(c);
    while (c->budget > 0) {
        struct class *cl = heap_pop(c);
        if (cl == NULL) {
            break;
        }
        at = claim_those_before(c, cl, at);
        c->budget--;
        if (decide(c, cl, false) == DECIDED_PLACED) {
            placed = true;
            heap_push(c, cl);
            continue;
        }
        cl->waited = c->round;
        placed = preempt(c, cl) || placed;
        if (c->claims_used < c->conf.reservations_max) {
            (void)claim_push(c, cl);
        }
        placed = spill_tail(c, cl) || placed;
        note_hungry(c, cl);
    }
    return placed;
}

/* ---- the step ---- */

static bool reviews_matter(const struct weir_core *c)
{
    return c->hot.n > 0 &&
           ((c->conf.spill && c->offers.n > 0) || c->hungry.n > 0 || c->leases_live > 0);
}

void plan(struct weir_core *c)
{
    const int64_t period = REVIEW_PERIOD_S * WEIR_US_PER_S;
    if (c->now_us / period != c->reviewed_us / period && reviews_matter(c)) {
        c->review = true;
    }
    c->reviewed_us = c->now_us;
    c->budget = PLAN_BUDGET;
    heap_renew(c);
    gather(c);
    bool again = true;
    while (again && c->budget > 0) {
        gather_hungry(c);
        again = false;
        if (c->heap.n > 0) {
            claims_revalidate(c);
            again = drain_heap(c); /* shares and claims moved: what was kept back may go now */
        }
        if (c->heap.n == 0 && !again) {
            again = leases_sweep(c); /* and claims stood on what boots for nobody */
        }
    }
}

int64_t plan_wake_us(struct weir_core *c)
{
    const int64_t period = REVIEW_PERIOD_S * WEIR_US_PER_S;
    if (c->heap.n > 0) {
        return c->now_us;
    }
    int64_t t = max_i64(timers_next_us(c), c->now_us);
    if (reviews_matter(c)) {
        t = min_i64(t, (c->now_us / period + 1) * period);
    }
    return t;
}
