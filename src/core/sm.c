/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sm.h"

#include "base/assert.h"
#include "base/mem.h"
#include "core/model.h"

#define TO(x) (1u << (x))

static const struct weir_sm_state task_states[WEIR_TASK_STATE_MAX] = {
    [WEIR_TASK_WAITING] = {"waiting",
                           TO(WEIR_TASK_STARTING) | TO(WEIR_TASK_CANCELLED) | TO(WEIR_TASK_FAILED),
                           WEIR_SM_INITIAL},
    [WEIR_TASK_STARTING] = {"starting",
                            TO(WEIR_TASK_WAITING) | TO(WEIR_TASK_RUNNING) |
                                TO(WEIR_TASK_STOPPING) | TO(WEIR_TASK_SUCCEEDED) |
                                TO(WEIR_TASK_FAILED) | TO(WEIR_TASK_CANCELLED),
                            WEIR_SM_HOLDS_ROOM},
    [WEIR_TASK_RUNNING] = {"running",
                           TO(WEIR_TASK_WAITING) | TO(WEIR_TASK_STOPPING) |
                               TO(WEIR_TASK_SUCCEEDED) | TO(WEIR_TASK_FAILED) |
                               TO(WEIR_TASK_CANCELLED),
                           WEIR_SM_HOLDS_ROOM},
    [WEIR_TASK_STOPPING] = {"stopping",
                            TO(WEIR_TASK_WAITING) | TO(WEIR_TASK_SUCCEEDED) |
                                TO(WEIR_TASK_FAILED) | TO(WEIR_TASK_CANCELLED),
                            WEIR_SM_HOLDS_ROOM},
    [WEIR_TASK_SUCCEEDED] = {"succeeded", 0, WEIR_SM_FINAL},
    [WEIR_TASK_FAILED] = {"failed", 0, WEIR_SM_FINAL},
    [WEIR_TASK_CANCELLED] = {"cancelled", 0, WEIR_SM_FINAL},
};

static const struct weir_sm_state job_states[WEIR_JOB_STATE_MAX] = {
    [WEIR_JOB_WAITING] = {"waiting",
                          TO(WEIR_JOB_RUNNING) | TO(WEIR_JOB_SUCCEEDED) | TO(WEIR_JOB_FAILED) |
                              TO(WEIR_JOB_CANCELLED),
                          WEIR_SM_INITIAL},
    [WEIR_JOB_RUNNING] = {"running",
                          TO(WEIR_JOB_WAITING) | TO(WEIR_JOB_SUCCEEDED) | TO(WEIR_JOB_FAILED) | TO(WEIR_JOB_CANCELLED),
                          0},
    [WEIR_JOB_SUCCEEDED] = {"succeeded", 0, WEIR_SM_FINAL},
    [WEIR_JOB_FAILED] = {"failed", 0, WEIR_SM_FINAL},
    [WEIR_JOB_CANCELLED] = {"cancelled", 0, WEIR_SM_FINAL},
};

static const struct weir_sm_state node_states[WEIR_NODE_STATE_MAX] = {
    [WEIR_NODE_UP] = {"up",
                      TO(WEIR_NODE_DRAINING) | TO(WEIR_NODE_LOST) | TO(WEIR_NODE_GONE),
                      WEIR_SM_INITIAL},
    [WEIR_NODE_DRAINING] = {"draining",
                            TO(WEIR_NODE_UP) | TO(WEIR_NODE_LOST) | TO(WEIR_NODE_GONE),
                            0},
    [WEIR_NODE_LOST] = {"lost",
                        TO(WEIR_NODE_UP) | TO(WEIR_NODE_DRAINING) | TO(WEIR_NODE_GONE),
                        0},
    [WEIR_NODE_GONE] = {"gone", 0, WEIR_SM_FINAL},
};

static const struct weir_sm_state lease_states[WEIR_LEASE_STATE_MAX] = {
    [WEIR_LEASE_INTENT] = {"intent",
                           TO(WEIR_LEASE_BOOTING) | TO(WEIR_LEASE_READY) |
                               TO(WEIR_LEASE_ENDING) | TO(WEIR_LEASE_ENDED) |
                               TO(WEIR_LEASE_FAILED),
                           WEIR_SM_INITIAL | WEIR_SM_COUNTS},
    [WEIR_LEASE_BOOTING] = {"booting",
                            TO(WEIR_LEASE_READY) | TO(WEIR_LEASE_RECLAIMED) |
                                TO(WEIR_LEASE_ENDING) | TO(WEIR_LEASE_ENDED),
                            WEIR_SM_COUNTS},
    [WEIR_LEASE_READY] = {"ready",
                          TO(WEIR_LEASE_RECLAIMED) | TO(WEIR_LEASE_ENDING) | TO(WEIR_LEASE_ENDED),
                          WEIR_SM_COUNTS},
    [WEIR_LEASE_RECLAIMED] = {"reclaimed",
                              TO(WEIR_LEASE_ENDING) | TO(WEIR_LEASE_ENDED),
                              WEIR_SM_COUNTS},
    [WEIR_LEASE_ENDING] = {"ending",
                           TO(WEIR_LEASE_ENDED) | TO(WEIR_LEASE_FAILED),
                           WEIR_SM_COUNTS},
    [WEIR_LEASE_ENDED] = {"ended", 0, WEIR_SM_FINAL},
    [WEIR_LEASE_FAILED] = {"failed", 0, WEIR_SM_FINAL},
};

static const struct weir_sm_state hold_states[WEIR_HOLD_STATE_MAX] = {
    [WEIR_HOLD_ACTIVE] = {"active", TO(WEIR_HOLD_RELEASED), WEIR_SM_INITIAL},
    [WEIR_HOLD_RELEASED] = {"released", 0, WEIR_SM_FINAL},
};

#define SM(noun)                                                                                   \
    const struct weir_sm weir_sm_##noun = {#noun, noun##_states, WEIR_ARRAY_LEN(noun##_states)}

SM(task);
SM(job);
SM(node);
SM(lease);
SM(hold);

bool weir_sm_may(const struct weir_sm *sm, uint32_t from, uint32_t to)
{
    WEIR_ASSERT(from < sm->n);
    WEIR_ASSERT(to < sm->n);
    return (sm->state[from].allowed >> to & 1u) != 0;
}

bool weir_sm_is(const struct weir_sm *sm, uint32_t state, uint32_t flag)
{
    WEIR_ASSERT(state < sm->n);
    return (sm->state[state].flags & flag) != 0;
}

void weir_sm_move(const struct weir_sm *sm,
                  uint8_t *state,
                  uint32_t to,
                  weir_sm_invariant_fn *invariant,
                  const void *object)
{
    WEIR_ASSERT(weir_sm_may(sm, *state, to));
    *state = (uint8_t)to;
    if (invariant != NULL) {
        WEIR_ASSERT(invariant(object));
    }
}

void weir_sm_diagram(const struct weir_sm *sm, struct weir_str *out)
{
    weir_str_adds(out, "stateDiagram-v2\n");
    for (uint32_t from = 0; from < sm->n; from++) {
        const struct weir_sm_state *s = &sm->state[from];
        if ((s->flags & WEIR_SM_INITIAL) != 0) {
            weir_str_addf(out, "    [*] --> %s\n", s->name);
        }
        for (uint32_t to = 0; to < sm->n; to++) {
            if ((s->allowed >> to & 1u) != 0) {
                weir_str_addf(out, "    %s --> %s\n", s->name, sm->state[to].name);
            }
        }
        if ((s->flags & WEIR_SM_FINAL) != 0) {
            weir_str_addf(out, "    %s --> [*]\n", s->name);
        }
    }
}
