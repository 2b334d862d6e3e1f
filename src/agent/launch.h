/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Starting one process of a task. Everything is made ready before; between vfork and exec only system
 * calls are made.
 */

#include <sys/types.h>

#include "cgroup.h"
#include "container.h"
#include "start.h"

struct weir_launch_plan {
    char path[4096]; /* the program */
    char **argv;     /* borrowed */
    char **env;      /* borrowed */
    const char *workdir;
    int out_fd;
    int err_fd;
    const struct weir_cgroup *cgroup;
};

/* The words of a shell text: by its own #! line (written to `file` in the current directory, which is
 * dir), by bash for SkyPilot's tasks where the host has it, else by /bin/sh. Errors: as weir_launch_write. */
int weir_launch_text(const char *text,
                     const char *dir,
                     const char *file,
                     bool prefer_bash,
                     struct weir_argv *ret,
                     struct weir_err *err);

/* Writes a file in the current directory. Errors: -WEIR_EUNAVAIL: the host's fault, any task would meet it. */
int weir_launch_write(const char *file, const char *text, mode_t mode, struct weir_err *err);

/* Finds argv[0] along the PATH of the task's environment. Errors: -WEIR_ENOTFOUND. */
int weir_launch_resolve(struct weir_launch_plan *p, const char *path, struct weir_err *err);

/* The process, leader of a new session and group. Errors: -WEIR_EUNAVAIL where the host has no process or
 * descriptor left, else -WEIR_EIO; err names what failed (the directory, the program). */
int weir_launch(const struct weir_launch_plan *p, pid_t *ret, struct weir_err *err);

/* Closes every descriptor but the standard streams and these two. */
void weir_close_all_but(int a, int b);
