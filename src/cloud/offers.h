/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Looking through offers: which of them give the GPUs that are wanted, at what price, and for each
 * that does not, why not. For `weir offers` and its API; the decision core has its own sum, in which
 * run times and risks count as well.
 */

#include "cloud/catalogue.h"

enum weir_offer_verdict {
    WEIR_VERDICT_INCLUDED,        /* has exactly the GPUs that are wanted */
    WEIR_VERDICT_INCLUDED_LARGER, /* has more GPUs than wanted; all of them are paid */
    WEIR_VERDICT_GPU,             /* another GPU model */
    WEIR_VERDICT_TOO_FEW_GPUS,
    WEIR_VERDICT_GPU_MEMORY,
    WEIR_VERDICT_CPUS,
    WEIR_VERDICT_MEMORY,
    WEIR_VERDICT_MARKET,
    WEIR_VERDICT_PROVIDER,
    WEIR_VERDICT_REGION,
    WEIR_VERDICT_TOO_DEAR,
    WEIR_VERDICT_STALE,    /* the price is too old */
    WEIR_VERDICT_EXPIRED,  /* the quote has ended */
    WEIR_VERDICT_FUTURE,   /* dated more than a day after now */
    WEIR_VERDICT_PARTIAL,  /* the price of the GPUs alone */
    WEIR_VERDICT_NO_PRICE, /* refused by the catalogue, as are the next three */
    WEIR_VERDICT_IMPLAUSIBLE,
    WEIR_VERDICT_DUPLICATE,
    WEIR_VERDICT_CURRENCY,
    WEIR_VERDICT_MAX,
};

struct weir_offer_query {
    uint32_t alternatives; /* 0: any GPU, any count */
    struct weir_gpu_wish alternative[WEIR_ALTERNATIVES_MAX];
    uint32_t markets;             /* bit per enum weir_market; 0: all */
    const char *const *providers; /* NULL-terminated globs; NULL: all */
    const char *const *regions;   /* NULL-terminated globs; NULL: all */
    uint32_t gpu_mem_mib_min;     /* an offer that does not tell its size passes */
    uint32_t cpu_milli_min;
    uint64_t mem_mib_min;
    int64_t price_max_micro_per_hour; /* of the instance; 0: no limit */
    struct weir_dur age_max;          /* 0: WEIR_CATALOGUE_AGE_DAYS_MAX days */
};

/* Small, as all of them are sorted. */
struct weir_offer_row {
    const struct weir_offer *offer; /* borrowed from who added it */
    enum weir_offer_verdict verdict;
    enum weir_price_basis basis;
    int64_t price_micro_per_hour;     /* the offer's */
    int64_t gpu_price_micro_per_hour; /* price / GPUs, rounded up; the whole price without GPUs */
    struct weir_dur age;              /* of the price, at now */
    const char *refused;              /* the catalogue's reason, borrowed from it; NULL: the verdict says all */
};

enum { WEIR_OFFER_REASON_SIZE = 112 };

struct weir_offer_list {
    struct weir_offer_row *row;
    size_t n;
    size_t size;
};

/* Adds offers (as a list price, or of a stated basis), which must outlive the list; call weir_offer_list_rank when all are in. */
void weir_offer_list_add(struct weir_offer_list *l, const struct weir_offer *offer, size_t n,
                         enum weir_price_basis basis);
/* Adds all offers of a sealed catalogue, and its refused rows with the reason. */
void weir_offer_list_add_catalogue(struct weir_offer_list *l, const struct weir_catalogue *c);
/*
 * Gives every row its verdict and sorts: exact ones, then larger ones, then the excluded; within
 * those by the instance's price, GPUs, provider, region, zone, type, market and id: a total order.
 * Returns how many are included, which come first. The excluded are in no order unless sort_excluded.
 */
size_t weir_offer_list_rank(struct weir_offer_list *l, const struct weir_offer_query *q, const struct weir_gpu_table *gpus, struct weir_wall now,
                            bool sort_excluded);
/* Why a ranked row is not what was asked for, for a person; "" where it is. */
const char *weir_offer_reason(const struct weir_offer_row *row, const struct weir_offer_query *q, const struct weir_gpu_table *gpus,
                              char ret[static WEIR_OFFER_REASON_SIZE]);
void weir_offer_list_release(struct weir_offer_list *l);

static inline bool weir_offer_verdict_is_included(enum weir_offer_verdict v)
{
    return v == WEIR_VERDICT_INCLUDED || v == WEIR_VERDICT_INCLUDED_LARGER;
}

/* "included", "included_larger", "gpu", ...: stable, for the API. */
const char *weir_offer_verdict_name(enum weir_offer_verdict v);

/* Reads "A100:8", "A100" (one) or "8" (of any model) into one wish. Errors: -WEIR_EINVAL with a
 * suggestion where the name is not known. */
int weir_gpu_wish_parse(struct weir_gpu_table *gpus, struct weir_sv text, struct weir_gpu_wish *ret,
                        struct weir_err *err);
