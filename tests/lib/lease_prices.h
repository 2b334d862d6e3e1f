/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a store would hold of rented machines and their prices, for the proof of a ledger in a test that has none. */

#include "base/vec.h"
#include "bill/bill.h"

struct lease_terms {
    struct weir_lease_id lease;
    struct weir_bill_terms terms;
};

struct lease_price {
    struct weir_lease_id lease;
    struct weir_bill_price price;
};

struct lease_prices {
    WEIR_VEC(struct lease_terms) leases;
    WEIR_VEC(struct lease_price) prices;
    uint64_t known_until; /* the last posting that was made */
    uint64_t reads;       /* of terms and prices */
    struct weir_bill_prices source;
};

/* l must not move. */
void lease_prices_init(struct lease_prices *l);
void lease_prices_release(struct lease_prices *l);
/* NULL where there is none. */
struct lease_terms *lease_prices_find(struct lease_prices *l, struct weir_lease_id lease);
/* A node was opened; no-op for an owned one, and one that is there. */
void lease_prices_open(struct lease_prices *l, const struct weir_bill_node *n, struct weir_wall at);
/* As weir_bill_node_price(), and keeps the price that was taken up. */
void lease_prices_change(struct lease_prices *l, struct weir_bill *b, struct weir_lease_id lease, struct weir_node_id node, struct weir_wall at,
                         int64_t micro_per_hour);
void lease_prices_close(struct lease_prices *l, struct weir_lease_id lease, struct weir_wall at);
