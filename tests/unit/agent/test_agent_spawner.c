/* SPDX-License-Identifier: Apache-2.0 */
/* The process that makes supervisors: whose children they are, whose lock they hold, and what is known when it is lost. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/spawner.h"
#include "base/mem.h"

/* What the start command's text asks for. */
static pid_t spawn(void *ctx, const struct weir_spawn *s)
{
    (void)ctx;
    if (weir_sv_eq(s->start, WEIR_SV("refuse"))) {
        return -EAGAIN;
    }
    if (weir_sv_eq(s->start, WEIR_SV("die"))) {
        (void)raise(SIGKILL);
    }
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        if (weir_sv_eq(s->start, WEIR_SV("stay"))) {
            (void)pause();
        }
        _exit(weir_streq(s->dir, "/some/dir") ? 7 : 8);
    }
    return pid;
}

struct fixture {
    struct weir_spawner s;
    char path[64];
    int record;
};

static void start(struct fixture *f)
{
    (void)snprintf(f->path, sizeof f->path, "/tmp/weir-spawner-XXXXXX");
    f->record = mkostemp(f->path, O_CLOEXEC);
    assert_true(f->record >= 0);
    assert_int_equal(flock(f->record, LOCK_EX | LOCK_NB), 0);
    weir_spawner_open(&f->s, STDERR_FILENO, spawn, NULL);
    assert_true(f->s.pid > 0);
}

static void stop(struct fixture *f)
{
    weir_spawner_close(&f->s);
    weir_spawner_close(&f->s); /* nothing any more */
    weir_closep(&f->record);
    (void)unlink(f->path);
}

static enum weir_spawned ask(struct fixture *f, struct weir_sv what, pid_t *pid)
{
    const struct weir_spawn s = {.dir = "/some/dir", .start = what, .record_fd = f->record};
    return weir_spawner_start(&f->s, &s, pid);
}

static void a_supervisor_is_a_child_of_the_agent(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    for (int i = 0; i < 3; i++) {
        pid_t pid = 0;
        int status = 0;
        assert_int_equal(ask(&f, WEIR_SV("{}"), &pid), WEIR_SPAWNED);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 7);
    }
    stop(&f);
}

static void the_lock_is_the_supervisors_alone(void **state)
{
    (void)state;
    struct fixture f;
    pid_t pid = 0;
    start(&f);
    assert_int_equal(ask(&f, WEIR_SV("stay"), &pid), WEIR_SPAWNED);
    weir_closep(&f.record);
    WEIR_CLEANUP(weir_closep) int fd = open(f.path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    f.record = -1;
    stop(&f);
}

static void a_refusal_is_certain(void **state)
{
    (void)state;
    struct fixture f;
    pid_t pid = 0;
    start(&f);
    assert_int_equal(ask(&f, WEIR_SV("refuse"), &pid), WEIR_SPAWN_NOT);
    WEIR_CLEANUP(weir_freep) char *large = weir_alloc(WEIR_SPAWN_BYTES_MAX);
    memset(large, 'x', WEIR_SPAWN_BYTES_MAX);
    assert_int_equal(ask(&f, (struct weir_sv){large, WEIR_SPAWN_BYTES_MAX}, &pid), WEIR_SPAWN_NOT);
    /* it lives on */
    assert_int_equal(ask(&f, WEIR_SV("{}"), &pid), WEIR_SPAWNED);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    stop(&f);
}

static void a_lost_answer_is_not_taken_for_a_refusal(void **state)
{
    (void)state;
    struct fixture f;
    pid_t pid = 0;
    start(&f);
    assert_int_equal(ask(&f, WEIR_SV("die"), &pid), WEIR_SPAWN_MAYBE);
    assert_int_equal(f.s.pid, 0);
    assert_int_equal(ask(&f, WEIR_SV("{}"), &pid), WEIR_SPAWN_NOT);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_supervisor_is_a_child_of_the_agent),
        cmocka_unit_test(the_lock_is_the_supervisors_alone),
        cmocka_unit_test(a_refusal_is_certain),
        cmocka_unit_test(a_lost_answer_is_not_taken_for_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
