/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Records of a text file, one a line, read as a stream: plain or gzip, of any length. A table has a
 * header line that names its columns, and the reader finds those that are asked for in whatever order
 * they stand; quoted fields may go over several lines. A log has no header and is cut at blanks. Every error names file, line and
 * column; of a record over several lines the first.
 *
 * A file whose kind is known is opened by weir_input_table or weir_input_log; of one whose kind is to be found out the
 * first line is looked at, and then it is said what it is.
 */

#include "base/err.h"
#include "base/str.h"
#include "base/wtime.h"

enum {
    WEIR_INPUT_COLUMNS_MAX = 32, /* that one reader may ask for */
    WEIR_INPUT_LINE_BYTES_MAX = 1 << 20,
};

struct weir_input;

/* A column that the reader of a table wants. The name "*" stands for the first one that no other name asks for. */
struct weir_input_column {
    const char *name;
    bool optional; /* absent: its field is empty */
};

/*
 * Opens a table. The columns are borrowed, at most WEIR_INPUT_COLUMNS_MAX. Errors: -WEIR_ENOTFOUND, -WEIR_EIO,
 * -WEIR_EINVAL (a column is missing: the message lists those that there are).
 */
int weir_input_table(struct weir_input **ret, const char *path, const struct weir_input_column *column,
                         size_t n, struct weir_err *err);
/* Opens a log of blank-separated fields in which lines that begin with comment say nothing. */
int weir_input_log(struct weir_input **ret, const char *path, char comment, struct weir_err *err);

/* Opens without saying what it is; "-" is the standard input. Errors: -WEIR_ENOTFOUND, -WEIR_EIO. */
int weir_input_open(struct weir_input **ret, const char *path, struct weir_err *err);
/*
 * Looks at the first line that is neither empty nor a remark ('#') without using it up: 1, 0 where there is none, or a
 * negative code. Only before anything else was read. Borrowed until the next call.
 */
int weir_input_peek(struct weir_input *in, struct weir_sv *ret, struct weir_err *err);
/* Uses up the line that was looked at. */
void weir_input_skip(struct weir_input *in);
/* It is a table: reads the header, as weir_input_table does. Fields stand between commas, and quotes are understood; or
 * between other separators, and are what stands there. */
int weir_input_is_table(struct weir_input *in, char separator, const struct weir_input_column *column, size_t n,
                            struct weir_err *err);
/* It is a log. */
void weir_input_is_log(struct weir_input *in, char comment);
/* Each line is a record of one field: the whole of it. */
void weir_input_is_lines(struct weir_input *in);
void weir_input_free(struct weir_input *in);
void weir_input_freep(struct weir_input **in);

/* 1: a record stands in the reader until the next call; 0: the end; or a negative code. */
int weir_input_next(struct weir_input *in, struct weir_err *err);

/* The field of column i of those asked for (before the first record its title), or the i-th of a log's line; empty where there is none. Borrowed. */
struct weir_sv weir_input_field(const struct weir_input *in, size_t i);
size_t weir_input_fields(const struct weir_input *in);
/* Does the table have column i of those asked for? */
bool weir_input_has(const struct weir_input *in, size_t i);
/* The field as a number; messages as everywhere. */
int weir_input_i64(const struct weir_input *in, size_t i, int64_t min, int64_t max, int64_t *ret, struct weir_err *err);
int weir_input_real(const struct weir_input *in, size_t i, double min, double max, double *ret, struct weir_err *err);
/* The field, a number of 0..max with or without fraction, times unit, rounded to a whole number: hours to microseconds. max * unit
 * must be below 2^63. */
int weir_input_units(const struct weir_input *in, size_t i, int64_t max, int64_t unit, int64_t *ret, struct weir_err *err);
/* Number of the record's line, from 1. */
uint64_t weir_input_line(const struct weir_input *in);
/* Puts the column's name as well as file and line before what err says. Returns code. */
int weir_input_fail_field(const struct weir_input *in, size_t i, int code, struct weir_err *err);
/* Puts "FILE:LINE: " before what err says; for the caller's own checks. Returns code. */
int weir_input_fail(const struct weir_input *in, int code, struct weir_err *err);
/* How much of the file has been read, for progress: 0..1000; 0 where the size is not known. */
unsigned weir_input_permille(const struct weir_input *in);
