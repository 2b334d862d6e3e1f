/* SPDX-License-Identifier: Apache-2.0 */
#include "fields.h"

#include <inttypes.h>
#include <stdio.h>

void weir_cell_text(struct weir_table *t, const json_t *o, const char *key)
{
    weir_table_cell(t, weir_get_text(o, key));
}

void weir_cell_i64(struct weir_table *t, const json_t *o, const char *key)
{
    if (json_is_integer(json_object_get(o, key))) {
        weir_table_cellf(t, "%" PRId64, weir_get_i64(o, key, 0));
    } else {
        weir_table_cell(t, NULL);
    }
}

void weir_cell_state(struct weir_table *t, const json_t *o)
{
    const char *state = weir_get_text(o, "state");
    weir_table_cell_styled(t, weir_style_of_state(state), state);
}

static const char *time_text(const json_t *o, const char *key, char buf[static 64])
{
    struct weir_wall at = weir_get_time(o, key);
    if (at.us == 0) {
        return NULL;
    }
    struct weir_date d = weir_wall_to_date(at);
    (void)snprintf(buf, 64, "%04d-%02d-%02d %02d:%02d:%02d", d.year, d.month, d.day, d.hour, d.minute, d.second);
    return buf;
}

void weir_cell_time(struct weir_table *t, const json_t *o, const char *key)
{
    char buf[64];
    weir_table_cell(t, time_text(o, key, buf));
}

void weir_cell_span(struct weir_table *t, const json_t *o, const char *from, const char *to, struct weir_wall now)
{
    struct weir_wall begin = weir_get_time(o, from);
    struct weir_wall end = weir_get_time(o, to);
    char buf[WEIR_RFC3339_SIZE];
    if (begin.us == 0) {
        weir_table_cell(t, NULL);
        return;
    }
    struct weir_dur d = weir_wall_sub(end.us != 0 ? end : now, begin);
    /* Another host's clock may be ahead of ours. */
    weir_table_cell(t, weir_dur_format((struct weir_dur){d.us < 0 ? 0 : d.us}, buf));
}

void weir_cell_money(struct weir_table *t, const json_t *o, const char *key)
{
    struct weir_str s = WEIR_STR_INIT(128);
    if (json_is_integer(json_object_get(o, key))) {
        weir_out_money(&s, weir_get_i64(o, key, 0), weir_get_currency(o));
    }
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

void weir_cell_rate(struct weir_table *t, const json_t *o, const char *key, const char *currency)
{
    struct weir_str s = WEIR_STR_INIT(128);
    if (json_is_integer(json_object_get(o, key))) {
        weir_out_rate(&s, weir_get_i64(o, key, 0), currency);
    }
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

void weir_cell_of(struct weir_table *t, int64_t a, int64_t b)
{
    weir_table_cellf(t, "%" PRId64 "/%" PRId64, a, b);
}

void weir_cell_milli(struct weir_table *t, int64_t milli)
{
    struct weir_str s = WEIR_STR_INIT(64);
    weir_out_milli(&s, milli);
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

void weir_cell_mib(struct weir_table *t, const json_t *o, const char *key)
{
    struct weir_str s = WEIR_STR_INIT(64);
    int64_t mib = weir_get_i64(o, key, 0);
    if (mib > 0) {
        weir_out_mib(&s, (uint64_t)mib);
    }
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

void weir_line_text(const char *label, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        return;
    }
    struct weir_str s = WEIR_STR_INIT(8192);
    weir_out_clean(&s, weir_sv_of(text), false);
    (void)printf("%-12s %s\n", label, weir_str_cstr(&s));
    weir_str_release(&s);
}

void weir_line_field(const char *label, const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_integer(v)) {
        (void)printf("%-12s %" JSON_INTEGER_FORMAT "\n", label, json_integer_value(v));
    } else if (json_is_boolean(v)) {
        weir_line_text(label, json_is_true(v) ? "yes" : "no");
    } else {
        weir_line_text(label, json_string_value(v));
    }
}

void weir_line_time(const char *label, const json_t *o, const char *key)
{
    char buf[64];
    const char *text = time_text(o, key, buf);
    if (text != NULL) {
        (void)printf("%-12s %s UTC\n", label, text);
    }
}
