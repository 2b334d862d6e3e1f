/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Commands of the API, on the deciding thread: each becomes events, and is answered after what they changed
 * was committed.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "broker_priv.h"
#include "cloud/exchange.h"
#include "refusal.h"

enum { REPLY_BYTES_MAX = 64 << 20, NODES_SHOWN_MAX = 100000 };

void commands_finish(struct broker *b, struct weir_command *cmd, int code)
{
    cmd->code = code;
    weir_vec_push(&b->finished, cmd);
}

void commands_answer_finished(struct broker *b)
{
    /* done() may post, never finish: the list does not change under us */
    for (size_t i = 0; i < b->finished.n; i++) {
        b->finished.p[i]->done(b->finished.p[i]);
    }
    weir_vec_clear(&b->finished);
}

/*
 * Answers people whose commands could not be stored, rather than let them wait for space. Agents go on waiting:
 * they repeat what was not acknowledged.
 */
void commands_fail_unstored(struct broker *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->finished.n; i++) {
        struct weir_command *cmd = b->finished.p[i];
        if (cmd->kind == WEIR_COMMAND_AGENT_JOIN || cmd->kind == WEIR_COMMAND_AGENT_SYNC || cmd->kind == WEIR_COMMAND_AGENT_REPORT) {
            b->finished.p[kept++] = cmd;
            continue;
        }
        if (cmd->code == 0 && cmd->kind != WEIR_COMMAND_STATUS && cmd->kind != WEIR_COMMAND_ACCRUED && cmd->kind != WEIR_COMMAND_LOGIN) {
            cmd->code = weir_fail(&cmd->err, -WEIR_ENOSPACE,
                                  "the broker cannot write to %s: free space on its disk, then look whether this was done before "
                                  "trying again",
                                  b->data_dir);
        }
        cmd->done(cmd);
    }
    b->finished.n = kept;
}

static void fail_now(struct weir_command *cmd, int code)
{
    cmd->code = code;
    cmd->done(cmd);
}

typedef WEIR_VEC(struct weir_offer) offer_vec;

/* Answers at once with everything that could be rented: what the drivers offer now, and for information the rest of
 * the catalogue. Only for commands that changed nothing. */
static void answer_with_offers(struct broker *b, struct weir_command *cmd, int code)
{
    offer_vec all = {0};
    for (size_t i = 0; i < b->n_providers; i++) {
        for (size_t k = 0; k < b->provider[i].offers.n; k++) {
            weir_vec_push(&all, b->provider[i].offers.p[k]);
        }
    }
    for (size_t i = 0; i < b->market.offer.n; i++) {
        bool driven = false;
        for (size_t k = 0; k < b->n_providers; k++) { /* one that told nothing yet has the catalogue's prices */
            driven |= b->provider[k].offers_known && weir_streq(b->provider[k].ops->name, b->market.offer.p[i].provider);
        }
        if (!driven) {
            weir_vec_push(&all, b->market.offer.p[i]);
        }
    }
    for (size_t i = 0; i < b->market.unpriced.n; i++) {
        weir_vec_push(&all, b->market.unpriced.p[i]);
    }
    WEIR_VEC(struct weir_learned) learned = {0};
    for (size_t i = 0; cmd->kind == WEIR_COMMAND_OFFERS && i < all.n; i++) {
        struct weir_learned known;
        if (all.p[i].launchable && weir_core_learned(weir_engine_core(b->engine), &all.p[i], &known)) {
            weir_vec_push(&learned, known);
        }
    }
    cmd->offer = all.p;
    cmd->n_offers = all.n;
    cmd->learned = learned.p;
    cmd->n_learned = learned.n;
    struct weir_told_quota *told = cmd->kind == WEIR_COMMAND_OFFERS ? provider_quotas_all(b, &cmd->n_told) : NULL;
    cmd->told = told;
    fail_now(cmd, code);
    free(told);
    weir_vec_release(&all);
    weir_vec_release(&learned);
}

void commands_offers(struct broker *b, struct weir_command *cmd, bool live)
{
    feeds_write(b, live, &cmd->reply);
    answer_with_offers(b, cmd, 0);
}

/* ---- submit ---- */

/* Not the specification: it may hold what is nobody's business, and stands with the job. */
static void audit_submit(struct broker *b, struct weir_command *cmd)
{
    const struct weir_spec *spec = cmd->u.submit.spec;
    char object[32];
    struct weir_str after = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&after);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "name", spec->name);
    weir_json_kv_cstr(&j, "project", spec->project == NULL ? "default" : spec->project);
    weir_json_kv_u64(&j, "tasks", weir_spec_task_count(spec));
    weir_json_end(&j);
    (void)snprintf(object, sizeof object, "job %" PRIu64, cmd->job.v);
    access_audit(b, cmd, "job.submit", object, "", weir_str_cstr(&after));
    weir_str_release(&after);
}

/* {"state": "up"} */
static const char *state_json(const char *state, char *buf, size_t size)
{
    (void)snprintf(buf, size, "{\"state\":\"%s\"}", state);
    return buf;
}

static void submit(struct broker *b, struct weir_command *cmd)
{
    const struct weir_spec *spec = cmd->u.submit.spec;
    if (spec->n_inputs > 0 || spec->n_outputs > 0) {
        /* to run without its data would look like success */
        bool in = spec->n_inputs > 0;
        const struct weir_pair *first = in ? &spec->inputs[0] : &spec->outputs[0];
        commands_finish(b, cmd, weir_fail(&cmd->err, -WEIR_EUNSUPPORTED,
                                          "%s '%s': this version of weir does not move data: copy it in 'setup' and 'run', or use a path that"
                                          " every node has, and leave the key out",
                                          in ? "inputs (file_mounts)" : "outputs", first->key));
        return;
    }
    struct weir_engine_submit s = {.name = spec->name, .spec_json = cmd->u.submit.spec_json, .tags_json = cmd->u.submit.tags_json,
                                   .priority = spec->priority, .n_tasks = weir_spec_task_count(spec),
                                   .parallel_max = spec->array_parallel, .deadline = spec->deadline, .request = spec->request};
    if (spec->deadline_after.us > 0) {
        s.deadline = weir_wall_add(weir_engine_now(b->engine), spec->deadline_after);
    }
    const struct weir_policy_subject subject = {.project = spec->project == NULL ? "default" : spec->project,
                                                .user = cmd->u.submit.user,
                                                .image = spec->image == NULL ? "" : spec->image,
                                                .tags = spec->tags,
                                                .n_tags = spec->n_tags,
                                                .nodes = s.request.nodes,
                                                .max_duration = s.request.max_duration,
                                                .now = weir_engine_now(b->engine)};
    int r = policies_compile(b, &subject, &s.request.policy, &cmd->err);
    r = r != 0 ? r : refusal_check(b, &s.request, cmd);
    if (cmd->u.submit.dry_run) {
        if (r == 0 && cmd->flag) {
            s.project = weir_engine_find_project(b->engine, weir_sv_of(spec->project == NULL ? "default" : spec->project));
            s.user = weir_engine_find_user(b->engine, weir_sv_of(cmd->u.submit.user));
            r = weir_engine_what_if(b->engine, &s, &cmd->explain, &cmd->err);
            (void)weir_core_budget(weir_engine_core(b->engine), cmd->explain.limit, &cmd->limit);
            (void)weir_core_quota(weir_engine_core(b->engine), cmd->explain.quota, &cmd->quota);
            (void)weir_core_provider_quota(weir_engine_core(b->engine), cmd->explain.provider_quota, &cmd->provider_quota);
            cmd->room = cmd->explain.room;
        }
        (void)snprintf(cmd->no_rate, sizeof cmd->no_rate, "%s", market_no_rate(b, &s.request));
        answer_with_offers(b, cmd, r);
        return;
    }
    if (r != 0) {
        commands_finish(b, cmd, r);
        return;
    }
    s.project = weir_engine_project(b->engine, weir_sv_of(spec->project == NULL ? "default" : spec->project));
    s.user = weir_engine_user(b->engine, weir_sv_of(cmd->u.submit.user));
    r = weir_engine_submit(b->engine, &s, &cmd->job, &cmd->err);
    if (r == 0) {
        audit_submit(b, cmd);
    }
    commands_finish(b, cmd, r);
}

/* ---- cancel, explain, wait ---- */

struct ranges {
    struct weir_range range[WEIR_SPEC_RANGES_MAX];
    size_t n;
};

/* The ordinal that a command means; -WEIR_ENOTFOUND where the job or index is not there. */
static int ordinal_of(struct broker *b, struct weir_command *cmd, struct weir_job_view *job, uint32_t *ret)
{
    if (!weir_core_job(weir_engine_core(b->engine), cmd->u.cancel.job, job)) {
        return weir_fail(&cmd->err, -WEIR_ENOTFOUND, "job %" PRIu64 " is not there, or has ended", cmd->u.cancel.job.v);
    }
    if (!cmd->u.cancel.has_index) {
        *ret = WEIR_ORDINAL_ALL;
        return 0;
    }
    char *json;
    char *name;
    struct weir_spec *spec;
    int r = weir_engine_job_spec(b->engine, job->id, &json, &name, &cmd->err);
    if (r != 0) {
        return r;
    }
    free(name);
    pthread_mutex_lock(&b->gpus_lock);
    r = weir_spec_parse(weir_sv_of(json), "stored spec", b->gpus, &spec, &cmd->err);
    pthread_mutex_unlock(&b->gpus_lock);
    free(json);
    if (r != 0) {
        return r;
    }
    *ret = spec->n_ranges == 0 ? (cmd->u.cancel.index == 0 ? 0 : UINT32_MAX - 1)
                               : weir_array_ordinal(spec->range, spec->n_ranges, cmd->u.cancel.index);
    weir_spec_free(spec);
    if (*ret >= job->n_tasks) {
        return weir_fail(&cmd->err, -WEIR_ENOTFOUND, "job %" PRIu64 " has no task %u", job->id.v, cmd->u.cancel.index);
    }
    return 0;
}

static void cancel(struct broker *b, struct weir_command *cmd)
{
    struct weir_job_view job;
    struct weir_event ev = {.kind = WEIR_EVENT_JOB_CANCEL};
    int r = ordinal_of(b, cmd, &job, &ev.u.job_cancel.ordinal);
    if (r == 0) {
        ev.u.job_cancel.job = job.id;
        r = weir_engine_event(b->engine, &ev, &cmd->err);
    }
    if (r == 0) {
        char object[48];
        char before[48];
        if (cmd->u.cancel.has_index) {
            (void)snprintf(object, sizeof object, "task %" PRIu64 "_%u", job.id.v, cmd->u.cancel.index);
        } else {
            (void)snprintf(object, sizeof object, "job %" PRIu64, job.id.v);
        }
        access_audit(b, cmd, "job.cancel", object, state_json(weir_job_state_name(job.state), before, sizeof before), "{\"cancel\":true}");
    }
    commands_finish(b, cmd, r);
}

static void explain(struct broker *b, struct weir_command *cmd)
{
    struct weir_job_view job;
    struct weir_task_id task = {.job = cmd->u.cancel.job};
    int r = ordinal_of(b, cmd, &job, &task.ordinal);
    if (r == 0) {
        task.ordinal = task.ordinal == WEIR_ORDINAL_ALL ? 0 : task.ordinal;
        cmd->flag = weir_core_explain(weir_engine_core(b->engine), task, weir_engine_now(b->engine), &cmd->explain);
        (void)weir_core_budget(weir_engine_core(b->engine), cmd->explain.limit, &cmd->limit);
        (void)weir_core_quota(weir_engine_core(b->engine), cmd->explain.quota, &cmd->quota);
        (void)weir_core_provider_quota(weir_engine_core(b->engine), cmd->explain.provider_quota, &cmd->provider_quota);
        const struct weir_request *request = weir_core_shape(weir_engine_core(b->engine), job.shape);
        (void)snprintf(cmd->no_rate, sizeof cmd->no_rate, "%s", request == NULL ? "" : market_no_rate(b, request));
    } else if (r == -WEIR_ENOTFOUND && !cmd->u.cancel.has_index) {
        r = 0; /* it has ended: its stored records say all */
    }
    answer_with_offers(b, cmd, r);
}

static void wait_job(struct broker *b, struct weir_command *cmd)
{
    struct weir_job_view job;
    if (!weir_core_job(weir_engine_core(b->engine), cmd->u.wait.job, &job) || weir_job_state_is_final(job.state)) {
        cmd->flag = true;
        commands_finish(b, cmd, 0); /* the API looks it up; one that never was is not found there */
        return;
    }
    struct waiter w = {cmd, broker_ms(b) + (uint64_t)(cmd->u.wait.timeout.us / 1000)};
    weir_vec_push(&b->waiters, w);
}

void commands_jobs_ended(struct broker *b, const struct weir_job_id *job, size_t n)
{
    struct weir_map over = {0};
    for (size_t i = 0; i < n && b->waiters.n > 0; i++) {
        weir_map_put(&over, job[i].v, 1);
    }
    size_t kept = 0;
    for (size_t i = 0; i < b->waiters.n; i++) {
        struct waiter w = b->waiters.p[i];
        if (weir_map_get(&over, w.cmd->u.wait.job.v, NULL)) {
            w.cmd->flag = true;
            fail_now(w.cmd, 0);
        } else {
            b->waiters.p[kept++] = w;
        }
    }
    b->waiters.n = kept;
    weir_map_release(&over);
}

void commands_tick(struct broker *b)
{
    uint64_t now = broker_ms(b);
    size_t kept = 0;
    for (size_t i = 0; i < b->waiters.n; i++) {
        struct waiter w = b->waiters.p[i];
        if (now >= w.until_ms) {
            fail_now(w.cmd, 0);
        } else {
            b->waiters.p[kept++] = w;
        }
    }
    b->waiters.n = kept;
}

static void end_command(struct weir_command *cmd)
{
    fail_now(cmd, weir_fail(&cmd->err, -WEIR_EUNAVAIL, "the broker is stopping: ask again"));
}

static void end_waiters(const struct waiter *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        end_command(w[i].cmd);
    }
}

void commands_end_all(struct broker *b)
{
    end_waiters(b->waiters.p, b->waiters.n);
    weir_vec_clear(&b->waiters);
    end_waiters(b->live.p, b->live.n);
    weir_vec_clear(&b->live);
    end_waiters(b->checks.p, b->checks.n);
    weir_vec_clear(&b->checks);
    oidc_end_all(b);
    for (size_t i = 0; i < b->finished.n; i++) { /* agents' reports that a full disk did not take */
        end_command(b->finished.p[i]);
    }
    weir_vec_clear(&b->finished);
    for (size_t i = 0; i < b->agents.n; i++) {
        struct weir_command *cmd = b->agents.p[i]->parked;
        b->agents.p[i]->parked = NULL;
        if (cmd != NULL) {
            fail_now(cmd, weir_fail(&cmd->err, -WEIR_EUNAVAIL, "the broker is stopping: ask again"));
        }
    }
}

/* ---- nodes, leases, projects ---- */

static void node_op(struct broker *b, struct weir_command *cmd)
{
    static const enum weir_event_kind kinds[] = {[WEIR_NODE_OP_DRAIN] = WEIR_EVENT_NODE_DRAIN,
                                                 [WEIR_NODE_OP_RESUME] = WEIR_EVENT_NODE_RESUME,
                                                 [WEIR_NODE_OP_REMOVE] = WEIR_EVENT_NODE_GONE};
    struct weir_node_view v;
    struct weir_event ev = {.kind = kinds[cmd->u.node.op]};
    ev.u.node.node = cmd->u.node.node;
    int r = 0;
    if (!weir_core_node(weir_engine_core(b->engine), cmd->u.node.node, &v) || v.state == WEIR_NODE_GONE) {
        r = weir_fail(&cmd->err, -WEIR_ENOTFOUND, "node %" PRIu64 " is not there", cmd->u.node.node.v);
    } else if (cmd->u.node.op == WEIR_NODE_OP_REMOVE && v.spec.lease.v != 0) {
        r = weir_fail(&cmd->err, -WEIR_ECONFLICT, "node %" PRIu64 " is rented: end its lease %" PRIu64 " instead ('weir leases end %" PRIu64 "')",
                      cmd->u.node.node.v, v.spec.lease.v, v.spec.lease.v);
    } else if (cmd->u.node.op == WEIR_NODE_OP_REMOVE && agents_is_there(b, cmd->u.node.node)) {
        /* nothing would tell its agent, and the host would be idle without a word */
        r = weir_fail(&cmd->err, -WEIR_ECONFLICT, "the agent of node %" PRIu64 " is there: drain the node ('weir nodes drain'), end its agent, then remove it",
                      cmd->u.node.node.v);
    } else {
        agents_pause_end(b, cmd->u.node.node); /* what a person says of it holds from now on */
        r = weir_engine_event(b->engine, &ev, &cmd->err);
    }
    if (r == 0) {
        static const char *const actions[] = {[WEIR_NODE_OP_DRAIN] = "node.drain", [WEIR_NODE_OP_RESUME] = "node.resume", [WEIR_NODE_OP_REMOVE] = "node.remove"};
        struct weir_node_view now;
        char object[32];
        char before[48];
        char after[48];
        bool there = weir_core_node(weir_engine_core(b->engine), cmd->u.node.node, &now);
        (void)snprintf(object, sizeof object, "node %" PRIu64, cmd->u.node.node.v);
        access_audit(b, cmd, actions[cmd->u.node.op], object, state_json(weir_node_state_name(v.state), before, sizeof before),
                     state_json(weir_node_state_name(there ? now.state : WEIR_NODE_GONE), after, sizeof after));
    }
    commands_finish(b, cmd, r);
}

static void lease_end(struct broker *b, struct weir_command *cmd)
{
    struct weir_lease_view v;
    struct weir_event ev = {.kind = WEIR_EVENT_LEASE_RELEASE};
    ev.u.lease.lease = cmd->u.lease.lease;
    int r = !weir_core_lease(weir_engine_core(b->engine), cmd->u.lease.lease, &v)
                ? weir_fail(&cmd->err, -WEIR_ENOTFOUND, "lease %" PRIu64 " is not there, or is over", cmd->u.lease.lease.v)
                : weir_engine_event(b->engine, &ev, &cmd->err);
    if (r == 0) {
        char object[32];
        char before[48];
        (void)snprintf(object, sizeof object, "lease %" PRIu64, cmd->u.lease.lease.v);
        access_audit(b, cmd, "lease.end", object, state_json(weir_lease_state_name(v.state), before, sizeof before), "{\"end\":true}");
    }
    commands_finish(b, cmd, r);
}

static const char *renting(const struct broker *b)
{
    return b->renting_off ? "{\"renting\":false}" : "{\"renting\":true}";
}

static void leases_op(struct broker *b, struct weir_command *cmd)
{
    int r = 0;
    switch (cmd->u.leases.op) {
    case WEIR_LEASES_OP_AUDIT:
        break;
    case WEIR_LEASES_OP_LOOK:
        leases_look(b);
        break;
    case WEIR_LEASES_OP_DOWN:
        access_audit(b, cmd, "lease.down", "all leases", renting(b), "{\"renting\":false}");
        r = leases_down(b, &cmd->err);
        break;
    case WEIR_LEASES_OP_UP:
        access_audit(b, cmd, "lease.up", "all leases", renting(b), "{\"renting\":true}");
        r = leases_set_renting(b, true, &cmd->err);
        break;
    }
    if (r == 0) {
        leases_audit(b, &cmd->reply);
    }
    commands_finish(b, cmd, r);
}

static const char *project_json(const struct weir_project_view *v, char *buf, size_t size)
{
    (void)snprintf(buf, size, "{\"weight\":%" PRIu32 ",\"delay_cost_micro_per_hour\":%" PRId64 "}", v->weight, v->delay_cost_micro_per_hour);
    return buf;
}

static void project_set(struct broker *b, struct weir_command *cmd)
{
    struct weir_project_view v;
    struct weir_event ev = {.kind = WEIR_EVENT_PROJECT_SET};
    bool is_new = weir_engine_find_project(b->engine, weir_sv_of(cmd->u.project.name)).v == 0;
    ev.u.project_set.project = weir_engine_project(b->engine, weir_sv_of(cmd->u.project.name));
    (void)weir_core_project(weir_engine_core(b->engine), ev.u.project_set.project, &v);
    ev.u.project_set.weight = cmd->u.project.weight < 0 ? v.weight : (uint32_t)cmd->u.project.weight;
    ev.u.project_set.delay_cost_micro_per_hour =
        cmd->u.project.delay_cost_micro_per_hour < 0 ? v.delay_cost_micro_per_hour : cmd->u.project.delay_cost_micro_per_hour;
    int r = weir_engine_event(b->engine, &ev, &cmd->err);
    if (r == 0) {
        char object[WEIR_SPEC_NAME_MAX + 16];
        char before[96] = "";
        char after[96];
        (void)snprintf(object, sizeof object, "project %s", cmd->u.project.name);
        if (!is_new) {
            (void)project_json(&v, before, sizeof before);
        }
        (void)weir_core_project(weir_engine_core(b->engine), ev.u.project_set.project, &v);
        access_audit(b, cmd, "project.set", object, before, project_json(&v, after, sizeof after));
    }
    commands_finish(b, cmd, r);
}

/* ---- what has accrued ---- */

struct accrued {
    struct weir_job_id only;
    WEIR_VEC(struct weir_accrued) items;
};

static void on_accrued(void *ctx, struct weir_run_id run, int64_t micro)
{
    struct accrued *a = ctx;
    if (a->only.v == 0 || a->only.v == run.task.job.v) {
        weir_vec_push(&a->items, ((struct weir_accrued){run.task, micro}));
    }
}

/* What waits for which budget or quota: a list of shapes, since there may be a million jobs. */
static void parked(struct broker *b, struct weir_command *cmd)
{
    enum { PARKED_MAX = 4096 };
    struct weir_core *core = weir_engine_core(b->engine);
    struct weir_parked *list = weir_calloc(PARKED_MAX, sizeof *list);
    cmd->n_parked = weir_core_parked(core, list, PARKED_MAX);
    cmd->parked = cmd->n_parked == 0 ? NULL : weir_calloc(cmd->n_parked, sizeof *cmd->parked);
    for (size_t i = 0; i < cmd->n_parked; i++) {
        struct weir_parked_note *note = &cmd->parked[i];
        struct weir_budget_view budget;
        struct weir_quota_view quota;
        *note = (struct weir_parked_note){.shape = list[i].shape, .set = list[i].set, .is_quota = list[i].quota.v != 0};
        if (weir_core_quota(core, list[i].quota, &quota)) {
            memcpy(note->name, quota.def.name, sizeof note->name);
        } else if (weir_core_budget(core, list[i].budget, &budget)) {
            memcpy(note->name, budget.def.name, sizeof note->name);
        }
    }
    free(list);
    WEIR_VEC(uint32_t) sets = {0};
    struct weir_payer_view payer;
    for (uint32_t id = 1; cmd->n_parked > 0 && weir_core_payer(core, (struct weir_payer_id){id}, &payer); id++) {
        weir_vec_push(&sets, weir_core_payer_set(core, payer.id));
    }
    cmd->payer_set = sets.p;
    cmd->n_payers = sets.n;
}

static void accrued(struct broker *b, struct weir_command *cmd)
{
    struct accrued a = {.only = cmd->u.accrued.job};
    weir_engine_accrued(b->engine, on_accrued, &a);
    cmd->accrued = a.items.p;
    cmd->n_accrued = a.items.n;
    parked(b, cmd);
    commands_finish(b, cmd, 0);
}

/* ---- status ---- */

static uint64_t rss_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    char line[128] = "";
    uint64_t pages = 0;
    if (f != NULL) {
        if (fgets(line, sizeof line, f) != NULL) {
            char *second = strchr(line, ' ');
            for (char *p = second == NULL ? line + strlen(line) : second + 1; *p >= '0' && *p <= '9'; p++) {
                pages = pages * 10 + (uint64_t)(*p - '0');
            }
        }
        (void)fclose(f);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void check(struct weir_json *j, const char *name, bool ok, const char *text, const char *remedy)
{
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", name);
    weir_json_kv_bool(j, "ok", ok);
    weir_json_kv_cstr(j, "text", text);
    weir_json_kv_cstr(j, "remedy", ok ? NULL : remedy);
    weir_json_end(j);
}

struct node_sums {
    uint64_t up;
    uint64_t lost;
    uint64_t gpus;
    uint64_t gpus_free;
    int64_t rate;
};

static struct node_sums sum_nodes(struct broker *b)
{
    struct node_sums s = {0};
    struct weir_core *core = weir_engine_core(b->engine);
    size_t n = weir_core_nodes(core, NULL, 0);
    n = n > NODES_SHOWN_MAX ? NODES_SHOWN_MAX : n;
    struct weir_node_id *ids = weir_calloc(n, sizeof *ids);
    (void)weir_core_nodes(core, ids, n);
    for (size_t i = 0; i < n; i++) {
        struct weir_node_view v;
        if (weir_core_node(core, ids[i], &v) && v.joined && v.state != WEIR_NODE_GONE) {
            s.up += v.state != WEIR_NODE_LOST ? 1 : 0;
            s.lost += v.state == WEIR_NODE_LOST ? 1 : 0;
            s.gpus += v.spec.gpus;
            s.gpus_free += (uint64_t)__builtin_popcount(v.gpu_free_mask);
            s.rate += v.spec.rates.full_micro_per_hour;
        }
    }
    free(ids);
    return s;
}

static void json_pair(struct weir_json *j, const char *key, const char *a, uint64_t av, const char *c, uint64_t cv)
{
    weir_json_key(j, key);
    weir_json_object(j);
    weir_json_kv_u64(j, a, av);
    weir_json_kv_u64(j, c, cv);
    weir_json_end(j);
}

static void status_checks(struct broker *b, struct weir_json *j, const struct node_sums *nodes, uint64_t free_bytes)
{
    bool assumed = nodes->gpus > 0;
    for (size_t i = 0; i < b->config->n_pools; i++) {
        assumed &= !b->config->pool[i].has_purchase;
    }
    weir_json_key(j, "checks");
    weir_json_array(j);
    check(j, "store", !b->store_full, b->store_full ? "the last transaction could not be written" : "transactions are written",
          "free space on the disk of the data directory; nothing is lost meanwhile");
    check(j, "disk", free_bytes > UINT64_C(1) << 30, "free space on the disk of the data directory", "free at least 1 GiB");
    check(j, "nodes", nodes->up > 0, nodes->up > 0 ? "at least one node is up" : "no node is up",
          "start 'weir agent' on a host, or 'weir serve' without --no-agent");
    check(j, "lost nodes", nodes->lost == 0, nodes->lost == 0 ? "no node is silent" : "some nodes have no agent: it is silent, or was stopped", "see 'weir nodes'");
    check(j, "alerts", alerts_are_taken(b), alerts_are_taken(b) ? "every receiver took what it was told last" : "a receiver of alerts does not take what it is told",
          "see 'weir alerts receivers'");
    char rate[128];
    const char *no_rate = market_no_rate(b, NULL);
    const char *remedy = strchr(weir_offer_no_rate(no_rate[0] == '\0' ? "USD" : no_rate, rate, sizeof rate), ':') + 2;
    const struct provider *odd = feeds_trouble(b);
    if (no_rate[0] != '\0') {
        char text[160];
        (void)snprintf(text, sizeof text, "offers in %s are left out: the ledger is in %s, and no rate of %s is in force", no_rate, b->config->currency, no_rate);
        check(j, "prices", false, text, remedy);
    } else if (b->n_providers > 0) {
        check(j, "prices", odd == NULL || !odd->feed.failed, odd != NULL ? odd->feed.text : "every provider's prices are known",
              "its last prices serve meanwhile, or the catalogue's; see 'weir offers --live'");
    }
    /* neither is wrong: a site may rent nothing, and an assumed price is said to be one */
    check(j, "providers", true,
          b->n_providers > 0 ? "at least one provider is configured"
                             : "none is configured, nothing is rented; 'providers: {sandbox: {}}' in the configuration is one to try with", NULL);
    if (b->link != NULL) {
        char link[512];
        const char *link_remedy;
        bool ok = link_status(b, link, sizeof link, &link_remedy);
        check(j, "wireguard", ok, link, link_remedy);
    }
    bool unknown = assumed && market_rate(b, "USD") == 0;
    check(j, "owned cost", !unknown,
          unknown   ? "owned nodes cost nothing: it is assumed in USD, of which no rate is in force"
          : assumed ? "assumed from the market; to bill what it was, configure pools: {local: {cost: {purchase: ...}}}"
                    : "the cost of owned nodes is configured",
          "configure pools: {local: {cost: {purchase: ...}}}, or add a rate: weir rule add NAME exchange --currency USD --rate RATE");
    weir_json_end(j);
}

static void status(struct broker *b, struct weir_command *cmd)
{
    struct weir_core_stats st = weir_core_stats(weir_engine_core(b->engine));
    struct node_sums nodes = sum_nodes(b);
    struct statvfs fs;
    uint64_t free_bytes = statvfs(b->data_dir, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
    struct weir_json j = weir_json_begin(&cmd->reply);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "version", WEIR_VERSION);
    weir_json_kv_u64(&j, "uptime_s", (broker_ms(b) - b->started_ms) / 1000);
    weir_json_kv_cstr(&j, "listen", b->listen);
    weir_json_kv_cstr(&j, "data", b->data_dir);
    weir_json_kv_cstr(&j, "currency", b->config->currency);
    json_pair(&j, "jobs", "waiting", weir_engine_jobs(b->engine, WEIR_JOB_WAITING), "running",
              weir_engine_jobs(b->engine, WEIR_JOB_RUNNING));
    json_pair(&j, "tasks", "waiting", st.tasks_waiting, "running", st.tasks_running);
    json_pair(&j, "nodes", "up", nodes.up, "lost", nodes.lost);
    json_pair(&j, "gpus", "total", nodes.gpus, "free", nodes.gpus_free);
    weir_json_kv_u64(&j, "leases", b->leases.n);
    weir_json_kv_i64(&j, "spend_micro_per_hour", nodes.rate);
    json_pair(&j, "store", "schema", WEIR_STORE_SCHEMA, "free_bytes", free_bytes);
    alerts_status(b, &j);
    status_checks(b, &j, &nodes, free_bytes);
    weir_json_kv_u64(&j, "rss_bytes", rss_bytes());
    weir_json_end(&j);
    commands_finish(b, cmd, 0);
}

static void sandbox_fault(struct broker *b, struct weir_command *cmd)
{
    int r = leases_fault(b, cmd->u.fault.what, &cmd->err);
    if (r == 0) {
        struct weir_str after = WEIR_STR_INIT(4096);
        struct weir_json j = weir_json_begin(&after);
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "what", cmd->u.fault.what);
        weir_json_end(&j);
        access_audit(b, cmd, "sandbox.fault", "sandbox", "", weir_str_cstr(&after));
        weir_str_release(&after);
    }
    commands_finish(b, cmd, r);
}

static void amend(struct broker *b, struct weir_command *cmd)
{
    const struct weir_correction_row *row = &cmd->u.amend.row;
    int r = weir_engine_amend(b->engine, row, cmd->u.amend.part, cmd->u.amend.n, &cmd->err);
    if (r == 0) {
        char object[64];
        struct weir_str after = WEIR_STR_INIT(65536);
        struct weir_json j = weir_json_begin(&after);
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "kind", row->kind);
        weir_json_kv_i64(&j, "amount_micro", row->micro);
        weir_json_kv_cstr(&j, "reason", row->reason);
        weir_json_end(&j);
        (void)snprintf(object, sizeof object, "correction %" PRIu64, row->id);
        access_audit(b, cmd, "correction.add", object, "", weir_str_cstr(&after));
        weir_str_release(&after);
    }
    commands_finish(b, cmd, r);
}

static void close_month(struct broker *b, struct weir_command *cmd)
{
    struct weir_close_row *row = &cmd->u.close.row;
    if (cmd->u.close.seal) {
        commands_finish(b, cmd, weir_engine_seal(b->engine, row, &cmd->err));
        return;
    }
    int r = weir_engine_close(b->engine, row, &cmd->err);
    if (r == 0) {
        char object[32];
        struct weir_str after = WEIR_STR_INIT(4096);
        struct weir_json j = weir_json_begin(&after);
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "zone", row->zone);
        weir_json_kv_u64(&j, "last_posting", row->close.last_posting);
        weir_json_end(&j);
        (void)snprintf(object, sizeof object, "month %s", row->month);
        access_audit(b, cmd, "bill.close", object, "", weir_str_cstr(&after));
        weir_str_release(&after);
    }
    commands_finish(b, cmd, r);
}

static void invoice(struct broker *b, struct weir_command *cmd)
{
    char after[64];
    weir_engine_invoice_lines(b->engine, cmd->u.invoice.line, cmd->u.invoice.n);
    (void)snprintf(after, sizeof after, "{\"lines\":%zu}", cmd->u.invoice.n);
    access_audit(b, cmd, "invoice.lines", "invoice", "", after);
    commands_finish(b, cmd, 0);
}

void commands_handle(struct broker *b, struct weir_command *cmd)
{
    cmd->reply = WEIR_STR_INIT(REPLY_BYTES_MAX);
    bool writes = cmd->kind == WEIR_COMMAND_SUBMIT || cmd->kind == WEIR_COMMAND_CANCEL || cmd->kind == WEIR_COMMAND_NODE ||
                  cmd->kind == WEIR_COMMAND_LEASE_END || cmd->kind == WEIR_COMMAND_PROJECT_SET || cmd->kind == WEIR_COMMAND_ACCESS ||
                  cmd->kind == WEIR_COMMAND_AMEND || cmd->kind == WEIR_COMMAND_CLOSE || cmd->kind == WEIR_COMMAND_INVOICE ||
                  cmd->kind == WEIR_COMMAND_RULE || cmd->kind == WEIR_COMMAND_PRICE ||
                  cmd->kind == WEIR_COMMAND_POLICY_SET || cmd->kind == WEIR_COMMAND_POLICY_REMOVE ||
                  cmd->kind == WEIR_COMMAND_ALERT || cmd->kind == WEIR_COMMAND_FINDING || cmd->kind == WEIR_COMMAND_BUDGET_SET || cmd->kind == WEIR_COMMAND_BUDGET_REMOVE ||
                  cmd->kind == WEIR_COMMAND_QUOTA_SET || cmd->kind == WEIR_COMMAND_QUOTA_REMOVE;
    if (writes && b->store_full) {
        fail_now(cmd, weir_fail(&cmd->err, -WEIR_ENOSPACE, "the broker cannot write to %s: free space on its disk, then try again", b->data_dir));
        return;
    }
    switch (cmd->kind) {
    case WEIR_COMMAND_SUBMIT:
        submit(b, cmd);
        break;
    case WEIR_COMMAND_CANCEL:
        cancel(b, cmd);
        break;
    case WEIR_COMMAND_EXPLAIN:
        explain(b, cmd);
        break;
    case WEIR_COMMAND_WAIT_JOB:
        wait_job(b, cmd);
        break;
    case WEIR_COMMAND_NODE:
        node_op(b, cmd);
        break;
    case WEIR_COMMAND_LEASE_END:
        lease_end(b, cmd);
        break;
    case WEIR_COMMAND_LEASES:
        leases_op(b, cmd);
        break;
    case WEIR_COMMAND_PROJECT_SET:
        project_set(b, cmd);
        break;
    case WEIR_COMMAND_BUDGET_SET:
        budgets_set(b, cmd);
        break;
    case WEIR_COMMAND_BUDGET_REMOVE:
        budgets_remove(b, cmd);
        break;
    case WEIR_COMMAND_QUOTA_SET:
        quotas_set(b, cmd);
        break;
    case WEIR_COMMAND_QUOTA_REMOVE:
        quotas_remove(b, cmd);
        break;
    case WEIR_COMMAND_OFFERS:
        if (cmd->u.offers.live) {
            feeds_live(b, cmd);
        } else {
            commands_offers(b, cmd, false);
        }
        break;
    case WEIR_COMMAND_CHECK:
        checks_begin(b, cmd);
        break;
    case WEIR_COMMAND_SETTLE:
        commands_finish(b, cmd, 0); /* the flush settles where it sees one */
        break;
    case WEIR_COMMAND_AMEND:
        amend(b, cmd);
        break;
    case WEIR_COMMAND_CLOSE:
        close_month(b, cmd);
        break;
    case WEIR_COMMAND_RULE:
        rules_change(b, cmd);
        break;
    case WEIR_COMMAND_PRICE:
        commands_finish(b, cmd, weir_engine_price(b->engine, cmd->u.price.ratings, cmd->u.price.part, cmd->u.price.n, &cmd->err));
        break;
    case WEIR_COMMAND_INVOICE:
        invoice(b, cmd);
        break;
    case WEIR_COMMAND_ACCRUED:
        accrued(b, cmd);
        break;
    case WEIR_COMMAND_STATUS:
        status(b, cmd);
        break;
    case WEIR_COMMAND_SANDBOX_FAULT:
        sandbox_fault(b, cmd);
        break;
    case WEIR_COMMAND_ACCESS:
        access_change(b, cmd);
        break;
    case WEIR_COMMAND_POLICY_SET:
        policies_set(b, cmd);
        break;
    case WEIR_COMMAND_POLICY_REMOVE:
        policies_remove(b, cmd);
        break;
    case WEIR_COMMAND_ALERT:
        alerts_change(b, cmd);
        break;
    case WEIR_COMMAND_FINDING:
        alerts_finding(b, cmd);
        break;
    case WEIR_COMMAND_LOGIN:
        oidc_login(b, cmd);
        break;
    case WEIR_COMMAND_AGENT_CERTIFY:
        certificates_certify(b, cmd);
        break;
    case WEIR_COMMAND_AGENT_JOIN:
        agents_join(b, cmd);
        break;
    case WEIR_COMMAND_AGENT_SYNC:
        agents_sync(b, cmd);
        break;
    case WEIR_COMMAND_AGENT_REPORT:
        agents_report(b, cmd);
        break;
    case WEIR_COMMAND_MAX:
        WEIR_UNREACHABLE();
    }
}
