/* SPDX-License-Identifier: Apache-2.0 */
#include "spawner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "launch.h"

enum { ANSWER_PATIENCE_MS = 10000 };

/* A request: this, the directory with its terminating NUL, the start command. */
struct head {
    uint32_t dir_bytes;
    uint32_t start_bytes;
};

/* Room for one descriptor, aligned. */
union control {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

/* ---- in the spawner ---- */

/* Returns 1 for a request, 0 at the end of the agent, -1 for what is not one. */
static int receive(int fd, char *buf, struct weir_spawn *ret)
{
    struct head head = {0};
    union control control = {{0}};
    struct iovec part[] = {{&head, sizeof head}, {buf, WEIR_SPAWN_BYTES_MAX}};
    struct msghdr m = {.msg_iov = part, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;
    do {
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return 0;
    }
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    ret->record_fd = -1;
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(&ret->record_fd, CMSG_DATA(c), sizeof ret->record_fd);
    }
    size_t got = (size_t)n;
    bool whole = got >= sizeof head && head.dir_bytes > 0 && head.dir_bytes <= WEIR_PATH_SIZE &&
                 got == sizeof head + head.dir_bytes + head.start_bytes && buf[head.dir_bytes - 1] == '\0';
    if (!whole || ret->record_fd < 0) {
        weir_closep(&ret->record_fd);
        return -1;
    }
    ret->dir = buf;
    ret->start = (struct weir_sv){buf + head.dir_bytes, head.start_bytes};
    return 1;
}

__attribute__((noreturn)) static void serve(int fd, weir_spawn_fn *fn, void *ctx)
{
    char *buf = weir_alloc(WEIR_SPAWN_BYTES_MAX);
    struct weir_spawn what;
    int got;
    while ((got = receive(fd, buf, &what)) != 0) {
        int32_t answer = -EINVAL;
        if (got > 0) {
            answer = fn(ctx, &what);
            (void)close(what.record_fd); /* before the answer: from then on the lock is the supervisor's alone */
        }
        if (send(fd, &answer, sizeof answer, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    _exit(0);
}

/* ---- in the agent ---- */

void weir_spawner_open(struct weir_spawner *s, int keep_fd, weir_spawn_fn *fn, void *ctx)
{
    int pair[2];
    *s = (struct weir_spawner){.fd = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t all;
        (void)sigfillset(&all);
        /* Ctrl-C and a stop of the service mean the agent; supervisors unblock what they want to hear. */
        (void)sigprocmask(SIG_SETMASK, &all, NULL);
        (void)prctl(PR_SET_NAME, "weir-spawner");
        weir_close_all_but(pair[1], keep_fd); /* standard streams stay: what goes wrong here is said where the agent says it */
        serve(pair[1], fn, ctx);
    }
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return;
    }
    s->pid = pid;
    s->fd = pair[0];
}

void weir_spawner_close(struct weir_spawner *s)
{
    if (s->pid != 0) {
        (void)close(s->fd);
        (void)kill(s->pid, SIGKILL);
        (void)waitpid(s->pid, NULL, 0);
        *s = (struct weir_spawner){.fd = -1};
    }
}

static bool request(const struct weir_spawner *s, const struct weir_spawn *what)
{
    size_t dir_bytes = strlen(what->dir) + 1;
    if (dir_bytes > WEIR_PATH_SIZE || what->start.n > WEIR_SPAWN_BYTES_MAX - dir_bytes) {
        return false;
    }
    struct head head = {(uint32_t)dir_bytes, (uint32_t)what->start.n};
    union {
        const char *in;
        void *out;
    } dir = {.in = what->dir}, start = {.in = what->start.p};
    struct iovec part[] = {{&head, sizeof head}, {dir.out, dir_bytes}, {start.out, what->start.n}};
    union control control = {{0}};
    struct msghdr m = {.msg_iov = part, .msg_iovlen = 3, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &what->record_fd, sizeof what->record_fd);
    ssize_t n;
    do {
        n = sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n >= 0; /* a packet goes whole or not at all */
}

enum weir_spawned weir_spawner_start(struct weir_spawner *s, const struct weir_spawn *what, pid_t *ret_pid)
{
    if (s->pid == 0 || !request(s, what)) {
        return WEIR_SPAWN_NOT;
    }
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    int32_t answer = 0;
    int r;
    do {
        r = poll(&p, 1, ANSWER_PATIENCE_MS);
    } while (r < 0 && errno == EINTR);
    ssize_t n = r > 0 ? recv(s->fd, &answer, sizeof answer, MSG_DONTWAIT) : -1;
    if (n != (ssize_t)sizeof answer) {
        /* Once it is gone, what it may have started is all that it will ever start. */
        weir_spawner_close(s);
        return WEIR_SPAWN_MAYBE;
    }
    if (answer <= 0) {
        return WEIR_SPAWN_NOT;
    }
    *ret_pid = answer;
    return WEIR_SPAWNED;
}
