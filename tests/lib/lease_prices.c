/* SPDX-License-Identifier: Apache-2.0 */
#include "lease_prices.h"

#include <string.h>

static int terms_of(void *ctx, struct weir_lease_id lease, struct weir_bill_terms *ret, struct weir_err *err)
{
    struct lease_prices *l = ctx;
    const struct lease_terms *t = lease_prices_find(l, lease);
    if (t == NULL) {
        return weir_fail(err, -WEIR_ENOTFOUND, "no such lease");
    }
    l->reads++;
    *ret = t->terms;
    ret->known_until = l->known_until;
    return 0;
}

static int next_price(void *ctx, struct weir_lease_id lease, uint64_t number, struct weir_bill_price *ret, struct weir_err *err)
{
    struct lease_prices *l = ctx;
    (void)err;
    l->reads++;
    *ret = (struct weir_bill_price){0};
    for (size_t i = 0; i < l->prices.n; i++) {
        const struct lease_price *p = &l->prices.p[i];
        if (p->lease.v == lease.v && p->price.number > number && (ret->number == 0 || p->price.number < ret->number)) {
            *ret = p->price;
        }
    }
    return 0;
}

void lease_prices_init(struct lease_prices *l)
{
    *l = (struct lease_prices){.source = {.ctx = l, .terms = terms_of, .next = next_price}};
}

void lease_prices_release(struct lease_prices *l)
{
    weir_vec_release(&l->leases);
    weir_vec_release(&l->prices);
}

struct lease_terms *lease_prices_find(struct lease_prices *l, struct weir_lease_id lease)
{
    for (size_t i = l->leases.n; i > 0; i--) { /* mostly a late one */
        if (l->leases.p[i - 1].lease.v == lease.v) {
            return &l->leases.p[i - 1];
        }
    }
    return NULL;
}

void lease_prices_open(struct lease_prices *l, const struct weir_bill_node *n, struct weir_wall at)
{
    if (n->owned || lease_prices_find(l, n->lease) != NULL) {
        return;
    }
    struct lease_terms t = {.lease = n->lease,
                            .terms = {.opened = at,
                                      .quote_micro_per_hour = n->price_micro_per_hour,
                                      .price_micro_per_hour = n->price_micro_per_hour,
                                      .quantum = n->quantum,
                                      .minimum = n->minimum,
                                      .rate_nano = n->rate_nano}};
    memcpy(t.terms.currency, n->currency, sizeof t.terms.currency);
    weir_vec_push(&l->leases, t);
}

void lease_prices_change(struct lease_prices *l, struct weir_bill *b, struct weir_lease_id lease, struct weir_node_id node, struct weir_wall at,
                         int64_t micro_per_hour)
{
    struct weir_wall from = weir_bill_node_price(b, node, at, micro_per_hour);
    struct lease_terms *t = lease_prices_find(l, lease);
    if (from.us == 0 || t == NULL) {
        return;
    }
    struct lease_price p = {lease, {.number = 1, .from = from, .micro_per_hour = micro_per_hour, .after_posting = weir_bill_last_posting(b)}};
    for (size_t i = 0; i < l->prices.n; i++) {
        p.price.number += l->prices.p[i].lease.v == lease.v;
    }
    weir_vec_push(&l->prices, p);
    t->terms.price_micro_per_hour = micro_per_hour;
}

void lease_prices_close(struct lease_prices *l, struct weir_lease_id lease, struct weir_wall at)
{
    struct lease_terms *t = lease_prices_find(l, lease);
    if (t != NULL && t->terms.ended.us == 0) {
        t->terms.ended = at;
    }
}
