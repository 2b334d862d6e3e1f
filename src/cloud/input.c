/* SPDX-License-Identifier: Apache-2.0 */

#include "cloud/input.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/parse.h"
#include "cloud/csv.h"

enum { READ_BYTES = 1 << 16, FIELDS_MAX = 256, RECORD_LINES_MAX = 1000 };

struct weir_input {
    char *path;
    gzFile file;
    uint64_t file_bytes; /* as it lies on the disk */
    char *buf; /* what was read: bytes from..to are not used up yet */
    size_t size;
    size_t from;
    size_t to;
    uint64_t line_number; /* of the record's first line */
    uint64_t more_lines;  /* that the record has behind it */
    size_t line_from; /* where the line that was read last begins */
    size_t to_skip; /* length of the line that was looked at, with its end */
    char separator; /* of a table; 0: a log */
    char comment;
    const struct weir_input_column *column;
    size_t n_columns;
    size_t at[WEIR_INPUT_COLUMNS_MAX]; /* where the column stands; SIZE_MAX: absent */
    struct weir_csv csv;
    const struct weir_sv *field; /* of the record */
    size_t n_fields;
    struct weir_sv word[FIELDS_MAX]; /* of a log or a table without quotes */
    size_t n_titles; /* fields of the header of such a table */
};

void weir_input_free(struct weir_input *in)
{
    if (in == NULL) {
        return;
    }
    if (in->file != NULL) {
        gzclose_r(in->file);
    }
    weir_csv_release(&in->csv);
    free(in->buf);
    free(in->path);
    free(in);
}

void weir_input_freep(struct weir_input **in)
{
    weir_input_free(*in);
}

int weir_input_fail(const struct weir_input *in, int code, struct weir_err *err)
{
    return weir_fail_prefix(err, code, "%s:%llu", in->path, (unsigned long long)in->line_number);
}

/* Fills the buffer behind what it holds: 1, 0 at the end of the file, or a negative code. */
static int read_more(struct weir_input *in, struct weir_err *err)
{
    if (in->from > 0) {
        memmove(in->buf, in->buf + in->from, in->to - in->from);
        in->to -= in->from;
        in->from = 0;
    }
    if (in->to == in->size) {
        in->size = in->size == 0 ? READ_BYTES : in->size * 2;
        in->buf = weir_realloc(in->buf, in->size, 1);
    }
    int got = gzread(in->file, in->buf + in->to, (unsigned)(in->size - in->to));
    int code = Z_OK;
    const char *why = gzerror(in->file, &code);
    if (got > 0) {
        in->to += (size_t)got;
        return 1;
    }
    if (code == Z_OK || code == Z_STREAM_END) {
        return 0;
    }
    in->line_number++;
    weir_fail(err, -WEIR_ECORRUPT, "cannot be read: %s",
              code == Z_ERRNO ? "input/output error" : code == Z_BUF_ERROR || *why == '\0' ? "the compressed file is cut off" : why);
    return weir_input_fail(in, -WEIR_ECORRUPT, err);
}

/*
 * The next line without its end: 1, 0 at the end, or a negative code. Borrowed until the next. seen: bytes of it in which no end
 * is looked for.
 */
static int read_line_behind(struct weir_input *in, size_t seen, struct weir_sv *ret, struct weir_err *err)
{
    const char *end = NULL;
    while (end == NULL && seen <= WEIR_INPUT_LINE_BYTES_MAX) {
        if (in->to > in->from + seen) {
            end = memchr(in->buf + in->from + seen, '\n', in->to - in->from - seen);
        }
        seen = end != NULL ? (size_t)(end - in->buf) - in->from : in->to - in->from;
        if (end == NULL) {
            int r = read_more(in, err);
            if (r < 0 || (r == 0 && seen == 0)) {
                return r;
            }
            if (r == 0) {
                break; /* the last line has no end */
            }
        }
    }
    in->line_number += 1 + in->more_lines;
    in->more_lines = 0;
    if (seen > WEIR_INPUT_LINE_BYTES_MAX) {
        weir_fail(err, -WEIR_ELIMIT, "the line is longer than %d bytes", WEIR_INPUT_LINE_BYTES_MAX);
        return weir_input_fail(in, -WEIR_ELIMIT, err);
    }
    *ret = (struct weir_sv){in->buf + in->from, seen};
    in->line_from = in->from;
    in->from += seen + (end != NULL ? 1 : 0);
    if (ret->n > 0 && ret->p[ret->n - 1] == '\r') {
        ret->n--;
    }
    return 1;
}

static int read_line(struct weir_input *in, struct weir_sv *ret, struct weir_err *err)
{
    return read_line_behind(in, 0, ret, err);
}

int weir_input_open(struct weir_input **ret, const char *path, struct weir_err *err)
{
    struct stat st;
    bool standard = weir_streq(path, "-");
    if (standard ? fstat(STDIN_FILENO, &st) != 0 : stat(path, &st) != 0) {
        return weir_fail(err, weir_error_from_errno(errno), "%s cannot be opened: is the path right?", path);
    }
    if (S_ISDIR(st.st_mode)) {
        return weir_fail(err, -WEIR_EINVAL, "%s is a directory: name a file", path);
    }
    gzFile file = standard ? gzdopen(dup(STDIN_FILENO), "rb") : gzopen(path, "rbe");
    if (file == NULL) {
        return weir_fail(err, weir_error_from_errno(errno), "%s cannot be opened: may it be read?", path);
    }
    gzbuffer(file, READ_BYTES);
    struct weir_input *in = weir_alloc(sizeof *in);
    in->path = weir_strdup(standard ? "standard input" : path);
    in->file = file;
    in->file_bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    *ret = in;
    return 0;
}

/* A byte order mark, as spreadsheets write it, is no part of the first line. */
static struct weir_sv without_mark(const struct weir_input *in, struct weir_sv line)
{
    bool mark = in->line_number == 1 && weir_sv_starts(line, WEIR_SV("\xef\xbb\xbf"));
    return mark ? (struct weir_sv){line.p + 3, line.n - 3} : line;
}

int weir_input_peek(struct weir_input *in, struct weir_sv *ret, struct weir_err *err)
{
    int r;
    while ((r = read_line(in, ret, err)) > 0) {
        *ret = without_mark(in, *ret);
        if (ret->n > 0 && ret->p[0] != '#') {
            in->to_skip = in->from - in->line_from;
            in->from = in->line_from;
            in->line_number--;
            return 1;
        }
    }
    return r;
}

void weir_input_skip(struct weir_input *in)
{
    in->from += in->to_skip;
    in->line_number += in->to_skip > 0;
    in->to_skip = 0;
}

/* ---- tables ---- */

/* Parses one line as a record of comma-separated values: 1, 0 where it says nothing, or a negative code. */
static int parse_csv(struct weir_input *in, struct weir_sv line, struct weir_err *err)
{
    in->csv.text = line;
    in->csv.at = 0;
    int r = weir_csv_next(&in->csv, err);
    in->field = in->csv.field;
    in->n_fields = in->csv.n_fields;
    return r < 0 ? weir_input_fail(in, r, err) : r;
}

static bool is_quote_open(struct weir_sv s)
{
    size_t quotes = 0;
    for (size_t i = 0; i < s.n; i++) {
        quotes += s.p[i] == '"';
    }
    return quotes % 2 != 0;
}

/*
 * A record whose first line ends inside of quotes goes on in the lines behind it: reads as many as close them, and parses it anew. What is
 * not closed by then is an error of the first line.
 */
static int parse_long_csv(struct weir_input *in, struct weir_sv line, struct weir_err *err)
{
    uint64_t first = in->line_number;
    uint64_t more = 0;
    while (is_quote_open(line) && more < RECORD_LINES_MAX) {
        size_t seen = in->from - in->line_from;
        in->from = in->line_from; /* what was read stays in the buffer */
        int r = read_line_behind(in, seen, &line, err);
        if (r < 0) {
            return r;
        }
        if (in->from - in->line_from == seen) {
            break; /* the end of the file */
        }
        more++;
    }
    in->line_number = first;
    if (is_quote_open(line)) {
        weir_fail(err, -WEIR_EINVAL, more < RECORD_LINES_MAX ? "a quoted field is not closed" : "a quoted field is not closed within %d lines",
                  RECORD_LINES_MAX);
        return weir_input_fail(in, -WEIR_EINVAL, err);
    }
    in->more_lines = more;
    return parse_csv(in, line, err);
}

/* The same for a table without quotes. Each line must have as many fields as the header: one that has a separator inside of a value
 * would else be read shifted. */
static int parse_separated(struct weir_input *in, struct weir_sv line, struct weir_err *err)
{
    if (line.n == 0) {
        return 0;
    }
    size_t n = 0;
    int r = 1;
    if (!weir_utf8_is_text(line)) {
        r = weir_fail(err, -WEIR_EINVAL, "the line is not UTF-8 text");
    }
    while (line.p != NULL && n < FIELDS_MAX && r > 0) {
        in->word[n++] = weir_sv_trim(weir_sv_cut(&line, in->separator));
    }
    if (r > 0 && line.p != NULL) {
        r = weir_fail(err, -WEIR_ELIMIT, "more than %d fields", FIELDS_MAX);
    }
    in->n_titles = in->n_titles == 0 ? n : in->n_titles;
    if (r > 0 && n != in->n_titles) {
        r = weir_fail(err, -WEIR_EINVAL, "%zu fields where the first line has %zu: is there a '%c' inside of a name? Leave that column out",
                      n, in->n_titles, in->separator);
    }
    in->field = in->word;
    in->n_fields = n;
    return r < 0 ? weir_input_fail(in, r, err) : r;
}

/* A value that stands behind the last column has come there by a comma too many in front of it: what follows that would be read shifted. */
static int check_width(struct weir_input *in, struct weir_err *err)
{
    in->n_titles = in->n_titles == 0 ? in->n_fields : in->n_titles;
    for (size_t i = in->n_titles; i < in->n_fields; i++) {
        if (in->field[i].n > 0) {
            weir_fail(err, -WEIR_EINVAL, "%zu fields where the first line has %zu: a value with a comma in it is put in quotes", in->n_fields,
                      in->n_titles);
            return weir_input_fail(in, -WEIR_EINVAL, err);
        }
    }
    return 1;
}

static int parse_record(struct weir_input *in, struct weir_sv line, struct weir_err *err)
{
    if (in->separator != ',') {
        return parse_separated(in, line, err);
    }
    int r = parse_csv(in, line, err);
    r = r < 0 && is_quote_open(line) ? parse_long_csv(in, line, err) : r;
    return r > 0 ? check_width(in, err) : r;
}

/* Does a column of that title answer to the name that was asked for? */
static bool answers(const struct weir_input *in, struct weir_sv title, const char *name)
{
    if (!weir_streq(name, "*")) {
        return weir_sv_eq_nocase(title, weir_sv_of(name));
    }
    for (size_t i = 0; i < in->n_columns; i++) {
        if (weir_sv_eq_nocase(title, weir_sv_of(in->column[i].name))) {
            return false;
        }
    }
    return true;
}

static int find_columns(struct weir_input *in, struct weir_err *err)
{
    for (size_t i = 0; i < in->n_columns; i++) {
        in->at[i] = SIZE_MAX;
        for (size_t k = 0; k < in->n_fields && in->at[i] == SIZE_MAX; k++) {
            if (answers(in, in->field[k], in->column[i].name)) {
                in->at[i] = k;
            }
        }
        if (in->at[i] == SIZE_MAX && !in->column[i].optional) {
            WEIR_CLEANUP(weir_str_release) struct weir_str have = WEIR_STR_INIT(256);
            for (size_t k = 0; k < in->n_fields; k++) {
                weir_str_addf(&have, "%s%.*s", k == 0 ? "" : ", ", WEIR_SV_ARG(in->field[k]));
            }
            weir_fail(err, -WEIR_EINVAL, "there is no column '%s'; the columns are: %s", in->column[i].name,
                      weir_str_cstr(&have));
            return weir_input_fail(in, -WEIR_EINVAL, err);
        }
    }
    return 0;
}

int weir_input_is_table(struct weir_input *in, char separator, const struct weir_input_column *column, size_t n,
                            struct weir_err *err)
{
    in->separator = separator;
    in->column = column;
    in->n_columns = n < WEIR_INPUT_COLUMNS_MAX ? n : WEIR_INPUT_COLUMNS_MAX;
    struct weir_sv line;
    int r;
    do {
        r = read_line(in, &line, err);
        if (r == 0) {
            return weir_fail(err, -WEIR_EINVAL, "%s is empty: a first line with the columns' names is expected", in->path);
        }
        r = r < 0 ? r : parse_record(in, without_mark(in, line), err);
    } while (r == 0);
    return r < 0 ? r : find_columns(in, err);
}

int weir_input_table(struct weir_input **ret, const char *path, const struct weir_input_column *column,
                         size_t n, struct weir_err *err)
{
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    int r = weir_input_open(&in, path, err);
    r = r < 0 ? r : weir_input_is_table(in, ',', column, n, err);
    if (r < 0) {
        return r;
    }
    *ret = WEIR_TAKE(in);
    return 0;
}

void weir_input_is_lines(struct weir_input *in)
{
    in->separator = '\n';
    in->n_columns = 1;
    in->at[0] = 0;
}

/* ---- logs ---- */

void weir_input_is_log(struct weir_input *in, char comment)
{
    in->separator = 0;
    in->comment = comment;
}

int weir_input_log(struct weir_input **ret, const char *path, char comment, struct weir_err *err)
{
    int r = weir_input_open(ret, path, err);
    if (r == 0) {
        weir_input_is_log(*ret, comment);
    }
    return r;
}

/* Cuts the line at blanks: 1, 0 where it says nothing, or a negative code. */
static int parse_log(struct weir_input *in, struct weir_sv line, struct weir_err *err)
{
    in->field = in->word;
    in->n_fields = 0;
    if (line.n > 0 && line.p[0] == in->comment) {
        return 0;
    }
    size_t at = 0;
    while (at < line.n && in->n_fields < FIELDS_MAX) {
        while (at < line.n && (line.p[at] == ' ' || line.p[at] == '\t')) {
            at++;
        }
        size_t from = at;
        while (at < line.n && line.p[at] != ' ' && line.p[at] != '\t') {
            at++;
        }
        if (at > from) {
            in->word[in->n_fields++] = (struct weir_sv){line.p + from, at - from};
        }
    }
    if (in->n_fields > 0 && !weir_utf8_is_text(line)) {
        weir_fail(err, -WEIR_EINVAL, "the line is not UTF-8 text");
        return weir_input_fail(in, -WEIR_EINVAL, err);
    }
    return in->n_fields > 0 ? 1 : 0;
}

/* ---- records ---- */

int weir_input_next(struct weir_input *in, struct weir_err *err)
{
    for (;;) {
        struct weir_sv line;
        int r = read_line(in, &line, err);
        if (r <= 0) {
            return r;
        }
        r = in->separator == 0 ? parse_log(in, line, err) : parse_record(in, line, err);
        if (r != 0) {
            return r;
        }
    }
}

size_t weir_input_fields(const struct weir_input *in)
{
    return in->separator == 0 ? in->n_fields : in->n_columns;
}

struct weir_sv weir_input_field(const struct weir_input *in, size_t i)
{
    size_t at = i;
    if (in->separator != 0) {
        at = i < in->n_columns ? in->at[i] : SIZE_MAX;
    }
    return at < in->n_fields ? in->field[at] : (struct weir_sv){0};
}

bool weir_input_has(const struct weir_input *in, size_t i)
{
    return in->separator != 0 && i < in->n_columns && in->at[i] != SIZE_MAX;
}

uint64_t weir_input_line(const struct weir_input *in)
{
    return in->line_number;
}

int weir_input_fail_field(const struct weir_input *in, size_t i, int code, struct weir_err *err)
{
    if (in->separator == 0) {
        weir_fail_prefix(err, code, "field %zu", i + 1);
    } else if (weir_streq(in->column[i].name, "*")) {
        weir_fail_prefix(err, code, "column %zu", in->at[i] + 1);
    } else {
        weir_fail_prefix(err, code, "column '%s'", in->column[i].name);
    }
    return weir_input_fail(in, code, err);
}

int weir_input_i64(const struct weir_input *in, size_t i, int64_t min, int64_t max, int64_t *ret, struct weir_err *err)
{
    struct weir_sv text = weir_input_field(in, i);
    size_t n = text.n;
    while (n > 0 && text.p[n - 1] == '0') {
        n--;
    }
    /* 8.0 is how programs write a whole number of a column that has empty fields, too */
    text.n = n > 1 && n < text.n && text.p[n - 1] == '.' ? n - 1 : text.n;
    int r = weir_parse_i64(text, min, max, ret, err);
    return r < 0 ? weir_input_fail_field(in, i, r, err) : 0;
}

int weir_input_real(const struct weir_input *in, size_t i, double min, double max, double *ret, struct weir_err *err)
{
    int r = weir_parse_real(weir_input_field(in, i), min, max, ret, err);
    return r < 0 ? weir_input_fail_field(in, i, r, err) : 0;
}

int weir_input_units(const struct weir_input *in, size_t i, int64_t max, int64_t unit, int64_t *ret, struct weir_err *err)
{
    struct weir_sv text = weir_input_field(in, i);
    int64_t whole = 0;
    double v = 0;
    /* Nearly all are short whole numbers, for which this is exact and much faster. */
    bool plain = text.n > 0 && text.n < 18;
    for (size_t k = 0; k < text.n && plain; k++) {
        plain = text.p[k] >= '0' && text.p[k] <= '9';
        whole = whole * 10 + (text.p[k] - '0');
    }
    if (plain && whole <= max) {
        *ret = whole * unit;
        return 0;
    }
    int r = weir_parse_real(text, 0, (double)max, &v, err);
    if (r < 0) {
        return weir_input_fail_field(in, i, r, err);
    }
    *ret = llround(v * (double)unit);
    return 0;
}

unsigned weir_input_permille(const struct weir_input *in)
{
    if (in->file_bytes == 0) {
        return 0;
    }
    z_off_t at = gzoffset(in->file);
    return at <= 0 ? 0 : (unsigned)((uint64_t)at >= in->file_bytes ? 1000 : (uint64_t)at * 1000 / in->file_bytes);
}
