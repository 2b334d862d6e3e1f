/* SPDX-License-Identifier: Apache-2.0 */
/* The reader walks the text once; a bad record costs its line only. */

#include "cloud/csv.h"

void weir_csv_init(struct weir_csv *c, struct weir_sv text)
{
    *c = (struct weir_csv){.text = text, .line = 1};
    if (weir_sv_starts(text, WEIR_SV("\xef\xbb\xbf"))) {
        c->at = 3; /* the byte order mark that some spreadsheets write */
    }
}

void weir_csv_release(struct weir_csv *c)
{
    weir_arena_release(&c->scratch);
}

static void skip_line(struct weir_csv *c)
{
    const char *nl = memchr(c->text.p + c->at, '\n', c->text.n - c->at);
    c->at = nl == NULL ? c->text.n : (size_t)(nl - c->text.p) + 1;
    c->line++;
}

static bool ends_line_at(struct weir_sv s, size_t i)
{
    return s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n';
}

/* The quoted field that starts at c->at; in scratch doubled quotes become single ones, and its lines end with a line feed alone. */
static int quoted_field(struct weir_csv *c, struct weir_sv *ret, struct weir_err *err)
{
    size_t start = ++c->at;
    size_t dropped = 0;
    uint32_t lines = 0;
    for (;;) {
        if (c->at >= c->text.n || c->at - start > WEIR_CSV_RECORD_BYTES_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "a quoted field is not closed");
        }
        char ch = c->text.p[c->at];
        if (ch == '\n') {
            lines++;
        }
        if (ch == '"') {
            if (c->at + 1 >= c->text.n || c->text.p[c->at + 1] != '"') {
                break;
            }
            dropped++;
            c->at++;
        }
        dropped += ends_line_at(c->text, c->at);
        c->at++;
    }
    struct weir_sv raw = {c->text.p + start, c->at - start};
    c->at++;
    c->line += lines;
    if (dropped == 0) {
        *ret = raw;
        return 0;
    }
    char *p = weir_arena_strndup(&c->scratch, raw.p, raw.n);
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        i += ends_line_at(raw, i);
        p[n++] = raw.p[i];
        i += raw.p[i] == '"';
    }
    *ret = (struct weir_sv){p, n};
    return 0;
}

static struct weir_sv plain_field(struct weir_csv *c)
{
    size_t start = c->at;
    while (c->at < c->text.n && c->text.p[c->at] != ',' && c->text.p[c->at] != '\n') {
        c->at++;
    }
    return weir_sv_trim((struct weir_sv){c->text.p + start, c->at - start});
}

static int read_record(struct weir_csv *c, struct weir_err *err)
{
    size_t start = c->at;
    for (;;) {
        struct weir_sv field;
        bool quoted = c->at < c->text.n && c->text.p[c->at] == '"';
        if (quoted) {
            int r = quoted_field(c, &field, err);
            if (r < 0) {
                return r;
            }
            if (c->at < c->text.n && c->text.p[c->at] == '\r') {
                c->at++;
            }
            if (c->at < c->text.n && c->text.p[c->at] != ',' && c->text.p[c->at] != '\n') {
                return weir_fail(err, -WEIR_EINVAL, "text follows a closing quote in field %zu", c->n_fields + 1);
            }
        } else {
            field = plain_field(c);
        }
        if (c->at - start > WEIR_CSV_RECORD_BYTES_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "the record is longer than %d bytes", WEIR_CSV_RECORD_BYTES_MAX);
        }
        if (!weir_utf8_is_text(field)) {
            return weir_fail(err, -WEIR_EINVAL, "field %zu is not UTF-8 text", c->n_fields + 1);
        }
        if (c->n_fields == WEIR_CSV_FIELDS_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "more than %d fields", WEIR_CSV_FIELDS_MAX);
        }
        c->field[c->n_fields++] = field;
        if (c->at >= c->text.n) {
            return 1;
        }
        if (c->text.p[c->at++] == '\n') {
            c->line++;
            return 1;
        }
    }
}

int weir_csv_next(struct weir_csv *c, struct weir_err *err)
{
    weir_arena_reset(&c->scratch);
    c->n_fields = 0;
    while (c->at < c->text.n) {
        char ch = c->text.p[c->at];
        bool empty = ch == '\n' || (ch == '\r' && c->at + 1 < c->text.n && c->text.p[c->at + 1] == '\n');
        if (ch != '#' && !empty) {
            break;
        }
        skip_line(c);
    }
    if (c->at >= c->text.n) {
        return 0;
    }
    size_t start = c->at;
    c->record_line = c->line;
    int r = read_record(c, err);
    if (r < 0) {
        c->at = start;
        c->line = c->record_line;
        skip_line(c);
    }
    return r;
}

void weir_csv_write_field(struct weir_str *out, struct weir_sv field)
{
    bool quote = field.n > 0 && field.p[0] == '#';
    for (size_t i = 0; i < field.n; i++) {
        char ch = field.p[i];
        quote = quote || ch == ',' || ch == '"' || ch == '\n' || ch == '\r';
    }
    if (!quote) {
        weir_str_add(out, field.p, field.n);
        return;
    }
    weir_str_addc(out, '"');
    for (size_t i = 0; i < field.n; i++) {
        if (field.p[i] == '"') {
            weir_str_addc(out, '"');
        }
        weir_str_addc(out, field.p[i]);
    }
    weir_str_addc(out, '"');
}
