/* SPDX-License-Identifier: Apache-2.0 */
#include "start.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "wire.h"

enum { ADDRESS_BYTES_MAX = 255, NAME_BYTES_MAX = 255, CHECKPOINT_BYTES_MAX = 4096 };

/* ---- reading ---- */

static int read_u32(const json_t *v, const char *key, uint32_t max, uint32_t *ret, struct weir_err *err)
{
    const json_t *x = json_object_get(v, key);
    if (x == NULL) {
        return 0;
    }
    if (!json_is_integer(x) || json_integer_value(x) < 0 || json_integer_value(x) > max) {
        return weir_fail(err, -WEIR_EINVAL, "start: '%s' is not a number from 0 to %u", key, max);
    }
    *ret = (uint32_t)json_integer_value(x);
    return 0;
}

static int read_name(const json_t *v, const char *key, char **ret, struct weir_err *err)
{
    const char *s = json_string_value(json_object_get(v, key));
    if (s != NULL && strlen(s) > NAME_BYTES_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "start: '%s' is longer than %d bytes", key, NAME_BYTES_MAX);
    }
    *ret = weir_strdup(s == NULL ? "" : s);
    return 0;
}

static int read_gpus(const json_t *v, struct weir_start *s, struct weir_err *err)
{
    const json_t *list = json_object_get(v, "gpus");
    size_t n = json_array_size(list);
    if (n > WEIR_AGENT_GPUS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "start: %zu GPUs, at most %d", n, WEIR_AGENT_GPUS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(list, i);
        if (!json_is_integer(x) || json_integer_value(x) < 0 || json_integer_value(x) >= WEIR_AGENT_GPUS_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "start: 'gpus' holds what is not a device index");
        }
        s->gpu[s->n_gpus++] = (uint32_t)json_integer_value(x);
    }
    return 0;
}

static int read_addresses(const json_t *v, struct weir_start *s, struct weir_err *err)
{
    const json_t *list = json_object_get(v, "addresses");
    size_t n = json_array_size(list);
    if (n > WEIR_GANG_NODES_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "start: %zu addresses, at most %d", n, WEIR_GANG_NODES_MAX);
    }
    s->address = weir_calloc(n, sizeof *s->address);
    for (size_t i = 0; i < n; i++) {
        const char *a = json_string_value(json_array_get(list, i));
        if (a == NULL || strlen(a) > ADDRESS_BYTES_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "start: 'addresses' holds what is not an address");
        }
        s->address[s->n_addresses++] = weir_strdup(a);
    }
    return 0;
}

/* Tasks of an array need checkpoints of their own: %a and %j stand in the path for index and job. */
static void expand_checkpoint(struct weir_start *s)
{
    if (s->spec->checkpoint_path == NULL || strchr(s->spec->checkpoint_path, '%') == NULL) {
        return;
    }
    const struct weir_env_facts facts = {.host = "", .user = s->user, .node_name = ""};
    struct weir_str out = WEIR_STR_INIT(CHECKPOINT_BYTES_MAX);
    weir_pattern_expand(s->spec->checkpoint_path, s, &facts, &out);
    free(s->spec->checkpoint_path);
    s->spec->checkpoint_path = weir_str_take(&out);
}

int weir_start_read(const struct json_t *command,
                    struct weir_gpu_table *models,
                    struct weir_start *ret,
                    struct weir_err *err)
{
    struct weir_start s = {.nodes = 1, .task_count = 1};
    int rc = weir_run_id_read(json_object_get(command, "run"), &s.run, err);
    rc = rc < 0 ? rc : read_u32(command, "index", UINT32_MAX, &s.index, err);
    rc = rc < 0 ? rc : read_u32(command, "task_count", WEIR_ARRAY_TASKS_MAX, &s.task_count, err);
    rc = rc < 0 ? rc : read_u32(command, "index_min", UINT32_MAX, &s.index_min, err);
    rc = rc < 0 ? rc : read_u32(command, "index_max", UINT32_MAX, &s.index_max, err);
    rc = rc < 0 ? rc : read_u32(command, "rank", WEIR_GANG_NODES_MAX - 1, &s.rank, err);
    rc = rc < 0 ? rc : read_u32(command, "nodes", WEIR_GANG_NODES_MAX, &s.nodes, err);
    rc = rc < 0 ? rc : read_name(command, "user", &s.user, err);
    rc = rc < 0 ? rc : read_name(command, "project", &s.project, err);
    rc = rc < 0 ? rc : read_gpus(command, &s, err);
    rc = rc < 0 ? rc : read_addresses(command, &s, err);
    const json_t *d = json_object_get(command, "max_duration_us");
    if (rc == 0 && d != NULL && (!json_is_integer(d) || json_integer_value(d) < 0)) {
        rc = weir_fail(err, -WEIR_EINVAL, "start: 'max_duration_us' is not a duration");
    }
    s.max_duration.us = d == NULL ? 0 : json_integer_value(d);
    s.array = json_is_true(json_object_get(command, "array"));
    const json_t *spec = json_object_get(command, "spec");
    if (rc == 0 && !json_is_object(spec)) {
        rc = weir_fail(err, -WEIR_EINVAL, "start: 'spec' is not an object");
    }
    if (rc == 0) {
        rc = weir_spec_from_json(spec, models, &s.spec, err);
    }
    if (rc == 0 && s.spec->run == NULL && (s.spec->argv == NULL || s.spec->argv[0] == NULL)) {
        rc = weir_fail(err, -WEIR_EINVAL, "start: the job has neither 'run' nor a command");
    }
    if (rc < 0) {
        weir_start_release(&s);
        return rc;
    }
    expand_checkpoint(&s);
    *ret = s;
    return 0;
}

void weir_start_release(struct weir_start *s)
{
    weir_spec_free(s->spec);
    free(s->user);
    free(s->project);
    for (size_t i = 0; i < s->n_addresses; i++) {
        free(s->address[i]);
    }
    free(s->address);
    *s = (struct weir_start){0};
}

/* ---- environment ---- */

void weir_env_release(struct weir_env *e)
{
    for (size_t i = 0; i < e->n; i++) {
        free(e->p[i]);
    }
    free(e->p);
    *e = (struct weir_env){0};
}

static size_t env_find(const struct weir_env *e, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < e->n; i++) {
        if (strncmp(e->p[i], key, n) == 0 && e->p[i][n] == '=') {
            return i;
        }
    }
    return SIZE_MAX;
}

void weir_env_set(struct weir_env *e, const char *key, const char *value)
{
    size_t n = strlen(key), m = strlen(value);
    char *line = weir_alloc(n + m + 2);
    memcpy(line, key, n);
    line[n] = '=';
    memcpy(line + n + 1, value, m);
    size_t at = env_find(e, key);
    if (at != SIZE_MAX) {
        free(e->p[at]);
        e->p[at] = line;
        return;
    }
    if (e->n + 2 > e->size) {
        e->size = e->size == 0 ? 128 : 2 * e->size;
        e->p = weir_realloc(e->p, e->size, sizeof *e->p);
    }
    e->p[e->n++] = line;
    e->p[e->n] = NULL;
}

void weir_env_setf(struct weir_env *e, const char *key, const char *fmt, ...)
{
    char value[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    weir_env_set(e, key, value);
}

const char *weir_env_get(const struct weir_env *e, const char *key)
{
    size_t at = env_find(e, key);
    return at == SIZE_MAX ? NULL : e->p[at] + strlen(key) + 1;
}

uint64_t weir_slurm_job_id(const struct weir_start *s)
{
    return s->array ? s->run.task.job.v * WEIR_ARRAY_TASKS_MAX + s->run.task.ordinal : s->run.task.job.v;
}

static void set_base(struct weir_env *e, const struct weir_env_facts *f)
{
    weir_env_set(e, "PATH", f->path);
    weir_env_set(e, "HOME", f->home);
    weir_env_set(e, "USER", f->user);
    weir_env_set(e, "LOGNAME", f->user);
    weir_env_set(e, "SHELL", f->shell);
    weir_env_set(e, "LANG", f->lang);
    if (f->tz[0] != '\0') {
        weir_env_set(e, "TZ", f->tz);
    }
}

static bool has_kind(const struct weir_hardware *h, enum weir_device_kind kind)
{
    return h->n_gpus > 0 && h->gpu[0].kind == kind;
}

/* CUDA may count a broken device or not: beside one the others go by their names. */
static bool has_gaps(const struct weir_hardware *h)
{
    return has_kind(h, WEIR_DEVICE_NVIDIA) && h->gpu[h->n_gpus - 1].index != h->n_gpus - 1;
}

static void set_gpus(struct weir_env *e, const struct weir_start *s, const struct weir_env_facts *f)
{
    struct weir_str seen = WEIR_STR_INIT(4096);  /* as the task's programs count them */
    struct weir_str host = WEIR_STR_INIT(1024);  /* as the host counts them */
    bool by_name = has_gaps(f->hardware) && !f->gpus_isolated;
    for (size_t i = 0; i < s->n_gpus; i++) {
        const char *sep = i == 0 ? "" : ",";
        uint32_t number = weir_device_number(f->hardware, s->gpu[i]);
        if (by_name && s->gpu[i] < f->hardware->n_gpus) {
            weir_str_addf(&seen, "%s%s", sep, f->hardware->gpu[s->gpu[i]].uuid);
        } else {
            weir_str_addf(&seen, "%s%zu", sep, f->gpus_isolated ? i : (size_t)number);
        }
        weir_str_addf(&host, "%s%u", sep, number);
    }
    weir_env_set(e, "CUDA_VISIBLE_DEVICES", weir_str_cstr(&seen));
    weir_env_set(e, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
    weir_env_set(e, "NVIDIA_VISIBLE_DEVICES", s->n_gpus == 0 ? "void" : weir_str_cstr(&host));
    weir_env_set(e, "GPU_DEVICE_ORDINAL", weir_str_cstr(&seen));
    if (has_kind(f->hardware, WEIR_DEVICE_AMD)) {
        weir_env_set(e, "ROCR_VISIBLE_DEVICES", weir_str_cstr(&host));
        /* HIP counts within what ROCr shows */
        struct weir_str hip = WEIR_STR_INIT(1024);
        for (size_t i = 0; i < s->n_gpus; i++) {
            weir_str_addf(&hip, "%s%zu", i == 0 ? "" : ",", i);
        }
        weir_env_set(e, "HIP_VISIBLE_DEVICES", weir_str_cstr(&hip));
        weir_str_release(&hip);
    }
    weir_env_set(e, "WEIR_GPUS", weir_str_cstr(&host));
    weir_env_setf(e, "WEIR_NUM_GPUS", "%zu", s->n_gpus);
    if (s->spec->origin == WEIR_SPEC_SLURM && s->n_gpus > 0) {
        weir_env_set(e, "SLURM_JOB_GPUS", weir_str_cstr(&host));
        weir_env_set(e, "SLURM_STEP_GPUS", weir_str_cstr(&host));
        weir_env_setf(e, "SLURM_GPUS_ON_NODE", "%zu", s->n_gpus);
    }
    weir_env_setf(e, "SKYPILOT_NUM_GPUS_PER_NODE", "%zu", s->n_gpus);
    weir_str_release(&seen);
    weir_str_release(&host);
}

static void join_addresses(const struct weir_start *s, const struct weir_env_facts *f, char sep, struct weir_str *out)
{
    for (size_t i = 0; i < s->n_addresses; i++) {
        if (i > 0) {
            weir_str_addc(out, sep);
        }
        weir_str_adds(out, s->address[i]);
    }
    if (s->n_addresses == 0) {
        weir_str_adds(out, f->address);
    }
}

static void set_weir(struct weir_env *e, const struct weir_start *s, const struct weir_env_facts *f)
{
    struct weir_str ips = WEIR_STR_INIT(WEIR_GANG_NODES_MAX * (ADDRESS_BYTES_MAX + 1));
    join_addresses(s, f, '\n', &ips);
    unsigned long long job = (unsigned long long)s->run.task.job.v;
    weir_env_setf(e, "WEIR_JOB_ID", "%llu", job);
    if (s->array) {
        weir_env_setf(e, "WEIR_TASK_ID", "%llu_%u", job, s->index);
    } else {
        weir_env_setf(e, "WEIR_TASK_ID", "%llu", job);
    }
    weir_env_set(e, "WEIR_JOB_NAME", s->spec->name == NULL ? "" : s->spec->name);
    weir_env_setf(e, "WEIR_TASK_INDEX", "%u", s->index);
    weir_env_setf(e, "WEIR_TASK_ORDINAL", "%u", s->run.task.ordinal);
    weir_env_setf(e, "WEIR_TASK_COUNT", "%u", s->task_count);
    weir_env_setf(e, "WEIR_ATTEMPT", "%u", s->run.attempt);
    weir_env_setf(e, "WEIR_NODE_RANK", "%u", s->rank);
    weir_env_setf(e, "WEIR_NUM_NODES", "%u", s->nodes);
    weir_env_set(e, "WEIR_NODE_IPS", weir_str_cstr(&ips));
    weir_env_set(e, "WEIR_NODE_NAME", f->node_name);
    weir_env_set(e, "WEIR_POOL", f->pool);
    weir_env_set(e, "WEIR_PROJECT", s->project);
    weir_env_set(e, "WEIR_USER", s->user);
    weir_env_set(e, "WEIR_RUN_DIR", f->run_dir);
    weir_env_setf(e, "WEIR_CPUS", "%u", (s->spec->request.cpu_milli + 999) / 1000);
    if (s->spec->checkpoint_path != NULL) {
        weir_env_set(e, "WEIR_CHECKPOINT_PATH", s->spec->checkpoint_path);
    }
    weir_env_setf(e, "SKYPILOT_NODE_RANK", "%u", s->rank);
    weir_env_setf(e, "SKYPILOT_NUM_NODES", "%u", s->nodes);
    weir_env_set(e, "SKYPILOT_NODE_IPS", weir_str_cstr(&ips));
    weir_env_setf(e, "SKYPILOT_TASK_ID", "weir-%llu-%u", job, s->index);
    weir_str_release(&ips);
}

static void set_slurm(struct weir_env *e, const struct weir_start *s, const struct weir_env_facts *f)
{
    weir_env_setf(e, "SLURM_JOB_ID", "%llu", (unsigned long long)weir_slurm_job_id(s));
    if (s->array) {
        weir_env_setf(e, "SLURM_ARRAY_JOB_ID", "%llu", (unsigned long long)s->run.task.job.v);
        weir_env_setf(e, "SLURM_ARRAY_TASK_ID", "%u", s->index);
        weir_env_setf(e, "SLURM_ARRAY_TASK_COUNT", "%u", s->task_count);
        weir_env_setf(e, "SLURM_ARRAY_TASK_MIN", "%u", s->index_min);
        weir_env_setf(e, "SLURM_ARRAY_TASK_MAX", "%u", s->index_max);
        uint32_t step = s->spec->n_ranges == 1 ? s->spec->range[0].step : 1;
        weir_env_setf(e, "SLURM_ARRAY_TASK_STEP", "%u", step);
    }
    if (s->spec->origin != WEIR_SPEC_SLURM) {
        return;
    }
    struct weir_str nodes = WEIR_STR_INIT(WEIR_GANG_NODES_MAX * (ADDRESS_BYTES_MAX + 1));
    if (s->nodes > 1) {
        join_addresses(s, f, ',', &nodes);
    } else {
        weir_str_adds(&nodes, f->host);
    }
    uint32_t cpus = (s->spec->request.cpu_milli + 999) / 1000;
    weir_env_setf(e, "SLURM_JOBID", "%llu", (unsigned long long)weir_slurm_job_id(s));
    weir_env_set(e, "SLURM_JOB_NAME", s->spec->name == NULL ? "" : s->spec->name);
    weir_env_set(e, "SLURM_JOB_USER", f->user);
    weir_env_set(e, "SLURM_JOB_ACCOUNT", s->project);
    weir_env_set(e, "SLURM_JOB_PARTITION", f->pool);
    weir_env_set(e, "SLURM_CLUSTER_NAME", "weir");
    weir_env_setf(e, "SLURM_NNODES", "%u", s->nodes);
    weir_env_setf(e, "SLURM_JOB_NUM_NODES", "%u", s->nodes);
    weir_env_setf(e, "SLURM_NODEID", "%u", s->rank);
    weir_env_setf(e, "SLURM_PROCID", "%u", s->rank);
    weir_env_set(e, "SLURM_LOCALID", "0");
    weir_env_setf(e, "SLURM_NTASKS", "%u", s->nodes);
    weir_env_setf(e, "SLURM_NPROCS", "%u", s->nodes);
    weir_env_set(e, "SLURM_NTASKS_PER_NODE", "1");
    if (s->nodes > 1) {
        weir_env_setf(e, "SLURM_TASKS_PER_NODE", "1(x%u)", s->nodes);
    } else {
        weir_env_set(e, "SLURM_TASKS_PER_NODE", "1");
    }
    weir_env_setf(e, "SLURM_CPUS_PER_TASK", "%u", cpus == 0 ? 1 : cpus);
    weir_env_setf(e, "SLURM_CPUS_ON_NODE", "%u", cpus == 0 ? 1 : cpus);
    weir_env_setf(e, "SLURM_JOB_CPUS_PER_NODE", "%u", cpus == 0 ? 1 : cpus);
    if (s->spec->request.mem_mib > 0) {
        weir_env_setf(e, "SLURM_MEM_PER_NODE", "%llu", (unsigned long long)s->spec->request.mem_mib);
    }
    weir_env_set(e, "SLURM_JOB_NODELIST", weir_str_cstr(&nodes));
    weir_env_set(e, "SLURM_NODELIST", weir_str_cstr(&nodes));
    weir_env_set(e, "SLURMD_NODENAME", f->host);
    weir_env_set(e, "SLURM_SUBMIT_DIR", f->workdir);
    weir_env_set(e, "SLURM_SUBMIT_HOST", f->host);
    weir_env_setf(e, "SLURM_RESTART_COUNT", "%u", s->run.attempt - 1);
    weir_str_release(&nodes);
}

void weir_env_build(struct weir_env *e, const struct weir_start *s, const struct weir_env_facts *f)
{
    set_base(e, f);
    for (size_t i = 0; i < s->spec->n_envs; i++) {
        weir_env_set(e, s->spec->envs[i].key, s->spec->envs[i].value);
    }
    set_weir(e, s, f);
    set_slurm(e, s, f);
    set_gpus(e, s, f);
    weir_env_set(e, "PWD", f->workdir);
}

/* ---- patterns ---- */

static void add_number(struct weir_str *out, unsigned width, uint64_t v)
{
    weir_str_addf(out, "%0*llu", (int)width, (unsigned long long)v);
}

void weir_pattern_expand(const char *pattern,
                         const struct weir_start *s,
                         const struct weir_env_facts *f,
                         struct weir_str *out)
{
    if (strchr(pattern, '\\') != NULL) {
        for (const char *p = pattern; *p != '\0'; p++) {
            if (*p != '\\') {
                weir_str_addc(out, *p);
            }
        }
        return;
    }
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p != '%') {
            weir_str_addc(out, *p);
            continue;
        }
        const char *at = p + 1;
        unsigned width = 0;
        while (*at >= '0' && *at <= '9') {
            width = width < 10 ? width * 10 + (unsigned)(*at - '0') : width;
            at++;
        }
        width = width > 10 ? 10 : width;
        switch (*at) {
        case 'A':
            add_number(out, width, s->run.task.job.v);
            break;
        case 'a':
            add_number(out, width, s->array ? s->index : 4294967294U); /* what Slurm writes without an array */
            break;
        case 'j':
            add_number(out, width, weir_slurm_job_id(s));
            break;
        case 'J':
            add_number(out, width, weir_slurm_job_id(s));
            weir_str_adds(out, ".batch");
            break;
        case 'n':
            add_number(out, width, s->rank);
            break;
        case 't':
            add_number(out, width, 0);
            break;
        case 's':
            weir_str_adds(out, "batch");
            break;
        case 'N':
            weir_str_adds(out, f->host);
            break;
        case 'u':
            weir_str_adds(out, f->user);
            break;
        case 'x':
            weir_str_adds(out, s->spec->name == NULL ? "" : s->spec->name);
            break;
        case '%':
            weir_str_addc(out, '%');
            break;
        default:
            weir_str_add(out, p, (size_t)(at - p)); /* not a pattern: kept, and what follows is read on */
            at--;
            break;
        }
        p = at;
    }
}
