/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The agent of the broker's own host. It is a process of its own, in a session of its own: killing the broker
 * leaves it and its tasks alone. A new broker finds it by the lock that it holds on its directory, and starts
 * none while it is there.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "broker_priv.h"

enum { RETRY_MS = 2000 };

static void on_agent_exit(uv_process_t *process, int64_t status, int signal)
{
    struct broker *b = process->data;
    uv_close((uv_handle_t *)process, NULL);
    b->local_agent_running = false;
    b->local_agent_elsewhere = status == weir_error_exit_status(-WEIR_EINUSE) && signal == 0;
    b->local_agent_due_ms = broker_ms(b) + RETRY_MS;
    if (!b->local_agent_elsewhere && !b->stopping) {
        weir_log(WEIR_LOG_WARNING, "local_agent.ended", "status=%" PRId64 " signal=%d text=\"it is started again\"", status, signal);
    }
}

/* Is an agent of an earlier broker still there? It holds the lock on its directory for as long as it lives, and its number
 * stands in the locked file: *ret_pid, 0 where it does not. */
static bool is_elsewhere(struct broker *b, int64_t *ret_pid)
{
    char path[4200];
    char text[24];
    (void)snprintf(path, sizeof path, "%s/agent/agent.lock", b->data_dir);
    int WEIR_CLEANUP(weir_closep) fd = open(path, O_RDWR | O_CLOEXEC);
    *ret_pid = 0;
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) {
        return false;
    }
    ssize_t n = read(fd, text, sizeof text);
    if (n > 0) {
        (void)weir_parse_i64(weir_sv_trim((struct weir_sv){text, (size_t)n}), 1, INT32_MAX, ret_pid, NULL);
    }
    return true;
}

static void start(struct broker *b)
{
    char dir[4200];
    char token[4200];
    char ca[4200];
    char *args[24];
    size_t n = 0;
    char self[4096];
    (void)snprintf(self, sizeof self, "%s", b->conf.self_exe);
    (void)snprintf(dir, sizeof dir, "%s/agent", b->data_dir);
    (void)snprintf(token, sizeof token, "%s/agent-token", b->data_dir);
    (void)snprintf(ca, sizeof ca, "%s/tls/ca.pem", b->data_dir);
    char declare[256];
    char url[sizeof b->url];
    memcpy(url, b->url, sizeof url);
    args[n++] = self;
    static char words[][24] = {"agent", "--broker", "--token-file", "--data", "--pool", "local", "--ca", "--declare-gpus"};
    args[n++] = words[0];
    args[n++] = words[1];
    args[n++] = url;
    args[n++] = words[2];
    args[n++] = token;
    args[n++] = words[3];
    args[n++] = dir;
    args[n++] = words[4];
    args[n++] = words[5];
    if (b->ca_pem != NULL) {
        args[n++] = words[6];
        args[n++] = ca;
    }
    if (b->conf.declare_gpus != NULL) {
        (void)snprintf(declare, sizeof declare, "%s", b->conf.declare_gpus);
        args[n++] = words[7];
        args[n++] = declare;
    }
    args[n] = NULL;
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t options = {.exit_cb = on_agent_exit, .file = self, .args = args, .stdio = stdio, .stdio_count = 3,
                                    .flags = UV_PROCESS_DETACHED};
    b->local_agent.data = b;
    int r = uv_spawn(&b->loop, &b->local_agent, &options);
    if (r != 0) {
        weir_log(WEIR_LOG_ERROR, "local_agent.start", "program=%s text=\"%s\"", self, uv_strerror(r));
        b->local_agent_due_ms = broker_ms(b) + RETRY_MS;
        uv_close((uv_handle_t *)&b->local_agent, NULL);
        return;
    }
    b->local_agent_running = true;
}

static bool is_own_agent(struct broker *b, const char *agent_id)
{
    char path[4200];
    char own[64];
    (void)snprintf(path, sizeof path, "%s/agent/agent_id", b->data_dir);
    int WEIR_CLEANUP(weir_closep) fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, own, sizeof own);
    return n > 0 && (size_t)n >= strlen(agent_id) && memcmp(own, agent_id, strlen(agent_id)) == 0;
}

void local_agent_joined(struct broker *b, struct weir_node_id node, const char *agent_id, const char *declaration)
{
    const char *wanted = b->conf.declare_gpus;
    if (b->conf.no_agent || !is_own_agent(b, agent_id)) {
        return;
    }
    b->local_node = node;
    bool same = declaration == NULL || wanted == NULL ? declaration == NULL && wanted == NULL : weir_streq(declaration, wanted);
    b->local_agent_outdated = !same && !b->local_agent_running;
    if (b->local_agent_outdated && agents_is_busy(b, node)) {
        weir_log(WEIR_LOG_WARNING, "local_agent.outdated",
                 "node=%" PRIu64 " gpus=\"%s\" wanted=\"%s\" text=\"the agent of an earlier 'weir serve' is still there with its tasks: "
                 "its GPUs are offered as they were until it has none, then it is started anew\"",
                 node.v, declaration == NULL ? "as found" : declaration, wanted == NULL ? "as found" : wanted);
    }
}

/* One that offers other GPUs than we were told goes as soon as it has no tasks; then we start our own. */
static void replace_outdated(struct broker *b)
{
    if (b->local_agent_outdated && !agents_is_busy(b, b->local_node)) {
        b->local_agent_outdated = false;
        weir_log(WEIR_LOG_NOTICE, "local_agent.replaced", "node=%" PRIu64 " gpus=\"%s\" text=\"the agent of an earlier 'weir serve' is started anew\"",
                 b->local_node.v, b->conf.declare_gpus == NULL ? "as found" : b->conf.declare_gpus);
        agents_send_away(b, b->local_node);
    }
}

void local_agent_tick(struct broker *b)
{
    replace_outdated(b);
    if (!b->conf.no_agent && !b->stopping && !b->local_agent_running && broker_ms(b) >= b->local_agent_due_ms) {
        b->local_agent_due_ms = broker_ms(b) + RETRY_MS;
        int64_t pid;
        b->local_agent_elsewhere = is_elsewhere(b, &pid);
        if (!b->local_agent_elsewhere) {
            start(b);
        }
    }
}

/* What is left behind says how it is ended. may_be_busy: it has tasks, or is not known to have none. */
static void tell_left(int64_t pid, bool may_be_busy)
{
    weir_log(WEIR_LOG_NOTICE, "local_agent.left", "pid=%" PRId64 " text=\"%s; 'kill %" PRId64 "' ends the agent%s\"", pid,
             may_be_busy ? "tasks go on under this agent, and the next 'weir serve' picks them up and can cancel them"
                  : "this agent goes on, and the next 'weir serve' picks it up",
             pid, may_be_busy ? " alone" : "");
}

void local_agent_stop(struct broker *b)
{
    bool busy = agents_is_busy(b, b->local_node);
    int64_t pid = 0;
    if (!b->local_agent_running) {
        if (b->conf.no_agent || !is_elsewhere(b, &pid) || pid <= 0) {
            return;
        }
        /* the agent of an earlier broker, that is ours now: it goes as our own would. Of one that has not joined nothing is known */
        if (busy || b->local_node.v == 0 || kill((pid_t)pid, SIGTERM) != 0) {
            tell_left(pid, busy || b->local_node.v == 0);
        }
        return;
    }
    if (busy) {
        tell_left(uv_process_get_pid(&b->local_agent), true);
        uv_unref((uv_handle_t *)&b->local_agent);
        return;
    }
    (void)uv_process_kill(&b->local_agent, SIGTERM);
}
