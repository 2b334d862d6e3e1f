/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is kept of a run on disk, so that agent and supervisor may each be killed at any moment:
 *
 *     DIR/runs/12_3_1/record.jsonl   line 1 by the agent before the start, 2 by the supervisor when
 *                                    the task runs, 3 when it has ended
 *     DIR/runs/12_3_1/log            the task's output
 *     DIR/runs/12_3_1/stop           a stop that was asked for
 *     DIR/runs/12_3_1/cwd            where the task runs, where the job names no directory
 *
 * A line counts once its newline is there. The supervisor holds a lock (flock) on record.jsonl while
 * it lives, taken by the agent before the fork and inherited: a record without end and without lock
 * is a run whose supervisor died. Records are not synced to disk: a host that crashes loses its tasks
 * with their records, and the broker learns that from the runs that are missing at the next join.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "step.h"
#include "wire.h"

enum { WEIR_RECORD_BYTES_MAX = 64 * 1024, WEIR_PATH_SIZE = 4096 };

/* Line 1: what a later agent needs to know of the run. */
struct weir_record_start {
    struct weir_run_id run;
    uint32_t rank;
    char ticket[WEIR_AGENT_TICKET_SIZE]; /* for its log; "" none */
    size_t n_gpus;
    uint32_t gpu[WEIR_AGENT_GPUS_MAX];
    uint64_t gpu_mj[WEIR_AGENT_GPUS_MAX]; /* counters at the start; 0: none */
    char checkpoint[1024];                /* "" none */
    char container[16];                   /* the tool; "" none */
};

struct weir_record {
    struct weir_record_start start;
    pid_t pid;      /* the supervisor; 0: line 2 is not there */
    pid_t task_pid; /* the leader of the task's process group */
    struct weir_wall started;
    bool has_end;
    struct weir_agent_end end;
};

struct weir_stop {
    int signal;
    struct weir_dur grace;
    enum weir_reason reason;
};

/*
 * Makes the directory dir (of one run) and its record, locked. The descriptor is returned; the lock
 * lives as long as it or a copy of it. spare (may be NULL) is a directory that weir_record_retire left:
 * it is used up. -WEIR_EEXISTS: dir is there already, nothing was changed.
 * Errors: -WEIR_ENOSPACE, -WEIR_EIO.
 */
int weir_record_make(const char *dir,
                     const char *spare,
                     const struct weir_record_start *start,
                     int *ret_fd,
                     struct weir_err *err);

/*
 * Makes the directory of a forgotten run ready for another and moves it to spare, which must not be
 * there: a file system takes longer to make and unmake files than weir to start a task. False, and
 * then dir is to be removed, where the run left anything of its own.
 */
bool weir_record_retire(const char *dir, const char *spare);

/* Lines 2 and 3, by the supervisor. Errors: -WEIR_EIO, -WEIR_ENOSPACE. */
int weir_record_add_started(int fd, pid_t pid, pid_t task_pid, struct weir_wall at);
int weir_record_add_end(int fd, const struct weir_agent_end *end);

/*
 * Reads dir's record. *ret_locked tells whether a supervisor lives. -WEIR_ENOTFOUND: there is none, or its
 * first line is not whole: the run was never started. Errors: -WEIR_ECORRUPT, -WEIR_EIO.
 */
int weir_record_read(const char *dir, struct weir_record *ret, bool *ret_locked, struct weir_err *err);

/* The stop file, replaced atomically. */
int weir_stop_write(const char *dir, const struct weir_stop *stop, struct weir_err *err);
/* -WEIR_ENOTFOUND where none was asked for. */
int weir_stop_read(const char *dir, struct weir_stop *ret);
/* The stop as the value of the signal that tells of it, for where the file cannot be written: a task that has filled the
 * disk must still be stopped. Never 0; the grace is in whole milliseconds. */
uint64_t weir_stop_pack(const struct weir_stop *stop);
/* False where the value holds none. */
bool weir_stop_unpack(uint64_t value, struct weir_stop *ret);

/* Joins two path pieces; false where the result is too long. */
bool weir_path_join(char buf[static WEIR_PATH_SIZE], const char *dir, const char *name);
/* Removes a directory and what is in it, at most `budget` entries; true once all of it is gone. Never
 * follows links, never leaves the file system. */
bool weir_dir_remove(const char *path, unsigned budget);
