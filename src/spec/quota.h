/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Quotas as people write them, part by part, as with budgets. */

#include "base/err.h"
#include "base/str.h"
#include "core/quota.h"

/* As weir_budget_read_scope and weir_budget_read_span, for a quota. Errors: -WEIR_EINVAL. */
int weir_quota_read_scope(struct weir_sv text, struct weir_quota *def, char *name, size_t size, struct weir_err *err);
int weir_quota_read_span(const char *word, const char *from, const char *until, struct weir_quota *def, struct weir_err *err);
/* "gpus", "gpu-hours", ...; of all GPUs. Errors: -WEIR_EINVAL. */
int weir_quota_read_counts(struct weir_sv text, struct weir_quota *def, struct weir_err *err);
/* How much it borrows of what others of its kind do not use: "all" or a number, of GPUs; "none": it neither lends nor borrows. Errors: -WEIR_EINVAL. */
int weir_quota_read_borrow(struct weir_sv text, struct weir_quota *def, struct weir_err *err);
/* So many GPUs, machines or tasks, or GPU-hours or GPU-minutes to a millionth, by what def counts. Errors: -WEIR_EINVAL, -WEIR_EOVERFLOW. */
int weir_quota_read_limit(struct weir_sv text, struct weir_quota *def, struct weir_err *err);
