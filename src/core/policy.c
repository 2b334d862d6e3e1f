/* SPDX-License-Identifier: Apache-2.0 */
#include "core/policy.h"

#include <string.h>

#include "core/core_priv.h"

static bool takes_text(const char *pattern, const char *text)
{
    return pattern[0] == '\0' || weir_glob_match(weir_sv_of(pattern), weir_sv_of(text));
}

static bool takes(const struct weir_policy_rule *r, const struct weir_policy_facts *f)
{
    bool of_rented = r->provider[0] != '\0' || r->price_above_micro > 0 || r->market != WEIR_POLICY_ANY_MARKET;
    if (f->rented ? r->place == WEIR_POLICY_OWNED : r->place == WEIR_POLICY_RENTED || of_rented) {
        return false;
    }
    if (r->market != WEIR_POLICY_ANY_MARKET && (r->market == WEIR_POLICY_SPOT) != f->spot) {
        return false;
    }
    return (r->price_above_micro == 0 || f->price_micro_per_hour > r->price_above_micro) && takes_text(r->provider, f->provider) &&
           takes_text(r->region, f->region) && takes_text(r->gpu, f->gpu);
}

size_t weir_policy_decide(const struct weir_policy_rule *rule, size_t n, const struct weir_policy_facts *f)
{
    for (size_t i = 0; i < n; i++) {
        if (takes(&rule[i], f)) {
            return i;
        }
    }
    return SIZE_MAX;
}

static bool is_allowed(const struct weir_core *c, uint32_t number, const struct weir_policy_facts *f)
{
    const struct policy_list *l = &c->policies.p[number - 1];
    size_t i = weir_policy_decide(l->rule, l->n, f);
    return i == SIZE_MAX || !l->rule[i].deny;
}

static const char *gpu_name(const struct weir_core *c, uint16_t gpus, uint16_t model)
{
    return gpus == 0 || model == WEIR_GPU_MODEL_ANY ? "" : weir_gpu_table_get(c->conf.gpus, model)->name;
}

bool policy_allows_type(const struct weir_core *c, const struct weir_request *r, const struct node_type *t)
{
    const struct weir_policy_facts f = {.rented = t->rented, .spot = t->market == WEIR_OFFER_SPOT, .provider = t->provider, .region = t->region,
                                        .gpu = gpu_name(c, t->gpus, t->gpu_model), .price_micro_per_hour = t->full_micro_per_hour};
    return r->policy == 0 || is_allowed(c, r->policy, &f);
}

bool policy_allows_offer(const struct weir_core *c, const struct weir_request *r, const struct weir_offer *o)
{
    const struct weir_policy_facts f = {.rented = true, .spot = o->market == WEIR_OFFER_SPOT, .provider = o->provider, .region = o->region,
                                        .gpu = gpu_name(c, o->gpus, o->gpu_model), .price_micro_per_hour = o->price_micro_per_hour};
    return r->policy == 0 || is_allowed(c, r->policy, &f);
}

int policy_check(const struct weir_core *c, uint32_t number, const struct weir_policy_rule *rule, size_t n, struct weir_err *err)
{
    if (number != c->policies.n + 1 || number > WEIR_POLICIES_MAX || n > WEIR_POLICY_RULES_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "policy %u: it is not the next one, or it has more than %d rules", (unsigned)number, WEIR_POLICY_RULES_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        const struct weir_policy_rule *r = &rule[i];
        if (memchr(r->provider, 0, sizeof r->provider) == NULL || memchr(r->region, 0, sizeof r->region) == NULL ||
            memchr(r->gpu, 0, sizeof r->gpu) == NULL || r->place > WEIR_POLICY_RENTED || r->market > WEIR_POLICY_NOT_SPOT || r->price_above_micro < 0) {
            return weir_fail(err, -WEIR_EINVAL, "policy %u: rule %zu is not well-formed", (unsigned)number, i + 1);
        }
    }
    return 0;
}

void policy_define(struct weir_core *c, const struct weir_policy_rule *rule, size_t n)
{
    struct policy_list l = {.rule = weir_calloc(n + 1, sizeof *rule), .n = n};
    if (n > 0) {
        memcpy(l.rule, rule, n * sizeof *rule);
    }
    weir_vec_push(&c->policies, l);
}

void policies_free(struct weir_core *c)
{
    for (size_t i = 0; i < c->policies.n; i++) {
        free(c->policies.p[i].rule);
    }
    weir_vec_release(&c->policies);
}

uint32_t weir_core_policies(const struct weir_core *c)
{
    return (uint32_t)c->policies.n;
}

const struct weir_policy_rule *weir_core_policy(const struct weir_core *c, uint32_t number, size_t *ret_n)
{
    if (number == 0 || number > c->policies.n) {
        *ret_n = 0;
        return NULL;
    }
    *ret_n = c->policies.p[number - 1].n;
    return c->policies.p[number - 1].rule;
}

int weir_core_restore_policy(struct weir_core *c, uint32_t number, const struct weir_policy_rule *rule, size_t n, struct weir_err *err)
{
    if (policy_check(c, number, rule, n, err) < 0) {
        return -WEIR_ECORRUPT;
    }
    policy_define(c, rule, n);
    return 0;
}
