/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A rule with what it is for, as its stored text says. */

#include <jansson.h>

#include "bill/rate.h"
#include "spec/spec.h"

/* Of machines: rented in a market of enum weir_market, or owned. */
enum { API_RULE_CLASS_OWNED = WEIR_OFFER_MARKET_MAX, API_RULE_CLASSES };

struct api_rule {
    struct weir_rule rule;
    char project[WEIR_SPEC_NAME_MAX + 1]; /* "": any; so with the others */
    char user[WEIR_SPEC_NAME_MAX + 1];
    char pool[WEIR_SPEC_NAME_MAX + 1];
    char gpu[WEIR_SPEC_NAME_MAX + 1];
    char tag[2 * WEIR_SPEC_NAME_MAX + 2]; /* KEY=VALUE */
    unsigned class;                       /* API_RULE_CLASSES: any */
    char currency[5];                     /* EXCHANGE */
    int64_t rate_nano;                    /* of the ledger's unit, for a unit */
};

/* Its id and times are not read. Errors: -WEIR_EINVAL, -WEIR_ELIMIT, which name the key. */
int api_rule_read(const json_t *body, const char *kind, struct api_rule *ret, struct weir_err *err);
