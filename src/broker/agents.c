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
#include "agents_priv.h"
#include "net/gnutls_lib.h"

enum {
    COMMANDS_PER_SYNC = 256,
    REPORTS_MAX = 4096,
    WAIT_MS_MAX = 60000,
    REPLY_BYTES_MAX = 64 << 20,
    COMMAND_BYTES_MAX = 4 << 20,
    SKEW_FREE_S = 2,
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

/* ---- what an agent's JSON says ---- */

const char *agents_text_of(const json_t *o, const char *key, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s == NULL || strlen(s) > 255 || !weir_utf8_is_text(weir_sv_of(s)) ? otherwise : s;
}

int64_t agents_int_of(const json_t *o, const char *key, int64_t min, int64_t max)
{
    json_int_t v = json_integer_value(json_object_get(o, key));
    return v < min ? min : v > max ? max : v;
}

bool agents_read_run(const json_t *o, struct weir_run_id *ret)
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

/* ---- agents and their runs ---- */

struct agent *agents_find(struct broker *b, struct weir_node_id node)
{
    uint64_t at;
    return weir_map_get(&b->agent_of_node, node.v, &at) ? b->agents.p[at] : NULL;
}

struct agent *agents_make(struct broker *b, struct weir_node_id node)
{
    struct agent *a = agents_find(b, node);
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

struct agent_run *agents_find_run(struct agent *a, struct weir_run_id run)
{
    for (size_t i = 0; i < a->runs.n; i++) {
        if (weir_run_id_eq(a->runs.p[i].run, run)) {
            return &a->runs.p[i];
        }
    }
    return NULL;
}

void agents_remove_run(struct agent *a, struct weir_run_id run)
{
    struct agent_run *r = agents_find_run(a, run);
    if (r != NULL) {
        *r = a->runs.p[--a->runs.n];
    }
}

void agents_run_ended(struct broker *b, struct weir_run_id run, uint32_t rank, enum weir_reason reason, int exit_code,
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

/* Can its agent not know of the run yet? */
static bool is_unsent(const struct agent *a, const struct agent_run *run)
{
    return !run->started && (run->start_seq == START_UNSENT || run->start_seq > a->given_seq);
}

void agents_end_unbegun(struct broker *b, struct agent *a, struct weir_run_id run, enum weir_reason reason)
{
    const struct agent_run *known = agents_find_run(a, run);
    if (known == NULL) {
        return;
    }
    uint32_t rank = known->rank;
    size_t kept = 0;
    for (size_t i = 0; i < a->queue.n; i++) {
        if (a->queue.p[i].seq == known->start_seq && is_unsent(a, known)) {
            free(a->queue.p[i].json);
        } else {
            a->queue.p[kept++] = a->queue.p[i];
        }
    }
    a->queue.n = kept;
    agents_remove_run(a, run);
    /* the core takes the beginning of time as the time of its placing */
    agents_run_ended(b, run, rank, reason, 0, 0, (struct weir_wall){0});
}

static void node_event(struct broker *b, struct agent *a, enum weir_event_kind kind)
{
    struct weir_err err;
    struct weir_event ev = {.kind = kind};
    ev.u.node.node = a->node;
    if (weir_engine_event(b->engine, &ev, &err) != 0) {
        weir_log(WEIR_LOG_ERROR, "agent.node", "node=%" PRIu64 " text=\"%s\"", a->node.v, err.text);
    }
}

void agents_lose_node(struct broker *b, struct agent *a)
{
    struct weir_node_view v;
    bool draining = weir_core_node(weir_engine_core(b->engine), a->node, &v) && v.state == WEIR_NODE_DRAINING;
    a->lost = true;
    if (draining && v.n_runs == 0 && a->lease.v == 0) {
        return; /* nothing to lose, and a drained node stays drained while its agent is started anew */
    }
    a->lost_draining = draining;
    node_event(b, a, WEIR_EVENT_NODE_LOST);
}

void agents_found(struct broker *b, struct agent *a)
{
    a->lost = false;
    if (a->lost_draining) {
        a->lost_draining = false;
        node_event(b, a, WEIR_EVENT_NODE_DRAIN);
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
        struct agent *a = agents_make(b, node);
        weir_vec_push(&a->runs, run);
    }
    return 0;
}

int agents_init(struct broker *b, struct weir_err *err)
{
    int r = weir_gnutls_init(err); /* signs log tickets */
    if (r != 0) {
        return r;
    }
    struct weir_core *core = weir_engine_core(b->engine);
    size_t n = weir_core_nodes(core, NULL, 0);
    struct weir_node_id *ids = weir_calloc(n, sizeof *ids);
    (void)weir_core_nodes(core, ids, n);
    for (size_t i = 0; i < n; i++) {
        struct weir_node_view v;
        if (weir_core_node(core, ids[i], &v) && v.joined) {
            struct agent *a = agents_make(b, ids[i]);
            a->lease = v.spec.lease;
            a->lost = v.state == WEIR_NODE_LOST;
            agents_pause_restore(b, a);
        }
    }
    free(ids);
    return b->store->ops->each_live_task(b->store, restore_runs, b, err);
}

/* A rented machine that is over does not come back: its place is freed, as there may be any number over time. */
static bool is_over(struct broker *b, const struct agent *a)
{
    struct weir_node_view v;
    return a->lease.v != 0 && a->parked == NULL && a->runs.n == 0 &&
           (!weir_core_node(weir_engine_core(b->engine), a->node, &v) || v.state == WEIR_NODE_GONE);
}

static void agent_free(struct agent *a)
{
    agents_clear_queue(a);
    weir_vec_release(&a->queue);
    weir_vec_release(&a->runs);
    free(a);
}

static void drop_over(struct broker *b)
{
    for (size_t i = b->agents.n; i-- > 0;) {
        struct agent *a = b->agents.p[i];
        if (!is_over(b, a)) {
            continue;
        }
        agents_close_session(b, a);
        (void)weir_map_remove(&b->agent_of_node, a->node.v);
        b->agents.p[i] = b->agents.p[--b->agents.n];
        if (i < b->agents.n) {
            weir_map_put(&b->agent_of_node, b->agents.p[i]->node.v, i);
        }
        agent_free(a);
    }
}

void agents_clear_queue(struct agent *a)
{
    for (size_t i = 0; i < a->queue.n; i++) {
        free(a->queue.p[i].json);
    }
    weir_vec_clear(&a->queue);
}

void agents_free(struct broker *b)
{
    for (size_t i = 0; i < b->agents.n; i++) {
        agent_free(b->agents.p[i]);
    }
    weir_vec_release(&b->agents);
    weir_map_release(&b->agent_of_node);
    weir_vec_release(&b->forget_run);
    weir_vec_release(&b->forget_node);
    weir_vec_release(&b->unbegun);
    for (size_t i = 0; i < JOB_INFO_SLOTS; i++) {
        weir_spec_free(b->job_info[i].spec);
        free(b->job_info[i].spec_json);
    }
}

bool agents_is_there(struct broker *b, struct weir_node_id node)
{
    const struct agent *a = agents_find(b, node);
    return a != NULL && a->session[0] != '\0' && !a->lost;
}

bool agents_is_busy(struct broker *b, struct weir_node_id node)
{
    const struct agent *a = agents_find(b, node);
    return a != NULL && a->runs.n > 0;
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

/* There is no start command to be had for it. */
static void fail_start(struct broker *b, struct agent *a, struct agent_run *run, const char *text)
{
    weir_log(WEIR_LOG_ERROR, "agent.start", "job=%" PRIu64 " text=\"%s\"", run->run.task.job.v, text);
    weir_engine_task_text(b->engine, run->run.task, text);
    run->start_seq = START_UNSENT;
    weir_vec_push(&b->unbegun, (struct unbegun){a->node, run->run, WEIR_REASON_START_FAILED});
}

void agents_send_start(struct broker *b, struct agent *a, struct agent_run *run)
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
        fail_start(b, a, run, err.text);
        return;
    }
    const struct weir_spec *spec = info->spec;
    char ticket[WEIR_LOG_TICKET_SIZE];
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
    weir_api_log_ticket(b->ticket_key, run->run, run->rank, a->node, ticket);
    weir_json_kv_cstr(&j, "log_ticket", ticket);
    weir_json_kv_u64(&j, "nodes", v.n_nodes > 1 ? v.n_nodes : 1);
    json_addresses(b, &j, &v);
    weir_json_kv_i64(&j, "max_duration_us", spec->request.max_duration.us);
    weir_json_end(&j);
    if (out.overflowed) {
        fail_start(b, a, run, "the start command is too long: shorten the job's script");
        weir_str_release(&out);
        return;
    }
    run->start_seq = seq;
    enqueue(a, &out, seq);
}

void agents_send_stop(struct broker *b, struct agent *a, struct weir_run_id run, uint8_t reason, struct weir_dur grace)
{
    struct weir_err err;
    int signal = 0;
    const struct job_info *info = job_info(b, run.task.job, &err);
    if ((reason == WEIR_REASON_PREEMPT || reason == WEIR_REASON_RECLAIM || reason == WEIR_REASON_BUDGET || reason == WEIR_REASON_QUOTA) && info != NULL) {
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

void agents_send_forget(struct agent *a, struct weir_run_id run)
{
    struct weir_str out = WEIR_STR_INIT(COMMAND_BYTES_MAX);
    uint64_t seq;
    struct weir_json j = begin_command(a, &out, "forget", &seq);
    json_run(&j, run);
    weir_json_end(&j);
    enqueue(a, &out, seq);
}

void agents_send_away(struct broker *b, struct weir_node_id node)
{
    struct agent *a = agents_find(b, node);
    struct weir_str out = WEIR_STR_INIT(COMMAND_BYTES_MAX);
    uint64_t seq;
    struct weir_json j = begin_command(a, &out, "power_off", &seq);
    weir_json_end(&j);
    enqueue(a, &out, seq);
}

static void answer_sync(struct broker *b, struct agent *a);

/*
 * A run that its agent cannot know of yet ends at once, as does a cancelled one whose agent is gone and had not reported it
 * started. One that the core has given up with its node is over. All others end when their agent says so.
 */
static void order_stop(struct broker *b, struct agent *a, const struct weir_order *o)
{
    const struct agent_run *run = agents_find_run(a, o->effect.run);
    enum weir_reason reason = (enum weir_reason)o->effect.u.run_stop.reason;
    bool unsent = run != NULL && is_unsent(a, run);
    bool ends_here = unsent || (run != NULL && !run->started && reason == WEIR_REASON_CANCEL && a->lost);
    if (a->session[0] != '\0' && !unsent) {
        agents_send_stop(b, a, o->effect.run, (uint8_t)reason, o->effect.u.run_stop.grace);
    }
    if (ends_here) {
        weir_vec_push(&b->unbegun, (struct unbegun){a->node, o->effect.run, reason});
    } else if (reason == WEIR_REASON_NODE_LOST) {
        agents_remove_run(a, o->effect.run);
    }
}

void agents_order(struct broker *b, const struct weir_order *o)
{
    struct agent *a = agents_make(b, o->effect.node);
    if (o->effect.kind == WEIR_EFFECT_RUN_START) {
        struct agent_run run = {.run = o->effect.run,
                                .rank = o->effect.rank,
                                .gpu_mask = o->effect.u.run_start.gpu_mask,
                                .start_seq = START_UNSENT};
        if (a->session[0] != '\0') {
            agents_send_start(b, a, &run);
        } /* else at its join */
        weir_vec_push(&a->runs, run);
    } else if (o->effect.kind == WEIR_EFFECT_RUN_STOP) {
        order_stop(b, a, o);
    } else if (o->effect.kind == WEIR_EFFECT_LEASE_EXTEND) {
        struct weir_lease_view lease;
        if (weir_core_lease(weir_engine_core(b->engine), o->effect.lease, &lease)) {
            struct agent *rented = agents_make(b, lease.node);
            rented->lease = lease.id;
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
        a->given_seq = a->queue.p[i].seq > a->given_seq ? a->queue.p[i].seq : a->given_seq;
    }
    weir_json_end(&j);
    weir_json_kv_i64(&j, "lease_expires", weir_engine_outside(b->engine, a->lease_expires).us);
    weir_json_end(&j);
    cmd->code = 0;
    cmd->done(cmd);
}

void agents_fail_parked(struct agent *a, int code, const char *text)
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
        struct agent *a = agents_find(b, b->forget_node.p[i]);
        if (a != NULL && a->session[0] != '\0') {
            agents_send_forget(a, b->forget_run.p[i]);
        }
    }
    weir_vec_clear(&b->forget_run);
    weir_vec_clear(&b->forget_node);
    for (size_t i = 0; i < b->agents.n; i++) {
        struct agent *a = b->agents.p[i];
        if (a->parked == NULL || a->queue.n == 0) {
            continue;
        }
        if (a->parked->u.agent.is_hung_up(a->parked)) { /* killed: what goes there is not known to arrive */
            agents_fail_parked(a, -WEIR_EUNAVAIL, "agent: it has hung up");
        } else {
            answer_sync(b, a);
        }
    }
    for (size_t i = 0; i < b->unbegun.n; i++) {
        struct agent *a = agents_find(b, b->unbegun.p[i].node);
        agents_end_unbegun(b, a, b->unbegun.p[i].run, b->unbegun.p[i].reason);
        broker_wake(b); /* this was after the flush */
    }
    weir_vec_clear(&b->unbegun);
}

/* The agent of a call, by node and session; NULL where the session is over (cmd is failed then). */
static struct agent *caller(struct broker *b, struct weir_command *cmd)
{
    const json_t *body = cmd->u.agent.body;
    struct weir_node_id node = {(uint64_t)json_integer_value(json_object_get(body, "node"))};
    const char *session = json_string_value(json_object_get(body, "session"));
    struct agent *a = agents_find(b, node);
    if (session == NULL || a == NULL || a->session[0] == '\0' || !weir_streq(a->session, session)) {
        commands_finish(b, cmd,
                        weir_fail(&cmd->err, -WEIR_ECONFLICT,
                                  "agent: this session is over (the broker was started anew, or another agent joined): join again"));
        return NULL;
    }
    a->seen_ms = broker_ms(b);
    if (a->lost) {
        node_event(b, a, WEIR_EVENT_NODE_BACK);
        agents_found(b, a);
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
    agents_fail_parked(a, -WEIR_ECONFLICT, "agent: another sync of the same session came");
    a->parked = cmd;
    /* it is to be heard again well before it counts as silent */
    json_int_t most_ms = b->config->node_silence.us / 2000 < WAIT_MS_MAX ? b->config->node_silence.us / 2000 : WAIT_MS_MAX;
    wait_ms = wait_ms < 0 ? 0 : wait_ms > most_ms ? most_ms : wait_ms;
    a->parked_until_ms = broker_ms(b) + (uint64_t)wait_ms;
    if (a->queue.n > 0 || wait_ms == 0) {
        answer_sync(b, a);
    }
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

/*
 * When it was, in the engine's time. The agent says what its clock shows as it reports: one that is behind would end a run
 * before its time, and the run's cost would be nobody's. 0 stays 0: it is not known.
 */
static struct weir_wall report_time(const json_t *o, struct weir_dur skew)
{
    int64_t at = json_integer_value(json_object_get(o, "at"));
    return (struct weir_wall){at <= 0 ? 0 : weir_i64_add_sat(at, skew.us)};
}

/* How far the agent's clock is behind; small differences are the way of the call, and of clocks that are kept right. */
static struct weir_dur skew_of(struct broker *b, const json_t *body)
{
    int64_t now = json_integer_value(json_object_get(body, "now"));
    struct weir_dur skew = weir_wall_sub(weir_engine_now(b->engine), (struct weir_wall){now});
    bool small = skew.us < SKEW_FREE_S * WEIR_US_PER_S && skew.us > -SKEW_FREE_S * WEIR_US_PER_S;
    return now <= 0 || small ? (struct weir_dur){0} : skew;
}

static void report_run(struct broker *b, struct agent *a, const json_t *o, const char *type, struct weir_dur skew)
{
    struct weir_err err;
    struct weir_run_id run;
    if (!agents_read_run(json_object_get(o, "run"), &run)) {
        weir_log(WEIR_LOG_WARNING, "agent.report", "node=%" PRIu64 " type=%s text=\"run is not one\"", a->node.v, type);
        return;
    }
    struct weir_wall at = report_time(o, skew);
    struct agent_run *known = agents_find_run(a, run);
    uint32_t rank = known == NULL ? 0 : known->rank;
    if (weir_streq(type, "ended")) {
        if (known != NULL) {
            agents_remove_run(a, run);
            const char *text = agents_text_of(o, "text", "");
            if (text[0] != '\0') {
                weir_engine_task_text(b->engine, run.task, text);
            }
            enum weir_reason reason = reason_of(agents_text_of(o, "reason", "exit"));
            if (json_is_true(json_object_get(o, "host_fault"))) { /* the task may well start elsewhere */
                agents_pause(b, a, text[0] == '\0' ? "its host can start nothing" : text);
                reason = WEIR_REASON_NODE_LOST;
            } else {
                agents_pause_forget(a);
            }
            agents_run_ended(b, run, rank, reason, (int)agents_int_of(o, "exit_code", INT32_MIN, INT32_MAX),
                      (int)agents_int_of(o, "signal", 0, 128), at);
        }
        /* also for what is not known: its end was stored before */
        weir_vec_push(&b->forget_run, run);
        weir_vec_push(&b->forget_node, a->node);
        return;
    }
    if (known == NULL) { /* cancelled or given up while nothing was heard of it */
        agents_send_stop(b, a, run, WEIR_REASON_NODE_LOST, weir_dur_s(0));
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

/*
 * The agent was stopped and knows so. Its tasks go on, and are taken up again by the next agent of that directory; what
 * it never began is moved at once. An agent that ends with us comes back with us: then nothing is moved.
 */
static void report_leaving(struct broker *b, struct agent *a, const json_t *o)
{
    if (b->stopping) {
        return;
    }
    weir_log(WEIR_LOG_NOTICE, "node.left", "node=%" PRIu64 " text=\"its agent was stopped\"", a->node.v);
    agents_lose_node(b, a);
    const json_t *runs = json_object_get(o, "runs");
    for (size_t i = a->runs.n; i-- > 0;) {
        if (agents_is_in(runs, a->runs.p[i].run)) {
            a->runs.p[i].started = true; /* it has a record, which is not forgotten */
        } else if (!a->runs.p[i].started) {
            agents_end_unbegun(b, a, a->runs.p[i].run, WEIR_REASON_NODE_LOST);
        }
    }
    agents_close_session(b, a);
}

static void report_notice(struct broker *b, struct agent *a, const json_t *o)
{
    struct weir_err err;
    if (a->lease.v == 0) {
        return;
    }
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_NOTICE};
    ev.u.lease.lease = a->lease;
    ev.u.lease.at = weir_engine_inside(b->engine, (struct weir_wall){json_integer_value(json_object_get(o, "deadline"))});
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
    struct weir_dur skew = skew_of(b, cmd->u.agent.body);
    for (size_t i = 0; i < json_array_size(reports) && a->session[0] != '\0'; i++) {
        const json_t *o = json_array_get(reports, i);
        const char *type = agents_text_of(o, "type", "");
        if (weir_streq(type, "started") || weir_streq(type, "ended") || weir_streq(type, "checkpointed")) {
            report_run(b, a, o, type, skew);
        } else if (weir_streq(type, "notice")) {
            report_notice(b, a, o);
        } else if (weir_streq(type, "leaving")) {
            report_leaving(b, a, o);
        } else if (weir_streq(type, "energy")) {
            report_energy(b, a, o);
        } else if (weir_streq(type, "refused")) {
            weir_log(WEIR_LOG_WARNING, "agent.refused", "node=%" PRIu64 " text=\"%s\"", a->node.v, agents_text_of(o, "text", ""));
        } /* other types are of a newer agent: not an error */
    }
    weir_str_adds(&cmd->reply, "{\"ok\":true}");
    commands_finish(b, cmd, 0);
}

/* ---- time ---- */

/* Of an agent that is silent: what it cannot know of is moved, what it may know of but was cancelled is cancelled. */
static void give_up_unbegun(struct broker *b, struct agent *a)
{
    for (size_t i = a->runs.n; i-- > 0;) {
        const struct agent_run *run = &a->runs.p[i];
        struct weir_task_view v;
        bool known = weir_core_task(weir_engine_core(b->engine), run->run.task, &v) && v.attempt == run->run.attempt;
        if (known && !run->started && v.state == WEIR_TASK_STOPPING && v.reason == WEIR_REASON_CANCEL) {
            agents_end_unbegun(b, a, run->run, WEIR_REASON_CANCEL);
        } else if (is_unsent(a, run)) {
            agents_end_unbegun(b, a, run->run, WEIR_REASON_NODE_LOST);
        }
    }
}

void agents_tick(struct broker *b)
{
    uint64_t now = broker_ms(b);
    uint64_t silence = (uint64_t)(b->config->node_silence.us / 1000);
    for (size_t i = 0; i < b->agents.n; i++) {
        struct agent *a = b->agents.p[i];
        agents_pause_tick(b, a);
        if (a->parked != NULL && now >= a->parked_until_ms) {
            answer_sync(b, a);
            /* it waited until now, and has half of the silence to call again */
            a->seen_ms = now - a->seen_ms > silence / 2 ? now - silence / 2 : a->seen_ms;
        }
        struct weir_node_view v;
        if ((!a->lost && (a->parked != NULL || now - a->seen_ms < silence)) ||
            !weir_core_node(weir_engine_core(b->engine), a->node, &v) || v.state == WEIR_NODE_GONE || !v.joined) {
            continue;
        }
        if (a->lost && v.state != WEIR_NODE_UP) { /* up: resumed by a person while its agent is away */
            continue;
        }
        weir_log(WEIR_LOG_WARNING, "node.lost", "node=%" PRIu64 " silent_s=%" PRIu64, a->node.v, (now - a->seen_ms) / 1000);
        agents_lose_node(b, a);
        give_up_unbegun(b, a);
    }
    drop_over(b);
}
