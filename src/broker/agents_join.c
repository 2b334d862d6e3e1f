/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Agents that join (docs/design/0002-agent-protocol.md): which node they are, whether they may be it, and how what they
 * have is made to agree with what they should have.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "agents_priv.h"
#include "net/tls.h"

enum {
    PROTOCOL = 1,
    REPORT_EVERY_MS = 10000,
    QUIET_MS = 15000, /* a node without a long poll for so long may be another host's or agent's from now on */
};

static int read_hardware(struct broker *b, const json_t *hw, struct weir_node_spec *spec, struct weir_err *err)
{
    const json_t *gpus = json_object_get(hw, "gpus");
    if (!json_is_object(hw) || (gpus != NULL && !json_is_array(gpus)) || json_array_size(gpus) > WEIR_NODE_GPUS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "agent: hardware: an object with at most %d gpus is wanted", WEIR_NODE_GPUS_MAX);
    }
    spec->cpu_milli = (uint32_t)agents_int_of(hw, "cpu_milli", 1, 100000000);
    spec->mem_mib = (uint64_t)agents_int_of(hw, "mem_mib", 1, INT64_C(1) << 40);
    spec->gpus = (uint16_t)json_array_size(gpus);
    spec->gpu_model = WEIR_GPU_MODEL_ANY;
    for (size_t i = 0; i < spec->gpus; i++) {
        const json_t *g = json_array_get(gpus, i);
        pthread_mutex_lock(&b->gpus_lock);
        uint16_t model = weir_gpu_table_intern(b->gpus, weir_sv_of(agents_text_of(g, "model", "")));
        pthread_mutex_unlock(&b->gpus_lock);
        if (i > 0 && model != spec->gpu_model) {
            return weir_fail(err, -WEIR_EUNSUPPORTED,
                             "agent: GPUs 0 and %zu are of different models ('%s'): offer those of one with --declare-gpus MODEL:N (devices 0 to N-1)", i,
                             agents_text_of(g, "model", ""));
        }
        spec->gpu_model = model;
        spec->gpu_mem_mib = (uint32_t)agents_int_of(g, "mem_mib", 0, INT32_MAX);
        spec->link_group[i] = (uint8_t)agents_int_of(g, "link_group", 0, 255);
    }
    if (spec->gpus > 0 && spec->gpu_mem_mib == 0 && spec->gpu_model != WEIR_GPU_MODEL_ANY) {
        spec->gpu_mem_mib = weir_gpu_table_get(b->gpus, spec->gpu_model)->mem_mib;
    }
    return 0;
}

/* The node of a joining agent: that of its lease, the one it had, or 0. */
static int node_of(struct broker *b, struct weir_command *cmd, const char *agent_id, struct weir_node_spec *spec)
{
    struct weir_core *core = weir_engine_core(b->engine);
    json_int_t lease_id = json_integer_value(json_object_get(cmd->u.agent.body, "lease"));
    if (cmd->u.agent.token_lease.v != 0 && (uint64_t)lease_id != cmd->u.agent.token_lease.v) {
        return weir_fail(&cmd->err, -WEIR_EDENIED, "agent: this token is for lease %" PRIu64 " only", cmd->u.agent.token_lease.v);
    }
    if (lease_id == 0) {
        spec->id = weir_engine_node_by_agent(b->engine, agent_id);
        struct weir_node_view v;
        if (!weir_core_node(core, spec->id, &v) || v.state == WEIR_NODE_GONE) {
            spec->id.v = 0;
        }
        return 0;
    }
    struct weir_lease_view lease;
    if (!weir_core_lease(core, (struct weir_lease_id){(uint64_t)lease_id}, &lease) || lease.state == WEIR_LEASE_ENDED ||
        lease.state == WEIR_LEASE_FAILED) {
        return weir_fail(&cmd->err, -WEIR_ENOTFOUND, "agent: lease %" JSON_INTEGER_FORMAT " is over: power off", lease_id);
    }
    spec->id = lease.node;
    spec->lease = lease.id;
    memcpy(spec->region, lease.offer.region, sizeof spec->region);
    memcpy(spec->provider, lease.offer.provider, sizeof spec->provider);
    spec->rates = (struct weir_node_rates){lease.price_micro_per_hour, lease.price_micro_per_hour, 0};
    return 0;
}

static void describe_gpus(const struct broker *b, uint16_t model, uint32_t gpus, uint32_t mem_mib, char *ret, size_t size)
{
    if (gpus == 0) {
        (void)snprintf(ret, size, "no GPU");
        return;
    }
    (void)snprintf(ret, size, "%u x %.24s of %u MiB", (unsigned)gpus, model == WEIR_GPU_MODEL_ANY ? "?" : weir_gpu_table_get(b->gpus, model)->name, (unsigned)mem_mib);
}

/*
 * A rented machine whose GPUs are not those of its offer: its driver is missing, a device is broken, or the provider gave
 * another. The core ends it; here it is said what was promised and what came. Only one that had joined before may do so again.
 */
static int check_promise(struct broker *b, const struct weir_node_spec *spec, struct weir_err *err)
{
    struct weir_lease_view lease;
    struct weir_node_view node;
    struct weir_core *core = weir_engine_core(b->engine);
    if (!weir_core_lease(core, spec->lease, &lease) || !weir_core_node(core, spec->id, &node) || weir_offer_is_kept(b->gpus, &lease.offer, spec)) {
        return 0;
    }
    char promised[64];
    char came[64];
    describe_gpus(b, lease.offer.gpu_model, lease.offer.gpus, lease.offer.gpu_mem_mib, promised, sizeof promised);
    describe_gpus(b, spec->gpu_model, spec->gpus, spec->gpu_mem_mib, came, sizeof came);
    if (lease.state == WEIR_LEASE_INTENT || lease.state == WEIR_LEASE_BOOTING || lease.state == WEIR_LEASE_READY) {
        struct weir_lease_note note = {{0}};
        (void)weir_engine_lease_get_note(b->engine, lease.id, &note);
        (void)snprintf(note.text, sizeof note.text, "it was promised %s and %s with %s: it is ended; see its image's driver", promised,
                       node.joined ? "came back" : "came", came);
        weir_engine_lease_note(b->engine, lease.id, &note);
        weir_log(WEIR_LOG_WARNING, "lease.fell_short", "lease=%" PRIu64 " provider=%s region=%s instance_type=%s instance=%s text=\"%s\"", lease.id.v,
                 lease.offer.provider, lease.offer.region, lease.offer.instance_type, note.instance, note.text);
    }
    if (node.joined) {
        return 0;
    }
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
    ev.u.node_join.spec = spec;
    int r = weir_engine_event(b->engine, &ev, err);
    return r != 0 ? r : weir_fail(err, -WEIR_ECONFLICT, "agent: lease %" PRIu64 " was promised %s, this machine has %s: power off", lease.id.v, promised, came);
}

bool agents_is_in(const json_t *runs, struct weir_run_id run)
{
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *r = json_array_get(runs, i);
        if ((uint64_t)json_integer_value(json_object_get(r, "job")) == run.task.job.v &&
            (uint64_t)json_integer_value(json_object_get(r, "ordinal")) == run.task.ordinal &&
            (uint64_t)json_integer_value(json_object_get(r, "attempt")) == run.attempt) {
            return true;
        }
    }
    return false;
}

/* What the agent has against what it should have. */
static void reconcile(struct broker *b, struct agent *a, const json_t *runs)
{
    for (size_t i = a->runs.n; i-- > 0;) {
        struct agent_run run = a->runs.p[i];
        struct weir_task_view v;
        bool known = weir_core_task(weir_engine_core(b->engine), run.run.task, &v) && v.attempt == run.run.attempt &&
                     !weir_task_state_is_final(v.state);
        if (!known) {
            agents_remove_run(a, run.run);
        } else if (agents_is_in(runs, run.run)) {
            a->runs.p[i].started = true; /* it has a record, which is not forgotten */
            if (v.state == WEIR_TASK_STOPPING) {
                agents_send_stop(b, a, run.run, (uint8_t)v.reason, weir_dur_s(30));
            }
        } else if (run.started || v.state == WEIR_TASK_STOPPING) {
            /* it ran here and the agent has no record any more, or it never came to run */
            agents_remove_run(a, run.run);
            struct weir_wall at = run.started ? weir_engine_now(b->engine) : (struct weir_wall){0}; /* or as it was placed */
            agents_run_ended(b, run.run, run.rank, v.state == WEIR_TASK_STOPPING ? v.reason : WEIR_REASON_NODE_LOST, 0, 0, at);
        } else {
            agents_send_start(b, a, &a->runs.p[i]);
        }
    }
    for (size_t i = 0; i < json_array_size(runs); i++) {
        struct weir_run_id run;
        struct weir_task_view v;
        const json_t *o = json_array_get(runs, i);
        if (!agents_read_run(o, &run) || agents_find_run(a, run) != NULL) {
            continue;
        }
        /* not ours any more: its end is stored, or it was given up as lost and runs elsewhere */
        if (!weir_streq(agents_text_of(o, "state", ""), "ended")) {
            agents_send_stop(b, a, run, WEIR_REASON_NODE_LOST, weir_dur_s(0));
        }
        if (!weir_core_task(weir_engine_core(b->engine), run.task, &v) || v.attempt != run.attempt ||
            weir_task_state_is_final(v.state)) {
            agents_send_forget(a, run);
        }
    }
}

/* Is an agent at work for the node, as far as can be told? After our own start all are, until they had the time to join again. */
static bool is_live(struct broker *b, const struct agent *a)
{
    struct weir_node_view v;
    if (a->lost || !weir_core_node(weir_engine_core(b->engine), a->node, &v) || v.state == WEIR_NODE_GONE) {
        return false;
    }
    return a->parked != NULL ? !a->parked->u.agent.is_hung_up(a->parked) : broker_ms(b) - a->seen_ms <= QUIET_MS;
}

/*
 * An agent directory that was copied to another host brings the same agent_id. Letting each take the node from the
 * other would start again on one what still runs on the other. A host that was started anew has the same name, an
 * agent that was started anew the same boot id and name.
 */
static int check_is_no_copy(struct broker *b, const struct weir_node_spec *spec, const json_t *body, const char *peer, struct weir_err *err)
{
    const struct agent *a = agents_find(b, spec->id);
    if (a == NULL || a->session[0] == '\0' || !is_live(b, a)) {
        return 0;
    }
    const char *name = weir_engine_node_name(b->engine, spec->id);
    const char *address = weir_engine_node_address(b->engine, spec->id);
    const char *boot = agents_text_of(body, "boot_id", "");
    bool other_name = name != NULL && !weir_streq(name, agents_text_of(body, "name", ""));
    bool other_boot = a->boot_hash != weir_hash_bytes(boot, strlen(boot));
    bool other_address = address != NULL && !weir_streq(address, agents_text_of(body, "address", peer));
    if (!other_name && !(other_boot && other_address)) {
        return 0;
    }
    return weir_fail(err, -WEIR_ECONFLICT,
                     "agent: node '%s' is running with the same agent_id: if this agent's directory is a copy, delete the file agent_id in it; "
                     "if the node was renamed, it is taken within a minute of the old agent's end",
                     name == NULL ? "?" : name);
}

/*
 * Names of owned nodes are unique: `nodes drain NAME` must mean one. A name whose agent lives is refused; one whose agent
 * is gone is taken over with its node, so that a host that was set up anew goes on as what it was.
 */
static int check_name(struct broker *b, const char *name, struct weir_node_spec *spec, struct weir_err *err)
{
    for (size_t i = 0; i < b->agents.n; i++) {
        const struct agent *a = b->agents.p[i];
        struct weir_node_view v;
        const char *other = weir_engine_node_name(b->engine, a->node);
        if (a->lease.v != 0 || a->node.v == spec->id.v || other == NULL || !weir_streq(other, name) ||
            !weir_core_node(weir_engine_core(b->engine), a->node, &v) || v.state == WEIR_NODE_GONE) {
            continue;
        }
        const char *address = weir_engine_node_address(b->engine, a->node);
        if (is_live(b, a)) {
            return weir_fail(err, -WEIR_ECONFLICT,
                             "agent: the name '%s' is that of node %" PRIu64 " (%s), whose agent is running: give this one another with --name, or stop that one",
                             name, a->node.v, address == NULL ? "?" : address);
        }
        if (a->runs.n > 0) {
            return weir_fail(err, -WEIR_ECONFLICT,
                             "agent: the name '%s' is that of node %" PRIu64 " (%s), whose agent is gone but left %zu tasks: start that agent on its own --data "
                             "directory again, or wait until they were given up",
                             name, a->node.v, address == NULL ? "?" : address, a->runs.n);
        }
        if (spec->id.v != 0) {
            return weir_fail(err, -WEIR_ECONFLICT,
                             "agent: the name '%s' is that of node %" PRIu64 " (%s), whose agent is gone: 'weir nodes remove %" PRIu64 "' first, or use another --name",
                             name, a->node.v, address == NULL ? "?" : address, a->node.v);
        }
        spec->id = a->node;
        return 0;
    }
    return 0;
}

static bool shares_gpu(const struct agent *a, const struct agent *other)
{
    for (uint32_t i = 0; i < a->n_gpus; i++) {
        for (uint32_t k = 0; k < other->n_gpus; k++) {
            if (a->gpu_hash[i] != 0 && a->gpu_hash[i] == other->gpu_hash[k]) {
                return true;
            }
        }
    }
    return false;
}

/* What tells hosts and their devices apart. */
static void read_identity(struct agent *a, const json_t *body)
{
    const json_t *hw = json_object_get(body, "hardware");
    const json_t *gpus = json_object_get(hw, "gpus");
    const char *boot = agents_text_of(body, "boot_id", "");
    a->boot_hash = weir_hash_bytes(boot, strlen(boot));
    a->declared = json_is_string(json_object_get(hw, "declaration"));
    a->n_gpus = (uint32_t)json_array_size(gpus);
    for (uint32_t i = 0; i < a->n_gpus; i++) {
        const char *uuid = agents_text_of(json_array_get(gpus, i), "uuid", "");
        a->gpu_hash[i] = uuid[0] == '\0' ? 0 : weir_hash_bytes(uuid, strlen(uuid));
    }
}

/*
 * A host may be offered once. Hosts are told apart by the kernel's boot id, which containers share with their host: two
 * with GPUs of their own each are fine, and so is what a person has declared, for then he has said what each is to offer.
 */
static int check_host(struct broker *b, struct weir_node_id node, const json_t *body, struct weir_err *err)
{
    struct agent self = {.node = node};
    const char *boot = agents_text_of(body, "boot_id", "");
    read_identity(&self, body);
    for (size_t i = 0; !self.declared && i < b->agents.n && boot[0] != '\0' && !weir_streq(boot, "unknown"); i++) {
        const struct agent *a = b->agents.p[i];
        bool apart = a->n_gpus > 0 && self.n_gpus > 0 && !shares_gpu(a, &self);
        if (a->node.v == node.v || a->lease.v != 0 || a->session[0] == '\0' || a->boot_hash != self.boot_hash || a->declared || apart ||
            !is_live(b, a)) {
            continue;
        }
        const char *name = weir_engine_node_name(b->engine, a->node);
        return weir_fail(err, -WEIR_ECONFLICT,
                         "agent: this host is offered already, as node '%s': stop that agent, or declare what each is to offer (--declare-gpus, --declare-cpus)",
                         name == NULL ? "?" : name);
    }
    return 0;
}

static void open_session(struct broker *b, struct agent *a)
{
    agents_fail_parked(a, -WEIR_ECONFLICT, "agent: another agent joined for this node");
    agents_clear_queue(a);
    weir_random_hex(a->session, (SESSION_SIZE - 1) / 2);
    a->next_seq = 1;
    a->given_seq = 0;
    a->seen_ms = broker_ms(b);
    agents_found(b, a);
    pthread_mutex_lock(&b->sessions_lock);
    weir_map_put(&b->session_of_node, a->node.v, weir_hash_bytes(a->session, strlen(a->session)));
    pthread_mutex_unlock(&b->sessions_lock);
}

void agents_close_session(struct broker *b, struct agent *a)
{
    agents_fail_parked(a, -WEIR_ECONFLICT, "agent: it has left");
    agents_clear_queue(a);
    a->session[0] = '\0';
    pthread_mutex_lock(&b->sessions_lock);
    (void)weir_map_remove(&b->session_of_node, a->node.v);
    pthread_mutex_unlock(&b->sessions_lock);
}

void agents_join(struct broker *b, struct weir_command *cmd)
{
    const json_t *body = cmd->u.agent.body;
    json_int_t protocol = json_integer_value(json_object_get(body, "protocol"));
    if (protocol != PROTOCOL) {
        commands_finish(b, cmd,
                        weir_fail(&cmd->err, -WEIR_EVERSION,
                                  "agent: it speaks protocol %" JSON_INTEGER_FORMAT " (weir %s), this broker speaks %d (weir %s): upgrade the %s",
                                  protocol, agents_text_of(body, "version", "?"), PROTOCOL, WEIR_VERSION,
                                  protocol < PROTOCOL ? "agent" : "broker"));
        return;
    }
    const char *agent_id = agents_text_of(body, "agent_id", "");
    const char *name = agents_text_of(body, "name", "");
    if (strlen(agent_id) < 8 || name[0] == '\0' || strlen(name) > 128) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_EINVAL, "agent: 'agent_id' and 'name' are wanted"));
        return;
    }
    struct weir_node_spec spec = {.fabric = 0};
    int r = read_hardware(b, json_object_get(body, "hardware"), &spec, &cmd->err);
    r = r != 0 ? r : node_of(b, cmd, agent_id, &spec);
    r = r != 0 ? r : certificates_check_join(b, cmd->who, name, spec.id, &cmd->err);
    if (r == 0 && spec.lease.v == 0) { /* rented machines may be processes of one host: each is known by its lease */
        r = check_name(b, name, &spec, &cmd->err);
        r = r != 0 ? r : check_host(b, spec.id, body, &cmd->err);
    }
    r = r != 0 ? r : check_is_no_copy(b, &spec, body, cmd->u.agent.peer, &cmd->err);
    r = r != 0 || spec.lease.v == 0 ? r : check_promise(b, &spec, &cmd->err);
    if (r != 0) {
        commands_finish(b, cmd, r);
        return;
    }
    if (spec.id.v == 0) {
        spec.id = weir_core_take_node_id(weir_engine_core(b->engine));
    }
    const char *pool = agents_text_of(body, "pool", "local");
    spec.pool = weir_engine_pool(b->engine, weir_sv_of(pool), "{\"kind\":\"placed\"}");
    if (spec.lease.v == 0) {
        struct weir_owned_cost cost;
        (void)node_cost(b, &spec, weir_engine_now(b->engine), &cost);
        spec.rates = weir_owned_rates(&cost);
    }
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
    ev.u.node_join.spec = &spec;
    r = weir_engine_event(b->engine, &ev, &cmd->err);
    if (r != 0) {
        commands_finish(b, cmd, r);
        return;
    }
    struct agent *a = agents_make(b, spec.id);
    a->lease = spec.lease;
    struct weir_lease_view lease;
    if (spec.lease.v != 0 && weir_core_lease(weir_engine_core(b->engine), spec.lease, &lease)) {
        a->lease_expires = lease.expires; /* it may have been extended while nobody could tell the machine */
    }
    read_identity(a, body);
    open_session(b, a);
    char *detail = agents_pause_detail(b, a, json_object_get(body, "hardware"));
    weir_engine_node_note(b->engine, spec.id,
                          &(struct weir_node_note){agent_id, name, agents_text_of(body, "address", cmd->u.agent.peer),
                                                   detail == NULL ? "{}" : detail});
    free(detail);
    reconcile(b, a, json_object_get(body, "runs"));
    if (spec.lease.v == 0) {
        local_agent_joined(b, spec.id, agent_id, json_string_value(json_object_get(json_object_get(body, "hardware"), "declaration")));
    }
    weir_log(WEIR_LOG_INFO, "agent.joined", "node=%" PRIu64 " name=%s pool=%s gpus=%u lease=%" PRIu64, spec.id.v, name, pool,
             (unsigned)spec.gpus, spec.lease.v);
    struct weir_json j = weir_json_begin(&cmd->reply);
    weir_json_object(&j);
    weir_json_kv_u64(&j, "protocol", PROTOCOL);
    weir_json_kv_u64(&j, "node", spec.id.v);
    weir_json_kv_cstr(&j, "session", a->session);
    weir_json_kv_i64(&j, "lease_expires", weir_engine_outside(b->engine, a->lease_expires).us);
    weir_json_kv_u64(&j, "report_every_ms", REPORT_EVERY_MS);
    weir_json_end(&j);
    commands_finish(b, cmd, 0);
}
