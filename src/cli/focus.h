/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The bill in the FinOps Open Cost and Usage Specification (FOCUS) 1.2 or 1.3, as CSV: a row for what a job, idle or waste
 * took of a node in a day or an hour. Rows are read from the broker page by page and written at once, so memory does
 * not grow with the span.
 */

#include <stdio.h>

#include "api_client.h"

struct weir_focus_conf {
    struct weir_wall from; /* 0: the ledger's beginning */
    struct weir_wall to;   /* 0: now */
    bool hourly;
    bool priced; /* with what rules add to the cost */
    bool is_1_3; /* else 1.2 */
    const char *project; /* NULL: all */
    const char *user;
    const char *issuer; /* who bills; also the provider of owned machines */
};

/* ret_micro: the sum of BilledCost. Errors: those of the broker; -WEIR_EIO and others where out cannot be written. */
int weir_focus_write(struct weir_client *api, const struct weir_focus_conf *conf, FILE *out, uint64_t *ret_rows,
                     int64_t *ret_micro, struct weir_err *err);
