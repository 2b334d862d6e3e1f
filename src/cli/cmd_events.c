/* SPDX-License-Identifier: Apache-2.0 */

/* weir events: what happened, oldest first. */

#include <inttypes.h>
#include <stdio.h>

#include "api_client.h"
#include "base/mem.h"
#include "command.h"
#include "jobs.h"
#include "output.h"

enum { LINE_BYTES_MAX = 64 << 10, AWAY_TRIES_MAX = 120 };

const struct weir_opt weir_opts_events[] = {
    {"follow", 'f', WEIR_OPT_FLAG, .help = "go on showing what comes"},
    {"job", 0, WEIR_OPT_COUNT, .arg = "JOB", .help = "only of this job", .min = 1, .max = INT64_MAX},
    {"after", 0, WEIR_OPT_COUNT, .arg = "ID", .help = "only events after this one", .max = INT64_MAX},
    {"limit", 'n', WEIR_OPT_COUNT, .arg = "N", .help = "at most so many (default 1000; not with --follow)", .min = 1},
    {0},
};

struct follow {
    struct weir_str line;
    uint64_t last; /* id of the event seen last */
    bool json;
};

static void print_event(const json_t *e)
{
    struct weir_str s = WEIR_STR_INIT(8192);
    const char *at = weir_get_text(e, "at");
    const char *kind = weir_get_text(e, "kind");
    const char *node = weir_get_text(e, "node");
    const char *text = weir_get_text(e, "text");
    weir_str_addf(&s, "%-27s %-18s", at != NULL ? at : "-", kind != NULL ? kind : "-");
    if (weir_get_is_set(e, "job")) {
        weir_str_addf(&s, " job=%" PRId64, weir_get_i64(e, "job", 0));
        if (weir_get_is_set(e, "index")) {
            weir_str_addf(&s, "_%" PRId64, weir_get_i64(e, "index", 0));
        }
    }
    if (node != NULL) {
        weir_str_addf(&s, " node=%s", node);
    }
    if (weir_get_is_set(e, "lease")) {
        weir_str_addf(&s, " lease=%" PRId64, weir_get_i64(e, "lease", 0));
    }
    if (text != NULL && text[0] != '\0') {
        weir_str_addf(&s, " %s", text);
    }
    struct weir_str clean = WEIR_STR_INIT(16384);
    weir_out_clean(&clean, weir_sv_trim(weir_str_sv(&s)), false);
    (void)puts(weir_str_cstr(&clean));
    weir_str_release(&s);
    weir_str_release(&clean);
}

static void take_line(struct follow *f)
{
    json_t *e = json_loadb(weir_str_cstr(&f->line), f->line.n, 0, NULL);
    if (json_is_object(e)) {
        int64_t id = weir_get_i64(e, "id", 0);
        f->last = id > 0 ? (uint64_t)id : f->last;
        if (f->json) {
            (void)json_dumpf(e, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
            (void)putchar('\n');
        } else {
            print_event(e);
        }
    }
    json_decref(e);
    weir_str_clear(&f->line);
}

static int sink(void *ctx, const char *p, size_t n)
{
    struct follow *f = ctx;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            take_line(f);
        } else {
            weir_str_addc(&f->line, p[i]);
        }
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

static int follow(struct weir_client *api, const struct weir_args *args, struct weir_err *err)
{
    struct follow f = {
        .line = WEIR_STR_INIT(LINE_BYTES_MAX),
        .last = weir_args_count(args, "after", 0),
        .json = weir_args_has(args, "json"),
    };
    unsigned away = 0;
    int r;
    for (;;) {
        struct weir_str path = WEIR_STR_INIT(512);
        uint64_t before = f.last;
        weir_str_adds(&path, "/v1/events?follow=true");
        weir_query_add(&path, "job", weir_args_text(args, "job"));
        if (f.last > 0) {
            weir_query_add_u64(&path, "after", f.last);
        }
        weir_str_clear(&f.line);
        r = weir_client_stream(api, weir_str_cstr(&path), sink, &f, err);
        weir_str_release(&path);
        bool passing = r == 0 || r == -WEIR_EUNAVAIL || r == -WEIR_EIO || r == -WEIR_ETIMEOUT;
        away = f.last > before ? 0 : away + 1;
        if (!passing || away > AWAY_TRIES_MAX || ferror(stdout)) {
            break;
        }
        if (away == 2) {
            weir_talk("events: the broker does not answer; waiting for it");
        }
        weir_pause((struct weir_dur){WEIR_US_PER_S / 2});
    }
    weir_str_release(&f.line);
    return r;
}

int weir_cmd_events(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    if (weir_args_has(args, "follow")) {
        return follow(api, args, err);
    }
    struct weir_str path = WEIR_STR_INIT(512);
    weir_str_adds(&path, "/v1/events");
    weir_query_add(&path, "job", weir_args_text(args, "job"));
    weir_query_add(&path, "after", weir_args_text(args, "after"));
    json_t *items = NULL;
    bool more = false;
    r = weir_client_list(api, weir_str_cstr(&path), weir_args_count(args, "limit", 1000), &items, &more, err);
    weir_str_release(&path);
    if (r < 0) {
        return r;
    }
    if (weir_args_has(args, "json")) {
        weir_print_json(items);
    } else {
        size_t i;
        json_t *e;
        json_array_foreach(items, i, e)
        {
            print_event(e);
        }
    }
    if (json_array_size(items) == 0 && !weir_args_has(args, "json")) {
        weir_talk("no events");
    }
    if (more) {
        const json_t *last = json_array_get(items, json_array_size(items) - 1);
        weir_talk("there are more events: go on with --after %" PRId64, weir_get_i64(last, "id", 0));
    }
    json_decref(items);
    return 0;
}
