/* SPDX-License-Identifier: Apache-2.0 */

#include "spec/budget.h"

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/parse.h"
#include "spec/spec.h"

#define AMOUNT_MICRO_MAX INT64_C(1000000000000000000)

/* "team=perception" as a member of an object of JSON. */
static int read_tag(struct weir_sv text, struct weir_budget *def, struct weir_err *err)
{
    struct weir_sv key = weir_sv_cut(&text, '=');
    if (key.n == 0 || key.n > WEIR_SPEC_NAME_MAX || text.n == 0) {
        return weir_fail(err, -WEIR_EINVAL, "scope: a tag is written tag:KEY=VALUE");
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str s = WEIR_STR_INIT(1024);
    struct weir_json j = weir_json_begin(&s);
    weir_json_object(&j);
    char name[WEIR_SPEC_NAME_MAX + 1];
    (void)snprintf(name, sizeof name, "%.*s", WEIR_SV_ARG(key));
    weir_json_key(&j, name);
    weir_json_string(&j, text);
    weir_json_end(&j);
    if (s.overflowed || s.n - 2 >= sizeof def->tag) {
        return weir_fail(err, -WEIR_EINVAL, "scope: the tag is too long");
    }
    (void)snprintf(def->tag, sizeof def->tag, "%.*s", (int)(s.n - 2), weir_str_cstr(&s) + 1); /* without the braces */
    return 0;
}

int weir_budget_read_scope(struct weir_sv text, struct weir_budget *def, char *name, size_t size, struct weir_err *err)
{
    struct weir_sv rest = text;
    struct weir_sv word = weir_sv_cut(&rest, ':');
    uint8_t scope = 0;
    while (scope < WEIR_BUDGET_SCOPE_MAX && !weir_sv_eq(word, weir_sv_of(weir_budget_scope_name((enum weir_budget_scope)scope)))) {
        scope++;
    }
    name[0] = '\0';
    bool named = (scope == WEIR_BUDGET_PROJECT || scope == WEIR_BUDGET_USER) && rest.n > 0 && rest.n <= WEIR_SPEC_NAME_MAX && rest.n < size;
    if (!named && scope != WEIR_BUDGET_TAG && (scope != WEIR_BUDGET_ORGANISATION || rest.n > 0)) {
        return weir_fail(err, -WEIR_EINVAL, "scope must be organisation, project:NAME, user:NAME or tag:KEY=VALUE");
    }
    def->scope = scope;
    if (named) {
        (void)snprintf(name, size, "%.*s", WEIR_SV_ARG(rest));
    }
    return scope == WEIR_BUDGET_TAG ? read_tag(rest, def, err) : 0;
}

int weir_budget_read_span(const char *word, const char *from, const char *until, struct weir_budget *def, struct weir_err *err)
{
    uint8_t span = 0;
    while (word != NULL && span < WEIR_BUDGET_SPAN_MAX && !weir_streq(word, weir_budget_span_name((enum weir_budget_span)span))) {
        span++;
    }
    bool fixed = from != NULL || until != NULL;
    if (word == NULL) {
        span = fixed ? WEIR_BUDGET_FIXED : WEIR_BUDGET_MONTH;
    }
    if (span == WEIR_BUDGET_SPAN_MAX || fixed != (span == WEIR_BUDGET_FIXED) || (fixed && (from == NULL || until == NULL))) {
        return weir_fail(err, -WEIR_EINVAL, "span must be month, quarter, forever, or fixed with 'from' and 'until'");
    }
    struct weir_wall times[2] = {{0}, {0}};
    int r = fixed ? weir_parse_time(weir_sv_of(from), &times[0], err) : 0;
    r = r == 0 && fixed ? weir_parse_time(weir_sv_of(until), &times[1], err) : r;
    if (r == 0 && fixed && times[1].us <= times[0].us) {
        return weir_fail(err, -WEIR_EINVAL, "'until' must be after 'from'");
    }
    if (r < 0) {
        return weir_fail_prefix(err, r, "span");
    }
    def->span = span;
    def->from = times[0];
    def->until = times[1];
    return 0;
}

int weir_budget_read_threshold(struct weir_sv text, struct weir_budget *def, struct weir_err *err)
{
    struct weir_sv action_name = text;
    struct weir_sv percent = weir_sv_cut(&action_name, ':');
    uint64_t n = 0;
    uint8_t action = 0;
    while (action < WEIR_BUDGET_ACTION_MAX && !weir_sv_eq(action_name, weir_sv_of(weir_budget_action_name((enum weir_budget_action)action)))) {
        action++;
    }
    if (weir_parse_u64(percent, 1, 1000, &n, NULL) != 0 || action == WEIR_BUDGET_ACTION_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "threshold '%.*s': write PERCENT:ACTION, percent 1 to 1000, action warn, local-only, stop-new or stop-all",
                         WEIR_SV_ARG(text));
    }
    if (def->n_thresholds >= WEIR_BUDGET_THRESHOLDS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "a budget has at most %d thresholds", WEIR_BUDGET_THRESHOLDS_MAX);
    }
    def->threshold[def->n_thresholds++] = (struct weir_budget_threshold){(uint16_t)n, action};
    return 0;
}

int weir_budget_read_money(struct weir_sv text, const char *what, const char *currency, int64_t *ret, struct weir_err *err)
{
    int64_t micro = 0;
    int r = weir_parse_money_in(text, currency, &micro, err);
    if (r == 0 && (micro < 0 || micro > AMOUNT_MICRO_MAX)) {
        r = weir_fail(err, -WEIR_EINVAL, "must be between 0 and 1000000000000");
    }
    if (r < 0) {
        return weir_fail_prefix(err, r, "%s", what);
    }
    *ret = micro;
    return 0;
}
