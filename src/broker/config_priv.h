/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How sections of the configuration are read: rows of a table, each with its key. */

#include "config.h"
#include "spec/doc.h"

struct loader {
    struct weir_config *c;
    const char *file;
    struct weir_err *err;
};

typedef int config_row_fn(struct loader *l, const struct doc *d, void *target);

struct row {
    const char *key;
    config_row_fn *read;
    size_t offset;
};

/* Reads a mapping by its rows; each value goes to base + offset. An unknown key is an error with a suggestion. */
int config_rows(struct loader *l, const struct doc *map, const struct row *rows, size_t n, void *base);
/* -WEIR_ECONFIG with the place. */
int config_fail(struct loader *l, const struct doc *d, const char *what);
/* Fails unless it is a single value. */
int config_scalar(struct loader *l, const struct doc *d);
int config_string(struct loader *l, const struct doc *d, char *target, size_t size);
int config_duration(struct loader *l, const struct doc *d, void *target); /* struct weir_dur; more than nothing */
int config_u32(struct loader *l, const struct doc *d, void *target);
int config_bool(struct loader *l, const struct doc *d, void *target);

/* config_alerts.c */
int config_read_alerts(struct loader *l, const struct doc *d, void *target);
void config_free_alerts(struct weir_config_alerts *a);
