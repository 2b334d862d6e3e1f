/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The history of a store as the API gives it, for programs that read a store without a broker. */

#include "base/str.h"
#include "store/store.h"

struct weir_history_query {
    struct weir_wall from; /* jobs submitted then or later, */
    struct weir_wall to;   /* and before then */
    const struct weir_project_set *within; /* NULL: all */
    uint32_t limit;  /* tasks of a page */
    uint64_t cursor; /* what the page before gave; 0: the first */
};

/* Appends the page as GET /v1/history answers it, and tells the next page's cursor; 0: this was the last. Errors: the store's; *out is not to be
 * used then. */
int weir_history_page(struct weir_store *store, const struct weir_history_query *q, struct weir_str *out, uint64_t *ret_next, struct weir_err *err);
