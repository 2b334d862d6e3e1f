/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The protocol's JSON, both ways; docs/design/0002-agent-protocol.md. Pure: text in, structs out.
 * Whatever comes from the broker is checked and bounded here.
 */

#include "base/err.h"
#include "base/json.h"
#include "hardware.h"
#include "step.h"

struct json_t;

enum { WEIR_AGENT_COMMANDS_MAX = 4096, WEIR_AGENT_REPLY_BYTES_MAX = 16 << 20 };

/* Who is joining; all borrowed. */
struct weir_agent_self {
    unsigned protocol;
    const char *agent_id;
    const char *boot_id;
    const char *name;
    const char *pool;
    const char *address;
    uint64_t lease;
    const struct weir_hardware *hardware;
};

void weir_agent_write_join(const struct weir_agent_state *s, const struct weir_agent_self *self, struct weir_str *out);
void weir_agent_write_sync(const struct weir_agent_state *s, uint64_t ack, int wait_ms, struct weir_str *out);
/* The report that is under way in s. */
void weir_agent_write_report(const struct weir_agent_state *s, struct weir_wall now, struct weir_str *out);

/* {"job": 12, "ordinal": 3, "attempt": 1} */
void weir_run_id_write(struct weir_json *j, const char *key, struct weir_run_id id);
int weir_run_id_read(const struct json_t *v, struct weir_run_id *ret, struct weir_err *err);
/* "12_3_1": the name of a run's directory, cgroup and container. */
enum { WEIR_RUN_NAME_SIZE = 48 };
const char *weir_run_name(struct weir_run_id id, char buf[static WEIR_RUN_NAME_SIZE]);
int weir_run_name_parse(struct weir_sv name, struct weir_run_id *ret);

void weir_agent_end_write(struct weir_json *j, const struct weir_agent_end *end);
/* Leaves absent fields zero. Errors: -WEIR_EINVAL. */
int weir_agent_end_read(const struct json_t *v, struct weir_agent_end *ret, struct weir_err *err);

/* WEIR_REASON_NONE where the name is not one. */
enum weir_reason weir_reason_parse(const char *name);

/*
 * Answers. The session text, the commands and what they point to are borrowed from *ret_root, which
 * the caller gives back with weir_agent_answer_free.
 */
struct weir_agent_answer_body {
    struct json_t *root;
    struct weir_agent_command *command; /* owned */
    size_t n_commands;
    uint64_t node;
    const char *session;
    struct weir_wall lease_expires;
    struct weir_dur report_every;
};
int weir_agent_read_join(struct weir_sv body, struct weir_agent_answer_body *ret, struct weir_err *err);
int weir_agent_read_sync(struct weir_sv body, struct weir_agent_answer_body *ret, struct weir_err *err);
void weir_agent_answer_free(struct weir_agent_answer_body *b);
/* {"size": n}; false where it is not. */
bool weir_agent_read_size(struct weir_sv body, uint64_t *ret);
/* The message of {"error": {"code": ..., "message": ...}}, cut to size; "" where there is none.
 * ret_code gets the code. */
void weir_agent_read_error(struct weir_sv body, char *message, size_t message_size, char *code, size_t code_size);
