/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Budgets as people write them: whose they are, when they count, what is done once so much is spent. The parts of a text come one by one. */

#include "base/err.h"
#include "base/str.h"
#include "core/budget.h"

/*
 * "organisation", "project:NAME", "user:NAME" or "tag:KEY=VALUE" into def's scope and tag. name holds the project or the user, whose number
 * the caller knows; "" for the other scopes. Errors: -WEIR_EINVAL.
 */
int weir_budget_read_scope(struct weir_sv text, struct weir_budget *def, char *name, size_t size, struct weir_err *err);
/* "month", "quarter", "forever", or "fixed" with both times; what is not given is NULL, and times alone mean a fixed span. Errors: -WEIR_EINVAL. */
int weir_budget_read_span(const char *word, const char *from, const char *until, struct weir_budget *def, struct weir_err *err);
/* Adds "80:warn". Errors: -WEIR_EINVAL, also where def has as many as it can have. */
int weir_budget_read_threshold(struct weir_sv text, struct weir_budget *def, struct weir_err *err);
/* An amount of money that a budget may have; what says of what. Errors: -WEIR_EINVAL, -WEIR_EOVERFLOW. */
int weir_budget_read_money(struct weir_sv text, const char *what, const char *currency, int64_t *ret, struct weir_err *err);
