/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Policies on the deciding thread: the rows in force, the list of rules that follows for a job, and the walk over jobs that wait once
 * rows change. What runs goes on.
 */

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "broker_priv.h"
#include "spec/policy.h"

enum { JOBS_PER_LOOK = 20000 };

static const char kind[] = "policy"; /* of rows' documents */

static int on_row(void *ctx, const struct weir_document_row *doc)
{
    struct broker *b = ctx;
    struct weir_err err;
    struct weir_policy_row row;
    json_t *o = json_loads(doc->json, 0, NULL);
    int r = weir_policy_read(o, doc->name, b->config->currency, &row, &err);
    json_decref(o);
    if (r != 0) {
        return weir_fail(&b->policies.err, -WEIR_ECORRUPT, "policy '%s' of the store: %s", doc->name, err.text);
    }
    b->policies.version = row.version > b->policies.version ? row.version : b->policies.version;
    weir_vec_push(&b->policies.rows, row);
    return 0;
}

/* From now on other rows hold: what waits is looked at again. */
static void changed(struct broker *b)
{
    struct policies *p = &b->policies;
    weir_policy_sort(p->rows.p, p->rows.n);
    p->next = weir_policy_next(p->rows.p, p->rows.n, weir_engine_now(b->engine));
    p->walk_before.v = UINT64_MAX;
}

int policies_init(struct broker *b, struct weir_err *err)
{
    int r = b->store->ops->each_document(b->store, kind, on_row, b, err);
    if (r == -WEIR_ECORRUPT && b->policies.err.text[0] != '\0') {
        return weir_fail(err, r, "%s", b->policies.err.text);
    }
    if (r == 0) {
        changed(b); /* a row may have begun or ended while nobody was there */
    }
    return r;
}

void policies_release(struct broker *b)
{
    weir_vec_release(&b->policies.rows);
}

/* ---- what holds for a job ---- */

int policies_compile(struct broker *b, const struct weir_policy_subject *s, uint32_t *ret, struct weir_err *err)
{
    struct weir_policy_rule rule[WEIR_POLICY_ROWS_MAX];
    size_t n = 0;
    bool allows = false;
    bool denies = false;
    *ret = 0;
    for (size_t i = 0; i < b->policies.rows.n; i++) {
        const struct weir_policy_row *row = &b->policies.rows.p[i];
        if (!weir_policy_takes(row, s)) {
            continue;
        }
        bool whole = weir_policy_is_whole(row);
        if (whole && row->rule.deny && !allows && err != NULL) {
            return weir_fail(err, -WEIR_EDENIED, "policy '%s' denies it%s%s", row->name, row->reason[0] == '\0' ? "" : ": ", row->reason);
        }
        memset(&rule[n], 0, sizeof rule[n]);
        rule[n].deny = row->rule.deny;
        rule[n].place = row->rule.place;
        rule[n].market = row->rule.market;
        rule[n].price_above_micro = row->rule.price_above_micro;
        (void)snprintf(rule[n].provider, sizeof rule[n].provider, "%s", row->rule.provider);
        (void)snprintf(rule[n].region, sizeof rule[n].region, "%s", row->rule.region);
        (void)snprintf(rule[n].gpu, sizeof rule[n].gpu, "%s", row->rule.gpu);
        allows |= !row->rule.deny;
        denies |= row->rule.deny;
        n++;
        if (whole) {
            break;
        }
    }
    return denies ? weir_engine_policy(b->engine, rule, n, ret, err) : 0; /* without one that denies all is allowed */
}

/* The job's file, where some row asks for what stands in it alone; NULL: none does, or it cannot be read. */
static void read_spec(struct broker *b, struct weir_job_id id, struct weir_spec **spec)
{
    bool asked = false;
    char *json = NULL;
    char *name = NULL;
    for (size_t i = 0; i < b->policies.rows.n; i++) {
        asked |= weir_policy_asks_file(&b->policies.rows.p[i]);
    }
    if (!asked || weir_engine_job_spec(b->engine, id, &json, &name, NULL) != 0) {
        return;
    }
    pthread_mutex_lock(&b->gpus_lock);
    (void)weir_spec_parse(weir_sv_of(json), "stored spec", b->gpus, spec, NULL);
    pthread_mutex_unlock(&b->gpus_lock);
    free(json);
    free(name);
}

static void look_at_job(struct broker *b, struct weir_job_id id)
{
    const struct weir_core *core = weir_engine_core(b->engine);
    struct weir_job_view v;
    if (!weir_core_job(core, id, &v) || v.count[WEIR_TASK_WAITING] + v.count[WEIR_TASK_STARTING] == 0) {
        return;
    }
    WEIR_CLEANUP(weir_spec_freep) struct weir_spec *spec = NULL;
    read_spec(b, id, &spec);
    const struct weir_request *r = weir_core_shape(core, v.shape);
    const struct weir_policy_subject s = {.project = weir_engine_project_name(b->engine, v.project), .user = weir_engine_user_name(b->engine, v.user),
                                          .image = spec == NULL || spec->image == NULL ? "" : spec->image, .tags = spec == NULL ? NULL : spec->tags,
                                          .n_tags = spec == NULL ? 0 : spec->n_tags, .nodes = r->nodes, .max_duration = r->max_duration,
                                          .now = weir_engine_now(b->engine)};
    uint32_t policy = 0;
    struct weir_err err;
    if (policies_compile(b, &s, &policy, NULL) != 0 || policy == r->policy) {
        return;
    }
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_POLICY, .u.job_policy = {id, policy}};
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "policy.job", "job=%llu text=\"%s\"", (unsigned long long)id.v, err.text);
    }
}

void policies_tick(struct broker *b)
{
    struct policies *p = &b->policies;
    if (weir_engine_now(b->engine).us >= p->next.us) {
        changed(b);
    }
    if (p->walk_before.v == 0) {
        return;
    }
    struct weir_job_id *id = weir_calloc(JOBS_PER_LOOK, sizeof *id);
    size_t n = weir_core_jobs_before(weir_engine_core(b->engine), p->walk_before, id, JOBS_PER_LOOK);
    for (size_t i = 0; i < n; i++) {
        look_at_job(b, id[i]);
    }
    p->walk_before = n < JOBS_PER_LOOK ? (struct weir_job_id){0} : id[n - 1];
    free(id);
}

/* ---- what the API asks ---- */

static struct weir_str row_json(const struct weir_policy_row *row)
{
    struct weir_str s = WEIR_STR_INIT(16384);
    struct weir_json j = weir_json_begin(&s);
    if (row != NULL) {
        weir_policy_write(row, &j);
    }
    return s;
}

static void audit(struct broker *b, const struct weir_command *cmd, const char *action, const struct weir_policy_row *was, const struct weir_policy_row *is)
{
    char object[WEIR_POLICY_NAME_SIZE + 16];
    struct weir_str before = row_json(was);
    struct weir_str after = row_json(is);
    (void)snprintf(object, sizeof object, "policy %s", cmd->u.policy.name);
    access_audit(b, cmd, action, object, weir_str_cstr(&before), weir_str_cstr(&after));
    weir_str_release(&before);
    weir_str_release(&after);
}

static struct weir_policy_row *find(struct broker *b, const char *name)
{
    for (size_t i = 0; i < b->policies.rows.n; i++) {
        if (weir_streq(b->policies.rows.p[i].name, name)) {
            return &b->policies.rows.p[i];
        }
    }
    return NULL;
}

void policies_set(struct broker *b, struct weir_command *cmd)
{
    struct weir_policy_row is = *cmd->u.policy.row;
    struct weir_policy_row *was = find(b, is.name);
    if (was == NULL && b->policies.rows.n == WEIR_POLICY_ROWS_MAX) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_ELIMIT, "there are %d policies already: remove one that is not needed", WEIR_POLICY_ROWS_MAX));
        return;
    }
    is.version = ++b->policies.version;
    audit(b, cmd, "policy.set", was, &is);
    if (was == NULL) {
        weir_vec_push(&b->policies.rows, is);
    } else {
        *was = is;
    }
    struct weir_str json = row_json(&is);
    weir_engine_put_document(b->engine, &(struct weir_document_row){kind, is.name, weir_str_cstr(&json)});
    weir_str_release(&json);
    changed(b);
    policies_tick(b);
    commands_finish(b, cmd, 0);
}

void policies_remove(struct broker *b, struct weir_command *cmd)
{
    struct weir_policy_row *was = find(b, cmd->u.policy.name);
    if (was == NULL) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_ENOTFOUND, "policy '%s' does not exist", cmd->u.policy.name));
        return;
    }
    audit(b, cmd, "policy.remove", was, NULL);
    weir_engine_delete_document(b->engine, kind, was->name);
    *was = b->policies.rows.p[--b->policies.rows.n];
    b->policies.version++;
    changed(b);
    policies_tick(b);
    commands_finish(b, cmd, 0);
}
