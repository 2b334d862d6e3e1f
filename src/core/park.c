/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classes of tasks whose every way to run has no room are parked: they stand in no lane, so that no event looks at them.
 * Between two steps a class is parked exactly while limits_block says so. What has become free is not handed out to all who could use it:
 * planning lets in the first of them by the order of the queue, one at a time, whenever it would be the next to be
 * weighed; usually that takes what there is, and the others stay where they are.
 *
 * Those that are not parked are looked at again when what a budget or quota has left passes what one of them needs.
 */

#include <string.h>

#include "core/limits_priv.h"

/* Of a quota that is in one of these ways, of which so much is left, how much must be left before it is not. */
static int64_t least_more(const struct weir_core *c, const struct quota *q, int64_t left, const struct shape *s, const struct ways *ways, bool anew)
{
    int64_t least = US_NEVER;
    for (uint32_t k = 0; k < ways->n && k < WAYS_MAX; k++) {
        int64_t need = way_need(c, q, s, &ways->p[k], anew);
        least = need > left ? min_i64(least, need) : least;
    }
    return least;
}

/* Of a quota that has room for some of the ways, the most that one of them needs. */
static int64_t most_less(const struct weir_core *c, const struct quota *q, int64_t left, const struct shape *s, const struct ways *ways, bool anew)
{
    int64_t most = 0;
    for (uint32_t k = 0; k < ways->n && k < WAYS_MAX; k++) {
        int64_t need = way_need(c, q, s, &ways->p[k], anew);
        most = need <= left ? max_i64(most, need) : most;
    }
    return most;
}

static void note_ways(const struct weir_core *c, const struct quota *q, struct gate *g, const struct shape *s, const struct ways *ways, bool anew)
{
    int64_t left = quota_left(c, q);
    g->shut_least = min_i64(g->shut_least, least_more(c, q, left, s, ways, anew));
    g->open_most = max_i64(g->open_most, most_less(c, q, left, s, ways, anew));
    if (q->cohort != NULL) {
        int64_t own = quota_left_own(c, q);
        g->own_least = min_i64(g->own_least, least_more(c, q, own, s, ways, anew));
        g->own_most = max_i64(g->own_most, most_less(c, q, own, s, ways, anew));
    }
}

/* Of a class that is not parked: what would open a way that is shut, or shut one that is open. */
static void note(const struct weir_core *c, struct limits *l, const struct class *cl, const struct purse *p, const struct verge *v)
{
    const struct shape *s = cl->shape;
    for (size_t i = 0; i < l->quota.n; i++) {
        note_ways(c, l->quota.p[i], &l->gate.p[i], s, &s->here, false);
        if (v->anew || l->shares) {
            note_ways(c, l->quota.p[i], &l->gate.p[i], s, &s->anew, true);
        }
    }
    if (l->shares) { /* by which way it goes matters: whether it wants what is its own */
        l->shut_owned = is_short(&p->owned) ? min_i64(l->shut_owned, p->owned_need) : l->shut_owned;
        l->shut_rented = is_short(&p->rented) ? min_i64(l->shut_rented, p->rented_need) : l->shut_rented;
        l->open_owned = is_short(&p->owned) || !p->has_owned ? l->open_owned : max_i64(l->open_owned, p->owned_need);
        l->open_rented = is_short(&p->rented) || !p->has_rented ? l->open_rented : max_i64(l->open_rented, p->rented_need);
    }
    l->open_owned = v->owned ? max_i64(l->open_owned, p->owned_need) : l->open_owned;
    l->open_rented = v->rented ? max_i64(l->open_rented, p->rented_need) : l->open_rented;
}

/* The quotas within whose own share it may start, where all that share have that for it. */
static uint64_t wants_of(const struct weir_core *c, const struct limits *l, const struct shape *s, const struct purse *p)
{
    struct verge v = verge_of(c, l, s, p, true);
    uint64_t wants = 0;
    for (size_t i = 0; v.way != NULL && i < l->quota.n && i < 64; i++) {
        bool counts = l->quota.p[i]->cohort != NULL && way_need(c, l->quota.p[i], s, v.way, v.anew) > 0;
        wants |= (uint64_t)counts << i;
    }
    return wants;
}

uint64_t limits_wants(struct weir_core *c, const struct class *cl)
{
    shape_least(c, cl->shape);
    struct purse p = purse_of(c, cl->limits, cl->shape);
    return cl->limits->shares ? wants_of(c, cl->limits, cl->shape, &p) : 0;
}

static void set_narrow(struct weir_core *c, struct class *cl, bool narrow)
{
    c->claims_moved = c->claims_moved || narrow != cl->narrow;
    cl->narrow = narrow;
}

/* Is it to be parked? */
static bool weigh_class(struct weir_core *c, struct limits *l, struct class *cl)
{
    shape_least(c, cl->shape);
    struct purse p = purse_of(c, l, cl->shape);
    struct verge v = verge_of(c, l, cl->shape, &p, false);
    if (verge_is_shut(&v)) {
        return true;
    }
    note(c, l, cl, &p, &v);
    cohort_want(c, cl, limits_wants(c, cl));
    set_narrow(c, cl, shape_is_narrow(c, l, cl->shape));
    return false;
}

/* ---- who stands where ---- */

/* What it needs at least, by whatever way: of money on what is owned and on what is rented, then of each quota. */
static void needs_of(struct weir_core *c, const struct limits *l, const struct class *cl, int64_t *ret)
{
    const struct shape *s = cl->shape;
    shape_least(c, cl->shape);
    struct purse p = purse_of(c, l, s);
    ret[0] = p.owned_need;
    ret[1] = p.rented_need;
    bool nowhere = !p.has_owned && !p.has_rented; /* no budget or quota is in its way */
    for (size_t i = 0; nowhere && i < l->parked.columns; i++) {
        ret[i] = INT64_MIN;
    }
    for (size_t i = 0; !nowhere && i < l->quota.n; i++) {
        int64_t least = US_NEVER;
        for (uint32_t k = 0; k < s->here.n && k < WAYS_MAX; k++) {
            least = min_i64(least, way_need(c, l->quota.p[i], s, &s->here.p[k], false));
        }
        for (uint32_t k = 0; k < s->anew.n && k < WAYS_MAX; k++) {
            least = min_i64(least, way_need(c, l->quota.p[i], s, &s->anew.p[k], true));
        }
        bool told_apart = s->here.n <= WAYS_MAX && s->anew.n <= WAYS_MAX; /* else quotas do not park it */
        ret[2 + i] = told_apart ? least : 0;
    }
}

/* It is parked: its lane is no concern of this. */
static void put(struct weir_core *c, struct limits *l, struct class *cl)
{
    needs_of(c, l, cl, l->row.p);
    cohort_want(c, cl, 0);
    cl->parked = true;
    cl->narrow = false;
    cl->head = cl->first->id;
    parked_put(&l->parked, cl, l->row.p);
    l->left_known = false; /* there was more when that was looked at, maybe */
    l->ebb_known = false;
    l->next = NULL;
}

static void take(struct limits *l, struct class *cl)
{
    parked_take(&l->parked, cl, cl->head);
    l->ebb_known = false;
    l->next = NULL;
}

static void open_add(struct limits *l, struct class *cl)
{
    cl->limits_at = l->class.n;
    weir_vec_push(&l->class, cl);
}

static void open_drop(struct limits *l, struct class *cl)
{
    struct class *last = l->class.p[--l->class.n];
    WEIR_ASSERT(l->class.p[cl->limits_at] == cl || last == cl);
    l->class.p[cl->limits_at] = last;
    last->limits_at = cl->limits_at;
}

void limits_enter(struct weir_core *c, struct class *cl)
{
    struct limits *l = cl->limits;
    if (weigh_class(c, l, cl)) {
        put(c, l, cl);
    } else {
        open_add(l, cl);
    }
}

void limits_leave(struct weir_core *c, struct class *cl)
{
    if (cl->parked) {
        take(cl->limits, cl);
        cl->parked = false;
    } else {
        open_drop(cl->limits, cl);
        cohort_want(c, cl, 0);
    }
}

void limits_reorder(struct weir_core *c, struct class *cl)
{
    take(cl->limits, cl);
    put(c, cl->limits, cl);
}

void limits_park(struct weir_core *c, struct class *cl)
{
    struct limits *l = cl->limits;
    class_park(c, cl);
    open_drop(l, cl);
    put(c, l, cl);
    limits_say(c, cl);
}

/* It is in the queue again; the caller has it weighed. */
static void let_in(struct weir_core *c, struct limits *l, struct class *cl)
{
    take(l, cl);
    (void)weigh_class(c, l, cl);
    class_unpark(c, cl);
    open_add(l, cl);
}

/* ---- what has become free ---- */

/* What may be held, at most, on what is owned and on rented machines; less than nothing where that is forbidden. */
static void figure(const struct weir_core *c, const struct limits *l, int64_t *owned, int64_t *rented)
{
    *owned = US_NEVER;
    *rented = US_NEVER;
    for (size_t i = 0; i < l->budget.n; i++) {
        const struct budget *b = l->budget.p[i];
        int64_t left = max_i64(budget_left(c, b), 0);
        *owned = budget_forbids(c, b, false) ? -1 : b->def.cloud_only ? *owned : min_i64(*owned, left);
        *rented = budget_forbids(c, b, true) ? -1 : min_i64(*rented, left);
    }
}

/* Of all that the parked need something of: what is left. */
static void left_now(const struct weir_core *c, struct limits *l, int64_t *ret)
{
    figure(c, l, &ret[0], &ret[1]);
    for (size_t i = 0; i < l->quota.n; i++) {
        ret[2 + i] = max_i64(quota_left(c, l->quota.p[i]), 0); /* who needs nothing of it has room */
    }
}

/* The first of those parked, by the order of the queue, that has room; NULL: none has. */
static struct class *first_with_room(struct weir_core *c, struct limits *l, struct queue_key *ret_key)
{
    struct class *best = NULL;
    left_now(c, l, l->row.p);
    for (size_t i = 0; i < l->parked.lane.n; i++) {
        const struct parked_lane *lane = l->parked.lane.p[i];
        int64_t share = project_share(c, lane->project);
        if (best != NULL && (lane->points < ret_key->points || (lane->points == ret_key->points && share > ret_key->share))) {
            continue;
        }
        struct parked_at at = {0};
        struct class *cl = parked_next(lane, l->row.p, &at);
        while (cl != NULL && limits_is_blocked(c, cl)) {
            cl = parked_next(lane, l->row.p, &at);
        }
        if (cl == NULL) {
            continue;
        }
        struct queue_key key = class_key_outside(c, cl);
        if (best == NULL || queue_key_cmp(&key, ret_key) < 0) {
            best = cl;
            *ret_key = key;
        }
    }
    return best;
}

/* The same, where nothing has changed since it was found out. */
static struct class *next_to_let_in(struct weir_core *c, struct limits *l)
{
    if (l->next == NULL || l->next_budgets != c->budgets_version || l->next_version != c->version) {
        l->next = first_with_room(c, l, &l->next_key);
        l->next_budgets = c->budgets_version;
        l->next_version = c->version;
    }
    return l->next;
}

/* One that may start within its own share, if there is one and none is in the queue; so that nobody borrows before it. */
static void let_in_wanting(struct weir_core *c, struct limits *l)
{
    if (!l->shares || l->n_wants > 0 || (l->wanting_budgets == c->budgets_version && l->wanting_version == c->version)) {
        return;
    }
    left_now(c, l, l->row.p);
    for (size_t i = 0; i < l->quota.n; i++) {
        l->row.p[2 + i] = max_i64(quota_left_own(c, l->quota.p[i]), 0);
    }
    struct class *found = NULL;
    for (size_t i = 0; i < l->parked.lane.n; i++) {
        struct parked_at at = {0};
        struct class *cl = parked_next(l->parked.lane.p[i], l->row.p, &at);
        while (cl != NULL && (limits_wants(c, cl) == 0 || limits_is_blocked(c, cl))) {
            cl = parked_next(l->parked.lane.p[i], l->row.p, &at);
        }
        found = cl != NULL && (found == NULL || cl->head < found->head) ? cl : found;
    }
    if (found != NULL) {
        let_in(c, l, found);
        lane_heap_push(c, found, false);
    }
    l->wanting_budgets = c->budgets_version;
    l->wanting_version = c->version;
}

/* What the parked need may be another now. */
static void put_anew(struct weir_core *c, struct limits *l)
{
    WEIR_VEC(struct class *) all = {0};
    for (size_t i = 0; i < l->parked.lane.n; i++) {
        struct parked_at at = {0};
        for (struct class *cl = parked_each(l->parked.lane.p[i], &at); cl != NULL; cl = parked_each(l->parked.lane.p[i], &at)) {
            weir_vec_push(&all, cl);
        }
    }
    parked_release(&l->parked);
    for (size_t i = 0; i < all.n; i++) {
        put(c, l, all.p[i]);
    }
    weir_vec_release(&all);
    l->put_kinds = c->kinds;
    l->put_rides = l->n_leases > 0;
}

/* Is there more of something than when those parked were found to have no room? */
static bool may_let_in(const struct weir_core *c, struct limits *l)
{
    size_t columns = 2 + l->quota.n;
    bool more = !l->left_known;
    left_now(c, l, l->row.p);
    for (size_t i = 0; i < columns; i++) {
        more = more || l->row.p[i] > l->left.p[i];
        l->left.p[i] = l->row.p[i];
    }
    l->left_known = true;
    bool any = false;
    for (size_t i = 0; i < l->parked.lane.n && more && !any; i++) {
        struct parked_at at = {0};
        any = parked_next(l->parked.lane.p[i], l->row.p, &at) != NULL;
    }
    return any;
}

/*
 * A machine that was rented meanwhile is a way for others, and what is given back is room: whoever is parked and has room by it is let in
 * at its place in the queue, as if it had stood there all the time.
 */
static void find_eased(struct weir_core *c)
{
    c->eased = false;
    for (size_t i = 0; i < c->limits.n; i++) {
        struct limits *l = c->limits.p[i];
        if (l->parked.n == 0) {
            continue;
        }
        if (l->put_kinds != c->kinds || l->put_rides != (l->n_leases > 0)) {
            put_anew(c, l);
        }
        l->lets_in = l->lets_in || may_let_in(c, l);
        c->letting_in = c->letting_in || l->lets_in;
    }
}

/* None of those parked has room; l->row is what is left. */
static void shut(struct limits *l)
{
    memcpy(l->left.p, l->row.p, l->parked.columns * sizeof *l->left.p);
    l->left_known = true;
    l->lets_in = false;
}

bool limits_let_in(struct weir_core *c, const struct queue_key *before)
{
    struct limits *best = NULL;
    if (c->eased) {
        find_eased(c);
    }
    for (size_t i = 0; i < c->limits.n && c->letting_in && c->cohorts.n > 0; i++) {
        if (c->limits.p[i]->lets_in) {
            let_in_wanting(c, c->limits.p[i]);
        }
    }
    for (size_t i = 0; i < c->limits.n && c->letting_in; i++) {
        struct limits *l = c->limits.p[i];
        if (!l->lets_in) {
            continue;
        }
        if (next_to_let_in(c, l) == NULL) {
            shut(l);
        } else if (best == NULL || queue_key_cmp(&l->next_key, &best->next_key) < 0) {
            best = l;
        }
    }
    c->letting_in = best != NULL;
    if (best == NULL || (before != NULL && queue_key_cmp(before, &best->next_key) < 0)) {
        return false;
    }
    struct class *cl = best->next;
    best->next = NULL;
    let_in(c, best, cl);
    lane_heap_push(c, cl, false);
    return true;
}

/* Does some quota have enough to open a way, or too little for one that is open? */
static bool quotas_moved(const struct weir_core *c, const struct limits *l)
{
    bool moved = false;
    for (size_t i = 0; i < l->quota.n; i++) {
        const struct gate *g = &l->gate.p[i];
        int64_t left = quota_left(c, l->quota.p[i]);
        int64_t own = l->quota.p[i]->cohort == NULL ? US_NEVER : quota_left_own(c, l->quota.p[i]);
        moved = moved || left >= g->shut_least || left < g->open_most || (own != US_NEVER && own >= g->own_least) || own < g->own_most;
    }
    return moved;
}

/* What may be another than it was when the set was settled. */
enum moved { MOVED_NOTHING, MOVED_LEFT, MOVED_WORLD };

static enum moved what_moved(const struct weir_core *c, struct limits *l)
{
    if (l->settled == c->budgets_version && l->settled_world == c->world && (!l->ebbs || l->settled_us == c->now_us)) {
        return MOVED_NOTHING;
    }
    int64_t owned = 0;
    int64_t rented = 0;
    figure(c, l, &owned, &rented);
    bool rides = l->n_leases > 0;
    bool same = l->settled_world == c->world && l->rides == rides && (l->owned < 0) == (owned < 0) && (l->rented < 0) == (rented < 0);
    l->settled = c->budgets_version;
    l->settled_world = c->world;
    l->settled_us = c->now_us;
    l->rides = rides;
    l->owned = owned;
    l->rented = rented;
    return same ? MOVED_LEFT : MOVED_WORLD;
}

void limits_say(struct weir_core *c, struct class *cl)
{
    struct shortage s = limits_block(c, cl);
    const uint64_t key[] = {s.budget == NULL ? 0 : s.budget->id, s.quota == NULL ? 0 : s.quota->id, 1};
    uint64_t said = words_hash(key, WEIR_ARRAY_LEN(key));
    if (!is_short(&s) || cl->shape->said == said) {
        return;
    }
    cl->shape->said = said;
    struct weir_explain *x = explain_add(c, WEIR_DECISION_BLOCKED);
    limits_explain(cl->first, job_first_waiting(cl->first), &s, x);
}

/* Those that are not parked: parks what has no room any more. */
static bool settle_open(struct weir_core *c, struct limits *l)
{
    bool moved = false;
    l->shut_owned = l->shut_rented = US_NEVER;
    l->open_owned = 0;
    l->open_rented = 0;
    for (size_t i = 0; i < l->gate.n; i++) {
        l->gate.p[i].shut_least = l->gate.p[i].own_least = US_NEVER;
        l->gate.p[i].open_most = l->gate.p[i].own_most = 0;
    }
    for (size_t i = 0; i < l->class.n;) {
        struct class *cl = l->class.p[i];
        if (weigh_class(c, l, cl)) {
            limits_park(c, cl); /* another stands in its place */
            moved = true;
        } else {
            i++;
        }
    }
    return moved;
}

/*
 * Something of what counts in its quotas has changed: those who want what is their own are weighed, all of them, so that what is being
 * stopped for one is not taken to be stopped for another. More than a good many are left to the next node that gains room.
 */
static bool weigh_wanting(struct weir_core *c, const struct limits *l)
{
    enum { WANTING_MAX = 256 };
    bool any = l->n_wants > 0 && l->n_wants <= WANTING_MAX;
    for (size_t i = 0; i < l->class.n && any; i++) {
        if (l->class.p[i]->wants != 0) {
            lane_heap_push(c, l->class.p[i], false);
        }
    }
    return any;
}

static bool settle(struct weir_core *c, struct limits *l)
{
    enum moved what = what_moved(c, l);
    if (what == MOVED_NOTHING) {
        return false;
    }
    bool money = l->budget.n > 0 && (l->open_owned > l->owned || l->open_rented > l->rented || l->shut_owned <= l->owned || l->shut_rented <= l->rented);
    if (what == MOVED_WORLD) {
        put_anew(c, l);
    }
    bool moved = (what == MOVED_WORLD || money || quotas_moved(c, l)) && settle_open(c, l);
    bool more = may_let_in(c, l);
    l->next = NULL;
    l->lets_in = (more || l->lets_in) && next_to_let_in(c, l) != NULL;
    c->letting_in = c->letting_in || l->lets_in;
    return weigh_wanting(c, l) || moved || l->lets_in;
}

bool limits_settle(struct weir_core *c)
{
    bool moved = false;
    uint64_t version = 0;
    while (version != c->budgets_version) { /* who wants what is lent, in one set, shuts others */
        version = c->budgets_version;
        for (size_t i = 0; i < c->limits.n; i++) {
            struct limits *l = c->limits.p[i];
            moved = (l->class.n + l->parked.n > 0 && settle(c, l)) || moved;
        }
        for (size_t i = 0; i < c->limits.n && c->cohorts.n > 0; i++) {
            if (c->limits.p[i]->lets_in) {
                let_in_wanting(c, c->limits.p[i]);
            }
        }
    }
    return moved;
}

/* ---- what time alone gives back ---- */

/* Of a quota, the least that a way needs of somebody who is parked, which there is not. */
static int64_t ebb_least(struct weir_core *c, struct limits *l, size_t quota)
{
    const struct quota *q = l->quota.p[quota];
    int64_t left = quota_left(c, q);
    int64_t least = US_NEVER;
    for (size_t i = 0; i < l->parked.lane.n; i++) {
        struct parked_at at = {0};
        for (struct class *cl = parked_each(l->parked.lane.p[i], &at); cl != NULL; cl = parked_each(l->parked.lane.p[i], &at)) {
            struct shape *s = cl->shape;
            least = min_i64(least, least_more(c, q, left, s, &s->here, false));
            least = min_i64(least, least_more(c, q, left, s, &s->anew, true));
        }
    }
    return least;
}

/* Known as long as what is left has only grown, and not so far. */
static int64_t ebb_gate(struct weir_core *c, struct limits *l, size_t quota)
{
    struct gate *g = &l->gate.p[quota];
    int64_t left = quota_left(c, l->quota.p[quota]);
    if (!l->ebb_known || left < g->ebb_left || left >= g->parked_least) {
        g->parked_least = ebb_least(c, l, quota);
    }
    g->ebb_left = left;
    return min_i64(g->parked_least, g->shut_least);
}

int64_t limits_wake_us(struct weir_core *c)
{
    int64_t at = US_NEVER;
    for (size_t i = 0; i < c->limits.n; i++) {
        struct limits *l = c->limits.p[i];
        for (size_t k = 0; l->ebbs && k < l->quota.n; k++) {
            const struct quota *q = l->quota.p[k];
            int64_t least = q->def.counts == WEIR_QUOTA_RUN_MINUTES ? ebb_gate(c, l, k) : US_NEVER;
            if (least != US_NEVER && q->n > 0) {
                int64_t lacks_ms = weir_i64_sub_sat(least, quota_left(c, q));
                at = min_i64(at, weir_i64_add_sat(c->now_us, weir_mul_div_sat(lacks_ms / q->n + 1, 1000, 1)));
            }
        }
        l->ebb_known = true;
    }
    return at;
}

void limits_settle_restored(struct weir_core *c)
{
    budgets_settle_restored(c);
    quotas_settle_restored(c);
    limits_recount(c);
    while (limits_settle(c)) {
        for (size_t i = 0; i < c->limits.n; i++) {
            struct limits *l = c->limits.p[i];
            while (l->lets_in && next_to_let_in(c, l) != NULL) {
                let_in(c, l, l->next);
                l->next = NULL;
            }
            l->lets_in = false;
        }
        c->letting_in = false;
    }
}

/* ---- who is parked ---- */

size_t weir_core_parked(struct weir_core *c, struct weir_parked *ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < c->limits.n; i++) {
        const struct limits *l = c->limits.p[i];
        for (size_t k = 0; k < l->parked.lane.n; k++) {
            struct parked_at at = {0};
            const struct class *cl = parked_each(l->parked.lane.p[k], &at);
            for (; cl != NULL && n < max; cl = parked_each(l->parked.lane.p[k], &at)) {
                struct shortage s = limits_block(c, cl);
                if (is_short(&s)) {
                    ret[n++] = (struct weir_parked){.shape = cl->shape->id,
                                                    .set = l->number,
                                                    .budget = {s.budget == NULL ? 0 : s.budget->id},
                                                    .quota = {s.quota == NULL ? 0 : s.quota->id}};
                }
            }
        }
    }
    return n;
}
