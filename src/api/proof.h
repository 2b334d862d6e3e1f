/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The proof of a ledger, a piece at a time: both sides of every span and correction, closed months, that no end is missing, and
 * that what bills are read from is what was posted. What is posted meanwhile is proven too. For 'weir bill --check', and for the
 * broker, which does it by itself.
 */

#include "bill/bill.h"
#include "store/store.h"

struct weir_proof;

struct weir_proof_result {
    struct weir_bill_check_result sum;
    struct weir_err error; /* of the first offence; "": it is balanced */
    uint64_t closes;       /* closed months that are as they were closed */
    struct weir_err close_error; /* of the first that is not; "": all are */
};

/* Reads what was closed and how far the ledger must go. The caller frees *ret. */
int weir_proof_new(struct weir_proof **ret, struct weir_store *s, struct weir_err *err);
void weir_proof_free(struct weir_proof *p);
/* Reads at most so many postings, or a page of what bills are read from: 1 where there is more to do, 0 at the end, or a negative code where
 * the ledger cannot be read. Steps may use several readers of one store, one after the other; not within a transaction. */
int weir_proof_step(struct weir_proof *p, struct weir_store *s, uint32_t postings_max, struct weir_err *err);
/* After the last step. */
void weir_proof_end(struct weir_proof *p, struct weir_proof_result *ret);
