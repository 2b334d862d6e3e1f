/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What agents.c (sessions, commands, reports) and agents_join.c share. Deciding thread only. */

#include "broker_priv.h"

struct json_t;

/* The text under key; `otherwise` where there is none, it is longer than 255 bytes or not text. */
const char *agents_text_of(const struct json_t *o, const char *key, const char *otherwise);
/* The number under key, brought into min..max; 0 is taken where there is none. */
int64_t agents_int_of(const struct json_t *o, const char *key, int64_t min, int64_t max);
/* {"job": 12, "ordinal": 3, "attempt": 1}; false where it is not one. */
bool agents_read_run(const struct json_t *o, struct weir_run_id *ret);

struct agent *agents_find(struct broker *b, struct weir_node_id node); /* NULL where there is none */
struct agent *agents_make(struct broker *b, struct weir_node_id node);
struct agent_run *agents_find_run(struct agent *a, struct weir_run_id run);
void agents_remove_run(struct agent *a, struct weir_run_id run);
void agents_run_ended(struct broker *b, struct weir_run_id run, uint32_t rank, enum weir_reason reason, int exit_code,
                      int signal, struct weir_wall at);
/* Ends the run of an agent that has not begun it: nothing is charged for it, and its start command is not sent any more. */
void agents_end_unbegun(struct broker *b, struct agent *a, struct weir_run_id run, enum weir_reason reason);
/* The node takes no new work, and what runs there runs elsewhere after lost_grace. */
void agents_lose_node(struct broker *b, struct agent *a);
/*
 * agents_pause.c: a start failed for a reason that is the host's. Its node takes nothing new for a while, twice as long
 * each time; a rented one is given back. No-op where the node takes nothing new already.
 */
void agents_pause(struct broker *b, struct agent *a, const char *why);
/* A task could be started there. */
void agents_pause_forget(struct agent *a);
/* Ends the pause when its time has come. */
void agents_pause_tick(struct broker *b, struct agent *a);
/* At the broker's start: takes up the pause that the node's detail tells of. */
void agents_pause_restore(struct broker *b, struct agent *a);
/* The detail of a node that joins, which may be in a pause; the caller frees. */
char *agents_pause_detail(struct broker *b, const struct agent *a, struct json_t *hardware);
/* The core knows that the node is back; a drain that was under way goes on. */
void agents_found(struct broker *b, struct agent *a);

void agents_send_start(struct broker *b, struct agent *a, struct agent_run *run);
void agents_send_stop(struct broker *b, struct agent *a, struct weir_run_id run, uint8_t reason, struct weir_dur grace);
void agents_send_forget(struct agent *a, struct weir_run_id run);
/* agents_join.c: is the run among those of a join or a leaving? */
bool agents_is_in(const struct json_t *runs, struct weir_run_id run);
/* The agent has left: what is placed there waits for its next join. */
void agents_close_session(struct broker *b, struct agent *a);

void agents_clear_queue(struct agent *a);
void agents_fail_parked(struct agent *a, int code, const char *text);
