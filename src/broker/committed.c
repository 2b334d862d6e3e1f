/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Machines that are paid for whether they run or not: reserved instances, committed use, savings plans. They are rented as any other of their type on demand,
 * which is what providers' discounts come by; here they are offers of their own, of which there are so many, decided on as free and billed at
 * what the commitment costs for each.
 */

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "broker_priv.h"
#include "cloud/catalogue.h"
#include "cloud/section.h"
#include "config_priv.h"

static const char *const keys[] = {"provider", "instance_type", "region", "zone", "machines", "plan_per_hour", "per_hour", NULL};

int committed_read(struct weir_config_committed *ret, const struct json_t *section, struct weir_err *err)
{
    static const char where[] = "committed";
    struct weir_config_committed c = {.machines = 0};
    int64_t plan = 0;
    int r = json_is_object(section) ? weir_section_check(section, where, keys, err) : weir_section_bad(err, where, "", "each must be a mapping with provider, instance_type, region");
    r = r < 0 ? r : weir_section_text(section, where, "provider", c.provider, sizeof c.provider, err);
    r = r < 0 ? r : weir_section_text(section, where, "instance_type", c.instance_type, sizeof c.instance_type, err);
    r = r < 0 ? r : weir_section_text(section, where, "region", c.region, sizeof c.region, err);
    r = r < 0 ? r : weir_section_text(section, where, "zone", c.zone, sizeof c.zone, err);
    r = r < 0 ? r : weir_section_u32(section, where, "machines", 1, 100000, &c.machines, err);
    r = r < 0 ? r : weir_section_price(section, where, "per_hour", &c.price_micro_per_hour, err);
    r = r < 0 ? r : weir_section_price(section, where, "plan_per_hour", &plan, err);
    if (r < 0) {
        return r;
    }
    if (c.provider[0] == '\0' || c.instance_type[0] == '\0' || c.region[0] == '\0') {
        return weir_section_bad(err, where, c.provider[0] == '\0' ? "provider" : c.instance_type[0] == '\0' ? "instance_type" : "region", "is missing");
    }
    if ((c.machines == 0) == (plan == 0)) {
        return weir_section_bad(err, where, "machines", "is how many are paid for; or plan_per_hour what the plan pays for each hour: one of both");
    }
    if (plan > 0 && (c.price_micro_per_hour == 0 || plan / c.price_micro_per_hour < 1 || plan / c.price_micro_per_hour > 100000)) {
        return weir_section_bad(err, where, "per_hour", "must be the plan's rate of one machine, for which plan_per_hour is enough");
    }
    c.machines = plan > 0 ? (uint32_t)(plan / c.price_micro_per_hour) : c.machines;
    *ret = c;
    return 0;
}

/* The offer on demand that it discounts: the first in its zone, where it names one. */
static const struct weir_offer *offer_of(const struct weir_config_committed *c, const struct weir_offer *o, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (o[i].market == WEIR_OFFER_ON_DEMAND && weir_streq(o[i].instance_type, c->instance_type) && weir_streq(o[i].region, c->region) &&
            (c->zone[0] == '\0' || weir_streq(o[i].zone, c->zone))) {
            return &o[i];
        }
    }
    return NULL;
}

bool committed_offer(const struct weir_config_committed *c, const char *provider, const struct weir_offer *o, size_t n, struct weir_offer *ret)
{
    const struct weir_offer *like = weir_streq(c->provider, provider) ? offer_of(c, o, n) : NULL;
    if (like == NULL) {
        return false;
    }
    *ret = *like;
    ret->market = WEIR_OFFER_RESERVED;
    ret->machines_max = c->machines;
    if (c->price_micro_per_hour > 0) { /* in the ledger's currency */
        ret->price_micro_per_hour = c->price_micro_per_hour;
        memset(ret->currency, 0, sizeof ret->currency);
        ret->original_micro_per_hour = 0;
        ret->rate_nano = 0;
    }
    (void)snprintf(ret->source, sizeof ret->source, "committed, in weir.yaml");
    ret->id = weir_offer_id(ret);
    return true;
}
