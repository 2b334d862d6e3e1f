/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Budgets inside the core: their types, part of core_priv.h. What is done with them: limits.h. */

#include "base/vec.h"
#include "core/parked.h"
#include "core/quota.h"

struct class;

/* Where a class stands in the queue: compared field by field. */
struct queue_key {
    int64_t points; /* more comes first */
    int64_t share;
    uint64_t lane_job; /* the oldest of the lane: lanes stay together */
    uint64_t job;
};

struct budget {
    uint32_t id;
    bool changed;
    struct weir_budget def;
    int64_t from_us;  /* of the span; 0: no beginning */
    int64_t until_us; /* US_NEVER: no end */
    int64_t charged_micro;
    int64_t held_micro;
    uint8_t reached;
};

/* Project, user and tags of a job, interned. */
struct payer {
    uint32_t id;
    uint32_t project;
    uint32_t user;
    struct limits *limits; /* NULL: no budget counts it */
    bool anew;             /* in limits_rescope: no budget counted it before, and now one does */
    char tags[];
};

/* Quotas that lend each other what they do not use: of one model of GPU and one kind of scope, so that no task counts in two of them. */
struct cohort {
    uint8_t scope;
    uint16_t gpu_model;
    const char *tag; /* of tags: the key, as far as its end; borrowed from a member */
    size_t tag_n;
    int64_t limit; /* sums over the members */
    int64_t n;
    int64_t going;
    uint64_t n_wants;
    int64_t promised; /* in this round of planning, to those who want their own back */
    uint64_t round;
};

struct quota {
    uint32_t id;
    bool changed;
    struct weir_quota def;
    int64_t from_us; /* of the span, as a budget's */
    int64_t until_us;
    int64_t used_ms; /* by what has ended */
    int64_t n;       /* GPUs, machines or tasks that count now */
    int64_t going;   /* those of them that were told to stop */
    int64_t chosen;  /* and those that a search for borrowers to stop has found */
    struct cohort *cohort; /* NULL: it does not share */
    uint64_t n_wants; /* classes that may start within its share, as far as quotas and budgets go */
    weir_i128 end_ms;  /* timed ones: the sum over them of when they are given back at the latest */
    weir_i128 from_ms; /* and of when they began to count */
};

typedef WEIR_VEC(struct budget *) budget_vec;
typedef WEIR_VEC(struct quota *) quota_vec;

/* What of a quota is known beside a set: see park.c. */
struct gate {
    int64_t shut_least; /* of classes that are not parked: the least that a way needs of it which is shut for that */
    int64_t open_most;  /* and the most that one needs which is open */
    int64_t own_least;  /* the same of what is left of its own share, where it lends */
    int64_t own_most;
    int64_t parked_least; /* of those that are parked, the least that a way needs; where time alone gives something back */
    int64_t ebb_left;     /* what was left then */
};

/* A way to run a task of a shape: so many GPUs of such a model on a node, and where there are such. */
struct way {
    uint16_t gpu_model;
    uint16_t gpus;
    bool owned;
    bool rented; /* that are there, or that can be had */
};

enum { WAYS_MAX = 8 };

struct ways {
    uint32_t n; /* more than WAYS_MAX: there are others */
    struct way p[WAYS_MAX];
};

/* A set of budgets and quotas, interned. Those that all count the same task: its payer's. */
struct limits {
    uint32_t number;
    budget_vec budget; /* by id */
    quota_vec quota;   /* by id */
    WEIR_VEC(struct gate) gate; /* one for each quota */
    bool timed;        /* among the quotas is one of GPU time */
    bool shares;       /* or one that lends and borrows */
    uint64_t n_wants;  /* classes that want what is their own */
    bool ebbs;         /* or one of which something is given back as time goes */
    int64_t settled_us;
    uint32_t n_leases; /* live ones whose payer's these are */
    WEIR_VEC(struct class *) class; /* that have tasks that may start, and are not parked */
    struct parked parked;           /* the others */
    uint64_t put_kinds;             /* the version of node types as of which their needs are known, and whether they may ride */
    bool put_rides;
    WEIR_VEC(int64_t) row;          /* to work with: one for each column of them */
    WEIR_VEC(int64_t) left;         /* of each column, when it was last looked who has room */
    bool left_known;
    bool lets_in;                   /* somebody may have room; and who is the first, as of these versions */
    struct class *next;
    struct queue_key next_key;
    uint64_t next_budgets;
    uint64_t next_version;
    uint64_t wanting_budgets; /* as of these nobody who is parked may start within what is its own */
    uint64_t wanting_version;
    bool ebb_known;
    uint64_t settled;  /* the versions of budgets and world as of which it is known which of them are to be parked */
    uint64_t settled_world;
    bool rides;        /* what was so then: see is_unsettled */
    int64_t owned;
    int64_t rented;
    int64_t shut_owned;    /* the least that a class which is not parked lacks, where there are quotas that share */
    int64_t shut_rented;
    int64_t open_owned;    /* the most that a class which is not parked needs, so as to stay so */
    int64_t open_rented;
};

/* Held for what has ended, until its charges are known. */
struct unsettled {
    struct limits *limits;
    int64_t micro;
};
