/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The node agent: joins a broker, runs tasks as real processes, keeps their logs, reports their ends
 * (docs/design/0002-agent-protocol.md). Every task has a small supervisor process of its own
 * ("weir-task") that outlives the agent, so that ending, upgrading or killing the agent ends no task:
 * the next agent started on the same directory takes the tasks over.
 *
 * What decides is pure and stands in step.h; this is the program around it.
 */

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/wtime.h"

struct weir_http;

/* Borrowed until weir_agent_main returns. Zero and NULL mean the default. */
struct weir_agent_conf {
    const char *url;    /* of the broker, "https://host:7070"; a trailing slash is fine */
    const char *token;  /* credential; NULL: none is sent */
    const char *ca_pem; /* the broker's authority as PEM text; NULL: the system's */
    const char *dir;    /* the agent's own; made where absent; one agent at a time */
    const char *name;   /* NULL: the host's name */
    const char *pool;   /* NULL: "local" */
    const char *address; /* where other nodes of a gang reach this one; NULL: found */
    uint64_t lease;     /* of a rented machine; 0: owned */
    struct weir_wall lease_expires; /* powers itself off then; 0: only when the broker says so */
    const char *gpus;    /* declared devices, "A100:4"; NULL: as found */
    uint32_t cpu_milli;  /* 0: as found */
    uint64_t mem_mib;    /* 0: as found */
    const char *notice_path; /* {"reclaim_at": us} appears there when the machine is reclaimed; NULL: none */
    const char *notice; /* whose metadata service is asked for notices of reclaim (notice.h); NULL: none */
    const char *notice_url; /* of that service; NULL: its own */
    /* Run (and not waited for) after a power-off, argv[0] being a path; NULL: only the agent ends.
     * For machines that must end themselves: {"/sbin/poweroff", NULL}. */
    const char *const *power_off_argv;
    uint64_t log_bytes_max; /* kept of one run's output; 0: 64 MiB */
    unsigned protocol;      /* spoken to the broker; 0: the one that this agent implements */
    /* For tests: where the host's facts are read. */
    const char *nvml_path;  /* NULL: "libnvidia-ml.so.1" */
    const char *sys_root;   /* in place of "/sys" for amdgpu and RAPL */
    const char *cgroup_root; /* in place of "/sys/fs/cgroup"; "" disables cgroups */
    struct weir_http *http; /* borrowed; NULL: libcurl */
};

/*
 * Runs until SIGTERM or SIGINT (tasks go on running; returns 0), until the broker or the lease's
 * expiry orders a power-off (tasks are stopped first; returns 0), or until it cannot go on.
 * Errors: -WEIR_EINVAL (conf), -WEIR_EINUSE (another agent runs on dir), -WEIR_EVERSION (the broker
 * speaks another protocol), -WEIR_EIO.
 */
int weir_agent_main(const struct weir_agent_conf *conf, struct weir_err *err);

/* Would these declared devices be taken? -WEIR_EINVAL where not. What is taken but looks wrong, a model that nobody knows, is told in *doubt. */
int weir_agent_check_gpus(const char *text, struct weir_str *doubt, struct weir_err *err);

/*
 * Ends all tasks of the agent directory at once (SIGKILL) and waits up to timeout for their
 * supervisors to be gone. For machines that are agent processes: ending the agent alone leaves its
 * tasks running. The agent should have been ended before. A directory without an agent: no-op.
 * Errors: -WEIR_ETIMEOUT (some are left), -WEIR_EIO.
 */
int weir_agent_kill_runs(const char *dir, struct weir_dur timeout, struct weir_err *err);
