/* SPDX-License-Identifier: Apache-2.0 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

/* One word of a command line may have 128 KiB (MAX_ARG_STRLEN); longer texts go through a file. */
enum { TEXT_WORD_BYTES_MAX = 100 * 1024 };

enum stage {
    STAGE_NONE,
    STAGE_WORKDIR,
    STAGE_OUTPUT,
    STAGE_EXEC,
};

int weir_launch_write(const char *file, const char *text, mode_t mode, struct weir_err *err)
{
    size_t n = strlen(text);
    (void)unlink(file);
    WEIR_CLEANUP(weir_closep) int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    while (fd >= 0 && n > 0) {
        ssize_t wrote = write(fd, text, n);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            break;
        }
        text += wrote;
        n -= (size_t)wrote;
    }
    if (fd < 0 || n > 0) {
        return weir_fail(err, -WEIR_EUNAVAIL, "cannot write '%s' in the run's directory: %s", file, strerror(errno));
    }
    return 0;
}

int weir_launch_text(const char *text,
                     const char *dir,
                     const char *file,
                     bool prefer_bash,
                     struct weir_argv *ret,
                     struct weir_err *err)
{
    bool own_line = text[0] == '#' && text[1] == '!';
    bool by_file = own_line || strlen(text) > TEXT_WORD_BYTES_MAX;
    const char *shell = prefer_bash && access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
    if (by_file) {
        int rc = weir_launch_write(file, text, 0700, err);
        if (rc < 0) {
            return rc;
        }
    }
    if (!own_line) {
        weir_argv_add(ret, shell);
    }
    if (by_file) {
        weir_argv_addf(ret, "%s/%s", dir, file);
    } else {
        weir_argv_add(ret, "-c");
        weir_argv_add(ret, text);
    }
    return 0;
}

int weir_launch_resolve(struct weir_launch_plan *p, const char *path, struct weir_err *err)
{
    const char *name = p->argv[0];
    if (strchr(name, '/') != NULL) {
        int n = snprintf(p->path, sizeof p->path, "%s", name);
        return n > 0 && (size_t)n < sizeof p->path ? 0 : weir_fail(err, -WEIR_ENOTFOUND, "the program's name is too long");
    }
    struct weir_sv rest = weir_sv_of(path == NULL ? "/usr/bin:/bin" : path);
    while (rest.p != NULL && name[0] != '\0') {
        struct weir_sv dir = weir_sv_cut(&rest, ':');
        int n = snprintf(p->path, sizeof p->path, "%.*s/%s", WEIR_SV_ARG(dir), name);
        struct stat st;
        if (dir.n > 0 && n > 0 && (size_t)n < sizeof p->path && access(p->path, X_OK) == 0 && stat(p->path, &st) == 0 &&
            S_ISREG(st.st_mode)) {
            return 0;
        }
    }
    return weir_fail(err, -WEIR_ENOTFOUND, "command '%.100s' not found in PATH (%.200s)", name, path == NULL ? "" : path);
}

/* In the child. What the agent ignores or blocks is no business of the task. */
static void reset_signals(void)
{
    static const int ours[] = {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD};
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        (void)sigaction(ours[i], &dfl, NULL);
    }
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int weir_launch(const struct weir_launch_plan *p, pid_t *ret, struct weir_err *err)
{
    /* The child shares this memory until it execs: how far it came is simply left here. */
    volatile enum stage failed = STAGE_NONE;
    volatile int failed_errno = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        (void)setsid();
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        reset_signals();
        if (p->cgroup != NULL) {
            (void)weir_cgroup_enter(p->cgroup);
        }
        failed = STAGE_OUTPUT;
        if (dup2(p->out_fd, STDOUT_FILENO) >= 0 && dup2(p->err_fd, STDERR_FILENO) >= 0) {
            failed = STAGE_WORKDIR;
            if (chdir(p->workdir) == 0) {
                failed = STAGE_EXEC;
                (void)execve(p->path, p->argv, p->env);
            }
        }
        failed_errno = errno;
        _exit(127);
    }
    if (pid < 0) {
        return weir_fail(err, -WEIR_EUNAVAIL, "cannot make a process: %s", strerror(errno));
    }
    if (failed_errno != 0) {
        (void)waitpid(pid, NULL, 0);
        if (failed == STAGE_WORKDIR) {
            return weir_fail(err, -WEIR_EIO, "working directory '%.200s': %s", p->workdir, strerror(failed_errno));
        }
        if (failed == STAGE_EXEC) {
            return weir_fail(err, -WEIR_EIO, "cannot execute '%.200s': %s", p->path, strerror(failed_errno));
        }
        return weir_fail(err, -WEIR_EUNAVAIL, "cannot redirect the output: %s", strerror(failed_errno));
    }
    *ret = pid;
    return 0;
}

void weir_close_all_but(int a, int b)
{
    unsigned lo = (unsigned)(a < b ? a : b), hi = (unsigned)(a < b ? b : a);
    if (lo > 3) {
        (void)close_range(3, lo - 1, 0);
    }
    if (hi > lo + 1) {
        (void)close_range(lo + 1, hi - 1, 0);
    }
    (void)close_range(hi + 1, ~0U, 0);
}
