/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Explain records as JSON, with a paragraph for a person. The record holds numbers and ids; the names
 * are put in here, when the record is stored, so that an old record stays readable after its node and
 * its offers are gone.
 */

#include "base/str.h"
#include "core/explain.h"

/* What gives names. Each function may be NULL, and may answer NULL where it does not know: numbers
 * stand in then. What they return is borrowed until the next call. */
struct weir_names {
    void *ctx;
    const char *(*node)(void *ctx, struct weir_node_id id);
    const struct weir_offer *(*offer)(void *ctx, uint64_t id);
    /* "12_7" as a person writes it; without it, the ordinal stands for the array index. */
    void (*task)(void *ctx, struct weir_task_id id, char *buf, size_t size);
    bool (*budget)(void *ctx, struct weir_budget_id id, struct weir_budget_view *ret);
    bool (*quota)(void *ctx, struct weir_quota_id id, struct weir_quota_view *ret);
    bool (*provider_quota)(void *ctx, uint64_t id, struct weir_told_quota *ret);
    const char *currency; /* NULL: "USD" */
    const char *no_rate;  /* offers in this currency were left out of a decision to wait, as it has no rate; NULL or "": none were */
};

/* Appends one JSON object: the Explain item of docs/api/rest.md. */
void weir_explain_to_json(const struct weir_explain *e, const struct weir_names *names, struct weir_str *out);

/* Appends the paragraph alone. */
void weir_explain_to_text(const struct weir_explain *e, const struct weir_names *names, struct weir_str *out);
