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
    bool prefixed;       /* "12_7| " before each line */
    /* what was streamed last */
    char prefix[40];
    bool in_line;
    uint64_t offset;
    int64_t attempt;
    int write_errno; /* standard output is gone */
};

#define WEIR_FOLLOW_INIT                                                                                               \
    {                                                                                                                  \
        .out = PTHREAD_MUTEX_INITIALIZER                                                                               \
    }

/* Streams one task's log from its beginning until the task has ended. Errors: those of the API;
 * -WEIR_EIO where standard output cannot be written. */
int weir_follow_task(struct weir_client *a, const struct weir_ref *ref, struct weir_follow *f, struct weir_err *err);
/* All tasks of a job, one after the other, with prefixes where it is an array. */
int weir_follow_job(struct weir_client *a, uint64_t job, struct weir_follow *f, struct weir_err *err);
/* The log as it stands, of the given attempt (0: the last). */
int weir_follow_print(struct weir_client *a, const struct weir_ref *ref, uint64_t attempt, struct weir_follow *f,
                      struct weir_err *err);
