/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/exchange.h"

#include <stdio.h>
#include <string.h>

#include "base/money.h"
#include "base/str.h"
#include "cloud/provider.h"

#define CLOCKS_DIFFER_US_MAX (10 * WEIR_US_PER_MIN)

bool weir_offer_exchange(struct weir_offer *o, const char *currency, int64_t original_micro_per_hour, int64_t rate_nano)
{
    memset(o->currency, 0, sizeof o->currency); /* offers are compared byte by byte */
    memcpy(o->currency, currency, strnlen(currency, sizeof o->currency - 1));
    o->original_micro_per_hour = original_micro_per_hour;
    o->rate_nano = 0;
    o->price_micro_per_hour = 0;
    int64_t price;
    if (!weir_money_exchange_up(original_micro_per_hour, rate_nano, &price) || price > WEIR_PRICE_MAX_MICRO) {
        return false;
    }
    o->rate_nano = rate_nano;
    o->price_micro_per_hour = price;
    return true;
}

void weir_unpriced_add(struct weir_unpriced *list, size_t *n, size_t max, const char *currency)
{
    size_t k = 0;
    while (k < *n && !weir_streq(list[k].currency, currency)) {
        k++;
    }
    if (k == max) {
        return;
    }
    if (k == *n) {
        list[(*n)++] = (struct weir_unpriced){.offers = 0};
        memcpy(list[k].currency, currency, strnlen(currency, WEIR_CURRENCY_SIZE - 1));
    }
    list[k].offers++;
}

const char *weir_offer_no_rate(const char *currency, char *buf, size_t size)
{
    (void)snprintf(buf, size, "no rate of %.3s is in force: weir rule add NAME exchange --currency %.3s --rate RATE", currency, currency);
    return buf;
}

static bool is_ledgers(const struct weir_provider_env *env, const char *currency)
{
    return currency[0] == '\0' || weir_streq(currency, env->currency == NULL ? "USD" : env->currency);
}

static int64_t rate_of(const struct weir_provider_env *env, const char *currency)
{
    return env->rate == NULL ? 0 : env->rate(env->rate_ctx, currency);
}

int64_t weir_provider_amount(const struct weir_provider_env *env, const char *currency, int64_t micro)
{
    int64_t v = 0;
    return is_ledgers(env, currency) ? micro : weir_money_exchange_up(micro, rate_of(env, currency), &v) ? v : 0;
}

bool weir_provider_price(const struct weir_provider_env *env, struct weir_offer *o, const char *currency, int64_t micro_per_hour)
{
    if (!is_ledgers(env, currency)) {
        int64_t rate = rate_of(env, currency);
        (void)weir_offer_exchange(o, currency, micro_per_hour, rate); /* no price, which is refused, where it is out of range */
        return rate != 0;
    }
    memset(o->currency, 0, sizeof o->currency);
    o->original_micro_per_hour = 0;
    o->rate_nano = 0;
    o->price_micro_per_hour = micro_per_hour;
    return true;
}

struct weir_wall weir_provider_since(const struct weir_provider_env *env, struct weir_wall told)
{
    struct weir_wall now = weir_clock_wall(env->clock);
    if (weir_wall_sub(told, now).us > CLOCKS_DIFFER_US_MAX) {
        return (struct weir_wall){0};
    }
    return told.us > now.us ? now : told;
}
