/* SPDX-License-Identifier: Apache-2.0 */
/* Effects and explain records of the golden traces in words. */

#include "golden/core/scene.h"

#include <inttypes.h>
#include <stdint.h>

#include "base/mem.h"

void out_time(struct scene *s, int64_t us)
{
    char buf[WEIR_RFC3339_SIZE];
    weir_str_adds(&s->out, weir_dur_format((struct weir_dur){us - s->start_us}, buf));
}

void out_money(struct scene *s, int64_t micro)
{
    char buf[WEIR_MONEY_SIZE];
    weir_str_adds(&s->out, weir_money_format(micro, buf));
}

void out_effect(struct scene *s, const struct weir_effect *e)
{
    weir_str_addf(&s->out, "    %s", weir_effect_name(e->kind));
    if (e->run.attempt != 0) {
        weir_str_addf(&s->out, " %" PRIu64 ".%u/%u", e->run.task.job.v, e->run.task.ordinal,
                      e->run.attempt);
        if (e->rank != 0) {
            weir_str_addf(&s->out, " rank %u", e->rank);
        }
    }
    if (e->lease.v != 0) {
        weir_str_addf(&s->out, " lease %" PRIu64, e->lease.v);
    }
    weir_str_addf(&s->out, " node %" PRIu64, e->node.v);
    switch (e->kind) {
    case WEIR_EFFECT_RUN_START:
        weir_str_addf(&s->out, " gpus %02x", e->u.run_start.gpu_mask);
        break;
    case WEIR_EFFECT_RUN_STOP:
        weir_str_addf(&s->out, " %s grace %" PRId64 "s",
                      weir_reason_name((enum weir_reason)e->u.run_stop.reason),
                      e->u.run_stop.grace.us / WEIR_US_PER_S);
        break;
    case WEIR_EFFECT_LEASE_LAUNCH:
        weir_str_addf(&s->out, " offer %" PRIu64 " (%s)", e->u.lease_launch.offer->id,
                      e->u.lease_launch.offer->instance_type);
        if (e->u.lease_launch.offer->zone[0] != '\0') {
            weir_str_addf(&s->out, " in %s", e->u.lease_launch.offer->zone);
        }
        if (e->u.lease_launch.expires.us < s->w.now_us + s->w.conf.lease_term.us) {
            weir_str_adds(&s->out, " until ");
            out_time(s, e->u.lease_launch.expires.us);
        }
        break;
    case WEIR_EFFECT_LEASE_EXTEND:
        weir_str_adds(&s->out, " to ");
        out_time(s, e->u.lease_extend.expires.us);
        break;
    case WEIR_EFFECT_SEGMENT_CLOSE:
    case WEIR_EFFECT_SEGMENT_VERDICT:
        weir_str_adds(&s->out, e->u.segment.outcome == WEIR_OUTCOME_USED     ? " used"
                               : e->u.segment.outcome == WEIR_OUTCOME_FAILED ? " failed"
                               : e->u.segment.outcome == WEIR_OUTCOME_PENDING ? " pending"
                                                                             : " lost, kept until ");
        if (e->u.segment.outcome == WEIR_OUTCOME_LOST) {
            out_time(s, e->u.segment.kept_until.us);
        }
        break;
    case WEIR_EFFECT_LEASE_TERMINATE:
    case WEIR_EFFECT_METER_OPEN:
    case WEIR_EFFECT_METER_READY:
    case WEIR_EFFECT_METER_CLOSE:
    case WEIR_EFFECT_METER_RATES:
    case WEIR_EFFECT_SEGMENT_OPEN:
    case WEIR_EFFECT_MAX:
        break;
    }
    if (e->kind >= WEIR_EFFECT_METER_OPEN && e->at.us != s->w.now_us) {
        weir_str_adds(&s->out, " at ");
        out_time(s, e->at.us);
    }
    weir_str_addc(&s->out, '\n');
}

static void out_candidate(struct scene *s, const struct weir_candidate *k)
{
    char buf[WEIR_RFC3339_SIZE];
    weir_str_addf(&s->out, "        %-12s %s", weir_candidate_kind_name((enum weir_candidate_kind)k->kind),
                  weir_verdict_name((enum weir_verdict)k->verdict));
    if (k->node.v != 0) {
        weir_str_addf(&s->out, " node %" PRIu64, k->node.v);
    }
    if (k->offer != 0) {
        weir_str_addf(&s->out, " offer %" PRIu64, k->offer);
    }
    weir_str_addf(&s->out, " in %s:", weir_dur_format(k->start_delay, buf));
    const struct {
        const char *name;
        int64_t micro;
    } term[] = {{"run", k->run_micro},         {"boot", k->boot_micro},       {"failures", k->failure_micro},
                {"egress", k->egress_micro},   {"reclaim", k->reclaim_micro},
                {"wait", k->wait_micro},       {"shadow", k->shadow_micro}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(term); i++) {
        if (term[i].micro != 0) {
            weir_str_addf(&s->out, " %s ", term[i].name);
            out_money(s, term[i].micro);
        }
    }
    weir_str_adds(&s->out, " = ");
    out_money(s, k->total_micro);
    weir_str_addc(&s->out, '\n');
}

void out_explain(struct scene *s, const struct weir_explain *x)
{
    weir_str_addf(&s->out, "    * %s", weir_decision_name((enum weir_decision)x->decision));
    if (x->task.job.v != 0) {
        weir_str_addf(&s->out, " %" PRIu64 ".%u", x->task.job.v, x->task.ordinal);
    }
    if (x->decision == WEIR_DECISION_END_LEASE || x->decision == WEIR_DECISION_KEEP_LEASE) {
        weir_str_addf(&s->out, " lease %" PRIu64, x->lease.v);
    }
    if (x->decision == WEIR_DECISION_KEEP_LEASE) {
        char buf[WEIR_RFC3339_SIZE];
        weir_str_addf(&s->out, " for %s", weir_dur_format(x->expected_run, buf));
    }
    if (x->reason != 0) {
        weir_str_addf(&s->out, x->decision == WEIR_DECISION_BLOCKED ? " (%s)" : " after %s",
                      weir_reason_name((enum weir_reason)x->reason));
    }
    if (x->other.job.v != 0) {
        weir_str_addf(&s->out, " for %" PRIu64 ".%u", x->other.job.v, x->other.ordinal);
    }
    if (x->queue_ahead != 0) {
        weir_str_addf(&s->out, ", %u ahead", x->queue_ahead);
    }
    for (uint32_t v = 0; v < WEIR_VERDICT_MAX; v++) {
        if (x->rejected[v] != 0) {
            weir_str_addf(&s->out, ", %s %u", weir_verdict_name((enum weir_verdict)v), x->rejected[v]);
        }
    }
    if (x->nodes != 0) {
        weir_str_addf(&s->out, ", %u in one zone: %s", x->nodes, x->zone);
    }
    if (x->again_at.us != 0) {
        char buf[WEIR_RFC3339_SIZE];
        weir_str_addf(&s->out, ", again in %s", weir_dur_format(weir_wall_sub(x->again_at, x->now), buf));
    }
    if (x->limit.v != 0) {
        weir_str_addf(&s->out, ", budget %u has ", x->limit.v);
        out_money(s, x->limit_left_micro);
        weir_str_adds(&s->out, " of ");
        out_money(s, x->limit_need_micro);
    }
    if (x->quota.v != 0 && x->decision == WEIR_DECISION_PREEMPT) {
        weir_str_addf(&s->out, ", whose share is quota %u", x->quota.v);
    } else if (x->quota.v != 0) {
        weir_str_addf(&s->out, ", quota %u has %" PRId64 " of %" PRId64, x->quota.v, x->quota_left, x->quota_need);
    }
    if (x->provider_quota != 0) {
        weir_str_addf(&s->out, ", for offer %" PRIu64 " the provider allows %" PRId64 " %s, %" PRId64 " are in use and %" PRId64 " wanted",
                      x->provider_quota_offer, x->provider_quota_limit, weir_quota_unit_name((enum weir_quota_unit)x->provider_quota_unit),
                      x->provider_quota_used, x->provider_quota_need);
    }
    weir_str_addc(&s->out, '\n');
    for (uint32_t i = 0; i < x->n_candidates && i < 3; i++) {
        out_candidate(s, &x->candidate[i]);
    }
}
