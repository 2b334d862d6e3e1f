/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A small process of the agent's own ("weir-spawner") that makes the supervisors of tasks. It is forked
 * before the agent loads libraries, opens sockets and fills its memory, so that what each start
 * copies is small; a supervisor that it makes is a child of the agent all the same. It ends when the
 * agent does, however that ends, and the agent forks for itself where there is no spawner.
 *
 * One start at a time: a request with the run's locked record, an answer with the process id.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "record.h"

struct weir_spawner {
    pid_t pid; /* 0: there is none */
    int fd;
};

struct weir_spawn {
    const char *dir;         /* of the run; absolute */
    struct weir_sv start;    /* the start command, as JSON text */
    int record_fd;           /* locked */
};

enum { WEIR_SPAWN_BYTES_MAX = 64 * 1024 };

/* Makes a supervisor, in the spawner. Returns its process id, or -errno where there is none. */
typedef pid_t weir_spawn_fn(void *ctx, const struct weir_spawn *s);

/* Forks the spawner; on failure there is none. keep_fd stays open in it; all other descriptors do not. */
void weir_spawner_open(struct weir_spawner *s, int keep_fd, weir_spawn_fn *fn, void *ctx);
void weir_spawner_close(struct weir_spawner *s);

enum weir_spawned {
    WEIR_SPAWNED,     /* *ret_pid is its process id */
    WEIR_SPAWN_NOT,   /* certainly nothing was started: fork instead */
    WEIR_SPAWN_MAYBE, /* the spawner was lost over it, and is gone: the record's lock tells */
};

/* Blocks for the time of a fork, 10 s at most. */
enum weir_spawned weir_spawner_start(struct weir_spawner *s, const struct weir_spawn *what, pid_t *ret_pid);
