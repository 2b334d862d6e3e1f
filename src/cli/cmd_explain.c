/* SPDX-License-Identifier: Apache-2.0 */

/* weir explain: why a task is where it is, or why it waits. */

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "command.h"
#include "explain_text.h"
#include "jobs.h"
#include "output.h"

const struct weir_opt weir_opts_explain[] = {
    {"last", 'l', WEIR_OPT_FLAG, .help = "only the latest record"},
    {0},
};

int weir_cmd_explain(const struct weir_args *args, struct weir_err *err)
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
    struct weir_str path = WEIR_STR_INIT(256);
    weir_job_path(&path, ref.job);
    weir_str_adds(&path, "/explain");
    weir_query_add_u64(&path, "limit", WEIR_CLIENT_PAGE_MAX);
    if (ref.has_index) {
        weir_query_add_u64(&path, "task", ref.index);
    }
    json_t *answer = NULL;
    json_t *job = NULL;
    r = weir_client_call(api, "GET", weir_str_cstr(&path), NULL, &answer, err);
    weir_str_release(&path);
    if (r == 0 && !weir_args_has(args, "json")) {
        r = weir_job_get(api, ref.job, &job, err); /* for the currency */
    }
    if (r < 0) {
        json_decref(answer);
        return r;
    }
    json_t *items = json_object_get(answer, "items");
    bool is_cut = json_array_size(items) == WEIR_CLIENT_PAGE_MAX;
    if (weir_args_has(args, "last") && json_array_size(items) > 1) {
        json_t *last = json_incref(json_array_get(items, json_array_size(items) - 1));
        (void)json_array_clear(items);
        (void)json_array_append_new(items, last);
    }
    if (weir_args_has(args, "json")) {
        weir_print_json(answer);
    } else {
        struct weir_str out = WEIR_STR_INIT(64 << 20);
        bool is_array = !ref.has_index && weir_get_i64(job, "tasks", 1) > 1;
        weir_explain_text(answer, weir_get_currency(job), is_array && !weir_args_has(args, "last"), &out);
        if (is_array) {
            weir_str_addf(&out, "\nOne task alone: weir explain %" PRIu64 "_INDEX\n", ref.job);
        }
        (void)fputs(weir_str_cstr(&out), stdout);
        weir_str_release(&out);
    }
    if (is_cut) {
        weir_talk("only the first %d records are looked at; name one task to see all of its own", WEIR_CLIENT_PAGE_MAX);
    }
    json_decref(answer);
    json_decref(job);
    return 0;
}
