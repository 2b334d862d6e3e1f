/* SPDX-License-Identifier: Apache-2.0 */

/* weir submit: job files become jobs; prints their ids. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "command.h"
#include "explain_text.h"
#include "follow.h"
#include "output.h"
#include "spec_args.h"

const struct weir_opt weir_opts_submit[] = {
    {"dry-run", 'n', WEIR_OPT_FLAG, .help = "say what would happen, store nothing"},
    {"wait", 'W', WEIR_OPT_FLAG, .help = "wait for the end and exit with the job's code"},
    {"follow", 'f', WEIR_OPT_FLAG, .help = "as --wait, and show the log as it comes"},
    WEIR_SPEC_OPTIONS,
    {0},
};

/* What is known of all tasks of an array; what follows is about its first. */
static void add_array(const json_t *answer, struct weir_str *out)
{
    int64_t tasks = weir_get_i64(answer, "tasks", 1);
    int64_t most = weir_get_i64(answer, "parallel_max", tasks);
    int64_t room = weir_get_i64(answer, "room", 0);
    if (tasks <= 1) {
        return;
    }
    weir_str_addf(out, "%" PRId64 " tasks", tasks);
    if (most < tasks) {
        weir_str_addf(out, ", at most %" PRId64 " at once", most);
    }
    most = most < tasks ? most : tasks;
    if (room == 0) {
        weir_str_adds(out, "; there is no room for one of them now");
    } else if (room < tasks) {
        weir_str_addf(out, "; there is room for %" PRId64 " of them now", room < most ? room : most);
    } else {
        weir_str_adds(out, "; there is room for all of them now");
    }
    weir_str_adds(out, ". The first of them:\n");
}

static void print_dry_run(const char *file, const json_t *answer)
{
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    weir_str_addf(&out, "%s: %s\n", file, weir_get_bool(answer, "possible") ? "possible" : "not possible now");
    add_array(answer, &out);
    const json_t *explain = json_object_get(answer, "explain");
    if (json_is_object(explain) && json_object_size(explain) > 0) {
        weir_explain_text(explain, weir_get_currency(answer), false, &out);
    }
    (void)fputs(weir_str_cstr(&out), stdout);
    weir_str_release(&out);
}

static int finish_one(struct weir_client *api, const struct weir_args *args, uint64_t id, struct weir_err *err)
{
    if (!weir_args_has(args, "wait") && !weir_args_has(args, "follow")) {
        return 0;
    }
    if (weir_args_has(args, "follow")) {
        (void)fflush(stdout);
        struct weir_follow f = WEIR_FOLLOW_INIT;
        int r = weir_follow_job(api, id, &f, err);
        if (r < 0) {
            return r;
        }
    }
    struct weir_ref ref = {.job = id};
    json_t *job = NULL;
    int status = 0;
    int r = weir_job_wait(api, &ref, (struct weir_dur){0}, &job, err);
    if (r == 0) {
        r = weir_job_exit_status(api, job, &status, err);
    }
    if (r == 0) {
        struct weir_str text = WEIR_STR_INIT(4096);
        weir_job_end_text(job, status, &text);
        weir_talk("%s", weir_str_cstr(&text));
        weir_str_release(&text);
    }
    json_decref(job);
    return r < 0 ? r : status;
}

/* Task files leave variables such as tokens without a value: --env gives it. */
static int parse_file(struct weir_sv text, const char *name, const struct weir_args *args, struct weir_gpu_table *gpus,
                      struct weir_spec **ret, struct weir_err *err)
{
    char *names[WEIR_SPEC_ENVS_MAX];
    size_t n = 0;
    const char *env;
    for (size_t i = 0; n < WEIR_SPEC_ENVS_MAX && (env = weir_args_nth(args, "env", i)) != NULL; i++) {
        struct weir_sv rest = weir_sv_of(env);
        struct weir_sv key = weir_sv_cut(&rest, '=');
        names[n++] = weir_strndup(key.p, key.n);
    }
    const struct weir_spec_given given = {(const char *const *)names, n};
    int r = weir_spec_parse_given(text, name, gpus, &given, ret, err);
    for (size_t i = 0; i < n; i++) {
        free(names[i]);
    }
    return r;
}

/* Reads, completes and posts one file; the answer comes back owned. */
static int submit_one(struct weir_client *api, const struct weir_args *args, const char *file,
                      struct weir_gpu_table *gpus, json_t **ret, struct weir_err *err)
{
    const char *name = weir_streq(file, "-") ? "standard input" : file;
    WEIR_CLEANUP(weir_freep) char *text = NULL;
    size_t n = 0;
    int r = weir_read_input(file, WEIR_SPEC_BYTES_MAX, &text, &n, err);
    if (r == -WEIR_ENOTFOUND) {
        return weir_fail(err, r, "%s: there is no such file; to submit a command and leave it running: weir run --detach -- COMMAND", file);
    }
    if (r < 0) {
        return r;
    }
    WEIR_CLEANUP(weir_spec_freep) struct weir_spec *spec = NULL;
    r = parse_file((struct weir_sv){text, n}, name, args, gpus, &spec, err);
    if (r < 0) {
        return r;
    }
    r = weir_spec_args_apply(args, spec, gpus, err);
    if (r == 0) {
        r = weir_spec_args_surroundings(args, api, spec, err);
    }
    json_t *answer = NULL;
    if (r == 0) {
        weir_spec_args_warn(name, spec, NULL);
        r = weir_spec_args_post(api, spec, gpus, weir_args_has(args, "dry-run"), &answer, err);
    }
    if (r < 0) {
        return weir_fail_prefix(err, r, "%s", name);
    }
    weir_spec_args_warn(name, NULL, answer);
    *ret = answer;
    return 0;
}

/* Prints one answer; the job's id goes out alone, so that a script can take it. */
static void print_answer(const struct weir_args *args, const char *file, json_t *answer, json_t *all)
{
    if (weir_args_has(args, "json")) {
        (void)json_array_append(all, answer);
    } else if (weir_args_has(args, "dry-run")) {
        print_dry_run(file, answer);
    } else {
        (void)printf("%" PRId64 "\n", weir_get_i64(answer, "id", 0));
        (void)fflush(stdout);
    }
}

int weir_cmd_submit(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    json_t *all = json_array();
    WEIR_CLEANUP(weir_freep) uint64_t *id = weir_calloc(args->n_operands, sizeof *id);
    size_t n = 0;
    for (; n < args->n_operands && r == 0; n++) {
        json_t *answer = NULL;
        r = submit_one(api, args, args->operand[n], gpus, &answer, err);
        if (r < 0) {
            break;
        }
        print_answer(args, args->operand[n], answer, all);
        if (weir_args_has(args, "dry-run") && !weir_get_bool(answer, "possible")) {
            r = weir_error_exit_status(-WEIR_EIMPOSSIBLE);
        }
        id[n] = (uint64_t)weir_get_i64(answer, "id", 0);
        json_decref(answer);
    }
    weir_gpu_table_free(gpus);
    if (weir_args_has(args, "json") && json_array_size(all) > 0) {
        weir_print_json(args->n_operands == 1 ? json_array_get(all, 0) : all);
    }
    json_decref(all);
    int status = r;
    for (size_t i = 0; r == 0 && i < n && !weir_args_has(args, "dry-run"); i++) {
        r = finish_one(api, args, id[i], err);
        status = status == 0 || r < 0 ? r : status;
        r = r > 0 ? 0 : r;
    }
    return status;
}
