/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the back ends share. Included by src/store only. */

#include "store/store.h"

/* What a posting adds to the cost of its task and job: use that ran over the node's account, and what a
 * correction took back. What moves from job to waste changes nothing, and postings without a task count nowhere. */
static inline int64_t weir_posting_task_cost(const struct weir_posting *p)
{
    if (p->run.task.job.v == 0) {
        return 0;
    }
    if (p->debit == WEIR_ACCOUNT_NODE) {
        return p->credit > WEIR_ACCOUNT_NODE && p->credit != WEIR_ACCOUNT_IDLE ? -p->amount_micro : 0;
    }
    return p->credit == WEIR_ACCOUNT_NODE && p->debit != WEIR_ACCOUNT_IDLE ? p->amount_micro : 0;
}
