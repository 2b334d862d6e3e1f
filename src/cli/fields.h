/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tables and lines from fields of the API's objects; a field that is null or missing shows as "-". A list that a
 * person sees is a table of weir_field rows, one for each column.
 */

#include "api_client.h"
#include "output.h"

enum weir_field_kind {
    WEIR_FIELD_TEXT,
    WEIR_FIELD_STATE, /* coloured text */
    WEIR_FIELD_INT,
    WEIR_FIELD_OF,   /* "3/4": key of other */
    WEIR_FIELD_TIME, /* "2026-11-22 19:42:26", UTC */
    WEIR_FIELD_SPAN, /* from key to other, or to now where other is null */
    WEIR_FIELD_MONEY,
    WEIR_FIELD_RATE,
    WEIR_FIELD_MILLI,    /* thousandths */
    WEIR_FIELD_MICRO,    /* millionths */
    WEIR_FIELD_MILLI_OF, /* "15.5/16": key of other */
    WEIR_FIELD_MIB,
    WEIR_FIELD_GPUS, /* "A100:4": model in key, count in other */
    WEIR_FIELD_FN,   /* cell says it */
};

struct weir_field {
    const char *title;
    enum weir_field_kind kind;
    const char *key;
    const char *other;
    bool right;    /* WEIR_FIELD_FN; numbers are in any case */
    bool shrink;   /* as in weir_column */
    unsigned drop;
    void (*cell)(struct weir_table *t, const json_t *o);
};

/* The table of the items, a row each. currency is of rates and amounts whose object names none. */
struct weir_table *weir_fields_table(const struct weir_field *field, size_t n, const json_t *items,
                                     const char *currency);

/* "Label:      text" lines of a single object. Nothing where the text is NULL or "". */
void weir_line_text(const char *label, const char *text);
void weir_line_field(const char *label, const json_t *o, const char *key);
/* "2026-11-22 19:42:26 UTC" */
void weir_line_time(const char *label, const json_t *o, const char *key);
