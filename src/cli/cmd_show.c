/* SPDX-License-Identifier: Apache-2.0 */

/* weir show: everything about a job or one task of it. */

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "command.h"
#include "fields.h"
#include "jobs.h"

const struct weir_opt weir_opts_show[] = {
    {"tasks", 't', WEIR_OPT_FLAG, .help = "list the tasks of an array too"},
    {"spec", 0, WEIR_OPT_FLAG, .help = "print the job's specification alone, as JSON that 'weir submit' reads"},
    {"limit", 'n', WEIR_OPT_COUNT, .arg = "N", .help = "list at most so many tasks (default 1000)", .min = 1},
    {0},
};

static void print_lists(const json_t *job)
{
    struct weir_str s = WEIR_STR_INIT(8192);
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(job, "tags"), key, v)
    {
        weir_str_addf(&s, "%s%s=%s", s.n > 0 ? ", " : "", key, json_is_string(v) ? json_string_value(v) : "");
    }
    weir_line_text("Tags:", weir_str_cstr(&s));
    weir_str_clear(&s);
    if (weir_get_i64(job, "tasks", 1) > 1) {
        json_object_foreach(json_object_get(job, "counts"), key, v)
        {
            if (json_integer_value(v) > 0) {
                weir_str_addf(&s, "%s%" JSON_INTEGER_FORMAT " %s", s.n > 0 ? ", " : "", json_integer_value(v), key);
            }
        }
        weir_line_text("Tasks:", weir_str_cstr(&s));
    }
    weir_str_release(&s);
}

static void print_common(const json_t *o)
{
    char buf[WEIR_RFC3339_SIZE];
    struct weir_str s = WEIR_STR_INIT(256);
    weir_line_time("Started:", o, "started");
    weir_line_time("Ended:", o, "ended");
    struct weir_wall begin = weir_get_time(o, "started");
    struct weir_wall end = weir_get_time(o, "ended");
    if (begin.us != 0) {
        end = end.us != 0 ? end : weir_clock_wall(&weir_clock_os);
        weir_line_text("Run time:", weir_dur_format(weir_wall_sub(end, begin), buf));
    }
    weir_out_money(&s, weir_get_i64(o, "cost_micro", 0), weir_get_currency(o));
    weir_line_text("Cost:", weir_str_cstr(&s));
    weir_str_release(&s);
}

/* What has been posted; nothing while nothing has. */
static void print_footprint(const json_t *job)
{
    struct weir_str s = WEIR_STR_INIT(256);
    int64_t unknown = weir_get_i64(job, "carbon_unknown_micro", 0);
    if (weir_get_i64(job, "energy_mj", 0) > 0) {
        weir_out_kwh(&s, weir_get_i64(job, "energy_mj", 0));
        weir_str_adds(&s, " kWh");
        weir_line_text("Energy:", weir_str_cstr(&s));
    }
    weir_str_clear(&s);
    if (weir_get_i64(job, "carbon_ug", 0) > 0) {
        weir_out_kg(&s, weir_get_i64(job, "carbon_ug", 0));
        weir_str_adds(&s, " kg CO2e");
    }
    if (unknown == 0 && json_is_null(json_object_get(job, "carbon_ug"))) {
        weir_str_adds(&s, "unknown"); /* of what cost nothing */
    } else if (unknown > 0) {
        weir_str_adds(&s, s.n > 0 ? "; unknown of what cost " : "unknown of what cost ");
        weir_out_money(&s, unknown, weir_get_currency(job));
    }
    weir_line_text("Carbon:", weir_str_cstr(&s));
    weir_str_release(&s);
}

static void print_job(const json_t *job)
{
    weir_line_field("Job:", job, "id");
    weir_line_field("Name:", job, "name");
    weir_line_field("Project:", job, "project");
    weir_line_field("User:", job, "user");
    weir_line_field("State:", job, "state");
    if (weir_get_is_set(job, "reason")) {
        struct weir_str reason = WEIR_STR_INIT(256);
        weir_out_reason(&reason, job);
        weir_line_text("Reason:", weir_str_cstr(&reason));
        weir_str_release(&reason);
    }
    weir_line_field("Exit code:", job, "exit_code");
    weir_line_field("Priority:", job, "priority");
    weir_line_field("Array:", job, "array");
    print_lists(job);
    weir_line_field("Pool:", job, "pool");
    struct weir_str nodes = WEIR_STR_INIT(512);
    weir_out_nodes(&nodes, job);
    if (nodes.n > 0) {
        weir_line_text("Node:", weir_str_cstr(&nodes));
    }
    weir_str_release(&nodes);
    weir_line_field("GPUs:", job, "gpus");
    weir_line_time("Submitted:", job, "submitted");
    print_common(job);
    print_footprint(job);
}

static void print_task(const json_t *task)
{
    weir_line_field("Task:", task, "id");
    weir_line_field("State:", task, "state");
    weir_line_field("Reason:", task, "reason");
    weir_line_field("Text:", task, "text");
    weir_line_field("Exit code:", task, "exit_code");
    if (weir_get_i64(task, "signal", 0) > 0) {
        weir_line_field("Signal:", task, "signal");
    }
    weir_line_field("Attempt:", task, "attempt");
    weir_line_field("Pool:", task, "pool");
    weir_line_field("Node:", task, "node");
    weir_line_time("Queued:", task, "queued");
    weir_line_time("Checkpoint:", task, "checkpointed");
    print_common(task);
}

static void cell_gpus(struct weir_table *t, const json_t *task)
{
    struct weir_str gpus = WEIR_STR_INIT(256);
    size_t k;
    json_t *gpu;
    json_array_foreach(json_object_get(task, "gpus"), k, gpu)
    {
        weir_str_addf(&gpus, "%s%" JSON_INTEGER_FORMAT, k > 0 ? "," : "", json_integer_value(gpu));
    }
    weir_table_cell(t, weir_str_cstr(&gpus));
    weir_str_release(&gpus);
}

static void print_tasks(const json_t *items)
{
    static const struct weir_field field[] = {
        {"TASK", WEIR_FIELD_TEXT, "id"},
        {"STATE", WEIR_FIELD_STATE, "state"},
        {"REASON", WEIR_FIELD_TEXT, "reason", .drop = 2},
        {"ATTEMPT", WEIR_FIELD_INT, "attempt", .drop = 3},
        {"POOL", WEIR_FIELD_TEXT, "pool", .drop = 4},
        {"NODE", WEIR_FIELD_TEXT, "node", .shrink = true},
        {"GPUS", WEIR_FIELD_FN, .cell = cell_gpus},
        {"EXIT", WEIR_FIELD_INT, "exit_code", .drop = 1},
        {"STARTED (UTC)", WEIR_FIELD_TIME, "started", .drop = 5},
        {"TIME", WEIR_FIELD_SPAN, "started", "ended"},
        {"COST", WEIR_FIELD_MONEY, "cost_micro"},
    };
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t =
        weir_fields_table(field, WEIR_ARRAY_LEN(field), items, "USD");
    weir_table_print(t, stdout);
}

/* Of several all stand in one array (NULL: there is one). */
static void put_json(json_t *all, json_t *one)
{
    if (all != NULL) {
        (void)json_array_append(all, one);
    } else {
        weir_print_json(one);
    }
}

static int show_job(struct weir_client *api, const struct weir_args *args, uint64_t id, json_t *all, struct weir_err *err)
{
    json_t *job = NULL;
    json_t *tasks = NULL;
    bool more = false;
    int r = weir_job_get(api, id, &job, err);
    if (r == 0 && weir_args_has(args, "tasks")) {
        struct weir_str path = WEIR_STR_INIT(256);
        weir_job_path(&path, id);
        weir_str_adds(&path, "/tasks");
        r = weir_client_list(api, weir_str_cstr(&path), weir_args_count(args, "limit", 1000), &tasks, &more, err);
        weir_str_release(&path);
    }
    if (r == 0 && weir_args_has(args, "spec")) {
        put_json(all, json_object_get(job, "spec"));
    } else if (r == 0 && weir_args_has(args, "json")) {
        if (tasks != NULL) {
            (void)json_object_set(job, "items", tasks);
        }
        put_json(all, job);
    } else if (r == 0) {
        print_job(job);
        if (tasks != NULL) {
            (void)putchar('\n');
            print_tasks(tasks);
        }
    }
    if (r == 0 && more) {
        weir_talk("there are more tasks: --limit N lists more");
    }
    json_decref(tasks);
    json_decref(job);
    return r;
}

static int show_task(struct weir_client *api, const struct weir_args *args, const struct weir_ref *ref, json_t *all, struct weir_err *err)
{
    json_t *task = NULL;
    int r = weir_task_get(api, ref, &task, err);
    if (r < 0) {
        return r;
    }
    if (weir_args_has(args, "json")) {
        put_json(all, task);
    } else {
        print_task(task);
    }
    json_decref(task);
    return 0;
}

int weir_cmd_show(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    bool is_json = weir_args_has(args, "json") || weir_args_has(args, "spec");
    json_t *all = is_json && args->n_operands > 1 ? json_array() : NULL;
    int r = weir_client_open(&api, args, err);
    for (size_t i = 0; r == 0 && i < args->n_operands; i++) {
        struct weir_ref ref;
        r = weir_ref_parse(args->operand[i], &ref, err);
        if (r < 0) {
            break;
        }
        if (i > 0 && !is_json) {
            (void)putchar('\n');
        }
        r = ref.has_index ? show_task(api, args, &ref, all, err) : show_job(api, args, ref.job, all, err);
    }
    if (all != NULL) {
        weir_print_json(all);
        json_decref(all);
    }
    return r;
}
