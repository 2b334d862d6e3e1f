/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Following logs: bytes of a task's log go to standard output as they come, across attempts and
 * across times when the broker is away, each byte once.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "jobs.h"

struct weir_follow {
    pthread_mutex_t out; /* held while writing: whoever holds it keeps the log still */
    atomic_bool stop;    /* set from elsewhere: end as soon as the next bytes come */
    atomic_bool seen;    /* something was written */
    bool whole;          /* from the first attempt on, though a later one runs by now */
    bool prefixed;       /* "12_7| " before each line */
    bool one_task;       /* of an array: its lines need not say which one it is */
    int64_t rank;        /* of a gang: only this node's output; -1: of all, one after the other */
    /* what was streamed last */
    uint32_t streamed_rank;
    char prefix[64];
    bool in_line;
    uint64_t offset;
    int64_t attempt;
    int write_errno; /* standard output is gone */
};

#define WEIR_FOLLOW_INIT                                                                                               \
    {                                                                                                                  \
        .out = PTHREAD_MUTEX_INITIALIZER, .rank = -1                                                                   \
    }

/* Streams one task's log from its beginning until the task has ended; of a gang node after node, each line
 * headed by its node. Errors: those of the API; -WEIR_EIO where standard output cannot be written. */
int weir_follow_task(struct weir_client *a, const struct weir_ref *ref, struct weir_follow *f, struct weir_err *err);
/* All tasks of a job, one after the other, with prefixes where it is an array. */
int weir_follow_job(struct weir_client *a, uint64_t job, struct weir_follow *f, struct weir_err *err);
/* The log of a task as it stands, of the given attempt (0: the last); of a gang as weir_follow_task does. */
int weir_follow_print(struct weir_client *a, const struct weir_ref *ref, uint64_t attempt, struct weir_follow *f,
                      struct weir_err *err);
