/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Table cells from fields of the API's objects; a field that is null or missing shows as "-". */

#include "api_client.h"
#include "output.h"

void weir_cell_text(struct weir_table *t, const json_t *o, const char *key);
void weir_cell_i64(struct weir_table *t, const json_t *o, const char *key);
/* "state", coloured. */
void weir_cell_state(struct weir_table *t, const json_t *o);
/* "2026-11-22 19:42:26", UTC. */
void weir_cell_time(struct weir_table *t, const json_t *o, const char *key);
/* From one stamp to the other, or to now where the other is null. */
void weir_cell_span(struct weir_table *t, const json_t *o, const char *from, const char *to, struct weir_wall now);
void weir_cell_money(struct weir_table *t, const json_t *o, const char *key);
void weir_cell_rate(struct weir_table *t, const json_t *o, const char *key, const char *currency);
/* "3/4": a of b. */
void weir_cell_of(struct weir_table *t, int64_t a, int64_t b);
void weir_cell_milli(struct weir_table *t, int64_t milli);
void weir_cell_mib(struct weir_table *t, const json_t *o, const char *key);

/* "Label:      text" lines of a single object. Nothing where the text is NULL or "". */
void weir_line_text(const char *label, const char *text);
void weir_line_field(const char *label, const json_t *o, const char *key);
/* "2026-11-22 19:42:26 UTC" */
void weir_line_time(const char *label, const json_t *o, const char *key);
