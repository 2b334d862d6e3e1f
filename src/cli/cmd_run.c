/* SPDX-License-Identifier: Apache-2.0 */

/*
 * weir run: submits a command, streams its log, exits with its code. One thread streams; the main
 * thread waits for signals and tells why a job still waits, so that Ctrl-C is answered at once.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "command.h"
#include "follow.h"
#include "output.h"
#include "spec_args.h"

const struct weir_opt weir_opts_run[] = {
    {"detach", 'd', WEIR_OPT_FLAG, .help = "print the job's id and leave it running"},
    {"quiet", 'q', WEIR_OPT_FLAG, .help = "say nothing but errors"},
    WEIR_SPEC_OPTIONS,
    {0},
};

enum { FIRST_LOOK_MS = 700, LOOK_MS = 3000 };

struct run {
    struct weir_client *api;
    struct weir_client *stream_api; /* the streaming thread's own */
    uint64_t job;
    struct weir_follow follow;
    struct weir_err stream_err;
    int stream_result;
    int pipe[2]; /* 'e': the stream has ended; 's': a signal came; 'h': the terminal is gone */
    bool quiet;
    bool line_open; /* a status line stands on the terminal */
    bool cancelled;
};

static int signal_fd = -1;

static void on_signal(int sig)
{
    int e = errno;
    char c = sig == SIGHUP ? 'h' : 's';
    (void)!write(signal_fd, &c, 1);
    errno = e;
}

static void *stream_main(void *arg)
{
    struct run *run = arg;
    run->stream_result = weir_follow_job(run->stream_api, run->job, &run->follow, &run->stream_err);
    char c = 'e';
    (void)!write(run->pipe[1], &c, 1);
    return NULL;
}

static void status_line(struct run *run, const char *text)
{
    struct weir_term term = weir_term_of(STDERR_FILENO);
    if (!term.live || run->quiet) {
        return;
    }
    struct weir_str clean = WEIR_STR_INIT(1024);
    weir_out_clean(&clean, weir_sv_of(text), false);
    struct weir_sv shown = weir_out_prefix(weir_str_sv(&clean), term.width > 1 ? term.width - 1 : 79);
    (void)pthread_mutex_lock(&run->follow.out);
    (void)fprintf(stderr, "\r\033[K%.*s", WEIR_SV_ARG(shown));
    (void)fflush(stderr);
    (void)pthread_mutex_unlock(&run->follow.out);
    weir_str_release(&clean);
    run->line_open = text[0] != '\0';
}

/* While nothing has been printed yet: says on a terminal what the job waits for. */
static void show_why(struct run *run)
{
    json_t *explain = NULL;
    struct weir_str path = WEIR_STR_INIT(256);
    weir_job_path(&path, run->job);
    weir_str_adds(&path, "/explain");
    int r = weir_client_call(run->api, "GET", weir_str_cstr(&path), NULL, &explain, NULL);
    weir_str_release(&path);
    if (r < 0 || atomic_load(&run->follow.seen)) {
        json_decref(explain);
        return;
    }
    const json_t *items = json_object_get(explain, "items");
    const json_t *now = json_object_get(explain, "now");
    const json_t *last = json_is_object(now) ? now : json_array_get(items, json_array_size(items) - 1);
    const char *why = weir_get_text(last, "text");
    struct weir_str line = WEIR_STR_INIT(1024);
    weir_str_addf(&line, "job %" PRIu64 ": %s", run->job, why != NULL ? why : "waits");
    status_line(run, weir_str_cstr(&line));
    weir_str_release(&line);
    json_decref(explain);
}

static void cancel(struct run *run)
{
    struct weir_err err = {""};
    struct weir_str path = WEIR_STR_INIT(256);
    weir_job_path(&path, run->job);
    weir_str_adds(&path, "/cancel");
    int r = weir_client_call(run->api, "POST", weir_str_cstr(&path), NULL, NULL, &err);
    weir_str_release(&path);
    if (r == 0) {
        run->cancelled = true;
        weir_talk("job %" PRIu64 ": cancelling; Ctrl-C again leaves at once", run->job);
    } else if (r == -WEIR_ECONFLICT) {
        run->cancelled = true; /* it has just ended by itself */
    } else {
        weir_talk("job %" PRIu64 " was not cancelled: %s", run->job, err.text);
    }
}

__attribute__((noreturn)) static void detach(const struct run *run)
{
    weir_talk("job %" PRIu64 " goes on; follow it with 'weir logs -f %" PRIu64 "', end it with 'weir cancel %" PRIu64
              "'",
              run->job, run->job, run->job);
    /* The streaming thread is in the middle of a call: nothing of ours is left to release in order. */
    (void)fflush(NULL);
    _exit(WEIR_EXIT_DETACHED);
}

/* Asks on the terminal, with the log held still. Another Ctrl-C while asking cancels. */
static char ask(struct run *run)
{
    WEIR_CLEANUP(weir_closep) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0 || !isatty(STDERR_FILENO)) {
        return 'c';
    }
    (void)pthread_mutex_lock(&run->follow.out);
    char answer = 0;
    while (answer == 0) {
        (void)fprintf(stderr, "\nweir: job %" PRIu64 ": (c)ancel it, (d)etach and let it run, or (g)o on following? ",
                      run->job);
        (void)fflush(stderr);
        struct pollfd p[2] = {{.fd = tty, .events = POLLIN}, {.fd = run->pipe[0], .events = POLLIN}};
        if (poll(p, 2, -1) < 0 && errno != EINTR) {
            answer = 'd';
        }
        char text[64] = "";
        if (p[1].revents != 0 && read(run->pipe[0], text, 1) == 1) {
            /* The log ended while we asked: nothing is left to cancel. */
            answer = text[0] == 's' ? 'c' : text[0] == 'h' ? 'd' : 'e';
        } else if (p[0].revents != 0) {
            ssize_t n = read(tty, text, sizeof text - 1);
            char first = n > 0 ? (char)(text[0] | 0x20) : 'd';
            answer = first == 'c' || first == 'd' || first == 'g' ? first : 0;
        }
    }
    (void)pthread_mutex_unlock(&run->follow.out);
    return answer;
}

/* False where the stream's end was seen while asking. */
static bool on_interrupt(struct run *run)
{
    status_line(run, "");
    if (run->cancelled) {
        detach(run);
    }
    switch (ask(run)) {
    case 'c':
        cancel(run);
        return true;
    case 'd':
        detach(run);
    case 'e':
        return false;
    default:
        return true;
    }
}

/* Waits for the end of the stream, answering signals meanwhile. */
static void attend(struct run *run)
{
    int timeout_ms = FIRST_LOOK_MS;
    bool terminal = weir_term_of(STDERR_FILENO).live && !run->quiet;
    for (;;) {
        struct pollfd p = {.fd = run->pipe[0], .events = POLLIN};
        int n = poll(&p, 1, terminal ? timeout_ms : -1);
        if (run->line_open && atomic_load(&run->follow.seen)) {
            run->line_open = false;
        }
        if (n == 0) {
            if (!atomic_load(&run->follow.seen)) {
                show_why(run);
            }
            timeout_ms = LOOK_MS;
            continue;
        }
        char c = 0;
        if (n < 0 || read(run->pipe[0], &c, 1) != 1) {
            continue;
        }
        if (c == 'e' || (c == 's' && !on_interrupt(run))) {
            break;
        }
        if (c == 'h') {
            detach(run);
        }
    }
    if (run->line_open) {
        status_line(run, "");
    }
}

static int make_spec(const struct weir_args *args, const struct weir_client *api, struct weir_gpu_table *gpus,
                     struct weir_spec **ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_spec_freep) struct weir_spec *s = weir_spec_new();
    const char *base = strrchr(args->operand[0], '/');
    base = base != NULL && base[1] != '\0' ? base + 1 : args->operand[0];
    free(s->name);
    s->name = weir_strndup(base, strlen(base) < WEIR_SPEC_NAME_MAX ? strlen(base) : WEIR_SPEC_NAME_MAX - 1);
    s->origin = WEIR_SPEC_COMMAND;
    s->argv = weir_calloc(args->n_operands + 1, sizeof *s->argv);
    for (size_t i = 0; i < args->n_operands; i++) {
        s->argv[i] = weir_strdup(args->operand[i]);
    }
    int r = weir_spec_args_apply(args, s, gpus, err);
    if (r == 0) {
        r = weir_spec_args_surroundings(args, api, s, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = WEIR_TAKE(s);
    return 0;
}

static int submit(struct run *run, const struct weir_args *args, struct weir_err *err)
{
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    WEIR_CLEANUP(weir_spec_freep) struct weir_spec *spec = NULL;
    json_t *answer = NULL;
    int r = make_spec(args, run->api, gpus, &spec, err);
    if (r == 0) {
        weir_spec_args_warn("run", spec, NULL);
        r = weir_spec_args_post(run->api, spec, gpus, false, &answer, err);
    }
    weir_gpu_table_free(gpus);
    if (r < 0) {
        return r;
    }
    weir_spec_args_warn("run", NULL, answer);
    run->job = (uint64_t)weir_get_i64(answer, "id", 0);
    json_decref(answer);
    return 0;
}

static int finish(struct run *run, struct weir_err *err)
{
    struct weir_ref ref = {.job = run->job};
    json_t *job = NULL;
    int status = 0;
    int r = weir_job_wait(run->api, &ref, (struct weir_dur){0}, &job, err);
    if (r == 0) {
        r = weir_job_exit_status(run->api, job, &status, err);
    }
    if (r == 0 && (status != 0 || isatty(STDERR_FILENO)) && !run->quiet) {
        struct weir_str text = WEIR_STR_INIT(4096);
        weir_job_end_text(job, status, &text);
        weir_talk("%s", weir_str_cstr(&text));
        weir_str_release(&text);
    }
    json_decref(job);
    return r < 0 ? r : status;
}

static int run_job(struct run *run, const struct weir_args *args, struct weir_err *err)
{
    int r = weir_client_open(&run->api, args, err);
    if (r == 0) {
        r = weir_client_clone(&run->stream_api, run->api, err);
    }
    if (r < 0) {
        return r;
    }
    if (pipe2(run->pipe, O_CLOEXEC) < 0) {
        return weir_fail(err, weir_error_from_errno(errno), "pipe: no more files can be opened");
    }
    r = submit(run, args, err);
    if (r < 0) {
        return r;
    }
    if (weir_args_has(args, "detach")) {
        (void)printf("%" PRIu64 "\n", run->job);
        return 0;
    }
    signal_fd = run->pipe[1];
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    (void)sigaction(SIGHUP, &act, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, stream_main, run) != 0) {
        return weir_fail(err, -WEIR_ENOMEM,
                         "no thread can be started; job %" PRIu64 " runs: 'weir logs -f %" PRIu64 "'", run->job,
                         run->job);
    }
    attend(run);
    (void)pthread_join(thread, NULL);
    if (run->stream_result < 0) {
        (void)weir_fail(err, run->stream_result, "the log of job %" PRIu64 " broke off: %.400s", run->job,
                        run->stream_err.text);
        return run->stream_result;
    }
    return finish(run, err);
}

int weir_cmd_run(const struct weir_args *args, struct weir_err *err)
{
    struct run run = {.follow = WEIR_FOLLOW_INIT, .pipe = {-1, -1}, .quiet = weir_args_has(args, "quiet")};
    run.follow.whole = true;
    int r = run_job(&run, args, err);
    weir_client_free(run.api);
    weir_client_free(run.stream_api);
    return r;
}
