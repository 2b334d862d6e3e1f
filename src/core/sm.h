/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * State machines. Each kind of object has one table: its states, their names, the moves that are
 * allowed and what a state is (first, last). A state changes only through weir_sm_move; a move that
 * the table does not have is a programmer's error. The diagrams in the documents come from here.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum {
    WEIR_SM_INITIAL = 1 << 0,
    WEIR_SM_FINAL = 1 << 1,
    WEIR_SM_HOLDS_ROOM = 1 << 2, /* task: it occupies part of a node */
    WEIR_SM_COUNTS = 1 << 3,     /* lease: counts against the limit of machines at once */
};

struct weir_sm_state {
    const char *name;
    uint32_t allowed; /* bit n: may go to state n */
    uint32_t flags;
};

struct weir_sm {
    const char *name;
    const struct weir_sm_state *state;
    uint32_t n;
};

extern const struct weir_sm weir_sm_task;
extern const struct weir_sm weir_sm_job;
extern const struct weir_sm weir_sm_node;
extern const struct weir_sm weir_sm_lease;
extern const struct weir_sm weir_sm_hold;

/* Says whether the object is consistent with its (new) state. */
typedef bool weir_sm_invariant_fn(const void *object);

bool weir_sm_may(const struct weir_sm *sm, uint32_t from, uint32_t to);
bool weir_sm_is(const struct weir_sm *sm, uint32_t state, uint32_t flag);
/* Asserts that the move is allowed, makes it, and asserts the invariant (which may be NULL). */
void weir_sm_move(const struct weir_sm *sm,
                  uint8_t *state,
                  uint32_t to,
                  weir_sm_invariant_fn *invariant,
                  const void *object);
/* Adds the machine as a Mermaid stateDiagram-v2 to out. */
void weir_sm_diagram(const struct weir_sm *sm, struct weir_str *out);
