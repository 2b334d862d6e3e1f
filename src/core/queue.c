/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue. Waiting tasks that differ in age only are one class, a list of jobs in order of id. Classes
 * stand in lanes (one project at one number of points), lanes in levels (one number of points).
 *
 * Points: priority, plus what waiting earns. Since all tasks age alike, the difference of two never
 * changes, so points are a number fixed at submission: the priority less the age step in which the job
 * came. A long task counts as come later than it did, by a part of its expected run time: it yields to short ones, which
 * wait for a smaller part of what they take, but not for ever. Order: points, the project's share of decayed money, the job's id (its age), the ordinal.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

int64_t queue_points(const struct weir_core *c, int32_t priority, int64_t submitted_us, int64_t expected_us)
{
    if (c->conf.age_points_per_hour == 0) {
        return priority;
    }
    int64_t step_us = WEIR_US_PER_HOUR * 1000 / c->conf.age_points_per_hour;
    step_us = max_i64(step_us, 1) * AGE_STEP_POINTS;
    int64_t from_us = weir_i64_add_sat(submitted_us, weir_mul_div_sat(expected_us, c->conf.yield_per_mille, 1000));
    return priority - from_us / step_us * AGE_STEP_POINTS;
}

/* ---- classes ---- */

static uint64_t class_hash(const struct shape *s,
                           const struct project *p,
                           const struct limits *limits,
                           int64_t points,
                           int32_t priority,
                           int64_t deadline_us)
{
    const uint64_t key[] = {s->id, p->id, (uint64_t)points, (uint64_t)priority,
                            (uint64_t)deadline_us, (uint64_t)(uintptr_t)limits};
    return words_hash(key, WEIR_ARRAY_LEN(key));
}

struct class *class_get(struct weir_core *c,
                        struct shape *s,
                        struct project *p,
                        struct limits *limits,
                        int32_t priority,
                        int64_t submitted_us,
                        int64_t deadline_us)
{
    int64_t points = queue_points(c, priority, submitted_us, s->expected_us);
    uint64_t hash = class_hash(s, p, limits, points, priority, deadline_us);
    uint64_t head = 0;
    (void)weir_map_get(&c->class_by_hash, hash, &head);
    struct class *first = (struct class *)(uintptr_t)head;
    for (struct class *cl = first; cl != NULL; cl = cl->hash_next) {
        if (cl->shape == s && cl->project == p && cl->limits == limits && cl->points == points &&
            cl->priority == priority && cl->deadline_us == deadline_us) {
            cl->n_refs++;
            return cl;
        }
    }
    struct class *cl = weir_spares_alloc(&c->spare_classes, sizeof *cl);
    cl->shape = s;
    cl->want = s->want;
    cl->gpu_s = s->gpu_s;
    cl->model_kind = s->model_kind;
    cl->project = p;
    cl->limits = limits;
    cl->points = points;
    cl->priority = priority;
    cl->deadline_us = deadline_us;
    cl->n_refs = 1;
    cl->hash = hash;
    cl->hash_next = first;
    weir_map_put(&c->class_by_hash, hash, (uint64_t)(uintptr_t)cl);
    return cl;
}

void class_unref(struct weir_core *c, struct class *cl)
{
    WEIR_ASSERT(cl->n_refs > 0);
    if (--cl->n_refs > 0) {
        return;
    }
    WEIR_ASSERT(cl->first == NULL);
    claims_drop_class(c, cl);
    uint64_t head = 0;
    (void)weir_map_get(&c->class_by_hash, cl->hash, &head);
    struct class *x = (struct class *)(uintptr_t)head;
    if (x == cl) {
        if (cl->hash_next == NULL) {
            (void)weir_map_remove(&c->class_by_hash, cl->hash);
        } else {
            weir_map_put(&c->class_by_hash, cl->hash, (uint64_t)(uintptr_t)cl->hash_next);
        }
    } else {
        while (x->hash_next != cl) {
            x = x->hash_next;
        }
        x->hash_next = cl->hash_next;
    }
    weir_spares_give(&c->spare_classes, cl);
}

/* ---- jobs in classes, tasks in jobs ---- */

static void count_change(struct class *cl, int64_t tasks)
{
    cl->n_waiting = (uint64_t)((int64_t)cl->n_waiting + tasks);
    if (!cl->parked) {
        lane_count(cl, cl->lane, tasks);
    }
}

static void class_insert(struct weir_core *c, struct class *cl, struct job *j)
{
    cl->head_moves++;
    bool was_empty = cl->first == NULL;
    bool leads = !was_empty && !cl->parked && j->id < cl->first->id;
    if (leads) {
        lane_remove(cl->lane, cl, cl->first->id);
    }
    struct job *after = cl->last; /* usually the newest; else look from both ends at once */
    struct job *before = cl->first;
    while (after != NULL && after->id > j->id && before->id < j->id) {
        after = after->prev;
        before = before->next;
    }
    if (after != NULL && after->id > j->id) {
        after = before->prev; /* before->id > j->id: it goes in front of it */
    }
    j->prev = after;
    j->next = after == NULL ? cl->first : after->next;
    if (j->next != NULL) {
        j->next->prev = j;
    } else {
        cl->last = j;
    }
    if (after != NULL) {
        after->next = j;
    } else {
        cl->first = j;
    }
    j->queued = true;
    if (was_empty) {
        if (cl->limits != NULL) {
            limits_enter(c, cl);
        }
        if (!cl->parked) {
            class_fill(c, cl);
        }
    } else if (leads) {
        lane_insert(cl->lane, cl);
        if (cl->in_heap) {
            lane_heap_fix(c, cl->lane, NULL);
        }
    } else if (cl->parked && cl->first == j) {
        limits_reorder(c, cl);
    }
}

static void class_remove(struct weir_core *c, struct class *cl, struct job *j)
{
    cl->head_moves++;
    bool was_first = cl->first == j;
    if (was_first && !cl->parked) {
        lane_remove(cl->lane, cl, j->id);
    }
    if (j->prev != NULL) {
        j->prev->next = j->next;
    } else {
        cl->first = j->next;
    }
    if (j->next != NULL) {
        j->next->prev = j->prev;
    } else {
        cl->last = j->prev;
    }
    j->prev = NULL;
    j->next = NULL;
    j->queued = false;
    if (cl->first == NULL && cl->limits != NULL) {
        bool parked = cl->parked;
        limits_leave(c, cl);
        was_first = !parked;
    } else if (cl->parked) {
        if (was_first) {
            limits_reorder(c, cl);
        }
        was_first = false;
    }
    if (!was_first) {
        return;
    }
    c->claims_moved = true;
    if (cl->first != NULL) {
        lane_insert(cl->lane, cl);
        if (cl->in_heap) {
            lane_heap_fix(c, cl->lane, NULL);
        }
    } else {
        class_empty(c, cl);
    }
}

static void note_fresh(struct weir_core *c, struct class *cl)
{
    if (c->fresh.n == 0 || c->fresh.p[c->fresh.n - 1] != cl) {
        weir_vec_push(&c->fresh, cl);
    }
}

/* Takes it out of its lane; its jobs stay. */
void class_park(struct weir_core *c, struct class *cl)
{
    WEIR_ASSERT(!cl->parked && cl->first != NULL);
    cl->head_moves++;
    lane_count(cl, cl->lane, -(int64_t)cl->n_waiting);
    claims_drop_class(c, cl);
    lane_remove(cl->lane, cl, cl->first->id);
    class_empty(c, cl);
    cl->parked = true;
    c->claims_moved = true;
}

void class_unpark(struct weir_core *c, struct class *cl)
{
    WEIR_ASSERT(cl->parked && cl->first != NULL);
    cl->parked = false;
    cl->head_moves++;
    class_fill(c, cl);
    lane_count(cl, cl->lane, (int64_t)cl->n_waiting);
}

static bool job_may_start(const struct job *j)
{
    uint32_t active = j->count[WEIR_TASK_STARTING] + j->count[WEIR_TASK_RUNNING] +
                      j->count[WEIR_TASK_STOPPING];
    return j->count[WEIR_TASK_WAITING] > 0 &&
           (j->parallel_max == 0 || active < j->parallel_max);
}

void queue_update(struct weir_core *c, struct job *j)
{
    struct class *cl = j->class;
    bool may = job_may_start(j);
    if (may && !j->queued) {
        class_insert(c, cl, j);
        count_change(cl, j->count[WEIR_TASK_WAITING]);
        note_fresh(c, cl);
    } else if (!may && j->queued) {
        count_change(cl, -(int64_t)j->count[WEIR_TASK_WAITING]);
        class_remove(c, cl, j);
    }
}

void queue_move(struct weir_core *c, struct job *j, struct class *to)
{
    struct class *from = j->class;
    WEIR_ASSERT(from->project == to->project && from->limits == to->limits);
    if (j->queued) {
        count_change(from, -(int64_t)j->count[WEIR_TASK_WAITING]);
        class_remove(c, from, j);
    }
    j->class = to;
    if (from->want != to->want) {
        demand_change(c, from->want, -(int64_t)job_tasks_left(j));
        demand_change(c, to->want, job_tasks_left(j));
    }
    class_unref(c, from);
    queue_update(c, j);
}

void queue_add(struct weir_core *c, struct job *j, uint32_t ordinal)
{
    WEIR_ASSERT((j->waiting[ordinal / 64] >> ordinal % 64 & 1u) == 0);
    j->waiting[ordinal / 64] |= UINT64_C(1) << ordinal % 64;
    c->n_waiting++;
    j->class->head_moves++;
    j->class->project->waiting++;
    project_changed(c, j->class->project);
    if (j->queued) {
        count_change(j->class, 1);
        note_fresh(c, j->class);
    }
}

void queue_add_all(struct weir_core *c, struct job *j)
{
    uint32_t words = j->n_tasks / 64;
    memset(j->waiting, 0xff, words * sizeof j->waiting[0]);
    if (j->n_tasks % 64 != 0) {
        j->waiting[words] = (UINT64_C(1) << j->n_tasks % 64) - 1;
    }
    c->n_waiting += j->n_tasks;
    j->class->project->waiting += j->n_tasks;
    project_changed(c, j->class->project);
}

void queue_remove_all(struct weir_core *c, struct job *j)
{
    if (j->queued) {
        count_change(j->class, -(int64_t)j->count[WEIR_TASK_WAITING]);
        class_remove(c, j->class, j);
    }
    demand_change(c, j->class->want, -(int64_t)j->count[WEIR_TASK_WAITING]);
    c->n_waiting -= j->count[WEIR_TASK_WAITING];
    j->class->project->waiting -= j->count[WEIR_TASK_WAITING];
    j->count[WEIR_TASK_WAITING] = 0;
}

void queue_remove(struct weir_core *c, struct job *j, uint32_t ordinal)
{
    WEIR_ASSERT((j->waiting[ordinal / 64] >> ordinal % 64 & 1u) == 1);
    j->waiting[ordinal / 64] &= ~(UINT64_C(1) << ordinal % 64);
    c->n_waiting--;
    j->class->head_moves++;
    j->class->project->waiting--;
    project_changed(c, j->class->project);
    if (j->queued) {
        count_change(j->class, -1);
        c->claims_moved = c->claims_moved || j->class->first == j;
    }
}

void queue_rekey(struct weir_core *c, struct job *j)
{
    struct class *was = j->class;
    bool queued = j->queued;
    if (queued) {
        count_change(was, -(int64_t)j->count[WEIR_TASK_WAITING]);
        class_remove(c, was, j);
    }
    j->class = class_get(c, was->shape, was->project, j->payer->limits, was->priority, j->submitted_us, was->deadline_us);
    if (queued) {
        class_insert(c, j->class, j);
        count_change(j->class, j->count[WEIR_TASK_WAITING]);
        note_fresh(c, j->class);
    }
    class_unref(c, was);
}

uint32_t job_first_waiting(const struct job *j)
{
    uint32_t words = (j->n_tasks + 63) / 64;
    for (uint32_t i = 0; i < words; i++) {
        if (j->waiting[i] != 0) {
            return i * 64 + (uint32_t)__builtin_ctzll(j->waiting[i]);
        }
    }
    return UINT32_MAX;
}

uint32_t job_last_waiting(const struct job *j)
{
    uint32_t words = (j->n_tasks + 63) / 64;
    for (uint32_t i = words; i-- > 0;) {
        if (j->waiting[i] != 0) {
            return i * 64 + 63 - (uint32_t)__builtin_clzll(j->waiting[i]);
        }
    }
    return UINT32_MAX;
}
