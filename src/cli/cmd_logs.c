/* SPDX-License-Identifier: Apache-2.0 */

/* weir logs: what a job has written. */

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "command.h"
#include "follow.h"

const struct weir_opt weir_opts_logs[] = {
    {"follow", 'f', WEIR_OPT_FLAG, .help = "go on showing what comes until the job has ended"},
    {"attempt", 0, WEIR_OPT_COUNT, .arg = "N", .help = "the log of an earlier attempt (default: the last)", .min = 1,
     .max = 1000000},
    {"rank", 0, WEIR_OPT_COUNT, .arg = "N", .help = "of a task over several nodes: this node's output only, from 0", .max = 255},
    {0},
};

/* The logs of all tasks of an array as they stand, with prefixes. */
static int print_all(struct weir_client *api, const struct weir_args *args, uint64_t job, struct weir_follow *f,
                     struct weir_err *err)
{
    struct weir_str path = WEIR_STR_INIT(256);
    weir_job_path(&path, job);
    weir_str_adds(&path, "/tasks");
    json_t *tasks = NULL;
    int r = weir_client_list(api, weir_str_cstr(&path), 0, &tasks, NULL, err);
    weir_str_release(&path);
    size_t i;
    size_t shown = 0;
    json_t *task;
    json_array_foreach(tasks, i, task)
    {
        struct weir_ref ref = {.job = job, .has_index = weir_get_is_set(task, "index")};
        ref.index = (uint32_t)weir_get_i64(task, "index", 0);
        r = weir_follow_print(api, &ref, weir_args_count(args, "attempt", 0), f, err);
        shown += r == 0;
        if (r == -WEIR_ENOTFOUND && ref.has_index) {
            r = 0; /* it has not begun yet */
        }
        if (r < 0) {
            break;
        }
    }
    json_decref(tasks);
    if (r == 0 && shown == 0 && weir_args_has(args, "attempt")) {
        return weir_fail(err, -WEIR_ENOTFOUND, "no task of job %" PRIu64 " has had attempt %s", job, weir_args_text(args, "attempt"));
    }
    return r;
}

int weir_cmd_logs(const struct weir_args *args, struct weir_err *err)
{
    struct weir_ref ref;
    int r = weir_ref_parse(args->operand[0], &ref, err);
    if (r < 0) {
        return r;
    }
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_follow f = WEIR_FOLLOW_INIT;
    f.one_task = ref.has_index;
    f.rank = weir_args_has(args, "rank") ? (int64_t)weir_args_count(args, "rank", 0) : -1;
    if (weir_args_has(args, "follow")) {
        return ref.has_index ? weir_follow_task(api, &ref, &f, err) : weir_follow_job(api, ref.job, &f, err);
    }
    return ref.has_index ? weir_follow_print(api, &ref, weir_args_count(args, "attempt", 0), &f, err)
                         : print_all(api, args, ref.job, &f, err);
}
