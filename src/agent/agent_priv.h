/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The agent program's own state, shared by agent.c (setting up, the loop, effects), calls.c (the
 * broker), runs.c (processes) and watch.c (timers). One thread.
 */

#include <uv.h>

#include "agent.h"
#include "base/clock.h"
#include "container.h"
#include "net/client.h"
#include "notice.h"
#include "record.h"
#include "shim.h"
#include "spawner.h"
#include "step.h"
#include "wire.h"

struct agent;
struct call;

/* A run whose supervisor lives, as far as is known. */
struct live_run {
    struct agent *agent;
    struct weir_run_id id;
    char *dir;
    pid_t pid;        /* of the supervisor; 0: found, but it has not written its line yet */
    bool is_child;    /* of this agent; else pidfd tells its end */
    int pidfd;        /* -1: none */
    uv_poll_t poll;   /* on pidfd */
    bool polling;
    struct weir_record_start start;
    struct weir_wall checkpoint_seen; /* modification time */
    struct weir_mono checkpoint_told;
};

struct queued_event {
    struct weir_agent_event e;
    struct weir_agent_end end;
    struct weir_agent_energy energy;
};

/* certificate.c: what the agent shows in place of a token */
struct agent_certificate {
    char cert[WEIR_PATH_SIZE];
    char key[WEIR_PATH_SIZE];
    bool has; /* it is shown */
    struct weir_wall ends;
    struct weir_wall renew_at;
};

struct agent {
    const struct weir_agent_conf *conf;
    const struct weir_clock *clock;
    uv_loop_t loop;
    struct weir_http *http;
    struct agent_certificate certificate;
    bool own_http;
    struct weir_agent_state state;
    int64_t published_expires_us;
    struct weir_agent_self self;
    struct weir_hardware hardware;
    struct weir_gpu_table *models;
    struct weir_cgroups cgroups;
    struct weir_container container;
    struct weir_env_facts facts;
    char *url; /* without trailing slash */
    char dir[WEIR_PATH_SIZE - 256];
    char agent_id[40];
    char boot_id[48];
    char host[256];
    char address[256];
    char home[1024];
    char user[256];
    char path[4096];
    char lang[64];
    char tz[128];
    int lock_fd;
    int null_fd;
    int tell_fd;
    struct weir_spawner spawner;
    uv_timer_t wake;
    uv_timer_t energy;
    uv_timer_t look;    /* checkpoints, the notice file, adopted runs without a pid */
    uv_signal_t sig_term;
    uv_signal_t sig_int;
    uv_signal_t sig_child;
    uv_poll_t tell;
    bool looking;
    /* runs */
    WEIR_VEC(struct live_run *) live;
    struct weir_map by_pid; /* pid -> place in live */
    unsigned sweeps_left;   /* for groups that may be left behind */
    unsigned n_spares;      /* directories of forgotten runs, ready for use */
    struct rlimit files; /* as they were at the start */
    /* energy since the start */
    uint64_t node_mj;
    uint64_t gpu_mj[WEIR_NODE_GPUS_MAX];
    uint64_t gpu_counter[WEIR_NODE_GPUS_MAX]; /* last reading */
    uint64_t rapl_counter;
    uint64_t cpu_busy_ticks; /* last reading */
    struct weir_mono energy_at;
    struct weir_notice *notice; /* NULL: none is asked for */
    bool notice_seen;
    /* events wait here while effects are carried out */
    WEIR_VEC(struct queued_event) queue;
    size_t queue_at;
    bool draining;
    struct call *calls; /* under way; owned */
    bool exiting;
    bool power_off;
    int exit_code;
    char exit_text[256];
    struct weir_str body;
};

/* agent.c: hands an event to the step function and carries out what it says. now, wall are filled in. */
void agent_feed(struct agent *a, const struct weir_agent_event *e);

/* calls.c */
void agent_call_join(struct agent *a);
void agent_call_sync(struct agent *a, uint64_t ack, int wait_ms);
void agent_call_report(struct agent *a);
void agent_call_log(struct agent *a, const struct weir_agent_effect *f);
/* Cancels the long poll, or everything. */
void agent_calls_cancel(struct agent *a, bool only_sync);

/* Has the certificate renewed; the join goes on meanwhile. */
void agent_call_renew(struct agent *a);

/* certificate.c */
bool agent_token_is_for_joining(const char *token);
/* What an earlier agent on this directory was given. */
void agent_certificate_load(struct agent *a);
/* The credential of a call: the certificate, else the token. */
void agent_certificate_show(const struct agent *a, struct weir_http_call *call);
/* Is one to be asked for before anything else? */
bool agent_certificate_is_wanted(const struct agent *a);
/* The body that asks for one. Errors: those of weir_tls_request. */
int agent_certificate_request(struct agent *a, struct weir_str *body, struct weir_err *err);
/* The broker's answer: kept, and shown from now on. */
int agent_certificate_take(struct agent *a, struct weir_sv reply, struct weir_err *err);
/* Half of its life is over. */
bool agent_certificate_is_due(const struct agent *a);
/* It was asked to be renewed; and that failed. */
void agent_certificate_asked(struct agent *a);
void agent_certificate_failed(struct agent *a, const char *text);
/* The broker takes neither what is shown: where there is another credential, that comes next. */
void agent_certificate_refused(struct agent *a);

/* runs.c */
/* Runs in the spawner, with what the agent knew when that was forked; ctx is the agent. */
weir_spawn_fn agent_run_spawn;
void agent_run_start(struct agent *a, const struct weir_agent_command *c);
void agent_run_stop(struct agent *a, const struct weir_agent_effect *f);
void agent_run_delete(struct agent *a, struct weir_run_id run);
/* Takes over what an earlier agent left. Errors: -WEIR_EIO. */
int agent_runs_adopt(struct agent *a, struct weir_err *err);
void agent_runs_reap(struct agent *a);
/* Looks again at adopted runs whose supervisor had not written its pid. True while there are any. */
bool agent_runs_resolve(struct agent *a);
/* Removes groups of tasks that are gone, a few times after there may be any. */
void agent_groups_sweep(struct agent *a);
void agent_runs_release(struct agent *a);
bool agent_run_dir(const struct agent *a, struct weir_run_id run, char buf[static WEIR_PATH_SIZE]);

/* watch.c */
void agent_watch_begin(struct agent *a);
/* Begins to ask for notices of reclaim, where it was told to. Errors: -WEIR_EINVAL. */
int agent_watch_notices(struct agent *a, struct weir_err *err);
/* Starts looking, where there is now something to look at. */
void agent_watch_more(struct agent *a);
void agent_energy_sample(struct agent *a);
/* What the run has used; the measured value where its GPUs have counters. */
void agent_run_energy(struct agent *a, const struct weir_record_start *start, struct weir_agent_end *end);
/* The newest modification time of a checkpoint (a file, or what is in a directory); 0: none. */
struct weir_wall agent_checkpoint_time(const char *path);
void agent_checkpoint_look(struct agent *a, struct live_run *r, bool last);
