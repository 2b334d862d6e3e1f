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

/* Pieces that stay whole: as many on a line as it holds, three spaces apart. */
static void add_pieces(const struct weir_term *term, const char *const *piece, size_t n, struct weir_str *out)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        size_t columns = weir_out_columns(weir_sv_of(piece[i]));
        if (used > 0 && term->width > 0 && used + 3 + columns > term->width) {
            weir_str_addc(out, '\n');
            used = 0;
        }
        weir_str_adds(out, used > 0 ? "   " : "");
        weir_out_clean(out, weir_sv_of(piece[i]), false);
        used += (used > 0 ? 3 : 0) + columns;
    }
    weir_str_addc(out, '\n');
}

static void add_head(const struct frame *f, const char *url, const struct weir_term *term, struct weir_str *out)
{
    const json_t *jobs = json_object_get(f->status, "jobs");
    const json_t *tasks = json_object_get(f->status, "tasks");
    const json_t *gpus = json_object_get(f->status, "gpus");
    const json_t *nodes = json_object_get(f->status, "nodes");
    const char *version = weir_get_text(f->status, "version");
    int64_t total = weir_get_i64(gpus, "total", 0);
    char buf[WEIR_RFC3339_SIZE];
    enum { PIECES = 8 };
    char text[PIECES][256];
    struct weir_str rate = WEIR_STR_INIT(128);
    weir_out_rate(&rate, weir_get_i64(f->status, "spend_micro_per_hour", 0), weir_get_currency(f->status));
    (void)snprintf(text[0], sizeof text[0], "weir %s at %s", version != NULL ? version : "?", url);
    (void)snprintf(text[1], sizeof text[1], "up %s",
                   weir_dur_format(weir_dur_s(weir_get_i64(f->status, "uptime_s", 0)), buf));
    (void)snprintf(text[2], sizeof text[2], "GPUs %" PRId64 "/%" PRId64 " busy", total - weir_get_i64(gpus, "free", 0),
                   total);
    (void)snprintf(text[3], sizeof text[3], "nodes %" PRId64 " up, %" PRId64 " lost", weir_get_i64(nodes, "up", 0),
                   weir_get_i64(nodes, "lost", 0));
    (void)snprintf(text[4], sizeof text[4], "leases %" PRId64, weir_get_i64(f->status, "leases", 0));
    (void)snprintf(text[5], sizeof text[5], "spending %s", weir_str_cstr(&rate));
    (void)snprintf(text[6], sizeof text[6], "jobs %" PRId64 " begun, %" PRId64 " waiting",
                   weir_get_i64(jobs, "running", 0), weir_get_i64(jobs, "waiting", 0));
    (void)snprintf(text[7], sizeof text[7], "tasks %" PRId64 " placed, %" PRId64 " waiting",
                   weir_get_i64(tasks, "running", 0), weir_get_i64(tasks, "waiting", 0));
    weir_str_release(&rate);
    const char *piece[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        piece[i] = text[i];
    }
    add_pieces(term, piece, 2, out);
    add_pieces(term, piece + 2, 4, out);
    add_pieces(term, piece + 6, 2, out);
}

/* A part of the frame: an empty line, then the table. */
static void add_table(const struct frame *f, const json_t *items, const struct weir_field *field, size_t n,
                      const struct weir_term *term, struct weir_str *out)
{
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t =
        weir_fields_table(field, n, items, weir_get_currency(f->status));
    weir_str_addc(out, '\n');
    weir_table_render(t, term, out);
}

static void render(const struct frame *f, const char *url, const struct weir_term *term, struct weir_str *out)
{
    static const struct weir_field pools[] = {
        {"POOL", WEIR_FIELD_TEXT, "name"},
        {"NODES", WEIR_FIELD_INT, "nodes"},
        {"GPUS FREE", WEIR_FIELD_OF, "gpus_free", "gpus"},
        {"RUNNING", WEIR_FIELD_INT, "running", .drop = 1},
        {"RATE", WEIR_FIELD_RATE, "rate_micro_per_hour"},
    };
    static const struct weir_field nodes[] = {
        {"NODE", WEIR_FIELD_TEXT, "name", .shrink = true},
        {"POOL", WEIR_FIELD_TEXT, "pool", .drop = 2},
        {"STATE", WEIR_FIELD_STATE, "state"},
        {"GPU", WEIR_FIELD_TEXT, "gpu", .drop = 1},
        {"GPUS FREE", WEIR_FIELD_OF, "gpus_free", "gpus"},
        {"RUNNING", WEIR_FIELD_INT, "running", .drop = 3},
        {"RATE", WEIR_FIELD_RATE, "rate_full_micro_per_hour"},
    };
    static const struct weir_field jobs[] = {
        {"JOB", WEIR_FIELD_INT, "id"},
        {"NAME", WEIR_FIELD_TEXT, "name", .shrink = true},
        {"PROJECT", WEIR_FIELD_TEXT, "project", .shrink = true, .drop = 3},
        {"USER", WEIR_FIELD_TEXT, "user", .shrink = true, .drop = 4},
        {"TASKS", WEIR_FIELD_INT, "tasks", .drop = 2},
        {"NODE", WEIR_FIELD_TEXT, "node", .shrink = true},
        {"GPUS", WEIR_FIELD_TEXT, "gpus", .drop = 1},
        {"TIME", WEIR_FIELD_SPAN, "started", "ended"},
        {"COST", WEIR_FIELD_MONEY, "cost_micro"},
    };
    add_head(f, url, term, out);
    add_table(f, f->pools, pools, WEIR_ARRAY_LEN(pools), term, out);
    add_table(f, f->nodes, nodes, WEIR_ARRAY_LEN(nodes), term, out);
    add_table(f, f->jobs, jobs, WEIR_ARRAY_LEN(jobs), term, out);
}

/* Draws over the last frame: home, each line cleared to its end, the rest of the screen cleared, then the key that
 * ends it all. */
static void draw(const struct weir_str *frame, const struct weir_term *term)
{
    struct winsize size;
    unsigned rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 ? size.ws_row : 24;
    struct weir_sv rest = weir_str_sv(frame);
    (void)fputs("\033[H", stdout);
    for (unsigned row = 1; rest.n > 0 && row + 1 < rows; row++) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        (void)fwrite(line.p, 1, line.n, stdout);
        (void)fputs("\033[K\r\n", stdout);
    }
    (void)printf("\033[J%sq: quit%s", weir_style_begin(term, WEIR_STYLE_DIM), weir_style_end(term, WEIR_STYLE_DIM));
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
        draw(&out, &term);
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
