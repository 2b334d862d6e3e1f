/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sandbox machine. The process plays the hypervisor: it boots the agent after the delay, gives
 * notice of a reclaim, and ends the machine at reclaim, terminate, lease expiry, or when the agent
 * powers off. It holds the directory's lock for as long as it lives, and it is the subreaper of all
 * that the agent starts, so that nothing of a machine outlives it. If it is itself killed, the next
 * one started for the directory finds the lock free and buries what is left.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "cloud/sandbox/layout.h"
#include "cloud/sandbox/sandbox.h"

enum {
    LOG_BYTES_MAX = 1 << 20, /* of the agent's own output */
    STOP_GRACE_MS = 2000,    /* from asking the agent to end until the power is cut */
    LOOK_MS_MAX = 10000,     /* deadlines are looked at this often, in case the clock jumps */
    REAP_MS = 20,
};

extern char **environ;

struct machine {
    char dir[SANDBOX_PATH_SIZE]; /* absolute; the process stands in it, so that a rename is harmless */
    char id[SANDBOX_ID_SIZE];
    struct sandbox_spec spec;
    struct sandbox_state state;
    int wake_fd;
    int signal_fd;
    int log_in;  /* the agent's output */
    int log_out; /* agent.log */
    size_t logged;
    pid_t agent;
    bool agent_ended;
    int agent_status;
    bool asked_to_end; /* by a signal */
};

static struct weir_wall now_wall(void)
{
    return weir_clock_wall(&weir_clock_os);
}

/* The state file is how the cloud knows; a full disk must not end the machine, so failures are
 * written to machine.log and tried again with the next change. */
static void save(struct machine *m)
{
    struct weir_err err;
    if (sandbox_write_state(".", &m->state, &err) < 0) {
        (void)dprintf(STDERR_FILENO, "%s\n", err.text);
    }
}

/* ---- processes of the machine ---- */

struct process {
    pid_t pid;
    pid_t parent;
};

typedef WEIR_VEC(struct process) process_vec;

static bool read_small(const char *path, char *buf, size_t size, size_t *ret_n)
{
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
    if (n < 0) {
        return false;
    }
    buf[n] = '\0';
    *ret_n = (size_t)n;
    return true;
}

/* The parent stands after the state, which follows the last ')' of the name. */
static bool parent_of(pid_t pid, pid_t *ret)
{
    char path[64];
    char buf[512];
    size_t n;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_small(path, buf, sizeof buf, &n)) {
        return false;
    }
    const char *p = strrchr(buf, ')');
    if (p == NULL || strlen(p) < 5) {
        return false;
    }
    struct weir_sv rest = weir_sv_of(p + 4);
    uint64_t v;
    if (weir_parse_u64(weir_sv_cut(&rest, ' '), 0, INT32_MAX, &v, NULL) < 0) {
        return false;
    }
    *ret = (pid_t)v;
    return true;
}

static void all_processes(process_vec *ret)
{
    DIR *d = opendir("/proc");
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        uint64_t pid;
        struct process p;
        if (weir_parse_u64(weir_sv_of(e->d_name), 1, INT32_MAX, &pid, NULL) == 0 && parent_of((pid_t)pid, &p.parent)) {
            p.pid = (pid_t)pid;
            weir_vec_push(ret, p);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
}

/* Kills every descendant that exists now. Marks grow from parent to child, a few passes deep. */
static void kill_descendants(void)
{
    process_vec all = {0};
    all_processes(&all);
    WEIR_CLEANUP(weir_freep) bool *ours = weir_calloc(all.n + 1, sizeof *ours);
    pid_t self = getpid();
    bool grown = true;
    while (grown) {
        grown = false;
        for (size_t i = 0; i < all.n; i++) {
            bool child = all.p[i].parent == self;
            for (size_t k = 0; !child && !ours[i] && k < all.n; k++) {
                child = ours[k] && all.p[k].pid == all.p[i].parent;
            }
            if (child && !ours[i]) {
                ours[i] = true;
                grown = true;
            }
        }
    }
    for (size_t i = 0; i < all.n; i++) {
        if (ours[i]) {
            (void)kill(all.p[i].pid, SIGKILL);
        }
    }
    weir_vec_release(&all);
}

static void reap(struct machine *m)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == m->agent) {
            m->agent_ended = true;
            m->agent_status = status;
        }
    }
}

static bool has_children(void)
{
    siginfo_t si;
    return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* What a machine whose own process was killed has left running: known by its mark in the environment
 * or by standing in its directory. */
static bool is_leftover(const struct machine *m, pid_t pid)
{
    char path[64];
    char mark[SANDBOX_PATH_SIZE + 32];
    char cwd[SANDBOX_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
    ssize_t n = readlink(path, cwd, sizeof cwd - 1);
    size_t dir_n = strlen(m->dir);
    if (n > 0 && (size_t)n > dir_n && memcmp(cwd, m->dir, dir_n) == 0 && cwd[dir_n] == '/') {
        return true;
    }
    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    WEIR_CLEANUP(weir_freep) char *env = weir_alloc(SANDBOX_FILE_BYTES_MAX);
    size_t env_n;
    int mark_n = snprintf(mark, sizeof mark, "WEIR_SANDBOX_MACHINE=%s", m->dir);
    return read_small(path, env, SANDBOX_FILE_BYTES_MAX, &env_n) &&
           memmem(env, env_n, mark, (size_t)mark_n + 1) != NULL;
}

static void kill_leftovers(const struct machine *m)
{
    /* Twice: a process may fork between being seen and being killed. */
    for (int pass = 0; pass < 2; pass++) {
        process_vec all = {0};
        all_processes(&all);
        for (size_t i = 0; i < all.n; i++) {
            if (all.p[i].pid != getpid() && is_leftover(m, all.p[i].pid)) {
                (void)kill(all.p[i].pid, SIGKILL);
            }
        }
        weir_vec_release(&all);
    }
}

/* ---- life ---- */

static char **agent_environment(const struct machine *m)
{
    size_t n = 0;
    while (environ[n] != NULL) {
        n++;
    }
    char **env = weir_calloc(n + 2, sizeof *env);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(environ[i], "WEIR_", 5) != 0) {
            env[k++] = environ[i];
        }
    }
    /* by directory: an id is unique in one cloud only, and there may be several on a host */
    static char mark[SANDBOX_PATH_SIZE + 32];
    (void)snprintf(mark, sizeof mark, "WEIR_SANDBOX_MACHINE=%s", m->dir);
    env[k] = mark;
    return env;
}

static void exec_agent(const struct machine *m, int out, pid_t parent)
{
    char data[SANDBOX_PATH_SIZE + 16];
    char token[SANDBOX_PATH_SIZE + 16];
    char notice[SANDBOX_PATH_SIZE + 16];
    char ca[SANDBOX_PATH_SIZE + 16];
    char lease[32];
    char gpus[128];
    char expires[WEIR_RFC3339_SIZE];
    (void)snprintf(data, sizeof data, "%s/agent", m->dir);
    (void)snprintf(token, sizeof token, "%s/token", m->dir);
    (void)snprintf(notice, sizeof notice, "%s/notice.json", m->dir);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", m->dir);
    (void)snprintf(lease, sizeof lease, "%llu", (unsigned long long)m->spec.lease);
    (void)snprintf(gpus, sizeof gpus, "%s:%u", m->spec.gpu, m->spec.gpus);
    (void)weir_wall_format(m->spec.expires, expires);
    const char *argv[32] = {m->spec.self_exe, "agent",   "--broker",        m->spec.broker_url,
                            "--token-file",   token,     "--data",          data,
                            "--lease",        lease,     "--lease-expires", expires,
                            "--pool",         "sandbox", "--name",          m->id,
                            "--notice-file",  notice};
    size_t n = 18;
    if (m->spec.gpus > 0) {
        argv[n++] = "--declare-gpus";
        argv[n++] = gpus;
    }
    /* The machine is as large as its offer says, whatever the host is. */
    char cpus[32];
    char memory[32];
    if (m->spec.cpu_milli > 0) {
        (void)snprintf(cpus, sizeof cpus, "%u.%03u", m->spec.cpu_milli / 1000, m->spec.cpu_milli % 1000);
        argv[n++] = "--declare-cpus";
        argv[n++] = cpus;
    }
    if (m->spec.mem_mib > 0) {
        (void)snprintf(memory, sizeof memory, "%lluM", (unsigned long long)m->spec.mem_mib);
        argv[n++] = "--declare-memory";
        argv[n++] = memory;
    }
    if (m->spec.has_ca) {
        argv[n++] = "--ca";
        argv[n++] = ca;
    }
    argv[n] = NULL;
    /* If the machine's process is killed, its agent goes too. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1);
    }
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) {
        _exit(1);
    }
    (void)close_range(3, ~0U, 0);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    union {
        const char **in;
        char *const *out;
    } args = {.in = argv}; /* execve does not write to them; its type is older than const */
    (void)execve(m->spec.self_exe, args.out, agent_environment(m));
    (void)dprintf(2, "%s: %s\n", m->spec.self_exe, strerror(errno));
    _exit(127);
}

static void start_agent(struct machine *m)
{
    int fds[2];
    if (mkdir("agent", 0700) != 0 && errno != EEXIST) {
        (void)dprintf(STDERR_FILENO, "agent directory: %s\n", strerror(errno));
    }
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        (void)dprintf(STDERR_FILENO, "pipe: %s\n", strerror(errno));
        return; /* the next round tries again */
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        (void)setsid();
        (void)fcntl(fds[1], F_SETFL, 0);
        exec_agent(m, fds[1], parent);
    }
    (void)close(fds[1]);
    if (pid < 0) {
        (void)close(fds[0]);
        (void)dprintf(STDERR_FILENO, "fork: %s\n", strerror(errno));
        return;
    }
    m->log_in = fds[0];
    m->agent = pid;
    m->state.state = WEIR_INSTANCE_RUNNING;
    save(m);
}

static void copy_log(struct machine *m)
{
    char buf[16384];
    ssize_t n;
    while (m->log_in >= 0 && (n = read(m->log_in, buf, sizeof buf)) != 0) {
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN) {
                return;
            }
            break;
        }
        size_t room = LOG_BYTES_MAX - m->logged;
        size_t take = (size_t)n < room ? (size_t)n : room;
        if (take > 0) {
            (void)!write(m->log_out, buf, take);
            m->logged += take;
        }
        if (take < (size_t)n && room > 0) {
            static const char full[] = "\n[the rest of the agent's output was not kept]\n";
            (void)!write(m->log_out, full, sizeof full - 1);
        }
    }
    if (m->log_in >= 0) {
        (void)close(m->log_in);
        m->log_in = -1;
    }
}

static void give_notice(struct machine *m, struct weir_wall now)
{
    m->state.reclaimed = true;
    m->state.reclaim_at = weir_wall_add(now, m->spec.notice);
    save(m);
    char text[64];
    int n = snprintf(text, sizeof text, "{\"reclaim_at\": %lld}\n", (long long)m->state.reclaim_at.us);
    struct weir_err err;
    if (sandbox_write_file(".", "notice.json", (struct weir_sv){text, (size_t)n}, &err) < 0) {
        (void)dprintf(STDERR_FILENO, "%s\n", err.text);
    }
}

/* Waits for something to happen, at most timeout_ms. */
static void wait_for_news(struct machine *m, int timeout_ms)
{
    struct pollfd fds[3] = {
        {.fd = m->wake_fd, .events = POLLIN},
        {.fd = m->signal_fd, .events = POLLIN},
        {.fd = m->log_in, .events = POLLIN}, /* -1 is passed over */
    };
    if (poll(fds, 3, timeout_ms) <= 0) {
        return;
    }
    char drop[64];
    while (m->wake_fd >= 0 && read(m->wake_fd, drop, sizeof drop) > 0) {
    }
    struct signalfd_siginfo si;
    while (read(m->signal_fd, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo != SIGCHLD) {
            m->asked_to_end = true;
        }
    }
    copy_log(m);
    reap(m);
}

static bool flag_is_up(const char *name)
{
    return access(name, F_OK) == 0;
}

static int64_t mono_ms(void)
{
    return weir_clock_mono(&weir_clock_os).us / WEIR_US_PER_MS;
}

/* Moves the directory from instances/ to gone/: it is on the books only. Comes before the end is
 * written down, so that who reads of the end finds the files at rest. */
static void file_away(const struct machine *m)
{
    char target[SANDBOX_PATH_SIZE + 64];
    (void)snprintf(target, sizeof target, "%s/../../gone/%s", m->dir, m->id);
    if (rename(m->dir, target) != 0) {
        (void)dprintf(STDERR_FILENO, "%s: %s\n", target, strerror(errno));
    }
}

/* Nothing of the machine runs any more: its disk and its secret go, its end is written down. */
static void give_back(struct machine *m)
{
    if (!m->spec.keep_disk) {
        sandbox_remove_tree("agent");
    }
    (void)unlink("token");
    file_away(m);
    m->state.state = WEIR_INSTANCE_GONE;
    m->state.ended = now_wall();
    save(m);
}

/* Cuts the power: nothing of the machine runs when this returns. */
static void end_machine(struct machine *m, bool graceful, const char *reason)
{
    m->state.state = WEIR_INSTANCE_STOPPING;
    (void)snprintf(m->state.reason, sizeof m->state.reason, "%s", reason);
    save(m);
    if (graceful && m->agent > 0 && !m->agent_ended) {
        (void)kill(m->agent, SIGTERM);
        int64_t end = mono_ms() + STOP_GRACE_MS;
        for (int64_t left = STOP_GRACE_MS; left > 0 && !m->agent_ended; left = end - mono_ms()) {
            wait_for_news(m, (int)left);
        }
    }
    while (has_children()) {
        kill_descendants();
        wait_for_news(m, REAP_MS);
        reap(m);
    }
    copy_log(m);
    give_back(m);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Milliseconds until the next thing that time alone brings about. */
static int next_look_ms(const struct machine *m, struct weir_wall now)
{
    int64_t at = m->spec.expires.us;
    if (m->agent == 0 && !m->spec.boot_never) {
        at = earlier(at, weir_wall_add(m->state.launched, m->spec.boot_delay).us);
    }
    if (m->state.reclaimed) {
        at = earlier(at, m->state.reclaim_at.us);
    } else if (m->spec.reclaim_after.us > 0) {
        at = earlier(at, weir_wall_add(m->state.launched, m->spec.reclaim_after).us);
    }
    int64_t ms = at <= now.us ? 0 : (at - now.us) / WEIR_US_PER_MS + 1;
    /* What is due but could not be done (no process slot) is tried again, not at once. */
    ms = ms < REAP_MS ? REAP_MS : ms;
    return (int)earlier(ms, LOOK_MS_MAX);
}

/* Has the machine's agent been told of a later expiry? It keeps that in its directory, as a real machine's
 * shutdown timer would be set anew. */
static bool was_extended(struct machine *m, struct weir_wall now)
{
    char text[32] = "";
    int WEIR_CLEANUP(weir_closep) fd = open("agent/lease-expires", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    int64_t us;
    if (n <= 0 || weir_parse_i64(weir_sv_trim((struct weir_sv){text, (size_t)n}), 1, INT64_MAX, &us, NULL) != 0 || us <= now.us) {
        return false;
    }
    m->spec.expires.us = us;
    return true;
}

static void live(struct machine *m)
{
    for (;;) {
        struct weir_wall now = now_wall();
        if (m->asked_to_end || flag_is_up("terminate")) {
            end_machine(m, true, "terminated");
            return;
        }
        if (now.us >= m->spec.expires.us && !was_extended(m, now)) {
            end_machine(m, false, "the lease expired");
            return;
        }
        bool by_time =
            m->spec.reclaim_after.us > 0 && now.us >= weir_wall_add(m->state.launched, m->spec.reclaim_after).us;
        if (!m->state.reclaimed && (by_time || flag_is_up("reclaim"))) {
            give_notice(m, now);
        }
        if (m->state.reclaimed && now.us >= m->state.reclaim_at.us) {
            end_machine(m, false, "reclaimed by the provider");
            return;
        }
        if (m->agent_ended) {
            char text[64];
            bool exited = WIFEXITED(m->agent_status);
            (void)snprintf(text, sizeof text, "powered off: the agent ended with %s %d", exited ? "status" : "signal",
                           exited ? WEXITSTATUS(m->agent_status) : WTERMSIG(m->agent_status));
            end_machine(m, false, text);
            return;
        }
        if (m->agent == 0 && !m->spec.boot_never && now.us >= weir_wall_add(m->state.launched, m->spec.boot_delay).us) {
            start_agent(m);
        }
        wait_for_news(m, next_look_ms(m, now_wall()));
    }
}

static int detach(struct machine *m)
{
    pid_t pid = fork();
    if (pid != 0) {
        return pid < 0 ? -1 : 1;
    }
    (void)setsid();
    (void)prctl(PR_SET_NAME, "weir-machine");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    m->state.pid = getpid();
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    /* Opened for both ways: it is never at its end, whoever writes. */
    m->wake_fd = open("wake", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    m->log_out = open("agent.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return 0;
}

static int complain(const struct weir_err *err, int code)
{
    (void)dprintf(STDERR_FILENO, "weir-machine: %s\n", err->text);
    return weir_error_exit_status(code);
}

static int enter(struct machine *m, const char *dir)
{
    WEIR_CLEANUP(weir_freep) char *real = realpath(dir, NULL);
    if (real != NULL && strlen(real) >= sizeof m->dir) {
        errno = ENAMETOOLONG;
    } else if (real != NULL) {
        memcpy(m->dir, real, strlen(real) + 1);
    }
    if (m->dir[0] == '\0' || chdir(m->dir) != 0) {
        (void)dprintf(STDERR_FILENO, "weir-machine: %s: %s\n", dir, strerror(errno));
        return -1;
    }
    const char *name = strrchr(m->dir, '/');
    if (name == NULL || !sandbox_id_is_valid(name + 1)) {
        (void)dprintf(STDERR_FILENO, "weir-machine: %s: not a sandbox machine's directory\n", m->dir);
        return -1;
    }
    (void)snprintf(m->id, sizeof m->id, "%s", name + 1);
    return 0;
}

/* What runs without a process that watches it was cut off from its cloud: end it. */
static void bury(struct machine *m)
{
    kill_leftovers(m);
    (void)snprintf(m->state.reason, sizeof m->state.reason, "the machine's process was killed");
    give_back(m);
}

int weir_sandbox_machine_main(int argc, char **argv)
{
    if (argc != 2) {
        (void)dprintf(STDERR_FILENO, "usage: weir sandbox-machine DIR\n"
                                     "The program of one sandbox machine; started by the sandbox.\n");
        return weir_error_exit_status(-WEIR_EINVAL);
    }
    struct machine m = {.wake_fd = -1, .signal_fd = -1, .log_in = -1, .log_out = -1};
    if (enter(&m, argv[1]) < 0) {
        return weir_error_exit_status(-WEIR_EIO);
    }
    struct weir_err err;
    WEIR_CLEANUP(weir_closep) int lock = sandbox_take_lock(".", &err);
    if (lock == -WEIR_EINUSE) {
        return 0;
    }
    int r = lock < 0 ? lock : sandbox_read_spec(".", &m.spec, &err);
    if (r < 0) {
        return complain(&err, r);
    }
    r = sandbox_read_state(".", &m.state, &err);
    if (r == 0) {
        if (m.state.state == WEIR_INSTANCE_GONE) {
            file_away(&m);
        } else {
            bury(&m);
        }
        return 0;
    }
    if (r != -WEIR_ENOTFOUND) {
        return complain(&err, r);
    }
    m.state = (struct sandbox_state){.state = WEIR_INSTANCE_PENDING, .launched = now_wall()};
    r = sandbox_write_state(".", &m.state, &err);
    if (r < 0) {
        return complain(&err, r);
    }
    int detached = detach(&m);
    if (detached != 0) {
        return detached < 0 ? weir_error_exit_status(-WEIR_ENOMEM) : 0;
    }
    save(&m);
    live(&m);
    return 0;
}
