/* SPDX-License-Identifier: Apache-2.0 */

/* What the API asks of quotas, on the deciding thread. */

#include <inttypes.h>
#include <stdio.h>

#include "broker_priv.h"

static bool find(const struct weir_core *core, const char *name, struct weir_quota_view *ret)
{
    WEIR_VEC(struct weir_quota_id) ids = {0};
    weir_vec_reserve(&ids, WEIR_QUOTAS_MAX);
    size_t n = weir_core_quotas(core, ids.p, WEIR_QUOTAS_MAX);
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        found = weir_core_quota(core, ids.p[i], ret) && weir_streq(ret->def.name, name);
    }
    weir_vec_release(&ids);
    return found;
}

/* What was not given stays as it was, or is as usual. */
static int merge(const struct weir_command *cmd, const struct weir_quota *was, struct weir_quota *def, struct weir_err *err)
{
    unsigned given = cmd->u.quota.given;
    unsigned needed = WEIR_QUOTA_GIVEN_SCOPE | WEIR_QUOTA_GIVEN_COUNTS | WEIR_QUOTA_GIVEN_LIMIT;
    if (was == NULL && (given & needed) != needed) {
        unsigned lacks = needed & ~given;
        return weir_fail(err, -WEIR_EINVAL, "quota '%s' is new: say%s%s%s", def->name,
                         lacks & WEIR_QUOTA_GIVEN_SCOPE ? " whose it is (scope; on the command line --for)" : "",
                         lacks & WEIR_QUOTA_GIVEN_COUNTS ? (lacks & WEIR_QUOTA_GIVEN_SCOPE ? ", what it counts (counts)" : " what it counts (counts)") : "",
                         lacks & WEIR_QUOTA_GIVEN_LIMIT ? (lacks != WEIR_QUOTA_GIVEN_LIMIT ? " and how much of it there may be (limit)" : " how much of it there may be (limit)") : "");
    }
    if (given == 0) {
        return weir_fail(err, -WEIR_EINVAL, "quota '%s': nothing is given that would change it, like its limit", def->name);
    }
    if (was != NULL && (given & WEIR_QUOTA_GIVEN_COUNTS) != 0 && (given & WEIR_QUOTA_GIVEN_LIMIT) == 0 && def->counts != was->counts) {
        return weir_fail(err, -WEIR_EINVAL, "quota '%s' counts something else then: give its limit too", def->name);
    }
    if ((given & WEIR_QUOTA_GIVEN_SCOPE) == 0) {
        def->scope = was->scope;
        def->project = was->project;
        def->user = was->user;
        (void)snprintf(def->tag, sizeof def->tag, "%s", was->tag);
    }
    if ((given & WEIR_QUOTA_GIVEN_COUNTS) == 0) {
        def->counts = was->counts;
        def->gpu_model = was->gpu_model;
    }
    if ((given & WEIR_QUOTA_GIVEN_LIMIT) == 0) {
        def->limit = was->limit;
    }
    if ((given & WEIR_QUOTA_GIVEN_BORROW) == 0 && was != NULL) {
        def->shares = was->shares;
        def->borrow_max = was->borrow_max;
    }
    if ((given & WEIR_QUOTA_GIVEN_SPAN) == 0) {
        bool kept = was != NULL && was->counts == def->counts;
        def->span = kept ? was->span : def->counts == WEIR_QUOTA_GPU_HOURS ? WEIR_BUDGET_MONTH : WEIR_BUDGET_FOREVER;
        def->from = kept ? was->from : (struct weir_wall){0};
        def->until = kept ? was->until : (struct weir_wall){0};
    }
    return 0;
}

/* For the audit log: all that a person can set. */
static void state_json(const struct broker *b, const struct weir_quota *d, struct weir_str *out)
{
    if (d == NULL) {
        return;
    }
    bool timed = weir_quota_is_timed((enum weir_quota_counts)d->counts);
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    access_scope_json(&j, b, d->scope, d->project, d->user, d->tag);
    weir_json_kv_cstr(&j, "counts", weir_quota_counts_name((enum weir_quota_counts)d->counts));
    weir_json_kv_cstr(&j, "gpu", d->gpu_model == WEIR_GPU_MODEL_ANY ? NULL : weir_gpu_table_get(b->gpus, d->gpu_model)->name);
    weir_json_kv_cstr(&j, "span", weir_budget_span_name((enum weir_budget_span)d->span));
    if (d->span == WEIR_BUDGET_FIXED) {
        weir_json_kv_time(&j, "from", d->from);
        weir_json_kv_time(&j, "until", d->until);
    }
    weir_json_kv_i64(&j, timed ? "limit_gpu_s" : "limit", timed ? d->limit / 1000 : d->limit);
    if (d->shares && d->borrow_max == INT64_MAX) {
        weir_json_kv_cstr(&j, "borrow", "all");
    } else if (d->shares) {
        weir_json_kv_i64(&j, "borrow", d->borrow_max);
    }
    weir_json_end(&j);
}

static void audit(struct broker *b, const struct weir_command *cmd, const char *action, const struct weir_quota *was, const struct weir_quota *is)
{
    char object[WEIR_BUDGET_NAME_SIZE + 8];
    WEIR_CLEANUP(weir_str_release) struct weir_str before = WEIR_STR_INIT(AUDIT_STATE_BYTES_MAX);
    WEIR_CLEANUP(weir_str_release) struct weir_str after = WEIR_STR_INIT(AUDIT_STATE_BYTES_MAX);
    state_json(b, was, &before);
    state_json(b, is, &after);
    (void)snprintf(object, sizeof object, "quota %s", cmd->u.quota.def.name);
    access_audit(b, cmd, action, object, weir_str_cstr(&before), weir_str_cstr(&after));
}

void quotas_set(struct broker *b, struct weir_command *cmd)
{
    struct weir_quota_view was;
    struct weir_quota def = cmd->u.quota.def;
    bool known = find(weir_engine_core(b->engine), def.name, &was);
    int r = merge(cmd, known ? &was.def : NULL, &def, &cmd->err);
    if (r == 0 && (cmd->u.quota.given & WEIR_QUOTA_GIVEN_SCOPE) != 0 && def.scope == WEIR_BUDGET_PROJECT) {
        def.project = weir_engine_project(b->engine, weir_sv_of(cmd->u.quota.whose));
    }
    if (r == 0 && (cmd->u.quota.given & WEIR_QUOTA_GIVEN_SCOPE) != 0 && def.scope == WEIR_BUDGET_USER) {
        def.user = weir_engine_user(b->engine, weir_sv_of(cmd->u.quota.whose));
    }
    if (r == 0) {
        struct weir_event ev = {.kind = WEIR_EVENT_QUOTA_SET, .u.quota_set.quota = &def};
        r = weir_engine_event(b->engine, &ev, &cmd->err);
    }
    if (r == 0) {
        audit(b, cmd, "quota.set", known ? &was.def : NULL, &def);
    }
    commands_finish(b, cmd, r);
}

void quotas_remove(struct broker *b, struct weir_command *cmd)
{
    struct weir_quota_view was;
    struct weir_event ev = {.kind = WEIR_EVENT_QUOTA_REMOVE, .u.quota_remove.name = cmd->u.quota.def.name};
    int r = find(weir_engine_core(b->engine), cmd->u.quota.def.name, &was)
                ? weir_engine_event(b->engine, &ev, &cmd->err)
                : weir_fail(&cmd->err, -WEIR_ENOTFOUND, "quota '%s' does not exist", cmd->u.quota.def.name);
    if (r == 0) {
        audit(b, cmd, "quota.remove", &was.def, NULL);
    }
    commands_finish(b, cmd, r);
}
