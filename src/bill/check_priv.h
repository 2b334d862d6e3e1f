/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared guts of the proof of a ledger: included by check*.c only. */

#include "bill/bill_priv.h"

struct check_node {
    struct weir_node_id node;
    struct weir_lease_id lease;
    struct weir_wall from; /* of the latest span */
    struct weir_wall to;
    weir_i128 cost; /* both sides of it */
    weir_i128 use;
    weir_i128 energy_mj; /* the cost side of it less the use side, and so with carbon */
    weir_i128 carbon_ug;
    uint64_t first_posting;
    size_t rented; /* what its prices make of it: index + 1; 0: not asked for */
};

/* What a rented machine's quote and prices make of the spans that were posted. */
struct check_rented {
    struct weir_lease_id lease;
    struct weir_bill_terms terms;
    struct weir_bill_price next; /* that is not in force yet; number 0: none is known */
    uint64_t number;             /* of the price in force; 0: the quote */
    int64_t price_micro_per_hour;
    struct weir_wall priced;     /* it holds since then */
    weir_i128 cost;              /* by then, in micro-units x microseconds of an hour */
    struct weir_wall until;      /* posted up to here */
    int64_t posted_micro;
    int64_t span_micro;          /* of the latest span, since a price changed: as it stands in the ledger */
    int64_t span_original;
    bool is_final;               /* what its minimum and quantum add is posted */
    bool is_unproven;
};

struct check_prices {
    const struct weir_bill_prices *from; /* NULL: nobody asked */
    WEIR_VEC(struct check_rented) rented;
};

/*
 * Before a posting of a rented node's span is added to it: prices that came before it are in force. What of the span was posted before such a price
 * is proven. Errors: -WEIR_ECORRUPT, and those of where prices stand.
 */
int check_price_begin(struct check_prices *c, struct check_node *n, const struct weir_posting *p, struct weir_err *err);
/* A posting of the cost side. */
static inline void check_price_add(struct check_prices *c, const struct check_node *n, const struct weir_posting *p)
{
    if (n->rented != 0) {
        struct check_rented *r = &c->rented.p[n->rented - 1];
        r->span_micro = weir_i64_add_sat(r->span_micro, p->amount_micro);
        r->span_original = weir_i64_add_sat(r->span_original, p->original_micro);
    }
}
/* The node's span is whole. */
int check_price_span(struct check_prices *c, const struct check_node *n, struct weir_err *err);
/* All spans are: machines that ended cost what their whole life does. */
int check_price_end(struct check_prices *c, struct weir_bill_check_result *sum, struct weir_err *err);
