/* SPDX-License-Identifier: Apache-2.0 */

/* weir wait: waits for jobs to end and exits as they did. */

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "command.h"
#include "jobs.h"
#include "output.h"

const struct weir_opt weir_opts_wait[] = {
    {"timeout", 't', WEIR_OPT_DURATION, .arg = "TIME", .help = "give up after this time (exit code 69)"},
    {"quiet", 'q', WEIR_OPT_FLAG, .help = "say nothing but errors"},
    {0},
};

static int wait_one(struct weir_client *api, const struct weir_args *args, const char *text, struct weir_dur left,
                    json_t *all, struct weir_err *err)
{
    struct weir_ref ref;
    int r = weir_ref_parse(text, &ref, err);
    if (r < 0) {
        return r;
    }
    json_t *o = NULL;
    int status = 0;
    r = weir_job_wait(api, &ref, left, &o, err);
    if (r == 0 && ref.has_index) {
        status = weir_task_exit_status(o);
    } else if (r == 0) {
        r = weir_job_exit_status(api, o, &status, err);
    }
    if (r == 0) {
        (void)json_array_append(all, o);
        if (!weir_args_has(args, "quiet") && !weir_args_has(args, "json")) {
            struct weir_str line = WEIR_STR_INIT(4096);
            weir_job_end_text(o, status, &line);
            weir_talk("%s", weir_str_cstr(&line));
            weir_str_release(&line);
        }
    }
    json_decref(o);
    return r < 0 ? r : status;
}

int weir_cmd_wait(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_mono begin = weir_clock_mono(&weir_clock_os);
    struct weir_dur limit = weir_args_duration(args, "timeout", (struct weir_dur){0});
    int first = 0;
    json_t *all = json_array();
    for (size_t i = 0; i < args->n_operands && r >= 0; i++) {
        struct weir_dur left = {0};
        if (limit.us > 0) {
            int64_t gone = weir_clock_mono(&weir_clock_os).us - begin.us;
            left.us = limit.us > gone ? limit.us - gone : 1;
        }
        r = wait_one(api, args, args->operand[i], left, all, err);
        first = first == 0 && r > 0 ? r : first;
    }
    if (r >= 0 && weir_args_has(args, "json")) {
        weir_print_json(all);
    }
    json_decref(all);
    return r < 0 ? r : first;
}
