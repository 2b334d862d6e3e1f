/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the model's enums. The switches have no default, so that a new value is not forgotten.
 */
#include "core/model.h"

const char *weir_task_state_name(enum weir_task_state s)
{
    switch (s) {
    case WEIR_TASK_WAITING:
        return "waiting";
    case WEIR_TASK_STARTING:
        return "starting";
    case WEIR_TASK_RUNNING:
        return "running";
    case WEIR_TASK_STOPPING:
        return "stopping";
    case WEIR_TASK_SUCCEEDED:
        return "succeeded";
    case WEIR_TASK_FAILED:
        return "failed";
    case WEIR_TASK_CANCELLED:
        return "cancelled";
    case WEIR_TASK_STATE_MAX:
        break;
    }
    return "unknown";
}

const char *weir_job_state_name(enum weir_job_state s)
{
    switch (s) {
    case WEIR_JOB_WAITING:
        return "waiting";
    case WEIR_JOB_RUNNING:
        return "running";
    case WEIR_JOB_SUCCEEDED:
        return "succeeded";
    case WEIR_JOB_FAILED:
        return "failed";
    case WEIR_JOB_CANCELLED:
        return "cancelled";
    case WEIR_JOB_STATE_MAX:
        break;
    }
    return "unknown";
}

const char *weir_node_state_name(enum weir_node_state s)
{
    switch (s) {
    case WEIR_NODE_UP:
        return "up";
    case WEIR_NODE_DRAINING:
        return "draining";
    case WEIR_NODE_LOST:
        return "lost";
    case WEIR_NODE_GONE:
        return "gone";
    case WEIR_NODE_STATE_MAX:
        break;
    }
    return "unknown";
}

const char *weir_lease_state_name(enum weir_lease_state s)
{
    switch (s) {
    case WEIR_LEASE_INTENT:
        return "intent";
    case WEIR_LEASE_BOOTING:
        return "booting";
    case WEIR_LEASE_READY:
        return "ready";
    case WEIR_LEASE_RECLAIMED:
        return "reclaimed";
    case WEIR_LEASE_ENDING:
        return "ending";
    case WEIR_LEASE_ENDED:
        return "ended";
    case WEIR_LEASE_FAILED:
        return "failed";
    case WEIR_LEASE_STATE_MAX:
        break;
    }
    return "unknown";
}

const char *weir_hold_state_name(enum weir_hold_state s)
{
    switch (s) {
    case WEIR_HOLD_ACTIVE:
        return "active";
    case WEIR_HOLD_RELEASED:
        return "released";
    case WEIR_HOLD_STATE_MAX:
        break;
    }
    return "unknown";
}

const char *weir_reason_name(enum weir_reason r)
{
    switch (r) {
    case WEIR_REASON_NONE:
        return "none";
    case WEIR_REASON_EXIT:
        return "exit";
    case WEIR_REASON_SIGNAL:
        return "signal";
    case WEIR_REASON_OOM:
        return "oom";
    case WEIR_REASON_TIMEOUT:
        return "timeout";
    case WEIR_REASON_CANCEL:
        return "cancel";
    case WEIR_REASON_PREEMPT:
        return "preempt";
    case WEIR_REASON_RECLAIM:
        return "reclaim";
    case WEIR_REASON_NODE_LOST:
        return "node_lost";
    case WEIR_REASON_START_FAILED:
        return "start_failed";
    case WEIR_REASON_SETUP_FAILED:
        return "setup_failed";
    case WEIR_REASON_MAX_COST:
        return "max_cost";
    case WEIR_REASON_IMPOSSIBLE:
        return "impossible";
    case WEIR_REASON_BUDGET:
        return "budget";
    case WEIR_REASON_QUOTA:
        return "quota";
    case WEIR_REASON_MAX:
        break;
    }
    return "unknown";
}

const char *weir_market_name(enum weir_market m)
{
    switch (m) {
    case WEIR_OFFER_ON_DEMAND:
        return "on_demand";
    case WEIR_OFFER_SPOT:
        return "spot";
    case WEIR_OFFER_RESERVED:
        return "reserved";
    case WEIR_OFFER_MARKET_MAX:
        break;
    }
    return "unknown";
}
