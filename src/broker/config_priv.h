/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How the configuration's sections are read: config.c, config_access.c, config_alerts.c. */

#include "config.h"
#include "spec/doc.h"

struct config_loader {
    struct weir_config *c;
    const char *file;
    struct weir_err *err;
};

typedef int config_row_fn(struct config_loader *l, const struct doc *d, void *target);

struct config_row {
    const char *key;
    config_row_fn *read;
    size_t offset;
};

/* Each key of a mapping by its row, into base + offset. An unknown key is an error with a suggestion. */
int config_read_rows(struct config_loader *l, const struct doc *map, const struct config_row *rows, size_t n, void *base);
/* An error that names the place; returns -WEIR_ECONFIG. */
int config_fail_at(struct config_loader *l, const struct doc *d, const char *what);
/* The same of a value that could not be read, as l->err says. */
int config_fail_value(struct config_loader *l, const struct doc *d);
int config_scalar(struct config_loader *l, const struct doc *d);
int config_read_money(struct config_loader *l, const struct doc *d, void *target);
int config_read_duration(struct config_loader *l, const struct doc *d, void *target);
int config_read_u32(struct config_loader *l, const struct doc *d, void *target);
int config_read_bool(struct config_loader *l, const struct doc *d, void *target);
int config_read_string(struct config_loader *l, const struct doc *d, char *target, size_t size);

/* config_grid.c: of a pool, what a kWh costs and what it emits; target is the pool. */
int config_read_tariff(struct config_loader *l, const struct doc *d, void *target);
int config_read_tariff_file(struct config_loader *l, const struct doc *d, void *target);
int config_read_carbon_per_kwh(struct config_loader *l, const struct doc *d, void *target);
int config_read_carbon(struct config_loader *l, const struct doc *d, void *target);
int config_read_carbon_file(struct config_loader *l, const struct doc *d, void *target);
/* What a kWh emits at a place from a time on, until *ret_until at least; below 0: not known. */
int64_t config_carbon_at(const struct weir_config_carbon *c, const char *region, struct weir_wall at, struct weir_wall *ret_until);
void config_release_grid(struct weir_config_pool *pool);

/* committed_conf.c: adds one item of the list "committed", from that line, which may be several commitments. Errors: -WEIR_ECONFIG, naming the key. */
int committed_read(struct weir_config *c, const struct json_t *section, uint32_t line, struct weir_err *err);

/* config_access.c: the section "access" */
int config_read_access(struct config_loader *l, const struct doc *d, void *target);
/* Reads the files that the section names. Errors: those of reading them. */
int config_access_load(struct weir_config_access *a, struct weir_err *err);
void config_access_release(struct weir_config_access *a);

/* config_link.c: the section "wireguard" */
int config_read_link(struct config_loader *l, const struct doc *d, void *target);

/* config_alerts.c: the section "alerts" */
int config_read_alerts(struct config_loader *l, const struct doc *d, void *target);
void config_free_alerts(struct weir_config_alerts *a);
