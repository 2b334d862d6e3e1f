/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the commands about jobs share: naming a job or a task, waiting for its end, its exit status.
 */

#include "api_client.h"

struct weir_ref {
    uint64_t job;
    uint32_t index; /* of the array, where has_index */
    bool has_index;
};

enum {
    WEIR_EXIT_TIMEOUT = 124, /* stopped at its max_duration, as timeout(1) */
    WEIR_EXIT_WEIR = 125,    /* weir itself could not run it */
    WEIR_EXIT_DETACHED = 130,
    WEIR_EXIT_OOM = 137,
    WEIR_EXIT_CANCELLED = 143,
};

/* "12" or "12_7". Errors: -WEIR_EINVAL. */
int weir_ref_parse(const char *text, struct weir_ref *ret, struct weir_err *err);
/* Adds "/v1/jobs/12". */
void weir_job_path(struct weir_str *path, uint64_t job);
int weir_job_get(struct weir_client *a, uint64_t job, json_t **ret, struct weir_err *err);
/* The job's only or first task, or the one with the index. */
int weir_task_get(struct weir_client *a, const struct weir_ref *ref, json_t **ret, struct weir_err *err);
bool weir_state_is_final(const char *state);

/*
 * Waits until the job (or the task of an array) has ended and gives it; gives up after limit
 * (0: never) with -WEIR_ETIMEOUT. A broker that goes away for a while is waited for.
 */
int weir_job_wait(struct weir_client *a, const struct weir_ref *ref, struct weir_dur limit, json_t **ret,
                  struct weir_err *err);

/* What an ended task's exit means for a shell. */
int weir_task_exit_status(const json_t *task);
/* The same of an ended job: 0, or its first failed task's, whose text job is given. */
int weir_job_exit_status(struct weir_client *a, json_t *job, int *ret, struct weir_err *err);
/* One line for a person about an ended job or task: "job 12 failed: exit code 7 on host1, 0.0042 USD". */
void weir_job_end_text(const json_t *o, int status, struct weir_str *out);

/* Why it is what it is: "exit"; "quota vision" where that holds it. */
/* "host1 and 2 more"; nothing where no task was placed. */
void weir_out_nodes(struct weir_str *out, const json_t *job);
void weir_out_reason(struct weir_str *out, const json_t *job);

/* Sleeps; for polls where the API offers no waiting. */
void weir_pause(struct weir_dur d);
