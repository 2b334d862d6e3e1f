/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The ledger of a test as a broker keeps it: every posting, proven as it comes; rules of prices, ratings, corrections and
 * closed spans over it. What a program would do around the pure parts, without a store.
 */

#include "base/vec.h"
#include "bill/amend.h"
#include "bill/bill.h"
#include "bill/close.h"
#include "bill/rate.h"
#include "lease_prices.h"

enum { BOOKS_RULES_MAX = 24 };

/* A span that was closed, as it was then. */
struct books_close {
    struct weir_close_sums sums;
    uint64_t digest;
};

struct books {
    struct weir_bill_check *check;
    struct lease_prices prices; /* kept by the test: what a store would hold */
    struct weir_bill_check_result sum; /* as of the last proof */
    WEIR_VEC(struct weir_posting) postings;
    WEIR_VEC(struct weir_meter) meters; /* open ones, as stored */
    struct weir_rule rule[BOOKS_RULES_MAX];
    size_t n_rules;
    WEIR_VEC(struct weir_close) closes;
    WEIR_VEC(struct books_close) closed;
    uint64_t corrections;
    uint64_t hash; /* of all that is stored of each posting */
    int64_t priced_micro;
};

/* b must not move. */
void books_init(struct books *b);
void books_release(struct books *b);
/* Takes what the bill has made, and proves the ledger so far. Fails the test. */
void books_take(struct books *b, struct weir_bill *bill);
/* A rule of these begins. False: there are as many as can be. */
bool books_add_rule(struct books *b, struct weir_rule rule);
/* Posts prices as the rules say, twice: the second time nothing may be left. Returns how many were posted. */
size_t books_rate(struct books *b, struct weir_bill *bill, int64_t now_us);
/* Closes all up to to_us (not after now), prices brought up to date; the bill is settled. */
void books_close(struct books *b, struct weir_bill *bill, int64_t to_us, int64_t now_us);
/* All that was closed is as it was. Fails the test. */
void books_prove_closed(const struct books *b);
/*
 * A provider says that a machine costs percent more (or less) than was booked for it: a correction on all that used it.
 * payer says whose budgets count a part. Returns the amount; 0 where there is nothing to correct.
 */
int64_t books_amend(struct books *b, struct weir_bill *bill, uint64_t lease, int percent, int64_t now_us,
                    struct weir_payer_id (*payer)(void *ctx, const struct weir_charge *where),
                    void (*told)(void *ctx, const struct weir_amendment *part), void *ctx);
/* What a store would say of a run's part of a node, for a restart. */
void books_run_posted(const struct books *b, struct weir_bill_pending *ret);
