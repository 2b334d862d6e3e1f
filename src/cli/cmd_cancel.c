/* SPDX-License-Identifier: Apache-2.0 */

/* weir cancel: ends jobs or single tasks of arrays. */

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "command.h"
#include "jobs.h"
#include "output.h"

/* "job 12 (train): cancelled"; what runs has its grace time first. */
static void tell(const struct weir_ref *ref, const json_t *job)
{
    const char *name = weir_get_text(job, "name");
    const char *state = weir_get_text(job, "state");
    int64_t stopping = weir_get_i64(json_object_get(job, "counts"), "stopping", 0);
    struct weir_str what = WEIR_STR_INIT(512);
    weir_str_addf(&what, ref->has_index ? "task %" PRIu64 "_%" PRIu32 : "job %" PRIu64, ref->job, ref->index);
    weir_str_addf(&what, " (%s)", name != NULL ? name : "?");
    if (ref->has_index) {
        weir_talk("%s: cancelled, or stopping with its grace time", weir_str_cstr(&what));
    } else if (state != NULL && weir_state_is_final(state)) {
        weir_talk("%s: cancelled", weir_str_cstr(&what));
    } else if (stopping == 1) {
        weir_talk("%s: cancelled, its task is stopping with its grace time", weir_str_cstr(&what));
    } else {
        weir_talk("%s: cancelled, %" PRId64 " tasks are stopping with their grace time", weir_str_cstr(&what), stopping);
    }
    weir_str_release(&what);
}

static int cancel_one(struct weir_client *api, const char *text, json_t *all, struct weir_err *err)
{
    struct weir_ref ref;
    int r = weir_ref_parse(text, &ref, err);
    if (r < 0) {
        return r;
    }
    struct weir_str path = WEIR_STR_INIT(256);
    weir_job_path(&path, ref.job);
    weir_str_adds(&path, "/cancel");
    if (ref.has_index) {
        weir_query_add_u64(&path, "task", ref.index);
    }
    json_t *answer = NULL;
    r = weir_client_call(api, "POST", weir_str_cstr(&path), NULL, &answer, err);
    weir_str_release(&path);
    if (r == 0) {
        tell(&ref, answer);
        (void)json_array_append(all, answer);
    }
    json_decref(answer);
    return r;
}

int weir_cmd_cancel(const struct weir_args *args, struct weir_err *err)
{
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    int first = 0;
    json_t *all = json_array();
    for (size_t i = 0; i < args->n_operands; i++) {
        struct weir_err one = {""};
        r = cancel_one(api, args->operand[i], all, &one);
        if (r == 0) {
            continue;
        }
        /* One that cannot be cancelled does not keep the others alive. */
        if (args->n_operands == 1 || r == -WEIR_EUNAVAIL) {
            json_decref(all);
            *err = one;
            return r;
        }
        weir_talk("cancel: %s: %s", args->operand[i], one.text);
        first = first == 0 ? weir_error_exit_status(r) : first;
    }
    if (weir_args_has(args, "json")) {
        weir_print_json(all);
    }
    json_decref(all);
    return first;
}
