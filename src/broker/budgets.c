/* SPDX-License-Identifier: Apache-2.0 */

/* What the API asks of budgets, on the deciding thread. */

#include <inttypes.h>
#include <stdio.h>

#include "broker_priv.h"

static bool find(const struct weir_core *core, const char *name, struct weir_budget_view *ret)
{
    WEIR_VEC(struct weir_budget_id) ids = {0};
    weir_vec_reserve(&ids, WEIR_BUDGETS_MAX);
    size_t n = weir_core_budgets(core, ids.p, WEIR_BUDGETS_MAX);
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        found = weir_core_budget(core, ids.p[i], ret) && weir_streq(ret->def.name, name);
    }
    weir_vec_release(&ids);
    return found;
}

/* What was not given stays as it was, or is as usual. */
static int merge(const struct weir_command *cmd, const struct weir_budget_view *was, struct weir_budget *def, struct weir_err *err)
{
    unsigned given = cmd->u.budget.given;
    const struct weir_budget none = {.span = WEIR_BUDGET_MONTH};
    const struct weir_budget *old = was == NULL ? &none : &was->def;
    bool has_scope = (given & WEIR_BUDGET_GIVEN_SCOPE) != 0;
    bool has_amount = (given & WEIR_BUDGET_GIVEN_AMOUNT) != 0;
    if (was == NULL && (!has_scope || !has_amount)) {
        return weir_fail(err, -WEIR_EINVAL, "budget '%s' is new: say%s%s%s", def->name, has_scope ? "" : " whose it is (scope; on the command line --for)",
                         !has_scope && !has_amount ? " and" : "", has_amount ? "" : " how much it is (amount)");
    }
    if (given == 0) {
        return weir_fail(err, -WEIR_EINVAL, "budget '%s': nothing is given that would change it, like its amount", def->name);
    }
    if ((given & WEIR_BUDGET_GIVEN_SCOPE) == 0) {
        def->scope = old->scope;
        def->project = old->project;
        def->user = old->user;
        (void)snprintf(def->tag, sizeof def->tag, "%s", old->tag);
    }
    if ((given & WEIR_BUDGET_GIVEN_AMOUNT) == 0) {
        def->amount_micro = old->amount_micro;
    }
    if ((given & WEIR_BUDGET_GIVEN_SPAN) == 0) {
        def->span = old->span;
        def->from = old->from;
        def->until = old->until;
    }
    if ((given & WEIR_BUDGET_GIVEN_CLOUD_ONLY) == 0) {
        def->cloud_only = old->cloud_only;
    }
    if ((given & WEIR_BUDGET_GIVEN_THRESHOLDS) == 0) {
        def->n_thresholds = old->n_thresholds;
        for (uint32_t i = 0; i < old->n_thresholds; i++) {
            def->threshold[i] = old->threshold[i];
        }
    }
    return 0;
}

/* For the audit log: all that a person can set. */
static void state_json(const struct broker *b, const struct weir_budget_view *v, struct weir_str *out)
{
    if (v == NULL) {
        return;
    }
    const struct weir_budget *d = &v->def;
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    access_scope_json(&j, b, d->scope, d->project, d->user, d->tag);
    weir_json_kv_cstr(&j, "span", weir_budget_span_name((enum weir_budget_span)d->span));
    if (d->span == WEIR_BUDGET_FIXED) {
        weir_json_kv_time(&j, "from", d->from);
        weir_json_kv_time(&j, "until", d->until);
    }
    weir_json_kv_i64(&j, "amount_micro", d->amount_micro);
    weir_json_kv_bool(&j, "cloud_only", d->cloud_only);
    weir_json_key(&j, "thresholds");
    weir_json_array(&j);
    for (uint32_t i = 0; i < d->n_thresholds; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%u:%s", (unsigned)d->threshold[i].percent, weir_budget_action_name((enum weir_budget_action)d->threshold[i].action));
        weir_json_cstr(&j, text);
    }
    weir_json_end(&j);
    weir_json_end(&j);
}

static void audit(struct broker *b, const struct weir_command *cmd, const char *action, const struct weir_budget_view *was, const struct weir_budget_view *is)
{
    char object[WEIR_BUDGET_NAME_SIZE + 8];
    WEIR_CLEANUP(weir_str_release) struct weir_str before = WEIR_STR_INIT(AUDIT_STATE_BYTES_MAX);
    WEIR_CLEANUP(weir_str_release) struct weir_str after = WEIR_STR_INIT(AUDIT_STATE_BYTES_MAX);
    state_json(b, was, &before);
    state_json(b, is, &after);
    (void)snprintf(object, sizeof object, "budget %s", cmd->u.budget.def.name);
    access_audit(b, cmd, action, object, weir_str_cstr(&before), weir_str_cstr(&after));
}

void budgets_set(struct broker *b, struct weir_command *cmd)
{
    struct weir_budget_view was;
    struct weir_budget def = cmd->u.budget.def;
    bool known = find(weir_engine_core(b->engine), def.name, &was);
    int r = merge(cmd, known ? &was : NULL, &def, &cmd->err);
    if (r == 0 && (cmd->u.budget.given & WEIR_BUDGET_GIVEN_SCOPE) != 0 && def.scope == WEIR_BUDGET_PROJECT) {
        def.project = weir_engine_project(b->engine, weir_sv_of(cmd->u.budget.project));
    }
    if (r == 0 && (cmd->u.budget.given & WEIR_BUDGET_GIVEN_SCOPE) != 0 && def.scope == WEIR_BUDGET_USER) {
        def.user = weir_engine_user(b->engine, weir_sv_of(cmd->u.budget.user));
    }
    if (r == 0) {
        struct weir_event ev = {.kind = WEIR_EVENT_BUDGET_SET};
        ev.u.budget_set.budget = &def;
        ev.u.budget_set.charged_micro = cmd->u.budget.charged_micro;
        r = weir_engine_event(b->engine, &ev, &cmd->err);
    }
    struct weir_budget_view is;
    if (r == 0 && find(weir_engine_core(b->engine), def.name, &is)) {
        audit(b, cmd, "budget.set", known ? &was : NULL, &is);
    }
    commands_finish(b, cmd, r);
}

void budgets_remove(struct broker *b, struct weir_command *cmd)
{
    struct weir_budget_view was;
    struct weir_event ev = {.kind = WEIR_EVENT_BUDGET_REMOVE, .u.budget_remove.name = cmd->u.budget.def.name};
    int r = find(weir_engine_core(b->engine), cmd->u.budget.def.name, &was)
                ? weir_engine_event(b->engine, &ev, &cmd->err)
                : weir_fail(&cmd->err, -WEIR_ENOTFOUND, "budget '%s' does not exist", cmd->u.budget.def.name);
    if (r == 0) {
        audit(b, cmd, "budget.remove", &was, NULL);
    }
    commands_finish(b, cmd, r);
}
