/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Policies inside the core: part of core_priv.h, which includes it. docs/design/0012-policies.md tells how a list reaches a request. */

#include "core/core_priv.h"

struct policy_list {
    struct weir_policy_rule *rule;
    size_t n;
};

bool policy_allows_type(const struct weir_core *c, const struct weir_request *r, const struct node_type *t);
bool policy_allows_offer(const struct weir_core *c, const struct weir_request *r, const struct weir_offer *o);
/* May that list be defined now? */
int policy_check(const struct weir_core *c, uint32_t number, const struct weir_policy_rule *rule, size_t n, struct weir_err *err);
void policy_define(struct weir_core *c, const struct weir_policy_rule *rule, size_t n);
void policies_free(struct weir_core *c);
