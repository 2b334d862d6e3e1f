/* SPDX-License-Identifier: Apache-2.0 */
/* Words of events, effects and explain records. */

#include "core/effect.h"

const char *weir_event_name(enum weir_event_kind k)
{
    switch (k) {
    case WEIR_EVENT_TICK:
        return "tick";
    case WEIR_EVENT_PROJECT_SET:
        return "project_set";
    case WEIR_EVENT_JOB_SUBMIT:
        return "job_submit";
    case WEIR_EVENT_JOB_CANCEL:
        return "job_cancel";
    case WEIR_EVENT_JOB_EXPECT:
        return "job_expect";
    case WEIR_EVENT_NODE_JOIN:
        return "node_join";
    case WEIR_EVENT_NODE_LOST:
        return "node_lost";
    case WEIR_EVENT_NODE_BACK:
        return "node_back";
    case WEIR_EVENT_NODE_DRAIN:
        return "node_drain";
    case WEIR_EVENT_NODE_RESUME:
        return "node_resume";
    case WEIR_EVENT_NODE_GONE:
        return "node_gone";
    case WEIR_EVENT_NODE_RATES:
        return "node_rates";
    case WEIR_EVENT_RUN_STARTED:
        return "run_started";
    case WEIR_EVENT_RUN_ENDED:
        return "run_ended";
    case WEIR_EVENT_RUN_CHECKPOINTED:
        return "run_checkpointed";
    case WEIR_EVENT_LEASE_CONFIRMED:
        return "lease_confirmed";
    case WEIR_EVENT_LEASE_REFUSED:
        return "lease_refused";
    case WEIR_EVENT_LEASE_NOTICE:
        return "lease_notice";
    case WEIR_EVENT_LEASE_ENDED:
        return "lease_ended";
    case WEIR_EVENT_LEASE_RELEASE:
        return "lease_release";
    case WEIR_EVENT_OFFERS_SET:
        return "offers_set";
    case WEIR_EVENT_BUDGET_SET:
        return "budget_set";
    case WEIR_EVENT_BUDGET_REMOVE:
        return "budget_remove";
    case WEIR_EVENT_QUOTA_SET:
        return "quota_set";
    case WEIR_EVENT_QUOTA_REMOVE:
        return "quota_remove";
    case WEIR_EVENT_PROVIDER_QUOTAS_SET:
        return "provider_quotas_set";
    case WEIR_EVENT_CHARGED:
        return "charged";
    case WEIR_EVENT_POLICY_DEFINE:
        return "policy_define";
    case WEIR_EVENT_JOB_POLICY:
        return "job_policy";
    case WEIR_EVENT_MAX:
        break;
    }
    return "unknown";
}

const char *weir_refusal_name(enum weir_refusal r)
{
    switch (r) {
    case WEIR_REFUSAL_NO_CAPACITY:
        return "no_capacity";
    case WEIR_REFUSAL_QUOTA:
        return "quota";
    case WEIR_REFUSAL_THROTTLED:
        return "throttled";
    case WEIR_REFUSAL_REFUSED:
        return "refused";
    case WEIR_REFUSAL_BOOT_FAILED:
        return "boot_failed";
    case WEIR_REFUSAL_FELL_SHORT:
        return "fell_short";
    case WEIR_REFUSAL_MAX:
        break;
    }
    return "unknown";
}

bool weir_refusal_is_given_up(uint8_t refusal)
{
    return refusal == WEIR_REFUSAL_BOOT_FAILED || refusal == WEIR_REFUSAL_FELL_SHORT;
}

const char *weir_decision_name(enum weir_decision d)
{
    switch (d) {
    case WEIR_DECISION_START:
        return "start";
    case WEIR_DECISION_RENT:
        return "rent";
    case WEIR_DECISION_BIND:
        return "bind";
    case WEIR_DECISION_WAIT:
        return "wait";
    case WEIR_DECISION_BLOCKED:
        return "blocked";
    case WEIR_DECISION_PREEMPT:
        return "preempt";
    case WEIR_DECISION_RETRY:
        return "retry";
    case WEIR_DECISION_END_LEASE:
        return "end_lease";
    case WEIR_DECISION_KEEP_LEASE:
        return "keep_lease";
    case WEIR_DECISION_MAX:
        break;
    }
    return "unknown";
}

const char *weir_candidate_kind_name(enum weir_candidate_kind k)
{
    switch (k) {
    case WEIR_CANDIDATE_OWNED_NOW:
        return "owned_now";
    case WEIR_CANDIDATE_OWNED_LATER:
        return "owned_later";
    case WEIR_CANDIDATE_RENTED_NOW:
        return "rented_now";
    case WEIR_CANDIDATE_RENTED_LATER:
        return "rented_later";
    case WEIR_CANDIDATE_OFFER:
        return "offer";
    case WEIR_CANDIDATE_KIND_MAX:
        break;
    }
    return "unknown";
}

const char *weir_verdict_name(enum weir_verdict v)
{
    switch (v) {
    case WEIR_VERDICT_CHOSEN:
        return "chosen";
    case WEIR_VERDICT_DEARER:
        return "dearer";
    case WEIR_VERDICT_NO_ROOM:
        return "no_room";
    case WEIR_VERDICT_TOO_SMALL:
        return "too_small";
    case WEIR_VERDICT_WRONG_GPU:
        return "wrong_gpu";
    case WEIR_VERDICT_GPU_MEMORY:
        return "gpu_memory";
    case WEIR_VERDICT_PLACEMENT:
        return "placement";
    case WEIR_VERDICT_MARKET:
        return "market";
    case WEIR_VERDICT_MAX_COST:
        return "max_cost";
    case WEIR_VERDICT_DEADLINE:
        return "deadline";
    case WEIR_VERDICT_RESERVED:
        return "reserved";
    case WEIR_VERDICT_STALE_PRICE:
        return "stale_price";
    case WEIR_VERDICT_NO_CAPACITY:
        return "no_capacity";
    case WEIR_VERDICT_QUOTA:
        return "quota";
    case WEIR_VERDICT_NOT_LAUNCHABLE:
        return "not_launchable";
    case WEIR_VERDICT_LEASE_LIMIT:
        return "lease_limit";
    case WEIR_VERDICT_LAUNCHING:
        return "launching";
    case WEIR_VERDICT_DRAINING:
        return "draining";
    case WEIR_VERDICT_ARRAY_LIMIT:
        return "array_limit";
    case WEIR_VERDICT_POLICY:
        return "policy";
    case WEIR_VERDICT_BUDGET:
        return "budget";
    case WEIR_VERDICT_OVER_QUOTA:
        return "over_quota";
    case WEIR_VERDICT_FAILED:
        return "failed";
    case WEIR_VERDICT_SPEND_LIMIT:
        return "spend_limit";
    case WEIR_VERDICT_PROVIDER_QUOTA:
        return "provider_quota";
    case WEIR_VERDICT_ZONE:
        return "zone";
    case WEIR_VERDICT_ENDS:
        return "ends";
    case WEIR_VERDICT_MAX:
        break;
    }
    return "unknown";
}

const char *weir_verdict_text(enum weir_verdict v)
{
    switch (v) {
    case WEIR_VERDICT_CHOSEN:
        return "is the cheapest that meets all conditions";
    case WEIR_VERDICT_DEARER:
        return "fits, but costs more in expectation";
    case WEIR_VERDICT_NO_ROOM:
        return "fits, but is busy now";
    case WEIR_VERDICT_TOO_SMALL:
        return "would not fit even if it were empty";
    case WEIR_VERDICT_WRONG_GPU:
        return "has no GPU of a model that was asked for";
    case WEIR_VERDICT_GPU_MEMORY:
        return "has GPUs with less memory than was asked for";
    case WEIR_VERDICT_PLACEMENT:
        return "is ruled out by the job's placement (local, clouds, regions)";
    case WEIR_VERDICT_MARKET:
        return "is ruled out by the job's choice of spot or on-demand";
    case WEIR_VERDICT_MAX_COST:
        return "is expected to cost more than the job's max_cost leaves";
    case WEIR_VERDICT_DEADLINE:
        return "would end after the deadline, or could if it is reclaimed once";
    case WEIR_VERDICT_RESERVED:
        return "has room, but that is kept for a task with an earlier claim";
    case WEIR_VERDICT_STALE_PRICE:
        return "has no price that can be trusted";
    case WEIR_VERDICT_NO_CAPACITY:
        return "had no capacity a short while ago";
    case WEIR_VERDICT_QUOTA:
        return "is over a quota at the provider";
    case WEIR_VERDICT_NOT_LAUNCHABLE:
        return "is known, but no configured provider rents it";
    case WEIR_VERDICT_LEASE_LIMIT:
        return "would be over the limit of machines at once";
    case WEIR_VERDICT_SPEND_LIMIT:
        return "would be over what rented machines may cost an hour together";
    case WEIR_VERDICT_PROVIDER_QUOTA:
        return "is beyond what the provider's quota has left";
    case WEIR_VERDICT_LAUNCHING:
        return "is asked for when the launches under way there are answered";
    case WEIR_VERDICT_DRAINING:
        return "takes no new tasks (draining, lost, or not ready)";
    case WEIR_VERDICT_ARRAY_LIMIT:
        return "waits for the array's own limit of tasks at once";
    case WEIR_VERDICT_POLICY:
        return "is denied by a policy (weir policy)";
    case WEIR_VERDICT_BUDGET:
        return "might cost more than a budget has left";
    case WEIR_VERDICT_OVER_QUOTA:
        return "would be more than a quota allows";
    case WEIR_VERDICT_FAILED:
        return "failed a short while ago ('weir leases --all' says why)";
    case WEIR_VERDICT_ENDS:
        return "is taken back, with what is reserved, before the work there would be done or saved";
    case WEIR_VERDICT_ZONE:
        return "leaves open in which zone its machines are, and the job wants all of its nodes in one (placement.same_zone)";
    case WEIR_VERDICT_MAX:
        break;
    }
    return "unknown";
}

const char *weir_effect_name(enum weir_effect_kind k)
{
    switch (k) {
    case WEIR_EFFECT_RUN_START:
        return "run_start";
    case WEIR_EFFECT_RUN_STOP:
        return "run_stop";
    case WEIR_EFFECT_LEASE_LAUNCH:
        return "lease_launch";
    case WEIR_EFFECT_LEASE_TERMINATE:
        return "lease_terminate";
    case WEIR_EFFECT_LEASE_EXTEND:
        return "lease_extend";
    case WEIR_EFFECT_METER_OPEN:
        return "meter_open";
    case WEIR_EFFECT_METER_READY:
        return "meter_ready";
    case WEIR_EFFECT_METER_CLOSE:
        return "meter_close";
    case WEIR_EFFECT_METER_RATES:
        return "meter_rates";
    case WEIR_EFFECT_SEGMENT_OPEN:
        return "segment_open";
    case WEIR_EFFECT_SEGMENT_CLOSE:
        return "segment_close";
    case WEIR_EFFECT_SEGMENT_VERDICT:
        return "segment_verdict";
    case WEIR_EFFECT_MAX:
        break;
    }
    return "unknown";
}
