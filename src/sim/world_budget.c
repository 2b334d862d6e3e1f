/* SPDX-License-Identifier: Apache-2.0 */

/* Budgets: what is posted is told to the core as the broker does, which decides by it. */

#include "world_priv.h"

/* Rarer than in the broker, which does so every minute: work is long against it. */
#define SETTLE_US (10 * WEIR_US_PER_MIN)

static void be_patient(struct weir_sim_world *w, uint8_t span, struct weir_wall until)
{
    int64_t days = span == WEIR_BUDGET_MONTH ? 32 : span == WEIR_BUDGET_QUARTER ? 93 : 0;
    w->patience_us = days * WEIR_US_PER_DAY > w->patience_us ? days * WEIR_US_PER_DAY : w->patience_us;
    if (span == WEIR_BUDGET_FIXED && until.us > w->patient_until_us) {
        w->patient_until_us = until.us;
    }
}

void weir_world_budgets_set(struct weir_sim_world *w, const struct weir_sim_world_conf *conf)
{
    WEIR_ASSERT(conf->n_budgets == 0 || conf->billed);
    w->n_budgets = conf->n_budgets;
    for (size_t i = 0; i < conf->n_budgets; i++) {
        struct weir_event ev = {.kind = WEIR_EVENT_BUDGET_SET};
        ev.u.budget_set.budget = &conf->budget[i];
        ev.u.budget_set.charged_micro = conf->budget_spent[i];
        weir_world_step(w, &ev);
        be_patient(w, conf->budget[i].span, conf->budget[i].until);
    }
    w->n_quotas = conf->n_quotas;
    for (size_t i = 0; i < conf->n_quotas; i++) {
        struct weir_event ev = {.kind = WEIR_EVENT_QUOTA_SET, .u.quota_set.quota = &conf->quota[i]};
        weir_world_step(w, &ev);
        be_patient(w, conf->quota[i].span, conf->quota[i].until);
    }
    if (w->payers && conf->billed) {
        weir_world_schedule(w, weir_i64_add_sat(w->now_us, SETTLE_US), HAPPENS_SETTLE, 0, 0, 0);
    }
}

bool weir_world_budgets_charge(struct weir_sim_world *w)
{
    if (w->n_budgets == 0 || (w->charges.n == 0 && !weir_core_awaits_charges(w->core))) {
        return false;
    }
    struct weir_event ev = {.kind = WEIR_EVENT_CHARGED};
    ev.u.charged.charge = w->charges.p;
    ev.u.charged.n = w->charges.n;
    weir_world_step(w, &ev);
    weir_vec_clear(&w->charges);
    return true;
}

void weir_world_budgets_settle(struct weir_sim_world *w)
{
    weir_world_bill_settle(w, true);
    weir_world_schedule(w, weir_i64_add_sat(w->now_us, SETTLE_US), HAPPENS_SETTLE, 0, 0, 0);
}

static bool why(struct weir_sim_world *w, struct weir_job_id job, struct weir_explain *ret)
{
    return weir_core_explain(w->core, (struct weir_task_id){job, 0}, (struct weir_wall){w->now_us}, ret) && (ret->limit.v != 0 || ret->quota.v != 0);
}

/* Nothing runs: will there ever be room? */
static bool is_final(struct weir_sim_world *w, const struct task *t)
{
    struct weir_explain x;
    if (!why(w, (struct weir_job_id){t->job}, &x)) {
        return false;
    }
    if (x.limit.v == 0) {
        struct weir_quota_view q = weir_sim_world_quota(w, x.quota.v);
        return q.def.span == WEIR_BUDGET_FOREVER || (q.def.span != WEIR_BUDGET_FIXED && x.quota_need > q.def.limit);
    }
    struct weir_budget_view b = weir_sim_world_budget(w, x.limit.v);
    return b.def.span == WEIR_BUDGET_FOREVER || (b.def.span != WEIR_BUDGET_FIXED && x.limit_need_micro > b.def.amount_micro);
}

bool weir_world_budgets_are_final(struct weir_sim_world *w)
{
    for (size_t i = 0; i < w->tasks.n; i++) {
        const struct task *t = &w->tasks.p[i];
        if (t->job != 0 && !t->over && !is_final(w, t)) {
            return false;
        }
    }
    return true;
}

struct weir_sim_limit weir_sim_world_waits_for(struct weir_sim_world *w, struct weir_job_id job)
{
    struct weir_explain x;
    if (w->n_budgets + w->n_quotas == 0 || !why(w, job, &x)) {
        return (struct weir_sim_limit){0, 0};
    }
    return (struct weir_sim_limit){x.limit.v, x.limit.v == 0 ? x.quota.v : 0};
}

struct weir_quota_view weir_sim_world_quota(const struct weir_sim_world *w, size_t number)
{
    struct weir_quota_view v;
    bool known = weir_core_quota(w->core, (struct weir_quota_id){(uint32_t)number}, &v);
    WEIR_ASSERT(known);
    return v;
}

struct weir_budget_view weir_sim_world_budget(const struct weir_sim_world *w, size_t number)
{
    struct weir_budget_view v;
    bool known = weir_core_budget(w->core, (struct weir_budget_id){(uint32_t)number}, &v);
    WEIR_ASSERT(known);
    return v;
}

bool weir_sim_world_payer(const struct weir_sim_world *w, struct weir_payer_id id, struct weir_payer_view *ret)
{
    return weir_core_payer(w->core, id, ret);
}
