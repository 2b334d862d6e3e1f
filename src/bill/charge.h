/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the use of nodes cost, as rows of an export: postings of the use side, and of what it was rated at, put together by node, job and account
 * within periods of equal length. Pure. What is added up here is cut as a bill is, so the rows of neighbouring spans
 * add up to the rows of the whole, and all rows together to the ledger's cost, to the micro-unit.
 */

#include "bill/bill.h"
#include "bill/close.h"

struct weir_charge {
    struct weir_wall from; /* of what it covers: within one period */
    struct weir_wall to;
    struct weir_wall late; /* 0, or the moment at which it is billed: its own time was closed */
    struct weir_node_id node;
    struct weir_lease_id lease; /* 0: owned */
    struct weir_pool_id pool;
    struct weir_project_id project; /* zero where it is nobody's */
    struct weir_user_id user;
    struct weir_job_id job;
    enum weir_account account; /* of the use side; PRICE where rule is not 0 */
    char currency[4]; /* of the bill that it came from; "": the ledger's */
    int64_t original_micro; /* the amount in it */
    uint64_t rule;   /* by which it was rated */
    int64_t period;  /* its number; grows with time */
    int64_t amount_micro;      /* negative where corrections took back more than was charged in that period */
    uint64_t gpu_us;
    struct weir_footprint footprint;
    int64_t held_us; /* time that it held the node or a part of it; 0: corrections and instants only */
};

struct weir_charges;

/* Counts what lies in from..to; period: longer than 0, and counted from 1970. */
struct weir_charges *weir_charges_new(struct weir_wall from, struct weir_wall to, struct weir_dur period);
void weir_charges_free(struct weir_charges *c);
/* Takes closed months into account: what is late counts where it is billed. The list is borrowed. Before the first posting. */
void weir_charges_closed(struct weir_charges *c, struct weir_closes closes);
/* Periods end at these moments too (ascending, borrowed). Before the first posting. */
void weir_charges_cut(struct weir_charges *c, const struct weir_wall *at, size_t n);
/* Takes prices in, as rows of their own; else they are passed over. Before the first posting. */
void weir_charges_priced(struct weir_charges *c);
/* The number of the period in which t lies, and where that ends. */
int64_t weir_charges_period(const struct weir_charges *c, struct weir_wall t, struct weir_wall *ret_end);
/* Postings of the cost side are passed over. */
void weir_charges_add(struct weir_charges *c, const struct weir_posting *p);
/* In the order in which they came up first; borrowed until the next call on c. */
const struct weir_charge *weir_charges_rows(const struct weir_charges *c, size_t *ret_n);
