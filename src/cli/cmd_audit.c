/* SPDX-License-Identifier: Apache-2.0 */

/* weir audit: who changed what, newest first. */

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "command.h"
#include "lists.h"

const struct weir_opt weir_opts_audit[] = {
    {"since", 0, WEIR_OPT_TEXT, .arg = "TIME", .help = "not older: a time, a date, or a span before now such as 7d"},
    {"limit", 'n', WEIR_OPT_COUNT, .arg = "N", .help = "at most so many (default 100)", .min = 1},
    {0},
};

/* An object on one line; nothing where there is none. */
static void json_cell(struct weir_table *t, const json_t *v)
{
    char *text = json_is_object(v) ? json_dumps(v, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    weir_table_cell(t, text);
    free(text);
}

static void before_cell(struct weir_table *t, const json_t *o)
{
    json_cell(t, json_object_get(o, "before"));
}

static void after_cell(struct weir_table *t, const json_t *o)
{
    json_cell(t, json_object_get(o, "after"));
}

/* The beginning of the span as the API takes it. */
static int since_of(const char *text, char *buf, struct weir_err *err)
{
    struct weir_wall at;
    struct weir_dur ago;
    if (weir_parse_duration(weir_sv_of(text), &ago, NULL) == 0) {
        at = (struct weir_wall){weir_i64_sub_sat(weir_clock_wall(&weir_clock_os).us, ago.us)};
    } else {
        int r = weir_parse_time(weir_sv_of(text), &at, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "--since");
        }
    }
    at.us = at.us < 1 ? 1 : at.us;
    (void)weir_wall_format(at, buf);
    return 0;
}

int weir_cmd_audit(const struct weir_args *args, struct weir_err *err)
{
    static const struct weir_field field[] = {
        {"AT", WEIR_FIELD_TIME, "at"},
        {"USER", WEIR_FIELD_TEXT, "user"},
        {"ACTION", WEIR_FIELD_TEXT, "action"},
        {"OBJECT", WEIR_FIELD_TEXT, "object", .shrink = true},
        {"FROM", WEIR_FIELD_TEXT, "from", .drop = 1},
        {"BEFORE", WEIR_FIELD_FN, .cell = before_cell, .shrink = true},
        {"AFTER", WEIR_FIELD_FN, .cell = after_cell, .shrink = true},
    };
    char since[WEIR_RFC3339_SIZE];
    struct weir_str path = WEIR_STR_INIT(512);
    weir_str_adds(&path, "/v1/audit");
    if (weir_args_has(args, "since")) {
        int r = since_of(weir_args_text(args, "since"), since, err);
        if (r < 0) {
            return r;
        }
        weir_query_add(&path, "since", since);
    }
    int r = weir_list_show_some(args, weir_str_cstr(&path), weir_args_count(args, "limit", 100), field, WEIR_ARRAY_LEN(field), "no changes", err);
    weir_str_release(&path);
    return r;
}
