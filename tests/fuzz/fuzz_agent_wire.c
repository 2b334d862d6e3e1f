/* SPDX-License-Identifier: Apache-2.0 */
/* What a broker answers an agent, and what the agent makes of it: every answer is taken for each of
 * the calls, commands go through the agent's decisions, starts through the reading of their spec, the
 * environment and the patterns. */
#include "fuzz.h"

#include <string.h>

#include <jansson.h>

#include "agent/record.h"
#include "agent/start.h"
#include "agent/step.h"
#include "agent/wire.h"

static const struct weir_hardware hardware;

static void start(const void *command, struct weir_gpu_table *models)
{
    struct weir_start s;
    if (weir_start_read(command, models, &s, NULL) < 0) {
        return;
    }
    const struct weir_env_facts f = {.host = "h", .user = "u", .home = "/", .shell = "/bin/sh", .path = "/bin", .lang = "C",
                                     .tz = "", .address = "127.0.0.1", .run_dir = "/r", .workdir = "/w", .node_name = "n",
                                     .pool = "local", .hardware = &hardware};
    struct weir_env e = {0};
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    weir_env_build(&e, &s, &f);
    weir_pattern_expand(s.spec->stdout_path == NULL ? "%j_%a" : s.spec->stdout_path, &s, &f, &out);
    weir_str_release(&out);
    weir_env_release(&e);
    weir_start_release(&s);
}

static void sync(struct weir_sv text, struct weir_agent_state *s, struct weir_gpu_table *models)
{
    struct weir_agent_answer_body b = {0};
    if (weir_agent_read_sync(text, &b, NULL) < 0) {
        return;
    }
    struct weir_agent_event e = {.type = WEIR_AGENT_EV_SYNCED, .generation = s->generation, .now = {2}, .wall = {2},
                                 .command = b.command, .n_commands = b.n_commands, .lease_expires = b.lease_expires};
    struct weir_agent_effects todo = weir_agent_step(s, &e);
    for (size_t i = 0; i < todo.n; i++) {
        if (todo.p[i].type == WEIR_AGENT_DO_START) {
            start(todo.p[i].command->start, models);
        }
    }
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    weir_agent_write_report(s, (struct weir_wall){1}, &out);
    weir_str_release(&out);
    weir_agent_answer_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct weir_sv text = {(const char *)data, size};
    struct weir_gpu_table *models = weir_gpu_table_new();
    struct weir_agent_state s;
    struct weir_agent_answer_body b = {0};
    char message[64], code[16];
    uint64_t n = 0;
    struct weir_run_id id;
    weir_agent_state_init(&s, 1, (struct weir_wall){0});
    struct weir_agent_event e = {.type = WEIR_AGENT_EV_JOINED, .node = 1, .session = "s", .now = {1}, .wall = {1}};
    (void)weir_agent_step(&s, &e);
    if (weir_agent_read_join(text, &b, NULL) == 0) {
        weir_agent_answer_free(&b);
    }
    sync(text, &s, models);
    (void)weir_agent_read_size(text, &n);
    weir_agent_read_error(text, message, sizeof message, code, sizeof code);
    (void)weir_run_name_parse(text, &id);
    json_t *v = json_loadb((const char *)data, size, 0, NULL);
    if (v != NULL) {
        struct weir_agent_end end;
        (void)weir_agent_end_read(v, &end, NULL);
        json_decref(v);
    }
    weir_agent_state_release(&s);
    weir_gpu_table_free(models);
    return 0;
}
