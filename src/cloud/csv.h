/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Comma-separated values as spreadsheets and pandas write them: a field may stand in double quotes,
 * then commas and line ends are part of it and a quote is written twice. Lines that start with '#'
 * and empty lines are passed over. Nothing is allocated beyond one bounded record.
 */

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    WEIR_CSV_FIELDS_MAX = 256,
    WEIR_CSV_RECORD_BYTES_MAX = 1 << 18,
};

struct weir_csv {
    struct weir_sv text; /* borrowed for as long as the reader is used */
    size_t at;
    uint32_t line;        /* of the next record, from 1 */
    uint32_t record_line; /* of the record that was read last */
    size_t n_fields;
    struct weir_sv field[WEIR_CSV_FIELDS_MAX]; /* borrowed until the next record; trimmed */
    struct weir_arena scratch;                 /* quoted fields that are not as they stand there */
};

void weir_csv_init(struct weir_csv *c, struct weir_sv text);
void weir_csv_release(struct weir_csv *c);

/*
 * Reads the next record: 1 where there is one, 0 at the end. A bad record is a negative code with
 * the reason in err; the reader then stands behind that line, so that the caller can go on.
 * Errors: -WEIR_EINVAL (quotes, bytes that are not text), -WEIR_ELIMIT (too long, too many fields).
 */
int weir_csv_next(struct weir_csv *c, struct weir_err *err);

/* Appends a field, quoted where it needs to be. */
void weir_csv_write_field(struct weir_str *out, struct weir_sv field);
