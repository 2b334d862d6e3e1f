/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Control groups for tasks. Version 2 where this process's group was delegated to it, else version 1
 * where controllers are mounted separately and writable, else none. A task is never refused for want
 * of a group: what cannot be had is left out, and weir_cgroup_describe says so once.
 *
 * Devices are closed by version 1's controller, with version 2 by a program (device_filter.h) where the agent may load one.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "device_filter.h"

enum weir_cgroup_kind {
    WEIR_CGROUP_NONE,
    WEIR_CGROUP_V1,
    WEIR_CGROUP_V2,
};

enum weir_cgroup_controller {
    WEIR_CGROUP_MEMORY = 1 << 0,
    WEIR_CGROUP_CPU = 1 << 1,
    WEIR_CGROUP_DEVICES = 1 << 2,
    WEIR_CGROUP_PIDS = 1 << 3,
};

enum { WEIR_CGROUP_PATH_SIZE = 400 };

struct weir_cgroups {
    enum weir_cgroup_kind kind;
    unsigned controllers; /* WEIR_CGROUP_* that can be used */
    /* the directory in which tasks get theirs; v2: base[0] only */
    char base[4][WEIR_CGROUP_PATH_SIZE];
};

/* What one task is held to. Zero: not limited. */
struct weir_cgroup_limits {
    uint64_t mem_mib;
    uint32_t cpu_milli; /* a share, not a cap: idle cores are not wasted */
    uint32_t pids_max;
    struct weir_device_number deny_device[WEIR_DEVICE_FILTER_MAX];
    unsigned n_deny_devices;
};

/* The group of one task. */
struct weir_cgroup {
    enum weir_cgroup_kind kind;
    unsigned controllers; /* those it really has */
    char path[4][WEIR_CGROUP_PATH_SIZE];
    uint64_t oom_before;
};

/*
 * Finds what can be used below root ("/sys/fs/cgroup"; "" gives none) given the text of
 * /proc/self/cgroup, and prepares the directories. For version 2 it moves this process into a leaf of
 * its own, because a group with processes cannot have controlled children.
 */
void weir_cgroups_find(struct weir_cgroups *c, const char *root, const char *self_text);
/* One line for the log and for people: "v1 (memory, cpu, devices, pids)". */
const char *weir_cgroups_describe(const struct weir_cgroups *c, char *buf, size_t size);

/* Makes the task's groups, only of the controllers that limits need. */
void weir_cgroup_make(const struct weir_cgroups *c, const char *name, const struct weir_cgroup_limits *limits, struct weir_cgroup *ret);
/* Moves the calling process in. Async-signal-safe. False where some controller refused. */
bool weir_cgroup_enter(const struct weir_cgroup *g);
/* How many processes of the group the kernel killed for memory. False where that cannot be known. */
bool weir_cgroup_oom_kills(const struct weir_cgroup *g, uint64_t *ret);
/* SIGKILL to everything in it; false where the group cannot tell (none). */
bool weir_cgroup_kill(const struct weir_cgroup *g);
/* Removes the empty groups; what is not empty stays (and is swept at the next start). */
void weir_cgroup_remove(const struct weir_cgroup *g);
/* Calls fn for the name of every task's group that is there. */
void weir_cgroups_each(const struct weir_cgroups *c, void (*fn)(void *ctx, const char *name), void *ctx);
/* The groups that a task of that name would have, for cleaning up after a dead supervisor. */
void weir_cgroup_of(const struct weir_cgroups *c, const char *name, struct weir_cgroup *ret);

/* The limits that this process itself lives under; 0: none. */
uint32_t weir_cgroup_own_cpu_milli(void);
uint64_t weir_cgroup_own_mem_mib(void);
