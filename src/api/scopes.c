/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a budget or quota is for. */
#include "api/api_priv.h"
#include "base/mem.h"

/* "team":"perception" as team=perception. */
static void tag_text(const char *tag, struct weir_str *out)
{
    struct weir_str text = WEIR_STR_INIT(2 * WEIR_BUDGET_TAG_SIZE);
    weir_str_addf(&text, "{%s}", tag);
    json_t *o = json_loads(weir_str_cstr(&text), 0, NULL);
    const char *key;
    json_t *value;
    json_object_foreach(o, key, value)
    {
        weir_str_addf(out, "%s=%s", key, json_string_value(value));
    }
    json_decref(o);
    weir_str_release(&text);
}

void api_scope_json(struct weir_json *j, uint8_t scope, const char *project, const char *user, const char *tag)
{
    struct weir_str s = WEIR_STR_INIT(1024);
    weir_str_adds(&s, weir_budget_scope_name((enum weir_budget_scope)scope));
    if (scope == WEIR_BUDGET_PROJECT) {
        weir_str_addf(&s, ":%s", project);
    } else if (scope == WEIR_BUDGET_USER) {
        weir_str_addf(&s, ":%s", user);
    } else if (scope == WEIR_BUDGET_TAG) {
        weir_str_addc(&s, ':');
        tag_text(tag, &s);
    }
    weir_json_kv_cstr(j, "scope", weir_str_cstr(&s));
    weir_str_release(&s);
}

bool api_scope_concerns(const struct api_call *call, uint8_t scope, struct weir_project_id project, const char *user)
{
    if (call->reach != API_REACH_OWN || scope == WEIR_BUDGET_ORGANISATION) {
        return true;
    }
    if (scope == WEIR_BUDGET_USER) {
        return user != NULL && weir_streq(user, call->who.user);
    }
    return scope == WEIR_BUDGET_PROJECT && weir_role_covers(weir_scope_role(call->who.scope, project), api_access[call->route->role].needs);
}
