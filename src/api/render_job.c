/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs and tasks as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/mem.h"

/* ---- arrays ---- */

int api_array_parse(const char *text, uint32_t n_tasks, struct api_array *ret, struct weir_err *err)
{
    ret->n = 0;
    ret->n_tasks = n_tasks;
    if (text == NULL) {
        return 0;
    }
    struct weir_spec *spec = weir_spec_new();
    int rc = weir_spec_parse_array(weir_sv_of(text), spec, err);
    if (rc == 0) {
        memcpy(ret->range, spec->range, spec->n_ranges * sizeof spec->range[0]);
        ret->n = spec->n_ranges;
    }
    weir_spec_free(spec);
    return rc;
}

int api_array_find(const struct api_array *a, struct weir_job_id job, uint64_t index, uint32_t *ret,
                   struct weir_err *err)
{
    uint32_t ordinal = UINT32_MAX;
    if (a->n == 0) {
        ordinal = index == 0 ? 0 : UINT32_MAX;
    } else if (index < UINT32_MAX) {
        ordinal = weir_array_ordinal(a->range, a->n, (uint32_t)index);
    }
    if (ordinal == UINT32_MAX || ordinal >= a->n_tasks) {
        return weir_fail(err, -WEIR_ENOTFOUND,
                         a->n == 0 ? "job %" PRIu64 " is no array; it has no task with index %" PRIu64
                                   : "job %" PRIu64 " has no task with index %" PRIu64,
                         job.v, index);
    }
    *ret = ordinal;
    return 0;
}

void api_task_text(const struct api_array *a, struct weir_task_id id, char *buf, size_t size)
{
    if (a == NULL || a->n == 0) {
        (void)snprintf(buf, size, "%" PRIu64, id.job.v);
    } else {
        (void)snprintf(buf, size, "%" PRIu64 "_%" PRIu32, id.job.v, weir_array_index(a->range, a->n, id.ordinal));
    }
}

/* ---- node names ---- */

static int on_node_name(void *ctx, const struct weir_node_row *row)
{
    struct api_node_names *n = ctx;
    if (n->n == n->size) {
        n->size = n->size == 0 ? 64 : n->size * 2;
        n->name = weir_realloc(n->name, n->size, sizeof n->name[0]);
    }
    n->name[n->n++] = weir_strdup(row->name == NULL ? "" : row->name);
    weir_map_put(&n->by_id, row->view.spec.id.v, n->n);
    return 0;
}

int api_node_names_load(struct weir_store *s, struct api_node_names *ret, struct weir_err *err)
{
    *ret = (struct api_node_names){0};
    return s->ops->each_node(s, true, on_node_name, ret, err);
}

void api_node_names_release(struct api_node_names *n)
{
    for (size_t i = 0; i < n->n; i++) {
        free(n->name[i]);
    }
    free(n->name);
    weir_map_release(&n->by_id);
    *n = (struct api_node_names){0};
}

const char *api_node_name(const struct api_node_names *n, uint64_t id)
{
    uint64_t i = 0;
    return n != NULL && weir_map_get(&n->by_id, id, &i) ? n->name[i - 1] : NULL;
}

/* ---- what has accrued ---- */

static void add_to(struct weir_map *m, uint64_t key, int64_t micro)
{
    uint64_t sum = 0;
    (void)weir_map_get(m, key, &sum);
    weir_map_put(m, key, (uint64_t)weir_i64_add_sat((int64_t)sum, micro));
}

static int64_t sum_of(const struct weir_map *m, uint64_t key)
{
    uint64_t sum = 0;
    (void)weir_map_get(m, key, &sum);
    return (int64_t)sum;
}

static uint64_t task_key(struct weir_task_id id)
{
    uint64_t key[2] = {id.job.v, id.ordinal};
    return weir_hash_bytes(key, sizeof key);
}

void api_accrued_set(struct api_accrued *ret, const struct weir_command *cmd)
{
    *ret = (struct api_accrued){.cmd = cmd};
    for (size_t i = 0; i < cmd->n_accrued; i++) {
        add_to(&ret->job, cmd->accrued[i].task.job.v, cmd->accrued[i].micro);
        add_to(&ret->task, task_key(cmd->accrued[i].task), cmd->accrued[i].micro);
    }
}

const struct weir_parked_note *api_accrued_parked(const struct api_accrued *a, const struct weir_job_view *job)
{
    uint32_t payer = job->payer.v;
    uint32_t set = payer == 0 || payer > a->cmd->n_payers ? 0 : a->cmd->payer_set[payer - 1];
    for (size_t i = 0; set != 0 && !weir_job_state_is_final(job->state) && i < a->cmd->n_parked; i++) {
        if (a->cmd->parked[i].set == set && a->cmd->parked[i].shape == job->shape) {
            return &a->cmd->parked[i];
        }
    }
    return NULL;
}

void api_accrued_release(struct api_accrued *a)
{
    weir_map_release(&a->job);
    weir_map_release(&a->task);
}

int64_t api_accrued_job(const struct api_accrued *a, struct weir_job_id job)
{
    return sum_of(&a->job, job.v);
}

int64_t api_accrued_task(const struct api_accrued *a, struct weir_task_id task)
{
    return sum_of(&a->task, task_key(task));
}

/* ---- jobs ---- */

void api_known_json(struct weir_json *j, const char *key, int64_t known, bool has_unknown)
{
    weir_json_key(j, key);
    if (known == 0 && has_unknown) {
        weir_json_null(j);
    } else {
        weir_json_i64(j, known);
    }
}

void api_footprint_json(struct weir_json *j, const struct weir_footprint *f)
{
    api_known_json(j, "energy_mj", f->energy_mj, f->has_unknown);
    api_known_json(j, "carbon_ug", f->carbon_ug, f->has_unknown);
    weir_json_kv_i64(j, "carbon_unknown_micro", f->unknown_micro);
}

static char *copy_or_null(const char *s)
{
    return s == NULL || s[0] == '\0' ? NULL : weir_strdup(s);
}

/* "A100:8" or, where the order counts, ["H100:8", "A100:8"]. */
static char *gpus_text(struct weir_sv spec)
{
    struct weir_sv v = weir_json_find(weir_json_find(spec, "resources"), "accelerators");
    if (v.n == 0) {
        return NULL;
    }
    if (v.p[0] == '"') {
        return weir_json_text(v);
    }
    struct weir_str out = WEIR_STR_INIT(1024);
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] != '[' && v.p[i] != ']' && v.p[i] != '"' && v.p[i] != ' ') {
            weir_str_addc(&out, v.p[i]);
        }
    }
    return weir_str_take(&out);
}

void api_job_set(struct api_job *ret, const struct weir_job_row *row, bool is_full)
{
    struct weir_sv spec = weir_sv_of(row->spec_json);
    *ret = (struct api_job){.view = row->view, .cost_micro = row->cost_micro, .footprint = row->footprint, .impossible = row->impossible};
    ret->name = weir_strdup(row->name == NULL ? "" : row->name);
    ret->project = copy_or_null(row->project);
    ret->user = copy_or_null(row->user);
    ret->array = weir_json_text(weir_json_find(spec, "array"));
    ret->gpus = gpus_text(spec);
    if (is_full) {
        ret->tags_json = weir_strdup(row->tags_json == NULL || row->tags_json[0] == '\0' ? "{}" : row->tags_json);
        ret->spec_json = weir_strdup(row->spec_json == NULL || row->spec_json[0] == '\0' ? "{}" : row->spec_json);
    }
}

void api_job_release(struct api_job *job)
{
    free(job->name);
    free(job->project);
    free(job->user);
    free(job->tags_json);
    free(job->spec_json);
    free(job->array);
    free(job->gpus);
    free(job->pool);
    free(job->node);
    *job = (struct api_job){0};
}

static int on_speaking_task(void *ctx, const struct weir_task_row *row)
{
    struct api_job *job = ctx;
    job->has_task = true;
    job->pool = copy_or_null(row->pool);
    job->node = copy_or_null(row->node_name);
    job->node_id = row->view.node;
    job->reason = row->view.reason;
    job->exit_code = row->view.exit_code;
    job->has_exit = weir_task_state_is_final(row->view.state) && row->view.reason == WEIR_REASON_EXIT;
    return 0;
}

enum { PLACED_TASKS_MAX = 256 }; /* that are looked at for where an array is */

int api_job_fill(struct weir_store *s, struct api_job *job, struct weir_err *err)
{
    struct weir_task_filter f = {.job = job->view.id, .limit = 1};
    if (job->view.n_tasks > 1 && job->view.count[WEIR_TASK_FAILED] > 0) {
        f.states = 1u << WEIR_TASK_FAILED;
    }
    int rc = s->ops->list_tasks(s, &f, on_speaking_task, job, err);
    if (rc == 0 && job->view.n_tasks > 1) {
        job->has_exit = job->has_exit && job->view.state == WEIR_JOB_FAILED;
        job->reason = job->view.count[WEIR_TASK_FAILED] > 0 ? job->reason : WEIR_REASON_NONE;
    }
    if (rc == 0 && job->view.n_tasks > 1 && job->node_id.v != 0) { /* the speaking task is in one place, an array may be in many */
        rc = s->ops->count_nodes(s, job->view.id, job->node_id, PLACED_TASKS_MAX, &job->other_nodes, err);
    }
    if (rc == 0 && job->view.state == WEIR_JOB_SUCCEEDED) {
        job->has_exit = true;
        job->exit_code = 0;
    }
    return rc;
}

/* Tasks that have left WAITING. */
static uint64_t tasks_seen(const struct weir_job_view *v)
{
    uint64_t seen = 0;
    for (unsigned i = 1; i < WEIR_TASK_STATE_MAX; i++) {
        seen += v->count[i];
    }
    return seen;
}

enum weir_reason api_waiting_reason(const struct api_job *job, enum weir_reason own)
{
    if (job->impossible) {
        return WEIR_REASON_IMPOSSIBLE;
    }
    return job->held == NULL ? own : job->held->is_quota ? WEIR_REASON_QUOTA : WEIR_REASON_BUDGET;
}

static enum weir_reason job_reason(const struct api_job *job)
{
    enum weir_reason own = job->has_task ? job->reason : WEIR_REASON_NONE;
    return tasks_seen(&job->view) < job->view.n_tasks ? api_waiting_reason(job, own) : own;
}

static void counts_json(struct weir_json *j, const struct weir_job_view *v)
{
    uint64_t seen = tasks_seen(v);
    weir_json_key(j, "counts");
    weir_json_object(j);
    for (unsigned i = 0; i < WEIR_TASK_STATE_MAX; i++) {
        uint64_t n = i == WEIR_TASK_WAITING && seen <= v->n_tasks ? v->n_tasks - seen : v->count[i];
        weir_json_kv_u64(j, weir_task_state_name((enum weir_task_state)i), n);
    }
    weir_json_end(j);
}

void api_job_json(struct weir_json *j, const struct api_job *job, const char *currency)
{
    const struct weir_job_view *v = &job->view;
    weir_json_object(j);
    weir_json_kv_u64(j, "id", v->id.v);
    weir_json_kv_cstr(j, "name", job->name);
    weir_json_kv_cstr(j, "project", job->project);
    weir_json_kv_cstr(j, "user", job->user);
    weir_json_kv_cstr(j, "state", weir_job_state_name(v->state));
    enum weir_reason reason = job_reason(job);
    weir_json_kv_cstr(j, "reason", reason == WEIR_REASON_NONE ? NULL : weir_reason_name(reason));
    if (job->held != NULL && !job->impossible && tasks_seen(v) < v->n_tasks) {
        weir_json_kv_cstr(j, "held_by", job->held->name);
    }
    weir_json_kv_i64(j, "priority", v->priority);
    weir_json_kv_u64(j, "tasks", v->n_tasks);
    weir_json_kv_cstr(j, "pool", job->pool);
    weir_json_kv_cstr(j, "node", job->node);
    if (job->other_nodes > 0) {
        weir_json_kv_u64(j, "other_nodes", job->other_nodes);
    }
    weir_json_kv_cstr(j, "gpus", job->gpus);
    weir_json_key(j, "exit_code");
    if (job->has_exit) {
        weir_json_i64(j, job->exit_code);
    } else {
        weir_json_null(j);
    }
    weir_json_kv_time(j, "submitted", v->submitted);
    weir_json_kv_time(j, "started", v->started);
    weir_json_kv_time(j, "ended", v->ended);
    weir_json_kv_time(j, "deadline", v->deadline);
    /* what had accrued before the row was read is in the row's cost once it has ended */
    int64_t accruing_micro = weir_job_state_is_final(v->state) ? 0 : job->accruing_micro;
    weir_json_kv_i64(j, "cost_micro", weir_i64_add_sat(job->cost_micro, accruing_micro));
    weir_json_kv_i64(j, "accruing_micro", accruing_micro);
    api_footprint_json(j, &job->footprint);
    weir_json_kv_cstr(j, "currency", currency);
    weir_json_kv_cstr(j, "array", job->array);
    if (job->spec_json != NULL) {
        weir_json_key(j, "tags"), weir_json_raw(j, weir_sv_of(job->tags_json));
        counts_json(j, v);
        weir_json_key(j, "spec"), weir_json_raw(j, weir_sv_of(job->spec_json));
    }
    weir_json_end(j);
}

struct get_job {
    struct api_job *ret;
    bool is_full;
};

static int on_get_job(void *ctx, const struct weir_job_row *row)
{
    struct get_job *g = ctx;
    api_job_set(g->ret, row, g->is_full);
    return 0;
}

int api_job_get(struct weir_store *s, struct weir_job_id id, bool is_full, struct api_job *ret, struct weir_err *err)
{
    *ret = (struct api_job){0};
    struct get_job g = {.ret = ret, .is_full = is_full};
    int rc = s->ops->get_job(s, id, on_get_job, &g, err);
    if (rc == -WEIR_ENOTFOUND) {
        return weir_fail(err, rc, "job %" PRIu64 " does not exist", id.v);
    }
    rc = rc < 0 || !is_full ? rc : api_job_fill(s, ret, err);
    if (rc < 0) {
        api_job_release(ret);
    }
    return rc;
}

/* ---- tasks ---- */

static void gpu_indices(struct weir_json *j, uint32_t mask)
{
    weir_json_key(j, "gpus");
    weir_json_array(j);
    for (unsigned i = 0; i < WEIR_NODE_GPUS_MAX; i++) {
        if ((mask >> i & 1) != 0) {
            weir_json_u64(j, i);
        }
    }
    weir_json_end(j);
}

static void task_nodes(struct weir_json *j, const struct weir_task_row *row, const struct api_node_names *names)
{
    const struct weir_task_view *v = &row->view;
    weir_json_key(j, "nodes");
    weir_json_array(j);
    if (v->n_nodes <= 1 || v->gang_node == NULL) {
        if (v->node.v != 0 && row->node_name != NULL) {
            weir_json_cstr(j, row->node_name);
        }
    } else {
        for (uint32_t i = 0; i < v->n_nodes; i++) {
            char buf[32];
            const char *name = api_node_name(names, v->gang_node[i].v);
            (void)snprintf(buf, sizeof buf, "node %" PRIu64, v->gang_node[i].v);
            weir_json_cstr(j, name == NULL ? buf : name);
        }
    }
    weir_json_end(j);
}

void api_task_json(struct weir_json *j, const struct weir_task_row *row, int64_t accruing_micro,
                   const struct api_array *array, const struct api_node_names *names, const char *currency)
{
    const struct weir_task_view *v = &row->view;
    char id[48];
    bool ended = weir_task_state_is_final(v->state);
    accruing_micro = ended ? 0 : accruing_micro; /* as of a job */
    bool has_end = ended && (v->reason == WEIR_REASON_EXIT || v->reason == WEIR_REASON_SIGNAL);
    api_task_text(array, v->id, id, sizeof id);
    weir_json_object(j);
    weir_json_kv_u64(j, "job", v->id.job.v);
    weir_json_key(j, "index");
    if (array->n == 0) {
        weir_json_null(j);
    } else {
        weir_json_u64(j, weir_array_index(array->range, array->n, v->id.ordinal));
    }
    weir_json_kv_u64(j, "ordinal", v->id.ordinal);
    weir_json_kv_cstr(j, "id", id);
    weir_json_kv_cstr(j, "state", weir_task_state_name(v->state));
    weir_json_kv_cstr(j, "reason", v->reason == WEIR_REASON_NONE ? NULL : weir_reason_name(v->reason));
    weir_json_kv_cstr(j, "text", row->text == NULL ? "" : row->text);
    weir_json_kv_u64(j, "attempt", v->attempt);
    weir_json_kv_cstr(j, "node", v->node.v == 0 ? NULL : row->node_name);
    weir_json_kv_cstr(j, "pool", v->node.v == 0 || row->pool == NULL || row->pool[0] == '\0' ? NULL : row->pool);
    gpu_indices(j, v->gpu_mask);
    task_nodes(j, row, names);
    weir_json_key(j, "exit_code");
    if (ended && v->reason == WEIR_REASON_EXIT) {
        weir_json_i64(j, v->exit_code);
    } else {
        weir_json_null(j);
    }
    weir_json_kv_i64(j, "signal", has_end ? v->signal : 0);
    weir_json_kv_time(j, "queued", v->queued);
    weir_json_kv_time(j, "started", v->started);
    weir_json_kv_time(j, "ended", v->ended);
    weir_json_kv_time(j, "checkpointed", v->checkpointed);
    weir_json_kv_i64(j, "cost_micro", weir_i64_add_sat(row->cost_micro, accruing_micro));
    weir_json_kv_i64(j, "accruing_micro", accruing_micro);
    weir_json_kv_cstr(j, "currency", currency);
    weir_json_end(j);
}
