/* SPDX-License-Identifier: Apache-2.0 */

/* weir jobs: lists jobs, newest first as the broker gives them. */

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
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

static void print_table(const json_t *items)
{
    static const struct weir_column column[] = {
        {"ID", .right = true},
        {"NAME", .shrink = true},
        {"PROJECT", .shrink = true},
        {"USER", .shrink = true},
        {"STATE"},
        {"TASKS", .right = true},
        {"POOL"},
        {"NODE", .shrink = true},
        {"GPUS"},
        {"EXIT", .right = true},
        {"SUBMITTED (UTC)"},
        {"TIME", .right = true},
        {"COST", .right = true},
    };
    struct weir_wall now = weir_clock_wall(&weir_clock_os);
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, WEIR_ARRAY_LEN(column));
    size_t i;
    json_t *job;
    json_array_foreach(items, i, job)
    {
        weir_cell_i64(t, job, "id");
        weir_cell_text(t, job, "name");
        weir_cell_text(t, job, "project");
        weir_cell_text(t, job, "user");
        weir_cell_state(t, job);
        weir_cell_i64(t, job, "tasks");
        weir_cell_text(t, job, "pool");
        weir_cell_text(t, job, "node");
        weir_cell_text(t, job, "gpus");
        weir_cell_i64(t, job, "exit_code");
        weir_cell_time(t, job, "submitted");
        weir_cell_span(t, job, "started", "ended", now);
        weir_cell_money(t, job, "cost_micro");
    }
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
        weir_talk("there are more jobs: --all lists them");
    }
    json_decref(items);
    return 0;
}
