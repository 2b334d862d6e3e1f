/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"

enum { CELL_BYTES_MAX = 4096, TEXT_BYTES_MAX = 1 << 20, COLUMN_MIN = 8, GAP = 2 };

struct cell {
    char *text;
    enum weir_style style;
};

struct weir_table {
    struct weir_column *column;
    size_t n_columns;
    WEIR_VEC(struct cell) cells;
};

static const char *const sgr[WEIR_STYLE_MAX] = {
    [WEIR_STYLE_PLAIN] = "",        [WEIR_STYLE_GOOD] = "\033[32m", [WEIR_STYLE_BAD] = "\033[31m",
    [WEIR_STYLE_BUSY] = "\033[36m", [WEIR_STYLE_DIM] = "\033[2m",   [WEIR_STYLE_TITLE] = "\033[1m",
};

struct weir_term weir_term_of(int fd)
{
    struct weir_term t = {0};
    const char *kind = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    if (!isatty(fd) || kind == NULL || weir_streq(kind, "dumb")) {
        return t;
    }
    t.live = true;
    t.colour = no_colour == NULL || no_colour[0] == '\0';
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    uint64_t n = 0;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        t.width = size.ws_col;
    } else if (columns != NULL && weir_parse_u64(weir_sv_of(columns), 20, 1000, &n, NULL) == 0) {
        t.width = (unsigned)n;
    } else {
        t.width = 80;
    }
    return t;
}

struct weir_table *weir_table_new(const struct weir_column *column, size_t n)
{
    struct weir_table *t = weir_alloc(sizeof *t);
    t->column = weir_calloc(n, sizeof *column);
    memcpy(t->column, column, n * sizeof *column);
    t->n_columns = n;
    return t;
}

void weir_table_free(struct weir_table *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->cells.n; i++) {
        free(t->cells.p[i].text);
    }
    weir_vec_release(&t->cells);
    free(t->column);
    free(t);
}

void weir_table_freep(struct weir_table **t)
{
    weir_table_free(*t);
    *t = NULL;
}

void weir_table_cell_styled(struct weir_table *t, enum weir_style style, const char *text)
{
    struct weir_str s = WEIR_STR_INIT(CELL_BYTES_MAX);
    if (text == NULL || text[0] == '\0') {
        weir_str_addc(&s, '-');
        style = WEIR_STYLE_DIM;
    } else {
        weir_out_clean(&s, weir_sv_of(text), false);
    }
    weir_vec_push(&t->cells, (struct cell){weir_str_take(&s), style});
}

void weir_table_cell(struct weir_table *t, const char *text)
{
    weir_table_cell_styled(t, WEIR_STYLE_PLAIN, text);
}

void weir_table_cellf(struct weir_table *t, const char *fmt, ...)
{
    char buf[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    weir_table_cell(t, buf);
}

size_t weir_table_rows(const struct weir_table *t)
{
    return t->cells.n / t->n_columns;
}

/* The C library knows how wide characters are, by a locale of UTF-8 only; the program's own stays "C". */
static size_t width_of(wchar_t c)
{
    static locale_t utf8;
    if (utf8 == (locale_t)0) {
        utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    }
    if (utf8 == (locale_t)0) {
        return 1;
    }
    locale_t before = uselocale(utf8);
    int w = wcwidth(c);
    (void)uselocale(before);
    return w < 0 ? 1 : (size_t)w;
}

/* The character at the beginning, which is not empty: how many bytes it has, and columns. A broken one is a byte in a column. */
static size_t next_char(struct weir_sv text, size_t *ret_columns)
{
    const unsigned char *p = (const unsigned char *)text.p;
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    *ret_columns = 1;
    if (n == 1 || n > text.n) {
        return 1;
    }
    uint32_t c = p[0] & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0U) != 0x80U) {
            return 1;
        }
        c = c << 6 | (p[i] & 0x3fU);
    }
    *ret_columns = width_of((wchar_t)c);
    return n;
}

size_t weir_out_columns(struct weir_sv text)
{
    size_t n = 0;
    size_t width;
    for (size_t i = 0; i < text.n; n += width) {
        i += next_char((struct weir_sv){text.p + i, text.n - i}, &width);
    }
    return n;
}

struct weir_sv weir_out_prefix(struct weir_sv text, size_t columns)
{
    size_t i = 0;
    size_t width;
    while (i < text.n) {
        size_t n = next_char((struct weir_sv){text.p + i, text.n - i}, &width);
        if (width > columns) {
            break;
        }
        columns -= width;
        i += n;
    }
    return (struct weir_sv){text.p, i};
}

static void add_spaces(struct weir_str *out, size_t n);

/* Where the text of a line stands: behind its last gap of two blanks or more, else at its first character. */
static size_t hang_of(struct weir_sv line, size_t width)
{
    size_t first = 0;
    while (first < line.n && line.p[first] == ' ') {
        first++;
    }
    size_t at = first;
    for (size_t i = first; i + 2 < line.n; i++) {
        if (line.p[i] == ' ' && line.p[i + 1] == ' ' && line.p[i + 2] != ' ') {
            at = i + 2;
        }
    }
    return at <= width / 2 ? at : first;
}

static void wrap_line(struct weir_str *out, struct weir_sv line, size_t width)
{
    size_t hang = hang_of(line, width);
    size_t indent = 0;
    while (indent + weir_out_columns(line) > width) {
        size_t cut = weir_out_prefix(line, width - indent + 1).n;
        size_t least = indent == 0 ? hang : 0;
        while (cut > least && line.p[cut - 1] != ' ') {
            cut--;
        }
        if (cut <= least) { /* one long word: left to the terminal */
            break;
        }
        struct weir_sv head = {line.p, cut};
        while (head.n > 0 && head.p[head.n - 1] == ' ') {
            head.n--;
        }
        weir_str_add(out, head.p, head.n);
        weir_str_addc(out, '\n');
        add_spaces(out, hang);
        while (cut < line.n && line.p[cut] == ' ') {
            cut++;
        }
        line = (struct weir_sv){line.p + cut, line.n - cut};
        indent = hang;
    }
    weir_str_add(out, line.p, line.n);
}

void weir_out_wrap(struct weir_str *out, struct weir_sv text, size_t width)
{
    while (text.n > 0) {
        struct weir_sv line = weir_sv_cut(&text, '\n');
        if (width == 0) {
            weir_str_add(out, line.p, line.n);
        } else {
            wrap_line(out, line, width);
        }
        if (text.p != NULL) {
            weir_str_addc(out, '\n');
        }
    }
}

/* Lines that are not indented and follow each other are one paragraph. */
static void join_lines(struct weir_str *out, struct weir_sv text)
{
    bool joins = false;
    while (text.n > 0) {
        struct weir_sv line = weir_sv_cut(&text, '\n');
        bool plain = line.n > 0 && line.p[0] != ' ';
        if (out->n > 0) {
            weir_str_addc(out, joins && plain ? ' ' : '\n');
        }
        weir_str_add(out, line.p, line.n);
        joins = plain;
    }
    weir_str_addc(out, '\n');
}

void weir_out_print(struct weir_sv text, FILE *stream)
{
    unsigned width = weir_term_of(fileno(stream)).width;
    struct weir_str joined = WEIR_STR_INIT(TEXT_BYTES_MAX);
    struct weir_str out = WEIR_STR_INIT(TEXT_BYTES_MAX);
    if (width > 0) {
        join_lines(&joined, text);
        weir_out_wrap(&out, weir_str_sv(&joined), width);
    } else {
        weir_str_add(&out, text.p, text.n);
    }
    (void)fputs(weir_str_cstr(&out), stream);
    weir_str_release(&joined);
    weir_str_release(&out);
}

static void add_spaces(struct weir_str *out, size_t n)
{
    while (n-- > 0) {
        weir_str_addc(out, ' ');
    }
}

/* Where in the line a cell stands, and how much of it is seen. */
struct place {
    size_t width;
    bool is_last;
    size_t left; /* columns that the terminal has from here on; SIZE_MAX: no limit */
};

static void add_cell(struct weir_str *out, const struct weir_term *term, const char *text, enum weir_style style,
                     bool right, struct place place)
{
    struct weir_sv s = weir_sv_of(text);
    size_t columns = weir_out_columns(s);
    size_t width = place.width < place.left ? place.width : place.left;
    if (width == 0) {
        return;
    }
    bool cut = columns > width;
    if (cut) {
        s = weir_out_prefix(s, width - 1);
        columns = weir_out_columns(s) + 1; /* less than the width where the next character is a wide one */
    }
    if (right) {
        add_spaces(out, width - columns);
    }
    weir_str_adds(out, weir_style_begin(term, style));
    weir_str_add(out, s.p, s.n);
    if (cut) {
        weir_str_adds(out, "~");
    }
    weir_str_adds(out, weir_style_end(term, style));
    if (!place.is_last && place.left > width + GAP) {
        add_spaces(out, GAP + (right ? 0 : width - columns));
    }
}

/* A width of 0 stands for a column that is left out. */
static size_t total_width(const size_t *width, size_t n)
{
    size_t total = 0;
    for (size_t c = 0; c < n; c++) {
        total += width[c] > 0 ? width[c] + GAP : 0;
    }
    return total > GAP ? total - GAP : total;
}

/* How much a column can give. */
static size_t slack_of(const struct weir_column *column, size_t width)
{
    size_t min = column->min > 0 ? column->min : COLUMN_MIN;
    return column->shrink && width > min ? width - min : 0;
}

static size_t slack(const struct weir_table *t, const size_t *width)
{
    size_t sum = 0;
    for (size_t c = 0; c < t->n_columns; c++) {
        sum += slack_of(&t->column[c], width[c]);
    }
    return sum;
}

/* Leaves out columns, the most dispensable first, until shrinking is enough. */
static void drop(const struct weir_table *t, size_t *width, size_t terminal)
{
    while (total_width(width, t->n_columns) > terminal + slack(t, width)) {
        size_t first = SIZE_MAX;
        for (size_t c = 0; c < t->n_columns; c++) {
            if (t->column[c].drop > 0 && width[c] > 0 && (first == SIZE_MAX || t->column[c].drop > t->column[first].drop)) {
                first = c;
            }
        }
        if (first == SIZE_MAX) {
            return;
        }
        width[first] = 0;
    }
}

/* Takes columns from the widest shrinkable cell width until the table fits. */
static void shrink(const struct weir_table *t, size_t *width, size_t terminal)
{
    for (size_t total = total_width(width, t->n_columns); total > terminal; total--) {
        size_t widest = SIZE_MAX;
        for (size_t c = 0; c < t->n_columns; c++) {
            if (slack_of(&t->column[c], width[c]) > 0 && (widest == SIZE_MAX || width[c] > width[widest])) {
                widest = c;
            }
        }
        if (widest == SIZE_MAX) {
            return;
        }
        width[widest]--;
    }
}

/* cell NULL: the titles. */
static void add_row(struct weir_str *out, const struct weir_table *t, const struct weir_term *term, const size_t *width,
                    const struct cell *cell)
{
    size_t used = 0;
    size_t last = 0;
    for (size_t c = 0; c < t->n_columns; c++) {
        last = width[c] > 0 ? c : last;
    }
    for (size_t c = 0; c < t->n_columns; c++) {
        size_t left = term->width == 0 ? SIZE_MAX : term->width > used ? term->width - used : 0;
        if (width[c] > 0 && left > 0) {
            add_cell(out, term, cell != NULL ? cell[c].text : t->column[c].title,
                     cell != NULL ? cell[c].style : WEIR_STYLE_TITLE, t->column[c].right,
                     (struct place){width[c], c == last, left});
        }
        used += width[c] > 0 ? width[c] + GAP : 0;
    }
    weir_str_addc(out, '\n');
}

void weir_table_render(const struct weir_table *t, const struct weir_term *term, struct weir_str *out)
{
    size_t n = t->n_columns;
    WEIR_ASSERT(n > 0 && t->cells.n % n == 0);
    size_t *width = weir_calloc(n, sizeof *width);
    for (size_t c = 0; c < n; c++) {
        width[c] = weir_out_columns(weir_sv_of(t->column[c].title));
    }
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t w = weir_out_columns(weir_sv_of(t->cells.p[i].text));
        width[i % n] = w > width[i % n] ? w : width[i % n];
    }
    if (term->width > 0) {
        drop(t, width, term->width);
        shrink(t, width, term->width);
    }
    add_row(out, t, term, width, NULL);
    for (size_t i = 0; i < t->cells.n; i += n) {
        add_row(out, t, term, width, &t->cells.p[i]);
    }
    free(width);
}

void weir_table_print(const struct weir_table *t, FILE *stream)
{
    struct weir_term term = weir_term_of(fileno(stream));
    struct weir_str out = WEIR_STR_INIT((size_t)1 << 30);
    weir_table_render(t, &term, &out);
    (void)fwrite(weir_str_cstr(&out), 1, out.n, stream);
    weir_str_release(&out);
}

void weir_out_clean(struct weir_str *out, struct weir_sv text, bool keep_newlines)
{
    size_t i = 0;
    while (i < text.n) {
        unsigned char c = (unsigned char)text.p[i];
        size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        if (c == '\n' && keep_newlines) {
            weir_str_addc(out, '\n');
        } else if (c == '\n' || c == '\t') {
            weir_str_addc(out, ' ');
        } else if (i + n <= text.n && weir_utf8_is_text((struct weir_sv){text.p + i, n}) &&
                   !(c == 0xc2 && (unsigned char)text.p[i + 1] < 0xa0)) {
            /* U+0080..U+009F are control characters too: some terminals obey them. */
            weir_str_add(out, text.p + i, n);
            i += n;
            continue;
        } else {
            weir_str_addc(out, '?');
        }
        i++;
    }
}

const char *weir_style_begin(const struct weir_term *term, enum weir_style style)
{
    return term->colour ? sgr[style] : "";
}

const char *weir_style_end(const struct weir_term *term, enum weir_style style)
{
    return term->colour && style != WEIR_STYLE_PLAIN ? "\033[0m" : "";
}

enum weir_style weir_style_of_state(const char *state)
{
    static const struct {
        const char *state;
        enum weir_style style;
    } table[] = {
        {"succeeded", WEIR_STYLE_GOOD}, {"up", WEIR_STYLE_GOOD},       {"ready", WEIR_STYLE_GOOD},
        {"failed", WEIR_STYLE_BAD},     {"lost", WEIR_STYLE_BAD},      {"reclaimed", WEIR_STYLE_BAD},
        {"running", WEIR_STYLE_BUSY},   {"starting", WEIR_STYLE_BUSY}, {"booting", WEIR_STYLE_BUSY},
        {"stopping", WEIR_STYLE_BUSY},  {"cancelled", WEIR_STYLE_DIM}, {"ended", WEIR_STYLE_DIM},
        {"gone", WEIR_STYLE_DIM},       {"draining", WEIR_STYLE_DIM},
    };
    for (size_t i = 0; state != NULL && i < WEIR_ARRAY_LEN(table); i++) {
        if (weir_streq(table[i].state, state)) {
            return table[i].style;
        }
    }
    return WEIR_STYLE_PLAIN;
}

void weir_out_money(struct weir_str *out, int64_t micro, const char *currency)
{
    char buf[WEIR_MONEY_SIZE];
    weir_str_addf(out, "%s ", weir_money_format_short(micro, currency, buf));
    weir_out_clean(out, weir_sv_of(currency), false);
}

void weir_out_rate(struct weir_str *out, int64_t micro_per_hour, const char *currency)
{
    weir_out_money(out, micro_per_hour, currency);
    weir_str_adds(out, "/h");
}

void weir_out_mib(struct weir_str *out, uint64_t mib)
{
    if (mib >= 1024) {
        uint64_t tenths = (mib * 10 + 512) / 1024;
        weir_str_add_u64(out, tenths / 10);
        if (tenths % 10 != 0 && tenths < 1000) {
            weir_str_addf(out, ".%u", (unsigned)(tenths % 10));
        }
        weir_str_adds(out, " GiB");
        return;
    }
    weir_str_add_u64(out, mib);
    weir_str_adds(out, " MiB");
}

void weir_out_kwh(struct weir_str *out, int64_t mj)
{
    char buf[WEIR_MONEY_SIZE];
    weir_str_adds(out, weir_money_format(weir_mul_div_sat(mj, 1, 3600), buf));
}

void weir_out_kg(struct weir_str *out, int64_t ug)
{
    char buf[WEIR_MONEY_SIZE];
    weir_str_adds(out, weir_money_format(weir_mul_div_sat(ug, 1, 1000), buf));
}

void weir_out_milli(struct weir_str *out, int64_t milli)
{
    if (milli < 0) {
        weir_str_addc(out, '-');
        milli = milli == INT64_MIN ? INT64_MAX : -milli;
    }
    weir_str_add_i64(out, milli / 1000);
    unsigned rest = (unsigned)(milli % 1000);
    if (rest != 0) {
        char buf[8];
        int n = snprintf(buf, sizeof buf, ".%03u", rest);
        while (n > 0 && buf[n - 1] == '0') {
            buf[--n] = '\0';
        }
        weir_str_adds(out, buf);
    }
}

void weir_talk(const char *fmt, ...)
{
    char buf[1024];
    struct weir_str out = WEIR_STR_INIT(4096);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    weir_str_adds(&out, "weir: ");
    weir_out_clean(&out, weir_sv_of(buf), true);
    weir_str_addc(&out, '\n');
    (void)fwrite(weir_str_cstr(&out), 1, out.n, stderr);
    weir_str_release(&out);
}
