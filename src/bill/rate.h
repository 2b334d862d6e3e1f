/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rating: what is charged for what was used, where that is not what it cost. Rules are data, each in force from a moment until
 * another. Pure: given the rows of a ledger and the rules, it says by how much every price differs from the cost, less what is
 * posted as such already. So rating twice changes nothing, and late rows, corrections and rules that were added later give
 * new postings and touch none.
 *
 * A row that has a project is priced: its cost; or, where a price list holds for it, its GPU time at that price, and nothing
 * else. To that comes each markup, a percentage of it; off the sum goes each discount, but never more than is left. Idle time is
 * shared out over the projects that used the same pool in the same period, or by the weights of all projects. A
 * commitment is paid for every hour, and borne by those who used what it is for.
 */

#include "bill/amend.h"

enum weir_rule_kind {
    WEIR_RULE_PRICE,      /* a price for a GPU-hour takes the place of the cost; of several the last one holds */
    WEIR_RULE_MARKUP,     /* percent */
    WEIR_RULE_DISCOUNT,   /* percent, or an amount for a GPU-hour */
    WEIR_RULE_SPREAD,     /* idle time over projects; of several the last one holds */
    WEIR_RULE_COMMITMENT, /* an amount for every hour */
    WEIR_RULE_EXCHANGE,   /* what a unit of another currency is; rates nothing */
    WEIR_RULE_MAX,
};

/* "price", "markup", ... */
const char *weir_rule_kind_name(enum weir_rule_kind k);
/* WEIR_RULE_MAX where there is none of that name. */
enum weir_rule_kind weir_rule_kind_find(const char *name);

struct weir_rule {
    uint64_t id;
    enum weir_rule_kind kind;
    struct weir_wall from;
    struct weir_wall until;   /* WEIR_WALL_MAX: for ever */
    int64_t percent_micro;    /* millionths of a percent: MARKUP, DISCOUNT */
    int64_t micro_per_hour;   /* PRICE, DISCOUNT: of a GPU; COMMITMENT: of all that is committed */
    uint32_t gpus;            /* COMMITMENT: so many are committed, what they do not use is nobody's; 0: users bear all */
    bool by_weight;           /* SPREAD: else by what was used */
    struct weir_pool_id pool; /* COMMITMENT: what it is for, if that is one pool */
};

struct weir_rate_weight {
    struct weir_project_id project;
    uint64_t weight;
};

struct weir_rate_input {
    const struct weir_charge *row; /* of the use, and what was rated before; cut where a rule begins or ends */
    size_t n_rows;
    const struct weir_rule *rule; /* by id */
    size_t n_rules;
    const struct weir_rate_weight *weight; /* of projects, by id */
    size_t n_weights;
    /* Is the row of what the rule is for? Not asked for its time. */
    bool (*is_for)(void *ctx, const struct weir_rule *rule, const struct weir_charge *row);
    void *ctx;
    const struct weir_charges *charges; /* that the rows are of: knows the periods */
    struct weir_wall from;              /* commitments count from here */
    struct weir_wall now;               /* up to here */
};

/*
 * What is to be posted: where.rule says by which rule, micro is more than was posted for it or, negative, less. The
 * caller frees *ret. Errors: -WEIR_EOVERFLOW.
 */
int weir_rate(const struct weir_rate_input *in, struct weir_amendment **ret, size_t *ret_n, struct weir_err *err);

/* Posts them. */
void weir_bill_price(struct weir_bill *b, const struct weir_amendment *a, size_t n, struct weir_wall now);
