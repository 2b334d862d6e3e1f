/* SPDX-License-Identifier: Apache-2.0 */

/* weir export: what the broker keeps of all work, a line a task, as 'weir sim' reads it. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "cloud/csv.h"
#include "command.h"
#include "export.h"
#include "output.h"

enum { FORMAT_CSV, FORMAT_JSON, LINE_BYTES_MAX = 65536, PAGE_BYTES_MAX = 64 << 20 };

static const char *const formats[] = {[FORMAT_CSV] = "csv", [FORMAT_JSON] = "json", NULL};

const struct weir_opt weir_opts_export[] = {
    {"from", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "only jobs submitted then or later"},
    {"to", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "only jobs submitted before"},
    {"format", 'f', WEIR_OPT_CHOICE, .arg = "FORMAT", .help = "CSV (the default) or JSON with an object a line", .choices = formats},
    {"data", 0, WEIR_OPT_TEXT, .arg = "DIR", .help = "the data directory of a broker that is stopped, instead of asking one"},
    {"output", 'o', WEIR_OPT_TEXT, .arg = "FILE", .help = "write this file; it is there only once it is whole"},
    {0},
};

/* ---- lines ---- */

struct column {
    const char *title;
    const char *key; /* of the API's object */
    enum { TEXT, WHOLE, THOUSANDTHS, RUN_TIME } kind;
};

static const struct column columns[] = {
    {"task", "task", TEXT},
    {"state", "state", TEXT},
    {"submit", "submitted", TEXT},
    {"start", "started", TEXT},
    {"end", "ended", TEXT},
    {"duration_s", NULL, RUN_TIME},
    {"expected_s", "expected_ms", THOUSANDTHS},
    {"max_duration_s", "max_duration_ms", THOUSANDTHS},
    {"nodes", "nodes", WHOLE},
    {"gpus", "gpus", WHOLE},
    {"gpu_model", "gpu_model", TEXT},
    {"gpu_model_used", "gpu_model_used", TEXT},
    {"cpus", "cpu_milli", THOUSANDTHS},
    {"memory_mib", "mem_mib", WHOLE},
    {"priority", "priority", WHOLE},
    {"project", "project", TEXT},
    {"user", "user", TEXT},
    {"pool", "pool", TEXT},
    {"node", "node", TEXT},
    {"attempts", "attempts", WHOLE},
    {"cost_micro", "cost_micro", WHOLE},
};

/* v / 10^places, without noughts at the end. */
static void add_scaled(struct weir_str *out, int64_t v, int places)
{
    int64_t unit = 1;
    for (int i = 0; i < places; i++) {
        unit *= 10;
    }
    while (places > 0 && v % 10 == 0) {
        v /= 10;
        unit /= 10;
        places--;
    }
    weir_str_addf(out, "%" PRId64, v / unit);
    if (places > 0) {
        weir_str_addf(out, ".%0*" PRId64, places, v % unit);
    }
}

static void add_field(struct weir_str *line, const json_t *task, const struct column *c)
{
    switch (c->kind) {
    case TEXT: {
        const char *text = weir_get_text(task, c->key);
        weir_csv_write_field(line, weir_sv_of(text == NULL ? "" : text));
        return;
    }
    case WHOLE:
        weir_str_addf(line, "%" PRId64, weir_get_i64(task, c->key, 0));
        return;
    case THOUSANDTHS:
        if (weir_get_is_set(task, c->key)) {
            add_scaled(line, weir_get_i64(task, c->key, 0), 3);
        }
        return;
    case RUN_TIME: {
        struct weir_wall start = weir_get_time(task, "started");
        struct weir_wall end = weir_get_time(task, "ended");
        if (start.us != 0 && end.us >= start.us) {
            add_scaled(line, weir_wall_sub(end, start).us, 6);
        }
        return;
    }
    }
}

static void add_line(struct weir_str *line, const json_t *task)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(columns); i++) {
        weir_str_adds(line, i == 0 ? "" : ",");
        add_field(line, task, &columns[i]);
    }
    weir_str_addc(line, '\n');
}

static void write_head(FILE *out)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(columns); i++) {
        fprintf(out, "%s%s", i == 0 ? "" : ",", columns[i].title);
    }
    fputc('\n', out);
}

/* ---- pages ---- */

int weir_history_source_open(struct weir_history_source *ret, const struct weir_args *args, struct weir_err *err)
{
    *ret = (struct weir_history_source){NULL, NULL};
    return weir_args_has(args, "data") ? weir_offline_open(&ret->offline, weir_args_text(args, "data"), err) : weir_client_open(&ret->api, args, err);
}

void weir_history_source_close(struct weir_history_source *s)
{
    weir_offline_close(s->offline);
    weir_client_freep(&s->api);
}

static void make_path(struct weir_str *path, struct weir_wall from, struct weir_wall to, const char *cursor)
{
    char buf[WEIR_RFC3339_SIZE];
    weir_str_clear(path);
    weir_str_adds(path, "/v1/history");
    weir_query_add_u64(path, "limit", WEIR_CLIENT_PAGE_MAX);
    weir_query_add(path, "from", from.us == 0 ? NULL : weir_wall_format(from, buf));
    weir_query_add(path, "to", to.us == 0 ? NULL : weir_wall_format(to, buf));
    weir_query_add(path, "cursor", cursor);
}

static void write_page(const json_t *page, bool json, FILE *out, struct weir_export_counts *counts)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str line = WEIR_STR_INIT(LINE_BYTES_MAX);
    size_t i;
    json_t *task;
    json_array_foreach(json_object_get(page, "items"), i, task)
    {
        weir_str_clear(&line);
        counts->tasks++;
        counts->running += weir_get_time(task, "ended").us == 0;
        if (json) {
            (void)json_dumpf(task, out, JSON_COMPACT);
            fputc('\n', out);
        } else {
            add_line(&line, task);
            fwrite(line.p, 1, line.n, out);
        }
    }
}

static int page_of_api(struct weir_client *api, struct weir_wall from, struct weir_wall to, uint64_t *cursor, json_t **ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str path = WEIR_STR_INIT(4096);
    char text[24];
    json_t *page = NULL;
    snprintf(text, sizeof text, "%" PRIu64, *cursor);
    make_path(&path, from, to, *cursor == 0 ? NULL : text);
    int r = weir_client_call(api, "GET", weir_str_cstr(&path), NULL, &page, err);
    if (r < 0) {
        return r;
    }
    const char *next = weir_get_text(page, "next");
    *cursor = 0;
    (void)(next != NULL && weir_parse_u64(weir_sv_of(next), 0, UINT64_MAX, cursor, NULL));
    *ret = page;
    return 0;
}

static int page_of_store(struct weir_offline *o, struct weir_wall from, struct weir_wall to, uint64_t *cursor, json_t **ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str text = WEIR_STR_INIT(PAGE_BYTES_MAX);
    int r = weir_offline_history(o, from, to, WEIR_CLIENT_PAGE_MAX, cursor, &text, err);
    if (r == 0) {
        *ret = text.overflowed ? NULL : json_loads(weir_str_cstr(&text), 0, NULL);
        r = *ret == NULL ? weir_fail(err, -WEIR_ECORRUPT, "the history's next page cannot be told") : 0;
    }
    return r;
}

static int waiting_of_api(struct weir_client *api, uint64_t *ret, struct weir_err *err)
{
    json_t *status = NULL;
    int r = weir_client_call(api, "GET", "/v1/status", NULL, &status, err);
    if (r == 0) {
        *ret = (uint64_t)weir_get_i64(json_object_get(status, "tasks"), "waiting", 0);
        json_decref(status);
    }
    return r;
}

int weir_export_history(const struct weir_history_source *source, struct weir_wall from, struct weir_wall to, bool json, FILE *out,
                        struct weir_export_counts *ret, struct weir_err *err)
{
    uint64_t cursor = 0;
    *ret = (struct weir_export_counts){0};
    if (from.us != 0 && to.us != 0 && to.us <= from.us) {
        char first[WEIR_RFC3339_SIZE];
        char last[WEIR_RFC3339_SIZE];
        return weir_fail(err, -WEIR_EINVAL, "--from %s is not before --to %s: nothing lies between them", weir_wall_format(from, first),
                         weir_wall_format(to, last));
    }
    if (!json) {
        write_head(out);
    }
    do {
        json_t *page = NULL;
        int r = source->offline != NULL ? page_of_store(source->offline, from, to, &cursor, &page, err)
                                        : page_of_api(source->api, from, to, &cursor, &page, err);
        if (r < 0) {
            return r;
        }
        write_page(page, json, out, ret);
        json_decref(page);
    } while (cursor != 0 && !ferror(out));
    if (fflush(out) != 0 || ferror(out)) {
        return weir_fail(err, weir_error_from_errno(errno), "the history cannot be written: %s", strerror(errno));
    }
    return source->offline != NULL ? weir_offline_waiting(source->offline, &ret->waiting, err) : waiting_of_api(source->api, &ret->waiting, err);
}

void weir_export_left_out(const struct weir_export_counts *c, struct weir_str *out)
{
    if (c->waiting > 0) {
        weir_str_addf(out, "%" PRIu64 " tasks wait in the queue and are not in it", c->waiting);
    }
    if (c->running > 0) {
        weir_str_addf(out, "%s%" PRIu64 " of those in it have not ended", c->waiting > 0 ? "; " : "", c->running);
    }
}

/* ---- the command ---- */

/* Writes beside the file and puts the whole in its place. */
static int export_to_file(const struct weir_history_source *source, const struct weir_args *args, const char *name, bool json,
                          struct weir_export_counts *ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str part = WEIR_STR_INIT(4096);
    weir_str_addf(&part, "%s.part", name);
    FILE *f = part.overflowed ? NULL : fopen(weir_str_cstr(&part), "we");
    if (f == NULL) {
        return weir_fail(err, weir_error_from_errno(errno), "%s cannot be written: %s", weir_str_cstr(&part), strerror(errno));
    }
    int r = weir_export_history(source, weir_args_time(args, "from"), weir_args_time(args, "to"), json, f, ret, err);
    if (fclose(f) != 0 && r == 0) {
        r = weir_fail(err, weir_error_from_errno(errno), "%s cannot be written: %s", weir_str_cstr(&part), strerror(errno));
    }
    if (r == 0 && rename(weir_str_cstr(&part), name) != 0) {
        r = weir_fail(err, weir_error_from_errno(errno), "%s cannot be written: %s", name, strerror(errno));
    }
    if (r < 0) {
        (void)unlink(weir_str_cstr(&part));
    }
    return r;
}

int weir_cmd_export(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_history_source_close) struct weir_history_source source = {NULL, NULL};
    const char *format = weir_args_text(args, "format");
    const char *name = weir_args_text(args, "output");
    bool json = weir_args_has(args, "json") || (format != NULL && weir_streq(format, formats[FORMAT_JSON]));
    struct weir_export_counts counts = {0};
    int r = weir_history_source_open(&source, args, err);
    if (r < 0) {
        return r;
    }
    r = name == NULL ? weir_export_history(&source, weir_args_time(args, "from"), weir_args_time(args, "to"), json, stdout, &counts, err)
                     : export_to_file(&source, args, name, json, &counts, err);
    if (r < 0) {
        return r;
    }
    if (name != NULL) {
        weir_talk("%s: %" PRIu64 " tasks", name, counts.tasks);
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str left_out = WEIR_STR_INIT(256);
    weir_export_left_out(&counts, &left_out);
    if (left_out.n > 0) {
        weir_talk("%s", weir_str_cstr(&left_out));
    }
    return 0;
}
