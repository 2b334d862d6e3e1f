/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tasks in containers: which tool the host has, and the command line that runs a task with it. The
 * values of variables travel in the tool's environment, never on its command line, which every user
 * of the host can read.
 */

#include "hardware.h"
#include "start.h"

enum weir_container_tool {
    WEIR_CONTAINER_NONE,
    WEIR_CONTAINER_PODMAN,
    WEIR_CONTAINER_DOCKER,
    WEIR_CONTAINER_APPTAINER,
};

struct weir_container {
    enum weir_container_tool tool;
    char path[256]; /* of the program */
    bool cdi;       /* a CDI description of NVIDIA devices is installed */
    bool no_init;   /* podman without catatonit, which would refuse --init */
};

/* Looks along path (as in $PATH): podman, docker where its daemon's socket exists, apptainer,
 * singularity. */
void weir_container_find(struct weir_container *ret, const char *path);

/* Adds what the agent's own environment says to the tool (CONTAINERS_CONF, DOCKER_HOST, ...), where the job says nothing. */
void weir_container_tool_env(struct weir_env *env);
const char *weir_container_tool_name(enum weir_container_tool t);

/* In the run's directory: podman and docker write it once they have made the container. Their own exit code 125 without it
 * says that they could not (the image cannot be had, an option is refused); with it, it is the program's. */
#define WEIR_CONTAINER_ID_FILE "container_id"

struct weir_argv {
    char **p; /* NULL-terminated */
    size_t n;
    size_t size;
};
void weir_argv_add(struct weir_argv *a, const char *word);
void weir_argv_addf(struct weir_argv *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void weir_argv_release(struct weir_argv *a);

/*
 * The command that runs `command` (NULL-terminated, as seen inside) in the job's image. name is the
 * container's. env is the task's environment: its names are passed on, except those that the image
 * has its own values for (PATH, HOME, ...).
 * Errors: -WEIR_EUNAVAIL (no tool, or no way to pass GPUs; err says what to install).
 */
int weir_container_argv(const struct weir_container *c,
                        const struct weir_start *s,
                        const struct weir_hardware *h,
                        const struct weir_env *env,
                        const char *name,
                        const char *run_dir,
                        const char *workdir,
                        char *const *command,
                        struct weir_argv *ret,
                        struct weir_err *err);

/* The command that removes a container by force; empty where the tool leaves none behind. */
void weir_container_remove_argv(const struct weir_container *c, const char *name, struct weir_argv *ret);
