/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The broker's side of the agent protocol (docs/design/0002-agent-protocol.md): sessions, the commands that
 * wait for each agent, and the reports that become events. Commands are made from committed state only, and
 * a report is answered only after its events were committed.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "broker_priv.h"
#include "net/tls.h"

enum {
    PROTOCOL = 1,
    COMMANDS_PER_SYNC = 256,
    REPORTS_MAX = 4096,
    WAIT_MS_MAX = 60000,
    REPLY_BYTES_MAX = 64 << 20,
    COMMAND_BYTES_MAX = 4 << 20,
    REPORT_EVERY_MS = 10000,
    COPY_QUIET_MS = 10000, /* a node without a long poll for so long may be another host from now on */
};

static const struct job_info *job_info(struct broker *b, struct weir_job_id job, struct weir_err *err)
{
    struct job_info *slot = &b->job_info[job.v % JOB_INFO_SLOTS];
    if (slot->job == job.v && slot->spec != NULL) {
        return slot;
    }
    char *json;
    char *name;
    if (weir_engine_job_spec(b->engine, job, &json, &name, err) != 0) {
        return NULL;
    }
    free(name);
    json_error_t at;
    json_t *root = json_loads(json, 0, &at);
    struct weir_spec *spec = NULL;
    pthread_mutex_lock(&b->gpus_lock);
    int r = root == NULL ? weir_fail(err, -WEIR_ECORRUPT, "job %" PRIu64 ": its stored spec is not JSON: %s", job.v, at.text)
                         : weir_spec_from_json(root, b->gpus, &spec, err);
    pthread_mutex_unlock(&b->gpus_lock);
    json_decref(root);
    if (r != 0) {
        free(json);
        return NULL;
    }
    weir_spec_free(slot->spec);
    free(slot->spec_json);
    *slot = (struct job_info){job.v, spec, json};
    return slot;
}

void agents_task_name(void *broker, struct weir_task_id id, char *buf, size_t size)
{
    struct weir_err err;
    const struct job_info *info = job_info(broker, id.job, &err);
    if (info == NULL || info->spec->n_ranges == 0) {
        (void)snprintf(buf, size, "%" PRIu64, id.job.v);
    } else {
        (void)snprintf(buf, size, "%" PRIu64 "_%u", id.job.v, weir_array_index(info->spec->range, info->spec->n_ranges, id.ordinal));
    }
}

/* ---- agents and their runs ---- */

static struct agent *find_agent(struct broker *b, struct weir_node_id node)
{
    uint64_t at;
    return weir_map_get(&b->agent_of_node, node.v, &at) ? b->agents.p[at] : NULL;
}

static struct agent *make_agent(struct broker *b, struct weir_node_id node)
{
    struct agent *a = find_agent(b, node);
    if (a == NULL) {
        a = weir_alloc(sizeof *a);
        a->node = node;
        a->next_seq = 1;
        a->seen_ms = broker_ms(b);
        weir_map_put(&b->agent_of_node, node.v, b->agents.n);
        weir_vec_push(&b->agents, a);
    }
    return a;
}

static struct agent_run *find_run(struct agent *a, struct weir_run_id run)
{
    for (size_t i = 0; i < a->runs.n; i++) {
        if (weir_run_id_eq(a->runs.p[i].run, run)) {
            return &a->runs.p[i];
        }
    }
    return NULL;
}

static void remove_run(struct agent *a, struct weir_run_id run)
{
    struct agent_run *r = find_run(a, run);
    if (r != NULL) {
        *r = a->runs.p[--a->runs.n];
    }
}

static int restore_runs(void *ctx, const struct weir_task_row *row)
{
    struct broker *b = ctx;
    const struct weir_task_view *v = &row->view;
    bool placed = (v->state == WEIR_TASK_STARTING || v->state == WEIR_TASK_RUNNING || v->state == WEIR_TASK_STOPPING) &&
                  v->node.v != 0 && v->lease.v == 0;
    for (uint32_t rank = 0; placed && rank < (v->n_nodes > 1 ? v->n_nodes : 1); rank++) {
        struct agent_run run = {.run = {v->id, v->attempt}, .rank = rank, .started = v->state != WEIR_TASK_STARTING};
        struct weir_node_id node = v->gang_node != NULL ? v->gang_node[rank] : v->node;
        run.gpu_mask = v->gang_mask != NULL ? v->gang_mask[rank] : v->gpu_mask;
        struct agent *a = make_agent(b, node);
        weir_vec_push(&a->runs, run);
    }
    return 0;
}

int agents_init(struct broker *b, struct weir_err *err)
{
    struct weir_core *core = weir_engine_core(b->engine);
    size_t n = weir_core_nodes(core, NULL, 0);
    struct weir_node_id *ids = weir_calloc(n, sizeof *ids);
    (void)weir_core_nodes(core, ids, n);
    for (size_t i = 0; i < n; i++) {
        struct weir_node_view v;
        if (weir_core_node(core, ids[i], &v) && v.joined) {
            struct agent *a = make_agent(b, ids[i]);
            a->lease = v.spec.lease;
            a->lost = v.state == WEIR_NODE_LOST;
        }
    }
    free(ids);
    return b->store->ops->each_live_task(b->store, restore_runs, b, err);
}

static void clear_queue(struct agent *a)
{
    for (size_t i = 0; i < a->queue.n; i++) {
        free(a->queue.p[i].json);
    }
    weir_vec_clear(&a->queue);
}

void agents_free(struct broker *b)
{
    for (size_t i = 0; i < b->agents.n; i++) {
        clear_queue(b->agents.p[i]);
        weir_vec_release(&b->agents.p[i]->queue);
        weir_vec_release(&b->agents.p[i]->runs);
        free(b->agents.p[i]);
    }
    weir_vec_release(&b->agents);
    weir_map_release(&b->agent_of_node);
    weir_vec_release(&b->forget_run);
    weir_vec_release(&b->forget_node);
    for (size_t i = 0; i < JOB_INFO_SLOTS; i++) {
        weir_spec_free(b->job_info[i].spec);
        free(b->job_info[i].spec_json);
    }
}

bool agents_local_is_busy(struct broker *b)
{
    for (size_t i = 0; i < b->agents.n; i++) {
        if (b->agents.p[i]->lease.v == 0 && b->agents.p[i]->runs.n > 0) {
            return true;
        }
    }
    return false;
}

/* ---- commands to agents ---- */

static void json_run(struct weir_json *j, struct weir_run_id run)
{
    weir_json_key(j, "run");
    weir_json_object(j);
    weir_json_kv_u64(j, "job", run.task.job.v);
    weir_json_kv_u64(j, "ordinal", run.task.ordinal);
    weir_json_kv_u64(j, "attempt", run.attempt);
    weir_json_end(j);
}

static void enqueue(struct agent *a, struct weir_str *json, uint64_t seq)
{
    weir_vec_push(&a->queue, (struct agent_command){seq, weir_str_take(json)});
}

static struct weir_json begin_command(struct agent *a, struct weir_str *out, const char *type, uint64_t *ret_seq)
{
    struct weir_json j = weir_json_begin(out);
    *ret_seq = a->next_seq++;
    weir_json_object(&j);
    weir_json_kv_u64(&j, "seq", *ret_seq);
    weir_json_kv_cstr(&j, "type", type);
    return j;
}

static void json_addresses(struct broker *b, struct weir_json *j, const struct weir_task_view *v)
{
    weir_json_key(j, "addresses");
    weir_json_array(j);
    for (uint32_t i = 0; i < (v->n_nodes > 1 ? v->n_nodes : 1); i++) {
        const char *address = weir_engine_node_address(b->engine, v->gang_node != NULL ? v->gang_node[i] : v->node);
        weir_json_cstr(j, address == NULL || address[0] == '\0' ? "127.0.0.1" : address);
    }
    weir_json_end(j);
}

static void send_start(struct broker *b, struct agent *a, const struct agent_run *run)
{
    struct weir_err err;
    struct weir_task_view v;
    struct weir_job_view job;
    struct weir_core *core = weir_engine_core(b->engine);
    const struct job_info *info = job_info(b, run->run.task.job, &err);
    if (!weir_core_task(core, run->run.task, &v) || !weir_core_job(core, run->run.task.job, &job)) {
        return; /* it has ended in the meantime */
    }
    if (info == NULL) {
        weir_log(WEIR_LOG_ERROR, "agent.start", "job=%" PRIu64 " text=\"%s\"", run->run.task.job.v, err.text);
        return;
    }
    const struct weir_spec *spec = info->spec;
    struct weir_str out = WEIR_STR_INIT(COMMAND_BYTES_MAX);
    uint64_t seq;
    struct weir_json j = begin_command(a, &out, "start", &seq);
    json_run(&j, run->run);
    bool array = spec->n_ranges > 0;
    weir_json_kv_bool(&j, "array", array);
    weir_json_kv_u64(&j, "index", array ? weir_array_index(spec->range, spec->n_ranges, run->run.task.ordinal) : 0);
    weir_json_kv_u64(&j, "task_count", job.n_tasks);
    uint32_t min = 0;
    uint32_t max = 0;
    for (size_t i = 0; i < spec->n_ranges; i++) {
        uint32_t last = spec->range[i].last - (spec->range[i].last - spec->range[i].first) % spec->range[i].step;
        min = i == 0 || spec->range[i].first < min ? spec->range[i].first : min;
        max = last > max ? last : max;
    }
    weir_json_kv_u64(&j, "index_min", min);
    weir_json_kv_u64(&j, "index_max", max);
    weir_json_key(&j, "spec");
    weir_json_raw(&j, weir_sv_of(info->spec_json));
    weir_json_kv_cstr(&j, "user", weir_engine_user_name(b->engine, job.user));
    weir_json_kv_cstr(&j, "project", weir_engine_project_name(b->engine, job.project));
    weir_json_key(&j, "gpus");
    weir_json_array(&j);
    for (uint32_t i = 0; i < WEIR_NODE_GPUS_MAX; i++) {
        if ((run->gpu_mask >> i & 1U) != 0) {
            weir_json_u64(&j, i);
        }
    }
    weir_json_end(&j);
    weir_json_kv_u64(&j, "rank", run->rank);
    weir_json_kv_u64(&j, "nodes", v.n_nodes > 1 ? v.n_nodes : 1);
    json_addresses(b, &j, &v);
    weir_json_kv_i64(&j, "max_duration_us", spec->request.max_duration.us);
    weir_json_end(&j);
    if (out.overflowed) {
        weir_log(WEIR_LOG_ERROR, "agent.start", "job=%" PRIu64 " text=\"the start command is too long\"", run->run.task.job.v);
        weir_str_release(&out);
        return;
    }
    enqueue(a, &out, seq);
}

static void send_stop(struct broker *b, struct agent *a, struct weir_run_id run, uint8_t reason, struct weir_dur grace)
{
    struct weir_err err;
    int signal = 0;
    const struct job_info *info = job_info(b, run.task.job, &err);
    if ((reason == WEIR_REASON_PREEMPT || reason == WEIR_REASON_RECLAIM) && info != NULL) {
        signal = info->spec->checkpoint_signal;
    }
    struct weir_str out = WEIR_STR_INIT(COMMAND_BYTES_MAX);
    uint64_t seq;
    struct weir_json j = begin_command(a, &out, "stop", &seq);
    json_run(&j, run);
    weir_json_kv_i64(&j, "signal", signal);
    weir_json_kv_i64(&j, "grace_us", grace.us);
    weir_json_kv_cstr(&j, "reason", weir_reason_name(reason));
    weir_json_end(&j);
    enqueue(a, &out, seq);
}

static void send_forget(struct agent *a, struct weir_run_id run)
{
    struct weir_str out = WEIR_STR_INIT(COMMAND_BYTES_MAX);
    uint64_t seq;
    struct weir_json j = begin_command(a, &out, "forget", &seq);
    json_run(&j, run);
    weir_json_end(&j);
    enqueue(a, &out, seq);
}

static void answer_sync(struct broker *b, struct agent *a);

void agents_order(struct broker *b, const struct weir_order *o)
{
    struct agent *a = make_agent(b, o->effect.node);
    if (o->effect.kind == WEIR_EFFECT_RUN_START) {
        struct agent_run run = {.run = o->effect.run, .rank = o->effect.rank, .gpu_mask = o->effect.u.run_start.gpu_mask};
        weir_vec_push(&a->runs, run);
        if (a->session[0] != '\0') {
            send_start(b, a, &run);
        } /* else at its join */
    } else if (o->effect.kind == WEIR_EFFECT_RUN_STOP) {
        if (a->session[0] != '\0') {
            send_stop(b, a, o->effect.run, o->effect.u.run_stop.reason, o->effect.u.run_stop.grace);
        }
    } else if (o->effect.kind == WEIR_EFFECT_LEASE_EXTEND) {
        struct weir_lease_view lease;
        if (weir_core_lease(weir_engine_core(b->engine), o->effect.lease, &lease)) {
            struct agent *rented = make_agent(b, lease.node);
            rented->lease_expires = o->effect.u.lease_extend.expires;
            if (rented->parked != NULL) {
                answer_sync(b, rented); /* it must know in time */
            }
        }
    }
}

/* ---- sync ---- */

static void answer_sync(struct broker *b, struct agent *a)
{
    struct weir_command *cmd = a->parked;
    a->parked = NULL;
    struct weir_json j = weir_json_begin(&cmd->reply);
    weir_json_object(&j);
    weir_json_key(&j, "commands");
    weir_json_array(&j);
    for (size_t i = 0; i < a->queue.n && i < COMMANDS_PER_SYNC && cmd->reply.n < REPLY_BYTES_MAX / 2; i++) {
        weir_json_raw(&j, weir_sv_of(a->queue.p[i].json));
    }
    weir_json_end(&j);
    weir_json_kv_i64(&j, "lease_expires", a->lease_expires.us);
    weir_json_end(&j);
    cmd->code = 0;
    cmd->done(cmd);
    (void)b;
}

static void fail_parked(struct agent *a, int code, const char *text)
{
    if (a->parked != NULL) {
        struct weir_command *cmd = a->parked;
        a->parked = NULL;
        cmd->code = weir_fail(&cmd->err, code, "%s", text);
        cmd->done(cmd);
    }
}

void agents_release(struct broker *b)
{
    for (size_t i = 0; i < b->forget_run.n; i++) {
        struct agent *a = find_agent(b, b->forget_node.p[i]);
        if (a != NULL && a->session[0] != '\0') {
            send_forget(a, b->forget_run.p[i]);
        }
    }
    weir_vec_clear(&b->forget_run);
    weir_vec_clear(&b->forget_node);
    for (size_t i = 0; i < b->agents.n; i++) {
        if (b->agents.p[i]->parked != NULL && b->agents.p[i]->queue.n > 0) {
            answer_sync(b, b->agents.p[i]);
        }
    }
}

/* The agent of a call, by node and session; NULL where the session is over (cmd is failed then). */
static struct agent *caller(struct broker *b, struct weir_command *cmd)
{
    const json_t *body = cmd->u.agent.body;
    struct weir_node_id node = {(uint64_t)json_integer_value(json_object_get(body, "node"))};
    const char *session = json_string_value(json_object_get(body, "session"));
    struct agent *a = find_agent(b, node);
    if (session == NULL || a == NULL || a->session[0] == '\0' || !weir_streq(a->session, session)) {
        commands_finish(b, cmd,
                        weir_fail(&cmd->err, -WEIR_ECONFLICT,
                                  "agent: this session is over (the broker was started anew, or another agent joined): join again"));
        return NULL;
    }
    a->seen_ms = broker_ms(b);
    if (a->lost) {
        struct weir_event ev = {.kind = WEIR_EVENT_NODE_BACK};
        ev.u.node.node = a->node;
        a->lost = weir_engine_event(b->engine, &ev, &cmd->err) != 0;
    }
    return a;
}

void agents_sync(struct broker *b, struct weir_command *cmd)
{
    struct agent *a = caller(b, cmd);
    if (a == NULL) {
        return;
    }
    uint64_t ack = (uint64_t)json_integer_value(json_object_get(cmd->u.agent.body, "ack"));
    json_int_t wait_ms = json_integer_value(json_object_get(cmd->u.agent.body, "wait_ms"));
    size_t kept = 0;
    for (size_t i = 0; i < a->queue.n; i++) {
        if (a->queue.p[i].seq <= ack) {
            free(a->queue.p[i].json);
        } else {
            a->queue.p[kept++] = a->queue.p[i];
        }
    }
    a->queue.n = kept;
    fail_parked(a, -WEIR_ECONFLICT, "agent: another sync of the same session came");
    a->parked = cmd;
    wait_ms = wait_ms < 0 ? 0 : wait_ms > WAIT_MS_MAX ? WAIT_MS_MAX : wait_ms;
    a->parked_until_ms = broker_ms(b) + (uint64_t)wait_ms;
    if (a->queue.n > 0 || wait_ms == 0) {
        answer_sync(b, a);
    }
}

/* ---- join ---- */

static const char *text_of(const json_t *o, const char *key, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s == NULL || strlen(s) > 255 || !weir_utf8_is_text(weir_sv_of(s)) ? otherwise : s;
}

static int64_t int_of(const json_t *o, const char *key, int64_t min, int64_t max)
{
    json_int_t v = json_integer_value(json_object_get(o, key));
    return v < min ? min : v > max ? max : v;
}

static int read_hardware(struct broker *b, const json_t *hw, struct weir_node_spec *spec, struct weir_err *err)
{
    const json_t *gpus = json_object_get(hw, "gpus");
    if (!json_is_object(hw) || (gpus != NULL && !json_is_array(gpus)) || json_array_size(gpus) > WEIR_NODE_GPUS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "agent: hardware: an object with at most %d gpus is wanted", WEIR_NODE_GPUS_MAX);
    }
    spec->cpu_milli = (uint32_t)int_of(hw, "cpu_milli", 1, 100000000);
    spec->mem_mib = (uint64_t)int_of(hw, "mem_mib", 1, INT64_C(1) << 40);
    spec->gpus = (uint16_t)json_array_size(gpus);
    spec->gpu_model = WEIR_GPU_MODEL_ANY;
    for (size_t i = 0; i < spec->gpus; i++) {
        const json_t *g = json_array_get(gpus, i);
        pthread_mutex_lock(&b->gpus_lock);
        uint16_t model = weir_gpu_table_intern(b->gpus, weir_sv_of(text_of(g, "model", "")));
        pthread_mutex_unlock(&b->gpus_lock);
        if (i > 0 && model != spec->gpu_model) {
            return weir_fail(err, -WEIR_EUNSUPPORTED,
                             "agent: GPUs 0 and %zu are of different models ('%s'): run one agent per model, each with --gpus", i,
                             text_of(g, "model", ""));
        }
        spec->gpu_model = model;
        spec->gpu_mem_mib = (uint32_t)int_of(g, "mem_mib", 0, INT32_MAX);
        spec->link_group[i] = (uint8_t)int_of(g, "link_group", 0, 255);
    }
    if (spec->gpus > 0 && spec->gpu_mem_mib == 0 && spec->gpu_model != WEIR_GPU_MODEL_ANY) {
        spec->gpu_mem_mib = weir_gpu_table_get(b->gpus, spec->gpu_model)->mem_mib;
    }
    return 0;
}

/* The node of a joining agent: that of its lease, the one it had, or a new one. */
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
        if (spec->id.v == 0 || !weir_core_node(core, spec->id, &v) || v.state == WEIR_NODE_GONE) {
            spec->id = weir_core_take_node_id(core);
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
    spec->rates = (struct weir_node_rates){lease.offer.price_micro_per_hour, lease.offer.price_micro_per_hour, 0};
    return 0;
}

static bool is_in(const json_t *runs, struct weir_run_id run)
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

static bool read_run(const json_t *o, struct weir_run_id *ret)
{
    json_int_t job = json_integer_value(json_object_get(o, "job"));
    json_int_t ordinal = json_integer_value(json_object_get(o, "ordinal"));
    json_int_t attempt = json_integer_value(json_object_get(o, "attempt"));
    if (job <= 0 || ordinal < 0 || ordinal >= WEIR_ARRAY_TASKS_MAX || attempt <= 0 || attempt > UINT32_MAX) {
        return false;
    }
    *ret = (struct weir_run_id){{{(uint64_t)job}, (uint32_t)ordinal}, (uint32_t)attempt};
    return true;
}

static void run_ended(struct broker *b, struct weir_run_id run, uint32_t rank, enum weir_reason reason, int exit_code,
                      int signal, struct weir_wall at)
{
    struct weir_err err;
    struct weir_event ev = {.kind = WEIR_EVENT_RUN_ENDED};
    ev.u.run_ended.run = run;
    ev.u.run_ended.rank = rank;
    ev.u.run_ended.at = at;
    ev.u.run_ended.reason = (uint8_t)reason;
    ev.u.run_ended.exit_code = exit_code;
    ev.u.run_ended.signal = signal;
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "agent.ended", "job=%" PRIu64 " text=\"%s\"", run.task.job.v, err.text);
    }
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
            remove_run(a, run.run);
        } else if (is_in(runs, run.run)) {
            if (v.state == WEIR_TASK_STOPPING) {
                send_stop(b, a, run.run, (uint8_t)v.reason, weir_dur_s(30));
            }
        } else if (run.started || v.state == WEIR_TASK_STOPPING) {
            /* it ran here and the agent has no record any more, or it never came to run */
            remove_run(a, run.run);
            run_ended(b, run.run, run.rank, v.state == WEIR_TASK_STOPPING ? v.reason : WEIR_REASON_NODE_LOST, 0, 0,
                      weir_engine_now(b->engine));
        } else {
            send_start(b, a, &run);
        }
    }
    for (size_t i = 0; i < json_array_size(runs); i++) {
        struct weir_run_id run;
        struct weir_task_view v;
        const json_t *o = json_array_get(runs, i);
        if (!read_run(o, &run) || find_run(a, run) != NULL) {
            continue;
        }
        /* not ours any more: its end is stored, or it was given up as lost and runs elsewhere */
        if (!weir_streq(text_of(o, "state", ""), "ended")) {
            send_stop(b, a, run, WEIR_REASON_NODE_LOST, weir_dur_s(0));
        }
        if (!weir_core_task(weir_engine_core(b->engine), run.task, &v) || v.attempt != run.attempt ||
            weir_task_state_is_final(v.state)) {
            send_forget(a, run);
        }
    }
}

/*
 * An agent directory that was copied to another host brings the same agent_id. Letting each take the node from the
 * other would start again on one what still runs on the other. A host that was started anew has the same name, an
 * agent that was started anew the same boot id and name.
 */
static int check_is_no_copy(struct broker *b, const struct weir_node_spec *spec, const json_t *body, const char *peer, struct weir_err *err)
{
    const struct agent *a = find_agent(b, spec->id);
    if (a == NULL || a->session[0] == '\0' || a->lost || (a->parked == NULL && broker_ms(b) - a->seen_ms > COPY_QUIET_MS)) {
        return 0;
    }
    const char *name = weir_engine_node_name(b->engine, spec->id);
    const char *address = weir_engine_node_address(b->engine, spec->id);
    const char *boot = text_of(body, "boot_id", "");
    bool other_name = name != NULL && !weir_streq(name, text_of(body, "name", ""));
    bool other_boot = a->boot_hash != weir_hash_bytes(boot, strlen(boot));
    bool other_address = address != NULL && !weir_streq(address, text_of(body, "address", peer));
    if (!other_name && !(other_boot && other_address)) {
        return 0;
    }
    return weir_fail(err, -WEIR_ECONFLICT,
                     "agent: node '%s' is running with the same agent_id: if this agent's directory is a copy, delete the file agent_id in it; "
                     "if the node was renamed, it is taken within a minute of the old agent's end",
                     name == NULL ? "?" : name);
}

static void open_session(struct broker *b, struct agent *a)
{
    fail_parked(a, -WEIR_ECONFLICT, "agent: another agent joined for this node");
    clear_queue(a);
    weir_random_hex(a->session, (SESSION_SIZE - 1) / 2);
    a->next_seq = 1;
    a->seen_ms = broker_ms(b);
    a->lost = false;
    pthread_mutex_lock(&b->sessions_lock);
    weir_map_put(&b->session_of_node, a->node.v, weir_hash_bytes(a->session, strlen(a->session)));
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
                                  protocol, text_of(body, "version", "?"), PROTOCOL, WEIR_VERSION,
                                  protocol < PROTOCOL ? "agent" : "broker"));
        return;
    }
    const char *agent_id = text_of(body, "agent_id", "");
    const char *name = text_of(body, "name", "");
    if (strlen(agent_id) < 8 || name[0] == '\0' || strlen(name) > 128) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_EINVAL, "agent: 'agent_id' and 'name' are wanted"));
        return;
    }
    struct weir_node_spec spec = {.fabric = 0};
    int r = read_hardware(b, json_object_get(body, "hardware"), &spec, &cmd->err);
    r = r != 0 ? r : node_of(b, cmd, agent_id, &spec);
    r = r != 0 ? r : check_is_no_copy(b, &spec, body, cmd->u.agent.peer, &cmd->err);
    if (r != 0) {
        commands_finish(b, cmd, r);
        return;
    }
    const char *pool = text_of(body, "pool", "local");
    spec.pool = weir_engine_pool(b->engine, weir_sv_of(pool), "{\"kind\":\"placed\"}");
    if (spec.lease.v == 0) {
        struct weir_owned_cost cost =
            weir_config_owned_cost(b->config, pool, &spec, b->gpus, broker_market_rent(b, spec.gpu_model));
        spec.rates = weir_owned_rates(&cost);
    }
    struct weir_event ev = {.kind = WEIR_EVENT_NODE_JOIN};
    ev.u.node_join.spec = &spec;
    r = weir_engine_event(b->engine, &ev, &cmd->err);
    if (r != 0) {
        commands_finish(b, cmd, r);
        return;
    }
    struct agent *a = make_agent(b, spec.id);
    a->lease = spec.lease;
    const char *boot = text_of(body, "boot_id", "");
    a->boot_hash = weir_hash_bytes(boot, strlen(boot));
    open_session(b, a);
    char *detail = json_dumps(json_object_get(body, "hardware"), JSON_COMPACT);
    weir_engine_node_note(b->engine, spec.id,
                          &(struct weir_node_note){agent_id, name, text_of(body, "address", cmd->u.agent.peer),
                                                   detail == NULL ? "{}" : detail});
    free(detail);
    reconcile(b, a, json_object_get(body, "runs"));
    weir_log(WEIR_LOG_INFO, "agent.joined", "node=%" PRIu64 " name=%s pool=%s gpus=%u lease=%" PRIu64, spec.id.v, name, pool,
             (unsigned)spec.gpus, spec.lease.v);
    struct weir_json j = weir_json_begin(&cmd->reply);
    weir_json_object(&j);
    weir_json_kv_u64(&j, "protocol", PROTOCOL);
    weir_json_kv_u64(&j, "node", spec.id.v);
    weir_json_kv_cstr(&j, "session", a->session);
    weir_json_kv_i64(&j, "lease_expires", a->lease_expires.us);
    weir_json_kv_u64(&j, "report_every_ms", REPORT_EVERY_MS);
    weir_json_end(&j);
    commands_finish(b, cmd, 0);
}

/* ---- reports ---- */

static enum weir_reason reason_of(const char *name)
{
    for (int r = 0; r < WEIR_REASON_MAX; r++) {
        if (weir_streq(weir_reason_name((enum weir_reason)r), name)) {
            return (enum weir_reason)r;
        }
    }
    return WEIR_REASON_EXIT;
}

static void report_run(struct broker *b, struct agent *a, const json_t *o, const char *type)
{
    struct weir_err err;
    struct weir_run_id run;
    if (!read_run(json_object_get(o, "run"), &run)) {
        weir_log(WEIR_LOG_WARNING, "agent.report", "node=%" PRIu64 " type=%s text=\"run is not one\"", a->node.v, type);
        return;
    }
    struct weir_wall at = {json_integer_value(json_object_get(o, "at"))};
    struct agent_run *known = find_run(a, run);
    uint32_t rank = known == NULL ? 0 : known->rank;
    if (weir_streq(type, "ended")) {
        if (known != NULL) {
            remove_run(a, run);
            const char *text = text_of(o, "text", "");
            if (text[0] != '\0') {
                weir_engine_task_text(b->engine, run.task, text);
            }
            run_ended(b, run, rank, reason_of(text_of(o, "reason", "exit")), (int)int_of(o, "exit_code", INT32_MIN, INT32_MAX),
                      (int)int_of(o, "signal", 0, 128), at);
        }
        /* also for what is not known: its end was stored before */
        weir_vec_push(&b->forget_run, run);
        weir_vec_push(&b->forget_node, a->node);
        return;
    }
    if (known == NULL) {
        return;
    }
    struct weir_event ev = {.kind = weir_streq(type, "started") ? WEIR_EVENT_RUN_STARTED : WEIR_EVENT_RUN_CHECKPOINTED};
    known->started = true;
    ev.u.run.run = run;
    ev.u.run.rank = rank;
    ev.u.run.at = at;
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "agent.report", "job=%" PRIu64 " text=\"%s\"", run.task.job.v, err.text);
    }
}

static void report_notice(struct broker *b, struct agent *a, const json_t *o)
{
    struct weir_err err;
    if (a->lease.v == 0) {
        return;
    }
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_NOTICE};
    ev.u.lease.lease = a->lease;
    ev.u.lease.at = (struct weir_wall){json_integer_value(json_object_get(o, "deadline"))};
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "agent.notice", "lease=%" PRIu64 " text=\"%s\"", a->lease.v, err.text);
    }
}

static void report_energy(struct broker *b, struct agent *a, const json_t *o)
{
    json_int_t mj = json_integer_value(json_object_get(o, "node_mj"));
    if (mj < 0 || json_is_true(json_object_get(o, "modelled"))) {
        return;
    }
    weir_engine_energy(b->engine, a->node, (uint64_t)mj, true);
}

void agents_report(struct broker *b, struct weir_command *cmd)
{
    struct agent *a = caller(b, cmd);
    if (a == NULL) {
        return;
    }
    const json_t *reports = json_object_get(cmd->u.agent.body, "reports");
    if (!json_is_array(reports) || json_array_size(reports) > REPORTS_MAX) {
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_EINVAL, "agent: 'reports' must be a list of at most %d", REPORTS_MAX));
        return;
    }
    for (size_t i = 0; i < json_array_size(reports); i++) {
        const json_t *o = json_array_get(reports, i);
        const char *type = text_of(o, "type", "");
        if (weir_streq(type, "started") || weir_streq(type, "ended") || weir_streq(type, "checkpointed")) {
            report_run(b, a, o, type);
        } else if (weir_streq(type, "notice")) {
            report_notice(b, a, o);
        } else if (weir_streq(type, "energy")) {
            report_energy(b, a, o);
        } else if (weir_streq(type, "refused")) {
            weir_log(WEIR_LOG_WARNING, "agent.refused", "node=%" PRIu64 " text=\"%s\"", a->node.v, text_of(o, "text", ""));
        } /* other types are of a newer agent: not an error */
    }
    weir_str_adds(&cmd->reply, "{\"ok\":true}");
    commands_finish(b, cmd, 0);
}

/* ---- time ---- */

void agents_tick(struct broker *b)
{
    struct weir_err err;
    uint64_t now = broker_ms(b);
    uint64_t silence = (uint64_t)(b->config->node_silence.us / 1000);
    for (size_t i = 0; i < b->agents.n; i++) {
        struct agent *a = b->agents.p[i];
        if (a->parked != NULL && now >= a->parked_until_ms) {
            answer_sync(b, a);
        }
        if (a->lost || a->parked != NULL || now - a->seen_ms < silence) {
            continue;
        }
        struct weir_node_view v;
        if (!weir_core_node(weir_engine_core(b->engine), a->node, &v) || v.state == WEIR_NODE_GONE || !v.joined) {
            continue;
        }
        struct weir_event ev = {.kind = WEIR_EVENT_NODE_LOST};
        ev.u.node.node = a->node;
        a->lost = true;
        weir_log(WEIR_LOG_WARNING, "node.lost", "node=%" PRIu64 " silent_s=%" PRIu64, a->node.v, (now - a->seen_ms) / 1000);
        if (weir_engine_event(b->engine, &ev, &err) != 0) {
            weir_log(WEIR_LOG_ERROR, "node.lost", "node=%" PRIu64 " text=\"%s\"", a->node.v, err.text);
        }
    }
}
