/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"

enum { DELETE_BUDGET = 5000, RUN_DIRS_MAX = 2 * WEIR_AGENT_RUNS_MAX, SPARES_MAX = 256, SWEEPS = 3, ENVIRON_BYTES_MAX = 256 * 1024 };

#define LOG_BYTES_DEFAULT (UINT64_C(64) << 20)

bool agent_run_dir(const struct agent *a, struct weir_run_id run, char buf[static WEIR_PATH_SIZE])
{
    char name[WEIR_RUN_NAME_SIZE];
    int n = snprintf(buf, WEIR_PATH_SIZE, "%s/runs/%s", a->dir, weir_run_name(run, name));
    return n > 0 && n < WEIR_PATH_SIZE;
}

static bool spare_dir(const struct agent *a, unsigned i, char buf[static WEIR_PATH_SIZE])
{
    int n = snprintf(buf, WEIR_PATH_SIZE, "%s/spare/%u", a->dir, i);
    return n > 0 && n < WEIR_PATH_SIZE;
}

/* ---- the list of living supervisors ---- */

static struct live_run *live_add(struct agent *a, struct weir_run_id id, const char *dir, pid_t pid)
{
    struct live_run *r = weir_alloc(sizeof *r);
    r->agent = a;
    r->id = id;
    r->dir = weir_strdup(dir);
    r->pid = pid;
    r->pidfd = -1;
    if (pid > 0) {
        weir_map_put(&a->by_pid, (uint64_t)pid, a->live.n);
    }
    weir_vec_push(&a->live, r);
    return r;
}

static struct live_run *live_find(const struct agent *a, struct weir_run_id id)
{
    for (size_t i = 0; i < a->live.n; i++) {
        if (weir_run_id_eq(a->live.p[i]->id, id)) {
            return a->live.p[i];
        }
    }
    return NULL;
}

static void live_free(struct live_run *r)
{
    if (r->pidfd >= 0) {
        (void)close(r->pidfd);
    }
    free(r->dir);
    free(r);
}

static void on_poll_closed(uv_handle_t *h)
{
    live_free(h->data);
}

static void live_remove(struct agent *a, struct live_run *r)
{
    size_t at = 0;
    while (at < a->live.n && a->live.p[at] != r) {
        at++;
    }
    WEIR_ASSERT(at < a->live.n);
    (void)weir_map_remove(&a->by_pid, (uint64_t)r->pid);
    a->live.n--;
    if (at != a->live.n) {
        a->live.p[at] = a->live.p[a->live.n];
        if (a->live.p[at]->pid > 0) {
            weir_map_put(&a->by_pid, (uint64_t)a->live.p[at]->pid, at);
        }
    }
    if (r->polling) {
        r->polling = false;
        uv_close((uv_handle_t *)&r->poll, on_poll_closed);
    } else {
        live_free(r);
    }
}

void agent_runs_release(struct agent *a)
{
    while (a->live.n > 0) {
        live_remove(a, a->live.p[a->live.n - 1]);
    }
    weir_vec_release(&a->live);
    weir_map_release(&a->by_pid);
}

/* ---- ends ---- */

/* Kills every process whose environment says that it belongs to the run in dir. For what a dead
 * supervisor left behind; costs a walk over all processes. */
static void kill_by_environment(const char *dir)
{
    char want[WEIR_PATH_SIZE + 16], path[300];
    int n = snprintf(want, sizeof want, "WEIR_RUN_DIR=%s", dir);
    WEIR_CLEANUP(weir_freep) char *text = weir_alloc(ENVIRON_BYTES_MAX);
    DIR *proc = opendir("/proc");
    const struct dirent *e;
    while (proc != NULL && (e = readdir(proc)) != NULL) {
        uint64_t pid = 0;
        if (weir_parse_u64(weir_sv_of(e->d_name), 2, INT32_MAX, &pid, NULL) < 0 || pid == (uint64_t)getpid()) {
            continue;
        }
        (void)snprintf(path, sizeof path, "/proc/%s/environ", e->d_name);
        long got = weir_slurp(path, text, ENVIRON_BYTES_MAX);
        struct weir_sv rest = {text, got > 0 ? (size_t)got : 0};
        while (got > 0 && rest.p != NULL) {
            struct weir_sv line = weir_sv_cut(&rest, '\0');
            if (n > 0 && weir_sv_eq(line, (struct weir_sv){want, (size_t)n})) {
                (void)kill((pid_t)pid, SIGKILL);
                break;
            }
        }
    }
    if (proc != NULL) {
        (void)closedir(proc);
    }
}

static void cgroup_name(const struct agent *a, struct weir_run_id id, char *buf, size_t size)
{
    char name[WEIR_RUN_NAME_SIZE];
    (void)snprintf(buf, size, "weir-%.8s-%s", a->agent_id, weir_run_name(id, name));
}

/* The supervisor is gone and wrote no end: it was killed, or the host went down. */
static void clean_after_dead(struct agent *a, const char *dir, struct weir_run_id id)
{
    char name[96];
    struct weir_cgroup g;
    cgroup_name(a, id, name, sizeof name);
    weir_cgroup_of(&a->cgroups, name, &g);
    (void)weir_cgroup_kill(&g);
    kill_by_environment(dir);
    weir_cgroup_remove(&g);
    a->sweeps_left = SWEEPS; /* where it is still busy */
}

static uint64_t file_size(const char *dir, const char *name)
{
    char path[WEIR_PATH_SIZE];
    struct stat st;
    return weir_path_join(path, dir, name) && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* Fills end from the record, or says that the run was lost. */
static void end_of(struct agent *a, const char *dir, struct weir_run_id id, struct weir_agent_end *end, struct weir_wall *started)
{
    struct weir_record rec = {0};
    struct weir_err err = {0};
    bool locked = false;
    int rc = weir_record_read(dir, &rec, &locked, &err);
    if (rc == 0 && rec.has_end) {
        *end = rec.end;
        *started = rec.end.started;
        agent_run_energy(a, &rec.start, end);
        return;
    }
    clean_after_dead(a, dir, id);
    *end = (struct weir_agent_end){.reason = WEIR_REASON_NODE_LOST,
                                   .started = rec.started,
                                   .ended = weir_clock_wall(a->clock),
                                   .log_bytes = file_size(dir, "log")};
    *started = rec.started;
    (void)snprintf(end->text, sizeof end->text, "%.250s", rc < 0 ? err.text : "the task's supervisor was killed, or the host went down");
}

static void ended(struct agent *a, struct live_run *r)
{
    struct weir_agent_end end;
    struct weir_wall started = {0};
    struct weir_run_id id = r->id;
    agent_checkpoint_look(a, r, true);
    end_of(a, r->dir, id, &end, &started);
    live_remove(a, r);
    const struct weir_agent_event e = {.type = WEIR_AGENT_EV_RUN_ENDED, .run = id, .end = &end};
    agent_feed(a, &e);
}

void agent_runs_reap(struct agent *a)
{
    for (;;) {
        int status = 0;
        uint64_t at = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            return;
        }
        if (weir_map_get(&a->by_pid, (uint64_t)pid, &at)) {
            ended(a, a->live.p[at]);
        }
    }
}

static void on_pidfd(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    struct live_run *r = p->data;
    ended(r->agent, r);
}

/* ---- starting ---- */

static void feed_failed(struct agent *a, struct weir_run_id run, enum weir_reason reason, bool host_fault, const char *text)
{
    struct weir_agent_end end = {.reason = reason, .ended = weir_clock_wall(a->clock), .host_fault = host_fault};
    (void)snprintf(end.text, sizeof end.text, "%.250s", text);
    const struct weir_agent_event e = {.type = WEIR_AGENT_EV_RUN_ENDED, .run = run, .end = &end};
    agent_feed(a, &e);
}

/* index: among the devices that the agent offers */
static bool takes_device(const struct weir_start *s, uint32_t index)
{
    for (size_t i = 0; i < s->n_gpus; i++) {
        if (s->gpu[i] == index) {
            return true;
        }
    }
    return false;
}

/* The devices of the others are closed to the task, where the kernel lets us. */
static void deny_devices(struct agent *a, struct weir_shim *shim)
{
    if ((a->cgroups.controllers & WEIR_CGROUP_DEVICES) == 0) {
        return;
    }
    for (size_t i = 0; i < a->hardware.n_gpus; i++) {
        const struct weir_device *d = &a->hardware.gpu[i];
        if (d->dev_major == 0 || takes_device(shim->start, (uint32_t)i)) {
            continue;
        }
        shim->limits.deny_device[shim->limits.n_deny_devices++] = (struct weir_device_number){d->dev_major, d->dev_minor};
    }
    shim->facts.gpus_isolated = a->hardware.n_gpus > 0 && a->hardware.gpu[0].dev_major != 0;
}

static int check_start(const struct agent *a, const struct weir_start *s, struct weir_err *err)
{
    for (size_t i = 0; i < s->n_gpus; i++) {
        if (s->gpu[i] >= a->hardware.n_gpus) {
            return weir_fail(err, -WEIR_EINVAL, "GPU %u does not exist on node '%s', which has %zu", s->gpu[i], a->self.name, a->hardware.n_gpus);
        }
    }
    return 0;
}

static void fill_record(struct agent *a, const struct weir_start *s, struct weir_record_start *rec)
{
    rec->run = s->run;
    rec->rank = s->rank;
    rec->n_gpus = s->n_gpus;
    for (size_t i = 0; i < s->n_gpus; i++) {
        rec->gpu[i] = s->gpu[i];
        (void)weir_device_energy_mj(&a->hardware, &a->hardware.gpu[s->gpu[i]], &rec->gpu_mj[i]);
    }
    if (s->spec->checkpoint_path != NULL && s->spec->checkpoint_path[0] == '/') {
        (void)snprintf(rec->checkpoint, sizeof rec->checkpoint, "%s", s->spec->checkpoint_path);
    }
    if (s->spec->image != NULL) {
        (void)snprintf(rec->container, sizeof rec->container, "%s", weir_container_tool_name(a->container.tool));
    }
}

static pid_t fork_supervisor(struct agent *a, const struct weir_start *s, const char *dir, int record_fd, bool for_parent)
{
    struct weir_shim shim = {.dir = dir,
                             .record_fd = record_fd,
                             .null_fd = a->null_fd,
                             .start = s,
                             .facts = a->facts,
                             .cgroups = &a->cgroups,
                             .container = &a->container,
                             .log_bytes_max = a->conf->log_bytes_max != 0 ? a->conf->log_bytes_max : LOG_BYTES_DEFAULT,
                             .files = a->files,
                             .for_parent = for_parent};
    /* podman and docker have their own way to limit what they run; apptainer runs it below the supervisor like any task */
    if (s->spec->image == NULL || a->container.tool == WEIR_CONTAINER_APPTAINER) {
        shim.limits.mem_mib = s->spec->request.mem_mib;
        shim.limits.cpu_milli = s->spec->request.cpu_milli;
        deny_devices(a, &shim);
    }
    cgroup_name(a, s->run, shim.cgroup_name, sizeof shim.cgroup_name);
    memcpy(shim.container_name, shim.cgroup_name, sizeof shim.container_name);
    return weir_shim_fork(&shim);
}

pid_t agent_run_spawn(void *ctx, const struct weir_spawn *s)
{
    struct agent *a = ctx;
    struct weir_start start = {0};
    json_t *command = json_loadb(s->start.p, s->start.n, 0, NULL);
    int rc = command == NULL ? -WEIR_EINVAL : weir_start_read(command, a->models, &start, NULL);
    pid_t pid = -EINVAL;
    if (rc == 0) {
        pid = fork_supervisor(a, &start, s->dir, s->record_fd, true);
        pid = pid < 0 ? -errno : pid;
    }
    weir_start_release(&start);
    json_decref(command);
    return pid;
}

/* By the spawner, or, where there is none or it cannot, from here. */
static enum weir_spawned make_supervisor(struct agent *a, const json_t *command, const struct weir_start *start, const char *dir, int record_fd, pid_t *ret_pid)
{
    enum weir_spawned how = WEIR_SPAWN_NOT;
    WEIR_CLEANUP(weir_freep) char *text = a->spawner.pid == 0 ? NULL : json_dumps(command, JSON_COMPACT);
    if (text != NULL) {
        const struct weir_spawn what = {dir, weir_sv_of(text), record_fd};
        how = weir_spawner_start(&a->spawner, &what, ret_pid);
    }
    if (how == WEIR_SPAWN_NOT) {
        *ret_pid = fork_supervisor(a, start, dir, record_fd, false);
        how = *ret_pid < 0 ? WEIR_SPAWN_NOT : WEIR_SPAWNED;
    }
    return how;
}

void agent_run_start(struct agent *a, const struct weir_agent_command *c)
{
    char dir[WEIR_PATH_SIZE];
    struct weir_start start = {0};
    struct weir_record_start rec = {0};
    struct weir_err err = {0};
    WEIR_CLEANUP(weir_closep) int fd = -1;
    int rc = weir_start_read(c->start, a->models, &start, &err);
    rc = rc < 0 ? rc : check_start(a, &start, &err);
    bool host_fault = rc == 0; /* what fails from here on would fail for any task */
    if (rc == 0 && !agent_run_dir(a, c->run, dir)) {
        rc = weir_fail(&err, -WEIR_EIO, "the agent's directory name is too long");
    }
    if (rc == 0) {
        fill_record(a, &start, &rec);
        memcpy(rec.ticket, c->ticket, sizeof rec.ticket);
        char spare[WEIR_PATH_SIZE];
        bool has_spare = a->n_spares > 0 && spare_dir(a, a->n_spares - 1, spare);
        rc = weir_record_make(dir, has_spare ? spare : NULL, &rec, &fd, &err);
        a->n_spares -= has_spare && access(spare, F_OK) < 0 ? 1 : 0;
    }
    if (rc < 0) {
        /* A record that is there but was not taken over: whatever ran under it, it must not run again. */
        bool was_there = rc == -WEIR_EEXISTS;
        feed_failed(a, c->run, was_there ? WEIR_REASON_NODE_LOST : WEIR_REASON_START_FAILED, host_fault && !was_there,
                    was_there ? "a record of this run is left that cannot be read" : err.text);
        weir_start_release(&start);
        return;
    }
    struct weir_wall checkpoint = rec.checkpoint[0] != '\0' ? agent_checkpoint_time(rec.checkpoint) : (struct weir_wall){0};
    struct weir_wall at = weir_clock_wall(a->clock);
    pid_t pid = 0;
    enum weir_spawned how = make_supervisor(a, c->start, &start, dir, fd, &pid);
    int fork_errno = errno;
    weir_start_release(&start);
    if (how == WEIR_SPAWN_NOT) {
        (void)weir_dir_remove(dir, DELETE_BUDGET);
        (void)weir_fail(&err, -WEIR_EIO, "cannot make a process on node '%s': %s", a->self.name, strerror(fork_errno));
        feed_failed(a, c->run, WEIR_REASON_START_FAILED, true, err.text);
        return;
    }
    struct live_run *r = live_add(a, c->run, dir, pid);
    r->is_child = how == WEIR_SPAWNED;
    r->start = rec;
    r->checkpoint_seen = checkpoint;
    const struct weir_agent_event e = {.type = WEIR_AGENT_EV_RUN_STARTED, .run = c->run, .at = at, .pid = pid};
    agent_feed(a, &e);
    if (rec.checkpoint[0] != '\0' || how == WEIR_SPAWN_MAYBE) {
        agent_watch_more(a); /* one that may not have been started is looked at like one that was found */
    }
}

/* ---- stopping, deleting ---- */

/* Tells the supervisor to look at its stop file; carried: the stop itself, where that could not be written, else 0. */
static void signal_supervisor(const struct live_run *r, uint64_t carried)
{
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)(uintptr_t)carried;
    if (r->pidfd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, r->pidfd, SIGUSR1, &info, 0);
    } else if (r->is_child) {
        (void)sigqueue(r->pid, SIGUSR1, info.si_value);
    }
}

void agent_run_stop(struct agent *a, const struct weir_agent_effect *f)
{
    struct weir_err err = {0};
    struct live_run *r = live_find(a, f->run);
    if (r == NULL) {
        return; /* its end is on the way */
    }
    const struct weir_stop stop = {.signal = f->signal, .grace = f->grace, .reason = f->reason};
    uint64_t carried = 0;
    if (weir_stop_write(r->dir, &stop, &err) < 0) {
        weir_log(WEIR_LOG_WARNING, "agent.stop", "job=%llu error=\"%s\" text=\"its supervisor is told by signal alone\"",
                 (unsigned long long)f->run.task.job.v, err.text);
        carried = weir_stop_pack(&stop);
    }
    signal_supervisor(r, carried);
}

void agent_run_delete(struct agent *a, struct weir_run_id run)
{
    char dir[WEIR_PATH_SIZE], spare[WEIR_PATH_SIZE];
    if (!agent_run_dir(a, run, dir)) {
        return;
    }
    if (a->n_spares < SPARES_MAX && spare_dir(a, a->n_spares, spare) && weir_record_retire(dir, spare)) {
        a->n_spares++;
        return;
    }
    if (!weir_dir_remove(dir, DELETE_BUDGET)) {
        /* a large tree goes in pieces, at the starts of the agent */
        weir_log(WEIR_LOG_INFO, "agent.delete", "dir=\"%s\" left=yes", dir);
    }
}

/* ---- taking over ---- */

/* Watches a supervisor that is not our child. False where it cannot be watched yet. */
static bool watch_adopted(struct agent *a, struct live_run *r, pid_t pid)
{
    long fd = pid <= 0 ? -1 : syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return false;
    }
    /* The pid may have been given to another process meanwhile; only with the lock still held is it
     * the supervisor's. */
    struct weir_record rec;
    bool locked = false;
    if (weir_record_read(r->dir, &rec, &locked, NULL) < 0 || !locked) {
        (void)close((int)fd);
        return false;
    }
    r->poll.data = r;
    if (uv_poll_init(&a->loop, &r->poll, (int)fd) < 0) {
        (void)close((int)fd);
        return false; /* it is tried again */
    }
    r->pid = pid;
    r->pidfd = (int)fd;
    r->polling = true;
    (void)uv_poll_start(&r->poll, UV_READABLE, on_pidfd);
    /* A stop that the earlier agent wrote down may not have been signalled. */
    struct weir_stop stop;
    if (weir_stop_read(r->dir, &stop) == 0) {
        (void)syscall(SYS_pidfd_send_signal, r->pidfd, SIGUSR1, NULL, 0);
    }
    return true;
}

static void adopt(struct agent *a, const char *dir, const struct weir_record *rec, bool locked)
{
    struct weir_agent_event e = {.type = WEIR_AGENT_EV_RUN_FOUND, .run = rec->start.run, .rank = rec->start.rank, .ticket = rec->start.ticket, .pid = rec->pid, .at = rec->started};
    struct weir_agent_end end;
    e.size = file_size(dir, "log");
    if (!locked) {
        end_of(a, dir, rec->start.run, &end, &e.at);
        e.ended = true;
        e.end = &end;
        agent_feed(a, &e);
        return;
    }
    agent_feed(a, &e);
    struct live_run *r = live_add(a, rec->start.run, dir, 0);
    r->start = rec->start;
    r->checkpoint_seen = rec->start.checkpoint[0] != '\0' ? agent_checkpoint_time(rec->start.checkpoint) : (struct weir_wall){0};
    if (!watch_adopted(a, r, rec->pid)) {
        agent_watch_more(a);
    }
}

bool agent_runs_resolve(struct agent *a)
{
    bool left = false;
    for (size_t i = 0; i < a->live.n; i++) {
        struct live_run *r = a->live.p[i];
        struct weir_record rec = {0};
        bool locked = false;
        if (r->is_child || r->polling) {
            continue;
        }
        int rc = weir_record_read(r->dir, &rec, &locked, NULL);
        if (rc < 0 || !locked) {
            ended(a, r);
            return true; /* the list has changed: look again */
        }
        if (!watch_adopted(a, r, rec.pid)) {
            left = true;
        }
    }
    return left;
}

/* A group of a task whose supervisor was killed is busy until the last process is reaped: what could
 * not be removed then goes later, at the times when energy is read. */
static void sweep_group(void *ctx, const char *name)
{
    struct agent *a = ctx;
    char prefix[32];
    struct weir_run_id id;
    struct weir_cgroup g;
    int n = snprintf(prefix, sizeof prefix, "weir-%.8s-", a->agent_id);
    if (strncmp(name, prefix, (size_t)n) == 0 && weir_run_name_parse(weir_sv_of(name + n), &id) == 0 && live_find(a, id) == NULL) {
        weir_cgroup_of(&a->cgroups, name, &g);
        weir_cgroup_remove(&g);
    }
}

void agent_groups_sweep(struct agent *a)
{
    if (a->sweeps_left > 0) {
        a->sweeps_left--;
        weir_cgroups_each(&a->cgroups, sweep_group, a);
    }
}

int agent_runs_adopt(struct agent *a, struct weir_err *err)
{
    char path[WEIR_PATH_SIZE], dir[WEIR_PATH_SIZE];
    if (!weir_path_join(path, a->dir, "runs")) {
        return weir_fail(err, -WEIR_EIO, "the agent's directory name is too long");
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return weir_fail(err, -WEIR_EIO, "cannot make directory '%.300s': %s", path, strerror(errno));
    }
    if (weir_path_join(dir, a->dir, "spare")) {
        (void)weir_dir_remove(dir, DELETE_BUDGET);
        (void)mkdir(dir, 0700);
    }
    DIR *d = opendir(path);
    if (d == NULL) {
        return weir_fail(err, -WEIR_EIO, "cannot read directory '%.300s': %s", path, strerror(errno));
    }
    const struct dirent *e;
    unsigned seen = 0;
    while ((e = readdir(d)) != NULL && seen < RUN_DIRS_MAX) {
        struct weir_run_id id;
        struct weir_record rec;
        struct weir_err why = {0};
        bool locked = false;
        if (weir_run_name_parse(weir_sv_of(e->d_name), &id) < 0 || !weir_path_join(dir, path, e->d_name)) {
            continue;
        }
        seen++;
        int rc = weir_record_read(dir, &rec, &locked, &why);
        if (rc == 0 && weir_run_id_eq(rec.start.run, id)) {
            adopt(a, dir, &rec, locked);
        } else if (rc == -WEIR_ENOTFOUND) {
            (void)weir_dir_remove(dir, DELETE_BUDGET); /* never started, or forgotten */
        } else {
            weir_log(WEIR_LOG_WARNING, "agent.record", "dir=\"%s\" error=\"%s\"", dir, why.text);
        }
    }
    (void)closedir(d);
    a->sweeps_left = SWEEPS;
    agent_groups_sweep(a);
    return 0;
}

/* ---- ending a machine ---- */

static size_t stop_all(const char *runs, bool force)
{
    char dir[WEIR_PATH_SIZE];
    const struct weir_stop stop = {.signal = SIGKILL, .reason = WEIR_REASON_RECLAIM};
    size_t left = 0;
    DIR *d = opendir(runs);
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        struct weir_run_id id;
        struct weir_record rec;
        struct weir_stop already;
        bool locked = false;
        if (weir_run_name_parse(weir_sv_of(e->d_name), &id) < 0 || !weir_path_join(dir, runs, e->d_name) ||
            weir_record_read(dir, &rec, &locked, NULL) < 0 || !locked) {
            continue;
        }
        left++;
        bool told = weir_stop_read(dir, &already) == 0 && already.signal == SIGKILL && already.grace.us == 0;
        if (rec.pid > 0 && force) {
            (void)kill(rec.pid, SIGKILL);
            kill_by_environment(dir);
        } else if (rec.pid > 0 && !told && weir_stop_write(dir, &stop, NULL) == 0) {
            (void)kill(rec.pid, SIGUSR1);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return left;
}

int weir_agent_kill_runs(const char *dir, struct weir_dur timeout, struct weir_err *err)
{
    char runs[WEIR_PATH_SIZE];
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    if (!weir_path_join(runs, dir, "runs")) {
        return weir_fail(err, -WEIR_EIO, "directory name '%.200s' is too long", dir);
    }
    int64_t until = weir_i64_add_sat(weir_clock_mono(&weir_clock_os).us, timeout.us);
    size_t left = stop_all(runs, false);
    while (left > 0 && weir_clock_mono(&weir_clock_os).us < until) {
        (void)nanosleep(&pause, NULL);
        left = stop_all(runs, false);
    }
    if (left > 0) {
        left = stop_all(runs, true);
        return weir_fail(err, -WEIR_ETIMEOUT, "%zu tasks of '%.200s' did not end in time and were killed", left, dir);
    }
    return 0;
}
