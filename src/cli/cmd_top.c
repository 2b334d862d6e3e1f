/* SPDX-License-Identifier: Apache-2.0 */

/* weir top: pools, nodes, running jobs and spending on one screen, redrawn in place. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "api_client.h"
#include "base/clock.h"
#include "base/mem.h"
#include "command.h"
#include "fields.h"

enum { FRAME_BYTES_MAX = 1 << 20, NODES_SHOWN_MAX = 100, JOBS_SHOWN_MAX = 100 };

const struct weir_opt weir_opts_top[] = {
    {"interval", 'i', WEIR_OPT_DURATION, .arg = "TIME", .help = "between two looks (default 2s)"},
    {"once", '1', WEIR_OPT_FLAG, .help = "one frame, then end; so it is anyway where the output is no terminal"},
    {0},
};

struct frame {
    json_t *status;
    json_t *pools;
    json_t *nodes;
    json_t *jobs;
};

static void frame_release(struct frame *f)
{
    json_decref(f->status);
    json_decref(f->pools);
    json_decref(f->nodes);
    json_decref(f->jobs);
    *f = (struct frame){0};
}

static int fetch(struct weir_client *api, struct frame *f, struct weir_err *err)
{
    int r = weir_client_call(api, "GET", "/v1/status", NULL, &f->status, err);
    if (r == 0) {
        r = weir_client_list(api, "/v1/pools", NODES_SHOWN_MAX, &f->pools, NULL, err);
    }
    if (r == 0) {
        r = weir_client_list(api, "/v1/nodes", NODES_SHOWN_MAX, &f->nodes, NULL, err);
    }
    if (r == 0) {
        r = weir_client_list(api, "/v1/jobs?state=running", JOBS_SHOWN_MAX, &f->jobs, NULL, err);
    }
    return r;
}

static void add_head(const struct frame *f, const char *url, struct weir_str *out)
{
    const json_t *jobs = json_object_get(f->status, "jobs");
    const json_t *tasks = json_object_get(f->status, "tasks");
    const json_t *gpus = json_object_get(f->status, "gpus");
    const json_t *nodes = json_object_get(f->status, "nodes");
    char buf[WEIR_RFC3339_SIZE];
    const char *version = weir_get_text(f->status, "version");
    int64_t total = weir_get_i64(gpus, "total", 0);
    weir_str_addf(out, "weir %s at %s, up %s\n", version != NULL ? version : "?", url,
                  weir_dur_format(weir_dur_s(weir_get_i64(f->status, "uptime_s", 0)), buf));
    weir_str_addf(out,
                  "GPUs %" PRId64 "/%" PRId64 " busy   nodes %" PRId64 " up, %" PRId64 " lost   leases %" PRId64
                  "   spending ",
                  total - weir_get_i64(gpus, "free", 0), total, weir_get_i64(nodes, "up", 0),
                  weir_get_i64(nodes, "lost", 0), weir_get_i64(f->status, "leases", 0));
    weir_out_rate(out, weir_get_i64(f->status, "spend_micro_per_hour", 0), weir_get_currency(f->status));
    weir_str_addf(out,
                  "\njobs %" PRId64 " running, %" PRId64 " waiting   tasks %" PRId64 " running, %" PRId64 " waiting\n",
                  weir_get_i64(jobs, "running", 0), weir_get_i64(jobs, "waiting", 0), weir_get_i64(tasks, "running", 0),
                  weir_get_i64(tasks, "waiting", 0));
}

static void add_pools(const struct frame *f, const struct weir_term *term, struct weir_str *out)
{
    static const struct weir_column column[] = {
        {"POOL"},
        {"NODES", .right = true},
        {"GPUS FREE", .right = true},
        {"RUNNING", .right = true},
        {"RATE", .right = true},
    };
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, WEIR_ARRAY_LEN(column));
    size_t i;
    json_t *o;
    json_array_foreach(f->pools, i, o)
    {
        weir_cell_text(t, o, "name");
        weir_cell_i64(t, o, "nodes");
        weir_cell_of(t, weir_get_i64(o, "gpus_free", 0), weir_get_i64(o, "gpus", 0));
        weir_cell_i64(t, o, "running");
        weir_cell_rate(t, o, "rate_micro_per_hour", weir_get_currency(f->status));
    }
    weir_str_addc(out, '\n');
    weir_table_render(t, term, out);
}

static void add_nodes(const struct frame *f, const struct weir_term *term, struct weir_str *out)
{
    static const struct weir_column column[] = {
        {"NODE", .shrink = true},
        {"POOL"},
        {"STATE"},
        {"GPU"},
        {"GPUS FREE", .right = true},
        {"RUNNING", .right = true},
        {"RATE", .right = true},
    };
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, WEIR_ARRAY_LEN(column));
    size_t i;
    json_t *o;
    json_array_foreach(f->nodes, i, o)
    {
        weir_cell_text(t, o, "name");
        weir_cell_text(t, o, "pool");
        weir_cell_state(t, o);
        weir_cell_text(t, o, "gpu");
        weir_cell_of(t, weir_get_i64(o, "gpus_free", 0), weir_get_i64(o, "gpus", 0));
        weir_cell_i64(t, o, "running");
        weir_cell_rate(t, o, "rate_full_micro_per_hour", weir_get_currency(f->status));
    }
    weir_str_addc(out, '\n');
    weir_table_render(t, term, out);
}

static void add_jobs(const struct frame *f, const struct weir_term *term, struct weir_str *out)
{
    static const struct weir_column column[] = {
        {"JOB", .right = true},
        {"NAME", .shrink = true},
        {"PROJECT", .shrink = true},
        {"USER", .shrink = true},
        {"TASKS", .right = true},
        {"NODE", .shrink = true},
        {"GPUS"},
        {"TIME", .right = true},
        {"COST", .right = true},
    };
    struct weir_wall now = weir_clock_wall(&weir_clock_os);
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, WEIR_ARRAY_LEN(column));
    size_t i;
    json_t *o;
    json_array_foreach(f->jobs, i, o)
    {
        weir_cell_i64(t, o, "id");
        weir_cell_text(t, o, "name");
        weir_cell_text(t, o, "project");
        weir_cell_text(t, o, "user");
        weir_cell_i64(t, o, "tasks");
        weir_cell_text(t, o, "node");
        weir_cell_text(t, o, "gpus");
        weir_cell_span(t, o, "started", "ended", now);
        weir_cell_money(t, o, "cost_micro");
    }
    weir_str_addc(out, '\n');
    weir_table_render(t, term, out);
}

static void render(const struct frame *f, const char *url, const struct weir_term *term, struct weir_str *out)
{
    add_head(f, url, out);
    add_pools(f, term, out);
    add_nodes(f, term, out);
    add_jobs(f, term, out);
}

/* Draws over the last frame: home, each line cleared to its end, the rest of the screen cleared. */
static void draw(const struct weir_str *frame)
{
    struct winsize size;
    unsigned rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 ? size.ws_row : 24;
    struct weir_sv rest = weir_str_sv(frame);
    (void)fputs("\033[H", stdout);
    for (unsigned row = 1; rest.n > 0 && row < rows; row++) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        (void)fwrite(line.p, 1, line.n, stdout);
        (void)fputs("\033[K\r\n", stdout);
    }
    (void)fputs("\033[J", stdout);
    (void)fflush(stdout);
}

static volatile sig_atomic_t is_stopped;

static void on_signal(int sig)
{
    (void)sig;
    is_stopped = 1;
}

/* Waits for the time or a key; true where q (or a signal) ends it. */
static bool wait_key(int timeout_ms)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    int n = poll(&p, 1, timeout_ms);
    char c = 0;
    if (n > 0 && read(STDIN_FILENO, &c, 1) != 1) {
        return true;
    }
    return is_stopped != 0 || c == 'q' || c == 'Q' || c == 3;
}

static int live(struct weir_client *api, int interval_ms, struct weir_err *err)
{
    struct termios saved;
    if (tcgetattr(STDIN_FILENO, &saved) < 0) {
        return weir_fail(err, -WEIR_EINVAL, "standard input is no terminal: use --once");
    }
    struct termios raw = saved;
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    struct sigaction act = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    (void)sigaction(SIGHUP, &act, NULL);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    (void)fputs("\033[?1049h\033[?25l\033[2J", stdout); /* the other screen, without a cursor */
    int r = 0;
    bool drawn = false;
    do {
        struct frame f = {0};
        struct weir_str out = WEIR_STR_INIT(FRAME_BYTES_MAX);
        struct weir_term term = weir_term_of(STDOUT_FILENO);
        r = fetch(api, &f, err);
        if (r == 0) {
            render(&f, weir_client_url(api), &term, &out);
        } else {
            /* A broker that restarts is no reason to leave. */
            weir_str_addf(&out, "%s\n", err->text);
        }
        draw(&out);
        drawn = drawn || r == 0;
        frame_release(&f);
        weir_str_release(&out);
    } while ((r == 0 || drawn) && !wait_key(interval_ms));
    (void)fputs("\033[?25h\033[?1049l", stdout);
    (void)fflush(stdout);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    return drawn ? 0 : r;
}

int weir_cmd_top(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_term term = weir_term_of(STDOUT_FILENO);
    bool json = weir_args_has(args, "json");
    if (term.live && !json && !weir_args_has(args, "once")) {
        struct weir_dur interval = weir_args_duration(args, "interval", weir_dur_s(2));
        int64_t ms = interval.us / WEIR_US_PER_MS;
        return live(api, (int)(ms < 100 ? 100 : ms > 3600000 ? 3600000 : ms), err);
    }
    struct frame f = {0};
    r = fetch(api, &f, err);
    if (r == 0 && json) {
        json_t *all =
            json_pack("{s:O,s:O,s:O,s:O}", "status", f.status, "pools", f.pools, "nodes", f.nodes, "jobs", f.jobs);
        weir_print_json(all);
        json_decref(all);
    } else if (r == 0) {
        struct weir_str out = WEIR_STR_INIT(FRAME_BYTES_MAX);
        render(&f, weir_client_url(api), &term, &out);
        (void)fputs(weir_str_cstr(&out), stdout);
        weir_str_release(&out);
    }
    frame_release(&f);
    return r;
}
