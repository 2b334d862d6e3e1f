/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planning. What is weighed in a step: classes that got a task, classes that fit on a node which gained
 * room, classes that fit somewhere but were kept from it, and, when offers or leases changed and every
 * review_period while something waits, all. Each is a function of state and event, so that
 * a restored core weighs the same ones.
 *
 * They are taken in queue order. Whatever comes before the one being weighed and cannot start holds a
 * claim. One step takes PLAN_BUDGET decisions at most; then wake_at is now and the next step goes on.
 */

#include <string.h>

#include "core/decide_priv.h"

/* ---- what to weigh ---- */

static void push_all(struct weir_core *c)
{
    for (size_t i = 0; i < c->levels.n; i++) {
        for (size_t k = 0; k < c->levels.p[i]->lane.n; k++) {
            const struct lane *lane = c->levels.p[i]->lane.p[k];
            for (size_t m = 0; m < lane->class.n; m++) {
                lane_heap_push(c, lane->class.p[m], false);
            }
        }
    }
}

/*
 * The first of the queue, and what has a deadline, which time alone may bring nearer; of the others, where they are many,
 * each in its turn: which one is a matter of its first job's id and the time.
 */
static void push_due(struct weir_core *c, int64_t period)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->levels.n; i++) {
        for (size_t k = 0; k < c->levels.p[i]->lane.n; k++) {
            n += c->levels.p[i]->lane.p[k]->class.n;
        }
    }
    const uint64_t turns = n <= 2 * REVIEW_LOOKS ? 1 : (n - 1) / REVIEW_LOOKS;
    const uint64_t turn = (uint64_t)(c->now_us / period) % turns;
    uint64_t seen = 0;
    for (size_t i = 0; i < c->levels.n; i++) {
        struct level *l = c->levels.p[i];
        if (seen < REVIEW_LOOKS) {
            level_sort(c, l);
        }
        for (size_t k = 0; k < l->lane.n; k++) {
            const struct lane *lane = l->lane.p[k];
            for (size_t m = 0; m < lane->class.n; m++) {
                if (seen++ < REVIEW_LOOKS || lane->class.job[m] % turns == turn || (lane->n_dated > 0 && lane->class.p[m]->deadline_us != 0)) {
                    lane_heap_push(c, lane->class.p[m], false);
                }
            }
        }
    }
}

static bool fits_on_grown(const struct weir_core *c, const struct want *w)
{
    for (size_t i = 0; i < c->grown.n; i++) {
        const struct node *n = c->grown.p[i];
        if ((w->fits >> type_bit(n->type) & 1u) != 0 && want_fits_on(w, n)) {
            return true;
        }
    }
    return false;
}

/* What got a task is weighed; where a budget has no room for it, it is told why it waits. */
static void push_fresh(struct weir_core *c)
{
    for (size_t i = 0; i < c->fresh.n; i++) {
        struct class *cl = c->fresh.p[i];
        if (cl->parked) {
            limits_say(c, cl);
        } else {
            lane_heap_push(c, cl, false);
        }
    }
    weir_vec_clear(&c->fresh);
}

static void gather(struct weir_core *c, int64_t period)
{
    push_fresh(c);
    if (c->review) {
        push_all(c);
    } else if (c->review_due) {
        push_due(c, period);
    }
    if (c->review || c->review_due) {
        c->review = false;
        c->review_due = false;
        claims_regroup(c); /* what joined groups may wait no more */
    }
    c->growth_looks = c->grown.n > 0 ? GROWTH_LOOKS : 0;
    c->preempts_from = c->hot.n > 0 ? preempts_from(c) : 0;
    c->growth_fed = false;
}

static bool wants_so_few(const struct weir_core *c, uint32_t gpus)
{
    uint32_t k = 0;
    while (k <= gpus && c->hot_by_gpus[k] == 0) {
        k++;
    }
    return k <= gpus;
}

/* Does anything that waits fit on a node that gained room? */
static bool growth_goes_on(const struct weir_core *c)
{
    for (size_t i = 0; i < c->grown.n; i++) {
        const struct node *n = c->grown.p[i];
        if (!n->usable || !wants_so_few(c, popcount32(n->free_mask))) {
            continue;
        }
        for (size_t k = 0; k < c->hot.n; k++) {
            if (want_fits_on(c->hot.p[k], n)) {
                return true;
            }
        }
    }
    return false;
}

/* Room that others gave back, or no longer claim, makes waiting shorter: nothing but a start there can come of it. */
static bool asks_for_room_only(const struct weir_core *c, const struct class *cl)
{
    return cl->limits == NULL && cl->priority < c->preempts_from;
}

/* Of a class that is weighed for room: is there any that it may use? Claims before it that are not settled may keep it. */
static bool has_open_place(struct weir_core *c, struct class *cl)
{
    if (cl->shape->req.nodes > 1) {
        return place_open(c, cl, c->grown.n == 0);
    }
    for (size_t i = 0; i < c->grown.n; i++) {
        if (place_open_on(c, cl, c->grown.p[i])) {
            return true;
        }
    }
    return cl->looked != c->seq && place_open(c, cl, true);
}

/* The lane's first class that fits on a node which gained room and was not looked at; NULL where there is none. */
static struct class *first_to_grow(struct weir_core *c, const struct lane *lane)
{
    struct class *best = NULL;
    for (size_t i = 0; i < lane->want.n; i++) {
        const struct lane_want *lw = lane->want.p[i];
        if (best != NULL && lw->head > best->head) {
            break; /* and so are all that follow */
        }
        if (!fits_on_grown(c, lw->want)) {
            continue;
        }
        /* a gang is looked at where there is room for all of it, or where it may make some */
        bool whole = lw->want->asks->nodes == 1 || place_any(c, lw->want);
        for (size_t m = 0; m < lw->class.n && (whole || lane->priority_most >= c->preempts_from); m++) {
            struct class *cl = lw->class.p[m];
            if (cl->looked != c->seq && !cl->in_heap && (whole || cl->priority >= c->preempts_from)) {
                best = best == NULL || cl->head < best->head ? cl : best;
                break;
            }
        }
    }
    return best;
}

/*
 * Puts the first class in queue order that fits on a node which gained room among those to weigh. One
 * at a time: usually the first takes the room, and the thousands that would fit too need no look.
 */
static void growth_feed(struct weir_core *c)
{
    if (c->growth_fed || c->growth_looks == 0) {
        return;
    }
    if (!growth_goes_on(c)) {
        c->growth_looks = 0;
        return;
    }
    for (size_t i = 0; i < c->levels.n; i++) {
        struct level *l = c->levels.p[i];
        level_sort(c, l);
        for (size_t k = 0; k < l->lane.n; k++) {
            struct class *cl = first_to_grow(c, l->lane.p[k]);
            if (cl != NULL) {
                cl->looked = c->seq;
                c->growth_fed = true;
                c->growth_looks--;
                lane_heap_push(c, cl, asks_for_room_only(c, cl));
                return;
            }
        }
    }
    c->growth_looks = 0;
}

/* The first to weigh, in queue order; NULL where there is none. */
static struct class *pop_next(struct weir_core *c)
{
    growth_feed(c);
    struct class *cl = queue_first(c);
    if (c->letting_in || c->eased) {
        struct queue_key key = cl == NULL ? (struct queue_key){0} : class_key(c, cl);
        (void)limits_let_in(c, cl == NULL ? NULL : &key);
        cl = queue_first(c); /* those that are let in by a share of their own may come first, whoever else is */
    }
    if (cl == NULL) {
        return NULL;
    }
    queue_pop(c, cl);
    if (cl->looked == c->seq) {
        c->growth_fed = false;
    }
    return cl;
}

/* The first classes of the queue: those of them that are not weighed hold claims. */
static void take_order(struct weir_core *c)
{
    weir_vec_clear(&c->order);
    for (size_t i = 0; i < c->levels.n && c->order.n < c->conf.reservations_max; i++) {
        struct level *l = c->levels.p[i];
        level_sort(c, l);
        for (size_t k = 0; k < l->lane.n; k++) {
            const struct class_list *all = &l->lane.p[k]->class;
            size_t n = c->conf.reservations_max - c->order.n;
            n = n < all->n ? n : all->n;
            weir_vec_reserve(&c->order, c->order.n + n);
            memcpy(&c->order.p[c->order.n], all->p, n * sizeof all->p[0]);
            c->order.n += n;
        }
    }
}

/* Claims moved: of the first classes, those that claims may have held back get another look. The order was taken. */
static void retry(struct weir_core *c)
{
    uint32_t n = 0;
    c->claims_moved = false;
    for (size_t i = 0; i < c->order.n && n < RETRY_LOOKS; i++) {
        if (place_any(c, c->order.p[i]->want)) {
            lane_heap_push(c, c->order.p[i], asks_for_room_only(c, c->order.p[i]));
            n++;
        }
    }
}

/* Those of the order, from at on, that come before the class and are not weighed themselves are owed claims. */
static size_t owe_those_before(struct weir_core *c, const struct class *cl, size_t at)
{
    struct queue_key key = class_key(c, cl);
    for (; at < c->order.n && c->due.n < c->conf.reservations_max; at++) {
        struct class *x = c->order.p[at];
        if (x == cl || x->first == NULL || x->parked || x->in_heap || x->waited == c->round) {
            continue;
        }
        struct queue_key k = class_key(c, x);
        if (queue_key_cmp(&k, &key) > 0) {
            break;
        }
        claims_owe(c, x);
    }
    return at;
}

void plan_claims_before(struct weir_core *c, struct class *cl)
{
    claims_revalidate(c);
    claims_begin(c);
    take_order(c);
    for (size_t i = 0; i < c->order.n && c->order.p[i] != cl; i++) {
        struct queue_key a = class_key(c, c->order.p[i]);
        struct queue_key b = class_key(c, cl);
        if (queue_key_cmp(&a, &b) < 0) {
            claims_owe(c, c->order.p[i]);
        }
    }
    claims_settle(c, cl);
}

static bool may_spill(const struct weir_core *c, const struct class *cl)
{
    return cl->n_waiting > 1 && cl->shape->req.local != WEIR_LOCAL_ONLY &&
           ((c->conf.spill && c->offers.n > 0) || c->leases_live > 0);
}

/* The class's first task waits; those behind it wait longer, so another way may pay for them. */
static bool spill_tail(struct weir_core *c, struct class *cl, struct outlook *x)
{
    bool placed = false;
    while (c->budget > 0 && may_spill(c, cl)) {
        c->budget--;
        if (decide_last(c, cl, x) != DECIDED_PLACED) {
            break;
        }
        x->known = false;
        placed = true;
    }
    return placed;
}

/* The order was taken. */
static bool drain_heap(struct weir_core *c)
{
    bool placed = false;
    size_t at = 0;
    c->round++;
    claims_begin(c);
    while (c->budget > 0) {
        struct class *cl = pop_next(c);
        if (cl == NULL) {
            break;
        }
        if (cl->limits != NULL && limits_is_blocked(c, cl)) {
            limits_park(c, cl); /* at once: what is found to have room later is looked for among the parked */
            placed = true;
            continue;
        }
        at = owe_those_before(c, cl, at);
        c->budget--;
        bool shut = cl->for_room && !has_open_place(c, cl); /* the claims in use so far keep all of it: more would, too */
        if (!shut) {
            claims_settle(c, cl);
            shut = cl->for_room && !has_open_place(c, cl);
        }
        if (shut) {
            cl->waited = c->round;
            claims_owe(c, cl);
            continue;
        }
        if (still_waits(c, cl)) {
            c->n_foreseen++;
            cl->waited = c->round;
            claims_owe(c, cl);
            claims_settle(c, cl);
            c->budget -= c->budget > 0 && may_spill(c, cl); /* its last task waits, too */
            continue;
        }
        struct outlook x;
        enum decided d = decide(c, cl, &x);
        if (d == DECIDED_PLACED) {
            placed = true;
            lane_heap_push(c, cl, false);
            continue;
        }
        cl->waited = c->round;
        bool stopped = (d == DECIDED_WAITS || d == DECIDED_DEAR) && reclaim(c, cl, x.lent);
        stopped = stopped || (d == DECIDED_WAITS && preempt(c, cl));
        x.known = x.known && !stopped;
        claims_owe(c, cl);
        claims_settle(c, cl);
        placed = spill_tail(c, cl, &x) || stopped || placed;
    }
    return placed;
}

/* ---- the step ---- */

void plan(struct weir_core *c)
{
    const int64_t period = max_i64(c->conf.review_period.us, WEIR_US_PER_S);
    if (c->now_us / period != c->reviewed_us / period) {
        c->review_due = true;
    }
    c->reviewed_us = c->now_us;
    c->budget = PLAN_BUDGET;
    (void)limits_settle(c);
    c->eased = false;
    gather(c, period);
    bool again = true;
    while (again && c->budget > 0) {
        again = false;
        claims_revalidate(c);
        bool retries = c->claims_moved && c->hot.n > 0;
        if (retries || c->active.n > 0 || c->growth_looks > 0 || c->letting_in) {
            take_order(c);
        }
        if (retries) {
            retry(c);
        }
        if (c->active.n > 0 || c->growth_looks > 0 || c->letting_in) {
            again = drain_heap(c); /* shares and claims moved: what was kept back may go now */
            c->claims_moved = c->claims_moved || again;
        }
        if (c->active.n == 0 && !again) {
            again = leases_sweep(c); /* and claims stood on what boots for nobody */
            c->claims_moved = c->claims_moved || again;
        }
        if (c->active.n == 0) {
            again = limits_settle(c) || again; /* what was held for some may be what others waited for */
            push_fresh(c);
        }
    }
    for (size_t i = 0; i < c->grown.n; i++) {
        lease_say_kept(c, c->grown.p[i]);
        c->grown.p[i]->grown = false;
        c->grown.p[i]->unused = false;
    }
    weir_vec_clear(&c->grown);
    c->growth_looks = 0;
}

int64_t plan_wake_us(struct weir_core *c)
{
    const int64_t period = max_i64(c->conf.review_period.us, WEIR_US_PER_S);
    if (c->active.n > 0 || c->letting_in) {
        return c->now_us;
    }
    int64_t t = max_i64(min_i64(timers_next_us(c), limits_wake_us(c)), c->now_us);
    if (c->hot.n > 0) {
        t = min_i64(t, (c->now_us / period + 1) * period);
    }
    return t;
}
