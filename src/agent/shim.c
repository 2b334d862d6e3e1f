/* SPDX-License-Identifier: Apache-2.0 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "launch.h"
#include "runlog.h"

/* After the time limit, where the job does not say how long its checkpoint takes. */
#define TIMEOUT_GRACE_US (10 * WEIR_US_PER_S)
/* Processes that do not go after SIGKILL hang in the kernel: do not wait for them for ever. */
#define KILL_PATIENCE_US (20 * WEIR_US_PER_S)
#define TELL_EVERY_US (20 * WEIR_US_PER_MS)

enum { READ_BYTES = 64 * 1024, READS_AT_ONCE = 16, CHILDREN_BYTES_MAX = 64 * 1024 };

struct stream {
    int fd;      /* read end; -1: closed */
    int copy_fd; /* Slurm's file; -1: none */
};

struct supervisor {
    const struct weir_shim *c;
    struct weir_env env;
    struct weir_env_facts facts;
    char workdir[WEIR_PATH_SIZE];
    struct weir_cgroup cgroup;
    uint64_t host_oom_before; /* the host's counter when the first process was started */
    struct weir_run_log log;
    struct stream out;
    struct stream err;
    int out_write_fd; /* the task's ends, kept until the last process was started */
    int err_write_fd;
    int signal_fd;
    int tell_fd;
    char *buffer;
    uint64_t told_size;
    int64_t tell_at; /* 0: nothing to tell */
    pid_t task;      /* the process under way */
    bool task_done;
    int task_status;
    bool childless; /* nothing of the task is left */
    bool announced; /* line 2 of the record is written */
    struct weir_wall started;
    int64_t deadline; /* mono us; 0: none */
    enum weir_reason stop; /* why it is being stopped; NONE: it is not */
    int64_t kill_at;  /* mono us; 0: not stopping */
    bool in_setup;
    bool unmade; /* the container tool failed before there was a container */
};

static int64_t now_us(void)
{
    return weir_clock_mono(&weir_clock_os).us;
}

/* The host's count of processes killed for memory since boot; 0 where it is not known. */
static uint64_t host_oom_kills(void)
{
    char text[16 * 1024];
    long n = weir_slurp("/proc/vmstat", text, sizeof text);
    struct weir_sv rest = {text, n > 0 ? (size_t)n : 0};
    uint64_t v = 0;
    while (n > 0 && rest.p != NULL) {
        struct weir_sv value = weir_sv_cut(&rest, '\n');
        struct weir_sv key = weir_sv_cut(&value, ' ');
        if (weir_sv_eq(key, WEIR_SV("oom_kill"))) {
            (void)weir_parse_u64(weir_sv_trim(value), 0, UINT64_MAX, &v, NULL);
        }
    }
    return v;
}

/* ---- output ---- */

static void tell(struct supervisor *s)
{
    char text[128], name[WEIR_RUN_NAME_SIZE];
    s->tell_at = 0;
    if (s->log.size == s->told_size) {
        return;
    }
    if (s->tell_fd < 0) {
        s->tell_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "../../" WEIR_SHIM_SOCKET};
    int n = snprintf(text, sizeof text, "log %s %llu", weir_run_name(s->c->start->run, name), (unsigned long long)s->log.size);
    /* nobody listening is fine: the next agent looks at the file itself */
    if (sendto(s->tell_fd, text, (size_t)n, 0, (const struct sockaddr *)&to, sizeof to) < 0 && errno == EAGAIN) {
        s->tell_at = now_us() + TELL_EVERY_US;
        return;
    }
    s->told_size = s->log.size;
}

static void copy_out(struct stream *t, const char *p, size_t n)
{
    while (t->copy_fd >= 0 && n > 0) {
        ssize_t wrote = write(t->copy_fd, p, n);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            return; /* the log has it all the same */
        }
        p += wrote;
        n -= (size_t)wrote;
    }
}

/* Reads what is there, but not for ever: a flood must not keep signals and time limits waiting. */
static void pump(struct supervisor *s, struct stream *t, unsigned reads)
{
    while (t->fd >= 0 && reads-- > 0) {
        if (s->buffer == NULL) {
            s->buffer = weir_alloc(READ_BYTES);
        }
        ssize_t n = read(t->fd, s->buffer, READ_BYTES);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            (void)close(t->fd);
            t->fd = -1;
            return;
        }
        bool first = s->log.size == 0;
        weir_run_log_write(&s->log, s->buffer, (size_t)n);
        copy_out(t, s->buffer, (size_t)n);
        if (first) {
            tell(s);
        } else if (s->tell_at == 0) {
            s->tell_at = now_us() + TELL_EVERY_US;
        }
    }
}

/* ---- processes ---- */

static void reap(struct supervisor *s)
{
    for (;;) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == s->task) {
            s->task_done = true;
            s->task_status = status;
        }
        if (pid < 0 && errno == ECHILD) {
            s->childless = true;
        }
        if (pid <= 0) {
            return;
        }
    }
}

/* What was orphaned by the task comes to us, the subreaper. */
static void kill_children(void)
{
    char path[64];
    WEIR_CLEANUP(weir_freep) char *text = weir_alloc(CHILDREN_BYTES_MAX);
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    long n = weir_slurp(path, text, CHILDREN_BYTES_MAX);
    struct weir_sv rest = {text, n > 0 ? (size_t)n : 0};
    while (n > 0 && rest.p != NULL) {
        uint64_t pid = 0;
        if (weir_parse_u64(weir_sv_cut(&rest, ' '), 2, INT32_MAX, &pid, NULL) == 0) {
            (void)kill((pid_t)pid, SIGKILL);
        }
    }
}

static void signal_task(struct supervisor *s, int signal)
{
    if (s->task > 0 && !s->childless) {
        (void)kill(-s->task, signal);
    }
}

static void begin_stop(struct supervisor *s, enum weir_reason reason, int signal, int64_t grace_us)
{
    int64_t kill_at = weir_i64_add_sat(now_us(), grace_us);
    if (s->stop == WEIR_REASON_NONE) {
        s->stop = reason;
        s->kill_at = kill_at;
    } else if (kill_at < s->kill_at) {
        s->kill_at = kill_at; /* in more of a hurry than the first */
    }
    signal_task(s, signal);
    signal_task(s, SIGCONT); /* a stopped process would not hear it */
}

static void read_signals(struct supervisor *s)
{
    struct signalfd_siginfo info[8];
    ssize_t n = read(s->signal_fd, info, sizeof info);
    for (ssize_t i = 0; i < n / (ssize_t)sizeof info[0]; i++) {
        struct weir_stop stop;
        bool carried = info[i].ssi_code == SI_QUEUE && weir_stop_unpack(info[i].ssi_ptr, &stop);
        if (info[i].ssi_signo == SIGUSR1 && (carried || weir_stop_read(".", &stop) == 0)) {
            begin_stop(s, stop.reason, stop.signal, stop.grace.us);
        }
    }
    reap(s);
}

static int poll_timeout_ms(const struct supervisor *s, int64_t until)
{
    int64_t at = until;
    int64_t due[] = {s->stop == WEIR_REASON_NONE ? s->deadline : 0, s->kill_at, s->tell_at};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(due); i++) {
        if (due[i] != 0 && (at == 0 || due[i] < at)) {
            at = due[i];
        }
    }
    if (at == 0) {
        return -1;
    }
    int64_t left = weir_i64_sub_sat(at, now_us());
    return left <= 0 ? 0 : left > 3600 * WEIR_US_PER_S ? 3600 * 1000 : (int)((left + 999) / 1000);
}

/* One round of waiting; until (mono us, 0: none) bounds it. */
static void wait_once(struct supervisor *s, int64_t until)
{
    struct pollfd fd[3] = {{.fd = s->signal_fd, .events = POLLIN},
                           {.fd = s->out.fd, .events = POLLIN},
                           {.fd = s->err.fd, .events = POLLIN}};
    if (poll(fd, 3, poll_timeout_ms(s, until)) > 0) {
        if (fd[1].revents != 0) {
            pump(s, &s->out, READS_AT_ONCE);
        }
        if (fd[2].revents != 0) {
            pump(s, &s->err, READS_AT_ONCE);
        }
        if (fd[0].revents != 0) {
            read_signals(s);
        }
    }
    if (s->tell_at != 0 && now_us() >= s->tell_at) {
        tell(s);
    }
}

static void end_all(struct supervisor *s)
{
    int64_t until = now_us() + KILL_PATIENCE_US;
    while (!s->childless && now_us() < until) {
        (void)weir_cgroup_kill(&s->cgroup);
        signal_task(s, SIGKILL);
        kill_children();
        reap(s);
        if (!s->childless) {
            /* children of what dies now come to us a moment later */
            int64_t soon = now_us() + 10 * WEIR_US_PER_MS;
            wait_once(s, soon < until ? soon : until);
        }
    }
}

/* Waits for the process under way, the time limit and stops; then nothing of it is left. */
static void watch(struct supervisor *s)
{
    while (!s->childless) {
        wait_once(s, 0);
        if (s->stop == WEIR_REASON_NONE && s->deadline != 0 && now_us() >= s->deadline) {
            const struct weir_spec *spec = s->c->start->spec;
            int64_t grace = spec->request.checkpoint_grace.us;
            begin_stop(s, WEIR_REASON_TIMEOUT, spec->checkpoint_signal > 0 ? spec->checkpoint_signal : SIGTERM, grace > 0 ? grace : TIMEOUT_GRACE_US);
        }
        if (s->kill_at != 0 && now_us() >= s->kill_at) {
            break;
        }
        /* A shell that the signal ended must not take down a program that still writes its
         * checkpoint: in a stop, the grace time is for all processes. */
        if (s->task_done && s->stop == WEIR_REASON_NONE) {
            break;
        }
    }
    end_all(s);
}

/* ---- starting ---- */

static int spawn(struct supervisor *s, const struct weir_argv *argv, struct weir_err *err)
{
    struct weir_launch_plan plan = {.argv = argv->p,
                                    .env = s->env.p,
                                    .workdir = s->workdir,
                                    .out_fd = s->out_write_fd,
                                    .err_fd = s->err_write_fd,
                                    .cgroup = &s->cgroup};
    int rc = weir_launch_resolve(&plan, weir_env_get(&s->env, "PATH"), err);
    if (rc == 0) {
        rc = weir_launch(&plan, &s->task, err);
    }
    if (rc < 0) {
        return rc;
    }
    s->task_done = false;
    s->childless = false;
    if (!s->announced) {
        s->announced = true;
        (void)weir_record_add_started(s->c->record_fd, getpid(), s->task, s->started);
        s->host_oom_before = (s->cgroup.controllers & WEIR_CGROUP_MEMORY) != 0 ? 0 : host_oom_kills();
    }
    return 0;
}

static int make_workdir(struct supervisor *s, struct weir_err *err)
{
    const char *want = s->c->start->spec->workdir;
    int n;
    if (want == NULL || want[0] == '\0') {
        n = snprintf(s->workdir, sizeof s->workdir, "%s/cwd", s->c->dir);
        if (mkdir("cwd", 0700) < 0 && errno != EEXIST) {
            return weir_fail(err, -WEIR_EUNAVAIL, "cannot make directory '%.200s': %s", s->workdir, strerror(errno));
        }
    } else if (want[0] == '~' && (want[1] == '/' || want[1] == '\0')) {
        n = snprintf(s->workdir, sizeof s->workdir, "%s%s", s->facts.home, want + 1);
    } else if (want[0] != '/') {
        n = snprintf(s->workdir, sizeof s->workdir, "%s/%s", s->facts.home, want);
    } else {
        n = snprintf(s->workdir, sizeof s->workdir, "%s", want);
    }
    if (n < 0 || (size_t)n >= sizeof s->workdir) {
        return weir_fail(err, -WEIR_EIO, "the working directory's name is too long");
    }
    struct stat st;
    if (stat(s->workdir, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return weir_fail(err,
                         -WEIR_EIO,
                         "working directory '%.200s' %s on node '%s'; name one that is there, or none",
                         s->workdir,
                         errno == EACCES ? "cannot be entered" : "does not exist",
                         s->facts.node_name);
    }
    return 0;
}

static int open_copy(struct supervisor *s, const char *pattern, int *ret_fd, struct weir_err *err)
{
    char path[WEIR_PATH_SIZE];
    struct weir_str name = WEIR_STR_INIT(2048);
    weir_pattern_expand(pattern, s->c->start, &s->facts, &name);
    const char *z = weir_str_cstr(&name);
    int n = snprintf(path, sizeof path, "%s%s%s", z[0] == '/' ? "" : s->workdir, z[0] == '/' ? "" : "/", z);
    int mode = s->c->start->run.attempt > 1 ? 0 : O_TRUNC; /* an earlier attempt's output is kept */
    int rc = 0;
    if (name.overflowed || n < 0 || (size_t)n >= sizeof path) {
        rc = weir_fail(err, -WEIR_EIO, "output file name '%.100s...' is too long", z);
    } else {
        /* a pipe would hold the supervisor up, and with it every stop, until somebody reads */
        struct stat st;
        *ret_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | mode, 0644);
        if (*ret_fd < 0 || fstat(*ret_fd, &st) < 0) {
            rc = weir_fail(err, -WEIR_EIO, "output file '%.200s': %s", path, strerror(errno));
        } else if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) {
            rc = weir_fail(err, -WEIR_EIO, "output file '%.200s' is not a file", path);
        }
    }
    weir_str_release(&name);
    return rc;
}

static int open_stream(struct stream *t, int *write_fd, struct weir_err *err)
{
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) < 0) {
        return weir_fail(err, -WEIR_EUNAVAIL, "cannot make a pipe: %s", strerror(errno));
    }
    (void)fcntl(fd[0], F_SETFL, O_NONBLOCK);
    t->fd = fd[0];
    *write_fd = fd[1];
    return 0;
}

static int open_output(struct supervisor *s, struct weir_err *err)
{
    const struct weir_spec *spec = s->c->start->spec;
    int rc = 0;
    if (spec->stdout_path != NULL) {
        rc = open_copy(s, spec->stdout_path, &s->out.copy_fd, err);
    }
    if (rc == 0 && spec->stderr_path != NULL) {
        rc = open_copy(s, spec->stderr_path, &s->err.copy_fd, err);
    }
    rc = rc < 0 ? rc : open_stream(&s->out, &s->out_write_fd, err);
    if (rc == 0 && spec->stderr_path != NULL) {
        rc = open_stream(&s->err, &s->err_write_fd, err);
    } else {
        s->err_write_fd = s->out_write_fd;
    }
    return rc;
}

/* The command of the job itself, as words. */
static int command_argv(struct supervisor *s, struct weir_argv *ret, struct weir_err *err)
{
    const struct weir_spec *spec = s->c->start->spec;
    if (spec->run != NULL) {
        return weir_launch_text(spec->run, s->c->dir, "script", spec->origin == WEIR_SPEC_SKYPILOT, ret, err);
    }
    for (size_t i = 0; spec->argv[i] != NULL; i++) {
        weir_argv_add(ret, spec->argv[i]);
    }
    return 0;
}

/*
 * In a container setup and command share one container, else what setup installs would be gone: a
 * shell runs the one, leaves a mark where it fails, and becomes the other.
 */
static int container_argv(struct supervisor *s, struct weir_argv *command, struct weir_err *err)
{
    const struct weir_spec *spec = s->c->start->spec;
    struct weir_argv inner = {0}, outer = {0};
    int rc = 0;
    if (spec->setup != NULL) {
        rc = weir_launch_write("setup.sh", spec->setup, 0700, err);
        weir_argv_add(&inner, "/bin/sh");
        weir_argv_add(&inner, "-c");
        weir_argv_add(&inner,
                      "/bin/sh \"$1/setup.sh\" || { c=$?; echo $c > \"$1/setup_failed\"; exit $c; }; shift; exec \"$@\"");
        weir_argv_add(&inner, "weir");
        weir_argv_add(&inner, s->c->dir);
    }
    for (size_t i = 0; i < command->n; i++) {
        weir_argv_add(&inner, command->p[i]);
    }
    if (rc == 0) {
        rc = weir_container_argv(s->c->container, s->c->start, s->facts.hardware, &s->env, s->c->container_name, s->c->dir,
                                 s->workdir, inner.p, &outer, err);
    }
    weir_argv_release(&inner);
    if (rc == 0) {
        weir_container_tool_env(&s->env); /* after the container's own was put together: it is for the tool */
        weir_argv_release(command);
        *command = outer;
    }
    return rc;
}

/* ---- the end ---- */

static bool was_oom(struct supervisor *s, struct weir_agent_end *end)
{
    uint64_t kills = 0;
    bool by_kill = end->signal == SIGKILL || end->exit_code == 128 + SIGKILL;
    if (weir_cgroup_oom_kills(&s->cgroup, &kills)) {
        if (kills > s->cgroup.oom_before && (end->signal != 0 || end->exit_code != 0)) {
            (void)snprintf(end->text,
                           sizeof end->text,
                           "out of memory: the task used more than its %llu MiB; ask for more memory",
                           (unsigned long long)s->c->limits.mem_mib);
            return true;
        }
        return false;
    }
    /* Without a memory cgroup the kernel's counter for the whole host is all there is to go by. */
    if (by_kill && host_oom_kills() > s->host_oom_before) {
        (void)snprintf(end->text, sizeof end->text, "probably out of memory: killed while the host ran out (no memory cgroup to tell)");
        return true;
    }
    return false;
}

static void describe_end(struct supervisor *s, struct weir_agent_end *end)
{
    int status = s->task_status;
    end->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (!s->task_done) {
        end->signal = SIGKILL; /* it does not go: the kernel holds it */
        (void)snprintf(end->text, sizeof end->text, "processes are left that do not end after SIGKILL");
    }
    if (s->stop != WEIR_REASON_NONE) {
        end->reason = s->stop;
        if (s->stop == WEIR_REASON_TIMEOUT) {
            char limit[WEIR_RFC3339_SIZE];
            (void)snprintf(end->text, sizeof end->text, "over its time limit of %s", weir_dur_format(s->c->start->max_duration, limit));
        }
    } else if (was_oom(s, end)) {
        end->reason = WEIR_REASON_OOM;
    } else if (s->in_setup) {
        end->reason = WEIR_REASON_SETUP_FAILED;
        if (end->text[0] == '\0') {
            (void)snprintf(end->text, sizeof end->text, "setup failed with %s %d", end->signal != 0 ? "signal" : "exit code",
                           end->signal != 0 ? end->signal : end->exit_code);
        }
    } else if (s->unmade) {
        end->reason = WEIR_REASON_START_FAILED;
        end->exit_code = 0; /* the tool's, not the program's; its words follow */
    } else {
        end->reason = end->signal != 0 ? WEIR_REASON_SIGNAL : WEIR_REASON_EXIT;
    }
}

/* The last line of the log: what the container tool said before it gave up. */
static void quote_tool(const struct supervisor *s, struct weir_agent_end *end)
{
    char tail[1024];
    WEIR_CLEANUP(weir_closep) int fd = open("log", O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)sizeof tail ? size - (off_t)sizeof tail : 0;
    ssize_t n = fd < 0 ? 0 : pread(fd, tail, sizeof tail, from);
    struct weir_sv rest = {tail, n > 0 ? (size_t)n : 0}, last = WEIR_SV("it said nothing");
    while (rest.p != NULL && rest.n > 0) {
        struct weir_sv line = weir_sv_trim(weir_sv_cut(&rest, '\n'));
        last = line.n > 0 ? line : last;
    }
    (void)snprintf(end->text, sizeof end->text, "%s could not start the image '%.80s': %.*s", weir_container_tool_name(s->c->container->tool),
                   s->c->start->spec->image, WEIR_SV_ARG(last));
    for (char *p = end->text; *p != '\0'; p++) {
        *p = *p < 0x20 || *p > 0x7e ? '?' : *p; /* cut anywhere, and not ours */
    }
}

static uint64_t model_energy_mj(const struct supervisor *s, const struct weir_agent_end *end)
{
    uint64_t mj = end->cpu_us / 1000 * WEIR_CPU_BUSY_MW / 1000;
    int64_t us = weir_wall_sub(end->ended, end->started).us;
    for (size_t i = 0; i < s->c->start->n_gpus && us > 0; i++) {
        uint32_t index = s->c->start->gpu[i];
        if (index < s->facts.hardware->n_gpus) {
            mj += (uint64_t)us / 1000 * s->facts.hardware->gpu[index].watts;
        }
    }
    return mj;
}

__attribute__((noreturn)) static void finish(struct supervisor *s, struct weir_agent_end *end)
{
    struct rusage used = {0};
    (void)close(s->out_write_fd);
    (void)close(s->err_write_fd);
    /* what is still in the pipes; all writers are gone, so this ends */
    pump(s, &s->out, 1 << 20);
    pump(s, &s->err, 1 << 20);
    weir_run_log_finish(&s->log);
    if (s->unmade) {
        quote_tool(s, end);
    }
    (void)getrusage(RUSAGE_CHILDREN, &used);
    end->started = s->started;
    end->ended = weir_clock_wall(&weir_clock_os);
    end->log_bytes = s->log.size;
    end->max_rss_mib = (uint64_t)used.ru_maxrss / 1024;
    end->cpu_us = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
                  (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    end->energy_mj = model_energy_mj(s, end);
    end->energy_modelled = true;
    if (s->log.error != 0 && end->text[0] == '\0') {
        (void)snprintf(end->text, sizeof end->text, "the log is not whole: %s", strerror(s->log.error));
    }
    weir_cgroup_remove(&s->cgroup);
    (void)weir_record_add_end(s->c->record_fd, end);
    _exit(0);
}

/* rc -WEIR_EUNAVAIL: not the task's fault, it may well start on another host. */
__attribute__((noreturn)) static void fail_start(struct supervisor *s, int rc, const struct weir_err *err)
{
    struct weir_agent_end end = {.reason = WEIR_REASON_START_FAILED, .host_fault = rc == -WEIR_EUNAVAIL};
    (void)snprintf(end.text, sizeof end.text, "%.250s", err->text);
    finish(s, &end);
}

/* ---- the whole ---- */

/* Removes what a container tool was killed over. */
static void remove_container(struct supervisor *s)
{
    struct weir_argv argv = {0};
    struct weir_argv *a = &argv;
    weir_container_remove_argv(s->c->container, s->c->container_name, a);
    if (a->n == 0) {
        return;
    }
    int out = s->out_write_fd;
    s->out_write_fd = s->err_write_fd = s->c->null_fd;
    s->kill_at = weir_i64_add_sat(now_us(), KILL_PATIENCE_US);
    s->cgroup = (struct weir_cgroup){0};
    bool done = s->task_done;
    int status = s->task_status;
    if (spawn(s, a, NULL) == 0) {
        while (!s->task_done && now_us() < s->kill_at) {
            wait_once(s, s->kill_at);
        }
        end_all(s);
    }
    s->task_done = done;
    s->task_status = status;
    s->out_write_fd = s->err_write_fd = out;
    weir_argv_release(a);
}

static bool setup_left_mark(void)
{
    return access("setup_failed", F_OK) == 0;
}

/* Did podman or docker give up before there was a container? They say so by their own exit code. */
static bool is_unmade(const struct supervisor *s)
{
    enum { TOOL_FAILED = 125 };
    enum weir_container_tool t = s->c->container->tool;
    return (t == WEIR_CONTAINER_PODMAN || t == WEIR_CONTAINER_DOCKER) && s->stop == WEIR_REASON_NONE && s->task_done &&
           WIFEXITED(s->task_status) && WEXITSTATUS(s->task_status) == TOOL_FAILED && access(WEIR_CONTAINER_ID_FILE, F_OK) != 0;
}

static void run_phases(struct supervisor *s, struct weir_err *err)
{
    const struct weir_spec *spec = s->c->start->spec;
    struct weir_argv command = {0}, setup = {0};
    bool contained = spec->image != NULL;
    int rc = command_argv(s, &command, err);
    if (rc == 0 && contained) {
        rc = container_argv(s, &command, err);
    } else if (rc == 0 && spec->setup != NULL) {
        rc = weir_launch_text(spec->setup, s->c->dir, "setup", spec->origin == WEIR_SPEC_SKYPILOT, &setup, err);
        rc = rc < 0 ? rc : spawn(s, &setup, err);
        if (rc == 0) {
            s->in_setup = true;
            watch(s);
            if (s->stop != WEIR_REASON_NONE || !s->task_done || s->task_status != 0) {
                return;
            }
            s->in_setup = false;
        }
    }
    rc = rc < 0 ? rc : spawn(s, &command, err);
    if (rc < 0) {
        fail_start(s, rc, err);
    }
    watch(s);
    if (contained) {
        struct weir_cgroup group = s->cgroup;
        s->in_setup = setup_left_mark();
        s->unmade = is_unmade(s);
        if (s->stop != WEIR_REASON_NONE) {
            remove_container(s);
        }
        s->cgroup = group;
    }
}

__attribute__((noreturn)) static void supervise(const struct weir_shim *c)
{
    struct weir_err err = {0};
    struct supervisor s = {.c = c,
                           .facts = c->facts,
                           .out = {-1, -1},
                           .err = {-1, -1},
                           .out_write_fd = -1,
                           .err_write_fd = -1,
                           .tell_fd = -1,
                           .childless = true};
    sigset_t mask;
    weir_run_log_init(&s.log, c->log_bytes_max);
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGCHLD);
    (void)sigaddset(&mask, SIGUSR1);
    s.signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    s.started = weir_clock_wall(&weir_clock_os);
    if (c->start->max_duration.us > 0) {
        s.deadline = weir_i64_add_sat(now_us(), c->start->max_duration.us);
    }
    int rc = s.signal_fd < 0 ? weir_fail(&err, -WEIR_EUNAVAIL, "signalfd: %s", strerror(errno)) : make_workdir(&s, &err);
    s.facts.run_dir = c->dir;
    s.facts.workdir = s.workdir;
    rc = rc < 0 ? rc : open_output(&s, &err);
    if (rc < 0) {
        fail_start(&s, rc, &err);
    }
    weir_cgroup_make(c->cgroups, c->cgroup_name, &c->limits, &s.cgroup);
    if (c->limits.n_deny_devices > 0 && (s.cgroup.controllers & WEIR_CGROUP_DEVICES) == 0) {
        s.facts.gpus_isolated = false; /* it sees all of them, and counts them as the host does */
    }
    weir_env_build(&s.env, c->start, &s.facts);
    run_phases(&s, &err);
    struct weir_agent_end end = {0};
    describe_end(&s, &end);
    finish(&s, &end);
}

pid_t weir_shim_fork(const struct weir_shim *s)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    /* Blocked over the fork: the loop's handlers must not run in the supervisor, and a stop that comes
     * early waits for it. */
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    /* The C library has no name for the first. It skips what fork does for threads, of which there are none. */
    pid_t pid = s->for_parent ? (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL) : fork();
    if (pid == 0) {
        (void)setsid();
        (void)prctl(PR_SET_NAME, "weir-task");
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        (void)dup2(s->null_fd, STDIN_FILENO);
        (void)dup2(s->null_fd, STDOUT_FILENO);
        (void)dup2(s->null_fd, STDERR_FILENO);
        weir_close_all_but(s->record_fd, s->null_fd);
        (void)umask(022);
        (void)setrlimit(RLIMIT_NOFILE, &s->files);
        if (chdir(s->dir) < 0) {
            _exit(1);
        }
        supervise(s);
    }
    int saved = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return pid;
}
