/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Corrections that come from outside: credits, charges that metering did not see, differences from a provider's bill.
 * They are new postings on the machines and the jobs, idle or waste that they are for; nothing that stands in the
 * ledger changes. Pure.
 */

#include "bill/charge.h"

struct weir_amendment {
    struct weir_charge where; /* span, node and who used it; its amounts are not looked at */
    struct weir_payer_id payer; /* of the job, else of what the machine was rented for; zero: no budget counts it */
    int64_t micro;            /* more cost; negative: less. Not 0 */
    char currency[4];         /* of the bill that says so; "": the ledger's */
    int64_t original_micro;   /* the amount in it, of the same sign */
};

/*
 * Spreads an amount over rows by what each of them cost, exactly. The caller frees *ret. Errors: -WEIR_ENOTFOUND (none
 * of them cost anything), -WEIR_EINVAL (0, or less than they cost), -WEIR_EOVERFLOW.
 */
int weir_amend_spread(const struct weir_charge *row, size_t n, int64_t micro, struct weir_amendment **ret,
                      size_t *ret_n, struct weir_err *err);

/* Makes both postings of each; correction is the number they bear, not 0. The cost side is the provider's, of an owned
 * node upkeep. */
void weir_bill_amend(struct weir_bill *b, uint64_t correction, const struct weir_amendment *a, size_t n,
                     struct weir_wall now);
