/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ranks offers for people and writes the list. Apart from the rest of the API, as it speaks the
 * catalogue's language and not the decision core's.
 */

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "core/model.h"
#include "core/provider_quota.h"

struct api_offer_query {
    const char *gpus;   /* NULL: any */
    const char *region; /* pattern; NULL: any */
    const char *cloud;  /* pattern; NULL: any */
    bool has_spot;
    bool is_spot;
    bool launchable; /* no mere prices */
    bool all;        /* excluded ones too */
    struct weir_sv feeds; /* JSON: how the prices came to be known */
    const struct weir_learned *learned; /* what is believed of some of the rented, in order of their ids */
    size_t n_learned;
    const struct weir_told_quota *told; /* what providers allow */
    size_t n_told;
    uint64_t cursor; /* rows to pass over */
    uint64_t limit;
    const char *currency;
    struct weir_wall now;
};

/* Keys for what the offer is priced in, where that is not the ledger's currency, and the rate; else null. */
void api_exchange_json(struct weir_json *j, const struct weir_offer *o);

/* Could the query be understood? Errors: -WEIR_EINVAL. */
int api_offers_check(struct weir_gpu_table *gpus, const struct api_offer_query *q, struct weir_err *err);

/* Is the cloud that is named one that there is, or could be? Errors: -WEIR_EINVAL. */
int api_offers_cloud(const struct api_offer_query *q, const struct weir_offer *rented, size_t n_rented, struct weir_err *err);

/* Writes {"items": [...], "feeds": [...], "next": ...}: owned ones first, then the others by price. The query must
 * have been checked. */
void api_offers_write(struct weir_gpu_table *gpus, const struct api_offer_query *q, const struct weir_offer *owned,
                      size_t n_owned, const struct weir_offer *rented, size_t n_rented, struct weir_str *out);
