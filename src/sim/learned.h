/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a rule without estimates learns as tasks end: run times by kind, for the forecast of the broker. The own kind is the caller's
 * key; the wider ones follow from the number of GPUs. {0} has learned nothing yet.
 */

#include "base/map.h"
#include "base/vec.h"
#include "forecast/runtime.h"

struct weir_sim_learned {
    WEIR_VEC(struct weir_runtime_history) history; /* by number */
    struct weir_map number;                        /* key of a kind -> number */
};

void weir_sim_learned_release(struct weir_sim_learned *l);
/* A task of the kind, with that many GPUs, took so long. */
void weir_sim_learned_observe(struct weir_sim_learned *l, uint64_t key, uint32_t gpus, struct weir_dur took);
/* What one will take. estimate 0: none is given; max > 0 bounds the answer. */
struct weir_dur weir_sim_learned_expect(const struct weir_sim_learned *l, uint64_t key, uint32_t gpus, struct weir_dur estimate,
                                        struct weir_dur max);
