/* SPDX-License-Identifier: Apache-2.0 */

/* Rules of prices and rates of currencies: added and ended. */

#include "base/mem.h"
#include "broker_priv.h"

struct rule_until {
    const char *name;
    struct weir_wall until;
};

static void on_rule_until(void *ctx, const struct weir_rule_row *row)
{
    struct rule_until *u = ctx;
    if (weir_streq(row->name, u->name)) {
        u->until = row->until;
    }
}

/* {"until": null} of one that holds for ever. */
static void rule_until_json(struct broker *b, const char *name, struct weir_str *out)
{
    struct rule_until u = {.name = name};
    struct weir_json j = weir_json_begin(out);
    weir_engine_each_rule(b->engine, on_rule_until, &u);
    weir_json_object(&j);
    weir_json_kv_time(&j, "until", u.until);
    weir_json_end(&j);
}

void rules_change(struct broker *b, struct weir_command *cmd)
{
    struct weir_rule_row *row = &cmd->u.rule.row;
    bool end = cmd->u.rule.end;
    WEIR_CLEANUP(weir_str_release) struct weir_str before = WEIR_STR_INIT(AUDIT_STATE_BYTES_MAX);
    if (end) {
        rule_until_json(b, row->name, &before);
    }
    int r = end ? weir_engine_end_rule(b->engine, row->name, row->until, &cmd->err) : weir_engine_add_rule(b->engine, row, &cmd->err);
    if (r == 0) {
        WEIR_CLEANUP(weir_str_release) struct weir_str object = WEIR_STR_INIT(1024);
        WEIR_CLEANUP(weir_str_release) struct weir_str after = WEIR_STR_INIT(65536);
        if (end) {
            rule_until_json(b, row->name, &after); /* not before it began, whatever was asked */
        } else {
            struct weir_json j = weir_json_begin(&after);
            weir_json_object(&j);
            weir_json_kv_cstr(&j, "kind", row->kind);
            weir_json_key(&j, "rule");
            weir_json_raw(&j, weir_sv_of(row->body));
            weir_json_kv_time(&j, "from", row->from);
            weir_json_kv_time(&j, "until", row->until);
            weir_json_end(&j);
        }
        weir_str_addf(&object, "rule %s", row->name);
        access_audit(b, cmd, end ? "rule.end" : "rule.add", weir_str_cstr(&object), weir_str_cstr(&before), weir_str_cstr(&after));
        market_rates(b);
    }
    commands_finish(b, cmd, r);
}
