/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rented machines are charged, recomputed from their quotes and prices. It says the same as the meter does (cost.c), but of the whole: the sum
 * of price x time is kept exactly, and divided once for each span. Of each machine only the price in force and the next one are held.
 */

#include "bill/check_priv.h"

#include <inttypes.h>

/* What it has cost after such a time, half up, at the price in force. */
static int64_t cost_after(const struct check_rented *r, struct weir_dur d)
{
    int64_t since = d.us - weir_wall_sub(r->priced, r->terms.opened).us;
    return (int64_t)((r->cost + (weir_i128)r->price_micro_per_hour * since + WEIR_US_PER_HOUR / 2) / WEIR_US_PER_HOUR);
}

/* What is to be posted for it then: where more was, at a price that fell since, nothing. */
static int64_t due_after(const struct check_rented *r, struct weir_dur d)
{
    int64_t due = weir_i64_sub_sat(cost_after(r, d), r->posted_micro);
    return due > 0 ? due : 0;
}

static int64_t original(const struct check_rented *r, int64_t micro)
{
    return r->terms.currency[0] == '\0' || r->terms.rate_nano <= 0 ? 0 : weir_mul_div_sat(micro, WEIR_BILL_NANO, r->terms.rate_nano);
}

static int differs(const struct check_rented *r, const struct check_node *n, const char *currency, int64_t stands, int64_t due, struct weir_err *err)
{
    char from[WEIR_RFC3339_SIZE];
    char to[WEIR_RFC3339_SIZE];
    char had[WEIR_MONEY_SIZE];
    char made[WEIR_MONEY_SIZE];
    char price[WEIR_MONEY_SIZE];
    char since[WEIR_RFC3339_SIZE];
    return weir_fail(err, -WEIR_ECORRUPT,
                     "lease %" PRIu64 " (node %" PRIu64 "), span %s to %s: the ledger charges %s%s%s, its prices make %s (%s an hour since %s)", r->lease.v, n->node.v,
                     weir_wall_format(n->from, from), weir_wall_format(n->to, to), weir_money_format(stands, had), currency[0] != '\0' ? " " : "", currency,
                     weir_money_format(due, made), weir_money_format(r->price_micro_per_hour, price), weir_wall_format(r->priced, since));
}

/* What was posted of the node's span since a price changed. */
static int prove(struct check_rented *r, const struct check_node *n, struct weir_err *err)
{
    struct weir_dur d = weir_wall_sub(n->to, r->terms.opened);
    int64_t due = r->is_final ? 0 : due_after(r, d);
    if (r->span_micro != due && n->from.us == n->to.us && r->terms.ended.us != 0 && n->to.us >= r->terms.ended.us) {
        due = due_after(r, weir_bill_round_up(d, r->terms.quantum, r->terms.minimum));
        r->is_final = r->span_micro == due;
    }
    if (r->span_micro != due) {
        return differs(r, n, "", r->span_micro, due, err);
    }
    int64_t other = weir_i64_sub_sat(original(r, weir_i64_add_sat(r->posted_micro, due)), original(r, r->posted_micro));
    if (r->span_original != other) {
        return differs(r, n, r->terms.currency[0] != '\0' ? r->terms.currency : "of another currency", r->span_original, other, err);
    }
    r->posted_micro = weir_i64_add_sat(r->posted_micro, due);
    r->until = n->to;
    r->span_micro = 0;
    r->span_original = 0;
    return 0;
}

static int fail_price(const struct check_rented *r, uint64_t number, const char *why, struct weir_err *err)
{
    return weir_fail(err, -WEIR_ECORRUPT, "lease %" PRIu64 ", price %" PRIu64 " behind its quote: %s", r->lease.v, number, why);
}

/* The next price, where none is known. */
static int look_ahead(struct check_prices *c, struct check_rented *r, struct weir_err *err)
{
    if (r->next.number != 0) {
        return 0;
    }
    int rc = c->from->next(c->from->ctx, r->lease, r->number, &r->next, err);
    if (rc < 0 || r->next.number == 0) {
        return rc;
    }
    if (r->next.number != r->number + 1) {
        return fail_price(r, r->number + 1, "it is missing", err);
    }
    r->is_unproven = r->is_unproven || r->next.after_posting == WEIR_BILL_POSTING_UNKNOWN;
    return 0;
}

/* It is in force; nothing that was posted before `before` lies behind it. */
static int take_price(struct check_rented *r, struct weir_wall before, struct weir_err *err)
{
    const struct weir_bill_price p = r->next;
    const char *fault = p.from.us < r->priced.us                                                  ? "it begins before the one that it follows"
                        : p.from.us > before.us                                                   ? "it begins after what was posted when it was told"
                        : p.micro_per_hour == r->price_micro_per_hour                             ? "it is the one that it follows"
                        : p.micro_per_hour < 0 || p.micro_per_hour > WEIR_BILL_RATE_MAX           ? "it is out of bounds"
                                                                                                  : NULL;
    if (fault != NULL) {
        return fail_price(r, p.number, fault, err);
    }
    r->cost += (weir_i128)r->price_micro_per_hour * weir_wall_sub(p.from, r->priced).us;
    r->priced = p.from;
    r->price_micro_per_hour = p.micro_per_hour;
    r->number = p.number;
    r->next.number = 0;
    return 0;
}

/* What is stored of it, or was since it was read. */
static int read_terms(struct check_prices *c, struct check_node *n, const struct weir_posting *p, struct weir_err *err)
{
    struct weir_bill_terms terms = {.known_until = 0};
    int rc = c->from->terms(c->from->ctx, n->lease, &terms, err);
    if (rc == -WEIR_ENOTFOUND) {
        return weir_fail(err, -WEIR_ECORRUPT, "posting %" PRIu64 ": there is no lease %" PRIu64 ", which node %" PRIu64 " is charged for", p->id, n->lease.v, n->node.v);
    }
    if (rc < 0) {
        return rc;
    }
    if (n->rented == 0) {
        if (terms.opened.us <= 0 || terms.opened.us > p->from.us) {
            return weir_fail(err, -WEIR_ECORRUPT, "posting %" PRIu64 ": node %" PRIu64 " is charged for before its lease %" PRIu64 " begins", p->id, n->node.v, n->lease.v);
        }
        weir_vec_push(&c->rented, (struct check_rented){.lease = n->lease, .price_micro_per_hour = terms.quote_micro_per_hour, .priced = terms.opened,
                                                        .until = terms.opened});
        n->rented = c->rented.n;
    }
    struct check_rented *r = &c->rented.p[n->rented - 1];
    r->terms = terms;
    return look_ahead(c, r, err);
}

int check_price_begin(struct check_prices *c, struct check_node *n, const struct weir_posting *p, struct weir_err *err)
{
    if (c->from == NULL) {
        return 0;
    }
    if (n->rented == 0 || c->rented.p[n->rented - 1].terms.known_until < p->id) {
        int rc = read_terms(c, n, p, err);
        if (rc < 0) {
            return rc;
        }
    }
    struct check_rented *r = &c->rented.p[n->rented - 1];
    while (!r->is_unproven && r->next.number != 0 && r->next.after_posting < p->id) {
        int rc = n->first_posting == 0 ? 0 : prove(r, n, err);
        rc = rc < 0 ? rc : take_price(r, p->from, err);
        rc = rc < 0 ? rc : look_ahead(c, r, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int check_price_span(struct check_prices *c, const struct check_node *n, struct weir_err *err)
{
    struct check_rented *r = n->rented == 0 ? NULL : &c->rented.p[n->rented - 1];
    return r == NULL || r->is_unproven ? 0 : prove(r, n, err);
}

/* Of a machine that is gone, and all of whose postings were read. */
static int prove_life(struct check_prices *c, struct check_rented *r, struct weir_err *err)
{
    struct weir_wall end = r->until.us > r->terms.ended.us ? r->until : r->terms.ended;
    while (r->next.number != 0 && !r->is_unproven) {
        int rc = take_price(r, end, err);
        rc = rc < 0 ? rc : look_ahead(c, r, err);
        if (rc < 0) {
            return rc;
        }
    }
    if (r->is_unproven) {
        return 0;
    }
    char stands[WEIR_MONEY_SIZE];
    char other[WEIR_MONEY_SIZE];
    if (r->price_micro_per_hour != r->terms.price_micro_per_hour) {
        return weir_fail(err, -WEIR_ECORRUPT, "lease %" PRIu64 ": it ended at %s an hour, but the last of its prices is %s: one is missing", r->lease.v,
                         weir_money_format(r->terms.price_micro_per_hour, stands), weir_money_format(r->price_micro_per_hour, other));
    }
    struct weir_dur d = weir_bill_round_up(weir_wall_sub(end, r->terms.opened), r->terms.quantum, r->terms.minimum);
    int64_t due = r->is_final ? 0 : due_after(r, d);
    if (due != 0) {
        return weir_fail(err, -WEIR_ECORRUPT, "lease %" PRIu64 ": over its life the ledger charges %s, its prices make %s more", r->lease.v,
                         weir_money_format(r->posted_micro, stands), weir_money_format(due, other));
    }
    return 0;
}

int check_price_end(struct check_prices *c, struct weir_bill_check_result *sum, struct weir_err *err)
{
    sum->leases = 0;
    sum->prices = 0;
    sum->leases_unproven = 0;
    for (size_t i = 0; i < c->rented.n; i++) {
        struct check_rented *r = &c->rented.p[i];
        int rc = r->terms.ended.us == 0 ? 0 : prove_life(c, r, err);
        if (rc < 0) {
            return rc;
        }
        *(r->is_unproven ? &sum->leases_unproven : &sum->leases) += 1;
        sum->prices += r->is_unproven ? 0 : r->number;
    }
    return 0;
}
