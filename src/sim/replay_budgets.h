/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Budgets in a replay: those of one set are in force, and it is counted what counted against them, who waited for them and what they stopped;
 * or none is, and it is only counted what would have counted against those of every set. Limiting is the core's.
 */

#include "replay.h"

struct weir_replay_budgets;

/* in_force: the number of the set; < 0: none. NULL where the site has no budgets. Projects and users of scopes get their numbers in the work. */
struct weir_replay_budgets *weir_replay_budgets_new(const struct weir_replay_site *site, int in_force, struct weir_sim_workload *work);
void weir_replay_budgets_free(struct weir_replay_budgets *b);

/* All that follow do nothing where b is NULL. */

/* Gives the world the budgets that are in force. shift_us: its time less the work's. */
void weir_replay_budgets_conf(struct weir_replay_budgets *b, struct weir_sim_world_conf *conf, int64_t shift_us);
/* The world has begun. */
void weir_replay_budgets_begin(struct weir_replay_budgets *b, struct weir_sim_world *world);
/* The core's number for the project of a job. */
uint32_t weir_replay_budgets_project(const struct weir_replay_budgets *b, uint32_t project);
/* A job of these was submitted. */
void weir_replay_budgets_submitted(struct weir_replay_budgets *b, struct weir_project_id project, struct weir_user_id user);
void weir_replay_budgets_posted(struct weir_replay_budgets *b, const struct weir_posting *posting);

/* When all that waits is to be looked at next; 0: never. */
struct weir_wall weir_replay_budgets_next(const struct weir_replay_budgets *b);
/* A look at the world's now begins, at what the budgets reached; then comes each task that waits. */
void weir_replay_budgets_look(struct weir_replay_budgets *b);
/* kind: tasks of one kind and payer wait for the same. *mark is the task's, 0 before its first look. */
void weir_replay_budgets_look_at(struct weir_replay_budgets *b, struct weir_job_id job, uint64_t kind, int64_t waits_since_us, uint32_t *mark);
/* The task of that mark never began. True where it waited for a budget. */
bool weir_replay_budgets_never(struct weir_replay_budgets *b, uint32_t mark);

/*
 * After the run. Of a set: what was counted; the caller frees. Of the one in force, where without is not NULL: beside what the same counted
 * when none was. Notes what of the set had nobody to count.
 */
struct weir_sim_budget_spans *weir_replay_budgets_take(struct weir_replay_budgets *b, size_t set, const struct weir_sim_budget_spans *without,
                                                       struct weir_sim_result *result);
