/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A start command, read and checked; and what follows from it without touching the host: the
 * environment of the task and the file names that its patterns stand for.
 */

#include "core/gpu.h"
#include "hardware.h"
#include "spec/spec.h"
#include "step.h"

struct weir_start {
    struct weir_run_id run;
    uint32_t index; /* that a person wrote */
    uint32_t task_count;
    uint32_t index_min;
    uint32_t index_max;
    bool array;
    struct weir_spec *spec;
    char *user;
    char *project;
    uint32_t gpu[WEIR_AGENT_GPUS_MAX]; /* device indices */
    size_t n_gpus;
    uint32_t rank;
    uint32_t nodes;
    char **address; /* of the gang's nodes, by rank */
    size_t n_addresses;
    struct weir_dur max_duration; /* 0: no limit */
};

/* Errors: -WEIR_EINVAL, and those of weir_spec_from_json. */
int weir_start_read(const struct json_t *command,
                    struct weir_gpu_table *models,
                    struct weir_start *ret,
                    struct weir_err *err);
void weir_start_release(struct weir_start *s);

/* ---- environment ---- */

struct weir_env {
    char **p; /* "KEY=value", NULL-terminated once anything was set */
    size_t n;
    size_t size;
};

void weir_env_release(struct weir_env *e);
/* Sets or replaces. */
void weir_env_set(struct weir_env *e, const char *key, const char *value);
void weir_env_setf(struct weir_env *e, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* NULL where not set; borrowed until the next set. */
const char *weir_env_get(const struct weir_env *e, const char *key);

/* What the environment needs to know of the host; all borrowed, none NULL. */
struct weir_env_facts {
    const char *host;
    const char *user; /* operating system's */
    const char *home;
    const char *shell;
    const char *path;
    const char *lang;
    const char *tz; /* "" where not set */
    const char *address;
    const char *run_dir;
    const char *workdir;
    const char *node_name;
    const char *pool;
    const struct weir_hardware *hardware;
    /* the task can open only its own GPUs, and so its programs count them from 0 */
    bool gpus_isolated;
};

/*
 * The task's whole environment: a clean base, the job's own variables, and over them weir's, which a
 * job cannot change. The names of SkyPilot are always set. Of Slurm's, those that tell a task which
 * one it is are always set; the rest only for scripts that were written for Slurm, because MPI
 * launchers and training frameworks take them as a sign that srun exists.
 */
void weir_env_build(struct weir_env *e, const struct weir_start *s, const struct weir_env_facts *f);

/* The number that stands for Slurm's job id: unique for each task of an array, as Slurm's is. */
uint64_t weir_slurm_job_id(const struct weir_start *s);

/*
 * Slurm's file name patterns (%A %a %j %J %n %N %s %t %u %x %%, with a width as in %4a); anything else is
 * kept as it stands. "\\" in the pattern turns patterns off, as in sbatch.
 */
void weir_pattern_expand(const char *pattern,
                         const struct weir_start *s,
                         const struct weir_env_facts *f,
                         struct weir_str *out);
