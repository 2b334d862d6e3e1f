/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The queue inside the core, part of core_priv.h: classes and the tasks in them (queue.c), the lanes and levels in which they stand (lane.c).
 */

#include "base/vec.h"
#include "core/budget_priv.h"
#include "core/model.h"

struct job;
struct lane;
struct lane_want;
struct level;
struct limits;
struct project;
struct shape;
struct want;
struct weir_core;

struct class {
    struct shape *shape;
    struct want *want; /* the shape's */
    struct project *project;
    struct limits *limits; /* NULL: no budget or quota counts it */
    size_t limits_at;      /* its place there, while it has tasks that may start */
    bool parked;           /* a budget or quota has no room for it: it stands in no lane */
    bool narrow;           /* quotas have no room for it on some nodes that it fits: it gets no claim */
    uint64_t wants;        /* a bit for each quota of its limits, that shares, within whose own share it may start */
    int64_t points;
    int64_t deadline_us;
    int32_t priority;
    uint32_t n_refs; /* jobs */
    struct lane *lane;
    uint64_t head; /* the first job's id, while there is one */
    struct job *first;
    struct job *last;
    uint64_t n_waiting; /* tasks that may start, over the jobs in the list */
    int64_t gpu_s;      /* of one task; as the next one the shape's, to be summed up without a look at it */
    uint32_t model_kind;
    uint32_t head_moves; /* raised whenever another task may have come first */
    uint64_t hash;
    struct class *hash_next;
    struct lane_want *peers; /* while it has tasks that may start */
    bool in_heap; /* of its lane: it is to be weighed */
    bool for_room; /* it is so only because a node may have room for it now: where none has, nothing else is asked */
    uint64_t waited; /* the round of planning in which it was found to wait */
    uint64_t owed;   /* the round of claims in which it is due one */
    uint64_t looked; /* the step in which it was weighed because of room gained */
};

/* GPU seconds that wait, by kind of GPU wished for. */
struct backlog {
    uint32_t kind;
    int64_t gpu_s;
};

typedef WEIR_VEC(struct backlog) backlog_vec;

/* Classes by their first job, whose ids stand beside them: what is sought is found without a look at the classes. */
struct class_list {
    struct class **p;
    uint64_t *job;
    size_t n;
    size_t size;
};

/* Classes of a lane that want the same. */
struct lane_want {
    struct want *want;
    struct lane *lane;
    struct class_list class;
    uint64_t head; /* the first of their jobs */
    struct lane_want *next;         /* of the want's */
    struct lane_want *prev;
};

struct lane {
    struct project *project;
    struct level *level;
    struct class_list class;
    WEIR_VEC(struct lane_want *) want; /* by head */
    WEIR_VEC(struct class *) heap;  /* those to weigh, the oldest first */
    bool active;                    /* the heap is not empty */
    uint64_t n_waiting;
    uint32_t n_dated; /* classes with a deadline */
    int32_t priority_most; /* no class has more */
    backlog_vec backlog;
};

struct level {
    int64_t points;
    WEIR_VEC(struct lane *) lane; /* not empty ones; sorted by share when asked for */
    WEIR_VEC(struct lane *) active; /* those with classes to weigh, in no order */
    size_t active_at;               /* its place among the levels that have such lanes, while it has */
    uint64_t n_waiting;
    backlog_vec backlog;
};

/* ---- queue.c ---- */

struct class *class_get(struct weir_core *c,
                        struct shape *s,
                        struct project *p,
                        struct limits *limits,
                        int32_t priority,
                        int64_t submitted_us,
                        int64_t deadline_us);
void class_unref(struct weir_core *c, struct class *cl);
int64_t queue_points(const struct weir_core *c, int32_t priority, int64_t submitted_us, int64_t expected_us);
/* Puts the job into its class where it has tasks that may start, takes it out where not. */
void queue_update(struct weir_core *c, struct job *j);
/* The job's tasks are of another class now, which differs in its shape's run time or policy only and is referred to for it. */
void queue_move(struct weir_core *c, struct job *j, struct class *to);
/* A task begins or ceases to wait; its state was or will be moved by the caller. */
void queue_add(struct weir_core *c, struct job *j, uint32_t ordinal);
void queue_add_all(struct weir_core *c, struct job *j);
void queue_remove(struct weir_core *c, struct job *j, uint32_t ordinal);
/* All waiting tasks at once, of a job that goes away. */
void queue_remove_all(struct weir_core *c, struct job *j);
uint32_t job_first_waiting(const struct job *j);
uint32_t job_last_waiting(const struct job *j);
/* The payer's budgets are others: the job stands in another class. */
void queue_rekey(struct weir_core *c, struct job *j);
/* Takes a class whose tasks may not start for want of money out of the queue, or puts it back. */
void class_park(struct weir_core *c, struct class *cl);
void class_unpark(struct weir_core *c, struct class *cl);

/* ---- lane.c ---- */

void level_sort(struct weir_core *c, struct level *l);
void queue_release(struct weir_core *c);
/* It has tasks that may start: it waits in its lane. */
void class_fill(struct weir_core *c, struct class *cl);
/* It has none any more: it leaves its lane, from which lane_remove has taken it. */
void class_empty(struct weir_core *c, struct class *cl);
/* Puts the class where its first job tells, or takes it from where that job stood. */
void lane_insert(struct lane *lane, struct class *cl);
void lane_remove(struct lane *lane, struct class *cl, uint64_t job);
/* So many of the class's tasks more, or less, wait in the lane. */
void lane_count(const struct class *cl, struct lane *lane, int64_t tasks);
/* It is to be weighed; for_room: as the class's. */
void lane_heap_push(struct weir_core *c, struct class *cl, bool for_room);
/* The first to weigh, in queue order; NULL where there is none. */
struct class *queue_first(struct weir_core *c);
/* Takes it out. */
void queue_pop(struct weir_core *c, struct class *cl);
/* Takes a class out of those to weigh, or (where its first job changed) puts them in order again. */
void lane_heap_fix(struct weir_core *c, struct lane *lane, struct class *drop);
/* Of a parked class: where it would stand. */
struct queue_key class_key_outside(struct weir_core *c, const struct class *cl);
int queue_key_cmp(const struct queue_key *a, const struct queue_key *b);
/* GPU seconds of what waits before the class, of GPUs that it could use too. */
int64_t queue_ahead_gpu_s(struct weir_core *c, struct class *cl);
/* The same of all that waits at as many points or more, of whatever GPUs: no less than that. */
int64_t queue_until_gpu_s(struct weir_core *c, const struct class *cl);
uint32_t queue_ahead_tasks(struct weir_core *c, const struct job *j, uint32_t ordinal);
int64_t class_gpu_s(const struct class *cl);
