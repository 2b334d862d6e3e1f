/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tasks of a job are expected to take: forecast when it is submitted, and again as tasks of it end. An array whose kind
 * nobody knew is taken for long; after its first task has ended in seconds, no machine is to be rented for the rest.
 */

#include <jansson.h>
#include <string.h>

#include "base/parse.h"
#include "engine_priv.h"

enum { CHANGE_DIV = 4 }; /* a change by less than such a part is left: it would be another request at each end */

struct weir_dur engine_forecast(const struct weir_engine *e, uint64_t own_key, const struct weir_request *r, struct weir_dur estimate)
{
    uint64_t key[WEIR_RUNTIME_KINDS] = {own_key};
    const struct weir_runtime_history *h[WEIR_RUNTIME_KINDS] = {NULL};
    weir_runtime_wider_keys(engine_gpus(r), key);
    for (size_t i = 0; i < WEIR_RUNTIME_KINDS; i++) {
        uint64_t at;
        h[i] = weir_map_get(&e->runtime_at, key[i], &at) ? &e->runtimes.p[at].history : NULL;
    }
    return weir_runtime_forecast(h, estimate, r->max_duration).expected;
}

/* What was said at the submission; a broker that was restarted finds it in the job's specification. */
static bool find_estimate(struct weir_engine *e, struct weir_job_id job, struct weir_dur *ret)
{
    uint64_t us;
    char *spec = NULL;
    char *name = NULL;
    if (weir_map_get(&e->job_estimate, job.v, &us)) {
        ret->us = (int64_t)us;
        return true;
    }
    if (weir_engine_job_spec(e, job, &spec, &name, NULL) != 0) {
        return false;
    }
    json_t *root = json_loads(spec, 0, NULL);
    const char *said = json_string_value(json_object_get(root, "expected"));
    bool ok = root != NULL;
    *ret = (struct weir_dur){0};
    if (said != NULL) {
        ok = weir_parse_duration(weir_sv_of(said), ret, NULL) == 0;
    }
    if (ok) {
        weir_map_put(&e->job_estimate, job.v, (uint64_t)ret->us);
    }
    json_decref(root);
    free(spec);
    free(name);
    return ok;
}

static void expect_anew(struct weir_engine *e, struct weir_job_id job)
{
    struct weir_job_view v;
    struct weir_dur estimate;
    uint64_t key;
    if (!weir_core_job(e->core, job, &v) || v.count[WEIR_TASK_WAITING] == 0 || !weir_map_get(&e->job_runtime, job.v, &key) ||
        !find_estimate(e, job, &estimate)) {
        return;
    }
    const struct weir_request *r = weir_core_shape(e->core, v.shape);
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_EXPECT};
    ev.u.job_expect.job = job;
    ev.u.job_expect.expected = engine_forecast(e, key, r, estimate);
    int64_t more = ev.u.job_expect.expected.us - r->expected.us;
    if (more > r->expected.us / CHANGE_DIV || -more > r->expected.us / CHANGE_DIV) {
        (void)weir_engine_event(e, &ev, NULL); /* it is well formed, and the job is there */
    }
}

void engine_expect_anew(struct weir_engine *e)
{
    while (e->taught.n > 0) {
        expect_anew(e, e->taught.p[--e->taught.n]);
    }
}
