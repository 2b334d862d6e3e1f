/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Prices in other currencies than the ledger's. An offer bears the price as it was told, its currency, the rate by which it was converted, and
 * what that makes in the ledger's, rounded up; one of which no rate is in force has no price, and is never rented.
 */

#include "base/currency.h"
#include "core/model.h"

/* Most that an hour of a machine may cost, in units of any currency; what the ledger can take. */
#define WEIR_PRICE_MAX_MICRO INT64_C(10000000000000)

struct weir_provider_env;

/*
 * Prices the offer in another currency than the ledger's: at the rate, rounded up. False where there is no rate (0), or the price is out of
 * range; the offer then bears its own price, and none in the ledger's.
 */
bool weir_offer_exchange(struct weir_offer *o, const char *currency, int64_t original_micro_per_hour, int64_t rate_nano);
/* How many offers lack nothing but a rate of that currency. */
struct weir_unpriced {
    char currency[WEIR_CURRENCY_SIZE];
    size_t offers;
};
/* Counts one more in a list by currency, which has *n of at most max; a currency for which there is no space left is not counted. */
void weir_unpriced_add(struct weir_unpriced *list, size_t *n, size_t max, const char *currency);
/* "no rate of EUR is in force: ..." with the command that adds one. */
const char *weir_offer_no_rate(const char *currency, char *buf, size_t size);

/* An amount that is known in a currency ("": the ledger's), in the ledger's by the rate in force, rounded up; 0 where there is no rate, or it is too large. */
int64_t weir_provider_amount(const struct weir_provider_env *env, const char *currency, int64_t micro);
/* What a provider told now in a currency ("": the ledger's) takes the place of the offer's price. False, and no price, where no rate is in force. */
bool weir_provider_price(const struct weir_provider_env *env, struct weir_offer *o, const char *currency, int64_t micro_per_hour);
/* Since when a price that was told is in force: not later than now, and not told (0) where it would begin long after, whatever clocks differ by. */
struct weir_wall weir_provider_since(const struct weir_provider_env *env, struct weir_wall told);
