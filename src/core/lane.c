/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes and levels: classes of one project at one number of points, by their first job; the classes among them that are to be
 * weighed; and what waits before a class. Which tasks are of a class: queue.c.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

/* ---- levels and lanes ---- */

static size_t level_place(const struct weir_core *c, int64_t points)
{
    size_t lo = 0;
    size_t hi = c->levels.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->levels.p[mid]->points > points) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static struct level *level_get(struct weir_core *c, int64_t points)
{
    size_t i = level_place(c, points);
    if (i < c->levels.n && c->levels.p[i]->points == points) {
        return c->levels.p[i];
    }
    struct level *l = c->spare_levels.n > 0 ? c->spare_levels.p[--c->spare_levels.n] : weir_alloc(sizeof *l);
    l->points = points;
    weir_vec_push(&c->levels, l);
    memmove(&c->levels.p[i + 1], &c->levels.p[i], (c->levels.n - 1 - i) * sizeof *c->levels.p);
    c->levels.p[i] = l;
    return l;
}

static struct lane *lane_get(struct weir_core *c, struct level *l, struct project *p)
{
    for (size_t i = 0; i < l->lane.n; i++) {
        if (l->lane.p[i]->project == p) {
            return l->lane.p[i];
        }
    }
    struct lane *lane = c->spare_lanes.n > 0 ? c->spare_lanes.p[--c->spare_lanes.n] : weir_alloc(sizeof *lane);
    lane->project = p;
    lane->level = l;
    lane->priority_most = INT32_MIN;
    weir_vec_push(&l->lane, lane);
    return lane;
}

static void class_list_release(struct class_list *l)
{
    free(l->p);
    free(l->job);
}

static void level_free(struct level *l)
{
    weir_vec_release(&l->lane);
    weir_vec_release(&l->active);
    weir_vec_release(&l->backlog);
    free(l);
}

static void lane_free(struct lane *lane)
{
    class_list_release(&lane->class);
    weir_vec_release(&lane->want);
    weir_vec_release(&lane->heap);
    weir_vec_release(&lane->backlog);
    free(lane);
}

static void lane_want_free(struct lane_want *lw)
{
    class_list_release(&lw->class);
    free(lw);
}

/* May one more be kept, with lists of so much room? */
static bool may_spare(size_t spares, size_t room)
{
    enum { SPARES_MAX = 64, ROOM_MAX = 64 };
    return spares < SPARES_MAX && room <= ROOM_MAX;
}

static void level_drop(struct weir_core *c, struct level *l)
{
    WEIR_ASSERT(l->n_waiting == 0 && l->active.n == 0);
    weir_vec_clear(&l->backlog);
    if (may_spare(c->spare_levels.n, l->lane.size)) {
        weir_vec_push(&c->spare_levels, l);
    } else {
        level_free(l);
    }
}

static void lane_drop(struct weir_core *c, struct lane *lane)
{
    struct level *l = lane->level;
    size_t i = 0;
    while (l->lane.p[i] != lane) {
        i++;
    }
    memmove(&l->lane.p[i], &l->lane.p[i + 1], (l->lane.n - i - 1) * sizeof *l->lane.p);
    l->lane.n--;
    WEIR_ASSERT(!lane->active && lane->n_waiting == 0 && lane->class.n == 0 && lane->want.n == 0 && lane->heap.n == 0 && lane->n_dated == 0);
    weir_vec_clear(&lane->backlog);
    if (may_spare(c->spare_lanes.n, lane->class.size)) {
        weir_vec_push(&c->spare_lanes, lane);
    } else {
        lane_free(lane);
    }
    if (l->lane.n == 0) {
        i = level_place(c, l->points);
        WEIR_ASSERT(c->levels.p[i] == l);
        memmove(&c->levels.p[i], &c->levels.p[i + 1], (c->levels.n - i - 1) * sizeof *c->levels.p);
        c->levels.n--;
        level_drop(c, l);
    }
}

void queue_release(struct weir_core *c)
{
    for (size_t i = 0; i < c->levels.n; i++) {
        struct level *l = c->levels.p[i];
        for (size_t k = 0; k < l->lane.n; k++) {
            for (size_t m = 0; m < l->lane.p[k]->want.n; m++) {
                lane_want_free(l->lane.p[k]->want.p[m]);
            }
            lane_free(l->lane.p[k]);
        }
        level_free(l);
    }
    for (size_t i = 0; i < c->spare_levels.n; i++) {
        level_free(c->spare_levels.p[i]);
    }
    for (size_t i = 0; i < c->spare_lanes.n; i++) {
        lane_free(c->spare_lanes.p[i]);
    }
    for (size_t i = 0; i < c->spare_lane_wants.n; i++) {
        lane_want_free(c->spare_lane_wants.p[i]);
    }
    weir_vec_release(&c->levels);
    weir_vec_release(&c->spare_levels);
    weir_vec_release(&c->spare_lanes);
    weir_vec_release(&c->spare_lane_wants);
}

void level_sort(struct weir_core *c, struct level *l)
{
    /* insertion: the order hardly changes between two looks */
    for (size_t i = 1; i < l->lane.n; i++) {
        struct lane *x = l->lane.p[i];
        int64_t key = project_share(c, x->project);
        size_t at = i;
        while (at > 0) {
            struct lane *y = l->lane.p[at - 1];
            int64_t other = project_share(c, y->project);
            if (other < key || (other == key && y->class.job[0] < x->class.job[0])) {
                break;
            }
            l->lane.p[at] = y;
            at--;
        }
        l->lane.p[at] = x;
    }
}

/* Of two of a level; false of one and the same. */
static bool lane_comes_before(struct weir_core *c, const struct lane *lane, const struct lane *than, int64_t than_share)
{
    int64_t share = project_share(c, lane->project);
    return share != than_share ? share < than_share : lane->class.job[0] < than->class.job[0];
}

static void backlog_change(backlog_vec *v, uint32_t kind, int64_t delta)
{
    for (size_t i = 0; i < v->n; i++) {
        if (v->p[i].kind == kind) {
            v->p[i].gpu_s = weir_i64_add_sat(v->p[i].gpu_s, delta);
            return;
        }
    }
    weir_vec_push(v, (struct backlog){kind, delta});
}

/* GPU seconds of so many of the class's tasks. */
static int64_t class_gpu_s_of(const struct class *cl, int64_t n_tasks)
{
    int64_t r = 0;
    return __builtin_mul_overflow(cl->gpu_s, n_tasks, &r) ? (n_tasks < 0 ? INT64_MIN : INT64_MAX) : r;
}

int64_t class_gpu_s(const struct class *cl)
{
    return class_gpu_s_of(cl, (int64_t)cl->n_waiting);
}

void lane_count(const struct class *cl, struct lane *lane, int64_t tasks)
{
    int64_t delta = class_gpu_s_of(cl, tasks);
    lane->n_waiting = (uint64_t)((int64_t)lane->n_waiting + tasks);
    lane->level->n_waiting = (uint64_t)((int64_t)lane->level->n_waiting + tasks);
    backlog_change(&lane->backlog, cl->model_kind, delta);
    backlog_change(&lane->level->backlog, cl->model_kind, delta);
}

/* ---- a class's place in its lane ---- */

/* Where a class with such a first job stands, or would stand. */
static size_t list_place(const struct class_list *l, uint64_t job)
{
    size_t lo = 0;
    size_t hi = l->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (l->job[mid] < job) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void list_insert(struct class_list *l, size_t at, struct class *cl)
{
    if (l->n == l->size) {
        l->size = l->size < 8 ? 8 : l->size * 2;
        l->p = weir_realloc(l->p, l->size, sizeof *l->p);
        l->job = weir_realloc(l->job, l->size, sizeof *l->job);
    }
    memmove(&l->p[at + 1], &l->p[at], (l->n - at) * sizeof *l->p);
    memmove(&l->job[at + 1], &l->job[at], (l->n - at) * sizeof *l->job);
    l->p[at] = cl;
    l->job[at] = cl->head;
    l->n++;
}

static void list_remove(struct class_list *l, size_t at, const struct class *cl)
{
    WEIR_ASSERT(at < l->n && l->p[at] == cl);
    l->n--;
    memmove(&l->p[at], &l->p[at + 1], (l->n - at) * sizeof *l->p);
    memmove(&l->job[at], &l->job[at + 1], (l->n - at) * sizeof *l->job);
}

/* ---- classes of a lane that want the same ---- */

static size_t want_place(const struct lane *lane, uint64_t head)
{
    size_t lo = 0;
    size_t hi = lane->want.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (lane->want.p[mid]->head < head) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void want_take_out(struct lane *lane, struct lane_want *lw)
{
    size_t i = want_place(lane, lw->head);
    WEIR_ASSERT(lane->want.p[i] == lw);
    memmove(&lane->want.p[i], &lane->want.p[i + 1], (lane->want.n - i - 1) * sizeof *lane->want.p);
    lane->want.n--;
}

static void want_put_in(struct lane *lane, struct lane_want *lw)
{
    lw->head = lw->class.job[0];
    size_t i = want_place(lane, lw->head);
    weir_vec_push(&lane->want, lw);
    memmove(&lane->want.p[i + 1], &lane->want.p[i], (lane->want.n - 1 - i) * sizeof *lane->want.p);
    lane->want.p[i] = lw;
}

/* By whichever of the two lists is shorter. */
static struct lane_want *peers_find(const struct lane *lane, const struct want *w)
{
    if (w->n_lanes <= lane->want.n) {
        struct lane_want *lw = w->lanes;
        while (lw != NULL && lw->lane != lane) {
            lw = lw->next;
        }
        return lw;
    }
    for (size_t i = 0; i < lane->want.n; i++) {
        if (lane->want.p[i]->want == w) {
            return lane->want.p[i];
        }
    }
    return NULL;
}

static struct lane_want *peers_get(struct weir_core *c, struct lane *lane, struct want *w)
{
    struct lane_want *lw = peers_find(lane, w);
    if (lw != NULL) {
        return lw;
    }
    lw = c->spare_lane_wants.n > 0 ? c->spare_lane_wants.p[--c->spare_lane_wants.n] : weir_alloc(sizeof *lw);
    *lw = (struct lane_want){.want = w, .lane = lane, .class = lw->class, .next = w->lanes};
    if (w->lanes != NULL) {
        w->lanes->prev = lw;
    } else {
        want_heat(c, w);
    }
    w->lanes = lw;
    w->n_lanes++;
    return lw;
}

/* Of the last class that wants it in the lane. */
static void peers_drop(struct weir_core *c, struct lane_want *lw)
{
    struct want *w = lw->want;
    WEIR_ASSERT(lw->class.n == 0);
    if (lw->next != NULL) {
        lw->next->prev = lw->prev;
    }
    if (lw->prev != NULL) {
        lw->prev->next = lw->next;
    } else {
        w->lanes = lw->next;
    }
    w->n_lanes--;
    if (w->lanes == NULL) {
        want_cool(c, w);
    }
    if (may_spare(c->spare_lane_wants.n, lw->class.size)) {
        weir_vec_push(&c->spare_lane_wants, lw);
    } else {
        lane_want_free(lw);
    }
}

void lane_insert(struct lane *lane, struct class *cl)
{
    uint64_t job = cl->first->id;
    cl->head = job;
    list_insert(&lane->class, list_place(&lane->class, job), cl);
    struct lane_want *lw = cl->peers;
    size_t i = list_place(&lw->class, job);
    if (i == 0 && lw->class.n > 0) {
        want_take_out(lane, lw);
    }
    list_insert(&lw->class, i, cl);
    if (i == 0) {
        want_put_in(lane, lw);
    }
}

void lane_remove(struct lane *lane, struct class *cl, uint64_t job)
{
    list_remove(&lane->class, list_place(&lane->class, job), cl);
    struct lane_want *lw = cl->peers;
    size_t i = list_place(&lw->class, job);
    if (i == 0) {
        want_take_out(lane, lw);
    }
    list_remove(&lw->class, i, cl);
    if (i == 0 && lw->class.n > 0) {
        want_put_in(lane, lw);
    }
}

void class_fill(struct weir_core *c, struct class *cl)
{
    struct level *l = level_get(c, cl->points);
    cl->lane = lane_get(c, l, cl->project);
    cl->peers = peers_get(c, cl->lane, cl->want);
    cl->lane->n_dated += cl->deadline_us != 0;
    cl->lane->priority_most = cl->priority > cl->lane->priority_most ? cl->priority : cl->lane->priority_most;
    lane_insert(cl->lane, cl);
}

/* ---- classes to weigh, per lane ---- */

static bool older(const struct class *a, const struct class *b)
{
    return a->head < b->head;
}

static void lane_heap_down(struct lane *lane, size_t i)
{
    struct class *x = lane->heap.p[i];
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= lane->heap.n) {
            break;
        }
        if (k + 1 < lane->heap.n && older(lane->heap.p[k + 1], lane->heap.p[k])) {
            k++;
        }
        if (!older(lane->heap.p[k], x)) {
            break;
        }
        lane->heap.p[i] = lane->heap.p[k];
        i = k;
    }
    lane->heap.p[i] = x;
}

/* ---- levels with classes to weigh ---- */

static void active_set(struct weir_core *c, size_t i, struct level *l)
{
    c->active.p[i] = l;
    l->active_at = i;
}

static void active_up(struct weir_core *c, struct level *l, size_t i)
{
    while (i > 0 && c->active.p[(i - 1) / 2]->points < l->points) {
        active_set(c, i, c->active.p[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    active_set(c, i, l);
}

static void active_down(struct weir_core *c, struct level *l, size_t i)
{
    for (size_t k = 2 * i + 1; k < c->active.n; k = 2 * i + 1) {
        if (k + 1 < c->active.n && c->active.p[k + 1]->points > c->active.p[k]->points) {
            k++;
        }
        if (c->active.p[k]->points <= l->points) {
            break;
        }
        active_set(c, i, c->active.p[k]);
        i = k;
    }
    active_set(c, i, l);
}

static void lane_wake(struct weir_core *c, struct lane *lane)
{
    struct level *l = lane->level;
    lane->active = true;
    weir_vec_push(&l->active, lane);
    if (l->active.n == 1) {
        weir_vec_push(&c->active, l);
        active_up(c, l, c->active.n - 1);
    }
}

static void lane_rest(struct weir_core *c, struct lane *lane)
{
    struct level *l = lane->level;
    size_t i = 0;
    while (l->active.p[i] != lane) {
        i++;
    }
    l->active.p[i] = l->active.p[--l->active.n];
    lane->active = false;
    if (l->active.n == 0) {
        struct level *last = c->active.p[--c->active.n];
        if (last != l) {
            active_up(c, last, l->active_at);
            active_down(c, last, last->active_at);
        }
    }
}

void lane_heap_push(struct weir_core *c, struct class *cl, bool for_room)
{
    if (cl->in_heap || cl->first == NULL || cl->parked) {
        cl->for_room = cl->for_room && for_room;
        return;
    }
    struct lane *lane = cl->lane;
    cl->in_heap = true;
    cl->for_room = for_room;
    weir_vec_push(&lane->heap, cl);
    size_t i = lane->heap.n - 1;
    while (i > 0 && older(cl, lane->heap.p[(i - 1) / 2])) {
        lane->heap.p[i] = lane->heap.p[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    lane->heap.p[i] = cl;
    if (!lane->active) {
        lane_wake(c, lane);
    }
}

void queue_pop(struct weir_core *c, struct class *cl)
{
    struct lane *lane = cl->lane;
    WEIR_ASSERT(lane->heap.p[0] == cl);
    cl->in_heap = false;
    lane->heap.p[0] = lane->heap.p[--lane->heap.n];
    if (lane->heap.n > 0) {
        lane_heap_down(lane, 0);
    } else {
        lane_rest(c, lane);
    }
}

struct class *queue_first(struct weir_core *c)
{
    if (c->active.n == 0) {
        return NULL;
    }
    const struct level *l = c->active.p[0];
    const struct lane *best = l->active.p[0];
    for (size_t i = 1; i < l->active.n; i++) {
        if (lane_comes_before(c, l->active.p[i], best, project_share(c, best->project))) {
            best = l->active.p[i];
        }
    }
    return best->heap.p[0];
}

void lane_heap_fix(struct weir_core *c, struct lane *lane, struct class *drop)
{
    if (drop != NULL && drop->in_heap) {
        size_t i = 0;
        while (lane->heap.p[i] != drop) {
            i++;
        }
        lane->heap.p[i] = lane->heap.p[--lane->heap.n];
        drop->in_heap = false;
        if (lane->heap.n == 0) {
            lane_rest(c, lane);
        }
    }
    for (size_t i = lane->heap.n / 2; i-- > 0;) {
        lane_heap_down(lane, i);
    }
}

void class_empty(struct weir_core *c, struct class *cl)
{
    if (cl->in_heap) {
        lane_heap_fix(c, cl->lane, cl);
    }
    if (cl->peers->class.n == 0) {
        peers_drop(c, cl->peers);
    }
    cl->peers = NULL;
    cl->lane->n_dated -= cl->deadline_us != 0;
    if (cl->lane->class.n == 0) {
        lane_drop(c, cl->lane);
    }
    cl->lane = NULL;
}

/* ---- order ---- */

struct queue_key class_key_outside(struct weir_core *c, const struct class *cl)
{
    struct queue_key key = {cl->points, project_share(c, cl->project), cl->head, cl->head};
    size_t i = level_place(c, cl->points);
    const struct level *l = i < c->levels.n && c->levels.p[i]->points == cl->points ? c->levels.p[i] : NULL;
    for (size_t k = 0; l != NULL && k < l->lane.n; k++) {
        if (l->lane.p[k]->project == cl->project && l->lane.p[k]->class.job[0] < key.lane_job) {
            key.lane_job = l->lane.p[k]->class.job[0];
        }
    }
    return key;
}

int queue_key_cmp(const struct queue_key *a, const struct queue_key *b)
{
    if (a->points != b->points) {
        return a->points > b->points ? -1 : 1;
    }
    if (a->share != b->share) {
        return a->share < b->share ? -1 : 1;
    }
    if (a->lane_job != b->lane_job) {
        return a->lane_job < b->lane_job ? -1 : 1;
    }
    return a->job < b->job ? -1 : a->job > b->job;
}

/* ---- what is ahead ---- */

static bool kinds_meet(uint32_t a, uint32_t b)
{
    return a == b || ((a == WEIR_GPU_MODEL_ANY || b == WEIR_GPU_MODEL_ANY) &&
                      a <= WEIR_GPU_MODEL_ANY && b <= WEIR_GPU_MODEL_ANY);
}

static int64_t backlog_of(const backlog_vec *v, uint32_t kind)
{
    int64_t sum = 0;
    for (size_t i = 0; i < v->n; i++) {
        if (kinds_meet(v->p[i].kind, kind)) {
            sum = weir_i64_add_sat(sum, v->p[i].gpu_s);
        }
    }
    return sum;
}

int64_t queue_ahead_gpu_s(struct weir_core *c, struct class *cl)
{
    enum { LOOK_MAX = 128 }; /* classes of its own lane that are told apart by age */
    uint32_t kind = cl->model_kind;
    int64_t sum = 0;
    for (size_t i = 0; i < c->levels.n && c->levels.p[i]->points > cl->points; i++) {
        sum = weir_i64_add_sat(sum, backlog_of(&c->levels.p[i]->backlog, kind));
    }
    const struct level *l = cl->lane->level;
    int64_t share = project_share(c, cl->project);
    for (size_t i = 0; i < l->lane.n; i++) {
        const struct lane *lane = l->lane.p[i];
        if (lane_comes_before(c, lane, cl->lane, share)) {
            sum = weir_i64_add_sat(sum, backlog_of(&lane->backlog, kind));
        }
    }
    for (size_t i = 0; i < cl->lane->class.n && i < LOOK_MAX; i++) {
        const struct class *x = cl->lane->class.p[i];
        if (x == cl) {
            break;
        }
        if (kinds_meet(x->model_kind, kind)) {
            sum = weir_i64_add_sat(sum, class_gpu_s(x));
        }
    }
    return sum;
}

int64_t queue_until_gpu_s(struct weir_core *c, const struct class *cl)
{
    int64_t sum = 0;
    for (size_t i = 0; i < c->levels.n && c->levels.p[i]->points >= cl->points; i++) {
        const struct level *l = c->levels.p[i];
        for (size_t k = 0; k < l->backlog.n; k++) {
            sum = weir_i64_add_sat(sum, l->backlog.p[k].gpu_s);
        }
    }
    return sum;
}

uint32_t queue_ahead_tasks(struct weir_core *c, const struct job *j, uint32_t ordinal)
{
    enum { MOST = 1000000, LOOK_MAX = 512 };
    uint64_t n = 0;
    struct class *cl = j->class;
    if (!j->queued || cl->parked) {
        return 0;
    }
    for (size_t i = 0; i < c->levels.n && c->levels.p[i]->points > cl->points; i++) {
        n += c->levels.p[i]->n_waiting;
    }
    const struct level *l = cl->lane->level;
    int64_t share = project_share(c, cl->project);
    for (size_t i = 0; i < l->lane.n; i++) {
        const struct lane *lane = l->lane.p[i];
        if (lane_comes_before(c, lane, cl->lane, share)) {
            n += lane->n_waiting;
        }
    }
    /* far back in its lane or class only about: what is not looked at is counted as before it */
    size_t at = list_place(&cl->lane->class, cl->first->id);
    for (size_t i = 0; i < at && i < LOOK_MAX; i++) {
        n += cl->lane->class.p[i]->n_waiting;
    }
    n += at > LOOK_MAX ? at - LOOK_MAX : 0;
    uint32_t looked = 0;
    for (const struct job *x = cl->first; x != j && looked < LOOK_MAX; x = x->next) {
        n += x->count[WEIR_TASK_WAITING];
        looked++;
    }
    for (uint32_t i = 0; i < ordinal / 64; i++) {
        n += (uint64_t)__builtin_popcountll(j->waiting[i]);
    }
    n += (uint64_t)__builtin_popcountll(j->waiting[ordinal / 64] &
                                        ((UINT64_C(1) << ordinal % 64) - 1));
    return n > MOST ? MOST : (uint32_t)n;
}
