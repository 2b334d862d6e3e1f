/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the back ends share. Included by src/store only. */

#include "store/store.h"

/* What a posting adds to the cost of its task and job: use that ran over the node's account. A correction
 * from job to waste moves nothing, and postings without a task count nowhere. */
static inline int64_t weir_posting_task_cost(const struct weir_posting *p)
{
    bool use = p->credit == WEIR_ACCOUNT_NODE && p->debit != WEIR_ACCOUNT_IDLE;
    return use && p->run.task.job.v != 0 ? p->amount_micro : 0;
}
