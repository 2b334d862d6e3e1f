/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The bound for spot under a deadline: the least cost when the whole trace is known beforehand, by an exact dynamic
 * programme over (tick, what is held, time not worked on). Time not worked on is idle ticks and overheads; its possible
 * values are few, and the same for all tasks of one shape, so the programme is set up once and solved for many traces.
 */

#include "spot_world.h"

struct weir_sim_spot_optimum;

/*
 * Sets up for tasks of this shape. Spot must not cost more than on-demand. NULL: the programme would be too large, because
 * tick and overhead have too small a common measure for so long a slack.
 */
struct weir_sim_spot_optimum *weir_sim_spot_optimum_new(const struct weir_sim_spot_task *task, size_t n_zones);
void weir_sim_spot_optimum_freep(struct weir_sim_spot_optimum **o);

/* One cheapest way through the trace, which has as many zones as were said; missed where there is none. */
void weir_sim_spot_optimum_solve(struct weir_sim_spot_optimum *o, const struct weir_sim_spot_trace *trace,
                                 struct weir_sim_spot_run *r);
