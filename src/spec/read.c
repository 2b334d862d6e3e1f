/* SPDX-License-Identifier: Apache-2.0 */
/* From a document tree to a specification: weir's own keys. The keys that only SkyPilot has are in
 * skypilot.c; both are rows of tables, so that a row is all that a new key needs. */
#include "spec/spec.h"

#include <jansson.h>

#include "base/parse.h"
#include "spec/spec_priv.h"

/* ---- resources ---- */

static int add_wish(struct reader *rd,
                    const struct doc *d,
                    const char *path,
                    struct weir_sv text,
                    struct weir_request *all)
{
    struct weir_request one = {0};
    int r = weir_spec_parse_gpus(text, rd->gpus, &one, rd->err);
    if (r != 0) {
        return read_fail_prefix(rd, d, r, path);
    }
    if (all->alternatives + one.alternatives > WEIR_ALTERNATIVES_MAX) {
        return read_fail(rd, d, -WEIR_ELIMIT, path, "at most %d alternative GPUs are allowed",
                         WEIR_ALTERNATIVES_MAX);
    }
    if (one.gpu_mem_mib_min > all->gpu_mem_mib_min) {
        all->gpu_mem_mib_min = one.gpu_mem_mib_min;
    }
    for (uint32_t i = 0; i < one.alternatives; i++) {
        bool known = false;
        for (uint32_t k = 0; k < all->alternatives; k++) {
            known = known || (all->alternative[k].model == one.alternative[i].model &&
                              all->alternative[k].count == one.alternative[i].count);
        }
        if (!known) {
            all->alternative[all->alternatives++] = one.alternative[i];
        }
    }
    return 0;
}

/* {H100: 8}, and the set {H100:8} that YAML reads as a key without value. */
static int add_wish_entry(struct reader *rd,
                          const struct doc *d,
                          const char *path,
                          struct weir_request *all)
{
    struct weir_str text = WEIR_STR_INIT(256);
    weir_str_add(&text, d->key.p, d->key.n);
    int r = 0;
    if (d->kind == DOC_SCALAR) {
        weir_str_addc(&text, ':');
        weir_str_add(&text, d->text.p, d->text.n);
    } else if (d->kind != DOC_NULL) {
        r = read_wrong_kind(rd, d, path, "a number of GPUs");
    }
    if (r == 0 && text.overflowed) {
        r = read_fail(rd, d, -WEIR_ELIMIT, path, "a GPU's name has at most %d bytes", GPU_NAME_MAX);
    }
    if (r == 0) {
        r = add_wish(rd, d, path, weir_str_sv(&text), all);
    }
    weir_str_release(&text);
    return r;
}

int read_accelerators(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_request all = {0};
    int r = 0;
    switch (d->kind) {
    case DOC_NULL:
        break;
    case DOC_SCALAR:
        r = add_wish(rd, d, path, d->text, &all);
        break;
    case DOC_LIST:
        for (const struct doc *c = d->first; r == 0 && c != NULL; c = c->next) {
            r = c->kind == DOC_SCALAR ? add_wish(rd, c, path, c->text, &all)
                                      : read_wrong_kind(rd, c, path, "a GPU such as A100:8");
        }
        all.alternatives_ordered = true;
        break;
    case DOC_MAP:
        for (const struct doc *c = d->first; r == 0 && c != NULL; c = c->next) {
            r = add_wish_entry(rd, c, path, &all);
        }
        break;
    }
    if (r != 0) {
        return r;
    }
    struct weir_request *q = &rd->spec->request;
    q->alternatives = all.alternatives;
    memcpy(q->alternative, all.alternative, sizeof q->alternative);
    q->alternatives_ordered = all.alternatives_ordered && all.alternatives > 1;
    if (all.gpu_mem_mib_min > q->gpu_mem_mib_min) {
        q->gpu_mem_mib_min = all.gpu_mem_mib_min;
    }
    return 0;
}

int read_cpus(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    int64_t milli;
    int r = read_at_least(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    r = weir_parse_decimal(text, 3, &milli, rd->err);
    if (r != 0) {
        return read_fail_prefix(rd, d, r, path);
    }
    if (milli <= 0 || milli > CPU_MILLI_MAX) {
        return read_fail(rd, d, -WEIR_EOVERFLOW, path,
                         "must be more than 0 and at most 100000 cores");
    }
    rd->spec->request.cpu_milli = (uint32_t)milli;
    return 0;
}

int read_memory(struct reader *rd, const struct doc *d, const char *path)
{
    return read_mib(rd, d, path, MEM_MIB_MAX, &rd->spec->request.mem_mib);
}

static int read_gpu_memory(struct reader *rd, const struct doc *d, const char *path)
{
    uint64_t v = 0;
    int r = read_mib(rd, d, path, UINT32_MAX, &v);
    if (r == 0) {
        rd->spec->request.gpu_mem_mib_min = (uint32_t)v;
    }
    return r;
}

int read_use_spot(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    bool spot;
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    rd->has_market = true;
    if (weir_sv_eq_nocase(text, WEIR_SV("auto"))) {
        rd->spec->request.market = WEIR_MARKET_AUTO;
        return 0;
    }
    if (weir_parse_bool(text, &spot, NULL) != 0) {
        return read_fail(rd, d, -WEIR_EINVAL, path, "'%.*s' is not auto, true or false",
                         text.n > 60 ? 60 : (int)text.n, text.p);
    }
    rd->spec->request.market = spot ? WEIR_MARKET_SPOT : WEIR_MARKET_ON_DEMAND;
    return 0;
}

static int read_image(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    struct weir_sv prefix = WEIR_SV("docker:");
    if (d->kind == DOC_MAP) {
        return read_fail(
            rd, d, -WEIR_EUNSUPPORTED, path,
            "machine images by region are not supported; name a container image, docker:IMAGE");
    }
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    if (weir_sv_starts(text, WEIR_SV("skypilot:"))) {
        read_warn(rd, d, path,
                  "ignored: machines are started from weir's own image; for another system name a "
                  "container, docker:IMAGE");
        return 0;
    }
    if (!weir_sv_starts(text, prefix)) {
        return read_fail(rd, d, -WEIR_EUNSUPPORTED, path,
                         "'%.*s' is not a container image; write docker:IMAGE (machine images are "
                         "not supported)",
                         text.n > 100 ? 100 : (int)text.n, text.p);
    }
    text = (struct weir_sv){text.p + prefix.n, text.n - prefix.n};
    r = read_check_line(rd, d, path, IMAGE_MAX_BYTES, text);
    if (r == 0 && memchr(text.p, ' ', text.n) != NULL) {
        r = read_fail(rd, d, -WEIR_EINVAL, path, "an image's name has no blanks");
    }
    if (r == 0) {
        read_replace(&rd->spec->image, text);
    }
    return r;
}

static const struct key_row resource_keys[] = {
    {"accelerators", "resources.accelerators", read_accelerators},
    {"gpu_memory", "resources.gpu_memory", read_gpu_memory},
    {"cpus", "resources.cpus", read_cpus},
    {"memory", "resources.memory", read_memory},
    {"use_spot", "resources.use_spot", read_use_spot},
    {"image_id", "resources.image_id", read_image},
    {"gpus", "resources.gpus", read_accelerators, .skypilot = true},
    {"infra", "resources.infra", sky_infra, .skypilot = true},
    {"cloud", "resources.cloud", sky_cloud, .skypilot = true},
    {"region", "resources.region", sky_region, .skypilot = true},
    {"zone", "resources.zone", sky_zone, .skypilot = true},
    {"instance_type", "resources.instance_type", sky_instance_type, .skypilot = true},
    {"job_recovery", "resources.job_recovery", sky_job_recovery, .skypilot = true},
    {"spot_recovery", "resources.spot_recovery", sky_job_recovery, .skypilot = true},
    {"labels", "resources.labels", sky_labels, .skypilot = true},
    {"priority", "resources.priority", sky_priority, .skypilot = true},
    {"priority_class", "resources.priority_class", sky_ignore, .skypilot = true},
    {"disk_size", "resources.disk_size", sky_ignore, .skypilot = true},
    {"disk_tier", "resources.disk_tier", sky_ignore, .skypilot = true},
    {"local_disk", "resources.local_disk", sky_ignore, .skypilot = true},
    {"ephemeral_storage", "resources.ephemeral_storage", sky_ignore, .skypilot = true},
    {"network_tier", "resources.network_tier", sky_ignore, .skypilot = true},
    {"accelerator_args", "resources.accelerator_args", sky_ignore, .skypilot = true},
    {"autostop", "resources.autostop", sky_ignore, .skypilot = true},
    {"ports", "resources.ports", sky_ignore, .skypilot = true},
    {"max_hourly_cost", "resources.max_hourly_cost", sky_refuse, .skypilot = true},
    {"hooks", "resources.hooks", sky_refuse, .skypilot = true},
    {"volumes", "resources.volumes", sky_refuse, .skypilot = true},
    {"any_of", "resources.any_of", sky_refuse, .skypilot = true},
    {"ordered", "resources.ordered", sky_refuse, .skypilot = true},
};

int read_resource_keys(struct reader *rd, const struct doc *map, const char *path)
{
    return read_map(rd, map, resource_keys, WEIR_ARRAY_LEN(resource_keys), path);
}

static int read_resources(struct reader *rd, const struct doc *d, const char *path)
{
    if (!rd->is_json && (doc_get(d, "any_of") != NULL || doc_get(d, "ordered") != NULL)) {
        return sky_candidates(rd, d, path);
    }
    return read_resource_keys(rd, d, path);
}

/* ---- placement ---- */

static int read_local(struct reader *rd, const struct doc *d, const char *path)
{
    static const char *const words[] = {"prefer", "only", "never"};
    struct weir_sv text;
    int r = read_scalar(rd, d, path, &text);
    for (size_t i = 0; r == 0 && i < WEIR_ARRAY_LEN(words); i++) {
        if (weir_sv_eq_nocase(text, weir_sv_of(words[i]))) {
            rd->spec->request.local = (uint8_t)i;
            return 0;
        }
    }
    return r != 0 ? r
                  : read_fail(rd, d, -WEIR_EINVAL, path, "'%.*s' is not prefer, only or never",
                              text.n > 60 ? 60 : (int)text.n, text.p);
}

static int read_patterns(struct reader *rd,
                         const struct doc *d,
                         const char *path,
                         int (*add)(struct weir_request *, struct weir_sv, struct weir_err *))
{
    struct weir_sv text;
    int r = 0;
    if (d->kind != DOC_LIST) {
        r = read_scalar(rd, d, path, &text);
        r = r != 0 ? r : add(&rd->spec->request, text, rd->err);
        return r == 0 || d->kind != DOC_SCALAR ? r : read_fail_prefix(rd, d, r, path);
    }
    for (const struct doc *c = d->first; c != NULL; c = c->next) {
        r = read_scalar(rd, c, path, &text);
        if (r != 0) {
            return r;
        }
        r = add(&rd->spec->request, text, rd->err);
        if (r != 0) {
            return read_fail_prefix(rd, c, r, path);
        }
    }
    return 0;
}

static int read_clouds(struct reader *rd, const struct doc *d, const char *path)
{
    return read_patterns(rd, d, path, spec_add_cloud);
}

static int read_regions(struct reader *rd, const struct doc *d, const char *path)
{
    return read_patterns(rd, d, path, spec_add_region);
}

static int read_same_zone(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    int r = read_scalar(rd, d, path, &text);
    if (r == 0 && weir_parse_bool(text, &rd->spec->request.same_zone, NULL) != 0) {
        return read_fail(rd, d, -WEIR_EINVAL, path, "'%.*s' is not true or false", text.n > 60 ? 60 : (int)text.n, text.p);
    }
    return r;
}

static const struct key_row placement_keys[] = {
    {"local", "placement.local", read_local},
    {"clouds", "placement.clouds", read_clouds},
    {"regions", "placement.regions", read_regions},
    {"same_zone", "placement.same_zone", read_same_zone},
};

static int read_placement(struct reader *rd, const struct doc *d, const char *path)
{
    return read_map(rd, d, placement_keys, WEIR_ARRAY_LEN(placement_keys), path);
}

/* ---- checkpoint ---- */

static int read_checkpoint_path(struct reader *rd, const struct doc *d, const char *path)
{
    return read_line(rd, d, path, PATH_MAX_BYTES, &rd->spec->checkpoint_path);
}

static int read_every(struct reader *rd, const struct doc *d, const char *path)
{
    return read_duration(rd, d, path, &rd->spec->request.checkpoint_every);
}

static int read_signal(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    int r = read_scalar(rd, d, path, &text);
    if (r == 0) {
        rd->spec->checkpoint_signal = signal_parse(text);
        if (rd->spec->checkpoint_signal == 0) {
            r = read_fail(rd, d, -WEIR_EINVAL, path,
                          "'%.*s' is not a signal such as USR1, TERM or 10",
                          text.n > 60 ? 60 : (int)text.n, text.p);
        }
    }
    return r;
}

static int read_grace(struct reader *rd, const struct doc *d, const char *path)
{
    return read_duration(rd, d, path, &rd->spec->request.checkpoint_grace);
}

static const struct key_row checkpoint_keys[] = {
    {"path", "checkpoint.path", read_checkpoint_path},
    {"every", "checkpoint.every", read_every},
    {"signal", "checkpoint.signal", read_signal},
    {"grace", "checkpoint.grace", read_grace},
};

static int read_checkpoint(struct reader *rd, const struct doc *d, const char *path)
{
    return read_map(rd, d, checkpoint_keys, WEIR_ARRAY_LEN(checkpoint_keys), path);
}

/* ---- the whole ---- */

static int read_name(struct reader *rd, const struct doc *d, const char *path)
{
    return read_line(rd, d, path, WEIR_SPEC_NAME_MAX, &rd->spec->name);
}

static int read_project(struct reader *rd, const struct doc *d, const char *path)
{
    return read_line(rd, d, path, WEIR_SPEC_NAME_MAX, &rd->spec->project);
}

static int read_tags(struct reader *rd, const struct doc *d, const char *path)
{
    return read_pairs(rd, d, path, WEIR_SPEC_TAGS_MAX, &rd->spec->tags, &rd->spec->n_tags);
}

static int read_num_nodes(struct reader *rd, const struct doc *d, const char *path)
{
    uint64_t v;
    int r = read_u64(rd, d, path, 1, WEIR_GANG_NODES_MAX, &v);
    if (r == 0) {
        rd->spec->request.nodes = (uint32_t)v;
    }
    return r;
}

static int read_array(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    r = weir_spec_parse_array(text, rd->spec, rd->err);
    return r == 0 ? 0 : read_fail_prefix(rd, d, r, path);
}

static int read_envs(struct reader *rd, const struct doc *d, const char *path)
{
    return read_pairs(rd, d, path, WEIR_SPEC_ENVS_MAX, &rd->spec->envs, &rd->spec->n_envs);
}

static int read_inputs(struct reader *rd, const struct doc *d, const char *path)
{
    if (!rd->is_json && sky_is_size_estimate(d)) {
        return sky_ignore(rd, d, path);
    }
    return read_pairs(rd, d, path, WEIR_SPEC_MOUNTS_MAX, &rd->spec->inputs, &rd->spec->n_inputs);
}

static int read_outputs(struct reader *rd, const struct doc *d, const char *path)
{
    if (!rd->is_json && sky_is_size_estimate(d)) {
        return sky_ignore(rd, d, path);
    }
    return read_pairs(rd, d, path, WEIR_SPEC_MOUNTS_MAX, &rd->spec->outputs, &rd->spec->n_outputs);
}

static int read_setup(struct reader *rd, const struct doc *d, const char *path)
{
    return d->kind == DOC_NULL ? 0 : read_text(rd, d, path, &rd->spec->setup);
}

static int read_run(struct reader *rd, const struct doc *d, const char *path)
{
    return d->kind == DOC_NULL ? 0 : read_text(rd, d, path, &rd->spec->run);
}

static int read_argv(struct reader *rd, const struct doc *d, const char *path)
{
    if (d->kind != DOC_LIST || d->n == 0) {
        return d->kind == DOC_LIST
                   ? read_fail(rd, d, -WEIR_EINVAL, path, "the list is empty")
                   : read_wrong_kind(rd, d, path, "a list of a command and its arguments");
    }
    if (d->n > ARGS_MAX) {
        return read_fail(rd, d, -WEIR_ELIMIT, path, "%zu arguments; at most %d are allowed", d->n,
                         ARGS_MAX);
    }
    rd->spec->argv = weir_calloc(d->n + 1, sizeof *rd->spec->argv);
    size_t n = 0;
    for (const struct doc *c = d->first; c != NULL; c = c->next) {
        struct weir_sv text;
        int r = read_scalar(rd, c, path, &text);
        if (r != 0) {
            return r;
        }
        rd->spec->argv[n++] = weir_strndup(text.n == 0 ? "" : text.p, text.n);
    }
    return 0;
}

static int read_workdir(struct reader *rd, const struct doc *d, const char *path)
{
    if (d->kind == DOC_MAP) {
        return read_fail(rd, d, -WEIR_EUNSUPPORTED, path,
                         "a git repository is not fetched; name a folder, and clone in setup");
    }
    return read_line(rd, d, path, PATH_MAX_BYTES, &rd->spec->workdir);
}

static int read_deadline(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    if (weir_parse_time(text, &rd->spec->deadline, NULL) == 0) {
        return rd->spec->deadline.us > 0
                   ? 0
                   : read_fail(rd, d, -WEIR_EOVERFLOW, path, "lies before 1970");
    }
    if (weir_parse_duration(text, &(struct weir_dur){0}, NULL) != 0) {
        return read_fail(rd, d, -WEIR_EINVAL, path,
                         "'%.*s' is neither a time such as 2026-11-22T19:00:00Z nor a duration "
                         "from now such as 36h",
                         text.n > 60 ? 60 : (int)text.n, text.p);
    }
    return read_duration(rd, d, path, &rd->spec->deadline_after);
}

static int read_delay_cost(struct reader *rd, const struct doc *d, const char *path)
{
    return read_money(rd, d, path, 0, &rd->spec->request.delay_cost_micro_per_hour);
}

static int read_max_cost(struct reader *rd, const struct doc *d, const char *path)
{
    return read_money(rd, d, path, 1, &rd->spec->request.max_cost_micro);
}

/* What the amounts are in; broker and job agree on it, or the job is refused. */
static int read_currency(struct reader *rd, const struct doc *d, const char *path)
{
    struct weir_sv text;
    char code[WEIR_CURRENCY_SIZE] = "";
    int r = read_scalar(rd, d, path, &text);
    if (r != 0) {
        return r;
    }
    if (text.n == sizeof code - 1) {
        memcpy(code, text.p, text.n);
    }
    if (!weir_currency_is_known(code)) {
        return read_fail(rd, d, -WEIR_EINVAL, path, "'%.*s' is the code of no currency: it is three capitals, such as EUR", text.n > 20 ? 20 : (int)text.n, text.p);
    }
    r = weir_spec_note_currency(rd->spec, code, rd->err);
    return r == 0 ? 0 : read_fail_prefix(rd, d, r, path);
}

static int read_max_duration(struct reader *rd, const struct doc *d, const char *path)
{
    return read_duration(rd, d, path, &rd->spec->request.max_duration);
}

static int read_expected(struct reader *rd, const struct doc *d, const char *path)
{
    return read_duration(rd, d, path, &rd->spec->request.expected);
}

static int read_input_size(struct reader *rd, const struct doc *d, const char *path)
{
    uint64_t mib = 0;
    int r = read_mib(rd, d, path, MEM_MIB_MAX, &mib);
    if (r == 0) {
        rd->spec->request.stage_bytes = mib << 20;
    }
    return r;
}

static int read_retries(struct reader *rd, const struct doc *d, const char *path)
{
    uint64_t v;
    int r = read_u64(rd, d, path, 0, 1000, &v);
    if (r == 0) {
        rd->spec->request.retries = (uint32_t)v;
    }
    return r;
}

static int read_priority(struct reader *rd, const struct doc *d, const char *path)
{
    uint64_t v;
    int r = read_u64(rd, d, path, 0, 1000, &v);
    if (r == 0) {
        rd->spec->priority = (int32_t)v;
    }
    return r;
}

static int read_stdout(struct reader *rd, const struct doc *d, const char *path)
{
    return read_line(rd, d, path, PATH_MAX_BYTES, &rd->spec->stdout_path);
}

static int read_stderr(struct reader *rd, const struct doc *d, const char *path)
{
    return read_line(rd, d, path, PATH_MAX_BYTES, &rd->spec->stderr_path);
}

static int read_origin(struct reader *rd, const struct doc *d, const char *path)
{
    static const char *const origins[] = {"weir", "skypilot", "slurm", "command"};
    struct weir_sv text;
    int r = read_scalar(rd, d, path, &text);
    for (size_t i = 0; r == 0 && i < WEIR_ARRAY_LEN(origins); i++) {
        if (weir_sv_eq(text, weir_sv_of(origins[i]))) {
            rd->spec->origin = (enum weir_spec_origin)i;
            return 0;
        }
    }
    return r != 0 ? r
                  : read_fail(rd, d, -WEIR_EINVAL, path, "is not weir, skypilot, slurm or command");
}

static const struct key_row root_keys[] = {
    {"name", "name", read_name},
    {"project", "project", read_project},
    {"tags", "tags", read_tags},
    {"resources", "resources", read_resources},
    {"num_nodes", "num_nodes", read_num_nodes},
    {"array", "array", read_array},
    {"envs", "envs", read_envs},
    {"inputs", "inputs", read_inputs},
    {"outputs", "outputs", read_outputs},
    {"setup", "setup", read_setup},
    {"run", "run", read_run},
    {"argv", "argv", read_argv},
    {"workdir", "workdir", read_workdir},
    {"placement", "placement", read_placement},
    {"deadline", "deadline", read_deadline},
    {"delay_cost", "delay_cost", read_delay_cost},
    {"max_cost", "max_cost", read_max_cost},
    {"currency", "currency", read_currency},
    {"max_duration", "max_duration", read_max_duration},
    {"expected", "expected", read_expected},
    {"input_size", "input_size", read_input_size},
    {"checkpoint", "checkpoint", read_checkpoint},
    {"retries", "retries", read_retries},
    {"priority", "priority", read_priority},
    {"stdout", "stdout", read_stdout},
    {"stderr", "stderr", read_stderr},
    {"origin", "origin", read_origin},
    {"file_mounts", "file_mounts", sky_file_mounts, .skypilot = true},
    {"secrets", "secrets", sky_secrets, .skypilot = true},
    {"config", "config", sky_ignore, .skypilot = true},
    {"experimental", "experimental", sky_ignore, .skypilot = true},
    {"event_callback", "event_callback", sky_refuse, .skypilot = true},
    {"service", "service", sky_refuse, .skypilot = true},
    {"pool", "pool", sky_refuse, .skypilot = true},
    {"volumes", "volumes", sky_refuse, .skypilot = true},
};

static const struct key_row *find_row(const struct key_row *rows, size_t n_rows, struct weir_sv key)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (weir_sv_eq(weir_sv_of(rows[i].key), key)) {
            return &rows[i];
        }
    }
    return NULL;
}

static int unknown_key(const struct reader *rd,
                       const struct doc *entry,
                       const struct key_row *rows,
                       size_t n_rows,
                       const char *path)
{
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; i < n_rows && n < WEIR_ARRAY_LEN(names) - 1; i++) {
        if (!rows[i].skypilot || rd->is_skypilot) {
            names[n++] = rows[i].key;
        }
    }
    names[n] = NULL;
    struct doc at = *entry;
    at.line = entry->key_line;
    at.column = entry->key_column;
    const struct key_row *below = path[0] == '\0' ? find_row(resource_keys, WEIR_ARRAY_LEN(resource_keys), entry->key) : NULL;
    const char *near = below != NULL ? below->path : weir_nearest(entry->key, names);
    int key_n = entry->key.n > 60 ? 60 : (int)entry->key.n;
    const char *in = path[0] == '\0' ? "" : " in ";
    if (near != NULL) {
        return read_fail(rd, &at, -WEIR_EINVAL, "", "unknown key '%.*s'%s%s; did you mean '%s'?",
                         key_n, entry->key.p, in, path, near);
    }
    return read_fail(rd, &at, -WEIR_EINVAL, "",
                     "unknown key '%.*s'%s%s; see docs/guide/job-file.md for the keys", key_n,
                     entry->key.p, in, path);
}

int read_map(struct reader *rd,
             const struct doc *map,
             const struct key_row *rows,
             size_t n_rows,
             const char *path)
{
    if (map->kind == DOC_NULL) {
        return 0;
    }
    if (map->kind != DOC_MAP) {
        return read_wrong_kind(rd, map, path[0] == '\0' ? "the job" : path, "a mapping");
    }
    for (const struct doc *c = map->first; c != NULL; c = c->next) {
        const struct key_row *row = find_row(rows, n_rows, c->key);
        if (row == NULL) {
            return unknown_key(rd, c, rows, n_rows, path);
        }
        if (row->skypilot && rd->is_json) {
            return read_fail(rd, c, -WEIR_EINVAL, row->path,
                             "is a key of SkyPilot's files, which the API does not take; submit "
                             "the file with weir submit");
        }
        int r = row->read(rd, c, row->path);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

const struct doc *doc_get(const struct doc *map, const char *key)
{
    if (map == NULL || map->kind != DOC_MAP) {
        return NULL;
    }
    for (const struct doc *d = map->first; d != NULL; d = d->next) {
        if (weir_sv_eq(d->key, weir_sv_of(key))) {
            return d;
        }
    }
    return NULL;
}

static bool has_skypilot_key(const struct doc *map, const struct key_row *rows, size_t n_rows)
{
    if (map == NULL || map->kind != DOC_MAP) {
        return false;
    }
    for (const struct doc *d = map->first; d != NULL; d = d->next) {
        const struct key_row *row = find_row(rows, n_rows, d->key);
        if (row != NULL && row->skypilot) {
            return true;
        }
    }
    return false;
}

int read_document(struct reader *rd, const struct doc *root)
{
    rd->is_skypilot =
        !rd->is_json && (has_skypilot_key(root, root_keys, WEIR_ARRAY_LEN(root_keys)) ||
                         has_skypilot_key(doc_get(root, "resources"), resource_keys,
                                          WEIR_ARRAY_LEN(resource_keys)));
    int r = read_map(rd, root, root_keys, WEIR_ARRAY_LEN(root_keys), "");
    if (r == 0 && rd->is_skypilot) {
        r = sky_finish(rd, root);
    }
    if (r != 0) {
        return r;
    }
    r = weir_spec_finish(rd->spec, rd->err);
    return r == 0 ? 0 : read_fail_prefix(rd, NULL, r, "");
}

int weir_spec_from_json(const json_t *root,
                        struct weir_gpu_table *gpus,
                        struct weir_spec **ret,
                        struct weir_err *err)
{
    WEIR_CLEANUP(weir_spec_freep) struct weir_spec *s = weir_spec_new();
    WEIR_CLEANUP(weir_freep) struct doc *doc = NULL;
    struct weir_err scratch = {0};
    int r = doc_from_json(root, &doc, err);
    if (r != 0) {
        return r;
    }
    struct reader rd = {
        .spec = s, .gpus = gpus, .err = err == NULL ? &scratch : err, .is_json = true};
    r = read_document(&rd, doc);
    if (r == 0) {
        *ret = WEIR_TAKE(s);
    }
    return r;
}
