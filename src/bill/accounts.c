/* SPDX-License-Identifier: Apache-2.0 */
#include "bill/bill.h"

#include "base/str.h"

static const char *const names[WEIR_ACCOUNT_MAX] = {
    [WEIR_ACCOUNT_PROVIDER] = "provider",     [WEIR_ACCOUNT_DEPRECIATION] = "depreciation",
    [WEIR_ACCOUNT_ENERGY] = "energy",         [WEIR_ACCOUNT_UPKEEP] = "upkeep",
    [WEIR_ACCOUNT_NODE] = "node",             [WEIR_ACCOUNT_JOB] = "job",
    [WEIR_ACCOUNT_IDLE] = "idle",             [WEIR_ACCOUNT_WASTE_BOOT] = "waste_boot",
    [WEIR_ACCOUNT_WASTE_LOST] = "waste_lost", [WEIR_ACCOUNT_WASTE_FAILED] = "waste_failed",
    [WEIR_ACCOUNT_PRICE] = "price",           [WEIR_ACCOUNT_MARGIN] = "margin",
};

const char *weir_account_name(enum weir_account a)
{
    return (unsigned)a < WEIR_ACCOUNT_MAX ? names[a] : "unknown";
}

enum weir_account weir_account_find(const char *name)
{
    for (int i = 0; i < WEIR_ACCOUNT_MAX; i++) {
        if (weir_streq(names[i], name)) {
            return (enum weir_account)i;
        }
    }
    return WEIR_ACCOUNT_MAX;
}

int64_t weir_posting_slice(const struct weir_posting *p, int64_t amount, int64_t lo, int64_t hi)
{
    int64_t span = p->to.us - p->from.us;
    if (span <= 0 || (lo <= p->from.us && hi >= p->to.us)) {
        return amount;
    }
    return weir_mul_div_sat(amount, hi - p->from.us, span) - weir_mul_div_sat(amount, lo - p->from.us, span);
}

struct weir_footprint weir_posting_footprint(const struct weir_posting *p, int64_t lo, int64_t hi)
{
    struct weir_footprint f = {0};
    if (weir_account_is_use(p->debit)) {
        f.energy_mj = weir_posting_slice(p, p->energy_mj, lo, hi);
        f.carbon_ug = weir_posting_slice(p, p->carbon_ug, lo, hi);
    }
    if (p->carbon_unknown) {
        f.has_unknown = weir_account_is_use(p->debit);
        int64_t amount = weir_posting_slice(p, p->amount_micro, lo, hi);
        f.unknown_micro = (weir_account_is_use(p->debit) ? amount : 0) - (weir_account_is_use(p->credit) ? amount : 0);
    }
    return f;
}

void weir_footprint_add(struct weir_footprint *sum, const struct weir_footprint *part)
{
    sum->energy_mj = weir_i64_add_sat(sum->energy_mj, part->energy_mj);
    sum->carbon_ug = weir_i64_add_sat(sum->carbon_ug, part->carbon_ug);
    sum->unknown_micro = weir_i64_add_sat(sum->unknown_micro, part->unknown_micro);
    sum->has_unknown = sum->has_unknown || part->has_unknown;
}

/* The use side of a correction from outside; what it takes back is less than nothing. */
static bool correction_charges(const struct weir_posting *p, struct weir_charged *ret)
{
    bool onto = weir_account_is_use(p->debit);
    uint8_t account = onto ? p->debit : p->credit;
    if (p->amount_micro <= 0 || !weir_account_is_use(account) || (account == WEIR_ACCOUNT_IDLE && p->lease.v == 0)) {
        return false;
    }
    *ret = (struct weir_charged){.payer = p->payer, .lease = p->lease, .from = p->from, .to = p->to, .micro = onto ? p->amount_micro : -p->amount_micro};
    return true;
}

bool weir_posting_charges(const struct weir_posting *p, struct weir_charged *ret)
{
    struct weir_charged k = {.payer = p->payer, .lease = p->lease, .from = p->from, .to = p->to, .micro = p->amount_micro};
    bool provider = p->credit == WEIR_ACCOUNT_PROVIDER;
    if (p->correction != 0) {
        return correction_charges(p, ret);
    }
    bool unused = p->debit == WEIR_ACCOUNT_IDLE || p->debit == WEIR_ACCOUNT_WASTE_BOOT;
    if (p->amount_micro <= 0 || (!provider && p->credit != WEIR_ACCOUNT_NODE) || (unused && p->lease.v == 0)) {
        return false;
    }
    k.is_cost = provider;
    if (!provider && !unused) {
        k.run = p->run;
    }
    *ret = k;
    return true;
}
