/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Corrections from outside: a credit, a charge that metering did not see, what a provider billed otherwise. Each is a
 * pair of postings on a node, one on either side of the ledger, so that both sides stay equal; where it takes back, the
 * pair runs backwards.
 */

#include "bill/amend.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bill/bill_priv.h"

int weir_amend_spread(const struct weir_charge *row, size_t n, int64_t micro, struct weir_amendment **ret,
                      size_t *ret_n, struct weir_err *err)
{
    weir_i128 sum = 0;
    WEIR_CLEANUP(weir_freep) weir_i128 *weight = weir_calloc(n + 1, sizeof *weight);
    WEIR_CLEANUP(weir_freep) int64_t *part = weir_calloc(n + 1, sizeof *part);
    for (size_t i = 0; i < n; i++) {
        weight[i] = row[i].amount_micro > 0 ? row[i].amount_micro : 0;
        sum += weight[i];
    }
    if (sum == 0) {
        return weir_fail(err, -WEIR_ENOTFOUND, "nothing is booked there: a correction goes to what used the machine");
    }
    if (micro == 0 || (micro < 0 && -(weir_i128)micro > sum)) {
        char had[WEIR_MONEY_SIZE];
        return weir_fail(err, -WEIR_EINVAL,
                         "the amount must not be 0, and not take back more than the %s that are booked there",
                         weir_money_format(sum > INT64_MAX ? INT64_MAX : (int64_t)sum, had));
    }
    if (micro == INT64_MIN) {
        return weir_fail(err, -WEIR_EOVERFLOW, "the amount is out of range");
    }
    weir_bill_split(micro < 0 ? -micro : micro, weight, n, part);
    struct weir_amendment *a = weir_calloc(n + 1, sizeof *a);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (part[i] != 0) {
            a[k++] = (struct weir_amendment){.where = row[i], .micro = micro < 0 ? -part[i] : part[i]};
        }
    }
    *ret = a;
    *ret_n = k;
    return 0;
}

static struct weir_posting posting_of(struct weir_bill *b, const struct weir_amendment *a, uint64_t correction)
{
    const struct weir_charge *w = &a->where;
    struct weir_posting p = {.id = b->next_posting++,
                             .at = b->last_at,
                             .from = w->from.us < b->last_at.us ? w->from : b->last_at,
                             .to = w->to.us < b->last_at.us ? w->to : b->last_at,
                             .node = w->node,
                             .lease = w->lease,
                             .pool = w->pool,
                             .amount_micro = a->micro < 0 ? -a->micro : a->micro,
                             /* runs with the amount, or against it where a rate has changed */
                             .original_micro = a->micro < 0 ? -a->original_micro : a->original_micro,
                             .correction = correction};
    memcpy(p.currency, a->currency, sizeof p.currency);
    return p;
}

void weir_bill_amend(struct weir_bill *b, uint64_t correction, const struct weir_amendment *a, size_t n,
                     struct weir_wall now)
{
    WEIR_ASSERT(correction != 0);
    weir_bill_forget_taken(b);
    b->last_at = now.us > b->last_at.us ? now : b->last_at;
    for (size_t i = 0; i < n; i++) {
        const struct weir_charge *w = &a[i].where;
        bool back = a[i].micro < 0;
        uint8_t from = w->lease.v != 0 ? WEIR_ACCOUNT_PROVIDER : WEIR_ACCOUNT_UPKEEP;
        struct weir_posting cost = posting_of(b, &a[i], correction);
        cost.debit = back ? from : WEIR_ACCOUNT_NODE;
        cost.credit = back ? WEIR_ACCOUNT_NODE : from;
        weir_vec_push(&b->postings, cost);
        struct weir_posting use = posting_of(b, &a[i], correction);
        use.debit = back ? WEIR_ACCOUNT_NODE : (uint8_t)w->account;
        use.credit = back ? (uint8_t)w->account : WEIR_ACCOUNT_NODE;
        use.project = w->project;
        use.user = w->user;
        use.payer = a[i].payer;
        /* of the job as a whole: what a run was charged stays what its node's time cost */
        use.run.task.job = w->job;
        use.run.task.ordinal = w->job.v == 0 ? 0 : (uint32_t)WEIR_ORDINAL_ALL;
        weir_vec_push(&b->postings, use);
    }
}
