/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A lower bound for suite replay: what no policy can go below in what owned nodes and the cloud cost together, one that knows all work beforehand
 * and packs GPUs without regard to nodes, gangs or waiting, too. Proved in docs/design/0008-replay-bound.md; in short:
 *
 * Work is counted in hours of a reference GPU: w_i for task i, which comes at r_i. Owned GPUs do at most C of them an hour, and nothing before it
 * has come, so that of all work at most L(T) = min over s of (what has come by s + C (T - s)) is done on them by T: a queue with one server. All else is rented
 * at c or more for each. Owned nodes cost F an hour until the end T of the last task, and e for each hour of work on them. Hence for what was
 * done, W in all, ending no sooner than T0 = max (r_i + shortest run time of i),
 *
 *     cost >= min over T >= T0, x <= min(W, L(T)) of F T + e x + c (W - x).
 *
 * L is concave and piecewise linear, straight behind the last arrival, so that the least stands at T0, or where L reaches W.
 */

#include "replay.h"

struct weir_replay_bound {
    /* of the site */
    bool known; /* else prices change or capacity is paid for beforehand, and nothing is proved */
    double per_hour;   /* C: reference GPU-hours of owned GPUs in an hour */
    double fixed;      /* F: of all owned nodes, idle, by the hour; millionths */
    double busy;       /* e: for each reference GPU-hour on them, at least; millionths */
    double rented;     /* c: for each reference GPU-hour in the cloud, at least; infinite where nothing is to be rented */
    double fastest;    /* GPU, in reference GPUs */
    double rounding;   /* what the bill may have kept back; millionths */
    /* of the work, in hours since the first submission */
    double backlog; /* of the queue, after the last arrival */
    double last_h;  /* of the last arrival */
    double come;    /* all work that has come */
    double done;    /* that of tasks that have ended well */
    double end_h;   /* T0, of those */
};

void weir_replay_bound_init(struct weir_replay_bound *b, const struct weir_replay_site *site, const struct weir_sim_options *o);
/* A task comes. Times never go backwards. */
void weir_replay_bound_arrive(struct weir_replay_bound *b, double at_h, double reference_gpu_h);
/* One that came at that time has ended well. run_h: its run time on a reference GPU, for one without GPUs on any. */
void weir_replay_bound_done(struct weir_replay_bound *b, double came_h, double run_h, uint32_t gpus);
/* In millionths, a millionth part and the roundings of the bill below what is proved. Not a number where nothing is proved. */
double weir_replay_bound_micro(const struct weir_replay_bound *b);
