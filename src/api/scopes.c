/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a budget or quota is for, and in which span, as texts. */
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "base/parse.h"

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

/* "team=perception" as a member of an object of JSON. */
static int read_tag(struct weir_sv text, char *buf, size_t size, struct weir_err *err)
{
    struct weir_sv key = weir_sv_cut(&text, '=');
    if (key.n == 0 || key.n > WEIR_SPEC_NAME_MAX || text.n == 0) {
        return weir_fail(err, -WEIR_EINVAL, "scope: a tag is written tag:KEY=VALUE");
    }
    struct weir_str s = WEIR_STR_INIT(1024);
    struct weir_json j = weir_json_begin(&s);
    weir_json_object(&j);
    char name[WEIR_SPEC_NAME_MAX + 1];
    (void)snprintf(name, sizeof name, "%.*s", (int)key.n, key.p);
    weir_json_key(&j, name);
    weir_json_string(&j, text);
    weir_json_end(&j);
    bool fits = !s.overflowed && s.n - 2 < size;
    if (fits) {
        (void)snprintf(buf, size, "%.*s", (int)(s.n - 2), weir_str_cstr(&s) + 1); /* without the braces */
    }
    weir_str_release(&s);
    return fits ? 0 : weir_fail(err, -WEIR_EINVAL, "scope: the tag is too long");
}

int api_scope_read(const char *text, uint8_t *ret_scope, char tag[static WEIR_BUDGET_TAG_SIZE], char whose[static WEIR_SPEC_NAME_MAX + 1], struct weir_err *err)
{
    struct weir_sv rest = weir_sv_of(text);
    struct weir_sv word = weir_sv_cut(&rest, ':');
    uint8_t scope = 0;
    while (scope < WEIR_BUDGET_SCOPE_MAX && !weir_sv_eq(word, weir_sv_of(weir_budget_scope_name((enum weir_budget_scope)scope)))) {
        scope++;
    }
    *ret_scope = scope;
    if (scope == WEIR_BUDGET_ORGANISATION && rest.n == 0) {
        return 0;
    }
    if (scope == WEIR_BUDGET_TAG) {
        return read_tag(rest, tag, WEIR_BUDGET_TAG_SIZE, err);
    }
    if ((scope == WEIR_BUDGET_PROJECT || scope == WEIR_BUDGET_USER) && rest.n > 0 && rest.n <= WEIR_SPEC_NAME_MAX) {
        (void)snprintf(whose, WEIR_SPEC_NAME_MAX + 1, "%.*s", (int)rest.n, rest.p);
        return 0;
    }
    return weir_fail(err, -WEIR_EINVAL, "scope must be organisation, project:NAME, user:NAME or tag:KEY=VALUE");
}

int api_span_read(const json_t *body, uint8_t *ret_span, struct weir_wall *ret_from, struct weir_wall *ret_until, struct weir_err *err)
{
    const char *word = json_string_value(json_object_get(body, "span"));
    const char *from = json_string_value(json_object_get(body, "from"));
    const char *until = json_string_value(json_object_get(body, "until"));
    uint8_t span = 0;
    while (word != NULL && span < WEIR_BUDGET_SPAN_MAX && !weir_streq(word, weir_budget_span_name((enum weir_budget_span)span))) {
        span++;
    }
    bool fixed = from != NULL || until != NULL;
    if (word == NULL && fixed) {
        span = WEIR_BUDGET_FIXED;
    }
    *ret_span = span;
    if (span == WEIR_BUDGET_SPAN_MAX || fixed != (span == WEIR_BUDGET_FIXED) || (fixed && (from == NULL || until == NULL))) {
        return weir_fail(err, -WEIR_EINVAL, "span must be month, quarter, forever, or fixed with 'from' and 'until'");
    }
    int rc = fixed ? weir_parse_time(weir_sv_of(from), ret_from, err) : 0;
    rc = rc == 0 && fixed ? weir_parse_time(weir_sv_of(until), ret_until, err) : rc;
    if (rc == 0 && fixed && ret_until->us <= ret_from->us) {
        return weir_fail(err, -WEIR_EINVAL, "'until' must be after 'from'");
    }
    return rc < 0 ? weir_fail_prefix(err, rc, "span") : 0;
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
