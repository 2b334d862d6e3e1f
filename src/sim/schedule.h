/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Schedules: what ran when and where, as CSV, so that anyone can check a run without this program:
 * task, submit, start, end (seconds of the trace), place (local, cloud or a zone), node (number, empty where the
 * place has none), gpus, cost (in the suite's unit, of the span start..end on this node), and where tasks are named, id: what the input calls
 * it. A task that ran in pieces, or on several nodes, has several lines.
 */

#include <stdint.h>

#include "base/err.h"

struct weir_sim_schedule;

struct weir_sim_span {
    uint64_t task;
    double submit;
    double start;
    double end;
    const char *place;
    int64_t node; /* < 0: none */
    double gpus;
    double cost;
    const char *id; /* where tasks are named; NULL: the input has no name for it */
};

/*
 * Begins DIR/NAME.csv, which is there whole once it is closed, and else as it was; making DIR where it is not there; characters of the name other than letters,
 * digits, '.', '-' and '_' become '_'. dir NULL: *ret is NULL, and the other verbs do nothing with that.
 * Errors: by errno, naming the file.
 */
int weir_sim_schedule_open(struct weir_sim_schedule **ret, const char *dir, const char *name, struct weir_err *err);
/* Gives the file its column id; before anything is added. */
void weir_sim_schedule_name_tasks(struct weir_sim_schedule *s);
void weir_sim_schedule_add(struct weir_sim_schedule *s, const struct weir_sim_span *span);
/* Writes out and frees. Errors: -WEIR_ENOSPACE, -WEIR_EIO: what was written is not whole. */
int weir_sim_schedule_close(struct weir_sim_schedule *s, struct weir_err *err);
/* Frees, and leaves nothing of it: the run failed. */
void weir_sim_schedule_drop(struct weir_sim_schedule *s);
