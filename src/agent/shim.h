/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The supervisor of one task, a process of its own ("weir-task") that the agent forks. It starts the
 * task in a session, process group and cgroup of its own, keeps its output, holds it to its time
 * limit, stops it when asked, ends every process that is left, and writes how it ended to the record.
 * It needs the agent for nothing: both may be killed, in any order.
 *
 * A stop reaches it as the file "stop" in the run's directory and SIGUSR1. That the log grew it tells
 * whoever listens on the datagram socket DIR/agent.sock.
 */

#include <sys/resource.h>

#include "cgroup.h"
#include "container.h"
#include "record.h"
#include "start.h"

#define WEIR_SHIM_SOCKET "agent.sock"

/* Model of what a processor draws, where nothing is measured. */
enum { WEIR_CPU_BUSY_MW = 8000, WEIR_CPU_IDLE_MW = 1500 };

/* Prepared by the agent; borrowed until the fork, after which each side has its own copy. */
struct weir_shim {
    const char *dir; /* of the run; absolute */
    int record_fd;   /* locked; the supervisor's from here */
    int null_fd;     /* /dev/null, open for both */
    const struct weir_start *start;
    struct weir_env_facts facts; /* run_dir and workdir are filled in by the supervisor */
    const struct weir_cgroups *cgroups;
    struct weir_cgroup_limits limits;
    char cgroup_name[96];
    char container_name[96];
    const struct weir_container *container;
    uint64_t log_bytes_max;
    struct rlimit files; /* what tasks get: the agent raises its own */
    bool for_parent;         /* it becomes a child of this process's parent, as the spawner makes it */
};

/* Starts a supervisor. Returns its process id, or -1 with errno. record_fd stays open here. */
pid_t weir_shim_fork(const struct weir_shim *s);
