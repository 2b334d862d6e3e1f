/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The broker's history as a stream, for 'weir export' and for 'weir sim --from-history'. */

#include <stdio.h>

#include "api_client.h"

/*
 * Writes every task of jobs submitted from..to (0: without that bound) as CSV with a head, or as JSON with an object a line; page by
 * page, so in constant memory. Errors: the broker's; -WEIR_ENOSPACE, -WEIR_EIO: what was written is not whole.
 */
int weir_export_history(struct weir_client *api, struct weir_wall from, struct weir_wall to, bool json, FILE *out, uint64_t *ret_tasks,
                        struct weir_err *err);
