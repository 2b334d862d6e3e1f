/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a person sees: tables, colours, money, times. Colours and in-place redrawing only where the
 * stream is a terminal; NO_COLOR is honoured. Text that came over the network passes through
 * weir_out_clean, so that no control character of it reaches the terminal.
 */

#include <stdio.h>

#include "base/money.h"
#include "base/str.h"
#include "base/wtime.h"

enum weir_style {
    WEIR_STYLE_PLAIN,
    WEIR_STYLE_GOOD,
    WEIR_STYLE_BAD,
    WEIR_STYLE_BUSY,
    WEIR_STYLE_DIM,
    WEIR_STYLE_TITLE,
    WEIR_STYLE_MAX,
};

struct weir_term {
    bool colour;
    bool live;      /* a terminal that can be redrawn */
    unsigned width; /* columns; 0: no limit */
};

/* What the stream behind the descriptor can do. Reads NO_COLOR, TERM and COLUMNS. */
struct weir_term weir_term_of(int fd);

struct weir_column {
    const char *title;
    bool right;  /* numbers */
    bool shrink; /* gives way first where the terminal is narrow */
    unsigned min;  /* it keeps so many columns when it shrinks; 0: 8 */
    unsigned drop; /* left out where shrinking is not enough, the highest first; 0: never */
};

struct weir_table;
/* The columns are copied, their titles borrowed. Never NULL. */
struct weir_table *weir_table_new(const struct weir_column *column, size_t n);
void weir_table_free(struct weir_table *t);
void weir_table_freep(struct weir_table **t);
/* The next cell, row by row; NULL or "" shows as "-". Copied and cleaned. */
void weir_table_cell(struct weir_table *t, const char *text);
void weir_table_cell_styled(struct weir_table *t, enum weir_style style, const char *text);
void weir_table_cellf(struct weir_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t weir_table_rows(const struct weir_table *t);
/*
 * Header and rows, columns two spaces apart, no spaces at line ends. Where the terminal's width is known, columns
 * shrink, then are left out, then lines are cut until no line is wider.
 */
void weir_table_render(const struct weir_table *t, const struct weir_term *term, struct weir_str *out);
/* Renders to a stream, as wide as its terminal. */
void weir_table_print(const struct weir_table *t, FILE *stream);

/* Adds text with control characters and broken UTF-8 replaced by '?'; newlines are kept where asked. */
void weir_out_clean(struct weir_str *out, struct weir_sv text, bool keep_newlines);
/* Columns on screen: two for wide characters, none for what combines with the one before. */
size_t weir_out_columns(struct weir_sv text);
/* As much of the beginning as stands in so many columns. */
struct weir_sv weir_out_prefix(struct weir_sv text, size_t columns);
/* Adds text with lines of at most width columns (0: as it is), broken at blanks. What is broken off stands under the line's last
 * column of text: under its beginning, or behind a gap of two blanks. */
void weir_out_wrap(struct weir_str *out, struct weir_sv text, size_t width);
/* Writes text to a stream; on a terminal, lines that are not indented and follow each other are filled to its width. */
void weir_out_print(struct weir_sv text, FILE *stream);
/* Escape sequence that begins the style, "" without colours. */
const char *weir_style_begin(const struct weir_term *term, enum weir_style style);
const char *weir_style_end(const struct weir_term *term, enum weir_style style);
enum weir_style weir_style_of_state(const char *state);

/* "12.35 USD" and "2.74 USD/h". */
void weir_out_money(struct weir_str *out, int64_t micro, const char *currency);
void weir_out_rate(struct weir_str *out, int64_t micro_per_hour, const char *currency);
/* "64 GiB", "512 MiB". */
void weir_out_mib(struct weir_str *out, uint64_t mib);
/* "16", "0.5": thousandths without useless zeros. */
void weir_out_milli(struct weir_str *out, int64_t milli);
/* Millijoules in kilowatt-hours, and micrograms in kilograms: to the sixth place, without a unit. */
void weir_out_kwh(struct weir_str *out, int64_t mj);
void weir_out_kg(struct weir_str *out, int64_t ug);

/* Talk: one line on standard error, "weir: ..." */
void weir_talk(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
