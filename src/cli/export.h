/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The broker's history as a stream, for 'weir export' and for 'weir sim --from-history': out of a running broker, or of the data directory of one that is stopped. */

#include <stdio.h>

#include "api_client.h"
#include "broker/offline.h"

/* Where the history is; one of both is set. */
struct weir_history_source {
    struct weir_client *api;
    struct weir_offline *offline;
};

/* The data directory that --data names, else the broker. Errors: those of weir_client_open and weir_offline_open. */
int weir_history_source_open(struct weir_history_source *ret, const struct weir_args *args, struct weir_err *err);
void weir_history_source_close(struct weir_history_source *s);

/* What there was to write, and what was not. */
struct weir_export_counts {
    uint64_t tasks;   /* written */
    uint64_t running; /* of these: have not ended */
    uint64_t waiting; /* not written, since they have not left the queue; of all times */
};

/* "N tasks wait and are not in it; M have not ended", or "" where there are none of either. */
void weir_export_left_out(const struct weir_export_counts *c, struct weir_str *out);

/*
 * Writes every task of jobs submitted from..to (0: without that bound) as CSV with a head, or as JSON with an object a line; page by
 * page, so in constant memory. Errors: the source's; -WEIR_ENOSPACE, -WEIR_EIO: what was written is not whole.
 */
int weir_export_history(const struct weir_history_source *source, struct weir_wall from, struct weir_wall to, bool json, FILE *out, struct weir_export_counts *ret,
                        struct weir_err *err);
