/* SPDX-License-Identifier: Apache-2.0 */
#include "fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

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

static void add_span(struct weir_str *s, const json_t *o, const struct weir_field *f, struct weir_wall now)
{
    struct weir_wall begin = weir_get_time(o, f->key);
    struct weir_wall end = weir_get_time(o, f->other);
    char buf[WEIR_RFC3339_SIZE];
    if (begin.us == 0) {
        return;
    }
    struct weir_dur d = weir_wall_sub(end.us != 0 ? end : now, begin);
    /* Another host's clock may be ahead of ours. */
    weir_str_adds(s, weir_dur_format((struct weir_dur){d.us < 0 ? 0 : d.us}, buf));
}

/* What is told by a number; nothing where the object has none. */
static void add_number(struct weir_str *s, const json_t *o, const struct weir_field *f, const char *currency)
{
    int64_t v = weir_get_i64(o, f->key, 0);
    int64_t of = f->other != NULL ? weir_get_i64(o, f->other, 0) : 0;
    char money[WEIR_MONEY_SIZE];
    const char *own = weir_get_text(o, "currency");
    currency = own != NULL && own[0] != '\0' ? own : currency;
    switch (f->kind) {
    case WEIR_FIELD_INT:
        weir_str_add_i64(s, v);
        break;
    case WEIR_FIELD_OF:
        weir_str_addf(s, "%" PRId64 "/%" PRId64, v, of);
        break;
    case WEIR_FIELD_MONEY:
        weir_out_money(s, v, currency);
        break;
    case WEIR_FIELD_RATE:
        weir_out_rate(s, v, currency);
        break;
    case WEIR_FIELD_MILLI:
        weir_out_milli(s, v);
        break;
    case WEIR_FIELD_MICRO:
        weir_str_adds(s, weir_money_format_short(v, currency, money));
        break;
    case WEIR_FIELD_MILLI_OF:
        weir_out_milli(s, v);
        weir_str_addc(s, '/');
        weir_out_milli(s, of);
        break;
    case WEIR_FIELD_MIB:
        if (v > 0) {
            weir_out_mib(s, (uint64_t)v);
        }
        break;
    case WEIR_FIELD_TEXT:
    case WEIR_FIELD_STATE:
    case WEIR_FIELD_TIME:
    case WEIR_FIELD_SPAN:
    case WEIR_FIELD_GPUS:
    case WEIR_FIELD_FN:
        break;
    }
}

static void add_cell(struct weir_table *t, const json_t *o, const struct weir_field *f, const char *currency,
                     struct weir_wall now)
{
    char buf[64];
    struct weir_str s = WEIR_STR_INIT(256);
    const char *text = f->key != NULL ? weir_get_text(o, f->key) : NULL;
    switch (f->kind) {
    case WEIR_FIELD_TEXT:
        weir_table_cell(t, text);
        return;
    case WEIR_FIELD_STATE:
        weir_table_cell_styled(t, weir_style_of_state(text), text);
        return;
    case WEIR_FIELD_TIME:
        weir_table_cell(t, time_text(o, f->key, buf));
        return;
    case WEIR_FIELD_FN:
        f->cell(t, o);
        return;
    case WEIR_FIELD_GPUS:
        weir_str_addf(&s, "%s:%" PRId64, text != NULL ? text : "none", weir_get_i64(o, f->other, 0));
        break;
    case WEIR_FIELD_SPAN:
        add_span(&s, o, f, now);
        break;
    case WEIR_FIELD_INT:
    case WEIR_FIELD_OF:
    case WEIR_FIELD_MONEY:
    case WEIR_FIELD_RATE:
    case WEIR_FIELD_MILLI:
    case WEIR_FIELD_MICRO:
    case WEIR_FIELD_MILLI_OF:
    case WEIR_FIELD_MIB:
        if (json_is_integer(json_object_get(o, f->key))) {
            add_number(&s, o, f, currency);
        }
        break;
    }
    weir_table_cell(t, weir_str_cstr(&s));
    weir_str_release(&s);
}

static bool is_right(enum weir_field_kind kind)
{
    return kind == WEIR_FIELD_INT || kind == WEIR_FIELD_OF || kind == WEIR_FIELD_SPAN || kind == WEIR_FIELD_MONEY ||
           kind == WEIR_FIELD_RATE || kind == WEIR_FIELD_MILLI || kind == WEIR_FIELD_MICRO || kind == WEIR_FIELD_MILLI_OF || kind == WEIR_FIELD_MIB;
}

struct weir_table *weir_fields_table(const struct weir_field *field, size_t n, const json_t *items,
                                     const char *currency)
{
    struct weir_column *column = weir_calloc(n, sizeof *column);
    for (size_t i = 0; i < n; i++) {
        column[i] = (struct weir_column){field[i].title, field[i].right || is_right(field[i].kind), field[i].shrink, .drop = field[i].drop};
    }
    struct weir_table *t = weir_table_new(column, n);
    free(column);
    struct weir_wall now = weir_clock_wall(&weir_clock_os);
    size_t i;
    json_t *o;
    json_array_foreach(items, i, o)
    {
        for (size_t c = 0; c < n; c++) {
            add_cell(t, o, &field[c], currency, now);
        }
    }
    return t;
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
