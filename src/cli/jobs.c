/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "output.h"
#include "spec/spec.h"

enum { WAIT_S = 30, AWAY_TRIES_MAX = 120 };

int weir_ref_parse(const char *text, struct weir_ref *ret, struct weir_err *err)
{
    struct weir_job_id job;
    uint32_t index = 0;
    bool has_index;
    int r = weir_parse_task_ref(weir_sv_of(text), &job, &index, &has_index, err);
    if (r == 0) {
        *ret = (struct weir_ref){job.v, index, has_index};
    }
    return r;
}

void weir_job_path(struct weir_str *path, uint64_t job)
{
    weir_str_addf(path, "/v1/jobs/%" PRIu64, job);
}

int weir_job_get(struct weir_client *a, uint64_t job, json_t **ret, struct weir_err *err)
{
    struct weir_str path = WEIR_STR_INIT(256);
    weir_job_path(&path, job);
    int r = weir_client_call(a, "GET", weir_str_cstr(&path), NULL, ret, err);
    weir_str_release(&path);
    return r;
}

int weir_task_get(struct weir_client *a, const struct weir_ref *ref, json_t **ret, struct weir_err *err)
{
    struct weir_str path = WEIR_STR_INIT(256);
    weir_job_path(&path, ref->job);
    weir_str_adds(&path, "/tasks");
    if (ref->has_index) {
        weir_query_add_u64(&path, "index", ref->index);
    }
    json_t *tasks = NULL;
    int r = weir_client_list(a, weir_str_cstr(&path), 1, &tasks, NULL, err);
    weir_str_release(&path);
    if (r < 0) {
        return r;
    }
    *ret = json_incref(json_array_get(tasks, 0));
    json_decref(tasks);
    return *ret != NULL ? 0 : weir_fail(err, -WEIR_ENOTFOUND, "job %" PRIu64 " has no such task", ref->job);
}

bool weir_state_is_final(const char *state)
{
    return state != NULL &&
           (weir_streq(state, "succeeded") || weir_streq(state, "failed") || weir_streq(state, "cancelled"));
}

void weir_pause(struct weir_dur d)
{
    struct timespec t = {.tv_sec = d.us / WEIR_US_PER_S, .tv_nsec = d.us % WEIR_US_PER_S * 1000};
    (void)nanosleep(&t, NULL);
}

/* One round: the job when it has ended or wait_s are over; for a task of an array, the task. */
static int wait_round(struct weir_client *a, const struct weir_ref *ref, unsigned wait_s, json_t **ret,
                      struct weir_err *err)
{
    struct weir_str path = WEIR_STR_INIT(256);
    weir_job_path(&path, ref->job);
    weir_str_adds(&path, "/wait");
    /* The API waits for whole jobs: a task is looked at every second. */
    weir_query_add_u64(&path, "timeout_s", ref->has_index && wait_s > 1 ? 1 : wait_s);
    json_t *job = NULL;
    int r = weir_client_wait(a, weir_str_cstr(&path), wait_s, &job, err);
    weir_str_release(&path);
    if (r < 0) {
        return r;
    }
    if (!ref->has_index) {
        *ret = job;
        return 0;
    }
    json_decref(job);
    return weir_task_get(a, ref, ret, err);
}

int weir_job_wait(struct weir_client *a, const struct weir_ref *ref, struct weir_dur limit, json_t **ret,
                  struct weir_err *err)
{
    struct weir_mono begin = weir_clock_mono(&weir_clock_os);
    unsigned away = 0;
    for (;;) {
        int64_t gone_us = weir_clock_mono(&weir_clock_os).us - begin.us;
        int64_t left_us = limit.us == 0 ? WAIT_S * WEIR_US_PER_S : limit.us - gone_us;
        if (left_us <= 0) {
            return weir_fail(err, -WEIR_ETIMEOUT, "job %" PRIu64 " has not ended in the given time", ref->job);
        }
        int64_t wait_s = (left_us + WEIR_US_PER_S - 1) / WEIR_US_PER_S;
        json_t *o = NULL;
        int r = wait_round(a, ref, (unsigned)(wait_s < WAIT_S ? wait_s : WAIT_S), &o, err);
        if (r == 0 && weir_state_is_final(weir_get_text(o, "state"))) {
            *ret = o;
            return 0;
        }
        json_decref(o);
        if (r == 0) {
            away = 0;
            continue;
        }
        bool passing = r == -WEIR_EUNAVAIL || r == -WEIR_EIO || r == -WEIR_ETIMEOUT;
        if (!passing || ++away > AWAY_TRIES_MAX) {
            return r;
        }
        if (away == 1) {
            weir_talk("%s; waiting for it", err != NULL ? err->text : "the broker does not answer");
        }
        weir_pause((struct weir_dur){away < 10 ? 200 * WEIR_US_PER_MS : WEIR_US_PER_S});
    }
}

int weir_task_exit_status(const json_t *task)
{
    const char *state = weir_get_text(task, "state");
    const char *reason = weir_get_text(task, "reason");
    int64_t code = weir_get_i64(task, "exit_code", -1);
    int64_t sig = weir_get_i64(task, "signal", 0);
    reason = reason != NULL ? reason : "";
    if (state != NULL && weir_streq(state, "succeeded")) {
        return 0;
    }
    if (state != NULL && weir_streq(state, "cancelled")) {
        return WEIR_EXIT_CANCELLED;
    }
    if (weir_streq(reason, "timeout")) {
        return WEIR_EXIT_TIMEOUT;
    }
    if (weir_streq(reason, "oom")) {
        return WEIR_EXIT_OOM;
    }
    if (sig > 0 && sig < 128) {
        return (int)(128 + sig);
    }
    if (code > 0 && code <= 255) {
        return (int)code;
    }
    return WEIR_EXIT_WEIR;
}

int weir_job_exit_status(struct weir_client *a, json_t *job, int *ret, struct weir_err *err)
{
    const char *state = weir_get_text(job, "state");
    if (state == NULL || !weir_streq(state, "failed")) {
        *ret = weir_task_exit_status(job);
        return 0;
    }
    /* A job tells no signal: its first failed task does. */
    struct weir_str path = WEIR_STR_INIT(256);
    weir_job_path(&path, (uint64_t)weir_get_i64(job, "id", 0));
    weir_str_adds(&path, "/tasks?state=failed");
    json_t *tasks = NULL;
    int r = weir_client_list(a, weir_str_cstr(&path), 1, &tasks, NULL, err);
    weir_str_release(&path);
    if (r < 0) {
        return r;
    }
    const json_t *first = json_array_get(tasks, 0);
    *ret = weir_task_exit_status(first != NULL ? first : job);
    const char *text = first != NULL ? weir_get_text(first, "text") : NULL;
    if (text != NULL && text[0] != '\0') {
        (void)json_object_set_new(job, "text", json_string(text));
    }
    json_decref(tasks);
    return 0;
}

void weir_job_end_text(const json_t *o, int status, struct weir_str *out)
{
    const char *task = weir_get_text(o, "id");
    const char *state = weir_get_text(o, "state");
    const char *reason = weir_get_text(o, "reason");
    const char *text = weir_get_text(o, "text");
    if (task != NULL) {
        weir_str_addf(out, "task %s ", task);
    } else {
        weir_str_addf(out, "job %" PRId64 " ", weir_get_i64(o, "id", 0));
    }
    weir_str_adds(out, state != NULL ? state : "ended");
    if (status != 0 && !weir_streq(state != NULL ? state : "", "cancelled")) {
        bool by_itself = reason == NULL || weir_streq(reason, "exit");
        if (reason != NULL && weir_streq(reason, "signal") && status > 128) {
            weir_str_addf(out, ": signal %d", status - 128);
        } else if (!by_itself) {
            weir_str_addf(out, ": %s", reason);
        } else {
            weir_str_addf(out, ": exit code %d", status);
        }
    }
    if (text != NULL && text[0] != '\0') {
        weir_str_addf(out, " (%s)", text);
    }
    if (weir_get_text(o, "node") != NULL) {
        weir_str_adds(out, " on ");
        weir_out_nodes(out, o);
    }
    if (weir_get_is_set(o, "cost_micro")) {
        weir_str_adds(out, ", ");
        weir_out_money(out, weir_get_i64(o, "cost_micro", 0), weir_get_currency(o));
    }
}

void weir_out_nodes(struct weir_str *out, const json_t *job)
{
    const char *node = weir_get_text(job, "node");
    int64_t others = weir_get_i64(job, "other_nodes", 0);
    weir_str_adds(out, node == NULL ? "" : node);
    if (node != NULL && others > 0) {
        weir_str_addf(out, " and %" PRId64 " more", others);
    }
}

void weir_out_reason(struct weir_str *out, const json_t *job)
{
    const char *reason = weir_get_text(job, "reason");
    const char *held_by = weir_get_text(job, "held_by");
    weir_str_adds(out, reason == NULL ? "-" : reason);
    if (held_by != NULL) {
        weir_str_addf(out, " %s", held_by);
    }
}
