/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases: a rented machine from intent to proven end. Its node exists from the intent on, so that tasks
 * can be bound to it while it boots.
 */

#include <stdlib.h>
#include <string.h>

#include "core/core_priv.h"

static bool lease_is_consistent(const void *object)
{
    const struct lease *l = object;
    bool over = weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_FINAL);
    if (l->state == WEIR_LEASE_READY && l->ready_us == 0) {
        return false;
    }
    return over || l->node != NULL;
}

static void lease_move(struct weir_core *c, struct lease *l, enum weir_lease_state to)
{
    lease_count(c, l, false);
    c->leases_booting -= lease_boots(l);
    weir_sm_move(&weir_sm_lease, &l->state, to, lease_is_consistent, l);
    c->leases_booting += lease_boots(l);
    lease_count(c, l, true);
    if (weir_sm_is(&weir_sm_lease, to, WEIR_SM_FINAL) && provider_quotas_lease(c, l, false)) {
        c->review = true; /* somebody may wait for what it took */
    }
    if (!weir_sm_is(&weir_sm_lease, to, WEIR_SM_COUNTS)) {
        WEIR_ASSERT(c->leases_live > 0);
        c->leases_live--;
        c->leases_micro_per_hour -= lease_marginal(l);
    }
    lease_changed(c, l);
}

struct lease *lease_new(struct weir_core *c, const struct weir_offer *o, struct weir_task_id task, struct payer *payer)
{
    struct lease *l = weir_alloc(sizeof *l);
    l->id = c->next_lease++;
    l->offer = *o;
    l->price_micro_per_hour = o->price_micro_per_hour;
    l->task = task;
    l->payer = payer;
    learned_apply(c, l);
    l->state = WEIR_LEASE_INTENT;
    l->provider = provider_get(c, o->provider);
    lease_count(c, l, true);
    (void)provider_quotas_lease(c, l, true);
    l->intent_us = c->now_us;
    l->expires_us = weir_i64_add_sat(c->now_us, c->conf.lease_term.us);
    l->expires_us = o->ends.us != 0 ? min_i64(l->expires_us, o->ends.us) : l->expires_us;
    struct weir_node_spec spec = {.id = {c->next_node++},
                                  .lease = {l->id},
                                  .gpu_model = o->gpu_model,
                                  .gpus = o->gpus,
                                  .gpu_mem_mib = o->gpu_mem_mib,
                                  .cpu_milli = o->cpu_milli,
                                  .mem_mib = o->mem_mib};
    memcpy(spec.region, o->region, sizeof spec.region);
    memcpy(spec.provider, o->provider, sizeof spec.provider);
    spec.rates.full_micro_per_hour = o->price_micro_per_hour;
    spec.rates.marginal_busy_micro_per_hour = offer_marginal(o);
    weir_vec_push(&c->leases, l);
    limits_lease_new(c, l);
    c->leases_live++;
    c->leases_micro_per_hour += lease_marginal(l);
    c->leases_booting++;
    l->node = node_new(c, &spec, l);
    l->node_id = spec.id.v;
    node_index(c, l->node);
    node_changed(c, l->node);
    lease_changed(c, l);
    struct weir_effect *e = effect_add(c, WEIR_EFFECT_LEASE_LAUNCH);
    e->lease.v = l->id;
    e->node = spec.id;
    e->u.lease_launch.offer = &l->offer;
    e->u.lease_launch.expires.us = l->expires_us;
    timer_for_lease(c, l);
    return l;
}

void lease_terminate(struct weir_core *c, struct lease *l)
{
    if (!weir_sm_may(&weir_sm_lease, l->state, WEIR_LEASE_ENDING)) {
        return;
    }
    lease_move(c, l, WEIR_LEASE_ENDING);
    l->ending_us = c->now_us;
    node_index(c, l->node);
    struct weir_effect *e = effect_add(c, WEIR_EFFECT_LEASE_TERMINATE);
    e->lease.v = l->id;
    e->node.v = l->node_id;
}

void lease_finish(struct weir_core *c, struct lease *l, enum weir_lease_state to, int64_t at_us, bool reclaimed)
{
    struct node *n = l->node;
    l->ended_us = at_us;
    l->reclaimed = l->reclaimed || reclaimed;
    lease_move(c, l, to);
    learned_lease_over(c, l);
    node_gone(c, n, l->reclaimed ? WEIR_REASON_RECLAIM : WEIR_REASON_NODE_LOST, at_us);
    limits_lease_over(c, l);
    l->node = NULL;
    n->lease = NULL;
}

static void lose_all(struct weir_core *c, struct node *n, enum weir_reason reason)
{
    while (n->runs.n > 0) {
        run_lose(c, n->runs.p[0].run, reason, c->now_us);
    }
}

/* It was made, and costs, but it is of no use: its end must be proven. */
static void give_up(struct weir_core *c, struct lease *l, enum weir_refusal why)
{
    l->refusal = (uint8_t)why;
    offer_remember_given_up(c, &l->offer, (struct refused){.lease = l->id, .task = l->task, .refusal = l->refusal, .intent_us = l->intent_us, .at_us = c->now_us});
    lease_terminate(c, l);
    lose_all(c, l->node, WEIR_REASON_NODE_LOST);
}

bool weir_offer_is_kept(const struct weir_gpu_table *gpus, const struct weir_offer *o, const struct weir_node_spec *came)
{
    /* a driver keeps part of each device's memory for itself, with error correction up to a twelfth */
    return o->gpus == 0 ||
           (came->gpus >= o->gpus && came->gpu_model != WEIR_GPU_MODEL_ANY && weir_gpu_table_match(gpus, o->gpu_model, came->gpu_model) &&
            (came->gpu_mem_mib == 0 || (uint64_t)came->gpu_mem_mib * 8 >= (uint64_t)o->gpu_mem_mib * 7));
}

bool lease_fell_short(struct weir_core *c, struct lease *l, const struct weir_node_spec *came)
{
    if (weir_offer_is_kept(c->conf.gpus, &l->offer, came)) {
        return false;
    }
    if (l->confirmed_us == 0) { /* the answer of the provider was lost; the machine is here, and costs */
        lease_confirm(c, l, c->now_us);
    }
    node_meter_open(c, l->node, l->confirmed_us);
    give_up(c, l, WEIR_REFUSAL_FELL_SHORT);
    return true;
}

/* ---- what time brings ---- */

/* Until when it is billed if it is of use until that time. */
static int64_t billed_until_us(const struct lease *l, int64_t used_us)
{
    int64_t quantum = max_i64(l->offer.bill_quantum.us, 1);
    int64_t span = max_i64(used_us - l->confirmed_us, l->offer.bill_minimum.us);
    return weir_i64_add_sat(l->confirmed_us, (span + quantum - 1) / quantum * quantum);
}

/* What renting anew would take; no more than money is held for. */
static int64_t boot_anew_us(const struct lease *l)
{
    return min_i64(l->boot_us, l->offer.boot_expected.us);
}

/*
 * Ski rental: an idle machine is kept until the idling has cost what renting anew would (its boot), at
 * least to the end of what is billed already; a new billing quantum that costs more than that is not
 * begun.
 */
int64_t lease_idle_end_us(const struct lease *l)
{
    int64_t idle = l->node->idle_since_us;
    int64_t quantum = max_i64(l->offer.bill_quantum.us, 1);
    int64_t paid = billed_until_us(l, idle);
    int64_t boot = boot_anew_us(l);
    if (quantum > boot) {
        int64_t margin = quantum >= 10 * WEIR_US_PER_MIN ? WEIR_US_PER_MIN : 0;
        return max_i64(paid - margin, idle);
    }
    return max_i64(weir_i64_add_sat(idle, boot), paid);
}

static int64_t boot_limit_us(const struct weir_core *c, const struct lease *l)
{
    int64_t from = l->confirmed_us != 0 ? l->confirmed_us : l->intent_us;
    return weir_i64_add_sat(from, c->conf.boot_limit.us);
}

/* Until when it may live, extended now: nobody may be there to end it before, so no longer than it is paid for. */
static int64_t extended_us(const struct weir_core *c, const struct lease *l)
{
    return min_i64(weir_i64_add_sat(c->now_us, c->conf.lease_term.us), lease_paid_until_us(l));
}

static void extend(struct weir_core *c, struct lease *l)
{
    bool lives = lease_boots(l) || l->state == WEIR_LEASE_READY;
    int64_t until = extended_us(c, l);
    if (lives && l->expires_us - c->now_us <= c->conf.lease_term.us / 2 && until > l->expires_us) {
        l->expires_us = until;
        struct weir_effect *e = effect_add(c, WEIR_EFFECT_LEASE_EXTEND);
        e->lease.v = l->id;
        e->node.v = l->node_id;
        e->u.lease_extend.expires.us = l->expires_us;
        lease_changed(c, l);
    }
}

void lease_cap(struct weir_core *c, struct lease *l)
{
    size_t i = l->state == WEIR_LEASE_INTENT && l->intent_us == c->now_us ? c->effects.n : 0;
    while (i > 0 && (c->effects.p[i - 1].kind != WEIR_EFFECT_LEASE_LAUNCH || c->effects.p[i - 1].lease.v != l->id)) {
        i--;
    }
    if (i > 0) { /* nobody has heard of it */
        l->expires_us = extended_us(c, l);
        c->effects.p[i - 1].u.lease_launch.expires.us = l->expires_us;
    } else {
        extend(c, l);
    }
    timer_for_lease(c, l);
}

int64_t lease_due_us(const struct weir_core *c, const struct lease *l)
{
    int64_t extend = lease_paid_until_us(l) > l->expires_us ? l->expires_us - c->conf.lease_term.us / 2 : US_NEVER;
    switch ((enum weir_lease_state)l->state) {
    case WEIR_LEASE_INTENT:
    case WEIR_LEASE_BOOTING:
        return min_i64(boot_limit_us(c, l), extend);
    case WEIR_LEASE_READY:
        if (l->node->runs.n > 0 || l->node->idle_since_us == 0) {
            return extend;
        }
        return l->node->state == WEIR_NODE_DRAINING ? c->now_us : min_i64(extend, max_i64(lease_idle_end_us(l), l->node->idle_since_us + 1));
    case WEIR_LEASE_RECLAIMED:
        return l->node->runs.n == 0 ? c->now_us : US_NEVER;
    case WEIR_LEASE_ENDING:
    case WEIR_LEASE_ENDED:
    case WEIR_LEASE_FAILED:
    case WEIR_LEASE_STATE_MAX:
        return US_NEVER;
    }
    return US_NEVER;
}

static void lease_end_idle(struct weir_core *c, struct lease *l)
{
    struct weir_explain *x = explain_add(c, WEIR_DECISION_END_LEASE);
    x->node.v = l->node_id;
    x->lease.v = l->id;
    lease_terminate(c, l);
}

void lease_say_kept(struct weir_core *c, const struct node *n)
{
    const struct lease *l = n->lease;
    if (l == NULL || l->state != WEIR_LEASE_READY || n->state != WEIR_NODE_UP || n->runs.n > 0 || n->idle_since_us != c->now_us) {
        return;
    }
    struct weir_explain *x = explain_add(c, WEIR_DECISION_KEEP_LEASE);
    x->node.v = l->node_id;
    x->lease.v = l->id;
    x->expected_run.us = max_i64(lease_idle_end_us(l) - c->now_us, 0);
}

/* What has only now become idle is not ended before those who wait had the choice: see leases_sweep. */
static void lease_look_ready(struct weir_core *c, struct lease *l)
{
    const struct node *n = l->node;
    if (n->runs.n == 0 && (n->state == WEIR_NODE_DRAINING || l->state == WEIR_LEASE_RECLAIMED ||
                           (n->idle_since_us != 0 && c->now_us > n->idle_since_us && c->now_us >= lease_idle_end_us(l)))) {
        lease_end_idle(c, l);
    }
}

void lease_look(struct weir_core *c, struct lease *l)
{
    switch ((enum weir_lease_state)l->state) {
    case WEIR_LEASE_INTENT:
    case WEIR_LEASE_BOOTING:
        if (c->now_us >= boot_limit_us(c, l)) {
            give_up(c, l, WEIR_REFUSAL_BOOT_FAILED);
        }
        break;
    case WEIR_LEASE_READY:
    case WEIR_LEASE_RECLAIMED:
        lease_look_ready(c, l);
        break;
    case WEIR_LEASE_ENDING:
    case WEIR_LEASE_ENDED:
    case WEIR_LEASE_FAILED:
    case WEIR_LEASE_STATE_MAX:
        return;
    }
    extend(c, l);
    timer_for_lease(c, l);
}

/*
 * It came up for a gang whose other machines cannot be had, and of all that wait nobody took it. Kept as one that was of use it would
 * idle for what a boot costs, but nothing says that anybody wants it: the gang asks for all of its machines anew. So it goes at once,
 * as one that boots for nobody does, unless more than a boot is paid for anyway.
 */
static bool is_left_over(const struct weir_core *c, const struct node *n)
{
    return n->unused && billed_until_us(n->lease, c->now_us) - c->now_us < boot_anew_us(n->lease);
}

static bool is_done_with(const struct weir_core *c, const struct node *n)
{
    return n->idle_since_us != 0 && c->now_us >= lease_idle_end_us(n->lease);
}

bool leases_sweep(struct weir_core *c)
{
    bool any = false;
    size_t first = c->leases.n; /* that boots: they are among the newest */
    for (uint32_t left = c->leases_booting; left > 0; left -= lease_boots(c->leases.p[first])) {
        first--;
    }
    for (size_t i = first; i < c->leases.n; i++) {
        struct lease *l = c->leases.p[i];
        if (lease_boots(l) && l->node->runs.n == 0) {
            lease_end_idle(c, l);
            any = true;
        }
    }
    for (size_t i = 0; i < c->grown.n; i++) {
        const struct node *n = c->grown.p[i];
        bool idle = n->runs.n == 0 && n->state == WEIR_NODE_UP && n->lease != NULL && n->lease->state == WEIR_LEASE_READY;
        if (idle && (is_left_over(c, n) || is_done_with(c, n))) {
            lease_end_idle(c, n->lease);
            any = true;
        }
    }
    return any;
}

/* ---- events ---- */

void lease_confirm(struct weir_core *c, struct lease *l, int64_t at_us)
{
    struct provider *p = &c->providers.p[l->provider];
    lease_count(c, l, false);
    l->confirmed_us = at_us;
    lease_count(c, l, true);
    p->made_us = max_i64(p->made_us, at_us);
    c->paces_known = false;
    c->review = c->review || p->held;
    p->held = false;
    lease_cap(c, l); /* it is paid for from now on, not from the intent */
}

static void lease_confirmed(struct weir_core *c, struct lease *l, int64_t at_us)
{
    if (l->confirmed_us != 0 ||
        (l->state != WEIR_LEASE_INTENT && l->state != WEIR_LEASE_ENDING)) {
        return;
    }
    lease_confirm(c, l, max_i64(min_i64(max_i64(at_us, l->intent_us), c->now_us), 1));
    if (l->state == WEIR_LEASE_INTENT) {
        lease_move(c, l, WEIR_LEASE_BOOTING);
    }
    node_meter_open(c, l->node, l->confirmed_us);
    for (size_t i = 0; i < l->node->runs.n; i++) { /* the end may be sooner than it was by the intent */
        run_predict(c, l->node->runs.p[i].run);
        timer_for_run(c, l->node->runs.p[i].run);
    }
    node_index(c, l->node);
    weir_vec_push(&c->touched, l->node);
    lease_changed(c, l);
    timer_for_lease(c, l);
}

static void lease_refused(struct weir_core *c, struct lease *l, uint8_t refusal, int64_t retry_after_us)
{
    if (l->state == WEIR_LEASE_BOOTING) {
        give_up(c, l, WEIR_REFUSAL_BOOT_FAILED);
        return;
    }
    bool pending = l->state == WEIR_LEASE_INTENT || l->state == WEIR_LEASE_ENDING;
    if (!pending || l->confirmed_us != 0) {
        return; /* it exists: only its end can be reported */
    }
    if (refusal >= WEIR_REFUSAL_MAX) {
        refusal = WEIR_REFUSAL_REFUSED;
    }
    int64_t memory = refusal == WEIR_REFUSAL_THROTTLED ? WEIR_US_PER_MIN
                                                       : c->conf.capacity_memory.us;
    int64_t until = weir_i64_add_sat(c->now_us, max_i64(memory, retry_after_us));
    if (l->refusal == WEIR_REFUSAL_BOOT_FAILED) { /* given up before: what is remembered of that still counts */
        until = max_i64(until, weir_i64_add_sat(l->ending_us, c->conf.capacity_memory.us));
    }
    l->refusal = refusal;
    l->ending_us = until;
    offer_remember(c, &l->offer, &(struct refused){l->id, l->task, refusal, l->intent_us, c->now_us, until});
    lease_finish(c, l, WEIR_LEASE_FAILED, c->now_us, false);
    c->review = true;
}

static void lease_notice(struct weir_core *c, struct lease *l, int64_t at_us)
{
    if (l->state == WEIR_LEASE_BOOTING) {
        lease_terminate(c, l);
        lose_all(c, l->node, WEIR_REASON_RECLAIM);
        return;
    }
    if (l->state != WEIR_LEASE_READY) {
        return;
    }
    l->reclaim_us = max_i64(at_us, c->now_us);
    l->reclaimed = true;
    lease_move(c, l, WEIR_LEASE_RECLAIMED);
    struct node *n = l->node;
    if (n->state == WEIR_NODE_UP) {
        weir_sm_move(&weir_sm_node, &n->state, WEIR_NODE_DRAINING, NULL, n);
        n->since_us = c->now_us;
        node_changed(c, n);
    }
    node_index(c, n);
    for (size_t i = 0; i < n->runs.n; i++) {
        struct run *r = n->runs.p[i].run;
        const struct weir_request *req = &r->job->class->shape->req;
        if (r->rank[0].told && req->checkpoint_every.us > 0) {
            run_stop(c, r, WEIR_REASON_RECLAIM,
                     min_i64(req->checkpoint_grace.us, l->reclaim_us - c->now_us));
        }
    }
    for (size_t i = 0; i < n->runs.n;) { /* gangs that still wait for their other machines */
        struct run *r = n->runs.p[i].run;
        if (!r->rank[0].told) {
            run_lose(c, r, WEIR_REASON_RECLAIM, c->now_us);
        } else {
            i++;
        }
    }
    timer_for_lease(c, l);
}

static void lease_ended(struct weir_core *c, struct lease *l, int64_t at_us, bool reclaimed)
{
    if (weir_sm_is(&weir_sm_lease, l->state, WEIR_SM_FINAL)) {
        return;
    }
    int64_t from = max_i64(max_i64(l->intent_us, l->confirmed_us), l->ready_us);
    bool was_limit = c->leases_live >= c->conf.leases_max || c->conf.spend_micro_per_hour_max > 0;
    lease_finish(c, l, WEIR_LEASE_ENDED, min_i64(max_i64(at_us, from), c->now_us), reclaimed);
    const struct lease_past was = {place_of(c, &l->offer), l->task, l->intent_us, l->ended_us};
    bool explains = l->confirmed_us != 0 && !l->reclaimed && offers_forget(c, &was);
    /* somebody may wait for its place */
    c->review = c->review || was_limit || explains || l->offer.market == WEIR_OFFER_RESERVED || (l->confirmed_us == 0 && c->providers.p[l->provider].held);
}

void lease_release(struct weir_core *c, struct lease *l)
{
    struct node *n = l->node;
    if (l->state == WEIR_LEASE_INTENT || l->state == WEIR_LEASE_BOOTING) {
        lease_terminate(c, l);
        lose_all(c, n, WEIR_REASON_NODE_LOST);
        return;
    }
    if (l->state == WEIR_LEASE_READY && n->state == WEIR_NODE_UP) {
        weir_sm_move(&weir_sm_node, &n->state, WEIR_NODE_DRAINING, NULL, n);
        n->since_us = c->now_us;
        node_index(c, n);
        node_changed(c, n);
    }
    timer_for_lease(c, l);
}

void update_lease_event(struct weir_core *c, const struct weir_event *ev)
{
    if (ev->kind == WEIR_EVENT_OFFERS_SET) {
        offers_set(c, ev->u.offers_set.provider, ev->u.offers_set.offer, ev->u.offers_set.n);
        return;
    }
    struct lease *l = lease_find(c, ev->kind == WEIR_EVENT_LEASE_REFUSED
                                        ? ev->u.lease_refused.lease.v
                                        : ev->u.lease.lease.v);
    if (l == NULL) {
        return;
    }
    if (ev->kind == WEIR_EVENT_LEASE_CONFIRMED) {
        lease_confirmed(c, l, ev->u.lease.at.us);
    } else if (ev->kind == WEIR_EVENT_LEASE_REFUSED) {
        lease_refused(c, l, ev->u.lease_refused.refusal, ev->u.lease_refused.retry_after.us);
    } else if (ev->kind == WEIR_EVENT_LEASE_NOTICE) {
        lease_notice(c, l, ev->u.lease.at.us);
    } else if (ev->kind == WEIR_EVENT_LEASE_ENDED) {
        lease_ended(c, l, ev->u.lease.at.us, ev->u.lease.reclaimed);
    } else {
        lease_release(c, l);
    }
}
