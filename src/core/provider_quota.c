/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What providers allow at most. What a quota has in use is what the provider told, less our machines that it had in that, plus those that
 * live now: a machine counts from its intent until its end is proven, so that two launches never take one place.
 */

#include <string.h>

#include "base/hash.h"
#include "core/core_priv.h"

/* ---- of what a quota counts ---- */

static bool counts_type(const struct weir_provider_quota *q, const char *type)
{
    for (uint8_t i = 0; i < q->n_types; i++) {
        if (weir_glob_match(weir_sv_of(q->type[i]), weir_sv_of(type))) {
            return true;
        }
    }
    return q->n_types == 0;
}

int64_t weir_provider_quota_of(const struct weir_provider_quota *q, const struct weir_offer *o)
{
    bool market = q->markets == 0 ? o->market != WEIR_OFFER_RESERVED : (q->markets & 1u << o->market) != 0;
    if (!market || (q->region[0] != '\0' && !weir_streq(q->region, o->region)) || !counts_type(q, o->instance_type)) {
        return 0;
    }
    switch ((enum weir_quota_unit)q->unit) {
    case WEIR_QUOTA_UNIT_CORES:
        return ((int64_t)o->cpu_milli + 999) / 1000;
    case WEIR_QUOTA_UNIT_GPUS:
        return o->gpus;
    case WEIR_QUOTA_UNIT_MACHINES:
        return 1;
    case WEIR_QUOTA_UNIT_MEM_MIB:
        return o->mem_mib < INT64_MAX ? (int64_t)o->mem_mib : INT64_MAX;
    case WEIR_QUOTA_UNIT_MAX:
        break;
    }
    return 0;
}

uint64_t weir_provider_quota_id(const char *provider, const struct weir_provider_quota *q)
{
    /* the terminators keep the parts apart */
    uint64_t h = weir_fnv_bytes(WEIR_FNV_BASIS, provider, strlen(provider) + 1);
    h = weir_fnv_bytes(h, q->region, strlen(q->region) + 1);
    h = weir_fnv_bytes(h, q->name, strlen(q->name));
    return h == 0 ? 1 : h;
}

const char *weir_quota_unit_name(enum weir_quota_unit u)
{
    switch (u) {
    case WEIR_QUOTA_UNIT_CORES:
        return "vCPUs";
    case WEIR_QUOTA_UNIT_GPUS:
        return "GPUs";
    case WEIR_QUOTA_UNIT_MACHINES:
        return "machines";
    case WEIR_QUOTA_UNIT_MEM_MIB:
        return "MiB of memory";
    case WEIR_QUOTA_UNIT_MAX:
        break;
    }
    return "units";
}

static bool is_sane(const struct weir_provider_quota *q)
{
    bool ok = memchr(q->name, 0, sizeof q->name) != NULL && memchr(q->region, 0, sizeof q->region) != NULL &&
              q->n_types <= WEIR_PROVIDER_QUOTA_TYPES_MAX && q->unit < WEIR_QUOTA_UNIT_MAX && q->limit >= 0 && q->used >= 0;
    for (uint8_t i = 0; ok && i < q->n_types; i++) {
        ok = memchr(q->type[i], 0, sizeof q->type[i]) != NULL;
    }
    return ok;
}

/* ---- what is known ---- */

/* What the machines that live now take of it, and what of that the provider knew of. */
static void count_ours(const struct weir_core *c, struct known_quota *k, int64_t as_of_us, int64_t *ret_told)
{
    k->ours = 0;
    *ret_told = 0;
    for (size_t i = 0; i < c->leases.n; i++) {
        const struct lease *l = c->leases.p[i];
        if (l->provider != k->provider || weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_FINAL)) {
            continue;
        }
        int64_t takes = weir_provider_quota_of(&k->q, &l->offer);
        /* one that was told to end may be left out of what is in use before its end is proven: then it is no part of what others use */
        bool told = l->confirmed_us != 0 && l->confirmed_us <= as_of_us && !(l->state == WEIR_LEASE_ENDING && l->ending_us <= as_of_us);
        k->ours = weir_i64_add_sat(k->ours, takes);
        *ret_told = weir_i64_add_sat(*ret_told, told ? takes : 0);
    }
}

/* Is it the same quota, whatever it has now? */
static bool is_same(const struct weir_provider_quota *a, const struct weir_provider_quota *b)
{
    bool same = weir_streq(a->name, b->name) && weir_streq(a->region, b->region) && a->n_types == b->n_types && a->unit == b->unit && a->markets == b->markets;
    for (uint8_t i = 0; same && i < a->n_types; i++) {
        same = weir_streq(a->type[i], b->type[i]);
    }
    return same;
}

void provider_quotas_index(struct weir_core *c)
{
    for (size_t i = 0; i < c->offers.n; i++) {
        struct offer *o = &c->offers.p[i];
        o->n_quotas = 0;
        for (size_t k = 0; k < c->provider_quotas.n && o->n_quotas < OFFER_QUOTAS_MAX; k++) {
            const struct known_quota *q = &c->provider_quotas.p[k];
            if (q->provider == o->provider && weir_provider_quota_of(&q->q, &o->o) > 0) {
                o->quota[o->n_quotas++] = (uint32_t)k;
            }
        }
    }
}

/* Where the provider's rows begin; they stand together. *ret_n is how many there are. */
static size_t rows_of(const struct weir_core *c, uint32_t provider, size_t *ret_n)
{
    size_t first = 0;
    while (first < c->provider_quotas.n && c->provider_quotas.p[first].provider != provider) {
        first++;
    }
    *ret_n = 0;
    while (first + *ret_n < c->provider_quotas.n && c->provider_quotas.p[first + *ret_n].provider == provider) {
        ++*ret_n;
    }
    return first;
}

/* Takes what is told into rows that are of the same quotas. False: they are others. */
static bool renew(struct weir_core *c, uint32_t provider, const struct weir_provider_quota *q, size_t n)
{
    size_t had;
    size_t first = rows_of(c, provider, &had);
    bool same = had == n;
    for (size_t i = 0; i < n && same; i++) {
        same = is_sane(&q[i]) && is_same(&c->provider_quotas.p[first + i].q, &q[i]);
    }
    for (size_t i = 0; i < n && same; i++) {
        struct weir_provider_quota *old = &c->provider_quotas.p[first + i].q;
        c->review = c->review || old->limit != q[i].limit;
        *old = q[i];
    }
    return same;
}

static void replace(struct weir_core *c, uint32_t provider, const struct weir_provider_quota *q, size_t n)
{
    size_t keep = 0;
    for (size_t i = 0; i < c->provider_quotas.n; i++) {
        if (c->provider_quotas.p[i].provider != provider) {
            c->provider_quotas.p[keep++] = c->provider_quotas.p[i];
        }
    }
    c->provider_quotas.n = keep;
    for (size_t i = 0; i < n && i < WEIR_PROVIDER_QUOTAS_MAX; i++) {
        if (is_sane(&q[i])) {
            weir_vec_push(&c->provider_quotas, ((struct known_quota){.q = q[i], .provider = provider}));
        }
    }
    provider_quotas_index(c);
}

void provider_quotas_set(struct weir_core *c, const char *provider, const struct weir_provider_quota *q, size_t n, int64_t as_of_us)
{
    if (provider == NULL) {
        return;
    }
    uint32_t p = provider_get(c, provider);
    if (!renew(c, p, q, n)) {
        replace(c, p, q, n);
        c->review = true;
    }
    for (size_t i = 0; i < c->provider_quotas.n; i++) {
        struct known_quota *k = &c->provider_quotas.p[i];
        if (k->provider == p) {
            int64_t told;
            int64_t others = k->others;
            count_ours(c, k, as_of_us, &told);
            k->others = max_i64(k->q.used - told, 0);
            c->review = c->review || k->others != others;
        }
    }
}

bool provider_quotas_lease(struct weir_core *c, const struct lease *l, bool in)
{
    bool any = false;
    for (size_t i = 0; i < c->provider_quotas.n; i++) {
        struct known_quota *k = &c->provider_quotas.p[i];
        int64_t takes = k->provider == l->provider ? weir_provider_quota_of(&k->q, &l->offer) : 0;
        k->ours = weir_i64_add_sat(k->ours, in ? takes : -takes);
        any = any || takes > 0;
    }
    return any;
}

const struct known_quota *provider_quota_short(const struct weir_core *c, const struct offer *o, uint32_t machines)
{
    for (uint32_t i = 0; i < o->n_quotas; i++) {
        const struct known_quota *k = &c->provider_quotas.p[o->quota[i]];
        int64_t takes = weir_mul_div_sat(weir_provider_quota_of(&k->q, &o->o), machines, 1);
        if (weir_i64_add_sat(weir_i64_add_sat(k->others, k->ours), takes) > k->q.limit) {
            return k;
        }
    }
    return NULL;
}

const struct known_quota *provider_quota_never(const struct weir_core *c, const struct offer *o, uint32_t machines)
{
    for (uint32_t i = 0; i < o->n_quotas; i++) {
        const struct known_quota *k = &c->provider_quotas.p[o->quota[i]];
        if (weir_mul_div_sat(weir_provider_quota_of(&k->q, &o->o), machines, 1) > k->q.limit) {
            return k;
        }
    }
    return NULL;
}

static void view(const struct weir_core *c, const struct known_quota *k, struct weir_told_quota *ret)
{
    *ret = (struct weir_told_quota){.quota = k->q};
    memcpy(ret->provider, c->providers.p[k->provider].name, sizeof ret->provider);
    ret->quota.used = weir_i64_add_sat(k->others, k->ours);
}

size_t weir_core_provider_quotas(const struct weir_core *c, struct weir_told_quota *ret, size_t max)
{
    for (size_t i = 0; i < c->provider_quotas.n && i < max; i++) {
        view(c, &c->provider_quotas.p[i], &ret[i]);
    }
    return c->provider_quotas.n;
}

bool weir_core_provider_quota(const struct weir_core *c, uint64_t id, struct weir_told_quota *ret)
{
    for (size_t i = 0; i < c->provider_quotas.n && id != 0; i++) {
        const struct known_quota *k = &c->provider_quotas.p[i];
        if (weir_provider_quota_id(c->providers.p[k->provider].name, &k->q) == id) {
            view(c, k, ret);
            return true;
        }
    }
    return false;
}

int check_provider_quotas(const struct weir_core *c, struct weir_err *err)
{
    for (size_t i = 0; i < c->provider_quotas.n; i++) {
        struct known_quota k = c->provider_quotas.p[i];
        int64_t told;
        count_ours(c, &k, 0, &told);
        if (k.ours != c->provider_quotas.p[i].ours || k.others < 0) {
            return weir_fail(err, -WEIR_ECORRUPT, "what our machines take of the provider's quota '%s' is miscounted", k.q.name);
        }
    }
    return 0;
}
