/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Published rules for spot under a deadline, as rebuilt here; for comparison only. */

#include "spot_world.h"

/* On-demand from the first tick to the last. */
weir_sim_spot_decide_fn weir_sim_spot_on_demand;
/* Spot where there is some, else nothing: the guard alone meets the deadline. */
weir_sim_spot_decide_fn weir_sim_spot_greedy;
/* The time is cut into slices of an hour; at the end of each the work must be on the line from start to deadline. */
weir_sim_spot_decide_fn weir_sim_spot_time_sliced;
/* Progress is kept on the line from start to deadline; on-demand is left for spot only two overheads ahead of it. */
weir_sim_spot_decide_fn weir_sim_spot_uniform_progress;
/* The same without the two overheads. */
weir_sim_spot_decide_fn weir_sim_spot_uniform_progress_eager;
/* Waits for spot while the slack is more than two ticks and a tenth of what is left, then on-demand until spot returns. */
weir_sim_spot_decide_fn weir_sim_spot_slack_rule;

/* Several zones. */

/* Looks at one zone at a time: spot there, else on to the next zone, with nothing held while progress is on the line from start to
 * deadline, on-demand while it is behind. */
weir_sim_spot_decide_fn weir_sim_spot_round_robin;
/* Spot where it is held, else in the first zone that has some; else waits while progress is on the line and the slack more than an
 * hour and a twentieth of the deadline. */
weir_sim_spot_decide_fn weir_sim_spot_slack_any_zone;
