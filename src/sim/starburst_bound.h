/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A lower bound for the suite starburst: what any schedule of the jobs that count must spend in the cloud, given how long they
 * wait in sum. Any schedule in which a job, once begun, runs to its end: one that knows all jobs beforehand, too, and packs them
 * without regard to nodes.
 *
 * It is the dual of the linear programme of local and cloud over time. A job i comes at r_i, takes p_i hours of g_i GPUs, and starts at
 * s_i, on the C owned GPUs or in the cloud. Take any prices of owned GPU time, pi(t) >= 0, and any worth of an hour's waiting,
 * lambda >= 0. No more than C owned GPUs are in use at any time, hence for every schedule
 *
 *     cloud + lambda * waiting
 *         >= sum over jobs in the cloud (g_i p_i) + lambda * waiting
 *            + sum over jobs on owned GPUs (g_i * integral of pi over [s_i, s_i + p_i]) - C * integral of pi
 *         >= sum over all jobs min(g_i p_i, min over s >= r_i of lambda (s - r_i) + g_i * integral of pi over [s, s + p_i])
 *            - C * integral of pi =: L(pi, lambda)
 *
 * so cloud >= L(pi, lambda) - lambda * waiting, for each lambda and all prices that are tried: a convex front. Good prices are sought by
 * ascent; the sum is then taken over every job with its true times. So neither the width of the buckets in which prices are kept, nor
 * a sample of jobs, nor an early end of the search can make the bound untrue, only lower. Jobs that do not count are left out: they
 * would only take room.
 */

#include "starburst.h"

struct weir_starburst_bound;

/* For the jobs first..last, the latter included. Never NULL. */
struct weir_starburst_bound *weir_starburst_bound_new(const struct weir_starburst_jobs *jobs, struct weir_starburst_site site,
                                                      size_t first, size_t last);
void weir_starburst_bound_free(struct weir_starburst_bound *b);
void weir_starburst_bound_freep(struct weir_starburst_bound **b);

/* The least GPU-hours in the cloud of any schedule in which these jobs wait so many hours in sum; 0 where none is known to be needed. */
double weir_starburst_bound_cloud_gpu_h(const struct weir_starburst_bound *b, double wait_h);
