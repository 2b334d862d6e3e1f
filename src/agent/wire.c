/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/parse.h"

/* ---- small pieces ---- */

const char *weir_run_name(struct weir_run_id id, char buf[static WEIR_RUN_NAME_SIZE])
{
    (void)snprintf(buf, WEIR_RUN_NAME_SIZE, "%llu_%u_%u", (unsigned long long)id.task.job.v, id.task.ordinal, id.attempt);
    return buf;
}

int weir_run_name_parse(struct weir_sv name, struct weir_run_id *ret)
{
    struct weir_sv rest = name;
    uint64_t job, ordinal, attempt;
    if (weir_parse_u64(weir_sv_cut(&rest, '_'), 1, INT64_MAX, &job, NULL) < 0 ||
        weir_parse_u64(weir_sv_cut(&rest, '_'), 0, WEIR_ARRAY_TASKS_MAX, &ordinal, NULL) < 0 || rest.p == NULL ||
        weir_parse_u64(rest, 1, UINT32_MAX, &attempt, NULL) < 0) {
        return -WEIR_EINVAL;
    }
    *ret = (struct weir_run_id){{{job}, (uint32_t)ordinal}, (uint32_t)attempt};
    return 0;
}

void weir_run_id_write(struct weir_json *j, const char *key, struct weir_run_id id)
{
    weir_json_key(j, key);
    weir_json_object(j);
    weir_json_kv_u64(j, "job", id.task.job.v);
    weir_json_kv_u64(j, "ordinal", id.task.ordinal);
    weir_json_kv_u64(j, "attempt", id.attempt);
    weir_json_end(j);
}

/* An absent key gives 0; what is not a whole number, or out of range, is an error. */
static int read_int(const json_t *v, const char *key, int64_t min, int64_t max, int64_t *ret, struct weir_err *err)
{
    const json_t *x = json_object_get(v, key);
    if (x == NULL) {
        *ret = 0;
        return 0;
    }
    if (!json_is_integer(x)) {
        return weir_fail(err, -WEIR_EINVAL, "'%s' is not a whole number", key);
    }
    int64_t n = json_integer_value(x);
    if (n < min || n > max) {
        return weir_fail(err, -WEIR_EINVAL, "'%s' is %lld, out of range", key, (long long)n);
    }
    *ret = n;
    return 0;
}

int weir_run_id_read(const struct json_t *v, struct weir_run_id *ret, struct weir_err *err)
{
    int64_t job = 0, ordinal = 0, attempt = 0;
    if (!json_is_object(v)) {
        return weir_fail(err, -WEIR_EINVAL, "no 'run' object");
    }
    int rc = read_int(v, "job", 1, INT64_MAX, &job, err);
    rc = rc < 0 ? rc : read_int(v, "ordinal", 0, WEIR_ARRAY_TASKS_MAX, &ordinal, err);
    rc = rc < 0 ? rc : read_int(v, "attempt", 1, UINT32_MAX, &attempt, err);
    if (rc < 0) {
        return rc;
    }
    if (job == 0 || attempt == 0) {
        return weir_fail(err, -WEIR_EINVAL, "'run' lacks job or attempt");
    }
    *ret = (struct weir_run_id){{{(uint64_t)job}, (uint32_t)ordinal}, (uint32_t)attempt};
    return 0;
}

enum weir_reason weir_reason_parse(const char *name)
{
    for (int i = 1; name != NULL && i < WEIR_REASON_MAX; i++) {
        if (weir_streq(name, weir_reason_name((enum weir_reason)i))) {
            return (enum weir_reason)i;
        }
    }
    return WEIR_REASON_NONE;
}

void weir_agent_end_write(struct weir_json *j, const struct weir_agent_end *end)
{
    weir_json_kv_i64(j, "at", end->ended.us);
    weir_json_kv_i64(j, "started", end->started.us);
    weir_json_kv_cstr(j, "reason", weir_reason_name(end->reason));
    weir_json_kv_i64(j, "exit_code", end->exit_code);
    weir_json_kv_i64(j, "signal", end->signal);
    weir_json_kv_cstr(j, "text", end->text);
    weir_json_kv_u64(j, "log_bytes", end->log_bytes);
    weir_json_kv_u64(j, "max_rss_mib", end->max_rss_mib);
    weir_json_kv_u64(j, "cpu_us", end->cpu_us);
    weir_json_kv_u64(j, "energy_mj", end->energy_mj);
    weir_json_kv_bool(j, "energy_modelled", end->energy_modelled);
    if (end->host_fault) {
        weir_json_kv_bool(j, "host_fault", true);
    }
}

int weir_agent_end_read(const struct json_t *v, struct weir_agent_end *ret, struct weir_err *err)
{
    int64_t at = 0, started = 0, code = 0, signal = 0, log = 0, rss = 0, cpu = 0, energy = 0;
    int rc = read_int(v, "at", 0, INT64_MAX, &at, err);
    rc = rc < 0 ? rc : read_int(v, "started", 0, INT64_MAX, &started, err);
    rc = rc < 0 ? rc : read_int(v, "exit_code", 0, 255, &code, err);
    rc = rc < 0 ? rc : read_int(v, "signal", 0, 128, &signal, err);
    rc = rc < 0 ? rc : read_int(v, "log_bytes", 0, INT64_MAX, &log, err);
    rc = rc < 0 ? rc : read_int(v, "max_rss_mib", 0, INT64_MAX, &rss, err);
    rc = rc < 0 ? rc : read_int(v, "cpu_us", 0, INT64_MAX, &cpu, err);
    rc = rc < 0 ? rc : read_int(v, "energy_mj", 0, INT64_MAX, &energy, err);
    if (rc < 0) {
        return rc;
    }
    enum weir_reason reason = weir_reason_parse(json_string_value(json_object_get(v, "reason")));
    if (reason == WEIR_REASON_NONE) {
        return weir_fail(err, -WEIR_EINVAL, "no known 'reason'");
    }
    *ret = (struct weir_agent_end){.reason = reason,
                                   .exit_code = (int)code,
                                   .signal = (int)signal,
                                   .started = {started},
                                   .ended = {at},
                                   .log_bytes = (uint64_t)log,
                                   .max_rss_mib = (uint64_t)rss,
                                   .cpu_us = (uint64_t)cpu,
                                   .energy_mj = (uint64_t)energy,
                                   .energy_modelled = json_is_true(json_object_get(v, "energy_modelled")),
                                   .host_fault = json_is_true(json_object_get(v, "host_fault"))};
    const char *text = json_string_value(json_object_get(v, "text"));
    (void)snprintf(ret->text, sizeof ret->text, "%s", text == NULL ? "" : text);
    return 0;
}

/* ---- what the agent says ---- */

static void write_hardware(struct weir_json *j, const struct weir_hardware *h)
{
    static const char *const energy[] = {"modelled", "rapl", "nvml"};
    weir_json_key(j, "hardware");
    weir_json_object(j);
    weir_json_kv_u64(j, "cpu_milli", h->cpu_milli);
    weir_json_kv_u64(j, "mem_mib", h->mem_mib);
    weir_json_kv_bool(j, "declared", h->declared);
    if (h->declaration != NULL) {
        weir_json_kv_cstr(j, "declaration", h->declaration);
    }
    weir_json_key(j, "gpus");
    weir_json_array(j);
    for (size_t i = 0; i < h->n_gpus; i++) {
        const struct weir_device *d = &h->gpu[i];
        weir_json_object(j);
        weir_json_kv_u64(j, "index", d->index);
        weir_json_kv_cstr(j, "uuid", d->uuid);
        weir_json_kv_cstr(j, "model", d->model);
        weir_json_kv_u64(j, "mem_mib", d->mem_mib);
        weir_json_kv_u64(j, "link_group", d->link_group);
        weir_json_end(j);
    }
    weir_json_end(j);
    weir_json_kv_cstr(j, "energy", energy[h->energy]);
    weir_json_kv_cstr(j, "cgroup", h->cgroup == NULL ? "none" : h->cgroup);
    weir_json_end(j);
}

/* All that the agent has a record of and was not told to forget. */
static void write_runs(struct weir_json *j, const struct weir_agent_state *s)
{
    weir_json_key(j, "runs");
    weir_json_array(j);
    for (size_t i = 0; i < s->n_runs; i++) {
        const struct weir_agent_run *r = s->run[i];
        if (r->forgotten) {
            continue;
        }
        weir_json_object(j);
        weir_json_kv_u64(j, "job", r->id.task.job.v);
        weir_json_kv_u64(j, "ordinal", r->id.task.ordinal);
        weir_json_kv_u64(j, "attempt", r->id.attempt);
        weir_json_kv_cstr(j, "state", r->ended ? "ended" : "running");
        weir_json_end(j);
    }
    weir_json_end(j);
}

void weir_agent_write_join(const struct weir_agent_state *s, const struct weir_agent_self *self, struct weir_str *out)
{
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    weir_json_kv_u64(&j, "protocol", self->protocol);
    weir_json_kv_cstr(&j, "version", WEIR_VERSION);
    weir_json_kv_cstr(&j, "agent_id", self->agent_id);
    weir_json_kv_cstr(&j, "boot_id", self->boot_id);
    weir_json_kv_cstr(&j, "name", self->name);
    weir_json_kv_cstr(&j, "pool", self->pool);
    weir_json_kv_cstr(&j, "address", self->address);
    weir_json_kv_u64(&j, "lease", self->lease);
    write_hardware(&j, self->hardware);
    write_runs(&j, s);
    weir_json_end(&j);
}

static void write_session(struct weir_json *j, const struct weir_agent_state *s)
{
    weir_json_kv_u64(j, "node", s->node);
    weir_json_kv_cstr(j, "session", s->session);
}

void weir_agent_write_sync(const struct weir_agent_state *s, uint64_t ack, int wait_ms, struct weir_str *out)
{
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    write_session(&j, s);
    weir_json_kv_u64(&j, "ack", ack);
    weir_json_kv_i64(&j, "wait_ms", wait_ms);
    weir_json_end(&j);
}

static void write_run_reports(struct weir_json *j, const struct weir_agent_run *r)
{
    if ((r->in_flight & WEIR_AGENT_OWES_STARTED) != 0) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "type", "started");
        weir_run_id_write(j, "run", r->id);
        weir_json_kv_i64(j, "at", r->started.us);
        weir_json_kv_i64(j, "pid", r->pid);
        weir_json_end(j);
    }
    if ((r->in_flight & WEIR_AGENT_OWES_CHECKPOINT) != 0) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "type", "checkpointed");
        weir_run_id_write(j, "run", r->id);
        weir_json_kv_i64(j, "at", r->checkpointed.us);
        weir_json_end(j);
    }
    if ((r->in_flight & WEIR_AGENT_OWES_ENDED) != 0) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "type", "ended");
        weir_run_id_write(j, "run", r->id);
        weir_agent_end_write(j, r->end);
        weir_json_end(j);
    }
}

void weir_agent_write_report(const struct weir_agent_state *s, struct weir_wall now, struct weir_str *out)
{
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    write_session(&j, s);
    weir_json_kv_i64(&j, "now", now.us);
    weir_json_key(&j, "reports");
    weir_json_array(&j);
    for (size_t i = 0; i < s->flying.n; i++) {
        const struct weir_agent_run *r = weir_agent_find(s, s->flying.p[i]);
        if (r != NULL) {
            write_run_reports(&j, r);
        }
    }
    for (size_t i = 0; i < s->refusals_in_flight; i++) {
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "type", "refused");
        weir_json_kv_u64(&j, "seq", s->refusal[i].seq);
        weir_json_kv_cstr(&j, "text", s->refusal[i].text);
        weir_json_end(&j);
    }
    if (s->notice_in_flight) {
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "type", "notice");
        weir_json_kv_i64(&j, "deadline", s->notice.us);
        weir_json_kv_cstr(&j, "kind", "reclaim");
        weir_json_end(&j);
    }
    if (s->energy_in_flight) {
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "type", "energy");
        weir_json_kv_i64(&j, "at", s->energy.at.us);
        weir_json_kv_u64(&j, "node_mj", s->energy.node_mj);
        weir_json_kv_bool(&j, "modelled", s->energy.modelled);
        weir_json_key(&j, "gpu_mj");
        weir_json_array(&j);
        for (size_t i = 0; i < s->energy.n_gpus; i++) {
            weir_json_u64(&j, s->energy.gpu_mj[i]);
        }
        weir_json_end(&j);
        weir_json_end(&j);
    }
    if (s->leaving_in_flight) {
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "type", "leaving");
        write_runs(&j, s);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    weir_json_end(&j);
}

/* ---- what the broker says ---- */

static int load(struct weir_sv body, json_t **ret, struct weir_err *err)
{
    json_error_t e;
    json_t *root = json_loadb(body.p == NULL ? "" : body.p, body.n, JSON_REJECT_DUPLICATES, &e);
    if (root == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "the broker's answer is not JSON: %s (byte %d)", e.text, e.position);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return weir_fail(err, -WEIR_EINVAL, "the broker's answer is not a JSON object");
    }
    *ret = root;
    return 0;
}

void weir_agent_answer_free(struct weir_agent_answer_body *b)
{
    json_decref(b->root);
    free(b->command);
    *b = (struct weir_agent_answer_body){0};
}

int weir_agent_read_join(struct weir_sv body, struct weir_agent_answer_body *ret, struct weir_err *err)
{
    json_t *root = NULL;
    int64_t protocol = 0, node = 0, lease = 0, every = 0;
    int rc = load(body, &root, err);
    if (rc < 0) {
        return rc;
    }
    rc = read_int(root, "protocol", 0, 1 << 20, &protocol, err);
    rc = rc < 0 ? rc : read_int(root, "node", 1, INT64_MAX, &node, err);
    rc = rc < 0 ? rc : read_int(root, "lease_expires", 0, INT64_MAX, &lease, err);
    rc = rc < 0 ? rc : read_int(root, "report_every_ms", 0, 86400000, &every, err);
    const char *session = json_string_value(json_object_get(root, "session"));
    if (rc == 0 && protocol != WEIR_AGENT_PROTOCOL) {
        rc = weir_fail(err,
                       -WEIR_EVERSION,
                       "the broker answers in protocol %lld, this agent speaks %d: upgrade the %s",
                       (long long)protocol,
                       WEIR_AGENT_PROTOCOL,
                       protocol > WEIR_AGENT_PROTOCOL ? "agent" : "broker");
    }
    if (rc == 0 && (node == 0 || session == NULL || session[0] == '\0' || strlen(session) >= 128)) {
        rc = weir_fail(err, -WEIR_EINVAL, "the broker's answer lacks node or session");
    }
    if (rc < 0) {
        json_decref(root);
        return rc;
    }
    *ret = (struct weir_agent_answer_body){.root = root,
                                           .node = (uint64_t)node,
                                           .session = session,
                                           .lease_expires = {lease},
                                           .report_every = {every * WEIR_US_PER_MS}};
    return 0;
}

static int read_command(const json_t *v, struct weir_agent_command *c, struct weir_err *err)
{
    int64_t seq = 0, signal = 0, grace = 0, rank = 0;
    int rc = read_int(v, "seq", 1, INT64_MAX, &seq, err);
    if (rc < 0) {
        return rc;
    }
    if (seq == 0) {
        return weir_fail(err, -WEIR_EINVAL, "a command without 'seq'");
    }
    c->seq = (uint64_t)seq;
    const char *type = json_string_value(json_object_get(v, "type"));
    if (type == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "command %lld has no 'type'", (long long)seq);
    }
    if (weir_streq(type, "power_off")) {
        c->type = WEIR_AGENT_POWER_OFF;
        return 0;
    }
    c->type = weir_streq(type, "start")    ? WEIR_AGENT_START
              : weir_streq(type, "stop")   ? WEIR_AGENT_STOP
              : weir_streq(type, "forget") ? WEIR_AGENT_FORGET
                                           : WEIR_AGENT_UNKNOWN;
    struct weir_err why = {0};
    if (c->type == WEIR_AGENT_UNKNOWN) {
        (void)snprintf(c->text, sizeof c->text, "this agent (%s) does not know the command '%.40s'", WEIR_VERSION, type);
        return 0;
    }
    rc = weir_run_id_read(json_object_get(v, "run"), &c->run, &why);
    if (rc == 0 && c->type == WEIR_AGENT_START) {
        rc = read_int(v, "rank", 0, WEIR_GANG_NODES_MAX - 1, &rank, &why);
    }
    if (rc == 0 && c->type == WEIR_AGENT_STOP) {
        rc = read_int(v, "signal", 0, 64, &signal, &why);
        rc = rc < 0 ? rc : read_int(v, "grace_us", 0, INT64_MAX, &grace, &why);
        c->reason = weir_reason_parse(json_string_value(json_object_get(v, "reason")));
        c->reason = c->reason == WEIR_REASON_NONE ? WEIR_REASON_CANCEL : c->reason;
    }
    if (rc < 0) {
        c->type = WEIR_AGENT_UNKNOWN;
        (void)snprintf(c->text, sizeof c->text, "%.100s", why.text);
        return 0;
    }
    c->rank = (uint32_t)rank;
    const char *ticket = json_string_value(json_object_get(v, "log_ticket"));
    if (c->type == WEIR_AGENT_START && ticket != NULL && strlen(ticket) < sizeof c->ticket) {
        (void)snprintf(c->ticket, sizeof c->ticket, "%s", ticket);
    }
    c->signal = (int)signal;
    c->grace.us = grace;
    c->start = c->type == WEIR_AGENT_START ? v : NULL;
    return 0;
}

int weir_agent_read_sync(struct weir_sv body, struct weir_agent_answer_body *ret, struct weir_err *err)
{
    struct weir_agent_answer_body b = {0};
    int64_t lease = 0;
    int rc = load(body, &b.root, err);
    if (rc < 0) {
        return rc;
    }
    rc = read_int(b.root, "lease_expires", 0, INT64_MAX, &lease, err);
    const json_t *list = json_object_get(b.root, "commands");
    if (rc == 0 && (!json_is_array(list) || json_array_size(list) > WEIR_AGENT_COMMANDS_MAX)) {
        rc = weir_fail(err, -WEIR_EINVAL, "'commands' is not a list of at most %d", WEIR_AGENT_COMMANDS_MAX);
    }
    size_t n = rc == 0 ? json_array_size(list) : 0;
    b.command = weir_calloc(n, sizeof *b.command);
    b.lease_expires.us = lease;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = read_command(json_array_get(list, i), &b.command[i], err);
        b.n_commands = i + 1;
    }
    if (rc < 0) {
        weir_agent_answer_free(&b);
        return rc;
    }
    *ret = b;
    return 0;
}

bool weir_agent_read_size(struct weir_sv body, uint64_t *ret)
{
    json_t *root = NULL;
    int64_t size = -1;
    if (load(body, &root, NULL) < 0) {
        return false;
    }
    bool has = json_object_get(root, "size") != NULL && read_int(root, "size", 0, INT64_MAX, &size, NULL) == 0;
    json_decref(root);
    if (has) {
        *ret = (uint64_t)size;
    }
    return has;
}

void weir_agent_read_error(struct weir_sv body, char *message, size_t message_size, char *code, size_t code_size)
{
    json_t *root = NULL;
    message[0] = '\0';
    code[0] = '\0';
    if (load(body, &root, NULL) < 0) {
        return;
    }
    const json_t *e = json_object_get(root, "error");
    const char *m = json_string_value(json_object_get(e, "message"));
    const char *c = json_string_value(json_object_get(e, "code"));
    (void)snprintf(message, message_size, "%s", m == NULL ? "" : m);
    (void)snprintf(code, code_size, "%s", c == NULL ? "" : c);
    json_decref(root);
}
