/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Work to be replayed, one job after the other, from whatever form it was written down in; a file's form is recognised by its
 * first line. It is read as a stream, in constant memory however long it is.
 *
 * Jobs come in the order of their submission, those of one instant as they stand in the file. A file need not be sorted: a job may
 * stand up to a window of records behind its place. One that stands farther behind is refused, and the
 * message names its line.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/wtime.h"

enum weir_sim_job_end {
    WEIR_SIM_JOB_DONE,
    WEIR_SIM_JOB_FAILED,    /* on its own account, at a time limit, or with its node */
    WEIR_SIM_JOB_CANCELLED, /* by a person, after it had begun */
};

enum { WEIR_SIM_WHOLE_GPU = 1000, WEIR_SIM_JOB_NAME_SIZE = 40 };

/* What a form does not say is 0, NULL or the least that there is. */
struct weir_sim_job {
    uint64_t id;             /* a number for what the form calls it; not promised to be the only one */
    char name[WEIR_SIM_JOB_NAME_SIZE]; /* what the file calls it, for schedules; "": it has no name there. Cut where it is longer */
    uint64_t line;           /* where it stands in the file */
    struct weir_wall submit; /* Unix time where the form knows it, else since its begin; may be 0 */
    struct weir_wall start;  /* when it was started then; 0: not known */
    struct weir_dur duration;     /* true run time; may be 0 */
    struct weir_dur expected;     /* what was thought beforehand; 0: nothing */
    struct weir_dur max_duration; /* limit; 0: none */
    uint32_t nodes;          /* that it must be spread over evenly; 0: not said */
    uint32_t gpus;           /* in all */
    uint32_t gpu_milli;      /* of each GPU: WEIR_SIM_WHOLE_GPU, or less for a share of one */
    uint64_t cpu_milli;      /* in all */
    uint64_t mem_mib;        /* in all */
    uint64_t input_bytes;    /* data that it reads; 0: not said */
    uint32_t project;        /* numbers of names, 0: none */
    uint32_t user;
    const char *gpu_model;   /* NULL: any; several that will do stand between '|'. Valid until the workload is freed */
    int32_t priority;        /* higher is sooner */
    enum weir_sim_job_end end;
    int64_t cost_micro;      /* what it cost then; < 0: not known */
};

struct weir_sim_workload_options {
    size_t window;      /* records; 0: WEIR_SIM_WINDOW */
    bool as_it_stands;  /* in the file's order, whatever that is: for who sorts by rules of his own */
};

enum {
    WEIR_SIM_WINDOW = 1 << 16,
    WEIR_SIM_WINDOW_MAX = 1 << 26,
};

/* What a caller's own check may find fault with. */
enum weir_sim_job_field {
    WEIR_SIM_JOB_SUBMIT,
    WEIR_SIM_JOB_DURATION,
    WEIR_SIM_JOB_GPUS,
    _WEIR_SIM_JOB_FIELD_MAX
};

struct weir_sim_form {
    const char *name;
    const char *summary; /* one line, no full stop */
    const char *known_by; /* how a file's first line shows it, for people */
    const char *place[_WEIR_SIM_JOB_FIELD_MAX]; /* where it says these: "column 'gpus'" */
};
/* The forms, from 0; NULL behind the last. */
const struct weir_sim_form *weir_sim_form_at(size_t i);

struct weir_sim_workload;

/*
 * Opens a file, plain or gzip; "-" is the standard input. form NULL: found out from the first line. options may be NULL.
 * Errors: -WEIR_ENOTFOUND (the file, a form of that name), -WEIR_EINVAL (no known form: the message lists them; a column is
 * missing), -WEIR_EIO.
 */
int weir_sim_workload_open(struct weir_sim_workload **ret, const char *path, const char *form,
                           const struct weir_sim_workload_options *options, struct weir_err *err);
void weir_sim_workload_free(struct weir_sim_workload *w);
void weir_sim_workload_freep(struct weir_sim_workload **w);

/* The form that the file has. */
const char *weir_sim_workload_form(const struct weir_sim_workload *w);
/* 1: *ret is the next job; 0: there is none; or a negative code, and then the reader is good for nothing more. */
int weir_sim_workload_next(struct weir_sim_workload *w, struct weir_sim_job *ret, struct weir_err *err);
/* Puts "FILE:LINE: COLUMN: " of that job and field before what err says; for the caller's own checks. Returns code. */
int weir_sim_workload_fail_field(const struct weir_sim_workload *w, const struct weir_sim_job *job, enum weir_sim_job_field field,
                                 int code, struct weir_err *err);
/* The same for the job as a whole. */
int weir_sim_workload_fail(const struct weir_sim_workload *w, const struct weir_sim_job *job, int code, struct weir_err *err);

/* The number of a name, be it one that no job has had yet; 0 for "". */
uint32_t weir_sim_workload_number_project(struct weir_sim_workload *w, const char *name);
uint32_t weir_sim_workload_number_user(struct weir_sim_workload *w, const char *name);
/* The name behind a number that a job had; "" for 0. */
const char *weir_sim_workload_project(const struct weir_sim_workload *w, uint32_t project);
const char *weir_sim_workload_user(const struct weir_sim_workload *w, uint32_t user);
/* Records read so far that are no work to be replayed, because they never began or have not ended. */
uint64_t weir_sim_workload_skipped(const struct weir_sim_workload *w);
/* What all records of the file lack so that they are not told as they were, in words; NULL: nothing. */
const char *weir_sim_workload_lacks(const struct weir_sim_workload *w);
/* How much of the file has been read: 0..1000; 0 where that is not known. */
unsigned weir_sim_workload_permille(const struct weir_sim_workload *w);
