/* SPDX-License-Identifier: Apache-2.0 */

/* weir jobs: lists jobs, newest first as the broker gives them. */

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "command.h"
#include "fields.h"
#include "jobs.h"
#include "output.h"

static const char *const states[] = {"waiting", "running", "succeeded", "failed", "cancelled", NULL};

const struct weir_opt weir_opts_jobs[] = {
    {"state", 's', WEIR_OPT_CHOICE, .arg = "STATE", .help = "only jobs in this state", .choices = states},
    {"project", 'A', WEIR_OPT_TEXT, .arg = "NAME", .help = "only jobs of this project"},
    {"user", 'u', WEIR_OPT_TEXT, .arg = "NAME", .help = "only jobs of this user"},
    {"name", 0, WEIR_OPT_TEXT, .arg = "NAME", .help = "only jobs of this name"},
    {"limit", 'n', WEIR_OPT_COUNT, .arg = "N", .help = "at most so many (default 100)", .min = 1},
    {"all", 'a', WEIR_OPT_FLAG, .help = "all of them, however many"},
    {"quiet", 'q', WEIR_OPT_FLAG, .help = "only the ids"},
    {0},
};

/* Does any of them have a reason that the state and the exit code do not tell? */
static bool has_reasons(const json_t *items)
{
    size_t i;
    json_t *job;
    json_array_foreach(items, i, job)
    {
        const char *reason = weir_get_text(job, "reason");
        if (reason != NULL && !weir_streq(reason, "exit")) {
            return true;
        }
    }
    return false;
}

static void reason_cell(struct weir_table *t, const json_t *job)
{
    struct weir_str s = WEIR_STR_INIT(256);
    weir_out_reason(&s, job);
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

static void node_cell(struct weir_table *t, const json_t *job)
{
    struct weir_str s = WEIR_STR_INIT(512);
    weir_out_nodes(&s, job);
    weir_table_cell(t, s.n == 0 ? NULL : weir_str_cstr(&s));
    weir_str_release(&s);
}

static void print_table(const json_t *items)
{
    static const struct weir_field all[] = {
        {"ID", WEIR_FIELD_INT, "id"},
        {"NAME", WEIR_FIELD_TEXT, "name", .shrink = true},
        {"PROJECT", WEIR_FIELD_TEXT, "project", .shrink = true, .drop = 2},
        {"USER", WEIR_FIELD_TEXT, "user", .shrink = true, .drop = 3},
        {"STATE", WEIR_FIELD_STATE, "state"},
        {"REASON", WEIR_FIELD_FN, .cell = reason_cell, .drop = 1},
        {"TASKS", WEIR_FIELD_INT, "tasks"},
        {"POOL", WEIR_FIELD_TEXT, "pool", .drop = 4},
        {"NODE", WEIR_FIELD_FN, .shrink = true, .cell = node_cell},
        {"GPUS", WEIR_FIELD_TEXT, "gpus"},
        {"EXIT", WEIR_FIELD_INT, "exit_code", .drop = 1},
        {"SUBMITTED (UTC)", WEIR_FIELD_TIME, "submitted", .drop = 5},
        {"TIME", WEIR_FIELD_SPAN, "started", "ended"},
        {"COST", WEIR_FIELD_MONEY, "cost_micro"},
    };
    struct weir_field field[WEIR_ARRAY_LEN(all)];
    size_t n = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(all); i++) {
        if (!weir_streq(all[i].title, "REASON") || has_reasons(items)) {
            field[n++] = all[i];
        }
    }
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_fields_table(field, n, items, "USD");
    weir_table_print(t, stdout);
}

int weir_cmd_jobs(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_str path = WEIR_STR_INIT(8192);
    weir_str_adds(&path, "/v1/jobs");
    static const char *const filter[] = {"state", "project", "user", "name"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(filter); i++) {
        weir_query_add(&path, filter[i], weir_args_text(args, filter[i]));
    }
    json_t *items = NULL;
    bool more = false;
    uint64_t limit = weir_args_has(args, "all") ? 0 : weir_args_count(args, "limit", 100);
    r = weir_client_list(api, weir_str_cstr(&path), limit, &items, &more, err);
    weir_str_release(&path);
    if (r < 0) {
        return r;
    }
    if (weir_args_has(args, "json")) {
        weir_print_json(items);
    } else if (weir_args_has(args, "quiet")) {
        size_t i;
        json_t *job;
        json_array_foreach(items, i, job)
        {
            (void)printf("%" PRId64 "\n", weir_get_i64(job, "id", 0));
        }
    } else if (json_array_size(items) == 0) {
        weir_talk("no jobs");
    } else {
        print_table(items);
    }
    if (more) {
        weir_talk("these are the newest %zu; there are more: --limit N, or --all", json_array_size(items));
    }
    json_decref(items);
    return 0;
}
