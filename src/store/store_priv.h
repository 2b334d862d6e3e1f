/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the back ends share. Included by src/store only. */

#include "store/store.h"

/* What a posting adds to its task and job. */
struct weir_task_sum {
    struct weir_task_id task;
    int64_t micro;
    struct weir_footprint footprint;
};

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

/* What the posting adds to its task and job, in all; false: nothing. */
static inline bool weir_posting_task_sum(const struct weir_posting *p, struct weir_task_sum *ret)
{
    *ret = (struct weir_task_sum){.task = p->run.task, .micro = weir_posting_task_cost(p)};
    if (p->run.task.job.v != 0 && p->debit != WEIR_ACCOUNT_IDLE) {
        ret->footprint = weir_posting_footprint(p, p->from.us, p->to.us);
    }
    return ret->micro != 0 || ret->footprint.energy_mj != 0 || ret->footprint.has_unknown;
}

/* What it adds to the sums of one of its accounts: that of the debit, or of the credit. */
static inline bool weir_posting_total_counts(const struct weir_posting *p)
{
    return p->amount_micro != 0 || p->energy_mj != 0;
}
static inline struct weir_footprint weir_posting_total(const struct weir_posting *p, bool credit)
{
    int64_t unknown = p->carbon_unknown ? p->amount_micro : 0;
    return credit ? (struct weir_footprint){.unknown_micro = -unknown} : (struct weir_footprint){p->energy_mj, p->carbon_ug, unknown, p->carbon_unknown};
}
